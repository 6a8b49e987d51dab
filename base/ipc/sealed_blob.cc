// SPDX-License-Identifier: BSD-2-Clause
#include "base/ipc/sealed_blob.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

namespace sekisho {
namespace {

constexpr int kSeals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;

Error os_error() { return {ErrorCode::kUnavailable, ErrorSite::kOs, static_cast<std::uint32_t>(errno)}; }

}  // namespace

Result<Fd> make_sealed_blob(const char* name, ByteSpan bytes) {
  Fd fd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return os_error();
  for (ByteSpan left = bytes; !left.empty();) {
    const ssize_t wrote = ::write(fd.get(), left.data(), left.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return os_error();
    left = left.subspan(static_cast<std::size_t>(wrote));
  }
  if (fcntl(fd.get(), F_ADD_SEALS, kSeals | F_SEAL_SEAL) != 0) return os_error();
  return fd;
}

Result<SealedBlob> SealedBlob::open(Fd fd, std::size_t bytes_max) {
  const int seals = fcntl(fd.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) return Error{ErrorCode::kDenied, ErrorSite::kIpc, 0};
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) return os_error();
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size > bytes_max) return Error{ErrorCode::kLimit, ErrorSite::kIpc, static_cast<std::uint32_t>(size)};
  if (size == 0) return SealedBlob(ByteSpan{});
  void* map = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (map == MAP_FAILED) return os_error();
  return SealedBlob(ByteSpan{static_cast<const std::uint8_t*>(map), size});
}

SealedBlob::SealedBlob(SealedBlob&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

SealedBlob& SealedBlob::operator=(SealedBlob&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

SealedBlob::~SealedBlob() {
  if (!bytes_.empty()) munmap(const_cast<std::uint8_t*>(bytes_.data()), bytes_.size());
}

}  // namespace sekisho
