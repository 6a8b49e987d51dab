// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/proto/model.pb.h"

namespace sekisho::control {

/// What a tenant's rules ask of remote users' devices, as groups of users: a rule that asks for one names, in place of its groups, a group
/// that only they are in who are in one of them and came with such a device. Groups of this kind have the bits behind the tenant's own;
/// who comes with a device is another user in the snapshot, in those groups as well (docs/life-of-a-tunnel.md, Devices).
class DeviceConditions {
 public:
  explicit DeviceConditions(const model::Tenant& tenant);

  /// True: the rule asks for a device that has proven itself.
  static bool asks(const model::Rule& rule);
  /// Bits of the groups a rule names; 0: whoever it is.
  [[nodiscard]] std::uint64_t mask(const model::Rule& rule) const;
  /// False: more groups than a word has bits.
  [[nodiscard]] bool fit() const;
  /// The groups of somebody who is in `groups` and came with a device of this group.
  [[nodiscard]] std::uint64_t groups_with(std::uint64_t groups, const std::string& device_group) const;
  /// The groups of devices that a user may come with, so far as rules tell them apart; an empty name: all others.
  [[nodiscard]] std::set<std::string> devices_of(const model::User& user) const;
  /// The same for whoever a backend puts into these groups.
  [[nodiscard]] std::set<std::string> devices_of(const google::protobuf::RepeatedPtrField<std::string>& groups) const;
  /// True: some rule may let users in these groups out of their tunnel.
  [[nodiscard]] bool permits(std::uint64_t groups) const;
  /// What the group of a bit behind the tenant's own is called.
  [[nodiscard]] std::string name(int bit) const;

 private:
  struct Condition {
    std::uint64_t users = 0;       ///< 0: whoever it is
    std::set<std::string> groups;  ///< empty: any
    bool operator==(const Condition&) const = default;
  };
  static Condition condition_of(const model::Tenant& tenant, const model::Rule& rule);
  void add_owners();
  void add_permits();

  const model::Tenant& tenant_;
  std::vector<Condition> conditions_;
  std::map<std::string, std::set<std::string>> of_user_, of_group_;  ///< groups of devices, by owner
  bool unregistered_ = false;  ///< a device nobody registered may come in
  std::vector<std::uint64_t> permits_;  ///< groups of the rules that let somebody out of a tunnel
};

}  // namespace sekisho::control
