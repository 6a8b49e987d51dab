// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace sekisho::filters {

/// Where a comm record says the decision was made (specification 3.7, field `reason`).
enum class LogReason : std::uint8_t {
  kNone = 0, kRule, kDefault, kState, kAe, kNat, kRoute, kFrag, kMalformed, kQuota, kStorm, kVpnAcl, kSchedule,
};

// X(enumerator, name shown to people and in metrics, comm reason, security event code or "")
// Append only: numbers appear in log rings and counters.
#define SEKISHO_DROP_REASONS(X)                                                            \
  X(kNone, "none", kNone, "")                                                              \
  /* decode: what the bytes are */                                                         \
  X(kEthernetTruncated, "ethernet-truncated", kMalformed, "AE_FRAME")                      \
  X(kVlanTruncated, "vlan-truncated", kMalformed, "AE_FRAME")                              \
  X(kVlanDepth, "vlan-depth", kMalformed, "AE_FRAME")                                      \
  X(kIpv4Truncated, "ipv4-truncated", kMalformed, "AE_IP_FORMAT")                          \
  X(kIpv4Version, "ipv4-version", kMalformed, "AE_IP_FORMAT")                              \
  X(kIpv4HeaderLength, "ipv4-header-length", kMalformed, "AE_IP_FORMAT")                   \
  X(kIpv4TotalLength, "ipv4-total-length", kMalformed, "AE_IP_FORMAT")                     \
  X(kIpv4Checksum, "ipv4-checksum", kMalformed, "AE_IP_FORMAT")                            \
  X(kIpv4Options, "ipv4-options", kMalformed, "PROTO_IPOPT")                               \
  X(kIpv6Truncated, "ipv6-truncated", kMalformed, "AE_IP_FORMAT")                          \
  X(kIpv6Version, "ipv6-version", kMalformed, "AE_IP_FORMAT")                              \
  X(kIpv6PayloadLength, "ipv6-payload-length", kMalformed, "AE_IP_FORMAT")                 \
  X(kIpv6ExtensionHeader, "ipv6-extension-header", kMalformed, "PROTO_EXT_HDR")            \
  X(kIpv6RoutingHeader0, "ipv6-routing-header-0", kMalformed, "AE_RH0")                    \
  X(kL4Truncated, "l4-truncated", kMalformed, "")                                          \
  X(kTcpDataOffset, "tcp-data-offset", kMalformed, "PROTO_TCP_FLAGS")                      \
  X(kTcpFlags, "tcp-flags", kMalformed, "PROTO_TCP_FLAGS")                                 \
  X(kUdpLength, "udp-length", kMalformed, "")                                              \
  X(kL4Checksum, "l4-checksum", kMalformed, "")                                            \
  X(kArpTruncated, "arp-truncated", kMalformed, "AE_ARP_FORMAT")                           \
  /* fragments: a datagram in pieces passes whole or not at all (FFW_RUL_EXT.1.6 a and b) */ \
  X(kFragmentMalformed, "fragment-malformed", kFrag, "AE_IP_FORMAT")                       \
  X(kFragmentOversized, "fragment-oversized", kFrag, "AE_IP_FORMAT")                       \
  X(kFragmentTiny, "fragment-tiny", kFrag, "PROTO_TINY_FRAG")                              \
  X(kFragmentChain, "fragment-chain", kFrag, "PROTO_EXT_HDR")                              \
  X(kFragmentOverlap, "fragment-overlap", kFrag, "PROTO_FRAG_OVERLAP")                     \
  X(kFragmentDuplicate, "fragment-duplicate", kFrag, "")                                   \
  X(kFragmentOrphan, "fragment-orphan", kFrag, "")                                         \
  X(kFragmentTimeout, "fragment-timeout", kFrag, "")                                       \
  X(kFragmentLimit, "fragment-limit", kQuota, "DOS_FRAG")                                  \
  /* bind: who may speak here (specification 3.5) */                                       \
  X(kNoPort, "no-port", kAe, "")                                                           \
  X(kAeUnbound, "ae-unbound", kAe, "AE_UNBOUND")                                           \
  X(kAeStorm, "ae-storm", kStorm, "AE_STORM")                                              \
  X(kAeFrame, "ae-frame", kAe, "AE_FRAME")                                                 \
  X(kAeEthertype, "ae-ethertype", kAe, "AE_ETYPE")                                         \
  X(kAeMac, "ae-mac", kAe, "AE_MAC")                                                       \
  X(kAeArpFormat, "ae-arp-format", kAe, "AE_ARP_FORMAT")                                   \
  X(kAeArpSha, "ae-arp-sha", kAe, "AE_ARP_SHA")                                            \
  X(kAeArpProbe, "ae-arp-probe", kAe, "AE_ARP_PROBE")                                      \
  X(kAeArpSpa, "ae-arp-spa", kAe, "AE_ARP_SPA")                                            \
  X(kAeArpTha, "ae-arp-tha", kAe, "AE_ARP_THA")                                            \
  X(kAeDhcpChaddr, "ae-dhcp-chaddr", kAe, "AE_DHCP_CHADDR")                                \
  X(kAeIp4, "ae-ip4", kAe, "AE_IP4")                                                       \
  X(kAeDhcpServer, "ae-dhcp-server", kAe, "AE_DHCP_SRV")                                   \
  X(kAeRedirect, "ae-redirect", kAe, "AE_REDIRECT")                                        \
  X(kAeQuery, "ae-query", kAe, "AE_QUERY")                                                 \
  X(kAeVrrp, "ae-vrrp", kAe, "AE_VRRP")                                                    \
  X(kAeDadForeign, "ae-dad-foreign", kAe, "AE_DAD_FOREIGN")                                \
  X(kAeIp6, "ae-ip6", kAe, "AE_IP6")                                                       \
  X(kAeLinkLocal, "ae-link-local", kAe, "AE_LLA")                                          \
  X(kAeNdHopLimit, "ae-nd-hop-limit", kAe, "AE_ND_HLIM")                                   \
  X(kAeNdFormat, "ae-nd-format", kAe, "AE_ND_FORMAT")                                      \
  X(kAeNdFragment, "ae-nd-fragment", kAe, "AE_ND_FRAG")                                    \
  X(kAeNdLinkLayer, "ae-nd-link-layer", kAe, "AE_ND_LLA")                                  \
  X(kAeNa, "ae-na", kAe, "AE_NA")                                                          \
  X(kAeRa, "ae-ra", kAe, "AE_RA")                                                          \
  X(kAeDestinationForeign, "ae-destination-foreign", kAe, "AE_DST_FOREIGN")                \
  X(kAeQuarantine, "ae-quarantine", kAe, "AE_QUARANTINE")                                  \
  X(kAeRelease, "ae-release", kAe, "AE_RELEASE") /* no packet: the record of its end */    \
  X(kAeOther, "ae-other", kAe, "AE_OTHER") /* no packet: the record of too many kinds */   \
  X(kLinkControl, "link-control", kRoute, "")                                              \
  X(kUplinkNoOwner, "uplink-no-owner", kRoute, "")                                         \
  X(kUplinkSource, "uplink-source", kAe, "RPF_FAIL")                                       \
  X(kNotForUs, "not-for-us", kRoute, "")                                                   \
  /* local: our own addresses */                                                           \
  X(kLocalUnserved, "local-unserved", kRule, "")                                           \
  X(kNeighbourUnsolicited, "neighbour-unsolicited", kAe, "")                               \
  /* policy and state */                                                                   \
  X(kLand, "land", kMalformed, "PROTO_LAND")                                               \
  X(kBogon, "bogon", kRoute, "BOGON")                                                      \
  X(kDefaultDeny, "default-deny", kDefault, "")                                            \
  X(kRuleDrop, "rule-drop", kRule, "")                                                     \
  X(kRuleReject, "rule-reject", kRule, "")                                                 \
  X(kPolicyChanged, "policy-changed", kRule, "")                                           \
  X(kNotFirst, "not-first", kState, "")                                                    \
  X(kTcpState, "tcp-state", kState, "")                                                    \
  X(kTcpWindow, "tcp-window", kState, "")                                                  \
  X(kIcmpUnrelated, "icmp-unrelated", kState, "PROTO_ICMP_ERR")                            \
  X(kSessionLimit, "session-limit", kQuota, "DOS_STATE_QUOTA")                             \
  /* forward */                                                                            \
  X(kNoRoute, "no-route", kRoute, "")                                                      \
  X(kTtlExceeded, "ttl-exceeded", kRoute, "")                                              \
  X(kTooBig, "too-big", kRoute, "")                                                        \
  X(kMulticast, "multicast", kRoute, "")                                                   \
  X(kNeighbourUnresolved, "neighbour-unresolved", kRoute, "")                              \
  X(kHoldLimit, "hold-limit", kQuota, "")                                                  \
  X(kPuntLimit, "punt-limit", kQuota, "")                                                  \
  X(kHandoffFull, "handoff-full", kQuota, "")                                              \
  X(kTxQueueFull, "tx-queue-full", kQuota, "")                                             \
  X(kNoMemory, "no-memory", kQuota, "")                                                    \
  X(kWrongPort, "wrong-port", kState, "")                                                  \
  /* quotas: what one tenant may use of the unit */                                        \
  X(kSessionRate, "session-rate", kQuota, "CAP_STATES")                                    \
  /* state: limits */                                                                      \
  X(kHalfOpenLimit, "half-open-limit", kQuota, "DOS_SYN_FLOOD")                            \
  /* default drops: before any rule (docs/default-drops.md) */                             \
  X(kIpv4ReservedFlag, "ipv4-reserved-flag", kMalformed, "AE_IP_FORMAT")                   \
  X(kIpv4SourceRoute, "ipv4-source-route", kMalformed, "AE_IPOPT")                         \
  X(kIpv4RecordRoute, "ipv4-record-route", kMalformed, "PROTO_IPOPT")                      \
  X(kIpv4OptionFormat, "ipv4-option-format", kMalformed, "AE_IP_FORMAT")                   \
  X(kIpv6RoutingHeader, "ipv6-routing-header", kMalformed, "PROTO_EXT_HDR")                \
  X(kIpv6HopByHopOrder, "ipv6-hop-by-hop-order", kMalformed, "PROTO_EXT_HDR")              \
  X(kIpv6ChainLength, "ipv6-chain-length", kMalformed, "PROTO_EXT_HDR")                    \
  X(kIpv6Jumbo, "ipv6-jumbo", kMalformed, "PROTO_EXT_HDR")                                 \
  X(kIpv6Options, "ipv6-options", kMalformed, "PROTO_EXT_HDR")                             \
  X(kIpv6OptionFormat, "ipv6-option-format", kMalformed, "PROTO_EXT_HDR")                  \
  X(kProtocolReserved, "protocol-reserved", kMalformed, "AE_IP_FORMAT")                    \
  X(kTtlZero, "ttl-zero", kMalformed, "AE_IP_FORMAT")                                      \
  X(kTcpNull, "tcp-null", kMalformed, "PROTO_TCP_FLAGS")                                   \
  X(kTcpXmas, "tcp-xmas", kMalformed, "PROTO_TCP_FLAGS")                                   \
  X(kTcpSynFin, "tcp-syn-fin", kMalformed, "PROTO_TCP_FLAGS")                              \
  X(kTcpSynRst, "tcp-syn-rst", kMalformed, "PROTO_TCP_FLAGS")                              \
  X(kPortZero, "port-zero", kMalformed, "")                                                \
  X(kIcmpRedirect, "icmp-redirect", kMalformed, "PROTO_ICMP_ERR")                          \
  X(kIcmpDeprecated, "icmp-deprecated", kMalformed, "PROTO_ICMP_ERR")                      \
  X(kIcmpUnknown, "icmp-unknown", kMalformed, "PROTO_ICMP_ERR")                            \
  X(kIcmpLinkOnly, "icmp-link-only", kRoute, "")                                           \
  X(kSourceUnspecified, "source-unspecified", kRoute, "BOGON")                             \
  X(kSourceLoopback, "source-loopback", kRoute, "BOGON")                                   \
  X(kSourceMulticast, "source-multicast", kRoute, "BOGON")                                 \
  X(kSourceBroadcast, "source-broadcast", kRoute, "BOGON")                                 \
  X(kSourceReserved, "source-reserved", kRoute, "BOGON")                                   \
  X(kSourceLinkLocal, "source-link-local", kRoute, "BOGON")                                \
  X(kSourceOwn, "source-own", kRoute, "RPF_FAIL")                                          \
  X(kDestinationUnspecified, "destination-unspecified", kRoute, "BOGON")                   \
  X(kDestinationLoopback, "destination-loopback", kRoute, "BOGON")                         \
  X(kDestinationBroadcast, "destination-broadcast", kRoute, "")                            \
  X(kDestinationReserved, "destination-reserved", kRoute, "BOGON")                         \
  X(kDestinationLinkLocal, "destination-link-local", kRoute, "BOGON")                      \
  X(kEmbeddedIpv4, "embedded-ipv4", kRoute, "BOGON")                                       \
  X(kLinkBroadcast, "link-broadcast", kRoute, "")                                          \
  X(kReversePath, "reverse-path", kRoute, "RPF_FAIL")                                      \
  /* address translation */                                                                \
  X(kNatExhausted, "nat-exhausted", kNat, "")                                              \
  X(kNatUnmapped, "nat-unmapped", kNat, "")                                                \
  X(kNatWrongSide, "nat-wrong-side", kNat, "")                                              \
  /* state: limits of rules and sources */                                                 \
  X(kRuleLimit, "rule-limit", kQuota, "")                                                  \
  X(kSourceLimit, "source-limit", kQuota, "")                                              \
  X(kRateLimit, "rate-limit", kQuota, "")                                                  \
  /* decode and state: protocols beside TCP, UDP and ICMP */                               \
  X(kGreHeader, "gre-header", kMalformed, "")                                              \
  X(kEspHeader, "esp-header", kMalformed, "")                                              \
  X(kAuthenticationHeader, "authentication-header", kMalformed, "")                        \
  X(kSctpTag, "sctp-tag", kState, "")                                                      \
  X(kSctpState, "sctp-state", kState, "")                                        \
  /* quotas: bandwidth and fairness */                                                     \
  X(kBandwidth, "bandwidth", kQuota, "CAP_BANDWIDTH")                                      \
  X(kFairShare, "fair-share", kQuota, "CAP_FAIR_SHARE")                                    \
  /* tunnels of remote users: the faults of filters/esp/esp_fault.h, by the same names */  \
  X(kVpnSpiUnknown, "vpn-spi-unknown", kVpnAcl, "VPN_SPI_UNKNOWN")                         \
  X(kVpnLength, "vpn-esp-length", kMalformed, "VPN_MALFORMED")                             \
  X(kVpnReplay, "vpn-replay", kState, "VPN_REPLAY")                                        \
  X(kVpnAuth, "vpn-esp-auth", kVpnAcl, "VPN_ESP_AUTH")                                     \
  X(kVpnPadding, "vpn-esp-padding", kMalformed, "VPN_MALFORMED")                           \
  X(kVpnNextHeader, "vpn-next-header", kMalformed, "VPN_MALFORMED")                        \
  X(kVpnDummy, "vpn-dummy", kNone, "")                                                     \
  X(kVpnInnerFormat, "vpn-inner-format", kMalformed, "VPN_MALFORMED")                      \
  X(kVpnInnerSpoof, "vpn-inner-spoof", kVpnAcl, "VPN_INNER_SPOOF")                         \
  X(kVpnEcn, "vpn-ecn", kState, "")                                                        \
  X(kVpnSelectors, "vpn-selectors", kVpnAcl, "")                                           \
  X(kVpnExpired, "vpn-sa-expired", kState, "")                                             \
  X(kVpnSegments, "vpn-segments", kFrag, "")                                               \
  X(kVpnSaMissing, "vpn-sa-missing", kState, "")                                           \
  X(kVpnSequenceEnd, "vpn-sequence-end", kState, "")                                       \
  X(kVpnTooBig, "vpn-too-big", kRoute, "")                                                 \
  X(kVpnRoom, "vpn-room", kQuota, "")                                                      \
  X(kVpnCrypto, "vpn-crypto", kState, "")                                                  \
  X(kVpnNoLease, "vpn-no-lease", kRoute, "") /* no tunnel has the inner address */         \
  X(kVpnRingFull, "vpn-ring-full", kQuota, "") /* its daemon does not keep up */           \
  X(kIkeUnserved, "ike-unserved", kRule, "") /* nobody here speaks IKE */                  \
  X(kVpnL2tpFormat, "vpn-l2tp-format", kMalformed, "VPN_MALFORMED")                        \
  X(kVpnL2tpSession, "vpn-l2tp-session", kVpnAcl, "") /* IP before a login, or for another session */ \
  X(kVpnL2tpLimit, "vpn-l2tp-limit", kQuota, "")   /* a peer's control frames of a second are used up */ \
  X(kL2tpClear, "l2tp-clear", kVpnAcl, "")         /* L2TP to a gateway outside ESP */     \
  X(kL2tpUnserved, "l2tp-unserved", kRule, "")     /* nobody here speaks L2TP */

/// Why a packet ended. Each has a counter per shard, a name, and a test.
enum class DropReason : std::uint8_t {
#define SEKISHO_X(enumerator, name, reason, event) enumerator,
  SEKISHO_DROP_REASONS(SEKISHO_X)
#undef SEKISHO_X
  kCount
};

struct DropReasonInfo {
  std::string_view name;   ///< "tcp-window"
  LogReason log_reason;    ///< what a comm record says
  std::string_view event;  ///< security event code (specification 3.7), empty when the drop makes no sec record
};

/// Facts about `reason`. `reason` below kCount.
const DropReasonInfo& info(DropReason reason);

}  // namespace sekisho::filters
