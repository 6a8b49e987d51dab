// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/net/address.h"
#include "vpn/client_family.h"
#include "vpn/interned.h"

namespace sekisho::vpn {

struct Endpoint {
  Address address;
  std::uint16_t port = 0;
  auto operator<=>(const Endpoint&) const = default;
};

/// Whose a datagram is, by which Port it came, and its two ends. The tenant is never read from the datagram itself.
struct Path {
  std::uint32_t tenant = 0;
  std::uint32_t port = 0;
  Endpoint local;
  Endpoint remote;
  std::uint32_t tunnel = 0;  ///< number of the tunnel it came out of, or goes into; 0: none
};

/// What a certificate says of itself, as records show it.
struct CertificateFacts {
  Interned serial;   ///< hex, no leading zeros
  Interned subject;  ///< RFC 2253
  Interned issuer;
  std::int64_t not_after = 0;  ///< seconds since 1970 UTC; of the chain's certificate that ends first
  std::vector<std::string> names;  ///< alternative ones (host, mail, URI, user principal name), without case
};

/// What the lists say of a certificate, in the words of the devauth log.
enum class Revocation : std::uint8_t { kUnchecked, kGood, kRevoked, kUnknown };
std::string_view name_of(Revocation revocation);

/// A certificate whose key the peer has proven to hold.
struct ProvenCertificate {
  bool device = false;  ///< of the device; else of the user
  std::vector<std::vector<std::uint8_t>> chain;  ///< DER: it, then what connects it with a CA
  CertificateFacts facts;
  Revocation revocation = Revocation::kUnchecked;
};
using ProvenCertificates = std::vector<ProvenCertificate>;

/// Whether the device will do, in the words of the devauth log (specification 3.7).
struct DeviceVerdict {
  enum class Result : std::uint8_t { kNone, kOk, kFail, kPending, kSkipped };
  enum class Why : std::uint8_t {
    kNone, kUnregistered, kNotApproved, kDisabled, kExpired, kRevoked, kChain, kUserMismatch, kListStale, kGroup,
  };
  Result result = Result::kNone;  ///< kNone: nobody has asked
  Why why = Why::kNone;
  Interned id, name, group, os;  ///< of a registered device
  Interned policy;
  Mac mac{};  ///< as a RADIUS server says: nobody has proven it; zero: it does not
};
std::string_view name_of(DeviceVerdict::Why why);
/// Why a device will not do, in words.
std::string_view sentence_of(DeviceVerdict::Why why);

/// By which protocol somebody comes in.
enum class Protocol : std::uint8_t { kIkeV2, kL2tp, kSstp, kPptp };

/// One remote-access session: an IKE_SA through all its rekeyings, with what runs inside.
struct Session {
  std::uint64_t id = 0;
  Protocol protocol = Protocol::kIkeV2;
  Path path;
  bool nat = false;
  Interned gateway;  ///< name of the gateway and the way in, a word of the log: "tokyo eap-mschapv2"
  Interned user;     ///< EAP identity, or the identity of the certificate
  Interned backend;  ///< of RADIUS that judges who comes by PPP; empty: none, or not known yet
  Interned ike_id;   ///< IDi as sent
  std::vector<Address> leases;
  Interned ike_suite;
  Interned esp_suite;  ///< of SSTP: TLS version and suite
  Interned client;        ///< what it runs, by its vendor ids
  Interned certificate_serial, certificate_subject;  ///< of the client, once it is believed
  std::string correlation;   ///< both SPIs of the IKE_SA, or SSTP's correlation id, in hex
  Interned offered;  ///< algorithms of an offer that nothing fits
  ClientFamily family = ClientFamily::kUnknown;
  std::uint32_t spi_in = 0;   ///< of the newest CHILD_SA
  std::uint32_t spi_out = 0;
  std::shared_ptr<const ProvenCertificates> certificates;  ///< none: he came in without
  DeviceVerdict device;
  Interned ppk_id;  ///< of the RFC 8784 key that was mixed in
  std::uint64_t psk_mark = 0;  ///< of IKEv1: of the pre-shared key it proved to hold (mark_of); 0: none

  /// The user's own or (`device`) his device's; nothing when he showed none.
  [[nodiscard]] const ProvenCertificate* certificate(bool of_device) const;
};

/// How far an attempt came.
enum class Stage : std::uint8_t { kNegotiation, kAuthentication, kAdmission };

/// Words of the log's `cause` field (specification 3.7).
enum class Cause : std::uint8_t {
  kNone, kUser, kPeerLost, kIdle, kMaxTime, kAdmin, kReplaced, kLimitUser, kLimitTenant, kPoolEmpty, kAuth, kDevice, kSchedule,
  kSourceAddress, kCrypto, kCertExpired, kCertRevoked, kBackendDown, kConfig, kMaintenance, kInternal,
};

std::string_view name_of(Cause cause);
/// Why somebody was not let in, or (`was_up`) why his session was ended, in words; empty where the cause alone says too little.
std::string_view sentence_of(Cause cause, bool was_up);
std::string_view name_of(Stage stage);

/// Every attempt ends in exactly one of kUp, kAuthFail and kDenied; every kUp is followed by exactly one kDown. Before its end come at
/// most one kStart (the peer's address is real), one kAuthOk and one kAssigned, in this order. kUsage is nobody's but the recorder's.
struct SessionEvent {
  enum class Kind : std::uint8_t { kUp, kAuthFail, kDenied, kRekeyed, kMoved, kDown, kStart, kAuthOk, kAssigned, kUsage };
  Kind kind = Kind::kUp;
  Session session;
  Stage stage = Stage::kNegotiation;  ///< of kAuthFail and kDenied
  Cause cause = Cause::kNone;         ///< of kAuthFail, kDenied and kDown
  std::string text;                   ///< of those: stage, cause and remedy in words
};

std::string_view name_of(SessionEvent::Kind kind);

}  // namespace sekisho::vpn
