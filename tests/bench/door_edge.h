// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <poll.h>
#include <sched.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/ipc/sealed_blob.h"
#include "base/ipc/seqpacket.h"
#include "base/proto/control_mgmt.pb.h"
#include "base/proto/control_vpn.pb.h"
#include "base/proto/tunnel.pb.h"
#include "base/proto/vpn_log.pb.h"
#include "base/shm/datagram_ring.h"

/// What a door's daemon lives among, for measuring it alone: its three sockets, and the far ends of its rings.
namespace sekisho::bench {

inline ByteSpan bytes_of(const std::string& text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "bench: %s\n", what);
  std::exit(1);
}

/// What an inner packet asks of the edge, in the last byte of its destination.
enum class Wish : std::uint8_t {
  kSink = 1,    ///< is counted, and gone
  kAcross = 2,  ///< goes out by the other tunnel
  kPour = 3,    ///< from now on this tunnel gets packets as fast as it takes them
  kStop = 4,    ///< no longer
};

/// A controld that knows one plan, a logd that has stored everything, and a data plane that does what packets ask. One thread.
class Edge {
 public:
  Edge(const std::string& run_dir, ipc::VpnConfig plan, std::size_t packet_bytes) : plan_(std::move(plan)), packet_(packet_bytes, 0) {
    packet_[0] = 0x45;
    for (const char* name : {"/control.sock", "/event.sock", "/tunnel.sock"}) {
      auto made = IpcListener::listen(run_dir + name, 0666);
      if (!made) fail("cannot listen on a local socket");
      listeners_.push_back(std::move(*made));
    }
    thread_ = std::thread([this] { run(); });
  }
  ~Edge() {
    stopping_ = true;
    thread_.join();
  }
  Edge(const Edge&) = delete;
  Edge& operator=(const Edge&) = delete;

  /// Bytes of inner packets that came in so far.
  [[nodiscard]] std::uint64_t bytes_in() const { return bytes_in_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t opened() const { return opened_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::uint32_t kRingBytes = 1U << 20;  // as dataplaned's
  static constexpr int kPacketsATurn = 1024;

  void run() {
    while (!stopping_) {
      const bool drained = drain();
      const bool worked = pour() || drained;
      if (worked && ++busy_ % 64 != 0) continue;
      serve(worked ? 0 : 1);
    }
  }
  void serve(int wait) {
    std::vector<pollfd> polled;
    for (const IpcListener& one : listeners_) polled.push_back({one.fd(), POLLIN, 0});
    for (const Peer& one : peers_) polled.push_back({one.connection.fd(), POLLIN, 0});
    const timespec patience{0, wait * 50'000};
    if (::ppoll(polled.data(), polled.size(), &patience, nullptr) <= 0) return;
    std::set<int> ready;
    for (const pollfd& one : polled) {
      if (one.revents != 0) ready.insert(one.fd);
    }
    std::erase_if(peers_, [&](Peer& one) { return ready.contains(one.connection.fd()) && !serve(one); });
    for (std::size_t i = 0; i < listeners_.size(); ++i) {
      if (!ready.contains(listeners_[i].fd())) continue;
      if (auto made = listeners_[i].accept()) peers_.push_back({i, std::move(*made)});
    }
  }

  struct Peer {
    std::size_t socket = 0;  ///< index of its listener
    IpcConnection connection;
  };
  bool serve(Peer& peer) {
    const auto message = peer.connection.receive(std::chrono::milliseconds(0));
    if (!message) return false;
    std::vector<Fd> fds;
    std::string answer;
    if (peer.socket == 0) answer = control(message->bytes, fds);
    if (peer.socket == 1) answer = event(message->bytes);
    if (peer.socket == 2) answer = tunnel(message->bytes, fds);
    if (answer.empty()) return true;
    std::vector<int> numbers;
    for (const Fd& one : fds) numbers.push_back(one.get());
    return peer.connection.send(bytes_of(answer), numbers).has_value();
  }
  std::string control(const std::vector<std::uint8_t>& bytes, std::vector<Fd>& fds) {
    ipc::ToControl request;
    if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) || !request.has_get_vpn_config()) return {};
    ipc::FromControl out;
    out.set_correlation(request.correlation());
    out.mutable_vpn_config()->set_generation(plan_.generation());
    if (request.get_vpn_config().known() < plan_.generation()) {
      const std::string plan = plan_.SerializeAsString();
      fds.push_back(std::move(make_sealed_blob("vpn", bytes_of(plan))).value());
      out.mutable_vpn_config()->set_size(plan.size());
    }
    return out.SerializeAsString();
  }
  static std::string event(const std::vector<std::uint8_t>& bytes) {
    ipc::ToEventLog record;
    if (!record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) fail("a record cannot be read");
    ipc::FromEventLog out;
    out.set_stored(record.number());
    return out.SerializeAsString();
  }
  std::string tunnel(const std::vector<std::uint8_t>& bytes, std::vector<Fd>& fds) {
    ipc::ToTunnels request;
    if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) fail("a request cannot be read");
    ipc::FromTunnels out;
    out.set_correlation(request.correlation());
    if (request.has_hello()) {
      punt_.emplace(DatagramRingWriter::create(kRingBytes).value());
      inject_.emplace(DatagramRingReader::create(kRingBytes).value());
      fds.push_back(punt_->duplicate_bytes_fd().value());
      fds.push_back(punt_->duplicate_cursor_fd().value());
      fds.push_back(inject_->duplicate_bytes_fd().value());
      fds.push_back(inject_->duplicate_cursor_fd().value());
      out.mutable_welcome()->set_shards(1);
      out.mutable_welcome()->set_punt_rings(1);
      return out.SerializeAsString();
    }
    if (request.has_open_tunnel()) {
      const ipc::OpenTunnel& open = request.open_tunnel();
      tunnels_[0] = tunnels_[1];
      tunnels_[1] = {};
      tunnels_[1].tenant = open.tenant(), tunnels_[1].port = open.tunnel_port(), tunnels_[1].tunnel = open.tunnel();
      tunnels_[1].local = tunnels_[1].remote = Address::from_v4(0);
      ++opened_;
    }
    if (request.has_close_tunnel() && request.close_tunnel().tunnel() == pouring_) pouring_ = 0;
    if ((request.has_close_tunnel() && request.close_tunnel().keep()) || request.has_query_tunnel()) {
      out.mutable_tunnel_use();
    } else {
      out.mutable_done();
    }
    return out.SerializeAsString();
  }

