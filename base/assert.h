// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <cstdio>
#include <cstdlib>

namespace sekisho {

/// Prints where an invariant broke and aborts. Never reachable from a packet or a peer: those get a DropReason or an Error.
[[noreturn]] inline void assertion_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "sekisho: assertion failed: %s at %s:%d\n", expression, file, line);
  std::abort();
}

}  // namespace sekisho

/// Always on: start-up and cold code.
#define SEKISHO_ASSERT(expression) \
  (static_cast<bool>(expression) ? void(0) : ::sekisho::assertion_failed(#expression, __FILE__, __LINE__))

/// Debug builds only: hot code.
#ifdef SEKISHO_DEBUG
#define SEKISHO_DCHECK(expression) SEKISHO_ASSERT(expression)
#else
#define SEKISHO_DCHECK(expression) void(0)
#endif
