// SPDX-License-Identifier: Apache-2.0
#include "control/api/api_service.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <openssl/crypto.h>

#include <boost/asio/post.hpp>
#include <chrono>
#include <fstream>

#include "base/assert.h"
#include "base/crypto/sha256.h"
#include "base/describe.h"
#include "base/ipc/sealed_blob.h"
#include "control/api/acts.h"
#include "control/links/answer.h"

namespace sekisho::control {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MethodDescriptor;

constexpr int kHashingWaitsMax = 16;  // each takes a tenth of a second
constexpr std::size_t kRememberedMax = 2000;
constexpr std::size_t kRememberedOfAccountMax = 32;
constexpr std::int64_t kRememberSeconds = 3600;
constexpr std::size_t kKeyBytesMax = 128;
constexpr std::size_t kObjectShown = 256, kActorShown = 128, kTenantShown = 32;
constexpr std::size_t kRequestBytesMax = std::size_t{64} << 20;

bool changes(const api::MethodRule& rule) {
  return !rule.http().starts_with("GET ");
}

std::string digest(const std::string& text) {
  const Sha256Digest out = sha256(as_bytes(text));
  return {out.begin(), out.end()};
}

/// The same bytes for the same message: maps, which documents are full of, have no order of their own.
std::string bytes_of(const Message& message) {
  std::string out;
  google::protobuf::io::StringOutputStream stream(&out);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return out;
}

bool same(const std::string& a, const std::string& b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

/// At most so many bytes, and whole characters: a message with half of one cannot be read again.
std::string cut(std::string text, std::size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xc0U) == 0x80U) --most;
  text.resize(most);
  return text;
}

std::string tenant_of(const std::string& account) {
  const std::size_t at = account.rfind('@');
  return at == std::string::npos ? "" : account.substr(at + 1);
}

/// Another one after each start of the machine.
std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string out;
  std::getline(file, out);
  return out;
}

std::int64_t steady_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double steady_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

constexpr const char* kByCertificate = "certificate";  // what X-Sekisho-Csrf says without a session: no form of a browser can

}  // namespace

ApiService::ApiService(boost::asio::io_context& io, Store& store, Ids& ids, Committer& committer,
                       DataplaneLink& dataplane, Environment environment)
    : io_(io),
      store_(store),
      environment_(std::move(environment)),
      people_(store, people_environment()),
      keys_(store, {.now = environment_.now, .tenant_rules = people_environment().tenant_rules, .rules = people_environment().rules}),
      approvals_(store, environment_.now),
      notifier_(store, notifier_environment()),
      sampler_(io, dataplane, ids, environment_.in_force, environment_.ask, environment_.now),
      dataplane_(dataplane),
      ids_(ids),
      timer_(io),
      world_{store, committer, people_, sampler_, ids, environment_.in_force, environment_.ask, environment_.now,
             // Sign-ins come first: documents leave most of the queue to them.
             [this, run = people_environment().elsewhere](std::function<void()> work, std::function<void()> then) {
               return hashing_waits_ < kHashingWaitsMax / 4 && run(std::move(work), std::move(then));
             },
             keys_, approvals_, notifier_, [this] { return clock_; },
             [this](const CallPtr& call, const std::string& id) { approve(call, id); }} {
  world_.erasures = environment_.erasures;
  world_.audit = environment_.audit;
  world_.vpn_answers = environment_.vpn_answers;
  world_.log_watched = environment_.log_watched;
  add_session_methods(handlers_, world_);
  add_table_methods(handlers_, world_);
  add_config_methods(handlers_, world_);
  add_log_methods(handlers_, world_);
  add_account_methods(handlers_, world_);
  add_platform_methods(handlers_, world_);
  add_metrics_methods(handlers_, world_);
  add_erasure_methods(handlers_, world_);
  add_key_methods(handlers_, world_);
  add_approval_methods(handlers_, world_);
  add_notify_methods(handlers_, world_);
  add_self_methods(handlers_, world_);
  SEKISHO_ASSERT(handlers_.size() == static_cast<std::size_t>(api_service().method_count()));
  for (const auto& [name, handler] : handlers_) SEKISHO_ASSERT(api_service().FindMethodByName(name) != nullptr);
}

