// SPDX-License-Identifier: Apache-2.0
// Goal: a collector gets each record once it is safe, again until it is known to have come, and nobody else's.
// Method: exportd is played by the test; the vault and its files are real, time is the test's.
#include "mgmt/log/log_exports.h"

#include "tests/unit/mgmt/support.h"

namespace sekisho::mgmt {
namespace {

using namespace test;

constexpr const char* kAcme1 = "acm00000001";
constexpr const char* kGlobex2 = "glb00000002";

class LogExportsTest : public testing::Test {
 protected:
  LogExportsTest() { open(); }

  /// As after a start of logd.
  void open() {
    exports_.reset();
    journal_.reset();
    vault_.reset();
    vault_ = std::make_unique<Vault>(dir_.path());
    journal_ = std::make_unique<Journal>(*vault_, fixed_random());
    exports_ = std::make_unique<LogExports>(*vault_, *journal_, [this] { return now_; }, [this](const std::string& note) { notes_ += note; });
    ASSERT_TRUE(exports_->open());
  }
  void set(std::vector<std::pair<std::string, std::string>> targets) {
    ipc::SetLogExports request;
    for (const auto& [owner, name] : targets) {
      auto& one = *request.add_targets();
      one.set_owner(owner), one.set_name(name);
    }
    ASSERT_TRUE(exports_->set(request).ok());
  }
  /// One target and what it gets.
  ipc::LogExportsSet share(const std::string& owner, std::vector<std::string> types, std::vector<std::string> codes = {}) {
    ipc::SetLogExports request;
    auto& one = *request.add_targets();
    one.set_owner(owner), one.set_name("siem");
    one.mutable_types()->Assign(types.begin(), types.end());
    one.mutable_service_codes()->Assign(codes.begin(), codes.end());
    return exports_->set(request);
  }
  void add(unsigned records, const std::string& svc = kAcme1) {
    for (unsigned i = 0; i < records; ++i) {
      now_.ns += 1'000'000;
      journal_->write({comm_entry(svc, now_.ns)}, now_);
    }
  }
  ipc::LogExportBatch read(const std::function<void(ipc::ReadLogExport&)>& more = {}) {
    exports_->take_safe();
    return read_only(more);
  }
  ipc::LogExportBatch read_only(const std::function<void(ipc::ReadLogExport&)>& more = {}) {
    ipc::ReadLogExport request;
    request.set_owner(kAcme1), request.set_name("siem"), request.set_records_max(1000);
    request.mutable_status()->set_up(true);
    if (more) more(request);
    return exports_->read(request);
  }
  static std::vector<std::uint64_t> numbers(const ipc::LogExportBatch& batch, const std::string& type = "comm") {
    std::vector<std::uint64_t> out;
    for (const auto& group : batch.records()) {
      if (group.type() != type) continue;
      for (const auto& row : group.rows()) out.push_back(read_row(*enum_from<LogKind>(type), row)->seq);
    }
    return out;
  }
  ipc::LogTargetStatus status(const std::string& owner = kAcme1) {
    ipc::LogStatus out;
    exports_->tell(owner, out);
    return out.targets_size() == 0 ? ipc::LogTargetStatus() : out.targets(0);
  }
  /// Once: streams are known from the first question on.
  void begin() {
    set({{kAcme1, "siem"}});
    (void)read();
  }

