// SPDX-License-Identifier: Apache-2.0
// Goal: an L2TP client's IP packets are judged like any packet, whatever other clients behind its NAT do; its control reaches the daemon
// and the daemon's words reach it through its own SAs; nothing of it passes before its session stands or outside ESP. Method: the
// whole data plane on ring ports; the two daemons (who keys, who speaks L2TP) and the clients' ends are played here.
#include "dataplane/tunnel/expanded_keys.h"
#include "filters/esp/esp.h"
#include "filters/packet/l2tp.h"
#include "tests/path/tunnel_world.h"

namespace sekisho::tests {
namespace {

using dataplane::L2tpSession;

constexpr std::uint32_t carrier_number(std::uint32_t number) { return tunnel_number(KeyingDaemon::kIkeV1, number); }
constexpr std::uint32_t session_number(std::uint32_t number) { return tunnel_number(KeyingDaemon::kPpp, number); }
const Frame kScccn{0xc8, 2, 0, 20, 0, 1, 0, 0, 0, 1, 0, 1, 0x80, 8, 0, 0, 0, 0, 0, 3};
const Frame kLcp{0, 2, 0, 1, 0, 2, 0xff, 3, 0xc0, 0x21, 9, 1, 0, 4};

/// A client: its carrier, its keys, its session.
struct Client {
  std::uint32_t number = 1;  ///< of carrier and session
  std::uint32_t tenant = kTenantA;
  const char* gateway = kGatewayA4;
  std::uint32_t gateway_port = kShare;
  const char* peer = kPeer4;
  std::uint16_t peer_port = 61234;
  bool in_udp = true;
  const char* lease = kLease4;
  const char* lease6 = nullptr;
  std::uint32_t tunnel_port = kTunnelPortA, user = kUserA;
  std::uint8_t key = 0x3c;
  std::uint16_t udp_port = 1701;  ///< inside ESP
  std::uint16_t local_tunnel = 1, local_session = 2, peer_tunnel = 77, peer_session = 88;
  std::uint32_t mtu = 1400;
};

/// The client's own SAs: AES-128-GCM, seals and opens as an L2TP client's kernel does.
class ClientEnd {
 public:
  explicit ClientEnd(const Client& client) : client_(client) {
    static std::uint32_t seed = 1000;
    table_ = std::move(SaTable::create(0, 16, ++seed)).value();
  }
  [[nodiscard]] std::vector<std::uint8_t> key() const { return std::vector<std::uint8_t>(20, client_.key); }
  std::uint32_t allocate() { return spi_ = table_->allocate_spi().value(); }
  void install(std::uint32_t ours) {
    const auto keys = key();
    SaConfig config;
    config.tenant = 1;
    config.transport = true;
    config.suite = {filters::EspCipher::kAes128Gcm, filters::EspIntegrity::kAead};
    config.cipher_key = keys;
    config.in_udp = client_.in_udp;
    config.local = {address(client_.peer), client_.peer_port};
    config.peer = {address(client_.gateway), 4500};
    config.spi = spi_;
    ASSERT_TRUE(table_->install(config, 0));
    config.direction = dataplane::SaDirection::kOutbound;
    config.spi = ours;
    auto handle = table_->install(config, 0);
    ASSERT_TRUE(handle);
    outbound_ = *handle;
  }
  void move(const char* peer, std::uint16_t port) {
    ASSERT_TRUE(table_->update(outbound_, {address(peer), port}, {address(client_.gateway), 4500}, client_.in_udp, 1500));
    ASSERT_TRUE(table_->update(spi_, {address(peer), port}, {address(client_.gateway), 4500}, client_.in_udp, 1500));
  }
  /// A UDP payload to the gateway's `to`, sealed: as it comes in by the uplink.
  Frame seal(const Frame& payload, const Mac& gateway, std::uint16_t to = 1701) {
    Frame raw(14 + 8 + payload.size());
    store_be<std::uint16_t>(raw, 14, client_.udp_port);
    store_be<std::uint16_t>(raw, 16, to);
    store_be<std::uint16_t>(raw, 18, static_cast<std::uint16_t>(8 + payload.size()));
    std::copy(payload.begin(), payload.end(), raw.begin() + 22);
    rte_mbuf* mbuf = rte_pktmbuf_alloc(user_pool());
    std::copy(raw.begin(), raw.end(), reinterpret_cast<std::uint8_t*>(rte_pktmbuf_append(mbuf, static_cast<std::uint16_t>(raw.size()))));
    filters::PacketMeta& meta = dataplane::meta_of(mbuf);
    meta = {};
    meta.tenant = 1;
    meta.l3_offset = 14;
    meta.l3_length = static_cast<std::uint16_t>(8 + payload.size());
    EspOutcome outcome;
    dataplane::seal_burst(*table_, {&mbuf, 1}, {&outbound_, 1}, 0, {&outcome, 1});
    EXPECT_EQ(outcome.fault, EspFault::kNone);
    Frame out(dataplane::frame_of(mbuf).begin(), dataplane::frame_of(mbuf).end());
    rte_pktmbuf_free(mbuf);
    std::copy(gateway.bytes.begin(), gateway.bytes.end(), out.begin());
    std::copy(kRouterMac.bytes.begin(), kRouterMac.bytes.end(), out.begin() + 6);
    return out;
  }
  /// An IP packet (of a frame) of the session, sealed.
  Frame seal_ip(const Frame& inner, const Mac& gateway) {
    const bool v6 = inner[12] == 0x86;
    Frame payload{0x40, 2, 0, 0, 0, 0, 0, 0, 0xff, 3, 0, static_cast<std::uint8_t>(v6 ? 0x57 : 0x21)};
    store_be<std::uint16_t>(payload, 4, client_.local_tunnel);
    store_be<std::uint16_t>(payload, 6, client_.local_session);
    payload.insert(payload.end(), inner.begin() + 14, inner.end());
    store_be<std::uint16_t>(payload, 2, static_cast<std::uint16_t>(payload.size()));
    return seal(payload, gateway);
  }
  /// The UDP datagram, header and all, in what came out.
  Frame open(const Frame& outer) {
    UserPacket packet(outer);
    const filters::PacketMeta& meta = dataplane::meta_of(packet.mbuf);
    const std::size_t esp = client_.in_udp ? meta.payload_offset : meta.l4_offset;
    const auto frame = dataplane::frame_of(packet.mbuf);
    const auto header = filters::read_esp_header(frame.subspan(esp));
    dataplane::Sa* sa = header ? table_->find(header->spi) : nullptr;
    if (sa == nullptr) return {};
    dataplane::EspJob job{frame.data() + esp, sa->keys.get(), header->sequence, static_cast<std::uint32_t>(frame.size() - esp - 8 - 8 - 16), false};
    table_->crypto().open({&job, 1});
    EXPECT_TRUE(job.done);
    ByteSpan udp;
    EXPECT_EQ(filters::read_esp_transport(frame.subspan(esp + 16, job.encrypted), 17, udp), EspFault::kNone);
    EXPECT_EQ(load_be<std::uint16_t>(udp, 0), 1701);
    EXPECT_EQ(load_be<std::uint16_t>(udp, 2), client_.udp_port);
    EXPECT_EQ(load_be<std::uint16_t>(udp, 4), udp.size());
    return {udp.begin(), udp.end()};
  }

