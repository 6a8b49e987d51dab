// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/proto/control_export.pb.h"
#include "base/proto/control_log.pb.h"
#include "base/proto/model.pb.h"

namespace sekisho::control {

/// The collectors of a valid model that are enabled, with what exportd needs to reach them. Holds secrets: wipe_secrets() it when it
/// has been handed over.
ipc::ExportPlan make_export_plan(const model::Configuration& model, std::uint32_t generation);

/// The same collectors as logd has to know them: whose each is, and which records it gets. Without a secret.
ipc::SetLogExports make_export_list(const model::Configuration& model, std::uint32_t generation);

/// Overwrites the keys and tokens of a plan, then clears it.
void wipe_secrets(ipc::ExportPlan& plan);

}  // namespace sekisho::control
