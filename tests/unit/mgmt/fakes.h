// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <poll.h>

#include <functional>
#include <thread>
#include <vector>

#include "base/ipc/sealed_blob.h"
#include "base/ipc/seqpacket.h"
#include "base/proto/control_dataplane.pb.h"
#include "base/proto/control_mgmt.pb.h"
#include "base/shm/log_ring.h"
#include "tests/unit/mgmt/support.h"

/// The neighbours of logd and sekishoctl, played over real sockets.
namespace sekisho::mgmt::test {

/// Waits for a peer.
inline IpcConnection accept_one(IpcListener& listener) {
  for (;;) {
    pollfd entry{.fd = listener.fd(), .events = POLLIN, .revents = 0};
    ::poll(&entry, 1, -1);
    if (auto peer = listener.accept()) return std::move(peer).value();
  }
}

/// dataplaned as far as rings.sock goes.
class Dataplane {
 public:
  explicit Dataplane(const std::string& path, unsigned shards = 2) : listener_(must(IpcListener::listen(path, 0660))) {
    for (unsigned i = 0; i < shards; ++i) rings_.push_back(must(LogRingWriter::create(64)));
  }
  /// Accepts one logd and gives it the rings; `announced` is how many shards the message claims.
  void serve(unsigned announced) {
    IpcConnection peer = accept_one(listener_);
    std::vector<Fd> fds;
    std::vector<int> numbers;
    for (const LogRingWriter& ring : rings_) {
      fds.push_back(must(ring.duplicate_records_fd()));
      fds.push_back(must(ring.duplicate_cursor_fd()));
    }
    for (const Fd& fd : fds) numbers.push_back(fd.get());
    ipc::LogRings message;
    message.set_shards(announced);
    const std::string bytes = message.SerializeAsString();
    ASSERT_TRUE(peer.send({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, numbers));
    peers_.push_back(std::move(peer));
  }
  void hang_up() { peers_.clear(); }
  LogRingWriter& ring(std::size_t i) { return rings_[i]; }

 private:
  IpcListener listener_;
  std::vector<LogRingWriter> rings_;
  std::vector<IpcConnection> peers_;
};

/// controld as far as questions go, one a connection; `document` is what came with the question.
class FakeControld {
 public:
  using Reply = std::function<ipc::FromControl(const ipc::ToControl&, const std::string& document, Fd& attach)>;

  FakeControld(const std::string& run_dir, Reply reply, int questions = 1)
      : listener_(must(IpcListener::listen(run_dir + "/control.sock", 0660))), thread_([this, reply, questions] {
          for (int i = 0; i < questions; ++i) answer(reply);
        }) {}
  ~FakeControld() { thread_.join(); }

 private:
  void answer(const Reply& reply) {
    IpcConnection peer = accept_one(listener_);
    auto message = peer.receive(std::chrono::seconds(10));
    ASSERT_TRUE(message);
    ipc::ToControl question;
    ASSERT_TRUE(question.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size())));
    std::string document;
    if (!message->fds.empty()) {
      auto blob = SealedBlob::open(std::move(message->fds[0]), 1U << 20);
      ASSERT_TRUE(blob) << "a document that is not sealed";
      document.assign(blob->bytes().begin(), blob->bytes().end());
    }
    Fd attach;
    ipc::FromControl answer = reply(question, document, attach);
    answer.set_correlation(question.correlation());
    const std::string bytes = answer.SerializeAsString();
    const int fd = attach.get();
    ASSERT_TRUE(peer.send({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()},
                          std::span<const int>(&fd, attach.valid() ? 1 : 0)));
  }

  IpcListener listener_;
  std::thread thread_;
};

}  // namespace sekisho::mgmt::test
