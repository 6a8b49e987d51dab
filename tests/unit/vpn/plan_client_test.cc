// SPDX-License-Identifier: Apache-2.0
// Goal: what controld says beside the Plan is known, also when there is no newer Plan, and holds while controld is away.
// Method: a controld on a thread that says what the test wants; time is the test's.
#include "vpn/plan_client.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "base/proto/control_mgmt.pb.h"

namespace sekisho::vpn {
namespace {

using namespace std::chrono_literals;

class PlanClientTest : public testing::Test {
 protected:
  PlanClientTest() { begin_controld(); }
  ~PlanClientTest() override {
    end_controld();
    std::filesystem::remove_all(folder_);
  }
  static std::string make_folder() {
    std::string name = std::filesystem::temp_directory_path() / "sekisho-plan-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    return name;
  }
  void begin_controld() {
    ending_ = false;
    thread_ = std::thread([this, listener = std::make_shared<IpcListener>(IpcListener::listen(path(), 0600).value())] {
      while (!ending_) {
        pollfd watched{listener->fd(), POLLIN, 0};
        if (::poll(&watched, 1, 20) <= 0) continue;
        auto connection = listener->accept();
        while (connection && !ending_ && answer(*connection)) continue;
      }
    });
  }
  void end_controld() {
    ending_ = true;
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] std::string path() const { return folder_ + "/control.sock"; }
  bool answer(IpcConnection& connection) {
    const auto message = connection.receive(20ms);
    if (!message) return message.error().detail == ETIMEDOUT;
    ipc::ToControl asked;
    if (!asked.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size()))) return false;
    ipc::FromControl out;
    out.set_correlation(asked.correlation());
    out.mutable_vpn_config()->set_log_full(full_);
    const std::string bytes = out.SerializeAsString();
    const bool sent = connection.send({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}).has_value();
    ++answers_;
    return sent;
  }
  /// Until controld has answered twice more: what the first answer said is known.
  void go_on() {
    const unsigned until = answers_ + 2;
    now_ += 1s;
    for (unsigned seen = answers_; answers_ < until; std::this_thread::yield()) {
      EXPECT_EQ(client_.poll(now_), nullptr) << "no Plan was given";
      if (const unsigned now = answers_; now != seen) seen = now, now_ += 1s;
    }
  }

  const std::string folder_ = make_folder();
  std::atomic<bool> ending_ = false, full_ = false;
  std::atomic<unsigned> answers_ = 0;
  std::thread thread_;
  PlanClient::Clock::time_point now_{1h};
  PlanClient client_{path()};
};

TEST_F(PlanClientTest, KnowsWhetherTheLogsDiskIsFullWithoutANewerPlan) {
  go_on();
  EXPECT_FALSE(client_.log_full());
  full_ = true;
  go_on();
  EXPECT_TRUE(client_.log_full());
  end_controld();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(client_.poll(now_ += 1s), nullptr);
  EXPECT_TRUE(client_.log_full()) << "controld is away";
  full_ = false;
  begin_controld();
  go_on();
  EXPECT_FALSE(client_.log_full());
}

}  // namespace
}  // namespace sekisho::vpn
