// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "base/proto/control_mgmt.pb.h"
#include "base/proto/model.pb.h"
#include "control/compile/ids.h"

namespace sekisho::control {

/// Between who asks OCSP responders (iked) and who may speak with them (mgmtd): where a gateway's responder is, says the configuration in
/// force, and nobody else. Keeps a question until its answer was told, for a minute at most. Nothing of what it carries is judged here.
/// Thread: one.
class ResponderDesk {
 public:
  static constexpr std::size_t kOpenMax = 512, kOpenOfTenantMax = 64;
  static constexpr std::size_t kQuestionBytesMax = 1024, kAnswerBytesMax = 16U << 10;
  static constexpr std::size_t kAnswersOfMessageMax = 3, kFetchesOfMessageMax = 5;  ///< they fit a datagram
  static constexpr std::int64_t kLifeSeconds = 60;

  struct Environment {
    std::function<std::int64_t()> now;                   ///< seconds, of any beginning
    std::function<const model::Configuration*()> model;  ///< in force; null: none
    const Ids* ids = nullptr;
  };
  explicit ResponderDesk(Environment environment) : environment_(std::move(environment)) {}

  /// Takes questions; tells what of `waiting` is known. A question that is not here any more has no answer.
  ipc::RespondersSaid ask(const ipc::AskResponders& asked);
  /// Takes what mgmtd has fetched, hands out what is to be fetched.
  void exchange(const ipc::DeliveryWork& work, ipc::Deliveries& out);

 private:
  struct Open {
    ipc::Fetch fetch;  ///< its url empty: it was handed out, or there is nobody to ask
    std::uint32_t tenant = 0;
    bool done = false;
    std::string answer, why;
    std::int64_t end = 0;
  };
  void take(const ipc::ResponderQuestion& question);
  [[nodiscard]] const model::Gateway* gateway_of(const model::Configuration& model, std::uint32_t tenant, const std::string& name) const;

  Environment environment_;
  std::map<std::uint64_t, Open> open_;
};

}  // namespace sekisho::control
