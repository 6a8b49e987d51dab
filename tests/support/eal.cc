// SPDX-License-Identifier: Apache-2.0
#include "tests/support/eal.h"

#include <rte_eal.h>
#include <stdlib.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/assert.h"
#include "dataplane/dpdk/eal.h"

namespace sekisho::tests {
namespace {

std::string run_directory;

void start_eal(int memory_mb, bool huge_pages, bool pinned) {
  std::string pattern = std::filesystem::temp_directory_path() / "sekisho-test-XXXXXX";
  SEKISHO_ASSERT(mkdtemp(pattern.data()) != nullptr);
  run_directory = pattern;
  setenv("XDG_RUNTIME_DIR", run_directory.c_str(), 1);
  std::vector<std::string> words{"test",
                                 huge_pages ? "--in-memory" : "--no-huge",
                                 "-m",
                                 std::to_string(memory_mb),
                                 "--no-pci",
                                 pinned ? "--lcores=0" : "--lcores=0@(0-" + std::to_string(std::max(1U, std::thread::hardware_concurrency()) - 1) + ")",
                                 "--log-level=critical"};
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  SEKISHO_ASSERT(dataplane::start_eal(static_cast<int>(argv.size()), argv.data()) >= 0);
  std::atexit([] {
    rte_eal_cleanup();
    std::error_code ignored;
    std::filesystem::remove_all(run_directory, ignored);
  });
}

}  // namespace

void ensure_eal(int memory_mb, bool huge_pages, bool pinned) {
  static const bool started = (start_eal(memory_mb, huge_pages, pinned), true);
  static_cast<void>(started);
}

}  // namespace sekisho::tests
