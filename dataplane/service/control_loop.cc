// SPDX-License-Identifier: Apache-2.0
#include "dataplane/service/control_loop.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>

#include "base/describe.h"

namespace sekisho::dataplane {
namespace {

constexpr std::size_t kPeersMax = 32;
constexpr std::size_t kReadersMax = 4;
constexpr int kTickMs = 1000, kTunnelTickMs = 100;  // the second while there are tunnels: rebound NATs, limits
constexpr mode_t kSocketMode = 0660;

std::uint64_t wall_ns() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count());
}

Result<Fd> signal_descriptor() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  Fd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return Error{ErrorCode::kUnavailable, ErrorSite::kOs, static_cast<std::uint32_t>(errno)};
  return fd;
}

bool allowed(const IpcConnection& peer, const std::vector<uid_t>& uids) {
  const Result<uid_t> uid = peer.peer_uid();
  return uid && (*uid == 0 || std::find(uids.begin(), uids.end(), *uid) != uids.end());
}

}  // namespace

Result<std::unique_ptr<ControlLoop>> ControlLoop::create(Engine& engine, const Options& options) {
  SEKISHO_TRY(IpcListener config, IpcListener::listen(options.run_dir + "/dataplane.sock", kSocketMode));
  SEKISHO_TRY(IpcListener rings, IpcListener::listen(options.run_dir + "/rings.sock", kSocketMode));
  SEKISHO_TRY(IpcListener tunnels, IpcListener::listen(options.run_dir + "/tunnel.sock", kSocketMode));
  SEKISHO_TRY(Fd signals, signal_descriptor());
  return std::unique_ptr<ControlLoop>(
      new ControlLoop(engine, options, std::move(config), std::move(rings), std::move(tunnels), std::move(signals)));
}

ControlLoop::ControlLoop(Engine& engine, Options options, IpcListener config, IpcListener rings, IpcListener tunnels, Fd signals)
    : engine_(engine),
      options_(std::move(options)),
      service_(engine, wall_ns()),
      tunnel_service_(engine),
      config_(std::move(config)),
      rings_(std::move(rings)),
      tunnels_(std::move(tunnels)),
      signals_(std::move(signals)) {}

void ControlLoop::accept_config() {
  Result<IpcConnection> peer = config_.accept();
  if (peer && allowed(*peer, options_.control_uids) && peers_.size() < kPeersMax) peers_.push_back(std::move(peer).value());
}

void ControlLoop::accept_rings() {
  Result<IpcConnection> peer = rings_.accept();
  if (!peer || !allowed(*peer, options_.log_uids) || readers_.size() == kReadersMax) return;
  const Result<void> sent = send_log_rings(engine_, *peer);
  if (!sent) std::fprintf(stderr, "dataplaned: log rings: %s\n", describe(sent.error()).c_str());
  if (sent) readers_.push_back(std::move(peer).value());
}

void ControlLoop::accept_tunnels() {
  Result<IpcConnection> peer = tunnels_.accept();
  if (!peer) return;
  const Result<uid_t> uid = peer->peer_uid();
  std::uint32_t may = uid && *uid == 0 ? kAllKeyingDaemons : 0;
  for (const auto& [user, daemon] : options_.tunnel_uids) may |= uid && *uid == user ? bit_of(daemon) : 0;
  if (may != 0) tunnel_service_.accept(std::move(peer).value(), may);
}

void ControlLoop::serve(std::size_t number) {
  Result<IpcMessage> message = peers_[number].receive(std::chrono::milliseconds(0));
  Result<void> answered = message ? service_.answer(peers_[number], std::move(message).value()) : Result<void>(message.error());
  if (answered) return;
  if (answered.error().code != ErrorCode::kNotFound) {
    std::fprintf(stderr, "dataplaned: peer closed: %s\n", describe(answered.error()).c_str());
  }
  peers_.erase(peers_.begin() + static_cast<std::ptrdiff_t>(number));
}

Result<void> ControlLoop::run() {
  for (;;) {
    std::vector<pollfd> waiting{
        {config_.fd(), POLLIN, 0}, {rings_.fd(), POLLIN, 0}, {signals_.get(), POLLIN, 0}, {tunnels_.fd(), POLLIN, 0}};
    constexpr std::size_t kFirstPeer = 4;
    for (const IpcConnection& peer : peers_) waiting.push_back({peer.fd(), POLLIN, 0});
    const std::size_t first_reader = waiting.size();
    for (const IpcConnection& reader : readers_) waiting.push_back({reader.fd(), POLLIN, 0});
    const std::size_t first_daemon = waiting.size();
    for (const TunnelService::Peer& daemon : tunnel_service_.peers()) waiting.push_back({daemon.connection.fd(), POLLIN, 0});
    const int ready = poll(waiting.data(), waiting.size(), tunnel_service_.busy() ? kTunnelTickMs : kTickMs);
    if (ready < 0 && errno != EINTR) return Error{ErrorCode::kUnavailable, ErrorSite::kOs, static_cast<std::uint32_t>(errno)};
    engine_.sync_clock();
    tunnel_service_.tick();
    if (ready <= 0) continue;
    if (waiting[2].revents != 0) return {};
    for (std::size_t i = waiting.size(); i-- > first_daemon;) {
      if (waiting[i].revents != 0) tunnel_service_.serve(i - first_daemon);
    }
    for (std::size_t i = first_daemon; i-- > first_reader;) {  // it left, or speaks where nothing is to be said
      if (waiting[i].revents != 0) readers_.erase(readers_.begin() + static_cast<std::ptrdiff_t>(i - first_reader));
    }
    for (std::size_t i = first_reader; i-- > kFirstPeer;) {
      if (waiting[i].revents != 0) serve(i - kFirstPeer);
    }
    if (waiting[0].revents != 0) accept_config();
    if (waiting[1].revents != 0) accept_rings();
    if (waiting[3].revents != 0) accept_tunnels();
  }
}

}  // namespace sekisho::dataplane
