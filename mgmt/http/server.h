// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/net/address.h"
#include "mgmt/http/message.h"

namespace sekisho::mgmt {

/// An HTTPS listener that nobody can hold up: every phase of a connection has a deadline, every buffer a bound, every
/// source a share. TLS 1.3 (1.2 by switch), HTTP/1.1. Certificates and keys are read once, before anybody connects.
/// Thread: that of `io`.
class HttpServer {
 public:
  struct Options {
    Address address;
    std::uint16_t port = 443;
    std::string certificate_file;  ///< PEM, with its chain
    std::string key_file;
    std::string client_ca_file;  ///< PEM; empty: clients show no certificates
    bool require_certificate = false;
    bool tls12 = false;
    std::size_t connections_max = 512;
    std::size_t connections_of_source_max = 32;  ///< an IPv6 /64 is one source
    std::chrono::milliseconds handshake = std::chrono::seconds(5);
    std::chrono::milliseconds head =
        std::chrono::seconds(10);  ///< for the request's first line and headers, once it has begun
    std::chrono::milliseconds body = std::chrono::seconds(30);
    std::chrono::milliseconds idle = std::chrono::seconds(60);   ///< between requests
    std::chrono::milliseconds write = std::chrono::seconds(30);  ///< for each piece
    unsigned requests_of_source_per_second = 40;
    unsigned requests_of_source_burst = 200;
  };
  HttpServer(boost::asio::io_context& io, Options options, Application& application,
             std::function<void(const std::string&)> complain);
  ~HttpServer();
  /// Empty, or why not.
  std::string listen();
  /// Outwards: keeps a few connections to a rendezvous on which the other side then speaks TLS as a client, as who
  /// calls a listener does (RFC 8071): it is shown the same certificate, has to show one by `ca_file`, and asks the same API.
  struct CallHome {
    std::string host;  ///< a name or an address
    std::uint16_t port = 4335;
    std::string ca_file;  ///< PEM: who vouches for the rendezvous's client certificate
    unsigned connections = 2;
    std::chrono::milliseconds pause_min = std::chrono::seconds(1);   ///< after a failure; doubled up to the next
    std::chrono::milliseconds pause_max = std::chrono::seconds(60);
    std::chrono::milliseconds idle = std::chrono::minutes(10);       ///< between requests; then it calls anew
  };
  /// Empty, or why not. Call it when the keys can be read.
  std::string call_home(CallHome options);
  /// Where it listens: the port that was given for port 0.
  [[nodiscard]] std::uint16_t port() const;
  void stop();

 private:
  struct Inside;
  std::shared_ptr<Inside> inside_;
};

}  // namespace sekisho::mgmt
