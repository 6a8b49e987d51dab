// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/net/address.h"
#include "filters/policy/snapshot.h"

/// The network every measuring program configures: what net_pfgen's frames (side forward on the first device, side
/// reverse on the second) need to be bound, routed and judged. The numbers here and the arguments in
/// tests/bench/measure.py agree.
namespace sekisho::bench {

/// One rule as people write them, in both families. Matches none of the measured flows.
struct FillerRule {
  std::array<Prefix, 2> source;  ///< IPv4, IPv6
  std::array<Prefix, 2> destination;
  std::uint16_t source_low, source_high;
  std::uint16_t destination_low, destination_high;
  std::uint8_t protocol;
  bool allow;
};

/// `count` varied rules, the same ones for the same `seed`, made of count / 8 + 16 address objects a side (hosts,
/// subnets, sites) and 64 services. Half of the rules name the measured destinations but other services, half other
/// destinations, the measured services among theirs, so that neither addresses nor ports alone decide.
std::vector<FillerRule> filler_rules(std::uint32_t count, std::uint32_t seed);

/// Services of the measured flows: kServicePort + class. What becomes of each:
///   0 allowed, 1 dropped, 2 allowed in even generations only, 3 allowed in odd generations only.
inline constexpr std::uint16_t kServicePort = 80;
inline constexpr std::uint32_t kClasses = 4;

/// How the measured sources are translated on their way out (IPv4): one to one into kOutside, or into port blocks of it.
enum class Translation : std::uint8_t { kNone, kStatic, kPortBlocks };
inline constexpr const char* kOutside = "100.64.0.0/12";

struct NetworkPlan {
  std::uint32_t tenants = 1;       ///< with more than one, tenant t is VLAN 1 + t on both devices; one is untagged
  std::uint32_t rules = 1000;      ///< of the first tenant, the kClasses rules of the measured flows included
  std::uint32_t other_rules = 10;  ///< of each other tenant, likewise
  std::uint32_t sessions_max = 1U << 24;
  std::uint8_t log = filters::snapshot::kLogEnd;  ///< LogSetting bits of rules that allow
  bool deny_logged = true;         ///< refusals are logged, folded
  Translation translation = Translation::kNone;
  std::uint32_t half_open_max = 0; ///< of each tenant; beyond it SYNs are answered with cookies; 0 = no limit
  std::array<std::string, 2> devices{"net_pfgen0", "net_pfgen1"};
};

/// The compiled snapshot: per tenant two segments with Bindings (MAC 02:00:00:00:00:01 and :02; 10.16.0.0/12
/// and fd00:a::1:0:0/96 here, 172.20.0.0/15 and fd00:b::1:0:0/96 there), connected routes, the filler rules and those
/// of the measured flows (log on end). Even generations have the measured flows' rules last, odd ones first and in the
/// opposite order, so that every rule's index changes from one to the next.
std::vector<std::uint8_t> make_snapshot(const NetworkPlan& plan, std::uint32_t generation);

/// The first tenant's IPv4 rules in the language of DPDK's l3fwd sample (--rule_ipv4), with a route to port 0.
std::string l3fwd_rules(const NetworkPlan& plan);

/// The same as a stateful nftables ruleset: established first, then one rule a line, drop at the end.
std::string nft_rules(const NetworkPlan& plan);

}  // namespace sekisho::bench
