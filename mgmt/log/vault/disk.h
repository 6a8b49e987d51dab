// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>

#include "base/os/fd.h"
#include "base/result.h"
#include "base/wire/reader.h"

namespace sekisho::mgmt {

/// Every change the vault makes to a disk. Tests put one in its place that fills up, or loses power between any two
/// calls. Calls are the system's: -1 and errno.
class Disk {
 public:
  virtual ~Disk() = default;
  /// For appending; made when it is not there, mode 0640.
  virtual int open(const std::string& path);
  virtual ssize_t write(int fd, const void* data, std::size_t bytes);
  virtual int sync(int fd);
  /// Everything on the disk that holds `path`.
  virtual int sync_all(const std::string& path);
  /// Names made, renamed and removed in a folder survive a power cut.
  virtual int sync_folder(const std::string& path);
  virtual int truncate(int fd, std::uint64_t bytes);
  virtual int rename(const std::string& from, const std::string& to);
  virtual int remove(const std::string& path);
  virtual int make_folder(const std::string& path);
};

/// The system's own.
Disk& real_disk();

Error disk_error(int number);
Error disk_error();

/// All of it, or none: what was written of a part is cut away again. `before`: the file's length.
Result<void> write_whole(Disk& disk, int fd, std::string_view bytes, std::uint64_t before);
/// A new file in place of an old one, at once and for good. Mode as given.
Result<void> replace_for_good(Disk& disk, const std::string& path, std::string_view bytes);
/// Exactly so many bytes. kNotFound: the file ends before.
Result<std::string> read_exact(int fd, std::uint64_t offset, std::size_t bytes);
Result<std::uint64_t> size_of(int fd);
/// A folder with the files in it; it is fine when there is none.
Result<void> remove_folder(Disk& disk, const std::string& path);
Result<Fd> open_to_read(const std::string& path);

}  // namespace sekisho::mgmt