ApiService::~ApiService() {
  hashing_.join();
}

Result<void> ApiService::start() {
  SEKISHO_CHECK_OK(people_.load());
  SEKISHO_CHECK_OK(keys_.load());
  SEKISHO_CHECK_OK(approvals_.load());
  SEKISHO_CHECK_OK(notifier_.load());
  sampler_.start();
  look();
  return {};
}

void ApiService::stop() {
  timer_.cancel();
  sampler_.stop();
}

People::Environment ApiService::people_environment() {
  People::Environment out;
  out.now = environment_.now;
  out.steady = [] {
    return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  };
  out.boot = boot_id();
  out.elsewhere = [this](std::function<void()> work, std::function<void()> then) {
    if (hashing_waits_ >= kHashingWaitsMax) return false;
    ++hashing_waits_;
    boost::asio::post(hashing_, [this, work = std::move(work), then = std::move(then)] {
      work();
      boost::asio::post(io_, [this, then] {
        --hashing_waits_;
        then();
      });
    });
    return true;
  };
  out.rules = [this] {
    const InForce now = environment_.in_force();
    return now.model == nullptr ? model::SignIn() : now.model->sign_in();
  };
  out.tenant_rules = [this](const std::string& tenant) -> std::optional<model::TenantSignIn> {
    const auto* found = environment_.in_force().tenant(tenant);
    return found == nullptr ? std::nullopt : std::optional(found->sign_in());
  };
  out.tell = [this](const std::string& account, const Address& source, std::string_view operation,
                    const std::string& detail) { tell(account, source, operation, detail); };
  return out;
}

std::unique_ptr<Message> ApiService::read_request(const MethodDescriptor& method, ControlRequest& request) {
  const ipc::ApiCall& asked = request.message.api_call();
  std::unique_ptr<Message> out(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(method.input_type())->New());
  if (!asked.in_fd()) return out->ParseFromString(asked.request()) ? std::move(out) : nullptr;
  if (request.fds.size() != 1) return nullptr;
  const auto blob = SealedBlob::open(std::move(request.fds[0]), kRequestBytesMax);
  return blob && out->ParseFromArray(blob->bytes().data(), static_cast<int>(blob->bytes().size())) ? std::move(out)
                                                                                                   : nullptr;
}

void ApiService::handle(ControlRequest request, ControlServer::Reply reply) {
  const auto* method = api_service().FindMethodByName(request.message.api_call().method());
  if (method == nullptr) return reply(failure("there is no such method"));
  const api::MethodRule& rule = method->options().GetExtension(api::method);
  // Who is nobody gets no large request read.
  const ipc::ApiCall& asked = request.message.api_call();
  Identity identity = who_asks(asked, rule);
  if (identity.refusal && asked.in_fd()) {  // identify() refuses it as it would the whole
    request.message.mutable_api_call()->set_in_fd(false);
    request.message.mutable_api_call()->clear_request();
  }
  auto message = read_request(*method, request);
  if (message == nullptr) return reply(failure("a request that cannot be read"));
  std::function<void(ControlAnswer)> answer = [reply](ControlAnswer out) { reply(std::move(out)); };
  const auto sent = std::make_shared<std::function<void(ControlAnswer)>>();
  const auto call = std::make_shared<Call>(*method, request.message.api_call(), std::move(message),
                                           [sent](ControlAnswer out) { (*sent)(std::move(out)); });
  *sent = answer;
  if (Refusal refusal = identify(*call, rule, std::move(identity))) return call->refuse(refusal);
  if (Refusal refusal = authorise(*call, rule)) {
    *sent = [this, call = call.get(), answer](ControlAnswer out) {
      write_down(*call, out);
      answer(std::move(out));
    };
    return call->refuse(refusal);
  }
  if (changes(rule) && !call->who.account.empty() && !budget_.take(call->who.tenant, steady_now())) {
    constexpr std::uint32_t kRetrySeconds = 1;
    return call->refuse({429, "too_many_acts", "your people and programs together act more than ten times a second", {}, kRetrySeconds});
  }
  if (answered_before(call, answer)) return;
  // The call holds this function, which therefore must not hold the call.
  *sent = [this, call = std::weak_ptr<Call>(call), answer](ControlAnswer out) {
    if (const auto still = call.lock()) write_down(*still, out);
    answer(std::move(out));
  };
  if (!begin_acts(*call, rule)) return call->refuse(unavailable("the operation log cannot be written: nothing was done"));
  if (asks_for_two(*call, rule)) {
    Preview preview_of_it;
    if (rule.four_eyes_accounts()) {
      preview_act(*call, world_, preview_of_it);
    } else if (Refusal refusal = preview(*call, world_, preview_of_it)) {
      return call->refuse(refusal);
    }
    if (!preview_of_it.undoes) return ask_for_approval(call, preview_of_it);
  }
  handlers_.at(method->name())(call);
}

