// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstring>

#include "base/shm/datagram_ring.h"
#include "dataplane/path/tunnels.h"
#include "dataplane/service/tunnel_service.h"
#include "dataplane/tunnel/esp_path.h"
#include "filters/packet/fragment.h"
#include "filters/packet/nd.h"
#include "tests/path/path_test.h"
#include "tests/support/eal.h"
#include "tests/support/tunnels.h"

/// Remote users of the path tests: the keying daemon and the user's end, played here.
namespace sekisho::tests {

using dataplane::EspOutcome;
using dataplane::SaConfig;
using dataplane::SaTable;
using filters::DropReason;
using filters::EspFault;

inline std::string bytes_of(const Address& who) { return {who.wire().begin(), who.wire().end()}; }

/// The keying daemon, at the other end of tunnel.sock.
class Daemon {
 public:
  explicit Daemon(dataplane::TunnelService& service, std::uint32_t may = kAllKeyingDaemons) : service_(service), connection_(Fd()) {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    connection_ = IpcConnection(Fd(ends[0]));
    theirs_ = ends[1];
    service_.accept(IpcConnection(Fd(ends[1])), may);
  }
  ~Daemon() {
    if (!gone_) leave();
  }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  /// It dies.
  void leave() {
    connection_ = IpcConnection(Fd());
    gone_ = true;
    serve();
  }
  /// One request and its answer; events on the way are kept.
  ipc::FromTunnels ask(ipc::ToTunnels request) {
    request.set_correlation(++last_);
    const std::string bytes = request.SerializeAsString();
    EXPECT_TRUE(connection_.send({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}));
    serve();
    ipc::FromTunnels answer;
    do {
      auto message = connection_.receive(std::chrono::milliseconds(0));
      if (!message) {
        ADD_FAILURE() << "no answer";
        return {};
      }
      EXPECT_TRUE(answer.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size())));
      if (answer.has_event()) events.push_back(answer.event());
      if (!message->fds.empty()) fds = std::move(message->fds);
    } while (answer.has_event());
    EXPECT_EQ(answer.correlation(), last_);
    return answer;
  }
  void hello(ipc::TunnelHello::Kind kind = ipc::TunnelHello::IKE) {
    ipc::ToTunnels request;
    request.mutable_hello()->set_kind(kind);
    const auto answer = ask(request);
    ASSERT_TRUE(answer.has_welcome()) << answer.refused().reason();
    ASSERT_EQ(fds.size(), 2 * (answer.welcome().punt_rings() + 1));
    welcome = answer.welcome();
    for (std::size_t i = 0; i + 2 < fds.size(); i += 2) {
      punts.push_back(std::move(DatagramRingReader::open(std::move(fds[i]), std::move(fds[i + 1]))).value());
    }
    inject.emplace(std::move(DatagramRingWriter::attach(std::move(fds[fds.size() - 2]), std::move(fds.back()))).value());
  }
  /// The service reads what this daemon said.
  void serve() {
    const auto& peers = service_.peers();
    const auto here = std::find_if(peers.begin(), peers.end(), [this](const auto& one) { return one.connection.fd() == theirs_; });
    ASSERT_NE(here, peers.end());
    service_.serve(static_cast<std::size_t>(here - peers.begin()));
  }
  void read_events() {
    service_.tick();
    for (;;) {
      auto message = connection_.receive(std::chrono::milliseconds(0));
      if (!message) return;
      ipc::FromTunnels out;
      ASSERT_TRUE(out.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size())));
      ASSERT_TRUE(out.has_event());
      events.push_back(out.event());
    }
  }
  /// All IKE that was punted.
  std::vector<std::pair<DatagramHead, std::vector<std::uint8_t>>> punted() {
    std::vector<std::pair<DatagramHead, std::vector<std::uint8_t>>> out;
    for (DatagramRingReader& ring : punts) {
      for (bool found = true; found;) {
        DatagramHead head;
        std::vector<std::uint8_t> room(kDatagramBytesMax);
        const auto length = ring.pop(head, room, found);
        if (!length || !found) break;
        room.resize(*length);
        out.emplace_back(head, std::move(room));
      }
    }
    return out;
  }

  ipc::TunnelWelcome welcome;
  std::vector<ipc::TunnelEvent> events;
  std::vector<DatagramRingReader> punts;
  std::optional<DatagramRingWriter> inject;
  std::vector<Fd> fds;

 private:
  dataplane::TunnelService& service_;
  IpcConnection connection_;
  int theirs_ = -1;  ///< the service's end
  std::uint64_t last_ = 0;
  bool gone_ = false;
};

