// SPDX-License-Identifier: Apache-2.0
#include "mgmt/api/router.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <set>

#include "mgmt/http/message.h"

namespace sekisho::mgmt {
namespace {

const std::string kOpen = "\x7b";  // a brace that is not one of this file's

TEST(Router, FindsMethodsByVerbAndPathAndDecodesFieldsOfThePath) {
  const Router router;
  const auto rules = router.find("GET", "/api/v1/tenants/acm00000001/rules");
  ASSERT_NE(rules.route, nullptr);
  EXPECT_EQ(rules.route->method->name(), "ListRules");
  ASSERT_EQ(rules.fields.size(), 1U);
  EXPECT_EQ(rules.fields[0], (std::pair<std::string, std::string>("tenant", "acm00000001")));
  const auto release = router.find("POST", "/api/v1/tenants/t/bindings/web%2F1/release");
  ASSERT_NE(release.route, nullptr);
  EXPECT_EQ(release.fields[1].second, "web/1");
  EXPECT_EQ(router.find("GET", "/api/v1/tenants//rules").route, nullptr);
  EXPECT_EQ(router.find("GET", "/api/v1/tenants/t/rules/").route, nullptr);
  EXPECT_EQ(router.find("GET", "/api/v1/tenants/%00/rules").route, nullptr);
  EXPECT_EQ(router.find("GET", "/api/v1/tenants/%zz/rules").route, nullptr);
  EXPECT_EQ(router.find("GET", "").route, nullptr);
  const auto wrong = router.find("POST", "/api/v1/tenants/t/rules");
  EXPECT_EQ(wrong.route, nullptr);
  EXPECT_TRUE(wrong.other_verb);
}

TEST(Router, NoTwoMethodsAreAskedTheSameWayAndEveryFieldOfAPathExists) {
  const Router router;
  std::set<std::string> seen;
  for (const Route& route : router.routes()) {
    std::string shape = route.verb;
    for (const auto& segment : route.segments) {
      const bool field = segment.starts_with(kOpen);
      shape += field ? "/{}" : '/' + segment;
      if (field) {
        EXPECT_NE(route.method->input_type()->FindFieldByName(segment.substr(1, segment.size() - 2)), nullptr)
            << route.rule.http();
      }
    }
    EXPECT_TRUE(seen.insert(shape).second) << route.rule.http();
    EXPECT_FALSE(route.rule.summary().empty() && !route.rule.download()) << route.rule.http();
    const bool of_tenant = route.method->input_type()->FindFieldByName("tenant") != nullptr;
    EXPECT_EQ(of_tenant, route.rule.http().find("/tenants/{tenant}") != std::string::npos) << route.rule.http();
    if (route.rule.http().find("/platform/") != std::string::npos) {
      EXPECT_GE(route.rule.action(), api::PLATFORM_VIEW) << route.rule.http();
    }
  }
}

TEST(RouterJson, ReadsWhatTheMessageHasAndRefusesTheRest) {
  api::LoginRequest out;
  EXPECT_FALSE(read_json(R"({"account": "a@b", "password": "p"})", out));
  EXPECT_EQ(out.account(), "a@b");
  EXPECT_TRUE(read_json(R"({"acount": "a"})", out));
  EXPECT_TRUE(read_json("[]", out));
  EXPECT_TRUE(read_json("{", out));
  EXPECT_TRUE(read_json(R"({"account": {}})", out));
  api::TableRequest table;
  EXPECT_TRUE(read_json(R"({"limit": -1})", table));
  EXPECT_FALSE(read_json("", table));
}

TEST(RouterJson, BombsAreRefusedBeforeTheyAreRead) {
  api::CheckRequest out;
  std::string deep = kOpen + "\"document\": ";
  for (std::size_t i = 0; i < kJsonDepthMax; ++i) deep += kOpen + "\"a\":";
  EXPECT_EQ(read_json(deep, out).message, "the JSON is nested too deeply");
  std::string wide = "[";
  for (std::size_t i = 0; i < kJsonValuesMax; ++i) wide += "1,";
  EXPECT_EQ(read_json(R"({"document": {"a": )" + wide + "1]}}", out).message, "the JSON holds too many values");
  const std::string brackets = std::string(kJsonDepthMax * 2, '[') + "\\\"" + std::string(100, kOpen[0]);
  EXPECT_FALSE(read_json("{\"document\": {\"a\": \"" + brackets + "\"}}", out)) << "brackets inside a text are no depth";
}

TEST(RouterQuery, SetsScalarsAndListsAndNothingElse) {
  api::DownloadRequest out;
  EXPECT_FALSE(read_query("types=comm&types=sec&gzip=true&offset=5000000000&window=month", out));
  EXPECT_EQ(out.types_size(), 2);
  EXPECT_TRUE(out.gzip());
  EXPECT_EQ(out.offset(), 5'000'000'000U);
  EXPECT_TRUE(read_query("gzip=yes", out));
  EXPECT_TRUE(read_query("offset=-1", out));
  EXPECT_TRUE(read_query("nothing=1", out));
  EXPECT_TRUE(read_query("window=%4", out));
  api::SearchRequest search;
  EXPECT_TRUE(read_query("conditions=x", search));
}

TEST(RouterOpenApi, IsJsonAndKnowsEveryMethod) {
  const Router router;
  google::protobuf::Struct document;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(openapi_document(router), &document).ok());
  std::size_t operations = 0;
  for (const auto& [path, verbs] : document.fields().at("paths").struct_value().fields())
    operations += verbs.struct_value().fields().size();
  EXPECT_EQ(operations, router.routes().size());
}

/// Names of the headers an operation of the document takes.
std::vector<std::string> headers_of(const google::protobuf::Struct& document, const std::string& path, const std::string& verb) {
  const auto& operation = document.fields().at("paths").struct_value().fields().at(path).struct_value().fields().at(verb).struct_value().fields();
  std::vector<std::string> out;
  if (!operation.contains("parameters")) return out;
  for (const auto& parameter : operation.at("parameters").list_value().values()) {
    const auto& fields = parameter.struct_value().fields();
    if (fields.at("in").string_value() == "header") out.push_back(fields.at("name").string_value());
  }
  return out;
}

TEST(RouterOpenApi, NamesTheHeadersAMethodTakesAndNoOthers) {
  const Router router;
  google::protobuf::Struct document;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(openapi_document(router), &document).ok());
  using Names = std::vector<std::string>;
  const std::string config = "/api/v1/tenants/{tenant}/config";
  EXPECT_EQ(headers_of(document, config + "/commit", "post"), (Names{"If-Match", "Idempotency-Key"}));
  EXPECT_EQ(headers_of(document, "/api/v1/platform/config/commit", "post"), (Names{"If-Match", "Idempotency-Key"}));
  EXPECT_EQ(headers_of(document, config + "/confirm", "post"), Names{"Idempotency-Key"});
  EXPECT_EQ(headers_of(document, "/api/v1/tenants/{tenant}/keys/{id}", "delete"), Names{"Idempotency-Key"});
  EXPECT_EQ(headers_of(document, config, "get"), Names{}) << "what reads does nothing twice";
  EXPECT_EQ(headers_of(document, "/api/v1/login", "post"), Names{}) << "answers are kept for accounts, and there is none yet";
}

TEST(Cookie, IsTakenOnceOrNotAtAll) {
  EXPECT_EQ(cookie_value("__Host-sekisho=abc", "__Host-sekisho"), "abc");
  EXPECT_EQ(cookie_value("a=b; __Host-sekisho=abc; c=d", "__Host-sekisho"), "abc");
  EXPECT_EQ(cookie_value("x__Host-sekisho=abc", "__Host-sekisho"), "");
  EXPECT_EQ(cookie_value("__Host-sekisho=abc; __Host-sekisho=def", "__Host-sekisho"), "");
  EXPECT_EQ(cookie_value("__Host-sekisho=" + std::string(200, 'a'), "__Host-sekisho"), "");
  EXPECT_EQ(cookie_value("", "__Host-sekisho"), "");
  EXPECT_EQ(cookie_value(";;=;", ""), "");
}

}  // namespace
}  // namespace sekisho::mgmt
