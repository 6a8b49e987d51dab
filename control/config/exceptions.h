// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/proto/model.pb.h"
#include "control/config/codec.h"
#include "control/config/finding.h"

/// Exceptions that somebody answers for and that end: gateways of the profile legacy (specification, D1). Pure.
namespace sekisho::control {

/// An exception is for a year at most, whatever year that is.
inline constexpr std::int64_t kExceptionDaysMax = 366;

/// The first second (Unix time) after the last day of a gateway's exception; nothing: it has none, or none that can be read.
std::optional<std::int64_t> legacy_end(const model::Gateway& gateway);

/// Whether the exceptions of a document may be put into force at Unix second `now`: their last day is today or later, and at most
/// kExceptionDaysMax days from now. One that stands unchanged in what runs may stay and is warned about once it has ended: it lets in
/// nobody, and one tenant's shall not hold up what others change. `running` is asked only when an exception is doubtful.
std::vector<Finding> check_exceptions(const Decoded& decoded, const std::function<model::Configuration()>& running, std::int64_t now);

}  // namespace sekisho::control
