// SPDX-License-Identifier: Apache-2.0
#include "control/clock_watch.h"

#include <sys/timex.h>

namespace sekisho::control {

ClockState read_clock_state() {
  timex kernel{};  // modes 0: only read, which needs no privilege
  const int state = ::adjtimex(&kernel);
  constexpr double kMicrosecondsInMillisecond = 1000;
  return {state >= 0 && state != TIME_ERROR && (kernel.status & STA_UNSYNC) == 0,
          static_cast<double>(kernel.maxerror) / kMicrosecondsInMillisecond};
}

}  // namespace sekisho::control
