// SPDX-License-Identifier: Apache-2.0
// Keys of programs, and what waits for a second person.
#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include <filesystem>

#include "control/access/api_keys.h"
#include "control/access/approvals.h"
#include "control/access/fingerprint.h"
#include "control/access/rfc3339.h"
#include "control/clock_watch.h"

namespace sekisho::control {
namespace {

constexpr const char* kTenant = "acm00000001";
constexpr const char* kOther = "glx00000001";
const std::string kCertificate(32, '\x5a');

TEST(Fingerprint, IsReadWithColonsAndWithoutAndNothingElse) {
  const std::string bytes = *read_fingerprint("AB" + std::string(62, '0'));
  EXPECT_EQ(bytes.size(), 32U);
  EXPECT_EQ(write_fingerprint(bytes), "ab" + std::string(62, '0'));
  std::string colons;
  for (int i = 0; i < 32; ++i) colons += i == 0 ? "5A" : ":5A";
  EXPECT_EQ(read_fingerprint(colons), kCertificate);
  for (const std::string& bad : {std::string(), std::string(63, 'a'), std::string(66, 'a'), std::string(64, 'g'), "a:" + std::string(62, 'a')})
    EXPECT_FALSE(read_fingerprint(bad)) << bad;
}

class StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("keys-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
    open();
  }
  void TearDown() override {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }
  void open() {
    store_.reset();
    auto opened = Store::open(folder_);
    ASSERT_TRUE(opened);
    store_ = std::make_unique<Store>(std::move(*opened));
  }
  std::filesystem::path folder_;
  std::unique_ptr<Store> store_;
  std::int64_t now_ = 1'800'000'000;
};

class ApiKeysTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    start();
  }
  void TearDown() override {
    keys_.reset();
    StoreTest::TearDown();
  }
  void start() {
    keys_.reset();
    open();
    keys_ = std::make_unique<ApiKeys>(
        *store_, ApiKeys::Environment{.now = [this] { return now_; },
                                      .tenant_rules = [this](const std::string& tenant) {
                                        return tenant == kTenant || tenant == kOther ? std::optional(tenant_rules_) : std::nullopt;
                                      },
                                      .rules = [] { return model::SignIn(); }});
    ASSERT_TRUE(keys_->load());
  }
  api::ApiKey wanted(const std::string& name, const std::string& role = "log") const {
    api::ApiKey out;
    out.set_name(name);
    out.set_role(role);
    out.set_valid_until(rfc3339(now_ + 86'400));
    return out;
  }
  std::string made(const api::ApiKey& key, const std::string& tenant = kTenant) {
    auto done = keys_->add(tenant, key, "owner");
    if (const auto* refusal = std::get_if<Refusal>(&done)) return "refused: " + refusal->path + ' ' + refusal->message;
    return std::get<api::ApiKeySecret>(done).secret();
  }
  std::uint32_t status(const std::string& key, const std::string& certificate = {}, const char* from = "192.0.2.1") {
    steady_ += 1;
    const auto found = keys_->find({key, certificate}, *parse_address(from), steady_);
    const auto* refusal = std::get_if<Refusal>(&found);
    return refusal == nullptr ? 200 : refusal->status;
  }
  double steady_ = 1000;
  model::TenantSignIn tenant_rules_;
  std::unique_ptr<ApiKeys> keys_;
};

TEST_F(ApiKeysTest, AKeyIsItsTenantsRoleAndLivesThroughARestartAndItsSecretIsNowhere) {
  const std::string key = made(wanted("robot"));
  ASSERT_TRUE(key.starts_with("sk."));
  start();
  const auto found = std::get<ApiKeys::Found>(keys_->find({key, ""}, *parse_address("192.0.2.1"), steady_));
  EXPECT_EQ(found.who.account, "key:robot@acm00000001");
  EXPECT_EQ(found.who.tenant, kTenant);
  EXPECT_EQ(found.who.role, Role::kLog);
  EXPECT_TRUE(found.who.program);
  const std::string secret = key.substr(key.rfind('.') + 1);
  const auto kept = store_->records(RecordKind::kApiKey);
  for (const auto& record : *kept) EXPECT_EQ(record.value.find(secret), std::string::npos);
  EXPECT_EQ(keys_->list(kTenant).keys_size(), 1);
  EXPECT_EQ(keys_->list(kOther).keys_size(), 0);
}

TEST_F(ApiKeysTest, WhatIsNearlyAKeyIsNone) {
  const std::string key = made(wanted("robot"));
  EXPECT_EQ(status(key), 200U);
  std::string other = key;
  other.back() = other.back() == 'A' ? 'B' : 'A';
  for (const std::string& bad : {std::string("sk."), std::string("x"), key.substr(0, key.size() - 1), key + "A", other, "sk.." + key,
                                 key.substr(0, key.rfind('.')), key.substr(0, key.rfind('.') + 1)})
    EXPECT_EQ(status(bad), 401U) << bad;
  EXPECT_EQ(status("", ""), 401U);
}

TEST_F(ApiKeysTest, EndsWithItsTimeItsRevocationAndItsTenant) {
  const std::string key = made(wanted("robot"));
  const std::string id = keys_->list(kTenant).keys(0).id();
  EXPECT_EQ(keys_->revoke(kOther, id).status, 404U) << "another tenant's";
  EXPECT_EQ(status(key), 200U);
  now_ += 86'399;
  EXPECT_EQ(status(key), 200U);
  now_ += 1;
  EXPECT_EQ(status(key), 401U);
  now_ -= 10;
  EXPECT_FALSE(keys_->revoke(kTenant, id));
  EXPECT_EQ(status(key), 401U);
  start();
  EXPECT_EQ(status(key), 401U) << "also after a restart";
  const std::string second = made(wanted("robot"));
  ASSERT_TRUE(keys_->erase_tenant(kTenant));
  EXPECT_EQ(status(second), 401U);
}

TEST_F(ApiKeysTest, SourcesOfKeyAndTenantAreBothAsked) {
  api::ApiKey one = wanted("robot");
  one.add_sources("192.0.2.0/24");
  const std::string key = made(one);
  EXPECT_EQ(status(key), 200U);
  EXPECT_EQ(status(key, "", "198.51.100.1"), 401U);
  EXPECT_EQ(status(key, "", "2001:db8::1"), 401U);
  tenant_rules_.add_sources("198.51.100.0/24");
  EXPECT_EQ(status(key), 401U);
}

TEST_F(ApiKeysTest, ACertificateIsAskedForBesideTheSecretOrStandsAlone) {
  api::ApiKey both = wanted("both");
  both.set_certificate(write_fingerprint(kCertificate));
  const std::string key = made(both);
  EXPECT_EQ(status(key, kCertificate), 200U);
  EXPECT_EQ(status(key), 401U);
  EXPECT_EQ(status(key, std::string(32, 'x')), 401U);
  EXPECT_EQ(status("", kCertificate), 401U) << "its secret is asked for";
  api::ApiKey alone = wanted("alone");
  alone.set_certificate_alone(true);
  EXPECT_TRUE(made(alone).starts_with("refused: key.certificate")) << "then a certificate is needed";
  alone.set_certificate(write_fingerprint(kCertificate));
  EXPECT_EQ(made(alone), "") << "no secret is made";
  EXPECT_EQ(status("", kCertificate), 200U);
  EXPECT_EQ(status("", std::string(32, 'x')), 401U);
  EXPECT_EQ(status("sk.x.y", kCertificate), 401U) << "a wrong key is not mended by a certificate";
  alone.set_name("again");
  EXPECT_TRUE(made(alone, kOther).starts_with("refused")) << "one certificate is one program";
}

TEST_F(ApiKeysTest, ProgramsGetNoRoleThatManagesPeopleAndNoKeyForEver) {
  for (const char* role : {"owner", "p-ops", "p-sec", "nobody", ""}) EXPECT_TRUE(made(wanted("k", role)).starts_with("refused: key.role")) << role;
  for (const char* role : {"owner", "p-sec", "p-support", "read"})
    EXPECT_TRUE(made(wanted("k", role), "").starts_with("refused: key.role")) << role;
  EXPECT_TRUE(made(wanted("k", "p-ops"), "").starts_with("sk."));
  api::ApiKey forever = wanted("forever");
  forever.set_valid_until("");
  EXPECT_TRUE(made(forever).starts_with("refused: key.valid_until"));
  forever.set_valid_until(rfc3339(now_ + 401LL * 86'400));
  EXPECT_TRUE(made(forever).starts_with("refused: key.valid_until"));
  forever.set_valid_until(rfc3339(now_));
  EXPECT_TRUE(made(forever).starts_with("refused: key.valid_until"));
  EXPECT_TRUE(made(wanted("Capital")).starts_with("refused: key.name"));
  EXPECT_TRUE(made(wanted("twice")).starts_with("sk."));
  EXPECT_TRUE(made(wanted("twice")).starts_with("refused"));
  EXPECT_TRUE(made(wanted("twice"), kOther).starts_with("sk.")) << "names are a tenant's own";
}

TEST_F(ApiKeysTest, AKeyThatAsksTooMuchAndASourceThatGuessesAreSlowedAndNobodyElse) {
  const std::string key = made(wanted("busy"));
  const std::string quiet = made(wanted("quiet"));
  const auto ask = [&](const std::string& one, const char* from) {
    const auto found = keys_->find({one, ""}, *parse_address(from), steady_);
    const auto* refusal = std::get_if<Refusal>(&found);
    return refusal == nullptr ? 200U : refusal->status;
  };
  for (int i = 0; i < static_cast<int>(ApiKeys::kRequestsAtOnce); ++i) ASSERT_EQ(ask(key, "192.0.2.1"), 200U) << i;
  EXPECT_EQ(ask(key, "192.0.2.1"), 429U);
  EXPECT_EQ(ask(quiet, "192.0.2.1"), 200U);
  steady_ += 1;
  EXPECT_EQ(ask(key, "192.0.2.1"), 200U);
  for (int i = 0; i <= ApiKeys::kFailuresPerMinute; ++i) EXPECT_EQ(ask("sk.a.b", "198.51.100.1"), 401U);
  EXPECT_EQ(ask("sk.a.b", "198.51.100.1"), 429U);
  EXPECT_EQ(ask(quiet, "198.51.100.1"), 429U) << "from there nothing is looked at for a while";
  EXPECT_EQ(ask(quiet, "192.0.2.1"), 200U);
  steady_ += 61;
  EXPECT_EQ(ask(quiet, "198.51.100.1"), 200U);
}

class ApprovalsTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    start();
  }
  void TearDown() override {
    approvals_.reset();
    StoreTest::TearDown();
  }
  void start() {
    approvals_.reset();
    open();
    approvals_ = std::make_unique<Approvals>(*store_, [this] { return now_; });
    ASSERT_TRUE(approvals_->load());
  }
  std::string ask(const std::string& who = "ann", const std::string& tenant = kTenant) {
    access::StoredApproval one;
    one.set_tenant(tenant);
    one.set_method("CommitConfig");
    one.set_request("what is asked");
    one.set_asked_by(who);
    one.add_changes("changed name");
    const auto made = approvals_->ask(std::move(one));
    return std::holds_alternative<api::Approval>(made) ? std::get<api::Approval>(made).id() : "";
  }
  std::string state(const std::string& id) {
    const auto all = approvals_->list(kTenant, "reader", [](const auto&) { return true; });
    for (const auto& one : all.approvals()) {
      if (one.id() == id) return one.state();
    }
    return "none";
  }
  std::unique_ptr<Approvals> approvals_;
};

TEST_F(ApprovalsTest, NobodyApprovesHisOwnRequestAndAnotherGetsItWhole) {
  const std::string id = ask();
  start();
  EXPECT_EQ(std::get<Refusal>(approvals_->to_approve(kTenant, id, "ann")).status, 403U);
  EXPECT_EQ(std::get<Refusal>(approvals_->to_approve(kOther, id, "ben")).status, 404U);
  EXPECT_EQ(std::get<Refusal>(approvals_->to_approve(kTenant, "none", "ben")).status, 404U);
  EXPECT_EQ(std::get<access::StoredApproval>(approvals_->to_approve(kTenant, id, "ben")).request(), "what is asked");
}

TEST_F(ApprovalsTest, IsDecidedOnceAndWhatWasAskedIsKeptNoLonger) {
  const std::string id = ask();
  EXPECT_EQ(std::get<api::Approval>(approvals_->decide(kTenant, id, "ben", "refused", "not today")).state(), "refused");
  EXPECT_EQ(std::get<Refusal>(approvals_->decide(kTenant, id, "cat", "done", "")).status, 409U);
  EXPECT_EQ(std::get<Refusal>(approvals_->to_approve(kTenant, id, "cat")).status, 409U);
  const auto kept = store_->records(RecordKind::kApproval);
  for (const auto& record : *kept) EXPECT_EQ(record.value.find("what is asked"), std::string::npos);
  const std::string own = ask();
  EXPECT_EQ(std::get<api::Approval>(approvals_->decide(kTenant, own, "ann", "refused", "")).state(), "withdrawn");
}

TEST_F(ApprovalsTest, ExpiresAfterSevenDaysAndNotASecondEarlier) {
  const std::string id = ask();
  now_ += Approvals::kWaitSeconds - 1;
  EXPECT_EQ(state(id), "waiting");
  now_ += 1;
  EXPECT_EQ(state(id), "refused");
  EXPECT_EQ(std::get<Refusal>(approvals_->to_approve(kTenant, id, "ben")).status, 409U);
}

TEST_F(ApprovalsTest, ATenantsWaitingOnesAreBoundedAndNoOtherTenantsAreHeldUp) {
  for (std::size_t i = 0; i < Approvals::kWaitingOfTenantMax; ++i) ASSERT_NE(ask(), "");
  EXPECT_EQ(ask(), "");
  EXPECT_NE(ask("zoe", kOther), "");
  ASSERT_TRUE(approvals_->erase_tenant(kTenant));
  EXPECT_NE(ask(), "");
  EXPECT_EQ(approvals_->list(kOther, "zoe", [](const auto&) { return false; }).approvals_size(), 1);
}

TEST_F(ApprovalsTest, NobodyDecidesAboutWhatIsBeingCarriedOutAndItsTimeDoesNotEndIt) {
  const std::string id = ask();
  approvals_->begin(id);
  EXPECT_EQ(std::get<Refusal>(approvals_->decide(kTenant, id, "ann", "refused", "")).status, 409U) << "its asker withdraws it";
  EXPECT_EQ(std::get<Refusal>(approvals_->to_approve(kTenant, id, "cat")).status, 409U);
  now_ += Approvals::kWaitSeconds;
  EXPECT_EQ(state(id), "waiting");
  EXPECT_EQ(std::get<api::Approval>(approvals_->decide(kTenant, id, "ben", "done", "")).state(), "done");
  approvals_->over(id);
}

TEST_F(ApprovalsTest, WhoMayNotSeeWhatChangesIsNotToldByRefusingIt) {
  EXPECT_EQ(std::get<api::Approval>(approvals_->decide(kTenant, ask(), "ben", "refused", "")).changes_size(), 0);
  EXPECT_EQ(std::get<api::Approval>(approvals_->decide(kTenant, ask(), "ann", "refused", "")).changes_size(), 1) << "his own";
}

TEST_F(ApprovalsTest, TakeNoMemoryByWhatIsAskedWhoeverAsks) {
  const std::size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
  for (std::size_t i = 0; i < Approvals::kWaitingOfTenantMax; ++i) {
    access::StoredApproval large;
    large.set_tenant(kTenant);
    large.set_asked_by("ann");
    large.set_request(std::string(Approvals::kRequestBytesMax, 'x'));
    ASSERT_TRUE(std::holds_alternative<api::Approval>(approvals_->ask(std::move(large))));
  }
  constexpr std::size_t kStoresOwn = 10U << 20;  // pages SQLite keeps; what was asked are 40 MiB
  EXPECT_LT(mallinfo2().uordblks + mallinfo2().hblkhd, before + kStoresOwn);
}

TEST_F(ApprovalsTest, HaveABoundOfTheirBytesAndTheProvidersGoWithATenant) {
  access::StoredApproval large;
  large.set_tenant(kTenant);
  large.set_asked_by("ann");
  large.set_request(std::string(Approvals::kRequestBytesMax + 1, 'x'));
  EXPECT_TRUE(std::holds_alternative<Refusal>(approvals_->ask(large)));
  large.set_request(std::string(Approvals::kRequestBytesMax, 'x'));
  EXPECT_TRUE(std::holds_alternative<api::Approval>(approvals_->ask(std::move(large))));
  ASSERT_NE(ask("p-ops", ""), "");
  ASSERT_NE(ask("zoe", kOther), "");
  ASSERT_TRUE(approvals_->erase_tenant(kTenant));
  EXPECT_EQ(store_->records(RecordKind::kApproval)->size(), 1U) << "another tenant's alone";
}

TEST_F(ApprovalsTest, WhatCameOfItIsTakenOnceByWhoAskedAndKeptAWeek) {
  const auto decided = [&] {
    const std::string id = ask();
    EXPECT_TRUE(std::holds_alternative<api::Approval>(approvals_->decide(kTenant, id, "ben", "done", "")));
    approvals_->keep_reply(id, "a link");
    return id;
  };
  const std::string id = decided();
  start();
  const auto own = [&](const std::string& who) {
    return approvals_->list(kTenant, who, [](const auto&) { return true; }).approvals(0).reply();
  };
  EXPECT_TRUE(own("ann"));
  EXPECT_FALSE(own("ben"));
  EXPECT_EQ(std::get<Refusal>(approvals_->take_reply(kTenant, id, "ben")).status, 404U);
  EXPECT_EQ(std::get<Refusal>(approvals_->take_reply(kOther, id, "ann")).status, 404U);
  EXPECT_EQ(std::get<std::string>(approvals_->take_reply(kTenant, id, "ann")), "a link");
  start();
  EXPECT_EQ(std::get<Refusal>(approvals_->take_reply(kTenant, id, "ann")).status, 404U);
  const std::string late = decided();
  now_ += Approvals::kWaitSeconds;
  EXPECT_EQ(std::get<Refusal>(approvals_->take_reply(kTenant, late, "ann")).status, 404U);
}

TEST_F(ApprovalsTest, WhatChangesIsShownToWhoMaySeeItAndToWhoAsked) {
  ask();
  const auto see = [&](const std::string& reader, bool may) {
    return approvals_->list(kTenant, reader, [may](const auto&) { return may; }).approvals(0).changes_size();
  };
  EXPECT_EQ(see("ben", true), 1);
  EXPECT_EQ(see("ben", false), 0);
  EXPECT_EQ(see("ann", false), 1);
}

TEST(ClockWatch, SeesAStepOfASecondEitherWayAndNoSlewing) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  ClockWatch watch;
  std::int64_t wall = 1'800'000'000 * kSecond;
  std::int64_t steady = 500 * kSecond;
  const auto turn = [&](std::int64_t step) {
    steady += kSecond;
    wall += kSecond + step;
    return watch.observe(wall, steady);
  };
  EXPECT_FALSE(turn(7 * kSecond)) << "the first look has nothing to compare";
  EXPECT_FALSE(turn(0));
  EXPECT_FALSE(turn(kSecond - 1));
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(turn(kSecond / 10)) << "slewed";
  const auto forward = turn(kSecond);
  ASSERT_TRUE(forward);
  EXPECT_EQ(forward->after_ns - forward->before_ns, kSecond);
  EXPECT_FALSE(turn(0)) << "told once";
  const auto back = turn(-3600 * kSecond);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->after_ns - back->before_ns, -3600 * kSecond);
}

}  // namespace
}  // namespace sekisho::control
