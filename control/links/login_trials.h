// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>

#include "control/links/control_server.h"
#include "control/links/vpn_link.h"

namespace sekisho::control {

/// Logins that somebody tries for others (control_mgmt.proto, TryLogin): tunneld judges, and is asked again until it knows. Thread: that of
/// `io`.
class LoginTrials {
 public:
  LoginTrials(boost::asio::io_context& io, VpnLink& vpn) : io_(io), vpn_(vpn) {}
  /// `tenant`: its number. Answered exactly once, after half a minute at the latest.
  void begin(std::uint32_t tenant, const ipc::TryLogin& asked, ControlServer::Reply reply);

 private:
  using Time = std::chrono::steady_clock::time_point;
  void ask(std::uint32_t tenant, ipc::VpnQuestion question, Time until, ControlServer::Reply reply);

  boost::asio::io_context& io_;
  VpnLink& vpn_;
  std::uint64_t last_ = 0;
};

}  // namespace sekisho::control
