// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// One-time codes by time (RFC 6238: HMAC-SHA-1, 30 seconds, 6 digits, what every authenticator app does).
namespace sekisho::control {

inline constexpr std::int64_t kTotpStepSeconds = 30;
inline constexpr int kTotpDriftSteps = 1;  ///< a clock may be so many steps off, to either side
inline constexpr std::size_t kTotpSecretBytes = 20;

/// The code of a time step (Unix seconds / 30), with leading zeros. digits: 1..8.
std::string totp_code(std::string_view secret, std::uint64_t step, unsigned digits = 6);

/// The step `code` is of: within the drift of `now` (Unix seconds), and after `last`, the newest one a code was taken
/// of. Nothing when it is of none. Compares all in the same time.
std::optional<std::uint64_t> find_totp_step(std::string_view secret, std::string_view code, std::int64_t now,
                                            std::uint64_t last);

/// RFC 4648 base32, without padding.
std::string base32(std::string_view bytes);
/// What an authenticator app reads: "otpauth://totp/Sekisho:NAME?secret=...&issuer=Sekisho".
std::string totp_uri(std::string_view secret, std::string_view account);

}  // namespace sekisho::control
