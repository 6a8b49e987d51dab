// SPDX-License-Identifier: Apache-2.0
#include "mgmt/cli/explain.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ostream>

#include "base/limits.h"
#include "base/net/address.h"
#include "mgmt/cli/answer.h"
#include "mgmt/cli/pcap.h"

namespace sekisho::mgmt {
namespace {

constexpr std::array<std::string_view, 8> kFlagNames{"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"};
constexpr std::uint32_t kIcmp = 1, kTcp = 6, kUdp = 17, kIcmpv6 = 58;

bool take_number(const std::string& text, std::uint32_t& out) {
  const char* end = text.data() + text.size();
  const auto [stop, status] = std::from_chars(text.data(), end, out);
  return status == std::errc{} && stop == end;
}

bool take_protocol(const std::string& text, std::uint32_t& out) {
  if (text == "tcp") return out = kTcp, true;
  if (text == "udp") return out = kUdp, true;
  if (text == "icmp") return out = kIcmp, true;
  if (text == "icmpv6") return out = kIcmpv6, true;
  return take_number(text, out) && out <= 255;
}

/// "syn,ack"
bool take_flags(const std::string& text, std::uint32_t& out) {
  out = 0;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const auto* name = std::find(kFlagNames.begin(), kFlagNames.end(), std::string_view(text).substr(begin, end - begin));
    if (name == kFlagNames.end()) return false;
    out |= 1U << (name - kFlagNames.begin());
    begin = end + 1;
  }
  return true;
}

bool take_mac(const std::string& text, std::string& out) {
  if (text.empty()) return true;
  const auto mac = parse_mac(text);
  if (mac) out.assign(mac->bytes.begin(), mac->bytes.end());
  return mac.has_value();
}

bool take_optional(const std::string& text, void (ipc::DescribedPacket::*set)(std::uint32_t), ipc::DescribedPacket& out) {
  std::uint32_t number = 0;
  if (text.empty()) return true;
  if (!take_number(text, number)) return false;
  (out.*set)(number);
  return true;
}

std::string bytes(const Address& address) { return {address.wire().begin(), address.wire().end()}; }

/// The frame a question is about; empty when it is described in words.
std::variant<std::string, ControlError> take_frame(const ExplainRequest& request) {
  if (!request.frame.empty()) {
    auto hex = bytes_of_hex(request.frame);
    if (const auto* wrong = std::get_if<std::string_view>(&hex)) return ControlError{false, "--frame: " + std::string(*wrong)};
    return std::get<std::string>(hex);
  }
  if (request.pcap.empty()) return std::string();
  auto file = read_document(request.pcap);
  if (const auto* error = std::get_if<ControlError>(&file)) return *error;
  const auto& text = std::get<std::string>(file);
  const auto read = read_pcap({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  if (const auto* wrong = std::get_if<std::string>(&read)) return ControlError{false, request.pcap + ": " + *wrong};
  const auto& frames = std::get<Pcap>(read).frames;
  if (request.number == 0 || request.number > frames.size()) {
    return ControlError{false, request.pcap + " has no whole frame number " + std::to_string(request.number)};
  }
  const ByteSpan frame = frames[request.number - 1].bytes;
  return std::string(frame.begin(), frame.end());
}

ExitStatus replay_capture(Session& session, const ExplainRequest& request) {
  auto file = read_document(request.replay);
  if (const auto* error = std::get_if<ControlError>(&file)) return fail(session, *error);
  const auto& text = std::get<std::string>(file);
  const auto read = read_pcap({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  if (const auto* wrong = std::get_if<std::string>(&read)) return fail(session, {false, request.replay + ": " + *wrong});
  const auto& capture = std::get<Pcap>(read);
  const auto candidate = read_document(request.candidate);
  if (const auto* error = std::get_if<ControlError>(&candidate)) return fail(session, *error);
  ipc::CapturedFrames frames;
  for (const PcapFrame& frame : capture.frames) {
    auto& to = *frames.add_frames();
    to.set_time_ns(frame.time_ns);
    to.set_bytes(frame.bytes.data(), frame.bytes.size());
  }
  ipc::ToControl question;
  auto& replay = *question.mutable_replay_capture();
  replay.set_tenant(request.tenant);
  replay.set_port(request.port);
  replay.set_candidate_file(request.candidate);
  const std::string packed = frames.SerializeAsString();
  const std::array<const std::string*, 2> blobs{&packed, &std::get<std::string>(candidate)};
  auto asked = ask_control(session.run_dir, std::move(question), blobs);
  if (const auto* error = std::get_if<ControlError>(&asked)) return fail(session, *error);
  auto& answer = std::get<ControlAnswer>(asked);
  if (!answer.message.has_replay_result()) return unexpected(session);
  const ipc::ReplayResult& result = answer.message.replay_result();
  ipc::ReplayReport report;
  if (result.ok()) {
    auto blob = take_blob(answer);
    if (const auto* error = std::get_if<ControlError>(&blob)) return fail(session, *error);
    if (!report.ParseFromString(std::get<std::string>(blob))) return unexpected(session);
  }
  session.out << (session.json ? render_json(result, report, capture.cut) : render(result, report, capture.cut, session.colour));
  if (!result.ok()) return ExitStatus::kRefused;
  return report.flipped() > 0 ? ExitStatus::kFlips : ExitStatus::kOk;
}

}  // namespace

std::variant<std::string, std::string_view> bytes_of_hex(const std::string& text) {
  std::string out;
  int high = -1;
  for (const char c : text) {
    if (c == ' ' || c == ':' || c == '\n') continue;
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (digit < 0) return std::string_view("a frame is written in hexadecimal digits");
    if (high < 0) {
      high = digit;
    } else {
      out.push_back(static_cast<char>(high << 4 | digit));
      high = -1;
    }
  }
  if (high >= 0) return std::string_view("half a byte at the end");
  if (out.empty() || out.size() > limits::kFrameBytesMax) return std::string_view("a frame has 1 to 9600 bytes");
  return out;
}

std::variant<ipc::DescribedPacket, std::string> describe_packet(const ExplainRequest& request) {
  ipc::DescribedPacket out;
  const auto source = parse_address(request.from);
  const auto destination = parse_address(request.to);
  if (!source) return "--from is no address: " + request.from;
  if (!destination) return "--to is no address: " + request.to;
  if (source->family != destination->family) return "--from and --to are of different families";
  std::uint32_t protocol = 0;
  if (!take_protocol(request.protocol, protocol)) return "--protocol is none of tcp, udp, icmp, icmpv6, 0..255: " + request.protocol;
  const bool v6 = source->family == Family::kIpv6;
  if (protocol == kIcmp && v6) protocol = kIcmpv6;
  out.set_source(bytes(*source));
  out.set_destination(bytes(*destination));
  out.set_protocol(protocol);
  out.set_source_port(request.source_port);
  out.set_destination_port(request.destination_port);
  std::uint32_t flags = 0;
  if (protocol == kTcp && !take_flags(request.flags.empty() ? "syn" : request.flags, flags)) {
    return "--flags are fin, syn, rst, psh, ack, urg, ece, cwr, separated by commas: " + request.flags;
  }
  out.set_tcp_flags(flags);
  if (!take_optional(request.sequence, &ipc::DescribedPacket::set_sequence, out)) return "--seq is no number: " + request.sequence;
  if (!take_optional(request.acknowledgement, &ipc::DescribedPacket::set_acknowledgement, out)) {
    return "--ack is no number: " + request.acknowledgement;
  }
  out.set_icmp_type(request.icmp_said ? request.icmp_type : v6 ? 128 : 8);  // an echo request
  out.set_icmp_code(request.icmp_code);
  out.set_icmp_id(request.icmp_id);
  out.set_ttl(request.ttl);
  out.set_payload_bytes(request.payload);
  if (!take_mac(request.source_mac, *out.mutable_source_mac())) return "--source-mac is no MAC: " + request.source_mac;
  if (!take_mac(request.destination_mac, *out.mutable_destination_mac())) return "--destination-mac is no MAC: " + request.destination_mac;
  return out;
}

ExitStatus explain_packet(Session& session, const ExplainRequest& request) {
  if (!request.replay.empty()) return replay_capture(session, request);
  ipc::ToControl question;
  auto& explain = *question.mutable_explain_packet();
  explain.set_tenant(request.tenant);
  explain.set_port(request.port);
  explain.set_candidate_file(request.candidate);
  explain.set_user(request.user);
  auto frame = take_frame(request);
  if (const auto* error = std::get_if<ControlError>(&frame)) return fail(session, *error);
  explain.set_frame(std::move(std::get<std::string>(frame)));
  if (explain.frame().empty()) {
    auto described = describe_packet(request);
    if (const auto* wrong = std::get_if<std::string>(&described)) {
      fail(session, {false, *wrong});
      return ExitStatus::kUsage;
    }
    *explain.mutable_packet() = std::move(std::get<ipc::DescribedPacket>(described));
  }
  std::variant<std::string, ControlError> candidate;
  if (!request.candidate.empty()) candidate = read_document(request.candidate);
  if (const auto* error = std::get_if<ControlError>(&candidate)) return fail(session, *error);
  const std::array<const std::string*, 1> blobs{&std::get<std::string>(candidate)};
  const auto asked = ask_control(session.run_dir, std::move(question),
                                 std::span(blobs).first(request.candidate.empty() ? 0 : 1));
  if (const auto* error = std::get_if<ControlError>(&asked)) return fail(session, *error);
  const auto& answer = std::get<ControlAnswer>(asked).message;
  return answer.has_explain_result() ? print(session, answer.explain_result()) : unexpected(session);
}

}  // namespace sekisho::mgmt
