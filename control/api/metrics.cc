// SPDX-License-Identifier: Apache-2.0
// Prometheus' text format (0.0.4): the unit's numbers for the provider, and a tenant's own where the provider has switched them on.
#include <sys/statvfs.h>

#include <fstream>
#include <map>
#include <string>

#include "base/ipc/keying_daemon.h"
#include "control/api/call.h"
#include "control/api/sampler.h"
#include "control/links/log_watch.h"

namespace sekisho::control {
namespace {

class Exposition {
 public:
  /// Samples of a family follow it.
  void family(const char* name, const char* type, const char* help) {
    name_ = name;
    text_ += "# HELP " + name_ + ' ' + help + "\n# TYPE " + name_ + ' ' + type + '\n';
  }
  void sample(std::uint64_t value) { text_ += name_ + ' ' + std::to_string(value) + '\n'; }
  void sample(const char* label, std::string_view is, std::uint64_t value) {
    text_ += name_ + '{' + label + "=\"" + std::string(is) + "\"} " + std::to_string(value) + '\n';
  }
  void reply(const CallPtr& call) {
    api::File file;
    file.set_file_name("metrics.txt");
    file.set_media_type("text/plain; version=0.0.4; charset=utf-8");
    file.set_text(std::move(text_));
    call->reply(file);
  }

