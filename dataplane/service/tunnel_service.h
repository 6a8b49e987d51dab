// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/ipc/keying_daemon.h"
#include "base/ipc/seqpacket.h"
#include "base/proto/tunnel.pb.h"
#include "dataplane/engine.h"
#include "dataplane/service/ended_leases.h"

namespace sekisho::dataplane {

/// tunnel.sock: tunnels and SAs as the keying daemons ask for them (tunnel.proto). Thread: control; what concerns an SA is
/// done by the worker that has it, asked through the engine. Nothing is believed: a request that does not fit what is open,
/// or the configuration in force, is refused with a sentence and changes nothing; a message that is none closes the
/// connection. A daemon reaches its own tunnels and SAs alone; addresses are shared: an open that takes another daemon's is refused.
/// Keys are wiped in the message and in the bytes it was read from before the answer leaves.
class TunnelService {
 public:
  explicit TunnelService(Engine& engine) : engine_(engine) {}

  struct Peer {
    IpcConnection connection;
    std::uint32_t may = 0;             ///< kinds (bit_of) its uid may be
    std::optional<KeyingDaemon> is{};  ///< once it has said hello
  };

  /// A connection whose uid may be one of `may`. Its first hello makes it that daemon; a second of the kind is refused while the
  /// first is connected.
  void accept(IpcConnection peer, std::uint32_t may = kAllKeyingDaemons);
  [[nodiscard]] const std::vector<Peer>& peers() const { return peers_; }
  /// Receives and answers one message of peers()[number]; closes it when it is not one.
  void serve(std::size_t number);
  /// Limits by time, what SAs have to tell, Ports that are gone. Now and then.
  void tick();
  /// Whether tick() has something to look at.
  [[nodiscard]] bool busy() const { return !tunnels_.empty() || !ended_.empty(); }

 private:
  struct SaName {
    std::uint32_t handle;  ///< in its worker's table
    std::uint32_t spi;
    bool inbound;
    bool expired = false;
  };
  struct Tunnel {
    std::uint32_t tenant = 0;
    std::uint32_t port = 0;  ///< PortId value
    std::uint32_t user = 0;
    std::uint64_t person = 0;  ///< who of those that share `user`
    std::vector<Address> leases;
    std::string note;
    std::uint64_t account = 0, account_group = 0;  ///< whose session it is; told to the other daemons, and `since`
    std::int64_t since = 0;
    std::vector<SaName> sas;  ///< in the order they were installed
    bool left = false;        ///< of a daemon before
    bool carrier = false;     ///< of L2TP: its SAs are in transport mode, and sessions ride on it
    std::vector<std::uint32_t> riders;     ///< of a carrier
    std::uint32_t over = 0;                ///< the carrier a session rides on; 0: none, or it is gone
    std::shared_ptr<L2tpSession> session;  ///< of a session
    ipc::L2tpSession asked;                ///< of a session: as its daemon said it
    bool ring = false;        ///< it has no SAs: its packets cross the daemon's rings
    Address path_peer;        ///< who was asked for less than our own way to him carries: path_mtu until path_until
    std::uint16_t path_mtu = 0;
    std::uint64_t path_until = 0;  ///< seconds of the data plane's clock
    std::uint64_t bytes_in = 0, bytes_out = 0, packets_in = 0, packets_out = 0;  ///< of SAs that are gone
  };
  using Tunnels = std::map<std::uint32_t, Tunnel>;
  /// What is kept of a daemon, through its deaths.
  struct Daemon {
    int fd = -1;                                     ///< descriptor of the peer that is it; -1: none is
    std::vector<std::uint32_t> reserved;             ///< SPIs given out and not installed
    std::vector<ipc::TunnelEvent> untold;            ///< what the next is told behind its welcome: ends, and tunnels left
    std::map<std::uint32_t, ipc::TunnelGone> kept;   ///< ended, and it has not said that their records are stored
  };

