// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/proto/control_log.pb.h"
#include "mgmt/log/vault/calendar.h"
#include "mgmt/log/vault/vault.h"

namespace sekisho::mgmt {

/// What is to be erased when, and what was: ROOT/keys/erasures, which is in no backup. An erasure that was begun is
/// finished by whoever starts next; records that somebody puts back have no key any more, and enforce() removes them.
/// Thread: the loop's.
class Erasures {
 public:
  enum class State : std::uint8_t { kNone = 0, kScheduled, kErasing, kErased };
  struct Order {
    std::string service_code;
    std::vector<LogKind> types;  ///< empty: all
    ipc::EraseLog::Contract contract{};
    Timestamp end;  ///< T0
    State state{};
    Timestamp erased;
    std::string reason, report;
    bool last = false;  ///< nothing of the tenant is stored any more, whatever still comes
  };

  explicit Erasures(Vault& vault) : vault_(vault) {}
  /// At start: reads the orders, finishes what was begun, removes what was put back.
  Result<void> open(Timestamp now);
  ipc::LogErasure act(const ipc::EraseLog& request, Timestamp now);
  /// Erases what is due on `today`, a day that is believed. Returns how many orders.
  Result<std::size_t> run(Day today, Timestamp now);
  [[nodiscard]] const std::vector<Order>& orders() const { return orders_; }
  /// Whether the tenant is gone for good.
  [[nodiscard]] bool is_over(const std::string& service_code) const;

  /// Days after the end: planned, and at the latest.
  static std::int64_t planned_days(ipc::EraseLog::Contract contract);
  static std::int64_t limit_days(ipc::EraseLog::Contract contract);

 private:
  Result<void> save();
  Result<void> erase(Order& order, Timestamp now);
  Result<void> enforce();
  Order* find(const std::string& service_code, const std::vector<LogKind>& types);
  ipc::LogErasure answer(const Order* order) const;

  Vault& vault_;
  std::vector<Order> orders_;
};

/// One line of the file; kMalformed: none.
std::string to_line(const Erasures::Order& order);
Result<Erasures::Order> parse_order(std::string_view line);

}  // namespace sekisho::mgmt
