// SPDX-License-Identifier: Apache-2.0
// DHCPINFORM out of a tunnel, and the answer to it. Input: the UDP payload; the sender is whom it speaks of.
#include <algorithm>
#include <array>

#include "base/assert.h"
#include "vpn/dhcp_inform.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sekisho;
  Address client = Address::from_v4(0);
  if (size >= 16) std::copy_n(data + 12, 4, client.bytes.begin());
  const auto request = vpn::parse_dhcp_inform({data, size}, client);
  if (!request) return 0;
  SEKISHO_ASSERT(size >= 240 && request->answer_max >= 548 && request->answer_max <= 1300);
  std::array<Prefix, 40> networks;
  for (std::size_t i = 0; i < networks.size(); ++i) networks[i] = {client, static_cast<std::uint8_t>(i % 33)};
  const std::array dns{client};
  const auto answer = vpn::answer_dhcp_inform(*request, client, {networks, dns, "example.test"});
  SEKISHO_ASSERT(answer.size() <= request->answer_max && answer.back() == 255);
  return 0;
}
