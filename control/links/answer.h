// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/limits.h"
#include "base/wire/reader.h"
#include "control/config/finding.h"
#include "control/links/control_server.h"

/// What answers on control.sock are made of.
namespace sekisho::control {

/// What a reply may hold beside the list: file names, numbers, protobuf's own bytes.
inline constexpr std::size_t kListBytesMax = limits::kIpcMessageBytesMax - (8U << 10);

ControlAnswer failure(std::string reason);

ByteSpan as_bytes(const std::string& text);

/// As many as fit one datagram; the rest is said in a last one. `file`: the document's name.
void add_findings(google::protobuf::RepeatedPtrField<ipc::Finding>& out, const std::vector<Finding>& findings,
                  const std::string& file);

}  // namespace sekisho::control
