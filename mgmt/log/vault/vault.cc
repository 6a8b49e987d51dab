// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/vault/vault.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "base/assert.h"
#include "mgmt/log/files.h"
#include "mgmt/log/time_text.h"
#include "mgmt/log/vault/vault_state.h"

namespace sekisho::mgmt {
namespace {

constexpr std::uint64_t kHour = 3'600'000'000'000;
constexpr std::size_t kFrameRows = 4096;
constexpr std::size_t kManifestBytesMax = 64U << 20, kWalBytesMax = 512U << 20;
constexpr Error kNoKey{ErrorCode::kDenied, ErrorSite::kStore, 4};

std::uint64_t hour_of(Timestamp time) {
  return time.ns / kHour;
}  // Japan is whole hours ahead

/// Numbers of the wals of a folder, rising.
std::vector<std::uint64_t> list_wals(const std::string& folder) {
  std::vector<std::uint64_t> out;
  DIR* handle = ::opendir(folder.c_str());
  if (handle == nullptr) return out;
  while (const dirent* entry = ::readdir(handle)) {
    if (const auto block = parse_wal_name(entry->d_name)) out.push_back(*block);
  }
  ::closedir(handle);
  std::sort(out.begin(), out.end());
  return out;
}

std::uint64_t file_bytes(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
}

/// A node's name as it may stand in JSON: it came from a configuration or a peer.
std::string plain(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) out += c;
  }
  return out;
}

}  // namespace

Result<std::optional<Block>> StreamView::pending() const {
  if (row_count == 0) return std::optional<Block>{};
  BlockWriter writer(stream.type);
  std::string_view left = rows;
  for (std::uint32_t i = 0; i < row_count; ++i) {
    std::uint64_t length = 0;
    if (!take_varint(left, length) || length > left.size()) return Error{ErrorCode::kMalformed, ErrorSite::kStore, i};
    SEKISHO_TRY(const LogEntry entry, read_row(stream.type, left.substr(0, length)));
    left.remove_prefix(length);
    writer.add(entry);
  }
  SEKISHO_TRY(Block block, Block::parse(stream.type, writer.finish().body));
  return std::optional(std::move(block));
}

Vault::Vault(std::string root) : Vault(std::move(root), Options{}, real_disk()) {}
Vault::Vault(std::string root, Options options, Disk& disk)
    : root_(std::move(root)), options_(options), disk_(disk), keyring_(root_, disk_) {}
Vault::~Vault() = default;

std::string Vault::folder(const StreamName& stream) const {
  SEKISHO_ASSERT(is_service_code(stream.service_code));
  return root_ + "/" + stream.service_code + "/" + std::string(text_of(stream.type));
}

Result<Vault::State*> Vault::state_of(const StreamName& stream) {
  const auto found = states_.find(stream);
  if (found != states_.end()) return found->second.get();
  SEKISHO_CHECK_OK(keyring_.open());
  auto state = std::make_unique<State>();
  SEKISHO_CHECK_OK(recover(stream, *state));
  close_some();
  return states_.emplace(stream, std::move(state)).first->second.get();
}

Result<void> Vault::use_key(const StreamName& stream, State& state, Day day) {
  if (state.key && state.key_day == day) return {};
  SEKISHO_TRY(const AeadKey key, keyring_.key(stream, day));
  state.key = std::make_unique<Aead>(key);
  state.key_day = day;
  return {};
}

Result<void> Vault::recover(const StreamName& stream, State& state) {
  const std::vector<std::uint64_t> wals = list_wals(folder(stream));
  SEKISHO_CHECK_OK(recover_segments(stream, state, wals));
  SEKISHO_CHECK_OK(recover_manifest(stream, state));
  std::optional<std::uint32_t> made_again;  // records of the block before, when a wal had to make it
  for (const std::uint64_t block : wals) {
    const std::string path = folder(stream) + "/" + wal_name(block);
    // A block that a crash tore, and behind it records that came after: it is made again before they are taken.
    if (!state.row_ends.empty() && block > state.next_block) {
      made_again = static_cast<std::uint32_t>(state.row_ends.size());
      SEKISHO_CHECK_OK(seal(stream, state));
    }
    if (block == state.next_block && state.row_ends.empty()) {
      SEKISHO_CHECK_OK(recover_wal(stream, state, path, made_again));
    } else if (disk_.remove(path) != 0 && errno != ENOENT) {
      return disk_error();
    }
  }
  return {};
}

