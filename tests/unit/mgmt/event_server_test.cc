// SPDX-License-Identifier: Apache-2.0
// Goal: a record of remote access is stored once whatever dies, and what cannot be one is refused by the name of its field.
// Method: the server on a loop of its own that the test turns; a daemon played over the real socket; answers are waited for.
#include "mgmt/log/event_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mgmt/log/format.h"
#include "mgmt/log/vault/vault.h"
#include "mgmt/log/time_text.h"
#include "tests/unit/mgmt/fakes.h"

namespace sekisho::mgmt {
namespace {

using namespace test;

const StreamName kAcmeVpn{"acm00000001", LogKind::kVpn};

ipc::ToEventLog up(std::uint64_t number) {
  ipc::ToEventLog out;
  out.set_number(number);
  out.set_eid("0123456789abcde" + std::string(1, static_cast<char>(number)));
  out.set_timestamp_ns(kNoon + number);
  out.set_service_code(kAcmeVpn.service_code);
  out.set_node("u0");
  out.set_revision(7);
  ipc::VpnRecord& vpn = *out.mutable_vpn();
  vpn.set_event(ipc::VpnRecord::UP);
  vpn.set_vpn_sid(0xa7);
  vpn.set_protocol(ipc::VpnRecord::IKEV2);
  vpn.set_peer_address(std::string("\xcb\x00\x71\x09", 4));
  vpn.set_gateway("tokyo");
  return out;
}

/// logd as far as event.sock goes.
class EventLog {
 public:
  explicit EventLog(const std::string& dir)
      : dir_(dir), store_(dir + "/log"), journal_(store_, [] { return std::array<std::uint8_t, 10>{}; }) {
    std::filesystem::create_directories(dir + "/log");
    server_ = must(EventServer::listen(loop_, dir + "/event.sock", {}, store_, journal_, users_, [] { return Timestamp{kNoon + kSecond}; },
                                       [this](const std::string& text) { notes_.push_back(text); }));
  }
  ~EventLog() {
    server_->stop();
    loop_.run();
  }
  [[nodiscard]] IpcConnection connect() const { return must(IpcConnection::connect(dir_ + "/event.sock")); }
  /// Sends, and lets the server take it.
  void send(IpcConnection& from, const std::string& bytes) {
    ASSERT_TRUE(from.send({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}));
    while (loop_.poll() > 0) {
    }
  }
  void send(IpcConnection& from, const ipc::ToEventLog& message) { send(from, message.SerializeAsString()); }
  void make_safe() { server_->acknowledge(); }
  [[nodiscard]] bool keeps_waiting() const { return server_->keeps_waiting(); }
  static std::optional<ipc::FromEventLog> answer(IpcConnection& to) {
    const auto message = to.receive(std::chrono::milliseconds(0));
    ipc::FromEventLog out;
    if (!message || !out.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size()))) return std::nullopt;
    return out;
  }
  [[nodiscard]] std::vector<LogEntry> stored(const StreamName& stream = kAcmeVpn) { return all_of(store_, stream); }
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }

 private:
  std::string dir_;
  boost::asio::io_context loop_{1};
  Vault store_;
  Journal journal_;
  RemoteUsers users_{store_};
  std::vector<std::string> notes_;
  std::unique_ptr<EventServer> server_;
};

TEST(EventServer, AcknowledgesARecordOnlyWhenItIsSafe) {
  const TempDir dir;
  EventLog log(dir.path());
  IpcConnection iked = log.connect();
  log.send(iked, up(1));
  ASSERT_EQ(log.stored().size(), 1U);
  EXPECT_FALSE(EventLog::answer(iked));
  log.make_safe();
  const auto answer = EventLog::answer(iked);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->stored(), 1U);
  EXPECT_EQ(answer->refused(), "");
  EXPECT_EQ(log.stored()[0].seq, 1U);
  EXPECT_EQ(std::get<VpnFields>(log.stored()[0].body).event, VpnEvent::kUp);
}

