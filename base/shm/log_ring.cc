// SPDX-License-Identifier: BSD-2-Clause
#include "base/shm/log_ring.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/limits.h"

namespace sekisho {
namespace {

constexpr std::uint64_t kMagic = 0x3130474f4c4b53ULL;  // "SKLOG01"

struct RingHeader {
  std::uint64_t magic;
  std::uint64_t capacity;  // records
  std::uint64_t id;        // random: tells one ring from another over restarts
  alignas(64) std::atomic<std::uint64_t> head;
  alignas(64) std::array<std::uint8_t, 64> pad;
};
static_assert(sizeof(RingHeader) == 192 && std::atomic<std::uint64_t>::is_always_lock_free);

struct Cursor {
  alignas(64) std::atomic<std::uint64_t> tail;
};

std::size_t ring_bytes(std::uint32_t capacity) { return sizeof(RingHeader) + std::size_t{capacity} * sizeof(LogRecord); }

Error os_error() { return {ErrorCode::kUnavailable, ErrorSite::kOs, static_cast<std::uint32_t>(errno)}; }
Error malformed(std::uint64_t detail) {
  return {ErrorCode::kMalformed, ErrorSite::kLogRing, static_cast<std::uint32_t>(detail)};
}

LogRecord* slots(void* base) { return reinterpret_cast<LogRecord*>(static_cast<std::uint8_t*>(base) + sizeof(RingHeader)); }
const LogRecord* slots(const void* base) {
  return reinterpret_cast<const LogRecord*>(static_cast<const std::uint8_t*>(base) + sizeof(RingHeader));
}

Result<Fd> sized_memfd(const char* name, std::size_t bytes) {
  Fd fd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid() || ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) return os_error();
  return fd;
}

Result<Fd> duplicate(const Fd& fd) {
  Fd copy(fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy.valid()) return os_error();
  return copy;
}

/// True when `fd` has exactly `bytes` and can no longer shrink under our mapping.
bool sealed_size(const Fd& fd, std::size_t bytes) {
  struct stat status {};
  const int seals = fcntl(fd.get(), F_GET_SEALS);
  return seals >= 0 && (seals & F_SEAL_SHRINK) != 0 && fstat(fd.get(), &status) == 0 &&
         status.st_size == static_cast<off_t>(bytes);
}

}  // namespace

Result<LogRingWriter> LogRingWriter::create(std::uint32_t records) {
  if (records == 0 || (records & (records - 1)) != 0 || records > limits::kLogRingRecordsMax) {
    return Error{ErrorCode::kLimit, ErrorSite::kLogRing, records};
  }
  LogRingWriter writer;
  writer.capacity_ = records;
  SEKISHO_TRY(writer.records_fd_, sized_memfd("sekisho-log", ring_bytes(records)));
  SEKISHO_TRY(writer.cursor_fd_, sized_memfd("sekisho-log-cursor", sizeof(Cursor)));
  void* map = mmap(nullptr, ring_bytes(records), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, writer.records_fd_.get(), 0);
  if (map == MAP_FAILED) return os_error();
  writer.records_ = map;
  void* cursor = mmap(nullptr, sizeof(Cursor), PROT_READ, MAP_SHARED, writer.cursor_fd_.get(), 0);
  if (cursor == MAP_FAILED) return os_error();
  writer.cursor_ = cursor;
  auto* header = static_cast<RingHeader*>(map);
  header->magic = kMagic;
  header->capacity = records;
  if (getrandom(&header->id, sizeof(header->id), 0) != static_cast<ssize_t>(sizeof(header->id))) return os_error();
  const int fixed = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  if (fcntl(writer.records_fd_.get(), F_ADD_SEALS, fixed | F_SEAL_FUTURE_WRITE) != 0 ||
      fcntl(writer.cursor_fd_.get(), F_ADD_SEALS, fixed) != 0) {
    return os_error();
  }
  return writer;
}

LogRingWriter::LogRingWriter(LogRingWriter&& other) noexcept { *this = std::move(other); }

LogRingWriter& LogRingWriter::operator=(LogRingWriter&& other) noexcept {
  if (this == &other) return *this;
  unmap();
  records_fd_ = std::move(other.records_fd_);
  cursor_fd_ = std::move(other.cursor_fd_);
  records_ = std::exchange(other.records_, nullptr);
  cursor_ = std::exchange(other.cursor_, nullptr);
  capacity_ = other.capacity_;
  head_ = other.head_;
  tail_seen_ = other.tail_seen_;
  return *this;
}

LogRingWriter::~LogRingWriter() { unmap(); }

