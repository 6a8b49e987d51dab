// SPDX-License-Identifier: Apache-2.0
// The part of ApiService that lets a second person decide, and that looks at clocks and counters.
#include <algorithm>
#include <chrono>
#include <ctime>
#include <map>
#include <set>
#include <utility>

#include "control/access/rfc3339.h"
#include "control/api/acts.h"
#include "control/api/api_service.h"
#include "control/api/sampler.h"
#include "control/links/answer.h"

namespace sekisho::control {
namespace {

constexpr std::uint32_t kAccepted = 202;

std::int64_t read_clock_ns(clockid_t which) {
  timespec now{};
  ::clock_gettime(which, &now);
  constexpr std::int64_t kSecondNs = 1'000'000'000;
  return now.tv_sec * kSecondNs + now.tv_nsec;
}

/// The comment a request brings along, for who decides.
std::string comment_of(const google::protobuf::Message& message) {
  const auto* field = message.GetDescriptor()->FindFieldByName("comment");
  return field == nullptr ? std::string() : message.GetReflection()->GetString(message, field);
}

/// What only who asked may see of a reply: the secrets in it. Empty: it has none.
std::string reply_of(const google::protobuf::MethodDescriptor& method, const std::string& reply) {
  api::ApprovedReply out;
  bool read = false;
  if (method.output_type() == api::Invitation::descriptor()) read = out.mutable_invitation()->ParseFromString(reply);
  if (method.output_type() == api::ApiKeySecret::descriptor()) read = out.mutable_key()->ParseFromString(reply);
  return read ? out.SerializeAsString() : "";
}

}  // namespace

bool ApiService::asks_for_two(const Call& call, const api::MethodRule& rule) const {
  const InForce now = environment_.in_force();
  if (now.model == nullptr) return false;
  const auto asks = [&rule](const auto& rules) {
    return (rule.four_eyes() && rules.four_eyes()) || (rule.four_eyes_accounts() && rules.four_eyes_accounts());
  };
  // Accounts, keys and ends are judged by the rules of whose person asks: the provider's do not wait for the tenant's.
  const std::string& whose = rule.four_eyes_accounts() ? call.who.tenant : call.tenant;
  const auto* tenant = whose.empty() ? nullptr : now.tenant(whose);
  return tenant == nullptr ? asks(now.model->sign_in()) : asks(tenant->sign_in());
}

void ApiService::ask_for_approval(const CallPtr& call, const Preview& preview) {
  const api::MethodRule& rule = call->method().options().GetExtension(api::method);
  const std::string& whose = rule.four_eyes_accounts() ? call->who.tenant : call->tenant;
  if (!people_.another_may(rule.action(), whose, keys_.maker_of(call->who.account)))
    return call->refuse(conflict("two people are asked for, and nobody else here may approve this"));
  access::StoredApproval fresh;
  fresh.set_tenant(whose);
  fresh.set_method(call->method().name());
  fresh.set_request(call->message().SerializeAsString());
  fresh.set_if_match(call->asked().if_match() != 0 ? call->asked().if_match() : environment_.in_force().revision);
  fresh.set_asked_by(call->who.account);
  fresh.set_source(call->asked().source());
  constexpr std::size_t kCommentBytesMax = 1024;
  if (const std::string comment = comment_of(call->message()); comment.size() <= kCommentBytesMax)
    fresh.set_comment(comment);
  for (const std::string& line : preview.changes) fresh.add_changes(line);
  for (const api::Action action : preview.actions) fresh.add_actions(static_cast<std::uint32_t>(action));
  if (std::find(preview.actions.begin(), preview.actions.end(), rule.action()) == preview.actions.end())
    fresh.add_actions(static_cast<std::uint32_t>(rule.action()));
  const auto asked = approvals_.ask(std::move(fresh));
  if (const auto* refusal = std::get_if<Refusal>(&asked)) return call->refuse(*refusal);
  const auto& approval = std::get<api::Approval>(asked);
  call->about = "approval " + approval.id();
  ControlAnswer out;
  out.message.mutable_api_answer()->set_status(kAccepted);
  out.message.mutable_api_answer()->set_reply(approval.SerializeAsString());
  call->send(std::move(out));
}

void ApiService::approve(const CallPtr& call, const std::string& id) {
  call->about = "approval " + id;
  const auto found = approvals_.to_approve(call->tenant, id, call->who.account);
  if (const auto* refusal = std::get_if<Refusal>(&found)) return call->refuse(*refusal);
  const auto& approval = std::get<access::StoredApproval>(found);
  // The tenant's own people decide about what is the tenant's, whoever else was let in.
  if (call->who.tenant != call->tenant) return call->refuse(denied("the tenant's own people approve"));
  if (keys_.maker_of(approval.asked_by()) == call->who.account)
    return call->refuse(denied("somebody else has to approve what your key asked for"));
  if (people_.behind(call->who.account) == people_.behind(keys_.maker_of(approval.asked_by())))
    return call->refuse(denied(
        "one of you got a link to sign in by from the other, or both from one person, within 30 days: that is no second person"));
  const auto* method = api::Error::descriptor()->file()->FindServiceByName("Api")->FindMethodByName(approval.method());
  if (method == nullptr) return call->refuse(conflict("this cannot be done any more"));
  std::vector<int> needed(approval.actions().begin(), approval.actions().end());
  needed.push_back(method->options().GetExtension(api::method).action());
  for (const int action : needed) {
    if (!people_.may(call->who, static_cast<api::Action>(action), call->tenant).allowed)
      return call->refuse(denied("it changes what your role may not change"));
  }
  approvals_.begin(id);
  carry_out(call, approval);
}

/// As whoever asked for it, with what he may now.
void ApiService::carry_out(const CallPtr& by, const access::StoredApproval& approval) {
  const auto* method = api::Error::descriptor()->file()->FindServiceByName("Api")->FindMethodByName(approval.method());
  ipc::ApiCall asked;
  asked.set_method(approval.method());
  asked.set_request(approval.request());
  asked.set_if_match(approval.if_match());
  asked.set_source(approval.source());
  asked.set_request_id(by->asked().request_id());
  ControlRequest holder;
  *holder.message.mutable_api_call() = asked;
  auto message = read_request(*method, holder);
  const auto end = [this, by, id = approval.id()](const std::string& state, const std::string& reason, const std::string& reply = {}) {
    const auto decided = approvals_.decide(by->tenant, id, by->who.account, state, reason);
    approvals_.over(id);
    if (!reply.empty()) approvals_.keep_reply(id, reply);
    const auto* refusal = std::get_if<Refusal>(&decided);
    refusal != nullptr ? by->refuse(*refusal) : by->reply(std::get<api::Approval>(decided));
  };
  const std::string& account = approval.asked_by();
  const auto role = account.starts_with("key:") ? keys_.role_now(account) : people_.role_now(account);
  const auto source = Address::from_wire({reinterpret_cast<const std::uint8_t*>(asked.source().data()), asked.source().size()});
  if (message == nullptr || !role || !source) return end("failed", "who asked for it may not any more");
  const auto sent = std::make_shared<std::function<void(ControlAnswer)>>();
  const auto call = std::make_shared<Call>(*method, std::move(asked), std::move(message),
                                           [sent](ControlAnswer out) { (*sent)(std::move(out)); });
  const auto* field = method->input_type()->FindFieldByName("tenant");
  if (field != nullptr) call->tenant = call->message().GetReflection()->GetString(call->message(), field);
  call->who.account = account;
  call->who.role = *role;
  call->who.program = account.starts_with("key:");
  const std::size_t at = account.rfind('@');
  call->who.tenant = at == std::string::npos ? "" : account.substr(at + 1);
  call->who.source = *source;
  call->approved_by = by->who.account;
  call->permit = people_.may(call->who, method->options().GetExtension(api::method).action(), call->tenant);
  if (!call->permit.allowed) return end("failed", "who asked for it may not any more");
  *sent = [this, call = std::weak_ptr<Call>(call), end](const ControlAnswer& out) {
    const auto still = call.lock();
    if (still) write_down(*still, out);
    const ipc::ApiAnswer& said = out.message.api_answer();
    constexpr std::uint32_t kRefusedFrom = 400;
    api::Error error;
    const bool failed = said.status() >= kRefusedFrom;
    if (failed) (void)error.ParseFromString(said.reply());
    end(failed ? "failed" : "done", failed ? error.message() : still ? still->about : "",
        still && !failed ? reply_of(still->method(), said.reply()) : "");
  };
  if (!begin_acts(*call, method->options().GetExtension(api::method)))
    return call->refuse(unavailable("the operation log cannot be written: nothing was done"));
  handlers_.at(approval.method())(call);
}

void ApiService::exchange(const ControlRequest& request, ControlServer::Reply& reply) {
  ControlAnswer out;
  *out.message.mutable_deliveries() = notifier_.exchange(request.message.delivery_work());
  reply(std::move(out));
}

Notifier::Environment ApiService::notifier_environment() {
  Notifier::Environment out;
  out.now = environment_.now;
  out.model = [this] { return environment_.in_force().model; };
  out.managers = [this](const std::string& tenant, api::Action action) { return people_.managers(tenant, action); };
  out.audit = [this](const access::StoredDelivery& delivery, const char* result, const std::string& detail) {
    const std::string where =
        (delivery.target().empty() ? "the managers" : delivery.target()) + (delivery.webhook() ? " by webhook" : " by mail");
    tell_of_the_unit(delivery.tenant(), "notification", delivery.event() + " to " + where, result, detail);
  };
  return out;
}

/// An act of the unit itself, of its own accord.
void ApiService::tell_of_the_unit(const std::string& tenant, std::string_view type, const std::string& name, std::string_view result,
                                  const std::string& detail) {
  const bool known = !tenant.empty() && environment_.in_force().tenant(tenant) != nullptr;
  ipc::ToEventLog record = act_record(known ? tenant : std::string(kProviderStream), environment_.in_force());
  auto& act = *record.mutable_audit();
  act.set_actor_kind("system");
  act.set_actor("controld");
  act.set_channel("agent");
  act.set_operation("setting");
  act.set_object_type(std::string(type));
  act.set_object_name(name);
  act.set_result(std::string(result));
  act.set_comment(detail);
  (void)environment_.audit->add(std::move(record));
}

void ApiService::note_security(const std::string& tenant, std::string_view code, const std::string& subject, const Address& source,
                               const std::string& user) {
  const bool known = !tenant.empty() && environment_.in_force().tenant(tenant) != nullptr;
  const auto now = static_cast<std::uint64_t>(read_clock_ns(CLOCK_REALTIME));
  security_.note({known ? tenant : std::string(kProviderStream), std::string(code), subject, source, user, 1, now, now});
}

void ApiService::look_later() {
  timer_.expires_after(std::chrono::seconds(1));
  timer_.async_wait([this](const boost::system::error_code& failed) {
    if (!failed) look();
  });
}

void ApiService::look() {
  look_later();
  constexpr unsigned kCountersTurns = 5, kCertificatesTurns = 600;
  constexpr double kSecondNs = 1e9;
  if (const auto step = clock_watch_.observe(read_clock_ns(CLOCK_REALTIME), read_clock_ns(CLOCK_BOOTTIME))) {
    const double seconds = static_cast<double>(step->after_ns - step->before_ns) / kSecondNs;
    clock_.mutable_last_step()->set_seconds(step->after_ns / static_cast<std::int64_t>(kSecondNs));
    clock_.set_last_step_seconds(seconds);
    const std::string detail = "the clock was set from " + rfc3339(step->before_ns / static_cast<std::int64_t>(kSecondNs)) + " to " +
                               rfc3339(step->after_ns / static_cast<std::int64_t>(kSecondNs));
    const InForce now = environment_.in_force();
    tell_of_the_unit("", "clock", "INT_CLOCK", "ok", detail);
    note_security("", "INT_CLOCK", detail);
    notifier_.tell({.tenant = "", .event = "clock", .object = detail, .state = "step",
                    .title = "時計が飛びました / the clock was set", .memo = detail});
    for (int i = 0; now.model != nullptr && i < now.model->tenants_size(); ++i) {  // their records bear its time
      tell_of_the_unit(now.model->tenants(i).service_code(), "clock", "INT_CLOCK", "ok", detail);
      note_security(now.model->tenants(i).service_code(), "INT_CLOCK", detail);
    }
  }
  constexpr unsigned kLogTurns = 20, kShutOutTurns = 15, kPoolTurns = 15, kEndsTurns = 30;
  if (turns_ % kLogTurns == 1) look_at_log();
  if (turns_ % kShutOutTurns == 2) look_at_shut_out();
  if (turns_ % kEndsTurns == 3) look_at_ends();
  if (turns_ % kPoolTurns == 4) look_at_pools();
  if (turns_ % kCertificatesTurns == 0)
    security_.look_at_certificates(environment_.in_force(), read_clock_ns(CLOCK_REALTIME) / 1'000'000'000);
  if (turns_++ % kCountersTurns == 0) {
    const ClockState state = read_clock_state();
    clock_.set_synchronised(state.synchronised);
    clock_.set_error_milliseconds(state.error_milliseconds);
    look_at_counters();
    look_at_gateways();
  }
  look_at_revisions();
  security_.tell(environment_.in_force(), static_cast<std::uint64_t>(read_clock_ns(CLOCK_MONOTONIC)));
}

void ApiService::look_at_counters() {
  const InForce now = environment_.in_force();
  if (now.model == nullptr) return;
  const ipc::Counters& counters = sampler_.counters();
  std::map<std::uint32_t, const ipc::TenantCounter*> of_tenant;
  for (const auto& one : counters.tenants()) of_tenant.emplace(one.tenant(), &one);
  std::set<std::uint32_t> quarantined;
  for (const auto& one : counters.bindings()) {
    if (one.quarantined()) quarantined.insert(one.binding());
  }
  std::vector<CounterWatch::Seen> seen;
  for (const auto& tenant : now.model->tenants()) {
    CounterWatch::Seen one{.tenant = tenant.service_code(), .quarantined = {}};
    one.sessions_max = tenant.sessions_max();
    if (const auto at = of_tenant.find(ids_.find(IdKind::kTenant, tenant_key(one.tenant))); at != of_tenant.end()) {
      one.sessions = static_cast<double>(at->second->sessions());
      one.log_lost = static_cast<double>(at->second->log_lost());
    }
    for (const auto& binding : tenant.bindings()) {
      if (!quarantined.empty() && quarantined.contains(ids_.find(IdKind::kBinding, binding_key(one.tenant, binding.name()))))
        one.quarantined.push_back(binding.name());
    }
    seen.push_back(std::move(one));
  }
  const std::int64_t steady = read_clock_ns(CLOCK_MONOTONIC) / 1'000'000'000;
  for (const Happening& one : counter_watch_.look(dataplane_.connected() && sampler_.counting(), seen, steady))
    notifier_.tell(one);
}

/// A configuration that came back by itself, since nobody confirmed the next.
void ApiService::look_at_revisions() {
  const std::uint32_t running = environment_.in_force().revision;
  const std::uint32_t before = std::exchange(seen_running_, running);
  if (before == 0 || before == running) return;
  const auto info = store_.find(running);
  if (!info || !*info || (*info)->author != "controld" || !(*info)->comment.starts_with("automatic rollback")) return;
  access::StoredRevisionScope scope;
  const auto stored = store_.get(RecordKind::kRevisionScope, std::to_string(before));
  if (stored && !scope.ParseFromString(*stored)) scope.Clear();
  note_security(scope.tenant(), "CFG_ROLLBACK", "revision " + std::to_string(before));
  notifier_.tell({.tenant = scope.tenant(), .event = "commit", .object = "revision " + std::to_string(before),
                  .state = "rolled_back",
                  .title = "確認されなかった設定が元に戻りました / a configuration that nobody confirmed was taken back", .memo = {}});
}

}  // namespace sekisho::control
