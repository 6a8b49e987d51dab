// SPDX-License-Identifier: Apache-2.0
#include "mgmt/api/control_pool.h"

#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/ipc/sealed_blob.h"
#include "base/limits.h"

namespace sekisho::mgmt {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr auto kPatience = 120s;
constexpr std::size_t kAnswerBytesMax = std::size_t{256} << 20;
constexpr std::size_t kInlineBytesMax = limits::kIpcMessageBytesMax - (8U << 10);

ByteSpan bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace

std::unique_ptr<ControlPool::Connection> ControlPool::connect() {
  auto made = IpcConnection::connect(path_);
  if (!made) return nullptr;
  auto out = std::make_unique<Connection>(io_, std::move(*made));
  boost::system::error_code failed;
  out->readable.assign(::dup(out->ipc.fd()), failed);
  return failed ? nullptr : std::move(out);
}

asio::awaitable<std::optional<ControlPool::Answer>> ControlPool::call(ipc::ApiCall call, std::string body) {
  Fd blob;
  if (body.size() > kInlineBytesMax) {
    auto made = make_sealed_blob("sekisho-request", bytes_of(body));
    if (!made) co_return std::nullopt;
    blob = std::move(*made);
    call.set_in_fd(true);
  } else {
    call.set_request(std::move(body));
  }
  ipc::ToControl message;
  message.set_correlation(1);  // one call a connection
  *message.mutable_api_call() = std::move(call);
  auto received = co_await send(message, blob);
  if (!received || !received->message.has_api_answer()) co_return std::nullopt;
  Answer out;
  out.body = std::move(*received->message.mutable_api_answer());
  if (received->fds.size() == 1) out.fd = std::move(received->fds[0]);
  if (out.body.in_fd()) {
    const auto opened = SealedBlob::open(std::move(out.fd), kAnswerBytesMax);
    if (!opened) co_return std::nullopt;
    out.body.set_reply(std::string(opened->bytes().begin(), opened->bytes().end()));
  }
  co_return out;
}

asio::awaitable<std::optional<ipc::FromControl>> ControlPool::ask(ipc::ToControl question) {
  question.set_correlation(1);
  auto received = co_await send(question, Fd());
  if (!received) co_return std::nullopt;
  co_return std::move(received->message);
}

asio::awaitable<std::optional<ControlPool::Received>> ControlPool::send(const ipc::ToControl& message, const Fd& blob) {
  const std::string bytes = message.SerializeAsString();
  // A connection that was kept may be of a controld that has ended since: then one that is new is tried, before
  // anything was asked.
  for (int attempt = 0; attempt < 2; ++attempt) {
    std::unique_ptr<Connection> connection;
    const bool kept = attempt == 0 && !idle_.empty();
    if (kept) {
      connection = std::move(idle_.back());
      idle_.pop_back();
    } else {
      if (open_ >= kConnectionsMax) co_return std::nullopt;
      connection = connect();
      if (!connection) co_return std::nullopt;
      ++open_;
    }
    const int number = blob.get();
    const auto fds = blob.valid() ? std::span<const int>(&number, 1) : std::span<const int>();
    const bool sent = connection->ipc.send(bytes_of(bytes), fds, 0ms).has_value();
    std::optional<Received> answer;  // no conditional expression: GCC 12 makes wrong code of one with co_await inside
    if (sent) answer = co_await exchange(*connection);
    if (answer) {
      idle_.push_back(std::move(connection));
      co_return std::move(answer);
    }
    --open_;
    if (sent || !kept) co_return std::nullopt;
  }
  co_return std::nullopt;
}

asio::awaitable<std::optional<ControlPool::Received>> ControlPool::exchange(Connection& connection) {
  using namespace asio::experimental::awaitable_operators;
  asio::steady_timer timer(io_, kPatience);
  Result<IpcMessage> received = Error{};
  do {
    const auto first = co_await (connection.readable.async_wait(asio::posix::stream_descriptor::wait_read, kTuple) ||
                                 timer.async_wait(kTuple));
    if (first.index() == 1) co_return std::nullopt;
    received = connection.ipc.receive(0ms);
  } while (!received && nothing_waits(received.error()));
  Received out;
  if (!received || !out.message.ParseFromArray(received->bytes.data(), static_cast<int>(received->bytes.size())))
    co_return std::nullopt;
  out.fds = std::move(received->fds);
  co_return out;
}

}  // namespace sekisho::mgmt
