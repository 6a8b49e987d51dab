// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "mgmt/log/store.h"
#include "mgmt/log/vault/keyring.h"
#include "mgmt/log/vault/manifest.h"
#include "mgmt/log/vault/segment.h"

namespace sekisho::mgmt {

/// What readers on other threads see of a stream: files that only grow, and a copy of what is not in a block yet.
struct StreamView {
  struct Segment {
    SegmentName name;
    std::string path;
    std::uint64_t limit = 0;
    AeadKey key{};
  };
  StreamName stream;
  std::vector<Segment> segments;  ///< oldest first
  std::string rows;               ///< row.h, each after its length
  std::uint32_t row_count = 0;
  std::uint64_t next_block = 0;  ///< the number the rows' block will have

  /// The rows as a block; none when there are none.
  [[nodiscard]] Result<std::optional<Block>> pending() const;
};

/// LogStore on sealed blocks: ROOT/<svc>/<type>/<date>-<n>.seg, and the records that are no block yet in
/// ROOT/<svc>/<type>/wal-<block>.
///
/// Overview. append() seals records one batch a frame into the wal; when a block's worth is there, or its hour is over,
/// it becomes a block of the day's segment, and the wal is removed as soon as the block is safe. Life-cycle. A stream
/// is opened and mended when first asked for: frames and blocks that a crash tore are cut away, wals whose block is
/// there are dropped, others are read. Both files only grow, so a spool can cut them back. Synchronisation. One thread;
/// others read StreamViews. Limits. A block has at most kBlockRowsMax records; all streams together keep
/// Options::pending_bytes_max outside blocks. Errors. kOs, errno; kStore: damaged or foreign files.
class Vault final : public LogStore {
 public:
  struct Options {
    std::uint64_t segment_bytes_max = 1U << 30;
    std::size_t open_files_max = 512;  ///< streams with open files
    std::size_t pending_bytes_max = 256U << 20;
    std::size_t block_rows = kBlockRowsMax;
    std::size_t block_bytes = 4U << 20;  ///< unpacked
    std::size_t sync_each_max = 64;      ///< more dirty files than that: the whole disk at once
  };

  /// `root` exists and only logd writes below it.
  explicit Vault(std::string root);
  Vault(std::string root, Options options, Disk& disk);
  ~Vault() override;
  Appended append(const StreamName& stream, std::span<const LogEntry> entries) override;
  Result<void> sync() override;
  Result<std::optional<LogEntry>> newest(const StreamName& stream) override;
  Result<std::unique_ptr<LogCursor>> open(const StreamName& stream, StartAt start) override;

  /// Called before the first append to a file since forget_noted(), with its path below the root and its length then;
  /// when it fails, so does the append.
  using BeforeAppend = std::function<Result<void>(const std::string& path, std::uint64_t bytes)>;
  void on_first_append(BeforeAppend note) { note_ = std::move(note); }
  /// Nobody will cut files back to what was noted any more.
  void forget_noted();

  /// Records of hours before `now` become blocks; with `all`, every record does.
  void seal_hours(Timestamp now, bool all = false);
  /// Signs for blocks of hours before `now`, or for all. Only when sync() succeeded and nobody would cut a file back.
  Result<void> sign(Timestamp now, bool all = false);

  /// For readers on other threads: the days from `first` to `last`.
  Result<StreamView> view(const StreamName& stream, Day first, Day last);
  /// Tenants and streams there are.
  [[nodiscard]] std::vector<StreamName> streams() const;
  [[nodiscard]] std::string folder(const StreamName& stream) const;
  [[nodiscard]] const std::string& root() const { return root_; }
  [[nodiscard]] Keyring& keyring() { return keyring_; }
  [[nodiscard]] Disk& disk() { return disk_; }

  /// Days that were kept long enough: keys destroyed, files removed, said under signature. All streams at once.
  struct Expired {
    std::size_t segments = 0;
    std::uint64_t bytes = 0;
  };
  Result<Expired> expire(const std::map<StreamName, Day>& first_kept, Timestamp now);
  /// Streams of one tenant (all when empty): keys, files, everything in memory. What it was is in the answer.
  struct Erased {
    StreamName stream;
    std::uint64_t records = 0, bytes = 0, keys = 0;
    std::uint64_t first_sequence = 0, last_sequence = 0;
  };
  Result<std::vector<Erased>> erase(const std::string& service_code, const std::vector<LogKind>& types);

  struct Count {
    std::uint64_t records = 0, bytes = 0, first_sequence = 0, last_sequence = 0;
    Day first_day = 0, last_day = 0;
    Timestamp newest;
  };
  Result<Count> count(const StreamName& stream);

  /// Torn frames and blocks cut away at start.
  [[nodiscard]] std::uint64_t torn() const { return torn_; }
  [[nodiscard]] std::size_t pending_bytes() const { return pending_bytes_; }

 private:
  friend class VaultCursor;
  struct State;
  struct Retired {
    std::string path;
    bool synced = false, settled = false;
  };

  Result<State*> state_of(const StreamName& stream);
  Result<void> recover(const StreamName& stream, State& state);
  Result<void> recover_segments(const StreamName& stream, State& state, const std::vector<std::uint64_t>& wals);
  Result<void> cut_segment(const StreamName& stream, State& state, std::uint64_t limit, bool again);
  Result<std::optional<LogEntry>> newest_before(const StreamName& stream, const State& state);
  Result<void> recover_wal(const StreamName& stream, State& state, const std::string& path,
                           std::optional<std::uint32_t> made_again);
  Result<void> recover_manifest(const StreamName& stream, State& state);
  Result<void> append_frame(const StreamName& stream, State& state, std::span<const LogEntry> entries, Day day);
  Result<void> open_wal(const StreamName& stream, State& state, Day day);
  Result<void> open_segment(const StreamName& stream, State& state);
  Result<void> seal(const StreamName& stream, State& state);
  Result<void> use_key(const StreamName& stream, State& state, Day day);
  Result<void> note(const StreamName& stream, const std::string& file, std::uint64_t bytes, std::uint64_t& noted);
  Result<void> append_manifest(const StreamName& stream, State& state, Manifest manifest);
  void count_block(const StreamName& stream, State& state, const SegmentName& segment, const BlockHead& head,
                   const Sha256Digest& chain);
  void take_row(State& state, const LogEntry& entry, std::string_view row);
  void close_some();
  Result<void> sync_state(const StreamName& stream, State& state);
  void remove_retired();

  std::string root_;
  Options options_;
  Disk& disk_;
  Keyring keyring_;
  std::map<StreamName, std::unique_ptr<State>> states_;
  std::map<LogKind, std::unique_ptr<BlockWriter>> writers_;
  std::vector<Retired> retired_;
  BeforeAppend note_;
  std::uint64_t epoch_ = 1;
  std::uint64_t torn_ = 0;
  std::size_t pending_bytes_ = 0;
};

}  // namespace sekisho::mgmt
