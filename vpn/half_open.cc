// SPDX-License-Identifier: Apache-2.0
#include "vpn/half_open.h"

#include <algorithm>

namespace sekisho::vpn {
namespace {

Address cut(Address address, std::size_t bytes) {
  std::fill(address.bytes.begin() + static_cast<std::ptrdiff_t>(bytes), address.bytes.end(), std::uint8_t{0});
  return address;
}

Address address_of(const Address& source) { return source.family == Family::kIpv6 ? cut(source, 8) : source; }
Address network_of(const Address& source) { return cut(source, source.family == Family::kIpv6 ? 6 : 3); }

/// The key of a tenant's strangers.
constexpr Address kNowhere{};

template <typename Map>
std::uint32_t count(const Map& map, const typename Map::key_type& key) {
  const auto found = map.find(key);
  return found == map.end() ? 0 : found->second;
}

template <typename Map>
void change(Map& map, const typename Map::key_type& key, bool more) {
  std::uint32_t& number = map[key];
  number = more ? number + 1 : number - 1;
  if (number == 0) map.erase(key);
}

}  // namespace

std::uint32_t HalfOpenBudget::users_of(const Key& address, std::int64_t now) const {
  const auto found = known_.find(address);
  if (found == known_.end() || found->second.last + kKnownSeconds <= now) return 0;
  return static_cast<std::uint32_t>(found->second.users.size());
}

bool HalfOpenBudget::admit(std::uint32_t tenant, const Address& source, std::int64_t now) const {
  const Key address{tenant, address_of(source)};
  const std::uint32_t users = users_of(address, now);
  const std::uint32_t budget = std::min(kAddress + kPerUser * users, kAddressMax);
  if (count(addresses_, address) >= budget) return false;
  return users > 0 || (count(networks_, {tenant, network_of(source)}) < kNetwork && count(networks_, {tenant, kNowhere}) < kTenant);
}

void HalfOpenBudget::add(const Attempt& attempt, bool more) {
  change(addresses_, attempt.address, more);
  if (!attempt.stranger) return;
  change(networks_, attempt.network, more);
  change(networks_, {attempt.address.first, kNowhere}, more);
}

void HalfOpenBudget::begun(std::uint32_t ike, std::uint32_t tenant, const Address& source) {
  const Key address{tenant, address_of(source)};
  const auto [place, fresh] = attempts_.try_emplace(ike, Attempt{address, {tenant, network_of(source)}, !known_.contains(address)});
  if (fresh) add(place->second, true);
}

void HalfOpenBudget::ended(std::uint32_t ike) {
  const auto found = attempts_.find(ike);
  if (found == attempts_.end()) return;
  add(found->second, false);
  attempts_.erase(found);
}

void HalfOpenBudget::came_in(std::uint32_t tenant, const Address& source, std::size_t user, std::int64_t now) {
  const Key address{tenant, address_of(source)};
  if (!known_.contains(address) && known_.size() >= kKnownMax) {
    const auto silent_longer = [](const auto& a, const auto& b) { return a.second.last < b.second.last; };
    known_.erase(std::min_element(known_.begin(), known_.end(), silent_longer));
  }
  Known& known = known_[address];
  if (known.last + kKnownSeconds <= now) known.users.clear();
  known.last = now;
  const bool room = kAddress + kPerUser * known.users.size() < kAddressMax;
  if (room && std::find(known.users.begin(), known.users.end(), user) == known.users.end()) known.users.push_back(user);
}

}  // namespace sekisho::vpn