 private:
  std::string name_, text_;
};

void add_machine(Exposition& out) {
  std::ifstream meminfo("/proc/meminfo");
  std::string key;
  std::string unit;
  std::uint64_t value = 0;
  out.family("sekisho_memory_bytes", "gauge", "Memory of the unit");
  while (meminfo >> key >> value && std::getline(meminfo, unit)) {
    constexpr std::uint64_t kKibibyte = 1024;
    if (key == "MemTotal:") out.sample("kind", "total", value * kKibibyte);
    if (key == "MemAvailable:") out.sample("kind", "available", value * kKibibyte);
  }
  std::ifstream stat("/proc/stat");
  std::string cpu;
  std::uint64_t user = 0;
  std::uint64_t nice = 0;
  std::uint64_t system = 0;
  std::uint64_t idle = 0;
  if (stat >> cpu >> user >> nice >> system >> idle) {
    out.family("sekisho_cpu_ticks_total", "counter", "Processor time of all cores, hundredths of a second");
    out.sample("mode", "busy", user + nice + system);
    out.sample("mode", "idle", idle);
  }
  struct statvfs disk {};
  if (::statvfs(".", &disk) == 0 || ::statvfs("/", &disk) == 0) {
    out.family("sekisho_disk_bytes", "gauge", "The disk of the unit");
    out.sample("kind", "total", disk.f_blocks * disk.f_frsize);
    out.sample("kind", "available", disk.f_bavail * disk.f_frsize);
  }
}

void add_traffic(Exposition& out, const ApiWorld& world) {
  const ipc::Counters& counters = world.sampler.counters();
  out.family("sekisho_up", "gauge", "1 while the data plane answers");
  out.sample(world.sampler.counting() ? 1 : 0);
  out.family("sekisho_packets_total", "counter", "Packets since the data plane's start, by what became of them");
  const auto& sum = counters.conservation();
  out.sample("fate", "received", sum.received());
  out.sample("fate", "generated", sum.generated());
  out.sample("fate", "sent", sum.sent());
  out.sample("fate", "dropped", sum.dropped());
  std::uint64_t received = 0;
  std::uint64_t sent = 0;
  for (const auto& port : counters.ports()) {
    received += port.rx_bytes();
    sent += port.tx_bytes();
  }
  out.family("sekisho_bytes_total", "counter", "Bytes through all Ports");
  out.sample("direction", "received", received);
  out.sample("direction", "sent", sent);
  std::map<std::string, std::uint64_t> drops;
  for (const auto& drop : counters.drops()) drops[drop.name()] += drop.packets();
  out.family("sekisho_drops_total", "counter", "Dropped packets by reason");
  for (const auto& [reason, packets] : drops) out.sample("reason", reason, packets);
}

/// By service code: the provider's numbers name contracts, never what is inside them.
void add_tenants(Exposition& out, const ApiWorld& world, const InForce& now) {
  std::map<std::uint32_t, const ipc::TenantCounter*> counted;
  for (const auto& counter : world.sampler.counters().tenants()) counted.emplace(counter.tenant(), &counter);
  const auto each = [&](const auto& add) {
    for (int i = 0; now.model != nullptr && i < now.model->tenants_size(); ++i) {
      const std::string& code = now.model->tenants(i).service_code();
      const auto at = counted.find(world.ids.find(IdKind::kTenant, tenant_key(code)));
      add(code, at == counted.end() ? nullptr : at->second);
    }
  };
  out.family("sekisho_sessions", "gauge", "Living sessions");
  each([&](const std::string& code, const auto* counter) {
    if (counter != nullptr) out.sample("tenant", code, counter->sessions());
  });
  out.family("sekisho_vpn_sessions", "gauge", "Remote users that are in");
  each([&](const std::string& code, const auto*) {
    out.sample("tenant", code, world.sampler.sums(code)[Sampler::kVpnSessions]);
  });
  out.family("sekisho_log_records_lost_total", "counter", "Log records that found no room");
  each([&](const std::string& code, const auto* counter) {
    if (counter != nullptr) out.sample("tenant", code, counter->log_lost());
  });
}

void add_daemons(Exposition& out, const ApiWorld& world) {
  if (!world.vpn_answers) return;
  out.family("sekisho_vpn_daemon_up", "gauge", "1 while a daemon of remote access answers");
  for (std::uint32_t daemon = 0; daemon < kKeyingDaemons; ++daemon) {
    out.sample("daemon", name_of(static_cast<KeyingDaemon>(daemon)), world.vpn_answers(daemon) ? 1 : 0);
  }
}

void add_log(Exposition& out, const ApiWorld& world) {
  if (!world.log_watched) return;
  const std::optional<ipc::LogWatched> log = world.log_watched();
  out.family("sekisho_log_up", "gauge", "1 while the log store answers");
  out.sample(log ? 1 : 0);
  if (!log) return;
  out.family("sekisho_log_pressure", "gauge", "The log's disk: 0 all is kept, 1 a warning, 2 to 5 less and less, 6 full");
  out.sample(weight_of_pressure(log->pressure()));
  out.family("sekisho_log_disk_bytes", "gauge", "The disk of the log");
  out.sample("kind", "total", log->disk_bytes());
  out.sample("kind", "available", log->disk_free_bytes());
}

void metrics(const CallPtr& call, const ApiWorld& world) {
  const InForce now = world.in_force();
  Exposition out;
  add_traffic(out, world);
  add_tenants(out, world, now);
  add_daemons(out, world);
  add_log(out, world);
  out.family("sekisho_clock_synchronised", "gauge", "1 while the clock follows an outer source");
  out.sample(world.clock().synchronised() ? 1 : 0);
  out.family("sekisho_revision", "gauge", "Revision in force");
  out.sample(now.revision);
  add_machine(out);
  out.reply(call);
}

/// What passes at the tenant's own Ports, and what became of it; nothing of the machine, and of nobody else.
void tenant_metrics(const CallPtr& call, const ApiWorld& world) {
  const InForce now = world.in_force();
  const model::Tenant* tenant = now.tenant(call->tenant);
  if (tenant == nullptr) return call->refuse(not_found());
  if (!tenant->metrics()) return call->refuse(denied("the provider has not switched metrics on for this contract"));
  const Sampler::Sums sums = world.sampler.sums(call->tenant);
  Exposition out;
  out.family("sekisho_up", "gauge", "1 while packets are counted");
  out.sample(world.sampler.counting() ? 1 : 0);
  out.family("sekisho_bytes_total", "counter", "Bytes at the protected Ports, since counting began");
  out.sample("direction", "in", sums[Sampler::kBitsIn] / 8);
  out.sample("direction", "out", sums[Sampler::kBitsOut] / 8);
  out.family("sekisho_packets_total", "counter", "Packets at the protected Ports, since counting began");
  out.sample("direction", "in", sums[Sampler::kPacketsIn]);
  out.sample("direction", "out", sums[Sampler::kPacketsOut]);
  const std::uint32_t id = world.ids.find(IdKind::kTenant, tenant_key(call->tenant));
  std::map<std::string, std::uint64_t> drops;
  for (const auto& drop : world.sampler.counters().drops()) {
    if (drop.tenant() == id) drops[drop.name()] += drop.packets();
  }
  if (!drops.empty()) out.family("sekisho_drops_total", "counter", "Dropped packets by reason");
  for (const auto& [reason, packets] : drops) out.sample("reason", reason, packets);
  out.family("sekisho_connections_total", "counter", "Connections that rules of today let in");
  out.sample(sums[Sampler::kConnections]);
  out.family("sekisho_sessions", "gauge", "Living sessions");
  out.sample(sums[Sampler::kSessions]);
  out.family("sekisho_vpn_sessions", "gauge", "Remote users that are in");
  out.sample(sums[Sampler::kVpnSessions]);
  out.reply(call);
}

}  // namespace

void add_metrics_methods(Handlers& out, ApiWorld& world) {
  out["GetMetrics"] = [&world](const CallPtr& call) { metrics(call, world); };
  out["GetTenantMetrics"] = [&world](const CallPtr& call) { tenant_metrics(call, world); };
}

}  // namespace sekisho::control
