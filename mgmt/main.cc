// SPDX-License-Identifier: Apache-2.0
// mgmtd: the only process on the management network. Carries the API and the portal's files; decides nothing, keeps
// nothing.
#include <getopt.h>

#include <boost/asio/signal_set.hpp>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/describe.h"
#include "base/os/sandbox.h"
#include "mgmt/api/gateway.h"
#include "mgmt/http/server.h"
#include "mgmt/outbound/courier.h"

namespace sekisho::mgmt {
namespace {

struct Options {
  std::string run_dir = "/run/sekisho";
  std::string portal_dir;
  HttpServer::Options http;
  HttpServer::CallHome home;  ///< host empty: it calls nobody
};

constexpr const char* kUsage =
    "usage: mgmtd --listen ADDRESS [--port N] --certificate FILE --key FILE --portal DIR [--run-dir DIR]\n"
    "             [--tls12] [--client-ca FILE [--require-certificate]]\n"
    "             [--call-home HOST[:PORT] --call-home-ca FILE]\n";

/// "host", "host:port", "[address]:port".
bool read_home(std::string_view text, HttpServer::CallHome& out) {
  const bool bracket = text.starts_with('[');
  const std::size_t end = bracket ? text.find(']') : text.find(':');
  if (bracket && end == std::string_view::npos) return false;
  out.host = text.substr(bracket ? 1 : 0, bracket ? end - 1 : end);
  std::string_view rest = end == std::string_view::npos ? std::string_view() : text.substr(bracket ? end + 1 : end);
  if (out.host.empty()) return false;
  if (rest.empty()) return true;
  if (rest[0] != ':') return false;
  rest.remove_prefix(1);
  const auto [stop, status] = std::from_chars(rest.data(), rest.data() + rest.size(), out.port);
  return status == std::errc{} && stop == rest.data() + rest.size() && out.port != 0;
}

void complain(const std::string& line) {
  std::fprintf(stderr, "mgmtd: %s\n", line.c_str());
  std::fflush(stderr);
}

std::optional<Options> parse_options(int argc, char** argv) {
  const option known[] = {{"run-dir", required_argument, nullptr, 'r'},
                          {"listen", required_argument, nullptr, 'l'},
                          {"port", required_argument, nullptr, 'p'},
                          {"certificate", required_argument, nullptr, 'c'},
                          {"key", required_argument, nullptr, 'k'},
                          {"portal", required_argument, nullptr, 'a'},
                          {"client-ca", required_argument, nullptr, 'C'},
                          {"require-certificate", no_argument, nullptr, 'R'},
                          {"call-home", required_argument, nullptr, 'H'},
                          {"call-home-ca", required_argument, nullptr, 'A'},
                          {"tls12", no_argument, nullptr, '2'},
                          {"help", no_argument, nullptr, 'h'},
                          {nullptr, 0, nullptr, 0}};
  Options out;
  bool address = false;
  for (int letter = 0; (letter = getopt_long(argc, argv, "", known, nullptr)) != -1;) {
    const char* end = optarg == nullptr ? nullptr : optarg + std::strlen(optarg);
    if (letter == 'r') {
      out.run_dir = optarg;
    } else if (letter == 'l') {
      const auto parsed = parse_address(optarg);
      if (!parsed) return std::nullopt;
      out.http.address = *parsed;
      address = true;
    } else if (letter == 'p') {
      const auto [stop, status] = std::from_chars(static_cast<const char*>(optarg), end, out.http.port);
      if (status != std::errc{} || stop != end) return std::nullopt;
    } else if (letter == 'c') {
      out.http.certificate_file = optarg;
    } else if (letter == 'k') {
      out.http.key_file = optarg;
    } else if (letter == 'a') {
      out.portal_dir = optarg;
    } else if (letter == 'C') {
      out.http.client_ca_file = optarg;
    } else if (letter == 'R') {
      out.http.require_certificate = true;
    } else if (letter == 'H') {
      if (!read_home(optarg, out.home)) return std::nullopt;
    } else if (letter == 'A') {
      out.home.ca_file = optarg;
    } else if (letter == '2') {
      out.http.tls12 = true;
    } else if (letter == 'h') {
      std::fputs(kUsage, stdout);
      std::exit(0);
    } else {
      return std::nullopt;
    }
  }
  if (optind != argc || !address || out.http.certificate_file.empty() || out.http.key_file.empty() ||
      out.portal_dir.empty() || out.home.host.empty() != out.home.ca_file.empty())
    return std::nullopt;
  return out;
}

int run_daemon(const Options& options) {
  Assets assets;
  if (const std::string why = assets.load(options.portal_dir); !why.empty()) return complain(why), 1;
  boost::asio::io_context io(1);
  Gateway gateway(io, {.run_dir = options.run_dir}, std::move(assets));
  HttpServer server(io, options.http, gateway, complain);
  if (const std::string why = server.listen(); !why.empty()) return complain(why), 1;
  if (!options.home.host.empty()) {
    if (const std::string why = server.call_home(options.home); !why.empty()) return complain(why), 1;
  }
  Courier courier(io, options.run_dir, complain);
  courier.start();
  boost::asio::signal_set signals(io, SIGTERM, SIGINT);
  signals.async_wait([&io, &server](const boost::system::error_code& failed, int) {
    if (failed) return;
    server.stop();
    io.stop();
  });
  // Sessions' tokens pass through here, and anybody may talk to it: it keeps no privilege, and no way to anything but its work.
  if (const auto given = give_up_privileges(); !given) return complain("cannot give up privileges: " + describe(given.error())), 1;
  if (const auto entered = enter_sandbox(Sandbox::kServes); !entered)
    return complain("cannot enter the sandbox: " + describe(entered.error())), 1;
  complain("ready on port " + std::to_string(server.port()));
  io.run();
  return 0;
}

}  // namespace
}  // namespace sekisho::mgmt

int main(int argc, char** argv) {
  using namespace sekisho::mgmt;
  const auto options = parse_options(argc, argv);
  if (!options) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  try {
    return run_daemon(*options);
  } catch (const std::exception& error) {  // out of memory, or Boost without a reactor: nothing to go on with
    complain(std::string("ending: ") + error.what());
    return 1;
  }
}
