// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <variant>

#include "base/proto/access.pb.h"
#include "base/proto/api.pb.h"
#include "control/access/refusal.h"
#include "control/config/store.h"

namespace sekisho::control {

/// What one person asked for and another has to let happen. Whether somebody may ask or decide is judged by the caller;
/// that nobody decides about his own request but to withdraw it, and about none twice, is kept here. What was asked is
/// held in the store alone, and taken out of it with the decision. Thread: one.
class Approvals {
 public:
  static constexpr std::size_t kWaitingOfTenantMax = 20;
  static constexpr std::size_t kKeptOfTenantMax = 200;
  static constexpr std::size_t kRequestBytesMax = 2U << 20;
  static constexpr std::int64_t kWaitSeconds = 7 * 86'400;

  Approvals(Store& store, std::function<std::int64_t()> now) : store_(store), now_(std::move(now)) {}
  Result<void> load();

  /// Takes a request; id, time and state are filled in.
  std::variant<api::Approval, Refusal> ask(access::StoredApproval request);
  /// Newest first. may_see: whether the reader may see what one changes.
  [[nodiscard]] api::ApprovalList list(const std::string& tenant, const std::string& reader,
                                       const std::function<bool(const access::StoredApproval&)>& may_see);
  /// One that waits, with its request, for `who` to approve it; his own is refused.
  std::variant<access::StoredApproval, Refusal> to_approve(const std::string& tenant, const std::string& id,
                                                           const std::string& who);
  /// Its end; state: done, failed, refused, or withdrawn where `who` asked for it himself.
  std::variant<api::Approval, Refusal> decide(const std::string& tenant, const std::string& id, const std::string& who,
                                              const std::string& state, const std::string& reason);
  /// One that waits; null: there is none.
  [[nodiscard]] const access::StoredApproval* waiting(const std::string& tenant, const std::string& id);
  /// Keeps what came of one that is done, for who asked for it; a week, and once.
  void keep_reply(const std::string& id, std::string reply);
  std::variant<std::string, Refusal> take_reply(const std::string& tenant, const std::string& id, const std::string& who);
  /// It is being carried out: until it is over(), nobody decides about it but by "done" or "failed", what came of it.
  void begin(const std::string& id) { under_way_.insert(id); }
  void over(const std::string& id) { under_way_.erase(id); }
  Result<void> erase_tenant(const std::string& tenant);

 private:
  void let_expire();
  Result<void> save(const access::StoredApproval& one);
  Refusal find(const std::string& tenant, const std::string& id, bool carried_out, access::StoredApproval*& out);
  [[nodiscard]] static api::Approval shown(const access::StoredApproval& one, const std::string& reader, bool changes);

  Store& store_;
  std::function<std::int64_t()> now_;
  std::map<std::string, access::StoredApproval> all_;  ///< without what was asked
  std::set<std::string> under_way_;
  std::uint64_t last_id_ = 0;
};

}  // namespace sekisho::control
