// SPDX-License-Identifier: BSD-2-Clause
#include "base/shm/datagram_ring.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/assert.h"

namespace sekisho {
namespace {

constexpr std::uint64_t kMagic = 0x3130474452534bULL;  // "KSRDG01"
constexpr std::uint32_t kBytesMin = 64U << 10;
constexpr std::uint32_t kBytesMax = 16U << 20;

struct RingHeader {
  std::uint64_t magic;
  std::uint64_t capacity;                       // bytes of entries
  alignas(64) std::atomic<std::uint64_t> head;  // bytes ever written
};
static_assert(sizeof(RingHeader) == 128 && std::atomic<std::uint64_t>::is_always_lock_free);

struct Cursor {
  alignas(64) std::atomic<std::uint64_t> tail;  // bytes ever read
};

/// What stands before each payload. An entry begins at a multiple of 8 and may wrap anywhere.
struct EntryHead {
  std::uint32_t payload;
  std::uint32_t tenant;
  std::uint32_t port;
  std::uint16_t local_port;
  std::uint16_t remote_port;
  std::array<std::uint8_t, 16> local;
  std::array<std::uint8_t, 16> remote;
  std::uint8_t local_family;
  std::uint8_t remote_family;
  std::uint16_t zero;
  std::uint32_t tunnel;
};
static_assert(sizeof(EntryHead) == 56 && std::is_trivially_copyable_v<EntryHead>);

constexpr std::uint64_t entry_bytes(std::uint64_t payload) { return (sizeof(EntryHead) + payload + 7) & ~std::uint64_t{7}; }
std::size_t ring_bytes(std::uint32_t capacity) { return sizeof(RingHeader) + capacity; }
bool possible(std::uint64_t capacity) { return capacity >= kBytesMin && capacity <= kBytesMax && std::has_single_bit(capacity); }

Error os_error() { return {ErrorCode::kUnavailable, ErrorSite::kOs, static_cast<std::uint32_t>(errno)}; }
Error malformed(std::uint64_t detail) {
  return {ErrorCode::kMalformed, ErrorSite::kIpc, static_cast<std::uint32_t>(detail)};
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

Result<void*> map(const Fd& fd, std::size_t bytes, int protection) {
  void* at = mmap(nullptr, bytes, protection, MAP_SHARED, fd.get(), 0);
  if (at == MAP_FAILED) return os_error();
  return at;
}

/// Size, and after `seals` the same for ever; more seals as given.
Result<void> seal(const Fd& fd, int more) {
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | more) != 0) return os_error();
  return {};
}

/// The capacity of a ring somebody else made, whose two files can no longer shrink under our mappings.
Result<std::uint32_t> checked_capacity(const Fd& bytes, const Fd& cursor) {
  struct stat ring {};
  struct stat place {};
  if (fstat(bytes.get(), &ring) != 0 || fstat(cursor.get(), &place) != 0) return os_error();
  const int ring_seals = fcntl(bytes.get(), F_GET_SEALS);
  const int place_seals = fcntl(cursor.get(), F_GET_SEALS);
  if (ring_seals < 0 || place_seals < 0 || (ring_seals & place_seals & F_SEAL_SHRINK) == 0) return malformed(0);
  if (place.st_size != static_cast<off_t>(sizeof(Cursor)) || ring.st_size < static_cast<off_t>(sizeof(RingHeader))) return malformed(0);
  const auto capacity = static_cast<std::uint64_t>(ring.st_size) - sizeof(RingHeader);
  if (!possible(capacity)) return malformed(capacity);
  return static_cast<std::uint32_t>(capacity);
}

Result<void> write_header(const Fd& fd, std::uint32_t capacity) {
  const std::array<std::uint64_t, 2> words{kMagic, capacity};
  if (pwrite(fd.get(), words.data(), sizeof(words), 0) != static_cast<ssize_t>(sizeof(words))) return os_error();
  return {};
}

/// Copies to or from the ring, whose end is its beginning.
void copy_in(void* ring, std::uint32_t capacity, std::uint64_t at, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  std::uint8_t* const base = static_cast<std::uint8_t*>(ring) + sizeof(RingHeader);
  const std::size_t begin = at & (capacity - 1);
  const std::size_t first = std::min<std::size_t>(bytes, capacity - begin);
  std::memcpy(base + begin, from, first);
  if (bytes > first) std::memcpy(base, static_cast<const std::uint8_t*>(from) + first, bytes - first);
}
void copy_out(const void* ring, std::uint32_t capacity, std::uint64_t at, void* to, std::size_t bytes) {
  if (bytes == 0) return;
  const std::uint8_t* const base = static_cast<const std::uint8_t*>(ring) + sizeof(RingHeader);
  const std::size_t begin = at & (capacity - 1);
  const std::size_t first = std::min<std::size_t>(bytes, capacity - begin);
  std::memcpy(to, base + begin, first);
  if (bytes > first) std::memcpy(static_cast<std::uint8_t*>(to) + first, base, bytes - first);
}

bool read_address(std::uint8_t family, const std::array<std::uint8_t, 16>& bytes, Address& out) {
  if (family != static_cast<std::uint8_t>(Family::kIpv4) && family != static_cast<std::uint8_t>(Family::kIpv6)) return false;
  out.bytes = bytes;
  out.family = static_cast<Family>(family);
  return family == static_cast<std::uint8_t>(Family::kIpv6) ||
         std::all_of(bytes.begin() + 4, bytes.end(), [](std::uint8_t byte) { return byte == 0; });
}

}  // namespace

