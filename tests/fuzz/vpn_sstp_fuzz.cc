// SPDX-License-Identifier: Apache-2.0
// What a stranger sends inside TLS: the greeting, then packets. Each step takes bytes or waits for more, whatever the split.
#include "base/assert.h"
#include "vpn/sstp/crypto_binding.h"
#include "vpn/sstp/http.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sekisho;
  using namespace sekisho::vpn::sstp;
  ByteSpan stream(data, size);
  const Greeting greeting = read_greeting(stream);
  if (greeting.state == Greeting::State::kSstp || greeting.state == Greeting::State::kOther) {
    SEKISHO_ASSERT(greeting.bytes >= 4 && greeting.bytes <= size && greeting.host.size() <= 128 && greeting.tenant_id.size() <= 128);
    SEKISHO_ASSERT(read_greeting(stream.first(greeting.bytes)).state == greeting.state);
    SEKISHO_ASSERT(read_greeting(stream.first(greeting.bytes - 1)).state == Greeting::State::kMore);
  }
  if (greeting.state == Greeting::State::kSstp) stream = stream.subspan(greeting.bytes);
  while (true) {
    const Framed framed = next_packet(stream);
    if (framed.state != Framed::State::kPacket) break;
    SEKISHO_ASSERT(framed.bytes >= kHeaderBytes && framed.bytes <= kPacketBytesMax && framed.bytes <= stream.size());
    SEKISHO_ASSERT(next_packet(stream.first(framed.bytes - 1)).state == Framed::State::kMore);
    if (framed.packet.control) {
      const auto read = read_control(framed.packet.body);
      if (read.message && read.message->binding) {
        const BindingFacts facts{.nonce = read.message->binding->nonce, .hashes = 3};
        // Nobody has the MAC of keys he does not know.
        SEKISHO_ASSERT(check_binding(stream.first(framed.bytes), *read.message->binding, facts) != BindingFault::kNone);
      }
    }
    stream = stream.subspan(framed.bytes);
  }
  return 0;
}
