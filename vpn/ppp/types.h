// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/net/address.h"
#include "base/wire/reader.h"
#include "vpn/session.h"

/// Words shared by everything that speaks PPP, and by the doors that carry it.
namespace sekisho::vpn::ppp {

using Time = std::chrono::steady_clock::time_point;
/// Fills at most 256 bytes nobody can foresee; vpn/random.h's, or a test's own.
using Random = std::function<void(std::span<std::uint8_t>)>;

/// How a peer proves who it is.
enum class AuthMethod : std::uint8_t { kPap, kChapMd5, kMschapV2, kEap };

/// The words of the log for it: "pap" "chap" "mschapv2" "eap".
std::string_view name_of(AuthMethod method);

/// What a door allows. Everything is off until said.
struct Options {
  std::vector<AuthMethod> methods;          ///< the first is asked for first; the peer may choose another of them
  std::uint16_t mru = 1400;                 ///< largest packet we ask the peer to send, and send at most
  std::uint16_t mru_max = 1500;             ///< what the door can carry; a peer that asks for more is told this
  bool header_compression = false;          ///< ACFC and PFC may be agreed; a door without HDLC gains three bytes a packet
  bool mppe = false;                        ///< MPPE with 128 bits, or no session: IP passes encrypted alone
  std::string name = "gateway";             ///< who challenges
  std::chrono::milliseconds first_resend{300};  ///< of our first LCP request: a peer's PPP may begin after its door is open
  std::chrono::milliseconds restart{3000};      ///< RFC 1661 4.6
  std::uint8_t configure_max = 10;              ///< requests without an answer
  std::uint8_t terminate_max = 2;
  std::uint8_t failure_max = 5;                 ///< naks of one option before it is rejected, and of our own before we give up
  std::chrono::seconds authentication_max{60};  ///< from LCP open to the proof; a backend may wait for somebody's finger
  std::chrono::seconds network_max{60};         ///< from the proof to the first open network protocol
  std::chrono::seconds echo_interval{30};       ///< without a frame from the peer; zero: no echoes
  std::uint8_t echo_max = 4;                    ///< echoes without an answer
};

/// What LCP agreed on; complete once the link is up.
struct Agreed {
  std::uint16_t peer_mru = 1500;    ///< we send no larger packet
  AuthMethod method = AuthMethod::kPap;
  bool address_control_compressed = false;  ///< toward the peer: FF 03 may be left out
  bool protocol_compressed = false;         ///< toward the peer: 0021 may be 21
};

/// Keys a method gives both ends, as the server names them; wiped when they go.
struct SessionKeys {
  std::array<std::uint8_t, 32> receive{};  ///< MS-MPPE-Recv-Key, what the peer sends with; zero behind `size`
  std::array<std::uint8_t, 32> send{};
  std::uint8_t size = 0;  ///< of each: 16 by MSCHAPv2, 32 by TLS; 0: the method has none
  SessionKeys() = default;
  SessionKeys(const SessionKeys&) = default;
  SessionKeys& operator=(const SessionKeys&) = default;
  ~SessionKeys();
  /// SSTP's HLAK (MS-SSTP 3.2.5.2.2): receive, then send, 32 bytes of them; zeros without keys.
  [[nodiscard]] std::array<std::uint8_t, 32> hlak() const;
  /// Out of an MSK (RFC 5216 2.3, RFC 2548): bytes 0 to 31 the peer's key for sending, 32 to 63 for receiving.
  static SessionKeys from_msk(std::span<const std::uint8_t, 64> msk);
};

/// A peer's claim. Spans are borrowed for the call.
struct AuthRequest {
  enum class Kind : std::uint8_t {
    kPassword,     ///< PAP: `user` says he knows `password`
    kChapMd5,      ///< MD5(`identifier`, password, `challenge`) is said to be `response`
    kMschapV2,     ///< RFC 2759, also inside EAP: see verify_mschapv2()
    kIdentity,     ///< EAP: `user` says who he is, in the packet `eap`; by which method shall he prove it?
    kRelay,        ///< EAP: `eap` is for the backend that judges him
    kCertificate,  ///< EAP-TLS is done: `chain` is his, he holds its key. Who is he, and may he?
  };
  Kind kind = Kind::kPassword;
  std::uint32_t number = 0;  ///< for answer()
  std::string_view user;     ///< as he wrote it, "DOMAIN\\name" too; any bytes
  ByteSpan password;
  std::uint8_t identifier = 0;
  ByteSpan challenge;        ///< ours, 16 bytes
  ByteSpan peer_challenge;   ///< kMschapV2: 16 bytes
  ByteSpan response;         ///< kChapMd5: 16 bytes; kMschapV2: 24
  ByteSpan eap;              ///< a whole EAP packet, code Response
  std::span<const std::vector<std::uint8_t>> chain;  ///< DER, his own first
};

/// What becomes of it.
struct AuthAnswer {
  enum class Verdict : std::uint8_t {
    kAccept,
    kReject,
    kMschapV2,  ///< kIdentity: he proves himself by EAP-MSCHAPv2, here
    kTls,       ///< kIdentity: by EAP-TLS, here
    kRelay,     ///< kIdentity: to the backend, `eap` is its first request; kRelay: its next
  };
  Verdict verdict = Verdict::kReject;
  Cause cause = Cause::kAuth;  ///< of kReject
  std::string text;            ///< of kReject, in words for the log; empty: sentence_of(cause)
  bool other_may_do = false;   ///< kMschapV2, kTls: a peer that naks one may have the other
  std::vector<std::uint8_t> eap;  ///< kRelay; also of an accept or reject the backend worded itself
  std::string authenticator;   ///< kMschapV2 accepted: "S=<40 hex>", as verify_mschapv2() or MS-CHAP2-Success says it
  SessionKeys keys;            ///< of an accept
};

/// What the peer gets. Our own addresses are what it sees as the far end.
struct Network {
  std::optional<Address> ipv4;      ///< its address; nothing: IPCP is refused
  Address own_ipv4;
  std::vector<Address> dns;         ///< IPv4: two are told by IPCP, IPv6: by router advertisements
  std::optional<Address> ipv6;      ///< its address: the interface identifier is its lower half; nothing: IPV6CP is refused
  std::uint64_t own_interface = 1;  ///< our interface identifier
};

/// What happened, each at most once in this order but for kNetworkDown, which may precede another kNetworkUp; kDown comes once
/// and last, whatever came before.
struct Event {
  enum class Kind : std::uint8_t {
    kLinkUp,       ///< agreed() is complete
    kIdentified,   ///< `text` is what the peer said of itself (RFC 1570 2.1), printable; several
    kAuthenticated,///< the owner's accept reached the peer: open_network() is due. `user`, `method`
    kNetworkUp,    ///< packets of `family` may pass
    kNetworkDown,
    kDown,         ///< over: the door may be closed. `stage`, `cause`, `text`
  };
  Kind kind = Kind::kDown;
  Family family = Family::kNone;
  Stage stage = Stage::kNegotiation;
  Cause cause = Cause::kNone;
  std::string user;
  std::string text;
};
std::string_view name_of(Event::Kind kind);

}  // namespace sekisho::vpn::ppp
