// SPDX-License-Identifier: Apache-2.0
// Overview. One connection, one question out at a time (the newest generation first: it is the one records wait for).
// Life-cycle. Any failure closes the connection; the question is asked again after half a second.
#include "mgmt/log/names_client.h"

#include <unistd.h>

#include "base/ipc/sealed_blob.h"
#include "base/proto/control_mgmt.pb.h"

namespace sekisho::mgmt {
namespace {

constexpr std::chrono::milliseconds kRetry{500};
constexpr std::chrono::milliseconds kNow{0};

Error malformed() {
  return {ErrorCode::kMalformed, ErrorSite::kIpc, 0};
}

}  // namespace

Result<std::shared_ptr<const Names>> parse_names(ByteSpan bytes, std::optional<std::uint32_t> generation) {
  ipc::NameTable table;
  if (!table.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return malformed();
  if (generation && table.generation() != *generation) return malformed();
  return std::shared_ptr<const Names>(std::make_shared<Names>(table));
}

NamesClient::NamesClient(boost::asio::io_context& loop, std::string path, Answer answer)
    : loop_(loop), timer_(loop), path_(std::move(path)), answer_(std::move(answer)) {}

void NamesClient::request(std::uint32_t generation) {
  wanted_.insert(generation);
  if (!asked_ && !sleeping_) ask();
}

void NamesClient::stop() {
  wanted_.clear();
  asked_.reset();
  watch_.reset();
  connection_.reset();
  timer_.cancel();
}

void NamesClient::ask() {
  if (wanted_.empty()) return;
  if (!connection_) {
    auto connection = IpcConnection::connect(path_);
    if (!connection) return try_later();
    connection_ = std::move(*connection);
    watch_.emplace(loop_, ::dup(connection_->fd()));
  }
  const std::uint32_t generation = *wanted_.rbegin();
  ipc::ToControl question;
  question.set_correlation(++correlation_);
  question.mutable_get_names()->set_generation(generation);
  const std::string bytes = question.SerializeAsString();
  if (!connection_->send({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, {}, kNow))
    return try_later();
  asked_ = generation;
  wait_for_answer();
}

void NamesClient::wait_for_answer() {
  watch_->async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& failed) {
    if (!failed) receive();
  });
}

void NamesClient::receive() {
  auto message = connection_->receive(kNow);
  if (!message && nothing_waits(message.error())) return wait_for_answer();
  if (!message) return try_later();
  std::vector<Fd> fds = std::move(message->fds);
  if (!take(*message, std::move(fds))) return try_later();
  ask();
}

Result<void> NamesClient::take(const IpcMessage& message, std::vector<Fd> fds) {
  ipc::FromControl answer;
  if (!answer.ParseFromArray(message.bytes.data(), static_cast<int>(message.bytes.size())) || !answer.has_names() ||
      !asked_ || answer.correlation() != correlation_ || answer.names().generation() != *asked_) {
    return malformed();
  }
  const std::uint32_t generation = *asked_;
  std::shared_ptr<const Names> names;
  std::optional<SealedBlob> blob;
  if (answer.names().size() > 0) {
    if (fds.size() != 1) return malformed();
    SEKISHO_TRY(blob, SealedBlob::open(std::move(fds[0]), kNameTableBytesMax));
    SEKISHO_TRY(names, parse_names(blob->bytes(), generation));
  }
  asked_.reset();
  wanted_.erase(generation);
  answer_(generation, names, blob ? blob->bytes() : ByteSpan{});
  return {};
}

void NamesClient::try_later() {
  asked_.reset();
  watch_.reset();
  connection_.reset();
  sleeping_ = true;
  timer_.expires_after(kRetry);
  timer_.async_wait([this](const boost::system::error_code& failed) {
    sleeping_ = false;
    if (!failed) ask();
  });
}

}  // namespace sekisho::mgmt
