// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/vault/segment.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace sekisho::mgmt {
namespace {

constexpr std::string_view kMagic = "SKVAULT1", kEnd = ".seg", kBlockMagic = "SKB1";
constexpr Error kBad{ErrorCode::kMalformed, ErrorSite::kStore, 2};
constexpr std::uint64_t kDigestBytes = sizeof(Sha256Digest);

ByteSpan span_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

void put(std::string& out, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = bytes; i-- > 0;) out += static_cast<char>(value >> (8 * i));
}
template <std::size_t N>
void put(std::string& out, const std::array<std::uint8_t, N>& bytes) {
  out.append(reinterpret_cast<const char*>(bytes.data()), N);
}
template <std::size_t N>
void take(WireReader& reader, std::array<std::uint8_t, N>& to) {
  if (const auto bytes = reader.take(N)) std::copy(bytes->begin(), bytes->end(), to.begin());
}
template <typename T, typename Read>
void take(T& to, const Read& read) {
  if (read) to = *read;
}

/// What is sealed is bound to its place: stream, and the block's whole head.
std::string associated_with(const StreamName& stream, const BlockHead& head) {
  return stream.service_code + static_cast<char>(stream.type) + encode(head);
}

}  // namespace

std::string SegmentName::text() const {
  char digits[16];
  std::snprintf(digits, sizeof(digits), "-%04u", number);
  return day_text(day) + digits + std::string(kEnd);
}

std::optional<SegmentName> parse_segment_name(std::string_view text) {
  if (text.size() < 10 + 2 + kEnd.size() || !text.ends_with(kEnd) || text[10] != '-') return std::nullopt;
  const auto day = parse_day(text.substr(0, 10));
  if (!day) return std::nullopt;
  SegmentName out{*day, 0};
  const std::string_view digits = text.substr(11, text.size() - 11 - kEnd.size());
  const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), out.number);
  if (status != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return out;
}

std::vector<SegmentName> list_segments(const std::string& folder) {
  std::vector<SegmentName> out;
  DIR* handle = ::opendir(folder.c_str());
  if (handle == nullptr) return out;
  while (const dirent* entry = ::readdir(handle)) {
    if (const auto name = parse_segment_name(entry->d_name)) out.push_back(*name);
  }
  ::closedir(handle);
  std::sort(out.begin(), out.end());
  return out;
}

std::string encode(const SegmentHead& head) {
  std::string out(kMagic);
  put(out, static_cast<std::uint64_t>(head.stream.type), 1);
  out += head.stream.service_code;
  put(out, head.name.day, 4);
  put(out, head.name.number, 4);
  put(out, head.first_block, 8);
  put(out, 0, kSegmentHeadBytes - out.size() - kDigestBytes);
  put(out, head.chain);
  return out;
}

Result<SegmentHead> parse_segment_head(std::string_view bytes) {
  if (bytes.size() < kSegmentHeadBytes || !bytes.starts_with(kMagic)) return kBad;
  WireReader reader(span_of(bytes.substr(kMagic.size(), kSegmentHeadBytes - kMagic.size())));
  SegmentHead out;
  std::uint8_t type = 0;
  take(type, reader.u8());
  std::array<std::uint8_t, 11> code{};
  take(reader, code);
  std::uint32_t number = 0;
  take(out.name.day, reader.u32());
  take(number, reader.u32());
  take(out.first_block, reader.u64());
  if (!reader.take(reader.remaining() - kDigestBytes)) return kBad;
  take(reader, out.chain);
  out.name.number = number;
  out.stream = {std::string(code.begin(), code.end()), static_cast<LogKind>(type)};
  if (!reader.finished() || text_of(out.stream.type).empty() || !is_service_code(out.stream.service_code)) return kBad;
  if (encode(out) != bytes.substr(0, kSegmentHeadBytes)) return kBad;
  return out;
}

Sha256Digest chain_of(const SegmentHead& head) {
  return sha256(span_of(encode(head)));
}

std::uint64_t BlockHead::bytes() const {
  return kBlockHeadBytes + std::uint64_t{index_bytes} + body_bytes + kDigestBytes;
}

std::string encode(const BlockHead& head) {
  std::string out(kBlockMagic);
  put(out, head.rows, 4);
  put(out, head.number, 8);
  put(out, head.first_sequence, 8);
  put(out, head.last_sequence, 8);
  put(out, head.first.ns, 8);
  put(out, head.last.ns, 8);
  put(out, head.index_bytes, 4);
  put(out, head.body_bytes, 4);
  put(out, head.index_nonce);
  put(out, head.body_nonce);
  put(out, 0, kBlockHeadBytes - out.size() - kDigestBytes);
  put(out, head.chain);
  return out;
}

