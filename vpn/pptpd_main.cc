// SPDX-License-Identifier: Apache-2.0
// pptpd: remote access by PPTP, for gateways of the profile legacy that ask for it, and for nobody else: its ciphers are broken, so it
// shares no process with any other protocol. Its one Door has the rooms of tunneld and iked.
// Life-cycle. Sockets are made, the raw one for GRE with CAP_NET_RAW; privileges go; the sandbox closes before anything is accepted.
// SIGTERM: peers are told, sessions end for maintenance, records are sent.
// Rings have no doorbell: the loop sleeps 0.2 ms while packets come, and twice as long each time none did, up to 5 ms; sockets wake it.
#include <getopt.h>
#include <poll.h>
#include <signal.h>
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
#include "vpn/operator_link.h"
#include "vpn/plan_client.h"
#include "vpn/renamed_users.h"
#include "vpn/session_keeper.h"
#include "vpn/pptp/door.h"

namespace sekisho::vpn {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;
constexpr std::chrono::microseconds kPauseMin = 200us, kPauseMax = 5ms;
constexpr std::size_t kPacketsATurn = 1024;

void note(const std::string& sentence) { std::fprintf(stderr, "pptpd: %s\n", sentence.c_str()); }

struct Options {
  std::string run_dir = "/run/sekisho";
  std::chrono::seconds usage{3600};
  bool verbose = false;
};

class Daemon {
 public:
  explicit Daemon(const Options& options)
      : directory_([] { return static_cast<std::int64_t>(std::time(nullptr)); }),
        tunnels_(KeyingDaemon::kPptp, options.run_dir + "/tunnel.sock",
                 [this](const Session& session) { return recorder_.owner_of(session); }),
        log_(options.run_dir + "/event.sock"),
        backends_({directory_, tunnels_, [this](std::uint64_t session) { return recorder_.sid_of(session); },
                   [this](std::uint64_t session) { return tunnels_.totals(session); }},
                  {.daemon = KeyingDaemon::kPptp}),
        recorder_(directory_, tunnels_, log_, options.verbose,
                  [this](const SessionEvent& event, std::uint64_t, const std::optional<UserDirectory::Admitted>&,
                         const TunnelTotals* totals) { backends_.tell(event, totals, Clock::now()); },
                  [this](std::uint64_t session, std::uint32_t tenant, const ipc::VpnRecord& note) {
                    backends_.adopt(session, tenant, note, Clock::now());
                  }),
        plans_(options.run_dir + "/control.sock", KeyingDaemon::kPptp),
        operators_(options.run_dir + "/control.sock", KeyingDaemon::kPptp),
        keeper_(directory_, tunnels_, recorder_, options.usage, [this] { return sessions(); },
                [this](std::uint64_t session, Cause cause) { end(session, cause); }) {}

  /// Before the sandbox: everything that needs a socket.
  Result<void> open() {
    const auto now = [] { return static_cast<std::int64_t>(std::time(nullptr)); };
    SEKISHO_TRY(door_, pptp::PptpDoor::create({directory_, tunnels_, recorder_, &backends_}, ids_, {}, now));
    return {};
  }

  void run(int signals) {
    auto pause = kPauseMin;
    while (true) {
      pause = turn() ? 0us : std::clamp(pause * 2, kPauseMin, kPauseMax);
      std::array<pollfd, 2> watched{pollfd{signals, POLLIN, 0}, pollfd{door_->events(), POLLIN, 0}};
      const timespec wait{0, std::chrono::nanoseconds(pause).count()};
      if (::ppoll(watched.data(), watched.size(), &wait, nullptr) > 0 && watched[0].revents != 0) break;
    }
    door_->close(Clock::now());
  }

 private:
  bool turn() {
    const auto now = Clock::now();
    const std::size_t packets = tunnels_.poll(kPacketsATurn, [this, now](const Path& path, ByteSpan payload) {
      if (path.local.port == kDhcpServerPort) return answer_dhcp(path, payload);
      if (path.local.port == 0) return door_->take(path, payload, now);
      backends_.take(path, payload, now);  // of a RADIUS server's
    });
    bool worked = packets > 0;
    ask_backends(now);
    worked = door_->turn(now) || worked;
    for (const TunnelSignal& signal : tunnels_.take_signals()) std::visit([this](const auto& one) { take(one); }, signal);
    if (const auto plan = plans_.poll(now)) follow(plan);
    directory_.set_log_full(plans_.log_full());
    if (operators_.poll(now, [this](const ipc::VpnQuestion& question) { return answer(question); })) directory_.save_again();
    for (const auto& [session, cause] : directory_.take_endings()) end(session, cause);
    renamed_.tell(directory_, tunnels_);
    keeper_.turn(now);
    return worked;
  }

