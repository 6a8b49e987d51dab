// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <span>
#include <unordered_map>

#include "vpn/session.h"
#include "vpn/tunnel_client.h"

namespace sekisho::vpn {

/// Says which carriers of L2TP nobody uses: their key is known to all of a tenant's users, so that having one proves little, and each takes
/// the room of a tunnel. Thread: its owner's.
class CarrierWatch {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::seconds kSilence{60};   ///< nobody is logged in, and nothing comes
  static constexpr std::chrono::seconds kNobody{180};   ///< nobody is logged in, whatever comes: longer than any login

  /// What was seen of a session's carrier. True: it is to end.
  bool look(std::uint64_t session, const TunnelTotals& seen, Time now);
  /// All that there are: the others are forgotten.
  void keep(std::span<const Session> sessions);

 private:
  struct Seen {
    std::uint64_t packets = 0;
    Time used, heard;  ///< somebody was logged in; something came
  };
  std::unordered_map<std::uint64_t, Seen> seen_;
};

}  // namespace sekisho::vpn
