// SPDX-License-Identifier: Apache-2.0
// Goal: controld keeps its promises over real sockets: one answer a request, in time, whoever else is there, silent or mad.
// Method: the daemon on a thread of its own, a data plane and a logd that do as told on two more, and the test as client.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/post.hpp>
#include <filesystem>
#include <mutex>
#include <thread>

#include "base/ipc/sealed_blob.h"
#include "control/daemon.h"
#include "filters/policy/snapshot_view.h"
#include "tests/unit/control/documents.h"

namespace sekisho::control::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr auto kPatience = 10s;
constexpr uid_t kLogUid = 65533;  // may ask for names, nothing else
constexpr uid_t kMgmtUid = 65531;  // may call the API for whoever is signed in, nothing else
constexpr uid_t kVpnUid = 65532;  // may ask for the configuration of remote access, nothing else

ByteSpan as_bytes(const std::string& text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }

/// Sends one serialized message, in a memfd too when there is one.
template <typename Message>
bool send(IpcConnection& connection, const Message& message, const Fd* fd = nullptr) {
  const std::string bytes = message.SerializeAsString();
  const int number = fd != nullptr ? fd->get() : -1;
  return connection.send(as_bytes(bytes), fd != nullptr ? std::span<const int>(&number, 1) : std::span<const int>()).has_value();
}

/// Listens and lets `serve` have each connection until it returns; ends with the object.
class Server {
 public:
  Server(const std::string& path, std::function<void(IpcConnection&, const std::atomic<bool>&)> serve)
      : listener_(IpcListener::listen(path, 0600).value()), thread_([this, serve = std::move(serve)] {
          while (!ending_) {
            auto connection = listener_.accept();
            if (!connection) {
              std::this_thread::yield();
              continue;
            }
            serve(*connection, ending_);
          }
        }) {}
  ~Server() {
    ending_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> ending_ = false;
  IpcListener listener_;
  std::thread thread_;
};

/// A data plane that applies what it gets, unless told otherwise.
struct FakeDataplane {
  std::atomic<std::uint32_t> generation = 0;
  std::atomic<bool> reject = false;
  std::atomic<int> silent_applies = 0;  ///< applied, but not answered
  std::atomic<int> garbage_answers = 0;
  std::uint32_t counted_rule = 0;
  ipc::Explain explained = {};  ///< the last question; read after its answer
  std::uint32_t candidate_generation = 0;
  std::atomic<std::uint32_t> released_binding = 0;
  std::atomic<bool> quarantined = true;

  void serve(IpcConnection& connection, const std::atomic<bool>& ending) {
    while (!ending) {
      auto message = connection.receive(20ms);
      if (!message && message.error().detail == ETIMEDOUT) continue;
      if (!message) return;
      ipc::ToDataplane request;
      if (!request.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size()))) return;
      if (!answer(connection, request, *message)) return;
    }
  }

  bool answer(IpcConnection& connection, const ipc::ToDataplane& request, IpcMessage& message) {
    if (garbage_answers > 0) {
      --garbage_answers;
      return connection.send(as_bytes("\xff\xff\xff")).has_value();
    }
    ipc::FromDataplane out;
    out.set_correlation(request.correlation());
    if (request.has_get_status()) out.mutable_status()->set_generation(generation);
    if (request.has_read_counters()) return bulk(connection, out);
    if (request.has_release_binding()) {
      released_binding = request.release_binding().binding();
      out.mutable_binding_released()->set_was_quarantined(quarantined);
    }
    if (request.has_query_neighbours()) out.mutable_failure()->set_reason("no neighbours today");
    if (request.has_explain()) {
      explained = request.explain();
      out.mutable_explanation()->set_verdict("allow");
      if (!message.fds.empty()) {
        auto blob = SealedBlob::open(std::move(message.fds.at(0)), std::size_t{1} << 30).value();
        EXPECT_EQ(blob.bytes().size(), explained.candidate_size());
        candidate_generation = filters::SnapshotView::parse(blob.bytes()).value().generation();
      }
    }
    if (request.has_apply_snapshot()) {
      auto blob = SealedBlob::open(std::move(message.fds.at(0)), std::size_t{1} << 30).value();
      EXPECT_EQ(blob.bytes().size(), request.apply_snapshot().size());
      EXPECT_TRUE(filters::SnapshotView::parse(blob.bytes()).has_value());
      if (reject) {
        out.mutable_rejected()->set_reason("not today");
      } else {
        generation = request.apply_snapshot().generation();
        out.mutable_applied()->set_generation(generation);
      }
      if (silent_applies > 0) {
        --silent_applies;
        return true;
      }
    }
    return send(connection, out);
  }

  bool bulk(IpcConnection& connection, ipc::FromDataplane& out) const {
    ipc::Counters counters;
    auto& rule = *counters.add_rules();
    rule.set_rule(counted_rule);
    rule.set_connections(42);
    rule.set_first_hit_ns(1'000'000'000);
    auto& drop = *counters.add_drops();
    drop.set_tenant(0xffffffffU);
    drop.set_name("bad_vlan");
    drop.set_packets(3);
    const std::string bytes = counters.SerializeAsString();
    out.mutable_bulk()->set_size(bytes.size());
    const Fd fd = make_sealed_blob("counters", as_bytes(bytes)).value();
    return send(connection, out, &fd);
  }
};

