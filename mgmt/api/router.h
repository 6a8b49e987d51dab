// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/proto/api.pb.h"

/// HTTP to methods of base/proto/api.proto, by what stands beside them there. Pure.
namespace sekisho::mgmt {

struct Route {
  const google::protobuf::MethodDescriptor* method = nullptr;
  api::MethodRule rule;
  std::string verb;                   ///< "GET"
  std::vector<std::string> segments;  ///< of the path; "{tenant}" stands for a field
};

class Router {
 public:
  Router();
  struct Match {
    const Route* route = nullptr;                             ///< null: there is no such path
    std::vector<std::pair<std::string, std::string>> fields;  ///< of the path, decoded
    bool other_verb = false;                                  ///< the path exists, the verb does not
  };
  [[nodiscard]] Match find(std::string_view verb, std::string_view path) const;
  [[nodiscard]] const std::vector<Route>& routes() const { return routes_; }

 private:
  std::vector<Route> routes_;
};

/// Why a request is not what its method takes. Empty message: it is.
struct Malformed {
  std::string message;
  std::string path = {};
  explicit operator bool() const { return !message.empty(); }
};

inline constexpr std::size_t kJsonDepthMax = 32;
inline constexpr std::size_t kJsonValuesMax =
    600'000;  ///< a value of one byte costs hundred times that once it is read

/// Fills `out` from a JSON body. Refuses what is too deep or too much before it is read, and what the message has no
/// field for.
Malformed read_json(std::string_view body, google::protobuf::Message& out);
/// Fills fields of `out` from "a=1&b=x". A list is said by several.
Malformed read_query(std::string_view query, google::protobuf::Message& out);
/// Sets one field from text.
Malformed set_field(google::protobuf::Message& out, const std::string& name, const std::string& text);
/// All fields, named as in the schema.
std::string write_json(const google::protobuf::Message& message);

/// OpenAPI 3.1, made from the schema.
std::string openapi_document(const Router& router);

}  // namespace sekisho::mgmt
