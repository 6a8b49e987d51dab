// SPDX-License-Identifier: Apache-2.0
#include "dataplane/service/config_service.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "base/describe.h"
#include "base/ipc/sealed_blob.h"
#include "base/limits.h"
#include "dataplane/service/explain_service.h"
#include "dataplane/service/report.h"

namespace sekisho::dataplane {
namespace {

ByteSpan bytes_of(const std::string& text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }

/// The generation a snapshot's header names; 0 when there is no whole header. Everything else is the loader's to check.
std::uint32_t generation_of(ByteSpan bytes) {
  filters::snapshot::Header header{};
  if (bytes.size() < sizeof(header)) return 0;
  std::memcpy(&header, bytes.data(), sizeof(header));
  return header.generation;
}

std::optional<std::uint32_t> optional_tenant(bool has, std::uint32_t tenant) {
  return has ? std::optional<std::uint32_t>(tenant) : std::nullopt;
}

void reject(ipc::FromDataplane& answer, const LoadError& error) {
  answer.mutable_rejected()->set_reason(error.reason);
  answer.mutable_rejected()->set_offset(error.offset);
}

/// Descriptors that come with a request.
std::size_t fds_of(const ipc::ToDataplane& request) {
  if (request.has_explain()) return explain_fds(request.explain());
  if (request.has_replay()) return explain_fds(request.replay());
  return request.has_apply_snapshot() ? 1 : 0;
}

}  // namespace

Result<void> ConfigService::answer(IpcConnection& peer, IpcMessage message) {
  ipc::ToDataplane request;
  const Error malformed{ErrorCode::kMalformed, ErrorSite::kIpc, static_cast<std::uint32_t>(message.bytes.size())};
  if (!request.ParseFromArray(message.bytes.data(), static_cast<int>(message.bytes.size()))) return malformed;
  if (message.fds.size() != fds_of(request)) return malformed;

  ipc::FromDataplane answer;
  answer.set_correlation(request.correlation());
  switch (request.body_case()) {
    case ipc::ToDataplane::kApplySnapshot: apply(request.apply_snapshot(), message, answer); break;
    case ipc::ToDataplane::kGetStatus: fill_status(engine_, started_ns_, *answer.mutable_status()); break;
    case ipc::ToDataplane::kReadCounters: {
      ipc::Counters counters;
      if (request.read_counters().living_sessions()) account_living(engine_);
      fill_counters(engine_, started_ns_, counters);
      return send_bulk(peer, answer, counters.SerializeAsString());
    }
    case ipc::ToDataplane::kQuerySessions: {
      const auto& query = request.query_sessions();
      ipc::SessionList list;
      fill_sessions(engine_, optional_tenant(query.has_tenant(), query.tenant()), query.limit(), list);
      return send_bulk(peer, answer, list.SerializeAsString());
    }
    case ipc::ToDataplane::kQueryNat: {
      const auto& query = request.query_nat();
      ipc::NatReport report;
      fill_nat(engine_, optional_tenant(query.has_tenant(), query.tenant()), report);
      return send_bulk(peer, answer, report.SerializeAsString());
    }
    case ipc::ToDataplane::kQueryNeighbours: {
      ipc::NeighbourList list;
      fill_neighbours(engine_, list);
      return send_bulk(peer, answer, list.SerializeAsString());
    }
    case ipc::ToDataplane::kClearSessions: {
      const auto& query = request.clear_sessions();
      answer.mutable_cleared()->set_sessions(clear_sessions(engine_, optional_tenant(query.has_tenant(), query.tenant())));
      break;
    }
    case ipc::ToDataplane::kExplain: answer_explain(engine_, request.explain(), message, answer); break;
    case ipc::ToDataplane::kReplay: {
      ipc::ReplayReport report;
      if (answer_replay(engine_, request.replay(), message, report, answer)) return send_bulk(peer, answer, report.SerializeAsString());
      break;
    }
    case ipc::ToDataplane::kReleaseBinding:
      answer.mutable_binding_released()->set_was_quarantined(engine_.release_binding(request.release_binding().binding()));
      break;
    case ipc::ToDataplane::BODY_NOT_SET: return malformed;
  }
  return peer.send(bytes_of(answer.SerializeAsString()));
}

void ConfigService::apply(const ipc::ApplySnapshot& request, IpcMessage& message, ipc::FromDataplane& answer) {
  const Result<SealedBlob> blob = SealedBlob::open(std::move(message.fds.front()), limits::kSnapshotBytesMax);
  if (!blob) {
    reject(answer, {"the snapshot's memory is not sealed: " + describe(blob.error()), 0});
    return;
  }
  if (blob->bytes().size() != request.size()) {
    reject(answer, {"the snapshot has " + std::to_string(blob->bytes().size()) + " bytes, not " + std::to_string(request.size()), 0});
    return;
  }
  if (const std::uint32_t named = generation_of(blob->bytes()); named != request.generation()) {
    reject(answer, {"the snapshot is of generation " + std::to_string(named) + ", not " + std::to_string(request.generation()), 0});
    return;
  }
  Engine::Applied applied;
  LoadError error;
  if (!engine_.apply({blob->bytes().begin(), blob->bytes().end()}, applied, error)) {
    reject(answer, error);
    return;
  }
  ipc::Applied& out = *answer.mutable_applied();
  out.set_generation(applied.generation);
  out.set_build_microseconds(applied.build_microseconds);
  out.set_swap_microseconds(applied.swap_microseconds);
  out.set_shards_rebuilt(applied.classifier.tenants_built);
  out.set_shards_reused(applied.classifier.tenants_reused);
}

Result<void> ConfigService::send_bulk(IpcConnection& peer, ipc::FromDataplane& answer, const std::string& text) {
  SEKISHO_TRY(const Fd blob, make_sealed_blob("sekisho-answer", bytes_of(text)));
  answer.mutable_bulk()->set_size(text.size());
  const int fd = blob.get();
  return peer.send(bytes_of(answer.SerializeAsString()), {&fd, 1});
}

bool apply_stored_snapshot(Engine& engine, const std::string& path, LoadError& error) {
  const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  if (!file.valid() || fstat(file.get(), &status) != 0) {
    error.reason = "cannot read " + path + ": " + std::strerror(errno);
    return false;
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size > limits::kSnapshotBytesMax) {
    error.reason = path + " is larger than any snapshot";
    return false;
  }
  std::vector<std::uint8_t> bytes(size);
  std::size_t at = 0;
  while (at < size) {
    const ssize_t got = read(file.get(), bytes.data() + at, size - at);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    at += static_cast<std::size_t>(got);
  }
  bytes.resize(at);
  Engine::Applied applied;
  return engine.apply(std::move(bytes), applied, error);
}

Result<void> send_log_rings(Engine& engine, IpcConnection& peer) {
  ipc::LogRings message;
  message.set_shards(engine.shards());
  message.set_records_per_ring(engine.shard(0).limits.log_records);
  std::vector<Fd> owned;
  std::vector<int> fds;
  for (std::uint32_t number = 0; number < engine.shards(); ++number) {
    const LogRingWriter& ring = engine.shard(number).log.ring();
    SEKISHO_TRY(Fd records, ring.duplicate_records_fd());
    SEKISHO_TRY(Fd cursor, ring.duplicate_cursor_fd());
    fds.push_back(records.get());
    fds.push_back(cursor.get());
    owned.push_back(std::move(records));
    owned.push_back(std::move(cursor));
  }
  return peer.send(bytes_of(message.SerializeAsString()), fds);
}

}  // namespace sekisho::dataplane
