// SPDX-License-Identifier: Apache-2.0
// What waits for a second person.
#include <algorithm>

#include "control/access/approvals.h"
#include "control/api/call.h"

namespace sekisho::control {
namespace {

void add_rules(api::ApprovalList& out, const Call& call, ApiWorld& world) {
  const InForce now = world.in_force();
  if (now.model == nullptr) return;
  const auto take = [&out](const auto& rules) {
    out.set_four_eyes(rules.four_eyes());
    out.set_four_eyes_accounts(rules.four_eyes_accounts());
  };
  const auto* tenant = call.tenant.empty() ? nullptr : now.tenant(call.tenant);
  tenant == nullptr ? take(now.model->sign_in()) : take(tenant->sign_in());
}

bool may_all(const Call& call, ApiWorld& world, const access::StoredApproval& one) {
  return std::all_of(one.actions().begin(), one.actions().end(), [&](std::uint32_t action) {
    return world.people.may(call.who, static_cast<api::Action>(action), call.tenant).allowed;
  });
}

void list(const CallPtr& call, ApiWorld& world) {
  const auto may_see = [&](const access::StoredApproval& one) { return may_all(*call, world, one); };
  api::ApprovalList out = world.approvals.list(call->tenant, call->who.account, may_see);
  add_rules(out, *call, world);
  call->reply(out);
}

void refuse(const CallPtr& call, ApiWorld& world, const std::string& id, const std::string& reason) {
  call->about = "approval " + id;
  const auto* one = world.approvals.waiting(call->tenant, id);
  if (one != nullptr && one->asked_by() != call->who.account && !may_all(*call, world, *one))
    return call->refuse(denied("it changes what your role may not change"));
  const auto decided = world.approvals.decide(call->tenant, id, call->who.account, "refused", reason);
  const auto* refusal = std::get_if<Refusal>(&decided);
  refusal != nullptr ? call->refuse(*refusal) : call->reply(std::get<api::Approval>(decided));
}

void take(const CallPtr& call, ApiWorld& world, const std::string& id) {
  call->about = "approval " + id;
  const auto taken = world.approvals.take_reply(call->tenant, id, call->who.account);
  if (const auto* refusal = std::get_if<Refusal>(&taken)) return call->refuse(*refusal);
  api::ApprovedReply out;
  if (!out.ParseFromString(std::get<std::string>(taken))) return call->refuse(not_found());
  call->reply(out);
}

}  // namespace

void add_approval_methods(Handlers& out, ApiWorld& world) {
  for (const char* name : {"ListApprovals", "ListPlatformApprovals"})
    out[name] = [&world](const CallPtr& call) { list(call, world); };
  out["Approve"] = [&world](const CallPtr& call) { world.approve(call, call->request<api::ApprovalId>().id()); };
  out["ApprovePlatform"] = [&world](const CallPtr& call) {
    world.approve(call, call->request<api::PlatformApprovalId>().id());
  };
  out["TakeApproved"] = [&world](const CallPtr& call) { take(call, world, call->request<api::ApprovalId>().id()); };
  out["TakePlatformApproved"] = [&world](const CallPtr& call) {
    take(call, world, call->request<api::PlatformApprovalId>().id());
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
