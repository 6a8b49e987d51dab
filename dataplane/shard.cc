// SPDX-License-Identifier: Apache-2.0
#include "dataplane/shard.h"

#include "dataplane/dpdk/ring_order.h"
#include "dataplane/train.h"
#include "dataplane/path/nat_admit.h"
#include "dataplane/path/record.h"
#include "dataplane/path/syn_proxy.h"

namespace sekisho::dataplane {

using filters::DropReason;

/// What can fail to be made.
struct Shard::Parts {
  SessionTable sessions;
  ExpiryWheel wheel;
  HugeArray<TenantCounters> tenants;
};

Result<std::unique_ptr<Shard>> Shard::create(std::uint32_t number, const ShardLimits& limits, Shared& shared,
                                             rte_mempool* pool, HashSeed seed, std::uint64_t now_tsc) {
  SEKISHO_TRY(SessionTable sessions, SessionTable::create(limits.sessions, seed));
  SEKISHO_TRY(ExpiryWheel wheel, ExpiryWheel::create(0));
  std::unique_ptr<Shard> shard(
      new Shard(number, limits, shared, pool,
                Parts{std::move(sessions), std::move(wheel), HugeArray<TenantCounters>("tenant-counters", limits.tenants + 1)}));
  const bool complete = shard->tenants.valid() && shard->ports.valid() && shard->rules.valid() &&
                        shard->violations.valid() && shard->meters.valid() && shard->broadcasts.valid() && shard->shares.valid() &&
                        shard->proxies.valid() && shard->source_places.valid() && shard->accounted.valid() &&
                        shard->session_services.valid() && shard->extras.valid();
  if (!complete) return Error{ErrorCode::kLimit, ErrorSite::kDataplane, number};
  const auto own = static_cast<std::uint8_t>(number);
  SEKISHO_TRY(shard->log, EventLog::create(limits.log_records, own, shard->tenants, &shared.quotas, shared.shards));
  SEKISHO_TRY(shard->fragments, FragmentTable::create(limits.fragments, limits.tenants + 1, seed, shared.quotas));
  shard->begin_turn(now_tsc);
  return shard;
}

Shard::Shard(std::uint32_t shard_number, const ShardLimits& shard_limits, Shared& shared_state, rte_mempool* mbufs, Parts&& parts)
    : number(shard_number),
      limits(shard_limits),
      shared(shared_state),
      pool(mbufs),
      sessions(std::move(parts.sessions)),
      wheel(std::move(parts.wheel)),
      session_services("session-services", shard_limits.sessions),
      tenants(std::move(parts.tenants)),
      proxies("proxied-sessions", sessions.capacity()),
      source_places("source-places", sessions.capacity()),
      extras("session-extras", sessions.capacity()),
      ports("port-counters", shard_limits.ports),
      rules("rule-counters", shard_limits.rules + 1),
      violations("binding-counters", shard_limits.bindings),
      meters("binding-meters", shard_limits.bindings),
      broadcasts("port-broadcasts", shard_limits.ports),
      shares("tenant-shares", shard_limits.tenants + 1),
      cookies_until(shard_limits.tenants + 1),
      accounted("session-accounts", shard_limits.sessions),
      watch(shard_number == 0 ? shard_limits.tenants + 1 : 0) {
  for (HeldPacket& place : held) place = {};
  quarantined.reserve(shard_limits.bindings);
}

Shard::~Shard() {
  for (std::uint32_t i = 0; i < held_count; ++i) free_packet(held[i].packet);
  while (fragments.oldest() != FragmentTable::kNone) {
    for (rte_mbuf* piece : fragments.at(fragments.oldest()).held()) rte_pktmbuf_free(piece);
    fragments.erase(fragments.oldest());
  }
  for (Outlet& outlet : outlets) rte_pktmbuf_free_bulk(outlet.packets.data(), outlet.count);
}

void Shard::begin_turn(std::uint64_t tsc) noexcept {
  now_tsc = tsc;
  steady_ns = static_cast<std::uint64_t>(static_cast<double>(tsc - shared.tsc_base) * shared.tsc_ns);
  now_ns = steady_ns + static_cast<std::uint64_t>(shared.wall_offset_ns.load(std::memory_order_relaxed));
  log.begin_turn(steady_ns);
  now_ms = steady_ns / 1'000'000;
  now_tick = static_cast<std::uint32_t>(now_ms / (1000 / kTicksPerSecond));
}

void Shard::drop(rte_mbuf* packet, DropReason reason, std::uint32_t tenant_slot) noexcept {
  if (is_train(packet)) [[unlikely]] {
    for_each_piece(packet, [&](rte_mbuf* piece) {
      if (piece == packet) uncouple(piece);
      drop(piece, reason, tenant_slot);
    });
    return;
  }
  drop_whole(packet, reason, tenant_slot);
}

void Shard::drop_whole(rte_mbuf* packet, DropReason reason, std::uint32_t tenant_slot) noexcept {
  tenants[tenant_slot].drops[static_cast<std::size_t>(reason)].add(1);
  packets.dropped.add(1);
  if (trace != nullptr) [[unlikely]] trace->ended(packet, Trace::End::kDropped, reason);
  rte_pktmbuf_free(packet);
}

void Shard::consume(rte_mbuf* packet) noexcept {
  if (is_train(packet)) [[unlikely]] {
    for_each_piece(packet, [&](rte_mbuf* piece) {
      if (piece == packet) uncouple(piece);
      consume(piece);
    });
    return;
  }
  packets.punted.add(1);
  if (trace != nullptr) [[unlikely]] trace->ended(packet, Trace::End::kConsumed, DropReason::kNone);
  rte_pktmbuf_free(packet);
}

rte_mbuf* Shard::generate() noexcept {
  rte_mbuf* packet = rte_pktmbuf_alloc(pool);
  if (packet == nullptr) return nullptr;
  packets.generated.add(1);
  meta_of(packet) = PacketMeta{};
  return packet;
}

void Shard::hand_off(rte_mbuf* packet, std::uint32_t shard, Resume resume, std::uint32_t tenant_slot) noexcept {
  meta_of(packet).resume = static_cast<std::uint8_t>(resume);
  const std::uint32_t pieces = pieces_of(packet);  // before another shard has it
  before_given(shared.handoff[shard]);
  if (rte_ring_mp_enqueue(shared.handoff[shard], packet) != 0) {
    drop(packet, DropReason::kHandoffFull, tenant_slot);
    return;
  }
  packets.handed_out.add(pieces);
}

void Shard::add_traffic(std::uint32_t index) noexcept {
  const Session& session = sessions.at(index);
  Accounted before{};
  if ((session.traits & kSessionAccounted) != 0) before = accounted[index];
  RuleCounters& rule = rules[session.rule_slot];
  rule.packets.add(session.packets(0) + session.packets(1) - before.packets);
  rule.bytes.add(session.bytes(0) + session.bytes(1) - before.bytes);
}

void Shard::account(std::uint32_t index, bool counted) noexcept {
  if (counted) add_traffic(index);
  Session& session = sessions.at(index);
  accounted[index] = {session.packets(0) + session.packets(1), session.bytes(0) + session.bytes(1)};
  session.traits |= kSessionAccounted;
}

void Shard::end_session(std::uint32_t index, EndReason reason) noexcept {
  const Session& session = sessions.at(index);
  add_traffic(index);
  uncount_session(session.tenant_slot);
  if (session.protocol == filters::kProtocolTcp && filters::tcp_half_open(session.tcp.state)) count_half_open(session, -1);
  if ((session.flags & kSessionCounted) != 0) shared.limits.release(session.rule_slot, source_places[index]);
  if ((session.flags & kSessionLogEnd) != 0) path::record_session(*this, session, index, CommPhase::kEnd, reason);
  wheel.remove(sessions, index);
  if ((session.flags & kSessionTranslated) != 0) path::release_translation(*this, index);
  path::forget_flow(*this, index);
  sessions.erase(index);
}

void Shard::count_half_open(const Session& session, int by) noexcept {
  if ((session.flags & kSessionProxied) != 0) return;  // its client has shown that it exists
  shared.quotas[session.tenant_slot].half_open.fetch_add(static_cast<std::uint64_t>(by), std::memory_order_relaxed);
  shared.limits.count_half_open(session.rule_slot, by);
}

void Shard::expire_sessions(const Runtime& config, unsigned budget) noexcept {
  wheel.advance(
      sessions, now_tick, budget,
      [&](std::uint32_t index) {
        const bool proxied = (sessions.at(index).flags & kSessionProxied) != 0;
        if (proxied && path::syn_proxy::retry(*this, config, index)) return;
        end_session(index, path::end_reason_of(sessions.at(index)));
      },
      [this](std::uint32_t index) {
        path::record_session(*this, sessions.at(index), index, CommPhase::kUpdate, EndReason::kNone);
      });
}

void Shard::serve_request() noexcept {
  // acquire: pairs with the release in Engine::ask
  ShardRequest* asked = request.load(std::memory_order_acquire);
  if (asked == nullptr) [[likely]] return;
  bool more = !asked->once;
  if (asked->once) asked->once(*this);
  for (std::uint32_t step = 0; step < ShardRequest::kStep && more; ++step) {
    more = asked->cursor < sessions.used_end();
    if (!more) break;
    const std::uint32_t index = asked->cursor++;
    if (sessions.live(index)) more = asked->visit(*this, index);
  }
  if (more) return;
  request.store(nullptr, std::memory_order_relaxed);
  asked->done.store(true, std::memory_order_release);  // pairs with the acquire in Engine::ask
}

void Shard::check_conservation() noexcept {
  const std::uint64_t came = packets.received.read() + packets.handed_in.read() + packets.generated.read();
  const std::uint64_t went = packets.sent.read() + packets.punted.read() + packets.dropped.read() +
                             packets.handed_out.read() + packets.held.read();
  if (came != went) [[unlikely]] {
    packets.violations.add(1);
    SEKISHO_DCHECK(came == went);
  }
}

}  // namespace sekisho::dataplane
