// SPDX-License-Identifier: Apache-2.0
#include "vpn/sstp/http.h"

#include <gtest/gtest.h>

namespace sekisho::vpn::sstp {
namespace {

using State = Greeting::State;

Greeting read(std::string_view text) { return read_greeting({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}); }

constexpr std::string_view kWindows =
    "SSTP_DUPLEX_POST /sra_{BA195980-CD49-458b-9E23-C84EE0ADCD75}/ HTTP/1.1\r\n"
    "SSTPCORRELATIONID: {62DFA5C0-E2E0-FD50-D286B00D6B6A}\r\n"
    "Content-Length: 18446744073709551615\r\n"
    "Host: gw.acme.test\r\n\r\n";
constexpr std::string_view kLinux =
    "SSTP_DUPLEX_POST /sra_{BA195980-CD49-458b-9E23-C84EE0ADCD75}/ HTTP/1.1\r\n"
    "Host: 203.0.113.21\r\n"
    "SSTPCORRELATIONID: {f1b2}\r\n"
    "Content-Length: 18446744073709551615\r\n\r\n";

TEST(SstpGreeting, IsReadAsClientsSendItAndWaitedForAtEveryByte) {
  for (const std::string_view text : {kWindows, kLinux}) {
    for (std::size_t size = 0; size < text.size(); ++size) EXPECT_EQ(read(text.substr(0, size)).state, State::kMore) << size;
    const Greeting greeting = read(text);
    EXPECT_EQ(greeting.state, State::kSstp);
    EXPECT_EQ(greeting.bytes, text.size());
  }
  EXPECT_EQ(read(kWindows).host, "gw.acme.test");
  EXPECT_EQ(read(kWindows).correlation, "62DFA5C0-E2E0-FD50-D286B00D6B6A");
}

TEST(SstpGreeting, LeavesTheFirstPacketAlone) {
  const std::string both = std::string(kLinux) + "\x10\x01";
  EXPECT_EQ(read(both).bytes, kLinux.size());
}

TEST(SstpGreeting, KnowsTheTenantIdAndAnyCaseOfThePath) {
  const Greeting named = read("SSTP_DUPLEX_POST /SRA_{ba195980-cd49-458b-9e23-c84ee0adcd75}/?x=1&tenantid=acme&y HTTP/1.1\r\n\r\n");
  EXPECT_EQ(named.state, State::kSstp);
  EXPECT_EQ(named.tenant_id, "acme");
  EXPECT_EQ(read("SSTP_DUPLEX_POST /sra_{BA195980-CD49-458b-9E23-C84EE0ADCD75}/?tenantid= HTTP/1.1\r\n\r\n").tenant_id, "");
}

TEST(SstpGreeting, OthersAreAnsweredPolitely) {
  EXPECT_EQ(read("GET / HTTP/1.1\r\nHost: x\r\n\r\n").state, State::kOther);
  EXPECT_EQ(read("SSTP_DUPLEX_POST /else/ HTTP/1.1\r\n\r\n").state, State::kOther);
  EXPECT_EQ(read("POST /sra_{BA195980-CD49-458b-9E23-C84EE0ADCD75}/ HTTP/1.1\r\n\r\n").state, State::kOther);
  EXPECT_NE(polite_answer("GET").find("404"), std::string::npos);
  EXPECT_TRUE(polite_answer("HEAD").ends_with("\r\n\r\n"));
  EXPECT_NE(polite_answer("DELETE").find("405"), std::string::npos);
}

TEST(SstpGreeting, WhatIsNoRequestIsBadAndNothingIsReadForEver) {
  EXPECT_EQ(read("\x16\x03\x01").state, State::kBad);
  EXPECT_EQ(read("GET /\r\n\r\n").state, State::kBad);
  EXPECT_EQ(read(" / HTTP/1.1\r\n\r\n").state, State::kBad);
  EXPECT_EQ(read("GET / HTTP/1.1\r\nno colon\r\n\r\n").state, State::kBad);
  EXPECT_EQ(read("GET / HTTP/2\r\n\r\n").state, State::kBad);
  EXPECT_EQ(read(std::string(kRequestBytesMax - 1, 'A')).state, State::kMore);
  EXPECT_EQ(read(std::string(kRequestBytesMax, 'A')).state, State::kBad);
}

TEST(SstpGreeting, WhatIsKeptIsPrintableAndShort) {
  const Greeting greeting = read("GET / HTTP/1.1\r\nHost: a\x01\xff" + std::string(500, 'b') + "\r\n\r\n");
  EXPECT_EQ(greeting.host, "a" + std::string(125, 'b'));
}

TEST(SstpGreeting, ItsAnswerEndsWithALineAlone) { EXPECT_TRUE(accept_answer().ends_with("18446744073709551615\r\nServer: Microsoft-HTTPAPI/2.0\r\n\r\n")); }

}  // namespace
}  // namespace sekisho::vpn::sstp
