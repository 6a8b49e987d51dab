// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace sekisho::dataplane {

/// Starts DPDK as rte_eal_init() does, for a process that shares nothing with any other: no secondary, no telemetry.
///
/// Its memory, hugepages too, is the process's alone and goes with it, however it ends; no file is left, not even while it runs.
/// `argv`: the program's name, then EAL arguments up to "--" or the end. Returns the index of the last one taken, or -1 with
/// rte_errno set. Thread: main, once, before any other.
[[nodiscard]] int start_eal(int argc, char** argv);

}  // namespace sekisho::dataplane
