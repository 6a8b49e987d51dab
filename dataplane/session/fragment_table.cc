// SPDX-License-Identifier: Apache-2.0
#include "dataplane/session/fragment_table.h"

#include <algorithm>
#include <bit>

#include "base/assert.h"

namespace sekisho::dataplane {

Result<FragmentTable> FragmentTable::create(std::uint32_t pieces, std::uint32_t tenants, HashSeed seed,
                                            std::vector<TenantQuota>& quotas) {
  FragmentTable table;
  table.quotas_ = &quotas;
  table.pieces_max_ = std::max<std::uint32_t>(pieces, filters::kFragmentPiecesMax);
  const std::uint32_t datagrams = table.pieces_max_ / 2;  // a datagram in pieces has two at least
  table.datagrams_ = HugeArray<Datagram>("datagrams", datagrams);
  table.buckets_ = HugeArray<std::uint32_t>("datagram-buckets", std::bit_ceil(datagrams));
  table.parts_ = HugeArray<Part>("datagram-parts", tenants);
  if (!table.datagrams_.valid() || !table.buckets_.valid() || !table.parts_.valid()) {
    return Error{ErrorCode::kLimit, ErrorSite::kDataplane, pieces};
  }
  table.seed_ = seed;
  for (std::uint32_t slot = 0; slot < tenants; ++slot) table.parts_[slot] = {0, 0, kNone, kNone, 0};
  for (std::uint32_t index = datagrams; index-- > 0;) {
    table.datagrams_[index].chain = table.free_;
    table.free_ = index;
  }
  for (std::uint32_t at = 0; at < table.buckets_.size(); ++at) table.buckets_[at] = kNone;
  return table;
}

std::uint64_t FragmentTable::hash(const DatagramKey& key) const {
  const auto half = [](std::span<const std::uint8_t> bytes, std::size_t at) { return load_be<std::uint64_t>(bytes, at); };
  const std::uint64_t source = mix(half(key.source, 0) ^ seed_.a, half(key.source, 8) ^ seed_.b);
  const std::uint64_t destination = mix(half(key.destination, 0) ^ seed_.b, half(key.destination, 8) ^ seed_.a);
  const std::uint64_t place = std::uint64_t{key.tenant} << 32 | key.port;
  return mix(source ^ place, destination ^ key.id ^ std::uint64_t{key.protocol} << 32 ^ seed_.a);
}

std::uint32_t& FragmentTable::bucket(const DatagramKey& key) { return buckets_[hash(key) & (buckets_.size() - 1)]; }

std::uint32_t FragmentTable::find(const DatagramKey& key) const {
  std::uint32_t index = buckets_[hash(key) & (buckets_.size() - 1)];
  while (index != kNone && datagrams_[index].key != key) index = datagrams_[index].chain;
  return index;
}

std::uint32_t FragmentTable::make(const DatagramKey& key, std::uint32_t tenant_slot, std::uint32_t deadline_tick) {
  SEKISHO_DCHECK(free_ != kNone);
  const std::uint32_t index = free_;
  Datagram& datagram = datagrams_[index];
  free_ = datagram.chain;
  std::uint32_t& head = bucket(key);
  Part& part = parts_[tenant_slot];
  datagram.key = key;
  datagram.tenant_slot = tenant_slot;
  datagram.deadline_tick = deadline_tick;
  datagram.refused = filters::DropReason::kNone;
  datagram.live = true;
  datagram.chain = head;
  datagram.older = newest_;
  datagram.newer = datagram.tenant_newer = kNone;
  datagram.tenant_older = part.newest;
  datagram.ranges = filters::PieceRanges{};
  head = index;
  (newest_ == kNone ? oldest_ : datagrams_[newest_].newer) = index;
  newest_ = index;
  (part.newest == kNone ? part.oldest : datagrams_[part.newest].tenant_newer) = index;
  part.newest = index;
  ++part.datagrams;
  ++count_;
  return index;
}

void FragmentTable::erase(std::uint32_t index) {
  Datagram& datagram = datagrams_[index];
  SEKISHO_DCHECK(datagram.live);
  forget_pieces(index);
  std::uint32_t* link = &bucket(datagram.key);
  while (*link != index) link = &datagrams_[*link].chain;
  *link = datagram.chain;
  Part& part = parts_[datagram.tenant_slot];
  (datagram.older == kNone ? oldest_ : datagrams_[datagram.older].newer) = datagram.newer;
  (datagram.newer == kNone ? newest_ : datagrams_[datagram.newer].older) = datagram.older;
  (datagram.tenant_older == kNone ? part.oldest : datagrams_[datagram.tenant_older].tenant_newer) = datagram.tenant_newer;
  (datagram.tenant_newer == kNone ? part.newest : datagrams_[datagram.tenant_newer].tenant_older) = datagram.tenant_older;
  --part.datagrams;
  --count_;
  datagram.live = false;
  datagram.chain = free_;
  free_ = index;
}

void FragmentTable::store(std::uint32_t index, std::uint8_t place, rte_mbuf* piece) {
  Datagram& datagram = datagrams_[index];
  const std::span<rte_mbuf*> grown = std::span(datagram.pieces).first(datagram.ranges.count());
  SEKISHO_DCHECK(place < grown.size());
  std::move_backward(grown.begin() + place, grown.end() - 1, grown.end());
  grown[place] = piece;
  ++parts_[datagram.tenant_slot].pieces;
  (*quotas_)[datagram.tenant_slot].fragments.fetch_add(1, std::memory_order_relaxed);
  ++pieces_;
}

void FragmentTable::forget_pieces(std::uint32_t index) {
  Datagram& datagram = datagrams_[index];
  const auto held = static_cast<std::uint32_t>(datagram.ranges.count());
  parts_[datagram.tenant_slot].pieces -= held;
  if (held != 0) (*quotas_)[datagram.tenant_slot].fragments.fetch_sub(held, std::memory_order_relaxed);
  pieces_ -= held;
  datagram.ranges = filters::PieceRanges{};
}

std::uint32_t FragmentTable::heaviest(std::uint32_t Part::* what) const {
  std::uint32_t out = kNone;
  std::int64_t most = 0;
  for (std::uint32_t slot = 0; slot < parts_.size(); ++slot) {
    if (parts_[slot].beyond(what) <= most) continue;
    most = parts_[slot].beyond(what);
    out = slot;
  }
  return out;
}

}  // namespace sekisho::dataplane
