// SPDX-License-Identifier: Apache-2.0
#include "control/access/fingerprint.h"

#include <string_view>

namespace sekisho::control {
namespace {

constexpr std::size_t kFingerprintBytes = 32;

}  // namespace

std::optional<std::string> read_fingerprint(const std::string& text) {
  std::string out;
  int high = -1;
  for (const char c : text) {
    if (c == ':' && high < 0) continue;
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0 || out.size() >= kFingerprintBytes) return std::nullopt;
    if (high < 0) {
      high = digit;
      continue;
    }
    out += static_cast<char>(high * 16 + digit);
    high = -1;
  }
  return high < 0 && out.size() == kFingerprintBytes ? std::optional(std::move(out)) : std::nullopt;
}

std::string write_fingerprint(const std::string& bytes) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out += kHex[static_cast<unsigned char>(c) >> 4U];
    out += kHex[static_cast<unsigned char>(c) & 15U];
  }
  return out;
}

}  // namespace sekisho::control
