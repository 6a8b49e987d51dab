// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_mempool.h>
#include <rte_ring.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/limits.h"
#include "dataplane/burst.h"
#include "dataplane/config/runtime.h"
#include "dataplane/counters.h"
#include "dataplane/event_log.h"
#include "dataplane/quota.h"
#include "dataplane/quota_watch.h"
#include "dataplane/routing/neighbour.h"
#include "dataplane/session/expiry_wheel.h"
#include "dataplane/session/fragment_table.h"
#include "dataplane/session/nat_tables.h"
#include "dataplane/session/session_table.h"
#include "dataplane/session_limits.h"
#include "dataplane/trace.h"
#include "dataplane/tunnel/lease_table.h"
#include "dataplane/tunnel/worker_tunnels.h"
#include "filters/state/syn_cookie.h"
#include "filters/link/quarantine.h"

namespace sekisho::dataplane {

/// Sizes fixed at start. Counts, not bytes, unless the name says so.
struct ShardLimits {
  std::uint32_t sessions = 65536;       ///< of this shard
  std::uint32_t fragments = 4096;       ///< of this shard: packets that wait for the rest of their datagram; the engine's to set
  std::uint32_t log_records = 16384;    ///< ring size, power of two
  std::uint32_t tenants = 1024;
  std::uint32_t ports = 4096;
  std::uint32_t rules = 1U << 18;
  std::uint32_t bindings = 4096;
  std::uint32_t tunnels = 0;            ///< of remote users, of the whole box; 0: this data plane opens none
};

/// One receive queue this shard polls.
struct Inlet {
  std::uint16_t nic;
  std::uint16_t queue;
  Backlog backlog{};
};

/// Where this shard's packets for one NIC go.
struct Outlet {
  std::uint16_t owner = 0;   ///< the shard that owns `queue`; another one's packets are handed to it
  std::uint16_t queue = 0;
  std::atomic<bool> usable{false};  ///< the NIC is started: written once by the control thread
  std::uint16_t count = 0;
  std::array<rte_mbuf*, kBurstMax> packets{};  ///< filled during a turn, sent at its end
};

/// A packet waiting for its neighbour's MAC.
struct HeldPacket {
  rte_mbuf* packet;
  std::uint32_t deadline_tick;
  std::uint32_t tenant;  ///< TenantId value: nobody waits in all the places
  std::uint32_t pieces;  ///< packets it stands for
  bool translated;       ///< bears the ends it leaves with
};

/// One shard's part of what is promised to a tenant.
inline std::uint32_t shard_part(std::uint32_t of_all, std::uint32_t shards) { return (of_all + shards - 1) / shards; }
/// A quarantine that a shard began and will finish, as its records name it.
struct OpenQuarantine {
  std::uint32_t binding;      ///< BindingId value
  std::uint32_t slot;
  std::uint32_t tenant;       ///< TenantId value
  std::uint32_t tenant_slot;
  std::uint32_t in_port;      ///< PortId value
  std::uint32_t generation;   ///< that it began in
  std::uint64_t began_ns;     ///< since 1970
};

/// What shards share: made by the engine, outlives them.
struct Shared {
  std::atomic<const Runtime*> runtime{nullptr};
  NeighbourTable neighbours;
  filters::LinkLocalClaims link_locals{0, 0, 0};    ///< what is pinned anywhere
  std::vector<filters::BindingPins> pins;           ///< by binding slot
  std::vector<filters::Quarantine> quarantines;     ///< by binding slot
  std::vector<TenantQuota> quotas;                  ///< by tenant slot
  PortClaims port_claims;                           ///< outside ports of napt rules
  FlowOwners flow_owners;                           ///< of tenants with NAT rules; empty with one shard
  std::vector<std::atomic<std::uint32_t>> swept;    ///< by shard: generation that has judged all its sessions
  std::vector<rte_ring*> handoff;                   ///< by shard: packets for it, from all others
  std::atomic<std::int64_t> wall_offset_ns{0};      ///< wall clock = TSC time + this; the control thread keeps it true
  std::uint32_t shards = 1;
  double tsc_ns = 1.0;                              ///< nanoseconds per TSC tick
  std::uint64_t tsc_base = 0;
  SessionLimits limits;                             ///< of rules and their sources; made before the first shard
  std::uint32_t fragments_max = 0;                  ///< pieces of datagrams all shards hold; set before the first shard runs
  filters::SynCookieKey cookie_key{};               ///< set before the first shard runs
  std::uint16_t service_nic = kNoService;             ///< DPDK port of the service network; set before the first shard runs
  std::shared_ptr<LeaseTable> leases = std::make_shared<LeaseTable>();  ///< inner addresses of remote users; never null
};

/// Work the control thread asks of a shard, done by the shard between bursts: nobody else reads its sessions.
struct ShardRequest {
  /// When set, called once instead of `visit`: a look at a few things, copied out in no more than a packet's time.
  std::function<void(class Shard&)> once;
  /// Called with each live session until it returns false; at most kStep a turn.
  std::function<bool(class Shard&, std::uint32_t index)> visit;
  std::uint32_t cursor = 0;
  std::atomic<bool> done{false};
  static constexpr std::uint32_t kStep = 512;
};

/// How far a shard's sessions have been judged by the generation in force; path::sweep works on it.
struct Sweep {
  Counter finished;               ///< generation that has judged every session
  Counter left;                   ///< places of the session table still to be looked at: a gauge
  std::uint32_t target = 0;       ///< generation of the walk under way
  std::uint32_t cursor = 0;       ///< next place of the session table
  std::uint64_t next_tsc = 0;     ///< a busy shard's next step
  std::uint64_t pause_tsc = 0;    ///< between two steps of a busy shard
};

/// What of a living session's traffic its rule's counters hold already.
struct Accounted {
  std::uint64_t packets;
  std::uint64_t bytes;
};

/// Everything one worker thread owns. Only that thread touches it, but for the counters (read by anyone) and `request`.
/// Limits: ShardLimits. No allocation after create().
class Shard {
 public:
  static Result<std::unique_ptr<Shard>> create(std::uint32_t number, const ShardLimits& limits, Shared& shared,
                                               rte_mempool* pool, HashSeed seed, std::uint64_t now_tsc);
  ~Shard();
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  /// Takes the time of a turn: every packet of the turn has this time.
  void begin_turn(std::uint64_t tsc) noexcept;
  /// Ends a packet, a train with all its pieces. The only function that frees one for a reason. Counts per tenant;
  /// `tenant_slot` of the "no tenant" place before the tenant is known.
  void drop(rte_mbuf* packet, filters::DropReason reason, std::uint32_t tenant_slot) noexcept;
  /// The same for a packet that is no train, whatever its record says: it may never have had one (path/express.h).
  void drop_whole(rte_mbuf* packet, filters::DropReason reason, std::uint32_t tenant_slot) noexcept;
  /// Ends a packet that was meant for the gateway and has been understood.
  void consume(rte_mbuf* packet) noexcept;
  /// An empty packet of this shard's pool, counted as generated; nullptr when there is none.
  rte_mbuf* generate() noexcept;
  /// Gives a packet to another shard; drops it with kHandoffFull when that one's ring is full.
  void hand_off(rte_mbuf* packet, std::uint32_t shard, Resume resume, std::uint32_t tenant_slot) noexcept;
  void end_session(std::uint32_t index, EndReason reason) noexcept;
  /// Adds what a living session has carried since the last time to its rule's counters; without them when the rule is
  /// gone (`counted` false): the place may be another rule's soon.
  void account(std::uint32_t index, bool counted = true) noexcept;
  /// A connection that is not yet established begins to count, or (`by` -1) no longer does: established or ended.
  void count_half_open(const Session& session, int by) noexcept;
  void expire_sessions(const Runtime& config, unsigned budget) noexcept;

