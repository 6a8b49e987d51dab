// SPDX-License-Identifier: BSD-2-Clause
// Goal: records cross in order and whole, a full ring says so, and neither side can harm the other.
// Method: both ends in one process; the hostile side maps the shared memory by itself and writes what it likes.
#include "base/shm/log_ring.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

#include "base/limits.h"

namespace sekisho {
namespace {

constexpr std::size_t kHeadOffset = 64, kHeaderBytes = 192, kCursorBytes = 64;

LogRecord record(std::uint64_t number) {
  LogRecord out;
  for (std::size_t i = 0; i < out.bytes.size(); i += sizeof(number)) std::memcpy(&out.bytes[i], &number, sizeof(number));
  return out;
}
/// The number, or ~0 when the record is torn.
std::uint64_t number_of(const LogRecord& in) {
  std::uint64_t first = 0;
  std::memcpy(&first, in.bytes.data(), sizeof(first));
  return std::memcmp(record(first).bytes.data(), in.bytes.data(), in.bytes.size()) == 0 ? first : ~std::uint64_t{0};
}

LogRingWriter writer(std::uint32_t records) { return std::move(LogRingWriter::create(records)).value(); }
LogRingReader reader(const LogRingWriter& of) {
  return std::move(LogRingReader::open(of.duplicate_records_fd().value(), of.duplicate_cursor_fd().value())).value();
}

TEST(LogRing, SizesArePowersOfTwoUpToTheLimit) {
  for (const std::uint32_t bad : {0U, 3U, 6U, static_cast<std::uint32_t>(limits::kLogRingRecordsMax * 2), 0xffffffffU}) {
    EXPECT_FALSE(LogRingWriter::create(bad)) << bad;
  }
  EXPECT_TRUE(LogRingWriter::create(1));
}

TEST(LogRing, KeepsOrderOverManyTurnsAndSaysWhenItIsFull) {
  LogRingWriter w = writer(8);
  LogRingReader r = reader(w);
  std::uint64_t next_in = 0, next_out = 0;
  std::vector<LogRecord> out(5);
  for (unsigned turn = 0; turn < 100; ++turn) {
    while (w.push(record(next_in))) ++next_in;
    EXPECT_EQ(next_in - next_out, 8U) << "full means full";

    const std::size_t taken = r.pop(out).value();

    ASSERT_EQ(taken, 5U);
    for (std::size_t i = 0; i < taken; ++i) ASSERT_EQ(number_of(out[i]), next_out++);
  }
  while (const std::size_t taken = r.pop(out).value()) next_out += taken;
  EXPECT_EQ(next_out, next_in);
  EXPECT_EQ(w.pushed(), next_in);
}

TEST(LogRing, PeekedRecordsStayUntilConsumedEvenOverARestartOfTheReader) {
  LogRingWriter w = writer(4);
  for (std::uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(w.push(record(i)));
  std::vector<LogRecord> out(4);
  {
    LogRingReader r = reader(w);
    ASSERT_EQ(r.peek(out).value(), 4U);
    EXPECT_FALSE(w.push(record(4)));
    r.consume(1);
    EXPECT_TRUE(w.push(record(4)));
  }
  LogRingReader again = reader(w);
  ASSERT_EQ(again.pop(out).value(), 4U);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(number_of(out[i]), i + 1);
}

TEST(LogRing, TwoThreadsLoseTearAndReorderNothing) {
  constexpr std::uint64_t kRecords = 200'000;
  LogRingWriter w = writer(64);
  LogRingReader r = reader(w);
  std::thread producer([&w] {
    for (std::uint64_t i = 0; i < kRecords;) {
      if (w.push(record(i))) ++i;
      else std::this_thread::yield();
    }
  });
  std::vector<LogRecord> out(17);
  std::uint64_t next = 0;
  bool in_order = true;
  while (next < kRecords) {
    const std::size_t taken = r.pop(out).value();
    for (std::size_t i = 0; i < taken; ++i) in_order = in_order && number_of(out[i]) == next++;
    if (taken == 0) std::this_thread::yield();
  }
  producer.join();
  EXPECT_TRUE(in_order);
}

TEST(LogRing, NobodyElseMayMapTheRecordsWritable) {
  const LogRingWriter w = writer(4);
  const Fd fd = w.duplicate_records_fd().value();

  EXPECT_EQ(mmap(nullptr, kHeaderBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0), MAP_FAILED);
  EXPECT_EQ(errno, EPERM);
  EXPECT_LT(pwrite(fd.get(), "x", 1, 0), 0);
  EXPECT_NE(ftruncate(fd.get(), 0), 0);
  EXPECT_NE(ftruncate(fd.get(), 1 << 20), 0);
  EXPECT_NE(fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE), 0) << "seals are final";
  const std::string again = "/proc/self/fd/" + std::to_string(fd.get());
  const Fd reopened(open(again.c_str(), O_RDWR));
  EXPECT_EQ(mmap(nullptr, kHeaderBytes, PROT_READ | PROT_WRITE, MAP_SHARED, reopened.get(), 0), MAP_FAILED);
  EXPECT_NE(ftruncate(w.duplicate_cursor_fd().value().get(), 0), 0);
}

/// Shared memory of the test's own making, as a hostile writer or a broken one would hand it over.
struct Forged {
  Fd records, cursor;
  std::uint8_t* memory = nullptr;
  std::size_t bytes;