Result<DatagramRingWriter> DatagramRingWriter::create(std::uint32_t bytes) {
  if (!possible(bytes)) return Error{ErrorCode::kLimit, ErrorSite::kIpc, bytes};
  DatagramRingWriter writer;
  writer.capacity_ = bytes;
  SEKISHO_TRY(writer.bytes_fd_, sized_memfd("sekisho-datagrams", ring_bytes(bytes)));
  SEKISHO_TRY(writer.cursor_fd_, sized_memfd("sekisho-datagrams-cursor", sizeof(Cursor)));
  SEKISHO_CHECK_OK(write_header(writer.bytes_fd_, bytes));
  SEKISHO_TRY(writer.bytes_, map(writer.bytes_fd_, ring_bytes(bytes), PROT_READ | PROT_WRITE));
  SEKISHO_TRY(writer.cursor_, map(writer.cursor_fd_, sizeof(Cursor), PROT_READ));
  SEKISHO_CHECK_OK(seal(writer.bytes_fd_, F_SEAL_FUTURE_WRITE));
  SEKISHO_CHECK_OK(seal(writer.cursor_fd_, 0));
  return writer;
}

Result<DatagramRingWriter> DatagramRingWriter::attach(Fd bytes, Fd cursor) {
  SEKISHO_TRY(const std::uint32_t capacity, checked_capacity(bytes, cursor));
  DatagramRingWriter writer;
  writer.capacity_ = capacity;
  SEKISHO_TRY(writer.bytes_, map(bytes, ring_bytes(capacity), PROT_READ | PROT_WRITE));
  SEKISHO_TRY(writer.cursor_, map(cursor, sizeof(Cursor), PROT_READ));
  const auto* header = static_cast<const RingHeader*>(writer.bytes_);
  if (header->magic != kMagic || header->capacity != capacity) return malformed(0);
  // Goes on where a writer before stopped.
  writer.head_ = header->head.load(std::memory_order_relaxed);
  writer.tail_seen_ = static_cast<const Cursor*>(writer.cursor_)->tail.load(std::memory_order_acquire);
  if (writer.tail_seen_ > writer.head_ || writer.head_ - writer.tail_seen_ > capacity || writer.head_ % 8 != 0) return malformed(0);
  writer.bytes_fd_ = std::move(bytes);
  writer.cursor_fd_ = std::move(cursor);
  return writer;
}

DatagramRingWriter::DatagramRingWriter(DatagramRingWriter&& other) noexcept { *this = std::move(other); }

