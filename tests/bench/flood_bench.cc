// SPDX-License-Identifier: Apache-2.0
//
// What a flood of one tenant costs another on the same wire, and what a flood of SYNs costs those who mean it. The whole
// data plane on ring ports, a turn at a time: shares, not times, so any machine gives the same. Prints one JSON object a
// line.
//
// Usage: flood_bench
#include <cstdio>
#include <functional>

#include "filters/packet/fields.h"
#include "tests/support/eal.h"
#include "tests/support/world.h"

namespace {

using namespace sekisho;
using namespace sekisho::tests;
namespace snapshot = filters::snapshot;
using filters::kTcpAck;
using filters::kTcpSyn;

constexpr const char* kClient = "10.0.0.34";
constexpr const char* kServer = "10.0.0.2";

// ---- Fairness ------------------------------------------------------------------------------------------------------

using Attack = std::function<Frame(const World&, std::uint32_t)>;

constexpr int kTurns = 400;
constexpr std::uint16_t kFlows = 10;
constexpr std::uint32_t kVictimPerTurn = 20;   // a third of what a turn can carry
constexpr std::uint32_t kAttackPerTurn = 640;  // ten times all of it

FrameBuilder from_client(const World& world) { return FrameBuilder().ethernet(kClientMac, world.gateway(kClientNic)); }

Frame victim(const World& world, std::uint16_t flow) {
  const auto port = static_cast<std::uint16_t>(2000 + flow);
  return from_client(world).vlan(300, 0x88a8).vlan(7).ipv4(kClient, kServer).udp(port, 53).payload(100).build();
}
bool is_victims(const Frame& frame) { return frame.size() > 16 && frame[12] == 0x81; }  // tenant B's VLAN

std::size_t victims_sessions(World& world) {
  std::size_t out = 0;
  world.engine().for_each_session([&](dataplane::Shard& shard, std::uint32_t index) {
    const auto& session = shard.sessions.at(index);
    out += session.in_port == 10 + kClientPort && session.protocol == 17;
    return true;
  });
  return out;
}

/// Tenant A's quotas: a tenth of what `attack` brings.
void give_quotas(filters::SnapshotBuilder& builder) {
  for (auto& tenant : builder.tenants) {
    tenant.quotas.new_sessions_per_second = 2000;
    tenant.quotas.log_per_second = 200;
    tenant.quotas.log_burst = 5000;
  }
}

void fairness(const char* name, const Attack& attack) {
  World world({.sessions = 16384, .sessions_max = 1024, .log_records = 65536});
  world.apply(1, {{.id = 11, .destinations = {"10.0.0.2/32"}, .protocol = 6}}, {.edit = give_quotas});
  for (std::uint16_t flow = 0; flow < kFlows; ++flow) world.inject(kClientNic, victim(world, flow));
  for (std::uint16_t nic = 0; nic < kNics; ++nic) world.collect(nic);
  std::size_t out = 0;
  std::uint32_t attacked = 0;
  for (int turn = 0; turn < kTurns; ++turn) {
    for (std::uint32_t i = 0; i < kAttackPerTurn; ++i) {
      if (attack) world.offer(kClientNic, attack(world, attacked++));
      if (i % (kAttackPerTurn / kVictimPerTurn) == 0) world.offer(kClientNic, victim(world, static_cast<std::uint16_t>(i % kFlows)));
    }
    world.elapse(std::chrono::microseconds(100));
    world.turn(0);
    for (const Frame& frame : world.collect(kServerNic)) out += is_victims(frame);
    world.collect(kClientNic), world.collect(kUplinkNic);
  }
  world.settle();
  for (const Frame& frame : world.collect(kServerNic)) out += is_victims(frame);
  std::printf("{\"bench\":\"fairness\",\"flood\":\"%s\",\"attack\":%u,\"offered\":%u,\"passed\":%zu,\"sessions\":%u,\"sessions_lost\":%zu}\n", name,
              attacked, kTurns * kVictimPerTurn, out, kFlows, kFlows - victims_sessions(world));
}

Frame syn(const World& world, std::uint32_t n) {
  const auto port = static_cast<std::uint16_t>(80 + n / 65536);
  return from_client(world).ipv4(kClient, kServer).tcp(static_cast<std::uint16_t>(n), port, {.flags = kTcpSyn}).build();
}
Frame fragment(const World& world, std::uint32_t n) {
  return from_client(world).ipv4(kClient, kServer, {.fragment = 0x2000}).udp(static_cast<std::uint16_t>(n), 2).build();
}
Frame arp(const World&, std::uint32_t) {
  return FrameBuilder().ethernet(kClientMac, mac("ff:ff:ff:ff:ff:ff"))
      .arp({.operation = 1, .sender_mac = kClientMac, .sender = address(kClient), .target_mac = {}, .target = address("10.0.0.33")}).build();
}
/// Each is denied, and each from another port: each wants a record of its own.
Frame logged(const World& world, std::uint32_t n) {
  return from_client(world).ipv4(kClient, kServer).udp(static_cast<std::uint16_t>(n), static_cast<std::uint16_t>(n >> 3)).build();
}

// ---- Handshakes under a flood of SYNs ------------------------------------------------------------------------------

struct Heard {
  std::uint8_t flags;
  std::uint32_t sequence, acknowledgement;
};
std::vector<Heard> heard(const std::vector<Frame>& frames) {
  std::vector<Heard> out;
  for (const Frame& frame : frames) {
    filters::PacketMeta meta{};
    if (filters::decode(frame, static_cast<std::uint32_t>(frame.size()), {false, false}, meta) != filters::DropReason::kNone) continue;
    out.push_back({meta.tcp_flags, load_be<std::uint32_t>(frame, meta.l4_offset + 4U), load_be<std::uint32_t>(frame, meta.l4_offset + 8U)});
  }
  return out;
}

/// A client, a server behind the gateway and, beside them, ten SYNs that nobody means for each place the limit leaves.
class Handshakes {
 public:
  static constexpr std::uint32_t kHalfOpen = 64;
  static constexpr unsigned kWanted = 2000;

