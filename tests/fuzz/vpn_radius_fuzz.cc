// SPDX-License-Identifier: Apache-2.0
// What a RADIUS server, or somebody in its place, sends: form, authenticators, keys, and the client that believes them. Input: a
// datagram. What is read lies within it; nobody is let in by it who was not asked about with the secret.
#include <cstddef>
#include <cstdint>

#include "base/assert.h"
#include "vpn/radius/client.h"

namespace radius = sekisho::vpn::radius;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const sekisho::ByteSpan datagram(data, size);
  const auto message = radius::parse(datagram);
  if (message) {
    std::size_t sum = radius::kHeaderBytes;
    for (const radius::Attribute& one : message->attributes) {
      SEKISHO_ASSERT(one.value.data() >= data + radius::kHeaderBytes && one.value.data() + one.value.size() <= data + size);
      sum += 2 + one.value.size();
    }
    SEKISHO_ASSERT(sum == message->bytes.size() && sum <= size);
    SEKISHO_ASSERT(message->eap().size() <= message->bytes.size());
    constexpr std::uint8_t kSecret[] = {'s', 'e', 'c', 'r', 'e', 't'};
    (void)radius::is_genuine_request(*message, kSecret);
    (void)radius::answers(*message, message->authenticator, kSecret, true);
    (void)radius::master_key(*message, message->authenticator, kSecret);
    const auto keys = radius::mppe_keys(*message, message->authenticator, kSecret);
    SEKISHO_ASSERT(!keys || keys->size == 16 || keys->size == 32);
    const std::string proof = radius::mschap2_success(*message);
    SEKISHO_ASSERT(proof.empty() || proof.size() == 42);
  }
  auto plan = std::make_shared<sekisho::vpn::RadiusPlan>();
  plan->source = *sekisho::parse_address("10.0.0.1");
  plan->servers.push_back({*sekisho::parse_address("10.0.0.2"), sekisho::vpn::Secret("a secret nobody knows"), 1812, 1813});
  plan->groups.push_back({"", 1, {}, {}});
  radius::Client client(plan, 50000, [](std::span<std::uint8_t> out) { std::fill(out.begin(), out.end(), std::uint8_t{7}); });
  const radius::Client::Time now{};
  client.ask({}, std::nullopt, now);
  client.receive(50000, {plan->servers[0].address, 1812}, datagram, now);
  SEKISHO_ASSERT(client.take_answers().empty() && client.counters().answered == 0);
  return 0;
}
