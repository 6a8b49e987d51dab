// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/ipc/keying_daemon.h"
#include "base/ipc/seqpacket.h"
#include "base/shm/datagram_ring.h"
#include "vpn/ports.h"

namespace sekisho::ipc {
class FromTunnels;
class ToTunnels;
class TunnelEvent;
class TunnelWelcome;
class TunnelLeft;
}  // namespace sekisho::ipc

namespace sekisho::vpn {

/// What a session's tunnel carried.
struct TunnelTotals {
  std::uint64_t bytes_in = 0, bytes_out = 0, packets_in = 0, packets_out = 0;
  std::uint32_t riders = 0;  ///< of a carrier: sessions on it
};

/// What the data plane must know of a session besides its path and addresses.
struct TunnelOwner {
  std::uint32_t tunnel_port = 0;
  std::uint32_t user = 0;
  std::vector<std::uint8_t> note;  ///< given back when a later daemon hears of the tunnel
  std::uint64_t person = 0;        ///< who he is among those that share `user`
  std::uint64_t account = 0;       ///< as other daemons count him; 0: they do not, here and below
  std::uint64_t account_group = 0;
  std::int64_t since = 0;          ///< seconds since 1970 UTC: when he came in
  std::optional<std::uint32_t> others{};   ///< sessions of his that other daemons may hold; more: the tunnel is refused
  std::vector<std::uint32_t> displaced{};  ///< tunnels of his, of theirs, that end for this one
};

/// A session of L2TP: on whose SAs it rides, and how both ends address it (base/proto/tunnel.proto, L2tpSession).
struct L2tpRide {
  std::uint32_t carrier = 0;
  std::uint16_t peer_port = 0;
  std::uint16_t local_tunnel = 0, local_session = 0, peer_tunnel = 0, peer_session = 0;
  bool sequenced = false;
  std::uint16_t mtu = 0;
};

/// What the data plane tells unasked.
struct SaLimitReached {
  std::uint32_t spi = 0;
  Endpoint local;
  bool hard = false;
};
struct PeerMovedTo {
  std::uint32_t spi = 0;
  Endpoint local;
  Endpoint remote;
};
struct SessionTunnelGone {
  enum class Why : std::uint8_t { kReplaced, kLimits, kPortGone, kClosed } why = Why::kReplaced;
  std::uint64_t session = 0;
};
/// Left by a daemon before; it ends with LeftTunnelGone. One that ended before this daemon came is told by that alone.
struct LeftTunnel {
  std::uint32_t tunnel = 0;
  std::uint32_t tenant = 0;
  std::vector<std::uint8_t> note;
  std::optional<L2tpRide> ride{};  ///< of a session of L2TP whose carrier is there
};
struct LeftTunnelGone {
  LeftTunnel tunnel;
  SessionTunnelGone::Why why = SessionTunnelGone::Why::kReplaced;
  TunnelTotals totals;
};
/// A session of another daemon's took the address, or gave it back: nobody is given it meanwhile.
struct ForeignLease {
  std::uint32_t tenant = 0;
  Address address;
  bool held = false;
  std::uint32_t tunnel = 0;     ///< the session's
  std::uint64_t account = 0;    ///< whose it is; 0: nobody's, here and below
  std::uint64_t account_group = 0;
  std::int64_t since = 0;       ///< seconds since 1970 UTC
};
/// The SAs that sessions of L2TP rode on are gone.
struct CarrierLost {
  std::uint32_t carrier = 0;
};
/// No data plane any more: all tunnels and SAs are gone with it.
struct DataplaneLost {};
struct DataplaneFound {};
using TunnelSignal = std::variant<SaLimitReached, PeerMovedTo, SessionTunnelGone, LeftTunnel, LeftTunnelGone,
                                  ForeignLease, CarrierLost, DataplaneLost, DataplaneFound>;

/// The edge to the data plane (base/proto/tunnel.proto): SAs and tunnels over tunnel.sock, datagrams over rings. Whoever calls waits
/// for the answer, at most two seconds; many may at once. Without a data plane every question is answered no, at once, and it is
/// looked for five times a second.
///
/// A thread of its own reads the socket. Any thread may call; poll() and take_signals() belong to one.
class TunnelClient : public SaSink, public DatagramSender {
 public:
  using OwnerOf = std::function<std::optional<TunnelOwner>(const Session&)>;

  /// `kind`: which daemon this process is. `owner_of` is asked before the first SA of a session, on the thread that installs it.
  TunnelClient(KeyingDaemon kind, std::string socket_path, OwnerOf owner_of);
  ~TunnelClient() override;

  std::optional<std::uint32_t> allocate_spi(const Path& path) override;
  bool install(const SaParameters& sa) override;
  bool move(const SaName& sa, const Path& path, bool udp_encapsulation) override;
  std::optional<SaUse> query(const SaName& sa) override;
  void remove(const SaName& sa) override;
  void send(const Path& path, ByteSpan payload) override;

