// SPDX-License-Identifier: Apache-2.0
#include "mgmt/export/ipfix.h"

#include <algorithm>
#include <array>
#include <span>

namespace sekisho::mgmt {
namespace {

constexpr std::uint16_t kVersion = 10, kTemplateSet = 2, kTemplateV4 = 256, kTemplateV6 = 257;
constexpr std::uint32_t kReverse = 29305, kOurs = 32473;  // RFC 5103; RFC 5612
constexpr std::size_t kHeadBytes = 16, kSetHeadBytes = 4, kServiceCodeBytes = 11;
constexpr std::uint64_t kMillisecond = 1'000'000;
constexpr std::uint8_t kTrue = 1, kFalse = 2;  // RFC 7011 6.1.5

struct Element {
  std::uint16_t id, bytes;
  std::uint32_t enterprise = 0;
};

// Record::append() writes in this order. The address fields' ids and lengths are the family's.
constexpr std::size_t kAddressBytesV4 = 4, kAddressBytesV6 = 16;
constexpr std::array<Element, 31> elements_of(bool v6) {
  const auto address = static_cast<std::uint16_t>(v6 ? kAddressBytesV6 : kAddressBytesV4);
  const auto pick = [v6](std::uint16_t four, std::uint16_t six) { return v6 ? six : four; };
  return {{{152, 8}, {153, 8},                                         // flow start, end: milliseconds
           {pick(8, 27), address}, {pick(12, 28), address},            // source, destination
           {7, 2}, {11, 2}, {4, 1},                                    // ports, protocol
           {6, 2}, {pick(32, 139), 2},                                 // TCP flags; ICMP type and code
           {1, 8}, {2, 8}, {1, 8, kReverse}, {2, 8, kReverse},         // octets, packets, and back
           {pick(225, 281), address}, {pick(226, 282), address},       // after translation
           {227, 2}, {228, 2},
           {148, 8}, {233, 1}, {136, 1},                               // flow id; event; why it ended
           {60, 1},                                                    // IP version
           {56, 6}, {80, 6},                                           // MACs
           {61, 1},                                                    // direction
           {1, 8, kOurs}, {2, kServiceCodeBytes, kOurs}, {3, 16, kOurs}, {4, 16, kOurs},
           {231, 8}, {232, 8},                                         // initiator's and responder's octets
           {5, 1, kOurs}}};                                            // time_synced
}

void put(std::string& out, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = bytes; i-- > 0;) out += static_cast<char>((value >> (8 * i)) & 0xffU);
}

void put(std::string& out, std::span<const std::uint8_t> bytes, std::size_t width) {
  const std::size_t given = std::min(bytes.size(), width);
  out.append(reinterpret_cast<const char*>(bytes.data()), given);
  out.append(width - given, '\0');
}

std::string template_set() {
  std::string out;
  for (const bool v6 : {false, true}) {
    const auto elements = elements_of(v6);
    put(out, v6 ? kTemplateV6 : kTemplateV4, 2);
    put(out, elements.size(), 2);
    for (const Element& element : elements) {
      put(out, element.id | (element.enterprise != 0 ? 0x8000U : 0U), 2);
      put(out, element.bytes, 2);
      if (element.enterprise != 0) put(out, element.enterprise, 4);
    }
  }
  std::string set;
  put(set, kTemplateSet, 2);
  put(set, kSetHeadBytes + out.size(), 2);
  return set + out;
}

/// firewallEvent of the IANA registry.
std::uint8_t event_of(CommPhase phase) {
  switch (phase) {
    case CommPhase::kStart:
      return 1;
    case CommPhase::kEnd:
      return 2;
    case CommPhase::kDrop:
      return 3;
    case CommPhase::kUpdate:
      return 5;
  }
  return 0;
}

/// flowEndReason: 1 idle, 3 its end was seen, 4 forced, 0 of none that ended.
std::uint8_t reason_of(EndReason reason) {
  if (reason == EndReason::kNone) return 0;
  if (reason == EndReason::kAged) return 1;
  return reason == EndReason::kTcpFin || reason == EndReason::kTcpRst ? 3 : 4;
}

std::string record_of(const LogEntry& entry, const CommFields& comm, std::size_t address) {
  std::string out;
  const bool ended = comm.phase == CommPhase::kEnd;
  const bool refused = comm.phase == CommPhase::kDrop;
  std::uint64_t octets = ended ? comm.bytes_fwd.value_or(0) : 0;
  if (refused && comm.count == 1) octets = comm.pkt_len.value_or(0);
  const std::uint64_t packets = ended ? comm.pkts_fwd.value_or(0) : refused ? std::uint64_t{comm.count} : 0;
  const std::uint64_t octets_back = ended ? comm.bytes_rev.value_or(0) : 0;
  put(out, (comm.start_ts.ns != 0 ? comm.start_ts.ns : entry.ts.ns) / kMillisecond, 8);
  put(out, entry.ts.ns / kMillisecond, 8);
  put(out, comm.src_ip.wire(), address);
  put(out, comm.dst_ip.wire(), address);
  put(out, comm.src_port.value_or(0), 2);
  put(out, comm.dst_port.value_or(0), 2);
  put(out, comm.proto, 1);
  put(out, comm.tcp_flags.value_or(0), 2);
  put(out, comm.icmp_type.value_or(0), 1), put(out, comm.icmp_code.value_or(0), 1);
  put(out, octets, 8), put(out, packets, 8);
  put(out, octets_back, 8), put(out, ended ? comm.pkts_rev.value_or(0) : 0, 8);
  put(out, (comm.nat_src_ip.family == comm.src_ip.family ? comm.nat_src_ip : comm.src_ip).wire(), address);
  put(out, (comm.nat_dst_ip.family == comm.src_ip.family ? comm.nat_dst_ip : comm.dst_ip).wire(), address);
  put(out, comm.nat_src_port.value_or(comm.src_port.value_or(0)), 2);
  put(out, comm.nat_dst_port.value_or(comm.dst_port.value_or(0)), 2);
  put(out, comm.flow_id.value, 8);
  put(out, event_of(comm.phase), 1);
  put(out, reason_of(comm.end_reason), 1);
  put(out, comm.src_ip.family == Family::kIpv6 ? 6U : 4U, 1);
  put(out, comm.src_mac.bytes, 6), put(out, comm.dst_mac.bytes, 6);
  put(out, comm.dir == Direction::kIn ? 0U : 1U, 1);
  put(out, entry.seq, 8);
  put(out, {reinterpret_cast<const std::uint8_t*>(entry.svc.data()), entry.svc.size()}, kServiceCodeBytes);
  put(out, entry.eid.bytes, 16);
  put(out, comm.rule_id.bytes, 16);
  put(out, octets, 8), put(out, octets_back, 8);
  put(out, entry.time_synced ? (*entry.time_synced ? kTrue : kFalse) : 0U, 1);
  return out;
}

}  // namespace

