// SPDX-License-Identifier: Apache-2.0
// Addresses, prefixes and MACs out of any text: what is accepted prints to something that reads back the same.
#include <string>

#include "base/net/address.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(data, data + size);
  if (const auto address = sekisho::parse_address(text)) {
    SEKISHO_ASSERT(*sekisho::parse_address(to_string(*address)) == *address);
  }
  if (const auto prefix = sekisho::parse_prefix(text)) {
    SEKISHO_ASSERT(*sekisho::parse_prefix(to_string(*prefix)) == *prefix);
    SEKISHO_ASSERT(prefix->contains(prefix->first()) && prefix->contains(prefix->last()));
    SEKISHO_ASSERT(prefix->contains(prefix->address));
  }
  if (const auto mac = sekisho::parse_mac(text)) {
    SEKISHO_ASSERT(*sekisho::parse_mac(to_string(*mac)) == *mac);
    SEKISHO_ASSERT(sekisho::Mac::from_number(mac->number()) == *mac);
  }
  return 0;
}
