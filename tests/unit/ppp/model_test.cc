// SPDX-License-Identifier: Apache-2.0
// Valid messages in any order: whatever comes, no packet passes before the peer is proven and its network is open, and the end is the
// end. The model knows only what was answered; it reads nothing of the session's.
#include <gtest/gtest.h>

#include <random>

#include "tests/support/ppp_peer.h"

namespace sekisho::vpn::ppp {
namespace {

using test::PppOwner;
using test::unhex;

const auto kPing4 = unhex("450000140000000040010000 0a140005 0a000002");
const auto kPing6 = unhex("6000000000003b40 fd000020000000050000000000000005 fd000020000000000000000000000001");

std::vector<std::uint8_t> framed(unsigned protocol, ByteSpan payload) { return Bytes().u16(0xff03).u16(protocol).append(payload).take(); }

/// What a peer might say next: its own words, echoes of what it heard, answers with the right identifiers.
class Babbler {
 public:
  explicit Babbler(std::uint32_t seed, bool mppe) : random_(seed) {
    constexpr std::array<unsigned, 4> kLevels{3, 10, 30, 80};
    noise_ = kLevels[pick(kLevels.size())];
    good_.mppe = mppe ? 0x01000040 : 0;
    good_.begin();
  }

  void hear(ByteSpan frame) {
    good_.take(frame);
    const auto parsed = parse_frame(frame);
    if (!parsed) return;
    const auto packet = parse_packet(parsed->payload);
    if (!packet) return;
    if (parsed->protocol == 0xc223 && packet->code == 1 && packet->data.size() > 16) challenge_.assign(packet->data.begin() + 1, packet->data.begin() + 17);
    heard_.push_back({parsed->protocol, packet->code, packet->id, {packet->data.begin(), packet->data.end()}});
    if (heard_.size() > 12) heard_.erase(heard_.begin());
  }
  std::vector<std::uint8_t> speak(std::string_view password) {
    if (pick(100) >= noise_) {
      if (good_.sent.empty()) return framed(pick(2) == 0 ? 0x21 : 0x57, pick(2) == 0 ? kPing4 : kPing6);
      const auto chosen = good_.sent.begin() + pick(static_cast<unsigned>(std::min<std::size_t>(good_.sent.size(), 2)));
      const auto frame = *chosen;
      good_.sent.erase(chosen);
      return frame;
    }
    switch (pick(10)) {
      case 0: return framed(0x21, kPing4);
      case 1: return framed(0x57, kPing6);
      case 2: return response(password);
      case 3: return control_frame(protocol(), static_cast<std::uint8_t>(1 + pick(15)), static_cast<std::uint8_t>(pick(8)), options());
      case 4: return control_frame(protocol(), 1, static_cast<std::uint8_t>(pick(4)), options());
      case 5: return framed(0xfd, kPing4);
      default: return reply();
    }
  }
  unsigned pick(unsigned below) { return std::uniform_int_distribution<unsigned>(0, below - 1)(random_); }

 private:
  struct Heard {
    std::uint16_t protocol;
    std::uint8_t code, id;
    std::vector<std::uint8_t> data;
  };
  Protocol protocol() {
    constexpr std::array<Protocol, 7> kAll{Protocol::kLcp, Protocol::kLcp, Protocol::kIpcp, Protocol::kIpv6cp, Protocol::kCcp, Protocol::kPap, Protocol::kEap};
    return kAll[pick(kAll.size())];
  }
  std::vector<std::uint8_t> options() {
    constexpr std::array<std::string_view, 7> kSome{"", "050611223344", "03060a140005", "010afd00000000000005", "0306000000008106000000008306000000 00",
                                                    "120601000040", "010a0000000000000005"};
    return unhex(kSome[pick(kSome.size())]);
  }
  std::vector<std::uint8_t> response(std::string_view password) {
    if (challenge_.empty()) return control_frame(Protocol::kChap, 2, 0, {});
    const auto peer = unhex("00112233445566778899aabbccddeeff");
    const auto nt = weak::nt_response(weak::nt_hash_of(password), challenge_, peer, "hana");
    std::uint8_t id = 0;
    for (const Heard& one : heard_) {
      if (one.protocol == 0xc223 && one.code == 1) id = one.id;
    }
    return control_frame(Protocol::kChap, 2, id, Bytes().u8(49).append(peer).u32(0).u32(0).append(nt).u8(0).append("hana").span());
  }
  std::vector<std::uint8_t> reply() {
    if (heard_.empty()) return control_frame(Protocol::kLcp, 1, 1, {});
    const Heard& one = heard_[pick(static_cast<unsigned>(heard_.size()))];
    const std::uint8_t code = one.code == 1 ? static_cast<std::uint8_t>(pick(8) == 0 ? 3 + pick(2) : 2) : one.code == 5 ? 6 : static_cast<std::uint8_t>(one.code);
    if (one.code == 3) return control_frame(static_cast<Protocol>(one.protocol), 1, static_cast<std::uint8_t>(pick(9)), one.data);
    return control_frame(static_cast<Protocol>(one.protocol), code, one.id, one.data);
  }

