// SPDX-License-Identifier: Apache-2.0
// Goal: sequence numbers have no hole that a loss record does not cover: over restarts, torn files and full disks.
// Method: a real folder, a write() that fails when told to, a store opened again and again.
#include <gtest/gtest.h>

#include <unistd.h>
#include <cerrno>

#include "mgmt/log/vault/vault.h"
#include "tests/unit/mgmt/support.h"

namespace sekisho::mgmt {
namespace {

using namespace test;
namespace fs = std::filesystem;

constexpr Timestamp kNow{kNoon + kSecond};

void write(LogStore& store, std::vector<LogEntry> entries, Timestamp now = kNow) {
  Journal journal(store, fixed_random());
  journal.write(std::move(entries), now);
}

std::string comm_file(const TempDir& dir, const std::string& name = "2024-11-28-0001.seg") {
  return dir.path() + "/acm00000001/comm/" + name;
}

std::string wal(const TempDir& dir) { return comm_file(dir, "wal-000000000000"); }

std::string content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(Journal, NumbersGoOnWithoutAHoleAfterARestart) {
  const TempDir dir;
  for (int run = 0; run < 3; ++run) {
    Vault store(dir.path());
    write(store, {comm_entry(), comm_entry()});
  }

  Vault store(dir.path());
  EXPECT_EQ(numbers_of(all_of(store, kAcmeComm)), (std::vector<std::uint64_t>{1, 2, 3, 4, 5, 6}));
}

TEST(Journal, CountsEachTenantAndTypeForItself) {
  const TempDir dir;
  Vault store(dir.path());
  LogEntry sec = make_entry(LogKind::kSec);
  sec.svc = "acm00000001", sec.node = "u0", sec.ts = Timestamp{kNoon};
  write(store, {comm_entry(), comm_entry("glb00000002"), sec, comm_entry()});

  EXPECT_EQ(numbers_of(all_of(store, kAcmeComm)), (std::vector<std::uint64_t>{1, 2}));
  EXPECT_EQ(numbers_of(all_of(store, {"glb00000002", LogKind::kComm})), (std::vector<std::uint64_t>{1}));
  EXPECT_EQ(numbers_of(all_of(store, kAcmeSec)), (std::vector<std::uint64_t>{1}));
}

TEST(Journal, LossFromTheRingTakesNumbersOutOfItsStream) {
  const TempDir dir;
  Vault store(dir.path());
  write(store, {comm_entry(), loss_entry(512), comm_entry()});

  EXPECT_EQ(numbers_of(all_of(store, kAcmeComm)), (std::vector<std::uint64_t>{1, 514}));
  const auto losses = all_of(store, kAcmeLoss);
  ASSERT_EQ(losses.size(), 1U);
  const auto& loss = std::get<LossFields>(losses[0].body);
  EXPECT_EQ(loss.seq_from, 2U);
  EXPECT_EQ(loss.seq_to, 513U);
  EXPECT_EQ(loss.count, 512U);
  EXPECT_EQ(loss.why, LossCause::kQueueFull);
  EXPECT_EQ(losses[0].seq, 1U);
}

TEST(Journal, LossAtTheEndIsNotNumberedAgainAfterARestart) {
  const TempDir dir;
  {
    Vault store(dir.path());
    write(store, {comm_entry(), loss_entry(10)});
  }
  Vault store(dir.path());
  write(store, {comm_entry()});

  EXPECT_EQ(numbers_of(all_of(store, kAcmeComm)), (std::vector<std::uint64_t>{1, 12}));
}

TEST(Journal, RecordsAndLossesSayHowTheClockWasWhenTheyWereNumbered) {
  TempDir dir;
  Vault store(dir.path());
  Journal journal(store, fixed_random());
  journal.write({comm_entry("acm00000001", kNoon)}, Timestamp{kNoon + kSecond});  // nobody has said
  journal.set_time_synced(false);
  journal.write({comm_entry("acm00000001", kNoon), loss_entry(3)}, Timestamp{kNoon + kSecond});
  journal.set_time_synced(true);
  journal.write({comm_entry("acm00000001", kNoon)}, Timestamp{kNoon + kSecond});

  const auto comm = all_of(store, {"acm00000001", LogKind::kComm});
  ASSERT_EQ(comm.size(), 3U);
  EXPECT_EQ(comm[0].time_synced, std::nullopt);
  EXPECT_EQ(comm[1].time_synced, false);
  EXPECT_EQ(comm[2].time_synced, true);
  const auto losses = all_of(store, {"acm00000001", LogKind::kLoss});
  ASSERT_EQ(losses.size(), 1U);
  EXPECT_EQ(losses[0].time_synced, false);
}

TEST(Journal, TimesNeverFallNorComeFromTheFuture) {
  const TempDir dir;
  Vault store(dir.path());
  write(store, {comm_entry("acm00000001", kNoon + 100 * kSecond), comm_entry("acm00000001", kNoon)});
  write(store, {comm_entry("acm00000001", kNoon)});

  for (const LogEntry& entry : all_of(store, kAcmeComm)) EXPECT_EQ(entry.ts, kNow);
}

TEST(Journal, FullDiskIsCoveredByALossWhenThereIsSpaceAgain) {
  const TempDir dir;
  bool full = false;
  WriteDisk disk([&full](int fd, const void* data, std::size_t bytes) -> ssize_t {
    if (!full) return ::write(fd, data, bytes);
    if (bytes > 100) return ::write(fd, data, 100);  // some of it still fits
    errno = ENOSPC;
    return -1;
  });
  Vault store(dir.path(), {}, disk);
  Journal journal(store, fixed_random());
  journal.write({comm_entry()}, kNow);
  full = true;
  journal.write({comm_entry(), comm_entry()}, kNow);
  journal.write({comm_entry()}, kNow);
  EXPECT_FALSE(journal.settled());
  EXPECT_EQ(journal.trouble()->detail, static_cast<std::uint32_t>(ENOSPC));
  full = false;
  journal.write({comm_entry()}, kNow);

  EXPECT_TRUE(journal.settled());
  EXPECT_EQ(numbers_of(all_of(store, kAcmeComm)), (std::vector<std::uint64_t>{1, 5}));
  const auto losses = all_of(store, kAcmeLoss);
  ASSERT_EQ(losses.size(), 1U);
  const auto& loss = std::get<LossFields>(losses[0].body);
  EXPECT_EQ(loss.seq_from, 2U);
  EXPECT_EQ(loss.seq_to, 4U);
  EXPECT_EQ(loss.count, 3U);
  EXPECT_EQ(loss.why, LossCause::kDiskFull);
}

TEST(Journal, RingLossOnAFullDiskKeepsItsCause) {
  const TempDir dir;
  bool full = true;
  WriteDisk disk([&full](int fd, const void* data, std::size_t bytes) -> ssize_t {
    errno = ENOSPC;
    return full ? -1 : ::write(fd, data, bytes);
  });
  Vault store(dir.path(), {}, disk);
  Journal journal(store, fixed_random());
  journal.write({comm_entry(), loss_entry(5), comm_entry()}, kNow);
  full = false;
  journal.retry(kNow);

  std::uint64_t covered = 0;
  for (const LogEntry& entry : all_of(store, kAcmeLoss)) covered += std::get<LossFields>(entry.body).count;
  EXPECT_EQ(covered, 7U);
  journal.write({comm_entry()}, kNow);
  EXPECT_EQ(numbers_of(all_of(store, kAcmeComm)), (std::vector<std::uint64_t>{8}));
}

TEST(Vault, CutsATornFrameAtEveryByteAndLosesNoWholeOne) {
  const TempDir dir;
  std::size_t first = 0;
  {
    Vault store(dir.path());
    write(store, {comm_entry()});
    first = content(wal(dir)).size();
    write(store, {comm_entry()});
  }
  const std::string whole = content(wal(dir));
  for (std::size_t length = first; length < whole.size(); length += 7) {
    std::ofstream(wal(dir), std::ios::binary | std::ios::trunc) << whole.substr(0, length);
    Vault store(dir.path());
    EXPECT_EQ(numbers_of(all_of(store, kAcmeComm)), (std::vector<std::uint64_t>{1})) << length;
    write(store, {comm_entry()});
    EXPECT_EQ(numbers_of(all_of(store, kAcmeComm)), (std::vector<std::uint64_t>{1, 2})) << length;
    EXPECT_EQ(store.torn(), length > first ? 1U : 0U);
  }
}

TEST(Vault, CutsZerosThatAPowerCutLeft) {
  const TempDir dir;
  {
    Vault store(dir.path());
    write(store, {comm_entry()});
  }
  std::ofstream(wal(dir), std::ios::binary | std::ios::app) << std::string(5000, '\0');
  Vault store(dir.path());
  write(store, {comm_entry()});

  EXPECT_EQ(numbers_of(all_of(store, kAcmeComm)), (std::vector<std::uint64_t>{1, 2}));
}

TEST(Vault, StartsASegmentPerJapaneseDayAndPerSize) {
  const TempDir dir;
  constexpr std::uint64_t kTwelveHours = 43'200 * kSecond;
  {
    Vault store(dir.path(), {.segment_bytes_max = 1, .open_files_max = 2, .block_rows = 1}, real_disk());
    const Timestamp later{kNoon + kTwelveHours};
    write(store, {comm_entry("acm00000001", kNoon + kTwelveHours - 1), comm_entry("acm00000001", kNoon + kTwelveHours)},
          later);
    write(store, {comm_entry("acm00000001", kNoon + kTwelveHours)}, later);
  }
  EXPECT_TRUE(fs::exists(comm_file(dir, "2024-11-28-0001.seg")));
  EXPECT_TRUE(fs::exists(comm_file(dir, "2024-11-29-0001.seg")));
  EXPECT_TRUE(fs::exists(comm_file(dir, "2024-11-29-0002.seg")));
  Vault store(dir.path());
  EXPECT_EQ(numbers_of(all_of(store, kAcmeComm)), (std::vector<std::uint64_t>{1, 2, 3}));
  auto last = store.open(kAcmeComm, {StartAt::Kind::kLast, 2, {}});
  EXPECT_EQ((*(*last)->next())->seq, 2U);
  auto day = store.open(kAcmeComm, {StartAt::Kind::kDay, 0, Timestamp{kNoon + kTwelveHours}});
  EXPECT_EQ((*(*day)->next())->seq, 2U);
}

TEST(Vault, KeepsCountingWhenManyStreamsShareFewDescriptors) {
  const TempDir dir;
  Vault store(dir.path(), {.open_files_max = 2}, real_disk());
  Journal journal(store, fixed_random());
  for (int turn = 0; turn < 3; ++turn) {
    for (const char* svc : {"aaa00000001", "bbb00000001", "ccc00000001"}) journal.write({comm_entry(svc)}, kNow);
  }
  for (const char* svc : {"aaa00000001", "bbb00000001", "ccc00000001"}) {
    EXPECT_EQ(numbers_of(all_of(store, {svc, LogKind::kComm})), (std::vector<std::uint64_t>{1, 2, 3}));
  }
}

TEST(Vault, CursorAtTheEndSeesWhatComesLater) {
  const TempDir dir;
  Vault store(dir.path());
  Journal journal(store, fixed_random());
  auto before_any = store.open(kAcmeComm, {StartAt::Kind::kEnd, 0, {}});
  journal.write({comm_entry()}, kNow);
  auto after_one = store.open(kAcmeComm, {StartAt::Kind::kEnd, 0, {}});
  EXPECT_FALSE((*after_one)->next()->has_value());
  journal.write({comm_entry()}, kNow);

  EXPECT_EQ((*(*before_any)->next())->seq, 1U);
  EXPECT_EQ((*(*after_one)->next())->seq, 2U);
  EXPECT_FALSE((*after_one)->next()->has_value());
}

}  // namespace
}  // namespace sekisho::mgmt