class DaemonTest : public testing::Test {
 protected:
  DaemonTest() {
    std::string pattern = testing::TempDir() + "sekisho-daemon-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
  }
  ~DaemonTest() override {
    end();
    std::filesystem::remove_all(directory_);
  }
  void begin() {
    Store store = Store::open(directory_).value();
    Ids ids;
    EXPECT_TRUE(store.load_ids(ids).has_value());
    daemon_ = std::make_unique<Daemon>(
        Daemon::Options{.run_dir = directory_, .state_dir = directory_, .admission = {.everything = {getuid()}, .names = {kLogUid}, .mgmt = {kMgmtUid}, .vpn = {{kVpnUid, KeyingDaemon::kIkeV2}}},
                        .deadlines = {.greet = 2s, .apply = 300ms, .retry = 10ms}},
        std::move(store), std::move(ids), [](const std::string&) {});
    ASSERT_TRUE(daemon_->start().has_value());
    thread_ = std::thread([this] { daemon_->io().run(); });
  }
  void end() {
    if (!thread_.joinable()) return;
    boost::asio::post(daemon_->io(), [this] { daemon_->stop(); });
    thread_.join();
    daemon_.reset();
  }
  void begin_dataplane() {
    dataplane_server_ = std::make_unique<Server>(directory_ + "/dataplane.sock", [this](IpcConnection& c, const std::atomic<bool>& ending) {
      dataplane_.serve(c, ending);
    });
  }
  IpcConnection client() const { return IpcConnection::connect(directory_ + "/control.sock").value(); }

  struct Answer {
    ipc::FromControl message;
    std::vector<Fd> fds;
  };
  static Answer ask(IpcConnection& connection, const ipc::ToControl& request, std::string_view document = {}) {
    const Fd fd = document.empty() ? Fd() : make_sealed_blob("document", as_bytes(std::string(document))).value();
    EXPECT_TRUE(send(connection, request, document.empty() ? nullptr : &fd));
    auto message = connection.receive(kPatience);
    Answer out;
    if (!message) {
      ADD_FAILURE() << "no answer";
      return out;
    }
    EXPECT_TRUE(out.message.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size())));
    EXPECT_EQ(out.message.correlation(), request.correlation());
    out.fds = std::move(message->fds);
    return out;
  }
  ipc::CommitResult commit(std::string_view document) {
    ipc::ToControl request;
    request.set_correlation(77);
    request.mutable_commit_config()->set_file_name("doc.yaml");
    auto connection = client();
    return ask(connection, request, document).message.commit_result();
  }
  /// Repeats until the daemon has found the data plane; each try waits for an answer.
  ipc::CommitResult commit_when_connected(std::string_view document) {
    for (;;) {
      const ipc::CommitResult result = commit(document);
      if (result.error().find("is not there") == std::string::npos) return result;
      std::this_thread::yield();
    }
  }
  ipc::ShowResult show(ipc::Show::What what, const std::string& tenant = {}) {
    ipc::ToControl request;
    request.mutable_show()->set_what(what);
    request.mutable_show()->set_tenant(tenant);
    auto connection = client();
    return ask(connection, request).message.show_result();
  }

  std::string directory_;
  FakeDataplane dataplane_;
  std::unique_ptr<Server> dataplane_server_;
  std::unique_ptr<Daemon> daemon_;
  std::thread thread_;
};

std::string cell(const ipc::Table& table, int row, std::string_view key) {
  for (int i = 0; i < table.columns_size(); ++i) {
    if (table.columns(i).key() == key) return table.rows(row).cells(i);
  }
  return "no such column";
}

TEST_F(DaemonTest, CommitsAndAnswersQuestionsAboutIt) {
  begin_dataplane();
  begin();
  const ipc::CommitResult result = commit_when_connected(kExample);
  ASSERT_TRUE(result.ok()) << result.error();
  EXPECT_EQ(dataplane_.generation, 1U);

  auto connection = client();
  ipc::ToControl request;
  request.mutable_list_revisions();
  const Answer revisions = ask(connection, request);
  EXPECT_EQ(revisions.message.revisions().running(), 1U);
  EXPECT_EQ(revisions.message.revisions().revisions(0).state(), "running");
  request.mutable_get_config();
  EXPECT_EQ(ask(connection, request).message.document().text(), kExample);
  request.mutable_get_names()->set_generation(1);
  Answer names = ask(connection, request);
  auto blob = SealedBlob::open(std::move(names.fds.at(0)), std::size_t{1} << 20).value();
  ipc::NameTable table;
  ASSERT_TRUE(table.ParseFromArray(blob.bytes().data(), static_cast<int>(blob.bytes().size())));
  EXPECT_EQ(table.rules_size(), 10);
  request.mutable_get_names()->set_generation(9);
  EXPECT_EQ(ask(connection, request).message.names().size(), 0U);
}

