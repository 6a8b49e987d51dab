// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "dataplane/session/flow_key.h"
#include "filters/nat/rewrite.h"

namespace sekisho::dataplane {

/// Translation::flags.
enum TranslationFlag : std::uint8_t {
  kTranslationFromHigh = 1,  ///< the first packet, once translated, travels from the key's high end
  kTranslationClaimed = 2,   ///< holds a port of a block (PortClaims)
  kTranslationOwned = 4,     ///< stands in FlowOwners
};

/// The other side of a session whose addresses are translated: 64 cold bytes beside it, read by its packets alone.
/// The session's own key is the flow as its first packet came in; this one is the flow as that packet went out.
struct alignas(64) Translation {
  FlowKey key;
  std::array<Words6, 2> ends;                       ///< IPv6: addresses of the key's low and high end
  std::array<filters::ChecksumDelta, 2> delta;      ///< by direction
  std::uint16_t block_first;                        ///< with kTranslationClaimed: the block its port is of
  std::uint16_t block_count;
  std::uint8_t probe;                               ///< and which candidate the port was
  std::uint8_t flags;                               ///< TranslationFlag
  std::uint16_t reserved;
};
static_assert(sizeof(Translation) == 64 && std::is_trivially_copyable_v<Translation>);

}  // namespace sekisho::dataplane
