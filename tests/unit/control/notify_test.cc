// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "control/api/happenings.h"
#include "control/config/codec.h"
#include "control/config/validate.h"
#include "control/notify/message.h"
#include "control/notify/notifier.h"

namespace sekisho::control {
namespace {

constexpr const char* kTenant = "acm00000001";

class NotifierTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("notify-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
    auto& relay = *model_.mutable_notify()->mutable_relay();
    relay.set_host("mail.example");
    relay.set_sender("noreply@unit.example");
    model_.mutable_notify()->add_webhook_networks("192.0.2.0/24");
    auto& tenant = *model_.add_tenants();
    tenant.set_service_code(kTenant);
    tenant.set_name("Acme 株式会社");
    auto& target = *tenant.add_notifications();
    target.set_name("ops");
    target.add_mail("ops@acme.example");
    target.set_webhook("https://192.0.2.7/hook");
    target.set_signing_key("0123456789abcdef");
    target.add_events("commit");
    start();
  }
  void TearDown() override {
    notifier_.reset();
    store_.reset();
    std::filesystem::remove_all(folder_);
  }
  void start() {
    notifier_.reset();
    store_.reset();
    auto opened = Store::open(folder_);
    ASSERT_TRUE(opened);
    store_ = std::make_unique<Store>(std::move(*opened));
    notifier_ = std::make_unique<Notifier>(
        *store_, Notifier::Environment{.now = [this] { return now_; },
                                       .model = [this] { return &model_; },
                                       .managers = [](const std::string&, api::Action action) {
                                         std::vector<std::string> out{"owner@acme.example"};
                                         if (action == api::USERS_EDIT) out.emplace_back("users@acme.example");
                                         return out;
                                       },
                                       .audit = [this](const access::StoredDelivery& one, const char* result, const std::string& detail) {
                                         audited_.push_back(one.event() + ' ' + result + ' ' + detail);
                                       }});
    ASSERT_TRUE(notifier_->load());
  }
  std::vector<ipc::Delivery> take(std::uint32_t room = 32, const std::vector<ipc::DeliveryResult>& results = {}) {
    ipc::DeliveryWork work;
    work.set_room(room);
    for (const auto& one : results) *work.add_results() = one;
    const auto out = notifier_->exchange(work);
    return {out.deliveries().begin(), out.deliveries().end()};
  }
  static ipc::DeliveryResult result(const ipc::Delivery& of, bool ok, bool permanent = false) {
    ipc::DeliveryResult out;
    out.set_id(of.id());
    out.set_ok(ok);
    out.set_permanent(permanent);
    out.set_detail("said so");
    return out;
  }
  void tell(const std::string& event, const std::string& object = "revision 7", const std::string& state = "done") {
    notifier_->tell({.tenant = kTenant, .event = event, .object = object, .state = state, .title = "t", .memo = ""});
  }

