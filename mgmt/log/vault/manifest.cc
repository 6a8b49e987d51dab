// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/vault/manifest.h"

#include <charconv>

#include "mgmt/log/format.h"

namespace sekisho::mgmt {

template <>
struct EnumText<Manifest::Kind> {
  static constexpr auto kNames = std::to_array<std::string_view>({"", "hour", "expired"});
};

namespace {

constexpr Error kBad{ErrorCode::kMalformed, ErrorSite::kStore, 3};

ByteSpan span_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// Reads `"name":value` after `"name":value`, in the order they are written.
class LineReader {
 public:
  explicit LineReader(std::string_view line) : left_(line) { skip("{"); }

  std::string_view text(std::string_view name) {
    key(name);
    skip("\"");
    const std::size_t end = left_.find('"');
    if (end == std::string_view::npos) return ok_ = false, std::string_view{};
    const std::string_view out = left_.substr(0, end);
    left_.remove_prefix(end + 1);
    return out;
  }
  std::uint64_t number(std::string_view name) {
    key(name);
    std::uint64_t out = 0;
    const auto [end, status] = std::from_chars(left_.data(), left_.data() + left_.size(), out);
    ok_ = ok_ && status == std::errc{};
    left_.remove_prefix(static_cast<std::size_t>(end - left_.data()));
    return out;
  }
  template <std::size_t N>
  void bytes(std::string_view name, std::array<std::uint8_t, N>& out) {
    ok_ = parse_hex(text(name), out) && ok_;
  }
  [[nodiscard]] bool finished() const { return ok_ && left_ == "}"; }

 private:
  void skip(std::string_view expected) {
    ok_ = ok_ && left_.starts_with(expected);
    left_.remove_prefix(ok_ ? expected.size() : left_.size());
  }
  void key(std::string_view name) {
    if (!first_) skip(",");
    first_ = false;
    skip("\"");
    skip(name);
    skip("\":");
  }
  std::string_view left_;
  bool ok_ = true, first_ = true;
};

}  // namespace

std::string hex(ByteSpan bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const std::uint8_t byte : bytes) {
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

bool parse_hex(std::string_view text, std::span<std::uint8_t> out) {
  if (text.size() != out.size() * 2) return false;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const char* from = text.data() + 2 * i;
    const auto [end, status] = std::from_chars(from, from + 2, out[i], 16);
    if (status != std::errc{} || end != from + 2) return false;
  }
  return true;
}

std::string signed_text(const Manifest& manifest) {
  std::string out = "{";
  const auto text = [&out](std::string_view name, std::string_view value) {
    if (out.size() > 1) out += ',';
    out.append("\"").append(name).append("\":\"").append(value) += '"';
  };
  const auto number = [&out](std::string_view name, std::uint64_t value) {
    out.append(",\"").append(name).append("\":").append(std::to_string(value));
  };
  text("kind", text_of(manifest.kind));
  text("svc", manifest.stream.service_code);
  text("type", text_of(manifest.stream.type));
  text("node", manifest.node);
  number("number", manifest.number);
  text("segment", manifest.segment.text());
  number("first_block", manifest.first_block);
  number("last_block", manifest.last_block);
  number("seq_from", manifest.first_sequence);
  number("seq_to", manifest.last_sequence);
  number("records", manifest.records);
  text("from", manifest.from);
  text("to", manifest.to);
  text("sha256", hex(manifest.chain));
  text("previous", hex(manifest.previous));
  return out;
}

std::string to_line(const Manifest& manifest) {
  return signed_text(manifest) + ",\"signature\":\"" + hex(manifest.signature) + "\"}";
}

Result<Manifest> parse_manifest(std::string_view line) {
  LineReader reader(line);
  Manifest out;
  const auto kind = enum_from<Manifest::Kind>(reader.text("kind"));
  out.stream.service_code = reader.text("svc");
  const auto type = enum_from<LogKind>(reader.text("type"));
  out.node = reader.text("node");
  out.number = reader.number("number");
  const auto segment = parse_segment_name(reader.text("segment"));
  out.first_block = reader.number("first_block");
  out.last_block = reader.number("last_block");
  out.first_sequence = reader.number("seq_from");
  out.last_sequence = reader.number("seq_to");
  out.records = reader.number("records");
  out.from = reader.text("from");
  out.to = reader.text("to");
  reader.bytes("sha256", out.chain);
  reader.bytes("previous", out.previous);
  reader.bytes("signature", out.signature);
  if (!reader.finished() || !kind || !type || !segment || !is_service_code(out.stream.service_code)) return kBad;
  out.kind = *kind, out.stream.type = *type, out.segment = *segment;
  if (to_line(out) != line) return kBad;
  return out;
}

Sha256Digest digest_of_line(std::string_view line) {
  return sha256(span_of(line));
}

}  // namespace sekisho::mgmt
