// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "base/limits.h"
#include "base/net/address.h"
#include "base/shm/log_record.h"
#include "dataplane/burst.h"
#include "dataplane/config/mac_map.h"
#include "dataplane/config/classifier.h"
#include "dataplane/quota.h"
#include "dataplane/routing/prefix_table.h"
#include "filters/link/binding_rules.h"
#include "filters/packet/packet_meta.h"
#include "filters/policy/snapshot_view.h"

namespace sekisho::dataplane {

namespace snapshot = filters::snapshot;
using filters::kNoIndex;

/// One attachment as the path sees it. Stands at the same index as in the snapshot's kPorts.
struct alignas(64) PortEntry {
  std::uint32_t id;             ///< PortId value
  std::uint32_t tenant;         ///< TenantId value; kNoIndex for an uplink
  std::uint32_t tenant_index;   ///< index in Runtime::tenants; kNoIndex for an uplink
  std::uint32_t tenant_slot;    ///< counters; the "no tenant" slot for an uplink
  std::uint32_t slot;           ///< port counters
  std::uint32_t wire;           ///< port index whose NIC and tags carry it: itself, or the uplink of a share
  std::uint32_t binding;        ///< index in Runtime::bindings; kNoIndex = none, or one a MAC
  std::uint32_t mtu;            ///< bytes of L3
  std::uint16_t nic;            ///< DPDK port number; kNoNic for a tunnel Port
  std::uint16_t outer_vlan;     ///< 0 = untagged
  std::uint16_t inner_vlan;
  std::uint16_t outer_type;     ///< ethertype of the outer tag, host order
  Mac mac;                      ///< the gateway's address there
  std::uint8_t policed;         ///< 1: the tenant has a bandwidth
  std::uint64_t raw_mac;        ///< the same as it lies in memory
  snapshot::PortKind kind;
  std::uint8_t zone;
  std::uint8_t l2_bytes;        ///< Ethernet header with tags: 14, 18 or 22
  std::uint8_t source_checks;   ///< snapshot::SourceCheck bits
  std::uint8_t nat;             ///< 1: its tenant has NAT rules
  std::uint8_t isolated;        ///< 1: its hosts reach one another through the gateway alone
  std::uint8_t has_gateways;    ///< 1: remote users connect to addresses there (Runtime::find_gateway)
  std::uint32_t segment;        ///< index in Runtime::segments when the source MAC finds the Binding; else kNoIndex
  std::uint32_t home;           ///< lowest index of the tenant's segment Ports with the same subnet: together one segment
  std::span<const Prefix> addresses;  ///< the gateway's own, of the wire port
  Address link_local;           ///< the gateway's fe80:: there
  /// What every frame sent here begins with behind the destination MAC, ready to copy: source MAC, tags, EtherType.
  std::array<std::uint8_t, 16> link4;
  std::array<std::uint8_t, 16> link6;
};
static_assert(sizeof(PortEntry) % 64 == 0);

/// A Binding with what its checks need.
struct BindingEntry {
  filters::BindingRules rules;
  std::uint32_t id;    ///< BindingId value
  std::uint32_t slot;  ///< pins, meters, counters
};

/// What a Port enforced by segment adds to its Bindings.
struct SegmentEntry {
  MacMap macs;                            ///< suspended Bindings too, where no active one has the MAC
  filters::BindingRules strangers;        ///< judges frames of MACs nobody has
};

/// An address that hosts of one VRRP group hand to one another (specification 3.5, vrid): bound by each of them, on Ports
/// of one zone. Where it is, is said by whoever took it last and had the right to.
struct VirtualAddress {
  struct Host {
    std::uint32_t port;     ///< port index
    std::uint32_t binding;  ///< index in Runtime::bindings
    std::uint32_t hop;      ///< index in Runtime::static_hops
    std::uint64_t name;     ///< Binding and MAC, as `holder` names them: never 0, and outlives generations
  };
  std::uint32_t tenant;     ///< index in Runtime::tenants
  Address address;
  std::uint32_t hop;        ///< index in Runtime::static_hops: kVirtualHop
  std::vector<Host> hosts;  ///< at least two
  /// `name` of the host that has it; 0, or a host that is gone: the first. The same word in all generations.
  std::shared_ptr<std::atomic<std::uint64_t>> holder;

