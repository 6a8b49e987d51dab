// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "base/crypto/signature.h"
#include "base/result.h"
#include "control/access/refusal.h"
#include "control/erasure/endings.h"

namespace sekisho::control {

/// What was taken out of one place, and what a look afterwards still found there.
struct Purged {
  std::string what;
  std::uint64_t erased = 0;
  std::uint64_t left = 0;
};

/// Ends of contracts, from the request to the signed report:
///   requested (may be withdrawn) - the end: nothing passes any more - readable for a while - erasing - erased.
/// Nothing that cannot be undone happens on a clock that is not believed (ClockGuard). FOLDER/erasures.bin is on the disk
/// before a step begins, so that whoever starts next goes on with it; it is in no backup, and what a backup brings back is
/// taken out again. Everything else is asked of the Environment. Thread: that of controld's loop.
class Erasures {
 public:
  struct Environment {
    std::function<void(const std::string& line)> complain;
    /// Keeps what the owner may still read, before the end takes it out of the configuration.
    std::function<Result<void>(const StoredErasure& ending)> keep_readable;
    /// Puts the configuration in force as amend() leaves it. `insist`: goes over a commit that waits for its confirmation.
    std::function<void(const std::string& comment, bool insist,
                       std::function<void(std::uint32_t revision, const std::string& error)> done)>
        put_in_force;
    /// Takes it out of all that controld keeps: of revisions up to `ending.erased_revision()`.
    std::function<Result<std::vector<Purged>>(const StoredErasure& ending)> purge;
    /// Whether that was done in this very store.
    std::function<bool(const StoredErasure& ending)> is_purged;
    std::function<void(const ipc::EraseLog& question, std::function<void(const ipc::LogErasure& said, const std::string& refusal)> done)>
        erase_log;
    /// For the operation log: "end", "erase".
    std::function<void(const std::string& operation, const StoredErasure& ending)> tell;
  };
  struct Wish {
    std::string tenant;
    StoredErasure::Scope scope{};
    ipc::EraseLog::Contract contract{};
    std::string end;  ///< the last day; empty: it ends now
    std::string reason, by;
  };
  static constexpr std::int64_t kEndsAheadDaysMax = 3 * 366;
  static constexpr std::int64_t kInsistSeconds = 3600;  ///< after the end a commit that waits is gone over
  static constexpr std::int64_t kRetrySeconds = 10;
  static constexpr std::int64_t kAfterMidnightSeconds = 600;

  Erasures(std::string folder, Environment environment);

  /// Reads what is kept, makes the unit's key when there is none, and takes out again what a backup brought back.
  Result<void> load();
  /// Call about once a second.
  void tick(std::uint64_t wall_ns, std::chrono::nanoseconds monotonic, bool in_step);

  std::variant<StoredErasure, Refusal> end(const Wish& wish, std::int64_t now);
  Refusal withdraw(const std::string& tenant, const std::string& id, std::int64_t now);
  /// Before its day, but not before its end.
  std::variant<StoredErasure, Refusal> erase_early(const std::string& tenant, const std::string& id);

  [[nodiscard]] const std::vector<StoredErasure>& all() const { return all_; }
  /// apply_endings() of all.
  [[nodiscard]] std::string amend(model::Configuration& configuration) const { return apply_endings(all_, configuration); }
  /// The end of this tenant's contract that has come; null: none has.
  [[nodiscard]] const StoredErasure* ended(const std::string& tenant) const;
  /// Whether the owner's time for reading is over.
  [[nodiscard]] bool is_closed(const std::string& tenant, std::int64_t now) const;
  [[nodiscard]] SigningPublic public_key() const { return public_of(seed_); }
  /// What another copy of this list knows: who is further along wins.
  Result<void> adopt(const erasure::StoredErasures& others);

 private:
  Result<void> save();
  Result<void> open_key();
  StoredErasure* find(const std::string& tenant, const std::string& id);
  void step(StoredErasure& ending, Day today, std::int64_t now);
  void begin_end(StoredErasure& ending);
  void stop_it(StoredErasure& ending, std::int64_t now);
  void erase(StoredErasure& ending, std::int64_t now);
  void erase_records(const std::string& id, std::vector<Purged> gone);
  void finish(const std::string& id, const std::vector<Purged>& gone, const ipc::LogErasure& said);
  void again_later(const std::string& why);
  std::string report_of(const StoredErasure& ending, const std::vector<Purged>& gone, const std::string& log);

  std::string folder_;
  Environment environment_;
  std::vector<StoredErasure> all_;
  ClockGuard guard_{0};
  Day believed_ = 0;
  SigningSeed seed_{};
  bool under_way_ = false;
  std::int64_t now_ = 0, not_before_ = 0;
};

/// The signature of a report, over all that stands before it.
inline constexpr std::string_view kReportSignature = ",\"signature\":\"";

}  // namespace sekisho::control
