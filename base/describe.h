// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <string>

#include "base/result.h"

namespace sekisho {

/// One English sentence for an Error, for logs and command lines.
std::string describe(Error error);

}  // namespace sekisho
