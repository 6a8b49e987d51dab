// SPDX-License-Identifier: Apache-2.0
// EAP in PPP: TLS against OpenSSL's own client, relay to a backend, and naks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "tests/support/ppp_peer.h"
#include "vpn/ppp/eap_tls.h"

namespace sekisho::vpn::ppp {
namespace {

using namespace std::chrono_literals;
using test::hex;
using test::PppWorld;
using test::unhex;
using ::testing::HasSubstr;

/// A certificate with its key, signed by itself or by another.
struct Identity {
  EVP_PKEY* key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
  X509* certificate = X509_new();
  explicit Identity(const char* name, const Identity* issuer = nullptr, std::size_t padding = 0) {
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 7);
    X509_set_version(certificate, 2);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    const std::string unit(padding, 'x');
    auto* subject = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
    if (padding != 0) extend(NID_netscape_comment, unit);  // a chain that needs fragments
    if (issuer == nullptr) extend(NID_basic_constraints, "critical,CA:TRUE");
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer != nullptr ? issuer->certificate : certificate));
    X509_sign(certificate, issuer != nullptr ? issuer->key : key, EVP_sha256());
  }
  Identity(const Identity&) = delete;
  void extend(int what, const std::string& value) const {
    auto* extension = X509V3_EXT_conf_nid(nullptr, nullptr, what, value.c_str());
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }
  ~Identity() {
    EVP_PKEY_free(key);
    X509_free(certificate);
  }
  [[nodiscard]] std::string pem(bool of_key) const {
    BIO* bio = BIO_new(BIO_s_mem());
    if (of_key) {
      PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
    } else {
      PEM_write_bio_X509(bio, certificate);
    }
    char* text = nullptr;
    const auto size = static_cast<std::size_t>(BIO_get_mem_data(bio, &text));
    std::string out(text, size);
    BIO_free(bio);
    return out;
  }
};

/// The peer's end of EAP-TLS: OpenSSL's client behind fragments of its own.
class TlsPeer {
 public:
  TlsPeer(const Identity* own, const Identity& trusted, int version, std::size_t fragment) : fragment_(fragment) {
    context_ = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(context_, version);
    SSL_CTX_set_max_proto_version(context_, version);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context_), trusted.certificate);
    SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
    if (own != nullptr) {
      SSL_CTX_use_certificate(context_, own->certificate);
      SSL_CTX_use_PrivateKey(context_, own->key);
    }
    ssl_ = SSL_new(context_);
    SSL_set_bio(ssl_, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl_);
  }
  TlsPeer(const TlsPeer&) = delete;
  ~TlsPeer() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  /// The response's data to a request's.
  std::vector<std::uint8_t> answer(ByteSpan request) {
    const std::uint8_t flags = request[0];
    ByteSpan tls = request.subspan((flags & 0x80) != 0 ? 5 : 1);
    if (sent_ < out_.size()) return next();
    BIO_write(SSL_get_rbio(ssl_), tls.data(), static_cast<int>(tls.size()));
    if ((flags & 0x40) != 0) return {0};
    if (SSL_is_init_finished(ssl_) == 0) {
      SSL_do_handshake(ssl_);
    } else {
      std::uint8_t byte = 1;
      if (SSL_read(ssl_, &byte, 1) == 1) commitment = byte == 0;
    }
    out_.resize(65536);
    const int size = BIO_read(SSL_get_wbio(ssl_), out_.data(), static_cast<int>(out_.size()));
    out_.resize(static_cast<std::size_t>(std::max(size, 0)));
    sent_ = 0;
    return out_.empty() ? std::vector<std::uint8_t>{0} : next();
  }
  [[nodiscard]] bool finished() const { return SSL_is_init_finished(ssl_) != 0; }
  [[nodiscard]] std::array<std::uint8_t, 64> msk(bool tls13) const {
    std::array<std::uint8_t, 64> out{};
    const std::string label = tls13 ? "EXPORTER_EAP_TLS_Key_Material" : "client EAP encryption";
    const std::uint8_t type = 13;
    SSL_export_keying_material(ssl_, out.data(), out.size(), label.data(), label.size(), tls13 ? &type : nullptr, tls13 ? 1 : 0, tls13 ? 1 : 0);
    return out;
  }
  /// What it may come again by; the caller frees it.
  [[nodiscard]] SSL_SESSION* ticket() const { return SSL_get1_session(ssl_); }
  void come_by(SSL_SESSION* ticket) { SSL_set_session(ssl_, ticket); }
  [[nodiscard]] bool came_by_ticket() const { return SSL_session_reused(ssl_) != 0; }
  bool commitment = false;
  std::size_t fragments = 0;

 private:
  std::vector<std::uint8_t> next() {
    const std::size_t size = std::min(fragment_, out_.size() - sent_);
    const bool more = sent_ + size < out_.size(), first = sent_ == 0;
    Bytes data;
    data.u8((first && more ? 0x80 : 0) | (more ? 0x40 : 0));
    if (first && more) data.u32(out_.size());
    data.append(ByteSpan(out_).subspan(sent_, size));
    sent_ += size;
    fragments += more;
    if (!more) {
      out_.clear();
      sent_ = 0;
    }
    return data.take();
  }
  std::size_t fragment_;
  SSL_CTX* context_;
  SSL* ssl_;
  std::vector<std::uint8_t> out_;
  std::size_t sent_ = 0;
};

