// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/net/address.h"
#include "base/wire/reader.h"

namespace sekisho::mgmt {

/// 64 bits of a text: stands on disks, so it never changes. Not for secrets.
std::uint64_t hash_of(std::string_view bytes, std::uint64_t seed);

// What a block's filter is asked for.
std::uint64_t key_of(const Address& address);
/// The /24 or /64 that holds the address: for searches by prefixes no shorter.
std::uint64_t key_of_network(const Address& address);
/// A text, id or MAC in the field of that name.
std::uint64_t key_of(std::string_view field, std::string_view value);

/// A split block Bloom filter: 32 bytes hold eight bits of each key. Of a thousand keys that were not added, about five
/// seem to be there.
class FilterBuilder {
 public:
  void add(std::uint64_t key) { keys_.push_back(key); }
  /// The filter's bytes, a multiple of 32; empty when nothing was added. Starts again.
  [[nodiscard]] std::string finish();

 private:
  std::vector<std::uint64_t> keys_;
};

/// False: the key was certainly not added. Bytes that are no filter hold everything.
[[nodiscard]] bool may_hold(ByteSpan filter, std::uint64_t key);

}  // namespace sekisho::mgmt