ApiService::Identity ApiService::who_asks(const ipc::ApiCall& asked, const api::MethodRule& rule) {
  Identity out;
  const std::string& wire = asked.source();
  const auto source = Address::from_wire({reinterpret_cast<const std::uint8_t*>(wire.data()), wire.size()});
  if (!source) {
    out.refusal = {400, "malformed", "a call without a source"};
    return out;
  }
  out.who.source = *source;
  out.who.certificate = asked.certificate();
  if (rule.access() == api::MethodRule::EVERYBODY) return out;
  if (!asked.key().empty() || (asked.token().empty() && !asked.certificate().empty())) {
    auto found = keys_.find({asked.key(), asked.certificate()}, *source, static_cast<double>(steady_seconds()));
    if (auto* refusal = std::get_if<Refusal>(&found)) {
      out.refusal = std::move(*refusal);
      return out;
    }
    out.who = std::move(std::get<ApiKeys::Found>(found).who);
    out.read_only = std::get<ApiKeys::Found>(found).read_only;
    return out;
  }
  auto who = people_.find(asked.token(), *source, asked.live(), asked.certificate());
  if (who) {
    out.who = std::move(*who);
  } else {
    out.refusal = not_signed_in();
  }
  return out;
}

Refusal ApiService::identify(Call& call, const api::MethodRule& rule, Identity identity) {
  call.who = std::move(identity.who);
  if (identity.refusal || rule.access() == api::MethodRule::EVERYBODY) return identity.refusal;
  if (call.who.program) {
    if (rule.access() == api::MethodRule::SETUP || rule.people()) return denied("this is for people, not for programs");
    if (identity.read_only && changes(rule) && !rule.reads()) return denied("this key only reads");
    // A browser shows its certificate to whoever makes it ask; a header of its own it sends to nobody else's site.
    if (changes(rule) && call.asked().key().empty() && call.asked().csrf() != kByCertificate)
      return {403, "csrf", "the header X-Sekisho-Csrf has to say \"certificate\""};
    return {};
  }
  if (changes(rule) && !same(call.asked().csrf(), call.who.csrf))
    return {403, "csrf", "the header X-Sekisho-Csrf is missing or wrong"};
  if (rule.access() == api::MethodRule::LOGIN && !call.who.must.empty()) {
    return {403, "setup", call.who.must == "totp" ? "set up the second factor first" : "set a password first"};
  }
  return {};
}

Refusal ApiService::authorise(Call& call, const api::MethodRule& rule) {
  if (rule.access() != api::MethodRule::LOGIN) return {};
  const FieldDescriptor* field = call.method().input_type()->FindFieldByName("tenant");
  if (field != nullptr) {
    call.tenant = call.message().GetReflection()->GetString(call.message(), field);
    const bool own = !call.who.tenant.empty() && call.who.tenant == call.tenant;
    // What is not there and what is another's look the same to a tenant's people.
    if (!call.who.tenant.empty() && !own) return not_found();
    if (environment_.in_force().tenant(call.tenant) == nullptr) return not_found();
    if (own && call.method().name() != "ListErasures" && environment_.erasures->is_closed(call.tenant, environment_.now()))
      return denied("the contract has ended, and the time for reading is over");
  }
  call.permit = people_.may(call.who, rule.action(), call.tenant);
  if (call.permit.allowed) {
    if (!call.permit.consent.empty()) people_.use_consent(call.permit.consent);
    return {};
  }
  const Grant grant = grant_of(call.who.role, rule.action());
  return grant == Grant::kConsent || grant == Grant::kChange ? denied("this needs the tenant's consent") : denied();
}

