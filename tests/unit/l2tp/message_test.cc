// SPDX-License-Identifier: Apache-2.0
// Goal: control messages as clients send them are read, every AVP of every length ends in a value, in nothing or in an offence, and
// what hides a value is undone by its secret alone. Method: messages of Debian's xl2tpd and of SoftEther as captured; AVPs by hand.
#include "vpn/l2tp/message.h"

#include <gtest/gtest.h>

#include <random>

#include "base/net/endian.h"

namespace sekisho::vpn::l2tp {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes hex(std::string_view text) {
  Bytes out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) out.push_back(static_cast<std::uint8_t>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  return out;
}
ByteSpan span(std::string_view text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }

/// SCCRQ with one more AVP behind the type; `flags` are the top bits of its length word.
Bytes with_avp(std::uint16_t flags, std::uint16_t vendor, std::uint16_t type, const Bytes& value, std::optional<std::uint16_t> length = std::nullopt) {
  Bytes out = ControlWriter(MessageType::kSccrq, 0, 0).take();
  const std::size_t at = out.size();
  out.resize(at + 6);
  store_be<std::uint16_t>(out, at, static_cast<std::uint16_t>(flags | length.value_or(static_cast<std::uint16_t>(6 + value.size()))));
  store_be<std::uint16_t>(out, at + 2, vendor);
  store_be<std::uint16_t>(out, at + 4, type);
  out.insert(out.end(), value.begin(), value.end());
  store_be<std::uint16_t>(out, 2, static_cast<std::uint16_t>(out.size()));
  return out;
}

TEST(L2tpMessage, ReadsWhatXl2tpdSends) {
  const auto sccrq = parse_control(hex("c8020063000000000000000080080000000000018008000000020100800a0000000300000003800a00000004000000000008"
                                       "000000060690800800000007633400130000000878656c6572616e63652e636f6d800800000009606980080000000a0004"), "");
  ASSERT_TRUE(sccrq);
  EXPECT_EQ(sccrq->type, MessageType::kSccrq);
  EXPECT_EQ(sccrq->protocol_version, 0x0100);
  EXPECT_EQ(sccrq->host_name, "c4");
  EXPECT_EQ(sccrq->vendor_name, "xelerance.com");
  EXPECT_EQ(sccrq->assigned_tunnel, 0x6069);
  EXPECT_EQ(sccrq->receive_window, 4);
  EXPECT_FALSE(sccrq->offence);
  const auto iccn = parse_control(hex("c8020032f3f467ff00030002800800000000000c800a0000001800000000800a0000001300000001000a0000002600000000"), "");
  ASSERT_TRUE(iccn);
  EXPECT_EQ(iccn->type, MessageType::kIccn);
  EXPECT_EQ(iccn->header.tunnel, 0xf3f4);
  EXPECT_EQ(iccn->header.session, 0x67ff);
  EXPECT_EQ(iccn->header.ns, 3);
  EXPECT_EQ(iccn->header.nr, 2);
  EXPECT_FALSE(iccn->sequencing_required);
  const auto stop = parse_control(hex("c802002ef3f40000000400028008000000000004800800000009606980120000000100010000476f6f6462796521"), "");
  ASSERT_TRUE(stop);
  ASSERT_TRUE(stop->result);
  EXPECT_EQ(describe(*stop->type, *stop->result), "general request to clear the control connection (Goodbye!)");
  const auto zlb = parse_control(hex("c802000c6069000000010002"), "");
  ASSERT_TRUE(zlb);
  EXPECT_FALSE(zlb->type);
  EXPECT_EQ(zlb->header.nr, 2);
}

TEST(L2tpMessage, SaysResultsInWords) {
  const auto cdn = parse_control(hex("c8020026cbdb1fcb00020005800800000000000e80080000000e0001800a0000000100030000"), "");
  ASSERT_TRUE(cdn);
  EXPECT_EQ(describe(*cdn->type, *cdn->result), "administrative reasons");
  EXPECT_EQ(describe(MessageType::kCdn, {2, 8, "AVP 99"}), "general error: an unknown mandatory AVP (AVP 99)");
  EXPECT_EQ(describe(MessageType::kStopCcn, {5, 0x100, ""}), "the protocol version is not supported: error 256");
  EXPECT_EQ(describe(MessageType::kStopCcn, {77, 0, ""}), "result 77");
}

TEST(L2tpMessage, EveryTypeOfEveryLengthEndsInAValueNothingOrAnOffence) {
  for (std::uint16_t type = 0; type < 45; ++type) {
    for (std::uint16_t length = 0; length < 1024; ++length) {
      for (const std::uint16_t flags : std::initializer_list<std::uint16_t>{0x8000, 0x0000, 0xc000, 0x4000}) {
        const Bytes value(length > 6 ? length - 6U : 0U, 0x41);
        const auto message = parse_control(with_avp(flags, 0, type, value, length), "");
        if (length < 6) {
          ASSERT_FALSE(message) << type << ' ' << length;
          continue;
        }
        ASSERT_TRUE(message) << type << ' ' << length;
        ASSERT_TRUE((flags & 0x8000) != 0 || !message->offence) << type << ' ' << length;
        ASSERT_TRUE((flags & 0xc000) != 0xc000 || message->offence == type) << "hidden, and there is no secret";
        ASSERT_LE(message->host_name.size() + message->vendor_name.size(), 255U);
      }
    }
    EXPECT_FALSE(parse_control(with_avp(0, 0, type, {}, 1023), "")) << "an AVP beyond its message";
  }
}

TEST(L2tpMessage, AnUnknownMandatoryAvpIsAnOffenceAndAnOptionalOneIsNot) {
  EXPECT_EQ(parse_control(with_avp(0x8000, 0, 99, {1}), "")->offence, 99);
  EXPECT_FALSE(parse_control(with_avp(0, 0, 99, {1}), "")->offence);
  EXPECT_EQ(parse_control(with_avp(0x8000, 9, 7, {1}), "")->offence, 7) << "another vendor's 7 is not the host's name";
  EXPECT_EQ(parse_control(with_avp(0, 9, 7, {'x'}), "")->host_name, "");
  EXPECT_EQ(parse_control(with_avp(0x8000, 0, 9, {1}), "")->offence, 9) << "of the wrong length";
  EXPECT_FALSE(parse_control(with_avp(0x8000, 0, 9, {1, 2}), "")->offence);
}

TEST(L2tpMessage, DiscardsWhatIsNoControlMessageOfVersionTwo) {
  const Bytes good = hex("c8020014f3f40000000100018008000000000003");
  ASSERT_TRUE(parse_control(good, ""));
  for (const std::uint16_t flags : std::initializer_list<std::uint16_t>{0x4802, 0x8802, 0xc002, 0xca02, 0xc902, 0xc803, 0xc801}) {
    Bytes wrong = good;
    store_be<std::uint16_t>(wrong, 0, flags);
    EXPECT_FALSE(parse_control(wrong, "")) << std::hex << flags;
  }
  Bytes reserved = good;
  store_be<std::uint16_t>(reserved, 0, 0xfcf2);
  EXPECT_TRUE(parse_control(reserved, "")) << "reserved bits are ignored";
  for (std::size_t length = 0; length < good.size(); ++length) EXPECT_FALSE(parse_control(ByteSpan(good).first(length), "")) << length;
  for (const std::uint16_t length : std::initializer_list<std::uint16_t>{0, 11, 13, 19, 21, 0xffff}) {
    Bytes wrong = good;
    store_be<std::uint16_t>(wrong, 2, length);
    EXPECT_FALSE(parse_control(wrong, "")) << length;
  }
  Bytes first = good;
  first[17] = 7;  // the first AVP is no message type
  EXPECT_FALSE(parse_control(first, ""));
  EXPECT_FALSE(parse_control(Bytes(kDatagramMax + 1, 0xc8), ""));
}

TEST(L2tpMessage, HidesAndUnhides) {
  const Bytes vector = hex("00112233445566778899aabbccddeeff");
  for (std::size_t length = 0; length < 70; ++length) {
    Bytes value(length);
    for (std::size_t i = 0; i < length; ++i) value[i] = static_cast<std::uint8_t>(i * 3);
    const Bytes hidden = hide(7, value, "secret", vector, length % 5);
    auto plain = unhide(7, hidden, "secret", vector);
    ASSERT_TRUE(plain);
    EXPECT_EQ(*plain, value);
    EXPECT_NE(hidden, unhide(7, hidden, "secret", vector).value());
  }
  // MD5 by hand, of 0007 "secret" 00..ff: the first block is masked with it.
  EXPECT_EQ(hide(7, span("c4"), "secret", vector), hex("c4dd6613"));
}

TEST(L2tpMessage, ReadsHiddenAvpsWithTheSecretAlone) {
  const Bytes vector = hex("0102030405060708");
  const Bytes message = ControlWriter(MessageType::kSccrq, 0, 0).hidden(AvpType::kHostName, span("windows"), "secret", vector).take();
  EXPECT_EQ(parse_control(message, "secret")->host_name, "windows");
  EXPECT_EQ(parse_control(message, "")->offence, 7);
  const auto wrong = parse_control(message, "Secret");
  EXPECT_TRUE(wrong->offence == 7 || wrong->host_name != "windows");
  Bytes without = ControlWriter(MessageType::kSccrq, 0, 0).take();  // hidden, and no Random Vector before it
  const Bytes avp = with_avp(0xc000, 0, 7, hide(7, span("windows"), "secret", vector));
  EXPECT_EQ(parse_control(avp, "secret")->offence, 7);
}

TEST(L2tpMessage, ALengthThatTheCipherMadeIsBoundedByWhatCame) {
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    Bytes hidden(random() % 40);
    for (std::uint8_t& byte : hidden) byte = static_cast<std::uint8_t>(random());
    const auto plain = unhide(static_cast<std::uint16_t>(random()), hidden, "secret", Bytes{static_cast<std::uint8_t>(round)});
    ASSERT_TRUE(!plain || plain->size() + 2 <= hidden.size());
  }
}

