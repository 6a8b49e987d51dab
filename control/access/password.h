// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

/// Passwords of people (not of remote users, whose protocols want other hashes).
namespace sekisho::control {

/// scrypt (RFC 7914) with a salt of its own: 32 MiB and about a tenth of a second. The result says its parameters, so
/// that later ones may differ. Any thread. Empty when the machine has not the memory.
std::string hash_password(std::string_view password);
/// False for a hash that cannot be read. As long for a wrong password as for a right one; with an empty `hash` it does
/// the work of one and refuses. Any thread.
bool verify_password(std::string_view password, std::string_view hash);

struct PasswordRule {
  std::uint32_t characters_min = 12;
  std::uint32_t classes_min = 1;  ///< of small letters, capitals, digits, others
};
/// Why `password` is refused: too short, too plain, known to everybody, or the name itself. Empty: it is good.
std::string judge_password(std::string_view password, std::string_view account, const PasswordRule& rule);

std::string random_bytes(std::size_t size);
/// Random bytes as text of letters, digits, - and _ (RFC 4648 section 5, without padding).
std::string random_token(std::size_t bytes);

}  // namespace sekisho::control
