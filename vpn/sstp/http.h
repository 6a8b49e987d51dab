// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/wire/reader.h"

/// What stands in front of SSTP's packets ([MS-SSTP] 3.2.4.1): one HTTP request, and its answer. Others who come to port 443 are answered
/// politely and sent away.
namespace sekisho::vpn::sstp {

/// The longest head of a request we read.
inline constexpr std::size_t kRequestBytesMax = 8192;

struct Greeting {
  enum class State : std::uint8_t {
    kMore,     ///< not whole yet
    kSstp,     ///< SSTP's packets follow
    kOther,    ///< somebody else's request, whole
    kBad,      ///< no request, or one that never ends
  };
  State state = State::kMore;
  std::string method;          ///< of kOther
  std::string correlation;     ///< SSTPCORRELATIONID without its braces, printable
  std::string host;            ///< Host, printable
  std::string tenant_id;       ///< `tenantid` of the request, printable; empty: none
  std::size_t bytes = 0;       ///< of the request; what follows is the client's first packet already
};

/// Looks at all that has come so far. `bytes` of it is the request once it is whole.
Greeting read_greeting(ByteSpan stream);

/// The answer to SSTP. It leaves alone: clients read until a line's end.
std::string accept_answer();
/// The answer to any other request, after which the connection ends. `method`: HEAD gets no page.
std::string polite_answer(std::string_view method);
/// To what is no request.
std::string bad_answer();

}  // namespace sekisho::vpn::sstp
