// SPDX-License-Identifier: Apache-2.0
#include "dataplane/path/record.h"

#include <algorithm>
#include <array>
#include <limits>

#include "dataplane/path/quarantine.h"
#include "dataplane/path/translate.h"
#include "filters/link/binding_guard.h"
#include "filters/packet/fields.h"
#include "filters/policy/linear_matcher.h"

namespace sekisho::dataplane::path {
namespace {

using filters::DropReason;

Address address_of(const Words6& words) {
  Address out;
  out.family = Family::kIpv6;
  store_be<std::uint64_t>(out.bytes, 0, words.high);
  store_be<std::uint64_t>(out.bytes, 8, words.low);
  return out;
}

LogEnvelope envelope(const Shard& shard, std::uint32_t tenant, std::uint32_t generation, LogKind kind, DropReason reason) {
  return {.timestamp = shard.now_ns,
          .tenant = tenant,
          .generation = revision_of(generation),
          .kind = kind,
          .shard = static_cast<std::uint8_t>(shard.number),
          .drop_reason = static_cast<std::uint8_t>(reason),
          .notice = kNoticeNone,
          .count = 1};
}

std::uint32_t saturate(std::uint64_t value) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(value, std::numeric_limits<std::uint32_t>::max()));
}

bool is_icmp(std::uint8_t protocol) {
  return protocol == filters::kProtocolIcmp || protocol == filters::kProtocolIcmpv6;
}

/// The comm record of a packet that made no session.
CommBody denied(const Runtime& config, rte_mbuf* packet, CommAction action, std::uint32_t rule,
                std::uint32_t out_port) {
  const PacketMeta& meta = meta_of(packet);
  const auto frame = frame_of(packet);
  CommBody body{};
  body.rule = rule == kNoIndex ? kNoIndex : config.rules[rule].id;
  body.in_port = config.ports[meta.ingress].id;
  body.out_port = out_port == kNoIndex ? kNoIndex : config.ports[out_port].id;
  body.protocol = meta.protocol;
  body.ip_version = (meta.proof & filters::kProofIpv4) != 0 ? 4 : 6;
  body.phase = CommPhase::kDrop;
  body.action = action;
  body.packet_length = meta.l3_length;
  body.tcp_flags = meta.tcp_flags;
  const bool ipv4 = body.ip_version == 4;
  const std::size_t source_at = meta.l3_offset + (ipv4 ? 12U : 8U);
  const std::size_t bytes = ipv4 ? 4 : 16;
  std::copy_n(frame.begin() + static_cast<std::ptrdiff_t>(source_at), bytes, body.source.begin());
  std::copy_n(frame.begin() + static_cast<std::ptrdiff_t>(source_at + bytes), bytes, body.destination.begin());
  body.source_port = is_icmp(meta.protocol) ? static_cast<std::uint16_t>(meta.icmp_type << 8 | meta.icmp_code) : meta.source_port;
  body.destination_port = is_icmp(meta.protocol) ? std::uint16_t{0} : meta.destination_port;
  return body;
}

}  // namespace

EndReason end_reason_of(const Session& session) {
  if (session.protocol != filters::kProtocolTcp) return EndReason::kAged;
  switch (session.tcp.state) {
    case filters::TcpState::kTimeWait: return EndReason::kTcpFin;
    case filters::TcpState::kClosed: return EndReason::kTcpRst;
    case filters::TcpState::kNone:
    case filters::TcpState::kSynSent:
    case filters::TcpState::kSimultaneousSyn:
    case filters::TcpState::kSynReceived:
    case filters::TcpState::kEstablished:
    case filters::TcpState::kFinWaitForward:
    case filters::TcpState::kFinWaitReverse:
    case filters::TcpState::kClosing:
    case filters::TcpState::kCount: return EndReason::kAged;
  }
  return EndReason::kAged;
}

SessionEnds ends_of(const FlowKey& key, const std::array<Words6, 2>& ends, bool ipv6, bool from_high) {
  const auto port = [](std::uint64_t end) { return static_cast<std::uint16_t>(end); };
  const Address low = ipv6 ? address_of(ends[0]) : Address::from_v4(static_cast<std::uint32_t>(key.low >> 16));
  const Address high = ipv6 ? address_of(ends[1]) : Address::from_v4(static_cast<std::uint32_t>(key.high >> 16));
  if (from_high) return {high, low, port(key.high), port(key.low)};
  return {low, high, port(key.low), port(key.high)};
}

