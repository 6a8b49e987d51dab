// SPDX-License-Identifier: Apache-2.0
#include "control/links/control_service.h"

#include <pwd.h>

#include <algorithm>
#include <charconv>
#include <chrono>

#include "base/describe.h"
#include "base/ipc/sealed_blob.h"
#include "base/limits.h"
#include "base/service_code.h"
#include "control/api/acts.h"
#include "control/compile/compiler.h"
#include "control/compile/export_plan.h"
#include "control/compile/vpn_config.h"
#include "control/config/diff.h"
#include "control/links/answer.h"
#include "control/links/audit_link.h"
#include "control/links/log_link.h"
#include "control/profile/client_profile.h"
#include "control/show/tables.h"
#include "control/show/unused.h"
#include "control/show/vpn_tables.h"

namespace sekisho::control {
namespace {

using namespace std::chrono_literals;

constexpr auto kQueryDeadline = 3s;
constexpr const char* kNoLog = "the operation log cannot be written: nothing was done";
constexpr std::uint32_t kSessionsShownMax = 100'000;
void add_changes(google::protobuf::RepeatedPtrField<ipc::Change>& out, const std::vector<Change>& changes) {
  constexpr std::size_t kShown = 400;  // characters of one side
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < changes.size(); ++i) {
    ipc::Change next;
    next.set_kind(static_cast<ipc::Change::Kind>(changes[i].kind));
    next.set_path(changes[i].path);
    next.set_before(std::string(cut_characters(changes[i].before, kShown)));
    next.set_after(std::string(cut_characters(changes[i].after, kShown)));
    bytes += next.ByteSizeLong() + 8;
    if (bytes > kListBytesMax / 2) {  // findings may stand beside them
      out.Add()->set_path("(" + std::to_string(changes.size() - i) + " further changes)");
      return;
    }
    *out.Add() = std::move(next);
  }
}

static_assert(static_cast<int>(ChangeKind::kMoved) == ipc::Change::MOVED &&
              static_cast<int>(ChangeKind::kAdded) == ipc::Change::ADDED);

std::string user_name(uid_t uid) {
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 4096> buffer{};
  if (getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) return found->pw_name;
  return "uid " + std::to_string(uid);
}

ControlAnswer commit_answer(const CommitAnswer& answer, const std::string& file) {
  ControlAnswer out;
  auto& body = *out.message.mutable_commit_result();
  body.set_ok(answer.ok);
  body.set_revision(answer.revision);
  add_findings(*body.mutable_findings(), answer.findings, file);
  body.set_error(answer.error);
  body.set_confirm_seconds(answer.confirm_seconds);
  body.set_compile_microseconds(answer.compile_microseconds);
  body.set_build_microseconds(answer.build_microseconds);
  body.set_swap_microseconds(answer.swap_microseconds);
  return out;
}

ControlAnswer table_answer(ipc::Table table) {
  ControlAnswer out;
  auto& body = *out.message.mutable_show_result();
  if (table.ByteSizeLong() <= kListBytesMax) {
    *body.mutable_table() = std::move(table);
    return out;
  }
  auto blob = make_sealed_blob("sekisho-table", as_bytes(table.SerializeAsString()));
  if (!blob) return failure("the answer cannot be handed over: " + describe(blob.error()));
  body.set_in_fd(true);
  out.fd = std::move(*blob);
  return out;
}

void add_note(ipc::Table& table, const std::string& note) {
  if (note.empty()) return;
  table.set_note(table.note().empty() ? note : table.note() + "; " + note);
}

template <typename Message>
Message parsed(const DataplaneLink::Reply& reply) {
  Message out;
  if (!reply.error.empty() || !out.ParseFromString(reply.bulk)) out.Clear();
  return out;
}

/// Beside other warnings; a document that is refused has other worries.
void add_unused(std::vector<Finding>& findings, const std::vector<Finding>& unused) {
  if (has_errors(findings)) return;
  findings.insert(findings.end(), unused.begin(), unused.end());
  sort_findings(findings);
}

}  // namespace

struct ControlService::Running {
  std::uint32_t revision = 0;
  model::Configuration model;
  ipc::NameTable names;
};

