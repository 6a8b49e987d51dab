// SPDX-License-Identifier: Apache-2.0
// Reads one flat JSON object: texts, unsigned numbers, true/false and lists of texts. No nesting, so no recursion.
#include <charconv>
#include <map>

#include "mgmt/log/fields.h"
#include "mgmt/log/format.h"
#include "mgmt/log/utf8.h"
#include "mgmt/log/value_text.h"

namespace sekisho::mgmt {
namespace {

constexpr std::size_t kLineBytesMax = 64U << 10;
constexpr std::size_t kFieldsMax = 128;
constexpr std::size_t kListMax = 64;

struct Value {
  enum class Kind : std::uint8_t { kText, kBare, kList } kind = Kind::kBare;
  std::string text;  ///< of a text (unescaped), or the digits or word of a bare value
  std::vector<std::string> list;
};
using Object = std::map<std::string, Value, std::less<>>;

void append_utf8(std::string& out, std::uint32_t code) {
  const auto byte = [&out](std::uint32_t value) { out += static_cast<char>(value); };
  if (code < 0x80) return byte(code);
  if (code < 0x800) return byte(0xc0 | code >> 6), byte(0x80 | (code & 0x3f));
  byte(0xe0 | code >> 12), byte(0x80 | (code >> 6 & 0x3f)), byte(0x80 | (code & 0x3f));
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  Result<Object> object() {
    Object out;
    if (!take('{')) return fail();
    for (bool first = true; !take('}'); first = false) {
      if (!first && !take(',')) return fail();
      SEKISHO_TRY(std::string name, text_value());
      if (!take(':')) return fail();
      SEKISHO_TRY(Value one, value());
      if (out.size() == kFieldsMax || !out.emplace(std::move(name), std::move(one)).second) return fail();
    }
    if (offset_ != text_.size()) return fail();
    return out;
  }

 private:
  [[nodiscard]] Error fail() const {
    return {ErrorCode::kMalformed, ErrorSite::kWire, static_cast<std::uint32_t>(offset_)};
  }
  [[nodiscard]] char peek() const { return offset_ < text_.size() ? text_[offset_] : '\0'; }
  bool take(char wanted) {
    if (peek() != wanted || offset_ >= text_.size()) return false;
    ++offset_;
    return true;
  }

  Result<Value> value() {
    Value out;
    if (peek() == '"') {
      out.kind = Value::Kind::kText;
      SEKISHO_TRY(out.text, text_value());
      return out;
    }
    if (take('[')) {
      out.kind = Value::Kind::kList;
      for (bool first = true; !take(']'); first = false) {
        if ((!first && !take(',')) || out.list.size() == kListMax) return fail();
        SEKISHO_TRY(std::string item, text_value());
        out.list.push_back(std::move(item));
      }
      return out;
    }
    while ((peek() >= '0' && peek() <= '9') || (peek() >= 'a' && peek() <= 'z')) out.text += text_[offset_++];
    if (out.text.empty()) return fail();
    return out;
  }

  Result<std::string> text_value() {
    if (!take('"')) return fail();
    std::string out;
    while (!take('"')) {
      const Character character = character_at(text_, offset_);
      if (character.bytes == 0 || !character.valid || is_control(character.code)) return fail();
      if (character.code == '\\') {
        ++offset_;
        SEKISHO_CHECK_OK(escape(out));
        continue;
      }
      out += text_.substr(offset_, character.bytes);
      offset_ += character.bytes;
    }
    return out;
  }

  Result<void> escape(std::string& out) {
    if (take('"')) return out += '"', Result<void>{};
    if (take('\\')) return out += '\\', Result<void>{};
    if (!take('u') || text_.size() - offset_ < 4) return fail();
    std::uint32_t code = 0;
    const char* begin = text_.data() + offset_;
    const auto [end, status] = std::from_chars(begin, begin + 4, code, 16);
    if (status != std::errc{} || end != begin + 4 || (code >= 0xd800 && code < 0xe000)) return fail();
    offset_ += 4;
    append_utf8(out, code);
    return {};
  }

  std::string_view text_;
  std::size_t offset_ = 0;
};

/// Fills the fields of an entry from the object; `ok` turns false at the first value of a wrong type or form.
class FieldReader {
 public:
  explicit FieldReader(const Object& object) : object_(object) {}

