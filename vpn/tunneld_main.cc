// SPDX-License-Identifier: Apache-2.0
// tunneld: remote access by what carries PPP. Each protocol is a Door; they share one thread, one directory, one log and one edge to
// the data plane with each other, and the rooms of those with iked.
// Life-cycle. Sockets are made; privileges go; the sandbox closes before anything is accepted. SIGTERM: peers are told, sessions end for
// maintenance, records are sent.
// Rings have no doorbell: the loop sleeps 0.2 ms when no packets came, and twice as long each time, up to 5 ms; sockets wake it. While
// packets flow, and all that were there are taken, it sleeps 0.05 ms and no socket wakes it: packets that come one by one are
// taken together, and cost a few system calls and one record together instead of as many each.
#include <getopt.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "base/describe.h"
#include "base/os/sandbox.h"
#include "base/proto/control_vpn.pb.h"
#include "base/proto/vpn_log.pb.h"
#include "vpn/dhcp_inform.h"
#include "vpn/l2tp/door.h"
#include "vpn/login_trials.h"
#include "vpn/operator_link.h"
#include "vpn/plan_client.h"
#include "vpn/renamed_users.h"
#include "vpn/session_keeper.h"
#include "vpn/sstp/door.h"

namespace sekisho::vpn {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;
constexpr std::chrono::microseconds kPauseMin = 200us, kPauseMax = 5ms, kGather = 50us;
constexpr std::size_t kPacketsATurn = 1024;

void note(const std::string& sentence) { std::fprintf(stderr, "tunneld: %s\n", sentence.c_str()); }

struct Options {
  std::string run_dir = "/run/sekisho";
  std::uint32_t port = 443;
  std::uint32_t connections = 16384;
  std::chrono::seconds usage{3600};
  bool verbose = false;
};

class Daemon {
 public:
  explicit Daemon(const Options& options)
      : directory_([] { return static_cast<std::int64_t>(std::time(nullptr)); }),
        tunnels_(KeyingDaemon::kPpp, options.run_dir + "/tunnel.sock",
                 [this](const Session& session) { return recorder_.owner_of(session); }),
        log_(options.run_dir + "/event.sock"),
        backends_({directory_, tunnels_, [this](std::uint64_t session) { return recorder_.sid_of(session); },
                   [this](std::uint64_t session) { return tunnels_.totals(session); }},
                  {.daemon = KeyingDaemon::kPpp}),
        recorder_(directory_, tunnels_, log_, options.verbose,
                  [this](const SessionEvent& event, std::uint64_t, const std::optional<UserDirectory::Admitted>&,
                         const TunnelTotals* totals) { backends_.tell(event, totals, Clock::now()); },
                  [this](std::uint64_t session, std::uint32_t tenant, const ipc::VpnRecord& note) {
                    backends_.adopt(session, tenant, note, Clock::now());
                  }),
        plans_(options.run_dir + "/control.sock", KeyingDaemon::kPpp),
        operators_(options.run_dir + "/control.sock", KeyingDaemon::kPpp),
        keeper_(directory_, tunnels_, recorder_, options.usage, [this] { return sessions(); },
                [this](std::uint64_t session, Cause cause) { end(session, cause); }) {}

  /// Before the sandbox: everything that needs a socket.
  Result<void> open(const Options& options) {
    const sstp::SstpDoor::Limits limits{options.connections, static_cast<std::uint16_t>(options.port)};
    const PppLogin::Ports ports{directory_, tunnels_, recorder_, &backends_, &certificates_};
    SEKISHO_TRY(sstp_, sstp::SstpDoor::create(ports, ids_, limits));
    doors_.push_back(sstp_.get());
    l2tp_ = std::make_unique<l2tp::L2tpDoor>(ports, ids_);
    doors_.push_back(l2tp_.get());
    return {};
  }

