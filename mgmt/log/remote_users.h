// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "mgmt/log/store.h"

namespace sekisho::mgmt {

/// Who is behind an inner address now: told by vpn records (up, assigned again, down) as they pass, and after a restart by those
/// that are stored. One whose session is over is remembered for a minute, or until somebody else has his address: of flows that
/// began while he was in, the last records come after it. Thread: the loop's.
class RemoteUsers {
 public:
  static constexpr std::size_t kRecoverMax = 65536;  ///< newest vpn records of a tenant looked at after a restart

  struct User {
    HexId vpn_sid;
    std::string name, device_id, gw;
    std::vector<std::string> groups;
    Address peer_ip;
    std::uint64_t since_ns = 0;  ///< his flows began no earlier
    std::uint64_t ended_ns = 0;  ///< 0: he is in
  };
  static constexpr std::uint64_t kSlackNs = std::uint64_t{10} * 1'000'000'000;
  static constexpr std::uint64_t kEndedNs = std::uint64_t{60} * 1'000'000'000;

  explicit RemoteUsers(LogStore& store) : store_(store) {}

  /// Takes note of a vpn record that was stored.
  void learn(const LogEntry& entry);
  /// Whose a flow is that began at `began` and of which something is told at `at`. nullptr: nobody that is known. Valid until
  /// the next call of learn().
  const User* find(const std::string& service_code, const Address& inner, Timestamp began, Timestamp at);

 private:
  using Key = std::pair<std::string, Address>;
  void recover(const std::string& service_code);
  void forget_ended(std::uint64_t now_ns);
  [[nodiscard]] std::uint64_t since(const Key& key, const VpnFields& up, std::uint64_t at_ns) const;

  LogStore& store_;
  std::map<Key, User> users_;
  std::deque<std::pair<std::uint64_t, Key>> ended_;  ///< whose session is over, and when
  std::set<std::string> recovered_;
};

}  // namespace sekisho::mgmt
