// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/record.h"

#include <cstddef>

#include "base/limits.h"
#include "base/wire/reader.h"
#include "filters/drop_reason.h"
#include "mgmt/log/entry.h"
#include "mgmt/log/events.h"

namespace sekisho::mgmt {
namespace {

constexpr std::size_t kBodyOffset = sizeof(LogEnvelope);
static_assert(kBodyOffset + sizeof(CommBody) <= sizeof(LogRecord) &&
              kBodyOffset + sizeof(SecBody) <= sizeof(LogRecord) &&
              kBodyOffset + sizeof(LossBody) <= sizeof(LogRecord));

Error bad(std::size_t offset) {
  return {ErrorCode::kMalformed, ErrorSite::kLogRing, static_cast<std::uint32_t>(offset)};
}
#define SEKISHO_ENVELOPE(member) bad(offsetof(LogEnvelope, member))
#define SEKISHO_BODY(type, member) bad(kBodyOffset + offsetof(type, member))

template <typename E>
bool is_named(E value) {
  return !text_of(value).empty();
}

Result<void> check_envelope(const LogEnvelope& envelope) {
  if (envelope.timestamp < kTimestampMin) return SEKISHO_ENVELOPE(timestamp);
  if (envelope.tenant > limits::kTenantIdMax) return SEKISHO_ENVELOPE(tenant);
  if (envelope.generation == 0) return SEKISHO_ENVELOPE(generation);
  if (!is_named(envelope.kind) || envelope.kind > LogKind::kLoss) return SEKISHO_ENVELOPE(kind);
  if (envelope.shard >= limits::kShardsMax) return SEKISHO_ENVELOPE(shard);
  if (envelope.drop_reason >= static_cast<std::uint8_t>(filters::DropReason::kCount))
    return SEKISHO_ENVELOPE(drop_reason);
  if (envelope.notice >= kNoticeCount) return SEKISHO_ENVELOPE(notice);
  if (envelope.notice != kNoticeNone && (envelope.kind != LogKind::kSec || envelope.drop_reason != 0)) return SEKISHO_ENVELOPE(notice);
  if (envelope.count == 0) return SEKISHO_ENVELOPE(count);
  return {};
}

Result<void> check(const LogEnvelope&, const CommBody& body) {
  if (body.ip_version != 4 && body.ip_version != 6) return SEKISHO_BODY(CommBody, ip_version);
  if (!is_named(body.phase)) return SEKISHO_BODY(CommBody, phase);
  if (!is_named(body.action)) return SEKISHO_BODY(CommBody, action);
  if (body.phase == CommPhase::kDrop && body.action == CommAction::kAllow) return SEKISHO_BODY(CommBody, action);
  if (body.end_reason > EndReason::kSchedule) return SEKISHO_BODY(CommBody, end_reason);
  return {};
}

Result<void> check(const LogEnvelope& envelope, const SecBody& body) {
  if (envelope.notice == kNoticeNone && filters::info(static_cast<filters::DropReason>(envelope.drop_reason)).event.empty()) {
    return SEKISHO_ENVELOPE(drop_reason);
  }
  if (body.ip_version != 0 && body.ip_version != 4 && body.ip_version != 6) return SEKISHO_BODY(SecBody, ip_version);
  const bool quota = !notice_info(LogNotice{envelope.notice}).quota.empty();
  if (body.level > 100 || (body.level != 0) != quota) return SEKISHO_BODY(SecBody, level);
  if (body.rule > limits::kRuleIdMax) return SEKISHO_BODY(SecBody, rule);
  if (body.arp_operation > 2) return SEKISHO_BODY(SecBody, arp_operation);
  if (body.nd_type != 0 && (body.nd_type < 133 || body.nd_type > 137)) return SEKISHO_BODY(SecBody, nd_type);
  return {};
}

Result<void> check(const LogEnvelope&, const LossBody& body) {
  if (body.count == 0 || body.count > kLossCountMax) return SEKISHO_BODY(LossBody, count);
  if (body.of != LogKind::kComm && body.of != LogKind::kSec) return SEKISHO_BODY(LossBody, of);
  if (body.why != LossCause::kRateLimit && body.why != LossCause::kQueueFull) return SEKISHO_BODY(LossBody, why);
  return {};
}
#undef SEKISHO_ENVELOPE
#undef SEKISHO_BODY

template <typename Body>
Result<RingRecord> with_body(const LogEnvelope& envelope, WireReader& reader) {
  SEKISHO_TRY(const Body body, reader.copy<Body>());
  SEKISHO_CHECK_OK(check(envelope, body));
  return RingRecord{envelope, body};
}

}  // namespace

Result<RingRecord> decode_record(const LogRecord& record) {
  WireReader reader(record.bytes);
  SEKISHO_TRY(const LogEnvelope envelope, reader.copy<LogEnvelope>());
  SEKISHO_CHECK_OK(check_envelope(envelope));
  switch (envelope.kind) {
    case LogKind::kComm:
      return with_body<CommBody>(envelope, reader);
    case LogKind::kSec:
      return with_body<SecBody>(envelope, reader);
    case LogKind::kLoss:
      return with_body<LossBody>(envelope, reader);
    case LogKind::kVpn:
    case LogKind::kAcl:
    case LogKind::kDevauth:
    case LogKind::kAudit:
      break;
  }
  return bad(offsetof(LogEnvelope, kind));
}

}  // namespace sekisho::mgmt
