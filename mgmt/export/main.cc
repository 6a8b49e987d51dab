// SPDX-License-Identifier: Apache-2.0
// exportd: sends records to collectors. Listens nowhere, keeps nothing.
#include <getopt.h>
#include <openssl/ssl.h>

#include <boost/asio/signal_set.hpp>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <exception>

#include "base/describe.h"
#include "base/os/sandbox.h"
#include "mgmt/export/exporter.h"

namespace {

constexpr const char* kUsage =
    "exportd - sends log records to the collectors of the configuration\n\n"
    "usage: exportd [--run-dir DIR] [--prove-after-ms N]\n\n"
    "  --run-dir DIR       control.sock and export.sock to connect to (/run/sekisho)\n"
    "  --prove-after-ms N  how long records wait to be known to have come, where nothing acknowledges them (15000)\n"
    "  --help              this text\n";

void say(const std::string& sentence) {
  std::fprintf(stderr, "exportd: %s\n", sentence.c_str());
  std::fflush(stderr);
}

int run(const sekisho::mgmt::Exporter::Options& options) {
  // Keys of tenants will be here.
  if (const auto given = sekisho::give_up_privileges(); !given) return say("cannot give up privileges: " + describe(given.error())), 1;
  std::signal(SIGPIPE, SIG_IGN);
  boost::asio::io_context io(1);
  sekisho::mgmt::Exporter exporter(io, options, say);
  boost::asio::signal_set signals(io, SIGTERM, SIGINT);
  signals.async_wait([&](const boost::system::error_code& failed, int) {
    if (failed) return;
    exporter.stop();
    io.stop();
  });
  exporter.start();
  OPENSSL_init_ssl(OPENSSL_INIT_LOAD_CONFIG, nullptr);  // what OpenSSL and the C library would read when they are first asked
  ::tzset();
  if (const auto entered = sekisho::enter_sandbox(sekisho::Sandbox::kDials); !entered)
    return say("cannot enter the sandbox: " + describe(entered.error())), 1;
  say("ready");
  io.run();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  sekisho::mgmt::Exporter::Options options;
  constexpr option kOptions[] = {{"run-dir", required_argument, nullptr, 'r'},
                                 {"prove-after-ms", required_argument, nullptr, 'p'},
                                 {"help", no_argument, nullptr, 'h'},
                                 {nullptr, 0, nullptr, 0}};
  for (int chosen; (chosen = getopt_long(argc, argv, "", kOptions, nullptr)) != -1;) {
    if (chosen == 'h') return std::fputs(kUsage, stdout), 0;
    if (chosen == 'r') options.run_dir = optarg;
    unsigned milliseconds = 0;
    const char* end = chosen == 'p' ? optarg + std::strlen(optarg) : nullptr;
    const bool number =
        chosen == 'p' && std::from_chars(static_cast<const char*>(optarg), end, milliseconds).ptr == end && milliseconds > 0;
    if (number) options.prove_after = std::chrono::milliseconds(milliseconds);
    if (chosen == '?' || (chosen == 'p' && !number)) return std::fputs(kUsage, stderr), 2;
  }
  if (optind != argc) return std::fputs(kUsage, stderr), 2;
  try {
    return run(options);
  } catch (const std::exception& error) {  // out of memory, or Boost without a reactor: nothing to go on with
    say(std::string("ending: ") + error.what());
    return 1;
  }
}