  [[nodiscard]] const Host& held_by() const noexcept {
    const std::uint64_t wanted = holder->load(std::memory_order_relaxed);
    for (const Host& host : hosts) {
      if (host.name == wanted) return host;
    }
    return hosts.front();
  }
};

/// Where packets to a prefix go.
enum class RouteKind : std::uint8_t {
  kBlackhole = 0,  ///< known, but nothing may be sent there (an address no Binding has)
  kLocal,          ///< the gateway's own address
  kBroadcast,      ///< first or last address of an IPv4 network the tenant is connected to (RFC 2644)
  kStatic,         ///< a bound neighbour: MAC from the Binding
  kResolve,        ///< ask for the destination itself
  kResolveVia,     ///< ask for `next_hop`
  kOutside,        ///< stands for others by NAT, on `port`: what no rule translates has nowhere to go
  kTunnel,         ///< a remote user's, on tunnel Port `port`: whichever tunnel holds the address
};
struct RouteTarget {
  RouteKind kind;
  std::uint32_t port;         ///< port index
  std::uint32_t static_hop;   ///< kStatic: index in Runtime::static_hops
  Address next_hop;           ///< kResolveVia
  std::uint8_t length = 0;    ///< of the prefix, in bits; 0: the default route
};

struct TenantEntry {
  std::uint32_t id;
  std::uint32_t slot;          ///< counters
  std::uint32_t sessions_max;
  std::uint32_t sessions_guaranteed;
  Rate new_sessions;
  std::uint32_t half_open_max = 0;  ///< 0 = no limit
  std::uint32_t loose_pickup = 0;   ///< seconds after the start in which an ACK may open a session
  bool syn_cookies = true;          ///< beyond it; false: drop
  Rate bandwidth;              ///< L3 bytes
  std::uint64_t log_rate;      ///< as TenantQuota::log_rate
  std::uint32_t fragments_guaranteed = 0;
  std::uint32_t fragments_max = 0;  ///< 0 = a quarter of what the unit holds
  PrefixTable routes;          ///< values index `targets`
  std::vector<RouteTarget> targets;
};

/// What the path needs to know of a rule when a session starts or is refused.
struct RuleEntry {
  std::uint32_t id;
  std::uint32_t slot;
  snapshot::Action action;
  std::uint8_t log;            ///< snapshot::LogSetting bits
  std::uint8_t is_default;
  std::uint8_t keep_on_change;
  snapshot::Standing standing;
  std::uint8_t timed_services = 0;  ///< 1: some of its services have timeouts of their own
  snapshot::RuleLimits limits{};  ///< all 0 = none
  /// Its sessions are counted one by one: beyond their number, nothing else needs it.
  [[nodiscard]] bool counts() const {
    return (limits.sessions_max | limits.sessions_per_second | limits.source_sessions_max | limits.source_sessions_per_second) != 0;
  }
};

/// A NAT rule's place among the counters of rules.
struct NatEntry {
  std::uint32_t id;
  std::uint32_t slot;
  std::uint8_t log;            ///< snapshot::LogSetting bits
};

/// What a generation has to tell a tenant of one of its rules.
struct RuleNotice {
  std::uint32_t tenant;        ///< index in Runtime::tenants
  std::uint32_t rule;          ///< RuleId value
  LogNotice notice;
};

/// (NIC, outer VLAN, inner VLAN) -> port index. Open addressing, at most half full; untagged ports by array.
class WireMap {
 public:
  void build(std::span<const PortEntry> ports);
  [[nodiscard]] std::uint32_t find(std::uint16_t nic, std::uint16_t outer, std::uint16_t inner) const noexcept {
    if ((outer | inner) == 0) [[likely]] return untagged_[nic % untagged_.size()];
    const std::uint32_t key = key_of(nic, outer, inner);
    for (std::uint32_t at = hash(key) & mask_;; at = (at + 1) & mask_) {
      if (slots_[at].key == key || slots_[at].port == kNoIndex) return slots_[at].port;
    }
  }

