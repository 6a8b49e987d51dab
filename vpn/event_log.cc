// SPDX-License-Identifier: Apache-2.0
#include "vpn/event_log.h"


#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/proto/vpn_log.pb.h"
#include "vpn/random.h"

namespace sekisho::vpn {
namespace {

using namespace std::chrono_literals;
constexpr std::chrono::milliseconds kRetry = 200ms, kIdle = 500ms, kAnswer = 50ms, kSend = 1s, kFarewell = 2s;

}  // namespace

std::string new_eid(std::uint64_t timestamp_ns) {
  std::string out(16, '\0');
  fill_random({reinterpret_cast<std::uint8_t*>(out.data()), out.size()});
  const std::uint64_t milliseconds = timestamp_ns / 1'000'000;
  for (unsigned i = 0; i < 6; ++i) out[i] = static_cast<char>(milliseconds >> (40 - 8 * i));
  out[6] = static_cast<char>((out[6] & 0x0f) | 0x70);
  out[8] = static_cast<char>((out[8] & 0x3f) | 0x80);
  return out;
}

EventLog::EventLog(std::string socket_path, std::size_t records_max) : path_(std::move(socket_path)), records_max_(records_max) {
  thread_ = std::thread([this] { run(); });
}

EventLog::~EventLog() {
  {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kFarewell, [this] { return queue_.empty(); });
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void EventLog::enqueue(ipc::ToEventLog& record, std::function<void()> over) {
  record.set_number(++last_number_);
  queue_.push_back({last_number_, record.SerializeAsString(), std::move(over)});
}

void EventLog::tell_losses() {
  while (!losses_.empty() && queue_.size() < records_max_) {
    const Loss& loss = losses_.front();
    ipc::ToEventLog record;
    record.set_eid(new_eid(loss.last_ns));
    record.set_timestamp_ns(loss.last_ns);
    record.set_service_code(loss.service_code);
    record.set_node(loss.node);
    record.mutable_lost()->set_count(loss.count);
    record.mutable_lost()->set_first_ns(loss.first_ns);
    record.mutable_lost()->set_last_ns(loss.last_ns);
    enqueue(record);
    losses_.pop_front();
  }
}

void EventLog::add(ipc::ToEventLog record, std::function<void()> over) {
  bool lost = false;
  {
    const std::lock_guard lock(mutex_);
    tell_losses();
    if (queue_.size() < records_max_) {
      enqueue(record, std::move(over));
    } else {
      lost = true;
      auto loss = std::find_if(losses_.begin(), losses_.end(),
                               [&record](const Loss& one) { return one.service_code == record.service_code(); });
      if (loss == losses_.end()) {
        losses_.push_back({record.service_code(), record.node(), 0, record.timestamp_ns(), 0});
        loss = losses_.end() - 1;
      }
      ++loss->count;
      loss->last_ns = std::max(loss->last_ns, record.timestamp_ns());
    }
  }
  if (lost && over) over();
  changed_.notify_all();
}

std::size_t EventLog::waiting() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

bool EventLog::connect() {
  auto made = IpcConnection::connect(path_);
  if (!made) return false;
  connection_.emplace(std::move(*made));
  const std::lock_guard lock(mutex_);
  sent_ = 0;
  return true;
}

bool EventLog::send_some() {
  while (true) {
    std::string bytes;
    {
      const std::lock_guard lock(mutex_);
      if (sent_ >= std::min(queue_.size(), kUnderWayMax)) return true;
      bytes = queue_[sent_].bytes;
    }
    if (!connection_->send({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, {}, kSend)) return false;
    const std::lock_guard lock(mutex_);
    ++sent_;
  }
}

void EventLog::take_answers(std::chrono::milliseconds wait) {
  auto message = connection_->receive(wait);
  if (!message) {
    if (message.error().code != ErrorCode::kUnavailable || message.error().detail != ETIMEDOUT) connection_.reset();
    return;
  }
  ipc::FromEventLog answer;
  if (!answer.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size()))) return connection_.reset();
  if (!answer.refused().empty()) std::fprintf(stderr, "iked: logd refuses a record: %s\n", answer.refused().c_str());
  std::function<void()> over;
  {
    const std::lock_guard lock(mutex_);
    // A refusal may come before older records are stored.
    const auto sent = queue_.begin() + static_cast<std::ptrdiff_t>(sent_);
    const auto found = std::find_if(queue_.begin(), sent, [&answer](const Record& one) { return one.number == answer.stored(); });
    if (found == sent) return;
    over = std::move(found->over);
    queue_.erase(found);
    --sent_;
    tell_losses();
  }
  if (over) over();
  changed_.notify_all();
}

void EventLog::run() {
  while (true) {
    bool under_way = false;
    {
      std::unique_lock lock(mutex_);
      if (stopping_) return;
      under_way = sent_ > 0 && connection_;
      if (!under_way) changed_.wait_for(lock, kIdle, [this] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      if (queue_.empty()) continue;
    }
    if (!connection_ && !connect()) {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, kRetry, [this] { return stopping_; });
      continue;
    }
    if (send_some()) {
      take_answers(kAnswer);
    } else {
      connection_.reset();
    }
  }
}

}  // namespace sekisho::vpn
