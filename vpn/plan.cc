// SPDX-License-Identifier: Apache-2.0
#include "vpn/plan.h"

#include <string.h>

#include <algorithm>
#include <tuple>

#include "base/crypto/sha256.h"
#include "base/net/endian.h"
#include "base/net/service_address.h"
#include "base/proto/control_vpn.pb.h"

namespace sekisho::vpn {
namespace {

constexpr Error kBad{ErrorCode::kMalformed, ErrorSite::kIpc, 0};
constexpr std::uint32_t kMinutesADay = 24 * 60;
constexpr std::size_t kNtHashBytes = 16;
constexpr int kRadiusServersMax = 4;

Result<Address> address_of(const std::string& bytes) {
  return Address::from_wire({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}

template <typename Repeated>
Result<std::vector<Address>> addresses_of(const Repeated& from) {
  std::vector<Address> out;
  for (const std::string& bytes : from) {
    SEKISHO_TRY(out.emplace_back(), address_of(bytes));
  }
  return out;
}

template <typename Repeated>
Result<std::vector<Prefix>> prefixes_of(const Repeated& from) {
  std::vector<Prefix> out;
  for (const auto& one : from) {
    SEKISHO_TRY(const Address address, address_of(one.address()));
    if (one.length() > address.bits()) return kBad;
    out.push_back({address, static_cast<std::uint8_t>(one.length())});
  }
  return out;
}

std::vector<std::string> texts_of(const auto& from) { return {from.begin(), from.end()}; }

Result<std::vector<DoorMethod>> methods_of(const auto& from) {
  std::vector<DoorMethod> out;
  for (const int one : from) {
    if (one < 0 || one > static_cast<int>(DoorMethod::kEapRadius)) return kBad;
    out.push_back(static_cast<DoorMethod>(one));
  }
  return out;
}

Result<std::unique_ptr<const SstpPlan>> sstp_of(const ipc::VpnSstp& from, const std::vector<std::string>& vouching) {
  auto out = std::make_unique<SstpPlan>();
  SEKISHO_TRY(out->accept, methods_of(from.accept()));
  out->sha1 = from.sha1();
  out->aes128 = from.aes128();
  out->certificates = texts_of(from.certificates());
  out->keys = texts_of(from.keys());
  out->ocsp = texts_of(from.ocsp());
  out->vouching = vouching;
  out->port = from.port();
  if (out->certificates.size() != out->keys.size()) return kBad;
  if (!out->ocsp.empty() && out->ocsp.size() != out->certificates.size()) return kBad;
  for (const ipc::VpnService& one : from.services()) {
    SEKISHO_TRY(const Address address, address_of(one.address()));
    if (one.number() == 0 || one.number() > kServiceIdMax || !out->services.emplace(one.number(), address).second) return kBad;
  }
  return std::unique_ptr<const SstpPlan>(std::move(out));
}

Result<std::unique_ptr<const L2tpPlan>> l2tp_of(const ipc::VpnL2tp& from) {
  auto out = std::make_unique<L2tpPlan>();
  SEKISHO_TRY(out->accept, methods_of(from.accept()));
  out->certificates = from.certificates();
  for (const ipc::VpnL2tpKey& key : from.keys()) {
    if (key.psk().empty()) return kBad;
    SEKISHO_TRY(std::vector<Prefix> prefixes, prefixes_of(key.from()));
    out->keys.push_back({std::move(prefixes), Secret(key.psk())});
  }
  return std::unique_ptr<const L2tpPlan>(std::move(out));
}

Result<PptpPlan> pptp_of(const ipc::VpnPptp& from) {
  PptpPlan out{from.owner(), from.valid_until(), {}, from.port()};
  for (const ipc::VpnService& one : from.services()) {
    SEKISHO_TRY(const Address address, address_of(one.address()));
    const bool sound = address.family == Family::kIpv4 && one.number() != 0 && one.number() <= kServiceIdMax;
    if (!sound || !out.services.emplace(one.number(), address).second) return kBad;
  }
  return out;
}

Result<GatewayPlan> gateway_of(std::uint32_t tenant, const ipc::VpnGateway& from) {
  GatewayPlan out;
  Gateway& gateway = out.gateway;
  const auto profile = crypto_profile_named(from.profile());
  if (from.name().empty() || !profile) return kBad;
  gateway.tenant = tenant;
  gateway.name = from.name();
  SEKISHO_TRY(gateway.addresses, addresses_of(from.addresses()));
  gateway.identity = from.identity();
  gateway.profile = *profile;
  gateway.accept_certificate = from.accept_certificate();
  gateway.accept_eap_mschapv2 = from.accept_eap_mschapv2();
  gateway.accept_psk = from.accept_psk();
  gateway.accept_eap_tls = from.accept_eap_tls();
  gateway.certificates = texts_of(from.certificates());
  gateway.keys = texts_of(from.keys());
  gateway.gateway_cas = texts_of(from.gateway_cas());
  gateway.client_cas = texts_of(from.client_cas());
  gateway.crls = texts_of(from.crls());
  gateway.device_cas = texts_of(from.device_cas());
  gateway.admit_without_list = from.admit_without_list();
  gateway.ocsp_url = from.ocsp_url();
  gateway.admit_without_answer = from.admit_without_answer();
  if (!ipc::VpnGateway::Ppk_IsValid(from.ppk())) return kBad;
  gateway.ppk = static_cast<Gateway::Ppk>(from.ppk());
  SEKISHO_TRY(gateway.networks, prefixes_of(from.networks()));
  SEKISHO_TRY(gateway.dns, addresses_of(from.dns()));
  gateway.dns_domains = texts_of(from.dns_domains());
  const auto take = [](auto& to, auto value) {
    if (value != 0) to = value;
  };
  take(gateway.ike_rekey_seconds, from.ike_rekey_seconds());
  take(gateway.child_rekey_seconds, from.child_rekey_seconds());
  take(gateway.child_life_seconds, from.child_life_seconds());
  take(gateway.dpd_seconds, from.dpd_seconds());
  take(gateway.replay_window, from.replay_window());
  gateway.child_rekey_bytes = from.child_rekey_bytes();
  gateway.child_life_bytes = from.child_life_bytes();
  gateway.force_udp_encapsulation = from.force_udp_encapsulation();
  out.tunnel_port = from.tunnel_port();
  out.idle_seconds = from.idle_seconds();
  out.session_seconds_max = from.session_seconds_max();
  out.default_group = from.default_group();
  out.refuse_if_no_permit = from.refuse_if_no_permit();
  gateway.accept_eap_radius = from.accept_eap_radius();
  out.code = from.code();
  out.legacy_until = from.legacy_until();
  out.radius = texts_of(from.radius());
  if (from.has_pptp()) {
    SEKISHO_TRY(out.pptp, pptp_of(from.pptp()));
  }
  if (from.has_sstp()) {
    SEKISHO_TRY(out.sstp, sstp_of(from.sstp(), gateway.gateway_cas));
  }
  if (from.has_l2tp()) {
    SEKISHO_TRY(out.l2tp, l2tp_of(from.l2tp()));
  }
  return out;
}

template <typename T>
Result<RightsPlan> rights_of(const T& from) {
  RightsPlan out{from.permitted(), {}};
  for (const ipc::VpnDeviceId& one : from.with_device()) {
    if (one.id() == 0 || !out.with_device.emplace(one.group(), DeviceIdPlan{one.id(), one.permitted()}).second) return kBad;
  }
  return out;
}

Result<UserPlan> user_of(const ipc::VpnUser& from) {
  UserPlan out;
  if (from.name().empty() || from.id() == 0 || (!from.nt_hash().empty() && from.nt_hash().size() != kNtHashBytes)) return kBad;
  SEKISHO_TRY(std::vector<Address> own, addresses_of(from.static_addresses()));
  SEKISHO_TRY(RightsPlan rights, rights_of(from));
  return UserPlan{from.id(), from.name(), Secret(from.nt_hash()), Secret(from.psk()), from.suspended(), texts_of(from.groups()),
                  std::move(own), from.ppk_id(), Secret(from.ppk()), std::move(rights)};
}

Result<GroupPlan> group_of(const ipc::VpnGroup& from) {
  GroupPlan out{from.name(), from.priority(), from.pool(), from.sessions_per_user(), from.replace_oldest(), {}, {},
                from.sessions_max(), from.everyone(), texts_of(from.source_countries()), from.device_policy()};
  if (from.name().empty()) return kBad;
  SEKISHO_TRY(out.source_prefixes, prefixes_of(from.source_prefixes()));
  for (const ipc::VpnWindow& one : from.login()) {
    if (one.weekdays() > 0x7f || one.from_minute() > kMinutesADay || one.to_minute() > kMinutesADay) return kBad;
    out.login.push_back({one.weekdays(), one.from_minute(), one.to_minute()});
  }
  return out;
}

Result<std::vector<AddressRange>> pool_of(const ipc::VpnPool& from) {
  std::vector<AddressRange> out;
  for (const ipc::VpnRange& one : from.ranges()) {
    SEKISHO_TRY(const Address first, address_of(one.first()));
    SEKISHO_TRY(const Address last, address_of(one.last()));
    if (first.family != last.family || last < first) return kBad;
    out.push_back({first, last});
  }
  return out;
}

Result<void> take_devices(const ipc::VpnTenant& from, TenantPlan& out) {
  for (const ipc::VpnDevice& one : from.devices()) {
    if (one.name().empty() || !ipc::VpnDevice::State_IsValid(one.state())) return kBad;
    const auto device = std::make_shared<const DevicePlan>(
        DevicePlan{one.name(), one.label(), folded(one.owner()), one.owner_group(), one.group(), one.os(),
                   static_cast<DevicePlan::State>(one.state()), one.valid_until()});
    for (const std::string& serial : one.serials()) {
      if (!out.devices.emplace(serial, device).second) return kBad;
    }
    for (const std::string& name : one.identifiers()) {
      if (name.empty() || !out.device_names.emplace(folded(name), device).second) return kBad;
    }
  }
  for (const ipc::VpnDevicePolicy& one : from.device_policies()) {
    out.device_policies.emplace(one.name(), one.allow_unknown() ? UnknownDevice::kAllow
                                            : one.request()     ? UnknownDevice::kRequest
                                                                : UnknownDevice::kDeny);
  }
  return {};
}

Result<RadiusPlan> radius_of(const ipc::VpnRadius& from) {
  constexpr std::uint32_t kPortMax = 65535;
  RadiusPlan out;
  if (from.name().empty() || from.servers().empty() || from.servers_size() > kRadiusServersMax || from.groups().empty()) return kBad;
  out.name = from.name();
  out.port = from.port();
  SEKISHO_TRY(out.source, address_of(from.source()));
  for (const ipc::VpnRadiusServer& one : from.servers()) {
    SEKISHO_TRY(const Address address, address_of(one.address()));
    const bool ports = one.port() != 0 && one.port() <= kPortMax && one.accounting_port() != 0 && one.accounting_port() <= kPortMax;
    if (!ports || one.secret().empty() || address.family != out.source.family) return kBad;
    out.servers.push_back({address, Secret(one.secret()), static_cast<std::uint16_t>(one.port()),
                           static_cast<std::uint16_t>(one.accounting_port())});
  }
  out.timeout_seconds = std::max(1U, from.timeout_seconds());
  out.tries = std::max(1U, from.tries());
  for (const std::string& realm : from.realms()) out.realms.push_back(folded(realm));
  out.group_by_class = from.group_by_class();
  for (const ipc::VpnRadiusGroup& one : from.groups()) {
    if (one.id() == 0) return kBad;
    SEKISHO_TRY(RightsPlan rights, rights_of(one));
    out.groups.push_back({one.value(), one.id(), texts_of(one.groups()), std::move(rights)});
  }
  if (!out.groups.back().value.empty()) return kBad;
  out.accounting = from.accounting();
  out.interim_seconds = from.interim_seconds();
  out.disconnect = from.disconnect();
  return out;
}

Result<TenantPlan> tenant_of(const ipc::VpnTenant& from) {
  TenantPlan out;
  if (from.id() == 0) return kBad;
  out.id = from.id();
  out.service_code = from.service_code();
  out.sessions_max = from.sessions_max();
  out.stranger_permitted = from.stranger_permitted();
  for (const ipc::VpnCountry& one : from.countries()) {
    SEKISHO_TRY(out.countries[one.code()], prefixes_of(one.prefixes()));
  }
  for (const ipc::VpnGateway& one : from.gateways()) {
    SEKISHO_TRY(GatewayPlan gateway, gateway_of(from.id(), one));
    out.gateways.push_back(std::move(gateway));
  }
  for (const ipc::VpnUser& one : from.users()) {
    SEKISHO_TRY(UserPlan user, user_of(one));
    out.reserved.insert(user.static_addresses.begin(), user.static_addresses.end());
    if (!one.ppk_id().empty() && !out.ppk_owners.emplace(one.ppk_id(), folded(one.name())).second) return kBad;
    if (!out.users.emplace(folded(one.name()), std::move(user)).second) return kBad;
  }
  for (const ipc::VpnGroup& one : from.groups()) {
    SEKISHO_TRY(GroupPlan group, group_of(one));
    out.groups.emplace(one.name(), std::move(group));
  }
  SEKISHO_CHECK_OK(take_devices(from, out));
  for (const ipc::VpnPool& one : from.pools()) {
    SEKISHO_TRY(std::vector<AddressRange> ranges, pool_of(one));
    out.pools.emplace(one.name(), std::move(ranges));
  }
  for (const ipc::VpnRadius& one : from.radius()) {
    SEKISHO_TRY(RadiusPlan backend, radius_of(one));
    out.radius.push_back(std::move(backend));
  }
  return out;
}

/// The message's own copies of secrets.
void wipe_message(ipc::VpnConfig& message) {
  for (ipc::VpnTenant& tenant : *message.mutable_tenants()) {
    for (ipc::VpnUser& user : *tenant.mutable_users()) {
      wipe(*user.mutable_nt_hash());
      wipe(*user.mutable_psk());
      wipe(*user.mutable_ppk());
    }
    for (ipc::VpnGateway& gateway : *tenant.mutable_gateways()) {
      for (std::string& key : *gateway.mutable_keys()) wipe(key);
      for (ipc::VpnL2tpKey& key : *gateway.mutable_l2tp()->mutable_keys()) wipe(*key.mutable_psk());
      if (!gateway.has_sstp()) continue;
      for (std::string& key : *gateway.mutable_sstp()->mutable_keys()) wipe(key);
    }
    for (ipc::VpnRadius& backend : *tenant.mutable_radius()) {
      for (ipc::VpnRadiusServer& server : *backend.mutable_servers()) wipe(*server.mutable_secret());
    }
  }
}

Result<std::shared_ptr<const Plan>> plan_of(const ipc::VpnConfig& message) {
  auto out = std::make_shared<Plan>();
  out->generation = message.generation();
  out->node = message.node();
  if (message.has_memory()) out->memory = std::make_shared<ipc::VpnMemory>(message.memory());
  for (const ipc::VpnTenant& one : message.tenants()) {
    SEKISHO_TRY(TenantPlan tenant, tenant_of(one));
    if (!out->tenants.emplace(one.id(), std::move(tenant)).second) return kBad;
  }
  return std::shared_ptr<const Plan>(std::move(out));
}

}  // namespace

void wipe(std::string& text) { ::explicit_bzero(text.data(), text.size()); }

std::uint64_t mark_of(ByteSpan secret) {
  constexpr std::string_view kUse = "sekisho mark of a secret";
  if (secret.empty()) return 0;
  Sha256 hash;
  hash.update({reinterpret_cast<const std::uint8_t*>(kUse.data()), kUse.size()});
  hash.update(secret);
  return load_be<std::uint64_t>(hash.finish(), 0) | 1U;
}

Secret::~Secret() {
  if (!bytes_.empty()) ::explicit_bzero(bytes_.data(), bytes_.size());
}

SstpPlan::~SstpPlan() {
  for (std::string& key : keys) wipe(key);
}

GatewayPlan::~GatewayPlan() {
  for (std::string& key : gateway.keys) wipe(key);
}

std::string folded(std::string_view name) {
  std::string out(name);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

const TenantPlan* Plan::tenant(std::uint32_t id) const {
  const auto found = tenants.find(id);
  return found == tenants.end() ? nullptr : &found->second;
}

const GatewayPlan* TenantPlan::gateway(std::string_view name) const {
  const auto found = std::find_if(gateways.begin(), gateways.end(), [name](const GatewayPlan& one) { return one.gateway.name == name; });
  return found == gateways.end() ? nullptr : &*found;
}

std::string TenantPlan::gateway_at(const Address& address) const {
  const auto has = [&address](const GatewayPlan& one) {
    return std::find(one.gateway.addresses.begin(), one.gateway.addresses.end(), address) != one.gateway.addresses.end();
  };
  const auto found = std::find_if(gateways.begin(), gateways.end(), has);
  return found == gateways.end() ? std::string() : found->gateway.name;
}

std::string TenantPlan::code_of(std::string_view gateway_name) const {
  const GatewayPlan* found = gateway(gateway_name);
  return found == nullptr ? std::string() : found->code;
}

const UserPlan* TenantPlan::user(std::string_view name) const {
  const auto found = users.find(folded(name));
  return found == users.end() ? nullptr : &found->second;
}

const GroupPlan* TenantPlan::group_of(std::span<const std::string> of_user, const GatewayPlan& at) const {
  const GroupPlan* best = nullptr;
  for (const std::string& name : groups_of(of_user)) {
    const auto found = groups.find(name);
    if (found == groups.end() || found->second.pool.empty()) continue;  // of rules only
    const GroupPlan& group = found->second;
    if (best == nullptr || std::tie(group.priority, group.name) < std::tie(best->priority, best->name)) best = &group;
  }
  if (best != nullptr) return best;
  const auto found = groups.find(at.default_group);
  return found == groups.end() || found->second.pool.empty() ? nullptr : &found->second;
}

std::vector<std::string> TenantPlan::groups_of(std::span<const std::string> named) const {
  std::vector<std::string> out(named.begin(), named.end());
  for (const auto& [name, group] : groups) {
    if (group.everyone && std::find(out.begin(), out.end(), name) == out.end()) out.push_back(name);
  }
  return out;
}

std::string TenantPlan::country_of(const Address& address) const {
  const std::string* best = nullptr;
  int length = -1;
  for (const auto& [code, prefixes] : countries) {
    for (const Prefix& one : prefixes) {
      if (one.length <= length || !one.contains(address)) continue;
      length = one.length;
      best = &code;
    }
  }
  return best == nullptr ? std::string() : *best;
}

const RadiusPlan* TenantPlan::backend(std::string_view name) const {
  const auto found = std::find_if(radius.begin(), radius.end(), [name](const RadiusPlan& one) { return one.name == name; });
  return found == radius.end() ? nullptr : &*found;
}

const RadiusGroupPlan* TenantPlan::radius_group(std::uint32_t wanted) const {
  if (wanted == 0) return nullptr;
  for (const RadiusPlan& one : radius) {
    const auto found = std::ranges::find_if(one.groups, [wanted](const RadiusGroupPlan& group) {
      const auto is = [wanted](const auto& each) { return each.second.id == wanted; };
      return group.id == wanted || std::ranges::any_of(group.rights.with_device, is);
    });
    if (found != one.groups.end()) return &*found;
  }
  return nullptr;
}

const RadiusPlan* TenantPlan::backend_of(std::string_view name, const GatewayPlan& at, bool local) const {
  const std::string whole = folded(name);
  const std::size_t sign = whole.rfind('@');
  const RadiusPlan* any = nullptr;
  for (const std::string& one : at.radius) {
    const RadiusPlan* found = backend(one);
    if (found == nullptr) continue;
    if (found->realms.empty()) {
      any = any == nullptr ? found : any;
    } else if (sign != std::string::npos && std::ranges::find(found->realms, whole.substr(sign + 1)) != found->realms.end()) {
      return found;
    }
  }
  const UserPlan* own = local ? user(whole) : nullptr;
  return own != nullptr && !own->nt_hash.bytes().empty() ? nullptr : any;
}

const RadiusGroupPlan& RadiusPlan::group_of(const std::vector<std::string>& values) const {
  const auto found = std::find_if(groups.begin(), groups.end() - 1, [&values](const RadiusGroupPlan& one) {
    return std::find(values.begin(), values.end(), one.value) != values.end();
  });
  return *found;
}

Result<std::shared_ptr<const Plan>> parse_plan(ByteSpan bytes) {
  ipc::VpnConfig message;
  const bool read = message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  auto plan = read ? plan_of(message) : Result<std::shared_ptr<const Plan>>(kBad);
  wipe_message(message);
  return plan;
}

}  // namespace sekisho::vpn