/// What a tunnel of these tests is made of; everything has a likely value.
struct Making {
  std::uint32_t tunnel = 1, tenant = kTenantA, tunnel_port = kTunnelPortA, user = kUserA;
  const char* gateway = kGatewayA4;
  std::uint32_t gateway_port = kShare;
  const char* peer = kPeer4;
  std::uint16_t peer_port = 61234;
  bool in_udp = true;
  const char* lease4 = kLease4;
  bool lease6 = true;
  std::uint32_t encryption = 20, bits = 128, integrity = 0;
  std::uint8_t key = 0x3c;
  std::uint64_t hard_packets = 0;
  bool esn = false;
  std::uint32_t replay_window = 128;
  std::uint64_t soft_packets = 0, soft_bytes = 0, hard_bytes = 0, soft_seconds = 0, hard_seconds = 0;
  const char* ours4 = "0.0.0.0/0";  ///< of our side, what the SAs are agreed for
};

inline rte_mempool* user_pool() {
  static rte_mempool* const made = (ensure_eal(), rte_pktmbuf_pool_create("tunnel-users", 255, 0, sizeof(filters::PacketMeta),
                                                                          RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY));
  return made;
}

/// A frame in a buffer of the user's own.
struct UserPacket {
  rte_mbuf* mbuf = rte_pktmbuf_alloc(user_pool());
  explicit UserPacket(const Frame& frame) {
    std::copy(frame.begin(), frame.end(), reinterpret_cast<std::uint8_t*>(rte_pktmbuf_append(mbuf, static_cast<std::uint16_t>(frame.size()))));
    filters::PacketMeta& meta = dataplane::meta_of(mbuf);
    meta = {};
    EXPECT_EQ(filters::decode(dataplane::frame_of(mbuf), mbuf->pkt_len, {}, meta), DropReason::kNone);
    meta.tenant = 1;  // the user's own table has one tenant
  }
  ~UserPacket() { rte_pktmbuf_free(mbuf); }
  UserPacket(const UserPacket&) = delete;
  UserPacket& operator=(const UserPacket&) = delete;
  [[nodiscard]] Frame bytes() const { return {dataplane::frame_of(mbuf).begin(), dataplane::frame_of(mbuf).end()}; }
};

/// The user's end: SAs towards the gateway and back. No two choose the same SPIs.
class User {
  static std::uint32_t next_seed() {
    static std::uint32_t seed = 0;
    return ++seed;
  }

