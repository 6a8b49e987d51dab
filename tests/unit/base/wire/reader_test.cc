// SPDX-License-Identifier: Apache-2.0
// Goal: a reader never passes its end and never recovers from a failure; Result says what it holds.
#include "base/wire/reader.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "base/describe.h"

namespace sekisho {
namespace {

const std::vector<std::uint8_t> kBytes = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0xff, 0xfe};

/// Reads u8, u16, u32, u64 and a nested pair: 17 bytes.
bool parse(ByteSpan bytes) {
  WireReader reader(bytes);
  const bool numbers = reader.u8() && reader.u16() && reader.u32() && reader.u64();
  auto inner = reader.sub(2);
  return numbers && inner && inner->u16() && inner->finished() && reader.finished();
}

TEST(WireReader, ReadsBigEndianNumbers) {
  WireReader reader(kBytes);
  EXPECT_EQ(reader.u8().value(), 1);
  EXPECT_EQ(reader.u16().value(), 0x0203);
  EXPECT_EQ(reader.u32().value(), 0x04050607U);
  EXPECT_EQ(reader.u64().value(), 0x08090a0b0c0d0e0fULL);
  EXPECT_EQ(reader.remaining(), 2U);
  EXPECT_FALSE(reader.finished());
  EXPECT_EQ(reader.take(2).value()[0], 0xff);
  EXPECT_TRUE(reader.finished());
}

TEST(WireReader, FailsAtEveryTruncation) {
  EXPECT_TRUE(parse(kBytes));
  for (std::size_t length = 0; length < kBytes.size(); ++length) {
    const std::vector<std::uint8_t> prefix(kBytes.begin(), kBytes.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_FALSE(parse(prefix)) << length;
  }
  std::vector<std::uint8_t> longer = kBytes;
  longer.push_back(0);
  EXPECT_FALSE(parse(longer)) << "bytes left over";
}

TEST(WireReader, DiesOnTheFirstFailure) {
  WireReader reader(ByteSpan(kBytes).first(3));
  ASSERT_TRUE(reader.u8());
  const auto failure = reader.u32();

  ASSERT_FALSE(failure);
  EXPECT_EQ(failure.error().code, ErrorCode::kTruncated);
  EXPECT_EQ(failure.error().detail, 1U) << "where the bytes were missing";
  EXPECT_FALSE(reader.u8()) << "one byte would still be there";
  EXPECT_FALSE(reader.take(0));
  EXPECT_FALSE(reader.sub(0));
  EXPECT_FALSE(reader.finished());
  EXPECT_EQ(reader.remaining(), 0U);
}

TEST(WireReader, BoundsHugeLengths) {
  WireReader reader(kBytes);
  ASSERT_TRUE(reader.u8());
  EXPECT_FALSE(reader.take(~std::size_t{0}));
}

TEST(WireReader, CopiesStructsOnlyWhole) {
  struct Pair {
    std::array<std::uint8_t, 2> bytes;
  };
  WireReader reader(ByteSpan(kBytes).first(3));
  EXPECT_EQ(reader.copy<Pair>()->bytes[1], 2);
  EXPECT_FALSE(reader.copy<Pair>());
}

Result<std::unique_ptr<int>> boxed(int value) {
  if (value < 0) return Error{ErrorCode::kLimit, ErrorSite::kStore, 5};
  return std::make_unique<int>(value);
}
Result<int> doubled(int value) {
  SEKISHO_TRY(const auto box, boxed(value));
  return *box * 2;
}
Result<void> checked(int value) {
  SEKISHO_CHECK_OK(doubled(value));
  return {};
}

TEST(Result, CarriesAValueOrTheErrorThatStoppedIt) {
  EXPECT_EQ(doubled(21).value(), 42);
  EXPECT_TRUE(checked(1));
  ASSERT_FALSE(doubled(-1));
  EXPECT_EQ(doubled(-1).error().code, ErrorCode::kLimit);
  EXPECT_EQ(checked(-1).error().detail, 5U);
  EXPECT_EQ(describe(checked(-1).error()), "configuration store exceeds a limit (5)");
}

TEST(ResultDeathTest, AskingForWhatIsNotThereAborts) {
  EXPECT_DEATH((void)doubled(-1).value(), "assertion failed");
  EXPECT_DEATH((void)doubled(1).error(), "assertion failed");
}

}  // namespace
}  // namespace sekisho
