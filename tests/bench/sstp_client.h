// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/net/endian.h"
#include "base/os/fd.h"
#include "tests/support/ppp_peer.h"
#include "vpn/sstp/crypto_binding.h"

/// Clients for measuring: TLS 1.3 with AES-256-GCM alone, and SSTP in it. Sockets block.
namespace sekisho::bench {

/// TLS over TCP. A piece of a stream is read as it comes: a record at most.
class TlsClient {
 public:
  static std::optional<TlsClient> connect(const std::string& address, std::uint16_t port) {
    TlsClient out;
    out.socket_ = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    if (::inet_pton(AF_INET, address.c_str(), &to.sin_addr) != 1) return std::nullopt;
    const int on = 1;
    const timeval patience{20, 0};
    (void)::setsockopt(out.socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)::setsockopt(out.socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (::connect(out.socket_.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) return std::nullopt;
    out.ssl_.reset(SSL_new(context()));
    const bool up = SSL_set_fd(out.ssl_.get(), out.socket_.get()) == 1 && SSL_connect(out.ssl_.get()) == 1;
    return up ? std::optional<TlsClient>(std::move(out)) : std::nullopt;
  }
  bool write(ByteSpan bytes) { return SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())) > 0; }
  /// 0: it is over.
  std::size_t read(std::span<std::uint8_t> into) {
    const int got = SSL_read(ssl_.get(), into.data(), static_cast<int>(into.size()));
    return got > 0 ? static_cast<std::size_t>(got) : 0;
  }
  /// Wakes whoever reads or writes.
  void cut() { (void)::shutdown(socket_.get(), SHUT_RDWR); }
  /// Forgets TLS; the connection stands.
  Fd hold() {
    ssl_.reset();
    return std::move(socket_);
  }
  [[nodiscard]] std::array<std::uint8_t, 32> certificate_hash() const {
    std::array<std::uint8_t, 32> out{};
    const std::unique_ptr<X509, void (*)(X509*)> certificate(SSL_get1_peer_certificate(ssl_.get()), X509_free);
    unsigned length = 0;
    if (certificate) X509_digest(certificate.get(), EVP_sha256(), out.data(), &length);
    return out;
  }

 private:
  struct Free {
    void operator()(SSL* one) const { SSL_free(one); }
  };
  static SSL_CTX* context() {
    static SSL_CTX* const made = [] {
      SSL_CTX* out = SSL_CTX_new(TLS_client_method());
      SSL_CTX_set_ciphersuites(out, "TLS_AES_256_GCM_SHA384");
      SSL_CTX_set_cipher_list(out, "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384");
      SSL_CTX_set_read_ahead(out, 1);
      SSL_CTX_set_mode(out, SSL_MODE_RELEASE_BUFFERS);
      SSL_CTX_set_session_cache_mode(out, SSL_SESS_CACHE_OFF);
      return out;
    }();
    return made;
  }
  Fd socket_;
  std::unique_ptr<SSL, Free> ssl_;
};

/// A user's client, from TCP to an open IPCP. PPP is the tests' peer.
class SstpClient {
 public:
  static constexpr std::size_t kHead = 8;  ///< SSTP's four bytes, and PPP's

  /// Logged in with everything open; nothing: the reason is on standard error.
  static std::unique_ptr<SstpClient> login(const std::string& address, std::uint16_t port, const std::string& user, const std::string& password) {
    auto tls = TlsClient::connect(address, port);
    if (!tls) return say("no TLS");
    std::unique_ptr<SstpClient> out(new SstpClient(std::move(*tls)));
    out->peer_.user = user, out->peer_.password = password;
    return out->greet() && out->negotiate() ? std::move(out) : nullptr;
  }
  TlsClient& tls() { return tls_; }
  [[nodiscard]] std::uint32_t address() const { return peer_.address.value_or(0); }
  [[nodiscard]] bool up() const { return peer_.ipcp_open; }