void LogRingWriter::unmap() noexcept {
  if (records_ != nullptr) munmap(records_, ring_bytes(capacity_));
  if (cursor_ != nullptr) munmap(const_cast<void*>(cursor_), sizeof(Cursor));
  records_ = nullptr;
  cursor_ = nullptr;
}

bool LogRingWriter::push(const LogRecord& record) noexcept {
  if (head_ - tail_seen_ >= capacity_) {
    // acquire: pairs with the release in LogRingReader::pop
    const std::uint64_t tail = static_cast<const Cursor*>(cursor_)->tail.load(std::memory_order_acquire);
    if (tail > head_ || tail < tail_seen_) return false;  // a lying reader loses records
    tail_seen_ = tail;
    if (head_ - tail_seen_ >= capacity_) return false;
  }
  std::memcpy(&slots(records_)[head_ & (capacity_ - 1)], &record, sizeof(record));
  ++head_;
  // release: pairs with the acquire in LogRingReader::pop
  static_cast<RingHeader*>(records_)->head.store(head_, std::memory_order_release);
  return true;
}

Result<Fd> LogRingWriter::duplicate_records_fd() const { return duplicate(records_fd_); }
Result<Fd> LogRingWriter::duplicate_cursor_fd() const { return duplicate(cursor_fd_); }

Result<LogRingReader> LogRingReader::open(Fd records, Fd cursor) {
  struct stat status {};
  if (fstat(records.get(), &status) != 0) return os_error();
  const auto bytes = static_cast<std::size_t>(status.st_size);
  if (bytes < ring_bytes(1) || bytes > ring_bytes(limits::kLogRingRecordsMax)) return malformed(bytes);
  if (!sealed_size(records, bytes) || !sealed_size(cursor, sizeof(Cursor))) return malformed(0);
  const std::size_t capacity = (bytes - sizeof(RingHeader)) / sizeof(LogRecord);
  if ((capacity & (capacity - 1)) != 0 || ring_bytes(static_cast<std::uint32_t>(capacity)) != bytes) return malformed(capacity);

  LogRingReader reader;
  reader.capacity_ = static_cast<std::uint32_t>(capacity);
  void* map = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, records.get(), 0);
  if (map == MAP_FAILED) return os_error();
  reader.records_ = map;
  void* tail = mmap(nullptr, sizeof(Cursor), PROT_READ | PROT_WRITE, MAP_SHARED, cursor.get(), 0);
  if (tail == MAP_FAILED) return os_error();
  reader.cursor_ = tail;
  const auto* header = static_cast<const RingHeader*>(map);
  if (header->magic != kMagic || header->capacity != capacity) return malformed(0);
  reader.id_ = header->id;
  // A restarted reader goes on where its predecessor stopped: the cursor outlives it.
  reader.tail_ = static_cast<Cursor*>(tail)->tail.load(std::memory_order_relaxed);
  return reader;
}

LogRingReader::LogRingReader(LogRingReader&& other) noexcept { *this = std::move(other); }

LogRingReader& LogRingReader::operator=(LogRingReader&& other) noexcept {
  if (this == &other) return *this;
  unmap();
  records_ = std::exchange(other.records_, nullptr);
  cursor_ = std::exchange(other.cursor_, nullptr);
  capacity_ = other.capacity_;
  id_ = other.id_;
  tail_ = other.tail_;
  return *this;
}

LogRingReader::~LogRingReader() { unmap(); }

void LogRingReader::unmap() noexcept {
  if (records_ != nullptr) munmap(const_cast<void*>(records_), ring_bytes(capacity_));
  if (cursor_ != nullptr) munmap(cursor_, sizeof(Cursor));
  records_ = nullptr;
  cursor_ = nullptr;
}

Result<std::size_t> LogRingReader::pop(std::span<LogRecord> out) noexcept {
  SEKISHO_TRY(const std::size_t taken, peek(out));
  consume(taken);
  return taken;
}

Result<std::size_t> LogRingReader::peek(std::span<LogRecord> out) const noexcept {
  // acquire: pairs with the release in LogRingWriter::push
  const std::uint64_t head = static_cast<const RingHeader*>(records_)->head.load(std::memory_order_acquire);
  if (head < tail_ || head - tail_ > capacity_) return malformed(head);
  const std::size_t count = std::min<std::uint64_t>(out.size(), head - tail_);
  for (std::size_t i = 0; i < count; ++i) {
    std::memcpy(&out[i], &slots(records_)[(tail_ + i) & (capacity_ - 1)], sizeof(LogRecord));
  }
  return count;
}

void LogRingReader::consume(std::size_t count) noexcept {
  tail_ += count;
  // release: pairs with the acquire in LogRingWriter::push
  static_cast<Cursor*>(cursor_)->tail.store(tail_, std::memory_order_release);
}

}  // namespace sekisho
