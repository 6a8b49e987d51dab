// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/remote_users.h"

namespace sekisho::mgmt {

void RemoteUsers::learn(const LogEntry& entry) {
  const auto* vpn = std::get_if<VpnFields>(&entry.body);
  if (vpn == nullptr || (vpn->event != VpnEvent::kUp && vpn->event != VpnEvent::kDown && vpn->event != VpnEvent::kMoved)) return;
  for (const Address& inner : {vpn->ip4, vpn->ip6}) {
    if (inner.family == Family::kNone) continue;
    const Key key{entry.svc, inner};
    if (vpn->event == VpnEvent::kUp) {
      users_[key] = {vpn->vpn_sid, vpn->user, vpn->device_id, vpn->user_groups, vpn->peer_ip};
      continue;
    }
    const auto found = users_.find(key);  // an address may have gone to another session since
    if (found == users_.end() || found->second.vpn_sid != vpn->vpn_sid) continue;
    if (vpn->event == VpnEvent::kMoved) found->second.peer_ip = vpn->peer_ip;
    if (vpn->event == VpnEvent::kDown) users_.erase(found);
  }
}

const RemoteUsers::User* RemoteUsers::find(const std::string& service_code, const Address& inner) {
  if (!recovered_.contains(service_code)) recover(service_code);
  const auto found = users_.find({service_code, inner});
  return found == users_.end() ? nullptr : &found->second;
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
