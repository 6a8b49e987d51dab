// SPDX-License-Identifier: Apache-2.0
#include "vpn/session_book.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace sekisho::vpn {
namespace {

using Signal = IkeSignal::Kind;
using Why = IkeSignal::Why;
using Kind = SessionEvent::Kind;

IkeSignal signal(Signal kind, std::uint32_t ike = 1, Why why = Why::kNone) {
  IkeSignal out;
  out.kind = kind;
  out.ike = ike;
  out.why = why;
  out.session.path = {7, 3, {Address::from_v4(0xc0000201), 500}, {Address::from_v4(0xc000020a), 500}};
  out.session.user = "alice";
  return out;
}

/// Everything up to an established session.
void come_in(SessionBook& book, std::uint32_t ike) {
  EXPECT_FALSE(book.handle(signal(Signal::kAttempt, ike)));
  for (const auto& [kind, event] : {std::pair{Signal::kAuthBegun, Kind::kStart}, {Signal::kAuthenticated, Kind::kAuthOk},
                                    {Signal::kAssigned, Kind::kAssigned}}) {
    const auto first = book.handle(signal(kind, ike));
    ASSERT_TRUE(first.has_value());
    EXPECT_EQ(first->kind, event);
    EXPECT_FALSE(book.handle(signal(kind, ike)));  // each once: EAP takes many requests
  }
  const auto up = book.handle(signal(Signal::kChildUp, ike));
  ASSERT_TRUE(up.has_value());
  EXPECT_EQ(up->kind, Kind::kUp);
}

TEST(SessionBook, AnAttemptThatSucceedsIsUpOnceAndDownOnce) {
  SessionBook book;
  come_in(book, 1);
  EXPECT_EQ(book.handle(signal(Signal::kChildUp)), std::nullopt);  // a second CHILD_SA is no second session
  EXPECT_EQ(book.sessions().size(), 1U);
  book.handle(signal(Signal::kCause, 1, Why::kPeerDeleted));
  const auto down = book.handle(signal(Signal::kGone));
  ASSERT_TRUE(down.has_value());
  EXPECT_EQ(down->kind, Kind::kDown);
  EXPECT_EQ(down->cause, Cause::kUser);
  EXPECT_EQ(book.handle(signal(Signal::kGone)), std::nullopt);
  EXPECT_TRUE(book.sessions().empty());
}

TEST(SessionBook, ASessionThatIsEndedSaysWhyAndOthersKeepTheirOwnReason) {
  SessionBook book;
  come_in(book, 1);
  come_in(book, 2);
  EXPECT_EQ(book.id_of(3), 0U);
  EXPECT_EQ(book.end(book.id_of(3), Cause::kIdle), std::nullopt);
  EXPECT_EQ(book.end(book.id_of(1), Cause::kIdle), 1U);
  book.handle(signal(Signal::kCause, 1, Why::kAdmin));  // what the engine says of every end it is told to make
  book.handle(signal(Signal::kCause, 2, Why::kAdmin));
  const auto idle = book.handle(signal(Signal::kGone, 1)), other = book.handle(signal(Signal::kGone, 2));
  ASSERT_TRUE(idle && other);
  EXPECT_EQ(idle->cause, Cause::kIdle);
  EXPECT_EQ(idle->text, sentence_of(Cause::kIdle, true));  // no stage and no remedy: it was up
  EXPECT_EQ(other->cause, Cause::kAdmin);
}

TEST(SessionBook, StageSaysHowFarAnAttemptCame) {
  const std::map<Stage, std::vector<Signal>> ways{{Stage::kNegotiation, {}},
                                                  {Stage::kAuthentication, {Signal::kAuthBegun}},
                                                  {Stage::kAdmission, {Signal::kAuthBegun, Signal::kAuthenticated}}};
  for (const auto& [stage, way] : ways) {
    SessionBook book;
    book.handle(signal(Signal::kAttempt));
    for (const Signal kind : way) book.handle(signal(kind));
    const auto end = book.handle(signal(Signal::kGone));
    ASSERT_TRUE(end.has_value());
    EXPECT_EQ(end->stage, stage);
    EXPECT_EQ(end->kind, Kind::kDenied);
  }
}

TEST(SessionBook, AParticularReasonStandsOverAGeneralOneInAnyOrder) {
  for (const bool particular_first : {false, true}) {
    SessionBook book;
    book.handle(signal(Signal::kAttempt));
    book.handle(signal(Signal::kAuthBegun));
    for (const bool particular : {particular_first, !particular_first}) {
      book.handle(signal(Signal::kCause, 1, particular ? Why::kCertExpired : Why::kPeerAuth));
    }
    const auto end = book.handle(signal(Signal::kGone));
    EXPECT_EQ(end->kind, Kind::kAuthFail);
    EXPECT_EQ(end->cause, Cause::kCertExpired);
  }
}

TEST(SessionBook, WhatAnEarlierCandidateFailedForIsForgottenOnceProven) {
  SessionBook book;
  book.handle(signal(Signal::kAttempt));
  book.handle(signal(Signal::kCause, 1, Why::kCertUntrusted));
  book.handle(signal(Signal::kAuthenticated));
  EXPECT_EQ(book.handle(signal(Signal::kGone))->kind, Kind::kDenied);
}

TEST(SessionBook, WhoFellSilentBeforeHeAuthenticatedIsToldOfHisNetworkAndNobodyElse) {
  for (const bool authenticating : {false, true}) {
    SessionBook book;
    book.handle(signal(Signal::kAttempt));
    if (authenticating) book.handle(signal(Signal::kAuthBegun));
    book.handle(signal(Signal::kCause, 1, Why::kTimeout));
    const auto end = book.handle(signal(Signal::kGone));
    EXPECT_EQ(end->text, authenticating ? "authentication: the client fell silent"
                                        : "negotiation: the client fell silent. Remedy: let UDP 4500 and IP fragments pass on its way (Windows shows 809)");
  }
}

TEST(SessionBook, AFailureSaysTheStageTheCauseWhatTheClientSaidAndTheRemedy) {
  SessionBook book;
  book.handle(signal(Signal::kAttempt));
  book.handle(signal(Signal::kAuthBegun));
  IkeSignal refusal = signal(Signal::kCause, 1, Why::kPeerRefusedUs);
  refusal.word = {24, 0};
  book.handle(refusal);
  EXPECT_EQ(book.handle(signal(Signal::kGone))->text,
            "authentication: the client does not trust the gateway; the client says AUTHENTICATION_FAILED (24). Remedy: import the gateway's "
            "CA, of the computer on Windows, and connect to a name its certificate has (Windows shows 13801)");
}

TEST(SessionBook, TheClientIsKnownByItsFirstRequestAndStays) {
  SessionBook book;
  book.handle(signal(Signal::kAttempt));
  IkeSignal again = signal(Signal::kAttempt);
  again.session.client = "strongSwan";
  book.handle(again);
  EXPECT_EQ(book.handle(signal(Signal::kAuthBegun))->session.client, "strongSwan");
}

TEST(SessionBook, ARetryIsNoAttempt) {
  SessionBook book;
  book.handle(signal(Signal::kAttempt));
  book.handle(signal(Signal::kRetry));
  EXPECT_EQ(book.handle(signal(Signal::kGone)), std::nullopt);
  EXPECT_EQ(book.attempts(), 0U);
}

TEST(SessionBook, ASessionLivesOnInTheIkeSaThatReplacesItsOwn) {
  SessionBook book;
  come_in(book, 1);
  const std::uint64_t id = book.sessions().front().id;
  IkeSignal rekey = signal(Signal::kIkeRekeyed, 1);
  rekey.new_ike = 2;
  EXPECT_EQ(book.handle(rekey)->kind, Kind::kRekeyed);
  EXPECT_EQ(book.handle(signal(Signal::kGone, 1)), std::nullopt);  // the old one
  EXPECT_EQ(book.ike_of(id), 2U);
  EXPECT_EQ(book.handle(signal(Signal::kGone, 2))->session.id, id);
}

TEST(SessionBook, AMoveThatChangesNothingIsNoEvent) {
  SessionBook book;
  come_in(book, 1);
  EXPECT_EQ(book.handle(signal(Signal::kMoved)), std::nullopt);
  IkeSignal moved = signal(Signal::kMoved);
  moved.session.path.remote.port = 4500;
  EXPECT_EQ(book.handle(moved)->session.path.remote.port, 4500);
}

TEST(SessionBook, WhatTheDirectoryForbadeIsTheCause) {
  SessionBook book;
  book.handle(signal(Signal::kAttempt));
  IkeSignal forbidden = signal(Signal::kCause, 1, Why::kForbidden);
  forbidden.forbidden = Cause::kLimitUser;
  book.handle(forbidden);
  book.handle(signal(Signal::kCause, 1, Why::kPeerAuth));
  const auto end = book.handle(signal(Signal::kGone));
  EXPECT_EQ(end->kind, Kind::kDenied);
  EXPECT_EQ(end->cause, Cause::kLimitUser);
}

TEST(SessionBook, ShutdownEndsSessionsForMaintenance) {
  SessionBook book;
  come_in(book, 1);
  book.begin_shutdown();
  EXPECT_EQ(book.handle(signal(Signal::kGone))->cause, Cause::kMaintenance);
}

TEST(SessionBook, AnySequenceOfSignalsKeepsThePromise) {
  std::mt19937 random(20240229);
  for (int run = 0; run < 200; ++run) {
    SessionBook book;
    std::map<std::uint64_t, std::vector<Kind>> ends;
    std::map<std::uint64_t, std::set<Kind>> steps;
    std::uint32_t newest = 4;
    std::vector<std::uint32_t> ikes{1, 2, 3, 4};
    for (int step = 0; step < 200; ++step) {
      IkeSignal next = signal(static_cast<Signal>(random() % 11), ikes[random() % ikes.size()], static_cast<Why>(random() % 20));
      if (next.kind == Signal::kIkeRekeyed) ikes.push_back(next.new_ike = ++newest);
      const auto event = book.handle(next);
      if (event && event->kind >= Kind::kStart) {
        EXPECT_TRUE(steps[event->session.id].insert(event->kind).second) << "twice";
        EXPECT_FALSE(ends.contains(event->session.id)) << "behind its end";
      } else if (event && event->kind != Kind::kRekeyed && event->kind != Kind::kMoved) ends[event->session.id].push_back(event->kind);
      if (event && event->kind == Kind::kDown) {
        EXPECT_NE(event->cause, Cause::kNone);
      }
    }
    for (const auto ike : ikes) {
      if (const auto event = book.handle(signal(Signal::kGone, ike))) {
        ends[event->session.id].push_back(event->kind);
      }
    }
    EXPECT_TRUE(book.sessions().empty());
    EXPECT_EQ(book.attempts(), 0U);
    for (const auto& [id, kinds] : ends) {
      if (kinds.front() == Kind::kUp) {
        EXPECT_EQ(kinds, (std::vector{Kind::kUp, Kind::kDown}));
      } else {
        ASSERT_EQ(kinds.size(), 1U);
        EXPECT_TRUE(kinds.front() == Kind::kAuthFail || kinds.front() == Kind::kDenied);
      }
    }
  }
}

TEST(SessionBook, EveryCauseHasItsOwnName) {
  std::map<std::string_view, int> seen;
  for (int i = 0; i <= static_cast<int>(Cause::kInternal); ++i) ++seen[name_of(static_cast<Cause>(i))];
  EXPECT_EQ(seen.size(), 21U);
  EXPECT_EQ(name_of(Cause::kInternal), "internal");
  EXPECT_EQ(name_of(Cause::kSourceAddress), "src_ip");
}

}  // namespace
}  // namespace sekisho::vpn
