// SPDX-License-Identifier: Apache-2.0
// Goal: remote users' packets pass while, in other threads, the keying daemon renews, moves and removes SAs, tunnels come and
// go with their leases, and IKE is punted and injected over the rings. Method: one thread is the network and the users, one the
// data plane's control thread with the daemon at the other end of tunnel.sock, one reads and writes the daemon's rings; each
// packet is accounted for.
#include <sys/socket.h>

#include <deque>
#include <map>

#include "base/shm/datagram_ring.h"
#include "dataplane/service/tunnel_service.h"
#include "dataplane/tunnel/esp_path.h"
#include "tests/path/threads/threads_world.h"

namespace sekisho::tests {
namespace {

using dataplane::SaConfig;
using dataplane::SaDirection;
using dataplane::SaTable;
namespace snapshot = filters::snapshot;

constexpr std::uint32_t kTunnelPort = 21, kUser = 5, kGuest = 6;
constexpr const char *kGateway = "203.0.113.18", *kPeer = "198.51.100.9", *kLease = "10.9.0.5", *kGuestLease = "10.9.0.6";

/// Tenant A gets a zone with a tunnel Port, its addresses routed there, and a gateway on its share.
void add_tunnel_port(filters::SnapshotBuilder& builder) {
  snapshot::Tenant& tenant = builder.tenants[0];
  builder.zones.insert(builder.zones.begin() + tenant.zones.first + tenant.zones.count, {builder.string("vpn")});
  snapshot::Port port{};
  port.id = kTunnelPort;
  port.kind = snapshot::PortKind::kTunnel;
  port.nic = port.uplink = port.binding = snapshot::kNone;
  port.zone = static_cast<std::uint8_t>(tenant.zones.count++);
  port.mtu = 1500;
  port.name = builder.string("tunnels");
  port.addresses = {static_cast<std::uint32_t>(builder.port_addresses.size()), 0};
  const auto index = static_cast<std::uint32_t>(builder.ports.size());
  builder.ports.push_back(port);
  builder.routes.insert(builder.routes.begin() + tenant.routes.first + tenant.routes.count++, {parse_prefix("10.9.0.0/24").value(), 0, 0, index, {}, {}});
  for (std::size_t later = 1; later < builder.tenants.size(); ++later) ++builder.tenants[later].zones.first, ++builder.tenants[later].routes.first;
  builder.gateways.push_back({address(kGateway), {}, 0, 2, index});
  for (const std::uint32_t user : {kUser, kGuest}) builder.users.push_back({user, 0, 1});
}

std::string bytes_of(const Address& who) { return {who.wire().begin(), who.wire().end()}; }

/// One pair of SAs at the user's end.
class UserEnd {
 public:
  UserEnd(std::uint32_t number, std::uint16_t port) : key_(20, static_cast<std::uint8_t>(number)), port_(port), table_(std::move(SaTable::create(0, 4, number)).value()) {
    spi_ = table_->allocate_spi().value();
  }
  [[nodiscard]] std::uint32_t spi() const { return spi_; }
  [[nodiscard]] const std::vector<std::uint8_t>& key() const { return key_; }
  [[nodiscard]] std::uint16_t port() const { return port_; }
  /// `theirs`: the gateway's inbound SPI.
  void install(std::uint32_t theirs) {
    static const std::vector<Prefix> all{parse_prefix("0.0.0.0/0").value()};
    SaConfig config;
    config.tenant = 1;
    config.suite = {filters::EspCipher::kAes128Gcm, filters::EspIntegrity::kAead};
    config.cipher_key = key_;
    config.in_udp = true;
    config.local = {address(kPeer), port_};
    config.peer = {address(kGateway), 4500};
    config.inner_local = config.inner_remote = all;
    config.spi = spi_;
    ASSERT_TRUE(table_->install(config, 0));
    config.direction = SaDirection::kOutbound;
    config.spi = theirs;
    const auto handle = table_->install(config, 0);
    ASSERT_TRUE(handle);
    outbound_ = *handle;
  }
  Frame seal(const Frame& inner, const Mac& gateway) { return through(inner, gateway, true); }
  /// Empty: it does not open.
  Frame open(const Frame& outer) { return through(outer, {}, false); }

