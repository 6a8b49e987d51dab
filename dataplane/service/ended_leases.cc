// SPDX-License-Identifier: Apache-2.0
#include "dataplane/service/ended_leases.h"

#include "dataplane/path/record.h"

namespace sekisho::dataplane {

bool EndedLeases::give_back(std::uint32_t tenant, const Address& address, std::uint32_t user) {
  for (auto at = leases_.lower_bound({tenant, address, 0}); at != leases_.end() && at->tenant == tenant && at->address == address;) {
    if (user == 0 || at->user != user) return false;
    at = leases_.erase(at);
  }
  return true;
}

bool EndedLeases::holds(std::uint32_t tenant, const Address& address) const {
  const auto at = leases_.lower_bound({tenant, address, 0});
  return at != leases_.end() && at->tenant == tenant && at->address == address;
}

void EndedLeases::end_sessions(Engine& engine) {
  if (leases_.empty()) return;
  engine.for_each_session([this](Shard& shard, std::uint32_t index) {
    const std::uint32_t tenant = tenant_of(shard.sessions.at(index).key);
    const path::SessionEnds ends = path::judged_ends(shard, index);
    if (holds(tenant, ends.source) || holds(tenant, ends.destination)) shard.end_session(index, EndReason::kVpnDown);
    return true;
  });
  leases_.clear();
}

void EndedLeases::tick(Engine& engine) {
  const auto begin = std::chrono::steady_clock::now();
  if (leases_.empty() || begin < not_before_) return;
  end_sessions(engine);
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  not_before_ = begin + 11 * took;
}

}  // namespace sekisho::dataplane