SessionEnds ends_of(const Session& session) {
  return ends_of(session.key, session.ends, (session.flags & kSessionIpv6) != 0, (session.flags & kSessionForwardFromHigh) != 0);
}

std::uint64_t flow_id(const Shard& shard, const Session& session, std::uint32_t index) {
  return mix(session.start_ns ^ 0x9e3779b97f4a7c15ULL, std::uint64_t{index} << 8 | shard.number) | 1U;
}

void record_session(Shard& shard, const Session& session, std::uint32_t index, CommPhase phase, EndReason reason) noexcept {
  const SessionEnds ends = ends_of(session);
  const bool icmp = is_icmp(session.protocol);
  CommBody body{};
  body.source = ends.source.bytes;
  body.destination = ends.destination.bytes;
  body.flow_id = flow_id(shard, session, index);
  body.start_timestamp = phase == CommPhase::kStart ? 0 : session.start_ns;
  body.bytes_forward = session.bytes(0);
  body.bytes_reverse = session.bytes(1);
  body.packets_forward = saturate(session.packets(0));
  body.packets_reverse = saturate(session.packets(1));
  body.rule = session.rule;
  body.in_port = session.in_port;
  body.out_port = session.out_port;
  body.source_port = icmp ? session.icmp : ends.source_port;
  body.destination_port = icmp ? std::uint16_t{0} : ends.destination_port;
  body.packet_length = session.first_length;
  body.protocol = session.protocol;
  body.ip_version = static_cast<std::uint8_t>(ends.source.family);
  body.phase = phase;
  body.action = CommAction::kAllow;
  body.end_reason = reason;
  body.tcp_flags = session.tcp_flags;
  if ((session.flags & kSessionTranslated) != 0) {
    const SessionEnds sent = sent_ends(shard, index, filters::Direction::kForward);
    body.nat_source = sent.source.bytes;
    body.nat_destination = sent.destination.bytes;
    body.nat_source_port = sent.source_port;
    body.nat_destination_port = icmp ? std::uint16_t{0} : sent.destination_port;
  }
  body.service = shard.session_services[index];
  const std::uint32_t tenant = tenant_of(session.key);
  shard.log.write(envelope(shard, tenant, session.generation, LogKind::kComm, DropReason::kNone), body, session.tenant_slot);
}

std::uint32_t service_index(const Runtime& config, std::uint32_t rule, const ClassifyKey& key) {
  const snapshot::Rule& source = config.view.rules()[rule];
  if (source.services.count == 0 || source.services.count > kServiceScanMax) return snapshot::kNone;
  filters::PolicyQuery query{};
  query.protocol = key.protocol;
  query.source_port = key.source_port.host();
  query.destination_port = key.destination_port.host();
  query.icmp_type = static_cast<std::uint8_t>(query.source_port);
  query.icmp_code = static_cast<std::uint8_t>(query.destination_port);
  return filters::service_of(config.view, rule, query);
}

std::uint16_t service_object(const Runtime& config, std::uint32_t rule, const ClassifyKey& key) {
  const std::uint32_t found = service_index(config, rule, key);
  return found == snapshot::kNone ? std::uint16_t{0} : config.view.services()[found].object;
}

void record_notice(Shard& shard, const Runtime& config, std::uint32_t tenant, LogNotice notice, std::uint32_t rule,
                   std::uint8_t level) noexcept {
  SecBody body{};
  body.binding = body.in_port = kNoIndex;
  body.first_timestamp = body.last_timestamp = shard.now_ns;
  body.rule = rule;
  body.level = level;
  LogEnvelope head = envelope(shard, config.tenants[tenant].id, config.generation, LogKind::kSec, DropReason::kNone);
  head.notice = notice;
  if (rule != 0) {
    shard.log.write(head, body, config.tenants[tenant].slot);  // once anyway
  } else {
    shard.log.write_folded(head, body, config.tenants[tenant].slot);
  }
}

