// SPDX-License-Identifier: Apache-2.0
// Goal: logd has the list of collectors in force whoever of the two started last; each change of its disk's level is told exactly once.
// Method: a logd that says what the test wants, on a thread; the watch on the test's loop; a store on a real file.
#include "control/links/log_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <filesystem>
#include <mutex>
#include <thread>

#include "base/ipc/seqpacket.h"

namespace sekisho::control::test {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

class LogWatchTest : public testing::Test {
 protected:
  LogWatchTest() {
    std::string name = std::filesystem::temp_directory_path() / "sekisho-watch-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    folder_ = name;
    store_.emplace(Store::open(folder_).value());
    model_.set_node("u0");
    auto& target = *model_.mutable_log_exports()->add_targets();
    target.set_name("soc"), target.set_kind(model::LogExport::SYSLOG), target.set_enabled(true);
    begin_logd();
  }
  ~LogWatchTest() override {
    if (watch_) end_watch();
    end_logd();
    store_.reset();
    std::filesystem::remove_all(folder_);
  }
  void begin_logd() {
    generation_ = 0;
    ending_ = false;
    thread_ = std::thread([this, listener = std::make_shared<IpcListener>(IpcListener::listen(folder_ + "/export.sock", 0600).value())] {
      while (!ending_) {
        pollfd watched{listener->fd(), POLLIN, 0};
        if (::poll(&watched, 1, 20) <= 0) continue;
        if (auto connection = listener->accept()) answer(*connection);
      }
    });
  }
  void end_logd() {
    ending_ = true;
    if (thread_.joinable()) thread_.join();
  }
  void answer(IpcConnection& connection) {
    const auto message = connection.receive(2s);
    ipc::ToLog asked;
    if (!message || !asked.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size()))) return;
    ipc::FromLog out;
    const std::lock_guard lock(mutex_);
    if (asked.has_watch()) {
      ++looks_;
      out.mutable_watched()->set_pressure(pressure_);
      out.mutable_watched()->set_exports_generation(generation_);
    } else {
      lists_.push_back(asked.set_exports());
      if (!asked.set_exports().more()) generation_ = asked.set_exports().generation();
      out.mutable_exports_set()->set_ok(true);
    }
    const std::string bytes = out.SerializeAsString();
    (void)connection.send({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
  }
  /// As controld starts.
  void begin_watch() {
    watch_.emplace(io_, *store_, folder_ + "/export.sock",
                   LogWatch::Environment{.in_force = [this] { return InForce{revision_, &model_}; },
                                         .tell = [this](const ipc::LogWatched& now, const std::string& before) {
                                           told_.push_back(before + " > " + now.pressure());
                                         }});
    watch_->start();
  }
  void end_watch() {
    watch_->stop();
    io_.run();  // what is under way comes to its end
    watch_.reset();
    io_.restart();
  }
  /// Runs until logd was asked twice more: what the first answer led to has happened.
  void run_on() {
    const unsigned until = looks_ + 2;
    const auto give_up = std::chrono::steady_clock::now() + 60s;
    while (looks_ < until && std::chrono::steady_clock::now() < give_up) io_.run_one_for(1s);
    ASSERT_GE(looks_, until);
  }
  void set_pressure(const std::string& level) {
    const std::lock_guard lock(mutex_);
    pressure_ = level;
  }

  std::string folder_;
  std::optional<Store> store_;
  boost::asio::io_context io_;
  model::Configuration model_;
  std::uint32_t revision_ = 3;
  std::optional<LogWatch> watch_;
  std::vector<std::string> told_;
  std::thread thread_;
  std::atomic<bool> ending_ = false;
  std::mutex mutex_;
  std::string pressure_ = "none";
  std::atomic<std::uint32_t> generation_ = 0;
  std::atomic<unsigned> looks_ = 0;
  std::vector<ipc::SetLogExports> lists_;
};

TEST_F(LogWatchTest, TellsEachCrossingOnceOverRestartsOfBoth) {
  begin_watch();
  run_on();
  EXPECT_TRUE(told_.empty());
  set_pressure("warning");
  run_on();
  run_on();
  EXPECT_THAT(told_, ElementsAre("none > warning"));
  end_watch();
  begin_watch();
  end_logd();
  begin_logd();
  run_on();
  EXPECT_THAT(told_, ElementsAre("none > warning"));
  EXPECT_FALSE(watch_->full());
  set_pressure("acl");
  run_on();
  EXPECT_FALSE(watch_->full());
  set_pressure("full");
  run_on();
  EXPECT_TRUE(watch_->full());
  end_watch();
  end_logd();
  begin_watch();
  EXPECT_TRUE(watch_->full()) << "before logd has said anything";
  begin_logd();
  run_on();
  set_pressure("none");
  run_on();
  EXPECT_FALSE(watch_->full());
  EXPECT_THAT(told_, ElementsAre("none > warning", "warning > acl", "acl > full", "full > none"));
}

TEST_F(LogWatchTest, GivesTheCollectorsInForceAndAgainWhenLogdHasOthers) {
  begin_watch();
  run_on();
  ASSERT_EQ(lists_.size(), 1U);
  EXPECT_EQ(lists_[0].generation(), 3U);
  EXPECT_EQ(lists_[0].targets(0).name(), "soc");
  run_on();
  EXPECT_EQ(lists_.size(), 1U) << "it has them";
  revision_ = 4;
  run_on();
  ASSERT_EQ(lists_.size(), 2U);
  EXPECT_EQ(lists_[1].generation(), 4U);
  end_logd();
  begin_logd();
  run_on();
  EXPECT_EQ(lists_.size(), 3U) << "another logd knows of none";
  end_watch();
  begin_watch();
  run_on();
  EXPECT_EQ(lists_.size(), 4U) << "another controld may have another store";
}

TEST_F(LogWatchTest, GivesALongListInPieces) {
  for (int i = 0; i < 3000; ++i) {
    auto& target = *model_.mutable_log_exports()->add_targets();
    target.set_name("collector " + std::to_string(i)), target.set_enabled(i % 2 == 0);
  }
  begin_watch();
  run_on();
  ASSERT_GT(lists_.size(), 1U);
  int targets = 0;
  for (std::size_t i = 0; i < lists_.size(); ++i) {
    targets += lists_[i].targets_size();
    EXPECT_EQ(lists_[i].more(), i + 1 < lists_.size());
    EXPECT_LT(lists_[i].ByteSizeLong(), 48U << 10);
  }
  EXPECT_EQ(targets, 1501);
}

TEST(LogPressure, WeighsMoreTheLessIsTaken) {
  EXPECT_EQ(weight_of_pressure("none"), 0U);
  EXPECT_LT(weight_of_pressure("warning"), weight_of_pressure("comm_starts"));
  EXPECT_LT(weight_of_pressure("acl"), weight_of_pressure("full"));
  EXPECT_EQ(weight_of_pressure("what?"), weight_of_pressure("full"));
}

}  // namespace
}  // namespace sekisho::control::test
