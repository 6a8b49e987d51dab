// SPDX-License-Identifier: Apache-2.0
#include "filters/nat/nat_rules.h"

#include <algorithm>

#include "base/assert.h"
#include "base/net/endian.h"
#include "filters/packet/protocol.h"

namespace sekisho::filters {
namespace {

using snapshot::AddressRange;
using snapshot::NatKind;
using snapshot::NatRule;

bool has_zone(std::uint64_t zones, std::uint8_t zone) { return (zones >> zone & 1U) != 0; }

/// An address as a number; IPv4 in the low 32 bits.
__extension__ using Number = unsigned __int128;
Number number_of(const Address& address) {
  if (address.family == Family::kIpv4) return address.v4();
  return Number{load_be<std::uint64_t>(address.bytes, 0)} << 64 | load_be<std::uint64_t>(address.bytes, 8);
}
Address address_of(Number number, Family family) {
  if (family == Family::kIpv4) return Address::from_v4(static_cast<std::uint32_t>(number));
  Address out;
  out.family = Family::kIpv6;
  store_be<std::uint64_t>(out.bytes, 0, static_cast<std::uint64_t>(number >> 64));
  store_be<std::uint64_t>(out.bytes, 8, static_cast<std::uint64_t>(number));
  return out;
}

bool takes_services(const SnapshotView& view, const NatRule& rule, const PolicyQuery& query) {
  if (rule.any_service == 1) return true;
  for (const auto& service : slice(view.services(), rule.services)) {
    if (service_takes(service, query)) return true;
  }
  return false;
}

bool takes_addresses(const SnapshotView& view, const NatRule& rule, const PolicyQuery& query) {
  const auto ranges = view.address_ranges();
  return (rule.any_source == 1 || ranges_contain(slice(ranges, rule.sources), query.source)) &&
         (rule.any_destination == 1 || ranges_contain(slice(ranges, rule.destinations), query.destination));
}

/// The whole match of a rule, as a filter rule's.
bool takes(const SnapshotView& view, const NatRule& rule, const PolicyQuery& query) {
  return has_zone(rule.source_zones, query.source_zone) && has_zone(rule.destination_zones, query.destination_zone) &&
         takes_addresses(view, rule, query) && takes_services(view, rule, query);
}

/// The same place in a range of the same size.
Address moved(const Address& address, const AddressRange& from, const AddressRange& to) {
  return address_of(number_of(to.low) + (number_of(address) - number_of(from.low)), address.family);
}

/// Both ways of 1:1 and nptv6.
std::optional<Address> mapped(const NatRule& rule, const Address& address, const AddressRange& from, const AddressRange& to) {
  if (rule.kind == NatKind::kNptv6) return nptv6(address, from.low, to.low, rule.prefix_length);
  return moved(address, from, to);
}

NatStep translated(std::uint32_t rule, const std::optional<Address>& address, std::uint16_t port) {
  NatStep out;
  out.rule = rule;
  out.outcome = address ? NatOutcome::kTranslated : NatOutcome::kImpossible;
  if (address) out.address = *address;
  out.port = port;
  return out;
}

NatStep untouched(std::uint32_t rule) {
  NatStep out;
  out.rule = rule;
  return out;
}

/// A pool without ports: the n-th inside address has the n-th of the pool, round and round.
Address from_pool(std::span<const AddressRange> pool, const Address& inside) {
  std::uint64_t size = 0;
  for (const AddressRange& range : pool) size += std::uint64_t{range.high.v4()} - range.low.v4() + 1;
  std::uint64_t place = inside.v4() % size;
  for (const AddressRange& range : pool) {
    const std::uint64_t here = std::uint64_t{range.high.v4()} - range.low.v4() + 1;
    if (place < here) return Address::from_v4(range.low.v4() + static_cast<std::uint32_t>(place));
    place -= here;
  }
  SEKISHO_ASSERT(false);  // place < size
  return {};
}

NatStep from_napt(const SnapshotView& view, std::uint32_t index, const PolicyQuery& query) {
  const NatRule& rule = view.nat_rules()[index];
  const auto ranges = view.address_ranges();
  const PortBlocks blocks(slice(ranges, rule.sources), slice(ranges, rule.translated), rule.block_ports);
  const auto block = blocks.of(query.source.v4());
  NatStep out = translated(index, block ? std::optional(Address::from_v4(block->outside)) : std::nullopt, 0);
  if (nat_has_ports(query.protocol)) out.block = block;
  return out;
}

}  // namespace

NatStep nat_destination(const SnapshotView& view, const PolicyQuery& query) {
  const auto ranges = view.address_ranges();
  const snapshot::Range rules = view.tenants()[query.tenant_index].nat;
  for (std::uint32_t index = rules.first; index < rules.first + rules.count; ++index) {
    const NatRule& rule = view.nat_rules()[index];
    if (rule.kind == NatKind::kNoNat && takes(view, rule, query)) return untouched(index);
    if (rule.kind == NatKind::kDnat && takes(view, rule, query)) {
      const Address& inside = slice(ranges, rule.translated).front().low;
      if (inside.family != query.destination.family) continue;
      const bool mapped_port = rule.translated_port != 0 && (query.protocol == kProtocolTcp || query.protocol == kProtocolUdp);
      return translated(index, inside, mapped_port ? rule.translated_port : query.destination_port);
    }
    if (rule.kind != NatKind::kStatic && rule.kind != NatKind::kNptv6) continue;
    // The way in: an outside address means its host wherever the packet comes from; the peer is the rule's destination.
    const AddressRange& outside = slice(ranges, rule.translated).front();
    const AddressRange& inside = slice(ranges, rule.sources).front();
    if (!ranges_contain({&outside, 1}, query.destination)) continue;
    if (rule.any_destination == 0 && !ranges_contain(slice(ranges, rule.destinations), query.source)) continue;
    return translated(index, mapped(rule, query.destination, outside, inside), query.destination_port);
  }
  return {};
}

NatStep nat_source(const SnapshotView& view, const PolicyQuery& query) {
  const auto ranges = view.address_ranges();
  const snapshot::Range rules = view.tenants()[query.tenant_index].nat;
  for (std::uint32_t index = rules.first; index < rules.first + rules.count; ++index) {
    const NatRule& rule = view.nat_rules()[index];
    if (rule.kind == NatKind::kDnat || !takes(view, rule, query)) continue;
    switch (rule.kind) {
      case NatKind::kNoNat: return untouched(index);
      case NatKind::kStatic:
      case NatKind::kNptv6:
        return translated(index, mapped(rule, query.source, slice(ranges, rule.sources).front(), slice(ranges, rule.translated).front()),
                          0);
      case NatKind::kSnat:
        if (query.source.family != Family::kIpv4) continue;
        return translated(index, from_pool(slice(ranges, rule.translated), query.source), 0);
      case NatKind::kNapt:
        if (query.source.family != Family::kIpv4) continue;
        return from_napt(view, index, query);
      case NatKind::kDnat: break;
    }
  }
  return {};
}

bool range_sizes_equal(const AddressRange& a, const AddressRange& b) {
  return a.low.family == b.low.family && number_of(a.high) - number_of(a.low) == number_of(b.high) - number_of(b.low);
}

std::optional<Address> nptv6(const Address& address, const Address& from, const Address& to, unsigned length) {
  SEKISHO_DCHECK(length <= 112);
  const auto word = [](const Address& of, unsigned at) { return std::uint32_t{load_be<std::uint16_t>(of.bytes, at * std::size_t{2})}; };
  // Section 3.4: bits 48 to 63 of a prefix of at most /48; 3.5: else the first word of the interface identifier that is
  // not 0xffff. Both ways choose the same one, because neither makes a 0xffff.
  unsigned at = 3;
  if (length > 48) {
    at = std::max(4U, (length + 15) / 16);
    while (at < 8 && word(address, at) == 0xffff) ++at;
  }
  if (at == 8 || word(address, at) == 0xffff) return std::nullopt;
  std::uint32_t sum = word(address, at);
  for (unsigned i = 0; i < 8; ++i) sum += word(from, i) + (0xffffU - word(to, i));
  while (sum > 0xffff) sum = (sum >> 16) + (sum & 0xffffU);
  if (sum == 0xffff) sum = 0;

  Address out = address;
  for (unsigned bit = 0; bit < length; bit += 8) {
    const unsigned bits = std::min(8U, length - bit);
    const auto mask = static_cast<std::uint8_t>(0xff00U >> bits);
    out.bytes[bit / 8] = static_cast<std::uint8_t>((to.bytes[bit / 8] & mask) | (address.bytes[bit / 8] & ~mask));
  }
  store_be<std::uint16_t>(out.bytes, at * std::size_t{2}, static_cast<std::uint16_t>(sum));
  return out;
}

}  // namespace sekisho::filters