void refuse(Shard& shard, const Runtime& config, rte_mbuf* packet, DropReason reason) noexcept {
  const PacketMeta& meta = meta_of(packet);
  const PortEntry& port = config.ports[meta.ingress];
  const bool has_ip = (meta.proof & (filters::kProofIpv4 | filters::kProofIpv6)) != 0;
  const std::uint32_t bound = config.binding_of(meta);
  if (bound != kNoIndex && (reason == DropReason::kAeQuarantine || is_quarantined(shard, config.bindings[bound]))) {
    refuse_quarantined(shard, packet, config.bindings[bound], port.tenant_slot);
    return;
  }
  if (!filters::info(reason).event.empty()) {
    SecBody body{};
    filters::describe_violation(frame_of(packet), meta, body);
    body.first_timestamp = shard.now_ns;
    body.last_timestamp = shard.now_ns;
    body.in_port = port.id;
    body.binding = kNoIndex;
    if (bound != kNoIndex) {
      body.binding = config.bindings[bound].id;
      shard.violations[config.bindings[bound].slot].add(1);
      note_violation(shard, config, packet, bound, reason);
    }
    shard.log.write_folded(envelope(shard, meta.tenant, config.generation, LogKind::kSec, reason), body, port.tenant_slot);
  } else if (has_ip) {
    const CommBody body = denied(config, packet, CommAction::kDrop, kNoIndex, kNoIndex);
    shard.log.write_folded(envelope(shard, meta.tenant, config.generation, LogKind::kComm, reason), body, port.tenant_slot);
  }
  shard.drop(packet, reason, port.tenant_slot);
}

void note_syn_flood(Shard& shard, const Runtime& config, rte_mbuf* packet) noexcept {
  const PacketMeta& meta = meta_of(packet);
  const PortEntry& port = config.ports[meta.ingress];
  SecBody body{};
  filters::describe_violation(frame_of(packet), meta, body);
  body.source = {};  // whoever sent this one is not who floods, or one of very many
  body.source_port = 0;
  body.ethernet_source = {};
  body.first_timestamp = body.last_timestamp = shard.now_ns;
  body.in_port = port.id;
  body.binding = kNoIndex;
  const LogEnvelope head = envelope(shard, meta.tenant, config.generation, LogKind::kSec, DropReason::kHalfOpenLimit);
  shard.log.write_folded(head, body, port.tenant_slot);
}

void note_router_flag(Shard& shard, const Runtime& config, rte_mbuf* packet) noexcept {
  const PacketMeta& meta = meta_of(packet);
  const PortEntry& port = config.ports[meta.ingress];
  const std::uint32_t bound = config.binding_of(meta);
  if (bound == kNoIndex || config.bindings[bound].rules.has_role(snapshot::kRoleRouter)) return;
  SecBody body{};
  filters::describe_violation(frame_of(packet), meta, body);
  body.first_timestamp = body.last_timestamp = shard.now_ns;
  body.in_port = port.id;
  body.binding = config.bindings[bound].id;
  LogEnvelope head = envelope(shard, meta.tenant, config.generation, LogKind::kSec, DropReason::kNone);
  head.notice = kNoticeRouterFlag;
  shard.log.write_folded(head, body, port.tenant_slot);
}

void refuse_excess(Shard& shard, const Runtime& config, rte_mbuf* packet, Excess excess) noexcept {
  constexpr std::array kReasons{DropReason::kSessionRate, DropReason::kBandwidth, DropReason::kFairShare};
  static_assert(kReasons.size() == static_cast<std::size_t>(Excess::kCount));
  const auto at = static_cast<std::size_t>(excess);
  const std::uint32_t slot = config.ports[meta_of(packet).ingress].tenant_slot;
  std::uint32_t& logged = shard.shares[slot].logged_tick[at];
  if (logged == shard.now_tick + 1) [[likely]] return shard.drop(packet, kReasons[at], slot);
  logged = shard.now_tick + 1;
  refuse(shard, config, packet, kReasons[at]);
}

void refuse_by_rule(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t rule, std::uint32_t out_port,
                    std::uint16_t service) noexcept {
  const RuleEntry& entry = config.rules[rule];
  const PacketMeta& meta = meta_of(packet);
  const PortEntry& port = config.ports[meta.ingress];
  const bool reject = entry.action == snapshot::Action::kReject;
  const DropReason reason = entry.is_default != 0 ? DropReason::kDefaultDeny
                            : reject              ? DropReason::kRuleReject
                                                  : DropReason::kRuleDrop;
  if ((entry.log & (snapshot::kLogDropEach | snapshot::kLogDropFolded)) != 0) {
    const LogEnvelope head = envelope(shard, meta.tenant, config.generation, LogKind::kComm, reason);
    CommBody body = denied(config, packet, reject ? CommAction::kReject : CommAction::kDrop, rule, out_port);
    body.service = service;
    if ((entry.log & snapshot::kLogDropEach) != 0) {
      shard.log.write(head, body, port.tenant_slot);
    } else {
      shard.log.write_folded(head, body, port.tenant_slot);
    }
  }
  shard.drop(packet, reason, port.tenant_slot);
}

}  // namespace sekisho::dataplane::path
