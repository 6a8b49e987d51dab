// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/crypto/sha256.h"
#include "base/wire/reader.h"
#include "mgmt/log/vault/block.h"
#include "mgmt/log/vault/keyring.h"

/// Files of sealed blocks. A segment holds a stream's blocks of one civil day, appended only:
///
///   head      magic, type, service code, day, number, first block, chain before it
///   block     head (numbers, times, lengths, chain before it) | sealed index | sealed body | SHA-256 of these three
///
/// The chain value of a block is its SHA-256, and each block's head holds the one before: no block can be changed,
/// taken out, put elsewhere or put in. Lengths, numbers and times are in the clear, so that all this is checked without
/// a key; whom a record speaks of is not.
namespace sekisho::mgmt {

/// DATE-NUMBER.seg
struct SegmentName {
  Day day = 0;
  unsigned number = 0;
  auto operator<=>(const SegmentName&) const = default;
  [[nodiscard]] std::string text() const;
};
std::optional<SegmentName> parse_segment_name(std::string_view text);
/// The segments of a folder in order; none when it is not there.
std::vector<SegmentName> list_segments(const std::string& folder);

struct SegmentHead {
  StreamName stream;
  SegmentName name;
  std::uint64_t first_block = 0;
  Sha256Digest chain{};  ///< of the block before the first
};
std::string encode(const SegmentHead& head);
inline constexpr std::size_t kSegmentHeadBytes = 76;
Result<SegmentHead> parse_segment_head(std::string_view bytes);
/// What the first block of a segment follows: nothing of the head can be changed either.
Sha256Digest chain_of(const SegmentHead& head);

/// Everything about a block that is not sealed.
struct BlockHead {
  std::uint64_t number = 0;
  std::uint64_t first_sequence = 0, last_sequence = 0;
  Timestamp first, last;
  std::uint32_t rows = 0;
  std::uint32_t index_bytes = 0, body_bytes = 0;  ///< sealed
  AeadNonce index_nonce{}, body_nonce{};
  Sha256Digest chain{};                       ///< of the block before
  [[nodiscard]] std::uint64_t bytes() const;  ///< of the whole block
};
inline constexpr std::size_t kBlockHeadBytes = 120;
inline constexpr std::uint32_t kSealedBytesMax = 128U << 20;
std::string encode(const BlockHead& head);
/// kMalformed: no head, or lengths nobody writes.
Result<BlockHead> parse_block_head(std::string_view bytes);

struct SealedBlock {
  std::string bytes;
  Sha256Digest chain{};
};
/// `head`: number, sequences, times, rows and chain; the rest is filled in.
SealedBlock seal_block(const StreamName& stream, Aead& key, BlockHead head, const BlockWriter::Packed& packed);

/// Reads one segment up to `limit` bytes, from any thread; the file may grow meanwhile.
class SegmentReader {
 public:
  /// kMalformed: the head is none, or another stream's.
  static Result<SegmentReader> open(const std::string& path, const StreamName& stream, std::uint64_t limit);

  [[nodiscard]] const SegmentHead& head() const { return head_; }
  /// The block at `offset`; none at the end; kMalformed or kNotFound: no whole block stands there.
  Result<std::optional<BlockHead>> at(std::uint64_t offset) const;
  /// The chain value, when all bytes are what was written; kMalformed when not.
  Result<Sha256Digest> digest(std::uint64_t offset, const BlockHead& head) const;
  /// The chain value as it stands behind the block, unproven.
  Result<Sha256Digest> stored_digest(std::uint64_t offset, const BlockHead& head) const;
  Result<std::string> filter(std::uint64_t offset, const BlockHead& head, Aead& key) const;
  Result<Block> body(std::uint64_t offset, const BlockHead& head, Aead& key) const;
  /// Tells the kernel that filter() or body() will be asked for: it may fetch them meanwhile. Costs a system call.
  void expect_filter(std::uint64_t offset, const BlockHead& head) const;
  void expect_body(std::uint64_t offset, const BlockHead& head) const;
  void set_limit(std::uint64_t limit) { limit_ = limit; }
  [[nodiscard]] std::uint64_t limit() const { return limit_; }

 private:
  SegmentReader(Fd fd, SegmentHead head, std::uint64_t limit)
      : fd_(std::move(fd)), head_(std::move(head)), limit_(limit) {}

  Fd fd_;
  SegmentHead head_;
  std::uint64_t limit_ = 0;
};

}  // namespace sekisho::mgmt
