// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "mgmt/log/fields.h"
#include "mgmt/log/format.h"
#include "mgmt/log/utf8.h"
#include "mgmt/log/value_text.h"

namespace sekisho::mgmt {
namespace {

class JsonWriter {
 public:
  JsonWriter(std::string& out, Audience audience) : out_(out), audience_(audience) {}

  template <typename T>
  void operator()(const Field& field, const T& value) {
    if (is_absent(value) || (field.field_class == FieldClass::kProvider && audience_ == Audience::kTenant)) return;
    out_ += first_ ? "{\"" : ",\"";
    first_ = false;
    out_ += field.name;
    out_ += "\":";
    write(field, value);
  }
  [[nodiscard]] bool empty() const { return first_; }

 private:
  template <Number T>
  void write(const Field&, T value) {
    out_ += std::to_string(value);
  }
  template <Number T>
  void write(const Field&, const std::optional<T>& value) {
    out_ += std::to_string(*value);
  }
  void write(const Field& field, const std::string& value) {
    out_ += '"';
    append_escaped(out_, cut_characters(value, field.characters_max), Quote::kJson);
    out_ += '"';
  }
  void write(const Field&, const std::optional<bool>& value) { out_ += word_of(*value); }
  void write(const Field& field, const std::vector<std::string>& list) {
    char before = '[';
    for (const std::string& text : list) {
      out_ += before;
      write(field, text);
      before = ',';
    }
    out_ += ']';
  }
  void write(const Field&, const std::vector<Address>& list) {
    char before = '[';
    for (const Address& address : list) {
      out_ += before;
      out_ += '"' + to_string(address) + '"';
      before = ',';
    }
    out_ += ']';
  }
  template <typename T>
  requires(!Number<T>) void write(const Field&, const T& value) { out_ += '"' + plain_text(value) + '"'; }

  std::string& out_;
  Audience audience_;
  bool first_ = true;
};

}  // namespace

void append_escaped(std::string& out, std::string_view text, Quote quote) {
  for (std::size_t offset = 0; offset < text.size();) {
    const Character character = character_at(text, offset);
    if (!character.valid) {
      out += "\xef\xbf\xbd";
    } else if (is_control(character.code)) {
      char escape[8];
      std::snprintf(escape, sizeof(escape), "\\u%04x", character.code);
      out += escape;
    } else {
      if (quote == Quote::kJson && (character.code == '"' || character.code == '\\')) out += '\\';
      out += text.substr(offset, character.bytes);
    }
    offset += character.bytes;
  }
}

void append_json_body(std::string& out, const LogEntry& entry, Audience audience) {
  JsonWriter writer(out, audience);
  std::visit([&writer](const auto& body) { for_each_field_of(body, writer); }, entry.body);
  out += writer.empty() ? "{}" : "}";
}

void append_json(std::string& out, const LogEntry& entry, Audience audience) {
  JsonWriter writer(out, audience);
  for_each_field(entry, writer);
  out += '}';
}

}  // namespace sekisho::mgmt
