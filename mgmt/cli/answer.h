// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ostream>
#include <string>
#include <variant>

#include "mgmt/cli/commands.h"
#include "mgmt/cli/json_object.h"
#include "mgmt/cli/render.h"

/// How every command ends.
namespace sekisho::mgmt {

/// Says why there is no answer, on standard error or as JSON.
ExitStatus fail(Session& session, const ControlError& error);
/// Says what was done: `fields` with --json, else `sentence`, a line.
ExitStatus done(Session& session, JsonObject fields, const std::string& sentence);
/// controld answered, but not this question.
ExitStatus unexpected(Session& session);
/// The whole of a file; "-" is standard input.
std::variant<std::string, ControlError> read_document(const std::string& file);

template <typename Result>
ExitStatus print(Session& session, const Result& result) {
  session.out << (session.json ? render_json(result) : render(result, session.colour));
  return result.ok() ? ExitStatus::kOk : ExitStatus::kRefused;
}

}  // namespace sekisho::mgmt
