// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "base/wire/reader.h"

namespace sekisho::mgmt {

/// A frame of a capture; `bytes` are borrowed from the file's.
struct PcapFrame {
  std::uint64_t time_ns = 0;  ///< since 1970
  ByteSpan bytes;
};
struct Pcap {
  std::vector<PcapFrame> frames;
  std::uint64_t cut = 0;  ///< frames the capture holds only a part of: left out
};

struct PcapLimits {
  std::size_t frames = 100'000;
  std::size_t bytes = std::size_t{32} << 20;  ///< of all frames together
};

/// Reads a capture in the classic libpcap format: either byte order, micro- or nanoseconds, Ethernet. Anything else, and
/// more than `limits` allow, is refused in a sentence.
std::variant<Pcap, std::string> read_pcap(ByteSpan file, const PcapLimits& limits = {});

}  // namespace sekisho::mgmt
