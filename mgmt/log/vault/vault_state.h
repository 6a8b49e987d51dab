// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <optional>

#include "mgmt/log/vault/vault.h"

namespace sekisho::mgmt {

/// What the vault knows of one stream.
struct Vault::State {
  // The newest segment.
  std::optional<SegmentName> segment;
  Fd segment_fd;
  std::uint64_t segment_bytes = 0;
  std::uint64_t segment_noted = 0;  ///< epoch
  bool segment_dirty = false;
  std::uint64_t next_block = 0;
  std::uint32_t rows_before = 0;  ///< of the block before next_block
  Sha256Digest chain{};

  // Records that are no block yet.
  Day day = 0;
  Fd wal_fd;
  std::uint64_t wal_bytes = 0;
  std::uint64_t wal_noted = 0;
  bool wal_dirty = false, folder_dirty = false;
  std::string rows;                     ///< each after its length
  std::vector<std::uint32_t> row_ends;  ///< in `rows`
  BlockHead pending;                    ///< times and numbers of the rows
  std::optional<LogEntry> newest;

  std::unique_ptr<Aead> key;
  Day key_day = 0;

  // Manifests.
  bool manifest_read = false;
  std::uint64_t next_manifest = 0, first_unsigned = 0;
  Sha256Digest last_line{};
  std::deque<Manifest> unsigned_blocks;  ///< one a segment; the last may still grow
  Timestamp unsigned_last;
};

inline constexpr std::size_t kWalHeadBytes = 36;
/// Name of the wal of a block.
std::string wal_name(std::uint64_t block);
std::optional<std::uint64_t> parse_wal_name(std::string_view name);
/// What a wal begins with. `rows_before`: how many records the block before it has. When that block has to be made
/// again from a wal that the power cut short, nothing of this one may be taken: it was never acknowledged, and what
/// came before it is gone.
struct WalHead {
  Day day = 0;
  std::uint32_t rows_before = 0;
};
std::string wal_head(const StreamName& stream, const WalHead& head, std::uint64_t block);
/// The open text of the frames of a wal, up to the first that is torn; `good`: where that one begins. The day stands in
/// the head.
struct WalContents {
  std::string rows;
  std::uint64_t good = 0;
};
std::optional<WalHead> parse_wal_head(const StreamName& stream, std::uint64_t block, std::string_view bytes);
WalContents read_wal(std::string_view bytes, Aead& key);
/// One frame: the length of what is sealed, nonce, sealed rows. Bound to the head and its offset.
std::string seal_frame(std::string_view head, std::uint64_t offset, std::string_view rows, Aead& key);

}  // namespace sekisho::mgmt
