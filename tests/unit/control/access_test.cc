// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <openssl/crypto.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "control/access/password.h"
#include "control/access/people.h"
#include "control/access/rfc3339.h"
#include "control/access/roles.h"
#include "control/access/totp.h"

namespace sekisho::control {
namespace {

constexpr const char* kSecret = "12345678901234567890";
constexpr const char* kPassword = "correct horse battery";
constexpr const char* kTenant = "acm00000001";

/// Passwords that were derived, told by the memory scrypt asks OpenSSL for: nothing else here asks for as much.
std::atomic<int> g_derivations{0};

void* counted(std::size_t size) {
  constexpr std::size_t kOfScrypt = std::size_t{16} << 20;
  if (size >= kOfScrypt) ++g_derivations;
  return std::malloc(size);  // NOLINT: what OpenSSL asks of it
}

/// Before OpenSSL has any memory, or it refuses.
const bool kCounting = CRYPTO_set_mem_functions([](std::size_t size, const char*, int) { return counted(size); },
                                                [](void* old, std::size_t size, const char*, int) { return std::realloc(old, size); },
                                                [](void* old, const char*, int) { std::free(old); }) == 1;

TEST(Totp, GivesTheCodesOfRfc6238) {  // appendix B, SHA-1, 8 digits
  EXPECT_EQ(totp_code(kSecret, 59 / 30, 8), "94287082");
  EXPECT_EQ(totp_code(kSecret, 1111111109 / 30, 8), "07081804");
  EXPECT_EQ(totp_code(kSecret, 1111111111 / 30, 8), "14050471");
  EXPECT_EQ(totp_code(kSecret, 1234567890 / 30, 8), "89005924");
  EXPECT_EQ(totp_code(kSecret, 2000000000 / 30, 8), "69279037");
  EXPECT_EQ(totp_code(kSecret, 20000000000ULL / 30, 8), "65353130");
}

TEST(Totp, TakesACodeOfOneStepAroundNowAndNoneTwice) {
  constexpr std::int64_t kNow = 1234567890;
  constexpr std::uint64_t kStep = kNow / 30;
  for (const std::uint64_t step : {kStep - 1, kStep, kStep + 1})
    EXPECT_EQ(find_totp_step(kSecret, totp_code(kSecret, step), kNow, 0), step);
  EXPECT_FALSE(find_totp_step(kSecret, totp_code(kSecret, kStep - 2), kNow, 0));
  EXPECT_FALSE(find_totp_step(kSecret, totp_code(kSecret, kStep + 2), kNow, 0));
  EXPECT_FALSE(find_totp_step(kSecret, totp_code(kSecret, kStep), kNow, kStep)) << "used already";
  EXPECT_FALSE(find_totp_step(kSecret, totp_code(kSecret, kStep - 1), kNow, kStep)) << "older than one that was used";
  EXPECT_TRUE(find_totp_step(kSecret, totp_code(kSecret, kStep + 1), kNow, kStep));
  EXPECT_FALSE(find_totp_step(kSecret, "", kNow, 0));
  EXPECT_FALSE(find_totp_step(kSecret, "12345", kNow, 0));
  EXPECT_FALSE(find_totp_step("", totp_code("", kStep), kNow, 0)) << "without a secret there is no code";
}

TEST(Totp, WritesBase32AsRfc4648) {
  EXPECT_EQ(base32(""), "");
  EXPECT_EQ(base32("f"), "MY");
  EXPECT_EQ(base32("fo"), "MZXQ");
  EXPECT_EQ(base32("foo"), "MZXW6");
  EXPECT_EQ(base32("foobar"), "MZXW6YTBOI");
}

TEST(Password, IsVerifiedByItsHashAndByNoOther) {
  const std::string hash = hash_password(kPassword);
  EXPECT_TRUE(verify_password(kPassword, hash));
  EXPECT_FALSE(verify_password("correct horse batterz", hash));
  EXPECT_FALSE(verify_password("", hash));
  EXPECT_FALSE(verify_password(kPassword, hash_password("another one, as long")));
  EXPECT_NE(hash_password(kPassword), hash) << "each has a salt of its own";
  for (const std::size_t cut : {std::size_t{0}, std::size_t{7}, std::size_t{12}, hash.size() - 1})
    EXPECT_FALSE(verify_password(kPassword, hash.substr(0, cut)));
  EXPECT_FALSE(verify_password("", ""));
}

TEST(Password, IsJudgedByLengthKindsNameAndWhatEverybodyTries) {
  const PasswordRule rule{.characters_min = 15, .classes_min = 3};
  EXPECT_EQ(judge_password("Fifteen chars 1", "yamada@acm00000001", rule), "");
  EXPECT_NE(judge_password("Fourteen char1", "yamada", rule), "");
  EXPECT_NE(judge_password("only small letters", "yamada", rule), "");
  EXPECT_EQ(judge_password("正しい馬の電池ホチキス十五文字。1A", "yamada", rule), "") << "characters count, not bytes";
  EXPECT_NE(judge_password("My-Yamada-2026-long", "yamada@acm00000001", rule), "");
  const PasswordRule plain{.characters_min = 8, .classes_min = 1};
  EXPECT_NE(judge_password("password", "x", plain), "");
  EXPECT_NE(judge_password("Password2026!", "x", plain), "");
  EXPECT_NE(judge_password("aaaaaaaaaaaabbb", "x", plain), "");
  EXPECT_EQ(judge_password("my password is a poem", "x", plain), "");
}

TEST(Rfc3339, TakesOffsetsAndRefusesWhatIsNoTime) {
  EXPECT_EQ(parse_rfc3339("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(parse_rfc3339("2026-11-27T13:00:00+09:00"), parse_rfc3339("2026-11-27T04:00:00Z"));
  EXPECT_EQ(parse_rfc3339("2024-02-29T00:00:00.5Z"), parse_rfc3339("2024-02-29T00:00:00Z"));
  EXPECT_EQ(rfc3339(*parse_rfc3339("2024-02-29T23:59:59Z")), "2024-02-29T23:59:59Z");
  for (const char* bad : {"", "2026-11-27", "2026-02-29T00:00:00Z", "2026-11-27T24:00:00Z", "2026-11-27T00:00:00",
                          "2026-11-27T00:00:00+9", "x026-11-27T00:00:00Z"}) {
    EXPECT_FALSE(parse_rfc3339(bad)) << bad;
  }
}

TEST(Roles, ThePageInTheDocumentationIsTheMatrix) {
  std::ifstream file(std::string(SEKISHO_SOURCE_DIR) + "/docs/permissions.md");
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), permissions_page()) << "controld --permissions >docs/permissions.md";
}

TEST(Roles, EveryActionHasItsRow) {
  for (int i = 0; i < api::Action_descriptor()->value_count(); ++i) {
    const auto action = static_cast<api::Action>(api::Action_descriptor()->value(i)->number());
    bool any = false;
    for (std::size_t role = 0; role < kRoles; ++role) any = any || grant_of(static_cast<Role>(role), action) != Grant::kNo;
    EXPECT_TRUE(any) << to_text(action);
  }
}

TEST(Roles, NoRoleOfATenantMayAnythingOfThePlatformAndNoProviderAnythingInsideATenantWithoutLeave) {
  for (std::size_t i = 0; i < kRoles; ++i) {
    const auto role = static_cast<Role>(i);
    for (const auto action :
         {api::PLATFORM_VIEW, api::PLATFORM_EDIT, api::STAFF_MANAGE, api::PLATFORM_AUDIT, api::BINDINGS_ASSIGN}) {
      if (!is_provider(role)) {
        EXPECT_EQ(grant_of(role, action), Grant::kNo) << to_text(role);
      }
    }
    for (const auto action : {api::RULES_VIEW, api::RULES_EDIT, api::COMMIT, api::USERS_VIEW, api::USERS_EDIT,
                              api::LOGS_READ, api::ACCOUNTS_MANAGE, api::BACKUP, api::CONSENT}) {
      if (is_provider(role)) {
        EXPECT_NE(grant_of(role, action), Grant::kYes) << to_text(role) << ' ' << to_text(action);
      }
    }
  }
}

TEST(Roles, CollectorsOfRecordsAreTheOwnersAndTheAdminsAlone) {  // specification 3.10: log policy, export targets
  for (std::size_t i = 0; i < kRoles; ++i) {
    const auto role = static_cast<Role>(i);
    const bool may = to_text(role) == "owner" || to_text(role) == "admin";
    EXPECT_EQ(grant_of(role, api::LOG_EXPORTS), may ? Grant::kYes : Grant::kNo) << to_text(role);
  }
}

class PeopleTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("people-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
    start();
  }
  void TearDown() override {
    people_.reset();
    store_.reset();
    std::filesystem::remove_all(folder_);
  }
  /// As after a restart of the daemon.
  void start() {
    people_.reset();
    store_.reset();
    auto opened = Store::open(folder_);
    ASSERT_TRUE(opened);
    store_ = std::make_unique<Store>(std::move(*opened));
    People::Environment environment;
    environment.now = [this] { return now_; };
    environment.steady = [this] { return now_; };
    environment.boot = boot_;
    environment.elsewhere = [](const std::function<void()>& work, const std::function<void()>& then) {
      return work(), then(), true;
    };
    environment.rules = [this] { return rules_; };
    environment.tenant_rules = [this](const std::string& tenant) {
      return tenant == kTenant ? std::optional(tenant_rules_) : std::nullopt;
    };
    environment.tell = [this](const std::string& account, const Address&, std::string_view operation,
                              const std::string&) { told_.push_back(std::string(operation) + ' ' + account); };
    people_ = std::make_unique<People>(*store_, std::move(environment));
    ASSERT_TRUE(people_->load());
  }
  std::string invite(const std::string& name, const std::string& role, const std::string& tenant = kTenant) {
    api::Account account;
    account.set_role(role);
    auto made = people_->add(tenant, name, account);
    return std::holds_alternative<api::Invitation>(made) ? std::get<api::Invitation>(made).link() : "";
  }
  /// Uses a link; the second factor's secret, raw.
  std::string enrol(const std::string& link) {
    auto begun = people_->sign_in_by_link(link, source_);
    if (!std::holds_alternative<People::SignedIn>(begun)) return "no session";
    const auto signed_in = std::get<People::SignedIn>(begun);
    api::SetPasswordRequest request;
    request.set_new_password(kPassword);
    people_->set_password(signed_in.who, signed_in.token, request,
                          [](const Refusal& refusal) { EXPECT_FALSE(refusal) << refusal.message; });
    const std::string text = std::get<api::TotpSecret>(people_->begin_totp(signed_in.token)).secret();
    std::string secret;
    std::uint32_t bits = 0;
    unsigned held = 0;
    for (const char c : text) {
      bits = (bits << 5) | static_cast<std::uint32_t>(c >= 'A' ? c - 'A' : c - '2' + 26);
      held += 5;
      if (held >= 8) secret += static_cast<char>(bits >> (held -= 8));
    }
    EXPECT_FALSE(people_->confirm_totp(signed_in.token, totp_code(secret, static_cast<std::uint64_t>(now_ / 30))));
    now_ += 60;
    return secret;
  }
  std::variant<People::SignedIn, Refusal> sign_in(const std::string& account, const std::string& password,
                                                  const std::string& secret, const Address& from) {
    api::LoginRequest request;
    request.set_account(account);
    request.set_password(password);
    if (!secret.empty()) request.set_code(totp_code(secret, static_cast<std::uint64_t>(now_ / 30)));
    std::variant<People::SignedIn, Refusal> out;
    people_->sign_in(request, from, [&](std::variant<People::SignedIn, Refusal> outcome) { out = std::move(outcome); });
    return out;
  }
  bool enters(const std::string& account, const std::string& secret, const char* from = "192.0.2.1") {
    return std::holds_alternative<People::SignedIn>(sign_in(account, kPassword, secret, *parse_address(from)));
  }
  void fail(const std::string& account, int times, const char* from = "192.0.2.1") {
    for (int i = 0; i < times; ++i) (void)sign_in(account, "wrong", "", *parse_address(from));
  }