TEST(EventServer, SaysWhenASenderSoonSendsNoMore) {
  const TempDir dir;
  EventLog log(dir.path());
  IpcConnection iked = log.connect();
  IpcConnection tunneld = log.connect();
  std::uint8_t number = 0;
  for (; number < EventServer::kManyUnsafe - 1; ++number) log.send(iked, up(number));
  log.send(tunneld, up(number++));
  EXPECT_FALSE(log.keeps_waiting());
  log.send(iked, up(number));
  EXPECT_TRUE(log.keeps_waiting());
  log.make_safe();
  EXPECT_FALSE(log.keeps_waiting());
}

TEST(EventServer, StoresWhatComesAgainOnceAlsoAfterARestart) {
  const TempDir dir;
  {
    EventLog log(dir.path());
    IpcConnection iked = log.connect();
    log.send(iked, up(1));
    IpcConnection again = log.connect();
    log.send(again, up(1));
    EXPECT_EQ(log.stored().size(), 1U);
  }
  EventLog log(dir.path());
  IpcConnection iked = log.connect();
  log.send(iked, up(1));
  log.send(iked, up(2));
  log.make_safe();
  EXPECT_EQ(EventLog::answer(iked)->stored(), 1U);
  EXPECT_EQ(EventLog::answer(iked)->stored(), 2U);
  ASSERT_EQ(log.stored().size(), 2U);
  EXPECT_EQ(log.stored()[1].seq, 2U);
}

TEST(EventServer, RefusesByTheNameOfTheFieldAndGoesOn) {
  struct Case {
    const char* field;
    void (*spoil)(ipc::ToEventLog&);
  };
  const Case cases[] = {
      {"eid", [](auto& m) { m.set_eid("short"); }},
      {"eid", [](auto& m) { m.set_eid(std::string(16, '\0')); }},
      {"timestamp_ns", [](auto& m) { m.set_timestamp_ns(1); }},
      {"service_code", [](auto& m) { m.set_service_code("../../etc"); }},
      {"node", [](auto& m) { m.set_node("u0123"); }},
      {"body", [](auto& m) { m.clear_vpn(); }},
      {"event", [](auto& m) { m.mutable_vpn()->set_event(ipc::VpnRecord::NONE); }},
      {"event", [](auto& m) { m.mutable_vpn()->set_event(static_cast<ipc::VpnRecord::Event>(99)); }},
      {"vpn_sid", [](auto& m) { m.mutable_vpn()->set_vpn_sid(0); }},
      {"protocol", [](auto& m) { m.mutable_vpn()->set_protocol(static_cast<ipc::VpnRecord::Protocol>(6)); }},
      {"peer_address", [](auto& m) { m.mutable_vpn()->set_peer_address("12345"); }},
      {"peer_address", [](auto& m) { m.mutable_vpn()->clear_peer_address(); }},
      {"peer_port", [](auto& m) { m.mutable_vpn()->set_peer_port(65536); }},
      {"inner_ipv4", [](auto& m) { m.mutable_vpn()->set_inner_ipv4(std::string(16, 'x')); }},
      {"inner_ipv6", [](auto& m) { m.mutable_vpn()->set_inner_ipv6("four"); }},
      {"auth", [](auto& m) { m.mutable_vpn()->set_auth("magic"); }},
      {"mfa", [](auto& m) { m.mutable_vpn()->set_mfa("magic"); }},
      {"cause", [](auto& m) { m.mutable_vpn()->set_cause("magic"); }},
      {"sessions", [](auto& m) { m.mutable_vpn()->set_sessions(65536); }},
      {"user", [](auto& m) { m.mutable_vpn()->set_user(std::string(4097, 'x')); }},
      {"user_groups", [](auto& m) { m.mutable_vpn()->add_user_groups(""); }},
      {"count", [](auto& m) { m.mutable_lost()->set_count(0); }},
      {"first_ns", [](auto& m) { m.mutable_lost()->set_count(1); }},
  };
  const TempDir dir;
  EventLog log(dir.path());
  IpcConnection iked = log.connect();
  std::uint64_t number = 0;
  for (const Case& one : cases) {
    ipc::ToEventLog message = up(++number);
    one.spoil(message);
    log.send(iked, message);
    const auto answer = EventLog::answer(iked);
    ASSERT_TRUE(answer) << one.field;
    EXPECT_EQ(answer->stored(), number);
    EXPECT_EQ(answer->refused(), std::string("field ") + one.field);
  }
  EXPECT_TRUE(log.stored().empty());
  log.send(iked, up(100));
  EXPECT_EQ(log.stored().size(), 1U);
}