  void run(int signals) {
    auto pause = kPauseMin;
    while (true) {
      const Turn did = turn();
      pause = did == Turn::kNothing ? std::clamp(pause * 2, kPauseMin, kPauseMax) : did == Turn::kFlow ? kGather : 0us;
      std::array<pollfd, 2> watched{pollfd{signals, POLLIN, 0}, pollfd{sstp_->events(), POLLIN, 0}};
      const timespec wait{0, std::chrono::nanoseconds(pause).count()};
      if (::ppoll(watched.data(), did == Turn::kFlow ? 1 : 2, &wait, nullptr) > 0 && watched[0].revents != 0) break;
    }
    for (Door* door : doors_) door->close(Clock::now());
    end_left_over();
  }

 private:
  /// kFlow: packets, and all that were there.
  enum class Turn : std::uint8_t { kNothing, kFlow, kMore };

  Turn turn() {
    const auto now = Clock::now();
    const std::uint64_t received = sstp_->received();
    const std::size_t packets = tunnels_.poll(kPacketsATurn, [this, now](const Path& path, ByteSpan payload) {
      if (path.local.port == kDhcpServerPort) return answer_dhcp(path, payload);
      if (path.local.port == 0) {
        sstp_->take(path, payload, now);
      } else if (path.tunnel == 0) {
        backends_.take(path, payload, now);  // of a RADIUS server's
      } else {
        l2tp_->take(path, payload, now);
      }
    });
    bool worked = packets > 0;
    ask_backends(now);
    for (Door* door : doors_) worked = door->turn(now) || worked;
    end_left_over();
    for (const TunnelSignal& signal : tunnels_.take_signals()) std::visit([this](const auto& one) { take(one); }, signal);
    if (const auto plan = plans_.poll(now)) follow(plan);
    directory_.set_log_full(plans_.log_full());
    if (operators_.poll(now, [this](const ipc::VpnQuestion& question) { return answer(question); })) directory_.save_again();
    for (const auto& [session, cause] : directory_.take_endings()) end(session, cause);
    const auto live = [this] { return sessions(); };
    for (const auto& [session, cause] : certificates_.expired(live, static_cast<std::int64_t>(std::time(nullptr)))) end(session, cause);
    renamed_.tell(directory_, tunnels_);
    keeper_.turn(now);
    if (!worked) return Turn::kNothing;
    const bool flow = packets > 0 || sstp_->received() != received;
    return flow && packets < kPacketsATurn && !sstp_->pressed() ? Turn::kFlow : Turn::kMore;
  }

  /// What the tenants' RADIUS servers said, and want.
  void ask_backends(Clock::time_point now) {
    backends_.turn(now);
    for (const radius::Verdict& verdict : backends_.take_verdicts()) {
      if (trials_.judged(verdict)) continue;
      for (Door* door : doors_) {
        if (door->judged(verdict, now)) break;
      }
    }
    for (const std::uint64_t session : backends_.take_disconnects()) end(session, Cause::kAdmin);
    for (const auto& one : backends_.take_forgeries(now)) {
      recorder_.forged(one.tenant, one.backend, one.count, one.first, one.last);
      note("backend " + one.backend + " of tenant " + std::to_string(one.tenant) + ": " + std::to_string(one.count) +
           " messages that its servers' secrets did not sign");
    }
  }

  /// A question out of a tunnel, from the Lease it is about.
  void answer_dhcp(const Path& path, ByteSpan payload) {
    const auto request = parse_dhcp_inform(payload, path.remote.address);
    const std::shared_ptr<const Plan> plan = directory_.plan();
    const TenantPlan* tenant = plan->tenant(path.tenant);
    const auto name = directory_.gateway_at(path.tenant, path.remote.address);
    const GatewayPlan* at = tenant != nullptr && name ? tenant->gateway(*name) : nullptr;
    if (!request || at == nullptr) return;
    const Gateway& gateway = at->gateway;
    const DhcpFacts facts{gateway.networks, gateway.dns, gateway.dns_domains.empty() ? std::string_view{} : gateway.dns_domains.front()};
    const Endpoint here{Address::from_v4(kTunnelDhcpServerV4), kDhcpServerPort};
    const Path back{path.tenant, path.port, here, {path.remote.address, kDhcpClientPort}};
    tunnels_.send(back, answer_dhcp_inform(*request, path.remote.address, facts));
  }