ControlService::ControlService(boost::asio::io_context& io, Store& store, Ids& ids, Committer& committer,
                               DataplaneLink& dataplane, std::string export_socket, std::string vpn_memory, std::string event_socket,
                               std::string audit_file, std::string state_dir)
    : io_(io),
      store_(store),
      ids_(ids),
      committer_(committer),
      dataplane_(dataplane),
      export_socket_(std::move(export_socket)),
      explain_(ids, dataplane, [&committer] { return committer.now(); }),
      audit_(io, std::move(event_socket), std::move(audit_file)),
      vpn_(io, std::move(vpn_memory)),
      trials_(io, vpn_),
      responders_({.now = [&committer] { return committer.now(); },
                   .model = [this] {
                     const Running* now = running();
                     return now == nullptr ? nullptr : &now->model;
                   },
                   .ids = &ids}),
      erasure_({io, store, ids, committer, vpn_, audit_, std::move(state_dir), export_socket_,
                [this] {
                  const Running* now = running();
                  return now == nullptr ? InForce() : InForce{now->revision, &now->model};
                },
                [this]() -> People& { return api_.people(); },
                [this](const std::string& tenant, bool whole) { return api_.forget(tenant, whole); }}),
      api_(io, store, ids, committer, dataplane,
           {.in_force = [this] {
              const Running* now = running();
              return now == nullptr ? InForce() : InForce{now->revision, &now->model};
            },
            .ask = [this](ControlRequest request, ControlServer::Reply reply) { handle(std::move(request), std::move(reply)); },
            .now = [&committer] { return committer.now(); },
            .audit = &audit_,
            .erasures = &erasure_.erasures(),
            .vpn_memory = [this](std::uint32_t daemon) { return vpn_.memory(daemon); },
            .vpn_answers = [this](std::uint32_t daemon) { return vpn_.answers(daemon); },
            .log_watched = [this] { return log_watch_.last(); }}),
      log_watch_(io, store, export_socket_,
                 {.in_force = [this] {
                    const Running* now = running();
                    return now == nullptr ? InForce() : InForce{now->revision, &now->model};
                  },
                  .tell = [this](const ipc::LogWatched& now, const std::string& before) { api_.tell_of_log_disk(now, before); }}) {}

ControlService::~ControlService() = default;

Result<void> ControlService::start() {
  audit_.start();
  SEKISHO_CHECK_OK(api_.start());
  SEKISHO_CHECK_OK(erasure_.start());
  running_.reset();  // it was read before anybody knew what has ended
  log_watch_.start();
  return {};
}

std::string ControlService::why_no_commit(const CommitRequest& request) const {
  if (!log_watch_.full() || request.author == "controld") return {};
  return "the log's disk is full: no configuration is taken until there is room (log status)";
}

void ControlService::handle(ControlRequest request, ControlServer::Reply reply) {
  switch (request.message.body_case()) {
    case ipc::ToControl::kCheckConfig:
    case ipc::ToControl::kDiffConfig:
    case ipc::ToControl::kCommitConfig:
      return with_document(std::move(request), std::move(reply));
    case ipc::ToControl::kConfirmCommit:
      return confirm(request, reply);
    case ipc::ToControl::kRollbackConfig:
      return rollback(request, std::move(reply));
    case ipc::ToControl::kListRevisions:
      return list(request, reply);
    case ipc::ToControl::kGetConfig:
      return get_config(request, reply);
    case ipc::ToControl::kExplainPacket:
      return explain_.explain(std::move(request), running_names(), std::move(reply));
    case ipc::ToControl::kReplayCapture:
      return explain_.replay(std::move(request), running_names(), std::move(reply));
    case ipc::ToControl::kShow:
      return show(request, std::move(reply));
    case ipc::ToControl::kEndQuarantine:
      return end_quarantine(request, std::move(reply));
    case ipc::ToControl::kGetNames:
      return get_names(request, reply);
    case ipc::ToControl::kWriteVpnProfile:
      return write_vpn_profile(request, reply);
    case ipc::ToControl::kGetVpnConfig:
      return get_vpn_config(request, reply);
    case ipc::ToControl::kGetExportPlan:
      return get_export_plan(request, reply);
    case ipc::ToControl::kVpnReady:
      return vpn_.ready(request, std::move(reply));
    case ipc::ToControl::kChangeVpn:
      return change_vpn(request, std::move(reply));
    case ipc::ToControl::kTryLogin:
      return try_login(request, std::move(reply));
    case ipc::ToControl::kOpenLogStream:
      return open_log_stream(request.message.open_log_stream(), std::move(reply));
    case ipc::ToControl::kApiCall:
      return api_.handle(std::move(request), std::move(reply));
    case ipc::ToControl::kLocalAccount:
      return api_.handle_local(request, reply);
    case ipc::ToControl::kLocalErasure:
    case ipc::ToControl::kMakeBackup:
    case ipc::ToControl::kRestoreBackup:
      return erasure_.handle(std::move(request), std::move(reply));
    case ipc::ToControl::kDeliveryWork:
      return exchange(request, reply);
    case ipc::ToControl::kAskResponders: {
      ControlAnswer out;
      *out.message.mutable_responders_said() = responders_.ask(request.message.ask_responders());
      return reply(std::move(out));
    }
    case ipc::ToControl::kLog:
      return ask_log(io_, export_socket_, request.message.log(), [reply = std::move(reply)](LogAnswer answer) {
        if (!answer.refusal.empty()) return reply(failure(answer.refusal));
        ControlAnswer out;
        *out.message.mutable_log() = std::move(answer.message);
        out.fd = std::move(answer.fd);
        reply(std::move(out));
      });
    case ipc::ToControl::BODY_NOT_SET:
      break;
  }
  reply(failure("a request without a question"));
}