DatagramRingWriter& DatagramRingWriter::operator=(DatagramRingWriter&& other) noexcept {
  if (this == &other) return *this;
  unmap();
  bytes_fd_ = std::move(other.bytes_fd_);
  cursor_fd_ = std::move(other.cursor_fd_);
  bytes_ = std::exchange(other.bytes_, nullptr);
  cursor_ = std::exchange(other.cursor_, nullptr);
  capacity_ = other.capacity_;
  head_ = other.head_;
  tail_seen_ = other.tail_seen_;
  return *this;
}

DatagramRingWriter::~DatagramRingWriter() { unmap(); }

void DatagramRingWriter::unmap() noexcept {
  if (bytes_ != nullptr) munmap(bytes_, ring_bytes(capacity_));
  if (cursor_ != nullptr) munmap(const_cast<void*>(cursor_), sizeof(Cursor));
  bytes_ = nullptr;
  cursor_ = nullptr;
}

bool DatagramRingWriter::push(const DatagramHead& head, std::span<const ByteSpan> pieces) noexcept {
  std::size_t payload = 0;
  for (const ByteSpan piece : pieces) {
    if (piece.size() > kDatagramBytesMax - payload) return false;
    payload += piece.size();
  }
  const std::uint64_t bytes = entry_bytes(payload);
  if (head_ - tail_seen_ + bytes > capacity_) {
    // acquire: pairs with the release in DatagramRingReader::pop
    const std::uint64_t tail = static_cast<const Cursor*>(cursor_)->tail.load(std::memory_order_acquire);
    if (tail > head_ || tail < tail_seen_) return false;  // a lying reader loses datagrams
    tail_seen_ = tail;
    if (head_ - tail_seen_ + bytes > capacity_) return false;
  }
  EntryHead entry{};
  entry.payload = static_cast<std::uint32_t>(payload);
  entry.tenant = head.tenant;
  entry.port = head.port;
  entry.local_port = head.local_port;
  entry.remote_port = head.remote_port;
  entry.local = head.local.bytes;
  entry.remote = head.remote.bytes;
  entry.local_family = static_cast<std::uint8_t>(head.local.family);
  entry.remote_family = static_cast<std::uint8_t>(head.remote.family);
  entry.tunnel = head.tunnel;
  copy_in(bytes_, capacity_, head_, &entry, sizeof(entry));
  std::uint64_t at = head_ + sizeof(entry);
  for (const ByteSpan piece : pieces) {
    copy_in(bytes_, capacity_, at, piece.data(), piece.size());
    at += piece.size();
  }
  head_ += bytes;
  // release: pairs with the acquire in DatagramRingReader::pop
  static_cast<RingHeader*>(bytes_)->head.store(head_, std::memory_order_release);
  return true;
}

Result<Fd> DatagramRingWriter::duplicate_bytes_fd() const { return duplicate(bytes_fd_); }
Result<Fd> DatagramRingWriter::duplicate_cursor_fd() const { return duplicate(cursor_fd_); }

Result<DatagramRingReader> DatagramRingReader::create(std::uint32_t bytes) {
  if (!possible(bytes)) return Error{ErrorCode::kLimit, ErrorSite::kIpc, bytes};
  DatagramRingReader reader;
  reader.capacity_ = bytes;
  SEKISHO_TRY(reader.bytes_fd_, sized_memfd("sekisho-inject", ring_bytes(bytes)));
  SEKISHO_TRY(reader.cursor_fd_, sized_memfd("sekisho-inject-cursor", sizeof(Cursor)));
  SEKISHO_CHECK_OK(write_header(reader.bytes_fd_, bytes));
  SEKISHO_TRY(reader.bytes_, map(reader.bytes_fd_, ring_bytes(bytes), PROT_READ));
  SEKISHO_TRY(reader.cursor_, map(reader.cursor_fd_, sizeof(Cursor), PROT_READ | PROT_WRITE));
  SEKISHO_CHECK_OK(seal(reader.bytes_fd_, 0));
  SEKISHO_CHECK_OK(seal(reader.cursor_fd_, F_SEAL_FUTURE_WRITE));
  return reader;
}

