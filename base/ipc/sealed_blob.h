// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include "base/os/fd.h"
#include "base/result.h"
#include "base/wire/reader.h"

namespace sekisho {

/// Copies `bytes` into a memfd sealed against every change: what the receiver checks is what it uses.
Result<Fd> make_sealed_blob(const char* name, ByteSpan bytes);

/// A read-only mapping of a sealed memfd. Refused unless it is sealed against write, shrink and grow, and has at most
/// `bytes_max` bytes.
class SealedBlob {
 public:
  static Result<SealedBlob> open(Fd fd, std::size_t bytes_max);
  SealedBlob(SealedBlob&& other) noexcept;
  SealedBlob& operator=(SealedBlob&& other) noexcept;
  ~SealedBlob();
  [[nodiscard]] ByteSpan bytes() const { return bytes_; }

 private:
  explicit SealedBlob(ByteSpan bytes) : bytes_(bytes) {}
  ByteSpan bytes_;
};

}  // namespace sekisho
