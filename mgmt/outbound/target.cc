// SPDX-License-Identifier: Apache-2.0
#include "mgmt/outbound/target.h"

#include <algorithm>
#include <charconv>

#include "base/net/address.h"

namespace sekisho::mgmt {

namespace {

std::optional<HttpsTarget> parse_url(std::string_view url, std::string_view scheme, std::uint16_t standard) {
  constexpr std::size_t kBytesMax = 2048;
  const auto plain = [](char c) { return c > 0x20 && c < 0x7f; };
  if (!url.starts_with(scheme) || url.size() > kBytesMax || !std::all_of(url.begin(), url.end(), plain)) return std::nullopt;
  url.remove_prefix(scheme.size());
  const std::size_t end = url.find_first_of("/?#");
  std::string_view authority = url.substr(0, end);
  HttpsTarget out;
  out.port = standard;
  out.host_header = authority;
  if (end != std::string_view::npos) {
    if (url.find('#') != std::string_view::npos) return std::nullopt;
    out.path = (url[end] == '/' ? "" : "/") + std::string(url.substr(end));
  }
  std::string_view port;
  if (authority.starts_with('[')) {
    const std::size_t close = authority.find(']');
    if (close == std::string_view::npos || !parse_address(authority.substr(1, close - 1))) return std::nullopt;
    out.host = authority.substr(1, close - 1);
    port = authority.substr(close + 1);
  } else {
    const std::size_t colon = authority.find(':');
    out.host = authority.substr(0, colon);
    port = colon == std::string_view::npos ? std::string_view() : authority.substr(colon);
  }
  const auto of_host = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == ':';
  };
  if (out.host.empty() || !std::all_of(out.host.begin(), out.host.end(), of_host)) return std::nullopt;
  if (port.empty()) return out;
  if (port[0] != ':') return std::nullopt;
  port.remove_prefix(1);
  const auto [stop, status] = std::from_chars(port.data(), port.data() + port.size(), out.port);
  if (status != std::errc{} || stop != port.data() + port.size() || out.port == 0) return std::nullopt;
  return out;
}

}  // namespace

std::optional<HttpsTarget> parse_https(std::string_view url) { return parse_url(url, "https://", 443); }
std::optional<HttpsTarget> parse_http(std::string_view url) { return parse_url(url, "http://", 80); }

}  // namespace sekisho::mgmt