 private:
  Client client_;
  std::unique_ptr<SaTable> table_;
  std::uint32_t spi_ = 0, outbound_ = 0;
};

class PathL2tp : public PathTunnel {
 protected:
  PathL2tp() : ike_(service_), lns_(service_) {
    ike_.hello(ipc::TunnelHello::IKE_V1);
    lns_.hello(ipc::TunnelHello::PPP);
  }
  static std::string refusal(Daemon& daemon, const ipc::ToTunnels& request) { return daemon.ask(request).refused().reason(); }
  static void fill_path(ipc::TunnelPath& out, const Client& client) {
    out.set_tenant(client.tenant);
    out.set_port(client.gateway_port);
    out.set_local(bytes_of(address(client.gateway)));
    out.set_local_port(4500);
    out.set_remote(bytes_of(address(client.peer)));
    out.set_remote_port(client.peer_port);
  }
  static ipc::ToTunnels carrier_of(const Client& client) {
    ipc::ToTunnels out;
    out.mutable_open_tunnel()->set_tunnel(carrier_number(client.number));
    out.mutable_open_tunnel()->set_tenant(client.tenant);
    out.mutable_open_tunnel()->set_carrier(true);
    out.mutable_open_tunnel()->set_note("carrier");
    return out;
  }
  static ipc::ToTunnels session_of(const Client& client) {
    ipc::ToTunnels out;
    ipc::OpenTunnel& open = *out.mutable_open_tunnel();
    open.set_tunnel(session_number(client.number));
    open.set_tenant(client.tenant);
    open.set_tunnel_port(client.tunnel_port);
    open.set_user(client.user);
    open.set_person(client.number);
    open.add_leases(bytes_of(address(client.lease)));
    if (client.lease6 != nullptr) open.add_leases(bytes_of(address(client.lease6)));
    ipc::L2tpSession& session = *open.mutable_l2tp();
    session.set_carrier(carrier_number(client.number));
    session.set_peer_port(client.udp_port);
    session.set_local_tunnel(client.local_tunnel);
    session.set_local_session(client.local_session);
    session.set_peer_tunnel(client.peer_tunnel);
    session.set_peer_session(client.peer_session);
    session.set_mtu(client.mtu);
    return out;
  }
  static ipc::ToTunnels sa_of(const Client& client, const ClientEnd& end, std::uint32_t spi, bool inbound, std::uint32_t beside) {
    ipc::ToTunnels out;
    ipc::InstallSa& install = *out.mutable_install_sa();
    fill_path(*install.mutable_path(), client);
    install.set_tunnel(carrier_number(client.number));
    install.set_spi(spi);
    install.set_inbound(inbound);
    install.set_transport(true);
    install.set_udp_encapsulation(client.in_udp);
    install.set_encryption(20);
    install.set_encryption_key_bits(128);
    const auto key = end.key();
    install.set_encryption_key(key.data(), key.size());
    install.set_replay_window(128);
    install.set_beside_spi(beside);
    return out;
  }
  std::uint32_t key(const Client& client, ClientEnd& end) {
    ipc::ToTunnels request;
    fill_path(*request.mutable_allocate_spi()->mutable_path(), client);
    const std::uint32_t ours = ike_.ask(request).spi_allocated().spi();
    const std::uint32_t theirs = end.allocate();
    EXPECT_EQ(refusal(ike_, sa_of(client, end, ours, true, 0)), "");
    EXPECT_EQ(refusal(ike_, sa_of(client, end, theirs, false, ours)), "");
    end.install(ours);
    return ours;
  }
  std::uint32_t up(const Client& client, ClientEnd& end) {
    EXPECT_EQ(refusal(ike_, carrier_of(client)), "");
    const std::uint32_t ours = key(client, end);
    EXPECT_EQ(refusal(lns_, session_of(client)), "");
    return ours;
  }
  ipc::TunnelUse use_of(const Client& client) {
    ipc::ToTunnels request;
    request.mutable_query_tunnel()->set_tunnel(session_number(client.number));
    return lns_.ask(request).tunnel_use();
  }
  void from_client(ClientEnd& end, const Frame& payload) { world_.inject(kUplinkNic, end.seal(payload, world_.gateway(kUplinkNic))); }
  void ip_from_client(ClientEnd& end, const Frame& inner) { world_.inject(kUplinkNic, end.seal_ip(inner, world_.gateway(kUplinkNic))); }
  /// The one IP packet of the session in what came out for the client.
  Frame ip_for_client(ClientEnd& end, const Client& client) {
    const auto out = to_uplink();
    EXPECT_EQ(out.size(), 1U);
    if (out.empty()) return {};
    const Frame udp = end.open(out[0]);
    if (udp.empty()) return {};
    const auto l2tp = filters::read_l2tp(ByteSpan(udp).subspan(8));
    EXPECT_EQ(l2tp.tunnel, client.peer_tunnel);
    EXPECT_EQ(l2tp.session, client.peer_session);
    return {l2tp.ip.begin(), l2tp.ip.end()};
  }
  void say(const Client& client, const Frame& payload, std::uint16_t port = 0) {
    const DatagramHead head{.tenant = client.tenant, .port = client.gateway_port, .local = address(client.gateway), .remote = address(client.peer),
                            .local_port = 1701, .remote_port = port == 0 ? client.udp_port : port, .tunnel = carrier_number(client.number)};
    ASSERT_TRUE(lns_.inject->push(head, std::array{ByteSpan(payload)}));
    world_.settle();
  }

