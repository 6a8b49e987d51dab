// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace sekisho::control {

/// Why a call of the API is not done (docs/api.md, "Errors"). status 0: it is.
struct Refusal {
  std::uint32_t status = 0;
  std::string code;
  std::string message;
  std::string path = {};
  std::uint32_t retry_after = 0;  ///< seconds

  explicit operator bool() const { return status != 0; }
};

inline Refusal not_signed_in() {
  return {401, "unauthenticated", "sign in first"};
}
inline Refusal denied(std::string why = "your role may not do this") {
  return {403, "denied", std::move(why)};
}
/// Also for what is another tenant's: nobody learns that it exists.
inline Refusal not_found() {
  return {404, "not_found", "there is no such thing"};
}
inline Refusal conflict(std::string why) {
  return {409, "conflict", std::move(why)};
}
inline Refusal invalid(std::string path, std::string why) {
  return {422, "invalid", std::move(why), std::move(path)};
}
inline Refusal unavailable(std::string why) {
  return {503, "unavailable", std::move(why)};
}

}  // namespace sekisho::control
