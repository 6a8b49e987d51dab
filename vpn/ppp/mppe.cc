// SPDX-License-Identifier: Apache-2.0
#include "vpn/ppp/mppe.h"

#include <algorithm>

namespace sekisho::vpn::ppp {
namespace {

/// RFC 3078 3: A (flushed), D (encrypted); B and C are compression's.
constexpr std::uint8_t kFlushed = 0x80, kEncrypted = 0x10, kCompressed = 0x60;

}  // namespace

MppeState::MppeState(const weak::Key128& start, bool stateless)
    : start_(start), session_(weak::first_session_key(start)), stream_(session_), stateless_(stateless) {}

MppeState::~MppeState() {
  weak::wipe(start_);
  weak::wipe(session_);
}

void MppeState::rekey() {
  session_ = weak::next_session_key(start_, session_);
  stream_.set_key(session_);
}

ByteSpan MppeSender::encrypt(ByteSpan clear) {
  count_ = (count_ + 1) % kCounts;
  const bool fresh = stateless_ || flush_ || (count_ & 0xff) == 0xff;
  if (fresh) rekey();
  flush_ = false;
  out_.resize(clear.size() + 2);
  out_[0] = static_cast<std::uint8_t>((fresh ? kFlushed : 0) | kEncrypted | count_ >> 8);
  out_[1] = static_cast<std::uint8_t>(count_);
  stream_.apply(clear, std::span(out_).subspan(2));
  return out_;
}

bool MppeReceiver::follow(unsigned count) {
  const unsigned ahead = (count + kCounts - count_) % kCounts;
  credit_ = std::min(credit_ + kStepsAPacket, kAheadMax);
  if (ahead == 0 || ahead > kAheadMax || ahead > credit_) return false;  // late, once more, or too far for now
  credit_ -= ahead;
  while (count_ != count) {
    rekey();
    count_ = (count_ + 1) % kCounts;
  }
  return true;
}

bool MppeReceiver::follow_stateful(unsigned count, bool flushed, bool& lost) {
  const bool flag = (count & 0xff) == 0xff;
  if (flag && !flushed) return false;  // no sender says this
  if (!discarding_) {
    if ((count + kCounts - count_) % kCounts > kAheadMax || count == count_) return false;
    count_ = (count_ + 1) % kCounts;
    discarding_ = lost = count != count_;
  }
  if (discarding_) {
    if (!flushed) return false;
    lost = false;
    for (; (count & ~0xffU) != (count_ & ~0xffU); count_ = (count_ + 256) % kCounts) rekey();  // one for each flag packet missed
    count_ = count;
    discarding_ = false;
  }
  if (flushed) rekey();
  return true;
}

MppeReceiver::Received MppeReceiver::decrypt(ByteSpan packet) {
  Received out;
  if (packet.size() < 3 || (packet[0] & kEncrypted) == 0 || (packet[0] & kCompressed) != 0) return out;
  const bool flushed = (packet[0] & kFlushed) != 0;
  const unsigned count = (packet[0] & 0x0fU) << 8 | packet[1];
  if (stateless_ ? !flushed || !follow(count) : !follow_stateful(count, flushed, out.lost)) {
    out.waiting = discarding_ && !out.lost;
    return out;
  }
  out_.resize(packet.size() - 2);
  stream_.apply(packet.subspan(2), out_);
  out.clear = out_;
  return out;
}

}  // namespace sekisho::vpn::ppp
