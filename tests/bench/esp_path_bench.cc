// SPDX-License-Identifier: Apache-2.0
//
// What a remote user's packet costs from receive to send: ESP opened, the whole stateful filter on what was inside, sent
// on; and the other way. Beside it, in turns: the same packets between two hosts without a tunnel, and the floor of ESP
// alone (esp_floor.h). The whole data plane, one worker, ring ports; bursts of 64 packets of 64 flows of one user, written
// anew, and so in the cache, before each burst; only the turn of the worker is timed. Frames of 64, 512 and 1400 bytes
// (14 of them Ethernet) inside, IPv4 in IPv4. In turns with it: the same packets in a session of L2TP in transport mode. Prints one JSON object a line: TSC cycles a packet, best and middle chunk.
//
// Usage: esp_path_bench [CHUNKS] [SUITE BYTES DIRECTION]   the last three run that one alone, for a profiler
#include <rte_cycles.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "dataplane/tunnel/esp_path.h"
#include "filters/packet/decode.h"
#include "tests/bench/esp_floor.h"
#include "tests/support/eal.h"
#include "tests/support/tunnels.h"
#include "tests/support/world.h"

namespace {

using namespace sekisho;
using namespace sekisho::tests;
using bench::kBurstMax;

constexpr unsigned kBurstsPerChunk = 300;

rte_mempool* pool() {
  static rte_mempool* const made =
      rte_pktmbuf_pool_create("esp_path_bench", 511, 0, sizeof(filters::PacketMeta), RTE_MBUF_DEFAULT_BUF_SIZE, 0);
  return made;
}

using Burst = std::array<rte_mbuf*, kBurstMax>;

/// A frame and what decode says of it.
struct Ready {
  Frame frame;
  filters::PacketMeta meta{};

  explicit Ready(Frame bytes) : frame(std::move(bytes)) {
    if (filters::decode(frame, static_cast<std::uint32_t>(frame.size()), {}, meta) != filters::DropReason::kNone) std::abort();
    meta.tenant = 1;
  }
};

void fill(rte_mbuf* packet, const Ready& ready) {
  packet->data_off = RTE_PKTMBUF_HEADROOM;
  packet->data_len = static_cast<std::uint16_t>(ready.frame.size());
  packet->pkt_len = packet->data_len;
  std::memcpy(rte_pktmbuf_mtod(packet, void*), ready.frame.data(), ready.frame.size());
  dataplane::meta_of(packet) = ready.meta;
}

/// Puts a frame on the wire into `nic` as a card does that has looked at its checksums.
void queue(std::uint16_t nic, ByteSpan frame) {
  static rte_mempool* const wires = rte_mempool_lookup("test-frames");
  static const std::array<rte_ring*, kNics> rings{rte_ring_lookup("wire0i"), rte_ring_lookup("wire1i"), rte_ring_lookup("wire2i")};
  rte_mbuf* packet = rte_pktmbuf_alloc(wires);
  if (packet == nullptr || rings[nic] == nullptr) std::abort();
  std::memcpy(rte_pktmbuf_append(packet, static_cast<std::uint16_t>(frame.size())), frame.data(), frame.size());
  packet->port = nic;
  packet->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
  if (rte_ring_enqueue(rings[nic], packet) != 0) std::abort();
}
/// Takes what came out of `nic`.
unsigned drain(std::uint16_t nic) {
  static const std::array<rte_ring*, kNics> rings{rte_ring_lookup("wire0o"), rte_ring_lookup("wire1o"), rte_ring_lookup("wire2o")};
  unsigned count = 0;
  for (void* packet = nullptr; rte_ring_dequeue(rings[nic], &packet) == 0; ++count) rte_pktmbuf_free(static_cast<rte_mbuf*>(packet));
  return count;
}

/// One user's end, and the floor with the same keys.
struct UserEnd {
  std::unique_ptr<dataplane::SaTable> table = std::move(dataplane::SaTable::create(0, 4, 7)).value();
  std::uint32_t inbound = 0, outbound = 0;
  Burst burst;