  template <typename T>
  void operator()(const Field& field, T& value) {
    const auto found = object_.find(field.name);
    if (found != object_.end()) ok_ = read(found->second, value) && ok_;
  }
  [[nodiscard]] bool ok() const { return ok_; }

 private:
  template <Number T>
  static bool read(const Value& from, T& value) {
    const char* end = from.text.data() + from.text.size();
    const auto [stop, status] = std::from_chars(from.text.data(), end, value);
    return from.kind == Value::Kind::kBare && status == std::errc{} && stop == end;
  }
  template <Number T>
  static bool read(const Value& from, std::optional<T>& value) {
    return read(from, value.emplace());
  }
  template <Enumeration T>
  static bool read(const Value& from, T& value) {
    return assign(value, enum_from<T>(from.text)) && is_text(from);
  }
  static bool read(const Value& from, std::string& value) { return value = from.text, is_text(from); }
  static bool read(const Value& from, Timestamp& value) {
    return assign(value, parse_timestamp(from.text)) && is_text(from);
  }
  static bool read(const Value& from, Uuid& value) { return assign(value, parse_uuid(from.text)) && is_text(from); }
  static bool read(const Value& from, Address& value) {
    return assign(value, parse_address(from.text)) && is_text(from);
  }
  static bool read(const Value& from, Mac& value) { return assign(value, parse_mac(from.text)) && is_text(from); }
  static bool read(const Value& from, HexId& value) {
    const char* end = from.text.data() + from.text.size();
    const auto [stop, status] = std::from_chars(from.text.data(), end, value.value, 16);
    return is_text(from) && from.text.size() == 16 && status == std::errc{} && stop == end;
  }
  static bool read(const Value& from, std::optional<bool>& value) {
    value = from.text == word_of(true);
    return from.kind == Value::Kind::kBare && from.text == word_of(*value);
  }
  static bool read(const Value& from, std::vector<std::string>& value) {
    value = from.list;
    return from.kind == Value::Kind::kList;
  }
  static bool read(const Value& from, std::vector<Address>& value) {
    for (const std::string& text : from.list) {
      if (!assign(value.emplace_back(), parse_address(text))) return false;
    }
    return from.kind == Value::Kind::kList;
  }

  static bool is_text(const Value& value) { return value.kind == Value::Kind::kText; }
  template <typename T, typename Maybe>
  static bool assign(T& to, const Maybe& from) {
    if (!from.has_value()) return false;
    to = *from;
    return true;
  }

  const Object& object_;
  bool ok_ = true;
};

}  // namespace

Result<LogEntry> parse_json(std::string_view line) {
  constexpr Error kBadField{ErrorCode::kMalformed, ErrorSite::kWire, 0};
  if (line.size() > kLineBytesMax) return Error{ErrorCode::kLimit, ErrorSite::kWire, kLineBytesMax};
  SEKISHO_TRY(const Object object, Scanner(line).object());
  for (const std::string_view name : {"v", "type", "ts", "svc", "node", "seq"}) {
    const auto found = object.find(name);
    if (found == object.end() || found->second.text.empty()) return kBadField;
  }
  const auto type = enum_from<LogKind>(object.find("type")->second.text);
  if (!type) return kBadField;
  LogEntry entry = make_entry(*type);
  FieldReader reader(object);
  for_each_field(entry, reader);
  if (!reader.ok() || !is_service_code(entry.svc)) return kBadField;
  return entry;
}

}  // namespace sekisho::mgmt
