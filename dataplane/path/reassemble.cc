// SPDX-License-Identifier: Apache-2.0
// Overview. A fragment waits until its datagram is whole; then the first piece is judged for all, and all travel on as they
// came, as a train (dataplane/train.h). Nothing passes before: a rule about ports cannot be right about half a datagram, and
// what never becomes whole never passes (FFW_RUL_EXT.1.6 b). A datagram with overlapping pieces is lost with all that still
// comes for it (RFC 5722), in IPv4 too: hosts disagree about which of the bytes count.
// Limits. Pieces a datagram, pieces and datagrams in all and a tenant's part of them, five seconds. Pieces are counted over
// all shards, datagrams in each. Whoever exceeds his part loses his own oldest; when all is taken, whoever holds most beyond
// its guarantee does.
#include <algorithm>
#include <utility>

#include "dataplane/path/path.h"
#include "dataplane/path/record.h"
#include "dataplane/train.h"
#include "filters/packet/fields.h"
#include "filters/packet/fragment.h"
#include "filters/packet/nd.h"

namespace sekisho::dataplane::path {
namespace {

using filters::DropReason;
using filters::FragmentFields;
using filters::PieceRanges;

// Pieces of a datagram travel within a round trip; RFC 8200 and RFC 1122 allow hosts sixty seconds, in which a flood would
// hold twelve times the memory.
constexpr std::uint32_t kWaitTicks = 5 * kTicksPerSecond;
constexpr unsigned kExpirePerTurnMax = 16;

DatagramKey key_of(const Runtime& config, rte_mbuf* packet, const FragmentFields& fields) {
  const PacketMeta& meta = meta_of(packet);
  const bool ipv6 = (meta.proof & filters::kProofIpv6) != 0;
  return {.source = filters::ip_source(frame_of(packet), meta).bytes,
          .destination = filters::ip_destination(frame_of(packet), meta).bytes,
          .tenant = meta.tenant,
          .port = config.ports[meta.ingress].id,
          .id = fields.id,
          .protocol = ipv6 ? std::uint16_t{0} : std::uint16_t{fields.protocol},
          .ipv6 = ipv6};
}

/// The shard where the pieces of a datagram meet: the seed is the same everywhere, so all name the same one, whatever queue
/// they came in.
std::uint32_t meeting_shard(const Shard& shard, const DatagramKey& key) {
  return static_cast<std::uint32_t>(((shard.fragments.hash(key) >> 32) * shard.shared.shards) >> 32);
}

/// Ends a piece that has waited. Of an older generation, its record's indices mean nothing: counted, not logged.
void end_piece(Shard& shard, const Runtime& config, rte_mbuf* piece, std::uint32_t tenant_slot, DropReason reason) {
  if (meta_of(piece).generation == config.generation) {
    refuse(shard, config, piece, reason);
  } else {
    shard.drop(piece, reason, tenant_slot);
  }
}

/// Ends all that has come of a datagram.
void end_pieces(Shard& shard, const Runtime& config, std::uint32_t index, DropReason reason) {
  Datagram& datagram = shard.fragments.at(index);
  shard.packets.held.subtract(datagram.held().size());
  for (rte_mbuf* piece : datagram.held()) end_piece(shard, config, piece, datagram.tenant_slot, reason);
  shard.fragments.forget_pieces(index);
}

/// From now on whatever comes for this datagram ends for `reason`, until its time is over.
void condemn(Shard& shard, const Runtime& config, std::uint32_t index, DropReason reason) {
  end_pieces(shard, config, index, reason);
  shard.fragments.at(index).refused = reason;
}

void evict(Shard& shard, const Runtime& config, std::uint32_t index) {
  end_pieces(shard, config, index, DropReason::kFragmentLimit);
  shard.fragments.erase(index);
}

/// Whether the tenant holds its whole part of `what`.
bool has_its_part(const Shard& shard, const TenantEntry& tenant, std::uint32_t FragmentTable::Part::* what) {
  const std::uint32_t most = shard.fragments_max_of(tenant);
  if (what == &FragmentTable::Part::pieces) {
    return shard.shared.quotas[tenant.slot].fragments.load(std::memory_order_relaxed) >= most;
  }
  const std::uint32_t datagrams = most / 2 / shard.shared.shards;
  return shard.fragments.part(tenant.slot).datagrams >= std::max<std::uint32_t>(datagrams, filters::kFragmentPiecesMax / 2);
}

/// True when there is room for one more of `what` for the tenant: evicts his oldest while he has his part, or the oldest
/// of whoever holds most beyond its guarantee while all is taken. Never evicts `keep`: then there is none.
bool make_room(Shard& shard, const Runtime& config, const TenantEntry& tenant, std::uint32_t FragmentTable::Part::* what,
               std::uint32_t keep) {
  FragmentTable& table = shard.fragments;
  const bool pieces = what == &FragmentTable::Part::pieces;
  const std::uint32_t most = pieces ? table.pieces_max() : table.datagrams_max();
  for (;;) {
    const bool beyond_part = has_its_part(shard, tenant, what);
    if (!beyond_part && (pieces ? table.pieces() : table.datagrams()) < most) return true;
    const std::uint32_t slot = beyond_part ? tenant.slot : table.heaviest(what);
    if (slot == FragmentTable::kNone) return false;
    const std::uint32_t victim = table.part(slot).oldest;
    if (victim == keep || victim == FragmentTable::kNone) return false;
    evict(shard, config, victim);
  }
}

/// Places pieces of an older generation anew. False: not all of them may still be here, or not for the same tenant; those
/// have ended, and so have the others.
bool renew(Shard& shard, const Runtime& config, Burst& pieces, const DatagramKey& key, std::uint32_t tenant_slot) {
  Burst old = pieces;
  const std::uint16_t count = std::exchange(pieces.count, std::uint16_t{0});
  bind_pieces(shard, config, old, pieces, Count::kNo);
  const auto fits = [&](rte_mbuf* piece) {
    return meta_of(piece).tenant == key.tenant && config.ports[meta_of(piece).ingress].id == key.port;
  };
  if (pieces.count == count && std::all_of(pieces.live().begin(), pieces.live().end(), fits)) return true;
  for (rte_mbuf* piece : pieces.live()) end_piece(shard, config, piece, tenant_slot, DropReason::kPolicyChanged);
  return false;
}

/// Proves the upper layer of a whole datagram.
DropReason prove(const Burst& pieces, const FragmentFields& fields, std::uint32_t total) {
  rte_mbuf* first = pieces.packets[0];
  PacketMeta& meta = meta_of(first);
  const std::uint32_t extensions = meta.l4_offset - std::uint32_t{fields.data};
  if (extensions > total) return DropReason::kFragmentChain;
  const std::uint32_t l4_bytes = total - extensions;
  meta.l3_length = static_cast<std::uint16_t>(fields.before + total);
  const DropReason reason = filters::decode_first_piece(frame_of(first), l4_bytes, meta);
  if (reason != DropReason::kNone) return reason;
  if (filters::is_nd(meta)) return DropReason::kAeNdFragment;  // RFC 6980
  filters::PieceSum sum(frame_of(first), l4_bytes, meta);
  for (rte_mbuf* piece : pieces.live()) {
    const std::size_t from = piece == first ? std::size_t{meta.l4_offset} : filters::read_fragment(frame_of(piece), meta_of(piece)).data;
    sum.add(frame_of(piece).subspan(from));
  }
  return sum.good() ? DropReason::kNone : DropReason::kL4Checksum;
}

/// Makes a train of a whole datagram, or ends it.
void complete(Shard& shard, const Runtime& config, std::uint32_t index, Burst& whole) {
  Datagram& datagram = shard.fragments.at(index);
  static_assert(filters::kFragmentPiecesMax <= kBurstMax);
  Burst pieces;
  for (rte_mbuf* piece : datagram.held()) pieces.packets[pieces.count++] = piece;
  const std::uint32_t total = datagram.ranges.total();
  const DatagramKey key = datagram.key;
  const std::uint32_t tenant_slot = datagram.tenant_slot;
  shard.packets.held.subtract(pieces.count);
  shard.fragments.erase(index);

  const auto stale = [&](rte_mbuf* piece) { return meta_of(piece).generation != config.generation; };
  if (std::any_of(pieces.live().begin(), pieces.live().end(), stale) && !renew(shard, config, pieces, key, tenant_slot)) return;
  rte_mbuf* first = pieces.packets[0];
  const DropReason reason = prove(pieces, filters::read_fragment(frame_of(first), meta_of(first)), total);
  if (reason != DropReason::kNone) {
    for (rte_mbuf* piece : pieces.live()) refuse(shard, config, piece, reason);
    return;
  }
  for (unsigned i = 0; i < pieces.count; ++i) {
    meta_of(pieces.packets[i]).next_piece = i + 1 < pieces.count ? reinterpret_cast<std::uint64_t>(pieces.packets[i + 1]) : 0;
  }
  meta_of(first).proof |= filters::kProofTrain;
  whole.packets[whole.count++] = first;
}

/// RFC 8200 4.5 leaves duplicates of the network to us: the same bytes again are dropped, other bytes are an overlap.
bool same_bytes(rte_mbuf* a, rte_mbuf* b) {
  const auto data = [](rte_mbuf* piece) {
    return frame_of(piece).subspan(filters::read_fragment(frame_of(piece), meta_of(piece)).data);
  };
  return std::ranges::equal(data(a), data(b));
}

/// Takes one piece that may be looked at here.
void take(Shard& shard, const Runtime& config, rte_mbuf* packet, const FragmentFields& fields, const DatagramKey& key,
          Burst& whole) {
  FragmentTable& table = shard.fragments;
  const TenantEntry& tenant = config.tenants[config.ports[meta_of(packet).ingress].tenant_index];
  std::uint32_t index = table.find(key);
  if (index == FragmentTable::kNone) {
    if (!make_room(shard, config, tenant, &FragmentTable::Part::datagrams, FragmentTable::kNone)) {
      refuse(shard, config, packet, DropReason::kFragmentLimit);
      return;
    }
    index = table.make(key, tenant.slot, shard.now_tick + kWaitTicks);
  }
  DropReason refused = table.at(index).refused;
  if (refused == DropReason::kNone && !make_room(shard, config, tenant, &FragmentTable::Part::pieces, index)) {
    refused = DropReason::kFragmentLimit;
    condemn(shard, config, index, refused);
  }
  if (refused != DropReason::kNone) {
    refuse(shard, config, packet, refused);
    return;
  }
  Datagram& datagram = table.at(index);
  const PieceRanges::Placed placed = datagram.ranges.add(fields.begin, fields.end, fields.more);
  switch (placed.outcome) {
    case PieceRanges::Outcome::kStored:
      table.store(index, placed.index, packet);
      shard.packets.held.add(1);
      if (datagram.ranges.complete()) complete(shard, config, index, whole);
      return;
    case PieceRanges::Outcome::kSame:
      if (same_bytes(packet, datagram.pieces[placed.index])) {
        refuse(shard, config, packet, DropReason::kFragmentDuplicate);
        return;
      }
      [[fallthrough]];
    case PieceRanges::Outcome::kConflict: refused = DropReason::kFragmentOverlap; break;
    case PieceRanges::Outcome::kTooMany: refused = DropReason::kFragmentLimit; break;
  }
  condemn(shard, config, index, refused);
  refuse(shard, config, packet, refused);
}

}  // namespace

void reassemble(Shard& shard, const Runtime& config, Burst& pieces, Burst& burst) noexcept {
  Burst whole;
  for (rte_mbuf* packet : pieces.live()) {
    const PacketMeta& meta = meta_of(packet);
    const FragmentFields fields = filters::read_fragment(frame_of(packet), meta);
    DropReason reason = filters::check_fragment(fields);
    const std::size_t end = std::size_t{meta.l3_offset} + meta.l3_length;
    if (end > packet->data_len) reason = DropReason::kFragmentMalformed;  // not in one segment: no NIC of ours does that
    if (reason != DropReason::kNone) {
      refuse(shard, config, packet, reason);
      continue;
    }
    const DatagramKey key = key_of(config, packet, fields);
    const std::uint32_t there = meeting_shard(shard, key);
    if (there != shard.number) {
      shard.hand_off(packet, there, Resume::kReassemble, config.ports[meta.ingress].tenant_slot);
      continue;
    }
    packet->data_len = static_cast<std::uint16_t>(end);  // without padding: the pieces side by side are the datagram
    packet->pkt_len = packet->data_len;
    take(shard, config, packet, fields, key, whole);
  }
  pieces.count = 0;
  steer(shard, config, whole);
  for (rte_mbuf* train : whole.live()) burst.packets[burst.count++] = train;
}

void bind_again(Shard& shard, const Runtime& config, Burst& stale, Burst& burst) noexcept {
  Burst whole;
  Burst pieces;
  for (rte_mbuf* packet : stale.live()) {
    if (!is_train(packet)) [[likely]] {
      whole.packets[whole.count++] = packet;
      continue;
    }
    // Each piece is judged again where it came in, and they meet again.
    Burst apart;
    for_each_piece(packet, [&](rte_mbuf* piece) { apart.packets[apart.count++] = piece; });
    uncouple(packet);
    bind_pieces(shard, config, apart, pieces, Count::kNo);
    reassemble(shard, config, pieces, burst);
  }
  bind_pieces(shard, config, whole, pieces, Count::kNo);
  reassemble(shard, config, pieces, burst);
  for (rte_mbuf* packet : whole.live()) burst.packets[burst.count++] = packet;
  stale.count = 0;
}

void expire_fragments(Shard& shard, const Runtime& config) noexcept {
  FragmentTable& table = shard.fragments;
  for (unsigned left = kExpirePerTurnMax; left > 0 && table.oldest() != FragmentTable::kNone; --left) {
    const std::uint32_t index = table.oldest();
    const Datagram& datagram = table.at(index);
    if (static_cast<std::int32_t>(shard.now_tick - datagram.deadline_tick) < 0) return;
    end_pieces(shard, config, index, datagram.ranges.has_first() ? DropReason::kFragmentTimeout : DropReason::kFragmentOrphan);
    table.erase(index);
  }
}

}  // namespace sekisho::dataplane::path
