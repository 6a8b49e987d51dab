// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "mgmt/log/store.h"

namespace sekisho::mgmt {

/// Who is behind an inner address now: told by vpn records (up, assigned again, down) as they pass, and after a restart by those
/// that are stored. Thread: the loop's.
class RemoteUsers {
 public:
  static constexpr std::size_t kRecoverMax = 65536;  ///< newest vpn records of a tenant looked at after a restart

  struct User {
    HexId vpn_sid;
    std::string name, device_id;
    std::vector<std::string> groups;
    Address peer_ip;
  };

  explicit RemoteUsers(LogStore& store) : store_(store) {}

  /// Takes note of a vpn record that was stored.
  void learn(const LogEntry& entry);
  /// nullptr: nobody that is known. Valid until the next call of learn().
  const User* find(const std::string& service_code, const Address& inner);

 private:
  using Key = std::pair<std::string, Address>;
  void recover(const std::string& service_code);

  LogStore& store_;
  std::map<Key, User> users_;
  std::set<std::string> recovered_;
};

}  // namespace sekisho::mgmt
