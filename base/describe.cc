// SPDX-License-Identifier: BSD-2-Clause
#include "base/describe.h"

#include <cstring>

namespace sekisho {
namespace {

const char* text(ErrorCode code) {
  switch (code) {
    case ErrorCode::kTruncated: return "ends too early";
    case ErrorCode::kMalformed: return "is malformed";
    case ErrorCode::kUnsupported: return "is not supported";
    case ErrorCode::kLimit: return "exceeds a limit";
    case ErrorCode::kNotFound: return "was not found";
    case ErrorCode::kConflict: return "conflicts with the present state";
    case ErrorCode::kDenied: return "was denied";
    case ErrorCode::kUnavailable: return "is unavailable";
  }
  return "failed";
}

}  // namespace

std::string describe(Error error) {
  const std::string why = text(error.code);
  const std::string number = std::to_string(error.detail);
  switch (error.where) {
    case ErrorSite::kNone: return "input " + why;
    case ErrorSite::kWire: return "data " + why + " at byte " + number;
    case ErrorSite::kAddress: return "address " + why + " at character " + number;
    case ErrorSite::kIpc: return "message " + why + " (" + number + ")";
    case ErrorSite::kSnapshot: return "snapshot " + why + " at byte " + number;
    case ErrorSite::kLogRing: return "log ring " + why + " at record " + number;
    case ErrorSite::kOs: return "system call " + why + ": " + std::strerror(static_cast<int>(error.detail));
    case ErrorSite::kDataplane: return "data plane object " + number + " " + why;
    case ErrorSite::kStore: return "configuration store " + why + " (" + number + ")";
  }
  return why;
}

}  // namespace sekisho
