// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/enrich.h"

#include <algorithm>

#include "mgmt/log/events.h"

namespace sekisho::mgmt {
namespace {

constexpr std::uint32_t kNoId = 0xffffffff;
constexpr std::string_view kNoInterface = "unknown";
constexpr std::string_view kDefaultDenyName = "既定拒否";
constexpr std::uint8_t kSeverityLoss = 3, kSeverityDenied = 4, kSeverityInformation = 6;

// IANA protocol numbers.
constexpr std::uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kDccp = 33, kIcmpv6 = 58, kSctp = 132, kUdpLite = 136;

/// Where one record's names come from.
struct Lookup {
  const NameCache& cache;
  const Names& names;
  std::uint32_t tenant;
  bool exact;  ///< `names` is the record's own generation, or the tenant was removed by it

  [[nodiscard]] const PortName* port(std::uint32_t id) const {
    return id == kNoId ? nullptr : cache.port(names, id, tenant);
  }
  [[nodiscard]] const RuleName* rule(std::uint32_t id) const {
    return id == kNoId ? nullptr : cache.rule(names, id, tenant);
  }
  [[nodiscard]] const BindingName* binding(std::uint32_t id) const {
    return id == kNoId ? nullptr : cache.binding(names, id, tenant);
  }
};

bool has_ports(std::uint8_t protocol) {
  return protocol == kTcp || protocol == kUdp || protocol == kDccp || protocol == kSctp || protocol == kUdpLite;
}

Address address_of(const std::array<std::uint8_t, 16>& bytes, std::uint8_t ip_version) {
  const std::size_t length = ip_version == 4 ? 4 : 16;
  return *Address::from_wire(std::span(bytes).first(length));
}

/// A time of a body, or `otherwise` when it is none.
Timestamp time_or(std::uint64_t ns, std::uint64_t otherwise) {
  return Timestamp{ns >= kTimestampMin ? ns : otherwise};
}

bool is_zero(const std::array<std::uint8_t, 16>& bytes) {
  return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
}

/// True when an event code is its drop reason's name in capitals: AE_MAC, ae-mac.
bool says(std::string_view code, std::string_view name) {
  const auto capital = [](char n) { return n == '-' ? '_' : n >= 'a' && n <= 'z' ? static_cast<char>(n - 'a' + 'A') : n; };
  return std::ranges::equal(code, name, [&](char c, char n) { return c == capital(n); });
}

filters::LogReason reason_of(const LogEnvelope& envelope, const CommBody& body, const RuleName* rule) {
  if (body.end_reason == EndReason::kSchedule) return filters::LogReason::kSchedule;
  if (body.action == CommAction::kAllow) return filters::LogReason::kRule;
  const filters::LogReason reason = filters::info(static_cast<filters::DropReason>(envelope.drop_reason)).log_reason;
  if (reason != filters::LogReason::kNone) return reason;
  return rule != nullptr && rule->number > 0 ? filters::LogReason::kRule : filters::LogReason::kDefault;
}

/// in = toward the protected side, lat = between protected segments, local = to the gateway itself. Without a way out
/// the side the packet came from decides.
Direction direction_of(const LogEnvelope& envelope, const PortName* in, const PortName* out) {
  if (envelope.drop_reason == static_cast<std::uint8_t>(filters::DropReason::kLocalUnserved)) return Direction::kLocal;
  const bool from_protected = in != nullptr && in->protected_side;
  if (out == nullptr) return from_protected ? Direction::kOut : Direction::kIn;
  if (from_protected && out->protected_side) return Direction::kLateral;
  return out->protected_side ? Direction::kIn : Direction::kOut;
}

/// The tenant's segment a flow is for, else the one it comes from.
const PortName* segment_of(const PortName* in, const PortName* out) {
  if (out != nullptr && out->protected_side) return out;
  return in != nullptr && in->protected_side ? in : nullptr;
}

void fill_transport(CommFields& out, const CommBody& body) {
  if (has_ports(body.protocol)) {
    out.src_port = body.source_port;
    out.dst_port = body.destination_port;
  }
  if (body.protocol == kIcmp || body.protocol == kIcmpv6) {
    out.icmp_type = static_cast<std::uint8_t>(body.source_port >> 8);
    out.icmp_code = static_cast<std::uint8_t>(body.source_port & 0xff);
  }
  if (body.protocol == kTcp) out.tcp_flags = body.tcp_flags;
  if (body.packet_length > 0) out.pkt_len = body.packet_length;
}

/// Where the flow really went, when it was translated.
void fill_translation(CommFields& out, const CommBody& body) {
  if (!is_zero(body.nat_source)) {
    out.nat_src_ip = address_of(body.nat_source, body.ip_version);
    if (body.nat_source_port != 0) out.nat_src_port = body.nat_source_port;
  }
  if (!is_zero(body.nat_destination)) {
    out.nat_dst_ip = address_of(body.nat_destination, body.ip_version);
    if (body.nat_destination_port != 0) out.nat_dst_port = body.nat_destination_port;
  }
}

void fill_rule(CommFields& out, const RuleName* rule, bool exact) {
  const bool by_rule = out.reason == filters::LogReason::kRule || out.reason == filters::LogReason::kVpnAcl;
  if (rule != nullptr) {
    if (by_rule) out.rule_id = rule->uuid;
    if (!exact) return;
    out.rule_name = rule->name;
    out.rule_no = rule->number;
    out.policy = rule->policy;
  } else if (out.reason == filters::LogReason::kDefault) {
    out.rule_name = kDefaultDenyName;
    out.rule_no = 0;
  }
}

void fill_totals(CommFields& out, const LogEnvelope& envelope, const CommBody& body) {
  if (body.phase != CommPhase::kUpdate && body.phase != CommPhase::kEnd) return;
  out.bytes_fwd = body.bytes_forward;
  out.bytes_rev = body.bytes_reverse;
  out.pkts_fwd = body.packets_forward;
  out.pkts_rev = body.packets_reverse;
  out.start_ts = time_or(body.start_timestamp, 0);
  if (body.phase != CommPhase::kEnd) return;
  out.end_reason = body.end_reason == EndReason::kSchedule ? EndReason::kPolicy : body.end_reason;
  const std::uint64_t start = time_or(body.start_timestamp, envelope.timestamp).ns;
  out.dur_ms = envelope.timestamp > start ? (envelope.timestamp - start) / 1'000'000 : 0;
}

void fill(LogEntry& entry, const LogEnvelope& envelope, const CommBody& body, const Lookup& names) {
  auto& out = std::get<CommFields>(entry.body);
  const PortName* in = names.port(body.in_port);
  const PortName* way_out = names.port(body.out_port);
  const RuleName* rule = names.rule(body.rule);
  out.phase = body.phase;
  out.action = body.action;
  out.reason = reason_of(envelope, body, rule);
  if (body.phase != CommPhase::kDrop) out.flow_id = HexId{body.flow_id};
  out.dir = direction_of(envelope, in, way_out);
  if (envelope.drop_reason != 0) out.drop = filters::info(static_cast<filters::DropReason>(envelope.drop_reason)).name;
  out.in_if = in != nullptr ? in->name : kNoInterface;
  out.in_zone = in != nullptr && !in->zone.empty() ? in->zone : kNoInterface;
  if (way_out != nullptr) {
    out.out_if = way_out->name;
    out.out_zone = way_out->zone;
  }
  if (const PortName* segment = segment_of(in, way_out)) out.segment = segment->name;
  out.ip_ver = body.ip_version;
  out.proto = body.protocol;
  out.src_ip = address_of(body.source, body.ip_version);
  out.dst_ip = address_of(body.destination, body.ip_version);
  fill_transport(out, body);
  fill_translation(out, body);
  fill_rule(out, rule, names.exact);
  if (names.names.generation() == envelope.generation) {
    if (const std::string* service = names.names.service(body.service, envelope.tenant)) out.svc_obj = *service;
  }
  fill_totals(out, envelope, body);
  out.count = envelope.count;
  entry.sev = body.action == CommAction::kAllow ? kSeverityInformation : kSeverityDenied;
}

void fill_arp_and_nd(SecFields& out, const SecBody& body) {
  if (body.arp_operation > 0) {
    out.arp_op = body.arp_operation;
    out.arp_sha = body.claimed_mac;
    out.arp_spa = address_of(body.source, 4);
    out.arp_tpa = address_of(body.destination, 4);
  }
  if (body.nd_type > 0) {
    out.nd_type = body.nd_type;
    if (!is_zero(body.nd_target)) out.nd_target = address_of(body.nd_target, 6);
    out.nd_lla = body.claimed_mac;
  }
}

void fill_ip(SecFields& out, const SecBody& body) {
  if (body.ip_version == 0) return;
  if (!is_zero(body.source) || !is_zero(body.destination)) {
    out.src_ip = address_of(body.source, body.ip_version);
    out.dst_ip = address_of(body.destination, body.ip_version);
  }
  out.proto = body.protocol;
  if (has_ports(body.protocol)) {
    out.src_port = body.source_port;
    out.dst_port = body.destination_port;
  }
}

void fill(LogEntry& entry, const LogEnvelope& envelope, const SecBody& body, const Lookup& names) {
  auto& out = std::get<SecFields>(entry.body);
  const bool notice = envelope.notice != kNoticeNone;
  const filters::DropReasonInfo& info = filters::info(static_cast<filters::DropReason>(envelope.drop_reason));
  const NoticeInfo told = notice_info(LogNotice{envelope.notice});
  out.event = notice ? told.code : info.event;
  const EventInfo* event = find_event(out.event);
  out.cat = event != nullptr ? event->category : SecCategory::kProtocol;
  out.msg = event != nullptr ? event->sentence : "Packet refused";
  if (!told.quota.empty()) {
    out.msg = "In use of the tenant's quota of " + std::string(told.quota) + ": " + std::to_string(body.level) + " percent";
  }
  if (!notice && !says(info.event, info.name)) out.msg += " (" + std::string(info.name) + ")";  // a code may have several
  entry.sev = event != nullptr ? event->severity : kSeverityDenied;
  const bool quarantined = out.event == "AE_QUARANTINE", released = out.event == "AE_RELEASE";
  out.action = envelope.notice > kNoticeLogRate ? SecAction::kDetected
               : notice      ? SecAction::kRateLimited
               : quarantined ? SecAction::kQuarantined
               : released    ? SecAction::kDetected
                             : SecAction::kDropped;
  out.first_ts = time_or(body.first_timestamp, envelope.timestamp);
  out.last_ts = Timestamp{std::max(body.last_timestamp, out.first_ts.ns)};
  out.count = envelope.count;
  if (const BindingName* binding = names.binding(body.binding)) {
    out.binding = binding->name;
    out.bind_mac = binding->mac;
    out.bind_ips = binding->addresses;
  }
  if (const PortName* in = names.port(body.in_port)) {
    out.in_if = in->name;
    if (in->protected_side) out.segment = in->name;
  }
  if (const RuleName* rule = body.rule == 0 ? nullptr : names.rule(body.rule)) {
    out.rule_id = rule->uuid;
    if (names.exact) out.rule_name = rule->name;
  }
  out.eth_src = body.ethernet_source;
  out.eth_dst = body.ethernet_destination;
  if (body.ether_type > 0) out.eth_type = body.ether_type;
  fill_arp_and_nd(out, body);
  fill_ip(out, body);
}

void fill(LogEntry& entry, const LogEnvelope& envelope, const LossBody& body, const Lookup&) {
  auto& out = std::get<LossFields>(entry.body);
  out.of = body.of;
  out.count = body.count;
  out.why = body.why;
  out.from_ts = time_or(body.from_timestamp, envelope.timestamp);
  out.to_ts = Timestamp{std::max(body.to_timestamp, out.from_ts.ns)};
  entry.sev = kSeverityLoss;
}

}  // namespace

std::optional<LogEntry> enrich(const RingRecord& record, const NameCache& cache) {
  const LogEnvelope& envelope = record.envelope;
  const Names* own = cache.find(envelope.generation);
  const bool knows = own != nullptr && own->service_code(envelope.tenant) != nullptr;
  const Names* names = knows ? own : cache.nearest(envelope.generation, envelope.tenant);
  if (names == nullptr) return std::nullopt;
  const Lookup lookup{cache, *names, envelope.tenant, own != nullptr};
  LogEntry entry = make_entry(envelope.kind);
  entry.ts = Timestamp{envelope.timestamp};
  entry.svc = *names->service_code(envelope.tenant);
  entry.node = names->node();
  entry.rev = envelope.generation;
  entry.core = envelope.shard;
  std::visit([&](const auto& body) { fill(entry, envelope, body, lookup); }, record.body);
  return entry;
}

}  // namespace sekisho::mgmt