  Daemon ike_, lns_;
};
SEKISHO_PATH_WORKERS(PathL2tp);

TEST_P(PathL2tp, ARuleLetsAClientInAndTheAnswerGoesBackInItsSessionInAllFamilies) {
  std::uint32_t number = 0;
  for (const bool outer6 : {false, true}) {
    for (const bool in_udp : {false, true}) {
      SCOPED_TRACE(testing::Message() << "outer6 " << outer6 << " udp " << in_udp);
      Client client{.number = ++number, .in_udp = in_udp, .lease6 = kLease6, .udp_port = static_cast<std::uint16_t>(in_udp ? 1701 : 50001)};
      if (outer6) client.gateway = kGatewayA6, client.peer = kPeer6;
      ClientEnd end(client);
      up(client, end);
      for (const bool inner6 : {false, true}) {
        const char* who = inner6 ? kLease6 : kLease4;
        const char* server_address = inner6 ? "fd00:0:0:1::2" : "10.0.0.2";
        ip_from_client(end, question(who, server_address));
        const auto in = world_.collect(kServerNic);
        ASSERT_EQ(in.size(), 1U);
        EXPECT_EQ(filters::ip_source(in[0], read(in[0])), address(who));
        EXPECT_EQ(read(in[0]).ttl, 63) << "one hop";
        const Frame answer = server(server_address, who).udp(53, 40000).payload(300).build();
        world_.inject(kServerNic, answer);
        const Frame got = ip_for_client(end, client);
        const Frame sent = l3_of(answer);
        ASSERT_EQ(got.size(), sent.size());
        EXPECT_TRUE(std::equal(got.begin() + 20, got.end(), sent.begin() + 20));
      }
      const auto use = use_of(client);
      EXPECT_EQ(use.packets_in(), 2U);
      EXPECT_EQ(use.packets_out(), 2U);
      EXPECT_EQ(use.bytes_in(), 128U + 148U);
      EXPECT_TRUE(use.has_idle_seconds());
      ipc::ToTunnels close;
      close.mutable_close_tunnel()->set_tunnel(session_number(number));
      EXPECT_EQ(refusal(lns_, close), "");
      close.mutable_close_tunnel()->set_tunnel(carrier_number(number));
      EXPECT_EQ(refusal(ike_, close), "");
      world_.pass(std::chrono::minutes(5));
    }
  }
}

TEST_P(PathL2tp, EightClientsBehindOneNatWithOnePortHaveTheirOwnSessions) {
  std::vector<Client> clients;
  std::vector<std::unique_ptr<ClientEnd>> ends;
  static const char* kLeases[] = {"10.9.0.5", "10.9.0.6", "10.9.0.7", "10.9.0.8", "10.9.0.9", "10.9.0.10", "10.9.0.11", "10.9.0.12"};
  for (std::uint32_t i = 0; i < 8; ++i) {
    Client client{.number = i + 1, .lease = kLeases[i], .key = static_cast<std::uint8_t>(i + 1)};  // all else alike, ids and ports too
    client.peer_port = static_cast<std::uint16_t>(61000 + i / 4);  // two NAT ports: the outer ends of four are the same
    clients.push_back(client);
    ends.push_back(std::make_unique<ClientEnd>(client));
    up(client, *ends.back());
  }
  for (std::size_t i = 0; i < clients.size(); ++i) {
    SCOPED_TRACE(i);
    ip_from_client(*ends[i], question(kLeases[i]));
    const auto in = world_.collect(kServerNic);
    ASSERT_EQ(in.size(), 1U);
    EXPECT_EQ(filters::ip_source(in[0], read(in[0])), address(kLeases[i]));
    world_.inject(kServerNic, server("10.0.0.2", kLeases[i]).udp(53, 40000).payload(30).build());
    EXPECT_FALSE(ip_for_client(*ends[i], clients[i]).empty());
    from_client(*ends[i], kScccn);
    const auto punted = lns_.punted();
    ASSERT_EQ(punted.size(), 1U);
    EXPECT_EQ(punted[0].first.tunnel, carrier_number(clients[i].number));
    // A neighbour's address is not his, although all else of the packet is.
    ip_from_client(*ends[i], question(kLeases[(i + 1) % 8]));
    EXPECT_EQ(drops(DropReason::kVpnInnerSpoof), i + 1);
  }
}

TEST_P(PathL2tp, ControlReachesTheDaemonAndItsWordsGoBackThroughTheSaOfTheirCarrier) {
  for (const bool outer6 : {false, true}) {
    Client client{.number = outer6 ? 2U : 1U, .udp_port = 40001};
    if (outer6) client.gateway = kGatewayA6, client.peer = kPeer6;
    ClientEnd end(client);
    ASSERT_EQ(refusal(ike_, carrier_of(client)), "");
    say(client, kLcp);
    EXPECT_TRUE(to_uplink().empty()) << "there are no SAs yet";
    key(client, end);
    for (const Frame& payload : {kScccn, kLcp}) {
      from_client(end, payload);
      const auto punted = lns_.punted();
      ASSERT_EQ(punted.size(), 1U);
      const DatagramHead& head = punted[0].first;
      EXPECT_EQ(head.tenant, kTenantA);
      EXPECT_EQ(head.tunnel, carrier_number(client.number));
      EXPECT_EQ(head.local, address(client.gateway));
      EXPECT_EQ(head.remote, address(client.peer));
      EXPECT_EQ(head.local_port, 1701);
      EXPECT_EQ(head.remote_port, 40001);
      EXPECT_EQ(punted[0].second, payload);
      say(client, payload);
      const auto out = to_uplink();
      ASSERT_EQ(out.size(), 1U);
      EXPECT_EQ(filters::ip_destination(out[0], read(out[0])), address(client.peer));
      const Frame udp = end.open(out[0]);
      EXPECT_EQ(Frame(udp.begin() + 8, udp.end()), payload);
    }
    EXPECT_TRUE(ike_.punted().empty());
  }
  // Neither another daemon, nor for another tenant, nor into a carrier there is not.
  const auto refused = [&] { return world_.engine().shard(0).tunnels_here.inject_refused.read(); };
  const std::uint64_t before = refused();
  Client wrong{.number = 9};
  say(wrong, kLcp);
  wrong = {.number = 1, .tenant = kTenantB};
  say(wrong, kLcp);
  const DatagramHead head{.tenant = kTenantA, .port = kShare, .local = address(kGatewayA4), .remote = address(kPeer4), .local_port = 1701, .remote_port = 1701, .tunnel = carrier_number(1)};
  ASSERT_TRUE(ike_.inject->push(head, std::array{ByteSpan(kLcp)}));
  EXPECT_TRUE(to_uplink().empty());
  EXPECT_EQ(refused(), before + 3);
}

TEST_P(PathL2tp, ControlInTheMiddleOfARunReachesTheDaemonWithItsEnds) {
  for (const bool in_udp : {true, false}) {
    SCOPED_TRACE(in_udp);
    Client client{.number = in_udp ? 1U : 2U, .in_udp = in_udp, .lease = in_udp ? kLease4 : "10.9.0.6"};
    ClientEnd end(client);
    up(client, end);
    ip_from_client(end, question(client.lease));  // the gateway is known from here on
    ASSERT_EQ(world_.collect(kServerNic).size(), 1U);
    lns_.punted();
    for (const bool control : {false, false, false, true, false, true, true, false}) {
      const Mac gateway = world_.gateway(kUplinkNic);
      world_.queue(kUplinkNic, control ? end.seal(kLcp, gateway) : end.seal_ip(question(client.lease), gateway));
    }
    world_.settle();
    EXPECT_EQ(world_.collect(kServerNic).size(), 5U);
    const auto punted = lns_.punted();
    ASSERT_EQ(punted.size(), 3U);
    for (const auto& [head, payload] : punted) {
      EXPECT_EQ(head.tenant, kTenantA);
      EXPECT_EQ(head.tunnel, carrier_number(client.number));
      EXPECT_EQ(head.local, address(client.gateway));
      EXPECT_EQ(head.remote, address(client.peer));
      EXPECT_EQ(head.local_port, 1701);
      EXPECT_EQ(payload, kLcp);
    }
  }
}

TEST_P(PathL2tp, NoIpPassesBeforeTheSessionStandsNorAfterIt) {
  const Client client;
  ClientEnd end(client);
  EXPECT_EQ(refusal(ike_, carrier_of(client)), "");
  key(client, end);
  ip_from_client(end, question());
  EXPECT_EQ(drops(DropReason::kVpnL2tpSession), 1U);
  EXPECT_EQ(collect_all(), 0U);
  EXPECT_TRUE(lns_.punted().empty()) << "the daemon is not asked either";
  EXPECT_EQ(refusal(lns_, session_of(client)), "");
  ip_from_client(end, question());
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);
  ipc::ToTunnels close;
  close.mutable_close_tunnel()->set_tunnel(session_number(1));
  EXPECT_EQ(refusal(lns_, close), "");
  ip_from_client(end, question());
  EXPECT_EQ(drops(DropReason::kVpnL2tpSession), 2U);
  world_.inject(kServerNic, server("10.0.0.2", kLease4).udp(53, 40000).payload(30).build());
  EXPECT_EQ(drops(DropReason::kVpnNoLease) + drops(DropReason::kNotFirst), 1U);
}

TEST_P(PathL2tp, L2tpOutsideEspIsRefusedByItsName) {
  const Frame clear = outside("198.51.100.9", kGatewayA4).udp(1701, 1701).payload(kScccn).build();
  world_.inject(kUplinkNic, clear);
  EXPECT_EQ(drops(DropReason::kL2tpClear), 1U);
  world_.inject(kUplinkNic, outside(kPeer6, kGatewayA6).udp(1701, 1701).payload(kScccn).build());
  EXPECT_EQ(drops(DropReason::kL2tpClear), 2U);
  world_.inject(kUplinkNic, outside("198.51.100.9", kGatewayA4).udp(1701, 1702).payload(kScccn).build());
  EXPECT_EQ(drops(DropReason::kL2tpClear), 2U);
  EXPECT_TRUE(lns_.punted().empty());
  EXPECT_EQ(collect_all(), 0U);
}

TEST_P(PathL2tp, WhatIsNoL2tpOrNotForOurPortEndsByItsName) {
  const Client client;
  ClientEnd end(client);
  up(client, end);
  from_client(end, Frame{0, 3, 0, 1, 0, 2, 0xff, 3, 0xc0, 0x21});
  EXPECT_EQ(drops(DropReason::kVpnL2tpFormat), 1U);
  world_.inject(kUplinkNic, end.seal(kLcp, world_.gateway(kUplinkNic), 53));
  EXPECT_EQ(drops(DropReason::kVpnSelectors), 1U);
  EXPECT_TRUE(lns_.punted().empty());
  from_client(end, kLcp);
  EXPECT_EQ(lns_.punted().size(), 1U);
}

TEST_P(PathL2tp, ACarriersControlFramesOfASecondAreBoundedAndItsPacketsAreNot) {
  const Client client;
  ClientEnd end(client);
  up(client, end);
  std::size_t punted = 0;
  for (std::uint32_t i = 0; i < dataplane::L2tpCarrier::kPuntsPerSecond + 20; ++i) {
    from_client(end, kLcp);
    if (i % 32 == 0) punted += lns_.punted().size();
  }
  punted += lns_.punted().size();
  EXPECT_EQ(punted, dataplane::L2tpCarrier::kPuntsPerSecond);
  EXPECT_EQ(drops(DropReason::kVpnL2tpLimit), 20U);
  ip_from_client(end, question());
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);
  world_.pass(std::chrono::seconds(2));
  from_client(end, kLcp);
  EXPECT_EQ(lns_.punted().size(), 1U);
}

