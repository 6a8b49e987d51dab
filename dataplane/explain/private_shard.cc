// SPDX-License-Identifier: Apache-2.0
#include "dataplane/explain/private_shard.h"

#include <algorithm>
#include <string>
#include <type_traits>

#include "dataplane/path/carry.h"
#include "dataplane/path/lookup.h"
#include "dataplane/path/record.h"
#include "dataplane/path/tunnels.h"
#include "dataplane/train.h"
#include "filters/packet/decode.h"
#include "filters/packet/fields.h"

namespace sekisho::dataplane::explain {
namespace {

constexpr std::uint32_t kPackets = 511;
constexpr std::uint32_t kFragments = 128;   // of a replay: fewer than there are packets
constexpr std::uint32_t kRingEntries = 256;
constexpr std::uint32_t kLogRecords = 64;  // nobody reads them

/// Names are global to the process.
std::string unique_name() {
  static std::uint32_t next = 0;  // the control thread's
  return "explain-" + std::to_string(next++);
}

rte_mempool* make_pool() {
  return rte_pktmbuf_pool_create(unique_name().c_str(), kPackets, 0, sizeof(PacketMeta), RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
}

/// The shard that receives what comes in on a NIC, or, with several queues, the first of them.
std::uint32_t receiver_of(const Engine& engine, std::uint16_t nic) {
  for (std::uint32_t number = 0; number < engine.shards(); ++number) {
    const auto& inlets = engine.shard(number).inlets;
    if (std::any_of(inlets.begin(), inlets.end(), [nic](const Inlet& inlet) { return inlet.nic == nic; })) return number;
  }
  return 0;
}

/// Copies what other threads may be writing: atomics of one word each that mean something alone.
template <typename T>
void copy_words(T& to, const T& from) {
  static_assert(sizeof(T) % sizeof(std::uint64_t) == 0 && alignof(T) >= sizeof(std::uint64_t) && std::is_standard_layout_v<T>);
  auto* out = reinterpret_cast<std::uint64_t*>(&to);
  const auto* in = reinterpret_cast<const std::uint64_t*>(&from);
  for (std::size_t i = 0; i < sizeof(T) / sizeof(std::uint64_t); ++i) out[i] = __atomic_load_n(&in[i], __ATOMIC_RELAXED);
}

/// As many places as the shard has, each as it is in the live shards; those only a candidate has are new.
template <typename T>
std::vector<T> copy_places(const std::vector<T>& live, std::size_t places) {
  std::vector<T> out(places);
  for (std::size_t i = 0; i < std::min(places, live.size()); ++i) copy_words(out[i], live[i]);
  return out;
}

}  // namespace

Result<std::unique_ptr<PrivateShard>> PrivateShard::create(Engine& engine, const Runtime& runtime, const Slots& slots,
                                                           std::uint32_t sessions, std::uint32_t shards) {
  std::unique_ptr<PrivateShard> out(new PrivateShard(engine, runtime));
  out->pool_.reset(make_pool());
  if (out->pool_ == nullptr) return Error{ErrorCode::kLimit, ErrorSite::kDataplane, kPackets};
  ShardLimits limits = engine.shard(0).limits;
  limits.sessions = std::max(sessions, kSessionsMin);
  limits.fragments = kFragments;
  limits.log_records = kLogRecords;
  limits.ports = std::max(1U, slots.ports.used_end());
  limits.rules = std::max(1U, slots.rules.used_end());
  limits.bindings = std::max(1U, slots.bindings.used_end());

  const Shared& live = engine.shared();
  out->shared_.neighbours.copy(live.neighbours);
  out->shared_.link_locals.copy(live.link_locals);
  out->shared_.pins = copy_places(live.pins, limits.bindings);
  for (filters::BindingPins& pins : out->shared_.pins) pins.join(out->shared_.link_locals);
  out->shared_.quarantines = copy_places(live.quarantines, limits.bindings);
  out->shared_.quotas = copy_places(live.quotas, limits.tenants + 1);
  out->shared_.limits = SessionLimits(limits.rules + 1, limits.tenants + 1, 0);
  out->shared_.limits.copy(live.limits);
  out->shared_.cookie_key = live.cookie_key;
  out->shared_.leases = live.leases;
  out->shared_.wall_offset_ns.store(live.wall_offset_ns.load(std::memory_order_relaxed), std::memory_order_relaxed);
  out->shared_.shards = shards;
  out->shared_.fragments_max = live.fragments_max;
  SEKISHO_TRY(out->shared_.port_claims, PortClaims::create(limits.sessions));
  SEKISHO_TRY(out->shared_.flow_owners, FlowOwners::create(limits.sessions));
  out->shared_.tsc_ns = live.tsc_ns;
  out->shared_.tsc_base = live.tsc_base;
  out->shared_.cookie_key = live.cookie_key;
  for (std::uint32_t number = 0; shards > 1 && number < shards; ++number) {
    out->rings_.emplace_back(rte_ring_create(unique_name().c_str(), kRingEntries, SOCKET_ID_ANY, RING_F_SC_DEQ));
    if (out->rings_.back() == nullptr) return Error{ErrorCode::kLimit, ErrorSite::kDataplane, kRingEntries};
    out->shared_.handoff.push_back(out->rings_.back().get());
  }
  SEKISHO_TRY(out->shard_, Shard::create(0, limits, out->shared_, out->pool_.get(), engine.shard(0).sessions.seed(), live.tsc_base));
  out->shard_->meter_divisor = engine.shard(0).meter_divisor;
  out->shard_->nics = engine.shard(0).nics;  // none is usable: what no outlet has room for ends
  for (std::size_t i = 0; i < out->shard_->meters.size(); ++i) out->shard_->meters[i].divisor = engine.shard(0).meters[0].divisor;
  return out;
}

PrivateShard::~PrivateShard() = default;

std::uint64_t PrivateShard::live_tsc(std::uint32_t port) {
  std::uint64_t out = 0;
  engine_.look(receiver_of(engine_, runtime_.ports[port].nic), [&](const Shard& live) { out = live.now_tsc; });
  return out;
}

/// What the shard that polls the NIC knows: the time, and what the meters of the sender's Binding have seen.
void PrivateShard::copy_receiver(ByteSpan frame, std::uint32_t port) {
  const PortEntry& entry = runtime_.ports[port];
  std::uint32_t binding = entry.binding;
  if (entry.segment != kNoIndex && frame.size() >= filters::kEthernetHeaderBytes) {
    binding = runtime_.segments[entry.segment]->macs.find(filters::ethernet_source(frame).number());
  }
  std::uint64_t tsc = 0;
  const std::uint32_t receiver = receiver_of(engine_, entry.nic);
  be(receiver);
  engine_.look(receiver, [&](const Shard& live) {
    tsc = live.now_tsc;
    if (binding == kNoIndex) return;
    const std::uint32_t slot = runtime_.bindings[binding].slot;
    if (slot < live.meters.size()) shard_->meters[slot] = live.meters[slot];
  });
  shard_->begin_turn(tsc);
}

void PrivateShard::be(std::uint32_t number) {
  shard_->number = number;
  for (Outlet& outlet : shard_->outlets) outlet.owner = static_cast<std::uint16_t>(number);
}

/// What the shard being played, which owns the packet's flow, knows of it.
void PrivateShard::copy_owner(rte_mbuf* packet, Outcome& outcome) {
  const PacketMeta& meta = meta_of(packet);
  const HashSeed& seed = shard_->sessions.seed();
  path::QuotedFlow flow{path::lookup_of(packet, seed)};
  filters::QuotedPacket quoted{};
  const bool error = filters::is_icmp_error(meta);
  if (error && filters::parse_icmp_error(frame_of(packet), meta, quoted) == filters::DropReason::kNone) {
    flow = path::quoted_flow(quoted, meta.tenant, seed);
  } else if ((meta.proof & filters::kProofIpv6) != 0) {
    flow.ends = path::ends_of(packet, flow.lookup.from_high);
  }
  const std::uint32_t slot = runtime_.ports[meta.ingress].tenant_slot;
  LiveSession session{};
  bool found = false;
  engine_.look(shard_->number, [&](const Shard& live) {
    const std::uint32_t index = live.sessions.find(flow.lookup, flow.ends);
    found = index != kNoIndex && live.sessions.live(index);
    if (found) {
      session = {live.sessions.at(index), live.sessions.translation(index), live.proxies[index], live.accounted[index],
                 live.extras[index], live.sessions.own_hash(index)};
    }
    shard_->tenants[slot].sessions.set(live.tenants[slot].sessions.read());
    shard_->shares[slot] = live.shares[slot];
    shard_->cookies_until[slot] = live.cookies_until[slot];
  });
  if (!found) return;
  take_session(session);
  if (error) outcome.before = session.session;
}

void PrivateShard::copy_flow_owner(rte_mbuf* packet) {
  const PacketMeta& meta = meta_of(packet);
  const HashSeed& seed = shard_->sessions.seed();
  std::uint64_t hash = path::lookup_of(packet, seed).hash;
  filters::QuotedPacket quoted{};
  if (filters::is_icmp_error(meta) && filters::parse_icmp_error(frame_of(packet), meta, quoted) == filters::DropReason::kNone) {
    hash = path::quoted_flow(quoted, meta.tenant, seed).lookup.hash;
  }
  const std::uint32_t owner = engine_.shared().flow_owners.find(hash);
  if (owner != FlowOwners::kNone) shared_.flow_owners.add(hash, owner);
}

void PrivateShard::take_session(const LiveSession& live) {
  const bool ipv6 = (live.session.flags & kSessionIpv6) != 0;
  const std::uint32_t index = shard_->sessions.insert({live.session.key, live.hash, false}, live.session.ends, ipv6);
  if (index == kNoIndex) return;
  shard_->proxies[index] = live.proxy;
  shard_->accounted[index] = live.accounted;
  shard_->extras[index] = live.extra;
  Session& own = shard_->sessions.at(index);
  own = live.session;
  if ((own.flags & kSessionTranslated) != 0) {
    shard_->sessions.translation(index) = live.translation;
    const FlowLookup other{live.translation.key, shard_->sessions.other_hash(index), (live.translation.flags & kTranslationFromHigh) != 0};
    if (!shard_->sessions.add_other(index, other, live.translation.ends)) own.flags &= static_cast<std::uint8_t>(~kSessionTranslated);
    shard_->sessions.translation(index).delta = live.translation.delta;  // what it holds, the live shard holds
  }
  if (own.rule_slot >= shard_->no_rule()) own.rule_slot = shard_->no_rule();  // its rule is gone
  shard_->wheel.add(shard_->sessions, index);
}

/// Says what became of the packet, and empties the outlets.
void PrivateShard::gather(rte_mbuf* packet, Outcome& outcome) {
  bool left = false;
  for (std::uint16_t nic = 0; nic < shard_->outlets.size(); ++nic) {
    Outlet& outlet = shard_->outlets[nic];
    for (std::uint16_t i = 0; i < outlet.count; ++i) {
      rte_mbuf* sent = outlet.packets[i];
      const auto bytes = frame_of(sent);
      if (sent == packet) left = true, outcome.meta = meta_of(packet);
      outcome.sent.push_back({nic, sent == packet, {bytes.begin(), bytes.end()}});
      rte_pktmbuf_free(sent);
    }
    outlet.count = 0;
  }
  const Trace& trace = outcome.trace;
  if (trace.end == Trace::End::kNone && !left) {
    outcome.fate = Fate::kHeld;
    outcome.meta = meta_of(packet);
  } else if (left) {
    outcome.fate = trace.local ? Fate::kAnswered : Fate::kForwarded;
  } else {
    outcome.meta = trace.meta;
    outcome.fate = trace.end == Trace::End::kDropped ? Fate::kDropped : outcome.sent.empty() ? Fate::kConsumed : Fate::kAnswered;
  }
  const std::uint32_t index = outcome.meta.session;
  const bool placed = outcome.meta.generation == runtime_.generation && outcome.trace.stage >= Stage::kFindSession;
  if (placed && index != kNoIndex && index < shard_->sessions.capacity() && shard_->sessions.live(index)) {
    outcome.after = shard_->sessions.at(index);
    outcome.extra = shard_->extras[index];
  }
}

/// What shards hand to one another: the pieces of a datagram to where they meet, a packet to the owner of its flow.
template <typename Before>
void PrivateShard::run_handed(Before& before) {
  for (bool moved = true; moved;) {
    moved = false;
    for (std::uint32_t number = 0; number < rings_.size(); ++number) {
      if (rte_ring_empty(rings_[number].get()) != 0) continue;
      moved = true;
      be(number);
      Burst handed;
      path::receive_handed(*shard_, runtime_, handed);
      path::carry(*shard_, runtime_, handed, before);
    }
  }
}

Outcome PrivateShard::run(ByteSpan frame, std::uint32_t port, bool live) {
  Outcome outcome;
  outcome.frame.assign(frame.begin(), frame.end());
  SEKISHO_ASSERT(frame.size() <= kFrameBytesMax);
  rte_mbuf* packet = rte_pktmbuf_alloc(pool_.get());
  if (packet == nullptr) {  // a replay's fragments and packets that wait hold fewer than there are
    outcome.trace.end = Trace::End::kDropped;
    outcome.trace.reason = filters::DropReason::kNoMemory;
    return outcome;
  }
  char* room = rte_pktmbuf_append(packet, static_cast<std::uint16_t>(frame.size()));
  std::copy(frame.begin(), frame.end(), reinterpret_cast<std::uint8_t*>(room));
  packet->port = runtime_.ports[port].nic;
  meta_of(packet) = PacketMeta{};
  outcome.trace.packet = packet;
  shard_->trace = &outcome.trace;
  shard_->packets.received.add(1);

  Burst burst;
  burst.packets[burst.count++] = packet;
  const auto before = [&](Stage stage, Burst& now) {
    if (now.count == 0) return;  // the packet goes another way, or ended
    const bool looked_up = outcome.trace.stage == Stage::kFindSession;
    outcome.trace.stage = stage;
    rte_mbuf* carried = now.packets[0];  // the packet, or the train it completed
    if (stage == Stage::kSteer && live && shared_.shards > 1) copy_flow_owner(carried);
    if (stage == Stage::kFindSession && live) copy_owner(carried, outcome);
    const std::uint32_t index = meta_of(carried).session;
    if (looked_up && index != kNoIndex) outcome.before = shard_->sessions.at(index);
  };
  if (runtime_.ports[port].kind == snapshot::PortKind::kTunnel) {
    come_out_of_tunnel(packet, port, burst);
    before(Stage::kBind, burst);
    path::bind(*shard_, runtime_, burst, path::Count::kYes);
    path::proceed(*shard_, runtime_, burst, before);
  } else {
    path::take(*shard_, runtime_, burst, before);
  }
  run_handed(before);
  shard_->trace = nullptr;
  gather(packet, outcome);
  return outcome;
}

Result<void> PrivateShard::pretend(std::uint32_t port, const Address& source, const Address& destination, std::uint32_t user) {
  constexpr std::uint32_t kBoth = 2;
  const PortEntry& entry = runtime_.ports[port];
  SEKISHO_TRY(LeaseTable leases, LeaseTable::create(kBoth));
  if (const auto met = shared_.leases->find(entry.tenant, destination)) leases.set(entry.tenant, destination, *met);
  Lease own = shared_.leases->find(entry.tenant, source).value_or(Lease{});
  own.user = user;
  own.port = entry.id;
  leases.set(entry.tenant, source, own);
  shared_.leases = std::make_shared<LeaseTable>(std::move(leases));
  return {};
}

void PrivateShard::come_out_of_tunnel(rte_mbuf* packet, std::uint32_t port, Burst& burst) {
  using filters::DropReason;
  PacketMeta& meta = meta_of(packet);
  DropReason reason = filters::decode(frame_of(packet), packet->pkt_len, {.ip = false, .l4 = false}, meta);
  path::place(runtime_, meta, port);
  if (reason == DropReason::kNone && path::tunnel::port_of(*shard_, runtime_, packet) != port) reason = DropReason::kVpnNoLease;
  if (reason == DropReason::kNone) return;
  path::refuse(*shard_, runtime_, packet, reason);
  burst.count = 0;
}

Outcome PrivateShard::run_live(ByteSpan frame, std::uint32_t port) {
  copy_receiver(frame, port);
  return run(frame, port, true);
}

Outcome PrivateShard::run_apart(ByteSpan frame, std::uint32_t port, std::uint64_t tsc) {
  shard_->begin_turn(tsc);
  shard_->expire_sessions(runtime_, shard_->sessions.capacity());
  path::expire_fragments(*shard_, runtime_);
  Outcome out = run(frame, port, false);
  for (std::uint32_t i = 0; i < shard_->held_count; ++i) free_packet(shard_->held[i].packet);
  shard_->held_count = 0;
  return out;
}

}  // namespace sekisho::dataplane::explain
