// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "base/proto/control_dataplane.pb.h"
#include "dataplane/engine.h"

/// What the engine tells others, as messages. Thread: control.
namespace sekisho::dataplane {

void fill_status(Engine& engine, std::uint64_t started_ns, ipc::Status& out);
/// Adds what the living sessions carried so far to the counters of their rules, so that long flows show.
void account_living(Engine& engine);
void fill_counters(const Engine& engine, std::uint64_t started_ns, ipc::Counters& out);
/// At most `limit` sessions (0: kSessionsListedMax), of one tenant when given.
void fill_sessions(Engine& engine, std::optional<std::uint32_t> tenant, std::uint32_t limit, ipc::SessionList& out);
/// What NAT rules translate, of one tenant when given: its other rules then have no sessions. At most kNatBlocksListedMax blocks.
void fill_nat(Engine& engine, std::optional<std::uint32_t> tenant, ipc::NatReport& out);
void fill_neighbours(const Engine& engine, ipc::NeighbourList& out);
/// Ends all sessions, or those of one tenant; returns how many.
std::uint64_t clear_sessions(Engine& engine, std::optional<std::uint32_t> tenant);

inline constexpr std::uint32_t kSessionsListedMax = 1U << 20;
inline constexpr std::uint32_t kNatBlocksListedMax = 100'000;

}  // namespace sekisho::dataplane
