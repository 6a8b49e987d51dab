// SPDX-License-Identifier: Apache-2.0
#include "base/os/sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <system_error>
#include <thread>

#include "base/ipc/sealed_blob.h"

namespace sekisho {
namespace {

/// Runs `what` in a process of its own, inside the sandbox; its answer.
template <typename What>
int inside(What what, Sandbox kind = Sandbox::kLocal) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (!enter_sandbox(kind)) ::_exit(99);
    ::_exit(what());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

/// 0: refused with EPERM; 1: allowed; 2: failed otherwise.
int refused(long result) { return result >= 0 ? 1 : errno == EPERM ? 0 : 2; }

TEST(Sandbox, RefusesFilesProgramsThreadsOtherSocketsAndRunnableMemory) {
  EXPECT_EQ(inside([] { return refused(::open("/etc/passwd", O_RDONLY)); }), 0);
  EXPECT_EQ(inside([] { return refused(::open("/tmp/sekisho-sandbox", O_WRONLY | O_CREAT, 0600)); }), 0);
  EXPECT_EQ(inside([] { return refused(::socket(AF_INET, SOCK_DGRAM, 0)); }), 0);
  EXPECT_EQ(inside([] { return refused(::socket(AF_INET6, SOCK_STREAM, 0)); }), 0);
  EXPECT_EQ(inside([] { return refused(::socket(AF_NETLINK, SOCK_RAW, 0)); }), 0);
  EXPECT_EQ(inside([] { return refused(::socket(AF_PACKET, SOCK_RAW, 0)); }), 0);
  EXPECT_EQ(inside([] { return refused(::fork()); }), 0);
  EXPECT_EQ(inside([] { return refused(::execl("/bin/true", "true", nullptr)); }), 0);
  EXPECT_EQ(inside([] { return refused(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr)); }), 0);
  EXPECT_EQ(inside([] { return refused(::kill(::getppid(), 0)); }), 0);
  EXPECT_EQ(inside([] { return refused(::syscall(SYS_bpf, 0, nullptr, 0)); }), 0);
  EXPECT_EQ(inside([] { return refused(::unlink("/tmp/sekisho-sandbox")); }), 0);
  EXPECT_EQ(inside([] { return refused(::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)); }), 0);
  EXPECT_EQ(inside([] {
              void* made = ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
              return refused(made == MAP_FAILED ? -1 : 0);
            }),
            0);
  EXPECT_EQ(inside([] {
              void* made = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
              return refused(::mprotect(made, 4096, PROT_READ | PROT_EXEC));
            }),
            0);
}

TEST(Sandbox, AllowsWhatTheDaemonLivesBy) {
  EXPECT_EQ(inside([] { return refused(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)); }), 1);
  EXPECT_EQ(inside([] { return std::make_unique<std::array<char, 1 << 20>>() != nullptr ? 1 : 0; }), 1);
  const std::array<std::uint8_t, 3> bytes{1, 2, 3};
  const auto sent = make_sealed_blob("plan", bytes);  // as controld sends one
  ASSERT_TRUE(sent.has_value());
  EXPECT_EQ(inside([&sent] {
              const auto blob = SealedBlob::open(Fd(sent.value().get()), 16);
              return blob.has_value() && blob.value().bytes().size() == 3 ? 1 : 0;
            }),
            1);
  EXPECT_EQ(inside([] {
              const timespec moment{0, 1000};
              return refused(::nanosleep(&moment, nullptr));
            }),
            1);
}

/// What a process on the network may do more, and what it may not.
TEST(Sandbox, LetsWhoSpeaksToTheNetworkDialAndNothingElse) {
  for (const Sandbox kind : {Sandbox::kDials, Sandbox::kServes}) {
    EXPECT_EQ(inside([] { return refused(::socket(AF_INET, SOCK_STREAM, 0)); }, kind), 1);
    EXPECT_EQ(inside([] { return refused(::socket(AF_INET6, SOCK_DGRAM, 0)); }, kind), 1);
    EXPECT_EQ(inside([] { return refused(::socket(AF_PACKET, SOCK_RAW, 0)); }, kind), 0);
    EXPECT_EQ(inside([] { return refused(::listen(::socket(AF_INET, SOCK_STREAM, 0), 1)); }, kind), 0);
    EXPECT_EQ(inside([] { return refused(::open("/tmp/sekisho-sandbox", O_WRONLY | O_CREAT, 0600)); }, kind), 0);
    EXPECT_EQ(inside([] { return refused(::open("/etc/passwd", O_RDWR)); }, kind), 0);
    EXPECT_EQ(inside([] { return refused(::open("/etc/passwd", O_RDONLY | O_TRUNC)); }, kind), 0);
    EXPECT_EQ(inside([] { return refused(::open("/tmp", O_TMPFILE | O_WRONLY, 0600)); }, kind), 0);
    EXPECT_EQ(inside([] { return refused(::fork()); }, kind), 0);
    EXPECT_EQ(inside([] { return refused(::execl("/bin/true", "true", nullptr)); }, kind), 0);
    EXPECT_EQ(inside([] { return refused(::unlink("/tmp/sekisho-sandbox")); }, kind), 0);
    EXPECT_EQ(inside([] { return refused(::kill(::getppid(), 0)); }, kind), 0);
  }
  EXPECT_EQ(inside([] { return refused(::open("/etc/passwd", O_RDONLY)); }, Sandbox::kDials), 0);
  EXPECT_EQ(inside([] { return refused(::open("/etc/passwd", O_RDONLY)); }, Sandbox::kServes), 1);
  const auto thread = [] {
    std::atomic<int> answer{0};
    try {
      std::thread([&answer] { answer = 1; }).join();
    } catch (const std::system_error&) {
    }
    return answer.load();
  };
  EXPECT_EQ(inside(thread, Sandbox::kDials), 0);
  EXPECT_EQ(inside(thread, Sandbox::kServes), 1);
}

/// A thread that runs already is held by it as well.
TEST(Sandbox, LetsWhoServesSealWhatItSends) {
  const auto seals = [] {
    const std::array<std::uint8_t, 3> bytes{1, 2, 3};
    return make_sealed_blob("request", bytes).has_value() ? 1 : 0;
  };
  EXPECT_EQ(inside(seals, Sandbox::kServes), 1);
  EXPECT_EQ(inside(seals, Sandbox::kDials), 0);
  EXPECT_EQ(inside(seals, Sandbox::kLocal), 0);
}

TEST(Sandbox, HoldsThreadsThatWereThereBefore) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::atomic<int> step{0};
    std::atomic<int> answer{-1};
    std::atomic<bool> begun{false};
    std::thread other([&] {
      begun = true;
      while (step == 0) std::this_thread::yield();
      answer = refused(::socket(AF_INET, SOCK_DGRAM, 0));
    });
    while (!begun) std::this_thread::yield();
    if (!enter_sandbox()) ::_exit(99);
    step = 1;
    other.join();
    ::_exit(answer);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Sandbox, NobodyGetsPrivilegesBack) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (!give_up_privileges()) ::_exit(99);
    const bool no_new = ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
    const bool not_dumpable = ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0;
    ::_exit(no_new && not_dumpable && ::socket(AF_PACKET, SOCK_RAW, 0) < 0 ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace sekisho