TEST_P(PathL2tp, WithoutItsDaemonControlEndsByItsNameAndSessionsGoOn) {
  const Client client;
  ClientEnd end(client);
  up(client, end);
  lns_.leave();
  from_client(end, kLcp);
  EXPECT_EQ(drops(DropReason::kL2tpUnserved), 1U);
  ip_from_client(end, question());
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);
  Daemon next(service_);
  next.hello(ipc::TunnelHello::PPP);
  ASSERT_EQ(next.welcome.left_size(), 1);
  EXPECT_EQ(next.welcome.left(0).tunnel(), session_number(1));
  EXPECT_EQ(next.welcome.left(0).l2tp().carrier(), carrier_number(1)) << "and may speak for it";
  EXPECT_NE(next.welcome.left(0).l2tp().peer_session(), 0U);
  from_client(end, kLcp);
  EXPECT_EQ(next.punted().size(), 1U);
}

TEST_P(PathL2tp, ARekeyMovesTheSessionToTheNewSasWithoutALostPacketAndCountsOn) {
  const Client client;
  ClientEnd before(client);
  const std::uint32_t old_spi = up(client, before);
  ip_from_client(before, question());
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);
  ClientEnd after(client);
  key(client, after);
  ip_from_client(before, question());  // still under way
  ip_from_client(after, question());
  EXPECT_EQ(world_.collect(kServerNic).size(), 2U);
  world_.inject(kServerNic, server("10.0.0.2", kLease4).udp(53, 40000).payload(30).build());
  EXPECT_FALSE(ip_for_client(after, client).empty()) << "by the newest";
  say(client, kLcp);
  const auto out = to_uplink();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_FALSE(after.open(out[0]).empty());
  ipc::ToTunnels remove;
  remove.mutable_remove_sa()->set_tunnel(carrier_number(1));
  remove.mutable_remove_sa()->set_spi(old_spi);
  remove.mutable_remove_sa()->set_inbound(true);
  EXPECT_EQ(refusal(ike_, remove), "");
  ip_from_client(before, question());
  EXPECT_EQ(drops(DropReason::kVpnSpiUnknown), 1U);
  const auto use = use_of(client);
  EXPECT_EQ(use.packets_in(), 3U) << "those of the SA that is gone too";
  EXPECT_EQ(use.packets_out(), 1U);
}

