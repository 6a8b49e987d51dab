// SPDX-License-Identifier: Apache-2.0
// RADIUS backends of a tenant (specification 3.6). Sentences never repeat a secret.
#include <algorithm>
#include <cctype>
#include <set>

#include "base/limits.h"
#include "control/config/text.h"
#include "control/config/validate_parts.h"

namespace sekisho::control {
namespace {

constexpr std::size_t kSecretBytesMin = 16;  // of RFC 2865 3
constexpr std::size_t kSecretBytesMax = 128;
constexpr std::size_t kRealmsMax = 32;
constexpr std::size_t kValueBytesMax = 253;  // what an attribute holds

class RadiusCheck {
 public:
  RadiusCheck(Reporter& reporter, const model::Tenant& tenant, const Path& path, const NameIndex& ports)
      : reporter_(reporter), tenant_(tenant), path_(path), ports_(ports) {}

  void check() {
    const auto count = static_cast<std::size_t>(tenant_.radius_size());
    check_count(reporter_, Path(path_, "radius"), count, limits::kRadiusBackendsPerTenantMax, "backends");
    index_names(reporter_, path_, "radius", tenant_.radius(), names_);
    for (int i = 0; i < tenant_.radius_size(); ++i) check_backend(Path(path_, "radius", i), tenant_.radius(i));
    for (int i = 0; i < tenant_.gateways_size(); ++i) check_gateway(Path(path_, "gateways", i), tenant_.gateways(i));
  }

