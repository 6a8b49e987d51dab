// SPDX-License-Identifier: Apache-2.0
#include "filters/link/binding_rules.h"

#include <algorithm>

#include "base/net/endian.h"
#include "filters/packet/decode.h"

namespace sekisho::filters {
namespace {

struct Words {
  std::uint64_t high;
  std::uint64_t low;
};

/// The sixteen bytes as numbers; IPv4 stands in the upper half of `high`.
Words words(const Address& address) {
  return {load_be<std::uint64_t>(address.bytes, 0), load_be<std::uint64_t>(address.bytes, 8)};
}

std::uint64_t leading_ones(unsigned count) { return count == 0 ? 0 : ~std::uint64_t{0} << (64 - std::min(count, 64U)); }

/// An address that never is one host's own, whatever prefix covers it.
bool is_nobodys(const Address& address) {
  if (address.is_multicast() || address.is_unspecified()) return true;
  return address.family == Family::kIpv4 && address.v4() == 0xffffffffU;
}

/// May the plain test stand for owns()? Not if the prefix covers an address that is nobody's, or link-locals.
bool is_plain(const Prefix& prefix) {
  const Address first = prefix.first(), last = prefix.last();
  if (is_nobodys(first) || is_nobodys(last)) return false;
  if (prefix.address.family == Family::kIpv4) return prefix.length >= 4;
  return prefix.length >= 10 && !first.is_link_local();
}

constexpr Address kLinkLocalBase{.bytes = {0xfe, 0x80}, .family = Family::kIpv6};

/// The interface identifier of an address under fe80::/64; 0 for anything else (and for the anycast fe80::).
std::uint64_t interface_identifier(const Address& address) {
  const Words w = words(address);
  return address.family == Family::kIpv6 && w.high == words(kLinkLocalBase).high ? w.low : 0;
}

bool contains(const std::vector<Address>& list, const Address& address) {
  return std::find(list.begin(), list.end(), address) != list.end();
}

}  // namespace

void SegmentLinkLocals::add(const Address& address, std::uint32_t binding) {
  if (const std::uint64_t identifier = interface_identifier(address); identifier != 0) owners_.push_back({identifier, binding});
}

void SegmentLinkLocals::finish() {
  std::sort(owners_.begin(), owners_.end(), [](const Owner& a, const Owner& b) { return a.identifier < b.identifier; });
}

bool SegmentLinkLocals::is_anothers(std::uint64_t identifier, std::uint32_t binding) const {
  auto at = std::lower_bound(owners_.begin(), owners_.end(), identifier,
                             [](const Owner& owner, std::uint64_t wanted) { return owner.identifier < wanted; });
  for (; at != owners_.end() && at->identifier == identifier; ++at) {
    if (at->binding != binding) return true;
  }
  return false;
}

// acquire and release throughout: who sees a tag in a row sees it claimed.
bool BindingPins::Row::has(std::uint64_t tag) const noexcept {
  return std::any_of(tags.begin(), tags.end(), [tag](const auto& pinned) { return pinned.load(std::memory_order_acquire) == tag; });
}

bool BindingPins::pin(Row& row, std::uint64_t tag, std::size_t limit) noexcept {
  if (row.has(tag)) return true;
  const std::span places = std::span(row.tags).first(std::min(limit, kPinsMax));
  const bool room = std::any_of(places.begin(), places.end(), [](const auto& place) { return place.load(std::memory_order_relaxed) == 0; });
  if (!room) return false;
  if (!claims_->claim(tag)) return row.has(tag);  // perhaps another worker was faster with the same packet's like
  for (auto& place : places) {
    std::uint64_t pinned = 0;
    if (place.compare_exchange_strong(pinned, tag, std::memory_order_acq_rel)) return true;
  }
  claims_->release(tag);
  return false;
}

bool BindingPins::pin(std::uint64_t mac, std::uint64_t segment, std::uint64_t identifier, std::size_t limit) noexcept {
  if (claims_ == nullptr) return false;
  for (Row& row : rows_) {
    std::uint64_t owner = row.mac.load(std::memory_order_relaxed);
    // relaxed: the exchange alone decides who wrote it, and nothing is read through it.
    if (owner == 0 && row.mac.compare_exchange_strong(owner, mac, std::memory_order_relaxed)) owner = mac;
    if (owner == mac) return pin(row, claims_->tag(segment, identifier), limit);
  }
  return false;
}

bool BindingPins::contains(std::uint64_t segment, std::uint64_t identifier) const noexcept {
  if (claims_ == nullptr) return false;
  const std::uint64_t tag = claims_->tag(segment, identifier);
  return std::any_of(rows_.begin(), rows_.end(), [tag](const Row& row) { return row.has(tag); });
}

void BindingPins::reset() noexcept {
  for (Row& row : rows_) {
    for (auto& place : row.tags) {
      if (const std::uint64_t tag = place.exchange(0, std::memory_order_acq_rel); tag != 0) claims_->release(tag);
    }
    row.mac.store(0, std::memory_order_relaxed);
  }
}

bool take_token(BindingMeters& meters, snapshot::MeterClass which, snapshot::Meter limit,
                std::uint64_t now_ms) noexcept {
  return take_token(meters.buckets[static_cast<std::size_t>(which)], meters.divisor, limit, now_ms);
}

bool take_token(BindingMeters::Bucket& bucket, std::uint32_t divisor, snapshot::Meter limit,
                std::uint64_t now_ms) noexcept {
  // Unit: 1/(1000 * divisor) of a packet, so that `rate` units come back every millisecond without rounding.
  const std::uint64_t cost = std::uint64_t{1000} * divisor;
  if (limit.rate == 0 && limit.burst == 0) return false;
  const std::uint64_t room = std::max(std::uint64_t{limit.burst} * 1000, cost);
  if (now_ms > bucket.at_ms) {
    const std::uint64_t elapsed = std::min<std::uint64_t>(now_ms - bucket.at_ms, std::uint64_t{1} << 31);
    bucket.spent -= std::min(bucket.spent, elapsed * limit.rate);
    bucket.at_ms = now_ms;
  }
  if (bucket.spent + cost > room) return false;
  bucket.spent += cost;
  return true;
}

BindingRules::BindingRules(const BindingSource& source)
    : link_locals_(source.link_locals.begin(), source.link_locals.end()),
      forbidden_link_locals_(source.forbidden_link_locals.begin(), source.forbidden_link_locals.end()),
      segment_(source.segment),
      number_(source.number),
      segment_id_(source.segment_id),
      meters_(source.binding.meters),
      ethertypes_(source.binding.ethertypes),
      vrids_(source.binding.vrids),
      lla_policy_(source.binding.lla_policy),
      lla_pins_(source.binding.lla_pins),
      roles_(source.binding.roles),
      tags_(static_cast<std::uint8_t>((source.port.outer_vlan != 0 ? 1 : 0) + (source.port.inner_vlan != 0 ? 1 : 0))),
      outer_is_svlan_(source.port.outer_is_svlan != 0),
      active_(source.binding.active != 0 && !source.pairs.empty()) {
  for (const snapshot::BindingPair& pair : source.pairs) {
    pairs_.push_back(bound(pair));
    if (!has_mac(pairs_.back().mac)) macs_.push_back(pairs_.back().mac);
  }
  if (has_role(snapshot::kRoleForwarding)) {
    for (const snapshot::BindingPair& pair : source.routed) routed_.push_back(bound(pair));
  }
  for (const Prefix& prefix : source.gateway_addresses) {
    if (prefix.address.family == Family::kIpv4 && prefix.length < 31) broadcasts_.push_back(prefix.last());
  }
  hot_.l3_offset = static_cast<std::uint16_t>(kEthernetHeaderBytes + kVlanTagBytes * tags_);
  hot_.watched = source.binding.quarantine != 0;
  if (active_) make_hot(source.pairs);
}

void BindingRules::make_hot(std::span<const snapshot::BindingPair> pairs) {
  const std::uint64_t tag = outer_is_svlan_ ? kEtherTypeSvlan : kEtherTypeVlan;
  for (const snapshot::BindingPair& pair : pairs) {
    const Bound b = bound(pair);
    const bool covers_broadcast =
        std::any_of(broadcasts_.begin(), broadcasts_.end(), [&](const Address& a) { return pair.prefix.contains(a); });
    if (!is_plain(pair.prefix) || covers_broadcast) continue;
    if (b.family == Family::kIpv4 && !hot_.ready4) {
      hot_.link4 = b.mac << 16 | (tags_ == 0 ? kEtherTypeIpv4 : tag);
      hot_.address4 = static_cast<std::uint32_t>(b.high >> 32);
      hot_.mask4 = static_cast<std::uint32_t>(b.mask_high >> 32);
      hot_.ready4 = true;
    } else if (b.family == Family::kIpv6 && !hot_.ready6) {
      hot_.link6 = b.mac << 16 | (tags_ == 0 ? kEtherTypeIpv6 : tag);
      hot_.high = b.high, hot_.low = b.low, hot_.mask_high = b.mask_high, hot_.mask_low = b.mask_low;
      hot_.ready6 = true;
    }
  }
}

BindingRules::Bound BindingRules::bound(const snapshot::BindingPair& pair) {
  const Words w = words(pair.prefix.address);
  const unsigned length = pair.prefix.length;
  Bound out{.mac = pair.mac.number(),
            .high = 0,
            .low = 0,
            .mask_high = leading_ones(length),
            .mask_low = length > 64 ? leading_ones(length - 64) : 0,
            .family = pair.prefix.address.family};
  out.high = w.high & out.mask_high;
  out.low = w.low & out.mask_low;
  return out;
}

bool BindingRules::has_mac(std::uint64_t mac) const {
  return std::find(macs_.begin(), macs_.end(), mac) != macs_.end();
}

bool BindingRules::has_ethertype(std::uint16_t type) const {
  return type != 0 && std::find(ethertypes_.begin(), ethertypes_.end(), type) != ethertypes_.end();
}

bool BindingRules::has_vrid(std::uint8_t vrid) const {
  return vrid != 0 && std::find(vrids_.begin(), vrids_.end(), vrid) != vrids_.end();
}

bool BindingRules::shares_vrid(const BindingRules& other) const {
  return std::any_of(vrids_.begin(), vrids_.end(), [&](std::uint8_t vrid) { return other.has_vrid(vrid); });
}

bool BindingRules::expects_tags(std::span<const std::uint8_t> frame, std::size_t l3_offset) const {
  if (l3_offset != hot_.l3_offset) return false;
  if (tags_ >= 1 && load_be<std::uint16_t>(frame, 12) != (outer_is_svlan_ ? kEtherTypeSvlan : kEtherTypeVlan)) {
    return false;
  }
  return tags_ < 2 || load_be<std::uint16_t>(frame, 16) == kEtherTypeVlan;
}

bool BindingRules::owns(const Address& address, std::uint64_t mac) const {
  if (is_nobodys(address) || is_broadcast(address)) return false;
  const Words w = words(address);
  return std::any_of(pairs_.begin(), pairs_.end(),
                     [&](const Bound& b) { return b.mac == mac && b.contains(address.family, w.high, w.low); });
}

bool BindingRules::owns(const Address& address) const {
  if (is_nobodys(address) || is_broadcast(address)) return false;
  const Words w = words(address);
  return std::any_of(pairs_.begin(), pairs_.end(),
                     [&](const Bound& b) { return b.contains(address.family, w.high, w.low); });
}

bool BindingRules::routes(const Address& address) const {
  if (is_nobodys(address) || is_broadcast(address)) return false;
  const Words w = words(address);
  return std::any_of(routed_.begin(), routed_.end(),
                     [&](const Bound& b) { return b.contains(address.family, w.high, w.low); });
}

bool BindingRules::is_broadcast(const Address& address) const {
  if (address.family != Family::kIpv4) return false;
  return address.v4() == 0xffffffffU || contains(broadcasts_, address);
}

bool BindingRules::is_derived(const Address& address) const {
  return std::any_of(macs_.begin(), macs_.end(), [&](std::uint64_t mac) { return address == eui64_link_local(Mac::from_number(mac)); });
}

bool BindingRules::allows_link_local(const Address& address, std::uint64_t mac, BindingPins& pins) const {
  const std::uint64_t identifier = interface_identifier(address);
  if (identifier == 0 || contains(forbidden_link_locals_, address)) return false;
  if (lla_policy_ == snapshot::LlaPolicy::kList) return contains(link_locals_, address);
  if (address == eui64_link_local(Mac::from_number(mac))) return true;
  if (lla_policy_ == snapshot::LlaPolicy::kEui64 || lla_pins_ < 2) return false;
  if (segment_ != nullptr && segment_->is_anothers(identifier, number_)) return false;
  if (is_derived(address)) return false;  // from another of its MACs
  return pins.pin(mac, segment_id_, identifier, lla_pins_ - std::size_t{1});
}

bool BindingRules::knows_link_local(const Address& address, const BindingPins& pins) const {
  const std::uint64_t identifier = interface_identifier(address);
  if (identifier == 0 || contains(forbidden_link_locals_, address)) return false;
  if (lla_policy_ == snapshot::LlaPolicy::kList) return contains(link_locals_, address);
  return is_derived(address) || (lla_policy_ == snapshot::LlaPolicy::kPin && pins.contains(segment_id_, identifier));
}

}  // namespace sekisho::filters
