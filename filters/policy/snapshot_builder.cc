// SPDX-License-Identifier: Apache-2.0
#include "filters/policy/snapshot_builder.h"

#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>

#include "base/assert.h"
#include "base/crypto/sha256.h"

namespace sekisho::filters {
namespace {

using snapshot::Header;
using snapshot::Section;
using snapshot::SectionEntry;

/// Appends sections to a block that starts with room for the Header.
class Layout {
 public:
  Layout() : block_(sizeof(Header), 0) {}

  template <typename T>
  void append(Section section, std::span<const T> elements) {
    // Without padding inside T, equal models give equal bytes and nothing of our memory leaks out.
    static_assert(std::has_unique_object_representations_v<T>);
    auto& entry = header_.sections[static_cast<std::size_t>(section)];
    entry = SectionEntry{block_.size(), static_cast<std::uint32_t>(elements.size()), sizeof(T)};
    const std::size_t start = block_.size();
    block_.resize((start + elements.size_bytes() + 7) & ~std::size_t{7}, 0);
    if (!elements.empty()) std::memcpy(block_.data() + start, elements.data(), elements.size_bytes());
  }

  std::vector<std::uint8_t> finish(std::uint32_t generation) {
    header_.magic = snapshot::kMagic;
    header_.version = snapshot::kVersion;
    header_.generation = generation;
    header_.size = block_.size();
    std::memcpy(block_.data(), &header_, sizeof(header_));
    seal_snapshot(block_);
    return std::move(block_);
  }

 private:
  Header header_{};
  std::vector<std::uint8_t> block_;
};

}  // namespace

snapshot::StringRef SnapshotBuilder::string(std::string_view text) {
  if (const auto known = known_strings_.find(text); known != known_strings_.end()) return known->second;
  const snapshot::StringRef ref{static_cast<std::uint32_t>(strings_.size()), static_cast<std::uint32_t>(text.size())};
  strings_.append(text);
  known_strings_.emplace(text, ref);
  return ref;
}

std::vector<std::uint8_t> SnapshotBuilder::finish(std::uint32_t generation) const {
  Layout layout;
  layout.append(Section::kStrings, std::span<const char>(strings_));
  layout.append(Section::kNics, std::span(nics));
  layout.append(Section::kTenants, std::span(tenants));
  layout.append(Section::kZones, std::span(zones));
  layout.append(Section::kPorts, std::span(ports));
  layout.append(Section::kPortAddresses, std::span(port_addresses));
  layout.append(Section::kBindings, std::span(bindings));
  layout.append(Section::kBindingPairs, std::span(binding_pairs));
  layout.append(Section::kLinkLocals, std::span(link_locals));
  layout.append(Section::kRoutes, std::span(routes));
  layout.append(Section::kOwnedPrefixes, std::span(owned_prefixes));
  layout.append(Section::kPolicies, std::span(policies));
  layout.append(Section::kRules, std::span(rules));
  layout.append(Section::kAddressRanges, std::span(address_ranges));
  layout.append(Section::kServices, std::span(services));
  layout.append(Section::kStateLimits, std::span(state_limits));
  layout.append(Section::kRuleLimits, std::span(rule_limits));
  layout.append(Section::kNatRules, std::span(nat_rules));
  layout.append(Section::kMoments, std::span(moments));
  layout.append(Section::kServiceTimeouts, std::span(service_timeouts));
  layout.append(Section::kGateways, std::span(gateways));
  layout.append(Section::kUsers, std::span(users));
  layout.append(Section::kRadiusPeers, std::span(radius_peers));
  return layout.finish(generation);
}

std::array<std::uint8_t, 32> snapshot_digest(std::span<const std::uint8_t> block) {
  SEKISHO_ASSERT(block.size() >= sizeof(Header));
  constexpr std::size_t kDigestAt = offsetof(Header, sha256);
  constexpr std::array<std::uint8_t, 32> kHole{};
  Sha256 hash;
  hash.update(block.first(kDigestAt));
  hash.update(kHole);
  hash.update(block.subspan(kDigestAt + kHole.size()));
  return hash.finish();
}

void seal_snapshot(std::span<std::uint8_t> block) {
  const auto digest = snapshot_digest(block);
  std::memcpy(block.data() + offsetof(Header, sha256), digest.data(), digest.size());
}

}  // namespace sekisho::filters
