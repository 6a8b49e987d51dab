// SPDX-License-Identifier: Apache-2.0
#include "vpn/lockout.h"

#include <algorithm>

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

void Lockout::succeeded(std::uint32_t tenant, std::string_view folded_user) { users_.erase({tenant, std::string(folded_user)}); }

bool Lockout::user_locked(std::uint32_t tenant, std::string_view folded_user, std::int64_t now) const {
  const auto found = users_.find({tenant, std::string(folded_user)});
  return found != users_.end() && now < found->second.until;
}

bool Lockout::source_locked(std::uint32_t tenant, const Address& source, std::int64_t now) const {
  const auto found = sources_.find({tenant, source_of(source)});
  return found != sources_.end() && now < found->second.until;
}

}  // namespace sekisho::vpn