  Result<void> answer(Peer& peer, IpcMessage& message);
  /// The reason of a refusal; empty: done.
  std::string act(KeyingDaemon from, ipc::ToTunnels& request, ipc::FromTunnels& answer);
  std::string hello(const Peer& peer, const ipc::TunnelHello& request, ipc::FromTunnels& answer, std::vector<Fd>& fds);
  std::string make_rings(KeyingDaemon daemon, std::vector<Fd>& fds);
  void welcome(KeyingDaemon daemon, ipc::TunnelWelcome& out);
  void tell_untold(KeyingDaemon daemon);
  std::string open(KeyingDaemon from, const ipc::OpenTunnel& request, ipc::FromTunnels& answer);
  std::string close(KeyingDaemon from, const ipc::CloseTunnel& request, ipc::FromTunnels& answer);
  std::string change_user(const ipc::ChangeUser& request);
  /// Sessions of leases whose user is another now ask the rules with their next packet. Many changes are one walk.
  void judge_renamed();
  std::string query(const ipc::QueryTunnel& request, ipc::FromTunnels& answer);
  std::string allocate(KeyingDaemon from, const ipc::AllocateSpi& request, ipc::FromTunnels& answer);
  std::string install(KeyingDaemon from, const ipc::InstallSa& request);
  std::string move(const ipc::MoveSa& request);
  std::string query(const ipc::QuerySa& request, ipc::FromTunnels& answer);
  std::string remove(KeyingDaemon from, const ipc::RemoveSa& request);

  [[nodiscard]] std::string check_path(const ipc::TunnelPath& path, EspEnd& local, EspEnd& peer) const;
  [[nodiscard]] std::uint16_t outer_mtu(std::uint32_t tenant, const ipc::TunnelPath& path, const Address& peer) const;
  /// Why not; empty: it may, in place of the tunnels in `replaced`. `foreign`: because another daemon's session has it.
  [[nodiscard]] std::string check_lease(const ipc::OpenTunnel& request, const Address& address, std::vector<std::uint32_t>& replaced,
                                        bool& foreign) const;
  [[nodiscard]] bool has_room(const ipc::OpenTunnel& request) const;
  void end_displaced(const ipc::OpenTunnel& request);
  static KeyingDaemon owner_of(std::uint32_t tunnel) { return static_cast<KeyingDaemon>(tunnel >> kTunnelOwnerShift); }
  Daemon& daemon(KeyingDaemon kind) { return daemons_[index_of(kind)]; }
  // tunnel_l2tp.cc
  std::string open_carrier(KeyingDaemon from, const ipc::OpenTunnel& request);
  std::string make_session(KeyingDaemon from, const ipc::OpenTunnel& request, Tunnel& out) const;
  Tunnel* carrier_of(const Tunnel& tunnel);
  void board(std::uint32_t number, Tunnel& tunnel);
  void alight(std::uint32_t number, Tunnel& tunnel);
  void load(const Tunnel& carrier, const SaName& sa);
  void unload(const Tunnel& carrier, const SaName& sa);
  static void count(Tunnel& tunnel, const SaName& sa, const SaUse& use);
  void add_session_use(std::uint32_t number, const Tunnel& tunnel, Tunnel& sum, ipc::TunnelUse& out);
  void point_carrier(std::uint32_t number, const Tunnel& carrier);
  void point_session(std::uint32_t number, const Tunnel& tunnel);
  void end_carrier(std::uint32_t number, Tunnel& carrier);
  // tunnel_mtu.cc
  void hear(const std::vector<PathReport>& reports);
  bool learn(const PathReport& report, const SaName& sa);
  void apply_path(std::uint32_t number, Tunnel& tunnel);
  void forget_paths();
  SaName* find(std::uint32_t tunnel, std::uint32_t spi, bool inbound);
  void point_leases(std::uint32_t number, Tunnel& tunnel);
  void erase_sa(Tunnel& tunnel, const SaName& sa);
  void end(Tunnels::iterator at, std::optional<ipc::TunnelGone::Why> why);
  void lose_daemon(KeyingDaemon daemon);
  void take_events(std::uint32_t shard);
  void end_gone();
  void tell(KeyingDaemon daemon, const ipc::TunnelEvent& event);
  void tell_leases();
  void tell_all_leases(KeyingDaemon daemon);

  Engine& engine_;
  std::vector<Peer> peers_;
  std::array<Daemon, kKeyingDaemons> daemons_;
  Tunnels tunnels_;
  EndedLeases ended_;
  std::set<std::pair<std::uint32_t, Address>> renamed_;  ///< leases whose user is another now, by tenant
  std::chrono::steady_clock::time_point renamed_not_before_{};
  struct LeaseNews {
    std::uint32_t tunnel;
    std::uint32_t tenant;
    Address address;
    bool held;
    std::uint64_t account = 0, account_group = 0;
    std::int64_t since = 0;
  };
  std::vector<LeaseNews> lease_news_;            ///< taken and given back: the other daemons have not heard of it
  std::uint32_t next_worker_ = 0;
  std::size_t narrow_ = 0;                       ///< tunnels with a path_mtu
  std::uint32_t generation_ = 0;                 ///< tunnels were looked at under
};

}  // namespace sekisho::dataplane