/// Finds the end of the newest segment. Blocks that a wal can make again are read whole: a power cut may have torn
/// them.
Result<void> Vault::recover_segments(const StreamName& stream, State& state, const std::vector<std::uint64_t>& wals) {
  std::vector<SegmentName> names = list_segments(folder(stream));
  std::optional<SegmentReader> opened;
  for (; !names.empty(); names.pop_back()) {
    const std::string path = folder(stream) + "/" + names.back().text();
    auto reader = SegmentReader::open(path, stream, file_bytes(path));
    if (reader) {
      opened = std::move(*reader);
      break;
    }
    if (reader.error().where == ErrorSite::kOs) return reader.error();
    // Not even its head is whole: a power cut before it was safe, or somebody. What a wal makes again goes, else it is
    // put aside.
    const std::string aside = folder(stream) + "/torn-" + names.back().text();
    if ((wals.empty() ? disk_.rename(path, aside) : disk_.remove(path)) != 0) return disk_error();
    ++torn_;
  }
  if (!opened) return {};
  const SegmentReader& reader = *opened;
  state.segment = names.back();
  state.day = names.back().day;
  state.next_block = reader.head().first_block;
  state.chain = chain_of(reader.head());
  state.segment_bytes = kSegmentHeadBytes;
  bool whole = true;
  while (whole) {
    const auto head = reader.at(state.segment_bytes);
    if (head && !*head) break;
    whole = head && (**head).number == state.next_block && (**head).chain == state.chain;
    if (!whole) break;
    const bool doubtful =
        (!wals.empty() && state.next_block >= wals.front()) || state.segment_bytes + (**head).bytes() == reader.limit();
    const auto digest =
        doubtful ? reader.digest(state.segment_bytes, **head) : reader.stored_digest(state.segment_bytes, **head);
    whole = digest.has_value();
    if (!whole) break;
    state.chain = *digest;
    state.segment_bytes += (**head).bytes();
    state.rows_before = (**head).rows;
    ++state.next_block;
  }
  if (!whole) {
    const bool again = std::find(wals.begin(), wals.end(), state.next_block) != wals.end();
    SEKISHO_CHECK_OK(cut_segment(stream, state, reader.limit(), again));
  }
  SEKISHO_TRY(state.newest, newest_before(stream, state));
  return {};
}

/// What follows the last whole block is cut away. What no wal can make `again` is kept beside, for those who ask what
/// happened.
Result<void> Vault::cut_segment(const StreamName& stream, State& state, std::uint64_t limit, bool again) {
  const std::string path = folder(stream) + "/" + state.segment->text();
  const Fd fd(disk_.open(path));
  if (!fd.valid()) return disk_error();
  if (!again) {
    SEKISHO_TRY(const std::string tail, read_exact(fd.get(), state.segment_bytes, limit - state.segment_bytes));
    SEKISHO_CHECK_OK(replace_for_good(disk_, folder(stream) + "/torn-" + std::to_string(state.next_block), tail));
  }
  if (disk_.truncate(fd.get(), state.segment_bytes) != 0 || disk_.sync(fd.get()) != 0) return disk_error();
  ++torn_;
  return {};
}

