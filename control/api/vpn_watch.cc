// SPDX-License-Identifier: Apache-2.0
#include "control/api/vpn_watch.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "control/config/text.h"

namespace sekisho::control {
namespace {

/// Of one family, sorted, each once.
std::vector<Address> of_family(const std::vector<Address>& all, Family family) {
  std::vector<Address> out;
  std::copy_if(all.begin(), all.end(), std::back_inserter(out), [family](const Address& one) { return one.family == family; });
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

double size_of(const AddressSpan& span) {
  double out = 0;
  for (std::size_t i = 0; i < span.low.wire().size(); ++i) out = out * 256 + span.high.bytes[i] - span.low.bytes[i];
  return out + 1;
}

double count_in(const std::vector<Address>& sorted, const AddressSpan& span) {
  const auto low = std::lower_bound(sorted.begin(), sorted.end(), span.low);
  return static_cast<double>(std::upper_bound(low, sorted.end(), span.high) - low);
}

/// Of what may be given to anybody: addresses that belong to somebody are neither free nor used.
int step_of(const model::Pool& pool, const std::vector<Address>& held, const std::vector<Address>& owned) {
  int out = 0;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const std::vector<Address> theirs = of_family(owned, family);
    std::vector<Address> given;
    const std::vector<Address> all = of_family(held, family);
    std::set_difference(all.begin(), all.end(), theirs.begin(), theirs.end(), std::back_inserter(given));
    double size = 0, used = 0;
    for (const std::string& text : pool.ranges()) {
      const auto span = parse_address_entry(text);
      if (!span || span->low.family != family) continue;
      size += size_of(*span) - count_in(theirs, *span);
      used += count_in(given, *span);
    }
    if (size <= 0) continue;
    constexpr double kNearly = 0.9;
    out = std::max(out, used >= size ? 100 : used >= size * kNearly ? 90 : 0);
  }
  return out;
}

std::vector<Address> owned_in(const model::Tenant& tenant) {
  std::vector<Address> out;
  for (const auto& user : tenant.users()) {
    for (const std::string& text : user.static_addresses()) {
      if (const auto address = parse_address(text)) out.push_back(*address);
    }
  }
  return out;
}

struct Served {
  const char* name;
  std::uint32_t daemons;  ///< bits: all of them are needed
};

std::vector<Served> served_by(const model::Gateway& gateway) {
  std::vector<Served> out;
  if (gateway.accept_size() > 0) out.push_back({"IKEv2", bit_of(KeyingDaemon::kIkeV2)});
  if (gateway.has_l2tp()) out.push_back({"L2TP", bit_of(KeyingDaemon::kIkeV1) | bit_of(KeyingDaemon::kPpp)});
  if (gateway.has_sstp()) out.push_back({"SSTP", bit_of(KeyingDaemon::kPpp)});
  if (gateway.has_pptp()) out.push_back({"PPTP", bit_of(KeyingDaemon::kPptp)});
  return out;
}

}  // namespace

std::vector<Happening> PoolWatch::look(const model::Configuration& model, const std::map<std::string, std::vector<Address>>& held) {
  std::vector<Happening> out;
  std::map<std::pair<std::string, std::string>, int> now;
  for (const auto& tenant : model.tenants()) {
    const auto at = held.find(tenant.service_code());
    if (at == held.end()) continue;  // nobody is in
    const std::vector<Address> owned = owned_in(tenant);
    for (const auto& pool : tenant.pools()) {
      const std::pair key(tenant.service_code(), pool.name());
      const int step = step_of(pool, at->second, owned);
      const auto before = last_.find(key);
      if (step > (before == last_.end() ? 0 : before->second))
        out.push_back({.tenant = key.first, .event = "quota", .object = "pool " + key.second, .state = std::to_string(step) + "%",
                       .title = "アドレスプールが残り少なくなっています / addresses of a pool run out"});
      now[key] = step;
    }
  }
  last_ = std::move(now);
  return out;
}

std::vector<Happening> GatewayWatch::look(const model::Configuration& model, const Answering& answering, std::int64_t now) {
  if (!std::exchange(begun_, true)) until_.fill(now + kStartSeconds);
  std::uint32_t away = 0;
  for (std::size_t i = 0; i < kKeyingDaemons; ++i) {
    if (answering.at(i)) until_.at(i) = now + kAwaySeconds;
    if (now >= until_.at(i)) away |= 1U << i;
  }
  std::vector<Happening> out;
  std::set<Door> down;
  const auto tell = [&out](const Door& door, const char* state, const char* title) {
    const auto& [tenant, gateway, protocol] = door;
    out.push_back({.tenant = tenant, .event = "gateway", .object = gateway + ' ' + protocol, .state = state, .title = title,
                   .memo = protocol});
  };
  for (const auto& tenant : model.tenants()) {
    for (const auto& gateway : tenant.gateways()) {
      for (const Served& one : served_by(gateway)) {
        const Door door{tenant.service_code(), gateway.name(), one.name};
        const bool told = down_.contains(door);
        if ((one.daemons & away) != 0) down.insert(door);
        if ((one.daemons & away) != 0 && !told)
          tell(door, "down", "リモートアクセスゲートウェイが応答しません / a gateway of remote access does not answer");
        if ((one.daemons & away) == 0 && told)
          tell(door, "up", "リモートアクセスゲートウェイが復旧しました / a gateway of remote access answers again");
      }
    }
  }
  down_ = std::move(down);
  return out;
}

}  // namespace sekisho::control
