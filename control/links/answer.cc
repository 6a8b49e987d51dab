// SPDX-License-Identifier: Apache-2.0
#include "control/links/answer.h"

namespace sekisho::control {

ControlAnswer failure(std::string reason) {
  ControlAnswer out;
  out.message.mutable_failure()->set_reason(std::move(reason));
  return out;
}

ByteSpan as_bytes(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

namespace {

void set(ipc::Finding& out, const Finding& finding, const std::string& file) {
  out.set_severity(finding.severity == Severity::kError ? ipc::Finding::ERROR : ipc::Finding::WARNING);
  out.set_path(finding.path);
  out.set_line(finding.line);
  out.set_column(finding.column);
  out.set_sentence(finding.sentence);
  out.set_file_name(file);
}

}  // namespace

void add_findings(google::protobuf::RepeatedPtrField<ipc::Finding>& out, const std::vector<Finding>& findings,
                  const std::string& file) {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < findings.size(); ++i) {
    ipc::Finding next;
    set(next, findings[i], file);
    bytes += next.ByteSizeLong() + 8;
    if (bytes > kListBytesMax) {
      const Finding rest{Severity::kWarning, "", 0, 0,
                         std::to_string(findings.size() - i) + " further findings are left out"};
      return set(*out.Add(), rest, "");
    }
    *out.Add() = std::move(next);
  }
}

}  // namespace sekisho::control