/// The last record of the last block there is.
Result<std::optional<LogEntry>> Vault::newest_before(const StreamName& stream, const State& state) {
  const std::vector<SegmentName> names = list_segments(folder(stream));
  for (std::size_t i = names.size(); i-- > 0;) {
    const std::string path = folder(stream) + "/" + names[i].text();
    const std::uint64_t limit = names[i] == state.segment ? state.segment_bytes : file_bytes(path);
    SEKISHO_TRY(const SegmentReader reader, SegmentReader::open(path, stream, limit));
    std::optional<BlockHead> last;
    std::uint64_t at = 0;
    for (std::uint64_t offset = kSegmentHeadBytes;;) {
      SEKISHO_TRY(const auto head, reader.at(offset));
      if (!head) break;
      last = *head, at = offset;
      offset += head->bytes();
    }
    if (!last) continue;
    SEKISHO_TRY(const auto key, keyring_.find(stream, names[i].day));
    if (!key) return kNoKey;
    Aead aead(*key);
    SEKISHO_TRY(Block block, reader.body(at, *last, aead));
    SEKISHO_TRY(LogEntry entry, block.entry(block.rows() - 1));
    return std::optional(std::move(entry));
  }
  return std::optional<LogEntry>{};
}

Result<void> Vault::recover_wal(const StreamName& stream, State& state, const std::string& path,
                                std::optional<std::uint32_t> made_again) {
  Fd fd(disk_.open(path));
  if (!fd.valid()) return disk_error();
  SEKISHO_TRY(const std::uint64_t bytes, size_of(fd.get()));
  SEKISHO_TRY(const std::string text, read_exact(fd.get(), 0, std::min<std::uint64_t>(bytes, kWalBytesMax)));
  const auto head = parse_wal_head(stream, state.next_block, text);
  WalContents contents;
  if (head && (!made_again || head->rows_before == *made_again)) {
    SEKISHO_TRY(const auto key, keyring_.find(stream, head->day));
    if (!key) return kNoKey;
    SEKISHO_CHECK_OK(use_key(stream, state, head->day));
    contents = read_wal(text, *state.key);
    state.day = head->day;
    state.rows_before = head->rows_before;
  }
  if (contents.good < bytes) {
    if (disk_.truncate(fd.get(), contents.good) != 0 || disk_.sync(fd.get()) != 0) return disk_error();
    torn_ += bytes > kWalHeadBytes ? 1 : 0;
  }
  for (std::string_view left = contents.rows; !left.empty();) {
    std::uint64_t length = 0;
    if (!take_varint(left, length) || length > left.size()) return Error{ErrorCode::kMalformed, ErrorSite::kStore, 5};
    SEKISHO_TRY(LogEntry entry, read_row(stream.type, left.substr(0, length)));
    take_row(state, entry, left.substr(0, length));
    state.newest = std::move(entry);
    left.remove_prefix(length);
  }
  state.wal_fd = std::move(fd);
  state.wal_bytes = contents.good;
  return {};
}

/// Continues the line of manifests, and counts the blocks that none speaks of yet.
Result<void> Vault::recover_manifest(const StreamName& stream, State& state) {
  const std::string path = folder(stream) + "/manifest";
  const auto text = read_file(path, kManifestBytesMax);
  if (!text && text.error().code != ErrorCode::kNotFound) return text.error();
  std::string_view left = text ? std::string_view(*text) : std::string_view();
  std::uint64_t good = 0;
  for (std::size_t end; (end = left.find('\n')) != std::string_view::npos; left.remove_prefix(end + 1)) {
    const auto line = parse_manifest(left.substr(0, end));
    if (!line) break;
    state.next_manifest = line->number + 1;
    state.last_line = digest_of_line(left.substr(0, end));
    if (line->kind == Manifest::Kind::kHour) {
      state.first_unsigned = line->last_block + 1;
      // When all its days are over, a stream goes on where it was.
      if (!state.segment) {
        state.next_block = state.first_unsigned;
        state.chain = line->chain;
        state.newest = make_entry(stream.type);
        state.newest->svc = stream.service_code, state.newest->node = line->node,
        state.newest->seq = line->last_sequence;
      }
    }
    good += end + 1;
  }
  if (text && good < text->size() &&
      text->find('\n', good) == std::string::npos) {  // a torn last line; what else is wrong, verification says
    const Fd fd(disk_.open(path));
    if (!fd.valid() || disk_.truncate(fd.get(), good) != 0) return disk_error();
  }
  for (const SegmentName& name : list_segments(folder(stream))) {
    const std::string file = folder(stream) + "/" + name.text();
    SEKISHO_TRY(const SegmentReader reader,
                SegmentReader::open(file, stream, name == state.segment ? state.segment_bytes : file_bytes(file)));
    for (std::uint64_t offset = kSegmentHeadBytes;;) {
      SEKISHO_TRY(const auto head, reader.at(offset));
      if (!head) break;
      if (head->number >= state.first_unsigned) {
        SEKISHO_TRY(const Sha256Digest chain, reader.stored_digest(offset, *head));
        count_block(stream, state, name, *head, chain);
      }
      offset += head->bytes();
    }
  }
  return {};
}

