// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/ring_source.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <span>
#include <cerrno>
#include <utility>

#include "base/limits.h"
#include "base/proto/control_dataplane.pb.h"

namespace sekisho::mgmt {
namespace {

constexpr std::chrono::milliseconds kNow{0};

bool is_empty(const LogRingReader& reader) {
  std::array<LogRecord, 1> one{};
  const auto count = reader.peek(one);
  return !count || *count == 0;
}

/// What tells one memfd from another.
std::vector<ino_t> inodes_of(const std::vector<Fd>& fds) {
  std::vector<ino_t> out;
  for (const Fd& fd : fds) {
    struct stat status {};
    out.push_back(::fstat(fd.get(), &status) == 0 ? status.st_ino : 0);
  }
  return out;
}

}  // namespace

void RingSource::poll(Clock::time_point now) {
  if (!connection_ && now >= next_attempt_) {
    next_attempt_ = now + kRetry;
    auto connection = IpcConnection::connect(path_);
    if (connection) connection_ = std::move(*connection);
  }
  if (connection_) receive();
  if (!fresh_.empty() && drained()) adopt();
}

void RingSource::receive() {
  auto message = connection_->receive(kNow);
  if (!message) {
    const bool nothing_yet = message.error().code == ErrorCode::kUnavailable && message.error().detail == ETIMEDOUT;
    if (!nothing_yet) connection_.reset();
    return;
  }
  ipc::LogRings rings;
  const bool sane = rings.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size())) &&
                    rings.shards() > 0 && rings.shards() <= limits::kShardsMax &&
                    message->fds.size() == std::size_t{2} * rings.shards();
  if (!sane) return connection_.reset();
  if (inodes_of(message->fds) != known_) fresh_ = std::move(message->fds);
}

/// A ring handed out twice has one cursor: the old reader is gone before the new one reads it.
void RingSource::adopt() {
  rings_.clear();
  std::vector<Fd> fds = std::exchange(fresh_, {});
  known_ = inodes_of(fds);
  for (std::size_t i = 0; i + 1 < fds.size(); i += 2) {
    auto reader = LogRingReader::open(std::move(fds[i]), std::move(fds[i + 1]));
    if (reader) {
      pass_over(*reader);
      rings_.push_back({std::move(*reader), 0});
    } else {
      ++broken_;
      connection_.reset();
    }
  }
  skips_.clear();  // a ring that is not among these died with its dataplaned
}

/// Frees what the marks say is stored; the cursor shows how much of it was freed before.
void RingSource::pass_over(LogRingReader& reader) {
  std::vector<LogRecord> unread(kRecordsPerTurn);
  for (const RingMark& mark : skips_) {
    if (mark.ring != reader.id() || reader.position() < mark.first || reader.position() - mark.first >= mark.count) continue;
    const std::uint64_t wanted = mark.first + mark.count - reader.position();
    const auto there = reader.peek(std::span(unread).first(std::min<std::uint64_t>(wanted, unread.size())));
    if (there) reader.consume(*there);
  }
}

std::vector<RingMark> RingSource::marks() const {
  std::vector<RingMark> out;
  for (const Ring& ring : rings_) {
    if (ring.gathered > 0) out.push_back({ring.reader.id(), ring.reader.position(), ring.gathered});
  }
  return out;
}

bool RingSource::drained() const {
  return std::all_of(rings_.begin(), rings_.end(), [](const Ring& ring) { return is_empty(ring.reader); });
}

void RingSource::gather(std::vector<LogRecord>& out) {
  for (std::size_t i = 0; i < rings_.size();) {
    const std::size_t before = out.size();
    out.resize(before + kRecordsPerTurn);
    const auto count = rings_[i].reader.peek(std::span(out).subspan(before));
    out.resize(before + (count ? *count : 0));
    if (!count) {
      ++broken_;
      known_.clear();
      rings_.erase(rings_.begin() + static_cast<std::ptrdiff_t>(i));
      connection_.reset();
      continue;
    }
    rings_[i++].gathered = *count;
  }
}

void RingSource::release() {
  for (Ring& ring : rings_) {
    if (ring.gathered > 0) ring.reader.consume(std::exchange(ring.gathered, 0));
  }
}

}  // namespace sekisho::mgmt
