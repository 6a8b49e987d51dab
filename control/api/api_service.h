// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/proto/control_log.pb.h"
#include "base/proto/control_vpn.pb.h"
#include "control/access/act_budget.h"
#include "control/access/api_keys.h"
#include "control/access/approvals.h"
#include "control/api/call.h"
#include "control/api/happenings.h"
#include "control/api/record_watch.h"
#include "control/api/sampler.h"
#include "control/api/security_events.h"
#include "control/api/store_watch.h"
#include "control/api/vpn_watch.h"
#include "control/clock_watch.h"
#include "control/compile/ids.h"

namespace sekisho::control {

/// The management API behind control.sock: finds out who asks, judges whether he may, for the tenant the request names,
/// and only then lets a method work. What a request asks for stands in base/proto/api.proto beside the method; a method
/// without a handler, or a handler without a method, does not start. Every change, and every look by consent, is on its
/// way to the log before it begins, or does not happen; what came of it follows before it is answered.
/// Thread: that of `io`; passwords are hashed on one of its own.
class ApiService {
 public:
  struct Environment {
    std::function<InForce()> in_force;
    std::function<void(ControlRequest, ControlServer::Reply)> ask;
    std::function<std::int64_t()> now;  ///< Unix seconds
    AuditLink* audit = nullptr;
    Erasures* erasures = nullptr;
    /// What a daemon of remote access remembers of wrong passwords.
    std::function<ipc::VpnMemory(std::uint32_t daemon)> vpn_memory = {};
    /// Whether it is there.
    std::function<bool(std::uint32_t daemon)> vpn_answers = {};
    /// What logd said last; nothing while it is away.
    std::function<std::optional<ipc::LogWatched>()> log_watched = {};
  };
  ApiService(boost::asio::io_context& io, Store& store, Ids& ids, Committer& committer, DataplaneLink& dataplane,
             Environment environment);
  ~ApiService();

  /// Reads accounts and consents. Begins to sample.
  Result<void> start();
  void stop();
  People& people() { return people_; }
  /// Takes a tenant out of what waits for approval or delivery, of keys, and of what is in memory alone; not `whole`: out of
  /// approvals, which hold what its remote users are called.
  Result<void> forget(const std::string& tenant, bool whole);
  /// A request with an ApiCall.
  void handle(ControlRequest request, ControlServer::Reply reply);
  /// The level of the log's disk has changed: once in every operation log and to the targets of `log_loss`.
  void tell_of_log_disk(const ipc::LogWatched& now, const std::string& before);
  /// A request with DeliveryWork, from who sends messages.
  void exchange(const ControlRequest& request, ControlServer::Reply& reply);
  /// A request with a LocalAccount, from somebody who may ask controld anything.
  void handle_local(const ControlRequest& request, ControlServer::Reply& reply);

 private:
  struct Remembered {
    std::string request;  ///< SHA-256 of method and body
    std::optional<ipc::ApiAnswer> answer;
    std::int64_t at = 0;
  };
  /// Who a call comes from; with a refusal nobody.
  struct Identity {
    Refusal refusal;
    Principal who;
    bool read_only = false;
  };
  Identity who_asks(const ipc::ApiCall& asked, const api::MethodRule& rule);
  [[nodiscard]] bool asks_for_two(const Call& call, const api::MethodRule& rule) const;
  void ask_for_approval(const CallPtr& call, const Preview& preview);
  void approve(const CallPtr& call, const std::string& id);
  void carry_out(const CallPtr& by, const access::StoredApproval& approval);
  void look_later();
  void look();
  void look_at_counters();
  void tell_of_the_unit(const std::string& tenant, std::string_view type, const std::string& name, std::string_view result,
                        const std::string& detail);
  void look_at_revisions();
  void look_at_log();
  /// Searches of the log, one after the other.
  void look_at_records();
  void look_at_shut_out();
  void look_at_pools();
  void look_at_gateways();
  void look_at_ends();
  /// A security event of controld's own, of this tenant or (empty, or unknown) the provider's.
  void note_security(const std::string& tenant, std::string_view code, const std::string& subject, const Address& source = {},
                     const std::string& user = {});
  Notifier::Environment notifier_environment();
  std::unique_ptr<google::protobuf::Message> read_request(const google::protobuf::MethodDescriptor& method,
                                                          ControlRequest& request);
  Refusal identify(Call& call, const api::MethodRule& rule, Identity identity);
  Refusal authorise(Call& call, const api::MethodRule& rule);
  bool answered_before(const CallPtr& call, std::function<void(ControlAnswer)>& answer);
  bool begin_acts(Call& call, const api::MethodRule& rule);
  void write_down(const Call& call, const ControlAnswer& answer);
  [[nodiscard]] ipc::ToEventLog record_of(const Call& call, const std::string& whose) const;
  /// Whether one more refusal may be written into a log this hour: nobody pushes out of it what was done.
  bool room_for_refusal(const std::string& whose);
  void tell(const std::string& account, const Address& source, std::string_view operation, const std::string& detail);
  People::Environment people_environment();

  boost::asio::io_context& io_;
  Store& store_;
  Environment environment_;
  boost::asio::thread_pool hashing_{1};
  int hashing_waits_ = 0;
  People people_;
  ApiKeys keys_;
  Approvals approvals_;
  Notifier notifier_;
  Sampler sampler_;
  DataplaneLink& dataplane_;
  Ids& ids_;
  boost::asio::steady_timer timer_;
  ClockWatch clock_watch_;
  api::Clock clock_;
  CounterWatch counter_watch_;
  StoreWatch store_watch_;
  ActBudget budget_;
  std::optional<std::int64_t> looked_at_ends_;  ///< up to when they were told
  std::int64_t stored_ends_ = 0;                ///< the same, as the store has it
  ShutOutWatch shut_out_watch_;
  RecordWatch record_watch_;
  std::deque<ipc::SearchLog> searches_;  ///< for it; the first is under way
  PoolWatch pool_watch_;
  GatewayWatch gateway_watch_;
  SecurityEvents security_{[this](ipc::ToEventLog record) { (void)environment_.audit->add(std::move(record)); }};
  unsigned turns_ = 0;
  std::uint32_t seen_running_ = 0;  ///< the revision in force when it was looked at last
  ApiWorld world_;
  Handlers handlers_;
  std::map<std::string, std::pair<std::int64_t, int>> refusals_;  ///< by log: hour, and how many in it
  std::map<std::string, Remembered> remembered_;  ///< by account and idempotency key
};

}  // namespace sekisho::control