void Vault::take_row(State& state, const LogEntry& entry, std::string_view row) {
  const std::size_t before = state.rows.size();
  append_varint(state.rows, row.size());
  state.rows += row;
  pending_bytes_ += state.rows.size() - before;
  if (state.row_ends.empty()) {
    state.pending.first = entry.ts;
    state.pending.first_sequence = entry.seq;
  }
  state.row_ends.push_back(static_cast<std::uint32_t>(state.rows.size()));
  state.pending.last = std::max(entry.ts, state.pending.first);
  state.pending.last_sequence = entry.seq;
}

LogStore::Appended Vault::append(const StreamName& stream, std::span<const LogEntry> entries) {
  auto found = state_of(stream);
  if (!found) return {0, found.error()};
  State& state = **found;
  std::size_t stored = 0;
  while (stored < entries.size()) {
    // Times of one stream never fall, so an earlier day than the stream's only comes from a stream that is ahead: it
    // goes on with its day.
    const Day day = std::max(day_of(entries[stored].ts), state.day);
    const bool full = state.row_ends.size() >= options_.block_rows || state.rows.size() >= options_.block_bytes;
    if (!state.row_ends.empty() && (day != state.day || full)) {
      if (const auto sealed = seal(stream, state); !sealed) return {stored, sealed.error()};
    }
    std::size_t end = stored;
    const std::size_t room =
        std::min(kFrameRows, options_.block_rows - std::min(options_.block_rows, state.row_ends.size()));
    while (end < entries.size() && end - stored < room && std::max(day_of(entries[end].ts), state.day) == day) ++end;
    if (const auto written = append_frame(stream, state, entries.subspan(stored, end - stored), day); !written) {
      return {stored, written.error()};
    }
    stored = end;
  }
  if (state.row_ends.size() >= options_.block_rows || pending_bytes_ > options_.pending_bytes_max)
    (void)seal(stream, state);
  return {stored, std::nullopt};
}

Result<void> Vault::append_frame(const StreamName& stream, State& state, std::span<const LogEntry> entries, Day day) {
  SEKISHO_CHECK_OK(use_key(stream, state, day));
  SEKISHO_CHECK_OK(open_wal(stream, state, day));
  std::string rows, row;
  std::vector<std::size_t> ends;
  for (const LogEntry& entry : entries) {
    row.clear();
    append_row(row, entry);
    append_varint(rows, row.size());
    rows += row;
  }
  SEKISHO_CHECK_OK(note(stream, wal_name(state.next_block), state.wal_bytes, state.wal_noted));
  std::string head = wal_head(stream, {day, state.rows_before}, state.next_block);
  const std::uint64_t at = std::max<std::uint64_t>(state.wal_bytes, kWalHeadBytes);
  std::string frame = seal_frame(head, at, rows, *state.key);
  if (state.wal_bytes == 0) frame.insert(0, head);
  SEKISHO_CHECK_OK(write_whole(disk_, state.wal_fd.get(), frame, state.wal_bytes));
  state.wal_bytes += frame.size();
  state.wal_dirty = true;
  state.day = day;
  std::string_view left = rows;
  for (const LogEntry& entry : entries) {
    std::uint64_t length = 0;
    SEKISHO_ASSERT(take_varint(left, length));
    take_row(state, entry, left.substr(0, length));
    left.remove_prefix(length);
  }
  state.newest = entries.back();
  return {};
}

