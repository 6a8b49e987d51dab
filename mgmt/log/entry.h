// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/net/address.h"
#include "base/shm/log_record.h"
#include "filters/drop_reason.h"

/// The model of one log record, field for field docs/logs.md. An empty string, zero timestamp, zero id, zero MAC,
/// address without family, empty list or enumerator 0 means: the field is absent. Plain numbers are always present.
namespace sekisho::mgmt {

/// Nanoseconds since 1970 UTC; shown as RFC 3339 with milliseconds at +09:00.
struct Timestamp {
  std::uint64_t ns = 0;
  auto operator<=>(const Timestamp&) const = default;
};

/// Shown as 16 hex digits.
struct HexId {
  std::uint64_t value = 0;
  auto operator<=>(const HexId&) const = default;
};

struct Uuid {
  std::array<std::uint8_t, 16> bytes{};
  auto operator<=>(const Uuid&) const = default;
};

enum class Direction : std::uint8_t { kNone = 0, kIn, kOut, kLateral, kLocal };
enum class SecCategory : std::uint8_t {
  kNone = 0,
  kAddress,
  kThreat,
  kDos,
  kScan,
  kProtocol,
  kVpn,
  kAuth,
  kConfig,
  kIntegrity,
  kCapacity,
};
enum class SecAction : std::uint8_t { kNone = 0, kDetected, kDropped, kReset, kRateLimited, kQuarantined, kLocked };
enum class SignatureSeverity : std::uint8_t { kNone = 0, kInfo, kLow, kMedium, kHigh, kCritical };

struct CommFields {
  CommPhase phase{};
  CommAction action{};
  filters::LogReason reason{};
  HexId flow_id;
  Direction dir{};
  std::string in_if, out_if, in_zone, out_zone;
  std::uint8_t ip_ver = 0;
  std::uint8_t proto = 0;
  Address src_ip;
  std::optional<std::uint16_t> src_port;
  Address dst_ip;
  std::optional<std::uint16_t> dst_port;
  std::optional<std::uint8_t> icmp_type, icmp_code;
  Address nat_src_ip;
  std::optional<std::uint16_t> nat_src_port;
  Address nat_dst_ip;
  std::optional<std::uint16_t> nat_dst_port;
  Uuid rule_id;
  std::string rule_name;
  std::optional<std::uint16_t> rule_no;
  std::string policy, svc_obj, app, user, user_group;
  HexId vpn_sid;
  Mac src_mac, dst_mac;
  std::string segment;
  std::optional<std::uint16_t> pkt_len;
  std::optional<std::uint8_t> tcp_flags;
  std::optional<std::uint64_t> bytes_fwd, bytes_rev, pkts_fwd, pkts_rev;
  Timestamp start_ts;
  std::optional<std::uint64_t> dur_ms;
  EndReason end_reason{};
  std::uint32_t count = 1;
  std::uint16_t sample_n = 1;
  std::string src_cc, dst_cc;
  std::string drop;  ///< name of the drop reason
  bool operator==(const CommFields&) const = default;
};

struct SecFields {
  std::string event;
  SecCategory cat{};
  SecAction action{};
  Timestamp first_ts, last_ts;
  std::uint32_t count = 1;
  std::string binding;
  Mac bind_mac;
  std::vector<Address> bind_ips;
  std::string segment, in_if;
  Mac eth_src, eth_dst;
  std::optional<std::uint16_t> eth_type, arp_op;
  Mac arp_sha;
  Address arp_spa, arp_tpa;
  std::optional<std::uint8_t> nd_type;
  Address nd_target;
  Mac nd_lla;
  Address src_ip;
  std::optional<std::uint16_t> src_port;
  Address dst_ip;
  std::optional<std::uint16_t> dst_port;
  std::optional<std::uint8_t> proto;
  std::optional<std::uint32_t> sig_id;
  std::string sig_name, sig_cat;
  SignatureSeverity sig_sev{};
  Uuid rule_id;
  std::string rule_name;
  HexId flow_id;
  std::string user;
  HexId vpn_sid;
  std::string msg, sample;
  Direction dir{};
  std::string app, url, file_name, file_hash;
  bool operator==(const SecFields&) const = default;
};

enum class AclPhase : std::uint8_t { kNone = 0, kStart, kEnd, kDeny };
enum class AclAction : std::uint8_t { kNone = 0, kPermit, kDeny };
enum class AclReason : std::uint8_t { kNone = 0, kRule, kDefault, kSchedule, kDevice, kGroup, kFqdn };
enum class VpnEvent : std::uint8_t { kNone = 0, kStart, kAuthOk, kAuthFail, kAssigned, kUp, kRekey, kMoved, kUsage, kDown, kDenied };
enum class VpnResult : std::uint8_t { kNone = 0, kOk, kFail };
enum class VpnProtocol : std::uint8_t { kNone = 0, kIkev2, kL2tp, kSstp, kPptp, kMobile };
enum class VpnAuth : std::uint8_t { kNone = 0, kEapMschapv2, kEapTls, kEapTtls, kEapPeap, kPubkey, kPap, kChap, kMschapv2, kPsk };
enum class VpnMfa : std::uint8_t { kAbsent = 0, kNone, kTotp, kRadiusOtp, kPush, kCert };
enum class VpnCause : std::uint8_t {
  kNone = 0, kUser, kPeerLost, kIdle, kMaxTime, kAdmin, kReplaced, kLimitUser, kLimitTenant, kPoolEmpty, kAuth, kDevice,
  kSchedule, kSrcIp, kCrypto, kCertExpired, kCertRevoked, kBackendDown, kConfig, kMaintenance, kFailover, kInternal,
};

struct VpnFields {
  VpnEvent event{};
  VpnResult result{};
  HexId vpn_sid;
  VpnProtocol proto{};
  Address peer_ip;
  std::optional<std::uint16_t> peer_port;
  std::optional<bool> natt;
  std::string peer_cc, gw_name, user, ike_id, realm;
  VpnAuth auth{};
  VpnMfa mfa{};
  std::string backend, user_group;
  std::vector<std::string> user_groups;
  std::string device_id, cert_serial, cert_subject;
  Address ip4, ip6;
  std::string pool, ike_suite, esp_suite, client;
  std::optional<std::uint16_t> sessions;
  Timestamp start_ts;
  std::optional<std::uint64_t> dur_s, bytes_in, bytes_out, pkts_in, pkts_out;
  VpnCause cause{};
  std::string msg, xid;  ///< xid: provider only
  bool operator==(const VpnFields&) const = default;
};

struct AclFields {
  AclPhase phase{};
  AclAction action{};
  AclReason reason{};
  HexId vpn_sid, flow_id;
  std::string user, user_group, host_group, service_group, host_obj, svc_obj, device_id;
  Uuid rule_id;
  std::string rule_name;
  std::uint16_t rule_no = 0;
  std::uint8_t ip_ver = 0;
  std::uint8_t proto = 0;
  Address src_ip;
  std::optional<std::uint16_t> src_port;
  Address dst_ip;
  std::optional<std::uint16_t> dst_port;
  std::optional<std::uint8_t> icmp_type, icmp_code;
  std::string dst_fqdn;
  Address peer_ip;
  std::optional<std::uint64_t> bytes_in, bytes_out, dur_ms;
  std::uint32_t count = 1;
  bool operator==(const AclFields&) const = default;
};

enum class DeviceResult : std::uint8_t { kNone = 0, kOk, kFail, kPending, kSkipped };
enum class DeviceMethod : std::uint8_t { kNone = 0, kCert, kMac, kDeviceId, kImsi, kPosture };
enum class DeviceAssurance : std::uint8_t { kNone = 0, kProven, kAsserted };
enum class DeviceRevocation : std::uint8_t { kNone = 0, kGood, kRevoked, kUnknown, kUnchecked };
enum class DeviceCause : std::uint8_t {
  kAbsent = 0, kNone, kUnregistered, kNotApproved, kDisabled, kExpired, kRevoked, kChain, kUserMismatch, kDeviceLimit,
  kMacMismatch, kPosture,
  kCrlStale, kGroup,
};

struct DevauthFields {
  DeviceResult result{};
  DeviceMethod method{};
  DeviceAssurance assured{};
  HexId vpn_sid;
  VpnProtocol proto{};
  Address peer_ip;
  std::string user, device_id, device_name, device_group;
  Mac seen_mac;
  std::string seen_id, cert_serial, cert_subject, cert_issuer;
  Timestamp cert_not_after;
  DeviceRevocation revocation{};
  std::string os;
  std::vector<std::string> posture_fail;
  std::string policy;
  DeviceCause cause{};
  bool operator==(const DevauthFields&) const = default;
};

struct LossFields {
  LogKind of{};
  std::uint64_t seq_from = 0, seq_to = 0, count = 0;
  LossCause why{};
  Timestamp from_ts, to_ts;
  std::string export_name{};  ///< lost to this collector alone, not to the log
  bool operator==(const LossFields&) const = default;
};

enum class AuditActor : std::uint8_t { kNone = 0, kTenant, kEnduser, kApi, kProvider, kSystem };
enum class AuditChannel : std::uint8_t { kNone = 0, kPortal, kApi, kSelfservice, kAgent, kSchedule };
enum class AuditOperation : std::uint8_t {
  kNone = 0, kLogin, kLoginFail, kLogout, kLock, kUnlock, kCreate, kUpdate, kDelete, kReorder, kRename, kSubmit, kApprove, kRefuse,
  kCommit, kConfirm, kRollback, kSearch, kDownload, kExport, kRevoke, kDisconnect, kErase, kAccess, kBackup, kRestore, kUpgrade,
  kFailover, kSetting,
};
enum class AuditResult : std::uint8_t { kNone = 0, kOk, kFail, kDenied };

struct AuditFields {
  AuditActor actor_kind{};
  std::string actor, role, auth;
  Address src_ip;
  AuditChannel channel{};
  HexId session;
  AuditOperation op{};
  std::string obj_type;
  Uuid obj_id;
  std::string obj_name, before, after;
  AuditResult result{};
  std::string cause;
  std::optional<std::uint32_t> rev_from, rev_to;
  std::string ticket, comment;
  Uuid req_id;
  std::string staff_id;  ///< provider only
  bool operator==(const AuditFields&) const = default;
};

struct LogEntry {
  std::uint8_t version = 1;
  LogKind type{};
  Timestamp ts;
  std::string svc, gw, node;
  std::uint64_t seq = 0;
  Uuid eid;
  std::uint32_t rev = 0;
  std::uint8_t sev = 6;
  std::string host;                                      ///< provider only
  std::optional<std::uint16_t> core;                     ///< provider only
  std::optional<bool> time_synced;  ///< whether the clock agreed with an outer source when this got its number; nothing: not known
  /// The alternative that `type` names.
  std::variant<CommFields, SecFields, LossFields, VpnFields, AclFields, DevauthFields, AuditFields> body;
  bool operator==(const LogEntry&) const = default;
};

/// An entry of `type` with an empty body of that type.
LogEntry make_entry(LogKind type);

/// Every type, in the order they are numbered.
inline constexpr auto kAllTypes = std::to_array<LogKind>({LogKind::kComm, LogKind::kSec, LogKind::kLoss, LogKind::kVpn, LogKind::kAcl,
                                                        LogKind::kDevauth, LogKind::kAudit});

/// True for `[a-z]{3}[0-9]{8}`: anything else never becomes a folder name.
bool is_service_code(std::string_view text);

// Text of every enumerator, index = value; index 0 is the absent one.
template <typename E>
struct EnumText;
#define SEKISHO_ENUM_TEXT(type, ...)                                               \
  template <>                                                                      \
  struct EnumText<type> {                                                          \
    static constexpr auto kNames = std::to_array<std::string_view>({__VA_ARGS__}); \
  };
SEKISHO_ENUM_TEXT(LogKind, "", "comm", "sec", "loss", "vpn", "acl", "devauth", "audit")
SEKISHO_ENUM_TEXT(AclPhase, "", "start", "end", "deny")
SEKISHO_ENUM_TEXT(AclAction, "", "permit", "deny")
SEKISHO_ENUM_TEXT(AclReason, "", "rule", "default", "schedule", "device", "group", "fqdn")
SEKISHO_ENUM_TEXT(CommPhase, "", "start", "update", "end", "drop")
SEKISHO_ENUM_TEXT(CommAction, "", "allow", "drop", "reject")
SEKISHO_ENUM_TEXT(EndReason, "", "tcp_fin", "tcp_rst", "aged", "policy", "cleared", "vpn_down", "quota", "failover")
SEKISHO_ENUM_TEXT(filters::LogReason, "", "rule", "default", "state", "ae", "nat", "route", "frag", "malformed",
                  "quota", "storm", "vpn_acl", "schedule")
SEKISHO_ENUM_TEXT(Direction, "", "in", "out", "lat", "local")
SEKISHO_ENUM_TEXT(SecCategory, "", "address", "threat", "dos", "scan", "protocol", "vpn", "auth", "config", "integrity",
                  "capacity")
SEKISHO_ENUM_TEXT(SecAction, "", "detected", "dropped", "reset", "rate_limited", "quarantined", "locked")
SEKISHO_ENUM_TEXT(SignatureSeverity, "", "info", "low", "medium", "high", "critical")
SEKISHO_ENUM_TEXT(LossCause, "", "rate_limit", "queue_full", "disk_full", "restart", "sampled")
SEKISHO_ENUM_TEXT(VpnEvent, "", "start", "auth_ok", "auth_fail", "assigned", "up", "rekey", "moved", "usage", "down", "denied")
SEKISHO_ENUM_TEXT(VpnResult, "", "ok", "fail")
SEKISHO_ENUM_TEXT(VpnProtocol, "", "ikev2", "l2tp", "sstp", "pptp", "mobile")
SEKISHO_ENUM_TEXT(VpnAuth, "", "eap-mschapv2", "eap-tls", "eap-ttls", "eap-peap", "pubkey", "pap", "chap", "mschapv2", "psk")
SEKISHO_ENUM_TEXT(DeviceResult, "", "ok", "fail", "pending", "skipped")
SEKISHO_ENUM_TEXT(DeviceMethod, "", "cert", "mac", "device_id", "imsi", "posture")
SEKISHO_ENUM_TEXT(DeviceAssurance, "", "proven", "asserted")
SEKISHO_ENUM_TEXT(DeviceRevocation, "", "good", "revoked", "unknown", "unchecked")
SEKISHO_ENUM_TEXT(DeviceCause, "", "none", "unregistered", "not_approved", "disabled", "expired", "revoked", "chain", "user_mismatch",
                  "device_limit", "mac_mismatch", "posture", "crl_stale", "group")
SEKISHO_ENUM_TEXT(VpnMfa, "", "none", "totp", "radius_otp", "push", "cert")
SEKISHO_ENUM_TEXT(VpnCause, "", "user", "peer_lost", "idle", "max_time", "admin", "replaced", "limit_user", "limit_tenant",
                  "pool_empty", "auth", "device", "schedule", "src_ip", "crypto", "cert_expired", "cert_revoked",
                  "backend_down", "config", "maintenance", "failover", "internal")
SEKISHO_ENUM_TEXT(AuditActor, "", "tenant", "enduser", "api", "provider", "system")
SEKISHO_ENUM_TEXT(AuditChannel, "", "portal", "api", "selfservice", "agent", "schedule")
SEKISHO_ENUM_TEXT(AuditOperation, "", "login", "login_fail", "logout", "lock", "unlock", "create", "update", "delete", "reorder",
                  "rename", "submit", "approve", "refuse", "commit", "confirm", "rollback", "search", "download", "export",
                  "revoke", "disconnect", "erase", "access", "backup", "restore", "upgrade", "failover", "setting")
SEKISHO_ENUM_TEXT(AuditResult, "", "ok", "fail", "denied")
#undef SEKISHO_ENUM_TEXT

template <typename E>
std::string_view text_of(E value) {
  const auto index = static_cast<std::size_t>(value);
  return index < EnumText<E>::kNames.size() ? EnumText<E>::kNames[index] : std::string_view{};
}

template <typename E>
std::optional<E> enum_from(std::string_view text) {
  for (std::size_t i = 1; i < EnumText<E>::kNames.size(); ++i) {
    if (EnumText<E>::kNames[i] == text) return static_cast<E>(i);
  }
  return std::nullopt;
}

}  // namespace sekisho::mgmt
