// SPDX-License-Identifier: Apache-2.0
#include "mgmt/api/gateway.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>

#include "base/assert.h"

namespace sekisho::mgmt {
namespace {

namespace asio = boost::asio;
using google::protobuf::Message;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kSmallBodyBytesMax = 64U << 10;
constexpr std::size_t kLargeBodyBytesMax = 8U << 20;
constexpr const char* kProtobuf = "application/x-protobuf";

std::unique_ptr<Message> make(const google::protobuf::Descriptor& type) {
  return std::unique_ptr<Message>(google::protobuf::MessageFactory::generated_factory()->GetPrototype(&type)->New());
}

bool wants_protobuf(const HttpRequest& request) {
  return request.header("accept") == kProtobuf;
}

HttpResponse with_message(const HttpRequest& request, unsigned status, const Message& message) {
  HttpResponse out;
  out.status = status;
  out.headers.emplace_back("Cache-Control", "no-store");
  out.headers.emplace_back("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
  out.headers.emplace_back("Content-Type", wants_protobuf(request) ? kProtobuf : "application/json");
  out.body = wants_protobuf(request) ? message.SerializeAsString() : write_json(message) + '\n';
  return out;
}

HttpResponse refuse(const HttpRequest& request, unsigned status, const char* code, std::string message,
                    std::string path = {}) {
  api::Error error;
  error.set_code(code);
  error.set_message(std::move(message));
  error.set_path(std::move(path));
  return with_message(request, status, error);
}

/// A UUID of version 4, for the operation log.
std::string make_request_id() {
  std::array<unsigned char, 16> bytes{};
  SEKISHO_ASSERT(::getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0fU) | 0x40U);
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3fU) | 0x80U);
  std::string out;
  constexpr std::string_view kHex = "0123456789abcdef";
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    out += kHex[bytes[i] >> 4U];
    out += kHex[bytes[i] & 15U];
  }
  return out;
}

/// "\"42\"", "42"; 0 for anything else.
std::uint32_t read_etag(std::string_view text) {
  if (text.starts_with("W/")) return 0;
  while (!text.empty() && (text.front() == '"' || text.back() == '"'))
    text = text.substr(text.front() == '"' ? 1 : 0, text.size() - 1);
  std::uint32_t out = 0;
  const auto [stop, status] = std::from_chars(text.data(), text.data() + text.size(), out);
  return status == std::errc{} && stop == text.data() + text.size() ? out : 0;
}

/// A page of somebody else's that makes this browser ask us says so here; browsers send it with everything that is no
/// plain GET.
bool from_elsewhere(const HttpRequest& request) {
  const std::string_view origin = request.header("origin");
  return !origin.empty() && origin != "https://" + std::string(request.header("host"));
}

/// A file name as it may stand in a header.
std::string plain_name(const std::string& name) {
  std::string out;
  for (const char c : name) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
    out += plain ? c : '_';
  }
  return out;
}

/// What a program shows as "Authorization: Bearer KEY"; empty for anything else.
std::string bearer_key(std::string_view header) {
  constexpr std::string_view kScheme = "Bearer ";
  constexpr std::size_t kKeyBytesMax = 128;
  if (!header.starts_with(kScheme) || header.size() > kScheme.size() + kKeyBytesMax) return {};
  return std::string(header.substr(kScheme.size()));
}

ipc::ApiCall call_of(const HttpRequest& request, const Route& route) {
  ipc::ApiCall out;
  out.set_method(route.method->name());
  out.set_token(cookie_value(request.header("cookie"), kCookieName));
  out.set_key(bearer_key(request.header("authorization")));
  out.set_certificate(request.certificate);
  out.set_csrf(std::string(request.header("x-sekisho-csrf")));
  out.set_source(std::string(request.source.wire().begin(), request.source.wire().end()));
  out.set_idempotency_key(std::string(request.header("idempotency-key")));
  out.set_if_match(read_etag(request.header("if-match")));
  out.set_request_id(make_request_id());
  return out;
}

bool has_large_body(const Route& route) {
  const auto& type = *route.method->input_type();
  for (int i = 0; i < type.field_count(); ++i) {
    const auto* message = type.field(i)->message_type();
    if ((message != nullptr && message->full_name() == "google.protobuf.Struct") || type.field(i)->name() == "text")
      return true;
  }
  return false;
}

}  // namespace

