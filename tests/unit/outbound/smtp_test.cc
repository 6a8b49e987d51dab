// SPDX-License-Identifier: Apache-2.0
#include "mgmt/outbound/smtp.h"

#include <gtest/gtest.h>

#include "mgmt/outbound/target.h"

namespace sekisho::mgmt {
namespace {

using Next = SmtpDialogue::Next;

SmtpMail mail(std::vector<std::string> recipients = {"a@x.example"}, std::string user = "") {
  return {"from@y.example", std::move(recipients), std::move(user), "secret", "Subject: s\r\n\r\n.hidden\r\nend\r\n"};
}

/// What the client says to each line of the server; "-" reads on, "TLS" begins it, "END".
std::string said(SmtpDialogue& dialogue, const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& line : lines) {
    const Next next = line == "TLS" ? dialogue.tls_began() : dialogue.take(line);
    out += next == Next::kRead ? "-" : next == Next::kStartTls ? "TLS" : next == Next::kEnd ? "END" : dialogue.to_send();
    out += '|';
  }
  return out;
}

TEST(Smtp, SendsOneMailToThoseWhoAreAcceptedAndStuffsItsDots) {
  SmtpDialogue dialogue(mail({"a@x.example", "b@x.example", "c@x.example"}), "us", false);
  EXPECT_EQ(said(dialogue, {"220 hello", "250-me", "250 8BITMIME", "250 ok", "250 ok", "550 no", "251 ok", "354 go", "250 taken"}),
            "EHLO us\r\n|-|MAIL FROM:<from@y.example>\r\n|RCPT TO:<a@x.example>\r\n|RCPT TO:<b@x.example>\r\n|RCPT TO:<c@x.example>\r\n|DATA\r\n|"
            "Subject: s\r\n\r\n..hidden\r\nend\r\n.\r\n|END|");
  EXPECT_TRUE(dialogue.outcome().ok);
  EXPECT_EQ(dialogue.outcome().detail, "2 of 3 receivers: 250 taken");
}

TEST(Smtp, SaysNothingSecretAndNothingOfTheMailBeforeTls) {
  SmtpDialogue dialogue(mail({"a@x.example"}, "user"), "us", true);
  EXPECT_EQ(said(dialogue, {"220 hello", "250-me", "250-AUTH PLAIN", "250 STARTTLS", "220 go", "TLS", "250-me", "250 AUTH LOGIN PLAIN"}),
            "EHLO us\r\n|-|-|STARTTLS\r\n|TLS|EHLO us\r\n|-|AUTH PLAIN AHVzZXIAc2VjcmV0\r\n|");
  SmtpDialogue stripped(mail({"a@x.example"}, "user"), "us", true);
  EXPECT_EQ(said(stripped, {"220 hello", "250 AUTH PLAIN"}), "EHLO us\r\n|END|") << "somebody has taken STARTTLS out";
  EXPECT_FALSE(stripped.outcome().ok);
  EXPECT_FALSE(stripped.outcome().permanent);
  SmtpDialogue forgotten(mail({"a@x.example"}, "user"), "us", true);
  EXPECT_EQ(said(forgotten, {"220 hello", "250-AUTH PLAIN", "250 STARTTLS", "220 go", "TLS", "250 me"}),
            "EHLO us\r\n|-|STARTTLS\r\n|TLS|EHLO us\r\n|END|")
      << "what was offered in clear does not count";
}

TEST(Smtp, TellsARefusalForNowFromOneForGood) {
  struct Case {
    std::vector<std::string> lines;
    bool permanent;
  };
  for (const Case& one : std::vector<Case>{{{"554 no"}, false},
                                           {{"220 x", "502 no"}, false},
                                           {{"220 x", "250 x", "451 later"}, false},
                                           {{"220 x", "250 x", "550 no"}, true},
                                           {{"220 x", "250 x", "250 x", "450 later"}, false},
                                           {{"220 x", "250 x", "250 x", "550 no"}, true},
                                           {{"220 x", "250 x", "250 x", "421 leaving"}, false},
                                           {{"220 x", "250 x", "250 x", "250 x", "354 x", "452 full"}, false},
                                           {{"220 x", "250 x", "250 x", "250 x", "354 x", "554 spam"}, true}}) {
    SmtpDialogue dialogue(mail(), "us", false);
    EXPECT_TRUE(said(dialogue, one.lines).ends_with("END|")) << one.lines.back();
    EXPECT_FALSE(dialogue.outcome().ok);
    EXPECT_EQ(dialogue.outcome().permanent, one.permanent) << one.lines.back();
  }
}

TEST(Smtp, EndsWithAnythingThatIsNoAnswer) {
  for (const std::string& line : {std::string(), std::string("22"), std::string("2x0 hi"), std::string("220_hi"), std::string("HTTP/1.1 400"),
                                  "220 " + std::string(SmtpDialogue::kLineBytesMax, 'x')}) {
    SmtpDialogue dialogue(mail(), "us", false);
    EXPECT_EQ(said(dialogue, {line}), "END|");
  }
  SmtpDialogue endless(mail(), "us", false);
  std::string out;
  for (int i = 0; i <= SmtpDialogue::kLinesOfReplyMax; ++i) out = said(endless, {"220-more"});
  EXPECT_EQ(out, "END|");
  SmtpDialogue mixed(mail(), "us", false);
  EXPECT_EQ(said(mixed, {"220-a", "250 b"}), "-|END|");
}

TEST(Smtp, StuffsDotsAtTheBeginningOfEachLine) {
  EXPECT_EQ(dot_stuffed(""), ".\r\n");
  EXPECT_EQ(dot_stuffed("."), "..\r\n.\r\n");
  EXPECT_EQ(dot_stuffed("a.b\r\n.\r\n..c\r\n"), "a.b\r\n..\r\n...c\r\n.\r\n");
}

TEST(HttpsTarget, IsHostPortAndPathAndNothingElse) {
  const auto whole = parse_https("https://hook.example:8443/a/b?c=d");
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->host, "hook.example");
  EXPECT_EQ(whole->port, 8443);
  EXPECT_EQ(whole->path, "/a/b?c=d");
  EXPECT_EQ(whole->host_header, "hook.example:8443");
  EXPECT_EQ(parse_https("https://x")->path, "/");
  EXPECT_EQ(parse_https("https://x?y")->path, "/?y");
  EXPECT_EQ(parse_https("https://x")->port, 443);
  EXPECT_EQ(parse_http("http://x")->port, 80);
  EXPECT_EQ(parse_http("http://x:8080/a")->port, 8080);
  EXPECT_FALSE(parse_http("https://x"));
  EXPECT_FALSE(parse_https("http://x"));
  EXPECT_EQ(parse_https("https://[2001:db8::1]:1/")->host, "2001:db8::1");
  for (const char* bad : {"http://x", "https://", "https:///x", "https://u@x/", "https://x:0/", "https://x:65536/", "https://x:/", "https://x:1a/",
                          "https://x/ y", "https://x/\r\nHost: y", "https://[::1", "https://[x]/", "https://x/#y", "https://[::1]8/", "https://a b/"}) {
    EXPECT_FALSE(parse_https(bad)) << bad;
  }
}

}  // namespace
}  // namespace sekisho::mgmt
