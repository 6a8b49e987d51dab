// SPDX-License-Identifier: Apache-2.0
#include "control/links/erasure_service.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>

#include "base/describe.h"
#include "base/ipc/sealed_blob.h"
#include "base/limits.h"
#include "control/api/acts.h"
#include "control/compile/vpn_config.h"
#include "control/erasure/backup.h"
#include "control/links/answer.h"
#include "control/links/log_link.h"

namespace sekisho::control {
namespace {

using namespace std::chrono_literals;

std::uint64_t wall_ns() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

void complain(const std::string& line) {
  std::fprintf(stderr, "controld: %s\n", line.c_str());
  std::fflush(stderr);
}

}  // namespace

ErasureService::ErasureService(World world)
    : world_(std::move(world)), erasures_(world_.folder, environment()), timer_(world_.io) {}

Erasures::Environment ErasureService::environment() {
  Erasures::Environment out;
  out.complain = complain;
  out.keep_readable = [this](const StoredErasure& ending) -> Result<void> {
    const model::Tenant* part = world_.in_force().tenant(ending.tenant());
    if (ending.scope() != StoredErasure::CONTRACT || part == nullptr) return {};
    return keep_ended_document(world_.store, *part);
  };
  out.put_in_force = [this](const std::string& comment, bool insist, std::function<void(std::uint32_t, const std::string&)> done) {
    put_in_force(comment, insist, std::move(done));
  };
  out.purge = [this](const StoredErasure& ending) { return purge_all(ending); };
  out.is_purged = [this](const StoredErasure& ending) {
    const auto done = world_.store.records(RecordKind::kPurged);
    return done && std::any_of(done->begin(), done->end(), [&](const auto& one) { return one.key == ending.id(); });
  };
  out.erase_log = [this](const ipc::EraseLog& question, std::function<void(const ipc::LogErasure&, const std::string&)> done) {
    ipc::ToLog asked;
    *asked.mutable_erase() = question;
    ask_log(world_.io, world_.export_socket, asked,
            [done = std::move(done)](const LogAnswer& answer) { done(answer.message.erasure(), answer.refusal); });
  };
  out.tell = [this](const std::string& operation, const StoredErasure& ending) { tell(operation, ending); };
  return out;
}

Result<std::vector<Purged>> ErasureService::purge_all(const StoredErasure& ending) {
  const PurgeWorld all{world_.store,
                       world_.ids,
                       world_.people(),
                       [this](std::uint32_t tenant) { return Purged{"vpn_memory", world_.vpn.forget(tenant), 0}; },
                       [this](const std::string& tenant) { return Purged{"undelivered_records", world_.audit.forget(tenant), 0}; },
                       world_.forget};
  return purge(all, ending);
}

/// Again what is in force, as it is without what has ended; nothing to do where that is the same.
void ErasureService::put_in_force(const std::string& comment, bool insist,
                                  std::function<void(std::uint32_t, const std::string&)> done) {
  const auto running = world_.store.running();
  const auto last = world_.store.next_number();
  if (!running || !last) return done(0, "the store cannot be read");
  if (!*running) return done(*last - 1, "");
  const auto text = world_.store.text((*running)->number);
  if (!text) return done(0, "the store cannot be read: " + describe(text.error()));
  Decoded decoded = decode_document(*text);
  if (erasures_.amend(decoded.model).empty()) return done(*last - 1, "");
  CommitRequest request{.text = {}, .comment = comment, .author = "controld", .confirm_seconds = 0, .base_revision = 0};
  const auto answered = [done](const CommitAnswer& answer) { done(answer.revision, answer.ok ? "" : answer.error); };
  const auto confirmed = world_.store.last_confirmed();
  if (insist && !(*running)->confirmed && confirmed && *confirmed)
    return world_.committer.rollback((*confirmed)->number, std::move(request), answered);
  request.text = encode_document(decoded.model);
  world_.committer.commit(std::move(request), answered);
}

/// Into the provider's log and, while there is one, the tenant's.
void ErasureService::tell(const std::string& operation, const StoredErasure& ending) {
  const bool erased = operation == "erase";
  write_down("controld", erased ? "erase" : "disconnect", ending.tenant(), std::string(to_text(ending.scope())) + ' ' + operation,
             erased && ending.scope() == StoredErasure::CONTRACT);
}

void ErasureService::write_down(const std::string& actor, const std::string& operation, const std::string& tenant,
                                const std::string& what, bool gone) {
  for (const std::string& stream : {std::string(kProviderStream), tenant}) {
    if (gone && stream == tenant) continue;
    ipc::ToEventLog record = act_record(stream, world_.in_force());
    auto& act = *record.mutable_audit();
    act.set_actor_kind(actor == "controld" ? "system" : "provider");
    act.set_actor(actor);
    act.set_auth("uid");
    act.set_channel(actor == "controld" ? "schedule" : "agent");
    act.set_operation(operation);
    act.set_object_type("contract");
    act.set_object_name(what);
    act.set_result("ok");
    if (stream != tenant && !tenant.empty()) act.set_after("{\"tenant\":\"" + json_word(tenant) + "\"}");
    (void)world_.audit.add(std::move(record));
    if (tenant.empty()) return;
  }
}

Result<void> ErasureService::start() {
  SEKISHO_CHECK_OK(erasures_.load());
  tick_later();
  return {};
}

void ErasureService::stop() {
  timer_.cancel();
}

void ErasureService::tick_later() {
  timer_.expires_after(1s);
  timer_.async_wait([this](const boost::system::error_code& failed) {
    if (failed) return;
    erasures_.tick(wall_ns(), std::chrono::steady_clock::now().time_since_epoch(), clock_in_step());
    tick_later();
  });
}

void ErasureService::handle(ControlRequest request, ControlServer::Reply reply) {
  if (!world_.audit.takes()) return reply(failure("the operation log cannot be written: nothing was done"));
  if (request.message.has_local_erasure()) return handle_erasure(request, reply);
  if (request.message.has_make_backup()) return make_backup(request.uid, reply);
  restore_backup(std::move(request), std::move(reply));
}

void ErasureService::handle_erasure(const ControlRequest& request, ControlServer::Reply& reply) {
  const ipc::LocalErasure& asked = request.message.local_erasure();
  const std::int64_t now = world_.committer.now();
  ControlAnswer out;
  auto& body = *out.message.mutable_local_erasure_done();
  const SigningPublic key = erasures_.public_key();
  body.set_public_key(std::string(key.begin(), key.end()));
  const auto take = [&body](const std::variant<StoredErasure, Refusal>& made) {
    if (const auto* refusal = std::get_if<Refusal>(&made)) return body.set_error(refusal->message);
    *body.add_erasures() = std::get<StoredErasure>(made);
  };
  const auto of_it = [&asked](const StoredErasure& one) {
    return one.tenant() == asked.tenant() && one.scope() == asked.scope() && one.state() != StoredErasure::ERASED;
  };
  const auto at = std::find_if(erasures_.all().begin(), erasures_.all().end(), of_it);
  const std::string id = at == erasures_.all().end() ? "none" : at->id();
  if (asked.what() == ipc::LocalErasure::LIST) {
    for (const StoredErasure& one : erasures_.all()) {
      if (asked.tenant().empty() || one.tenant() == asked.tenant()) *body.add_erasures() = one;
    }
  } else if (asked.what() == ipc::LocalErasure::END) {
    if (world_.in_force().tenant(asked.tenant()) == nullptr) {
      body.set_error("there is no tenant \"" + asked.tenant() + '"');
    } else {
      take(erasures_.end({asked.tenant(), asked.scope(), asked.contract(), asked.end(), asked.reason(),
                          "uid " + std::to_string(request.uid)}, now));
    }
  } else if (asked.what() == ipc::LocalErasure::WITHDRAW) {
    body.set_error(erasures_.withdraw(asked.tenant(), id, now).message);
  } else {
    take(erasures_.erase_early(asked.tenant(), id));
  }
  if (asked.what() != ipc::LocalErasure::LIST && body.error().empty())
    write_down("uid " + std::to_string(request.uid), asked.what() == ipc::LocalErasure::WITHDRAW ? "revoke" : "submit", asked.tenant(),
               std::string(to_text(asked.scope())) + ' ' + ipc::LocalErasure::What_Name(asked.what()), false);
  reply(std::move(out));
}

void ErasureService::make_backup(uid_t uid, ControlServer::Reply& reply) {
  ControlAnswer out;
  auto& body = *out.message.mutable_backup_made();
  erasure::StoredErasures endings;
  endings.mutable_erasures()->Assign(erasures_.all().begin(), erasures_.all().end());
  auto backup = collect_backup(world_.store, endings, world_.committer.now());
  if (!backup) {
    body.set_error("the store cannot be read: " + describe(backup.error()));
    return reply(std::move(out));
  }
  std::string bytes = backup->SerializeAsString();
  auto blob = make_sealed_blob("sekisho-backup", as_bytes(bytes));
  wipe(bytes);
  if (blob) {
    out.fd = std::move(*blob);
  } else {
    body.set_error("the backup cannot be handed over: " + describe(blob.error()));
  }
  if (out.fd.valid()) write_down("uid " + std::to_string(uid), "backup", "", "the unit", false);
  reply(std::move(out));
}

void ErasureService::restore_backup(ControlRequest request, ControlServer::Reply reply) {
  const auto refuse = [&reply](const std::string& why) {
    ControlAnswer out;
    out.message.mutable_backup_restored()->set_error(why);
    reply(std::move(out));
  };
  if (request.fds.size() != 1) return refuse("a backup comes as one descriptor");
  const auto blob = SealedBlob::open(std::move(request.fds[0]), kBackupBytesMax);
  erasure::Backup backup;
  if (!blob) return refuse("the backup cannot be read");
  if (const std::string why = read_backup(blob->bytes(), backup); !why.empty()) return refuse(why);
  if (const auto adopted = erasures_.adopt(backup.erasures()); !adopted)
    return refuse("erasures.bin cannot be written: " + describe(adopted.error()));
  const auto plan = std::make_shared<RestorePlan>(plan_restore(std::move(backup), erasures_.all()));
  adopt_numbers(*plan, world_.ids);
  CommitRequest commit{.text = plan->document,
                       .comment = request.message.restore_backup().comment(),
                       .author = "uid " + std::to_string(request.uid),
                       .confirm_seconds = 0,
                       .base_revision = 0,
                       .was_in_force = true};
  world_.committer.commit(std::move(commit), [this, plan, reply, uid = request.uid](const CommitAnswer& answer) {
    ControlAnswer out;
    auto& body = *out.message.mutable_backup_restored();
    body.set_revision(answer.revision);
    add_findings(*body.mutable_findings(), answer.findings, "the backup");
    body.set_error(answer.ok ? "" : answer.error);
    if (answer.ok) {
      world_.people().end_all_sessions();
      const auto kept = put_records(*plan, world_.store);
      const auto loaded = kept ? world_.people().load() : Result<void>(kept.error());
      if (!loaded) body.set_error("the configuration is in force, but accounts cannot be written: " + describe(loaded.error()));
      body.set_accounts(plan->accounts);
      for (const std::string& one : plan->left_out) body.add_left_out(one);
      write_down("uid " + std::to_string(uid), "restore", "", "revision " + std::to_string(answer.revision), false);
    }
    reply(std::move(out));
  });
}

}  // namespace sekisho::control