void ControlService::exchange(const ControlRequest& request, const ControlServer::Reply& reply) {
  ControlServer::Reply with_fetches = [this, &request, &reply](ControlAnswer out) {
    responders_.exchange(request.message.delivery_work(), *out.message.mutable_deliveries());
    reply(std::move(out));
  };
  api_.exchange(request, with_fetches);
}

void ControlService::open_log_stream(const ipc::OpenLogStream& request, ControlServer::Reply reply) {
  ipc::ToLog question;
  *question.mutable_open_stream() = request;
  ask_log(io_, export_socket_, question, [reply = std::move(reply)](LogAnswer answer) {
    ControlAnswer out;
    *out.message.mutable_log_stream() = answer.message.stream();
    if (!answer.refusal.empty()) out.message.mutable_log_stream()->set_error(answer.refusal);
    out.fd = std::move(answer.fd);
    reply(std::move(out));
  });
}

void ControlService::with_document(ControlRequest request, ControlServer::Reply reply) {
  if (request.fds.size() != 1) return reply(failure("the document comes as one descriptor"));
  auto blob = SealedBlob::open(std::move(request.fds[0]), limits::kDocumentBytesMax);
  if (!blob) return reply(failure("the document cannot be taken: " + describe(blob.error())));
  std::string text(reinterpret_cast<const char*>(blob->bytes().data()), blob->bytes().size());
  // Functions have to be copyable, and descriptors are not: this one has been read.
  const auto asked = std::make_shared<ControlRequest>(std::move(request));
  find_unused(text, [this, asked, text, reply = std::move(reply)](std::vector<Finding> unused) mutable {
    if (asked->message.has_check_config()) return check(*asked, text, unused, reply);
    if (asked->message.has_diff_config()) return diff(*asked, text, unused, reply);
    commit(*asked, std::move(text), std::move(unused), std::move(reply));
  });
}

