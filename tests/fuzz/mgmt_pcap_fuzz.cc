// SPDX-License-Identifier: Apache-2.0
// Any bytes as a capture: refused in a sentence, or whole frames that lie inside the bytes, within the limits.
#include "base/assert.h"
#include "mgmt/cli/pcap.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sekisho::mgmt;
  const PcapLimits limits{.frames = 8, .bytes = 4096};
  const auto read = read_pcap({data, size}, limits);
  if (const auto* wrong = std::get_if<std::string>(&read)) {
    SEKISHO_ASSERT(!wrong->empty());
    return 0;
  }
  const auto& pcap = std::get<Pcap>(read);
  SEKISHO_ASSERT(pcap.frames.size() + pcap.cut <= limits.frames);
  std::size_t bytes = 0;
  for (const PcapFrame& frame : pcap.frames) {
    SEKISHO_ASSERT(frame.bytes.empty() || (frame.bytes.data() >= data && frame.bytes.data() + frame.bytes.size() <= data + size));
    bytes += frame.bytes.size();
  }
  SEKISHO_ASSERT(bytes <= limits.bytes);
  return 0;
}
