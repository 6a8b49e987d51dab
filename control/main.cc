// SPDX-License-Identifier: Apache-2.0
// controld: holds the configuration, decides what is in force, never forwards.
#include <getopt.h>
#include <sys/stat.h>

#include <boost/asio/signal_set.hpp>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>

#include "base/describe.h"
#include "base/ipc/keying_daemon.h"
#include "control/access/roles.h"
#include "control/daemon.h"

namespace sekisho::control {
namespace {

struct Options {
  std::string run_dir = "/run/sekisho";
  std::string state_dir = "/var/lib/sekisho";
  std::string check_file;
  Admission admission;
};

constexpr const char* kUsage =
    "usage: controld [--run-dir DIR] [--state-dir DIR] [--allow-uid UID]... [--log-uid UID]... [--vpn-uid [KIND=]UID]...\n"
    "                [--mgmt-uid UID]... [--export-uid UID]...\n"
    "                KIND: ike (without), ikev1, ppp or pptp\n"
    "       controld --check FILE    check a document, print what is wrong, change nothing\n"
    "       controld --permissions   print docs/permissions.md\n";

void complain(const std::string& line) {
  std::fprintf(stderr, "controld: %s\n", line.c_str());
  std::fflush(stderr);
}

std::optional<Options> parse_options(int argc, char** argv) {
  const option known[] = {{"run-dir", required_argument, nullptr, 'r'},
                          {"state-dir", required_argument, nullptr, 's'},
                          {"allow-uid", required_argument, nullptr, 'u'},
                          {"log-uid", required_argument, nullptr, 'l'},
                          {"vpn-uid", required_argument, nullptr, 'v'},
                          {"mgmt-uid", required_argument, nullptr, 'm'},
                          {"export-uid", required_argument, nullptr, 'x'},
                          {"permissions", no_argument, nullptr, 'p'},
                          {"check", required_argument, nullptr, 'c'},
                          {"help", no_argument, nullptr, 'h'},
                          {nullptr, 0, nullptr, 0}};
  Options out;
  for (int letter = 0; (letter = getopt_long(argc, argv, "", known, nullptr)) != -1;) {
    if (letter == 'r') {
      out.run_dir = optarg;
    } else if (letter == 's') {
      out.state_dir = optarg;
    } else if (letter == 'c') {
      out.check_file = optarg;
    } else if (letter == 'u' || letter == 'l' || letter == 'v' || letter == 'm' || letter == 'x') {
      uid_t uid = 0;
      const std::string_view value = optarg;
      const std::size_t equals = letter == 'v' ? value.find('=') : std::string_view::npos;
      const auto daemon =
          equals == std::string_view::npos ? std::optional(KeyingDaemon::kIkeV2) : keying_daemon_named(value.substr(0, equals));
      const std::string_view digits = equals == std::string_view::npos ? value : value.substr(equals + 1);
      const auto [stop, status] = std::from_chars(digits.data(), digits.data() + digits.size(), uid);
      if (!daemon || status != std::errc{} || stop != digits.data() + digits.size()) return std::nullopt;
      if (letter == 'v') {
        out.admission.vpn.emplace_back(uid, *daemon);
        continue;
      }
      auto& list = letter == 'u'   ? out.admission.everything
                   : letter == 'l' ? out.admission.names
                   : letter == 'm' ? out.admission.mgmt
                                   : out.admission.exports;
      list.push_back(uid);
    } else if (letter == 'p') {
      std::fputs(permissions_page().c_str(), stdout);
      std::exit(0);
    } else if (letter == 'h') {
      std::fputs(kUsage, stdout);
      std::exit(0);
    } else {
      return std::nullopt;
    }
  }
  if (optind != argc) return std::nullopt;
  return out;
}

/// Findings on standard output, one a line; 1 when there are errors.
int check_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) {
    std::fprintf(stderr, "controld: cannot read %s: %s\n", path.c_str(), std::strerror(errno));
    return 2;
  }
  const std::vector<Finding> findings = check_document(decode_document(text.str()), std::time(nullptr));
  for (const Finding& finding : findings) std::printf("%s\n", to_line(path, finding).c_str());
  return has_errors(findings) ? 1 : 0;
}

int run_daemon(const Options& options) {
  umask(0027);
  auto store = Store::open(options.state_dir);
  if (!store) {
    complain("cannot open the store in " + options.state_dir + ": " + describe(store.error()));
    return 1;
  }
  Ids ids;
  if (const auto loaded = store->load_ids(ids); !loaded) {
    complain("cannot read the store in " + options.state_dir + ": " + describe(loaded.error()));
    return 1;
  }
  Daemon daemon(
      {.run_dir = options.run_dir, .state_dir = options.state_dir, .admission = options.admission, .deadlines = {}},
      std::move(*store), std::move(ids), complain);
  if (const auto listening = daemon.start(); !listening) {
    complain("cannot listen in " + options.run_dir + ": " + describe(listening.error()));
    return 1;
  }
  boost::asio::signal_set signals(daemon.io(), SIGTERM, SIGINT);
  signals.async_wait([&daemon](const boost::system::error_code& failed, int) {
    if (!failed) daemon.stop();
  });
  complain("ready");
  daemon.io().run();
  return 0;
}

}  // namespace
}  // namespace sekisho::control

int main(int argc, char** argv) {
  using namespace sekisho::control;
  const auto options = parse_options(argc, argv);
  if (!options) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  try {
    return options->check_file.empty() ? run_daemon(*options) : check_file(options->check_file);
  } catch (const std::exception& error) {  // out of memory, or Boost without a reactor: nothing to go on with
    complain(std::string("ending: ") + error.what());
    return 1;
  }
}
