// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sekisho::mgmt {

/// `text` as one gzip member.
std::string gzip(std::string_view text);

/// A POST of a gzip body of JSON lines. Nothing in the arguments may hold a line break; the configuration's check sees to it.
std::string post_head(std::string_view host, std::string_view path, std::string_view token, std::size_t body_bytes);

/// Reads an HTTP/1.1 reply to a POST, piece by piece, under limits: 16 KiB of head, 64 KiB of body (which nobody looks at).
class HttpReply {
 public:
  HttpReply();
  ~HttpReply();
  HttpReply(HttpReply&&) noexcept;
  HttpReply& operator=(HttpReply&&) noexcept;

  /// Takes bytes; kMalformed: no reply, or too long. What follows a whole reply is refused: nobody asked for it.
  Result<void> put(std::string_view bytes);
  /// The connection's end, which ends a body without a length.
  Result<void> put_end();
  [[nodiscard]] bool whole() const;
  [[nodiscard]] unsigned status() const;
  /// Another request may follow.
  [[nodiscard]] bool keeps_open() const;
  /// Seconds of Retry-After, at most an hour; 0: not there, or no number.
  [[nodiscard]] std::uint32_t retry_after() const;

 private:
  struct Inside;
  std::unique_ptr<Inside> inside_;
};

}  // namespace sekisho::mgmt
