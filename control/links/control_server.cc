// SPDX-License-Identifier: Apache-2.0
#include "control/links/control_server.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace sekisho::control {
namespace {

using namespace std::chrono_literals;
using boost::asio::posix::stream_descriptor;

constexpr mode_t kSocketMode = 0660;
constexpr auto kPauseAfterAccept = 100ms;  // after a failing accept, such as out of descriptors

/// Which keying daemon the sender says it is, of messages that say so.
std::optional<std::uint32_t> daemon_of(const ipc::ToControl& message) {
  if (message.has_get_vpn_config()) return message.get_vpn_config().daemon();
  if (message.has_vpn_ready()) return message.vpn_ready().daemon();
  return std::nullopt;
}

}  // namespace

ControlServer::ControlServer(boost::asio::io_context& io, Admission admission, Handler handler)
    : io_(io), admission_(std::move(admission)), handler_(std::move(handler)), acceptable_(io), pause_(io) {}

Result<void> ControlServer::listen(const std::string& path) {
  SEKISHO_TRY(IpcListener listener, IpcListener::listen(path, kSocketMode));
  listener_ = std::move(listener);
  boost::system::error_code failed;
  acceptable_.assign(::dup(listener_->fd()), failed);
  if (failed) return Error{ErrorCode::kUnavailable, ErrorSite::kOs, static_cast<std::uint32_t>(failed.value())};
  wait_accept();
  return {};
}

void ControlServer::stop() {
  boost::system::error_code ignored;
  acceptable_.close(ignored);
  pause_.cancel(ignored);
  listener_.reset();
  clients_.clear();
}

void ControlServer::wait_accept() {
  acceptable_.async_wait(stream_descriptor::wait_read, [this](const boost::system::error_code& failed) {
    if (!failed && listener_) accept_all();
  });
}

void ControlServer::accept_all() {
  for (;;) {
    auto connection = listener_->accept();
    if (connection) {
      admit(std::move(*connection));
      continue;
    }
    if (connection.error().detail == EAGAIN) return wait_accept();
    pause_.expires_after(kPauseAfterAccept);
    return pause_.async_wait([this](const boost::system::error_code& failed) {
      if (!failed && listener_) wait_accept();
    });
  }
}

void ControlServer::admit(IpcConnection connection) {
  const auto uid = connection.peer_uid();
  if (!uid || clients_.size() >= kClientsMax) return;
  const auto listed = [&uid](const std::vector<uid_t>& uids) { return std::find(uids.begin(), uids.end(), *uid) != uids.end(); };
  std::vector<ipc::ToControl::BodyCase> questions;
  std::uint32_t daemons = kAllKeyingDaemons;
  if (*uid != 0 && !listed(admission_.everything)) {
    if (listed(admission_.names)) questions.push_back(ipc::ToControl::kGetNames);
    daemons = 0;
    for (const auto& [keyer, daemon] : admission_.vpn) daemons |= keyer == *uid ? bit_of(daemon) : 0U;
    if (daemons != 0) questions.insert(questions.end(), {ipc::ToControl::kGetVpnConfig, ipc::ToControl::kVpnReady});
    if ((daemons & bit_of(KeyingDaemon::kIkeV2)) != 0) questions.push_back(ipc::ToControl::kAskResponders);
    if (listed(admission_.mgmt)) questions.insert(questions.end(), {ipc::ToControl::kApiCall, ipc::ToControl::kDeliveryWork});
    if (listed(admission_.exports)) questions.push_back(ipc::ToControl::kGetExportPlan);
    if (questions.empty()) return;
  }
  auto client = std::make_unique<Client>(io_, std::move(connection), *uid, std::move(questions), daemons);
  boost::system::error_code failed;
  client->readable.assign(::dup(client->connection.fd()), failed);
  if (failed) return;
  const std::uint64_t number = ++last_client_;
  clients_.emplace(number, std::move(client));
  wait_request(number);
}

void ControlServer::wait_request(std::uint64_t client) {
  clients_.at(client)->readable.async_wait(stream_descriptor::wait_read, [this, client](const boost::system::error_code& failed) {
    if (!failed && clients_.contains(client)) read_request(client);
  });
}

void ControlServer::read_request(std::uint64_t client) {
  auto& from = *clients_.at(client);
  auto message = from.connection.receive(0ms);
  if (!message && nothing_waits(message.error())) return wait_request(client);
  ControlRequest request;
  request.uid = from.uid;
  if (!message || !request.message.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size()))) {
    clients_.erase(client);
    return;
  }
  const auto& may = from.questions;
  const bool admitted = may.empty() || std::find(may.begin(), may.end(), request.message.body_case()) != may.end();
  const auto daemon = daemon_of(request.message);
  if (!admitted || (daemon && (*daemon >= kKeyingDaemons || (from.daemons >> *daemon & 1) == 0))) {
    clients_.erase(client);
    return;
  }
  request.fds = std::move(message->fds);
  const std::uint64_t correlation = request.message.correlation();
  handler_(std::move(request), [this, client, correlation](ControlAnswer reply) { answer(client, correlation, std::move(reply)); });
}

void ControlServer::answer(std::uint64_t client, std::uint64_t correlation, ControlAnswer answer) {
  const auto at = clients_.find(client);
  if (at == clients_.end()) return;  // it has gone
  answer.message.set_correlation(correlation);
  const std::string bytes = answer.message.SerializeAsString();
  const int number = answer.fd.get();
  const auto fds = answer.fd.valid() ? std::span<const int>(&number, 1) : std::span<const int>();
  const ByteSpan span(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  if (!at->second->connection.send(span, fds, 0ms)) {
    clients_.erase(at);
    return;
  }
  wait_request(client);
}

}  // namespace sekisho::control
