// SPDX-License-Identifier: Apache-2.0
#include "control/daemon.h"

#include <chrono>

namespace sekisho::control {
namespace {

using namespace std::chrono_literals;

std::uint64_t unix_now_ns() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

}  // namespace

Daemon::Daemon(Options options, Store store, Ids ids, std::function<void(const std::string&)> complain)
    : options_(std::move(options)), store_(std::move(store)), ids_(std::move(ids)),
      dataplane_(io_, options_.run_dir + "/dataplane.sock",
                 [this](std::uint32_t generation, std::int64_t moment) { committer_.connected(generation, moment); },
                 complain, options_.deadlines),
      committer_(store_, ids_, dataplane_,
                 {.snapshot_path = options_.state_dir + "/snapshot.bin", .now_ns = unix_now_ns, .complain = complain, .at_step = {},
                  .amend = [this](model::Configuration& configuration) { return service_.amend(configuration); },
                  .refuse = [this](const CommitRequest& request) { return service_.why_no_commit(request); }}),
      service_(io_, store_, ids_, committer_, dataplane_, options_.run_dir + "/export.sock",
               options_.state_dir + "/vpn-memory.bin", options_.run_dir + "/event.sock",
               options_.state_dir + "/audit.bin", options_.state_dir),
      server_(io_, options_.admission, [this](ControlRequest request, ControlServer::Reply reply) {
        service_.handle(std::move(request), std::move(reply));
      }),
      tick_timer_(io_) {}

Result<void> Daemon::start() {
  SEKISHO_CHECK_OK(service_.start());  // first: it knows what may not be in force any more
  committer_.start();
  SEKISHO_CHECK_OK(server_.listen(options_.run_dir + "/control.sock"));
  dataplane_.start();
  tick_later();
  return {};
}

void Daemon::stop() {
  server_.stop();
  service_.stop();
  dataplane_.stop();
  tick_timer_.cancel();
  io_.stop();
}

/// The wall clock may be set at any time, so the deadline is looked at every second instead of once.
void Daemon::tick_later() {
  tick_timer_.expires_after(1s);
  tick_timer_.async_wait([this](const boost::system::error_code& failed) {
    if (failed) return;
    committer_.tick();
    tick_later();
  });
}

}  // namespace sekisho::control
