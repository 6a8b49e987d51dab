// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/os/fd.h"
#include "base/proto/control_mgmt.pb.h"

namespace sekisho::mgmt {

/// What controld answered, with the descriptors that came along.
struct ControlAnswer {
  ipc::FromControl message;
  std::vector<Fd> fds;
};

/// Why there is no answer. `unreachable`: nobody answers; otherwise controld refused the question.
struct ControlError {
  bool unreachable = false;
  std::string sentence;
};

/// One question to controld over control.sock; a connection each. Blocks at most 120 s (a commit compiles and builds).
/// Each of `documents` is sent as a sealed memfd.
std::variant<ControlAnswer, ControlError> ask_control(const std::string& run_dir, ipc::ToControl question,
                                                      std::span<const std::string* const> documents = {});
inline std::variant<ControlAnswer, ControlError> ask_control(const std::string& run_dir, ipc::ToControl question,
                                                             const std::string* document) {
  return ask_control(run_dir, std::move(question), std::span(&document, 1));
}

/// The bytes of the one sealed memfd of an answer.
std::variant<std::string, ControlError> take_blob(ControlAnswer& answer);

}  // namespace sekisho::mgmt
