// SPDX-License-Identifier: Apache-2.0
#include <rte_ethdev.h>

#include "dataplane/path/path.h"

namespace sekisho::dataplane::path {

void transmit(Shard& shard) noexcept {
  for (std::uint16_t nic = 0; nic < shard.nics; ++nic) {
    Outlet& outlet = shard.outlets[nic];
    if (outlet.count == 0) continue;
    const std::uint16_t sent =
        outlet.usable ? rte_eth_tx_burst(nic, outlet.queue, outlet.packets.data(), outlet.count) : std::uint16_t{0};
    shard.packets.sent.add(sent);
    for (std::uint16_t i = sent; i < outlet.count; ++i) {
      shard.drop_whole(outlet.packets[i], filters::DropReason::kTxQueueFull, shard.no_tenant());
    }
    outlet.count = 0;
  }
}

}  // namespace sekisho::dataplane::path
