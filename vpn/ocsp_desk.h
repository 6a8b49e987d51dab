// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vpn/certificates.h"
#include "vpn/ocsp.h"

namespace sekisho::vpn {

/// What CAs' responders say of certificates, asked for and remembered. Who needs to know may wait for it, within budgets of his tenant and
/// of all; who carries questions and answers (OcspLink) takes them here. An answer counts until its next update, and a day longer while
/// no new one can be had; it is asked for anew after an hour at the latest. Any thread.
class OcspDesk {
 public:
  using Clock = std::chrono::steady_clock;
  struct Limits {
    std::size_t waiting_per_tenant = 8;
    std::size_t waiting = 24;  ///< in all: threads beyond them work for the others
    std::size_t remembered_per_tenant = 16384;
    std::chrono::milliseconds patience{10'000};
  };
  static constexpr std::int64_t kGraceSeconds = CertificateJudge::kListGraceSeconds;
  static constexpr std::int64_t kRefreshSeconds = 3600;
  static constexpr std::int64_t kAgainSeconds = 30;     ///< after an answer that does not count, or none
  static constexpr std::int64_t kRevokedSeconds = 300;  ///< what is revoked may be taken off hold

  struct Question {
    std::uint64_t number = 0;
    std::uint32_t tenant = 0;
    std::string gateway;
    std::vector<std::uint8_t> bytes;
  };
  /// What is asked about, both DER, and at which gateway, whose responder is asked.
  struct Subject {
    std::uint32_t tenant = 0;
    std::string_view gateway;
    ByteSpan certificate, issuer;
  };
  struct Word {
    CertificateFault fault = CertificateFault::kNoAnswer;
    Revocation revocation = Revocation::kUnknown;
  };

  /// `first`: numbers of questions begin there; a daemon's next start begins elsewhere.
  explicit OcspDesk(std::uint64_t first) : OcspDesk(first, Limits{}) {}
  OcspDesk(std::uint64_t first, const Limits& limits) : limits_(limits), last_(first) {}

  enum class Ask : std::uint8_t {
    kWait,  ///< when the last good word is over, until there is a new one
    kNow,   ///< as it is
    kStay,  ///< as it is, of somebody who is in: nothing is wrong while a question is open
  };
  /// The word; asks for a new one when it is time. `open`: who has none may come in.
  Word ask(const Subject& subject, bool open, Ask how, std::int64_t now);
  /// Whether ask() may say something else than it did when the certificate was let in.
  [[nodiscard]] bool is_due(std::uint32_t tenant, std::string_view gateway, ByteSpan certificate, bool open, std::int64_t now) const;

  /// Questions nobody has taken yet.
  std::vector<Question> take_questions();
  /// What became of one; nothing: no answer can be had. Returns why it does not count; empty: it does, or nobody asked.
  std::string_view take_answer(std::uint64_t number, std::optional<ByteSpan> answer, std::int64_t now);
  /// Another responder, or none: what the one before said of this gateway's certificates is void.
  void forget(std::uint32_t tenant, std::string_view gateway);
  /// Everybody who waits goes on, unanswered.
  void stop();
  /// How many wait, and certificates of a tenant of which something is known or asked.
  [[nodiscard]] std::size_t waiting() const;
  [[nodiscard]] std::size_t remembered(std::uint32_t tenant) const;

 private:
  using Fingerprint = std::array<std::uint8_t, 32>;
  using Key = std::pair<std::string, Fingerprint>;  ///< gateway, certificate
  struct Entry {
    OcspAnswer::State state = OcspAnswer::State::kUnusable;
    std::int64_t until = 0;
    std::int64_t again = 0;      ///< when it is time to ask
    std::uint64_t open = 0;      ///< number of the question that is open; 0: none
    std::uint32_t waiting = 0;   ///< who waits for it
  };
  struct Open {
    std::uint32_t tenant = 0;
    Key key;
    std::vector<std::uint8_t> certificate, issuer;
    Clock::time_point end{};
  };
  static Fingerprint fingerprint(ByteSpan certificate);
  static bool counts(const Entry& entry, std::int64_t now) {
    return entry.state == OcspAnswer::State::kGood && now <= entry.until + kGraceSeconds;
  }
  void make_room(std::map<Key, Entry>& of, std::int64_t now) const;
  void begin(const Subject& subject, const Key& key, Entry& entry, std::int64_t now);
  void wait_for(std::unique_lock<std::mutex>& lock, std::uint32_t tenant, Entry& entry);
  void give_up();

  Limits limits_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint32_t, std::map<Key, Entry>> known_;  ///< by tenant: no tenant's take the room of another's
  std::map<std::uint64_t, Open> open_;
  std::vector<Question> questions_;
  std::map<std::uint32_t, std::size_t> waiting_of_;  ///< by tenant
  std::size_t waiting_ = 0;
  std::uint64_t last_;
  bool stopping_ = false;
};

}  // namespace sekisho::vpn