TEST(EventServer, LetsGoOfWhoSendsNonsenseAndKeepsTheOthers) {
  const TempDir dir;
  EventLog log(dir.path());
  IpcConnection bad = log.connect(), good = log.connect();
  log.send(bad, std::string("\xff\xff\xff\xff"));
  EXPECT_EQ(bad.receive(std::chrono::seconds(5)).error().code, ErrorCode::kNotFound);
  log.send(good, up(1));
  EXPECT_EQ(log.stored().size(), 1U);
}

TEST(EventServer, TakesAUsersNameThatIsNotText) {
  const TempDir dir;
  EventLog log(dir.path());
  IpcConnection iked = log.connect();
  ipc::ToEventLog message = up(1);
  message.mutable_vpn()->set_user("a\xff\x01" "b");
  log.send(iked, message);
  ASSERT_EQ(log.stored().size(), 1U);
  std::string line;
  append_json(line, log.stored()[0], Audience::kTenant);
  EXPECT_THAT(line, testing::HasSubstr("\"user\":\"a\xef\xbf\xbd\\u0001b\""));
}

TEST(EventServer, CoversWhatTheSenderLostByALossRecord) {
  const TempDir dir;
  EventLog log(dir.path());
  IpcConnection iked = log.connect();
  log.send(iked, up(1));
  ipc::ToEventLog lost = up(2);
  lost.mutable_lost()->set_count(5);
  lost.mutable_lost()->set_first_ns(kNoon + 1), lost.mutable_lost()->set_last_ns(kNoon + 2);
  log.send(iked, lost);
  log.send(iked, up(3));
  const auto losses = log.stored({kAcmeVpn.service_code, LogKind::kLoss});
  ASSERT_EQ(losses.size(), 1U);
  EXPECT_EQ(std::get<LossFields>(losses[0].body).of, LogKind::kVpn);
  EXPECT_EQ(std::get<LossFields>(losses[0].body).seq_from, 2U);
  EXPECT_EQ(std::get<LossFields>(losses[0].body).seq_to, 6U);
  EXPECT_EQ(log.stored()[1].seq, 7U);
  // Told again on another connection, as one that was not acknowledged is: the same report, no second loss.
  IpcConnection again = log.connect();
  log.send(again, lost);
  log.send(again, up(4));
  EXPECT_EQ(log.stored({kAcmeVpn.service_code, LogKind::kLoss}).size(), 1U);
  EXPECT_EQ(log.stored()[2].seq, 8U);
}

