// SPDX-License-Identifier: Apache-2.0
// What the provider says: notices.
#include <algorithm>

#include "control/access/password.h"
#include "control/access/rfc3339.h"
#include "control/api/call.h"
#include "control/api/happenings.h"
#include "control/config/text.h"

namespace sekisho::control {
namespace {

constexpr std::size_t kNoticesMax = 500;

/// Newest first. tenant empty: all.
api::NoticeList notices(ApiWorld& world, const std::string& tenant) {
  api::NoticeList out;
  const auto records = world.store.records(RecordKind::kNotice);
  for (const auto& record : records ? *records : std::vector<Store::Record>()) {
    api::Notice one;
    if (!one.ParseFromString(record.value)) continue;
    const bool meant = tenant.empty() || one.tenants_size() == 0 ||
                       std::find(one.tenants().begin(), one.tenants().end(), tenant) != one.tenants().end();
    if (!meant) continue;
    if (!tenant.empty()) one.clear_tenants();  // whom else it concerns is not this tenant's business
    *out.add_notices() = std::move(one);
  }
  std::stable_sort(out.mutable_notices()->begin(), out.mutable_notices()->end(),
                   [](const auto& a, const auto& b) { return a.changed().seconds() > b.changed().seconds(); });
  return out;
}

Refusal judge(const api::Notice& notice, const InForce& now) {
  const auto one_of = [](const std::string& text, std::initializer_list<const char*> words) {
    return std::find(words.begin(), words.end(), text) != words.end();
  };
  if (!one_of(notice.kind(), {"maintenance", "change", "incident"}))
    return invalid("notice.kind", "a notice is maintenance, change or incident");
  if (!one_of(notice.state(), {"planned", "running", "done", "cancelled"}))
    return invalid("notice.state", "a state is planned, running, done or cancelled");
  if (!notice.from().empty() && !parse_rfc3339(notice.from()))
    return invalid("notice.from", "times are written as in RFC 3339");
  if (!notice.until().empty() && !parse_rfc3339(notice.until()))
    return invalid("notice.until", "times are written as in RFC 3339");
  if (notice.title_en().empty() || notice.title_ja().empty())
    return invalid("notice.title_ja", "a notice has a title in both languages");
  for (const std::string& text : {notice.title_en(), notice.title_ja(), notice.text_en(), notice.text_ja()}) {
    constexpr std::size_t kCharactersMax = 4000;
    if (find_bad_text(text) != std::string::npos || count_characters(text) > kCharactersMax)
      return invalid("notice", "texts have at most 4000 characters");
  }
  for (const auto& tenant : notice.tenants()) {
    if (now.tenant(tenant) == nullptr) return invalid("notice.tenants", "there is no tenant " + tenant);
  }
  return {};
}

void put_notice(const CallPtr& call, ApiWorld& world, bool fresh) {
  const auto& request = call->request<api::NoticeRequest>();
  api::Notice notice = request.notice();
  if (Refusal refusal = judge(notice, world.in_force())) return call->refuse(refusal);
  const api::NoticeList all = notices(world, "");
  const bool known = std::any_of(all.notices().begin(), all.notices().end(),
                                 [&](const auto& one) { return one.id() == request.id(); });
  if (!fresh && !known) return call->refuse(not_found());
  if (fresh && static_cast<std::size_t>(all.notices_size()) >= kNoticesMax) {
    (void)world.store.remove(RecordKind::kNotice, all.notices(all.notices_size() - 1).id());
  }
  notice.set_id(fresh ? random_token(9) : request.id());
  notice.mutable_changed()->set_seconds(world.now());
  call->about = notice.title_en();
  if (!world.store.put(RecordKind::kNotice, notice.id(), notice.SerializeAsString()))
    return call->refuse(unavailable("the store cannot be written"));
  for (const Happening& one : happenings_of(notice, world.in_force())) world.notifier.tell(one);
  call->reply(notice);
}

}  // namespace

void add_platform_methods(Handlers& out, ApiWorld& world) {
  out["ListNotices"] = [&world](const CallPtr& call) { call->reply(notices(world, call->tenant)); };
  out["ListAllNotices"] = [&world](const CallPtr& call) { call->reply(notices(world, "")); };
  out["AddNotice"] = [&world](const CallPtr& call) { put_notice(call, world, true); };
  out["ChangeNotice"] = [&world](const CallPtr& call) { put_notice(call, world, false); };
}

}  // namespace sekisho::control
