// SPDX-License-Identifier: Apache-2.0
// Goal: what a contract's end leaves is gone at its civil day in Japan, never before, whoever dies in between and whatever
// is put back; nothing of another tenant's goes with it. Method: a clock that is handed in, neighbours that are told what
// to answer, and a real store.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "control/config/codec.h"
#include "control/erasure/backup.h"
#include "control/erasure/erasures.h"
#include "control/erasure/purge.h"

namespace sekisho::control {
namespace {

constexpr const char* kAcme = "acm00000001";
constexpr const char* kGlobex = "glx00000001";
constexpr std::int64_t kDaySeconds = 86'400, kHour = 3600;
constexpr std::string_view kTwo = R"(tenants:
  - service_code: acm00000001
    name: acme
    zones: [office]
    sessions_max: 500
    addresses: [ { name: secret-place, entries: [10.0.0.9/32] } ]
    sign_in: { sources: [192.0.2.0/24] }
  - service_code: glx00000001
    name: globex
    zones: [office]
    sessions_max: 700
    addresses: [ { name: secret-place, entries: [10.0.0.9/32] } ]
)";

model::Configuration two() {
  Decoded decoded = decode_document(std::string(kTwo));
  EXPECT_TRUE(decoded.findings.empty());
  return decoded.model;
}

StoredErasure ending(StoredErasure::State state, StoredErasure::Scope scope = StoredErasure::CONTRACT) {
  StoredErasure out;
  out.set_id("e1");
  out.set_tenant(kAcme);
  out.set_scope(scope);
  out.set_state(state);
  out.set_end(begin_of(20260201));
  return out;
}

// ---- What stays of a document ---------------------------------------------------------------------------------------

TEST(Endings, OfAContractThatEndedLeaveItsNameAndOfAnErasedOneNothingAndTheOtherTenantsAll) {
  const std::string other = two().tenants(1).SerializeAsString();
  model::Configuration now = two();
  const StoredErasure asked = ending(StoredErasure::REQUESTED), ended = ending(StoredErasure::ENDED), erased = ending(StoredErasure::ERASED);
  EXPECT_EQ(apply_endings(std::span(&asked, 1), now), "") << "its day has not come";
  EXPECT_EQ(now.SerializeAsString(), two().SerializeAsString());
  EXPECT_NE(apply_endings(std::span(&ended, 1), now), "");
  ASSERT_EQ(now.tenants_size(), 2);
  EXPECT_EQ(now.tenants(0).name(), "acme");
  EXPECT_EQ(now.tenants(0).sign_in().sources_size(), 1) << "its people may sign in and read";
  EXPECT_EQ(now.tenants(0).addresses_size() + now.tenants(0).zones_size(), 0);
  EXPECT_EQ(apply_endings(std::span(&ended, 1), now), "") << "nothing is left to take out";
  EXPECT_NE(apply_endings(std::span(&erased, 1), now), "");
  ASSERT_EQ(now.tenants_size(), 1);
  EXPECT_EQ(now.tenants(0).SerializeAsString(), other);
}

TEST(Endings, OfRemoteAccessTakeItsPartsAndTheRulesThatNameUsersAndNoOther) {
  model::Configuration now = two();
  for (auto& tenant : *now.mutable_tenants()) {
    tenant.add_gateways()->set_name("vpn");
    tenant.add_users()->set_name("suzuki");
    tenant.add_user_groups()->set_name("staff");
    auto& policy = *tenant.add_policies();
    policy.add_rules()->set_name("everybody");
    auto& rule = *policy.add_rules();
    rule.set_name("staff alone"), rule.add_users("staff");
  }
  const std::string other = now.tenants(1).SerializeAsString();
  const StoredErasure ended = ending(StoredErasure::ENDED, StoredErasure::REMOTE_ACCESS);
  const StoredErasure erasing = ending(StoredErasure::ERASING, StoredErasure::REMOTE_ACCESS);
  const StoredErasure erased = ending(StoredErasure::ERASED, StoredErasure::REMOTE_ACCESS);
  EXPECT_NE(apply_endings(std::span(&ended, 1), now), "");
  EXPECT_EQ(now.tenants(0).gateways_size(), 0) << "nobody comes in";
  EXPECT_EQ(now.tenants(0).users_size(), 1) << "its owner may still read";
  EXPECT_NE(apply_endings(std::span(&erasing, 1), now), "");
  EXPECT_EQ(now.tenants(0).users_size() + now.tenants(0).user_groups_size(), 0);
  ASSERT_EQ(now.tenants(0).policies(0).rules_size(), 1);
  EXPECT_EQ(now.tenants(0).policies(0).rules(0).name(), "everybody");
  EXPECT_EQ(now.tenants(0).addresses_size(), 1);
  now.mutable_tenants(0)->add_users()->set_name("tanaka");
  EXPECT_EQ(apply_endings(std::span(&erased, 1), now), "") << "it may be ordered anew";
  EXPECT_EQ(now.tenants(1).SerializeAsString(), other);
}

// ---- Days -----------------------------------------------------------------------------------------------------------

struct Days {
  const char* last;
  ipc::EraseLog::Contract contract;
  Day readable, planned, limit;
};

TEST(EndingsFile, CutAnywhereIsRefusedOrAListOfWholeOnes) {
  erasure::StoredErasures all;
  all.set_last_day(20260115);
  for (const char* id : {"one", "two"}) {
    StoredErasure& next = *all.add_erasures();
    next = ending(StoredErasure::ENDED);
    next.set_id(id);
  }
  const std::string whole = all.SerializeAsString();
  std::size_t refused = 0;
  for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
    const auto read = read_endings(whole.substr(0, cut));
    refused += read ? 0U : 1U;
    for (int i = 0; read && i < read->erasures_size(); ++i)
      EXPECT_EQ(read->erasures(i).SerializeAsString(), all.erasures(i).SerializeAsString()) << cut;
  }
  EXPECT_EQ(refused, whole.size() - 3) << "all but nothing, the day alone, one ending and both";
  all.mutable_erasures(1)->set_id("one");
  EXPECT_FALSE(read_endings(all.SerializeAsString())) << "two of one id";
}

