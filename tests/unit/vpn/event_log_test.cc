// SPDX-License-Identifier: Apache-2.0
// Goal: no record is lost and none counted twice, whichever side dies. Method: logd played over the real socket.
#include "vpn/event_log.h"

#include "tests/unit/vpn/neighbours.h"

namespace sekisho::vpn {
namespace {

using namespace test;

ipc::ToEventLog record(const std::string& service, std::uint64_t at) {
  ipc::ToEventLog out;
  out.set_eid(new_eid(at));
  out.set_timestamp_ns(at);
  out.set_service_code(service);
  out.set_node("u0");
  out.mutable_vpn()->set_vpn_sid(at);
  return out;
}

TEST(VpnEventLog, WhatWasNotAcknowledgedComesAgainWithItsEidAndTheRestDoesNot) {
  Logd logd;
  EventLog log(logd.path());
  std::atomic<int> over{0};
  for (std::uint64_t i = 1; i <= 3; ++i) log.add(record("acm00000001", i), [&over] { ++over; });
  logd.accept();
  std::vector<ipc::ToEventLog> first;
  for (int i = 0; i < 3; ++i) first.push_back(logd.next().value());
  logd.stored(first[1].number());  // the second alone
  until([&over] { return over == 1; });
  logd.die();
  logd.open();
  logd.accept();
  EXPECT_EQ(logd.next()->SerializeAsString(), first[0].SerializeAsString());
  EXPECT_EQ(logd.next()->SerializeAsString(), first[2].SerializeAsString());
  EXPECT_FALSE(logd.next(100ms));
  logd.stored(first[0].number());
  logd.stored(first[2].number(), "field x");  // refused for good: over as well
  until([&over] { return over == 3; });
  EXPECT_EQ(log.waiting(), 0U);
}

TEST(VpnEventLog, WhatHadNoRoomIsToldOnceATenantAndKeepsItsEidWhenItComesAgain) {
  Logd logd;
  logd.die();
  std::atomic<int> over{0};
  EventLog log(logd.path(), 2);
  for (std::uint64_t i = 1; i <= 5; ++i) log.add(record("acm00000001", i), [&over] { ++over; });
  log.add(record("glb00000002", 6));
  EXPECT_EQ(over, 3) << "what is counted as lost is over";
  logd.open();
  logd.accept();
  const auto a = logd.next(), b = logd.next();
  ASSERT_TRUE(a && b);
  logd.stored(a->number());
  const auto lost = logd.next();
  ASSERT_TRUE(lost && lost->has_lost());
  EXPECT_EQ(lost->lost().count(), 3U);
  EXPECT_EQ(lost->lost().first_ns(), 3U);
  EXPECT_EQ(lost->lost().last_ns(), 5U);
  logd.die();  // before it is acknowledged
  logd.open();
  logd.accept();
  EXPECT_EQ(logd.next()->eid(), b->eid());
  const auto again = logd.next();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->SerializeAsString(), lost->SerializeAsString()) << "the same report, which logd knows by its eid";
  logd.stored(b->number());
  const auto other = logd.next();
  ASSERT_TRUE(other && other->has_lost());
  EXPECT_EQ(other->service_code(), "glb00000002");
  EXPECT_EQ(other->lost().count(), 1U);
  logd.stored(again->number());
  logd.stored(other->number());
  until([&log] { return log.waiting() == 0; });
  log.add(record("acm00000001", 9));
  const auto next = logd.next();
  ASSERT_TRUE(next && next->has_vpn()) << "no loss is told twice";
  logd.stored(next->number());
}

TEST(VpnEventLog, AnAnswerThatIsNoneEndsTheConnectionAndLosesNothing) {
  Logd logd;
  EventLog log(logd.path());
  log.add(record("acm00000001", 1));
  logd.accept();
  const auto one = logd.next();
  ASSERT_TRUE(one);
  logd.send("\xff\xff\xff");
  logd.accept();
  EXPECT_EQ(logd.next()->SerializeAsString(), one->SerializeAsString());
  logd.stored(999);  // nobody's
  logd.stored(one->number());
  until([&log] { return log.waiting() == 0; });
}

}  // namespace
}  // namespace sekisho::vpn
