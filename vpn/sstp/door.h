// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <queue>
#include <unordered_map>

#include "base/os/fd.h"
#include "base/result.h"
#include "vpn/door.h"
#include "vpn/half_open.h"
#include "vpn/sstp/connection.h"

namespace sekisho::vpn::sstp {

/// SSTP's door: accepts in the service network (base/net/service_address.h), where the address a client reached says whose gateway
/// it is. Sockets are made before the sandbox closes; afterwards it accepts, reads and writes.
class SstpDoor : public Door {
 public:
  struct Limits {
    std::size_t connections = 16384;
    std::uint16_t port = 443;
  };
  /// Listens on all addresses of both families.
  static Result<std::unique_ptr<SstpDoor>> create(const PppLogin::Ports& ports, SessionIds& ids, const Limits& limits);
  ~SstpDoor() override;

  void follow(const std::shared_ptr<const Plan>& plan) override;
  bool turn(Time now) override;
  void take(const Path& path, ByteSpan payload, Time now) override;
  [[nodiscard]] std::vector<Session> sessions() const override;
  bool judged(const radius::Verdict& verdict, Time now) override;
  bool end(std::uint64_t session, Cause cause, std::string_view text) override;
  void close(Time now) override;
  /// Readable when turn() has something to do.
  [[nodiscard]] int events() const { return events_.get(); }
  [[nodiscard]] std::size_t connections() const { return connections_.size(); }
  /// Packets that came in by all of them.
  [[nodiscard]] std::uint64_t received() const { return received_; }
  /// Somebody has more to be read than a turn takes.
  [[nodiscard]] bool pressed() const { return !active_.empty(); }

 private:
  /// Where clients of one service address come to.
  struct Service {
    std::uint32_t tenant = 0, port = 0;
    Address address;
    std::string gateway;
    bool sha1 = false;
    std::vector<ppp::AuthMethod> methods;
    std::shared_ptr<const TlsGateway> tls;
  };
  struct Entry {
    std::unique_ptr<Connection> connection;
    Time scheduled = Time::max();
    bool active = false;  ///< in active_
    bool counted = true;  ///< by half_open_
    std::uint32_t tunnel = 0;
  };

  SstpDoor(const PppLogin::Ports& ports, SessionIds& ids, const Limits& limits) : ports_(ports), ids_(ids), limits_(limits) {}
  Result<void> listen(int family);
  void accept_all(int listener, Time now);
  void accept_one(Fd socket, const Endpoint& local, const Endpoint& remote, Time now);
  [[nodiscard]] std::shared_ptr<const TlsGateway> tls_of(const SstpPlan& plan, const std::string& name);
  void activate(std::uint64_t id);
  /// Whatever a call of the connection changed: its output, its deadline, its tunnel, its end.
  void settle(std::uint64_t id, Entry& entry, Time now);
  void forget(std::uint64_t id);

  PppLogin::Ports ports_;
  SessionIds& ids_;
  Limits limits_;
  Fd events_;
  std::vector<Fd> listeners_;
  std::unordered_map<std::uint32_t, Service> services_;  ///< by ServiceId
  /// What each gateway's TLS was made of: the same certificates keep the object.
  std::map<std::string, std::pair<std::string, std::shared_ptr<const TlsGateway>>> made_;
  std::unordered_map<std::uint64_t, Entry> connections_;  ///< by Session::id
  std::unordered_map<std::uint32_t, std::uint64_t> tunnels_;
  std::vector<std::uint64_t> active_;                     ///< may have something to read or write
  using Due = std::pair<Time, std::uint64_t>;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> dues_;
  HalfOpenBudget half_open_;
  std::uint64_t refused_ = 0;
  std::uint64_t received_ = 0;
};

}  // namespace sekisho::vpn::sstp
