// SPDX-License-Identifier: Apache-2.0
#include "dataplane/tunnel/key_vault.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/assert.h"
#include "dataplane/tunnel/expanded_keys.h"

namespace sekisho::dataplane {
namespace {

Error os_error() {
  return {ErrorCode::kUnavailable, ErrorSite::kOs, static_cast<std::uint32_t>(errno)};
}

}  // namespace

Result<std::unique_ptr<KeyVault>> KeyVault::create(std::size_t slots) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t bytes = (slots * sizeof(ExpandedKeys) + page - 1) / page * page;
  if (slots == 0) return Error{ErrorCode::kLimit, ErrorSite::kDataplane, 0};
  void* base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return os_error();
  // mlock2: sanitizers make nothing of mlock().
  if (madvise(base, bytes, MADV_DONTDUMP) != 0 || madvise(base, bytes, MADV_DONTFORK) != 0 || mlock2(base, bytes, 0) != 0) {
    const Error error = os_error();
    munmap(base, bytes);
    return error;
  }
  return std::unique_ptr<KeyVault>(new KeyVault(static_cast<std::uint8_t*>(base), bytes, slots));
}

KeyVault::KeyVault(std::uint8_t* base, std::size_t bytes, std::size_t slots) : base_(base), bytes_(bytes) {
  free_.reserve(slots);
  for (std::size_t i = slots; i-- > 0;) {
    free_.push_back(static_cast<ExpandedKeys*>(static_cast<void*>(base_ + i * sizeof(ExpandedKeys))));
  }
}

KeyVault::~KeyVault() {
  SEKISHO_DCHECK(free_.size() == free_.capacity());  // a key outlives its vault
  explicit_bzero(base_, bytes_);
  munmap(base_, bytes_);
}

Result<KeyVault::Keys> KeyVault::acquire() {
  if (free_.empty()) return Error{ErrorCode::kLimit, ErrorSite::kDataplane, 0};
  ExpandedKeys* const keys = free_.back();
  free_.pop_back();
  return Keys(keys, Release{this});
}

void KeyVault::release(ExpandedKeys* keys) {
  explicit_bzero(keys, sizeof(ExpandedKeys));
  free_.push_back(keys);
}

}  // namespace sekisho::dataplane
