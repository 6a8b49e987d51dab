// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <cstdint>
#include <span>

#include "base/net/address.h"
#include "base/os/fd.h"
#include "base/result.h"
#include "base/wire/reader.h"

namespace sekisho {

/// Whose a datagram is, and its two ends. Host order.
struct DatagramHead {
  std::uint32_t tenant = 0;  ///< TenantId value
  std::uint32_t port = 0;    ///< PortId value: by which it came in, or shall go out
  Address local;             ///< the gateway's end
  Address remote;
  std::uint16_t local_port = 0;
  std::uint16_t remote_port = 0;
  std::uint32_t tunnel = 0;  ///< number of the tunnel it came out of, or goes into; 0: none
};

inline constexpr std::size_t kDatagramBytesMax = 16384;

/// Single producer, single consumer ring of UDP payloads in shared memory, one way: what is punted by a shard to a daemon,
/// or injected by a daemon. Entries are of differing length. Memory and synchronisation as base/shm/log_ring.h: the bytes
/// sealed against writing by anyone but the creator, the reader's cursor in a second memfd. Both sides bound the other's.
///
/// The inject ring is created by dataplaned too, so that one connection brings everything; there the *writer* attaches:
/// its bytes are sealed against change of size only.
class DatagramRingWriter {
 public:
  /// `bytes` is a power of two, 64 KiB to 16 MiB.
  static Result<DatagramRingWriter> create(std::uint32_t bytes);
  /// The writing end of a ring somebody else made; sizes, seals and header are checked.
  static Result<DatagramRingWriter> attach(Fd bytes, Fd cursor);
  DatagramRingWriter(DatagramRingWriter&& other) noexcept;
  DatagramRingWriter& operator=(DatagramRingWriter&& other) noexcept;
  ~DatagramRingWriter();

  /// False when there is no room, or `payload` is longer than kDatagramBytesMax. One thread at a time. `pieces` are joined.
  [[nodiscard]] bool push(const DatagramHead& head, std::span<const ByteSpan> pieces) noexcept;
  [[nodiscard]] Result<Fd> duplicate_bytes_fd() const;
  [[nodiscard]] Result<Fd> duplicate_cursor_fd() const;

 private:
  DatagramRingWriter() = default;
  void unmap() noexcept;
  Fd bytes_fd_, cursor_fd_;
  void* bytes_ = nullptr;
  const void* cursor_ = nullptr;
  std::uint32_t capacity_ = 0;
  std::uint64_t head_ = 0;
  std::uint64_t tail_seen_ = 0;
};

/// The consuming end: treats the ring as hostile.
class DatagramRingReader {
 public:
  /// A ring this side makes and another process writes (inject).
  static Result<DatagramRingReader> create(std::uint32_t bytes);
  static Result<DatagramRingReader> open(Fd bytes, Fd cursor);
  DatagramRingReader(DatagramRingReader&& other) noexcept;
  DatagramRingReader& operator=(DatagramRingReader&& other) noexcept;
  ~DatagramRingReader();

  /// Copies the oldest entry into `payload` (kDatagramBytesMax long) and frees it. Its length; 0 bytes is a valid payload and
  /// `found` says whether there was an entry. kMalformed when the writer's words are impossible: the ring is dead.
  [[nodiscard]] Result<std::size_t> pop(DatagramHead& head, std::span<std::uint8_t> payload, bool& found) noexcept;
  [[nodiscard]] bool empty() const noexcept;
  [[nodiscard]] Result<Fd> duplicate_bytes_fd() const;
  [[nodiscard]] Result<Fd> duplicate_cursor_fd() const;

 private:
  DatagramRingReader() = default;
  void unmap() noexcept;
  Fd bytes_fd_, cursor_fd_;
  const void* bytes_ = nullptr;
  void* cursor_ = nullptr;
  std::uint32_t capacity_ = 0;
  std::uint64_t tail_ = 0;
};

}  // namespace sekisho
