// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/os/fd.h"

namespace sekisho::mgmt {
namespace {

Error os_error() {
  const ErrorCode code = errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kUnavailable;
  return {code, ErrorSite::kOs, static_cast<std::uint32_t>(errno)};
}

}  // namespace

Result<void> write_all(int fd, ByteSpan bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return os_error();
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

Result<std::string> read_file(const std::string& path, std::size_t bytes_max) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return os_error();
  std::string out;
  char block[16384];
  for (;;) {
    const ssize_t n = ::read(fd.get(), block, sizeof(block));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os_error();
    if (n == 0) return out;
    out.append(block, static_cast<std::size_t>(n));
    if (out.size() > bytes_max) return Error{ErrorCode::kLimit, ErrorSite::kOs, static_cast<std::uint32_t>(bytes_max)};
  }
}

Result<void> replace_file(const std::string& path, ByteSpan bytes) {
  const std::string fresh = path + ".new";
  const Fd fd(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640));
  if (!fd.valid()) return os_error();
  SEKISHO_CHECK_OK(write_all(fd.get(), bytes));
  if (::fsync(fd.get()) != 0 || ::rename(fresh.c_str(), path.c_str()) != 0) return os_error();
  return {};
}

}  // namespace sekisho::mgmt