 public:
  explicit User(const Making& setup) : setup_(setup) {
    remote_ = {parse_prefix("0.0.0.0/0").value(), parse_prefix("::/0").value()};
  }
  /// What the SAs of both ends are keyed with.
  [[nodiscard]] std::vector<std::uint8_t> cipher_key() const {
    return std::vector<std::uint8_t>(setup_.bits / 8 + (setup_.encryption == 20 ? 4 : 0), setup_.key);
  }
  [[nodiscard]] std::vector<std::uint8_t> integrity_key() const {
    return std::vector<std::uint8_t>(setup_.integrity == 12 ? 32 : 0, setup_.key);
  }
  std::uint32_t allocate() { return spi_ = table_->allocate_spi().value(); }
  /// `ours`: the gateway's inbound SPI.
  void install(std::uint32_t ours) {
    const auto cipher = cipher_key();
    const auto integrity = integrity_key();
    SaConfig config;
    config.tenant = 1;
    config.suite = setup_.encryption == 20 ? filters::EspSuite{setup_.bits == 128 ? filters::EspCipher::kAes128Gcm : filters::EspCipher::kAes256Gcm, filters::EspIntegrity::kAead}
                                           : filters::EspSuite{filters::EspCipher::kAes256Cbc, filters::EspIntegrity::kHmacSha256_128};
    config.cipher_key = cipher;
    config.integrity_key = integrity;
    config.in_udp = setup_.in_udp;
    config.extended = setup_.esn;
    config.local = {address(setup_.peer), setup_.peer_port};
    config.peer = {address(setup_.gateway), 4500};
    config.inner_local = config.inner_remote = remote_;
    config.spi = spi_;
    ASSERT_TRUE(table_->install(config, 0));
    config.direction = dataplane::SaDirection::kOutbound;
    config.spi = ours;
    auto handle = table_->install(config, 0);
    ASSERT_TRUE(handle);
    outbound_ = *handle;
  }
  /// The user moves to another address, or through another NAT.
  void move(const char* peer, std::uint16_t port, bool in_udp) {
    setup_.peer = peer;
    ASSERT_TRUE(table_->update(outbound_, {address(peer), port}, {address(setup_.gateway), 4500}, in_udp, 1500));
    ASSERT_TRUE(table_->update(spi_, {address(peer), port}, {address(setup_.gateway), 4500}, in_udp, 1500));
  }
  /// A sealed packet as it comes in by the uplink.
  Frame seal(const Frame& inner, const Mac& gateway) {
    UserPacket packet(inner);
    EspOutcome outcome;
    dataplane::seal_burst(*table_, {&packet.mbuf, 1}, {&outbound_, 1}, 0, {&outcome, 1});
    EXPECT_EQ(outcome.fault, EspFault::kNone);
    Frame out = packet.bytes();
    std::copy(gateway.bytes.begin(), gateway.bytes.end(), out.begin());
    std::copy(kRouterMac.bytes.begin(), kRouterMac.bytes.end(), out.begin() + 6);
    return out;
  }
  /// A text of one's own, trailer and all, sealed as no honest end would (GCM). A multiple of four.
  Frame seal_text(const Frame& text, const Mac& gateway) {
    dataplane::Sa& sa = outbound();
    Frame esp(16 + text.size() + 16);
    const std::uint64_t sequence = ++sa.use.sequence;
    store_be<std::uint32_t>(esp, 0, sa.spi);
    store_be<std::uint32_t>(esp, 4, static_cast<std::uint32_t>(sequence));
    std::copy(text.begin(), text.end(), esp.begin() + 16);
    dataplane::EspJob job{esp.data(), sa.keys.get(), sequence, static_cast<std::uint32_t>(text.size()), false};
    table_->crypto().seal({&job, 1});
    EXPECT_TRUE(job.done);
    FrameBuilder out = FrameBuilder().ethernet(kRouterMac, gateway);
    if (std::string_view(setup_.peer).find(':') == std::string_view::npos) {
      out.ipv4(setup_.peer, setup_.gateway);
    } else {
      out.ipv6(setup_.peer, setup_.gateway);
    }
    return setup_.in_udp ? out.udp(setup_.peer_port, 4500).payload(esp).build() : out.protocol(50, esp).build();
  }
  [[nodiscard]] dataplane::Sa& outbound() { return *table_->find(outbound_); }
  [[nodiscard]] dataplane::Sa& inbound() { return *table_->find(spi_); }
  /// The inner packet, as a frame, of what came out; fails the test when it is not for this user.
  Frame open(const Frame& outer) {
    UserPacket packet(outer);
    EspOutcome outcome;
    dataplane::open_burst(*table_, {&packet.mbuf, 1}, 0, {&outcome, 1});
    EXPECT_EQ(outcome.fault, EspFault::kNone) << filters::info(outcome.fault).name;
    return outcome.fault == EspFault::kNone ? packet.bytes() : Frame{};
  }

 private:
  Making setup_;
  std::unique_ptr<SaTable> table_ = std::move(SaTable::create(0, 16, next_seed())).value();
  std::vector<Prefix> remote_;
  std::uint32_t spi_ = 0, outbound_ = 0;
};

inline const RuleText kVpnToServers{.id = 11, .destinations = {"10.0.0.0/28", "fd00:0:0:1::/64"}, .protocol = 17, .port_low = 53, .port_high = 53,
                             .source_zones = kVpnZone};

