// SPDX-License-Identifier: Apache-2.0
// Goal: remote users' packets pass while, in other threads, the keying daemon renews, moves and removes SAs, tunnels come and
// go with their leases, and IKE is punted and injected over the rings. Method: one thread is the network and the users, one the
// data plane's control thread with the daemon at the other end of tunnel.sock, one reads and writes the daemon's rings; each
// packet is accounted for.
#include <deque>
#include <map>

#include "tests/path/threads/threads_world.h"
#include "tests/path/tunnel_world.h"

namespace sekisho::tests {
namespace {

constexpr std::uint32_t kGuest = 4;
constexpr const char* kGuestLease = "10.9.0.6";

class TunnelThreads : public Threads {
 protected:
  TunnelThreads() : Threads({.log_records = 1024, .tunnels = 16}) {}
  void SetUp() override {
    Threads::SetUp();
    service_ = std::make_unique<dataplane::TunnelService>(world_->engine());
    daemon_ = std::make_unique<Daemon>(*service_);
  }
  void apply(std::uint32_t generation) {
    world_->apply(generation, {{.id = 11, .log = snapshot::kLogNone}, {.id = 12 + generation % 2, .protocol = 1}}, {.edit = [](filters::SnapshotBuilder& builder) {
                    add_tunnels(builder);
                    builder.users.insert(builder.users.begin(), {kGuest, 0, 1});
                  }});
  }
  /// The control thread: a request that is granted.
  ipc::FromTunnels ask(const ipc::ToTunnels& request) {
    auto answer = daemon_->ask(request);
    EXPECT_FALSE(answer.has_refused()) << answer.refused().reason();
    return answer;
  }
  static void fill(ipc::TunnelPath& out, std::uint16_t port) {
    out.set_tenant(kTenantA);
    out.set_port(kShare);
    out.set_local(bytes_of(address(kGatewayA4)));
    out.set_local_port(4500);
    out.set_remote(bytes_of(address(kPeer4)));
    out.set_remote_port(port);
  }
  void open(std::uint32_t tunnel, std::uint32_t user, const char* lease) {
    ipc::ToTunnels request;
    ipc::OpenTunnel& open = *request.mutable_open_tunnel();
    open.set_tunnel(tunnel);
    open.set_tenant(kTenantA);
    open.set_tunnel_port(kTunnelPortA);
    open.set_user(user);
    open.add_leases(bytes_of(address(lease)));
    ask(request);
  }
  void install(const User& user, std::uint16_t port, std::uint32_t spi, std::uint32_t beside) {
    ipc::ToTunnels request;
    ipc::InstallSa& install = *request.mutable_install_sa();
    fill(*install.mutable_path(), port);
    install.set_tunnel(1);
    install.set_spi(spi);
    install.set_inbound(beside == 0);
    install.set_udp_encapsulation(true);
    install.set_encryption(20);
    install.set_encryption_key_bits(128);
    const auto key = user.cipher_key();
    install.set_encryption_key(key.data(), key.size());
    install.set_replay_window(1024);
    install.add_inner_local()->set_address(bytes_of(address("0.0.0.0")));
    install.add_inner_remote()->set_address(bytes_of(address(kLease4)));
    install.mutable_inner_remote(0)->set_length(32);
    install.set_beside_spi(beside);
    ask(request);
  }
  void remove(std::uint32_t spi, bool inbound) {
    ipc::ToTunnels request;
    request.mutable_remove_sa()->set_tunnel(1);
    request.mutable_remove_sa()->set_spi(spi);
    request.mutable_remove_sa()->set_inbound(inbound);
    ask(request);
  }
  void move(std::uint32_t spi, bool inbound, std::uint16_t port) {
    ipc::ToTunnels request;
    request.mutable_move_sa()->set_tunnel(1);
    request.mutable_move_sa()->set_spi(spi);
    request.mutable_move_sa()->set_inbound(inbound);
    request.mutable_move_sa()->set_udp_encapsulation(true);
    fill(*request.mutable_move_sa()->mutable_path(), port);
    ask(request);
  }
  struct Keyed {
    std::uint32_t ours, theirs;  ///< inbound SPIs of both ends
  };
  /// Keys tunnel 1 anew; from here on the user speaks by the new SAs, and hears by all he was ever given.
  Keyed key_anew() {
    ++keyed_;
    const Making setup{.peer_port = static_cast<std::uint16_t>(40'000 + keyed_ % 2), .key = static_cast<std::uint8_t>(keyed_)};
    auto user = std::make_shared<User>(setup);
    ipc::ToTunnels request;
    fill(*request.mutable_allocate_spi()->mutable_path(), setup.peer_port);
    const Keyed out{ask(request).spi_allocated().spi(), user->allocate()};
    user->install(out.ours);
    {
      const std::lock_guard guard(lock_);
      hears_[out.theirs] = user;
    }
    install(*user, setup.peer_port, out.ours, 0);
    install(*user, setup.peer_port, out.theirs, out.ours);
    const std::lock_guard guard(lock_);
    speaks_ = user;
    return out;
  }
  /// The control thread: the user is keyed anew and moves, SAs two keys old are removed, a guest comes and goes, now and then a
  /// commit.
  void change(unsigned round) {
    keys_.push_back(key_anew());
    const Keyed& newest = keys_.back();
    move(newest.ours, true, 41'000);
    move(newest.theirs, false, 41'000);
    if (keys_.size() > 3) {
      remove(keys_.front().ours, true);
      remove(keys_.front().theirs, false);
      keys_.pop_front();
    }
    open(2, kGuest, kGuestLease);
    ipc::ToTunnels query;
    query.mutable_query_sa()->set_tunnel(1);
    query.mutable_query_sa()->set_spi(newest.ours);
    query.mutable_query_sa()->set_inbound(true);
    EXPECT_TRUE(ask(query).has_sa_use());
    service_->tick();
    ipc::ToTunnels close;
    close.mutable_close_tunnel()->set_tunnel(2);
    ask(close);
    if (round % 4 == 3) apply(++generation_);
    world_->records();
  }
  /// One that was punted; false when there is none.
  bool take_punted(DatagramRingReader& ring) {
    DatagramHead head;
    std::vector<std::uint8_t> room(kDatagramBytesMax);
    bool found = false;
    const auto length = ring.pop(head, room, found);
    EXPECT_TRUE(length);
    if (!length || !found) return false;
    EXPECT_EQ(head.tenant, kTenantA);
    EXPECT_EQ(*length, 100U);
    EXPECT_EQ(std::count(room.begin(), room.begin() + 100, 0xa5), 100);
    ++punted_;
    return true;
  }
  /// The daemon's own thread: whatever is there, since its next turn comes late where workers outnumber cores.
  void serve_rings() {
    for (DatagramRingReader& ring : daemon_->punts) {
      while (take_punted(ring)) {
      }
    }
    const DatagramHead head{.tenant = kTenantA, .port = kShare, .local = address(kGatewayA4), .remote = address(kPeer4), .local_port = 500, .remote_port = kInjectedPort};
    const Frame text(60, 0x61);
    const std::array<ByteSpan, 1> parts{ByteSpan(text)};
    for (unsigned i = 0; i < 16 && router_known_.load() && injected_.load() < kInjected && daemon_->inject->push(head, parts); ++i) ++injected_;
    std::this_thread::yield();
  }
  [[nodiscard]] FrameBuilder from_server() const { return FrameBuilder().ethernet(kServerMac, world_->gateway(kServerNic)); }
  /// The network: of eight packets six are the user's, one is the server's to a guest without SAs, one is IKE.
  std::pair<std::uint16_t, Frame> next_packet(std::size_t i) {
    const Mac gateway = world_->gateway(kUplinkNic);
    if (i % 8 == 1) return {kServerNic, from_server().ipv4("10.0.0.2", kGuestLease).udp(53, 40000).payload(20).build()};
    if (i % 8 == 3) return {kUplinkNic, FrameBuilder().ethernet(kRouterMac, gateway).ipv4(kPeer4, kGatewayA4).udp(500, 500).payload(100).build()};
    const Frame inner = FrameBuilder().ipv4(kLease4, "10.0.0.2").udp(2000 + static_cast<unsigned>(i % 40), 53).payload(100).build();
    const std::lock_guard guard(lock_);
    return {kUplinkNic, speaks_->seal(inner, gateway)};
  }
  /// True when the user has his answer.
  bool has_come(std::uint16_t nic, const Frame& frame) {
    const filters::PacketMeta meta = read(frame);
    if (meta.protocol != 17) return false;  // an error about the guest
    if (nic == kServerNic) {
      EXPECT_EQ(filters::ip_source(frame, meta), address(kLease4));
      world_->queue(kServerNic, from_server().ipv4("10.0.0.2", kLease4).udp(53, meta.source_port).payload(30).build());
      return false;
    }
    EXPECT_EQ(nic, kUplinkNic);
    if (meta.destination_port == kInjectedPort) {
      ++came_out_;
      return false;
    }
    const std::lock_guard guard(lock_);
    const auto user = hears_.find(load_be<std::uint32_t>(frame, meta.payload_offset));
    EXPECT_TRUE(user != hears_.end() && !user->second->open(frame).empty()) << "sealed for nobody";
    ++answered_;
    return true;
  }
  void run(std::size_t packets) {
    pump(packets, [this](std::size_t i) { return next_packet(i); }, [this](std::uint16_t nic, const Frame& frame) { return has_come(nic, frame); },
         64, [this] { return punted_.load(); });
  }

  static constexpr std::uint16_t kInjectedPort = 7777;
  static constexpr std::size_t kInjected = 500;
  std::unique_ptr<dataplane::TunnelService> service_;
  std::unique_ptr<Daemon> daemon_;
  std::uint32_t keyed_ = 0;
  std::mutex lock_;
  std::shared_ptr<User> speaks_;                          // under lock_
  std::map<std::uint32_t, std::shared_ptr<User>> hears_;  // under lock_, by the user's inbound SPI
  std::deque<Keyed> keys_;
  std::uint32_t generation_ = 1;
  std::atomic<std::size_t> punted_{0}, injected_{0};
  std::atomic<bool> router_known_{false};
  std::size_t answered_ = 0, came_out_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Workers, TunnelThreads, testing::Values(2U, 3U), [](const auto& test) { return "With" + std::to_string(test.param); });

TEST_P(TunnelThreads, UsersPacketsPassWhileSasLeasesAndRingsAreChangedBesideThem) {
  constexpr std::size_t kPackets = 3200;
  apply(1);
  start();
  daemon_->hello();
  open(1, kUserA, kLease4);
  keys_.push_back(key_anew());
  Beside rings(1, [this](unsigned) { serve_rings(); });
  std::size_t packets = 8;
  run(packets);
  router_known_ = true;  // before, what is injected would be held, and too much of it dropped
  Beside control(8, [this](unsigned round) { change(round); });
  do run(kPackets), packets += kPackets; while (control.rounds() < 8);
  control.end();
  const auto expected = {DropReason::kVpnNoLease, DropReason::kVpnSaMissing, DropReason::kPuntLimit, DropReason::kVpnSpiUnknown};
  while (came_out_ < kInjected && unexpected_drops(expected).empty()) run(8), packets += 8;
  rings.end();
  EXPECT_EQ(came_out_, kInjected);
  const std::size_t guests = packets / 8, users = packets / 8 * 6;
  const std::size_t no_way = world_->drops(DropReason::kVpnNoLease) + world_->drops(DropReason::kVpnSaMissing);
  ASSERT_GE(no_way, guests) << "he has no SA";
  const std::size_t lost = no_way - guests + world_->drops(DropReason::kVpnSpiUnknown);
  EXPECT_EQ(answered_ + lost, users);
  EXPECT_LT(lost, users / 100) << "that were under way in SAs three keys old";
  EXPECT_EQ(punted_.load() + world_->drops(DropReason::kPuntLimit), packets / 8);
  EXPECT_TRUE(std::any_of(daemon_->events.begin(), daemon_->events.end(), [](const ipc::TunnelEvent& event) { return event.has_moved(); }));
  EXPECT_EQ(unexpected_drops(expected), "");
}

}  // namespace
}  // namespace sekisho::tests
