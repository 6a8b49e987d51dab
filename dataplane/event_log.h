// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/shm/log_ring.h"
#include "dataplane/counters.h"
#include "dataplane/dpdk/huge_array.h"
#include "dataplane/quota.h"

namespace sekisho::dataplane {

/// Writes the log records of one shard.
///
/// Overview. Records go to the shard's ring at once, or are folded: equal events (same tenant, addresses, protocol, service,
/// reason) within a window become two records, the first immediately and one with the count of the rest when the window ends.
/// Violations that differ in more ways than a tenant may have open become one, AE_OTHER of their Binding: who varies what it
/// forges fills nobody's place. Life-cycle. A fold entry lives for one window; when its place is needed it is written early.
/// Synchronisation. The owning shard only. Limits. kFolds open windows; a full ring loses records, which are counted per
/// tenant and written as loss records as soon as there is room: nothing is lost without a trace. A tenant's comm records
/// are held to its rate: starts give way first, then ends, then denials (F-64); sec records never do.
class EventLog {
 public:
  static constexpr std::uint32_t kFolds = 8192;
  static constexpr std::uint32_t kTenantViolations = 4096;  ///< different ones of one tenant at a time, all shards together
  static constexpr std::uint64_t kDenyWindowNs = 10'000'000'000;
  static constexpr std::uint64_t kViolationWindowNs = 60'000'000'000;
  static constexpr std::uint64_t kLimitedReportNs = 1'000'000'000;  ///< losses for rate are told once in this time
  /// Of comm records: starts, ends, denials. How often one came again is an end.
  static constexpr std::uint32_t kClasses = 3;

  /// Losses are counted in `tenants`, rates are those of `quotas` (both by tenant slot); they outlive the log.
  EventLog() = default;
  static Result<EventLog> create(std::uint32_t ring_records, std::uint8_t shard, HugeArray<TenantCounters>& tenants,
                                 std::vector<TenantQuota>* quotas = nullptr, std::uint32_t shards = 1);
  /// Takes the time of a turn, for the rates: steady.
  void begin_turn(std::uint64_t steady_ns) noexcept { steady_ns_ = steady_ns; }

  [[nodiscard]] const LogRingWriter& ring() const { return *ring_; }

  /// `envelope.shard` is filled in here; `envelope.count` is 1.
  void write(LogEnvelope envelope, const CommBody& body, std::uint32_t tenant_slot) noexcept;
  void write(LogEnvelope envelope, const SecBody& body, std::uint32_t tenant_slot) noexcept;
  void write_folded(LogEnvelope envelope, const CommBody& body, std::uint32_t tenant_slot) noexcept;
  void write_folded(LogEnvelope envelope, const SecBody& body, std::uint32_t tenant_slot) noexcept;

  /// Ends windows that are over and reports losses. Bounded work a call.
  void flush(std::uint64_t now_ns) noexcept;
  /// Ends every window now: the shard stops.
  void flush_all(std::uint64_t now_ns) noexcept;

 private:
  struct Fold {
    LogRecord record;            ///< the first occurrence
    std::uint64_t key;           ///< 0 = free
    std::uint64_t ends_ns;
    std::uint64_t last_ns;
    std::uint32_t count;         ///< occurrences after the first
    std::uint32_t tenant_slot;
  };
  /// Records of one tenant and kind that found the ring full and are not yet reported.
  struct Losses {
    std::uint32_t tenant;
    std::uint32_t generation;
    std::uint64_t count;         ///< 0 = free
    std::uint64_t from_ns;
    std::uint64_t to_ns;
  };
  static constexpr std::uint32_t kCauses = 2;  ///< the ring was full, the rate was used up
  static constexpr std::uint32_t kKinds = 2;  ///< comm and sec; a lost loss record is simply not sent yet

  void fold(std::uint64_t key, const LogRecord& record, std::uint64_t window_ns, std::uint64_t now_ns,
            std::uint32_t tenant_slot) noexcept;
  void end(Fold& fold) noexcept;
  [[nodiscard]] bool is_open(std::uint64_t key) const noexcept;
  /// `counted`: how often what was told already happened again.
  void push(const LogRecord& record, std::uint32_t tenant_slot, bool counted = false) noexcept;
  bool within_rate(const LogRecord& record, std::uint32_t tenant_slot, bool counted) noexcept;
  void lose(const LogEnvelope& envelope, std::uint32_t tenant_slot, LossCause why) noexcept;
  void report_losses(std::uint64_t now_ns, LossCause why) noexcept;
  bool report(std::uint64_t now_ns, std::uint32_t place, Losses& losses) noexcept;

  std::optional<LogRingWriter> ring_;
  HugeArray<Fold> folds_;
  HugeArray<Losses> losses_;     ///< by (tenant slot * kKinds + kind) * kCauses + cause
  HugeArray<MeterShare> rates_;  ///< by tenant slot * kClasses + class of comm record
  std::vector<TenantQuota>* quotas_ = nullptr;
  HugeArray<TenantCounters>* tenants_ = nullptr;
  HugeArray<std::uint32_t> violations_;  ///< by tenant slot: folds of violations now open
  std::uint32_t violations_max_ = kTenantViolations;
  std::uint32_t sweep_ = 0;
  std::uint64_t steady_ns_ = 0;
  std::uint64_t report_at_ns_ = 0;  ///< steady: when losses for rate are told next
  std::uint32_t open_ = 0;       ///< entries of folds_ in use
  std::uint32_t losing_ = 0;     ///< entries of losses_ in use because the ring was full
  std::uint32_t limited_ = 0;    ///< those because of a rate
  std::uint8_t shard_ = 0;
};

}  // namespace sekisho::dataplane
