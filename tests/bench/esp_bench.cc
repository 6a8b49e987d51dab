// SPDX-License-Identifier: Apache-2.0
//
// What ESP costs: bursts of 64 sealed and opened by the data plane's functions, and beside them, in turns, by the least
// that can be done with the same library: no table, no selectors, no limits, no MTU, no tenant; a window of 64 numbers;
// the layout known. Frames of 64, 512 and 1400 bytes (14 of them Ethernet), IPv4 in IPv4, one SA. Packets are written
// anew, and so lie in the cache, before each burst; only seal and open are timed. Prints one JSON object a line: TSC
// cycles a packet.
//
// Usage: esp_bench [CHUNKS]
#include <intel-ipsec-mb.h>
#include <rte_cycles.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/net/checksum.h"
#include "base/net/endian.h"
#include "dataplane/tunnel/esp_path.h"
#include "dataplane/tunnel/expanded_keys.h"
#include "filters/packet/decode.h"
#include "tests/bench/esp_floor.h"
#include "tests/support/eal.h"
#include "tests/support/frames.h"

namespace {

using namespace sekisho;
using bench::Floor;
using bench::kSuites;
using bench::middle;
using dataplane::kBurstMax;
using filters::EspCipher;
using filters::EspFault;
using filters::EspIntegrity;
using filters::EspSuite;

constexpr unsigned kBurstsPerChunk = 300;

struct Figures {
  std::vector<double> seal, open;
};

class Bench {
 public:
  Bench(EspSuite suite, std::size_t frame_bytes, rte_mempool* pool)
      : frame_(
            tests::FrameBuilder().ipv4("10.9.0.5", "192.168.1.2").udp(4000, 53).payload(frame_bytes - 14 - 28).build()),
        table_(std::move(dataplane::SaTable::create(0, 4, 1)).value()) {
    static_cast<void>(filters::decode(frame_, static_cast<std::uint32_t>(frame_.size()), {}, meta_));
    meta_.tenant = 1;
    const std::vector<std::uint8_t> key(64, 0x3c);
    const auto sizes = std::move(filters::sizes_of(suite)).value();
    const std::vector<Prefix> user{parse_prefix("10.9.0.5/32").value()}, ours{parse_prefix("192.168.0.0/16").value()};
    dataplane::SaConfig in;
    in.tenant = 1;
    in.suite = suite;
    in.cipher_key = ByteSpan(key).first(std::size_t{sizes.cipher_key} + sizes.salt);
    in.integrity_key = ByteSpan(key).first(sizes.integrity_key);
    in.local.address = tests::address("203.0.113.1");
    in.peer.address = tests::address("198.51.100.9");
    in.inner_local = ours;
    in.inner_remote = user;
    in.spi = std::move(table_->allocate_spi()).value();
    if (!table_->install(in, 0)) std::abort();
    dataplane::SaConfig out = in;
    out.direction = dataplane::SaDirection::kOutbound;
    std::swap(out.local, out.peer);
    std::swap(out.inner_local, out.inner_remote);
    handles_.fill(std::move(table_->install(out, 0)).value());
    floor_ = std::make_unique<Floor>(*table_->find(handles_[0])->keys);
    for (rte_mbuf*& packet : burst_) packet = rte_pktmbuf_alloc(pool);
  }
  ~Bench() {
    for (rte_mbuf* packet : burst_) rte_pktmbuf_free(packet);
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  void chunk(Figures& ours, Figures& floor) {
    measure(
        ours, [this] { dataplane::seal_burst(*table_, burst_, handles_, 1, outcomes_); },
        [this] {
          check();
          dataplane::open_burst(*table_, burst_, 1, outcomes_);
          check();
        });
    measure(
        floor, [this] { floor_->seal(burst_); }, [this] { floor_->open(burst_); });
    if (floor_->bad() != 0) std::abort();
  }

 private:
  void check() const {
    for (const auto& outcome : outcomes_) {
      if (outcome.fault != EspFault::kNone) std::abort();
    }
  }
  void refill() {
    for (rte_mbuf* packet : burst_) {
      packet->data_off = RTE_PKTMBUF_HEADROOM;
      packet->data_len = static_cast<std::uint16_t>(frame_.size());
      packet->pkt_len = packet->data_len;
      std::memcpy(rte_pktmbuf_mtod(packet, void*), frame_.data(), frame_.size());
      dataplane::meta_of(packet) = meta_;
    }
  }
  template <typename Seal, typename Open>
  void measure(Figures& figures, const Seal& seal, const Open& open) {
    std::vector<std::uint64_t> sealing, opening;
    for (unsigned i = 0; i < kBurstsPerChunk; ++i) {
      refill();
      const std::uint64_t start = rte_rdtsc_precise();
      seal();
      const std::uint64_t sealed = rte_rdtsc_precise();
      open();
      const std::uint64_t opened = rte_rdtsc_precise();
      sealing.push_back(sealed - start);
      opening.push_back(opened - sealed);
    }
    figures.seal.push_back(middle(sealing));
    figures.open.push_back(middle(opening));
  }

  std::vector<std::uint8_t> frame_;
  filters::PacketMeta meta_{};
  std::unique_ptr<dataplane::SaTable> table_;
  std::unique_ptr<Floor> floor_;
  std::array<rte_mbuf*, kBurstMax> burst_;
  std::array<std::uint32_t, kBurstMax> handles_;
  std::array<dataplane::EspOutcome, kBurstMax> outcomes_;
};

void print(const char* suite, std::size_t bytes, const char* what, std::vector<double> ours,
           std::vector<double> floor) {
  std::sort(ours.begin(), ours.end());
  std::sort(floor.begin(), floor.end());
  std::printf(
      "{\"suite\": \"%s\", \"bytes\": %zu, \"direction\": \"%s\", \"ours\": [%.1f, %.1f], \"floor\": [%.1f, %.1f]}\n",
      suite, bytes, what, ours.front(), ours[ours.size() / 2], floor.front(), floor[floor.size() / 2]);
}

}  // namespace

int main(int argc, char** argv) {
  const int chunks = argc > 1 ? std::atoi(argv[1]) : 21;
  if (chunks < 1) return 2;
  tests::ensure_eal(512, false, true);
  rte_mempool* const pool =
      rte_pktmbuf_pool_create("esp_bench", 255, 0, sizeof(filters::PacketMeta), RTE_MBUF_DEFAULT_BUF_SIZE, 0);
  for (const auto& [name, suite] : kSuites) {
    for (const std::size_t bytes : {64U, 512U, 1400U}) {
      Bench bench(suite, bytes, pool);
      Figures ours, floor;
      for (int i = 0; i < chunks; ++i) bench.chunk(ours, floor);
      print(name, bytes, "encrypt", ours.seal, floor.seal);
      print(name, bytes, "decrypt", ours.open, floor.open);
    }
  }
  return 0;
}
