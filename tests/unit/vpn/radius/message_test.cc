// SPDX-License-Identifier: Apache-2.0
// Vectors: RFC 2865 7.1 for the Response Authenticator; an accept made by another implementation (Python's hashlib) for the rest.
#include "vpn/radius/message.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace sekisho::vpn::radius {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes hex(std::string_view text) {
  const auto digit = [](char c) { return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10); };
  Bytes out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) out.push_back(static_cast<std::uint8_t>(digit(text[i]) << 4 | digit(text[i + 1])));
  return out;
}
Bytes bytes(std::string_view text) { return {text.begin(), text.end()}; }
Authenticator authenticator(std::string_view text) {
  Authenticator out{};
  std::ranges::copy(hex(text), out.begin());
  return out;
}

const Bytes kSecret = bytes("a secret of sixteen or more");
const Authenticator kRequest = authenticator("000102030405060708090a0b0c0d0e0f");
const Bytes kAccept = hex("020900bf595a583fbcc926b55b8c685dd4d6cecb50122559ddf467d8b7eb8a459c3dbef2dd3d0107616c6963650b07737461666619050102031b0600000e1008060a6300144f06030700041a3a0000013711348101eb330cb267095659e735b381893a651d99e9cb7010ddf9e765eb7a98641a2fa6c77cedba9f7ea84df0c0e450f0f6f6551a3a0000013710348102b1f9ed7723b72676a17278c27759f9c06b63120f10c8f9f5e2b058a26521d039824669a79c5019fb44d7c6df7c46101b");

TEST(RadiusMessage, AnswerOfTheRfcIsGenuineForItsRequestAndSecretAlone) {
  const Bytes answer = hex("0200002686fe220e7624ba2a1005f6bf9b55e0b20606000000010f06000000000e06c0a80103");
  const Authenticator request = authenticator("0f403f9473978057bd83d5cb98f4227a");
  const auto message = parse(answer);
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(message->code, Code::kAccessAccept);
  EXPECT_TRUE(answers(*message, request, bytes("xyzzy5461"), false));
  EXPECT_FALSE(answers(*message, request, bytes("xyzzy5462"), false));
  EXPECT_FALSE(answers(*message, kRequest, bytes("xyzzy5461"), false));
  EXPECT_FALSE(answers(*message, request, bytes("xyzzy5461"), true)) << "it has no Message-Authenticator";
}

TEST(RadiusMessage, AcceptIsReadWithItsKeys) {
  const auto message = parse(kAccept);
  ASSERT_TRUE(message.has_value());
  EXPECT_TRUE(answers(*message, kRequest, kSecret, true));
  EXPECT_EQ(message->text(Type::kUserName), "alice");
  EXPECT_EQ(message->text(Type::kFilterId), "staff");
  EXPECT_EQ(message->number(Type::kSessionTimeout), 3600U);
  EXPECT_EQ(message->number(Type::kFilterId), std::nullopt);
  EXPECT_EQ(message->address(Type::kFramedIpAddress), *parse_address("10.99.0.20"));
  EXPECT_EQ(message->eap(), hex("03070004"));
  const auto key = master_key(*message, kRequest, kSecret);
  ASSERT_TRUE(key.has_value());
  Bytes expected;
  for (std::uint8_t i = 0x10; i < 0x30; ++i) expected.push_back(i);  // what it receives with comes first
  for (std::uint8_t i = 0x40; i < 0x60; ++i) expected.push_back(i);
  EXPECT_EQ(Bytes(key->begin(), key->end()), expected);
}

TEST(RadiusMessage, AnyChangedByteOfAnAcceptIsNoAnswer) {
  for (std::size_t at = 0; at < kAccept.size(); ++at) {
    Bytes changed = kAccept;
    changed[at] ^= 1;
    const auto message = parse(changed);
    EXPECT_FALSE(message && answers(*message, kRequest, kSecret, true)) << at;
  }
}

