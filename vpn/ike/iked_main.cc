// SPDX-License-Identifier: GPL-2.0-or-later
// iked: the keying daemon of remote access by IKEv2.
// Overview. One loop: datagrams from the data plane to the engine, what the data plane says, what the configuration says. Charon's
// threads do the work, the recorder's ends and writes down what ended.
// Life-cycle. Privileges go first; then the engine starts; then the sandbox closes, before the first datagram is read. SIGTERM: peers
// are told, sessions end for maintenance, records are sent.
// Rings have no doorbell: the loop sleeps 0.2 ms while datagrams come, and twice as long each time none did, up to 5 ms. A login is
// about ten datagrams, so the first waits at most 5 ms and the others next to nothing; idle that is 200 short turns a second.
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <unordered_map>

#include "base/describe.h"
#include "base/os/sandbox.h"
#include "base/proto/vpn_log.pb.h"
#include "vpn/dhcp_inform.h"
#include "vpn/ike/engine.h"
#include "vpn/ike/ikev1_daemon.h"
#include "vpn/legacy.h"
#include "base/proto/control_vpn.pb.h"
#include "vpn/operator_link.h"
#include "vpn/ocsp_link.h"
#include "vpn/plan_client.h"
#include "vpn/radius/backends.h"
#include "vpn/random.h"
#include "vpn/recorder.h"
#include "vpn/renamed_users.h"

namespace sekisho::vpn {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;
constexpr std::chrono::microseconds kPauseMin = 200us, kPauseMax = 5ms;
constexpr std::size_t kDatagramsATurn = 256, kChecksATurn = 16;
constexpr std::chrono::seconds kCheckInterval = 5s;
constexpr std::uint16_t kIkePort = 500, kNatTraversalPort = 4500;
/// Threads that wait for RADIUS servers, of one tenant at most; and those that never do. For each that waits another may come to sleep:
/// libcharon's, which ends a login that takes too long.
constexpr std::size_t kWaitingPerTenant = 16, kThreadsFree = 16;
/// Of those that may wait, one in three waits for OCSP responders; of one tenant at most so many.
constexpr std::size_t kOcspShare = 3, kOcspPerTenant = 8;

void note(const std::string& sentence) { std::fprintf(stderr, "iked: %s\n", sentence.c_str()); }

struct Options {
  std::uint32_t ike_version = 2;
  std::string run_dir = "/run/sekisho";
  std::uint32_t threads = 128;
  std::chrono::seconds usage{3600};
  bool verbose = false;
};

class Daemon {
 public:
  Daemon(const Options& options)
      : directory_([] { return static_cast<std::int64_t>(std::time(nullptr)); }),
        tunnels_(KeyingDaemon::kIkeV2, options.run_dir + "/tunnel.sock",
                 [this](const Session& session) { return recorder_.owner_of(session); }),
        log_(options.run_dir + "/event.sock"),
        backends_({directory_, tunnels_, [this](std::uint64_t session) { return recorder_.sid_of(session); },
                   [this](std::uint64_t session) { return tunnels_.totals(session); }},
                  {.waiting_per_tenant = kWaitingPerTenant, .waiting = may_wait(options) - may_wait(options) / kOcspShare}),
        responders_(random_number(), {.waiting_per_tenant = kOcspPerTenant, .waiting = may_wait(options) / kOcspShare}),
        ocsp_(options.run_dir + "/control.sock", responders_, note),
        recorder_(directory_, tunnels_, log_, options.verbose,
                  [this](const SessionEvent& event, std::uint64_t, const std::optional<UserDirectory::Admitted>&,
                         const TunnelTotals* totals) { backends_.tell(event, totals, Clock::now()); },
                  [this](std::uint64_t session, std::uint32_t tenant, const ipc::VpnRecord& note) {
                    backends_.adopt(session, tenant, note, Clock::now());
                  }),
        plans_(options.run_dir + "/control.sock"),
        operators_(options.run_dir + "/control.sock"),
        usage_(options.usage) {}
  ~Daemon() {
    backends_.stop();
    responders_.stop();
  }

