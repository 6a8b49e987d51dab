// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace sekisho::tests {

/// Starts DPDK's EAL once in this test process: no hugepages, no PCI, no telemetry, files under a name and a
/// temporary directory of its own, so that test programs run side by side. Later calls do nothing. Aborts the test
/// run on failure. The first caller decides the memory.
/// For measuring programs: `huge_pages`, where the machine has granted 2 MiB pages; `pinned`, to stay on the first processor.
void ensure_eal(int memory_mb = 512, bool huge_pages = false, bool pinned = false);

}  // namespace sekisho::tests
