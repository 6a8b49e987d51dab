// SPDX-License-Identifier: Apache-2.0
#include "vpn/labels.h"

#include <algorithm>
#include <array>

namespace sekisho::vpn {
namespace {

struct Label {
  std::string_view from, to;
};

constexpr std::array kTransforms{
    Label{"HMAC_SHA1_96", "SHA1-96"},         Label{"HMAC_SHA2_256_128", "SHA256-128"}, Label{"HMAC_SHA2_384_192", "SHA384-192"},
    Label{"HMAC_SHA2_512_256", "SHA512-256"}, Label{"PRF_HMAC_SHA1", "PRFSHA1"},        Label{"PRF_HMAC_SHA2_256", "PRFSHA256"},
    Label{"PRF_HMAC_SHA2_384", "PRFSHA384"},  Label{"PRF_HMAC_SHA2_512", "PRFSHA512"},  Label{"CURVE_25519", "X25519"},
    Label{"EXT_SEQ", "ESN"},                  Label{"3DES_CBC", "3DES"},
};

constexpr std::string_view kAesGcm = "AES_GCM_16_", kAesCbc = "AES_CBC_", kNoEsn = "NO_EXT_SEQ";

void add(std::string& out, std::string_view transform) {
  if (transform.empty() || transform == kNoEsn) return;
  if (!out.empty()) out += '/';
  const auto known = std::find_if(kTransforms.begin(), kTransforms.end(), [&](const Label& one) { return one.from == transform; });
  if (known != kTransforms.end()) {
    out += known->to;
  } else if (transform.starts_with(kAesGcm)) {
    out.append("AES").append(transform.substr(kAesGcm.size())).append("-GCM16");
  } else if (transform.starts_with(kAesCbc)) {
    out.append("AES").append(transform.substr(kAesCbc.size())).append("-CBC");
  } else if (transform.starts_with("ECP_") || transform.starts_with("MODP_")) {
    const std::size_t bar = transform.find('_');
    out.append(transform.substr(0, bar)).append(transform.substr(bar + 1));
  } else {
    out += transform;
  }
}

struct Vendor {
  std::string_view id;  ///< its first bytes, in hex
  std::string_view label;
};
constexpr std::array kVendors{
    Vendor{"1e2b516905991c7d7c96fcbfb587e46100000008", "Windows 7 to 8.1"},
    Vendor{"1e2b516905991c7d7c96fcbfb587e46100000009", "Windows 10 or 11"},
    Vendor{"1e2b516905991c7d7c96fcbfb587e461", "Windows"},
    Vendor{"882fe56d6fd20dbc2251613b2ebe5beb", "strongSwan"},
};
constexpr std::size_t kTextMax = 64;

std::string hex_of(ByteSpan bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const std::uint8_t byte : bytes) out.append({kDigits[byte >> 4], kDigits[byte & 15]});
  return out;
}

}  // namespace

std::string suite_label(std::string_view algorithms) {
  std::string out;
  while (!algorithms.empty()) {
    const std::size_t end = std::min(algorithms.find('/'), algorithms.size());
    add(out, algorithms.substr(0, end));
    algorithms.remove_prefix(std::min(end + 1, algorithms.size()));
  }
  return out;
}

std::string client_label(std::span<const ByteSpan> vendor_ids) {
  for (const Vendor& vendor : kVendors) {
    for (const ByteSpan id : vendor_ids) {
      if (hex_of(id).starts_with(vendor.id)) return std::string(vendor.label);
    }
  }
  for (const ByteSpan id : vendor_ids) {
    const bool text = id.size() >= 4 && id.size() <= kTextMax &&
                      std::all_of(id.begin(), id.end(), [](std::uint8_t byte) { return byte >= 0x20 && byte < 0x7f; });
    if (text) return {id.begin(), id.end()};
  }
  return {};
}

std::string_view realm_of(std::string_view user) {
  const std::size_t at = user.rfind('@');
  return at == std::string_view::npos ? std::string_view{} : user.substr(at + 1);
}

}  // namespace sekisho::vpn
