// SPDX-License-Identifier: Apache-2.0
// Overview: work from controld -> deliver() one coroutine each -> results with the next question.
#include "mgmt/outbound/courier.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <vector>

#include "mgmt/api/control_pool.h"
#include "mgmt/outbound/smtp.h"
#include "mgmt/outbound/target.h"
#include "mgmt/outbound/tls_client.h"

namespace sekisho::mgmt {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using Clock = std::chrono::steady_clock;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr auto kTurn = std::chrono::seconds(1);
constexpr auto kQuickTurn = std::chrono::milliseconds(100);  ///< while somebody waits for what is fetched
constexpr std::size_t kResultsOfMessageMax = 64;
constexpr std::size_t kFetchedOfMessageMax = 2, kFetchedBytesMax = 16U << 10;

/// The next line without its end; nothing: the connection is of no use any more.
template <typename Stream>
asio::awaitable<std::optional<std::string>> read_line(Stream& stream, std::string& buffer) {
  const auto [failed, size] =
      co_await asio::async_read_until(stream, asio::dynamic_buffer(buffer, SmtpDialogue::kLineBytesMax + 2), "\r\n", kTuple);
  if (failed) co_return std::nullopt;
  std::string line = buffer.substr(0, size - 2);
  buffer.erase(0, size);
  co_return line;
}

/// Goes on with the dialogue over `stream` until it ends or TLS begins. True: TLS begins.
template <typename Stream>
asio::awaitable<bool> talk(Stream& stream, SmtpDialogue& dialogue, SmtpDialogue::Next next, bool& broken) {
  std::string buffer;
  broken = false;
  for (;;) {
    if (next == SmtpDialogue::Next::kSend) {
      const auto [failed, size] = co_await asio::async_write(stream, asio::buffer(dialogue.to_send()), kTuple);
      (void)size;
      broken = static_cast<bool>(failed);
    } else if (next == SmtpDialogue::Next::kStartTls) {
      broken = !buffer.empty();  // said before TLS, meant to be read after it
      co_return !broken;
    } else if (next == SmtpDialogue::Next::kEnd) {
      co_return false;
    }
    if (broken) co_return false;
    const auto line = co_await read_line(stream, buffer);
    broken = !line;
    if (broken) co_return false;
    next = dialogue.take(*line);
  }
}

asio::awaitable<SmtpDialogue::Outcome> send_mail(asio::io_context& io, const ipc::MailDelivery& mail, Clock::time_point deadline) {
  const Peer peer{.host = mail.host(), .port = static_cast<std::uint16_t>(mail.port()), .ca = mail.ca()};
  SmtpDialogue::Outcome out;
  auto context = make_context(peer, out.detail);
  if (!context) co_return out;
  auto plain = co_await connect(io, peer, deadline, out.detail);
  if (!plain) co_return out;
  SmtpDialogue dialogue({mail.sender(),
                         {mail.recipients().begin(), mail.recipients().end()},
                         mail.user(),
                         mail.password(),
                         mail.message()},
                        "sekisho.invalid", mail.starttls());
  bool broken = false;
  auto next = SmtpDialogue::Next::kRead;
  if (mail.starttls()) {
    const bool begins = co_await talk(*plain, dialogue, next, broken);
    if (!begins) {
      if (broken) out.detail = "the mail server broke off";
      co_return broken ? out : dialogue.outcome();
    }
    next = dialogue.tls_began();
  }
  TlsStream stream(std::move(*plain), *context);
  out.detail = co_await begin_tls(stream, peer);
  if (!out.detail.empty()) co_return out;
  (void)co_await talk(stream, dialogue, next, broken);
  if (broken) {
    out.detail = "the mail server broke off";
    co_return out;
  }
  const std::string quit = "QUIT\r\n";  // nobody waits for what it says to that
  (void)co_await asio::async_write(stream, asio::buffer(quit), kTuple);
  co_return dialogue.outcome();
}

asio::awaitable<SmtpDialogue::Outcome> call_webhook(asio::io_context& io, const ipc::WebhookDelivery& call, const std::string& id,
                                                    Clock::time_point deadline) {
  SmtpDialogue::Outcome out;
  const auto target = parse_https(call.url());
  Peer peer;
  peer.networks.emplace();
  for (const std::string& text : call.networks()) {
    if (const auto prefix = parse_prefix(text)) peer.networks->push_back(*prefix);
  }
  if (!target) {
    out = {false, true, "this is no address of a webhook"};
    co_return out;
  }
  peer.host = target->host;
  peer.port = target->port;
  peer.ca = call.ca();
  auto context = make_context(peer, out.detail);
  if (!context) co_return out;
  auto plain = co_await connect(io, peer, deadline, out.detail);
  if (!plain) co_return out;
  TlsStream stream(std::move(*plain), *context);
  out.detail = co_await begin_tls(stream, peer);
  if (!out.detail.empty()) co_return out;
  http::request<http::string_body> request(http::verb::post, target->path, 11);
  request.set(http::field::host, target->host_header);
  request.set(http::field::content_type, "application/json");
  request.set(http::field::user_agent, "Sekisho");
  request.set("X-Sekisho-Id", id);
  request.set("X-Sekisho-Signature", call.signature());
  request.keep_alive(false);
  request.body() = call.body();
  request.prepare_payload();
  const auto [write_failed, written] = co_await http::async_write(stream, request, kTuple);
  (void)written;
  constexpr std::size_t kHeadBytesMax = 16U << 10;
  beast::flat_buffer buffer(2 * kHeadBytesMax);
  http::response_parser<http::empty_body> parser;
  parser.header_limit(kHeadBytesMax);
  if (!write_failed) {
    // What it says beyond is its own affair.
    const auto [read_failed, size] = co_await http::async_read_header(stream, buffer, parser, kTuple);
    (void)size;
    if (!read_failed) {
      const unsigned status = parser.get().result_int();
      out.ok = status >= 200 && status < 300;
      out.permanent = !out.ok && status < 500 && status != 408 && status != 429;
      out.detail = "status " + std::to_string(status);
      co_return out;
    }
  }
  out.detail = "the receiver broke off";
  co_return out;
}

/// The body of what a POST brings; empty, and `why`: nothing. No redirection is followed.
asio::awaitable<std::string> fetch(asio::io_context& io, const ipc::Fetch& wanted, Clock::time_point deadline, std::string& why) {
  const auto target = parse_http(wanted.url());
  why = "this is no address of a responder";
  if (!target) co_return std::string();
  Peer peer;
  peer.networks.emplace();
  for (const std::string& text : wanted.networks()) {
    if (const auto prefix = parse_prefix(text)) peer.networks->push_back(*prefix);
  }
  peer.host = target->host;
  peer.port = target->port;
  auto stream = co_await connect(io, peer, deadline, why);
  if (!stream) co_return std::string();
  stream->expires_at(deadline);
  http::request<http::string_body> request(http::verb::post, target->path, 11);
  request.set(http::field::host, target->host_header);
  request.set(http::field::content_type, wanted.content_type());
  request.set(http::field::user_agent, "Sekisho");
  request.keep_alive(false);
  request.body() = wanted.body();
  request.prepare_payload();
  why = "the responder broke off";
  const auto [write_failed, written] = co_await http::async_write(*stream, request, kTuple);
  (void)written;
  if (write_failed) co_return std::string();
  beast::flat_buffer buffer(2 * kFetchedBytesMax);
  http::response_parser<http::string_body> parser;
  parser.header_limit(8U << 10);
  parser.body_limit(kFetchedBytesMax);
  const auto [read_failed, size] = co_await http::async_read(*stream, buffer, parser, kTuple);
  (void)size;
  if (read_failed) co_return std::string();
  why = "status " + std::to_string(parser.get().result_int());
  if (parser.get().result() != http::status::ok) co_return std::string();
  why.clear();
  co_return std::move(parser.get().body());
}

}  // namespace

