// SPDX-License-Identifier: Apache-2.0
// Goal: where an address is translated and the gateway has answered the SYN, both ends still agree about every number, port and
// error. Method: every kind of translation, from inside and from outside, of two tenants with the same addresses, under a flood;
// both ends are played here, and decode() checks every checksum.
#include <string>
#include <vector>

#include "filters/nat/nat_rules.h"
#include "tests/path/path_test.h"
#include "tests/support/nat.h"

namespace sekisho::tests {
namespace {

using filters::DropReason;
using filters::kTcpAck;
using filters::kTcpFin;
using filters::kTcpRst;
using filters::kTcpSyn;
using filters::snapshot::NatKind;

constexpr std::uint64_t kOffice = 2, kNet = 4;  // zone bits
constexpr std::uint32_t kLimit = 4;  // half-open connections of each tenant
const std::vector<std::uint8_t> kOptions{2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7};

/// One end's view of a connection.
struct View {
  std::string from, to;
  unsigned from_port, to_port;
};

/// A kind of translation, and who opens through it.
struct Case {
  const char* name;
  bool from_outside;
  bool client_nic;            ///< the inside end is the host behind the client port
  std::string client, target; ///< as the client says it
  unsigned target_port;
  std::string seen_client;    ///< as the server sees it
  std::string server;
  unsigned server_port;
};

/// A connection through one case, both ends of it.
struct Connection {
  const Case& how;
  std::uint32_t tenant;
  unsigned port;
  unsigned seen_port = 0;     ///< the client's, as the server sees it
  std::uint32_t cookie = 0;
};

NatText with_addresses(NatText rule, std::uint32_t tenant) {
  if (tenant == kTenantA) return rule;
  for (auto* list : {&rule.destinations, &rule.translated}) {
    for (std::string& text : *list) {
      if (text.starts_with("203.0.113.")) text = "203.0.113." + std::to_string(std::stoi(text.substr(10)) + 16);
      if (text.starts_with("2001:db8:a:")) text = "2001:db8:b:" + text.substr(11);
    }
  }
  return rule;
}

const NatText kDnat{.kind = NatKind::kDnat, .destinations = {"203.0.113.21"}, .translated = {"10.0.0.2"}, .protocol = 6, .port_low = 8443, .port_high = 8443, .translated_port = 443};
const NatText kStatic{.kind = NatKind::kStatic, .sources = {"10.0.0.2"}, .translated = {"203.0.113.22"}, .destination_zones = kNet};
const NatText kNapt{.kind = NatKind::kNapt, .sources = {"10.0.0.32/28"}, .translated = {"203.0.113.20"}, .source_zones = kOffice, .destination_zones = kNet, .block_ports = 64};
const NatText kNptv6{.kind = NatKind::kNptv6, .sources = {"fd00:0:0::/48"}, .translated = {"2001:db8:a::/48"}, .destination_zones = kNet, .prefix_length = 48};

class PathNatSynProxy : public PathTest {
 protected:
  PathNatSynProxy() : PathTest({.sessions = 2048}) {}