  std::filesystem::path folder_;
  std::int64_t now_ = 1'800'000'000;
  std::string boot_ = "one";
  model::SignIn rules_;
  model::TenantSignIn tenant_rules_;
  Address source_ = *parse_address("192.0.2.1");
  std::vector<std::string> told_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<People> people_;
};

/// Commits of others to a database, which its WAL counts: each adds a last frame that says the database's size.
class Writes {
 public:
  explicit Writes(std::filesystem::path database) : wal_(database += "-wal") {}
  [[nodiscard]] std::uint32_t count() const {
    std::ifstream file(wal_, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const auto number = [&](std::size_t at) {
      std::uint32_t out = 0;
      for (std::size_t i = 0; i < 4; ++i) out = out << 8 | static_cast<std::uint8_t>(text.at(at + i));
      return out;
    };
    if (text.size() < kHead) return 0;
    std::uint32_t commits = 0;
    for (std::size_t at = kHead; at + kFrameHead <= text.size(); at += kFrameHead + number(8)) commits += number(at + 4) != 0 ? 1U : 0U;
    return commits;
  }

 private:
  static constexpr std::size_t kHead = 32, kFrameHead = 24;
  std::filesystem::path wal_;
};

TEST_F(PeopleTest, ALinkWorksOnceWithin72HoursAndAfterARestart) {
  const std::string link = invite("owner", "owner");
  const std::string late = invite("late", "read");
  start();
  EXPECT_TRUE(std::holds_alternative<Refusal>(people_->sign_in_by_link("", source_)));
  EXPECT_NE(enrol(link), "no session");
  EXPECT_EQ(enrol(link), "no session");
  now_ += People::kLinkSeconds;
  EXPECT_EQ(enrol(late), "no session");
}

TEST_F(PeopleTest, ACodeIsTakenOnceEvenAcrossARestart) {
  const std::string secret = enrol(invite("owner", "owner"));
  EXPECT_TRUE(enters("owner@acm00000001", secret));
  EXPECT_FALSE(enters("owner@acm00000001", secret));
  start();
  EXPECT_FALSE(enters("owner@acm00000001", secret));
  now_ += 30;
  EXPECT_TRUE(enters("owner@acm00000001", secret));
  now_ -= 60;  // the clock steps back
  EXPECT_FALSE(enters("owner@acm00000001", secret));
}

// Specification F-45: how long a refusal takes tells nobody whether the name exists. What takes the time is deriving the password, and the store.
TEST_F(PeopleTest, ARefusalCostsOneDerivationAndOneWriteWhoeverIsNamedAndWhateverIsWrong) {
  ASSERT_TRUE(kCounting);
  enrol(invite("owner", "owner"));
  enrol(invite("gone", "log"));
  enrol(invite("locked", "log"));
  (void)invite("fresh", "read");  // has no password yet
  api::Account off;
  off.set_role("log");
  off.set_disabled(true);
  ASSERT_TRUE(std::holds_alternative<api::Account>(people_->change(kTenant, "gone@acm00000001", off, {})));
  rules_.set_failures_max(2);
  fail("locked@acm00000001", 2);
  const Writes writes(folder_ / "config.db");
  const std::string longest(1024, 'x');
  for (const std::string& password : {std::string("wrong"), std::string(), longest, longest + 'x'}) {
    now_ += 1000;
    for (const char* name : {"nobody", "owner", "gone", "locked", "fresh"}) {
      const int before = g_derivations;
      const std::uint32_t written = writes.count();
      const auto refused = sign_in(std::string(name) + "@acm00000001", password, "", source_);
      EXPECT_EQ(writes.count() - written, 1U) << name;
      EXPECT_EQ(std::get<Refusal>(refused).status, 401U);
      EXPECT_EQ(std::get<Refusal>(refused).message, std::get<Refusal>(sign_in("nobody@acm00000001", "wrong", "", *parse_address("192.0.2.2"))).message);
      EXPECT_EQ(g_derivations - before, 2) << name << ", a password of " << password.size() << " bytes, and the one to compare with";
    }
  }
}

TEST_F(PeopleTest, NWrongPasswordsLockTheAccountForItsTimeAndNotASecondLonger) {
  enrol(invite("owner", "owner"));
  const std::string secret = enrol(invite("log", "log"));
  for (const std::uint32_t most : {1U, 3U, 5U, 10U}) {
    rules_.set_failures_max(most);
    now_ += 3600;
    fail("log@acm00000001", static_cast<int>(most) - 1);
    now_ += 61;
    if (most > 1) {
      EXPECT_TRUE(enters("log@acm00000001", secret)) << "one fewer";
    }
    now_ += 3600;
    fail("log@acm00000001", static_cast<int>(most));
    start();
    now_ += 30 * 60 - 1;
    EXPECT_FALSE(enters("log@acm00000001", secret));
    now_ += 2;
    EXPECT_TRUE(enters("log@acm00000001", secret));
  }
}

TEST_F(PeopleTest, FailuresLongAgoDoNotCount) {
  enrol(invite("owner", "owner"));
  const std::string secret = enrol(invite("log", "log"));
  fail("log@acm00000001", 4);
  now_ += People::kFailureWindowSeconds + 1;
  fail("log@acm00000001", 4);
  EXPECT_TRUE(enters("log@acm00000001", secret));
}

TEST_F(PeopleTest, TheLastAdministratorIsShutOutOnlyFromWhereTheWrongPasswordsCame) {
  const std::string secret = enrol(invite("owner", "owner"));
  fail("owner@acm00000001", 6, "198.51.100.9");
  EXPECT_FALSE(enters("owner@acm00000001", secret, "198.51.100.9"));
  now_ += 30;
  EXPECT_TRUE(enters("owner@acm00000001", secret, "192.0.2.1"));
  const std::string second = enrol(invite("second", "owner"));  // now there are two: either may be locked as a whole
  fail("owner@acm00000001", 5, "198.51.100.10");
  now_ += 30;
  EXPECT_FALSE(enters("owner@acm00000001", secret, "192.0.2.1"));
  EXPECT_TRUE(enters("second@acm00000001", second, "192.0.2.1"));
}

TEST_F(PeopleTest, ASessionEndsWithIdleTimeWithItsLifeAndWithItsAccount) {
  const std::string secret = enrol(invite("owner", "owner"));
  enrol(invite("second", "owner"));
  const auto token = std::get<People::SignedIn>(sign_in("owner@acm00000001", kPassword, secret, source_)).token;
  now_ += 15 * 60 - 1;
  EXPECT_TRUE(people_->find(token, source_, false));
  now_ += 15 * 60 - 1;
  EXPECT_TRUE(people_->find(token, source_, true)) << "looked at, not used";
  now_ += 1;
  EXPECT_FALSE(people_->find(token, source_, false));
  now_ += 60;
  const auto other = std::get<People::SignedIn>(sign_in("owner@acm00000001", kPassword, secret, source_)).token;
  for (int minutes = 0; minutes < 480; minutes += 10) {
    EXPECT_TRUE(people_->find(other, source_, false));
    now_ += 600;
  }
  EXPECT_FALSE(people_->find(other, source_, false));
  now_ += 60;
  const auto third = std::get<People::SignedIn>(sign_in("owner@acm00000001", kPassword, secret, source_)).token;
  EXPECT_TRUE(people_->find(third, source_, false));
  EXPECT_FALSE(people_->remove(kTenant, "owner@acm00000001"));
  EXPECT_FALSE(people_->find(third, source_, false));
}

TEST_F(PeopleTest, SourcesOfAccountAndTenantAreBothAsked) {
  const std::string secret = enrol(invite("owner", "owner"));
  tenant_rules_.add_sources("192.0.2.0/24");
  EXPECT_FALSE(enters("owner@acm00000001", secret, "198.51.100.1"));
  EXPECT_TRUE(enters("owner@acm00000001", secret, "192.0.2.1"));
  now_ += 30;
  const auto token = std::get<People::SignedIn>(sign_in("owner@acm00000001", kPassword, secret, source_)).token;
  EXPECT_FALSE(people_->find(token, *parse_address("198.51.100.1"), false)) << "a cookie does not travel";
}

TEST_F(PeopleTest, TheLastAdministratorCannotBeRemovedDisabledOrGivenALesserRole) {
  enrol(invite("owner", "owner"));
  EXPECT_EQ(people_->remove(kTenant, "owner@acm00000001").status, 409U);
  api::Account account;
  account.set_role("read");
  EXPECT_EQ(std::get<Refusal>(people_->change(kTenant, "owner@acm00000001", account, {})).status, 409U);
  account.set_role("owner");
  account.set_disabled(true);
  EXPECT_EQ(std::get<Refusal>(people_->change(kTenant, "owner@acm00000001", account, {})).status, 409U);
  invite("never-came", "owner");
  EXPECT_EQ(people_->remove(kTenant, "owner@acm00000001").status, 409U) << "who never signed in manages nothing";
  EXPECT_EQ(people_->remove("glx00000001", "owner@acm00000001").status, 404U);
}

TEST_F(PeopleTest, AConsentLetsSupportLookUntilItEndsAndOnlyThere) {
  const Principal helen{
      .account = "helen", .role = Role::kSupport, .tenant = "", .must = "", .csrf = "", .source = source_};
  const Principal owner{.account = "owner@acm00000001",
                        .role = Role::kOwner,
                        .tenant = kTenant,
                        .must = "",
                        .csrf = "",
                        .source = source_};
  EXPECT_FALSE(people_->may(helen, api::RULES_VIEW, kTenant).allowed);
  api::ConsentRequest request;
  request.set_tenant(kTenant);
  request.set_minutes(241);
  EXPECT_EQ(std::get<Refusal>(people_->grant(owner, request)).status, 422U);
  request.set_minutes(240);
  const auto consent = std::get<api::Consent>(people_->grant(owner, request));
  start();
  EXPECT_TRUE(people_->may(helen, api::RULES_VIEW, kTenant).allowed);
  EXPECT_EQ(people_->may(helen, api::RULES_VIEW, kTenant).consent, consent.id());
  EXPECT_FALSE(people_->may(helen, api::RULES_EDIT, kTenant).allowed) << "to look, not to change";
  EXPECT_FALSE(people_->may(helen, api::RULES_VIEW, "glx00000001").allowed);
  EXPECT_FALSE(people_->may(helen, api::ACCOUNTS_MANAGE, kTenant).allowed);
  now_ += 240 * 60;
  EXPECT_FALSE(people_->may(helen, api::RULES_VIEW, kTenant).allowed);
}

TEST_F(PeopleTest, OneSourceMayNotTryWithoutEnd) {
  enrol(invite("owner", "owner"));
  now_ += 61;
  rules_.set_failures_max(10);
  for (int i = 0; i < People::kAttemptsPerMinute; ++i)
    EXPECT_EQ(std::get<Refusal>(sign_in("nobody", "x", "", source_)).status, 401U);
  EXPECT_EQ(std::get<Refusal>(sign_in("nobody", "x", "", source_)).status, 429U);
  EXPECT_EQ(std::get<Refusal>(sign_in("nobody", "x", "", *parse_address("192.0.2.2"))).status, 401U);
  now_ += 61;
  EXPECT_EQ(std::get<Refusal>(sign_in("nobody", "x", "", source_)).status, 401U);
}

TEST_F(PeopleTest, ASessionOutlivesTheDaemonButNotItsEndItsAccountOrTheMachine) {
  const std::string secret = enrol(invite("owner", "owner"));
  const std::string reader = enrol(invite("reader", "read"));
  const auto begin = [&](const std::string& account, const std::string& with) {
    now_ += 30;
    return std::get<People::SignedIn>(sign_in(account, kPassword, with, source_)).token;
  };
  const auto token = begin("owner@acm00000001", secret);
  const auto before = people_->find(token, source_, false);
  start();
  const auto after = people_->find(token, source_, false);
  ASSERT_TRUE(after);
  EXPECT_EQ(after->account, "owner@acm00000001");
  EXPECT_EQ(after->csrf, before->csrf);
  EXPECT_FALSE(people_->find(token + "x", source_, false));
  const auto other = begin("owner@acm00000001", secret);
  people_->sign_out(other);
  const auto gone = begin("reader@acm00000001", reader);
  EXPECT_FALSE(people_->remove(kTenant, "reader@acm00000001"));
  start();
  EXPECT_FALSE(people_->find(other, source_, false)) << "it was ended before";
  EXPECT_FALSE(people_->find(gone, source_, false));
  const auto kept = store_->records(RecordKind::kSession);
  for (const auto& record : *kept) {
    EXPECT_EQ((record.key + record.value).find(token), std::string::npos) << "the token itself is nowhere";
  }
  now_ += 14 * 60 + 59 - 60;  // idle since it was last noted, at least
  EXPECT_TRUE(people_->find(token, source_, true));
  now_ += 61;
  start();
  EXPECT_FALSE(people_->find(token, source_, false)) << "its idle time ran while nobody was there";
  const auto last = begin("owner@acm00000001", secret);
  boot_ = "two";
  start();
  EXPECT_FALSE(people_->find(last, source_, false)) << "after a start of the machine nobody knows how old it is";
  EXPECT_TRUE(store_->records(RecordKind::kSession)->empty());
}

TEST_F(PeopleTest, AnAccountThatAsksForACertificateIsNotEnteredWithoutItAndNobodyShutsHimselfOut) {
  const std::string secret = enrol(invite("owner", "owner"));
  const std::string certificate(32, '\x5a');
  std::string text;
  for (int i = 0; i < 32; ++i) text += "5a";
  api::Account account;
  account.set_role("owner");
  account.add_certificates(text);
  Principal own{.account = "owner@acm00000001", .role = Role::kOwner, .tenant = kTenant, .must = "", .csrf = "", .source = source_};
  EXPECT_EQ(std::get<Refusal>(people_->change(kTenant, "owner@acm00000001", account, own)).path, "account.certificates");
  own.certificate = certificate;
  ASSERT_TRUE(std::holds_alternative<api::Account>(people_->change(kTenant, "owner@acm00000001", account, own)));
  now_ += 30;
  EXPECT_FALSE(enters("owner@acm00000001", secret));
  now_ += 30;
  api::LoginRequest request;
  request.set_account("owner@acm00000001");
  request.set_password(kPassword);
  request.set_code(totp_code(secret, static_cast<std::uint64_t>(now_ / 30)));
  std::string token;
  people_->sign_in(
      request, source_,
      [&](const std::variant<People::SignedIn, Refusal>& outcome) {
        if (const auto* in = std::get_if<People::SignedIn>(&outcome)) token = in->token;
      },
      certificate);
  ASSERT_FALSE(token.empty());
  EXPECT_FALSE(people_->find(token, source_, false)) << "a stolen cookie over another connection";
  EXPECT_FALSE(people_->find(token, source_, false, std::string(32, 'x')));
  EXPECT_TRUE(people_->find(token, source_, false, certificate)) << "and it has ended nothing";
  account.set_certificates(0, "5a5a");
  EXPECT_EQ(std::get<Refusal>(people_->change(kTenant, "owner@acm00000001", account, own)).path, "account.certificates[0]");
}

TEST_F(PeopleTest, ASignInFromANetworkNeverSeenWithTheAccountIsTold) {
  const std::string secret = enrol(invite("yuki", "owner"));
  const auto told = [&] { return std::count(told_.begin(), told_.end(), "new_source yuki@" + std::string(kTenant)); };
  EXPECT_EQ(told(), 0) << "there was none before the first";
  ASSERT_TRUE(enters("yuki@" + std::string(kTenant), secret, "192.0.2.77"));
  EXPECT_EQ(told(), 0) << "the same network";
  now_ += 60;
  ASSERT_TRUE(enters("yuki@" + std::string(kTenant), secret, "192.0.3.1"));
  EXPECT_EQ(told(), 1);
  now_ += 60;
  start();
  ASSERT_TRUE(enters("yuki@" + std::string(kTenant), secret, "192.0.3.9"));
  EXPECT_EQ(told(), 1) << "known, also after a restart";
  now_ += 60;
  ASSERT_TRUE(enters("yuki@" + std::string(kTenant), secret, "2001:db8:0:7::1"));
  EXPECT_EQ(told(), 2);
}

TEST_F(PeopleTest, WhoGaveOutALinkStandsBehindItsAccountForThirtyDays) {
  const auto make = [&](const std::string& name, const std::string& by) {
    api::Account account;
    account.set_role("owner");
    return std::get<api::Invitation>(people_->add(kTenant, name, account, by)).account().id();
  };
  const std::string ann = make("ann", ""), ben = make("ben", ann), cat = make("cat", ben), dan = make("dan", "");
  EXPECT_EQ(people_->behind(ann), ann);
  EXPECT_EQ(people_->behind(ben), ann);
  EXPECT_EQ(people_->behind(cat), ann) << "over the hand of another";
  EXPECT_EQ(people_->behind(dan), dan);
  now_ += 86'400;
  EXPECT_TRUE(std::holds_alternative<api::Invitation>(people_->reissue(kTenant, dan, false, ben)));
  EXPECT_EQ(people_->behind(dan), ann) << "a new link is a new hand";
  now_ += People::kLinkMakerSeconds - 86'400 - 1;
  EXPECT_EQ(people_->behind(ben), ann);
  now_ += 1;
  EXPECT_EQ(people_->behind(ben), ben);
  EXPECT_EQ(people_->behind(dan), ben) << "given a day later";
  start();
  EXPECT_EQ(people_->behind(dan), ben);
  EXPECT_TRUE(std::holds_alternative<api::Invitation>(people_->reissue(kTenant, ben, false, dan)));
  EXPECT_EQ(people_->behind(dan), people_->behind(ben)) << "who gave each other links are no two people";
  const std::string eve = make("eve", ben);
  EXPECT_EQ(people_->behind(eve), people_->behind(ben));
  EXPECT_NE(people_->behind(eve), people_->behind(ann));
}

TEST_F(PeopleTest, NobodyElseMayWhereOnePersonStandsBehindAll) {
  enrol(invite("ann", "owner"));
  const std::string ann = "ann@" + std::string(kTenant);
  api::Account account;
  account.set_role("owner");
  enrol(std::get<api::Invitation>(people_->add(kTenant, "ben", account, ann)).link());
  EXPECT_FALSE(people_->another_may(api::ERASE, kTenant, ann));
  enrol(invite("cat", "owner"));
  EXPECT_TRUE(people_->another_may(api::ERASE, kTenant, ann));
}

}  // namespace
}  // namespace sekisho::control