TEST(EventServer, WritesTheRecordAsItIsPublished) {
  ipc::ToEventLog message = up(1);
  message.set_timestamp_ns(parse_timestamp("2024-11-28T10:17:21.504+09:00")->ns);
  message.set_service_code("mfw00001234");
  message.set_revision(1842);
  ipc::VpnRecord& vpn = *message.mutable_vpn();
  vpn.set_vpn_sid(0xa71c00e94b2d1f08);
  vpn.set_peer_address(std::string("\xcb\x00\x71\xc9", 4)), vpn.set_peer_port(4500), vpn.set_nat(true), vpn.set_country("JP");
  vpn.set_gateway("東京GW"), vpn.set_user("t.suzuki@example.co.jp"), vpn.set_ike_id("t.suzuki@example.co.jp");
  vpn.set_realm("example.co.jp"), vpn.set_auth("eap-mschapv2"), vpn.set_mfa("radius_otp"), vpn.set_backend("社内RADIUS");
  vpn.set_user_group("営業部"), vpn.add_user_groups("営業部"), vpn.add_user_groups("全社員"), vpn.set_device_id("dev-0007f3");
  vpn.set_certificate_serial("00a1b2c3d4e5f60718"), vpn.set_inner_ipv4(std::string("\x0a\x63\x04\x1b", 4));
  vpn.set_inner_ipv6(std::string("\x20\x01\x0d\xb8\x00\x99\x00\x04\0\0\0\0\0\0\0\x1b", 16)), vpn.set_pool("sales-pool");
  vpn.set_ike_suite("AES256-GCM16/PRFSHA384/ECP384"), vpn.set_esp_suite("AES256-GCM16/ESN"), vpn.set_client("Windows 11");
  vpn.set_sessions(1);
  EventEntry made = entry_of(message);
  ASSERT_EQ(made.refusal, "");
  made.entry.seq = 5521;
  made.entry.eid = *parse_uuid("01937058-16e0-7110-a9c4-90e1d0c2b3f4");
  std::string text;
  append_json(text, made.entry, Audience::kTenant);
  EXPECT_EQ(text,
            R"({"v":1,"type":"vpn","ts":"2024-11-28T10:17:21.504+09:00","svc":"mfw00001234","node":"u0","seq":5521,)"
            R"("eid":"01937058-16e0-7110-a9c4-90e1d0c2b3f4","rev":1842,"sev":6,"event":"up","result":"ok",)"
            R"("vpn_sid":"a71c00e94b2d1f08","proto":"ikev2","peer_ip":"203.0.113.201","peer_port":4500,"natt":true,"peer_cc":"JP",)"
            R"("gw_name":"東京GW","user":"t.suzuki@example.co.jp","ike_id":"t.suzuki@example.co.jp","realm":"example.co.jp",)"
            R"("auth":"eap-mschapv2","mfa":"radius_otp","backend":"社内RADIUS","user_group":"営業部","user_groups":["営業部","全社員"],)"
            R"("device_id":"dev-0007f3","cert_serial":"00a1b2c3d4e5f60718","ip4":"10.99.4.27","ip6":"2001:db8:99:4::1b",)"
            R"("pool":"sales-pool","ike_suite":"AES256-GCM16/PRFSHA384/ECP384","esp_suite":"AES256-GCM16/ESN",)"
            R"("client":"Windows 11","sessions":1})");
  const auto back = parse_json(text);
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, made.entry);
  std::string csv;
  append_csv(csv, made.entry);
  EXPECT_NE(csv.find(",true,JP,東京GW,"), std::string::npos) << csv;
  EXPECT_NE(csv.find(",営業部;全社員,"), std::string::npos) << csv;
}

