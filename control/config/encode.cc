// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cctype>

#include "base/assert.h"
#include "control/config/codec.h"

namespace sekisho::control {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

/// Plain only when no YAML reader, ours or another, could take it for anything but this text.
bool is_plain(std::string_view text) {
  if (text.empty() || std::isalpha(static_cast<unsigned char>(text[0])) == 0) return false;
  for (const std::string_view word : {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}) {
    const bool same = text.size() == word.size() && std::equal(text.begin(), text.end(), word.begin(), [](char a, char b) {
      return std::tolower(static_cast<unsigned char>(a)) == b;
    });
    if (same) return false;
  }
  return std::all_of(text.begin(), text.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.' || c == '/';
  });
}

std::string quote(std::string_view text) {
  if (is_plain(text)) return std::string(text);
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else {
      out += c;
    }
  }
  return out + '"';
}

using TextOf = std::string (*)(const Message&, const FieldDescriptor&, int);

std::string scalar_list(const Message& message, const FieldDescriptor& field, TextOf text_of = scalar_text) {
  std::string out = "[";
  const int count = message.GetReflection()->FieldSize(message, &field);
  for (int i = 0; i < count; ++i) {
    out += i == 0 ? "" : ", ";
    out += text_of(message, field, i);
  }
  return out + ']';
}

void write_message(const Message& message, std::size_t indent, std::string& out);

/// "- a: 1\n  b: 2": the first field stands on the dash's line.
void write_list(const Message& message, const FieldDescriptor& field, std::size_t indent, std::string& out) {
  const auto* reflection = message.GetReflection();
  const int count = reflection->FieldSize(message, &field);
  for (int i = 0; i < count; ++i) {
    std::string body;
    write_message(reflection->GetRepeatedMessage(message, &field, i), indent + 4, body);
    if (body.empty()) body = std::string(indent + 4, ' ') + "{}\n";
    body[indent + 2] = '-';
    out += body;
  }
}

void write_message(const Message& message, std::size_t indent, std::string& out) {
  const auto* type = message.GetDescriptor();
  const std::string margin(indent, ' ');
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor& field = *type->field(i);
    if (is_default(message, field)) continue;
    out += margin + field.name() + ':';
    if (field.message_type() == nullptr) {
      out += ' ' + (field.is_repeated() ? scalar_list(message, field) : scalar_text(message, field, -1)) + '\n';
    } else if (field.is_repeated()) {
      out += '\n';
      write_list(message, field, indent, out);
    } else {
      const Message& child = message.GetReflection()->GetMessage(message, &field);
      std::string body;
      write_message(child, indent + 2, body);
      out += body.empty() ? " {}\n" : '\n' + body;
    }
  }
}

}  // namespace

std::string enum_text(const google::protobuf::EnumValueDescriptor& value) {
  if (value.options().HasExtension(model::text)) return value.options().GetExtension(model::text);
  std::string out = value.name();
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

bool is_default(const Message& message, const FieldDescriptor& field) {
  const auto* reflection = message.GetReflection();
  if (field.is_repeated()) return reflection->FieldSize(message, &field) == 0;
  if (!reflection->HasField(message, &field)) return true;
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
    return reflection->GetString(message, &field) == field.default_value_string();
  }
  if (!field.has_default_value()) return false;
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_UINT32) {
    return reflection->GetUInt32(message, &field) == field.default_value_uint32();
  }
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_BOOL) {
    return reflection->GetBool(message, &field) == field.default_value_bool();
  }
  return field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM &&
         reflection->GetEnumValue(message, &field) == field.default_value_enum()->number();
}

std::string scalar_text(const Message& message, const FieldDescriptor& field, int index) {
  const auto* reflection = message.GetReflection();
  const bool list = index >= 0;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT32:
      return std::to_string(list ? reflection->GetRepeatedUInt32(message, &field, index) : reflection->GetUInt32(message, &field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return (list ? reflection->GetRepeatedBool(message, &field, index) : reflection->GetBool(message, &field)) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_ENUM:
      return enum_text(list ? *reflection->GetRepeatedEnum(message, &field, index) : *reflection->GetEnum(message, &field));
    case FieldDescriptor::CPPTYPE_STRING:
      return quote(list ? reflection->GetRepeatedString(message, &field, index) : reflection->GetString(message, &field));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return encode_line(list ? reflection->GetRepeatedMessage(message, &field, index) : reflection->GetMessage(message, &field));
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT64:
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT:
      break;  // the model has none
  }
  SEKISHO_ASSERT(false);
}

std::string encode_document(const model::Configuration& model) {
  std::string out;
  write_message(model, 0, out);
  return out.empty() ? "{}\n" : out;
}

std::string encode_line(const Message& message) {
  const auto* type = message.GetDescriptor();
  std::string out;
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor& field = *type->field(i);
    if (is_default(message, field)) continue;
    out += (out.empty() ? "{ " : ", ") + field.name() + ": ";
    out += field.is_repeated() ? scalar_list(message, field, shown_text) : shown_text(message, field, -1);
  }
  return out.empty() ? "{}" : out + " }";
}

std::string shown_text(const Message& message, const FieldDescriptor& field, int index) {
  return field.options().GetExtension(model::secret) ? std::string(kMasked) : scalar_text(message, field, index);
}

bool mask_secrets(Message& message) {
  const auto* type = message.GetDescriptor();
  const auto* reflection = message.GetReflection();
  bool found = false;
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor& field = *type->field(i);
    const int count = field.is_repeated() ? reflection->FieldSize(message, &field) : reflection->HasField(message, &field) ? 1 : 0;
    for (int k = 0; k < count; ++k) {
      if (field.message_type() != nullptr) {
        found |= mask_secrets(field.is_repeated() ? *reflection->MutableRepeatedMessage(&message, &field, k)
                                                  : *reflection->MutableMessage(&message, &field));
      } else if (field.options().GetExtension(model::secret)) {
        found = true;
        if (field.is_repeated()) {
          reflection->SetRepeatedString(&message, &field, k, std::string(kMasked));
        } else {
          reflection->SetString(&message, &field, std::string(kMasked));
        }
      }
    }
  }
  return found;
}

}  // namespace sekisho::control