TEST_P(PathL2tp, AClientWhoseNatForgotIsFoundAgain) {
  const Client client;
  ClientEnd end(client);
  const std::uint32_t ours = up(client, end);
  end.move(kPeer4, 62000);
  ip_from_client(end, question());
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);
  ike_.read_events();
  std::erase_if(ike_.events, [](const ipc::TunnelEvent& event) { return event.has_foreign_leases(); });
  ASSERT_EQ(ike_.events.size(), 1U);
  EXPECT_EQ(ike_.events[0].moved().spi(), ours);
  EXPECT_EQ(ike_.events[0].moved().remote_port(), 62000U);
}

TEST_P(PathL2tp, ACarrierThatEndsIsToldToWhoHasItsSessions) {
  const Client client;
  ClientEnd end(client);
  up(client, end);
  ip_from_client(end, question());
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);
  ipc::ToTunnels close;
  close.mutable_close_tunnel()->set_tunnel(carrier_number(1));
  EXPECT_EQ(refusal(ike_, close), "");
  lns_.read_events();
  ASSERT_EQ(lns_.events.size(), 1U);
  EXPECT_EQ(lns_.events[0].carrier_gone().carrier(), carrier_number(1));
  EXPECT_EQ(lns_.events[0].carrier_gone().tenant(), kTenantA);
  world_.inject(kServerNic, server("10.0.0.2", kLease4).udp(53, 40000).payload(30).build());
  EXPECT_EQ(drops(DropReason::kVpnSaMissing), 1U);
  EXPECT_EQ(use_of(client).packets_in(), 1U) << "what it carried is known until it is closed";
  close.mutable_close_tunnel()->set_tunnel(session_number(1));
  EXPECT_EQ(refusal(lns_, close), "");
}

