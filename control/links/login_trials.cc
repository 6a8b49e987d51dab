// SPDX-License-Identifier: Apache-2.0
#include "control/links/login_trials.h"

#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>
#include <utility>

namespace sekisho::control {
namespace {

using namespace std::chrono_literals;
constexpr auto kPatience = 30s;  // a backend's servers may be four, each asked several times
constexpr auto kAgain = 100ms;

ControlAnswer answer_of(const ipc::VpnTrial& trial, const std::string& error) {
  ControlAnswer out;
  ipc::TryLoginResult& result = *out.message.mutable_try_login_result();
  *result.mutable_trial() = trial;
  result.set_error(error);
  return out;
}

}  // namespace

void LoginTrials::begin(std::uint32_t tenant, const ipc::TryLogin& asked, ControlServer::Reply reply) {
  ipc::VpnQuestion question;
  ipc::TryVpnLogin& trial = *question.mutable_trial();
  trial.set_number(++last_);
  trial.set_tenant(tenant);
  trial.set_gateway(asked.gateway());
  trial.set_user(asked.user());
  trial.set_password(asked.password());
  trial.set_source(asked.source());
  ask(tenant, std::move(question), std::chrono::steady_clock::now() + kPatience, std::move(reply));
}

void LoginTrials::ask(std::uint32_t tenant, ipc::VpnQuestion question, Time until, ControlServer::Reply reply) {
  const std::uint64_t number = question.trial().number();
  vpn_.ask(KeyingDaemon::kPpp, std::move(question),
           [this, tenant, number, until, reply = std::move(reply)](const ipc::VpnAnswer& answer, const std::string& error) {
             if (!error.empty()) return reply(answer_of({}, error));
             if (answer.trial().over()) return reply(answer_of(answer.trial(), {}));
             if (std::chrono::steady_clock::now() >= until) return reply(answer_of(answer.trial(), "no server has answered yet"));
             const auto timer = std::make_shared<boost::asio::steady_timer>(io_, kAgain);
             timer->async_wait([this, timer, tenant, number, until, reply](const boost::system::error_code& failed) {
               if (failed) return;
               ipc::VpnQuestion again;
               again.mutable_trial()->set_number(number);
               again.mutable_trial()->set_tenant(tenant);
               ask(tenant, std::move(again), until, reply);
             });
           });
}

}  // namespace sekisho::control
