// SPDX-License-Identifier: Apache-2.0
#include "control/compile/vpn_config.h"

#include <string.h>  // explicit_bzero

#include <algorithm>
#include <set>

#include "base/net/address.h"
#include "control/compile/device_conditions.h"
#include "control/compile/user_compiler.h"
#include "control/config/codec.h"
#include "control/config/exceptions.h"
#include "control/config/text.h"
#include "control/config/timetable.h"

namespace sekisho::control {
namespace {

constexpr std::uint64_t kMegabyte = 1'000'000;
constexpr std::uint32_t kMinutesOfDay = 24 * 60;

std::string wire_of(const Address& address) {
  const auto bytes = address.wire();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
std::string wire_of(const std::string& text) { return wire_of(*parse_address(text)); }

void fill(ipc::VpnPrefix& out, const std::string& text) {
  const auto prefix = *parse_prefix(text);
  out.set_address(wire_of(prefix.address));
  out.set_length(prefix.length);
}

std::string bytes_of_hex(const std::string& hex) {
  const auto digit = [](char c) { return static_cast<unsigned>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10); };
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) out += static_cast<char>(digit(hex[i]) << 4 | digit(hex[i + 1]));
  return out;
}

/// A slot that passes midnight is two windows.
void add_windows(ipc::VpnGroup& group, const WeeklySlot& slot) {
  const auto add = [&group](std::uint32_t days, std::uint32_t from, std::uint32_t to) {
    auto& window = *group.add_login();
    window.set_weekdays(days);
    window.set_from_minute(from);
    window.set_to_minute(to);
  };
  const std::uint32_t end = std::uint32_t{slot.from_minute} + slot.minutes;
  add(slot.days, slot.from_minute, std::min(end, kMinutesOfDay));
  const std::uint32_t days = slot.days;
  const std::uint32_t next_days = (days << 1 | days >> 6) & 0x7fU;
  if (end > kMinutesOfDay) add(next_days, 0, end - kMinutesOfDay);
}

void fill(ipc::VpnGateway& out, const model::Gateway& gateway) {
  out.set_name(gateway.name());
  out.set_code(gateway.code());
  for (const auto& address : gateway.addresses()) out.add_addresses(wire_of(address));
  out.set_identity(gateway.identity());
  out.set_profile(enum_text(*model::Gateway::Profile_descriptor()->FindValueByNumber(gateway.profile())));
  for (const int accept : gateway.accept()) {
    if (accept == model::Gateway::CERTIFICATE) out.set_accept_certificate(true);
    if (accept == model::Gateway::EAP_MSCHAPV2) out.set_accept_eap_mschapv2(true);
    if (accept == model::Gateway::PSK) out.set_accept_psk(true);
    if (accept == model::Gateway::EAP_TLS) out.set_accept_eap_tls(true);
    if (accept == model::Gateway::EAP_RADIUS) out.set_accept_eap_radius(true);
  }
  *out.mutable_certificates() = gateway.certificates();
  *out.mutable_keys() = gateway.keys();
  *out.mutable_gateway_cas() = gateway.gateway_cas();
  *out.mutable_client_cas() = gateway.client_cas();
  *out.mutable_crls() = gateway.crls();
  *out.mutable_device_cas() = gateway.device_cas();
  out.set_admit_without_list(gateway.without_crl() == model::Gateway::ADMIT);
  out.set_ppk(static_cast<ipc::VpnGateway::Ppk>(gateway.ppk()));
  out.set_ocsp_url(gateway.ocsp().url());
  out.set_admit_without_answer(gateway.ocsp().without_answer() == model::Ocsp::ADMIT);
  for (const auto& network : gateway.networks()) fill(*out.add_networks(), network);
  for (const auto& server : gateway.dns()) out.add_dns(wire_of(server));
  *out.mutable_dns_domains() = gateway.dns_domains();
  out.set_ike_rekey_seconds(gateway.ike_rekey_seconds());
  out.set_child_rekey_seconds(gateway.child_rekey_seconds());
  out.set_child_life_seconds(gateway.child_life_seconds());
  out.set_child_rekey_bytes(gateway.child_rekey_mbytes() * kMegabyte);
  out.set_child_life_bytes(gateway.child_life_mbytes() * kMegabyte);
  out.set_dpd_seconds(gateway.dpd_seconds());
  out.set_replay_window(gateway.replay_window());
  out.set_force_udp_encapsulation(gateway.force_udp_encapsulation());
  out.set_idle_seconds(gateway.idle_seconds());
  out.set_session_seconds_max(gateway.session_seconds_max());
  out.set_default_group(gateway.default_group());
  out.set_refuse_if_no_permit(gateway.refuse_if_no_permit());
  *out.mutable_radius() = gateway.radius();
  if (gateway.profile() == model::Gateway::LEGACY) out.set_legacy_until(legacy_end(gateway).value_or(0));
}

/// Of a door, whose words are the same as the others'.
template <typename Door>
ipc::VpnDoorMethod method_of(int accept) {
  switch (accept) {
    case Door::EAP_MSCHAPV2: return ipc::DOOR_EAP_MSCHAPV2;
    case Door::PAP: return ipc::DOOR_PAP;
    case Door::CHAP: return ipc::DOOR_CHAP;
    case Door::EAP_TLS: return ipc::DOOR_EAP_TLS;
    case Door::EAP_RADIUS: return ipc::DOOR_EAP_RADIUS;
    default: return ipc::DOOR_MSCHAPV2;
  }
}

void fill(ipc::VpnSstp& out, const model::Gateway& gateway) {
  const model::Sstp& sstp = gateway.sstp();
  for (const int accept : sstp.accept()) out.add_accept(method_of<model::Sstp>(accept));
  out.set_sha1(sstp.sha1());
  out.set_aes128(sstp.suites() == model::Sstp::AES128);
  const bool own = sstp.certificates_size() > 0;
  *out.mutable_certificates() = own ? sstp.certificates() : gateway.certificates();
  *out.mutable_keys() = own ? sstp.keys() : gateway.keys();
  *out.mutable_ocsp() = sstp.ocsp();
}

void fill(ipc::VpnL2tp& out, const model::L2tp& l2tp) {
  for (const int accept : l2tp.accept()) out.add_accept(method_of<model::L2tp>(accept));
  for (const auto& key : l2tp.keys()) {
    auto& to = *out.add_keys();
    for (const auto& prefix : key.from()) fill(*to.add_from(), prefix);
    to.set_psk(key.psk());
  }
  out.set_certificates(l2tp.certificates());
}

void fill(ipc::VpnGroup& out, const model::UserGroup& group) {
  out.set_name(group.name());
  out.set_priority(group.priority());
  out.set_pool(group.pool());
  out.set_sessions_per_user(group.sessions_per_user());
  out.set_replace_oldest(group.beyond() == model::UserGroup::REPLACE);
  for (const auto& prefix : group.source_prefixes()) fill(*out.add_source_prefixes(), prefix);
  for (const auto& text : group.login()) add_windows(out, *parse_weekly(text));
  out.set_sessions_max(group.sessions_max());
  out.set_everyone(group.everyone());
  *out.mutable_source_countries() = group.source_countries();
  out.set_device_policy(group.device_policy());
}

void fill(ipc::VpnUser& out, const model::User& user) {
  out.set_name(user.name());
  out.set_nt_hash(bytes_of_hex(user.nt_hash()));
  out.set_psk(user.psk());
  out.set_suspended(user.suspended());
  *out.mutable_groups() = user.groups();
  for (const auto& address : user.static_addresses()) out.add_static_addresses(wire_of(address));
  out.set_ppk_id(user.ppk_id());
  out.set_ppk(bytes_of_hex(user.ppk()));
}

void fill(ipc::VpnDevice& out, const model::Device& device) {
  out.set_name(device.name());
  out.set_label(device.label());
  out.set_owner(device.owner());
  out.set_owner_group(device.owner_group());
  for (const auto& serial : device.certificates()) out.add_serials(plain_serial(serial));
  *out.mutable_identifiers() = device.identifiers();
  out.set_state(static_cast<ipc::VpnDevice::State>(device.state()));
  if (device.has_valid_until()) out.set_valid_until(*parse_civil(device.valid_until()));
  out.set_group(device.group());
  out.set_os(device.os());
}

void fill(ipc::VpnDevicePolicy& out, const model::DevicePolicy& policy) {
  out.set_name(policy.name());
  out.set_allow_unknown(policy.unknown() == model::DevicePolicy::ALLOW);
  out.set_request(policy.unknown() == model::DevicePolicy::REQUEST);
}

void fill(ipc::VpnPool& out, const model::Pool& pool) {
  out.set_name(pool.name());
  for (const auto& text : pool.ranges()) {
    const auto span = *parse_address_entry(text);
    auto& range = *out.add_ranges();
    range.set_first(wire_of(span.low));
    range.set_last(wire_of(span.high));
  }
}

/// What rules make of somebody in these groups, without a device and with each kind of it; `key`: of its number.
template <typename Out, typename Key>
void fill_rights(Out& out, const DeviceConditions& devices, std::uint64_t groups, const std::set<std::string>& kinds, Ids& ids,
                 const Key& key) {
  out.set_permitted(devices.permits(groups));
  for (const std::string& kind : kinds) {
    auto& one = *out.add_with_device();
    one.set_group(kind);
    one.set_id(ids.number(IdKind::kUser, key(kind)));
    one.set_permitted(devices.permits(devices.groups_with(groups, kind)));
  }
}

void add_users(ipc::VpnTenant& out, const model::Tenant& tenant, const DeviceConditions& devices, Ids& ids) {
  const std::string& code = tenant.service_code();
  std::uint64_t everyone = 0;
  for (int i = 0; i < tenant.user_groups_size(); ++i) everyone |= std::uint64_t{tenant.user_groups(i).everyone() ? 1U : 0U} << i;
  out.set_stranger_permitted(devices.permits(everyone));
  for (const auto& user : tenant.users()) {
    ipc::VpnUser& one = *out.add_users();
    fill(one, user);
    one.set_id(ids.number(IdKind::kUser, user_key(code, user.name())));
    fill_rights(one, devices, group_mask(tenant, user.groups()) | everyone, devices.devices_of(user), ids,
                [&](const std::string& kind) { return device_user_key(code, user.name(), kind); });
  }
}

void fill(ipc::VpnRadius& out, const model::RadiusBackend& backend, const model::Tenant& tenant, const DeviceConditions& devices,
          Ids& ids) {
  const std::string& service_code = tenant.service_code();
  out.set_name(backend.name());
  out.set_port(ids.number(IdKind::kPort, port_key(service_code, backend.port())));
  out.set_source(wire_of(backend.source()));
  for (const auto& server : backend.servers()) {
    auto& to = *out.add_servers();
    to.set_address(wire_of(server.address()));
    to.set_secret(server.secret());
    to.set_port(server.port());
    to.set_accounting_port(server.accounting_port());
  }
  out.set_timeout_seconds(backend.timeout_seconds());
  out.set_tries(backend.tries());
  *out.mutable_realms() = backend.realms();
  out.set_group_by_class(backend.group_attribute() == model::RadiusBackend::CLASS);
  const auto add_group = [&](const std::string& value, const auto& groups) {
    auto& to = *out.add_groups();
    to.set_value(value);
    to.set_id(ids.number(IdKind::kUser, radius_group_key(service_code, backend.name(), value)));
    *to.mutable_groups() = groups;
    fill_rights(to, devices, group_mask(tenant, groups), devices.devices_of(groups), ids,
                [&](const std::string& kind) { return device_radius_key(service_code, backend.name(), value, kind); });
  };
  for (const auto& group : backend.groups()) add_group(group.value(), group.groups());
  add_group("", backend.default_groups());
  out.set_accounting(backend.accounting());
  out.set_interim_seconds(backend.interim_seconds());
  out.set_disconnect(backend.disconnect());
}

void add_pptp(ipc::VpnPptp& out, const model::Gateway& gateway, const std::string& code, Ids& ids) {
  out.set_owner(gateway.pptp().owner());
  // It stands on the profile, and ends with it.
  out.set_valid_until(std::min(*parse_civil(gateway.pptp().valid_until()), legacy_end(gateway).value_or(0)));
  out.set_port(ids.number(IdKind::kPort, port_key(code, gateway.port())));
  for (const auto& text : gateway.addresses()) {
    const Address address = *parse_address(text);
    if (address.family != Family::kIpv4) continue;
    auto& service = *out.add_services();
    service.set_address(wire_of(address));
    service.set_number(ids.number(IdKind::kService, service_key(code, to_string(address))));
  }
}

void add_sstp(ipc::VpnSstp& out, const model::Gateway& gateway, const std::string& code, Ids& ids) {
  fill(out, gateway);
  out.set_port(ids.number(IdKind::kPort, port_key(code, gateway.port())));
  for (const auto& text : gateway.addresses()) {
    const Address address = *parse_address(text);
    auto& service = *out.add_services();
    service.set_address(wire_of(address));
    service.set_number(ids.number(IdKind::kService, service_key(code, to_string(address))));
  }
}

}  // namespace

