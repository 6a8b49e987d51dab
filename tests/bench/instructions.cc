// SPDX-License-Identifier: Apache-2.0
//
// Counts instructions of packets, established and others, from receive to transmit or to where they end: the library dataplaned runs, turned by hand at
// times of our choosing, between two ring ports. Only the turns are counted: callgrind is told when (client requests),
// and instructions.py reads its files. Outside callgrind the program does the same and prints only that the packets
// passed. The ring driver's own instructions (about five a packet) are counted with it.
//
// Usage: instructions EAL-ARGUMENTS
#include <rte_cycles.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <valgrind/callgrind.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/dpdk/eal.h"
#include "dataplane/engine.h"
#include "filters/drop_reason.h"
#include "tests/bench/bench_network.h"
#include "tests/support/frames.h"

namespace {

using namespace sekisho;
using dataplane::Engine;
using tests::Frame;
using tests::FrameBuilder;

constexpr unsigned kFlows = 256;
constexpr unsigned kBurst = 64;
constexpr unsigned kPasses = 20;
constexpr unsigned kRingEntries = 1024;
constexpr std::uint8_t kFin = 1, kSyn = 2, kPush = 8, kAck = 16;
constexpr std::array<const char*, 2> kNames{"inside", "outside"};

/// A wire: what the data plane receives and what it sent.
struct Wire {
  rte_ring* to_dataplane = nullptr;
  rte_ring* from_dataplane = nullptr;
};

/// What becomes of a case's packets.
enum class Kind : std::uint8_t {
  kEstablished,
  kNew,        ///< each opens a session
  kDenied,     ///< a rule drops each; logged, folded
  kLand,       ///< source and destination are one: dropped before any rule
  kMalformed,  ///< SYN and FIN together: dropped before anything else
};

struct Case {
  const char* name;
  bool ipv6;
  bool tcp;
  Kind kind = Kind::kEstablished;
};
constexpr std::array kCases{Case{"ipv4 udp", false, false},
                            Case{"ipv4 tcp", false, true},
                            Case{"ipv6 udp", true, false},
                            Case{"ipv6 tcp", true, true},
                            Case{"new session, ipv4 udp", false, false, Kind::kNew},
                            Case{"dropped by a rule", false, false, Kind::kDenied},
                            Case{"dropped by default, land", false, false, Kind::kLand},
                            Case{"dropped by default, tcp flags", false, true, Kind::kMalformed}};

bool make_wires(std::array<Wire, 2>& wires) {
  for (std::size_t side = 0; side < wires.size(); ++side) {
    const std::string name = kNames[side];
    wires[side].to_dataplane =
        rte_ring_create((name + "_in").c_str(), kRingEntries, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    wires[side].from_dataplane =
        rte_ring_create((name + "_out").c_str(), kRingEntries, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    if (wires[side].to_dataplane == nullptr || wires[side].from_dataplane == nullptr) return false;
    if (rte_eth_from_rings(kNames[side], &wires[side].to_dataplane, 1, &wires[side].from_dataplane, 1, 0) < 0)
      return false;
  }
  return true;
}

/// One step of the conversations: frames of every flow from one side.
struct Step {
  unsigned side;  ///< 0: forward
  std::uint8_t flags;
  std::uint32_t sequence, acknowledgement;
  std::size_t payload;  ///< bytes
};

class Conversations {
 public:
  Conversations(Engine& engine, std::array<Wire, 2>& wires, Case which)
      : engine_(engine), wires_(wires), case_(which) {}

  /// Opens every flow, then counts `kPasses` passes in both directions; of other kinds, passes of ever new flows. False
  /// when a packet came out that should not, or did not that should.
  bool run() {
    if (case_.kind != Kind::kEstablished) return run_new();
    const Step data{0, kPush | kAck, 1001, 5001, 10};
    const Step answer{1, kPush | kAck, 5001, 1001, 10};
    if (case_.tcp) {
      if (!pass({0, kSyn, 1000, 0, 0}) || !pass({1, kSyn | kAck, 5000, 1001, 0}) || !pass({0, kAck, 1001, 5001, 0}))
        return false;
    }
    if (!pass(data) || !pass(answer) || !pass(data)) return false;  // states settled, tables warm
    return count([&](unsigned i) { return pass(i % 2 == 0 ? answer : data); });
  }

  static constexpr unsigned packets() { return kPasses * kFlows; }

 private:
  bool run_new() {
    const auto flags = static_cast<std::uint8_t>(case_.kind == Kind::kMalformed ? kSyn | kFin : kSyn);
    const Step step{0, flags, 1000, 0, 0};
    const auto next = [&](unsigned) { return ++first_flow_, pass(step); };
    return next(0) && next(0) && count(next);
  }

  template <typename Pass>
  bool count(Pass pass_number) {
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
    counting_ = true;
    for (unsigned i = 0; i < kPasses; ++i) {
      if (!pass_number(i)) return false;
    }
    counting_ = false;
    CALLGRIND_DUMP_STATS_AT(case_.name);
    CALLGRIND_STOP_INSTRUMENTATION;
    return true;
  }

  [[nodiscard]] unsigned expected() const { return case_.kind == Kind::kEstablished || case_.kind == Kind::kNew ? kBurst : 0; }

  bool pass(const Step& step) {
    for (unsigned first = 0; first < kFlows; first += kBurst) {
      for (unsigned flow = first; flow < first + kBurst; ++flow) {
        if (!inject(step, flow)) return false;
      }
      const std::uint64_t now = next_time();
      if (counting_) CALLGRIND_TOGGLE_COLLECT;
      engine_.turn(0, now);
      if (counting_) CALLGRIND_TOGGLE_COLLECT;
      if (drain(1 - step.side) != expected()) return false;
    }
    return true;
  }

  /// Turns are 20 microseconds apart, whatever the clock says.
  static std::uint64_t next_time() {
    static std::uint64_t now = rte_rdtsc();
    return now += rte_get_tsc_hz() / 50000;
  }

  [[nodiscard]] Frame frame_of(const Step& step, unsigned flow) const {
    const std::string digits = std::to_string(flow);
    const std::string inside = case_.ipv6 ? "fd00:a::1:0:" + digits : "10.16.0." + digits;
    const std::string outside = case_.ipv6 ? "fd00:b::1:0:" + digits : "172.20.0." + digits;
    const unsigned inside_port = 20000 + first_flow_ * kFlows + flow;
    const Mac own = engine_.nics()[step.side].mac();
    FrameBuilder builder;
    builder.ethernet(Mac::from_number(0x020000000001 + std::uint64_t{step.side}), own);
    const std::string& from = step.side == 0 ? inside : outside;
    const std::string& to = case_.kind == Kind::kLand ? from : step.side == 0 ? outside : inside;
    if (case_.ipv6)
      builder.ipv6(from, to);
    else
      builder.ipv4(from, to);
    const unsigned service = bench::kServicePort + (case_.kind == Kind::kDenied ? 1U : 0U);
    const unsigned from_port = step.side == 0 ? inside_port : service;
    const unsigned to_port = step.side == 0 ? service : inside_port;
    if (case_.tcp)
      builder.tcp(from_port, to_port,
                  {.flags = step.flags, .sequence = step.sequence, .acknowledgement = step.acknowledgement});
    else
      builder.udp(from_port, to_port);
    return builder.payload(Frame(case_.tcp ? step.payload : 22, 0x5a)).build();
  }

  /// Hands one frame to the data plane as a NIC does: checksums proved by hardware.
  bool inject(const Step& step, unsigned flow) {
    const Frame frame = frame_of(step, flow);
    rte_mbuf* packet = rte_pktmbuf_alloc(engine_.shard(0).pool);
    if (packet == nullptr) return false;
    std::memcpy(rte_pktmbuf_append(packet, static_cast<std::uint16_t>(frame.size())), frame.data(), frame.size());
    packet->port = engine_.nics()[step.side].number();  // the ring driver leaves it to whoever made the packet
    packet->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
    return rte_ring_sp_enqueue(wires_[step.side].to_dataplane, packet) == 0;
  }

  unsigned drain(unsigned side) {
    void* packet = nullptr;
    unsigned count = 0;
    for (; rte_ring_sc_dequeue(wires_[side].from_dataplane, &packet) == 0; ++count)
      rte_pktmbuf_free(static_cast<rte_mbuf*>(packet));
    return count;
  }

  Engine& engine_;
  std::array<Wire, 2>& wires_;
  Case case_;
  bool counting_ = false;
  unsigned first_flow_ = 0;  ///< in passes
};

void print_drops(dataplane::Shard& shard) {
  for (std::size_t reason = 0; reason < static_cast<std::size_t>(filters::DropReason::kCount); ++reason) {
    std::uint64_t count = 0;
    for (std::size_t tenant = 0; tenant < shard.tenants.size(); ++tenant)
      count += shard.tenants[tenant].drops[reason].read();
    if (count == 0) continue;
    const std::string name(filters::info(static_cast<filters::DropReason>(reason)).name);
    std::fprintf(stderr, " %lu %s", count, name.c_str());
  }
  std::fputc('\n', stderr);
}

}  // namespace

int main(int argc, char** argv) {
  if (sekisho::dataplane::start_eal(argc, argv) < 0) return 2;
  std::array<Wire, 2> wires;
  if (!make_wires(wires)) {
    std::fprintf(stderr, "instructions: no ring ports\n");
    return 1;
  }
  Engine::Options options;
  options.shard = {.sessions = 16384, .log_records = 1024, .tenants = 8, .ports = 8, .rules = 1024, .bindings = 8};
  options.mbufs = 4095;
  auto engine = Engine::create(options);
  if (!engine.has_value()) {
    std::fprintf(stderr, "instructions: no engine (detail %u)\n", engine.error().detail);
    return 1;
  }
  bench::NetworkPlan plan;
  plan.rules = 100;
  plan.devices = {"net_ring_inside", "net_ring_outside"};
  Engine::Applied applied;
  dataplane::LoadError error;
  if (!(*engine)->apply(bench::make_snapshot(plan, 2), applied, error)) {
    std::fprintf(stderr, "instructions: the snapshot is refused: %s (byte %u)\n", error.reason.c_str(), error.offset);
    return 1;
  }
  for (const Case& which : kCases) {
    if (!Conversations(**engine, wires, which).run()) {
      std::fprintf(stderr, "instructions: %s: a packet went another way; dropped:", which.name);
      print_drops((*engine)->shard(0));
      return 1;
    }
    std::printf("%s: %u packets counted\n", which.name, Conversations::packets());
  }
  return 0;
}
