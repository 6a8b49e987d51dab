// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/wire/reader.h"
#include "vpn/gateway.h"

namespace sekisho::ipc {
class VpnMemory;
}

namespace sekisho::vpn {

/// Bytes of a secret, wiped when they go.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string_view bytes) : bytes_(bytes.begin(), bytes.end()) {}
  Secret(Secret&&) = default;
  Secret& operator=(Secret&&) = delete;
  ~Secret();
  [[nodiscard]] ByteSpan bytes() const { return bytes_; }

 private:
  std::vector<std::uint8_t> bytes_;
};

/// Tells one secret from another without being one, the same in every process. Never 0; 0 of none.
std::uint64_t mark_of(ByteSpan secret);
/// Fifteen bits of a mark, for a note that others keep: another secret shows, and whoever reads it can guess none by it. 0 of 0 alone.
constexpr std::uint32_t noted_mark(std::uint64_t mark) { return static_cast<std::uint32_t>(mark & 0xffffU); }

/// Overwrites `text` in a way no compiler leaves out.
void wipe(std::string& text);

/// A user's name as it is compared: ASCII letters in lower case, all else as it is.
std::string folded(std::string_view name);

/// Hours in which a group may log in, Japan's time.
struct LoginWindow {
  std::uint32_t weekdays = 0;  ///< bit 0: Monday
  std::uint32_t from_minute = 0;
  std::uint32_t to_minute = 0;  ///< of the day, excluded
};

struct AddressRange {
  Address first;
  Address last;  ///< included, of the same family
};

/// How rules know somebody who comes with a device that has proven itself.
struct DeviceIdPlan {
  std::uint32_t id = 0;
  bool permitted = false;
};

/// What rules make of somebody.
struct RightsPlan {
  bool permitted = false;  ///< one lets him reach something
  std::map<std::string, DeviceIdPlan> with_device;  ///< by the device's group; "": any that has no entry
};

struct UserPlan {
  std::uint32_t id = 0;
  std::string name;
  Secret nt_hash;  ///< 16 bytes or none
  Secret psk;
  bool suspended = false;
  std::vector<std::string> groups;
  std::vector<Address> static_addresses;
  std::string ppk_id;
  Secret ppk;
  RightsPlan rights;
};

struct GroupPlan {
  std::string name;
  std::uint32_t priority = 0;
  std::string pool;
  std::uint32_t sessions_per_user = 0;  ///< 0: no limit
  bool replace_oldest = false;
  std::vector<Prefix> source_prefixes;
  std::vector<LoginWindow> login;
  std::uint32_t sessions_max = 0;  ///< of all its users; 0: no limit
  bool everyone = false;           ///< whoever has proven who he is
  std::vector<std::string> source_countries;  ///< beside source_prefixes
  std::string device_policy;  ///< empty: any device
};

/// What becomes of a device nobody registered, whose certificate is good.
enum class UnknownDevice : std::uint8_t { kDeny, kAllow, kRequest };

/// A device the tenant has registered.
struct DevicePlan {
  enum class State : std::uint8_t { kApproved, kRequested, kDisabled };
  std::string id, label, owner, owner_group, group, os;
  State state = State::kApproved;
  std::int64_t valid_until = 0;  ///< seconds since 1970 UTC; 0: no end
};

/// A gateway's door for PPTP.
struct PptpPlan {
  std::string owner;                ///< who answers for it
  std::int64_t valid_until = 0;     ///< seconds since 1970 UTC
  std::map<std::uint32_t, Address> services;  ///< as SstpPlan's, IPv4 alone
  std::uint32_t port = 0;
};

/// How a door's clients prove who they are; values are those of ipc::VpnDoorMethod.
enum class DoorMethod : std::uint8_t { kMschapV2, kEapMschapV2, kPap, kChap, kEapTls, kEapRadius };

/// A gateway's door for SSTP.
struct SstpPlan {
  std::vector<DoorMethod> accept;         ///< in the order they are asked for
  bool sha1 = false;                      ///< crypto binding by SHA-1 is offered, too
  bool aes128 = false;                    ///< AES-128-GCM may be chosen
  std::vector<std::string> certificates;  ///< PEM, one for each key; the name a client asks for chooses
  std::vector<std::string> keys;          ///< PEM
  std::vector<std::string> ocsp;          ///< base64 of each certificate's OCSP response, "" for none; or no element at all
  std::vector<std::string> vouching;      ///< PEM: CAs, of which those between go along
  std::map<std::uint32_t, Address> services;  ///< ServiceId (base/net/service_address.h) -> the gateway's address
  std::uint32_t port = 0;                 ///< PortId by which clients come in

  SstpPlan() = default;
  SstpPlan(SstpPlan&&) = default;
  SstpPlan& operator=(SstpPlan&&) = delete;
  ~SstpPlan();
};

/// A pre-shared key of IKEv1.
struct L2tpKeyPlan {
  std::vector<Prefix> from;  ///< peers that may mean it; none: anybody
  Secret psk;
};

/// A gateway's door for L2TP/IPsec.
struct L2tpPlan {
  std::vector<DoorMethod> accept;  ///< in the order they are asked for
  std::vector<L2tpKeyPlan> keys;
  bool certificates = false;  ///< machines may show one
};

