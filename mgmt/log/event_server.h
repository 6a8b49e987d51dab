// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/ipc/seqpacket.h"
#include "base/proto/vpn_log.pb.h"
#include "mgmt/log/events.h"
#include "mgmt/log/journal.h"
#include "mgmt/log/remote_users.h"

namespace sekisho::mgmt {

/// Checks a message of event.sock and takes it apart. The text is what is wrong with it, naming the field.
struct EventEntry {
  LogEntry entry;
  std::string refusal;  ///< empty: `entry` holds
};
/// `sender`: whose codes a security event may have; nothing: any daemon's.
EventEntry entry_of(const ipc::ToEventLog& message, std::optional<EventSender> sender = std::nullopt);

/// Who may send, besides root and our own uid, and as whom.
struct EventUids {
  std::set<uid_t> keying;   ///< daemons of remote access
  std::set<uid_t> control;  ///< controld: audit records, and its own security events
};

/// event.sock: takes records of remote access from the daemons that make them, which keep each until it is acknowledged.
///
/// A record is acknowledged once it survives a power cut; one that was stored but not acknowledged when somebody died comes
/// again and is known by its eid. A record that will never be stored is answered at once with the reason. Peers: root, our
/// own uid, and the uids allowed. Thread: the loop's; never waits.
class EventServer {
 public:
  static constexpr std::size_t kConnectionsMax = 8;
  static constexpr std::size_t kKnownMax = 8192;        ///< eids remembered a stream; a sender keeps no more unacknowledged
  static constexpr std::size_t kMessagesPerTurn = 256;  ///< of one peer: others and the rings come first
  static constexpr std::size_t kManyUnsafe = 128;       ///< of one peer, which sends 256 before it waits

  using Note = std::function<void(const std::string&)>;
  using Clock = std::function<Timestamp()>;

  static Result<std::unique_ptr<EventServer>> listen(boost::asio::io_context& loop, const std::string& path,
                                                     EventUids allowed, LogStore& store, Journal& journal,
                                                     RemoteUsers& users, Clock wall, Note note);
  ~EventServer();
  EventServer(const EventServer&) = delete;
  EventServer& operator=(const EventServer&) = delete;

  /// Takes what waits now: a user is known before the first packet is.
  void take_waiting();
  /// All that was written so far is safe: tells the senders.
  void acknowledge();
  /// Whether some sender has so many records unacknowledged that it soon sends no more (vpn/event_log.h): worth making them safe now.
  [[nodiscard]] bool keeps_waiting() const;
  void stop();

 private:
  struct Peer;
  struct Watch;
  struct Known {
    std::set<Uuid> eids;
    std::deque<Uuid> order;
  };

  EventServer(boost::asio::io_context& loop, IpcListener listener, EventUids allowed, LogStore& store, Journal& journal,
              RemoteUsers& users, Clock wall, Note note);
  void wait_for_peer();
  void accept();
  void wait_for_message(Peer& peer);
  bool serve(Peer& peer);
  bool take(Peer& peer, const IpcMessage& message);
  Result<bool> is_new(const LogEntry& entry);
  static bool answer(Peer& peer, std::uint64_t number, const std::string& refusal);

  boost::asio::io_context& loop_;
  IpcListener listener_;
  std::unique_ptr<Watch> watch_;
  EventUids allowed_;
  LogStore& store_;
  Journal& journal_;
  RemoteUsers& users_;
  Clock wall_;
  Note note_;
  std::list<std::unique_ptr<Peer>> peers_;
  std::map<StreamName, Known> known_;
};

}  // namespace sekisho::mgmt
