// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cstdlib>
#include <iostream>

#include "mgmt/cli/app.h"

int main(int argc, char** argv) {
  sekisho::mgmt::CliEnvironment environment;
  if (const char* folder = std::getenv("SEKISHO_RUN_DIR")) environment.run_dir = folder;
  const char* no_colour = std::getenv("NO_COLOR");
  environment.colour = ::isatty(STDOUT_FILENO) == 1 && (no_colour == nullptr || *no_colour == '\0');
  return sekisho::mgmt::run_sekishoctl({argv + 1, argv + argc}, environment, std::cout, std::cerr);
}