class PathTunnel : public PathTest {
 protected:
  PathTunnel() : PathTest({.tunnels = 48}), service_(world_.engine()), daemon_(std::make_unique<Daemon>(service_)) {
    start({kVpnToServers, {.id = 12, .sources = {"10.0.0.0/28", "fd00:0:0:1::/64"}, .destination_zones = kVpnZone}});
    daemon_->hello();
  }
  void start(const std::vector<RuleText>& rules, std::uint32_t generation = 1) {
    world_.apply(generation, rules, {.rules_b = {{.id = 201}}, .edit = add_tunnels});
  }
  static void fill(ipc::TunnelPath& out, const Making& setup) {
    out.set_tenant(setup.tenant);
    out.set_port(setup.gateway_port);
    out.set_local(bytes_of(address(setup.gateway)));
    out.set_local_port(4500);
    out.set_remote(bytes_of(address(setup.peer)));
    out.set_remote_port(setup.peer_port);
  }
  /// Asks; the reason of a refusal, or nothing.
  std::string refusal(const ipc::ToTunnels& request) { return daemon_->ask(request).refused().reason(); }
  static ipc::ToTunnels opening(const Making& setup) {
    ipc::ToTunnels out;
    ipc::OpenTunnel& open = *out.mutable_open_tunnel();
    open.set_tunnel(setup.tunnel);
    open.set_tenant(setup.tenant);
    open.set_tunnel_port(setup.tunnel_port);
    open.set_user(setup.user);
    open.set_note("note of " + std::to_string(setup.tunnel));
    open.add_leases(bytes_of(address(setup.lease4)));
    if (setup.lease6) open.add_leases(bytes_of(address(kLease6)));
    return out;
  }
  static void add_prefix(google::protobuf::RepeatedPtrField<ipc::TunnelPrefix>& out, const char* text) {
    const Prefix prefix = parse_prefix(text).value();
    out.Add()->set_address(bytes_of(prefix.address));
    out.rbegin()->set_length(prefix.length);
  }
  ipc::ToTunnels installing(const Making& setup, const User& user, std::uint32_t spi, bool inbound, std::uint32_t beside) {
    ipc::ToTunnels out;
    ipc::InstallSa& install = *out.mutable_install_sa();
    fill(*install.mutable_path(), setup);
    install.set_tunnel(setup.tunnel);
    install.set_spi(spi);
    install.set_inbound(inbound);
    install.set_udp_encapsulation(setup.in_udp);
    install.set_encryption(setup.encryption);
    install.set_encryption_key_bits(setup.bits);
    install.set_integrity(setup.integrity);
    const auto cipher = user.cipher_key();
    const auto integrity = user.integrity_key();
    install.set_encryption_key(cipher.data(), cipher.size());
    install.set_integrity_key(integrity.data(), integrity.size());
    install.set_replay_window(setup.replay_window);
    install.set_esn(setup.esn);
    install.set_soft_packets(setup.soft_packets);
    install.set_hard_packets(setup.hard_packets);
    install.set_soft_bytes(setup.soft_bytes);
    install.set_hard_bytes(setup.hard_bytes);
    install.set_soft_seconds(setup.soft_seconds);
    install.set_hard_seconds(setup.hard_seconds);
    add_prefix(*install.mutable_inner_local(), setup.ours4);
    add_prefix(*install.mutable_inner_local(), "::/0");
    add_prefix(*install.mutable_inner_remote(), setup.lease4);
    if (setup.lease6) add_prefix(*install.mutable_inner_remote(), "fd00:9::5/128");
    install.set_beside_spi(beside);
    return out;
  }
  std::uint32_t allocate(const Making& setup) {
    ipc::ToTunnels request;
    fill(*request.mutable_allocate_spi()->mutable_path(), setup);
    const auto answer = daemon_->ask(request);
    EXPECT_TRUE(answer.has_spi_allocated()) << answer.refused().reason();
    return answer.spi_allocated().spi();
  }
  /// SAs of both directions in both ends. Returns the gateway's SPI.
  std::uint32_t key(const Making& setup, User& user) {
    const std::uint32_t ours = allocate(setup);
    const std::uint32_t theirs = user.allocate();
    EXPECT_EQ(refusal(installing(setup, user, ours, true, 0)), "");
    EXPECT_EQ(refusal(installing(setup, user, theirs, false, ours)), "");
    user.install(ours);
    return ours;
  }
  std::uint32_t up(const Making& setup, User& user) {
    EXPECT_EQ(refusal(opening(setup)), "");
    return key(setup, user);
  }
  void from_user(User& user, const Frame& inner) { world_.inject(kUplinkNic, user.seal(inner, world_.gateway(kUplinkNic))); }
  /// What came out of the uplink, after its router answered who it is.
  std::vector<Frame> to_uplink() {
    for (const char* router : {"192.0.2.2", "2001:db8:0:1::2"}) {
      world_.inject(kUplinkNic, router_answer(router, std::string_view(router).find(':') == std::string_view::npos ? "192.0.2.1" : "2001:db8:0:1::1"));
    }
    world_.settle();
    std::vector<Frame> out;
    for (Frame& frame : world_.collect(kUplinkNic)) {
      const auto meta = read(frame);
      const bool asks = (meta.proof & filters::kProofArp) != 0 || filters::is_nd(meta);
      if (!asks) out.push_back(std::move(frame));
    }
    return out;
  }
  static Frame question(const char* from = kLease4, const char* to = "10.0.0.2", unsigned port = 53) {
    return ip({}, from, to).udp(40000, port).payload(100).build();
  }
  /// The SPI of a sealed packet in UDP.
  static std::uint32_t read_outbound_spi(const Frame& frame) { return load_be<std::uint32_t>(frame, read(frame).payload_offset); }
  static Frame l3_of(const Frame& frame) { return {frame.begin() + read(frame).l3_offset, frame.begin() + read(frame).l3_offset + read(frame).l3_length}; }

  dataplane::TunnelService service_;
  std::unique_ptr<Daemon> daemon_;
};

}  // namespace sekisho::tests