  /// Takes and answers what the gateway says, once. False: it is over.
  bool turn() {
    std::array<std::uint8_t, 16384> piece;
    const std::size_t got = tls_.read(piece);
    in_.insert(in_.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(got));
    return got > 0 && take();
  }
  /// An SSTP packet around an IP packet of so many bytes from us to there.
  [[nodiscard]] std::vector<std::uint8_t> packet(std::size_t bytes, std::uint32_t to) const {
    std::vector<std::uint8_t> out(kHead + bytes, 0x5a);
    const std::array<std::uint8_t, kHead> head{0x10, 0, static_cast<std::uint8_t>(out.size() >> 8), static_cast<std::uint8_t>(out.size()), 0xff, 3, 0, 0x21};
    std::copy(head.begin(), head.end(), out.begin());
    const std::span<std::uint8_t> ip = std::span(out).subspan(kHead);
    const std::array<std::uint8_t, 12> fixed{0x45, 0, static_cast<std::uint8_t>(bytes >> 8), static_cast<std::uint8_t>(bytes), 0, 0, 0, 0, 64, 17, 0, 0};
    std::copy(fixed.begin(), fixed.end(), ip.begin());
    store_be<std::uint32_t>(ip, 12, address());
    store_be<std::uint32_t>(ip, 16, to);
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < 20; i += 2) sum += load_be<std::uint16_t>(ByteSpan(ip), i);
    sum = (sum & 0xffff) + (sum >> 16);
    store_be<std::uint16_t>(ip, 10, static_cast<std::uint16_t>(~((sum & 0xffff) + (sum >> 16))));
    const std::array<std::uint8_t, 8> udp{0x10, 0, 0x10, 1, static_cast<std::uint8_t>((bytes - 20) >> 8), static_cast<std::uint8_t>(bytes - 20), 0, 0};
    std::copy(udp.begin(), udp.end(), ip.begin() + 20);
    return out;
  }

 private:
  explicit SstpClient(TlsClient tls) : tls_(std::move(tls)) {}
  static std::unique_ptr<SstpClient> say(const char* what) { return std::fprintf(stderr, "sstp client: %s\n", what), nullptr; }

