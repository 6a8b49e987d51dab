// SPDX-License-Identifier: Apache-2.0
#include "control/compile/user_compiler.h"

#include <algorithm>
#include <tuple>

#include "base/limits.h"
#include "control/compile/device_conditions.h"
#include "control/config/text.h"

namespace sekisho::control {

std::uint64_t group_mask(const model::Tenant& tenant, const google::protobuf::RepeatedPtrField<std::string>& groups) {
  std::uint64_t out = 0;
  for (int i = 0; i < tenant.user_groups_size(); ++i) {
    const bool named = std::find(groups.begin(), groups.end(), tenant.user_groups(i).name()) != groups.end();
    if (named) out |= std::uint64_t{1} << i;
  }
  return out;
}

std::vector<Prefix> pool_prefixes(const model::Pool& pool) {
  std::vector<Prefix> out;
  for (const auto& text : pool.ranges()) {
    const auto span = *parse_address_entry(text);
    for (Address at = span.low;;) {
      Prefix widest{at, static_cast<std::uint8_t>(at.bits())};
      while (widest.length > 0) {
        const Prefix wider{at, static_cast<std::uint8_t>(widest.length - 1)};
        if (wider.first() != at || wider.last() > span.high) break;
        widest = wider;
      }
      out.push_back(widest);
      at = widest.last();
      if (at == span.high) break;
      for (std::size_t byte = at.bits() / 8; byte-- > 0 && ++at.bytes[byte] == 0;) {
      }
    }
  }
  return out;
}

void compile_users(filters::SnapshotBuilder& builder, Ids& ids, Reporter& reporter, const model::Tenant& tenant, std::uint32_t index) {
  const auto first = static_cast<std::ptrdiff_t>(builder.users.size());
  const DeviceConditions devices(tenant);
  if (!devices.fit()) {
    reporter.error(Path(), "tenant " + tenant.service_code() + ": its user groups, and the different devices that rules ask of them, are" +
                               " more than " + std::to_string(limits::kUserGroupsPerTenantMax) + " together");
  }
  // Numbers are the unit's, and are given once.
  std::size_t with_devices = 0;
  for (const auto& user : tenant.users()) {
    with_devices += devices.devices_of(user).size();
    if (with_devices > limits::kUsersPerTenantMax) break;
  }
  for (const auto& backend : tenant.radius()) {
    for (const auto& group : backend.groups()) with_devices += devices.devices_of(group.groups()).size();
    with_devices += devices.devices_of(backend.default_groups()).size();
  }
  if (with_devices > limits::kUsersPerTenantMax) {
    reporter.error(Path(), "tenant " + tenant.service_code() + ": its users, each with every group of devices that rules ask of him," +
                               " are more than " + std::to_string(limits::kUsersPerTenantMax));
    return;
  }
  std::uint64_t everyone = 0;
  for (int i = 0; i < tenant.user_groups_size(); ++i) everyone |= std::uint64_t{tenant.user_groups(i).everyone() ? 1U : 0U} << i;
  const auto add = [&](const std::string& key, std::uint64_t groups) {
    const std::uint32_t id = ids.number(IdKind::kUser, key);
    if (id == 0) reporter.error(Path(), "every number for a user was given out; this unit cannot take new ones");
    builder.users.push_back({id, index, groups});
  };
  const std::string& code = tenant.service_code();
  for (const auto& user : tenant.users()) {
    const std::uint64_t groups = user.suspended() ? 0 : group_mask(tenant, user.groups()) | everyone;
    add(user_key(code, user.name()), groups);
    for (const std::string& one : devices.devices_of(user)) {
      add(device_user_key(code, user.name(), one), user.suspended() ? 0 : devices.groups_with(groups, one));
    }
  }
  if (everyone != 0) builder.users.push_back({0, index, everyone});  // whom the configuration does not name
  const auto add_group = [&](const std::string& backend, const std::string& value, const auto& groups) {
    const std::uint64_t mask = group_mask(tenant, groups);
    add(radius_group_key(code, backend, value), mask);
    for (const std::string& one : devices.devices_of(groups)) {
      add(device_radius_key(code, backend, value, one), devices.groups_with(mask, one));
    }
  };
  for (const auto& backend : tenant.radius()) {
    for (const auto& group : backend.groups()) add_group(backend.name(), group.value(), group.groups());
    add_group(backend.name(), "", backend.default_groups());
  }
  std::sort(builder.users.begin() + first, builder.users.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
}

void compile_gateways(filters::SnapshotBuilder& builder, Ids& ids, Reporter& reporter, const model::Tenant& tenant, std::uint32_t index,
                      const std::function<std::uint32_t(const std::string&)>& port_at) {
  for (const auto& gateway : tenant.gateways()) {
    for (const auto& text : gateway.addresses()) {
      const Address address = *parse_address(text);
      const bool pptp = gateway.has_pptp() && address.family == Family::kIpv4;
      const std::uint32_t serves = (gateway.has_sstp() ? filters::snapshot::kServesSstp : 0) | (pptp ? filters::snapshot::kServesPptp : 0);
      const std::uint32_t service =
          serves != 0 ? ids.number(IdKind::kService, service_key(tenant.service_code(), to_string(address))) : 0;
      if (serves != 0 && service == 0) {
        reporter.error(Path(), "every number for an address of SSTP or PPTP was given out; this unit cannot take new ones");
      }
      builder.gateways.push_back({address, {}, index, port_at(gateway.port()), port_at(gateway.tunnel()), service, serves});
    }
  }
}

void compile_radius(filters::SnapshotBuilder& builder, const model::Tenant& tenant, std::uint32_t index) {
  const auto first = static_cast<std::ptrdiff_t>(builder.radius_peers.size());
  for (const auto& backend : tenant.radius()) {
    for (const auto& server : backend.servers()) {
      builder.radius_peers.push_back({.local = *parse_address(backend.source()),
                                      .remote = *parse_address(server.address()),
                                      .port = static_cast<std::uint16_t>(server.port()),
                                      .accounting_port = static_cast<std::uint16_t>(server.accounting_port()),
                                      .changes = backend.disconnect() ? std::uint8_t{1} : std::uint8_t{0},
                                      .reserved = 0,
                                      .tenant = index});
    }
  }
  std::sort(builder.radius_peers.begin() + first, builder.radius_peers.end(),
            [](const auto& a, const auto& b) { return std::tie(a.local, a.remote) < std::tie(b.local, b.remote); });
}

void sort_gateways(filters::SnapshotBuilder& builder) {
  std::sort(builder.gateways.begin(), builder.gateways.end(),
            [](const auto& a, const auto& b) { return std::tie(a.port, a.address) < std::tie(b.port, b.address); });
}

}  // namespace sekisho::control
