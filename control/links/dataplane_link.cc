// SPDX-License-Identifier: Apache-2.0
#include "control/links/dataplane_link.h"

#include <unistd.h>
#include <boost/asio/post.hpp>

#include "base/crypto/sha256.h"
#include "base/describe.h"
#include "base/ipc/sealed_blob.h"
#include "base/limits.h"

namespace sekisho::control {
namespace {

using namespace std::chrono_literals;

constexpr auto kSendDeadline = 200ms;
constexpr std::size_t kBulkBytesMax = std::size_t{256} << 20;
constexpr std::size_t kWaitingMax = 1024;

ByteSpan as_bytes(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

SnapshotSink::Outcome outcome_of(const DataplaneLink::Reply& reply) {
  using Kind = SnapshotSink::Outcome::Kind;
  if (!reply.error.empty()) return {.kind = Kind::kLost, .reason = reply.error};
  if (reply.message.has_applied()) {
    const auto& applied = reply.message.applied();
    return {.kind = Kind::kApplied,
            .reason = {},
            .build_microseconds = applied.build_microseconds(),
            .swap_microseconds = applied.swap_microseconds()};
  }
  if (reply.message.has_rejected()) {
    const auto& rejected = reply.message.rejected();
    return {.kind = Kind::kRejected,
            .reason = rejected.reason() + " (offset " + std::to_string(rejected.offset()) + ')'};
  }
  if (reply.message.has_failure()) return {.kind = Kind::kRejected, .reason = reply.message.failure().reason()};
  return {.kind = Kind::kLost, .reason = "it answered something else"};
}

}  // namespace

DataplaneLink::DataplaneLink(boost::asio::io_context& io, std::string path,
                             std::function<void(std::uint32_t, std::int64_t)> on_connected,
                             std::function<void(const std::string&)> complain, Deadlines deadlines)
    : io_(io),
      path_(std::move(path)),
      on_connected_(std::move(on_connected)),
      complain_(std::move(complain)),
      deadlines_(deadlines),
      readable_(io),
      retry_timer_(io),
      deadline_timer_(io) {}

DataplaneLink::~DataplaneLink() = default;

void DataplaneLink::start() {
  connect();
}

void DataplaneLink::stop() {
  stopped_ = true;
  close("controld is ending");
  boost::system::error_code ignored;
  retry_timer_.cancel(ignored);
  deadline_timer_.cancel(ignored);
}

void DataplaneLink::connect() {
  if (stopped_) return;
  auto connection = IpcConnection::connect(path_);
  if (!connection) {
    if (!said_absent_) complain_("the data plane is not there (" + path_ + "); trying again until it is");
    said_absent_ = true;
    return retry_later();
  }
  said_absent_ = false;
  connection_ = std::move(*connection);
  ++connection_number_;
  boost::system::error_code failed;
  readable_.assign(::dup(connection_->fd()), failed);
  if (failed) return close("cannot watch the connection: " + failed.message());
  wait_readable();
  greet();
}

void DataplaneLink::retry_later() {
  retry_timer_.expires_after(deadlines_.retry);
  retry_timer_.async_wait([this](const boost::system::error_code& failed) {
    if (!failed) connect();
  });
}

void DataplaneLink::greet() {
  ipc::ToDataplane request;
  request.mutable_get_status();
  send(std::move(request), {}, deadlines_.greet, [this](const Reply& reply) {
    if (!reply.error.empty()) return;
    if (!reply.message.has_status()) return close("no status in answer to a question for it");
    ready_ = true;
    on_connected_(reply.message.status().generation(), reply.message.status().moment());
  });
}

void DataplaneLink::wait_readable() {
  readable_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                       [this, number = connection_number_](const boost::system::error_code& failed) {
                         if (failed || number != connection_number_ || !connection_) return;
                         read_all();
                       });
}

void DataplaneLink::read_all() {
  const std::uint64_t number = connection_number_;
  while (connection_ && number == connection_number_) {
    auto message = connection_->receive(0ms);
    if (message) {
      take(std::move(*message));
      continue;
    }
    const Error error = message.error();
    if (nothing_waits(error)) return wait_readable();
    return close(describe(error));
  }
}

void DataplaneLink::take(IpcMessage message) {
  Reply reply;
  if (!reply.message.ParseFromArray(message.bytes.data(), static_cast<int>(message.bytes.size()))) {
    return close("an answer that cannot be read");
  }
  const auto waiting = waiting_.find(reply.message.correlation());
  if (waiting == waiting_.end()) return close("an answer nobody asked for");
  if (reply.message.has_bulk()) {
    if (message.fds.size() != 1) return close("a bulk answer without its memory");
    auto blob = SealedBlob::open(std::move(message.fds[0]), kBulkBytesMax);
    if (!blob || blob->bytes().size() != reply.message.bulk().size())
      return close("a bulk answer of another size than it says");
    reply.bulk.assign(reinterpret_cast<const char*>(blob->bytes().data()), blob->bytes().size());
  }
  const OnReply on_reply = std::move(waiting->second.on_reply);
  waiting_.erase(waiting);
  on_reply(reply);
}

void DataplaneLink::close(const std::string& reason) {
  const bool was_connected = connection_.has_value();
  ready_ = false;
  connection_.reset();
  ++connection_number_;
  boost::system::error_code ignored;
  readable_.close(ignored);
  if (was_connected && !stopped_) complain_("the data plane's connection is closed: " + reason);
  auto waiting = std::exchange(waiting_, {});
  Reply reply;
  reply.error = reason;
  for (auto& [correlation, who] : waiting) who.on_reply(reply);
  if (!stopped_) retry_later();
}

void DataplaneLink::apply(std::uint32_t generation, std::span<const std::uint8_t> snapshot, Done done) {
  const OnReply on_reply = [done = std::move(done)](const Reply& reply) { done(outcome_of(reply)); };
  auto blob = make_sealed_blob("sekisho-snapshot", snapshot);
  if (!ready_ || !blob) return fail_later(on_reply, ready_ ? describe(blob.error()) : "the data plane is not there");
  ipc::ToDataplane request;
  auto& body = *request.mutable_apply_snapshot();
  body.set_generation(generation);
  body.set_size(snapshot.size());
  const Sha256Digest digest = sha256(snapshot);
  body.set_sha256(digest.data(), digest.size());
  send(std::move(request), {&*blob, 1}, deadlines_.apply, on_reply);
}

void DataplaneLink::ask(ipc::ToDataplane request, std::chrono::milliseconds deadline, OnReply on_reply,
                        std::span<const Fd> fds) {
  if (!ready_) return fail_later(std::move(on_reply), "the data plane is not there");
  send(std::move(request), fds, deadline, std::move(on_reply));
}

void DataplaneLink::send(ipc::ToDataplane request, std::span<const Fd> fds, std::chrono::milliseconds deadline, OnReply on_reply) {
  if (waiting_.size() >= kWaitingMax)
    return fail_later(std::move(on_reply), "too many questions to the data plane at once");
  request.set_correlation(++last_correlation_);
  const std::string bytes = request.SerializeAsString();
  std::vector<int> numbers;
  for (const Fd& fd : fds) numbers.push_back(fd.get());
  if (const auto sent = connection_->send(as_bytes(bytes), numbers, kSendDeadline); !sent) {
    fail_later(std::move(on_reply), describe(sent.error()));
    // Closing calls others back: not from inside a call of theirs.
    boost::asio::post(io_, [this, connection = connection_number_] {
      if (connection == connection_number_) close("it takes no requests");
    });
    return;
  }
  waiting_.emplace(last_correlation_, Waiting{std::move(on_reply), std::chrono::steady_clock::now() + deadline});
  arm_deadline();
}

void DataplaneLink::arm_deadline() {
  if (waiting_.empty()) return;
  auto soonest = waiting_.begin()->second.deadline;
  for (const auto& [correlation, who] : waiting_) soonest = std::min(soonest, who.deadline);
  deadline_timer_.expires_at(soonest);
  deadline_timer_.async_wait([this](const boost::system::error_code& failed) {
    if (failed) return;
    const auto now = std::chrono::steady_clock::now();
    for (const auto& [correlation, who] : waiting_) {
      if (who.deadline <= now) return close("it did not answer in time");
    }
    arm_deadline();
  });
}

void DataplaneLink::fail_later(OnReply on_reply, std::string error) {
  boost::asio::post(io_, [on_reply = std::move(on_reply), error = std::move(error)] {
    Reply reply;
    reply.error = error;
    on_reply(reply);
  });
}

}  // namespace sekisho::control
