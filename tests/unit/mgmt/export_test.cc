// SPDX-License-Identifier: Apache-2.0
// Goal: readers get what they selected; a slow or vanished one costs logd a bounded buffer and no wait.
// Method: the stream alone, then the server on its loop with a real socket and pipe.
#include "mgmt/log/export_server.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "base/proto/control_log.pb.h"
#include "mgmt/log/export_stream.h"
#include "mgmt/log/log_exports.h"
#include "mgmt/log/vault/vault.h"
#include "tests/unit/mgmt/support.h"

namespace sekisho::mgmt {
namespace {

using namespace test;
constexpr Timestamp kNow{kNoon + 100 * kSecond};

struct Fixture {
  TempDir dir;
  Vault store{dir.path()};
  Journal journal{store, fixed_random()};

  void add(int records, std::uint64_t first = kNoon) {
    std::vector<LogEntry> entries;
    for (int i = 0; i < records; ++i)
      entries.push_back(comm_entry("acm00000001", first + static_cast<unsigned>(i) * 1'000'000U));
    journal.write(std::move(entries), kNow);
  }
  void add_sec(std::uint64_t timestamp) {
    LogEntry sec = make_entry(LogKind::kSec);
    sec.svc = "acm00000001", sec.node = "u0", sec.ts = Timestamp{timestamp};
    std::get<SecFields>(sec.body).event = "AE_MAC";
    journal.write({sec}, kNow);
  }
  std::string text(Selection selection) {
    selection.service_code = "acm00000001";
    auto stream = ExportStream::open(store, std::move(selection));
    std::string out;
    EXPECT_TRUE(stream && stream->fill(out, 1U << 30));
    return out;
  }
};

std::vector<std::string> field(const std::string& text, const std::string& name) {
  std::vector<std::string> out;
  for (std::size_t at = 0; (at = text.find("\"" + name + "\":", at)) != std::string::npos;) {
    at += name.size() + 3;
    out.push_back(text.substr(at, text.find_first_of(",}", at) - at));
  }
  return out;
}

TEST(ExportStream, MergesTypesByTime) {
  Fixture f;
  f.add(1, kNoon);
  f.add_sec(kNoon + kSecond);
  f.add(1, kNoon + 2 * kSecond);

  EXPECT_EQ(field(f.text({}), "type"), (std::vector<std::string>{"\"comm\"", "\"sec\"", "\"comm\""}));
  EXPECT_EQ(field(f.text({.types = {LogKind::kSec}}), "type"), (std::vector<std::string>{"\"sec\""}));
}

TEST(ExportStream, LastCountsOverAllTypes) {
  Fixture f;
  f.add_sec(kNoon);
  f.add(3, kNoon + kSecond);
  f.add_sec(kNoon + 2 * kSecond);

  EXPECT_EQ(field(f.text({.last = 3}), "type"), (std::vector<std::string>{"\"comm\"", "\"comm\"", "\"sec\""}));
  EXPECT_EQ(field(f.text({.types = {LogKind::kComm}, .last = 2}), "seq"), (std::vector<std::string>{"2", "3"}));
}

TEST(ExportStream, CsvHasASectionWithItsHeaderPerType) {
  Fixture f;
  f.add(1);
  f.add_sec(kNoon);

  const std::string csv = f.text({.format = Selection::Format::kCsv, .byte_order_mark = true});

  EXPECT_TRUE(csv.starts_with("\xef\xbb\xbfv,type,ts,svc,gw,node,seq,eid,rev,sev,phase,"));
  EXPECT_NE(csv.find("\nv,type,ts,svc,gw,node,seq,eid,rev,sev,event,"), std::string::npos);
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 4);
  Fixture empty;
  EXPECT_EQ(empty.text({.types = {LogKind::kLoss}, .format = Selection::Format::kCsv}),
            csv_header(LogKind::kLoss) + "\n");
}

TEST(ExportStream, RefusesWhatItCannotWrite) {
  Fixture f;
  const auto code = [&f](Selection selection) {
    return ExportStream::open(f.store, std::move(selection)).error().code;
  };
  EXPECT_EQ(code({.service_code = "../acm"}), ErrorCode::kMalformed);
  EXPECT_EQ(code({.service_code = "acm00000001", .format = Selection::Format::kCsv, .follow = true}),
            ErrorCode::kMalformed);
  EXPECT_EQ(code({.service_code = "acm00000001", .last = kLastMax + 1}), ErrorCode::kLimit);
}

class ExportServerTest : public testing::Test {
 protected:
  ExportServerTest() {
    std::signal(SIGPIPE, SIG_IGN);
    auto made = ExportServer::listen(loop_, path_, {}, f_.store, questions_, [this](const std::string& note) { notes_ += note; });
    server_ = std::move(*made);
  }
  ~ExportServerTest() override { server_->stop(); }

