// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/crypto/sha256.h"
#include "base/describe.h"
#include "control/access/fingerprint.h"
#include "control/access/password.h"
#include "control/access/people.h"
#include "control/access/rfc3339.h"
#include "control/config/text.h"

namespace sekisho::control {
namespace {

constexpr std::size_t kAccountsOfTenantMax = 200;  // specification 3.17
constexpr std::size_t kLinkBytes = 24;
constexpr int kAccountSourcesMax = 64;
constexpr std::size_t kConsentsOfTenantMax = 1000;

std::string tenant_of(const std::string& id) {
  const std::size_t at = id.rfind('@');
  return at == std::string::npos ? "" : id.substr(at + 1);
}

/// The part before the @.
bool is_account_name(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
}

bool is_line(const std::string& text, std::size_t characters) {
  return find_bad_text(text) == std::string::npos && text.find_first_of("\t\r\n") == std::string::npos &&
         count_characters(text) <= characters;
}

Refusal store_failed(const Error& error) {
  return unavailable("the store cannot be written: " + sekisho::describe(error));
}

}  // namespace

access::StoredAccount* People::account_of(const std::string& tenant, const std::string& id) {
  auto* one = account(id);
  return one != nullptr && tenant_of(id) == tenant ? one : nullptr;
}

api::Account People::shown(const access::StoredAccount& account) const {
  const std::int64_t now = environment_.now();
  api::Account out;
  out.set_id(account.id());
  out.set_role(account.role());
  out.set_display_name(account.display_name());
  *out.mutable_sources() = account.sources();
  if (account.valid_until() != 0) out.set_valid_until(rfc3339(account.valid_until()));
  out.set_disabled(account.disabled());
  out.set_locked(account.locked_until() > now);
  out.set_totp(!account.totp_secret().empty());
  out.set_invited(account.password().empty());
  if (account.last_login() != 0) out.mutable_last_login()->set_seconds(account.last_login());
  out.set_mail(account.mail());
  for (const auto& one : account.certificates()) out.add_certificates(write_fingerprint(one));
  out.set_vpn_user(account.vpn_user());
  out.set_sessions(static_cast<std::uint32_t>(std::count_if(
      sessions_.begin(), sessions_.end(), [&](const auto& entry) { return entry.second.account == account.id(); })));
  return out;
}

api::AccountList People::accounts(const std::string& tenant) const {
  api::AccountList out;
  for (const auto& [id, one] : accounts_) {
    if (tenant_of(id) == tenant) *out.add_accounts() = shown(one);
  }
  for (std::size_t i = 0; i < kRoles; ++i) {
    if (is_provider(static_cast<Role>(i)) == tenant.empty()) out.add_roles(std::string(to_text(static_cast<Role>(i))));
  }
  return out;
}

Refusal People::set_fields(access::StoredAccount& out, const std::string& tenant, const api::Account& account) const {
  const auto role = role_named(account.role());
  if (!role || is_provider(*role) != tenant.empty()) return invalid("account.role", "there is no such role here");
  if (!is_line(account.display_name(), 64)) return invalid("account.display_name", "a name has at most 64 characters");
  if (!account.mail().empty() && !is_mail_address(account.mail())) return invalid("account.mail", "this is no mail address");
  if (account.sources_size() > kAccountSourcesMax)
    return invalid("account.sources", "at most 64 prefixes are accepted");
  for (int i = 0; i < account.sources_size(); ++i) {
    if (!parse_prefix(account.sources(i)))
      return invalid("account.sources[" + std::to_string(i) + ']', "this is no prefix");
  }
  std::int64_t until = 0;
  if (!account.valid_until().empty()) {
    const auto parsed = parse_rfc3339(account.valid_until());
    if (!parsed) return invalid("account.valid_until", "times are written as in RFC 3339");
    until = *parsed;
  }
  constexpr int kCertificatesMax = 8;
  if (account.certificates_size() > kCertificatesMax)
    return invalid("account.certificates", "at most 8 certificates are accepted");
  out.clear_certificates();
  for (int i = 0; i < account.certificates_size(); ++i) {
    auto fingerprint = read_fingerprint(account.certificates(i));
    if (!fingerprint)
      return invalid("account.certificates[" + std::to_string(i) + ']', "this is no SHA-256 in hexadecimal");
    out.add_certificates(std::move(*fingerprint));
  }
  if (*role != Role::kSelf && !account.vpn_user().empty())
    return invalid("account.vpn_user", "of accounts with the role self alone");
  if (!is_line(account.vpn_user(), 64)) return invalid("account.vpn_user", "a name has at most 64 characters");
  out.set_vpn_user(account.vpn_user());
  if (*role == Role::kSelf && account.vpn_user().empty()) out.set_vpn_user(out.id().substr(0, out.id().rfind('@')));
  out.set_role(account.role());
  out.set_display_name(account.display_name());
  out.set_mail(account.mail());
  *out.mutable_sources() = account.sources();
  out.set_valid_until(until);
  out.set_disabled(account.disabled());
  return {};
}

std::variant<api::Invitation, Refusal> People::invite(access::StoredAccount& account, const std::string& by) {
  const std::string link = random_token(kLinkBytes);
  const Sha256Digest digest = sha256({reinterpret_cast<const std::uint8_t*>(link.data()), link.size()});
  access::StoredAccount changed = account;
  changed.set_link(std::string(digest.begin(), digest.end()));
  changed.set_link_until(environment_.now() + kLinkSeconds);
  changed.set_made_by(by);
  changed.set_made_at(environment_.now());
  if (const auto saved = save(changed); !saved) return store_failed(saved.error());
  account = std::move(changed);
  api::Invitation out;
  *out.mutable_account() = shown(account);
  out.set_link(link);
  out.mutable_until()->set_seconds(account.link_until());
  return out;
}

std::variant<api::Invitation, Refusal> People::add(const std::string& tenant, const std::string& name,
                                                   const api::Account& account, const std::string& by) {
  if (!is_account_name(name)) return invalid("id", "an account is named by 1 to 64 of a-z, 0-9, dot, - and _");
  const std::string id = tenant.empty() ? name : name + '@' + tenant;
  if (accounts_.contains(id)) return conflict("there is such an account");
  const auto same = [&](const auto& entry) { return tenant_of(entry.first) == tenant; };
  if (static_cast<std::size_t>(std::count_if(accounts_.begin(), accounts_.end(), same)) >= kAccountsOfTenantMax ||
      accounts_.size() >= kAccountsMax) {
    return conflict("there are as many accounts as there may be");
  }
  access::StoredAccount fresh;
  fresh.set_id(id);
  if (Refusal refusal = set_fields(fresh, tenant, account)) return refusal;
  fresh.set_created(environment_.now());
  auto made = invite(fresh, by);
  if (std::holds_alternative<api::Invitation>(made)) accounts_[id] = std::move(fresh);
  return made;
}

std::variant<api::Account, Refusal> People::change(const std::string& tenant, const std::string& id,
                                                   const api::Account& account, const Principal& who) {
  auto* one = account_of(tenant, id);
  if (one == nullptr) return not_found();
  access::StoredAccount changed = *one;
  if (Refusal refusal = set_fields(changed, tenant, account)) return refusal;
  const bool weaker = changed.disabled() || changed.role() != one->role() ||
                      (changed.valid_until() != 0 && changed.valid_until() != one->valid_until());
  if (weaker && is_last_administrator(*one)) return conflict("this is the last account that can manage the others");
  const auto contains = [&](const std::string& text) { return parse_prefix(text)->contains(who.source); };
  if (id == who.account && changed.sources_size() > 0 &&
      std::none_of(changed.sources().begin(), changed.sources().end(), contains)) {
    return invalid("account.sources", "where you are now would be shut out");
  }
  if (id == who.account && changed.certificates_size() > 0 &&
      std::find(changed.certificates().begin(), changed.certificates().end(), who.certificate) ==
          changed.certificates().end()) {
    return invalid("account.certificates", "this connection has shown none of these: you would be shut out");
  }
  if (const auto saved = save(changed); !saved) return store_failed(saved.error());
  *one = std::move(changed);
  if (one->disabled()) end_sessions(id);
  return shown(*one);
}

Refusal People::remove(const std::string& tenant, const std::string& id) {
  auto* one = account_of(tenant, id);
  if (one == nullptr) return not_found();
  if (is_last_administrator(*one)) return conflict("this is the last account that can manage the others");
  if (const auto removed = store_.remove(RecordKind::kAccount, id); !removed) return store_failed(removed.error());
  accounts_.erase(id);
  end_sessions(id);
  return {};
}

std::variant<api::Invitation, Refusal> People::reissue(const std::string& tenant, const std::string& id,
                                                       bool rescue, const std::string& by) {
  auto* one = account_of(tenant, id);
  if (one == nullptr) return not_found();
  // Its link may get lost, or nobody opens it in time. On the unit itself there is always another.
  if (!rescue && !one->password().empty() && is_last_administrator(*one))
    return conflict("this is the last account that can manage the others");
  access::StoredAccount changed = *one;
  changed.clear_password();
  changed.clear_totp_secret();  // totp_last stays: the steps it was used for are gone whatever the secret
  changed.clear_failures();
  changed.clear_locked_until();
  changed.clear_locked_sources();
  auto made = invite(changed, by);
  if (!std::holds_alternative<api::Invitation>(made)) return made;
  *one = std::move(changed);
  end_sessions(id);
  return made;
}

std::variant<api::Account, Refusal> People::unlock(const std::string& tenant, const std::string& id) {
  auto* one = account_of(tenant, id);
  if (one == nullptr) return not_found();
  access::StoredAccount changed = *one;
  changed.clear_failures();
  changed.clear_locked_until();
  changed.clear_locked_sources();
  if (const auto saved = save(changed); !saved) return store_failed(saved.error());
  *one = std::move(changed);
  return shown(*one);
}

std::vector<std::string> People::managers(const std::string& tenant, api::Action action) const {
  const auto manages = [&](const std::string& name) {
    const auto role = role_named(name);
    return role && (tenant.empty() ? *role == Role::kPlatform : grant_of(*role, action) == Grant::kYes);
  };
  std::vector<std::string> out;
  for (const auto& [id, one] : accounts_) {
    if (tenant_of(id) == tenant && manages(one.role()) && !one.disabled() && is_mail_address(one.mail()))
      out.push_back(one.mail());
  }
  return out;
}

std::optional<Role> People::role_now(const std::string& id) const {
  const auto* one = account(id);
  const std::int64_t now = environment_.now();
  if (one == nullptr || one->disabled() || one->password().empty() || one->locked_until() > now ||
      (one->valid_until() != 0 && one->valid_until() <= now))
    return std::nullopt;
  return role_named(one->role());
}

std::string People::behind(const std::string& id) const {
  std::vector<std::string> hands{id};
  for (;;) {
    const auto* one = account(hands.back());
    if (one == nullptr || one->made_by().empty() || environment_.now() - one->made_at() >= kLinkMakerSeconds) return hands.back();
    // Who gave each other links are in one hand, whichever of them one begins with.
    const auto again = std::find(hands.begin(), hands.end(), one->made_by());
    if (again != hands.end()) return *std::min_element(again, hands.end());
    hands.push_back(one->made_by());
  }
}

bool People::another_may(api::Action action, const std::string& tenant, const std::string& but) const {
  const std::string hand = behind(but);
  return std::any_of(accounts_.begin(), accounts_.end(), [&](const auto& entry) {
    const auto role = role_now(entry.first);
    return entry.first != but && behind(entry.first) != hand && tenant_of(entry.first) == tenant &&
           role && grant_of(*role, action) == Grant::kYes;
  });
}

std::vector<std::pair<std::string, std::int64_t>> People::ends() const {
  std::vector<std::pair<std::string, std::int64_t>> out;
  for (const auto& [id, one] : accounts_) {
    if (one.valid_until() != 0 && !one.disabled()) out.emplace_back(id, one.valid_until());
  }
  return out;
}

api::ConsentList People::consents(const std::string& tenant) const {
  const std::int64_t now = environment_.now();
  api::ConsentList out;
  for (const auto& [id, one] : consents_) {
    if (one.tenant() != tenant) continue;
    auto& consent = *out.add_consents();
    consent.set_id(id);
    consent.set_ticket(one.ticket());
    consent.set_reason(one.reason());
    consent.set_granted_by(one.granted_by());
    consent.mutable_from()->set_seconds(one.from());
    consent.mutable_until()->set_seconds(one.until());
    consent.set_edit(one.edit());
    consent.set_active(one.from() <= now && now < one.until());
    consent.set_uses(one.uses());
    if (one.last_use() != 0) consent.mutable_last_use()->set_seconds(one.last_use());
  }
  std::stable_sort(out.mutable_consents()->begin(), out.mutable_consents()->end(),
                   [](const auto& a, const auto& b) { return a.from().seconds() > b.from().seconds(); });
  return out;
}

std::variant<api::Consent, Refusal> People::grant(const Principal& who, const api::ConsentRequest& request) {
  const std::int64_t seconds = std::int64_t{60} * request.minutes();
  if (seconds < 60 || seconds > kConsentSecondsMax) return invalid("minutes", "a consent lasts 1 to 240 minutes");
  if (!is_line(request.ticket(), 32)) return invalid("ticket", "a ticket has at most 32 characters");
  if (!is_line(request.reason(), 256)) return invalid("reason", "a reason has at most 256 characters");
  const api::ConsentList held = consents(request.tenant());
  if (static_cast<std::size_t>(held.consents_size()) >= kConsentsOfTenantMax) {  // the oldest one is over long since
    const std::string& oldest = held.consents(held.consents_size() - 1).id();
    if (const auto removed = store_.remove(RecordKind::kConsent, oldest); !removed)
      return store_failed(removed.error());
    consents_.erase(std::string(oldest));
  }
  access::StoredConsent fresh;
  fresh.set_id(random_token(12));
  fresh.set_tenant(request.tenant());
  fresh.set_ticket(request.ticket());
  fresh.set_reason(request.reason());
  fresh.set_granted_by(who.account);
  fresh.set_from(environment_.now());
  fresh.set_until(environment_.now() + seconds);
  fresh.set_edit(request.edit());
  if (const auto saved = store_.put(RecordKind::kConsent, fresh.id(), fresh.SerializeAsString()); !saved)
    return store_failed(saved.error());
  const std::string id = fresh.id();
  consents_[id] = std::move(fresh);
  const api::ConsentList now = consents(request.tenant());
  return *std::find_if(now.consents().begin(), now.consents().end(), [&](const auto& one) { return one.id() == id; });
}

Refusal People::end_consent(const std::string& tenant, const std::string& id) {
  const auto at = consents_.find(id);
  if (at == consents_.end() || at->second.tenant() != tenant) return not_found();
  at->second.set_until(std::min(at->second.until(), environment_.now()));
  if (const auto saved = store_.put(RecordKind::kConsent, id, at->second.SerializeAsString()); !saved)
    return store_failed(saved.error());
  return {};
}

std::vector<std::string> People::consenting() const {
  const std::int64_t now = environment_.now();
  std::vector<std::string> out;
  for (const auto& [id, one] : consents_) {
    if (one.from() <= now && now < one.until()) out.push_back(one.tenant());
  }
  return out;
}

Result<void> People::erase_tenant(const std::string& tenant) {
  for (auto at = accounts_.begin(); at != accounts_.end();) {
    if (tenant_of(at->first) != tenant) {
      ++at;
      continue;
    }
    SEKISHO_CHECK_OK(store_.remove(RecordKind::kAccount, at->first));
    end_sessions(at->first);
    at = accounts_.erase(at);
  }
  for (auto at = consents_.begin(); at != consents_.end();) {
    if (at->second.tenant() != tenant) {
      ++at;
      continue;
    }
    SEKISHO_CHECK_OK(store_.remove(RecordKind::kConsent, at->first));
    at = consents_.erase(at);
  }
  return {};
}

}  // namespace sekisho::control
