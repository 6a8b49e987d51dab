// SPDX-License-Identifier: Apache-2.0
// Goal: what goes to collectors is what RFC 5424, RFC 5425 and RFC 7011 say, byte by byte, and holds what docs/logs.md promises.
// Method: records of the unit tests' tenant; messages are taken apart again by a reader written for these tests.
#include <gtest/gtest.h>

#include "mgmt/export/ipfix.h"
#include "mgmt/export/syslog.h"
#include "tests/unit/mgmt/support.h"

namespace sekisho::mgmt {
namespace {

using namespace test;

LogEntry entry_with(std::uint64_t seq, const std::string& svc = "acm00000001") {
  LogEntry out = comm_entry(svc);
  out.seq = seq;
  out.host = "box-17";
  out.core = 3;
  return out;
}

TEST(ExportSyslog, IsOneLineOfTheStandardBehindItsLength) {
  LogEntry entry = entry_with(884213);
  entry.sev = 4;
  std::string out;
  append_syslog(out, entry, Audience::kTenant);
  const std::string line =
      "<132>1 2024-11-28T12:00:00.000+09:00 u0 fwgw - comm [e@32473 v=\"1\" svc=\"acm00000001\" seq=\"884213\" "
      "eid=\"00000000-0000-0000-0000-000000000000\" rev=\"7\"] {\"phase\":\"start\",\"action\":\"allow\",\"reason\":\"rule\",\"dir\":\"in\","
      "\"in_if\":\"net\",\"in_zone\":\"internet\",\"ip_ver\":4,\"proto\":6,\"src_ip\":\"203.0.113.77\",\"dst_ip\":\"10.0.0.2\","
      "\"count\":1,\"sample_n\":1}";
  EXPECT_EQ(out, std::to_string(line.size()) + ' ' + line);
}

TEST(ExportSyslog, SaysHowTheClockWasAsTheStandardDoes) {
  LogEntry entry = entry_with(1);
  for (const bool synced : {true, false}) {
    entry.time_synced = synced;
    std::string out;
    append_syslog(out, entry, Audience::kTenant);
    EXPECT_NE(out.find(std::string("\"][timeQuality tzKnown=\"1\" isSynced=\"") + (synced ? "1" : "0") + "\"] {"), std::string::npos) << out;
  }
  std::string unknown;
  append_syslog(unknown, entry_with(1), Audience::kTenant);
  EXPECT_EQ(unknown.find("timeQuality"), std::string::npos);
}

TEST(ExportSyslog, ShowsTheBoxToTheProviderAlone) {
  std::string tenant, provider;
  append_syslog(tenant, entry_with(1), Audience::kTenant);
  append_syslog(provider, entry_with(1), Audience::kProvider);
  EXPECT_EQ(tenant.find("box-17"), std::string::npos);
  EXPECT_NE(provider.find(" host=\"box-17\" core=\"3\"]"), std::string::npos);
}

TEST(ExportSyslog, CountsBytesAndHoldsNoLineBreak) {
  LogEntry entry = entry_with(1);
  std::get<CommFields>(entry.body).rule_name = "社内\nから\"]";
  std::string out;
  append_syslog(out, entry, Audience::kTenant);
  const std::size_t space = out.find(' ');
  EXPECT_EQ(std::stoul(out.substr(0, space)), out.size() - space - 1);
  EXPECT_EQ(out.find('\n'), std::string::npos);
  EXPECT_NE(out.find("\"rule_name\":\"社内\\u000aから\\\"]\""), std::string::npos);
}

TEST(ExportSyslog, EscapesWhatWouldEndAParameter) {
  LogEntry entry = entry_with(1);
  entry.host = "a\"b\\c]d";
  std::string out;
  append_syslog(out, entry, Audience::kProvider);
  EXPECT_NE(out.find(R"(host="a\"b\\c\]d")"), std::string::npos);
}

std::uint64_t number(std::string_view bytes, std::size_t at, std::size_t width) {
  std::uint64_t out = 0;
  for (std::size_t i = 0; i < width; ++i) out = out << 8U | static_cast<std::uint8_t>(bytes.at(at + i));
  return out;
}

struct Parsed {
  std::uint32_t sequence = 0, domain = 0;
  std::map<std::uint64_t, std::vector<std::pair<std::uint64_t, std::size_t>>> templates;  ///< element (enterprise above 16 bits), bytes
  std::vector<std::map<std::uint64_t, std::string>> records;
};

/// A message with the templates that are known; what they do not describe fails the test.
Parsed parse(const std::string& message, decltype(Parsed::templates) known = {}) {
  Parsed out;
  out.templates = std::move(known);
  EXPECT_EQ(number(message, 0, 2), 10U);
  EXPECT_EQ(number(message, 2, 2), message.size());
  out.sequence = static_cast<std::uint32_t>(number(message, 8, 4));
  out.domain = static_cast<std::uint32_t>(number(message, 12, 4));
  for (std::size_t at = 16; at < message.size();) {
    const std::uint64_t id = number(message, at, 2);
    const std::size_t end = at + number(message, at + 2, 2);
    at += 4;
    while (id == 2 && at < end) {
      auto& fields = out.templates[number(message, at, 2)];
      fields.clear();
      std::size_t left = number(message, at + 2, 2);
      for (at += 4; left > 0; --left) {
        std::uint64_t element = number(message, at, 2);
        const std::size_t bytes = number(message, at + 2, 2);
        at += 4;
        if ((element & 0x8000U) != 0) {
          element = (element & 0x7fffU) | number(message, at, 4) << 16U;
          at += 4;
        }
        fields.emplace_back(element, bytes);
      }
    }
    while (id >= 256 && at < end) {
      auto& record = out.records.emplace_back();
      EXPECT_TRUE(out.templates.contains(id)) << id;
      if (!out.templates.contains(id)) return out;
      for (const auto& [element, bytes] : out.templates.at(id)) {
        record[element] = message.substr(at, bytes);
        at += bytes;
      }
    }
    EXPECT_EQ(at, end);
  }
  return out;
}

constexpr std::uint64_t kOurs = 32473ULL << 16U, kReverse = 29305ULL << 16U;

LogEntry ended(std::uint64_t seq, const char* source, const char* destination) {
  LogEntry out = entry_with(seq);
  auto& comm = std::get<CommFields>(out.body);
  comm.phase = CommPhase::kEnd, comm.src_ip = *parse_address(source), comm.dst_ip = *parse_address(destination);
  comm.src_port = 50000, comm.dst_port = 443, comm.bytes_fwd = 1000, comm.bytes_rev = 70000, comm.pkts_fwd = 10, comm.pkts_rev = 60;
  comm.start_ts = Timestamp{kNoon - kSecond}, comm.end_reason = EndReason::kAged;
  return out;
}

TEST(ExportIpfix, SaysHowTheClockWas) {
  IpfixWriter writer(16384);
  for (const std::optional<bool> synced : {std::optional<bool>(), std::optional(true), std::optional(false)}) {
    LogEntry entry = ended(7, "10.0.0.2", "198.51.100.9");
    entry.time_synced = synced;
    ASSERT_TRUE(writer.add(entry));
  }
  const Parsed got = parse(writer.take(1732762800).at(0));
  ASSERT_EQ(got.records.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(number(got.records[i].at(kOurs | 5U), 0, 1), i);  // a boolean is 1 or 2
}

TEST(ExportIpfix, HoldsBothDirectionsOfAFlowOnce) {
  IpfixWriter writer(16384);
  ASSERT_TRUE(writer.add(ended(7, "10.0.0.2", "198.51.100.9")));
  ASSERT_TRUE(writer.add(ended(8, "2001:db8::2", "2001:db8:1::9")));
  const auto messages = writer.take(1732762800);
  ASSERT_EQ(messages.size(), 1U);
  const Parsed got = parse(messages[0]);
  ASSERT_EQ(got.records.size(), 2U);
  const auto& first = got.records[0];
  EXPECT_EQ(first.at(8), std::string("\x0a\0\0\x02", 4));
  EXPECT_EQ(first.at(12), std::string("\xc6\x33\x64\x09", 4));
  EXPECT_EQ(number(first.at(7), 0, 2), 50000U);
  EXPECT_EQ(number(first.at(11), 0, 2), 443U);
  EXPECT_EQ(number(first.at(1), 0, 8), 1000U);
  EXPECT_EQ(number(first.at(1 | kReverse), 0, 8), 70000U);
  EXPECT_EQ(number(first.at(2), 0, 8), 10U);
  EXPECT_EQ(number(first.at(2 | kReverse), 0, 8), 60U);
  EXPECT_EQ(number(first.at(152), 0, 8), (kNoon - kSecond) / 1'000'000);
  EXPECT_EQ(number(first.at(153), 0, 8), kNoon / 1'000'000);
  EXPECT_EQ(number(first.at(136), 0, 1), 1U);
  EXPECT_EQ(number(first.at(233), 0, 1), 2U);
  EXPECT_EQ(number(first.at(1 | kOurs), 0, 8), 7U);
  EXPECT_EQ(first.at(2 | kOurs), "acm00000001");
  EXPECT_EQ(got.records[1].at(27).size(), 16U);
  EXPECT_EQ(number(got.records[1].at(60), 0, 1), 6U);
}

TEST(ExportIpfix, CountsNoOctetOfAFlowThatHasOnlyBegun) {
  IpfixWriter writer(16384);
  LogEntry started = ended(1, "10.0.0.2", "198.51.100.9");
  std::get<CommFields>(started.body).phase = CommPhase::kStart;
  ASSERT_TRUE(writer.add(started));
  const Parsed got = parse(writer.take(1)[0]);
  EXPECT_EQ(number(got.records.at(0).at(1), 0, 8), 0U);
  EXPECT_EQ(number(got.records.at(0).at(233), 0, 1), 1U);
}

TEST(ExportIpfix, NumbersRecordsOfEachTenantByThemselves) {
  IpfixWriter writer(16384);
  ASSERT_TRUE(writer.add(entry_with(1)) && writer.add(entry_with(2)) && writer.add(entry_with(1, "glb00000002")));
  const auto first = writer.take(1);
  ASSERT_EQ(first.size(), 2U);
  ASSERT_TRUE(writer.add(entry_with(3)) && writer.add(entry_with(2, "glb00000002")));
  const auto second = writer.take(2);
  ASSERT_EQ(second.size(), 2U);
  const Parsed acme = parse(second[0], parse(first[0]).templates);
  const Parsed globex = parse(second[1], parse(first[1]).templates);
  EXPECT_EQ(acme.sequence, 2U);
  EXPECT_EQ(globex.sequence, 1U);
  EXPECT_EQ(acme.domain, ipfix_domain("acm00000001"));
  EXPECT_NE(acme.domain, globex.domain);
  EXPECT_EQ(acme.records.size(), 1U);
}

TEST(ExportIpfix, FillsDatagramsAndNeverMore) {
  IpfixWriter writer(1400);
  for (unsigned i = 0; i < 100; ++i) ASSERT_TRUE(writer.add(ended(i, i % 3 == 0 ? "2001:db8::2" : "10.0.0.2", i % 3 == 0 ? "2001:db8::3" : "10.0.0.3")));
  std::size_t records = 0;
  decltype(Parsed::templates) known;
  for (const std::string& message : writer.take(1)) {
    EXPECT_LE(message.size(), 1400U);
    const Parsed got = parse(message, known);
    EXPECT_EQ(got.sequence, records);
    records += got.records.size();
    known = got.templates;
  }
  EXPECT_EQ(records, 100U);
  EXPECT_TRUE(writer.take(2).empty());
}

TEST(ExportIpfix, SaysItsTemplatesAgainWhenAsked) {
  IpfixWriter writer(1400);
  ASSERT_TRUE(writer.add(entry_with(1)));
  (void)writer.take(1);
  ASSERT_TRUE(writer.add(entry_with(2)));
  EXPECT_TRUE(parse(writer.take(1)[0], parse([] {
                      IpfixWriter other(1400);
                      (void)other.add(entry_with(1));
                      return other.take(1)[0];
                    }()).templates).templates.contains(256));
  writer.send_templates_again();
  ASSERT_TRUE(writer.add(entry_with(3)));
  EXPECT_EQ(parse(writer.take(1)[0]).templates.size(), 2U);
}

TEST(ExportIpfix, TakesFlowsAndNothingElse) {
  IpfixWriter writer(1400);
  EXPECT_FALSE(writer.add(loss_entry(1)));
  LogEntry nowhere = entry_with(1);
  std::get<CommFields>(nowhere.body).dst_ip = {};
  EXPECT_FALSE(writer.add(nowhere));
  EXPECT_TRUE(writer.take(1).empty());
}

}  // namespace
}  // namespace sekisho::mgmt
