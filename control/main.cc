// SPDX-License-Identifier: Apache-2.0
// controld: holds the configuration, decides what is in force, never forwards.
#include <getopt.h>
#include <sys/stat.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>

#include "base/describe.h"
#include "base/limits.h"
#include "control/config/commit.h"
#include "control/links/control_server.h"
#include "control/links/control_service.h"
#include "control/links/dataplane_link.h"

namespace sekisho::control {
namespace {

using namespace std::chrono_literals;

struct Options {
  std::string run_dir = "/run/sekisho";
  std::string state_dir = "/var/lib/sekisho";
  std::string check_file;
  std::vector<uid_t> allowed_uids;
};

constexpr const char* kUsage =
    "usage: controld [--run-dir DIR] [--state-dir DIR] [--allow-uid UID]...\n"
    "       controld --check FILE    check a document, print what is wrong, change nothing\n";

void complain(const std::string& line) {
  std::fprintf(stderr, "controld: %s\n", line.c_str());
  std::fflush(stderr);
}

std::optional<Options> parse_options(int argc, char** argv) {
  const option known[] = {{"run-dir", required_argument, nullptr, 'r'}, {"state-dir", required_argument, nullptr, 's'},
                          {"allow-uid", required_argument, nullptr, 'u'}, {"check", required_argument, nullptr, 'c'},
                          {"help", no_argument, nullptr, 'h'}, {nullptr, 0, nullptr, 0}};
  Options out;
  for (int letter = 0; (letter = getopt_long(argc, argv, "", known, nullptr)) != -1;) {
    if (letter == 'r') {
      out.run_dir = optarg;
    } else if (letter == 's') {
      out.state_dir = optarg;
    } else if (letter == 'c') {
      out.check_file = optarg;
    } else if (letter == 'u') {
      uid_t uid = 0;
      const char* end = optarg + std::strlen(optarg);
      const auto [stop, status] = std::from_chars(static_cast<const char*>(optarg), end, uid);
      if (status != std::errc{} || stop != end) return std::nullopt;
      out.allowed_uids.push_back(uid);
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
  const std::vector<Finding> findings = check_document(decode_document(text.str()));
  for (const Finding& finding : findings) std::printf("%s\n", to_line(path, finding).c_str());
  return has_errors(findings) ? 1 : 0;
}

/// Everything controld is made of, on one thread.
class Daemon {
 public:
  Daemon(const Options& options, Store store, Ids ids)
      : store_(std::move(store)), ids_(std::move(ids)),
        dataplane_(io_, options.run_dir + "/dataplane.sock", [this](std::uint32_t generation) { committer_.connected(generation); }, complain,
                   DataplaneLink::Deadlines{}),
        committer_(store_, ids_, dataplane_, environment(options)),
        service_(io_, store_, ids_, committer_, dataplane_, options.run_dir + "/export.sock"),
        server_(io_, options.allowed_uids, [this](ControlRequest request, ControlServer::Reply reply) {
          service_.handle(std::move(request), std::move(reply));
        }),
        signals_(io_, SIGTERM, SIGINT), tick_timer_(io_) {}

  int run(const std::string& socket_path) {
    committer_.start();
    if (const auto listening = server_.listen(socket_path); !listening) {
      complain("cannot listen at " + socket_path + ": " + describe(listening.error()));
      return 1;
    }
    signals_.async_wait([this](const boost::system::error_code& failed, int) {
      if (!failed) stop();
    });
    dataplane_.start();
    tick_later();
    complain("ready");
    io_.run();
    return 0;
  }

 private:
  static Committer::Environment environment(const Options& options) {
    return {.snapshot_path = options.state_dir + "/snapshot.bin",
            .now_ns = [] {
              const auto now = std::chrono::system_clock::now().time_since_epoch();
              return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
            },
            .complain = complain,
            .at_step = {}};
  }
  /// The wall clock may be set at any time, so the deadline is looked at every second instead of once.
  void tick_later() {
    tick_timer_.expires_after(1s);
    tick_timer_.async_wait([this](const boost::system::error_code& failed) {
      if (failed) return;
      committer_.tick();
      tick_later();
    });
  }
  void stop() {
    server_.stop();
    dataplane_.stop();
    tick_timer_.cancel();
    io_.stop();
  }

  boost::asio::io_context io_{1};
  Store store_;
  Ids ids_;
  DataplaneLink dataplane_;
  Committer committer_;
  ControlService service_;
  ControlServer server_;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer tick_timer_;
};

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
  Daemon daemon(options, std::move(*store), std::move(ids));
  return daemon.run(options.run_dir + "/control.sock");
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
