// SPDX-License-Identifier: Apache-2.0
// Goal: what controld did reaches logd, whoever of the two dies in between, and each tenant hears of its own part
// alone.
#include <google/protobuf/util/delimited_message_util.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "control/links/audit_link.h"

namespace sekisho::control {
namespace {

using namespace std::chrono_literals;

class AuditLinkTest : public testing::Test {
 protected:
  AuditLinkTest() {
    std::string name = std::filesystem::temp_directory_path() / "sekisho-audit-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    folder_ = name;
  }
  ~AuditLinkTest() override { std::filesystem::remove_all(folder_); }

  static ipc::ToEventLog record(const std::string& comment) {
    ipc::ToEventLog out;
    out.set_service_code("acm00000001"), out.set_node("u0");
    out.mutable_audit()->set_comment(comment), out.mutable_audit()->set_result("ok");
    return out;
  }
  void turn() {
    io_.restart();
    io_.run_for(10ms);
  }
  ipc::ToEventLog next(IpcConnection& logd) {
    for (;;) {
      turn();
      const auto message = logd.receive(0ms);
      if (!message) continue;
      ipc::ToEventLog out;
      EXPECT_TRUE(out.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size())));
      return out;
    }
  }
  IpcConnection accept(IpcListener& listener) {
    for (;;) {
      turn();
      auto connection = listener.accept();
      if (connection) return std::move(*connection);
    }
  }
  static void acknowledge(IpcConnection& logd, std::uint64_t number) {
    ipc::FromEventLog answer;
    answer.set_stored(number);
    const std::string bytes = answer.SerializeAsString();
    ASSERT_TRUE(logd.send({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, {}, 1s));
  }

  std::string folder_;
  boost::asio::io_context io_;
};

TEST_F(AuditLinkTest, KeepsARecordUntilItIsAcknowledgedOverRestartsOfBoth) {
  const std::string socket = folder_ + "/event.sock", file = folder_ + "/audit.bin";
  std::string eid;
  {
    AuditLink link(io_, socket, file);
    link.start();
    link.add(record("while logd is away"));
    EXPECT_GT(std::filesystem::file_size(file), 0U);
    link.stop();
  }
  auto listener = std::move(IpcListener::listen(socket, 0600)).value();
  AuditLink link(io_, socket, file);
  link.start();
  EXPECT_EQ(link.waiting(), 1U) << "of the controld before";
  {
    IpcConnection logd = accept(listener);
    eid = next(logd).eid();
    EXPECT_EQ(eid.size(), 16U);
  }  // dies without acknowledging
  IpcConnection logd = accept(listener);
  const ipc::ToEventLog again = next(logd);
  EXPECT_EQ(again.eid(), eid) << "the same record";
  EXPECT_EQ(again.audit().comment(), "while logd is away");
  EXPECT_EQ(link.waiting(), 1U);
  acknowledge(logd, again.number());
  while (link.waiting() > 0) turn();
  EXPECT_EQ(std::filesystem::file_size(file), 0U);
  link.stop();
}

TEST_F(AuditLinkTest, AnActIsOnTheDiskBeforeItBeginsAndSaysWhenNobodyLivedToFinishIt) {
  const std::string socket = folder_ + "/event.sock", file = folder_ + "/audit.bin";
  {
    AuditLink link(io_, socket, file);
    link.start();
    const auto first = link.begin(record("finished")), second = link.begin(record("broken off")), third = link.begin(record("nothing"));
    ASSERT_TRUE(first && second && third);
    EXPECT_EQ(link.waiting(), 0U) << "not sent before it is known what came of it";
    link.finish(*first, [](ipc::AuditRecord& act) { act.set_result("ok"); });
    EXPECT_EQ(link.waiting(), 1U);
    link.stop();
  }  // killed
  auto listener = std::move(IpcListener::listen(socket, 0600)).value();
  AuditLink link(io_, socket, file);
  link.start();
  IpcConnection logd = accept(listener);
  std::map<std::string, std::string> results;
  for (int i = 0; i < 3; ++i) {
    const ipc::ToEventLog act = next(logd);
    results[act.audit().comment()] = act.audit().result() + ' ' + act.audit().cause();
  }
  EXPECT_EQ(results["finished"], "ok ");
  EXPECT_EQ(results["broken off"], "fail interrupted");
  link.stop();
}

TEST_F(AuditLinkTest, ASecurityEventIsKeptAsItIsOverARestart) {
  const std::string socket = folder_ + "/event.sock", file = folder_ + "/audit.bin";
  {
    AuditLink link(io_, socket, file);
    link.start();
    ipc::ToEventLog event;
    event.set_service_code("acm00000001"), event.set_node("u0");
    event.mutable_security()->set_event("INT_CLOCK");
    EXPECT_TRUE(link.add(std::move(event)));
    link.stop();
  }  // killed
  auto listener = std::move(IpcListener::listen(socket, 0600)).value();
  AuditLink link(io_, socket, file);
  link.start();
  IpcConnection logd = accept(listener);
  const ipc::ToEventLog event = next(logd);
  ASSERT_TRUE(event.has_security()) << event.ShortDebugString();
  EXPECT_EQ(event.security().event(), "INT_CLOCK");
  EXPECT_EQ(event.eid().size(), 16U);
  link.stop();
}

TEST_F(AuditLinkTest, WhatIsDroppedTakesNoRoom) {
  const std::string file = folder_ + "/audit.bin";
  AuditLink link(io_, folder_ + "/event.sock", file);
  link.start();
  const auto first = link.begin(record("nothing")), second = link.begin(record("nothing either"));
  ASSERT_TRUE(first && second);
  link.drop(*first);
  EXPECT_GT(std::filesystem::file_size(file), 0U) << "the other may still happen";
  link.drop(*second);
  EXPECT_EQ(std::filesystem::file_size(file), 0U);
  link.stop();
}

TEST_F(AuditLinkTest, NobodyActsWhereItCannotBeWritten) {
  AuditLink nowhere(io_, folder_ + "/event.sock", folder_ + "/no/such/folder/audit.bin");
  nowhere.start();
  EXPECT_FALSE(nowhere.takes());
  EXPECT_FALSE(nowhere.begin(record("x")));
  nowhere.stop();
  AuditLink full(io_, folder_ + "/event.sock", folder_ + "/audit.bin");
  full.start();
  const auto size = [this] { return std::filesystem::file_size(folder_ + "/audit.bin"); };
  ASSERT_TRUE(full.begin(record("fits")));
  const auto before = size();
  rlimit held{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &held), 0);
  const rlimit small{before + 10, held.rlim_max};  // half a record fits
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const bool begun = full.begin(record("does not fit")).has_value();
  const bool takes = full.takes();
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &held), 0);
  std::signal(SIGXFSZ, ignored);
  EXPECT_FALSE(begun);
  EXPECT_TRUE(takes) << "it may fit later";
  EXPECT_EQ(size(), before) << "half a record would hide all that follow it";
  EXPECT_TRUE(full.begin(record("fits again")));
  full.stop();
}