TEST(EventServer, ADevicesRecordIsStoredInItsOwnStreamOrRefusedByItsField) {
  const auto record = [](std::uint64_t number) {
    ipc::ToEventLog out = up(number);
    ipc::DeviceRecord& device = *out.mutable_device();
    device.set_result(ipc::DeviceRecord::FAIL);
    device.set_method("cert");
    device.set_assured("proven");
    device.set_vpn_sid(0xa7);
    device.set_protocol(ipc::VpnRecord::IKEV2);
    device.set_peer_address(std::string("\xcb\x00\x71\x09", 4));
    device.set_user("alice");
    device.set_device_id("dev-0007f3");
    device.set_certificate_serial("a1b2");
    device.set_certificate_end_ns(kNoon);
    device.set_revocation("good");
    device.set_policy("standard");
    device.set_cause("user_mismatch");
    device.set_seen_mac(std::string("\x00\x10\xa4\x23\x19\xc0", 6));
    out.set_gateway_code("tky00000001");
    return out;
  };
  const TempDir dir;
  EventLog log(dir.path());
  IpcConnection daemon = log.connect();
  log.send(daemon, record(1));
  EXPECT_TRUE(log.stored().empty());
  const auto stored = log.stored({kAcmeVpn.service_code, LogKind::kDevauth});
  ASSERT_EQ(stored.size(), 1U);
  std::string text;
  append_json(text, stored[0], Audience::kTenant);
  EXPECT_NE(text.find(R"("sev":4,"result":"fail","method":"cert","assured":"proven","vpn_sid":"00000000000000a7","proto":"ikev2","peer_ip":"203.0.113.9",)"
                      R"("user":"alice","device_id":"dev-0007f3","seen_mac":"00:10:a4:23:19:c0","cert_serial":"a1b2")"), std::string::npos) << text;
  EXPECT_NE(text.find(R"("svc":"acm00000001","gw":"tky00000001","node")"), std::string::npos) << text;
  EXPECT_NE(text.find(R"("revocation":"good","policy":"standard","cause":"user_mismatch")"), std::string::npos) << text;
  const std::vector<std::pair<const char*, void (*)(ipc::DeviceRecord&)>> breakages{
      {"field result", [](auto& d) { d.clear_result(); }},       {"field method", [](auto& d) { d.set_method("smell"); }},
      {"field assured", [](auto& d) { d.clear_assured(); }},     {"field vpn_sid", [](auto& d) { d.clear_vpn_sid(); }},
      {"field cause", [](auto& d) { d.clear_cause(); }},         {"field peer_address", [](auto& d) { d.set_peer_address("12345"); }},
      {"field policy", [](auto& d) { d.clear_policy(); }},       {"field revocation", [](auto& d) { d.set_revocation("perhaps"); }},
      {"field user", [](auto& d) { d.set_user(std::string(5000, 'x')); }}, {"field seen_mac", [](auto& d) { d.set_seen_mac("12345"); }},
  };
  std::uint64_t number = 1;
  for (const auto& [field, breakage] : breakages) {
    ipc::ToEventLog broken = record(++number);
    breakage(*broken.mutable_device());
    log.send(daemon, broken);
    EXPECT_EQ(entry_of(broken).refusal, field);
  }
  for (const char* code : {"tokyo", "TKY00000001", "tky000000012"}) {
    ipc::ToEventLog broken = record(1);
    broken.set_gateway_code(code);
    EXPECT_EQ(entry_of(broken).refusal, "field gateway_code") << code;
  }
  EXPECT_EQ(log.stored({kAcmeVpn.service_code, LogKind::kDevauth}).size(), 1U);
}

