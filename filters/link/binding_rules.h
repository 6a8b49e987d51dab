// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/limits.h"
#include "base/net/address.h"
#include "filters/link/link_local_claims.h"
#include "filters/policy/snapshot.h"

namespace sekisho::filters {

/// The link-locals that hosts of one segment have without claiming them: those listed, and those derived from bound MACs.
/// Nobody else there may pin one. Filled with a generation, then immutable; any thread.
class SegmentLinkLocals {
 public:
  /// `binding`: any number that tells the segment's Bindings apart.
  void add(const Address& address, std::uint32_t binding);
  /// Ends the filling.
  void finish();
  /// `identifier`: lower 64 bits under fe80::/64.
  [[nodiscard]] bool is_anothers(std::uint64_t identifier, std::uint32_t binding) const;

 private:
  struct Owner {
    std::uint64_t identifier;
    std::uint32_t binding;
  };
  std::vector<Owner> owners_;
};

/// Everything a BindingRules is made of, as it stands in the snapshot. Borrowed for the constructor alone.
struct BindingSource {
  const snapshot::Port& port;
  const snapshot::Binding& binding;
  std::span<const snapshot::BindingPair> pairs;    ///< binding.pairs
  std::span<const snapshot::BindingPair> routed;   ///< binding.routed
  std::span<const Address> link_locals;            ///< binding.link_locals
  std::span<const Prefix> gateway_addresses;       ///< port.addresses: tell the subnet broadcasts
  std::span<const Address> forbidden_link_locals;  ///< the gateway's own
  const SegmentLinkLocals* segment = nullptr;      ///< those of its segment's Bindings; outlives the rules
  std::uint32_t number = 0;                        ///< this Binding's in `segment`
  std::uint32_t segment_id = 0;                    ///< tells segments of all tenants apart, over generations
};

/// The link-local interface identifiers (lower 64 bits under fe80::/64) a Binding has claimed, per MAC
/// (LlaPolicy::kPin).
///
/// Lives as long as the Binding is on its segment, over generations; what was pinned on another segment counts for nothing
/// until reset() frees its place. Thread: any number of workers at once; lock-free. A MAC beyond kMacsPerBindingMax, or an
/// identifier beyond the limit or held by another MAC of the segment, is refused.
class BindingPins {
 public:
  static constexpr std::size_t kPinsMax = 7;  // beside the EUI-64 one: specification 3.5 allows N = 1..8

  /// `claims`: what all Bindings of all segments have pinned; outlives this. Before the first pin.
  void join(LinkLocalClaims& claims) noexcept { claims_ = &claims; }

  /// True when `identifier` is pinned for `mac` on `segment`, or was just now because fewer than `limit` were and nobody
  /// else there has it.
  [[nodiscard]] bool pin(std::uint64_t mac, std::uint64_t segment, std::uint64_t identifier, std::size_t limit) noexcept;
  /// True when `identifier` is pinned for any MAC on `segment`. Pins nothing.
  [[nodiscard]] bool contains(std::uint64_t segment, std::uint64_t identifier) const noexcept;
  /// Forgets everything ("reset from the portal") and gives it back to the segment. Workers may pin again at once.
  void reset() noexcept;

 private:
  struct alignas(64) Row {
    std::atomic<std::uint64_t> mac{0};                        ///< 0 = free; a bound MAC is never zero
    std::array<std::atomic<std::uint64_t>, kPinsMax> tags{};  ///< LinkLocalClaims::tag(); 0 = free
    /// `tag` is among them.
    [[nodiscard]] bool has(std::uint64_t tag) const noexcept;
  };
  [[nodiscard]] bool pin(Row& row, std::uint64_t tag, std::size_t limit) noexcept;

  std::array<Row, limits::kMacsPerBindingMax> rows_;
  LinkLocalClaims* claims_ = nullptr;  ///< nullptr: nothing can be pinned
};

/// The token buckets of one Binding on one shard. Outlives generations; rates come from the rules of the day.
/// Thread: the shard's.
struct BindingMeters {
  struct Bucket {
    std::uint64_t spent = 0;  ///< packets / (1000 * divisor) taken and not yet given back
    std::uint64_t at_ms = 0;
  };
  std::array<Bucket, static_cast<std::size_t>(snapshot::MeterClass::kCount)> buckets{};
  std::uint32_t divisor = 1;  ///< shards that may see the Port: each grants its part of the rate
};

/// Takes one packet's token at `now_ms` (any origin, not decreasing). False: over the limit, nothing is taken.
/// A burst below one packet per shard counts as one; rate and burst 0 let nothing pass.
[[nodiscard]] bool take_token(BindingMeters& meters, snapshot::MeterClass which, snapshot::Meter limit,
                              std::uint64_t now_ms) noexcept;
/// The same for one bucket of anything that `divisor` shards share.
[[nodiscard]] bool take_token(BindingMeters::Bucket& bucket, std::uint32_t divisor, snapshot::Meter limit,
                              std::uint64_t now_ms) noexcept;

/// Broadcasts that all hosts of one Port may send together, a second and at once (specification 3.5).
inline constexpr snapshot::Meter kPortBroadcasts{5000, 5000};

/// One Binding in the form the guard tests packets against. Immutable; built once per generation, read by all workers.
/// A default-constructed one is "no Binding": it passes nothing.
class BindingRules {
 public:
  /// What the plain case needs, in one cache line: the first pair of each family.
  struct alignas(64) Hot {
    std::uint64_t link4 = ~std::uint64_t{0};  ///< source MAC << 16 | the two bytes after it; all ones = never
    std::uint64_t link6 = ~std::uint64_t{0};
    std::uint64_t high = 0, low = 0;  ///< host order, masked
    std::uint64_t mask_high = 0, mask_low = 0;
    std::uint32_t address4 = 0;
    std::uint32_t mask4 = 0;
    std::uint16_t l3_offset = 0;
    bool ready4 = false;  ///< for to_port(): address4 is a bound destination
    bool ready6 = false;
    bool watched = false;  ///< violations lead to quarantine
  };

