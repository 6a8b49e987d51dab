// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <queue>
#include <unordered_map>

#include "vpn/door.h"
#include "vpn/l2tp/peer.h"

namespace sekisho::vpn::l2tp {

/// L2TP's door. What it speaks with comes out of ESP in the data plane, by the number of the carrier whose SAs those were: clients are
/// told apart by that alone, and a client whose SAs change is still the same. Control and PPP's own frames pass here, IP packets do not.
class L2tpDoor : public Door {
 public:
  L2tpDoor(const PppLogin::Ports& ports, SessionIds& ids) : ports_(ports), ids_(ids) {}

  void follow(const std::shared_ptr<const Plan>& plan) override;
  bool turn(Time now) override;
  /// An L2TP datagram of a carrier, or a DHCP question out of a session.
  void take(const Path& path, ByteSpan payload, Time now) override;
  [[nodiscard]] std::vector<Session> sessions() const override;
  bool judged(const radius::Verdict& verdict, Time now) override;
  bool end(std::uint64_t session, Cause cause, std::string_view text) override;
  void close(Time now) override;
  /// The client's SAs are gone, and with them what rode on them.
  void carrier_gone(std::uint32_t carrier);
  /// A session of a process before, with what it rides on: taken over as soon as a Plan says how its gateway speaks. Its record stays
  /// with whoever keeps its note.
  void adopt(const LeftTunnel& left);
  /// It has ended in the data plane, or by an operator: its client is told.
  void end_left(std::uint32_t tunnel, std::string_view text);
  /// Those whose clients ended them, or are gone, since this was asked last.
  [[nodiscard]] std::vector<Peer::LeftOver> take_left_over() { return std::exchange(left_over_, {}); }
  [[nodiscard]] std::size_t peers() const { return peers_.size(); }

 private:
  struct Entry {
    std::unique_ptr<Peer> peer;
    Time scheduled = Time::max();
  };
  [[nodiscard]] std::optional<Peer::Settings> settings_at(const Path& path) const;
  [[nodiscard]] std::optional<Peer::Settings> settings_of(std::uint32_t tenant, std::string_view gateway) const;
  void take_over();
  void answer_dhcp(const Path& path, ByteSpan payload);
  void settle(std::uint32_t carrier, Time now);

  PppLogin::Ports ports_;
  SessionIds& ids_;
  std::shared_ptr<const Plan> plan_;
  std::unordered_map<std::uint32_t, Entry> peers_;  ///< by carrier
  std::map<std::uint32_t, LeftTunnel> left_;        ///< by tunnel: not taken over yet
  std::vector<Peer::LeftOver> left_over_;
  using Due = std::pair<Time, std::uint32_t>;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> dues_;
};

}  // namespace sekisho::vpn::l2tp
