// SPDX-License-Identifier: Apache-2.0
#include "vpn/ocsp_desk.h"

#include <openssl/sha.h>

#include <algorithm>
#include <utility>

namespace sekisho::vpn {
namespace {

constexpr std::string_view kNoneCame = "no answer came";

}  // namespace

OcspDesk::Fingerprint OcspDesk::fingerprint(ByteSpan certificate) {
  Fingerprint out{};
  SHA256(certificate.data(), certificate.size(), out.data());
  return out;
}

void OcspDesk::make_room(std::map<Key, Entry>& of, std::int64_t now) const {
  if (of.size() < limits_.remembered_per_tenant) return;
  const auto idle = [](const auto& one) { return one.second.open == 0 && one.second.waiting == 0; };
  std::erase_if(of, [&](const auto& one) { return idle(one) && now >= one.second.again; });
  if (of.size() < limits_.remembered_per_tenant) return;
  const auto any = std::ranges::find_if(of, idle);
  if (any != of.end()) of.erase(any);
}

void OcspDesk::begin(const Subject& subject, const Key& key, Entry& entry, std::int64_t now) {
  auto bytes = make_ocsp_question(subject.certificate, subject.issuer);
  if (bytes.empty() || stopping_) return;
  entry.open = ++last_;
  entry.again = now + kAgainSeconds;
  open_[entry.open] = {subject.tenant,
                       key,
                       {subject.certificate.begin(), subject.certificate.end()},
                       {subject.issuer.begin(), subject.issuer.end()},
                       Clock::now() + limits_.patience};
  questions_.push_back({entry.open, subject.tenant, std::string(subject.gateway), std::move(bytes)});
}

void OcspDesk::wait_for(std::unique_lock<std::mutex>& lock, std::uint32_t tenant, Entry& entry) {
  std::size_t& of_tenant = waiting_of_[tenant];
  if (of_tenant >= limits_.waiting_per_tenant || waiting_ >= limits_.waiting) return;
  ++of_tenant, ++waiting_, ++entry.waiting;  // an entry somebody waits at stays
  const std::uint64_t number = entry.open;
  changed_.wait_for(lock, limits_.patience, [&] { return stopping_ || entry.open != number; });
  --entry.waiting, --waiting_;
  if (--waiting_of_[tenant] == 0) waiting_of_.erase(tenant);
}

OcspDesk::Word OcspDesk::ask(const Subject& subject, bool open, Ask how, std::int64_t now) {
  const Key key{std::string(subject.gateway), fingerprint(subject.certificate)};
  std::unique_lock lock(mutex_);
  give_up();
  auto& of = known_[subject.tenant];
  if (!of.contains(key)) make_room(of, now);
  Entry& entry = of[key];
  if (entry.open == 0 && now >= entry.again) begin(subject, key, entry, now);
  const bool fresh = entry.state == OcspAnswer::State::kGood && now <= entry.until;
  if (how == Ask::kWait && !fresh && entry.open != 0) wait_for(lock, subject.tenant, entry);
  if (counts(entry, now)) return {CertificateFault::kNone, Revocation::kGood};
  if (entry.state == OcspAnswer::State::kRevoked) return {CertificateFault::kRevoked, Revocation::kRevoked};
  if (entry.state == OcspAnswer::State::kUnknown) return {CertificateFault::kUnknownToCa, Revocation::kUnknown};
  const bool undecided = how == Ask::kStay && entry.open != 0;
  return {open || undecided ? CertificateFault::kNone : CertificateFault::kNoAnswer, Revocation::kUnknown};
}

bool OcspDesk::is_due(std::uint32_t tenant, std::string_view gateway, ByteSpan certificate, bool open, std::int64_t now) const {
  const Key key{std::string(gateway), fingerprint(certificate)};
  const std::lock_guard lock(mutex_);
  const auto of = known_.find(tenant);
  if (of == known_.end()) return true;
  const auto found = of->second.find(key);
  if (found == of->second.end()) return true;
  const Entry& entry = found->second;
  const bool harmless = entry.state == OcspAnswer::State::kUnusable || entry.state == OcspAnswer::State::kGood;
  const bool fine = counts(entry, now) || (open && harmless);
  return !fine || (entry.open == 0 && now >= entry.again);
}

std::vector<OcspDesk::Question> OcspDesk::take_questions() {
  const std::lock_guard lock(mutex_);
  return std::exchange(questions_, {});
}

std::string_view OcspDesk::take_answer(std::uint64_t number, std::optional<ByteSpan> answer, std::int64_t now) {
  const std::lock_guard lock(mutex_);
  const auto found = open_.find(number);
  if (found == open_.end()) return {};
  const Open asked = std::move(found->second);
  open_.erase(found);
  Entry& entry = known_[asked.tenant][asked.key];
  entry.open = 0;
  changed_.notify_all();
  if (!answer) return kNoneCame;
  const OcspAnswer said = judge_ocsp(*answer, asked.certificate, asked.issuer, now);
  if (said.state == OcspAnswer::State::kUnusable) return said.why;  // what was said before stays
  entry.state = said.state;
  entry.until = said.until;
  entry.again = said.state == OcspAnswer::State::kRevoked ? now + kRevokedSeconds : std::min(said.until, now + kRefreshSeconds);
  return {};
}

void OcspDesk::give_up() {
  const auto here = Clock::now();
  for (auto one = open_.begin(); one != open_.end();) {
    if (here < one->second.end) {
      ++one;
      continue;
    }
    known_[one->second.tenant][one->second.key].open = 0;
    one = open_.erase(one);
  }
}

void OcspDesk::forget(std::uint32_t tenant, std::string_view gateway) {
  const std::lock_guard lock(mutex_);
  const auto of = known_.find(tenant);
  if (of == known_.end()) return;
  for (auto& [key, entry] : of->second) {
    if (key.first != gateway) continue;
    if (entry.open != 0) open_.erase(entry.open);
    const std::uint32_t waiting = entry.waiting;
    entry = {};
    entry.waiting = waiting;
  }
  changed_.notify_all();
}

std::size_t OcspDesk::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_;
}

std::size_t OcspDesk::remembered(std::uint32_t tenant) const {
  const std::lock_guard lock(mutex_);
  const auto of = known_.find(tenant);
  return of == known_.end() ? 0 : of->second.size();
}

void OcspDesk::stop() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
}

}  // namespace sekisho::vpn
