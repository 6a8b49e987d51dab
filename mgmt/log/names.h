// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>

#include "mgmt/log/entry.h"

namespace sekisho::ipc {
class NameTable;
}

namespace sekisho::mgmt {

struct PortName {
  std::uint32_t tenant = 0;
  std::string name, zone;
  bool protected_side = false;
  bool tunnel = false;  ///< where remote users come in
};
struct RuleName {
  std::uint32_t tenant = 0;
  Uuid uuid;
  std::string name, policy;
  std::uint16_t number = 0;
  std::vector<std::string> users, hosts, services;  ///< groups that the rule names
};
struct BindingName {
  std::uint32_t port = 0;
  std::string name;
  Mac mac;
  std::vector<Address> addresses;
};

/// The names of one configuration generation. Immutable. A tenant whose service code is not one is left out: the code
/// names a folder. Objects of one tenant are never shown in another's records: callers compare `tenant`.
class Names {
 public:
  explicit Names(const ipc::NameTable& table);

  [[nodiscard]] std::uint32_t generation() const { return generation_; }
  [[nodiscard]] const std::string& node() const { return node_; }
  [[nodiscard]] std::size_t size() const { return tenants_.size() + ports_.size() + rules_.size() + bindings_.size() + services_; }
  /// nullptr when the generation has no such object of this tenant; a shared uplink is everybody's.
  [[nodiscard]] const std::string* service_code(std::uint32_t tenant) const;
  [[nodiscard]] const PortName* port(std::uint32_t id, std::uint32_t tenant) const;
  [[nodiscard]] const RuleName* rule(std::uint32_t id, std::uint32_t tenant) const;
  [[nodiscard]] const BindingName* binding(std::uint32_t id, std::uint32_t tenant) const;
  /// The service object numbered `number`, from 1: a number of this generation, not of any other.
  [[nodiscard]] const std::string* service(std::uint32_t number, std::uint32_t tenant) const;

 private:
  std::uint32_t generation_;
  std::string node_;
  struct TenantName {
    std::string service_code;
    std::vector<std::string> services;
  };
  std::unordered_map<std::uint32_t, TenantName> tenants_;
  std::size_t services_ = 0;  ///< of all tenants
  std::unordered_map<std::uint32_t, PortName> ports_;
  std::unordered_map<std::uint32_t, RuleName> rules_;
  std::unordered_map<std::uint32_t, BindingName> bindings_;
};

/// The last 64 generations asked for, fewer when they are large (a million names altogether).
/// Thread: the loop's.
class NameCache {
 public:
  void add(std::shared_ptr<const Names> names);
  /// controld answered that it does not know this generation: nobody need ask or wait again.
  void add_unknown(std::uint32_t generation);
  [[nodiscard]] bool is_unknown(std::uint32_t generation) const { return unknown_.contains(generation); }
  [[nodiscard]] const Names* find(std::uint32_t generation) const;
  /// The generation closest before `generation` (else after) that knows the tenant. Ids are stable and never reused, so
  /// the service code is right; names may have changed since.
  [[nodiscard]] const Names* nearest(std::uint32_t generation, std::uint32_t tenant) const;
  /// What `names` calls an object, or, when it is not there any more (its last sessions end later), what the newest
  /// earlier generation called it. Ids are never reused.
  [[nodiscard]] const PortName* port(const Names& names, std::uint32_t id, std::uint32_t tenant) const;
  [[nodiscard]] const RuleName* rule(const Names& names, std::uint32_t id, std::uint32_t tenant) const;
  [[nodiscard]] const BindingName* binding(const Names& names, std::uint32_t id, std::uint32_t tenant) const;
  [[nodiscard]] std::size_t generations() const { return by_generation_.size(); }

 private:
  template <typename Object>
  const Object* find_back(const Names& names, std::uint32_t id, std::uint32_t tenant,
                          const Object* (Names::*lookup)(std::uint32_t, std::uint32_t) const) const;

  std::map<std::uint32_t, std::shared_ptr<const Names>> by_generation_;
  std::set<std::uint32_t> unknown_;
};

}  // namespace sekisho::mgmt
