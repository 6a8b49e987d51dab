// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "dataplane/shard.h"
#include "filters/state/syn_cookie.h"

/// Beyond the half-open limit of a tenant or a rule: SYNs are answered with cookies, and who returns one gets a connection
/// the gateway opens for him (RFC 4987 3.6). Thread: the shard's.
///
/// Life-cycle. defend() answers a SYN and forgets it. The ACK that brings the cookie back makes a session of kSessionProxied
/// (recognise, begin) and a SYN to the server; until that is answered the client's window is zero, so it sends nothing that
/// could be lost. The server's SYN+ACK is acknowledged in the client's name, the client's window opened, and from then on
/// track() rewrites numbers (filters/state/tcp_splice.h). A refusal becomes a reset for the client; silence is asked again
/// after 1, 2 and 4 seconds, then a reset too. Limits. Nothing is kept for a SYN; proxied sessions count as sessions, not as
/// half-open ones: their clients have shown that they exist.
namespace sekisho::dataplane::path::syn_proxy {

/// Of an allowed first packet: true when it was a SYN beyond the half-open limit; it has ended (answered, or
/// kHalfOpenLimit where the tenant wants no cookies). `egress`: port index toward the server.
bool defend(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t rule, std::uint32_t egress) noexcept;

/// A returned cookie.
struct Recognised {
  filters::SynOffer offer;
  std::uint32_t initial_sequence;  ///< of the client's SYN
  std::uint32_t cookie;
  std::uint16_t window;            ///< of the client's ACK, as on the wire
};
/// The cookie that a first packet brings back, when this tenant was given cookies lately and it is one.
std::optional<Recognised> recognise(Shard& shard, const Runtime& config, rte_mbuf* packet) noexcept;

/// Starts the track of a recognised client as if its SYN had just been seen.
void start_track(filters::TcpTrack& track, const Recognised& client) noexcept;

/// The session of a recognised client has been made: asks the server.
void begin(Shard& shard, const Runtime& config, std::uint32_t index, const Recognised& client) noexcept;

/// Tracks a packet of a proxied session and rewrites it for the other side. `taken` is set when it has ended here.
filters::DropReason track(Shard& shard, const Runtime& config, Session& session, rte_mbuf* packet, bool& taken) noexcept;

/// The server's sequence for one the client was told: what an ICMP error from the client's side quotes.
inline std::uint32_t server_sequence(const Shard& shard, std::uint32_t index, std::uint32_t told) noexcept {
  return told + shard.proxies[index].splice.shift;
}

/// A silent session is about to end. True: its server is asked once more instead. Tells the client when it was the last time.
bool retry(Shard& shard, const Runtime& config, std::uint32_t index) noexcept;

}  // namespace sekisho::dataplane::path::syn_proxy
