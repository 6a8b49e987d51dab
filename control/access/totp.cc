// SPDX-License-Identifier: Apache-2.0
#include "control/access/totp.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "base/assert.h"

namespace sekisho::control {

std::string totp_code(std::string_view secret, std::uint64_t step, unsigned digits) {
  std::array<unsigned char, 8> counter{};
  for (std::size_t i = 0; i < counter.size(); ++i)
    counter[i] = static_cast<unsigned char>(step >> (8 * (counter.size() - 1 - i)));
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
  unsigned size = 0;
  SEKISHO_ASSERT(HMAC(EVP_sha1(), secret.data(), static_cast<int>(secret.size()), counter.data(), counter.size(),
                      mac.data(), &size) != nullptr);
  const std::size_t at = mac[size - 1] & 0x0fU;  // RFC 4226 section 5.3
  std::uint32_t number = (mac[at] & 0x7fU) * 0x1000000U + mac[at + 1] * 0x10000U + mac[at + 2] * 0x100U + mac[at + 3];
  std::string out(digits, '0');
  for (std::size_t i = digits; i-- > 0; number /= 10) out[i] = static_cast<char>('0' + number % 10);
  return out;
}

std::optional<std::uint64_t> find_totp_step(std::string_view secret, std::string_view code, std::int64_t now,
                                            std::uint64_t last) {
  constexpr std::size_t kDigits = 6;
  if (code.size() != kDigits || secret.empty() || now < kTotpDriftSteps * kTotpStepSeconds) return std::nullopt;
  const auto current = static_cast<std::uint64_t>(now / kTotpStepSeconds);
  std::optional<std::uint64_t> found;
  for (std::uint64_t step = current - kTotpDriftSteps; step <= current + kTotpDriftSteps; ++step) {
    const bool same = CRYPTO_memcmp(totp_code(secret, step).data(), code.data(), kDigits) == 0;
    if (same && step > last) found = step;
  }
  return found;
}

std::string base32(std::string_view bytes) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  std::string out;
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (const char c : bytes) {
    bits = (bits << 8) | static_cast<unsigned char>(c);
    for (held += 8; held >= 5; held -= 5) out += kLetters[(bits >> (held - 5)) & 31U];
    bits &= 0xfffU;
  }
  if (held > 0) out += kLetters[(bits << (5 - held)) & 31U];
  return out;
}

std::string totp_uri(std::string_view secret, std::string_view account) {
  std::string name;
  for (const char c : account) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
    constexpr std::string_view kHex = "0123456789ABCDEF";
    const auto byte = static_cast<unsigned char>(c);
    name += plain ? std::string(1, c) : std::string{'%', kHex[byte >> 4U], kHex[byte & 15U]};
  }
  return "otpauth://totp/Sekisho:" + name + "?secret=" + base32(secret) +
         "&issuer=Sekisho&algorithm=SHA1&digits=6&period=30";
}

}  // namespace sekisho::control