Result<void> Vault::open_wal(const StreamName& stream, State& state, Day) {
  if (state.wal_fd.valid()) return {};
  const std::string path = folder(stream);
  for (const std::string& one : {path.substr(0, path.rfind('/')), path}) {
    if (disk_.make_folder(one) == 0) {
      if (disk_.sync_folder(one.substr(0, one.rfind('/'))) != 0) return disk_error();
    } else if (errno != EEXIST) {
      return disk_error();
    }
  }
  const std::string file = path + "/" + wal_name(state.next_block);
  Fd fd(disk_.open(file));
  if (!fd.valid()) return disk_error();
  if (state.row_ends.empty()) {
    SEKISHO_TRY(const std::uint64_t bytes, size_of(fd.get()));
    if (bytes > 0 && disk_.truncate(fd.get(), 0) != 0) return disk_error();
    state.wal_bytes = 0;
    state.wal_noted = 0;
    state.folder_dirty = true;
  }
  state.wal_fd = std::move(fd);
  return {};
}

Result<void> Vault::open_segment(const StreamName& stream, State& state) {
  const bool next_day = !state.segment || state.segment->day < state.day;
  if (!next_day && state.segment_bytes < options_.segment_bytes_max) {
    if (state.segment_fd.valid()) return {};
    state.segment_fd = Fd(disk_.open(folder(stream) + "/" + state.segment->text()));
    return state.segment_fd.valid() ? Result<void>() : disk_error();
  }
  if (state.segment_dirty) {
    const Fd again(state.segment_fd.valid() ? -1 : disk_.open(folder(stream) + "/" + state.segment->text()));
    if (disk_.sync(state.segment_fd.valid() ? state.segment_fd.get() : again.get()) != 0) return disk_error();
    state.segment_dirty = false;
  }
  const SegmentName name{state.day, next_day ? 1 : state.segment->number + 1};
  Fd fd(disk_.open(folder(stream) + "/" + name.text()));
  if (!fd.valid()) return disk_error();
  std::uint64_t noted = 0;
  SEKISHO_CHECK_OK(note(stream, name.text(), 0, noted));
  if (disk_.truncate(fd.get(), 0) != 0) return disk_error();
  const SegmentHead head{stream, name, state.next_block, state.chain};
  SEKISHO_CHECK_OK(write_whole(disk_, fd.get(), encode(head), 0));
  state.segment = name;
  state.segment_fd = std::move(fd);
  state.segment_bytes = kSegmentHeadBytes;
  state.segment_noted = noted;
  state.segment_dirty = state.folder_dirty = true;
  state.chain = chain_of(head);
  return {};
}

Result<void> Vault::seal(const StreamName& stream, State& state) {
  SEKISHO_CHECK_OK(use_key(stream, state, state.day));
  SEKISHO_CHECK_OK(open_segment(stream, state));
  auto& writer = writers_[stream.type];
  if (!writer) writer = std::make_unique<BlockWriter>(stream.type);
  BlockHead head = state.pending;
  head.number = state.next_block;
  head.rows = static_cast<std::uint32_t>(state.row_ends.size());
  head.chain = state.chain;
  std::string_view left = state.rows;
  for (std::size_t i = 0; i < state.row_ends.size(); ++i) {
    std::uint64_t length = 0;
    SEKISHO_ASSERT(take_varint(left, length));
    const auto entry = read_row(stream.type, left.substr(0, length));
    SEKISHO_ASSERT(entry.has_value());
    writer->add(*entry);
    left.remove_prefix(length);
  }
  const SealedBlock sealed = seal_block(stream, *state.key, head, writer->finish());
  SEKISHO_CHECK_OK(note(stream, state.segment->text(), state.segment_bytes, state.segment_noted));
  SEKISHO_CHECK_OK(write_whole(disk_, state.segment_fd.get(), sealed.bytes, state.segment_bytes));
  count_block(stream, state, *state.segment, head, sealed.chain);
  state.segment_bytes += sealed.bytes.size();
  state.segment_dirty = true;
  state.chain = sealed.chain;
  retired_.push_back({folder(stream) + "/" + wal_name(state.next_block), false, !note_});
  state.rows_before = head.rows;
  ++state.next_block;
  state.wal_fd.reset();
  state.wal_bytes = 0;
  state.wal_dirty = false;
  pending_bytes_ -= std::min(pending_bytes_, state.rows.size());
  state.rows.clear();
  state.row_ends.clear();
  return {};
}