  void start() {
    const auto apply = [&](std::uint32_t generation, std::uint32_t limit) {
      world_.apply(generation, {{.id = 11}}, {.edit = [=](filters::SnapshotBuilder& b) {
                     for (const std::uint32_t tenant : {kTenantA, kTenantB}) {
                       for (const NatText& rule : {kDnat, kStatic, kNapt, kNptv6}) add_nat(b, tenant - kTenantA, with_addresses(rule, tenant));
                       if (limit != 0) b.state_limits.push_back({tenant - kTenantA, limit, 0, {}, {}});
                     }
                   }});
    };
    apply(1, 0);
    world_.inject(kServerNic, server("203.0.113.17", "198.51.100.99").udp(9, 9).build());
    world_.inject(kServerNic, server("fd00:0:0:1::2", "2001:db8:ffff::99").udp(9, 9).build());
    hear(kUplinkNic);
    apply(2, kLimit);
    collect_all();
  }
  static std::vector<Case> cases(std::uint32_t tenant) {
    const int shift = tenant == kTenantA ? 0 : 16;
    const auto outer = [&](int host) { return "203.0.113." + std::to_string(host + shift); };
    const auto from = parse_address("fd00:0:0::").value();
    const auto to = parse_address(tenant == kTenantA ? "2001:db8:a::" : "2001:db8:b::").value();
    const std::string outer6 = to_string(*filters::nptv6(parse_address("fd00:0:0:1::2").value(), from, to, 48));
    const std::string office6 = to_string(*filters::nptv6(parse_address("fd00:0:0:2::2").value(), from, to, 48));
    return {{"dnat", true, false, "198.51.100.9", outer(21), 8443, "198.51.100.9", "10.0.0.2", 443},
            {"1:1 in", true, false, "198.51.100.9", outer(22), 80, "198.51.100.9", "10.0.0.2", 80},
            {"1:1 out", false, false, "10.0.0.2", "198.51.100.9", 80, outer(22), "198.51.100.9", 80},
            {"napt out", false, true, "10.0.0.34", "198.51.100.9", 80, outer(20), "198.51.100.9", 80},
            {"nptv6 in", true, false, "2001:db8:ffff::9", outer6, 80, "2001:db8:ffff::9", "fd00:0:0:1::2", 80},
            {"nptv6 out", false, true, "fd00:0:0:2::2", "2001:db8:ffff::9", 80, office6, "2001:db8:ffff::9", 80}};
  }
  /// TCP and ICMP that came out of a NIC; questions about the router are answered on the way.
  std::vector<Frame> hear(std::uint16_t nic) {
    std::vector<Frame> out;
    for (std::vector<Frame> frames = world_.collect(nic); !frames.empty(); frames = world_.collect(nic)) {
      for (const Frame& one : frames) {
        const filters::PacketMeta meta = read(one);
        if ((meta.proof & filters::kProofArp) != 0) {
          world_.inject(kUplinkNic, router_answer("192.0.2.2", "192.0.2.1"));
        } else if (meta.protocol == 58 && meta.icmp_type == 135) {
          world_.inject(kUplinkNic, router_answer("2001:db8:0:1::2", "2001:db8:0:1::1"));
        } else {
          out.push_back(one);
        }
      }
    }
    return out;
  }
  static std::uint32_t sequence(const Frame& frame) { return load_be<std::uint32_t>(frame, read(frame).l4_offset + 4U); }
  static std::uint32_t acknowledgement(const Frame& frame) { return load_be<std::uint32_t>(frame, read(frame).l4_offset + 8U); }
  static View view(const Frame& frame) {
    const filters::PacketMeta meta = read(frame);
    return {to_string(filters::ip_source(frame, meta)), to_string(filters::ip_destination(frame, meta)), meta.source_port, meta.destination_port};
  }

