// SPDX-License-Identifier: Apache-2.0
// Overview. One append-only file a stream and day; readers follow by name and offset and need no lock.
// Life-cycle. A stream's newest file is opened and repaired when first appended to, closed when too many are open.
// Synchronisation. One thread. A reader only takes whole lines, so a line being written is not seen.
// Limits. A line is at most what parse_json takes; backwards reading works in blocks of 64 KiB.
#include "mgmt/log/jsonl_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <vector>

#include "mgmt/log/format.h"
#include "mgmt/log/time_text.h"

namespace sekisho::mgmt {
namespace {

constexpr std::size_t kBlockBytes = 64U << 10;
constexpr std::size_t kRepairBytesMax = 1U << 20;
constexpr mode_t kFolderMode = 0750, kFileMode = 0640;

Error os_error(int number = errno) {
  return {ErrorCode::kUnavailable, ErrorSite::kOs, static_cast<std::uint32_t>(number)};
}

struct FileName {
  std::string date;
  unsigned number = 0;
  auto operator<=>(const FileName&) const = default;

  [[nodiscard]] std::string text() const {
    char digits[16];
    std::snprintf(digits, sizeof(digits), "-%04u", number);
    return date + digits + ".jsonl";
  }
};

std::optional<FileName> parse_file_name(std::string_view text) {
  constexpr std::string_view kEnd = ".jsonl";
  if (text.size() < 10 + 2 + kEnd.size() || !text.ends_with(kEnd) || text[10] != '-') return std::nullopt;
  FileName out{std::string(text.substr(0, 10)), 0};
  const std::string_view digits = text.substr(11, text.size() - 11 - kEnd.size());
  const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), out.number);
  if (status != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return out;
}

/// The files of a folder in order; a folder that does not exist has none.
std::vector<FileName> list_files(const std::string& folder) {
  std::vector<FileName> out;
  DIR* handle = ::opendir(folder.c_str());
  if (handle == nullptr) return out;
  while (const dirent* entry = ::readdir(handle)) {
    if (auto name = parse_file_name(entry->d_name)) out.push_back(std::move(*name));
  }
  ::closedir(handle);
  std::sort(out.begin(), out.end());
  return out;
}

Result<std::string> read_at(int fd, std::uint64_t offset, std::size_t bytes) {
  std::string out(bytes, '\0');
  std::size_t got = 0;
  while (got < bytes) {
    const ssize_t n = ::pread(fd, out.data() + got, bytes - got, static_cast<off_t>(offset + got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os_error();
    if (n == 0) break;
    got += static_cast<std::size_t>(n);
  }
  out.resize(got);
  return out;
}

Result<std::uint64_t> size_of(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return os_error();
  return static_cast<std::uint64_t>(status.st_size);
}

/// Offset of the line that is `lines` whole lines before the end, and how many lines that really are.
struct LinesBack {
  std::uint64_t offset = 0;
  std::size_t lines = 0;
};
Result<LinesBack> lines_before_end(int fd, std::size_t lines) {
  SEKISHO_TRY(std::uint64_t position, size_of(fd));
  std::size_t newlines = 0;
  while (position > 0) {
    const std::size_t bytes = std::min<std::uint64_t>(position, kBlockBytes);
    position -= bytes;
    SEKISHO_TRY(const std::string block, read_at(fd, position, bytes));
    for (std::size_t i = block.size(); i-- > 0;) {
      if (block[i] == '\n' && newlines++ == lines) return LinesBack{position + i + 1, lines};
    }
  }
  return LinesBack{0, newlines};
}

class JsonlCursor final : public LogCursor {
 public:
  explicit JsonlCursor(std::string folder) : folder_(std::move(folder)) {}

  Result<void> start(StartAt start) {
    const std::vector<FileName> files = list_files(folder_);
    if (start.kind == StartAt::Kind::kDay) {
      before_ = FileName{japan_date(start.day), 0};
    } else if (start.kind == StartAt::Kind::kEnd && !files.empty()) {
      SEKISHO_CHECK_OK(enter(files.back()));
      SEKISHO_TRY(const LinesBack end, lines_before_end(fd_.get(), 0));
      offset_ = end.offset;
    } else if (start.kind == StartAt::Kind::kLast) {
      return start_back(files, start.last);
    }
    return {};
  }

  Result<std::optional<LogEntry>> next() override {
    for (;;) {
      const std::size_t newline = buffer_.find('\n', used_);
      if (newline != std::string::npos) {
        const std::string_view line = std::string_view(buffer_).substr(used_, newline - used_);
        used_ = newline + 1;
        auto entry = parse_json(line);
        if (entry) return std::optional(std::move(*entry));
        continue;  // a damaged line in the middle: the hole in seq shows it
      }
      SEKISHO_TRY(const bool more, fill());
      if (!more) return std::optional<LogEntry>{};
    }
  }

 private:
  Result<void> start_back(const std::vector<FileName>& files, std::size_t lines) {
    for (std::size_t i = files.size(); i-- > 0;) {
      SEKISHO_CHECK_OK(enter(files[i]));
      SEKISHO_TRY(const LinesBack back, lines_before_end(fd_.get(), lines));
      offset_ = back.offset;
      if (back.lines >= lines) break;
      lines -= back.lines;
    }
    return {};
  }

  Result<void> enter(const FileName& file) {
    Fd fd(::open((folder_ + "/" + file.text()).c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) return os_error();
    fd_ = std::move(fd);
    current_ = file;
    offset_ = 0;
    buffer_.clear();
    used_ = 0;
    return {};
  }

  /// More bytes in the buffer? Moves to the next file when this one is read to its end.
  Result<bool> fill() {
    buffer_.erase(0, used_);
    used_ = 0;
    if (fd_.valid()) {
      SEKISHO_TRY(const std::string block, read_at(fd_.get(), offset_, kBlockBytes));
      offset_ += block.size();
      buffer_ += block;
      if (!block.empty()) return true;
    }
    for (const FileName& file : list_files(folder_)) {
      const bool later = current_ ? file > *current_ : !before_ || file > *before_;
      if (!later) continue;
      SEKISHO_CHECK_OK(enter(file));
      return true;
    }
    return false;
  }

  std::string folder_;
  std::optional<FileName> current_, before_;
  Fd fd_;
  std::uint64_t offset_ = 0;
  std::string buffer_;
  std::size_t used_ = 0;
};

}  // namespace

JsonlStore::JsonlStore(std::string root) : JsonlStore(std::move(root), Options{}, ::write) {}

JsonlStore::JsonlStore(std::string root, Options options, Write write)
    : root_(std::move(root)), options_(options), write_(std::move(write)) {}

std::string JsonlStore::folder(const StreamName& stream) const {
  SEKISHO_ASSERT(is_service_code(stream.service_code));
  return root_ + "/" + stream.service_code + "/" + std::string(text_of(stream.type));
}

LogStore::Appended JsonlStore::append(const StreamName& stream, std::span<const LogEntry> entries) {
  std::size_t stored = 0;
  while (stored < entries.size()) {
    const std::string date = japan_date(entries[stored].ts);
    auto tail = tail_for(stream, date);
    if (!tail) return {stored, tail.error()};
    std::string text;
    std::size_t end = stored;
    for (; end < entries.size() && text.size() < kBlockBytes && japan_date(entries[end].ts) == date; ++end) {
      append_json(text, entries[end], Audience::kProvider);
      text += '\n';
    }
    if (const auto noted = note(stream, **tail); !noted) return {stored, noted.error()};
    if (const auto written = write_all(**tail, text); !written) return {stored, written.error()};
    stored = end;
  }
  return {stored, std::nullopt};
}

Result<JsonlStore::Tail*> JsonlStore::tail_for(const StreamName& stream, const std::string& date) {
  auto found = tails_.find(stream);
  if (found == tails_.end()) {
    if (tails_.size() >= options_.open_files_max) {
      SEKISHO_CHECK_OK(sync());
      tails_.clear();
    }
    Tail tail;
    SEKISHO_CHECK_OK(open_newest_file(stream, tail));
    found = tails_.emplace(stream, std::move(tail)).first;
  }
  Tail& tail = found->second;
  // Times of one stream never fall, so an earlier date than the file's only comes from a file that is ahead: go on with
  // it.
  if (!tail.fd.valid() || date > tail.date) {
    SEKISHO_CHECK_OK(start_file(stream, tail, date, 1));
  } else if (tail.bytes >= options_.file_bytes_max) {
    SEKISHO_CHECK_OK(start_file(stream, tail, tail.date, tail.number + 1));
  }
  return &tail;
}

Result<void> JsonlStore::open_newest_file(const StreamName& stream, Tail& tail) {
  const std::string path = folder(stream);
  const std::vector<FileName> files = list_files(path);
  if (files.empty()) return {};
  Fd fd(::open((path + "/" + files.back().text()).c_str(), O_RDWR | O_APPEND | O_CLOEXEC));
  if (!fd.valid()) return os_error();
  tail.fd = std::move(fd);
  tail.date = files.back().date;
  tail.number = files.back().number;
  return repair(tail);
}

Result<void> JsonlStore::start_file(const StreamName& stream, Tail& tail, const std::string& date, unsigned number) {
  const std::string path = folder(stream);
  const std::string parent = path.substr(0, path.rfind('/'));
  for (const std::string& one : {parent, path}) {
    if (::mkdir(one.c_str(), kFolderMode) != 0 && errno != EEXIST) return os_error();
  }
  if (tail.dirty && ::fdatasync(tail.fd.get()) != 0) return os_error();
  const FileName name{date, number};
  Fd fd(::open((path + "/" + name.text()).c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, kFileMode));
  if (!fd.valid()) return os_error();
  const Fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid() || ::fsync(directory.get()) != 0) return os_error();
  tail = Tail{std::move(fd), date, number, 0, false, 0};
  return repair(tail);
}

/// Cuts what follows the last newline, and last lines that are not records (zeros after a power cut).
Result<void> JsonlStore::repair(Tail& tail) {
  SEKISHO_TRY(tail.bytes, size_of(tail.fd.get()));
  const std::uint64_t floor = tail.bytes > kRepairBytesMax ? tail.bytes - kRepairBytesMax : 0;
  SEKISHO_TRY(const std::string end, read_at(tail.fd.get(), floor, tail.bytes - floor));
  std::string_view kept = end;
  std::uint64_t cut = 0;
  while (!kept.empty()) {
    const bool whole = kept.back() == '\n';
    const std::string_view body = whole ? kept.substr(0, kept.size() - 1) : kept;
    const std::size_t before = body.rfind('\n');
    const std::size_t start = before == std::string_view::npos ? 0 : before + 1;
    if (whole && (parse_json(body.substr(start)) || (start == 0 && floor > 0))) break;
    kept = kept.substr(0, start);
    ++cut;
  }
  if (cut == 0) return {};
  if (::ftruncate(tail.fd.get(), static_cast<off_t>(floor + kept.size())) != 0) return os_error();
  tail.bytes = floor + kept.size();
  tail.dirty = true;
  torn_lines_ += cut;
  return {};
}

Result<void> JsonlStore::note(const StreamName& stream, Tail& tail) {
  if (!note_ || tail.noted == epoch_) return {};
  const std::string path = folder(stream).substr(root_.size() + 1) + '/' + FileName{tail.date, tail.number}.text();
  SEKISHO_CHECK_OK(note_(path, tail.bytes));
  tail.noted = epoch_;
  return {};
}

/// All of `text` or nothing: a partial write is taken back.
Result<void> JsonlStore::write_all(Tail& tail, std::string_view text) {
  for (std::string_view left = text; !left.empty();) {
    const ssize_t n = write_(tail.fd.get(), left.data(), left.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const int number = n < 0 ? errno : ENOSPC;
      if (left.size() != text.size() && ::ftruncate(tail.fd.get(), static_cast<off_t>(tail.bytes)) != 0)
        return os_error();
      return os_error(number);
    }
    left.remove_prefix(static_cast<std::size_t>(n));
  }
  tail.bytes += text.size();
  tail.dirty = true;
  return {};
}

Result<void> JsonlStore::sync() {
  SEKISHO_CHECK_OK(sync_type(true));
  return sync_type(false);
}

Result<void> JsonlStore::sync_type(bool loss) {
  for (auto& [stream, tail] : tails_) {
    if (!tail.dirty || (stream.type == LogKind::kLoss) != loss) continue;
    if (::fdatasync(tail.fd.get()) != 0) return os_error();
    tail.dirty = false;
  }
  return {};
}

Result<std::optional<LogEntry>> JsonlStore::newest(const StreamName& stream) {
  // An empty newest file (its only line was torn) sends us to the one before.
  SEKISHO_TRY(const auto cursor, open(stream, StartAt{StartAt::Kind::kLast, 1, {}}));
  return cursor->next();
}

Result<std::unique_ptr<LogCursor>> JsonlStore::open(const StreamName& stream, StartAt start) {
  // Repaired first: a reader must not hold bytes that the first append would cut away.
  Tail repaired;
  if (!tails_.contains(stream)) SEKISHO_CHECK_OK(open_newest_file(stream, repaired));
  auto cursor = std::make_unique<JsonlCursor>(folder(stream));
  SEKISHO_CHECK_OK(cursor->start(start));
  return std::unique_ptr<LogCursor>(std::move(cursor));
}

}  // namespace sekisho::mgmt
