// SPDX-License-Identifier: Apache-2.0
#include "control/access/roles.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace sekisho::control {
namespace {

constexpr std::array<std::string_view, kRoles> kNames{"owner", "admin", "rule",      "user",    "log",
                                                      "read",  "self",  "p-ops", "p-support", "p-audit", "p-sec"};

struct Line {
  api::Action action;
  std::string_view grants;  // one letter a role, in their order: Y yes, c with consent, C with consent to change, - no
  std::string_view what;
};

// clang-format off
constexpr std::array kMatrix{
//                                    owner admin rule user log read self  p-ops p-support p-audit p-sec
    Line{api::ANY_LOGIN,        "YYYYYYYYYYY", "one's own password, second factor and sessions"},
    Line{api::CONTRACT_VIEW,    "YYYYYY--c--", "the contract, its counters and notices"},
    Line{api::ACCOUNTS_MANAGE,  "Y----------", "the tenant's accounts, roles, source lists"},
    Line{api::RULES_VIEW,       "YYYY-Y--c--", "rules, objects, NAT: see"},
    Line{api::RULES_EDIT,       "YYY-----C--", "rules, objects, NAT: change"},
    Line{api::COMMIT,           "YYYY----C--", "put changes in force"},
    Line{api::USERS_VIEW,       "YY-Y-Y--c--", "users, groups, devices, gateways, who is in: see"},
    Line{api::USERS_EDIT,       "YY-Y----C--", "users, groups, devices: change"},
    Line{api::ACCESS_EDIT,      "YY------C--", "gateways, pools, RADIUS: change"},
    Line{api::BINDINGS_VIEW,    "YYY--Y-Yc--", "Ports, Bindings, violations: see"},
    Line{api::BINDINGS_ASSIGN,  "-------Y---", "Ports, Bindings, routes, quotas: assign"},
    Line{api::QUARANTINE_END,   "YYY----YC--", "end a quarantine"},
    Line{api::SESSIONS_END,     "YY-Y----C--", "disconnect or unlock a remote user"},
    Line{api::LOGS_READ,        "YY--Y---c--", "logs and living sessions: search, download"},
    Line{api::LOG_EXPORTS,      "YY---------", "collectors of records: see, change"},
    Line{api::AUDIT_READ,       "YY--Y----Y-", "what people did"},
    Line{api::BACKUP,           "YY---------", "export and import of the tenant's document"},
    Line{api::CONSENT,          "Y----------", "let support in, for a while"},
    Line{api::PLATFORM_VIEW,    "-------YYYY", "the unit's health, notices to all"},
    Line{api::PLATFORM_EDIT,    "-------Y---", "NICs, uplinks, guards, notices"},
    Line{api::STAFF_MANAGE,     "----------Y", "accounts of the provider, a tenant's first owner"},
    Line{api::PLATFORM_AUDIT,   "---------YY", "what the provider's people did"},
    Line{api::ERASURE_VIEW,     "YYYYYY-Y-YY", "ends of the contract and its options, and what was erased: see"},
    Line{api::SELF_SERVICE,     "------Y----", "one's own remote access: password, devices, sessions, profile"},
    Line{api::ERASE,            "Y------Y---", "end the contract or an option, withdraw that, erase before the day"},
};
// clang-format on
static_assert(kMatrix.size() == 25);  // every action has its row: Roles.EveryActionHasItsRow
static_assert(std::all_of(kMatrix.begin(), kMatrix.end(),
                          [](const Line& line) { return line.grants.size() == kRoles; }));

}  // namespace

std::string_view to_text(Role role) {
  return kNames.at(static_cast<std::size_t>(role));
}

std::optional<Role> role_named(std::string_view text) {
  const auto* at = std::find(kNames.begin(), kNames.end(), text);
  return at == kNames.end() ? std::nullopt : std::optional(static_cast<Role>(at - kNames.begin()));
}

Grant grant_of(Role role, api::Action action) {
  const auto* line =
      std::find_if(kMatrix.begin(), kMatrix.end(), [&](const Line& one) { return one.action == action; });
  if (line == kMatrix.end()) return Grant::kNo;
  switch (line->grants[static_cast<std::size_t>(role)]) {
    case 'Y':
      return Grant::kYes;
    case 'C':
      return Grant::kChange;
    case 'c':
      return Grant::kConsent;
    default:
      return Grant::kNo;
  }
}

std::string to_text(api::Action action) {
  std::string out = api::Action_Name(action);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

std::string permissions_page() {
  std::string out =
      "# Permissions\n\nMade from `control/access/roles.cc` by `controld --permissions`; a test compares. Everything "
      "is refused that is not\n"
      "granted here, for the tenant a request names.\n\n"
      "Y yes; c while a consent of the tenant lasts; C the same, and the consent says that things may be changed; - "
      "no. A role sees of the\n"
      "tenant's document what it may see, and changes what it may change, part by part "
      "(`control/api/document_json.cc`).\n\n| action | what |";
  for (const auto name : kNames) out += ' ' + std::string(name) + " |";
  out += "\n|---|---|";
  for (std::size_t i = 0; i < kRoles; ++i) out += "---|";
  out += '\n';
  for (const Line& line : kMatrix) {
    out += "| `" + to_text(line.action) + "` | " + std::string(line.what) + " |";
    for (const char grant : line.grants) out += std::string(" ") + grant + " |";
    out += '\n';
  }
  return out;
}

}  // namespace sekisho::control
