// SPDX-License-Identifier: Apache-2.0
//
// The floor: the least a stateful filter can do. One tenant, UDP over IPv4, no policy, no Bindings, no TCP states, no
// timers, no log; every flow is in the table before the first packet. Parse, look the flow up in both directions'
// common key, count, set the time, decrement TTL, rewrite the MAC addresses, send. Nothing real can be faster on this
// machine, so it stands in the same run beside what is measured: when the floor moves, the machine moved.
//
// Usage: floor_filter EAL-ARGUMENTS -- FLOWS [BURST]
// Flows are those of net_pfgen's defaults (src 10.0.0.0, dst 198.18.0.0, sbits 24, dbits 16, dport 80).
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <x86intrin.h>

#include <array>
#include <bit>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr unsigned kBurstMax = 256;
constexpr std::uint64_t kTenant = 7;
constexpr unsigned kTagsInBucket = 8;

/// One flow: a cache line.
struct Entry {
  __m128i key;
  std::uint32_t last_seen;
  std::uint32_t state;
  std::uint64_t packets[2];
  std::uint64_t bytes[2];
  std::uint32_t next_hop;
  std::uint32_t padding;
};
static_assert(sizeof(Entry) == 64);

/// Eight 16-bit tags and the entries they stand for: a cache line. Tag 0 is an empty place.
struct Bucket {
  std::uint16_t tags[kTagsInBucket];
  std::uint32_t entries[kTagsInBucket];
  std::uint32_t padding[4];
};
static_assert(sizeof(Bucket) == 64);

struct Table {
  Bucket* buckets;
  Entry* entries;
  std::uint64_t mask;
};

/// What is worked out about each packet of a burst between the stages.
struct Lanes {
  std::array<rte_mbuf*, kBurstMax> packets;
  std::array<std::uint8_t*, kBurstMax> frames;
  __m128i keys[kBurstMax];
  std::array<std::uint32_t, kBurstMax> buckets;
  std::array<std::uint16_t, kBurstMax> tags;
  std::array<bool, kBurstMax> reversed;
  std::array<Entry*, kBurstMax> entries;
};

volatile std::sig_atomic_t g_stop = 0;