  UserEnd() {
    for (rte_mbuf*& packet : burst) packet = rte_pktmbuf_alloc(pool());
  }
  ~UserEnd() {
    for (rte_mbuf* packet : burst) rte_pktmbuf_free(packet);
  }
  UserEnd(const UserEnd&) = delete;
  UserEnd& operator=(const UserEnd&) = delete;
};

class Bench {
 public:
  explicit Bench(World& world) : world_(world) {}

  /// SAs of `suite` in both ends; those before are gone. `l2tp`: in transport mode, with the user's session of L2TP in them.
  void key(filters::EspSuite suite, bool l2tp = false) {
    user_ = std::make_unique<UserEnd>();
    const std::vector<std::uint8_t> text(64, 0x3c);
    const auto sizes = std::move(filters::sizes_of(suite)).value();
    const std::vector<Prefix> lease{parse_prefix("10.9.0.5/32").value()}, any{parse_prefix("0.0.0.0/0").value()};
    dataplane::SaConfig ours;
    ours.tenant = kTenantA;
    ours.tunnel = 1;
    ours.port = kTunnelPortA;
    ours.suite = suite;
    ours.cipher_key = ByteSpan(text).first(std::size_t{sizes.cipher_key} + sizes.salt);
    ours.integrity_key = ByteSpan(text).first(sizes.integrity_key);
    ours.local.address = address(kGatewayA4);
    ours.peer.address = address(kPeer4);
    ours.transport = l2tp;
    if (!l2tp) ours.inner_local = any, ours.inner_remote = lease;
    dataplane::SaConfig theirs = ours;
    std::swap(theirs.local, theirs.peer);
    std::swap(theirs.inner_local, theirs.inner_remote);
    theirs.tenant = 1;
    world_.engine().on_shard(0, [&](dataplane::Shard& shard) {
      dataplane::SaTable& table = *shard.tunnels_here.sas;
      if (spi_ != 0 && (!table.erase(spi_) || !table.erase(handle_))) std::abort();
      spi_ = ours.spi = std::move(table.allocate_spi()).value();
      if (!table.install(ours, 0)) std::abort();
    });
    theirs.spi = user_->inbound = std::move(user_->table->allocate_spi()).value();
    if (!user_->table->install(theirs, 0)) std::abort();
    theirs.direction = ours.direction = dataplane::SaDirection::kOutbound;
    theirs.spi = spi_;
    user_->outbound = std::move(user_->table->install(theirs, 0)).value();
    ours.spi = user_->inbound;
    std::uint16_t inner_mtu = 0;
    world_.engine().on_shard(0, [&](dataplane::Shard& shard) {
      handle_ = std::move(shard.tunnels_here.sas->install(ours, 0)).value();
      inner_mtu = shard.tunnels_here.sas->find(handle_)->inner_mtu;
      if (l2tp) inner_mtu = static_cast<std::uint16_t>(inner_mtu - filters::L2tpHeader::kPlainBytes);
      if (l2tp) ride(*shard.tunnels_here.sas, {spi_, handle_}, lease);
    });
    if (l2tp) ride(*user_->table, {user_->inbound, user_->outbound}, any);
    world_.engine().leases().set(kTenantA, address(kLease4), {1, kUserA, kTunnelPortA, handle_, inner_mtu});
    floor_ = std::make_unique<bench::Floor>(*user_->table->find(user_->outbound)->keys);
  }

