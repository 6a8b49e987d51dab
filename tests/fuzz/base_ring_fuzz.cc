// SPDX-License-Identifier: Apache-2.0
// The reading end of a log ring over shared memory of any content. Input: cursor (8 bytes), then the records' memory.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/shm/log_ring.h"

namespace {

sekisho::Fd shared(const std::uint8_t* data, std::size_t size, std::size_t bytes) {
  sekisho::Fd fd(memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  SEKISHO_ASSERT(ftruncate(fd.get(), static_cast<off_t>(bytes)) == 0);
  SEKISHO_ASSERT(size == 0 || pwrite(fd.get(), data, size, 0) == static_cast<ssize_t>(size));
  SEKISHO_ASSERT(fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
  return fd;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kCursorBytes = 64;
  const std::size_t cursor = std::min<std::size_t>(size, 8);
  auto reader = sekisho::LogRingReader::open(shared(data + cursor, size - cursor, size - cursor),
                                             shared(data, cursor, kCursorBytes));
  if (!reader) return 0;
  std::array<sekisho::LogRecord, 3> out;
  std::size_t total = 0;
  // More than a whole ring at once is impossible; size / 192 bounds its slots.
  while (const auto taken = reader->pop(out)) {
    if (*taken == 0) break;
    SEKISHO_ASSERT(*taken <= out.size());
    total += *taken;
    SEKISHO_ASSERT(total <= size / sizeof(sekisho::LogRecord));
  }
  return 0;
}