  [[nodiscard]] static std::uint16_t inside_nic(const Connection& c) { return c.how.client_nic ? kClientNic : kServerNic; }
  [[nodiscard]] std::uint16_t client_nic(const Connection& c) const { return c.how.from_outside ? kUplinkNic : inside_nic(c); }
  [[nodiscard]] std::uint16_t server_nic(const Connection& c) const { return c.how.from_outside ? inside_nic(c) : kUplinkNic; }
  [[nodiscard]] FrameBuilder inside(const Connection& c, const std::string& from, const std::string& to) const {
    return c.how.client_nic ? client(from, to, c.tenant) : server(from, to, c.tenant);
  }
  [[nodiscard]] FrameBuilder from_client(const Connection& c) const {
    return c.how.from_outside ? outside(c.how.client, c.how.target) : inside(c, c.how.client, c.how.target);
  }
  [[nodiscard]] FrameBuilder from_server(const Connection& c) const {
    return c.how.from_outside ? inside(c, c.how.server, c.how.seen_client) : outside(c.how.server, c.how.seen_client);
  }
  void client_says(const Connection& c, const TcpKnobs& knobs, std::size_t bytes = 0) {
    world_.inject(client_nic(c), from_client(c).tcp(c.port, c.how.target_port, knobs).payload(bytes).build());
  }
  void server_says(const Connection& c, const TcpKnobs& knobs, std::size_t bytes = 0) {
    world_.inject(server_nic(c), from_server(c).tcp(c.how.server_port, c.seen_port, knobs).payload(bytes).build());
  }
  /// The one frame an end heard, with the ends it must bear.
  Frame at_client(const Connection& c) {
    const std::vector<Frame> frames = hear(client_nic(c));
    EXPECT_EQ(frames.size(), 1U) << c.how.name;
    if (frames.size() != 1) return {};
    const View seen = view(frames[0]);
    EXPECT_EQ(seen.from, c.how.target) << c.how.name;
    EXPECT_EQ(seen.to, c.how.client) << c.how.name;
    EXPECT_EQ(seen.from_port, c.how.target_port) << c.how.name;
    EXPECT_EQ(seen.to_port, c.port) << c.how.name;
    return frames[0];
  }
  Frame at_server(Connection& c) {
    const std::vector<Frame> frames = hear(server_nic(c));
    EXPECT_EQ(frames.size(), 1U) << c.how.name;
    if (frames.size() != 1) return {};
    const View seen = view(frames[0]);
    EXPECT_EQ(seen.from, c.how.seen_client) << c.how.name;
    EXPECT_EQ(seen.to, c.how.server) << c.how.name;
    EXPECT_EQ(seen.to_port, c.how.server_port) << c.how.name;
    if (c.seen_port == 0) c.seen_port = seen.from_port;
    EXPECT_EQ(seen.from_port, c.seen_port) << c.how.name;
    return frames[0];
  }
  /// SYNs nobody stands behind, until every further one is answered with a cookie.
  void flood(const Connection& c) {
    for (unsigned i = 0; i < 3 * kLimit; ++i) {
      world_.inject(client_nic(c), from_client(c).tcp(2000 + i, c.how.target_port, {.flags = kTcpSyn, .sequence = i}).build());
    }
    hear(client_nic(c));
    hear(server_nic(c));
  }
  /// Cookie, its return, the server's answer: both are joined.
  void open(Connection& c, std::uint32_t initial) {
    client_says(c, {.flags = kTcpSyn, .sequence = initial, .options = kOptions});
    const Frame offer = at_client(c);
    ASSERT_FALSE(offer.empty());
    ASSERT_EQ(read(offer).tcp_flags, kTcpSyn | kTcpAck) << c.how.name;
    EXPECT_EQ(acknowledgement(offer), initial + 1);
    EXPECT_TRUE(hear(server_nic(c)).empty()) << c.how.name;
    c.cookie = sequence(offer);
    client_says(c, {.flags = kTcpAck, .sequence = initial + 1, .acknowledgement = c.cookie + 1, .window = 512});
    const Frame syn = at_server(c);
    ASSERT_FALSE(syn.empty());
    EXPECT_EQ(read(syn).tcp_flags, kTcpSyn) << c.how.name;
    EXPECT_EQ(sequence(syn), initial);
    server_says(c, {.flags = kTcpSyn | kTcpAck, .sequence = 7000, .acknowledgement = initial + 1, .options = {2, 4, 5, 0xb4, 1, 1, 4, 2, 1, 3, 3, 9}});
    const Frame to_server = at_server(c);
    ASSERT_FALSE(to_server.empty());
    EXPECT_EQ(acknowledgement(to_server), 7001U);
    const Frame to_client = at_client(c);
    ASSERT_FALSE(to_client.empty());
    EXPECT_EQ(sequence(to_client), c.cookie + 1);
  }
  /// What follows for every case of both tenants; `then` gets a joined connection whose client began with 100.
  template <typename Then>
  void for_each_joined(Then then) {
    start();
    for (const std::uint32_t tenant : {kTenantA, kTenantB}) {
      const std::vector<Case> all = cases(tenant);
      unsigned port = 40000;
      for (const Case& how : all) {
        Connection c{how, tenant, port++};
        flood(c);
        open(c, 100);
        if (HasFatalFailure()) return;
        then(c);
      }
    }
  }
};
SEKISHO_PATH_WORKERS(PathNatSynProxy);

TEST_P(PathNatSynProxy, BytesAndAcknowledgementsAreRightInBothDirections) {
  for_each_joined([&](Connection& c) {
    client_says(c, {.flags = kTcpAck, .sequence = 101, .acknowledgement = c.cookie + 1, .window = 512}, 300);
    Frame data = at_server(c);
    EXPECT_EQ(sequence(data), 101U) << c.how.name;
    EXPECT_EQ(acknowledgement(data), 7001U) << c.how.name;
    server_says(c, {.flags = kTcpAck, .sequence = 7001, .acknowledgement = 401, .window = 100}, 1000);
    data = at_client(c);
    EXPECT_EQ(sequence(data), c.cookie + 1) << c.how.name;
    EXPECT_EQ(acknowledgement(data), 401U) << c.how.name;
    // A selective acknowledgement names the server's numbers, moved like the others.
    std::vector<std::uint8_t> sack{1, 1, 5, 10};
    append32(sack, c.cookie + 2001);
    append32(sack, c.cookie + 3001);
    server_says(c, {.flags = kTcpAck, .sequence = 9001, .acknowledgement = 401, .window = 100}, 1000);
    at_client(c);
    client_says(c, {.flags = kTcpAck, .sequence = 401, .acknowledgement = c.cookie + 1001, .window = 512, .options = sack});
    data = at_server(c);
    EXPECT_EQ(acknowledgement(data), 8001U) << c.how.name;
    EXPECT_EQ(load_be<std::uint32_t>(data, read(data).l4_offset + 24U), 9001U) << c.how.name;
    // The nearest that must not pass: the server's own number said by the client, who was never told it.
    client_says(c, {.flags = kTcpAck, .sequence = 401, .acknowledgement = c.cookie + 900'000});
    EXPECT_TRUE(hear(server_nic(c)).empty()) << c.how.name;
  });
}

TEST_P(PathNatSynProxy, ResetOfEitherEndReachesTheOtherWithItsNumbersAndEndsTheSession) {
  for_each_joined([&](Connection& c) {
    const std::uint64_t before = world_.sessions();
    const bool by_server = c.port % 2 == 0;
    if (by_server) {
      server_says(c, {.flags = kTcpRst, .sequence = 7001, .acknowledgement = 0});
      EXPECT_EQ(sequence(at_client(c)), c.cookie + 1) << c.how.name;
    } else {
      client_says(c, {.flags = kTcpRst, .sequence = 101, .acknowledgement = 0});
      EXPECT_EQ(sequence(at_server(c)), 101U) << c.how.name;
    }
    world_.pass(std::chrono::seconds(245));  // RFC 5382 keeps a translated one four minutes
    hear(kUplinkNic), collect_all();
    EXPECT_LT(world_.sessions(), before) << c.how.name;
    flood(c);
  });
}

TEST_P(PathNatSynProxy, ErrorAboutTheClientsSegmentQuotesWhatTheClientSent) {
  for_each_joined([&](Connection& c) {
    client_says(c, {.flags = kTcpAck, .sequence = 101, .acknowledgement = c.cookie + 1, .window = 512}, 1200);
    const Frame at = at_server(c);
    ASSERT_FALSE(at.empty());
    const filters::PacketMeta meta = read(at);
    const bool ipv6 = (meta.proof & filters::kProofIpv6) != 0;
    const auto error = [&](const Frame& quoted) {
      const auto piece = std::span(quoted).subspan(meta.l3_offset, std::min<std::size_t>(quoted.size() - meta.l3_offset, 100));
      return ipv6 ? from_server(c).icmp(2, 0, 1280).payload(piece).build() : from_server(c).icmp(3, 4, 1100).payload(piece).build();
    };
    world_.inject(server_nic(c), error(at));
    const std::vector<Frame> told = hear(client_nic(c));
    ASSERT_EQ(told.size(), 1U) << c.how.name;
    EXPECT_EQ(view(told[0]).to, c.how.client) << c.how.name;
    // The quote is the client's own packet again: addresses, ports and sequence.
    const std::size_t quote = read(told[0]).l4_offset + 8U;
    const std::size_t header = ipv6 ? 40 : 20;
    EXPECT_EQ(load_be<std::uint16_t>(told[0], quote + header), c.port) << c.how.name;
    EXPECT_EQ(load_be<std::uint16_t>(told[0], quote + header + 2), c.how.target_port) << c.how.name;
    EXPECT_EQ(load_be<std::uint32_t>(told[0], quote + header + 4), 101U) << c.how.name;
    const auto quoted = Address::from_wire(std::span(told[0]).subspan(quote + (ipv6 ? 24 : 16), ipv6 ? 16 : 4));
    ASSERT_TRUE(quoted.has_value());
    EXPECT_EQ(to_string(*quoted), c.how.target) << c.how.name;
    Frame forged = at;
    store_be<std::uint32_t>(forged, meta.l4_offset + 4U, 101 + 500'000'000U);
    world_.inject(server_nic(c), error(forged));
    EXPECT_TRUE(hear(client_nic(c)).empty()) << c.how.name;
  });
}

TEST_P(PathNatSynProxy, ErrorAboutTheServersSegmentQuotesTheServersNumbersAndAddresses) {
  for_each_joined([&](Connection& c) {
    server_says(c, {.flags = kTcpAck, .sequence = 7001, .acknowledgement = 101, .window = 100}, 1200);
    const Frame at = at_client(c);
    ASSERT_FALSE(at.empty());
    const filters::PacketMeta meta = read(at);
    const bool ipv6 = (meta.proof & filters::kProofIpv6) != 0;
    const auto piece = std::span(at).subspan(meta.l3_offset, 100);
    world_.inject(client_nic(c), ipv6 ? from_client(c).icmp(2, 0, 1280).payload(piece).build() : from_client(c).icmp(3, 4, 1100).payload(piece).build());
    const std::vector<Frame> told = hear(server_nic(c));
    ASSERT_EQ(told.size(), 1U) << c.how.name;
    EXPECT_EQ(view(told[0]).to, c.how.server) << c.how.name;
    const std::size_t quote = read(told[0]).l4_offset + 8U;
    const std::size_t header = ipv6 ? 40 : 20;
    EXPECT_EQ(load_be<std::uint16_t>(told[0], quote + header), c.how.server_port) << c.how.name;
    EXPECT_EQ(load_be<std::uint16_t>(told[0], quote + header + 2), c.seen_port) << c.how.name;
    EXPECT_EQ(load_be<std::uint32_t>(told[0], quote + header + 4), 7001U) << c.how.name;
  });
}

TEST_P(PathNatSynProxy, FinishesAreCarriedBothWaysAndTheSessionEndsByFin) {
  for_each_joined([&](Connection& c) {
    world_.records();
    client_says(c, {.flags = kTcpFin | kTcpAck, .sequence = 101, .acknowledgement = c.cookie + 1});
    EXPECT_EQ(acknowledgement(at_server(c)), 7001U) << c.how.name;
    server_says(c, {.flags = kTcpFin | kTcpAck, .sequence = 7001, .acknowledgement = 102});
    EXPECT_EQ(sequence(at_client(c)), c.cookie + 1) << c.how.name;
    client_says(c, {.flags = kTcpAck, .sequence = 102, .acknowledgement = c.cookie + 2});
    EXPECT_EQ(acknowledgement(at_server(c)), 7002U) << c.how.name;
    client_says(c, {.flags = kTcpAck, .sequence = 500'000'000, .acknowledgement = c.cookie + 2}, 10);
    EXPECT_TRUE(hear(server_nic(c)).empty()) << c.how.name;
  });
}

TEST_P(PathNatSynProxy, ServerThatRefusesResetsTheClientByTheAddressItKnows) {
  start();
  for (const std::uint32_t tenant : {kTenantA, kTenantB}) {
    const std::vector<Case> all = cases(tenant);
    unsigned port = 41000;
    for (const Case& how : all) {
      Connection c{how, tenant, port++};
      flood(c);
      client_says(c, {.flags = kTcpSyn, .sequence = 100, .options = kOptions});
      const Frame offer = at_client(c);
      ASSERT_FALSE(offer.empty());
      c.cookie = sequence(offer);
      client_says(c, {.flags = kTcpAck, .sequence = 101, .acknowledgement = c.cookie + 1});
      ASSERT_FALSE(at_server(c).empty());
      server_says(c, {.flags = kTcpRst | kTcpAck, .sequence = 0, .acknowledgement = 101});
      const Frame reset = at_client(c);
      ASSERT_FALSE(reset.empty());
      EXPECT_EQ(read(reset).tcp_flags, kTcpRst | kTcpAck) << how.name;
      EXPECT_EQ(sequence(reset), c.cookie + 1) << how.name;
    }
  }
}

TEST_P(PathNatSynProxy, CookieOfOneTenantOpensNothingOfTheOtherBehindTheSameAddresses) {
  start();
  const std::vector<Case> a = cases(kTenantA);
  const std::vector<Case> b = cases(kTenantB);
  // napt out: the inside addresses are the same.
  Connection of_a{a[3], kTenantA, 40000};
  Connection of_b{b[3], kTenantB, 40000};
  flood(of_a);
  flood(of_b);
  client_says(of_a, {.flags = kTcpSyn, .sequence = 100, .options = kOptions});
  const std::uint32_t cookie = sequence(at_client(of_a));
  client_says(of_b, {.flags = kTcpAck, .sequence = 101, .acknowledgement = cookie + 1});
  EXPECT_TRUE(hear(kUplinkNic).empty());
  client_says(of_a, {.flags = kTcpAck, .sequence = 101, .acknowledgement = cookie + 1});
  EXPECT_FALSE(at_server(of_a).empty());
}

}  // namespace
}  // namespace sekisho::tests
