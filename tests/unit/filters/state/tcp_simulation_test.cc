// SPDX-License-Identifier: Apache-2.0
// Goal: no segment of two honest TCP ends that brings news is refused, whatever the network does; blind guesses nearly
// always are.
// Method: two small TCPs with the tracker between them; loss, duplication and reordering on either side of it, closing
// windows, probes, keep-alives, simultaneous opens, aborts. Virtual time, seeded. Forged segments hit copies of the track. Once
// more with a gateway between them that answers the client with a cookie and joins it with the server.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <random>

#include "filters/state/syn_cookie.h"
#include "filters/state/tcp_splice.h"
#include "filters/state/tcp_tracker.h"

namespace sekisho::filters {
namespace {

constexpr std::uint8_t S = kTcpSyn, A = kTcpAck, F = kTcpFin, R = kTcpRst;
constexpr unsigned kDelayMin = 10, kJitter = 25;  // ticks, each half of the way: reordering within a round trip
constexpr std::uint32_t kWindowMin = 200;         // a smaller one makes a connection of mere timeouts
constexpr unsigned kRetransmit = 400, kConnectionTicksMax = 1'000'000;

class Random {
 public:
  explicit Random(std::uint32_t seed) : engine_(seed) {}
  std::uint32_t number() { return static_cast<std::uint32_t>(engine_()); }
  std::uint32_t below(std::uint32_t bound) { return number() % bound; }
  bool chance(unsigned percent) { return below(100) < percent; }

 private:
  std::mt19937 engine_;
};

bool after(std::uint32_t a, std::uint32_t b) { return static_cast<std::int32_t>(a - b) > 0; }
std::uint32_t later(std::uint32_t a, std::uint32_t b) { return after(a, b) ? a : b; }

using Outbox = std::vector<TcpSegment>;

/// One honest end (RFC 9293, RFC 5961), small but with everything a firewall can trip over.
class Endpoint {
 public:
  enum class Phase { kListen, kSynSent, kSynReceived, kOpen, kAborted };

