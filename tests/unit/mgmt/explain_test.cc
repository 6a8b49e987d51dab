// SPDX-License-Identifier: Apache-2.0
// Goal: what people say of a packet, and captures, become exactly that question or one sentence; answers read well.
// Method: descriptions, hand-made captures, and sekishoctl against a controld that answers as told.
#include "mgmt/cli/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "mgmt/cli/app.h"
#include "mgmt/cli/pcap.h"
#include "tests/unit/mgmt/fakes.h"

namespace sekisho::mgmt::test {
namespace {

using testing::HasSubstr;

ExplainRequest to_server() {
  ExplainRequest out;
  out.port = "office";
  out.from = "10.0.0.34";
  out.to = "10.0.0.2";
  return out;
}

std::string number32(std::uint32_t value, bool big) {
  std::string out;
  for (int i = 0; i < 4; ++i) out.push_back(static_cast<char>(value >> (big ? 24 - 8 * i : 8 * i)));
  return out;
}

/// A capture with one frame of `bytes`, which was `original` bytes long.
std::string pcap_text(bool big, std::uint32_t magic, const std::string& bytes, std::size_t original, std::uint32_t link = 1) {
  std::string out = number32(magic, big) + std::string(16, '\0') + number32(link, big);
  out += number32(1'700'000'000, big) + number32(7, big);
  return out + number32(static_cast<std::uint32_t>(bytes.size()), big) + number32(static_cast<std::uint32_t>(original), big) + bytes;
}

ByteSpan as_bytes(const std::string& text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }

TEST(Explain, DescribedPacketIsASynByDefault) {
  const auto packet = std::get<ipc::DescribedPacket>(describe_packet(to_server()));
  EXPECT_EQ(packet.protocol(), 6U);
  EXPECT_EQ(packet.tcp_flags(), 2U);
  EXPECT_EQ(packet.ttl(), 64U);
  EXPECT_FALSE(packet.has_sequence());
  EXPECT_TRUE(packet.source_mac().empty());
}

TEST(Explain, FlagsNumbersAndMacsAreTakenAsSaid) {
  ExplainRequest request = to_server();
  request.flags = "syn,ack";
  request.sequence = "4294967295";
  request.source_mac = "52:54:00:00:00:33";
  const auto packet = std::get<ipc::DescribedPacket>(describe_packet(request));
  EXPECT_EQ(packet.tcp_flags(), 0x12U);
  EXPECT_EQ(packet.sequence(), 4294967295U);
  EXPECT_EQ(packet.source_mac(), std::string("\x52\x54\0\0\0\x33", 6));
}

TEST(Explain, IcmpOfAnIpv6PacketIsIcmpv6AndAnEchoRequest) {
  ExplainRequest request = to_server();
  request.from = "fd00::1";
  request.to = "fd00::2";
  request.protocol = "icmp";
  const auto packet = std::get<ipc::DescribedPacket>(describe_packet(request));
  EXPECT_EQ(packet.protocol(), 58U);
  EXPECT_EQ(packet.icmp_type(), 128U);
}

TEST(Explain, WhatIsNoPacketIsSaidInASentence) {
  const auto sentence = [](auto change) {
    ExplainRequest request = to_server();
    change(request);
    return std::get<std::string>(describe_packet(request));
  };
  EXPECT_THAT(sentence([](auto& r) { r.from = "10.0.0"; }), HasSubstr("--from is no address"));
  EXPECT_THAT(sentence([](auto& r) { r.to = "fd00::1"; }), HasSubstr("different families"));
  EXPECT_THAT(sentence([](auto& r) { r.protocol = "256"; }), HasSubstr("--protocol"));
  EXPECT_THAT(sentence([](auto& r) { r.flags = "syn,"; }), HasSubstr("--flags"));
  EXPECT_THAT(sentence([](auto& r) { r.sequence = "4294967296"; }), HasSubstr("--seq"));
  EXPECT_THAT(sentence([](auto& r) { r.source_mac = "52:54"; }), HasSubstr("--source-mac"));
}

TEST(Explain, HexadecimalFrames) {
  EXPECT_EQ(std::get<std::string>(bytes_of_hex("00 fF:0a")), std::string("\0\xff\x0a", 3));
  EXPECT_EQ(std::get<std::string_view>(bytes_of_hex("00f")), "half a byte at the end");
  EXPECT_TRUE(std::holds_alternative<std::string_view>(bytes_of_hex("0g")));
  EXPECT_TRUE(std::holds_alternative<std::string_view>(bytes_of_hex("")));
}

TEST(Pcap, BothByteOrdersAndBothClocksAreRead) {
  const std::string frame(60, 'x');
  for (const bool big : {false, true}) {
    for (const bool nano : {false, true}) {
      const std::string file = pcap_text(big, nano ? 0xa1b23c4dU : 0xa1b2c3d4U, frame, 60);
      const auto read = read_pcap(as_bytes(file));
      const auto& pcap = std::get<Pcap>(read);
      ASSERT_EQ(pcap.frames.size(), 1U);
      EXPECT_EQ(pcap.frames[0].bytes.size(), 60U);
      EXPECT_EQ(pcap.frames[0].time_ns, 1'700'000'000'000'000'000U + (nano ? 7U : 7000U));
    }
  }
}

TEST(Pcap, WhatIsNotReadIsNamed) {
  const auto wrong = [](const std::string& file) { return std::get<std::string>(read_pcap(as_bytes(file))); };
  const std::string frame(60, 'x');
  EXPECT_THAT(wrong(number32(0x0a0d0d0a, true) + std::string(40, '\0')), HasSubstr("pcapng"));
  EXPECT_THAT(wrong(pcap_text(false, 0xa1b2c3d4U, frame, 60, 101)), HasSubstr("link type 101"));
  EXPECT_THAT(wrong("GIF89a"), HasSubstr("not a pcap"));
  EXPECT_THAT(wrong(""), HasSubstr("no header"));
  EXPECT_THAT(wrong(pcap_text(false, 0xa1b2c3d4U, frame, 60).substr(0, 90)), HasSubstr("frame 1: the file ends inside"));
  EXPECT_THAT(wrong(pcap_text(false, 0xa1b2c3d4U, frame, 20)), HasSubstr("impossible"));
  EXPECT_THAT(wrong(pcap_text(false, 0xa1b2c3d4U, std::string(9601, 'x'), 9601)), HasSubstr("impossible"));
}

TEST(Pcap, FramesTheCaptureCutAreCountedAndLeftOut) {
  const std::string file = pcap_text(false, 0xa1b2c3d4U, std::string(60, 'x'), 61);
  const auto read = read_pcap(as_bytes(file));
  EXPECT_EQ(std::get<Pcap>(read).cut, 1U);
  EXPECT_TRUE(std::get<Pcap>(read).frames.empty());
}

TEST(Pcap, LimitsAreNamedAndTheLastFrameBelowThemIsRead) {
  const std::string one = pcap_text(false, 0xa1b2c3d4U, std::string(60, 'x'), 60);
  const std::string two = one + one.substr(24);
  EXPECT_TRUE(std::holds_alternative<Pcap>(read_pcap(as_bytes(two), {.frames = 2, .bytes = 120})));
  EXPECT_THAT(std::get<std::string>(read_pcap(as_bytes(two), {.frames = 1})), HasSubstr("more than 1 frames"));
  EXPECT_THAT(std::get<std::string>(read_pcap(as_bytes(two), {.bytes = 119})), HasSubstr("MiB of frames"));
}

/// sekishoctl against a controld that answers as told.
class ExplainTool : public testing::Test {
 protected:
  int run(const std::vector<std::string>& arguments, const FakeControld::Reply& reply) {
    FakeControld controld(folder_.path(), reply);
    return run_sekishoctl(arguments, {.run_dir = folder_.path()}, out_, err_);
  }
  std::string file(const std::string& name, const std::string& text) {
    const std::string path = folder_.path() + "/" + name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  TempDir folder_;
  std::ostringstream out_, err_;
};

ipc::FromControl allowed() {
  ipc::FromControl out;
  auto& result = *out.mutable_explain_result();
  result.set_ok(true);
  auto& said = *result.mutable_explanation();
  said.set_generation(42);
  said.set_verdict("allow");
  said.set_rule("inside/web");
  auto& step = *said.add_steps();
  step.set_stage("decode");
  step.set_result("ok");
  step.set_detail("tcp 10.0.0.34:0 > 10.0.0.2:443 syn, 40 bytes");
  auto& rule = *said.add_steps();
  rule.set_stage("rule");
  rule.set_result("allow");
  rule.set_object("rule inside/web");
  rule.set_detail("number 3");
  rule.set_id("0b000000");
  return out;
}

TEST_F(ExplainTool, PrintsStepsAndVerdict) {
  EXPECT_EQ(run({"explain", "--port", "office", "--from", "10.0.0.34", "--to", "10.0.0.2", "--dport", "443"},
                [](const ipc::ToControl& question, const std::string&, Fd&) {
                  EXPECT_EQ(question.explain_packet().port(), "office");
                  EXPECT_EQ(question.explain_packet().packet().destination_port(), 443U);
                  EXPECT_TRUE(question.explain_packet().candidate_file().empty());
                  return allowed();
                }), 0);
  EXPECT_EQ(out_.str(),
            "STAGE   RESULT  OBJECT           DETAIL                                        ID\n"
            "decode  ok                       tcp 10.0.0.34:0 > 10.0.0.2:443 syn, 40 bytes\n"
            "rule    allow   rule inside/web  number 3                                      0b000000\n"
            "allow by rule inside/web, under revision 42\n");
}

TEST_F(ExplainTool, JsonHasTheSameFacts) {
  EXPECT_EQ(run({"--json", "explain", "--port", "office", "--frame", "00ff"},
                [](const ipc::ToControl& question, const std::string&, Fd&) {
                  EXPECT_EQ(question.explain_packet().frame(), std::string("\0\xff", 2));
                  return allowed();
                }), 0);
  EXPECT_THAT(out_.str(), HasSubstr(R"({"ok":true,"candidate":false,"revision":42,"verdict":"allow","reason":"","rule":"inside/web","steps":[{"stage":"decode")"));
}

TEST_F(ExplainTool, CandidateDocumentTravelsAndItsFindingsAreShown) {
  const std::string site = file("site.yaml", "tenants: oops\n");
  EXPECT_EQ(run({"explain", "--port", "office", "--frame", "00", "--candidate", site},
                [&](const ipc::ToControl& question, const std::string& document, Fd&) {
                  EXPECT_EQ(question.explain_packet().candidate_file(), site);
                  EXPECT_EQ(document, "tenants: oops\n");
                  ipc::FromControl out;
                  auto& finding = *out.mutable_explain_result()->add_findings();
                  finding.set_line(1);
                  finding.set_sentence("not a list");
                  return out;
                }), 1);
  EXPECT_THAT(out_.str(), HasSubstr("not a list"));
  EXPECT_THAT(out_.str(), HasSubstr("refused: the candidate cannot be committed"));
}

TEST_F(ExplainTool, FrameOfACaptureIsTakenByItsNumber) {
  const std::string one = pcap_text(false, 0xa1b2c3d4U, std::string(60, 'x'), 60);
  const std::string capture = file("two.pcap", one + pcap_text(false, 0xa1b2c3d4U, std::string(61, 'y'), 61).substr(24));
  EXPECT_EQ(run({"explain", "--port", "office", "--pcap", capture, "--number", "2"},
                [](const ipc::ToControl& question, const std::string&, Fd&) {
                  EXPECT_EQ(question.explain_packet().frame(), std::string(61, 'y'));
                  return allowed();
                }), 0);
  EXPECT_EQ(run_sekishoctl({"explain", "--port", "office", "--pcap", capture, "--number", "3"}, {.run_dir = folder_.path()}, out_, err_), 1);
  EXPECT_THAT(err_.str(), HasSubstr("no whole frame number 3"));
}

TEST_F(ExplainTool, ReplayThatFindsFlipsHasAStatusOfItsOwn) {
  const std::string capture = file("a.pcap", pcap_text(false, 0xa1b2c3d4U, std::string(60, 'x'), 60));
  const std::string site = file("site.yaml", "{}\n");
  const auto reply = [](std::uint64_t flipped) {
    return [flipped](const ipc::ToControl& question, const std::string& frames, Fd& attach) {
      ipc::CapturedFrames captured;
      EXPECT_TRUE(captured.ParseFromString(frames));
      EXPECT_EQ(captured.frames_size(), 1);
      EXPECT_TRUE(question.has_replay_capture());
      ipc::ReplayReport report;
      report.set_judged(1);
      report.set_flows(1);
      report.set_flipped(flipped);
      if (flipped > 0) {
        auto& flip = *report.add_flips();
        flip.set_flow("udp 10.0.0.34:9 > 10.0.0.2:53, 28 bytes");
        flip.set_packets(3);
        flip.mutable_running()->set_verdict("allow");
        flip.mutable_running()->set_rule("inside/dns");
        flip.mutable_candidate()->set_verdict("drop");
        flip.mutable_candidate()->set_reason("default-deny");
      }
      const std::string bytes = report.SerializeAsString();
      attach = must(make_sealed_blob("report", as_bytes(bytes)));
      ipc::FromControl out;
      out.mutable_replay_result()->set_ok(true);
      out.mutable_replay_result()->set_running(42);
      return out;
    };
  };
  EXPECT_EQ(run({"explain", "--port", "office", "--replay", capture, "--candidate", site}, reply(1)), 4);
  EXPECT_EQ(out_.str(),
            "FLOW                                     PACKETS  RUNNING                 CANDIDATE\n"
            "udp 10.0.0.34:9 > 10.0.0.2:53, 28 bytes  3        allow, rule inside/dns  drop (default-deny)\n"
            "1 flow of 1 would flip against revision 42 (1 frame)\n");
  EXPECT_EQ(run({"explain", "--port", "office", "--replay", capture, "--candidate", site}, reply(0)), 0);
}

TEST_F(ExplainTool, QuestionsThatDoNotFitTogetherAreWrongUsage) {
  const auto usage = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"explain", "--port", "office"});
    return run_sekishoctl(arguments, {.run_dir = folder_.path()}, out_, err_);
  };
  EXPECT_EQ(usage({}), 2);
  EXPECT_EQ(usage({"--from", "10.0.0.1"}), 2);
  EXPECT_EQ(usage({"--from", "10.0.0.1", "--to", "10.0.0.2", "--frame", "00"}), 2);
  EXPECT_EQ(usage({"--replay", "x.pcap"}), 2);
  EXPECT_EQ(usage({"--dport", "443"}), 2);
  EXPECT_EQ(usage({"--from", "10.0.0.1", "--to", "nowhere"}), 2);
}

}  // namespace
}  // namespace sekisho::mgmt::test
