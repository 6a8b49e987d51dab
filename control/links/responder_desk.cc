// SPDX-License-Identifier: Apache-2.0
#include "control/links/responder_desk.h"

#include <algorithm>
#include <utility>

namespace sekisho::control {

const model::Gateway* ResponderDesk::gateway_of(const model::Configuration& model, std::uint32_t tenant, const std::string& name) const {
  for (const auto& one : model.tenants()) {
    if (environment_.ids->find(IdKind::kTenant, tenant_key(one.service_code())) != tenant) continue;
    const auto found = std::ranges::find_if(one.gateways(), [&](const auto& gateway) { return gateway.name() == name; });
    return found == one.gateways().end() ? nullptr : &*found;
  }
  return nullptr;
}

void ResponderDesk::take(const ipc::ResponderQuestion& question) {
  if (open_.size() >= kOpenMax || open_.contains(question.number()) || question.question().size() > kQuestionBytesMax) return;
  const auto of_tenant = std::ranges::count_if(open_, [&](const auto& one) { return one.second.tenant == question.tenant(); });
  if (static_cast<std::size_t>(of_tenant) >= kOpenOfTenantMax) return;
  Open& open = open_[question.number()];
  open.tenant = question.tenant();
  open.end = environment_.now() + kLifeSeconds;
  const model::Configuration* model = environment_.model();
  const model::Gateway* gateway = model == nullptr ? nullptr : gateway_of(*model, question.tenant(), question.gateway());
  if (gateway == nullptr || !gateway->has_ocsp()) {
    open.done = true;
    open.why = "the gateway has no responder";
  } else if (model->responders().networks().empty()) {
    open.done = true;
    open.why = "the provider lets no responder be asked";
  } else {
    open.fetch.set_number(question.number());
    open.fetch.set_url(gateway->ocsp().url());
    *open.fetch.mutable_networks() = model->responders().networks();
    open.fetch.set_content_type("application/ocsp-request");
    open.fetch.set_body(question.question());
  }
}

ipc::RespondersSaid ResponderDesk::ask(const ipc::AskResponders& asked) {
  std::erase_if(open_, [now = environment_.now()](const auto& one) { return now >= one.second.end; });
  for (const auto& question : asked.questions()) take(question);
  ipc::RespondersSaid out;
  for (const std::uint64_t number : asked.waiting()) {
    if (static_cast<std::size_t>(out.answers_size()) >= kAnswersOfMessageMax) break;
    const auto open = open_.find(number);
    if (open != open_.end() && !open->second.done) continue;
    auto& answer = *out.add_answers();
    answer.set_number(number);
    if (open == open_.end()) {
      answer.set_why("too many are asked");
      continue;
    }
    answer.set_answer(std::move(open->second.answer));
    answer.set_why(std::move(open->second.why));
    open_.erase(open);
  }
  return out;
}

void ResponderDesk::exchange(const ipc::DeliveryWork& work, ipc::Deliveries& out) {
  for (const auto& one : work.fetched()) {
    const auto open = open_.find(one.number());
    if (open == open_.end() || open->second.done || !open->second.fetch.url().empty()) continue;
    open->second.done = true;
    if (one.body().size() <= kAnswerBytesMax) open->second.answer = one.body();
    open->second.why = one.why();
  }
  std::uint32_t room = work.fetch_room();
  for (auto& [number, open] : open_) {
    if (room == 0 || static_cast<std::size_t>(out.fetches_size()) >= kFetchesOfMessageMax) break;
    if (open.done || open.fetch.url().empty()) continue;
    *out.add_fetches() = std::exchange(open.fetch, {});
    --room;
  }
}

}  // namespace sekisho::control
