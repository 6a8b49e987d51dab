// SPDX-License-Identifier: Apache-2.0
#include "mgmt/cli/commands.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>

#include "base/limits.h"
#include "mgmt/cli/answer.h"
#include "mgmt/log/entry.h"

namespace sekisho::mgmt {
namespace {

ExitStatus print_table(Session& session, const ipc::Table& table) {
  session.out << (session.json ? render_table_json(table) : render_table(table, session.colour));
  return ExitStatus::kOk;
}

std::variant<std::string, ControlError> fetch_document(Session& session, std::uint32_t revision, bool secrets,
                                                       std::uint32_t& number) {
  ipc::ToControl question;
  question.mutable_get_config()->set_revision(revision);
  question.mutable_get_config()->set_secrets(secrets);
  auto asked = ask_control(session.run_dir, std::move(question));
  if (auto* error = std::get_if<ControlError>(&asked)) return *error;
  auto& answer = std::get<ControlAnswer>(asked);
  if (!answer.message.has_document()) return ControlError{true, "controld gave an answer to another question"};
  number = answer.message.document().revision();
  if (answer.message.document().in_fd()) return take_blob(answer);
  return answer.message.document().text();
}

std::variant<ipc::Table, ControlError> fetch_table(Session& session, ipc::Show::What what, const std::string& tenant,
                                                   std::uint32_t limit, std::uint32_t unused_days = 0) {
  ipc::ToControl question;
  auto& show = *question.mutable_show();
  show.set_what(what);
  show.set_tenant(tenant);
  show.set_limit(limit);
  show.set_unused_days(unused_days);
  auto asked = ask_control(session.run_dir, std::move(question));
  if (auto* error = std::get_if<ControlError>(&asked)) return *error;
  auto& answer = std::get<ControlAnswer>(asked);
  if (!answer.message.has_show_result()) return ControlError{true, "controld gave an answer to another question"};
  const ipc::ShowResult& result = answer.message.show_result();
  if (!result.error().empty()) return ControlError{false, result.error()};
  if (!result.in_fd()) return result.table();
  auto blob = take_blob(answer);
  if (auto* error = std::get_if<ControlError>(&blob)) return *error;
  ipc::Table table;
  if (!table.ParseFromString(std::get<std::string>(blob))) return ControlError{true, "controld sent a malformed table"};
  return table;
}

}  // namespace

/// A service code as it is; a name becomes the service code of the only tenant controld finds under it.
std::variant<std::string, ControlError> service_code_of(Session& session, const std::string& tenant) {
  if (is_service_code(tenant)) return tenant;
  auto asked = fetch_table(session, ipc::Show::TENANTS, tenant, 2);
  if (auto* error = std::get_if<ControlError>(&asked)) return *error;
  const auto& table = std::get<ipc::Table>(asked);
  if (table.rows_size() == 1) {
    const auto& cells = table.rows(0).cells();
    const auto found =
        std::find_if(cells.begin(), cells.end(), [](const std::string& cell) { return is_service_code(cell); });
    if (found != cells.end()) return *found;
  }
  return ControlError{false, "no tenant is called " + tenant + "; see: sekishoctl show tenants"};
}

namespace {

bool is_number(const std::string& text) {
  return !text.empty() && text.size() <= 9 && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

/// Copies a log stream until it ends; people get one readable line a record.
bool copy_stream(int fd, std::ostream& out, bool readable, Colour colour) {
  std::string pending;
  char block[65536];
  for (;;) {
    const ssize_t n = ::read(fd, block, sizeof(block));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n == 0 && out.good();
    if (!readable) {
      out.write(block, n);
    } else {
      pending.append(block, static_cast<std::size_t>(n));
      std::size_t begin = 0;
      for (std::size_t end; (end = pending.find('\n', begin)) != std::string::npos; begin = end + 1) {
        out << render_log_line(std::string_view(pending).substr(begin, end - begin), colour) << '\n';
      }
      pending.erase(0, begin);
    }
    out.flush();
    if (!out) return false;
  }
}

}  // namespace

ExitStatus check_config(Session& session, const std::string& file) {
  const auto text = read_document(file);
  if (const auto* error = std::get_if<ControlError>(&text)) return fail(session, *error);
  ipc::ToControl question;
  question.mutable_check_config()->set_file_name(file);
  const auto asked = ask_control(session.run_dir, std::move(question), &std::get<std::string>(text));
  if (const auto* error = std::get_if<ControlError>(&asked)) {
    const ExitStatus status = fail(session, *error);
    if (error->unreachable && !session.json) {
      session.err << "sekishoctl: to check a document without it: controld --check " << file << '\n';
    }
    return status;
  }
  const auto& answer = std::get<ControlAnswer>(asked).message;
  return answer.has_check_result() ? print(session, answer.check_result()) : unexpected(session);
}

ExitStatus diff_config(Session& session, const std::string& file_or_revision, std::uint32_t against) {
  std::variant<std::string, ControlError> text;
  std::string name = file_or_revision;
  if (is_number(file_or_revision) && ::access(file_or_revision.c_str(), F_OK) != 0) {
    std::uint32_t number = 0;
    text = fetch_document(session, static_cast<std::uint32_t>(std::stoul(file_or_revision)), true, number);
    name = "revision " + file_or_revision;
  } else {
    text = read_document(file_or_revision);
  }
  if (const auto* error = std::get_if<ControlError>(&text)) return fail(session, *error);
  ipc::ToControl question;
  question.mutable_diff_config()->set_file_name(name);
  question.mutable_diff_config()->set_against(against);
  const auto asked = ask_control(session.run_dir, std::move(question), &std::get<std::string>(text));
  if (const auto* error = std::get_if<ControlError>(&asked)) return fail(session, *error);
  const auto& answer = std::get<ControlAnswer>(asked).message;
  return answer.has_diff_result() ? print(session, answer.diff_result()) : unexpected(session);
}

ExitStatus commit_config(Session& session, const CommitRequest& request) {
  const auto text = read_document(request.file);
  if (const auto* error = std::get_if<ControlError>(&text)) return fail(session, *error);
  ipc::ToControl question;
  auto& commit = *question.mutable_commit_config();
  commit.set_file_name(request.file);
  commit.set_comment(request.comment);
  commit.set_confirm_seconds(request.confirm_seconds);
  commit.set_base_revision(request.base_revision);
  const auto asked = ask_control(session.run_dir, std::move(question), &std::get<std::string>(text));
  if (const auto* error = std::get_if<ControlError>(&asked)) return fail(session, *error);
  const auto& answer = std::get<ControlAnswer>(asked).message;
  return answer.has_commit_result() ? print(session, answer.commit_result()) : unexpected(session);
}

ExitStatus confirm_config(Session& session) {
  ipc::ToControl question;
  question.mutable_confirm_commit();
  const auto asked = ask_control(session.run_dir, std::move(question));
  if (const auto* error = std::get_if<ControlError>(&asked)) return fail(session, *error);
  const auto& answer = std::get<ControlAnswer>(asked).message;
  return answer.has_confirm_result() ? print(session, answer.confirm_result()) : unexpected(session);
}

ExitStatus rollback_config(Session& session, const RollbackRequest& request) {
  ipc::ToControl question;
  auto& rollback = *question.mutable_rollback_config();
  rollback.set_revision(request.revision);
  rollback.set_comment(request.comment);
  rollback.set_confirm_seconds(request.confirm_seconds);
  const auto asked = ask_control(session.run_dir, std::move(question));
  if (const auto* error = std::get_if<ControlError>(&asked)) return fail(session, *error);
  const auto& answer = std::get<ControlAnswer>(asked).message;
  return answer.has_commit_result() ? print(session, answer.commit_result()) : unexpected(session);
}

ExitStatus list_revisions(Session& session, std::uint32_t limit) {
  ipc::ToControl question;
  question.mutable_list_revisions()->set_limit(limit);
  const auto asked = ask_control(session.run_dir, std::move(question));
  if (const auto* error = std::get_if<ControlError>(&asked)) return fail(session, *error);
  const auto& answer = std::get<ControlAnswer>(asked).message;
  return answer.has_revisions() ? print_table(session, revisions_table(answer.revisions())) : unexpected(session);
}

ExitStatus show_config(Session& session, std::uint32_t revision, bool secrets) {
  std::uint32_t number = 0;
  const auto text = fetch_document(session, revision, secrets, number);
  if (const auto* error = std::get_if<ControlError>(&text)) return fail(session, *error);
  if (session.json) {
    session.out << "{\"revision\":" << number << ",\"text\":" << json_text(std::get<std::string>(text)) << "}\n";
  } else {
    session.out << std::get<std::string>(text);
  }
  return ExitStatus::kOk;
}

ExitStatus show_table(Session& session, ipc::Show::What what, const std::string& tenant, std::uint32_t limit, std::uint32_t unused_days) {
  const auto table = fetch_table(session, what, tenant, limit, unused_days);
  if (const auto* error = std::get_if<ControlError>(&table)) return fail(session, *error);
  return print_table(session, std::get<ipc::Table>(table));
}

ExitStatus release_binding(Session& session, const std::string& tenant, const std::string& binding) {
  ipc::ToControl question;
  question.mutable_end_quarantine()->set_tenant(tenant);
  question.mutable_end_quarantine()->set_binding(binding);
  const auto asked = ask_control(session.run_dir, std::move(question));
  if (const auto* error = std::get_if<ControlError>(&asked)) return fail(session, *error);
  const auto& answer = std::get<ControlAnswer>(asked).message;
  if (!answer.has_quarantine_ended()) return unexpected(session);
  if (!answer.quarantine_ended().ok()) return fail(session, {false, answer.quarantine_ended().error()});
  session.out << (session.json ? "{\"ok\":true}\n" : "The quarantine of \"" + padded(binding, 0, Align::kLeft) + "\" has ended.\n");
  return ExitStatus::kOk;
}

ExitStatus change_vpn(Session& session, const VpnChange& change) {
  ipc::ToControl question;
  auto& ask = *question.mutable_change_vpn();
  ask.set_what(change.what), ask.set_tenant(change.tenant), ask.set_user(change.user);
  const auto asked = ask_control(session.run_dir, std::move(question));
  if (const auto* error = std::get_if<ControlError>(&asked)) return fail(session, *error);
  const auto& answer = std::get<ControlAnswer>(asked).message;
  if (!answer.has_vpn_changed()) return unexpected(session);
  const auto& changed = answer.vpn_changed();
  if (!changed.ok()) return fail(session, {false, changed.error()});
  const std::string count = std::to_string(changed.count());
  if (session.json) {
    session.out << "{\"ok\":true,\"count\":" << count << "}\n";
  } else if (change.what == ipc::ChangeVpn::UNLOCK) {
    session.out << "The user may log in again.\n";
  } else {
    session.out << count << (changed.count() == 1 ? " session is" : " sessions are") << " being ended.\n";
  }
  return ExitStatus::kOk;
}

ExitStatus write_vpn_profile(Session& session, const ProfileRequest& request) {
  ipc::ToControl question;
  auto& write = *question.mutable_write_vpn_profile();
  write.set_tenant(request.tenant), write.set_gateway(request.gateway);
  write.set_user(request.user), write.set_client(request.client);
  const auto asked = ask_control(session.run_dir, std::move(question));
  if (const auto* error = std::get_if<ControlError>(&asked)) return fail(session, *error);
  const auto& answer = std::get<ControlAnswer>(asked).message;
  if (!answer.has_vpn_profile()) return unexpected(session);
  const auto& profile = answer.vpn_profile();
  if (!profile.error().empty()) return fail(session, {false, profile.error()});
  if (!request.file.empty()) {
    std::ofstream file(request.file, std::ios::binary | std::ios::trunc);
    if (!(file << profile.text() << std::flush)) return fail(session, {false, request.file + ": cannot be written"});
  } else if (!session.json) {
    session.out << profile.text();
  }
  if (session.json) {
    session.out << "{\"file_name\":" << json_text(profile.file_name()) << ",\"text\":" << json_text(profile.text()) << "}\n";
  }
  return ExitStatus::kOk;
}

ExitStatus read_log(Session& session, const LogRequest& request) {
  const auto code = service_code_of(session, request.tenant);
  if (const auto* error = std::get_if<ControlError>(&code)) return fail(session, *error);
  ipc::ToControl question;
  auto& open = *question.mutable_open_log_stream();
  open.set_service_code(std::get<std::string>(code));
  for (const std::string& type : request.types) open.add_types(type);
  open.set_format(request.format == "csv" ? ipc::OpenLogStream::CSV : ipc::OpenLogStream::JSON_LINES);
  open.set_follow(request.follow);
  open.set_last(request.last);
  open.set_csv_bom(request.byte_order_mark);
  auto asked = ask_control(session.run_dir, std::move(question));
  if (const auto* error = std::get_if<ControlError>(&asked)) return fail(session, *error);
  auto& answer = std::get<ControlAnswer>(asked);
  if (!answer.message.has_log_stream()) return unexpected(session);
  if (!answer.message.log_stream().ok()) return fail(session, {false, answer.message.log_stream().error()});
  if (answer.fds.size() != 1) return fail(session, {true, "controld announced a stream and sent none"});
  const bool readable = request.follow && !session.json;
  if (request.file.empty()) {
    return copy_stream(answer.fds[0].get(), session.out, readable, session.colour) ? ExitStatus::kOk
                                                                                   : ExitStatus::kRefused;
  }
  std::ofstream file(request.file, std::ios::binary | std::ios::trunc);
  const bool copied = file && copy_stream(answer.fds[0].get(), file, readable, Colour::kNo);
  file.close();
  if (!copied || !file) return fail(session, {false, request.file + ": could not be written"});
  return ExitStatus::kOk;
}

}  // namespace sekisho::mgmt
