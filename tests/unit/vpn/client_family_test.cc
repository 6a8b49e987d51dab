// SPDX-License-Identifier: Apache-2.0
#include "vpn/client_family.h"

#include <gtest/gtest.h>

#include <string>

namespace sekisho::vpn {
namespace {

ByteSpan bytes_of(const std::string& text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }

ClientFamily asking_for(std::initializer_list<std::uint16_t> attributes) {
  ClientMarks marks;
  for (const std::uint16_t one : attributes) marks.attribute(one);
  return marks.family();
}

TEST(ClientFamily, WindowsIsKnownByItsVendorIdOfAnyVersionAndByItsPrivateAttributes) {
  const std::string vendor("\x1e\x2b\x51\x69\x05\x99\x1c\x7d\x7c\x96\xfc\xbf\xb5\x87\xe4\x61\0\0\0\x09", 20);
  for (const std::size_t size : {16U, 20U}) {
    ClientMarks marks;
    marks.vendor_id(bytes_of(vendor.substr(0, size)));
    EXPECT_EQ(marks.family(), ClientFamily::kWindows);
  }
  ClientMarks cut;
  cut.vendor_id(bytes_of(vendor.substr(0, 15)));
  EXPECT_EQ(cut.family(), ClientFamily::kUnknown);
  EXPECT_EQ(asking_for({1, 3, 4, 23456}), ClientFamily::kWindows);
  EXPECT_EQ(asking_for({8, 10, 23457}), ClientFamily::kWindows);
  EXPECT_EQ(asking_for({1, 3, 4, 23455, 23458}), ClientFamily::kUnknown);
}

TEST(ClientFamily, AppleAsksForDhcpServersAndForDomains) {
  EXPECT_EQ(asking_for({1, 2, 6, 3, 8, 12, 10, 25}), ClientFamily::kApple);
  EXPECT_EQ(asking_for({1, 3, 25}), ClientFamily::kUnknown);  // any client may split DNS
  EXPECT_EQ(asking_for({1, 2, 6, 3}), ClientFamily::kUnknown);
}

TEST(ClientFamily, AVendorIdIsBelievedBeforeAttributesAndTheFirstBeforeOthers) {
  ClientMarks marks;
  marks.vendor_id(bytes_of("OE-Libreswan-4.10"));
  marks.vendor_id(bytes_of("\x88\x2f\xe5\x6d\x6f\xd2\x0d\xbc\x22\x51\x61\x3b\x2e\xbe\x5b\xeb"));
  marks.attribute(23456);
  EXPECT_EQ(marks.family(), ClientFamily::kLibreswan);
}

TEST(ClientFamily, WindowsAloneIsLeftToRekeyByItself) {
  for (const ClientFamily family : {ClientFamily::kUnknown, ClientFamily::kApple, ClientFamily::kStrongswan, ClientFamily::kLibreswan}) {
    EXPECT_TRUE(habits_of(family).gateway_rekeys_child) << name_of(family);
    EXPECT_EQ(habits_of(family).child_life_seconds_min, 0U);
  }
  EXPECT_FALSE(habits_of(ClientFamily::kWindows).gateway_rekeys_child);
  EXPECT_EQ(habits_of(ClientFamily::kWindows).child_life_seconds_min, 86400U);
}

}  // namespace
}  // namespace sekisho::vpn
