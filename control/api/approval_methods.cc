// SPDX-License-Identifier: Apache-2.0
// What waits for a second person.
#include <algorithm>

#include "control/access/approvals.h"
#include "control/api/call.h"

namespace sekisho::control {
namespace {

bool asks_for_two(const Call& call, ApiWorld& world) {
  const InForce now = world.in_force();
  if (now.model == nullptr) return false;
  const auto* tenant = call.tenant.empty() ? nullptr : now.tenant(call.tenant);
  return tenant == nullptr ? now.model->sign_in().four_eyes() : tenant->sign_in().four_eyes();
}

void list(const CallPtr& call, ApiWorld& world) {
  const auto may_see = [&](const access::StoredApproval& one) {
    return std::all_of(one.actions().begin(), one.actions().end(), [&](std::uint32_t action) {
      return world.people.may(call->who, static_cast<api::Action>(action), call->tenant).allowed;
    });
  };
  api::ApprovalList out = world.approvals.list(call->tenant, call->who.account, may_see);
  out.set_four_eyes(asks_for_two(*call, world));
  call->reply(out);
}

void refuse(const CallPtr& call, ApiWorld& world, const std::string& id, const std::string& reason) {
  call->about = "approval " + id;
  const auto decided = world.approvals.decide(call->tenant, id, call->who.account, "refused", reason);
  const auto* refusal = std::get_if<Refusal>(&decided);
  refusal != nullptr ? call->refuse(*refusal) : call->reply(std::get<api::Approval>(decided));
}

}  // namespace

void add_approval_methods(Handlers& out, ApiWorld& world) {
  for (const char* name : {"ListApprovals", "ListPlatformApprovals"})
    out[name] = [&world](const CallPtr& call) { list(call, world); };
  out["Approve"] = [&world](const CallPtr& call) { world.approve(call, call->request<api::ApprovalId>().id()); };
  out["ApprovePlatform"] = [&world](const CallPtr& call) {
    world.approve(call, call->request<api::PlatformApprovalId>().id());
  };
  out["RefuseApproval"] = [&world](const CallPtr& call) {
    const auto& request = call->request<api::ApprovalId>();
    refuse(call, world, request.id(), request.reason());
  };
  out["RefusePlatformApproval"] = [&world](const CallPtr& call) {
    const auto& request = call->request<api::PlatformApprovalId>();
    refuse(call, world, request.id(), request.reason());
  };
}

}  // namespace sekisho::control
