// SPDX-License-Identifier: Apache-2.0
// A snapshot is taken whole or refused with the place that is wrong. Corruptions are re-sealed, so that the
// structural check and not the digest must find them.
#include "filters/policy/snapshot_view.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "base/limits.h"
#include "base/net/service_address.h"
#include "tests/support/nat.h"
#include "tests/support/snapshots.h"

namespace sekisho::filters {
namespace {

using snapshot::Enforcement;
using snapshot::Header;
using snapshot::kNone;
using snapshot::PortKind;
using snapshot::Section;
using tests::add_nat;
using tests::address;
using tests::one_of_everything;
using tests::prefix;

using Bytes = std::vector<std::uint8_t>;

TEST(SnapshotView, TakesOneOfEverything) {
  const Bytes bytes = one_of_everything().finish(42);
  const auto view = SnapshotView::parse(bytes);

  ASSERT_TRUE(view.has_value()) << view.error().detail;
  EXPECT_EQ(view->generation(), 42U);
  EXPECT_EQ(view->tenants().size(), 2U);
  EXPECT_EQ(view->string(view->tenants()[0].service_code), "tst10000007");
  EXPECT_EQ(view->ports()[3].kind, PortKind::kShare);
  EXPECT_EQ(view->string(view->nics()[1].device), "net_ring1");
  EXPECT_EQ(slice(view->rules(), view->tenants()[1].rules).size(), 2U);
  EXPECT_EQ(view->bytes().size(), bytes.size());
}

TEST(SnapshotView, TakesAnEmptyConfiguration) {
  const Bytes bytes = SnapshotBuilder().finish(1);

  EXPECT_TRUE(SnapshotView::parse(bytes).has_value());
}

TEST(SnapshotView, RefusesEveryTruncation) {
  const Bytes whole = one_of_everything().finish(1);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_FALSE(SnapshotView::parse(cut).has_value()) << length;
  }
}

TEST(SnapshotView, RefusesEveryResealedTruncation) {
  const Bytes whole = one_of_everything().finish(1);
  for (std::size_t length = sizeof(Header); length < whole.size(); ++length) {
    Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    const std::uint64_t size = length;
    std::memcpy(cut.data() + offsetof(Header, size), &size, sizeof(size));
    seal_snapshot(cut);
    EXPECT_FALSE(SnapshotView::parse(cut).has_value()) << length;
  }
}

TEST(SnapshotView, RefusesBytesBehindTheEnd) {
  Bytes longer = one_of_everything().finish(1);
  longer.resize(longer.size() + 8);
  const std::uint64_t size = longer.size();
  std::memcpy(longer.data() + offsetof(Header, size), &size, sizeof(size));
  seal_snapshot(longer);

  EXPECT_FALSE(SnapshotView::parse(longer).has_value());
}

TEST(SnapshotView, RefusesEveryChangedByteByItsDigest) {
  const Bytes whole = one_of_everything().finish(1);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    Bytes changed = whole;
    changed[at] ^= 1U;
    EXPECT_FALSE(SnapshotView::parse(changed).has_value()) << at;
  }
}

TEST(SnapshotView, RefusesBytesHiddenBetweenSections) {
  auto builder = one_of_everything();
  Bytes bytes = builder.finish(1);
  Header header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  const auto& strings = header.sections[static_cast<std::size_t>(Section::kStrings)];
  ASSERT_NE(strings.count % 8, 0U) << "the specimen needs a gap behind its strings";
  bytes[strings.offset + strings.count] = 1;
  seal_snapshot(bytes);
  const auto view = SnapshotView::parse(bytes);

  ASSERT_FALSE(view.has_value());
  EXPECT_EQ(view.error().detail, strings.offset + strings.count);
}

TEST(SnapshotView, RefusesMisalignedBytes) {
  const Bytes whole = one_of_everything().finish(1);
  Bytes room(whole.size() + 8);
  std::memcpy(room.data() + 1, whole.data(), whole.size());

  EXPECT_FALSE(SnapshotView::parse(ByteSpan(room).subspan(1, whole.size())).has_value());
}

TEST(SnapshotView, RefusesEveryWrongHeaderField) {
  const Bytes whole = one_of_everything().finish(1);
  const auto expect_refused = [&](const char* name, std::size_t index, const std::function<void(Header&)>& change,
                                  ErrorCode code) {
    Bytes bytes = whole;
    Header header;
    std::memcpy(&header, bytes.data(), sizeof(header));
    change(header);
    std::memcpy(bytes.data(), &header, sizeof(header));
    seal_snapshot(bytes);
    const auto view = SnapshotView::parse(bytes);
    ASSERT_FALSE(view.has_value()) << name << " " << index;
    EXPECT_EQ(view.error().code, code) << name << " " << index;
    EXPECT_EQ(view.error().where, ErrorSite::kSnapshot);
  };
  constexpr auto kMalformed = ErrorCode::kMalformed;
  for (std::size_t i = 0; i < 8; ++i)
    expect_refused(
        "magic", i, [&](Header& h) { h.magic[i] ^= 1; }, kMalformed);
  expect_refused(
      "version", 0, [](Header& h) { ++h.version; }, ErrorCode::kUnsupported);
  expect_refused(
      "generation", 0, [](Header& h) { h.generation = 0; }, kMalformed);
  expect_refused(
      "generation", 1, [](Header& h) { h.generation = 1U << 24; }, kMalformed);
  expect_refused(
      "size", 0, [](Header& h) { ++h.size; }, kMalformed);
  expect_refused(
      "size", 1, [](Header& h) { --h.size; }, kMalformed);
  for (std::size_t i = 0; i < snapshot::kSectionCount; ++i) {
    expect_refused(
        "offset + 8", i, [&](Header& h) { h.sections[i].offset += 8; }, kMalformed);
    expect_refused(
        "offset - 8", i, [&](Header& h) { h.sections[i].offset -= 8; }, kMalformed);
    expect_refused(
        "offset + 1", i, [&](Header& h) { h.sections[i].offset += 1; }, kMalformed);
    expect_refused(
        "offset at 2^64", i, [&](Header& h) { h.sections[i].offset = ~std::uint64_t{7}; }, kMalformed);
    expect_refused(
        "element size + 1", i, [&](Header& h) { ++h.sections[i].element_size; }, kMalformed);
    expect_refused(
        "element size 0", i, [&](Header& h) { h.sections[i].element_size = 0; }, kMalformed);
    expect_refused(
        "count huge", i, [&](Header& h) { h.sections[i].count = 0xffffffffU; }, kMalformed);
  }
}

