// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "mgmt/log/format.h"

namespace sekisho::mgmt {

/// Appends a record as one RFC 5424 message, framed as RFC 5425 asks (its length in bytes, a space, the message): the envelope is in the
/// header and in structured data, the body is JSON. The private enterprise number of the structured data is the documentation's.
void append_syslog(std::string& out, const LogEntry& entry, Audience audience);

}  // namespace sekisho::mgmt
