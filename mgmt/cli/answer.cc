// SPDX-License-Identifier: Apache-2.0
#include "mgmt/cli/answer.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>

namespace sekisho::mgmt {

ExitStatus fail(Session& session, const ControlError& error) {
  if (session.json) {
    session.out << "{\"ok\":false,\"error\":" << json_text(error.sentence) << "}\n";
  } else {
    session.err << "sekishoctl: " << padded(error.sentence, 0, Align::kLeft) << '\n';
  }
  return error.unreachable ? ExitStatus::kUnreachable : ExitStatus::kRefused;
}

ExitStatus done(Session& session, JsonObject fields, const std::string& sentence) {
  session.out << (session.json ? fields.flag("ok", true).take() : sentence) << '\n';
  return ExitStatus::kOk;
}

ExitStatus unexpected(Session& session) {
  return fail(session, {true, "controld gave an answer to another question"});
}

std::variant<std::string, ControlError> read_document(const std::string& file) {
  if (file == "-") return std::string(std::istreambuf_iterator<char>(std::cin), {});
  std::ifstream in(file, std::ios::binary);
  std::string text;
  if (in) text.assign(std::istreambuf_iterator<char>(in), {});
  // A directory opens and fails at the first read.
  if (!in) return ControlError{false, file + ": " + std::strerror(errno)};
  return text;
}

}  // namespace sekisho::mgmt
