// SPDX-License-Identifier: Apache-2.0
// Goal: nothing that happened is missing from the log: it is a record, in a count, or in a loss record. Method: sums over
// what comes out of the ring against what went in.
#include "dataplane/event_log.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <vector>

#include "filters/drop_reason.h"
#include "tests/support/eal.h"

namespace sekisho::dataplane {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kStart = 1'000'000 * kSecond;

class Log : public testing::Test {
 protected:
  explicit Log(std::uint32_t records = 1024, std::vector<TenantQuota>* quotas = nullptr)
      : tenants_((tests::ensure_eal(), "test-tenants"), 4), log_(std::move(EventLog::create(records, 3, tenants_, quotas)).value()),
        reader_(std::move(LogRingReader::open(log_.ring().duplicate_records_fd().value(), log_.ring().duplicate_cursor_fd().value())).value()) {}

  struct Out {
    LogEnvelope envelope;
    SecBody sec;
    LossBody loss;
  };
  std::vector<Out> read() {
    std::vector<Out> out;
    std::array<LogRecord, 64> raw;
    for (std::size_t got = 1; got > 0;) {
      got = reader_.pop(raw).value();
      for (std::size_t i = 0; i < got; ++i) {
        Out record{};
        std::memcpy(&record.envelope, raw[i].bytes.data(), sizeof(LogEnvelope));
        if (record.envelope.kind == LogKind::kSec) std::memcpy(&record.sec, raw[i].bytes.data() + sizeof(LogEnvelope), sizeof(SecBody));
        if (record.envelope.kind == LogKind::kLoss) std::memcpy(&record.loss, raw[i].bytes.data() + sizeof(LogEnvelope), sizeof(LossBody));
        out.push_back(record);
      }
    }
    return out;
  }
  static LogEnvelope envelope(std::uint64_t now, std::uint32_t tenant, LogKind kind, filters::DropReason reason) {
    return {now, tenant, 1, kind, 0, static_cast<std::uint8_t>(reason), 0, 1};
  }
  void deny(std::uint64_t now, std::uint32_t number, std::uint32_t tenant = 1) {
    CommBody body{};
    body.phase = CommPhase::kDrop;
    body.rule = number;
    log_.write_folded(envelope(now, tenant, LogKind::kComm, filters::DropReason::kDefaultDeny), body, tenant);
  }
  void violate(std::uint64_t now, std::uint64_t thief, std::uint32_t tenant = 1) {
    SecBody body{};
    body.ethernet_source = Mac::from_number(thief);
    body.first_timestamp = body.last_timestamp = now;
    log_.write_folded(envelope(now, tenant, LogKind::kSec, filters::DropReason::kAeMac), body, tenant);
  }
  void sweep(std::uint64_t now) {
    for (int i = 0; i < 200; ++i) log_.flush(now);
  }
  HugeArray<TenantCounters> tenants_;
  EventLog log_;
  LogRingReader reader_;
};

TEST_F(Log, FirstIsWrittenAtOnceAndTheRestWhenTheWindowEnds) {
  for (std::uint64_t i = 0; i < 7; ++i) deny(kStart + i * kSecond, 1);
  sweep(kStart + 9 * kSecond);
  auto out = read();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].envelope.count, 1U);
  EXPECT_EQ(out[0].envelope.shard, 3);
  sweep(kStart + 10 * kSecond);
  out = read();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].envelope.count, 6U);
  EXPECT_EQ(out[0].envelope.timestamp, kStart + 6 * kSecond);
  sweep(kStart + 100 * kSecond);
  EXPECT_TRUE(read().empty());  // one that stayed alone has no second record
}

TEST_F(Log, ViolationsFoldOverAMinuteAndSayFirstAndLast) {
  violate(kStart, 5);
  violate(kStart + 59 * kSecond, 5);
  violate(kStart + 59 * kSecond, 6);
  EXPECT_EQ(read().size(), 2U);
  violate(kStart + 61 * kSecond, 5);  // a new window: the old one's rest, and this one at once
  const auto out = read();
  ASSERT_EQ(out.size(), 2U);
  EXPECT_EQ(out[0].envelope.count, 1U);
  EXPECT_EQ(out[0].sec.first_timestamp, kStart);
  EXPECT_EQ(out[0].sec.last_timestamp, kStart + 59 * kSecond);
  EXPECT_EQ(out[1].sec.first_timestamp, kStart + 61 * kSecond);
}

TEST_F(Log, TenantsAreNeverFoldedTogether) {
  deny(kStart, 1, 1);
  deny(kStart, 1, 2);
  EXPECT_EQ(read().size(), 2U);
}

TEST_F(Log, FreedPlaceBeforeAnOpenWindowDoesNotOpenItTwice) {
  // Many keys with short remaining windows around keys with long ones: each key is written once while its window is open.
  std::uint64_t firsts = 0;
  for (std::uint32_t key = 0; key < 4000; ++key) deny(kStart, key);
  for (std::uint64_t thief = 0; thief < 400; ++thief) violate(kStart + kSecond, 1000 + thief);
  read();
  sweep(kStart + 11 * kSecond);  // the denials' windows end, their places are free
  for (std::uint64_t thief = 0; thief < 400; ++thief) violate(kStart + 12 * kSecond, 1000 + thief);
  for (const Out& out : read()) firsts += out.envelope.kind == LogKind::kSec && out.envelope.count == 1 && out.sec.first_timestamp == kStart + 12 * kSecond ? 1 : 0;
  EXPECT_LE(firsts, 40U);  // only those evicted early, whose place went to another key
}

