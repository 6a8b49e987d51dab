// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/proto/access.pb.h"
#include "base/proto/api.pb.h"
#include "base/proto/control_mgmt.pb.h"
#include "base/proto/model.pb.h"
#include "base/result.h"
#include "control/config/store.h"

namespace sekisho::control {

/// Something that people are told of.
struct Happening {
  std::string tenant;  ///< service code; empty: of the unit
  std::string event;   ///< name of a kind in events.h
  std::string object;  ///< which one; told only to targets that want details
  std::string state = {};
  std::string title = {};  ///< for everybody: names nobody
  std::string memo = {};
};

/// Messages on their way out. What tell() took is in the store before it returns, and goes when its receiver's server
/// has taken it, when another try is of no use, or after a day of them: each of these is audited. The same event about
/// the same object in the same state makes one message in ten minutes, and then one with the count of the others. Who
/// sends (mgmtd) asks for work; it keeps nothing. Thread: one.
class Notifier {
 public:
  struct Environment {
    std::function<std::int64_t()> now;  ///< Unix seconds
    std::function<const model::Configuration*()> model;  ///< in force; null: none
    /// Mail addresses of who manages that part of a tenant.
    std::function<std::vector<std::string>(const std::string& tenant, api::Action action)> managers;
    /// A message was delivered, given up or not taken: "ok", "fail", and why.
    std::function<void(const access::StoredDelivery& delivery, const char* result, const std::string& detail)> audit;
  };
  static constexpr std::size_t kWaitingMax = 5000;
  static constexpr std::size_t kWaitingOfTenantMax = 200;
  static constexpr std::int64_t kQuietSeconds = 600;       ///< between two messages about the same
  static constexpr std::int64_t kGiveUpSeconds = 24 * 3600;
  static constexpr std::int64_t kUnderWaySeconds = 180;    ///< then whoever took it is gone
  static constexpr std::uint32_t kRoomMax = 32;            ///< handed out at once

  Notifier(Store& store, Environment environment);
  Result<void> load();
  void tell(const Happening& happening);
  /// To one target, whatever its events are. False: there is no such target, or no way to it.
  bool test(const std::string& tenant, const std::string& target);
  /// Takes results, hands out what is due.
  ipc::Deliveries exchange(const ipc::DeliveryWork& work);
  [[nodiscard]] api::DeliveryList list(const std::string& tenant) const;
  /// Takes away what waits for a tenant's receivers.
  Result<void> erase_tenant(const std::string& tenant);

 private:
  struct Recent {
    std::int64_t at = 0;
    std::uint32_t more = 0;
    Happening last;
  };
  struct Hour {
    std::int64_t hour = 0;
    std::uint32_t count = 0;
  };
  void make(const Happening& happening, std::uint32_t count);
  bool make_for(const Happening& happening, std::uint32_t count, const model::NotificationTarget& target);
  bool put(access::StoredDelivery delivery);
  void tell_digests();
  void take(const ipc::DeliveryResult& result);
  void drop(const std::string& id, const char* result, const std::string& detail);
  bool fill(const access::StoredDelivery& delivery, ipc::Delivery& out) const;
  [[nodiscard]] const model::NotificationTarget* target_of(const access::StoredDelivery& delivery) const;
  bool mail_may_go(const access::StoredDelivery& delivery);

  Store& store_;
  Environment environment_;
  std::map<std::string, access::StoredDelivery> waiting_;  ///< by id: in the order they came about
  std::map<std::string, std::int64_t> under_way_;          ///< until when its result is waited for
  std::map<std::string, Recent> recent_;
  std::map<std::string, Hour> mails_;  ///< by tenant
  std::uint64_t last_id_ = 0;
};

}  // namespace sekisho::control