TEST(EventServer, ADaemonsSecurityEventIsStoredInTheWordsOfItsCodeOrRefusedByItsField) {
  const auto record = [](std::uint64_t number) {
    ipc::ToEventLog out = up(number);
    ipc::SecurityRecord& event = *out.mutable_security();
    event.set_event("AUTH_BACKEND_FORGED");
    event.set_count(3);
    event.set_first_ns(kNoon);
    event.set_last_ns(kNoon + 1'000'000'000);
    event.set_subject("campus");
    return out;
  };
  const TempDir dir;
  EventLog log(dir.path());
  IpcConnection daemon = log.connect();
  log.send(daemon, record(1));
  const auto stored = log.stored({kAcmeVpn.service_code, LogKind::kSec});
  ASSERT_EQ(stored.size(), 1U);
  std::string text;
  append_json(text, stored[0], Audience::kTenant);
  EXPECT_NE(text.find(R"("sev":4,"event":"AUTH_BACKEND_FORGED","cat":"auth","action":"dropped",)"), std::string::npos) << text;
  EXPECT_NE(text.find(R"("count":3,)"), std::string::npos) << text;
  EXPECT_NE(text.find(R"(did not sign: campus")"), std::string::npos) << text;
  const std::vector<std::pair<const char*, void (*)(ipc::SecurityRecord&)>> breakages{
      {"field event", [](auto& e) { e.set_event("AE_MAC"); }},  // the data plane's own
      {"field event", [](auto& e) { e.clear_event(); }},
      {"field count", [](auto& e) { e.clear_count(); }},
      {"field first_ns", [](auto& e) { e.clear_first_ns(); }},
      {"field first_ns", [](auto& e) { e.set_last_ns(kNoon - 1); }},
      {"field subject", [](auto& e) { e.set_subject(std::string(321, 'x')); }},
      {"field user", [](auto& e) { e.set_user(std::string(4097, 'x')); }},
      {"field source_address", [](auto& e) { e.set_source_address("12345"); }},
  };
  std::uint64_t number = 1;
  for (const auto& [field, breakage] : breakages) {
    ipc::ToEventLog broken = record(++number);
    breakage(*broken.mutable_security());
    EXPECT_EQ(entry_of(broken).refusal, field);
  }
}

TEST(EventServer, ADaemonReportsItsOwnCodesAndNoOthers) {
  const auto of = [](const char* code) {
    ipc::ToEventLog out = up(1);
    ipc::SecurityRecord& event = *out.mutable_security();
    event.set_event(code), event.set_count(5), event.set_first_ns(kNoon), event.set_last_ns(kNoon);
    event.set_user("alice"), event.set_source_address(std::string("\xcb\x00\x71\x09", 4));
    return out;
  };
  constexpr std::array kOfKeying{"AUTH_BACKEND_FORGED", "AUTH_LOCK_USER", "AUTH_LOCK_SRC", "AUTH_SPRAY", "AUTH_CERT_REVOKED",
                                 "AUTH_CRL_STALE", "VPN_CRYPTO_REFUSED", "VPN_LEGACY_USED", "VPN_SSTP_BINDING", "CAP_POOL"};
  constexpr std::array kOfControl{"AUTH_ADMIN_LOCK", "AUTH_ADMIN_SRC_DENY", "CFG_ROLLBACK", "CAP_CERT_EXPIRY", "INT_CLOCK"};
  for (const char* code : kOfKeying) {
    EXPECT_EQ(entry_of(of(code), EventSender::kKeying).refusal, "") << code;
    EXPECT_EQ(entry_of(of(code), EventSender::kControl).refusal, "field event") << code;
    EXPECT_EQ(entry_of(of(code)).entry.sev, 4) << code;
  }
  for (const char* code : kOfControl) {
    EXPECT_EQ(entry_of(of(code), EventSender::kControl).refusal, "") << code;
    EXPECT_EQ(entry_of(of(code), EventSender::kKeying).refusal, "field event") << code;
  }
  EXPECT_EQ(entry_of(of("CFG_ROLLBACK")).entry.sev, 3);
  EXPECT_EQ(entry_of(of("AE_MAC")).refusal, "field event") << "the data plane's";
  EXPECT_EQ(entry_of(up(1), EventSender::kControl).refusal, "field body") << "sessions are not controld's to tell";
  std::string text;
  EventEntry locked = entry_of(of("AUTH_LOCK_USER"));
  append_json(text, locked.entry, Audience::kTenant);
  EXPECT_NE(text.find(R"("event":"AUTH_LOCK_USER","cat":"auth","action":"locked",)"), std::string::npos) << text;
  EXPECT_NE(text.find(R"("src_ip":"203.0.113.9")"), std::string::npos) << text;
  EXPECT_NE(text.find(R"("user":"alice")"), std::string::npos) << text;
}

TEST(EventServer, WritesAnEndAndAFailureAsTheyArePublished) {
  const auto text_of = [](const ipc::ToEventLog& message, std::uint64_t seq, const char* eid) {
    EventEntry made = entry_of(message);
    EXPECT_EQ(made.refusal, "");
    made.entry.seq = seq;
    made.entry.eid = *parse_uuid(eid);
    std::string text;
    append_json(text, made.entry, Audience::kTenant);
    return text;
  };
  ipc::ToEventLog message = up(1);
  message.set_service_code("mfw00001234");
  message.set_revision(1842);
  message.set_timestamp_ns(parse_timestamp("2024-11-28T12:17:08.000+09:00")->ns);
  ipc::VpnRecord& vpn = *message.mutable_vpn();
  vpn.set_event(ipc::VpnRecord::DOWN), vpn.set_vpn_sid(0xa71c00e94b2d1f08);
  vpn.set_peer_address(std::string("\xcb\x00\x71\xc9", 4)), vpn.set_peer_port(4500), vpn.set_nat(true);
  vpn.set_gateway("東京GW"), vpn.set_user("t.suzuki@example.co.jp"), vpn.set_user_group("営業部"), vpn.set_device_id("dev-0007f3");
  vpn.set_inner_ipv4(std::string("\x0a\x63\x04\x1b", 4));
  vpn.set_inner_ipv6(std::string("\x20\x01\x0d\xb8\x00\x99\x00\x04\0\0\0\0\0\0\0\x1b", 16)), vpn.set_sessions(0);
  vpn.set_start_ns(parse_timestamp("2024-11-28T10:17:21.504+09:00")->ns), vpn.set_duration_seconds(7186);
  vpn.set_bytes_in(18233410), vpn.set_bytes_out(240918822), vpn.set_packets_in(60211), vpn.set_packets_out(181920), vpn.set_cause("user");
  EXPECT_EQ(text_of(message, 5588, "019370c5-bf20-7b3c-83aa-0f0e0d0c0b0a"),
            R"({"v":1,"type":"vpn","ts":"2024-11-28T12:17:08.000+09:00","svc":"mfw00001234","node":"u0","seq":5588,)"
            R"("eid":"019370c5-bf20-7b3c-83aa-0f0e0d0c0b0a","rev":1842,"sev":6,"event":"down","result":"ok","vpn_sid":"a71c00e94b2d1f08",)"
            R"("proto":"ikev2","peer_ip":"203.0.113.201","peer_port":4500,"natt":true,"gw_name":"東京GW","user":"t.suzuki@example.co.jp",)"
            R"("user_group":"営業部","device_id":"dev-0007f3","ip4":"10.99.4.27","ip6":"2001:db8:99:4::1b","sessions":0,)"
            R"("start_ts":"2024-11-28T10:17:21.504+09:00","dur_s":7186,"bytes_in":18233410,"bytes_out":240918822,"pkts_in":60211,)"
            R"("pkts_out":181920,"cause":"user"})");

  message.set_timestamp_ns(parse_timestamp("2024-11-28T12:23:44.512+09:00")->ns);
  vpn.Clear();
  vpn.set_event(ipc::VpnRecord::AUTH_FAIL), vpn.set_vpn_sid(0xa71c00e94b2d1f77), vpn.set_protocol(ipc::VpnRecord::SSTP);
  vpn.set_peer_address(std::string("\xc0\x00\x02\x2c", 4)), vpn.set_peer_port(50122), vpn.set_gateway("東京GW");
  vpn.set_user("t.suzuki@example.co.jp"), vpn.set_realm("example.co.jp"), vpn.set_auth("mschapv2"), vpn.set_backend("社内RADIUS");
  vpn.set_cause("auth"), vpn.set_message("authentication failed");
  EXPECT_EQ(text_of(message, 5601, "019370cb-cc00-7cc1-9be0-112233445566"),
            R"({"v":1,"type":"vpn","ts":"2024-11-28T12:23:44.512+09:00","svc":"mfw00001234","node":"u0","seq":5601,)"
            R"("eid":"019370cb-cc00-7cc1-9be0-112233445566","rev":1842,"sev":5,"event":"auth_fail","result":"fail",)"
            R"("vpn_sid":"a71c00e94b2d1f77","proto":"sstp","peer_ip":"192.0.2.44","peer_port":50122,"gw_name":"東京GW",)"
            R"("user":"t.suzuki@example.co.jp","realm":"example.co.jp","auth":"mschapv2","backend":"社内RADIUS","cause":"auth",)"
            R"("msg":"authentication failed"})");
}

}  // namespace
}  // namespace sekisho::mgmt
