// SPDX-License-Identifier: Apache-2.0
// What a mail server may say, a line each; the first line is read as the address of a webhook as well.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "mgmt/outbound/smtp.h"
#include "mgmt/outbound/target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sekisho::mgmt;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  if (const auto target = parse_https(all.substr(0, all.find('\n')))) {
    if (target->host.empty() || target->port == 0 || target->path.find_first_of("\r\n ") != std::string::npos) std::abort();
  }
  for (const bool starttls : {false, true}) {
    SmtpDialogue dialogue({"a@b", {"c@d", "e@f"}, "user", "secret", "Subject: x\r\n\r\n.\r\n"}, "us", starttls);
    bool clear = starttls;
    for (std::size_t at = 0; at <= all.size();) {
      const std::size_t end = std::min(all.find('\n', at), all.size());
      auto next = dialogue.take(all.substr(at, end - at));
      at = end + 1;
      if (next == SmtpDialogue::Next::kStartTls) {
        if (!clear) std::abort();
        clear = false;
        next = dialogue.tls_began();
      }
      // In clear nothing is said but this.
      if (next == SmtpDialogue::Next::kSend && clear && dialogue.to_send() != "EHLO us\r\n" && dialogue.to_send() != "STARTTLS\r\n") std::abort();
      if (next == SmtpDialogue::Next::kEnd) {
        if (dialogue.outcome().ok && clear) std::abort();
        break;
      }
    }
  }
  return 0;
}