TEST(EndingDays, AreCivilDaysOfJapanOverMonthsLeapYearsAndTheTurnOfTheYear) {
  const Days days[] = {
      {"2026-01-31", ipc::EraseLog::FIREWALL, 20260302, 20260401, 20260501},
      {"2028-01-31", ipc::EraseLog::FIREWALL, 20280301, 20280331, 20280430},
      {"2028-02-29", ipc::EraseLog::REMOTE_ACCESS, 20280330, 20280406, 20280414},
      {"2027-02-28", ipc::EraseLog::OTHER, 20270323, 20270330, 20270330},
      {"2026-12-31", ipc::EraseLog::OTHER, 20270123, 20270130, 20270130},
      {"2099-12-01", ipc::EraseLog::FIREWALL, 20991231, 21000130, 21000301},  // 2100 is no leap year
  };
  for (const Days& one : days) {
    StoredErasure at;
    at.set_contract(one.contract);
    at.set_end(begin_of(add_days(*parse_day(one.last), 1)));
    EXPECT_EQ(day_text(last_day_of(at)), one.last);
    EXPECT_EQ(readable_until(at), one.readable) << one.last;
    EXPECT_EQ(planned_day(at), one.planned) << one.last;
    EXPECT_EQ(limit_day(at), one.limit) << one.last;
  }
  EXPECT_EQ(day_at(begin_of(20260101) - 1), 20251231U);
  EXPECT_EQ(day_at(begin_of(20260101)), 20260101U) << "15:00 UTC of the day before";
}

// ---- The calendar ---------------------------------------------------------------------------------------------------

