// SPDX-License-Identifier: Apache-2.0
#include "control/access/approvals.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/describe.h"
#include "control/access/password.h"

namespace sekisho::control {
namespace {

constexpr const char* kWaiting = "waiting";

Refusal store_failed(const Error& error) {
  return unavailable("the store cannot be written: " + sekisho::describe(error));
}

}  // namespace

Result<void> Approvals::load() {
  SEKISHO_TRY(const auto records, store_.records(RecordKind::kApproval));
  for (const auto& record : records) {
    access::StoredApproval one;
    if (!one.ParseFromString(record.value)) return Error{ErrorCode::kMalformed, ErrorSite::kStore, 0};
    std::string().swap(*one.mutable_request());  // clear_request() would keep its room
    all_[one.id()] = std::move(one);
  }
  return {};
}

/// `one` as it is held here: a decided one has no request any more.
Result<void> Approvals::save(const access::StoredApproval& one) {
  return store_.put(RecordKind::kApproval, one.id(), one.SerializeAsString());
}

void Approvals::let_expire() {
  for (auto& [id, one] : all_) {
    if (!one.reply().empty() && now_() - one.decided() >= kWaitSeconds) keep_reply(id, {});
    if (one.state() != kWaiting || under_way_.contains(id) || now_() - one.asked() < kWaitSeconds) continue;
    one.set_state("refused");
    one.set_decided(now_());
    one.set_reason("nobody decided within seven days");
    (void)save(one);
  }
}

std::variant<api::Approval, Refusal> Approvals::ask(access::StoredApproval request) {
  let_expire();
  std::size_t waiting = 0;
  std::size_t kept = 0;
  auto oldest = all_.end();
  for (auto at = all_.begin(); at != all_.end(); ++at) {
    if (at->second.tenant() != request.tenant()) continue;
    ++kept;
    const bool waits = at->second.state() == kWaiting;
    waiting += waits ? 1U : 0U;
    if (!waits && oldest == all_.end()) oldest = at;
  }
  if (request.request().size() > kRequestBytesMax) return conflict("a change that waits for approval has at most 2 MiB");
  if (waiting >= kWaitingOfTenantMax) return conflict("too much waits for approval: decide about some of it first");
  if (kept >= kKeptOfTenantMax && oldest != all_.end()) {
    if (const auto removed = store_.remove(RecordKind::kApproval, oldest->first); !removed)
      return store_failed(removed.error());
    all_.erase(oldest);
  }
  last_id_ = std::max(last_id_ + 1, static_cast<std::uint64_t>(now_()) << 16U);  // ids rise: the map is in their order
  std::array<char, 32> number{};
  std::snprintf(number.data(), number.size(), "%016llx", static_cast<unsigned long long>(last_id_));
  request.set_id(std::string(number.data()) + '.' + random_token(6));
  request.set_asked(now_());
  request.set_state(kWaiting);
  if (const auto saved = save(request); !saved) return store_failed(saved.error());
  std::string().swap(*request.mutable_request());
  const api::Approval out = shown(request, request.asked_by(), true);
  all_[request.id()] = std::move(request);
  return out;
}

api::Approval Approvals::shown(const access::StoredApproval& one, const std::string& reader, bool changes) {
  api::Approval out;
  out.set_id(one.id());
  out.set_method(one.method());
  out.set_asked_by(one.asked_by());
  out.mutable_asked()->set_seconds(one.asked());
  out.set_state(one.state());
  out.set_decided_by(one.decided_by());
  if (one.decided() != 0) out.mutable_decided()->set_seconds(one.decided());
  out.set_comment(one.comment());
  out.set_reason(one.reason());
  if (changes) *out.mutable_changes() = one.changes();
  out.set_own(one.asked_by() == reader);
  out.set_reply(out.own() && !one.reply().empty());
  return out;
}

api::ApprovalList Approvals::list(const std::string& tenant, const std::string& reader,
                                  const std::function<bool(const access::StoredApproval&)>& may_see) {
  let_expire();
  api::ApprovalList out;
  for (auto at = all_.rbegin(); at != all_.rend(); ++at) {
    if (at->second.tenant() == tenant)
      *out.add_approvals() = shown(at->second, reader, at->second.asked_by() == reader || may_see(at->second));
  }
  return out;
}

Refusal Approvals::find(const std::string& tenant, const std::string& id, bool carried_out, access::StoredApproval*& out) {
  let_expire();
  const auto at = all_.find(id);
  if (at == all_.end() || at->second.tenant() != tenant) return not_found();
  if (at->second.state() != kWaiting) return conflict("this was decided already");
  if (under_way_.contains(id) && !carried_out) return conflict("this is under way");
  out = &at->second;
  return {};
}

std::variant<access::StoredApproval, Refusal> Approvals::to_approve(const std::string& tenant, const std::string& id,
                                                                    const std::string& who) {
  access::StoredApproval* one = nullptr;
  if (Refusal refusal = find(tenant, id, false, one)) return refusal;
  if (one->asked_by() == who) return denied("somebody else has to approve what you asked for");
  const auto bytes = store_.get(RecordKind::kApproval, id);
  access::StoredApproval out;
  if (!bytes || !out.ParseFromString(*bytes)) return unavailable("the store cannot be read");
  return out;
}

std::variant<api::Approval, Refusal> Approvals::decide(const std::string& tenant, const std::string& id,
                                                       const std::string& who, const std::string& state,
                                                       const std::string& reason) {
  access::StoredApproval* one = nullptr;
  if (Refusal refusal = find(tenant, id, state == "done" || state == "failed", one)) return refusal;
  access::StoredApproval decided = *one;
  decided.set_state(one->asked_by() == who ? "withdrawn" : state);
  decided.set_decided_by(who);
  decided.set_decided(now_());
  constexpr std::size_t kReasonBytesMax = 512;
  if (reason.size() <= kReasonBytesMax) decided.set_reason(reason);
  if (const auto saved = save(decided); !saved) return store_failed(saved.error());
  *one = std::move(decided);
  return shown(*one, who, state != "refused" || one->asked_by() == who);
}

const access::StoredApproval* Approvals::waiting(const std::string& tenant, const std::string& id) {
  access::StoredApproval* one = nullptr;
  return find(tenant, id, false, one) ? nullptr : one;
}

void Approvals::keep_reply(const std::string& id, std::string reply) {
  const auto at = all_.find(id);
  if (at == all_.end()) return;
  at->second.set_reply(std::move(reply));
  (void)save(at->second);
}

std::variant<std::string, Refusal> Approvals::take_reply(const std::string& tenant, const std::string& id, const std::string& who) {
  let_expire();
  const auto at = all_.find(id);
  if (at == all_.end() || at->second.tenant() != tenant || at->second.asked_by() != who || at->second.reply().empty()) return not_found();
  access::StoredApproval taken = at->second;
  taken.clear_reply();
  if (const auto saved = save(taken); !saved) return store_failed(saved.error());
  std::string out = at->second.reply();
  at->second = std::move(taken);
  return out;
}

Result<void> Approvals::erase_tenant(const std::string& tenant) {
  for (auto at = all_.begin(); at != all_.end();) {
    if (at->second.tenant() != tenant && !at->second.tenant().empty()) {  // the provider's speak of it too
      ++at;
      continue;
    }
    SEKISHO_CHECK_OK(store_.remove(RecordKind::kApproval, at->first));
    at = all_.erase(at);
  }
  return {};
}

}  // namespace sekisho::control
