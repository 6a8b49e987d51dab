// SPDX-License-Identifier: Apache-2.0
// Goal: a SYN offers no more than a tunnel carries, its checksum stays right, and nothing else of it changes. Method: frames with
// the option wherever it may stand; the decoder judges the result.
#include "filters/packet/mss.h"

#include <gtest/gtest.h>

#include "filters/packet/decode.h"
#include "tests/support/frames.h"

namespace sekisho::filters {
namespace {

using tests::Frame;
using tests::FrameBuilder;

/// `options` after a clamp to 1398; decode has proved the whole.
std::vector<std::uint8_t> clamped(std::vector<std::uint8_t> options, bool ipv6) {
  const std::size_t bytes = options.size();
  FrameBuilder builder;
  if (ipv6) {
    builder.ipv6("fd00::1", "fd00::2");
  } else {
    builder.ipv4("10.0.0.1", "10.0.0.2");
  }
  Frame frame = builder.tcp(5000, 80, {.flags = 2, .options = std::move(options)}).build();
  PacketMeta meta{};
  EXPECT_EQ(decode(frame, static_cast<std::uint32_t>(frame.size()), {}, meta), DropReason::kNone);
  clamp_mss(frame, meta, 1398);
  EXPECT_EQ(decode(frame, static_cast<std::uint32_t>(frame.size()), {}, meta), DropReason::kNone);
  const auto at = frame.begin() + meta.l4_offset + 20;
  return {at, at + static_cast<std::ptrdiff_t>(bytes)};
}
using Options = std::vector<std::uint8_t>;

TEST(Mss, OnlyALargerOneIsLoweredWhereverItStands) {
  for (const bool ipv6 : {false, true}) {
    EXPECT_EQ(clamped({2, 4, 0x05, 0xb4}, ipv6), (Options{2, 4, 0x05, 0x76}));
    EXPECT_EQ(clamped({1, 2, 4, 0x05, 0xb4, 1, 1, 1}, ipv6), (Options{1, 2, 4, 0x05, 0x76, 1, 1, 1}));  // across two words
    EXPECT_EQ(clamped({3, 3, 7, 1, 4, 2, 2, 4, 0xff, 0xff, 0, 0}, ipv6), (Options{3, 3, 7, 1, 4, 2, 2, 4, 0x05, 0x76, 0, 0}));
    EXPECT_EQ(clamped({2, 4, 0x05, 0x76}, ipv6), (Options{2, 4, 0x05, 0x76}));
    EXPECT_EQ(clamped({2, 4, 0x02, 0x18}, ipv6), (Options{2, 4, 0x02, 0x18}));
  }
}

TEST(Mss, WhatIsNoListOrHasNoMssStaysAsItIs) {
  for (const Options& options : {Options{}, Options{0, 0, 2, 4}, Options{2, 3, 0xff, 0}, Options{3, 0, 2, 4}, Options{2, 8, 0xff, 0xff},
                                 Options{1, 1, 1, 2}, Options{0, 2, 4, 0xff, 0xff, 0, 0, 0}, Options{2, 5, 0xff, 0xff, 0xff, 0, 0, 0}}) {
    EXPECT_EQ(clamped(options, false), options);
  }
}

}  // namespace
}  // namespace sekisho::filters
