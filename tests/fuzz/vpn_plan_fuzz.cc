// SPDX-License-Identifier: Apache-2.0
// Any bytes as the VpnConfig controld hands over, and the memory in it: refused whole, or a Plan by which everybody is judged.
#include "base/assert.h"
#include "base/proto/control_vpn.pb.h"
#include "vpn/directory.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sekisho;
  using namespace sekisho::vpn;
  const auto plan = parse_plan({data, size});
  if (!plan) return 0;
  UserDirectory directory([] { return std::int64_t{1'700'000'100}; });
  if ((*plan)->memory) directory.restore(*(*plan)->memory);
  directory.set_plan(*plan);
  std::uint64_t number = 0;
  for (const auto& [id, tenant] : (*plan)->tenants) {
    for (const auto& gateway : tenant.gateways) {
      for (const auto& [name, user] : tenant.users) {
        Session session;
        session.id = ++number;
        session.path = {id, 1, {Address::from_v4(0xc0000201), 4500}, {Address::from_v4(0xc0000202), 4500}};
        session.gateway = gateway.gateway.name + " eap-mschapv2";
        session.user = user.name;
        if (directory.authorize(session).cause != Cause::kNone) continue;
        const auto lease = directory.lease(session, Family::kIpv4);
        SEKISHO_ASSERT(!lease || lease->family == Family::kIpv4);
        SEKISHO_ASSERT(directory.lease(session, Family::kIpv4) == lease);
        SEKISHO_ASSERT(directory.admitted(session.id).has_value());
      }
    }
  }
  // What is saved is taken by the next one as it was.
  ipc::VpnMemory saved, again;
  if (!directory.save(saved)) return 0;
  UserDirectory next([] { return std::int64_t{1'700'000'100}; });
  next.restore(saved);
  SEKISHO_ASSERT(saved.addresses_size() == 0 || next.save(again));
  SEKISHO_ASSERT(again.addresses_size() == saved.addresses_size());
  return 0;
}