void ControlService::find_unused(const std::string& text, std::function<void(std::vector<Finding>)> done) {
  const std::int64_t now = committer_.now();
  const auto revisions = store_.list(static_cast<std::uint32_t>(limits::kRevisionsKeptMax) + 1);
  const auto stood = [&](const RevisionInfo& info) {
    const bool ran = info.state == RevisionState::kRunning || info.state == RevisionState::kSuperseded;
    return ran && static_cast<std::int64_t>(info.created_ns / 1'000'000'000) <= now - kUnusedSeconds;
  };
  if (!revisions || !dataplane_.connected()) return done({});
  const auto before = std::find_if(revisions->begin(), revisions->end(), stood);  // newest first
  if (before == revisions->end()) return done({});
  ipc::ToDataplane question;
  question.mutable_read_counters();
  dataplane_.ask(std::move(question), kQueryDeadline,
                 [this, text, now, number = before->number, done = std::move(done)](const DataplaneLink::Reply& reply) {
    const auto old = store_.text(number);
    const Decoded decoded = decode_document(text);
    if (!old) return done({});
    done(remark_on_unused(decoded.model, decoded.positions, decode_document(*old).model, parsed<ipc::Counters>(reply), ids_, now));
  });
}

void ControlService::check(const ControlRequest& request, const std::string& text, const std::vector<Finding>& unused,
                           ControlServer::Reply& reply) {
  std::vector<Finding> findings = check_document(decode_document(text), committer_.now(), [this] { return running_model(); });
  add_unused(findings, unused);
  ControlAnswer out;
  auto& body = *out.message.mutable_check_result();
  body.set_ok(!has_errors(findings));
  add_findings(*body.mutable_findings(), findings, request.message.check_config().file_name());
  reply(std::move(out));
}

void ControlService::diff(const ControlRequest& request, const std::string& text, const std::vector<Finding>& unused,
                          ControlServer::Reply& reply) {
  const auto& question = request.message.diff_config();
  model::Configuration before;
  if (question.against() != 0) {
    const auto stored = store_.text(question.against());
    if (!stored) return reply(failure("revision " + std::to_string(question.against()) + " is not kept"));
    before = decode_document(*stored).model;
  } else if (const Running* now = running()) {
    before = now->model;
  }
  const Decoded after = decode_document(text);
  std::vector<Finding> findings = check_document(after, committer_.now(), [this] { return running_model(); });
  add_unused(findings, unused);
  ControlAnswer out;
  auto& body = *out.message.mutable_diff_result();
  body.set_ok(!has_errors(findings));
  if (body.ok()) {
    add_changes(*body.mutable_changes(), diff_models(before, after.model));
    findings.resize(std::min<std::size_t>(findings.size(), 50));  // warnings only; check lists them all
  }
  add_findings(*body.mutable_findings(), findings, question.file_name());
  reply(std::move(out));
}

void ControlService::commit(const ControlRequest& request, std::string text, std::vector<Finding> unused, ControlServer::Reply reply) {
  const auto& question = request.message.commit_config();
  CommitRequest commit{.text = std::move(text),
                       .comment = question.comment(),
                       .author = user_name(request.uid),
                       .confirm_seconds = question.confirm_seconds(),
                       .base_revision = question.base_revision()};
  const auto act = begin_act("commit", request.uid, question.comment());
  if (!act) return reply(failure(kNoLog));
  const Running* now = running();
  committer_.commit(std::move(commit), [this, act, reply = std::move(reply), unused = std::move(unused), file = question.file_name(),
                                        uid = request.uid, comment = question.comment(), waits = question.confirm_seconds() > 0,
                                        before = now != nullptr ? now->model : model::Configuration()](CommitAnswer answer) {
    finish_act(*act, answer);
    if (answer.ok) audit("commit", uid, comment, answer.revision, before, waits);
    add_unused(answer.findings, unused);
    reply(commit_answer(answer, file));
  });
}

void ControlService::confirm(const ControlRequest& request, ControlServer::Reply& reply) {
  const auto act = begin_act("confirm", request.uid, "");
  if (!act) return reply(failure(kNoLog));
  const CommitAnswer answer = committer_.confirm(request.message.confirm_commit().revision());
  finish_act(*act, answer);
  if (answer.ok) {
    for (const std::string& code : unconfirmed_) audit_one("confirm", code, request.uid, "", answer.revision, answer.revision);
    unconfirmed_.clear();
  }
  ControlAnswer out;
  auto& body = *out.message.mutable_confirm_result();
  body.set_ok(answer.ok);
  body.set_revision(answer.revision);
  body.set_error(answer.error);
  reply(std::move(out));
}

void ControlService::rollback(const ControlRequest& request, ControlServer::Reply reply) {
  const auto& question = request.message.rollback_config();
  CommitRequest commit{.text = {},
                       .comment = question.comment(),
                       .author = user_name(request.uid),
                       .confirm_seconds = question.confirm_seconds(),
                       .base_revision = 0};
  const auto act = begin_act("rollback", request.uid, question.comment());
  if (!act) return reply(failure(kNoLog));
  const Running* now = running();
  committer_.rollback(question.revision(), std::move(commit),
                      [this, act, reply = std::move(reply), uid = request.uid, comment = question.comment(),
                       waits = question.confirm_seconds() > 0,
                       before = now != nullptr ? now->model : model::Configuration()](const CommitAnswer& answer) {
                        finish_act(*act, answer);
                        if (answer.ok) audit("rollback", uid, comment, answer.revision, before, waits);
                        reply(commit_answer(answer, ""));
                      });
}

/// Tells each tenant whose part of the document changed.
void ControlService::audit(const std::string& operation, uid_t uid, const std::string& comment, std::uint32_t revision,
                           const model::Configuration& before, bool waits) {
  const Running* now = running();
  if (now == nullptr) return;
  const auto codes = changed_tenants(before, now->model);
  for (const std::string& code : codes) audit_one(operation, code, uid, comment, revision - 1, revision);
  if (waits) unconfirmed_ = codes;
}

/// On its way to the provider's log before it is done; nothing: it cannot be written.
std::optional<std::uint64_t> ControlService::begin_act(const std::string& operation, uid_t uid, const std::string& comment) {
  return audit_.begin(act_of(std::string(kProviderStream), operation, uid, comment));
}

void ControlService::finish_act(std::uint64_t act, const CommitAnswer& answer) {
  audit_.finish(act, [&answer](ipc::AuditRecord& record) {
    record.set_result(answer.ok ? "ok" : "fail");
    record.set_cause(answer.error);
    if (answer.revision != 0) record.set_revision_to(answer.revision);
  });
}

ipc::ToEventLog ControlService::act_of(std::string stream, const std::string& operation, uid_t uid, const std::string& comment) {
  const Running* now = running();
  ipc::ToEventLog record = act_record(std::move(stream), now == nullptr ? InForce() : InForce{now->revision, &now->model});
  auto& what = *record.mutable_audit();
  what.set_actor_kind("provider"), what.set_actor(user_name(uid)), what.set_auth("uid"), what.set_channel("agent");
  what.set_operation(operation), what.set_object_type("configuration");
  what.set_comment(comment);
  return record;
}

void ControlService::audit_one(const std::string& operation, const std::string& code, uid_t uid, const std::string& comment,
                               std::uint32_t from, std::uint32_t to) {
  ipc::ToEventLog record = act_of(code, operation, uid, comment);
  record.set_revision(to);
  auto& what = *record.mutable_audit();
  what.set_result("ok");
  if (from != to) what.set_revision_from(from);
  what.set_revision_to(to);
  (void)audit_.add(std::move(record));
}

void ControlService::list(const ControlRequest& request, ControlServer::Reply& reply) {
  const std::uint32_t asked = request.message.list_revisions().limit();
  const std::uint32_t most = static_cast<std::uint32_t>(limits::kRevisionsKeptMax) + 1;
  const auto revisions = store_.list(asked == 0 ? most : std::min(asked, most));
  if (!revisions) return reply(failure("the store cannot be read: " + describe(revisions.error())));
  ControlAnswer out;
  auto& body = *out.message.mutable_revisions();
  for (const RevisionInfo& info : *revisions) {
    auto& revision = *body.add_revisions();
    revision.set_number(info.number);
    revision.set_state(to_text(info.state));
    revision.set_created_ns(info.created_ns);
    revision.set_comment(info.comment);
    revision.set_author(info.author);
    revision.set_copied_from(info.copied_from);
  }
  const auto now = store_.running();
  if (now && *now) {
    body.set_running((*now)->number);
    if (!(*now)->confirmed) {
      body.set_waiting_confirmation((*now)->number);
      body.set_rollback_at_ns((*now)->rollback_at_ns);
    }
  }
  reply(std::move(out));
}

void ControlService::get_config(const ControlRequest& request, ControlServer::Reply& reply) {
  std::uint32_t revision = request.message.get_config().revision();
  if (revision == 0) {
    const auto now = store_.running();
    if (!now || !*now) return reply(failure("no revision is running"));
    revision = (*now)->number;
  }
  auto text = store_.text(revision);
  if (!text) return reply(failure("revision " + std::to_string(revision) + " is not kept"));
  if (!request.message.get_config().secrets()) {
    Decoded decoded = decode_document(*text);
    if (mask_secrets(decoded.model)) *text = encode_document(decoded.model);
  }
  ControlAnswer out;
  auto& body = *out.message.mutable_document();
  body.set_revision(revision);
  if (text->size() <= kListBytesMax) {
    body.set_text(std::move(*text));
    return reply(std::move(out));
  }
  auto blob = make_sealed_blob("sekisho-document", as_bytes(*text));
  if (!blob) return reply(failure("the document cannot be handed over: " + describe(blob.error())));
  body.set_in_fd(true);
  out.fd = std::move(*blob);
  reply(std::move(out));
}

void ControlService::get_names(const ControlRequest& request, ControlServer::Reply& reply) {
  const std::uint32_t generation = request.message.get_names().generation();
  ControlAnswer out;
  auto& body = *out.message.mutable_names();
  body.set_generation(generation);
  const auto text = store_.text(generation);
  if (!text) return reply(std::move(out));
  const Decoded decoded = decode_document(*text);
  const std::string names = make_name_table(decoded.model, ids_, generation).SerializeAsString();
  auto blob = make_sealed_blob("sekisho-names", as_bytes(names));
  if (!blob) return reply(failure("the names cannot be handed over: " + describe(blob.error())));
  body.set_size(names.size());
  out.fd = std::move(*blob);
  reply(std::move(out));
}

void ControlService::write_vpn_profile(const ControlRequest& request, ControlServer::Reply& reply) {
  const auto& question = request.message.write_vpn_profile();
  ControlAnswer out;
  auto& body = *out.message.mutable_vpn_profile();
  const auto refuse = [&](const std::string& why) { return body.set_error(why), reply(std::move(out)); };
  const Running* now = running();
  const auto client = client_family_named(question.client());
  if (now == nullptr) return refuse("no configuration is in force");
  if (!client) return refuse("\"" + question.client() + "\" is no client: windows, apple, android, strongswan or networkmanager");
  const auto& tenants = now->model.tenants();
  const auto tenant = std::find_if(tenants.begin(), tenants.end(), [&](const auto& one) {
    return one.service_code() == question.tenant() || one.name() == question.tenant();
  });
  if (tenant == tenants.end()) return refuse("there is no tenant \"" + question.tenant() + '"');
  const auto known = [&](const auto& user) { return user.name() == question.user(); };
  if (std::none_of(tenant->users().begin(), tenant->users().end(), known)) return refuse("there is no user \"" + question.user() + '"');
  ipc::VpnConfig config = make_vpn_config(now->model, ids_, now->revision);
  std::vector<const ipc::VpnGateway*> gateways;
  for (const auto& one : config.tenants()) {
    if (one.service_code() != tenant->service_code()) continue;
    for (const auto& gateway : one.gateways()) {
      if (question.gateway().empty() || gateway.name() == question.gateway()) gateways.push_back(&gateway);
    }
  }
  if (gateways.size() == 1) {
    const ClientProfile made = write_client_profile(tenant->service_code(), *gateways[0], question.user(), *client);
    body.set_file_name(made.file_name);
    body.set_text(made.text);
    body.set_error(made.refusal);
  } else {
    body.set_error(gateways.empty() ? "the tenant has no such gateway" : "the tenant has several gateways: say which with --gateway");
  }
  wipe_secrets(config);
  reply(std::move(out));
}

void ControlService::get_vpn_config(const ControlRequest& request, ControlServer::Reply& reply) {
  ControlAnswer out;
  auto& body = *out.message.mutable_vpn_config();
  body.set_log_full(log_watch_.full());
  const Running* now = running();
  if (now == nullptr) return reply(std::move(out));
  body.set_generation(now->revision);
  if (now->revision <= request.message.get_vpn_config().known()) return reply(std::move(out));
  ipc::VpnConfig config = make_vpn_config(now->model, ids_, now->revision);
  const auto& asked = request.message.get_vpn_config();
  if (asked.daemon() == index_of(KeyingDaemon::kPptp)) narrow_to_pptp(config);
  if (asked.known() == 0 && asked.daemon() < kKeyingDaemons) *config.mutable_memory() = vpn_.memory(asked.daemon());
  std::string bytes = config.SerializeAsString();
  wipe_secrets(config);
  auto blob = make_sealed_blob("sekisho-vpn", as_bytes(bytes));
  body.set_size(bytes.size());
  wipe(bytes);
  if (!blob) return reply(failure("the configuration of remote access cannot be handed over: " + describe(blob.error())));
  out.fd = std::move(*blob);
  reply(std::move(out));
}

void ControlService::get_export_plan(const ControlRequest& request, ControlServer::Reply& reply) {
  ControlAnswer out;
  auto& body = *out.message.mutable_export_plan();
  const Running* now = running();
  if (now == nullptr) return reply(std::move(out));
  body.set_generation(now->revision);
  if (now->revision == request.message.get_export_plan().known()) return reply(std::move(out));
  ipc::ExportPlan plan = make_export_plan(now->model, now->revision);
  std::string bytes = plan.SerializeAsString();
  wipe_secrets(plan);
  auto blob = make_sealed_blob("sekisho-exports", as_bytes(bytes));
  body.set_size(bytes.size());
  wipe(bytes);
  if (!blob) return reply(failure("the collectors cannot be handed over: " + describe(blob.error())));
  out.fd = std::move(*blob);
  reply(std::move(out));
}

ControlService::Running* ControlService::running() {
  const auto now = store_.running();
  if (!now || !*now) return nullptr;
  if (running_ && running_->revision == (*now)->number) return running_.get();
  const auto text = store_.text((*now)->number);
  if (!text) return nullptr;
  running_ = std::make_unique<Running>();
  running_->revision = (*now)->number;
  running_->model = decode_document(*text).model;
  (void)amend(running_->model);
  running_->names = make_name_table(running_->model, ids_, running_->revision);
  return running_.get();
}

model::Configuration ControlService::running_model() {
  const Running* now = running();
  return now == nullptr ? model::Configuration() : now->model;
}

const ipc::NameTable* ControlService::running_names() {
  const Running* now = running();
  return now == nullptr ? nullptr : &now->names;
}

namespace {

bool is_named(const ipc::TenantNames& tenant, const std::string& name) {
  return !name.empty() && (tenant.service_code() == name || tenant.name() == name);
}

/// The question a table needs answered.
ipc::ToDataplane question_for(const ipc::Show& show, const ipc::NameTable& names) {
  ipc::ToDataplane out;
  if (show.what() == ipc::Show::NEIGHBOURS) {
    out.mutable_query_neighbours();
  } else if (show.what() == ipc::Show::NAT || show.what() == ipc::Show::NAT_BLOCKS) {
    auto& query = *out.mutable_query_nat();
    for (const auto& tenant : names.tenants()) {
      if (is_named(tenant, show.tenant())) query.set_tenant(tenant.id());
    }
  } else if (show.what() == ipc::Show::SESSIONS) {
    auto& query = *out.mutable_query_sessions();
    query.set_limit(show.limit() == 0 ? 1000 : std::min(show.limit(), kSessionsShownMax));
    for (const auto& tenant : names.tenants()) {
      if (is_named(tenant, show.tenant())) query.set_tenant(tenant.id());
    }
  } else {
    out.mutable_read_counters()->set_living_sessions(show.what() == ipc::Show::RULES);
  }
  return out;
}

ipc::Table make_table(const ShowContext& context, ipc::Show::What what, const DataplaneLink::Reply& reply) {
  switch (what) {
    case ipc::Show::TENANTS:
      return show_tenants(context, parsed<ipc::Counters>(reply));
    case ipc::Show::PORTS:
      return show_ports(context, parsed<ipc::Counters>(reply));
    case ipc::Show::BINDINGS:
      return show_bindings(context, parsed<ipc::Counters>(reply));
    case ipc::Show::RULES:
      return show_rules(context, parsed<ipc::Counters>(reply));
    case ipc::Show::DROPS:
      return show_drops(context, parsed<ipc::Counters>(reply));
    case ipc::Show::SESSIONS:
      return show_sessions(context, parsed<ipc::SessionList>(reply));
    case ipc::Show::NEIGHBOURS:
      return show_neighbours(context, parsed<ipc::NeighbourList>(reply));
    case ipc::Show::NAT:
      return show_nat(context, parsed<ipc::NatReport>(reply));
    case ipc::Show::NAT_BLOCKS:
      return show_nat_blocks(context, parsed<ipc::NatReport>(reply));
    case ipc::Show::STATUS:
    case ipc::Show::USERS:
    case ipc::Show::VPN_SESSIONS:
    case ipc::Show_What_Show_What_INT_MIN_SENTINEL_DO_NOT_USE_:
    case ipc::Show_What_Show_What_INT_MAX_SENTINEL_DO_NOT_USE_:
      break;
  }
  return {};
}

std::string missing_note(const DataplaneLink::Reply& reply) {
  if (!reply.error.empty()) return "nothing counted is shown: " + reply.error;
  if (reply.message.has_failure()) return "nothing counted is shown: " + reply.message.failure().reason();
  return {};
}

void cut_rows(ipc::Table& table, std::uint32_t limit) {
  const int rows = static_cast<int>(std::min<std::uint32_t>(limit, kSessionsShownMax));
  if (limit == 0 || table.rows_size() <= rows) return;
  table.mutable_rows()->DeleteSubrange(rows, table.rows_size() - rows);
  add_note(table, "there are more rows than are shown");
}

/// A session's number as the log writes it: 16 hexadecimal digits.
std::optional<std::uint64_t> vpn_sid_of(const std::string& text) {
  std::uint64_t out = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), out, 16);
  return text.size() == 16 && status == std::errc{} && end == text.data() + text.size() && out != 0 ? std::optional(out) : std::nullopt;
}

