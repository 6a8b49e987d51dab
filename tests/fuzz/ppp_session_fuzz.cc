// SPDX-License-Identifier: Apache-2.0
// A PPP session under whatever a peer says, in whatever order. Input: a byte of options, then steps: a size and as many bytes of a frame;
// size 0: time passes, size 255: the owner answers what it was asked. No packet passes before the owner's accept, none in the clear where
// MPPE is demanded, and the end is said once and is the end.
#include <cstddef>
#include <cstdint>

#include "base/assert.h"
#include "vpn/ppp/session.h"
#include "vpn/ppp/verify.h"

namespace {

using namespace sekisho;
using namespace sekisho::vpn::ppp;

class Owner : public Sink {
 public:
  Session* session = nullptr;
  Time now{};
  std::uint32_t asked = 0;
  AuthRequest::Kind kind{};
  unsigned downs = 0, proven = 0;
  void frame(ByteSpan frame) override { SEKISHO_ASSERT(frame.size() >= 4 && frame.size() < 4096); }
  void authenticate(const AuthRequest& request) override {
    asked = request.number;
    kind = request.kind;
    if (kind == AuthRequest::Kind::kMschapV2) {
      SEKISHO_ASSERT(request.challenge.size() == 16 && request.peer_challenge.size() == 16 && (request.response.size() == 24 || request.response.empty()));
    }
  }
  void event(const Event& event) override {
    SEKISHO_ASSERT(downs == 0);
    if (event.kind == Event::Kind::kDown) ++downs;
    if (event.kind != Event::Kind::kAuthenticated) return;
    ++proven;
    Network network;
    network.ipv4 = Address::from_v4(0x0a140005);
    network.ipv6 = Address{{0xfd, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 5}, Family::kIpv6};
    session->open_network(network, now);
  }
  void answer() {
    AuthAnswer out;
    out.verdict = kind == AuthRequest::Kind::kIdentity ? AuthAnswer::Verdict::kMschapV2 : AuthAnswer::Verdict::kAccept;
    out.keys.size = 16;
    session->answer(asked, out, now);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ByteSpan rest(data, size);
  if (rest.empty()) return 0;
  Options options;
  options.methods = {static_cast<AuthMethod>(rest[0] & 3)};
  options.mppe = (rest[0] & 4) != 0;
  options.header_compression = (rest[0] & 8) != 0;
  rest = rest.subspan(1);
  Owner owner;
  Session session(options, owner, [](std::span<std::uint8_t> out) {
    for (std::uint8_t& byte : out) byte = 1;  // identifiers a corpus can know
  });
  owner.session = &session;
  owner.now = Time(std::chrono::hours(1));
  session.lower_up(owner.now);
  while (!rest.empty()) {
    const std::size_t step = rest[0];
    rest = rest.subspan(1);
    if (step == 0) {
      owner.now += std::chrono::seconds(1);
      session.tick(owner.now);
      SEKISHO_ASSERT(session.next() > owner.now);
      continue;
    }
    if (step == 255) {
      owner.answer();
      continue;
    }
    const ByteSpan frame = rest.first(std::min(step, rest.size()));
    rest = rest.subspan(frame.size());
    const Received received = session.receive(frame, owner.now);
    if (received.what != Received::What::kPacket) continue;
    SEKISHO_ASSERT(owner.proven == 1 && owner.downs == 0);
    SEKISHO_ASSERT(options.mppe || (received.packet.data() > frame.data() && received.packet.data() + received.packet.size() <= frame.data() + frame.size()));
  }
  session.lower_down(owner.now);
  SEKISHO_ASSERT(owner.downs == 1 && !session.up(Family::kIpv4) && session.next() == Time::max());
  return 0;
}
