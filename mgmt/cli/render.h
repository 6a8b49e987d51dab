// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/proto/control_mgmt.pb.h"
#include "mgmt/cli/text_table.h"

/// Text of every answer that is not a table. JSON shapes are those of docs/sekishoctl.md.
namespace sekisho::mgmt {

/// "file:line:column: error: path: sentence", one a line, as editors expect it.
std::string render_findings(const google::protobuf::RepeatedPtrField<ipc::Finding>& findings, Colour colour);
std::string render(const ipc::CheckResult& result, Colour colour);
std::string render(const ipc::DiffResult& result, Colour colour);
std::string render(const ipc::CommitResult& result, Colour colour);
std::string render(const ipc::ConfirmResult& result, Colour colour);

/// A text from elsewhere, without what a terminal would act upon.
std::string clean(std::string_view text);
std::string render_json(const ipc::CheckResult& result);
std::string render_json(const ipc::DiffResult& result);
std::string render_json(const ipc::CommitResult& result);
std::string render_json(const ipc::ConfirmResult& result);

/// A packet's way as a table, and the verdict; why not, when there is none.
std::string render(const ipc::ExplainResult& result, Colour colour);
std::string render_json(const ipc::ExplainResult& result);
/// Flows that would flip; `cut`: frames the reader of the capture left out.
std::string render(const ipc::ReplayResult& result, const ipc::ReplayReport& report, std::uint64_t cut, Colour colour);
std::string render_json(const ipc::ReplayResult& result, const ipc::ReplayReport& report, std::uint64_t cut);

/// Revisions as a table; the running one is marked, a waiting confirmation is the note.
ipc::Table revisions_table(const ipc::RevisionList& list);

/// One stored JSON line of a log for people: time, type, verdict, rule, flow. A line that is no record comes back as it
/// is.
std::string render_log_line(std::string_view line, Colour colour);

}  // namespace sekisho::mgmt
