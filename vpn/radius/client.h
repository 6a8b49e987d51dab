// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vpn/plan.h"
#include "vpn/radius/message.h"
#include "vpn/session.h"

namespace sekisho::vpn::radius {

/// A datagram to be sent.
struct Datagram {
  Endpoint local;
  Endpoint remote;
  std::vector<std::uint8_t> bytes;
};

/// What a server says of a user it let in.
struct Grant {
  std::string user;                 ///< its name for him; empty: as he said himself
  std::vector<std::string> values;  ///< of the attribute that says groups, in its order
  std::uint32_t session_seconds = 0;  ///< 0: it does not say, here and below
  std::uint32_t interim_seconds = 0;
  std::vector<Address> addresses;
  std::vector<std::vector<std::uint8_t>> classes;  ///< to be echoed in accounting
  Mac mac{};  ///< of the device, where Calling-Station-Id is one (RFC 3580, 3.20); zero: it does not say
};

/// How an access request ended.
struct Answer {
  enum class Outcome : std::uint8_t {
    kAccept,
    kReject,
    kChallenge,
    kNobody,  ///< no server answered, or none is believed to live
  };
  std::uint64_t number = 0;
  Outcome outcome = Outcome::kNobody;
  std::size_t server = 0;
  std::vector<std::uint8_t> eap;
  std::vector<std::uint8_t> state;
  std::optional<MasterKey> key;  ///< wiped by whoever takes it
  MppeKeys mppe;                 ///< the same keys apart; of size 0: there are none
  std::string authenticator;     ///< of MS-CHAP2-Success
  Grant grant;

  explicit Answer(std::uint64_t of) : number(of) {}
  Answer() = default;
};

inline std::uint32_t seconds_between(std::chrono::steady_clock::time_point from, std::chrono::steady_clock::time_point to) {
  return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(to - from).count());
}

/// What a client counted.
struct Counters {
  std::uint64_t sent = 0;
  std::uint64_t answered = 0;
  std::uint64_t forged = 0;     ///< to an open request, without the authenticators of its server
  std::uint64_t malformed = 0;
  std::uint64_t unknown = 0;    ///< no request is open that it could answer
  std::uint64_t unanswered = 0; ///< requests a server was given up for
  std::uint64_t records_lost = 0;  ///< of accounting, for want of room
};

/// A tenant's view of its RADIUS servers. Pure: time is an argument, datagrams go through take_sends() and receive().
///
/// Whom it asks: the first server that is believed to live. A server that leaves `tries` copies of a request unanswered, and has said
/// nothing else meanwhile, is not asked for kDeadTime, then by one request at a time. A conversation's first request (an identity)
/// may go on to the next server; one that carries a server's State never does: that server may be waiting for somebody's finger.
/// It is asked again with the same bytes, which a server knows for a duplicate, and waited for until kPatience is over.
///
/// Accounting records wait their turn and for a server to live; beyond kRecordsMax they are lost and counted.
class Client {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Random = std::function<void(std::span<std::uint8_t>)>;
  static constexpr std::chrono::seconds kDeadTime{10}, kPatience{25};
  static constexpr std::size_t kRecordsMax = 4096, kRecordsUnderWayMax = 8;

  /// Sends from `first_port` and the seven after it.
  Client(std::shared_ptr<const RadiusPlan> plan, std::uint16_t first_port, Random random);

  /// Other servers or secrets: requests under way to them end unanswered.
  void set_plan(std::shared_ptr<const RadiusPlan> plan);
  [[nodiscard]] const RadiusPlan& plan() const { return *plan_; }

  /// `attributes` as a Writer holds them; `server`: who sent the State among them. The number its Answer will have.
  /// `password`: hidden anew for each server that is asked, and wiped with the request.
  std::uint64_t ask(ByteSpan attributes, std::optional<std::size_t> server, Time now, std::shared_ptr<const Secret> password = {});
  /// Nobody waits for it any more.
  void forget(std::uint64_t number);
  /// An accounting record; the time it waits is added. `replaceable`: worth nothing once a later one is there.
  void account(ByteSpan attributes, bool replaceable, Time now);
  void receive(std::uint16_t local_port, const Endpoint& remote, ByteSpan datagram, Time now);
  /// Sends again, goes on to the next server, gives up.
  void tick(Time now);

  std::vector<Datagram> take_sends();
  std::vector<Answer> take_answers();
  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] std::size_t records() const { return records_.size(); }
  [[nodiscard]] bool owns(std::uint16_t local_port) const { return local_port >= first_port_ && local_port - first_port_ < kPorts; }
  static constexpr std::uint16_t kPorts = 8;

 private:
  enum class Service : std::uint8_t { kAccess, kAccounting };
  struct Health {
    bool dead = false;
    Time heard{};
    Time again{};  ///< of one that is dead: when it may be asked
  };
  struct Open {
    std::uint64_t number = 0;
    Service service = Service::kAccess;
    bool pinned = false;
    std::size_t server = 0;
    unsigned tried = 0;  ///< a bit per server
    std::uint8_t id = 0;
    Authenticator authenticator{};
    std::vector<std::uint8_t> attributes;
    std::shared_ptr<const Secret> password;
    std::vector<std::uint8_t> bytes;
    unsigned copies = 0;
    Time begun{}, next{}, end{};
  };
  struct Record {
    std::uint64_t number = 0;
    std::vector<std::uint8_t> attributes;
    bool replaceable = false;
    bool under_way = false;
    Time made{}, next{};
  };

  Health& health(Service service, std::size_t server) { return health_[server][static_cast<std::size_t>(service)]; }
  std::optional<std::size_t> choose(Service service, unsigned tried, Time now);
  bool send_to(Open& open, std::size_t server, Time now);
  void send_again(Open& open, Time now);
  bool give_up(Open& open, Time now);
  void answer_access(const Open& open, const Message& message);
  void send_records(Time now);
  [[nodiscard]] Endpoint local_of(const Open& open) const;
  [[nodiscard]] Endpoint remote_of(const Open& open) const;

  std::shared_ptr<const RadiusPlan> plan_;
  std::uint16_t first_port_;
  Random random_;
  std::vector<std::array<Health, 2>> health_;
  std::vector<Open> open_;
  std::deque<Record> records_;
  std::vector<Datagram> sends_;
  std::vector<Answer> answers_;
  std::uint64_t last_number_ = 0;
  std::array<std::uint8_t, kPorts> last_ids_{};
  Counters counters_;
};

}  // namespace sekisho::vpn::radius
