// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"

namespace sekisho::dataplane {

struct ExpandedKeys;

/// Memory for expanded keys of one shard: never swapped (locked), in no core file (MADV_DONTDUMP), not in a child
/// (MADV_DONTFORK), and wiped when a slot is given back. All of it is taken when the vault is made: what cannot be
/// locked is no vault. Belongs to the shard's thread; must outlive every Keys it gave.
class KeyVault {
 public:
  /// Gives a slot back, wiped.
  struct Release {
    KeyVault* vault;
    void operator()(ExpandedKeys* keys) const { vault->release(keys); }
  };
  using Keys = std::unique_ptr<ExpandedKeys, Release>;

  /// `slots` SAs; kUnavailable with errno when the system refuses to lock that much.
  static Result<std::unique_ptr<KeyVault>> create(std::size_t slots);
  KeyVault(const KeyVault&) = delete;
  KeyVault& operator=(const KeyVault&) = delete;
  ~KeyVault();

  /// A slot full of zeros, or kLimit.
  Result<Keys> acquire();
  [[nodiscard]] std::size_t free_slots() const { return free_.size(); }
  /// All of it, for tests: base address and bytes.
  [[nodiscard]] std::span<const std::uint8_t> memory() const { return {base_, bytes_}; }

 private:
  KeyVault(std::uint8_t* base, std::size_t bytes, std::size_t slots);
  void release(ExpandedKeys* keys);

  std::uint8_t* base_;
  std::size_t bytes_;
  std::vector<ExpandedKeys*> free_;
};

}  // namespace sekisho::dataplane
