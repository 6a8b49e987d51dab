// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "filters/packet/decode.h"
#include "filters/packet/fields.h"
#include "tests/support/world.h"

/// What the tests of the whole path share: the fixture on its machines (one worker, two, one whose cards sum), and the hosts of the topology.
namespace sekisho::tests {

/// A world whose packets are all accounted for when the test ends.
class PathTest : public testing::TestWithParam<Machine> {
 protected:
  explicit PathTest(WorldOptions options = {}) : world_(GetParam().with(options)) {}
  ~PathTest() override { EXPECT_TRUE(world_.conserved()); }

  static FrameBuilder ip(FrameBuilder builder, std::string_view from, std::string_view to) {
    return from.find(':') == std::string_view::npos ? builder.ipv4(from, to) : builder.ipv6(from, to);
  }
  [[nodiscard]] FrameBuilder on_client(std::uint32_t tenant) const {
    FrameBuilder out = FrameBuilder().ethernet(kClientMac, world_.gateway(kClientNic));
    return tenant == kTenantA ? out : out.vlan(300, 0x88a8).vlan(7);
  }
  [[nodiscard]] FrameBuilder on_server(std::uint32_t tenant) const {
    FrameBuilder out = FrameBuilder().ethernet(kServerMac, world_.gateway(kServerNic));
    return tenant == kTenantA ? out : out.vlan(200);
  }
  [[nodiscard]] FrameBuilder client(std::string_view from, std::string_view to, std::uint32_t tenant = kTenantA) const {
    return ip(on_client(tenant), from, to);
  }
  [[nodiscard]] FrameBuilder server(std::string_view from, std::string_view to, std::uint32_t tenant = kTenantA) const {
    return ip(on_server(tenant), from, to);
  }
  [[nodiscard]] FrameBuilder outside(std::string_view from, std::string_view to) const {
    return ip(FrameBuilder().ethernet(kRouterMac, world_.gateway(kUplinkNic)), from, to);
  }
  /// The router's answer to our question about it.
  [[nodiscard]] Frame router_answer(std::string_view who, std::string_view asker, Mac is_at = kRouterMac) const {
    if (who.find(':') == std::string_view::npos) {
      return FrameBuilder().ethernet(kRouterMac, world_.gateway(kUplinkNic))
          .arp({.operation = 2, .sender_mac = is_at, .sender = address(who), .target_mac = world_.gateway(kUplinkNic), .target = address(asker)})
          .build();
    }
    return FrameBuilder().ethernet(kRouterMac, world_.gateway(kUplinkNic)).ipv6(who, asker, {.hop_limit = 255})
        .nd(136, {.target = address(who), .target_link_layer = is_at, .flags = 0x60000000U}).build();
  }
  static filters::PacketMeta read(const Frame& frame) {
    filters::PacketMeta meta{};
    EXPECT_EQ(filters::decode(frame, static_cast<std::uint32_t>(frame.size()), {false, false}, meta), filters::DropReason::kNone);
    return meta;
  }
  static std::size_t count(const std::vector<World::Record>& records, CommPhase phase) {
    return static_cast<std::size_t>(std::count_if(records.begin(), records.end(), [&](const World::Record& record) {
      return record.envelope.kind == LogKind::kComm && record.comm.phase == phase;
    }));
  }
  /// Frames that came out of any NIC.
  std::size_t collect_all() {
    std::size_t out = 0;
    for (std::uint16_t nic = 0; nic < kNics; ++nic) out += world_.collect(nic).size();
    return out;
  }
  [[nodiscard]] std::uint64_t drops(filters::DropReason reason) const { return world_.drops(reason); }

  World world_;
};

/// Takes the Binding of tenant A's client port away.
inline void unbind_client(filters::SnapshotBuilder& builder) {
  builder.ports[1].binding = filters::snapshot::kNone;
  builder.bindings.erase(builder.bindings.begin() + 1);
  builder.binding_pairs.erase(builder.binding_pairs.begin() + 4, builder.binding_pairs.begin() + 6);
  std::uint32_t first = 0;
  for (std::uint32_t index = 0; index < builder.bindings.size(); ++index) {
    filters::snapshot::Binding& binding = builder.bindings[index];
    builder.ports[binding.port].binding = index;
    binding.pairs.first = first;
    binding.routed.first = first += binding.pairs.count;
  }
}

inline const Mac kSecondMac = mac("52:54:00:00:00:44");
inline constexpr std::uint32_t kSecondBinding = 3;

/// Adds a Binding of the Port at index `port` to those of tenant A; the Port is enforced by segment.
inline filters::snapshot::Binding& add_to_segment(filters::SnapshotBuilder& builder, std::uint32_t port, std::uint32_t id,
                                                  const Mac& who, const std::vector<const char*>& prefixes) {
  namespace snapshot = filters::snapshot;
  builder.ports[port].enforcement = snapshot::Enforcement::kSegment;
  builder.ports[port].binding = snapshot::kNone;
  snapshot::Binding binding = builder.bindings[1];
  binding.id = id;
  binding.port = port;
  binding.name = builder.string("binding" + std::to_string(id));
  binding.pairs = {static_cast<std::uint32_t>(builder.binding_pairs.size()), static_cast<std::uint32_t>(prefixes.size())};
  for (const char* text : prefixes) builder.binding_pairs.push_back({who, parse_prefix(text).value()});
  binding.routed = {static_cast<std::uint32_t>(builder.binding_pairs.size()), 0};
  const auto at = std::find_if(builder.bindings.begin(), builder.bindings.end(), [&](const auto& b) { return b.id > id; });
  const auto place = static_cast<std::uint32_t>(at - builder.bindings.begin());
  for (snapshot::Port& other : builder.ports) {
    if (other.binding != snapshot::kNone && other.binding >= place) ++other.binding;
  }
  return *builder.bindings.insert(at, binding);
}

/// A second host behind tenant A's client Port: 10.0.0.35 and fd00:0:0:2::3.
inline void share_client_port(filters::SnapshotBuilder& builder) {
  add_to_segment(builder, 1, kSecondBinding, kSecondMac, {"10.0.0.35/32", "fd00:0:0:2::3/128"});
}

}  // namespace sekisho::tests
