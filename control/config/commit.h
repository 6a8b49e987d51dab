// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/compile/ids.h"
#include "control/config/codec.h"
#include "control/config/store.h"
#include "control/config/timetable.h"

namespace sekisho::control {

/// What a commit needs of the data plane; DataplaneLink in production.
class SnapshotSink {
 public:
  struct Outcome {
    enum class Kind : std::uint8_t { kApplied, kRejected, kLost };  ///< kLost: no answer; it may be in force or not
    Kind kind = Kind::kLost;
    std::string reason;
    std::uint64_t build_microseconds = 0;
    std::uint64_t swap_microseconds = 0;
  };
  using Done = std::function<void(const Outcome&)>;
  virtual ~SnapshotSink() = default;
  [[nodiscard]] virtual bool connected() const = 0;
  /// Calls `done` exactly once, never before returning.
  virtual void apply(std::uint32_t generation, std::span<const std::uint8_t> snapshot, Done done) = 0;
};

struct CommitRequest {
  std::string text;
  std::string comment;
  std::string author;
  std::uint32_t confirm_seconds = 0;  ///< 0 = no confirmation
  std::uint32_t base_revision = 0;    ///< 0 = any
  bool was_in_force = false;          ///< a backup's: exceptions of it may have ended meanwhile
};

struct CommitAnswer {
  bool ok = false;
  std::uint32_t revision = 0;
  std::vector<Finding> findings;
  std::string error;
  std::uint32_t confirm_seconds = 0;
  std::uint64_t compile_microseconds = 0;
  std::uint64_t build_microseconds = 0;
  std::uint64_t swap_microseconds = 0;
};

/// Moves the system from one revision to the next, so that a crash between any two steps ends, after a restart, in the old
/// or the new one:
///   store pending (with the ids and the rollback time) - send - Applied - mark running - write snapshot.bin.
/// snapshot.bin, from which dataplaned starts without us, always holds the last *confirmed* revision. Whatever is undecided
/// is decided by what the data plane says is in force when it connects (connected()).
/// One commit at a time; one thread; time comes from outside.
class Committer {
 public:
  /// The places where a crash matters, in order; tests stop there.
  enum class Step : std::uint8_t { kStored, kApplied, kMarked, kWritten };
  struct Environment {
    std::string snapshot_path;
    std::function<std::uint64_t()> now_ns;             ///< Unix time
    std::function<void(const std::string&)> complain;  ///< one line for the journal
    std::function<void(Step)> at_step;                 ///< may be empty
    /// Takes out what may not be in force any more, whatever a document says; returns why, empty when there was nothing.
    std::function<std::string(model::Configuration&)> amend = {};  ///< may be empty
    /// Why no new document is taken now; empty: it is. A rollback is never asked about.
    std::function<std::string(const CommitRequest&)> refuse = {};  ///< may be empty
  };
  using Done = std::function<void(CommitAnswer)>;

  Committer(Store& store, Ids& ids, SnapshotSink& sink, Environment environment);

  /// Makes snapshot.bin agree with the store. Call once, before the link connects.
  void start();
  void commit(CommitRequest request, Done done);
  /// 0 = the one waiting.
  CommitAnswer confirm(std::uint32_t revision);
  /// A new revision with the content of `revision`, one of those kept.
  void rollback(std::uint32_t revision, CommitRequest request, Done done);
  /// The data plane is there and `generation`, as it was at `moment`, is in force in it.
  void connected(std::uint32_t generation, std::int64_t moment = 0);
  /// Rolls back what was not confirmed in time, and sends the running revision anew when the clock has changed what its
  /// rules say. Call about once a second.
  void tick();
  /// Unix seconds.
  [[nodiscard]] std::int64_t now() const { return static_cast<std::int64_t>(environment_.now_ns() / 1'000'000'000); }
  /// Unix time of the next tick() needed.
  [[nodiscard]] std::optional<std::uint64_t> next_deadline();

 private:
  enum class Origin : std::uint8_t { kDocument, kRollback };
  struct Draft {
    RevisionInfo info;
    Origin origin = Origin::kDocument;
    bool was_in_force = false;
    std::string text;
    std::vector<std::uint8_t> snapshot;
    std::int64_t moment = 0;
    Moments moments;
    CommitAnswer answer;
    Done done;
  };
  void begin(CommitRequest request, Origin origin, std::uint32_t copied_from, Done done);
  [[nodiscard]] std::string why_not(const CommitRequest& request, Origin origin);
  bool compile_into(Draft& draft);
  [[nodiscard]] model::Configuration running_model();
  void store_and_send(Draft draft);
  void finish(Draft draft, const SnapshotSink::Outcome& outcome);
  bool make_running(const Draft& draft);
  void settle_pending(std::uint32_t generation);
  void reapply(std::uint32_t generation);
  bool write_snapshot(std::span<const std::uint8_t> snapshot);
  struct Recompiled {
    std::vector<std::uint8_t> snapshot;
    std::int64_t moment = 0;
    Moments moments;
  };
  std::optional<Recompiled> recompile(std::uint32_t number);
  void roll_back_in_time();
  void keep_time();
  void step(Step step) const;
  void complain(const std::string& line) const { environment_.complain(line); }

  Store& store_;
  Ids& ids_;
  SnapshotSink& sink_;
  Environment environment_;
  bool busy_ = false;
  std::uint32_t generation_floor_ = 0;     ///< the data plane was seen at this one: new numbers are above it
  std::uint64_t retry_rollback_at_ns_ = 0;
  /// What the data plane was last known to have in force.
  struct {
    std::uint32_t generation = 0;
    std::int64_t moment = 0;
  } in_force_;
  Moments moments_;                      ///< of revision `moments_of_`
  std::uint32_t moments_of_ = 0;
  std::uint64_t retry_moment_at_ns_ = 0;
};

/// All findings of decoding, validation and a compilation against ids of no consequence, at Unix second `now`; `running`, which may be
/// empty, tells what is in force. Changes nothing.
std::vector<Finding> check_document(const Decoded& decoded, std::int64_t now, const std::function<model::Configuration()>& running = {});

}  // namespace sekisho::control
