// SPDX-License-Identifier: Apache-2.0
#include "control/links/audit_link.h"

#include <fcntl.h>
#include <google/protobuf/io/zero_copy_stream_impl.h>
#include <google/protobuf/util/delimited_message_util.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "base/crypto/aead.h"
#include "base/os/durable_file.h"
#include "control/config/diff.h"

namespace sekisho::control {
namespace {

using boost::asio::posix::stream_descriptor;
using namespace std::chrono_literals;

constexpr auto kRetry = 500ms, kPatience = 2000ms;
constexpr std::size_t kRecordMax = 60'000;

std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count());
}

/// RFC 9562 version 7.
std::string new_id(std::uint64_t time_ns) {
  auto bytes = random_bytes<16>();
  const std::uint64_t milliseconds = time_ns / 1'000'000;
  for (unsigned i = 0; i < 6; ++i) bytes[i] = static_cast<std::uint8_t>(milliseconds >> (40 - 8 * i));
  bytes[6] = static_cast<std::uint8_t>((bytes[6] & 0x0f) | 0x70);
  bytes[8] = static_cast<std::uint8_t>((bytes[8] & 0x3f) | 0x80);
  return {bytes.begin(), bytes.end()};
}

ByteSpan span_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace

AuditLink::AuditLink(boost::asio::io_context& io, std::string socket, std::string file)
    : io_(io), socket_(std::move(socket)), file_(std::move(file)), retry_(io) {}

void AuditLink::start() {
  read_left();
  rewrite();
  pump();
}

void AuditLink::stop() {
  stopped_ = true;
  retry_.cancel();
  drop_connection();
}

std::deque<ipc::ToEventLog> read_acts(std::istream& file) {
  std::deque<ipc::ToEventLog> out;
  google::protobuf::io::IstreamInputStream stream(&file);
  std::map<std::string, std::size_t> places;  // by eid: an act is there twice, the second time with its result
  // What a crash tore was never answered.
  for (ipc::ToEventLog record; google::protobuf::util::ParseDelimitedFromZeroCopyStream(&record, &stream, nullptr);
       record.Clear()) {
    const auto [at, fresh] = places.try_emplace(record.eid(), out.size());
    if (fresh) {
      out.push_back(record);
    } else {
      out[at->second] = record;
    }
  }
  for (ipc::ToEventLog& record : out) {
    if (!record.has_audit() || !record.audit().result().empty()) continue;
    record.mutable_audit()->set_result("fail");
    record.mutable_audit()->set_cause("interrupted");
  }
  return out;
}

void AuditLink::read_left() {
  std::ifstream in(file_, std::ios::binary);
  queue_ = read_acts(in);
  for (ipc::ToEventLog& record : queue_) record.set_number(++last_number_);
}

