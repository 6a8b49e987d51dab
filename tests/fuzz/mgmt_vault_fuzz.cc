// SPDX-License-Identifier: Apache-2.0
// Any bytes as what the vault reads back: blocks, heads of segments and blocks, frames, key files, manifests, orders to
// erase, cursors. The first byte says which. What is taken is written again as it was read.
#include "base/assert.h"
#include "mgmt/log/vault/erasure.h"
#include "mgmt/log/vault/search.h"
#include "mgmt/log/vault/vault_state.h"

using namespace sekisho;
using namespace sekisho::mgmt;

namespace {

void read_block(LogKind type, std::string_view bytes) {
  auto block = Block::parse(type, std::string(bytes));
  if (!block) return;
  SEKISHO_ASSERT(block->rows() <= kBlockRowsMax);
  for (std::size_t row = 0; row < block->rows() && row < 64; ++row) (void)block->entry(row);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const LogKind type = kAllTypes[data[1] % kAllTypes.size()];
  switch (data[0] % 8) {
    case 0:
      read_block(type, bytes);
      break;
    case 1:
      (void)read_row(type, bytes);
      break;
    case 2:
      if (const auto head = parse_segment_head(bytes))
        SEKISHO_ASSERT(encode(*head) == bytes.substr(0, kSegmentHeadBytes));
      break;
    case 3:
      if (const auto head = parse_block_head(bytes)) SEKISHO_ASSERT(encode(*head) == bytes.substr(0, kBlockHeadBytes));
      break;
    case 4:
      if (const auto line = parse_manifest(bytes)) SEKISHO_ASSERT(to_line(*line) == bytes);
      break;
    case 5:
      (void)parse_keys(bytes);
      break;
    case 6: {
      (void)parse_order(bytes);
      (void)parse_cursor(bytes, 0);
      break;
    }
    default: {
      Aead key(AeadKey{});
      const WalContents contents = read_wal(bytes, key);
      SEKISHO_ASSERT(contents.good <= std::max<std::size_t>(bytes.size(), kWalHeadBytes));
    }
  }
  return 0;
}