struct EapWorld : PppWorld {
  std::size_t largest = 0;
  std::uint8_t end = 0;  ///< code of the last packet, 3 or 4
  bool bare_end = false, bare_begin = false;  ///< the last word, the first request is answered without a type
  EapWorld() {
    options.methods = {AuthMethod::kEap};
    owner.method = AuthAnswer::Verdict::kTls;
  }
  /// Everything but EAP-TLS by the simple peer.
  void talk_tls(TlsPeer& tls_peer) {
    for (int turn = 0; turn < 300 && (!owner.frames.empty() || !peer.sent.empty()); ++turn) {
      if (!owner.frames.empty()) {
        const auto frame = owner.frames.front();
        owner.frames.pop_front();
        largest = std::max(largest, frame.size());
        const auto parsed = parse_frame(frame);
        const auto packet = parsed && parsed->protocol == 0xc227 ? parse_packet(parsed->payload) : Result<Packet>(Error{ErrorCode::kMalformed, ErrorSite::kNone, 0});
        if (packet && packet->code >= 3) end = packet->code;
        if (packet && packet->code == 1 && packet->data[0] == 13) {
          const bool said = tls_peer.commitment;
          const auto data = Bytes().u8(13).append(tls_peer.answer(packet->data.subspan(1))).take();
          const bool bare = bare_begin || (bare_end && tls_peer.commitment && !said);
          peer.send(Protocol::kEap, 2, packet->id, bare ? ByteSpan() : ByteSpan(data));
        } else {
          peer.take(frame);
        }
      }
      if (peer.sent.empty()) continue;
      const auto frame = peer.sent.front();
      peer.sent.erase(peer.sent.begin());
      session->receive(frame, now);
    }
  }
  void connect_tls(TlsPeer& tls_peer) {
    start();
    peer.begin();
    talk_tls(tls_peer);
  }
};

TEST(PppEap, TlsLetsTheHolderOfACertificateInAndBothEndsHaveItsKeys) {
  const Identity ca("ca"), gateway("gw", &ca, 3000), hana("hana", &ca, 2000);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    for (const std::size_t fragment : {std::size_t{100}, std::size_t{1300}}) {
      EapWorld world;
      world.tls = EapTlsContext::make(gateway.pem(false) + ca.pem(false), gateway.pem(true), {ca.pem(false)});
      ASSERT_NE(world.tls, nullptr);
      TlsPeer peer(&hana, ca, version, fragment);
      world.connect_tls(peer);
      ASSERT_TRUE(peer.finished());
      EXPECT_EQ(world.end, 3);
      EXPECT_TRUE(world.session->up(Family::kIpv4));
      ASSERT_FALSE(world.owner.chain.empty());
      EXPECT_EQ(world.owner.users.back(), "hana");
      EXPECT_LE(world.largest, 1100U) << "whatever a certificate weighs";
      EXPECT_GT(peer.fragments, 0U);
      const auto msk = peer.msk(version == TLS1_3_VERSION);
      EXPECT_EQ(hex(world.session->keys().hlak()), hex(ByteSpan(msk).first(32)));
      EXPECT_EQ(peer.commitment, version == TLS1_3_VERSION);
    }
  }
}

TEST(PppEap, TheLastWordOfTls13MayBeAcknowledgedWithoutATypeAndNothingElse) {  // as pppd 2.4.9 does
  const Identity ca("ca"), gateway("gw", &ca), hana("hana", &ca);
  EapWorld world;
  world.tls = EapTlsContext::make(gateway.pem(false), gateway.pem(true), {ca.pem(false)});
  world.bare_end = true;
  TlsPeer peer(&hana, ca, TLS1_3_VERSION, 1300);
  world.connect_tls(peer);
  EXPECT_TRUE(peer.commitment);
  EXPECT_EQ(world.end, 3);
  EXPECT_TRUE(world.session->up(Family::kIpv4));
  EapWorld other;
  other.tls = world.tls;
  other.bare_begin = true;
  TlsPeer early(&hana, ca, TLS1_3_VERSION, 1300);
  other.connect_tls(early);
  EXPECT_FALSE(early.finished());
  EXPECT_EQ(other.end, 0);
  EXPECT_FALSE(other.session->up(Family::kIpv4));
}

