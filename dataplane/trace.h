// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_mbuf.h>

#include <cstdint>

#include "dataplane/burst.h"
#include "filters/drop_reason.h"

namespace sekisho::dataplane {

/// Where a packet is on its way (docs/life-of-a-packet.md).
enum class Stage : std::uint8_t { kDecode, kBind, kSteer, kFindSession, kAdmit, kTrack, kForward };

/// What a stage knew of the packet that is being explained, and no session remembers. Workers have none: Shard::trace is
/// null there, and is looked at only where a packet ends or where policy judges, never for an established one.
struct Trace {
  enum class End : std::uint8_t { kNone, kDropped, kConsumed };

  const rte_mbuf* packet = nullptr;  ///< the one explained; what the gateway says about it is not noted
  Stage stage = Stage::kDecode;      ///< being run
  End end = End::kNone;
  Stage ended_in = Stage::kDecode;
  filters::DropReason reason = filters::DropReason::kNone;
  PacketMeta meta{};                 ///< as it was when the packet ended
  std::uint32_t rule = filters::kNoIndex;      ///< index in Runtime::rules of the rule that judged it
  std::uint32_t out_port = filters::kNoIndex;  ///< port index policy judged with
  bool judged_again = false;         ///< its session was of an older generation
  bool related = false;              ///< an ICMP error that belongs to a session
  bool local = false;                ///< to an address of the gateway itself

  void ended(const rte_mbuf* who, End how, filters::DropReason why) noexcept {
    if (who != packet) return;
    end = how;
    ended_in = stage;
    reason = why;
    meta = meta_of(const_cast<rte_mbuf*>(who));
  }
};

}  // namespace sekisho::dataplane
