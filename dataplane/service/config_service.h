// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ipc/seqpacket.h"
#include "base/proto/control_dataplane.pb.h"
#include "dataplane/engine.h"

namespace sekisho::dataplane {

/// Answers one ToDataplane message (control_dataplane.proto). Thread: control.
/// A message that is not one, or comes with the wrong number of descriptors, gets no answer but an error: the caller
/// closes the connection.
class ConfigService {
 public:
  ConfigService(Engine& engine, std::uint64_t started_ns) : engine_(engine), started_ns_(started_ns) {}
  Result<void> answer(IpcConnection& peer, IpcMessage message);

 private:
  void apply(const ipc::ApplySnapshot& request, IpcMessage& message, ipc::FromDataplane& answer);
  Result<void> send_bulk(IpcConnection& peer, ipc::FromDataplane& answer, const std::string& text);

  Engine& engine_;
  std::uint64_t started_ns_;
};

/// Reads the snapshot a former run left at `path` and applies it. False, with `error`, when there is none that may be used.
bool apply_stored_snapshot(Engine& engine, const std::string& path, LoadError& error);

/// One LogRings message for logd: the records and cursor descriptors of every shard.
Result<void> send_log_rings(Engine& engine, IpcConnection& peer);

}  // namespace sekisho::dataplane
