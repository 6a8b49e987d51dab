// SPDX-License-Identifier: Apache-2.0
// Keys of programs, a tenant's and the provider's.
#include "control/access/api_keys.h"
#include "control/api/call.h"

namespace sekisho::control {
namespace {

void add_key(const CallPtr& call, ApiWorld& world, const api::ApiKey& wanted) {
  call->about = "key:" + wanted.name();
  const auto made = world.keys.add(call->tenant, wanted, call->who.account);
  const auto* refusal = std::get_if<Refusal>(&made);
  refusal != nullptr ? call->refuse(*refusal) : call->reply(std::get<api::ApiKeySecret>(made));
}

void revoke_key(const CallPtr& call, ApiWorld& world, const std::string& id) {
  call->about = "key " + id;
  const Refusal refusal = world.keys.revoke(call->tenant, id);
  refusal ? call->refuse(refusal) : call->reply(api::Nothing());
}

}  // namespace

void add_key_methods(Handlers& out, ApiWorld& world) {
  for (const char* name : {"ListApiKeys", "ListStaffKeys"})
    out[name] = [&world](const CallPtr& call) { call->reply(world.keys.list(call->tenant)); };
  out["AddApiKey"] = [&world](const CallPtr& call) { add_key(call, world, call->request<api::ApiKeyRequest>().key()); };
  out["AddStaffKey"] = [&world](const CallPtr& call) {
    add_key(call, world, call->request<api::StaffKeyRequest>().key());
  };
  out["RevokeApiKey"] = [&world](const CallPtr& call) { revoke_key(call, world, call->request<api::ApiKeyId>().id()); };
  out["RevokeStaffKey"] = [&world](const CallPtr& call) { revoke_key(call, world, call->request<api::StaffId>().id()); };
}

}  // namespace sekisho::control
