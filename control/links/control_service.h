// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/api/api_service.h"
#include "control/config/commit.h"
#include "control/config/store.h"
#include "control/links/audit_link.h"
#include "control/links/control_server.h"
#include "control/links/dataplane_link.h"
#include "control/links/erasure_service.h"
#include "control/links/explain_service.h"
#include "control/links/log_watch.h"
#include "control/links/login_trials.h"
#include "control/links/responder_desk.h"
#include "control/links/vpn_link.h"

namespace sekisho::control {

/// Answers control.sock: documents to the committer, questions to the data plane, streams to logd. Every request is
/// answered, at the latest when its deadline passes; answers too large for a datagram go in a sealed memfd.
/// Thread: that of `io`.
class ControlService {
 public:
  ControlService(boost::asio::io_context& io, Store& store, Ids& ids, Committer& committer, DataplaneLink& dataplane,
                 std::string export_socket, std::string vpn_memory, std::string event_socket, std::string audit_file,
                 std::string state_dir);
  ~ControlService();
  void handle(ControlRequest request, ControlServer::Reply reply);
  /// Reads what is kept of people.
  Result<void> start();
  /// Takes out of a configuration what has ended; returns why.
  [[nodiscard]] std::string amend(model::Configuration& configuration) { return erasure_.erasures().amend(configuration); }
  /// Nobody's document is taken while what is done with it could not be seen afterwards; controld's own ends of contracts are.
  [[nodiscard]] std::string why_no_commit(const CommitRequest& request) const;
  void stop() {
    log_watch_.stop();
    audit_.stop();
    erasure_.stop();
    api_.stop();
  }

 private:
  struct Running;  // the model in force and its names, kept until another revision runs
  void check(const ControlRequest& request, const std::string& text, const std::vector<Finding>& unused, ControlServer::Reply& reply);
  void diff(const ControlRequest& request, const std::string& text, const std::vector<Finding>& unused, ControlServer::Reply& reply);
  void commit(const ControlRequest& request, std::string text, std::vector<Finding> unused, ControlServer::Reply reply);
  /// Asks what of the document nobody has used for long; nothing when no data plane answers.
  void find_unused(const std::string& text, std::function<void(std::vector<Finding>)> done);
  void confirm(const ControlRequest& request, ControlServer::Reply& reply);
  void rollback(const ControlRequest& request, ControlServer::Reply reply);
  void list(const ControlRequest& request, ControlServer::Reply& reply);
  void get_config(const ControlRequest& request, ControlServer::Reply& reply);
  void get_names(const ControlRequest& request, ControlServer::Reply& reply);
  void show(const ControlRequest& request, ControlServer::Reply reply);
  void show_status(ControlServer::Reply reply);
  void end_quarantine(const ControlRequest& request, ControlServer::Reply reply);
  void open_log_stream(const ipc::OpenLogStream& request, ControlServer::Reply reply);
  void with_document(ControlRequest request, ControlServer::Reply reply);
  void write_vpn_profile(const ControlRequest& request, ControlServer::Reply& reply);
  void get_vpn_config(const ControlRequest& request, ControlServer::Reply& reply);
  void get_export_plan(const ControlRequest& request, ControlServer::Reply& reply);
  void exchange(const ControlRequest& request, const ControlServer::Reply& reply);
  void change_vpn(const ControlRequest& request, ControlServer::Reply reply);
  void try_login(const ControlRequest& request, ControlServer::Reply reply);
  void show_vpn(const ipc::Show& question, ControlServer::Reply reply);
  void audit(const std::string& operation, uid_t uid, const std::string& comment, std::uint32_t revision,
             const model::Configuration& before, bool waits);
  void audit_one(const std::string& operation, const std::string& code, uid_t uid, const std::string& comment, std::uint32_t from,
                 std::uint32_t to);
  std::optional<std::uint64_t> begin_act(const std::string& operation, uid_t uid, const std::string& comment);
  void finish_act(std::uint64_t act, const CommitAnswer& answer);
  ipc::ToEventLog act_of(std::string stream, const std::string& operation, uid_t uid, const std::string& comment);
  Running* running();
  /// Its document; an empty one when nothing runs.
  model::Configuration running_model();
  [[nodiscard]] const ipc::NameTable* running_names();

  boost::asio::io_context& io_;
  Store& store_;
  Ids& ids_;
  Committer& committer_;
  DataplaneLink& dataplane_;
  std::string export_socket_;
  ExplainService explain_;
  AuditLink audit_;
  std::vector<std::string> unconfirmed_;  ///< tenants of a commit that waits for its confirmation
  VpnLink vpn_;
  LoginTrials trials_;
  ResponderDesk responders_;
  ErasureService erasure_;
  ApiService api_;
  LogWatch log_watch_;
  std::unique_ptr<Running> running_;
};

}  // namespace sekisho::control
