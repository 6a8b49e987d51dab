// SPDX-License-Identifier: Apache-2.0
#include "vpn/ppp/automaton.h"

#include <array>

namespace sekisho::vpn::ppp {
namespace {

constexpr std::uint16_t tlu = action::kLayerUp, tld = action::kLayerDown, tls = action::kLayerStarted, tlf = action::kLayerFinished,
                        irc = action::kInitCounter, zrc = action::kZeroCounter, scr = action::kSendRequest, sca = action::kSendAck,
                        scn = action::kSendNak, str = action::kSendTerminate, sta = action::kSendTerminateAck,
                        scj = action::kSendCodeReject, ser = action::kSendEchoReply;

constexpr Step to(std::uint16_t actions, int next) { return {actions, static_cast<State>(next), true}; }
constexpr Step to(int next) { return to(0, next); }
constexpr Step kNever{};

// Rows are signals, two lines each; columns are states, as RFC 1661 prints them.
// clang-format off
constexpr std::array<std::array<Step, kStates>, kSignals> kTable{{
  //Initial  Starting       Closed          Stopped               Closing     Stopping
  //Req-Sent        Ack-Rcvd         Ack-Sent         Opened
  {to(2),    to(irc|scr, 6),kNever,         kNever,               kNever,     kNever,  // Up
   kNever,          kNever,          kNever,          kNever},
  {kNever,   kNever,        to(0),          to(tls, 1),           to(0),      to(1),  // Down
   to(1),           to(1),           to(1),           to(tld, 1)},
  {to(tls, 1),to(1),         to(irc|scr, 6), to(3),                to(5),      to(5),  // Open
   to(6),           to(7),           to(8),           to(9)},
  {to(0),    to(tlf, 0),    to(2),          to(2),                to(4),      to(4),  // Close
   to(irc|str, 4),  to(irc|str, 4),  to(irc|str, 4),  to(tld|irc|str, 4)},
  {kNever,   kNever,        kNever,         kNever,               to(str, 4), to(str, 5),  // TO+
   to(scr, 6),      to(scr, 6),      to(scr, 8),      kNever},
  {kNever,   kNever,        kNever,         kNever,               to(tlf, 2), to(tlf, 3),  // TO-
   to(tlf, 3),      to(tlf, 3),      to(tlf, 3),      kNever},
  {kNever,   kNever,        to(sta, 2),     to(irc|scr|sca, 8),   to(4),      to(5),  // RCR+
   to(sca, 8),      to(sca|tlu, 9),  to(sca, 8),      to(tld|scr|sca, 8)},
  {kNever,   kNever,        to(sta, 2),     to(irc|scr|scn, 6),   to(4),      to(5),  // RCR-
   to(scn, 6),      to(scn, 7),      to(scn, 6),      to(tld|scr|scn, 6)},
  {kNever,   kNever,        to(sta, 2),     to(sta, 3),           to(4),      to(5),  // RCA
   to(irc, 7),      to(scr, 6),      to(irc|tlu, 9),  to(tld|scr, 6)},
  {kNever,   kNever,        to(sta, 2),     to(sta, 3),           to(4),      to(5),  // RCN
   to(irc|scr, 6),  to(scr, 6),      to(irc|scr, 8),  to(tld|scr, 6)},
  {kNever,   kNever,        to(sta, 2),     to(sta, 3),           to(sta, 4), to(sta, 5),  // RTR
   to(sta, 6),      to(sta, 6),      to(sta, 6),      to(tld|zrc|sta, 5)},
  {kNever,   kNever,        to(2),          to(3),                to(tlf, 2), to(tlf, 3),  // RTA
   to(6),           to(6),           to(8),           to(tld|scr, 6)},
  {kNever,   kNever,        to(scj, 2),     to(scj, 3),           to(scj, 4), to(scj, 5),  // RUC
   to(scj, 6),      to(scj, 7),      to(scj, 8),      to(scj, 9)},
  {kNever,   kNever,        to(2),          to(3),                to(4),      to(5),  // RXJ+
   to(6),           to(6),           to(8),           to(9)},
  {kNever,   kNever,        to(tlf, 2),     to(tlf, 3),           to(tlf, 2), to(tlf, 3),  // RXJ-
   to(tlf, 3),      to(tlf, 3),      to(tlf, 3),      to(tld|irc|str, 5)},
  {kNever,   kNever,        to(2),          to(3),                to(4),      to(5),  // RXR
   to(6),           to(7),           to(8),           to(ser, 9)},
}};
// clang-format on

}  // namespace

Step step_of(State state, Signal signal) { return kTable[static_cast<std::size_t>(signal)][static_cast<std::size_t>(state)]; }

bool is_timed(State state) { return state >= State::kClosing && state <= State::kAckSent; }

std::string_view name_of(State state) {
  constexpr std::array<std::string_view, kStates> kNames{"Initial",  "Starting", "Closed",   "Stopped",  "Closing",
                                                         "Stopping", "Req-Sent", "Ack-Rcvd", "Ack-Sent", "Opened"};
  return kNames[static_cast<std::size_t>(state)];
}

}  // namespace sekisho::vpn::ppp
