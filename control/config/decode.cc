// SPDX-License-Identifier: Apache-2.0
// Overview: yaml-cpp turns the text into events; Decoder keeps a stack of open maps and lists beside the message being
// filled and the path of the value that comes next. What cannot be placed is reported once, skipped as a whole and
// noted in Decoded::refused, so that validate() can judge the rest.
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <charconv>
#include <optional>
#include <sstream>

#include "base/limits.h"
#include "control/config/codec.h"
#include "control/config/text.h"

namespace sekisho::control {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using Place = Positions::Place;

/// Ends the parse: nothing after it can be read with sense. Caught in decode_document().
struct Refused {};

/// Turns yaml-cpp's marks (line, byte in line, both from 0) into places (line, character, both from 1).
class LineIndex {
 public:
  explicit LineIndex(std::string_view text) : text_(text) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\n') starts_.push_back(i + 1);
    }
  }
  [[nodiscard]] Place place(const YAML::Mark& mark) const {
    if (mark.line < 0 || mark.column < 0) return {};
    const std::size_t line = std::min(static_cast<std::size_t>(mark.line), starts_.size() - 1);
    const std::size_t at = std::min(starts_[line] + static_cast<std::size_t>(mark.column), text_.size());
    return {static_cast<std::uint32_t>(line + 1), static_cast<std::uint32_t>(characters_before(line, at) + 1)};
  }
  [[nodiscard]] Place place_of_offset(std::size_t offset) const {
    const auto after = std::upper_bound(starts_.begin(), starts_.end(), offset);
    const std::size_t start = *(after - 1);
    return {static_cast<std::uint32_t>(after - starts_.begin()),
            static_cast<std::uint32_t>(count_characters(text_.substr(start, offset - start)) + 1)};
  }

 private:
  /// Marks come nearly in order, so counting goes on from the one before: a document may be one line of megabytes.
  std::size_t characters_before(std::size_t line, std::size_t at) const {
    if (line != line_) {
      line_ = line;
      at_ = starts_[line];
      characters_ = 0;
    }
    if (at >= at_) {
      characters_ += count_characters(text_.substr(at_, at - at_));
    } else {
      characters_ -= count_characters(text_.substr(at, at_ - at));
    }
    at_ = at;
    return characters_;
  }

  std::string_view text_;
  std::vector<std::size_t> starts_{0};
  mutable std::size_t line_ = 0;
  mutable std::size_t at_ = 0;
  mutable std::size_t characters_ = 0;
};

std::string quoted(std::string_view text) {
  constexpr std::size_t kShown = 64;
  const std::string_view head = cut_characters(text, kShown);
  return '"' + std::string(head) + (head.size() < text.size() ? "...\"" : "\"");
}

