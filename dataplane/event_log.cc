// SPDX-License-Identifier: Apache-2.0
#include "dataplane/event_log.h"

#include <algorithm>
#include <cstring>

#include "dataplane/session/flow_key.h"
#include "filters/link/binding_guard.h"

namespace sekisho::dataplane {
namespace {

template <typename Body>
LogRecord pack(const LogEnvelope& envelope, const Body& body) {
  static_assert(sizeof(envelope) + sizeof(body) <= sizeof(LogRecord));
  LogRecord record{};
  std::memcpy(record.bytes.data(), &envelope, sizeof(envelope));
  std::memcpy(record.bytes.data() + sizeof(envelope), &body, sizeof(body));
  return record;
}

constexpr std::uint32_t kWays = 4;  ///< places a fold may have

LogEnvelope envelope_of(const LogRecord& record) {
  LogEnvelope envelope;
  std::memcpy(&envelope, record.bytes.data(), sizeof(envelope));
  return envelope;
}

/// Folds a plain struct into 64 bits. Only for keys: a collision merges two lines, it does not lose a count.
template <typename T>
std::uint64_t digest(const T& value, std::uint64_t seed) {
  static_assert(std::has_unique_object_representations_v<T>);
  std::array<std::uint64_t, (sizeof(T) + 7) / 8> words{};
  std::memcpy(words.data(), &value, sizeof(T));
  for (const std::uint64_t word : words) seed = mix(seed ^ word, 0x9e3779b97f4a7c15ULL);
  return seed | 1U;
}

struct DenyKey {
  std::uint32_t tenant, rule;
  std::array<std::uint8_t, 16> source, destination;
  std::uint16_t destination_port;
  std::uint8_t protocol, reason;
  std::uint32_t in_port;
};

struct ViolationKey {
  std::uint32_t tenant, binding, in_port, reason;
  std::uint64_t offending;
};

}  // namespace

Result<EventLog> EventLog::create(std::uint32_t ring_records, std::uint8_t shard, HugeArray<TenantCounters>& tenants,
                                  std::vector<TenantQuota>* quotas, std::uint32_t shards) {
  EventLog log;
  SEKISHO_TRY(LogRingWriter ring, LogRingWriter::create(ring_records));
  log.ring_ = std::move(ring);
  log.shard_ = shard;
  log.folds_ = HugeArray<Fold>("log-folds", kFolds);
  log.losses_ = HugeArray<Losses>("log-losses", tenants.size() * kKinds * kCauses);
  log.rates_ = HugeArray<MeterShare>("log-rates", tenants.size() * kClasses);
  log.quotas_ = quotas;
  log.tenants_ = &tenants;
  log.violations_ = HugeArray<std::uint32_t>("log-violations", tenants.size());
  log.violations_max_ = kTenantViolations / shards;
  const bool complete = log.folds_.valid() && log.losses_.valid() && log.rates_.valid() && log.violations_.valid();
  if (!complete) return Error{ErrorCode::kLimit, ErrorSite::kDataplane, kFolds};
  return log;
}

void EventLog::write(LogEnvelope envelope, const CommBody& body, std::uint32_t tenant_slot) noexcept {
  envelope.shard = shard_;
  push(pack(envelope, body), tenant_slot);
}

void EventLog::write(LogEnvelope envelope, const SecBody& body, std::uint32_t tenant_slot) noexcept {
  envelope.shard = shard_;
  push(pack(envelope, body), tenant_slot);
}

void EventLog::write_folded(LogEnvelope envelope, const CommBody& body, std::uint32_t tenant_slot) noexcept {
  envelope.shard = shard_;
  const DenyKey key{envelope.tenant,       body.rule,     body.source,          body.destination,
                    body.destination_port, body.protocol, envelope.drop_reason, body.in_port};
  fold(digest(key, 1), pack(envelope, body), kDenyWindowNs, envelope.timestamp, tenant_slot);
}

void EventLog::write_folded(LogEnvelope envelope, const SecBody& body, std::uint32_t tenant_slot) noexcept {
  envelope.shard = shard_;
  const std::uint32_t notice = std::uint32_t{envelope.notice} << 8;
  ViolationKey key{envelope.tenant, body.binding, body.in_port, notice | envelope.drop_reason,
                   filters::offending_value(static_cast<filters::DropReason>(envelope.drop_reason), body)};
  if (notice != 0) key.offending = body.level;  // a handful a tenant: never too many
  if (notice == 0 && violations_[tenant_slot] >= violations_max_ && !is_open(digest(key, 2))) {
    envelope.drop_reason = static_cast<std::uint8_t>(filters::DropReason::kAeOther);
    key.reason = notice | envelope.drop_reason;
    key.offending = 0;
  }
  fold(digest(key, 2), pack(envelope, body), kViolationWindowNs, envelope.timestamp, tenant_slot);
}

bool EventLog::is_open(std::uint64_t key) const noexcept {
  for (std::uint32_t way = 0; way < kWays; ++way) {
    if (folds_[((key >> 8) + way) % kFolds].key == key) return true;
  }
  return false;
}

void EventLog::fold(std::uint64_t key, const LogRecord& record, std::uint64_t window_ns, std::uint64_t now_ns,
                    std::uint32_t tenant_slot) noexcept {
  Fold* victim = nullptr;
  for (std::uint32_t way = 0; way < kWays; ++way) {
    Fold& entry = folds_[((key >> 8) + way) % kFolds];
    if (entry.key == key) {
      if (now_ns < entry.ends_ns && entry.ends_ns - now_ns <= window_ns) {  // a clock set back ends the window too
        ++entry.count;
        entry.last_ns = now_ns;
        return;
      }
      victim = &entry;
      break;
    }
    // A free place is best, but the key may stand behind it: look at every way.
    if (victim == nullptr || (victim->key != 0 && (entry.key == 0 || entry.ends_ns < victim->ends_ns))) victim = &entry;
  }
  end(*victim);
  *victim = {record, key, now_ns + window_ns, now_ns, 0, tenant_slot};
  ++open_;
  if (envelope_of(record).kind == LogKind::kSec) ++violations_[tenant_slot];
  push(record, tenant_slot);
}

/// Writes what was counted after the first record and frees the place.
void EventLog::end(Fold& entry) noexcept {
  if (entry.key != 0 && entry.count > 0) {
    LogEnvelope envelope = envelope_of(entry.record);
    const std::uint64_t first_ns = envelope.timestamp;
    envelope.timestamp = entry.last_ns;
    envelope.count = entry.count;
    std::memcpy(entry.record.bytes.data(), &envelope, sizeof(envelope));
    if (envelope.kind == LogKind::kSec) {
      SecBody body;
      std::memcpy(&body, entry.record.bytes.data() + sizeof(envelope), sizeof(body));
      body.first_timestamp = first_ns;
      body.last_timestamp = entry.last_ns;
      std::memcpy(entry.record.bytes.data() + sizeof(envelope), &body, sizeof(body));
    }
    push(entry.record, entry.tenant_slot, true);
  }
  if (entry.key == 0) return;
  --open_;
  if (envelope_of(entry.record).kind == LogKind::kSec) --violations_[entry.tenant_slot];
  entry.key = 0;
}

void EventLog::push(const LogRecord& record, std::uint32_t tenant_slot, bool counted) noexcept {
  if (losing_ > 0) report_losses(envelope_of(record).timestamp, LossCause::kQueueFull);
  if (!within_rate(record, tenant_slot, counted)) return lose(envelope_of(record), tenant_slot, LossCause::kRateLimit);
  if (!ring_->push(record)) lose(envelope_of(record), tenant_slot, LossCause::kQueueFull);
}

/// Each class may draw the tenant's burst down to its own mark: starts to the half, ends to the last quarter, denials to
/// the end. At a steady excess starts therefore go first, and what a scan left to count keeps no new denial out.
bool EventLog::within_rate(const LogRecord& record, std::uint32_t tenant_slot, bool counted) noexcept {
  if (quotas_ == nullptr || envelope_of(record).kind != LogKind::kComm) return true;
  TenantQuota& quota = (*quotas_)[tenant_slot];
  const std::uint64_t rate = quota.log_rate.load(std::memory_order_relaxed);
  if (rate == 0) return true;
  CommBody body;
  std::memcpy(&body, record.bytes.data() + sizeof(LogEnvelope), sizeof(body));
  const std::uint32_t of = body.phase == CommPhase::kStart ? 0U : body.phase == CommPhase::kDrop && !counted ? 2U : 1U;
  const std::uint64_t burst = std::max<std::uint64_t>(1, (rate & 0xffff'ffffU) * (of + 2) / 4);
  return rates_[tenant_slot * kClasses + of].take(quota.log, {rate >> 32, burst}, 1, steady_ns_, &quota.log_most);
}

void EventLog::lose(const LogEnvelope& envelope, std::uint32_t tenant_slot, LossCause why) noexcept {
  (*tenants_)[tenant_slot].log_lost.add(envelope.count);
  const auto kind = static_cast<std::uint32_t>(envelope.kind) - 1;
  if (kind >= kKinds) return;
  const bool limited = why == LossCause::kRateLimit;
  Losses& place = losses_[(tenant_slot * kKinds + kind) * kCauses + (limited ? 1 : 0)];
  if (place.count == 0) {
    place = {envelope.tenant, envelope.generation, 0, envelope.timestamp, envelope.timestamp};
    ++(limited ? limited_ : losing_);
  }
  if (limited && limited_ == 1 && place.count == 0) report_at_ns_ = steady_ns_ + kLimitedReportNs;
  ++place.count;
  place.to_ns = envelope.timestamp;
}

void EventLog::report_losses(std::uint64_t now_ns, LossCause why) noexcept {
  const bool limited = why == LossCause::kRateLimit;
  std::uint32_t& open = limited ? limited_ : losing_;
  for (std::uint32_t i = limited ? 1 : 0; i < losses_.size() && open > 0; i += kCauses) {
    if (losses_[i].count > 0 && !report(now_ns, i, losses_[i])) return;
  }
}

/// One loss record, and for a rate the event that says so. False: the ring is full.
bool EventLog::report(std::uint64_t now_ns, std::uint32_t place, Losses& losses) noexcept {
  const bool limited = place % kCauses == 1;
  LogEnvelope envelope{};
  envelope.timestamp = now_ns;
  envelope.tenant = losses.tenant;
  envelope.generation = losses.generation;
  envelope.kind = LogKind::kLoss;
  envelope.shard = shard_;
  envelope.count = 1;
  LossBody body{};
  body.from_timestamp = losses.from_ns;
  body.to_timestamp = losses.to_ns;
  body.count = losses.count;
  body.of = static_cast<LogKind>(place / kCauses % kKinds + 1);
  body.why = limited ? LossCause::kRateLimit : LossCause::kQueueFull;
  if (!ring_->push(pack(envelope, body))) return false;
  losses.count = 0;
  --(limited ? limited_ : losing_);
  if (!limited) return true;
  SecBody event{};
  event.binding = event.in_port = 0xffffffffU;
  event.first_timestamp = body.from_timestamp;
  event.last_timestamp = body.to_timestamp;
  envelope.kind = LogKind::kSec;
  envelope.notice = kNoticeLogRate;
  write_folded(envelope, event, place / (kKinds * kCauses));
  return true;
}

void EventLog::flush(std::uint64_t now_ns) noexcept {
  constexpr std::uint32_t kPerCall = 64;
  if (losing_ > 0) report_losses(now_ns, LossCause::kQueueFull);
  if (limited_ > 0 && steady_ns_ >= report_at_ns_) {
    report_at_ns_ = steady_ns_ + kLimitedReportNs;
    report_losses(now_ns, LossCause::kRateLimit);
  }
  for (std::uint32_t i = 0; i < kPerCall && open_ > 0; ++i, sweep_ = (sweep_ + 1) % kFolds) {
    Fold& entry = folds_[sweep_];
    if (entry.key != 0 && now_ns >= entry.ends_ns) end(entry);
  }
}

void EventLog::flush_all(std::uint64_t now_ns) noexcept {
  for (std::uint32_t i = 0; i < kFolds; ++i) end(folds_[i]);
  if (limited_ > 0) report_losses(now_ns, LossCause::kRateLimit);
  if (losing_ > 0) report_losses(now_ns, LossCause::kQueueFull);
}

}  // namespace sekisho::dataplane
