// SPDX-License-Identifier: Apache-2.0
#include "vpn/ike/mschapv2.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

/// RFC 2759 9.2's response as an EAP packet.
std::vector<std::uint8_t> response(const std::string& name) {
  std::vector<std::uint8_t> out{2, 7, 0, static_cast<std::uint8_t>(59 + name.size()), 26, 2, 7, 0, static_cast<std::uint8_t>(54 + name.size()), 49};
  for (std::uint8_t i = 0; i < 49; ++i) out.push_back(i);
  out.insert(out.end(), name.begin(), name.end());
  return out;
}

TEST(Mschapv2, ReadsWhereChallengeResponseAndNameStand) {
  const auto packet = response("TOKYO\\user");
  sekisho_mschapv2_response_t read;
  ASSERT_TRUE(sekisho_mschapv2_read(packet.data(), packet.size(), &read));
  EXPECT_EQ(read.peer_challenge[0], 0);
  EXPECT_EQ(read.nt_response[0], 24);
  EXPECT_EQ(std::string(read.name, read.name + read.name_size), "TOKYO\\user");
}

TEST(Mschapv2, RefusesAPacketCutAtEveryByteAndReadsTheWholeOneWithoutAName) {
  const auto whole = response("");
  sekisho_mschapv2_response_t read;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::vector<std::uint8_t> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(sekisho_mschapv2_read(cut.data(), cut.size(), &read)) << size;
  }
  EXPECT_TRUE(sekisho_mschapv2_read(whole.data(), whole.size(), &read));
}

TEST(Mschapv2, RefusesAnotherCodeTypeOpcodeOrSize) {
  for (const std::size_t at : {0U, 4U, 5U, 9U}) {
    auto packet = response("user");
    packet[at] = static_cast<std::uint8_t>(packet[at] + 1);
    sekisho_mschapv2_response_t read;
    EXPECT_FALSE(sekisho_mschapv2_read(packet.data(), packet.size(), &read)) << at;
  }
}

}  // namespace
