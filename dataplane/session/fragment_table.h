// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "dataplane/dpdk/huge_array.h"
#include "dataplane/quota.h"
#include "dataplane/session/flow_key.h"
#include "filters/packet/fragment.h"

namespace sekisho::dataplane {

/// What makes pieces one datagram (RFC 791, RFC 8200 4.5), for one tenant and one attachment: nobody adds to another's.
struct DatagramKey {
  std::array<std::uint8_t, 16> source, destination;
  std::uint32_t tenant;   ///< TenantId value
  std::uint32_t port;     ///< PortId value: survives commits
  std::uint32_t id;
  std::uint16_t protocol; ///< IPv4's; IPv6 does not compare it
  std::uint16_t ipv6;
  bool operator==(const DatagramKey&) const = default;
};

/// A datagram that is not whole yet, or of which nothing may pass any more.
struct Datagram {
  DatagramKey key;
  std::uint32_t tenant_slot;
  std::uint32_t deadline_tick;
  filters::DropReason refused;  ///< kNone: gathers; else whatever still comes ends for this reason
  bool live;
  std::uint32_t chain;                        ///< next in its bucket
  std::uint32_t older, newer;                 ///< of all
  std::uint32_t tenant_older, tenant_newer;   ///< of its tenant
  filters::PieceRanges ranges;
  std::array<rte_mbuf*, filters::kFragmentPiecesMax> pieces;  ///< in the order of `ranges`

  [[nodiscard]] std::span<rte_mbuf* const> held() const { return std::span(pieces).first(ranges.count()); }
};

/// The datagrams one shard waits for. Bounded in datagrams, in pieces, and in both per tenant; who makes room decides, this
/// only says whose oldest one is. Holds mbufs but never ends one.
/// Thread: the shard's. No allocation after create().
class FragmentTable {
 public:
  static constexpr std::uint32_t kNone = 0xffffffffU;

  /// What a tenant holds here.
  struct Part {
    std::uint32_t datagrams, pieces;
    std::uint32_t oldest, newest;
    std::uint32_t guaranteed;  ///< pieces; and half as many datagrams
    /// How much it holds beyond what it was promised.
    [[nodiscard]] std::int64_t beyond(std::uint32_t Part::* what) const {
      return std::int64_t{this->*what} - (what == &Part::pieces ? guaranteed : guaranteed / 2);
    }
  };

  FragmentTable() = default;
  /// `pieces`: packets that may wait, at least one datagram's. `quotas`, by tenant slot, count them for all shards together
  /// and outlive the table.
  static Result<FragmentTable> create(std::uint32_t pieces, std::uint32_t tenants, HashSeed seed, std::vector<TenantQuota>& quotas);

  /// The same in every shard.
  [[nodiscard]] std::uint64_t hash(const DatagramKey& key) const;
  [[nodiscard]] std::uint32_t find(const DatagramKey& key) const;
  /// Needs a free place: datagrams() < datagrams_max().
  std::uint32_t make(const DatagramKey& key, std::uint32_t tenant_slot, std::uint32_t deadline_tick);
  /// Forgets a datagram, whose pieces the caller has taken.
  void erase(std::uint32_t index);
  /// Puts a piece at its place in the order that PieceRanges::add gave.
  void store(std::uint32_t index, std::uint8_t place, rte_mbuf* piece);
  /// Takes all pieces out; the datagram stays, to refuse what follows.
  void forget_pieces(std::uint32_t index);

  [[nodiscard]] Datagram& at(std::uint32_t index) { return datagrams_[index]; }
  [[nodiscard]] std::uint32_t oldest() const { return oldest_; }
  [[nodiscard]] const Part& part(std::uint32_t tenant_slot) const { return parts_[tenant_slot]; }
  /// The tenant slot that holds most beyond its guarantee, by `what`; kNone: nobody does. One look at every tenant: only
  /// when the table is full.
  [[nodiscard]] std::uint32_t heaviest(std::uint32_t Part::* what) const;
  void guarantee(std::uint32_t tenant_slot, std::uint32_t pieces) { parts_[tenant_slot].guaranteed = pieces; }

  [[nodiscard]] std::uint32_t datagrams() const { return count_; }
  [[nodiscard]] std::uint32_t datagrams_max() const { return static_cast<std::uint32_t>(datagrams_.size()); }
  [[nodiscard]] std::uint32_t pieces() const { return pieces_; }
  [[nodiscard]] std::uint32_t pieces_max() const { return pieces_max_; }

 private:
  std::uint32_t& bucket(const DatagramKey& key);

  HugeArray<Datagram> datagrams_;
  HugeArray<std::uint32_t> buckets_;  ///< first of each chain; a power of two of them
  HugeArray<Part> parts_;             ///< by tenant slot
  std::vector<TenantQuota>* quotas_ = nullptr;
  HashSeed seed_{};
  std::uint32_t pieces_max_ = 0;
  std::uint32_t pieces_ = 0, count_ = 0;
  std::uint32_t free_ = kNone;        ///< first free place; free places hang on `chain`
  std::uint32_t oldest_ = kNone, newest_ = kNone;
};

}  // namespace sekisho::dataplane
