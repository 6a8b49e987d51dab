// SPDX-License-Identifier: Apache-2.0
// Puts what coverage.cc found out into words, at the rule's place in the document.
#include <algorithm>

#include "control/compile/compiler.h"
#include "control/compile/coverage.h"
#include "control/compile/device_conditions.h"
#include "filters/policy/snapshot_view.h"

namespace sekisho::control {
namespace {

using filters::PolicyQuery;
using filters::SnapshotView;
using filters::snapshot::Action;
using filters::snapshot::Rule;

constexpr std::size_t kNamed = 3;  // rules named in one sentence

std::string verdict(Action action) {
  switch (action) {
    case Action::kAllow:
      return "allowed";
    case Action::kReject:
      return "rejected";
    case Action::kDrop:
      break;
  }
  return "dropped";
}

class Remarks {
 public:
  Remarks(const model::Configuration& model, const SnapshotView& view, const Compiled& compiled, Reporter& reporter)
      : model_(model), view_(view), compiled_(compiled), reporter_(reporter) {}

  void add(const RuleReach& reach) {
    const RulePlace& place = compiled_.rules[reach.rule];
    if (place.guard >= 0) return;  // one tenant's view of the platform's rule
    const Path root;
    const Path tenant(root, "tenants", place.tenant);
    const Path policy(tenant, "policies", place.policy);
    const Path here(policy, "rules", place.rule);
    const std::string rule = "the rule \"" + std::string(view_.string(view_.rules()[reach.rule].name)) + '"';
    if (reach.reach == Reach::kUndecided) {
      reporter_.warning(here, "it was not decided whether any packet reaches " + rule +
                                  ": the rules above overlap it in too many ways");
    } else if (!is_behind_policy(reach)) {
      reporter_.warning(here, "no packet reaches " + rule + ": " + reason(reach));
    }
  }

 private:
  /// Whether the rule's whole policy is never asked, which the validation says once.
  [[nodiscard]] bool is_behind_policy(const RuleReach& reach) const {
    const RulePlace& place = compiled_.rules[reach.rule];
    return std::any_of(reach.by.begin(), reach.by.end(), [&](std::uint32_t above) {
      const Rule& taker = view_.rules()[above];
      if (taker.is_default == 0 || compiled_.rules[above].policy == place.policy) return false;
      const Rule& own = policy_default(reach.rule);
      return (own.source_zones & ~taker.source_zones) == 0 && (own.destination_zones & ~taker.destination_zones) == 0;
    });
  }
  [[nodiscard]] const Rule& policy_default(std::uint32_t rule) const {
    while (view_.rules()[rule].is_default == 0) ++rule;
    return view_.rules()[rule];
  }

  [[nodiscard]] std::string reason(const RuleReach& reach) const {
    const Action own = view_.rules()[reach.rule].action;
    const bool same = std::all_of(reach.by.begin(), reach.by.end(),
                                  [&](std::uint32_t by) { return view_.rules()[by].action == own; });
    std::string out =
        takers(reach) + (reach.by.size() == 1 ? " above takes them all" : " above take them all between them");
    out += same ? ", with the same verdict: it is redundant" : "";
    if (!reach.example) return out;
    out += "; for example " + packet(*reach.example);
    if (!same) out += ", " + verdict(view_.rules()[reach.taken_by].action) + " by " + named(reach.taken_by);
    return out;
  }
  [[nodiscard]] std::string takers(const RuleReach& reach) const {
    std::string out;
    const std::size_t shown = std::min(reach.by.size(), kNamed);
    for (std::size_t i = 0; i < shown; ++i) {
      const bool last = i + 1 == reach.by.size();
      out += (i == 0 ? "" : last ? " and " : ", ") + named(reach.by[i]);
    }
    if (reach.by.size() > shown) out += " and " + std::to_string(reach.by.size() - shown) + " more rules";
    return out;
  }
  [[nodiscard]] std::string named(std::uint32_t rule) const {
    const RulePlace& place = compiled_.rules[rule];
    if (place.guard >= 0) return "the platform's guard \"" + model_.guards(place.guard).name() + '"';
    if (place.rule >= 0) return '"' + std::string(view_.string(view_.rules()[rule].name)) + '"';
    return "the default deny of policy \"" + model_.tenants(place.tenant).policies(place.policy).name() + '"';
  }
  [[nodiscard]] std::string packet(const PolicyQuery& packet) const {
    const auto& tenant = view_.tenants()[packet.tenant_index];
    const auto zone = [&](std::uint8_t number) {
      return std::string(view_.string(view_.zones()[tenant.zones.first + number].name));
    };
    const bool icmp = filters::is_icmp(packet.protocol);
    const bool ports = packet.protocol == 6 || packet.protocol == 17;
    const auto end = [&](const Address& address, std::uint16_t port) {
      return to_string(address) + (ports ? " port " + std::to_string(port) : "");
    };
    std::string protocol = packet.protocol == 6    ? "TCP"
                           : packet.protocol == 17 ? "UDP"
                                                   : "protocol " + std::to_string(packet.protocol);
    if (icmp) protocol = "ICMP type " + std::to_string(packet.icmp_type) + " code " + std::to_string(packet.icmp_code);
    return protocol + " from " + end(packet.source, packet.source_port) + " (" + zone(packet.source_zone) + ") to " +
           end(packet.destination, packet.destination_port) + " (" + zone(packet.destination_zone) + ')' + user(packet);
  }

  /// The groups of the packet's user, in words.
  [[nodiscard]] std::string user(const PolicyQuery& packet) const {
    if (packet.user_groups == 0) return "";
    const RulePlace& place = compiled_.rules[view_.tenants()[packet.tenant_index].rules.first];
    std::string out;
    const auto& groups = model_.tenants(place.tenant).user_groups();
    for (int i = 0; i < groups.size(); ++i) {
      if ((packet.user_groups >> i & 1U) != 0) out += (out.empty() ? "" : ", ") + groups[i].name();
    }
    const std::uint64_t own = groups.size() < 64 ? (std::uint64_t{1} << groups.size()) - 1 : ~std::uint64_t{0};
    if ((packet.user_groups & ~own) == 0) return " of a user in " + out;
    const DeviceConditions devices(model_.tenants(place.tenant));
    for (int bit = groups.size(); bit < 64; ++bit) {
      if ((packet.user_groups >> bit & 1U) != 0) out += (out.empty() ? "" : ", ") + devices.name(bit);
    }
    return " of a user in " + out;
  }

  const model::Configuration& model_;
  const SnapshotView& view_;
  const Compiled& compiled_;
  Reporter& reporter_;
};

}  // namespace

std::vector<Finding> remark_on_rules(const model::Configuration& model, const Positions& positions,
                                     const Compiled& compiled) {
  Reporter reporter(positions);
  const auto view = SnapshotView::parse(compiled.snapshot);
  if (!view) return {};
  Remarks remarks(model, *view, compiled, reporter);
  for (std::uint32_t tenant = 0; tenant < view->tenants().size(); ++tenant) {
    for (const RuleReach& reach : find_coverage(*view, tenant)) {
      if (reach.reach != Reach::kReached) remarks.add(reach);
    }
  }
  return reporter.take();
}

}  // namespace sekisho::control
