// SPDX-License-Identifier: Apache-2.0
// Messages to people, and the unit's clock.
#include "control/api/call.h"
#include "control/notify/notifier.h"

namespace sekisho::control {

void add_notify_methods(Handlers& out, ApiWorld& world) {
  out["ListDeliveries"] = [&world](const CallPtr& call) { call->reply(world.notifier.list(call->tenant)); };
  out["TestNotification"] = [&world](const CallPtr& call) {
    const std::string& target = call->request<api::TestNotificationRequest>().target();
    call->about = target;
    if (!world.notifier.test(call->tenant, target))
      return call->refuse(
          invalid("target", "there is no such target, or the provider has no way out for it (mail server, networks of webhooks)"));
    api::Counted reply;
    reply.set_count(1);
    call->reply(reply);
  };
  out["GetClock"] = [&world](const CallPtr& call) { call->reply(world.clock()); };
}

}  // namespace sekisho::control
