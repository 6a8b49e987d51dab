// SPDX-License-Identifier: Apache-2.0
// What a browser or an attacker may put into a request of the API: first line a path, second a query, third a cookie header, the rest a body.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "mgmt/api/router.h"
#include "mgmt/http/message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sekisho;
  static const mgmt::Router router;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const auto line = [&rest] {
    const std::size_t end = rest.find('\n');
    const std::string_view out = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    return out;
  };
  const std::string_view path = line();
  const std::string_view query = line();
  if (mgmt::cookie_value(line(), "__Host-sekisho").size() > 128) std::abort();
  for (const char* verb : {"GET", "POST"}) {
    const auto match = router.find(verb, path);
    if (match.route == nullptr) continue;
    for (const auto& [name, value] : match.fields) {
      if (value.empty() || value.find('\0') != std::string::npos) std::abort();
    }
  }
  api::SearchRequest search;
  (void)mgmt::read_query(query, search);
  api::CommitRequest commit;
  if (!mgmt::read_json(rest, commit)) {
    api::CommitRequest again;  // what was read can be written and read again
    if (mgmt::read_json(mgmt::write_json(commit), again)) std::abort();
  }
  return 0;
}
