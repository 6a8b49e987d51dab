// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <set>

#include "vpn/directory.h"
#include "vpn/ports.h"
#include "vpn/radius/client.h"
#include "vpn/tunnel_client.h"

namespace sekisho::vpn::radius {

/// The RADIUS backends of all tenants: EAP of users they judge, accounting of their sessions, and their word that one shall end.
/// Datagrams come in by take() and leave by the sender, like IKE's; a tenant's client never waits for another's.
///
/// step() waits on the protocol's threads, everything else returns at once. take(), turn() and set_plan() belong to one thread.
class Backends : public EapBackend {
 public:
  using Time = Client::Time;
  struct Limits {
    std::size_t waiting_per_tenant = 16;
    std::size_t waiting = 48;  ///< in all: threads beyond them work for the others
    KeyingDaemon daemon = KeyingDaemon::kIkeV2;  ///< from whose ports servers are asked
  };
  struct Ports {
    UserDirectory& directory;
    DatagramSender& sender;
    std::function<std::uint64_t(std::uint64_t)> sid_of;  ///< a session's number in records: what servers know it by
    std::function<std::optional<TunnelTotals>(std::uint64_t)> totals_of;
  };

  Backends(Ports ports, Limits limits) : ports_(std::move(ports)), limits_(limits) {}

  void set_plan(const std::shared_ptr<const Plan>& plan);
  Judge judge_of(const Session& session, Conversation& conversation) override;
  Step step(const Session& session, Conversation& conversation, ByteSpan eap) override;

  /// A datagram to a port that is not IKE's.
  void take(const Path& path, ByteSpan payload, Time now);
  /// Sends again, gives up, tells what sessions carried.
  void turn(Time now);
  /// A session began or ended, or an attempt did.
  void tell(const SessionEvent& event, const TunnelTotals* totals, Time now);
  /// A session of this number in records that a daemon before left: it can be ended by its backend's servers, and its end is accounted.
  void adopt(const Session& session, const std::string& backend, std::uint64_t sid, Time begun);
  /// Sessions that a server wants ended since the last call.
  std::vector<std::uint64_t> take_disconnects();
  /// Everybody who waits goes on, unanswered.
  void stop();

  /// Answers and requests that were not what they claimed to be, by tenant and backend: the first at once, those of the next minute
  /// together.
  struct Forgery {
    std::uint32_t tenant = 0;
    std::string backend;
    std::uint64_t count = 0;
    Time first{}, last{};
  };
  /// Called often: what came since the last call came now.
  std::vector<Forgery> take_forgeries(Time now = std::chrono::steady_clock::now());

 private:
  using Key = std::pair<std::uint32_t, std::string>;
  struct Backend {
    std::unique_ptr<Client> client;
    std::uint64_t forged_told = 0, forged_seen = 0;
    Time forged_first{}, forged_last{}, forged_next{};  ///< of those not told; when they may be
    std::uint64_t forged_requests = 0;
  };
  /// A session of a backend's.
  struct Live {
    Key backend;
    Session session;
    std::string name;  ///< what servers know it by
    std::string user;
    std::vector<std::vector<std::uint8_t>> classes;
    std::uint32_t interim_seconds = 0;
    Time begun{}, next_interim{};
    bool up = false;
  };
  struct Answered {
    Key backend;
    std::vector<std::uint8_t> request;
    std::vector<std::uint8_t> answer;
    Time at{};
  };

  /// Sends what is to be sent, and wakes those whose answers are there.
  void collect(const Key& key, Backend& backend);
  void accept(const Session& session, Conversation& conversation, Answer& answer);
  void account(Live& live, std::uint32_t status, const TunnelTotals* totals, Cause cause, Time now);
  void take_request(const Path& path, ByteSpan payload, Time now);
  std::vector<std::uint8_t> answer_request(const Key& key, const Message& request, ByteSpan secret);
  [[nodiscard]] std::vector<std::uint64_t> named_by(const Key& key, const Message& request) const;

  Ports ports_;
  Limits limits_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Key, Backend> backends_;
  std::map<std::pair<Key, std::uint64_t>, Answer> answers_;  ///< for those who wait, by client and number
  std::map<std::uint64_t, Live> live_;                      ///< by session
  std::deque<Answered> answered_;
  std::vector<std::uint64_t> disconnects_;
  std::map<std::uint32_t, std::size_t> waiting_of_;  ///< by tenant
  std::size_t waiting_ = 0;
  bool stopping_ = false;
};

}  // namespace sekisho::vpn::radius
