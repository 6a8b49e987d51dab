// SPDX-License-Identifier: Apache-2.0
// Goal: logins wait for their own tenant's servers and for nobody else's; what servers say becomes grants, accounting and endings.
// Method: real threads wait in step(); servers are a function over what was sent; time is given by hand where nobody waits.
#include "vpn/radius/backends.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <atomic>
#include <ctime>
#include <thread>

#include "base/proto/control_vpn.pb.h"
#include "base/proto/vpn_log.pb.h"

namespace sekisho::vpn::radius {
namespace {

using namespace std::chrono_literals;
using Bytes = std::vector<std::uint8_t>;
using Outcome = EapBackend::Outcome;
using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kAcme = 1, kGlobex = 2;
constexpr std::string_view kSecret = "secret";

ByteSpan bytes_of(std::string_view text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }
std::string wire(std::string_view text) {
  const Address one = *parse_address(text);
  return {one.wire().begin(), one.wire().end()};
}

/// Both tenants with one server at the same address; whoever it lets in is of "staff".
ipc::VpnConfig config() {
  ipc::VpnConfig out;
  out.set_generation(5);
  for (const std::uint32_t id : {kAcme, kGlobex}) {
    auto& tenant = *out.add_tenants();
    tenant.set_id(id);
    auto& gateway = *tenant.add_gateways();
    gateway.set_name("tokyo");
    gateway.set_profile("modern");
    gateway.set_accept_eap_radius(true);
    gateway.add_radius("campus");
    auto& group = *tenant.add_groups();
    group.set_name("staff");
    group.set_pool("pool");
    tenant.add_pools()->set_name("pool");
    auto& backend = *tenant.add_radius();
    backend.set_name("campus");
    backend.set_port(7);
    backend.set_source(wire("10.0.0.1"));
    backend.set_timeout_seconds(3);
    backend.set_tries(3);
    backend.set_accounting(true);
    backend.set_interim_seconds(60);
    backend.set_disconnect(id == kAcme);
    auto& server = *backend.add_servers();
    server.set_address(wire("10.0.0.2"));
    server.set_secret(std::string(kSecret));
    server.set_port(1812);
    server.set_accounting_port(1813);
    auto& chiefs = *backend.add_groups();
    chiefs.set_value("chiefs");
    chiefs.set_id(170 + id);
    chiefs.add_groups("staff");
    auto& all = *backend.add_groups();
    all.set_id(70 + id);
    all.add_groups("staff");
  }
  return out;
}

/// RFC 2548 2.4.2, the other way round, for a key of 32 bytes.
Bytes encrypted_key(std::uint8_t type, std::uint8_t fill, const Authenticator& request) {
  const auto md5 = [](std::initializer_list<ByteSpan> parts) {
    Bytes out(16), all;
    for (const ByteSpan part : parts) all.insert(all.end(), part.begin(), part.end());
    EXPECT_EQ(EVP_Digest(all.data(), all.size(), out.data(), nullptr, EVP_md5(), nullptr), 1);
    return out;
  };
  Bytes plain(48, fill), out{0, 0, 1, 55, type, 52, 0x80, type};
  plain[0] = 32;
  const Bytes salt{0x80, type};
  Bytes stream = md5({bytes_of(kSecret), request, salt});
  for (std::size_t at = 0; at < plain.size(); at += 16) {
    Bytes block;
    for (std::size_t i = 0; i < 16; ++i) block.push_back(plain[at + i] ^ stream[i]);
    out.insert(out.end(), block.begin(), block.end());
    stream = md5({bytes_of(kSecret), block});
  }
  return out;
}

class RadiusBackends : public testing::Test, public DatagramSender {
 protected:
  RadiusBackends() {
    const std::string bytes = config().SerializeAsString();
    const auto plan = parse_plan(bytes_of(bytes)).value();
    directory_.set_plan(plan);
    backends_.set_plan(plan);
  }
  ~RadiusBackends() override {
    backends_.stop();
    for (std::thread& one : threads_) one.join();
  }
  void send(const Path& path, ByteSpan payload) override {
    const std::lock_guard lock(mutex_);
    sent_.emplace_back(path, Bytes(payload.begin(), payload.end()));
    changed_.notify_all();
  }
  /// The next datagram of the tenant; waits for it.
  std::pair<Path, Bytes> next(std::uint32_t tenant) {
    std::unique_lock lock(mutex_);
    const auto find = [&] { return std::ranges::find(sent_, tenant, [](const auto& one) { return one.first.tenant; }); };
    EXPECT_TRUE(changed_.wait_for(lock, 10s, [&] { return find() != sent_.end(); }));
    const auto out = *find();
    sent_.erase(find());
    return out;
  }
  bool silent() {
    const std::lock_guard lock(mutex_);
    return sent_.empty();
  }
  void answer(const std::pair<Path, Bytes>& asked, Code code, const std::function<void(Writer&, const Message&)>& fill = {}) {
    const auto request = parse(asked.second).value();
    Writer writer(code, request.id);
    if (fill) fill(writer, request);
    backends_.take(asked.first, writer.finish_answer(request.authenticator, bytes_of(kSecret)), Clock::now());
  }
  static void challenge(Writer& writer, const Message&) {
    writer.add(Type::kState, std::string_view("state"));
    writer.add_eap(Bytes{1, 1, 0, 6, 13, 0x20});
  }
  static void keys(Writer& writer, const Message& request) {
    writer.add(Type::kVendorSpecific, ByteSpan(encrypted_key(16, 0x22, request.authenticator)));
    writer.add(Type::kVendorSpecific, ByteSpan(encrypted_key(17, 0x11, request.authenticator)));
    writer.add(Type::kClass, std::string_view("class"));
  }
  Session session(std::uint64_t id, std::uint32_t tenant = kAcme) {
    Session out;
    out.id = id;
    out.path = {tenant, 3, {*parse_address("203.0.113.21"), 4500}, {*parse_address("192.0.2.2"), 4500}};
    out.gateway = "tokyo eap-radius";
    out.user = "hana";
    out.leases = {*parse_address("10.99.0.20")};
    return out;
  }
  /// A login of its own thread that stops in step().
  void wait_in_step(std::uint64_t id, std::uint32_t tenant = kAcme) {
    threads_.emplace_back([this, id, tenant] {
      Conversation conversation;
      conversation.backend = "campus";
      (void)backends_.step(session(id, tenant), conversation, {});
      ended_.fetch_add(1);
    });
    next(tenant);
  }
  Outcome step(const Session& who, Conversation& conversation) {
    conversation.backend = "campus";
    return backends_.step(who, conversation, bytes_of("eap")).outcome;
  }
  /// Somebody who is in, and whose start record was taken.
  void up(std::uint64_t id, Clock::time_point now) {
    std::thread server([this] {
      answer(next(kAcme), Code::kAccessChallenge, challenge);
      answer(next(kAcme), Code::kAccessAccept, keys);
    });
    Conversation conversation;
    EXPECT_EQ(step(session(id), conversation), Outcome::kMore);
    EXPECT_EQ(step(session(id), conversation), Outcome::kAccepted);
    server.join();
    EXPECT_EQ(conversation.key[0], 0x11);
    EXPECT_EQ(conversation.key[32], 0x22);
    EXPECT_EQ(directory_.authorize(session(id)).cause, Cause::kNone);
    tell(SessionEvent::Kind::kUp, id, now);
    const auto start = next(kAcme);
    EXPECT_EQ(record(start).number(Type::kAcctStatusType), 1U);
    answer_record(start, now);
  }
  void tell(SessionEvent::Kind kind, std::uint64_t id, Clock::time_point now, const TunnelTotals* totals = nullptr, Cause cause = Cause::kNone) {
    SessionEvent event;
    event.kind = kind;
    event.session = session(id);
    event.cause = cause;
    backends_.tell(event, totals, now);
  }
  /// An accounting request, genuine; borrowed by the fixture.
  const Message& record(const std::pair<Path, Bytes>& asked) {
    record_bytes_ = asked.second;
    record_ = parse(record_bytes_).value();
    EXPECT_EQ(record_.code, Code::kAccountingRequest);
    EXPECT_TRUE(is_genuine_request(record_, bytes_of(kSecret)));
    return record_;
  }
  void answer_record(const std::pair<Path, Bytes>& asked, Clock::time_point) { answer(asked, Code::kAccountingResponse); }
  /// What comes back to a request of the tenant's server; empty: nothing.
  Bytes request(Code code, const std::function<void(Writer&)>& fill, std::string_view secret = kSecret, std::uint32_t tenant = kAcme) {
    Writer writer(code, ++request_id_);
    fill(writer);
    const Path path{tenant, 7, {*parse_address("10.0.0.1"), 3799}, {*parse_address("10.0.0.2"), 40000}};
    backends_.take(path, writer.finish_request(bytes_of(secret)), Clock::now());
    at_once_ = !silent();
    backends_.turn(Clock::now() + 2s);  // who has no such session leaves the others a second
    return silent() ? Bytes{} : next(tenant).second;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::pair<Path, Bytes>> sent_;
  std::vector<std::thread> threads_;
  std::atomic<int> ended_{0};
  Bytes record_bytes_;
  Message record_;
  std::uint8_t request_id_ = 0;
  bool at_once_ = false;  ///< whether the last request was answered when it came
  UserDirectory directory_{[] { return std::int64_t{0}; }};
  Backends backends_{{directory_, *this, [](std::uint64_t id) { return 0xabc000 + id; },
                      [](std::uint64_t) { return TunnelTotals{(std::uint64_t{1} << 32) + 5, 6, 7, 8}; }},
                     {.waiting_per_tenant = 16, .waiting = 20}};
};

TEST_F(RadiusBackends, SixteenLoginsOfATenantWaitOneMoreIsToldAtOnceAndTheOthersGoOn) {
  for (std::uint64_t id = 1; id <= 16; ++id) wait_in_step(id);
  Conversation conversation;
  EXPECT_EQ(step(session(17), conversation), Outcome::kBusy);
  std::thread server([this] { answer(next(kGlobex), Code::kAccessReject); });
  EXPECT_EQ(step(session(18, kGlobex), conversation), Outcome::kRejected);
  server.join();
  for (std::uint64_t id = 19; id <= 22; ++id) wait_in_step(id, kGlobex);
  EXPECT_EQ(step(session(23, kGlobex), conversation), Outcome::kBusy) << "twenty in all";
  EXPECT_EQ(ended_.load(), 0);
}

TEST_F(RadiusBackends, WhoSaysANameAloneIsNotLetIn) {
  std::thread server([this] { answer(next(kAcme), Code::kAccessAccept, keys); });
  Conversation conversation;
  EXPECT_EQ(step(session(1), conversation), Outcome::kRejected);
  server.join();
  EXPECT_EQ(directory_.authorize(session(1)).cause, Cause::kConfig);
}

TEST_F(RadiusBackends, AnAcceptWithoutKeysIsNoLogin) {
  std::thread server([this] {
    answer(next(kAcme), Code::kAccessChallenge, challenge);
    answer(next(kAcme), Code::kAccessAccept);
  });
  Conversation conversation;
  EXPECT_EQ(step(session(1), conversation), Outcome::kMore);
  EXPECT_EQ(step(session(1), conversation), Outcome::kNoKey);
  server.join();
  EXPECT_EQ(directory_.authorize(session(1)).cause, Cause::kConfig);
}

TEST_F(RadiusBackends, WhoProvesAnotherNameInsideIsWhomTheServerNamesOrMarkedUnproven) {
  const auto name = [&](std::uint8_t method, std::string_view said, std::uint64_t id) {
    std::thread server([&] {
      answer(next(kAcme), Code::kAccessChallenge, [method](Writer& writer, const Message&) { writer.add_eap(Bytes{1, 1, 0, 6, method, 0x20}); });
      answer(next(kAcme), Code::kAccessAccept, [said](Writer& writer, const Message& request) {
        if (!said.empty()) writer.add(Type::kUserName, said);
        keys(writer, request);
      });
    });
    Conversation conversation;
    EXPECT_EQ(step(session(id), conversation), Outcome::kMore);
    EXPECT_EQ(step(session(id), conversation), Outcome::kAccepted);
    server.join();
    return conversation.user;
  };
  for (const std::uint8_t hidden : std::initializer_list<std::uint8_t>{13, 21, 25, 43, 55}) {
    EXPECT_EQ(name(hidden, {}, hidden), "unproven/hana");
    EXPECT_EQ(name(hidden, "alice", hidden), "alice");
  }
  EXPECT_EQ(name(26, {}, 26), "") << "MSCHAPv2 proves the very name";
}

TEST_F(RadiusBackends, FiveRejectionsShutANameOutWithoutAskingAnyMore) {
  for (int i = 0; i < 5; ++i) {
    std::thread server([this] { answer(next(kAcme), Code::kAccessReject); });
    Conversation conversation;
    EXPECT_EQ(step(session(1), conversation), Outcome::kRejected);
    server.join();
  }
  Conversation conversation;
  EXPECT_EQ(step(session(2), conversation), Outcome::kRejected);
  EXPECT_TRUE(silent());
}

TEST_F(RadiusBackends, ABackendThatGoesAwayLetsItsWaitersGo) {
  wait_in_step(1);
  backends_.set_plan(std::make_shared<const Plan>());
  threads_.front().join();
  threads_.clear();
  EXPECT_EQ(ended_.load(), 1);
}

TEST_F(RadiusBackends, ASessionIsAccountedFromItsStartToItsEnd) {
  const auto now = Clock::now();
  up(5, now);
  backends_.turn(now + 59s);
  EXPECT_TRUE(silent());
  backends_.turn(now + 60s);
  const auto interim = next(kAcme);
  EXPECT_EQ(record(interim).number(Type::kAcctStatusType), 3U);
  EXPECT_EQ(record_.number(Type::kAcctInputOctets), 5U);
  EXPECT_EQ(record_.number(Type::kAcctInputGigawords), 1U);
  EXPECT_EQ(record_.number(Type::kAcctSessionTime), 60U);
  answer_record(interim, now + 60s);
  const TunnelTotals totals{10, 20, 1, 2};
  tell(SessionEvent::Kind::kDown, 5, now + 70s, &totals, Cause::kPeerLost);
  const auto stop = next(kAcme);
  EXPECT_EQ(record(stop).number(Type::kAcctStatusType), 2U);
  EXPECT_EQ(record_.text(Type::kAcctSessionId), "0000000000abc005");
  EXPECT_EQ(record_.text(Type::kUserName), "hana");
  EXPECT_EQ(record_.text(Type::kClass), "class");
  EXPECT_EQ(record_.address(Type::kFramedIpAddress), *parse_address("10.99.0.20"));
  EXPECT_EQ(record_.number(Type::kAcctOutputOctets), 20U);
  EXPECT_EQ(record_.number(Type::kAcctTerminateCause), 2U);
  answer_record(stop, now + 70s);
  backends_.turn(now + 600s);
  EXPECT_TRUE(silent());
}

TEST_F(RadiusBackends, ASessionLeftByADaemonBeforeEndsInItsAccountsAndByItsServers) {
  const auto now = Clock::now();
  ipc::VpnRecord note;
  note.set_backend("campus");
  note.set_vpn_sid(0xdef1);
  note.set_gateway("tokyo");
  note.set_user(session(1000).user);
  const std::array<std::uint8_t, 16> peer = session(1000).path.remote.address.bytes;
  note.set_peer_address(std::string(peer.begin(), peer.begin() + 4));
  for (const Address& lease : session(1000).leases) {
    std::string bytes(lease.wire().begin(), lease.wire().end());
    lease.family == Family::kIpv4 ? note.set_inner_ipv4(bytes) : note.set_inner_ipv6(bytes);
  }
  note.set_start_ns(static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>((std::chrono::system_clock::now() - 30s).time_since_epoch()).count()));
  backends_.adopt(1000, 1, note, now);
  const auto named = [](Writer& writer) { writer.add(Type::kAcctSessionId, std::string_view("000000000000def1")); };
  EXPECT_EQ(request(Code::kDisconnectRequest, named).front(), 41);
  EXPECT_EQ(backends_.take_disconnects(), std::vector<std::uint64_t>{1000});
  SessionEvent event;
  event.kind = SessionEvent::Kind::kDown;
  event.session.id = 1000;
  event.cause = Cause::kReplaced;
  backends_.tell(event, nullptr, now);
  const auto stop = next(kAcme);
  EXPECT_EQ(record(stop).text(Type::kAcctSessionId), "000000000000def1");
  EXPECT_EQ(record_.number(Type::kAcctSessionTime), 30U);
  EXPECT_EQ(record_.text(Type::kUserName), "hana");
  EXPECT_EQ(record_.number(Type::kAcctTerminateCause), 10U);
}

TEST_F(RadiusBackends, ALoginThatComesToNothingIsNotAccounted) {
  std::thread server([this] {
    answer(next(kAcme), Code::kAccessChallenge, challenge);
    answer(next(kAcme), Code::kAccessAccept, keys);
  });
  Conversation conversation;
  EXPECT_EQ(step(session(1), conversation), Outcome::kMore);
  EXPECT_EQ(step(session(1), conversation), Outcome::kAccepted);
  server.join();
  tell(SessionEvent::Kind::kDenied, 1, Clock::now());
  tell(SessionEvent::Kind::kUp, 1, Clock::now());
  EXPECT_TRUE(silent());
}

TEST_F(RadiusBackends, AServerEndsTheSessionItNamesAndNoOther) {
  up(5, Clock::now());
  const auto code = [](const Bytes& answer) { return answer.empty() ? 0 : int{answer[0]}; };
  const auto named = [](std::string_view name) { return [name](Writer& writer) { writer.add(Type::kAcctSessionId, name); }; };
  constexpr int kAck = 41, kNak = 42, kCoaNak = 45;
  EXPECT_EQ(code(request(Code::kDisconnectRequest, named("0000000000abc006"))), kNak);
  EXPECT_FALSE(at_once_) << "another daemon may have it";
  EXPECT_EQ(code(request(Code::kDisconnectRequest, named("0000000000abc005"), "another")), 0);
  EXPECT_EQ(code(request(Code::kDisconnectRequest, named("0000000000abc005"), kSecret, kGlobex)), 0) << "its servers may not";
  EXPECT_EQ(code(request(Code::kCoaRequest, named("0000000000abc005"))), kCoaNak) << "changes nothing";
  EXPECT_EQ(code(request(Code::kDisconnectRequest, [](Writer& writer) { writer.add(Type::kUserName, std::string_view("hana")); })), kNak);
  const auto by_name = [](std::int64_t age) {
    return [age](Writer& writer) {
      writer.add(Type::kUserName, std::string_view("hana"));
      writer.add(Type::kEventTimestamp, static_cast<std::uint32_t>(std::time(nullptr) - age));
    };
  };
  EXPECT_EQ(code(request(Code::kDisconnectRequest, by_name(400))), 0) << "old";
  EXPECT_TRUE(backends_.take_disconnects().empty());
  EXPECT_EQ(code(request(Code::kDisconnectRequest, by_name(10))), kAck);
  EXPECT_TRUE(at_once_);
  EXPECT_EQ(backends_.take_disconnects(), std::vector<std::uint64_t>{5});
  const auto begun = Clock::now();
  const auto forged = backends_.take_forgeries(begun);
  ASSERT_EQ(forged.size(), 1U);
  EXPECT_EQ(forged[0].count, 2U) << "another secret, and an old one";
  EXPECT_EQ(code(request(Code::kDisconnectRequest, named("0000000000abc005"), "another")), 0);
  EXPECT_EQ(code(request(Code::kDisconnectRequest, named("0000000000abc005"), "another")), 0);
  EXPECT_TRUE(backends_.take_forgeries(begun + std::chrono::seconds(2)).empty()) << "those of a minute together";
  EXPECT_TRUE(backends_.take_forgeries(begun + std::chrono::seconds(59)).empty());
  const auto more = backends_.take_forgeries(begun + std::chrono::seconds(60));
  ASSERT_EQ(more.size(), 1U);
  EXPECT_EQ(more[0].count, 2U);
  EXPECT_EQ(more[0].last, begun + std::chrono::seconds(2));
  EXPECT_TRUE(backends_.take_forgeries(begun + std::chrono::hours(1)).empty());
}

TEST_F(RadiusBackends, AServerChangesHowLongASessionMayLastAndWhatItDoesNotKnowNothing) {
  up(5, Clock::now());
  const auto change = [this](std::uint32_t seconds, bool more) {
    const Bytes answer = request(Code::kCoaRequest, [&](Writer& writer) {
      writer.add(Type::kAcctSessionId, std::string_view("0000000000abc005"));
      writer.add(Type::kSessionTimeout, seconds);
      if (more) writer.add(Type::kServiceType, 1U);
    });
    return int{answer.front()};
  };
  constexpr int kCoaAck = 44, kCoaNak = 45;
  EXPECT_EQ(change(70, true), kCoaNak);
  EXPECT_EQ(directory_.admitted(5)->session_seconds, 0U);
  EXPECT_EQ(change(70, false), kCoaAck);
  EXPECT_EQ(directory_.admitted(5)->session_seconds, 70U);
  EXPECT_TRUE(backends_.take_disconnects().empty());
}

TEST_F(RadiusBackends, AServerChangesTheGroupsOfTheSessionItNames) {
  up(5, Clock::now());
  const std::uint32_t before = directory_.admitted(5)->user;
  const auto change = [this](std::string_view name, std::string_view value) {
    return int{request(Code::kCoaRequest, [&](Writer& writer) {
                 writer.add(Type::kAcctSessionId, name);
                 writer.add(Type::kFilterId, value);
               }).front()};
  };
  constexpr int kCoaAck = 44, kCoaNak = 45;
  EXPECT_EQ(change("0000000000abc006", "chiefs"), kCoaNak);
  EXPECT_TRUE(directory_.take_renamed().empty());
  EXPECT_EQ(change("0000000000abc005", "chiefs"), kCoaAck);
  const auto renamed = directory_.take_renamed();
  ASSERT_EQ(renamed.size(), 1U);
  EXPECT_EQ(renamed[0].session, 5U);
  EXPECT_NE(renamed[0].user_id, before);
  EXPECT_EQ(directory_.admitted(5)->user, renamed[0].user_id);
  EXPECT_EQ(change("0000000000abc005", "chiefs"), kCoaAck);
  EXPECT_TRUE(directory_.take_renamed().empty()) << "it is so already";
  EXPECT_TRUE(directory_.take_endings().empty());
}

TEST_F(RadiusBackends, ARequestThatComesTwiceIsAnsweredAlikeAndActsOnce) {
  up(5, Clock::now());
  const auto fill = [](Writer& writer) { writer.add(Type::kAcctSessionId, std::string_view("0000000000abc005")); };
  const Bytes first = request(Code::kDisconnectRequest, fill);
  --request_id_;
  EXPECT_EQ(request(Code::kDisconnectRequest, fill), first);
  EXPECT_EQ(backends_.take_disconnects().size(), 1U);
}

}  // namespace
}  // namespace sekisho::vpn::radius
