// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/ipc/seqpacket.h"
#include "base/proto/tunnel.pb.h"
#include "base/proto/vpn_log.pb.h"
#include "base/shm/datagram_ring.h"

/// iked's neighbours, played over their real sockets.
namespace sekisho::vpn::test {

using namespace std::chrono_literals;

inline constexpr std::uint32_t kRingBytes = 1U << 16;

template <typename Condition>
void until(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + 5s;
  while (!condition() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  EXPECT_TRUE(condition());
}

/// logd as far as event.sock goes: what comes is looked at one by one, and acknowledged when the test says so.
class Logd {
 public:
  Logd() {
    char path[] = "/tmp/sekisho-event-XXXXXX";
    folder_ = ::mkdtemp(path);
    open();
  }
  ~Logd() { std::filesystem::remove_all(folder_); }
  [[nodiscard]] std::string path() const { return folder_ + "/event.sock"; }
  void open() {
    std::filesystem::remove(path());
    listener_.emplace(IpcListener::listen(path(), 0600).value());
  }
  /// The next daemon that connects.
  void accept() {
    pollfd waits{listener_->fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&waits, 1, 5000), 1) << "nobody connected";
    connection_.emplace(listener_->accept().value());
  }
  std::optional<ipc::ToEventLog> next(std::chrono::milliseconds wait = 5s) {
    auto message = connection_->receive(wait);
    ipc::ToEventLog out;
    if (!message || !out.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size()))) return std::nullopt;
    return out;
  }
  void stored(std::uint64_t number, const std::string& refused = {}) {
    ipc::FromEventLog out;
    out.set_stored(number);
    out.set_refused(refused);
    const std::string bytes = out.SerializeAsString();
    ASSERT_TRUE(connection_->send({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}));
  }
  void send(const std::string& bytes) {
    ASSERT_TRUE(connection_->send({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}));
  }
  void die() {
    connection_.reset();
    listener_.reset();
  }

 private:
  std::string folder_;
  std::optional<IpcListener> listener_;
  std::optional<IpcConnection> connection_;
};

/// A data plane that says yes, gives SPIs, and remembers what it was asked.
class Dataplane {
 public:
  Dataplane() {
    char path[] = "/tmp/sekisho-tunnel-XXXXXX";
    folder_ = ::mkdtemp(path);
    listener_.emplace(IpcListener::listen(this->path(), 0600).value());
    thread_ = std::thread([this] { run(); });
  }
  ~Dataplane() {
    stopping_ = true;
    thread_.join();
    std::filesystem::remove_all(folder_);
  }
  [[nodiscard]] std::string path() const { return folder_ + "/tunnel.sock"; }

  /// Requests of one kind so far.
  std::size_t asked(ipc::ToTunnels::BodyCase kind) {
    const std::lock_guard lock(mutex_);
    return static_cast<std::size_t>(std::count_if(requests_.begin(), requests_.end(), [kind](const auto& one) { return one.body_case() == kind; }));
  }
  std::vector<ipc::ToTunnels> requests(ipc::ToTunnels::BodyCase kind) {
    const std::lock_guard lock(mutex_);
    std::vector<ipc::ToTunnels> out;
    std::copy_if(requests_.begin(), requests_.end(), std::back_inserter(out), [kind](const auto& one) { return one.body_case() == kind; });
    return out;
  }
  void tell(const ipc::TunnelEvent& event) {
    ipc::FromTunnels message;
    *message.mutable_event() = event;
    send(message.SerializeAsString());
  }
  void send(const std::string& bytes) {
    const std::lock_guard lock(mutex_);
    ASSERT_TRUE(connection_ && connection_->send(span(bytes)));
  }
  void leave(std::uint32_t tunnel, const std::string& note) {
    const std::lock_guard lock(mutex_);
    auto& left = left_.emplace_back();
    left.set_tunnel(tunnel), left.set_tenant(1), left.set_note(note);
  }
  void drop() {
    const std::lock_guard lock(mutex_);
    connection_.reset();
  }
  std::atomic<bool> refusing{false};

 private:
  static ByteSpan span(const std::string& text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }

  void run() {
    while (!stopping_) {
      int fd = -1;
      {
        const std::lock_guard lock(mutex_);
        fd = connection_ ? connection_->fd() : -1;
      }
      std::array<pollfd, 2> waits{pollfd{listener_->fd(), POLLIN, 0}, {fd, POLLIN, 0}};
      if (::poll(waits.data(), waits.size(), 10) <= 0) continue;
      const std::lock_guard lock(mutex_);
      if (waits[0].revents != 0) {
        if (auto made = listener_->accept()) connection_.emplace(std::move(*made));
      } else if (connection_ && connection_->fd() == fd) {
        serve();
      }
    }
  }
  void serve() {
    auto message = connection_->receive(0ms);
    ipc::ToTunnels request;
    if (!message || !request.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size()))) return connection_.reset();
    requests_.push_back(request);
    ipc::FromTunnels answer;
    answer.set_correlation(request.correlation());
    std::vector<int> fds;
    if (request.has_hello()) {
      punt_.emplace(DatagramRingWriter::create(kRingBytes).value());
      inject_.emplace(DatagramRingReader::create(kRingBytes).value());
      rings_.clear();
      rings_.push_back(punt_->duplicate_bytes_fd().value());
      rings_.push_back(punt_->duplicate_cursor_fd().value());
      rings_.push_back(inject_->duplicate_bytes_fd().value());
      rings_.push_back(inject_->duplicate_cursor_fd().value());
      for (const Fd& one : rings_) fds.push_back(one.get());
      answer.mutable_welcome()->set_punt_rings(1);
      for (const auto& one : left_) *answer.mutable_welcome()->add_left() = one;
    } else if (refusing) {
      answer.mutable_refused()->set_reason("no");
    } else if (request.has_allocate_spi()) {
      answer.mutable_spi_allocated()->set_spi(++spi_);
    } else if (request.has_query_tunnel() || (request.has_close_tunnel() && request.close_tunnel().keep())) {
      answer.mutable_tunnel_use()->set_bytes_in(100);
      answer.mutable_tunnel_use()->set_packets_out(3);
    } else {
      answer.mutable_done();
    }
    (void)connection_->send(span(answer.SerializeAsString()), fds);
  }

  std::string folder_;
  std::mutex mutex_;
  std::optional<IpcListener> listener_;
  std::optional<IpcConnection> connection_;
  std::optional<DatagramRingWriter> punt_;
  std::optional<DatagramRingReader> inject_;
  std::vector<Fd> rings_;
  std::vector<ipc::ToTunnels> requests_;
  std::vector<ipc::TunnelLeft> left_;
  std::uint32_t spi_ = 1000;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace sekisho::vpn::test
