// SPDX-License-Identifier: Apache-2.0
#include "dataplane/service/report.h"

#include <map>
#include <set>
#include <string>

#include "dataplane/path/record.h"
#include "dataplane/path/translate.h"
#include "filters/nat/port_block.h"
#include "filters/state/datagram_tracker.h"

namespace sekisho::dataplane {
namespace {

std::string bytes_of(const Address& address) { return {address.wire().begin(), address.wire().end()}; }
std::string bytes_of(const Mac& mac) { return {mac.bytes.begin(), mac.bytes.end()}; }

std::string state_of(const Session& session) {
  if (session.protocol == filters::kProtocolTcp) return std::string(filters::name(session.tcp.state));
  if (session.protocol == filters::kProtocolSctp) return std::string(filters::name(session.sctp.state));
  const bool replied = (session.flags & kSessionReplied) != 0;
  return std::string(filters::name(replied ? filters::DatagramState::kReplied : filters::DatagramState::kNew));
}

std::uint64_t ticks_to_ms(std::uint32_t ticks) { return std::uint64_t{ticks} * 1000 / kTicksPerSecond; }

/// The sum of one counter over all shards.
template <typename Pick>
std::uint64_t sum(const Engine& engine, Pick pick) {
  std::uint64_t out = 0;
  for (std::uint32_t i = 0; i < engine.shards(); ++i) out += pick(engine.shard(i)).read();
  return out;
}

void fill_rules(const Engine& engine, ipc::Counters& out) {
  for (const auto& [id, slot] : engine.slots().rules.all()) {
    ipc::RuleCounter* entry = out.add_rules();
    entry->set_rule(id);
    const auto at = [slot = slot](const Shard& shard) -> const RuleCounters& { return shard.rules[slot]; };
    entry->set_connections(sum(engine, [&](const Shard& shard) -> const Counter& { return at(shard).connections; }));
    entry->set_packets(sum(engine, [&](const Shard& shard) -> const Counter& { return at(shard).packets; }));
    entry->set_bytes(sum(engine, [&](const Shard& shard) -> const Counter& { return at(shard).bytes; }));
    for (std::uint32_t i = 0; i < engine.shards(); ++i) {
      const RuleCounters& counters = at(engine.shard(i));
      const std::uint64_t first = counters.first_hit_ns.read();
      if (first != 0 && (entry->first_hit_ns() == 0 || first < entry->first_hit_ns())) entry->set_first_hit_ns(first);
      entry->set_last_hit_ns(std::max(entry->last_hit_ns(), counters.last_hit_ns.read()));
    }
  }
}

void fill_ports(const Engine& engine, ipc::Counters& out) {
  for (const auto& [id, slot] : engine.slots().ports.all()) {
    ipc::PortCounter* entry = out.add_ports();
    entry->set_port(id);
    const auto total = [&, slot = slot](Counter PortCounters::* member) {
      return sum(engine, [&](const Shard& shard) -> const Counter& { return shard.ports[slot].*member; });
    };
    entry->set_rx_packets(total(&PortCounters::rx_packets));
    entry->set_rx_bytes(total(&PortCounters::rx_bytes));
    entry->set_tx_packets(total(&PortCounters::tx_packets));
    entry->set_tx_bytes(total(&PortCounters::tx_bytes));
  }
}

void fill_tenant(const Engine& engine, std::uint32_t id, std::uint32_t slot, ipc::Counters& out) {
  for (std::size_t reason = 1; reason < static_cast<std::size_t>(filters::DropReason::kCount); ++reason) {
    const std::uint64_t packets =
        sum(engine, [&](const Shard& shard) -> const Counter& { return shard.tenants[slot].drops[reason]; });
    if (packets == 0) continue;
    ipc::DropCounter* entry = out.add_drops();
    entry->set_tenant(id);
    entry->set_reason(static_cast<std::uint32_t>(reason));
    entry->set_name(std::string(filters::info(static_cast<filters::DropReason>(reason)).name));
    entry->set_packets(packets);
  }
}

void fill_conservation(const Engine& engine, ipc::Conservation& out) {
  const auto total = [&](Counter PacketCounters::* member) {
    return sum(engine, [&](const Shard& shard) -> const Counter& { return shard.packets.*member; });
  };
  out.set_received(total(&PacketCounters::received));
  out.set_generated(total(&PacketCounters::generated));
  out.set_sent(total(&PacketCounters::sent));
  out.set_punted(total(&PacketCounters::punted));
  out.set_held(total(&PacketCounters::held));
  out.set_dropped(total(&PacketCounters::dropped));
  out.set_violations(total(&PacketCounters::violations));
}

}  // namespace

void fill_status(Engine& engine, std::uint64_t started_ns, ipc::Status& out) {
  out.set_generation(engine.runtime() == nullptr ? 0 : engine.runtime()->revision);
  out.set_moment(engine.runtime() == nullptr ? 0 : engine.runtime()->view.moment());
  out.set_workers(engine.shards());
  out.set_forwarding(engine.runtime() != nullptr);
  out.set_started_ns(started_ns);
  out.set_version(SEKISHO_VERSION);
  std::uint64_t capacity = 0;
  std::uint64_t sessions = 0;
  for (std::uint32_t i = 0; i < engine.shards(); ++i) {
    capacity += engine.shard(i).limits.sessions;
    for (std::uint32_t slot = 0; slot <= engine.shard(i).no_tenant(); ++slot) sessions += engine.shard(i).tenants[slot].sessions.read();
  }
  out.set_sessions(sessions);
  std::uint64_t left = 0;
  for (std::uint32_t i = 0; i < engine.shards(); ++i) {
    const Sweep& sweep = engine.shard(i).sweep;
    const bool unfinished = engine.runtime() != nullptr && sweep.finished.read() != engine.runtime()->generation;
    if (unfinished) left += std::max<std::uint64_t>(1, sweep.left.read());
  }
  out.set_sweep_left(left);
  out.set_sessions_max(capacity);
}

void account_living(Engine& engine) {
  if (engine.runtime() == nullptr) return;
  // A session not yet judged by this generation may stand under a rule that is gone.
  engine.for_each_session([generation = engine.runtime()->generation](Shard& shard, std::uint32_t index) {
    if (shard.sessions.at(index).generation == generation) shard.account(index);
    return true;
  });
}

void fill_counters(const Engine& engine, std::uint64_t started_ns, ipc::Counters& out) {
  out.set_since_ns(started_ns);
  out.set_generation(engine.runtime() == nullptr ? 0 : engine.runtime()->revision);
  fill_rules(engine, out);
  fill_ports(engine, out);
  for (const auto& [id, slot] : engine.slots().bindings.all()) {
    ipc::BindingCounter* entry = out.add_bindings();
    entry->set_binding(id);
    entry->set_quarantined(engine.quarantine(slot).begun());
    entry->set_quarantine_refused(engine.quarantine(slot).refused_packets());
    entry->set_violations(sum(engine, [slot = slot](const Shard& shard) -> const Counter& { return shard.violations[slot]; }));
  }
  for (const auto& [id, slot] : engine.slots().tenants.all()) {
    fill_tenant(engine, id, slot, out);
    ipc::TenantCounter* entry = out.add_tenants();
    entry->set_tenant(id);
    entry->set_sessions(sum(engine, [slot = slot](const Shard& shard) -> const Counter& { return shard.tenants[slot].sessions; }));
    entry->set_log_lost(sum(engine, [slot = slot](const Shard& shard) -> const Counter& { return shard.tenants[slot].log_lost; }));
  }
  fill_tenant(engine, kNoIndex, engine.slots().tenants.capacity(), out);
  fill_conservation(engine, *out.mutable_conservation());
}

void fill_sessions(Engine& engine, std::optional<std::uint32_t> tenant, std::uint32_t limit, ipc::SessionList& out) {
  const std::uint32_t most = limit == 0 ? kSessionsListedMax : std::min(limit, kSessionsListedMax);
  // The shard only copies; the strings are made here, while it goes on with its packets.
  struct Copy {
    Session session;
    path::SessionEnds sent;
    std::uint64_t flow_id;
    std::uint32_t shard, now_tick;
    std::uint64_t now_ns;
  };
  std::vector<Copy> copies;
  copies.reserve(std::min<std::uint64_t>(most, engine.shards() * std::uint64_t{engine.shard(0).limits.sessions}));
  engine.for_each_session([&](Shard& shard, std::uint32_t index) {
    const Session& session = shard.sessions.at(index);
    if (tenant.has_value() && tenant_of(session.key) != *tenant) return true;
    if (copies.size() == copies.capacity() || copies.size() == most) {
      out.set_truncated(true);
      return false;
    }
    const bool translated = (session.flags & kSessionTranslated) != 0;
    const path::SessionEnds sent = translated ? path::sent_ends(shard, index, Direction::kForward) : path::SessionEnds{};
    copies.push_back({session, sent, path::flow_id(shard, session, index), shard.number, shard.now_tick, shard.now_ns});
    return true;
  });
  for (const Copy& copy : copies) {
    const Session& session = copy.session;
    const path::SessionEnds ends = path::ends_of(session);
    ipc::SessionEntry* entry = out.add_sessions();
    entry->set_flow_id(copy.flow_id);
    entry->set_tenant(tenant_of(session.key));
    entry->set_shard(copy.shard);
    entry->set_generation(revision_of(session.generation));
    entry->set_source(bytes_of(ends.source));
    entry->set_destination(bytes_of(ends.destination));
    entry->set_protocol(session.protocol);
    entry->set_source_port(ends.source_port);
    entry->set_destination_port(ends.destination_port);
    if (copy.sent.source.family != Family::kNone) {
      entry->set_nat_source(bytes_of(copy.sent.source));
      entry->set_nat_destination(bytes_of(copy.sent.destination));
      entry->set_nat_source_port(copy.sent.source_port);
      entry->set_nat_destination_port(copy.sent.destination_port);
    }
    entry->set_rule(session.rule);
    entry->set_in_port(session.in_port);
    entry->set_out_port(session.out_port);
    entry->set_state(state_of(session));
    entry->set_packets_forward(session.packets(0));
    entry->set_packets_reverse(session.packets(1));
    entry->set_bytes_forward(session.bytes(0));
    entry->set_bytes_reverse(session.bytes(1));
    entry->set_age_ms((copy.now_ns - session.start_ns) / 1'000'000);
    const std::uint32_t idle = copy.now_tick - session.last_seen;
    entry->set_idle_ms(ticks_to_ms(idle));
    entry->set_expires_ms(idle >= session.timeout ? 0 : ticks_to_ms(session.timeout - idle));
  }
}

namespace {

/// What a session says of the NAT rules it stands under.
struct NatUse {
  std::uint32_t tenant, in, out;
  std::uint32_t inside, outside;             ///< claimed: IPv4
  std::uint16_t block_first, block_count;    ///< claimed; else 0
  std::uint16_t port;
  std::uint8_t protocol;
};

NatUse nat_use(const Shard& shard, std::uint32_t index) {
  const Session& session = shard.sessions.at(index);
  const SessionExtra& extra = shard.extras[index];
  NatUse out{tenant_of(session.key), extra.nat_in, extra.nat_out, 0, 0, 0, 0, 0, session.protocol};
  if ((session.flags & kSessionTranslated) == 0) return out;
  const Translation& translation = shard.sessions.translation(index);
  if ((translation.flags & kTranslationClaimed) == 0) return out;
  const path::SessionEnds sent = path::sent_ends(shard, index, Direction::kForward);
  out.inside = path::ends_of(session).source.v4();
  out.outside = sent.source.v4();
  out.block_first = translation.block_first;
  out.block_count = translation.block_count;
  out.port = sent.source_port;
  return out;
}

std::vector<NatUse> gather_nat(Engine& engine, std::optional<std::uint32_t> tenant) {
  std::vector<NatUse> out;
  std::uint64_t open = 0;
  for (std::uint32_t i = 0; i < engine.shards(); ++i) {
    engine.look(i, [&open](const Shard& shard) { open += shard.sessions.used_end(); });
  }
  out.reserve(open + open / 8 + 64);  // nothing is allocated in a shard's thread, where some begin meanwhile
  engine.for_each_session([&](Shard& shard, std::uint32_t index) {
    const SessionExtra& extra = shard.extras[index];
    const bool none = (extra.nat_in | extra.nat_out) == 0 || (tenant.has_value() && tenant_of(shard.sessions.at(index).key) != *tenant);
    if (none) return true;
    if (out.size() == out.capacity()) return false;
    out.push_back(nat_use(shard, index));
    return true;
  });
  return out;
}

struct BlockKey {
  std::uint32_t rule, tenant, inside, outside;
  std::uint16_t first, count;
  auto operator<=>(const BlockKey&) const = default;
};
struct BlockUse {
  std::set<std::uint32_t> ports;  ///< protocol << 16 | port
  std::uint32_t sessions = 0;
};

std::uint64_t blocks_of(const filters::SnapshotView& view, const snapshot::NatRule& rule) {
  if (rule.kind != snapshot::NatKind::kNapt) return 0;
  const auto ranges = view.address_ranges();
  return filters::PortBlocks(filters::slice(ranges, rule.sources), filters::slice(ranges, rule.translated), rule.block_ports)
      .inside_addresses();
}

}  // namespace

void fill_nat(Engine& engine, std::optional<std::uint32_t> tenant, ipc::NatReport& out) {
  const Runtime* runtime = engine.runtime();
  if (runtime == nullptr) return;
  std::map<std::uint32_t, ipc::NatRuleUse*> rules;
  for (std::size_t i = 0; i < runtime->nat_rules.size(); ++i) {
    const NatEntry& entry = runtime->nat_rules[i];
    ipc::NatRuleUse* use = out.add_rules();
    rules.emplace(entry.id, use);
    use->set_rule(entry.id);
    use->set_blocks_all(blocks_of(runtime->view, runtime->view.nat_rules()[i]));
    for (std::uint32_t number = 0; number < engine.shards(); ++number) {
      const RuleCounters& counters = engine.shard(number).rules[entry.slot];
      use->set_connections(use->connections() + counters.connections.read());
      const std::uint64_t first = counters.first_hit_ns.read();
      if (first != 0 && (use->first_hit_ns() == 0 || first < use->first_hit_ns())) use->set_first_hit_ns(first);
      use->set_last_hit_ns(std::max(use->last_hit_ns(), counters.last_hit_ns.read()));
    }
  }
  std::map<BlockKey, BlockUse> blocks;
  for (const NatUse& use : gather_nat(engine, tenant)) {
    for (const std::uint32_t id : std::set{use.in, use.out}) {
      if (const auto rule = rules.find(id); rule != rules.end()) rule->second->set_sessions(rule->second->sessions() + 1);
    }
    if (use.block_count == 0) continue;
    BlockUse& block = blocks[{use.out, use.tenant, use.inside, use.outside, use.block_first, use.block_count}];
    block.ports.insert(std::uint32_t{use.protocol} << 16 | use.port);
    ++block.sessions;
  }
  for (const auto& [key, use] : blocks) {
    if (const auto rule = rules.find(key.rule); rule != rules.end()) {
      rule->second->set_ports(rule->second->ports() + use.ports.size());
      rule->second->set_blocks(rule->second->blocks() + 1);
    }
    if (out.blocks_size() == static_cast<int>(kNatBlocksListedMax)) {
      out.set_truncated(true);
      continue;
    }
    ipc::NatBlockUse* entry = out.add_blocks();
    entry->set_rule(key.rule);
    entry->set_tenant(key.tenant);
    entry->set_inside(bytes_of(Address::from_v4(key.inside)));
    entry->set_outside(bytes_of(Address::from_v4(key.outside)));
    entry->set_first(key.first);
    entry->set_count(key.count);
    entry->set_ports(static_cast<std::uint32_t>(use.ports.size()));
    entry->set_sessions(use.sessions);
  }
}

namespace {

/// Of a virtual address: whether this host has it now.
const char* bound_state(const Runtime& runtime, std::uint32_t index, const snapshot::BindingPair& pair) {
  const snapshot::Binding& binding = runtime.view.bindings()[index];
  if (binding.active == 0) return "suspended";
  const VirtualAddress* moving = runtime.find_virtual(runtime.ports[binding.port].tenant_index, pair.prefix.address);
  if (moving == nullptr) return "static";
  const auto is_this = [&](const VirtualAddress::Host& host) {
    return host.binding == index && (runtime.static_hops[host.hop] & ~(kWatchedHop | kVirtualHop)) == raw_mac(pair.mac);
  };
  return is_this(moving->held_by()) ? "holder" : "standby";
}

}  // namespace

void fill_neighbours(const Engine& engine, ipc::NeighbourList& out) {
  const Runtime* runtime = engine.runtime();
  if (runtime == nullptr) return;
  for (std::uint32_t index = 0; index < runtime->bindings.size(); ++index) {
    const snapshot::Binding& binding = runtime->view.bindings()[index];
    for (const snapshot::BindingPair& pair : filters::slice(runtime->view.binding_pairs(), binding.pairs)) {
      if (pair.prefix.length != pair.prefix.address.bits()) continue;
      ipc::NeighbourEntry* entry = out.add_neighbours();
      entry->set_port(runtime->ports[binding.port].id);
      entry->set_address(bytes_of(pair.prefix.address));
      entry->set_mac(bytes_of(pair.mac));
      entry->set_state(bound_state(*runtime, index, pair));
      entry->set_origin("binding");
      entry->set_binding(binding.id);
    }
  }
  for (std::uint32_t place = 0; place < NeighbourTable::kCapacity; ++place) {
    const NeighbourTable::Listing listing = engine.shared().neighbours.list(place);
    if (listing.reading.state == NeighbourState::kFree) continue;
    ipc::NeighbourEntry* entry = out.add_neighbours();
    entry->set_port(listing.port_id);
    entry->set_address(bytes_of(listing.address));
    const bool known = listing.reading.state == NeighbourState::kReachable;
    if (known) entry->set_mac(bytes_of(listing.reading.mac));
    entry->set_state(known ? "reachable" : "incomplete");
    entry->set_origin("resolved");
  }
}

std::uint64_t clear_sessions(Engine& engine, std::optional<std::uint32_t> tenant) {
  std::uint64_t cleared = 0;
  engine.for_each_session([&](Shard& shard, std::uint32_t index) {
    if (tenant.has_value() && tenant_of(shard.sessions.at(index).key) != *tenant) return true;
    shard.end_session(index, EndReason::kCleared);
    ++cleared;
    return true;
  });
  return cleared;
}

}  // namespace sekisho::dataplane
