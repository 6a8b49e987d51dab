// SPDX-License-Identifier: Apache-2.0
// Records: the questions go on to logd, for the tenant that was authorised and no other.
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <array>

#include "control/access/rfc3339.h"
#include "control/api/call.h"

namespace sekisho::control {
namespace {

constexpr std::uint64_t kSecondNs = 1'000'000'000;

/// Which test a word stands for; nothing when it is none.
std::optional<ipc::LogCondition::Test> test_named(const std::string& word) {
  constexpr std::array<std::pair<const char*, ipc::LogCondition::Test>, 6> kTests{
      {{"equal", ipc::LogCondition::EQUAL},
       {"prefix", ipc::LogCondition::PREFIX},
       {"contains", ipc::LogCondition::CONTAINS},
       {"within", ipc::LogCondition::WITHIN},
       {"range", ipc::LogCondition::RANGE},
       {"present", ipc::LogCondition::PRESENT}}};
  for (const auto& [name, test] : kTests) {
    if (word == name) return test;
  }
  return std::nullopt;
}

/// Nanoseconds since 1970; empty text is 0.
bool take_time(const std::string& text, std::uint64_t& out) {
  out = 0;
  if (text.empty()) return true;
  const auto seconds = parse_rfc3339(text);
  if (!seconds || *seconds < 0) return false;
  out = static_cast<std::uint64_t>(*seconds) * kSecondNs;
  return true;
}

/// What logd says, or why it says nothing. `answer` as control.sock would give it.
Refusal refusal_of(const ControlAnswer& answer, const std::string& error, bool ok) {
  if (answer.message.has_failure()) return unavailable(answer.message.failure().reason());
  if (!ok) return error.empty() ? unavailable("the log does not answer") : invalid("", error);
  return {};
}

using Types = google::protobuf::RepeatedPtrField<std::string>;

/// What people did is for those who may read that.
bool may_see(const Call& call, ApiWorld& world, const Types& types) {
  return world.people.may(call.who, api::AUDIT_READ, call.tenant).allowed ||
         std::find(types.begin(), types.end(), "audit") == types.end();
}

void search(const CallPtr& call, ApiWorld& world) {
  const auto& request = call->request<api::SearchRequest>();
  ControlRequest asked;
  ipc::SearchLog& question = *asked.message.mutable_log()->mutable_search();
  question.set_service_code(call->tenant);
  *question.mutable_types() = request.types();
  Types& types = *question.mutable_types();
  if (types.empty() && !world.people.may(call->who, api::AUDIT_READ, call->tenant).allowed) {
    for (const char* type : {"comm", "sec", "vpn", "acl", "devauth", "loss"}) *types.Add() = type;
  }
  if (!may_see(*call, world, types)) return call->refuse(denied());
  std::uint64_t from = 0;
  std::uint64_t to = 0;
  if (!take_time(request.from(), from)) return call->refuse(invalid("from", "times are written as in RFC 3339"));
  if (!take_time(request.to(), to)) return call->refuse(invalid("to", "times are written as in RFC 3339"));
  question.set_from_ns(from);
  question.set_to_ns(to);
  for (int i = 0; i < request.conditions_size(); ++i) {
    const auto test = test_named(request.conditions(i).test());
    if (!test)
      return call->refuse(invalid("conditions[" + std::to_string(i) + "].test",
                                  "a test is equal, prefix, contains, within, range or present"));
    auto& condition = *question.add_conditions();
    condition.set_field(request.conditions(i).field());
    condition.set_test(*test);
    *condition.mutable_values() = request.conditions(i).values();
    condition.set_negate(request.conditions(i).negate());
  }
  question.set_limit(request.limit());
  question.set_cursor(request.cursor());
  world.ask(std::move(asked), [call](ControlAnswer answer) { reply_records(call, std::move(answer)); });
}

Refusal make_download(const api::DownloadRequest& request, ipc::DownloadLog& out) {
  *out.mutable_types() = request.types();
  if (request.window() == "days") {
    out.set_window(ipc::DownloadLog::DAYS);
    out.set_first_day(request.first_day());
    out.set_last_day(request.last_day());
  } else if (request.window() == "past30") {
    out.set_window(ipc::DownloadLog::THIRTY_DAYS);
  } else if (!request.window().empty() && request.window() != "month") {
    return invalid("window", "a window is month, past30 or days");
  }
  if (request.format() == "csv") {
    out.set_format(ipc::OpenLogStream::CSV);
  } else if (!request.format().empty() && request.format() != "jsonl") {
    return invalid("format", "a format is csv or jsonl");
  }
  out.set_gzip(request.gzip());
  out.set_token(request.token());
  out.set_offset(request.offset());
  return {};
}

void download(const CallPtr& call, ApiWorld& world) {
  ControlRequest asked;
  ipc::DownloadLog& question = *asked.message.mutable_log()->mutable_download();
  if (Refusal refusal = make_download(call->request<api::DownloadRequest>(), question)) return call->refuse(refusal);
  if (!may_see(*call, world, question.types())) return call->refuse(denied());
  question.set_service_code(call->tenant);
  world.ask(std::move(asked), [call](ControlAnswer answer) {
    const ipc::LogDownload& made = answer.message.log().download();
    if (Refusal refusal = refusal_of(answer, made.error(), made.ok() && answer.fd.valid()))
      return call->refuse(refusal);
    call->about = made.file_name();
    api::File file;
    file.set_file_name(made.file_name());
    file.set_text(made.token());
    file.set_media_type("application/octet-stream");
    ControlAnswer out;
    auto& body = *out.message.mutable_api_answer();
    body.set_status(200);
    body.set_pipe(true);
    body.set_reply(file.SerializeAsString());
    out.fd = std::move(answer.fd);
    call->send(std::move(out));
  });
}

void download_state(const CallPtr& call, ApiWorld& world) {
  ControlRequest asked;
  ipc::GetLogDownload& question = *asked.message.mutable_log()->mutable_get_download();
  question.set_service_code(call->tenant);
  question.set_token(call->request<api::DownloadId>().token());
  world.ask(std::move(asked), [call](const ControlAnswer& answer) {
    const ipc::LogDownloadState& state = answer.message.log().download_state();
    if (Refusal refusal = refusal_of(answer, state.error(), state.ok())) return call->refuse(refusal);
    api::DownloadState out;
    out.set_records_read(static_cast<double>(state.records_read()));
    out.set_records_written(static_cast<double>(state.records_written()));
    out.set_bytes(static_cast<double>(state.bytes()));
    out.set_finished(state.finished());
    out.set_manifest(state.manifest());
    call->reply(out);
  });
}

void list_exports(const CallPtr& call, ApiWorld& world) {
  ControlRequest asked;
  asked.message.mutable_log()->mutable_get_status()->set_service_code(call->tenant);
  world.ask(std::move(asked), [call](ControlAnswer answer) {
    ipc::LogStatus status = answer.message.log().status();
    if (status.in_fd()) {
      const auto blob = take_blob(std::move(answer.fd));
      if (!blob || !status.ParseFromString(*blob)) return call->refuse(unavailable("the state of the log cannot be read"));
    }
    if (Refusal refusal = refusal_of(answer, "", answer.message.log().has_status())) return call->refuse(refusal);
    api::LogExportStates out;
    for (const ipc::LogTargetStatus& target : status.targets()) {
      if (target.service_code() != call->tenant) continue;
      auto& one = *out.add_exports();
      one.set_name(target.name()), one.set_kind(target.kind()), one.set_up(target.up()), one.set_error(target.error());
      if (target.since_ns() != 0) one.mutable_since()->set_seconds(static_cast<std::int64_t>(target.since_ns() / kSecondNs));
      one.set_sent(static_cast<double>(target.sent()));
      one.set_waiting(static_cast<double>(target.waiting()));
      one.set_lost(static_cast<double>(target.lost()));
      one.set_duplicated(static_cast<double>(target.duplicated()));
    }
    call->reply(out);
  });
}

}  // namespace

void reply_records(const CallPtr& call, ControlAnswer answer) {
  ipc::LogPage page = answer.message.log().page();
  if (page.in_fd()) {
    const auto blob = take_blob(std::move(answer.fd));
    if (!blob || !page.ParseFromString(*blob)) return call->refuse(unavailable("the records cannot be read"));
  }
  if (Refusal refusal = refusal_of(answer, page.error(), page.ok())) return call->refuse(refusal);
  api::SearchReply out;
  for (const std::string& line : page.records()) {
    if (!google::protobuf::util::JsonStringToMessage(line, out.add_records()).ok())
      return call->refuse(unavailable("a record cannot be read"));
  }
  out.set_cursor(page.cursor());
  out.set_partial(page.partial());
  call->reply(out);
}

void add_log_methods(Handlers& out, ApiWorld& world) {
  out["SearchLogs"] = [&world](const CallPtr& call) { search(call, world); };
  out["DownloadLogs"] = [&world](const CallPtr& call) { download(call, world); };
  out["ListLogExports"] = [&world](const CallPtr& call) { list_exports(call, world); };
  out["GetDownload"] = [&world](const CallPtr& call) { download_state(call, world); };
}

}  // namespace sekisho::control
