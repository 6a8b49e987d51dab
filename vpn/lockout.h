// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/net/address.h"

namespace sekisho::ipc {
class LearnVpnFailures;
class VpnAnswer;
class VpnMemory;
}  // namespace sekisho::ipc

namespace sekisho::vpn {

/// F-44, over all daemons that let people in: what the others counted is learnt, and counts with what is counted here. Five wrong
/// passwords of a user within 15 minutes shut him out for 15 minutes; wrong passwords for twenty different users
/// within 15 minutes shut out the source they came from (an IPv4 address, or an IPv6 /64: a host has as many addresses as it likes).
/// Names need not exist: one that is not there is shut out like one that is. What a shut-out user tries does not count.
/// Pure; `now` in seconds since 1970 UTC: what is saved goes on counting in the next process.
class Lockout {
 public:
  static constexpr std::size_t kUserFailures = 5;
  static constexpr std::size_t kSourceUsers = 20;
  static constexpr std::size_t kSprayUsers = 20;  ///< of a tenant, from more than one source: told, once in a window
  static constexpr std::int64_t kWindowSeconds = 15 * 60;
  static constexpr std::int64_t kLockSeconds = 15 * 60;
  /// Users or sources remembered; beyond, those are forgotten whose last failure is the oldest.
  static constexpr std::size_t kEntriesMax = 16384;

  /// Whom one more wrong password shut out; since: of the first that counted. 0: not now.
  struct Shut {
    std::size_t failures = 0;       ///< of the user
    std::size_t names = 0;          ///< tried from the source
    std::size_t sprayed = 0;        ///< users of the tenant, from several sources: nobody is shut out for that
    std::int64_t user_since = 0, source_since = 0, spray_since = 0;
  };
  Shut failed(std::uint32_t tenant, std::string_view folded_user, const Address& source, std::int64_t now);
  /// False when nothing was counted.
  bool succeeded(std::uint32_t tenant, std::string_view folded_user);
  [[nodiscard]] bool user_locked(std::uint32_t tenant, std::string_view folded_user, std::int64_t now) const;
  [[nodiscard]] bool source_locked(std::uint32_t tenant, const Address& source, std::int64_t now) const;
  /// Lets a user in again; false when he was not shut out.
  bool unlock(std::uint32_t tenant, std::string_view folded_user, std::int64_t now);

  void save(ipc::VpnMemory& out, std::int64_t now) const;
  /// Takes what was saved, as far as it makes sense.
  void restore(const ipc::VpnMemory& memory, std::int64_t now);
  void list(ipc::VpnAnswer& out, std::int64_t now) const;
  /// What another daemon has counted, in place of what it had said before. True: that shut somebody out here.
  bool learn(const ipc::LearnVpnFailures& told, std::int64_t now);

 private:
  struct User {
    std::vector<std::int64_t> failures;  ///< oldest first
    std::int64_t until = 0;
    std::int64_t last = 0;
  };
  struct Source {
    std::map<std::string, std::int64_t> users;  ///< and their last failure
    std::int64_t until = 0;
    std::int64_t last = 0;
  };
  /// Wrong passwords of a tenant, whose users did not come in since: many users, a few each, is somebody's list.
  struct Spray {
    std::map<std::string, std::pair<std::int64_t, Address>> users;  ///< when last, and from where
    std::int64_t quiet_until = 0;
  };
  void look_for_spray(std::uint32_t tenant, const std::string& name, const Address& source, std::int64_t now, Shut& out);
  using UserKey = std::pair<std::uint32_t, std::string>;
  /// When the other daemons were told wrong passwords of a user within the window: how often, and until when one of them shuts him out.
  [[nodiscard]] std::size_t failures_elsewhere(const UserKey& key, std::int64_t now) const;

  std::map<std::uint32_t, std::map<UserKey, User>> learnt_;  ///< by daemon
  std::map<std::pair<std::uint32_t, std::string>, User> users_;
  std::map<std::pair<std::uint32_t, Address>, Source> sources_;
  std::map<std::uint32_t, Spray> sprays_;  ///< by tenant
};

}  // namespace sekisho::vpn