template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  if (hex) text.remove_prefix(2);
  Number value = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value, hex ? 16 : 10);
  if (status != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string allowed_fields(const Descriptor& type) {
  std::string out;
  for (int i = 0; i < type.field_count(); ++i) out += (i == 0 ? "" : ", ") + type.field(i)->name();
  return out;
}

std::string allowed_values(const google::protobuf::EnumDescriptor& type) {
  std::string out;
  for (int i = 0; i < type.value_count(); ++i) out += (i == 0 ? "" : ", ") + enum_text(*type.value(i));
  return out;
}

const EnumValueDescriptor* find_enum(const google::protobuf::EnumDescriptor& type, std::string_view text) {
  for (int i = 0; i < type.value_count(); ++i) {
    if (enum_text(*type.value(i)) == text) return type.value(i);
  }
  return nullptr;
}

class Decoder final : public YAML::EventHandler {
 public:
  Decoder(Decoded& out, const LineIndex& lines) : out_(out), lines_(lines) {}

  void refuse(Place place, std::string sentence) { report(path_, place, std::move(sentence)); }
  [[nodiscard]] bool saw_document() const { return documents_ != 0; }
  [[nodiscard]] std::size_t left_out() const { return left_out_; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) stop(mark, "a file holds one document; a second one begins here");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    begin_value(mark, "?", anchor);
    if (skipping()) return after_skipped();
    if (awaiting_key()) return bad_key(mark, Shape::kScalar);
    if (stack_.empty()) return report(path_, lines_.place(mark), "the document is empty");
    place_scalar(mark, Scalar{.text = {}, .plain = true, .null = true});
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    begin_value(mark, "?", 0);
    const bool placed = !skipping() && !awaiting_key();
    if (placed && stack_.back().shape == Shape::kList) begin_element(stack_.back());
    report(path_, lines_.place(mark), "aliases (*name) are not accepted; write the value out");
    if (skipping()) return after_skipped();
    if (!placed) return stray_key();
    refuse_value(stack_.back());
    end_value(stack_.back());
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& value) override {
    begin_value(mark, tag, anchor);
    if (skipping()) return after_skipped();
    if (awaiting_key()) return open_key(mark, value);
    if (stack_.empty()) return report(path_, lines_.place(mark), "the document must be a map of fields, not " + quoted(value));
    place_scalar(mark, Scalar{.text = value, .plain = tag == "?" || tag.empty(), .null = false});
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    begin_value(mark, tag, anchor);
    open_container(mark, Shape::kList);
  }
  void OnSequenceEnd() override { close_container(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    begin_value(mark, tag, anchor);
    open_container(mark, Shape::kMap);
  }
  void OnMapEnd() override { close_container(); }

 private:
  enum class Shape : std::uint8_t { kScalar, kMap, kList, kSkip };
  struct Scalar {
    std::string_view text;
    bool plain;
    bool null;
  };
  struct Level {
    Shape shape = Shape::kSkip;
    Message* message = nullptr;               // kMap: what is filled; kList: what owns the list
    const FieldDescriptor* field = nullptr;   // kMap: the field whose value comes next; kList: the list
    bool has_key = false;                     // kMap: a key was read, its value comes next
    bool skip_value = false;                  // kMap: that value belongs to no field
    bool stray = false;                       // kMap: some value here belongs to no field
    Place key_place;                          // kMap: of that key
    std::uint64_t seen = 0;                   // kMap: bit per field index
    int next_index = 0;                       // kList
    std::size_t path_size = 0;                // of the container itself
    Place place;
  };

  [[noreturn]] void stop(const YAML::Mark& mark, std::string sentence) {
    report(path_, lines_.place(mark), std::move(sentence));
    throw Refused{};
  }
  void report(std::string path, Place place, std::string sentence) {
    if (out_.findings.size() >= kFindingsMax) {
      ++left_out_;
      return;
    }
    out_.findings.push_back({Severity::kError, std::move(path), place.line, place.column, std::move(sentence)});
  }

  void begin_value(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (++nodes_ > kDocumentNodesMax) stop(mark, "the document has more than " + std::to_string(kDocumentNodesMax) + " values");
    if (anchor != 0) report(path_, lines_.place(mark), "anchors (&name) are not accepted");
    if (!tag.empty() && tag != "?" && tag != "!") report(path_, lines_.place(mark), "tags (" + tag + ") are not accepted");
  }

  [[nodiscard]] bool awaiting_key() const {
    return !stack_.empty() && stack_.back().shape == Shape::kMap && !stack_.back().has_key;
  }
  [[nodiscard]] bool skipping() const {
    if (stack_.empty()) return false;
    const Level& top = stack_.back();
    return top.shape == Shape::kSkip || (top.shape == Shape::kMap && top.has_key && top.skip_value);
  }
  /// A value that belongs nowhere has ended: its key is done with.
  void after_skipped() {
    Level& top = stack_.back();
    if (top.shape != Shape::kMap) return;
    top.has_key = top.skip_value = false;
    path_.resize(top.path_size);
  }

  void bad_key(const YAML::Mark& mark, Shape shape) {
    report(path_, lines_.place(mark), "a field name is expected here");
    stack_.back().stray = true;
    if (shape == Shape::kScalar) return stray_key();
    push_skip(mark);
  }
  void stray_key() {
    Level& top = stack_.back();
    top.stray = top.has_key = top.skip_value = true;
  }

  void open_key(const YAML::Mark& mark, const std::string& key) {
    Level& top = stack_.back();
    const Descriptor& type = *top.message->GetDescriptor();
    const FieldDescriptor* field = type.FindFieldByName(key);
    top.has_key = true;
    top.key_place = lines_.place(mark);
    top.field = field;
    top.skip_value = true;
    const std::string path = path_.empty() ? std::string(cut_characters(key, 64)) : path_ + '.' + std::string(cut_characters(key, 64));
    if (field == nullptr) {
      top.stray = true;
      return report(path, lines_.place(mark), "unknown field; the fields here are " + allowed_fields(type));
    }
    const std::uint64_t bit = std::uint64_t{1} << field->index();
    if ((top.seen & bit) != 0) {
      report(path, lines_.place(mark), "the field is given twice");
      if (!field->is_repeated()) {  // which of the two was meant is unknown; a list is simply read on
        top.message->GetReflection()->ClearField(top.message, field);
        return note_refused(path);
      }
    }
    top.seen |= bit;
    top.skip_value = false;
    path_ = path;
  }

  void push_skip(const YAML::Mark& mark) {
    check_depth(mark);
    stack_.push_back(Level{});
    stack_.back().path_size = path_.size();
  }
  void check_depth(const YAML::Mark& mark) {
    if (stack_.size() >= limits::kDocumentDepthMax) {
      stop(mark, "the document is nested more than " + std::to_string(limits::kDocumentDepthMax) + " levels deep");
    }
  }

  void open_container(const YAML::Mark& mark, Shape shape) {
    check_depth(mark);
    if (skipping()) return push_skip(mark);
    if (stack_.empty()) return open_root(mark, shape);
    if (awaiting_key()) return bad_key(mark, shape);
    Level& top = stack_.back();
    const FieldDescriptor& field = *top.field;
    const bool element = top.shape == Shape::kList;
    if (element) begin_element(top);
    const Place place = lines_.place(mark);
    out_.positions.add(path_, place);
    const bool wants_list = field.is_repeated() && !element;
    const bool wants_map = !wants_list && field.message_type() != nullptr;
    if (shape == Shape::kList ? !wants_list : !wants_map) {
      report(path_, place, shape_sentence(field, element, shape == Shape::kList ? "a list" : "a map"));
      refuse_value(top);
      stack_.push_back(Level{});
      stack_.back().path_size = path_.size();
      return;
    }
    Level next;
    next.shape = shape;
    next.place = place;
    next.path_size = path_.size();
    next.message = top.message;
    next.field = &field;
    if (shape == Shape::kMap) {
      const auto* reflection = top.message->GetReflection();
      next.message = element ? reflection->AddMessage(top.message, &field) : reflection->MutableMessage(top.message, &field);
      next.field = nullptr;
    } else {
      next.next_index = top.message->GetReflection()->FieldSize(*top.message, &field);
    }
    stack_.push_back(next);
  }

  void open_root(const YAML::Mark& mark, Shape shape) {
    if (shape != Shape::kMap) {
      report(path_, lines_.place(mark), "the document must be a map of fields, not a list");
      stack_.push_back(Level{});
      return;
    }
    Level root;
    root.shape = Shape::kMap;
    root.message = &out_.model;
    root.place = lines_.place(mark);
    out_.positions.add("", root.place);
    stack_.push_back(root);
  }

  void begin_element(Level& list) {
    path_.resize(list.path_size);
    path_ += '[' + std::to_string(list.next_index++) + ']';
  }

  void close_container() {
    const Level closed = stack_.back();
    stack_.pop_back();
    if (closed.shape == Shape::kMap) report_missing(closed);
    if (stack_.empty()) return;
    Level& parent = stack_.back();
    path_.resize(parent.path_size);
    if (parent.shape != Shape::kMap) return;
    if (!parent.has_key) {  // what ended was itself a key: its value belongs to no field
      parent.has_key = parent.skip_value = true;
      return;
    }
    parent.has_key = parent.skip_value = false;
  }

  void report_missing(const Level& closed) {
    const Descriptor& type = *closed.message->GetDescriptor();
    path_.resize(closed.path_size);
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor& field = *type.field(i);
      const bool must = field.options().GetExtension(model::must);
      if ((!must && !closed.stray) || (closed.seen >> i & 1U) != 0) continue;
      const std::string path = path_.empty() ? field.name() : path_ + '.' + field.name();
      note_refused(path);  // a field that is absent may be what a value without a place was meant for
      if (must) report(path, closed.place, "the field is missing");
    }
  }

  /// Past kFindingsMax nothing is validated any more, and a hostile document must not fill memory with marks.
  void note_refused(std::string_view path) {
    if (left_out_ == 0) out_.refused.add(path);
  }
  /// The value at path_ is unknown. In a list an empty element stands for it, lest the ones behind it move up.
  void refuse_value(const Level& owner) {
    note_refused(path_);
    if (owner.shape != Shape::kList) return;
    const auto* reflection = owner.message->GetReflection();
    const FieldDescriptor& field = *owner.field;
    if (field.message_type() != nullptr) {
      reflection->AddMessage(owner.message, &field);
    } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      reflection->AddString(owner.message, &field, {});
    } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
      reflection->AddEnum(owner.message, &field, field.default_value_enum());
    } else {
      reflection->AddUInt32(owner.message, &field, 0);  // the schema has no lists of another kind
    }
  }
  void end_value(Level& owner) {
    owner.has_key = false;
    path_.resize(owner.path_size);
  }

  static std::string wanted(const FieldDescriptor& field, bool element) {
    if (field.is_repeated() && !element) return "a list";
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE: return "a map";
      case FieldDescriptor::CPPTYPE_BOOL: return "true or false";
      case FieldDescriptor::CPPTYPE_ENUM: return "one of " + allowed_values(*field.enum_type());
      case FieldDescriptor::CPPTYPE_STRING: return "a text";
      case FieldDescriptor::CPPTYPE_INT32:
      case FieldDescriptor::CPPTYPE_INT64:
      case FieldDescriptor::CPPTYPE_UINT32:
      case FieldDescriptor::CPPTYPE_UINT64:
      case FieldDescriptor::CPPTYPE_DOUBLE:
      case FieldDescriptor::CPPTYPE_FLOAT: return "a whole number from 0 to 4294967295, without quotes";
    }
    return "another type";
  }
  static std::string shape_sentence(const FieldDescriptor& field, bool element, const std::string& got) {
    return "must be " + wanted(field, element) + ", not " + got;
  }

  void place_scalar(const YAML::Mark& mark, const Scalar& scalar) {
    Level& top = stack_.back();
    const FieldDescriptor& field = *top.field;
    const bool element = top.shape == Shape::kList;
    if (element) begin_element(top);
    // yaml-cpp puts a value that is not there at the token after it, maybe lines away.
    const Place place = scalar.null && !element ? top.key_place : lines_.place(mark);
    out_.positions.add(path_, place);
    const bool fits = !scalar.null && (element || !field.is_repeated()) && set(*top.message, field, scalar);
    if (!fits) {
      report(path_, place, shape_sentence(field, element, scalar.null ? "nothing" : quoted(scalar.text)));
      refuse_value(top);
    }
    end_value(top);
  }

  static bool set(Message& message, const FieldDescriptor& field, const Scalar& scalar) {
    const auto* reflection = message.GetReflection();
    const bool list = field.is_repeated();
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      list ? reflection->AddString(&message, &field, std::string(scalar.text))
           : reflection->SetString(&message, &field, std::string(scalar.text));
      return true;
    }
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_UINT32) {
      const auto number = scalar.plain ? parse_number<std::uint32_t>(scalar.text) : std::nullopt;
      if (!number) return false;
      list ? reflection->AddUInt32(&message, &field, *number) : reflection->SetUInt32(&message, &field, *number);
      return true;
    }
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_BOOL) {
      if (!scalar.plain || (scalar.text != "true" && scalar.text != "false")) return false;
      reflection->SetBool(&message, &field, scalar.text == "true");
      return true;
    }
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
      const EnumValueDescriptor* value = find_enum(*field.enum_type(), scalar.text);
      if (value == nullptr) return false;
      list ? reflection->AddEnum(&message, &field, value) : reflection->SetEnum(&message, &field, value);
      return true;
    }
    return false;
  }

  Decoded& out_;
  const LineIndex& lines_;
  std::vector<Level> stack_;
  std::string path_;
  std::size_t nodes_ = 0;
  std::size_t left_out_ = 0;
  unsigned documents_ = 0;
};