  TempDir dir_;
  Timestamp now_{kNoon};
  std::string notes_;
  std::unique_ptr<Vault> vault_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<LogExports> exports_;
};

TEST_F(LogExportsTest, BeginWithWhatComesAfterTheyWereMade) {
  add(3);
  begin();
  add(2);
  EXPECT_EQ(numbers(read()), (std::vector<std::uint64_t>{4, 5}));
  EXPECT_TRUE(numbers(read()).empty());
}

TEST_F(LogExportsTest, GiveNothingThatAPowerCutMayTake) {
  begin();
  add(2);
  EXPECT_TRUE(numbers(read_only()).empty());
  exports_->take_safe();
  add(1);
  EXPECT_EQ(numbers(read_only()), (std::vector<std::uint64_t>{1, 2}));
}

TEST_F(LogExportsTest, GiveAgainWhatIsNotKnownToHaveCome) {
  begin();
  add(2);
  const auto first = read();
  add(2);
  const auto second = read([&](auto& request) { request.set_acknowledged(first.number()); });
  EXPECT_EQ(numbers(second), (std::vector<std::uint64_t>{3, 4}));
  EXPECT_EQ(numbers(read([](auto& request) { request.set_restart(true); })), (std::vector<std::uint64_t>{3, 4}));
}

TEST_F(LogExportsTest, RememberOverARestartWhatHasCome) {
  begin();
  add(5);
  const auto first = read([](auto& request) { request.set_records_max(2); });
  EXPECT_TRUE(first.more());
  const auto second = read([&](auto& request) { request.set_acknowledged(first.number()), request.set_records_max(1); });
  EXPECT_EQ(numbers(second), (std::vector<std::uint64_t>{3}));
  exports_->save();
  open();
  const auto unknown = read([&](auto& request) { request.set_acknowledged(second.number()); });
  EXPECT_FALSE(unknown.ok());
  EXPECT_TRUE(unknown.restart());
  (void)read([](auto& request) { request.set_restart(true); });
  EXPECT_EQ(numbers(read([](auto& request) { request.set_restart(true); })), (std::vector<std::uint64_t>{3, 4, 5}));
}

TEST_F(LogExportsTest, GiveATenantItsOwnRecordsAlone) {
  begin();
  add(1);
  add(1, kGlobex2);
  const auto batch = read();
  ASSERT_EQ(batch.records_size(), 1);
  EXPECT_EQ(batch.records(0).service_code(), kAcme1);
}

TEST_F(LogExportsTest, GiveNothingToATargetThatControldDidNotName) {
  begin();
  add(1);
  for (const auto& [owner, name] : std::vector<std::pair<std::string, std::string>>{{kAcme1, "mine"}, {"", "siem"}, {kGlobex2, "siem"}}) {
    const auto batch = read([&, owner = owner, name = name](auto& request) { request.set_owner(owner), request.set_name(name); });
    EXPECT_FALSE(batch.ok());
    EXPECT_TRUE(batch.restart());
    EXPECT_EQ(batch.records_size(), 0);
  }
  EXPECT_EQ(numbers(read()), (std::vector<std::uint64_t>{1}));
}

TEST_F(LogExportsTest, GiveTheProviderEverybodysOrThoseItNames) {
  const auto ask = [this] {
    add(1);
    add(2, kGlobex2);
    (void)read([](auto& request) { request.set_owner(""); });
    return read([](auto& request) { request.set_owner(""), request.set_restart(true); });
  };
  ASSERT_TRUE(share("", {}).ok());
  EXPECT_EQ(ask().records_size(), 2);
  set({});
  ASSERT_TRUE(share("", {}, {kGlobex2}).ok());
  const auto few = ask();
  ASSERT_EQ(few.records_size(), 1);
  EXPECT_EQ(few.records(0).service_code(), kGlobex2);
  EXPECT_EQ(few.records(0).rows_size(), 2);
}

TEST_F(LogExportsTest, GiveTheTypesThatControldSaid) {
  ASSERT_TRUE(share(kAcme1, {"sec"}).ok());
  (void)read();
  const auto write_both = [this] {
    add(1);
    LogEntry sec = make_entry(LogKind::kSec);
    sec.svc = kAcme1, sec.node = "u0", sec.ts = now_;
    journal_->write({sec}, now_);
  };
  write_both();
  auto batch = read();
  ASSERT_EQ(batch.records_size(), 1);
  EXPECT_EQ(batch.records(0).type(), "sec");
  exports_->save();
  open();  // nobody has said anything to this one: what the last was told still holds
  write_both();
  (void)read();
  batch = read([](auto& request) { request.set_restart(true); });
  ASSERT_EQ(batch.records_size(), 1);
  EXPECT_EQ(batch.records(0).type(), "sec");
  EXPECT_EQ(exports_->generation(), 0U);
}

TEST_F(LogExportsTest, TakeNoShareThatIsNone) {
  EXPECT_FALSE(share(kAcme1, {"mail"}).ok());
  EXPECT_FALSE(share(kAcme1, {}, {kGlobex2}).ok()) << "a tenant has no say about another";
  EXPECT_FALSE(share("", {}, {"../../etc"}).ok());
  EXPECT_TRUE(share("", {"comm"}, {kGlobex2}).ok());
}

TEST_F(LogExportsTest, EndAListThatAnotherGenerationInterrupts) {
  ipc::SetLogExports part;
  part.set_generation(7), part.set_more(true);
  part.add_targets()->set_name("old");
  ASSERT_TRUE(exports_->set(part).ok());
  EXPECT_EQ(exports_->generation(), 0U) << "not whole";
  part.Clear();
  part.set_generation(8);
  part.add_targets()->set_name("new");
  ASSERT_TRUE(exports_->set(part).ok());
  EXPECT_EQ(exports_->generation(), 8U);
  EXPECT_EQ(status("").name(), "new");
}

TEST_F(LogExportsTest, SayInTheLogWhatACollectorWillNeverGet) {
  begin();
  add(3);
  now_.ns += LogExports::kBacklogNs + 1;
  add(2);
  const auto batch = read();
  EXPECT_EQ(numbers(batch), (std::vector<std::uint64_t>{4, 5}));
  EXPECT_EQ(status().lost(), 3U);
  const auto losses = all_of(*vault_, kAcmeLoss);
  ASSERT_EQ(losses.size(), 1U);
  const auto& loss = std::get<LossFields>(losses[0].body);
  EXPECT_EQ(loss.export_name, "siem");
  EXPECT_EQ(loss.why, LossCause::kQueueFull);
  EXPECT_EQ(std::pair(loss.seq_from, loss.seq_to), std::pair(std::uint64_t{1}, std::uint64_t{3}));
  // The log itself lost nothing: its numbers go on.
  open();
  add(1);
  EXPECT_EQ(numbers_of(all_of(*vault_, kAcmeComm)), (std::vector<std::uint64_t>{1, 2, 3, 4, 5, 6}));
}

TEST_F(LogExportsTest, KeepWhatIsADayOldAndNotMore) {
  begin();
  add(1);
  now_.ns += LogExports::kBacklogNs - 1'000'000'000;
  EXPECT_EQ(numbers(read()), (std::vector<std::uint64_t>{1}));
  EXPECT_TRUE(all_of(*vault_, kAcmeLoss).empty());
}

TEST_F(LogExportsTest, GiveUpForACollectorThatIsDownAllDay) {
  begin();
  (void)read([](auto& request) { request.mutable_status()->set_up(false), request.set_records_max(0); });
  add(2);
  exports_->take_safe();
  now_.ns += LogExports::kBacklogNs + 2 * 3'600'000'000'000;
  exports_->give_up_old();
  EXPECT_EQ(status().lost(), 2U);
  now_.ns += 1'200'000'000'000;
  exports_->give_up_old();
  EXPECT_EQ(all_of(*vault_, kAcmeLoss).size(), 1U);
}

TEST_F(LogExportsTest, ForgetTargetsThatAreGone) {
  begin();
  add(1);
  set({});
  EXPECT_TRUE(read().restart());
  set({{kAcme1, "siem"}});
  (void)read();
  add(1);
  EXPECT_EQ(numbers(read()), (std::vector<std::uint64_t>{2}));
}

TEST_F(LogExportsTest, TakeALongListInPieces) {
  ipc::SetLogExports part;
  part.add_targets()->set_name("one");
  part.set_more(true);
  ASSERT_TRUE(exports_->set(part).ok());
  EXPECT_TRUE(status("").name().empty());
  set({{"", "two"}});
  ipc::LogStatus all;
  exports_->tell("", all);
  EXPECT_EQ(all.targets_size(), 2);
}

TEST_F(LogExportsTest, TellHowFarBehindEachIs) {
  begin();
  add(4);
  const auto batch = read([](auto& request) { request.set_records_max(3); });
  EXPECT_EQ(status().waiting(), 4U);
  (void)read([&](auto& request) { request.set_acknowledged(batch.number()), request.set_records_max(0); });
  EXPECT_EQ(status().waiting(), 1U);
  EXPECT_TRUE(status().up());
  now_.ns += 3 * 60 * kSecond;
  EXPECT_FALSE(status().up());
}

TEST_F(LogExportsTest, GiveTheLastDayAgainWhenTheirFileIsDamaged) {
  begin();
  add(2);
  const auto batch = read();
  (void)read([&](auto& request) { request.set_acknowledged(batch.number()); });
  exports_->save();
  for (const auto& entry : std::filesystem::directory_iterator(dir_.path() + "/exports")) std::filesystem::resize_file(entry, 40);
  open();
  begin();
  EXPECT_EQ(numbers(read()), (std::vector<std::uint64_t>{1, 2}));
  EXPECT_NE(notes_.find("cannot be read"), std::string::npos);
}

TEST_F(LogExportsTest, FindTheirPlaceInSealedBlocks) {
  begin();
  add(10);
  const auto first = read([](auto& request) { request.set_records_max(4); });
  (void)read([&](auto& request) { request.set_acknowledged(first.number()), request.set_records_max(0); });
  vault_->seal_hours(now_, true);
  add(2);
  vault_->seal_hours(now_, true);
  add(1);
  EXPECT_EQ(numbers(read([](auto& request) { request.set_restart(true); })), (std::vector<std::uint64_t>{5, 6, 7, 8, 9, 10, 11, 12, 13}));
}

}  // namespace
}  // namespace sekisho::mgmt
