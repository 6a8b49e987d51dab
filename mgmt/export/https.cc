// SPDX-License-Identifier: Apache-2.0
#include "mgmt/export/https.h"

#include <zlib.h>

#include <algorithm>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <charconv>

#include "base/assert.h"

namespace sekisho::mgmt {
namespace {

namespace http = boost::beast::http;

constexpr std::uint32_t kHeadBytesMax = 16U << 10, kBodyBytesMax = 64U << 10, kRetryAfterMax = 3600;
constexpr Error kBad{ErrorCode::kMalformed, ErrorSite::kIpc, 0};

}  // namespace

struct HttpReply::Inside {
  http::response_parser<http::string_body> parser;
  std::string pending;  ///< not taken by the parser yet
};

HttpReply::HttpReply() : inside_(std::make_unique<Inside>()) {
  inside_->parser.header_limit(kHeadBytesMax);
  inside_->parser.body_limit(kBodyBytesMax);
  inside_->parser.eager(true);
}
HttpReply::~HttpReply() = default;
HttpReply::HttpReply(HttpReply&&) noexcept = default;
HttpReply& HttpReply::operator=(HttpReply&&) noexcept = default;

Result<void> HttpReply::put(std::string_view bytes) {
  inside_->pending += bytes;
  while (!inside_->pending.empty()) {
    if (whole()) return kBad;
    boost::system::error_code failed;
    const std::size_t taken = inside_->parser.put(boost::asio::buffer(inside_->pending), failed);
    inside_->pending.erase(0, taken);
    if (failed == http::error::need_more) break;
    if (failed) return kBad;
    if (taken == 0) break;
  }
  if (inside_->pending.size() > kHeadBytesMax + kBodyBytesMax) return kBad;
  return {};
}

Result<void> HttpReply::put_end() {
  if (whole()) return {};
  if (!inside_->parser.got_some()) return kBad;  // Beast asserts that there was a beginning
  boost::system::error_code failed;
  inside_->parser.put_eof(failed);
  return failed || !whole() ? Result<void>(kBad) : Result<void>();
}

bool HttpReply::whole() const { return inside_->parser.is_done(); }

unsigned HttpReply::status() const { return inside_->parser.get().result_int(); }

bool HttpReply::keeps_open() const { return inside_->parser.keep_alive(); }

std::uint32_t HttpReply::retry_after() const {
  const auto text = inside_->parser.get()[http::field::retry_after];
  std::uint32_t seconds = 0;
  const auto [stop, status] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  return status == std::errc{} && stop == text.data() + text.size() ? std::min(seconds, kRetryAfterMax) : 0;
}

std::string gzip(std::string_view text) {
  constexpr int kWindowOfGzip = 15 + 16, kMemory = 8;
  z_stream stream{};
  SEKISHO_ASSERT(deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, kWindowOfGzip, kMemory, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, text.size()), '\0');
  std::string copy(text);
  stream.next_in = reinterpret_cast<Bytef*>(copy.data());
  stream.avail_in = static_cast<uInt>(copy.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  SEKISHO_ASSERT(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

std::string post_head(std::string_view host, std::string_view path, std::string_view token, std::size_t body_bytes) {
  std::string out = "POST " + std::string(path) + " HTTP/1.1\r\nHost: " + std::string(host) +
                    "\r\nUser-Agent: sekisho\r\nContent-Type: application/x-ndjson\r\nContent-Encoding: gzip\r\nContent-Length: " +
                    std::to_string(body_bytes) + "\r\n";
  if (!token.empty()) out += "Authorization: Bearer " + std::string(token) + "\r\n";
  return out + "\r\n";
}

}  // namespace sekisho::mgmt