Result<BlockHead> parse_block_head(std::string_view bytes) {
  if (bytes.size() < kBlockHeadBytes || !bytes.starts_with(kBlockMagic)) return kBad;
  WireReader reader(span_of(bytes.substr(kBlockMagic.size(), kBlockHeadBytes - kBlockMagic.size())));
  BlockHead out;
  take(out.rows, reader.u32());
  take(out.number, reader.u64());
  take(out.first_sequence, reader.u64());
  take(out.last_sequence, reader.u64());
  take(out.first.ns, reader.u64());
  take(out.last.ns, reader.u64());
  take(out.index_bytes, reader.u32());
  take(out.body_bytes, reader.u32());
  take(reader, out.index_nonce);
  take(reader, out.body_nonce);
  if (!reader.take(reader.remaining() - kDigestBytes)) return kBad;
  take(reader, out.chain);
  if (!reader.finished() || out.rows == 0 || out.rows > kBlockRowsMax || out.last < out.first) return kBad;
  if (out.index_bytes < kAeadTagBytes || out.body_bytes < kAeadTagBytes) return kBad;
  if (out.index_bytes > kSealedBytesMax || out.body_bytes > kSealedBytesMax) return kBad;
  if (encode(out) != bytes.substr(0, kBlockHeadBytes)) return kBad;
  return out;
}

SealedBlock seal_block(const StreamName& stream, Aead& key, BlockHead head, const BlockWriter::Packed& packed) {
  head.index_bytes = static_cast<std::uint32_t>(packed.filter.size() + kAeadTagBytes);
  head.body_bytes = static_cast<std::uint32_t>(packed.body.size() + kAeadTagBytes);
  head.index_nonce = random_bytes<12>();
  head.body_nonce = random_bytes<12>();
  SealedBlock out;
  out.bytes = encode(head);
  const std::string bound = associated_with(stream, head);
  key.seal(head.index_nonce, span_of(bound), span_of(packed.filter), out.bytes);
  key.seal(head.body_nonce, span_of(bound), span_of(packed.body), out.bytes);
  out.chain = sha256(span_of(out.bytes));
  put(out.bytes, out.chain);
  return out;
}

Result<SegmentReader> SegmentReader::open(const std::string& path, const StreamName& stream, std::uint64_t limit) {
  SEKISHO_TRY(Fd fd, open_to_read(path));
  SEKISHO_TRY(const std::string bytes, read_exact(fd.get(), 0, kSegmentHeadBytes));
  SEKISHO_TRY(SegmentHead head, parse_segment_head(bytes));
  if (head.stream != stream) return kBad;
  return SegmentReader(std::move(fd), std::move(head), limit);
}

Result<std::optional<BlockHead>> SegmentReader::at(std::uint64_t offset) const {
  if (offset >= limit_) return std::optional<BlockHead>{};
  if (limit_ - offset < kBlockHeadBytes) return kBad;
  SEKISHO_TRY(const std::string bytes, read_exact(fd_.get(), offset, kBlockHeadBytes));
  SEKISHO_TRY(const BlockHead head, parse_block_head(bytes));
  if (head.bytes() > limit_ - offset) return kBad;
  return std::optional(head);
}

Result<Sha256Digest> SegmentReader::digest(std::uint64_t offset, const BlockHead& head) const {
  SEKISHO_TRY(const std::string bytes, read_exact(fd_.get(), offset, head.bytes()));
  const ByteSpan all = span_of(bytes);
  const Sha256Digest out = sha256(all.first(all.size() - kDigestBytes));
  if (!std::equal(out.begin(), out.end(), all.end() - kDigestBytes)) return kBad;
  return out;
}

Result<Sha256Digest> SegmentReader::stored_digest(std::uint64_t offset, const BlockHead& head) const {
  SEKISHO_TRY(const std::string bytes, read_exact(fd_.get(), offset + head.bytes() - kDigestBytes, kDigestBytes));
  Sha256Digest out;
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return out;
}

Result<std::string> SegmentReader::filter(std::uint64_t offset, const BlockHead& head, Aead& key) const {
  SEKISHO_TRY(const std::string sealed, read_exact(fd_.get(), offset + kBlockHeadBytes, head.index_bytes));
  std::string out;
  SEKISHO_CHECK_OK(key.open(head.index_nonce, span_of(associated_with(head_.stream, head)), span_of(sealed), out));
  return out;
}

void SegmentReader::expect_filter(std::uint64_t offset, const BlockHead& head) const {
  (void)::posix_fadvise(fd_.get(), static_cast<off_t>(offset + kBlockHeadBytes), head.index_bytes, POSIX_FADV_WILLNEED);
}

void SegmentReader::expect_body(std::uint64_t offset, const BlockHead& head) const {
  (void)::posix_fadvise(fd_.get(), static_cast<off_t>(offset + kBlockHeadBytes + head.index_bytes), head.body_bytes, POSIX_FADV_WILLNEED);
}

Result<Block> SegmentReader::body(std::uint64_t offset, const BlockHead& head, Aead& key) const {
  SEKISHO_TRY(const std::string sealed,
              read_exact(fd_.get(), offset + kBlockHeadBytes + head.index_bytes, head.body_bytes));
  std::string out;
  SEKISHO_CHECK_OK(key.open(head.body_nonce, span_of(associated_with(head_.stream, head)), span_of(sealed), out));
  SEKISHO_TRY(Block block, Block::parse(head_.stream.type, std::move(out)));
  if (block.rows() != head.rows) return kBad;
  return block;
}

}  // namespace sekisho::mgmt
