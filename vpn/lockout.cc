// SPDX-License-Identifier: Apache-2.0
#include "vpn/lockout.h"

#include <algorithm>

#include "base/proto/control_vpn.pb.h"

namespace sekisho::vpn {
namespace {

Address source_of(Address address) {
  if (address.family == Family::kIpv6) std::fill(address.bytes.begin() + 8, address.bytes.end(), std::uint8_t{0});
  return address;
}

/// Room for one more: first what is over, then the longest silent.
template <typename Map>
void make_room(Map& map, std::int64_t now) {
  if (map.size() < Lockout::kEntriesMax) return;
  std::erase_if(map, [now](const auto& one) { return one.second.until <= now && one.second.last + Lockout::kWindowSeconds <= now; });
  if (map.size() < Lockout::kEntriesMax) return;
  map.erase(std::min_element(map.begin(), map.end(), [](const auto& a, const auto& b) { return a.second.last < b.second.last; }));
}

std::string wire_of(const Address& address) { return {address.wire().begin(), address.wire().end()}; }

}  // namespace

Lockout::Shut Lockout::failed(std::uint32_t tenant, std::string_view folded_user, const Address& source, std::int64_t now) {
  Shut out;
  const std::string name(folded_user);
  if (user_locked(tenant, name, now)) return out;
  make_room(users_, now);
  User& user = users_[{tenant, name}];
  std::erase_if(user.failures, [now](std::int64_t at) { return at + kWindowSeconds <= now; });
  user.failures.push_back(now);
  user.last = now;
  const std::size_t failures = user.failures.size() + failures_elsewhere({tenant, name}, now);
  if (failures >= kUserFailures) {
    out.failures = failures, out.user_since = user.failures.front();
    user.until = now + kLockSeconds;
    user.failures.clear();
  }
  make_room(sources_, now);
  Source& from = sources_[{tenant, source_of(source)}];
  std::erase_if(from.users, [now](const auto& one) { return one.second + kWindowSeconds <= now; });
  from.users[name] = now;
  from.last = now;
  if (from.users.size() >= kSourceUsers) {
    out.names = from.users.size();
    out.source_since = std::ranges::min_element(from.users, {}, [](const auto& one) { return one.second; })->second;
    from.until = now + kLockSeconds;
    from.users.clear();
  }
  look_for_spray(tenant, name, source_of(source), now, out);
  return out;
}

void Lockout::look_for_spray(std::uint32_t tenant, const std::string& name, const Address& source, std::int64_t now, Shut& out) {
  Spray& spray = sprays_[tenant];
  if (now < spray.quiet_until) return;
  std::erase_if(spray.users, [now](const auto& one) { return one.second.first + kWindowSeconds <= now; });
  spray.users[name] = {now, source};
  if (spray.users.size() < kSprayUsers) return;
  const Address& one = spray.users.begin()->second.second;
  const bool several = std::ranges::any_of(spray.users, [&one](const auto& user) { return user.second.second != one; });
  if (several) {  // of a single one the lock of the source tells
    out.sprayed = spray.users.size();
    out.spray_since = std::ranges::min_element(spray.users, {}, [](const auto& user) { return user.second.first; })->second.first;
    spray.quiet_until = now + kWindowSeconds;
  }
  spray.users.clear();
}

bool Lockout::succeeded(std::uint32_t tenant, std::string_view folded_user) {
  if (const auto spray = sprays_.find(tenant); spray != sprays_.end()) spray->second.users.erase(std::string(folded_user));
  return users_.erase({tenant, std::string(folded_user)}) != 0;
}

bool Lockout::user_locked(std::uint32_t tenant, std::string_view folded_user, std::int64_t now) const {
  const UserKey key{tenant, std::string(folded_user)};
  const auto found = users_.find(key);
  if (found != users_.end() && now < found->second.until) return true;
  return std::any_of(learnt_.begin(), learnt_.end(), [&](const auto& of) {
    const auto there = of.second.find(key);
    return there != of.second.end() && now < there->second.until;
  });
}

std::size_t Lockout::failures_elsewhere(const UserKey& key, std::int64_t now) const {
  std::size_t out = 0;
  for (const auto& [from, users] : learnt_) {
    const auto there = users.find(key);
    if (there == users.end()) continue;
    const auto counts = [now](std::int64_t at) { return at + kWindowSeconds > now; };
    out += static_cast<std::size_t>(std::ranges::count_if(there->second.failures, counts));
  }
  return out;
}

bool Lockout::learn(const ipc::LearnVpnFailures& told, std::int64_t now) {
  std::map<UserKey, User>& of = learnt_[told.from()];
  of.clear();
  bool changed = false;
  for (const ipc::VpnFailures& one : told.failures()) {
    const bool sound = !one.user().empty() && of.size() < kEntriesMax && static_cast<std::size_t>(one.each_size()) < kUserFailures;
    if (!sound) {
      const auto source = Address::from_wire({reinterpret_cast<const std::uint8_t*>(one.source().data()), one.source().size()});
      if (!one.user().empty() || !source || one.until() <= now) continue;
      make_room(sources_, now);
      Source& shut = sources_[{one.tenant(), source_of(*source)}];
      const std::int64_t until = std::min<std::int64_t>(one.until(), now + kLockSeconds);
      changed = changed || shut.until < until;
      shut.until = std::max(shut.until, until);
      shut.last = std::max(shut.last, until - kLockSeconds);
      continue;
    }
    const UserKey key{one.tenant(), one.user()};
    User& there = of[key];
    there.until = std::min(one.until(), now + kLockSeconds);
    for (const auto& each : one.each()) there.failures.push_back(std::min(each.at(), now));
    // Some here and some there may be five together, though nobody saw the fifth.
    const auto here = users_.find(key);
    if (here == users_.end() || now < here->second.until || there.failures.empty()) continue;
    const auto fresh = std::ranges::count_if(here->second.failures, [now](std::int64_t at) { return at + kWindowSeconds > now; });
    if (static_cast<std::size_t>(fresh) + failures_elsewhere(key, now) < kUserFailures) continue;
    here->second.until = now + kLockSeconds;
    here->second.failures.clear();
    changed = true;
  }
  return changed;
}

bool Lockout::source_locked(std::uint32_t tenant, const Address& source, std::int64_t now) const {
  const auto found = sources_.find({tenant, source_of(source)});
  return found != sources_.end() && now < found->second.until;
}

bool Lockout::unlock(std::uint32_t tenant, std::string_view folded_user, std::int64_t now) {
  const bool was = user_locked(tenant, folded_user, now);
  succeeded(tenant, folded_user);
  for (auto& [from, users] : learnt_) users.erase({tenant, std::string(folded_user)});  // each daemon is told the same
  return was;
}

void Lockout::save(ipc::VpnMemory& out, std::int64_t now) const {
  const auto matters = [now](const auto& one) { return one.until > now || one.last + kWindowSeconds > now; };
  for (const auto& [key, user] : users_) {
    if (!matters(user)) continue;
    auto& one = *out.add_failures();
    one.set_tenant(key.first);
    one.set_user(key.second);
    one.set_until(user.until);
    for (const std::int64_t at : user.failures) one.add_each()->set_at(at);
  }
  for (const auto& [key, source] : sources_) {
    if (!matters(source)) continue;
    auto& one = *out.add_failures();
    one.set_tenant(key.first);
    one.set_source(wire_of(key.second));
    one.set_until(source.until);
    for (const auto& [name, at] : source.users) {
      auto& each = *one.add_each();
      each.set_at(at);
      each.set_user(name);
    }
  }
}

void Lockout::restore(const ipc::VpnMemory& memory, std::int64_t now) {
  for (const auto& one : memory.failures()) {
    const auto source = Address::from_wire({reinterpret_cast<const std::uint8_t*>(one.source().data()), one.source().size()});
    std::int64_t last = one.until() - kLockSeconds;
    for (const auto& each : one.each()) last = std::max(last, each.at());
    if (!one.user().empty() && users_.size() < kEntriesMax && static_cast<std::size_t>(one.each_size()) < kUserFailures) {
      User& user = users_[{one.tenant(), one.user()}];
      for (const auto& each : one.each()) user.failures.push_back(each.at());
      user.until = std::min<std::int64_t>(one.until(), now + kLockSeconds);
      user.last = last;
    } else if (one.user().empty() && source && sources_.size() < kEntriesMax && static_cast<std::size_t>(one.each_size()) < kSourceUsers) {
      Source& from = sources_[{one.tenant(), source_of(*source)}];
      for (const auto& each : one.each()) from.users[each.user()] = each.at();
      from.until = std::min<std::int64_t>(one.until(), now + kLockSeconds);
      from.last = last;
    }
  }
}

void Lockout::list(ipc::VpnAnswer& out, std::int64_t now) const {
  const auto add = [&out](std::uint32_t tenant, std::int64_t until) -> ipc::VpnLocked& {
    auto& one = *out.add_locked();
    one.set_tenant(tenant);
    one.set_until(until);
    return one;
  };
  for (const auto& [key, user] : users_) {
    if (now < user.until) add(key.first, user.until).set_user(key.second);
  }
  for (const auto& [key, source] : sources_) {
    if (now < source.until) add(key.first, source.until).set_source(wire_of(key.second));
  }
}

}  // namespace sekisho::vpn
