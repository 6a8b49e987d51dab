// SPDX-License-Identifier: Apache-2.0
#include "dataplane/path/nat_admit.h"

#include <algorithm>

#include "dataplane/path/lookup.h"
#include "dataplane/path/record.h"
#include "dataplane/path/translate.h"
#include "filters/packet/fields.h"
#include "filters/packet/protocol.h"

namespace sekisho::dataplane::path {
namespace {

using filters::DropReason;
using filters::FlowEnds;
using filters::NatOutcome;
using filters::NatStep;
using filters::PolicyQuery;

std::uint8_t zone_of(const Runtime& config, std::uint32_t tenant_index, const Address& address, std::uint8_t otherwise) {
  const TenantEntry& tenant = config.tenants[tenant_index];
  const std::uint32_t at = tenant.routes.find(address);
  if (at == PrefixTable::kNoValue || tenant.targets[at].port == kNoIndex) return otherwise;
  return config.ports[tenant.targets[at].port].zone;
}

/// What NAT rules look at. An echo's type and code are those of a request; its ports the identifier.
PolicyQuery query_of(const Runtime& config, std::uint32_t ingress, const FlowEnds& ends, std::uint8_t protocol,
                     std::uint8_t destination_zone) {
  return {.tenant_index = config.ports[ingress].tenant_index,
          .source_zone = config.ports[ingress].zone,
          .destination_zone = destination_zone,
          .source = ends.source,
          .destination = ends.destination,
          .protocol = protocol,
          .source_port = ends.source_port,
          .destination_port = ends.destination_port,
          .icmp_type = protocol == filters::kProtocolIcmpv6 ? std::uint8_t{128} : std::uint8_t{8},
          .icmp_code = 0};
}

bool has_identifier(std::uint8_t protocol) { return filters::is_icmp(protocol); }

/// The source step. A client that aims at an outside address of a neighbour looks like one from outside: it is translated
/// as if its packet went there (RFC 4787 REQ-9).
NatStep source_step(const Runtime& config, std::uint32_t ingress, const FlowEnds& sent, std::uint8_t protocol,
                    std::uint8_t out_zone, const Address& received_destination, const NatTarget& target) {
  const NatStep step = filters::nat_source(config.view, query_of(config, ingress, sent, protocol, out_zone));
  if (step.rule != snapshot::kNone || !target.translated || target.zone == out_zone) return step;
  FlowEnds aimed = sent;
  aimed.destination = received_destination;
  return filters::nat_source(config.view, query_of(config, ingress, aimed, protocol, target.zone));
}

FlowLookup lookup_of(const FlowEnds& ends, std::uint8_t protocol, std::uint32_t tenant, const HashSeed& seed,
                     std::array<Words6, 2>& words) {
  if (ends.source.family == Family::kIpv4) {
    return make_key4(ends.source.v4(), ends.destination.v4(), ends.source_port, ends.destination_port, protocol, tenant, seed);
  }
  const Words6 from = load_words6(ends.source.bytes, 0);
  const Words6 to = load_words6(ends.destination.bytes, 0);
  const FlowLookup out = make_key6(from, to, ends.source_port, ends.destination_port, protocol, tenant, seed);
  words = out.from_high ? std::array<Words6, 2>{to, from} : std::array<Words6, 2>{from, to};
  return out;
}

ClaimSpace claim_space(const Shard& shard, std::uint32_t tenant, std::uint32_t outside, std::uint8_t protocol, const Address& inside) {
  return {tenant, outside, protocol, shard.sessions.seed(), inside.v4()};
}

/// The share an address leaves by owns it: another tenant's, or nobody's, would never be answered.
bool may_leave(const Runtime& config, std::uint32_t out_port, const Address& source) {
  const PortEntry& port = config.ports[out_port];
  return port.kind != snapshot::PortKind::kShare || config.owner(port.wire, source) == out_port;
}

/// How a flow would leave; the port of `step.block` is still to be taken.
struct Leaving {
  DropReason reason;
  FlowEnds sent;
  NatStep step;
};

Leaving leaving_of(const Runtime& config, const PacketMeta& meta, const FlowEnds& received, const NatTarget& target,
                   std::uint32_t out_port) {
  Leaving out{DropReason::kNone, received, {}};
  if (target.translated) {
    out.sent.destination = target.address;
    out.sent.destination_port = target.port;
  }
  out.step = source_step(config, meta.ingress, out.sent, meta.protocol, config.ports[out_port].zone, received.destination, target);
  const bool translated = out.step.outcome == NatOutcome::kTranslated;
  if (translated) out.sent.source = out.step.address;
  if (out.step.outcome == NatOutcome::kImpossible || (translated && !may_leave(config, out_port, out.sent.source))) {
    out.reason = DropReason::kNatUnmapped;
  } else if (out.sent.source == out.sent.destination) {
    out.reason = DropReason::kLand;  // to its own outside address, and no rule hides who asks
  }
  return out;
}

void set_port(FlowEnds& sent, std::uint8_t protocol, std::uint16_t port) {
  sent.source_port = port;
  if (has_identifier(protocol)) sent.destination_port = port;
}

bool is_answered(const PacketMeta& meta, std::uint64_t hash) {
  return meta.resume == static_cast<std::uint8_t>(Resume::kNatAnswered) && (std::uint64_t{meta.egress} << 32 | meta.next_hop) == hash;
}

/// Gives session `index` its other key. False: that flow is somebody's already, or there is no place.
bool attach(Shard& shard, std::uint32_t tenant, std::uint32_t index, std::uint8_t protocol, const FlowEnds& received,
            const FlowEnds& sent) {
  std::array<Words6, 2> words{};
  const FlowLookup other = lookup_of(sent, protocol, tenant, shard.sessions.seed(), words);
  if (shard.sessions.find(other, words) != kNoIndex) return false;
  const bool shared = shard.shared.shards > 1;
  if (shared && !shard.shared.flow_owners.add(other.hash, shard.number)) return false;
  if (!shard.sessions.add_other(index, other, words)) {
    if (shared) shard.shared.flow_owners.remove(other.hash, shard.number);
    return false;
  }
  Translation& translation = shard.sessions.translation(index);
  if (shared) translation.flags |= kTranslationOwned;
  translation.delta[0] = filters::delta_of(received, sent, protocol);
  translation.delta[1] = filters::delta_of(filters::reversed(sent), filters::reversed(received), protocol);
  return true;
}

/// attach() with a port out of the block.
bool attach_claimed(Shard& shard, std::uint32_t tenant, std::uint32_t index, std::uint8_t protocol, const FlowEnds& received,
                    FlowEnds sent, const filters::PortBlock& block) {
  const ClaimSpace space = claim_space(shard, tenant, block.outside, protocol, received.source);
  const auto claim = shard.shared.port_claims.take(space, block, received.source_port);
  if (!claim) return false;
  set_port(sent, protocol, claim->port);
  if (!attach(shard, tenant, index, protocol, received, sent)) {
    shard.shared.port_claims.release(space, block, received.source_port, claim->probe);
    return false;
  }
  Translation& translation = shard.sessions.translation(index);
  translation.flags |= kTranslationClaimed;
  translation.block_first = block.first;
  translation.block_count = block.count;
  translation.probe = claim->probe;
  return true;
}

void count_hit(Shard& shard, const Runtime& config, std::uint32_t rule) {
  if (rule == snapshot::kNone) return;
  RuleCounters& counters = shard.rules[config.nat_rules[rule].slot];
  if (counters.connections.read() == 0) counters.first_hit_ns.set(shard.now_ns);
  counters.connections.add(1);
  counters.last_hit_ns.set(shard.now_ns);
}

/// Of indices in kNatRules, or kNone.
NatRules rules_of(const Runtime& config, std::uint32_t in, std::uint32_t out) {
  const auto entry = [&](std::uint32_t rule) { return rule == snapshot::kNone ? NatEntry{} : config.nat_rules[rule]; };
  return {entry(in).id, entry(out).id, static_cast<std::uint8_t>(entry(in).log | entry(out).log)};
}

}  // namespace

FlowEnds received_ends(rte_mbuf* packet) noexcept {
  const PacketMeta& meta = meta_of(packet);
  const auto frame = frame_of(packet);
  return {filters::ip_source(frame, meta), filters::ip_destination(frame, meta), meta.source_port, meta.destination_port};
}

DropReason nat_target(const Runtime& config, const PacketMeta& meta, const Address& source, const Address& destination,
                      NatTarget& out) noexcept {
  const PortEntry& port = config.ports[meta.ingress];
  out.zone = zone_of(config, port.tenant_index, destination, port.zone);
  const FlowEnds ends{source, destination, meta.source_port, meta.destination_port};
  const NatStep step = filters::nat_destination(config.view, query_of(config, meta.ingress, ends, meta.protocol, out.zone));
  out.rule = step.rule;
  if (step.outcome == NatOutcome::kImpossible) return DropReason::kNatUnmapped;
  if (step.outcome != NatOutcome::kTranslated) return DropReason::kNone;
  out.address = step.address;
  out.port = step.port;
  out.translated = true;
  return DropReason::kNone;
}

DropReason nat_session(Shard& shard, const Runtime& config, const PacketMeta& meta, std::uint32_t index,
                       const FlowEnds& received, const NatTarget& target, std::uint32_t out_port) noexcept {
  if (!note_flow(shard, index)) return DropReason::kNatExhausted;
  const auto [reason, sent, step] = leaving_of(config, meta, received, target, out_port);
  if (reason != DropReason::kNone) return reason;
  const bool attached = step.block ? attach_claimed(shard, meta.tenant, index, meta.protocol, received, sent, *step.block)
                                   : sent == received || attach(shard, meta.tenant, index, meta.protocol, received, sent);
  if (!attached) return DropReason::kNatExhausted;
  count_hit(shard, config, target.rule);
  if (step.rule != target.rule) count_hit(shard, config, step.rule);
  const NatRules rules = rules_of(config, target.rule, step.rule);
  shard.extras[index].nat_in = rules.in;
  shard.extras[index].nat_out = rules.out;
  std::uint8_t& flags = shard.sessions.at(index).flags;
  if ((rules.log & snapshot::kLogStart) != 0) flags |= kSessionLogStart;
  if ((rules.log & snapshot::kLogEnd) != 0) flags |= kSessionLogEnd;
  return DropReason::kNone;
}

bool note_flow(Shard& shard, std::uint32_t index) noexcept {
  Session& session = shard.sessions.at(index);
  if (shard.shared.shards == 1 || (session.traits & kSessionNoted) != 0) return true;
  if (!shard.shared.flow_owners.add(shard.sessions.own_hash(index), shard.number)) return false;
  session.traits |= kSessionNoted;
  return true;
}

void forget_flow(Shard& shard, std::uint32_t index) noexcept {
  if ((shard.sessions.at(index).traits & kSessionNoted) == 0) return;
  shard.shared.flow_owners.remove(shard.sessions.own_hash(index), shard.number);
}

bool nat_asks(Shard& shard, const Runtime& config, rte_mbuf* packet, const NatTarget& target, std::uint32_t out_port) noexcept {
  const auto has_swept = [&](const auto& generation) { return generation.load(std::memory_order_acquire) == config.generation; };
  if (std::all_of(shard.shared.swept.begin(), shard.shared.swept.end(), has_swept)) [[likely]] return false;
  PacketMeta& meta = meta_of(packet);
  const FlowEnds received = received_ends(packet);
  auto [reason, sent, step] = leaving_of(config, meta, received, target, out_port);
  if (reason != DropReason::kNone) return false;
  if (step.block) {  // the port it would take
    const ClaimSpace space = claim_space(shard, meta.tenant, step.block->outside, meta.protocol, received.source);
    const auto claim = shard.shared.port_claims.take(space, *step.block, received.source_port);
    if (!claim) return false;
    shard.shared.port_claims.release(space, *step.block, received.source_port, claim->probe);
    set_port(sent, meta.protocol, claim->port);
  }
  if (sent == received) return false;
  const std::uint32_t there = steered_shard(sent.source, sent.destination, sent.source_port, sent.destination_port, shard.shared.shards);
  if (there == shard.number || has_swept(shard.shared.swept[there])) return false;
  std::array<Words6, 2> words{};
  const std::uint64_t hash = lookup_of(sent, meta.protocol, meta.tenant, shard.sessions.seed(), words).hash;
  if (is_answered(meta, hash)) return false;
  meta.egress = static_cast<std::uint32_t>(hash >> 32);
  meta.next_hop = static_cast<std::uint32_t>(hash);
  meta.session = shard.number;
  shard.hand_off(packet, there, Resume::kNatQuestion, config.ports[meta.ingress].tenant_slot);
  return true;
}

void nat_answer(Shard& shard, const Runtime& config, rte_mbuf* packet) noexcept {
  const PacketMeta& meta = meta_of(packet);
  const bool known = meta.generation == config.generation;  // else this shard may still make flows that it does not note
  const std::uint32_t index = shard.sessions.find_own(std::uint64_t{meta.egress} << 32 | meta.next_hop);
  if (known && index != kNoIndex) note_flow(shard, index);
  shard.hand_off(packet, meta.session, known ? Resume::kNatAnswered : Resume::kFindSession,
                 known ? config.ports[meta.ingress].tenant_slot : shard.no_tenant());
}

bool nat_unchanged(const Shard& shard, const Runtime& config, std::uint32_t index, std::uint32_t port_in,
                   std::uint32_t port_out, NatRules& rules) noexcept {
  const Session& session = shard.sessions.at(index);
  const FlowEnds received = ends_of(session);
  const bool is_translated = (session.flags & kSessionTranslated) != 0;
  const FlowEnds sent = is_translated ? sent_ends(shard, index, Direction::kForward) : received;
  NatTarget target;
  target.zone = zone_of(config, config.ports[port_in].tenant_index, received.destination, config.ports[port_in].zone);
  const NatStep in = filters::nat_destination(config.view, query_of(config, port_in, received, session.protocol, target.zone));
  target.translated = in.outcome == NatOutcome::kTranslated;
  FlowEnds expected = received;
  if (target.translated) {
    expected.destination = in.address;
    expected.destination_port = in.port;
  }
  const NatStep out = source_step(config, port_in, expected, session.protocol, config.ports[port_out].zone, received.destination, target);
  if (in.outcome == NatOutcome::kImpossible || out.outcome == NatOutcome::kImpossible) return false;
  rules = rules_of(config, in.rule, out.rule);
  if (out.outcome == NatOutcome::kTranslated) expected.source = out.address;
  if (out.block && out.block->contains(sent.source_port)) {
    expected.source_port = sent.source_port;
    if (has_identifier(session.protocol)) expected.destination_port = sent.destination_port;
  }
  return expected == sent && (!out.block || out.block->contains(sent.source_port));
}

void release_translation(Shard& shard, std::uint32_t index) noexcept {
  const Session& session = shard.sessions.at(index);
  const Translation& translation = shard.sessions.translation(index);
  if ((translation.flags & kTranslationOwned) != 0) {
    shard.shared.flow_owners.remove(shard.sessions.other_hash(index), shard.number);
  }
  if ((translation.flags & kTranslationClaimed) == 0) return;
  const FlowEnds sent = sent_ends(shard, index, Direction::kForward);
  const filters::PortBlock block{sent.source.v4(), translation.block_first, translation.block_count};
  const FlowEnds received = ends_of(session);
  const ClaimSpace space = claim_space(shard, tenant_of(session.key), block.outside, session.protocol, received.source);
  shard.shared.port_claims.release(space, block, received.source_port, translation.probe);
}

}  // namespace sekisho::dataplane::path
