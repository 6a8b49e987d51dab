// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/spill.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/os/fd.h"
#include "mgmt/log/files.h"

namespace sekisho::mgmt {
namespace {

ByteSpan bytes_of(const std::vector<LogRecord>& records) {
  return {reinterpret_cast<const std::uint8_t*>(records.data()), records.size() * sizeof(LogRecord)};
}

}  // namespace

Result<void> Spill::add(const std::vector<LogRecord>& records) {
  const Fd fd(::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640));
  struct stat status {};
  if (!fd.valid() || ::fstat(fd.get(), &status) != 0) {
    return Error{ErrorCode::kUnavailable, ErrorSite::kOs, static_cast<std::uint32_t>(errno)};
  }
  const auto kept = static_cast<std::size_t>(status.st_size) / sizeof(LogRecord);
  if (kept + records.size() > kRecordsMax) return Error{ErrorCode::kLimit, ErrorSite::kOs, kRecordsMax};
  // A record torn by a crash would shift all that follow.
  if (::ftruncate(fd.get(), static_cast<off_t>(kept * sizeof(LogRecord))) != 0) {
    return Error{ErrorCode::kUnavailable, ErrorSite::kOs, static_cast<std::uint32_t>(errno)};
  }
  if (before_add_) SEKISHO_CHECK_OK(before_add_(kept * sizeof(LogRecord)));
  return write_all(fd.get(), bytes_of(records));
}

Result<std::vector<LogRecord>> Spill::read() const {
  const auto text = read_file(path_, kRecordsMax * sizeof(LogRecord));
  if (!text && text.error().code == ErrorCode::kNotFound) return std::vector<LogRecord>{};
  if (!text) return text.error();
  std::vector<LogRecord> out(text->size() / sizeof(LogRecord));
  if (!out.empty()) std::memcpy(out.data(), text->data(), out.size() * sizeof(LogRecord));
  return out;
}

Result<void> Spill::replace(const std::vector<LogRecord>& records) {
  if (before_replace_) SEKISHO_CHECK_OK(before_replace_(records));
  if (!records.empty()) return replace_file(path_, bytes_of(records));
  if (::unlink(path_.c_str()) != 0 && errno != ENOENT) {
    return Error{ErrorCode::kUnavailable, ErrorSite::kOs, static_cast<std::uint32_t>(errno)};
  }
  return {};
}

}  // namespace sekisho::mgmt