bool ApiService::answered_before(const CallPtr& call, std::function<void(ControlAnswer)>& answer) {
  const std::string& key = call->asked().idempotency_key();
  const bool change = changes(call->method().options().GetExtension(api::method));
  if (key.empty() || call->who.account.empty() || !change) return false;
  if (key.size() > kKeyBytesMax) return call->refuse(invalid("", "an idempotency key has at most 128 bytes")), true;
  const std::int64_t now = environment_.now();
  std::erase_if(remembered_, [&](const auto& entry) { return entry.second.at + kRememberSeconds <= now; });
  const std::string name = call->who.account + '\n' + key;
  const std::string asked = digest(call->method().name() + '\n' + bytes_of(call->message()));
  if (const auto at = remembered_.find(name); at != remembered_.end()) {
    if (at->second.request != asked)
      return call->refuse(invalid("", "this idempotency key was used for something else")), true;
    if (!at->second.answer) return call->refuse(conflict("this request is under way")), true;
    ControlAnswer again;
    *again.message.mutable_api_answer() = *at->second.answer;
    return call->send(std::move(again)), true;
  }
  // Nobody takes the others' room: an account's oldest answer goes for its newest, and at worst the oldest of all.
  const auto room_in = [this](auto first, auto last, std::size_t most) {
    auto oldest = remembered_.end();
    std::size_t held = 0;
    for (auto at = first; at != last; ++at) {
      ++held;
      if (at->second.answer && (oldest == remembered_.end() || at->second.at < oldest->second.at)) oldest = at;
    }
    if (held < most) return true;
    if (oldest == remembered_.end()) return false;
    remembered_.erase(oldest);
    return true;
  };
  const auto own_first = remembered_.lower_bound(call->who.account + '\n');
  const auto own_last = remembered_.lower_bound(call->who.account + static_cast<char>('\n' + 1));
  if (!room_in(own_first, own_last, kRememberedOfAccountMax) ||
      !room_in(remembered_.begin(), remembered_.end(), kRememberedMax))
    return call->refuse({429, "too_many", "too many requests with keys", {}, 60}), true;
  remembered_[name] = {asked, std::nullopt, now};
  answer = [this, name, answer](ControlAnswer out) {
    const ipc::ApiAnswer& said = out.message.api_answer();
    // What may be different next time, or is a secret that is shown once, is not kept.
    const bool kept = !out.fd.valid() && said.status() < 500 && said.status() != 429 && said.set_token().empty();
    if (kept) {
      remembered_[name].answer = said;
    } else {
      remembered_.erase(name);
    }
    answer(std::move(out));
  };
  return false;
}

ipc::ToEventLog ApiService::record_of(const Call& call, const std::string& whose) const {
  ipc::ToEventLog out = act_record(whose.empty() ? std::string(kProviderStream) : whose, environment_.in_force());
  auto& act = *out.mutable_audit();
  act.set_actor_kind(call.who.program ? "api" : is_provider(call.who.role) ? "provider" : "tenant");
  act.set_actor(call.who.account);
  act.set_role(std::string(to_text(call.who.role)));
  const auto source = call.who.source.wire();
  act.set_source_address(std::string(source.begin(), source.end()));
  act.set_channel("api");
  act.set_operation(std::string(operation_of(call.method())));
  act.set_object_type(call.method().name());
  act.set_request_id(id_bytes(call.asked().request_id()));
  act.set_ticket(call.permit.consent);
  if (whose.empty() && !call.tenant.empty()) act.set_after("{\"tenant\":\"" + json_word(cut(call.tenant, kTenantShown)) + "\"}");
  return out;
}

