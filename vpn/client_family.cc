// SPDX-License-Identifier: Apache-2.0
#include "vpn/client_family.h"

#include <algorithm>
#include <array>

namespace sekisho::vpn {
namespace {

/// A vendor id begins with these bytes.
struct VendorPrefix {
  std::string_view bytes;
  ClientFamily family;
};

using namespace std::string_view_literals;
constexpr std::array kVendors{
    VendorPrefix{"\x1e\x2b\x51\x69\x05\x99\x1c\x7d\x7c\x96\xfc\xbf\xb5\x87\xe4\x61"sv, ClientFamily::kWindows},  // MS NT5 ISAKMPOAKLEY
    VendorPrefix{"\x88\x2f\xe5\x6d\x6f\xd2\x0d\xbc\x22\x51\x61\x3b\x2e\xbe\x5b\xeb"sv, ClientFamily::kStrongswan},
    VendorPrefix{"OE-Libreswan-"sv, ClientFamily::kLibreswan},
};

constexpr std::uint16_t kDhcp4 = 6, kDhcp6 = 12, kDnsDomain = 25;
constexpr std::uint16_t kMicrosoftServer4 = 23456, kMicrosoftServer6 = 23457;

struct FamilyRow {
  ClientFamily family;
  std::string_view name;
  ClientHabits habits;
};

constexpr std::array kFamilies{
    FamilyRow{ClientFamily::kUnknown, "", {}},
    FamilyRow{ClientFamily::kWindows, "Windows", {.gateway_rekeys_child = false, .child_life_seconds_min = 86400, .asks_dhcp = true}},
    FamilyRow{ClientFamily::kApple, "Apple", {}},
    FamilyRow{ClientFamily::kStrongswan, "strongSwan", {}},
    FamilyRow{ClientFamily::kLibreswan, "libreswan", {}},
};

const FamilyRow& row_of(ClientFamily family) {
  return *std::find_if(kFamilies.begin(), kFamilies.end(), [family](const FamilyRow& row) { return row.family == family; });
}

}  // namespace

void ClientMarks::vendor_id(ByteSpan value) {
  for (const VendorPrefix& vendor : kVendors) {
    const bool same = value.size() >= vendor.bytes.size() &&
                      std::equal(vendor.bytes.begin(), vendor.bytes.end(), value.begin(),
                                 [](char a, std::uint8_t b) { return static_cast<std::uint8_t>(a) == b; });
    if (same && by_vendor_ == ClientFamily::kUnknown) by_vendor_ = vendor.family;
  }
}

void ClientMarks::attribute(std::uint16_t type) {
  microsoft_ = microsoft_ || type == kMicrosoftServer4 || type == kMicrosoftServer6;
  domain_ = domain_ || type == kDnsDomain;
  dhcp_ = dhcp_ || type == kDhcp4 || type == kDhcp6;
}

ClientFamily ClientMarks::family() const {
  if (by_vendor_ != ClientFamily::kUnknown) return by_vendor_;
  if (microsoft_) return ClientFamily::kWindows;
  return domain_ && dhcp_ ? ClientFamily::kApple : ClientFamily::kUnknown;  // others ask for one of them at most
}

std::string_view name_of(ClientFamily family) { return row_of(family).name; }

const ClientHabits& habits_of(ClientFamily family) { return row_of(family).habits; }

}  // namespace sekisho::vpn
