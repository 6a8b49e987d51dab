// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "vpn/weak/mschapv2.h"
#include "vpn/weak/primitives.h"

/// MPPE with 128 bits (RFC 3078, keys by RFC 3079). It hides what is sent and proves nothing: whoever changes a bit on the way
/// changes that bit inside, and only the checks behind it notice.
namespace sekisho::vpn::ppp {

/// What both directions keep.
class MppeState {
 public:
  MppeState(const weak::Key128& start, bool stateless);
  ~MppeState();

 protected:
  void rekey();

  static constexpr unsigned kCounts = 4096;
  weak::Key128 start_, session_;
  weak::Rc4 stream_;
  unsigned count_ = kCounts - 1;
  bool stateless_;
};

class MppeSender : MppeState {
 public:
  using MppeState::MppeState;
  /// The packet of protocol 00FD around `clear`: a PPP protocol number and its payload. Borrowed until the next call.
  ByteSpan encrypt(ByteSpan clear);
  /// The receiver lost its place: the next packet says where it can begin anew.
  void flush() { flush_ = true; }

 private:
  bool flush_ = false;
  std::vector<std::uint8_t> out_;
};

class MppeReceiver : MppeState {
 public:
  using MppeState::MppeState;
  /// Steps ahead a stateless receiver takes for packets that did not come; half the numbers there are, because more is behind.
  static constexpr unsigned kAheadMax = kCounts / 2;
  /// Steps each packet that comes is worth; unused ones are kept, kAheadMax at most. A loss is made good; whoever jumps with every
  /// packet is not followed: a step costs as much as a packet.
  static constexpr unsigned kStepsAPacket = 16;

  struct Received {
    std::optional<ByteSpan> clear;  ///< borrowed until the next call
    bool lost = false;              ///< the sender has to be asked for a packet to begin anew with
    bool waiting = false;           ///< it was asked, and the packet is not such a one: what asked may have been lost
  };
  /// Behind the protocol number.
  Received decrypt(ByteSpan packet);

 private:
  bool follow(unsigned count);
  bool follow_stateful(unsigned count, bool flushed, bool& lost);

  bool discarding_ = false;
  unsigned credit_ = kAheadMax;
  std::vector<std::uint8_t> out_;
};

}  // namespace sekisho::vpn::ppp
