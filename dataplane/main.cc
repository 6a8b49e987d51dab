// SPDX-License-Identifier: Apache-2.0
// dataplaned: the only program that sees packets.
#include <getopt.h>
#include <pthread.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <sched.h>
#include <sys/prctl.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "base/describe.h"
#include "dataplane/dpdk/eal.h"
#include "dataplane/service/control_loop.h"

namespace {

using sekisho::dataplane::ControlLoop;
using sekisho::dataplane::Engine;
using sekisho::dataplane::LoadError;

constexpr const char* kUsage =
    "usage: dataplaned --run-dir DIR --state-dir DIR [options] -- EAL-ARGUMENTS\n"
    "  --workers N         packet threads (default 1)\n"
    "  --sessions N        sessions of the whole box (default 65536)\n"
    "  --mbufs N           packets in flight (default 16384)\n"
    "  --idle-sleep-us N   sleep of an idle worker; 0 = always poll (default 0)\n"
    "  --log-records N     size of each log ring, a power of two (default 16384)\n"
    "  --allow-uid UID     who may configure besides root (controld); repeatable\n"
    "  --log-uid UID       who may read the log rings besides root (logd); repeatable\n"
    "  --tunnel-uid [KIND=]UID  who may key tunnels besides root, as ike (without KIND), ikev1, ppp or pptp; repeatable\n"
    "  --tunnels N         tunnels of remote users, 0 = none (default 0); their keys are locked in memory\n"
    "  --service-device D  DPDK's name of the card to the network where SSTP ends (none)\n"
    "  --tenants N --ports N --bindings N   places for what survives commits (default 1024, 4096, 4096)\n"
    "Everything behind -- goes to DPDK: --vdev=net_af_packet0,iface=..., -a PCI-ADDRESS, --no-huge ...\n";

struct Arguments {
  std::string state_dir;
  Engine::Options engine;
  ControlLoop::Options loop;
};

bool number(const char* text, std::uint32_t& out) {
  const char* end = text + std::strlen(text);
  const auto [stopped, status] = std::from_chars(text, end, out);
  return status == std::errc{} && stopped == end;
}

bool take_option(int option, const char* value, Arguments& out) {
  std::uint32_t uid = 0;
  switch (option) {
    case 'r': out.loop.run_dir = value; return true;
    case 's': out.state_dir = value; return true;
    case 'w': return number(value, out.engine.workers);
    case 'n': return number(value, out.engine.shard.sessions);
    case 'm': return number(value, out.engine.mbufs);
    case 'i': return number(value, out.engine.idle_sleep_us);
    case 'l': return number(value, out.engine.shard.log_records);
    case 't': return number(value, out.engine.shard.tenants);
    case 'p': return number(value, out.engine.shard.ports);
    case 'b': return number(value, out.engine.shard.bindings);
    case 'v': return number(value, out.engine.shard.tunnels);
    case 'e': out.engine.service_device = value; return true;
    case 'u':
    case 'g':
      if (!number(value, uid)) return false;
      (option == 'u' ? out.loop.control_uids : out.loop.log_uids).push_back(uid);
      return true;
    case 'k': {
      const char* const equals = std::strchr(value, '=');
      const auto kind = equals == nullptr ? std::optional(sekisho::KeyingDaemon::kIkeV2)
                                          : sekisho::keying_daemon_named({value, static_cast<std::size_t>(equals - value)});
      if (!kind || !number(equals == nullptr ? value : equals + 1, uid)) return false;
      out.loop.tunnel_uids.emplace_back(uid, *kind);
      return true;
    }
    default: return false;
  }
}

bool parse(int argc, char** argv, Arguments& out) {
  const option known[] = {{"run-dir", required_argument, nullptr, 'r'},  {"state-dir", required_argument, nullptr, 's'},
                          {"workers", required_argument, nullptr, 'w'},  {"sessions", required_argument, nullptr, 'n'},
                          {"mbufs", required_argument, nullptr, 'm'},    {"idle-sleep-us", required_argument, nullptr, 'i'},
                          {"log-records", required_argument, nullptr, 'l'}, {"allow-uid", required_argument, nullptr, 'u'},
                          {"log-uid", required_argument, nullptr, 'g'},     {"tenants", required_argument, nullptr, 't'},
                          {"ports", required_argument, nullptr, 'p'},       {"bindings", required_argument, nullptr, 'b'},
                          {"service-device", required_argument, nullptr, 'e'},
                          {"tunnels", required_argument, nullptr, 'v'},     {"tunnel-uid", required_argument, nullptr, 'k'},
                          {nullptr, 0, nullptr, 0}};
  for (int option = 0; (option = getopt_long(argc, argv, "", known, nullptr)) != -1;) {
    if (!take_option(option, optarg, out)) return false;
  }
  return !out.loop.run_dir.empty() && !out.state_dir.empty();
}

/// DPDK's own arguments: this program's name and what stands behind "--".
bool start_eal(int argc, char** argv, int first) {
  std::vector<char*> arguments{argv[0]};
  for (int i = first; i < argc; ++i) arguments.push_back(argv[i]);
  if (sekisho::dataplane::start_eal(static_cast<int>(arguments.size()), arguments.data()) >= 0) return true;
  std::fprintf(stderr, "dataplaned: DPDK does not start: %s\n", rte_strerror(rte_errno));
  return false;
}

/// SIGTERM and SIGINT come by descriptor, to the control loop alone.
void block_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

/// The processors this process had when it started. The EAL confines the calling thread to one; workers get them dealt.
cpu_set_t& own_processors() {
  static cpu_set_t processors;
  return processors;
}

void pin_worker(std::uint32_t number) {
  const cpu_set_t& all = own_processors();
  std::uint32_t wanted = number % static_cast<std::uint32_t>(std::max(1, CPU_COUNT(&all)));
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &all) == 0 || wanted-- > 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<std::size_t>(cpu), &one);
    pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
    return;
  }
}

