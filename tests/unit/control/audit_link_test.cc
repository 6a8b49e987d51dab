// SPDX-License-Identifier: Apache-2.0
// Goal: what controld did reaches logd, whoever of the two dies in between, and each tenant hears of its own part
// alone.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
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
    out.mutable_audit()->set_comment(comment);
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