TEST_P(PathL2tp, AskedForWhatDoesNotFitItRefuses) {
  Client client;
  ClientEnd end(client);
  EXPECT_EQ(refusal(lns_, session_of(client)), "no such carrier");
  ipc::ToTunnels with_lease = carrier_of(client);
  with_lease.mutable_open_tunnel()->add_leases(bytes_of(address(kLease4)));
  EXPECT_EQ(refusal(ike_, with_lease), "a carrier has no Port, user or leases");
  EXPECT_EQ(refusal(ike_, carrier_of(client)), "");
  EXPECT_EQ(refusal(ike_, carrier_of(client)), "this number is not free");
  ipc::ToTunnels of_lns = carrier_of(client);
  of_lns.mutable_open_tunnel()->set_tunnel(session_number(5));
  EXPECT_EQ(refusal(lns_, of_lns), "a carrier is opened by who keys it");
  ipc::ToTunnels of_ike = session_of(client);
  of_ike.mutable_open_tunnel()->set_tunnel(carrier_number(5));
  EXPECT_EQ(refusal(ike_, of_ike), "a session is opened by who speaks L2TP");
  const auto with = [&](void (*change)(ipc::L2tpSession&)) {
    ipc::ToTunnels request = session_of(client);
    change(*request.mutable_open_tunnel()->mutable_l2tp());
    return refusal(lns_, request);
  };
  EXPECT_EQ(with([](ipc::L2tpSession& one) { one.set_peer_session(0); }), "ids and port are 1 to 65535");
  EXPECT_EQ(with([](ipc::L2tpSession& one) { one.set_local_tunnel(65536); }), "ids and port are 1 to 65535");
  EXPECT_EQ(with([](ipc::L2tpSession& one) { one.set_mtu(575); }), "a session carries 576 to 65535 bytes");
  Client b = client;
  b.tenant = kTenantB, b.tunnel_port = kTunnelPortB, b.user = kUserB;
  EXPECT_EQ(refusal(lns_, session_of(b)), "the carrier is another tenant's");
  EXPECT_EQ(refusal(lns_, session_of(client)), "");
  ipc::ToTunnels second = session_of(client);
  second.mutable_open_tunnel()->set_tunnel(session_number(6));
  second.mutable_open_tunnel()->set_leases(0, bytes_of(address("10.9.0.6")));
  EXPECT_EQ(refusal(lns_, second), "another session of the carrier has these ids");

  ipc::ToTunnels request;
  fill_path(*request.mutable_allocate_spi()->mutable_path(), client);
  const std::uint32_t ours = ike_.ask(request).spi_allocated().spi();
  ipc::ToTunnels tunnel_mode = sa_of(client, end, ours, true, 0);
  tunnel_mode.mutable_install_sa()->set_transport(false);
  EXPECT_EQ(refusal(ike_, tunnel_mode), "a carrier's SAs are in transport mode, and no others");
  ipc::ToTunnels prefixes = sa_of(client, end, ours, true, 0);
  add_prefix(*prefixes.mutable_install_sa()->mutable_inner_remote(), "10.9.0.5/32");
  EXPECT_EQ(refusal(ike_, prefixes), "one to eight prefixes a side, and none in transport mode");
  EXPECT_EQ(refusal(ike_, sa_of(client, end, ours, true, 0)), "");
}