TEST_F(AuditLinkTest, SomebodyWhoReadsWaitsForWhatHeDid) {
  const std::string socket = folder_ + "/event.sock";
  auto listener = std::move(IpcListener::listen(socket, 0600)).value();
  AuditLink link(io_, socket, folder_ + "/audit.bin");
  link.start();
  int told = 0;
  link.when_stored([&told] { ++told; });
  EXPECT_EQ(told, 1) << "nothing waits";
  link.add(record("mine"));
  link.when_stored([&told] { ++told; });
  IpcConnection logd = accept(listener);
  const ipc::ToEventLog act = next(logd);
  EXPECT_EQ(told, 1);
  acknowledge(logd, act.number());
  while (told < 2) turn();
  link.stop();
}

TEST_F(AuditLinkTest, ATenantIsForgottenAndTheOthersRecordsStay) {
  const std::string socket = folder_ + "/event.sock", file = folder_ + "/audit.bin";
  AuditLink link(io_, socket, file);
  link.start();
  link.add(record("gone"));
  ipc::ToEventLog other = record("stays");
  other.set_service_code("glx00000001");
  link.add(other);
  EXPECT_EQ(link.forget("acm00000001"), 1U);
  link.stop();
  AuditLink again(io_, socket, file);
  again.start();
  EXPECT_EQ(again.waiting(), 1U);
  std::ifstream in(file, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  EXPECT_EQ(bytes.find("acm00000001"), std::string::npos);
  again.stop();
}

TEST(AuditLinkFile, CutAnywhereKeepsWhatIsWholeAndSaysWhatWasNotFinished) {
  std::ostringstream bytes;
  std::vector<std::size_t> ends;
  for (const auto& [eid, result] : {std::pair{"a", ""}, std::pair{"a", "ok"}, std::pair{"b", ""}, std::pair{"b", "denied"}}) {
    ipc::ToEventLog record;
    record.set_eid(eid), record.set_service_code("acm00000001");
    record.mutable_audit()->set_operation("commit"), record.mutable_audit()->set_result(result);
    google::protobuf::util::SerializeDelimitedToOstream(record, &bytes);
    ends.push_back(bytes.str().size());
  }
  const std::string whole = bytes.str();
  for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
    std::istringstream file(whole.substr(0, cut));
    std::vector<std::string> found;
    for (const auto& act : read_acts(file)) found.push_back(act.eid() + ' ' + act.audit().result() + act.audit().cause());
    const auto kept = std::count_if(ends.begin(), ends.end(), [cut](std::size_t end) { return end <= cut; });
    const std::vector<std::string> wanted[] = {
        {}, {"a failinterrupted"}, {"a ok"}, {"a ok", "b failinterrupted"}, {"a ok", "b denied"}};
    EXPECT_EQ(found, wanted[kept]) << cut;
  }
}

TEST(AuditLinkTenants, HearOfTheirOwnPart) {
  model::Configuration before;
  for (const char* name : {"acme", "globex"}) {
    auto& tenant = *before.add_tenants();
    tenant.set_name(name), tenant.set_service_code(std::string(name).substr(0, 3) + "00000001");
  }
  model::Configuration after = before;
  after.mutable_tenants(1)->add_zones("office");
  EXPECT_TRUE(changed_tenants(before, before).empty());
  EXPECT_EQ(changed_tenants(before, after), (std::vector<std::string>{"glo00000001"}));
}

}  // namespace
}  // namespace sekisho::control
