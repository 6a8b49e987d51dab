// SPDX-License-Identifier: Apache-2.0
#include "vpn/login_trials.h"

#include <openssl/crypto.h>
#include <strings.h>

#include <algorithm>
#include <array>

#include "vpn/plan.h"
#include "vpn/random.h"
#include "vpn/weak/mschapv2.h"

namespace sekisho::vpn {
namespace {

ByteSpan bytes_of(std::string_view text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }

void step(ipc::VpnTrial& trial, const char* stage, std::string_view result, std::string_view object = {}) {
  ipc::VpnTrialStep& out = *trial.add_steps();
  out.set_stage(stage);
  out.set_result(std::string(result));
  out.set_object(std::string(object));
}

/// Nothing follows.
void stop(ipc::VpnTrial& trial, const char* stage, std::string_view result, std::string_view object = {}) {
  step(trial, stage, result, object);
  trial.set_over(true);
}

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& one : names) out += (out.empty() ? "" : ", ") + one;
  return out;
}

/// How users with a password come in at a gateway.
struct Ways {
  bool mschapv2 = false, pap = false, eap_radius = false;
  [[nodiscard]] bool any() const { return mschapv2 || pap || eap_radius; }
};

Ways ways_of(const GatewayPlan& gateway) {
  Ways out;
  out.mschapv2 = gateway.gateway.accept_eap_mschapv2 || gateway.pptp.has_value();
  out.eap_radius = gateway.gateway.accept_eap_radius;
  const auto add = [&out](const std::vector<DoorMethod>& accepted) {
    for (const DoorMethod one : accepted) {
      if (one == DoorMethod::kMschapV2 || one == DoorMethod::kEapMschapV2) out.mschapv2 = true;
      if (one == DoorMethod::kPap || one == DoorMethod::kChap) out.pap = true;
      if (one == DoorMethod::kEapRadius) out.eap_radius = true;
    }
  };
  if (gateway.sstp) add(gateway.sstp->accept);
  if (gateway.l2tp) add(gateway.l2tp->accept);
  return out;
}

}  // namespace

LoginTrials::~LoginTrials() {
  for (const auto& [number, trial] : open_) backends_.forget(trial.session.id);
}

bool LoginTrials::room_for(std::uint32_t tenant) const {
  const auto is_its = [tenant](const auto& one) { return one.second.session.path.tenant == tenant; };
  return open_.size() < kOpenMax && static_cast<std::size_t>(std::ranges::count_if(open_, is_its)) < kOpenOfTenantMax;
}

ipc::VpnTrial LoginTrials::ask(const ipc::TryVpnLogin& asked, Time now) {
  forget_old(now);
  const bool begins = !asked.gateway().empty();
  if (const auto before = open_.find(asked.number()); begins && before != open_.end()) {  // of a controld that is no more
    backends_.forget(before->second.session.id);
    open_.erase(before);
  }
  if (begins && room_for(asked.tenant())) begin(open_[asked.number()], asked, now);
  const auto at = open_.find(asked.number());
  ipc::VpnTrial out;
  if (at == open_.end() || at->second.session.path.tenant != asked.tenant()) {
    stop(out, "password", "busy");
    return out;
  }
  out = at->second.said;
  if (out.over()) {
    backends_.forget(at->second.session.id);
    open_.erase(at);
  }
  return out;
}

void LoginTrials::begin(Trial& trial, const ipc::TryVpnLogin& asked, Time now) {
  trial.begun = now;
  trial.session.path.tenant = asked.tenant();
  const std::shared_ptr<const Plan> plan = directory_.plan();
  const TenantPlan* tenant = plan->tenant(asked.tenant());
  const GatewayPlan* gateway = tenant == nullptr ? nullptr : tenant->gateway(asked.gateway());
  if (gateway == nullptr) return stop(trial.said, "gateway", "unknown", asked.gateway());
  const Ways ways = ways_of(*gateway);
  if (!ways.any()) return stop(trial.said, "gateway", "no_password", asked.gateway());
  const bool sized = !asked.user().empty() && asked.user().size() <= kNameBytesMax && asked.password().size() <= kPasswordBytesMax;
  if (!sized) return stop(trial.said, "password", "wrong");
  step(trial.said, "gateway", "ok", asked.gateway());
  Session& session = trial.session;
  session.id = ids_.next();
  session.protocol = Protocol::kSstp;
  session.path.port = gateway->tunnel_port;
  if (!gateway->gateway.addresses.empty()) session.path.local.address = gateway->gateway.addresses.front();
  if (const auto source = Address::from_wire(bytes_of(asked.source()))) session.path.remote.address = *source;
  session.user = std::string(weak::bare_name(asked.user()));
  session.gateway = asked.gateway() + " mschapv2";
  if (directory_.locked(session.path, session.user)) return stop(trial.said, "lockout", "shut_out");
  session.backend = backends_.backend_of(session);
  if (!session.backend.empty()) {
    step(trial.said, "backend", "radius", session.backend);
    return pose(trial, asked.password(), !ways.mschapv2 && ways.pap, now);
  }
  step(trial.said, "backend", "local");
  judge_here(trial, tenant->user(session.user), asked.password());
}

