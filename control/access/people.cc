// SPDX-License-Identifier: Apache-2.0
// Overview: signing in, sessions and one's own secrets here; accounts and consents in accounts.cc.
#include "control/access/people.h"

#include <algorithm>

#include "base/crypto/sha256.h"
#include "base/describe.h"
#include "control/access/fingerprint.h"
#include "control/access/password.h"
#include "control/access/totp.h"

namespace sekisho::control {
namespace {

constexpr std::size_t kTokenBytes = 32;
constexpr std::size_t kCsrfBytes = 18;
constexpr std::size_t kSourcesHeldMax = 50'000;
constexpr int kTotpTriesMax = 10;

std::string digest(std::string_view text) {
  const Sha256Digest out = sha256({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  return {out.begin(), out.end()};
}

/// What is one attacker: an address, an IPv6 /64.
std::string source_key(const Address& source) {
  const auto wire = source.wire();
  return {wire.begin(), wire.begin() + static_cast<std::ptrdiff_t>(source.family == Family::kIpv6 ? 8 : wire.size())};
}

template <typename List>
bool any_contains(const List& prefixes, const Address& source) {
  if (prefixes.empty()) return true;
  return std::any_of(prefixes.begin(), prefixes.end(), [&](const std::string& text) {
    const auto prefix = parse_prefix(text);
    return prefix && prefix->contains(source);
  });
}

/// What a person comes from: addresses of a home or an office change within it.
std::string network_of(const Address& source) {
  constexpr std::size_t kIpv4Bytes = 3, kIpv6Bytes = 6;
  const auto wire = source.wire();
  return {wire.begin(), wire.begin() + static_cast<std::ptrdiff_t>(source.family == Family::kIpv6 ? kIpv6Bytes : kIpv4Bytes)};
}

/// Puts it last among the known ones. True: it is new, and not the first one.
bool learn_source(access::StoredAccount& account, const Address& source) {
  auto& known = *account.mutable_known_sources();
  const std::string network = network_of(source);
  const auto at = std::find(known.begin(), known.end(), network);
  const bool fresh = at == known.end();
  const bool first = known.empty();
  if (!fresh) known.erase(at);
  if (known.size() >= static_cast<int>(People::kKnownSourcesMax)) known.erase(known.begin());
  *known.Add() = network;
  return fresh && !first;
}

Refusal refused() {
  return {401, "unauthenticated", "the account, the password or the code is not right, or the account is locked"};
}

Refusal busy() {
  return {429, "too_many", "too many attempts: wait a little", {}, 10};
}

void set_time(google::protobuf::Timestamp& out, std::int64_t unix_seconds) {
  out.set_seconds(unix_seconds);
}

std::string tenant_of(const std::string& id) {
  const std::size_t at = id.rfind('@');
  return at == std::string::npos ? "" : id.substr(at + 1);
}

/// Whether a connection that has shown `certificate` will do for an account.
bool has_shown(const access::StoredAccount& account, const std::string& certificate) {
  const auto& wanted = account.certificates();
  return wanted.empty() || std::find(wanted.begin(), wanted.end(), certificate) != wanted.end();
}

}  // namespace

People::People(Store& store, Environment environment) : store_(store), environment_(std::move(environment)) {}

Result<void> People::load() {
  accounts_.clear();
  consents_.clear();
  sessions_.clear();
  SEKISHO_TRY(const auto accounts, store_.records(RecordKind::kAccount));
  for (const auto& record : accounts) {
    access::StoredAccount one;
    if (!one.ParseFromString(record.value)) return Error{ErrorCode::kMalformed, ErrorSite::kStore, 0};
    accounts_[one.id()] = std::move(one);
  }
  SEKISHO_TRY(const auto consents, store_.records(RecordKind::kConsent));
  for (const auto& record : consents) {
    access::StoredConsent one;
    if (!one.ParseFromString(record.value)) return Error{ErrorCode::kMalformed, ErrorSite::kStore, 0};
    consents_[one.id()] = std::move(one);
  }
  return load_sessions();
}

Result<void> People::load_sessions() {
  SEKISHO_TRY(const auto records, store_.records(RecordKind::kSession));
  for (const auto& record : records) {
    access::StoredSession one;
    const auto key = read_fingerprint(record.key);
    const bool read = one.ParseFromString(record.value) && key;
    const auto source = Address::from_wire({reinterpret_cast<const std::uint8_t*>(one.source().data()), one.source().size()});
    // Its time cannot be told any more, or its clock has not come so far yet.
    if (!read || !source || one.boot() != environment_.boot || one.last() > environment_.steady() || account(one.account()) == nullptr) {
      SEKISHO_CHECK_OK(store_.remove(RecordKind::kSession, record.key));
      continue;
    }
    sessions_[*key] = {.account = one.account(),
                       .source = *source,
                       .begun = one.begun(),
                       .last = one.last(),
                       .begun_unix = one.begun_unix(),
                       .last_unix = one.last_unix(),
                       .csrf = one.csrf(),
                       .by_link = one.by_link(),
                       .before_login = one.before_login(),
                       .before_source = one.before_source(),
                       .before_failures = one.before_failures(),
                       .totp_offered = {},
                       .totp_tries = 0,
                       .noted = one.last()};
  }
  return {};
}

Result<void> People::note(const std::string& key, Session& session) {
  access::StoredSession out;
  out.set_account(session.account);
  out.set_source(std::string(session.source.wire().begin(), session.source.wire().end()));
  out.set_boot(environment_.boot);
  out.set_begun(session.begun);
  out.set_last(session.last);
  out.set_begun_unix(session.begun_unix);
  out.set_last_unix(session.last_unix);
  out.set_csrf(session.csrf);
  out.set_by_link(session.by_link);
  out.set_before_login(session.before_login);
  out.set_before_source(session.before_source);
  out.set_before_failures(session.before_failures);
  SEKISHO_CHECK_OK(store_.put(RecordKind::kSession, write_fingerprint(key), out.SerializeAsString()));
  session.noted = session.last;
  return {};
}

/// A store that cannot be written loses no session's end while the daemon lives.
People::Sessions::iterator People::forget(Sessions::iterator at) {
  (void)store_.remove(RecordKind::kSession, write_fingerprint(at->first));
  return sessions_.erase(at);
}

void People::forget_if(const std::function<bool(const std::string& key, const Session& session)>& which) {
  for (auto at = sessions_.begin(); at != sessions_.end();) at = which(at->first, at->second) ? forget(at) : std::next(at);
}

access::StoredAccount* People::account(const std::string& id) {
  const auto at = accounts_.find(id);
  return at == accounts_.end() ? nullptr : &at->second;
}

const access::StoredAccount* People::account(const std::string& id) const {
  const auto at = accounts_.find(id);
  return at == accounts_.end() ? nullptr : &at->second;
}

Result<void> People::save(const access::StoredAccount& account) {
  return store_.put(RecordKind::kAccount, account.id(), account.SerializeAsString());
}

People::Session* People::session(const std::string& token) {
  const auto at = sessions_.find(digest(token));
  return at == sessions_.end() ? nullptr : &at->second;
}

bool People::is_usable(const access::StoredAccount& account) const {
  return !account.disabled() && (account.valid_until() == 0 || account.valid_until() > environment_.now());
}

bool People::may_enter(const access::StoredAccount& account, const Address& source) const {
  if (!is_usable(account)) return false;
  if (!any_contains(account.sources(), source)) return false;
  const std::string tenant = tenant_of(account.id());
  if (tenant.empty()) return any_contains(environment_.rules().sources(), source);
  const auto rules = environment_.tenant_rules(tenant);
  return rules && any_contains(rules->sources(), source);
}

bool People::is_locked(const access::StoredAccount& account, const Address& source) const {
  const std::int64_t now = environment_.now();
  if (account.locked_until() > now) return true;
  return std::any_of(account.locked_sources().begin(), account.locked_sources().end(),
                     [&](const auto& one) { return one.until() > now && one.prefix() == source_key(source); });
}

bool People::is_last_administrator(const access::StoredAccount& account) const {
  const auto role = role_named(account.role());
  if (role != Role::kOwner && role != Role::kSecurity) return false;
  const std::string tenant = tenant_of(account.id());
  const std::int64_t now = environment_.now();
  return std::none_of(accounts_.begin(), accounts_.end(), [&](const auto& entry) {
    const access::StoredAccount& other = entry.second;
    return other.id() != account.id() && other.role() == account.role() && tenant_of(other.id()) == tenant &&
           !other.disabled() && !other.password().empty() && other.locked_until() <= now &&
           (other.valid_until() == 0 || other.valid_until() > now);
  });
}

bool People::needs_totp(const access::StoredAccount& account) const {
  const std::string tenant = tenant_of(account.id());
  if (tenant.empty() || role_named(account.role()) == Role::kOwner) return true;
  const auto rules = environment_.tenant_rules(tenant);
  return !rules || rules->second_factor();
}

std::string People::must(const access::StoredAccount& account) const {
  if (account.password().empty()) return "password";
  return account.totp_secret().empty() && needs_totp(account) ? "totp" : "";
}

bool People::throttle(const Address& source) {
  constexpr std::int64_t kMinute = 60;
  const std::int64_t now = environment_.steady();
  if (attempts_.size() >= kSourcesHeldMax) {
    std::erase_if(attempts_,
                  [&](const auto& entry) { return entry.second.empty() || entry.second.back() <= now - kMinute; });
    if (attempts_.size() >= kSourcesHeldMax) return false;
  }
  auto& recent = attempts_[source_key(source)];
  while (!recent.empty() && recent.front() <= now - kMinute) recent.pop_front();
  if (recent.size() >= static_cast<std::size_t>(kAttemptsPerMinute)) return false;
  recent.push_back(now);
  return true;
}

Refusal People::note_failure(access::StoredAccount& account, const Address& source) {
  const std::int64_t now = environment_.now();
  const model::SignIn rules = environment_.rules();
  auto& failures = *account.mutable_failures();
  while (!failures.empty() && failures[0] <= now - kFailureWindowSeconds) failures.erase(failures.begin());
  failures.Add(now);
  account.set_failures_since(account.failures_since() + 1);
  if (failures.size() >= static_cast<int>(rules.failures_max())) {
    const std::int64_t until = now + std::int64_t{60} * rules.lock_minutes();
    failures.Clear();
    // The last who could unlock others is shut out only from where the wrong secrets came: an attacker cannot strand a
    // tenant.
    if (is_last_administrator(account)) {
      auto& sources = *account.mutable_locked_sources();
      constexpr int kLockedSourcesMax = 1000;
      for (int i = sources.size(); i-- > 0;) {
        if (sources[i].until() <= now) sources.DeleteSubrange(i, 1);
      }
      if (sources.size() >= kLockedSourcesMax) sources.DeleteSubrange(0, 1);
      auto& one = *sources.Add();
      one.set_prefix(source_key(source));
      one.set_until(until);
    } else {
      account.set_locked_until(until);
      end_sessions(account.id());
    }
    environment_.tell(account.id(), source, "lock", std::to_string(rules.failures_max()) + " wrong secrets");
  }
  if (const auto saved = save(account); !saved)
    return unavailable("the store cannot be written: " + sekisho::describe(saved.error()));
  return refused();
}

void People::sign_in(const api::LoginRequest& request, const Address& source, SignInDone done,
                     const std::string& certificate) {
  if (!throttle(source)) return done(busy());
  const auto* known = account(request.account());
  const std::string hash = known == nullptr ? "" : known->password();
  const auto right = std::make_shared<bool>(false);
  const bool taken = environment_.elsewhere(
      [right, hash, password = request.password()] { *right = verify_password(password, hash); },
      [this, right, hash, request, source, done, certificate] {
        done(judge(request, source, *right, hash, certificate));
      });
  if (!taken) done(busy());
}

std::variant<People::SignedIn, Refusal> People::judge(const api::LoginRequest& request, const Address& source,
                                                      bool password_right, const std::string& hash,
                                                      const std::string& certificate) {
  auto* who = account(request.account());  // anew: it may have gone or changed while its password was looked at
  const auto tell = [&](const char* why) { environment_.tell(request.account(), source, "login_fail", why); };
  // One write, as a wrong password takes: how long a refusal lasts tells nobody who exists (specification, F-45).
  const auto refuse = [&](const char* why) {
    tell(why);
    const auto saved = store_.put(RecordKind::kRefused, "last", std::to_string(environment_.now()));
    return saved ? refused() : unavailable("the store cannot be written: " + sekisho::describe(saved.error()));
  };
  if (who == nullptr) return refuse("no such account");
  if (is_locked(*who, source)) return refuse("locked");
  if (!may_enter(*who, source)) return refuse(is_usable(*who) ? kSourceDenied : "disabled or expired");
  if (!has_shown(*who, certificate)) return refuse("without its certificate");
  if (who->password().empty() || who->password() != hash) return refuse("no password");
  if (!password_right) {
    tell("wrong password");
    return note_failure(*who, source);
  }
  if (!who->totp_secret().empty()) {
    if (request.code().empty()) return Refusal{401, "code_needed", "the code of the second factor is asked for"};
    const auto step = find_totp_step(who->totp_secret(), request.code(), environment_.now(), who->totp_last());
    if (!step) {
      tell("wrong code");
      return note_failure(*who, source);
    }
    who->set_totp_last(*step);
  }
  return begin_session(*who, source, false);
}

std::variant<People::SignedIn, Refusal> People::sign_in_by_link(const std::string& link, const Address& source,
                                                                const std::string& certificate) {
  if (!throttle(source)) return busy();
  const std::string wanted = digest(link);
  for (auto& [id, one] : accounts_) {
    if (link.empty() || one.link() != wanted) continue;
    if (one.link_until() <= environment_.now() || !may_enter(one, source) || !has_shown(one, certificate)) break;
    one.clear_link();
    return begin_session(one, source, true);
  }
  environment_.tell("", source, "login_fail", "a link that is not open");
  return Refusal{401, "unauthenticated", "this link was used, has expired, or is none"};
}

std::variant<People::SignedIn, Refusal> People::begin_session(access::StoredAccount& account, const Address& source,
                                                              bool by_link) {
  const std::int64_t now = environment_.now();
  Session fresh{.account = account.id(),
                .source = source,
                .begun = environment_.steady(),
                .last = environment_.steady(),
                .begun_unix = now,
                .last_unix = now,
                .csrf = random_token(kCsrfBytes),
                .by_link = by_link,
                .before_login = account.last_login(),
                .before_source = account.last_source(),
                .before_failures = account.failures_since(),
                .totp_offered = {},
                .totp_tries = 0,
                .noted = 0};
  if (!by_link) account.clear_failures();
  account.set_last_login(now);
  account.set_last_source(std::string(source.wire().begin(), source.wire().end()));
  account.set_failures_since(0);
  const bool new_source = learn_source(account, source);
  if (const auto saved = save(account); !saved)
    return unavailable("the store cannot be written: " + sekisho::describe(saved.error()));
  std::vector<Sessions::iterator> own;
  for (auto at = sessions_.begin(); at != sessions_.end(); ++at) {
    if (at->second.account == account.id()) own.push_back(at);
  }
  if (own.size() >= kSessionsOfAccountMax) {
    forget(*std::min_element(own.begin(), own.end(), [](auto a, auto b) { return a->second.last < b->second.last; }));
  }
  if (auto& recent = attempts_[source_key(source)]; !recent.empty()) recent.pop_back();  // who comes in was no attacker
  const std::string token = random_token(kTokenBytes);
  if (const auto noted = note(digest(token), fresh); !noted)
    return unavailable("the store cannot be written: " + sekisho::describe(noted.error()));
  const auto at = sessions_.emplace(digest(token), std::move(fresh)).first;
  environment_.tell(account.id(), source, "login", by_link ? "link" : account.totp_secret().empty() ? "pw" : "pw+totp");
  if (new_source) environment_.tell(account.id(), source, "new_source", "");
  return SignedIn{token, principal(account, at->second)};
}

Principal People::principal(const access::StoredAccount& account, const Session& session) const {
  std::string first = must(account);
  if (first.empty() && session.by_link)
    first = "password";  // a link was given because the old one is not to be trusted
  Principal out;
  out.account = account.id();
  out.role = role_named(account.role()).value_or(Role::kRead);
  out.tenant = tenant_of(account.id());
  out.must = first;
  out.csrf = session.csrf;
  out.source = session.source;
  out.vpn_user = account.vpn_user();
  return out;
}

std::optional<Principal> People::find(const std::string& token, const Address& source, bool live,
                                      const std::string& certificate) {
  const auto at = token.empty() ? sessions_.end() : sessions_.find(digest(token));
  if (at == sessions_.end()) return std::nullopt;
  Session& session = at->second;
  const model::SignIn rules = environment_.rules();
  const std::int64_t now = environment_.steady();
  const auto* who = account(session.account);
  const bool over = now - session.last >= std::int64_t{60} * rules.idle_minutes() ||
                    now - session.begun >= std::int64_t{60} * rules.session_minutes_max();
  if (over || who == nullptr || !may_enter(*who, source)) {
    environment_.tell(session.account, source, "logout", over ? "its time was over" : "the account may no longer");
    forget(at);
    return std::nullopt;
  }
  if (!has_shown(*who, certificate)) return std::nullopt;  // the session stays: who holds a cookie alone ends nobody's
  if (!live) {
    session.last = now;
    session.last_unix = environment_.now();
  }
  session.source = source;
  constexpr std::int64_t kNoteSeconds = 60;
  if (session.last - session.noted >= kNoteSeconds) (void)note(at->first, session);
  Principal out = principal(*who, session);
  out.certificate = certificate;
  return out;
}

void People::sign_out(const std::string& token) {
  const auto at = sessions_.find(digest(token));
  if (at == sessions_.end()) return;
  environment_.tell(at->second.account, at->second.source, "logout", "");
  forget(at);
}

api::Me People::describe(const Principal& who, const std::string& token) {
  api::Me out;
  const auto* stored = account(who.account);
  const auto* now = session(token);
  if (stored == nullptr || now == nullptr) return out;
  out.set_account(who.account);
  out.set_role(std::string(to_text(who.role)));
  out.set_display_name(stored->display_name());
  if (!who.tenant.empty()) out.add_tenants(who.tenant);
  for (int action = 0; action < api::Action_ARRAYSIZE; ++action) {
    const Grant grant = grant_of(who.role, static_cast<api::Action>(action));
    if (grant == Grant::kYes) out.add_may(to_text(static_cast<api::Action>(action)));
    if (grant == Grant::kConsent || grant == Grant::kChange)
      out.add_with_consent(to_text(static_cast<api::Action>(action)));
  }
  out.set_must(who.must);
  out.set_csrf(who.csrf);
  const model::SignIn rules = environment_.rules();
  set_time(*out.mutable_idle_end(), now->last_unix + std::int64_t{60} * rules.idle_minutes());
  set_time(*out.mutable_end(), now->begun_unix + std::int64_t{60} * rules.session_minutes_max());
  out.set_totp(!stored->totp_secret().empty());
  if (now->before_login != 0) set_time(*out.mutable_last_login(), now->before_login);
  if (const auto last = Address::from_wire(
          {reinterpret_cast<const std::uint8_t*>(now->before_source.data()), now->before_source.size()})) {
    out.set_last_source(to_string(*last));
  }
  out.set_failures_since(now->before_failures);
  return out;
}

api::LoginSessionList People::sessions_of(const std::string& id, const std::string& token) {
  api::LoginSessionList out;
  const std::string current = digest(token);
  for (const auto& [key, one] : sessions_) {
    if (one.account != id) continue;
    auto& shown = *out.add_sessions();
    shown.set_source(to_string(one.source));
    set_time(*shown.mutable_since(), one.begun_unix);
    set_time(*shown.mutable_last(), one.last_unix);
    shown.set_current(key == current);
  }
  return out;
}

void People::end_all_sessions() {
  for (const auto& [id, one] : accounts_) end_sessions(id);
}

void People::end_sessions(const std::string& id, const std::string& but_token) {
  const std::string kept = but_token.empty() ? "" : digest(but_token);
  forget_if([&](const std::string& key, const Session& one) { return one.account == id && key != kept; });
}

void People::set_password(const Principal& who, const std::string& token, const api::SetPasswordRequest& request,
                          std::function<void(Refusal)> done) {
  const model::SignIn rules = environment_.rules();
  const std::string why = judge_password(request.new_password(), who.account,
                                         {rules.password_characters_min(), rules.password_classes_min()});
  if (!why.empty()) return done(invalid("new_password", why));
  const auto* stored = account(who.account);
  const auto* now = session(token);
  if (stored == nullptr || now == nullptr) return done(not_signed_in());
  if (!throttle(who.source)) return done(busy());
  struct Work {
    bool right = false;
    bool same = false;
    std::string hash;
  };
  const auto work = std::make_shared<Work>();
  const bool by_link = now->by_link;
  const bool taken = environment_.elsewhere(
      [work, request, by_link, old = stored->password()] {
        work->right = by_link || verify_password(request.old_password(), old);
        work->same = work->right && !old.empty() && verify_password(request.new_password(), old);
        if (work->right) work->hash = hash_password(request.new_password());
      },
      [this, work, token, done, id = who.account, source = who.source] {
        auto* changed = account(id);
        auto* still = session(token);
        if (changed == nullptr || still == nullptr) return done(not_signed_in());
        if (!work->right) {
          (void)note_failure(*changed, source);
          return done(invalid("old_password", "the old password is not right"));
        }
        if (work->same) return done(invalid("new_password", "this is the old password"));
        if (work->hash.empty()) return done(unavailable("there is not enough memory"));
        changed->set_password(work->hash);
        if (const auto saved = save(*changed); !saved)
          return done(unavailable("the store cannot be written: " + sekisho::describe(saved.error())));
        still->by_link = false;
        (void)note(digest(token), *still);
        end_sessions(id, token);
        done({});
      });
  if (!taken) done(busy());
}

std::variant<api::TotpSecret, Refusal> People::begin_totp(const std::string& token) {
  auto* now = session(token);
  if (now == nullptr) return not_signed_in();
  const auto* who = account(now->account);
  if (who == nullptr || who->password().empty() || now->by_link) return denied("the password comes first");
  constexpr std::int64_t kFreshSeconds = 600;  // a cookie that was stolen later changes no second factor
  if (!who->totp_secret().empty() && environment_.steady() - now->begun > kFreshSeconds)
    return denied("sign in anew to change the second factor");
  now->totp_offered = random_bytes(kTotpSecretBytes);
  now->totp_tries = 0;
  api::TotpSecret out;
  out.set_secret(base32(now->totp_offered));
  out.set_uri(totp_uri(now->totp_offered, now->account));
  return out;
}

Refusal People::confirm_totp(const std::string& token, const std::string& code) {
  auto* now = session(token);
  auto* who = now == nullptr ? nullptr : account(now->account);
  if (who == nullptr) return not_signed_in();
  if (now->totp_offered.empty()) return conflict("ask for a new second factor first");
  const auto step = find_totp_step(now->totp_offered, code, environment_.now(), 0);
  if (!step) {
    if (++now->totp_tries >= kTotpTriesMax) now->totp_offered.clear();
    return invalid("code", "this is not the code of the new second factor: is the clock of the device right?");
  }
  access::StoredAccount changed = *who;
  changed.set_totp_secret(now->totp_offered);
  changed.set_totp_last(*step);
  if (const auto saved = save(changed); !saved)
    return unavailable("the store cannot be written: " + sekisho::describe(saved.error()));
  *who = std::move(changed);
  now->totp_offered.clear();
  environment_.tell(who->id(), now->source, "update", "second factor");
  end_sessions(who->id(), token);
  return {};
}

Permit People::may(const Principal& who, api::Action action, const std::string& tenant) {
  const Grant grant = grant_of(who.role, action);
  if (grant == Grant::kNo) return {};
  if (tenant.empty()) return {grant == Grant::kYes, {}};
  if (!is_provider(who.role)) return {grant == Grant::kYes && who.tenant == tenant, {}};
  if (grant == Grant::kYes) return {true, {}};
  const std::int64_t now = environment_.now();
  for (const auto& [id, consent] : consents_) {
    if (consent.tenant() != tenant || consent.from() > now || consent.until() <= now) continue;
    if (grant == Grant::kConsent || consent.edit()) return {true, id};
  }
  return {};
}

void People::use_consent(const std::string& id) {
  const auto at = consents_.find(id);
  if (at == consents_.end()) return;
  constexpr std::int64_t kNoteSeconds = 10;  // a page asks several things at once
  auto& consent = at->second;
  const std::int64_t now = environment_.now();
  if (consent.uses() > 0 && now - consent.last_use() < kNoteSeconds) return;
  consent.set_uses(consent.uses() + 1);
  consent.set_last_use(now);
  (void)store_.put(RecordKind::kConsent, id, consent.SerializeAsString());
}

}  // namespace sekisho::control
