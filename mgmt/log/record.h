// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <variant>

#include "base/result.h"
#include "base/shm/log_record.h"

namespace sekisho::mgmt {

/// One ring record whose every enumerator, size and id was checked. Borrows nothing.
struct RingRecord {
  LogEnvelope envelope{};
  std::variant<CommBody, SecBody, LossBody> body;
};

/// Most records one LossBody may claim: 2^40 is 60 days at the unit's maximum rate.
inline constexpr std::uint64_t kLossCountMax = std::uint64_t{1} << 40;

/// September 2001. An earlier time is no time: a clock that never ran, or garbage. Nanoseconds since 1970 UTC.
inline constexpr std::uint64_t kTimestampMin = 1'000'000'000'000'000'000;

/// Checks and takes apart a record copied out of a ring. The writer is not trusted.
/// Errors: kMalformed at kLogRing, detail = byte offset of the offending member.
Result<RingRecord> decode_record(const LogRecord& record);

}  // namespace sekisho::mgmt