ipc::VpnConfig make_vpn_config(const model::Configuration& model, Ids& ids, std::uint32_t generation) {
  ipc::VpnConfig out;
  out.set_generation(generation);
  out.set_node(model.node());
  for (const auto& tenant : model.tenants()) {
    if (tenant.gateways_size() == 0) continue;
    auto& of = *out.add_tenants();
    const std::string& code = tenant.service_code();
    of.set_id(ids.number(IdKind::kTenant, tenant_key(code)));
    of.set_service_code(code);
    for (const auto& gateway : tenant.gateways()) {
      fill(*of.add_gateways(), gateway);
      of.mutable_gateways()->rbegin()->set_tunnel_port(ids.number(IdKind::kPort, port_key(code, gateway.tunnel())));
      if (gateway.has_l2tp()) fill(*of.mutable_gateways()->rbegin()->mutable_l2tp(), gateway.l2tp());
      if (gateway.has_pptp()) add_pptp(*of.mutable_gateways()->rbegin()->mutable_pptp(), gateway, code, ids);
      if (gateway.has_sstp()) add_sstp(*of.mutable_gateways()->rbegin()->mutable_sstp(), gateway, code, ids);
    }
    const DeviceConditions devices(tenant);
    add_users(of, tenant, devices, ids);
    for (const auto& group : tenant.user_groups()) fill(*of.add_groups(), group);
    for (const auto& pool : tenant.pools()) fill(*of.add_pools(), pool);
    of.set_sessions_max(tenant.remote_sessions_max());
    for (const auto& country : tenant.countries()) {
      auto& one = *of.add_countries();
      one.set_code(country.code());
      for (const auto& prefix : country.prefixes()) fill(*one.add_prefixes(), prefix);
    }
    for (const auto& device : tenant.devices()) fill(*of.add_devices(), device);
    for (const auto& policy : tenant.device_policies()) fill(*of.add_device_policies(), policy);
    for (const auto& backend : tenant.radius()) fill(*of.add_radius(), backend, tenant, devices, ids);
  }
  return out;
}