  /// What the tenants' RADIUS servers said, and want.
  void ask_backends(Clock::time_point now) {
    backends_.turn(now);
    for (const radius::Verdict& verdict : backends_.take_verdicts()) door_->judged(verdict, now);
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

  void take(const CarrierLost&) {}
  void take(const SaLimitReached&) {}
  void take(const PeerMovedTo&) {}
  void take(const SessionTunnelGone& gone) { end(gone.session, cause_of(gone.why)); }
  void take(const LeftTunnel& tunnel) { recorder_.left(tunnel); }
  void take(const LeftTunnelGone& gone) { recorder_.left_gone(gone); }
  void take(const ForeignLease& lease) { directory_.foreign_lease(lease); }
  void take(const DataplaneFound&) { note("connected to the data plane"); }
  void take(const DataplaneLost&) {
    note("the data plane is gone; its tunnels with it");
    directory_.forget_foreign_leases();
    recorder_.left_lost();
    for (const Session& session : sessions()) end(session.id, Cause::kInternal);
  }

  std::vector<Session> sessions() const { return door_->sessions(); }

  void end(std::uint64_t session, Cause cause) {
    if (recorder_.end_left(session, cause)) return;
    if (cause != Cause::kReplaced) tunnels_.cut(session);
    door_->end(session, cause, sentence_of(cause, true));
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
    door_->follow(plan);
    note("follows revision " + std::to_string(plan->generation));
  }

  RenamedUsers renamed_;
  UserDirectory directory_;
  TunnelClient tunnels_;
  EventLog log_;
  radius::Backends backends_;
  SessionRecorder recorder_;
  PlanClient plans_;
  OperatorLink operators_;
  SessionKeeper keeper_;
  SessionIds ids_;
  std::unique_ptr<pptp::PptpDoor> door_;  ///< ends first: its sessions tell the recorder
  bool followed_ = false;
};

constexpr const char* kUsage =
    "pptpd - lets people in by PPTP\n\n"
    "usage: pptpd [--run-dir DIR] [--usage-seconds N] [--verbose]\n\n"
    "  --run-dir DIR  sockets to connect to: tunnel.sock, control.sock, event.sock (/run/sekisho)\n"
    "  --usage-seconds N  between records of what a session carried, 1 to 86400 (3600)\n"
    "  --verbose      more lines, with names of users, on standard error\n"
    "  --help         this text\n"
    "It runs in the network namespace whose one card leads to dataplaned's --service-device, and begins with CAP_NET_RAW.\n";

std::optional<Options> parse_options(int argc, char** argv) {
  constexpr option kOptions[] = {{"run-dir", required_argument, nullptr, 'r'},       {"usage-seconds", required_argument, nullptr, 'u'},
                                 {"verbose", no_argument, nullptr, 'v'},             {"help", no_argument, nullptr, 'h'},
                                 {nullptr, 0, nullptr, 0}};
  Options out;
  for (int chosen; (chosen = getopt_long(argc, argv, "", kOptions, nullptr)) != -1;) {
    if (chosen == 'r') out.run_dir = optarg;
    if (chosen == 'u') out.usage = std::chrono::seconds(std::strtol(optarg, nullptr, 10));
    if (chosen == 'v') out.verbose = true;
    if (chosen == 'h') {
      std::fputs(kUsage, stdout);
      std::exit(0);
    }
    if (chosen == '?') return std::nullopt;
  }
  if (optind != argc || out.usage < 1s || out.usage > 86400s) return std::nullopt;
  return out;
}

int run(const Options& options) {
  if (::geteuid() == 0) return note("does not run as root: give it a user of its own"), 1;
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // for every thread to come
  ::signal(SIGPIPE, SIG_IGN);
  const Fd asked(::signalfd(-1, &signals, SFD_CLOEXEC));
  ::tzset();  // reads its file now or never
  Daemon daemon(options);
  if (const auto opened = daemon.open(); !opened) return note("cannot listen: " + describe(opened.error())), 1;
  const auto given = give_up_privileges();
  if (!given) return note("cannot give up privileges: " + describe(given.error())), 1;
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
