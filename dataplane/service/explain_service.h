// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/ipc/seqpacket.h"
#include "base/proto/control_dataplane.pb.h"
#include "dataplane/engine.h"

/// Answers what would happen to packets (control_dataplane.proto). Each answer takes a bounded time of the control thread,
/// besides building a candidate, which takes what a commit's build takes. Thread: control.
namespace sekisho::dataplane {

/// How many descriptors come with a question.
std::size_t explain_fds(const ipc::Explain& question);
std::size_t explain_fds(const ipc::Replay& question);

/// Fills in explanation, rejected (the candidate) or failure.
void answer_explain(Engine& engine, const ipc::Explain& question, IpcMessage& message, ipc::FromDataplane& answer);
/// Fills in `report`, or rejected or failure in `answer`. True: `report` is the answer.
bool answer_replay(Engine& engine, const ipc::Replay& question, IpcMessage& message, ipc::ReplayReport& report,
                   ipc::FromDataplane& answer);

}  // namespace sekisho::dataplane
