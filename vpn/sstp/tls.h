// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/wire/reader.h"
#include "vpn/plan.h"
#include "vpn/sstp/record.h"

struct ssl_st;
struct ssl_ctx_st;

/// TLS of SSTP's server: OpenSSL, without tickets, sessions or renegotiation; of TLS 1.3 the handshake alone, after which its keys go on in
/// a RecordStream and OpenSSL's memory is given back. Thread: one.
namespace sekisho::vpn::sstp {

/// What a gateway shows and accepts. Immutable: a new certificate is a new object, and connections keep the one they began with.
class TlsGateway {
 public:
  /// nullptr: `refusal` says why.
  static std::shared_ptr<const TlsGateway> make(const SstpPlan& plan, std::string& refusal);
  ~TlsGateway();
  TlsGateway(const TlsGateway&) = delete;
  TlsGateway& operator=(const TlsGateway&) = delete;

  /// The context for a client that asks for `name`: the first certificate that has it, else the first.
  [[nodiscard]] ssl_ctx_st* context_for(const char* name) const;

 private:
  friend struct TlsCallbacks;
  TlsGateway() = default;
  [[nodiscard]] ByteSpan staple_of(const ssl_ctx_st* context) const;
  std::vector<ssl_ctx_st*> contexts_;
  std::vector<std::vector<std::uint8_t>> staples_;  ///< of each context: DER of an OCSP response; empty: none
};

/// One connection's TLS on a nonblocking socket, which stays its owner's.
class TlsStream {
 public:
  using Outcome = RecordStream::Outcome;

  /// `gateway` lives as long as this.
  TlsStream(std::shared_ptr<const TlsGateway> gateway, int socket);
  ~TlsStream();
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  Outcome handshake();
  /// Reads into `out`, which has room for kRecordBytesMax at least; `count` of kDone, which may be none. kClosed: the peer has said so.
  Outcome read(std::span<std::uint8_t> out, std::size_t& count);
  /// Takes of `bytes` what goes, and of none what unsent() is; `count` of kDone.
  Outcome write(ByteSpan bytes, std::size_t& count);
  /// Bytes taken that TCP has not, where that can be told.
  [[nodiscard]] std::size_t unsent() const { return records_ ? records_->unsent() : 0; }
  /// Says goodbye, if it can be said now.
  void shutdown();

  /// Hashes of the certificate this connection's peer was sent; zeros before the handshake.
  struct CertificateHashes {
    std::array<std::uint8_t, 20> sha1{};
    std::array<std::uint8_t, 32> sha256{};
  };
  [[nodiscard]] const CertificateHashes& certificate_hashes() const { return hashes_; }
  /// "TLSv1.3/TLS_AES_256_GCM_SHA384"
  [[nodiscard]] std::string suite() const;

 private:
  friend struct TlsCallbacks;
  /// The first traffic secrets of TLS 1.3, as OpenSSL gives them to whoever logs keys: there is no other way to them.
  struct Secrets;
  Outcome outcome_of(int returned);
  void settle();
  std::shared_ptr<const TlsGateway> gateway_;
  int socket_;
  ssl_st* ssl_ = nullptr;                  ///< with TLS 1.3, until the handshake is done
  std::unique_ptr<Secrets> secrets_;       ///< until then
  std::unique_ptr<RecordStream> records_;  ///< from then on
  CertificateHashes hashes_;
};

}  // namespace sekisho::vpn::sstp
