// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/proto/vpn_log.pb.h"
#include "base/wire/reader.h"

namespace sekisho::vpn {

/// What is left in the data plane beside each tunnel, for the daemon that follows one that was killed.
struct Note {
  std::uint32_t user = 0;
  std::uint32_t secret = 0;           ///< noted_mark() of what its user proved himself by
  std::uint32_t session_seconds = 0;  ///< by a RADIUS server's word; 0: it has none
  std::string up_eid;   ///< 16 bytes
  ipc::ToEventLog down; ///< the record of the end, but for its time, cause and totals
};

inline constexpr std::size_t kNoteBytesMax = 1024;  ///< what the data plane keeps

/// As bytes; what is long and dispensable is cut until it fits.
std::vector<std::uint8_t> write_note(Note note);
/// Nothing: no note of ours.
std::optional<Note> read_note(ByteSpan bytes);
/// The record that the session came up, as its daemon wrote it or would have.
ipc::ToEventLog up_record(const Note& note);

}  // namespace sekisho::vpn