  Endpoint(Random& random, std::uint32_t bytes, bool aborts) : random_(random), total_(bytes), aborts_(aborts) {
    iss_ = random.chance(30) ? 0U - random.below(100'000) : random.number();
    una_ = nxt_ = cursor_ = send_edge_ = iss_;
    offer_ = random.chance(70) ? static_cast<std::uint8_t>(random.below(9)) : kNoWindowScale;
    capacity_ = 1 + random.below(offer_ == kNoWindowScale ? 65'000 : 250'000);
    if (random.chance(10)) capacity_ = 1 + random.below(3000);
    capacity_ = std::max(capacity_, kWindowMin << (offer_ == kNoWindowScale ? 0 : offer_ / 2));
    mss_ = 200 + random.below(1261);
  }

  void connect(Outbox& out) { send_syn(out, Phase::kSynSent); }

  void receive(const TcpSegment& s, Outbox& out) {
    idle_ = 0;
    switch (phase_) {
      case Phase::kAborted:
        if ((s.flags & R) != 0 || s.payload_bytes == 0 || after(una_, s.acknowledgement)) return;
        una_ = s.acknowledgement;
        out.push_back(bare(R, una_));
        return;
      case Phase::kListen:
        if ((s.flags & (S | A | R)) == S) accept_syn(s), send_syn(out, Phase::kSynReceived);
        return;
      case Phase::kSynSent: return receive_syn_sent(s, out);
      case Phase::kSynReceived:
      case Phase::kOpen: return receive_open(s, out);
    }
  }

  void poll(Outbox& out) {
    ++idle_, ++since_sent_;
    const bool expired = since_sent_ > kRetransmit;
    if (phase_ == Phase::kSynSent || phase_ == Phase::kSynReceived) {
      if (expired) send_syn(out, phase_);
      return;
    }
    if (phase_ != Phase::kOpen) return;
    if (aborts_ && nxt_ - iss_ > total_ / 2 && random_.chance(2)) {
      out.push_back(bare(R | A, nxt_));
      phase_ = Phase::kAborted;
      return;
    }
    read_application(out);
    if (expired && una_ != nxt_) cursor_ = una_, since_sent_ = 0, budget_ = 1;
    send_data(out);
    if (expired && !after(send_edge_, una_) && una_ - iss_ <= total_) probe(out);
    if (idle_ > 3000 && idle_ % 1000 == 0) out.push_back(data(nxt_ - 1, fin_sent_ ? 0 : random_.below(2)));  // keep-alive
  }

  bool done() const { return phase_ == Phase::kAborted || (phase_ == Phase::kOpen && fin_sent_ && una_ == nxt_ && fin_got_); }
  bool aborted() const { return phase_ == Phase::kAborted; }
  /// Nothing in `s` is news: all of it was received before.
  bool knows(const TcpSegment& s) const {
    const std::uint32_t end = s.sequence + s.payload_bytes + ((s.flags & F) != 0 ? 1 : 0);
    return phase_ == Phase::kOpen && (s.flags & (S | R)) == 0 && !after(end, rcv_nxt_);
  }
  bool complete(const Endpoint& other) const { return rcv_nxt_ == irs_ + 1 + other.total_ + 1; }

 private:
  std::uint16_t window() const {
    const std::uint32_t room = buffered_ >= capacity_ ? 0 : capacity_ - buffered_;
    const unsigned shift = scaling_ ? offer_ : 0;
    return static_cast<std::uint16_t>(std::min<std::uint32_t>(room >> shift, 0xffff));
  }
  TcpSegment bare(std::uint8_t flags, std::uint32_t sequence) const {
    return {.sequence = sequence, .acknowledgement = (flags & A) != 0 ? rcv_nxt_ : 0, .payload_bytes = 0,
            .window = window(), .flags = flags, .window_scale_option = kNoWindowScale};
  }
  TcpSegment data(std::uint32_t sequence, std::uint32_t bytes) const {
    TcpSegment s = bare(A, sequence);
    s.payload_bytes = bytes;
    return s;
  }
  void acknowledge(Outbox& out) { out.push_back(bare(A, nxt_)); }

  void send_syn(Outbox& out, Phase phase) {
    phase_ = phase;
    since_sent_ = 0;
    nxt_ = cursor_ = iss_ + 1;
    TcpSegment s = bare(phase == Phase::kSynSent ? S : S | A, iss_);
    s.window = static_cast<std::uint16_t>(std::min<std::uint32_t>(capacity_, 0xffff));
    const bool may_offer = phase == Phase::kSynSent || peer_offered_;
    s.window_scale_option = may_offer ? offer_ : kNoWindowScale;
    out.push_back(s);
  }
  void accept_syn(const TcpSegment& s) {
    irs_ = s.sequence;
    rcv_nxt_ = irs_ + 1;
    peer_offered_ = s.window_scale_option != kNoWindowScale;
    peer_scale_ = peer_offered_ ? s.window_scale_option : 0;
    scaling_ = peer_offered_ && offer_ != kNoWindowScale;
    send_edge_ = iss_ + 1 + s.window;
  }
  void receive_syn_sent(const TcpSegment& s, Outbox& out) {
    if ((s.flags & (S | R)) != S) return;
    if ((s.flags & A) != 0 && s.acknowledgement != iss_ + 1) return;
    accept_syn(s);
    if ((s.flags & A) == 0) return send_syn(out, Phase::kSynReceived);
    una_ = iss_ + 1;
    phase_ = Phase::kOpen;
    acknowledge(out);
  }
  void receive_open(const TcpSegment& s, Outbox& out) {
    if ((s.flags & R) != 0) {
      if (s.sequence == rcv_nxt_) phase_ = Phase::kAborted;
      else if (s.sequence - rcv_nxt_ < capacity_) acknowledge(out);
      return;
    }
    if ((s.flags & S) != 0) {
      const bool completes = phase_ == Phase::kSynReceived && (s.flags & A) != 0 && s.acknowledgement == iss_ + 1;
      if (completes) una_ = iss_ + 1, phase_ = Phase::kOpen;
      return acknowledge(out);
    }
    if (after(s.acknowledgement, nxt_)) return acknowledge(out);
    if (phase_ == Phase::kSynReceived) {
      if (s.acknowledgement != iss_ + 1) return;
      phase_ = Phase::kOpen;
    }
    if (after(s.acknowledgement, una_)) una_ = s.acknowledgement, since_sent_ = 0, budget_ += 2;
    cursor_ = later(cursor_, una_);
    send_edge_ = later(send_edge_, s.acknowledgement + (std::uint32_t{s.window} << (scaling_ ? peer_scale_ : 0)));
    take(s, out);
  }
  void take(const TcpSegment& s, Outbox& out) {
    const std::uint32_t end = s.sequence + s.payload_bytes;
    const std::uint32_t room = buffered_ >= capacity_ ? 0 : capacity_ - buffered_;
    const bool has_fin = (s.flags & F) != 0;
    if (s.payload_bytes == 0 && !has_fin) {
      if (s.sequence != rcv_nxt_ && random_.chance(30)) acknowledge(out);
      return;
    }
    if (!after(end, rcv_nxt_ + room)) {
      if (has_fin) fin_at_ = end, fin_known_ = true;
      if (after(end, rcv_nxt_)) pending_[s.sequence - irs_] = std::max(pending_[s.sequence - irs_], end - irs_);
    }
    for (auto it = pending_.begin(); it != pending_.end() && it->first <= rcv_nxt_ - irs_; it = pending_.erase(it)) {
      if (it->second <= rcv_nxt_ - irs_) continue;
      buffered_ += it->second - (rcv_nxt_ - irs_);
      rcv_nxt_ = irs_ + it->second;
    }
    if (fin_known_ && rcv_nxt_ == fin_at_ && !fin_got_) ++rcv_nxt_, fin_got_ = true;
    if (end != rcv_nxt_ || random_.chance(60)) acknowledge(out);
    else owed_ = true;
  }
  void read_application(Outbox& out) {
    if (stalled_ > 0 ? --stalled_ > 0 : random_.below(3000) == 0 && (stalled_ = random_.below(2000)) > 0) return;
    const bool was_closed = window() == 0;
    buffered_ -= std::min(buffered_, random_.below(4000));
    if (owed_ || (was_closed && window() != 0)) acknowledge(out), owed_ = false;
  }
  void send_data(Outbox& out) {
    const std::uint32_t last = iss_ + 1 + total_;
    for (unsigned sent = 0; budget_ > 0 && sent < 8; ++sent, --budget_) {
      const std::uint32_t limit = after(last, send_edge_) ? send_edge_ : last;
      if (after(limit, cursor_)) {
        const std::uint32_t bytes = std::min(limit - cursor_, 1 + random_.below(mss_));
        TcpSegment s = data(cursor_, bytes);
        cursor_ += bytes;
        if (cursor_ == last && random_.chance(50)) s.flags |= F, ++cursor_, fin_sent_ = true;
        out.push_back(s);
      } else if (cursor_ == last) {
        out.push_back(bare(F | A, cursor_++));
        fin_sent_ = true;
      } else {
        break;
      }
      nxt_ = later(nxt_, cursor_);
      owed_ = false;
      since_sent_ = 0;
    }
    if (una_ == nxt_) budget_ = std::max(budget_, 10U);
  }
  void probe(Outbox& out) {
    since_sent_ = 0;
    if (random_.chance(50)) return out.push_back(bare(A, una_ - 1));
    out.push_back(data(una_, 1));
    cursor_ = una_ + 1;
    nxt_ = later(nxt_, cursor_);
  }

  Random& random_;
  std::uint32_t total_;
  bool aborts_;
  Phase phase_ = Phase::kListen;
  std::uint32_t iss_, irs_ = 0, una_, nxt_, cursor_, send_edge_, rcv_nxt_ = 0, fin_at_ = 0;
  std::uint32_t capacity_, buffered_ = 0, mss_, idle_ = 0, since_sent_ = 0, budget_ = 10, stalled_ = 0;
  std::uint8_t offer_, peer_scale_ = 0;
  bool scaling_ = false, peer_offered_ = false, fin_sent_ = false, fin_known_ = false, fin_got_ = false, owed_ = false;
  std::map<std::uint32_t, std::uint32_t> pending_;  // out-of-order data, offsets from irs
};

/// Forged segments at random places, against a copy of the track.
struct Attacker {
  double expected = 0;  // sum of the chances to hit a window
  unsigned tried = 0, passed = 0;

