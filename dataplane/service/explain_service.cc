// SPDX-License-Identifier: Apache-2.0
#include "dataplane/service/explain_service.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "base/describe.h"
#include "base/ipc/sealed_blob.h"
#include "base/limits.h"
#include "dataplane/explain/explain.h"
#include "dataplane/explain/replay.h"

namespace sekisho::dataplane {
namespace {

constexpr std::size_t kFramesBytesMax = std::size_t{48} << 20;
constexpr std::chrono::milliseconds kReplayPatience(2000);  // of the control thread: less than anybody waits for a table

void fail(ipc::FromDataplane& answer, const std::string& reason) { answer.mutable_failure()->set_reason(reason); }

/// The policy a question is about, and what keeps it alive.
struct Candidate {
  Slots slots;
  std::unique_ptr<Runtime> runtime;
};

/// Builds the candidate that came as `fd`. False: the answer says why not.
bool build(Engine& engine, Fd fd, std::uint64_t size, Candidate& out, ipc::FromDataplane& answer) {
  const Result<SealedBlob> blob = SealedBlob::open(std::move(fd), limits::kSnapshotBytesMax);
  if (!blob || blob->bytes().size() != size) {
    fail(answer, "the candidate's memory is not sealed, or not of the size it says");
    return false;
  }
  LoadError error;
  out.runtime = engine.build_apart({blob->bytes().begin(), blob->bytes().end()}, out.slots, error);
  if (out.runtime != nullptr) return true;
  answer.mutable_rejected()->set_reason(error.reason);
  answer.mutable_rejected()->set_offset(error.offset);
  return false;
}

bool take_address(const std::string& bytes, Address& out) {
  const auto address = Address::from_wire({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
  if (address) out = *address;
  return address.has_value();
}

bool take_mac(const std::string& bytes, std::optional<Mac>& out) {
  if (bytes.empty()) return true;
  Mac mac;
  if (bytes.size() != mac.bytes.size()) return false;
  std::copy(bytes.begin(), bytes.end(), mac.bytes.begin());
  out = mac;
  return true;
}

/// False when it describes no packet: fields out of range, addresses of two families.
bool take(const ipc::DescribedPacket& from, explain::Description& out) {
  const bool narrow = from.protocol() <= 0xff && from.source_port() <= 0xffff && from.destination_port() <= 0xffff &&
                      from.tcp_flags() <= 0xff && from.icmp_type() <= 0xff && from.icmp_code() <= 0xff &&
                      from.icmp_id() <= 0xffff && from.ttl() <= 0xff && from.payload_bytes() <= 1500;
  if (!narrow || !take_address(from.source(), out.source) || !take_address(from.destination(), out.destination) ||
      out.source.family != out.destination.family || !take_mac(from.source_mac(), out.source_mac) ||
      !take_mac(from.destination_mac(), out.destination_mac)) {
    return false;
  }
  out.protocol = static_cast<std::uint8_t>(from.protocol());
  out.source_port = static_cast<std::uint16_t>(from.source_port());
  out.destination_port = static_cast<std::uint16_t>(from.destination_port());
  out.tcp_flags = static_cast<std::uint8_t>(from.tcp_flags());
  if (from.has_sequence()) out.sequence = from.sequence();
  if (from.has_acknowledgement()) out.acknowledgement = from.acknowledgement();
  out.icmp_type = static_cast<std::uint8_t>(from.icmp_type());
  out.icmp_code = static_cast<std::uint8_t>(from.icmp_code());
  out.icmp_id = static_cast<std::uint16_t>(from.icmp_id());
  out.ttl = static_cast<std::uint8_t>(from.ttl());
  out.payload_bytes = static_cast<std::uint16_t>(from.payload_bytes());
  if (from.has_user()) out.user = from.user();
  return true;
}

/// False, with a failure in the answer, when the question has no packet.
bool take_packet(const ipc::Explain& question, explain::Packet& out, ipc::FromDataplane& answer) {
  if (!question.frame().empty()) {
    // Tags may still be added.
    const bool fits = question.frame().size() + 8 <= explain::PrivateShard::kFrameBytesMax;
    out = std::vector<std::uint8_t>(question.frame().begin(), question.frame().end());
    if (!fits) fail(answer, "a frame of " + std::to_string(question.frame().size()) + " bytes is longer than a packet buffer");
    return fits;
  }
  explain::Description description;
  const bool whole = take(question.packet(), description);
  if (!whole) fail(answer, "the packet's description is not one packet");
  out = description;
  return whole;
}

std::string reason_text(filters::DropReason reason) {
  return reason == filters::DropReason::kNone ? std::string() : std::string(filters::info(reason).name);
}

void fill(const explain::Explanation& from, ipc::Explanation& out) {
  out.set_generation(from.generation);
  out.set_verdict(from.verdict);
  out.set_reason(reason_text(from.reason));
  out.set_rule(from.rule);
  for (const explain::Step& step : from.steps) {
    ipc::ExplainStep& to = *out.add_steps();
    to.set_stage(step.stage);
    to.set_result(step.result);
    to.set_object(step.object);
    to.set_id(step.id);
    to.set_detail(step.detail);
  }
}

void fill(const explain::FlowVerdict& from, ipc::FlowVerdict& out) {
  out.set_verdict(from.verdict);
  out.set_reason(reason_text(from.reason));
  out.set_rule(from.rule);
}

void fill(const explain::ReplayReport& from, ipc::ReplayReport& out) {
  out.set_judged(from.judged);
  out.set_own(from.own);
  out.set_too_long(from.too_long);
  out.set_flows(from.flows);
  out.set_mid_stream(from.mid_stream);
  out.set_flipped(from.flipped);
  for (const explain::FlippedFlow& flow : from.flips) {
    ipc::FlippedFlow& to = *out.add_flips();
    to.set_flow(flow.flow);
    to.set_packets(flow.packets);
    fill(flow.running, *to.mutable_running());
    fill(flow.candidate, *to.mutable_candidate());
  }
}

constexpr const char* kNothingInForce = "nothing is in force: commit a document first";
constexpr const char* kNoSuchPort = "the port is not one of this policy";

}  // namespace

std::size_t explain_fds(const ipc::Explain& question) { return question.candidate_size() != 0 ? 1 : 0; }
std::size_t explain_fds(const ipc::Replay& question) { return question.candidate_size() != 0 ? 2 : 1; }

void answer_explain(Engine& engine, const ipc::Explain& question, IpcMessage& message, ipc::FromDataplane& answer) {
  std::optional<Candidate> candidate;
  if (question.candidate_size() != 0) {
    candidate = Candidate{engine.slots(), nullptr};
    if (!build(engine, std::move(message.fds[0]), question.candidate_size(), *candidate, answer)) return;
  }
  const Runtime* runtime = candidate ? candidate->runtime.get() : engine.runtime();
  if (runtime == nullptr) return fail(answer, kNothingInForce);
  const std::uint32_t port = explain::port_index(*runtime, question.port());
  if (port == kNoIndex) return fail(answer, kNoSuchPort);
  explain::Packet packet;
  if (!take_packet(question, packet, answer)) return;
  const auto* described = std::get_if<explain::Description>(&packet);
  if (described != nullptr && described->user && runtime->ports[port].kind != snapshot::PortKind::kTunnel) {
    return fail(answer, "only what comes in at a port of kind tunnel is a remote user's");
  }
  const auto said = explain::explain(engine, {*runtime, candidate ? candidate->slots : engine.slots()}, packet, port);
  if (!said) return fail(answer, "no memory for an explanation: " + describe(said.error()));
  fill(*said, *answer.mutable_explanation());
}

bool answer_replay(Engine& engine, const ipc::Replay& question, IpcMessage& message, ipc::ReplayReport& report,
                   ipc::FromDataplane& answer) {
  const auto refuse = [&](const std::string& reason) {
    fail(answer, reason);
    return false;
  };
  if (question.candidate_size() == 0) return refuse("a capture is replayed through a candidate");
  if (engine.runtime() == nullptr) return refuse(kNothingInForce);
  const Result<SealedBlob> blob = SealedBlob::open(std::move(message.fds[0]), kFramesBytesMax);
  ipc::CapturedFrames captured;
  if (!blob || blob->bytes().size() != question.frames_size() ||
      !captured.ParseFromArray(blob->bytes().data(), static_cast<int>(blob->bytes().size()))) {
    return refuse("the capture's memory is not sealed, too large, or not of the size it says");
  }
  if (static_cast<std::size_t>(captured.frames_size()) > explain::kReplayFramesMax) {
    return refuse("a capture of more than " + std::to_string(explain::kReplayFramesMax) + " frames is not replayed: cut it");
  }
  Candidate candidate{engine.slots(), nullptr};
  if (!build(engine, std::move(message.fds[1]), question.candidate_size(), candidate, answer)) return false;
  const std::uint32_t now = explain::port_index(*engine.runtime(), question.port());
  const std::uint32_t then = explain::port_index(*candidate.runtime, question.port());
  if (now == kNoIndex || then == kNoIndex) return refuse("the port is not in both policies");

  std::vector<explain::CapturedFrame> frames;
  frames.reserve(static_cast<std::size_t>(captured.frames_size()));
  for (const ipc::CapturedFrame& frame : captured.frames()) {
    frames.push_back({frame.time_ns(), {reinterpret_cast<const std::uint8_t*>(frame.bytes().data()), frame.bytes().size()}});
  }
  const auto done = explain::replay(engine, {*engine.runtime(), engine.slots()}, now, {*candidate.runtime, candidate.slots}, then,
                                    frames, kReplayPatience);
  if (!done) return refuse("no memory for a replay: " + describe(done.error()));
  if (done->out_of_time) {
    return refuse("only " + std::to_string(done->judged) + " of " + std::to_string(frames.size()) +
                  " frames could be judged in the time a replay may take: cut the capture");
  }
  fill(*done, report);
  return true;
}

}  // namespace sekisho::dataplane