  std::filesystem::path folder_;
  std::int64_t now_ = 1'800'000'000;
  model::Configuration model_;
  std::vector<std::string> audited_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Notifier> notifier_;
};

TEST_F(NotifierTest, OneHappeningBecomesAMailAndACallOfTheTargetsThatWantIt) {
  tell("commit");
  const auto work = take();
  ASSERT_EQ(work.size(), 2U);
  EXPECT_EQ(work[0].mail().host(), "mail.example");
  EXPECT_EQ(work[0].mail().recipients(0), "ops@acme.example");
  EXPECT_NE(work[0].mail().message().find("Subject: [FWGW] acm00000001 commit done\r\n"), std::string::npos);
  EXPECT_EQ(work[1].webhook().url(), "https://192.0.2.7/hook");
  EXPECT_EQ(work[1].webhook().networks(0), "192.0.2.0/24");
  EXPECT_EQ(work[1].webhook().body().find("revision 7"), std::string::npos) << "no names without details";
  EXPECT_TRUE(take().empty()) << "handed out once";
  tell("quota");
  EXPECT_TRUE(take().empty()) << "this target does not want it";
}

TEST_F(NotifierTest, WhatIsNotSwitchableGoesToWhoManagesTheTenantAsWell) {
  tell("incident");
  const auto work = take();
  ASSERT_EQ(work.size(), 1U);
  EXPECT_EQ(work[0].mail().recipients(0), "owner@acme.example");
}

TEST_F(NotifierTest, WhatIsOnAtFirstGoesToWhoManagesTheTenantUntilItHasATargetOfItsOwn) {
  tell("account", "somebody", "locked");
  EXPECT_TRUE(take().empty()) << "its target does not want it, and it has one";
  model_.mutable_tenants(0)->clear_notifications();
  tell("account", "somebody", "new_source");
  tell("commit", "revision 9");
  const auto work = take();
  ASSERT_EQ(work.size(), 1U) << "and not of each commit";
  EXPECT_EQ(work[0].mail().recipients(0), "owner@acme.example");
}

TEST_F(NotifierTest, AWaitingDeviceIsForWhoManagesUsersAndAFloodIsNot) {
  model_.mutable_tenants(0)->clear_notifications();
  tell("device_request", "nb-7", "wanted");
  auto work = take();
  ASSERT_EQ(work.size(), 1U);
  EXPECT_EQ(work[0].mail().recipients_size(), 2);
  EXPECT_EQ(work[0].mail().recipients(1), "users@acme.example");
  tell("dos", "DOS_SYN_FLOOD", "begin");
  work = take(32, {result(work[0], true)});
  ASSERT_EQ(work.size(), 1U);
  EXPECT_EQ(work[0].mail().recipients_size(), 1);
  EXPECT_TRUE(take(32, {result(work[0], true)}).empty());
  tell("device_request", "nb-7", "wanted");
  tell("dos", "DOS_SYN_FLOOD", "begin");
  EXPECT_TRUE(take().empty()) << "once in ten minutes";
  now_ += Notifier::kQuietSeconds;
  EXPECT_EQ(take().size(), 2U) << "then how often";
}

TEST_F(NotifierTest, IsKeptThroughARestartUntilItIsDelivered) {
  tell("commit");
  (void)take();
  start();
  auto work = take();
  ASSERT_EQ(work.size(), 2U) << "nobody said what became of them";
  EXPECT_TRUE(take(32, {result(work[0], true), result(work[1], true)}).empty());
  EXPECT_EQ(audited_, (std::vector<std::string>{"commit ok said so", "commit ok said so"}));
  start();
  EXPECT_TRUE(take().empty());
}

TEST_F(NotifierTest, IsTriedAgainLaterAndLaterAndGivenUpAfterADay) {
  model_.mutable_tenants(0)->mutable_notifications(0)->clear_webhook();
  tell("commit");
  auto work = take();
  ASSERT_EQ(work.size(), 1U);
  EXPECT_TRUE(take(32, {result(work[0], false)}).empty());
  now_ += 9;
  EXPECT_TRUE(take().empty());
  now_ += 1;
  ASSERT_EQ(take().size(), 1U);
  EXPECT_TRUE(take(32, {result(work[0], false)}).empty());
  now_ += 19;
  EXPECT_TRUE(take().empty());
  now_ += 1;
  ASSERT_EQ(take().size(), 1U);
  EXPECT_EQ(notifier_->list(kTenant).deliveries(0).tries(), 2U);
  EXPECT_TRUE(audited_.empty());
  now_ += Notifier::kGiveUpSeconds;
  (void)take();
  (void)take(32, {result(work[0], false)});
  ASSERT_EQ(audited_.size(), 1U);
  EXPECT_EQ(audited_[0], "commit fail said so; given up");
}

TEST_F(NotifierTest, WhatASenderSaysIsCutBetweenCharacters) {
  tell("commit");
  auto work = take();
  auto said = result(work[0], false);
  said.set_detail(std::string(199, 'x') + "\u3042\u3042");
  auto done = result(work[1], true);
  done.set_detail(std::string(60'000, 'y'));
  (void)take(32, {said, done});
  EXPECT_EQ(notifier_->list(kTenant).deliveries(0).last_error(), std::string(199, 'x') + "\u3042");
  ASSERT_EQ(audited_.size(), 1U);
  EXPECT_LT(audited_[0].size(), 300U);
  start();  // and what was kept can be read
  EXPECT_EQ(notifier_->list(kTenant).deliveries_size(), 1);
}

TEST_F(NotifierTest, APermanentRefusalIsNotTriedAgainAndAResultNobodyAskedForIsNotBelieved) {
  tell("commit");
  auto work = take();
  (void)take(32, {result(work[0], false, true)});
  EXPECT_EQ(audited_.size(), 1U);
  now_ += 3600;
  ASSERT_EQ(take(32).size(), 1U) << "the call, whose sender went away";
  start();
  (void)take(0, {result(work[1], true)});
  EXPECT_EQ(audited_.size(), 1U) << "it was not handed out by this one";
  EXPECT_EQ(notifier_->list(kTenant).deliveries_size(), 1);
}

TEST_F(NotifierTest, TheSameWithinTenMinutesIsOneMessageAndThenTheirCount) {
  model_.mutable_tenants(0)->mutable_notifications(0)->clear_mail();
  tell("commit");
  EXPECT_EQ(take().size(), 1U);
  for (int i = 0; i < 5; ++i) tell("commit");
  tell("commit", "revision 8");
  EXPECT_EQ(take().size(), 1U) << "about another object at once";
  now_ += Notifier::kQuietSeconds;
  const auto digest = take();
  ASSERT_EQ(digest.size(), 3U) << "the two whose sender said nothing for so long, and the digest";
  EXPECT_NE(digest[2].webhook().body().find("\"count\":5"), std::string::npos) << digest[2].webhook().body();
  now_ += Notifier::kQuietSeconds;
  EXPECT_EQ(take().size(), 3U) << "no digest of nothing";
}

TEST_F(NotifierTest, ATenantsQueueIsBoundedAndSoAreItsMailsOfAnHour) {
  model_.mutable_tenants(0)->mutable_notifications(0)->clear_webhook();
  model_.mutable_notify()->set_mails_per_hour_max(3);
  for (std::size_t i = 0; i < Notifier::kWaitingOfTenantMax + 1; ++i) tell("commit", "revision " + std::to_string(i));
  EXPECT_EQ(audited_, std::vector<std::string>{"commit fail too many messages wait"});
  int sent = 0;
  for (int turn = 0; turn < 10; ++turn) {
    std::vector<ipc::DeliveryResult> results;
    for (const auto& one : take()) results.push_back(result(one, true)), ++sent;
    (void)take(0, results);
  }
  EXPECT_EQ(sent, 3);
  now_ += 3600;
  EXPECT_EQ(take().size(), 3U);
}

TEST_F(NotifierTest, NothingIsSentThatTheProviderLeavesNoWayFor) {
  model_.mutable_notify()->clear_webhook_networks();
  tell("commit");
  ASSERT_EQ(take().size(), 1U) << "the mail alone";
  model_.mutable_notify()->clear_relay();
  tell("commit", "revision 9");
  EXPECT_TRUE(take().empty());
  EXPECT_FALSE(notifier_->test(kTenant, "ops"));
  EXPECT_FALSE(notifier_->test("glx00000001", "ops"));
  model_.mutable_notify()->add_webhook_networks("192.0.2.0/24");
  EXPECT_TRUE(notifier_->test(kTenant, "ops"));
  EXPECT_FALSE(notifier_->test(kTenant, "other"));
}

TEST(WebhookSignature, IsHmacOverTimeAndBody) {  // python3 -c 'import hmac; print(hmac.new(b"key-of-16-bytes!", b"1800000000.{}", "sha256").hexdigest())'
  const std::string signature = webhook_signature("{}", "key-of-16-bytes!", 1'800'000'000);
  EXPECT_EQ(signature, "t=1800000000,v1=aa08924112034bb8872c1ae09b6f3ffa2f52ff231533ad841af9f38d572bbdb0");
  EXPECT_NE(webhook_signature("{}", "key-of-16-bytes!", 1'800'000'001), signature);
}

TEST(MailText, HasNoLineThatANameOrAMemoMade) {
  access::StoredDelivery one;
  one.set_id("0001.x");
  one.set_event("commit");
  one.set_tenant(kTenant);
  one.set_memo("a\r\nBcc: everybody@example");
  one.set_at(1'800'000'000);
  const std::string text = mail_text(one, {"u0", "x\r\nSubject: y", "noreply@unit.example"});
  EXPECT_EQ(text.find("Bcc"), std::string::npos);
  EXPECT_EQ(text.find("Subject: y"), std::string::npos);
  EXPECT_NE(text.find("Date: Fri, 15 Jan 2027 17:00:00 +0900\r\n"), std::string::npos) << text;
  for (std::size_t at = 0, end = 0; (end = text.find("\r\n", at)) != std::string::npos; at = end + 2) EXPECT_LE(end - at, 78U);
}

/// Paths of the errors of a document with this in its tenant, and this in its `notify`.
std::string refused(const std::string& targets, const std::string& notify = "") {
  const Decoded decoded = decode_document("tenants: [{service_code: acm00000001, name: a, notifications: [" + targets + "]}]\nnotify: {" + notify + "}\n");
  std::string out;
  for (const Finding& one : validate(decoded)) {
    if (one.severity == Severity::kError) out += one.path + ' ';
  }
  return out;
}

TEST(ValidateNotify, TakesWhatCanBeSentAndRefusesTheRest) {
  EXPECT_EQ(refused("{name: a, mail: [a.b+c@x-y.example]}, {name: b, webhook: 'https://[2001:db8::1]:8443/x?y', signing_key: 0123456789abcdef, events: [commit, incident]}"), "");
  const std::string here = "tenants[0].notifications[0]";
  EXPECT_EQ(refused("{name: a}"), here + ' ');
  for (const char* bad : {"'a@'", "'@b'", "'a b@c'", "'a@b>'", "\"a@b\\r\\nc\"", "'a@b@c'", "'<a@b>'", "'a@.b'"})
    EXPECT_EQ(refused("{name: a, mail: [" + std::string(bad) + "]}"), here + ".mail[0] ") << bad;
  for (const char* bad : {"http://x", "https://", "https://u@x/", "https://x:0/", "https://x:99999/", "https://x/a b", "ftp://x", "https://[::1", "https://[192.0.2.1]/"})
    EXPECT_EQ(refused("{name: a, webhook: '" + std::string(bad) + "', signing_key: 0123456789abcdef}"), here + ".webhook ") << bad;
  EXPECT_EQ(refused("{name: a, webhook: 'https://x/', signing_key: 0123456789abcde}"), here + ".signing_key ");
  EXPECT_EQ(refused("{name: a, mail: [a@b], events: [commit, commits]}"), here + ".events[1] ");
  EXPECT_EQ(refused("{name: a, mail: [a@b], ca: no PEM}"), here + ".ca ");
  EXPECT_EQ(refused("{name: a, mail: [a@b]}, {name: a, mail: [a@b]}"), "tenants[0].notifications[1].name ");
  EXPECT_EQ(refused("", "relay: {host: mail.example, sender: a@b}, webhook_networks: [192.0.2.0/24]"), "");
  EXPECT_EQ(refused("", "relay: {host: 'mail example', sender: a, port: 0, user: u}"), "notify.relay.host notify.relay.sender notify.relay.port notify.relay.user ");
  EXPECT_EQ(refused("", "webhook_networks: [192.0.2.1/24, x]"), "notify.webhook_networks[0] notify.webhook_networks[1] ");
}

TEST(CounterWatch, TellsOfWhatChangesAndOfNothingElse) {
  CounterWatch watch;
  std::vector<CounterWatch::Seen> seen{{.tenant = kTenant, .sessions = 10, .sessions_max = 100, .log_lost = 5, .quarantined = {}}};
  const auto said = [&](bool counting, std::int64_t at) {
    std::string out;
    for (const auto& one : watch.look(counting, seen, at)) out += one.tenant + ':' + one.event + ':' + one.object + ':' + one.state + ' ';
    return out;
  };
  EXPECT_EQ(said(false, 100), "") << "it has not been there yet";
  EXPECT_EQ(said(true, 101), "") << "losses of before are not news";
  seen[0].sessions = 79;
  EXPECT_EQ(said(true, 106), "");
  seen[0].sessions = 80;
  EXPECT_EQ(said(true, 111), "acm00000001:quota:sessions:80% ");
  EXPECT_EQ(said(true, 116), "");
  seen[0].sessions = 100;
  EXPECT_EQ(said(true, 121), "acm00000001:quota:sessions:100% ");
  seen[0].quarantined = {"web1"};
  seen[0].log_lost = 6;
  EXPECT_EQ(said(true, 126), "acm00000001:log_loss:records:lost acm00000001:quarantine:web1:begin ");
  seen[0].quarantined.clear();
  EXPECT_EQ(said(true, 131), "acm00000001:quarantine:web1:end ");
  EXPECT_EQ(said(false, 131 + CounterWatch::kAwaySeconds - 1), "");
  EXPECT_EQ(said(false, 131 + CounterWatch::kAwaySeconds), ":unit:data plane:running acm00000001:incident:data plane:running ");
  EXPECT_EQ(said(false, 200), "");
  EXPECT_EQ(said(true, 205), ":unit:data plane:done acm00000001:incident:data plane:done ");
}

}  // namespace
}  // namespace sekisho::control