  void take(const SaLimitReached&) {}
  void take(const PeerMovedTo&) {}
  void take(const SessionTunnelGone& gone) { end(gone.session, cause_of(gone.why)); }
  void take(const LeftTunnel& tunnel) {
    recorder_.left(tunnel);
    l2tp_->adopt(tunnel);
  }
  void take(const LeftTunnelGone& gone) {
    recorder_.left_gone(gone);
    l2tp_->end_left(gone.tunnel.tunnel, sentence_of(cause_of(gone.why), true));
  }
  void take(const ForeignLease& lease) { directory_.foreign_lease(lease); }
  void take(const CarrierLost& lost) { l2tp_->carrier_gone(lost.carrier); }
  void take(const DataplaneFound&) { note("connected to the data plane"); }
  void take(const DataplaneLost&) {
    note("the data plane is gone; its tunnels with it");
    directory_.forget_foreign_leases();
    recorder_.left_lost();
    for (const Session& session : sessions()) end(session.id, Cause::kInternal);
  }

  std::vector<Session> sessions() const {
    std::vector<Session> out;
    for (const Door* door : doors_) {
      for (Session& one : door->sessions()) out.push_back(std::move(one));
    }
    return out;
  }

  /// Sessions of a process before, whose clients have ended them.
  void end_left_over() {
    for (const auto& [tunnel, cause] : l2tp_->take_left_over()) recorder_.end_left(left_session(tunnel), cause);
  }

  void end(std::uint64_t session, Cause cause) {
    if (recorder_.end_left(session, cause)) {
      if (cause != Cause::kReplaced) l2tp_->end_left(static_cast<std::uint32_t>(session), sentence_of(cause, true));
      return;
    }
    if (cause != Cause::kReplaced) tunnels_.cut(session);
    for (Door* door : doors_) {
      if (door->end(session, cause, sentence_of(cause, true))) return;
    }
  }

  ipc::VpnAnswer answer(const ipc::VpnQuestion& question) {
    ipc::VpnAnswer out;
    if (question.has_list()) {
      recorder_.list(sessions(), out);
      directory_.list_locked(out);
    } else if (question.has_end()) {
      const auto& asked = question.end();
      const auto found = recorder_.sessions_of(asked.vpn_sid(), asked.tenant(), asked.user(), sessions());
      for (const std::uint64_t session : found) end(session, Cause::kAdmin);
      out.set_done(static_cast<std::uint32_t>(found.size()));
    } else if (question.has_unlock()) {
      out.set_done(directory_.unlock(question.unlock().tenant(), question.unlock().user()) ? 1 : 0);
    } else if (question.has_trial()) {
      *out.mutable_trial() = trials_.ask(question.trial(), Clock::now());
    } else if (question.has_learn()) {
      directory_.learn(question.learn());
    } else if (question.has_save()) {
      ipc::VpnMemory memory;
      if (directory_.save(memory)) *out.mutable_memory() = std::move(memory);
    }
    return out;
  }

  void follow(const std::shared_ptr<const Plan>& plan) {
    if (!std::exchange(followed_, true) && plan->memory) directory_.restore(*plan->memory);
    directory_.set_plan(plan);
    backends_.set_plan(plan);
    certificates_.follow(*plan);
    for (Door* door : doors_) door->follow(plan);
    note("follows revision " + std::to_string(plan->generation));
  }

