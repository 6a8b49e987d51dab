// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

/// The option negotiation automaton of RFC 1661 4.1, as a table.
namespace sekisho::vpn::ppp {

enum class State : std::uint8_t {
  kInitial, kStarting, kClosed, kStopped, kClosing, kStopping, kReqSent, kAckRcvd, kAckSent, kOpened,
};
inline constexpr std::size_t kStates = 10;

enum class Signal : std::uint8_t {
  kUp,    ///< lower layer is up
  kDown,
  kOpen,  ///< administrative
  kClose,
  kTimeoutMore,  ///< TO+: the restart counter is above zero
  kTimeoutLast,  ///< TO-
  kRequestGood,  ///< RCR+
  kRequestBad,   ///< RCR-
  kAck,          ///< RCA
  kNak,          ///< RCN: Configure-Nak or -Reject
  kTerminateRequest,
  kTerminateAck,
  kUnknownCode,
  kRejectHarmless,  ///< RXJ+
  kRejectFatal,     ///< RXJ-
  kEcho,            ///< RXR
};
inline constexpr std::size_t kSignals = 16;

/// Actions, a bit each, done in this order.
namespace action {
inline constexpr std::uint16_t kLayerDown = 1, kLayerStarted = 2, kLayerFinished = 4, kInitCounter = 8, kZeroCounter = 16,
                               kSendRequest = 32, kSendAck = 64, kSendNak = 128, kSendTerminate = 256, kSendTerminateAck = 512,
                               kSendCodeReject = 1024, kSendEchoReply = 2048, kLayerUp = 4096;
}  // namespace action

struct Step {
  std::uint16_t actions = 0;
  State next = State::kInitial;
  bool possible = false;  ///< false: the table has a dash
};

/// What the table says. In states where no timer runs, a timeout is impossible.
Step step_of(State state, Signal signal);
/// Does the restart timer run?
bool is_timed(State state);
std::string_view name_of(State state);

}  // namespace sekisho::vpn::ppp
