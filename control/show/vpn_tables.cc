// SPDX-License-Identifier: Apache-2.0
#include "control/show/vpn_tables.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <unordered_map>

#include "base/net/address.h"
#include "control/compile/compiler.h"
#include "control/config/text.h"

namespace sekisho::control {
namespace {

constexpr std::uint64_t kSecondNs = 1'000'000'000;

struct ColumnSpec {
  const char* key;
  const char* title;
  bool number = false;
};

ipc::Table table_of(std::initializer_list<ColumnSpec> columns) {
  ipc::Table out;
  for (const ColumnSpec& spec : columns) {
    auto& column = *out.add_columns();
    column.set_key(spec.key);
    column.set_title(spec.title);
    column.set_right(spec.number);
    column.set_number(spec.number);
  }
  return out;
}

void add_row(ipc::Table& table, std::initializer_list<std::string> cells) {
  auto& row = *table.add_rows();
  for (const std::string& cell : cells) row.add_cells(cell);
}

std::string address_text(const std::string& bytes) {
  const auto address = Address::from_wire({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
  return address ? to_string(*address) : std::string();
}

std::string endpoint_text(const std::string& bytes, std::uint32_t port) {
  const std::string address = address_text(bytes);
  return (bytes.size() == 16 ? '[' + address + ']' : address) + ':' + std::to_string(port);
}

/// Names of users are chosen by strangers: a table holds text.
std::string name_text(const std::string& bytes) { return find_bad_text(bytes) == std::string::npos ? bytes : "(unprintable)"; }

/// A name as it is compared: without case, as long as it is ASCII.
std::string folded(const std::string& name) {
  std::string out = name;
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

std::string sid_text(std::uint64_t sid) {
  std::array<char, 17> out{};
  std::snprintf(out.data(), out.size(), "%016llx", static_cast<unsigned long long>(sid));
  return out.data();
}

/// Asked-for tenants that have remote access, by number.
std::unordered_map<std::uint32_t, const model::Tenant*> tenants_of(const ShowContext& context) {
  std::unordered_map<std::uint32_t, const model::Tenant*> out;
  for (const auto& tenant : context.model.tenants()) {
    if (!context.tenant.empty() && context.tenant != tenant.service_code() && context.tenant != tenant.name()) continue;
    if (tenant.gateways_size() == 0) continue;
    out.emplace(context.ids.number(IdKind::kTenant, tenant_key(tenant.service_code())), &tenant);
  }
  return out;
}

std::string joined(const google::protobuf::RepeatedPtrField<std::string>& texts) {
  std::string out;
  for (const std::string& one : texts) out.append(out.empty() ? "" : " ").append(one);
  return out;
}

struct UserLine {
  std::string name, groups;
  bool known = false, suspended = false;
  std::uint32_t sessions = 0;
  std::uint64_t since = 0;
  std::string address;
  std::int64_t locked_until = 0;
  std::string secret;
};

/// What is kept of a user's secrets, and that an NT hash is as good as the password to whoever has it.
std::string secret_text(const model::User& user) {
  std::string out = user.has_nt_hash() ? "nt-hash (weak)" : "";
  if (user.has_psk()) out += out.empty() ? "psk" : " psk";
  return out;
}

}  // namespace

ipc::Table show_users(const ShowContext& context, const ipc::VpnAnswer& answer) {
  ipc::Table out = table_of({{"tenant", "TENANT"}, {"user", "USER"}, {"groups", "GROUPS"}, {"state", "STATE"},
                             {"sessions", "SESSIONS", true}, {"address", "ADDRESS"}, {"since", "SINCE"},
                             {"locked_until", "SHUT OUT UNTIL"}, {"secret", "SECRET"}});
  const auto tenants = tenants_of(context);
  std::map<std::pair<std::string, std::string>, UserLine> lines;  // by service code and folded name
  for (const auto& [number, tenant] : tenants) {
    for (const auto& user : tenant->users()) {
      lines[{tenant->service_code(), folded(user.name())}] = {
          user.name(), joined(user.groups()), true, user.suspended(), 0, 0, {}, 0, secret_text(user)};
    }
  }
  const auto line_of = [&](std::uint32_t number, const std::string& user) -> UserLine* {
    const auto tenant = tenants.find(number);
    if (tenant == tenants.end()) return nullptr;
    UserLine& line = lines[{tenant->second->service_code(), folded(user)}];
    if (line.name.empty()) line.name = name_text(user);
    return &line;
  };
  for (const auto& session : answer.sessions()) {
    UserLine* line = line_of(session.tenant(), session.user());
    if (line == nullptr) continue;
    ++line->sessions;
    if (session.start_ns() < line->since) continue;  // the newest one speaks for him
    line->since = session.start_ns();
    line->address = address_text(session.inner_ipv4().empty() ? session.inner_ipv6() : session.inner_ipv4());
  }
  for (const auto& locked : answer.locked()) {
    if (UserLine* line = locked.user().empty() ? nullptr : line_of(locked.tenant(), locked.user())) line->locked_until = locked.until();
  }
  for (const auto& [key, line] : lines) {
    const char* state = line.suspended ? "suspended" : line.sessions != 0 ? "in" : line.locked_until > context.now ? "shut out" : "out";
    add_row(out, {key.first, line.name, line.groups, state, std::to_string(line.sessions), line.address,
                  line.since == 0 ? "" : jst_text(line.since),
                  line.locked_until > context.now ? jst_text(static_cast<std::uint64_t>(line.locked_until) * kSecondNs) : "", line.secret});
  }
  return out;
}

ipc::Table show_vpn_sessions(const ShowContext& context, const ipc::VpnAnswer& answer) {
  ipc::Table out = table_of({{"vpn_sid", "SESSION"}, {"tenant", "TENANT"}, {"user", "USER"}, {"user_group", "GROUP"},
                             {"gateway", "GATEWAY"}, {"auth", "AUTH"}, {"peer", "FROM"}, {"ip4", "IPV4"}, {"ip6", "IPV6"},
                             {"since", "SINCE"}, {"client", "CLIENT"},
                             {"ike_suite", "IKE"}, {"esp_suite", "ESP"}, {"state", "STATE"}});
  const auto tenants = tenants_of(context);
  std::vector<const ipc::VpnSession*> sessions;
  for (const auto& one : answer.sessions()) {
    if (tenants.contains(one.tenant())) sessions.push_back(&one);
  }
  std::sort(sessions.begin(), sessions.end(), [](const auto* a, const auto* b) {
    return std::tuple(a->start_ns(), a->vpn_sid()) < std::tuple(b->start_ns(), b->vpn_sid());
  });
  for (const ipc::VpnSession* one : sessions) {
    add_row(out, {sid_text(one->vpn_sid()), tenants.at(one->tenant())->service_code(), name_text(one->user()), one->user_group(),
                  one->gateway(), one->auth(), endpoint_text(one->peer_address(), one->peer_port()), address_text(one->inner_ipv4()),
                  address_text(one->inner_ipv6()), jst_text(one->start_ns()), name_text(one->client()), one->ike_suite(), one->esp_suite(),
                  one->left() ? "left" : "up"});
  }
  return out;
}

}  // namespace sekisho::control