TEST_F(DaemonTest, ShowsWhatIsCountedBesideItsName) {
  begin_dataplane();
  begin();
  dataplane_.counted_rule = 1;
  ASSERT_TRUE(commit_when_connected(kExample).ok());

  const ipc::Table rules = show(ipc::Show::RULES).table();

  ASSERT_EQ(rules.rows_size(), 10);
  EXPECT_EQ(cell(rules, 0, "name"), "web allowed");
  EXPECT_EQ(cell(rules, 0, "connections"), "42");
  EXPECT_EQ(cell(rules, 0, "first_hit"), "1970-01-01 09:00:01");
  EXPECT_EQ(cell(rules, 1, "connections"), "0");
  EXPECT_EQ(cell(rules, 3, "name"), "既定拒否");
  EXPECT_EQ(show(ipc::Show::RULES, "globex").table().rows_size(), 1);
  EXPECT_EQ(show(ipc::Show::RULES, "glo00000001").table().rows_size(), 1);
  EXPECT_THAT(show(ipc::Show::RULES, "nobody").error(), HasSubstr("there is no tenant \"nobody\""));
  EXPECT_EQ(show(ipc::Show::PORTS).table().rows_size(), 6);
  EXPECT_EQ(show(ipc::Show::PORTS, "globex").table().rows_size(), 2);
  EXPECT_EQ(show(ipc::Show::TENANTS).table().rows_size(), 2);
  EXPECT_EQ(show(ipc::Show::BINDINGS).table().rows_size(), 4);
  EXPECT_EQ(cell(show(ipc::Show::DROPS).table(), 0, "reason"), "bad_vlan");
  EXPECT_EQ(show(ipc::Show::DROPS, "globex").table().rows_size(), 0);
  EXPECT_THAT(show(ipc::Show::NEIGHBOURS).table().note(), HasSubstr("no neighbours today"));
  EXPECT_EQ(cell(show(ipc::Show::STATUS).table(), 2, "value"), "1");
}

TEST_F(DaemonTest, ExplainAsksForAPortByNameAndTenant) {
  begin_dataplane();
  begin();
  ASSERT_TRUE(commit_when_connected(kExample).ok());
  auto connection = client();
  ipc::ToControl request;
  auto& explain = *request.mutable_explain_packet();
  explain.set_frame("x");
  const auto reason = [&] { return ask(connection, request).message.failure().reason(); };

  explain.set_port("desk");
  EXPECT_TRUE(ask(connection, request).message.explain_result().ok());
  EXPECT_EQ(dataplane_.explained.frame(), "x");
  EXPECT_EQ(dataplane_.explained.candidate_size(), 0U);
  const std::uint32_t desk = dataplane_.explained.port();
  explain.set_port("web1");
  EXPECT_THAT(reason(), HasSubstr("several tenants have a port \"web1\""));
  explain.set_tenant("globex");
  EXPECT_TRUE(ask(connection, request).message.explain_result().ok());
  EXPECT_NE(dataplane_.explained.port(), desk);
  explain.set_port("desk");
  EXPECT_THAT(reason(), HasSubstr("there is no port \"desk\" of tenant \"globex\""));
  explain.clear_tenant();
  explain.set_port("internet");
  EXPECT_TRUE(ask(connection, request).message.explain_result().ok()) << "an uplink";
}

TEST_F(DaemonTest, ExplainKnowsUsersByTheirNamesOfTheTenantAndOfTheCandidate) {
  begin_dataplane();
  begin();
  ASSERT_TRUE(commit_when_connected(kRemote).ok());
  auto connection = client();
  ipc::ToControl request;
  auto& explain = *request.mutable_explain_packet();
  explain.set_port("users");
  explain.set_tenant("acme");
  explain.set_user("hana");
  EXPECT_TRUE(ask(connection, request).message.explain_result().ok());
  const std::uint32_t hana = dataplane_.explained.packet().user();
  EXPECT_NE(hana, 0U);
  explain.set_tenant("globex");
  EXPECT_TRUE(ask(connection, request).message.explain_result().ok());
  EXPECT_NE(dataplane_.explained.packet().user(), hana) << "the other tenant's hana";
  explain.set_user("ken");
  EXPECT_THAT(ask(connection, request).message.failure().reason(), HasSubstr("has no user \"ken\""));
  explain.set_tenant("acme");
  explain.set_user("kento");
  EXPECT_THAT(ask(connection, request).message.failure().reason(), HasSubstr("has no user \"kento\""));
  explain.set_candidate_file("next.yaml");
  EXPECT_TRUE(ask(connection, request, with(kRemote, "name: ken", "name: kento")).message.explain_result().ok());
  EXPECT_NE(dataplane_.explained.packet().user(), 0U);
}

TEST_F(DaemonTest, ExplainUnderACandidateStoresNothingAndListsItsFindings) {
  begin_dataplane();
  begin();
  ASSERT_TRUE(commit_when_connected(kExample).ok());
  auto connection = client();
  ipc::ToControl request;
  auto& explain = *request.mutable_explain_packet();
  explain.set_port("laptop");
  explain.set_frame("x");
  explain.set_candidate_file("next.yaml");

  const Answer renamed = ask(connection, request, with(with(kExample, "name: desk,", "name: laptop,"), "port: desk\n", "port: laptop\n"));
  EXPECT_FALSE(renamed.message.explain_result().ok()) << "other places still say desk";
  EXPECT_GT(renamed.message.explain_result().findings_size(), 0);
  EXPECT_EQ(renamed.message.explain_result().findings(0).file_name(), "next.yaml");

  explain.set_port("desk");
  const Answer said = ask(connection, request, with(kExample, "name: rest,", "name: all the rest,"));
  EXPECT_TRUE(said.message.explain_result().ok()) << said.message.explain_result().error();
  EXPECT_TRUE(said.message.explain_result().candidate());
  EXPECT_EQ(dataplane_.candidate_generation, 2U);
  EXPECT_EQ(dataplane_.generation, 1U);
  request.mutable_list_revisions();
  EXPECT_EQ(ask(connection, request).message.revisions().revisions_size(), 1);
}

