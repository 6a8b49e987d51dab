// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/net/address.h"

namespace sekisho::vpn {

/// How many attempts may be under way at once, of a tenant, from a network and from an address. An address users came in from is
/// known: its budget grows with their number (an office behind one NAT comes back at once), and what strangers of its network or
/// tenant do does not count against it. An address is an IPv4 address or an IPv6 /64, a network a /24 or a /48. Who is beyond its budget
/// is not answered; his next retransmission is a new question. That sources are not forged is the cookies' business: without one nobody
/// reaches these numbers. Pure; `now` in seconds.
class HalfOpenBudget {
 public:
  static constexpr std::uint32_t kAddress = 32;       ///< of an address nobody came in from
  static constexpr std::uint32_t kPerUser = 4;        ///< more for each user that did
  static constexpr std::uint32_t kAddressMax = 2048;
  static constexpr std::uint32_t kNetwork = 128;      ///< of all strangers of a network
  static constexpr std::uint32_t kTenant = 1024;      ///< of all strangers of a tenant
  static constexpr std::int64_t kKnownSeconds = 30 * 86400;  ///< since its last user came in
  static constexpr std::size_t kKnownMax = 8192;      ///< addresses; beyond, the longest silent is forgotten

  /// May one more begin? Asked for each first message.
  [[nodiscard]] bool admit(std::uint32_t tenant, const Address& source, std::int64_t now) const;
  /// The attempt `ike` is under way; no longer (it is up, or over). Both may be said twice.
  void begun(std::uint32_t ike, std::uint32_t tenant, const Address& source);
  void ended(std::uint32_t ike);
  /// A user came in from there; `user` is a hash of his name.
  void came_in(std::uint32_t tenant, const Address& source, std::size_t user, std::int64_t now);
  [[nodiscard]] std::size_t under_way() const { return attempts_.size(); }

 private:
  using Key = std::pair<std::uint32_t, Address>;
  struct Known {
    std::vector<std::size_t> users;
    std::int64_t last = 0;
  };
  struct Attempt {
    Key address;
    Key network;
    bool stranger;
  };
  [[nodiscard]] std::uint32_t users_of(const Key& address, std::int64_t now) const;
  void add(const Attempt& attempt, bool more);

  std::map<Key, std::uint32_t> addresses_;  ///< attempts under way
  std::map<Key, std::uint32_t> networks_;   ///< of strangers; without an address: the whole tenant's
  std::map<Key, Known> known_;
  std::unordered_map<std::uint32_t, Attempt> attempts_;
};

}  // namespace sekisho::vpn
