// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "control/config/text.h"

namespace sekisho::control {

enum class IdKind : std::uint8_t { kTenant = 0, kPort, kRule, kBinding, kUser, kService };
inline constexpr std::size_t kIdKinds = 6;

/// The numbers and UUIDs of everything that ever had one. A key keeps its number for ever and no number is given twice:
/// sessions, counters and logs speak in them. Filled from the store, asked by the compiler; what is new goes back to the
/// store with the revision that brought it. Keys join names by a unit separator, which no name may hold. One thread.
class Ids {
 public:
  /// The number of `key`, given now if it has none. 0 when the kind's numbers are used up (limits::k*IdMax).
  std::uint32_t number(IdKind kind, const std::string& key);
  /// The number of `key`, or 0 when it has none.
  [[nodiscard]] std::uint32_t find(IdKind kind, const std::string& key) const;
  /// The UUID of `key`, made now (version 4, from getrandom) if it has none.
  const Uuid& uuid(const std::string& key);

  void load_number(IdKind kind, std::string key, std::uint32_t number);
  void load_uuid(std::string key, const Uuid& uuid);
  /// Forgets a tenant's keys (of its remote users alone with `users_alone`); their numbers stay given.
  void forget(const std::string& service_code, bool users_alone);

  struct NewNumber {
    IdKind kind;
    std::string key;
    std::uint32_t number;
  };
  struct NewUuid {
    std::string key;
    Uuid uuid;
  };
  /// Of a backup: a key that has none yet gets this number or UUID where it is free. New to the store, as number()'s are.
  void adopt(const std::vector<NewNumber>& numbers, const std::vector<NewUuid>& uuids);
  /// What was given since the last settle().
  [[nodiscard]] const std::vector<NewNumber>& new_numbers() const { return new_numbers_; }
  [[nodiscard]] const std::vector<NewUuid>& new_uuids() const { return new_uuids_; }
  /// The store has them now.
  void settle();

 private:
  std::array<std::map<std::string, std::uint32_t>, kIdKinds> numbers_;
  std::array<std::uint32_t, kIdKinds> last_{};
  std::map<std::string, Uuid> uuids_;
  std::vector<NewNumber> new_numbers_;
  std::vector<NewUuid> new_uuids_;
};

/// One key of several names.
std::string id_key(std::initializer_list<std::string_view> parts);
std::string tenant_key(std::string_view service_code);
std::string port_key(std::string_view service_code, std::string_view port);
std::string uplink_key(std::string_view uplink);
std::string binding_key(std::string_view service_code, std::string_view binding);
std::string user_key(std::string_view service_code, std::string_view user);
/// Whoever a backend puts into the groups of a value; an empty one: of those no value does.
std::string radius_group_key(std::string_view service_code, std::string_view backend, std::string_view value);
/// A user, or whoever a backend puts into the groups of a value, who comes with a device of this group (DeviceConditions).
std::string device_user_key(std::string_view service_code, std::string_view user, std::string_view device_group);
std::string device_radius_key(std::string_view service_code, std::string_view backend, std::string_view value,
                              std::string_view device_group);
/// A gateway's address in the service network.
std::string service_key(std::string_view service_code, std::string_view address);
/// Rules are known by their UUID: a renamed rule that states its id stays itself.
std::string rule_key(std::string_view service_code, const Uuid& uuid);
/// Whose UUID is asked for when the document gives none.
std::string rule_uuid_key(std::string_view service_code, std::string_view policy, std::string_view rule);
std::string policy_default_uuid_key(std::string_view service_code, std::string_view policy);
std::string nat_rule_uuid_key(std::string_view service_code, std::string_view rule);
std::string guard_uuid_key(std::string_view service_code, std::string_view guard);
std::string final_default_uuid_key(std::string_view service_code);

}  // namespace sekisho::control
