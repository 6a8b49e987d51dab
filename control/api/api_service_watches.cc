// SPDX-License-Identifier: Apache-2.0
// The part of ApiService that looks at the log, at who is shut out, and at what ends some day.
#include <charconv>
#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/ipc/keying_daemon.h"
#include "base/net/address.h"
#include "base/time/civil_day.h"
#include "control/api/api_service.h"
#include "control/notify/expiries.h"

namespace sekisho::control {
namespace {

std::vector<std::string> codes(const InForce& now) {
  std::vector<std::string> out;
  for (int i = 0; now.model != nullptr && i < now.model->tenants_size(); ++i) out.push_back(now.model->tenants(i).service_code());
  return out;
}

std::int64_t steady_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

constexpr const char* kLookedKey = "expiries";

}  // namespace

void ApiService::look_at_log() {
  ControlRequest asked;
  asked.message.mutable_log()->mutable_get_status();
  environment_.ask(std::move(asked), [this](ControlAnswer answer) {
    ipc::LogStatus status = answer.message.log().status();
    bool there = answer.message.log().has_status();
    if (there && status.in_fd()) {
      const auto blob = take_blob(std::move(answer.fd));
      there = blob && status.ParseFromString(*blob);
    }
    const auto tenants = codes(environment_.in_force());
    for (const Happening& one : store_watch_.look(there ? &status : nullptr, tenants, environment_.now(), steady_seconds()))
      notifier_.tell(one);
    if (!there) return;
    for (const Happening& one : record_watch_.calm(steady_seconds())) notifier_.tell(one);
    if (!searches_.empty()) return;  // those of before are not answered yet
    for (ipc::SearchLog& one : record_watch_.look(status, tenants, environment_.now())) searches_.push_back(std::move(one));
    look_at_records();
  });
}

void ApiService::look_at_records() {
  if (searches_.empty()) return;
  ControlRequest asked;
  *asked.message.mutable_log()->mutable_search() = searches_.front();
  environment_.ask(std::move(asked), [this](ControlAnswer answer) {
    ipc::LogPage page = answer.message.log().page();
    bool there = answer.message.log().has_page();
    if (there && page.in_fd()) {
      const auto blob = take_blob(std::move(answer.fd));
      there = blob && page.ParseFromString(*blob);
    }
    // What was not answered is not asked again: what goes on makes new records.
    if (there && environment_.in_force().tenant(searches_.front().service_code()) != nullptr) {
      const std::vector<std::string> records(page.records().begin(), page.records().end());
      for (const Happening& one : record_watch_.take(searches_.front(), records, steady_seconds())) notifier_.tell(one);
    }
    searches_.pop_front();
    look_at_records();
  });
}

void ApiService::look_at_shut_out() {
  if (!environment_.vpn_memory) return;
  const InForce now = environment_.in_force();
  std::map<std::uint32_t, std::set<std::string>> shut_out;  // of all daemons: the same person once
  for (std::uint32_t daemon = 0; daemon < kKeyingDaemons; ++daemon) {
    const ipc::VpnMemory memory = environment_.vpn_memory(daemon);
    for (const auto& one : memory.failures()) {
      if (!one.user().empty() && one.until() > environment_.now()) shut_out[one.tenant()].insert(one.user());
    }
  }
  std::map<std::string, std::set<std::string>> seen;
  for (const std::string& code : codes(now)) {
    const auto at = shut_out.find(ids_.find(IdKind::kTenant, tenant_key(code)));
    if (at != shut_out.end()) seen[code] = std::move(at->second);
  }
  for (const Happening& one : shut_out_watch_.look(std::move(seen))) notifier_.tell(one);
}

void ApiService::look_at_pools() {
  ControlRequest question;
  question.message.mutable_show()->set_what(ipc::Show::VPN_SESSIONS);
  environment_.ask(std::move(question), [this](ControlAnswer answer) {
    const ipc::ShowResult& result = answer.message.show_result();
    ipc::Table table = result.table();
    if (result.in_fd()) {
      const auto blob = take_blob(std::move(answer.fd));
      if (!blob || !table.ParseFromString(*blob)) return;
    }
    const InForce now = environment_.in_force();
    const bool known = result.error().empty() && !table.columns().empty() && table.note().empty();
    if (!known || now.model == nullptr) return;
    std::map<std::string, std::vector<Address>> held;
    for (const auto& row : table.rows()) {
      std::string tenant;
      std::vector<Address> addresses;
      for (int i = 0; i < std::min(row.cells_size(), table.columns_size()); ++i) {
        const std::string& key = table.columns(i).key();
        if (key == "tenant") tenant = row.cells(i);
        if (key != "ip4" && key != "ip6") continue;
        if (const auto address = parse_address(row.cells(i))) addresses.push_back(*address);
      }
      auto& all = held[tenant];
      all.insert(all.end(), addresses.begin(), addresses.end());
    }
    for (const Happening& one : pool_watch_.look(*now.model, held)) notifier_.tell(one);
  });
}

void ApiService::look_at_gateways() {
  const InForce now = environment_.in_force();
  if (!environment_.vpn_answers || now.model == nullptr) return;
  GatewayWatch::Answering answering{};
  for (std::uint32_t daemon = 0; daemon < kKeyingDaemons; ++daemon) answering.at(daemon) = environment_.vpn_answers(daemon);
  for (const Happening& one : gateway_watch_.look(*now.model, answering, steady_seconds())) notifier_.tell(one);
}

/// Whatever ends some day: told once at each of its steps, also by a daemon that was not there when it came.
void ApiService::look_at_ends() {
  const InForce in_force = environment_.in_force();
  const std::int64_t now = environment_.now();
  if (in_force.model == nullptr) return;
  if (!looked_at_ends_) {
    looked_at_ends_ = now;  // a unit's first look tells nothing
    if (const auto stored = store_.get(RecordKind::kLooked, kLookedKey))
      (void)std::from_chars(stored->data(), stored->data() + stored->size(), *looked_at_ends_);
    stored_ends_ = *looked_at_ends_;
  }
  const std::int64_t after = std::min(*looked_at_ends_, now);  // a clock that was set back
  std::vector<Expiry> all = expiries_of(*in_force.model);
  const auto whose = [](const std::string& account) {
    const std::size_t at = account.rfind('@');
    return at == std::string::npos ? std::string() : account.substr(at + 1);
  };
  for (auto& [account, until] : people_.ends()) all.push_back({whose(account), Ending::kAccount, account, until});
  for (auto& [account, until] : keys_.ends()) all.push_back({whose(account), Ending::kKey, account, until});
  for (const StoredErasure& one : environment_.erasures->all()) {
    if (one.state() == StoredErasure::REQUESTED)
      all.push_back({one.tenant(), Ending::kContract, std::string(to_text(one.scope())), one.end()});
    if (one.state() == StoredErasure::ENDED)
      all.push_back({one.tenant(), Ending::kData, std::string(to_text(one.scope())), begin_of(add_days(readable_until(one), 1))});
  }
  std::vector<Happening> told = due(all, after, now);
  const auto notices = store_.records(RecordKind::kNotice);
  for (const auto& record : notices ? *notices : std::vector<Store::Record>()) {
    api::Notice notice;
    if (!notice.ParseFromString(record.value)) continue;
    for (Happening& one : reminders_of(std::move(notice), after, now, environment_.in_force())) told.push_back(std::move(one));
  }
  for (const Happening& one : told) notifier_.tell(one);
  looked_at_ends_ = now;
  constexpr std::int64_t kStoreSeconds = 3600;  // what was told is stored at once: nobody is told twice
  if (told.empty() && now >= stored_ends_ && now - stored_ends_ < kStoreSeconds) return;
  if (store_.put(RecordKind::kLooked, kLookedKey, std::to_string(now))) stored_ends_ = now;
}

}  // namespace sekisho::control
