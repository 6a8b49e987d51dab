// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "control/api/call.h"
#include "control/api/sampler.h"
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
  };
  ApiService(boost::asio::io_context& io, Store& store, Ids& ids, Committer& committer, DataplaneLink& dataplane,
             Environment environment);
  ~ApiService();

  /// Reads accounts and consents. Begins to sample.
  Result<void> start();
  void stop();
  People& people() { return people_; }
  /// Takes a tenant out of what is in memory alone.
  void forget(const std::string& tenant);
  /// A request with an ApiCall.
  void handle(ControlRequest request, ControlServer::Reply reply);
  /// A request with a LocalAccount, from somebody who may ask controld anything.
  void handle_local(const ControlRequest& request, ControlServer::Reply& reply);

 private:
  struct Remembered {
    std::string request;  ///< SHA-256 of method and body
    std::optional<ipc::ApiAnswer> answer;
    std::int64_t at = 0;
  };
  std::unique_ptr<google::protobuf::Message> read_request(const google::protobuf::MethodDescriptor& method,
                                                          ControlRequest& request);
  Refusal identify(Call& call, const api::MethodRule& rule);
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
  Sampler sampler_;
  ApiWorld world_;
  Handlers handlers_;
  std::map<std::string, std::pair<std::int64_t, int>> refusals_;  ///< by log: hour, and how many in it
  std::map<std::string, Remembered> remembered_;  ///< by account and idempotency key
};

}  // namespace sekisho::control
