// SPDX-License-Identifier: Apache-2.0
#include "mgmt/export/caller.h"

#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/ipc/sealed_blob.h"

namespace sekisho::mgmt {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr auto kPatience = 10s;
constexpr std::size_t kBlobBytesMax = 64U << 20;

}  // namespace

asio::awaitable<std::optional<Caller::Answer>> Caller::ask(std::string question) {
  while (busy_) (void)co_await gate_.async_wait(kTuple);  // setting its time here would wake all who wait
  busy_ = true;
  auto answer = co_await exchange(question);
  if (!answer) readable_.reset(), connection_.reset();
  busy_ = false;
  gate_.cancel();
  co_return answer;
}

asio::awaitable<std::optional<Caller::Answer>> Caller::exchange(const std::string& question) {
  if (!connection_) {
    auto made = IpcConnection::connect(path_);
    if (!made) co_return std::nullopt;
    connection_ = std::move(*made);
    readable_.emplace(io_, ::dup(connection_->fd()));
  }
  const ByteSpan bytes(reinterpret_cast<const std::uint8_t*>(question.data()), question.size());
  if (!connection_->send(bytes, {}, 0ms)) co_return std::nullopt;
  asio::steady_timer timer(io_, kPatience);
  timer.async_wait([this](const boost::system::error_code& failed) {
    if (!failed && readable_) readable_->cancel();
  });
  Result<IpcMessage> received = Error{};
  do {
    const auto [failed] = co_await readable_->async_wait(asio::posix::stream_descriptor::wait_read, kTuple);
    if (failed) co_return std::nullopt;
    received = connection_->receive(0ms);
  } while (!received && nothing_waits(received.error()));
  timer.cancel();
  if (!received) co_return std::nullopt;
  Answer out;
  out.bytes.assign(received->bytes.begin(), received->bytes.end());
  if (received->fds.size() == 1) {
    const auto blob = SealedBlob::open(std::move(received->fds[0]), kBlobBytesMax);
    if (!blob) co_return std::nullopt;
    out.blob.assign(blob->bytes().begin(), blob->bytes().end());
  }
  co_return out;
}

}  // namespace sekisho::mgmt
