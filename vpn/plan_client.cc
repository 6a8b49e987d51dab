// SPDX-License-Identifier: Apache-2.0
#include "vpn/plan_client.h"

#include <cerrno>
#include <cstdio>

#include "base/describe.h"
#include "base/ipc/sealed_blob.h"
#include "base/proto/control_mgmt.pb.h"

namespace sekisho::vpn {
namespace {

constexpr std::chrono::seconds kInterval{1}, kPatience{10};
constexpr std::chrono::milliseconds kNow{0};
constexpr Error kBad{ErrorCode::kMalformed, ErrorSite::kIpc, 0};

}  // namespace

void PlanClient::ask() {
  if (!connection_) {
    auto made = IpcConnection::connect(path_);
    if (!made) return;
    connection_.emplace(std::move(*made));
  }
  ipc::ToControl question;
  question.set_correlation(++correlation_);
  question.mutable_get_vpn_config()->set_known(known_);
  question.mutable_get_vpn_config()->set_daemon(static_cast<std::uint32_t>(who_));
  const std::string bytes = question.SerializeAsString();
  waiting_ = connection_->send({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, {}, kNow).has_value();
  if (!waiting_) connection_.reset();
}

Result<std::shared_ptr<const Plan>> PlanClient::take(IpcMessage message) {
  ipc::FromControl answer;
  if (!answer.ParseFromArray(message.bytes.data(), static_cast<int>(message.bytes.size())) || answer.correlation() != correlation_ ||
      !answer.has_vpn_config()) {
    return kBad;
  }
  log_full_ = answer.vpn_config().log_full();
  if (answer.vpn_config().size() == 0) return std::shared_ptr<const Plan>{};
  if (message.fds.size() != 1) return kBad;
  SEKISHO_TRY(const SealedBlob blob, SealedBlob::open(std::move(message.fds[0]), kPlanBytesMax));
  SEKISHO_TRY(std::shared_ptr<const Plan> plan, parse_plan(blob.bytes()));
  known_ = plan->generation;
  return plan;
}

std::shared_ptr<const Plan> PlanClient::poll(Clock::time_point now) {
  if (!waiting_) {
    if (now < next_) return nullptr;
    next_ = now + kInterval;
    patience_ = now + kPatience;
    ask();
    return nullptr;
  }
  auto message = connection_->receive(kNow);
  if (!message) {
    const bool nothing_yet = message.error().code == ErrorCode::kUnavailable && message.error().detail == ETIMEDOUT;
    if (nothing_yet && now < patience_) return nullptr;
    waiting_ = false;
    connection_.reset();
    return nullptr;
  }
  waiting_ = false;
  auto plan = take(std::move(*message));
  if (plan) {
    complained_ = false;
    return *plan;
  }
  if (!complained_) {
    std::fprintf(stderr, "iked: what controld says of users and gateways cannot be read: %s\n", describe(plan.error()).c_str());
  }
  complained_ = true;
  connection_.reset();
  return nullptr;
}

}  // namespace sekisho::vpn
