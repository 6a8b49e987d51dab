// SPDX-License-Identifier: Apache-2.0
//
// Prints the measured policy in a peer's language: print_rules l3fwd RULES | print_rules nft RULES
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/bench/bench_network.h"

int main(int argc, char** argv) {
  const std::string_view language = argc == 3 ? argv[1] : "";
  if (language != "l3fwd" && language != "nft") {
    std::fprintf(stderr, "usage: print_rules l3fwd|nft RULES\n");
    return 2;
  }
  sekisho::bench::NetworkPlan plan;
  plan.rules = static_cast<std::uint32_t>(std::strtoul(argv[2], nullptr, 10));
  if (plan.rules < sekisho::bench::kClasses) {
    std::fprintf(stderr, "print_rules: at least %u rules\n", sekisho::bench::kClasses);
    return 2;
  }
  std::fputs((language == "nft" ? sekisho::bench::nft_rules(plan) : sekisho::bench::l3fwd_rules(plan)).c_str(), stdout);
  return 0;
}
