// SPDX-License-Identifier: Apache-2.0
// Goal: a commit ends in the old revision or the new one, whatever happens on the way, and goes back by itself when nobody
// confirms it. Method: a data plane that lives in shared memory and outlives controld; controld is a forked child that ends at
// every step in turn; time is a variable.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "filters/policy/snapshot_view.h"
#include "tests/support/power_cut.h"
#include "tests/unit/control/documents.h"
#include "control/config/commit.h"

namespace sekisho::control::test {
namespace {

using testing::HasSubstr;
using Outcome = SnapshotSink::Outcome;

constexpr std::uint64_t kSecond = 1'000'000'000;

/// A directory that is gone when the test is.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = testing::TempDir() + "sekisho-control-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// The data plane's memory: outlives the process that commits.
struct InForce {
  std::uint32_t generation = 0;
  std::uint32_t tenants = 0;
  std::int64_t moment = 0;
  std::uint32_t standing = 0;  ///< rules that stand, without defaults
};

enum class Behaviour { kApply, kReject, kLoseBefore, kLoseAfter, kDieAfter };

class FakeSink final : public SnapshotSink {
 public:
  explicit FakeSink(InForce& in_force) : in_force_(in_force) {}
  [[nodiscard]] bool connected() const override { return is_connected; }
  void apply(std::uint32_t generation, std::span<const std::uint8_t> snapshot, Done done) override {
    ASSERT_FALSE(waiting_);
    waiting_ = std::move(done);
    const std::vector<std::uint8_t> copy(snapshot.begin(), snapshot.end());
    const auto view = filters::SnapshotView::parse(copy);
    ASSERT_TRUE(view.has_value());
    ASSERT_EQ(view->generation(), generation);
    const bool other_moment = generation == in_force_.generation && view->moment() != in_force_.moment;
    EXPECT_TRUE(other_moment || generation > in_force_.generation) << "generations only rise";
    ++applies;
    if (behaviour == Behaviour::kReject || behaviour == Behaviour::kLoseBefore) return;
    const auto stands = [](const auto& rule) { return rule.is_default == 0 && rule.standing == filters::snapshot::Standing::kStands; };
    in_force_ = {generation, static_cast<std::uint32_t>(view->tenants().size()), view->moment(),
                 static_cast<std::uint32_t>(std::count_if(view->rules().begin(), view->rules().end(), stands))};
    if (behaviour == Behaviour::kDieAfter) ::_exit(0);
  }
  /// Delivers the answers due; an answer may lead to another question.
  void settle() {
    while (waiting_) {
      const Done done = std::exchange(waiting_, nullptr);
      Outcome outcome;
      outcome.kind = behaviour == Behaviour::kApply ? Outcome::Kind::kApplied : behaviour == Behaviour::kReject ? Outcome::Kind::kRejected : Outcome::Kind::kLost;
      outcome.reason = "as told";
      done(outcome);
    }
  }
  bool is_connected = true;
  int applies = 0;
  Behaviour behaviour = Behaviour::kApply;

 private:
  InForce& in_force_;
  Done waiting_;
};

/// One life of controld on a state directory.
class Life {
 public:
  Life(const std::string& directory, InForce& in_force, std::uint64_t& now, std::function<void(Committer::Step)> at_step = {})
      : sink(in_force), store(Store::open(directory).value()), committer(store, ids, sink, {.snapshot_path = directory + "/snapshot.bin",
            .now_ns = [&now] { return now; }, .complain = [this](const std::string& line) { journal += line + '\n'; }, .at_step = std::move(at_step)}) {
    EXPECT_TRUE(store.load_ids(ids).has_value());
    committer.start();
  }
  CommitAnswer commit(std::string_view text, std::uint32_t confirm_seconds = 0, std::uint32_t base = 0, bool was_in_force = false) {
    CommitAnswer out;
    out.error = "no answer";
    committer.commit({.text = std::string(text), .comment = "c", .author = "a", .confirm_seconds = confirm_seconds, .base_revision = base,
                      .was_in_force = was_in_force},
                     [&](CommitAnswer answer) { out = std::move(answer); });
    sink.settle();
    return out;
  }
  CommitAnswer rollback(std::uint32_t revision) {
    CommitAnswer out;
    out.error = "no answer";
    committer.rollback(revision, {.text = {}, .comment = "back", .author = "a"}, [&](CommitAnswer answer) { out = std::move(answer); });
    sink.settle();
    return out;
  }
  void connect(std::uint32_t generation, std::int64_t moment = 0) {
    committer.connected(generation, moment);
    sink.settle();
  }
  void tick() {
    committer.tick();
    sink.settle();
  }
  [[nodiscard]] std::uint32_t running() {
    const auto info = store.running().value();
    return info ? info->number : 0;
  }
  [[nodiscard]] RevisionState state(std::uint32_t number) { return store.find(number).value()->state; }

