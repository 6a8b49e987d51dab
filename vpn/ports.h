// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/wire/reader.h"
#include "vpn/session.h"

/// What a tunnel protocol needs from the rest of the gateway. All of it is called on the protocol's own threads, several at
/// once: short, without waiting for another session, without exceptions.
namespace sekisho::vpn {

/// Sends one UDP payload; loses it rather than waits.
class DatagramSender {
 public:
  virtual ~DatagramSender() = default;
  virtual void send(const Path& path, ByteSpan payload) = 0;
};

/// Addresses, protocol (0: any) and ports (host order) that an SA may carry.
struct Selector {
  Address first;
  Address last;
  std::uint8_t protocol = 0;
  std::uint16_t port_first = 0;
  std::uint16_t port_last = 65535;
};

/// One direction of an IPsec SA. Keys are borrowed for the call, and wiped by their owner after it; whoever copies them wipes
/// the copy. Algorithms are IKEv2 transform numbers; the key of an AEAD ends in its salt.
struct SaParameters {
  Path path;
  const Session* session = nullptr;  ///< whose it is, leases included; borrowed like the keys
  std::uint32_t spi = 0;  ///< host order
  std::uint32_t beside_spi = 0;  ///< outbound: the inbound SA of the same CHILD_SA
  bool inbound = false;
  bool tunnel = true;
  bool udp_encapsulation = false;
  bool esn = false;
  std::uint16_t encryption = 0;
  std::uint16_t integrity = 0;
  ByteSpan encryption_key;
  ByteSpan integrity_key;
  std::uint32_t replay_window = 0;
  std::uint64_t soft_bytes = 0, hard_bytes = 0, soft_packets = 0, hard_packets = 0;
  std::span<const Selector> local;
  std::span<const Selector> remote;
};

/// Which SA: peers choose the numbers of outbound ones, and two may choose alike.
struct SaName {
  Path path;
  std::uint32_t spi = 0;
  bool inbound = false;
};

struct SaUse {
  std::uint64_t bytes = 0;
  std::uint64_t packets = 0;
  std::optional<std::chrono::seconds> idle;  ///< since the last packet; nothing: none ever came
};

/// Where SAs live. An SA's tenant never changes: a move is refused before it reaches the sink when it would.
class SaSink {
 public:
  virtual ~SaSink() = default;
  /// A number no live inbound SA of any tenant has.
  virtual std::optional<std::uint32_t> allocate_spi(const Path& path) = 0;
  /// True only when the SA can already carry packets: the answer to the client leaves after this returns.
  virtual bool install(const SaParameters& sa) = 0;
  virtual bool move(const SaName& sa, const Path& path, bool udp_encapsulation) = 0;
  virtual std::optional<SaUse> query(const SaName& sa) = 0;
  /// Also gives back a number that was allocated and not used.
  virtual void remove(const SaName& sa) = 0;
};

/// Who may come in, by which secret, and with which inner address.
class Directory {
 public:
  virtual ~Directory() = default;
  /// Both write the secret to `out` and return its length, 0 when there is none. `out` is wiped by the caller. Tenant and peer's
  /// address are those of `path`.
  virtual std::size_t nt_hash(const Path& path, std::string_view user, std::span<std::uint8_t> out) = 0;
  virtual std::size_t psk(const Path& path, std::string_view peer, std::span<std::uint8_t> out) = 0;
  /// IKEv1: the `index`th key that a peer at this path may mean, likeliest first; none of an index, none behind it.
  virtual std::size_t peer_psk(const Path& /*path*/, std::size_t /*index*/, std::span<std::uint8_t> /*out*/) { return 0; }
  /// Somebody at `path` said he was `user` and did not know the secret.
  virtual void wrong_secret(const Path& path, std::string_view user) = 0;
  /// The key of RFC 8784 that is named `ppk_id`, like the secrets above.
  virtual std::size_t ppk(const Path& path, std::string_view ppk_id, std::span<std::uint8_t> out) = 0;
  /// `cause` kNone lets who has proven to be `session.user` in.
  struct Admission {
    Cause cause = Cause::kNone;
    DeviceVerdict device;
    std::string_view text = {};  ///< why not, in words that do not go away; empty: the cause says it
  };
  virtual Admission authorize(const Session& session) = 0;
  virtual std::optional<Address> lease(const Session& session, Family family) = 0;
  virtual void release(const Session& session, const Address& address) = 0;
};

/// What is kept of somebody who is being judged by a backend.
struct Conversation {
  std::string backend;
  std::size_t server = 0;  ///< that sent `state`
  std::vector<std::uint8_t> state;
  bool begun = false;
  std::uint8_t method = 0;  ///< EAP type of the last request that went to the peer
  std::string user;  ///< the backend's name for him, once it let him in; empty: as he said himself
  std::array<std::uint8_t, 64> key{};  ///< MSK, once it let him in
  bool has_key = false;

  Conversation() = default;
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;
  ~Conversation();
};

/// The servers of a tenant's own that say who somebody is. The one port that waits for others: for as long as its answer takes, but
/// never more of them at once than leave threads for everybody else.
class EapBackend {
 public:
  virtual ~EapBackend() = default;
  enum class Judge : std::uint8_t { kDirectory, kBackend, kNobody };
  enum class Outcome : std::uint8_t {
    kMore,      ///< `eap` is the next request for the peer
    kAccepted,
    kRejected,
    kNobody,    ///< no server answers
    kBusy,      ///< as many wait for servers as may
    kNoKey,     ///< let in, without the keys that prove it to the peer
  };
  struct Step {
    Outcome outcome = Outcome::kNobody;
    std::vector<std::uint8_t> eap;
  };
  /// Who judges `session.user` at its gateway; a backend's name goes into `conversation`.
  virtual Judge judge_of(const Session& session, Conversation& conversation) = 0;
  /// Takes what the peer answered to its server, and brings the server's answer. Waits.
  virtual Step step(const Session& session, Conversation& conversation, ByteSpan eap) = 0;
};

/// Who wants to know. Neither function calls back into the protocol.
class SessionObserver {
 public:
  virtual ~SessionObserver() = default;
  /// Every event, in order, one at a time.
  virtual void on(const SessionEvent& event) = 0;
  /// A line for the journal of whoever operates the gateway, `level` -1 to 1; several at once. Never a key or a password.
  virtual void line(int level, std::string_view group, std::string_view text) = 0;
};

}  // namespace sekisho::vpn
