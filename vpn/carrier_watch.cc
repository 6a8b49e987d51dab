// SPDX-License-Identifier: Apache-2.0
#include "vpn/carrier_watch.h"

#include <unordered_set>

namespace sekisho::vpn {

bool CarrierWatch::look(std::uint64_t session, const TunnelTotals& seen, Time now) {
  Seen& before = seen_.try_emplace(session, Seen{seen.packets_in, now, now}).first->second;
  if (seen.riders != 0) before.used = now;
  if (seen.riders != 0 || seen.packets_in != before.packets) before.heard = now;
  before.packets = seen.packets_in;
  return now - before.heard >= kSilence || now - before.used >= kNobody;
}

void CarrierWatch::keep(std::span<const Session> sessions) {
  std::unordered_set<std::uint64_t> live;
  for (const Session& session : sessions) live.insert(session.id);
  std::erase_if(seen_, [&live](const auto& one) { return !live.contains(one.first); });
}

}  // namespace sekisho::vpn
