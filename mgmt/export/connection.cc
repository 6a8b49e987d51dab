// SPDX-License-Identifier: Apache-2.0
#include "mgmt/export/connection.h"

#include <linux/sockios.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <optional>

namespace sekisho::mgmt {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using asio::ip::tcp;
using asio::ip::udp;
using boost::system::error_code;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr auto kConnectMax = 10s, kStepMax = 30s, kFinishMax = 30s;
// A slow collector has to take a piece in kStepMax, and what waits in our system when the connection ends in kFinishMax.
constexpr std::size_t kPieceBytes = 64U << 10;
constexpr int kSendBytes = 256 << 10;

/// Closes a socket, or ends what it waits for, when its time is over. Nobody is called once this is gone.
enum class Then : std::uint8_t { kClose, kCancel };
template <typename Socket>
class Deadline {
 public:
  Deadline(asio::io_context& io, Socket& socket, std::chrono::seconds time, Then then = Then::kClose) : timer_(io, time) {
    timer_.async_wait([&socket, then, alive = std::weak_ptr<bool>(alive_)](const error_code& failed) {
      const auto there = alive.lock();
      if (failed || !there) return;
      *there = false;
      error_code ignored;
      if (then == Then::kClose)
        socket.close(ignored);
      else
        socket.cancel(ignored);
    });
  }
  [[nodiscard]] bool over() const { return !*alive_; }

 private:
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  asio::steady_timer timer_;
};

asio::ip::address to_asio(const Address& address) {
  const auto wire = address.wire();
  if (address.family == Family::kIpv4) {
    asio::ip::address_v4::bytes_type bytes{};
    std::copy(wire.begin(), wire.end(), bytes.begin());
    return asio::ip::address_v4(bytes);
  }
  asio::ip::address_v6::bytes_type bytes{};
  std::copy(wire.begin(), wire.end(), bytes.begin());
  return asio::ip::address_v6(bytes);
}

}  // namespace

struct Connection::Inside {
  Inside(asio::io_context& loop, Options given) : io(loop), options(std::move(given)), tcp_socket(loop), udp_socket(loop) {}

  asio::io_context& io;
  Options options;
  tcp::socket tcp_socket;
  udp::socket udp_socket;
  std::optional<asio::ssl::context> context;
  std::optional<asio::ssl::stream<tcp::socket&>> tls;

  std::string prepare();
  asio::awaitable<std::string> handshake();
};

/// The other side's name, and whom to believe about it.
std::string Connection::Inside::prepare() {
  error_code failed;
  context.emplace(asio::ssl::context::tls_client);
  SSL_CTX* raw = context->native_handle();
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(raw, "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set_options(raw, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nullptr);
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(raw), X509_V_FLAG_PARTIAL_CHAIN);  // who was named is believed, root or not
  for (const std::string& ca : options.cas) {
    context->add_certificate_authority(asio::buffer(ca), failed);
    if (failed) return "a CA cannot be read: " + failed.message();
  }
  if (!options.certificate.empty()) {
    context->use_certificate_chain(asio::buffer(options.certificate), failed);
    if (failed) return "the certificate we show cannot be read: " + failed.message();
    context->use_private_key(asio::buffer(options.key), asio::ssl::context::pem, failed);
    if (failed || SSL_CTX_check_private_key(raw) != 1) return "the key is not that of the certificate we show";
  }
  tls.emplace(tcp_socket, *context);
  SSL* ssl = tls->native_handle();
  const std::string name = options.server_name.empty() ? to_string(options.address) : options.server_name;
  X509_VERIFY_PARAM* verify = SSL_get0_param(ssl);
  X509_VERIFY_PARAM_set_hostflags(verify, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  const bool address = parse_address(name).has_value();
  const int set = address ? X509_VERIFY_PARAM_set1_ip_asc(verify, name.c_str())
                          : X509_VERIFY_PARAM_set1_host(verify, name.data(), name.size());
  if (set != 1) return "the collector's name cannot be checked";
  // SSL_set_tlsext_host_name() without its casts; the library copies the name.
  if (!address) SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, const_cast<char*>(name.c_str()));
  return {};
}

asio::awaitable<std::string> Connection::Inside::handshake() {
  if (std::string wrong = prepare(); !wrong.empty()) co_return wrong;
  const auto [failed] = co_await tls->async_handshake(asio::ssl::stream_base::client, kTuple);
  if (!failed) co_return std::string();
  const long verified = SSL_get_verify_result(tls->native_handle());
  if (verified != X509_V_OK) co_return std::string("the collector's certificate is refused: ") + X509_verify_cert_error_string(verified);
  co_return "TLS: " + failed.message();
}

