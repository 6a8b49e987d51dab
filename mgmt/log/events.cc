// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/events.h"

#include <algorithm>

namespace sekisho::mgmt {
namespace {

constexpr auto kAddress = SecCategory::kAddress;
constexpr auto kProtocol = SecCategory::kProtocol;
constexpr std::uint8_t kAddressSeverity = 4;
constexpr std::uint8_t kDosSeverity = 3;
constexpr std::uint8_t kProtocolSeverity = 5;
constexpr std::uint8_t kCapacitySeverity = 4;
constexpr std::uint8_t kRuleEndSeverity = 4;
constexpr std::uint8_t kVpnSeverity = 4;
constexpr std::uint8_t kIntegritySeverity = 3;

constexpr EventInfo address(std::string_view code, std::string_view sentence) {
  return {code, kAddress, kAddressSeverity, sentence};
}
constexpr EventInfo protocol(std::string_view code, std::string_view sentence) {
  return {code, kProtocol, kProtocolSeverity, sentence};
}

constexpr EventInfo tunnel(std::string_view code, std::string_view sentence) {
  return {code, SecCategory::kVpn, kVpnSeverity, sentence};
}

/// What the daemons of remote access report.
constexpr EventInfo keying(std::string_view code, SecCategory category, SecAction action, std::string_view sentence) {
  return {code, category, kVpnSeverity, sentence, EventSender::kKeying, action};
}

/// What controld reports.
constexpr EventInfo control(std::string_view code, SecCategory category, std::uint8_t severity, SecAction action,
                            std::string_view sentence) {
  return {code, category, severity, sentence, EventSender::kControl, action};
}

constexpr auto kEvents = std::to_array<EventInfo>({
    address("AE_UNBOUND", "Nothing is assigned to this port, so it neither sends nor receives"),
    address("AE_STORM", "Frames of one class exceed the rate allowed on this port"),
    address("AE_FRAME", "Ethernet frame with an impossible source address, tag or length"),
    address("AE_ETYPE", "Ethernet type is not permitted on this port"),
    address("AE_MAC", "Source MAC address is not assigned to this port"),
    address("AE_ARP_FORMAT", "ARP message is malformed"),
    address("AE_ARP_SHA", "ARP sender hardware address differs from the frame's source"),
    address("AE_ARP_PROBE", "ARP probe for an address that is not assigned to this port"),
    address("AE_ARP_SPA", "ARP sender address is not assigned to this port"),
    address("AE_ARP_THA", "ARP reply target hardware address differs from the frame's destination"),
    address("AE_IP_FORMAT", "IP header is malformed"),
    address("AE_IPOPT", "IPv4 source routing option is not permitted"),
    address("AE_DHCP_CHADDR", "DHCP client hardware address differs from the frame's source"),
    address("AE_IP4", "IPv4 source address is not assigned to this port"),
    address("AE_DHCP_SRV", "DHCP server message from a port without the dhcp role"),
    address("AE_REDIRECT", "ICMP redirect from a port without the router role"),
    address("AE_QUERY", "Multicast membership query from a port without the querier role"),
    address("AE_VRRP", "VRRP message with a virtual router id that is not assigned to this port"),
    address("AE_RH0", "IPv6 routing header type 0 is not permitted"),
    address("AE_DAD_FOREIGN", "Duplicate address detection for an address that is not assigned to this port"),
    address("AE_IP6", "IPv6 source address is not assigned to this port"),
    address("AE_LLA", "IPv6 link-local address is not permitted on this port"),
    address("AE_ND_HLIM", "Neighbour discovery message with a hop limit other than 255"),
    address("AE_ND_FORMAT", "Neighbour discovery message is malformed"),
    address("AE_ND_FRAG", "Neighbour discovery message in a fragment or behind an extension header"),
    address("AE_ND_LLA", "Neighbour discovery link-layer option differs from the frame's source"),
    address("AE_NA", "Neighbour advertisement for an address that is not assigned to this port"),
    address("AE_NA_ROUTER", "Neighbour advertisement says router, from a port without the router role; it was not refused for that"),
    address("AE_RA", "Router advertisement from a port without the router role"),
    address("AE_DST_FOREIGN", "Packet for an address that is not assigned to this port"),
    address("AE_QUARANTINE", "Too many violations in a minute: everything of this binding is refused for five minutes"),
    address("AE_RELEASE", "The quarantine of this binding has ended; count says how many packets it refused"),
    address("AE_OTHER", "Further violations, folded because too many differ"),
    address("RPF_FAIL", "Source address does not belong where the packet came from"),
    address("BOGON", "Source or destination address is never valid on this path"),
    protocol("PROTO_TCP_FLAGS", "TCP header is malformed or has an impossible combination of flags"),
    protocol("PROTO_TINY_FRAG", "First fragment does not hold the whole transport header"),
    protocol("PROTO_FRAG_OVERLAP", "Fragments of one datagram overlap"),
    EventInfo{"DOS_FRAG", SecCategory::kDos, kDosSeverity, "Limit of fragments that wait for the rest is reached"},
    protocol("PROTO_LAND", "Source and destination address and port are the same"),
    protocol("PROTO_IPOPT", "IPv4 option is not permitted"),
    protocol("PROTO_ICMP_ERR", "ICMP message belongs to no known connection or is of a kind that never passes"),
    protocol("PROTO_EXT_HDR", "IPv6 extension headers or their options are malformed, not permitted or too many"),
    EventInfo{"CAP_STATES", SecCategory::kCapacity, kCapacitySeverity, "Rate of new connections is above the tenant's quota"},
    EventInfo{"DOS_SYN_FLOOD", SecCategory::kDos, kDosSeverity, "Connections not yet established exceed their limit"},
    EventInfo{"CAP_BANDWIDTH", SecCategory::kCapacity, kCapacitySeverity, "Traffic is above the tenant's bandwidth"},
    EventInfo{"CAP_FAIR_SHARE", SecCategory::kCapacity, kCapacitySeverity, "An overloaded queue gives the tenant no more than its share"},
    EventInfo{"CAP_LOGRATE", SecCategory::kCapacity, kCapacitySeverity, "Log records are above the tenant's rate; those lost are counted"},
    EventInfo{"CAP_HALF_OPEN", SecCategory::kCapacity, kCapacitySeverity, "Connections not yet established come near the tenant's quota"},
    EventInfo{"CAP_FRAGMENTS", SecCategory::kCapacity, kCapacitySeverity, "Fragments that wait come near the tenant's quota"},
    EventInfo{"CAP_RULES", SecCategory::kCapacity, kCapacitySeverity, "Rules come near the tenant's quota"},
    EventInfo{"CFG_RULE_ENDING", SecCategory::kConfig, kRuleEndSeverity, "The rule expires within seven days"},
    EventInfo{"CFG_RULE_EXPIRED", SecCategory::kConfig, kRuleEndSeverity, "The rule has expired and judges nothing any more"},
    address("VPN_INNER_SPOOF", "A remote user sent from an address that is not his lease"),
    tunnel("VPN_SPI_UNKNOWN", "Encrypted packet for no tunnel of this gateway"),
    tunnel("VPN_REPLAY", "Encrypted packet that was seen before, or is older than its tunnel remembers"),
    tunnel("VPN_ESP_AUTH", "Encrypted packet that its tunnel's key does not prove genuine"),
    tunnel("VPN_MALFORMED", "Encrypted packet, or what it holds, is malformed"),
    keying("AUTH_BACKEND_FORGED", SecCategory::kAuth, SecAction::kDropped,
           "Messages to a RADIUS backend that its servers' secrets did not sign"),
    keying("AUTH_LOCK_USER", SecCategory::kAuth, SecAction::kLocked,
           "Too many wrong passwords: the user is shut out for a quarter of an hour"),
    keying("AUTH_LOCK_SRC", SecCategory::kAuth, SecAction::kLocked,
           "Wrong passwords of too many users from one source: it is shut out for a quarter of an hour"),
    keying("AUTH_SPRAY", SecCategory::kAuth, SecAction::kDetected,
           "Wrong passwords of many users from several sources; none of them came in since"),
    keying("AUTH_CERT_REVOKED", SecCategory::kAuth, SecAction::kDropped, "Somebody came with a revoked certificate"),
    keying("AUTH_CRL_STALE", SecCategory::kAuth, SecAction::kDropped,
           "A certificate was refused because the revocation list of its CA is out of date"),
    keying("VPN_CRYPTO_REFUSED", SecCategory::kVpn, SecAction::kDropped,
           "The client offered no algorithms that the gateway accepts"),
    keying("VPN_LEGACY_USED", SecCategory::kVpn, SecAction::kDetected,
           "Somebody came in by what the profile legacy alone allows"),
    keying("VPN_SSTP_BINDING", SecCategory::kVpn, SecAction::kDropped,
           "The login does not belong to this TLS connection: somebody may stand between"),
    keying("CAP_POOL", SecCategory::kCapacity, SecAction::kDropped, "No inner address is left for remote users"),
    control("AUTH_ADMIN_LOCK", SecCategory::kAuth, kVpnSeverity, SecAction::kLocked,
            "Too many wrong secrets: an administrator's account is locked"),
    control("AUTH_ADMIN_SRC_DENY", SecCategory::kAuth, kVpnSeverity, SecAction::kDropped,
            "An administrator's account was tried from a source that it does not allow"),
    control("CFG_ROLLBACK", SecCategory::kConfig, kIntegritySeverity, SecAction::kDetected,
            "A configuration that nobody confirmed was taken back"),
    control("CAP_CERT_EXPIRY", SecCategory::kCapacity, kCapacitySeverity, SecAction::kDetected,
            "A certificate ends soon, or has ended"),
    control("INT_CLOCK", SecCategory::kIntegrity, kIntegritySeverity, SecAction::kDetected, "The clock was set"),
    EventInfo{"DOS_STATE_QUOTA", SecCategory::kDos, kDosSeverity, "Limit of concurrent connections is reached"},
});

}  // namespace

const EventInfo* find_event(std::string_view code) {
  const auto* found = std::find_if(kEvents.begin(), kEvents.end(), [&](const EventInfo& e) { return e.code == code; });
  return found == kEvents.end() ? nullptr : found;
}

NoticeInfo notice_info(LogNotice notice) {
  switch (notice) {
    case kNoticeNone: break;
    case kNoticeLogRate: return {"CAP_LOGRATE", ""};
    case kNoticeQuotaSessions: return {"CAP_STATES", "concurrent connections"};
    case kNoticeQuotaSessionRate: return {"CAP_STATES", "new connections in a second"};
    case kNoticeQuotaHalfOpen: return {"CAP_HALF_OPEN", "connections not yet established"};
    case kNoticeQuotaFragments: return {"CAP_FRAGMENTS", "fragments that wait for the rest"};
    case kNoticeQuotaLogRate: return {"CAP_LOGRATE", "burst of log records"};
    case kNoticeQuotaRules: return {"CAP_RULES", "rules"};
    case kNoticeRuleEnding: return {"CFG_RULE_ENDING", ""};
    case kNoticeRuleExpired: return {"CFG_RULE_EXPIRED", ""};
    case kNoticeRouterFlag: return {"AE_NA_ROUTER", ""};
    case kNoticeCount: break;
  }
  return {"", ""};
}

}  // namespace sekisho::mgmt
