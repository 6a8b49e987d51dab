// SPDX-License-Identifier: Apache-2.0
// Overview: accept -> handshake -> (head -> body -> answer)*. Beast parses, under limits set before the first byte is
// read.
#include "mgmt/http/server.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <map>
#include <optional>

namespace sekisho::mgmt {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;
using Stream = beast::ssl_stream<beast::tcp_stream>;
using Error = boost::system::error_code;
using Parser = http::request_parser<http::string_body>;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kHeadBytesMax = 16U << 10;
constexpr std::size_t kTargetBytesMax = 4096;
constexpr std::uint64_t kBodyBytesMax = 8U << 20;
constexpr std::size_t kSmallBodyBytesMax = 64U << 10;
constexpr std::size_t kLargeBodiesBytesMax = 64U << 20;
constexpr unsigned kRequestsOfConnectionMax = 1000;
constexpr std::size_t kPieceBytes = 64U << 10;
constexpr std::size_t kSourcesHeldMax = 20'000;

std::string source_key(const Address& source) {
  const auto wire = source.wire();
  return {wire.begin(), wire.begin() + static_cast<std::ptrdiff_t>(source.family == Family::kIpv6 ? 8 : wire.size())};
}

Address to_address(const asio::ip::address& address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return Address::from_v4(asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).to_uint());
  }
  if (address.is_v4()) return Address::from_v4(address.to_v4().to_uint());
  const auto bytes = address.to_v6().to_bytes();
  const auto out = Address::from_wire(bytes);
  return out ? *out : Address{};
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

std::shared_ptr<HttpRequest> to_request(const http::request<http::string_body>& head, const Address& source,
                                        const std::string& certificate) {
  auto out = std::make_shared<HttpRequest>();
  out->source = source;
  out->certificate = certificate;
  out->verb = std::string(head.method_string());
  const std::string target(head.target());
  const std::size_t mark = target.find('?');
  out->path = target.substr(0, mark);
  out->query = mark == std::string::npos ? "" : target.substr(mark + 1);
  for (const auto& field : head) out->headers.emplace_back(lower(field.name_string()), std::string(field.value()));
  return out;
}

/// Holds a share of what large bodies may take together.
class LargeBody {
 public:
  LargeBody(std::size_t& sum, std::size_t bytes) : sum_(sum), bytes_(bytes) { sum_ += bytes_; }
  LargeBody(const LargeBody&) = delete;
  LargeBody& operator=(const LargeBody&) = delete;
  ~LargeBody() { sum_ -= bytes_; }

 private:
  std::size_t& sum_;
  std::size_t bytes_;
};

/// One source's share of the server.
struct Share {
  std::size_t connections = 0;
  double allowance = 0;  ///< requests that may come at once
  std::chrono::steady_clock::time_point at;
};

}  // namespace

struct HttpServer::Inside : std::enable_shared_from_this<HttpServer::Inside> {
  Inside(asio::io_context& context, Options given, Application& answers, std::function<void(const std::string&)> say)
      : io(context),
        options(std::move(given)),
        application(answers),
        complain(std::move(say)),
        tls(asio::ssl::context::tls_server),
        home_tls(asio::ssl::context::tls_server),
        acceptor(context),
        pause(context) {}

  asio::io_context& io;
  Options options;
  Application& application;
  std::function<void(const std::string&)> complain;
  asio::ssl::context tls;
  asio::ssl::context home_tls;  ///< of connections that call home
  tcp::acceptor acceptor;
  asio::steady_timer pause;
  std::size_t connections = 0;
  std::size_t large_bodies = 0;  ///< bytes
  std::map<std::string, Share> sources;

  bool stopped = false;

  std::string prepare_tls(asio::ssl::context& filled, const std::string& ca_file, bool require) const;
  asio::awaitable<void> keep_calling(CallHome home, unsigned number);
  asio::awaitable<void> accept_all();
  /// False: no handshake came about. idle: between requests.
  asio::awaitable<bool> serve(tcp::socket socket, Address source, asio::ssl::context& keys,
                              std::chrono::milliseconds handshake, std::chrono::milliseconds idle);
  asio::awaitable<bool> serve_one(Stream& stream, beast::flat_buffer& buffer, const Address& source,
                                  const std::string& certificate, std::chrono::milliseconds idle);
  asio::awaitable<bool> write(Stream& stream, const http::request<http::string_body>& request, HttpResponse response,
                              bool keep);
  asio::awaitable<bool> write_pieces(Stream& stream, http::response<http::empty_body> head, HttpResponse& response);
  asio::awaitable<void> refuse(Stream& stream, unsigned status, const char* code, const char* message);
  bool take_request(const Address& source);
  Share* share(const std::string& key);
};

