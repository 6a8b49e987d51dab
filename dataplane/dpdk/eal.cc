// SPDX-License-Identifier: Apache-2.0
#include "dataplane/dpdk/eal.h"

#include <rte_eal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

namespace sekisho::dataplane {
namespace {

// Otherwise each process leaves its tables of memory (megabytes) and a socket in its runtime directory, and hugepages in use.
// DPDK refuses --in-memory, which is --no-shconf and more, where there are no hugepages.
char in_memory[] = "--in-memory";
char no_shared_files[] = "--no-shconf";
char no_telemetry[] = "--no-telemetry";

}  // namespace

int start_eal(int argc, char** argv) {
  const bool huge = std::none_of(argv, argv + argc, [](const char* word) { return word == std::string_view("--no-huge"); });
  const std::array<char*, 2> always{huge ? in_memory : no_shared_files, no_telemetry};
  std::vector<char*> words{argv[0]};
  words.insert(words.end(), always.begin(), always.end());
  words.insert(words.end(), argv + 1, argv + argc);
  const int last = rte_eal_init(static_cast<int>(words.size()), words.data());
  if (last < 0) return last;
  rmdir(rte_eal_get_runtime_dir());  // made all the same, and empty; not when something else of the same prefix lives there
  return last - static_cast<int>(always.size());
}

}  // namespace sekisho::dataplane
