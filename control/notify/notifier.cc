// SPDX-License-Identifier: Apache-2.0
#include "control/notify/notifier.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "control/access/password.h"
#include "control/config/text.h"
#include "control/notify/events.h"
#include "control/notify/message.h"

namespace sekisho::control {
namespace {

constexpr std::size_t kRecentMax = 10'000;
constexpr std::int64_t kFirstPauseSeconds = 10;
constexpr std::int64_t kLongestPauseSeconds = 3600;
constexpr std::int64_t kHourSeconds = 3600;

std::int64_t pause_after(std::uint32_t tries) {
  return std::min(kFirstPauseSeconds << std::min(tries - 1, 10U), kLongestPauseSeconds);
}

const model::Tenant* tenant_in(const model::Configuration& model, const std::string& code) {
  const auto at = std::find_if(model.tenants().begin(), model.tenants().end(),
                               [&](const model::Tenant& one) { return one.service_code() == code; });
  return at == model.tenants().end() ? nullptr : &*at;
}

bool wants(const model::NotificationTarget& target, const std::string& event) {
  return target.events().empty() || std::find(target.events().begin(), target.events().end(), event) != target.events().end();
}

std::string key_of(const Happening& happening) {
  return happening.tenant + '\n' + happening.event + '\n' + happening.state + '\n' + happening.object;
}

}  // namespace

Notifier::Notifier(Store& store, Environment environment) : store_(store), environment_(std::move(environment)) {}

Result<void> Notifier::load() {
  SEKISHO_TRY(const auto records, store_.records(RecordKind::kDelivery));
  for (const auto& record : records) {
    access::StoredDelivery one;
    if (!one.ParseFromString(record.value)) {  // a message lost is less than a gateway that does not start
      SEKISHO_CHECK_OK(store_.remove(RecordKind::kDelivery, record.key));
      continue;
    }
    waiting_[record.key] = std::move(one);
  }
  return {};
}

void Notifier::tell(const Happening& happening) {
  const std::int64_t now = environment_.now();
  const std::string key = key_of(happening);
  if (const auto at = recent_.find(key); at != recent_.end() && now - at->second.at < kQuietSeconds) {
    ++at->second.more;
    at->second.last = happening;
    return;
  }
  if (recent_.size() >= kRecentMax) tell_digests();
  if (recent_.size() < kRecentMax) recent_[key] = {now, 0, happening};
  make(happening, 1);
}

void Notifier::tell_digests() {
  const std::int64_t now = environment_.now();
  for (auto at = recent_.begin(); at != recent_.end();) {
    Recent& one = at->second;
    if (now >= one.at && now - one.at < kQuietSeconds) {
      ++at;
      continue;
    }
    if (one.more == 0) {
      at = recent_.erase(at);
      continue;
    }
    make(one.last, one.more);
    one.at = now;
    one.more = 0;
    ++at;
  }
}

void Notifier::make(const Happening& happening, std::uint32_t count) {
  const model::Configuration* model = environment_.model();
  const EventKind* kind = event_kind(happening.event);
  if (model == nullptr || kind == nullptr) return;
  const auto* tenant = happening.tenant.empty() ? nullptr : tenant_in(*model, happening.tenant);
  if (!happening.tenant.empty() && tenant == nullptr) return;
  const auto& targets = tenant == nullptr ? model->notify().targets() : tenant->notifications();
  for (const auto& target : targets) {
    if (wants(target, happening.event)) (void)make_for(happening, count, target);
  }
  const bool managers = kind->always || (kind->first && targets.empty());
  if (!managers || tenant == nullptr || !model->notify().has_relay()) return;
  access::StoredDelivery mail;
  for (std::string& address : environment_.managers(happening.tenant, kind->whose)) {
    const auto named = [&](const auto& target) {
      return wants(target, happening.event) && std::find(target.mail().begin(), target.mail().end(), address) != target.mail().end();
    };
    if (std::none_of(targets.begin(), targets.end(), named)) mail.add_mail(std::move(address));
  }
  if (mail.mail_size() == 0) return;
  mail.set_tenant(happening.tenant);
  mail.set_event(happening.event);
  mail.set_state(happening.state);
  mail.set_object(happening.object);
  mail.set_title(happening.title);
  mail.set_memo(happening.memo);
  mail.set_count(count);
  put(std::move(mail));
}

bool Notifier::make_for(const Happening& happening, std::uint32_t count, const model::NotificationTarget& target) {
  access::StoredDelivery one;
  one.set_tenant(happening.tenant);
  one.set_target(target.name());
  one.set_event(happening.event);
  one.set_state(happening.state);
  one.set_object(happening.object);
  if (target.details()) one.set_object_shown(happening.object);
  one.set_title(happening.title);
  one.set_memo(happening.memo);
  one.set_count(count);
  const model::Configuration* model = environment_.model();
  bool any = false;
  if (target.mail_size() > 0 && model->notify().has_relay()) any |= put(one);
  if (target.has_webhook() && model->notify().webhook_networks_size() > 0) {
    one.set_webhook(true);
    any |= put(std::move(one));
  }
  return any;
}

bool Notifier::test(const std::string& tenant, const std::string& target) {
  const model::Configuration* model = environment_.model();
  access::StoredDelivery wanted;
  wanted.set_tenant(tenant);
  wanted.set_target(target);
  const auto* found = model == nullptr || target.empty() ? nullptr : target_of(wanted);
  if (found == nullptr) return false;
  return make_for({.tenant = tenant, .event = "test", .object = target, .title = "テスト / test"}, 1, *found);
}

bool Notifier::put(access::StoredDelivery delivery) {
  const std::int64_t now = environment_.now();
  delivery.set_at(now);
  delivery.set_next(now);
  std::size_t own = 0;
  for (const auto& [id, one] : waiting_) own += one.tenant() == delivery.tenant() ? 1U : 0U;
  if (own >= kWaitingOfTenantMax || waiting_.size() >= kWaitingMax) {
    environment_.audit(delivery, "fail", "too many messages wait");
    return false;
  }
  last_id_ = std::max(last_id_ + 1, static_cast<std::uint64_t>(now) << 16U);
  std::array<char, 32> number{};
  std::snprintf(number.data(), number.size(), "%016llx", static_cast<unsigned long long>(last_id_));
  delivery.set_id(std::string(number.data()) + '.' + random_token(6));
  if (!store_.put(RecordKind::kDelivery, delivery.id(), delivery.SerializeAsString())) {
    environment_.audit(delivery, "fail", "the store cannot be written");
    return false;
  }
  waiting_[delivery.id()] = std::move(delivery);
  return true;
}

const model::NotificationTarget* Notifier::target_of(const access::StoredDelivery& delivery) const {
  const model::Configuration* model = environment_.model();
  if (model == nullptr) return nullptr;
  const auto* tenant = delivery.tenant().empty() ? nullptr : tenant_in(*model, delivery.tenant());
  if (!delivery.tenant().empty() && tenant == nullptr) return nullptr;
  const auto& targets = tenant == nullptr ? model->notify().targets() : tenant->notifications();
  const auto at = std::find_if(targets.begin(), targets.end(),
                               [&](const model::NotificationTarget& one) { return one.name() == delivery.target(); });
  return at == targets.end() ? nullptr : &*at;
}

/// False: what it needs is not configured any more.
bool Notifier::fill(const access::StoredDelivery& delivery, ipc::Delivery& out) const {
  const model::Configuration* model = environment_.model();
  if (model == nullptr) return false;
  const auto* target = delivery.target().empty() ? nullptr : target_of(delivery);
  if (!delivery.target().empty() && target == nullptr) return false;
  const auto* tenant = delivery.tenant().empty() ? nullptr : tenant_in(*model, delivery.tenant());
  if (!delivery.tenant().empty() && tenant == nullptr) return false;
  const model::MailRelay& relay = model->notify().relay();
  const Sender sender{model->node(), tenant == nullptr ? "" : tenant->name(), relay.sender()};
  out.set_id(delivery.id());
  if (delivery.webhook()) {
    if (!target->has_webhook() || model->notify().webhook_networks_size() == 0) return false;
    auto& call = *out.mutable_webhook();
    call.set_url(target->webhook());
    call.set_ca(target->ca());
    call.set_body(webhook_body(delivery, sender));
    call.set_signature(webhook_signature(call.body(), target->signing_key(), environment_.now()));
    *call.mutable_networks() = model->notify().webhook_networks();
    return true;
  }
  if (!model->notify().has_relay()) return false;
  auto& mail = *out.mutable_mail();
  mail.set_host(relay.host());
  mail.set_port(relay.port());
  mail.set_starttls(relay.starttls());
  mail.set_user(relay.user());
  mail.set_password(relay.password());
  mail.set_ca(relay.ca());
  mail.set_sender(relay.sender());
  *mail.mutable_recipients() = target == nullptr ? delivery.mail() : target->mail();
  mail.set_message(mail_text(delivery, sender));
  return mail.recipients_size() > 0;
}

/// A tenant's mails of one hour are bounded; the others wait for the next.
bool Notifier::mail_may_go(const access::StoredDelivery& delivery) {
  if (delivery.webhook()) return true;
  const model::Configuration* model = environment_.model();
  const std::uint32_t most = model == nullptr ? 0 : model->notify().mails_per_hour_max();
  Hour& own = mails_[delivery.tenant()];
  const std::int64_t hour = environment_.now() / kHourSeconds;
  if (own.hour != hour) own = {hour, 0};
  return own.count < most && ++own.count > 0;
}

void Notifier::drop(const std::string& id, const char* result, const std::string& detail) {
  const auto at = waiting_.find(id);
  if (at == waiting_.end()) return;
  environment_.audit(at->second, result, detail);
  (void)store_.remove(RecordKind::kDelivery, id);
  under_way_.erase(id);
  waiting_.erase(at);
}

void Notifier::take(const ipc::DeliveryResult& result) {
  const auto at = waiting_.find(result.id());
  // What was not asked for is not believed: a result belongs to a message that was handed out.
  if (at == waiting_.end() || under_way_.erase(result.id()) == 0) return;
  constexpr std::size_t kDetailCharactersMax = 200;
  const std::string detail(cut_characters(result.detail(), kDetailCharactersMax));
  if (result.ok()) return drop(result.id(), "ok", detail);
  access::StoredDelivery& one = at->second;
  one.set_tries(one.tries() + 1);
  one.set_last_error(detail);
  const std::int64_t now = environment_.now();
  if (result.permanent() || now - one.at() >= kGiveUpSeconds)
    return drop(result.id(), "fail", one.last_error() + (result.permanent() ? "" : "; given up"));
  one.set_next(now + pause_after(one.tries()));
  (void)store_.put(RecordKind::kDelivery, one.id(), one.SerializeAsString());
}

ipc::Deliveries Notifier::exchange(const ipc::DeliveryWork& work) {
  for (const auto& result : work.results()) take(result);
  tell_digests();
  const std::int64_t now = environment_.now();
  std::erase_if(under_way_, [now](const auto& entry) { return entry.second <= now; });
  ipc::Deliveries out;
  constexpr std::size_t kBytesMax = 40U << 10;  // of one datagram
  std::size_t bytes = 0;
  std::vector<std::string> gone;
  std::map<std::string, std::uint32_t> handed;  // a tenant whose server is slow holds up nobody else
  for (const auto& [id, one] : waiting_) {
    constexpr std::uint32_t kOfTenantAtOnceMax = 4;
    if (out.deliveries_size() >= static_cast<int>(std::min(work.room(), kRoomMax)) || bytes > kBytesMax) break;
    if (under_way_.contains(id)) {
      ++handed[one.tenant()];
      continue;
    }
    if (one.next() > now && one.next() - now <= kLongestPauseSeconds) continue;  // a clock that was set back counts anew
    if (handed[one.tenant()] >= kOfTenantAtOnceMax) continue;
    ipc::Delivery next;
    if (!fill(one, next)) {
      gone.push_back(id);
      continue;
    }
    if (next.ByteSizeLong() + bytes > kBytesMax && bytes > 0) break;
    if (!mail_may_go(one)) continue;
    ++handed[one.tenant()];
    bytes += next.ByteSizeLong();
    under_way_[id] = now + kUnderWaySeconds;
    *out.add_deliveries() = std::move(next);
  }
  for (const std::string& id : gone) drop(id, "fail", "its target or the way to it is not configured any more");
  return out;
}

api::DeliveryList Notifier::list(const std::string& tenant) const {
  api::DeliveryList out;
  for (const auto& [id, one] : waiting_) {
    if (one.tenant() != tenant) continue;
    auto& shown = *out.add_deliveries();
    shown.set_id(id);
    shown.set_target(one.target());
    shown.set_webhook(one.webhook());
    shown.set_event(one.event());
    shown.mutable_at()->set_seconds(one.at());
    shown.set_tries(one.tries());
    shown.mutable_next()->set_seconds(one.next());
    shown.set_last_error(one.last_error());
  }
  for (const EventKind& kind : kEventKinds) out.add_events(std::string(kind.name));
  const model::Configuration* model = environment_.model();
  out.set_relay(model != nullptr && model->notify().has_relay());
  out.set_webhooks(model != nullptr && model->notify().webhook_networks_size() > 0);
  return out;
}

Result<void> Notifier::erase_tenant(const std::string& tenant) {
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    if (at->second.tenant() != tenant) {
      ++at;
      continue;
    }
    SEKISHO_CHECK_OK(store_.remove(RecordKind::kDelivery, at->first));
    under_way_.erase(at->first);
    at = waiting_.erase(at);
  }
  std::erase_if(recent_, [&](const auto& entry) { return entry.second.last.tenant == tenant; });
  return {};
}

}  // namespace sekisho::control
