// SPDX-License-Identifier: Apache-2.0
// What a PPP session costs: memory of 10,000 that are up, and log-ins a second on one core, MSCHAPv2 checked on both ends.
//   ppp_bench [SESSIONS]        one line of JSON
#include <malloc.h>

#include <cstdio>
#include <cstdlib>

#include "tests/support/ppp_peer.h"

int main(int argc, char** argv) {
  using namespace sekisho;
  const std::size_t count = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 10000;
  std::vector<std::unique_ptr<test::PppOwner>> owners;
  std::vector<std::unique_ptr<vpn::ppp::Session>> sessions;
  owners.reserve(count);
  sessions.reserve(count);
  std::size_t used = 0, up = 0;
  std::chrono::nanoseconds spent{};
  const vpn::ppp::Time now{std::chrono::hours(1)};
  for (std::size_t i = 0; i < count; ++i) {
    owners.push_back(std::make_unique<test::PppOwner>());
    test::PppOwner& owner = *owners.back();
    owner.now = now;
    const std::size_t before = mallinfo2().uordblks;
    const auto begun = std::chrono::steady_clock::now();
    vpn::ppp::Options options;
    options.methods = {vpn::ppp::AuthMethod::kMschapV2};
    sessions.push_back(std::make_unique<vpn::ppp::Session>(options, owner, [](std::span<std::uint8_t> out) { std::ranges::fill(out, std::uint8_t{7}); }));
    owner.session = sessions.back().get();
    {
      test::PppPeer peer;
      owner.session->lower_up(now);
      peer.begin();
      while (!owner.frames.empty() || !peer.sent.empty()) {
        if (!owner.frames.empty()) {
          peer.take(owner.frames.front());
          owner.frames.pop_front();
        }
        if (peer.sent.empty()) continue;
        owner.session->receive(peer.sent.front(), now);
        peer.sent.erase(peer.sent.begin());
      }
    }
    spent += std::chrono::steady_clock::now() - begun;
    up += owner.session->up(Family::kIpv4) && owner.session->up(Family::kIpv6);
    owner.events = {};
    owner.users = {};
    owner.frames = {};
    owner.frames.shrink_to_fit();
    used += mallinfo2().uordblks - before;
  }
  std::printf("{\"sessions\": %zu, \"up\": %zu, \"bytes_per_session\": %zu, \"logins_per_second\": %.0f}\n", count, up, used / count,
              static_cast<double>(count) / std::chrono::duration<double>(spent).count());
  return up == count ? 0 : 1;
}