bool known_tenant(const ipc::NameTable& names, const std::string& tenant) {
  return tenant.empty() || std::any_of(names.tenants().begin(), names.tenants().end(),
                                       [&](const auto& t) { return t.service_code() == tenant || t.name() == tenant; });
}

}  // namespace

void ControlService::show(const ControlRequest& request, ControlServer::Reply reply) {
  const ipc::Show question = request.message.show();
  if (question.what() == ipc::Show::STATUS) return show_status(std::move(reply));
  const Running* now = running();
  ControlAnswer none;
  if (now == nullptr) {
    none.message.mutable_show_result()->set_error("no revision is running: commit a document first");
    return reply(std::move(none));
  }
  if (!known_tenant(now->names, question.tenant())) {
    none.message.mutable_show_result()->set_error("there is no tenant \"" + question.tenant() + '"');
    return reply(std::move(none));
  }
  if (question.what() == ipc::Show::USERS || question.what() == ipc::Show::VPN_SESSIONS) return show_vpn(question, std::move(reply));
  dataplane_.ask(question_for(question, now->names), kQueryDeadline,
                 [this, question, reply = std::move(reply)](const DataplaneLink::Reply& answer) {
                   const Running* current = running();
                   if (current == nullptr) return reply(failure("no revision is running"));
                   ipc::Table table =
                       make_table({current->model, current->names, ids_, question.tenant(), committer_.now(), question.unused_days()},
                                  question.what(), answer);
                   cut_rows(table, question.limit());
                   add_note(table, missing_note(answer));
                   reply(table_answer(std::move(table)));
                 });
}

