// SPDX-License-Identifier: Apache-2.0
#include "control/links/explain_service.h"

#include <sys/stat.h>

#include "base/describe.h"
#include "base/ipc/sealed_blob.h"
#include "control/compile/compiler.h"
#include "control/config/codec.h"
#include "control/config/validate.h"
#include "control/links/answer.h"

namespace sekisho::control {
namespace {

using namespace std::chrono_literals;

constexpr auto kDeadline = 60s;  // a candidate is built like a commit

/// A document as it would be committed, without being so.
struct Candidate {
  std::vector<Finding> findings;
  std::vector<std::uint8_t> snapshot;  ///< empty with errors
  ipc::NameTable names;
  Ids ids;  ///< with those of what only it has
};

Candidate compile_candidate(Fd document, Ids ids, std::uint32_t running, std::int64_t now) {
  Candidate out;
  const auto blob = SealedBlob::open(std::move(document), limits::kDocumentBytesMax);
  if (!blob) {
    out.findings.push_back({Severity::kError, "", 0, 0, "the document cannot be taken: " + describe(blob.error())});
    return out;
  }
  const Decoded decoded = decode_document({reinterpret_cast<const char*>(blob->bytes().data()), blob->bytes().size()});
  out.findings = validate(decoded);
  if (has_errors(out.findings)) return out;
  Compiled compiled = compile(decoded.model, decoded.positions, ids, running + 1, now);
  out.findings.insert(out.findings.end(), compiled.findings.begin(), compiled.findings.end());
  if (has_errors(out.findings)) return out;
  out.snapshot = std::move(compiled.snapshot);
  out.names = make_name_table(decoded.model, ids, running + 1);
  out.ids = std::move(ids);
  return out;
}

/// The PortId of a tenant's port or an uplink, or a sentence that says why there is none.
std::uint32_t find_port(const ipc::NameTable& names, const std::string& tenant, const std::string& port, std::string& error) {
  std::vector<std::uint32_t> found;
  const auto of_tenant = [&](std::uint32_t id) {
    for (const auto& one : names.tenants()) {
      if (one.id() == id) return tenant.empty() || one.service_code() == tenant || one.name() == tenant;
    }
    return tenant.empty();  // an uplink's
  };
  for (const auto& one : names.ports()) {
    if (one.name() == port && of_tenant(one.tenant())) found.push_back(one.id());
  }
  if (found.size() == 1) return found.front();
  const std::string whose = tenant.empty() ? "" : " of tenant \"" + tenant + '"';
  error = found.empty() ? "there is no port \"" + port + '"' + whose : "several tenants have a port \"" + port + "\": say which";
  return 0;
}

/// The UserId of a user of the tenant whose port it is; 0: there is none.
std::uint32_t find_user(const ipc::NameTable& names, const Ids& ids, std::uint32_t port, const std::string& user) {
  for (const auto& one : names.ports()) {
    if (one.id() != port) continue;
    for (const auto& tenant : names.tenants()) {
      if (tenant.id() == one.tenant()) return ids.find(IdKind::kUser, user_key(tenant.service_code(), user));
    }
  }
  return 0;
}

std::string reason_of(const DataplaneLink::Reply& reply) {
  if (!reply.error.empty()) return reply.error;
  if (reply.message.has_failure()) return reply.message.failure().reason();
  if (reply.message.has_rejected()) return "the data plane would reject it: " + reply.message.rejected().reason();
  return "the data plane answered something else";
}

constexpr const char* kBusy = "another packet is being explained: try again";
constexpr const char* kNothingRuns = "no revision is running: commit a document first";

}  // namespace

void ExplainService::ask(ipc::ToDataplane question, std::vector<Fd> fds, DataplaneLink::OnReply on_reply) {
  busy_ = true;
  dataplane_.ask(
      std::move(question), kDeadline,
      [this, on_reply = std::move(on_reply)](const DataplaneLink::Reply& reply) {
        busy_ = false;
        on_reply(reply);
      },
      fds);
}

void ExplainService::explain(ControlRequest request, const ipc::NameTable* running, ControlServer::Reply reply) {
  const ipc::ExplainPacket& question = request.message.explain_packet();
  const bool apart = !question.candidate_file().empty();
  if (busy_) return reply(failure(kBusy));
  if (request.fds.size() != (apart ? 1U : 0U)) return reply(failure("a candidate comes as one descriptor"));
  if (running == nullptr && !apart) return reply(failure(kNothingRuns));

  ControlAnswer out;
  ipc::ExplainResult& body = *out.message.mutable_explain_result();
  body.set_candidate(apart);
  Candidate candidate;
  std::vector<Fd> fds;
  ipc::ToDataplane asked;
  ipc::Explain& explain = *asked.mutable_explain();
  if (apart) {
    const std::uint32_t revision = running == nullptr ? 0 : running->generation();
    candidate = compile_candidate(std::move(request.fds[0]), ids_, revision, now_());
    add_findings(*body.mutable_findings(), candidate.findings, question.candidate_file());
    if (candidate.snapshot.empty()) return reply(std::move(out));
    auto blob = make_sealed_blob("sekisho-candidate", candidate.snapshot);
    if (!blob) return reply(failure("the candidate cannot be handed over: " + describe(blob.error())));
    explain.set_candidate_size(candidate.snapshot.size());
    fds.push_back(std::move(*blob));
  }
  std::string error;
  explain.set_port(find_port(apart ? candidate.names : *running, question.tenant(), question.port(), error));
  if (!error.empty()) return reply(failure(error));
  if (question.frame().empty()) {
    *explain.mutable_packet() = question.packet();
    if (!question.user().empty()) {
      const ipc::NameTable& names = apart ? candidate.names : *running;
      const std::uint32_t user = find_user(names, apart ? candidate.ids : ids_, explain.port(), question.user());
      if (user == 0) return reply(failure("the port's tenant has no user \"" + question.user() + '"'));
      explain.mutable_packet()->set_user(user);
    }
  } else {
    explain.set_frame(question.frame());
  }
  ask(std::move(asked), std::move(fds), [reply = std::move(reply), result = body](const DataplaneLink::Reply& answered) {
    ControlAnswer said;
    ipc::ExplainResult& filled = *said.message.mutable_explain_result();
    filled = result;
    filled.set_ok(answered.error.empty() && answered.message.has_explanation());
    if (filled.ok()) {
      *filled.mutable_explanation() = answered.message.explanation();
    } else {
      filled.set_error(reason_of(answered));
    }
    reply(std::move(said));
  });
}

void ExplainService::replay(ControlRequest request, const ipc::NameTable* running, ControlServer::Reply reply) {
  const ipc::ReplayCapture& question = request.message.replay_capture();
  if (busy_) return reply(failure(kBusy));
  if (request.fds.size() != 2) return reply(failure("a capture and a candidate come as two descriptors"));
  if (running == nullptr) return reply(failure(kNothingRuns));

  ControlAnswer out;
  ipc::ReplayResult& body = *out.message.mutable_replay_result();
  body.set_running(running->generation());
  const Candidate candidate = compile_candidate(std::move(request.fds[1]), ids_, running->generation(), now_());
  add_findings(*body.mutable_findings(), candidate.findings, question.candidate_file());
  if (candidate.snapshot.empty()) return reply(std::move(out));
  struct stat status {};
  auto blob = make_sealed_blob("sekisho-candidate", candidate.snapshot);
  if (!blob || fstat(request.fds[0].get(), &status) != 0) return reply(failure("the candidate cannot be handed over"));

  ipc::ToDataplane asked;
  ipc::Replay& replay = *asked.mutable_replay();
  std::string error;
  replay.set_port(find_port(*running, question.tenant(), question.port(), error));
  if (!error.empty()) return reply(failure(error));
  replay.set_frames_size(static_cast<std::uint64_t>(status.st_size));
  replay.set_candidate_size(candidate.snapshot.size());
  std::vector<Fd> fds;
  fds.push_back(std::move(request.fds[0]));
  fds.push_back(std::move(*blob));
  ask(std::move(asked), std::move(fds), [reply = std::move(reply), result = body](const DataplaneLink::Reply& answered) {
    ControlAnswer said;
    ipc::ReplayResult& filled = *said.message.mutable_replay_result();
    filled = result;
    filled.set_ok(answered.error.empty() && answered.message.has_bulk());
    if (!filled.ok()) filled.set_error(reason_of(answered));
    if (filled.ok()) {
      auto report = make_sealed_blob("sekisho-report", as_bytes(answered.bulk));
      if (!report) return reply(failure("the report cannot be handed over: " + describe(report.error())));
      said.fd = std::move(*report);
    }
    reply(std::move(said));
  });
}

}  // namespace sekisho::control