  RenamedUsers renamed_;
  UserDirectory directory_;
  TunnelClient tunnels_;
  EventLog log_;
  radius::Backends backends_;
  SessionRecorder recorder_;
  DoorCertificates certificates_;
  PlanClient plans_;
  OperatorLink operators_;
  SessionKeeper keeper_;
  SessionIds ids_;
  LoginTrials trials_{directory_, backends_, ids_};
  std::unique_ptr<sstp::SstpDoor> sstp_;  ///< doors end first: their sessions tell the recorder
  std::unique_ptr<l2tp::L2tpDoor> l2tp_;
  std::vector<Door*> doors_;
  bool followed_ = false;
};

constexpr const char* kUsage =
    "tunneld - lets people in by SSTP and L2TP\n\n"
    "usage: tunneld [--run-dir DIR] [--port N] [--connections N] [--usage-seconds N] [--verbose]\n\n"
    "  --run-dir DIR  sockets to connect to: tunnel.sock, control.sock, event.sock (/run/sekisho)\n"
    "  --port N       TCP port of the service network (443)\n"
    "  --connections N  at once, 16 to 65536 (16384)\n"
    "  --usage-seconds N  between records of what a session carried, 1 to 86400 (3600)\n"
    "  --verbose      more lines, with names of users, on standard error\n"
    "  --help         this text\n"
    "It runs in the network namespace whose one card leads to dataplaned's --service-device.\n";

std::optional<Options> parse_options(int argc, char** argv) {
  constexpr option kOptions[] = {{"run-dir", required_argument, nullptr, 'r'},       {"port", required_argument, nullptr, 'p'},
                                 {"connections", required_argument, nullptr, 'c'},   {"usage-seconds", required_argument, nullptr, 'u'},
                                 {"verbose", no_argument, nullptr, 'v'},             {"help", no_argument, nullptr, 'h'},
                                 {nullptr, 0, nullptr, 0}};
  Options out;
  for (int chosen; (chosen = getopt_long(argc, argv, "", kOptions, nullptr)) != -1;) {
    if (chosen == 'r') out.run_dir = optarg;
    if (chosen == 'p') out.port = static_cast<std::uint32_t>(std::strtoul(optarg, nullptr, 10));
    if (chosen == 'c') out.connections = static_cast<std::uint32_t>(std::strtoul(optarg, nullptr, 10));
    if (chosen == 'u') out.usage = std::chrono::seconds(std::strtol(optarg, nullptr, 10));
    if (chosen == 'v') out.verbose = true;
    if (chosen == 'h') {
      std::fputs(kUsage, stdout);
      std::exit(0);
    }
    if (chosen == '?') return std::nullopt;
  }
  const bool ports = out.port >= 1 && out.port <= 65535 && out.connections >= 16 && out.connections <= 65536;
  if (optind != argc || !ports || out.usage < 1s || out.usage > 86400s) return std::nullopt;
  return out;
}

/// As many descriptors as may be, and no more connections than that.
void fit_descriptors(Options& options) {
  constexpr rlim_t kOthers = 64;
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &files);
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= options.connections + kOthers) return;
  options.connections = static_cast<std::uint32_t>(std::max(files.rlim_cur, 2 * kOthers) - kOthers);
  note("room for " + std::to_string(options.connections) + " connections alone: raise RLIMIT_NOFILE");
}

int run(Options options) {
  if (::geteuid() == 0) return note("does not run as root: give it a user of its own"), 1;
  if (const auto given = give_up_privileges(); !given) return note("cannot give up privileges: " + describe(given.error())), 1;
  fit_descriptors(options);
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // for every thread to come
  ::signal(SIGPIPE, SIG_IGN);
  const Fd asked(::signalfd(-1, &signals, SFD_CLOEXEC));
  ::tzset();  // reads its file now or never
  OPENSSL_init_ssl(OPENSSL_INIT_LOAD_SSL_STRINGS | OPENSSL_INIT_LOAD_CONFIG, nullptr);  // likewise
  Daemon daemon(options);
  if (const auto opened = daemon.open(options); !opened) return note("cannot listen: " + describe(opened.error())), 1;
  const auto entered = enter_sandbox(Sandbox::kAccepts);
  if (!entered) return note("cannot enter the sandbox: " + describe(entered.error())), 1;
  note("ready");
  daemon.run(asked.get());
  note("ends");
  return 0;
}

}  // namespace
}  // namespace sekisho::vpn

int main(int argc, char** argv) {
  const auto options = sekisho::vpn::parse_options(argc, argv);
  if (!options) return std::fputs(sekisho::vpn::kUsage, stderr), 2;
  return sekisho::vpn::run(*options);
}
