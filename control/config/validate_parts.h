// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/net/address.h"
#include "base/proto/model.pb.h"
#include "control/config/finding.h"

/// The pieces of validate(), one file each. Private to control/config.
namespace sekisho::control {

using Strings = google::protobuf::RepeatedPtrField<std::string>;

/// Which element of a list bears a name. Keys borrow from the model.
using NameIndex = std::map<std::string_view, int>;

/// Reports a name that is empty, too long, not in NFC or holds control characters.
void check_name(Reporter& reporter, const Path& path, const std::string& name);

/// Reports bad and repeated names of `list`; returns who bears which. `names` carries over between lists of one name space.
template <typename List>
void index_names(Reporter& reporter, const Path& parent, std::string_view field, const List& list, NameIndex& names) {
  for (int i = 0; i < list.size(); ++i) {
    const Path here(parent, field, i);
    const Path name(here, "name");
    check_name(reporter, name, list[i].name());
    if (!names.emplace(list[i].name(), i).second) {
      reporter.error(name, "the name \"" + list[i].name() + "\" is used twice");
    }
  }
}

/// Reports more than `most` elements.
void check_count(Reporter& reporter, const Path& path, std::size_t count, std::size_t most, std::string_view what);

/// What validate_ports needs of the whole document.
struct Platform {
  NameIndex nics;
  NameIndex uplinks;
};

void validate_tenant(Reporter& reporter, const model::Configuration& model, const model::Tenant& tenant, const Path& path,
                     const Platform& platform);
void validate_bindings(Reporter& reporter, const model::Tenant& tenant, const Path& path, const NameIndex& ports);
void validate_link_locals(Reporter& reporter, const model::Tenant& tenant, const Path& path, const NameIndex& ports);
void validate_routes(Reporter& reporter, const model::Configuration& model, const model::Tenant& tenant, const Path& path,
                     const Platform& platform, const NameIndex& ports);
void validate_objects(Reporter& reporter, const model::Tenant& tenant, const Path& path);
void validate_nat(Reporter& reporter, const model::Tenant& tenant, const Path& path);
void validate_policies(Reporter& reporter, const model::Tenant& tenant, const Path& path);
/// Gateways, pools, users and their groups.
void validate_users(Reporter& reporter, const model::Tenant& tenant, const Path& path, const NameIndex& ports);
/// Devices, their policies, and what users have beside a password.
void validate_devices(Reporter& reporter, const model::Tenant& tenant, const Path& path);

/// RADIUS backends, and the gateways that name them.
void validate_radius(Reporter& reporter, const model::Tenant& tenant, const Path& path, const NameIndex& ports);

/// How people sign in: the unit's rules, and what a tenant makes narrower.
void validate_sign_in(Reporter& reporter, const model::SignIn& sign_in, const Path& path);
void validate_sign_in(Reporter& reporter, const model::TenantSignIn& sign_in, const Path& path);

/// SCHEME://host[:port][/path], 1024 bytes at most; the host a name or an address, in brackets when it is IPv6.
bool is_url(std::string_view text, std::string_view scheme);
/// How messages leave the unit, and who is told of what.
void validate_notify(Reporter& reporter, const model::Notify& notify, const Path& path);
void validate_targets(Reporter& reporter, const google::protobuf::RepeatedPtrField<model::NotificationTarget>& targets,
                      const Path& path, std::string_view field);

/// Where OCSP responders may be.
void validate_responders(Reporter& reporter, const model::Responders& responders, const Path& path);

/// Collectors of records, a tenant's or the provider's own (`tenant` is nullptr then).
void validate_exports(Reporter& reporter, const model::Configuration& model, const model::Tenant* tenant, const Path& path);

/// Reports a number outside least..most.
void check_within(Reporter& reporter, const Path& path, const std::string& field, std::uint32_t value, std::uint32_t least,
                  std::uint32_t most);
/// A prefix as a network: host bits clear. Reports what is none.
std::optional<Prefix> check_network(Reporter& reporter, const Path& path, const std::string& text);
/// Reports control characters and more characters than a memo has.
void check_memo(Reporter& reporter, const Path& path, const std::string& text);

/// Checks an interface address ("10.0.0.1/24"): a host inside its subnet, of an ordinary kind.
void check_interface_address(Reporter& reporter, const Path& path, const std::string& text);
/// Checks one tag pair.
void check_vlans(Reporter& reporter, const Path& path, std::uint32_t outer, model::OuterTag tag, std::uint32_t inner);

}  // namespace sekisho::control
