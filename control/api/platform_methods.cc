// SPDX-License-Identifier: Apache-2.0
// What the provider sees and says: metrics, notices.
#include <sys/statvfs.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "control/access/password.h"
#include "control/access/rfc3339.h"
#include "control/api/call.h"
#include "control/api/happenings.h"
#include "control/api/sampler.h"
#include "control/config/text.h"

namespace sekisho::control {
namespace {

constexpr std::size_t kNoticesMax = 500;

/// One family of Prometheus' text format.
void family(std::string& out, const char* name, const char* type, const char* help) {
  out += "# HELP " + std::string(name) + ' ' + help + "\n# TYPE " + name + ' ' + type + '\n';
}

void sample(std::string& out, const std::string& name, std::uint64_t value) {
  out += name + ' ' + std::to_string(value) + '\n';
}

void add_machine(std::string& out) {
  std::ifstream meminfo("/proc/meminfo");
  std::string key;
  std::string unit;
  std::uint64_t value = 0;
  family(out, "sekisho_memory_bytes", "gauge", "Memory of the unit");
  while (meminfo >> key >> value && std::getline(meminfo, unit)) {
    constexpr std::uint64_t kKibibyte = 1024;
    if (key == "MemTotal:") sample(out, "sekisho_memory_bytes{kind=\"total\"}", value * kKibibyte);
    if (key == "MemAvailable:") sample(out, "sekisho_memory_bytes{kind=\"available\"}", value * kKibibyte);
  }
  std::ifstream stat("/proc/stat");
  std::string cpu;
  std::uint64_t user = 0;
  std::uint64_t nice = 0;
  std::uint64_t system = 0;
  std::uint64_t idle = 0;
  if (stat >> cpu >> user >> nice >> system >> idle) {
    family(out, "sekisho_cpu_ticks_total", "counter", "Processor time of all cores, hundredths of a second");
    sample(out, "sekisho_cpu_ticks_total{mode=\"busy\"}", user + nice + system);
    sample(out, "sekisho_cpu_ticks_total{mode=\"idle\"}", idle);
  }
  struct statvfs disk {};
  if (::statvfs(".", &disk) == 0 || ::statvfs("/", &disk) == 0) {
    family(out, "sekisho_disk_bytes", "gauge", "The disk of the unit");
    sample(out, "sekisho_disk_bytes{kind=\"total\"}", disk.f_blocks * disk.f_frsize);
    sample(out, "sekisho_disk_bytes{kind=\"available\"}", disk.f_bavail * disk.f_frsize);
  }
}

/// By service code: the provider's numbers name contracts, never what is inside them.
void metrics(const CallPtr& call, ApiWorld& world) {
  const ipc::Counters& counters = world.sampler.counters();
  std::string out;
  family(out, "sekisho_up", "gauge", "1 while the data plane answers");
  sample(out, "sekisho_up", world.sampler.counting() ? 1 : 0);
  family(out, "sekisho_packets_total", "counter", "Packets since the data plane's start, by what became of them");
  const auto& sum = counters.conservation();
  sample(out, "sekisho_packets_total{fate=\"received\"}", sum.received());
  sample(out, "sekisho_packets_total{fate=\"generated\"}", sum.generated());
  sample(out, "sekisho_packets_total{fate=\"sent\"}", sum.sent());
  sample(out, "sekisho_packets_total{fate=\"dropped\"}", sum.dropped());
  std::uint64_t received = 0;
  std::uint64_t sent = 0;
  for (const auto& port : counters.ports()) {
    received += port.rx_bytes();
    sent += port.tx_bytes();
  }
  family(out, "sekisho_bytes_total", "counter", "Bytes through all Ports");
  sample(out, "sekisho_bytes_total{direction=\"received\"}", received);
  sample(out, "sekisho_bytes_total{direction=\"sent\"}", sent);
  std::map<std::string, std::uint64_t> drops;
  for (const auto& drop : counters.drops()) drops[drop.name()] += drop.packets();
  family(out, "sekisho_drops_total", "counter", "Dropped packets by reason");
  for (const auto& [reason, packets] : drops) sample(out, "sekisho_drops_total{reason=\"" + reason + "\"}", packets);
  std::string sessions;
  std::string lost;
  const InForce now = world.in_force();
  for (int i = 0; now.model != nullptr && i < now.model->tenants_size(); ++i) {
    const std::string& code = now.model->tenants(i).service_code();
    const std::uint32_t id = world.ids.find(IdKind::kTenant, tenant_key(code));
    for (const auto& counter : counters.tenants()) {
      if (counter.tenant() != id) continue;
      sample(sessions, "sekisho_sessions{tenant=\"" + code + "\"}", counter.sessions());
      sample(lost, "sekisho_log_records_lost_total{tenant=\"" + code + "\"}", counter.log_lost());
    }
  }
  family(out, "sekisho_sessions", "gauge", "Living sessions");
  out += sessions;
  family(out, "sekisho_log_records_lost_total", "counter", "Log records that found no room");
  out += lost;
  family(out, "sekisho_revision", "gauge", "Revision in force");
  sample(out, "sekisho_revision", now.revision);
  add_machine(out);
  api::File file;
  file.set_file_name("metrics.txt");
  file.set_media_type("text/plain; version=0.0.4; charset=utf-8");
  file.set_text(std::move(out));
  call->reply(file);
}

/// Newest first. tenant empty: all.
api::NoticeList notices(ApiWorld& world, const std::string& tenant) {
  api::NoticeList out;
  const auto records = world.store.records(RecordKind::kNotice);
  for (const auto& record : records ? *records : std::vector<Store::Record>()) {
    api::Notice one;
    if (!one.ParseFromString(record.value)) continue;
    const bool meant = tenant.empty() || one.tenants_size() == 0 ||
                       std::find(one.tenants().begin(), one.tenants().end(), tenant) != one.tenants().end();
    if (!meant) continue;
    if (!tenant.empty()) one.clear_tenants();  // whom else it concerns is not this tenant's business
    *out.add_notices() = std::move(one);
  }
  std::stable_sort(out.mutable_notices()->begin(), out.mutable_notices()->end(),
                   [](const auto& a, const auto& b) { return a.changed().seconds() > b.changed().seconds(); });
  return out;
}

Refusal judge(const api::Notice& notice, const InForce& now) {
  const auto one_of = [](const std::string& text, std::initializer_list<const char*> words) {
    return std::find(words.begin(), words.end(), text) != words.end();
  };
  if (!one_of(notice.kind(), {"maintenance", "change", "incident"}))
    return invalid("notice.kind", "a notice is maintenance, change or incident");
  if (!one_of(notice.state(), {"planned", "running", "done", "cancelled"}))
    return invalid("notice.state", "a state is planned, running, done or cancelled");
  if (!notice.from().empty() && !parse_rfc3339(notice.from()))
    return invalid("notice.from", "times are written as in RFC 3339");
  if (!notice.until().empty() && !parse_rfc3339(notice.until()))
    return invalid("notice.until", "times are written as in RFC 3339");
  if (notice.title_en().empty() || notice.title_ja().empty())
    return invalid("notice.title_ja", "a notice has a title in both languages");
  for (const std::string& text : {notice.title_en(), notice.title_ja(), notice.text_en(), notice.text_ja()}) {
    constexpr std::size_t kCharactersMax = 4000;
    if (find_bad_text(text) != std::string::npos || count_characters(text) > kCharactersMax)
      return invalid("notice", "texts have at most 4000 characters");
  }
  for (const auto& tenant : notice.tenants()) {
    if (now.tenant(tenant) == nullptr) return invalid("notice.tenants", "there is no tenant " + tenant);
  }
  return {};
}

void put_notice(const CallPtr& call, ApiWorld& world, bool fresh) {
  const auto& request = call->request<api::NoticeRequest>();
  api::Notice notice = request.notice();
  if (Refusal refusal = judge(notice, world.in_force())) return call->refuse(refusal);
  const api::NoticeList all = notices(world, "");
  const bool known = std::any_of(all.notices().begin(), all.notices().end(),
                                 [&](const auto& one) { return one.id() == request.id(); });
  if (!fresh && !known) return call->refuse(not_found());
  if (fresh && static_cast<std::size_t>(all.notices_size()) >= kNoticesMax) {
    (void)world.store.remove(RecordKind::kNotice, all.notices(all.notices_size() - 1).id());
  }
  notice.set_id(fresh ? random_token(9) : request.id());
  notice.mutable_changed()->set_seconds(world.now());
  call->about = notice.title_en();
  if (!world.store.put(RecordKind::kNotice, notice.id(), notice.SerializeAsString()))
    return call->refuse(unavailable("the store cannot be written"));
  for (const Happening& one : happenings_of(notice, world.in_force())) world.notifier.tell(one);
  call->reply(notice);
}

}  // namespace

void add_platform_methods(Handlers& out, ApiWorld& world) {
  out["GetMetrics"] = [&world](const CallPtr& call) { metrics(call, world); };
  out["ListNotices"] = [&world](const CallPtr& call) { call->reply(notices(world, call->tenant)); };
  out["ListAllNotices"] = [&world](const CallPtr& call) { call->reply(notices(world, "")); };
  out["AddNotice"] = [&world](const CallPtr& call) { put_notice(call, world, true); };
  out["ChangeNotice"] = [&world](const CallPtr& call) { put_notice(call, world, false); };
}

}  // namespace sekisho::control
