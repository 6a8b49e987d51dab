// SPDX-License-Identifier: Apache-2.0
// Any bytes as what stands in UDP behind ESP: an IP packet that is found lies inside, is as long as it says, and what the data plane writes
// in front of it is read back.
#include <cstring>
#include <vector>

#include "base/assert.h"
#include "base/net/endian.h"
#include "filters/packet/l2tp.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sekisho::filters;
  const sekisho::ByteSpan bytes(data, size);
  const L2tpPacket packet = read_l2tp(bytes);
  const bool v4 = packet.kind == L2tpKind::kIpv4;
  if (!v4 && packet.kind != L2tpKind::kIpv6) {
    SEKISHO_ASSERT(packet.ip.empty() || packet.kind == L2tpKind::kPpp);
    return 0;
  }
  SEKISHO_ASSERT(packet.ip.data() >= data && packet.ip.data() + packet.ip.size() <= data + size);
  SEKISHO_ASSERT(packet.ip[0] >> 4 == (v4 ? 4 : 6));
  const std::size_t length = v4 ? sekisho::load_be<std::uint16_t>(packet.ip, 2) : 40U + sekisho::load_be<std::uint16_t>(packet.ip, 4);
  SEKISHO_ASSERT(length == packet.ip.size());
  for (const bool sequenced : {false, true}) {
    const L2tpHeader header = L2tpHeader::make(1701, packet.tunnel, packet.session, sequenced);
    std::vector<std::uint8_t> out(L2tpHeader::kRoom + packet.ip.size());
    header.write(out.data() + L2tpHeader::kRoom, packet.ip.size(), v4, 9);
    std::memcpy(out.data() + L2tpHeader::kRoom, packet.ip.data(), packet.ip.size());
    const L2tpPacket again = read_l2tp(sekisho::ByteSpan(out).subspan(L2tpHeader::kRoom - header.used + kL2tpUdpBytes));
    SEKISHO_ASSERT(again.kind == packet.kind && again.ip.size() == packet.ip.size() && again.session == packet.session);
  }
  return 0;
}
