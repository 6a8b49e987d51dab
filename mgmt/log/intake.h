// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <span>
#include <vector>

#include "mgmt/log/journal.h"
#include "mgmt/log/names.h"
#include "mgmt/log/record.h"
#include "mgmt/log/remote_users.h"
#include "mgmt/log/spill.h"

namespace sekisho::mgmt {

/// Between the rings and the journal: checks records, waits a bounded time for their names, keeps them in order.
///
/// A record whose generation's names are not here yet waits, and those behind it wait with it (order of time). After 2
/// s, or when 65,536 wait, or when controld does not know the generation, it goes on with the nearest generation that
/// knows its tenant; a record whose tenant no generation knows goes to the spill and comes back when new names arrive.
/// Never blocks. Thread: the loop's.
class Intake {
 public:
  using Clock = std::chrono::steady_clock;
  using RequestNames = std::function<void(std::uint32_t generation)>;

  static constexpr std::chrono::seconds kNamesWait{2};
  static constexpr std::size_t kWaitingMax = 1U << 16;

  struct Counters {
    std::uint64_t accepted = 0;
    std::uint64_t malformed = 0;  ///< refused by decode_record, or of a tenant its own generation does not have
    std::uint64_t spilled = 0;
    std::uint64_t lost = 0;  ///< the spill was full or could not be written
  };

  Intake(NameCache& names, Journal& journal, Spill& spill, RemoteUsers& users, RequestNames request);

  /// Copies of ring records of one turn; sorted by time here.
  void offer(std::span<const LogRecord> records, Clock::time_point now);
  /// Writes what can be written. `wall`: the time of day.
  void process(Clock::time_point now, Timestamp wall);
  /// Stopping: nothing waits any longer.
  void flush(Timestamp wall);
  /// New names are in the cache: what was spilled is tried again.
  void replay_spill(Timestamp wall);

  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }
  /// Copies of those that wait, in order.
  [[nodiscard]] std::vector<LogRecord> waiting_records() const;

 private:
  struct Waiting {
    LogRecord raw;
    RingRecord record;
    Clock::time_point since;
  };
  enum class Fate : std::uint8_t { kWait, kEntry, kSpill, kRefuse };

  Fate decide(const RingRecord& record, bool patient, std::vector<LogEntry>& entries);
  void keep(std::vector<LogRecord>& unnamed);

  NameCache& names_;
  Journal& journal_;
  Spill& spill_;
  RemoteUsers& users_;
  RequestNames request_;
  std::deque<Waiting> waiting_;
  Counters counters_;
};

}  // namespace sekisho::mgmt
