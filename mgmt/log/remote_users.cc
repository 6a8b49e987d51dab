// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/remote_users.h"

#include <algorithm>

namespace sekisho::mgmt {

void RemoteUsers::learn(const LogEntry& entry) {
  forget_ended(entry.ts.ns);
  const auto* vpn = std::get_if<VpnFields>(&entry.body);
  if (vpn == nullptr || (vpn->event != VpnEvent::kUp && vpn->event != VpnEvent::kDown && vpn->event != VpnEvent::kMoved)) return;
  for (const Address& inner : {vpn->ip4, vpn->ip6}) {
    if (inner.family == Family::kNone) continue;
    const Key key{entry.svc, inner};
    if (vpn->event == VpnEvent::kUp) {
      users_[key] = {vpn->vpn_sid, vpn->user, vpn->device_id, entry.gw, vpn->user_groups, vpn->peer_ip, since(key, *vpn, entry.ts.ns), 0};
      continue;
    }
    const auto found = users_.find(key);  // an address may have gone to another session since
    if (found == users_.end() || found->second.vpn_sid != vpn->vpn_sid) continue;
    if (vpn->event == VpnEvent::kMoved) found->second.peer_ip = vpn->peer_ip;
    if (vpn->event == VpnEvent::kDown) found->second.ended_ns = entry.ts.ns, ended_.emplace_back(entry.ts.ns, key);
  }
}

/// From when on flows of an address are its new holder's: his first packet may be a little older than the record of his up, and is
/// never of the time of the holder before.
std::uint64_t RemoteUsers::since(const Key& key, const VpnFields& up, std::uint64_t at_ns) const {
  const auto before = users_.find(key);
  if (before == users_.end() || before->second.name == up.user) return at_ns - kSlackNs;
  return before->second.ended_ns == 0 ? at_ns : std::max(before->second.ended_ns, at_ns - kSlackNs);
}

void RemoteUsers::forget_ended(std::uint64_t now_ns) {
  while (!ended_.empty() && ended_.front().first + kEndedNs < now_ns) {
    const auto found = users_.find(ended_.front().second);
    if (found != users_.end() && found->second.ended_ns == ended_.front().first) users_.erase(found);
    ended_.pop_front();
  }
}

const RemoteUsers::User* RemoteUsers::find(const std::string& service_code, const Address& inner, Timestamp began, Timestamp at) {
  if (!recovered_.contains(service_code)) recover(service_code);
  const auto found = users_.find({service_code, inner});
  if (found == users_.end()) return nullptr;
  const User& user = found->second;
  if (began.ns < user.since_ns) return nullptr;  // of whoever had the address before
  if (user.ended_ns == 0) return &user;
  return began.ns < user.ended_ns && at.ns <= user.ended_ns + kEndedNs ? &user : nullptr;
}

/// What the store cannot tell stays unknown: records then name no user.
void RemoteUsers::recover(const std::string& service_code) {
  recovered_.insert(service_code);
  auto cursor = store_.open({service_code, LogKind::kVpn}, {StartAt::Kind::kLast, kRecoverMax, {}});
  while (cursor) {
    const auto entry = (*cursor)->next();
    if (!entry || !*entry) return;
    learn(**entry);
  }
}

}  // namespace sekisho::mgmt