std::string HttpServer::Inside::prepare_tls(asio::ssl::context& filled, const std::string& ca_file, bool require) const {
  SSL_CTX* context = filled.native_handle();
  SSL_CTX_set_min_proto_version(context, options.tls12 ? TLS1_2_VERSION : TLS1_3_VERSION);
  SSL_CTX_set_options(
      context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  const bool ciphers =
      SSL_CTX_set_ciphersuites(context, "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256") ==
          1 &&
      SSL_CTX_set_cipher_list(context,
                              "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:"
                              "ECDHE-RSA-AES128-GCM-SHA256") == 1 &&
      SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384") == 1;
  if (!ciphers) return "this OpenSSL lacks what TLS needs here";
  Error failed;
  filled.use_certificate_chain_file(options.certificate_file, failed);
  if (failed) return "the certificate " + options.certificate_file + " cannot be used: " + failed.message();
  filled.use_private_key_file(options.key_file, asio::ssl::context::pem, failed);
  if (failed || SSL_CTX_check_private_key(context) != 1)
    return "the key " + options.key_file + " cannot be used with the certificate";
  if (ca_file.empty())
    return require ? "no CA is given for the certificates that clients have to show" : "";
  filled.load_verify_file(ca_file, failed);
  STACK_OF(X509_NAME)* names = failed ? nullptr : SSL_load_client_CA_file(ca_file.c_str());
  if (names == nullptr) return "the CA " + ca_file + " cannot be used";
  SSL_CTX_set_client_CA_list(context, names);
  SSL_CTX_set_purpose(context, X509_PURPOSE_SSL_CLIENT);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (require ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                     nullptr);
  return "";
}

Share* HttpServer::Inside::share(const std::string& key) {
  // One that is known is found however many there are: its connections are counted down as well as up.
  if (const auto known = sources.find(key); known != sources.end()) return &known->second;
  const auto now = std::chrono::steady_clock::now();
  if (sources.size() >= kSourcesHeldMax) {
    constexpr auto kForgotten = std::chrono::seconds(60);
    std::erase_if(sources, [&](const auto& entry) {
      return entry.second.connections == 0 && now - entry.second.at > kForgotten;
    });
    if (sources.size() >= kSourcesHeldMax) return nullptr;
  }
  const auto at = sources.try_emplace(key).first;
  at->second = {0, static_cast<double>(options.requests_of_source_burst), now};
  return &at->second;
}

bool HttpServer::Inside::take_request(const Address& source) {
  Share* own = share(source_key(source));
  if (own == nullptr) return false;
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(now - own->at).count();
  own->allowance = std::min<double>(options.requests_of_source_burst,
                                    own->allowance + seconds * options.requests_of_source_per_second);
  own->at = now;
  if (own->allowance < 1) return false;
  own->allowance -= 1;
  return true;
}

asio::awaitable<void> HttpServer::Inside::accept_all() {
  while (acceptor.is_open()) {
    auto [failed, socket] = co_await acceptor.async_accept(kTuple);
    if (failed == asio::error::operation_aborted) co_return;
    if (failed) {  // out of descriptors: they come back
      pause.expires_after(std::chrono::milliseconds(100));
      co_await pause.async_wait(kTuple);
      continue;
    }
    Error unknown;
    const auto peer = socket.remote_endpoint(unknown);
    if (unknown) continue;
    const Address source = to_address(peer.address());
    Share* own = share(source_key(source));
    if (own == nullptr || connections >= options.connections_max ||
        own->connections >= options.connections_of_source_max)
      continue;
    ++connections;
    ++own->connections;
    asio::co_spawn(
        io,
        [self = shared_from_this(), moved = std::move(socket), source]() mutable -> asio::awaitable<void> {
          try {
            (void)co_await self->serve(std::move(moved), source, self->tls, self->options.handshake, self->options.idle);
          } catch (const std::exception&
                       error) {  // out of memory, or a stream that cannot be made: this connection ends, no other
            self->complain(std::string("a connection ended: ") + error.what());
          }
          --self->connections;
          if (Share* left = self->share(source_key(source)); left != nullptr && left->connections > 0)
            --left->connections;
        },
        asio::detached);
  }
}

asio::awaitable<bool> HttpServer::Inside::serve(tcp::socket socket, Address source, asio::ssl::context& keys,
                                                std::chrono::milliseconds handshake, std::chrono::milliseconds idle) {
  Error ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  Stream stream(std::move(socket), keys);
  beast::get_lowest_layer(stream).expires_after(handshake);
  const auto [failed] = co_await stream.async_handshake(asio::ssl::stream_base::server, kTuple);
  if (failed) co_return false;
  std::string certificate;
  if (X509* shown = SSL_get1_peer_certificate(stream.native_handle()); shown != nullptr) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    if (X509_digest(shown, EVP_sha256(), digest.data(), &size) == 1)
      certificate.assign(digest.begin(), digest.begin() + size);
    X509_free(shown);
  }
  beast::flat_buffer buffer(kHeadBytesMax + kPieceBytes);
  for (unsigned requests = 0; requests < kRequestsOfConnectionMax; ++requests) {
    if (!co_await serve_one(stream, buffer, source, certificate, idle)) break;
  }
  beast::get_lowest_layer(stream).expires_after(std::chrono::seconds(1));
  co_await stream.async_shutdown(kTuple);
  co_return true;
}

