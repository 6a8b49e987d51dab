// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "base/os/fd.h"
#include "base/result.h"
#include "base/wire/reader.h"

namespace sekisho {

/// One datagram of an AF_UNIX SEQPACKET connection and the descriptors that came with it.
struct IpcMessage {
  std::vector<std::uint8_t> bytes;
  std::vector<Fd> fds;
};

/// A connected local socket. Datagram boundaries are message boundaries; at most limits::kIpcMessageBytesMax bytes and
/// limits::kIpcFdsMax descriptors each: a larger or truncated one is kLimit and the caller closes.
/// Thread: one at a time.
class IpcConnection {
 public:
  explicit IpcConnection(Fd fd) : fd_(std::move(fd)) {}
  static Result<IpcConnection> connect(const std::string& path);

  [[nodiscard]] int fd() const { return fd_.get(); }
  /// Blocks at most `deadline` for room in the socket buffer, then kUnavailable.
  Result<void> send(ByteSpan bytes, std::span<const int> fds = {}, std::chrono::milliseconds deadline = std::chrono::seconds(2));
  /// Waits at most `deadline`, then kUnavailable with detail ETIMEDOUT. kNotFound: the peer closed.
  Result<IpcMessage> receive(std::chrono::milliseconds deadline);
  /// The uid of the peer when it connected (SO_PEERCRED).
  [[nodiscard]] Result<uid_t> peer_uid() const;
  [[nodiscard]] Result<pid_t> peer_pid() const;

 private:
  Fd fd_;
};

/// Whether `error`, of receive() with no deadline, says that no message waits: event loops wake for less than one at times,
/// and whoever was woken waits again.
[[nodiscard]] bool nothing_waits(const Error& error);

/// A listening local socket at `path` (unlinked first, made with `mode`).
class IpcListener {
 public:
  static Result<IpcListener> listen(const std::string& path, mode_t mode);
  [[nodiscard]] int fd() const { return fd_.get(); }
  /// Non-blocking: kUnavailable with detail EAGAIN when nobody waits.
  Result<IpcConnection> accept();

 private:
  explicit IpcListener(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace sekisho