TEST(PppEap, TheTicketOfTls13ComesForOldPeersAndOpensNothing) {  // pppd 2.4.9 waits for one
  const Identity ca("ca"), gateway("gw", &ca), hana("hana", &ca);
  EapWorld world;
  world.tls = EapTlsContext::make(gateway.pem(false), gateway.pem(true), {ca.pem(false)});
  TlsPeer peer(&hana, ca, TLS1_3_VERSION, 1300);
  world.connect_tls(peer);
  SSL_SESSION* ticket = peer.ticket();
  ASSERT_EQ(SSL_SESSION_is_resumable(ticket), 1);
  EapWorld again;
  again.tls = world.tls;
  TlsPeer second(&hana, ca, TLS1_3_VERSION, 1300);
  second.come_by(ticket);
  again.connect_tls(second);
  EXPECT_FALSE(second.came_by_ticket());
  EXPECT_EQ(again.end, 3);
  EXPECT_FALSE(again.owner.chain.empty()) << "the certificate is shown again";
  SSL_SESSION_free(ticket);
}

TEST(PppEap, WhoeverIsAskedMayStillSayNo) {
  const Identity ca("ca"), gateway("gw", &ca), hana("hana", &ca);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    EapWorld world;
    world.tls = EapTlsContext::make(gateway.pem(false), gateway.pem(true), {ca.pem(false)});
    world.owner.refusal = Cause::kCertRevoked;
    TlsPeer peer(&hana, ca, version, 1000);
    world.connect_tls(peer);
    EXPECT_EQ(world.end, 4);
    ASSERT_TRUE(world.owner.down());
    EXPECT_EQ(world.owner.find(Event::Kind::kDown)->cause, Cause::kCertRevoked);
    EXPECT_EQ(world.session->keys().size, 0);
  }
}

TEST(PppEap, WithoutACertificateOrTrustInOursNobodyComesIn) {
  const Identity ca("ca"), other("other"), gateway("gw", &ca), hana("hana", &ca);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    for (const bool bare : {true, false}) {
      EapWorld world;
      world.tls = EapTlsContext::make(gateway.pem(false), gateway.pem(true), {ca.pem(false)});
      TlsPeer peer(bare ? nullptr : &hana, bare ? ca : other, version, 1000);
      world.connect_tls(peer);
      EXPECT_EQ(world.end, 4) << bare;
      EXPECT_EQ(world.owner.find(Event::Kind::kAuthenticated), nullptr);
      EXPECT_TRUE(world.owner.down());
      EXPECT_TRUE(world.owner.chain.empty());
    }
  }
}

TEST(PppEap, AKeyThatIsNotTheCertificatesIsNoGateway) {
  const Identity ca("ca"), gateway("gw", &ca);
  EXPECT_EQ(EapTlsContext::make(gateway.pem(false), ca.pem(true), {}), nullptr);
  EXPECT_EQ(EapTlsContext::make("", gateway.pem(true), {}), nullptr);
  EXPECT_EQ(EapTlsContext::make(gateway.pem(false), "", {}), nullptr);
}

TEST(PppEap, NoPeerFillsTheMemory) {
  const Identity gateway("gw");
  const auto context = EapTlsContext::make(gateway.pem(false), gateway.pem(true), {});
  EapTls tls(context, 1024);
  tls.start();
  const auto piece = Bytes().u8(0xc0).u32(0xffffffff).append(std::vector<std::uint8_t>(1000)).take();
  EapTls::What what = EapTls::What::kSend;
  for (int i = 0; i < 33 && what == EapTls::What::kSend; ++i) what = tls.receive(piece);
  EXPECT_EQ(what, EapTls::What::kFailed);
  EapTls short_length(context, 1024);
  short_length.start();
  EXPECT_EQ(short_length.receive(unhex("c00000")), EapTls::What::kFailed);
}

