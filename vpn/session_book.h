// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <unordered_map>
#include <vector>

#include "vpn/explain.h"
#include "vpn/session.h"

namespace sekisho::vpn {

/// What an IKE implementation tells about one IKE_SA, in its order.
struct IkeSignal {
  enum class Kind : std::uint8_t {
    kAttempt,        ///< a first request; again for a retransmitted one
    kAuthBegun,      ///< the peer's address is real
    kRetry,          ///< told to begin again: not an attempt of its own
    kCause,          ///< why it will fail, or end
    kAuthenticated,
    kAssigned,       ///< inner addresses
    kChildUp,
    kChildRekeyed,
    kIkeRekeyed,     ///< goes on as `new_ike`
    kMoved,
    kGone,
  };
  /// Why, in the words of IKE.
  enum class Why : std::uint8_t {
    kNone, kNoGateway, kIkeProposal, kChildProposal, kSelectors, kPeerAuth, kPassword, kCertExpired, kCertRevoked, kCertUntrusted,
    kPpk, kLocalAuth, kPeerRefusedUs, kPeerSaid, kForbidden, kNoAddress, kInstall, kTimeout, kPeerDeleted, kLifetime, kAdmin,
    kBackendDown, kBackendBusy, kBackendKey, kPsk,
  };
  Kind kind = Kind::kAttempt;
  Why why = Why::kNone;
  Cause forbidden = Cause::kNone;  ///< of kForbidden: what the directory answered
  std::string_view text;           ///< and in words; empty: those of the cause
  std::uint32_t ike = 0;
  std::uint32_t new_ike = 0;
  PeerWord word;    ///< of kCause: what the peer itself gave as the reason
  Session session;  ///< what is known by now; `id` unused
};

/// Turns signals into events with the promise of SessionEvent. Pure; its owner serialises calls.
class SessionBook {
 public:
  /// At most one event follows from a signal.
  std::optional<SessionEvent> handle(const IkeSignal& signal);
  /// From here on, what ends ends for maintenance.
  void begin_shutdown() { shutting_down_ = true; }
  /// Sessions that are up, oldest first.
  [[nodiscard]] std::vector<Session> sessions() const;
  /// Their numbers alone, oldest first; `proven`: of those that came in by a certificate.
  [[nodiscard]] std::vector<std::uint64_t> numbers(bool proven = false) const;
  /// The one of this number; nothing: none that is up has it.
  [[nodiscard]] const Session* find(std::uint64_t session) const;
  /// The IKE_SA a session runs in now.
  [[nodiscard]] std::optional<std::uint32_t> ike_of(std::uint64_t session) const;
  /// The same, and from now on its end has this cause.
  std::optional<std::uint32_t> end(std::uint64_t session, Cause cause, std::string_view text = {});
  /// The number of the session or attempt an IKE_SA is, 0 when it is none.
  [[nodiscard]] std::uint64_t id_of(std::uint32_t ike) const;
  /// The client of an IKE_SA shows something of itself.
  void mark(std::uint32_t ike, ByteSpan vendor_id);
  void mark(std::uint32_t ike, std::uint16_t attribute);
  [[nodiscard]] ClientFamily client_of(std::uint32_t ike) const;
  /// The key of RFC 8784 an attempt asked for.
  void note_ppk(std::uint32_t ike, std::string_view ppk_id);
  /// The pre-shared key of IKEv1 an attempt proved to hold.
  void note_psk(std::uint32_t ike, std::uint64_t mark);
  /// The certificates of `from`, and what was said of its device.
  void note_proof(std::uint32_t ike, const Session& from);
  /// What is known of an IKE_SA's session; nothing when it is none.
  [[nodiscard]] const Session* session_of(std::uint32_t ike) const;
  /// Attempts that are neither up nor ended.
  [[nodiscard]] std::size_t attempts() const;

 private:
  struct Entry {
    Session session;
    ClientMarks marks;
    bool up = false;
    Stage stage = Stage::kNegotiation;
    IkeSignal::Why why = IkeSignal::Why::kNone;
    Cause forbidden = Cause::kNone;  ///< of kForbidden and kAdmin: what the directory or the gateway said
    PeerWord word;
    bool assigned = false;
    std::string_view text;           ///< and in which words
  };
  SessionEvent ended(const Entry& entry) const;
  void forget(std::unordered_map<std::uint32_t, Entry>::iterator entry);

  std::unordered_map<std::uint32_t, Entry> entries_;  ///< by charon's number of the IKE_SA
  std::unordered_map<std::uint64_t, std::uint32_t> ikes_;  ///< the key of each entry, by its session's number
  std::uint64_t next_id_ = 1;
  bool shutting_down_ = false;
};

}  // namespace sekisho::vpn
