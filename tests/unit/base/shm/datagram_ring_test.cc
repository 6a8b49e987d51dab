// SPDX-License-Identifier: BSD-2-Clause
// Goal: datagrams cross in order and whole, a full ring says so, and neither side can harm the other.
// Method: both ends in one process; the hostile side maps the shared memory by itself and writes what it likes.
#include "base/shm/datagram_ring.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <thread>
#include <vector>

namespace sekisho {
namespace {

constexpr std::uint32_t kBytes = 64U << 10;
constexpr std::size_t kHeadOffset = 64, kHeaderBytes = 128, kCursorBytes = 64, kEntryBytes = 56;

Address v4(const char* text) { return parse_address(text).value(); }

DatagramHead head_of(std::uint32_t tenant) {
  DatagramHead head;
  head.tenant = tenant;
  head.port = tenant + 1;
  head.local = v4("203.0.113.1");
  head.remote = tenant % 2 == 0 ? v4("198.51.100.7") : v4("2001:db8::7");
  head.local_port = 500;
  head.remote_port = static_cast<std::uint16_t>(tenant);
  head.tunnel = tenant * 3;
  return head;
}
/// Every byte says which datagram it is of, and where.
std::vector<std::uint8_t> payload_of(std::uint32_t number, std::size_t bytes) {
  std::vector<std::uint8_t> out(bytes);
  for (std::size_t i = 0; i < bytes; ++i) out[i] = static_cast<std::uint8_t>(number * 31 + i * 7);
  return out;
}
bool push(DatagramRingWriter& writer, std::uint32_t number, std::size_t bytes) {
  const auto payload = payload_of(number, bytes);
  const std::array<ByteSpan, 3> pieces{ByteSpan(payload).first(bytes / 3), ByteSpan(), ByteSpan(payload).subspan(bytes / 3)};
  return writer.push(head_of(number), pieces);
}

DatagramRingWriter writer() { return std::move(DatagramRingWriter::create(kBytes)).value(); }
DatagramRingReader reader(const DatagramRingWriter& of) {
  return std::move(DatagramRingReader::open(of.duplicate_bytes_fd().value(), of.duplicate_cursor_fd().value())).value();
}

/// The next datagram must be number `number` of `bytes`.
void expect_next(DatagramRingReader& from, std::uint32_t number, std::size_t bytes) {
  DatagramHead head;
  std::vector<std::uint8_t> room(kDatagramBytesMax);
  bool found = false;
  const auto length = from.pop(head, room, found);
  ASSERT_TRUE(length);
  ASSERT_TRUE(found);
  ASSERT_EQ(*length, bytes);
  const DatagramHead wanted = head_of(number);
  EXPECT_EQ(head.tenant, wanted.tenant);
  EXPECT_EQ(head.port, wanted.port);
  EXPECT_EQ(head.local, wanted.local);
  EXPECT_EQ(head.remote, wanted.remote);
  EXPECT_EQ(head.local_port, wanted.local_port);
  EXPECT_EQ(head.remote_port, wanted.remote_port);
  EXPECT_EQ(head.tunnel, wanted.tunnel);
  room.resize(bytes);
  EXPECT_EQ(room, payload_of(number, bytes));
}
void expect_nothing(DatagramRingReader& from) {
  DatagramHead head;
  std::vector<std::uint8_t> room(kDatagramBytesMax);
  bool found = true;
  ASSERT_TRUE(from.pop(head, room, found));
  EXPECT_FALSE(found);
}
void expect_dead(DatagramRingReader& from) {
  DatagramHead head;
  std::vector<std::uint8_t> room(kDatagramBytesMax);
  bool found = true;
  const auto length = from.pop(head, room, found);
  ASSERT_FALSE(length);
  EXPECT_EQ(length.error().code, ErrorCode::kMalformed);
  EXPECT_FALSE(found);
}

/// Memory of a ring as a hostile peer sees it.
class Peek {
 public:
  Peek(Fd fd, std::size_t bytes) : fd_(std::move(fd)), bytes_(bytes) {
    at_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  }
  ~Peek() {
    if (at_ != MAP_FAILED) munmap(at_, bytes_);
  }
  Peek(const Peek&) = delete;
  Peek& operator=(const Peek&) = delete;
  [[nodiscard]] bool writable() const { return at_ != MAP_FAILED; }
  template <typename T>
  void write(std::size_t offset, T value) {
    std::memcpy(static_cast<std::uint8_t*>(at_) + offset, &value, sizeof(value));
  }