Connection::Connection(asio::io_context& io, Options options) : inside_(std::make_unique<Inside>(io, std::move(options))) {}
Connection::~Connection() = default;

asio::awaitable<std::string> Connection::open() {
  Inside& in = *inside_;
  close();
  in.tls.reset();
  error_code failed;
  if (in.options.transport == Transport::kUdp) {
    in.udp_socket.connect({to_asio(in.options.address), in.options.port}, failed);
    if (failed) co_return "connecting: " + failed.message();
    co_return std::string();
  }
  Deadline deadline(in.io, in.tcp_socket, kConnectMax);
  const auto [refused] = co_await in.tcp_socket.async_connect({to_asio(in.options.address), in.options.port}, kTuple);
  if (deadline.over()) co_return "connecting: no answer within ten seconds";
  if (refused) co_return "connecting: " + refused.message();
  in.tcp_socket.set_option(tcp::no_delay(true), failed);
  in.tcp_socket.set_option(asio::socket_base::keep_alive(true), failed);
  in.tcp_socket.set_option(asio::socket_base::send_buffer_size(kSendBytes), failed);
  std::string wrong;
  if (in.options.transport == Transport::kTls) wrong = co_await in.handshake();
  if (deadline.over()) wrong = "TLS: no end of the handshake within ten seconds";
  if (!wrong.empty()) close();
  co_return wrong;
}

asio::awaitable<bool> Connection::write(std::string_view bytes) {
  Inside& in = *inside_;
  error_code failed;
  if (in.options.transport == Transport::kUdp) {
    in.udp_socket.send(asio::buffer(bytes.data(), bytes.size()), 0, failed);
    co_return !failed;
  }
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, kPieceBytes);
    Deadline deadline(in.io, in.tcp_socket, kStepMax);
    if (in.tls) {
      const auto [broken, n] = co_await asio::async_write(*in.tls, asio::buffer(piece.data(), piece.size()), kTuple);
      if (broken) co_return false;
    } else {
      const auto [broken, n] = co_await asio::async_write(in.tcp_socket, asio::buffer(piece.data(), piece.size()), kTuple);
      if (broken) co_return false;
    }
    bytes.remove_prefix(piece.size());
  }
  co_return true;
}

asio::awaitable<std::string> Connection::read() {
  Inside& in = *inside_;
  Deadline deadline(in.io, in.tcp_socket, kStepMax);
  std::string out(16384, '\0');
  std::size_t got = 0;
  if (in.tls) {
    const auto [failed, n] = co_await in.tls->async_read_some(asio::buffer(out), kTuple);
    if (!failed) got = n;
  } else {
    const auto [failed, n] = co_await in.tcp_socket.async_read_some(asio::buffer(out), kTuple);
    if (!failed) got = n;
  }
  out.resize(got);
  co_return out;
}

asio::awaitable<bool> Connection::finish() {
  Inside& in = *inside_;
  if (!is_open()) co_return false;
  if (in.options.transport == Transport::kUdp) co_return close(), true;
  bool answered = false;
  {
    Deadline deadline(in.io, in.tcp_socket, kFinishMax, Then::kCancel);
    error_code failed;
    if (in.tls) {
      // Our close_notify, then the other side's; many end the connection in order without one.
      const auto [broken] = co_await in.tls->async_shutdown(kTuple);
      answered = !broken || broken == asio::error::eof || broken == asio::ssl::error::stream_truncated;
    } else {
      in.tcp_socket.shutdown(tcp::socket::shutdown_send, failed);
      std::array<char, 512> unwanted{};
      while (!failed) {
        const auto [broken, n] = co_await in.tcp_socket.async_read_some(asio::buffer(unwanted), kTuple);
        failed = broken;
      }
      answered = failed == asio::error::eof;
    }
    int unsent = -1;
    if (deadline.over() && in.tcp_socket.is_open())
      answered = ::ioctl(in.tcp_socket.native_handle(), SIOCOUTQ, &unsent) == 0 && unsent == 0;
  }
  close();
  co_return answered;
}

bool Connection::is_open() const { return inside_->tcp_socket.is_open() || inside_->udp_socket.is_open(); }

bool Connection::ended() const {
  if (!is_open()) return true;
  if (inside_->udp_socket.is_open()) return false;
  pollfd entry{.fd = inside_->tcp_socket.native_handle(), .events = POLLRDHUP, .revents = 0};
  return ::poll(&entry, 1, 0) != 0;
}

void Connection::close() {
  error_code ignored;
  inside_->tcp_socket.close(ignored);
  inside_->udp_socket.close(ignored);
}

}  // namespace sekisho::mgmt