TEST_F(DaemonTest, EndsTheQuarantineOfTheBindingThatIsMeantAndNoOther) {
  begin_dataplane();
  begin();
  ASSERT_TRUE(commit_when_connected(kExample).ok());
  const auto end_quarantine = [&](const std::string& binding, const std::string& tenant) {
    ipc::ToControl request;
    request.mutable_end_quarantine()->set_binding(binding);
    request.mutable_end_quarantine()->set_tenant(tenant);
    auto connection = client();
    return ask(connection, request).message.quarantine_ended();
  };

  EXPECT_THAT(end_quarantine("nothing", "").error(), HasSubstr("there is no binding \"nothing\""));
  EXPECT_THAT(end_quarantine("desk-eth0", "globex").error(), HasSubstr("there is no binding"));
  EXPECT_THAT(end_quarantine("web1-eth0", "").error(), HasSubstr("say which with --tenant"));
  EXPECT_EQ(dataplane_.released_binding, 0U);
  EXPECT_TRUE(end_quarantine("web1-eth0", "globex").ok());
  const std::uint32_t globex = dataplane_.released_binding;
  EXPECT_TRUE(end_quarantine("web1-eth0", "acm00000001").ok());
  EXPECT_NE(dataplane_.released_binding, globex);
  EXPECT_TRUE(end_quarantine("desk-eth0", "").ok());
  dataplane_.quarantined = false;
  EXPECT_THAT(end_quarantine("desk-eth0", "").error(), HasSubstr("not in quarantine"));
}

TEST_F(DaemonTest, SaysSoWhenThereIsNoDataPlane) {
  begin();

  EXPECT_THAT(commit(kExample).error(), HasSubstr("the data plane is not there"));
  EXPECT_THAT(show(ipc::Show::RULES).error(), HasSubstr("no revision is running"));
  EXPECT_THAT(show(ipc::Show::STATUS).table().note(), HasSubstr("the data plane is not there"));
}

TEST_F(DaemonTest, ListsTheFindingsOfAWrongDocument) {
  begin();

  const ipc::CommitResult result = commit("node: u0\nnics:\n  - { name: a }\n");

  EXPECT_FALSE(result.ok());
  ASSERT_EQ(result.findings_size(), 1);
  EXPECT_EQ(result.findings(0).path(), "nics[0].device");
  EXPECT_EQ(result.findings(0).line(), 3U);
  EXPECT_EQ(result.findings(0).file_name(), "doc.yaml");
}

TEST_F(DaemonTest, AnswersWithinADatagramHoweverMuchIsWrong) {
  begin();
  std::string text;
  for (int i = 0; i < 900; ++i) text += std::string(60, 'x') + std::to_string(i) + ": 1\n";

  const ipc::CommitResult result = commit(text);

  EXPECT_FALSE(result.ok());
  EXPECT_GT(result.findings_size(), 100);
  EXPECT_THAT(result.findings(result.findings_size() - 1).sentence(), HasSubstr("further findings are left out"));
}

TEST_F(DaemonTest, TellsWhyTheDataPlaneRejected) {
  begin_dataplane();
  begin();
  ASSERT_TRUE(commit_when_connected("{}").ok());
  dataplane_.reject = true;

  EXPECT_THAT(commit(kExample).error(), HasSubstr("not today"));
  EXPECT_EQ(dataplane_.generation, 1U);
}

TEST_F(DaemonTest, AsksWhatIsInForceAfterSilence) {
  begin_dataplane();
  begin();
  ASSERT_TRUE(commit_when_connected("{}").ok());
  dataplane_.silent_applies = 1;

  EXPECT_THAT(commit(kExample).error(), HasSubstr("did not answer"));

  const ipc::CommitResult next = [&] {
    for (;;) {
      const ipc::CommitResult result = commit_when_connected("{}");
      if (result.error().find("waits for the data plane") == std::string::npos) return result;
    }
  }();
  EXPECT_TRUE(next.ok()) << next.error();
  EXPECT_EQ(next.revision(), 3U);
  auto connection = client();
  ipc::ToControl request;
  request.mutable_list_revisions();
  EXPECT_EQ(ask(connection, request).message.revisions().revisions(1).state(), "superseded") << "it had come into force";
}

TEST_F(DaemonTest, OutlivesAMadDataPlane) {
  dataplane_.garbage_answers = 3;
  begin_dataplane();
  begin();

  EXPECT_TRUE(commit_when_connected("{}").ok());
}

