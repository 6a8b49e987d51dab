// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "mgmt/log/entry.h"

namespace sekisho::mgmt {

/// "2024-11-28T10:15:02.318+09:00". Milliseconds are cut, not rounded: order is kept.
std::string to_text(Timestamp time);
/// The inverse; exactly that form, what 64 bits of nanoseconds can hold.
std::optional<Timestamp> parse_timestamp(std::string_view text);
/// The civil date in Japan: "2024-11-28". Names the files of a stream.
std::string japan_date(Timestamp time);

/// RFC 9562 version 7: the 48-bit millisecond time, then `random` in the remaining 74 bits.
Uuid make_uuid_v7(Timestamp time, const std::array<std::uint8_t, 10>& random);
std::string to_text(const Uuid& uuid);
std::optional<Uuid> parse_uuid(std::string_view text);

/// 16 lower-case hex digits.
std::string to_text(HexId id);

}  // namespace sekisho::mgmt
