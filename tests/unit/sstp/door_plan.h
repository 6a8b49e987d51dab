// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <memory>
#include <string>

#include "base/proto/control_vpn.pb.h"
#include "tests/unit/sstp/bytes.h"
#include "vpn/plan.h"

namespace sekisho::vpn::sstp {

inline std::string text_of(const Bytes& bytes) { return {bytes.begin(), bytes.end()}; }

/// The user of RFC 2759 9.2 in a group with one address. `methods`: beside mschapv2, or (`mschapv2` false) alone; with a backend, it judges everybody else.
inline std::shared_ptr<const Plan> plan(bool suspended = false, std::initializer_list<ipc::VpnDoorMethod> methods = {}, bool radius = false,
                                        bool mschapv2 = true) {
  ipc::VpnConfig config;
  config.set_generation(1);
  auto& tenant = *config.add_tenants();
  tenant.set_id(7);
  tenant.set_service_code("tst00000007");
  auto& gateway = *tenant.add_gateways();
  gateway.set_name("vpn");
  gateway.set_profile("modern");
  gateway.set_tunnel_port(9);
  if (mschapv2) gateway.mutable_sstp()->add_accept(ipc::DOOR_MSCHAPV2);
  for (const auto one : methods) gateway.mutable_sstp()->add_accept(one);
  if (radius) {
    gateway.add_radius("campus");
    auto& backend = *tenant.add_radius();
    backend.set_name("campus");
    backend.set_source(text_of(from_hex("0a000001")));
    backend.set_timeout_seconds(3);
    backend.set_tries(3);
    auto& server = *backend.add_servers();
    server.set_address(text_of(from_hex("0a000002")));
    server.set_secret("secret");
    server.set_port(1812);
    server.set_accounting_port(1813);
    auto& all = *backend.add_groups();
    all.set_id(77);
    all.add_groups("staff");
  }
  auto& user = *tenant.add_users();
  user.set_id(3);
  user.set_name("User");
  user.set_nt_hash(text_of(from_hex("44EBBA8D5312B8D611474411F56989AE")));
  user.add_groups("staff");
  user.set_suspended(suspended);
  auto& group = *tenant.add_groups();
  group.set_name("staff");
  group.set_pool("people");
  auto& pool = *tenant.add_pools();
  pool.set_name("people");
  auto& range = *pool.add_ranges();
  range.set_first(text_of(from_hex("0a630001")));
  range.set_last(text_of(from_hex("0a630001")));
  const std::string bytes = config.SerializeAsString();
  return parse_plan({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}).value();
}

}  // namespace sekisho::vpn::sstp