  bool drain() {
    if (!inject_) return false;
    DatagramHead head;
    for (int i = 0; i < kPacketsATurn; ++i) {
      bool found = false;
      const auto length = inject_->pop(head, payload_, found);
      if (!length) fail("the ring of a daemon is damaged");
      if (!found) return i > 0;
      bytes_in_.fetch_add(*length, std::memory_order_relaxed);
      if (*length < 20) continue;
      const auto wish = static_cast<Wish>(payload_[19]);
      const DatagramHead& other = tunnels_[head.tunnel == tunnels_[1].tunnel ? 0 : 1];
      if (wish == Wish::kPour) pouring_ = head.tunnel;
      if (wish == Wish::kStop) pouring_ = 0;
      if (wish == Wish::kAcross) {
        while (!punt_->push(other, std::array{ByteSpan(payload_).first(*length)}) && !stopping_) ::sched_yield();
      }
    }
    return true;
  }
  bool pour() {
    if (pouring_ == 0 || !punt_) return false;
    const DatagramHead& to = tunnels_[pouring_ == tunnels_[1].tunnel ? 1 : 0];
    int count = 0;
    while (count < kPacketsATurn && punt_->push(to, std::array{ByteSpan(packet_)})) ++count;
    return count > 0;
  }

  ipc::VpnConfig plan_;
  std::vector<std::uint8_t> packet_;
  std::vector<IpcListener> listeners_;
  std::vector<Peer> peers_;
  std::optional<DatagramRingWriter> punt_;
  std::optional<DatagramRingReader> inject_;
  std::array<DatagramHead, 2> tunnels_{};  ///< the last two that were opened
  std::uint32_t pouring_ = 0;
  std::array<std::uint8_t, kDatagramBytesMax> payload_{};
  unsigned busy_ = 0;
  std::atomic<std::uint64_t> bytes_in_{0};
  std::atomic<std::size_t> opened_{0};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace sekisho::bench