Result<DatagramRingReader> DatagramRingReader::open(Fd bytes, Fd cursor) {
  SEKISHO_TRY(const std::uint32_t capacity, checked_capacity(bytes, cursor));
  DatagramRingReader reader;
  reader.capacity_ = capacity;
  SEKISHO_TRY(reader.bytes_, map(bytes, ring_bytes(capacity), PROT_READ));
  SEKISHO_TRY(reader.cursor_, map(cursor, sizeof(Cursor), PROT_READ | PROT_WRITE));
  const auto* header = static_cast<const RingHeader*>(reader.bytes_);
  if (header->magic != kMagic || header->capacity != capacity) return malformed(0);
  // Goes on where a reader before stopped: the cursor outlives it.
  reader.tail_ = static_cast<const Cursor*>(reader.cursor_)->tail.load(std::memory_order_relaxed);
  if (reader.tail_ % 8 != 0) return malformed(0);
  reader.bytes_fd_ = std::move(bytes);
  reader.cursor_fd_ = std::move(cursor);
  return reader;
}

DatagramRingReader::DatagramRingReader(DatagramRingReader&& other) noexcept { *this = std::move(other); }

DatagramRingReader& DatagramRingReader::operator=(DatagramRingReader&& other) noexcept {
  if (this == &other) return *this;
  unmap();
  bytes_fd_ = std::move(other.bytes_fd_);
  cursor_fd_ = std::move(other.cursor_fd_);
  bytes_ = std::exchange(other.bytes_, nullptr);
  cursor_ = std::exchange(other.cursor_, nullptr);
  capacity_ = other.capacity_;
  tail_ = other.tail_;
  return *this;
}

DatagramRingReader::~DatagramRingReader() { unmap(); }

void DatagramRingReader::unmap() noexcept {
  if (bytes_ != nullptr) munmap(const_cast<void*>(bytes_), ring_bytes(capacity_));
  if (cursor_ != nullptr) munmap(cursor_, sizeof(Cursor));
  bytes_ = nullptr;
  cursor_ = nullptr;
}

Result<std::size_t> DatagramRingReader::pop(DatagramHead& head, std::span<std::uint8_t> payload, bool& found) noexcept {
  SEKISHO_DCHECK(payload.size() >= kDatagramBytesMax);
  found = false;
  // acquire: pairs with the release in DatagramRingWriter::push
  const std::uint64_t end = static_cast<const RingHeader*>(bytes_)->head.load(std::memory_order_acquire);
  if (end == tail_) return std::size_t{0};
  if (end < tail_ || end - tail_ > capacity_ || end - tail_ < sizeof(EntryHead)) return malformed(end);
  EntryHead entry;  // copied once: the writer may change his words under us
  copy_out(bytes_, capacity_, tail_, &entry, sizeof(entry));
  if (entry.payload > kDatagramBytesMax || entry_bytes(entry.payload) > end - tail_ ||
      !read_address(entry.local_family, entry.local, head.local) || !read_address(entry.remote_family, entry.remote, head.remote)) {
    return malformed(tail_);
  }
  head.tenant = entry.tenant;
  head.port = entry.port;
  head.local_port = entry.local_port;
  head.remote_port = entry.remote_port;
  head.tunnel = entry.tunnel;
  copy_out(bytes_, capacity_, tail_ + sizeof(entry), payload.data(), entry.payload);
  tail_ += entry_bytes(entry.payload);
  // release: pairs with the acquire in DatagramRingWriter::push
  static_cast<Cursor*>(cursor_)->tail.store(tail_, std::memory_order_release);
  found = true;
  return std::size_t{entry.payload};
}

bool DatagramRingReader::empty() const noexcept {
  return static_cast<const RingHeader*>(bytes_)->head.load(std::memory_order_relaxed) == tail_;
}

Result<Fd> DatagramRingReader::duplicate_bytes_fd() const { return duplicate(bytes_fd_); }
Result<Fd> DatagramRingReader::duplicate_cursor_fd() const { return duplicate(cursor_fd_); }

}  // namespace sekisho
