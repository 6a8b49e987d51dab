// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/net/address.h"
#include "filters/policy/snapshot_builder.h"

namespace sekisho::tests {

/// The id of a test's first NAT rule; the others follow.
inline constexpr std::uint32_t kNatRuleIds = 900'000;

/// What a NAT rule of a test says; everything not said is any. Ranges are "low-high", a prefix, or one address.
struct NatText {
  filters::snapshot::NatKind kind;
  std::vector<std::string> sources = {}, destinations = {}, translated = {};
  std::uint64_t source_zones = ~std::uint64_t{0}, destination_zones = ~std::uint64_t{0};
  int protocol = -1;
  std::uint16_t port_low = 0, port_high = 65535;
  std::uint16_t block_ports = 0, translated_port = 0;
  std::uint8_t prefix_length = 0;
  std::uint8_t log = 0;
};

inline filters::snapshot::Range nat_ranges(filters::SnapshotBuilder& builder, const std::vector<std::string>& texts) {
  const auto first = static_cast<std::uint32_t>(builder.address_ranges.size());
  for (const std::string& text : texts) {
    const std::size_t dash = text.find('-');
    if (dash != std::string::npos) {
      builder.address_ranges.push_back({parse_address(text.substr(0, dash)).value(), parse_address(text.substr(dash + 1)).value(), {}});
    } else {
      const Prefix prefix = parse_prefix(text).value();
      builder.address_ranges.push_back({prefix.first(), prefix.last(), {}});
    }
  }
  return {first, static_cast<std::uint32_t>(texts.size())};
}

/// Gives tenant `index`, the last that has rules so far or a later one, a NAT rule behind those it has.
inline void add_nat(filters::SnapshotBuilder& builder, std::uint32_t index, const NatText& text) {
  filters::snapshot::NatRule rule{};
  rule.name = builder.string("nat " + std::to_string(builder.nat_rules.size()));
  rule.kind = text.kind;
  rule.source_zones = text.source_zones;
  rule.destination_zones = text.destination_zones;
  rule.sources = nat_ranges(builder, text.sources);
  rule.destinations = nat_ranges(builder, text.destinations);
  rule.translated = nat_ranges(builder, text.translated);
  rule.any_source = text.sources.empty();
  rule.any_destination = text.destinations.empty();
  rule.any_service = text.protocol < 0;
  rule.services = {static_cast<std::uint32_t>(builder.services.size()), text.protocol < 0 ? 0U : 1U};
  if (text.protocol >= 0) {
    filters::snapshot::Service service{};
    service.name = builder.string("service");
    service.source_high = 65535;
    service.destination_low = text.port_low;
    service.destination_high = text.port_high;
    service.protocol = static_cast<std::uint8_t>(text.protocol);
    service.icmp_type_high = service.icmp_code_high = 255;
    builder.services.push_back(service);
  }
  rule.block_ports = text.block_ports;
  rule.translated_port = text.translated_port;
  rule.prefix_length = text.prefix_length;
  rule.log = text.log;
  rule.id = kNatRuleIds + static_cast<std::uint32_t>(builder.nat_rules.size());
  rule.uuid = {0x4e, 0x41, 0x54, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, static_cast<std::uint8_t>(builder.nat_rules.size())};
  rule.number = static_cast<std::uint16_t>(builder.tenants[index].nat.count + 1);
  filters::snapshot::Range& own = builder.tenants[index].nat;
  if (own.count == 0) own.first = static_cast<std::uint32_t>(builder.nat_rules.size());
  builder.nat_rules.push_back(rule);
  ++own.count;
}

}  // namespace sekisho::tests