 private:
  void check_backend(const Path& here, const model::RadiusBackend& backend) {
    const auto source = check_source(here, backend);
    const auto servers = static_cast<std::size_t>(backend.servers_size());
    check_count(reporter_, Path(here, "servers"), servers, limits::kRadiusServersPerBackendMax, "servers");
    if (servers == 0) reporter_.error(Path(here, "servers"), "a backend has a server");
    for (int i = 0; i < backend.servers_size(); ++i) check_server(Path(here, "servers", i), backend.servers(i), source);
    check_within(reporter_, here, "timeout_seconds", backend.timeout_seconds(), 1, 10);
    check_within(reporter_, here, "tries", backend.tries(), 1, 5);
    if (backend.interim_seconds() != 0) check_within(reporter_, here, "interim_seconds", backend.interim_seconds(), 60, 86'400);
    check_count(reporter_, Path(here, "realms"), static_cast<std::size_t>(backend.realms_size()), kRealmsMax, "realms");
    for (int i = 0; i < backend.realms_size(); ++i) check_realm(Path(here, "realms", i), backend.realms(i));
    const auto groups = static_cast<std::size_t>(backend.groups_size());
    check_count(reporter_, Path(here, "groups"), groups, limits::kRadiusGroupsPerBackendMax, "values");
    std::set<std::string> values;
    for (int i = 0; i < backend.groups_size(); ++i) {
      const Path group(here, "groups", i);
      const Path value(group, "value");
      const std::string& text = backend.groups(i).value();
      if (text.empty() || text.size() > kValueBytesMax) reporter_.error(value, "a value has 1 to 253 bytes");
      if (!values.insert(text).second) reporter_.error(value, "the value \"" + text + "\" is given twice");
      check_groups(group, "groups", backend.groups(i).groups());
    }
    check_groups(here, "default_groups", backend.default_groups());
    check_memo(reporter_, Path(here, "memo"), backend.memo());
  }

  /// The servers know the tenant by this address; their answers come back to it.
  std::optional<Address> check_source(const Path& here, const model::RadiusBackend& backend) {
    const auto port = ports_.find(backend.port());
    if (port == ports_.end()) {
      reporter_.no_such_name(Path(here, "port"), {".ports"}, "there is no port named \"" + backend.port() + "\" in this tenant");
      return std::nullopt;
    }
    const auto address = parse_address(backend.source());
    const auto& at = tenant_.ports(port->second);
    if (at.kind() != model::Port::SEGMENT && at.kind() != model::Port::ROUTED) {
      reporter_.error(Path(here, "port"), "a backend is asked from a port of kind segment or routed");
    } else if (!address) {
      reporter_.error(Path(here, "source"), '"' + backend.source() + "\" is not an address");
    } else if (std::none_of(at.addresses().begin(), at.addresses().end(), [&](const std::string& text) {
                 const auto own = parse_prefix(text);
                 return own && own->address == *address;
               })) {
      reporter_.error(Path(here, "source"), backend.source() + " is no address of port \"" + at.name() + '"');
    }
    return address ? std::optional(*address) : std::nullopt;
  }

  void check_server(const Path& here, const model::RadiusServer& server, const std::optional<Address>& source) {
    const auto address = parse_address(server.address());
    if (!address || address->is_multicast() || address->is_loopback() || address->is_unspecified() || address->is_link_local()) {
      reporter_.error(Path(here, "address"), '"' + server.address() + "\" is not the address of a server");
    } else if (source) {
      if (source->family != address->family) reporter_.error(Path(here, "address"), "is of another family than the source");
      if (!peers_.insert({*source, *address}).second) {
        reporter_.error(Path(here, "address"), server.address() + " is asked from this source already");
      }
    }
    if (server.secret().size() < kSecretBytesMin || server.secret().size() > kSecretBytesMax) {
      reporter_.error(Path(here, "secret"), "a shared secret has 16 to 128 bytes");
    }
    check_within(reporter_, here, "port", server.port(), 1, 49'151);
    check_within(reporter_, here, "accounting_port", server.accounting_port(), 1, 49'151);
  }

  void check_realm(const Path& here, const std::string& realm) {
    std::string folded(realm);
    for (char& c : folded) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (realm.empty() || realm.find('@') != std::string::npos || find_bad_text(realm) != std::string::npos) {
      reporter_.error(here, "a realm is what follows the @ of a name");
    } else if (!realms_.insert(folded).second) {
      reporter_.error(here, "the realm \"" + realm + "\" is given twice");
    }
  }

  void check_groups(const Path& here, std::string_view field, const Strings& groups) {
    for (int i = 0; i < groups.size(); ++i) {
      const auto named = [&](const model::UserGroup& one) { return one.name() == groups[i]; };
      if (std::any_of(tenant_.user_groups().begin(), tenant_.user_groups().end(), named)) continue;
      reporter_.no_such_name(Path(here, field, i), {".user_groups"}, "there is no user group named \"" + groups[i] + '"');
    }
  }

  void check_gateway(const Path& here, const model::Gateway& gateway) {
    const auto& accept = gateway.accept();
    const bool accepts = std::find(accept.begin(), accept.end(), model::Gateway::EAP_RADIUS) != accept.end();
    if (accepts && gateway.radius_size() == 0) reporter_.error(Path(here, "radius"), "who accepts eap-radius names a backend");
    const bool door = gateway.has_sstp() || gateway.has_l2tp() || gateway.has_pptp();
    if (!accepts && !door && gateway.radius_size() != 0) {
      reporter_.error(Path(here, "accept"), "a backend is asked for eap-radius, and for users of SSTP, L2TP and PPTP");
    }
    if (accepts && gateway.certificates_size() == 0) {
      reporter_.error(Path(here, "certificates"), "the gateway proves itself by a certificate");
    }
    for (int i = 0; i < gateway.radius_size(); ++i) {
      if (names_.contains(gateway.radius(i))) continue;
      reporter_.no_such_name(Path(here, "radius", i), {".radius"}, "there is no backend named \"" + gateway.radius(i) + '"');
    }
  }

  Reporter& reporter_;
  const model::Tenant& tenant_;
  const Path& path_;
  const NameIndex& ports_;
  NameIndex names_;
  std::set<std::pair<Address, Address>> peers_;
  std::set<std::string> realms_;
};

}  // namespace

void validate_radius(Reporter& reporter, const model::Tenant& tenant, const Path& path, const NameIndex& ports) {
  RadiusCheck(reporter, tenant, path, ports).check();
}

}  // namespace sekisho::control
