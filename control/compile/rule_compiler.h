// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/proto/model.pb.h"
#include "control/compile/address_set.h"
#include "control/compile/compiler.h"
#include "control/compile/device_conditions.h"
#include "control/compile/ids.h"
#include "control/compile/service_set.h"
#include "control/config/finding.h"
#include "filters/policy/snapshot_builder.h"

namespace sekisho::control {

/// Compiles the policies of one tenant into builder.policies and builder.rules: names resolved, groups flattened, negation
/// turned into complements, policies joined into one list that ends in the tenant's default deny.
/// Equal lists of references share one run of ranges. Lives for one tenant; one thread.
class RuleCompiler {
 public:
  /// What stands around a tenant.
  struct Surroundings {
    std::uint32_t index;  ///< in the snapshot's kTenants
    int place;            ///< in the model
    const google::protobuf::RepeatedPtrField<model::Guard>& guards;
    std::int64_t now;     ///< Unix seconds
  };
  /// `places` gets the place in the model of each rule appended to builder.rules.
  RuleCompiler(filters::SnapshotBuilder& builder, Ids& ids, Reporter& reporter, const model::Tenant& tenant,
               const Surroundings& around, std::vector<RulePlace>& places);
  void compile(const Path& tenant_path);

  using Names = google::protobuf::RepeatedPtrField<std::string>;
  enum class Negate : bool { kNo, kYes };
  /// A resolved side of a rule.
  struct Match {
    filters::snapshot::Range run{0, 0};
    bool any = false;
    bool v4 = true;
    bool v6 = true;
    [[nodiscard]] bool nothing() const { return !any && run.count == 0; }
  };

  [[nodiscard]] std::uint64_t zone_mask(const Names& zones) const;
  Match addresses(const Path& here, const Names& names, Negate negate);
  /// nullopt: refused, and reported.
  std::optional<Match> services(const Path& here, const Names& names, Negate negate);

 private:
  void compile_guards();
  void compile_guard(const model::Guard& guard, std::uint32_t policy_index, int place);
  /// The tenant's zones on one side of it.
  [[nodiscard]] std::uint64_t side_mask(model::GuardSide side) const;
  void set_standing(const Path& here, const model::Rule& rule, filters::snapshot::Rule& out);
  void compile_policy(const Path& here, const model::Policy& policy, std::uint32_t policy_index);
  void compile_rule(const Path& here, const model::Policy& policy, const model::Rule& rule, std::uint32_t policy_index, int number);
  void add_limits(const model::Rule& rule);
  void add_default(std::string_view uuid_key, std::uint64_t from, std::uint64_t to, model::DropLog log, std::uint32_t policy_index);
  void append(const filters::snapshot::Rule& rule, RulePlace place);
  [[nodiscard]] std::uint32_t rule_number(const Path& here, const Uuid& uuid);

  const AddressSet& resolve_address(const std::string& name);
  const std::vector<ServiceBox>& resolve_service(const std::string& name);
  Match emit_addresses(const Path& here, const AddressSet& set);
  Match emit_services(const std::vector<ServiceBox>& boxes, Negate negate);

  filters::SnapshotBuilder& builder_;
  Ids& ids_;
  Reporter& reporter_;
  const model::Tenant& tenant_;
  const Surroundings around_;
  DeviceConditions devices_;
  std::vector<RulePlace>& places_;
  int policy_place_ = -1;  ///< of the policy being compiled
  std::map<std::string_view, std::uint64_t> zones_;
  std::map<std::string_view, const model::AddressObject*> address_objects_;
  std::map<std::string_view, const model::AddressGroup*> address_groups_;
  std::map<std::string_view, const model::ServiceObject*> service_objects_;
  std::map<std::string_view, const model::ServiceGroup*> service_groups_;
  std::map<std::string, AddressSet> address_sets_;
  std::map<std::string, std::vector<ServiceBox>> service_sets_;
  std::size_t gathered_addresses_ = 0;
  bool too_many_addresses_ = false;
  std::map<std::string, Match> address_matches_;
  std::map<std::string, Match> service_matches_;
};

}  // namespace sekisho::control