template <typename T>
inline T load(const std::uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

template <typename T>
inline void store(std::uint8_t* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

/// The same key for both directions: the two ends in numeric order. Numbers as they are on the wire.
inline __m128i make_key(std::uint32_t source, std::uint32_t destination, std::uint16_t source_port,
                        std::uint16_t destination_port, std::uint8_t protocol, bool& reversed) {
  const std::uint64_t a = std::uint64_t{source} << 16 | source_port;
  const std::uint64_t b = std::uint64_t{destination} << 16 | destination_port;
  reversed = a > b;
  const std::uint64_t low = reversed ? b : a;
  const std::uint64_t high = reversed ? a : b;
  return _mm_set_epi64x(static_cast<long long>(high | kTenant << 48),
                        static_cast<long long>(low | std::uint64_t{protocol} << 48));
}

inline std::uint64_t hash_key(__m128i key) {
  const auto a = static_cast<std::uint64_t>(_mm_cvtsi128_si64(key));
  const auto b = static_cast<std::uint64_t>(_mm_extract_epi64(key, 1));
  const auto product = static_cast<unsigned __int128>(a ^ 0xa0761d6478bd642fULL) * (b ^ 0xe7037ed1a0b428dbULL);
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

inline std::uint16_t tag_of(std::uint64_t hash) {
  return static_cast<std::uint16_t>(hash >> 48 | 1);
}

inline bool same_key(__m128i a, __m128i b) {
  return _mm_movemask_epi8(_mm_cmpeq_epi8(a, b)) == 0xffff;
}

/// Puts flow number `index` of net_pfgen into the first free place of its bucket or the following ones.
void install_flow(Table& table, std::uint32_t index) {
  const std::uint32_t spread = index * 0x9E3779B1U;
  bool reversed;
  const __m128i key =
      make_key(__builtin_bswap32(0x0a000000 + (index & 0xffffff)), __builtin_bswap32(0xc6120000 + (spread >> 16)),
               __builtin_bswap16(static_cast<std::uint16_t>(1024 + ((spread ^ (index >> 24)) & 0x7fff))),
               __builtin_bswap16(80), 17, reversed);
  const std::uint64_t hash = hash_key(key);
  for (std::uint64_t at = hash & table.mask;; at = (at + 1) & table.mask) {
    Bucket& bucket = table.buckets[at];
    for (unsigned place = 0; place < kTagsInBucket; ++place) {
      if (bucket.tags[place] != 0) continue;
      bucket.tags[place] = tag_of(hash);
      bucket.entries[place] = index;
      table.entries[index].key = key;
      table.entries[index].state = 1;
      table.entries[index].next_hop = index & 7;
      return;
    }
  }
}

/// The slow way, for the few packets whose tag led to a foreign entry or whose bucket overflowed.
[[gnu::noinline]] Entry* search(const Table& table, std::uint64_t at, std::uint16_t tag, __m128i key) {
  for (;; at = (at + 1) & table.mask) {
    const Bucket& bucket = table.buckets[at];
    bool empty_place = false;
    for (unsigned place = 0; place < kTagsInBucket; ++place) {
      empty_place |= bucket.tags[place] == 0;
      Entry* entry = &table.entries[bucket.entries[place]];
      if (bucket.tags[place] == tag && same_key(entry->key, key)) return entry;
    }
    if (empty_place) return nullptr;
  }
}

inline void parse(Lanes& lanes, const Table& table, unsigned lane) {
  const std::uint8_t* frame = lanes.frames[lane];
  const __m128i key =
      make_key(load<std::uint32_t>(frame + 26), load<std::uint32_t>(frame + 30), load<std::uint16_t>(frame + 34),
               load<std::uint16_t>(frame + 36), frame[23], lanes.reversed[lane]);
  std::uint64_t hash = hash_key(key);
  const bool plain =
      load<std::uint16_t>(frame + 12) == 8 && frame[14] == 0x45 && (load<std::uint16_t>(frame + 20) & 0xff3f) == 0;
  if (!plain) [[unlikely]]
    hash = 0;
  lanes.keys[lane] = key;
  lanes.buckets[lane] = static_cast<std::uint32_t>(hash & table.mask);
  lanes.tags[lane] = tag_of(hash);
  __builtin_prefetch(&table.buckets[lanes.buckets[lane]]);
}

inline void find_entry(Lanes& lanes, const Table& table, unsigned lane) {
  const Bucket& bucket = table.buckets[lanes.buckets[lane]];
  const __m128i tags = _mm_load_si128(reinterpret_cast<const __m128i*>(bucket.tags));
  const __m128i equal = _mm_cmpeq_epi16(tags, _mm_set1_epi16(static_cast<short>(lanes.tags[lane])));
  const auto bits = static_cast<unsigned>(_mm_movemask_epi8(equal));
  lanes.entries[lane] = &table.entries[bucket.entries[bits != 0 ? std::countr_zero(bits) / 2 : 0]];
  __builtin_prefetch(lanes.entries[lane], 1);
}

/// Counts and rewrites; false when the flow is unknown.
inline bool forward(Lanes& lanes, const Table& table, unsigned lane, std::uint32_t now) {
  Entry* entry = lanes.entries[lane];
  bool known = true;
  if (!same_key(entry->key, lanes.keys[lane])) [[unlikely]] {
    Entry* found = search(table, lanes.buckets[lane], lanes.tags[lane], lanes.keys[lane]);
    known = found != nullptr;
    if (known) entry = found;
  }
  std::uint8_t* frame = lanes.frames[lane];
  entry->last_seen = now;
  entry->packets[lanes.reversed[lane]]++;
  entry->bytes[lanes.reversed[lane]] += lanes.packets[lane]->pkt_len;
  frame[22]--;
  const std::uint32_t checksum = load<std::uint16_t>(frame + 24) + 1U;
  store(frame + 24, static_cast<std::uint16_t>(checksum + (checksum >> 16)));
  store(frame, 0x0200000000020000ULL + entry->next_hop);
  return known;
}

void run(const Table& table, unsigned burst) {
  static Lanes lanes;
  std::uint64_t unknown = 0;
  while (g_stop == 0) {
    unsigned count = 0;
    while (count < burst) {
      const unsigned got = rte_eth_rx_burst(0, 0, &lanes.packets[count], static_cast<std::uint16_t>(burst - count));
      if (got == 0) break;
      count += got;
    }
    if (count == 0) continue;
    const auto now = static_cast<std::uint32_t>(__rdtsc() >> 20);
    for (unsigned lane = 0; lane < count; ++lane) {
      lanes.frames[lane] = rte_pktmbuf_mtod(lanes.packets[lane], std::uint8_t*);
      __builtin_prefetch(lanes.frames[lane]);
    }
    for (unsigned lane = 0; lane < count; ++lane) parse(lanes, table, lane);
    for (unsigned lane = 0; lane < count; ++lane) find_entry(lanes, table, lane);
    for (unsigned lane = 0; lane < count; ++lane) unknown += forward(lanes, table, lane, now) ? 0 : 1;
    unsigned sent = rte_eth_tx_burst(0, 0, lanes.packets.data(), static_cast<std::uint16_t>(count));
    for (; sent < count; ++sent) rte_pktmbuf_free(lanes.packets[sent]);
  }
  std::fprintf(stderr, "floor_filter: %lu packets of unknown flows\n", unknown);
}

bool start_port() {
  rte_mempool* pool = rte_pktmbuf_pool_create("floor", 16383, 512, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
  const rte_eth_conf conf{};
  return pool != nullptr && rte_eth_dev_configure(0, 1, 1, &conf) == 0 &&
         rte_eth_rx_queue_setup(0, 0, 1024, 0, nullptr, pool) == 0 &&
         rte_eth_tx_queue_setup(0, 0, 1024, 0, nullptr) == 0 && rte_eth_dev_start(0) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  const int used = rte_eal_init(argc, argv);
  if (used < 0 || argc - used < 2) {
    std::fprintf(stderr, "usage: floor_filter EAL-ARGUMENTS -- FLOWS [BURST]\n");
    return 2;
  }
  const std::uint64_t flows = std::strtoul(argv[used + 1], nullptr, 0);
  const unsigned long burst = argc - used > 2 ? std::strtoul(argv[used + 2], nullptr, 0) : 64;
  if (flows == 0 || burst == 0 || burst > kBurstMax) {
    std::fprintf(stderr, "floor_filter: FLOWS starts at 1, BURST is 1 to %u\n", kBurstMax);
    return 2;
  }
  std::signal(SIGINT, [](int) { g_stop = 1; });
  std::signal(SIGTERM, [](int) { g_stop = 1; });
  if (!start_port()) {
    std::fprintf(stderr, "floor_filter: port 0 does not start\n");
    return 1;
  }
  std::uint64_t buckets = 128;
  while (buckets * kTagsInBucket * 7 / 10 < flows) buckets *= 2;
  Table table{static_cast<Bucket*>(rte_zmalloc(nullptr, buckets * sizeof(Bucket), 64)),
              static_cast<Entry*>(rte_zmalloc(nullptr, (flows + 1) * sizeof(Entry), 64)), buckets - 1};
  if (table.buckets == nullptr || table.entries == nullptr) {
    std::fprintf(stderr, "floor_filter: no memory for %lu flows\n", flows);
    return 1;
  }
  for (std::uint32_t index = 0; index < flows; ++index) install_flow(table, index);
  run(table, static_cast<unsigned>(burst));
  rte_eth_dev_stop(0);
  return 0;
}