int serve(const Arguments& arguments) {
  auto engine = Engine::create(arguments.engine);
  if (!engine) {
    std::fprintf(stderr, "dataplaned: %s\n", sekisho::describe(engine.error()).c_str());
    const bool keys = arguments.engine.shard.tunnels > 0 && engine.error().where == sekisho::ErrorSite::kOs;
    if (keys) std::fputs("dataplaned: the keys of --tunnels must be locked in memory: raise RLIMIT_MEMLOCK (LimitMEMLOCK=)\n", stderr);
    return 1;
  }
  // Deny is the initial value: without a snapshot no port starts. A former run's one is checked like any other.
  LoadError error;
  if (!apply_stored_snapshot(**engine, arguments.state_dir + "/snapshot.bin", error)) {
    std::fprintf(stderr, "dataplaned: waiting for a snapshot (%s)\n", error.reason.c_str());
  }
  auto loop = ControlLoop::create(**engine, arguments.loop);
  if (!loop) {
    std::fprintf(stderr, "dataplaned: %s: %s\n", arguments.loop.run_dir.c_str(), sekisho::describe(loop.error()).c_str());
    return 1;
  }
  std::vector<std::thread> workers;
  for (std::uint32_t number = 0; number < (*engine)->shards(); ++number) {
    workers.emplace_back([&engine, number] {
      prctl(PR_SET_NAME, ("worker" + std::to_string(number)).c_str());
      pin_worker(number);
      (*engine)->run(number);
    });
  }
  pthread_setaffinity_np(pthread_self(), sizeof(cpu_set_t), &own_processors());  // control runs where there is room
  const auto served = (*loop)->run();
  (*engine)->stop();
  for (std::thread& worker : workers) worker.join();
  return served ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!parse(argc, argv, arguments)) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  block_signals();
  sched_getaffinity(0, sizeof(cpu_set_t), &own_processors());
  if (!start_eal(argc, argv, optind)) return 1;
  const int status = serve(arguments);
  rte_eal_cleanup();
  return status;
}