/// Before a handler works; false: it may not.
bool ApiService::begin_acts(Call& call, const api::MethodRule& rule) {
  const bool written = changes(rule) || !call.permit.consent.empty() || (rule.download() && !call.tenant.empty());
  if (!written || (call.asked().live() && rule.events())) return true;  // a stream's turns; no change hides behind it
  if (call.who.account.empty()) return !changes(rule) || environment_.audit->takes();  // signing in tells by itself
  std::vector<std::string> logs{!call.who.tenant.empty() ? call.who.tenant : call.tenant};
  if (is_provider(call.who.role) && !logs[0].empty()) logs.emplace_back();
  for (const std::string& whose : logs) {
    const auto number = environment_.audit->begin(record_of(call, whose));
    if (!number) return false;
    call.acts.push_back(*number);
  }
  return true;
}

void ApiService::write_down(const Call& call, const ControlAnswer& answer) {
  const std::uint32_t status = answer.message.api_answer().status();
  for (const Happening& one : happenings_of(call, status)) notifier_.tell(one);
  const auto outcome = [&](ipc::AuditRecord& act) {
    act.set_object_name(cut(call.about, kObjectShown));
    act.set_result(status < 400 ? "ok" : status == 403 || status == 404 ? "denied" : "fail");
    if (status >= 400) act.set_cause(std::to_string(status));
    if (!call.approved_by.empty()) act.set_comment("approved by " + call.approved_by);
  };
  // What a tenant's people try at another's stands in their own tenant's log.
  const bool known = !call.tenant.empty() && environment_.in_force().tenant(call.tenant) != nullptr;
  const std::string whose = !call.who.tenant.empty() ? call.who.tenant : known ? call.tenant : "";
  const bool room = status < 400 || call.may_have_changed || room_for_refusal(whose);
  for (const std::uint64_t number : call.acts) room ? environment_.audit->finish(number, outcome) : environment_.audit->drop(number);
  const bool astray = !call.tenant.empty() && !call.who.tenant.empty() && call.tenant != call.who.tenant;
  if (!call.acts.empty() || (!astray && status != 403) || call.who.account.empty() || !room) return;
  std::vector<std::string> logs{whose};
  if (is_provider(call.who.role) && !whose.empty()) logs.emplace_back();
  for (const std::string& one : logs) {
    ipc::ToEventLog record = record_of(call, one);
    outcome(*record.mutable_audit());
    (void)environment_.audit->add(std::move(record));
  }
}

void ApiService::tell(const std::string& account, const Address& source, std::string_view operation,
                      const std::string& detail) {
  const std::string tenant = tenant_of(account);
  const bool known = !tenant.empty() && environment_.in_force().tenant(tenant) != nullptr;
  if (operation == "lock" && (known || tenant.empty()))
    notifier_.tell({.tenant = tenant, .event = "account", .object = account, .state = "locked",
                    .title = "アカウントがロックされました / an account was locked", .memo = {}});
  if (operation == "new_source") {
    if (known || tenant.empty())
      notifier_.tell({.tenant = tenant, .event = "account", .object = account + " from " + to_string(source), .state = "new_source",
                      .title = "新しい接続元からサインインがありました / somebody signed in from a network never seen with this account", .memo = {}});
    return;  // the sign-in itself is in the log
  }
  if (operation == "lock") note_security(tenant, "AUTH_ADMIN_LOCK", "", source, account);
  if (operation == "login_fail" && detail == People::kSourceDenied) note_security(tenant, "AUTH_ADMIN_SRC_DENY", "", source, account);
  if (operation == "login_fail" && !room_for_refusal(known ? tenant : "")) return;
  ipc::ToEventLog record = act_record(known ? tenant : std::string(kProviderStream), environment_.in_force());
  auto& act = *record.mutable_audit();
  act.set_actor_kind(tenant.empty() ? "provider" : "tenant");
  act.set_actor(account.empty() ? "-" : cut(account, kActorShown));
  const auto wire = source.wire();
  act.set_source_address(std::string(wire.begin(), wire.end()));
  act.set_channel(operation == "local" ? "agent" : "api");
  act.set_operation(operation == "local" ? "setting" : std::string(operation));
  act.set_object_type("account");
  act.set_result(operation == "login_fail" ? "fail" : "ok");
  act.set_comment(detail);
  (void)environment_.audit->add(std::move(record));
}

