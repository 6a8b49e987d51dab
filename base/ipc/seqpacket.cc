// SPDX-License-Identifier: BSD-2-Clause
#include "base/ipc/seqpacket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "base/limits.h"

namespace sekisho {
namespace {

Error os_error(int number) {
  const bool full = number == EMSGSIZE;
  return {full ? ErrorCode::kLimit : ErrorCode::kUnavailable, ErrorSite::kOs, static_cast<std::uint32_t>(number)};
}

Result<sockaddr_un> local_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return os_error(ENAMETOOLONG);
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

const sockaddr* generic(const sockaddr_un& address) { return reinterpret_cast<const sockaddr*>(&address); }

/// Room for the descriptors of one message, aligned as the kernel wants it.
struct Control {
  alignas(cmsghdr) std::array<std::uint8_t, CMSG_SPACE(limits::kIpcFdsMax * sizeof(int))> bytes{};
};

Result<void> wait_for(int fd, short events, std::chrono::milliseconds deadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  for (;;) {
    pollfd entry{.fd = fd, .events = events, .revents = 0};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    const int ready = poll(&entry, 1, static_cast<int>(std::max<std::int64_t>(0, left.count())));
    if (ready > 0) return {};
    if (ready == 0) return os_error(ETIMEDOUT);
    if (errno != EINTR) return os_error(errno);
  }
}

}  // namespace

Result<IpcConnection> IpcConnection::connect(const std::string& path) {
  SEKISHO_TRY(const sockaddr_un address, local_address(path));
  Fd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd.valid() || ::connect(fd.get(), generic(address), sizeof(address)) != 0) return os_error(errno);
  return IpcConnection(std::move(fd));
}

Result<void> IpcConnection::send(ByteSpan bytes, std::span<const int> fds, std::chrono::milliseconds deadline) {
  if (bytes.size() > limits::kIpcMessageBytesMax || fds.size() > limits::kIpcFdsMax) return os_error(EMSGSIZE);
  iovec part{.iov_base = const_cast<std::uint8_t*>(bytes.data()), .iov_len = bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  Control control;
  if (!fds.empty()) {
    message.msg_control = control.bytes.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  for (;;) {
    if (sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return {};
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return os_error(errno);
    SEKISHO_CHECK_OK(wait_for(fd_.get(), POLLOUT, deadline));
  }
}

Result<IpcMessage> IpcConnection::receive(std::chrono::milliseconds deadline) {
  SEKISHO_CHECK_OK(wait_for(fd_.get(), POLLIN, deadline));
  IpcMessage out;
  out.bytes.resize(limits::kIpcMessageBytesMax);
  Control control;
  iovec part{.iov_base = out.bytes.data(), .iov_len = out.bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes.data();
  message.msg_controllen = control.bytes.size();
  ssize_t got = 0;
  do {
    got = recvmsg(fd_.get(), &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return os_error(errno);
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      out.fds.emplace_back(number);
    }
  }
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return os_error(EMSGSIZE);
  if (got == 0 && out.fds.empty()) return Error{ErrorCode::kNotFound, ErrorSite::kIpc, 0};
  out.bytes.resize(static_cast<std::size_t>(got));
  return out;
}

bool nothing_waits(const Error& error) { return error.code == ErrorCode::kUnavailable && error.detail == ETIMEDOUT; }

Result<uid_t> IpcConnection::peer_uid() const {
  ucred who{};
  socklen_t length = sizeof(who);
  if (getsockopt(fd_.get(), SOL_SOCKET, SO_PEERCRED, &who, &length) != 0) return os_error(errno);
  return who.uid;
}

Result<pid_t> IpcConnection::peer_pid() const {
  ucred who{};
  socklen_t length = sizeof(who);
  if (getsockopt(fd_.get(), SOL_SOCKET, SO_PEERCRED, &who, &length) != 0) return os_error(errno);
  return who.pid;
}

Result<IpcListener> IpcListener::listen(const std::string& path, mode_t mode) {
  SEKISHO_TRY(const sockaddr_un address, local_address(path));
  Fd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return os_error(errno);
  ::unlink(path.c_str());
  if (::bind(fd.get(), generic(address), sizeof(address)) != 0) return os_error(errno);
  if (::chmod(path.c_str(), mode) != 0 || ::listen(fd.get(), 64) != 0) return os_error(errno);
  return IpcListener(std::move(fd));
}

Result<IpcConnection> IpcListener::accept() {
  Fd fd(accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!fd.valid()) return os_error(errno);
  return IpcConnection(std::move(fd));
}

}  // namespace sekisho
