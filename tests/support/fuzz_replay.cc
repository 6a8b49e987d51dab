// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target over corpus folders without libFuzzer, and over every truncation of each file. A folder need not exist, but
// an empty corpus fails, and so does one of which the target accepts nothing, when it says what it accepts.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
/// Inputs the parser took for good so far. Of targets whose corpus grows old without anybody noticing.
extern "C" __attribute__((weak)) std::size_t sekisho_fuzz_accepted();

int main(int argc, char** argv) {
  std::size_t files = 0;
  std::size_t inputs = 0;
  for (int i = 1; i < argc; ++i) {
    if (!std::filesystem::exists(argv[i])) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i])) {
      if (!entry.is_regular_file()) continue;
      std::ifstream in(entry.path(), std::ios::binary);
      const std::vector<char> text{std::istreambuf_iterator<char>(in), {}};
      const std::vector<std::uint8_t> bytes(text.begin(), text.end());
      const std::size_t step = bytes.size() > 4096 ? bytes.size() / 1024 : 1;
      for (std::size_t length = 0; length < bytes.size(); length += step, ++inputs) {
        // A copy of exactly this length, so that a sanitizer sees one byte too many.
        const std::vector<std::uint8_t> prefix(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length));
        LLVMFuzzerTestOneInput(prefix.data(), prefix.size());
      }
      LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
      ++files, ++inputs;
    }
  }
  std::printf("%zu files, %zu inputs replayed\n", files, inputs);
  if (sekisho_fuzz_accepted != nullptr && sekisho_fuzz_accepted() == 0) {
    std::printf("none of them was accepted: the corpus is older than the format\n");
    return 1;
  }
  return files > 0 ? 0 : 1;
}