 private:
  struct Slot {
    std::uint32_t key;
    std::uint32_t port;
  };
  static std::uint32_t key_of(std::uint16_t nic, std::uint16_t outer, std::uint16_t inner) {
    return std::uint32_t{nic} << 24 | std::uint32_t{outer} << 12 | inner;
  }
  static std::uint32_t hash(std::uint32_t key) { return (key * 0x9e3779b1U) >> 7; }

  std::array<std::uint32_t, limits::kNicsMax> untagged_{};  ///< by NIC
  std::vector<Slot> slots_{Slot{0, kNoIndex}};
  std::uint32_t mask_ = 0;
};

/// Bits of Runtime::generation that tell the moments of one revision apart. Sessions are judged again within seconds, so
/// none meets a number that has come round.
inline constexpr unsigned kMomentBits = 8;
inline std::uint32_t revision_of(std::uint32_t generation) { return generation >> kMomentBits; }

/// Bit of a static hop whose Binding may be in quarantine.
inline constexpr std::uint64_t kWatchedHop = std::uint64_t{1} << 63;
/// A static hop that is wherever a virtual address is; never without kWatchedHop, so that one look tells.
inline constexpr std::uint64_t kVirtualHop = std::uint64_t{1} << 62;
/// A static hop that is a tunnel Port: whichever tunnel has the destination. Never without kWatchedHop either.
inline constexpr std::uint64_t kTunnelHop = std::uint64_t{1} << 61;

/// One generation of the configuration in the form the workers read. Immutable after Loader::build; freed by the control
/// thread when every worker has passed a quiescent state.
struct Runtime {
  /// `checked` is a view of `block`'s bytes: they move with the vector.
  Runtime(std::vector<std::uint8_t> block, filters::SnapshotView checked) : bytes(std::move(block)), view(checked) {}

  std::vector<std::uint8_t> bytes;      ///< the snapshot itself; `view` borrows it
  filters::SnapshotView view;
  std::uint32_t revision = 0;           ///< the snapshot's generation: what people and records call it
  /// What sessions and packets were judged under: the revision, and in the low bits which of its moments.
  std::uint32_t generation = 0;
  std::vector<PortEntry> ports;
  std::vector<BindingEntry> bindings;
  std::vector<std::unique_ptr<SegmentEntry>> segments;
  std::vector<std::unique_ptr<filters::SegmentLinkLocals>> link_locals;  ///< by PortEntry::home; Bindings point to them
  std::vector<TenantEntry> tenants;
  std::vector<RuleEntry> rules;         ///< same index as the snapshot's kRules
  std::vector<NatEntry> nat_rules;      ///< same index as the snapshot's kNatRules
  std::vector<RuleNotice> notices;      ///< what the generation before had not told
  std::vector<std::pair<std::uint32_t, std::uint32_t>> rules_by_id;  ///< (RuleId value, index in `rules`), sorted
  std::vector<std::uint64_t> static_hops;  ///< MACs in memory order in the low 48 bits (raw_mac); kWatchedHop, kVirtualHop, kTunnelHop
  std::vector<std::uint32_t> hop_bindings; ///< beside static_hops: index in `bindings`; kVirtualHop: in `virtuals`; kTunnelHop: kNoIndex
  std::vector<VirtualAddress> virtuals;    ///< by tenant and address
  std::vector<std::pair<std::uint32_t, std::uint32_t>> services;  ///< (ServiceId, index in the view's gateways), sorted
  WireMap wires;
  std::vector<PrefixTable> owners;      ///< by port index of an uplink: destination -> port index of the share
  std::vector<PrefixTable> proxied;     ///< by wire port index: NAT's outside addresses on its link, answered for there
  std::shared_ptr<const Classifier> classifier;

