// SPDX-License-Identifier: Apache-2.0
#include "mgmt/cli/pcap.h"

#include "base/limits.h"

namespace sekisho::mgmt {
namespace {

constexpr std::uint32_t kMicroseconds = 0xa1b2c3d4U;
constexpr std::uint32_t kNanoseconds = 0xa1b23c4dU;
constexpr std::uint32_t kPcapNg = 0x0a0d0d0aU;
constexpr std::uint32_t kEthernet = 1;
constexpr std::uint32_t kLinkTypeMask = 0x0fff'ffffU;  // above: FCS length and reserved bits

/// Numbers in the byte order of the machine that captured.
class Numbers {
 public:
  Numbers(WireReader& reader, bool swapped) : reader_(reader), swapped_(swapped) {}
  std::uint32_t u32() {
    const auto value = reader_.u32();
    if (!value) return 0;
    return swapped_ ? __builtin_bswap32(*value) : *value;
  }

 private:
  WireReader& reader_;
  bool swapped_;
};

std::string at(std::size_t frame, const std::string& what) { return "frame " + std::to_string(frame) + ": " + what; }

}  // namespace

std::variant<Pcap, std::string> read_pcap(ByteSpan file, const PcapLimits& limits) {
  WireReader reader(file);
  const auto magic = reader.u32();
  if (!magic) return "not a capture: it has no header";
  if (*magic == kPcapNg) return "a pcapng capture is not read: convert it (editcap -F pcap IN OUT)";
  const std::uint32_t other = __builtin_bswap32(*magic);
  const bool swapped = other == kMicroseconds || other == kNanoseconds;
  const std::uint32_t kind = swapped ? other : *magic;
  if (kind != kMicroseconds && kind != kNanoseconds) return "not a pcap capture";
  Numbers numbers(reader, swapped);
  static_cast<void>(reader.take(16));  // version, zone, accuracy, length limit: nothing is done by them
  const std::uint32_t link = numbers.u32() & kLinkTypeMask;
  if (reader.failed()) return "not a capture: its header is cut";
  if (link != kEthernet) return "a capture of link type " + std::to_string(link) + " is not read: only Ethernet (1) is";

  Pcap out;
  std::size_t bytes = 0;
  while (reader.remaining() > 0) {
    const std::size_t number = out.frames.size() + out.cut + 1;
    if (number > limits.frames) return "more than " + std::to_string(limits.frames) + " frames: cut the capture (editcap -r)";
    const std::uint64_t seconds = numbers.u32();
    const std::uint64_t fraction = numbers.u32();
    const std::uint32_t captured = numbers.u32();
    const std::uint32_t original = numbers.u32();
    if (reader.failed()) return at(number, "its header is cut");
    if (captured > original || captured > limits::kFrameBytesMax) return at(number, "its length is impossible");
    const auto frame = reader.take(captured);
    if (!frame) return at(number, "the file ends inside");
    if (captured < original) {
      ++out.cut;
      continue;
    }
    bytes += captured;
    if (bytes > limits.bytes) return "more than " + std::to_string(limits.bytes >> 20) + " MiB of frames: cut the capture (editcap -r)";
    out.frames.push_back({seconds * 1'000'000'000 + fraction * (kind == kNanoseconds ? 1U : 1000U), *frame});
  }
  return out;
}

}  // namespace sekisho::mgmt
