// SPDX-License-Identifier: Apache-2.0
// Goal: a document becomes exactly its model, or every fault is named by path, line and column.
// Method: small documents whose faults are counted by hand; the full example for the way there and back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "control/config/text.h"
#include "tests/unit/control/documents.h"

namespace sekisho::control::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::string decode_lines(std::string_view text) {
  std::string out;
  for (const auto& finding : decode_document(text).findings) out += to_line("f", finding) + '\n';
  return out;
}

TEST(Codec, ReadsEveryKindOfField) {
  const Decoded decoded = decode_document(kExample);

  ASSERT_EQ(decode_lines(kExample), "");
  const auto& acme = decoded.model.tenants(0);
  EXPECT_EQ(acme.name(), "acme");
  EXPECT_EQ(acme.ports(0).outer_vlan(), 100U);
  EXPECT_EQ(acme.ports(1).outer_tag(), model::DOT1AD);
  EXPECT_EQ(acme.bindings(1).extra_ethertypes(0), 0x88ccU);
  EXPECT_EQ(acme.bindings(1).roles(1), model::Binding::FORWARDING);
  EXPECT_FALSE(acme.policies(0).rules(1).enabled());
  EXPECT_TRUE(acme.policies(0).rules(0).enabled());
  EXPECT_EQ(acme.policies(0).rules(2).name(), "印刷機は拒否");
  EXPECT_EQ(decoded.model.nics(1).mtu(), 1500U);
}

TEST(Codec, WritesWhatItReadsBack) {
  const Decoded first = decode_document(kExample);

  const std::string text = encode_document(first.model);
  const Decoded second = decode_document(text);

  EXPECT_EQ(decode_lines(text), "");
  EXPECT_EQ(encode_document(second.model), text);
  EXPECT_EQ(second.model.tenants(0).policies(0).rules(2).name(), "印刷機は拒否");
  EXPECT_THAT(text, Not(HasSubstr("mtu: 1500")));
}

TEST(Codec, TakesJson) {
  const Decoded decoded = decode_document(R"({"nics": [{"name": "a", "device": "net_null0", "mtu": 9000}]})");

  ASSERT_TRUE(decoded.findings.empty());
  EXPECT_EQ(decoded.model.nics(0).mtu(), 9000U);
}

TEST(Codec, TakesAnEmptyMapAsTheEmptyConfiguration) {
  EXPECT_EQ(decode_lines("{}"), "");
  EXPECT_EQ(encode_document(decode_document("{}").model), "{}\n");
}

TEST(Codec, NamesAnUnknownFieldByLineAndColumn) {
  EXPECT_THAT(decode_lines("node: u0\nnics:\n  - { name: a, device: d, speed: 5 }\n"),
              StartsWith("f:3:27: error: nics[0].speed: unknown field; the fields here are name, device, mtu"));
}

TEST(Codec, CountsColumnsInCharacters) {
  EXPECT_THAT(decode_lines("tenants:\n  - { name: \"印刷\", bad: 1, service_code: x }\n"), StartsWith("f:2:19: error: tenants[0].bad:"));
}

