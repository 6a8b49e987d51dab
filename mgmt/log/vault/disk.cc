// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/vault/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace sekisho::mgmt {
namespace {

constexpr mode_t kFolderMode = 0750, kFileMode = 0640;

}  // namespace

int Disk::open(const std::string& path) {
  return ::open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, kFileMode);
}
ssize_t Disk::write(int fd, const void* data, std::size_t bytes) {
  return ::write(fd, data, bytes);
}
int Disk::sync(int fd) {
  return ::fdatasync(fd);
}
int Disk::sync_all(const std::string& path) {
  const Fd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return folder.valid() ? ::syncfs(folder.get()) : -1;
}
int Disk::sync_folder(const std::string& path) {
  const Fd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return folder.valid() ? ::fsync(folder.get()) : -1;
}
int Disk::truncate(int fd, std::uint64_t bytes) {
  return ::ftruncate(fd, static_cast<off_t>(bytes));
}
int Disk::rename(const std::string& from, const std::string& to) {
  return ::rename(from.c_str(), to.c_str());
}
int Disk::remove(const std::string& path) {
  return ::remove(path.c_str());
}
int Disk::make_folder(const std::string& path) {
  return ::mkdir(path.c_str(), kFolderMode);
}

Disk& real_disk() {
  static Disk disk;
  return disk;
}

Error disk_error(int number) {
  const ErrorCode code = number == ENOENT ? ErrorCode::kNotFound : ErrorCode::kUnavailable;
  return {code, ErrorSite::kOs, static_cast<std::uint32_t>(number)};
}
Error disk_error() {
  return disk_error(errno);
}

Result<void> write_whole(Disk& disk, int fd, std::string_view bytes, std::uint64_t before) {
  for (std::string_view left = bytes; !left.empty();) {
    const ssize_t n = disk.write(fd, left.data(), left.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const int number = n < 0 ? errno : ENOSPC;
      if (left.size() != bytes.size() && disk.truncate(fd, before) != 0) return disk_error();
      return disk_error(number);
    }
    left.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Result<void> replace_for_good(Disk& disk, const std::string& path, std::string_view bytes) {
  const std::string fresh = path + ".new";
  if (disk.remove(fresh) != 0 && errno != ENOENT) return disk_error();
  const Fd fd(disk.open(fresh));
  if (!fd.valid()) return disk_error();
  SEKISHO_CHECK_OK(write_whole(disk, fd.get(), bytes, 0));
  if (disk.sync(fd.get()) != 0 || disk.rename(fresh, path) != 0) return disk_error();
  if (disk.sync_folder(path.substr(0, path.rfind('/'))) != 0) return disk_error();
  return {};
}

Result<void> remove_folder(Disk& disk, const std::string& path) {
  DIR* handle = ::opendir(path.c_str());
  if (handle == nullptr) return errno == ENOENT ? Result<void>() : disk_error();
  bool gone = true;
  while (const dirent* entry = ::readdir(handle)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") gone = disk.remove(path + "/" + std::string(name)) == 0 && gone;
  }
  ::closedir(handle);
  return gone && disk.remove(path) == 0 ? Result<void>() : disk_error();
}

Result<std::string> read_exact(int fd, std::uint64_t offset, std::size_t bytes) {
  std::string out(bytes, '\0');
  for (std::size_t got = 0; got < bytes;) {
    const ssize_t n = ::pread(fd, out.data() + got, bytes - got, static_cast<off_t>(offset + got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return disk_error();
    if (n == 0) return Error{ErrorCode::kNotFound, ErrorSite::kStore, static_cast<std::uint32_t>(got)};
    got += static_cast<std::size_t>(n);
  }
  return out;
}

Result<std::uint64_t> size_of(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return disk_error();
  return static_cast<std::uint64_t>(status.st_size);
}

Result<Fd> open_to_read(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return disk_error();
  return fd;
}

}  // namespace sekisho::mgmt
