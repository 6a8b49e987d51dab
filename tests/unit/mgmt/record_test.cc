// SPDX-License-Identifier: Apache-2.0
// Goal: a hostile ring record is refused by name of its member; an honest one gets the names of its own tenant only.
// Method: one honest record a kind, each member pushed just out of range in turn.
#include "mgmt/log/record.h"

#include <gtest/gtest.h>

#include "base/limits.h"
#include "mgmt/log/enrich.h"
#include "mgmt/log/events.h"
#include "mgmt/log/format.h"
#include "tests/unit/mgmt/support.h"

namespace sekisho::mgmt {
namespace {

using namespace test;

template <typename Body, typename Change>
bool accepted(LogKind kind, Body body, Change change) {
  LogEnvelope head = envelope(kind);
  if (kind == LogKind::kSec) head.drop_reason = static_cast<std::uint8_t>(filters::DropReason::kAeArpSpa);
  change(head, body);
  return decode_record(pack(head, body)).has_value();
}

bool comm_accepted(auto change) {
  return accepted(LogKind::kComm, comm_body(), change);
}

SecBody sec_body() {
  SecBody body{};
  body.source = {10, 0, 0, 1};
  body.destination = {10, 0, 0, 1};
  body.binding = kBinding;
  body.in_port = kInside;
  body.ethernet_source = body.claimed_mac = *parse_mac("52:54:00:00:01:11");
  body.ethernet_destination = *parse_mac("ff:ff:ff:ff:ff:ff");
  body.ether_type = 0x0806;
  body.arp_operation = 2;
  body.first_timestamp = kNoon - kSecond;
  body.last_timestamp = kNoon;
  return body;
}

NameCache cache_with(std::initializer_list<std::shared_ptr<const Names>> generations) {
  NameCache cache;
  for (const auto& one : generations) cache.add(one);
  return cache;
}

LogEntry enriched(const LogRecord& raw, const NameCache& cache) {
  const auto record = decode_record(raw);
  EXPECT_TRUE(record);
  auto entry = enrich(*record, cache);
  EXPECT_TRUE(entry);
  return *entry;
}

std::string text(const LogEntry& entry) {
  std::string out;
  append_json(out, entry, Audience::kTenant);
  return out;
}

TEST(Record, EnvelopeOutOfRangeIsRefused) {
  EXPECT_TRUE(comm_accepted([](LogEnvelope&, CommBody&) {}));
  EXPECT_FALSE(comm_accepted([](LogEnvelope& e, CommBody&) { e.timestamp = 0; }));
  EXPECT_FALSE(comm_accepted([](LogEnvelope& e, CommBody&) { e.timestamp = kTimestampMin - 1; }));
  EXPECT_TRUE(comm_accepted([](LogEnvelope& e, CommBody&) { e.timestamp = kTimestampMin; }));
  EXPECT_FALSE(comm_accepted([](LogEnvelope& e, CommBody&) { e.tenant = 1U << 20; }));
  EXPECT_TRUE(comm_accepted([](LogEnvelope& e, CommBody&) { e.tenant = (1U << 20) - 1; }));
  EXPECT_FALSE(comm_accepted([](LogEnvelope& e, CommBody&) { e.generation = 0; }));
  EXPECT_FALSE(comm_accepted([](LogEnvelope& e, CommBody&) { e.kind = LogKind{0}; }));
  EXPECT_FALSE(comm_accepted([](LogEnvelope& e, CommBody&) { e.kind = LogKind{4}; }));
  EXPECT_FALSE(comm_accepted([](LogEnvelope& e, CommBody&) { e.shard = 16; }));
  EXPECT_FALSE(comm_accepted(
      [](LogEnvelope& e, CommBody&) { e.drop_reason = static_cast<std::uint8_t>(filters::DropReason::kCount); }));
  EXPECT_FALSE(comm_accepted([](LogEnvelope& e, CommBody&) { e.count = 0; }));
}

TEST(Record, CommMembersOutOfRangeAreRefused) {
  EXPECT_FALSE(comm_accepted([](LogEnvelope&, CommBody& b) { b.ip_version = 5; }));
  EXPECT_FALSE(comm_accepted([](LogEnvelope&, CommBody& b) { b.phase = CommPhase{0}; }));
  EXPECT_FALSE(comm_accepted([](LogEnvelope&, CommBody& b) { b.phase = CommPhase{5}; }));
  EXPECT_FALSE(comm_accepted([](LogEnvelope&, CommBody& b) { b.action = CommAction{0}; }));
  EXPECT_FALSE(comm_accepted([](LogEnvelope&, CommBody& b) { b.action = CommAction{4}; }));
  EXPECT_FALSE(comm_accepted([](LogEnvelope&, CommBody& b) { b.phase = CommPhase::kDrop; }));
  EXPECT_FALSE(comm_accepted([](LogEnvelope&, CommBody& b) { b.end_reason = EndReason{10}; }));
  EXPECT_TRUE(comm_accepted([](LogEnvelope&, CommBody& b) { b.end_reason = EndReason::kSchedule; }));
}

TEST(Record, SecMembersOutOfRangeAreRefused) {
  const auto sec = [](auto change) { return accepted(LogKind::kSec, sec_body(), change); };
  EXPECT_TRUE(sec([](LogEnvelope&, SecBody&) {}));
  EXPECT_FALSE(sec([](LogEnvelope& e, SecBody&) { e.drop_reason = 0; }));
  EXPECT_FALSE(sec(
      [](LogEnvelope& e, SecBody&) { e.drop_reason = static_cast<std::uint8_t>(filters::DropReason::kTcpWindow); }));
  EXPECT_FALSE(sec([](LogEnvelope&, SecBody& b) { b.ip_version = 7; }));
  EXPECT_FALSE(sec([](LogEnvelope&, SecBody& b) { b.arp_operation = 3; }));
  EXPECT_FALSE(sec([](LogEnvelope&, SecBody& b) { b.nd_type = 132; }));
  EXPECT_FALSE(sec([](LogEnvelope&, SecBody& b) { b.nd_type = 138; }));
  EXPECT_TRUE(sec([](LogEnvelope&, SecBody& b) { b.nd_type = 137; }));
}

TEST(Record, LossMembersOutOfRangeAreRefused) {
  EXPECT_TRUE(decode_record(loss_record(1)));
  EXPECT_FALSE(decode_record(loss_record(0)));
  EXPECT_FALSE(decode_record(loss_record(kLossCountMax + 1)));
  EXPECT_FALSE(decode_record(loss_record(1, LogKind::kLoss)));
  EXPECT_FALSE(decode_record(loss_record(1, LogKind{0})));
  const auto why = [](LossCause cause) {
    return accepted(LogKind::kLoss, LossBody{kNoon, kNoon, 1, LogKind::kComm, cause, {}}, [](LogEnvelope&, LossBody&) {});
  };
  EXPECT_TRUE(why(LossCause::kRateLimit));
  EXPECT_FALSE(why(LossCause::kNone));
  EXPECT_FALSE(why(LossCause::kDiskFull)) << "only logd knows that";
}

TEST(Record, ANoticeIsASecRecordWithoutAPacket) {
  const auto notice = [](LogKind kind, std::uint8_t number, std::uint8_t reason) {
    const LogEnvelope head{kNoon, kAcme, 7, kind, 0, reason, number, 1};
    return decode_record(kind == LogKind::kSec ? pack(head, sec_body()) : pack(head, comm_body())).has_value();
  };
  EXPECT_TRUE(notice(LogKind::kSec, kNoticeLogRate, 0));
  EXPECT_FALSE(notice(LogKind::kSec, kNoticeCount, 0));
  EXPECT_FALSE(notice(LogKind::kSec, kNoticeLogRate, static_cast<std::uint8_t>(filters::DropReason::kAeMac)));
  EXPECT_FALSE(notice(LogKind::kComm, kNoticeLogRate, 0));
  const auto entry = enriched(pack({kNoon, kAcme, 7, LogKind::kSec, 0, 0, kNoticeLogRate, 1}, SecBody{}), cache_with({names(7)}));
  const auto& sec = std::get<SecFields>(entry.body);
  EXPECT_EQ(sec.event, "CAP_LOGRATE");
  EXPECT_EQ(sec.action, SecAction::kRateLimited);
  EXPECT_EQ(sec.cat, SecCategory::kCapacity);
}

TEST(Record, ANoticeOfAQuotaSaysItsPercentAndNoOtherDoes) {
  const auto notice = [](std::uint8_t number, std::uint8_t level, std::uint32_t rule) {
    SecBody body{};
    body.level = level;
    body.rule = rule;
    return decode_record(pack({kNoon, kAcme, 7, LogKind::kSec, 0, 0, number, 1}, body)).has_value();
  };
  for (unsigned number = kNoticeQuotaSessions; number <= kNoticeQuotaRules; ++number) {
    EXPECT_TRUE(notice(static_cast<std::uint8_t>(number), 80, 0));
    EXPECT_FALSE(notice(static_cast<std::uint8_t>(number), 0, 0));
    EXPECT_FALSE(notice(static_cast<std::uint8_t>(number), 101, 0));
  }
  EXPECT_TRUE(notice(kNoticeRuleEnding, 0, 5));
  EXPECT_FALSE(notice(kNoticeRuleEnding, 80, 5));
  EXPECT_FALSE(notice(kNoticeRuleExpired, 0, limits::kRuleIdMax + 1));
}

TEST(Enrich, QuotasAndEndingRulesAreToldInWords) {
  const auto told = [](LogNotice notice, std::uint8_t level, std::uint32_t rule) {
    SecBody body{};
    body.binding = body.in_port = 0xffffffff;
    body.level = level;
    body.rule = rule;
    const auto entry = enriched(pack({kNoon, kAcme, 7, LogKind::kSec, 0, 0, notice, 1}, body), cache_with({names(7)}));
    return std::get<SecFields>(entry.body);
  };
  const SecFields states = told(kNoticeQuotaSessions, 95, 0);
  EXPECT_EQ(states.event, "CAP_STATES");
  EXPECT_EQ(states.action, SecAction::kDetected);
  EXPECT_EQ(states.msg, "In use of the tenant's quota of concurrent connections: 95 percent");
  EXPECT_EQ(states.rule_id, Uuid{});
  const SecFields ending = told(kNoticeRuleEnding, 0, kRule);
  EXPECT_EQ(ending.event, "CFG_RULE_ENDING");
  EXPECT_EQ(ending.cat, SecCategory::kConfig);
  EXPECT_NE(ending.rule_id, Uuid{});
  EXPECT_FALSE(ending.rule_name.empty());
  EXPECT_EQ(told(kNoticeRuleExpired, 0, kRule).event, "CFG_RULE_EXPIRED");
  for (unsigned number = kNoticeLogRate; number < kNoticeCount; ++number) {
    EXPECT_NE(find_event(notice_info(static_cast<LogNotice>(number)).code), nullptr) << number;
  }
}

TEST(Enrich, ADroppedPacketsRecordNamesTheClassThatDroppedIt) {
  CommBody body = comm_body();
  body.phase = CommPhase::kDrop, body.action = CommAction::kDrop, body.rule = 0xffffffff;
  for (const auto reason : {filters::DropReason::kL4Truncated, filters::DropReason::kUdpLength}) {  // both "malformed"
    LogEnvelope head = envelope(LogKind::kComm);
    head.drop_reason = static_cast<std::uint8_t>(reason);
    const auto entry = enriched(pack(head, body), cache_with({names(7)}));
    EXPECT_EQ(std::get<CommFields>(entry.body).drop, filters::info(reason).name);
    EXPECT_NE(text(entry).find("\"drop\":\"" + std::string(filters::info(reason).name) + '"'), std::string::npos);
  }
  EXPECT_EQ(std::get<CommFields>(enriched(pack(envelope(LogKind::kComm), comm_body()), cache_with({names(7)})).body).drop, "");
}

TEST(Enrich, AllowedFlowSpeaksByNames) {
  const LogEntry entry = enriched(comm_record(), cache_with({names(7)}));

  EXPECT_EQ(
      text(entry),
      R"({"v":1,"type":"comm","ts":"2024-11-28T12:00:00.000+09:00","svc":"acm00000001","node":"u0","seq":0,"rev":7,)"
      R"("sev":6,"phase":"start","action":"allow","reason":"rule","flow_id":"0000000000000abc","dir":"in",)"
      R"("in_if":"net","out_if":"web1","in_zone":"internet","out_zone":"servers","ip_ver":4,"proto":6,)"
      R"("src_ip":"203.0.113.77","src_port":50000,"dst_ip":"10.0.0.2","dst_port":80,)"
      R"("rule_id":"42424242-4242-4242-4242-424242424242","rule_name":"web allowed","rule_no":3,"policy":"inside",)"
      R"("segment":"web1","pkt_len":60,"tcp_flags":2,"count":1,"sample_n":1})");
}

TEST(Enrich, ASegmentIsTheOneAFlowIsForElseTheOneItComesFrom) {
  const auto segment = [](std::uint32_t in, std::uint32_t out) {
    CommBody body = comm_body();
    body.in_port = in, body.out_port = out;
    return std::get<CommFields>(enriched(pack(envelope(LogKind::kComm), body), cache_with({names(7)})).body).segment;
  };
  EXPECT_EQ(segment(kOutside, kInside), "web1");
  EXPECT_EQ(segment(kInside, kOutside), "web1");
  EXPECT_EQ(segment(kOutside, kOutside), "");
  EXPECT_EQ(segment(kOutside, 0xffffffff), "") << "dropped before it was known where to";
  EXPECT_EQ(segment(kOutside, kForeign), "") << "another tenant's is never named";
}

TEST(Enrich, EndCarriesTotalsAndDuration) {
  CommBody body = comm_body();
  body.phase = CommPhase::kEnd;
  body.start_timestamp = kNoon - 4'314'000'000;
  body.bytes_forward = 10, body.bytes_reverse = 20, body.packets_forward = 1, body.packets_reverse = 2;
  body.end_reason = EndReason::kAged;

  const auto comm = std::get<CommFields>(enriched(pack(envelope(LogKind::kComm), body), cache_with({names(7)})).body);

  EXPECT_EQ(comm.dur_ms, 4314U);
  EXPECT_EQ(comm.bytes_rev, 20U);
  EXPECT_EQ(comm.end_reason, EndReason::kAged);
}

TEST(Enrich, DefaultDenyHasItsNameAndNumberButNoRuleId) {
  CommBody body = comm_body();
  body.phase = CommPhase::kDrop, body.action = CommAction::kDrop, body.out_port = 0xffffffff, body.rule = kDefaultRule;
  LogEnvelope head = envelope(LogKind::kComm);
  head.drop_reason = static_cast<std::uint8_t>(filters::DropReason::kDefaultDeny);

  for (const std::uint32_t rule : {kDefaultRule, 0xffffffffU}) {
    body.rule = rule;
    const LogEntry entry = enriched(pack(head, body), cache_with({names(7)}));
    const auto& comm = std::get<CommFields>(entry.body);
    EXPECT_EQ(comm.reason, filters::LogReason::kDefault);
    EXPECT_EQ(comm.rule_name, "既定拒否");
    EXPECT_EQ(comm.rule_no, 0);
    EXPECT_EQ(comm.rule_id, Uuid{});
    EXPECT_EQ(comm.flow_id, HexId{});
    EXPECT_EQ(comm.out_if, "");
    EXPECT_EQ(entry.sev, 4);
  }
}

TEST(Enrich, DirectionIsTowardTheProtectedSide) {
  const auto direction = [](std::uint32_t in, std::uint32_t out) {
    CommBody body = comm_body();
    body.in_port = in, body.out_port = out;
    return std::get<CommFields>(enriched(pack(envelope(LogKind::kComm), body), cache_with({names(7)})).body).dir;
  };
  EXPECT_EQ(direction(kOutside, kInside), Direction::kIn);
  EXPECT_EQ(direction(kInside, kOutside), Direction::kOut);
  EXPECT_EQ(direction(kInside, kInside), Direction::kLateral);
  EXPECT_EQ(direction(kOutside, 0xffffffff), Direction::kIn);
  EXPECT_EQ(direction(kInside, 0xffffffff), Direction::kOut);
}

TEST(Enrich, IcmpHasTypeAndCodeAndNoPorts) {
  CommBody body = comm_body();
  body.protocol = 58, body.ip_version = 6, body.source_port = 128 << 8 | 3;

  const auto comm = std::get<CommFields>(enriched(pack(envelope(LogKind::kComm), body), cache_with({names(7)})).body);

  EXPECT_EQ(comm.icmp_type, 128);
  EXPECT_EQ(comm.icmp_code, 3);
  EXPECT_FALSE(comm.src_port.has_value());
  EXPECT_FALSE(comm.tcp_flags.has_value());
  EXPECT_EQ(comm.src_ip.family, Family::kIpv6);
}

TEST(Enrich, NeverShowsAnotherTenantsNames) {
  CommBody body = comm_body();
  body.in_port = body.out_port = kForeign;
  body.rule = kRule;

  const std::string acme = text(enriched(pack(envelope(LogKind::kComm), body), cache_with({names(7)})));
  const std::string globex = text(enriched(pack(envelope(LogKind::kComm, kGlobex), body), cache_with({names(7)})));

  EXPECT_EQ(acme.find("secret"), std::string::npos) << acme;
  EXPECT_NE(globex.find("secret-port"), std::string::npos);
  EXPECT_EQ(globex.find("web allowed"), std::string::npos);
}

TEST(Enrich, SharedUplinkIsEverybodys) {
  ipc::NameTable table = name_table(7);
  table.mutable_ports(2)->set_tenant(0xffffffff);
  NameCache cache = cache_with({std::make_shared<Names>(table)});
  CommBody body = comm_body();
  body.in_port = kForeign;

  const auto comm = std::get<CommFields>(enriched(pack(envelope(LogKind::kComm), body), cache).body);

  EXPECT_EQ(comm.in_if, "secret-port");
}

TEST(Enrich, OfAnotherGenerationLeavesOutWhatMayHaveBeenRenamed) {
  const auto exact = std::get<CommFields>(enriched(comm_record(), cache_with({names(6, "old"), names(7, "new")})).body);
  const auto nearest = std::get<CommFields>(enriched(comm_record(), cache_with({names(6, "old")})).body);

  EXPECT_EQ(exact.rule_name, "new");
  EXPECT_EQ(nearest.rule_name, "");
  EXPECT_EQ(nearest.policy, "");
  EXPECT_EQ(nearest.in_if, "net");
  EXPECT_NE(nearest.rule_id, Uuid{});
}

TEST(Enrich, RuleRemovedByTheGenerationInForceKeepsItsLastName) {
  ipc::NameTable without = name_table(7);
  without.clear_rules();

  const auto comm = std::get<CommFields>(
      enriched(comm_record(), cache_with({names(6, "gone"), std::make_shared<Names>(without)})).body);

  EXPECT_EQ(comm.rule_name, "gone");
}

TEST(Enrich, ArpViolationNamesBindingAndClaims) {
  LogEnvelope head = envelope(LogKind::kSec);
  head.drop_reason = static_cast<std::uint8_t>(filters::DropReason::kAeArpSpa);
  head.count = 56;

  const std::string line = text(enriched(pack(head, sec_body()), cache_with({names(7)})));

  EXPECT_EQ(
      line,
      R"({"v":1,"type":"sec","ts":"2024-11-28T12:00:00.000+09:00","svc":"acm00000001","node":"u0","seq":0,"rev":7,)"
      R"("sev":4,"event":"AE_ARP_SPA","cat":"address","action":"dropped","first_ts":"2024-11-28T11:59:59.000+09:00",)"
      R"("last_ts":"2024-11-28T12:00:00.000+09:00","count":56,"binding":"web1-eth0","bind_mac":"52:54:00:00:01:11",)"
      R"("bind_ips":["10.0.0.2"],"segment":"web1","in_if":"web1","eth_src":"52:54:00:00:01:11","eth_dst":"ff:ff:ff:ff:ff:ff",)"
      R"("eth_type":2054,"arp_op":2,"arp_sha":"52:54:00:00:01:11","arp_spa":"10.0.0.1","arp_tpa":"10.0.0.1",)"
      R"("msg":"ARP sender address is not assigned to this port"})");
}

TEST(Enrich, MessageNamesTheDropReasonWhereItsCodeHasSeveral) {
  const auto message = [](filters::DropReason reason) {
    LogEnvelope head = envelope(LogKind::kSec);
    head.drop_reason = static_cast<std::uint8_t>(reason);
    return std::get<SecFields>(enriched(pack(head, sec_body()), cache_with({names(7)})).body).msg;
  };
  EXPECT_EQ(message(filters::DropReason::kSourceLoopback), "Source or destination address is never valid on this path (source-loopback)");
  EXPECT_EQ(message(filters::DropReason::kBogon), "Source or destination address is never valid on this path");
  EXPECT_EQ(message(filters::DropReason::kAeMac), "Source MAC address is not assigned to this port");
}

TEST(Enrich, NeighbourDiscoveryViolationNamesItsTarget) {
  LogEnvelope head = envelope(LogKind::kSec);
  head.drop_reason = static_cast<std::uint8_t>(filters::DropReason::kAeNa);
  SecBody body = sec_body();
  body.arp_operation = 0, body.ether_type = 0x86dd, body.ip_version = 6, body.protocol = 58, body.nd_type = 136;
  body.nd_target = {0xfd, 0x00};

  const auto sec = std::get<SecFields>(enriched(pack(head, body), cache_with({names(7)})).body);

  EXPECT_EQ(to_string(sec.nd_target), "fd00::");
  EXPECT_EQ(sec.nd_type, 136);
  EXPECT_EQ(sec.src_ip.family, Family::kIpv6);
  EXPECT_FALSE(sec.arp_op.has_value());
}

TEST(Events, EveryCodeOfTheDataPlaneHasItsSentence) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(filters::DropReason::kCount); ++i) {
    const auto code = filters::info(static_cast<filters::DropReason>(i)).event;
    if (code.empty()) continue;
    const EventInfo* event = find_event(code);
    ASSERT_NE(event, nullptr) << code;
    EXPECT_FALSE(event->sentence.empty());
    EXPECT_LE(event->sentence.size(), 256U);
  }
  EXPECT_EQ(find_event("AE_NOTHING"), nullptr);
}