TEST(Codec, CountsColumnsInOneLongLine) {
  std::string text = "nics: [";
  for (int i = 0; i < 20'000; ++i) text += "{ name: \"石\", device: b }, ";
  const std::size_t characters = count_characters(text);
  text += "{ nam: c } ]";

  const auto findings = decode_document(text).findings;

  ASSERT_FALSE(findings.empty());
  EXPECT_EQ(findings.back().column, characters + 3);
}

TEST(Codec, ListsEveryFaultInOrder) {
  const std::string lines = decode_lines("nodes: 1\nnics: a\ntenants:\n  - service_code: x\n    zones: [ok, [a]]\n    sessions_max: many\n");

  EXPECT_EQ(lines,
            "f:1:1: error: nodes: unknown field; the fields here are node, nics, uplinks, tenants, guards, sign_in, log_exports, notify, "
            "responders\n"
            "f:2:7: error: nics: must be a list, not \"a\"\n"
            "f:4:5: error: tenants[0].name: the field is missing\n"
            "f:5:17: error: tenants[0].zones[1]: must be a text, not a list\n"
            "f:6:19: error: tenants[0].sessions_max: must be a whole number from 0 to 4294967295, without quotes, not \"many\"\n");
}

TEST(Codec, NamesAWrongTypeAtDepth) {
  const std::string text = with(kExample, "enabled: false", "enabled: 0");

  EXPECT_EQ(decode_lines(text), "f:51:59: error: tenants[0].policies[0].rules[1].enabled: must be true or false, not \"0\"\n");
}

TEST(Codec, RefusesAQuotedNumberAndTakesAPlainOne) {
  EXPECT_THAT(decode_lines("nics: [ { name: a, device: d, mtu: \"1500\" } ]"), HasSubstr("nics[0].mtu: must be a whole number"));
  EXPECT_EQ(decode_lines("nics: [ { name: a, device: d, mtu: 1500 } ]"), "");
}

TEST(Codec, RefusesNumbersThatDoNotFit) {
  for (const char* number : {"-1", "4294967296", "1.5", "0x", "1e3", "+1"}) {
    EXPECT_THAT(decode_lines(std::string("nics: [ { name: a, device: d, mtu: ") + number + " } ]"), HasSubstr("whole number")) << number;
  }
  EXPECT_EQ(decode_lines("nics: [ { name: a, device: d, mtu: 4294967295 } ]"), "");
}

TEST(Codec, NamesTheValuesOfAnEnumeration) {
  EXPECT_THAT(decode_lines("tenants: [ { service_code: a, name: a, default_log: often } ]"),
              HasSubstr("tenants[0].default_log: must be one of folded, each, none, not \"often\""));
}

TEST(Codec, RefusesAFieldGivenTwice) {
  EXPECT_EQ(decode_lines("node: u0\nnode: u1\n"), "f:2:1: error: node: the field is given twice\n");
}

TEST(Codec, RefusesAliasesAnchorsAndTags) {
  EXPECT_EQ(decode_lines("node: &a u0\n"), "f:1:7: error: node: anchors (&name) are not accepted\n");
  EXPECT_THAT(decode_lines("node: *a\n"), HasSubstr("error"));
  EXPECT_THAT(decode_lines("node: &a u0\nnics: *a\n"), HasSubstr("f:2:7: error: nics: aliases (*name) are not accepted"));
  EXPECT_THAT(decode_lines("node: !!str u0\n"), HasSubstr("node: tags (tag:yaml.org,2002:str) are not accepted"));
}

TEST(Codec, RefusesNothingWhereSomethingIsNeeded) {
  EXPECT_EQ(decode_lines("node:\n"), "f:1:1: error: node: must be a text, not nothing\n");
  EXPECT_THAT(decode_lines(""), HasSubstr("the document is empty"));
  EXPECT_THAT(decode_lines("# only a comment\n"), HasSubstr("the document is empty"));
}

TEST(Codec, RefusesASecondDocument) {
  EXPECT_THAT(decode_lines("node: u0\n---\nnode: u1\n"), HasSubstr("a file holds one document"));
}

TEST(Codec, RefusesKeysThatAreNoWords) {
  EXPECT_THAT(decode_lines("? [a, b]\n: c\n"), HasSubstr("a field name is expected here"));
  EXPECT_THAT(decode_lines("? { a: b }\n: { c: d }\nnode: u0\n"), HasSubstr("f:1:3: error: a field name is expected here"));
}

TEST(Codec, SaysWhereItIsNoYaml) {
  EXPECT_THAT(decode_lines("node: u0\nnics: [ a, b\n"), HasSubstr("not YAML: "));
  EXPECT_THAT(decode_lines("node: u0\n\tnics: []\n"), StartsWith("f:2:"));
}

TEST(Codec, RefusesDepthBeyondTheLimit) {
  const auto nested = [](std::size_t depth) { return "x: " + std::string(depth, '[') + std::string(depth, ']') + "\n"; };

  EXPECT_THAT(decode_lines(nested(limits::kDocumentDepthMax)), HasSubstr("nested more than 32 levels deep"));
  EXPECT_THAT(decode_lines(nested(limits::kDocumentDepthMax - 1)), Not(HasSubstr("levels deep")));
  EXPECT_THAT(decode_lines(nested(100'000)), HasSubstr("levels deep"));
}

TEST(Codec, RefusesWhatIsNotCleanUtf8) {
  EXPECT_THAT(decode_lines(std::string("node: u0\nx: \0", 13)), StartsWith("f:2:4: error: a document is UTF-8"));
  EXPECT_THAT(decode_lines("node: \xff\n"), StartsWith("f:1:7: error:"));
  EXPECT_THAT(decode_lines("node: \xc0\x80\n"), StartsWith("f:1:7: error:"));
  EXPECT_THAT(decode_lines("node: \xed\xa0\x80\n"), StartsWith("f:1:7: error:"));
  EXPECT_EQ(decode_lines("\xef\xbb\xbfnode: u0\n"), "");
}

TEST(Codec, StopsListingAfterAThousandFindings) {
  std::string text;
  for (std::size_t i = 0; i < kFindingsMax + 500; ++i) text += "x" + std::to_string(i) + ": 1\n";

  const auto findings = decode_document(text).findings;

  EXPECT_EQ(findings.size(), kFindingsMax + 1);
  EXPECT_EQ(findings.back().sentence, "at least 500 further findings are left out");
}

TEST(Codec, SurvivesEveryTruncationOfTheExample) {
  for (std::size_t length = 0; length < kExample.size(); length += 7) {
    const Decoded decoded = decode_document(kExample.substr(0, length));
    if (decoded.findings.empty()) {
      const auto findings = validate(decoded);
      EXPECT_LE(findings.size(), kFindingsMax);
    }
  }
}

}  // namespace
}  // namespace sekisho::control::test
