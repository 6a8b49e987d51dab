// SPDX-License-Identifier: Apache-2.0
#include "control/api/acts.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <array>

#include "control/access/rfc3339.h"

namespace sekisho::control {
namespace {

constexpr std::size_t kNodeCharactersMax = 4;  // of a record

struct Word {
  std::string_view method, operation;
};
/// The others are said by their verb.
constexpr auto kWords = std::to_array<Word>({
    {"CheckConfig", "submit"},      {"CheckPlatformConfig", "submit"}, {"CommitConfig", "commit"},
    {"CommitPlatformConfig", "commit"}, {"ConfirmCommit", "confirm"},  {"ConfirmPlatformCommit", "confirm"},
    {"Disconnect", "disconnect"},   {"DownloadLogs", "download"},      {"EndConsent", "revoke"},
    {"EndContract", "submit"},      {"EndMySessions", "revoke"},       {"EraseEarly", "erase"},
    {"Explain", "search"},          {"ExportConfig", "export"},        {"GrantConsent", "approve"},
    {"ImportConfig", "restore"},    {"Logout", "logout"},              {"ReissueAccount", "revoke"},
    {"ReissueStaff", "revoke"},     {"RollBack", "rollback"},          {"SearchLogs", "search"},
    {"SetPassword", "setting"},     {"BeginTotp", "setting"},          {"ConfirmTotp", "setting"},
    {"UnlockAccount", "unlock"},    {"UnlockStaff", "unlock"},         {"UnlockVpnUser", "unlock"},
    {"WithdrawErasure", "revoke"},  {"AddAccount", "create"},          {"AddNotice", "create"},
    {"AddStaff", "create"},         {"AddApiKey", "create"},           {"AddStaffKey", "create"},
    {"RevokeApiKey", "revoke"},     {"RevokeStaffKey", "revoke"},      {"Approve", "approve"},
    {"ApprovePlatform", "approve"}, {"RefuseApproval", "refuse"},      {"RefusePlatformApproval", "refuse"},
    {"TestNotification", "access"}, {"TryLogin", "access"},
    {"SetVpnPassword", "setting"},  {"RequestDevice", "submit"},       {"EndOwnSession", "disconnect"},
});

using Fields = google::protobuf::Map<std::string, google::protobuf::Value>;

std::string text_in(const Fields& fields, const char* name) {
  const auto at = fields.find(name);
  return at == fields.end() ? std::string() : at->second.string_value();
}

/// An audit record as the log writes it.
api::AuditEntry entry_of(const google::protobuf::Struct& record) {
  const Fields& fields = record.fields();
  api::AuditEntry out;
  const auto number = fields.find("seq");
  if (number != fields.end()) out.set_number(static_cast<std::uint64_t>(number->second.number_value()));
  out.mutable_at()->set_seconds(parse_rfc3339(text_in(fields, "ts")).value_or(0));
  out.set_actor(text_in(fields, "actor"));
  out.set_role(text_in(fields, "role"));
  out.set_actor_kind(text_in(fields, "actor_kind"));
  out.set_source(text_in(fields, "src_ip"));
  const std::string method = text_in(fields, "obj_type");
  const bool known = api_service().FindMethodByName(method) != nullptr;
  out.set_operation(known ? method : text_in(fields, "op"));
  out.set_object(text_in(fields, "obj_name"));
  const auto revision = fields.find("rev_to");
  if (out.object().empty() && revision != fields.end())
    out.set_object("revision " + std::to_string(static_cast<std::uint32_t>(revision->second.number_value())));
  out.set_result(text_in(fields, "result"));
  const std::string ticket = text_in(fields, "ticket");
  out.set_detail(!ticket.empty() ? "by consent " + ticket : text_in(fields, "comment"));
  if (out.detail().empty()) out.set_detail(text_in(fields, "cause"));
  out.set_request_id(text_in(fields, "req_id"));
  google::protobuf::Struct after;
  if (google::protobuf::util::JsonStringToMessage(text_in(fields, "after"), &after).ok()) out.set_tenant(text_in(after.fields(), "tenant"));
  return out;
}

void answer_acts(const CallPtr& call, std::uint32_t wanted, ControlAnswer answer) {
  ipc::LogPage page = answer.message.log().page();
  if (page.in_fd()) {
    const auto blob = take_blob(std::move(answer.fd));
    if (!blob || !page.ParseFromString(*blob)) return call->refuse(unavailable("the operation log cannot be read"));
  }
  if (answer.message.has_failure()) return call->refuse(unavailable(answer.message.failure().reason()));
  if (!page.ok()) return call->refuse(unavailable(page.error().empty() ? "the log does not answer" : page.error()));
  api::AuditList out;
  for (const std::string& line : page.records()) {
    google::protobuf::Struct record;
    if (!google::protobuf::util::JsonStringToMessage(line, &record).ok())
      return call->refuse(unavailable("a record of the operation log cannot be read"));
    *out.add_entries() = entry_of(record);
  }
  out.set_more(static_cast<std::uint32_t>(out.entries_size()) == wanted || page.partial());
  call->reply(out);
}

}  // namespace

ipc::ToEventLog act_record(std::string stream, const InForce& now) {
  ipc::ToEventLog out;
  out.set_service_code(std::move(stream));
  out.set_node(now.model == nullptr ? "u0" : now.model->node().substr(0, kNodeCharactersMax));
  out.set_revision(now.revision);
  return out;
}

std::string_view operation_of(const google::protobuf::MethodDescriptor& method) {
  const auto* at = std::find_if(kWords.begin(), kWords.end(), [&](const Word& word) { return word.method == method.name(); });
  if (at != kWords.end()) return at->operation;
  const std::string& http = method.options().GetExtension(api::method).http();
  if (http.starts_with("DELETE ")) return "delete";
  return http.starts_with("GET ") ? "access" : "update";
}

std::string id_bytes(std::string_view uuid) {
  constexpr std::size_t kBytes = 16;
  std::string digits;
  for (const char c : uuid) {
    if (c != '-') digits += c;
  }
  const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (digits.size() != 2 * kBytes || !std::all_of(digits.begin(), digits.end(), is_digit)) return {};
  const auto value = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::string out;
  for (std::size_t i = 0; i < digits.size(); i += 2) out += static_cast<char>(value(digits[i]) << 4 | value(digits[i + 1]));
  return out;
}

std::string json_word(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= ' ' && c != '"' && c != '\\') out += c;
  }
  return out;
}

void list_acts(const CallPtr& call, ApiWorld& world, const std::string& stream, std::uint32_t limit, std::uint64_t before) {
  constexpr std::uint32_t kActsDefault = 100;
  constexpr std::uint32_t kActsMax = 1000;
  const std::uint32_t wanted = std::min(limit == 0 ? kActsDefault : limit, kActsMax);
  auto asked = std::make_shared<ControlRequest>();
  ipc::SearchLog& question = *asked->message.mutable_log()->mutable_search();
  question.set_service_code(stream);
  question.add_types("audit");
  question.set_limit(wanted);
  if (before > 0) {
    auto& older = *question.add_conditions();
    older.set_field("seq");
    older.set_test(ipc::LogCondition::RANGE);
    older.add_values("");
    older.add_values(std::to_string(before - 1));
  }
  world.audit->when_stored([call, &world, wanted, asked] {
    world.ask(std::move(*asked), [call, wanted](ControlAnswer answer) { answer_acts(call, wanted, std::move(answer)); });
  });
}

}  // namespace sekisho::control
