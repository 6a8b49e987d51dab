// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <iosfwd>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/proto/control_log.pb.h"
#include "mgmt/log/journal.h"
#include "mgmt/log/vault/vault.h"

namespace sekisho::mgmt {

/// A place in a stream: behind the record of that time and number.
struct StreamPlace {
  Timestamp time;
  std::uint64_t sequence = 0;
  auto operator<=>(const StreamPlace&) const = default;
};

/// What collectors have had of the records, and what comes next for each (ReadLogExport).
///
/// Overview. exportd asks for a batch, sends it, and says when it has come; only then its place moves on, in memory at once and in
/// ROOT/exports/ within a second. Whatever dies, at worst some records are given again. Only records that are safe on the disk are given:
/// no collector has what a power cut takes from us. Life-cycle. set() says which targets there are and what each gets,
/// whatever exportd asks for; a new one begins with what comes from then on. Limits. Who is more than a day behind loses
/// the oldest, and a loss record with the target's name says so; a batch holds kBatchRecordsMax records and about
/// kBatchBytesMax; kOutstandingMax batches are given before one has to have come.
/// Thread: the loop's.
class LogExports {
 public:
  static constexpr std::size_t kBatchRecordsMax = 2048, kBatchBytesMax = 512U << 10, kOutstandingMax = 256, kTargetsMax = 4096;
  static constexpr std::size_t kSavedAtOnceMax = 32;
  static constexpr std::uint64_t kBacklogNs = 86'400'000'000'000;

  using Clock = std::function<Timestamp()>;
  using Note = std::function<void(const std::string&)>;

  LogExports(Vault& vault, Journal& journal, Clock wall, Note note);
  ~LogExports();

  /// Reads what was remembered. A file that cannot be read is a target that is a day behind: rather twice than never.
  Result<void> open();
  ipc::LogExportBatch read(const ipc::ReadLogExport& request);
  /// controld's word.
  ipc::LogExportsSet set(const ipc::SetLogExports& request);
  /// Of the last whole list; 0: none since the start. What was remembered is gone by until then.
  [[nodiscard]] std::uint32_t generation() const { return generation_; }
  /// Everything stored so far survives a power cut.
  void take_safe();
  /// Writes places that have changed, of some targets a call.
  void save();
  /// Of targets nobody reads for: what is an hour more than a day old is given up.
  void give_up_old();
  /// The state of an owner's targets, or of all when the code is empty.
  void tell(const std::string& service_code, ipc::LogStatus& out) const;

 private:
  struct Source;
  struct Target;
  using Name = std::pair<std::string, std::string>;  ///< owner, name
  /// What a target gets.
  struct Share {
    std::vector<LogKind> types;              ///< sorted; all when empty
    std::vector<std::string> service_codes;  ///< sorted; of the provider's: all when empty
  };

  static bool read_share(const ipc::LogExportName& from, Share& out);
  static bool is_shared(const Share& share, const StreamName& stream);
  static bool load_share(std::istream& in, Share& out);
  [[nodiscard]] std::string path_of(const Name& name) const;
  bool load(const std::string& path);
  Result<void> save(const Name& name, Target& target);
  Source& source_of(Target& target, const StreamName& stream);
  [[nodiscard]] std::vector<StreamName> streams_of(const std::string& owner, const Share& share) const;
  void take_status(Target& target, const ipc::LogTargetStatus& status);
  static bool acknowledge(Target& target, std::uint64_t number);
  static void restart(Target& target);
  bool advance(Source& source, const StreamName& stream);
  bool skip_old(const Name& name, Target& target, Source& source, const StreamName& stream, std::uint64_t age);
  void fill(Target& target, Source& source, const StreamName& stream, std::size_t records_max, ipc::LogExportBatch& out,
            std::size_t& records, std::size_t& bytes);

  Vault& vault_;
  Journal& journal_;
  Clock wall_;
  Note note_;
  std::string folder_;
  std::map<Name, std::unique_ptr<Target>> targets_;
  std::map<StreamName, StreamPlace> safe_;  ///< of streams that are read: up to there
  std::set<StreamName> used_;
  Name last_saved_, last_looked_;
  std::set<std::string> damaged_;  ///< files of targets whose names are not known yet
  std::map<Name, Share> announced_;  ///< of a list that goes on
  std::uint32_t announced_generation_ = 0, generation_ = 0;
  std::uint64_t number_ = 0;
};

}  // namespace sekisho::mgmt
