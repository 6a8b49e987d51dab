// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.h"

namespace sekisho::vpn {

/// Gives up every capability, for ever, and core dumps with them. Before threads are started.
Result<void> give_up_privileges();

enum class Sandbox {
  kLocal,    ///< as below
  kAccepts,  ///< connections of sockets that listen already are accepted, too, and waited for by epoll
};

/// From here on no thread of the process can do more than compute, sleep, and speak by local sockets: no file is opened, no program
/// or thread started, no memory made executable, no other kind of socket made. What is refused fails with EPERM.
Result<void> enter_sandbox(Sandbox kind = Sandbox::kLocal);

}  // namespace sekisho::vpn
