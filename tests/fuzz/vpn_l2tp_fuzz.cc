// SPDX-License-Identifier: Apache-2.0
// Any bytes as an L2TP message of each kind, and as a story: two bytes of length, a datagram, time in between, with or without a secret.
// What is read lies inside the input; what a connection sends is read back by the same reader; what it holds is bounded; a call is up
// before it is down, and once.
#include <set>

#include "base/assert.h"
#include "base/net/endian.h"
#include "vpn/l2tp/connection.h"

namespace {

using namespace sekisho::vpn::l2tp;
using sekisho::ByteSpan;

constexpr std::uint16_t kOurs = 1;

struct Checks : Sink {
  std::string secret;
  std::set<std::uint16_t> up;
  void datagram(ByteSpan datagram) override {
    if (!is_control(datagram)) return;
    const auto message = parse_control(datagram, secret);
    SEKISHO_ASSERT(message && !message->offence && datagram.size() <= kDatagramMax);
  }
  void call_up(const Call& call) override {
    SEKISHO_ASSERT(call.local_session != 0 && call.peer_session != 0 && up.insert(call.local_session).second);
    SEKISHO_ASSERT(up.size() <= Connection::kCallsMax);
  }
  void frame(std::uint16_t session, ByteSpan frame) override { SEKISHO_ASSERT(up.contains(session) && !frame.empty()); }
  void call_down(std::uint16_t session, Ended, std::string_view text) override { SEKISHO_ASSERT(up.erase(session) == 1 && !text.empty()); }
};

void read(ByteSpan bytes) {
  for (const char* secret : {"", "secret"}) {
    const auto message = parse_control(bytes, secret);
    if (!message) continue;
    SEKISHO_ASSERT(bytes.size() >= kControlBytes && bytes.size() <= kDatagramMax);
    if (message->type) static_cast<void>(name_of(*message->type));
    if (message->result) static_cast<void>(describe(MessageType::kCdn, *message->result));
  }
  if (const auto data = parse_data(bytes)) {
    SEKISHO_ASSERT(data->frame.data() >= bytes.data() && data->frame.data() + data->frame.size() <= bytes.data() + bytes.size());
  }
  if (bytes.size() < 4) return;
  const auto plain = unhide(7, bytes.subspan(2), "secret", bytes.first(2));
  SEKISHO_ASSERT(!plain || plain->size() + 4 <= bytes.size());
}

void tell(ByteSpan bytes) {
  if (bytes.empty()) return;
  Options options;
  Checks sink;
  if ((bytes[0] & 1U) != 0) options.secret = sink.secret = "secret";
  std::uint16_t session = 1;
  Connection connection(options, kOurs, sink, [&session] { return ++session; });
  Time now{};
  bytes = bytes.subspan(1);
  while (bytes.size() >= 2) {
    const std::size_t length = std::min<std::size_t>(sekisho::load_be<std::uint16_t>(bytes, 0) & 0x0fffU, bytes.size() - 2);
    now += std::chrono::seconds(bytes[0] >> 4);
    connection.receive(bytes.subspan(2, length), now);
    connection.tick(now);
    SEKISHO_ASSERT(connection.over() || connection.next() > now);
    SEKISHO_ASSERT(connection.calls() <= Connection::kCallsMax);
    bytes = bytes.subspan(2 + length);
  }
  connection.lost("the end", Ended::kByUs);
  SEKISHO_ASSERT(sink.up.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  read({data, size});
  tell({data, size});
  return 0;
}
