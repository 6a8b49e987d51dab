// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include "base/result.h"

namespace sekisho {

/// Gives up every capability, for ever, and core dumps with them. Before threads are started.
Result<void> give_up_privileges();

enum class Sandbox {
  kLocal,    ///< as below
  kAccepts,  ///< connections of sockets that listen already are accepted, too, and waited for by epoll
  kDials,    ///< sockets of IPv4 and IPv6 are made, too, and waited for by epoll, with timers: nothing listens that did not before
  kServes,   ///< both, names are looked up: files are opened to be read, and threads begun; and requests may be sealed memory
};

/// From here on no thread of the process can do more than compute, sleep, and speak by local sockets: no file is opened, no program
/// or thread started, no memory made executable, no other kind of socket made. What is refused fails with EPERM.
Result<void> enter_sandbox(Sandbox kind = Sandbox::kLocal);

}  // namespace sekisho
