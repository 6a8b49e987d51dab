// SPDX-License-Identifier: Apache-2.0
// The reading end of a datagram ring over shared memory of any content. Input: cursor (8 bytes), then the ring's first bytes
// (header with head, entries); what is missing of 64 KiB is zero.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "base/shm/datagram_ring.h"

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
  constexpr std::size_t kCursorBytes = 64, kRingBytes = 128 + (64U << 10), kEntryBytes = 56;
  const std::size_t cursor = std::min<std::size_t>(size, 8);
  const std::size_t ring = std::min(size - cursor, kRingBytes);
  auto reader = sekisho::DatagramRingReader::open(shared(data + cursor, ring, kRingBytes), shared(data, cursor, kCursorBytes));
  if (!reader) return 0;
  std::vector<std::uint8_t> payload(sekisho::kDatagramBytesMax);
  sekisho::DatagramHead head;
  std::size_t total = 0;
  for (bool found = true; found;) {
    const auto length = reader->pop(head, payload, found);
    if (!length) break;
    SEKISHO_ASSERT(*length <= payload.size());
    SEKISHO_ASSERT(!found || (head.local.bits() != 0 && head.remote.bits() != 0));
    total += found ? kEntryBytes + *length : 0;
    SEKISHO_ASSERT(total <= kRingBytes);  // more than a whole ring is impossible
  }
  return 0;
}
