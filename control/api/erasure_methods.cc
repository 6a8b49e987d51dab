// SPDX-License-Identifier: Apache-2.0
// Ends of contracts and of options: requested, seen, withdrawn, and their reports.
#include "control/api/call.h"

namespace sekisho::control {
namespace {

api::Erasure shown(const StoredErasure& ending, std::int64_t now) {
  api::Erasure out;
  out.set_id(ending.id());
  out.set_tenant(ending.tenant());
  out.set_scope(std::string(to_text(ending.scope())));
  out.set_contract(std::string(to_text(ending.contract())));
  out.set_state(std::string(to_text(ending.state())));
  out.mutable_end()->set_seconds(ending.end());
  out.mutable_requested()->set_seconds(ending.requested());
  out.set_requested_by(ending.requested_by());
  out.set_reason(ending.reason());
  out.set_readable_until(day_text(readable_until(ending)));
  out.set_planned(day_text(planned_day(ending)));
  out.set_limit(day_text(limit_day(ending)));
  if (ending.erased() != 0) out.mutable_erased()->set_seconds(ending.erased());
  out.set_report(ending.report());
  out.set_late(ending.state() != StoredErasure::ERASED && day_at(now) > planned_day(ending));
  return out;
}

/// Of one tenant, or of all (empty); newest first.
void list(const CallPtr& call, ApiWorld& world, const std::string& tenant) {
  api::ErasureList out;
  const auto& all = world.erasures->all();
  for (auto at = all.rbegin(); at != all.rend(); ++at) {
    if (tenant.empty() || at->tenant() == tenant) *out.add_erasures() = shown(*at, world.now());
  }
  call->reply(out);
}

void answer(const CallPtr& call, ApiWorld& world, const std::variant<StoredErasure, Refusal>& outcome) {
  const auto* refusal = std::get_if<Refusal>(&outcome);
  refusal != nullptr ? call->refuse(*refusal) : call->reply(shown(std::get<StoredErasure>(outcome), world.now()));
}

void end_contract(const CallPtr& call, ApiWorld& world) {
  const auto& request = call->request<api::EndContractRequest>();
  Erasures::Wish wish{call->tenant, StoredErasure::CONTRACT, ipc::EraseLog::FIREWALL, request.end(), request.reason(), call->who.account};
  if (request.scope() == "remote_access") {
    wish.scope = StoredErasure::REMOTE_ACCESS;
  } else if (request.scope() != "contract") {
    return call->refuse(invalid("scope", "what ends is contract or remote_access"));
  }
  if (request.contract() == "remote_access") {
    wish.contract = ipc::EraseLog::REMOTE_ACCESS;
  } else if (request.contract() == "other") {
    wish.contract = ipc::EraseLog::OTHER;
  } else if (request.contract() != "firewall" && (!request.contract().empty() || wish.scope == StoredErasure::CONTRACT)) {
    return call->refuse(invalid("contract", "a contract is firewall, remote_access or other"));
  }
  call->about = request.scope() + (request.end().empty() ? "" : " on " + request.end());
  answer(call, world, world.erasures->end(wish, world.now()));
}

}  // namespace

void add_erasure_methods(Handlers& out, ApiWorld& world) {
  out["ListErasures"] = [&world](const CallPtr& call) { list(call, world, call->tenant); };
  out["ListAllErasures"] = [&world](const CallPtr& call) { list(call, world, ""); };
  out["EndContract"] = [&world](const CallPtr& call) { end_contract(call, world); };
  out["WithdrawErasure"] = [&world](const CallPtr& call) {
    call->about = call->request<api::ErasureId>().id();
    const Refusal refusal = world.erasures->withdraw(call->tenant, call->about, world.now());
    refusal ? call->refuse(refusal) : call->reply(api::Nothing());
  };
  out["EraseEarly"] = [&world](const CallPtr& call) {
    call->about = call->request<api::ErasureId>().id();
    answer(call, world, world.erasures->erase_early(call->tenant, call->about));
  };
}

}  // namespace sekisho::control