Result<void> Vault::note(const StreamName& stream, const std::string& file, std::uint64_t bytes, std::uint64_t& noted) {
  if (!note_ || noted == epoch_) return {};
  SEKISHO_CHECK_OK(note_(stream.service_code + "/" + std::string(text_of(stream.type)) + "/" + file, bytes));
  noted = epoch_;
  return {};
}

void Vault::forget_noted() {
  ++epoch_;
  for (Retired& one : retired_) one.settled = true;
  remove_retired();
}

void Vault::remove_retired() {
  std::erase_if(retired_, [this](const Retired& one) {
    return one.synced && one.settled && (disk_.remove(one.path) == 0 || errno == ENOENT);
  });
}

Result<void> Vault::sync_state(const StreamName& stream, State& state) {
  if (state.folder_dirty) {
    if (disk_.sync_folder(folder(stream)) != 0) return disk_error();
    state.folder_dirty = false;
  }
  if (state.wal_dirty) {
    SEKISHO_CHECK_OK(open_wal(stream, state, state.day));
    if (disk_.sync(state.wal_fd.get()) != 0) return disk_error();
    state.wal_dirty = false;
  }
  if (state.segment_dirty) {
    const Fd again(state.segment_fd.valid() ? -1 : disk_.open(folder(stream) + "/" + state.segment->text()));
    if (disk_.sync(state.segment_fd.valid() ? state.segment_fd.get() : again.get()) != 0) return disk_error();
    state.segment_dirty = false;
  }
  return {};
}

Result<void> Vault::sync() {
  const auto dirty = [](const State& state) { return state.wal_dirty || state.segment_dirty || state.folder_dirty; };
  const auto count = static_cast<std::size_t>(
      std::count_if(states_.begin(), states_.end(), [&](const auto& one) { return dirty(*one.second); }));
  for (auto& [stream, state] : states_) {
    if (stream.type == LogKind::kLoss && dirty(*state)) SEKISHO_CHECK_OK(sync_state(stream, *state));
  }
  if (count > options_.sync_each_max) {
    if (disk_.sync_all(root_) != 0) return disk_error();
    for (auto& [stream, state] : states_) state->wal_dirty = state->segment_dirty = state->folder_dirty = false;
  }
  for (auto& [stream, state] : states_) {
    if (dirty(*state)) SEKISHO_CHECK_OK(sync_state(stream, *state));
  }
  for (Retired& one : retired_) one.synced = true;
  remove_retired();
  return {};
}

/// Few files stay open; what a stream holds outside of blocks stays in memory.
void Vault::close_some() {
  std::size_t open = 0;
  for (const auto& [stream, state] : states_)
    open += static_cast<std::size_t>(state->wal_fd.valid() || state->segment_fd.valid());
  if (open < options_.open_files_max || !sync()) return;
  for (auto& [stream, state] : states_) {
    state->wal_fd.reset();
    state->segment_fd.reset();
  }
}

void Vault::seal_hours(Timestamp now, bool all) {
  for (auto& [stream, state] : states_) {
    if (!state->row_ends.empty() && (all || hour_of(state->pending.first) < hour_of(now))) (void)seal(stream, *state);
  }
}

void Vault::count_block(const StreamName& stream, State& state, const SegmentName& segment, const BlockHead& head,
                        const Sha256Digest& chain) {
  auto& waiting = state.unsigned_blocks;
  if (waiting.empty() || waiting.back().segment != segment) {
    Manifest fresh;
    fresh.kind = Manifest::Kind::kHour;
    fresh.stream = stream;
    fresh.segment = segment;
    fresh.first_block = head.number;
    fresh.first_sequence = head.first_sequence;
    fresh.from = to_text(head.first);
    waiting.push_back(std::move(fresh));
  }
  Manifest& open = waiting.back();
  open.last_block = head.number;
  open.last_sequence = head.last_sequence;
  open.records += head.rows;
  open.to = to_text(head.last);
  open.chain = chain;
  state.unsigned_last = head.last;
}

