// SPDX-License-Identifier: Apache-2.0
// Goal: a watched Binding that forges a hundred times in a minute is silent and deaf for five minutes, and its neighbours
// notice nothing. Method: two watched hosts behind one Port; one forges, both speak.
#include "tests/path/path_test.h"

namespace sekisho::tests {
namespace {

using filters::DropReason;
using std::chrono::seconds;

const RuleText kAllowAll{.id = 11, .log = filters::snapshot::kLogNone};

void watch_clients(filters::SnapshotBuilder& builder) {
  share_client_port(builder);
  builder.bindings[1].quarantine = builder.bindings[2].quarantine = 1;
}

class PathQuarantine : public PathTest {
 protected:
  void SetUp() override {
    world_.apply(1, {kAllowAll}, {.edit = watch_clients});
    world_.through(kClientNic, honest(), kServerNic);
  }
  [[nodiscard]] Frame honest() const { return client("10.0.0.34", "10.0.0.2").udp(5000, 53).build(); }
  [[nodiscard]] Frame honest6() const { return client("fd00:0:0:2::2", "fd00:0:0:1::2").udp(5000, 53).build(); }
  [[nodiscard]] Frame answer() const { return server("10.0.0.2", "10.0.0.34").udp(53, 5000).build(); }
  void forge(int times) {
    const Frame forged = client("10.0.0.39", "10.0.0.2").udp(5000, 53).build();
    for (int i = 0; i < times; ++i) world_.inject(kClientNic, forged);
  }
  void expect_open() {
    world_.through(kClientNic, honest(), kServerNic);
    world_.through(kClientNic, honest6(), kServerNic);
    world_.through(kServerNic, answer(), kClientNic);
  }
  void expect_closed() {
    const std::uint64_t before = drops(DropReason::kAeQuarantine);
    world_.inject(kClientNic, honest());
    world_.inject(kClientNic, honest6());
    world_.inject(kServerNic, answer());
    world_.inject(kClientNic, client("10.0.0.34", "10.0.0.2").udp(5000, 53, {.checksum = 1}).build());
    EXPECT_EQ(drops(DropReason::kAeQuarantine), before + 4);
    EXPECT_EQ(collect_all(), 0U);
  }
  void expect_neighbour_unaffected() {
    const auto second = [&](const char* from, const char* to) {
      return ip(FrameBuilder().ethernet(kSecondMac, world_.gateway(kClientNic)), from, to).udp(5000, 53).build();
    };
    world_.through(kClientNic, second("10.0.0.35", "10.0.0.2"), kServerNic);
    world_.through(kClientNic, second("fd00:0:0:2::3", "fd00:0:0:1::2"), kServerNic);
    world_.through(kServerNic, server("10.0.0.2", "10.0.0.35").udp(53, 5000).build(), kClientNic);
  }
  /// Records named `event` since the last call.
  std::vector<World::Record> events(DropReason event) {
    auto records = world_.records();
    std::erase_if(records, [&](const auto& record) { return record.envelope.drop_reason != static_cast<std::uint8_t>(event); });
    return records;
  }
};
SEKISHO_PATH_WORKERS(PathQuarantine);

TEST_P(PathQuarantine, HundredViolationsStopEverythingOfTheBindingAndNothingElse) {
  forge(99);
  expect_open();
  world_.records();
  forge(1);
  const auto begun = events(DropReason::kAeQuarantine);
  ASSERT_EQ(begun.size(), 1U);
  EXPECT_EQ(begun[0].envelope.count, 100U);
  EXPECT_EQ(begun[0].sec.binding, kClientPort);
  EXPECT_EQ(begun[0].sec.source, address("10.0.0.39").bytes);
  expect_closed();
  expect_neighbour_unaffected();
  forge(50);
  EXPECT_EQ(drops(DropReason::kAeIp4), 100U);
  EXPECT_TRUE(world_.records().empty());  // what is refused makes no records of its own
}

TEST_P(PathQuarantine, EndsByItselfAndSaysHowMuchItRefused) {
  forge(100);
  expect_closed();
  world_.pass(seconds(299));
  expect_closed();
  EXPECT_TRUE(events(DropReason::kAeRelease).empty());
  world_.pass(seconds(2));
  const auto ended = events(DropReason::kAeRelease);
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].envelope.count, 8U);
  EXPECT_EQ(ended[0].sec.binding, kClientPort);
  EXPECT_NEAR(static_cast<double>(ended[0].sec.last_timestamp - ended[0].sec.first_timestamp), 300e9, 1e9);
  expect_open();
  forge(99);
  expect_open();
  forge(1);
  expect_closed();
}

TEST_P(PathQuarantine, SlowForgerIsNamedEachTimeAndNeverStopped) {
  for (int i = 0; i < 150; ++i) {
    forge(1);
    world_.pass(seconds(1));
  }
  EXPECT_EQ(drops(DropReason::kAeIp4), 150U);
  EXPECT_EQ(drops(DropReason::kAeQuarantine), 0U);
  expect_open();
}

TEST_P(PathQuarantine, IsReleasedByHand) {
  forge(100);
  expect_closed();
  EXPECT_FALSE(world_.engine().release_binding(kSecondBinding));
  EXPECT_TRUE(world_.engine().release_binding(kClientPort));
  world_.settle();
  EXPECT_EQ(events(DropReason::kAeRelease).size(), 1U);
  EXPECT_FALSE(world_.engine().release_binding(kClientPort));
  expect_open();
}

TEST_P(PathQuarantine, SurvivesACommitAndEndsWhenTheBindingIsWatchedNoLonger) {
  forge(100);
  world_.apply(2, {kAllowAll}, {.edit = watch_clients});
  expect_closed();
  expect_neighbour_unaffected();
  world_.records();
  world_.apply(3, {kAllowAll}, {.edit = share_client_port});
  expect_open();
  EXPECT_EQ(events(DropReason::kAeRelease).size(), 1U);
  world_.apply(4, {kAllowAll}, {.edit = watch_clients});
  expect_open();
}

TEST_P(PathQuarantine, BindingThatGoesTakesItsQuarantineAlong) {
  forge(100);
  world_.records();
  world_.apply(2, {kAllowAll}, {.edit = unbind_client});
  world_.settle();
  EXPECT_EQ(events(DropReason::kAeRelease).size(), 1U);
  world_.apply(3, {kAllowAll}, {.edit = watch_clients});
  expect_open();
}

TEST_P(PathQuarantine, IsOffUnlessAskedFor) {
  world_.apply(2, {kAllowAll}, {.edit = share_client_port});
  forge(500);
  expect_open();
  EXPECT_EQ(drops(DropReason::kAeQuarantine), 0U);
}

TEST_P(PathQuarantine, StormIsForTheMetersAlone) {
  const Frame question = FrameBuilder().ethernet(kClientMac, mac("ff:ff:ff:ff:ff:ff"))
                             .arp({.sender_mac = kClientMac, .sender = address("10.0.0.34"), .target = address("10.0.0.40")}).build();
  for (int i = 0; i < 500; ++i) world_.inject(kClientNic, question);
  EXPECT_EQ(drops(DropReason::kAeStorm), 440U);
  collect_all();
  expect_open();
}

}  // namespace
}  // namespace sekisho::tests
