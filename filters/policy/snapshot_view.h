// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"
#include "base/wire/reader.h"
#include "filters/policy/snapshot.h"

namespace sekisho::filters {

/// A snapshot whose every byte has been judged: the only way to read one.
///
/// parse() checks the layout (canonical: sections in order, 8-byte aligned, nothing between or behind them), the
/// SHA-256, and then every index, Range, string, enum, prefix, VLAN, id and order, so that readers index freely. What
/// holds:
/// - ids are 1..limit and strictly rising for tenants, ports and bindings, and unique for rules and users;
/// - what a tenant, port, policy or binding refers to is its own tenant's, and every grouped element has one owner;
/// - a kSegment port and its binding name each other; on one enforced by segment a MAC names one active binding;
/// a kRoute's port belongs to the route's tenant;
/// - prefixes owned by different shares of one uplink never overlap; wire ports differ in (nic, outer, inner);
/// - a gateway's address is its port's, and its two ports are its tenant's;
/// - every tenant's last rule is its final default deny: any to any, kDrop, policy kNone.
///
/// Borrows the bytes, which must be 8-byte aligned, outlive the view and not change. Any thread.
class SnapshotView {
 public:
  /// Errors: kTruncated (shorter than a header), kMalformed, kUnsupported (version), kLimit; where kSnapshot, detail
  /// the byte offset of the offending field or element. Cost: linear in the bytes but for sorting owners and rule
  /// ids.
  static Result<SnapshotView> parse(ByteSpan bytes);

  [[nodiscard]] ByteSpan bytes() const { return bytes_; }
  [[nodiscard]] const snapshot::Header& header() const;
  [[nodiscard]] std::uint32_t generation() const { return header().generation; }
  [[nodiscard]] const std::array<std::uint8_t, 32>& sha256() const { return header().sha256; }

  [[nodiscard]] std::span<const char> strings() const;
  [[nodiscard]] std::span<const snapshot::Nic> nics() const;
  [[nodiscard]] std::span<const snapshot::Tenant> tenants() const;
  [[nodiscard]] std::span<const snapshot::Zone> zones() const;
  [[nodiscard]] std::span<const snapshot::Port> ports() const;
  [[nodiscard]] std::span<const Prefix> port_addresses() const;
  [[nodiscard]] std::span<const snapshot::Binding> bindings() const;
  [[nodiscard]] std::span<const snapshot::BindingPair> binding_pairs() const;
  [[nodiscard]] std::span<const Address> link_locals() const;
  [[nodiscard]] std::span<const snapshot::Route> routes() const;
  [[nodiscard]] std::span<const snapshot::OwnedPrefix> owned_prefixes() const;
  [[nodiscard]] std::span<const snapshot::Policy> policies() const;
  [[nodiscard]] std::span<const snapshot::Rule> rules() const;
  [[nodiscard]] std::span<const snapshot::AddressRange> address_ranges() const;
  [[nodiscard]] std::span<const snapshot::Service> services() const;
  [[nodiscard]] std::span<const snapshot::StateLimits> state_limits() const;
  [[nodiscard]] std::span<const snapshot::RuleLimits> rule_limits() const;
  [[nodiscard]] std::span<const snapshot::ServiceTimeouts> service_timeouts() const;
  [[nodiscard]] std::span<const snapshot::NatRule> nat_rules() const;
  [[nodiscard]] std::span<const snapshot::Moment> moments() const;
  [[nodiscard]] std::span<const snapshot::Gateway> gateways() const;
  [[nodiscard]] std::span<const snapshot::User> users() const;
  [[nodiscard]] std::span<const snapshot::RadiusPeer> radius_peers() const;
  /// Unix seconds of the snapshot's moment; 0 when no rule depends on time.
  [[nodiscard]] std::int64_t moment() const;

  /// The text of a reference found in this snapshot.
  [[nodiscard]] std::string_view string(snapshot::StringRef ref) const;

 private:
  explicit SnapshotView(ByteSpan bytes) : bytes_(bytes) {}
  template <typename T>
  [[nodiscard]] std::span<const T> section(snapshot::Section section) const;

  ByteSpan bytes_;
};

/// The run of `section` that `range`, found in the same snapshot, names: slice(view.rules(), tenant.rules).
template <typename T>
[[nodiscard]] std::span<const T> slice(std::span<const T> section, snapshot::Range range) {
  return section.subspan(range.first, range.count);
}

}  // namespace sekisho::filters
