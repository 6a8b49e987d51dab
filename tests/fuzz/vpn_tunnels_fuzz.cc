// SPDX-License-Identifier: Apache-2.0
// Any bytes as a message of tunnel.sock: the real client, over its socket, with one session that has its SAs. After each input it
// must still read, or have let the connection go and come again.
#include <poll.h>
#include <stdlib.h>

#include <array>
#include <filesystem>

#include "base/assert.h"
#include "base/proto/tunnel.pb.h"
#include "vpn/tunnel_client.h"

namespace {

using namespace sekisho;
using namespace sekisho::vpn;

constexpr std::uint32_t kRingBytes = 1U << 16;

ByteSpan span(const std::string& text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }

class Dataplane {
 public:
  Dataplane() {
    char path[] = "/tmp/sekisho-tunnels-fuzz-XXXXXX";
    folder_ = ::mkdtemp(path);
    listener_.emplace(IpcListener::listen(folder_ + "/tunnel.sock", 0600).value());
    client_.emplace(KeyingDaemon::kIkeV2, folder_ + "/tunnel.sock", [](const Session&) { return TunnelOwner{41, 9, {1}}; });
  }
  ~Dataplane() {
    connection_.reset();
    listener_.reset();
    client_.reset();
    std::filesystem::remove_all(folder_);
  }
  void input(ByteSpan bytes) {
    if (!connection_) welcome();
    if (!connection_->send(bytes)) return connection_.reset();
    // An event nobody else sends; whoever reads it has read the input.
    ipc::FromTunnels last;
    last.mutable_event()->mutable_gone()->set_tunnel(++mark_);
    last.mutable_event()->mutable_gone()->set_note("mark");
    if (!connection_->send(span(last.SerializeAsString()))) return connection_.reset();
    for (;;) {
      for (const TunnelSignal& one : client_->take_signals()) {
        const auto* gone = std::get_if<LeftTunnelGone>(&one);
        if (gone != nullptr && gone->tunnel.tunnel == mark_ && gone->tunnel.note.size() == 4) return;
        if (std::holds_alternative<DataplaneLost>(one)) return connection_.reset();
      }
      drain();
    }
  }

 private:
  /// What the client asks on its own (it closes tunnels that are nobody's) is read and not answered.
  void drain() {
    while (connection_->receive(std::chrono::milliseconds(0))) {
    }
  }
  void welcome() {
    pollfd waits{listener_->fd(), POLLIN, 0};
    SEKISHO_ASSERT(::poll(&waits, 1, 10000) == 1);
    connection_.emplace(listener_->accept().value());
    SEKISHO_ASSERT(connection_->receive(std::chrono::seconds(10)).has_value());
    DatagramRingWriter punt = DatagramRingWriter::create(kRingBytes).value();
    DatagramRingReader inject = DatagramRingReader::create(kRingBytes).value();
    const std::array<Fd, 4> rings{punt.duplicate_bytes_fd().value(), punt.duplicate_cursor_fd().value(), inject.duplicate_bytes_fd().value(),
                                  inject.duplicate_cursor_fd().value()};
    const std::array<int, 4> fds{rings[0].get(), rings[1].get(), rings[2].get(), rings[3].get()};
    ipc::FromTunnels answer;
    answer.set_correlation(1);
    answer.mutable_welcome()->set_punt_rings(1);
    SEKISHO_ASSERT(connection_->send(span(answer.SerializeAsString()), fds).has_value());
  }

  std::string folder_;
  std::optional<IpcListener> listener_;
  std::optional<IpcConnection> connection_;
  std::optional<TunnelClient> client_;
  std::uint32_t mark_ = 0x40000000;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Dataplane dataplane;
  if (size > 0 && size < 60000) dataplane.input({data, size});
  return 0;
}
