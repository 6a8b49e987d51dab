// SPDX-License-Identifier: Apache-2.0
// Policies and their rules (specification 3.3).
#include <algorithm>
#include <set>

#include "base/limits.h"
#include "control/config/text.h"
#include "control/config/timetable.h"
#include "control/config/validate_parts.h"

namespace sekisho::control {
namespace {

constexpr std::size_t kZonesPerRuleMax = 16;

std::set<std::string_view> names_of(const model::Tenant& tenant, bool services) {
  std::set<std::string_view> out;
  if (services) {
    for (const auto& object : tenant.services()) out.insert(object.name());
    for (const auto& group : tenant.service_groups()) out.insert(group.name());
  } else {
    for (const auto& object : tenant.addresses()) out.insert(object.name());
    for (const auto& group : tenant.address_groups()) out.insert(group.name());
  }
  return out;
}

class PolicyCheck {
 public:
  PolicyCheck(Reporter& reporter, const model::Tenant& tenant, const Path& path)
      : reporter_(reporter),
        tenant_(tenant),
        path_(path),
        zones_(tenant.zones().begin(), tenant.zones().end()),
        addresses_(names_of(tenant, false)),
        services_(names_of(tenant, true)) {}

  void check() {
    check_schedules();
    NameIndex names;
    index_names(reporter_, path_, "policies", tenant_.policies(), names);
    std::size_t rules = 0;
    for (int i = 0; i < tenant_.policies_size(); ++i) {
      const Path here(path_, "policies", i);
      check_zones(here, "from", tenant_.policies(i).from(), limits::kZonesPerTenantMax);
      check_zones(here, "to", tenant_.policies(i).to(), limits::kZonesPerTenantMax);
      check_reachable(here, i);
      check_rules(here, tenant_.policies(i));
      rules += static_cast<std::size_t>(tenant_.policies(i).rules_size());
    }
    check_count(reporter_, Path(path_, "policies"), static_cast<std::size_t>(tenant_.policies_size()),
                limits::kRulesPerTenantMax, "policies");
    check_count(reporter_, Path(path_, "policies"), rules, limits::kRulesPerTenantMax, "rules in this tenant");
  }

 private:
  void check_zones(const Path& here, std::string_view field, const Strings& zones, std::size_t most) {
    check_count(reporter_, Path(here, field), static_cast<std::size_t>(zones.size()), most, "zones");
    for (int i = 0; i < zones.size(); ++i) {
      if (!zones_.contains(zones[i])) {
        reporter_.no_such_name(Path(here, field, i), {".zones"}, "there is no zone named \"" + zones[i] + "\" in this tenant");
      }
    }
  }

  static bool covers(const Strings& wide, const Strings& narrow) {
    if (wide.empty()) return true;
    return !narrow.empty() && std::all_of(narrow.begin(), narrow.end(), [&](const std::string& zone) {
      return std::find(wide.begin(), wide.end(), zone) != wide.end();
    });
  }

  /// Each policy ends in its default deny, so one behind a wider one is never asked.
  void check_reachable(const Path& here, int index) {
    const auto& policy = tenant_.policies(index);
    for (int i = 0; i < std::min(index, kPoliciesCompared); ++i) {
      const auto& before = tenant_.policies(i);
      if (!covers(before.from(), policy.from()) || !covers(before.to(), policy.to())) continue;
      return reporter_.warning(here, "never reached: policy \"" + before.name() +
                                         "\" above takes the same zones and ends in a default deny");
    }
  }

  void check_references(const Path& here, std::string_view field, const Strings& names,
                        const std::set<std::string_view>& known, std::string_view what, bool negated) {
    check_count(reporter_, Path(here, field), static_cast<std::size_t>(names.size()), limits::kRuleReferencesMax,
                "references");
    for (int i = 0; i < names.size(); ++i) {
      if (known.contains(names[i])) continue;
      const std::string hint = names[i] == "any" ? "; leave the list empty to mean any" : "";
      reporter_.no_such_name(Path(here, field, i), {".addresses", ".address_groups", ".services", ".service_groups"},
                             "there is no " + std::string(what) + " or group named \"" + names[i] + '"' + hint);
    }
    if (negated && names.empty()) {
      const std::string flag = std::string(field) + "_not";
      reporter_.error(Path(here, flag), "not any matches nothing: give a " + std::string(field));
    }
  }