  void strike(const TcpTrack& track, Random& random) {
    constexpr std::uint8_t kKinds[] = {R, R | A, A, F | A, S, S | A};
    const TcpSegment s{.sequence = random.number(), .acknowledgement = random.number(), .payload_bytes = random.below(1460),
                       .window = static_cast<std::uint16_t>(random.number()), .flags = kKinds[random.below(6)],
                       .window_scale_option = kNoWindowScale};
    const auto direction = static_cast<Direction>(random.below(2));
    const TcpFlow& own = track.flow[static_cast<std::size_t>(direction)];
    const TcpFlow& peer = track.flow[static_cast<std::size_t>(opposite(direction))];
    TcpTrack copy = track;
    const DropReason reason = tcp_next(copy, direction, s);
    ++tried;
    expected += (static_cast<double>(own.edge - own.end) + peer.max_window + 4) / 4294967296.0;
    if (reason == DropReason::kNone) ++passed;
    else EXPECT_EQ(0, std::memcmp(&copy, &track, sizeof(track)));
  }
};

struct Flight {
  Direction direction;
  bool seen;  // has passed the tracker
  TcpSegment segment;
};

/// The gateway in front of a flooded server, in the terms of segments: what dataplane/path/syn_proxy.cc does with packets.
class Gateway {
 public:
  enum class Verdict { kPass, kTaken, kRefused };
  struct Said {
    Direction direction;
    TcpSegment segment;
  };

