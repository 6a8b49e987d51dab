// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <map>

#include "base/proto/control_vpn.pb.h"
#include "vpn/directory.h"
#include "vpn/door.h"
#include "vpn/radius/backends.h"

namespace sekisho::vpn {

/// What a name and a password would open at a gateway, step by step, for who administers its tenant. Judged as a login by PPP is, by the
/// same directory and the same servers, and nobody comes in. A wrong password counts like any other, and of who is shut out nothing is
/// said, so that trying is no way to guess. Stages and results are words of docs/api.md. One thread, that of the daemon.
class LoginTrials {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::size_t kOpenMax = 64, kOpenOfTenantMax = 8, kNameBytesMax = 256, kPasswordBytesMax = 256;
  static constexpr auto kPatience = std::chrono::seconds(60);  ///< a trial nobody asks for again is forgotten

  LoginTrials(UserDirectory& directory, radius::Backends& backends, SessionIds& ids)
      : directory_(directory), backends_(backends), ids_(ids) {}
  ~LoginTrials();

  /// Begins a trial, whatever had its number before, or says how far the tenant's own of this number is; one that is over is told once.
  ipc::VpnTrial ask(const ipc::TryVpnLogin& asked, Time now);
  /// True: the verdict was of a trial.
  bool judged(const radius::Verdict& verdict);

 private:
  struct Trial {
    Session session;
    ipc::VpnTrial said;
    Time begun{};
  };
  void begin(Trial& trial, const ipc::TryVpnLogin& asked, Time now);
  void judge_here(Trial& trial, const UserPlan* user, std::string_view password);
  void pose(Trial& trial, std::string_view password, bool pap, Time now);
  /// The password is right: what comes of it?
  void consider(Trial& trial);
  [[nodiscard]] bool room_for(std::uint32_t tenant) const;
  void forget_old(Time now);

  UserDirectory& directory_;
  radius::Backends& backends_;
  SessionIds& ids_;
  std::map<std::uint64_t, Trial> open_;
};

}  // namespace sekisho::vpn
