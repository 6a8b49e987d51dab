// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <cstdio>

#include "mgmt/log/vault/vault_state.h"

namespace sekisho::mgmt {
namespace {

constexpr std::string_view kMagic = "SKWAL001", kPrefix = "wal-";
constexpr std::size_t kFrameHead = 4 + 12, kNameDigits = 12;

ByteSpan span_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

void put(std::string& out, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = bytes; i-- > 0;) out += static_cast<char>(value >> (8 * i));
}

std::string bound_to(std::string_view head, std::uint64_t offset) {
  std::string out(head);
  put(out, offset, 8);
  return out;
}

}  // namespace

std::string wal_name(std::uint64_t block) {
  char out[32];
  std::snprintf(out, sizeof(out), "wal-%012llu", static_cast<unsigned long long>(block));
  return out;
}

std::optional<std::uint64_t> parse_wal_name(std::string_view name) {
  if (!name.starts_with(kPrefix) || name.size() < kPrefix.size() + kNameDigits) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  std::uint64_t block = 0;
  const auto [end, status] = std::from_chars(name.data(), name.data() + name.size(), block);
  if (status != std::errc{} || end != name.data() + name.size()) return std::nullopt;
  return block;
}

std::string wal_head(const StreamName& stream, const WalHead& head, std::uint64_t block) {
  std::string out(kMagic);
  put(out, static_cast<std::uint64_t>(stream.type), 1);
  out += stream.service_code;
  put(out, head.day, 4);
  put(out, head.rows_before, 4);
  put(out, block, 8);
  return out;
}

std::optional<WalHead> parse_wal_head(const StreamName& stream, std::uint64_t block, std::string_view bytes) {
  if (bytes.size() < kWalHeadBytes) return std::nullopt;
  WireReader reader(span_of(bytes.substr(kMagic.size() + 1 + 11, 8)));
  const auto day = reader.u32(), rows = reader.u32();
  if (!day || !rows) return std::nullopt;
  const WalHead out{*day, *rows};
  if (wal_head(stream, out, block) != bytes.substr(0, kWalHeadBytes)) return std::nullopt;
  return out;
}

WalContents read_wal(std::string_view bytes, Aead& key) {
  WalContents out{{}, kWalHeadBytes};
  if (bytes.size() < kWalHeadBytes) return {};
  WireReader reader(span_of(bytes.substr(kWalHeadBytes)));
  for (std::string rows; reader.remaining() > 0;) {
    const auto length = reader.u32();
    AeadNonce nonce;
    const auto random = reader.take(nonce.size());
    if (!length || !random) break;
    const auto sealed = reader.take(*length);
    if (!sealed) break;
    std::copy(random->begin(), random->end(), nonce.begin());
    if (!key.open(nonce, span_of(bound_to(bytes.substr(0, kWalHeadBytes), out.good)), *sealed, rows)) break;
    out.rows += rows;
    out.good = kWalHeadBytes + reader.offset();
  }
  return out;
}

std::string seal_frame(std::string_view head, std::uint64_t offset, std::string_view rows, Aead& key) {
  const auto nonce = random_bytes<12>();
  std::string out;
  out.reserve(kFrameHead + rows.size() + kAeadTagBytes);
  put(out, rows.size() + kAeadTagBytes, 4);
  out.append(reinterpret_cast<const char*>(nonce.data()), nonce.size());
  key.seal(nonce, span_of(bound_to(head, offset)), span_of(rows), out);
  return out;
}

}  // namespace sekisho::mgmt
