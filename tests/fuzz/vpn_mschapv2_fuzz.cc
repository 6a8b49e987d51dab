// SPDX-License-Identifier: Apache-2.0
// What a peer answers to an EAP-MSCHAPv2 challenge. Input: the EAP packet. What is read lies within it, and not a byte less will do.
#include <cstddef>
#include <cstdint>

#include "base/assert.h"
#include "vpn/ike/mschapv2.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  sekisho_mschapv2_response_t response;
  if (!sekisho_mschapv2_read(data, size, &response)) return 0;
  SEKISHO_ASSERT(sekisho_mschapv2_opcode(data, size) == MSCHAPV2_OP_RESPONSE);
  SEKISHO_ASSERT(response.peer_challenge >= data && response.nt_response == response.peer_challenge + MSCHAPV2_CHALLENGE + MSCHAPV2_RESERVED);
  SEKISHO_ASSERT(response.nt_response + MSCHAPV2_NT_RESPONSE < response.name + 1 && response.name + response.name_size == data + size);
  const std::size_t least = size - response.name_size;
  SEKISHO_ASSERT(sekisho_mschapv2_read(data, least, &response) && response.name_size == 0);
  SEKISHO_ASSERT(!sekisho_mschapv2_read(data, least - 1, &response));
  return 0;
}
