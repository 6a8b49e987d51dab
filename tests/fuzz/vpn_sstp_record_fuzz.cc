// SPDX-License-Identifier: Apache-2.0
// What a client sends on TCP behind the handshake: pieces behind a byte that says how long each is. First byte odd: as they are; even: sealed
// with his keys, the last byte of each its type.
#include <fcntl.h>
#include <sys/socket.h>

#include <array>

#include "base/assert.h"
#include "base/os/fd.h"
#include "vpn/sstp/record.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sekisho;
  using namespace sekisho::vpn::sstp;
  if (size < 2 || size > 32768) return 0;
  const std::vector<std::uint8_t> secret(32, 5);
  std::array<int, 2> ends{};
  SEKISHO_ASSERT(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) == 0);
  const Fd ours(ends[0]), theirs(ends[1]);
  RecordStream stream(RecordSuite::kAes128GcmSha256, secret, secret, ours.get());
  RecordKeys client(RecordSuite::kAes128GcmSha256, secret);
  std::vector<std::uint8_t> room(2 * kRecordBytesMax), record(kRecordBytesMax);
  const bool raw = (data[0] & 1U) != 0;
  std::size_t carried = 0;
  for (ByteSpan rest = ByteSpan(data, size).subspan(1); !rest.empty();) {
    const std::size_t length = std::min<std::size_t>(rest[0], rest.size() - 1);
    const ByteSpan piece = rest.subspan(1, length);
    rest = rest.subspan(1 + length);
    if (piece.empty()) continue;
    if (raw) {
      SEKISHO_ASSERT(::send(theirs.get(), piece.data(), piece.size(), 0) == static_cast<ssize_t>(piece.size()));
    } else {
      const std::size_t bytes = client.seal(piece.first(length - 1), static_cast<ContentType>(piece[length - 1]), record.data());
      SEKISHO_ASSERT(::send(theirs.get(), record.data(), bytes, 0) == static_cast<ssize_t>(bytes));
    }
    std::size_t count = 0;
    const auto outcome = stream.read(room, count);
    SEKISHO_ASSERT(count <= room.size());
    carried += count;
    if (outcome != RecordStream::Outcome::kDone) break;
    std::vector<std::uint8_t> answer(4096);
    while (::recv(theirs.get(), answer.data(), answer.size(), 0) > 0) {
    }
  }
  SEKISHO_ASSERT(!raw || carried == 0);  // who has no keys says nothing
  return 0;
}