  /// A session whose addresses are `leases`, on both SAs.
  static void ride(dataplane::SaTable& table, std::array<std::uint32_t, 2> sas, std::span<const Prefix> leases) {
    auto session = std::make_shared<dataplane::L2tpSession>();
    session->tunnel = 2;
    session->port = kTunnelPortA;
    session->local_tunnel = session->local_session = 1;
    session->header = filters::L2tpHeader::make(filters::kL2tpPort, 1, 1, false);
    for (const Prefix& prefix : leases) session->leases.add(prefix);
    for (const std::uint32_t sa : sas) {
      if (!table.add_session(sa, session)) std::abort();
    }
  }
  [[nodiscard]] Frame frame(const char* from, const char* to, unsigned flow, std::size_t bytes, bool back) const {
    FrameBuilder builder;
    builder.ethernet(back ? kServerMac : kClientMac, world_.gateway(back ? kServerNic : kClientNic));
    const unsigned low = 53, high = 40000 + flow;
    return builder.ipv4(from, to).udp(back ? low : high, back ? high : low).payload(bytes - 14 - 28).build();
  }
  /// Seals a burst of the user's and puts it on the wire.
  void queue_sealed(const std::vector<Ready>& inner) {
    std::array<std::uint32_t, kBurstMax> handles;
    std::array<dataplane::EspOutcome, kBurstMax> outcomes;
    handles.fill(user_->outbound);
    for (unsigned flow = 0; flow < kBurstMax; ++flow) fill(user_->burst[flow], inner[flow]);
    dataplane::seal_burst(*user_->table, user_->burst, handles, 0, outcomes);
    const Mac gateway = world_.gateway(kUplinkNic);
    for (rte_mbuf* packet : user_->burst) {
      const auto frame = dataplane::frame_of(packet);
      std::copy(gateway.bytes.begin(), gateway.bytes.end(), frame.begin());
      std::copy(kRouterMac.bytes.begin(), kRouterMac.bytes.end(), frame.begin() + 6);
      queue(kUplinkNic, frame);
    }
  }
  /// Cycles a packet of a turn for one burst: 0 in by a tunnel, 1 out by one, 2 neither.
  double chunk(std::size_t bytes, int which) {
    constexpr std::array<std::uint16_t, 3> kIn{kUplinkNic, kServerNic, kClientNic}, kOut{kServerNic, kUplinkNic, kServerNic};
    constexpr std::array<const char*, 3> kFrom{kLease4, "10.0.0.2", "10.0.0.34"}, kTo{"10.0.0.2", kLease4, "10.0.0.2"};
    const auto way = static_cast<std::size_t>(which);
    std::vector<Ready> frames;
    for (unsigned flow = 0; flow < kBurstMax; ++flow) frames.emplace_back(frame(kFrom[way], kTo[way], flow, bytes, which == 1));
    std::vector<std::uint64_t> bursts;
    for (unsigned i = 0; i < kBurstsPerChunk; ++i) {
      if (which == 0) {
        queue_sealed(frames);
      } else {
        for (const Ready& one : frames) queue(kIn[way], one.frame);
      }
      const std::uint64_t start = rte_rdtsc_precise();
      world_.engine().turn(0, start);
      bursts.push_back(rte_rdtsc_precise() - start);
      if (drain(kOut[way]) != kBurstMax) {
        std::fprintf(stderr, "esp_path_bench: a packet went another way\n");
        std::exit(1);
      }
    }
    return bench::middle(bursts);
  }
  double floor_chunk(std::size_t bytes, bool seal) {
    std::vector<std::uint64_t> bursts;
    const Ready one(frame(kLease4, "10.0.0.2", 0, bytes, false));
    for (unsigned i = 0; i < kBurstsPerChunk; ++i) {
      for (rte_mbuf* packet : user_->burst) fill(packet, one);
      const std::uint64_t start = rte_rdtsc_precise();
      floor_->seal(user_->burst);
      const std::uint64_t between = rte_rdtsc_precise();
      floor_->open(user_->burst);
      bursts.push_back(seal ? between - start : rte_rdtsc_precise() - between);
    }
    return bench::middle(bursts);
  }