/// One wrong value in an otherwise right snapshot.
struct Wrong {
  const char* name;
  Section section;  ///< where the error must point
  std::function<void(SnapshotBuilder&)> change;
};

void expect_refused_in_place(const Wrong& wrong) {
  auto builder = one_of_everything();
  wrong.change(builder);
  const Bytes bytes = builder.finish(1);
  const auto view = SnapshotView::parse(bytes);
  ASSERT_FALSE(view.has_value()) << wrong.name;
  EXPECT_EQ(view.error().where, ErrorSite::kSnapshot) << wrong.name;
  Header header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  const auto& entry = header.sections[static_cast<std::size_t>(wrong.section)];
  const std::uint64_t end = entry.offset + std::uint64_t{entry.count} * entry.element_size;
  EXPECT_GE(view.error().detail, entry.offset) << wrong.name;
  EXPECT_LT(view.error().detail, end) << wrong.name;
}

void expect_all_refused(const std::vector<Wrong>& all) {
  for (const auto& wrong : all) expect_refused_in_place(wrong);
}

using B = SnapshotBuilder;

TEST(SnapshotView, RefusesWrongStrings) {
  constexpr auto kNics = Section::kNics;
  expect_all_refused({
      {"beyond the section", kNics,
       [](B& b) {
         b.nics[0].name = {100'000, 1};
       }},
      {"end beyond the section", kNics, [](B& b) { b.nics[0].name.count = 100'000; }},
      {"first + count wraps", kNics,
       [](B& b) {
         b.nics[0].name = {2, 0xffffffffU};
       }},
      {"too long", kNics, [](B& b) { b.nics[0].name = b.string(std::string(limits::kNameBytesMax + 1, 'a')); }},
      {"lone continuation", kNics, [](B& b) { b.nics[0].name = b.string("a\x80"); }},
      {"cut sequence", kNics, [](B& b) { b.nics[0].name = b.string("\xe6\x97"); }},
      {"overlong", kNics, [](B& b) { b.nics[0].name = b.string("\xc0\xaf"); }},
      {"surrogate", kNics, [](B& b) { b.nics[0].name = b.string("\xed\xa0\x80"); }},
      {"above U+10FFFF", kNics, [](B& b) { b.nics[0].name = b.string("\xf4\x90\x80\x80"); }},
      {"control character", kNics, [](B& b) { b.nics[0].name = b.string("a\nb"); }},
      {"empty nic name", kNics, [](B& b) { b.nics[0].name = {}; }},
      {"empty device", kNics, [](B& b) { b.nics[0].device = {}; }},
      {"tenant name", Section::kTenants, [](B& b) { b.tenants[0].name.first = 100'000; }},
      {"service code", Section::kTenants, [](B& b) { b.tenants[0].service_code = {}; }},
      {"zone name", Section::kZones, [](B& b) { b.zones[1].name.first = 100'000; }},
      {"port name", Section::kPorts, [](B& b) { b.ports[1].name.first = 100'000; }},
      {"binding name", Section::kBindings, [](B& b) { b.bindings[0].name.first = 100'000; }},
      {"policy name", Section::kPolicies, [](B& b) { b.policies[0].name.first = 100'000; }},
      {"rule name", Section::kRules, [](B& b) { b.rules[0].name.first = 100'000; }},
      {"service name", Section::kServices, [](B& b) { b.services[0].name.first = 100'000; }},
  });
}

TEST(SnapshotView, RefusesWrongNicsAndTenants) {
  constexpr auto kNics = Section::kNics;
  constexpr auto kTenants = Section::kTenants;
  expect_all_refused({
      {"same nic name", kNics, [](B& b) { b.nics[1].name = b.nics[0].name; }},
      {"same device", kNics, [](B& b) { b.nics[1].device = b.nics[0].device; }},
      {"nic mtu small", kNics, [](B& b) { b.nics[0].mtu = 67; }},
      {"nic mtu large", kNics, [](B& b) { b.nics[0].mtu = limits::kFrameBytesMax + 1; }},
      {"nic reserved", kNics, [](B& b) { b.nics[0].reserved = 1; }},
      {"tenant id 0", kTenants, [](B& b) { b.tenants[0].id = 0; }},
      {"tenant id beyond", kTenants, [](B& b) { b.tenants[1].id = limits::kTenantIdMax + 1; }},
      {"same tenant id", kTenants, [](B& b) { b.tenants[1].id = b.tenants[0].id; }},
      {"unsorted tenants", kTenants, [](B& b) { b.tenants[0].id = b.tenants[1].id + 1; }},
      {"same service code", kTenants, [](B& b) { b.tenants[1].service_code = b.tenants[0].service_code; }},
      {"more guaranteed than allowed", kTenants, [](B& b) { b.tenants[0].quotas.sessions_guaranteed = b.tenants[0].sessions_max + 1; }},
      {"zones beyond", kTenants, [](B& b) { b.tenants[1].zones.count = 3; }},
      {"zone owned twice", Section::kZones, [](B& b) { b.tenants[1].zones = b.tenants[0].zones; }},
      {"zone owned by nobody", Section::kZones, [](B& b) { b.zones.push_back(b.zones[0]); }},
      {"65 zones", kTenants,
       [](B& b) {
         b.zones.resize(67, b.zones[0]);
         b.tenants[1].zones.count = 65;
       }},
      {"routes beyond", kTenants, [](B& b) { b.tenants[0].routes.first = 100; }},
      {"routes owned twice", Section::kRoutes, [](B& b) { b.tenants[1].routes = b.tenants[0].routes; }},
      {"policies beyond", kTenants, [](B& b) { b.tenants[0].policies.count = 9; }},
      {"policy of another tenant", Section::kPolicies, [](B& b) { b.policies[0].tenant = 1; }},
      {"policy reserved", Section::kPolicies, [](B& b) { b.policies[0].reserved = 1; }},
      {"no rules", kTenants, [](B& b) { b.tenants[0].rules.count = 0; }},
      {"rules beyond", kTenants, [](B& b) { b.tenants[1].rules.count = 3; }},
      {"rules owned twice", Section::kRules, [](B& b) { b.tenants[1].rules = b.tenants[0].rules; }},
  });
}

TEST(SnapshotView, RefusesWrongPorts) {
  constexpr auto kPorts = Section::kPorts;
  expect_all_refused({
      {"id 0", kPorts, [](B& b) { b.ports[0].id = 0; }},
      {"id beyond", kPorts, [](B& b) { b.ports[4].id = limits::kPortIdMax + 1; }},
      {"same id", kPorts, [](B& b) { b.ports[1].id = b.ports[0].id; }},
      {"unsorted", kPorts, [](B& b) { b.ports[1].id = 9; }},
      {"kind", kPorts, [](B& b) { b.ports[2].kind = static_cast<PortKind>(5); }},
      {"tenant beyond", kPorts, [](B& b) { b.ports[1].tenant = 2; }},
      {"tenant none", kPorts, [](B& b) { b.ports[1].tenant = kNone; }},
      {"uplink with a tenant", kPorts, [](B& b) { b.ports[0].tenant = 0; }},
      {"uplink with a zone", kPorts, [](B& b) { b.ports[0].zone = 1; }},
      {"zone beyond the tenant's", kPorts, [](B& b) { b.ports[1].zone = 2; }},
      {"nic beyond", kPorts, [](B& b) { b.ports[1].nic = 2; }},
      {"nic none", kPorts, [](B& b) { b.ports[1].nic = kNone; }},
      {"segment with an uplink", kPorts, [](B& b) { b.ports[1].uplink = 0; }},
      {"share without an uplink", kPorts, [](B& b) { b.ports[3].uplink = kNone; }},
      {"share of a segment", kPorts, [](B& b) { b.ports[3].uplink = 1; }},
      {"share on another nic", kPorts, [](B& b) { b.ports[3].nic = 0; }},
      {"share with its own vlan", kPorts, [](B& b) { b.ports[3].outer_vlan = 5; }},
      {"share with addresses", kPorts, [](B& b) { std::swap(b.ports[3].addresses, b.ports[2].addresses); }},
      {"share with a binding", kPorts, [](B& b) { b.ports[3].binding = 0; }},
      {"binding beyond", kPorts, [](B& b) { b.ports[1].binding = 1; }},
      {"routed port with a binding", kPorts, [](B& b) { b.ports[2].binding = 0; }},
      {"binding of another port", kPorts,
       [](B& b) {
         b.ports[2].kind = PortKind::kSegment;
         b.ports[2].binding = 0;
       }},
      {"mtu small", kPorts, [](B& b) { b.ports[1].mtu = 0; }},
      {"mtu large", kPorts, [](B& b) { b.ports[1].mtu = limits::kFrameBytesMax + 1; }},
      {"addresses beyond", kPorts, [](B& b) { b.ports[1].addresses.count = 100; }},
      {"address owned twice", Section::kPortAddresses, [](B& b) { b.ports[2].addresses = b.ports[1].addresses; }},
      {"outer vlan 4095", kPorts, [](B& b) { b.ports[1].outer_vlan = 4095; }},
      {"inner vlan 4095", kPorts, [](B& b) { b.ports[2].inner_vlan = 4095; }},
      {"inner without outer", kPorts,
       [](B& b) {
         b.ports[2].outer_vlan = 0;
         b.ports[2].outer_is_svlan = 0;
       }},
      {"svlan flag 2", kPorts, [](B& b) { b.ports[2].outer_is_svlan = 2; }},
      {"svlan without a tag", kPorts, [](B& b) { b.ports[0].outer_is_svlan = 1; }},
      {"enforcement unknown", kPorts, [](B& b) { b.ports[1].enforcement = static_cast<Enforcement>(2); }},
      {"uplink enforced by segment", kPorts, [](B& b) { b.ports[0].enforcement = Enforcement::kSegment; }},
      {"one binding named where MACs find it", kPorts, [](B& b) { b.ports[1].enforcement = Enforcement::kSegment; }},
      {"source checks of an uplink", kPorts, [](B& b) { b.ports[0].source_checks = 1; }},
      {"source checks of a segment", kPorts, [](B& b) { b.ports[1].source_checks = 4; }},
      {"strict and off at once", kPorts, [](B& b) { b.ports[2].source_checks = 3; }},
      {"reserved", kPorts, [](B& b) { b.ports[0].reserved[2] = 1; }},
      {"source checks nobody knows", kPorts, [](B& b) { b.ports[3].source_checks = 8; }},
      {"two ports on one wire", kPorts,
       [](B& b) {
         b.ports[2].inner_vlan = 0;
         b.ports[2].outer_is_svlan = 0;
       }},
      {"address prefix length", Section::kPortAddresses, [](B& b) { b.port_addresses[0].length = 33; }},
      {"address family", Section::kPortAddresses,
       [](B& b) { b.port_addresses[0].address.family = static_cast<Family>(5); }},
      {"bytes behind an IPv4 address", Section::kPortAddresses, [](B& b) { b.port_addresses[0].address.bytes[4] = 1; }},
  });
}

/// The bound segment port enforced by segment, with a second host behind it.
void share_segment(filters::SnapshotBuilder& b) {
  b.ports[1].enforcement = Enforcement::kSegment;
  b.ports[1].binding = kNone;
  snapshot::Binding second = b.bindings[0];
  second.id = 2;
  second.routed = {3, 0};
  second.pairs = {3, 1};
  second.link_locals = {1, 0};
  b.binding_pairs.push_back({parse_mac("52:54:00:00:01:22").value(), prefix("10.0.0.3/32")});
  b.bindings.push_back(second);
}

TEST(SnapshotView, TakesManyBindingsOfOneSegmentButOneOwnerOfAMac) {
  const auto parse = [](auto edit) {
    B b = one_of_everything();
    share_segment(b);
    edit(b);
    const auto bytes = b.finish(1);
    return SnapshotView::parse(bytes).has_value();
  };
  EXPECT_TRUE(parse([](B&) {}));
  EXPECT_FALSE(parse([](B& b) { b.binding_pairs[3].mac = b.binding_pairs[0].mac; }));
  EXPECT_TRUE(parse([](B& b) {
    b.binding_pairs[3].mac = b.binding_pairs[0].mac;
    b.bindings[1].active = 0;
  }));
  EXPECT_FALSE(parse([](B& b) { b.bindings[1].port = 2; }));
}

TEST(SnapshotView, RefusesWrongBindings) {
  constexpr auto kBindings = Section::kBindings;
  constexpr auto kPairs = Section::kBindingPairs;
  expect_all_refused({
      {"id 0", kBindings, [](B& b) { b.bindings[0].id = 0; }},
      {"id beyond", kBindings, [](B& b) { b.bindings[0].id = limits::kBindingIdMax + 1; }},
      {"port does not name it", kBindings, [](B& b) { b.ports[1].binding = kNone; }},
      {"pairs beyond", kBindings, [](B& b) { b.bindings[0].pairs.count = 4; }},
      {"routed beyond", kBindings, [](B& b) { b.bindings[0].routed.first = 9; }},
      {"pair owned twice", kPairs, [](B& b) { b.bindings[0].routed.first = 1; }},
      {"pair owned by nobody", kPairs, [](B& b) { b.bindings[0].routed.count = 0; }},
      {"65 pairs", kBindings,
       [](B& b) {
         b.binding_pairs.resize(67, b.binding_pairs[0]);
         b.bindings[0].pairs = {2, 65};
       }},
      {"9 MACs", kPairs,
       [](B& b) {
         b.binding_pairs.resize(2);
         for (std::uint8_t i = 0; i < 9; ++i) {
           b.binding_pairs.push_back(b.binding_pairs[0]);
           b.binding_pairs.back().mac.bytes[5] = i;
         }
         b.bindings[0].pairs.count = 11;
         b.bindings[0].routed.count = 0;
       }},
      {"link-locals beyond", kBindings, [](B& b) { b.bindings[0].link_locals.count = 2; }},
      {"link-local that is none", Section::kLinkLocals, [](B& b) { b.link_locals[0] = address("fd00::1"); }},
      {"IPv4 link-local", Section::kLinkLocals, [](B& b) { b.link_locals[0] = address("169.254.0.1"); }},
      {"multicast mac", kPairs, [](B& b) { b.binding_pairs[0].mac.bytes[0] |= 1U; }},
      {"zero mac", kPairs, [](B& b) { b.binding_pairs[0].mac = Mac{}; }},
      {"routed with a mac", kPairs, [](B& b) { b.binding_pairs[2].mac = b.binding_pairs[0].mac; }},
      {"pair prefix length", kPairs, [](B& b) { b.binding_pairs[0].prefix.length = 40; }},
      {"pair with host bits", kPairs, [](B& b) { b.binding_pairs[0].prefix.length = 24; }},
      {"routed with host bits", kPairs, [](B& b) { b.binding_pairs[2].prefix.length = 8; }},
      {"ethertype that is a length", kBindings, [](B& b) { b.bindings[0].ethertypes[1] = 0x05ff; }},
      {"lla policy", kBindings, [](B& b) { b.bindings[0].lla_policy = static_cast<snapshot::LlaPolicy>(3); }},
      {"no pins", kBindings, [](B& b) { b.bindings[0].lla_pins = 0; }},
      {"9 pins", kBindings, [](B& b) { b.bindings[0].lla_pins = 9; }},
      {"roles", kBindings, [](B& b) { b.bindings[0].roles = 16; }},
      {"active 2", kBindings, [](B& b) { b.bindings[0].active = 2; }},
      {"quarantine 2", kBindings, [](B& b) { b.bindings[0].quarantine = 2; }},
      {"reserved", kBindings, [](B& b) { b.bindings[0].reserved[2] = 1; }},
  });
}

TEST(SnapshotView, RefusesWrongRoutesAndOwnedPrefixes) {
  constexpr auto kRoutes = Section::kRoutes;
  constexpr auto kOwned = Section::kOwnedPrefixes;
  expect_all_refused({
      {"host bits", kRoutes, [](B& b) { b.routes[2].prefix.length = 4; }},
      {"length", kRoutes, [](B& b) { b.routes[0].prefix.length = 33; }},
      {"flag", kRoutes, [](B& b) { b.routes[0].has_next_hop = 2; }},
      {"reserved", kRoutes, [](B& b) { b.routes[0].reserved = 1; }},
      {"reserved behind", kRoutes, [](B& b) { b.routes[0].reserved2[2] = 1; }},
      {"port beyond", kRoutes, [](B& b) { b.routes[0].port = 5; }},
      {"port of another tenant", kRoutes, [](B& b) { b.routes[0].port = 4; }},
      {"the shared uplink itself", kRoutes, [](B& b) { b.routes[0].port = 0; }},
      {"next hop of the other family", kRoutes, [](B& b) { b.routes[0].next_hop = address("fd00::1"); }},
      {"no next hop", kRoutes, [](B& b) { b.routes[0].next_hop = Address{}; }},
      {"connected with a next hop", kRoutes, [](B& b) { b.routes[2].next_hop = address("10.0.0.1"); }},
      {"owned host bits", kOwned, [](B& b) { b.owned_prefixes[0].prefix.length = 27; }},
      {"owned length", kOwned, [](B& b) { b.owned_prefixes[2].prefix.length = 129; }},
      {"owned reserved", kOwned, [](B& b) { b.owned_prefixes[0].reserved[0] = 1; }},
      {"share that is none", kOwned, [](B& b) { b.owned_prefixes[0].share = 1; }},
      {"share beyond", kOwned, [](B& b) { b.owned_prefixes[0].share = 5; }},
      {"uplink that is not the share's", kOwned, [](B& b) { b.owned_prefixes[0].uplink = 1; }},
      {"owned by two tenants", kOwned, [](B& b) { b.owned_prefixes[1].prefix = b.owned_prefixes[0].prefix; }},
      {"inside another tenant's", kOwned, [](B& b) { b.owned_prefixes[1].prefix = prefix("203.0.113.17/32"); }},
      {"around another tenant's", kOwned, [](B& b) { b.owned_prefixes[1].prefix = prefix("203.0.113.0/24"); }},
  });
}

TEST(SnapshotView, TakesAPrefixBesideAnotherTenantsAndInsideItsOwn) {
  auto builder = one_of_everything();
  builder.owned_prefixes.push_back({prefix("203.0.113.48/28"), {}, 0, 3});
  builder.owned_prefixes.push_back({prefix("203.0.113.17/32"), {}, 0, 3});

  EXPECT_TRUE(SnapshotView::parse(builder.finish(1)).has_value());
}

TEST(SnapshotView, RefusesWrongStandingsAndMoments) {
  constexpr auto kRules = Section::kRules;
  expect_all_refused({
      {"kept 2", kRules, [](B& b) { b.rules[0].keep_on_change = 2; }},
      {"standing 4", kRules, [](B& b) { b.rules[0].timed = 1, b.rules[0].standing = static_cast<snapshot::Standing>(4); }},
      {"off without a time", kRules, [](B& b) { b.rules[0].standing = snapshot::Standing::kOff; }},
      {"timed default", kRules, [](B& b) { b.rules[1].timed = 1; }},
      {"guard that allows", kRules, [](B& b) { b.rules[0].guard = 1; }},
      {"reserved of a rule", kRules, [](B& b) { b.rules[0].reserved[2] = 1; }},
      {"ending without an end", kRules, [](B& b) { b.rules[0].ending = 1; }},
      {"two moments", Section::kMoments, [](B& b) { b.moments = {{1}, {2}}; }},
  });
  auto builder = one_of_everything();
  builder.moments = {{1}};
  builder.rules[0].timed = 1;
  builder.rules[0].standing = snapshot::Standing::kOff;
  const Bytes bytes = builder.finish(1);
  EXPECT_EQ(SnapshotView::parse(bytes)->moment(), 1);
}

TEST(SnapshotView, RefusesWrongRulesRangesAndServices) {
  constexpr auto kRules = Section::kRules;
  constexpr auto kRanges = Section::kAddressRanges;
  constexpr auto kServices = Section::kServices;
  expect_all_refused({
      {"id 0", kRules, [](B& b) { b.rules[0].id = 0; }},
      {"id beyond", kRules, [](B& b) { b.rules[0].id = limits::kRuleIdMax + 1; }},
      {"same id in two tenants", kRules, [](B& b) { b.rules[2].id = b.rules[0].id; }},
      {"policy of another tenant", kRules, [](B& b) { b.rules[0].policy = 1; }},
      {"no policy", kRules, [](B& b) { b.rules[0].policy = kNone; }},
      {"final default with a policy", kRules, [](B& b) { b.rules[1].policy = 0; }},
      {"final rule that is no default", kRules,
       [](B& b) {
         b.rules[1].is_default = 0;
         b.rules[1].number = 2;
       }},
      {"final default that allows", kRules, [](B& b) { b.rules[1].action = snapshot::Action::kAllow; }},
      {"final default that rejects", kRules, [](B& b) { b.rules[1].action = snapshot::Action::kReject; }},
      {"final default without a source zone", kRules, [](B& b) { b.rules[1].source_zones = 1; }},
      {"final default without a destination zone", kRules, [](B& b) { b.rules[1].destination_zones = 2; }},
      {"final default with sources", kRules,
       [](B& b) {
         b.rules[1].sources = {0, 1};
         b.rules[1].any_source = 0;
       }},
      {"final default with destinations", kRules,
       [](B& b) {
         b.rules[1].destinations = {0, 1};
         b.rules[1].any_destination = 0;
       }},
      {"final default with services", kRules,
       [](B& b) {
         b.rules[1].services = {0, 1};
         b.rules[1].any_service = 0;
       }},
      {"no source zone", kRules, [](B& b) { b.rules[0].source_zones = 0; }},
      {"no destination zone", kRules, [](B& b) { b.rules[0].destination_zones = 0; }},
      {"any source with sources", kRules, [](B& b) { b.rules[0].any_source = 1; }},
      {"sources empty but not any", kRules, [](B& b) { b.rules[0].sources = {}; }},
      {"any destination with destinations", kRules, [](B& b) { b.rules[0].any_destination = 1; }},
      {"any service with services", kRules, [](B& b) { b.rules[0].any_service = 1; }},
      {"flag 2", kRules, [](B& b) { b.rules[0].any_service = 2; }},
      {"sources beyond", kRules, [](B& b) { b.rules[0].sources.count = 1000; }},
      {"destinations beyond", kRules, [](B& b) { b.rules[0].destinations.first = 1000; }},
      {"services beyond", kRules, [](B& b) { b.rules[0].services.count = 1000; }},
      {"action 0", kRules, [](B& b) { b.rules[0].action = static_cast<snapshot::Action>(0); }},
      {"action 4", kRules, [](B& b) { b.rules[0].action = static_cast<snapshot::Action>(4); }},
      {"log bits", kRules, [](B& b) { b.rules[0].log = 16; }},
      {"default with a number", kRules, [](B& b) { b.rules[0].is_default = 1; }},
      {"number 0", kRules, [](B& b) { b.rules[0].number = 0; }},
      {"a policy's default that allows", kRules,
       [](B& b) {
         b.rules[0].is_default = 1;
         b.rules[0].number = 0;
       }},
      {"unsorted sources", kRules, [](B& b) { std::swap(b.address_ranges[0], b.address_ranges[1]); }},
      {"overlapping sources", kRules, [](B& b) { b.address_ranges[1].low = b.address_ranges[0].high; }},
      {"IPv6 before IPv4", kRules, [](B& b) { std::swap(b.address_ranges[1], b.address_ranges[2]); }},
      {"range backwards", kRanges, [](B& b) { std::swap(b.address_ranges[0].low, b.address_ranges[0].high); }},
      {"range of two families", kRanges, [](B& b) { b.address_ranges[0].high = address("fd00::1"); }},
      {"range without a family", kRanges, [](B& b) { b.address_ranges[0].low = Address{}; }},
      {"range reserved", kRanges, [](B& b) { b.address_ranges[0].reserved[1] = 1; }},
      {"source ports backwards", kServices,
       [](B& b) {
         b.services[0].source_low = 2;
         b.services[0].source_high = 1;
       }},
      {"destination ports backwards", kServices, [](B& b) { b.services[0].destination_low = 81; }},
      {"types backwards", kServices, [](B& b) { b.services[1].icmp_type_low = 9; }},
      {"codes backwards", kServices,
       [](B& b) {
         b.services[1].icmp_code_low = 2;
         b.services[1].icmp_code_high = 1;
       }},
      {"any protocol 2", kServices, [](B& b) { b.services[0].any_protocol = 2; }},
  });
}

TEST(SnapshotView, RefusesWrongLimits) {
  constexpr auto kState = Section::kStateLimits;
  constexpr auto kRule = Section::kRuleLimits;
  constexpr auto kTimeouts = Section::kServiceTimeouts;
  expect_all_refused({
      {"limits of no tenant", kState, [](B& b) { b.state_limits.push_back({9, 1, 0, {}, {}}); }},
      {"limits of a tenant twice", kState, [](B& b) { b.state_limits = {{1, 1, 0, {}, {}}, {1, 1, 0, {}, {}}}; }},
      {"limits out of order", kState, [](B& b) { b.state_limits = {{1, 1, 0, {}, {}}, {0, 1, 0, {}, {}}}; }},
      {"unknown protection", kState,
       [](B& b) { b.state_limits.push_back({0, 1, 0, static_cast<snapshot::SynProtection>(2), {}}); }},
      {"limits reserved", kState, [](B& b) { b.state_limits.push_back({0, 1, 0, {}, {0, 1, 0}}); }},
      {"limits of no rule", kRule, [](B& b) { b.rule_limits.push_back({100, 1, 0, 0, 0, 0}); }},
      {"limits of a rule twice", kRule, [](B& b) { b.rule_limits = {{1, 1, 0, 0, 0, 0}, {1, 1, 0, 0, 0, 0}}; }},
      {"timeouts of no service", kTimeouts, [](B& b) { b.service_timeouts.push_back({100, 1, 1}); }},
      {"timeouts of a service twice", kTimeouts, [](B& b) { b.service_timeouts = {{0, 1, 1}, {0, 1, 1}}; }},
      {"a timeout of more than a week", kTimeouts, [](B& b) { b.service_timeouts = {{0, snapshot::kTimeoutMax + 1, 1}}; }},
      {"a first timeout of more than a week", kTimeouts, [](B& b) { b.service_timeouts = {{0, 1, snapshot::kTimeoutMax + 1}}; }},
  });
  auto builder = one_of_everything();
  builder.state_limits = {{0, 1, 0, {}, {}}, {1, 1, 0, snapshot::SynProtection::kDrop, {}}};
  builder.rule_limits = {{0, 1, 0, 0, 0, 0}, {2, 1, 0, 0, 0, 0}};
  builder.service_timeouts = {{0, snapshot::kTimeoutMax, 0}, {1, 0, snapshot::kTimeoutMax}};
  EXPECT_TRUE(SnapshotView::parse(builder.finish(1)).has_value());
}

/// One NAT rule of each kind for the first tenant, in the order of NatKind.
B with_nat() {
  B b = one_of_everything();
  using snapshot::NatKind;
  add_nat(b, 0, {.kind = NatKind::kSnat, .sources = {"10.0.0.0/24"}, .translated = {"203.0.113.1-203.0.113.3"}});
  add_nat(b, 0, {.kind = NatKind::kDnat, .destinations = {"203.0.113.4"}, .translated = {"10.0.0.2"}, .protocol = 6, .translated_port = 443});
  add_nat(b, 0, {.kind = NatKind::kStatic, .sources = {"10.0.0.8/30"}, .translated = {"203.0.113.8/30"}});
  add_nat(b, 0, {.kind = NatKind::kNapt, .sources = {"10.0.1.0/26"}, .translated = {"203.0.113.5"}, .block_ports = 1008});
  add_nat(b, 0, {.kind = NatKind::kNptv6, .sources = {"fd00::/48"}, .translated = {"2001:db8::/48"}, .prefix_length = 48});
  add_nat(b, 0, {.kind = NatKind::kNoNat});
  return b;
}

TEST(SnapshotView, RefusesWrongNatRules) {
  const auto refused = [](auto edit) {
    B b = with_nat();
    edit(b);
    const auto bytes = b.finish(1);
    return !SnapshotView::parse(bytes).has_value();
  };
  using snapshot::NatKind;
  EXPECT_FALSE(refused([](B&) {}));
  EXPECT_TRUE(refused([](B& b) { b.tenants[0].nat.count = 7; }));
  EXPECT_TRUE(refused([](B& b) { b.tenants[0].nat.count = 5; }));
  EXPECT_TRUE(refused([](B& b) { b.nat_rules[0].kind = static_cast<NatKind>(6); }));
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_TRUE(refused([=](B& b) { b.nat_rules[i].source_zones = 0; }));
    EXPECT_TRUE(refused([=](B& b) { b.nat_rules[i].sources.first = 0xffffff00U; }));
    EXPECT_TRUE(refused([=](B& b) { b.nat_rules[i].translated = {0xffffff00U, 1}; }));
    EXPECT_TRUE(refused([=](B& b) { b.nat_rules[i].any_source ^= 1; }));
    EXPECT_TRUE(refused([=](B& b) { b.nat_rules[i].name = {0, 1U << 30}; }));
    EXPECT_TRUE(refused([=](B& b) { b.nat_rules[i].log = snapshot::kLogDropEach; }));
    EXPECT_TRUE(refused([=](B& b) { b.nat_rules[i].id = 0; }));
    EXPECT_TRUE(refused([=](B& b) { b.nat_rules[i].id = b.rules[0].id; }));
    EXPECT_TRUE(refused([=](B& b) { b.nat_rules[i].block_ports = i == 3 ? 1007 : 2; }));
    if (i != 1) {
      EXPECT_TRUE(refused([=](B& b) { b.nat_rules[i].translated_port = 1; }));
    }
    if (i != 4) {
      EXPECT_TRUE(refused([=](B& b) { b.nat_rules[i].prefix_length = 1; }));
    }
    if (i != 5) {
      EXPECT_TRUE(refused([=](B& b) { b.nat_rules[i].translated.count = 0; }));
    }
  }
  EXPECT_TRUE(refused([](B& b) { b.nat_rules[0].translated = b.nat_rules[4].translated; })) << "a pool of IPv6";
  EXPECT_TRUE(refused([](B& b) { b.nat_rules[1].translated = b.nat_rules[0].translated; })) << "several inside hosts";
  EXPECT_TRUE(refused([](B& b) { b.nat_rules[2].translated = b.nat_rules[0].translated; })) << "unequal sizes";
  EXPECT_TRUE(refused([](B& b) { b.nat_rules[2].translated = b.nat_rules[4].translated; })) << "two families";
  EXPECT_TRUE(refused([](B& b) { b.nat_rules[3].sources = b.nat_rules[0].sources; })) << "256 addresses, 64 blocks";
  EXPECT_TRUE(refused([](B& b) { b.nat_rules[4].prefix_length = 47; }));
  EXPECT_TRUE(refused([](B& b) { b.nat_rules[5].translated = b.nat_rules[0].translated; }));
}

/// A tunnel Port of the first tenant with gateways at its segment's address and on its share, and a user of each tenant.
B with_users(B b = one_of_everything()) {
  snapshot::Port tunnel{};
  tunnel.id = 6;
  tunnel.nic = tunnel.uplink = tunnel.binding = kNone;
  tunnel.mtu = 1400;
  tunnel.kind = PortKind::kTunnel;
  tunnel.zone = 1;
  tunnel.addresses = {static_cast<std::uint32_t>(b.port_addresses.size()), 0};
  b.ports.push_back(tunnel);
  b.gateways = {{address("10.0.0.1"), {}, 0, 1, 5, 2, 1}, {address("2001:db8:a::1"), {}, 0, 3, 5, 0, 0}, {address("203.0.113.17"), {}, 0, 3, 5, 1, 3}};
  b.users = {{8, 0, 5}, {3, 1, ~std::uint64_t{0}}};
  b.radius_peers = {{address("10.0.0.1"), address("10.0.0.2"), 1812, 1813, 0, 0, 0}, {address("10.0.0.1"), address("10.0.0.3"), 1812, 1813, 1, 0, 0}};
  return b;
}

TEST(SnapshotView, RefusesWrongTunnelPortsGatewaysAndUsers) {
  constexpr auto kPorts = Section::kPorts;
  constexpr auto kGateways = Section::kGateways;
  constexpr auto kUsers = Section::kUsers;
  constexpr auto kRadius = Section::kRadiusPeers;
  const auto bytes = with_users().finish(1);
  const auto view = SnapshotView::parse(bytes);
  ASSERT_TRUE(view.has_value()) << view.error().detail;
  EXPECT_EQ(view->gateways()[2].address, address("203.0.113.17"));
  EXPECT_EQ(view->users()[0].groups, 5U);
  const auto wrong = [](std::size_t at, auto field, auto value) {
    return [=](B& b) {
      b = with_users();
      b.gateways[at].*field = value;
    };
  };
  const auto wrong_port = [](auto field, auto value) {
    return [=](B& b) {
      b = with_users();
      b.ports[5].*field = value;
    };
  };
  const auto edited = [](auto edit) {
    return [=](B& b) {
      b = with_users();
      edit(b);
    };
  };
  using snapshot::Gateway;
  using snapshot::Port;
  expect_all_refused({
      {"a tunnel with a nic", kPorts, wrong_port(&Port::nic, 0U)},
      {"a tunnel of an uplink", kPorts, wrong_port(&Port::uplink, 0U)},
      {"a tunnel with a tag", kPorts, wrong_port(&Port::outer_vlan, std::uint16_t{5})},
      {"a tunnel with a binding", kPorts, wrong_port(&Port::binding, 0U)},
      {"a tunnel of nobody", kPorts, wrong_port(&Port::tenant, kNone)},
      {"a tunnel in another's zone", kPorts, wrong_port(&Port::zone, std::uint8_t{2})},
      {"a tunnel with source checks", kPorts, wrong_port(&Port::source_checks, std::uint8_t{1})},
      {"a router behind a tunnel", Section::kRoutes, edited([](B& b) { b.routes[0].port = 5; })},
      {"no address", kGateways, wrong(0, &Gateway::address, Address{})},
      {"an address nobody has", kGateways, wrong(0, &Gateway::address, address("10.0.0.2"))},
      {"another tenant's address on the uplink", kGateways, wrong(2, &Gateway::address, address("203.0.113.33"))},
      {"a tenant beyond", kGateways, wrong(0, &Gateway::tenant, 2U)},
      {"another tenant's gateway", kGateways, wrong(0, &Gateway::tenant, 1U)},
      {"a port beyond", kGateways, wrong(0, &Gateway::port, 6U)},
      {"another tenant's port", kGateways, wrong(0, &Gateway::port, 2U)},
      {"the platform's port", kGateways, wrong(0, &Gateway::port, 0U)},
      {"a tunnel port beyond", kGateways, wrong(0, &Gateway::tunnel_port, 6U)},
      {"a tunnel port with a wire", kGateways, wrong(0, &Gateway::tunnel_port, 1U)},
      {"a gateway's reserved bytes", kGateways, edited([](B& b) { b.gateways[0].reserved[2] = 1; })},
      {"a service twice", kGateways, edited([](B& b) { b.gateways[0].service = 1; })},
      {"a service of an unknown kind", kGateways, edited([](B& b) { b.gateways[0].serves = 4; })},
      {"a service without a kind", kGateways, edited([](B& b) { b.gateways[0].serves = 0; })},
      {"a service beyond", kGateways, edited([](B& b) { b.gateways[0].service = kServiceIdMax + 1; })},
      {"an address twice", kGateways, edited([](B& b) { b.gateways.insert(b.gateways.begin(), b.gateways.front()); })},
      {"gateways out of order", kGateways, edited([](B& b) { std::swap(b.gateways[0], b.gateways[1]); })},
      {"whom the configuration does not name, twice", kUsers, edited([](B& b) { b.users.insert(b.users.begin(), 2, {0, b.users[0].tenant, 1}); })},
      {"a server's reserved byte", kRadius, edited([](B& b) { b.radius_peers[0].reserved = 1; })},
      {"a server asked from an address nobody has", kRadius, edited([](B& b) { b.radius_peers[0].local = address("10.0.0.2"); })},
      {"a server asked from another tenant's address", kRadius, edited([](B& b) { b.radius_peers[0].tenant = 1; })},
      {"a server of no tenant", kRadius, edited([](B& b) { b.radius_peers[0].tenant = 2; })},
      {"a server of another family", kRadius, edited([](B& b) { b.radius_peers[0].remote = address("fd00::1"); })},
      {"a server nowhere", kRadius, edited([](B& b) { b.radius_peers[0].remote = Address{}; })},
      {"a server at port 0", kRadius, edited([](B& b) { b.radius_peers[0].port = 0; })},
      {"accounting at port 0", kRadius, edited([](B& b) { b.radius_peers[0].accounting_port = 0; })},
      {"a third kind of server", kRadius, edited([](B& b) { b.radius_peers[0].changes = 2; })},
      {"servers out of order", kRadius, edited([](B& b) { std::swap(b.radius_peers[0], b.radius_peers[1]); })},
      {"a server twice", kRadius, edited([](B& b) { b.radius_peers[1] = b.radius_peers[0]; })},
      {"a user beyond", kUsers, edited([](B& b) { b.users[1].id = limits::kUserIdMax + 1; })},
      {"a user of no tenant", kUsers, edited([](B& b) { b.users[1].tenant = 2; })},
      {"users out of order", kUsers, edited([](B& b) { std::swap(b.users[0], b.users[1]); })},
      {"two users of one id", kUsers, edited([](B& b) { b.users[1].id = 8; })},
      {"a default of users", Section::kRules, edited([](B& b) { b.rules[1].user_groups = 1; })},
  });
}

TEST(SnapshotView, NeverIndexesBeyondWhateverByteIsChanged) {
  const Bytes whole = with_users(with_nat()).finish(1);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const std::uint8_t value : {std::uint8_t{0}, std::uint8_t{0x7f}, std::uint8_t{0xff}}) {
      Bytes changed = whole;
      changed[at] = value;
      seal_snapshot(changed);
      static_cast<void>(SnapshotView::parse(changed));  // the sanitizers judge
    }
  }
}

TEST(SnapshotBuilder, GivesTheSameBytesForTheSameModel) {
  const Bytes first = one_of_everything().finish(3);

  EXPECT_EQ(first, one_of_everything().finish(3));
  EXPECT_NE(first, one_of_everything().finish(4));
}

TEST(SnapshotBuilder, KeepsEqualTextsOnce) {
  SnapshotBuilder builder;
  const auto first = builder.string("servers");
  const auto other = builder.string("office");
  const auto again = builder.string("servers");

  EXPECT_EQ(first.first, again.first);
  EXPECT_NE(first.first, other.first);
}

}  // namespace
}  // namespace sekisho::filters
