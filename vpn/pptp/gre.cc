// SPDX-License-Identifier: Apache-2.0
#include "vpn/pptp/gre.h"

#include "vpn/ppp/frame.h"

namespace sekisho::vpn::pptp {
namespace {

/// RFC 2637 4.1: key present; sequence and acknowledgement present; version 1.
constexpr std::uint16_t kKey = 0x2000, kSequence = 0x1000, kAck = 0x0080, kVersion = 0x0001;
constexpr std::uint16_t kPpp = 0x880b;
constexpr std::uint32_t kHalf = 0x80000000;

}  // namespace

Result<GrePacket> parse_gre(ByteSpan packet) {
  WireReader reader(packet);
  GrePacket out;
  SEKISHO_TRY(const std::uint16_t flags, reader.u16());
  SEKISHO_TRY(const std::uint16_t protocol, reader.u16());
  if ((flags & 7) != kVersion || protocol != kPpp) return Error{ErrorCode::kUnsupported, ErrorSite::kWire, 0};
  if ((flags & ~(kSequence | kAck)) != (kKey | kVersion)) return Error{ErrorCode::kMalformed, ErrorSite::kWire, 0};
  SEKISHO_TRY(const std::uint16_t size, reader.u16());
  SEKISHO_TRY(out.call, reader.u16());
  out.has_sequence = (flags & kSequence) != 0;
  out.has_ack = (flags & kAck) != 0;
  if (out.has_sequence) {
    SEKISHO_TRY(out.sequence, reader.u32());
  }
  if (out.has_ack) {
    SEKISHO_TRY(out.ack, reader.u32());
  }
  SEKISHO_TRY(out.payload, reader.take(size));  // what follows is Ethernet's padding
  if (size != 0 && !out.has_sequence) return Error{ErrorCode::kMalformed, ErrorSite::kWire, 4};
  return out;
}

bool GreLink::receive(ByteSpan bytes, Time now) {
  const auto packet = parse_gre(bytes);
  if (!packet || packet->call != own_call_) return false;
  if (!packet->has_sequence) return true;  // an acknowledgement
  if (!any_) {
    any_ = true;
    expected_ = packet->sequence;  // clients begin with 0 or 1
  }
  const std::uint32_t ahead = packet->sequence - expected_;
  if (ahead >= kHalf) return false;  // late, or once more
  if (ahead == 0) {
    deliver(packet->payload, now);
    deliver_waiting(now);
    return true;
  }
  if (early_.empty()) early_end_ = now + kEarlyTime;
  early_.try_emplace(round_ + expected_ + ahead, packet->payload.begin(), packet->payload.end());
  if (early_.size() > kEarlyMax) tick(early_end_);
  return true;
}

void GreLink::deliver(ByteSpan frame, Time now) {
  ++expected_;
  if (expected_ == 0) round_ += std::uint64_t{1} << 32;
  if (!ack_due_) ack_at_ = now + kAckDelay;
  ack_due_ = true;
  owner_.frame_in(frame, now);
}

void GreLink::deliver_waiting(Time now) {
  while (!early_.empty() && early_.begin()->first <= round_ + expected_) {
    const auto first = early_.extract(early_.begin());
    if (first.key() == round_ + expected_) deliver(first.mapped(), now);
  }
  early_end_ = early_.empty() ? Time::max() : now + kEarlyTime;
}

void GreLink::send(ByteSpan frame) {
  ppp::Bytes out;
  out.u16(kKey | kSequence | kVersion | (ack_due_ ? kAck : 0)).u16(kPpp).u16(frame.size()).u16(peer_call_).u32(sent_++);
  if (ack_due_) out.u32(expected_ - 1);
  ack_due_ = false;
  ack_at_ = Time::max();
  owner_.send_packet(out.append(frame).span());
}

void GreLink::tick(Time now) {
  if (now >= early_end_ && !early_.empty()) {  // what is missing is lost
    const std::uint64_t first = early_.begin()->first;
    round_ = first & ~std::uint64_t{0xffffffff};
    expected_ = static_cast<std::uint32_t>(first);
    deliver_waiting(now);
  }
  if (now >= ack_at_ && ack_due_) {
    ack_due_ = false;
    ack_at_ = Time::max();
    owner_.send_packet(ppp::Bytes().u16(kKey | kAck | kVersion).u16(kPpp).u16(0).u16(peer_call_).u32(expected_ - 1).span());
  }
}

}  // namespace sekisho::vpn::pptp
