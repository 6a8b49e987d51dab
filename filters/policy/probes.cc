// SPDX-License-Identifier: Apache-2.0
#include "filters/policy/probes.h"

#include <algorithm>
#include <array>

namespace sekisho::filters {
namespace {

using snapshot::AddressRange;
using snapshot::Service;

/// The address `step` (1 or -1) beside this one, around the end of the family.
Address beside(Address address, int step) {
  for (std::size_t i = address.bits() / 8; i-- > 0;) {
    address.bytes[i] = static_cast<std::uint8_t>(address.bytes[i] + step);
    if (address.bytes[i] != (step > 0 ? 0x00 : 0xff)) break;
  }
  return address;
}

std::span<const AddressRange> of_family(std::span<const AddressRange> ranges, Family family) {
  const auto in = [family](const AddressRange& range) { return range.low.family == family; };
  const auto first = std::find_if(ranges.begin(), ranges.end(), in);
  return {first, std::find_if_not(first, ranges.end(), in)};  // IPv4 stands before IPv6
}

/// The first zone outside `zones` on the way from `from` in steps of `step` modulo `count`; `from` when there is none.
std::uint8_t zone_beside(std::uint64_t zones, std::uint8_t from, std::uint32_t count, std::uint32_t step) {
  std::uint32_t at = from;
  for (std::uint32_t i = 0; i < count; ++i) {
    at = (at + step) % count;
    if (((zones >> at) & 1U) == 0) return static_cast<std::uint8_t>(at);
  }
  return from;
}

template <typename Number>
Number word(std::uint32_t number) {
  return static_cast<Number>(number);
}

}  // namespace

std::uint64_t ProbeMaker::next() {  // splitmix64
  state_ += 0x9e3779b97f4a7c15ULL;
  std::uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

Address ProbeMaker::address(Family family) {
  Address out{.bytes = {}, .family = family};
  for (std::size_t i = 0; i < out.bits() / 8; ++i) out.bytes[i] = static_cast<std::uint8_t>(next());
  return out;
}

Address ProbeMaker::address_in(const AddressRange& range) {
  switch (below(3)) {
    case 0:
      return range.low;
    case 1:
      return range.high;
    default:
      break;
  }
  Address out = range.low;  // anywhere with the same beginning
  out.bytes[out.bits() / 8 - 1] = static_cast<std::uint8_t>(next());
  return range.low <= out && out <= range.high ? out : range.low;
}

std::uint8_t ProbeMaker::zone(std::uint64_t zones, std::uint32_t count) {
  const std::uint32_t start = static_cast<std::uint32_t>(below(std::max(1U, count)));
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t at = (start + i) % count;
    if (((zones >> at) & 1U) != 0) return static_cast<std::uint8_t>(at);
  }
  return static_cast<std::uint8_t>(start);
}

PolicyQuery ProbeMaker::anything(const SnapshotView& view, std::uint32_t tenant_index, Family family) {
  constexpr std::array<std::uint8_t, 4> kUsual{6, 17, 1, 58};
  const std::uint32_t zones = std::max(1U, view.tenants()[tenant_index].zones.count);
  PolicyQuery out{};
  out.tenant_index = tenant_index;
  out.source_zone = word<std::uint8_t>(static_cast<std::uint32_t>(below(zones)));
  out.destination_zone = word<std::uint8_t>(static_cast<std::uint32_t>(below(zones)));
  out.source = address(family);
  out.destination = address(family);
  out.protocol = below(4) != 0 ? kUsual[below(kUsual.size())] : static_cast<std::uint8_t>(next());
  out.source_port = static_cast<std::uint16_t>(next());
  out.destination_port = static_cast<std::uint16_t>(next());
  out.icmp_type = static_cast<std::uint8_t>(next());
  out.icmp_code = static_cast<std::uint8_t>(next());
  const snapshot::Range rules = view.tenants()[tenant_index].rules;
  if (out.icmp_type % 2 != 0) out.user_groups = view.rules()[rules.first + out.source_port % rules.count].user_groups;
  return out;
}

std::optional<ProbeMaker::Inside> ProbeMaker::choose(const SnapshotView& view, std::uint32_t tenant_index,
                                                     std::uint32_t rule_index, Family family) {
  const snapshot::Rule& rule = view.rules()[rule_index];
  const std::uint32_t zones = view.tenants()[tenant_index].zones.count;
  const auto sources = of_family(slice(view.address_ranges(), rule.sources), family);
  const auto destinations = of_family(slice(view.address_ranges(), rule.destinations), family);
  if ((rule.any_source == 0 && sources.empty()) || (rule.any_destination == 0 && destinations.empty()))
    return std::nullopt;

  Inside out{.packet = anything(view, tenant_index, family), .source = {}, .destination = {}, .service = {}};
  out.packet.source_zone = zone(rule.source_zones, zones);
  out.packet.destination_zone = zone(rule.destination_zones, zones);
  if (rule.user_groups != 0) out.packet.user_groups |= std::uint64_t{1} << zone(rule.user_groups, 64);
  if (!sources.empty()) {
    out.source = sources[below(sources.size())];
    out.packet.source = address_in(*out.source);
  }
  if (!destinations.empty()) {
    out.destination = destinations[below(destinations.size())];
    out.packet.destination = address_in(*out.destination);
  }
  if (rule.services.count != 0) {
    out.service = view.services()[rule.services.first + below(rule.services.count)];
    if (out.service->any_protocol == 0) out.packet.protocol = out.service->protocol;
    out.packet.source_port = out.service->source_low;
    out.packet.destination_port = out.service->destination_high;
    out.packet.icmp_type = out.service->icmp_type_low;
    out.packet.icmp_code = out.service->icmp_code_high;
  }
  return out;
}

std::optional<PolicyQuery> ProbeMaker::inside(const SnapshotView& view, std::uint32_t tenant_index, std::uint32_t rule,
                                              Family family) {
  const auto chosen = choose(view, tenant_index, rule, family);
  return chosen ? std::optional(chosen->packet) : std::nullopt;
}

void ProbeMaker::corners(const SnapshotView& view, std::uint32_t tenant_index, std::uint32_t rule_index, Family family,
                         std::vector<PolicyQuery>& out) {
  const auto chosen = choose(view, tenant_index, rule_index, family);
  if (!chosen) return;
  const auto& [base, source, destination, service] = *chosen;
  const auto vary = [&out, &packet = chosen->packet](auto field, auto... values) {
    for (const auto value : {values...}) {
      out.push_back(packet);
      out.back().*field = value;
    }
  };
  const snapshot::Rule& rule = view.rules()[rule_index];
  const std::uint32_t zones = view.tenants()[tenant_index].zones.count;

  out.push_back(base);
  for (const auto& [range, field] :
       {std::pair{source, &PolicyQuery::source}, std::pair{destination, &PolicyQuery::destination}}) {
    if (range) vary(field, range->low, beside(range->low, -1), range->high, beside(range->high, 1));
  }
  if (zones > 1) {
    vary(&PolicyQuery::source_zone, zone_beside(rule.source_zones, base.source_zone, zones, zones - 1),
         zone_beside(rule.source_zones, base.source_zone, zones, 1), zone(~rule.source_zones, zones));
    vary(&PolicyQuery::destination_zone, zone_beside(rule.destination_zones, base.destination_zone, zones, zones - 1),
         zone_beside(rule.destination_zones, base.destination_zone, zones, 1), zone(~rule.destination_zones, zones));
  }
  if (rule.user_groups != 0) {
    const std::uint64_t one = std::uint64_t{1} << zone(rule.user_groups, 64);
    vary(&PolicyQuery::user_groups, one, rule.user_groups, ~rule.user_groups, std::uint64_t{0});
  }
  if (!service || service->any_protocol != 0) return;
  vary(&PolicyQuery::protocol, word<std::uint8_t>(base.protocol - 1U), word<std::uint8_t>(base.protocol + 1U));
  if (is_icmp(base.protocol)) {
    vary(&PolicyQuery::icmp_type, word<std::uint8_t>(service->icmp_type_low - 1U), service->icmp_type_high,
         word<std::uint8_t>(service->icmp_type_high + 1U));
    vary(&PolicyQuery::icmp_code, service->icmp_code_low, word<std::uint8_t>(service->icmp_code_low - 1U),
         word<std::uint8_t>(service->icmp_code_high + 1U));
  } else {
    vary(&PolicyQuery::source_port, word<std::uint16_t>(service->source_low - 1U), service->source_high,
         word<std::uint16_t>(service->source_high + 1U));
    vary(&PolicyQuery::destination_port, service->destination_low, word<std::uint16_t>(service->destination_low - 1U),
         word<std::uint16_t>(service->destination_high + 1U));
  }
}

}  // namespace sekisho::filters
