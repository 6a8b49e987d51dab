// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "vpn/carrier_watch.h"
#include "vpn/event_log.h"
#include "vpn/ike/engine.h"
#include "vpn/peer_directory.h"
#include "vpn/plan_client.h"
#include "vpn/tunnel_client.h"

namespace sekisho::vpn {

/// iked of version 1: keys the SAs that carry L2TP, and knows nobody by name. Each IKE_SA with an SA is a carrier in the data plane,
/// through which tunneld and the peer speak L2TP; it goes with its IKE_SA, and when nobody uses it.
/// Attempts that fail are written down here; who comes in, by tunneld. One thread, but for what the engine calls.
class IkeV1Daemon : public SessionObserver {
 public:
  IkeV1Daemon(const std::string& run_dir, std::uint32_t threads, bool verbose);
  /// Empty, or why not.
  std::string start();
  /// Some work; true when datagrams came.
  bool turn();

  void on(const SessionEvent& event) override;
  void line(int level, std::string_view group, std::string_view text) override;

 private:
  using Clock = std::chrono::steady_clock;
  struct Left {
    LeftTunnel tunnel;
    std::uint64_t packets = 0;
    Clock::time_point since;  ///< it carried something
  };
  /// A gateway of the profile legacy, as it is when its exception is over.
  struct Exception {
    Gateway after;
    std::int64_t until = 0;  ///< seconds since 1970 UTC
  };
  using GatewayName = std::pair<std::uint32_t, std::string>;
  void follow(const Plan& plan);
  void set_gateway(const GatewayName& name, const Gateway& gateway);
  void end_exceptions(std::int64_t now);
  void cut(std::uint64_t session, Cause cause, std::string_view text = {});
  void take(const TunnelSignal& signal);
  void work_off(const SessionEvent& event);
  void write(const SessionEvent& event);
  void write_use(const SessionEvent& event);
  void look_at_left(Clock::time_point now);
  void look_at_carriers(Clock::time_point now);

  std::uint32_t threads_;
  bool verbose_;
  PeerDirectory directory_;
  TunnelClient tunnels_;
  EventLog log_;
  PlanClient plans_;
  std::mutex mutex_;
  std::deque<SessionEvent> events_;                                   ///< to be worked off
  std::map<GatewayName, Gateway> gateways_;      ///< as the engine has them
  std::map<GatewayName, Exception> exceptions_;  ///< that stand
  std::set<GatewayName> ended_;                  ///< gateways whose exception is over
  std::map<std::uint32_t, Left> left_;
  CarrierWatch watch_;
  std::vector<Session> to_look_at_;
  Clock::time_point next_look_{}, next_watch_{};
  std::uint64_t first_sid_ = 0;
  bool lost_ = false;
  std::unique_ptr<Engine> engine_;  ///< ends first: its threads use all the others
};

}  // namespace sekisho::vpn