/// yaml-cpp would guess at other encodings and swallow NUL: only clean UTF-8 gets as far as it.
bool check_characters(std::string_view text, const LineIndex& lines, Decoded& out) {
  const std::size_t bad = find_bad_text(text);
  if (bad == std::string_view::npos) return true;
  const Place place = lines.place_of_offset(bad);
  out.findings.push_back({Severity::kError, "", place.line, place.column,
                          "a document is UTF-8 text without control characters other than tab and newline"});
  return false;
}

}  // namespace

Decoded decode_document(std::string_view text) {
  Decoded out;
  if (text.size() > limits::kDocumentBytesMax) {
    out.findings.push_back({Severity::kError, "", 0, 0,
                            "the document has " + std::to_string(text.size()) + " bytes; at most " +
                                std::to_string(limits::kDocumentBytesMax) + " are accepted"});
    return out;
  }
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  const LineIndex lines(text);
  if (!check_characters(text, lines, out)) return out;
  Decoder decoder(out, lines);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(decoder)) {
    }
    if (!decoder.saw_document()) decoder.refuse({1, 1}, "the document is empty");
    out.whole = decoder.left_out() == 0;
  } catch (const Refused&) {
    // reported already
  } catch (const YAML::Exception& error) {
    decoder.refuse(lines.place(error.mark), "not YAML: " + error.msg);
  } catch (const std::exception& error) {
    decoder.refuse({1, 1}, std::string("cannot be read: ") + error.what());
  }
  out.positions.finish();
  sort_findings(out.findings);
  if (decoder.left_out() != 0) {
    out.findings.push_back({Severity::kError, "", 0, 0,
                            "at least " + std::to_string(decoder.left_out()) + " further findings are left out"});
  }
  return out;
}

}  // namespace sekisho::control