Result<void> Vault::sign(Timestamp now, bool all) {
  for (auto& [stream, state] : states_) {
    auto& waiting = state->unsigned_blocks;
    while (waiting.size() > 1 || (!waiting.empty() && (all || hour_of(state->unsigned_last) < hour_of(now)))) {
      Manifest line = waiting.front();
      line.node = state->newest ? plain(state->newest->node) : "";
      SEKISHO_CHECK_OK(append_manifest(stream, *state, std::move(line)));
      state->first_unsigned = waiting.front().last_block + 1;
      waiting.pop_front();
    }
  }
  return {};
}

Result<void> Vault::append_manifest(const StreamName& stream, State& state, Manifest manifest) {
  manifest.number = state.next_manifest;
  manifest.previous = state.last_line;
  const std::string text = signed_text(manifest);
  manifest.signature =
      sekisho::sign(keyring_.signing_seed(), {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  const std::string line = to_line(manifest);
  const Fd fd(disk_.open(folder(stream) + "/manifest"));
  if (!fd.valid()) return disk_error();
  SEKISHO_TRY(const std::uint64_t before, size_of(fd.get()));
  SEKISHO_CHECK_OK(write_whole(disk_, fd.get(), line + "\n", before));
  if (disk_.sync(fd.get()) != 0 || (before == 0 && disk_.sync_folder(folder(stream)) != 0)) return disk_error();
  state.last_line = digest_of_line(line);
  ++state.next_manifest;
  return {};
}

Result<std::optional<LogEntry>> Vault::newest(const StreamName& stream) {
  SEKISHO_TRY(const State* state, state_of(stream));
  return state->newest;
}

std::vector<StreamName> Vault::streams() const {
  std::vector<StreamName> out;
  DIR* handle = ::opendir(root_.c_str());
  if (handle == nullptr) return out;
  while (const dirent* entry = ::readdir(handle)) {
    if (!is_service_code(entry->d_name)) continue;
    for (const LogKind type : kAllTypes) {
      const StreamName stream{entry->d_name, type};
      struct stat status {};
      if (::stat(folder(stream).c_str(), &status) == 0) out.push_back(stream);
    }
  }
  ::closedir(handle);
  std::sort(out.begin(), out.end());
  return out;
}

Result<StreamView> Vault::view(const StreamName& stream, Day first, Day last) {
  SEKISHO_TRY(const State* state, state_of(stream));
  StreamView out;
  out.stream = stream;
  for (const SegmentName& name : list_segments(folder(stream))) {
    if (name.day < first || name.day > last) continue;
    SEKISHO_TRY(const auto key, keyring_.find(stream, name.day));
    if (!key) continue;
    const std::string path = folder(stream) + "/" + name.text();
    out.segments.push_back({name, path, name == state->segment ? state->segment_bytes : file_bytes(path), *key});
  }
  out.next_block = state->next_block;
  if (state->row_ends.empty() || state->day < first || state->day > last) return out;
  out.rows = state->rows;
  out.row_count = static_cast<std::uint32_t>(state->row_ends.size());
  return out;
}

Result<Vault::Count> Vault::count(const StreamName& stream) {
  SEKISHO_TRY(const State* state, state_of(stream));
  Count out;
  for (const SegmentName& name : list_segments(folder(stream))) {
    const std::string path = folder(stream) + "/" + name.text();
    out.bytes += file_bytes(path);
    if (out.first_day == 0) {
      out.first_day = name.day;
      const auto reader = SegmentReader::open(path, stream, file_bytes(path));
      const auto head = reader ? reader->at(kSegmentHeadBytes) : Result<std::optional<BlockHead>>(reader.error());
      if (head && *head) out.first_sequence = (**head).first_sequence;
    }
    out.last_day = name.day;
  }
  out.bytes += state->wal_bytes;
  if (!state->newest || (out.first_day == 0 && state->row_ends.empty())) return out;
  out.last_day = std::max(out.last_day, state->day);
  if (out.first_day == 0) out.first_day = state->day;
  if (out.first_sequence == 0) out.first_sequence = state->pending.first_sequence;
  out.last_sequence = state->newest->seq;
  out.newest = state->newest->ts;
  out.records = out.last_sequence - out.first_sequence + 1;
  return out;
}

Result<Vault::Expired> Vault::expire(const std::map<StreamName, Day>& first_kept, Timestamp now) {
  std::map<std::string, Keyring::What> what;
  std::vector<std::pair<StreamName, SegmentName>> files;
  for (const auto& [stream, first] : first_kept) {
    SEKISHO_TRY(State * state, state_of(stream));
    if (!state->row_ends.empty() && state->day < first) SEKISHO_CHECK_OK(seal(stream, *state));
    for (const SegmentName& name : list_segments(folder(stream))) {
      if (name.day < first) files.emplace_back(stream, name);
    }
    SEKISHO_TRY(const TenantKeys keys, keyring_.keys_of(stream.service_code));
    for (const auto& [place, key] : keys) {
      if (place.first == stream.type && place.second < first) what[stream.service_code].push_back(place);
    }
  }
  if (files.empty() && what.empty()) return Expired{};
  SEKISHO_CHECK_OK(sync());
  SEKISHO_CHECK_OK(sign(now));
  SEKISHO_CHECK_OK(keyring_.destroy(what));
  Expired out;
  for (const auto& [stream, name] : files) {
    State& state = **state_of(stream);
    const std::string path = folder(stream) + "/" + name.text();
    Manifest line;
    line.kind = Manifest::Kind::kExpired;
    line.stream = stream;
    line.segment = name;
    line.from = line.to = to_text(now);
    SEKISHO_CHECK_OK(append_manifest(stream, state, std::move(line)));
    ++out.segments;
    out.bytes += file_bytes(path);
    if (disk_.remove(path) != 0 && errno != ENOENT) return disk_error();
    // The next block follows the last one, wherever that has gone: its numbers and chain stand in the segment to come.
    if (state.segment == name)
      state.segment_fd.reset(), state.segment_dirty = false, state.segment_bytes = options_.segment_bytes_max;
  }
  return out;
}

Result<std::vector<Vault::Erased>> Vault::erase(const std::string& service_code, const std::vector<LogKind>& types) {
  SEKISHO_CHECK_OK(keyring_.open());
  std::vector<Erased> out;
  SEKISHO_TRY(const TenantKeys keys, keyring_.keys_of(service_code));
  Keyring::What what;
  for (const LogKind type : kAllTypes) {
    if (!types.empty() && std::find(types.begin(), types.end(), type) == types.end()) continue;
    const StreamName stream{service_code, type};
    Erased one{stream};
    for (const auto& [place, key] : keys) {
      if (place.first != type) continue;
      what.push_back(place);
      ++one.keys;
    }
    if (const auto counted = count(stream)) {
      one.records = counted->records, one.bytes = counted->bytes;
      one.first_sequence = counted->first_sequence, one.last_sequence = counted->last_sequence;
    }
    out.push_back(one);
  }
  if (types.empty()) what.clear();
  SEKISHO_CHECK_OK(keyring_.destroy({{service_code, what}}));
  for (const Erased& one : out) {
    if (const auto found = states_.find(one.stream); found != states_.end()) {
      pending_bytes_ -= std::min(pending_bytes_, found->second->rows.size());
      states_.erase(found);
    }
    const std::string path = folder(one.stream);
    std::erase_if(retired_, [&](const Retired& wal) { return wal.path.starts_with(path + "/"); });
    SEKISHO_CHECK_OK(remove_folder(disk_, path));
  }
  if (types.empty()) SEKISHO_CHECK_OK(remove_folder(disk_, root_ + "/" + service_code));
  if (disk_.sync_folder(root_) != 0) return disk_error();
  return out;
}

}  // namespace sekisho::mgmt
