// SPDX-License-Identifier: Apache-2.0
#include "control/erasure/erasures.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <sstream>

#include "base/crypto/aead.h"
#include "base/describe.h"
#include "base/os/durable_file.h"
#include "control/access/rfc3339.h"
#include "control/config/text.h"

namespace sekisho::control {
namespace {

constexpr std::uint64_t kSecondNs = 1'000'000'000;
constexpr std::size_t kReasonCharactersMax = 256, kKeyBytes = 32, kEndingsMax = 20'000;
constexpr const char* kFile = "/erasures.bin";
constexpr const char* kKeyFile = "/unit.key";
constexpr const char* kPublicFile = "/unit.pub";

Error os_error() {
  return {ErrorCode::kUnavailable, ErrorSite::kOs, static_cast<std::uint32_t>(errno)};
}

std::span<const std::uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::optional<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

template <typename Bytes>
std::string hex_of(const Bytes& bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const std::uint8_t byte : bytes) out += kDigits[byte >> 4], out += kDigits[byte & 15];
  return out;
}

/// The inside of a JSON string; of text without control characters.
std::string quoted(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

Erasures::Erasures(std::string folder, Environment environment)
    : folder_(std::move(folder)), environment_(std::move(environment)) {}

Result<void> Erasures::open_key() {
  const auto held = read_file(folder_ + kKeyFile);
  if (held) {
    if (held->size() != kKeyBytes) return Error{ErrorCode::kMalformed, ErrorSite::kStore, 0};
    std::copy(held->begin(), held->end(), seed_.begin());
  } else {
    seed_ = random_bytes<kKeyBytes>();
    if (!replace_durably(folder_ + kKeyFile, seed_, 0600)) return os_error();
  }
  const SigningPublic open_half = public_of(seed_);
  if (!replace_durably(folder_ + kPublicFile, open_half, 0644)) return os_error();
  return {};
}

Result<void> Erasures::load() {
  SEKISHO_CHECK_OK(open_key());
  const auto text = read_file(folder_ + kFile);
  SEKISHO_TRY(const erasure::StoredErasures stored, read_endings(text.value_or(std::string())));
  all_.assign(stored.erasures().begin(), stored.erasures().end());
  believed_ = stored.last_day();
  guard_ = ClockGuard(believed_);
  for (const StoredErasure& ending : all_) {
    if (ending.state() != StoredErasure::ERASED || environment_.is_purged(ending)) continue;
    environment_.complain("what was erased of " + ending.tenant() + " was put back; it is taken out again");
    const auto gone = environment_.purge(ending);
    if (!gone) return gone.error();
  }
  return {};
}

Result<void> Erasures::save() {
  erasure::StoredErasures out;
  out.set_last_day(believed_);
  out.mutable_erasures()->Assign(all_.begin(), all_.end());
  if (!replace_durably(folder_ + kFile, bytes_of(out.SerializeAsString()), 0600)) return os_error();
  return {};
}

Result<void> Erasures::adopt(const erasure::StoredErasures& others) {
  for (const StoredErasure& other : others.erasures()) {
    const auto at = std::find_if(all_.begin(), all_.end(), [&](const auto& one) { return one.id() == other.id(); });
    if (at == all_.end()) {
      all_.push_back(other);
    } else if (other.state() > at->state()) {
      *at = other;
    }
  }
  return save();
}

StoredErasure* Erasures::find(const std::string& tenant, const std::string& id) {
  const auto at = std::find_if(all_.begin(), all_.end(), [&](const auto& one) {
    return one.tenant() == tenant && (id.empty() ? one.state() != StoredErasure::ERASED : one.id() == id);
  });
  return at == all_.end() ? nullptr : &*at;
}

const StoredErasure* Erasures::ended(const std::string& tenant) const {
  const auto at = std::find_if(all_.begin(), all_.end(), [&](const auto& one) {
    return one.tenant() == tenant && one.scope() == StoredErasure::CONTRACT && one.state() != StoredErasure::REQUESTED;
  });
  return at == all_.end() ? nullptr : &*at;
}

bool Erasures::is_closed(const std::string& tenant, std::int64_t now) const {
  const StoredErasure* ending = ended(tenant);
  return ending != nullptr && (ending->state() != StoredErasure::ENDED || day_at(now) > readable_until(*ending));
}

std::variant<StoredErasure, Refusal> Erasures::end(const Wish& wish, std::int64_t now) {
  std::int64_t end = now;
  if (!wish.end.empty()) {
    const auto day = parse_day(wish.end);
    if (!day) return invalid("end", "the last day is written 2026-11-30");
    end = begin_of(add_days(*day, 1));
    if (end <= now) return invalid("end", "that day is over: leave it out to end now");
    if (number_of(*day) - number_of(day_at(now)) > kEndsAheadDaysMax) return invalid("end", "that day is more than three years away");
  }
  if (find_bad_text(wish.reason) != std::string::npos || wish.reason.find_first_of("\t\r\n") != std::string::npos ||
      count_characters(wish.reason) > kReasonCharactersMax)
    return invalid("reason", "a reason is at most 256 characters of text");
  for (const StoredErasure& one : all_) {
    if (one.tenant() != wish.tenant || one.state() == StoredErasure::ERASED) continue;
    if (one.scope() == StoredErasure::CONTRACT) return conflict("the contract ends already");
    if (one.scope() == wish.scope) return conflict("that ends already");
  }
  if (all_.size() >= kEndingsMax) return conflict("there are as many ends as there may be");
  StoredErasure fresh;
  fresh.set_id(hex_of(random_bytes<8>()));
  fresh.set_tenant(wish.tenant);
  fresh.set_scope(wish.scope);
  fresh.set_contract(wish.scope == StoredErasure::REMOTE_ACCESS ? ipc::EraseLog::REMOTE_ACCESS : wish.contract);
  fresh.set_end(end);
  fresh.set_requested(now);
  fresh.set_requested_by(wish.by);
  fresh.set_reason(wish.reason);
  all_.push_back(fresh);
  if (const auto saved = save(); !saved) {
    all_.pop_back();
    return unavailable("it cannot be written: " + describe(saved.error()));
  }
  return fresh;
}

Refusal Erasures::withdraw(const std::string& tenant, const std::string& id, std::int64_t now) {
  StoredErasure* ending = find(tenant, id);
  if (ending == nullptr) return not_found();
  if (ending->state() != StoredErasure::REQUESTED || now >= ending->end()) return conflict("it has ended: that is not withdrawn any more");
  const StoredErasure held = *ending;
  all_.erase(all_.begin() + (ending - all_.data()));
  if (const auto saved = save(); !saved) {
    all_.push_back(held);
    return unavailable("it cannot be written: " + describe(saved.error()));
  }
  return {};
}

std::variant<StoredErasure, Refusal> Erasures::erase_early(const std::string& tenant, const std::string& id) {
  StoredErasure* ending = find(tenant, id);
  if (ending == nullptr) return not_found();
  if (ending->state() == StoredErasure::REQUESTED) return conflict("it has not ended yet");
  if (ending->state() != StoredErasure::ENDED) return *ending;
  ending->set_early(true);
  if (const auto saved = save(); !saved) {
    ending->set_early(false);
    return unavailable("it cannot be written: " + describe(saved.error()));
  }
  not_before_ = 0;
  return *ending;
}

void Erasures::tick(std::uint64_t wall_ns, std::chrono::nanoseconds monotonic, bool in_step) {
  guard_.see(wall_ns, monotonic, in_step);
  now_ = static_cast<std::int64_t>(wall_ns / kSecondNs);
  const auto today = guard_.day();
  if (!today) return;
  if (*today != believed_) {
    believed_ = *today;
    if (const auto saved = save(); !saved) return environment_.complain("erasures.bin: " + describe(saved.error()));
  }
  for (std::size_t i = 0; i < all_.size() && !under_way_ && now_ >= not_before_; ++i) step(all_[i], *today, now_);
  if (now_ + kRetrySeconds < not_before_) not_before_ = 0;  // the clock went back
}

void Erasures::step(StoredErasure& ending, Day today, std::int64_t now) {
  if (ending.state() == StoredErasure::REQUESTED && now >= ending.end()) begin_end(ending);
  if (ending.state() == StoredErasure::ENDED) {
    const Day planned = planned_day(ending);
    const bool due = today > planned || (today == planned && now >= begin_of(today) + kAfterMidnightSeconds);
    if (!due && !ending.early()) return ending.stopped_revision() == 0 ? stop_it(ending, now) : void();
    ending.set_state(StoredErasure::ERASING);
    if (const auto saved = save(); !saved) {
      ending.set_state(StoredErasure::ENDED);
      return again_later("erasures.bin: " + describe(saved.error()));
    }
  }
  if (ending.state() == StoredErasure::ERASING) erase(ending, now);
}

void Erasures::again_later(const std::string& why) {
  not_before_ = now_ + kRetrySeconds;
  environment_.complain(why + "; it is tried again");
}

void Erasures::begin_end(StoredErasure& ending) {
  if (const auto kept = environment_.keep_readable(ending); !kept)
    return again_later("what " + ending.tenant() + " may still read cannot be kept: " + describe(kept.error()));
  ending.set_state(StoredErasure::ENDED);
  if (const auto saved = save(); !saved) {
    ending.set_state(StoredErasure::REQUESTED);
    return again_later("erasures.bin: " + describe(saved.error()));
  }
  environment_.tell("end", ending);
}

/// Nothing of it passes any more.
void Erasures::stop_it(StoredErasure& ending, std::int64_t now) {
  under_way_ = true;
  environment_.put_in_force("the end of a contract", now >= ending.end() + kInsistSeconds,
                            [this, tenant = ending.tenant(), id = ending.id()](std::uint32_t revision, const std::string& error) {
                              under_way_ = false;
                              StoredErasure* at = find(tenant, id);
                              if (at == nullptr) return;
                              if (!error.empty()) return again_later("the end of " + tenant + " is not in force: " + error);
                              at->set_stopped_revision(revision);
                              if (const auto saved = save(); !saved) again_later("erasures.bin: " + describe(saved.error()));
                            });
}

void Erasures::erase(StoredErasure& ending, std::int64_t now) {
  under_way_ = true;
  const auto purge = [this, tenant = ending.tenant(), id = ending.id()](std::uint32_t revision, const std::string& error) {
    under_way_ = false;
    StoredErasure* at = find(tenant, id);
    if (at == nullptr) return;
    if (!error.empty()) return again_later("the erasure of " + tenant + " waits: " + error);
    if (at->stopped_revision() == 0) at->set_stopped_revision(revision);
    at->set_erased_revision(revision);
    if (const auto saved = save(); !saved) return again_later("erasures.bin: " + describe(saved.error()));
    auto gone = environment_.purge(*at);
    if (!gone) return again_later("the erasure of " + tenant + " could not be finished: " + describe(gone.error()));
    const bool left = std::any_of(gone->begin(), gone->end(), [](const Purged& one) { return one.left > 0; });
    if (left) return again_later("the erasure of " + tenant + " left something");
    erase_records(id, std::move(*gone));
  };
  environment_.put_in_force("an erasure", now >= ending.end() + kInsistSeconds, purge);
}

void Erasures::erase_records(const std::string& id, std::vector<Purged> gone) {
  const auto at = std::find_if(all_.begin(), all_.end(), [&](const auto& one) { return one.id() == id; });
  ipc::EraseLog question;
  question.set_what(ipc::EraseLog::NOW);
  question.set_service_code(at->tenant());
  question.set_contract(at->contract());
  question.set_end_ns(static_cast<std::uint64_t>(at->end()) * kSecondNs);
  question.set_reason(at->id());
  question.set_last(at->scope() == StoredErasure::CONTRACT);
  if (at->scope() == StoredErasure::REMOTE_ACCESS) {
    for (const char* type : {"vpn", "acl", "devauth"}) question.add_types(type);
  }
  under_way_ = true;
  environment_.erase_log(question, [this, id, gone = std::move(gone)](const ipc::LogErasure& said, const std::string& refusal) {
    under_way_ = false;
    const std::string why = !refusal.empty() ? refusal : said.ok() ? "" : said.error();
    if (!why.empty()) return again_later("the records of an erasure are not gone yet: " + why);
    finish(id, gone, said);
  });
}

void Erasures::finish(const std::string& id, const std::vector<Purged>& gone, const ipc::LogErasure& said) {
  const auto at = std::find_if(all_.begin(), all_.end(), [&](const auto& one) { return one.id() == id; });
  if (at == all_.end()) return;
  const StoredErasure before = *at;
  at->set_erased(now_);
  at->set_report(report_of(*at, gone, said.report()));
  at->set_state(StoredErasure::ERASED);
  if (const auto saved = save(); !saved) {
    *at = before;
    return again_later("erasures.bin: " + describe(saved.error()));
  }
  environment_.tell("erase", *at);
}

std::string Erasures::report_of(const StoredErasure& ending, const std::vector<Purged>& gone, const std::string& log) {
  std::string out = "{\"report\":\"erasure\",\"id\":\"" + ending.id() + "\",\"svc\":\"" + ending.tenant() + "\",\"scope\":\"" +
                    std::string(to_text(ending.scope())) + "\",\"contract\":\"" + std::string(to_text(ending.contract())) +
                    "\",\"ended\":\"" + day_text(last_day_of(ending)) + "\",\"requested_by\":\"" + quoted(ending.requested_by()) +
                    "\",\"reason\":\"" + quoted(ending.reason()) + "\",\"limit\":\"" + day_text(limit_day(ending)) +
                    "\",\"erased\":\"" + rfc3339(ending.erased()) +
                    "\",\"in_time\":" + (day_at(ending.erased()) <= limit_day(ending) ? "true" : "false") + ",\"inventory\":[";
  for (const Purged& one : gone) {
    if (&one != &gone.front()) out += ',';
    out += "{\"what\":\"" + one.what + "\",\"erased\":" + std::to_string(one.erased) + ",\"left\":" + std::to_string(one.left) + '}';
  }
  out += "],\"log\":" + (log.empty() ? std::string("null") : log);
  return out + std::string(kReportSignature) + hex_of(sign(seed_, bytes_of(out))) + "\"}";
}

}  // namespace sekisho::control
