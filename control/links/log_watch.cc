// SPDX-License-Identifier: Apache-2.0
#include "control/links/log_watch.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "control/compile/export_plan.h"
#include "control/links/log_link.h"

namespace sekisho::control {
namespace {

constexpr std::chrono::seconds kEvery{2};
constexpr std::size_t kListBytesMax = 24U << 10;  // of one message
constexpr std::array<std::string_view, 7> kLevels{"none", "warning", "comm_starts", "comm_ends", "comm", "acl", "full"};
constexpr const char* kKey = "disk";

}  // namespace

std::size_t weight_of_pressure(const std::string& level) {
  const auto* const at = std::find(kLevels.begin(), kLevels.end(), level);
  return static_cast<std::size_t>(std::min(at, kLevels.end() - 1) - kLevels.begin());
}

LogWatch::LogWatch(boost::asio::io_context& io, Store& store, std::string export_socket, Environment environment)
    : io_(io), store_(store), socket_(std::move(export_socket)), environment_(std::move(environment)), timer_(io) {}

void LogWatch::start() {
  full_ = recall() && *told_ == kLevels.back();
  look();
}

/// What was told last, out of the store. False: it cannot be read now.
bool LogWatch::recall() {
  if (told_) return true;
  const auto kept = store_.get(RecordKind::kLogPressure, kKey);
  if (!kept && kept.error().code != ErrorCode::kNotFound) return false;
  told_ = kept ? *kept : std::string(kLevels.front());
  return true;
}

void LogWatch::look_later() {
  if (stopped_) return;
  timer_.expires_after(kEvery);
  timer_.async_wait([this](const boost::system::error_code& failed) {
    if (!failed) look();
  });
}

void LogWatch::look() {
  ipc::ToLog question;
  question.mutable_watch();
  ask_log(io_, socket_, question, [this](const LogAnswer& answer) {
    last_.reset();
    // It is away: what was known of its disk still holds.
    if (!answer.refusal.empty() || !answer.message.has_watched()) return look_later();
    const ipc::LogWatched& now = answer.message.watched();
    take(now);
    const InForce force = environment_.in_force();
    if (force.model == nullptr || (sent_ == force.revision && now.exports_generation() == sent_)) return look_later();
    send(make_export_list(*force.model, force.revision), 0);
  });
}

void LogWatch::take(const ipc::LogWatched& now) {
  last_ = now;
  full_ = now.pressure() == kLevels.back();
  if (!recall() || now.pressure().empty() || now.pressure() == *told_) return;
  environment_.tell(now, *told_);
  told_ = now.pressure();
  (void)store_.put(RecordKind::kLogPressure, kKey, *told_);  // that may fail on such a disk: then the next controld tells again
}

/// The targets from `next` on, one message behind the other.
void LogWatch::send(ipc::SetLogExports list, int next) {
  ipc::ToLog question;
  auto& part = *question.mutable_set_exports();
  part.set_generation(list.generation());
  while (next < list.targets_size() && part.ByteSizeLong() < kListBytesMax) *part.add_targets() = list.targets(next++);
  part.set_more(next < list.targets_size());
  const bool more = part.more();
  ask_log(io_, socket_, question, [this, list = std::move(list), next, more](const LogAnswer& answer) mutable {
    if (!answer.refusal.empty() || !answer.message.exports_set().ok()) return look_later();
    if (more) return send(std::move(list), next);
    sent_ = list.generation();
    look_later();
  });
}

}  // namespace sekisho::control
