// SPDX-License-Identifier: Apache-2.0
// Goal: a question that logd answers is answered, also right behind another one: event loops wake for less than a message at times.
// Method: a logd that answers and hangs up, on a thread; thousands of questions, each asked when the one before was answered.
#include "control/links/log_link.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>

#include "base/ipc/seqpacket.h"

namespace sekisho::control::test {
namespace {

using namespace std::chrono_literals;

class LogLinkTest : public testing::Test {
 protected:
  LogLinkTest() {
    std::string name = std::filesystem::temp_directory_path() / "sekisho-link-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    folder_ = name;
    logd_ = std::thread([this, listener = std::make_shared<IpcListener>(IpcListener::listen(socket(), 0600).value())] {
      while (!ending_) {
        pollfd watched{listener->fd(), POLLIN, 0};
        if (::poll(&watched, 1, 20) <= 0) continue;
        if (auto connection = listener->accept()) answer(*connection);
      }
    });
  }
  ~LogLinkTest() override {
    ending_ = true;
    logd_.join();
    std::filesystem::remove_all(folder_);
  }
  [[nodiscard]] std::string socket() const { return folder_ + "/export.sock"; }
  static void answer(IpcConnection& connection) {
    if (!connection.receive(2s)) return;
    ipc::FromLog out;
    out.mutable_watched()->set_pressure("none");
    const std::string bytes = out.SerializeAsString();
    (void)connection.send({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
  }
  void ask(unsigned left) {
    ipc::ToLog question;
    question.mutable_watch();
    ask_log(io_, socket(), question, [this, left](const LogAnswer& answer) {
      if (!answer.refusal.empty()) return refusals_.push_back(answer.refusal);
      if (++answered_; left > 1) ask(left - 1);
    });
  }

  std::string folder_;
  boost::asio::io_context io_;
  std::thread logd_;
  std::atomic<bool> ending_ = false;
  unsigned answered_ = 0;
  std::vector<std::string> refusals_;
};

TEST_F(LogLinkTest, AnswersEachOfManyQuestionsInARow) {
  ask(10000);
  io_.run();
  EXPECT_EQ(refusals_, std::vector<std::string>{});
  EXPECT_EQ(answered_, 10000U);
}

TEST_F(LogLinkTest, SaysThatNobodyIsThere) {
  ipc::ToLog question;
  question.mutable_watch();
  std::string refusal;
  ask_log(io_, folder_ + "/other.sock", question, [&](const LogAnswer& answer) { refusal = answer.refusal; });
  io_.run();
  EXPECT_EQ(refusal, "logd is not there");
}

}  // namespace
}  // namespace sekisho::control::test