TEST_P(PathL2tp, TenantsWithTheSameAddressesHaveTheirOwnSessions) {
  const Client a;
  const Client b{.number = 2, .tenant = kTenantB, .gateway = kGatewayB4, .gateway_port = 10 + kShare, .tunnel_port = kTunnelPortB, .user = kUserB, .key = 0x55};
  ClientEnd end_a(a);
  ClientEnd end_b(b);
  up(a, end_a);
  up(b, end_b);
  ip_from_client(end_a, question());
  ip_from_client(end_b, question());
  const auto in = world_.collect(kServerNic);
  ASSERT_EQ(in.size(), 2U);
  EXPECT_EQ(read(in[0]).outer_vlan, 0);
  EXPECT_EQ(read(in[1]).outer_vlan, 200);
  world_.inject(kServerNic, server("10.0.0.2", kLease4, kTenantB).udp(53, 40000).payload(30).build());
  EXPECT_FALSE(ip_for_client(end_b, b).empty());
}

TEST_P(PathL2tp, SendersAreToldWhatTheSessionCarries) {
  Client client;
  client.mtu = 1280;
  ClientEnd end(client);
  up(client, end);
  ip_from_client(end, question());
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);
  world_.inject(kServerNic, server("10.0.0.2", kLease4).udp(53, 40000).payload(1280 - 28).build());
  EXPECT_EQ(ip_for_client(end, client).size(), 1280U);
  world_.inject(kServerNic, server("10.0.0.2", kLease4).udp(53, 40000).payload(1281 - 28).build());
  EXPECT_EQ(drops(DropReason::kTooBig), 1U);
}

