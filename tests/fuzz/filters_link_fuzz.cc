// SPDX-License-Identifier: Apache-2.0
// Hostile frames into the binding guard, plain and with every role: it never reads beyond them, and whatever the roles
// are, what passes bears a bound MAC; and a stranger passes nothing.
#include <cstdint>
#include <memory>
#include <tuple>
#include <vector>

#include "base/assert.h"
#include "filters/link/binding_guard.h"
#include "filters/packet/vrrp.h"

namespace {

using namespace sekisho;
using namespace sekisho::filters;

const Mac kOwn{{0x52, 0x54, 0, 0, 1, 0x11}};

BindingRules rules(std::uint8_t selector, bool bound = true) {
  snapshot::Port port{};
  snapshot::Binding binding{};
  binding.active = 1;
  binding.roles = static_cast<std::uint8_t>((selector & 1) != 0 ? 15 : 0);
  binding.lla_policy = static_cast<snapshot::LlaPolicy>(selector >> 1 & 1);
  if ((selector & 4) != 0) binding.lla_policy = snapshot::LlaPolicy::kPin;
  binding.lla_pins = 2;
  binding.vrids[0] = 211;
  binding.meters.fill({100, 100});
  if ((selector & 8) != 0) port.outer_vlan = 100;
  const std::vector<snapshot::BindingPair> pairs{{kOwn, parse_prefix("10.0.0.2/32").value()},
                                                 {kOwn, parse_prefix("fd00:0:0:1::2/128").value()}};
  const std::vector<Prefix> gateway{parse_prefix("10.0.0.1/28").value()};
  return BindingRules({port, binding, bound ? std::span(pairs) : std::span<const snapshot::BindingPair>{}, {}, {}, gateway, {}});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const BindingRules binding = rules(data[0]);
  LinkLocalClaims claims(1, 1, 2);
  const auto pins = std::make_unique<BindingPins>();
  pins->join(claims);
  BindingMeters meters;
  const ByteSpan frame(data + 1, size - 1);
  const ChecksumTrust trust{(data[0] & 16) != 0, (data[0] & 32) != 0};
  const auto bytes = static_cast<std::uint32_t>(frame.size() + ((data[0] & 64) != 0 ? 100 : 0));
  PacketMeta meta{};
  SecBody body{};
  const DropReason refused = decode(frame, bytes, trust, meta);
  SEKISHO_ASSERT(from_stranger(rules(data[0], false), frame, meta, refused) != DropReason::kNone);
  describe_violation(frame, meta, body);
  if (refused != DropReason::kNone) {
    SEKISHO_ASSERT(from_port_refused(binding, *pins, meters, frame, meta, 1, refused) != DropReason::kNone);
    return 0;
  }
  const DropReason reason = from_port(binding, *pins, meters, frame, meta, 1);
  std::ignore = offending_value(reason, body);
  if (const auto vrrp = parse_vrrp(frame, meta)) {
    for (std::size_t i = 0; i < vrrp->count; ++i) std::ignore = vrrp_address(*vrrp, i);
    SEKISHO_ASSERT(reason != DropReason::kNone || binding.has_vrid(vrrp->vrid));
  }
  std::ignore = to_port_frame(binding, *pins, frame, meta, Origin::kOtherPort);
  if (reason == DropReason::kNone) SEKISHO_ASSERT(ethernet_source(frame) == kOwn);
  BindingMeters other;
  SEKISHO_ASSERT(link_detail::from_port_any(binding, *pins, other, frame, meta, 1, refused) == reason);
  return 0;
}
