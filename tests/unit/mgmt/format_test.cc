// SPDX-License-Identifier: Apache-2.0
// Goal: the text of a record is the published contract, byte for byte.
// Method: build the examples of the specification as entries and compare; then attack names and truncate lines.
#include "mgmt/log/format.h"

#include <gtest/gtest.h>

#include "mgmt/log/time_text.h"
#include "mgmt/log/utf8.h"

namespace sekisho::mgmt {
namespace {

Timestamp at(std::string_view text) {
  return *parse_timestamp(text);
}

LogEntry envelope(LogKind type, std::string_view ts, std::uint64_t seq, std::string_view eid, std::uint8_t sev) {
  LogEntry entry = make_entry(type);
  entry.ts = at(ts);
  entry.svc = "mfw00001234";
  entry.node = "u0";
  entry.seq = seq;
  entry.eid = *parse_uuid(eid);
  entry.rev = 1842;
  entry.sev = sev;
  return entry;
}

LogEntry allowed_flow() {
  LogEntry entry =
      envelope(LogKind::kComm, "2024-11-28T10:15:02.318+09:00", 884213, "01937055-f72e-7d02-9a51-3f6f0c6b8e10", 6);
  auto& comm = std::get<CommFields>(entry.body);
  comm.phase = CommPhase::kEnd;
  comm.action = CommAction::kAllow;
  comm.reason = filters::LogReason::kRule;
  comm.flow_id = HexId{0x5b1f09e2c4d77a31};
  comm.dir = Direction::kIn;
  comm.in_if = "inet0", comm.out_if = "dmz0", comm.in_zone = "internet", comm.out_zone = "dmz";
  comm.ip_ver = 4, comm.proto = 6;
  comm.src_ip = *parse_address("203.0.113.77"), comm.src_port = 51544;
  comm.dst_ip = *parse_address("198.51.100.10"), comm.dst_port = 443;
  comm.nat_dst_ip = *parse_address("10.20.0.10"), comm.nat_dst_port = 8443;
  comm.rule_id = *parse_uuid("6f1d2c84-2b7e-4f3a-9d55-0a1b2c3d4e5f");
  comm.rule_name = "公開Web許可", comm.rule_no = 12, comm.policy = "inet-in", comm.svc_obj = "https",
  comm.segment = "dmz";
  comm.pkt_len = 60, comm.tcp_flags = 27;
  comm.bytes_fwd = 4249, comm.bytes_rev = 91822, comm.pkts_fwd = 20, comm.pkts_rev = 71;
  comm.start_ts = at("2024-11-28T10:14:58.004+09:00"), comm.dur_ms = 4314, comm.end_reason = EndReason::kTcpFin;
  return entry;
}

LogEntry denied_flow() {
  LogEntry entry =
      envelope(LogKind::kComm, "2024-11-28T10:15:02.624+09:00", 884214, "01937055-f860-7c9e-8c02-11d2a8f0b7aa", 4);
  auto& comm = std::get<CommFields>(entry.body);
  comm.phase = CommPhase::kDrop, comm.action = CommAction::kDrop, comm.reason = filters::LogReason::kDefault;
  comm.dir = Direction::kIn, comm.in_if = "inet0", comm.in_zone = "internet", comm.ip_ver = 6, comm.proto = 17;
  comm.src_ip = *parse_address("2001:db8:ffff::1"), comm.src_port = 40211;
  comm.dst_ip = *parse_address("2001:db8:100::10"), comm.dst_port = 161;
  comm.rule_name = "既定拒否", comm.rule_no = 0, comm.policy = "inet-in", comm.pkt_len = 72, comm.count = 37;
  return entry;
}

LogEntry arp_violation() {
  LogEntry entry =
      envelope(LogKind::kSec, "2024-11-28T10:16:00.016+09:00", 1207, "01937056-d890-7a77-b001-5a5a00ff0102", 4);
  auto& sec = std::get<SecFields>(entry.body);
  const Mac mac = *parse_mac("52:54:00:12:34:56");
  sec.event = "AE_ARP_SPA", sec.cat = SecCategory::kAddress, sec.action = SecAction::kDropped;
  sec.first_ts = at("2024-11-28T10:15:04.120+09:00"), sec.last_ts = at("2024-11-28T10:15:59.871+09:00"), sec.count = 56;
  sec.binding = "web01-eth0", sec.bind_mac = mac;
  sec.bind_ips = {*parse_address("10.20.0.10"), *parse_address("2001:db8:100::10")};
  sec.segment = "dmz", sec.in_if = "dmz0", sec.eth_src = mac, sec.eth_dst = *parse_mac("ff:ff:ff:ff:ff:ff");
  sec.eth_type = 2054, sec.arp_op = 2, sec.arp_sha = mac;
  sec.arp_spa = *parse_address("10.20.0.1"), sec.arp_tpa = *parse_address("10.20.0.1");
  sec.msg = "ARP sender address is not assigned to this port";
  return entry;
}

LogEntry loss() {
  LogEntry entry =
      envelope(LogKind::kLoss, "2024-11-28T10:25:08.608+09:00", 12, "0193705f-3780-7abc-8def-0123456789ab", 3);
  entry.body = LossFields{LogKind::kComm,
                          885000,
                          885511,
                          512,
                          LossCause::kRateLimit,
                          at("2024-11-28T10:25:07.000+09:00"),
                          at("2024-11-28T10:25:08.000+09:00")};
  return entry;
}

std::string json(const LogEntry& entry, Audience audience = Audience::kTenant) {
  std::string out;
  append_json(out, entry, audience);
  return out;
}

std::string csv(const LogEntry& entry) {
  std::string out;
  append_csv(out, entry);
  return out;
}

constexpr std::string_view kAllowedJson =
    R"({"v":1,"type":"comm","ts":"2024-11-28T10:15:02.318+09:00","svc":"mfw00001234","node":"u0",)"
    R"("seq":884213,"eid":"01937055-f72e-7d02-9a51-3f6f0c6b8e10","rev":1842,"sev":6,"phase":"end",)"
    R"("action":"allow","reason":"rule","flow_id":"5b1f09e2c4d77a31","dir":"in","in_if":"inet0",)"
    R"("out_if":"dmz0","in_zone":"internet","out_zone":"dmz","ip_ver":4,"proto":6,)"
    R"("src_ip":"203.0.113.77","src_port":51544,"dst_ip":"198.51.100.10","dst_port":443,)"
    R"("nat_dst_ip":"10.20.0.10","nat_dst_port":8443,"rule_id":"6f1d2c84-2b7e-4f3a-9d55-0a1b2c3d4e5f",)"
    R"("rule_name":"公開Web許可","rule_no":12,"policy":"inet-in","svc_obj":"https","segment":"dmz",)"
    R"("pkt_len":60,"tcp_flags":27,"bytes_fwd":4249,"bytes_rev":91822,"pkts_fwd":20,"pkts_rev":71,)"
    R"("start_ts":"2024-11-28T10:14:58.004+09:00","dur_ms":4314,"end_reason":"tcp_fin","count":1,)"
    R"("sample_n":1})";
constexpr std::string_view kDeniedJson =
    R"({"v":1,"type":"comm","ts":"2024-11-28T10:15:02.624+09:00","svc":"mfw00001234","node":"u0",)"
    R"("seq":884214,"eid":"01937055-f860-7c9e-8c02-11d2a8f0b7aa","rev":1842,"sev":4,"phase":"drop",)"
    R"("action":"drop","reason":"default","dir":"in","in_if":"inet0","in_zone":"internet","ip_ver":6,)"
    R"("proto":17,"src_ip":"2001:db8:ffff::1","src_port":40211,"dst_ip":"2001:db8:100::10",)"
    R"("dst_port":161,"rule_name":"既定拒否","rule_no":0,"policy":"inet-in","pkt_len":72,"count":37,)"
    R"("sample_n":1})";
constexpr std::string_view kSecJson =
    R"({"v":1,"type":"sec","ts":"2024-11-28T10:16:00.016+09:00","svc":"mfw00001234","node":"u0",)"
    R"("seq":1207,"eid":"01937056-d890-7a77-b001-5a5a00ff0102","rev":1842,"sev":4,"event":"AE_ARP_SPA",)"
    R"("cat":"address","action":"dropped","first_ts":"2024-11-28T10:15:04.120+09:00",)"
    R"("last_ts":"2024-11-28T10:15:59.871+09:00","count":56,"binding":"web01-eth0",)"
    R"("bind_mac":"52:54:00:12:34:56","bind_ips":["10.20.0.10","2001:db8:100::10"],"segment":"dmz",)"
    R"("in_if":"dmz0","eth_src":"52:54:00:12:34:56","eth_dst":"ff:ff:ff:ff:ff:ff","eth_type":2054,)"
    R"("arp_op":2,"arp_sha":"52:54:00:12:34:56","arp_spa":"10.20.0.1","arp_tpa":"10.20.0.1",)"
    R"("msg":"ARP sender address is not assigned to this port"})";
constexpr std::string_view kLossJson =
    R"({"v":1,"type":"loss","ts":"2024-11-28T10:25:08.608+09:00","svc":"mfw00001234","node":"u0",)"
    R"("seq":12,"eid":"0193705f-3780-7abc-8def-0123456789ab","rev":1842,"sev":3,"of":"comm",)"
    R"("seq_from":885000,"seq_to":885511,"count":512,"why":"rate_limit",)"
    R"("from_ts":"2024-11-28T10:25:07.000+09:00","to_ts":"2024-11-28T10:25:08.000+09:00"})";

TEST(FormatJson, IsThePublishedExampleByteForByte) {
  EXPECT_EQ(json(allowed_flow()), kAllowedJson);
  EXPECT_EQ(json(denied_flow()), kDeniedJson);
  EXPECT_EQ(json(arp_violation()), kSecJson);
  EXPECT_EQ(json(loss()), kLossJson);
}

TEST(FormatCsv, IsThePublishedExampleByteForByte) {
  EXPECT_EQ(
      csv_header(LogKind::kComm),
      "v,type,ts,svc,gw,node,seq,eid,rev,sev,phase,action,reason,flow_id,dir,in_if,out_if,in_zone,out_zone,ip_ver,"
      "proto,src_ip,src_port,dst_ip,dst_port,icmp_type,icmp_code,nat_src_ip,nat_src_port,nat_dst_ip,nat_dst_port,"
      "rule_id,rule_name,rule_no,policy,svc_obj,app,user,user_group,vpn_sid,src_mac,dst_mac,segment,pkt_len,"
      "tcp_flags,bytes_fwd,bytes_rev,pkts_fwd,pkts_rev,start_ts,dur_ms,end_reason,count,sample_n,src_cc,dst_cc,drop,"
      "time_synced");
  EXPECT_EQ(csv_header(LogKind::kSec),
            "v,type,ts,svc,gw,node,seq,eid,rev,sev,event,cat,action,first_ts,last_ts,count,binding,bind_mac,bind_ips,"
            "segment,in_if,eth_src,eth_dst,eth_type,arp_op,arp_sha,arp_spa,arp_tpa,nd_type,nd_target,nd_lla,src_ip,"
            "src_port,dst_ip,dst_port,proto,sig_id,sig_name,sig_cat,sig_sev,rule_id,rule_name,flow_id,user,vpn_sid,msg,"
            "dir,app,url,file_name,file_hash,time_synced");
  EXPECT_EQ(csv_header(LogKind::kLoss),
            "v,type,ts,svc,gw,node,seq,eid,rev,sev,of,seq_from,seq_to,count,why,from_ts,to_ts,export,time_synced");
  EXPECT_EQ(
      csv(allowed_flow()),
      "1,comm,2024-11-28T10:15:02.318+09:00,mfw00001234,,u0,884213,01937055-f72e-7d02-9a51-3f6f0c6b8e10,1842,6,end,"
      "allow,rule,5b1f09e2c4d77a31,in,inet0,dmz0,internet,dmz,4,6,203.0.113.77,51544,198.51.100.10,443,,,,,"
      "10.20.0.10,8443,6f1d2c84-2b7e-4f3a-9d55-0a1b2c3d4e5f,公開Web許可,12,inet-in,https,,,,,,,dmz,60,27,4249,91822,"
      "20,71,2024-11-28T10:14:58.004+09:00,4314,tcp_fin,1,1,,,,");
  EXPECT_EQ(
      csv(denied_flow()),
      "1,comm,2024-11-28T10:15:02.624+09:00,mfw00001234,,u0,884214,01937055-f860-7c9e-8c02-11d2a8f0b7aa,1842,4,drop,"
      "drop,default,,in,inet0,,internet,,6,17,2001:db8:ffff::1,40211,2001:db8:100::10,161,,,,,,,,既定拒否,0,inet-in,"
      ",,,,,,,,72,,,,,,,,,37,1,,,,");
  EXPECT_EQ(
      csv(arp_violation()),
      "1,sec,2024-11-28T10:16:00.016+09:00,mfw00001234,,u0,1207,01937056-d890-7a77-b001-5a5a00ff0102,1842,4,AE_ARP_SPA,"
      "address,dropped,2024-11-28T10:15:04.120+09:00,2024-11-28T10:15:59.871+09:00,56,web01-eth0,52:54:00:12:34:56,"
      "10.20.0.10 2001:db8:100::10,dmz,dmz0,52:54:00:12:34:56,ff:ff:ff:ff:ff:ff,2054,2,52:54:00:12:34:56,10.20.0.1,"
      "10.20.0.1,,,,,,,,,,,,,,,,,,ARP sender address is not assigned to this port,,,,,,");
  EXPECT_EQ(
      csv(loss()),
      "1,loss,2024-11-28T10:25:08.608+09:00,mfw00001234,,u0,12,0193705f-3780-7abc-8def-0123456789ab,1842,3,comm,885000,"
      "885511,512,rate_limit,2024-11-28T10:25:07.000+09:00,2024-11-28T10:25:08.000+09:00,,");
}

TEST(FormatJson, ReadsBackWhatItWrote) {
  for (const LogEntry& entry : {allowed_flow(), denied_flow(), arp_violation(), loss()}) {
    const auto back = parse_json(json(entry));
    ASSERT_TRUE(back);
    EXPECT_EQ(*back, entry);
  }
}

TEST(FormatJson, SaysWhetherTheClockAgreedOnlyWhenThatIsKnown) {
  for (const bool synced : {true, false}) {
    LogEntry entry = loss();
    entry.time_synced = synced;
    const std::string word = synced ? "true" : "false";
    EXPECT_TRUE(json(entry).ends_with(",\"time_synced\":" + word + "}")) << json(entry);
    EXPECT_TRUE(csv(entry).ends_with(",," + word)) << csv(entry);
    const auto back = parse_json(json(entry));
    ASSERT_TRUE(back);
    EXPECT_EQ(*back, entry);
  }
  EXPECT_EQ(json(loss()).find("time_synced"), std::string::npos);
}

TEST(FormatJson, RefusesEveryTruncationOfALine) {
  for (const std::string_view line : {kAllowedJson, kDeniedJson, kSecJson, kLossJson}) {
    for (std::size_t length = 0; length < line.size(); ++length) {
      EXPECT_FALSE(parse_json(line.substr(0, length))) << length;
    }
  }
}

TEST(FormatJson, RefusesWrongTypesDuplicatesAndTails) {
  const std::string line(kLossJson);
  const auto with = [&line](const std::string& from, const std::string& to) {
    std::string out = line;
    return out.replace(out.find(from), from.size(), to);
  };
  EXPECT_TRUE(parse_json(with("\"seq\":12", "\"later_field\":\"x\",\"seq\":12")));
  EXPECT_FALSE(parse_json(with("\"seq\":12", "\"seq\":\"12\"")));
  EXPECT_FALSE(parse_json(with("\"seq\":12", "\"seq\":-12")));
  EXPECT_FALSE(parse_json(with("\"seq\":12", "\"seq\":12,\"seq\":12")));
  EXPECT_FALSE(parse_json(with("\"sev\":3", "\"sev\":300")));
  EXPECT_FALSE(parse_json(with("\"of\":\"comm\"", "\"of\":\"all\"")));
  EXPECT_FALSE(parse_json(with("mfw00001234", "../../../et")));
  EXPECT_FALSE(parse_json(with("2024-11-28T10:25:08", "2024-02-30T10:25:08")));
  EXPECT_FALSE(parse_json(line + "{}"));
  EXPECT_FALSE(parse_json(with("\"v\":1", "\"v\":{}")));
}

TEST(FormatJson, ShowsProviderFieldsToProvidersOnly) {
  LogEntry entry = arp_violation();
  entry.host = "appliance-7";
  entry.core = 3;
  std::get<SecFields>(entry.body).sample = "00ff";

  EXPECT_EQ(json(entry), kSecJson);
  EXPECT_NE(json(entry, Audience::kProvider).find(R"("sev":4,"host":"appliance-7","core":3,"event")"),
            std::string::npos);
  EXPECT_NE(json(entry, Audience::kProvider).find(R"("sample":"00ff"})"), std::string::npos);
  EXPECT_EQ(csv(entry), csv(arp_violation()));
}

TEST(FormatJson, EscapesControlCharactersAndRepairsBytesThatAreNotUtf8) {
  LogEntry entry = denied_flow();
  auto& comm = std::get<CommFields>(entry.body);
  comm.rule_name = "a\"b\\c\n\x1b[31m\x7f\xc2\x9b\xff\xed\xa0\x80";

  const std::string line = json(entry);

  EXPECT_NE(line.find(R"("rule_name":"a\"b\\c\u000a\u001b[31m\u007f\u009b)"), std::string::npos) << line;
  EXPECT_NE(line.find("\u009b\\u"), 0U);
  const auto back = parse_json(line);
  ASSERT_TRUE(back);
  EXPECT_EQ(std::get<CommFields>(back->body).rule_name, "a\"b\\c\n\x1b[31m\x7f\xc2\x9b\ufffd\ufffd\ufffd\ufffd");
}

TEST(FormatJson, CutsTextsBetweenCharacters) {
  LogEntry entry = denied_flow();
  auto& comm = std::get<CommFields>(entry.body);
  comm.rule_name.clear();
  for (int i = 0; i < 70; ++i) comm.rule_name += "許";
  comm.in_if = std::string(32, 'x');

  const auto back = parse_json(json(entry));

  ASSERT_TRUE(back);
  EXPECT_EQ(std::get<CommFields>(back->body).rule_name.size(), 64U * 3);
  EXPECT_EQ(std::get<CommFields>(back->body).in_if.size(), 32U);
}

TEST(FormatCsv, QuotesAndDisarmsTextsThatSpreadsheetsRun) {
  const auto policy_cell = [](std::string_view name) {
    LogEntry entry = denied_flow();
    std::get<CommFields>(entry.body).policy = name;
    const std::string line = csv(entry);
    const std::size_t begin = line.find("既定拒否,0,") + std::string_view("既定拒否,0,").size();
    return line.substr(begin, line.rfind(",,,,,,,,,72") - begin);
  };
  EXPECT_EQ(policy_cell("=1+1"), "'=1+1");
  EXPECT_EQ(policy_cell("+1"), "'+1");
  EXPECT_EQ(policy_cell("-1"), "'-1");
  EXPECT_EQ(policy_cell("@x"), "'@x");
  EXPECT_EQ(policy_cell("\tx"), "'\\u0009x");
  EXPECT_EQ(policy_cell("\rx"), "'\\u000dx");
  EXPECT_EQ(policy_cell("a=1"), "a=1");
  EXPECT_EQ(policy_cell("a,b"), "\"a,b\"");
  EXPECT_EQ(policy_cell("say \"hi\""), "\"say \"\"hi\"\"\"");
  EXPECT_EQ(policy_cell("=\"a\",b"), "\"'=\"\"a\"\",b\"");
}

TEST(TimeText, IsJapaneseTimeAndChangesTheDayThere) {
  EXPECT_EQ(to_text(Timestamp{0}), "1970-01-01T09:00:00.000+09:00");
  EXPECT_EQ(to_text(Timestamp{1'709'218'799'999'999'999}), "2024-02-29T23:59:59.999+09:00");
  EXPECT_EQ(japan_date(Timestamp{1'709'218'799'999'999'999}), "2024-02-29");
  EXPECT_EQ(japan_date(Timestamp{1'709'218'800'000'000'000}), "2024-03-01");
}

TEST(TimeText, ReadsOnlyItsOwnForm) {
  for (const std::uint64_t ns : {std::uint64_t{1'732'756'502'318'000'000}, ~std::uint64_t{0} / 1'000'000 * 1'000'000}) {
    ASSERT_TRUE(parse_timestamp(to_text(Timestamp{ns}))) << to_text(Timestamp{ns});
    EXPECT_EQ(parse_timestamp(to_text(Timestamp{ns}))->ns, ns);
  }
  EXPECT_FALSE(parse_timestamp("2024-11-28T10:15:02.318Z"));
  EXPECT_FALSE(parse_timestamp("2024-11-28T24:15:02.318+09:00"));
  EXPECT_FALSE(parse_timestamp("1970-01-01T08:59:59.999+09:00"));
  EXPECT_FALSE(parse_timestamp("2554-12-31T00:00:00.000+09:00"));
}

TEST(Uuid, IsVersionSevenOfItsTime) {
  const Uuid uuid = make_uuid_v7(Timestamp{0x0193705537c3ULL * 1'000'000}, {0xff, 0xff, 0xff, 1, 2, 3, 4, 5, 6, 7});

  EXPECT_EQ(to_text(uuid), "01937055-37c3-7fff-bf01-020304050607");
  EXPECT_EQ(parse_uuid(to_text(uuid)), uuid);
  EXPECT_FALSE(parse_uuid("01937055-37c3-7fff-bf01-02030405060"));
  EXPECT_FALSE(parse_uuid("01937055x37c3-7fff-bf01-020304050607"));
}

TEST(Utf8, TakesOnlyShortestFormsOfScalarValues) {
  EXPECT_EQ(character_at("許", 0).code, 0x8a31U);
  EXPECT_EQ(character_at("\xf0\x9f\x94\xa5", 0).bytes, 4U);
  for (const std::string_view bad :
       {"\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80", "\xe8\xa8"}) {
    EXPECT_FALSE(character_at(bad, 0).valid);
    EXPECT_EQ(character_at(bad, 0).bytes, 1U);
  }
  EXPECT_EQ(cut_characters("a許b", 2), "a許");
}

}  // namespace
}  // namespace sekisho::mgmt