/// One of the connections to the rendezvous, for ever.
asio::awaitable<void> HttpServer::Inside::keep_calling(CallHome home, unsigned number) {
  auto pause_for = home.pause_min;
  std::string said;
  while (!stopped) {
    bool served = false;
    std::string why;
    try {
      tcp::resolver resolver(io);
      const auto [unknown, ends] =
          co_await resolver.async_resolve(home.host, std::to_string(home.port), tcp::resolver::numeric_service, kTuple);
      beast::tcp_stream stream(io);
      stream.expires_after(options.head);
      Error failed = unknown;
      if (!failed) {
        const auto [refused, end] = co_await stream.async_connect(ends, kTuple);
        (void)end;
        failed = refused;
      }
      Error gone;
      const auto peer = failed ? tcp::endpoint() : stream.socket().remote_endpoint(gone);
      why = failed ? failed.message() : gone ? gone.message() : "it does not speak TLS with us";
      stream.expires_never();
      // Who is called may take its time: it has to be told of by us before anybody asks.
      if (!failed && !gone)
        served = co_await serve(stream.release_socket(), to_address(peer.address()), home_tls, home.idle, home.idle);
    } catch (const std::exception& error) {
      why = error.what();
    }
    if (stopped) co_return;
    if (!served && number == 0 && why != said) complain("cannot be reached at home, " + home.host + ": " + why);
    said = served ? std::string() : why;
    asio::steady_timer wait(io, served ? home.pause_min : pause_for);
    pause_for = served ? home.pause_min : std::min(pause_for * 2, home.pause_max);
    co_await wait.async_wait(kTuple);
  }
}

