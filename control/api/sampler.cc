// SPDX-License-Identifier: Apache-2.0
#include "control/api/sampler.h"

#include <algorithm>
#include <chrono>

#include "control/compile/compiler.h"

namespace sekisho::control {
namespace {

using namespace std::chrono_literals;

constexpr auto kDeadline = 3s;
constexpr std::size_t kNamedMax = 20;
constexpr std::array<const char*, Sampler::kLines> kNames{"bits_in", "bits_out", "packets_in",  "packets_out",
                                                          "drops",   "sessions", "connections", "vpn_sessions"};
constexpr bool is_rate(std::size_t line) {
  return line != Sampler::kSessions && line != Sampler::kVpnSessions;
}

using Names = google::protobuf::RepeatedPtrField<api::Named>;

void keep_greatest(std::map<std::string, double> all, Names& out) {
  std::vector<std::pair<std::string, double>> sorted(all.begin(), all.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  sorted.resize(std::min(sorted.size(), kNamedMax));
  for (auto& [name, value] : sorted) {
    auto& one = *out.Add();
    one.set_name(std::move(name));
    one.set_value(value);
  }
}

}  // namespace

Sampler::Sampler(boost::asio::io_context& io, DataplaneLink& dataplane, Ids& ids, std::function<InForce()> in_force,
                 std::function<void(ControlRequest, ControlServer::Reply)> ask, std::function<std::int64_t()> now)
    : timer_(io),
      dataplane_(dataplane),
      ids_(ids),
      in_force_(std::move(in_force)),
      ask_(std::move(ask)),
      now_(std::move(now)) {}

void Sampler::start() {
  stopped_ = false;
  tick_later();
}

void Sampler::stop() {
  stopped_ = true;
  timer_.cancel();
}

bool Sampler::counting() const {
  return taken_at_ != 0 && now_() - taken_at_ <= 2 * std::int64_t{kStepSeconds};
}

void Sampler::tick_later() {
  timer_.expires_after(std::chrono::seconds(kStepSeconds));
  timer_.async_wait([this](const boost::system::error_code& failed) {
    if (!failed && !stopped_) tick();
  });
}

void Sampler::tick() {
  tick_later();
  if (!dataplane_.connected() || in_force_().model == nullptr) return;
  count_vpn_sessions();
  ipc::ToDataplane question;
  question.mutable_read_counters();
  dataplane_.ask(std::move(question), kDeadline, [this](const DataplaneLink::Reply& reply) {
    ipc::Counters counters;
    if (reply.error.empty() && counters.ParseFromString(reply.bulk)) take(counters, now_());
  });
}

void Sampler::count_vpn_sessions() {
  ControlRequest question;
  question.message.mutable_show()->set_what(ipc::Show::VPN_SESSIONS);
  ask_(std::move(question), [this](ControlAnswer answer) {
    ipc::Table table = answer.message.show_result().table();
    if (answer.message.show_result().in_fd()) {
      const auto blob = take_blob(std::move(answer.fd));
      if (!blob || !table.ParseFromString(*blob)) return;
    }
    vpn_sessions_.clear();
    int column = 0;
    while (column < table.columns_size() && table.columns(column).key() != "tenant") ++column;
    for (const auto& row : table.rows()) {
      if (column < row.cells_size()) ++vpn_sessions_[row.cells(column)];
    }
  });
}

std::map<std::string, Sampler::Sums> Sampler::sums_of(const ipc::Counters& counters) {
  std::map<std::uint32_t, const ipc::PortCounter*> ports;
  for (const auto& one : counters.ports()) ports.emplace(one.port(), &one);
  std::map<std::uint32_t, std::uint64_t> drops;
  for (const auto& one : counters.drops()) drops[one.tenant()] += one.packets();
  std::map<std::uint32_t, std::uint64_t> sessions;
  for (const auto& one : counters.tenants()) sessions[one.tenant()] = one.sessions();
  std::map<std::uint32_t, std::uint64_t> connections;
  for (const auto& one : counters.rules()) connections.emplace(one.rule(), one.connections());
  std::map<std::string, Sums> out;
  for (const auto& tenant : in_force_().model->tenants()) {
    auto& sums = out[tenant.service_code()];
    const auto protects = [](const model::Port& port) { return port.kind() == model::Port::SEGMENT; };
    const bool any = std::any_of(tenant.ports().begin(), tenant.ports().end(), protects);
    for (const auto& port : tenant.ports()) {
      const auto at = ports.find(ids_.find(IdKind::kPort, port_key(tenant.service_code(), port.name())));
      if (at == ports.end() || (any && !protects(port))) continue;
      // Seen from the tenant's own side: what goes out of a protected Port comes in.
      const ipc::PortCounter& c = *at->second;
      sums[kBitsIn] += 8 * (any ? c.tx_bytes() : c.rx_bytes());
      sums[kBitsOut] += 8 * (any ? c.rx_bytes() : c.tx_bytes());
      sums[kPacketsIn] += any ? c.tx_packets() : c.rx_packets();
      sums[kPacketsOut] += any ? c.rx_packets() : c.tx_packets();
    }
    const std::uint32_t id = ids_.find(IdKind::kTenant, tenant_key(tenant.service_code()));
    sums[kDrops] = drops[id];
    sums[kSessions] = sessions[id];
    sums[kVpnSessions] = vpn_sessions_[tenant.service_code()];
    for (const auto& policy : tenant.policies()) {
      for (const auto& rule : policy.rules()) {
        const auto at = connections.find(
            ids_.find(IdKind::kRule, rule_key(tenant.service_code(), rule_uuid(ids_, tenant, policy, rule))));
        if (at != connections.end()) sums[kConnections] += at->second;
      }
    }
  }
  return out;
}

void Sampler::take(const ipc::Counters& counters, std::int64_t at) {
  const double seconds = taken_at_ == 0 || at <= taken_at_ ? kStepSeconds : static_cast<double>(at - taken_at_);
  const std::map<std::string, Sums> now = sums_of(counters);
  std::erase_if(tenants_, [&](const auto& entry) { return !now.contains(entry.first); });
  for (const auto& [name, sums] : now) {
    Lines& lines = tenants_[name];
    Point point{};
    for (std::size_t i = 0; i < kLines; ++i) {
      const std::uint64_t before = lines.last[i];
      // A data plane that has started anew counts from nothing.
      const std::uint64_t rise = !lines.known || sums[i] < before ? 0 : sums[i] - before;
      point[i] = static_cast<float>(is_rate(i) ? static_cast<double>(rise) / seconds : static_cast<double>(sums[i]));
    }
    lines.last = sums;
    lines.known = true;
    lines.points.push_back(point);
    if (lines.points.size() > kSecondsMax / kStepSeconds) lines.points.pop_front();
  }
  counters_ = counters;
  taken_at_ = at;
}

Sampler::Sums Sampler::sums(const std::string& service_code) const {
  const auto at = tenants_.find(service_code);
  return at == tenants_.end() ? Sums{} : at->second.last;
}

api::Dashboard Sampler::dashboard(const std::string& service_code, std::uint32_t seconds) {
  constexpr std::uint32_t kSecondsDefault = 600;
  api::Dashboard out;
  out.mutable_now()->set_seconds(taken_at_ == 0 ? now_() : taken_at_);
  out.set_step_seconds(kStepSeconds);
  out.set_counting(counting());
  const std::size_t wanted = std::min(seconds == 0 ? kSecondsDefault : seconds, kSecondsMax) / kStepSeconds;
  const auto& points = tenants_[service_code].points;
  const std::size_t first = points.size() > wanted ? points.size() - wanted : 0;
  const InForce now = in_force_();
  const auto* tenant = now.tenant(service_code);
  const bool traffic = tenant != nullptr && tenant->metrics();
  for (std::size_t line = traffic ? 0 : kDrops; line < kLines; ++line) {
    auto& series = *out.add_series();
    series.set_name(kNames[line]);
    for (std::size_t i = first; i < points.size(); ++i) series.add_values(static_cast<double>(points[i][line]));
  }
  if (tenant == nullptr) return out;
  out.set_revision(now.revision);
  const std::uint32_t id = ids_.find(IdKind::kTenant, tenant_key(service_code));
  std::map<std::string, double> drops;
  for (const auto& drop : counters_.drops()) {
    if (drop.tenant() == id) drops[drop.name()] += static_cast<double>(drop.packets());
  }
  keep_greatest(std::move(drops), *out.mutable_drops());
  for (const auto& counter : counters_.tenants()) {
    if (counter.tenant() != id) continue;
    out.set_sessions(static_cast<double>(counter.sessions()));
    out.set_log_lost(static_cast<double>(counter.log_lost()));
  }
  out.set_sessions_max(tenant->sessions_max());
  std::map<std::uint32_t, const ipc::RuleCounter*> counted;
  for (const auto& counter : counters_.rules()) counted.emplace(counter.rule(), &counter);
  std::map<std::string, double> rules;
  for (const auto& policy : tenant->policies()) {
    for (const auto& rule : policy.rules()) {
      const auto at =
          counted.find(ids_.find(IdKind::kRule, rule_key(service_code, rule_uuid(ids_, *tenant, policy, rule))));
      if (at != counted.end() && at->second->connections() > 0)
        rules[policy.name() + '/' + rule.name()] = static_cast<double>(at->second->connections());
    }
  }
  keep_greatest(std::move(rules), *out.mutable_rules());
  std::map<std::uint32_t, const ipc::BindingCounter*> bindings;
  for (const auto& counter : counters_.bindings()) bindings.emplace(counter.binding(), &counter);
  for (const auto& binding : tenant->bindings()) {
    const auto at = bindings.find(ids_.find(IdKind::kBinding, binding_key(service_code, binding.name())));
    if (at == bindings.end()) continue;
    out.set_violations(out.violations() + static_cast<double>(at->second->violations()));
    if (at->second->quarantined()) out.set_quarantined(out.quarantined() + 1);
  }
  return out;
}

}  // namespace sekisho::control
