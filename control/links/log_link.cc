// SPDX-License-Identifier: Apache-2.0
#include "control/links/log_link.h"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <unistd.h>

#include "base/describe.h"
#include "base/ipc/seqpacket.h"

namespace sekisho::control {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

constexpr auto kDeadline = 2s, kSearchDeadline = 40s, kVerifyDeadline = 600s;

struct Answer {
  ipc::FromLog message;
  Fd fd;
  std::string refusal;
};

Answer refused(std::string reason) { return {{}, {}, std::move(reason)}; }

std::chrono::seconds deadline_of(const ipc::ToLog& question) {
  return question.has_search() ? kSearchDeadline : question.has_verify() || question.has_erase() ? kVerifyDeadline : kDeadline;
}

Answer read_answer(Result<IpcMessage> message) {
  if (!message) return refused("logd did not answer: " + describe(message.error()));
  Answer out;
  if (!out.message.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size())) || message->fds.size() > 1) {
    return refused("logd answered what cannot be read");
  }
  if (!message->fds.empty()) out.fd = std::move(message->fds[0]);
  if (out.message.stream().ok() && !out.fd.valid()) return refused("logd answered without a stream");
  return out;
}

asio::awaitable<Answer> ask(std::string path, std::string request, std::chrono::seconds deadline) {
  using namespace asio::experimental::awaitable_operators;
  auto connection = IpcConnection::connect(path);
  if (!connection) co_return refused("logd is not there");
  const ByteSpan bytes(reinterpret_cast<const std::uint8_t*>(request.data()), request.size());
  if (const auto sent = connection->send(bytes, {}, 100ms); !sent) co_return refused("logd takes no requests");
  const auto executor = co_await asio::this_coro::executor;
  asio::posix::stream_descriptor readable(executor, ::dup(connection->fd()));
  asio::steady_timer timer(executor, deadline);
  Result<IpcMessage> message = Error{};
  do {
    const auto first = co_await (readable.async_wait(asio::posix::stream_descriptor::wait_read, asio::use_awaitable) ||
                                 timer.async_wait(asio::use_awaitable));
    if (first.index() == 1) co_return refused("logd did not answer in time");
    message = connection->receive(0ms);
  } while (!message && nothing_waits(message.error()));
  co_return read_answer(std::move(message));
}

}  // namespace

void ask_log(asio::io_context& io, const std::string& path, const ipc::ToLog& question, std::function<void(LogAnswer)> done) {
  const auto run = [](std::string where, std::string what, std::chrono::seconds deadline,
                      std::function<void(LogAnswer)> then) -> asio::awaitable<void> {
    Answer answer;
    try {
      answer = co_await ask(std::move(where), std::move(what), deadline);
    } catch (const std::exception& error) {  // Boost's, from a descriptor that cannot be watched
      answer = refused(std::string("logd cannot be asked: ") + error.what());
    }
    then({std::move(answer.message), std::move(answer.fd), std::move(answer.refusal)});
  };
  asio::co_spawn(io, run(path, question.SerializeAsString(), deadline_of(question), std::move(done)), asio::detached);
}

}  // namespace sekisho::control