  // Sessions per tenant (session_quota.cc).
  /// Takes over the guarantees of a new generation.
  void adopt_guarantees(const Runtime& config) noexcept;
  /// Whether the tenant may open one more session in this shard: below its guarantee always, up to its most while the
  /// part nobody was promised has room.
  bool may_open_session(const TenantEntry& tenant) noexcept;
  void count_session(std::uint32_t tenant_slot) noexcept;
  void uncount_session(std::uint32_t tenant_slot) noexcept;
  /// Ends half-open sessions above their tenants' guarantees while they stand where somebody else was promised room: after
  /// a commit that raised a guarantee. Bounded work a call.
  void make_promised_room() noexcept;

  /// Pieces of datagrams a tenant may have waiting, all shards together: a quarter of what there is unless it is said.
  [[nodiscard]] std::uint32_t fragments_max_of(const TenantEntry& tenant) const noexcept {
    return tenant.fragments_max != 0 ? tenant.fragments_max : shared.fragments_max / 4;
  }

  void serve_request() noexcept;
  /// Adds to `violations` when a packet got lost or doubled; debug builds stop.
  void check_conservation() noexcept;

  std::uint32_t number;
  ShardLimits limits;
  Shared& shared;
  rte_mempool* pool;
  std::uint64_t now_tsc = 0;
  std::uint64_t now_ns = 0;      ///< wall clock, since 1970
  std::uint64_t steady_ns = 0;   ///< for quotas
  std::uint64_t now_ms = 0;      ///< steady, for meters
  std::uint32_t now_tick = 0;    ///< steady, kTicksPerSecond

