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
  [[nodiscard]] std::size_t peers() const { return peers_.size(); }

 private:
  struct Entry {
    std::unique_ptr<Peer> peer;
    Time scheduled = Time::max();
  };
  [[nodiscard]] std::optional<Peer::Settings> settings_at(const Path& path) const;
  void answer_dhcp(const Path& path, ByteSpan payload);
  void settle(std::uint32_t carrier, Time now);

  PppLogin::Ports ports_;
  SessionIds& ids_;
  std::shared_ptr<const Plan> plan_;
  std::unordered_map<std::uint32_t, Entry> peers_;  ///< by carrier
  using Due = std::pair<Time, std::uint32_t>;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> dues_;
};

}  // namespace sekisho::vpn::l2tp