TEST_F(DaemonTest, GivesARestartedDataPlaneTheRunningRevision) {
  begin_dataplane();
  begin();
  ASSERT_TRUE(commit_when_connected(kExample).ok());
  dataplane_server_.reset();
  dataplane_.generation = 0;

  begin_dataplane();

  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (dataplane_.generation != 1U && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  EXPECT_EQ(dataplane_.generation, 1U);
}

TEST_F(DaemonTest, ClosesAClientThatSendsNonsenseAndServesTheOthers) {
  begin();
  auto mad = client();
  auto sane = client();
  ASSERT_TRUE(mad.send(as_bytes("\xff\xff\xff\xff")).has_value());

  EXPECT_FALSE(mad.receive(kPatience).has_value());

  ipc::ToControl request;
  request.set_correlation(5);
  EXPECT_THAT(ask(sane, request).message.failure().reason(), HasSubstr("without a question"));
  request.mutable_check_config();
  EXPECT_THAT(ask(sane, request).message.failure().reason(), HasSubstr("one descriptor"));
  EXPECT_TRUE(ask(sane, request, "{}").message.check_result().ok());
}

TEST_F(DaemonTest, DiffsAgainstTheRunningRevision) {
  begin_dataplane();
  begin();
  ASSERT_TRUE(commit_when_connected(kExample).ok());
  ipc::ToControl request;
  request.mutable_diff_config();
  auto connection = client();

  const Answer answer = ask(connection, request, with(kExample, "action: reject", "action: drop"));

  ASSERT_EQ(answer.message.diff_result().changes_size(), 1);
  EXPECT_EQ(answer.message.diff_result().changes(0).path(), "tenants[acme].policies[inside].rules[印刷機は拒否].action");
}

TEST_F(DaemonTest, HandsOnTheStreamLogdOpens) {
  begin();
  ipc::ToControl request;
  request.mutable_open_log_stream()->set_service_code("acm00000001");
  auto connection = client();
  EXPECT_THAT(ask(connection, request).message.log_stream().error(), HasSubstr("logd is not there"));

  Server logd(directory_ + "/export.sock", [](IpcConnection& c, const std::atomic<bool>&) {
    auto message = c.receive(kPatience);
    ipc::ToLog asked;
    if (!message || !asked.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size()))) return;
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const Fd read_end(ends[0]);
    const Fd write_end(ends[1]);
    ASSERT_EQ(::write(write_end.get(), asked.open_stream().service_code().data(), asked.open_stream().service_code().size()), 11);
    ipc::FromLog out;
    out.mutable_stream()->set_ok(true);
    send(c, out, &read_end);
  });
  Answer answer = ask(connection, request);

  ASSERT_TRUE(answer.message.log_stream().ok()) << answer.message.log_stream().error();
  char text[16] = {};
  EXPECT_EQ(::read(answer.fds.at(0).get(), text, sizeof(text)), 11);
  EXPECT_STREQ(text, "acm00000001");
}

/// Does `work` as somebody else, in a thread: the system call, unlike the library's, changes the caller's own thread alone. A child of
/// a process with threads might wait for ever for what one of them held. Its result, or `refused`.
template <typename Work>
int as_uid(uid_t uid, int refused, Work work) {
  int out = refused;
  std::thread([&] {
    if (::syscall(SYS_setresuid, uid, uid, uid) == 0) out = work();
  }).join();
  return out;
}

/// What a peer of another uid hears to one request: 0 = an answer, 1 = its connection was closed, more = it could not ask.
int ask_as(uid_t uid, const std::string& directory, const ipc::ToControl& request) {
  return as_uid(uid, 2, [&] {
    auto connection = IpcConnection::connect(directory + "/control.sock");
    const std::string bytes = request.SerializeAsString();
    if (!connection) return 3;
    if (!connection->send({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()})) return 1;
    const auto answer = connection->receive(kPatience);
    return answer ? 0 : answer.error().code == ErrorCode::kNotFound ? 1 : 4;
  });
}

TEST_F(DaemonTest, GivesTheKeyingDaemonItsConfigurationWhenItIsNewer) {
  begin_dataplane();
  begin();
  auto connection = client();
  ipc::ToControl request;
  request.mutable_get_vpn_config();
  EXPECT_EQ(ask(connection, request).message.vpn_config().size(), 0U) << "nothing runs";
  ASSERT_TRUE(commit_when_connected(kRemote).ok());
  Answer first = ask(connection, request);
  EXPECT_EQ(first.message.vpn_config().generation(), 1U);
  ASSERT_EQ(first.fds.size(), 1U);
  auto blob = SealedBlob::open(std::move(first.fds.at(0)), std::size_t{1} << 20).value();
  EXPECT_EQ(blob.bytes().size(), first.message.vpn_config().size());
  ipc::VpnConfig config;
  ASSERT_TRUE(config.ParseFromArray(blob.bytes().data(), static_cast<int>(blob.bytes().size())));
  EXPECT_EQ(config.tenants(0).users_size(), 4);

  request.mutable_get_vpn_config()->set_known(1);
  const Answer again = ask(connection, request);
  EXPECT_EQ(again.message.vpn_config().generation(), 1U);
  EXPECT_EQ(again.message.vpn_config().size(), 0U);
  EXPECT_TRUE(again.fds.empty());
  ASSERT_TRUE(commit(with(kRemote, "name: ken", "name: kento")).ok());
  EXPECT_EQ(ask(connection, request).message.vpn_config().generation(), 2U);
}

/// A logd that says of its disk what the test wants.
void say_level(IpcConnection& connection, const std::string& level) {
  const auto message = connection.receive(kPatience);
  ipc::ToLog asked;
  if (!message || !asked.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size()))) return;
  ipc::FromLog out;
  if (asked.has_watch()) out.mutable_watched()->set_pressure(level);
  if (asked.has_set_exports()) out.mutable_exports_set()->set_ok(true);
  send(connection, out);
}

TEST_F(DaemonTest, TellsTheKeyingDaemonsWhetherTheLogsDiskIsFull) {
  std::mutex mutex;
  std::string level = "acl";
  std::atomic<int> said = 0;
  Server logd(directory_ + "/export.sock", [&](IpcConnection& c, const std::atomic<bool>&) {
    const std::lock_guard lock(mutex);
    say_level(c, level);
    ++said;
  });
  begin();
  auto connection = client();
  ipc::ToControl request;
  request.mutable_get_vpn_config();
  const auto full = [&] { return ask(connection, request).message.vpn_config().log_full(); };
  while (said < 2) std::this_thread::yield();  // what was said first is known by the second question
  EXPECT_FALSE(full());
  {
    const std::lock_guard lock(mutex);
    level = "full";
  }
  const int until = said + 2;
  while (said < until) std::this_thread::yield();
  EXPECT_TRUE(full());
}

