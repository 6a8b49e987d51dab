// SPDX-License-Identifier: Apache-2.0
// What an OCSP responder, or whoever carries its words, sends. Input: an answer. Nobody here holds the CA's key: no input is good, revoked
// or unknown.
#include <cstddef>
#include <cstdint>

#include "base/assert.h"
#include "tests/fuzz/vpn_ocsp_certificates.h"
#include "vpn/ocsp.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using sekisho::vpn::OcspAnswer;
  constexpr std::int64_t kNow = 1'800'000'000;
  const auto said = sekisho::vpn::judge_ocsp({data, size}, kOcspCertificate, kOcspIssuer, kNow);
  SEKISHO_ASSERT(said.state == OcspAnswer::State::kUnusable && !said.why.empty());
  return 0;
}
