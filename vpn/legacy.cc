// SPDX-License-Identifier: Apache-2.0
#include "vpn/legacy.h"

#include <algorithm>

#include "vpn/directory.h"

namespace sekisho::vpn {
namespace {

bool has_part(std::string_view suite, std::string_view wanted) {
  while (!suite.empty()) {
    const std::size_t end = std::min(suite.find('/'), suite.size());
    if (suite.substr(0, end) == wanted) return true;
    suite.remove_prefix(std::min(end + 1, suite.size()));
  }
  return false;
}

bool is_legacy(const GatewayPlan& plan) { return plan.gateway.profile == CryptoProfileId::kLegacy; }

}  // namespace

std::string legacy_use(const Session& session) {
  std::string out;
  const auto add = [&out](std::string_view what) { out.append(out.empty() ? "" : ",").append(what); };
  if (session.protocol == Protocol::kPptp) add("PPTP");
  if (session.protocol == Protocol::kIkeV2 && way_in(session.gateway) == "psk") add("psk");
  if (has_part(session.ike_suite, "3DES_CBC") || has_part(session.esp_suite, "3DES_CBC")) add("3DES_CBC");
  // By IKEv2 windows-default takes this group, too.
  if (session.protocol == Protocol::kL2tp && has_part(session.ike_suite, "MODP_1024")) add("MODP_1024");
  return out;
}

bool legacy_ended(const GatewayPlan& plan, std::int64_t now) { return is_legacy(plan) && now >= plan.legacy_until; }

Gateway in_force(const GatewayPlan& plan, std::int64_t now) {
  Gateway out = plan.gateway;
  if (!legacy_ended(plan, now)) return out;
  out.profile = CryptoProfileId::kWindowsDefault;
  out.accept_psk = false;
  return out;
}

bool legacy_changes(const Plan& plan, std::int64_t from, std::int64_t to) {
  return std::ranges::any_of(plan.tenants, [from, to](const auto& tenant) {
    return std::ranges::any_of(tenant.second.gateways, [from, to](const GatewayPlan& one) {
      return legacy_ended(one, from) != legacy_ended(one, to);
    });
  });
}

std::string_view legacy_remark(const GatewayPlan* plan, Stage stage, Cause cause, std::int64_t now) {
  if (plan == nullptr || !legacy_ended(*plan, now)) return {};
  // Of who knew no secret that was asked for, nobody can say what he would have come in by.
  const bool may_be_why = cause == Cause::kCrypto || (cause == Cause::kConfig && stage == Stage::kNegotiation);
  return may_be_why ? kLegacyEnded : std::string_view{};
}

}  // namespace sekisho::vpn
