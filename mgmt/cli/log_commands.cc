// SPDX-License-Identifier: Apache-2.0
#include "mgmt/cli/log_commands.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <tuple>

#include "base/legacy_use.h"
#include "mgmt/cli/answer.h"
#include "mgmt/cli/control_client.h"
#include "mgmt/cli/render.h"
#include "mgmt/cli/text_table.h"
#include "mgmt/log/format.h"
#include "mgmt/log/time_text.h"
#include "mgmt/log/vault/calendar.h"
#include "mgmt/log/vault/verify.h"

namespace sekisho::mgmt {
namespace {

/// The answer of logd, by way of controld.
std::variant<ControlAnswer, ControlError> ask_log(Session& session, ipc::ToLog question) {
  ipc::ToControl message;
  *message.mutable_log() = std::move(question);
  auto asked = ask_control(session.run_dir, std::move(message));
  if (auto* answer = std::get_if<ControlAnswer>(&asked); answer != nullptr && !answer->message.has_log()) {
    return ControlError{
        false, answer->message.has_failure() ? answer->message.failure().reason() : "controld answered something else"};
  }
  return asked;
}

/// A time, or the beginning of a day; 0 for an empty text.
std::optional<std::uint64_t> time_of(const std::string& text) {
  if (text.empty()) return 0;
  if (const auto day = parse_day(text)) return start_of(*day).ns;
  const auto time = parse_timestamp(text);
  return time ? std::optional(time->ns) : std::nullopt;
}

template <typename Message>
std::string add_conditions(const std::vector<std::string>& where, Message& to) {
  for (const std::string& text : where) {
    const auto condition = parse_condition(text);
    if (!condition)
      return "\"" + text + "\" is no condition: write FIELD=VALUE, FIELD!=VALUE, FIELD^=BEGINNING, FIELD~PART or FIELD";
    *to.add_conditions() = *condition;
  }
  return {};
}

/// Hands over each page of an answer until `take` has enough; nothing, or what went wrong.
std::optional<ControlError> each_page(Session& session, ipc::SearchLog search, const std::function<bool(const ipc::LogPage&)>& take) {
  for (;;) {
    ipc::ToLog question;
    *question.mutable_search() = search;
    auto asked = ask_log(session, std::move(question));
    if (const auto* error = std::get_if<ControlError>(&asked)) return *error;
    auto& answer = std::get<ControlAnswer>(asked);
    ipc::LogPage page = answer.message.log().page();
    if (!page.ok()) return ControlError{false, page.error()};
    const auto blob = take_blob(answer);
    if (!std::holds_alternative<std::string>(blob) || !page.ParseFromString(std::get<std::string>(blob))) {
      return ControlError{true, "the page cannot be read"};
    }
    if (!take(page) || page.cursor().empty()) return std::nullopt;
    search.set_cursor(page.cursor());
  }
}

constexpr std::uint32_t kReportPage = 1000;

/// What somebody came in by that the profile legacy alone allows: the last time, and how often.
struct LegacyUse {
  std::uint64_t last_ns = 0, times = 0;
  std::string source, suite;
};

/// A user's record, or the event of a machine whose user is not known.
void add_use(const LogEntry& entry, std::map<std::tuple<std::string, std::string, std::string>, LegacyUse>& uses) {
  const auto note = [&uses](std::string who, std::string by, std::string gateway, LegacyUse use) {
    LegacyUse& one = uses[{std::move(who), std::move(by), std::move(gateway)}];
    use.times += one.times;
    if (use.last_ns >= one.last_ns) {
      one = std::move(use);
    } else {
      one.times = use.times;
    }
  };
  if (const auto* up = std::get_if<VpnFields>(&entry.body)) {
    const std::size_t at = up->msg.find(kLegacyUse);
    if (at == std::string::npos) return;
    const std::string suite = up->ike_suite + (up->ike_suite.empty() || up->esp_suite.empty() ? "" : " ") + up->esp_suite;
    note(up->user, up->msg.substr(at + kLegacyUse.size()), up->gw_name, {entry.ts.ns, 1, to_string(up->peer_ip), suite});
  } else if (const auto* event = std::get_if<SecFields>(&entry.body); event != nullptr && event->user.empty()) {
    // "... allows: 3DES_CBC,MODP_1024 at tokyo"
    const std::size_t begin = event->msg.find(": "), end = event->msg.find(" at ", begin);
    if (begin == std::string::npos || end == std::string::npos) return;
    note("", event->msg.substr(begin + 2, end - begin - 2), event->msg.substr(end + 4),
         {event->last_ts.ns, event->count, to_string(event->src_ip), ""});
  }
}

ipc::Table legacy_table(const std::map<std::tuple<std::string, std::string, std::string>, LegacyUse>& uses) {
  ipc::Table out;
  for (const auto& [key, title] : {std::pair("user", "USER"), std::pair("needs", "NEEDS"), std::pair("gateway", "GATEWAY"),
                                   std::pair("last_use", "LAST USE"), std::pair("times", "TIMES"), std::pair("from", "FROM"),
                                   std::pair("suite", "SUITE")}) {
    auto& column = *out.add_columns();
    column.set_key(key), column.set_title(title);
    column.set_right(column.key() == "times"), column.set_number(column.key() == "times");
  }
  for (const auto& [key, use] : uses) {
    const auto& [user, needs, gateway] = key;
    const std::string last = to_text(Timestamp{use.last_ns});
    auto& row = *out.add_rows();
    for (const std::string& cell : {user, needs, gateway, last, std::to_string(use.times), use.source, use.suite}) row.add_cells(cell);
  }
  if (uses.empty()) out.set_note("nobody came in by what the profile legacy alone allows, as far as records are kept");
  return out;
}

std::string faults_text(const ipc::LogVerified& result, Colour colour) {
  std::string out;
  for (const ipc::LogFault& fault : result.faults()) {
    out += painted(clean(fault.file()), Paint::kRed, colour) + ": " + clean(fault.sentence()) + '\n';
  }
  out += std::to_string(result.blocks()) + " blocks, " + std::to_string(result.records()) + " records: " +
         (result.ok() ? painted("nothing is wrong", Paint::kGreen, colour)
                      : painted(std::to_string(result.faults_size()) + " faults", Paint::kRed, colour));
  if (result.unsigned_blocks() > 0)
    out += "; " + std::to_string(result.unsigned_blocks()) + " blocks are younger than the last signature";
  return out + '\n';
}

std::string faults_json(const ipc::LogVerified& result) {
  std::string faults;
  for (const ipc::LogFault& fault : result.faults()) {
    JsonObject one;
    one.text("type", fault.type()).text("file", fault.file()).number("block", fault.block()).text("sentence", fault.sentence());
    faults += (faults.empty() ? "" : ",") + one.take();
  }
  JsonObject out;
  out.number("blocks", result.blocks()).number("records", result.records()).number("unsigned_blocks", result.unsigned_blocks());
  return out.raw("faults", '[' + faults + ']').flag("ok", result.ok()).take() + '\n';
}

/// A pipe into a file that grows; false: the file cannot be written.
bool drain(int fd, std::ofstream& file, std::uint64_t& bytes) {
  std::array<char, 65536> piece;
  for (ssize_t n; (n = ::read(fd, piece.data(), piece.size())) != 0;) {
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 || !file.write(piece.data(), n)) return false;
    bytes += static_cast<std::uint64_t>(n);
  }
  return static_cast<bool>(file.flush());
}

std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

std::optional<ipc::LogCondition> parse_condition(const std::string& text) {
  using Condition = ipc::LogCondition;
  Condition out;
  const std::size_t end = text.find_first_of("=!^~");
  out.set_field(text.substr(0, end));
  if (out.field().empty()) return std::nullopt;
  out.set_test(Condition::PRESENT);
  if (end == std::string::npos) return out;
  std::string value = text.substr(end + 1);
  if (text[end] == '~') {
    out.set_test(Condition::CONTAINS);
  } else if (text[end] != '=') {
    if (!value.starts_with('=')) return std::nullopt;
    value.erase(0, 1);
    out.set_test(text[end] == '^' ? Condition::PREFIX : Condition::EQUAL);
    out.set_negate(text[end] == '!');
  } else {
    out.set_test(Condition::EQUAL);
  }
  if (out.test() != Condition::EQUAL) return out.add_values(value), out;
  if (const std::size_t dots = value.find(".."); dots != std::string::npos) {
    out.set_test(Condition::RANGE);
    out.add_values(value.substr(0, dots)), out.add_values(value.substr(dots + 2));
    return out;
  }
  if (parse_prefix(value.substr(0, value.find(','))) && value.find('/') != std::string::npos)
    out.set_test(Condition::WITHIN);
  for (std::size_t begin = 0, comma; begin <= value.size(); begin = comma + 1) {
    comma = std::min(value.find(',', begin), value.size());
    out.add_values(value.substr(begin, comma - begin));
  }
  return out;
}

ExitStatus search_log(Session& session, const LogSearchRequest& request) {
  const auto code = service_code_of(session, request.tenant);
  if (const auto* error = std::get_if<ControlError>(&code)) return fail(session, *error);
  ipc::SearchLog search;
  search.set_service_code(std::get<std::string>(code));
  for (const std::string& type : request.types) search.add_types(type);
  const auto from = time_of(request.from), to = time_of(request.to);
  if (!from || !to) return fail(session, {false, "times are written 2024-11-28 or 2024-11-28T10:15:02.318+09:00"});
  search.set_from_ns(*from), search.set_to_ns(*to);
  if (const std::string wrong = add_conditions(request.where, search); !wrong.empty())
    return fail(session, {false, wrong});
  search.set_limit(request.limit);
  search.set_cursor(request.cursor);
  const auto error = each_page(session, std::move(search), [&](const ipc::LogPage& page) {
    for (const std::string& line : page.records())
      session.out << (session.json ? line : render_log_line(line, session.colour)) << '\n';
    if (page.cursor().empty() || request.all) return true;
    session.err << (page.partial() ? "time was up; " : "") << "there may be more: --cursor " << page.cursor() << '\n';
    return false;
  });
  return error ? fail(session, *error) : ExitStatus::kOk;
}

ExitStatus report_legacy(Session& session, const std::string& tenant) {
  const auto code = service_code_of(session, tenant);
  if (const auto* error = std::get_if<ControlError>(&code)) return fail(session, *error);
  std::map<std::tuple<std::string, std::string, std::string>, LegacyUse> uses;
  for (const bool of_users : {true, false}) {
    ipc::SearchLog search;
    search.set_service_code(std::get<std::string>(code));
    search.add_types(of_users ? "vpn" : "sec");
    const std::vector<std::string> users{"event=up", "msg~" + std::string(kLegacyUse)}, machines{"event=" + std::string(kLegacyUsed)};
    const std::vector<std::string>& where = of_users ? users : machines;
    if (const std::string wrong = add_conditions(where, search); !wrong.empty()) return fail(session, {false, wrong});
    search.set_limit(kReportPage);
    const auto error = each_page(session, std::move(search), [&uses](const ipc::LogPage& page) {
      for (const std::string& line : page.records()) {
        if (const auto entry = parse_json(line)) add_use(*entry, uses);
      }
      return true;
    });
    if (error) return fail(session, *error);
  }
  const ipc::Table table = legacy_table(uses);
  session.out << (session.json ? render_table_json(table) : render_table(table, session.colour));
  return ExitStatus::kOk;
}

ExitStatus download_log(Session& session, const LogDownloadRequest& request) {
  const auto code = service_code_of(session, request.tenant);
  if (const auto* error = std::get_if<ControlError>(&code)) return fail(session, *error);
  const std::string part = request.file + ".part", token_file = request.file + ".token";
  ipc::ToLog question;
  auto& download = *question.mutable_download();
  download.set_service_code(std::get<std::string>(code));
  for (const std::string& type : request.types) download.add_types(type);
  download.set_window(request.window == "month"         ? ipc::DownloadLog::MONTH
                      : request.window == "thirty-days" ? ipc::DownloadLog::THIRTY_DAYS
                                                        : ipc::DownloadLog::DAYS);
  download.set_first_day(request.first_day), download.set_last_day(request.last_day);
  download.set_format(request.format == "csv" ? ipc::OpenLogStream::CSV : ipc::OpenLogStream::JSON_LINES);
  download.set_gzip(request.gzip), download.set_csv_bom(request.byte_order_mark);
  if (const std::string wrong = add_conditions(request.where, download); !wrong.empty())
    return fail(session, {false, wrong});
  std::error_code none;
  std::uint64_t bytes = 0;
  if (std::filesystem::exists(part, none) && std::filesystem::exists(token_file, none)) {
    bytes = std::filesystem::file_size(part, none);
    download.set_token(read_text(token_file));
    download.set_offset(bytes);
    session.err << "going on after " << bytes << " bytes\n";
  }
  auto asked = ask_log(session, std::move(question));
  if (const auto* error = std::get_if<ControlError>(&asked)) return fail(session, *error);
  auto& answer = std::get<ControlAnswer>(asked);
  const ipc::LogDownload said = answer.message.log().download();
  if (!said.ok()) return fail(session, {false, said.error()});
  if (answer.fds.size() != 1) return fail(session, {true, "controld announced a file and sent none"});
  std::ofstream(token_file, std::ios::binary | std::ios::trunc) << said.token();
  std::ofstream file(part, std::ios::binary | std::ios::app);
  if (!file || !drain(answer.fds[0].get(), file, bytes)) return fail(session, {false, part + ": could not be written"});
  file.close();
  ipc::ToLog state;
  state.mutable_get_download()->set_service_code(std::get<std::string>(code));
  state.mutable_get_download()->set_token(said.token());
  auto told = ask_log(session, std::move(state));
  if (const auto* error = std::get_if<ControlError>(&told)) return fail(session, *error);
  const ipc::LogDownloadState done = std::get<ControlAnswer>(told).message.log().download_state();
  if (!done.finished() || done.bytes() != bytes)
    return fail(session,
                {false, "the download broke off after " + std::to_string(bytes) + " bytes: run it again to go on"});
  std::ofstream(request.file + ".manifest", std::ios::binary | std::ios::trunc) << done.manifest() << '\n';
  std::filesystem::rename(part, request.file, none);
  if (none) return fail(session, {false, request.file + ": could not be written"});
  std::filesystem::remove(token_file, none);
  const std::string records = std::to_string(done.records_written()) + " records of " + said.first_day() + " to " + said.last_day();
  JsonObject fields;
  fields.text("file", request.file).number("records", done.records_written()).number("bytes", bytes);
  fields.text("first_day", said.first_day()).text("last_day", said.last_day());
  return mgmt::done(session, std::move(fields), request.file + ": " + records + ", " + std::to_string(bytes) + " bytes");
}

ExitStatus verify_log(Session& session, const LogVerifyRequest& request) {
  ipc::LogVerified result;
  if (!request.folder.empty()) {
    result = verify_folder(request.folder, request.public_key);
  } else {
    const auto code = service_code_of(session, request.tenant);
    if (const auto* error = std::get_if<ControlError>(&code)) return fail(session, *error);
    ipc::ToLog question;
    question.mutable_verify()->set_service_code(std::get<std::string>(code));
    for (const std::string& type : request.types) question.mutable_verify()->add_types(type);
    auto asked = ask_log(session, std::move(question));
    if (const auto* error = std::get_if<ControlError>(&asked)) return fail(session, *error);
    result = std::get<ControlAnswer>(asked).message.log().verified();
  }
  if (!result.error().empty()) return fail(session, {false, result.error()});
  session.out << (session.json ? faults_json(result) : faults_text(result, session.colour));
  return result.ok() ? ExitStatus::kOk : ExitStatus::kRefused;
}

ExitStatus erase_log(Session& session, const LogEraseRequest& request) {
  const auto code = service_code_of(session, request.tenant);
  if (const auto* error = std::get_if<ControlError>(&code)) return fail(session, *error);
  ipc::ToLog question;
  auto& erase = *question.mutable_erase();
  erase.set_service_code(std::get<std::string>(code));
  for (const std::string& type : request.types) erase.add_types(type);
  erase.set_what(request.what == "now"        ? ipc::EraseLog::NOW
                 : request.what == "withdraw" ? ipc::EraseLog::WITHDRAW
                 : request.what == "report"   ? ipc::EraseLog::REPORT
                                              : ipc::EraseLog::SCHEDULE);
  erase.set_contract(request.contract == "firewall"        ? ipc::EraseLog::FIREWALL
                     : request.contract == "remote-access" ? ipc::EraseLog::REMOTE_ACCESS
                                                           : ipc::EraseLog::OTHER);
  const auto end = time_of(request.end);
  if (!end) return fail(session, {false, "--end is a day like 2024-11-28"});
  erase.set_end_ns(*end);
  erase.set_reason(request.reason);
  auto asked = ask_log(session, std::move(question));
  if (const auto* error = std::get_if<ControlError>(&asked)) return fail(session, *error);
  const ipc::LogErasure said = std::get<ControlAnswer>(asked).message.log().erasure();
  if (!said.ok()) return fail(session, {false, said.error()});
  JsonObject fields;
  std::string sentence = said.state();
  fields.text("state", said.state());
  if (said.state() == "scheduled") {
    const std::string planned = day_text(day_of({said.planned_ns()})), limit = day_text(day_of({said.limit_ns()}));
    sentence += ": planned for " + planned + ", at the latest " + limit;
    fields.text("planned", planned).text("limit", limit);
  }
  if (!said.report().empty()) sentence += '\n' + said.report(), fields.text("report", said.report());
  return done(session, std::move(fields), sentence);
}

namespace {

/// What logd says of a tenant, or of all when the text is empty; else why it says nothing.
std::variant<ipc::LogStatus, ControlError> ask_log_status(Session& session, const std::string& tenant) {
  ipc::ToLog question;
  auto& get = *question.mutable_get_status();
  if (!tenant.empty()) {
    const auto code = service_code_of(session, tenant);
    if (const auto* error = std::get_if<ControlError>(&code)) return *error;
    get.set_service_code(std::get<std::string>(code));
  }
  auto asked = ask_log(session, std::move(question));
  if (const auto* error = std::get_if<ControlError>(&asked)) return *error;
  auto& answer = std::get<ControlAnswer>(asked);
  ipc::LogStatus status;
  const auto blob = take_blob(answer);
  if (!std::holds_alternative<std::string>(blob) || !status.ParseFromString(std::get<std::string>(blob)))
    return ControlError{true, "the state cannot be read"};
  return status;
}

void add_column(ipc::Table& table, const char* key, const char* title, bool number) {
  auto& one = *table.add_columns();
  one.set_key(key), one.set_title(title), one.set_right(number), one.set_number(number);
}

}  // namespace

ExitStatus show_log_exports(Session& session, const std::string& tenant) {
  const auto asked = ask_log_status(session, tenant);
  if (const auto* error = std::get_if<ControlError>(&asked)) return fail(session, *error);
  ipc::Table table;
  add_column(table, "service_code", "SERVICE CODE", false), add_column(table, "name", "NAME", false);
  add_column(table, "kind", "KIND", false), add_column(table, "state", "STATE", false), add_column(table, "since", "SINCE", false);
  add_column(table, "sent", "SENT", true), add_column(table, "waiting", "WAITING", true), add_column(table, "lost", "LOST", true);
  add_column(table, "again", "AGAIN", true), add_column(table, "error", "ERROR", false);
  for (const ipc::LogTargetStatus& one : std::get<ipc::LogStatus>(asked).targets()) {
    auto& row = *table.add_rows();
    row.add_cells(one.service_code().empty() ? "(provider)" : one.service_code()), row.add_cells(one.name());
    row.add_cells(one.kind()), row.add_cells(one.up() ? "up" : "down");
    row.add_cells(one.since_ns() == 0 ? "" : to_text(Timestamp{one.since_ns()}));
    row.add_cells(std::to_string(one.sent())), row.add_cells(std::to_string(one.waiting()));
    row.add_cells(std::to_string(one.lost())), row.add_cells(std::to_string(one.duplicated())), row.add_cells(one.error());
  }
  session.out << (session.json ? render_table_json(table) : render_table(table, session.colour));
  return ExitStatus::kOk;
}

ExitStatus show_log_status(Session& session, const std::string& tenant) {
  const auto asked = ask_log_status(session, tenant);
  if (const auto* error = std::get_if<ControlError>(&asked)) return fail(session, *error);
  const auto& status = std::get<ipc::LogStatus>(asked);
  ipc::Table table;
  const auto column = [&table](const char* key, const char* title, bool number) { add_column(table, key, title, number); };
  column("service_code", "SERVICE CODE", false), column("type", "TYPE", false), column("records", "RECORDS", true),
      column("bytes", "BYTES", true);
  column("first_day", "FIRST DAY", false), column("last_day", "LAST DAY", false),
      column("days_kept", "DAYS KEPT", true);
  for (const ipc::LogStreamStatus& one : status.streams()) {
    auto& row = *table.add_rows();
    row.add_cells(one.service_code()), row.add_cells(one.type()), row.add_cells(std::to_string(one.records())),
        row.add_cells(std::to_string(one.bytes()));
    row.add_cells(one.first_day()), row.add_cells(one.last_day()), row.add_cells(std::to_string(one.days_kept()));
  }
  table.set_note("disk: " + std::to_string(status.disk_free_bytes() >> 20) + " of " +
                 std::to_string(status.disk_bytes() >> 20) + " MiB free, pressure " + status.pressure());
  session.out << (session.json ? render_table_json(table) : render_table(table, session.colour));
  return ExitStatus::kOk;
}

}  // namespace sekisho::mgmt
