// SPDX-License-Identifier: Apache-2.0
// Writes the seeds of filters_snapshot into a folder: snapshots of today's builder, which no stored bytes would stay for long.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/snapshots.h"

namespace {

using namespace sekisho;

bool write(const std::filesystem::path& path, const std::vector<std::uint8_t>& bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  return out.good();
}

/// The same, with one reference too far.
filters::SnapshotBuilder broken() {
  filters::SnapshotBuilder builder = tests::one_of_everything();
  builder.tenants[0].name.first = 0xffffff00U;
  return builder;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::filesystem::path folder = argv[1];
  std::filesystem::create_directories(folder);
  bool good = write(folder / "one_of_everything", tests::one_of_everything().finish(1));
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    const tests::PolicyShape shape{.seed = seed, .tenants = 2, .rules = 6};
    good = good && write(folder / ("random_policy_" + std::to_string(seed)), tests::random_policy(shape).finish(1));
  }
  good = good && write(folder / "empty", filters::SnapshotBuilder{}.finish(1)) && write(folder / "wrong_string", broken().finish(1));
  if (!good) std::fprintf(stderr, "cannot write into %s\n", argv[1]);
  return good ? 0 : 1;
}
