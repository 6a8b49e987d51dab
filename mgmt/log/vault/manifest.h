// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "mgmt/log/vault/segment.h"

/// What was stored, hour by hour, under the box's signature: one line of JSON each in STREAM/manifest, each with the
/// SHA-256 of the line before. Segments say that blocks follow one another; manifests say which there were.
namespace sekisho::mgmt {

struct Manifest {
  enum class Kind : std::uint8_t {
    kNone = 0,
    kHour,     ///< blocks that were stored
    kExpired,  ///< a segment whose days were kept long enough: its keys are destroyed and its file removed
  };
  Kind kind{};
  StreamName stream;
  std::uint64_t number = 0;  ///< of the line, from 0
  SegmentName segment;
  std::uint64_t first_block = 0, last_block = 0, first_sequence = 0, last_sequence = 0, records = 0;
  std::string from, to;  ///< times of the first and the last record; kExpired: when it was removed
  std::string node;
  Sha256Digest chain{};     ///< of the last block
  Sha256Digest previous{};  ///< of the line before
  Signature signature{};
};

/// The signed part of the line.
std::string signed_text(const Manifest& manifest);
/// The line without its newline.
std::string to_line(const Manifest& manifest);
/// kMalformed: not exactly what to_line() writes.
Result<Manifest> parse_manifest(std::string_view line);
Sha256Digest digest_of_line(std::string_view line);
std::string hex(ByteSpan bytes);
/// False: not exactly so many hex digits.
bool parse_hex(std::string_view text, std::span<std::uint8_t> out);

}  // namespace sekisho::mgmt