/// What an open event stream goes on with.
struct Gateway::Watch {
  const Route* route;
  ipc::ApiCall call;
  std::string body;
  std::int64_t shown_at = 0;  ///< of the last dashboard, Unix seconds
  std::string shown;          ///< as it was, but for its time
  std::uint32_t silent = 0;   ///< turns without anything to say
  bool begun = false;
  bool over = false;
};

Gateway::Gateway(asio::io_context& io, Options options, Assets assets)
    : io_(io),
      options_(std::move(options)),
      assets_(std::move(assets)),
      openapi_(openapi_document(router_)),
      pool_(io, options_.run_dir + "/control.sock") {}

std::size_t Gateway::body_bytes_max(const HttpRequest& head) const {
  if (head.verb == "GET" || head.verb == "HEAD") return 0;
  const Router::Match match = router_.find(head.verb, head.path);
  return match.route != nullptr && has_large_body(*match.route) ? kLargeBodyBytesMax : kSmallBodyBytesMax;
}

asio::awaitable<HttpResponse> Gateway::answer(std::shared_ptr<const HttpRequest> asked) {
  const HttpRequest& request = *asked;
  const auto match = std::make_shared<const Router::Match>(router_.find(request.verb, request.path));
  if (match->route != nullptr) co_return co_await call(asked, match);
  if (match->other_verb) {
    co_return refuse(request, 405, "malformed", "this path is asked in another way");
  }
  if (request.path == "/api/v1/openapi.json" && request.verb == "GET") {
    HttpResponse out;
    out.headers.emplace_back("Content-Type", "application/json");
    out.headers.emplace_back("Cache-Control", "no-cache");
    out.body = openapi_;
    co_return out;
  }
  if (request.path.starts_with("/api/")) co_return refuse(request, 404, "not_found", "there is no such path");
  if (request.verb != "GET" && request.verb != "HEAD")
    co_return refuse(request, 405, "malformed", "files are only read");
  co_return assets_.answer(request);
}

asio::awaitable<HttpResponse> Gateway::call(std::shared_ptr<const HttpRequest> given,
                                            std::shared_ptr<const Router::Match> match) {
  const HttpRequest& request = *given;
  const Route& route = *match->route;
  if (from_elsewhere(request)) co_return refuse(request, 403, "csrf", "this request comes from another site");
  auto message = make(*route.method->input_type());
  const std::string_view type = request.header("content-type");
  if (!request.body.empty() && type == kProtobuf) {
    constexpr std::size_t kBytesOfValue = 2;  // an empty one of a list
    if (request.body.size() > kJsonValuesMax * kBytesOfValue)
      co_return refuse(request, 413, "too_large", "the body is too large: send it as JSON");
    if (!message->ParseFromString(request.body)) co_return refuse(request, 400, "malformed", "the body cannot be read");
  } else if (!request.body.empty()) {
    if (!type.starts_with("application/json"))
      co_return refuse(request, 415, "malformed", "a body is application/json or application/x-protobuf");
    if (const Malformed why = read_json(request.body, *message))
      co_return refuse(request, 400, "malformed", why.message, why.path);
  }
  if (const Malformed why = read_query(request.query, *message))
    co_return refuse(request, 400, "malformed", why.message, why.path);
  for (const auto& [name, value] : match->fields) {  // last: the path is what was authorised
    if (const Malformed why = set_field(*message, name, value))
      co_return refuse(request, 400, "malformed", why.message, why.path);
  }
  ipc::ApiCall asked = call_of(request, route);
  std::string body = message->SerializeAsString();
  message.reset();  // many times as large as its bytes, and controld may take its time
  if (route.rule.events()) {
    const auto watch = std::make_shared<Watch>();
    watch->route = &route;
    watch->call = std::move(asked);
    watch->body = std::move(body);
    // The first question tells whether there will be a stream at all.
    auto first = co_await pool_.call(watch->call, watch->body);
    if (!first || first->body.status() >= 400) {
      if (first) co_return respond(request, route, std::move(*first));
      co_return refuse(request, 503, "unavailable", "the control daemon does not answer");
    }
    watch->call.set_live(true);
    HttpResponse out;
    out.headers.emplace_back("Content-Type", "text/event-stream");
    out.headers.emplace_back("Cache-Control", "no-store");
    out.headers.emplace_back("X-Accel-Buffering", "no");
    out.pieces = [this, watch] { return next_event(watch); };
    co_return out;
  }
  auto answer = co_await pool_.call(std::move(asked), std::move(body));
  if (!answer) co_return refuse(request, 503, "unavailable", "the control daemon does not answer");
  co_return respond(request, route, std::move(*answer));
}