/// iked as far as operators' questions go: ready, and answering with what the test says.
class Keying {
 public:
  explicit Keying(IpcConnection connection, KeyingDaemon who = KeyingDaemon::kIkeV2) : connection_(std::move(connection)), who_(who) { ready(0); }
  void ready(std::uint64_t answers) {
    ipc::ToControl message;
    message.set_correlation(++last_);
    message.mutable_vpn_ready()->set_answers(answers);
    message.mutable_vpn_ready()->set_daemon(static_cast<std::uint32_t>(who_));
    ASSERT_TRUE(send(connection_, message));
  }
  /// The next question that is not for what has to be remembered, or the first that is.
  ipc::VpnQuestion question(bool save = false) {
    for (;;) {
      auto message = connection_.receive(kPatience);
      ipc::FromControl out;
      if (!message || !out.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size())) || message->fds.size() != 1) {
        ADD_FAILURE() << "no question";
        return {};
      }
      EXPECT_EQ(out.correlation(), last_);
      fd_ = std::move(message->fds[0]);
      if (out.vpn_question().has_save() == save) return out.vpn_question();
      answer(out.vpn_question(), {});
    }
  }
  void answer(const ipc::VpnQuestion& to, const ipc::VpnAnswer& answer) {
    const std::string bytes = answer.SerializeAsString();
    ASSERT_EQ(::write(fd_.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    ready(to.number());
  }
  Fd fd_;

 private:
  IpcConnection connection_;
  KeyingDaemon who_;
  std::uint64_t last_ = 0;
};

ipc::VpnSession vpn_session(std::uint64_t sid, const std::string& user, std::uint32_t tenant = 1) {
  ipc::VpnSession out;
  out.set_tenant(tenant), out.set_vpn_sid(sid), out.set_user(user), out.set_gateway("tokyo"), out.set_start_ns(sid * 1'000'000'000);
  out.set_peer_address(std::string("\xcb\x00\x71\x09", 4)), out.set_peer_port(4500), out.set_inner_ipv4(std::string("\x0a\x63\x00\x0b", 4));
  return out;
}

std::string cells_of(const ipc::Table& table) {
  std::string out;
  for (const auto& row : table.rows()) {
    for (const std::string& cell : row.cells()) out += cell + '|';
    out += '\n';
  }
  return out;
}

TEST_F(DaemonTest, AsksEveryDaemonOfRemoteAccessAndGivesOneAnswer) {
  begin_dataplane();
  begin();
  ASSERT_TRUE(commit_when_connected(kRemote).ok());
  Keying ike(client()), ppp(client(), KeyingDaemon::kPpp);
  (void)ike.question(true);  // both are known
  ike.answer({}, {});
  auto connection = client();
  ipc::ToControl show;
  show.set_correlation(77);
  show.mutable_show()->set_what(ipc::Show::VPN_SESSIONS);
  ASSERT_TRUE(send(connection, show));
  for (auto* daemon : {&ike, &ppp}) {
    const auto question = daemon->question();
    ASSERT_TRUE(question.has_list());
    ipc::VpnAnswer answer;
    *answer.add_sessions() = vpn_session(daemon == &ike ? 0xa71c : 0x12, daemon == &ike ? "ken" : "hana");
    daemon->answer(question, answer);
  }
  const auto message = connection.receive(kPatience);
  ipc::FromControl out;
  ASSERT_TRUE(message && out.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size())));
  const std::string cells = cells_of(out.show_result().table());
  EXPECT_THAT(cells, HasSubstr("|ken|"));
  EXPECT_THAT(cells, HasSubstr("|hana|"));
}