  void check_rules(const Path& policy_path, const model::Policy& policy) {
    NameIndex names;
    index_names(reporter_, policy_path, "rules", policy.rules(), names);
    for (int i = 0; i < policy.rules_size(); ++i) {
      const Path here(policy_path, "rules", i);
      const auto& rule = policy.rules(i);
      check_id(here, rule);
      check_zones(here, "source_zones", rule.source_zones(), kZonesPerRuleMax);
      check_zones(here, "destination_zones", rule.destination_zones(), kZonesPerRuleMax);
      check_references(here, "source", rule.source(), addresses_, "address", rule.source_not());
      check_references(here, "destination", rule.destination(), addresses_, "address", rule.destination_not());
      check_references(here, "service", rule.service(), services_, "service", rule.service_not());
      check_log(here, rule);
      check_limits(here, rule);
      check_memo(reporter_, Path(here, "memo"), rule.memo());
      check_users(here, rule);
      check_on_change(here, rule);
      check_time(here, rule);
    }
  }

  void check_id(const Path& here, const model::Rule& rule) {
    if (!rule.has_id()) return;
    const auto uuid = parse_uuid(rule.id());
    if (!uuid) {
      return reporter_.error(Path(here, "id"),
                             '"' + rule.id() + "\" is not a UUID, like 6f1d2c84-0000-4000-8000-000000000001");
    }
    if (!ids_.insert(*uuid).second) reporter_.error(Path(here, "id"), "the id is that of another rule of this tenant");
  }

  void check_log(const Path& here, const model::Rule& rule) {
    const auto log = rule.log();
    const bool both_kinds = log == model::Rule::AUTO || log == model::Rule::NONE;
    const bool for_allow = log == model::Rule::START || log == model::Rule::END || log == model::Rule::BOTH;
    if (both_kinds || for_allow == (rule.action() == model::Rule::ALLOW)) return;
    reporter_.error(Path(here, "log"), for_allow ? "a rule that drops or rejects logs none, folded or each"
                                                 : "a rule that allows logs none, start, end or both");
  }

  void check_limits(const Path& here, const model::Rule& rule) {
    const auto limit = [&](std::string_view field, std::uint32_t value, std::uint32_t most) {
      if (value != 0 && rule.action() != model::Rule::ALLOW) {
        reporter_.error(Path(here, field), "a rule that lets nothing through has no connections to limit");
      } else if (value > most) {
        reporter_.error(Path(here, field), std::string(field) + " is at most " + std::to_string(most));
      }
    };
    constexpr std::uint32_t kPerSecondMax = 10'000'000;
    limit("half_open_max", rule.half_open_max(), tenant_.sessions_max());
    limit("sessions_max", rule.sessions_max(), tenant_.sessions_max());
    limit("sessions_per_second", rule.sessions_per_second(), kPerSecondMax);
    limit("source_sessions_max", rule.source_sessions_max(), tenant_.sessions_max());
    limit("source_sessions_per_second", rule.source_sessions_per_second(), kPerSecondMax);
  }

  void check_schedules() {
    check_count(reporter_, Path(path_, "schedules"), static_cast<std::size_t>(tenant_.schedules_size()),
                limits::kSchedulesPerTenantMax, "schedules");
    index_names(reporter_, path_, "schedules", tenant_.schedules(), schedules_);
    for (int i = 0; i < tenant_.schedules_size(); ++i) {
      const Path here(path_, "schedules", i);
      const auto& schedule = tenant_.schedules(i);
      const auto slots = static_cast<std::size_t>(schedule.weekly_size() + schedule.once_size());
      check_count(reporter_, here, slots, limits::kSlotsPerScheduleMax, "slots");
      if (slots == 0) reporter_.warning(here, "a schedule without slots: rules that follow it never stand");
      for (int w = 0; w < schedule.weekly_size(); ++w) {
        if (parse_weekly(schedule.weekly(w))) continue;
        reporter_.error(Path(here, "weekly", w), '"' + schedule.weekly(w) + "\" is not days and times" +
                                                     ", like mon-fri 09:00-17:30 or sat,sun 22:00-06:00");
      }
      for (int o = 0; o < schedule.once_size(); ++o) {
        if (parse_once(schedule.once(o))) continue;
        reporter_.error(Path(here, "once", o), '"' + schedule.once(o) + "\" is not a span of time" +
                                                   ", like 2026-12-29 18:00 to 2027-01-04 09:00");
      }
    }
  }