void ControlService::show_vpn(const ipc::Show& question, ControlServer::Reply reply) {
  ipc::VpnQuestion list;
  list.mutable_list();
  vpn_.ask(list, [this, question, reply = std::move(reply)](const ipc::VpnAnswer& answer, const std::string& error) {
    const Running* now = running();
    if (now == nullptr) return reply(failure("no revision is running"));
    const ShowContext context{now->model, now->names, ids_, question.tenant(), committer_.now()};
    ipc::Table table = question.what() == ipc::Show::USERS ? show_users(context, answer) : show_vpn_sessions(context, answer);
    cut_rows(table, question.limit());
    if (!error.empty()) add_note(table, "who is in is not known: " + error);
    reply(table_answer(std::move(table)));
  });
}

void ControlService::change_vpn(const ControlRequest& request, ControlServer::Reply reply) {
  const auto& question = request.message.change_vpn();
  const auto answer = [](ControlServer::Reply& to, std::uint32_t count, const std::string& error) {
    ControlAnswer out;
    auto& body = *out.message.mutable_vpn_changed();
    body.set_ok(error.empty());
    body.set_count(count);
    body.set_error(error);
    to(std::move(out));
  };
  const bool ends = question.what() == ipc::ChangeVpn::DISCONNECT;
  std::vector<std::uint32_t> tenants;
  if (const Running* now = running()) {
    for (const auto& tenant : now->model.tenants()) {
      if (!question.tenant().empty() && question.tenant() != tenant.service_code() && question.tenant() != tenant.name()) continue;
      if (tenant.gateways_size() != 0) tenants.push_back(ids_.number(IdKind::kTenant, tenant_key(tenant.service_code())));
    }
  }
  if (tenants.empty()) return answer(reply, 0, "there is no such tenant with remote access");
  const auto sid = ends ? vpn_sid_of(question.user()) : std::nullopt;
  if (!sid && tenants.size() > 1) return answer(reply, 0, "several tenants have remote access: say which with --tenant");
  ipc::VpnQuestion ask;
  const std::uint32_t tenant = tenants.size() == 1 ? tenants[0] : 0;
  if (ends) {
    ask.mutable_end()->set_tenant(tenant);
    sid ? ask.mutable_end()->set_vpn_sid(*sid) : ask.mutable_end()->set_user(question.user());
  } else {
    ask.mutable_unlock()->set_tenant(tenant);
    ask.mutable_unlock()->set_user(question.user());
  }
  vpn_.ask(ask, [reply, answer, ends](const ipc::VpnAnswer& done, const std::string& error) mutable {
    const bool nothing = error.empty() && done.done() == 0;
    answer(reply, done.done(), !nothing ? error : ends ? "no session of this user or number is up" : "this user is not shut out");
  });
}

