// SPDX-License-Identifier: Apache-2.0
#include "dataplane/path/syn_proxy.h"

#include <algorithm>

#include "dataplane/path/local.h"
#include "dataplane/path/path.h"
#include "dataplane/path/record.h"
#include "dataplane/path/track.h"
#include "dataplane/path/translate.h"
#include "filters/packet/decode.h"
#include "filters/packet/fields.h"

namespace sekisho::dataplane::path::syn_proxy {
namespace {

using filters::DropReason;
using filters::kTcpAck;
using filters::kTcpFin;
using filters::kTcpRst;
using filters::kTcpSyn;

/// What we tell clients of our windows, before the server tells us of its own: 128 bytes a unit.
constexpr std::uint8_t kOurScale = 7;
constexpr std::uint8_t kTriesMax = 3;
/// How long a cookie may come back: its slot and the next.
constexpr std::uint32_t kCookieTicks = 2 * filters::kSynCookieSlotSeconds * kTicksPerSecond;

std::uint32_t slot_now(const Shard& shard) { return static_cast<std::uint32_t>(shard.now_ms / (1000 * filters::kSynCookieSlotSeconds)); }

filters::SynCookieFlow flow_of(rte_mbuf* packet, std::uint32_t initial_sequence) {
  const PacketMeta& meta = meta_of(packet);
  const auto frame = frame_of(packet);
  return {.source = filters::ip_source(frame, meta),
          .destination = filters::ip_destination(frame, meta),
          .source_port = meta.source_port,
          .destination_port = meta.destination_port,
          .tenant = meta.tenant,
          .initial_sequence = initial_sequence};
}

/// What fits a frame of both links; the server's own MSS is not known yet.
std::uint16_t mss_between(const PortEntry& in, const PortEntry& out, bool ipv6) {
  const std::uint32_t headers = ipv6 ? 60 : 40;
  return static_cast<std::uint16_t>(std::clamp<std::uint32_t>(std::min(in.mtu, out.mtu), headers + 536, 65535) - headers);
}

void answer(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t egress) {
  const PacketMeta& meta = meta_of(packet);
  const auto frame = frame_of(packet);
  const bool ipv6 = (meta.proof & filters::kProofIpv6) != 0;
  const auto sequence = load_be<std::uint32_t>(frame, meta.l4_offset + 4U);
  const std::size_t options = meta.l4_offset + std::size_t{20};
  const filters::SynOffer offer = filters::parse_syn_offer(frame.subspan(options, meta.payload_offset - options), ipv6);
  const filters::SynCookieFlow flow = flow_of(packet, sequence);
  local::answer_tcp(shard, config, packet,
                    {.source = flow.destination,
                     .destination = flow.source,
                     .source_port = flow.destination_port,
                     .destination_port = flow.source_port,
                     .sequence = filters::make_syn_cookie(shard.shared.cookie_key, flow, offer, slot_now(shard)),
                     .acknowledgement = sequence + 1,
                     .flags = kTcpSyn | kTcpAck,
                     .window = 0,  // nothing may be sent before the server has agreed
                     .mss = mss_between(config.ports[meta.ingress], config.ports[egress], ipv6),
                     .window_scale = offer.window_scale == filters::kNoWindowScale ? filters::kNoWindowScaleOption : kOurScale,
                     .sack = offer.sack});
  const std::uint32_t tenant_slot = config.ports[meta.ingress].tenant_slot;
  shard.cookies_until[tenant_slot] = shard.now_tick + kCookieTicks;
  shard.tenants[tenant_slot].cookies.add(1);
}

/// Sends a segment in the name of the end that sends in `direction`, to the other one.
void emit(Shard& shard, const Runtime& config, std::uint32_t index, Direction direction, filters::TcpHeader header) {
  rte_mbuf* packet = shard.generate();
  if (packet == nullptr) return;
  const Session& session = shard.sessions.at(index);
  const bool translated = (session.flags & kSessionTranslated) != 0;
  const SessionEnds received = ends_of(session);
  const SessionEnds ends = translated ? sent_ends(shard, index, direction)
                           : direction == Direction::kForward ? received
                                                              : filters::reversed(received);
  header.source = ends.source;
  header.destination = ends.destination;
  header.source_port = ends.source_port;
  header.destination_port = ends.destination_port;
  const std::span<std::uint8_t> room{rte_pktmbuf_mtod(packet, std::uint8_t*), rte_pktmbuf_tailroom(packet)};
  const std::size_t length = filters::build_tcp(room, filters::LinkHeader{}, header);
  packet->data_len = static_cast<std::uint16_t>(length);
  packet->pkt_len = static_cast<std::uint32_t>(length);

  PacketMeta& meta = meta_of(packet);
  const DropReason reason = filters::decode(frame_of(packet), packet->pkt_len, {true, true}, meta);
  SEKISHO_DCHECK(reason == DropReason::kNone);
  if (reason != DropReason::kNone) {
    shard.drop(packet, reason, session.tenant_slot);
    return;
  }
  const auto way = static_cast<std::size_t>(direction);
  place(config, meta, session.port[way]);
  meta.session = index;
  meta.reverse = static_cast<std::uint8_t>(direction);
  meta.egress = session.port[way ^ 1U];
  meta.next_hop = session.next_hop[way];
  Burst one;
  one.packets[one.count++] = packet;
  path::forward(shard, config, one);
}

constexpr filters::TcpHeader segment(std::uint8_t flags, std::uint32_t sequence, std::uint32_t acknowledgement, std::uint16_t window) {
  return {.source = {},
          .destination = {},
          .source_port = 0,
          .destination_port = 0,
          .sequence = sequence,
          .acknowledgement = acknowledgement,
          .flags = flags,
          .window = window,
          .mss = 0,
          .window_scale = filters::kNoWindowScaleOption,
          .sack = false};
}

std::uint8_t scale_of(const ProxiedSession& proxy) { return proxy.window_scale == filters::kNoWindowScale ? 0 : proxy.window_scale; }

/// Asks the server in the client's name, with the client's own initial sequence.
void send_syn(Shard& shard, const Runtime& config, std::uint32_t index) {
  const ProxiedSession& proxy = shard.proxies[index];
  filters::TcpHeader syn = segment(kTcpSyn, proxy.initial_sequence, 0, filters::rescale_window(proxy.client_window, scale_of(proxy), 0));
  syn.mss = proxy.mss;
  syn.window_scale = proxy.window_scale;
  syn.sack = proxy.sack != 0;
  emit(shard, config, index, Direction::kForward, syn);
}

void reset_client(Shard& shard, const Runtime& config, std::uint32_t index) {
  const ProxiedSession& proxy = shard.proxies[index];
  emit(shard, config, index, Direction::kReverse, segment(kTcpRst | kTcpAck, proxy.cookie + 1, proxy.initial_sequence + 1, 0));
}

/// The server agreed: what it said differs from what the client was told by this much from now on.
void join(Shard& shard, const Runtime& config, std::uint32_t index, const filters::TcpSegment& answer) {
  Session& session = shard.sessions.at(index);
  ProxiedSession& proxy = shard.proxies[index];
  const bool client_scales = proxy.window_scale != filters::kNoWindowScale;
  const bool both_scale = client_scales && answer.window_scale_option != filters::kNoWindowScale;
  proxy.splice = {.shift = answer.sequence - proxy.cookie,
                  .forward_from = scale_of(proxy),
                  .forward_to = both_scale ? scale_of(proxy) : std::uint8_t{0},
                  .reverse_from = both_scale ? std::min<std::uint8_t>(answer.window_scale_option, 14) : std::uint8_t{0},
                  .reverse_to = client_scales ? kOurScale : std::uint8_t{0}};
  proxy.open = 1;
  const std::uint16_t window = filters::rescale_window(proxy.client_window, proxy.splice.forward_from, proxy.splice.forward_to);
  const filters::TcpHeader to_server = segment(kTcpAck, proxy.initial_sequence + 1, answer.sequence + 1, window);
  const filters::TcpSegment said{.sequence = to_server.sequence,
                                 .acknowledgement = to_server.acknowledgement,
                                 .payload_bytes = 0,
                                 .window = window,
                                 .flags = kTcpAck,
                                 .window_scale_option = filters::kNoWindowScale};
  const DropReason fits = filters::tcp_next(session.tcp, Direction::kForward, said);
  SEKISHO_DCHECK(fits == DropReason::kNone);
  static_cast<void>(fits);
  emit(shard, config, index, Direction::kForward, to_server);
  emit(shard, config, index, Direction::kReverse,
       segment(kTcpAck, proxy.cookie + 1, proxy.initial_sequence + 1, filters::rescale_window(answer.window, 0, proxy.splice.reverse_to)));
}

/// The client while the server has not answered: it may say nothing but that it still waits, or that it gives up.
DropReason wait_with_client(Shard& shard, Session& session, rte_mbuf* packet, bool& taken) {
  const PacketMeta& meta = meta_of(packet);
  ProxiedSession& proxy = shard.proxies[meta.session];
  const filters::TcpSegment said = filters::parse_tcp_segment(frame_of(packet), meta);
  if ((said.flags & kTcpRst) != 0) return filters::tcp_next(session.tcp, Direction::kForward, said);
  if ((said.flags & kTcpSyn) != 0) return DropReason::kTcpState;  // with another sequence it begins anew: the caller knows
  // A probe repeats the byte before the window or sends the first one (RFC 9293 3.8.6.1).
  const bool fits = said.acknowledgement == proxy.cookie + 1 && said.sequence - proxy.initial_sequence <= 2;
  if ((said.flags & kTcpAck) == 0 || !fits) return DropReason::kTcpWindow;
  proxy.client_window = said.window;
  taken = true;
  return DropReason::kNone;
}

DropReason hear_server(Shard& shard, const Runtime& config, Session& session, rte_mbuf* packet, bool& taken) {
  const PacketMeta& meta = meta_of(packet);
  const std::uint32_t index = meta.session;
  const filters::TcpSegment answer = filters::parse_tcp_segment(frame_of(packet), meta);
  const unsigned kind = answer.flags & (kTcpSyn | kTcpRst | kTcpFin | kTcpAck);
  if (kind == kTcpSyn) return DropReason::kTcpState;  // both ends open at once: not through a proxy
  const DropReason reason = filters::tcp_next(session.tcp, Direction::kReverse, answer);
  if (reason != DropReason::kNone) return reason;
  taken = true;
  if ((answer.flags & kTcpSyn) != 0) {
    join(shard, config, index, answer);
  } else if ((answer.flags & kTcpRst) != 0) {
    reset_client(shard, config, index);
  } else {
    // It still holds an older connection (RFC 5961 4.2): ended as the client would, then asked again in time.
    emit(shard, config, index, Direction::kForward, segment(kTcpRst, answer.acknowledgement, 0, 0));
  }
  return DropReason::kNone;
}

DropReason track_open(Shard& shard, Session& session, rte_mbuf* packet) {
  const PacketMeta& meta = meta_of(packet);
  const filters::TcpSplice& splice = shard.proxies[meta.session].splice;
  const auto direction = static_cast<Direction>(meta.reverse);
  filters::TcpSegment said = filters::parse_tcp_segment(frame_of(packet), meta);
  if (direction == Direction::kForward) filters::splice_segment(splice, said);
  const DropReason reason = filters::tcp_next(session.tcp, direction, said);
  if (reason == DropReason::kNone) filters::splice_rewrite(splice, direction, frame_of(packet), meta);
  return reason;
}

}  // namespace

bool defend(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t rule, std::uint32_t egress) noexcept {
  const PacketMeta& meta = meta_of(packet);
  if (meta.protocol != filters::kProtocolTcp || (meta.tcp_flags & (kTcpSyn | kTcpAck)) != kTcpSyn) return false;
  const PortEntry& port = config.ports[meta.ingress];
  const TenantEntry& tenant = config.tenants[port.tenant_index];
  const RuleEntry& entry = config.rules[rule];
  const auto over = [](std::uint32_t most, std::uint64_t now) { return most != 0 && now >= most; };
  if (!over(tenant.half_open_max, shard.shared.quotas[tenant.slot].half_open.load(std::memory_order_relaxed)) &&
      !over(entry.limits.half_open_max, shard.shared.limits.half_open_of(entry.slot))) {
    return false;
  }
  note_syn_flood(shard, config, packet);
  if (!tenant.syn_cookies) {
    shard.drop(packet, DropReason::kHalfOpenLimit, tenant.slot);
    return true;
  }
  answer(shard, config, packet, egress);
  shard.consume(packet);
  return true;
}

std::optional<Recognised> recognise(Shard& shard, const Runtime& config, rte_mbuf* packet) noexcept {
  const PacketMeta& meta = meta_of(packet);
  if (meta.protocol != filters::kProtocolTcp || (meta.tcp_flags & (kTcpSyn | kTcpRst | kTcpAck)) != kTcpAck) return std::nullopt;
  const std::uint32_t left = shard.cookies_until[config.ports[meta.ingress].tenant_slot] - shard.now_tick;
  if (left - 1 >= kCookieTicks) return std::nullopt;
  const filters::TcpSegment said = filters::parse_tcp_segment(frame_of(packet), meta);
  const std::uint32_t cookie = said.acknowledgement - 1;
  // The ACK of the handshake follows the SYN; a probe of our closed window, when that ACK was lost, repeats the SYN's number.
  for (const std::uint32_t back : {1U, 0U}) {
    if (back == 0 && said.payload_bytes != 0) break;
    const std::uint32_t initial = said.sequence - back;
    const auto offer = filters::check_syn_cookie(shard.shared.cookie_key, flow_of(packet, initial), cookie, slot_now(shard));
    if (offer.has_value()) return Recognised{*offer, initial, cookie, said.window};
  }
  return std::nullopt;
}

void start_track(filters::TcpTrack& track, const Recognised& client) noexcept {
  const std::uint8_t scale = client.offer.window_scale == filters::kNoWindowScale ? std::uint8_t{0} : client.offer.window_scale;
  const DropReason reason = filters::tcp_first(track, {.sequence = client.initial_sequence,
                                                       .acknowledgement = 0,
                                                       .payload_bytes = 0,
                                                       .window = filters::rescale_window(client.window, scale, 0),
                                                       .flags = kTcpSyn,
                                                       .window_scale_option = client.offer.window_scale});
  SEKISHO_DCHECK(reason == DropReason::kNone);
  static_cast<void>(reason);
}

void begin(Shard& shard, const Runtime& config, std::uint32_t index, const Recognised& client) noexcept {
  shard.proxies[index] = {.splice = {},
                          .cookie = client.cookie,
                          .initial_sequence = client.initial_sequence,
                          .client_window = client.window,
                          .mss = client.offer.mss,
                          .window_scale = client.offer.window_scale,
                          .sack = client.offer.sack,
                          .open = 0,
                          .tries = 1};
  send_syn(shard, config, index);
}

DropReason track(Shard& shard, const Runtime& config, Session& session, rte_mbuf* packet, bool& taken) noexcept {
  PacketMeta& meta = meta_of(packet);
  const filters::TcpState before = session.tcp.state;
  const bool open = shard.proxies[meta.session].open != 0;
  const DropReason reason = open ? track_open(shard, session, packet)
                            : meta.reverse == 0 ? wait_with_client(shard, session, packet, taken)
                                                : hear_server(shard, config, session, packet, taken);
  if (reason != DropReason::kNone) return reason;
  session.tcp_flags |= meta.tcp_flags;
  settle_tcp(shard, session, meta.session, before);
  if (taken) {
    if (meta.reverse != 0) count_packet(shard, session, meta);
    shard.consume(packet);
  }
  return DropReason::kNone;
}

bool retry(Shard& shard, const Runtime& config, std::uint32_t index) noexcept {
  Session& session = shard.sessions.at(index);
  ProxiedSession& proxy = shard.proxies[index];
  if (proxy.open != 0 || session.tcp.state != filters::TcpState::kSynSent) return false;
  if (session.generation != config.generation && !judge_again(shard, config, index)) return false;
  if (proxy.tries == kTriesMax) {
    reset_client(shard, config, index);
    return false;
  }
  ++proxy.tries;
  session.last_seen = shard.now_tick;
  session.timeout = (1U << (proxy.tries - 1)) * kTicksPerSecond;
  shard.wheel.move(shard.sessions, index);
  send_syn(shard, config, index);
  return true;
}

}  // namespace sekisho::dataplane::path::syn_proxy
