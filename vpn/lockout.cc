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

void Lockout::failed(std::uint32_t tenant, std::string_view folded_user, const Address& source, std::int64_t now) {
  const std::string name(folded_user);
  if (user_locked(tenant, name, now)) return;
  make_room(users_, now);
  User& user = users_[{tenant, name}];
  std::erase_if(user.failures, [now](std::int64_t at) { return at + kWindowSeconds <= now; });
  user.failures.push_back(now);
  user.last = now;
  if (user.failures.size() >= kUserFailures) {
    user.until = now + kLockSeconds;
    user.failures.clear();
  }
  make_room(sources_, now);
  Source& from = sources_[{tenant, source_of(source)}];
  std::erase_if(from.users, [now](const auto& one) { return one.second + kWindowSeconds <= now; });
  from.users[name] = now;
  from.last = now;
  if (from.users.size() >= kSourceUsers) {
    from.until = now + kLockSeconds;
    from.users.clear();
  }
}

bool Lockout::succeeded(std::uint32_t tenant, std::string_view folded_user) {
  return users_.erase({tenant, std::string(folded_user)}) != 0;
}

bool Lockout::user_locked(std::uint32_t tenant, std::string_view folded_user, std::int64_t now) const {
  const auto found = users_.find({tenant, std::string(folded_user)});
  return found != users_.end() && now < found->second.until;
}

bool Lockout::source_locked(std::uint32_t tenant, const Address& source, std::int64_t now) const {
  const auto found = sources_.find({tenant, source_of(source)});
  return found != sources_.end() && now < found->second.until;
}

bool Lockout::unlock(std::uint32_t tenant, std::string_view folded_user, std::int64_t now) {
  const bool was = user_locked(tenant, folded_user, now);
  succeeded(tenant, folded_user);
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

void Lockout::restore(const ipc::VpnMemory& memory) {
  for (const auto& one : memory.failures()) {
    const auto source = Address::from_wire({reinterpret_cast<const std::uint8_t*>(one.source().data()), one.source().size()});
    std::int64_t last = one.until() - kLockSeconds;
    for (const auto& each : one.each()) last = std::max(last, each.at());
    if (!one.user().empty() && users_.size() < kEntriesMax && static_cast<std::size_t>(one.each_size()) < kUserFailures) {
      User& user = users_[{one.tenant(), one.user()}];
      for (const auto& each : one.each()) user.failures.push_back(each.at());
      user.until = one.until();
      user.last = last;
    } else if (one.user().empty() && source && sources_.size() < kEntriesMax && static_cast<std::size_t>(one.each_size()) < kSourceUsers) {
      Source& from = sources_[{one.tenant(), source_of(*source)}];
      for (const auto& each : one.each()) from.users[each.user()] = each.at();
      from.until = one.until();
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
