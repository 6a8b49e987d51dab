// SPDX-License-Identifier: Apache-2.0
// Every cell of RFC 1661's table, read from the text of the RFC and not from the code's.
#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "vpn/ppp/automaton.h"

namespace sekisho::vpn::ppp {
namespace {

// As RFC 1661 4.1 prints it, the marks p (passive), r (restart) and x (crossed) left out; "1" alone is a next state.
constexpr std::string_view kFirst = R"(
Up    2      irc,scr/6  -          -              -      -
Down  -      -          0          tls/1          0      1
Open  tls/1  1          irc,scr/6  3              5      5
Close 0      tlf/0      2          2              4      4
TO+   -      -          -          -              str/4  str/5
TO-   -      -          -          -              tlf/2  tlf/3
RCR+  -      -          sta/2      irc,scr,sca/8  4      5
RCR-  -      -          sta/2      irc,scr,scn/6  4      5
RCA   -      -          sta/2      sta/3          4      5
RCN   -      -          sta/2      sta/3          4      5
RTR   -      -          sta/2      sta/3          sta/4  sta/5
RTA   -      -          2          3              tlf/2  tlf/3
RUC   -      -          scj/2      scj/3          scj/4  scj/5
RXJ+  -      -          2          3              4      5
RXJ-  -      -          tlf/2      tlf/3          tlf/2  tlf/3
RXR   -      -          2          3              4      5
)";
constexpr std::string_view kSecond = R"(
Up    -          -          -          -
Down  1          1          1          tld/1
Open  6          7          8          9
Close irc,str/4  irc,str/4  irc,str/4  tld,irc,str/4
TO+   scr/6      scr/6      scr/8      -
TO-   tlf/3      tlf/3      tlf/3      -
RCR+  sca/8      sca,tlu/9  sca/8      tld,scr,sca/8
RCR-  scn/6      scn/7      scn/6      tld,scr,scn/6
RCA   irc/7      scr/6      irc,tlu/9  tld,scr/6
RCN   irc,scr/6  scr/6      irc,scr/8  tld,scr/6
RTR   sta/6      sta/6      sta/6      tld,zrc,sta/5
RTA   6          6          8          tld,scr/6
RUC   scj/6      scj/7      scj/8      scj/9
RXJ+  6          6          8          9
RXJ-  tlf/3      tlf/3      tlf/3      tld,irc,str/5
RXR   6          7          8          ser/9
)";

const std::map<std::string, std::uint16_t> kActions{
    {"tlu", action::kLayerUp},       {"tld", action::kLayerDown},   {"tls", action::kLayerStarted},  {"tlf", action::kLayerFinished},
    {"irc", action::kInitCounter},   {"zrc", action::kZeroCounter}, {"scr", action::kSendRequest},   {"sca", action::kSendAck},
    {"scn", action::kSendNak},       {"str", action::kSendTerminate}, {"sta", action::kSendTerminateAck}, {"scj", action::kSendCodeReject},
    {"ser", action::kSendEchoReply}};

void check_cell(const std::string& cell, State state, Signal signal, const std::string& where) {
  const Step step = step_of(state, signal);
  EXPECT_EQ(step.possible, cell != "-") << where;
  if (cell == "-") return;
  const std::size_t slash = cell.find('/');
  std::uint16_t actions = 0;
  std::istringstream names(slash == std::string::npos ? "" : cell.substr(0, slash));
  for (std::string name; std::getline(names, name, ',');) actions |= kActions.at(name);
  EXPECT_EQ(step.actions, actions) << where;
  EXPECT_EQ(static_cast<int>(step.next), std::stoi(slash == std::string::npos ? cell : cell.substr(slash + 1))) << where;
}

int check_half(std::string_view text, int first_state) {
  int cells = 0, row = 0;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) continue;
    std::istringstream words(line);
    std::string event, cell;
    words >> event;
    for (int state = first_state; words >> cell; ++state, ++cells) {
      check_cell(cell, static_cast<State>(state), static_cast<Signal>(row), event + " in " + std::string(name_of(static_cast<State>(state))));
    }
    ++row;
  }
  return cells;
}

TEST(PppAutomaton, EveryCellIsRfc1661s) { EXPECT_EQ(check_half(kFirst, 0) + check_half(kSecond, 6), 160); }

TEST(PppAutomaton, ATimerRunsWhereAnAnswerIsAwaited) {
  for (std::size_t i = 0; i < kStates; ++i) {
    const auto state = static_cast<State>(i);
    EXPECT_EQ(is_timed(state), step_of(state, Signal::kTimeoutMore).possible) << name_of(state);
  }
}

}  // namespace
}  // namespace sekisho::vpn::ppp
