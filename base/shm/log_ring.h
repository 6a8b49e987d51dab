// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <cstdint>
#include <span>

#include "base/os/fd.h"
#include "base/result.h"
#include "base/shm/log_record.h"

namespace sekisho {

/// Single producer, single consumer ring of LogRecords in shared memory; one per shard. One-way by construction:
/// the records lie in a memfd sealed F_SEAL_FUTURE_WRITE (only the creator's mapping writes), the reader's cursor in a
/// second memfd that the writer only reads. Full: push says so at once and never waits.
///
/// Synchronisation: `head` is released by the writer after the record's bytes and acquired by the reader; `tail` is
/// released by the reader after it copied a record out and acquired by the writer before it reuses the slot.
/// Both sides bound the other's cursor before use: a hostile peer can lose records, not corrupt memory.
class LogRingWriter {
 public:
  /// `records` is a power of two, at most limits::kLogRingRecordsMax.
  static Result<LogRingWriter> create(std::uint32_t records);
  LogRingWriter(LogRingWriter&& other) noexcept;
  LogRingWriter& operator=(LogRingWriter&& other) noexcept;
  ~LogRingWriter();

  /// False when the ring is full. Owning shard's thread only.
  [[nodiscard]] bool push(const LogRecord& record) noexcept;

  /// Duplicates for the reader: records (read only from now on for everyone else) and cursor.
  [[nodiscard]] Result<Fd> duplicate_records_fd() const;
  [[nodiscard]] Result<Fd> duplicate_cursor_fd() const;
  [[nodiscard]] std::uint64_t pushed() const noexcept { return head_; }

 private:
  LogRingWriter() = default;
  void unmap() noexcept;

  Fd records_fd_, cursor_fd_;
  void* records_ = nullptr;
  const void* cursor_ = nullptr;
  std::uint32_t capacity_ = 0;
  std::uint64_t head_ = 0;
  std::uint64_t tail_seen_ = 0;  ///< last acquired tail: the cursor line is read only when the ring looks full
};

/// The consuming end. Treats the ring as hostile: sizes, seals and header are checked at open, `head` at each read.
class LogRingReader {
 public:
  static Result<LogRingReader> open(Fd records, Fd cursor);
  LogRingReader(LogRingReader&& other) noexcept;
  LogRingReader& operator=(LogRingReader&& other) noexcept;
  ~LogRingReader();

  /// Copies up to `out.size()` records and frees their slots; returns how many. kMalformed when the writer's head is
  /// impossible: the ring is then dead and the caller drops it.
  [[nodiscard]] Result<std::size_t> pop(std::span<LogRecord> out) noexcept;

  /// Like pop, but the slots stay taken until consume(): a reader killed before it stored the records finds them again.
  [[nodiscard]] Result<std::size_t> peek(std::span<LogRecord> out) const noexcept;
  /// Frees the oldest `count` slots. `count` is at most what the last peek returned.
  void consume(std::size_t count) noexcept;

  /// What tells this ring from every other one.
  [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
  /// Records consumed since the ring was made: the number of the oldest one still in it.
  [[nodiscard]] std::uint64_t position() const noexcept { return tail_; }

 private:
  LogRingReader() = default;
  void unmap() noexcept;

  const void* records_ = nullptr;
  void* cursor_ = nullptr;
  std::uint32_t capacity_ = 0;
  std::uint64_t id_ = 0;
  std::uint64_t tail_ = 0;
};

}  // namespace sekisho
