// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "filters/packet/nd.h"
#include "tests/support/frames.h"

namespace sekisho::tests {

/// A VRRP advertisement: right, with one knob a field to break exactly one thing.
struct VrrpFields {
  std::uint8_t vrid = 211, priority = 100, version = 3, type = 1, hop_limit = 255;
  std::vector<Address> addresses = {};
  int count = -1;                 ///< what it says; -1: as many as there are
  bool pseudo_header = true;      ///< under the checksum
  std::uint16_t checksum_error = 0;
  std::string_view group4 = "224.0.0.18", group6 = "ff02::12";
};

/// From `sender` at `source` to the VRRP group of its family.
inline FrameBuilder vrrp(FrameBuilder builder, const Mac& source, std::string_view sender, const VrrpFields& fields) {
  const Address from = address(sender), to = address(from.family == Family::kIpv4 ? fields.group4 : fields.group6);
  const int count = fields.count < 0 ? static_cast<int>(fields.addresses.size()) : fields.count;
  Frame message{static_cast<std::uint8_t>(fields.version << 4 | fields.type), fields.vrid, fields.priority, static_cast<std::uint8_t>(count), 0, 100, 0, 0};
  for (const Address& one : fields.addresses) append(message, one.wire());
  const std::uint32_t start = fields.pseudo_header ? pseudo_header_sum(from, to, 112, static_cast<std::uint32_t>(message.size())) : 0;
  store_be<std::uint16_t>(message, 6, static_cast<std::uint16_t>(checksum_fold(checksum_add(start, message)) + fields.checksum_error));
  builder.ethernet(source, filters::multicast_mac(to));
  if (from.family == Family::kIpv4) {
    builder.ipv4(sender, fields.group4, {.ttl = fields.hop_limit});
  } else {
    builder.ipv6(sender, fields.group6, {.hop_limit = fields.hop_limit});
  }
  return builder.protocol(112, message);
}

}  // namespace sekisho::tests
