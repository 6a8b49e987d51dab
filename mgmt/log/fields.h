// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "mgmt/log/entry.h"

/// The one place that names the fields and their order: JSON, CSV, its header and the reader all walk this list.
namespace sekisho::mgmt {

enum class FieldClass : std::uint8_t { kTenant, kProvider };

struct Field {
  std::string_view name;
  std::uint16_t characters_max = 0;  ///< texts only: longer ones are cut
  FieldClass field_class = FieldClass::kTenant;
  bool later = false;  ///< records were stored before it was there: they end before it
};

// A field whose name is its member's.
#define SEKISHO_FIELD(member) visit(Field{#member}, body.member)
#define SEKISHO_TEXT(member, characters) visit(Field{#member, characters}, body.member)

template <typename Visitor>
void for_each_field_of(auto& body, Visitor& visit) requires requires {
  body.in_if, body.phase;
}
{
  SEKISHO_FIELD(phase), SEKISHO_FIELD(action), SEKISHO_FIELD(reason), SEKISHO_FIELD(flow_id), SEKISHO_FIELD(dir);
  SEKISHO_TEXT(in_if, 32), SEKISHO_TEXT(out_if, 32), SEKISHO_TEXT(in_zone, 32), SEKISHO_TEXT(out_zone, 32);
  SEKISHO_FIELD(ip_ver), SEKISHO_FIELD(proto);
  SEKISHO_FIELD(src_ip), SEKISHO_FIELD(src_port), SEKISHO_FIELD(dst_ip), SEKISHO_FIELD(dst_port);
  SEKISHO_FIELD(icmp_type), SEKISHO_FIELD(icmp_code);
  SEKISHO_FIELD(nat_src_ip), SEKISHO_FIELD(nat_src_port), SEKISHO_FIELD(nat_dst_ip), SEKISHO_FIELD(nat_dst_port);
  SEKISHO_FIELD(rule_id), SEKISHO_TEXT(rule_name, 64), SEKISHO_FIELD(rule_no);
  SEKISHO_TEXT(policy, 64), SEKISHO_TEXT(svc_obj, 64), SEKISHO_TEXT(app, 32);
  SEKISHO_TEXT(user, 128), SEKISHO_TEXT(user_group, 64), SEKISHO_FIELD(vpn_sid);
  SEKISHO_FIELD(src_mac), SEKISHO_FIELD(dst_mac), SEKISHO_TEXT(segment, 32);
  SEKISHO_FIELD(pkt_len), SEKISHO_FIELD(tcp_flags);
  SEKISHO_FIELD(bytes_fwd), SEKISHO_FIELD(bytes_rev), SEKISHO_FIELD(pkts_fwd), SEKISHO_FIELD(pkts_rev);
  SEKISHO_FIELD(start_ts), SEKISHO_FIELD(dur_ms), SEKISHO_FIELD(end_reason);
  SEKISHO_FIELD(count), SEKISHO_FIELD(sample_n), SEKISHO_TEXT(src_cc, 2), SEKISHO_TEXT(dst_cc, 2);
  SEKISHO_TEXT(drop, 32);
}

template <typename Visitor>
void for_each_field_of(auto& body, Visitor& visit) requires requires {
  body.cat;
}
{
  SEKISHO_TEXT(event, 32), SEKISHO_FIELD(cat), SEKISHO_FIELD(action);
  SEKISHO_FIELD(first_ts), SEKISHO_FIELD(last_ts), SEKISHO_FIELD(count);
  SEKISHO_TEXT(binding, 64), SEKISHO_FIELD(bind_mac), SEKISHO_FIELD(bind_ips);
  SEKISHO_TEXT(segment, 32), SEKISHO_TEXT(in_if, 32);
  SEKISHO_FIELD(eth_src), SEKISHO_FIELD(eth_dst), SEKISHO_FIELD(eth_type);
  SEKISHO_FIELD(arp_op), SEKISHO_FIELD(arp_sha), SEKISHO_FIELD(arp_spa), SEKISHO_FIELD(arp_tpa);
  SEKISHO_FIELD(nd_type), SEKISHO_FIELD(nd_target), SEKISHO_FIELD(nd_lla);
  SEKISHO_FIELD(src_ip), SEKISHO_FIELD(src_port), SEKISHO_FIELD(dst_ip), SEKISHO_FIELD(dst_port), SEKISHO_FIELD(proto);
  SEKISHO_FIELD(sig_id), SEKISHO_TEXT(sig_name, 128), SEKISHO_TEXT(sig_cat, 64), SEKISHO_FIELD(sig_sev);
  SEKISHO_FIELD(rule_id), SEKISHO_TEXT(rule_name, 64), SEKISHO_FIELD(flow_id);
  SEKISHO_TEXT(user, 128), SEKISHO_FIELD(vpn_sid), SEKISHO_TEXT(msg, 256);
  visit(Field{"sample", 256, FieldClass::kProvider}, body.sample);
  SEKISHO_FIELD(dir), SEKISHO_TEXT(app, 32), SEKISHO_TEXT(url, 1024), SEKISHO_TEXT(file_name, 255);
  SEKISHO_TEXT(file_hash, 64);
}

template <typename Visitor>
void for_each_field_of(auto& body, Visitor& visit) requires requires {
  body.host_group;
}
{
  SEKISHO_FIELD(phase), SEKISHO_FIELD(action), SEKISHO_FIELD(reason), SEKISHO_FIELD(vpn_sid), SEKISHO_FIELD(flow_id);
  SEKISHO_TEXT(user, 128), SEKISHO_TEXT(user_group, 64), SEKISHO_TEXT(host_group, 64), SEKISHO_TEXT(service_group, 64);
  SEKISHO_TEXT(host_obj, 64), SEKISHO_TEXT(svc_obj, 64), SEKISHO_TEXT(device_id, 64);
  SEKISHO_FIELD(rule_id), SEKISHO_TEXT(rule_name, 64), SEKISHO_FIELD(rule_no), SEKISHO_FIELD(ip_ver), SEKISHO_FIELD(proto);
  SEKISHO_FIELD(src_ip), SEKISHO_FIELD(src_port), SEKISHO_FIELD(dst_ip), SEKISHO_FIELD(dst_port);
  SEKISHO_FIELD(icmp_type), SEKISHO_FIELD(icmp_code), SEKISHO_TEXT(dst_fqdn, 253), SEKISHO_FIELD(peer_ip);
  SEKISHO_FIELD(bytes_in), SEKISHO_FIELD(bytes_out), SEKISHO_FIELD(dur_ms), SEKISHO_FIELD(count);
}

template <typename Visitor>
void for_each_field_of(auto& body, Visitor& visit) requires requires {
  body.gw_name;
}
{
  SEKISHO_FIELD(event), SEKISHO_FIELD(result), SEKISHO_FIELD(vpn_sid), SEKISHO_FIELD(proto);
  SEKISHO_FIELD(peer_ip), SEKISHO_FIELD(peer_port), SEKISHO_FIELD(natt), SEKISHO_TEXT(peer_cc, 2), SEKISHO_TEXT(gw_name, 64);
  SEKISHO_TEXT(user, 128), SEKISHO_TEXT(ike_id, 255), SEKISHO_TEXT(realm, 64), SEKISHO_FIELD(auth), SEKISHO_FIELD(mfa);
  SEKISHO_TEXT(backend, 64), SEKISHO_TEXT(user_group, 64), SEKISHO_TEXT(user_groups, 64);
  SEKISHO_TEXT(device_id, 64), SEKISHO_TEXT(cert_serial, 40), SEKISHO_TEXT(cert_subject, 255), SEKISHO_FIELD(ip4);
  SEKISHO_FIELD(ip6), SEKISHO_TEXT(pool, 64);
  SEKISHO_TEXT(ike_suite, 96), SEKISHO_TEXT(esp_suite, 96), SEKISHO_TEXT(client, 128), SEKISHO_FIELD(sessions);
  SEKISHO_FIELD(start_ts), SEKISHO_FIELD(dur_s);
  SEKISHO_FIELD(bytes_in), SEKISHO_FIELD(bytes_out), SEKISHO_FIELD(pkts_in), SEKISHO_FIELD(pkts_out);
  SEKISHO_FIELD(cause), SEKISHO_TEXT(msg, 256);
  visit(Field{"xid", 32, FieldClass::kProvider}, body.xid);
}

template <typename Visitor>
void for_each_field_of(auto& body, Visitor& visit) requires requires {
  body.assured;
}
{
  SEKISHO_FIELD(result), SEKISHO_FIELD(method), SEKISHO_FIELD(assured), SEKISHO_FIELD(vpn_sid), SEKISHO_FIELD(proto);
  SEKISHO_FIELD(peer_ip), SEKISHO_TEXT(user, 128), SEKISHO_TEXT(device_id, 64), SEKISHO_TEXT(device_name, 64);
  SEKISHO_TEXT(device_group, 64), SEKISHO_FIELD(seen_mac);
  SEKISHO_TEXT(seen_id, 128), SEKISHO_TEXT(cert_serial, 40), SEKISHO_TEXT(cert_subject, 255), SEKISHO_TEXT(cert_issuer, 255);
  SEKISHO_FIELD(cert_not_after), SEKISHO_FIELD(revocation), SEKISHO_TEXT(os, 64), SEKISHO_TEXT(posture_fail, 64), SEKISHO_TEXT(policy, 64);
  SEKISHO_FIELD(cause);
}

template <typename Visitor>
void for_each_field_of(auto& body, Visitor& visit) requires requires {
  body.actor_kind;
}
{
  SEKISHO_FIELD(actor_kind), SEKISHO_TEXT(actor, 128), SEKISHO_TEXT(role, 32), SEKISHO_TEXT(auth, 32), SEKISHO_FIELD(src_ip);
  SEKISHO_FIELD(channel), SEKISHO_FIELD(session), SEKISHO_FIELD(op), SEKISHO_TEXT(obj_type, 32), SEKISHO_FIELD(obj_id);
  SEKISHO_TEXT(obj_name, 64), SEKISHO_TEXT(before, 2048), SEKISHO_TEXT(after, 2048), SEKISHO_FIELD(result), SEKISHO_TEXT(cause, 64);
  SEKISHO_FIELD(rev_from), SEKISHO_FIELD(rev_to), SEKISHO_TEXT(ticket, 32), SEKISHO_TEXT(comment, 256), SEKISHO_FIELD(req_id);
  visit(Field{"staff_id", 64, FieldClass::kProvider}, body.staff_id);
}

template <typename Visitor>
void for_each_field_of(auto& body, Visitor& visit) requires requires {
  body.seq_from;
}
{
  SEKISHO_FIELD(of), SEKISHO_FIELD(seq_from), SEKISHO_FIELD(seq_to), SEKISHO_FIELD(count), SEKISHO_FIELD(why);
  SEKISHO_FIELD(from_ts), SEKISHO_FIELD(to_ts);
  visit(Field{"export", 64, FieldClass::kTenant, true}, body.export_name);
}
#undef SEKISHO_FIELD
#undef SEKISHO_TEXT

/// Calls visit(Field, value&) for every field of the entry in table order, present or not.
/// `Entry` is LogEntry or const LogEntry.
template <typename Entry, typename Visitor>
void for_each_field(Entry& entry, Visitor& visit) {
  visit(Field{"v"}, entry.version);
  visit(Field{"type"}, entry.type);
  visit(Field{"ts"}, entry.ts);
  visit(Field{"svc", 11}, entry.svc);
  visit(Field{"gw", 11}, entry.gw);
  visit(Field{"node", 4}, entry.node);
  visit(Field{"seq"}, entry.seq);
  visit(Field{"eid"}, entry.eid);
  visit(Field{"rev"}, entry.rev);
  visit(Field{"sev"}, entry.sev);
  visit(Field{"host", 64, FieldClass::kProvider}, entry.host);
  visit(Field{"core", 0, FieldClass::kProvider}, entry.core);
  std::visit([&visit](auto& body) { for_each_field_of(body, visit); }, entry.body);
  visit(Field{"time_synced", 0, FieldClass::kTenant, true}, entry.time_synced);
}

}  // namespace sekisho::mgmt
