// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/crypto/aead.h"

namespace sekisho::control {

/// What secrets at rest are sealed under: AES-256-GCM by a key of this unit's own, in a file beside the store that its owner alone reads.
/// A copy of the store without that file opens nothing. One thread.
class BoxKey {
 public:
  /// Reads DIRECTORY/config.key, or makes it where `fresh`: nothing was sealed yet. kNotFound: it is gone, and what it sealed with it.
  static Result<BoxKey> open(const std::string& directory, bool fresh);

  /// `place`: where it is kept; what was sealed for one place is opened at no other.
  std::string seal(std::string_view place, std::string_view text);
  /// kMalformed: not what seal() made with this key for this place.
  Result<std::string> open(std::string_view place, std::string_view sealed);

 private:
  explicit BoxKey(const AeadKey& key) : aead_(std::make_unique<Aead>(key)) {}
  std::unique_ptr<Aead> aead_;
};

}  // namespace sekisho::control
