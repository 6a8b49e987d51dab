// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/wire/reader.h"
#include "vpn/ppp/types.h"

/// PPTP's control connection (RFC 2637 2 and 3): bytes of TCP port 1723 in, bytes out, one call at a time. Pure.
namespace sekisho::vpn::pptp {

enum class Type : std::uint16_t {
  kStartRequest = 1,
  kStartReply = 2,
  kStopRequest = 3,
  kStopReply = 4,
  kEchoRequest = 5,
  kEchoReply = 6,
  kOutgoingRequest = 7,
  kOutgoingReply = 8,
  kIncomingRequest = 9,
  kIncomingReply = 10,
  kIncomingConnected = 11,
  kClearRequest = 12,
  kDisconnectNotify = 13,
  kWanError = 14,
  kSetLink = 15,
};

/// Bytes of a message of this type, the only length it may have; 0: no such type.
std::size_t length_of(std::uint16_t type);
inline constexpr std::size_t kMessageBytesMax = 220;

/// One whole message of the right length. Borrows.
struct Message {
  Type type{};
  ByteSpan body;  ///< behind the twelve bytes every message has
  std::size_t size = 0;
};
/// The first message of what came. kTruncated: not whole yet; any other error: the connection is not PPTP's.
Result<Message> parse_message(ByteSpan stream);

/// The server's end of a connection. Messages in an order the RFC does not have end it.
class Control {
 public:
  using Time = ppp::Time;
  /// Who comes without a word, or stays silent on our echoes, is dropped.
  static constexpr std::chrono::seconds kStartMax{10}, kEchoAfter{60}, kEchoMax{60};

  /// Whom it serves. Nothing of it calls back into the control connection.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void write(ByteSpan bytes) = 0;
    /// GRE may flow: the peer's packets carry our call's number, ours carry `peer_call`.
    virtual void call_up(std::uint16_t peer_call, std::uint16_t window, Time now) = 0;
    /// The peer wants it over, or the connection ends; once for each call_up().
    virtual void call_down(std::string_view why, Time now) = 0;
  };

  /// `call`: our number for the one call this connection may have; not 0.
  Control(Owner& owner, std::uint16_t call, Time now) : owner_(owner), call_(call), deadline_(now + kStartMax) {}

  /// False: the connection is to be closed.
  bool receive(ByteSpan bytes, Time now);
  bool tick(Time now);
  [[nodiscard]] Time next() const { return deadline_; }
  /// We want the call over: the peer is told. The connection may be closed then.
  void clear_call(Time now);
  /// The connection is gone.
  void closed(Time now) { end_call("the control connection ended", now); }
  /// Of the peer, as it says: printable.
  [[nodiscard]] const std::string& host() const { return host_; }
  [[nodiscard]] const std::string& vendor() const { return vendor_; }

 private:
  enum class State : std::uint8_t { kIdle, kStarted, kCalling };
  bool take(const Message& message, Time now);
  bool take_start(ByteSpan body);
  bool take_outgoing(ByteSpan body, Time now);
  bool take_clear(ByteSpan body, Time now);
  void end_call(std::string_view why, Time now);

  Owner& owner_;
  std::uint16_t call_;
  std::uint16_t peer_call_ = 0;
  State state_ = State::kIdle;
  bool waits_for_echo_ = false;
  std::uint32_t echo_ = 0;
  Time deadline_;
  std::vector<std::uint8_t> rest_;  ///< of a message that is not whole
  std::string host_, vendor_;
};

}  // namespace sekisho::vpn::pptp
