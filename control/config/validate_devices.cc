// SPDX-License-Identifier: Apache-2.0
// What remote users show beside themselves: devices, the policies that ask for them, and keys of RFC 8784. Sentences never repeat a secret.
#include <algorithm>
#include <cctype>
#include <set>

#include "control/config/text.h"
#include "control/config/timetable.h"
#include "control/config/validate_parts.h"

namespace sekisho::control {
namespace {

constexpr std::size_t kDevicesMax = 10'000, kPoliciesMax = 64, kSerialsMax = 8, kDevicesOfAUserMax = 10;
constexpr std::size_t kPpkDigitsMin = 64, kPpkDigitsMax = 512, kTextCharactersMax = 64;  // RFC 8784: 256 bits

std::size_t size_of(int size) { return static_cast<std::size_t>(size); }

class DeviceCheck {
 public:
  DeviceCheck(Reporter& reporter, const model::Tenant& tenant, const Path& path) : reporter_(reporter), tenant_(tenant), path_(path) {}

  void check() {
    for (const auto& user : tenant_.users()) users_.insert(user.name());
    for (const auto& group : tenant_.user_groups()) groups_.insert(group.name());
    NameIndex devices;
    check_count(reporter_, Path(path_, "devices"), size_of(tenant_.devices_size()), kDevicesMax, "devices");
    index_names(reporter_, path_, "devices", tenant_.devices(), devices);
    for (int i = 0; i < tenant_.devices_size(); ++i) check_device(Path(path_, "devices", i), tenant_.devices(i));
    check_count(reporter_, Path(path_, "device_policies"), size_of(tenant_.device_policies_size()), kPoliciesMax, "policies");
    index_names(reporter_, path_, "device_policies", tenant_.device_policies(), policies_);
    for (int i = 0; i < tenant_.user_groups_size(); ++i) check_group(Path(path_, "user_groups", i), tenant_.user_groups(i));
    for (int i = 0; i < tenant_.users_size(); ++i) check_user(Path(path_, "users", i), tenant_.users(i));
    for (int i = 0; i < tenant_.gateways_size(); ++i) check_gateway(Path(path_, "gateways", i), tenant_.gateways(i));
  }

 private:
  void check_device(const Path& here, const model::Device& device) {
    if (device.has_owner() == device.has_owner_group()) {
      reporter_.error(Path(here, "owner"), "a device belongs to a user (owner) or to a group (owner_group)");
    }
    if (device.has_owner() && !users_.contains(device.owner())) {
      reporter_.no_such_name(Path(here, "owner"), {".users"}, "there is no user named \"" + device.owner() + '"');
    }
    if (device.has_owner_group() && !groups_.contains(device.owner_group())) {
      reporter_.no_such_name(Path(here, "owner_group"), {".user_groups"}, "there is no user group named \"" + device.owner_group() + '"');
    }
    if (device.has_owner() && ++owned_[device.owner()] == kDevicesOfAUserMax + 1) {
      reporter_.error(Path(here, "owner"), "\"" + device.owner() + "\" has more than " + std::to_string(kDevicesOfAUserMax) + " devices");
    }
    check_count(reporter_, Path(here, "certificates"), size_of(device.certificates_size()), kSerialsMax, "certificates");
    for (int i = 0; i < device.certificates_size(); ++i) check_serial(Path(here, "certificates", i), device.certificates(i));
    check_count(reporter_, Path(here, "identifiers"), size_of(device.identifiers_size()), kSerialsMax, "identifiers");
    for (int i = 0; i < device.identifiers_size(); ++i) check_identifier(Path(here, "identifiers", i), device.identifiers(i));
    if (device.has_valid_until() && !parse_civil(device.valid_until())) {
      reporter_.error(Path(here, "valid_until"), '"' + device.valid_until() + "\" is not a time, like 2026-12-31 22:00");
    }
    for (const auto& [field, text] :
         {std::pair{"label", device.label()}, std::pair{"group", device.group()}, std::pair{"os", device.os()}}) {
      if (count_characters(text) > kTextCharactersMax || find_bad_text(text) != std::string::npos) {
        reporter_.error(Path(here, field), "a text of at most 64 characters");
      }
    }
    check_memo(reporter_, Path(here, "memo"), device.memo());
  }

