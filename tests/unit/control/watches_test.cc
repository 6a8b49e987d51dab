// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "control/access/rfc3339.h"
#include "control/api/happenings.h"
#include "control/api/record_watch.h"
#include "control/api/vpn_watch.h"

namespace sekisho::control {
namespace {

constexpr const char* kTenant = "acm00000001";
constexpr std::int64_t kNow = 1'800'000'000;
constexpr const char* kOther = "glx00000001";

std::string said(const std::vector<Happening>& all) {
  std::string out;
  for (const auto& one : all) out += one.tenant + ':' + one.event + ':' + one.object + ':' + one.state + ' ';
  return out;
}

ipc::LogStatus status(std::uint64_t sec, std::uint64_t devauth) {
  ipc::LogStatus out;
  for (const auto& [type, newest] : {std::pair{"comm", sec + 7}, {"sec", sec}, {"devauth", devauth}}) {
    auto& one = *out.add_streams();
    one.set_service_code(kTenant);
    one.set_type(type);
    one.set_newest_seq(newest);
  }
  return out;
}

TEST(RecordWatch, AsksForWhatCameSinceItLookedLastAndForNothingElse) {
  RecordWatch watch;
  EXPECT_TRUE(watch.look(status(10, 20), {kTenant}, kNow).empty()) << "what was there before is no news";
  EXPECT_TRUE(watch.look(status(10, 20), {kTenant}, kNow).empty()) << "nothing came, of these types";
  const auto asked = watch.look(status(12, 20), {kTenant}, kNow);
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].service_code(), kTenant);
  EXPECT_EQ(asked[0].types(0), "sec");
  EXPECT_EQ(asked[0].conditions(0).field(), "event");
  EXPECT_EQ(asked[0].conditions(1).field(), "seq");
  EXPECT_EQ(asked[0].conditions(1).values(0), "11");
  EXPECT_EQ(asked[0].conditions(1).values(1), "12");
  EXPECT_EQ(asked[0].from_ns(), static_cast<std::uint64_t>(kNow - RecordWatch::kNewsSeconds) * 1'000'000'000);
  EXPECT_TRUE(watch.look({}, {kTenant}, kNow).empty()) << "logd has not looked yet";
  EXPECT_TRUE(watch.look(status(12, 20), {kTenant}, kNow).empty()) << "and what it has then is not new";
  EXPECT_TRUE(watch.look(status(13, 20), {kOther}, kNow).empty()) << "a tenant there is no more";
  const auto anew = watch.look(status(3, 4), {kTenant}, kNow);
  ASSERT_EQ(anew.size(), 2U) << "streams that began since";
  EXPECT_EQ(anew[1].types(0), "devauth");
  EXPECT_EQ(anew[1].conditions(1).values(0), "1");
}

class RecordWatchOf : public testing::Test {
 protected:
  std::string take(const char* type, const std::vector<std::string>& records, std::int64_t at, const char* tenant = kTenant) {
    ipc::SearchLog question;
    question.set_service_code(tenant);
    question.add_types(type);
    return said(watch_.take(question, records, at));
  }
  RecordWatch watch_;
};

TEST_F(RecordWatchOf, AFloodIsToldWhenItBeginsAndWhenItIsOver) {
  const std::vector<std::string> syn{R"({"type":"sec","event":"DOS_SYN_FLOOD","count":900})", R"({"type":"sec","event":"DOS_SYN_FLOOD"})"};
  EXPECT_EQ(take("sec", syn, 100), "acm00000001:dos:DOS_SYN_FLOOD:begin ") << "once, of two records";
  EXPECT_EQ(take("sec", syn, 160), "") << "it lasts";
  EXPECT_EQ(take("sec", {R"({"event":"DOS_FRAG"})", "no JSON"}, 160), "acm00000001:dos:DOS_FRAG:begin ") << "another one";
  EXPECT_EQ(take("sec", syn, 160, kOther), "glx00000001:dos:DOS_SYN_FLOOD:begin ");
  EXPECT_EQ(take("sec", syn, 170), "");
  EXPECT_EQ(said(watch_.calm(160 + RecordWatch::kCalmSeconds - 1)), "");
  EXPECT_EQ(said(watch_.calm(160 + RecordWatch::kCalmSeconds)), "acm00000001:dos:DOS_FRAG:end glx00000001:dos:DOS_SYN_FLOOD:end ");
  EXPECT_EQ(said(watch_.calm(170 + RecordWatch::kCalmSeconds)), "acm00000001:dos:DOS_SYN_FLOOD:end ");
  EXPECT_EQ(said(watch_.calm(10'000)), "");
  EXPECT_EQ(take("sec", syn, 10'000), "acm00000001:dos:DOS_SYN_FLOOD:begin ");
  watch_.forget(kTenant);
  EXPECT_EQ(said(watch_.calm(20'000)), "") << "of a tenant that is gone";
}

TEST_F(RecordWatchOf, ADeviceThatWaitsIsToldOnceADay) {
  const std::string known = R"({"result":"pending","device_id":"nb-7","user":"ken"})";
  const std::string unknown = R"({"result":"pending","cert_serial":"1f","user":"ken"})";
  EXPECT_EQ(take("devauth", {known, unknown, known}, 100),
            "acm00000001:device_request:nb-7:wanted acm00000001:device_request:certificate 1f of ken:wanted ");
  EXPECT_EQ(take("devauth", {known, unknown}, 100 + RecordWatch::kSameDeviceSeconds - 1), "");
  EXPECT_EQ(take("devauth", {known}, 200, kOther), "glx00000001:device_request:nb-7:wanted ") << "another tenant's of the same name";
  EXPECT_EQ(take("devauth", {known}, 100 + RecordWatch::kSameDeviceSeconds), "acm00000001:device_request:nb-7:wanted ");
}

TEST(RecordWatch, OnlyDevicesThatWaitAreAskedFor) {
  RecordWatch watch;
  (void)watch.look(status(1, 1), {kTenant}, kNow);
  const auto asked = watch.look(status(1, 2), {kTenant}, kNow);
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].conditions(0).field(), "result") << "an approved one's record says ok";
  EXPECT_EQ(asked[0].conditions(0).test(), ipc::LogCondition::EQUAL);
  EXPECT_EQ(asked[0].conditions(0).values(0), "pending");
}

class PoolWatchTest : public testing::Test {
 protected:
  void SetUp() override {
    auto& tenant = *model_.add_tenants();
    tenant.set_service_code(kTenant);
    auto& pool = *tenant.add_pools();
    pool.set_name("staff");
    pool.add_ranges("10.9.0.1-10.9.0.100");
    pool.add_ranges("2001:db8:9::/64");
  }
  /// `count` addresses from `first` on, and one twice.
  static std::vector<Address> addresses(std::uint32_t first, std::uint32_t count) {
    std::vector<Address> out;
    for (std::uint32_t i = 0; i < count; ++i) out.push_back(Address::from_v4(first + i));
    if (count > 0) out.push_back(out.front());
    return out;
  }
  std::string look(std::vector<Address> held, const char* tenant = kTenant) { return said(watch_.look(model_, {{tenant, std::move(held)}})); }

  static constexpr std::uint32_t kFirst = 0x0a090001;
  model::Configuration model_;
  PoolWatch watch_;
};

TEST_F(PoolWatchTest, IsToldAtNinetyPerCentOnceAndAtTheEnd) {
  EXPECT_EQ(look(addresses(kFirst, 89)), "");
  EXPECT_EQ(look(addresses(kFirst + 11, 100)), "") << "those of no pool do not count: eighty-nine again, then eleven others";
  EXPECT_EQ(look(addresses(kFirst, 90)), "acm00000001:quota:pool staff:90% ");
  EXPECT_EQ(look(addresses(kFirst, 99)), "");
  EXPECT_EQ(look(addresses(kFirst, 100)), "acm00000001:quota:pool staff:100% ");
  EXPECT_EQ(look(addresses(kFirst, 95)), "");
  EXPECT_EQ(look(addresses(kFirst, 89)), "");
  EXPECT_EQ(look(addresses(kFirst, 90)), "acm00000001:quota:pool staff:90% ") << "there was room meanwhile";
  EXPECT_EQ(look(addresses(kFirst, 100), kOther), "") << "another tenant's";
}

TEST_F(PoolWatchTest, AddressesThatBelongToSomebodyAreNeitherFreeNorUsed) {
  auto& user = *model_.mutable_tenants(0)->add_users();
  for (const char* own : {"10.9.0.91", "10.9.0.92", "10.9.0.93", "10.9.0.94", "10.9.0.95", "10.9.0.96", "10.9.0.97", "10.9.0.98", "10.9.0.99",
                          "10.9.0.100"})
    user.add_static_addresses(own);
  std::vector<Address> held = addresses(kFirst, 80);
  for (const Address& one : addresses(kFirst + 90, 10)) held.push_back(one);
  EXPECT_EQ(look(held), "") << "80 of 90";
  held.push_back(Address::from_v4(kFirst + 80));
  EXPECT_EQ(look(held), "acm00000001:quota:pool staff:90% ") << "81 of 90";
}

TEST_F(PoolWatchTest, OneFamilyRunsOutWhateverTheOtherHas) {
  model_.mutable_tenants(0)->mutable_pools(0)->set_ranges(1, "2001:db8:9::/127");
  std::vector<Address> held{*parse_address("2001:db8:9::")};
  EXPECT_EQ(look(held), "");
  held.push_back(*parse_address("2001:db8:9::1"));
  EXPECT_EQ(look(held), "acm00000001:quota:pool staff:100% ");
}

TEST(GatewayWatch, TellsOfEachDoorThatGoesAndIsBack) {
  model::Configuration model;
  auto& tenant = *model.add_tenants();
  tenant.set_service_code(kTenant);
  auto& gateway = *tenant.add_gateways();
  gateway.set_name("hq");
  gateway.add_accept(model::Gateway::CERTIFICATE);
  gateway.mutable_sstp();
  GatewayWatch watch;
  GatewayWatch::Answering up{};
  up.fill(true);
  const auto without = [&up](KeyingDaemon daemon) {
    auto out = up;
    out.at(index_of(daemon)) = false;
    return out;
  };
  const auto look = [&](const GatewayWatch::Answering& answering, std::int64_t at) { return said(watch.look(model, answering, at)); };
  constexpr std::int64_t kAway = GatewayWatch::kAwaySeconds;
  EXPECT_EQ(look(without(KeyingDaemon::kPpp), 100), "");
  EXPECT_EQ(look(without(KeyingDaemon::kPpp), 100 + GatewayWatch::kStartSeconds - 1), "") << "it may be starting";
  EXPECT_EQ(look(up, 160), "");
  EXPECT_EQ(look(without(KeyingDaemon::kPptp), 200), "") << "no gateway has PPTP";
  EXPECT_EQ(look(up, 205), "");
  EXPECT_EQ(look(without(KeyingDaemon::kPpp), 205 + kAway - 1), "");
  EXPECT_EQ(look(without(KeyingDaemon::kPpp), 205 + kAway), "acm00000001:gateway:hq SSTP:down ");
  EXPECT_EQ(look(without(KeyingDaemon::kPpp), 230), "") << "once";
  gateway.mutable_l2tp();
  EXPECT_EQ(look(without(KeyingDaemon::kPpp), 231), "acm00000001:gateway:hq L2TP:down ") << "a door that was opened meanwhile";
  gateway.clear_l2tp();
  EXPECT_EQ(look(up, 235), "acm00000001:gateway:hq SSTP:up ") << "and one that was closed is not told of";
  EXPECT_EQ(look(up, 240), "");
  EXPECT_EQ(look(without(KeyingDaemon::kIkeV2), 240 + kAway), "acm00000001:gateway:hq IKEv2:down ");
}

TEST(GatewayWatch, ADaemonThatNeverCameIsToldAfterAMinute) {
  model::Configuration model;
  auto& tenant = *model.add_tenants();
  tenant.set_service_code(kTenant);
  tenant.add_gateways()->set_name("hq");
  GatewayWatch watch;
  EXPECT_EQ(said(watch.look(model, {}, 5)), "");
  EXPECT_EQ(said(watch.look(model, {}, 5 + GatewayWatch::kStartSeconds)), "") << "nobody is let in by IKEv2";
  model.mutable_tenants(0)->mutable_gateways(0)->add_accept(model::Gateway::EAP_MSCHAPV2);
  EXPECT_EQ(said(watch.look(model, {}, 6 + GatewayWatch::kStartSeconds)), "acm00000001:gateway:hq IKEv2:down ");
}

/// When who is told of maintenance that was announced.
class Reminders : public testing::Test {
 protected:
  Reminders() {
    for (const char* code : {kTenant, kOther}) model_.add_tenants()->set_service_code(code);
    notice_.set_id("n1"), notice_.set_kind("maintenance"), notice_.set_state("planned"), notice_.set_from("2027-03-01T02:00:00+09:00");
    notice_.add_tenants(kTenant);
    notice_.mutable_changed()->set_seconds(kBegin - 14 * kDay);
  }
  [[nodiscard]] std::string between(std::int64_t after, std::int64_t now) const {
    return said(reminders_of(notice_, after, now, {.revision = 1, .model = &model_}));
  }
  static constexpr std::int64_t kDay = 86'400;
  static constexpr std::int64_t kBegin = 1'803'834'000;  // 2027-02-28T17:00:00Z
  const std::string tomorrow_ = ":maintenance:n1:1_day acm00000001:maintenance:n1:1_day ";
  const std::string begins_ = ":maintenance:n1:begins acm00000001:maintenance:n1:begins ";
  model::Configuration model_;
  api::Notice notice_;
};

TEST_F(Reminders, ComeADayAheadAndAtTheBeginningOnceEachToWhomItConcerns) {
  ASSERT_EQ(parse_rfc3339(notice_.from()), kBegin);
  EXPECT_EQ(between(kBegin - kDay - 2, kBegin - kDay - 1), "");
  EXPECT_EQ(between(kBegin - kDay - 1, kBegin - kDay), tomorrow_);
  EXPECT_EQ(between(kBegin - kDay, kBegin - 1), "");
  EXPECT_EQ(between(kBegin - 1, kBegin), begins_);
  EXPECT_EQ(between(kBegin, kBegin + kDay), "");
  EXPECT_EQ(between(kBegin - 2 * kDay, kBegin + 1), begins_) << "a unit that was off does not say that it begins tomorrow";
  notice_.clear_tenants();
  EXPECT_EQ(between(kBegin - 1, kBegin), begins_ + "glx00000001:maintenance:n1:begins ");
}

TEST_F(Reminders, AreOfPlannedMaintenanceAlone) {
  notice_.mutable_changed()->set_seconds(kBegin - kDay / 2);
  EXPECT_EQ(between(kBegin - kDay - 1, kBegin - kDay / 4), "") << "announced within the day: that it is near was said then";
  EXPECT_EQ(between(kBegin - 1, kBegin), begins_);
  for (const auto& [kind, state, from] : {std::tuple("maintenance", "cancelled", "2027-03-01T02:00:00+09:00"),
                                          {"maintenance", "done", "2027-03-01T02:00:00+09:00"},
                                          {"incident", "planned", "2027-03-01T02:00:00+09:00"},
                                          {"maintenance", "planned", ""}}) {
    notice_.set_kind(kind), notice_.set_state(state), notice_.set_from(from);
    EXPECT_EQ(between(kBegin - 1, kBegin), "") << kind << ' ' << state << ' ' << from;
  }
}

}  // namespace
}  // namespace sekisho::control
