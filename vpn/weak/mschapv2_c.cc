// SPDX-License-Identifier: Apache-2.0
#include "vpn/weak/mschapv2_c.h"

#include <algorithm>

#include "vpn/weak/mschapv2.h"
#include "vpn/weak/primitives.h"

bool sekisho_mschapv2_verify(const std::uint8_t nt_hash[16], const std::uint8_t challenge[16], const std::uint8_t peer_challenge[16],
                             const std::uint8_t nt_response[24], const std::uint8_t* user, std::size_t user_size, char authenticator[43],
                             std::uint8_t msk[64]) {
  namespace weak = sekisho::vpn::weak;
  weak::NtHash hash;
  std::copy_n(nt_hash, hash.size(), hash.begin());
  const std::string_view name{reinterpret_cast<const char*>(user), user_size};
  auto proof = weak::verify(hash, {challenge, 16}, {peer_challenge, 16}, {nt_response, 24}, name);
  weak::wipe(hash);
  if (!proof) return false;
  std::copy_n(proof->authenticator.c_str(), 43, authenticator);
  std::fill_n(msk, 64, std::uint8_t{0});
  std::ranges::copy(proof->receive, msk);
  std::ranges::copy(proof->send, msk + 16);
  weak::wipe(proof->receive);
  weak::wipe(proof->send);
  return true;
}