  std::minstd_rand random_;
  unsigned noise_ = 0;        ///< of a hundred frames, those at random
  test::PppPeer good_;        ///< says the others, as a client would
  std::vector<Heard> heard_;
  std::vector<std::uint8_t> challenge_;
};

struct Totals {
  std::uint64_t steps = 0, packets = 0, proven = 0, downs = 0;
};

/// One session under a babbling peer.
void run(std::uint32_t seed, bool mppe, Totals& totals) {
  Babbler peer(seed, mppe);
  const bool knows = peer.pick(4) != 0;
  PppOwner owner;
  owner.answers = false;
  owner.opens = peer.pick(2) != 0;
  Options options;
  options.methods = {AuthMethod::kMschapV2};
  options.mppe = mppe;
  Session session(options, owner, [](std::span<std::uint8_t> out) { std::ranges::fill(out, std::uint8_t{0x5a}); });
  owner.session = &session;
  Time now{std::chrono::hours(1)};
  session.lower_up(now);
  bool accepted = false, opened = owner.opens;
  std::uint32_t answered = 0;
  for (int step = 0; step < 200; ++step, ++totals.steps) {
    now += std::chrono::milliseconds(peer.pick(400));
    owner.now = now;
    if (peer.pick(4) == 0) session.tick(now);
    if (owner.asked != answered && owner.kind == AuthRequest::Kind::kMschapV2 && peer.pick(3) == 0) {
      AuthAnswer answer;
      answer.verdict = knows ? AuthAnswer::Verdict::kAccept : AuthAnswer::Verdict::kReject;
      answer.authenticator = "S=";
      answer.keys.size = 16;
      answered = owner.asked;
      session.answer(answered, answer, now);
    }
    const bool authenticated = owner.find(Event::Kind::kAuthenticated) != nullptr;
    if (authenticated && !accepted) ++totals.proven;
    accepted = authenticated;
    if (authenticated && !opened && peer.pick(10) == 0) {
      opened = true;
      session.open_network(owner.network, now);
    }
    const auto frame = peer.speak("secret");
    const Received received = session.receive(frame, now);
    while (!owner.frames.empty()) {
      peer.hear(owner.frames.front());
      owner.frames.pop_front();
    }
    const bool up = session.up(Family::kIpv4) || session.up(Family::kIpv6);
    ASSERT_TRUE(!up || (knows && accepted && opened)) << seed;
    ASSERT_TRUE(!owner.down() || !up) << seed;
    if (received.what == Received::What::kPacket) {
      ++totals.packets;
      ASSERT_TRUE(knows && accepted && opened && !owner.down()) << seed;
      ASSERT_FALSE(mppe && frame[3] != 0xfd) << seed << ": in the clear";
    }
    ASSERT_FALSE(session.send(Family::kIpv4, kPing4) && !(knows && accepted && opened)) << seed;
    owner.frames.clear();
  }
  totals.downs += owner.down();
}

TEST(PppModel, NoPacketPassesBeforeItsTimeInAMillionSteps) {
  for (const bool mppe : {false, true}) {
    Totals totals;
    for (std::uint32_t seed = 1; totals.steps < 500000; ++seed) {
      run(seed, mppe, totals);
      if (HasFatalFailure()) return;
    }
    // The orders reach where it matters, or they prove nothing.
    EXPECT_GT(totals.proven, 100U);
    EXPECT_GT(totals.downs, 100U);
    if (!mppe) {
      EXPECT_GT(totals.packets, 1000U);
    }
    RecordProperty(mppe ? "mppe" : "clear", static_cast<int>(totals.packets));
    std::printf("steps %lu, proven %lu, packets %lu, ended %lu\n", totals.steps, totals.proven, totals.packets, totals.downs);
  }
}

}  // namespace
}  // namespace sekisho::vpn::ppp
