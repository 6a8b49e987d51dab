// SPDX-License-Identifier: Apache-2.0
#include "vpn/operator_link.h"

#include <unistd.h>

#include <cerrno>

#include "base/proto/control_mgmt.pb.h"

namespace sekisho::vpn {
namespace {

constexpr std::chrono::seconds kRetry{1};
constexpr std::chrono::milliseconds kNow{0};

bool write_all(int fd, const std::string& bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t wrote = ::write(fd, bytes.data() + done, bytes.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    done += static_cast<std::size_t>(wrote);
  }
  return true;
}

}  // namespace

bool OperatorLink::connect(Clock::time_point now) {
  if (now < next_) return false;
  next_ = now + kRetry;
  auto made = IpcConnection::connect(path_);
  if (!made) return false;
  connection_.emplace(std::move(*made));
  return ready(0);
}

bool OperatorLink::ready(std::uint64_t answered) {
  ipc::ToControl message;
  message.set_correlation(++correlation_);
  message.mutable_vpn_ready()->set_answers(answered);
  message.mutable_vpn_ready()->set_daemon(static_cast<std::uint32_t>(who_));
  const std::string bytes = message.SerializeAsString();
  if (connection_->send({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, {}, kNow)) return true;
  connection_.reset();
  return false;
}

bool OperatorLink::take(IpcMessage message, const Answer& answer) {
  ipc::FromControl question;
  const bool read = question.ParseFromArray(message.bytes.data(), static_cast<int>(message.bytes.size()));
  if (!read || question.correlation() != correlation_ || !question.has_vpn_question() || message.fds.size() != 1) return false;
  return write_all(message.fds[0].get(), answer(question.vpn_question()).SerializeAsString()) && ready(question.vpn_question().number());
}

bool OperatorLink::poll(Clock::time_point now, const Answer& answer) {
  if (!connection_) return connect(now);
  auto message = connection_->receive(kNow);
  if (!message) {
    if (message.error().code != ErrorCode::kUnavailable || message.error().detail != ETIMEDOUT) connection_.reset();
    return false;
  }
  if (!take(std::move(*message), answer)) connection_.reset();
  return false;
}

}  // namespace sekisho::vpn
