// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "dataplane/engine.h"
#include "dataplane/trace.h"

namespace sekisho::dataplane::explain {

/// A frame that would have left, as it would have stood on the wire.
struct SentFrame {
  std::uint16_t nic;                ///< DPDK port
  bool original;                    ///< the explained packet itself; else something the gateway says about it
  std::vector<std::uint8_t> bytes;
};

enum class Fate : std::uint8_t { kForwarded, kAnswered, kConsumed, kHeld, kDropped };

/// What became of one packet.
struct Outcome {
  Fate fate = Fate::kDropped;
  Trace trace;
  PacketMeta meta{};                ///< as the stages left it
  std::vector<std::uint8_t> frame;  ///< as it came in
  std::optional<Session> before;    ///< the session it belongs to, as it was before
  std::optional<Session> after;     ///< the session it belongs to or made, as it is now
  SessionExtra extra{};             ///< of `after`
  std::vector<SentFrame> sent;
};

/// A shard nobody else knows of: the stages run in it on packets that never were on a wire.
///
/// Overview. It has the live shards' seed and places, its own tables, counters and log, copies of what all shards share
/// (neighbours, pins), and no NIC: finished frames are taken out of its outlets. What a live shard alone knows and the
/// packet's verdict needs (its session, its tenant's sessions and budgets, its Binding's meters, the time) is asked of
/// that shard and copied before it is used: nothing flows back. A packet that shards would hand to one another is handed
/// over here too: this one plays them all. Pieces of datagrams that wait in live shards are not copied: a fragment alone is
/// held. Life-cycle. Made for one question, thrown away after it.
/// Limits. One packet at a time; frames up to kFrameBytesMax bytes. Thread: control.
class PrivateShard {
 public:
  static constexpr std::uint32_t kSessionsMin = 64;
  static constexpr std::size_t kFrameBytesMax = RTE_MBUF_DEFAULT_DATAROOM;  ///< what a packet buffer holds

  /// `runtime` uses places of `slots`; both outlive it. `shards`: among how many it believes flows and limits to be dealt:
  /// as many as there are for run_live, 1 for run_apart. Fails when DPDK's memory does not suffice.
  static Result<std::unique_ptr<PrivateShard>> create(Engine& engine, const Runtime& runtime, const Slots& slots,
                                                      std::uint32_t sessions, std::uint32_t shards);
  ~PrivateShard();
  PrivateShard(const PrivateShard&) = delete;
  PrivateShard& operator=(const PrivateShard&) = delete;

  /// From now on `source` is user `user`'s at tunnel Port `port` (index), whoever has it, or nobody, now; of other Leases only
  /// that of `destination` is known. Fails when memory does not suffice.
  Result<void> pretend(std::uint32_t port, const Address& source, const Address& destination, std::uint32_t user);
  /// What would happen now to a frame that comes in on the NIC of port index `port`, or out of a tunnel of a tunnel Port.
  Outcome run_live(ByteSpan frame, std::uint32_t port);
  /// The same at time `tsc`, knowing only what came through this shard before. A held packet is let go.
  Outcome run_apart(ByteSpan frame, std::uint32_t port, std::uint64_t tsc);
  /// The time of the live shards, as far as one packet needs it.
  [[nodiscard]] std::uint64_t live_tsc(std::uint32_t port);

 private:
  PrivateShard(Engine& engine, const Runtime& runtime) : engine_(engine), runtime_(runtime) {}
  Outcome run(ByteSpan frame, std::uint32_t port, bool live);
  void copy_receiver(ByteSpan frame, std::uint32_t port);
  /// As a packet that was opened is; ends it when nobody has its source.
  void come_out_of_tunnel(rte_mbuf* packet, std::uint32_t port, Burst& burst);
  void copy_owner(rte_mbuf* packet, Outcome& outcome);
  /// A session as its shard had it, with what stands beside it.
  struct LiveSession {
    Session session{};
    Translation translation{};
    ProxiedSession proxy{};
    Accounted accounted{};
    SessionExtra extra{};
    std::uint64_t hash = 0;  ///< of its own key
  };
  void take_session(const LiveSession& live);
  /// Lets steer find the owner that the live shards noted for the packet's flow.
  void copy_flow_owner(rte_mbuf* packet);
  /// Plays shard `number` from now on.
  void be(std::uint32_t number);
  template <typename Before>
  void run_handed(Before& before);
  void gather(rte_mbuf* packet, Outcome& outcome);

  struct FreePool {
    void operator()(rte_mempool* pool) const { rte_mempool_free(pool); }
  };
  struct FreeRing {
    void operator()(rte_ring* ring) const { rte_ring_free(ring); }
  };
  Engine& engine_;
  const Runtime& runtime_;
  Shared shared_;
  std::unique_ptr<rte_mempool, FreePool> pool_;
  std::vector<std::unique_ptr<rte_ring, FreeRing>> rings_;
  std::unique_ptr<Shard> shard_;
};

}  // namespace sekisho::dataplane::explain
