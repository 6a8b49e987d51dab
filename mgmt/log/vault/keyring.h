// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/crypto/aead.h"
#include "base/crypto/signature.h"
#include "base/time/civil_day.h"
#include "mgmt/log/store.h"
#include "mgmt/log/vault/disk.h"

namespace sekisho::mgmt {

/// The civil day of a record's time, and midnight at its beginning.
Day day_of(Timestamp time);
Timestamp start_of(Day day);

/// Which keys a tenant has: one for each stream and day.
using TenantKeys = std::map<std::pair<LogKind, Day>, AeadKey>;

/// Parses the open text of a key file. kMalformed: none.
Result<TenantKeys> parse_keys(std::string_view text);

/// Keys of all records, in files of their own: ROOT/keys/SERVICE-CODE.keys, sealed under the box key
/// (ROOT/keys/box.key).
///
/// To destroy a key is to erase what it sealed. Therefore the box key changes with it, and every key file is sealed
/// anew: an old copy of a key file is worth nothing without the old box key, which is gone; ROOT/keys is in no backup.
/// A crash in between leaves both box keys, and open() finishes the work. Thread: the loop's.
class Keyring {
 public:
  Keyring(std::string root, Disk& disk);
  ~Keyring();

  /// Opens or makes the box key and the signing key. Safe to call again.
  Result<void> open();
  /// The key of a day's records; made, and safe on the disk, when there is none.
  Result<AeadKey> key(const StreamName& stream, Day day);
  /// None: never made, or destroyed.
  Result<std::optional<AeadKey>> find(const StreamName& stream, Day day);
  Result<TenantKeys> keys_of(const std::string& service_code);
  using What = std::vector<std::pair<LogKind, Day>>;
  /// Destroys the keys of these streams' days; all of a tenant's where the list is empty. Returns those that there
  /// were.
  Result<std::map<std::string, What>> destroy(const std::map<std::string, What>& what);

  [[nodiscard]] const SigningSeed& signing_seed() const { return seed_; }
  [[nodiscard]] SigningPublic signing_public() const { return public_of(seed_); }
  [[nodiscard]] std::string folder() const { return root_ + "/keys"; }

 private:
  struct BoxKeys {
    AeadKey now{};
    std::optional<AeadKey> before;
  };
  [[nodiscard]] std::string path(const std::string& name) const { return folder() + "/" + name; }
  Result<void> save_box();
  Result<void> finish_rotation();
  Result<TenantKeys*> load(const std::string& service_code);
  Result<void> save(const std::string& service_code, const TenantKeys& keys);
  Result<TenantKeys> read(const std::string& service_code);

  std::string root_;
  Disk& disk_;
  bool open_ = false;
  BoxKeys box_;
  SigningSeed seed_{};
  std::map<std::string, TenantKeys> loaded_;
};

}  // namespace sekisho::mgmt
