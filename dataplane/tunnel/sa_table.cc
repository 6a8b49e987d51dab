// SPDX-License-Identifier: Apache-2.0
#include "dataplane/tunnel/sa_table.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/net/checksum.h"
#include "base/net/endian.h"
#include "dataplane/tunnel/expanded_keys.h"
#include "filters/esp/esp.h"
#include "filters/packet/protocol.h"

namespace sekisho::dataplane {
namespace {

constexpr std::uint8_t kOuterTtl = 64;
constexpr std::uint16_t kTypeIpv4 = 0x0800, kTypeIpv6 = 0x86dd;
constexpr std::uint8_t kIpv4Bytes = 20, kIpv6Bytes = 40, kUdpBytes = 8;
constexpr std::size_t kEventsPerSa = 3;

Error refused(ErrorCode code, std::uint32_t detail) {
  return {code, ErrorSite::kDataplane, detail};
}

bool one_family(const EspEnd& left, const EspEnd& right) {
  return left.address.family == right.address.family && left.address.family != Family::kNone;
}

OuterTemplate template_of(const EspEnd& local, const EspEnd& peer, bool in_udp) {
  OuterTemplate outer;
  const bool v4 = local.address.family == Family::kIpv4;
  outer.ip_bytes = v4 ? kIpv4Bytes : kIpv6Bytes;
  outer.used = static_cast<std::uint8_t>(outer.ip_bytes + (in_udp ? kUdpBytes : 0));
  const std::span<std::uint8_t> bytes = std::span<std::uint8_t>(outer.bytes).last(outer.used);
  store_be<std::uint16_t>(outer.bytes, OuterTemplate::kBytes - outer.used - 2, v4 ? kTypeIpv4 : kTypeIpv6);
  const std::size_t address_bytes = v4 ? 4 : 16;
  const std::size_t source = v4 ? 12 : 8;
  bytes[0] = v4 ? 0x45 : 0x60;
  bytes[v4 ? 8 : 7] = kOuterTtl;
  bytes[v4 ? 9 : 6] = in_udp ? filters::kProtocolUdp : filters::kProtocolEsp;
  std::memcpy(&bytes[source], local.address.bytes.data(), address_bytes);
  std::memcpy(&bytes[source + address_bytes], peer.address.bytes.data(), address_bytes);
  if (in_udp) {
    store_be<std::uint16_t>(bytes, outer.ip_bytes, local.port);
    store_be<std::uint16_t>(bytes, outer.ip_bytes + 2U, peer.port);
  }
  if (v4) outer.sum = checksum_add(0, bytes.first(kIpv4Bytes));
  return outer;
}

bool fill(filters::PrefixSet& set, std::span<const Prefix> prefixes) {
  return std::all_of(prefixes.begin(), prefixes.end(), [&set](const Prefix& prefix) { return set.add(prefix); });
}

/// The longest packet that fits.
void measure(Sa& sa) {
  const std::uint16_t carried = sa.path_mtu == 0 ? sa.outer_mtu : std::min(sa.path_mtu, sa.outer_mtu);
  sa.inner_mtu = static_cast<std::uint16_t>(filters::esp_inner_mtu(carried, sa.outer.used, sa.keys->sizes));
}

void set_outer(Sa& sa, const EspEnd& local, const EspEnd& peer, bool in_udp, std::uint16_t outer_mtu) {
  sa.local = local;
  sa.peer = peer;
  sa.in_udp = in_udp;
  sa.outer_mtu = outer_mtu;
  sa.path_mtu = 0;
  sa.way = {};
  sa.outer = template_of(local, peer, in_udp);
  measure(sa);
}

/// What usable() compares with: the soft limits until they are told, then the hard ones.
void watch(Sa& sa) {
  const filters::EspLimit& hard = sa.lifetime.hard;
  const filters::EspLimit& soft = sa.soft_told ? hard : sa.lifetime.soft;
  sa.watch_bytes = std::min(soft.bytes, hard.bytes);
  sa.watch_packets = std::min(soft.packets, hard.packets);
  const std::uint64_t seconds = std::min(soft.seconds, hard.seconds);
  sa.watch_seconds = seconds > ~sa.installed ? ~std::uint64_t{0} : sa.installed + seconds;
}

}  // namespace

Result<std::unique_ptr<SaTable>> SaTable::create(std::uint32_t worker, std::uint32_t slots, std::uint32_t seed) {
  if (worker >= limits::kShardsMax || slots == 0 || slots > Spi::kSlotsMax) return refused(ErrorCode::kLimit, slots);
  SEKISHO_TRY(EspCrypto crypto, EspCrypto::create());
  SEKISHO_TRY(std::unique_ptr<KeyVault> vault, KeyVault::create(slots));
  return std::unique_ptr<SaTable>(new SaTable(worker, slots, seed, std::move(crypto), std::move(vault)));
}

SaTable::SaTable(std::uint32_t worker, std::uint32_t slots, std::uint32_t seed, EspCrypto crypto,
                 std::unique_ptr<KeyVault> vault)
    : worker_(worker), crypto_(std::move(crypto)), vault_(std::move(vault)), slots_(slots) {
  const std::uint32_t generation = 1 + seed % (Spi::kGenerations - 1);
  events_.reserve(slots * kEventsPerSa);
  for (std::uint32_t i = 0; i < slots; ++i) {
    slots_[i].generation = static_cast<std::uint16_t>(generation);
    free_.push_back(i);
  }
}

bool SaTable::owns(std::uint32_t handle) const {
  const std::uint32_t slot = Spi::slot(handle);
  return Spi::worker(handle) == worker_ && slot < slots_.size() && slots_[slot].generation == Spi::generation(handle);
}

Result<std::uint32_t> SaTable::allocate_spi() {
  if (free_.empty()) return refused(ErrorCode::kLimit, static_cast<std::uint32_t>(slots_.size()));
  const std::uint32_t slot = free_.front();
  free_.pop_front();
  slots_[slot].reserved = true;
  ++used_;
  return Spi::make(worker_, slot, slots_[slot].generation);
}

Result<std::uint32_t> SaTable::install(const SaConfig& config, std::uint64_t now) {
  const bool inbound = config.direction == SaDirection::kInbound;
  if (!one_family(config.local, config.peer)) return refused(ErrorCode::kMalformed, config.spi);
  if (!config.transport && (config.inner_local.empty() || config.inner_remote.empty())) return refused(ErrorCode::kDenied, config.spi);
  if (config.spi <= filters::kEspSpiReservedMax) return refused(ErrorCode::kMalformed, config.spi);
  if (inbound && (!owns(config.spi) || !slots_[Spi::slot(config.spi)].reserved))
    return refused(ErrorCode::kNotFound, config.spi);

  auto sa = std::make_unique<Sa>();
  sa->direction = config.direction;
  sa->tenant = config.tenant;
  sa->tunnel = config.tunnel;
  sa->port = config.port;
  sa->spi = config.spi;
  sa->extended = config.extended;
  sa->copy_dscp = config.copy_dscp;
  if (config.transport) sa->l2tp = std::make_unique<L2tpCarrier>();
  sa->sequence_last = filters::sequence_last(config.extended);
  sa->lifetime = inbound ? config.lifetime : filters::with_sequence_limit(config.lifetime, config.extended);
  sa->installed = now;
  if (!fill(sa->inner_local, config.inner_local) || !fill(sa->inner_remote, config.inner_remote)) {
    return refused(ErrorCode::kLimit, config.spi);
  }
  if (inbound) {
    SEKISHO_TRY(sa->window, filters::ReplayWindow::create(config.replay_window, config.extended));
  }
  SEKISHO_TRY(sa->keys,
              crypto_.expand(*vault_, config.suite, config.extended, config.cipher_key, config.integrity_key));
  set_outer(*sa, config.local, config.peer, config.in_udp, config.outer_mtu);
  watch(*sa);

  std::uint32_t handle = config.spi;
  if (!inbound) {
    SEKISHO_TRY(handle, allocate_spi());
  }
  sa->handle = handle;
  Slot& slot = slots_[Spi::slot(handle)];
  slot.reserved = false;
  slot.sa = std::move(sa);
  return handle;
}

Result<void> SaTable::update(std::uint32_t handle, const EspEnd& local, const EspEnd& peer, bool in_udp,
                             std::uint16_t outer_mtu) {
  Sa* const sa = find(handle);
  if (sa == nullptr) return refused(ErrorCode::kNotFound, handle);
  if (!one_family(local, peer)) return refused(ErrorCode::kMalformed, handle);
  set_outer(*sa, local, peer, in_udp, outer_mtu);
  sa->moved_told = false;
  std::erase_if(events_, [handle](const SaEvent& event) {
    return event.handle == handle && event.kind == SaEventKind::kPeerMoved;
  });
  return {};
}

Result<void> SaTable::set_path_mtu(std::uint32_t handle, std::uint16_t mtu) {
  Sa* const sa = find(handle);
  if (sa == nullptr) return refused(ErrorCode::kNotFound, handle);
  sa->path_mtu = mtu;
  measure(*sa);
  return {};
}

Result<SaUse> SaTable::query(std::uint32_t handle) const {
  const Sa* const sa = const_cast<SaTable*>(this)->find(handle);
  if (sa == nullptr) return refused(ErrorCode::kNotFound, handle);
  SaUse use = sa->use;
  if (sa->window.has_value()) use.sequence = sa->window->top();
  return use;
}

Result<void> SaTable::add_session(std::uint32_t handle, std::shared_ptr<L2tpSession> session) {
  Sa* const sa = find(handle);
  if (sa == nullptr || sa->l2tp == nullptr) return refused(ErrorCode::kNotFound, handle);
  if (sa->l2tp->riders.size() >= L2tpCarrier::kRidersMax) return refused(ErrorCode::kLimit, handle);
  sa->l2tp->riders.push_back({std::move(session)});
  return {};
}

Result<SaUse> SaTable::query_session(std::uint32_t handle, std::uint32_t tunnel) const {
  const Sa* const sa = const_cast<SaTable*>(this)->find(handle);
  if (sa == nullptr || sa->l2tp == nullptr) return refused(ErrorCode::kNotFound, handle);
  for (const L2tpRider& rider : sa->l2tp->riders) {
    if (rider.session->tunnel == tunnel)
      return SaUse{.packets = rider.packets, .bytes = rider.bytes, .sequence = 0, .last_used = rider.last_used};
  }
  return refused(ErrorCode::kNotFound, tunnel);
}

Result<SaUse> SaTable::remove_session(std::uint32_t handle, std::uint32_t tunnel) {
  SEKISHO_TRY(const SaUse use, query_session(handle, tunnel));
  std::erase_if(find(handle)->l2tp->riders, [tunnel](const L2tpRider& rider) { return rider.session->tunnel == tunnel; });
  return use;
}

Result<void> SaTable::erase(std::uint32_t handle) {
  if (!owns(handle)) return refused(ErrorCode::kNotFound, handle);
  const std::uint32_t index = Spi::slot(handle);
  Slot& slot = slots_[index];
  if (slot.sa == nullptr && !slot.reserved) return refused(ErrorCode::kNotFound, handle);
  slot.sa.reset();
  slot.reserved = false;
  slot.generation = static_cast<std::uint16_t>(Spi::next_generation(slot.generation));
  std::erase_if(events_, [handle](const SaEvent& event) { return event.handle == handle; });
  free_.push_back(index);
  --used_;
  return {};
}

void SaTable::expire(std::uint64_t now, std::uint32_t slots) {
  for (std::size_t left = std::min<std::size_t>(slots, slots_.size()); left > 0; --left) {
    Slot& slot = slots_[expire_cursor_];
    expire_cursor_ = expire_cursor_ + 1 == slots_.size() ? 0 : expire_cursor_ + 1;
    if (slot.sa != nullptr && !slot.sa->expired) usable(*slot.sa, now);
  }
}

void SaTable::heard_from(Sa& sa, const EspEnd& from, bool in_udp) {
  if (sa.moved_told ||
      (from.address == sa.peer.address && in_udp == sa.in_udp && (!in_udp || from.port == sa.peer.port)))
    return;
  sa.moved_told = true;
  tell(sa, SaEventKind::kPeerMoved, from, in_udp);
}

bool SaTable::judge_limits(Sa& sa, std::uint64_t now) {
  if (sa.expired) return false;
  const std::uint64_t age = now < sa.installed ? 0 : now - sa.installed;
  if (sa.lifetime.hard.reached(sa.use.bytes, sa.use.packets, age)) {
    sa.expired = true;
    sa.watch_bytes = sa.watch_packets = sa.watch_seconds = 0;
    tell(sa, SaEventKind::kHardLimit);
    return false;
  }
  if (!sa.soft_told && sa.lifetime.soft.reached(sa.use.bytes, sa.use.packets, age)) {
    sa.soft_told = true;
    watch(sa);
    tell(sa, SaEventKind::kSoftLimit);
  }
  return true;
}

void SaTable::tell(Sa& sa, SaEventKind kind, const EspEnd& peer, bool in_udp) {
  SEKISHO_DCHECK(events_.size() < events_.capacity());  // once each for an SA
  events_.push_back({kind, sa.direction, sa.handle, sa.tunnel, peer, in_udp});
}

}  // namespace sekisho::dataplane
