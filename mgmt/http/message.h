// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/net/address.h"
#include "base/os/fd.h"

/// A request and its response as the rest of mgmtd sees them: without TLS, sockets, or the library that parses HTTP.
namespace sekisho::mgmt {

struct HttpRequest {
  std::string verb;   ///< "GET"
  std::string path;   ///< percent-encoded, before the '?'
  std::string query;  ///< after it
  std::string body;
  Address source;
  std::string certificate;  ///< SHA-256 of the client's, if it showed one that was accepted
  std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case
  /// The value of a header; empty when it is missing, and when it stands there twice.
  [[nodiscard]] std::string_view header(std::string_view name) const;
};

/// One piece of a response that does not end by itself; empty: it is over.
using NextPiece = std::function<boost::asio::awaitable<std::string>()>;

struct HttpResponse {
  unsigned status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::shared_ptr<const std::string> asset;  ///< instead of `body`
  Fd pipe;                                   ///< instead: what comes out of it, until it ends
  NextPiece pieces;                          ///< instead: one after the other
};

/// What answers requests.
class Application {
 public:
  virtual ~Application() = default;
  /// How many bytes of body a request may have, by its first line and headers. 0: none.
  [[nodiscard]] virtual std::size_t body_bytes_max(const HttpRequest& head) const = 0;
  virtual boost::asio::awaitable<HttpResponse> answer(std::shared_ptr<const HttpRequest> request) = 0;
};

/// The value of a cookie in a Cookie header; empty when it is missing, stands there twice, or is longer than 128 bytes.
std::string cookie_value(std::string_view header, std::string_view name);

/// Percent-decoded; nothing when it is badly encoded or holds a NUL. plus: '+' is a space.
bool percent_decode(std::string_view text, bool plus, std::string& out);

}  // namespace sekisho::mgmt