/// False: the connection ends.
asio::awaitable<bool> HttpServer::Inside::serve_one(Stream& stream, beast::flat_buffer& buffer, const Address& source,
                                                    const std::string& certificate, std::chrono::milliseconds idle) {
  if (buffer.size() == 0) {  // a request may be long in coming; once its first byte is there it has to hurry
    beast::get_lowest_layer(stream).expires_after(idle);
    const auto [failed, size] = co_await stream.async_read_some(buffer.prepare(kPieceBytes), kTuple);
    if (failed) co_return false;
    buffer.commit(size);
  }
  Parser parser;
  parser.header_limit(kHeadBytesMax);
  parser.body_limit(kBodyBytesMax);
  beast::get_lowest_layer(stream).expires_after(options.head);
  const auto [head_failed, head_size] = co_await http::async_read_header(stream, buffer, parser, kTuple);
  (void)head_size;
  if (head_failed == http::error::header_limit || head_failed == http::error::buffer_overflow) {
    co_await refuse(stream, 431, "too_large", "the headers are too large");
    co_return false;
  }
  const bool length_alone =
      head_failed == http::error::body_limit;  // Beast compares Content-Length with the limit already
  if (head_failed && !length_alone) {
    if (head_failed.category() == http::make_error_code(http::error::bad_method).category() &&
        head_failed != http::error::end_of_stream && head_failed != http::error::partial_message) {
      co_await refuse(stream, 400, "malformed", "this is no HTTP request");
    }
    co_return false;
  }
  const auto& head = parser.get();
  const std::size_t target_bytes = head.target().size();
  const auto made = to_request(head, source, certificate);
  HttpRequest& request = *made;
  if (!take_request(source)) {
    co_await refuse(stream, 429, "too_many", "too many requests");
    co_return false;
  }
  if (target_bytes > kTargetBytesMax || !request.path.starts_with('/') || head.version() != 11 ||
      request.header("host").empty()) {
    co_await refuse(stream, 400, "malformed", "this is no request for us");
    co_return false;
  }
  const std::size_t body_max = application.body_bytes_max(request);
  if (length_alone || (parser.content_length() && *parser.content_length() > body_max)) {
    co_await refuse(stream, 413, "too_large", "the body is too large");
    co_return false;
  }
  parser.body_limit(std::max<std::uint64_t>(body_max, 1));
  // Small bodies are bounded by the number of connections; large ones share what there is.
  const std::size_t claimed = parser.content_length() ? static_cast<std::size_t>(*parser.content_length())
                              : parser.chunked()      ? body_max
                                                      : 0;
  const LargeBody large(large_bodies, claimed > kSmallBodyBytesMax ? claimed : 0);
  if (large_bodies > kLargeBodiesBytesMax) {
    co_await refuse(stream, 503, "busy", "too many large requests at once");
    co_return false;
  }
  if (lower(request.header("expect")) == "100-continue" && !parser.is_done()) {
    http::response<http::empty_body> go_on(http::status::continue_, 11);
    beast::get_lowest_layer(stream).expires_after(options.write);
    const auto [failed, size] = co_await http::async_write(stream, go_on, kTuple);
    (void)size;
    if (failed) co_return false;
  }
  beast::get_lowest_layer(stream).expires_after(options.body);
  if (!parser.is_done()) {
    const auto [failed, size] = co_await http::async_read(stream, buffer, parser, kTuple);
    (void)size;
    if (failed == http::error::body_limit) co_await refuse(stream, 413, "too_large", "the body is too large");
    if (failed == beast::error::timeout) co_await refuse(stream, 408, "too_slow", "the body came too slowly");
    if (failed) co_return false;
  }
  const bool keep = parser.keep_alive();
  http::request<http::string_body> whole = parser.release();
  request.body = std::move(whole.body());
  beast::get_lowest_layer(stream).expires_never();  // controld has its own deadline
  HttpResponse response = co_await application.answer(made);
  co_return co_await write(stream, whole, std::move(response), keep) && keep;
}

asio::awaitable<void> HttpServer::Inside::refuse(Stream& stream, unsigned status, const char* code,
                                                 const char* message) {
  http::response<http::string_body> out(static_cast<http::status>(status), 11);
  out.set(http::field::content_type, "application/json");
  out.set(http::field::cache_control, "no-store");
  if (status == 429) out.set(http::field::retry_after, "5");
  out.keep_alive(false);
  out.body() =
      std::string("{\"code\": \"") + code + "\", \"message\": \"" + message + "\", \"path\": \"\", \"findings\": []}\n";
  out.prepare_payload();
  beast::get_lowest_layer(stream).expires_after(options.write);
  const auto [unheard, written] = co_await http::async_write(stream, out, kTuple);
  (void)written;
  if (unheard || status == 408) co_return;
  // Who was refused may still be speaking: closed over bytes that nobody read, the connection would take the answer with it. Who is
  // refused for how often he comes, or for what others sent, is heard out only a little.
  const bool patient = status != 429 && status != 503;
  beast::get_lowest_layer(stream).expires_after(std::chrono::milliseconds(patient ? 1000 : 200));
  std::array<char, 4096> unread{};
  for (std::size_t taken = 0; taken < (patient ? kBodyBytesMax : kSmallBodyBytesMax);) {
    const auto [over, size] = co_await stream.async_read_some(asio::buffer(unread), kTuple);
    if (over) break;
    taken += size;
  }
}