struct GatewayPlan {
  Gateway gateway;
  std::uint32_t tunnel_port = 0;
  std::uint32_t idle_seconds = 0;
  std::uint32_t session_seconds_max = 0;
  std::string default_group;
  bool refuse_if_no_permit = false;  ///< whom no rule lets reach anything
  std::string code;  ///< in records; empty: none
  std::int64_t legacy_until = 0;  ///< of the profile legacy: seconds since 1970 UTC; see vpn/legacy.h
  std::vector<std::string> radius;  ///< backends, in order, of eap-radius and of PPP's doors
  std::optional<PptpPlan> pptp;
  std::unique_ptr<const SstpPlan> sstp;
  std::unique_ptr<const L2tpPlan> l2tp;

  GatewayPlan() = default;
  GatewayPlan(GatewayPlan&&) = default;
  GatewayPlan& operator=(GatewayPlan&&) = delete;
  ~GatewayPlan();
};

struct RadiusServerPlan {
  Address address;
  Secret secret;
  std::uint16_t port = 0;
  std::uint16_t accounting_port = 0;
};

/// Whom a backend's value puts into which groups; `id` stands for all of them in rules.
struct RadiusGroupPlan {
  std::string value;  ///< empty: whoever has no other
  std::uint32_t id = 0;
  std::vector<std::string> groups;
  RightsPlan rights;
};

/// RADIUS servers of a tenant, and how they are asked.
struct RadiusPlan {
  std::string name;
  std::uint32_t port = 0;  ///< PortId `source` is of
  Address source;
  std::vector<RadiusServerPlan> servers;  ///< 1 to 4
  std::uint32_t timeout_seconds = 3;
  std::uint32_t tries = 3;
  std::vector<std::string> realms;  ///< folded
  bool group_by_class = false;
  std::vector<RadiusGroupPlan> groups;  ///< in the order they are looked through; the last is everybody's
  bool accounting = false;
  std::uint32_t interim_seconds = 0;
  bool disconnect = false;

  /// The groups of who was sent with these values: the first in the backend's order that is among them.
  [[nodiscard]] const RadiusGroupPlan& group_of(const std::vector<std::string>& values) const;
};

struct TenantPlan {
  std::uint32_t id = 0;
  std::string service_code;
  std::vector<GatewayPlan> gateways;
  std::map<std::string, UserPlan> users;  ///< by folded name
  std::map<std::string, GroupPlan> groups;
  std::map<std::string, std::vector<AddressRange>> pools;
  std::map<std::string, std::shared_ptr<const DevicePlan>> devices;  ///< by the serial number of a certificate
  std::map<std::string, std::shared_ptr<const DevicePlan>, std::less<>> device_names;  ///< by an alternative name, folded
  std::map<std::string, UnknownDevice> device_policies;  ///< by name
  bool stranger_permitted = false;  ///< some rule lets those reach something whom `users` does not name
  std::map<std::string, std::string> ppk_owners;  ///< by ppk_id: folded name of the user
  std::set<Address> reserved;  ///< addresses some user has for himself
  std::uint32_t sessions_max = 0;  ///< of all users; 0: no limit
  std::map<std::string, std::vector<Prefix>> countries;  ///< by code
  std::vector<RadiusPlan> radius;

  [[nodiscard]] const GatewayPlan* gateway(std::string_view name) const;
  /// Name of the gateway that has this address; empty: none.
  [[nodiscard]] std::string gateway_at(const Address& address) const;
  /// The code records have of the gateway of this name; empty: none.
  [[nodiscard]] std::string code_of(std::string_view gateway_name) const;
  [[nodiscard]] const UserPlan* user(std::string_view name) const;
  /// F-20: of a user's groups with a pool the one with the lowest priority number, by name among equals; else the gateway's default.
  [[nodiscard]] const GroupPlan* group_of(std::span<const std::string> of_user, const GatewayPlan& at) const;
  /// All groups somebody is in whose own ones are these.
  [[nodiscard]] std::vector<std::string> groups_of(std::span<const std::string> named) const;
  /// Code of the country the tenant says the address is in: that of the longest prefix; empty when none says so.
  [[nodiscard]] std::string country_of(const Address& address) const;
  [[nodiscard]] const RadiusPlan* backend(std::string_view name) const;
  /// Who has this UserId by a backend's word, with or without a device.
  [[nodiscard]] const RadiusGroupPlan* radius_group(std::uint32_t wanted) const;
  /// The backend that judges this name at the gateway; nothing: the tenant's own directory does, or nobody. `local`: whether users with a
  /// password of the directory's come in by it there.
  [[nodiscard]] const RadiusPlan* backend_of(std::string_view name, const GatewayPlan& at, bool local) const;
};

/// Who may come in and how, under one generation. Immutable; shared by who needs it.
struct Plan {
  std::uint32_t generation = 0;
  std::string node;
  std::map<std::uint32_t, TenantPlan> tenants;
  std::shared_ptr<const ipc::VpnMemory> memory;  ///< of a process before; only in the first one

  [[nodiscard]] const TenantPlan* tenant(std::uint32_t id) const;
};

/// Reads a serialized VpnConfig. What cannot be (an address of 5 bytes, an unknown profile) refuses the whole.
Result<std::shared_ptr<const Plan>> parse_plan(ByteSpan bytes);

}  // namespace sekisho::vpn
