// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "mgmt/log/store.h"

namespace sekisho::mgmt {

/// Numbers records and puts them into the store, so that (specification F-63) the sequence numbers of a stream have no
/// hole that a loss record does not cover, and its times never fall.
///
/// A number is given once per (service code, type, node). After a restart counting goes on from the last stored record,
/// or from the end of a stored loss that covers it. What the store refuses keeps its numbers and is covered by a loss
/// record (disk_full) as soon as the store takes one; until then nothing further is stored in that stream.
/// Thread: the loop's.
class Journal {
 public:
  using Random = std::function<std::array<std::uint8_t, 10>()>;

  Journal(LogStore& store, Random random);

  /// `entries` in time order, without seq, and without eid unless they were born with one; loss entries without their
  /// range. `now`: no record is later than this.
  void write(std::vector<LogEntry> entries, Timestamp now);
  /// Asked of every record: what it does not let in is lost, and a loss record says so (disk_full).
  using Gate = std::function<bool(const LogEntry&)>;
  void set_gate(Gate gate) { gate_ = std::move(gate); }
  /// Tenants that are gone for good: what still comes of them is dropped without a trace.
  using Over = std::function<bool(const std::string& service_code)>;
  void set_over(Over over) { over_ = std::move(over); }
  /// Whether the clock agrees with an outer source: every record says how that was when it got its number.
  void set_time_synced(bool synced) { time_synced_ = synced; }
  /// Tries again to store the loss records that the store refused.
  void retry(Timestamp now);
  /// Stores a loss of one collector's (export_name): the log itself has all. False: the store refuses, and nothing was said.
  bool tell_export_loss(const std::string& service_code, const std::string& node, std::uint32_t rev, const LossFields& loss,
                        Timestamp now);
  Result<void> sync() { return store_.sync(); }

  [[nodiscard]] std::uint64_t stored() const { return stored_; }
  [[nodiscard]] std::uint64_t refused() const { return refused_; }
  /// Why the store last refused; empty when it takes records.
  [[nodiscard]] const std::optional<Error>& trouble() const { return trouble_; }
  /// True when every loss is on record.
  [[nodiscard]] bool settled() const;

 private:
  struct Key {
    StreamName stream;
    std::string node;
    auto operator<=>(const Key&) const = default;
  };
  struct State {
    std::uint64_t next = 1;
    Timestamp last;
    std::uint32_t rev = 0;
    std::vector<LossFields> owed;  ///< losses of this stream that are not on record yet
    bool recovered = false;        ///< `next` is known
    LossFields unnumbered;         ///< records that came while the store could not be read: count and times
  };

  State& state_of(const Key& key);
  Result<void> recover(const Key& key, State& state);
  void number_missed(const Key& key, State& state);
  void take_range(State& state, LossFields loss);
  void cover_loss(const LogEntry& entry, Timestamp now);
  bool pay(const Key& key, State& state, Timestamp now);
  bool store_loss(const Key& key, std::uint32_t rev, const LossFields& loss, Timestamp now);
  static void owe(State& state, const LossFields& loss);
  void append(const Key& key, std::vector<LogEntry>& run, Timestamp now);
  void stamp(LogEntry& entry, State& state, Timestamp now);

  LogStore& store_;
  Random random_;
  Gate gate_;
  Over over_;
  std::map<Key, State> states_;
  std::optional<bool> time_synced_;
  std::uint64_t stored_ = 0, refused_ = 0;
  std::optional<Error> trouble_;
};

/// Bits from the kernel, fetched in blocks.
Journal::Random kernel_random();

}  // namespace sekisho::mgmt
