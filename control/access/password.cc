// SPDX-License-Identifier: Apache-2.0
#include "control/access/password.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <vector>

#include "base/assert.h"
#include "control/config/text.h"

namespace sekisho::control {
namespace {

constexpr std::size_t kSaltBytes = 16;
constexpr std::size_t kKeyBytes = 32;
constexpr std::uint64_t kCost = 1U << 15;
constexpr std::uint64_t kCostMax = 1U << 18;
constexpr std::uint64_t kBlock = 8;
constexpr std::size_t kPasswordBytesMax = 1024;
constexpr std::string_view kMark = "scrypt:";

bool derive(std::string_view password, std::string_view salt, std::uint64_t cost,
            std::array<unsigned char, kKeyBytes>& key) {
  constexpr std::uint64_t kMemoryMax = 512U << 20;
  return EVP_PBE_scrypt(password.data(), password.size(), reinterpret_cast<const unsigned char*>(salt.data()),
                        salt.size(), cost, kBlock, 1, kMemoryMax, key.data(), key.size()) == 1;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

/// What lists of broken passwords begin with, as far as it is long enough to pass for one here once repeated or dressed
/// up.
constexpr std::array<std::string_view, 24> kKnown{
    "password", "passw0rd", "p@ssword",      "p@ssw0rd", "123456789", "1234567890", "qwertyuiop", "qwerty123",
    "iloveyou", "welcome",  "administrator", "admin",    "letmein",   "changeme",   "default",    "sekisho",
    "firewall", "abcdefgh", "1q2w3e4r",      "1qaz2wsx", "zaq12wsx",  "trustno1",   "football",   "baseball"};

/// One of kKnown and nothing beside it but digits and signs, or a run of one or two characters.
bool is_known(std::string_view password) {
  const std::string plain = lower(password);
  for (const auto known : kKnown) {
    const std::size_t at = plain.find(known);
    if (at == std::string::npos) continue;
    std::string rest = plain;
    while (rest.find(known) != std::string::npos) rest.erase(rest.find(known), known.size());
    if (std::none_of(rest.begin(), rest.end(), [](unsigned char c) { return std::isalpha(c) != 0 || c >= 0x80; }))
      return true;
  }
  std::vector<char> kinds(plain.begin(), plain.end());
  std::sort(kinds.begin(), kinds.end());
  kinds.erase(std::unique(kinds.begin(), kinds.end()), kinds.end());
  return kinds.size() < 4;
}

std::uint32_t classes_of(std::string_view password) {
  bool small = false;
  bool capital = false;
  bool digit = false;
  bool other = false;
  for (const char c : password) {
    const auto byte = static_cast<unsigned char>(c);
    (std::islower(byte) != 0   ? small
     : std::isupper(byte) != 0 ? capital
     : std::isdigit(byte) != 0 ? digit
                               : other) = true;
  }
  return static_cast<std::uint32_t>(small) + static_cast<std::uint32_t>(capital) + static_cast<std::uint32_t>(digit) +
         static_cast<std::uint32_t>(other);
}

}  // namespace

std::string random_bytes(std::size_t size) {
  std::string out(size, '\0');
  SEKISHO_ASSERT(::getrandom(out.data(), out.size(), 0) == static_cast<ssize_t>(out.size()));
  return out;
}

std::string hash_password(std::string_view password) {
  const std::string salt = random_bytes(kSaltBytes);
  std::array<unsigned char, kKeyBytes> key{};
  if (!derive(password, salt, kCost, key)) return {};
  return std::string(kMark) + std::to_string(kCost) + ':' + salt + std::string(key.begin(), key.end());
}

bool verify_password(std::string_view password, std::string_view hash) {
  std::uint64_t cost = 0;
  const char* end = hash.data() + hash.size();
  if (hash.starts_with(kMark)) {
    const auto [stop, status] = std::from_chars(hash.data() + kMark.size(), end, cost);
    const bool sane = status == std::errc{} && end - stop == 1 + kSaltBytes + kKeyBytes && *stop == ':' && cost >= 2 &&
                      cost <= kCostMax;
    hash = sane ? std::string_view(stop + 1, kSaltBytes + kKeyBytes) : std::string_view();
    if (!sane) cost = 0;
  }
  // With nothing to compare with, or too much of a password, the time passes all the same: it tells nobody who is known.
  const std::string nobody(kSaltBytes, 's');
  const bool known = cost != 0;
  std::array<unsigned char, kKeyBytes> key{};
  const bool derived = derive(password.substr(0, kPasswordBytesMax), known ? hash.substr(0, kSaltBytes) : std::string_view(nobody),
                              known ? cost : kCost, key);
  return known && derived && password.size() <= kPasswordBytesMax && CRYPTO_memcmp(key.data(), hash.data() + kSaltBytes, kKeyBytes) == 0;
}

std::string judge_password(std::string_view password, std::string_view account, const PasswordRule& rule) {
  if (find_bad_text(password) != std::string::npos || password.size() > kPasswordBytesMax)
    return "a password is text of at most 1024 bytes";
  if (count_characters(password) < rule.characters_min)
    return "a password has at least " + std::to_string(rule.characters_min) + " characters";
  if (classes_of(password) < rule.classes_min) {
    return "a password has characters of at least " + std::to_string(rule.classes_min) +
           " kinds: small letters, capitals, digits, others";
  }
  const std::string name = lower(account.substr(0, account.find('@')));
  if (name.size() >= 3 && lower(password).find(name) != std::string::npos)
    return "a password does not hold the account's name";
  if (is_known(password)) return "this password is one that attackers try first";
  return {};
}

std::string random_token(std::size_t bytes) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const std::string raw = random_bytes(bytes);
  std::string out;
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (const char c : raw) {
    bits = (bits << 8) | static_cast<unsigned char>(c);
    held += 8;
    for (; held >= 6; held -= 6) out += kLetters[(bits >> (held - 6)) & 63U];
    bits &= 0xffU;
  }
  if (held > 0) out += kLetters[(bits << (6 - held)) & 63U];
  return out;
}

}  // namespace sekisho::control