  std::string journal;
  Ids ids;
  FakeSink sink;
  Store store;
  Committer committer;
};

constexpr std::string_view kNone = "{}";
constexpr std::string_view kOne = "tenants: [ { service_code: acm00000001, name: acme } ]";
constexpr std::string_view kTwo = "tenants: [ { service_code: acm00000001, name: acme }, { service_code: glo00000001, name: globex } ]";

class Commit : public testing::Test {
 protected:
  Commit() {
    void* map = mmap(nullptr, sizeof(InForce), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    in_force_ = new (map) InForce{};
  }
  ~Commit() override { munmap(in_force_, sizeof(InForce)); }

  [[nodiscard]] std::uint32_t file_generation() const {
    std::ifstream file(directory_.path() + "/snapshot.bin", std::ios::binary);
    filters::snapshot::Header header{};
    file.read(reinterpret_cast<char*>(&header), sizeof(header));
    return file ? header.generation : 0;
  }
  Life& live() {
    life_.reset();  // one process at a time holds the store
    life_ = std::make_unique<Life>(directory_.path(), *in_force_, now_);
    return *life_;
  }

  TemporaryDirectory directory_;
  InForce* in_force_;
  std::uint64_t now_ = 1'000 * kSecond;
  std::unique_ptr<Life> life_;
};

TEST_F(Commit, PutsARevisionInForceAndLeavesItForTheNextStart) {
  Life& life = live();

  const CommitAnswer answer = life.commit(kOne);

  EXPECT_TRUE(answer.ok) << answer.error;
  EXPECT_EQ(answer.revision, 1U);
  EXPECT_EQ(in_force_->generation, 1U);
  EXPECT_EQ(life.running(), 1U);
  EXPECT_EQ(file_generation(), 1U);
  EXPECT_EQ(life.commit(kTwo).revision, 2U);
  EXPECT_EQ(life.state(1), RevisionState::kSuperseded);
  EXPECT_EQ(file_generation(), 2U);
}

// ---- Power ----------------------------------------------------------------------------------------------------------

std::string numbered(std::uint32_t number) {
  return "tenants: [ { service_code: acm00000001, name: acme" + std::to_string(number) + " } ]";
}

/// One life of controld with two commits, each acknowledged to whoever made it.
void commit_two(const std::string& directory, std::uint32_t first, const tests::Say& acknowledge) {
  std::uint64_t now = 1'000 * kSecond;
  InForce in_force{.generation = first - 1};
  Life life(directory, in_force, now);
  for (const std::uint32_t number : {first, first + 1}) {
    const CommitAnswer answer = life.commit(numbered(number));
    ASSERT_TRUE(answer.ok && answer.revision == number) << answer.error;
    acknowledge(number);
  }
}

/// The generation a whole snapshot.bin has; nothing when there is none.
std::optional<std::uint32_t> generation_in(const std::string& directory) {
  std::ifstream file(directory + "/snapshot.bin", std::ios::binary);
  if (!file) return std::nullopt;
  const std::vector<char> raw((std::istreambuf_iterator<char>(file)), {});
  const std::vector<std::uint8_t> bytes(raw.begin(), raw.end());
  const auto view = filters::SnapshotView::parse(bytes);
  EXPECT_TRUE(view.has_value()) << "a torn snapshot.bin of " << bytes.size() << " bytes";
  return view ? std::optional(view->generation()) : std::nullopt;
}

/// What was acknowledged is there, and controld goes on from it. Returns the revision that is in force.
void expect_nothing_lost(const std::string& directory, std::uint32_t acknowledged, std::uint32_t& running) {
  const std::uint32_t before = generation_in(directory).value_or(0);
  ASSERT_TRUE(before == acknowledged || before == acknowledged + 1) << "dataplaned would start with " << before;
  ASSERT_TRUE(Store::open(directory).has_value());
  std::uint64_t now = 2'000 * kSecond;
  InForce in_force{.generation = before};
  Life life(directory, in_force, now);
  running = life.running();
  ASSERT_TRUE(running == acknowledged || running == acknowledged + 1) << running;
  if (running != 0) {
    ASSERT_EQ(life.store.text(running).value(), numbered(running));
    ASSERT_EQ(generation_in(directory), running);
  }
  life.connect(before);
  ASSERT_FALSE(life.store.pending().value()) << life.journal;
  const CommitAnswer next = life.commit(kTwo);
  ASSERT_TRUE(next.ok) << next.error << life.journal;
  ASSERT_GT(next.revision, acknowledged);
  ASSERT_EQ(life.store.text(life.running()).value(), kTwo);
}

TEST(CommitPower, NoAcknowledgedCommitIsLostWhereverThePowerFails) {
  const TemporaryDirectory unit, found;
  const auto calls = tests::trace_disk(unit.path(), [&unit](const tests::Say& acknowledge) {
    commit_two(unit.path(), 1, acknowledge);
    commit_two(unit.path(), 3, acknowledge);
  });
  ASSERT_GT(calls.size(), 80U);
  std::uint32_t acknowledged = 0;
  std::set<std::uint32_t> beyond;  ///< revisions that were there before anybody heard of them
  for (std::size_t done = 0; done <= calls.size(); ++done) {
    if (done > 0 && calls[done - 1].kind == tests::DiskCall::Kind::kSaid) acknowledged = static_cast<std::uint32_t>(calls[done - 1].offset);
    for (const std::uint64_t chance : {2 * done, 2 * done + 1}) {
      tests::make_after_power_cut(std::span(calls).first(done), chance, found.path());
      std::uint32_t running = 0;
      ASSERT_NO_FATAL_FAILURE(expect_nothing_lost(found.path(), acknowledged, running)) << "after " << done << " calls, by chance " << chance;
      if (running > acknowledged) beyond.insert(running);
    }
  }
  EXPECT_EQ(acknowledged, 4U);
  EXPECT_EQ(beyond.size(), 4U) << "no cut came between a commit and its answer";
}

// ---- Time -----------------------------------------------------------------------------------------------------------

class CommitTime : public Commit {
 protected:
  void set_clock(std::string_view civil, std::int64_t plus = 0) { now_ = static_cast<std::uint64_t>(*parse_civil(civil) + plus) * kSecond; }
  [[nodiscard]] std::int64_t file_moment() const {
    std::ifstream file(directory_.path() + "/snapshot.bin", std::ios::binary);
    const std::vector<char> raw((std::istreambuf_iterator<char>(file)), {});
    const std::vector<std::uint8_t> bytes(raw.begin(), raw.end());
    const auto view = filters::SnapshotView::parse(bytes);
    return view ? view->moment() : -1;
  }
};

TEST_F(CommitTime, BoundarySendsTheSameRevisionAnewAndNothingBetween) {
  set_clock("2026-11-27 12:00");  // a Friday
  Life& life = live();
  ASSERT_TRUE(life.commit(kTimed).ok);
  EXPECT_EQ(in_force_->standing, 3U);
  set_clock("2026-11-27 17:30", -1);
  life.tick();
  EXPECT_EQ(life.sink.applies, 1);
  set_clock("2026-11-27 17:30");
  life.tick();
  EXPECT_EQ(life.sink.applies, 2);
  EXPECT_EQ(in_force_->generation, 1U);
  EXPECT_EQ(in_force_->standing, 2U);
  EXPECT_EQ(life.running(), 1U);
  EXPECT_EQ(file_moment(), *parse_civil("2026-11-27 17:30"));
  set_clock("2026-11-29 23:00");  // the whole weekend
  life.tick();
  EXPECT_EQ(life.sink.applies, 2);
  set_clock("2026-11-30 09:00");
  life.tick();
  EXPECT_EQ(in_force_->standing, 3U);
  EXPECT_EQ(life.commit(kTwo).revision, 2U);
  EXPECT_EQ(file_moment(), 0);
}

TEST_F(CommitTime, YearEndsAndSoDoesARule) {
  set_clock("2026-12-31 23:59");
  Life& life = live();
  const CommitAnswer answer = life.commit(kTimed);
  ASSERT_TRUE(answer.ok);
  ASSERT_FALSE(answer.findings.empty());
  EXPECT_THAT(answer.findings[0].sentence, HasSubstr("expires in less than 1 days"));
  EXPECT_EQ(in_force_->standing, 2U);
  set_clock("2027-01-01 00:00");
  life.tick();
  EXPECT_EQ(in_force_->standing, 1U);
}

TEST_F(CommitTime, RestartAcrossABoundaryCatchesUpWhenTheDataPlaneIsThere) {
  set_clock("2026-11-27 12:00");
  ASSERT_TRUE(live().commit(kTimed).ok);
  set_clock("2026-11-27 20:00");
  Life& life = live();
  life.tick();  // nobody has said yet what is in force
  EXPECT_EQ(in_force_->standing, 3U);
  life.connect(in_force_->generation, in_force_->moment);
  EXPECT_EQ(in_force_->standing, 2U);
  EXPECT_EQ(life.sink.applies, 1);
  life.tick();
  EXPECT_EQ(life.sink.applies, 1);
}

TEST_F(CommitTime, ClockSetBackBringsBackWhatStoodThen) {
  set_clock("2026-11-27 18:00");
  Life& life = live();
  ASSERT_TRUE(life.commit(kTimed).ok);
  EXPECT_EQ(in_force_->standing, 2U);
  set_clock("2026-11-27 16:00");
  life.tick();
  EXPECT_EQ(in_force_->standing, 3U);
}

TEST_F(CommitTime, UnconfirmedRevisionFollowsTheClockAndTheNextStartDoesNotSeeIt) {
  set_clock("2026-11-27 17:00");
  Life& life = live();
  ASSERT_TRUE(life.commit(kOne).ok);
  ASSERT_TRUE(life.commit(kTimed, 3600).ok);
  set_clock("2026-11-27 17:30");
  life.tick();
  EXPECT_EQ(in_force_->generation, 2U);
  EXPECT_EQ(in_force_->standing, 2U);
  EXPECT_EQ(file_generation(), 1U);
  set_clock("2026-11-27 18:01");
  life.tick();  // nobody confirmed
  EXPECT_EQ(life.running(), 3U);
  EXPECT_EQ(in_force_->standing, 0U);
}

TEST_F(CommitTime, RefusedBoundaryIsTriedAgainAfterAWhile) {
  set_clock("2026-11-27 12:00");
  Life& life = live();
  ASSERT_TRUE(life.commit(kTimed).ok);
  set_clock("2026-11-27 17:30");
  life.sink.behaviour = Behaviour::kReject;
  life.tick();
  life.tick();
  EXPECT_EQ(life.sink.applies, 2);
  EXPECT_EQ(in_force_->standing, 3U);
  EXPECT_THAT(life.journal, HasSubstr("to be tried again"));
  life.sink.behaviour = Behaviour::kApply;
  set_clock("2026-11-27 17:30", 6);
  life.tick();
  EXPECT_EQ(in_force_->standing, 2U);
}

TEST_F(Commit, LeavesEverythingAsItWasWhenTheDocumentIsWrong) {
  Life& life = live();
  ASSERT_TRUE(life.commit(kOne).ok);

  const CommitAnswer answer = life.commit("tenants: [ { service_code: x, name: y, zone: z } ]");

  EXPECT_FALSE(answer.ok);
  EXPECT_TRUE(has_errors(answer.findings));
  EXPECT_EQ(in_force_->generation, 1U);
  EXPECT_EQ(life.store.list(10).value().size(), 1U);
}

TEST_F(CommitTime, AnExceptionThatIsOverIsRefusedAnewAndHoldsUpNoOtherChangeNorAWayBack) {
  const auto legacy = [](const std::string& day) {
    return with(std::string(kRemote), "        profile: windows-default\n",
                "        profile: legacy\n        legacy: { owner: yard, valid_until: \"" + day + "\" }\n");
  };
  Life& life = live();
  set_clock("2026-12-31 23:59");
  EXPECT_FALSE(life.commit(legacy("2026-12-30")).ok);
  ASSERT_TRUE(life.commit(legacy("2026-12-31")).ok);
  set_clock("2027-01-01 00:00");
  const CommitAnswer other = life.commit(with(legacy("2026-12-31"), "name: ken", "name: kenji"));
  EXPECT_TRUE(other.ok) << other.error;
  EXPECT_THAT(to_line("f", other.findings.front()), HasSubstr("has ended"));
  ASSERT_TRUE(life.commit(kRemote).ok);
  const CommitAnswer anew = life.commit(legacy("2026-12-31"));
  EXPECT_FALSE(anew.ok);
  EXPECT_THAT(to_line("f", anew.findings.front()), HasSubstr("this day is over"));
  EXPECT_TRUE(life.commit(legacy("2026-12-31"), 0, 0, true).ok) << "a backup's";
  ASSERT_TRUE(life.commit(kRemote).ok);
  EXPECT_TRUE(life.rollback(1).ok) << "going back always does";
}

TEST_F(Commit, KeepsTheFormerRevisionWhenTheDataPlaneRejects) {
  Life& life = live();
  ASSERT_TRUE(life.commit(kOne).ok);
  life.sink.behaviour = Behaviour::kReject;

  const CommitAnswer answer = life.commit(kTwo);

  EXPECT_FALSE(answer.ok);
  EXPECT_THAT(answer.error, HasSubstr("rejected"));
  EXPECT_EQ(life.running(), 1U);
  EXPECT_EQ(life.state(2), RevisionState::kFailed);
  EXPECT_EQ(file_generation(), 1U);
  life.sink.behaviour = Behaviour::kApply;
  EXPECT_EQ(life.commit(kTwo).revision, 3U) << "a failed number is not used again";
}

TEST_F(Commit, ChangesNothingWithoutADataPlane) {
  Life& life = live();
  life.sink.is_connected = false;

  EXPECT_THAT(life.commit(kOne).error, HasSubstr("the data plane is not there"));
  EXPECT_EQ(life.store.list(10).value().size(), 0U);
}

TEST_F(Commit, DecidesALostAnswerByWhatIsInForce) {
  for (const Behaviour lost : {Behaviour::kLoseBefore, Behaviour::kLoseAfter}) {
    Life& life = live();
    life.connect(in_force_->generation);
    const std::uint32_t former = life.running();
    life.sink.behaviour = lost;
    EXPECT_THAT(life.commit(kTwo).error, HasSubstr("did not answer"));
    EXPECT_THAT(life.commit(kTwo).error, HasSubstr("waits for the data plane"));
    const std::uint32_t number = life.store.pending().value()->number;
    life.sink.behaviour = Behaviour::kApply;

    life.connect(in_force_->generation);

    EXPECT_EQ(life.running(), lost == Behaviour::kLoseAfter ? number : former);
    EXPECT_EQ(life.state(number), lost == Behaviour::kLoseAfter ? RevisionState::kRunning : RevisionState::kFailed);
    EXPECT_EQ(life.running(), in_force_->generation);
  }
}

TEST_F(Commit, RefusesAnotherBase) {
  Life& life = live();
  ASSERT_TRUE(life.commit(kOne).ok);

  EXPECT_THAT(life.commit(kTwo, 0, 7).error, HasSubstr("somebody committed in between"));
  EXPECT_TRUE(life.commit(kTwo, 0, 1).ok);
}

TEST_F(Commit, RollsBackWhatNobodyConfirms) {
  Life& life = live();
  ASSERT_TRUE(life.commit(kOne).ok);
  ASSERT_TRUE(life.commit(kTwo, 60).ok);
  EXPECT_EQ(in_force_->tenants, 2U);
  EXPECT_EQ(file_generation(), 1U) << "only what is confirmed is started from";

  now_ += 59 * kSecond;
  life.tick();
  EXPECT_EQ(in_force_->generation, 2U);
  now_ += kSecond;
  life.tick();

  EXPECT_EQ(in_force_->generation, 3U);
  EXPECT_EQ(in_force_->tenants, 1U);
  EXPECT_EQ(life.running(), 3U);
  EXPECT_EQ(life.store.find(3).value()->copied_from, 1U);
  EXPECT_EQ(file_generation(), 3U);
  EXPECT_FALSE(life.committer.next_deadline().has_value());
}

TEST_F(Commit, KeepsWhatIsConfirmedInTime) {
  Life& life = live();
  ASSERT_TRUE(life.commit(kOne).ok);
  ASSERT_TRUE(life.commit(kTwo, 60).ok);
  EXPECT_THAT(life.commit(kOne).error, HasSubstr("waits for confirmation"));
  EXPECT_FALSE(life.committer.confirm(1).ok);

  EXPECT_TRUE(life.committer.confirm(0).ok);

  now_ += 3600 * kSecond;
  life.tick();
  EXPECT_EQ(in_force_->generation, 2U);
  EXPECT_EQ(file_generation(), 2U);
  EXPECT_FALSE(life.committer.confirm(0).ok) << "nothing waits any more";
}

TEST_F(Commit, RefusesAConfirmationThatComesTooLate) {
  Life& life = live();
  ASSERT_TRUE(life.commit(kOne).ok);
  ASSERT_TRUE(life.commit(kTwo, 60).ok);
  now_ += 60 * kSecond;

  EXPECT_THAT(life.committer.confirm(2).error, HasSubstr("the time to confirm is over"));
}

TEST_F(Commit, RollsBackToNothingWhenNothingWasConfirmedBefore) {
  Life& life = live();
  ASSERT_TRUE(life.commit(kOne, 10).ok);
  now_ += 10 * kSecond;

  life.tick();

  EXPECT_EQ(in_force_->generation, 2U);
  EXPECT_EQ(in_force_->tenants, 0U);
}

TEST_F(Commit, RollsBackAfterARestartToo) {
  ASSERT_TRUE(live().commit(kOne).ok);
  ASSERT_TRUE(life_->commit(kTwo, 60).ok);
  now_ += 61 * kSecond;

  Life& life = live();
  life.connect(in_force_->generation);

  EXPECT_EQ(in_force_->generation, 3U);
  EXPECT_EQ(in_force_->tenants, 1U);
}

TEST_F(Commit, RetriesARollbackThatFailed) {
  Life& life = live();
  ASSERT_TRUE(life.commit(kOne).ok);
  ASSERT_TRUE(life.commit(kTwo, 60).ok);
  now_ += 60 * kSecond;
  life.sink.behaviour = Behaviour::kReject;
  life.tick();
  EXPECT_EQ(in_force_->tenants, 2U);
  life.sink.behaviour = Behaviour::kApply;

  life.tick();
  EXPECT_EQ(in_force_->tenants, 2U) << "not before its time";
  now_ += 5 * kSecond;
  life.tick();

  EXPECT_EQ(in_force_->tenants, 1U);
}

TEST_F(Commit, RollsBackToAnyKeptRevision) {
  Life& life = live();
  ASSERT_TRUE(life.commit(kOne).ok);
  ASSERT_TRUE(life.commit(kTwo).ok);
  ASSERT_TRUE(life.commit(kNone).ok);

  const CommitAnswer answer = life.rollback(1);

  EXPECT_EQ(answer.revision, 4U) << answer.error;
  EXPECT_EQ(in_force_->tenants, 1U);
  EXPECT_THAT(life.rollback(99).error, HasSubstr("not kept"));
}

TEST_F(Commit, GivesTheDataPlaneWhatItLacks) {
  Life& life = live();
  ASSERT_TRUE(life.commit(kOne).ok);
  ASSERT_TRUE(life.commit(kTwo).ok);

  *in_force_ = {0, 0};  // it restarted with nothing
  life.connect(0);
  EXPECT_EQ(in_force_->generation, 2U);

  *in_force_ = {9, 0};  // a foreign one
  life.connect(9);
  EXPECT_EQ(in_force_->generation, 10U);
  EXPECT_EQ(in_force_->tenants, 2U);
  EXPECT_EQ(life.running(), 10U);
}

TEST_F(Commit, KeepsAHundredRevisions) {
  Life& life = live();
  for (int i = 0; i < 105; ++i) ASSERT_TRUE(life.commit(i % 2 == 0 ? kOne : kTwo).ok);

  const auto kept = life.store.list(1000).value();

  EXPECT_LE(kept.size(), 101U);
  EXPECT_GE(kept.size(), 100U);
  EXPECT_EQ(kept.front().number, 105U);
  EXPECT_FALSE(life.store.text(1).has_value());
  EXPECT_TRUE(life.store.text(6).has_value());
}

/// What number each object has after this life.
std::map<std::string, std::uint32_t> numbers(Ids& ids) {
  std::map<std::string, std::uint32_t> out;
  for (const char* name : {"acm00000001", "glo00000001"}) out[name] = ids.number(IdKind::kTenant, tenant_key(name));
  for (const char* name : {"web1", "desk", "net"}) out[name] = ids.number(IdKind::kPort, port_key("acm00000001", name));
  out["binding"] = ids.number(IdKind::kBinding, binding_key("acm00000001", "web1-eth0"));
  out["rule"] = ids.number(IdKind::kRule, rule_key("acm00000001", ids.uuid(rule_uuid_key("acm00000001", "outside", "rest"))));
  return out;
}

TEST_F(Commit, KeepsNumbersOverCommitsAndRestartsAndNeverReusesThem) {
  ASSERT_TRUE(live().commit(kExample).ok);
  const auto first = numbers(life_->ids);
  ASSERT_TRUE(life_->commit(kNone).ok);
  const CommitAnswer refused = live().commit(with(kExample, "name: desk, nic", "name: desk2, nic"));
  ASSERT_FALSE(refused.ok) << "its bindings still name desk";
  ASSERT_TRUE(life_->commit("tenants: [ { service_code: new00000001, name: new } ]").ok);

  Life& life = live();
  EXPECT_EQ(numbers(life.ids), first);
  const std::uint32_t fresh = life.ids.number(IdKind::kTenant, tenant_key("new00000001"));
  EXPECT_GT(fresh, 2U) << "numbers of tenants that are gone stay theirs";
  ASSERT_TRUE(life.commit(kExample).ok);
  EXPECT_EQ(numbers(live().ids), first);
  EXPECT_TRUE(life_->ids.new_numbers().empty());
}

/// Where a life of controld ends.
enum class Death { kStored, kSentNotApplied, kAppliedNotAnswered, kApplied, kMarked, kWritten };

class CommitCrash : public Commit, public testing::WithParamInterface<std::tuple<Death, int>> {};

TEST_P(CommitCrash, ConvergesToTheOldOrTheNewRevision) {
  const auto [death, confirm] = GetParam();
  ASSERT_TRUE(live().commit(kOne).ok);
  life_.reset();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    Life life(directory_.path(), *in_force_, now_, [death = death](Committer::Step step) {
      constexpr Death kDeaths[] = {Death::kStored, Death::kApplied, Death::kMarked, Death::kWritten};
      if (kDeaths[static_cast<std::size_t>(step)] == death) ::_exit(0);
    });
    life.connect(1);
    if (death == Death::kAppliedNotAnswered) life.sink.behaviour = Behaviour::kDieAfter;
    life.committer.commit({.text = std::string(kTwo), .comment = "c", .author = "a", .confirm_seconds = static_cast<std::uint32_t>(confirm)}, [](CommitAnswer) {});
    if (death == Death::kSentNotApplied) {
      *in_force_ = {1, 1};
      ::_exit(0);
    }
    life.sink.settle();
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0) << "the child was to end at its step";