  /// Empty, or why not.
  std::string start(const Options& options) {
    EngineSettings settings;
    settings.threads = options.threads;
    settings.verbose = options.verbose;
    auto made = Engine::make(settings, {tunnels_, tunnels_, directory_, recorder_, &backends_, &responders_});
    engine_ = std::move(made.engine);
    return made.refusal;
  }

  /// True when datagrams came.
  bool turn() {
    const auto now = Clock::now();
    const std::size_t datagrams =
        tunnels_.poll(kDatagramsATurn, [this, now](const Path& path, ByteSpan payload) {
          switch (path.local.port) {
            case kIkePort: case kNatTraversalPort: return engine_->receive(path, payload);
            case kDhcpServerPort: return answer_dhcp(path, payload);
            default: return backends_.take(path, payload, now);
          }
        });
    backends_.turn(now);
    ocsp_.poll(now, static_cast<std::int64_t>(std::time(nullptr)));
    for (const std::uint64_t session : backends_.take_disconnects()) end(session, Cause::kAdmin);
    for (const auto& one : backends_.take_forgeries(now)) {
      recorder_.forged(one.tenant, one.backend, one.count, one.first, one.last);
      note("backend " + one.backend + " of tenant " + std::to_string(one.tenant) + ": " + std::to_string(one.count) +
           " messages that its servers' secrets did not sign");
    }
    for (const TunnelSignal& signal : tunnels_.take_signals()) std::visit([this](const auto& one) { take(one); }, signal);
    if (const auto plan = plans_.poll(now)) follow(*plan, plan);
    directory_.set_log_full(plans_.log_full());
    if (operators_.poll(now, [this](const ipc::VpnQuestion& question) { return answer(question); })) directory_.save_again();
    for (const auto& [session, cause] : directory_.take_endings()) end(session, cause);
    renamed_.tell(directory_, tunnels_);
    check(now);
    report_usage(now);
    return datagrams > 0;
  }

 private:
  static std::uint64_t random_number() {
    std::uint64_t out = 0;
    make_random(out);
    return out;
  }
  static std::size_t may_wait(const Options& options) { return (options.threads - kThreadsFree) / 2; }

  /// A question out of a tunnel, from the Lease it is about.
  void answer_dhcp(const Path& path, ByteSpan payload) {
    const auto request = parse_dhcp_inform(payload, path.remote.address);
    const TenantPlan* tenant = plan_ ? plan_->tenant(path.tenant) : nullptr;
    const auto name = directory_.gateway_at(path.tenant, path.remote.address);
    const GatewayPlan* at = tenant != nullptr && name ? tenant->gateway(*name) : nullptr;
    if (!request || at == nullptr) return;
    const Gateway& gateway = at->gateway;
    const DhcpFacts facts{gateway.networks, gateway.dns, gateway.dns_domains.empty() ? std::string_view{} : gateway.dns_domains.front()};
    const Endpoint here{Address::from_v4(kTunnelDhcpServerV4), kDhcpServerPort};
    const Path back{path.tenant, path.port, here, {path.remote.address, kDhcpClientPort}};
    tunnels_.send(back, answer_dhcp_inform(*request, path.remote.address, facts));
  }

  void take(const SaLimitReached& limit) { engine_->expire(limit.spi, limit.local, limit.hard); }
  void take(const PeerMovedTo& moved) { engine_->mapping_changed(moved.spi, moved.local, moved.remote); }
  void take(const SessionTunnelGone& gone) {
    engine_->terminate(gone.session, cause_of(gone.why));
  }
  void take(const LeftTunnel& tunnel) { recorder_.left(tunnel); }
  void take(const LeftTunnelGone& gone) { recorder_.left_gone(gone); }
  void take(const ForeignLease& lease) { directory_.foreign_lease(lease); }
  void take(const CarrierLost&) {}
  void take(const DataplaneFound&) {
    note("connected to the data plane");
    // The goodbye of sessions whose tunnels died with it can leave only now: their clients come back at once.
    if (std::exchange(lost_, false)) {
      for (const Session& session : engine_->sessions()) engine_->terminate(session.id, Cause::kInternal);
    }
  }
  void take(const DataplaneLost&) {
    note("the data plane is gone; its tunnels with it");
    lost_ = true;
    directory_.forget_foreign_leases();
    recorder_.left_lost();
  }