  bool greet() {
    const std::string hello =
        "SSTP_DUPLEX_POST /sra_{BA195980-CD49-458b-9E23-C84EE0ADCD75}/ HTTP/1.1\r\nHost: gw.bench.test\r\n"
        "SSTPCORRELATIONID: {62DFA5C0-E2E0-FD50-D286-00D6B6A00001}\r\nContent-Length: 18446744073709551615\r\n\r\n";
    if (!tls_.write({reinterpret_cast<const std::uint8_t*>(hello.data()), hello.size()})) return false;
    std::string answer;
    while (!answer.ends_with("\r\n\r\n")) {
      std::array<std::uint8_t, 4096> piece;
      const std::size_t got = tls_.read(piece);
      if (got == 0) return say("no answer to HTTP"), false;
      answer.append(reinterpret_cast<const char*>(piece.data()), got);
    }
    return answer.starts_with("HTTP/1.1 200") || (say(answer.c_str()), false);
  }
  bool negotiate() {
    constexpr std::array<std::uint8_t, 14> kRequest{0x10, 1, 0, 14, 0, 1, 0, 1, 0, 1, 0, 6, 0, 1};
    if (!tls_.write(kRequest)) return false;
    while (!(up() && bound_)) {
      if (!turn()) return say("the gateway closed before the login was complete"), false;
    }
    return true;
  }
  /// All whole packets.
  bool take() {
    std::size_t at = 0;
    while (in_.size() - at >= 4) {
      const std::size_t length = load_be<std::uint16_t>(ByteSpan(in_), at + 2) & 0xfffU;
      if (length < 4) return false;
      if (in_.size() - at < length) break;
      const bool control = (in_[at + 1] & 1) != 0;
      const ByteSpan body = ByteSpan(in_).subspan(at + 4, length - 4);
      if (control ? !take_control(body) : !take_frame(body)) return false;
      at += length;
    }
    in_.erase(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(at));
    return true;
  }
  bool take_control(ByteSpan body) {
    constexpr std::uint16_t kConnectAck = 2, kEchoRequest = 8, kEchoResponse = 9;
    if (body.size() < 2) return false;
    const auto type = load_be<std::uint16_t>(body, 0);
    if (type == kConnectAck && body.size() >= 44) {
      std::copy_n(body.begin() + 12, nonce_.size(), nonce_.begin());
      peer_.begin();
      return flush();
    }
    constexpr std::array<std::uint8_t, 8> kAnswer{0x10, 1, 0, 8, 0, kEchoResponse, 0, 0};
    if (type == kEchoRequest) return tls_.write(kAnswer);
    return false;  // the gateway ends it
  }
  bool take_frame(ByteSpan frame) {
    const bool before = peer_.proven;
    peer_.take(frame);
    peer_.packets.clear();
    remember(frame);
    if (peer_.proven && !before && !bind()) return false;
    return flush();
  }
  /// Challenge and response of the login: keys are made of them.
  void remember(ByteSpan frame) {
    constexpr std::uint8_t kChallenge = 1, kResponse = 2;
    const auto chap = [](ByteSpan one, std::uint8_t code, std::size_t value) {
      return one.size() >= 9 + value && load_be<std::uint16_t>(one, 2) == 0xc223 && one[4] == code && one[8] == value;
    };
    if (chap(frame, kChallenge, challenge_.size())) std::copy_n(frame.begin() + 9, challenge_.size(), challenge_.begin());
    for (const auto& sent : peer_.sent) {
      if (chap(sent, kResponse, value_.size())) std::copy_n(sent.begin() + 9, value_.size(), value_.begin());
    }
  }
  bool flush() {
    std::vector<std::uint8_t> out;
    for (const auto& frame : peer_.sent) {
      const std::size_t length = frame.size() + 4;
      out.insert(out.end(), {0x10, 0, static_cast<std::uint8_t>(length >> 8), static_cast<std::uint8_t>(length)});
      out.insert(out.end(), frame.begin(), frame.end());
    }
    peer_.sent.clear();
    return out.empty() || tls_.write(out);
  }
  /// CONNECTED with the crypto binding, by the keys of the login.
  bool bind() {
    const ByteSpan value(value_);
    const auto proof = vpn::weak::verify(vpn::weak::nt_hash_of(peer_.password), challenge_, value.first(16), value.subspan(24, 24), peer_.user);
    if (!proof) return say("the response of the login is not known"), false;
    std::array<std::uint8_t, 32> keys{};
    std::copy(proof->receive.begin(), proof->receive.end(), keys.begin());
    std::copy(proof->send.begin(), proof->send.end(), keys.begin() + 16);
    std::vector<std::uint8_t> packet{0x10, 1, 0, 112, 0, 4, 0, 1, 0, 3, 0, 104, 0, 0, 0, 2};
    packet.insert(packet.end(), nonce_.begin(), nonce_.end());
    const auto certificate = tls_.certificate_hash();
    packet.insert(packet.end(), certificate.begin(), certificate.end());
    packet.resize(vpn::sstp::kConnectedBytes);
    const auto mac = vpn::sstp::compound_mac(packet, vpn::sstp::Hash::kSha256, keys);
    std::copy(mac.begin(), mac.end(), packet.begin() + 80);
    bound_ = true;
    return tls_.write(packet);
  }

  TlsClient tls_;
  test::PppPeer peer_;
  std::vector<std::uint8_t> in_;
  std::array<std::uint8_t, 32> nonce_{};
  std::array<std::uint8_t, 16> challenge_{};
  std::array<std::uint8_t, 49> value_{};  ///< of the response: peer's challenge, zeros, NT response, flags
  bool bound_ = false;
};

}  // namespace sekisho::bench
