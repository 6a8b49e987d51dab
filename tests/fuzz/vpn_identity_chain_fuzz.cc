// SPDX-License-Identifier: Apache-2.0
// Any bytes as what a pre-shared key of IKEv1 may have deciphered: nothing beyond them is read, and what is taken for an identity's chain
// is one by a reader of its own kind, and no longer one when any length in it says more than is there.
#include <vector>

#include "base/assert.h"
#include "base/wire/reader.h"
#include "vpn/ike/identity_chain.h"

namespace {

using Bytes = std::vector<std::uint8_t>;

/// Where each payload begins and the last ends; empty: it is no chain.
std::vector<std::size_t> chain(const Bytes& bytes) {
  std::vector<std::size_t> out{0};
  for (std::uint8_t type = 5; type != 0;) {
    const std::size_t at = out.back();
    if (at + 4 > bytes.size() || bytes[at + 1] != 0) return {};
    const std::size_t length = std::size_t{bytes[at + 2]} * 256 + bytes[at + 3];
    if (length < 4 || at + length > bytes.size()) return {};
    type = bytes[at];
    out.push_back(at + length);
  }
  return out;
}

std::size_t accepted = 0;

}  // namespace

extern "C" std::size_t sekisho_fuzz_accepted() { return accepted; }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes bytes(data, data + size);  // of exactly this length: a sanitizer sees one byte too many
  if (!begins_with_identity(bytes.data(), bytes.size())) return 0;
  ++accepted;
  const auto starts = chain(bytes);
  SEKISHO_ASSERT(starts.size() > 2 && starts.size() <= 33 && bytes.size() - starts.back() < 32);
  SEKISHO_ASSERT(bytes[4] >= 1 && bytes[4] <= 11);
  for (std::size_t i = 0; i + 1 < starts.size(); ++i) {
    Bytes wrong = bytes;
    wrong[starts[i] + 2] = 0xff;
    wrong[starts[i] + 3] = 0xff;
    SEKISHO_ASSERT(bytes.size() >= 0xffff || !begins_with_identity(wrong.data(), wrong.size()));
    wrong = bytes;
    wrong[starts[i] + 1] = 1;
    SEKISHO_ASSERT(!begins_with_identity(wrong.data(), wrong.size()));
  }
  return 0;
}
