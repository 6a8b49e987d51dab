// SPDX-License-Identifier: Apache-2.0
#include "tests/support/power_cut.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <utility>

namespace sekisho::tests {
namespace {

namespace fs = std::filesystem;
using Kind = DiskCall::Kind;
using Info = __ptrace_syscall_info;

/// Looks into the traced process, which stands.
class Traced {
 public:
  Traced(pid_t pid, std::string folder, std::string pipe) : pid_(pid), folder_(std::move(folder)), pipe_(std::move(pipe)) {}

  /// What a call that is about to be made would do; nothing: nothing of the folder's.
  std::optional<DiskCall> about(const Info& info) {
    const auto& a = info.entry.args;
    switch (info.entry.nr) {
      case SYS_openat: return opens(text_at(a[1]), static_cast<int>(a[2]));
      case SYS_write: return writes(static_cast<int>(a[0]), a[1], a[2], place_of(static_cast<int>(a[0])));
      case SYS_pwrite64: return writes(static_cast<int>(a[0]), a[1], a[2], a[3]);
      case SYS_ftruncate: return of_file(Kind::kTruncate, static_cast<int>(a[0]), a[1]);
      case SYS_fsync:
      case SYS_fdatasync: return of_file(Kind::kSync, static_cast<int>(a[0]), 0);
#ifdef SYS_open
      case SYS_open: return opens(text_at(a[0]), static_cast<int>(a[1]));
      case SYS_rename: return renames(text_at(a[0]), text_at(a[1]));
      case SYS_unlink: return removes(text_at(a[0]));
#endif
      case SYS_renameat:
      case SYS_renameat2: return renames(text_at(a[1]), text_at(a[3]));
      case SYS_unlinkat: return removes(text_at(a[1]));
      case SYS_writev:
      case SYS_pwritev:
      case SYS_pwritev2:
      case SYS_fallocate:
      case SYS_sendfile:
      case SYS_copy_file_range:
        for (const std::uint64_t fd : {a[0], a[2]}) EXPECT_FALSE(ours(path_of(static_cast<int>(fd)))) << "system call " << info.entry.nr;
        return std::nullopt;
      case SYS_truncate: EXPECT_FALSE(ours(text_at(a[0]))) << "truncate()"; return std::nullopt;
      case SYS_mmap: {
        const bool writes = (a[2] & 2U) != 0 && (a[3] & 1U) != 0 && static_cast<int>(a[4]) >= 0;  // PROT_WRITE, MAP_SHARED
        EXPECT_FALSE(writes && ours(path_of(static_cast<int>(a[4])))) << "a map that is written to";
        return std::nullopt;
      }
      default: return std::nullopt;
    }
  }

 private:
  [[nodiscard]] bool ours(const std::string& path) const { return path == folder_ || path.starts_with(folder_ + '/'); }
  [[nodiscard]] std::string path_of(int fd) const {
    std::error_code none;
    return fs::read_symlink("/proc/" + std::to_string(pid_) + "/fd/" + std::to_string(fd), none).string();
  }
  [[nodiscard]] std::string bytes_at(std::uint64_t address, std::size_t size) const {
    std::string out(size, '\0');
    const iovec to{out.data(), out.size()}, from{reinterpret_cast<void*>(address), size};  // NOLINT(performance-no-int-to-ptr)
    EXPECT_EQ(::process_vm_readv(pid_, &to, 1, &from, 1, 0), static_cast<ssize_t>(size));
    return out;
  }
  [[nodiscard]] std::string text_at(std::uint64_t address) const {
    std::string out;
    for (char next = '\0'; out.size() < 4096; out += next) {
      const iovec to{&next, 1}, from{reinterpret_cast<void*>(address + out.size()), 1};  // NOLINT(performance-no-int-to-ptr)
      if (::process_vm_readv(pid_, &to, 1, &from, 1, 0) != 1 || next == '\0') break;
    }
    return out;
  }
  /// Where write() would write.
  [[nodiscard]] std::uint64_t place_of(int fd) const {
    std::ifstream file("/proc/" + std::to_string(pid_) + "/fdinfo/" + std::to_string(fd));
    std::string name;
    std::uint64_t place = 0;
    file >> name >> place;
    int flags = 0;
    file >> name >> std::oct >> flags;
    std::error_code none;
    return (flags & O_APPEND) != 0 ? fs::file_size(path_of(fd), none) : place;
  }
  std::optional<DiskCall> opens(const std::string& path, int flags) const {
    if (!ours(path)) return std::nullopt;
    const bool there = fs::exists(path);
    if (!there && (flags & O_CREAT) != 0) return DiskCall{Kind::kMade, path, {}, 0, {}};
    if (there && (flags & O_TRUNC) != 0) return DiskCall{Kind::kTruncate, path, {}, 0, {}};
    return std::nullopt;
  }
  std::optional<DiskCall> writes(int fd, std::uint64_t address, std::size_t size, std::uint64_t offset) const {
    const std::string path = path_of(fd);
    if (path == pipe_) {
      std::uint32_t number = 0;
      const std::string bytes = bytes_at(address, sizeof(number));
      std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(&number));
      return DiskCall{Kind::kSaid, {}, {}, number, {}};
    }
    if (!ours(path)) return std::nullopt;
    return DiskCall{Kind::kWrite, path, {}, offset, bytes_at(address, size)};
  }
  std::optional<DiskCall> of_file(Kind kind, int fd, std::uint64_t offset) const {
    const std::string path = path_of(fd);
    if (!ours(path)) return std::nullopt;
    return DiskCall{path == folder_ ? Kind::kSyncFolder : kind, path, {}, offset, {}};
  }
  std::optional<DiskCall> renames(const std::string& from, const std::string& to) const {
    if (!ours(from) && !ours(to)) return std::nullopt;
    return DiskCall{Kind::kRename, from, to, 0, {}};
  }
  std::optional<DiskCall> removes(const std::string& path) const {
    if (!ours(path)) return std::nullopt;
    return DiskCall{Kind::kRemove, path, {}, 0, {}};
  }

