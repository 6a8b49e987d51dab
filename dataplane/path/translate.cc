// SPDX-License-Identifier: Apache-2.0
#include "dataplane/path/translate.h"

#include "dataplane/path/path.h"
#include "dataplane/path/record.h"
#include "dataplane/train.h"

namespace sekisho::dataplane::path {
namespace {

using filters::FlowEnds;

FlowEnds other_ends(const Shard& shard, std::uint32_t index) {
  const Translation& other = shard.sessions.translation(index);
  const bool ipv6 = (shard.sessions.at(index).flags & kSessionIpv6) != 0;
  return ends_of(other.key, other.ends, ipv6, (other.flags & kTranslationFromHigh) != 0);
}

/// The first piece has ports and the transport checksum, which covers all; the others have addresses.
void rewrite_pieces(rte_mbuf* packet, const FlowEnds& to, filters::ChecksumDelta delta) {
  for_each_piece(packet, [&](rte_mbuf* piece) { filters::rewrite(frame_of(piece), meta_of(piece), to, delta); });
}

}  // namespace

FlowEnds received_ends(const Shard& shard, std::uint32_t index, Direction direction) {
  return direction == Direction::kForward ? ends_of(shard.sessions.at(index)) : filters::reversed(other_ends(shard, index));
}

FlowEnds sent_ends(const Shard& shard, std::uint32_t index, Direction direction) {
  return direction == Direction::kForward ? other_ends(shard, index) : filters::reversed(ends_of(shard.sessions.at(index)));
}

bool on_right_side(const Shard& shard, rte_mbuf* packet) noexcept {
  const PacketMeta& meta = meta_of(packet);
  return filters::bears(frame_of(packet), meta, received_ends(shard, meta.session, static_cast<Direction>(meta.reverse)));
}

bool translate(Shard& shard, const Runtime& config, rte_mbuf* packet) noexcept {
  const PacketMeta& meta = meta_of(packet);
  const PortEntry& wire = config.ports[config.ports[meta_of(packet).egress].wire];
  const bool tunnel = wire.kind == snapshot::PortKind::kTunnel;  // what it carries is asked where the packet enters it
  if (refuse_unforwardable(shard, config, packet, tunnel ? 65535U : wire.mtu)) return false;
  const filters::ChecksumDelta delta = shard.sessions.translation(meta.session).delta[meta.reverse];
  rewrite_pieces(packet, sent_ends(shard, meta.session, static_cast<Direction>(meta.reverse)), delta);
  return true;
}

bool translate_back(const Shard& shard, rte_mbuf* packet) noexcept {
  const PacketMeta& meta = meta_of(packet);
  const auto direction = static_cast<Direction>(meta.reverse);
  const bool live = meta.session != kNoIndex && shard.sessions.live(meta.session) &&
                    (shard.sessions.at(meta.session).flags & kSessionTranslated) != 0;
  if (!live || !filters::bears(frame_of(packet), meta, sent_ends(shard, meta.session, direction))) return false;
  const filters::ChecksumDelta delta = filters::reverse_of(shard.sessions.translation(meta.session).delta[meta.reverse]);
  rewrite_pieces(packet, received_ends(shard, meta.session, direction), delta);
  return true;
}

bool translate_error(const Shard& shard, rte_mbuf* packet, const filters::QuotedPacket& quoted, std::uint32_t index,
                     Direction direction) noexcept {
  const FlowEnds from = received_ends(shard, index, direction);
  const FlowEnds bears{quoted.source, quoted.destination, quoted.source_port, quoted.destination_port};
  if (bears != filters::reversed(from)) return false;
  filters::rewrite_error(frame_of(packet), meta_of(packet), quoted, from, sent_ends(shard, index, direction));
  return true;
}

}  // namespace sekisho::dataplane::path
