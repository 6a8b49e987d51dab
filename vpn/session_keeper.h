// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <unordered_map>

#include "vpn/directory.h"
#include "vpn/recorder.h"
#include "vpn/tunnel_client.h"

namespace sekisho::vpn {

/// Ends sessions that have lasted or idled for too long, and has the log told now and then what each carried: a few a turn. Thread: the
/// daemon's.
class SessionKeeper {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Sessions = std::function<std::vector<Session>()>;
  using End = std::function<void(std::uint64_t session, Cause cause)>;

  SessionKeeper(UserDirectory& directory, TunnelClient& tunnels, SessionRecorder& recorder, std::chrono::seconds usage, Sessions sessions,
                End end)
      : directory_(directory),
        tunnels_(tunnels),
        recorder_(recorder),
        usage_(usage),
        sessions_(std::move(sessions)),
        end_(std::move(end)) {}
  void turn(Time now);

 private:
  void check(Time now);
  void check(const Session& session, const Plan& plan);
  void report(Time now);

  UserDirectory& directory_;
  TunnelClient& tunnels_;
  SessionRecorder& recorder_;
  std::chrono::seconds usage_;
  Sessions sessions_;
  End end_;
  std::vector<Session> to_check_, to_report_;
  std::unordered_map<std::uint64_t, Time> reports_;  ///< the next usage record of a session
  Time next_check_{}, next_report_{};
};

}  // namespace sekisho::vpn