TEST(RadiusMessage, CutAnywhereIsNoMessageAndWhatFollowsIsPadding) {
  for (std::size_t size = 0; size < kAccept.size(); ++size) {
    EXPECT_FALSE(parse(Bytes(kAccept.begin(), kAccept.begin() + static_cast<std::ptrdiff_t>(size))).has_value()) << size;
  }
  Bytes longer = kAccept;
  longer.resize(longer.size() + 3);
  const auto message = parse(longer);
  ASSERT_TRUE(message.has_value());
  EXPECT_TRUE(answers(*message, kRequest, kSecret, true));
}

TEST(RadiusMessage, AttributesThatOverrunOrAreTooShortAreRefused) {
  Bytes head = hex("0209001700000000000000000000000000000000");
  for (const std::string_view attribute : {"010000", "010100", "010400"}) {
    Bytes whole = head;
    std::ranges::copy(hex(attribute), std::back_inserter(whole));
    EXPECT_FALSE(parse(whole).has_value()) << attribute;
  }
  std::ranges::copy(hex("010361"), std::back_inserter(head));
  EXPECT_TRUE(parse(head).has_value());
}

TEST(RadiusMessage, TwoMessageAuthenticatorsAreNone) {
  Writer writer(Code::kAccessAccept, 9);
  writer.add(Type::kMessageAuthenticator, ByteSpan(kRequest));
  const Bytes answer = writer.finish_answer(kRequest, kSecret);
  const auto message = parse(answer);
  ASSERT_TRUE(message.has_value());
  EXPECT_FALSE(answers(*message, kRequest, kSecret, true));
}

TEST(RadiusMessage, RequestIsSignedWithTheSignatureInFront) {
  Writer writer(Code::kAccessRequest, 3);
  writer.add(Type::kUserName, std::string_view("alice"));
  writer.add_eap(Bytes(600, 7));
  const Bytes request = writer.finish_access(kRequest, kSecret);
  const auto message = parse(request);
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(message->attributes.front().type, Type::kMessageAuthenticator);
  EXPECT_EQ(message->authenticator, kRequest);
  EXPECT_EQ(message->eap(), Bytes(600, 7));
  EXPECT_EQ(std::ranges::count(message->attributes, Type::kEapMessage, &Attribute::type), 3);
}

TEST(RadiusMessage, DisconnectIsGenuineBySecretAndItsAnswerToo) {
  Writer writer(Code::kDisconnectRequest, 4);
  writer.add(Type::kAcctSessionId, std::string_view("0123"));
  const Bytes request = writer.finish_request(kSecret);
  const auto message = parse(request);
  ASSERT_TRUE(message.has_value());
  EXPECT_TRUE(is_genuine_request(*message, kSecret));
  EXPECT_FALSE(is_genuine_request(*message, bytes("another secret of sixteen")));
  Bytes changed = request;
  changed.back() ^= 1;
  EXPECT_FALSE(is_genuine_request(*parse(changed), kSecret));
  Writer answer(Code::kDisconnectAck, 4);
  const Bytes acknowledged = answer.finish_answer(message->authenticator, kSecret);
  EXPECT_TRUE(answers(*parse(acknowledged), message->authenticator, kSecret, true));
}

TEST(RadiusMessage, KeysOfOddSizesAreNoKeys) {
  const auto accept_with = [](ByteSpan send) {
    Writer writer(Code::kAccessAccept, 9);
    Bytes vendor = hex("00000137");
    vendor.push_back(16);
    vendor.push_back(static_cast<std::uint8_t>(send.size() + 2));
    vendor.insert(vendor.end(), send.begin(), send.end());
    writer.add(Type::kVendorSpecific, ByteSpan(vendor));
    return writer.finish_answer(kRequest, kSecret);
  };
  for (const std::size_t size : {0U, 1U, 2U, 17U, 18U, 33U, 200U}) {
    const Bytes accept = accept_with(Bytes(size, 1));
    EXPECT_FALSE(master_key(*parse(accept), kRequest, kSecret).has_value()) << size;
  }
}

