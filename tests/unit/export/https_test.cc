// SPDX-License-Identifier: Apache-2.0
// Goal: a collector's reply is read under limits, whatever it is and however it is cut.
// Method: replies in pieces of every size.
#include "mgmt/export/https.h"

#include <gtest/gtest.h>
#include <zlib.h>

namespace sekisho::mgmt {
namespace {

const std::string kReply = "HTTP/1.1 503 Busy\r\nRetry-After: 17\r\nContent-Length: 5\r\n\r\nhello";

TEST(ExportReply, IsTheSameHoweverItIsCut) {
  for (std::size_t cut = 1; cut < kReply.size(); ++cut) {
    HttpReply reply;
    ASSERT_TRUE(reply.put(kReply.substr(0, cut))) << cut;
    EXPECT_FALSE(reply.whole()) << cut;
    ASSERT_TRUE(reply.put(kReply.substr(cut))) << cut;
    ASSERT_TRUE(reply.whole()) << cut;
    EXPECT_EQ(reply.status(), 503U);
    EXPECT_EQ(reply.retry_after(), 17U);
    EXPECT_TRUE(reply.keeps_open());
  }
}

TEST(ExportReply, ComesInOneByteAtATime) {
  HttpReply reply;
  for (const char c : kReply) ASSERT_TRUE(reply.put(std::string_view(&c, 1)));
  EXPECT_TRUE(reply.whole());
}

TEST(ExportReply, IsNotWholeWhenTheConnectionEndsInsideIt) {
  HttpReply reply;
  ASSERT_TRUE(reply.put(kReply.substr(0, kReply.size() - 1)));
  EXPECT_FALSE(reply.put_end());
}

TEST(ExportReply, IsNoneWhenTheConnectionEndsBeforeIt) {
  HttpReply reply;
  EXPECT_FALSE(reply.put_end());
}

TEST(ExportReply, MayEndWithTheConnection) {
  HttpReply reply;
  ASSERT_TRUE(reply.put("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok"));
  EXPECT_FALSE(reply.whole());
  ASSERT_TRUE(reply.put_end());
  EXPECT_EQ(reply.status(), 200U);
  EXPECT_FALSE(reply.keeps_open());
}

TEST(ExportReply, MayBeChunkedAndMayBeEmpty) {
  HttpReply chunked;
  ASSERT_TRUE(chunked.put("HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"));
  EXPECT_TRUE(chunked.whole());
  HttpReply empty;
  ASSERT_TRUE(empty.put("HTTP/1.1 204 No Content\r\n\r\n"));
  EXPECT_TRUE(empty.whole());
}

TEST(ExportReply, IsRefusedWhenItIsNoneOrTooLong) {
  HttpReply none, head, body, more;
  EXPECT_FALSE(none.put("SSH-2.0-OpenSSH_9.2\r\n\r\n"));
  EXPECT_FALSE(head.put("HTTP/1.1 200 OK\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n"));
  EXPECT_FALSE(body.put("HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n"));
  EXPECT_FALSE(more.put(kReply + "HTTP/1.1 200 OK\r\n\r\n"));
}

TEST(ExportReply, AsksForNoMoreThanAnHour) {
  const auto after = [](const std::string& text) {
    HttpReply reply;
    EXPECT_TRUE(reply.put("HTTP/1.1 429 Slow\r\nRetry-After: " + text + "\r\nContent-Length: 0\r\n\r\n"));
    return reply.retry_after();
  };
  EXPECT_EQ(after("3601"), 3600U);
  EXPECT_EQ(after("3600"), 3600U);
  EXPECT_EQ(after("99999999999"), 0U);
  EXPECT_EQ(after("Fri, 31 Dec 1999 23:59:59 GMT"), 0U);
}

TEST(ExportPost, IsAPostOfGzip) {
  const std::string text(100'000, 'x');
  const std::string packed = gzip(text);
  EXPECT_LT(packed.size(), 1000U);
  std::string out(text.size() + 1, '\0');
  z_stream stream{};
  ASSERT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  std::string in = packed;
  stream.next_in = reinterpret_cast<Bytef*>(in.data()), stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data()), stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  EXPECT_EQ(out.substr(0, stream.total_out), text);
  inflateEnd(&stream);
  const std::string head = post_head("logs.example", "/in?x=1", "secret-token-of-16", 12);
  EXPECT_TRUE(head.starts_with("POST /in?x=1 HTTP/1.1\r\nHost: logs.example\r\n"));
  EXPECT_NE(head.find("\r\nContent-Length: 12\r\n"), std::string::npos);
  EXPECT_TRUE(head.ends_with("\r\nAuthorization: Bearer secret-token-of-16\r\n\r\n"));
  EXPECT_EQ(post_head("h", "/", "", 1).find("Authorization"), std::string::npos);
}

}  // namespace
}  // namespace sekisho::mgmt