asio::awaitable<bool> HttpServer::Inside::write(Stream& stream, const http::request<http::string_body>& request,
                                                HttpResponse response, bool keep) {
  const auto fill = [&](auto& out) {
    out.result(response.status);
    out.version(11);
    out.set(http::field::strict_transport_security, "max-age=31536000");
    out.set("X-Content-Type-Options", "nosniff");
    out.set("Referrer-Policy", "no-referrer");
    out.set("Cross-Origin-Opener-Policy", "same-origin");
    out.set("Cross-Origin-Resource-Policy", "same-origin");
    for (const auto& [name, value] : response.headers) out.insert(name, value);
    out.keep_alive(keep);
  };
  if (response.pieces || response.pipe.valid()) {
    http::response<http::empty_body> head;
    fill(head);
    head.chunked(true);
    co_return co_await write_pieces(stream, std::move(head), response);
  }
  const std::string& body = response.asset ? *response.asset : response.body;
  http::response<http::span_body<const char>> out;
  fill(out);
  const bool bodyless = request.method() == http::verb::head || response.status == 304;
  if (!bodyless) out.body() = {body.data(), body.size()};
  out.content_length(response.status == 304 ? 0 : body.size());
  http::response_serializer<http::span_body<const char>> serializer(out);
  serializer.split(bodyless);
  beast::get_lowest_layer(stream).expires_after(options.write +
                                                std::chrono::milliseconds(body.size() / 16));  // 16 kB/s at least
  if (bodyless) {
    const auto [failed, size] = co_await http::async_write_header(stream, serializer, kTuple);
    (void)size;
    co_return !failed;
  }
  const auto [failed, size] = co_await http::async_write(stream, serializer, kTuple);
  (void)size;
  co_return !failed;
}

asio::awaitable<bool> HttpServer::Inside::write_pieces(Stream& stream, http::response<http::empty_body> head,
                                                       HttpResponse& response) {
  http::response_serializer<http::empty_body> serializer(head);
  beast::get_lowest_layer(stream).expires_after(options.write);
  const auto [head_failed, head_size] = co_await http::async_write_header(stream, serializer, kTuple);
  (void)head_size;
  if (head_failed) co_return false;
  std::optional<asio::posix::stream_descriptor> pipe;
  if (response.pipe.valid()) pipe.emplace(io, response.pipe.release());
  std::string piece;
  for (;;) {
    if (pipe) {
      piece.resize(kPieceBytes);
      const auto [failed, size] = co_await pipe->async_read_some(asio::buffer(piece), kTuple);
      piece.resize(size);
      if (failed && failed != asio::error::eof) co_return false;  // cut off: the reader sees no last chunk
    } else {
      piece = co_await response.pieces();
    }
    if (piece.empty()) break;
    beast::get_lowest_layer(stream).expires_after(options.write);
    const auto [failed, size] = co_await asio::async_write(stream, http::make_chunk(asio::buffer(piece)), kTuple);
    (void)size;
    if (failed) co_return false;
    beast::get_lowest_layer(stream).expires_never();
  }
  beast::get_lowest_layer(stream).expires_after(options.write);
  const auto [failed, size] = co_await asio::async_write(stream, http::make_chunk_last(), kTuple);
  (void)size;
  co_return !failed;
}

HttpServer::HttpServer(asio::io_context& io, Options options, Application& application,
                       std::function<void(const std::string&)> complain)
    : inside_(std::make_shared<Inside>(io, std::move(options), application, std::move(complain))) {}

HttpServer::~HttpServer() {
  stop();
}

std::string HttpServer::listen() {
  const Options& options = inside_->options;
  if (std::string why = inside_->prepare_tls(inside_->tls, options.client_ca_file, options.require_certificate); !why.empty())
    return why;
  Error failed;
  const auto address = asio::ip::make_address(to_string(options.address), failed);
  const tcp::endpoint endpoint(address, options.port);
  auto& acceptor = inside_->acceptor;
  if (!failed) acceptor.open(endpoint.protocol(), failed);
  if (!failed) acceptor.set_option(tcp::acceptor::reuse_address(true), failed);
  if (!failed) acceptor.bind(endpoint, failed);
  if (!failed) acceptor.listen(asio::socket_base::max_listen_connections, failed);
  if (failed)
    return "cannot listen on " + to_string(options.address) + " port " + std::to_string(options.port) + ": " +
           failed.message();
  asio::co_spawn(
      inside_->io, [inside = inside_] { return inside->accept_all(); }, asio::detached);
  return "";
}

std::string HttpServer::call_home(CallHome home) {
  if (std::string why = inside_->prepare_tls(inside_->home_tls, home.ca_file, true); !why.empty()) return why;
  for (unsigned number = 0; number < home.connections; ++number) {
    asio::co_spawn(
        inside_->io, [inside = inside_, home, number] { return inside->keep_calling(home, number); }, asio::detached);
  }
  return "";
}

std::uint16_t HttpServer::port() const {
  Error ignored;
  return inside_->acceptor.local_endpoint(ignored).port();
}

void HttpServer::stop() {
  inside_->stopped = true;
  Error ignored;
  inside_->acceptor.close(ignored);
  inside_->pause.cancel(ignored);
}

}  // namespace sekisho::mgmt