Result<void> ApiService::forget(const std::string& tenant, bool whole) {
  SEKISHO_CHECK_OK(approvals_.erase_tenant(tenant));
  if (!whole) return {};
  const std::string of_it = '@' + tenant + '\n';
  std::erase_if(remembered_, [&](const auto& entry) { return entry.first.find(of_it) != std::string::npos; });
  std::erase_if(world_.digests, [&](const auto& entry) { return entry.first.second == tenant; });
  refusals_.erase(tenant);
  shut_out_watch_.forget(tenant);
  record_watch_.forget(tenant);
  sampler_.forget(tenant);
  SEKISHO_CHECK_OK(keys_.erase_tenant(tenant));
  return notifier_.erase_tenant(tenant);
}

bool ApiService::room_for_refusal(const std::string& whose) {
  constexpr std::int64_t kHourSeconds = 3600;
  constexpr int kOfHour = 120;
  auto& [hour, count] = refusals_[whose];
  const std::int64_t now = environment_.now() / kHourSeconds;
  if (hour != now) hour = now, count = 0;
  return count++ < kOfHour;
}

void ApiService::handle_local(const ControlRequest& request, ControlServer::Reply& reply) {
  if (!environment_.audit->takes()) return reply(failure("the operation log cannot be written: nothing was done"));
  const ipc::LocalAccount& asked = request.message.local_account();
  ControlAnswer out;
  auto& body = *out.message.mutable_local_account_done();
  const std::string tenant = tenant_of(asked.id());
  const auto take = [&](const std::variant<api::Invitation, Refusal>& made) {
    if (const auto* refusal = std::get_if<Refusal>(&made)) return body.set_error(refusal->message);
    body.set_link(std::get<api::Invitation>(made).link());
  };
  tell(asked.id(), Address::from_v4(0), "local",
       ipc::LocalAccount::What_Name(asked.what()) + " by uid " + std::to_string(request.uid));
  if (asked.what() == ipc::LocalAccount::LIST) {
    auto& table = *body.mutable_accounts();
    for (const char* title : {"Account", "Role", "State"})
      table.add_columns()->set_title(title), table.mutable_columns()->rbegin()->set_key(title);
    const auto list = [&](const std::string& whose) {
      const api::AccountList accounts = people_.accounts(whose);
      for (const auto& one : accounts.accounts()) {
        auto& row = *table.add_rows();
        row.add_cells(one.id());
        row.add_cells(one.role());
        row.add_cells(one.disabled() ? "disabled" : one.locked() ? "locked" : one.invited() ? "invited" : "active");
      }
    };
    list("");
    const InForce now = environment_.in_force();
    for (int i = 0; now.model != nullptr && i < now.model->tenants_size(); ++i)
      list(now.model->tenants(i).service_code());
  } else if (asked.what() == ipc::LocalAccount::ADD) {
    api::Account account;
    account.set_role(asked.role());
    if (!tenant.empty() && environment_.in_force().tenant(tenant) == nullptr) {
      body.set_error("there is no tenant \"" + tenant + '"');
    } else {
      take(people_.add(tenant, asked.id().substr(0, asked.id().rfind('@')), account));
    }
  } else if (asked.what() == ipc::LocalAccount::REISSUE) {
    take(people_.reissue(tenant, asked.id(), true));
  } else if (asked.what() == ipc::LocalAccount::UNLOCK) {
    const auto done = people_.unlock(tenant, asked.id());
    if (const auto* refusal = std::get_if<Refusal>(&done)) body.set_error(refusal->message);
  } else if (Refusal refusal = people_.remove(tenant, asked.id())) {
    body.set_error(refusal.message);
  }
  reply(std::move(out));
}

}  // namespace sekisho::control
