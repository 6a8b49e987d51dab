// SPDX-License-Identifier: Apache-2.0
#include "vpn/ocsp_link.h"

#include <cerrno>

#include "base/proto/control_mgmt.pb.h"

namespace sekisho::vpn {
namespace {

constexpr std::chrono::milliseconds kNow{0}, kInterval{100};
constexpr std::chrono::seconds kPatience{10}, kLifetime{20};
constexpr int kQuestionsOfMessageMax = 64;

}  // namespace

void OcspLink::lose() {
  waiting_ = false;
  connection_.reset();
  for (auto& [number, one] : open_) one.sent = false;
}

void OcspLink::ask(Clock::time_point now) {
  if (!connection_) {
    auto made = IpcConnection::connect(path_);
    if (!made) return;
    connection_.emplace(std::move(*made));
  }
  ipc::ToControl message;
  message.set_correlation(++correlation_);
  auto& asked = *message.mutable_ask_responders();
  for (auto& [number, one] : open_) {
    if (asked.waiting_size() >= kQuestionsOfMessageMax) break;
    asked.add_waiting(number);
    if (one.sent) continue;
    auto& to = *asked.add_questions();
    to.set_number(number);
    to.set_tenant(one.question.tenant);
    to.set_gateway(one.question.gateway);
    to.set_question(one.question.bytes.data(), one.question.bytes.size());
  }
  const std::string bytes = message.SerializeAsString();
  if (!connection_->send({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, {}, kNow)) return lose();
  for (const std::uint64_t number : asked.waiting()) open_.at(number).sent = true;
  waiting_ = true;
  patience_ = now + kPatience;
}

bool OcspLink::take(const IpcMessage& message, std::int64_t unix) {
  ipc::FromControl answer;
  if (!answer.ParseFromArray(message.bytes.data(), static_cast<int>(message.bytes.size())) || answer.correlation() != correlation_ ||
      !answer.has_responders_said()) {
    return false;
  }
  for (const auto& one : answer.responders_said().answers()) {
    const auto asked = open_.find(one.number());
    if (asked == open_.end()) continue;
    std::optional<ByteSpan> bytes;
    if (!one.answer().empty()) bytes = ByteSpan(reinterpret_cast<const std::uint8_t*>(one.answer().data()), one.answer().size());
    const std::string_view fault = desk_.take_answer(one.number(), bytes, unix);
    if (!fault.empty()) {
      const auto& question = asked->second.question;
      complain_("the OCSP responder of gateway " + question.gateway + " of tenant " + std::to_string(question.tenant) + ": " +
                std::string(fault) + (one.why().empty() ? "" : ": " + one.why()));
    }
    open_.erase(asked);
  }
  return true;
}

void OcspLink::poll(Clock::time_point now, std::int64_t unix) {
  for (auto& one : desk_.take_questions()) {
    const std::uint64_t number = one.number;
    open_.emplace(number, Open{std::move(one), false, now + kLifetime});
    next_ = now;
  }
  if (waiting_) {
    auto message = connection_->receive(kNow);
    if (message) {
      waiting_ = false;
      if (!take(*message, unix)) lose();
    } else if (message.error().code != ErrorCode::kUnavailable || message.error().detail != ETIMEDOUT || now >= patience_) {
      lose();
    }
  }
  std::erase_if(open_, [now](const auto& one) { return now >= one.second.end; });
  if (waiting_ || now < next_) return;
  if (open_.empty()) return connection_.reset();
  next_ = now + kInterval;
  ask(now);
}

}  // namespace sekisho::vpn
