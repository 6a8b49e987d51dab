// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "vpn/interned.h"
#include "vpn/plan.h"

namespace sekisho::ipc {
class VpnMemory;
}

namespace sekisho::vpn {

/// Who wants an inner address, and of what.
struct LeaseRequest {
  std::uint32_t tenant = 0;
  std::uint64_t session = 0;
  Interned user;  ///< folded
  Family family = Family::kIpv4;
  std::span<const Address> own;           ///< his static addresses: if one is of the family, that or none
  std::span<const AddressRange> pool;
  const std::set<Address>* reserved = nullptr;  ///< other users' static ones
};

/// Inner addresses and who holds them. A user gets the one he had before, else the one his name points to: the same after a restart
/// as well, as long as nobody took it. Pure; addresses of tenants never meet.
class Leases {
 public:
  struct Holder {
    std::uint64_t session = 0;
    Interned user;
    bool ending = false;  ///< its session is about to end: the same user may take it over
  };

  /// An address for the session; the same question again is answered the same. Nothing: none is left. `replaced`: the session of the
  /// same user that loses the address, 0 for none.
  std::optional<Address> acquire(const LeaseRequest& request, std::uint64_t& replaced);
  /// An address that is held already, by a session of a daemon before.
  void adopt(std::uint32_t tenant, const Address& address, std::uint64_t session, const Interned& user);
  /// A session of another daemon has the address, or has it no longer: acquire() passes it by meanwhile.
  void foreign(std::uint32_t tenant, const Address& address, bool held);
  /// What others hold is not known any more.
  void forget_foreign() { foreign_.clear(); }
  void ending(std::uint64_t session);
  /// The session holds nothing any more.
  void release(std::uint64_t session);
  void release(std::uint64_t session, std::uint32_t tenant, const Address& address);
  [[nodiscard]] const Holder* holder(std::uint32_t tenant, const Address& address) const;
  [[nodiscard]] std::size_t held() const { return holders_.size(); }
  /// Counts up whenever what save() says has changed.
  [[nodiscard]] std::uint64_t changes() const { return changes_; }
  /// The address each user had last: what the next process should give him again.
  void save(ipc::VpnMemory& out) const;
  void restore(const ipc::VpnMemory& memory);

 private:
  using Key = std::pair<std::uint32_t, Address>;
  std::optional<Address> take(const LeaseRequest& request, const Address& address, bool from_live, std::uint64_t& replaced);
  std::optional<Address> search(const LeaseRequest& request, std::uint64_t& replaced);

  std::map<Key, Holder> holders_;
  std::set<Key> foreign_;  ///< held by sessions of other daemons
  std::unordered_map<std::uint64_t, std::vector<Key>> by_session_;
  void remember(std::uint32_t tenant, const Interned& user, const Address& address);

  static constexpr std::size_t kRememberedMax = 131072;  ///< users twice, once a family; beyond, nobody new is remembered
  std::map<std::tuple<std::uint32_t, Interned, Family>, Address> last_;
  std::uint64_t changes_ = 0;
};

}  // namespace sekisho::vpn
