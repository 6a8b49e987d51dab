// SPDX-License-Identifier: Apache-2.0
// Goal: one record of each end, whoever dies when. Method: data plane and logd played over their sockets; what logd was sent decides.
#include "vpn/recorder.h"

#include "base/proto/control_vpn.pb.h"
#include "tests/unit/vpn/neighbours.h"

namespace sekisho::vpn {
namespace {

using namespace test;
using Kind = SessionEvent::Kind;

constexpr std::uint32_t kAcme = 1;

class Recorder : public testing::Test {
 protected:
  Recorder() {
    config_.set_generation(5);
    auto& tenant = *config_.add_tenants();
    tenant.set_id(kAcme);
    tenant.set_service_code("acm00000001");
    auto& gateway = *tenant.add_gateways();
    gateway.set_name("tokyo"), gateway.set_profile("modern"), gateway.set_tunnel_port(41), gateway.set_code("tky00000001");
    gateway.add_addresses(std::string("\xc0\x00\x02\x01", 4));
    auto& user = *tenant.add_users();
    user.set_id(9), user.set_name("alice@example.test"), user.add_groups("staff");
    auto& group = *tenant.add_groups();
    group.set_name("staff"), group.set_pool("pool");
    auto& range = *tenant.add_pools()->add_ranges();
    tenant.mutable_pools(0)->set_name("pool");
    range.set_first(std::string("\x0a\x63\x00\x0a", 4)), range.set_last(std::string("\x0a\x63\x00\x0b", 4));
    const std::string bytes = config_.SerializeAsString();
    directory_.set_plan(parse_plan({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}).value());
    begin();
  }
  /// Another daemon takes over.
  void begin() {
    recorder_.reset();
    log_.emplace(logd_.path());
    client_.emplace(KeyingDaemon::kIkeV2, dataplane_.path(), [this](const Session& one) { return recorder_->owner_of(one); });
    recorder_.emplace(directory_, *client_, *log_, false);
    until([this] { return client_->allocate_spi(session(1).path).has_value(); });  // it has found the data plane
  }
  static Session session(std::uint64_t id) {
    Session out;
    out.id = id;
    out.path = {kAcme, 7, {Address::from_v4(0xc0000201), 4500}, {Address::from_v4(0xc000020a), 4501}};
    out.gateway = "tokyo eap-mschapv2";
    out.user = "alice@example.test";
    out.ike_id = "10.5.0.2";
    out.client = "Windows 10 or 11";
    out.correlation = "0123456789abcdef0123456789abcdef";
    out.ike_suite = "AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384";
    return out;
  }
  /// Somebody whose tunnel is open.
  Session come_in(std::uint64_t id) {
    Session out = session(id);
    EXPECT_EQ(directory_.authorize(out).cause, Cause::kNone);
    out.leases = {directory_.lease(out, Family::kIpv4).value()};
    const std::array inner{Selector{out.leases[0], out.leases[0], 0, 0, 65535}};
    SaParameters sa;
    sa.path = out.path;
    sa.session = &out;
    sa.spi = client_->allocate_spi(out.path).value();
    sa.inbound = true;
    sa.local = sa.remote = inner;
    EXPECT_TRUE(client_->install(sa));
    return out;
  }
  void tell(Kind kind, const Session& one, Cause cause = Cause::kNone, const std::string& text = {}) {
    recorder_->on({.kind = kind, .session = one, .stage = Stage::kAdmission, .cause = cause, .text = text});
  }
  ipc::ToEventLog next(ipc::VpnRecord::Event event) {
    auto out = logd_.next();
    while (out && !out->has_vpn()) out = logd_.next();  // of devices: another's test
    EXPECT_TRUE(out && out->vpn().event() == event) << (out ? out->ShortDebugString() : "nothing");
    return out.value_or(ipc::ToEventLog{});
  }
  /// Tunnels the data plane was told to forget.
  std::vector<std::uint32_t> forgotten() {
    std::vector<std::uint32_t> out;
    for (const auto& one : dataplane_.requests(ipc::ToTunnels::kCloseTunnel)) {
      if (!one.close_tunnel().keep()) out.push_back(one.close_tunnel().tunnel());
    }
    return out;
  }
  ipc::OpenTunnel opened() { return dataplane_.requests(ipc::ToTunnels::kOpenTunnel).back().open_tunnel(); }
  static LeftTunnelGone gone(const ipc::OpenTunnel& tunnel, SessionTunnelGone::Why why) {
    return {{tunnel.tunnel(), tunnel.tenant(), {tunnel.note().begin(), tunnel.note().end()}}, why, {10, 20, 1, 2}};
  }

