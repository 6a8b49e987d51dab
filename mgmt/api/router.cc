// SPDX-License-Identifier: Apache-2.0
#include "mgmt/api/router.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <charconv>

#include "mgmt/http/message.h"

namespace sekisho::mgmt {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

std::vector<std::string> split(std::string_view path) {
  std::vector<std::string> out;
  while (!path.empty()) {
    path.remove_prefix(1);  // the '/'
    const std::size_t end = path.find('/');
    out.emplace_back(path.substr(0, end));
    path = end == std::string_view::npos ? std::string_view() : path.substr(end);
  }
  return out;
}

bool is_field(const std::string& segment) {
  return segment.starts_with('{');
}

/// Depth and number of values, as far as brackets, commas and colons say. Strings are passed over.
Malformed weigh(std::string_view body) {
  std::size_t depth = 0;
  std::size_t values = 0;
  bool text = false;
  for (std::size_t i = 0; i < body.size(); ++i) {
    const char c = body[i];
    if (text) {
      if (c == '\\') ++i;
      if (c == '"') text = false;
    } else if (c == '"') {
      text = true;
    } else if (c == '\'') {  // no JSON, but protobuf's parser takes it for the start of a string: we would lose count
      return {"strings of JSON stand in double quotes"};
    } else if (c == '{' || c == '[') {
      ++values;
      if (++depth > kJsonDepthMax) return {"the JSON is nested too deeply"};
    } else if (c == '}' || c == ']') {
      if (depth > 0) --depth;
    } else if (c == ',') {
      ++values;
    }
    if (values > kJsonValuesMax) return {"the JSON holds too many values"};
  }
  return {};
}

template <typename Number>
bool read_number(const std::string& text, Number& out) {
  const char* end = text.data() + text.size();
  const auto [stop, status] = std::from_chars(text.data(), end, out);
  return status == std::errc{} && stop == end;
}

}  // namespace

Router::Router() {
  const auto& service = *api::Error::descriptor()->file()->FindServiceByName("Api");
  for (int i = 0; i < service.method_count(); ++i) {
    Route route;
    route.method = service.method(i);
    route.rule = route.method->options().GetExtension(api::method);
    const std::string& http = route.rule.http();
    const std::size_t space = http.find(' ');
    route.verb = http.substr(0, space);
    route.segments = split(std::string_view(http).substr(space + 1));
    routes_.push_back(std::move(route));
  }
}

Router::Match Router::find(std::string_view verb, std::string_view path) const {
  Match out;
  const std::vector<std::string> segments = split(path);
  for (const Route& route : routes_) {
    if (route.segments.size() != segments.size()) continue;
    std::vector<std::pair<std::string, std::string>> fields;
    bool same = true;
    for (std::size_t i = 0; same && i < segments.size(); ++i) {
      if (!is_field(route.segments[i])) {
        same = route.segments[i] == segments[i];
        continue;
      }
      std::string value;
      same = percent_decode(segments[i], false, value) && !value.empty();
      fields.emplace_back(route.segments[i].substr(1, route.segments[i].size() - 2), std::move(value));
    }
    if (!same) continue;
    if (route.verb != verb) {
      out.other_verb = true;
      continue;
    }
    // A path that is written out comes before one with a field in its place.
    if (out.route != nullptr && out.fields.size() <= fields.size()) continue;
    out.route = &route;
    out.fields = std::move(fields);
  }
  return out;
}

Malformed read_json(std::string_view body, Message& out) {
  if (body.empty()) return {};
  if (Malformed why = weigh(body)) return why;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = false;
  const auto status = google::protobuf::util::JsonStringToMessage({body.data(), body.size()}, &out, options);
  if (status.ok()) return {};
  std::string said = status.message().ToString();
  constexpr std::size_t kSaidBytesMax = 300;
  if (said.size() > kSaidBytesMax) said.resize(kSaidBytesMax);
  std::string path;
  if (said.starts_with('(')) {  // "(conditions[0].limit): invalid value ..."
    const std::size_t end = said.find("):");
    if (end != std::string::npos) {
      path = said.substr(1, end - 1);
      said = said.substr(end + 2);
    }
  }
  std::erase_if(said, [](unsigned char c) { return c < 0x20 || c >= 0x7f; });  // it quotes the body
  return {"the body cannot be read: " + said, path};
}

Malformed set_field(Message& out, const std::string& name, const std::string& text) {
  const auto* field = out.GetDescriptor()->FindFieldByName(name);
  const auto* reflection = out.GetReflection();
  if (field == nullptr) return {"there is no such parameter", name};
  std::uint64_t number = 0;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      field->is_repeated() ? reflection->AddString(&out, field, text) : reflection->SetString(&out, field, text);
      return {};
    case FieldDescriptor::CPPTYPE_BOOL:
      if (text != "true" && text != "false") return {"this is true or false", name};
      reflection->SetBool(&out, field, text == "true");
      return {};
    case FieldDescriptor::CPPTYPE_UINT32:
      if (!read_number(text, number) || number > 0xffffffffU) return {"this is no number", name};
      reflection->SetUInt32(&out, field, static_cast<std::uint32_t>(number));
      return {};
    case FieldDescriptor::CPPTYPE_UINT64:
      if (!read_number(text, number)) return {"this is no number", name};
      reflection->SetUInt64(&out, field, number);
      return {};
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_ENUM:
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;  // of bodies only
  }
  return {"this is no parameter", name};
}

Malformed read_query(std::string_view query, Message& out) {
  std::string name;
  std::string value;
  while (!query.empty()) {
    const std::size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');
    const std::string_view text = equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1);
    if (!percent_decode(pair.substr(0, equals), true, name) || !percent_decode(text, true, value))
      return {"a parameter is badly encoded"};
    if (Malformed why = set_field(out, name, value)) return why;
  }
  return {};
}

std::string write_json(const Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string out;
  if (!google::protobuf::util::MessageToJsonString(message, &out, options).ok()) return "{}";
  return out;
}

}  // namespace sekisho::mgmt
