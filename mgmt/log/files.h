// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/result.h"
#include "base/wire/reader.h"

namespace sekisho::mgmt {

/// A whole small file. kNotFound when there is none, kLimit above `bytes_max`.
Result<std::string> read_file(const std::string& path, std::size_t bytes_max);
/// Writes a new file and renames it into place: readers see the old or the new one, also after a power cut.
Result<void> replace_file(const std::string& path, ByteSpan bytes);
Result<void> write_all(int fd, ByteSpan bytes);

}  // namespace sekisho::mgmt
