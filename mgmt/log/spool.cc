// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/spool.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <optional>

#include "base/wire/reader.h"
#include "mgmt/log/files.h"

namespace sekisho::mgmt {
namespace {

constexpr std::string_view kMagic = "SKSPOOL1";
constexpr std::size_t kBootBytes = 36;  // a UUID as text

enum class Kind : std::uint32_t { kBatch = 1, kNote = 2, kSpill = 3 };
struct EntryHead {
  Kind kind;
  std::uint32_t bytes;  ///< of what follows
};
struct BatchHead {
  std::uint32_t marks;
  std::uint32_t records;
};

Error os_error() { return {ErrorCode::kUnavailable, ErrorSite::kOs, static_cast<std::uint32_t>(errno)}; }

template <typename T>
void put(std::string& out, const T& value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

template <typename T>
void put_all(std::string& out, std::span<const T> values) {
  out.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
}

std::string batch(Kind kind, std::span<const RingMark> marks, std::span<const LogRecord> records) {
  std::string out;
  const std::size_t bytes = sizeof(BatchHead) + marks.size_bytes() + records.size_bytes();
  out.reserve(sizeof(EntryHead) + bytes);
  put(out, EntryHead{kind, static_cast<std::uint32_t>(bytes)});
  put(out, BatchHead{static_cast<std::uint32_t>(marks.size()), static_cast<std::uint32_t>(records.size())});
  put_all(out, marks);
  put_all(out, records);
  return out;
}

ByteSpan bytes_of(std::string_view text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }

/// Never above the root: the file is our own, but it is a file.
bool is_below(std::string_view path) { return !path.empty() && path.front() != '/' && path.find("..") == std::string_view::npos; }

bool read_batch(WireReader& reader, std::vector<RingMark>& marks, std::vector<LogRecord>& records) {
  const auto sizes = reader.copy<BatchHead>();
  if (!sizes) return false;
  for (std::uint32_t i = 0; i < sizes->marks && !reader.failed(); ++i) {
    if (const auto mark = reader.copy<RingMark>()) marks.push_back(*mark);
  }
  for (std::uint32_t i = 0; i < sizes->records && !reader.failed(); ++i) {
    if (const auto record = reader.copy<LogRecord>()) records.push_back(*record);
  }
  return reader.finished();
}

}  // namespace

SpoolContents read_spool(ByteSpan text) {
  SpoolContents out;
  WireReader reader(text);
  for (;;) {
    const auto head = reader.copy<EntryHead>();
    if (!head) return out;
    auto body = reader.sub(head->bytes);
    if (!body) return out;
    if (head->kind == Kind::kBatch) {
      if (!read_batch(*body, out.marks, out.records)) return out;
    } else if (head->kind == Kind::kSpill) {
      std::vector<RingMark> none;
      if (!read_batch(*body, none, out.spill.emplace())) return out;
    } else {
      const auto length = body->copy<std::uint64_t>();
      const auto path = body->take(body->remaining());
      if (!length || !path) return out;
      out.lengths.emplace(std::string(path->begin(), path->end()), *length);  // the first note stands
    }
  }
}

Spool::Spool(std::string path, std::string root, Spill& spill) : path_(std::move(path)), root_(std::move(root)), spill_(spill) {
  if (auto boot = read_file("/proc/sys/kernel/random/boot_id", 64)) boot_ = std::move(*boot);
  boot_.resize(kBootBytes, '-');
}

std::string Spool::head() const { return std::string(kMagic) + boot_; }

Result<Spool::Left> Spool::recover() {
  SpoolContents found;
  Left left;
  const auto text = read_file(path_, std::size_t{4} * kBytesMax);
  if (text && text->starts_with(head())) found = read_spool(bytes_of(*text).subspan(head().size()));
  if (found.spill) SEKISHO_CHECK_OK(spill_.replace(*found.spill));
  for (const auto& [path, length] : found.lengths) {
    struct stat status {};
    const std::string full = root_ + '/' + path;
    if (!is_below(path) || ::stat(full.c_str(), &status) != 0 || static_cast<std::uint64_t>(status.st_size) <= length) continue;
    if (::truncate(full.c_str(), static_cast<off_t>(length)) != 0) return os_error();
    ++left.cut_back;
  }
  // As one batch again: lengths are noted anew when the records are stored, and a torn end is gone.
  SEKISHO_CHECK_OK(settle(found.marks, found.records));
  dirty_ = !found.records.empty();
  left.records = std::move(found.records);
  left.marks = std::move(found.marks);
  return left;
}

Result<void> Spool::append(std::string_view entry) {
  if (!fd_.valid()) return Error{ErrorCode::kUnavailable, ErrorSite::kOs, EBADF};
  const std::string whole = (bytes_ == 0 ? head() : std::string()).append(entry);
  if (const auto written = write_all(fd_.get(), bytes_of(whole)); !written) {
    if (::ftruncate(fd_.get(), static_cast<off_t>(bytes_)) != 0) return os_error();
    return written.error();
  }
  bytes_ += whole.size();
  dirty_ = true;
  return {};
}

Result<void> Spool::add(std::span<const RingMark> marks, std::span<const LogRecord> records) {
  return append(batch(Kind::kBatch, marks, records));
}

Result<void> Spool::note(const std::string& path, std::uint64_t bytes) {
  std::string entry;
  put(entry, EntryHead{Kind::kNote, static_cast<std::uint32_t>(sizeof(bytes) + path.size())});
  put(entry, bytes);
  return append(entry + path);
}

Result<void> Spool::settle(std::span<const RingMark> marks, std::span<const LogRecord> waiting) {
  if (!marks.empty() || !waiting.empty() || !fd_.valid()) {
    return restart(marks.empty() && waiting.empty() ? std::string() : batch(Kind::kBatch, marks, waiting));
  }
  if (::ftruncate(fd_.get(), 0) != 0) return os_error();
  bytes_ = 0;
  dirty_ = false;
  return {};
}

Result<void> Spool::settle_and_spill(std::span<const RingMark> marks, std::span<const LogRecord> waiting,
                                     std::span<const LogRecord> spilled) {
  SEKISHO_CHECK_OK(restart(batch(Kind::kBatch, marks, waiting) + batch(Kind::kSpill, {}, spilled)));
  dirty_ = true;
  return {};
}

/// A new file with these entries in the old one's place, at once.
Result<void> Spool::restart(std::string_view entries) {
  const std::string text = entries.empty() ? std::string() : head().append(entries);
  const std::string fresh = path_ + ".new";
  Fd fd(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0640));
  if (!fd.valid()) return os_error();
  SEKISHO_CHECK_OK(write_all(fd.get(), bytes_of(text)));
  if (::rename(fresh.c_str(), path_.c_str()) != 0) return os_error();
  fd_ = std::move(fd);
  bytes_ = text.size();
  dirty_ = false;
  return {};
}

}  // namespace sekisho::mgmt
