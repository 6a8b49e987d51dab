// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/proto/api.pb.h"
#include "base/proto/model.pb.h"

namespace sekisho::control {

/// What a remote user may reach (specification 3.11): where he comes in and with which addresses, and, in order, the rules that take
/// anything he sends, as the data path judges them: by zones, his groups, his addresses; what each policy's default denies stands
/// between them. Expired and disabled rules are left out; schedules and devices are said, not judged. Nothing when the tenant has no
/// such user. now: Unix seconds. Pure.
std::optional<api::Reach> reach_of(const model::Tenant& tenant, const std::string& user, std::int64_t now);

}  // namespace sekisho::control
