// SPDX-License-Identifier: Apache-2.0
#include "vpn/device_record.h"

#include "base/proto/vpn_log.pb.h"

namespace sekisho::vpn {
namespace {

constexpr std::uint64_t kSecondNs = 1'000'000'000;

ipc::DeviceRecord::Result result_of(DeviceVerdict::Result result) {
  switch (result) {
    case DeviceVerdict::Result::kOk: return ipc::DeviceRecord::OK;
    case DeviceVerdict::Result::kFail: return ipc::DeviceRecord::FAIL;
    case DeviceVerdict::Result::kPending: return ipc::DeviceRecord::PENDING;
    case DeviceVerdict::Result::kNone: case DeviceVerdict::Result::kSkipped: break;
  }
  return ipc::DeviceRecord::SKIPPED;
}

}  // namespace

ipc::VpnRecord::Protocol record_protocol(Protocol protocol) {
  switch (protocol) {
    case Protocol::kIkeV2: return ipc::VpnRecord::IKEV2;
    case Protocol::kL2tp: return ipc::VpnRecord::L2TP;
    case Protocol::kSstp: return ipc::VpnRecord::SSTP;
    case Protocol::kPptp: return ipc::VpnRecord::PPTP;
  }
  return ipc::VpnRecord::NO_PROTOCOL;
}

void fill_device(ipc::DeviceRecord& out, const Session& session, std::uint64_t vpn_sid) {
  const DeviceVerdict& device = session.device;
  const ProvenCertificate* shown = session.certificate(true);
  out.set_result(result_of(device.result));
  const bool by_mac = shown == nullptr && !device.mac.is_zero();
  out.set_method(by_mac ? "mac" : "cert");
  if (!device.mac.is_zero()) out.set_seen_mac(std::string(device.mac.bytes.begin(), device.mac.bytes.end()));
  out.set_assured(shown == nullptr ? "asserted" : "proven");
  out.set_vpn_sid(vpn_sid);
  out.set_protocol(record_protocol(session.protocol));
  const auto peer = session.path.remote.address.wire();
  out.set_peer_address(std::string(peer.begin(), peer.end()));
  out.set_user(session.user);
  out.set_device_id(device.id);
  out.set_device_name(device.name);
  out.set_device_group(device.group);
  out.set_os(device.os);
  out.set_policy(device.policy.empty() ? "none" : device.policy);
  out.set_cause(std::string(name_of(device.why)));
  if (shown == nullptr) return;
  out.set_certificate_serial(shown->facts.serial);
  out.set_certificate_subject(shown->facts.subject);
  out.set_certificate_issuer(shown->facts.issuer);
  if (shown->facts.not_after > 0) out.set_certificate_end_ns(static_cast<std::uint64_t>(shown->facts.not_after) * kSecondNs);
  out.set_revocation(std::string(name_of(shown->revocation)));
}

}  // namespace sekisho::vpn
