// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>

#include "base/net/address.h"
#include "base/proto/access.pb.h"
#include "base/proto/api.pb.h"
#include "base/proto/model.pb.h"
#include "control/access/people.h"
#include "control/access/refusal.h"
#include "control/config/store.h"

namespace sekisho::control {

/// What a program shows instead of a session.
struct Credentials {
  std::string key;          ///< "sk.ID.SECRET"; may be empty
  std::string certificate;  ///< SHA-256, 32 bytes, of what its TLS client has proved; may be empty
};

/// Keys of programs: a secret, a certificate, or both. Of the secret its SHA-256 is kept; it is shown once. Each request
/// is judged anew: a key that was revoked, has expired or comes from elsewhere is refused at the next one. Thread: one.
class ApiKeys {
 public:
  struct Environment {
    std::function<std::int64_t()> now;  ///< Unix seconds
    std::function<std::optional<model::TenantSignIn>(const std::string& tenant)> tenant_rules;
    std::function<model::SignIn()> rules;
  };
  static constexpr std::size_t kOfTenantMax = 50;
  static constexpr std::size_t kAllMax = 5000;
  static constexpr std::int64_t kDaysMax = 400;
  static constexpr double kRequestsPerSecond = 10;  ///< of one key
  static constexpr double kRequestsAtOnce = 50;
  static constexpr int kFailuresPerMinute = 30;     ///< of one source

  ApiKeys(Store& store, Environment environment);
  Result<void> load();

  struct Found {
    Principal who;  ///< its account: "key:NAME@SERVICECODE", which no person's can be
    bool read_only = false;
  };
  /// Whose credentials they are. A wrong one is refused with 401, too many requests with 429. `steady`: seconds that
  /// only rise.
  std::variant<Found, Refusal> find(const Credentials& shown, const Address& source, double steady);

  /// The role of a key by its account name; nothing when it is no key, or none any more.
  [[nodiscard]] std::optional<Role> role_now(const std::string& account) const;
  [[nodiscard]] api::ApiKeyList list(const std::string& tenant) const;
  std::variant<api::ApiKeySecret, Refusal> add(const std::string& tenant, const api::ApiKey& wanted,
                                               const std::string& by);
  Refusal revoke(const std::string& tenant, const std::string& id);
  /// Accounts the keys stand for, and when each key ends.
  [[nodiscard]] std::vector<std::pair<std::string, std::int64_t>> ends() const;
  Result<void> erase_tenant(const std::string& tenant);
  /// Who made the key an account stands for; of any other account that account.
  [[nodiscard]] std::string maker_of(const std::string& account) const;

 private:
  struct Bucket {
    double left = kRequestsAtOnce;
    double at = 0;
  };
  [[nodiscard]] const access::StoredApiKey* match(const Credentials& shown) const;
  [[nodiscard]] bool may_enter(const access::StoredApiKey& key, const Address& source) const;
  bool failed_too_often(const Address& source, double steady, bool count);
  void note_use(const std::string& id, const Address& source);
  [[nodiscard]] api::ApiKey shown(const access::StoredApiKey& key) const;

  Store& store_;
  Environment environment_;
  std::map<std::string, access::StoredApiKey> keys_;
  std::map<std::string, Bucket> buckets_;                       ///< by id
  std::map<std::string, std::pair<double, int>> failures_;      ///< by source: minute, and how many in it
};

}  // namespace sekisho::control
