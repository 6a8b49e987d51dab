// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "base/proto/control_log.pb.h"
#include "base/proto/model.pb.h"
#include "control/compile/ids.h"
#include "control/config/finding.h"

namespace sekisho::control {

/// The name of every pinned default deny (specification F-10).
inline constexpr std::string_view kDefaultDenyName = "既定拒否";

/// Where a compiled rule stands in the model; `rule` is -1 for pinned defaults, `policy` too for the final one.
struct RulePlace {
  int tenant = 0;
  int policy = -1;
  int rule = -1;
  int guard = -1;  ///< of the configuration's guards; then neither policy nor rule
};

/// A compiled snapshot, or why there is none.
struct Compiled {
  std::vector<std::uint8_t> snapshot;  ///< empty with errors; passes filters::SnapshotView::parse
  std::vector<Finding> findings;       ///< errors, and warnings such as rules that can match nothing
  std::vector<RulePlace> rules;        ///< by index in the snapshot's kRules
  std::int64_t moment = 0;             ///< the snapshot's: Unix seconds, 0 when no rule depends on time
};

/// Model to snapshot. Precondition: validate() found no error. Deterministic: the same model and ids give the same bytes
/// but for the generation, at any two times between which no rule changes by itself. What has no number yet gets one from
/// `ids`. `now`: Unix seconds.
Compiled compile(const model::Configuration& model, const Positions& positions, Ids& ids, std::uint32_t generation, std::int64_t now = 0);

/// Warnings about rules that no packet ever reaches: shadowed, redundant, behind a default deny; and about those for which
/// this was too much work to decide. Nothing is changed. Costs some tenths of a second for 10,000 rules.
std::vector<Finding> remark_on_rules(const model::Configuration& model, const Positions& positions, const Compiled& compiled);

/// What log records call things under one generation; for any stored model, since ids never change.
ipc::NameTable make_name_table(const model::Configuration& model, Ids& ids, std::uint32_t generation);

/// The UUID a rule goes by: the document's, or the one given once for its name.
Uuid rule_uuid(Ids& ids, const model::Tenant& tenant, const model::Policy& policy, const model::Rule& rule);

/// The same of a NAT rule.
Uuid nat_rule_uuid(Ids& ids, const model::Tenant& tenant, const model::NatRule& rule);

/// The bindings that a port enforces, as indices in the tenant: by segment all of the port; else its active one, or its
/// first suspended one, or none.
std::vector<int> bindings_of_port(const model::Tenant& tenant, const model::Port& port);

/// What snapshots and name tables of one generation call a service object of `tenant`: its place in the list, from 1; 0
/// beyond 65,535.
std::uint16_t service_number(const model::Tenant& tenant, const model::ServiceObject& service);
/// Whether a guard applies to a tenant.
bool guards_tenant(const model::Guard& guard, const model::Tenant& tenant);

}  // namespace sekisho::control
