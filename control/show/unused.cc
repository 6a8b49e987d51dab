// SPDX-License-Identifier: Apache-2.0
#include "control/show/unused.h"

#include <map>
#include <set>
#include <string>

#include "control/compile/compiler.h"
#include "control/config/timetable.h"

namespace sekisho::control {
namespace {

/// What makes a rule the same one in two documents: the id it states, else its names.
std::string key_of(const model::Tenant& tenant, const model::Policy& policy, const model::Rule& rule) {
  return rule.has_id() ? id_key({tenant.service_code(), rule.id()}) : rule_uuid_key(tenant.service_code(), policy.name(), rule.name());
}

template <typename Visit>
void for_each_rule(const model::Configuration& model, Visit visit) {
  for (int t = 0; t < model.tenants_size(); ++t) {
    for (int p = 0; p < model.tenants(t).policies_size(); ++p) {
      for (int r = 0; r < model.tenants(t).policies(p).rules_size(); ++r) visit(t, p, r);
    }
  }
}

/// Keys of the rules of `before` that nothing has hit since then.
std::set<std::string> unused_of(const model::Configuration& before, const ipc::Counters& counters, Ids& ids, std::int64_t since) {
  std::map<std::uint32_t, std::uint64_t> hit_ns;
  for (const auto& counter : counters.rules()) hit_ns[counter.rule()] = counter.last_hit_ns();
  std::set<std::string> out;
  for_each_rule(before, [&](int t, int p, int r) {
    const auto& tenant = before.tenants(t);
    const auto& policy = tenant.policies(p);
    const auto& rule = policy.rules(r);
    if (!rule.enabled()) return;
    const auto hit = hit_ns.find(ids.number(IdKind::kRule, rule_key(tenant.service_code(), rule_uuid(ids, tenant, policy, rule))));
    if (hit == hit_ns.end()) return;  // it is not in force now: nothing counts for it
    if (static_cast<std::int64_t>(hit->second / 1'000'000'000) < since) out.insert(key_of(tenant, policy, rule));
  });
  return out;
}

}  // namespace

std::vector<Finding> remark_on_unused(const model::Configuration& model, const Positions& positions, const model::Configuration& before,
                                      const ipc::Counters& counters, Ids& ids, std::int64_t now) {
  const std::int64_t since = now - kUnusedSeconds;
  if (counters.since_ns() == 0 || static_cast<std::int64_t>(counters.since_ns() / 1'000'000'000) > since) return {};
  const std::set<std::string> unused = unused_of(before, counters, ids, since);
  Reporter reporter(positions);
  for_each_rule(model, [&](int t, int p, int r) {
    const auto& tenant = model.tenants(t);
    const auto& rule = tenant.policies(p).rules(r);
    const bool stands = rule.enabled() && (!rule.has_valid_until() || now < parse_civil(rule.valid_until()).value_or(0));
    if (!stands || !unused.contains(key_of(tenant, tenant.policies(p), rule))) return;
    const Path root;
    const Path tenant_path(root, "tenants", t);
    const Path policy_path(tenant_path, "policies", p);
    reporter.warning(Path(policy_path, "rules", r), "nothing has hit the rule \"" + rule.name() + "\" for more than 90 days: it is unused");
  });
  return reporter.take();
}

}  // namespace sekisho::control
