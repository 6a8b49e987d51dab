// SPDX-License-Identifier: Apache-2.0
// A gateway's TLS against OpenSSL's client, over a socket pair.
#include "vpn/sstp/tls.h"

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <signal.h>
#include <sys/socket.h>

#include "base/os/fd.h"
#include "tests/unit/sstp/bytes.h"

namespace sekisho::vpn::sstp {
namespace {

using Outcome = TlsStream::Outcome;

template <typename T, void (*kFree)(T*)>
struct Freed {
  void operator()(T* one) const { kFree(one); }
};
template <typename T, void (*kFree)(T*)>
using Owned = std::unique_ptr<T, Freed<T, kFree>>;

std::string text_of(BIO* bio) {
  char* at = nullptr;
  const long length = BIO_get_mem_data(bio, &at);
  return {at, static_cast<std::size_t>(length)};
}

SstpPlan plan(bool aes128) {
  SstpPlan out;
  const Owned<EVP_PKEY, EVP_PKEY_free> key(EVP_EC_gen("P-256"));
  const Owned<X509, X509_free> certificate(X509_new());
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_set_pubkey(certificate.get(), key.get());
  X509_sign(certificate.get(), key.get(), EVP_sha256());
  const std::unique_ptr<BIO, int (*)(BIO*)> pem(BIO_new(BIO_s_mem()), BIO_free), secret(BIO_new(BIO_s_mem()), BIO_free);
  PEM_write_bio_X509(pem.get(), certificate.get());
  PEM_write_bio_PrivateKey(secret.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  out.certificates.push_back(text_of(pem.get()));
  out.keys.push_back(text_of(secret.get()));
  out.aes128 = aes128;
  return out;
}

/// A gateway's end and a client's whose handshake is done.
struct Pair {
  Fd ours, theirs;
  Owned<SSL_CTX, SSL_CTX_free> context{SSL_CTX_new(TLS_client_method())};
  Owned<SSL, SSL_free> client;
  std::unique_ptr<TlsStream> server;
  Bytes room = Bytes(1U << 17);

  explicit Pair(int version, const char* suites = "TLS_AES_256_GCM_SHA384", bool aes128 = false, std::uint8_t fragment = 0) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
    ours = Fd(ends[0]), theirs = Fd(ends[1]);
    SSL_CTX_set_max_proto_version(context.get(), version);
    SSL_CTX_set_ciphersuites(context.get(), suites);
    SSL_CTX_set_tlsext_max_fragment_length(context.get(), fragment);
    client.reset(SSL_new(context.get()));
    SSL_set_fd(client.get(), theirs.get());
    std::string refusal;
    server = std::make_unique<TlsStream>(TlsGateway::make(plan(aes128), refusal), ours.get());
    Outcome outcome = Outcome::kWait;
    for (int i = 0; i < 10 && (outcome == Outcome::kWait || SSL_is_init_finished(client.get()) == 0); ++i) {
      (void)SSL_connect(client.get());
      if (outcome == Outcome::kWait) outcome = server->handshake();
    }
    EXPECT_EQ(outcome, Outcome::kDone);
    EXPECT_EQ(SSL_is_init_finished(client.get()), 1);
  }
  /// What the gateway reads until it has to wait.
  Bytes read(Outcome& last) {
    Bytes out;
    std::size_t count = 0;
    while ((last = server->read(room, count)) == Outcome::kDone) {
      out.insert(out.end(), room.begin(), room.begin() + static_cast<std::ptrdiff_t>(count));
    }
    return out;
  }
  /// Bytes go both ways, in records of many sizes.
  void converse() {
    Outcome last = Outcome::kDone;
    for (const std::size_t bytes : {1U, 1400U, 16384U}) {
      const Bytes plain(bytes, static_cast<std::uint8_t>(bytes % 251));
      ASSERT_EQ(SSL_write(client.get(), plain.data(), static_cast<int>(bytes)), static_cast<int>(bytes));
      EXPECT_EQ(read(last), plain);
      EXPECT_EQ(last, Outcome::kWait);
      std::size_t count = 0;
      ASSERT_EQ(server->write(plain, count), Outcome::kDone);
      EXPECT_EQ(count, bytes);
      Bytes back(bytes + 1);
      ASSERT_EQ(SSL_read(client.get(), back.data(), static_cast<int>(back.size())), static_cast<int>(bytes));
      back.resize(bytes);
      EXPECT_EQ(back, plain);
    }
  }
};

class Versions : public testing::TestWithParam<int> {};

TEST_P(Versions, CarryBytesBothWaysAndSayGoodbye) {
  Pair pair(GetParam());
  pair.converse();
  SSL_shutdown(pair.client.get());
  Outcome last = Outcome::kDone;
  EXPECT_TRUE(pair.read(last).empty());
  EXPECT_EQ(last, Outcome::kClosed);
  pair.server->shutdown();
  EXPECT_EQ(SSL_shutdown(pair.client.get()), 1);  // it has heard ours
}

TEST_P(Versions, AClientThatVanishesSaysNoGoodbye) {
  ::signal(SIGPIPE, SIG_IGN);  // as the daemon does
  Pair pair(GetParam());
  pair.theirs = Fd();
  Outcome last = Outcome::kDone;
  EXPECT_TRUE(pair.read(last).empty());
  EXPECT_EQ(last, Outcome::kFailed);
}

TEST_P(Versions, KnowTheCertificateThatWasSent) {
  const Pair pair(GetParam());
  const Owned<X509, X509_free> sent(SSL_get1_peer_certificate(pair.client.get()));
  std::array<std::uint8_t, 32> hash{};
  unsigned length = 0;
  X509_digest(sent.get(), EVP_sha256(), hash.data(), &length);
  EXPECT_EQ(pair.server->certificate_hashes().sha256, hash);
  EXPECT_EQ(pair.server->suite(), std::string(SSL_get_version(pair.client.get())) + '/' + SSL_get_cipher_name(pair.client.get()));
}

INSTANTIATE_TEST_SUITE_P(Tls, Versions, testing::Values(TLS1_2_VERSION, TLS1_3_VERSION));

TEST(TlsStream, SpeaksTheShorterSuiteWhereItIsAllowed) {
  Pair pair(TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", true);
  EXPECT_EQ(pair.server->suite(), "TLSv1.3/TLS_AES_128_GCM_SHA256");
  pair.converse();
}

TEST(TlsStream, BothEndsChangeKeysAsOftenAsTheClientWants) {
  Pair pair(TLS1_3_VERSION);
  for (const int kind : {SSL_KEY_UPDATE_NOT_REQUESTED, SSL_KEY_UPDATE_REQUESTED, SSL_KEY_UPDATE_REQUESTED}) {
    ASSERT_EQ(SSL_key_update(pair.client.get(), kind), 1);
    ASSERT_EQ(SSL_do_handshake(pair.client.get()), 1);
    pair.converse();
  }
}

TEST(TlsStream, AClientThatAsksForShortRecordsGetsNoLongerOnes) {
  Pair pair(TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", false, TLSEXT_max_fragment_length_1024);
  const Bytes plain(4000, 7);
  std::size_t count = 0;
  for (std::size_t at = 0; at < plain.size(); at += count) {
    ASSERT_EQ(pair.server->write(ByteSpan(plain).subspan(at), count), Outcome::kDone);
  }
  Bytes got(plain.size());
  EXPECT_EQ(SSL_read(pair.client.get(), got.data(), static_cast<int>(got.size())), 1024);
}

/// What the client sent right behind its last word of the handshake is not lost in OpenSSL.
TEST(TlsStream, DataOnTheHeelsOfTheHandshakeIsRead) {
  Pair pair(TLS1_3_VERSION);
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
  pair.ours = Fd(ends[0]), pair.theirs = Fd(ends[1]);
  pair.client.reset(SSL_new(pair.context.get()));
  SSL_set_fd(pair.client.get(), pair.theirs.get());
  std::string refusal;
  pair.server = std::make_unique<TlsStream>(TlsGateway::make(plan(false), refusal), pair.ours.get());
  (void)SSL_connect(pair.client.get());
  ASSERT_EQ(pair.server->handshake(), Outcome::kWait);
  ASSERT_EQ(SSL_connect(pair.client.get()), 1);
  ASSERT_EQ(SSL_write(pair.client.get(), "at once", 7), 7);
  ASSERT_EQ(pair.server->handshake(), Outcome::kDone);
  Outcome last = Outcome::kDone;
  EXPECT_EQ(pair.read(last), (Bytes{'a', 't', ' ', 'o', 'n', 'c', 'e'}));
}

}  // namespace
}  // namespace sekisho::vpn::sstp
