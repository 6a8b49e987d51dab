// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/proto/control_dataplane.pb.h"
#include "base/proto/control_log.pb.h"
#include "base/proto/control_mgmt.pb.h"
#include "base/proto/model.pb.h"
#include "control/compile/ids.h"

/// Tables for people and programs: what the data plane counted, joined with what the configuration calls it. Pure.
namespace sekisho::control {

/// The configuration in force, and which tenants are asked about (service code or name; empty = all).
struct ShowContext {
  const model::Configuration& model;
  const ipc::NameTable& names;
  Ids& ids;
  std::string_view tenant;
  std::int64_t now = 0;           ///< Unix seconds
  std::uint32_t unused_days = 0;  ///< show_rules: only rules not hit for so many days; 0 = all
};

/// Counters may be empty: then they read 0 and the caller says why in the table's note.
ipc::Table show_tenants(const ShowContext& context, const ipc::Counters& counters);
ipc::Table show_ports(const ShowContext& context, const ipc::Counters& counters);
ipc::Table show_bindings(const ShowContext& context, const ipc::Counters& counters);
ipc::Table show_rules(const ShowContext& context, const ipc::Counters& counters);
ipc::Table show_drops(const ShowContext& context, const ipc::Counters& counters);
ipc::Table show_sessions(const ShowContext& context, const ipc::SessionList& sessions);
ipc::Table show_nat(const ShowContext& context, const ipc::NatReport& report);
ipc::Table show_nat_blocks(const ShowContext& context, const ipc::NatReport& report);
ipc::Table show_neighbours(const ShowContext& context, const ipc::NeighbourList& neighbours);
ipc::Table show_status(const ipc::Status& status, const ipc::Counters& counters, std::uint32_t running, std::uint32_t waiting);

/// Unix time in nanoseconds as "2026-11-21 09:00:00" in Japan Standard Time; "-" for 0.
std::string jst_text(std::uint64_t unix_ns);

}  // namespace sekisho::control