void ControlService::try_login(const ControlRequest& request, ControlServer::Reply reply) {
  const ipc::TryLogin& asked = request.message.try_login();
  const Running* now = running();
  const bool known = now != nullptr && std::ranges::any_of(now->model.tenants(), [&asked](const auto& tenant) {
                       return tenant.service_code() == asked.tenant() && tenant.gateways_size() != 0;
                     });
  if (known) return trials_.begin(ids_.number(IdKind::kTenant, tenant_key(asked.tenant())), asked, std::move(reply));
  ControlAnswer out;
  out.message.mutable_try_login_result()->set_error("the tenant has no remote access");
  out.message.mutable_try_login_result()->set_no_access(true);
  reply(std::move(out));
}

void ControlService::show_status(ControlServer::Reply reply) {
  ipc::ToDataplane status;
  status.mutable_get_status();
  dataplane_.ask(
      std::move(status), kQueryDeadline, [this, reply = std::move(reply)](const DataplaneLink::Reply& first) {
        ipc::ToDataplane counters;
        counters.mutable_read_counters();
        dataplane_.ask(std::move(counters), kQueryDeadline, [this, reply, first](const DataplaneLink::Reply& second) {
          const auto now = store_.running();
          const bool any = now.has_value() && now->has_value();
          const std::uint32_t number = any ? (*now)->number : 0;
          const std::uint32_t waiting = any && !(*now)->confirmed ? number : 0;
          ipc::Table table =
              control::show_status(first.message.status(), parsed<ipc::Counters>(second), number, waiting);
          add_note(table, missing_note(first));
          reply(table_answer(std::move(table)));
        });
      });
}

