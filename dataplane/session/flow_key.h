// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifdef __AVX2__
#include <immintrin.h>
#endif

#include <cstdint>
#include <cstring>
#include <span>

#include "base/net/endian.h"
#include "filters/packet/packet_meta.h"

namespace sekisho::dataplane {

/// Makes hash values unpredictable to senders; drawn once at start, the same in every shard.
struct HashSeed {
  std::uint64_t a;
  std::uint64_t b;
};

/// Both directions of a flow as one value: the ends are ordered, so a packet and its answer have the same key.
/// 16 bytes: {low end 48 bits | protocol 8 | family and tenant high 8}, {high end 48 | tenant low 16}. An IPv4 end is
/// address and port; an IPv6 end is a seeded 32-bit fold of the address, and port: equality there needs the
/// addresses as well (Session line 2).
struct FlowKey {
  std::uint64_t low;
  std::uint64_t high;
  bool operator==(const FlowKey&) const = default;
};

/// A key with what its computation found out on the way.
struct FlowLookup {
  FlowKey key;
  std::uint64_t hash;
  bool from_high;  ///< the packet travels from the high end to the low end
};

inline constexpr std::uint32_t kFlowIpv6Bit = 1U << 23;

/// Multiply and fold: 64 good bits from 128 (the core of wyhash).
__extension__ using Product = unsigned __int128;
inline std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  const Product product = static_cast<Product>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

/// What a key says besides its ends: bits of its two words.
struct KeyTags {
  std::uint64_t low, high;
};
[[gnu::always_inline]] inline KeyTags key_tags(std::uint8_t protocol, std::uint32_t tenant) {
  return {std::uint64_t{protocol} << 48 | std::uint64_t{tenant >> 16} << 56, std::uint64_t{tenant & 0xffffU} << 48};
}

inline FlowKey pack_key(std::uint64_t low_end, std::uint64_t high_end, std::uint8_t protocol, std::uint32_t tenant) {
  const KeyTags tags = key_tags(protocol, tenant);
  return {low_end | tags.low, high_end | tags.high};
}

/// The TenantId value in a key.
inline std::uint32_t tenant_of(const FlowKey& key) {
  return static_cast<std::uint32_t>(key.low >> 56 << 16 | key.high >> 48) & ~kFlowIpv6Bit;
}

/// IPv4: addresses in host order. Always inline, both: a result that travels through memory is slow to read back.
[[gnu::always_inline]] inline FlowLookup make_key4(std::uint32_t source, std::uint32_t destination, std::uint16_t source_port,
                            std::uint16_t destination_port, std::uint8_t protocol, std::uint32_t tenant, const HashSeed& seed) {
  const std::uint64_t from = std::uint64_t{source} << 16 | source_port;
  const std::uint64_t to = std::uint64_t{destination} << 16 | destination_port;
  const bool from_high = from > to;
  const FlowKey key = pack_key(from_high ? to : from, from_high ? from : to, protocol, tenant);
  return {key, mix(key.low ^ seed.a, key.high ^ seed.b), from_high};
}

/// The same from a packet: `wire` is where its source address lies; destination, ports and four bytes more, which every TCP and UDP
/// packet has, lie behind it.
[[gnu::always_inline]] inline FlowLookup make_key4(const std::uint8_t* wire, const KeyTags& tags, const HashSeed& seed) {
#ifdef __AVX2__
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(wire));
  const __m128i ends = _mm_shuffle_epi8(bytes, _mm_setr_epi8(9, 8, 3, 2, 1, 0, -1, -1, 11, 10, 7, 6, 5, 4, -1, -1));
  const auto from = static_cast<std::uint64_t>(_mm_cvtsi128_si64(ends)), to = static_cast<std::uint64_t>(_mm_extract_epi64(ends, 1));
#else
  const std::span<const std::uint8_t> bytes(wire, 12);
  const std::uint64_t from = std::uint64_t{load_be<std::uint32_t>(bytes, 0)} << 16 | load_be<std::uint16_t>(bytes, 8);
  const std::uint64_t to = std::uint64_t{load_be<std::uint32_t>(bytes, 4)} << 16 | load_be<std::uint16_t>(bytes, 10);
#endif
  const bool from_high = from > to;
  const FlowKey key{(from_high ? to : from) | tags.low, (from_high ? from : to) | tags.high};
  return {key, mix(key.low ^ seed.a, key.high ^ seed.b), from_high};
}

/// The 128 bits of an IPv6 address as two numbers that order like the address.
struct Words6 {
  std::uint64_t high;
  std::uint64_t low;
  bool operator==(const Words6&) const = default;
};
inline Words6 load_words6(std::span<const std::uint8_t> bytes, std::size_t offset) {
  return {load_be<std::uint64_t>(bytes, offset), load_be<std::uint64_t>(bytes, offset + 8)};
}

/// `tags`: of the protocol and tenant, without the family.
[[gnu::always_inline]] inline FlowLookup make_key6(const Words6& source, const Words6& destination, std::uint16_t source_port,
                                                   std::uint16_t destination_port, const KeyTags& tags, const HashSeed& seed) {
  const bool from_high = source.high != destination.high ? source.high > destination.high
                         : source.low != destination.low ? source.low > destination.low
                                                         : source_port > destination_port;
  const std::uint64_t source_fold = mix(source.high ^ seed.a, source.low ^ seed.b);
  const std::uint64_t destination_fold = mix(destination.high ^ seed.a, destination.low ^ seed.b);
  const std::uint64_t from = (source_fold & 0xffffffffU) << 16 | source_port;
  const std::uint64_t to = (destination_fold & 0xffffffffU) << 16 | destination_port;
  const FlowKey key{(from_high ? to : from) | tags.low | std::uint64_t{kFlowIpv6Bit >> 16} << 56, (from_high ? from : to) | tags.high};
  const std::uint64_t folds = source_fold + destination_fold;  // symmetric
  return {key, mix(key.low ^ seed.a ^ folds, key.high ^ seed.b), from_high};
}
[[gnu::always_inline]] inline FlowLookup make_key6(const Words6& source, const Words6& destination, std::uint16_t source_port,
                                                   std::uint16_t destination_port, std::uint8_t protocol, std::uint32_t tenant,
                                                   const HashSeed& seed) {
  return make_key6(source, destination, source_port, destination_port, key_tags(protocol, tenant), seed);
}

/// Which shard owns a flow: symmetric in both ends and cheap, because every packet of a many-shard box asks.
/// The same fold a NIC's Toeplitz hash with the repeating key 0x6d5a computes, up to a linear map.
inline std::uint32_t steer(std::uint32_t address_fold, std::uint16_t port_a, std::uint16_t port_b, std::uint32_t shards) {
  std::uint32_t fold = address_fold ^ (address_fold >> 16) ^ port_a ^ port_b;
  fold = (fold & 0xffffU) * 0x9e3779b1U;
  return static_cast<std::uint32_t>((std::uint64_t{fold} * shards) >> 32);
}

}  // namespace sekisho::dataplane