  /// The Binding a packet was judged by: the Port's, or the one its source MAC found. kNoIndex: none.
  [[nodiscard]] std::uint32_t binding_of(const filters::PacketMeta& meta) const noexcept {
    const std::uint32_t only = ports[meta.ingress].binding;
    return only != kNoIndex ? only : meta.binding;
  }
  /// The virtual address of a static hop, or nullptr.
  [[nodiscard]] const VirtualAddress* virtual_of(std::uint32_t static_hop) const noexcept {
    return (static_hops[static_hop] & kVirtualHop) == 0 ? nullptr : &virtuals[hop_bindings[static_hop]];
  }
  [[nodiscard]] const VirtualAddress* find_virtual(std::uint32_t tenant_index, const Address& address) const noexcept;
  /// Who is at a kStatic target now (indices).
  struct Neighbour {
    std::uint32_t port;
    std::uint32_t binding;
  };
  [[nodiscard]] Neighbour neighbour_at(const RouteTarget& target) const noexcept {
    const VirtualAddress* moving = virtual_of(target.static_hop);
    if (moving == nullptr) return {target.port, hop_bindings[target.static_hop]};
    const VirtualAddress::Host& host = moving->held_by();
    return {host.port, host.binding};
  }
  /// The index of the tenant with this id, or kNoIndex.
  [[nodiscard]] std::uint32_t find_tenant(std::uint32_t id) const noexcept;
  /// The index of the Port with this id, or kNoIndex.
  [[nodiscard]] std::uint32_t find_port(std::uint32_t id) const noexcept;
  /// The index of the rule with this id, or kNoIndex.
  [[nodiscard]] std::uint32_t find_rule(std::uint32_t id) const noexcept;
  /// The gateway of the Port (index) with this address, or nullptr. Ask only where PortEntry::has_gateways.
  [[nodiscard]] const snapshot::Gateway* find_gateway(std::uint32_t port, const Address& address) const noexcept;
  /// The gateway with this ServiceId, or nullptr.
  [[nodiscard]] const snapshot::Gateway* find_service(std::uint32_t service) const noexcept;
  /// The RADIUS server of the tenant (index) that is at `remote` and speaks with `local`, or nullptr.
  [[nodiscard]] const snapshot::RadiusPeer* find_radius(std::uint32_t tenant_index, const Address& local,
                                                        const Address& remote) const noexcept;
  /// The groups a remote user is in now, one bit each; 0 for one the tenant (index) does not have, and for id 0.
  [[nodiscard]] std::uint64_t groups_of(std::uint32_t tenant_index, std::uint32_t user) const noexcept;
  /// The port of the tenant that owns `destination` on uplink `port`, or kNoIndex.
  [[nodiscard]] std::uint32_t owner(std::uint32_t port, const Address& destination) const noexcept {
    return owners[port].find(destination);
  }
};

/// The six bytes of a MAC as they lie in memory, in the low 48 bits: written to a frame with one store.
inline std::uint64_t raw_mac(const Mac& mac) {
  std::uint64_t out = 0;
  std::memcpy(&out, mac.bytes.data(), mac.bytes.size());
  return out;
}

/// The destination MAC of a frame (of at least eight bytes: decode has proved more) in the form of raw_mac.
inline std::uint64_t raw_mac_at(std::span<const std::uint8_t> frame) {
  std::uint64_t out;
  SEKISHO_DCHECK(frame.size() >= sizeof(out));
  std::memcpy(&out, frame.data(), sizeof(out));
  return out & 0xffff'ffff'ffffU;
}

/// next_hop values of sessions and packets: a static hop of this generation, or a handle of the neighbour table.
inline constexpr std::uint32_t kDynamicHop = 0x80000000U;

}  // namespace sekisho::dataplane