 private:
  Fd fd_;
  std::size_t bytes_;
  void* at_;
};

TEST(DatagramRing, SizesArePowersOfTwoWithinTheLimits) {
  for (const std::uint32_t bad : {0U, 32U << 10, (64U << 10) + 8, 32U << 20, 0xffffffffU}) {
    EXPECT_FALSE(DatagramRingWriter::create(bad)) << bad;
    EXPECT_FALSE(DatagramRingReader::create(bad)) << bad;
  }
  EXPECT_TRUE(DatagramRingWriter::create(64U << 10));
  EXPECT_TRUE(DatagramRingReader::create(16U << 20));
}

TEST(DatagramRing, KeepsOrderAndBytesOverManyTurnsWhereverTheEndFalls) {
  DatagramRingWriter w = writer();
  DatagramRingReader r = reader(w);
  const std::array<std::size_t, 7> lengths{0, 1, 7, 8, 1280, 5003, 16384};
  std::uint32_t in = 0, out = 0;
  for (unsigned turn = 0; turn < 200; ++turn) {
    while (push(w, in, lengths[in % lengths.size()])) ++in;
    ASSERT_GT(in, out + 3) << "full is full, not stuck";
    for (unsigned i = 0; i < 3; ++i, ++out) expect_next(r, out, lengths[out % lengths.size()]);
  }
  for (; out < in; ++out) expect_next(r, out, lengths[out % lengths.size()]);
  EXPECT_TRUE(r.empty());
  expect_nothing(r);
}

TEST(DatagramRing, TheLongestDatagramPassesAndOneByteMoreDoesNot) {
  DatagramRingWriter w = writer();
  DatagramRingReader r = reader(w);
  EXPECT_FALSE(push(w, 1, kDatagramBytesMax + 1));
  EXPECT_TRUE(push(w, 2, kDatagramBytesMax));
  expect_next(r, 2, kDatagramBytesMax);
  expect_nothing(r);
}

TEST(DatagramRing, CrossesThreadsWhole) {
  DatagramRingWriter w = writer();
  DatagramRingReader r = reader(w);
  constexpr std::uint32_t kCount = 2000;
  std::thread sender([&] {
    for (std::uint32_t i = 0; i < kCount;) {
      if (push(w, i, i % 1500)) ++i;
    }
  });
  for (std::uint32_t i = 0; i < kCount;) {
    if (r.empty()) continue;
    expect_next(r, i, i % 1500);
    ++i;
  }
  sender.join();
}

TEST(DatagramRing, TheWayInIsWrittenByWhoAttachesAndASecondOneGoesOn) {
  DatagramRingReader r = std::move(DatagramRingReader::create(kBytes)).value();
  {
    DatagramRingWriter w = std::move(DatagramRingWriter::attach(r.duplicate_bytes_fd().value(), r.duplicate_cursor_fd().value())).value();
    ASSERT_TRUE(push(w, 1, 100));
  }
  DatagramRingWriter w = std::move(DatagramRingWriter::attach(r.duplicate_bytes_fd().value(), r.duplicate_cursor_fd().value())).value();
  ASSERT_TRUE(push(w, 2, 200));
  expect_next(r, 1, 100);
  expect_next(r, 2, 200);
  expect_nothing(r);
}

TEST(DatagramRing, OnlyTheWriterWritesDatagramsAndOnlyTheReaderHisPlace) {
  DatagramRingWriter out = writer();
  EXPECT_FALSE(Peek(out.duplicate_bytes_fd().value(), kHeaderBytes + kBytes).writable());
  EXPECT_TRUE(Peek(out.duplicate_cursor_fd().value(), kCursorBytes).writable());
  DatagramRingReader in = std::move(DatagramRingReader::create(kBytes)).value();
  EXPECT_TRUE(Peek(in.duplicate_bytes_fd().value(), kHeaderBytes + kBytes).writable());
  EXPECT_FALSE(Peek(in.duplicate_cursor_fd().value(), kCursorBytes).writable());
  for (const int fd : {out.duplicate_cursor_fd().value().get(), in.duplicate_bytes_fd().value().get()}) {
    EXPECT_NE(ftruncate(fd, 0), 0) << "nobody's mapping shrinks";
  }
}

TEST(DatagramRing, AReaderSurvivesEveryImpossibleWord) {
  struct Lie {
    const char* what;
    std::size_t offset;
    std::uint64_t value;
    std::size_t bytes;
  };
  const std::array lies{
      Lie{"head beyond the ring", kHeadOffset, kBytes + 8, 8},
      Lie{"head without room for a whole entry", kHeadOffset, kEntryBytes - 8, 8},
      Lie{"head before the last byte of the payload", kHeadOffset, kEntryBytes + 96, 8},
      Lie{"payload longer than any", kHeaderBytes, kDatagramBytesMax + 1, 4},
      Lie{"payload longer than what was written", kHeaderBytes, 105, 4},
      Lie{"payload of four thousand million bytes", kHeaderBytes, 0xffffffffU, 4},
      Lie{"no such family", kHeaderBytes + 48, 5, 1},
      Lie{"no family", kHeaderBytes + 49, 0, 1},
      Lie{"an IPv4 address of sixteen bytes", kHeaderBytes + 16 + 12, 1, 1},
  };
  for (const Lie& lie : lies) {
    SCOPED_TRACE(lie.what);
    DatagramRingReader r = std::move(DatagramRingReader::create(kBytes)).value();
    DatagramRingWriter w = std::move(DatagramRingWriter::attach(r.duplicate_bytes_fd().value(), r.duplicate_cursor_fd().value())).value();
    ASSERT_TRUE(push(w, 2, 100));
    Peek peek(r.duplicate_bytes_fd().value(), kHeaderBytes + kBytes);
    if (lie.bytes == 8) peek.write(lie.offset, lie.value);
    if (lie.bytes == 4) peek.write(lie.offset, static_cast<std::uint32_t>(lie.value));
    if (lie.bytes == 1) peek.write(lie.offset, static_cast<std::uint8_t>(lie.value));
    expect_dead(r);
    expect_dead(r);
  }
}

TEST(DatagramRing, AHeadThatGoesBackKillsTheRing) {
  DatagramRingReader r = std::move(DatagramRingReader::create(kBytes)).value();
  DatagramRingWriter w = std::move(DatagramRingWriter::attach(r.duplicate_bytes_fd().value(), r.duplicate_cursor_fd().value())).value();
  ASSERT_TRUE(push(w, 2, 100));
  expect_next(r, 2, 100);
  Peek peek(r.duplicate_bytes_fd().value(), kHeaderBytes + kBytes);
  peek.write(kHeadOffset, std::uint64_t{0});
  expect_dead(r);
}

TEST(DatagramRing, AWriterWhoseReaderLiesLosesDatagramsOnly) {
  DatagramRingWriter w = writer();
  while (push(w, 1, 1000)) {
  }
  Peek peek(w.duplicate_cursor_fd().value(), kCursorBytes);
  for (const std::uint64_t lie : {std::uint64_t{kBytes} * 4, ~std::uint64_t{0}}) {
    peek.write(0, lie);
    EXPECT_FALSE(push(w, 1, 1000)) << lie;
  }
  peek.write(0, std::uint64_t{2112});  // two of them: the truth again
  EXPECT_TRUE(push(w, 1, 1000));
  peek.write(0, std::uint64_t{8});  // back
  while (push(w, 1, 1000)) {
  }
  EXPECT_FALSE(push(w, 1, 1000));
}

TEST(DatagramRing, StrangeDescriptorsAreRefusedByBothEnds) {
  const auto memfd = [](std::size_t bytes, int seals) {
    Fd fd(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    EXPECT_EQ(ftruncate(fd.get(), static_cast<off_t>(bytes)), 0);
    EXPECT_EQ(fcntl(fd.get(), F_ADD_SEALS, seals), 0);
    return fd;
  };
  const auto refused = [&](std::size_t bytes, int seals, std::size_t cursor) {
    EXPECT_FALSE(DatagramRingReader::open(memfd(bytes, seals), memfd(cursor, seals))) << bytes;
    EXPECT_FALSE(DatagramRingWriter::attach(memfd(bytes, seals), memfd(cursor, seals))) << bytes;
  };
  refused(kHeaderBytes + kBytes, 0, kCursorBytes);                  // may shrink
  refused(kHeaderBytes + kBytes, F_SEAL_SHRINK, kCursorBytes);      // no magic
  refused(kHeaderBytes + kBytes, F_SEAL_SHRINK, kCursorBytes - 1);
  refused(kHeaderBytes + kBytes + 8, F_SEAL_SHRINK, kCursorBytes);  // no power of two
  refused(0, F_SEAL_SHRINK, kCursorBytes);
  refused(kHeaderBytes - 1, F_SEAL_SHRINK, kCursorBytes);
}

}  // namespace
}  // namespace sekisho
