// SPDX-License-Identifier: Apache-2.0
#include "mgmt/export/syslog.h"

#include <algorithm>

#include "mgmt/log/value_text.h"

namespace sekisho::mgmt {
namespace {

constexpr unsigned kFacility = 16, kSeverityMost = 7;  // local0

void append_parameter(std::string& out, std::string_view name, std::string_view value) {
  out += ' ';
  out += name;
  out += "=\"";
  for (const char c : value) {
    if (c == '"' || c == '\\' || c == ']') out += '\\';
    out += c;
  }
  out += '"';
}

}  // namespace

void append_syslog(std::string& out, const LogEntry& entry, Audience audience) {
  std::string line = '<' + std::to_string(kFacility * 8 + std::min<unsigned>(entry.sev, kSeverityMost)) + ">1 " + to_text(entry.ts) + ' ' +
                     (entry.node.empty() ? "-" : entry.node) + " fwgw - " + std::string(text_of(entry.type)) + " [e@32473";
  append_parameter(line, "v", std::to_string(entry.version));
  append_parameter(line, "svc", entry.svc);
  if (!entry.gw.empty()) append_parameter(line, "gw", entry.gw);
  append_parameter(line, "seq", std::to_string(entry.seq));
  append_parameter(line, "eid", to_text(entry.eid));
  append_parameter(line, "rev", std::to_string(entry.rev));
  if (audience == Audience::kProvider && !entry.host.empty()) {
    std::string host;
    append_escaped(host, entry.host, Quote::kNone);
    append_parameter(line, "host", host);
  }
  if (audience == Audience::kProvider && entry.core) append_parameter(line, "core", std::to_string(*entry.core));
  line += ']';
  if (entry.time_synced) {  // RFC 5424 7.1
    line += "[timeQuality";
    append_parameter(line, "tzKnown", "1");
    append_parameter(line, "isSynced", *entry.time_synced ? "1" : "0");
    line += ']';
  }
  line += ' ';
  append_json_body(line, entry, audience);
  out += std::to_string(line.size()) + ' ' + line;
}

}  // namespace sekisho::mgmt
