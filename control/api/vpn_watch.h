// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "base/ipc/keying_daemon.h"
#include "base/net/address.h"
#include "base/proto/model.pb.h"
#include "control/notify/notifier.h"

namespace sekisho::control {

/// Pools whose addresses run out (specification 3.13): at 90 and at 100 per cent of those anybody may be given, of IPv4 or of
/// IPv6. Told once, and again after there was room. Thread: one.
class PoolWatch {
 public:
  /// held: inner addresses of who is in, by service code.
  std::vector<Happening> look(const model::Configuration& model, const std::map<std::string, std::vector<Address>>& held);

 private:
  std::map<std::pair<std::string, std::string>, int> last_;  ///< by tenant and pool: the step that was told
};

/// Gateways whose daemon is not there: each protocol of each gateway, when it goes and when it is back. Thread: one.
class GatewayWatch {
 public:
  static constexpr std::int64_t kAwaySeconds = 15;   ///< without an answer, then it is told
  static constexpr std::int64_t kStartSeconds = 60;  ///< so long daemons may take to come when this one has begun
  using Answering = std::array<bool, kKeyingDaemons>;
  /// now: seconds that only rise.
  std::vector<Happening> look(const model::Configuration& model, const Answering& answering, std::int64_t now);

 private:
  using Door = std::tuple<std::string, std::string, std::string>;  ///< tenant, gateway, protocol
  std::array<std::int64_t, kKeyingDaemons> until_{};               ///< that far it is not away
  std::set<Door> down_;                                            ///< told
  bool begun_ = false;
};

}  // namespace sekisho::control