  /// Opens the session's tunnel without SAs: packets for its Leases come out of poll() with its number as Path::tunnel, those it says
  /// go into put(). `mtu`: the longest its user takes. The path for put(); nothing: it was refused.
  std::optional<Path> open_ring(const Session& session, std::uint16_t mtu);
  /// Opens the session's tunnel as one that rides on a carrier: its IP packets never come here. False: it was refused.
  bool open_l2tp(const Session& session, const L2tpRide& ride);
  /// A packet that came out of the tunnel `path.tunnel` of a tenant, and of its tunnel Port. False: there is no room now; the caller
  /// keeps it and reads no more meanwhile.
  bool put(const Path& path, ByteSpan packet);
  /// What a tunnel without SAs carried until now: its door counts.
  void count(std::uint64_t session, const TunnelTotals& totals, std::chrono::steady_clock::time_point last_in);
  /// What the session's tunnel carried so far. Nothing: it has none, or nobody knows.
  std::optional<TunnelTotals> totals(std::uint64_t session);
  /// From now on rules know the session's user by this UserId. False: its tunnel is not open (yet).
  bool change_user(std::uint64_t session, std::uint32_t user);
  /// Nothing passes through the session's tunnel from here on; what it carried is kept for close().
  void cut(std::uint64_t session);
  struct Closed {
    std::uint32_t tunnel = 0;
    TunnelTotals totals;
  };
  /// Ends the session's tunnel with its SAs, and says what it carried. Nothing: it has none. The session is forgotten; the data
  /// plane keeps its note until forget(), for the daemon that comes after a crash.
  std::optional<Closed> close(std::uint64_t session);
  /// The same for one of a daemon before.
  std::optional<TunnelTotals> close_left(std::uint32_t tunnel);
  /// What such a one carried so far.
  std::optional<TunnelTotals> left_totals(std::uint32_t tunnel);
  /// What became of this tunnel is written down for good.
  void forget(std::uint32_t tunnel);
  bool take_left(const ipc::TunnelLeft& one);
  /// Since the last packet in; nothing when none ever came, or nobody knows.
  std::optional<std::chrono::seconds> idle(std::uint64_t session);
  /// The same of a session of L2TP that a daemon before left.
  std::optional<std::chrono::seconds> left_idle(std::uint32_t tunnel);

  /// Hands over what clients sent, at most `max` datagrams; how many there were.
  std::size_t poll(std::size_t max, const std::function<void(const Path&, ByteSpan)>& take);
  std::vector<TunnelSignal> take_signals();
  /// Datagrams that found no room in the ring.
  [[nodiscard]] std::uint64_t unsent() const { return unsent_.load(std::memory_order_relaxed); }

 private:
  /// (inbound, SPI; of outbound ones tenant and remote end)
  using Key = std::tuple<bool, std::uint32_t, std::uint32_t, Endpoint>;
  struct Sa {
    std::uint64_t session = 0;
    Endpoint local;
  };
  struct Tunnel {
    std::uint32_t number = 0;
    std::uint32_t tenant = 0;
    bool open = false;
    bool ending = false;  ///< somebody waits for what it carried
    std::uint32_t port = 0;  ///< PortId of its tunnel Port
    bool ring = false;    ///< it has no SAs: `totals` is what count() said
    bool rides = false;   ///< it has no SAs of its own
    std::optional<std::chrono::steady_clock::time_point> last_in;  ///< of a ring
    TunnelTotals totals;  ///< as last heard
  };
  struct Waiting;

  static Key key_of(const SaName& sa);
  void run();
  bool connect();
  void lose();
  void receive(const IpcMessage& message);
  void welcome(const ipc::TunnelWelcome& message, std::vector<Fd> fds);
  void take_event(const ipc::TunnelEvent& event);
  std::uint32_t free_number();
  bool open(const Session& session, std::uint16_t ring_mtu, const L2tpRide* ride = nullptr);
  bool transmit(ipc::ToTunnels& request);
  std::optional<ipc::FromTunnels> ask(ipc::ToTunnels& request);
  bool done(ipc::ToTunnels& request);
  std::optional<TunnelTotals> end(std::uint32_t tunnel);
  std::optional<SaUse> use_of(std::uint32_t tunnel, std::uint32_t spi, bool inbound);

  KeyingDaemon kind_;
  std::string socket_path_;
  OwnerOf owner_of_;

  std::mutex state_;  ///< all below it, but for what has its own
  std::condition_variable changed_;
  std::map<Key, Sa> sas_;
  std::unordered_map<std::uint64_t, Tunnel> tunnels_;        ///< by session
  std::unordered_map<std::uint32_t, std::uint64_t> sessions_;  ///< by tunnel
  std::map<std::uint32_t, LeftTunnel> left_;
  std::set<std::uint32_t> own_;     ///< numbers this process gave and has not forgotten
  std::set<std::uint32_t> before_;  ///< those of before the last reconnect: nobody's
  std::set<std::uint32_t> allocated_;
  std::unordered_map<std::uint64_t, Waiting*> waiting_;
  std::vector<TunnelSignal> signals_;
  std::uint64_t last_correlation_ = 0;
  std::uint32_t last_number_ = 0;
  bool connected_ = false;
  bool stopping_ = false;

  std::mutex sending_;
  std::shared_ptr<IpcConnection> connection_;  ///< swapped under `sending_`
  std::mutex inject_mutex_;
  std::optional<DatagramRingWriter> inject_;
  std::mutex punt_mutex_;
  std::vector<DatagramRingReader> punts_;
  std::atomic<std::uint64_t> unsent_{0};
  std::string last_refusal_;  ///< the reader's
  std::thread reader_;
};

}  // namespace sekisho::vpn