struct Courier::Inside : std::enable_shared_from_this<Courier::Inside> {
  Inside(asio::io_context& context, const std::string& run_dir, std::function<void(const std::string&)> say)
      : io(context), pool(context, run_dir + "/control.sock"), timer(context), complain(std::move(say)) {}
  asio::io_context& io;
  ControlPool pool;
  asio::steady_timer timer;
  std::function<void(const std::string&)> complain;
  std::vector<ipc::DeliveryResult> results;
  std::vector<ipc::Fetched> fetched;
  std::uint32_t under_way = 0, fetching = 0;
  bool stopped = false;

  asio::awaitable<void> run();
  asio::awaitable<void> deliver(ipc::Delivery delivery);
  asio::awaitable<void> fetch_one(ipc::Fetch wanted);
  bool begin(const ipc::Deliveries& work);
};

asio::awaitable<void> Courier::Inside::run() {
  while (!stopped) {
    ipc::ToControl question;
    auto& work = *question.mutable_delivery_work();
    const std::size_t told = std::min(results.size(), kResultsOfMessageMax);
    for (std::size_t i = 0; i < told; ++i) *work.add_results() = results[i];
    work.set_room(kAtOnceMax - under_way);
    const std::size_t brought = std::min(fetched.size(), kFetchedOfMessageMax);
    for (std::size_t i = 0; i < brought; ++i) *work.add_fetched() = fetched[i];
    work.set_fetch_room(kFetchesAtOnceMax - fetching);
    bool busy = false;
    const auto answer = co_await pool.ask(std::move(question));
    if (answer) {
      results.erase(results.begin(), results.begin() + static_cast<std::ptrdiff_t>(told));
      fetched.erase(fetched.begin(), fetched.begin() + static_cast<std::ptrdiff_t>(brought));
      busy = begin(answer->deliveries()) || brought > 0;
    }
    timer.expires_after(busy || fetching > 0 ? std::chrono::milliseconds(kQuickTurn) : std::chrono::milliseconds(kTurn));
    co_await timer.async_wait(kTuple);
  }
}