 private:
  Frame through(const Frame& frame, const Mac& gateway, bool out) {
    static rte_mempool* const pool = rte_pktmbuf_pool_create("users-ends", 63, 0, sizeof(filters::PacketMeta), RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    rte_mbuf* packet = rte_pktmbuf_alloc(pool);
    std::copy(frame.begin(), frame.end(), reinterpret_cast<std::uint8_t*>(rte_pktmbuf_append(packet, static_cast<std::uint16_t>(frame.size()))));
    filters::PacketMeta& meta = dataplane::meta_of(packet);
    meta = {};
    EXPECT_EQ(filters::decode(dataplane::frame_of(packet), packet->pkt_len, {}, meta), DropReason::kNone);
    meta.tenant = 1;  // the table has one tenant
    dataplane::EspOutcome outcome;
    if (out) {
      dataplane::seal_burst(*table_, {&packet, 1}, {&outbound_, 1}, 0, {&outcome, 1});
    } else {
      dataplane::open_burst(*table_, {&packet, 1}, 0, {&outcome, 1});
    }
    Frame done;
    if (outcome.fault == filters::EspFault::kNone) done.assign(dataplane::frame_of(packet).begin(), dataplane::frame_of(packet).end());
    rte_pktmbuf_free(packet);
    if (!out) return done;
    std::copy(gateway.bytes.begin(), gateway.bytes.end(), done.begin());
    std::copy(kRouterMac.bytes.begin(), kRouterMac.bytes.end(), done.begin() + 6);
    return done;
  }

  std::vector<std::uint8_t> key_;  // with the salt
  std::uint16_t port_;
  std::unique_ptr<SaTable> table_;
  std::uint32_t spi_ = 0, outbound_ = 0;
};

class TunnelThreads : public Threads {
 protected:
  TunnelThreads() : Threads({.log_records = 1024, .tunnels = 16}) {}
  void SetUp() override {
    Threads::SetUp();
    service_ = std::make_unique<dataplane::TunnelService>(world_->engine());
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    daemon_ = IpcConnection(Fd(ends[0]));
    service_->accept(IpcConnection(Fd(ends[1])));
  }
  void apply(std::uint32_t generation) {
    world_->apply(generation, {{.id = 11, .log = snapshot::kLogNone}, {.id = 12 + generation % 2, .protocol = 1}}, {.edit = add_tunnel_port});
  }
  /// The control thread: a request, what the service makes of it, and the answer. Events on the way are not looked at.
  ipc::FromTunnels ask(ipc::ToTunnels request) {
    request.set_correlation(++asked_);
    const std::string bytes = request.SerializeAsString();
    EXPECT_TRUE(daemon_.send({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}));
    service_->serve(0);
    ipc::FromTunnels answer;
    do {
      auto message = daemon_.receive(std::chrono::milliseconds(0));
      if (!message) {
        ADD_FAILURE() << "no answer";
        return {};
      }
      EXPECT_TRUE(answer.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size())));
      if (!message->fds.empty()) fds_ = std::move(message->fds);
      if (answer.event().has_moved()) ++moves_told_;
    } while (answer.has_event());
    EXPECT_FALSE(answer.has_refused()) << answer.refused().reason();
    return answer;
  }
  void hello() {
    ipc::ToTunnels request;
    request.mutable_hello();
    ASSERT_TRUE(ask(request).has_welcome());
    for (std::size_t i = 0; i + 2 < fds_.size(); i += 2) punts_.push_back(std::move(DatagramRingReader::open(std::move(fds_[i]), std::move(fds_[i + 1]))).value());
    inject_.emplace(std::move(DatagramRingWriter::attach(std::move(fds_[fds_.size() - 2]), std::move(fds_.back()))).value());
  }
  static void fill(ipc::TunnelPath& out, std::uint16_t port) {
    out.set_tenant(kTenantA);
    out.set_port(kShare);
    out.set_local(bytes_of(address(kGateway)));
    out.set_local_port(4500);
    out.set_remote(bytes_of(address(kPeer)));
    out.set_remote_port(port);
  }
  void open(std::uint32_t tunnel, std::uint32_t user, const char* lease) {
    ipc::ToTunnels request;
    ipc::OpenTunnel& open = *request.mutable_open_tunnel();
    open.set_tunnel(tunnel);
    open.set_tenant(kTenantA);
    open.set_tunnel_port(kTunnelPort);
    open.set_user(user);
    open.add_leases(bytes_of(address(lease)));
    ask(request);
  }
  void install(const UserEnd& user, std::uint32_t spi, std::uint32_t beside) {
    ipc::ToTunnels request;
    ipc::InstallSa& install = *request.mutable_install_sa();
    fill(*install.mutable_path(), user.port());
    install.set_tunnel(1);
    install.set_spi(spi);
    install.set_inbound(beside == 0);
    install.set_udp_encapsulation(true);
    install.set_encryption(20);
    install.set_encryption_key_bits(128);
    install.set_encryption_key(user.key().data(), user.key().size());
    install.set_replay_window(1024);
    install.add_inner_local()->set_address(bytes_of(address("0.0.0.0")));
    install.add_inner_remote()->set_address(bytes_of(address(kLease)));
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
    std::shared_ptr<UserEnd> user;
    std::uint32_t ours;  ///< the gateway's inbound SPI
  };
  /// Keys tunnel 1 anew; from here on the user speaks by the new SAs, and hears by all he was ever given.
  Keyed key_anew() {
    ++keyed_;
    auto user = std::make_shared<UserEnd>(keyed_, static_cast<std::uint16_t>(40'000 + keyed_ % 2));
    ipc::ToTunnels request;
    fill(*request.mutable_allocate_spi()->mutable_path(), user->port());
    const std::uint32_t ours = ask(request).spi_allocated().spi();
    user->install(ours);
    {
      const std::lock_guard guard(lock_);
      hears_[user->spi()] = user;
    }
    install(*user, ours, 0);
    install(*user, user->spi(), ours);
    const std::lock_guard guard(lock_);
    speaks_ = user;
    return {user, ours};
  }

  /// The control thread: the user is keyed anew and moves, SAs two keys old are removed, a guest comes and goes, now and then a
  /// commit.
  void change(unsigned round) {
    keys_.push_back(key_anew());
    const Keyed& newest = keys_.back();
    move(newest.ours, true, 41'000);
    move(newest.user->spi(), false, 41'000);
    if (keys_.size() > 3) {
      remove(keys_.front().ours, true);
      remove(keys_.front().user->spi(), false);
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
  /// The daemon's own thread.
  void serve_rings() {
    for (DatagramRingReader& ring : punts_) {
      DatagramHead head;
      std::vector<std::uint8_t> room(kDatagramBytesMax);
      bool found = false;
      const auto length = ring.pop(head, room, found);
      ASSERT_TRUE(length);
      if (!found) continue;
      EXPECT_EQ(head.tenant, kTenantA);
      EXPECT_EQ(*length, 100U);
      EXPECT_EQ(std::count(room.begin(), room.begin() + 100, 0xa5), 100);
      ++punted_;
    }
    const DatagramHead head{.tenant = kTenantA, .port = kShare, .local = address(kGateway), .remote = address(kPeer), .local_port = 500, .remote_port = kInjectedPort};
    const Frame text(60, 0x61);
    const std::array<ByteSpan, 1> parts{ByteSpan(text)};
    if (injected_.load() < kInjected && inject_->push(head, parts)) ++injected_;
    std::this_thread::yield();
  }
  [[nodiscard]] FrameBuilder from_server() const { return FrameBuilder().ethernet(kServerMac, world_->gateway(kServerNic)); }
  /// The network: of eight packets six are the user's, one is the server's to a guest without SAs, one is IKE.
  std::pair<std::uint16_t, Frame> next_packet(std::size_t i) {
    const Mac gateway = world_->gateway(kUplinkNic);
    if (i % 8 == 1) return {kServerNic, from_server().ipv4("10.0.0.2", kGuestLease).udp(53, 40000).payload(20).build()};
    if (i % 8 == 3) return {kUplinkNic, FrameBuilder().ethernet(kRouterMac, gateway).ipv4(kPeer, kGateway).udp(500, 500).payload(100).build()};
    const Frame inner = FrameBuilder().ipv4(kLease, "10.0.0.2").udp(2000 + static_cast<unsigned>(i % 40), 53).payload(100).build();
    const std::lock_guard guard(lock_);
    return {kUplinkNic, speaks_->seal(inner, gateway)};
  }
  /// True when the user has his answer.
  bool has_come(std::uint16_t nic, const Frame& frame) {
    const filters::PacketMeta meta = read(frame);
    if (meta.protocol != 17) return false;  // an error about the guest
    if (nic == kServerNic) {
      EXPECT_EQ(filters::ip_source(frame, meta), address(kLease));
      world_->queue(kServerNic, from_server().ipv4("10.0.0.2", kLease).udp(53, meta.source_port).payload(30).build());
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
  IpcConnection daemon_{Fd()};
  std::vector<Fd> fds_;
  std::uint64_t asked_ = 0;
  std::uint32_t keyed_ = 0;
  unsigned moves_told_ = 0;
  std::vector<DatagramRingReader> punts_;
  std::optional<DatagramRingWriter> inject_;
  std::mutex lock_;
  std::shared_ptr<UserEnd> speaks_;                             // under lock_
  std::map<std::uint32_t, std::shared_ptr<UserEnd>> hears_;     // under lock_, by the user's inbound SPI
  std::deque<Keyed> keys_;
  std::uint32_t generation_ = 1;
  std::atomic<std::size_t> punted_{0}, injected_{0};
  std::size_t answered_ = 0, came_out_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Workers, TunnelThreads, testing::Values(2U, 3U), [](const auto& test) { return "With" + std::to_string(test.param); });

TEST_P(TunnelThreads, UsersPacketsPassWhileSasLeasesAndRingsAreChangedBesideThem) {
  constexpr std::size_t kPackets = 3200;
  apply(1);
  start();
  hello();
  open(1, kUser, kLease);
  keys_.push_back(key_anew());
  Beside rings(1, [this](unsigned) { serve_rings(); });
  std::size_t packets = 8;
  run(packets);  // the router is known from here on
  Beside control(8, [this](unsigned round) { change(round); });
  do run(kPackets), packets += kPackets; while (control.rounds() < 8);
  control.end();
  while (came_out_ < kInjected) run(8), packets += 8;
  rings.end();
  EXPECT_EQ(came_out_, kInjected);
  EXPECT_EQ(world_->drops(DropReason::kVpnNoLease) + world_->drops(DropReason::kVpnSaMissing), packets / 8) << "the guest's";
  EXPECT_EQ(punted_.load() + world_->drops(DropReason::kPuntLimit), packets / 8);
  EXPECT_EQ(answered_ + world_->drops(DropReason::kVpnSpiUnknown), packets / 8 * 6);
  EXPECT_GT(answered_, packets / 2);
  EXPECT_GT(moves_told_, 0U);
  EXPECT_EQ(unexpected_drops({DropReason::kVpnNoLease, DropReason::kVpnSaMissing, DropReason::kPuntLimit, DropReason::kVpnSpiUnknown}), "");
}

}  // namespace
}  // namespace sekisho::tests
