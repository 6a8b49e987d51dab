// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>

#include "base/proto/control_mgmt.pb.h"

namespace sekisho::mgmt {

/// Sends messages for controld, and asks OCSP responders what it wants to know: asks for work every second, a few at a time, each within a
/// deadline; reports each once.
/// Keeps nothing. Thread: that of `io`.
class Courier {
 public:
  static constexpr std::uint32_t kAtOnceMax = 16;
  static constexpr std::uint32_t kFetchesAtOnceMax = 16;
  static constexpr std::chrono::seconds kFetchPatience{8};
  static constexpr std::chrono::seconds kPatience{90};  ///< for one message; controld waits longer

  Courier(boost::asio::io_context& io, const std::string& run_dir, std::function<void(const std::string&)> complain);
  ~Courier();
  void start();
  void stop();

 private:
  struct Inside;
  std::shared_ptr<Inside> inside_;
};

}  // namespace sekisho::mgmt