/// The file anew, with what has to be in it.
void AuditLink::rewrite() {
  std::ostringstream bytes;
  for (const ipc::ToEventLog& record : queue_) google::protobuf::util::SerializeDelimitedToOstream(record, &bytes);
  for (const auto& [number, record] : open_) google::protobuf::util::SerializeDelimitedToOstream(record, &bytes);
  const std::string text = bytes.str();
  const bool done = replace_durably(file_, span_of(text), 0640);
  fd_ = Fd(::open(file_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
  if (done) file_bytes_ = text.size();
}

bool AuditLink::save(const ipc::ToEventLog& record) {
  std::ostringstream bytes;
  google::protobuf::util::SerializeDelimitedToOstream(record, &bytes);
  const std::string text = bytes.str();
  const bool whole = ::write(fd_.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (whole && ::fdatasync(fd_.get()) == 0) return file_bytes_ += text.size(), true;
  // Half a record would hide all that follow it.
  if (::ftruncate(fd_.get(), static_cast<off_t>(file_bytes_)) != 0) fd_.reset();
  return false;
}

void AuditLink::prepare(ipc::ToEventLog& record) {
  const std::uint64_t now = now_ns();
  record.set_number(++last_number_);
  record.set_timestamp_ns(now);
  record.set_eid(new_id(now));
  if (!record.has_audit()) return;  // a security event, small as it is
  if (record.audit().request_id().empty()) record.mutable_audit()->set_request_id(new_id(now));
  if (record.ByteSizeLong() > kRecordMax) record.mutable_audit()->clear_before(), record.mutable_audit()->clear_after();
  if (record.ByteSizeLong() > kRecordMax) record.mutable_audit()->clear_comment();
}

void AuditLink::drop(std::uint64_t number) {
  open_.erase(number);
  if (queue_.empty() && open_.empty() && ::ftruncate(fd_.get(), 0) == 0) file_bytes_ = 0;
  if (file_bytes_ > kRewriteBytes && queue_.size() < kUnderWayMax) rewrite();
}

bool AuditLink::takes() const {
  return fd_.valid() && queue_.size() + open_.size() < kWaitingMax && file_bytes_ < kFileBytesMax;
}

std::optional<std::uint64_t> AuditLink::begin(ipc::ToEventLog record) {
  if (!takes()) return std::nullopt;
  prepare(record);
  record.mutable_audit()->clear_result();
  if (!save(record)) return std::nullopt;
  const std::uint64_t number = record.number();
  open_.emplace(number, std::move(record));
  return number;
}

void AuditLink::finish(std::uint64_t number, const std::function<void(ipc::AuditRecord&)>& outcome) {
  const auto at = open_.find(number);
  if (at == open_.end()) return;
  ipc::ToEventLog record = std::move(at->second);
  open_.erase(at);
  outcome(*record.mutable_audit());
  record.set_number(++last_number_);  // they are sent in the order they ended
  (void)save(record);                 // that it began is on the disk
  queue_.push_back(std::move(record));
  pump();
}

bool AuditLink::add(ipc::ToEventLog record) {
  prepare(record);
  const bool saved = save(record);
  queue_.push_back(std::move(record));
  pump();
  return saved;
}

std::uint64_t AuditLink::forget(const std::string& service_code) {
  const std::size_t before = queue_.size() + open_.size();
  drop_connection();  // what was sent and not acknowledged is sent again, but for these
  std::erase_if(queue_, [&](const auto& record) { return record.service_code() == service_code; });
  std::erase_if(open_, [&](const auto& entry) { return entry.second.service_code() == service_code; });
  rewrite();
  pump();
  return before - queue_.size() - open_.size();
}

void AuditLink::when_stored(std::function<void()> then) {
  if (queue_.empty()) return then();
  auto timer = std::make_shared<boost::asio::steady_timer>(io_, kPatience);
  const std::uint64_t number = queue_.back().number();
  waiters_.push_back({number, std::move(then), timer});
  timer->async_wait([this, timer](const boost::system::error_code& failed) {
    if (failed) return;
    const auto at = std::find_if(waiters_.begin(), waiters_.end(), [&](const Waiter& one) { return one.timer == timer; });
    if (at == waiters_.end()) return;
    const auto over = std::move(at->then);
    waiters_.erase(at);
    over();
  });
}

void AuditLink::tell_waiters() {
  while (!waiters_.empty() && (queue_.empty() || queue_.front().number() > waiters_.front().number)) {
    const Waiter first = std::move(waiters_.front());
    waiters_.pop_front();
    first.timer->cancel();
    first.then();
  }
}

/// Sends what may be under way; comes again when logd is not there.
void AuditLink::pump() {
  if (stopped_ || queue_.empty()) return;
  if (!peer_) {
    auto connection = IpcConnection::connect(socket_);
    if (connection) {
      const int watched = ::dup(connection->fd());
      peer_ = std::make_shared<Watched>(Watched{std::move(*connection), stream_descriptor(io_, watched)});
      sent_ = 0;
      listen();
    }
  }
  while (peer_ && sent_ < queue_.size() && sent_ < kUnderWayMax) {
    const std::string bytes = queue_[sent_].SerializeAsString();
    const auto sent = peer_->connection.send(span_of(bytes), {}, 0ms);
    if (!sent) {
      if (sent.error().detail != EAGAIN && sent.error().detail != ETIMEDOUT) drop_connection();
      break;
    }
    ++sent_;
  }
  retry_.expires_after(kRetry);
  retry_.async_wait([this](const boost::system::error_code& failed) {
    if (!failed) pump();
  });
}

void AuditLink::listen() {
  peer_->watch.async_wait(stream_descriptor::wait_read, [this, peer = peer_](const boost::system::error_code& failed) {
    if (failed || stopped_ || peer != peer_) return;
    if (!take_answers()) return drop_connection();
    listen();
    pump();
  });
}

bool AuditLink::take_answers() {
  for (;;) {
    const auto message = peer_->connection.receive(0ms);
    if (!message) return nothing_waits(message.error());
    ipc::FromEventLog answer;
    if (!answer.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size()))) return false;
    if (!answer.refused().empty()) std::fprintf(stderr, "controld: logd refuses a record of an act: %s\n", answer.refused().c_str());
    // Answers come in order, but for refusals.
    for (std::size_t i = 0; i < sent_; ++i) {
      if (queue_[i].number() != answer.stored()) continue;
      queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(i));
      --sent_;
      break;
    }
    if (queue_.empty() && open_.empty() && ::ftruncate(fd_.get(), 0) == 0) file_bytes_ = 0, (void)::fdatasync(fd_.get());
    if (file_bytes_ > kRewriteBytes && queue_.size() < kUnderWayMax) rewrite();
    tell_waiters();
  }
}

void AuditLink::drop_connection() {
  // Its handler holds it too, until it is told.
  boost::system::error_code ignored;
  if (peer_) peer_->watch.close(ignored);
  peer_.reset();
  sent_ = 0;
}

std::vector<std::string> changed_tenants(const model::Configuration& before, const model::Configuration& after) {
  std::map<std::string, std::string> codes;
  for (const auto* one : {&before, &after}) {
    for (const model::Tenant& tenant : one->tenants())
      codes["tenants[" + tenant.name() + "]"] = codes["tenants[" + tenant.service_code() + "]"] = tenant.service_code();
  }
  std::set<std::string> out;
  for (const Change& change : diff_models(before, after)) {
    const auto found = codes.find(change.path.substr(0, change.path.find(']') + 1));
    if (found != codes.end()) out.insert(found->second);
  }
  return {out.begin(), out.end()};
}

}  // namespace sekisho::control
