// SPDX-License-Identifier: Apache-2.0
// Goal: the tool says what controld answered, aligned and in JSON, with the exit status that scripts rely on.
// Method: golden texts of the pure renderers; then the whole tool against a controld played over a real socket.
#include <gtest/gtest.h>
#include <unistd.h>

#include <sstream>

#include "base/ipc/sealed_blob.h"
#include "mgmt/cli/app.h"
#include "mgmt/cli/control_client.h"
#include "mgmt/cli/render.h"
#include "mgmt/log/format.h"
#include "mgmt/log/time_text.h"
#include "tests/unit/mgmt/fakes.h"

namespace sekisho::mgmt {
namespace {

using namespace test;

void add_column(ipc::Table& table, const char* key, const char* title, bool number) {
  auto& column = *table.add_columns();
  column.set_key(key), column.set_title(title), column.set_number(number), column.set_right(number);
}

ipc::Table rules_table() {
  ipc::Table table;
  add_column(table, "number", "NO", true);
  add_column(table, "rule", "RULE", false);
  add_column(table, "packets", "PACKETS", true);
  const auto row = [&table](std::initializer_list<const char*> cells) {
    auto& added = *table.add_rows();
    for (const char* cell : cells) added.add_cells(cell);
  };
  row({"12", "公開Web許可", "71"});
  row({"0", "default", ""});
  return table;
}

TEST(TextTable, AlignsWideCharacters) {
  EXPECT_EQ(render_table(rules_table(), Colour::kNo),
            "NO  RULE         PACKETS\n"
            "12  公開Web許可       71\n"
            " 0  default\n");
}

TEST(TextTable, ColoursOnlyWhenAskedTo) {
  ipc::Table table = rules_table();
  table.set_note("2 of 3 rows");
  EXPECT_EQ(render_table(table, Colour::kNo).find('\x1b'), std::string::npos);
  EXPECT_TRUE(render_table(table, Colour::kYes).starts_with("\x1b[1mNO  RULE"));
}

TEST(TextTable, NamesCannotMoveTheCursor) {
  ipc::Table table = rules_table();
  table.mutable_rows(0)->set_cells(1, "a\x1b[2Jb\nc");

  const std::string text = render_table(table, Colour::kNo);

  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_NE(text.find("a\\u001b[2Jb\\u000ac"), std::string::npos);
}

TEST(TextTable, JsonHasTypedCells) {
  ipc::Table table = rules_table();
  table.mutable_rows(1)->set_cells(0, "007");
  table.set_note("n");
  EXPECT_EQ(
      render_table_json(table),
      R"({"rows":[{"number":12,"rule":"公開Web許可","packets":71},{"number":"007","rule":"default","packets":null}],"note":"n"})"
      "\n");
}

TEST(TextTable, WidthCountsColumnsNotBytes) {
  EXPECT_EQ(display_width("abc"), 3U);
  EXPECT_EQ(display_width("許可"), 4U);
  EXPECT_EQ(display_width("ｶﾅ"), 2U);
  EXPECT_EQ(display_width("e\xcc\x81"), 1U);
  EXPECT_EQ(display_width("🔥"), 2U);
}

ipc::Finding finding() {
  ipc::Finding out;
  out.set_file_name("site.yaml"), out.set_line(12), out.set_column(7);
  out.set_path("tenants[0].policies[1].rules[3].destination"), out.set_sentence("no address object is called x");
  return out;
}

TEST(Render, FindingsAreWhereEditorsLook) {
  ipc::CheckResult result;
  *result.add_findings() = finding();
  EXPECT_EQ(render(result, Colour::kNo),
            "site.yaml:12:7: error: tenants[0].policies[1].rules[3].destination: no address object is called x\n"
            "refused: 1 finding\n");
  EXPECT_EQ(render_json(result),
            R"({"ok":false,"findings":[{"severity":"error","file":"site.yaml","line":12,"column":7,)"
            R"("path":"tenants[0].policies[1].rules[3].destination","sentence":"no address object is called x"}]})"
            "\n");
}

TEST(Render, CommitTellsItsRevisionAndThatItMustBeConfirmed) {
  ipc::CommitResult result;
  result.set_ok(true), result.set_revision(42), result.set_confirm_seconds(120);
  result.set_compile_microseconds(1500), result.set_build_microseconds(2000), result.set_swap_microseconds(90);
  EXPECT_EQ(render(result, Colour::kNo),
            "revision 42 is in force (compiled in 1.5 ms, built in 2.0 ms, swapped in 0.0 ms)\n"
            "it will be taken back in 120 s unless you confirm: sekishoctl config confirm\n");
  EXPECT_EQ(
      render_json(result),
      R"({"ok":true,"revision":42,"confirm_seconds":120,"compile_us":1500,"build_us":2000,"swap_us":90,"error":"","findings":[]})"
      "\n");
}

TEST(Render, DiffShowsEachKindOfChange) {
  ipc::DiffResult result;
  result.set_ok(true);
  const auto change = [&result](ipc::Change::Kind kind, const char* path, const char* before, const char* after) {
    auto& one = *result.add_changes();
    one.set_kind(kind), one.set_path(path), one.set_before(before), one.set_after(after);
  };
  change(ipc::Change::ADDED, "a", "", "1");
  change(ipc::Change::REMOVED, "b", "2", "");
  change(ipc::Change::CHANGED, "c", "3", "4");
  change(ipc::Change::MOVED, "d", "5", "6");
  EXPECT_EQ(render(result, Colour::kNo), "+ a: 1\n- b: 2\n~ c: 3 -> 4\n> d: 5 -> 6\n4 changes\n");
}

TEST(Render, LogLineIsReadable) {
  LogEntry entry = comm_entry();
  auto& comm = std::get<CommFields>(entry.body);
  comm.action = CommAction::kDrop, comm.phase = CommPhase::kDrop, comm.reason = filters::LogReason::kDefault;
  comm.rule_name = "既定拒否", comm.src_port = 50000, comm.dst_port = 23, comm.count = 37;
  std::string line;
  append_json(line, entry, Audience::kTenant);

  EXPECT_EQ(
      render_log_line(line, Colour::kNo),
      "12:00:00.000  drop    drop default    既定拒否                  net  tcp 203.0.113.77:50000 > 10.0.0.2:23  x37");
  EXPECT_EQ(render_log_line("not json", Colour::kNo), "not json");
}

struct Ran {
  int status = 0;
  std::string out, err;
};

Ran run(const std::string& run_dir, const std::vector<std::string>& arguments) {
  std::ostringstream out, err;
  const int status = run_sekishoctl(arguments, {run_dir, false}, out, err);
  return {status, out.str(), err.str()};
}

std::string site_file(const TempDir& dir) {
  const std::string path = dir.path() + "/site.yaml";
  std::ofstream(path) << "node: u0\n";
  return path;
}

TEST(Sekishoctl, CommitSendsTheDocumentSealedWithItsOptions) {
  const TempDir dir;
  const std::string file = site_file(dir);
  FakeControld controld(dir.path(), [](const ipc::ToControl& question, const std::string& document, Fd&) {
    EXPECT_EQ(document, "node: u0\n");
    EXPECT_EQ(question.commit_config().comment(), "why");
    EXPECT_EQ(question.commit_config().confirm_seconds(), 60U);
    EXPECT_EQ(question.commit_config().base_revision(), 41U);
    ipc::FromControl answer;
    answer.mutable_commit_result()->set_ok(true);
    answer.mutable_commit_result()->set_revision(42);
    return answer;
  });

  const Ran ran = run(dir.path(), {"config", "commit", file, "-m", "why", "--confirm", "60", "--base", "41"});

  EXPECT_EQ(ran.status, 0);
  EXPECT_TRUE(ran.out.starts_with("revision 42 is in force")) << ran.out;
}

TEST(Sekishoctl, FindingsAreExitStatusOne) {
  const TempDir dir;
  const std::string file = site_file(dir);
  FakeControld controld(dir.path(), [](const ipc::ToControl&, const std::string&, Fd&) {
    ipc::FromControl answer;
    *answer.mutable_check_result()->add_findings() = finding();
    return answer;
  });

  EXPECT_EQ(run(dir.path(), {"config", "check", file}).status, 1);
}

TEST(Sekishoctl, DiffOfARevisionFetchesItFirst) {
  const TempDir dir;
  FakeControld controld(
      dir.path(),
      [](const ipc::ToControl& question, const std::string& document, Fd& attach) {
        ipc::FromControl answer;
        if (question.has_get_config()) {
          EXPECT_EQ(question.get_config().revision(), 41U);
          const std::string text = "node: u1\n";
          attach = must(make_sealed_blob("d", {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}));
          answer.mutable_document()->set_in_fd(true);
        } else {
          EXPECT_EQ(document, "node: u1\n");
          EXPECT_EQ(question.diff_config().against(), 40U);
          answer.mutable_diff_result()->set_ok(true);
        }
        return answer;
      },
      2);

  const Ran ran = run(dir.path(), {"config", "diff", "41", "--against", "40"});

  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(ran.out, "0 changes\n");
}

TEST(Sekishoctl, ShowPrintsTablesThatCameInADescriptorToo) {
  const TempDir dir;
  FakeControld controld(dir.path(), [](const ipc::ToControl& question, const std::string&, Fd& attach) {
    EXPECT_EQ(question.show().what(), ipc::Show::RULES);
    EXPECT_EQ(question.show().tenant(), "acme");
    EXPECT_EQ(question.show().limit(), 5U);
    const std::string table = rules_table().SerializeAsString();
    attach = must(make_sealed_blob("t", {reinterpret_cast<const std::uint8_t*>(table.data()), table.size()}));
    ipc::FromControl answer;
    answer.mutable_show_result()->set_in_fd(true);
    return answer;
  });

  const Ran ran = run(dir.path(), {"show", "rules", "--tenant", "acme", "--limit", "5", "--json"});

  EXPECT_EQ(ran.status, 0);
  EXPECT_EQ(ran.out, render_table_json(rules_table()));
}

TEST(Sekishoctl, LogFollowCopiesTheStreamOfATenantGivenByName) {
  const TempDir dir;
  std::string line;
  append_json(line, comm_entry(), Audience::kTenant);
  FakeControld controld(
      dir.path(),
      [&line](const ipc::ToControl& question, const std::string&, Fd& attach) {
        ipc::FromControl answer;
        if (question.has_show()) {
          EXPECT_EQ(question.show().tenant(), "acme");
          auto& table = *answer.mutable_show_result()->mutable_table();
          add_column(table, "name", "NAME", false);
          add_column(table, "service_code", "SERVICE CODE", false);
          auto& row = *table.add_rows();
          row.add_cells("acme"), row.add_cells("acm00000001");
          return answer;
        }
        const auto& open = question.open_log_stream();
        EXPECT_EQ(open.service_code(), "acm00000001");
        EXPECT_EQ(open.types_size(), 2);
        EXPECT_TRUE(open.follow());
        EXPECT_EQ(open.last(), 20U);
        EXPECT_FALSE(open.provider_fields());
        int fds[2];
        EXPECT_EQ(::pipe(fds), 0);
        EXPECT_GT(::write(fds[1], (line + "\n").data(), line.size() + 1), 0);
        ::close(fds[1]);
        attach = Fd(fds[0]);
        answer.mutable_log_stream()->set_ok(true);
        return answer;
      },
      2);

  const Ran ran = run(dir.path(), {"log", "follow", "--tenant", "acme", "--type", "comm,sec", "--last", "20"});

  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(ran.out, render_log_line(line, Colour::kNo) + "\n");
}

TEST(Sekishoctl, WhoStillNeedsTheProfileLegacyIsReportedFromRecords) {
  const TempDir dir;
  const auto up = [](const char* user, std::uint64_t at, const char* message) {
    LogEntry entry = make_entry(LogKind::kVpn);
    entry.ts = Timestamp{at}, entry.svc = "acm00000001", entry.node = "u0";
    auto& body = std::get<VpnFields>(entry.body);
    body.event = VpnEvent::kUp, body.vpn_sid = HexId{1}, body.proto = VpnProtocol::kIkev2, body.user = user, body.gw_name = "tokyo";
    body.peer_ip = *parse_address("203.0.113.9"), body.ike_suite = "3DES/SHA1-96", body.esp_suite = "3DES/SHA1-96", body.msg = message;
    return entry;
  };
  constexpr const char* kNeeds = "weak algorithms in use: 3DES_CBC; let in by the profile legacy alone: 3DES_CBC";
  LogEntry machine = make_entry(LogKind::kSec);
  machine.ts = Timestamp{kNoon}, machine.svc = "acm00000001", machine.node = "u0";
  auto& event = std::get<SecFields>(machine.body);
  event.event = "VPN_LEGACY_USED", event.cat = SecCategory::kVpn, event.action = SecAction::kDetected, event.count = 3;
  event.first_ts = event.last_ts = Timestamp{kNoon}, event.src_ip = *parse_address("203.0.113.10");
  event.msg = "Somebody came in by what the profile legacy alone allows: MODP_1024 at tokyo";
  LogEntry known = machine;  // whose record of the vpn log says it all
  std::get<SecFields>(known.body).user = "alice";
  FakeControld controld(
      dir.path(),
      [&](const ipc::ToControl& question, const std::string&, Fd& attach) {
        const auto& search = question.log().search();
        const bool of_users = search.types(0) == "vpn";
        EXPECT_EQ(search.conditions(0).field(), "event");
        EXPECT_EQ(search.conditions(0).values(0), of_users ? "up" : "VPN_LEGACY_USED");
        ipc::LogPage page;
        page.set_ok(true);
        const auto add = [&page](const LogEntry& entry) { append_json(*page.add_records(), entry, Audience::kTenant); };
        if (of_users) {
          add(up("alice", kNoon + 5 * kSecond, kNeeds)), add(up("alice", kNoon, kNeeds));
          add(up("bob", kNoon, "weak algorithms in use: HMAC_SHA1_96"));  // windows-default's
        } else {
          add(machine), add(known);
        }
        const std::string bytes = page.SerializeAsString();
        attach = must(make_sealed_blob("p", {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}));
        ipc::FromControl answer;
        answer.mutable_log()->mutable_page()->set_ok(true);
        return answer;
      },
      2);

  const Ran ran = run(dir.path(), {"vpn", "legacy", "--tenant", "acm00000001"});

  EXPECT_EQ(ran.status, 0) << ran.err;
  const std::string last = to_text(Timestamp{kNoon + 5 * kSecond}), noon = to_text(Timestamp{kNoon});
  EXPECT_EQ(std::count(ran.out.begin(), ran.out.end(), '\n'), 3) << ran.out;
  EXPECT_NE(ran.out.find("alice  3DES_CBC   tokyo    " + last + "      2  203.0.113.9   3DES/SHA1-96 3DES/SHA1-96"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("MODP_1024  tokyo    " + noon + "      3  203.0.113.10"), std::string::npos) << ran.out;
}

TEST(Sekishoctl, UnreachableControldIsExitStatusThreeAndCheckNamesTheWayWithout) {
  const TempDir dir;
  EXPECT_EQ(run(dir.path(), {"show", "status"}).status, 3);
  const Ran ran = run(dir.path(), {"config", "check", site_file(dir)});
  EXPECT_EQ(ran.status, 3);
  EXPECT_NE(ran.err.find("controld --check"), std::string::npos);
  const Ran json = run(dir.path(), {"--json", "show", "status"});
  EXPECT_EQ(json.status, 3);
  EXPECT_TRUE(json.out.starts_with(R"({"ok":false,"error":"controld does not answer on )")) << json.out;
}

TEST(Sekishoctl, RefusalOfControldIsExitStatusOne) {
  const TempDir dir;
  FakeControld controld(dir.path(), [](const ipc::ToControl&, const std::string&, Fd&) {
    ipc::FromControl answer;
    answer.mutable_failure()->set_reason("no such revision");
    return answer;
  });
  const Ran ran = run(dir.path(), {"config", "rollback", "9"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_EQ(ran.err, "sekishoctl: no such revision\n");
}

TEST(Sekishoctl, WrongUsageIsExitStatusTwo) {
  const TempDir dir;
  const std::vector<std::vector<std::string>> wrong = {{},
                                                       {"nonsense"},
                                                       {"config"},
                                                       {"config", "commit"},
                                                       {"config", "commit", "f", "--confirm", "0"},
                                                       {"config", "rollback"},
                                                       {"config", "rollback", "x"},
                                                       {"show"},
                                                       {"show", "everything"},
                                                       {"show", "rules", "--limit", "-1"},
                                                       {"log", "follow"},
                                                       {"log", "follow", "--tenant", "a", "--type", "mail"},
                                                       {"log", "export", "--tenant", "a", "--format", "xml"},
                                                       {"completion", "fish"},
                                                       {"log", "follow", "--tenant", "a", "--last", "10001"}};
  for (const auto& arguments : wrong) {
    const Ran ran = run(dir.path(), arguments);
    EXPECT_EQ(ran.status, 2) << (arguments.empty() ? "(nothing)" : arguments.back());
    EXPECT_FALSE(ran.err.empty());
  }
}

TEST(Sekishoctl, HelpHasExamplesAndExitStatusZero) {
  const Ran ran = run("/nowhere", {"--help"});
  EXPECT_EQ(ran.status, 0);
  EXPECT_NE(ran.out.find("sekishoctl config commit site.yaml"), std::string::npos);
  EXPECT_EQ(run("/nowhere", {"log", "export", "--help"}).status, 0);
}

TEST(Sekishoctl, MissingDocumentIsNamed) {
  const TempDir dir;
  const Ran ran = run(dir.path(), {"config", "check", dir.path() + "/none.yaml"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_NE(ran.err.find("none.yaml: No such file"), std::string::npos) << ran.err;
}

/// What bash would offer for the words, the last one being completed.
std::string offered(const TempDir& dir, const std::string& words) {
  const std::string script = dir.path() + "/completion.bash";
  std::ofstream(script) << run("/nowhere", {"completion", "bash"}).out;
  const std::string command = "bash -c 'set -eu; source " + script + "; COMP_WORDS=(" + words +
                              "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _sekishoctl; echo \"${COMPREPLY[*]:-}\"'";
  FILE* pipe = ::popen(command.c_str(), "r");
  std::string out;
  char block[4096];
  while (const std::size_t n = std::fread(block, 1, sizeof(block), pipe)) out.append(block, n);
  EXPECT_EQ(::pclose(pipe), 0) << words;
  return out;
}

TEST(Sekishoctl, BashCompletionOffersCommandsAndOptions) {
  const TempDir dir;
  EXPECT_EQ(offered(dir, "sekishoctl \"\""), "config show binding vpn account erasure backup factory-wipe log explain completion\n");
  EXPECT_EQ(offered(dir, "sekishoctl config c"), "check commit confirm\n");
  EXPECT_EQ(offered(dir, "sekishoctl --json show s"), "sessions status\n");
  EXPECT_EQ(offered(dir, "sekishoctl show na"), "nat\n");
  EXPECT_EQ(offered(dir, "sekishoctl show nat --b"), "--blocks\n");
  EXPECT_EQ(offered(dir, "sekishoctl log export --f"), "--format\n");
  EXPECT_EQ(offered(dir, "sekishoctl log export --format \"\""), "json csv\n");
  EXPECT_EQ(offered(dir, "sekishoctl log export --js"), "--json\n");
  EXPECT_EQ(offered(dir, "sekishoctl config check \"\""), "\n");
}

}  // namespace
}  // namespace sekisho::mgmt