  ipc::VpnConfig config_;
  Logd logd_;
  Dataplane dataplane_;
  UserDirectory directory_{[] { return std::int64_t{1'700'449'200}; }};
  std::optional<TunnelClient> client_;
  std::optional<EventLog> log_;
  std::optional<SessionRecorder> recorder_;
};

TEST_F(Recorder, TheDataPlaneForgetsATunnelOnlyWhenTheRecordOfItsEndIsStored) {
  const Session alice = come_in(1);
  tell(Kind::kUp, alice);
  tell(Kind::kDown, alice, Cause::kUser, "ended by the client");
  logd_.accept();
  const auto up = next(ipc::VpnRecord::UP), down = next(ipc::VpnRecord::DOWN);
  EXPECT_EQ(up.vpn().vpn_sid(), down.vpn().vpn_sid());
  EXPECT_EQ(up.vpn().user_group(), "staff");
  EXPECT_EQ(up.vpn().sessions(), 1U);
  EXPECT_EQ(down.vpn().sessions(), 0U);
  EXPECT_EQ(down.vpn().bytes_in(), 100U);
  EXPECT_EQ(down.vpn().cause(), "user");
  EXPECT_EQ(down.vpn().message(), "ended by the client");
  EXPECT_EQ(down.vpn().start_ns(), up.timestamp_ns());
  EXPECT_EQ(forgotten(), std::vector<std::uint32_t>{});
  EXPECT_EQ(directory_.admitted(1), std::nullopt);
  logd_.stored(up.number());
  logd_.stored(down.number());
  until([this] { return forgotten() == std::vector{opened().tunnel()}; });
}

TEST_F(Recorder, WhoFollowsWritesTheSameUpAndDownAndAnOldUpNotAgain) {
  const Session alice = come_in(1);
  tell(Kind::kUp, alice);
  logd_.accept();
  const auto up = next(ipc::VpnRecord::UP);
  const ipc::OpenTunnel tunnel = opened();
  begin();  // the first was killed before logd had it
  recorder_->left_gone(gone(tunnel, SessionTunnelGone::Why::kClosed));
  logd_.accept();
  const auto again = next(ipc::VpnRecord::UP), down = next(ipc::VpnRecord::DOWN);
  EXPECT_EQ(again.eid(), up.eid());
  EXPECT_EQ(again.vpn().vpn_sid(), up.vpn().vpn_sid());
  EXPECT_NE(down.eid(), up.eid());
  EXPECT_EQ(down.vpn().bytes_in(), 10U);
  EXPECT_EQ(down.vpn().packets_out(), 2U);
  EXPECT_EQ(down.vpn().cause(), "internal");
  EXPECT_EQ(down.vpn().message(), "the keying daemon was restarted while the session ended");
  logd_.stored(again.number());
  EXPECT_EQ(forgotten(), std::vector<std::uint32_t>{});
  logd_.stored(down.number());
  until([&] { return forgotten() == std::vector{tunnel.tunnel()}; });

  auto old = read_note({reinterpret_cast<const std::uint8_t*>(tunnel.note().data()), tunnel.note().size()}).value();
  old.down.mutable_vpn()->set_start_ns(old.down.vpn().start_ns() - 120'000'000'000);
  const auto bytes = write_note(old);
  recorder_->left_gone({{77, kAcme, bytes}, SessionTunnelGone::Why::kReplaced, {}});
  EXPECT_EQ(next(ipc::VpnRecord::DOWN).vpn().cause(), "replaced");
  recorder_->left_gone({{78, kAcme, {1, 2, 3}}, SessionTunnelGone::Why::kReplaced, {}});  // no note of ours
  until([this] { return forgotten().back() == 78; });
}

TEST_F(Recorder, UsageSaysWhatWasCarriedSinceItCameUpAndNothingOfWhoIsGone) {
  const Session alice = come_in(1);
  recorder_->usage(alice);  // not up yet
  tell(Kind::kUp, alice);
  recorder_->usage(alice);
  tell(Kind::kDown, alice, Cause::kIdle, "idle");
  recorder_->usage(alice);
  tell(Kind::kAuthFail, session(2), Cause::kAuth, "no");
  logd_.accept();
  const auto up = next(ipc::VpnRecord::UP);
  const auto usage = next(ipc::VpnRecord::USAGE);
  EXPECT_EQ(usage.vpn().bytes_in(), 100U);
  EXPECT_EQ(usage.vpn().start_ns(), up.timestamp_ns());
  EXPECT_EQ(usage.vpn().cause(), "");
  next(ipc::VpnRecord::DOWN);
  next(ipc::VpnRecord::AUTH_FAIL);
}

TEST_F(Recorder, TheFirstRecordNamesTheGatewayByItsAddressAndNoUserYet) {
  Session early = session(1);
  early.gateway = {};
  tell(Kind::kStart, early);
  tell(Kind::kStart, session(2));
  tell(Kind::kAuthOk, session(3));
  logd_.accept();
  const auto first = next(ipc::VpnRecord::START), second = next(ipc::VpnRecord::START), third = next(ipc::VpnRecord::AUTH_OK);
  EXPECT_EQ(first.vpn().gateway(), "tokyo");
  EXPECT_EQ(first.vpn().auth(), "");
  EXPECT_EQ(second.vpn().user(), "");
  EXPECT_EQ(second.vpn().ike_id(), "10.5.0.2");
  EXPECT_EQ(third.vpn().user(), "alice@example.test");
  EXPECT_EQ(third.vpn().realm(), "example.test");
  EXPECT_EQ(third.vpn().ike_suite(), "AES256-GCM16/PRFSHA384/ECP384");
  EXPECT_EQ(third.vpn().client(), "Windows 10 or 11");
  EXPECT_EQ(third.vpn().backend(), "local");
}

TEST_F(Recorder, SaysNothingOfASecondFactorThatABackendMayHaveAskedFor) {
  Session radius = session(1), ppp = session(2);
  radius.gateway = "tokyo eap-radius";
  ppp.backend = "campus";
  tell(Kind::kAuthOk, radius);
  tell(Kind::kAuthOk, ppp);
  tell(Kind::kAuthOk, session(3));
  logd_.accept();
  EXPECT_EQ(next(ipc::VpnRecord::AUTH_OK).vpn().mfa(), "");
  EXPECT_EQ(next(ipc::VpnRecord::AUTH_OK).vpn().mfa(), "");
  EXPECT_EQ(next(ipc::VpnRecord::AUTH_OK).vpn().mfa(), "none");
}

TEST_F(Recorder, AnAttemptThatIsASecurityEventIsToldAsOne) {
  tell(Kind::kDenied, session(1), Cause::kPoolEmpty);
  for (int i = 0; i < 5; ++i) directory_.wrong_secret(session(2).path, "alice@example.test");
  logd_.accept();
  std::map<std::string, ipc::SecurityRecord> seen;
  while (seen.size() < 2) {
    const auto record = logd_.next(20s);
    ASSERT_TRUE(record.has_value());
    if (!record->has_security()) continue;
    seen[record->security().event()] = record->security();
    EXPECT_EQ(record->service_code(), "acm00000001");
  }
  EXPECT_EQ(seen["CAP_POOL"].subject(), "tokyo");
  EXPECT_EQ(seen["AUTH_LOCK_USER"].count(), 5U);
  EXPECT_EQ(seen["AUTH_LOCK_USER"].user(), "alice@example.test");
  EXPECT_EQ(seen["AUTH_LOCK_USER"].source_address(), std::string("\xc0\x00\x02\x0a", 4));
}

TEST_F(Recorder, RecordsHaveTheGatewaysCodeAndTheDevicesAddressThatAServerSaid) {
  Session named = session(1), plain = session(2), elsewhere = session(3);
  named.device.mac = *parse_mac("00:10:a4:23:19:c0");
  elsewhere.gateway = "osaka eap-mschapv2";  // of no code
  for (const Session& one : {named, plain, elsewhere}) tell(Kind::kDenied, one, Cause::kConfig);
  logd_.accept();
  const auto pair = [this] {
    const auto first = logd_.next(), second = logd_.next();
    return std::pair(first.value_or(ipc::ToEventLog{}), second.value_or(ipc::ToEventLog{}));
  };
  const auto [vpn, device] = pair();
  EXPECT_EQ(vpn.gateway_code(), "tky00000001");
  EXPECT_EQ(device.gateway_code(), "tky00000001");
  EXPECT_EQ(device.device().method() + " " + device.device().assured(), "mac asserted");
  EXPECT_EQ(device.device().seen_mac(), std::string("\x00\x10\xa4\x23\x19\xc0", 6));
  const auto [vpn_plain, device_plain] = pair();
  EXPECT_EQ(device_plain.device().method(), "cert");
  EXPECT_EQ(device_plain.device().seen_mac(), "");
  const auto [vpn_elsewhere, device_elsewhere] = pair();
  EXPECT_EQ(vpn_elsewhere.gateway_code() + device_elsewhere.gateway_code(), "");
}

TEST_F(Recorder, SaysThatAnExceptionIsOverWhereThatMayBeWhyAndWhatCameInByIt) {
  const auto plan = [this](std::int64_t until) {
    config_.mutable_tenants(0)->mutable_gateways(0)->set_profile("legacy");
    config_.mutable_tenants(0)->mutable_gateways(0)->set_legacy_until(until);
    const std::string bytes = config_.SerializeAsString();
    directory_.set_plan(parse_plan({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}).value());
  };
  Session weak = session(1);
  weak.ike_suite = "3DES_CBC/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_2048";
  plan(std::int64_t{1} << 40);
  tell(Kind::kUp, weak);
  logd_.accept();
  EXPECT_EQ(next(ipc::VpnRecord::UP).vpn().message(),
            "weak algorithms in use: 3DES_CBC,HMAC_SHA1_96,PRF_HMAC_SHA1; let in by the profile legacy alone: 3DES_CBC");
  tell(Kind::kDenied, weak, Cause::kCrypto, "negotiation: no common algorithms for IKE");
  EXPECT_EQ(next(ipc::VpnRecord::DENIED).vpn().message(), "negotiation: no common algorithms for IKE") << "it stands";
  plan(1);
  tell(Kind::kDenied, weak, Cause::kCrypto, "negotiation: no common algorithms for IKE");
  EXPECT_EQ(next(ipc::VpnRecord::DENIED).vpn().message(),
            "the gateway's exception for legacy algorithms has ended; negotiation: no common algorithms for IKE");
  tell(Kind::kAuthFail, weak, Cause::kAuth, "authentication: wrong password or unknown user");
  EXPECT_EQ(next(ipc::VpnRecord::AUTH_FAIL).vpn().message(), "authentication: wrong password or unknown user");
}

TEST_F(Recorder, SessionsAreListedAndFoundAlsoThoseThatWereLeft) {
  const Session alice = come_in(1);
  tell(Kind::kUp, alice);
  logd_.accept();
  const std::uint64_t sid = next(ipc::VpnRecord::UP).vpn().vpn_sid();
  ipc::VpnAnswer answer;
  recorder_->list({alice}, answer);
  ASSERT_EQ(answer.sessions_size(), 1);
  EXPECT_EQ(answer.sessions(0).vpn_sid(), sid);
  EXPECT_NE(answer.sessions(0).start_ns(), 0U);
  EXPECT_EQ(recorder_->sessions_of(sid, 0, "", {alice}), std::vector{alice.id});
  EXPECT_EQ(recorder_->sessions_of(0, kAcme, "ALICE@example.test", {alice}), std::vector{alice.id});
  EXPECT_TRUE(recorder_->sessions_of(0, 2, "alice@example.test", {alice}).empty());
  EXPECT_TRUE(recorder_->sessions_of(0, 0, "alice@example.test", {alice}).empty()) << "a name says nothing without its tenant";
  EXPECT_TRUE(recorder_->sessions_of(sid + 1, 0, "", {alice}).empty());
  const ipc::OpenTunnel tunnel = opened();
  begin();
  recorder_->left({tunnel.tunnel(), tunnel.tenant(), {tunnel.note().begin(), tunnel.note().end()}});
  ipc::VpnAnswer left;
  recorder_->list({}, left);
  ASSERT_EQ(left.sessions_size(), 1);
  EXPECT_TRUE(left.sessions(0).left());
  EXPECT_EQ(left.sessions(0).vpn_sid(), sid);
  const auto found = recorder_->sessions_of(sid, kAcme, "", {});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_TRUE(recorder_->left_riding().empty()) << "it has SAs of its own";
  const std::vector<std::uint8_t> note(tunnel.note().begin(), tunnel.note().end());
  recorder_->left({78, tunnel.tenant(), note, L2tpRide{}});
  const auto riding = recorder_->left_riding();
  ASSERT_EQ(riding.size(), 1U);
  EXPECT_EQ(riding[0].id, left_session(78));
  EXPECT_EQ(gateway_name(riding[0].gateway), left.sessions(0).gateway());
  EXPECT_TRUE(recorder_->end_left(found[0], Cause::kAdmin));
  logd_.accept();
  next(ipc::VpnRecord::UP);  // the one before, once more
  EXPECT_EQ(next(ipc::VpnRecord::DOWN).vpn().cause(), "admin");
  EXPECT_FALSE(recorder_->end_left(alice.id, Cause::kAdmin)) << "a live one is the protocol's to end";
}

}  // namespace
}  // namespace sekisho::vpn
