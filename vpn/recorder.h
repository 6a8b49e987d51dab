// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>

#include "vpn/directory.h"
#include "vpn/event_log.h"
#include "vpn/incidents.h"
#include "vpn/note.h"
#include "vpn/tunnel_client.h"

namespace sekisho::ipc {
class VpnRecord;
}

namespace sekisho::vpn {

/// The number a session has that a daemon before left with this tunnel.
constexpr std::uint64_t left_session(std::uint32_t tunnel) { return std::uint64_t{1} << 63 | tunnel; }

/// Why a session ends whose tunnel the data plane ended.
Cause cause_of(SessionTunnelGone::Why why);

/// Ends what has ended, and writes it down: session events become records of the vpn log; an attempt or session that is over loses
/// its tunnel and its addresses. What a daemon before left gets its down record from the note in the data plane, which keeps each until
/// the record is stored. on() only takes notes: a thread of its own works, in order.
class SessionRecorder : public SessionObserver {
 public:
  /// What is told of a session when its record is written: the number its records have, who was admitted (nothing: nobody), and at its
  /// end what it carried.
  using Told = std::function<void(const SessionEvent&, std::uint64_t sid, const std::optional<UserDirectory::Admitted>&,
                                  const TunnelTotals*)>;

  /// A session that a daemon before left: by whose word it is in, and what its note says. Its end is told like the others', with
  /// nothing of the session but its id.
  using ToldLeft = std::function<void(std::uint64_t session, std::uint32_t tenant, const ipc::VpnRecord& note)>;

  SessionRecorder(UserDirectory& directory, TunnelClient& tunnels, EventLog& log, bool verbose, Told told = {}, ToldLeft told_left = {});
  /// Writes down what was noted.
  ~SessionRecorder() override;

  void on(const SessionEvent& event) override;
  void line(int level, std::string_view group, std::string_view text) override;
  /// The number a session has in records.
  [[nodiscard]] std::uint64_t sid_of(std::uint64_t session) const { return first_sid_ + session; }
  /// What the data plane must know before a session's first SA: see TunnelClient.
  std::optional<TunnelOwner> owner_of(const Session& session);
  /// Writes down a security event: messages in the name of a backend's servers that they did not sign.
  void forged(std::uint32_t tenant, const std::string& backend, std::uint64_t count, std::chrono::steady_clock::time_point first,
              std::chrono::steady_clock::time_point last);
  /// Writes down what the session carried until now.
  void usage(const Session& session);

  /// Every session that is up, those of a daemon before included; `live` are the protocol's.
  void list(const std::vector<Session>& live, ipc::VpnAnswer& out);
  /// Sessions of the protocol, and those that were left, by their number in the log or, when that is 0, a tenant's user.
  [[nodiscard]] std::vector<std::uint64_t> sessions_of(std::uint64_t vpn_sid, std::uint32_t tenant, const std::string& user,
                                                       const std::vector<Session>& live);

  void left(const LeftTunnel& tunnel);
  void left_gone(const LeftTunnelGone& gone);
  void left_lost();
  /// Those of them that ride on a carrier and are not over: number, tenant and gateway, nothing else.
  [[nodiscard]] std::vector<Session> left_riding();
  /// Ends one that was left, when `session` names one.
  bool end_left(std::uint64_t session, Cause cause);

 private:
  struct Noted {
    SessionEvent event;
    std::uint64_t at_ns = 0;
  };
  void run();
  void write(const Noted& noted);
  [[nodiscard]] std::string_view remark_on(const SessionEvent& event, std::uint64_t at_ns) const;
  void write_device(const Noted& noted, const std::string& gateway_code);
  void write_incidents(bool all);
  void write_left(const LeftTunnel& tunnel, Cause cause, std::string_view text, const TunnelTotals* totals);
  bool envelope(ipc::ToEventLog& out, std::uint32_t tenant, std::uint64_t at_ns) const;

  UserDirectory& directory_;
  TunnelClient& tunnels_;
  EventLog& log_;
  bool verbose_;
  Told told_;
  ToldLeft told_left_;
  Incidents incidents_;  ///< the thread's
  std::uint64_t first_sid_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Noted> noted_;
  struct Eids {
    std::string up, down;
  };
  std::map<std::uint64_t, Eids> eids_;  ///< of the records each session with a tunnel has and will have
  std::map<std::uint32_t, LeftTunnel> left_;
  std::map<std::uint64_t, std::uint64_t> starts_;  ///< of sessions that are up
  std::uint64_t begun_ns_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace sekisho::vpn
