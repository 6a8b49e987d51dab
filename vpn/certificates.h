// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/wire/reader.h"
#include "vpn/session.h"

namespace sekisho::vpn {

/// Why a certificate opens nothing. kNone: it does.
enum class CertificateFault : std::uint8_t {
  kNone, kUnreadable, kExpired, kNotYetValid, kUntrusted, kSignature, kNotCa, kPathLength, kNameConstraints, kCriticalExtension, kUsage,
  kWeak, kRevoked, kNoList, kListStale, kNoAnswer, kUnknownToCa,
};

/// The word of the vpn log for it.
Cause cause_of(CertificateFault fault);
/// What is wrong and what mends it, in words.
std::string_view sentence_of(CertificateFault fault);

/// Judges what a peer has proven to hold the key of: the chain to a CA of the tenant, dates, what each certificate may be used for,
/// strength, and the tenant's revocation lists. It is asked at each login, behind libcharon's own judgement, and again for live
/// sessions: what would not come in today does not stay. Nothing is fetched, whatever a certificate names. Immutable but for what it
/// remembers of lists' signatures; any thread.
class CertificateJudge {
 public:
  /// How long a list counts beyond its next update (specification 3.6).
  static constexpr std::int64_t kListGraceSeconds = 86400;

  /// What they are made of, PEM, and what happens without a list that counts: refused, or (`open`) let in.
  struct Sources {
    std::vector<std::string> cas;
    std::vector<std::string> lists;  ///< none: revocation is not asked about
    bool open = false;
  };
  /// The judge, or why not.
  struct Made {
    std::shared_ptr<const CertificateJudge> judge;
    std::string refusal;
  };
  static Made make(const Sources& sources);
  ~CertificateJudge();
  CertificateJudge(const CertificateJudge&) = delete;
  CertificateJudge& operator=(const CertificateJudge&) = delete;

  struct Verdict {
    CertificateFault fault = CertificateFault::kNone;
    Revocation revocation = Revocation::kUnchecked;
    CertificateFacts facts;
    std::vector<std::uint8_t> issuer;  ///< DER, of a good one: whose responder can be asked about it
  };
  /// `chain`, DER: the certificate, then what the peer sent to connect it with a CA. `now`: seconds since 1970 UTC.
  [[nodiscard]] Verdict judge(std::span<const std::vector<std::uint8_t>> chain, std::int64_t now) const;
  /// When the first list stops counting: whoever is in has to be judged again then. INT64_MAX: never.
  [[nodiscard]] std::int64_t lists_end() const { return lists_end_; }

 private:
  struct Parts;
  explicit CertificateJudge(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
  std::int64_t lists_end_;
};

}  // namespace sekisho::vpn