  /// The answer, with the loop run until it is here.
  IpcMessage ask(const ipc::OpenLogStream& request) {
    auto connection = IpcConnection::connect(path_);
    ipc::ToLog question;
    *question.mutable_open_stream() = request;
    const std::string bytes = question.SerializeAsString();
    EXPECT_TRUE(connection->send({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}));
    for (;;) {
      loop_.run_one();
      auto message = connection->receive(std::chrono::milliseconds(0));
      if (message) return std::move(*message);
    }
  }
  Fd open(bool follow, std::uint32_t last = 0) {
    ipc::OpenLogStream request;
    request.set_service_code("acm00000001");
    request.set_follow(follow);
    request.set_last(last);
    IpcMessage message = ask(request);
    EXPECT_EQ(message.fds.size(), 1U);
    Fd fd = std::move(message.fds.at(0));
    ::fcntl(fd.get(), F_SETFL, O_NONBLOCK);
    return fd;
  }
  /// Everything that is in the pipe now; runs the loop while it brings more. `ended` tells the end of the pipe.
  std::string drain(const Fd& fd, bool* ended = nullptr) {
    std::string out;
    char block[65536];
    for (;;) {
      loop_.poll();
      const ssize_t n = ::read(fd.get(), block, sizeof(block));
      if (ended != nullptr) *ended = n == 0;
      if (n <= 0) return out;
      out.append(block, static_cast<std::size_t>(n));
    }
  }

  Fixture f_;
  boost::asio::io_context loop_;
  Erasures erasures_{f_.store};
  Questions questions_{loop_, f_.store, erasures_, [] { return Timestamp{kNoon}; }};
  std::string path_ = f_.dir.path() + "/export.sock";
  std::string notes_;
  std::unique_ptr<ExportServer> server_;
};

TEST_F(ExportServerTest, AnswersTheExporterWhatIsForCollectorsAndNothingElse) {
  constexpr uid_t kNobody = 65534;
  if (::geteuid() != 0) GTEST_SKIP() << "needs root: a peer of another uid";
  LogExports exports(f_.store, f_.journal, [] { return kNow; }, [](const std::string&) {});
  ASSERT_TRUE(exports.open());
  questions_.set_exports(&exports);
  ASSERT_EQ(::chmod(f_.dir.path().c_str(), 0755), 0);
  ASSERT_EQ(::chmod(path_.c_str(), 0666), 0);
  const auto asked = [&](const ipc::ToLog& question) -> Result<IpcMessage> {
    EXPECT_EQ(::seteuid(kNobody), 0);
    auto connection = IpcConnection::connect(path_);
    EXPECT_EQ(::seteuid(0), 0);
    const std::string bytes = question.SerializeAsString();
    (void)connection->send({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
    for (int i = 0; i < 10; ++i) loop_.poll();
    return connection->receive(std::chrono::milliseconds(0));
  };
  ipc::ToLog mine;
  mine.mutable_read_export();
  EXPECT_FALSE(asked(mine)) << "nobody admitted it";
  server_->admit_exporters({kNobody});
  EXPECT_TRUE(asked(mine));
  // Which collectors there are is not its to say, nor is anything else.
  ipc::ToLog status, list, watch;
  status.mutable_get_status(), list.mutable_set_exports()->add_targets()->set_name("mine"), watch.mutable_watch();
  for (const ipc::ToLog& other : {status, list, watch}) EXPECT_FALSE(asked(other)) << other.DebugString();
  ipc::LogStatus known;
  exports.tell("", known);
  EXPECT_EQ(known.targets_size(), 0);
}

TEST_F(ExportServerTest, WritesTheSelectionAndCloses) {
  f_.add(3);
  const Fd fd = open(false);
  bool ended = false;

  EXPECT_EQ(field(drain(fd, &ended), "seq"), (std::vector<std::string>{"1", "2", "3"}));
  EXPECT_TRUE(ended);
  EXPECT_EQ(server_->streams(), 0U);
}

TEST_F(ExportServerTest, FollowerGetsOnlyWhatIsNew) {
  f_.add(2);
  const Fd fd = open(true);
  EXPECT_EQ(drain(fd), "");
  f_.add(1);
  server_->wake();

  EXPECT_EQ(field(drain(fd), "seq"), (std::vector<std::string>{"3"}));
  EXPECT_EQ(server_->streams(), 1U);
}

TEST_F(ExportServerTest, SlowFollowerBlocksNobodyAndMissesNothing) {
  const Fd slow = open(true);
  loop_.poll();
  constexpr int kRecords = 5000;  // some 2 MB: far more than pipe and buffer hold
  for (int i = 0; i < 5; ++i) {
    f_.add(kRecords / 5);
    server_->wake();
    loop_.poll();
  }
  int in_pipe = 0;
  ::ioctl(slow.get(), FIONREAD, &in_pipe);
  EXPECT_GT(in_pipe, 0);
  EXPECT_LT(in_pipe, 1 << 20);

  const auto numbers = field(drain(slow), "seq");

  ASSERT_EQ(numbers.size(), static_cast<std::size_t>(kRecords));
  EXPECT_EQ(numbers.back(), std::to_string(kRecords));
}

TEST_F(ExportServerTest, VanishedFollowerIsDroppedWithAReason) {
  {
    const Fd gone = open(true);
    loop_.poll();
  }
  while (server_->streams() > 0) loop_.run_one();

  EXPECT_NE(notes_.find("reader dropped: the reader closed its end"), std::string::npos);
}

TEST_F(ExportServerTest, RefusalSaysWhy) {
  ipc::OpenLogStream request;
  request.set_service_code("acm00000001");
  request.add_types("mail");
  const IpcMessage message = ask(request);
  ipc::FromLog said;
  ASSERT_TRUE(said.ParseFromArray(message.bytes.data(), static_cast<int>(message.bytes.size())));
  const ipc::LogStream& answer = said.stream();

  EXPECT_FALSE(answer.ok());
  EXPECT_EQ(answer.error(), "unknown record type: use comm, sec, vpn, acl, devauth, audit or loss");
  EXPECT_TRUE(message.fds.empty());
}

}  // namespace
}  // namespace sekisho::mgmt