TEST(PppEap, APeerThatNaksGetsTheOtherMethodWhenItMayHaveIt) {
  for (const bool may : {true, false}) {
    PppWorld world;
    world.options.methods = {AuthMethod::kEap};
    world.owner.other_may_do = may;
    world.owner.method = AuthAnswer::Verdict::kTls;
    const Identity gateway("gw");
    world.tls = EapTlsContext::make(gateway.pem(false), gateway.pem(true), {});
    world.start();
    world.peer.begin();
    for (int turn = 0; turn < 200 && (!world.owner.frames.empty() || !world.peer.sent.empty()); ++turn) {
      if (!world.owner.frames.empty()) {
        const auto frame = world.owner.frames.front();
        world.owner.frames.pop_front();
        const auto parsed = parse_frame(frame);
        const auto packet = parse_packet(parsed->payload);
        if (parsed->protocol == 0xc227 && packet->code == 1 && packet->data[0] == 13) {
          world.peer.send(Protocol::kEap, 2, packet->id, unhex("031a"));
        } else {
          world.peer.take(frame);
        }
      }
      if (world.peer.sent.empty()) continue;
      const auto frame = world.peer.sent.front();
      world.peer.sent.erase(world.peer.sent.begin());
      world.session->receive(frame, world.now);
    }
    EXPECT_EQ(world.session->up(Family::kIpv4), may);
  }
}

/// A backend that speaks in whole EAP packets.
struct RelayWorld : PppWorld {
  RelayWorld() {
    options.methods = {AuthMethod::kEap};
    owner.answers = false;
    start();
    peer.begin();
    talk();
  }
  void answer(AuthAnswer::Verdict verdict, std::string_view eap) {
    AuthAnswer out;
    out.verdict = verdict;
    out.eap = unhex(eap);
    session->answer(owner.asked, out, now);
  }
};

TEST(PppEap, ABackendsWordsPassAsTheyAre) {
  RelayWorld world;
  ASSERT_EQ(world.owner.kind, AuthRequest::Kind::kIdentity);
  world.answer(AuthAnswer::Verdict::kRelay, "01770006 1901");
  EXPECT_EQ(hex(world.owner.frames.back()), "ff03c227017700061901");
  world.owner.frames.clear();
  world.session->receive(control_frame(Protocol::kEap, 2, 0x76, unhex("1900")), world.now);
  EXPECT_EQ(world.owner.kind, AuthRequest::Kind::kIdentity) << "of another request";
  world.session->receive(control_frame(Protocol::kEap, 2, 0x77, unhex("1900")), world.now);
  ASSERT_EQ(world.owner.kind, AuthRequest::Kind::kRelay);
  const auto frames = world.owner.frames.size();
  world.wait(20s, false);
  EXPECT_EQ(std::ranges::count_if(world.owner.frames, [](const auto& frame) { return frame[2] == 0xc2 && frame[3] == 0x27; }), 0)
      << "nothing is asked again while somebody's finger is waited for, " << frames;
  world.answer(AuthAnswer::Verdict::kAccept, "03780004");
  EXPECT_NE(world.owner.find(Event::Kind::kAuthenticated), nullptr);
  EXPECT_THAT(hex(world.owner.frames.back()), ::testing::AnyOf(HasSubstr("c22703780004"), HasSubstr("8057"), HasSubstr("8021")));
}

TEST(PppEap, ASuccessBeforeTheMethodIsDoneIsNone) {
  RelayWorld early;
  early.answer(AuthAnswer::Verdict::kAccept, "03770004");
  EXPECT_EQ(early.owner.find(Event::Kind::kAuthenticated), nullptr);
  EXPECT_FALSE(early.session->up(Family::kIpv4));
  RelayWorld strange;
  strange.answer(AuthAnswer::Verdict::kRelay, "03770004");
  EXPECT_EQ(strange.owner.find(Event::Kind::kAuthenticated), nullptr);
  RelayWorld rejected;
  rejected.answer(AuthAnswer::Verdict::kRelay, "01770006 1901");
  rejected.session->receive(control_frame(Protocol::kEap, 3, 0x77, {}), rejected.now);
  EXPECT_EQ(rejected.owner.find(Event::Kind::kAuthenticated), nullptr) << "the peer's own";
}

TEST(PppEap, NobodyProvesHimselfUnderAnothersName) {
  PppWorld world;
  world.options.methods = {AuthMethod::kEap};
  world.start();
  world.peer.begin();
  for (int turn = 0; turn < 100 && (!world.owner.frames.empty() || !world.peer.sent.empty()); ++turn) {
    if (!world.owner.frames.empty()) {
      world.peer.take(world.owner.frames.front());
      world.owner.frames.pop_front();
    }
    if (world.peer.sent.empty()) continue;
    const auto frame = world.peer.sent.front();
    world.peer.sent.erase(world.peer.sent.begin());
    world.session->receive(frame, world.now);
    if (world.peer.user == "hana" && frame.size() > 8 && frame[3] == 0x27) world.peer.user = "root";  // after the identity
  }
  EXPECT_EQ(world.owner.find(Event::Kind::kAuthenticated), nullptr);
  EXPECT_TRUE(world.owner.down());
}

}  // namespace
}  // namespace sekisho::vpn::ppp
