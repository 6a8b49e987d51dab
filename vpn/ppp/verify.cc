// SPDX-License-Identifier: Apache-2.0
#include "vpn/ppp/verify.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>

namespace sekisho::vpn::ppp {

AuthAnswer verify_mschapv2(const AuthRequest& request, const weak::NtHash& hash) {
  AuthAnswer out;
  const auto proof = weak::verify(hash, request.challenge, request.peer_challenge, request.response, request.user);
  if (!proof) return out;
  out.verdict = AuthAnswer::Verdict::kAccept;
  out.authenticator = proof->authenticator;
  std::ranges::copy(proof->receive, out.keys.receive.begin());
  std::ranges::copy(proof->send, out.keys.send.begin());
  out.keys.size = static_cast<std::uint8_t>(proof->receive.size());
  return out;
}

AuthAnswer verify_password(const AuthRequest& request, const weak::NtHash& hash) {
  AuthAnswer out;
  const weak::NtHash given = weak::nt_hash_of({reinterpret_cast<const char*>(request.password.data()), request.password.size()});
  if (CRYPTO_memcmp(given.data(), hash.data(), hash.size()) == 0) out.verdict = AuthAnswer::Verdict::kAccept;
  return out;
}

AuthAnswer verify_chap_md5(const AuthRequest& request, ByteSpan password) {
  AuthAnswer out;
  std::array<std::uint8_t, 16> digest{};
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  const bool made = context != nullptr && EVP_DigestInit_ex(context, EVP_md5(), nullptr) == 1 &&
                    EVP_DigestUpdate(context, &request.identifier, 1) == 1 &&
                    EVP_DigestUpdate(context, password.data(), password.size()) == 1 &&
                    EVP_DigestUpdate(context, request.challenge.data(), request.challenge.size()) == 1 &&
                    EVP_DigestFinal_ex(context, digest.data(), nullptr) == 1;
  EVP_MD_CTX_free(context);
  const bool right = made && request.response.size() == digest.size() &&
                     CRYPTO_memcmp(digest.data(), request.response.data(), digest.size()) == 0;
  if (right) out.verdict = AuthAnswer::Verdict::kAccept;
  return out;
}

}  // namespace sekisho::vpn::ppp