TEST(Names, ServiceCodeThatIsNoneNeverNamesAFolder) {
  ipc::NameTable table = name_table(7);
  table.mutable_tenants(0)->set_service_code("../../etc/x");

  const Names loaded(table);

  EXPECT_EQ(loaded.service_code(kAcme), nullptr);
  EXPECT_NE(loaded.service_code(kGlobex), nullptr);
}

TEST(NameCache, KeepsTheLast64Generations) {
  NameCache cache;
  for (std::uint32_t generation = 1; generation <= 70; ++generation) cache.add(names(generation));

  EXPECT_EQ(cache.generations(), 64U);
  EXPECT_EQ(cache.find(6), nullptr);
  EXPECT_NE(cache.find(7), nullptr);
  EXPECT_EQ(cache.nearest(100, kAcme)->generation(), 70U);
  EXPECT_EQ(cache.nearest(3, kAcme)->generation(), 7U);
  EXPECT_EQ(cache.nearest(70, 99), nullptr);
}

TEST(Enrich, TheServiceThatMatchedIsNamedByItsOwnGenerationOnly) {
  CommBody body = comm_body();
  const auto service = [&](const NameCache& cache) {
    return std::get<CommFields>(enriched(pack(envelope(LogKind::kComm), body), cache).body).svc_obj;
  };
  EXPECT_EQ(service(cache_with({names(7)})), "");
  body.service = 2;
  EXPECT_EQ(service(cache_with({names(7)})), "dns");
  EXPECT_EQ(service(cache_with({names(6)})), "") << "another generation numbers its services anew";
  body.service = 3;
  EXPECT_EQ(service(cache_with({names(7)})), "");
}

TEST(Enrich, ATranslatedFlowNamesWhereItReallyWent) {
  CommBody body = comm_body();
  EXPECT_EQ(text(enriched(pack(envelope(LogKind::kComm), body), cache_with({names(7)}))).find("nat_"), std::string::npos);
  body.nat_source = {198, 51, 100, 7};
  body.nat_source_port = 40001;
  body.nat_destination = {10, 0, 0, 9};
  const LogEntry entry = enriched(pack(envelope(LogKind::kComm), body), cache_with({names(7)}));
  const std::string line = text(entry);
  EXPECT_NE(line.find(R"("nat_src_ip":"198.51.100.7","nat_src_port":40001,"nat_dst_ip":"10.0.0.9",)"), std::string::npos) << line;
  EXPECT_EQ(line.find("nat_dst_port"), std::string::npos) << "a port that stayed is left out";
  std::string csv;
  append_csv(csv, entry);
  EXPECT_NE(csv.find("198.51.100.7,40001,10.0.0.9,,"), std::string::npos) << csv;
}

}  // namespace
}  // namespace sekisho::mgmt
