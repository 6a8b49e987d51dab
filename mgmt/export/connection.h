// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/net/address.h"

namespace sekisho::mgmt {

/// A connection to a collector: TCP with TLS 1.2 or later, TCP, or UDP. Every step has a deadline. Thread: that of `io`.
class Connection {
 public:
  enum class Transport : std::uint8_t { kTls, kTcp, kUdp };
  struct Options {
    Address address;
    std::uint16_t port = 0;
    Transport transport = Transport::kTls;
    std::string server_name;       ///< host name or address its certificate has to bear; empty: `address`
    std::vector<std::string> cas;  ///< PEM; nobody else is believed
    std::string certificate, key;  ///< PEM; empty: we show none
  };

  Connection(boost::asio::io_context& io, Options options);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Connects anew, whatever was before. Empty, or why not.
  boost::asio::awaitable<std::string> open();
  /// Hands all of it to the system (a datagram at once). False: the connection is broken.
  boost::asio::awaitable<bool> write(std::string_view bytes);
  /// What came; empty: the connection has ended.
  boost::asio::awaitable<std::string> read();
  /// Says that nothing more comes, and waits for the other side to say the same: it has then read all. When it says nothing for thirty
  /// seconds, what its system acknowledged counts. False: nobody knows. The connection is closed either way.
  boost::asio::awaitable<bool> finish();
  /// The other side has ended it, or it is broken; known without asking.
  [[nodiscard]] bool ended() const;
  [[nodiscard]] bool is_open() const;
  /// Breaks off whatever is under way.
  void close();

 private:
  struct Inside;
  std::unique_ptr<Inside> inside_;
};

}  // namespace sekisho::mgmt
