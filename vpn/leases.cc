// SPDX-License-Identifier: Apache-2.0
#include "vpn/leases.h"

#include <algorithm>

#include "base/proto/control_vpn.pb.h"

namespace sekisho::vpn {
namespace {

/// Addresses of a range, at most 2^48: enough to point into.
std::uint64_t size_of(const AddressRange& range) {
  std::uint64_t size = 0;
  const std::size_t bytes = range.first.bits() / 8;
  for (std::size_t i = 0; i < bytes; ++i) {
    if (size >= (std::uint64_t{1} << 40)) return std::uint64_t{1} << 48;
    // Never negative: the first address is not behind the last.
    size = (size << 8) + range.last.bytes[i] - range.first.bytes[i];
  }
  return size + 1;
}

Address plus(Address address, std::uint64_t offset) {
  for (std::size_t i = address.bits() / 8; i-- > 0 && offset != 0;) {
    offset += address.bytes[i];
    address.bytes[i] = static_cast<std::uint8_t>(offset);
    offset >>= 8;
  }
  return address;
}

/// FNV-1a: where in a pool a name points; nobody's secret.
std::uint64_t hash_of(const std::string& text) {
  std::uint64_t out = 14695981039346656037ULL;
  for (const char c : text) out = (out ^ static_cast<std::uint8_t>(c)) * 1099511628211ULL;
  return out;
}

}  // namespace

std::optional<Address> Leases::acquire(const LeaseRequest& request, std::uint64_t& replaced) {
  replaced = 0;
  const auto mine = by_session_.find(request.session);
  if (mine != by_session_.end()) {
    for (const Key& key : mine->second) {
      if (key.second.family == request.family) return key.second;
    }
  }
  for (const Address& own : request.own) {
    if (own.family == request.family) return take(request, own, true, replaced);
  }
  return search(request, replaced);
}

std::optional<Address> Leases::take(const LeaseRequest& request, const Address& address, bool from_live, std::uint64_t& replaced) {
  if (foreign_.contains({request.tenant, address})) return std::nullopt;
  const auto found = holders_.find({request.tenant, address});
  if (found != holders_.end()) {
    if (found->second.user != request.user || !(from_live || found->second.ending)) return std::nullopt;
    replaced = found->second.session;
    std::erase(by_session_[replaced], Key{request.tenant, address});
  }
  holders_.insert_or_assign({request.tenant, address}, Holder{request.session, request.user, false});
  by_session_[request.session].push_back({request.tenant, address});
  remember(request.tenant, request.user, address);
  return address;
}

std::optional<Address> Leases::search(const LeaseRequest& request, std::uint64_t& replaced) {
  std::uint64_t total = 0;
  std::vector<std::pair<AddressRange, std::uint64_t>> ranges;
  for (const AddressRange& range : request.pool) {
    if (range.first.family != request.family) continue;
    ranges.emplace_back(range, size_of(range));
    total += ranges.back().second;
  }
  if (total == 0) return std::nullopt;
  const auto is_reserved = [&request](const Address& address) {
    return request.reserved != nullptr && request.reserved->contains(address);
  };
  const auto before = last_.find({request.tenant, request.user, request.family});
  if (before != last_.end() && !is_reserved(before->second) && std::any_of(ranges.begin(), ranges.end(), [&](const auto& one) {
        return one.first.first <= before->second && before->second <= one.first.last;
      })) {
    const Address wanted = before->second;
    if (auto taken = take(request, wanted, false, replaced)) return taken;
  }
  // Among as many as are held or reserved, and one more, one is free.
  const std::uint64_t busy = holders_.size() + foreign_.size() + (request.reserved != nullptr ? request.reserved->size() : 0);
  std::uint64_t place = hash_of(request.user) % total;
  for (std::uint64_t tries = std::min(total, busy + 1); tries > 0; --tries, place = (place + 1) % total) {
    std::uint64_t offset = place;
    auto range = ranges.begin();
    for (; offset >= range->second; ++range) offset -= range->second;
    const Address address = plus(range->first.first, offset);
    if (is_reserved(address)) continue;
    if (auto taken = take(request, address, false, replaced)) return taken;
  }
  return std::nullopt;
}

void Leases::adopt(std::uint32_t tenant, const Address& address, std::uint64_t session, const Interned& user) {
  // It may move at once: its client found no answer and came again.
  if (!holders_.emplace(Key{tenant, address}, Holder{session, user, true}).second) return;
  by_session_[session].push_back({tenant, address});
  remember(tenant, user, address);
}

void Leases::foreign(std::uint32_t tenant, const Address& address, bool held) {
  if (held) {
    foreign_.insert({tenant, address});
  } else {
    foreign_.erase({tenant, address});
  }
}

void Leases::ending(std::uint64_t session) {
  const auto found = by_session_.find(session);
  if (found == by_session_.end()) return;
  for (const Key& key : found->second) holders_.at(key).ending = true;
}

void Leases::release(std::uint64_t session) {
  const auto found = by_session_.find(session);
  if (found == by_session_.end()) return;
  for (const Key& key : found->second) holders_.erase(key);
  by_session_.erase(found);
}

void Leases::release(std::uint64_t session, std::uint32_t tenant, const Address& address) {
  const auto found = holders_.find({tenant, address});
  if (found == holders_.end() || found->second.session != session) return;
  std::erase(by_session_[session], found->first);
  holders_.erase(found);
}

const Leases::Holder* Leases::holder(std::uint32_t tenant, const Address& address) const {
  const auto found = holders_.find({tenant, address});
  return found == holders_.end() ? nullptr : &found->second;
}

void Leases::remember(std::uint32_t tenant, const Interned& user, const Address& address) {
  const auto found = last_.find({tenant, user, address.family});
  if (found == last_.end() && last_.size() >= kRememberedMax) return;
  if (found != last_.end() && found->second == address) return;
  last_.insert_or_assign({tenant, user, address.family}, address);
  ++changes_;
}

void Leases::save(ipc::VpnMemory& out) const {
  for (const auto& [key, address] : last_) {
    auto& one = *out.add_addresses();
    one.set_tenant(std::get<0>(key));
    one.set_user(std::get<1>(key));
    one.set_address(std::string(address.wire().begin(), address.wire().end()));
  }
}

void Leases::restore(const ipc::VpnMemory& memory) {
  for (const auto& one : memory.addresses()) {
    const auto address = Address::from_wire({reinterpret_cast<const std::uint8_t*>(one.address().data()), one.address().size()});
    // Who is in already, adopted, has what he has.
    if (address && !last_.contains({one.tenant(), one.user(), address->family})) remember(one.tenant(), one.user(), *address);
  }
}

}  // namespace sekisho::vpn
