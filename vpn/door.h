// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <string_view>
#include <vector>

#include "vpn/plan.h"
#include "vpn/radius/backends.h"
#include "vpn/session.h"

namespace sekisho::vpn {

/// One way into tunneld: a tunnel protocol with its connections and sessions. All doors of the process share one thread, which
/// calls them in turn; none of it waits long.
class Door {
 public:
  using Time = std::chrono::steady_clock::time_point;
  virtual ~Door() = default;
  /// From now on this Plan says who may come in, and where.
  virtual void follow(const std::shared_ptr<const Plan>& plan) = 0;
  /// Some work; true when there was any.
  virtual bool turn(Time now) = 0;
  /// A datagram or packet out of the data plane that is for this door; `path.tunnel` names the tunnel it belongs to.
  virtual void take(const Path& path, ByteSpan payload, Time now) = 0;
  /// Whose session is up.
  [[nodiscard]] virtual std::vector<Session> sessions() const = 0;
  /// What a backend says of a session that is on its way; false: it is none of this door's.
  virtual bool judged(const radius::Verdict& verdict, Time now) = 0;
  /// Ends a session, up or on its way; false: there is none. Its down event follows, now or a little later.
  virtual bool end(std::uint64_t session, Cause cause, std::string_view text) = 0;
  /// The process ends: every peer is told, as far as it can be done at once.
  virtual void close(Time now) = 0;
};

/// Numbers of sessions, one row for all doors of the process.
class SessionIds {
 public:
  std::uint64_t next() { return ++last_; }

 private:
  std::uint64_t last_ = 0;
};

}  // namespace sekisho::vpn
