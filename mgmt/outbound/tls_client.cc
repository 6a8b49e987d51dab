// SPDX-License-Identifier: Apache-2.0
#include "mgmt/outbound/tls_client.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>

namespace sekisho::mgmt {
namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using Error = boost::system::error_code;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

bool allowed(const Peer& peer, const asio::ip::address& address) {
  if (!peer.networks) return true;
  const asio::ip::address plain = address.is_v6() && address.to_v6().is_v4_mapped()
                                      ? asio::ip::address(asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()))
                                      : address;
  const auto parsed = parse_address(plain.to_string());
  return parsed && std::any_of(peer.networks->begin(), peer.networks->end(),
                               [&](const Prefix& prefix) { return prefix.contains(*parsed); });
}

}  // namespace

asio::awaitable<std::optional<PlainStream>> connect(asio::io_context& io, const Peer& peer,
                                                    std::chrono::steady_clock::time_point deadline, std::string& why) {
  const auto resolver = std::make_shared<tcp::resolver>(io);
  asio::steady_timer timer(io, deadline);  // the resolver has no deadline of its own
  timer.async_wait([resolver](const Error& failed) {
    if (!failed) resolver->cancel();
  });
  auto [unresolved, found] =
      co_await resolver->async_resolve(peer.host, std::to_string(peer.port), tcp::resolver::numeric_service, kTuple);
  timer.cancel();
  if (unresolved) {
    why = "the name " + peer.host + " is not known: " + unresolved.message();
    co_return std::nullopt;
  }
  std::vector<tcp::endpoint> ends;
  for (const auto& entry : found) {
    if (allowed(peer, entry.endpoint().address())) ends.push_back(entry.endpoint());
  }
  if (ends.empty()) {
    why = "the provider lets nobody connect to " + peer.host;
    co_return std::nullopt;
  }
  PlainStream stream(io);
  stream.expires_at(deadline);
  const auto [failed, end] = co_await stream.async_connect(ends, kTuple);
  (void)end;
  if (failed) {
    why = "no connection to " + peer.host + " port " + std::to_string(peer.port) + ": " + failed.message();
    co_return std::nullopt;
  }
  co_return std::move(stream);
}

std::optional<asio::ssl::context> make_context(const Peer& peer, std::string& why) {
  asio::ssl::context out(asio::ssl::context::tls_client);
  SSL_CTX_set_min_proto_version(out.native_handle(), TLS1_2_VERSION);
  Error failed;
  if (peer.ca.empty()) {
    out.set_default_verify_paths(failed);
  } else {
    out.add_certificate_authority(asio::buffer(peer.ca), failed);
  }
  if (failed) {
    why = "the certificates of the authorities cannot be read: " + failed.message();
    return std::nullopt;
  }
  out.set_verify_mode(asio::ssl::verify_peer, failed);
  out.set_verify_callback(asio::ssl::host_name_verification(peer.host), failed);
  return out;
}

asio::awaitable<std::string> begin_tls(TlsStream& stream, const Peer& peer) {
  std::string name = peer.host;
  if (!parse_address(name))  // what SSL_set_tlsext_host_name() is, without its cast
    SSL_ctrl(stream.native_handle(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data());
  const auto [failed] = co_await stream.async_handshake(asio::ssl::stream_base::client, kTuple);
  if (!failed) co_return "";
  const long verified = SSL_get_verify_result(stream.native_handle());
  co_return "no TLS with " + peer.host + ": " +
      (verified == X509_V_OK ? failed.message() : std::string(X509_verify_cert_error_string(verified)));
}

}  // namespace sekisho::mgmt
