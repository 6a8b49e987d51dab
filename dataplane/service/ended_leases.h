// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <set>
#include <tuple>

#include "base/net/address.h"
#include "dataplane/engine.h"

namespace sekisho::dataplane {

/// Inner addresses of remote users whose tunnel has ended and whose sessions have not yet. They are gathered, because a
/// walk through all sessions costs the same for one address and for a thousand. Thread: control.
class EndedLeases {
 public:
  /// `user`: UserId value; 0 is never the same as another 0.
  void add(std::uint32_t tenant, const Address& address, std::uint32_t user) { leases_.insert({tenant, address, user}); }
  /// `user` gets the address. True: nobody had it, or he himself, whose sessions go on. False: another's sessions stand
  /// under it; they must end first.
  [[nodiscard]] bool give_back(std::uint32_t tenant, const Address& address, std::uint32_t user);
  /// Ends the sessions of all of them, each with its record (vpn_down).
  void end_sessions(Engine& engine);
  /// The same, called often: after a walk of milliseconds, ten times as long passes before the next.
  void tick(Engine& engine);
  [[nodiscard]] bool empty() const { return leases_.empty(); }

 private:
  struct Entry {
    std::uint32_t tenant;
    Address address;
    std::uint32_t user;

    friend bool operator<(const Entry& left, const Entry& right) {
      return std::tie(left.tenant, left.address, left.user) < std::tie(right.tenant, right.address, right.user);
    }
  };
  [[nodiscard]] bool holds(std::uint32_t tenant, const Address& address) const;

  std::set<Entry> leases_;
  std::chrono::steady_clock::time_point not_before_{};
};

}  // namespace sekisho::dataplane
