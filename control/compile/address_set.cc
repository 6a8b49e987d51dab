// SPDX-License-Identifier: Apache-2.0
#include "control/compile/address_set.h"

#include <algorithm>
#include <optional>
#include <tuple>

namespace sekisho::control {
namespace {

/// The address after (`step` 1) or before (-1) this one; none past the end of its family.
std::optional<Address> neighbour(Address address, int step) {
  for (std::size_t i = address.bits() / 8; i-- > 0;) {
    address.bytes[i] = static_cast<std::uint8_t>(address.bytes[i] + step);
    const bool carries = address.bytes[i] == (step > 0 ? 0x00 : 0xff);
    if (!carries) return address;
  }
  return std::nullopt;
}

bool before(const AddressSpan& a, const AddressSpan& b) {
  return std::tie(a.low.family, a.low, a.high) < std::tie(b.low.family, b.low, b.high);
}

/// Whether `next`, not before `span`, overlaps or touches it.
bool joins(const AddressSpan& span, const AddressSpan& next) {
  if (span.low.family != next.low.family) return false;
  if (next.low <= span.high) return true;
  const auto after = neighbour(span.high, 1);
  return after && *after == next.low;
}

}  // namespace

AddressSet::AddressSet(std::vector<AddressSpan> spans) {
  std::sort(spans.begin(), spans.end(), before);
  for (const AddressSpan& span : spans) {
    if (!spans_.empty() && joins(spans_.back(), span)) {
      spans_.back().high = std::max(spans_.back().high, span.high);
    } else {
      spans_.push_back(span);
    }
  }
}

AddressSet AddressSet::everything() {
  const Prefix v4{Address{.bytes = {}, .family = Family::kIpv4}, 0};
  const Prefix v6{Address{.bytes = {}, .family = Family::kIpv6}, 0};
  return AddressSet({{v4.first(), v4.last()}, {v6.first(), v6.last()}});
}

bool AddressSet::has(Family family) const {
  return std::any_of(spans_.begin(), spans_.end(), [&](const AddressSpan& span) { return span.low.family == family; });
}

AddressSet AddressSet::minus(const AddressSet& other) const {
  AddressSet out;
  auto cut = other.spans_.begin();
  for (AddressSpan left : spans_) {
    // Spans that end before this one begins cannot touch it or any later one.
    while (cut != other.spans_.end() && std::tie(cut->high.family, cut->high) < std::tie(left.low.family, left.low)) ++cut;
    bool gone = false;
    for (auto c = cut; !gone && c != other.spans_.end() && c->low.family == left.low.family && c->low <= left.high; ++c) {
      if (c->low > left.low) out.spans_.push_back({left.low, *neighbour(c->low, -1)});
      const auto after = neighbour(c->high, 1);
      gone = c->high >= left.high || !after;
      if (!gone) left.low = *after;
    }
    if (!gone) out.spans_.push_back(left);
  }
  return out;
}

}  // namespace sekisho::control