TEST(RadiusMessage, WhatDoesNotFitIsNotSent) {
  Writer writer(Code::kAccessRequest, 3);
  writer.add_eap(Bytes(4200, 7));
  EXPECT_TRUE(writer.finish_access(kRequest, kSecret).empty());
  Writer other(Code::kAccessRequest, 3);
  other.add(Type::kState, ByteSpan(Bytes(254, 7)));
  EXPECT_TRUE(other.finish_access(kRequest, kSecret).empty());
}

TEST(RadiusMessage, APasswordIsHiddenAsTheRfcHasIt) {  // RFC 2865 7.1
  Writer writer(Code::kAccessRequest, 0);
  writer.add_password(bytes("arctangent"), authenticator("0f403f9473978057bd83d5cb98f4227a"), bytes("xyzzy5461"));
  EXPECT_EQ(Bytes(writer.attributes().begin(), writer.attributes().end()), hex("02120dbe708d93d413ce3196e43f782a0aee"));
  Writer empty(Code::kAccessRequest, 0);
  empty.add_password({}, kRequest, kSecret);
  EXPECT_EQ(empty.attributes().size(), 18U);
  Writer longest(Code::kAccessRequest, 0);
  longest.add_password(Bytes(kPasswordBytesMax, 'p'), kRequest, kSecret);
  EXPECT_EQ(longest.attributes().size(), 130U);
  EXPECT_FALSE(longest.finish_access(kRequest, kSecret).empty());
  Writer longer(Code::kAccessRequest, 0);
  longer.add_password(Bytes(kPasswordBytesMax + 1, 'p'), kRequest, kSecret);
  EXPECT_TRUE(longer.finish_access(kRequest, kSecret).empty());
}

TEST(RadiusMessage, MschapIsSaidInMicrosoftsAttributesAndItsSuccessIsReadOrNothing) {
  Writer writer(Code::kAccessRequest, 0);
  writer.add_mschap2(7, Bytes(16, 0xc1), Bytes(16, 0xc2), Bytes(24, 0xc3));
  Bytes expected = hex("1a18000001370b12");
  expected.insert(expected.end(), 16, 0xc1);
  for (const auto& part : {hex("1a3a0000013719340700"), Bytes(16, 0xc2), Bytes(8, 0), Bytes(24, 0xc3)}) {
    expected.insert(expected.end(), part.begin(), part.end());
  }
  EXPECT_EQ(Bytes(writer.attributes().begin(), writer.attributes().end()), expected);
  const std::string proof = "S=407A5589115FD0D6209F510FE9C04566932CDA56";
  const auto success = [](const std::string& said) {
    Writer answer(Code::kAccessAccept, 0);
    Bytes value = hex("000001371a");
    value.push_back(static_cast<std::uint8_t>(said.size() + 3));
    value.push_back(7);
    value.insert(value.end(), said.begin(), said.end());
    answer.add(Type::kVendorSpecific, ByteSpan(value));
    const Bytes whole = answer.finish_answer(kRequest, kSecret);
    return mschap2_success(parse(whole).value());
  };
  EXPECT_EQ(success(proof), proof);
  EXPECT_EQ(success(proof + " M=welcome"), proof);
  EXPECT_EQ(success(proof.substr(0, 41)), "");
  EXPECT_EQ(success("S=407A5589115FD0D6209F510FE9C04566932CDA5_"), "");
  EXPECT_EQ(success(""), "");
}

TEST(RadiusMessage, KeysAreReadApartAsTheyAreNamed) {
  const auto message = parse(kAccept).value();
  const auto whole = master_key(message, kRequest, kSecret);
  const auto apart = mppe_keys(message, kRequest, kSecret);
  ASSERT_TRUE(whole && apart);
  EXPECT_EQ(apart->size, 32U);
  EXPECT_TRUE(std::equal(apart->receive.begin(), apart->receive.end(), whole->begin()));
  EXPECT_TRUE(std::equal(apart->send.begin(), apart->send.end(), whole->begin() + 32));
  EXPECT_FALSE(mppe_keys(message, kRequest, bytes("another secret")));
}

}  // namespace
}  // namespace sekisho::vpn::radius
