// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace sekisho::filters {

// X(enumerator, name shown to people, security event code of specification 3.7 or "")
#define SEKISHO_ESP_FAULTS(X)                                                                                   \
  X(kNone, "none", "")                                                                                          \
  /* opening */                                                                                                 \
  X(kSpiUnknown, "vpn-spi-unknown", "VPN_SPI_UNKNOWN") /* no SA of this tenant and address */                   \
  X(kLength, "vpn-esp-length", "VPN_MALFORMED")        /* too short, or not whole blocks */                     \
  X(kReplay, "vpn-replay", "VPN_REPLAY")               /* seen, older than the window, or zero */               \
  X(kAuth, "vpn-esp-auth", "VPN_ESP_AUTH")             /* wrong ICV */                                          \
  X(kPadding, "vpn-esp-padding", "VPN_MALFORMED")      /* padding is not 1, 2, 3 and so on */                   \
  X(kNextHeader, "vpn-next-header", "VPN_MALFORMED")   /* neither IPv4, IPv6 nor a dummy */                     \
  X(kDummy, "vpn-dummy", "")                           /* next header 59: traffic to hide in */                 \
  X(kInnerFormat, "vpn-inner-format", "VPN_MALFORMED") /* no IP packet, or longer than was sent */              \
  X(kInnerSpoof, "vpn-inner-spoof", "VPN_INNER_SPOOF") /* inner source is not the Lease */                      \
  X(kEcn, "vpn-ecn", "")                               /* congestion met, and the inner packet cannot say so */ \
  X(kL2tpFormat, "vpn-l2tp-format", "VPN_MALFORMED")   /* in transport mode: no L2TP, or no IP packet in it */  \
  X(kL2tpSession, "vpn-l2tp-session", "")              /* IP, and no session of the SA's owner has these ids */ \
  /* both ways */                                                                                               \
  X(kSelectors, "vpn-selectors", "") /* outside what the SA was agreed for */                                   \
  X(kExpired, "vpn-sa-expired", "")  /* a hard limit of the SA was reached */                                   \
  X(kSegments, "vpn-segments", "")   /* packet in pieces, or shared */                                          \
  /* sealing */                                                                                                 \
  X(kSaMissing, "vpn-sa-missing", "")     /* the tunnel's SA is gone */                                         \
  X(kSequenceEnd, "vpn-sequence-end", "") /* all sequence numbers used */                                       \
  X(kTooBig, "vpn-too-big", "")           /* does not fit the outer MTU */                                      \
  X(kRoom, "vpn-room", "")                /* buffer without room for headers or ICV */                          \
  X(kCrypto, "vpn-crypto", "")            /* the crypto library refused: never sent in clear */

/// Why a packet did not get through a tunnel's ESP. Each has a name.
enum class EspFault : std::uint8_t {
#define SEKISHO_X(enumerator, name, event) enumerator,
  SEKISHO_ESP_FAULTS(SEKISHO_X)
#undef SEKISHO_X
      kCount
};

struct EspFaultInfo {
  std::string_view name;   ///< "vpn-replay"
  std::string_view event;  ///< security event code, empty when the fault makes no sec record
};

/// Facts about `fault`. `fault` below kCount.
const EspFaultInfo& info(EspFault fault);

}  // namespace sekisho::filters