  void check_serial(const Path& at, const std::string& text) {
    const std::string serial = plain_serial(text);
    if (serial.empty()) return reporter_.error(at, '"' + text + "\" is not a serial number in hexadecimal digits");
    if (!serials_.insert(serial).second) reporter_.error(at, text + " is another device's certificate");
  }

  void check_identifier(const Path& at, const std::string& text) {
    constexpr std::size_t kBytesMax = 255;
    if (text.empty() || text.size() > kBytesMax || find_bad_text(text) != std::string::npos) {
      return reporter_.error(at, "an alternative name of a certificate has 1 to 255 bytes, none of them control characters");
    }
    std::string folded(text);
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    std::ranges::transform(folded, folded.begin(), lower);
    if (!identifiers_.insert(std::move(folded)).second) reporter_.error(at, text + " is another device's");
  }

  void check_group(const Path& here, const model::UserGroup& group) {
    if (!group.has_device_policy()) return;
    if (!policies_.contains(group.device_policy())) {
      reporter_.no_such_name(Path(here, "device_policy"), {".device_policies"},
          "there is no device policy named \"" + group.device_policy() + '"');
    }
    if (!group.has_pool()) {
      reporter_.warning(Path(here, "device_policy"), "a group without a pool lets nobody in: its policy is never asked");
    }
  }

  void check_user(const Path& here, const model::User& user) {
    if (user.has_ppk_id() != user.has_ppk()) reporter_.error(Path(here, "ppk"), "ppk and ppk_id belong together");
    if (user.has_ppk_id() && (user.ppk_id().empty() || !ppk_ids_.insert(user.ppk_id()).second)) {
      reporter_.error(Path(here, "ppk_id"), "a ppk_id is a text of one user alone");
    }
    const std::string& ppk = user.ppk();
    const bool hex = std::all_of(ppk.begin(), ppk.end(), [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; });
    if (user.has_ppk() && (!hex || ppk.size() % 2 != 0 || ppk.size() < kPpkDigitsMin || ppk.size() > kPpkDigitsMax)) {
      reporter_.error(Path(here, "ppk"), "a ppk has 64 to 512 hexadecimal digits");
    }
  }

  void check_gateway(const Path& here, const model::Gateway& gateway) {
    for (int i = 0; i < tenant_.user_groups_size(); ++i) asks_ = asks_ || tenant_.user_groups(i).has_device_policy();
    if (gateway.has_without_crl() && gateway.crls_size() == 0) {
      reporter_.warning(Path(here, "without_crl"), "no list is kept: revocation is not asked about");
    }
    if (gateway.has_ocsp()) check_ocsp(Path(here, "ocsp"), gateway);
    if (asks_ && gateway.device_cas_size() == 0) {
      reporter_.warning(Path(here, "device_cas"), "groups ask for devices, and no device can prove itself here");
    }
  }

  void check_ocsp(const Path& here, const model::Gateway& gateway) {
    if (!is_url(gateway.ocsp().url(), "http://")) {
      reporter_.error(Path(here, "url"), "a responder is http://host, with a port and a path or not: what it says is signed");
    }
    if (gateway.client_cas_size() == 0) reporter_.error(here, "no certificates are taken here: nobody is asked about");
    // Doors of PPP judge without waiting for anybody.
    const auto& l2tp = gateway.l2tp();
    const bool doors = std::ranges::find(gateway.sstp().accept(), model::Sstp::EAP_TLS) != gateway.sstp().accept().end() ||
                       std::ranges::find(l2tp.accept(), model::L2tp::EAP_TLS) != l2tp.accept().end() || l2tp.certificates();
    if (!doors) return;
    reporter_.error(here, "a responder is asked about certificates of IKEv2 alone: this gateway takes them by SSTP or L2TP, too");
  }

  Reporter& reporter_;
  const model::Tenant& tenant_;
  const Path& path_;
  std::set<std::string> users_, groups_, serials_, identifiers_, ppk_ids_;
  std::map<std::string, std::size_t> owned_;
  NameIndex policies_;
  bool asks_ = false;
};

}  // namespace

void validate_devices(Reporter& reporter, const model::Tenant& tenant, const Path& path) { DeviceCheck(reporter, tenant, path).check(); }

}  // namespace sekisho::control