  /// A segment on its way: `segment` is what the other side gets when it passes; what the gateway says itself is in `says`.
  Verdict judge(TcpTrack& track, Direction direction, TcpSegment& segment, std::vector<Said>& says, DropReason& reason) {
    const bool forward = direction == Direction::kForward;
    if (track.state == TcpState::kNone) return forward ? meet(track, segment, says, reason) : refuse(reason, DropReason::kNotFirst);
    if (!open_) return forward ? wait(track, segment, reason) : join(track, segment, says, reason);
    TcpSegment seen = segment;
    if (forward) splice_segment(splice_, seen);
    reason = tcp_next(track, direction, seen);
    if (forward) {
      segment = seen;
    } else {
      segment.sequence -= splice_.shift;
      if ((segment.flags & S) == 0) segment.window = rescale_window(segment.window, splice_.reverse_from, splice_.reverse_to);
    }
    return reason == DropReason::kNone ? Verdict::kPass : Verdict::kRefused;
  }
  /// Nobody has answered for a while: the server is asked again.
  void poll(const TcpTrack& track, std::vector<Said>& says) {
    if (track.state != TcpState::kSynSent || ++silent_ < kRetransmit) return;
    silent_ = 0;
    says.push_back({Direction::kForward, syn_});
  }

 private:
  static constexpr SynCookieKey kKey{3, 4};
  static constexpr std::uint8_t kOurScale = 7;
  static TcpSegment plain(std::uint8_t flags, std::uint32_t sequence, std::uint32_t acknowledgement, std::uint16_t window) {
    return {.sequence = sequence, .acknowledgement = acknowledgement, .payload_bytes = 0,
            .window = window, .flags = flags, .window_scale_option = kNoWindowScale};
  }
  static Verdict refuse(DropReason& reason, DropReason why) {
    reason = why;
    return Verdict::kRefused;
  }
  Verdict meet(TcpTrack& track, const TcpSegment& segment, std::vector<Said>& says, DropReason& reason) {
    reason = DropReason::kNone;
    if ((segment.flags & (S | A | R)) == S) {
      const SynOffer offer{.mss = 1460, .window_scale = segment.window_scale_option, .sack = true};
      TcpSegment answer = plain(S | A, make_syn_cookie(kKey, flow(segment.sequence), offer, 5), segment.sequence + 1, 0);
      if (offer.window_scale != kNoWindowScale) answer.window_scale_option = kOurScale;
      says.push_back({Direction::kReverse, answer});
      return Verdict::kTaken;
    }
    if ((segment.flags & (S | A | R)) != A) return refuse(reason, DropReason::kNotFirst);
    cookie_ = segment.acknowledgement - 1;
    for (const std::uint32_t back : {1U, 0U}) {
      const auto offer = check_syn_cookie(kKey, flow(segment.sequence - back), cookie_, 6);
      if (!offer.has_value()) continue;
      scale_ = offer->window_scale;
      window_ = segment.window;
      const std::uint8_t shift = scale_ == kNoWindowScale ? std::uint8_t{0} : scale_;
      syn_ = plain(S, segment.sequence - back, 0, rescale_window(window_, shift, 0));
      syn_.window_scale_option = scale_;
      EXPECT_EQ(tcp_first(track, syn_), DropReason::kNone);
      says.push_back({Direction::kForward, syn_});
      return Verdict::kTaken;
    }
    return refuse(reason, DropReason::kNotFirst);
  }
  Verdict wait(TcpTrack& track, const TcpSegment& segment, DropReason& reason) {
    reason = DropReason::kNone;
    if ((segment.flags & R) != 0) reason = tcp_next(track, Direction::kForward, segment);
    if ((segment.flags & R) != 0) return reason == DropReason::kNone ? Verdict::kPass : Verdict::kRefused;
    window_ = segment.window;
    return Verdict::kTaken;
  }
  Verdict join(TcpTrack& track, const TcpSegment& answer, std::vector<Said>& says, DropReason& reason) {
    reason = tcp_next(track, Direction::kReverse, answer);
    if (reason != DropReason::kNone) return Verdict::kRefused;
    if ((answer.flags & S) == 0) return Verdict::kTaken;
    const bool client = scale_ != kNoWindowScale, both = client && answer.window_scale_option != kNoWindowScale;
    const std::uint8_t own = client ? scale_ : std::uint8_t{0};
    splice_ = {.shift = answer.sequence - cookie_, .forward_from = own, .forward_to = both ? own : std::uint8_t{0},
               .reverse_from = both ? answer.window_scale_option : std::uint8_t{0}, .reverse_to = client ? kOurScale : std::uint8_t{0}};
    open_ = true;
    const std::uint16_t window = rescale_window(window_, splice_.forward_from, splice_.forward_to);
    const TcpSegment ours = plain(A, syn_.sequence + 1, answer.sequence + 1, window);
    EXPECT_EQ(tcp_next(track, Direction::kForward, ours), DropReason::kNone);
    says.push_back({Direction::kForward, ours});
    says.push_back({Direction::kReverse, plain(A, cookie_ + 1, syn_.sequence + 1, rescale_window(answer.window, 0, splice_.reverse_to))});
    return Verdict::kTaken;
  }
  static SynCookieFlow flow(std::uint32_t initial) {
    return {.source = Address::from_v4(1), .destination = Address::from_v4(2), .source_port = 3,
            .destination_port = 4, .tenant = 1, .initial_sequence = initial};
  }