void ControlService::end_quarantine(const ControlRequest& request, ControlServer::Reply reply) {
  const auto& question = request.message.end_quarantine();
  std::vector<std::string> keys;
  if (const Running* now = running()) {
    for (const auto& tenant : now->model.tenants()) {
      if (!question.tenant().empty() && question.tenant() != tenant.service_code() && question.tenant() != tenant.name()) continue;
      for (const auto& binding : tenant.bindings()) {
        if (binding.name() == question.binding()) keys.push_back(binding_key(tenant.service_code(), binding.name()));
      }
    }
  }
  if (keys.size() != 1) {
    ControlAnswer out;
    out.message.mutable_quarantine_ended()->set_error(keys.empty() ? "there is no binding \"" + question.binding() + '"'
                                : "more than one tenant has a binding \"" + question.binding() + "\": say which with --tenant");
    return reply(std::move(out));
  }
  ipc::ToDataplane ask;
  ask.mutable_release_binding()->set_binding(ids_.number(IdKind::kBinding, keys[0]));
  dataplane_.ask(std::move(ask), kQueryDeadline, [reply = std::move(reply)](const DataplaneLink::Reply& answer) {
    ControlAnswer out;
    auto& ended = *out.message.mutable_quarantine_ended();
    ended.set_ok(answer.message.binding_released().was_quarantined());
    if (!answer.error.empty()) ended.set_error(answer.error);
    if (answer.error.empty() && !ended.ok()) ended.set_error("the binding is not in quarantine");
    reply(std::move(out));
  });
}

}  // namespace sekisho::control
