// SPDX-License-Identifier: Apache-2.0
#include "control/access/api_keys.h"

#include <openssl/crypto.h>

#include <algorithm>

#include "base/crypto/sha256.h"
#include "base/describe.h"
#include "control/access/fingerprint.h"
#include "control/access/password.h"
#include "control/access/rfc3339.h"

namespace sekisho::control {
namespace {

constexpr std::string_view kPrefix = "sk.";
constexpr std::size_t kSecretBytes = 32;
constexpr std::int64_t kDaySeconds = 86'400;
constexpr std::int64_t kNoteUseSeconds = 60;
constexpr std::size_t kSourcesHeldMax = 20'000;
constexpr int kKeySourcesMax = 64;

std::string digest(std::string_view text) {
  const Sha256Digest out = sha256({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  return {out.begin(), out.end()};
}

bool same(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

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

bool is_key_name(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
}

/// What a program may be: nothing that manages people, and nothing that rests on a person's judgement.
bool is_for_programs(Role role) {
  return role == Role::kAdmin || role == Role::kRule || role == Role::kUser || role == Role::kLog ||
         role == Role::kRead || role == Role::kPlatform || role == Role::kAuditor;
}

std::string account_of(const access::StoredApiKey& key) {
  return "key:" + key.name() + (key.tenant().empty() ? "" : '@' + key.tenant());
}

Refusal wrong() {
  return {401, "unauthenticated", "this key or certificate is not known here, has expired, or may not come from there"};
}

Refusal store_failed(const Error& error) {
  return unavailable("the store cannot be written: " + sekisho::describe(error));
}

}  // namespace

ApiKeys::ApiKeys(Store& store, Environment environment) : store_(store), environment_(std::move(environment)) {}

Result<void> ApiKeys::load() {
  SEKISHO_TRY(const auto records, store_.records(RecordKind::kApiKey));
  for (const auto& record : records) {
    access::StoredApiKey one;
    if (!one.ParseFromString(record.value)) return Error{ErrorCode::kMalformed, ErrorSite::kStore, 0};
    keys_[one.id()] = std::move(one);
  }
  return {};
}

const access::StoredApiKey* ApiKeys::match(const Credentials& shown) const {
  if (shown.key.empty()) {  // one certificate is one program: add() sees to that
    for (const auto& [id, one] : keys_) {
      if (one.secret().empty() && !shown.certificate.empty() && same(one.certificate(), shown.certificate)) return &one;
    }
    return nullptr;
  }
  const std::string_view text = shown.key;
  const std::size_t dot = text.find('.', kPrefix.size());
  if (!text.starts_with(kPrefix) || dot == std::string_view::npos) return nullptr;
  const auto at = keys_.find(std::string(text.substr(kPrefix.size(), dot - kPrefix.size())));
  const std::string proved = digest(text.substr(dot + 1));
  if (at == keys_.end() || at->second.secret().empty() || !same(at->second.secret(), proved)) return nullptr;
  const access::StoredApiKey& one = at->second;
  return one.certificate().empty() || same(one.certificate(), shown.certificate) ? &one : nullptr;
}

bool ApiKeys::may_enter(const access::StoredApiKey& key, const Address& source) const {
  if (key.valid_until() <= environment_.now() || !any_contains(key.sources(), source)) return false;
  if (key.tenant().empty()) return any_contains(environment_.rules().sources(), source);
  const auto rules = environment_.tenant_rules(key.tenant());
  return rules && any_contains(rules->sources(), source);
}

bool ApiKeys::failed_too_often(const Address& source, double steady, bool count) {
  constexpr double kMinuteSeconds = 60;
  if (failures_.size() >= kSourcesHeldMax) {
    std::erase_if(failures_, [&](const auto& entry) { return steady - entry.second.first >= kMinuteSeconds; });
    if (failures_.size() >= kSourcesHeldMax) failures_.clear();  // better a fresh start than a closed door for all
  }
  const std::string key = source_key(source);
  const auto at = failures_.find(key);
  if (at == failures_.end() || steady - at->second.first >= kMinuteSeconds) {
    if (at != failures_.end()) failures_.erase(at);
    if (count) failures_[key] = {steady, 1};
    return false;
  }
  if (count) ++at->second.second;
  return at->second.second > kFailuresPerMinute;
}

void ApiKeys::note_use(const std::string& id, const Address& source) {
  access::StoredApiKey& one = keys_.at(id);
  const std::int64_t now = environment_.now();
  const std::string from(source.wire().begin(), source.wire().end());
  const bool noted = now - one.last_use() < kNoteUseSeconds && one.last_use() <= now;
  one.set_last_source(from);
  if (noted) return;
  one.set_last_use(now);
  (void)store_.put(RecordKind::kApiKey, id, one.SerializeAsString());
}

std::variant<ApiKeys::Found, Refusal> ApiKeys::find(const Credentials& shown, const Address& source, double steady) {
  const Refusal slower{429, "too_many", "too many requests", {}, 5};
  const bool guesses = !shown.key.empty();  // a certificate cannot be guessed, and browsers show theirs before anybody signs in
  if (guesses && failed_too_often(source, steady, false)) return slower;
  const auto* one = match(shown);
  const auto role = one == nullptr ? std::nullopt : role_named(one->role());
  if (one == nullptr || !role || !may_enter(*one, source)) {
    if (guesses) (void)failed_too_often(source, steady, true);
    return wrong();
  }
  Bucket& bucket = buckets_[one->id()];
  bucket.left = std::min(kRequestsAtOnce, bucket.left + (steady - bucket.at) * kRequestsPerSecond);
  bucket.at = steady;
  if (bucket.left < 1) return slower;
  bucket.left -= 1;
  note_use(one->id(), source);
  Found out;
  out.who.account = account_of(*one);
  out.who.certificate = shown.certificate;
  out.who.role = *role;
  out.who.tenant = one->tenant();
  out.who.source = source;
  out.who.program = true;
  out.read_only = one->read_only();
  return out;
}

std::optional<Role> ApiKeys::role_now(const std::string& account) const {
  const auto at = std::find_if(keys_.begin(), keys_.end(), [&](const auto& entry) {
    return account_of(entry.second) == account && entry.second.valid_until() > environment_.now();
  });
  return at == keys_.end() ? std::nullopt : role_named(at->second.role());
}

api::ApiKey ApiKeys::shown(const access::StoredApiKey& key) const {
  api::ApiKey out;
  out.set_id(key.id());
  out.set_name(key.name());
  out.set_role(key.role());
  out.set_read_only(key.read_only());
  *out.mutable_sources() = key.sources();
  out.set_valid_until(rfc3339(key.valid_until()));
  out.set_certificate(write_fingerprint(key.certificate()));
  out.set_certificate_alone(key.secret().empty());
  out.set_created_by(key.created_by());
  out.mutable_created()->set_seconds(key.created());
  if (key.last_use() != 0) out.mutable_last_use()->set_seconds(key.last_use());
  const auto& from = key.last_source();
  if (const auto last = Address::from_wire({reinterpret_cast<const std::uint8_t*>(from.data()), from.size()}))
    out.set_last_source(to_string(*last));
  out.set_expired(key.valid_until() <= environment_.now());
  return out;
}

api::ApiKeyList ApiKeys::list(const std::string& tenant) const {
  api::ApiKeyList out;
  for (const auto& [id, one] : keys_) {
    if (one.tenant() == tenant) *out.add_keys() = shown(one);
  }
  for (std::size_t i = 0; i < kRoles; ++i) {
    const auto role = static_cast<Role>(i);
    if (is_for_programs(role) && is_provider(role) == tenant.empty()) out.add_roles(std::string(to_text(role)));
  }
  return out;
}

std::variant<api::ApiKeySecret, Refusal> ApiKeys::add(const std::string& tenant, const api::ApiKey& wanted,
                                                      const std::string& by) {
  const std::int64_t now = environment_.now();
  if (!is_key_name(wanted.name())) return invalid("key.name", "a key is named by 1 to 64 of a-z, 0-9, dot, - and _");
  const auto role = role_named(wanted.role());
  if (!role || !is_for_programs(*role) || is_provider(*role) != tenant.empty())
    return invalid("key.role", "there is no such role for programs here");
  if (wanted.sources_size() > kKeySourcesMax) return invalid("key.sources", "at most 64 prefixes are accepted");
  for (int i = 0; i < wanted.sources_size(); ++i) {
    if (!parse_prefix(wanted.sources(i)))
      return invalid("key.sources[" + std::to_string(i) + ']', "this is no prefix");
  }
  const auto until = parse_rfc3339(wanted.valid_until());
  if (!until || *until <= now || *until > now + kDaysMax * kDaySeconds)
    return invalid("key.valid_until", "a key is good for 1 to 400 days: say until when, as in RFC 3339");
  const auto certificate = wanted.certificate().empty() ? std::optional(std::string()) : read_fingerprint(wanted.certificate());
  if (!certificate) return invalid("key.certificate", "this is no SHA-256 in hexadecimal");
  if (wanted.certificate_alone() && certificate->empty())
    return invalid("key.certificate", "without a secret a certificate is needed");
  std::size_t own = 0;
  for (const auto& [id, one] : keys_) {
    own += one.tenant() == tenant ? 1U : 0U;
    if (one.tenant() == tenant && one.name() == wanted.name()) return conflict("there is such a key");
    // Also of other tenants, and it tells nothing: who holds the certificate knows where it is used.
    if (wanted.certificate_alone() && one.secret().empty() && one.certificate() == *certificate)
      return conflict("this certificate stands for another key already");
  }
  if (own >= kOfTenantMax || keys_.size() >= kAllMax) return conflict("there are as many keys as there may be");
  const std::string secret = random_token(kSecretBytes);
  access::StoredApiKey fresh;
  fresh.set_id(random_token(9));
  fresh.set_tenant(tenant);
  fresh.set_name(wanted.name());
  fresh.set_role(wanted.role());
  fresh.set_read_only(wanted.read_only());
  *fresh.mutable_sources() = wanted.sources();
  fresh.set_valid_until(*until);
  fresh.set_certificate(*certificate);
  if (!wanted.certificate_alone()) fresh.set_secret(digest(secret));
  fresh.set_created_by(by);
  fresh.set_created(now);
  if (const auto saved = store_.put(RecordKind::kApiKey, fresh.id(), fresh.SerializeAsString()); !saved)
    return store_failed(saved.error());
  api::ApiKeySecret out;
  *out.mutable_key() = shown(fresh);
  if (!wanted.certificate_alone()) out.set_secret(std::string(kPrefix) + fresh.id() + '.' + secret);
  keys_[fresh.id()] = std::move(fresh);
  return out;
}

Refusal ApiKeys::revoke(const std::string& tenant, const std::string& id) {
  const auto at = keys_.find(id);
  if (at == keys_.end() || at->second.tenant() != tenant) return not_found();
  if (const auto removed = store_.remove(RecordKind::kApiKey, id); !removed) return store_failed(removed.error());
  buckets_.erase(id);
  keys_.erase(at);
  return {};
}

std::vector<std::pair<std::string, std::int64_t>> ApiKeys::ends() const {
  std::vector<std::pair<std::string, std::int64_t>> out;
  for (const auto& [id, one] : keys_) out.emplace_back(account_of(one), one.valid_until());
  return out;
}

std::string ApiKeys::maker_of(const std::string& account) const {
  for (const auto& [id, one] : keys_) {
    if (account_of(one) == account) return one.created_by();
  }
  return account;
}

Result<void> ApiKeys::erase_tenant(const std::string& tenant) {
  for (auto at = keys_.begin(); at != keys_.end();) {
    if (at->second.tenant() != tenant) {
      ++at;
      continue;
    }
    SEKISHO_CHECK_OK(store_.remove(RecordKind::kApiKey, at->first));
    buckets_.erase(at->first);
    at = keys_.erase(at);
  }
  return {};
}

}  // namespace sekisho::control
