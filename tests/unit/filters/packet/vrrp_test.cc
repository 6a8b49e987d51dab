// SPDX-License-Identifier: Apache-2.0
#include "filters/packet/vrrp.h"

#include <gtest/gtest.h>

#include "filters/packet/decode.h"
#include "tests/support/vrrp.h"

namespace sekisho::filters {
namespace {

using tests::address;
using tests::Frame;
using tests::VrrpFields;

const Mac kHost = tests::mac("00:00:5e:00:01:d3");

std::optional<VrrpAdvertisement> parse(const Frame& frame) {
  PacketMeta meta{};
  if (decode(frame, static_cast<std::uint32_t>(frame.size()), {false, false}, meta) != DropReason::kNone) return std::nullopt;
  return parse_vrrp(frame, meta);
}
std::optional<VrrpAdvertisement> parse4(const VrrpFields& fields) {
  return parse(vrrp({}, kHost, "10.0.0.34", fields).build());
}
std::optional<VrrpAdvertisement> parse6(const VrrpFields& fields) {
  return parse(vrrp({}, kHost, "fe80::34", fields).build());
}

TEST(Vrrp, SaysWhoseAddressesItsSenderHas) {
  const VrrpFields four{.vrid = 254, .priority = 0, .addresses = {address("10.0.0.40"), address("10.0.0.41")}};
  const Frame frame = vrrp({}, kHost, "10.0.0.34", four).build();
  PacketMeta meta{};
  ASSERT_EQ(decode(frame, static_cast<std::uint32_t>(frame.size()), {false, false}, meta), DropReason::kNone);
  const auto message = parse_vrrp(frame, meta);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->vrid, 254);
  EXPECT_EQ(message->priority, 0);
  ASSERT_EQ(message->count, 2);
  EXPECT_EQ(vrrp_address(*message, 0), address("10.0.0.40"));
  EXPECT_EQ(vrrp_address(*message, 1), address("10.0.0.41"));
}

TEST(Vrrp, EveryVersionAndChecksumThatIsSpokenIsUnderstood) {
  const std::vector<Address> four{address("10.0.0.40")}, six{address("fe80::40"), address("fd00::40")};
  EXPECT_TRUE(parse4({.addresses = four}));
  EXPECT_TRUE(parse4({.addresses = four, .pseudo_header = false}));
  EXPECT_TRUE(parse4({.version = 2, .addresses = four, .pseudo_header = false}));
  EXPECT_TRUE(parse6({.addresses = six}));
  EXPECT_FALSE(parse4({.version = 2, .addresses = four}));
  EXPECT_FALSE(parse4({.version = 4, .addresses = four}));
  EXPECT_FALSE(parse6({.version = 2, .addresses = six}));
  EXPECT_FALSE(parse6({.addresses = six, .pseudo_header = false}));
}

TEST(Vrrp, WhatIsNoAdvertisementSaysNothing) {
  const std::vector<Address> four{address("10.0.0.40")};
  EXPECT_FALSE(parse4({.vrid = 0, .addresses = four}));
  EXPECT_FALSE(parse4({.type = 2, .addresses = four}));
  EXPECT_FALSE(parse4({.hop_limit = 254, .addresses = four}));
  EXPECT_FALSE(parse4({.addresses = four, .count = 2}));
  EXPECT_FALSE(parse4({.addresses = four, .checksum_error = 1}));
  EXPECT_FALSE(parse4({.addresses = four, .group4 = "224.0.0.19"}));
  EXPECT_FALSE(parse6({.hop_limit = 254, .addresses = {address("fe80::40")}}));
  EXPECT_FALSE(parse6({.addresses = {address("fe80::40")}, .checksum_error = 1}));
  EXPECT_FALSE(parse6({.addresses = {address("fe80::40")}, .group6 = "ff02::13"}));
}

TEST(Vrrp, CutAnywhereItIsRefusedOrWhole) {
  for (std::size_t bytes = 0; bytes < 16; ++bytes) {  // of the message; the IP header agrees
    Frame message{0x31, 211, 100, 2, 0, 100, 0, 0, 10, 0, 0, 40, 10, 0, 0, 41};
    store_be<std::uint16_t>(message, 6, checksum_fold(checksum_add(0, message)));
    message.resize(bytes);
    EXPECT_FALSE(parse(tests::FrameBuilder().ethernet(kHost, multicast_mac(address("224.0.0.18")))
                           .ipv4("10.0.0.34", "224.0.0.18", {.ttl = 255}).protocol(112, message).build())) << bytes;
  }
}

}  // namespace
}  // namespace sekisho::filters
