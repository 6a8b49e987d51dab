// SPDX-License-Identifier: Apache-2.0
// Goal: who is shut out by one protocol is shut out by all, and five wrong passwords are five wherever they were said.
// Method: two Lockouts that tell each other what they save, as controld carries it.
#include "vpn/lockout.h"

#include <gtest/gtest.h>

#include "base/proto/control_vpn.pb.h"

namespace sekisho::vpn {
namespace {

constexpr std::int64_t kNow = 1'700'000'000;
const Address kSource = Address::from_v4(0xc0000202);

void tell(const Lockout& from, Lockout& to, std::int64_t now, std::uint32_t number = 0) {
  ipc::VpnMemory memory;
  from.save(memory, now);
  ipc::LearnVpnFailures told;
  told.set_from(number);
  *told.mutable_failures() = memory.failures();
  to.learn(told, now);
}

TEST(LockoutOfSeveral, WhoIsShutOutByOneIsShutOutByTheOthersForAsLong) {
  Lockout here, there;
  for (int i = 0; i < 5; ++i) here.failed(1, "alice", kSource, kNow);
  EXPECT_FALSE(there.user_locked(1, "alice", kNow));
  tell(here, there, kNow);
  EXPECT_TRUE(there.user_locked(1, "alice", kNow));
  EXPECT_FALSE(there.user_locked(2, "alice", kNow)) << "another tenant's";
  EXPECT_FALSE(there.user_locked(1, "bob", kNow));
  EXPECT_TRUE(there.user_locked(1, "alice", kNow + Lockout::kLockSeconds - 1));
  EXPECT_FALSE(there.user_locked(1, "alice", kNow + Lockout::kLockSeconds));
  EXPECT_TRUE(there.unlock(1, "alice", kNow));
  EXPECT_FALSE(there.user_locked(1, "alice", kNow));
}

TEST(LockoutOfSeveral, FiveAreFiveWhereverTheyWereSaid) {
  Lockout here, there;
  for (int i = 0; i < 3; ++i) here.failed(1, "alice", kSource, kNow);
  tell(here, there, kNow);
  there.failed(1, "alice", kSource, kNow + 1);
  EXPECT_FALSE(there.user_locked(1, "alice", kNow + 1)) << "four";
  tell(here, there, kNow + 2);
  there.failed(1, "alice", kSource, kNow + 2);
  EXPECT_TRUE(there.user_locked(1, "alice", kNow + 2));
}

TEST(LockoutOfSeveral, FiveNobodySawTogetherShutOutWhenTheyAreTold) {
  Lockout here, there;
  for (int i = 0; i < 3; ++i) here.failed(1, "alice", kSource, kNow);
  for (int i = 0; i < 2; ++i) there.failed(1, "alice", kSource, kNow);
  tell(here, there, kNow + 1);
  EXPECT_TRUE(there.user_locked(1, "alice", kNow + 1));
  Lockout late;
  for (int i = 0; i < 2; ++i) late.failed(1, "alice", kSource, kNow + Lockout::kWindowSeconds + 1);
  tell(here, late, kNow + Lockout::kWindowSeconds + 1);
  EXPECT_FALSE(late.user_locked(1, "alice", kNow + Lockout::kWindowSeconds + 1)) << "the others are too old";
}

TEST(LockoutOfSeveral, WhatIsTakenBackIsForgotten) {
  Lockout here, there;
  for (int i = 0; i < 4; ++i) here.failed(1, "alice", kSource, kNow);
  tell(here, there, kNow);
  EXPECT_TRUE(here.succeeded(1, "alice"));
  tell(here, there, kNow);
  there.failed(1, "alice", kSource, kNow);
  EXPECT_FALSE(there.user_locked(1, "alice", kNow));
  ipc::VpnMemory own;
  there.save(own, kNow);
  EXPECT_EQ(own.failures(0).each_size(), 1) << "what others counted is theirs to keep";
}

TEST(LockoutOfSeveral, ASourceThatIsShutOutIsShutOutByAll) {
  Lockout here, there;
  for (int i = 0; i < 20; ++i) here.failed(1, "user" + std::to_string(i), kSource, kNow);
  tell(here, there, kNow);
  EXPECT_TRUE(there.source_locked(1, kSource, kNow));
  EXPECT_FALSE(there.source_locked(1, Address::from_v4(0xc0000203), kNow));
}

TEST(LockoutOfSeveral, ATimeToComeShutsNobodyOutForLonger) {
  Lockout there;
  ipc::LearnVpnFailures told;
  auto& one = *told.add_failures();
  one.set_tenant(1);
  one.set_user("alice");
  one.set_until(kNow + 1'000'000);
  auto& from = *told.add_failures();
  from.set_tenant(1);
  const auto wire = kSource.wire();
  from.set_source(std::string(wire.begin(), wire.end()));
  from.set_until(kNow + 1'000'000);
  there.learn(told, kNow);
  EXPECT_TRUE(there.source_locked(1, kSource, kNow));
  EXPECT_FALSE(there.source_locked(1, kSource, kNow + Lockout::kLockSeconds));
  EXPECT_FALSE(there.user_locked(1, "alice", kNow + Lockout::kLockSeconds));
}

}  // namespace
}  // namespace sekisho::vpn