  TcpSplice splice_{};
  TcpSegment syn_{};
  std::uint32_t cookie_ = 0;
  std::uint16_t window_ = 0;
  std::uint8_t scale_ = kNoWindowScale;
  unsigned silent_ = 0;
  bool open_ = false;
};

enum class Between { kTracker, kGateway };

class Simulation {
 public:
  explicit Simulation(std::uint32_t seed, Between between = Between::kTracker) : random_(seed), proxied_(between == Between::kGateway) {}

  /// One connection from SYN to close; leaves the track for inspection.
  void run_connection() {
    track_ = {};
    gateway_ = {};
    flights_.clear();
    now_ = 0;
    loss_ = random_.below(8);
    const bool aborts = random_.chance(25), simultaneous = !proxied_ && random_.chance(10);
    Endpoint client(random_, random_.below(60'000), aborts && random_.chance(50));
    Endpoint server(random_, random_.below(60'000), aborts);
    Outbox out;
    client.connect(out);
    post(out, Direction::kForward);
    if (simultaneous) server.connect(out), post(out, Direction::kReverse);
    for (; now_ < kConnectionTicksMax && !(client.done() && server.done()); ++now_) {
      deliver(client, server);
      client.poll(out), post(out, Direction::kForward);
      server.poll(out), post(out, Direction::kReverse);
      if (proxied_) gateway_.poll(track_, says_), say();
      if (client.aborted() != server.aborted() && ++lonely_ > 5000) break;
    }
    lonely_ = 0;
    while (!flights_.empty()) deliver(client, server), ++now_;
    if (!client.aborted() && !server.aborted()) {
      ++completed;
      EXPECT_TRUE(client.complete(server) && server.complete(client)) << "connection did not finish";
      EXPECT_EQ(track_.state, TcpState::kTimeWait) << name(track_.state);
    } else {
      ++aborted;
    }
  }

  unsigned judged = 0, refused = 0, overtaken = 0, completed = 0, aborted = 0;
  Attacker attacker;

 private:
  void post(Outbox& out, Direction direction) {
    for (const TcpSegment& s : out) launch({direction, false, s});
    out.clear();
  }
  void launch(const Flight& flight) {
    if (random_.chance(loss_)) return;
    const unsigned copies = random_.chance(3) ? 2 : 1;
    for (unsigned i = 0; i < copies; ++i) {
      const unsigned late = random_.chance(10) ? random_.below(kJitter) : 0;
      flights_.emplace(now_ + kDelayMin + late, flight);
    }
  }
  void deliver(Endpoint& client, Endpoint& server) {
    while (!flights_.empty() && flights_.begin()->first <= now_) {
      Flight flight = flights_.begin()->second;
      flights_.erase(flights_.begin());
      if (flight.seen) {
        Outbox out;
        const bool forward = flight.direction == Direction::kForward;
        (forward ? server : client).receive(flight.segment, out);
        post(out, opposite(flight.direction));
      } else if (judge(flight, flight.direction == Direction::kForward ? server : client)) {
        flight.seen = true;
        launch(flight);
      }
    }
  }
  void say() {
    for (const Gateway::Said& said : says_) launch({said.direction, true, said.segment});
    says_.clear();
  }

  bool judge(Flight& flight, const Endpoint& receiver) {
    ++judged;
    if (proxied_) return judge_proxied(flight, receiver);
    // The reverse SYN of a simultaneous open may come first: for the tracker that is then the forward one.
    if (track_.state == TcpState::kNone) flipped_ = flight.direction == Direction::kReverse;
    const Direction direction = flipped_ ? opposite(flight.direction) : flight.direction;
    const DropReason reason =
        track_.state == TcpState::kNone ? tcp_first(track_, flight.segment) : tcp_next(track_, direction, flight.segment);
    const TcpSegment& s = flight.segment;
    // A needless repetition that was itself overtaken may fall behind the window; nobody misses it.
    const bool missed = reason != DropReason::kNone && !receiver.knows(s);
    if (reason != DropReason::kNone && !missed) ++overtaken;
    if (missed && ++refused < 10) {
      ADD_FAILURE() << info(reason).name << " in " << name(track_.state) << " direction " << static_cast<int>(direction) << " flags "
                    << static_cast<int>(s.flags) << " seq " << s.sequence << " ack " << s.acknowledgement << " bytes " << s.payload_bytes
                    << " own end " << track_.flow[static_cast<std::size_t>(direction)].end << " edge "
                    << track_.flow[static_cast<std::size_t>(direction)].edge << " peer end "
                    << track_.flow[static_cast<std::size_t>(opposite(direction))].end << " window "
                    << track_.flow[static_cast<std::size_t>(opposite(direction))].max_window << " at " << now_;
    }
    if (track_.state >= TcpState::kEstablished) attacker.strike(track_, random_);
    return reason == DropReason::kNone;
  }

  bool judge_proxied(Flight& flight, const Endpoint& receiver) {
    DropReason reason = DropReason::kNone;
    TcpSegment meant = flight.segment;
    const Gateway::Verdict verdict = gateway_.judge(track_, flight.direction, meant, says_, reason);
    say();
    if (verdict == Gateway::Verdict::kRefused) {
      // In the receiver's numbers; a client that repeats its SYN after it was joined is challenged, which the server does.
      const bool news = !receiver.knows(meant) && (flight.segment.flags & S) == 0;
      if (!news) ++overtaken;
      if (news && ++refused < 10) {
        ADD_FAILURE() << info(reason).name << " in " << name(track_.state) << " flags " << static_cast<int>(flight.segment.flags)
                      << " direction " << static_cast<int>(flight.direction) << " bytes " << flight.segment.payload_bytes << " at " << now_;
      }
    }
    flight.segment = meant;
    return verdict == Gateway::Verdict::kPass;
  }
  Random random_;
  bool proxied_;
  Gateway gateway_;
  std::vector<Gateway::Said> says_;
  TcpTrack track_{};
  bool flipped_ = false;
  unsigned now_ = 0, loss_ = 0, lonely_ = 0;
  std::multimap<unsigned, Flight> flights_;
};

class TcpSimulation : public testing::TestWithParam<std::uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, TcpSimulation, testing::Range(1U, 9U));

TEST_P(TcpSimulation, RefusesNoHonestSegmentAndNearlyEveryForgedOne) {
  constexpr unsigned kSegments = 100'000;
  Simulation simulation(GetParam());

  while (simulation.judged < kSegments && !HasFailure()) simulation.run_connection();

  EXPECT_EQ(simulation.refused, 0U);
  EXPECT_LT(simulation.overtaken, kSegments / 2000);
  EXPECT_GT(simulation.completed, 100U);
  EXPECT_GT(simulation.aborted, 30U);
  const Attacker& attacker = simulation.attacker;
  EXPECT_GT(attacker.tried, kSegments / 2);
  EXPECT_LT(attacker.passed, attacker.expected + 5 * std::sqrt(attacker.expected) + 5) << "of " << attacker.tried;
  RecordProperty("segments", static_cast<int>(simulation.judged));
  RecordProperty("forged_passed", static_cast<int>(attacker.passed));
}

TEST_P(TcpSimulation, JoinedConnectionsCarryEveryByteAndRefuseNoHonestSegment) {
  constexpr unsigned kSegments = 100'000;
  Simulation simulation(GetParam(), Between::kGateway);

  while (simulation.judged < kSegments && !HasFailure()) simulation.run_connection();

  EXPECT_EQ(simulation.refused, 0U);
  EXPECT_LT(simulation.overtaken, kSegments / 500);
  EXPECT_GT(simulation.completed, 100U);
  EXPECT_GT(simulation.aborted, 20U);
}

}  // namespace
}  // namespace sekisho::filters