class ErasuresTest : public testing::Test {
 protected:
  ErasuresTest() {
    std::string name = std::filesystem::temp_directory_path() / "sekisho-erasures-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    folder_ = name;
    start();
  }
  ~ErasuresTest() override { std::filesystem::remove_all(folder_); }

  /// As after a restart of the daemon.
  void start() {
    Erasures::Environment world;
    world.complain = [this](const std::string& line) { journal_ += line + '\n'; };
    world.keep_readable = [this](const StoredErasure&) { return ++kept_, Result<void>(); };
    world.put_in_force = [this](const std::string&, bool insist, std::function<void(std::uint32_t, const std::string&)> done) {
      insisted_ = insist;
      refuse_.empty() ? done(++revision_, "") : done(0, refuse_);
    };
    world.purge = [this](const StoredErasure& what) -> Result<std::vector<Purged>> {
      purged_.push_back(what.tenant());
      if (purge_fails_) return Error{ErrorCode::kUnavailable, ErrorSite::kStore, 0};
      return std::vector<Purged>{{"configuration", 3, left_}};
    };
    world.is_purged = [this](const StoredErasure&) { return !put_back_; };
    world.erase_log = [this](const ipc::EraseLog& question, std::function<void(const ipc::LogErasure&, const std::string&)> done) {
      asked_ = question;
      ipc::LogErasure said;
      said.set_ok(true);
      said.set_report("{\"svc\":\"acm00000001\"}");
      if (!dies_) done(said, log_refuses_);
    };
    world.tell = [this](const std::string& operation, const StoredErasure& what) { told_.push_back(operation + ' ' + what.tenant()); };
    erasures_ = std::make_unique<Erasures>(folder_, std::move(world));
    ASSERT_TRUE(erasures_->load());
  }
  StoredErasure end(const std::string& day, StoredErasure::Scope scope = StoredErasure::CONTRACT) {
    const auto made = erasures_->end({kAcme, scope, ipc::EraseLog::FIREWALL, day, "moves away", "ops"}, now_);
    EXPECT_TRUE(std::holds_alternative<StoredErasure>(made)) << std::get<Refusal>(made).message;
    return std::holds_alternative<StoredErasure>(made) ? std::get<StoredErasure>(made) : StoredErasure();
  }
  /// The clock runs to a moment, hour by hour.
  void run_to(std::int64_t moment) {
    while (now_ < moment) step(std::min(kHour, moment - now_));
  }
  void step(std::int64_t seconds) {
    now_ += seconds, monotonic_ += seconds;
    tick();
  }
  void tick() { erasures_->tick(static_cast<std::uint64_t>(now_) * 1'000'000'000, std::chrono::seconds(monotonic_), false); }
  [[nodiscard]] StoredErasure::State state() const { return erasures_->all().at(0).state(); }

  std::string folder_, journal_, refuse_, log_refuses_;
  std::unique_ptr<Erasures> erasures_;
  std::int64_t now_ = begin_of(20260115) + 12 * kHour, monotonic_ = 1000;
  std::uint32_t revision_ = 6;
  std::uint64_t left_ = 0;
  int kept_ = 0;
  bool insisted_ = false, purge_fails_ = false, put_back_ = false, dies_ = false;
  std::vector<std::string> purged_, told_;
  ipc::EraseLog asked_;
};

TEST_F(ErasuresTest, AContractEndsWithItsLastDayAndIsErasedAtItsPlannedOneAndNeitherASecondBefore) {
  end("2026-01-31");
  run_to(begin_of(20260201) - 1);
  EXPECT_EQ(state(), StoredErasure::REQUESTED);
  EXPECT_EQ(erasures_->ended(kAcme), nullptr);
  step(1);
  EXPECT_EQ(state(), StoredErasure::ENDED);
  EXPECT_EQ(kept_, 1);
  EXPECT_EQ(erasures_->all()[0].stopped_revision(), 7U);
  EXPECT_EQ(erasures_->ended(kGlobex), nullptr);
  run_to(begin_of(20260401) + Erasures::kAfterMidnightSeconds - 1);
  EXPECT_EQ(state(), StoredErasure::ENDED) << "sixty days, and ten minutes for clocks";
  EXPECT_TRUE(purged_.empty());
  EXPECT_TRUE(erasures_->is_closed(kAcme, now_)) << "thirty days to read are over";
  EXPECT_FALSE(erasures_->is_closed(kAcme, begin_of(20260303) - 1));
  EXPECT_TRUE(erasures_->is_closed(kAcme, begin_of(20260303)));
  step(1);
  EXPECT_EQ(state(), StoredErasure::ERASED);
  EXPECT_EQ(purged_, std::vector<std::string>{kAcme});
  EXPECT_TRUE(asked_.last());
  EXPECT_EQ(asked_.what(), ipc::EraseLog::NOW);
  EXPECT_EQ(told_, (std::vector<std::string>{"end acm00000001", "erase acm00000001"}));
  run_to(now_ + 5 * kDaySeconds);
  EXPECT_EQ(purged_.size(), 1U);
}

TEST_F(ErasuresTest, AnEndIsWithdrawnBeforeItComesAndNotAfterwards) {
  const StoredErasure first = end("2026-01-31");
  EXPECT_TRUE(std::holds_alternative<Refusal>(erasures_->erase_early(kAcme, first.id()))) << "it has not ended";
  EXPECT_TRUE(erasures_->withdraw(kGlobex, first.id(), now_)) << "another tenant's";
  EXPECT_FALSE(erasures_->withdraw(kAcme, first.id(), begin_of(20260201) - 1));
  EXPECT_TRUE(erasures_->all().empty());
  const StoredErasure second = end("2026-01-31");
  EXPECT_TRUE(erasures_->withdraw(kAcme, second.id(), begin_of(20260201))) << "its second has come, though nobody looked yet";
  EXPECT_EQ(erasures_->all().size(), 1U);
}

TEST_F(ErasuresTest, ADayThatIsNoneOrOverOrASecondEndIsRefused) {
  for (const char* day : {"2026-02-29", "2026-01-14", "2030-01-01", "soon"}) {
    EXPECT_TRUE(std::holds_alternative<Refusal>(
        erasures_->end({kAcme, StoredErasure::CONTRACT, ipc::EraseLog::FIREWALL, day, "", "ops"}, now_)))
        << day;
  }
  end("2026-01-15");
  for (const auto scope : {StoredErasure::CONTRACT, StoredErasure::REMOTE_ACCESS})
    EXPECT_TRUE(std::holds_alternative<Refusal>(erasures_->end({kAcme, scope, ipc::EraseLog::FIREWALL, "", "", "ops"}, now_)));
  EXPECT_TRUE(std::holds_alternative<StoredErasure>(
      erasures_->end({kGlobex, StoredErasure::CONTRACT, ipc::EraseLog::FIREWALL, "", "", "ops"}, now_)));
}

TEST_F(ErasuresTest, OneThatIsAskedForEarlyIsDoneAtOnceAndItsOptionAlone) {
  const StoredErasure asked = end("", StoredErasure::REMOTE_ACCESS);
  EXPECT_EQ(asked.contract(), ipc::EraseLog::REMOTE_ACCESS) << "an option has its own deadline";
  tick();
  EXPECT_EQ(state(), StoredErasure::ENDED);
  EXPECT_EQ(erasures_->ended(kAcme), nullptr) << "the contract goes on";
  ASSERT_TRUE(std::holds_alternative<StoredErasure>(erasures_->erase_early(kAcme, asked.id())));
  step(1);
  EXPECT_EQ(state(), StoredErasure::ERASED);
  EXPECT_FALSE(asked_.last());
  EXPECT_EQ(asked_.types_size(), 3);
  EXPECT_TRUE(std::holds_alternative<StoredErasure>(
      erasures_->end({kAcme, StoredErasure::REMOTE_ACCESS, ipc::EraseLog::FIREWALL, "", "", "ops"}, now_)))
      << "ordered anew, and ended again";
}

TEST_F(ErasuresTest, WhatWasBegunIsFinishedByWhoeverStartsNext) {
  const StoredErasure asked = end("");
  tick();
  (void)erasures_->erase_early(kAcme, asked.id());
  dies_ = true;  // before logd's answer
  step(1);
  EXPECT_EQ(state(), StoredErasure::ERASING);
  dies_ = false;
  start();
  EXPECT_EQ(state(), StoredErasure::ERASING);
  EXPECT_TRUE(std::holds_alternative<Refusal>(erasures_->end({kAcme, StoredErasure::CONTRACT, ipc::EraseLog::FIREWALL, "", "", "ops"}, now_)));
  step(1);
  EXPECT_EQ(state(), StoredErasure::ERASED);
  start();
  EXPECT_EQ(state(), StoredErasure::ERASED);
  EXPECT_EQ(purged_.size(), 2U);
}

TEST_F(ErasuresTest, AStepThatFailsIsTriedAgainAndNothingIsCalledErasedBefore) {
  const StoredErasure asked = end("");
  refuse_ = "another commit waits";
  tick();
  EXPECT_EQ(erasures_->all()[0].stopped_revision(), 0U);
  EXPECT_FALSE(insisted_);
  run_to(now_ + 2 * kHour);
  EXPECT_TRUE(insisted_) << "nobody's confirmation holds up an end for long";
  refuse_.clear();
  (void)erasures_->erase_early(kAcme, asked.id());
  for (int trouble = 0; trouble < 3; ++trouble) {
    purge_fails_ = trouble == 0;
    left_ = trouble == 1 ? 1 : 0;
    log_refuses_ = trouble == 2 ? "logd is not there" : "";
    step(Erasures::kRetrySeconds);
    EXPECT_EQ(state(), StoredErasure::ERASING) << trouble;
    EXPECT_EQ(erasures_->all()[0].report(), "");
  }
  log_refuses_.clear();
  step(Erasures::kRetrySeconds);
  EXPECT_EQ(state(), StoredErasure::ERASED);
}

TEST_F(ErasuresTest, AClockThatLeapsErasesNothing) {
  end("2026-01-31");
  tick();
  now_ = begin_of(20260601);  // the clock jumps, time did not pass
  step(1);
  step(kHour);
  EXPECT_EQ(state(), StoredErasure::REQUESTED);
  now_ = begin_of(20260116);
  start();
  tick();
  run_to(begin_of(20260201));
  EXPECT_EQ(state(), StoredErasure::ENDED) << "back where it was left, it is believed";
}

TEST_F(ErasuresTest, WhatABackupPutBackIsTakenOutAtTheNextStart) {
  const StoredErasure asked = end("");
  tick();
  (void)erasures_->erase_early(kAcme, asked.id());
  step(1);
  start();
  EXPECT_EQ(purged_.size(), 1U) << "nothing was put back";
  put_back_ = true;
  start();
  EXPECT_EQ(purged_.size(), 2U);
  model::Configuration old = two();
  EXPECT_NE(erasures_->amend(old), "");
  EXPECT_EQ(old.tenants_size(), 1);
  erasure::StoredErasures older;  // of a backup from before
  *older.add_erasures() = asked;
  ASSERT_TRUE(erasures_->adopt(older));
  EXPECT_EQ(state(), StoredErasure::ERASED) << "who is further along wins";
}

TEST_F(ErasuresTest, AReportIsSignedOverAllItSays) {
  const auto made = erasures_->end({kAcme, StoredErasure::CONTRACT, ipc::EraseLog::OTHER, "", "said \"so\" \\", "ops"}, now_);
  tick();
  (void)erasures_->erase_early(kAcme, std::get<StoredErasure>(made).id());
  step(1);
  const std::string report = erasures_->all()[0].report();
  const std::size_t at = report.rfind(kReportSignature);
  ASSERT_NE(at, std::string::npos);
  EXPECT_NE(report.find(R"("reason":"said \"so\" \\")"), std::string::npos);
  EXPECT_NE(report.find(R"("in_time":true)"), std::string::npos);
  Signature signature{};
  for (std::size_t i = 0; i < signature.size(); ++i)
    signature[i] = static_cast<std::uint8_t>(std::stoul(report.substr(at + kReportSignature.size() + 2 * i, 2), nullptr, 16));
  std::string said = report.substr(0, at);
  const auto bytes = [&said] { return ByteSpan(reinterpret_cast<const std::uint8_t*>(said.data()), said.size()); };
  EXPECT_TRUE(verify_signature(erasures_->public_key(), bytes(), signature));
  for (std::size_t i = 0; i < said.size(); i += 7) {
    said[i] = static_cast<char>(said[i] ^ 1);
    EXPECT_FALSE(verify_signature(erasures_->public_key(), bytes(), signature)) << i;
    said[i] = static_cast<char>(said[i] ^ 1);
  }
}

// ---- A store --------------------------------------------------------------------------------------------------------

class PurgeTest : public testing::Test {
 protected:
  PurgeTest() {
    std::string name = std::filesystem::temp_directory_path() / "sekisho-purge-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    folder_ = name;
    store_ = std::make_unique<Store>(Store::open(folder_).value());
    People::Environment nobody;
    nobody.now = nobody.steady = [] { return std::int64_t{1000}; };
    nobody.tell = [](const std::string&, const Address&, std::string_view, const std::string&) {};
    people_ = std::make_unique<People>(*store_, std::move(nobody));
    EXPECT_TRUE(people_->load());
    for (std::uint32_t number = 1; number <= 3; ++number) {
      for (const char* code : {kAcme, kGlobex}) {
        ids_.number(IdKind::kTenant, tenant_key(code));
        ids_.number(IdKind::kUser, user_key(code, "suzuki-no-himitsu"));
        ids_.number(IdKind::kPort, port_key(code, "secret-place"));
        ids_.uuid(rule_uuid_key(code, "p", "secret-place"));
      }
      EXPECT_TRUE(store_->add_pending({.number = number, .state = {}, .confirmed = false, .created_ns = 1, .rollback_at_ns = 0, .copied_from = 0,
                                       .comment = number == 2 ? "secret-place of acme" : "plain", .author = "x"},
                                      std::string(kTwo), ids_));
      EXPECT_TRUE(store_->mark_running(number));
    }
    access::StoredRevisionScope scope;
    scope.set_tenant(kAcme);
    EXPECT_TRUE(store_->put(RecordKind::kRevisionScope, "2", scope.SerializeAsString()));
    for (const char* code : {kAcme, kGlobex}) {
      api::Account owner;
      owner.set_role("owner");
      EXPECT_TRUE(std::holds_alternative<api::Invitation>(people_->add(code, "suzuki", owner)));
    }
    api::Notice notice;
    notice.set_id("n1"), notice.add_tenants(kAcme), notice.add_tenants(kGlobex);
    EXPECT_TRUE(store_->put(RecordKind::kNotice, "n1", notice.SerializeAsString()));
  }
  ~PurgeTest() override { std::filesystem::remove_all(folder_); }

  std::vector<Purged> purge_it(const StoredErasure& what) {
    const PurgeWorld world{*store_, ids_, *people_, [](std::uint32_t) { return Purged{"vpn_memory", 0, 0}; },
                           [](const std::string&) { return Purged{"undelivered_records", 0, 0}; },
                           [](const std::string&, bool) { return Result<void>(); }};
    auto done = purge(world, what);
    EXPECT_TRUE(done);
    return done ? *done : std::vector<Purged>();
  }
  /// Whether a file of the store holds these bytes.
  [[nodiscard]] bool on_disk(const std::string& bytes) const {
    for (const auto& file : std::filesystem::directory_iterator(folder_)) {
      std::ifstream in(file.path(), std::ios::binary);
      const std::string text((std::istreambuf_iterator<char>(in)), {});
      if (text.find(bytes) != std::string::npos) return true;
    }
    return false;
  }

  std::string folder_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<People> people_;
  Ids ids_;
};

TEST_F(PurgeTest, NothingOfAContractIsLeftInAnyFileAndTheOtherTenantsStays) {
  const std::uint32_t number = ids_.find(IdKind::kTenant, tenant_key(kGlobex)), gone = ids_.find(IdKind::kTenant, tenant_key(kAcme));
  EXPECT_TRUE(on_disk(kAcme));
  StoredErasure what = ending(StoredErasure::ERASING);
  what.set_erased_revision(3);
  const auto lines = purge_it(what);
  for (const Purged& line : lines) EXPECT_EQ(line.left, 0U) << line.what;
  const auto of = [&lines](const std::string& name) {
    for (const Purged& line : lines) {
      if (line.what == name) return line.erased;
    }
    return std::uint64_t{999};
  };
  EXPECT_EQ(of("configuration"), 3U);
  EXPECT_EQ(of("accounts_and_consents"), 1U);
  EXPECT_EQ(of("revision_comments"), 1U);
  EXPECT_EQ(of("notices"), 1U);
  EXPECT_FALSE(on_disk(kAcme)) << "in no page of the file, and not in its log";
  EXPECT_FALSE(on_disk("secret-place of acme"));
  EXPECT_TRUE(on_disk(kGlobex));
  EXPECT_EQ(people_->accounts(kGlobex).accounts_size(), 1);
  EXPECT_EQ(people_->accounts(kAcme).accounts_size(), 0);
  EXPECT_EQ(store_->find(1).value()->comment, "plain");
  for (std::uint32_t revision = 1; revision <= 3; ++revision) {
    const Decoded left = decode_document(store_->text(revision).value());
    ASSERT_EQ(left.model.tenants_size(), 1);
    EXPECT_EQ(left.model.tenants(0).SerializeAsString(), two().tenants(1).SerializeAsString());
  }
  EXPECT_EQ(ids_.find(IdKind::kTenant, tenant_key(kGlobex)), number);
  Ids again;
  ASSERT_TRUE(store_->load_ids(again));
  EXPECT_EQ(again.find(IdKind::kTenant, tenant_key(kGlobex)), number);
  EXPECT_EQ(again.find(IdKind::kTenant, tenant_key(kAcme)), 0U);
  const std::uint32_t fresh = again.number(IdKind::kTenant, tenant_key("new00000001"));
  EXPECT_TRUE(fresh != gone && fresh != number) << "no number is given twice";
  for (const Purged& line : purge_it(what)) EXPECT_EQ(line.erased + line.left, 0U) << line.what << " again";
}

TEST_F(PurgeTest, AnOptionTakesItsUsersOutOfRevisionsOfItsTimeAlone) {
  StoredErasure what = ending(StoredErasure::ERASING, StoredErasure::REMOTE_ACCESS);
  what.set_erased_revision(2);
  model::Configuration with = two();
  with.mutable_tenants(0)->add_users()->set_name("suzuki");
  ASSERT_TRUE(store_->rewrite([&](std::uint32_t, const std::string&) { return encode_document(with); }));
  purge_it(what);
  EXPECT_EQ(decode_document(store_->text(2).value()).model.tenants(0).users_size(), 0);
  EXPECT_EQ(decode_document(store_->text(2).value()).model.tenants(0).addresses_size(), 1);
  EXPECT_EQ(decode_document(store_->text(3).value()).model.tenants(0).users_size(), 1) << "ordered anew since";
  EXPECT_EQ(people_->accounts(kAcme).accounts_size(), 1);
  EXPECT_NE(ids_.find(IdKind::kTenant, tenant_key(kAcme)), 0U);
  EXPECT_EQ(ids_.find(IdKind::kUser, user_key(kAcme, "suzuki-no-himitsu")), 0U);
  EXPECT_NE(ids_.find(IdKind::kUser, user_key(kGlobex, "suzuki-no-himitsu")), 0U);
}

// ---- Backups --------------------------------------------------------------------------------------------------------

TEST_F(PurgeTest, ABackupComesBackWholeOnAnEmptyUnitAndWithoutWhatWasErasedSince) {
  const auto backup = collect_backup(*store_, {}, 500);
  ASSERT_TRUE(backup);
  EXPECT_EQ(why_no_backup(*backup), "");
  const RestorePlan whole = plan_restore(*backup, {});
  EXPECT_EQ(whole.document, kTwo) << "byte for byte";
  EXPECT_EQ(whole.accounts, 2U);
  EXPECT_TRUE(whole.left_out.empty());
  Ids empty;
  adopt_numbers(whole, empty);
  for (const char* code : {kAcme, kGlobex})
    EXPECT_EQ(empty.find(IdKind::kTenant, tenant_key(code)), ids_.find(IdKind::kTenant, tenant_key(code)));
  EXPECT_EQ(empty.uuid(rule_uuid_key(kAcme, "p", "secret-place")), ids_.uuid(rule_uuid_key(kAcme, "p", "secret-place")));
  Ids taken;  // a number that is given already is not taken away
  taken.load_number(IdKind::kTenant, tenant_key("new00000001"), ids_.find(IdKind::kTenant, tenant_key(kAcme)));
  adopt_numbers(whole, taken);
  EXPECT_EQ(taken.find(IdKind::kTenant, tenant_key(kAcme)), 0U);

  StoredErasure erased = ending(StoredErasure::ERASED);
  erased.set_erased(600);
  const RestorePlan without = plan_restore(*backup, std::span(&erased, 1));
  EXPECT_EQ(without.document.find(kAcme), std::string::npos);
  EXPECT_NE(without.document.find(kGlobex), std::string::npos);
  EXPECT_EQ(without.accounts, 1U);
  EXPECT_EQ(without.left_out.size(), 1U);
  for (const auto& number : without.numbers) EXPECT_EQ(number.key.find(kAcme), std::string::npos);
  for (const auto& uuid : without.uuids) EXPECT_EQ(uuid.key.find(kAcme), std::string::npos);
}

TEST_F(PurgeTest, ABackupCutAnywhereIsRefusedOrRestoresNothingThatWasNotInIt) {
  const auto whole = collect_backup(*store_, {}, 500).value();
  const std::string bytes = whole.SerializeAsString();
  std::size_t refused = 0;
  for (std::size_t cut = 0; cut < bytes.size(); cut += cut < 64 ? 1 : 7) {
    erasure::Backup read;
    if (!read_backup({reinterpret_cast<const std::uint8_t*>(bytes.data()), cut}, read).empty()) {
      ++refused;
      continue;
    }
    ASSERT_LE(read.records_size(), whole.records_size());
    for (int i = 0; i < read.records_size(); ++i) EXPECT_EQ(read.records(i).value(), whole.records(i).value()) << cut;
  }
  EXPECT_GT(refused, 64U);
  erasure::Backup read;
  EXPECT_EQ(read_backup({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, read), "");
}

TEST_F(PurgeTest, ABackupOfAnotherFormatIsRefusedByItsName) {
  auto backup = collect_backup(*store_, {}, 500).value();
  backup.set_format(0);
  EXPECT_NE(why_no_backup(backup).find("no backup"), std::string::npos);
  backup.set_format(kBackupFormat + 1);
  EXPECT_NE(why_no_backup(backup).find("newer version"), std::string::npos);
  backup.set_format(kBackupFormat);
  backup.set_document("tenants: [ { nobody: knows } ]");
  EXPECT_NE(why_no_backup(backup).find("cannot be read"), std::string::npos);
}

}  // namespace
}  // namespace sekisho::control