void LoginTrials::judge_here(Trial& trial, const UserPlan* user, std::string_view password) {
  const Session& session = trial.session;
  weak::NtHash known{}, given = weak::nt_hash_of(password);
  const bool has = directory_.nt_hash(session.path, session.user, known) == known.size();
  const bool right = has && CRYPTO_memcmp(known.data(), given.data(), known.size()) == 0;
  ::explicit_bzero(known.data(), known.size());
  ::explicit_bzero(given.data(), given.size());
  if (right) {
    step(trial.said, "password", "right");
    return consider(trial);
  }
  directory_.wrong_secret(session.path, session.user);
  stop(trial.said, "password", user == nullptr ? "unknown_user" : has ? "wrong" : "none", session.user);
}

void LoginTrials::pose(Trial& trial, std::string_view password, bool pap, Time now) {
  std::array<std::uint8_t, 16> challenge{}, peer_challenge{};
  fill_random(challenge);
  fill_random(peer_challenge);
  weak::NtHash hash = weak::nt_hash_of(password);
  const auto response = weak::nt_response(hash, challenge, peer_challenge, trial.session.user);
  ::explicit_bzero(hash.data(), hash.size());
  radius::Claim claim;
  claim.kind = pap ? radius::Claim::Kind::kPassword : radius::Claim::Kind::kMschapV2;
  claim.password = bytes_of(password);
  claim.identifier = challenge.front();
  claim.challenge = challenge;
  claim.peer_challenge = peer_challenge;
  claim.response = response;
  claim.method = pap ? "pap" : "mschapv2";
  if (pap && password.size() > radius::kPasswordBytesMax) return stop(trial.said, "password", "wrong");
  trial.session.gateway = std::string(gateway_name(trial.session.gateway)) + ' ' + std::string(claim.method);
  backends_.pose(trial.session, trial.session.backend, claim, now);
}

bool LoginTrials::judged(const radius::Verdict& verdict) {
  const auto at = std::ranges::find(open_, verdict.session, [](const auto& one) { return one.second.session.id; });
  if (at == open_.end() || verdict.session == 0) return false;
  Trial& trial = at->second;
  using Outcome = EapBackend::Outcome;
  switch (verdict.outcome) {
    case Outcome::kAccepted:
      step(trial.said, "password", "right");
      if (!verdict.user.empty()) trial.session.user = verdict.user;
      consider(trial);
      break;
    case Outcome::kMore:  // EAP alone is asked more
    case Outcome::kRejected: stop(trial.said, "password", "refused", trial.session.backend); break;
    case Outcome::kNobody: stop(trial.said, "password", "no_answer", trial.session.backend); break;
    case Outcome::kBusy: stop(trial.said, "password", "busy"); break;
    case Outcome::kNoKey: stop(trial.said, "password", "no_proof", trial.session.backend); break;
  }
  return true;
}

void LoginTrials::consider(Trial& trial) {
  const UserDirectory::Outlook outlook = directory_.outlook(trial.session);
  if (!outlook.groups.empty()) step(trial.said, "groups", "ok", joined(outlook.groups));
  const Cause cause = outlook.admission.cause;
  if (!outlook.group.empty()) step(trial.said, "pool", "ok", outlook.pool + " (" + outlook.group + ')');
  if (cause != Cause::kNone) return stop(trial.said, "admission", name_of(cause), outlook.group);
  step(trial.said, "admission", "ok", outlook.group);
  step(trial.said, "rules", outlook.permitted ? "reach" : "nothing");
  trial.said.set_admitted(true);
  trial.said.set_over(true);
}

void LoginTrials::forget_old(Time now) {
  for (auto at = open_.begin(); at != open_.end();) {
    const bool old = now >= at->second.begun + kPatience;
    if (old) backends_.forget(at->second.session.id);
    at = old ? open_.erase(at) : std::next(at);
  }
}

}  // namespace sekisho::vpn