  pid_t pid_;
  std::string folder_, pipe_;
};

[[noreturn]] void be_traced(int pipe, const std::function<void(const Say&)>& work) {
  if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(99);
  ::raise(SIGSTOP);
  work([pipe](std::uint32_t number) {
    if (::write(pipe, &number, sizeof(number)) != sizeof(number)) ::_exit(98);
  });
  ::_exit(testing::Test::HasFailure() ? 1 : 0);
}

/// The disk as the program sees it, and what of it is safe.
class Model {
 public:
  void take(const DiskCall& call) {
    switch (call.kind) {
      case Kind::kMade:
        rename_now({{}, call.path, std::make_shared<File>()});
        break;
      case Kind::kWrite: {
        std::string& now = file(call.path).now;
        if (now.size() < call.offset + call.bytes.size()) now.resize(call.offset + call.bytes.size(), '\0');
        std::copy(call.bytes.begin(), call.bytes.end(), now.begin() + static_cast<std::ptrdiff_t>(call.offset));
        break;
      }
      case Kind::kTruncate: file(call.path).now.resize(call.offset, '\0'); break;
      case Kind::kSync: file(call.path).safe = file(call.path).now; break;
      case Kind::kSyncFolder: safe_ = now_, unsafe_.clear(); break;
      case Kind::kRename: rename_now({call.path, call.to, now_.at(call.path)}); break;
      case Kind::kRemove: rename_now({call.path, {}, nullptr}); break;
      case Kind::kSaid: break;
    }
  }
  void write_out(std::uint64_t chance, const std::string& from, const std::string& to) {
    std::mt19937_64 random(chance);
    const std::size_t done = random() % (unsafe_.size() + 1);
    for (std::size_t i = 0; i < done; ++i) apply(unsafe_[i], safe_);
    for (const auto& [path, file] : safe_) {
      std::ofstream out(to + path.substr(from.size()), std::ios::binary | std::ios::trunc);
      out << left_of(*file, random);
    }
  }

 private:
  struct File {
    std::string now, safe;
  };
  using Names = std::map<std::string, std::shared_ptr<File>>;
  struct Change {
    std::string from, to;  ///< empty: none
    std::shared_ptr<File> file;
  };
  static void apply(const Change& change, Names& names) {
    if (!change.from.empty()) names.erase(change.from);
    if (!change.to.empty()) names[change.to] = change.file;
  }
  void rename_now(Change change) {
    apply(change, now_);
    unsafe_.push_back(std::move(change));
  }
  File& file(const std::string& path) { return *now_.at(path); }
  static std::string left_of(const File& file, std::mt19937_64& random) {
    constexpr std::size_t kSector = 512;
    const auto [least, most] = std::minmax({file.safe.size(), file.now.size()});
    std::string out = file.safe;
    out.resize(most, '\0');
    for (std::size_t at = 0; at < file.now.size(); at += kSector) {
      const std::size_t size = std::min(kSector, file.now.size() - at);
      if (random() % 2 != 0) out.replace(at, size, file.now, at, size);
    }
    if (random() % 3 != 0) out.resize(least + random() % (most - least + 1));
    return out;
  }

  Names now_, safe_;
  std::vector<Change> unsafe_;
};

}  // namespace

std::vector<DiskCall> trace_disk(const std::string& folder, const std::function<void(const Say&)>& work) {
  std::vector<DiskCall> out;
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) std::abort();
  const std::string said = fs::read_symlink("/proc/self/fd/" + std::to_string(pipe[1])).string();
  const pid_t child = ::fork();
  if (child == 0) be_traced(pipe[1], work);
  Traced traced(child, folder, said);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSTOPPED(status)) << "ptrace(2) is not allowed here";
  ::ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
  std::optional<DiskCall> call;
  for (int signal = 0; WIFSTOPPED(status);) {
    if (::ptrace(PTRACE_SYSCALL, child, nullptr, signal) != 0 || ::waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) break;
    const bool of_call = WSTOPSIG(status) == (SIGTRAP | 0x80);
    signal = of_call ? 0 : WSTOPSIG(status);
    Info info{};
    if (!of_call || ::ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info) <= 0) continue;
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
      call = traced.about(info);
    } else if (info.op == PTRACE_SYSCALL_INFO_EXIT && call && info.exit.is_error == 0) {
      if (call->kind == Kind::kWrite) call->bytes.resize(static_cast<std::size_t>(info.exit.rval));
      out.push_back(std::move(*call));
      call.reset();
    }
  }
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the traced process failed: " << status;
  ::close(pipe[0]), ::close(pipe[1]);
  return out;
}

void make_after_power_cut(std::span<const DiskCall> calls, std::uint64_t chance, const std::string& folder) {
  std::string from;
  Model model;
  for (const DiskCall& call : calls) {
    if (from.empty() && !call.path.empty()) from = fs::path(call.path).parent_path().string();
    model.take(call);
  }
  for (const auto& one : fs::directory_iterator(folder)) fs::remove(one.path());
  model.write_out(chance, from, folder);
}

}  // namespace sekisho::tests