 private:
  World& world_;
  std::unique_ptr<UserEnd> user_;
  std::unique_ptr<bench::Floor> floor_;
  std::uint32_t spi_ = 0, handle_ = 0;
};

constexpr std::array<const char*, 2> kL2tpWays{"decrypt, L2TP, filter, forward", "filter, L2TP, encrypt, forward"};
constexpr std::array<const char*, 3> kWays{"decrypt, filter, forward", "filter, encrypt, forward", "no tunnel"};

void print(const char* suite, std::size_t bytes, const char* what, std::vector<double> ours, std::vector<double> floor) {
  std::sort(ours.begin(), ours.end());
  std::sort(floor.begin(), floor.end());
  std::printf("{\"bench\": \"esp path\", \"suite\": \"%s\", \"bytes\": %zu, \"direction\": \"%s\", \"ours\": [%.1f, %.1f]", suite, bytes, what,
              ours.front(), ours[ours.size() / 2]);
  if (!floor.empty()) std::printf(", \"floor\": [%.1f, %.1f]", floor.front(), floor[floor.size() / 2]);
  std::printf("}\n");
}

}  // namespace

int main(int argc, char** argv) {
  const bool huge_pages = argc > 1 && std::strcmp(argv[1], "huge") == 0;
  if (huge_pages) --argc, ++argv;
  const int chunks = argc > 1 ? std::atoi(argv[1]) : 11;
  if (chunks < 1) return 2;
  ensure_eal(512, huge_pages, true);
  World world({.workers = 1, .tunnels = 8});
  world.apply(1, {{.id = 11}}, {.rules_b = {{.id = 201}}, .edit = add_tunnels});
  Bench bench(world);
  bench.key({});
  // The router answers who it is: what is sealed then waits for nobody.
  world.queue(kServerNic, bench.frame("10.0.0.2", kLease4, 0, 64, true));
  world.engine().turn(0, rte_rdtsc());
  world.queue(kUplinkNic, FrameBuilder().ethernet(kRouterMac, world.gateway(kUplinkNic))
                              .arp({.operation = 2, .sender_mac = kRouterMac, .sender = address("192.0.2.2"),
                                    .target_mac = world.gateway(kUplinkNic), .target = address("192.0.2.1")})
                              .build());
  world.engine().turn(0, rte_rdtsc());
  for (std::uint16_t nic = 0; nic < kNics; ++nic) world.collect(nic);
  for (const auto& [name, suite] : bench::kSuites) {
    if (argc > 2 && std::strcmp(argv[2], name) != 0) continue;
    for (const std::size_t bytes : {64U, 512U, 1400U}) {
      if (argc > 3 && static_cast<std::size_t>(std::atoi(argv[3])) != bytes) continue;
      std::array<std::vector<double>, 3> ours;
      std::array<std::vector<double>, 2> l2tp;
      std::array<std::vector<double>, 2> floor;
      for (int i = 0; i < chunks; ++i) {
        bench.key(suite, true);
        for (int which = 0; which < 2; ++which) {
          if (argc <= 4 || std::atoi(argv[4]) == which + 3) l2tp[static_cast<std::size_t>(which)].push_back(bench.chunk(bytes, which));
        }
        bench.key(suite);
        for (int which = 0; which < 3; ++which) {
          if (argc > 4 && std::atoi(argv[4]) != which) continue;
          ours[static_cast<std::size_t>(which)].push_back(bench.chunk(bytes, which));
          if (which < 2) floor[static_cast<std::size_t>(which)].push_back(bench.floor_chunk(bytes, which == 1));
        }
      }
      for (std::size_t which = 0; which < 3; ++which) {
        if (which < 2 && !l2tp[which].empty()) print(name, bytes, kL2tpWays[which], l2tp[which], {});
        if (!ours[which].empty()) print(name, bytes, kWays[which], ours[which], which < 2 ? floor[which] : std::vector<double>{});
      }
    }
  }
  return 0;
}
