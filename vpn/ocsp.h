// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/wire/reader.h"

namespace sekisho::vpn {

/// What a CA's responder says of one certificate (RFC 6960). Pure: who carries question and answer is not believed.
struct OcspAnswer {
  enum class State : std::uint8_t {
    kUnusable,  ///< it says nothing that counts; see `why`
    kGood,
    kRevoked,   ///< at whatever time it was said
    kUnknown,   ///< the CA has not issued it, or says so
  };
  State state = State::kUnusable;
  std::string_view why;    ///< of kUnusable, in words
  std::int64_t until = 0;  ///< of kGood and kUnknown: when it has to be asked again; seconds since 1970 UTC
};

/// How far a responder's clock may be from ours.
inline constexpr std::int64_t kOcspSkewSeconds = 300;
inline constexpr std::size_t kOcspBytesMax = 16U << 10;  ///< of an answer

/// The question about a certificate, both DER. Empty: one of them cannot be read.
std::vector<std::uint8_t> make_ocsp_question(ByteSpan certificate, ByteSpan issuer);
/// What an answer says: signed by the issuer, or by whom the issuer itself lets sign (id-kp-OCSPSigning), with nothing weaker than SHA-256
/// and 112 bits; of this very certificate; and said for `now`.
OcspAnswer judge_ocsp(ByteSpan answer, ByteSpan certificate, ByteSpan issuer, std::int64_t now);

}  // namespace sekisho::vpn
