// SPDX-License-Identifier: Apache-2.0
// Any bytes as an answer of logd (event.sock) and as a question of controld: the real clients over their sockets. The record that was
// under way is sent again, or stored; a question is answered once, or the connection let go.
#include <poll.h>
#include <stdlib.h>

#include <filesystem>

#include "base/assert.h"
#include "base/proto/control_vpn.pb.h"
#include "base/proto/vpn_log.pb.h"
#include "vpn/event_log.h"
#include "vpn/operator_link.h"

namespace {

using namespace sekisho;
using namespace sekisho::vpn;

class Edges {
 public:
  Edges() {
    char path[] = "/tmp/sekisho-edges-fuzz-XXXXXX";
    folder_ = ::mkdtemp(path);
    events_.emplace(IpcListener::listen(folder_ + "/event.sock", 0600).value());
    control_.emplace(IpcListener::listen(folder_ + "/control.sock", 0600).value());
    log_.emplace(folder_ + "/event.sock", 64);
  }
  ~Edges() {
    log_.reset();
    std::filesystem::remove_all(folder_);
  }
  void answer(ByteSpan bytes) {
    ipc::ToEventLog record;  // always one more: whether it believed the last answer is not known yet
    record.set_eid("0123456789abcdef");
    log_->add(std::move(record));
    IpcConnection logd = accept(*events_);
    const auto first = logd.receive(std::chrono::seconds(10));
    SEKISHO_ASSERT(first.has_value());
    SEKISHO_ASSERT(logd.send(bytes).has_value());
    // Closed with the connection: what is left comes again on the next one.
  }
  void question(ByteSpan bytes) {
    OperatorLink link(folder_ + "/control.sock");
    const auto answer = [](const ipc::VpnQuestion& asked) {
      ipc::VpnAnswer out;
      out.set_done(asked.has_end() ? 1 : 0);
      return out;
    };
    SEKISHO_ASSERT(link.poll(std::chrono::steady_clock::now(), answer));
    IpcConnection controld = accept(*control_);
    SEKISHO_ASSERT(controld.receive(std::chrono::seconds(10)).has_value());
    SEKISHO_ASSERT(controld.send(bytes).has_value());
    SEKISHO_ASSERT(!link.poll(std::chrono::steady_clock::now(), answer));  // there was no descriptor: let go
    const auto end = controld.receive(std::chrono::milliseconds(0));
    SEKISHO_ASSERT(!end && end.error().code == ErrorCode::kNotFound);
  }

 private:
  static IpcConnection accept(IpcListener& listener) {
    pollfd waits{listener.fd(), POLLIN, 0};
    SEKISHO_ASSERT(::poll(&waits, 1, 10000) == 1);
    return listener.accept().value();
  }
  std::string folder_;
  std::optional<IpcListener> events_, control_;
  std::optional<EventLog> log_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Edges edges;
  if (size == 0 || size >= 60000) return 0;
  edges.answer({data, size});
  edges.question({data, size});
  return 0;
}
