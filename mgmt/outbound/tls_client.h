// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/ssl.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/net/address.h"

namespace sekisho::mgmt {

using PlainStream = boost::beast::tcp_stream;
using TlsStream = boost::beast::ssl_stream<boost::beast::tcp_stream>;

/// Where to, and what the other side has to prove.
struct Peer {
  std::string host;  ///< a name or an address
  std::uint16_t port = 0;
  std::string ca;    ///< PEM; empty: the authorities of the system
  /// Its address has to be in one of them; empty: anywhere. What is connected to is what was looked at.
  std::optional<std::vector<Prefix>> networks = std::nullopt;
};

/// A connection without TLS yet, good until `deadline`; nothing, and `why`: it cannot be had.
boost::asio::awaitable<std::optional<PlainStream>> connect(boost::asio::io_context& io, const Peer& peer,
                                                           std::chrono::steady_clock::time_point deadline,
                                                           std::string& why);
/// TLS 1.2 at least, over `stream`; its certificate has to be by `ca` for `host`. The context outlives the stream.
boost::asio::awaitable<std::string> begin_tls(TlsStream& stream, const Peer& peer);
/// What begin_tls() needs; empty when the authorities cannot be read, and `why`.
std::optional<boost::asio::ssl::context> make_context(const Peer& peer, std::string& why);

}  // namespace sekisho::mgmt