  explicit Forged(std::size_t slots, std::size_t extra = 0, int seals = F_SEAL_SHRINK | F_SEAL_GROW)
      : records(memfd_create("records", MFD_ALLOW_SEALING)), cursor(memfd_create("cursor", MFD_ALLOW_SEALING)),
        bytes(kHeaderBytes + slots * sizeof(LogRecord) + extra) {
    EXPECT_EQ(ftruncate(records.get(), static_cast<off_t>(bytes)), 0);
    EXPECT_EQ(ftruncate(cursor.get(), kCursorBytes), 0);
    memory = static_cast<std::uint8_t*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, records.get(), 0));
    set(0, 0x3130474f4c4b53ULL);
    set(8, slots);
    EXPECT_EQ(fcntl(records.get(), F_ADD_SEALS, seals), 0);
    EXPECT_EQ(fcntl(cursor.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
  }
  Forged(const Forged&) = delete;
  ~Forged() { munmap(memory, bytes); }
  void set(std::size_t offset, std::uint64_t value) { std::memcpy(memory + offset, &value, sizeof(value)); }
  Result<LogRingReader> open_reader() {
    return LogRingReader::open(Fd(dup(records.get())), Fd(dup(cursor.get())));
  }
};

TEST(LogRing, AReaderOpensOnlyAWellFormedRing) {
  EXPECT_TRUE(Forged(4).open_reader());
  EXPECT_FALSE(Forged(0).open_reader());
  EXPECT_FALSE(Forged(3).open_reader()) << "not a power of two";
  EXPECT_FALSE(Forged(4, 1).open_reader()) << "a byte too many";
  EXPECT_FALSE(Forged(limits::kLogRingRecordsMax * 2).open_reader());
  EXPECT_FALSE(Forged(4, 0, F_SEAL_GROW).open_reader()) << "could shrink under the mapping";
  Forged magic(4);
  magic.set(0, 1);
  EXPECT_FALSE(magic.open_reader());
  Forged capacity(4);
  capacity.set(8, 8);
  EXPECT_FALSE(capacity.open_reader());
  EXPECT_FALSE(LogRingReader::open(Fd(), Fd()));
}

TEST(LogRing, AnImpossibleHeadKillsTheReaderNotTheProcess) {
  for (const std::uint64_t head : {std::uint64_t{5}, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
    Forged forged(4);
    LogRingReader r = std::move(forged.open_reader()).value();
    std::vector<LogRecord> out(64);
    forged.set(kHeadOffset, 2);
    EXPECT_EQ(r.pop(out).value(), 2U);

    forged.set(kHeadOffset, head == 5 ? 7 : head);
    EXPECT_FALSE(r.pop(out)) << head;
    forged.set(kHeadOffset, 1);
    EXPECT_FALSE(r.pop(out)) << "a head that goes back";
  }
}

TEST(LogRing, ALyingCursorLosesRecordsOnly) {
  LogRingWriter w = writer(4);
  const Fd fd = w.duplicate_cursor_fd().value();
  void* map = mmap(nullptr, kCursorBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  ASSERT_NE(map, MAP_FAILED);
  const auto lie = [map](std::uint64_t tail) { std::memcpy(map, &tail, sizeof(tail)); };
  for (std::uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(w.push(record(i)));

  for (const std::uint64_t tail : {std::uint64_t{5}, ~std::uint64_t{0}, std::uint64_t{0}}) {
    lie(tail);
    EXPECT_FALSE(w.push(record(9))) << tail;
  }
  lie(2);
  EXPECT_TRUE(w.push(record(4)));
  EXPECT_TRUE(w.push(record(5)));
  lie(1);
  EXPECT_FALSE(w.push(record(6))) << "a cursor that goes back";
  munmap(map, kCursorBytes);
}

TEST(LogRing, MovesKeepTheMapping) {
  LogRingWriter first = writer(4);
  LogRingWriter second = std::move(first);
  LogRingReader r = reader(second);
  LogRingReader moved = std::move(r);
  ASSERT_TRUE(second.push(record(7)));
  std::vector<LogRecord> out(1);
  ASSERT_EQ(moved.pop(out).value(), 1U);
  EXPECT_EQ(number_of(out[0]), 7U);
}

}  // namespace
}  // namespace sekisho
