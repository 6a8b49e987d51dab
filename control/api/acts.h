// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/descriptor.h>

#include <string>
#include <string_view>

#include "base/proto/vpn_log.pb.h"
#include "base/service_code.h"
#include "control/api/call.h"

/// What people did, in the words of the log's audit records (docs/logs.md), and back.
namespace sekisho::control {

/// An audit record of this stream, with nothing about who and what yet.
ipc::ToEventLog act_record(std::string stream, const InForce& now);
/// The log's word for what a method does; the method's own name goes into the object's type.
std::string_view operation_of(const google::protobuf::MethodDescriptor& method);
/// The 16 bytes of a UUID's text; empty when it is none.
std::string id_bytes(std::string_view uuid);
/// What of a text may stand between the quotes of JSON.
std::string json_word(std::string_view text);

/// Answers a call with a stream's newest acts before number `before` (0: all), when those that wait are stored.
void list_acts(const CallPtr& call, ApiWorld& world, const std::string& stream, std::uint32_t limit, std::uint64_t before);

}  // namespace sekisho::control
