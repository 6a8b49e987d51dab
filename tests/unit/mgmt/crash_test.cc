// SPDX-License-Identifier: Apache-2.0
// Goal: whenever logd is killed, each ring record is stored once, and the numbers have no hole.
// Method: logd in a process of its own, killed with SIGKILL: at moments it cannot choose, and exactly in the middle of a
// turn by a store whose n-th write never returns. The rings live on in the test, as they do in dataplaned.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <fstream>
#include <iterator>
#include <thread>

#include "mgmt/log/daemon.h"
#include "mgmt/log/files.h"
#include "mgmt/log/intake.h"
#include "mgmt/log/vault/vault.h"
#include "mgmt/log/spool.h"
#include "tests/unit/mgmt/fakes.h"

namespace sekisho::mgmt {
namespace {

using namespace test;

constexpr Timestamp kWall{kNoon + 60 * kSecond};

/// A record that can be told from the others: its source port is its number.
LogRecord numbered(std::uint16_t number, std::uint32_t tenant = kAcme, std::uint32_t generation = 7) {
  CommBody body = comm_body();
  body.source_port = number;
  return pack(envelope(LogKind::kComm, tenant, generation, kNoon + number), body);
}

void save_names(const std::string& dir, std::uint32_t generation) {
  std::filesystem::create_directories(dir + "/log");
  std::ofstream(dir + "/log/names.bin", std::ios::binary) << name_table(generation).SerializeAsString();
}

/// What the stream holds: numbers rise by one from 1, and record n is the n-th.
void expect_each_once(const std::string& root, std::size_t count, const StreamName& stream = kAcmeComm) {
  Vault store(root);
  const auto entries = all_of(store, stream);
  ASSERT_EQ(entries.size(), count);
  for (std::size_t i = 0; i < count; ++i) {
    ASSERT_EQ(entries[i].seq, i + 1);
    ASSERT_EQ(std::get<CommFields>(entries[i].body).src_port, i + 1);
  }
  EXPECT_TRUE(all_of(store, {stream.service_code, LogKind::kLoss}).empty());
}

pid_t start_logd(const std::string& dir) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  if (std::freopen("/dev/null", "w", stderr) == nullptr) ::_exit(1);
  LogdOptions options;
  options.days_kept = 36'500;
  options.run_dir = options.state_dir = dir;
  auto daemon = LogDaemon::create(options);
  ::_exit(daemon ? (*daemon)->run() : 1);
}

/// Records of acme in a copy of the log: a store would mend what logd is writing.
std::size_t records_in(const std::string& root) {
  const TempDir copy;
  std::error_code none;
  for (const auto& file : std::filesystem::recursive_directory_iterator(root, none)) {
    const auto to = copy.path() / std::filesystem::relative(file.path(), root, none);
    if (file.is_directory(none)) std::filesystem::create_directories(to, none);
    else std::filesystem::copy_file(file.path(), to, none);
  }
  Vault store(copy.path());
  const auto newest = store.newest(kAcmeComm);
  return newest && *newest ? (*newest)->seq : 0;
}

/// Waits until acme's log has `count` records; ten seconds in which nothing is written are too long.
void wait_for(const std::string& root, std::size_t count) {
  const std::string folder = root + "/acm00000001/comm";
  const Fd events(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  for (;;) {
    // Outermost first: a folder that comes after it was missed here is an event of the one above.
    for (const std::string& watched : {root, root + "/acm00000001", folder}) {
      ::inotify_add_watch(events.get(), watched.c_str(), IN_CREATE | IN_MODIFY | IN_MOVED_TO);
    }
    if (records_in(root) >= count) return;
    pollfd ready{events.get(), POLLIN, 0};
    ASSERT_EQ(::poll(&ready, 1, 10'000), 1) << count << " records did not come";
    std::array<char, 4096> told;
    while (::read(events.get(), told.data(), told.size()) > 0) {
    }
  }
}

TEST(LogCrash, KilledAtAnyMomentLogdStoresEachRecordOnce) {
  const TempDir dir;
  save_names(dir.path(), 7);
  Dataplane dataplane(dir.path() + "/rings.sock", 1);
  std::uint16_t pushed = 0;
  unsigned random = 1;
  for (int round = 0; round < 40; ++round) {
    const pid_t child = start_logd(dir.path());
    dataplane.serve(1);
    random = random * 1103515245 + 12345;
    const auto push = [&] { return dataplane.ring(0).push(numbered(static_cast<std::uint16_t>(pushed + 1))); };
    while (!push()) std::this_thread::yield();  // full: this logd lives until it has taken something
    ++pushed;
    for (unsigned i = 1; i < 24 && push(); ++i) ++pushed;
    for (volatile unsigned spin = random >> 8 & 0x3fffff; spin > 0;) spin = spin - 1;  // the moment of the crash
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  const pid_t last = start_logd(dir.path());
  dataplane.serve(1);
  wait_for(dir.path() + "/log", pushed);
  ::kill(last, SIGTERM);
  int status = -1;
  ::waitpid(last, &status, 0);
  EXPECT_EQ(status, 0);
  ASSERT_GT(pushed, 100);
  expect_each_once(dir.path() + "/log", pushed);
}

TEST(LogCrash, RecordsThatWaitForNamesOutliveLogd) {
  const TempDir dir;
  save_names(dir.path(), 6);
  Dataplane dataplane(dir.path() + "/rings.sock", 1);
  const pid_t child = start_logd(dir.path());
  dataplane.serve(1);
  for (std::uint16_t n = 1; n <= 5; ++n) ASSERT_TRUE(dataplane.ring(0).push(numbered(n)));
  LogRingReader places = must(LogRingReader::open(must(dataplane.ring(0).duplicate_records_fd()), must(dataplane.ring(0).duplicate_cursor_fd())));
  while (places.position() < 5) {  // taken out of the ring, not yet in the log
    places = must(LogRingReader::open(must(dataplane.ring(0).duplicate_records_fd()), must(dataplane.ring(0).duplicate_cursor_fd())));
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  {
    Vault store(dir.path() + "/log");
    ASSERT_TRUE(all_of(store, kAcmeComm).empty()) << "they still waited";
  }
  save_names(dir.path(), 7);
  const pid_t next = start_logd(dir.path());
  dataplane.serve(1);
  wait_for(dir.path() + "/log", 5);
  ::kill(next, SIGTERM);
  ::waitpid(next, nullptr, 0);
  expect_each_once(dir.path() + "/log", 5);
}

/// One turn of logd over records 1..4 of two tenants, as the daemon does it, until write number `dies_at` of the store,
/// which ends the process half way through its bytes.
void half_a_turn(const std::string& root, std::span<const RingMark> marks, std::span<const LogRecord> records, int dies_at) {
  int writes = 0;
  WriteDisk disk([&](int fd, const void* data, std::size_t bytes) {
    if (++writes == dies_at) {
      if (::write(fd, data, bytes / 2) >= 0) ::_exit(0);
    }
    return ::write(fd, data, bytes);
  }, true);
  Vault store(root, {}, disk);
  Spill spill(root + "/spill.bin");
  Spool spool(root + "/spool.bin", root, spill);
  if (!spool.recover()) ::_exit(2);
  store.on_first_append([&](const std::string& path, std::uint64_t bytes) { return spool.note(path, bytes); });
  Journal journal(store, fixed_random());
  NameCache cache;
  cache.add(names(7));
  RemoteUsers users(store);
  Intake intake(cache, journal, spill, users, [](std::uint32_t) {});
  if (!spool.add(marks, records)) ::_exit(2);
  intake.offer(records, {});
  intake.process({}, kWall);
  ::_exit(0);  // stored, and killed before the spool is settled
}

TEST(LogCrash, ATurnThatStoppedHalfWayIsUndoneAndDoneAgain) {
  for (int dies_at = 1; dies_at <= 3; ++dies_at) {
    const TempDir dir;
    const std::vector<LogRecord> records{numbered(1), numbered(1, kGlobex), numbered(2), numbered(2, kGlobex)};
    const std::vector<RingMark> marks{{77, 100, 4}};
    const pid_t child = ::fork();
    if (child == 0) half_a_turn(dir.path(), marks, records, dies_at);
    int status = -1;
    ::waitpid(child, &status, 0);
    ASSERT_EQ(status, 0);

    Spill spill(dir.path() + "/spill.bin");
    Spool spool(dir.path() + "/spool.bin", dir.path(), spill);
    const Spool::Left left = must(spool.recover());
    ASSERT_EQ(left.records.size(), 4U);
    ASSERT_EQ(left.marks.size(), 1U);
    EXPECT_EQ(left.marks[0].first, 100U);
    EXPECT_EQ(left.cut_back, static_cast<std::size_t>(std::min(dies_at, 2)));
    Vault store(dir.path());
    EXPECT_TRUE(all_of(store, kAcmeComm).empty());
    Journal journal(store, fixed_random());
    NameCache cache;
    cache.add(names(7));
    RemoteUsers users(store);
    Intake intake(cache, journal, spill, users, [](std::uint32_t) {});
    intake.offer(left.records, {});
    intake.process({}, kWall);
    ASSERT_TRUE(spool.settle({}, {}));
    expect_each_once(dir.path(), 2);
    expect_each_once(dir.path(), 2, {"glb00000002", LogKind::kComm});
    Spool again(dir.path() + "/spool.bin", dir.path(), spill);
    EXPECT_TRUE(must(again.recover()).records.empty());
  }
}

TEST(Spool, CutsNothingOutsideItsFolderAndIgnoresAnotherBoot) {
  const TempDir dir;
  std::filesystem::create_directories(dir.path() + "/log");
  std::ofstream(dir.path() + "/precious") << "precious";
  std::ofstream(dir.path() + "/log/x.seg") << "longer than two";
  const auto size = [&](const char* path) { return std::filesystem::file_size(dir.path() + path); };
  const std::string path = dir.path() + "/log/spool.bin";
  Spill spill(dir.path() + "/log/spill.bin");
  {
    Spool spool(path, dir.path() + "/log", spill);
    ASSERT_TRUE(spool.recover());
    ASSERT_TRUE(spool.note("../precious", 2));
    ASSERT_TRUE(spool.note("x.seg", 2));
    ASSERT_TRUE(spool.note("x.seg", 9)) << "the first note stands";
    ASSERT_TRUE(spool.add({}, std::vector<LogRecord>{comm_record()}));
  }
  const std::string saved = must(read_file(path, 1U << 20));
  std::string other_boot = saved;
  other_boot[10] = other_boot[10] == '0' ? '1' : '0';
  std::ofstream(path, std::ios::binary | std::ios::trunc) << other_boot;
  EXPECT_TRUE(must(Spool(path, dir.path() + "/log", spill).recover()).records.empty());
  EXPECT_EQ(size("/log/x.seg"), 15U);
  for (std::size_t cut = 0; cut <= saved.size(); ++cut) {  // torn at every byte
    std::ofstream(path, std::ios::binary | std::ios::trunc) << saved.substr(0, cut);
    EXPECT_EQ(must(Spool(path, dir.path() + "/log", spill).recover()).records.size(), cut == saved.size() ? 1U : 0U);
  }
  EXPECT_EQ(size("/log/x.seg"), 2U);
  EXPECT_EQ(size("/precious"), 8U);
}

TEST(Spool, ASpillThatWasAboutToChangeIsChangedByTheSuccessor) {
  const TempDir dir;
  Spill spill(dir.path() + "/spill.bin");
  ASSERT_TRUE(spill.add({comm_record(), comm_record(kGlobex)}));
  {
    Spool spool(dir.path() + "/spool.bin", dir.path(), spill);
    ASSERT_TRUE(spool.recover());
    ASSERT_TRUE(spool.settle_and_spill({}, {}, std::vector<LogRecord>{comm_record(kGlobex)}));
  }
  Spool next(dir.path() + "/spool.bin", dir.path(), spill);
  ASSERT_TRUE(next.recover());
  ASSERT_EQ(spill.read()->size(), 1U);
  EXPECT_EQ((*spill.read())[0].bytes, comm_record(kGlobex).bytes);
}

}  // namespace
}  // namespace sekisho::mgmt