  Handshakes() : world_({.sessions = 8192, .sessions_max = 8192}) {
    world_.apply(1, {{.id = 11, .protocol = 6, .port_low = 80, .port_high = 80}}, {.edit = [](filters::SnapshotBuilder& builder) {
                   for (std::uint32_t tenant = 0; tenant < builder.tenants.size(); ++tenant)
                     builder.state_limits.push_back({tenant, kHalfOpen, 0, snapshot::SynProtection::kCookies, {}});
                 }});
  }
  void run() {
    unsigned completed = 0;
    std::uint32_t flood = 0;
    for (unsigned i = 0; i < kWanted; ++i) {
      for (unsigned k = 0; k < 10; ++k, ++flood) {
        const auto from = static_cast<std::uint16_t>(1 + flood * 7919U % 19000U);
        say(from, {.flags = kTcpSyn, .sequence = flood * 2654435761U});
      }
      world_.collect(kServerNic), world_.collect(kClientNic);
      completed += complete(static_cast<std::uint16_t>(20000 + i), 1000 * i) ? 1U : 0U;
    }
    std::printf("{\"bench\":\"handshakes\",\"flood_syns\":%u,\"half_open_max\":%u,\"wanted\":%u,\"completed\":%u,\"sessions\":%lu}\n", flood, kHalfOpen,
                kWanted, completed, static_cast<unsigned long>(world_.sessions()));
  }

 private:
  void say(std::uint16_t port, const TcpKnobs& tcp, std::size_t bytes = 0) {
    world_.inject(kClientNic, from_client(world_).ipv4(kClient, kServer).tcp(port, 80, tcp).payload(bytes).build());
  }
  void answer(std::uint16_t port, const TcpKnobs& tcp) {
    const FrameBuilder frame = FrameBuilder().ethernet(kServerMac, world_.gateway(kServerNic)).ipv4(kServer, kClient);
    world_.inject(kServerNic, FrameBuilder(frame).tcp(80, port, tcp).build());
  }
  /// True when the server hears the client's first bytes with the numbers it expects.
  bool complete(std::uint16_t port, std::uint32_t initial) {
    constexpr std::uint32_t kServers = 9000;
    say(port, {.flags = kTcpSyn, .sequence = initial, .options = {2, 4, 5, 0xb4}});
    const auto cookie = heard(world_.collect(kClientNic));
    std::uint32_t told = kServers;
    if (!cookie.empty()) {
      told = cookie[0].sequence;
      say(port, {.flags = kTcpAck, .sequence = initial + 1, .acknowledgement = told + 1});
    }
    if (heard(world_.collect(kServerNic)).size() != 1) return false;
    answer(port, {.flags = kTcpSyn | kTcpAck, .sequence = kServers, .acknowledgement = initial + 1});
    world_.collect(kClientNic), world_.collect(kServerNic);
    say(port, {.flags = kTcpAck, .sequence = initial + 1, .acknowledgement = told + 1}, 10);
    const auto request = heard(world_.collect(kServerNic));
    return request.size() == 1 && request[0].acknowledgement == kServers + 1;
  }

  World world_;
};

}  // namespace

int main() {
  ensure_eal(512, false, true);
  fairness("none", nullptr);
  fairness("SYN", syn);
  fairness("first fragments", fragment);
  fairness("ARP", arp);
  fairness("packets to log", logged);
  Handshakes().run();
  return 0;
}
