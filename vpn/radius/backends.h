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

namespace sekisho::ipc {
class VpnRecord;
}

namespace sekisho::vpn::radius {

/// Before the outer name of somebody whom a server let in by a method that proves another one, without saying which.
inline constexpr std::string_view kUnproven = "unproven/";

/// What somebody says to prove who he is. Borrowed for the call.
struct Claim {
  enum class Kind : std::uint8_t { kEap, kPassword, kChap, kMschapV2 };
  Kind kind = Kind::kEap;
  ByteSpan eap;              ///< kEap: his last packet; what begins a conversation is made of his name
  ByteSpan password;         ///< kPassword
  std::uint8_t identifier = 0;
  ByteSpan challenge;        ///< kChap, kMschapV2: 16 bytes
  ByteSpan peer_challenge;   ///< kMschapV2: 16 bytes
  ByteSpan response;         ///< kChap: 16 bytes; kMschapV2: 24
  std::string_view method;   ///< in the words of the log; kEap: as it turns out
};

/// What became of it.
struct Verdict {
  std::uint64_t session = 0;
  EapBackend::Outcome outcome = EapBackend::Outcome::kNobody;
  std::vector<std::uint8_t> eap;  ///< of kEap: the server's own words
  std::string authenticator;      ///< of kMschapV2 accepted: what proves the server to the peer
  MppeKeys keys;                  ///< of an accept; of size 0: there are none
  std::string method;             ///< of an accept, in the words of the log
  std::string user;               ///< of an accept: the server's name for him; empty: as he said himself
};

/// The RADIUS backends of all tenants: EAP of users they judge, accounting of their sessions, and their word that one shall end.
/// Datagrams come in by take() and leave by the sender, like IKE's; a tenant's client never waits for another's.
///
/// step() waits on the protocol's threads, everything else returns at once. take(), turn() and set_plan() belong to one thread; who lives
/// on that one alone asks by pose(), and finds the answer among take_verdicts().
class Backends : public EapBackend {
 public:
  using Time = Client::Time;
  struct Limits {
    std::size_t waiting_per_tenant = 16;
    std::size_t waiting = 48;  ///< in all: threads beyond them work for the others
    std::size_t posed_per_tenant = 128;  ///< half of the numbers a server's requests have
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

  /// The backend that judges him at a door of PPP's; empty: the tenant's own directory, or nobody.
  [[nodiscard]] std::string backend_of(const Session& session) const;
  /// Asks `backend`: one Verdict follows, unless forget() comes before. One question of a session at a time.
  void pose(const Session& session, const std::string& backend, const Claim& claim, Time now);
  /// Nobody waits for the session's verdict any more, and one that was not told yet is void.
  void forget(std::uint64_t session);
  std::vector<Verdict> take_verdicts();

  /// A datagram to a port that is not IKE's.
  void take(const Path& path, ByteSpan payload, Time now);
  /// Sends again, gives up, tells what sessions carried.
  void turn(Time now);
  /// A session began or ended, or an attempt did.
  void tell(const SessionEvent& event, const TunnelTotals* totals, Time now);
  /// A session that a daemon before left, by its note, when a backend let it in: it can be ended by that one's servers, and its end is
  /// accounted.
  void adopt(std::uint64_t session, std::uint32_t tenant, const ipc::VpnRecord& note, Time now);
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
  std::vector<Forgery> take_forgeries(Time now);

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
  /// Somebody who is being judged by pose().
  struct Posed {
    Session session;
    Conversation conversation;
    std::string method;
    Claim::Kind kind = Claim::Kind::kEap;
    std::uint64_t number = 0;  ///< of the request that is open; 0: none
  };
  /// A request of a server's that no session of ours fits: the daemon that has it answers at once, and no one of them only after a while.
  struct Unnamed {
    Path path;
    std::vector<std::uint8_t> answer;
    Time at{};
  };
  struct Answered {
    Key backend;
    std::vector<std::uint8_t> request;
    std::vector<std::uint8_t> answer;
    Time at{};
  };

  /// Enters whom a server let in, and tells the directory.
  void admit(const Session& session, const Conversation& conversation, Answer& answer, std::string method);
  void judged(std::uint64_t session, Outcome outcome);
  void judged(const Key& key, Answer& answer);
  /// Sends what is to be sent, and wakes those whose answers are there.
  void collect(const Key& key, Backend& backend);
  void accept(const Session& session, Conversation& conversation, Answer& answer);
  void account(Live& live, std::uint32_t status, const TunnelTotals* totals, Cause cause, Time now);
  void take_request(const Path& path, ByteSpan payload, Time now);
  std::vector<std::uint8_t> answer_request(const Key& key, const Message& request, ByteSpan secret, bool& named);
  [[nodiscard]] std::vector<std::uint64_t> named_by(const Key& key, const Message& request) const;

  Ports ports_;
  Limits limits_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Key, Backend> backends_;
  std::map<std::pair<Key, std::uint64_t>, Answer> answers_;  ///< for those who wait, by client and number
  std::map<std::uint64_t, Live> live_;                      ///< by session
  std::map<std::uint64_t, Posed> posed_;                    ///< by session
  std::map<std::pair<Key, std::uint64_t>, std::uint64_t> asked_;  ///< whose answer it will be, by client and number
  std::vector<Verdict> verdicts_;
  std::deque<Answered> answered_;
  std::deque<Unnamed> unnamed_;
  std::vector<std::uint64_t> disconnects_;
  std::map<std::uint32_t, std::size_t> waiting_of_;  ///< by tenant
  std::size_t waiting_ = 0;
  bool stopping_ = false;
};

}  // namespace sekisho::vpn::radius