TEST(L2tpMessage, TakesDataMessagesApartAndPutsThemTogether) {
  const Bytes frame = hex("ff03c0210a00000843ee4680");
  const Bytes written = write_data(0x6069, 0xda04, frame);
  EXPECT_EQ(written, hex("00026069da04ff03c0210a00000843ee4680")) << "as xl2tpd writes it";
  const auto plain = parse_data(written);
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->tunnel, 0x6069);
  EXPECT_EQ(plain->session, 0xda04);
  const Bytes with_length = hex("40020014f3f467ffff03c021090000088a2e7617ffff");
  const auto data = parse_data(with_length);
  ASSERT_TRUE(data);
  EXPECT_EQ(Bytes(data->frame.begin(), data->frame.end()), hex("ff03c021090000088a2e7617"));
  for (std::size_t length = 0; length < 20; ++length) EXPECT_FALSE(parse_data(ByteSpan(with_length).first(length))) << length;
  const Bytes all = hex("4b02001a00010002000500000002eeeeff03c0210101000400aa");  // length, sequence, offset, priority
  const auto offset = parse_data(all);
  ASSERT_TRUE(offset);
  EXPECT_EQ(Bytes(offset->frame.begin(), offset->frame.end()), hex("ff03c0210101000400aa"));
  EXPECT_FALSE(parse_data(hex("02020001000200ffaa"))) << "an offset beyond the message";
  EXPECT_FALSE(parse_data(hex("c8020014f3f40000000100018008000000000003")));
}

}  // namespace
}  // namespace sekisho::vpn::l2tp
