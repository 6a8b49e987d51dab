// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "filters/nat/port_block.h"
#include "filters/policy/linear_matcher.h"
#include "filters/policy/snapshot_view.h"

/// What a tenant's NAT rules make of a flow's first packet. The order of things (docs/life-of-a-packet.md): destination,
/// route, policy, source. In each of the two steps the first rule that has a say decides. Thread: any; pure.
namespace sekisho::filters {

/// Why a rule that took a packet could not translate it.
enum class NatOutcome : std::uint8_t {
  kUntouched,   ///< no rule, or a no-nat rule: the end stays as it is
  kTranslated,
  kImpossible,  ///< a rule takes it, and there is no outside address for it
};

/// One step's answer.
struct NatStep {
  NatOutcome outcome = NatOutcome::kUntouched;
  std::uint32_t rule = snapshot::kNone;  ///< index in kNatRules: who decided
  Address address;                       ///< translated: the end's new address
  std::uint16_t port = 0;                ///< destination step: the new port
  std::optional<PortBlock> block;        ///< source step of a napt rule, protocols with ports: take one of these
};

/// The destination step: dnat, the way in of 1:1 and nptv6, no-nat. `query.destination_zone` is the zone the received
/// address belongs to. `query.destination_port` for an echo: its identifier.
[[nodiscard]] NatStep nat_destination(const SnapshotView& view, const PolicyQuery& query);

/// The source step: snat, napt, the way out of 1:1 and nptv6, no-nat. `query` holds the translated destination and its zone.
[[nodiscard]] NatStep nat_source(const SnapshotView& view, const PolicyQuery& query);

/// RFC 6296: `address` of prefix `from` in prefix `to` (first addresses, both `length` bits long, at most 112), its
/// ones'-complement sum unchanged. nullopt: the word that would have to change is 0xffff (section 3.4).
[[nodiscard]] std::optional<Address> nptv6(const Address& address, const Address& from, const Address& to, unsigned length);

/// Whether two ranges are of one family and hold equally many addresses: what 1:1 asks for.
[[nodiscard]] bool range_sizes_equal(const snapshot::AddressRange& a, const snapshot::AddressRange& b);

/// Of protocols with ports, or an identifier in their place.
[[nodiscard]] constexpr bool nat_has_ports(std::uint8_t protocol) {
  return protocol == 6 || protocol == 17 || is_icmp(protocol);
}

}  // namespace sekisho::filters
