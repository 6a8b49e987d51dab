// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/access_record.h"

#include <algorithm>

namespace sekisho::mgmt {
namespace {

AclReason reason_of(filters::LogReason reason) {
  if (reason == filters::LogReason::kSchedule) return AclReason::kSchedule;
  return reason == filters::LogReason::kRule || reason == filters::LogReason::kVpnAcl ? AclReason::kRule : AclReason::kDefault;
}

/// The first of the user's groups that the rule names.
std::string group_of(const RuleName& rule, const RemoteUsers::User& user) {
  const auto named = [&rule](const std::string& group) { return std::ranges::find(rule.users, group) != rule.users.end(); };
  const auto found = std::ranges::find_if(user.groups, named);
  return found == user.groups.end() ? std::string() : *found;
}

/// A rule that names several leaves open which one it was.
std::string only(const std::vector<std::string>& names) { return names.size() == 1 ? names[0] : std::string(); }

}  // namespace

std::optional<LogEntry> access_record(const RingRecord& record, LogEntry& entry, const NameCache& cache, RemoteUsers& users) {
  const auto* body = std::get_if<CommBody>(&record.body);
  const Names* names = cache.nearest(record.envelope.generation, record.envelope.tenant);
  if (body == nullptr || names == nullptr || body->phase == CommPhase::kUpdate) return std::nullopt;
  const PortName* in = cache.port(*names, body->in_port, record.envelope.tenant);
  if (in == nullptr || !in->tunnel) return std::nullopt;
  auto& comm = std::get<CommFields>(entry.body);
  LogEntry out = make_entry(LogKind::kAcl);
  out.ts = entry.ts, out.svc = entry.svc, out.node = entry.node, out.rev = entry.rev, out.sev = entry.sev, out.core = entry.core;
  auto& acl = std::get<AclFields>(out.body);
  acl.phase = comm.phase == CommPhase::kStart ? AclPhase::kStart : comm.phase == CommPhase::kEnd ? AclPhase::kEnd : AclPhase::kDeny;
  acl.action = comm.action == CommAction::kAllow ? AclAction::kPermit : AclAction::kDeny;
  acl.reason = reason_of(comm.reason);
  acl.flow_id = comm.flow_id;
  acl.rule_id = comm.rule_id, acl.rule_name = comm.rule_name, acl.rule_no = comm.rule_no.value_or(0);
  acl.ip_ver = comm.ip_ver, acl.proto = comm.proto;
  acl.src_ip = comm.src_ip, acl.src_port = comm.src_port, acl.dst_ip = comm.dst_ip, acl.dst_port = comm.dst_port;
  acl.icmp_type = comm.icmp_type, acl.icmp_code = comm.icmp_code, acl.svc_obj = comm.svc_obj;
  acl.bytes_in = comm.bytes_fwd, acl.bytes_out = comm.bytes_rev, acl.dur_ms = comm.dur_ms, acl.count = comm.count;
  const RuleName* rule = cache.rule(*names, body->rule, record.envelope.tenant);
  if (rule != nullptr && acl.reason == AclReason::kRule && !comm.rule_name.empty()) {
    acl.host_group = only(rule->hosts);
    acl.service_group = only(rule->services);
  }
  // Of a drop nothing began before it; a start is the beginning.
  const Timestamp began = comm.phase == CommPhase::kEnd && comm.start_ts.ns != 0 ? comm.start_ts : entry.ts;
  const RemoteUsers::User* user = users.find(entry.svc, comm.src_ip, began, entry.ts);
  if (user == nullptr) return out;
  acl.vpn_sid = comm.vpn_sid = user->vpn_sid;
  acl.user = comm.user = user->name;
  out.gw = user->gw;
  acl.device_id = user->device_id;
  acl.peer_ip = user->peer_ip;
  if (rule != nullptr && acl.reason == AclReason::kRule) acl.user_group = comm.user_group = group_of(*rule, *user);
  return out;
}

}  // namespace sekisho::mgmt
