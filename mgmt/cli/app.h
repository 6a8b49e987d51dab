// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace sekisho::mgmt {

/// What the tool takes from where it runs; tests choose it.
struct CliEnvironment {
  std::string run_dir = "/run/sekisho";  ///< SEKISHO_RUN_DIR; --run-dir wins
  bool colour = false;                   ///< standard output is a terminal and NO_COLOR is not set
};

enum class ExitStatus : int { kOk = 0, kRefused = 1, kUsage = 2, kUnreachable = 3, kFlips = 4 };

/// sekishoctl without its main(): `arguments` without the program's name.
int run_sekishoctl(const std::vector<std::string>& arguments, const CliEnvironment& environment, std::ostream& out,
                   std::ostream& err);

}  // namespace sekisho::mgmt