TEST_F(DaemonTest, TellsEachDaemonOfRemoteAccessWhatTheOthersCountedOfWrongPasswords) {
  begin_dataplane();
  begin();
  ASSERT_TRUE(commit_when_connected(kRemote).ok());
  Keying ike(client()), ppp(client(), KeyingDaemon::kPpp);
  ipc::VpnAnswer counted;
  auto& failures = *counted.mutable_memory()->add_failures();
  failures.set_tenant(1), failures.set_user("ken"), failures.set_until(4'102'444'800);
  ike.answer(ike.question(true), counted);
  const auto told = ppp.question();
  ASSERT_TRUE(told.has_learn());
  EXPECT_EQ(told.learn().from(), 0U);
  ASSERT_EQ(told.learn().failures_size(), 1);
  EXPECT_EQ(told.learn().failures(0).user(), "ken");
  ppp.answer(told, {});
  // One that comes later is told as well, and all that somebody was let in again.
  Keying pptp(client(), KeyingDaemon::kPptp);
  const auto later = pptp.question();
  ASSERT_TRUE(later.has_learn());
  EXPECT_EQ(later.learn().failures(0).user(), "ken");
  pptp.answer(later, {});
  ipc::VpnAnswer none;
  none.mutable_memory();
  ike.answer(ike.question(true), none);
  const auto taken_back = ppp.question();
  ASSERT_TRUE(taken_back.has_learn());
  EXPECT_EQ(taken_back.learn().failures_size(), 0);
}

TEST_F(DaemonTest, ShowsWhoIsInAndWhoIsShutOutAndSaysWhenNobodyKnows) {
  begin_dataplane();
  begin();
  ASSERT_TRUE(commit_when_connected(kRemote).ok());
  auto connection = client();
  ipc::ToControl request;
  request.mutable_show()->set_what(ipc::Show::USERS);
  const auto nobody = ask(connection, request).message.show_result().table();
  EXPECT_THAT(nobody.note(), HasSubstr("not known"));
  EXPECT_EQ(nobody.rows_size(), 4) << "whom the document names";
  Keying keying(client());
  const auto shown = [&](ipc::Show::What what, const ipc::VpnAnswer& answer) {
    ipc::ToControl show;
    show.set_correlation(77);
    show.mutable_show()->set_what(what);
    EXPECT_TRUE(send(connection, show));
    auto message = connection.receive(0s);
    while (!message && !HasFailure()) {  // controld asks for itself as well, and may have asked first
      const auto question = keying.question();
      EXPECT_TRUE(question.has_list());
      keying.answer(question, answer);
      message = connection.receive(1s);
    }
    ipc::FromControl out;
    EXPECT_TRUE(message && out.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size())));
    return out.show_result().table();
  };
  ipc::VpnAnswer answer;
  *answer.add_sessions() = vpn_session(0xa71c, "KEN");
  *answer.add_sessions() = vpn_session(0x12, "ken");
  *answer.add_sessions() = vpn_session(0x13, std::string("na\x1bme\n", 6));
  *answer.add_sessions() = vpn_session(0x14, "of another", 99);
  auto& locked = *answer.add_locked();
  locked.set_tenant(1), locked.set_user("stranger"), locked.set_until(4'102'444'800);
  const auto users = cells_of(shown(ipc::Show::USERS, answer));
  EXPECT_THAT(users, HasSubstr("acm00000001|ken|"));
  EXPECT_THAT(users, HasSubstr("|in|2|10.99.0.11|"));
  EXPECT_THAT(users, HasSubstr("acm00000001|stranger||shut out|0|||2100-01-01 09:00:00|"));
  EXPECT_THAT(users, HasSubstr("(unprintable)"));
  EXPECT_THAT(users, Not(HasSubstr("another")));
  const auto sessions = shown(ipc::Show::VPN_SESSIONS, answer);
  EXPECT_EQ(sessions.rows_size(), 3);
  EXPECT_THAT(cells_of(sessions), HasSubstr("000000000000a71c|acm00000001|KEN||tokyo||203.0.113.9:4500|10.99.0.11||"));
}

TEST_F(DaemonTest, EndsSessionsByNameAndNumberAndLetsUsersInAgain) {
  begin_dataplane();
  begin();
  ASSERT_TRUE(commit_when_connected(kRemote).ok());
  auto connection = client();
  Keying keying(client());
  const auto change = [&](ipc::ChangeVpn::What what, const std::string& user, std::uint32_t done, const auto& expect) {
    ipc::ToControl message;
    message.set_correlation(78);
    message.mutable_change_vpn()->set_what(what);
    message.mutable_change_vpn()->set_user(user);
    EXPECT_TRUE(send(connection, message));
    const auto question = keying.question();
    expect(question);
    ipc::VpnAnswer answer;
    answer.set_done(done);
    keying.answer(question, answer);
    const auto reply = connection.receive(kPatience);
    ipc::FromControl out;
    EXPECT_TRUE(reply && out.ParseFromArray(reply->bytes.data(), static_cast<int>(reply->bytes.size())));
    return out.vpn_changed();
  };
  const auto by_name = change(ipc::ChangeVpn::DISCONNECT, "ken", 2, [](const auto& q) {
    EXPECT_EQ(q.end().user(), "ken");
    EXPECT_EQ(q.end().tenant(), 1U);
    EXPECT_EQ(q.end().vpn_sid(), 0U);
  });
  EXPECT_TRUE(by_name.ok());
  EXPECT_EQ(by_name.count(), 2U);
  const auto by_number = change(ipc::ChangeVpn::DISCONNECT, "000000000000a71c", 0, [](const auto& q) { EXPECT_EQ(q.end().vpn_sid(), 0xa71cU); });
  EXPECT_FALSE(by_number.ok());
  EXPECT_THAT(by_number.error(), HasSubstr("no session"));
  EXPECT_TRUE(change(ipc::ChangeVpn::UNLOCK, "ken", 1, [](const auto& q) { EXPECT_EQ(q.unlock().user(), "ken"); }).ok());
  ipc::ToControl wrong;
  wrong.mutable_change_vpn()->set_tenant("nobody");
  EXPECT_THAT(ask(connection, wrong).message.vpn_changed().error(), HasSubstr("no such tenant"));
}

