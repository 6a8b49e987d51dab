// SPDX-License-Identifier: Apache-2.0
#include "vpn/explain.h"

#include <algorithm>
#include <array>

namespace sekisho::vpn {
namespace {

struct Code {
  std::uint32_t number;
  std::string_view name;
};

constexpr std::array kNotifies{
    Code{1, "UNSUPPORTED_CRITICAL_PAYLOAD"}, Code{4, "INVALID_IKE_SPI"},       Code{5, "INVALID_MAJOR_VERSION"},
    Code{7, "INVALID_SYNTAX"},               Code{9, "INVALID_MESSAGE_ID"},    Code{11, "INVALID_SPI"},
    Code{14, "NO_PROPOSAL_CHOSEN"},          Code{17, "INVALID_KE_PAYLOAD"},   Code{24, "AUTHENTICATION_FAILED"},
    Code{34, "SINGLE_PAIR_REQUIRED"},        Code{35, "NO_ADDITIONAL_SAS"},    Code{36, "INTERNAL_ADDRESS_FAILURE"},
    Code{37, "FAILED_CP_REQUIRED"},          Code{38, "TS_UNACCEPTABLE"},      Code{39, "INVALID_SELECTORS"},
    Code{43, "TEMPORARY_FAILURE"},           Code{44, "CHILD_SA_NOT_FOUND"},
};

constexpr std::array kWin32{
    Code{87, "a wrong parameter"},
    Code{13801, "it does not accept the gateway's certificate, or the name in it"},
    Code{13804, "an error while it worked on a message"},
    Code{13805, "the negotiation took too long"},
    Code{13806, "it finds no usable certificate of its own"},
    Code{13813, "it got no answer"},
    Code{13816, "an error of IKE, such as another key exchange at a rekey"},
    Code{13817, "it could not check revocation"},
    Code{13818, "a certificate's key usage is wrong"},
    Code{13843, "it does not accept a payload"},
    Code{13863, "not possible now, such as a rekey by the gateway through a NAT"},
    Code{13868, "no common algorithms"},
};

template <std::size_t N>
std::string_view name_in(const std::array<Code, N>& codes, std::uint32_t number) {
  const auto found = std::find_if(codes.begin(), codes.end(), [number](const Code& one) { return one.number == number; });
  return found == codes.end() ? std::string_view{} : found->name;
}

}  // namespace

std::string explain(std::string_view stage, std::string_view sentence, std::string_view remedy, const PeerWord& word) {
  std::string out;
  if (!stage.empty()) out.append(stage).append(": ");
  out.append(sentence);
  if (word.notify == kMicrosoftStatus) {
    const std::string_view name = name_in(kWin32, word.win32);
    out.append("; the client says ").append(std::to_string(word.win32));
    if (!name.empty()) out.append(" (").append(name).append(")");
  } else if (word.notify != 0) {
    const std::string_view name = name_in(kNotifies, word.notify);
    out.append("; the client says ").append(name.empty() ? "notify" : name).append(" (").append(std::to_string(word.notify)).append(")");
  }
  if (!remedy.empty()) out.append(". Remedy: ").append(remedy);
  return out;
}

}  // namespace sekisho::vpn
