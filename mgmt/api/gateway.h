// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <string>

#include "mgmt/api/assets.h"
#include "mgmt/api/control_pool.h"
#include "mgmt/api/router.h"
#include "mgmt/http/message.h"

namespace sekisho::mgmt {

inline constexpr const char* kCookieName = "__Host-sekisho";

/// Turns HTTP into calls of the API and answers back. Knows the shape of requests, never what they may: controld judges
/// each. Thread: that of `io`.
class Gateway final : public Application {
 public:
  struct Options {
    std::string run_dir;  ///< control.sock
    std::chrono::milliseconds event_interval = std::chrono::seconds(2);
  };
  Gateway(boost::asio::io_context& io, Options options, Assets assets);

  [[nodiscard]] std::size_t body_bytes_max(const HttpRequest& head) const override;
  boost::asio::awaitable<HttpResponse> answer(std::shared_ptr<const HttpRequest> request) override;

 private:
  struct Watch;
  boost::asio::awaitable<HttpResponse> call(std::shared_ptr<const HttpRequest> given,
                                            std::shared_ptr<const Router::Match> match);
  boost::asio::awaitable<std::string> next_event(std::shared_ptr<Watch> watch);
  HttpResponse respond(const HttpRequest& request, const Route& route, ControlPool::Answer answer) const;

  boost::asio::io_context& io_;
  Options options_;
  Assets assets_;
  Router router_;
  std::string openapi_;
  ControlPool pool_;
};

}  // namespace sekisho::mgmt
