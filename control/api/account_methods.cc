// SPDX-License-Identifier: Apache-2.0
// Accounts of tenants and of the provider, consents, and what people did.
#include <algorithm>

#include "control/api/acts.h"

namespace sekisho::control {
namespace {

template <typename Message>
void answer(const CallPtr& call, const std::variant<Message, Refusal>& outcome) {
  const auto* refusal = std::get_if<Refusal>(&outcome);
  refusal != nullptr ? call->refuse(*refusal) : call->reply(std::get<Message>(outcome));
}

void answer(const CallPtr& call, const Refusal& refusal) {
  refusal ? call->refuse(refusal) : call->reply(api::Nothing());
}

void add_staff(const CallPtr& call, ApiWorld& world) {
  const auto& request = call->request<api::StaffRequest>();
  call->about = request.id();
  if (request.tenant_owner().empty()) return answer(call, world.people.add("", request.id(), request.account()));
  if (world.in_force().tenant(request.tenant_owner()) == nullptr)
    return call->refuse(invalid("tenant_owner", "there is no such tenant"));
  if (world.people.accounts(request.tenant_owner()).accounts_size() > 0)
    return call->refuse(conflict("the tenant has accounts: its owner makes further ones"));
  api::Account owner = request.account();
  owner.set_role("owner");
  answer(call, world.people.add(request.tenant_owner(), request.id(), owner));
}

}  // namespace

void add_account_methods(Handlers& out, ApiWorld& world) {
  out["ListAccounts"] = [&world](const CallPtr& call) { call->reply(world.people.accounts(call->tenant)); };
  out["AddAccount"] = [&world](const CallPtr& call) {
    const auto& request = call->request<api::AccountRequest>();
    call->about = request.id();
    answer(call, world.people.add(call->tenant, request.id(), request.account()));
  };
  out["ChangeAccount"] = [&world](const CallPtr& call) {
    const auto& request = call->request<api::AccountRequest>();
    call->about = request.id();
    answer(call, world.people.change(call->tenant, request.id(), request.account(), call->who));
  };
  const auto each = [&out, &world](const char* name, auto act) {
    out[name] = [&world, act](const CallPtr& call) {
      call->about = call->request<api::AccountId>().id();
      answer(call, act(world.people, call->tenant, call->request<api::AccountId>().id()));
    };
  };
  const auto each_of_staff = [&out, &world](const char* name, auto act) {
    out[name] = [&world, act](const CallPtr& call) {
      call->about = call->request<api::StaffId>().id();
      answer(call, act(world.people, std::string(), call->request<api::StaffId>().id()));
    };
  };
  const auto remove = [](People& people, const std::string& tenant, const std::string& id) {
    return people.remove(tenant, id);
  };
  const auto reissue = [](People& people, const std::string& tenant, const std::string& id) {
    return people.reissue(tenant, id);
  };
  const auto unlock = [](People& people, const std::string& tenant, const std::string& id) {
    return people.unlock(tenant, id);
  };
  each("RemoveAccount", remove);
  each("ReissueAccount", reissue);
  each("UnlockAccount", unlock);
  out["ListStaff"] = [&world](const CallPtr& call) { call->reply(world.people.accounts("")); };
  out["AddStaff"] = [&world](const CallPtr& call) { add_staff(call, world); };
  each_of_staff("RemoveStaff", remove);
  each_of_staff("ReissueStaff", reissue);
  each_of_staff("UnlockStaff", unlock);
  out["ListConsents"] = [&world](const CallPtr& call) { call->reply(world.people.consents(call->tenant)); };
  out["GrantConsent"] = [&world](const CallPtr& call) {
    const auto& request = call->request<api::ConsentRequest>();
    call->about = request.ticket();
    answer(call, world.people.grant(call->who, request));
  };
  out["EndConsent"] = [&world](const CallPtr& call) {
    call->about = call->request<api::ConsentId>().id();
    answer(call, world.people.end_consent(call->tenant, call->request<api::ConsentId>().id()));
  };
  out["ListAudit"] = [&world](const CallPtr& call) {
    const auto& request = call->request<api::AuditRequest>();
    list_acts(call, world, call->tenant, request.limit(), request.before());
  };
  out["ListPlatformAudit"] = [&world](const CallPtr& call) {
    const auto& request = call->request<api::PlatformAuditRequest>();
    list_acts(call, world, std::string(kProviderStream), request.limit(), request.before());
  };
}

}  // namespace sekisho::control
