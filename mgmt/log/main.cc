// SPDX-License-Identifier: Apache-2.0
// logd: options, then the daemon.
#include <getopt.h>

#include <charconv>
#include <cstdio>
#include <cstring>

#include "base/describe.h"
#include "mgmt/log/daemon.h"

namespace {

constexpr int kExitFailed = 1, kExitUsage = 2;
constexpr const char* kUsage =
    "logd - takes the data plane's log records, names, numbers and keeps them\n\n"
    "usage: logd [--run-dir DIR] [--state-dir DIR] [--allow-uid UID]... [--event-uid UID]... [--control-uid UID]...\n"
    "            [--exporter-uid UID]... [--days-kept N]\n\n"
    "  --run-dir DIR    sockets: rings.sock and control.sock to connect to, export.sock and event.sock to listen on (/run/sekisho)\n"
    "  --state-dir DIR  records go to DIR/log (/var/lib/sekisho)\n"
    "  --allow-uid UID  may read records through export.sock, besides root and logd's own user; repeatable\n"
    "  --event-uid UID  may send records of remote access to event.sock, besides those; repeatable\n"
    "  --control-uid UID  may send there what was done and controld's security events; repeatable\n"
    "  --exporter-uid UID  may read through export.sock what goes to collectors, and nothing else; repeatable\n"
    "  --days-kept N    keep records of N civil days in Japan, today among them (91)\n"
    "  --help           this text\n";

bool parse_number(const char* text, unsigned& out) {
  const char* end = text + std::strlen(text);
  const auto [stop, status] = std::from_chars(text, end, out);
  return status == std::errc{} && stop == end;
}

bool parse_uid(const char* text, std::set<unsigned>& out) {
  unsigned uid = 0;
  return parse_number(text, uid) && (out.insert(uid), true);
}

bool parse_days(const char* text, unsigned& out) { return parse_number(text, out) && out >= 1 && out <= 36'500; }

}  // namespace

int main(int argc, char** argv) {
  sekisho::mgmt::LogdOptions options;
  constexpr option kOptions[] = {{"run-dir", required_argument, nullptr, 'r'},
                                 {"state-dir", required_argument, nullptr, 's'},
                                 {"allow-uid", required_argument, nullptr, 'u'},
                                 {"event-uid", required_argument, nullptr, 'e'},
                                 {"control-uid", required_argument, nullptr, 'c'},
                                 {"exporter-uid", required_argument, nullptr, 'x'},
                                 {"days-kept", required_argument, nullptr, 'd'},
                                 {"help", no_argument, nullptr, 'h'},
                                 {nullptr, 0, nullptr, 0}};
  for (int chosen; (chosen = getopt_long(argc, argv, "", kOptions, nullptr)) != -1;) {
    if (chosen == 'r') options.run_dir = optarg;
    if (chosen == 's') options.state_dir = optarg;
    if (chosen == 'h') return std::fputs(kUsage, stdout), 0;
    if (chosen == 'd' && !parse_days(optarg, options.days_kept)) return std::fputs(kUsage, stderr), kExitUsage;
    if (chosen == '?' || (chosen == 'u' && !parse_uid(optarg, options.allowed_uids)) ||
        (chosen == 'e' && !parse_uid(optarg, options.event_uids)) ||
        (chosen == 'c' && !parse_uid(optarg, options.control_uids)) || (chosen == 'x' && !parse_uid(optarg, options.exporter_uids)))
      return std::fputs(kUsage, stderr), kExitUsage;
  }
  if (optind != argc) return std::fputs(kUsage, stderr), kExitUsage;
  auto daemon = sekisho::mgmt::LogDaemon::create(options);
  if (!daemon) {
    std::fprintf(stderr, "logd: cannot start with --run-dir %s --state-dir %s: %s\n", options.run_dir.c_str(),
                 options.state_dir.c_str(), sekisho::describe(daemon.error()).c_str());
    return kExitFailed;
  }
  return (*daemon)->run();
}
