// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <string>

#include "control/api/call.h"
#include "control/config/commit.h"
#include "control/erasure/erasures.h"
#include "control/erasure/purge.h"
#include "control/links/audit_link.h"
#include "control/links/control_server.h"
#include "control/links/vpn_link.h"

namespace sekisho::control {

/// Ends of contracts and backups, joined to the rest of controld: the store, the committer, people, the log. Answers
/// what sekishoctl asks about them. Thread: that of `io`.
class ErasureService {
 public:
  struct World {
    boost::asio::io_context& io;
    Store& store;
    Ids& ids;
    Committer& committer;
    VpnLink& vpn;
    AuditLink& audit;
    std::string folder;         ///< erasures.bin and the unit's key
    std::string export_socket;  ///< logd
    std::function<InForce()> in_force;
    std::function<People&()> people;
    /// Keys, what waits for approval, messages, and what is in memory alone.
    std::function<Result<void>(const std::string& tenant, bool whole)> forget;
  };
  explicit ErasureService(World world);

  /// When people are loaded. Begins to look at the clock.
  Result<void> start();
  void stop();
  [[nodiscard]] Erasures& erasures() { return erasures_; }

  /// A request with a LocalErasure, a MakeBackup or a RestoreBackup, from somebody who may ask controld anything.
  void handle(ControlRequest request, ControlServer::Reply reply);

 private:
  Erasures::Environment environment();
  Result<std::vector<Purged>> purge_all(const StoredErasure& ending);
  void put_in_force(const std::string& comment, bool insist, std::function<void(std::uint32_t, const std::string&)> done);
  void tell(const std::string& operation, const StoredErasure& ending);
  void write_down(const std::string& actor, const std::string& operation, const std::string& tenant, const std::string& what,
                  bool gone);
  void tick_later();
  void handle_erasure(const ControlRequest& request, ControlServer::Reply& reply);
  void make_backup(uid_t uid, ControlServer::Reply& reply);
  void restore_backup(ControlRequest request, ControlServer::Reply reply);

  World world_;
  Erasures erasures_;
  boost::asio::steady_timer timer_;
};

}  // namespace sekisho::control
