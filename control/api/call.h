// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/message.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "base/proto/api.pb.h"
#include "base/proto/control_log.pb.h"
#include "base/proto/control_mgmt.pb.h"
#include "control/access/people.h"
#include "control/config/commit.h"
#include "control/config/store.h"
#include "control/erasure/erasures.h"
#include "control/links/audit_link.h"
#include "control/links/control_server.h"

namespace sekisho::control {

/// One method of the API that somebody asked for and may ask for: authorised before a handler sees it. Answered exactly
/// once.
class Call {
 public:
  Call(const google::protobuf::MethodDescriptor& method, ipc::ApiCall asked,
       std::unique_ptr<google::protobuf::Message> request, std::function<void(ControlAnswer)> answer)
      : method_(method), asked_(std::move(asked)), request_(std::move(request)), answer_(std::move(answer)) {}

  [[nodiscard]] const google::protobuf::MethodDescriptor& method() const { return method_; }
  [[nodiscard]] const ipc::ApiCall& asked() const { return asked_; }
  template <typename Request>
  [[nodiscard]] const Request& request() const {
    return static_cast<const Request&>(*request_);
  }
  [[nodiscard]] const google::protobuf::Message& message() const { return *request_; }

  Principal who;       ///< empty account: nobody is signed in
  std::string tenant;  ///< of a method for a tenant: its service code
  Permit permit;
  std::string about;  ///< what the operation log says beside the method and its tenant
  std::vector<std::uint64_t> acts;  ///< its records, which are begun
  bool may_have_changed = false;  ///< refused, and yet something may come of it
  std::string approved_by = {};  ///< the second person, where one was asked for

  void reply(const google::protobuf::Message& message, std::uint32_t etag = 0);
  void refuse(const Refusal& refusal, const api::Error& more = {});
  /// With what the answer needs beside the message.
  void send(ControlAnswer answer);

 private:
  const google::protobuf::MethodDescriptor& method_;
  ipc::ApiCall asked_;
  std::unique_ptr<google::protobuf::Message> request_;
  std::function<void(ControlAnswer)> answer_;
};
using CallPtr = std::shared_ptr<Call>;

/// The configuration in force, decoded; revision 0: none is.
struct InForce {
  std::uint32_t revision = 0;
  const model::Configuration* model = nullptr;
  [[nodiscard]] const model::Tenant* tenant(const std::string& service_code) const;
};

class ApiKeys;
class Approvals;
class Notifier;
class Sampler;

/// What the methods are made of. Everything in it outlives them; one thread.
struct ApiWorld {
  Store& store;
  Committer& committer;
  People& people;
  Sampler& sampler;
  Ids& ids;
  std::function<InForce()> in_force;
  /// What control.sock answers to a question, without its socket.
  std::function<void(ControlRequest, ControlServer::Reply)> ask;
  std::function<std::int64_t()> now;  ///< Unix seconds
  /// Does `work` on another thread, then `then` here. False: too much waits already, and neither is called.
  std::function<bool(std::function<void()> work, std::function<void()> then)> elsewhere;
  ApiKeys& keys;
  Approvals& approvals;
  Notifier& notifier;
  std::function<api::Clock()> clock;
  /// Does what waits under `id`, for whoever asked for it, and answers `call` with what came of it.
  std::function<void(const CallPtr& call, const std::string& id)> approve;
  /// Of tenants' parts of revisions, as far as somebody asked: config_methods.cc.
  std::map<std::pair<std::uint32_t, std::string>, std::string> digests = {};
  /// When remote users changed their own settings, by account and by tenant: self_methods.cc.
  std::map<std::string, std::deque<std::int64_t>> own_changes = {};
  Erasures* erasures = nullptr;
  AuditLink* audit = nullptr;
  /// As in ApiService::Environment.
  std::function<bool(std::uint32_t daemon)> vpn_answers = {};
  std::function<std::optional<ipc::LogWatched>()> log_watched = {};
};

using Handlers = std::map<std::string, std::function<void(CallPtr)>>;
void add_session_methods(Handlers& out, ApiWorld& world);
void add_table_methods(Handlers& out, ApiWorld& world);
void add_config_methods(Handlers& out, ApiWorld& world);
void add_log_methods(Handlers& out, ApiWorld& world);
void add_account_methods(Handlers& out, ApiWorld& world);
void add_platform_methods(Handlers& out, ApiWorld& world);
void add_metrics_methods(Handlers& out, ApiWorld& world);
void add_erasure_methods(Handlers& out, ApiWorld& world);
void add_key_methods(Handlers& out, ApiWorld& world);
void add_approval_methods(Handlers& out, ApiWorld& world);
void add_notify_methods(Handlers& out, ApiWorld& world);
void add_self_methods(Handlers& out, ApiWorld& world);

/// The one schema: methods, what they ask for, and by which action.
const google::protobuf::ServiceDescriptor& api_service();

/// What a call that is to wait for a second person would change.
struct Preview {
  bool undoes = false;  ///< it takes back what waits for its confirmation: that needs nobody's leave
  std::vector<std::string> changes;   ///< a line each
  std::vector<api::Action> actions;   ///< of the parts it changes
};
/// Judges a method with four_eyes as if it were done now. Refused as it would be then.
Refusal preview(const Call& call, ApiWorld& world, Preview& out);

/// The same of a method with four_eyes_accounts, which is not judged before it is done: what it was asked, a line each.
void preview_act(const Call& call, ApiWorld& world, Preview& out);

/// Puts in force what `change` makes of the tenant's part, whatever else the role may change, and answers the call.
void change_tenant(const CallPtr& call, ApiWorld& world, const std::string& comment, const std::function<Refusal(model::Tenant&)>& change);

/// The table of an answer to a Show, or why there is none.
std::variant<ipc::Table, Refusal> table_of(ControlAnswer answer);
/// Its rows as the API writes them: cells by their column's key.
void add_rows(const ipc::Table& table, bool without_tenant, google::protobuf::RepeatedPtrField<api::TableRow>& out);

/// Ends sessions of a remote user, or (`user`: its vpn_sid) one of them, or lets him in again; answers with their number.
void change_vpn(const CallPtr& call, ApiWorld& world, ipc::ChangeVpn::What what, const std::string& user);
/// Answers with what a person imports into a VPN client, or with a page of records.
void reply_profile(const CallPtr& call, const ControlAnswer& answer);
void reply_records(const CallPtr& call, ControlAnswer answer);

/// The bytes of the one sealed memfd of an answer; nothing when it is unusable.
std::optional<std::string> take_blob(Fd fd);

}  // namespace sekisho::control
