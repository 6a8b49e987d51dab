// SPDX-License-Identifier: Apache-2.0
// Goal: a clock is in step only when the kernel says so; a question that is forbidden is no yes.
// Method: a thread that may not ask (seccomp, as a unit's SystemCallFilter= does it).
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/timex.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <thread>

#include "base/time/civil_day.h"

namespace sekisho {
namespace {

/// From here on this thread gets EPERM for adjtimex, by either of its names.
bool forbid_the_question() {
  const auto statement = [](int code, std::uint32_t value) { return sock_filter{static_cast<std::uint16_t>(code), 0, 0, value}; };
  const auto refuse_if = [](std::uint32_t number) { return sock_filter{static_cast<std::uint16_t>(BPF_JMP | BPF_JEQ | BPF_K), 0, 1, number}; };
  const sock_filter refuse = statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
  std::array<sock_filter, 6> filter{statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                                    refuse_if(SYS_adjtimex),
                                    refuse,
                                    refuse_if(SYS_clock_adjtime),
                                    refuse,
                                    statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST(ClockInStep, IsNotWhenTheKernelMayNotBeAsked) {
  bool forbidden = false, asked = true, in_step = true;
  std::thread([&] {
    forbidden = forbid_the_question();
    timex state{};
    asked = ::adjtimex(&state) >= 0;
    in_step = clock_in_step();
  }).join();
  if (!forbidden) GTEST_SKIP() << "no seccomp here";
  EXPECT_FALSE(asked);
  EXPECT_FALSE(in_step);
}

TEST(ClockInStep, IsWhatTheKernelSays) {
  timex state{};
  const int said = ::adjtimex(&state);
  ASSERT_GE(said, 0);
  EXPECT_EQ(clock_in_step(), said != TIME_ERROR && (state.status & STA_UNSYNC) == 0);
}

}  // namespace
}  // namespace sekisho
