// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "base/shm/log_ring.h"
#include "dataplane/counters.h"
#include "dataplane/dpdk/huge_array.h"

namespace sekisho::dataplane {

/// Writes the log records of one shard.
///
/// Overview. Records go to the shard's ring at once, or are folded: equal events (same tenant, addresses, protocol,
/// service, reason) within a window become two records, the first immediately and one with the count of the rest when
/// the window ends. Life-cycle. A fold entry lives for one window; when its place is needed it is written early.
/// Synchronisation. The owning shard only. Limits. kFolds open windows; a full ring loses records, which are counted per
/// tenant and written as loss records as soon as there is room: nothing is lost without a trace.
class EventLog {
 public:
  static constexpr std::uint32_t kFolds = 4096;
  static constexpr std::uint64_t kDenyWindowNs = 10'000'000'000;
  static constexpr std::uint64_t kViolationWindowNs = 60'000'000'000;

  /// Losses are counted in `tenants` (by tenant slot), which outlives the log.
  EventLog() = default;
  static Result<EventLog> create(std::uint32_t ring_records, std::uint8_t shard, HugeArray<TenantCounters>& tenants);

  [[nodiscard]] const LogRingWriter& ring() const { return *ring_; }

  /// `envelope.shard` is filled in here; `envelope.count` is 1.
  void write(LogEnvelope envelope, const CommBody& body, std::uint32_t tenant_slot) noexcept;
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
  static constexpr std::uint32_t kKinds = 2;  ///< comm and sec; a lost loss record is simply not sent yet

  void fold(std::uint64_t key, const LogRecord& record, std::uint64_t window_ns, std::uint64_t now_ns,
            std::uint32_t tenant_slot) noexcept;
  void end(Fold& fold) noexcept;
  void push(const LogRecord& record, std::uint32_t tenant_slot) noexcept;
  void lose(const LogEnvelope& envelope, std::uint32_t tenant_slot) noexcept;
  void report_losses(std::uint64_t now_ns) noexcept;

  std::optional<LogRingWriter> ring_;
  HugeArray<Fold> folds_;
  HugeArray<Losses> losses_;     ///< by tenant slot * kKinds + kind
  HugeArray<TenantCounters>* tenants_ = nullptr;
  std::uint32_t sweep_ = 0;
  std::uint32_t losing_ = 0;     ///< entries of losses_ in use
  std::uint8_t shard_ = 0;
};

}  // namespace sekisho::dataplane