  SessionTable sessions;
  ExpiryWheel wheel;
  FragmentTable fragments;
  HugeArray<std::uint16_t> session_services;  ///< by session index: service_object() of its rule, for its records
  EventLog log;
  PacketCounters packets;
  HugeArray<TenantCounters> tenants;   ///< by tenant slot; the last place is "no tenant"
  HugeArray<ProxiedSession> proxies;   ///< by session index
  HugeArray<std::uint32_t> source_places;  ///< by session index: of SessionLimits, for kSessionCounted
  HugeArray<SessionExtra> extras;      ///< by session index
  HugeArray<PortCounters> ports;       ///< by port slot
  HugeArray<RuleCounters> rules;       ///< by rule slot; the last place is for kept sessions of removed rules
  HugeArray<Counter> violations;       ///< by binding slot
  HugeArray<filters::BindingMeters> meters;  ///< by binding slot
  HugeArray<filters::BindingMeters::Bucket> broadcasts;  ///< by port slot: kPortBroadcasts
  std::uint32_t meter_divisor = 1;           ///< shards among which a Port's rates are dealt
  HugeArray<TenantShare> shares;             ///< by tenant slot
  std::vector<std::uint32_t> cookies_until;  ///< by tenant slot: tick until which a cookie may come back; 0 = none
  std::uint32_t visit = 0;                   ///< counts visits to sources of packets
  Backlog handed_backlog;                    ///< of the ring from other shards
  std::uint32_t guarantees_of = 0;           ///< generation
  std::uint32_t sessions_promised = 0;       ///< sum of the guarantees
  std::uint32_t sessions_beyond = 0;         ///< sessions above their tenant's guarantee
  std::uint32_t recycle_cursor = 0;
  std::vector<OpenQuarantine> quarantined;   ///< room for every binding slot, made at start
  std::vector<Inlet> inlets;
  std::uint16_t nics = 0;                    ///< outlets in use: DPDK ports 0 .. nics-1
  std::array<Outlet, limits::kNicsMax> outlets;
  HugeArray<Accounted> accounted;            ///< by session index; holds only for those with kSessionAccounted
  Sweep sweep;
  std::array<HeldPacket, 256> held;
  std::uint32_t held_count = 0;
  std::atomic<ShardRequest*> request{nullptr};
  QuotaWatch watch;                          ///< the first shard's tells what all of them use
  WorkerTunnels tunnels_here;                ///< SAs of this worker, and packets on their way through them
  Trace* trace = nullptr;                    ///< of the packet being explained; null in workers

  [[nodiscard]] std::uint32_t no_tenant() const { return static_cast<std::uint32_t>(tenants.size() - 1); }
  [[nodiscard]] std::uint32_t no_rule() const { return static_cast<std::uint32_t>(rules.size() - 1); }

 private:
  void add_traffic(std::uint32_t index) noexcept;
  struct Parts;
  Shard(std::uint32_t shard_number, const ShardLimits& shard_limits, Shared& shared_state, rte_mempool* mbufs, Parts&& parts);
};

}  // namespace sekisho::dataplane
