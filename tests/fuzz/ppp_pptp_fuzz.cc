// SPDX-License-Identifier: Apache-2.0
// PPTP: a control connection's bytes, which mean the same in whatever pieces they come, and GRE. Input: one byte, how to cut (0: it is a
// row of GRE packets, each behind its size), then the bytes.
#include <cstddef>
#include <cstdint>

#include "base/assert.h"
#include "vpn/pptp/control.h"
#include "vpn/pptp/gre.h"

namespace {

using namespace sekisho;
using namespace sekisho::vpn::pptp;

struct Connection : Control::Owner {
  std::size_t written = 0;
  int calls = 0;
  bool open = true;
  vpn::ppp::Time now{std::chrono::hours(1)};
  Control control{*this, 7, now};
  void write(ByteSpan bytes) override { written += bytes.size(); }
  void call_up(std::uint16_t, std::uint16_t, vpn::ppp::Time) override { SEKISHO_ASSERT(++calls == 1); }
  void call_down(std::string_view, vpn::ppp::Time) override { SEKISHO_ASSERT(--calls == 0); }
  void give(ByteSpan bytes, std::size_t piece) {
    for (; open && !bytes.empty(); bytes = bytes.subspan(std::min(piece, bytes.size()))) {
      open = control.receive(bytes.first(std::min(piece, bytes.size())), now);
    }
  }
};

struct Link : GreLink::Owner {
  std::size_t frames = 0;
  GreLink link{*this, 7, 9};
  void send_packet(ByteSpan packet) override { SEKISHO_ASSERT(parse_gre(packet).has_value()); }
  void frame_in(ByteSpan, vpn::ppp::Time) override { ++frames; }
};

void play_gre(ByteSpan rest) {
  Link link;
  vpn::ppp::Time now{std::chrono::hours(1)};
  std::size_t packets = 0;
  while (!rest.empty()) {
    const std::size_t size = std::min<std::size_t>(rest[0], rest.size() - 1);
    link.link.receive(rest.subspan(1, size), now);
    rest = rest.subspan(1 + size);
    ++packets;
    if (size == 0) link.link.tick(now += std::chrono::milliseconds(60));
  }
  link.link.send({});
  SEKISHO_ASSERT(link.frames <= packets);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteSpan rest = ByteSpan(data, size).subspan(1);
  if (data[0] == 0) {
    play_gre(rest);
    return 0;
  }
  Connection whole, pieces;
  whole.give(rest, rest.size() + 1);
  pieces.give(rest, data[0]);
  SEKISHO_ASSERT(whole.open == pieces.open && whole.written == pieces.written && whole.calls == pieces.calls);
  whole.control.closed(whole.now);
  SEKISHO_ASSERT(whole.calls == 0);
  return 0;
}
