// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/ipc/seqpacket.h"
#include "base/shm/log_ring.h"

namespace sekisho::mgmt {

/// A run of records of one ring.
struct RingMark {
  std::uint64_t ring;   ///< LogRingReader::id
  std::uint64_t first;  ///< number of the first, since the ring was made
  std::uint64_t count;
};

/// The log rings of dataplaned, over rings.sock. Rings have no doorbell (the fast path makes no system call), so the
/// owner polls: gather(), store, release().
///
/// When dataplaned goes away its rings stay mapped: they are drained to the end and given up only when they are empty
/// and new ones are here. Thread: the loop's; never blocks.
class RingSource {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t kRecordsPerTurn = 4096;  ///< of one ring
  static constexpr std::chrono::milliseconds kRetry{500};

  explicit RingSource(std::string path) : path_(std::move(path)) {}

  /// Connects, takes new rings, notices that dataplaned went away.
  void poll(Clock::time_point now);
  /// Appends copies of the oldest records of every ring; they stay in the ring until release().
  void gather(std::vector<LogRecord>& out);
  void release();
  /// Where the records of the last gather() came from, in their order.
  [[nodiscard]] std::vector<RingMark> marks() const;
  /// Records a predecessor already has: they are freed unread as soon as their ring is here.
  void skip(std::vector<RingMark> marks) { skips_ = std::move(marks); }
  /// Those whose ring has not come yet.
  [[nodiscard]] const std::vector<RingMark>& skips() const { return skips_; }

  [[nodiscard]] bool connected() const { return connection_.has_value(); }
  /// Rings given up because their writer's counters were impossible.
  [[nodiscard]] std::uint64_t broken() const { return broken_; }

 private:
  struct Ring {
    LogRingReader reader;
    std::size_t gathered = 0;
  };

  void receive();
  void adopt();
  void pass_over(LogRingReader& reader);
  [[nodiscard]] bool drained() const;

  std::string path_;
  std::optional<IpcConnection> connection_;
  std::vector<Ring> rings_;
  std::vector<ino_t> known_;  ///< the memfds behind rings_: dataplaned may hand out the same ones at every connection
  std::vector<RingMark> skips_;
  std::vector<Fd> fresh_;     ///< of a new connection, not opened until rings_ are drained: it may be the same rings
  Clock::time_point next_attempt_{};
  std::uint64_t broken_ = 0;
};

}  // namespace sekisho::mgmt