  Life& life = live();
  life.connect(in_force_->generation);

  const bool took_effect = death != Death::kStored && death != Death::kSentNotApplied;
  EXPECT_EQ(in_force_->tenants, took_effect ? 2U : 1U);
  EXPECT_EQ(life.running(), in_force_->generation);
  EXPECT_FALSE(life.store.pending().value().has_value());
  EXPECT_EQ(file_generation(), took_effect && confirm == 0 ? 2U : 1U);

  // The data plane restarts from the file, then the time to confirm passes.
  *in_force_ = {file_generation(), file_generation() == 1 ? 1U : 2U};
  life.connect(in_force_->generation);
  EXPECT_EQ(life.running(), in_force_->generation);
  now_ += 100 * kSecond;
  life.tick();
  EXPECT_EQ(in_force_->tenants, took_effect && confirm == 0 ? 2U : 1U);
  EXPECT_EQ(life.running(), in_force_->generation);
  EXPECT_EQ(file_generation(), in_force_->generation);
}

INSTANTIATE_TEST_SUITE_P(EveryStep, CommitCrash,
                         testing::Combine(testing::Values(Death::kStored, Death::kSentNotApplied, Death::kAppliedNotAnswered, Death::kApplied,
                                                          Death::kMarked, Death::kWritten),
                                          testing::Values(0, 60)));

}  // namespace
}  // namespace sekisho::control::test