  void check_time(const Path& here, const model::Rule& rule) {
    if (rule.has_schedule() && !schedules_.contains(rule.schedule())) {
      reporter_.no_such_name(Path(here, "schedule"), {".schedules"},
                             "there is no schedule named \"" + rule.schedule() + "\" in this tenant");
    }
    if (rule.strict() && !rule.has_schedule()) reporter_.error(Path(here, "strict"), "strict needs a schedule");
    if (rule.has_valid_until() && !parse_civil(rule.valid_until())) {
      reporter_.error(Path(here, "valid_until"), '"' + rule.valid_until() + "\" is not a time, like 2026-12-31 22:00");
    }
  }

  void check_on_change(const Path& here, const model::Rule& rule) {
    if (!rule.has_on_change() || rule.action() == model::Rule::ALLOW) return;
    reporter_.error(Path(here, "on_change"), "a rule that drops or rejects has no sessions to end or keep");
  }

  void check_users(const Path& here, const model::Rule& rule) {
    check_count(reporter_, Path(here, "users"), static_cast<std::size_t>(rule.users_size()), limits::kUserGroupsPerTenantMax, "groups");
    for (int i = 0; i < rule.users_size(); ++i) {
      const auto& groups = tenant_.user_groups();
      const bool known = std::any_of(groups.begin(), groups.end(), [&](const auto& group) { return group.name() == rule.users(i); });
      if (known) continue;
      const std::string hint = rule.users(i) == "any" ? "; leave the list empty to mean anyone" : "";
      reporter_.no_such_name(Path(here, "users", i), {".user_groups"}, "there is no user group named \"" + rule.users(i) + '"' + hint);
    }
    check_count(reporter_, Path(here, "device_groups"), static_cast<std::size_t>(rule.device_groups_size()), kDeviceGroupsMax, "groups");
    for (int i = 0; i < rule.device_groups_size(); ++i) {
      const std::string& name = rule.device_groups(i);
      const auto& devices = tenant_.devices();
      const auto in_it = [&name](const auto& device) { return device.group() == name && !name.empty(); };
      if (std::any_of(devices.begin(), devices.end(), in_it)) continue;
      reporter_.no_such_name(Path(here, "device_groups", i), {".devices"}, "there is no device in a group named \"" + name + '"');
    }
  }

  static constexpr std::size_t kDeviceGroupsMax = 64;
  static constexpr int kPoliciesCompared = 1000;  // keeps a document of only policies from costing their square
  Reporter& reporter_;
  const model::Tenant& tenant_;
  const Path& path_;
  std::set<std::string_view> zones_;
  std::set<std::string_view> addresses_;
  std::set<std::string_view> services_;
  std::set<Uuid> ids_;
  NameIndex schedules_;
};

}  // namespace

void check_memo(Reporter& reporter, const Path& path, const std::string& text) {
  constexpr std::size_t kMemoCharactersMax = 256;
  if (count_characters(text) > kMemoCharactersMax) {
    reporter.error(path, "a memo has at most " + std::to_string(kMemoCharactersMax) + " characters");
  } else if (find_bad_text(text) != std::string::npos) {
    reporter.error(path, "a memo holds no control characters");
  }
}

void validate_policies(Reporter& reporter, const model::Tenant& tenant, const Path& path) {
  PolicyCheck(reporter, tenant, path).check();
}

}  // namespace sekisho::control
