// SPDX-License-Identifier: Apache-2.0
#include "vpn/labels.h"

#include <gtest/gtest.h>

#include "vpn/explain.h"
#include "vpn/note.h"

namespace sekisho::vpn {
namespace {

TEST(VpnLabels, SuitesAreWrittenAsTheLogWritesThem) {
  EXPECT_EQ(suite_label("AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384"), "AES256-GCM16/PRFSHA384/ECP384");  // specification 3.7
  EXPECT_EQ(suite_label("AES_GCM_16_256/EXT_SEQ"), "AES256-GCM16/ESN");
  EXPECT_EQ(suite_label("AES_GCM_16_128/NO_EXT_SEQ"), "AES128-GCM16");
  EXPECT_EQ(suite_label("AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048"), "AES256-CBC/SHA256-128/PRFSHA256/MODP2048");
  EXPECT_EQ(suite_label("3DES_CBC/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1024"), "3DES/SHA1-96/PRFSHA1/MODP1024");
  EXPECT_EQ(suite_label("CHACHA20_POLY1305/PRF_HMAC_SHA2_256/CURVE_25519"), "CHACHA20_POLY1305/PRFSHA256/X25519");
  EXPECT_EQ(suite_label(""), "");
}

std::string client_of(std::initializer_list<std::string> ids) {
  std::vector<ByteSpan> spans;
  for (const std::string& id : ids) spans.emplace_back(reinterpret_cast<const std::uint8_t*>(id.data()), id.size());
  return client_label(spans);
}

TEST(VpnLabels, AClientIsKnownByItsVendorIds) {
  const std::string microsoft("\x1e\x2b\x51\x69\x05\x99\x1c\x7d\x7c\x96\xfc\xbf\xb5\x87\xe4\x61", 16);
  const std::string strongswan("\x88\x2f\xe5\x6d\x6f\xd2\x0d\xbc\x22\x51\x61\x3b\x2e\xbe\x5b\xeb", 16);
  EXPECT_EQ(client_of({microsoft + std::string("\0\0\0\x09", 4)}), "Windows 10 or 11");
  EXPECT_EQ(client_of({microsoft + std::string("\0\0\0\x08", 4)}), "Windows 7 to 8.1");
  EXPECT_EQ(client_of({"OE-Libreswan-5.0", strongswan}), "strongSwan");
  EXPECT_EQ(client_of({"OE-Libreswan-5.0"}), "OE-Libreswan-5.0");
  EXPECT_EQ(client_of({microsoft.substr(0, 15)}), "");
  EXPECT_EQ(client_of({std::string("name\n", 5), "abc", std::string(65, 'a')}), "");
  EXPECT_EQ(client_of({}), "");
}

TEST(VpnLabels, TheRealmFollowsTheLastAt) {
  EXPECT_EQ(realm_of("t.suzuki@example.co.jp"), "example.co.jp");
  EXPECT_EQ(realm_of("a@b@c"), "c");
  EXPECT_EQ(realm_of("alice"), "");
}

TEST(VpnExplain, CodesOfPeersAreSaidInWords) {
  EXPECT_EQ(explain("negotiation", "s", "r", {}), "negotiation: s. Remedy: r");
  EXPECT_EQ(explain({}, "s", {}, {}), "s");
  EXPECT_EQ(explain({}, "s", {}, {14, 0}), "s; the client says NO_PROPOSAL_CHOSEN (14)");
  EXPECT_EQ(explain({}, "s", {}, {9999, 0}), "s; the client says notify (9999)");
  EXPECT_EQ(explain({}, "s", {}, {kMicrosoftStatus, 13806}), "s; the client says 13806 (it finds no usable certificate of its own)");
  EXPECT_EQ(explain({}, "s", {}, {kMicrosoftStatus, 5}), "s; the client says 5");
}

Note note() {
  Note out;
  out.user = 7;
  out.up_eid = "0123456789abcdef";
  out.down.set_eid("fedcba9876543210");
  out.down.set_service_code("acm00000001");
  ipc::VpnRecord& record = *out.down.mutable_vpn();
  record.set_event(ipc::VpnRecord::DOWN);
  record.set_vpn_sid(9);
  record.set_gateway("tokyo");
  record.set_user("alice");
  record.set_start_ns(1000);
  return out;
}

std::optional<Note> again(const std::vector<std::uint8_t>& bytes) { return read_note(bytes); }

TEST(VpnNote, WhoFollowsReadsWhatWasLeft) {
  const auto read = again(write_note(note()));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->user, 7U);
  EXPECT_EQ(read->down.SerializeAsString(), note().down.SerializeAsString());
  const ipc::ToEventLog up = up_record(*read);
  EXPECT_EQ(up.eid(), "0123456789abcdef");
  EXPECT_EQ(up.vpn().event(), ipc::VpnRecord::UP);
  EXPECT_EQ(up.vpn().start_ns(), 0U);
  EXPECT_EQ(up.vpn().vpn_sid(), 9U);
}

TEST(VpnNote, TheLongestNamesFitTheDataPlane) {
  Note longest = note();
  ipc::VpnRecord& record = *longest.down.mutable_vpn();
  for (std::string* text : {record.mutable_user(), record.mutable_ike_id(), record.mutable_realm(), record.mutable_certificate_subject(),
                            record.mutable_client(), record.mutable_certificate_serial()}) {
    text->assign(255, 'x');
  }
  record.set_gateway(std::string(192, 'g'));  // 64 characters of three bytes
  record.set_user_group(std::string(192, 'u'));
  record.set_pool(std::string(192, 'p'));
  for (int i = 0; i < 64; ++i) record.add_user_groups(std::string(64, 'g'));
  record.set_ike_suite(std::string(96, 'i'));
  record.set_esp_suite(std::string(96, 'e'));
  const auto bytes = write_note(longest);
  EXPECT_LE(bytes.size(), kNoteBytesMax);
  const auto read = again(bytes);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->down.vpn().gateway(), record.gateway());
  EXPECT_EQ(read->down.vpn().user(), std::string(128, 'x'));
}

TEST(VpnNote, WhatIsNoneIsRefused) {
  EXPECT_FALSE(again({}));
  EXPECT_FALSE(again({0xff, 0xff}));
  Note one = note();
  one.up_eid.pop_back();
  EXPECT_FALSE(again(write_note(one)));
  one = note();
  one.down.clear_vpn();
  one.down.mutable_lost();
  ipc::TunnelNote raw;
  raw.set_up_eid(one.up_eid);
  *raw.mutable_down() = one.down;
  const std::string bytes = raw.SerializeAsString();
  EXPECT_FALSE(again({bytes.begin(), bytes.end()}));
  EXPECT_FALSE(again(std::vector<std::uint8_t>(kNoteBytesMax + 1)));
}

}  // namespace
}  // namespace sekisho::vpn
