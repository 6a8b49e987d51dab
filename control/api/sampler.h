// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>

#include "base/proto/api.pb.h"
#include "base/proto/control_dataplane.pb.h"
#include "control/api/call.h"
#include "control/compile/ids.h"
#include "control/links/dataplane_link.h"

namespace sekisho::control {

/// The last hour of every tenant's counters, a point every five seconds, in memory: what dashboards draw. 32 bytes a
/// point. Thread: that of `io`.
class Sampler {
 public:
  static constexpr std::uint32_t kStepSeconds = 5;
  static constexpr std::uint32_t kSecondsMax = 3600;
  enum Line : std::uint8_t {
    kBitsIn,
    kBitsOut,
    kPacketsIn,
    kPacketsOut,
    kDrops,
    kSessions,
    kConnections,
    kVpnSessions
  };
  static constexpr std::size_t kLines = 8;
  using Point = std::array<float, kLines>;

  Sampler(boost::asio::io_context& io, DataplaneLink& dataplane, Ids& ids, std::function<InForce()> in_force,
          std::function<void(ControlRequest, ControlServer::Reply)> ask, std::function<std::int64_t()> now);
  void start();
  void stop();

  /// Of one tenant, without how much traffic it has where that is not switched on; nothing of the confirmation that may be waited for.
  [[nodiscard]] api::Dashboard dashboard(const std::string& service_code, std::uint32_t seconds);
  /// What was counted last, for all. `counting`: the data plane answered within the last two steps.
  [[nodiscard]] const ipc::Counters& counters() const { return counters_; }
  [[nodiscard]] bool counting() const;
  /// Of one tenant, since the data plane's start; of sessions those that are open.
  using Sums = std::array<std::uint64_t, kLines>;
  [[nodiscard]] Sums sums(const std::string& service_code) const;
  /// Of a tenant that is gone.
  void forget(const std::string& service_code) { tenants_.erase(service_code); }

  /// Adds a point for each tenant from what is counted now. Apart, for tests.
  void take(const ipc::Counters& counters, std::int64_t at);

 private:
  struct Lines {
    Sums last;
    bool known = false;
    std::deque<Point> points;
  };
  void tick_later();
  void tick();
  void count_vpn_sessions();
  std::map<std::string, Sums> sums_of(const ipc::Counters& counters);

  boost::asio::steady_timer timer_;
  DataplaneLink& dataplane_;
  Ids& ids_;
  std::function<InForce()> in_force_;
  std::function<void(ControlRequest, ControlServer::Reply)> ask_;
  std::function<std::int64_t()> now_;
  std::map<std::string, Lines> tenants_;
  std::map<std::string, std::uint64_t> vpn_sessions_;  ///< by service code
  ipc::Counters counters_;
  std::int64_t taken_at_ = 0;
  bool stopped_ = true;
};

}  // namespace sekisho::control