HttpResponse Gateway::respond(const HttpRequest& request, const Route& route, ControlPool::Answer answer) const {
  const ipc::ApiAnswer& said = answer.body;
  const bool refused = said.status() >= 400;
  const bool waits = said.status() == 202;  // for a second person
  const auto message = make(refused ? *api::Error::descriptor()
                            : waits ? *api::Approval::descriptor()
                                    : *route.method->output_type());
  if (!message->ParseFromString(said.reply()))
    return refuse(request, 503, "unavailable", "the control daemon speaks another version");
  HttpResponse out;
  if (route.rule.download() && !refused) {
    const auto& file = static_cast<const api::File&>(*message);
    out.headers.emplace_back("Content-Type",
                             file.media_type().empty() ? "application/octet-stream" : file.media_type());
    out.headers.emplace_back("Cache-Control", "no-store");
    out.headers.emplace_back("Content-Disposition", "attachment; filename=\"" + plain_name(file.file_name()) + '"');
    if (said.pipe()) {
      out.headers.emplace_back("X-Sekisho-Download", file.text());
      out.pipe = std::move(answer.fd);
    } else {
      out.body = file.text();
    }
    return out;
  }
  out = with_message(request, said.status(), *message);
  if (said.etag() != 0) out.headers.emplace_back("ETag", '"' + std::to_string(said.etag()) + '"');
  if (said.retry_after() != 0) out.headers.emplace_back("Retry-After", std::to_string(said.retry_after()));
  const std::string cookie = std::string(kCookieName) + '=';
  if (!said.set_token().empty())
    out.headers.emplace_back("Set-Cookie", cookie + said.set_token() + "; Path=/; Secure; HttpOnly; SameSite=Strict");
  if (said.clear_token())
    out.headers.emplace_back("Set-Cookie", cookie + "; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
  return out;
}

/// The reply again when it has changed; of a dashboard's series only what is new. A comment now and then, so that a
/// reader who has gone is noticed.
asio::awaitable<std::string> Gateway::next_event(std::shared_ptr<Watch> watch) {
  constexpr std::uint32_t kSilentTurnsMax = 8;
  for (;;) {
    if (watch->over) co_return "";
    if (watch->begun) {
      asio::steady_timer timer(io_, options_.event_interval);
      co_await timer.async_wait(kTuple);
    }
    const auto answer = co_await pool_.call(watch->call, watch->body);
    if (!answer || answer->body.status() >= 400) {
      watch->over = true;
      co_return "event: end\ndata: {}\n\n";
    }
    api::Dashboard dashboard;
    if (!dashboard.ParseFromString(answer->body.reply())) co_return "";
    const std::int64_t at = dashboard.now().seconds();
    api::Dashboard still = dashboard;
    still.clear_series();
    const std::string text = still.SerializeAsString();
    if (watch->begun && at == watch->shown_at && text == watch->shown) {
      if (++watch->silent < kSilentTurnsMax) continue;
      watch->silent = 0;
      co_return ": still here\n\n";
    }
    if (watch->begun && dashboard.step_seconds() != 0) {
      const std::int64_t fresh =
          std::max<std::int64_t>(0, (at - watch->shown_at + dashboard.step_seconds() / 2) / dashboard.step_seconds());
      for (auto& series : *dashboard.mutable_series()) {
        const int kept = static_cast<int>(std::min<std::int64_t>(fresh, series.values_size()));
        series.mutable_values()->erase(series.values().begin(), series.values().end() - kept);
      }
    }
    watch->begun = true;
    watch->silent = 0;
    watch->shown_at = at;
    watch->shown = text;
    co_return "event: dashboard\ndata: " + write_json(dashboard) + "\n\n";
  }
}

}  // namespace sekisho::mgmt
