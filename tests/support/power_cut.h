// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

/// What a machine finds on its disk after it lost power: any program, whatever library writes for it. The program runs once under
/// ptrace(2), and what it asked of a folder is written down; then the folder is made as it may be after any number of those calls.
namespace sekisho::tests {

/// One thing that was asked of the disk, done, in order.
struct DiskCall {
  enum class Kind : std::uint8_t {
    kMade,        ///< a file that was not there
    kWrite,       ///< `bytes` at `offset`
    kTruncate,    ///< to `offset` bytes
    kSync,        ///< what was written of the file stays
    kSyncFolder,  ///< its names stay
    kRename,      ///< to `to`
    kRemove,
    kSaid,        ///< `offset` is the number that was given to Say
  };
  Kind kind = Kind::kMade;
  std::string path, to;
  std::uint64_t offset = 0;
  std::string bytes;
};

/// For the traced program: something was answered to somebody, who counts on it.
using Say = std::function<void(std::uint32_t number)>;

/// Runs `work` in a process of its own and returns what it asked of `folder`, which is empty and stays without folders. Fails the test when the process
/// does not end by itself, or changes the folder in a way that is not known here.
std::vector<DiskCall> trace_disk(const std::string& folder, const std::function<void(const Say&)>& work);

/// Makes `folder` as it may be when power went after `calls`: names in the order they were changed, as far as `chance` wants beyond the
/// last sync of the folder; of what no sync covered, each sector (512 bytes) as it was or as it should be, and a length between.
void make_after_power_cut(std::span<const DiskCall> calls, std::uint64_t chance, const std::string& folder);

}  // namespace sekisho::tests