TEST_F(Log, EvictionWritesWhatWasCounted) {
  constexpr std::uint32_t kKeys = 3 * EventLog::kFolds;
  std::uint64_t total = 0;
  for (std::uint32_t round = 0; round < 3; ++round) {
    for (std::uint32_t key = 0; key < kKeys; ++key) {
      deny(kStart + round, key);
      if (key % 256 == 0) for (const Out& out : read()) total += out.envelope.count;
    }
  }
  log_.flush_all(kStart + 10);
  for (const Out& out : read()) {
    EXPECT_EQ(out.envelope.kind, LogKind::kComm);
    total += out.envelope.count;
  }
  EXPECT_EQ(total, 3 * kKeys);
}

TEST_F(Log, TenantThatVariesWhatItForgesIsFoldedIntoOtherAndNobodyElseIs) {
  constexpr std::uint32_t kForged = 20'000;
  std::uint64_t total = 0, other = 0, records = 0, neighbour = 0;
  const auto take = [&] {
    for (const Out& out : read()) {
      const bool is_other = out.envelope.drop_reason == static_cast<std::uint8_t>(filters::DropReason::kAeOther);
      neighbour += out.envelope.tenant == 2 ? out.envelope.count : 0;
      EXPECT_FALSE(is_other && out.envelope.tenant == 2);
      if (out.envelope.tenant != 1) continue;
      total += out.envelope.count;
      records += 1;
      other += is_other ? out.envelope.count : 0;
    }
  };
  for (std::uint32_t thief = 1; thief <= kForged; ++thief) {
    violate(kStart + thief, thief);
    if (thief % 200 == 0) violate(kStart + thief, 1'000'000, 2), take();
  }
  log_.flush_all(kStart + kForged);
  take();
  EXPECT_EQ(total, kForged);
  EXPECT_EQ(neighbour, kForged / 200);
  EXPECT_GT(other, kForged * 7 / 10);
  EXPECT_LT(records, EventLog::kTenantViolations * 5 / 4);
  violate(kStart + 61 * kSecond, 3);  // its windows are over: it is told apart again
  const auto out = read();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].envelope.drop_reason, static_cast<std::uint8_t>(filters::DropReason::kAeMac));
}

TEST_F(Log, ClockSetBackDoesNotSwallowEvents) {
  deny(kStart, 1);
  read();
  deny(kStart - 3600 * kSecond, 1);
  EXPECT_EQ(read().size(), 1U);
}

class SmallLog : public Log {
 protected:
  SmallLog() : Log(64) {}
};

TEST_F(SmallLog, FullRingIsReportedPerTenantAndKind) {
  std::array<std::uint64_t, 4> comm{}, sec{};
  for (std::uint32_t i = 0; i < 300; ++i) {
    const std::uint32_t tenant = 1 + i % 2;
    CommBody body{};
    log_.write(envelope(kStart + i, tenant, LogKind::kComm, filters::DropReason::kNone), body, tenant);
    ++comm[tenant];
    if (i % 3 == 0) violate(kStart + i, 5000 + i, 2), ++sec[2];
  }
  std::size_t losses = 0;
  for (int look = 0; look < 2; ++look) {
    for (const Out& out : read()) {
      auto& left = out.envelope.kind == LogKind::kSec || out.loss.of == LogKind::kSec ? sec : comm;
      const bool loss = out.envelope.kind == LogKind::kLoss;
      losses += loss ? 1 : 0;
      left[out.envelope.tenant] -= loss ? out.loss.count : 1;
      if (loss) {
        EXPECT_LE(out.loss.from_timestamp, out.loss.to_timestamp);
      }
    }
    log_.flush(kStart + 1000);
  }
  EXPECT_EQ(losses, 3U);
  for (std::size_t tenant = 0; tenant < 4; ++tenant) {
    EXPECT_EQ(comm[tenant], 0U);
    EXPECT_EQ(sec[tenant], 0U);
  }
  EXPECT_GT(tenants_[1].log_lost.read(), 0U);
  EXPECT_GT(tenants_[2].log_lost.read(), tenants_[1].log_lost.read());
}

class RatedLog : public Log {
 protected:
  RatedLog() : Log(1024, &quotas_) {
    for (TenantQuota& quota : quotas_) quota.log_rate = kRate << 32 | kRate;
  }
  static constexpr std::uint64_t kRate = 100;  // a second, and at once
  std::vector<TenantQuota> quotas_{4};
};

TEST_F(RatedLog, WhatAScanLeftToCountKeepsNoNewDenialOut) {
  log_.begin_turn(kStart);
  for (int times = 0; times < 3; ++times) {
    for (std::uint32_t rule = 0; rule < kRate; ++rule) deny(kStart, rule);
  }
  EXPECT_EQ(read().size(), kRate) << "each first one";
  const std::uint64_t later = kStart + EventLog::kDenyWindowNs + kSecond;
  log_.begin_turn(later);
  sweep(later);  // all windows end at once
  for (std::uint32_t rule = 1000; rule < 1020; ++rule) deny(later, rule);
  std::uint64_t counted = 0, fresh = 0, lost = 0;
  log_.begin_turn(later + 2 * EventLog::kLimitedReportNs);
  sweep(later + 1);
  for (const Out& out : read()) {
    if (out.envelope.kind == LogKind::kLoss) lost += out.loss.count;
    if (out.envelope.kind == LogKind::kComm) (out.envelope.count == 2 ? counted : fresh) += 1;
  }
  EXPECT_EQ(fresh, 20U);
  EXPECT_GE(counted, kRate / 2);
  EXPECT_EQ(counted + lost, kRate) << "and what found no room is in a loss record";
}

}  // namespace
}  // namespace sekisho::dataplane
