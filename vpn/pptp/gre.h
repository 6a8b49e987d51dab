// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

#include "base/result.h"
#include "base/wire/reader.h"
#include "vpn/ppp/types.h"

/// PPTP's enhanced GRE (RFC 2637 4): PPP frames with numbers and acknowledgements. Pure.
namespace sekisho::vpn::pptp {

/// A packet behind the IP header. Borrows.
struct GrePacket {
  std::uint16_t call = 0;
  bool has_sequence = false, has_ack = false;
  std::uint32_t sequence = 0, ack = 0;
  ByteSpan payload;  ///< one PPP frame, without FCS; empty: an acknowledgement alone
};

/// kUnsupported: another GRE. kMalformed: reserved bits, a payload without a number, or one that is longer than it says.
Result<GrePacket> parse_gre(ByteSpan packet);

/// One call: frames in their order, each once. What comes early waits for what is missing, but not long; what is lost stays lost.
/// The peer's window is not obeyed: no known client stops or is hurt, and what flows inside has windows of its own.
class GreLink {
 public:
  using Time = ppp::Time;
  static constexpr std::size_t kEarlyMax = 64;
  static constexpr std::chrono::milliseconds kEarlyTime{50}, kAckDelay{100};

  class Owner {
   public:
    virtual ~Owner() = default;
    /// A GRE packet for the peer; borrowed.
    virtual void send_packet(ByteSpan packet) = 0;
    virtual void frame_in(ByteSpan frame, Time now) = 0;
  };

  GreLink(Owner& owner, std::uint16_t own_call, std::uint16_t peer_call) : owner_(owner), own_call_(own_call), peer_call_(peer_call) {}

  /// False: not of this call, or out of any order.
  bool receive(ByteSpan packet, Time now);
  /// A PPP frame, with the acknowledgement that is due.
  void send(ByteSpan frame);
  void tick(Time now);
  [[nodiscard]] Time next() const { return std::min(early_end_, ack_at_); }

 private:
  void deliver(ByteSpan frame, Time now);
  void deliver_waiting(Time now);

  Owner& owner_;
  std::uint16_t own_call_, peer_call_;
  std::uint32_t sent_ = 0;      ///< number of the next frame
  std::uint32_t expected_ = 0;  ///< of the next one in
  bool any_ = false;            ///< one has come
  bool ack_due_ = false;
  std::map<std::uint64_t, std::vector<std::uint8_t>> early_;  ///< by number; rounds counted, so that their order holds
  std::uint64_t round_ = 0;     ///< of expected_, in the upper half
  Time early_end_ = Time::max(), ack_at_ = Time::max();
};

}  // namespace sekisho::vpn::pptp
