// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/burst.h"

/// A train: a complete datagram in pieces that the path carries as one packet. Its first piece stands in bursts, rings and
/// places for held packets, with the ports of all and the length of the whole in its record; the others hang on
/// PacketMeta::next_piece, in order, until forward sends each in its original form.
/// Whoever rewrites addresses does so in every piece; ports and the transport checksum are in the first alone.
/// Thread: the shard that holds the first piece.
namespace sekisho::dataplane {

inline bool is_train(rte_mbuf* packet) { return (meta_of(packet).proof & filters::kProofTrain) != 0; }

/// Calls `visit(rte_mbuf*)` with a packet and every further piece of its train, first to last. `visit` may end the piece.
template <typename Visit>
inline void for_each_piece(rte_mbuf* packet, Visit visit) {
  const bool train = is_train(packet);
  for (rte_mbuf* piece = packet; piece != nullptr;) {
    rte_mbuf* next = train ? reinterpret_cast<rte_mbuf*>(meta_of(piece).next_piece) : nullptr;
    visit(piece);
    piece = next;
  }
}

/// Packets a burst entry stands for: 1, or the pieces of a train.
inline std::uint32_t pieces_of(rte_mbuf* packet) {
  if (!is_train(packet)) [[likely]] return 1;
  std::uint32_t count = 0;
  for_each_piece(packet, [&](rte_mbuf*) { ++count; });
  return count;
}

/// Frees a packet with all its pieces.
inline void free_packet(rte_mbuf* packet) {
  if (!is_train(packet)) [[likely]] {
    rte_pktmbuf_free(packet);
  } else {
    for_each_piece(packet, [](rte_mbuf* piece) { rte_pktmbuf_free(piece); });
  }
}

/// Bytes of L3 a piece has on the wire: reassemble has cut its padding off.
inline std::uint16_t piece_length(rte_mbuf* piece) {
  return static_cast<std::uint16_t>(piece->data_len - meta_of(piece).l3_offset);
}

/// Makes the first piece of a train a packet like the others again. Their links are lost: read them before.
inline void uncouple(rte_mbuf* first) {
  PacketMeta& meta = meta_of(first);
  meta.l3_length = piece_length(first);
  meta.proof = static_cast<std::uint8_t>(meta.proof & ~(filters::kProofTrain | filters::kProofL4));
}

}  // namespace sekisho::dataplane