void wipe(std::string& text) {
  explicit_bzero(text.data(), text.size());
  text.clear();
}

void narrow_to_pptp(ipc::VpnConfig& config) {
  for (auto& tenant : *config.mutable_tenants()) {
    bool has_pptp = false;
    std::set<std::string> asked;  // backends that judge users of PPTP
    for (auto& gateway : *tenant.mutable_gateways()) {
      has_pptp |= gateway.has_pptp();
      if (gateway.has_pptp()) asked.insert(gateway.radius().begin(), gateway.radius().end());
      for (auto& key : *gateway.mutable_keys()) wipe(key);
      for (auto& key : *gateway.mutable_sstp()->mutable_keys()) wipe(key);
      for (auto& key : *gateway.mutable_l2tp()->mutable_keys()) wipe(*key.mutable_psk());
      gateway.clear_keys();
      gateway.clear_certificates();
      gateway.clear_sstp();
      gateway.clear_l2tp();
      if (!gateway.has_pptp()) gateway.clear_radius();
    }
    for (auto& user : *tenant.mutable_users()) {
      if (!has_pptp) wipe(*user.mutable_nt_hash());
      if (!has_pptp) user.clear_nt_hash();
      wipe(*user.mutable_psk());
      wipe(*user.mutable_ppk());
      user.clear_psk();
      user.clear_ppk();
    }
    auto& backends = *tenant.mutable_radius();
    for (int i = backends.size() - 1; i >= 0; --i) {
      if (asked.contains(backends[i].name())) continue;
      for (auto& server : *backends[i].mutable_servers()) wipe(*server.mutable_secret());
      backends.DeleteSubrange(i, 1);
    }
  }
}

void wipe_secrets(ipc::VpnConfig& config) {
  for (auto& tenant : *config.mutable_tenants()) {
    for (auto& gateway : *tenant.mutable_gateways()) {
      for (auto& key : *gateway.mutable_keys()) wipe(key);
      for (auto& key : *gateway.mutable_sstp()->mutable_keys()) wipe(key);
      for (auto& key : *gateway.mutable_l2tp()->mutable_keys()) wipe(*key.mutable_psk());
    }
    for (auto& user : *tenant.mutable_users()) {
      wipe(*user.mutable_nt_hash());
      wipe(*user.mutable_psk());
      wipe(*user.mutable_ppk());
    }
    for (auto& backend : *tenant.mutable_radius()) {
      for (auto& server : *backend.mutable_servers()) wipe(*server.mutable_secret());
    }
  }
  config.Clear();
}

}  // namespace sekisho::control
