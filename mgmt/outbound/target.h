// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sekisho::mgmt {

/// "https://HOST[:PORT][/PATH]" taken apart.
struct HttpsTarget {
  std::string host;         ///< a name or an address, without brackets
  std::uint16_t port = 443;
  std::string path = "/";   ///< with what follows '?'
  std::string host_header;  ///< as the Host header says it
};
/// Nothing for another scheme, a user in it, spaces or control characters. Pure.
std::optional<HttpsTarget> parse_https(std::string_view url);
/// The same of "http://...", whose port is 80.
std::optional<HttpsTarget> parse_http(std::string_view url);

}  // namespace sekisho::mgmt
