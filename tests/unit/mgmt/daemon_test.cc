// SPDX-License-Identifier: Apache-2.0
// Goal: the whole of logd: a ring record becomes a named line that a follower reads, and SIGTERM leaves nothing behind.
// Method: the daemon on its loop in a thread, dataplaned and controld played over real sockets. The follower's pipe is
// the event that is waited for.
#include "mgmt/log/daemon.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>

#include "mgmt/log/format.h"
#include "mgmt/log/vault/vault.h"
#include "tests/unit/mgmt/fakes.h"

namespace sekisho::mgmt {
namespace {

using namespace test;

/// Reads lines of a pipe, waiting for each.
std::string next_line(const Fd& fd) {
  std::string out;
  for (char c = 0; ::read(fd.get(), &c, 1) == 1 && c != '\n';) out += c;
  return out;
}

Fd follow(const std::string& run_dir) {
  ipc::OpenLogStream request;
  request.set_service_code("acm00000001");
  request.set_follow(true);
  request.set_last(10);
  IpcConnection connection = must(IpcConnection::connect(run_dir + "/export.sock"));
  ipc::ToLog question;
  *question.mutable_open_stream() = request;
  const std::string bytes = question.SerializeAsString();
  EXPECT_TRUE(connection.send({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}));
  IpcMessage message = must(connection.receive(std::chrono::seconds(10)));
  return std::move(message.fds.at(0));
}

TEST(Logd, NamesARecordServesAFollowerAndDrainsOnTerm) {
  const TempDir dir;
  Dataplane dataplane(dir.path() + "/rings.sock");
  FakeControld controld(dir.path(), [](const ipc::ToControl& question, const std::string&, Fd& attach) {
    EXPECT_EQ(question.get_names().generation(), 7U);
    const std::string table = name_table(7).SerializeAsString();
    attach = must(make_sealed_blob("names", {reinterpret_cast<const std::uint8_t*>(table.data()), table.size()}));
    ipc::FromControl answer;
    answer.mutable_names()->set_generation(7);
    answer.mutable_names()->set_size(table.size());
    return answer;
  });
  LogdOptions options;
  options.days_kept = 36'500;
  options.run_dir = options.state_dir = dir.path();
  auto daemon = must(LogDaemon::create(options));
  int status = -1;
  std::thread loop([&] { status = daemon->run(); });
  dataplane.serve(2);
  const Fd reader = follow(dir.path());

  ASSERT_TRUE(dataplane.ring(0).push(comm_record()));
  const auto first = parse_json(next_line(reader));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(dataplane.ring(1).push(comm_record()));
  ::kill(::getpid(), SIGTERM);
  loop.join();

  ASSERT_TRUE(first);
  EXPECT_EQ(std::get<CommFields>(first->body).rule_name, "web allowed");
  EXPECT_EQ(status, 0);
  Vault store(dir.path() + "/log");
  const auto numbers = numbers_of(all_of(store, kAcmeComm));
  ASSERT_EQ(numbers.size(), 21U);
  EXPECT_EQ(numbers.back(), 21U);
}

TEST(Logd, SaysWhyItCannotStart) {
  LogdOptions options;
  options.run_dir = options.state_dir = "/nowhere";
  const auto daemon = LogDaemon::create(options);
  ASSERT_FALSE(daemon);
  EXPECT_EQ(daemon.error().where, ErrorSite::kOs);
}

}  // namespace
}  // namespace sekisho::mgmt
