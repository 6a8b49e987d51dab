// SPDX-License-Identifier: Apache-2.0
#include "control/config/exceptions.h"

#include <algorithm>
#include <string>

#include "control/config/timetable.h"
#include "control/config/validate_parts.h"

namespace sekisho::control {
namespace {

constexpr std::int64_t kDaySeconds = 86'400;

const model::Gateway* gateway_of(const model::Configuration& model, const std::string& tenant, const std::string& name) {
  for (const auto& one : model.tenants()) {
    if (one.service_code() != tenant) continue;
    const auto found = std::find_if(one.gateways().begin(), one.gateways().end(), [&](const auto& g) { return g.name() == name; });
    return found == one.gateways().end() ? nullptr : &*found;
  }
  return nullptr;
}

/// The same people answer for the same gateway until the same day.
bool is_same(const model::Gateway* before, const model::Gateway& after) {
  return before != nullptr && before->profile() == after.profile() && before->legacy().owner() == after.legacy().owner() &&
         before->legacy().valid_until() == after.legacy().valid_until();
}

}  // namespace

std::optional<std::int64_t> legacy_end(const model::Gateway& gateway) {
  if (gateway.profile() != model::Gateway::LEGACY) return std::nullopt;
  const auto last = parse_civil_day(gateway.legacy().valid_until());
  return last ? std::optional(*last + kDaySeconds) : std::nullopt;
}

std::vector<Finding> check_exceptions(const Decoded& decoded, const std::function<model::Configuration()>& running, std::int64_t now) {
  Reporter reporter(decoded.positions);
  std::optional<model::Configuration> before;
  const Path root;
  for (int t = 0; t < decoded.model.tenants_size(); ++t) {
    const model::Tenant& tenant = decoded.model.tenants(t);
    for (int g = 0; g < tenant.gateways_size(); ++g) {
      const model::Gateway& gateway = tenant.gateways(g);
      const auto end = legacy_end(gateway);
      if (!end) continue;
      const std::int64_t days = civil_day(*end - 1) - civil_day(now);
      if (days >= 0 && days <= kExceptionDaysMax) continue;
      if (!before) before = running ? running() : model::Configuration();
      const Path here_tenant(root, "tenants", t), here_gateway(here_tenant, "gateways", g), here(here_gateway, "legacy");
      const Path at(here, "valid_until");
      const bool same = is_same(gateway_of(*before, tenant.service_code(), gateway.name()), gateway);
      if (same && days < 0) {
        reporter.warning(at, "the exception of \"" + gateway.name() + "\" has ended: nobody comes in by it");
      } else if (!same) {
        reporter.error(at, days < 0 ? "this day is over: say a new one, or take another profile"
                                    : "an exception is for " + std::to_string(kExceptionDaysMax) + " days at most");
      }
    }
  }
  return reporter.take();
}

}  // namespace sekisho::control