  void end(std::uint64_t session, Cause cause, std::string_view text = {}) {
    if (recorder_.end_left(session, cause)) return;
    // One that makes room for the same user's next goes when its address moves; the others lose their tunnel before their peer agrees.
    if (cause != Cause::kReplaced) tunnels_.cut(session);
    if (!engine_->terminate(session, cause, text)) unfinished_.push_back({session, cause});
  }

  ipc::VpnAnswer answer(const ipc::VpnQuestion& question) {
    ipc::VpnAnswer out;
    if (question.has_list()) {
      recorder_.list(engine_->sessions(), out);
      directory_.list_locked(out);
    } else if (question.has_end()) {
      const auto& asked = question.end();
      const auto sessions = recorder_.sessions_of(asked.vpn_sid(), asked.tenant(), asked.user(), engine_->sessions());
      for (const std::uint64_t session : sessions) end(session, Cause::kAdmin);
      out.set_done(static_cast<std::uint32_t>(sessions.size()));
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

  /// Whether something may end its sessions that only a look at them shows.
  static bool is_limited(const TenantPlan& tenant) {
    return !tenant.radius.empty() ||  // whose servers may limit a session
           std::ranges::any_of(tenant.gateways, [](const GatewayPlan& one) {
             return one.idle_seconds != 0 || one.session_seconds_max != 0 || one.gateway.profile == CryptoProfileId::kLegacy;
           });
  }

  /// The engine's gateways are the plan's as of now; they were `before`'s.
  void set_gateways(const Plan* before, const Plan& plan) {
    const std::int64_t now = std::time(nullptr), followed_at = std::exchange(followed_at_, now);
    if (before != nullptr) {
      for (const auto& [id, tenant] : before->tenants) {
        for (const GatewayPlan& one : tenant.gateways) {
          const TenantPlan* after = plan.tenant(id);
          if (after == nullptr || after->gateway(one.gateway.name) == nullptr) engine_->remove_gateway(id, one.gateway.name);
        }
      }
    }
    for (const auto& [id, tenant] : plan.tenants) {
      for (const GatewayPlan& one : tenant.gateways) {
        const TenantPlan* old = before != nullptr ? before->tenant(id) : nullptr;
        const GatewayPlan* same = old == nullptr ? nullptr : old->gateway(one.gateway.name);
        const Gateway gateway = in_force(one, now);
        if (same != nullptr && in_force(*same, followed_at) == gateway) continue;
        set_gateway(gateway);
      }
    }
  }
  void set_gateway(const Gateway& gateway) {
    if (!gateway.accepts_ike()) return engine_->remove_gateway(gateway.tenant, gateway.name);
    if (const auto why = engine_->set_gateway(gateway)) {
      note("gateway " + gateway.name + " answers nobody: " + *why);
      engine_->remove_gateway(gateway.tenant, gateway.name);
    }
  }

  void follow(const Plan& plan, const std::shared_ptr<const Plan>& keep) {
    const std::shared_ptr<const Plan> before = std::exchange(plan_, keep);
    if (!before && plan.memory) directory_.restore(*plan.memory);
    set_gateways(before.get(), plan);
    limits_ = std::ranges::any_of(plan.tenants, [](const auto& one) { return is_limited(one.second); });
    directory_.set_plan(keep);
    backends_.set_plan(keep);
    note("follows revision " + std::to_string(plan.generation));
  }

  /// Longest duration and idleness, a few sessions a turn.
  void check(Clock::time_point now) {
    std::erase_if(unfinished_, [this](const UserDirectory::Ending& one) {
      return !directory_.admitted(one.session) || engine_->terminate(one.session, one.cause);
    });
    for (const auto& [session, cause, text] : engine_->expired(static_cast<std::int64_t>(std::time(nullptr)))) end(session, cause, text);
    if (now >= next_devices_) {
      next_devices_ = now + kCheckInterval;
      directory_.judge_live();
      if (plan_ && legacy_changes(*plan_, followed_at_, std::time(nullptr))) set_gateways(plan_.get(), *plan_);
    }
    if (!plan_ || !limits_) return;
    if (to_check_.empty() && now >= next_check_) {
      next_check_ = now + kCheckInterval;
      to_check_ = engine_->session_numbers();
    }
    for (std::size_t i = 0; i < kChecksATurn && !to_check_.empty(); ++i) {
      if (const auto session = engine_->session(to_check_.back())) check(*session);
      to_check_.pop_back();
    }
  }
  void check(const Session& session) {
    const TenantPlan* tenant = plan_->tenant(session.path.tenant);
    const GatewayPlan* gateway = tenant == nullptr ? nullptr : tenant->gateway(gateway_name(session.gateway));
    const auto admitted = directory_.admitted(session.id);
    if (gateway == nullptr || !admitted) return;
    const std::int64_t now = std::time(nullptr), age = now - admitted->since;
    if (legacy_ended(*gateway, now) && !legacy_use(session).empty()) return end(session.id, Cause::kCrypto, kLegacyEnded);
    for (const std::uint32_t longest : {gateway->session_seconds_max, admitted->session_seconds}) {
      if (longest != 0 && age >= longest) return end(session.id, Cause::kMaxTime);
    }
    if (gateway->idle_seconds == 0 || age < gateway->idle_seconds) return;
    const auto idle = tunnels_.idle(session.id);
    if (!idle || idle->count() >= gateway->idle_seconds) end(session.id, Cause::kIdle);
  }

  /// A usage record of each session each `usage_` since it was first seen, a few sessions a turn.
  void report_usage(Clock::time_point now) {
    if (to_report_.empty() && now >= next_report_) {
      next_report_ = now + std::min(usage_ / 4 + 1s, std::chrono::seconds(60));
      to_report_ = engine_->session_numbers();
      std::unordered_map<std::uint64_t, Clock::time_point> live;
      for (const std::uint64_t number : to_report_) {
        const auto known = due_.find(number);
        live.emplace(number, known == due_.end() ? now + usage_ : known->second);
      }
      due_ = std::move(live);
    }
    for (std::size_t i = 0; i < kChecksATurn && !to_report_.empty(); ++i) {
      const std::uint64_t number = to_report_.back();
      to_report_.pop_back();
      Clock::time_point& due = due_[number];
      if (now < due) continue;
      if (const auto session = engine_->session(number)) recorder_.usage(*session);
      due += usage_;
    }
  }

  RenamedUsers renamed_;
  UserDirectory directory_;
  TunnelClient tunnels_;
  EventLog log_;
  radius::Backends backends_;
  OcspDesk responders_;
  OcspLink ocsp_;
  SessionRecorder recorder_;
  PlanClient plans_;
  OperatorLink operators_;
  std::unique_ptr<Engine> engine_;  ///< ends first: its threads use all the others
  std::shared_ptr<const Plan> plan_;
  std::vector<UserDirectory::Ending> unfinished_;  ///< not up yet when they had to go
  std::vector<std::uint64_t> to_check_;
  Clock::time_point next_check_{}, next_devices_{};
  std::chrono::seconds usage_;
  std::vector<std::uint64_t> to_report_;
  std::unordered_map<std::uint64_t, Clock::time_point> due_;  ///< the next usage record of a session
  Clock::time_point next_report_{};
  std::int64_t followed_at_ = 0;  ///< when the engine's gateways were set: seconds since 1970 UTC
  bool limits_ = false;
  bool lost_ = false;
};

/// Turns until a signal comes.
void run(int signals, const std::function<bool()>& turn) {
  auto pause = kPauseMin;
  while (true) {
    pause = turn() ? kPauseMin : std::min(pause * 2, kPauseMax);
    pollfd watched{signals, POLLIN, 0};
    const timespec wait{0, std::chrono::nanoseconds(pause).count()};
    if (::ppoll(&watched, 1, &wait, nullptr) > 0) return;
  }
}

constexpr const char* kUsage =
    "iked - lets people in by IKEv2, or keys the SAs L2TP runs in by IKEv1\n\n"
    "usage: iked [--ike-version 1|2] [--run-dir DIR] [--threads N] [--usage-seconds N] [--verbose]\n\n"
    "  --ike-version V  the one this process speaks: 1, for L2TP alone, or 2 (2); each is a process and a user of its own\n"
    "  --run-dir DIR  sockets to connect to: tunnel.sock, control.sock, event.sock (/run/sekisho)\n"
    "  --threads N    of libcharon, 24 to 256 (128); half of all but 16 of them may wait for RADIUS servers\n"
    "  --usage-seconds N  between records of what a session carried, 1 to 86400 (3600)\n"
    "  --verbose      libcharon's own lines, with names of users, on standard error\n"
    "  --help         this text\n";

std::optional<Options> parse_options(int argc, char** argv) {
  constexpr option kOptions[] = {{"ike-version", required_argument, nullptr, 'i'},
                                 {"run-dir", required_argument, nullptr, 'r'},
                                 {"threads", required_argument, nullptr, 't'},
                                 {"usage-seconds", required_argument, nullptr, 'u'},
                                 {"verbose", no_argument, nullptr, 'v'},
                                 {"help", no_argument, nullptr, 'h'},
                                 {nullptr, 0, nullptr, 0}};
  Options out;
  for (int chosen; (chosen = getopt_long(argc, argv, "", kOptions, nullptr)) != -1;) {
    if (chosen == 'i') out.ike_version = static_cast<std::uint32_t>(std::strtoul(optarg, nullptr, 10));
    if (chosen == 'r') out.run_dir = optarg;
    if (chosen == 't') out.threads = static_cast<std::uint32_t>(std::strtoul(optarg, nullptr, 10));
    if (chosen == 'u') out.usage = std::chrono::seconds(std::strtol(optarg, nullptr, 10));
    if (chosen == 'v') out.verbose = true;
    if (chosen == 'h') {
      std::fputs(kUsage, stdout);
      std::exit(0);
    }
    if (chosen == '?') return std::nullopt;
  }
  if (out.ike_version != 1 && out.ike_version != 2) return std::nullopt;
  if (optind != argc || out.threads < 24 || out.threads > 256 || out.usage < 1s || out.usage > 86400s) return std::nullopt;
  return out;
}

int run(const Options& options) {
  if (::geteuid() == 0) return note("does not run as root: give it a user of its own"), 1;
  if (const auto given = give_up_privileges(); !given) return note("cannot give up privileges: " + describe(given.error())), 1;
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // for every thread to come
  ::signal(SIGPIPE, SIG_IGN);
  const Fd asked(::signalfd(-1, &signals, SFD_CLOEXEC));
  ::tzset();  // reads its file now or never
  std::optional<Daemon> second;
  std::optional<IkeV1Daemon> first;
  options.ike_version == 1 ? (void)first.emplace(options.run_dir, options.threads, options.verbose) : (void)second.emplace(options);
  if (const std::string why = first ? first->start() : second->start(options); !why.empty()) return note("cannot start: " + why), 1;
  if (const auto entered = enter_sandbox(); !entered) return note("cannot enter the sandbox: " + describe(entered.error())), 1;
  note("ready");
  run(asked.get(), [&] { return first ? first->turn() : second->turn(); });
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
