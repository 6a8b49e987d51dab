// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/shard.h"

/// TCP 443 (SSTP), TCP 1723 and GRE (PPTP) of tenants' gateways end in the kernel of a service network behind one card
/// (base/net/service_address.h). Between the two each gateway address is translated one to one, without state: the kernel knows a
/// connection's tenant by its own end, never by its bytes. Thread: the shard's.
namespace sekisho::dataplane::path::service {

/// A packet to an address of the gateway that admit found local: true when it was for what the gateway serves there and has left for the
/// service network.
[[nodiscard]] bool deliver(Shard& shard, const Runtime& config, rte_mbuf* packet) noexcept;

/// A packet that came in by the service network's card, which is nobody's Port: it leaves by its tenant's routes, from the gateway's
/// address it stands for, or ends.
void answer(Shard& shard, const Runtime& config, rte_mbuf* packet) noexcept;

}  // namespace sekisho::dataplane::path::service
