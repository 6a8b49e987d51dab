// SPDX-License-Identifier: Apache-2.0
// What is read of an IKE datagram before libcharon gets it. Input: the UDP payload, with and without the non-ESP marker.
#include "base/assert.h"
#include "vpn/ike_header.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  for (const bool has_marker : {false, true}) {
    const auto header = sekisho::vpn::parse_ike_header({data, size}, has_marker);
    SEKISHO_ASSERT(!header || size >= (has_marker ? 32U : 28U));
  }
  return 0;
}