TEST_F(DaemonTest, KeepsWhatRemoteAccessHasToRememberAndGivesItToTheNextAlone) {
  begin_dataplane();
  begin();
  ASSERT_TRUE(commit_when_connected(kRemote).ok());
  {
    Keying keying(client());
    ipc::VpnAnswer answer;
    auto& last = *answer.mutable_memory()->add_addresses();
    last.set_tenant(1), last.set_user("ken"), last.set_address("\x0a\x63\x00\x0b");
    keying.answer(keying.question(true), answer);
    (void)keying.question(true);  // the answer was taken
  }
  struct stat status {};
  ASSERT_EQ(stat((directory_ + "/vpn-memory.bin").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  ASSERT_EQ(stat((directory_ + "/config.db").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U) << "secrets are in it";
  auto connection = client();
  const auto memory = [&](std::uint32_t known) {
    ipc::ToControl request;
    request.mutable_get_vpn_config()->set_known(known);
    Answer answer = ask(connection, request);
    EXPECT_EQ(answer.fds.size(), 1U);
    auto blob = SealedBlob::open(std::move(answer.fds.at(0)), std::size_t{1} << 20).value();
    ipc::VpnConfig config;
    EXPECT_TRUE(config.ParseFromArray(blob.bytes().data(), static_cast<int>(blob.bytes().size())));
    return config.memory().addresses_size();
  };
  EXPECT_EQ(memory(0), 1);
  ASSERT_TRUE(commit(with(kRemote, "name: ken", "name: kento")).ok());
  EXPECT_EQ(memory(1), 0) << "who knows a revision has its own memory";
}

TEST_F(DaemonTest, BelievesNoAnswerThatIsNoneOrThatNobodyAskedFor) {
  begin_dataplane();
  begin();
  ASSERT_TRUE(commit_when_connected(kRemote).ok());
  Keying keying(client());
  auto connection = client();
  ipc::ToControl show;
  show.set_correlation(79);
  show.mutable_show()->set_what(ipc::Show::USERS);
  ASSERT_TRUE(send(connection, show));
  const auto question = keying.question();
  ASSERT_EQ(::write(keying.fd_.get(), "\xff\xff", 2), 2);
  keying.ready(question.number());
  const auto reply = connection.receive(kPatience);
  ipc::FromControl out;
  ASSERT_TRUE(reply && out.ParseFromArray(reply->bytes.data(), static_cast<int>(reply->bytes.size())));
  EXPECT_THAT(out.show_result().table().note(), HasSubstr("cannot be read"));
}

TEST_F(DaemonTest, ShowsADocumentWithoutItsSecretsUnlessTheyAreAskedFor) {
  begin_dataplane();
  begin();
  ASSERT_TRUE(commit_when_connected(kRemote).ok());
  auto connection = client();
  ipc::ToControl request;
  request.mutable_get_config();
  const std::string shown = ask(connection, request).message.document().text();
  EXPECT_THAT(shown, HasSubstr("(set)"));
  EXPECT_THAT(shown, Not(HasSubstr("8846f7ea")));
  EXPECT_THAT(shown, Not(HasSubstr("MC4CAQAw")));
  request.mutable_get_config()->set_secrets(true);
  EXPECT_EQ(ask(connection, request).message.document().text(), kRemote);
}

TEST_F(DaemonTest, GivesTheLogReaderNamesAndNothingElse) {
  if (getuid() != 0) GTEST_SKIP() << "only root can be somebody else";
  begin();
  ASSERT_EQ(chmod(directory_.c_str(), 0755), 0);
  ASSERT_EQ(chmod((directory_ + "/control.sock").c_str(), 0666), 0);
  ipc::ToControl names;
  names.set_correlation(1);
  names.mutable_get_names()->set_generation(1);
  ipc::ToControl rollback;
  rollback.set_correlation(2);
  rollback.mutable_rollback_config()->set_revision(1);

  EXPECT_EQ(ask_as(kLogUid, directory_, names), 0);
  EXPECT_EQ(ask_as(kLogUid, directory_, rollback), 1);
  ipc::ToControl vpn;
  vpn.set_correlation(3);
  vpn.mutable_get_vpn_config();
  EXPECT_EQ(ask_as(kLogUid, directory_, vpn), 1);
  EXPECT_EQ(ask_as(kVpnUid, directory_, vpn), 0);
  ipc::ToControl change;
  change.set_correlation(4);
  change.mutable_change_vpn()->set_user("ken");
  ipc::ToControl as_another = vpn;
  as_another.mutable_get_vpn_config()->set_daemon(3);
  EXPECT_EQ(ask_as(kVpnUid, directory_, as_another), 1) << "it is not the daemon it says it is";
  ipc::ToControl ready_as_another;
  ready_as_another.mutable_vpn_ready()->set_daemon(1);
  EXPECT_EQ(ask_as(kVpnUid, directory_, ready_as_another), 1);
  EXPECT_EQ(ask_as(kVpnUid, directory_, change), 1);
  EXPECT_EQ(ask_as(kVpnUid, directory_, names), 1);
  EXPECT_EQ(ask_as(kVpnUid, directory_, rollback), 1);
  EXPECT_EQ(ask_as(0, directory_, rollback), 0);
  ipc::ToControl call;
  call.set_correlation(5);
  call.mutable_api_call()->set_method("GetBanner");
  ipc::ToControl account;
  account.set_correlation(6);
  account.mutable_local_account();
  EXPECT_EQ(ask_as(kMgmtUid, directory_, call), 0);
  for (const auto* question : {&names, &rollback, &vpn, &change, &account}) EXPECT_EQ(ask_as(kMgmtUid, directory_, *question), 1);
  EXPECT_EQ(ask_as(kLogUid, directory_, call), 1);
}

TEST_F(DaemonTest, TurnsAwayAPeerThatIsNotAllowed) {
  if (getuid() != 0) GTEST_SKIP() << "only root can be somebody else";
  begin();
  ASSERT_EQ(chmod(directory_.c_str(), 0755), 0);
  ASSERT_EQ(chmod((directory_ + "/control.sock").c_str(), 0666), 0);
  const int heard = as_uid(65534, 2, [this] {
    auto connection = IpcConnection::connect(directory_ + "/control.sock");
    if (!connection) return 3;
    const auto answer = connection->receive(kPatience);
    return !answer && answer.error().code == ErrorCode::kNotFound ? 0 : 4;
  });
  EXPECT_EQ(heard, 0);
}

}  // namespace
}  // namespace sekisho::control::test