std::uint32_t ipfix_domain(std::string_view service_code) {
  std::uint32_t out = 2166136261U;
  for (const char c : service_code) out = (out ^ static_cast<std::uint8_t>(c)) * 16777619U;
  return out == 0 ? 1 : out;
}

bool IpfixWriter::add(const LogEntry& entry) {
  const auto* comm = std::get_if<CommFields>(&entry.body);
  if (comm == nullptr || comm->src_ip.family == Family::kNone || comm->src_ip.family != comm->dst_ip.family) return false;
  const bool v6 = comm->src_ip.family == Family::kIpv6;
  domains_[entry.svc].records.emplace_back(v6 ? kTemplateV6 : kTemplateV4,
                                           record_of(entry, *comm, v6 ? kAddressBytesV6 : kAddressBytesV4));
  return true;
}

std::vector<std::string> IpfixWriter::take(std::uint32_t now) {
  std::vector<std::string> out;
  for (auto& [code, domain] : domains_) {
    for (std::size_t next = 0; next < domain.records.size();) {
      std::string body;
      if (!domain.announced) body = template_set();
      domain.announced = true;
      std::uint32_t count = 0;
      while (next < domain.records.size()) {
        const std::uint16_t id = domain.records[next].first;
        std::string set;
        while (next < domain.records.size() && domain.records[next].first == id) {
          const std::size_t bytes = kHeadBytes + body.size() + kSetHeadBytes + set.size() + domain.records[next].second.size();
          if (count > 0 && bytes > message_bytes_max_) break;
          set += domain.records[next++].second;
          ++count;
        }
        if (set.empty()) break;
        put(body, id, 2);
        put(body, kSetHeadBytes + set.size(), 2);
        body += set;
      }
      std::string message;
      put(message, kVersion, 2);
      put(message, kHeadBytes + body.size(), 2);
      put(message, now, 4);
      put(message, domain.sequence, 4);
      put(message, ipfix_domain(code), 4);
      domain.sequence += count;
      out.push_back(message + body);
    }
    domain.records.clear();
  }
  return out;
}

void IpfixWriter::send_templates_again() {
  for (auto& [code, domain] : domains_) domain.announced = false;
}

}  // namespace sekisho::mgmt