  BindingRules() = default;
  explicit BindingRules(const BindingSource& source);

  [[nodiscard]] const Hot& hot() const { return hot_; }
  [[nodiscard]] bool active() const { return active_; }
  [[nodiscard]] bool has_role(snapshot::BindingRole role) const { return (roles_ & role) != 0; }
  [[nodiscard]] snapshot::Meter meter(snapshot::MeterClass which) const {
    return meters_[static_cast<std::size_t>(which)];
  }
  [[nodiscard]] bool has_mac(std::uint64_t mac) const;
  [[nodiscard]] bool has_ethertype(std::uint16_t type) const;
  [[nodiscard]] bool has_vrid(std::uint8_t vrid) const;
  /// In any VRRP group.
  [[nodiscard]] bool has_vrids() const { return vrids_[0] != 0; }
  /// Both are in one VRRP group: what they both bind may move between them.
  [[nodiscard]] bool shares_vrid(const BindingRules& other) const;
  /// Where its link-locals are pinned: BindingSource::segment_id.
  [[nodiscard]] std::uint32_t segment_id() const { return segment_id_; }
  /// The frame's tags are of the kinds the Port expects: their number and TPIDs (their ids found the Port).
  [[nodiscard]] bool expects_tags(std::span<const std::uint8_t> frame, std::size_t l3_offset) const;
  /// `address` is bound to `mac`. Never true of a multicast, unspecified or broadcast address.
  [[nodiscard]] bool owns(const Address& address, std::uint64_t mac) const;
  /// `address` is bound to any MAC.
  [[nodiscard]] bool owns(const Address& address) const;
  /// `address` lies behind a Binding of the forwarding role.
  [[nodiscard]] bool routes(const Address& address) const;
  [[nodiscard]] bool is_broadcast(const Address& address) const;  ///< 255.255.255.255 or of a subnet of the Port
  /// fe80::/64 address `address` may speak from `mac` by the policy. Pins it when the policy says so.
  [[nodiscard]] bool allows_link_local(const Address& address, std::uint64_t mac, BindingPins& pins) const;
  /// `address` is a link-local of this Binding: may be sent to. Pins nothing.
  [[nodiscard]] bool knows_link_local(const Address& address, const BindingPins& pins) const;

 private:
  struct Bound {
    std::uint64_t mac;
    std::uint64_t high, low, mask_high, mask_low;  ///< IPv4 in the upper half of `high`
    Family family;
    [[nodiscard]] bool contains(Family of, std::uint64_t h, std::uint64_t l) const {
      return family == of && (((h & mask_high) ^ high) | ((l & mask_low) ^ low)) == 0;
    }
  };
  static Bound bound(const snapshot::BindingPair& pair);
  /// The EUI-64 link-local of one of its MACs.
  [[nodiscard]] bool is_derived(const Address& address) const;
  void make_hot(std::span<const snapshot::BindingPair> pairs);

  Hot hot_;
  std::vector<Bound> pairs_;
  std::vector<Bound> routed_;
  std::vector<std::uint64_t> macs_;
  std::vector<Address> link_locals_;
  std::vector<Address> forbidden_link_locals_;
  std::vector<Address> broadcasts_;
  const SegmentLinkLocals* segment_ = nullptr;
  std::uint32_t number_ = 0;
  std::uint32_t segment_id_ = 0;
  std::array<snapshot::Meter, static_cast<std::size_t>(snapshot::MeterClass::kCount)> meters_{};
  std::array<std::uint16_t, 8> ethertypes_{};
  std::array<std::uint8_t, 8> vrids_{};
  snapshot::LlaPolicy lla_policy_ = snapshot::LlaPolicy::kEui64;
  std::uint8_t lla_pins_ = 1;
  std::uint8_t roles_ = 0;
  std::uint8_t tags_ = 0;
  bool outer_is_svlan_ = false;
  bool active_ = false;
};

}  // namespace sekisho::filters
