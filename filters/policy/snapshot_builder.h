// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "filters/policy/snapshot.h"

namespace sekisho::filters {

/// Collects the sections of a snapshot and lays them out as one block.
///
/// Fill the vectors in the order snapshot.h asks for (sorted, grouped), then call finish(). Nothing is checked here:
/// SnapshotView::parse is the only judge, and the writer is expected to pass its own output through it.
/// Deterministic: the same vectors give the same bytes. Owns its memory; one thread.
class SnapshotBuilder {
 public:
  std::vector<snapshot::Nic> nics;
  std::vector<snapshot::Tenant> tenants;
  std::vector<snapshot::Zone> zones;
  std::vector<snapshot::Port> ports;
  std::vector<Prefix> port_addresses;
  std::vector<snapshot::Binding> bindings;
  std::vector<snapshot::BindingPair> binding_pairs;
  std::vector<Address> link_locals;
  std::vector<snapshot::Route> routes;
  std::vector<snapshot::OwnedPrefix> owned_prefixes;
  std::vector<snapshot::Policy> policies;
  std::vector<snapshot::Rule> rules;
  std::vector<snapshot::AddressRange> address_ranges;
  std::vector<snapshot::Service> services;
  std::vector<snapshot::StateLimits> state_limits;
  std::vector<snapshot::RuleLimits> rule_limits;
  std::vector<snapshot::ServiceTimeouts> service_timeouts;
  std::vector<snapshot::NatRule> nat_rules;
  std::vector<snapshot::Moment> moments;
  std::vector<snapshot::Gateway> gateways;
  std::vector<snapshot::User> users;
  std::vector<snapshot::RadiusPeer> radius_peers;

  /// A reference to `text` in kStrings; equal texts share one copy.
  snapshot::StringRef string(std::string_view text);

  /// The whole block: header, sections 8-byte aligned, gaps zero, SHA-256 filled in.
  [[nodiscard]] std::vector<std::uint8_t> finish(std::uint32_t generation) const;

 private:
  std::string strings_;
  std::map<std::string, snapshot::StringRef, std::less<>> known_strings_;
};

/// Puts the right SHA-256 into a block that holds at least a Header: the last step of every writer.
void seal_snapshot(std::span<std::uint8_t> block);

/// SHA-256 of a block that holds at least a Header, with the digest field taken as zero.
[[nodiscard]] std::array<std::uint8_t, 32> snapshot_digest(std::span<const std::uint8_t> block);

}  // namespace sekisho::filters