TEST_P(PathL2tp, DhcpInsideReachesTheDaemonOfTheSession) {
  const Client client;
  ClientEnd end(client);
  up(client, end);
  ip_from_client(end, ip({}, kLease4, "255.255.255.255").udp(68, 67).payload(250).build());
  const auto punted = lns_.punted();
  ASSERT_EQ(punted.size(), 1U);
  EXPECT_EQ(punted[0].first.tunnel, session_number(1));
  EXPECT_EQ(punted[0].first.local_port, 67);
  EXPECT_EQ(punted[0].first.remote, address(kLease4));
  EXPECT_TRUE(ike_.punted().empty());
  const DatagramHead head{.tenant = kTenantA, .port = kTunnelPortA, .local = address("192.0.0.8"), .remote = address(kLease4), .local_port = 67, .remote_port = 68};
  ASSERT_TRUE(lns_.inject->push(head, std::array{ByteSpan(kScccn)}));
  world_.settle();
  EXPECT_FALSE(ip_for_client(end, client).empty());
}

TEST_P(PathL2tp, CarriersNobodyIsLoggedInOnAreBoundedForEachTenantAndThoseInUseAreNot) {
  const Client used{.number = 100};
  ClientEnd end(used);
  up(used, end);
  constexpr std::uint32_t kMost = 16;
  for (std::uint32_t number = 1; number <= kMost; ++number) EXPECT_EQ(refusal(ike_, carrier_of({.number = number})), "") << number;
  EXPECT_EQ(refusal(ike_, carrier_of({.number = kMost + 1})), "as many carriers of the tenant wait for a login as may");
  EXPECT_EQ(refusal(ike_, carrier_of({.number = kMost + 2, .tenant = kTenantB})), "") << "another's";
  EXPECT_EQ(refusal(lns_, session_of({.number = 1, .lease = "10.9.0.6"})), "") << "somebody has logged in";
  EXPECT_EQ(refusal(ike_, carrier_of({.number = kMost + 1})), "");
  ipc::ToTunnels query;
  query.mutable_query_tunnel()->set_tunnel(carrier_number(1));
  EXPECT_EQ(ike_.ask(query).tunnel_use().riders(), 1U);
  query.mutable_query_tunnel()->set_tunnel(carrier_number(2));
  EXPECT_EQ(ike_.ask(query).tunnel_use().riders(), 0U);
}

TEST_P(PathL2tp, ATunnelHasNoMoreSasThanItsRekeyingsOverlap) {
  const Client client;
  EXPECT_EQ(refusal(ike_, carrier_of(client)), "");
  std::vector<std::unique_ptr<ClientEnd>> ends;
  std::uint32_t ours = 0;
  for (int pair = 0; pair < 16; ++pair) ours = key(client, *ends.emplace_back(std::make_unique<ClientEnd>(client)));
  ClientEnd more(client);
  ipc::ToTunnels request;
  fill_path(*request.mutable_allocate_spi()->mutable_path(), client);
  const std::uint32_t next = ike_.ask(request).spi_allocated().spi();
  EXPECT_EQ(refusal(ike_, sa_of(client, more, next, true, 0)), "as many SAs as a tunnel may have");
  request.mutable_remove_sa()->set_tunnel(carrier_number(client.number));
  request.mutable_remove_sa()->set_spi(ours);
  request.mutable_remove_sa()->set_inbound(true);
  EXPECT_EQ(refusal(ike_, request), "");
  EXPECT_EQ(refusal(ike_, sa_of(client, more, next, true, 0)), "") << "one that is gone makes room";
}

TEST_P(PathL2tp, NoDaemonAnswersDhcpInASessionOfAnothers) {
  const Client client;
  ClientEnd end(client);
  up(client, end);
  const DatagramHead head{.tenant = kTenantA, .port = kTunnelPortA, .local = address("192.0.0.8"), .remote = address(kLease4), .local_port = 67, .remote_port = 68};
  for (Daemon* daemon : {&ike_, daemon_.get()}) {
    ASSERT_TRUE(daemon->inject->push(head, std::array{ByteSpan(kScccn)}));
    world_.settle();
    EXPECT_TRUE(to_uplink().empty());
  }
  ASSERT_TRUE(lns_.inject->push(head, std::array{ByteSpan(kScccn)}));
  world_.settle();
  EXPECT_EQ(to_uplink().size(), 1U) << "its own may";
}

}  // namespace
}  // namespace sekisho::tests
