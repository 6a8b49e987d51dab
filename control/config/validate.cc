// SPDX-License-Identifier: Apache-2.0
// Overview: the whole document and what tenants share (NICs, uplinks, wires, public prefixes) here; one tenant in
// validate_tenant.cc, its objects in validate_objects.cc, its policies in validate_policies.cc.
#include "control/config/validate.h"

#include <algorithm>
#include <tuple>

#include "base/limits.h"
#include "base/service_code.h"
#include "base/net/address.h"
#include "control/config/text.h"
#include "control/config/validate_parts.h"

namespace sekisho::control {
namespace {

// IPv6 needs 1280 (RFC 8200 section 5); 22 bytes of a frame are Ethernet and two tags.
constexpr std::uint32_t kMtuMin = 1280;
constexpr std::uint32_t kMtuMax = limits::kFrameBytesMax - 22;

bool is_node(std::string_view text) {
  return !text.empty() && text.size() <= 31 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

void check_mtu(Reporter& reporter, const Path& path, std::uint32_t mtu, std::uint32_t most) {
  if (mtu < kMtuMin || mtu > most) {
    reporter.error(path, "an MTU here lies between " + std::to_string(kMtuMin) + " and " + std::to_string(most));
  }
}

class Document {
 public:
  Document(Reporter& reporter, const model::Configuration& model) : reporter_(reporter), model_(model) {}

  void check() {
    if (!is_node(model_.node())) reporter_.error(Path(root_, "node"), "a node is named by 1 to 31 of a-z, 0-9, - and _");
    check_nics();
    check_uplinks();
    check_tenants();
    check_wires();
    check_shares();
    check_guards();
    validate_sign_in(reporter_, model_.sign_in(), Path(root_, "sign_in"));
    validate_notify(reporter_, model_.notify(), Path(root_, "notify"));
    validate_responders(reporter_, model_.responders(), Path(root_, "responders"));
    validate_exports(reporter_, model_, nullptr, Path(root_, "log_exports"));
  }

 private:
  void check_nics() {
    check_count(reporter_, Path(root_, "nics"), static_cast<std::size_t>(model_.nics_size()), limits::kNicsMax, "NICs");
    index_names(reporter_, root_, "nics", model_.nics(), platform_.nics);
    NameIndex devices;
    for (int i = 0; i < model_.nics_size(); ++i) {
      const Path here(root_, "nics", i);
      const auto& nic = model_.nics(i);
      const Path device(here, "device");
      check_name(reporter_, device, nic.device());
      if (!devices.emplace(nic.device(), i).second) {
        reporter_.error(device, "the device \"" + nic.device() + "\" is used twice");
      }
      check_mtu(reporter_, Path(here, "mtu"), nic.mtu(), kMtuMax);
    }
  }

  void check_guards() {
    check_count(reporter_, Path(root_, "guards"), static_cast<std::size_t>(model_.guards_size()), limits::kGuardsMax, "guards");
    NameIndex names;
    index_names(reporter_, root_, "guards", model_.guards(), names);
    for (int i = 0; i < model_.guards_size(); ++i) {
      const Path here(root_, "guards", i);
      const auto& guard = model_.guards(i);
      for (int t = 0; t < guard.tenants_size(); ++t) check_guarded(Path(here, "tenants", t), guard.tenants(t));
      check_guard_ends(here, "source", guard.source());
      check_guard_ends(here, "destination", guard.destination());
      const auto protocol = parse_protocol(guard.protocol());
      if (!protocol) reporter_.error(Path(here, "protocol"), '"' + guard.protocol() + "\" is not tcp, udp, icmp, icmpv6, any or 0 to 255");
      if (protocol && !protocol->has_ports() && guard.destination_ports_size() > 0) {
        reporter_.error(Path(here, "destination_ports"), "only tcp and udp have ports");
      }
      check_count(reporter_, Path(here, "destination_ports"), static_cast<std::size_t>(guard.destination_ports_size()),
                  limits::kServiceDestinationsMax, "ports");
      for (int p = 0; p < guard.destination_ports_size(); ++p) {
        if (parse_port_range(guard.destination_ports(p))) continue;
        reporter_.error(Path(here, "destination_ports", p), '"' + guard.destination_ports(p) + "\" is not a port or a range of ports");
      }
    }
  }

  void check_guarded(const Path& here, const std::string& code) {
    const bool known = std::any_of(model_.tenants().begin(), model_.tenants().end(),
                                   [&](const auto& tenant) { return tenant.service_code() == code; });
    if (!known) reporter_.no_such_name(here, {"tenants"}, "there is no tenant with the service code \"" + code + '"');
  }

  void check_guard_ends(const Path& guard, std::string_view field, const Strings& entries) {
    check_count(reporter_, Path(guard, field), static_cast<std::size_t>(entries.size()), limits::kAddressEntriesPerObjectMax, "entries");
    for (int i = 0; i < entries.size(); ++i) {
      if (parse_address_entry(entries[i])) continue;
      reporter_.error(Path(guard, field, i), '"' + entries[i] + "\" is not an address, a prefix or a range of addresses");
    }
  }

  void check_uplinks() {
    index_names(reporter_, root_, "uplinks", model_.uplinks(), platform_.uplinks);
    for (int i = 0; i < model_.uplinks_size(); ++i) {
      const Path here(root_, "uplinks", i);
      const auto& uplink = model_.uplinks(i);
      check_nic(here, uplink.nic(), uplink.mtu());
      check_vlans(reporter_, here, uplink.outer_vlan(), uplink.outer_tag(), uplink.inner_vlan());
      for (int a = 0; a < uplink.addresses_size(); ++a) {
        check_interface_address(reporter_, Path(here, "addresses", a), uplink.addresses(a));
      }
    }
  }

  void check_nic(const Path& here, const std::string& name, std::uint32_t mtu) {
    const auto nic = platform_.nics.find(name);
    if (nic == platform_.nics.end()) {
      reporter_.no_such_name(Path(here, "nic"), {"nics"}, "there is no NIC named \"" + name + '"');
    } else if (mtu != 0) {
      check_mtu(reporter_, Path(here, "mtu"), mtu, model_.nics(nic->second).mtu());
    }
  }

  void check_tenants() {
    check_count(reporter_, Path(root_, "tenants"), static_cast<std::size_t>(model_.tenants_size()), limits::kTenantsMax, "tenants");
    NameIndex names;
    NameIndex codes;
    index_names(reporter_, root_, "tenants", model_.tenants(), names);
    std::size_t ports = static_cast<std::size_t>(model_.uplinks_size());
    std::size_t bindings = 0;
    std::size_t rules = 0;
    std::size_t users = 0;
    for (int i = 0; i < model_.tenants_size(); ++i) {
      const Path here(root_, "tenants", i);
      const auto& tenant = model_.tenants(i);
      const Path code(here, "service_code");
      if (!is_service_code(tenant.service_code())) {
        reporter_.error(code, "a service code is three letters a-z and eight digits, like acm00000001");
      }
      if (tenant.service_code() == kProviderStream)
        reporter_.error(code, "the service code " + tenant.service_code() + " is the provider's own");
      if (!codes.emplace(tenant.service_code(), i).second) {
        reporter_.error(code, "the service code " + tenant.service_code() + " is used twice");
      }
      validate_tenant(reporter_, model_, tenant, here, platform_);
      for (int p = 0; p < tenant.ports_size(); ++p) check_port_nic(Path(here, "ports", p), tenant.ports(p));
      ports += static_cast<std::size_t>(tenant.ports_size());
      bindings += static_cast<std::size_t>(tenant.bindings_size());
      users += static_cast<std::size_t>(tenant.users_size());
      for (const auto& policy : tenant.policies()) rules += static_cast<std::size_t>(policy.rules_size());
    }
    for (const auto& [name, i] : names) {  // people say either: one tenant's name may not be taken for another
      const auto at = codes.find(name);
      const Path here(root_, "tenants", i);
      if (at != codes.end() && at->second != i) reporter_.error(Path(here, "name"), "this name is another tenant's service code");
    }
    check_count(reporter_, Path(root_, "tenants"), ports, limits::kPortsMax, "ports and uplinks in all");
    check_count(reporter_, Path(root_, "tenants"), bindings, limits::kBindingsMax, "bindings in all");
    check_count(reporter_, Path(root_, "tenants"), rules, limits::kRulesMax, "rules in all");
    check_count(reporter_, Path(root_, "tenants"), users, limits::kUsersMax, "users in all");
  }

  void check_port_nic(const Path& here, const model::Port& port) {
    if (port.kind() != model::Port::SHARE && port.kind() != model::Port::TUNNEL) check_nic(here, port.nic(), port.mtu());
  }

  /// One wire (NIC and tags) belongs to one port or uplink: it is where a packet's tenant comes from.
  void check_wires() {
    using Wire = std::tuple<std::string_view, std::uint32_t, std::uint32_t>;
    std::map<Wire, std::string> owners;
    const auto claim = [&](const Path& here, const Wire& wire, std::string who) {
      const auto [owner, fresh] = owners.emplace(wire, std::move(who));
      if (!fresh) reporter_.error(Path(here, "nic"), "this NIC and VLAN already belong to " + owner->second);
    };
    for (int i = 0; i < model_.uplinks_size(); ++i) {
      const auto& uplink = model_.uplinks(i);
      claim(Path(root_, "uplinks", i), {uplink.nic(), uplink.outer_vlan(), uplink.inner_vlan()}, "uplink \"" + uplink.name() + '"');
    }
    for (int t = 0; t < model_.tenants_size(); ++t) {
      const Path tenant(root_, "tenants", t);
      for (int p = 0; p < model_.tenants(t).ports_size(); ++p) {
        const auto& port = model_.tenants(t).ports(p);
        if (port.kind() == model::Port::SHARE || port.kind() == model::Port::TUNNEL) continue;
        claim(Path(tenant, "ports", p), {port.nic(), port.outer_vlan(), port.inner_vlan()},
              "port \"" + port.name() + "\" of tenant \"" + model_.tenants(t).name() + '"');
      }
    }
  }

  struct Claim {
    Prefix prefix;
    int tenant;
    int port;
    int index;
    std::string_view uplink;
  };

  /// A prefix on an uplink leads to one share: nested and equal ones of different owners are refused.
  void check_shares() {
    std::vector<Claim> claims;
    for (int t = 0; t < model_.tenants_size(); ++t) {
      for (int p = 0; p < model_.tenants(t).ports_size(); ++p) {
        const auto& port = model_.tenants(t).ports(p);
        for (int i = 0; i < port.prefixes_size(); ++i) {
          if (const auto prefix = parse_prefix(port.prefixes(i))) claims.push_back({*prefix, t, p, i, port.uplink()});
        }
      }
    }
    std::stable_sort(claims.begin(), claims.end(), [](const Claim& a, const Claim& b) {
      return std::tie(a.prefix.address, a.prefix.length) < std::tie(b.prefix.address, b.prefix.length);
    });
    std::vector<const Claim*> around;
    for (const Claim& claim : claims) {
      while (!around.empty() && !around.back()->prefix.contains(claim.prefix.address)) around.pop_back();
      for (const Claim* outer : around) check_two_claims(*outer, claim);
      around.push_back(&claim);
      if (around.size() > kNestingMax) around.erase(around.begin());
    }
  }

  void check_two_claims(const Claim& a, const Claim& b) {
    const bool same_port = a.tenant == b.tenant && a.port == b.port;
    if (same_port || (a.tenant == b.tenant && a.uplink != b.uplink)) return;
    const bool a_later = std::tie(a.tenant, a.port, a.index) > std::tie(b.tenant, b.port, b.index);
    const Claim& later = a_later ? a : b;
    const Claim& first = a_later ? b : a;
    const Path tenant(root_, "tenants", later.tenant);
    const Path port(tenant, "ports", later.port);
    reporter_.error(Path(port, "prefixes", later.index),
                    to_string(later.prefix) + " overlaps " + to_string(first.prefix) + " of tenant \"" +
                        model_.tenants(first.tenant).name() + "\"; an address on an uplink has one owner");
  }

  static constexpr std::size_t kNestingMax = 130;  // more distinct nested prefixes of one family do not exist
  Reporter& reporter_;
  const model::Configuration& model_;
  Platform platform_;
  const Path root_;
};

}  // namespace

void check_name(Reporter& reporter, const Path& path, const std::string& name) {
  if (name.empty()) return reporter.error(path, "a name is not empty");
  if (name.size() > limits::kNameBytesMax || count_characters(name) > limits::kNameCharactersMax) {
    return reporter.error(path, "a name has at most " + std::to_string(limits::kNameCharactersMax) + " characters");
  }
  if (find_bad_text(name) != std::string::npos || name.find_first_of("\t\n\r") != std::string::npos) {
    return reporter.error(path, "a name holds no control characters");
  }
  if (!is_nfc(name)) {
    return reporter.error(path, "the name is not in Unicode normalization form C: it could look like another one");
  }
  if (name.front() == ' ' || name.back() == ' ') reporter.error(path, "a name neither begins nor ends with a space");
}

void check_count(Reporter& reporter, const Path& path, std::size_t count, std::size_t most, std::string_view what) {
  if (count <= most) return;
  reporter.error(path, "there are " + std::to_string(count) + ' ' + std::string(what) + "; at most " + std::to_string(most) +
                           " are accepted");
}

void check_interface_address(Reporter& reporter, const Path& path, const std::string& text) {
  const auto prefix = parse_prefix(text);
  if (!prefix || text.find('/') == std::string::npos) {
    return reporter.error(path, '"' + text + "\" is not an address with its prefix length, like 10.0.0.1/24 or fd00::1/64");
  }
  const Address& address = prefix->address;
  if (address.is_multicast() || address.is_unspecified() || address.is_loopback()) {
    return reporter.error(path, to_string(address) + " cannot be an interface's own address");
  }
  if (address.family == Family::kIpv6 && address.is_link_local()) {
    return reporter.error(path, "link-local addresses come from the port's MAC and are not configured");
  }
  if (address.family != Family::kIpv4 || prefix->length >= 31) return;
  if (address == prefix->first() || address == prefix->last()) {
    reporter.error(path, to_string(address) + " is the network or broadcast address of " + to_string(*prefix));
  }
}

void check_vlans(Reporter& reporter, const Path& path, std::uint32_t outer, model::OuterTag tag, std::uint32_t inner) {
  if (outer > 4094) reporter.error(Path(path, "outer_vlan"), "a VLAN id lies between 1 and 4094; 0 means untagged");
  if (inner > 4094) reporter.error(Path(path, "inner_vlan"), "a VLAN id lies between 1 and 4094; 0 means no second tag");
  if (inner != 0 && outer == 0) reporter.error(Path(path, "inner_vlan"), "an inner VLAN needs an outer one");
  if (tag != model::DOT1Q && outer == 0) reporter.error(Path(path, "outer_tag"), "an 802.1ad tag needs an outer VLAN");
}

std::vector<Finding> validate(const Decoded& decoded) {
  if (!decoded.whole) return decoded.findings;
  Reporter reporter(decoded.positions, &decoded.refused, decoded.findings);
  Document(reporter, decoded.model).check();
  return reporter.take();
}

}  // namespace sekisho::control
