// SPDX-License-Identifier: Apache-2.0
// A remote user's own: what the account of role self stands for, and nobody else's.
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cctype>

#include "control/api/call.h"
#include "control/api/reach.h"
#include "control/config/text.h"

namespace sekisho::control {
namespace {

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

/// The user of that name, as gateways compare names; null: there is none.
model::User* own_user(model::Tenant& tenant, const std::string& name) {
  const std::string wanted = lower(name);
  const auto at = std::ranges::find_if(*tenant.mutable_users(), [&wanted](const auto& one) { return lower(one.name()) == wanted; });
  return at == tenant.mutable_users()->end() ? nullptr : &*at;
}

Refusal no_user() { return conflict("the configuration does not name this user any more: ask who manages it"); }

std::string_view word_of(model::Device::State state) {
  return state == model::Device::APPROVED ? "approved" : state == model::Device::REQUESTED ? "requested" : "disabled";
}

/// All but where he is in.
api::Self describe(const model::Tenant& tenant, const model::User& user, std::int64_t now) {
  api::Self out;
  out.set_user(user.name());
  out.set_known(true);
  out.set_password(user.has_nt_hash());
  const auto reach = reach_of(tenant, user.name(), now);
  out.set_suspended(user.suspended());
  if (reach) *out.mutable_groups() = reach->groups();
  for (const auto& gateway : tenant.gateways()) {
    const auto leads_in = [&gateway](const auto& door) { return door.gateway() == gateway.name(); };
    if (!reach || std::none_of(reach->doors().begin(), reach->doors().end(), leads_in)) continue;
    auto& one = *out.add_gateways();
    one.set_name(gateway.name());
    one.set_identity(gateway.identity());
    *one.mutable_addresses() = gateway.addresses();
  }
  for (const auto& device : tenant.devices()) {
    if (device.owner() != user.name()) continue;
    auto& one = *out.add_devices();
    one.set_name(device.name());
    one.set_label(device.label());
    one.set_os(device.os());
    one.set_state(std::string(word_of(device.state())));
    one.set_valid_until(device.valid_until());
  }
  return out;
}

/// Each change is a revision, of which a hundred are kept: remote users are not to push out what administrators go back to.
Refusal count_change(const Call& call, ApiWorld& world) {
  constexpr std::int64_t kHour = 3600;
  constexpr std::size_t kOfAccountMax = 6, kOfTenantMax = 60;
  const std::int64_t now = world.now();
  for (auto& [whose, times] : world.own_changes) std::erase_if(times, [now](std::int64_t at) { return at + kHour <= now; });
  std::erase_if(world.own_changes, [](const auto& one) { return one.second.empty(); });
  auto& own = world.own_changes[call.who.account];
  auto& all = world.own_changes[call.tenant];
  if (own.size() >= kOfAccountMax || all.size() >= kOfTenantMax)
    return {429, "too_many", "remote users changed too much of their own within an hour: wait, or ask who manages users", {}, 600};
  own.push_back(now);
  all.push_back(now);
  return {};
}

/// `then` gets the rows of his sessions, or why they are not known.
void with_sessions(const CallPtr& call, ApiWorld& world, std::function<void(std::vector<api::TableRow>, std::string)> then) {
  ControlRequest asked;
  asked.message.mutable_show()->set_what(ipc::Show::VPN_SESSIONS);
  asked.message.mutable_show()->set_tenant(call->tenant);
  world.ask(std::move(asked), [own = lower(call->who.vpn_user), then = std::move(then)](ControlAnswer answer) {
    const auto found = table_of(std::move(answer));
    if (const auto* refusal = std::get_if<Refusal>(&found)) return then({}, refusal->message);
    google::protobuf::RepeatedPtrField<api::TableRow> all;
    add_rows(std::get<ipc::Table>(found), true, all);
    std::vector<api::TableRow> mine;
    for (const api::TableRow& row : all) {
      const auto user = row.cells().find("user");
      if (user != row.cells().end() && lower(user->second) == own) mine.push_back(row);
    }
    then(std::move(mine), std::get<ipc::Table>(found).note());
  });
}

void get_self(const CallPtr& call, ApiWorld& world) {
  model::Tenant tenant = *world.in_force().tenant(call->tenant);
  const model::User* user = own_user(tenant, call->who.vpn_user);
  if (user == nullptr) {
    api::Self nobody;
    nobody.set_user(call->who.vpn_user);
    return call->reply(nobody);
  }
  const auto out = std::make_shared<api::Self>(describe(tenant, *user, world.now()));
  with_sessions(call, world, [call, out](std::vector<api::TableRow> rows, const std::string& note) {
    for (api::TableRow& row : rows) *out->add_sessions() = std::move(row);
    out->set_note(note);
    call->reply(*out);
  });
}

void set_password(const CallPtr& call, ApiWorld& world) {
  constexpr std::size_t kHashDigits = 32;
  const std::string& hash = call->request<api::VpnPasswordRequest>().nt_hash();
  const bool good = hash.size() == kHashDigits && std::ranges::all_of(hash, [](unsigned char c) { return std::isxdigit(c) != 0; });
  if (!good) return call->refuse(invalid("nt_hash", "an NT hash is 32 hexadecimal digits"));
  if (Refusal refusal = count_change(*call, world)) return call->refuse(refusal);
  change_tenant(call, world, "a remote user's own new password", [&call, &hash](model::Tenant& tenant) {
    model::User* user = own_user(tenant, call->who.vpn_user);
    if (user == nullptr) return no_user();
    user->set_nt_hash(hash);
    return Refusal();
  });
}

void request_device(const CallPtr& call, ApiWorld& world) {
  const auto& request = call->request<api::DeviceRequest>();
  if (request.serial().empty() == request.identifier().empty())
    return call->refuse(invalid("serial", "say the serial number of the device's certificate, or an alternative name in it"));
  if (Refusal refusal = count_change(*call, world)) return call->refuse(refusal);
  change_tenant(call, world, "a remote user's own device: " + std::string(cut_characters(request.name(), 64)),
                [&call, &request](model::Tenant& tenant) {
                  const model::User* user = own_user(tenant, call->who.vpn_user);
                  if (user == nullptr) return no_user();
                  model::Device& device = *tenant.add_devices();
                  device.set_name(request.name());
                  if (!request.label().empty()) device.set_label(request.label());
                  if (!request.os().empty()) device.set_os(request.os());
                  device.set_owner(user->name());
                  if (!request.serial().empty()) device.add_certificates(request.serial());
                  if (!request.identifier().empty()) device.add_identifiers(request.identifier());
                  device.set_state(model::Device::REQUESTED);
                  return Refusal();
                });
}

void end_session(const CallPtr& call, ApiWorld& world) {
  const std::string sid = call->request<api::OwnSessionRequest>().vpn_sid();
  call->about = sid;
  with_sessions(call, world, [call, &world, sid](const std::vector<api::TableRow>& rows, const std::string&) {
    const auto is_own = [&sid](const api::TableRow& row) {
      const auto number = row.cells().find("vpn_sid");
      return number != row.cells().end() && number->second == sid;
    };
    if (sid.empty() || std::ranges::none_of(rows, is_own)) return call->refuse(not_found());
    change_vpn(call, world, ipc::ChangeVpn::DISCONNECT, sid);
  });
}

void get_profile(const CallPtr& call, ApiWorld& world) {
  const auto& request = call->request<api::OwnProfileRequest>();
  model::Tenant tenant = *world.in_force().tenant(call->tenant);
  const model::User* user = own_user(tenant, call->who.vpn_user);
  if (user == nullptr) return call->refuse(no_user());
  ControlRequest asked;
  auto& profile = *asked.message.mutable_write_vpn_profile();
  profile.set_tenant(call->tenant);
  profile.set_gateway(request.gateway());
  profile.set_user(user->name());
  profile.set_client(request.client());
  world.ask(std::move(asked), [call](const ControlAnswer& answer) { reply_profile(call, answer); });
}

void list_connections(const CallPtr& call, ApiWorld& world) {
  constexpr std::uint32_t kPage = 50;
  ControlRequest asked;
  ipc::SearchLog& question = *asked.message.mutable_log()->mutable_search();
  question.set_service_code(call->tenant);
  question.add_types("vpn");
  ipc::LogCondition& own = *question.add_conditions();
  own.set_field("user");
  own.set_test(ipc::LogCondition::EQUAL);
  own.add_values(call->who.vpn_user);
  question.set_limit(kPage);
  question.set_cursor(call->request<api::OwnConnectionsRequest>().cursor());
  world.ask(std::move(asked), [call](ControlAnswer answer) { reply_records(call, std::move(answer)); });
}

}  // namespace

void add_self_methods(Handlers& out, ApiWorld& world) {
  out["GetSelf"] = [&world](const CallPtr& call) { get_self(call, world); };
  out["SetVpnPassword"] = [&world](const CallPtr& call) { set_password(call, world); };
  out["RequestDevice"] = [&world](const CallPtr& call) { request_device(call, world); };
  out["EndOwnSession"] = [&world](const CallPtr& call) { end_session(call, world); };
  out["GetOwnProfile"] = [&world](const CallPtr& call) { get_profile(call, world); };
  out["ListOwnConnections"] = [&world](const CallPtr& call) { list_connections(call, world); };
}

}  // namespace sekisho::control
