// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/struct.pb.h>

#include <set>

#include "mgmt/api/router.h"

namespace sekisho::mgmt {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string of_message(const Descriptor& type, std::set<const Descriptor*>& used) {
  if (type.full_name() == "google.protobuf.Timestamp") return R"({"type": ["string", "null"], "format": "date-time"})";
  if (type.full_name() == "google.protobuf.Struct") return R"({"type": ["object", "null"]})";
  used.insert(&type);
  return "{\"$ref\": \"#/components/schemas/" + type.name() + "\"}";
}

std::string of_value(const FieldDescriptor& field, std::set<const Descriptor*>& used) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return R"({"type": "boolean"})";
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_INT32:
      return R"({"type": "integer"})";
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT:
      return R"({"type": "number"})";
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return of_message(*field.message_type(), used);
    case FieldDescriptor::CPPTYPE_UINT64:
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_ENUM:
    case FieldDescriptor::CPPTYPE_STRING:
      break;
  }
  return R"({"type": "string"})";
}

std::string of_field(const FieldDescriptor& field, std::set<const Descriptor*>& used) {
  if (field.is_map())
    return "{\"type\": \"object\", \"additionalProperties\": " +
           of_value(*field.message_type()->FindFieldByName("value"), used) + "}";
  const std::string one = of_value(field, used);
  return field.is_repeated() ? "{\"type\": \"array\", \"items\": " + one + "}" : one;
}

std::string schema(const Descriptor& type, std::set<const Descriptor*>& used) {
  std::string out = R"({"type": "object", "properties": {)";
  for (int i = 0; i < type.field_count(); ++i) {
    out += (i == 0 ? "" : ", ") + quoted(type.field(i)->name()) + ": " + of_field(*type.field(i), used);
  }
  return out + "}}";
}

std::string content(const std::string& type) {
  return "{\"application/json\": {\"schema\": " + type + "}, \"application/x-protobuf\": {}}";
}

/// Headers beside those every request has: controld asks for the one and answers the other of whoever is signed in.
std::vector<std::string> headers(const Route& route) {
  std::vector<std::string> out;
  if (route.rule.if_match())
    out.emplace_back(R"({"name": "If-Match", "in": "header", "description": "the revision the document was made from",)"
                     R"( "schema": {"type": "string", "pattern": "^(\"[0-9]+\"|[0-9]+)$"}})");
  if (route.verb != "GET" && route.rule.access() != api::MethodRule::EVERYBODY)
    out.emplace_back(R"({"name": "Idempotency-Key", "in": "header", "description": "the same within an hour: the first)"
                     R"( one's answer, and nothing is done", "schema": {"type": "string", "maxLength": 128}})");
  return out;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string out;
  for (const std::string& part : parts) out += (out.empty() ? "" : ", ") + part;
  return out;
}

std::vector<std::string> parameters_of(const Route& route, std::set<const Descriptor*>& used) {
  const Descriptor& input = *route.method->input_type();
  std::vector<std::string> out;
  for (int i = 0; i < input.field_count(); ++i) {
    const FieldDescriptor& field = *input.field(i);
    const bool in_path =
        std::find(route.segments.begin(), route.segments.end(), '{' + field.name() + '}') != route.segments.end();
    if (!in_path && route.verb != "GET") continue;
    out.push_back("{\"name\": " + quoted(field.name()) + (in_path ? R"(, "in": "path", "required": true)" : R"(, "in": "query")") +
                  ", \"schema\": " + of_field(field, used) + "}");
  }
  for (std::string& header : headers(route)) out.push_back(std::move(header));
  return out;
}

std::string operation(const Route& route, std::set<const Descriptor*>& used) {
  const Descriptor& input = *route.method->input_type();
  const std::string parameters = joined(parameters_of(route, used));
  std::string out =
      "{\"operationId\": " + quoted(route.method->name()) + ", \"summary\": " + quoted(route.rule.summary());
  if (route.rule.access() == api::MethodRule::EVERYBODY) out += ", \"security\": []";
  if (!parameters.empty()) out += ", \"parameters\": [" + parameters + "]";
  if (route.verb == "POST" || route.verb == "PUT")
    out += ", \"requestBody\": {\"content\": " + content(of_message(input, used)) + "}";
  const std::string reply = route.rule.download() ? R"({"*/*": {}})"
                            : route.rule.events() ? R"({"text/event-stream": {}})"
                                                  : content(of_message(*route.method->output_type(), used));
  const bool waits = route.rule.four_eyes() || route.rule.four_eyes_accounts();
  out += ", \"responses\": {\"200\": {\"description\": \"done\", \"content\": " + reply +
         "}" + (waits ? ", \"202\": {\"description\": \"waits for a second person\", \"content\": " +
                                           content(of_message(*api::Approval::descriptor(), used)) + "}"
                                     : "") +
         ", \"default\": {\"description\": \"refused\", \"content\": " +
         content(of_message(*api::Error::descriptor(), used)) + "}}}";
  return out;
}

}  // namespace

std::string openapi_document(const Router& router) {
  std::map<std::string, std::map<std::string, std::string>> paths;
  std::set<const Descriptor*> used;
  for (const Route& route : router.routes()) {
    std::string path;
    for (const auto& segment : route.segments) path += '/' + segment;
    std::string verb = route.verb;
    for (char& c : verb) c = static_cast<char>(c - 'A' + 'a');
    paths[path][verb] = operation(route, used);
  }
  std::string out =
      R"({"openapi": "3.1.0", "info": {"title": "Sekisho management API", "version": "1"},)"
      R"( "security": [{"cookie": []}, {"key": []}], "paths": {)";
  const char* between = "";
  for (const auto& [path, verbs] : paths) {
    out += between + quoted(path) + ": {";
    between = ", ";
    const char* and_then = "";
    for (const auto& [verb, text] : verbs) {
      out += and_then + quoted(verb) + ": " + text;
      and_then = ", ";
    }
    out += "}";
  }
  out +=
      R"(}, "components": {"securitySchemes": {"cookie": {"type": "apiKey", "in": "cookie", "name": "__Host-sekisho"},)"
      R"( "key": {"type": "http", "scheme": "bearer"}}, "schemas": {)";
  std::map<std::string, std::string> schemas;
  while (schemas.size() < used.size()) {
    const std::set<const Descriptor*> now = used;
    for (const auto* type : now) {
      if (!schemas.contains(type->name())) schemas[type->name()] = schema(*type, used);
    }
  }
  between = "";
  for (const auto& [name, text] : schemas) {
    out += between + quoted(name) + ": " + text;
    between = ", ";
  }
  return out + "}}}\n";
}

}  // namespace sekisho::mgmt
