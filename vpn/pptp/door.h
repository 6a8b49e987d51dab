// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <unordered_map>

#include "base/os/fd.h"
#include "base/result.h"
#include "vpn/door.h"
#include "vpn/half_open.h"
#include "vpn/ppp_login.h"
#include "vpn/pptp/call.h"

namespace sekisho::vpn::pptp {

/// PPTP's door: control connections and GRE of the service network (base/net/service_address.h), whose addresses say whose gateway a
/// client reached. Nobody is let in beyond the day a gateway's exception ends, and whoever is in then has to go.
class PptpDoor : public Door {
 public:
  struct Limits {
    std::size_t connections = 4096;
  };
  using Clock = std::function<std::int64_t()>;  ///< seconds since 1970 UTC
  /// Makes the sockets: the one for GRE needs CAP_NET_RAW, which nothing needs afterwards.
  static Result<std::unique_ptr<PptpDoor>> create(const PppLogin::Ports& ports, SessionIds& ids, const Limits& limits, Clock clock);

  void follow(const std::shared_ptr<const Plan>& plan) override;
  bool turn(Time now) override;
  void take(const Path& path, ByteSpan payload, Time now) override;
  [[nodiscard]] std::vector<Session> sessions() const override;
  bool judged(const radius::Verdict& verdict, Time now) override;
  bool end(std::uint64_t session, Cause cause, std::string_view text) override;
  void close(Time now) override;
  /// Readable when turn() has something to do.
  [[nodiscard]] int events() const { return events_.get(); }

 private:
  struct Service {
    std::uint32_t tenant = 0, port = 0;
    Address address;
    std::string gateway;
    std::int64_t valid_until = 0;
  };
  struct Entry {
    std::unique_ptr<Call> call;
    std::uint32_t service = 0;
    Address client;
    bool counted = true;  ///< by half_open_
    std::uint32_t tunnel = 0;
  };

  PptpDoor(const PppLogin::Ports& ports, SessionIds& ids, const Limits& limits, Clock clock)
      : ports_(ports), ids_(ids), limits_(limits), clock_(std::move(clock)) {}
  Result<void> open();
  bool accept_all(Time now);
  void accept_one(Fd socket, const Endpoint& local, const Endpoint& remote, Time now);
  bool take_gre(Time now);
  void settle(std::uint16_t number, Time now);
  /// Nobody comes in by it any more.
  [[nodiscard]] bool ended(std::uint32_t service) const;
  void end_expired(Time now);
  [[nodiscard]] std::uint16_t free_number();

  PppLogin::Ports ports_;
  SessionIds& ids_;
  Limits limits_;
  Clock clock_;
  Fd events_, listener_, gre_;
  std::unordered_map<std::uint32_t, Service> services_;  ///< by ServiceId
  std::map<std::uint16_t, Entry> calls_;                 ///< by our call's number
  std::unordered_map<std::uint32_t, std::uint16_t> tunnels_;  ///< whose each open tunnel is
  std::uint16_t last_number_ = 0;
  HalfOpenBudget half_open_;
  Time next_check_{};
};

}  // namespace sekisho::vpn::pptp