/// True: something is fetched.
bool Courier::Inside::begin(const ipc::Deliveries& work) {
  for (const auto& one : work.deliveries()) {
    if (under_way >= kAtOnceMax) break;
    ++under_way;
    asio::co_spawn(
        io, [self = shared_from_this(), one]() -> asio::awaitable<void> { co_await self->deliver(one); }, asio::detached);
  }
  for (const auto& one : work.fetches()) {
    if (fetching >= kFetchesAtOnceMax) break;
    ++fetching;
    asio::co_spawn(
        io, [self = shared_from_this(), one]() -> asio::awaitable<void> { co_await self->fetch_one(one); }, asio::detached);
  }
  return work.fetches_size() > 0;
}

asio::awaitable<void> Courier::Inside::fetch_one(ipc::Fetch wanted) {
  ipc::Fetched out;
  out.set_number(wanted.number());
  try {
    std::string why;
    std::string body = co_await fetch(io, wanted, Clock::now() + kFetchPatience, why);
    out.set_body(std::move(body));
    out.set_why(std::move(why));
  } catch (const std::exception& error) {  // as deliver()
    out.set_why(error.what());
  }
  fetched.push_back(std::move(out));
  --fetching;
  timer.cancel();  // somebody waits for it
}

asio::awaitable<void> Courier::Inside::deliver(ipc::Delivery delivery) {
  SmtpDialogue::Outcome outcome;
  try {
    const auto deadline = Clock::now() + kPatience;
    if (delivery.has_mail()) {
      outcome = co_await send_mail(io, delivery.mail(), deadline);
    } else if (delivery.has_webhook()) {
      outcome = co_await call_webhook(io, delivery.webhook(), delivery.id(), deadline);
    }
  } catch (const std::exception& error) {  // out of memory, or a stream that cannot be made
    outcome = {false, false, error.what()};
    complain(std::string("a message was not sent: ") + error.what());
  }
  ipc::DeliveryResult result;
  result.set_id(delivery.id());
  result.set_ok(outcome.ok);
  result.set_permanent(outcome.permanent);
  result.set_detail(outcome.detail);
  results.push_back(std::move(result));
  --under_way;
}

Courier::Courier(asio::io_context& io, const std::string& run_dir, std::function<void(const std::string&)> complain)
    : inside_(std::make_shared<Inside>(io, run_dir, std::move(complain))) {}

Courier::~Courier() {
  stop();
}

void Courier::start() {
  asio::co_spawn(
      inside_->io, [inside = inside_]() -> asio::awaitable<void> { co_await inside->run(); }, asio::detached);
}

void Courier::stop() {
  inside_->stopped = true;
  inside_->timer.cancel();
}

}  // namespace sekisho::mgmt
