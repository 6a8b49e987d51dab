// SPDX-License-Identifier: Apache-2.0
// Documents: of one tenant, as far as its people see and change it, and of the unit for the provider. Both are merged
// into the whole configuration in force and go the same way as a document that sekishoctl commits.
#include <algorithm>

#include "base/crypto/sha256.h"
#include "base/describe.h"
#include "base/limits.h"
#include "control/access/rfc3339.h"
#include "control/api/call.h"
#include "control/api/document_json.h"
#include "control/api/sealed_secrets.h"
#include "control/config/diff.h"
#include "control/config/text.h"
#include "control/erasure/purge.h"

namespace sekisho::control {
namespace {

constexpr std::uint64_t kSecondNs = 1'000'000'000;

May may_of(ApiWorld& world, const Call& call) {
  return [&world, who = call.who, tenant = call.tenant](api::Action action) {
    return world.people.may(who, action, tenant).allowed;
  };
}

/// Of the provider's document: what its role may for any tenant without asking it.
May may_of_platform(const Call& call) {
  return [role = call.who.role](api::Action action) {
    // Names of tenants are the provider's to give, whoever else may see them.
    return grant_of(role, action) == Grant::kYes ||
           (action == api::CONTRACT_VIEW && grant_of(role, api::BINDINGS_ASSIGN) == Grant::kYes);
  };
}

/// Whose part of the configuration a document is.
struct Scope {
  bool platform = false;
  int index = -1;  ///< of the tenant in the configuration
  std::string service_code;
  std::vector<std::string> names = {};  ///< of the tenant, before and after: differences call it so
};

/// Whether a path leads to what the provider sees: not into a tenant's own part.
bool is_of_provider(const std::string& path) {
  if (!path.starts_with("tenants[")) return true;
  const std::size_t field = path.find("].");
  if (field == std::string::npos) return true;
  const std::string name = path.substr(field + 2, path.find_first_of(".[", field + 2) - field - 2);
  const std::vector<std::string> parts = editable_parts([](api::Action action) {
    return grant_of(Role::kPlatform, action) == Grant::kYes || action == api::CONTRACT_VIEW;
  });
  return std::find(parts.begin(), parts.end(), name) != parts.end();
}

/// The path of a finding as its reader knows it; nothing for what is somebody else's.
std::optional<std::string> own_path(const Scope& scope, const std::string& path) {
  if (scope.platform && !is_of_provider(path)) return std::nullopt;
  if (scope.platform) return path.empty() ? "document" : "document." + path;
  const std::string own = "tenants[" + std::to_string(scope.index) + ']';
  if (path.starts_with(own)) return "document" + path.substr(own.size());
  return std::nullopt;
}

void add_findings(google::protobuf::RepeatedPtrField<api::Finding>& out, const Scope& scope,
                  const std::vector<Finding>& findings) {
  bool elsewhere = false;
  for (const Finding& finding : findings) {
    const bool error = finding.severity == Severity::kError;
    const auto path = own_path(scope, finding.path);
    if (!path && (!error || elsewhere)) continue;
    auto& one = *out.Add();
    one.set_severity(error ? "error" : "warning");
    one.set_path(path.value_or("document"));
    one.set_message(path             ? finding.sentence
                    : scope.platform ? "a tenant's own part of the configuration does not fit this"
                                     : "this does not fit what else is configured on the unit: ask the provider");
    elsewhere |= !path;
  }
  std::stable_sort(out.begin(), out.end(), [](const api::Finding& a, const api::Finding& b) {
    return a.severity() == "error" && b.severity() != "error";
  });
}

/// Changes as a tenant reads them: paths inside its own document.
void add_changes(google::protobuf::RepeatedPtrField<api::Change>& out, const Scope& scope,
                 const std::vector<Change>& changes) {
  constexpr std::array<const char*, 4> kKinds{"added", "removed", "changed", "moved"};
  const auto own_part = [&scope](const std::string& path) -> std::optional<std::string> {
    for (const std::string& name : scope.names) {
      const std::string own = "tenants[" + name + "].";
      if (path.starts_with(own)) return path.substr(own.size());
    }
    return std::nullopt;
  };
  for (const Change& change : changes) {
    const auto path = scope.platform ? std::optional(change.path) : own_part(change.path);
    if (!path) continue;
    auto& one = *out.Add();
    one.set_kind(kKinds.at(static_cast<std::size_t>(change.kind)));
    one.set_path(*path);
    one.set_before(change.before);
    one.set_after(change.after);
  }
}

void refuse_findings(const CallPtr& call, const Scope& scope, const std::vector<Finding>& findings,
                     const std::string& message) {
  api::Error error;
  add_findings(*error.mutable_findings(), scope, findings);
  const auto first = std::find_if(error.findings().begin(), error.findings().end(),
                                  [](const auto& one) { return one.severity() == "error"; });
  const bool any = first != error.findings().end();
  const Refusal refusal = invalid(any ? first->path() : "document", any ? first->message() : message);
  call->refuse(refusal, error);
}

/// What was sent, merged into the configuration in force.
struct Draft {
  Scope scope;
  model::Configuration whole;
  std::vector<Finding> findings;  ///< of reading it; with errors there is nothing in `whole`
};

std::optional<int> index_of(const model::Configuration& model, const std::string& service_code) {
  for (int i = 0; i < model.tenants_size(); ++i) {
    if (model.tenants(i).service_code() == service_code) return i;
  }
  return std::nullopt;
}

Refusal guard_own_source(const Call& call, const model::Tenant& before, const model::Tenant& after) {
  if (after.sign_in().sources_size() == 0 ||
      before.sign_in().SerializeAsString() == after.sign_in().SerializeAsString())
    return {};
  for (const auto& text : after.sign_in().sources()) {
    const auto prefix = parse_prefix(text);
    if (!prefix || prefix->contains(call.who.source)) return {};
  }
  return is_provider(call.who.role) ? Refusal()
                                    : invalid("document.sign_in.sources", "where you are now would be shut out");
}

/// Empty `refusal` and errors in `findings`: it could not be read.
Refusal make_tenant_draft(ApiWorld& world, const Call& call, model::Tenant sent, Draft& out) {
  const InForce now = world.in_force();
  const auto index = now.model == nullptr ? std::nullopt : index_of(*now.model, call.tenant);
  if (!index) return not_found();
  out.scope = {false, *index, call.tenant};
  if (sent.service_code() != call.tenant) return invalid("document.service_code", "this is another tenant's document");
  out.whole = *now.model;
  model::Tenant merged;
  if (Refusal refusal = merge_tenant(now.model->tenants(*index), std::move(sent), may_of(world, call), merged))
    return refusal;
  if (Refusal refusal = guard_own_source(call, now.model->tenants(*index), merged)) return refusal;
  out.scope.names = {now.model->tenants(*index).name(), merged.name()};
  *out.whole.mutable_tenants(*index) = std::move(merged);
  return {};
}

Refusal make_draft(ApiWorld& world, const Call& call, const google::protobuf::Struct& document, Draft& out) {
  const bool platform = call.tenant.empty();
  Decoded read = platform ? read_document(document) : read_tenant(document);
  // What only the whole configuration can say is said about the whole; here are names and types.
  std::erase_if(read.findings, [](const Finding& finding) { return finding.severity != Severity::kError; });
  if (has_errors(read.findings) || (!platform && read.model.tenants_size() != 1)) {
    out.findings = std::move(read.findings);
    for (Finding& finding : out.findings) {  // they speak of the document already
      constexpr std::string_view kDocument = "document";
      if (!finding.path.starts_with(kDocument)) finding.path = "";
    }
    return invalid("document", "the document cannot be read");
  }
  if (!platform) return make_tenant_draft(world, call, std::move(*read.model.mutable_tenants(0)), out);
  const InForce now = world.in_force();
  out.scope = {true, -1, ""};
  return merge_platform(now.model == nullptr ? model::Configuration() : *now.model, std::move(read.model),
                        may_of_platform(call), out.whole);
}

/// Refuses with the findings of reading beside it.
void refuse_draft(const CallPtr& call, const Refusal& refusal, const Draft& draft) {
  api::Error error;
  for (const Finding& finding : draft.findings) {
    auto& one = *error.add_findings();
    one.set_severity("error");
    one.set_path(finding.path);
    one.set_message(finding.sentence);
  }
  Refusal said = refusal;
  if (!draft.findings.empty()) {
    said.path = draft.findings[0].path;
    said.message = draft.findings[0].sentence;
  }
  call->refuse(said, error);
}

std::vector<Finding> judge(ApiWorld& world, const model::Configuration& whole) {
  Decoded decoded;
  decoded.model = whole;
  decoded.positions.finish();
  decoded.whole = true;
  return check_document(decoded, world.now(), [&world] {
    const InForce now = world.in_force();
    return now.model == nullptr ? model::Configuration() : *now.model;
  });
}

template <typename Reply>
void add_waiting(ApiWorld& world, const Call& call, Reply& out) {
  const auto running = world.store.running();
  if (!running || !*running || (*running)->confirmed) return;
  const auto scope = world.store.records(RecordKind::kRevisionScope);
  const std::string number = std::to_string((*running)->number);
  std::string whose;
  for (const auto& record : scope ? *scope : std::vector<Store::Record>()) {
    access::StoredRevisionScope one;
    if (record.key == number && one.ParseFromString(record.value)) whose = one.tenant();
  }
  if (whose != call.tenant) return;
  out.set_waiting_confirmation((*running)->number);
  out.mutable_roll_back_at()->set_seconds(static_cast<std::int64_t>((*running)->rollback_at_ns / kSecondNs));
}

/// The tenant's part of a kept revision.
std::optional<model::Tenant> part_of_revision(ApiWorld& world, std::uint32_t revision, const std::string& tenant) {
  const auto text = world.store.text(revision);
  if (!text) return std::nullopt;
  const Decoded decoded = decode_document(*text);
  const auto index = index_of(decoded.model, tenant);
  return index ? std::optional(decoded.model.tenants(*index)) : std::nullopt;
}

/// The tenant's part: what is in force, or, after the contract's end, what was.
model::Tenant readable_part(ApiWorld& world, const std::string& tenant) {
  if (world.erasures->ended(tenant) != nullptr) {
    auto kept = ended_document(world.store, tenant);
    if (kept && *kept) return std::move(**kept);
  }
  return *world.in_force().tenant(tenant);
}

/// After its end a contract is read alone.
Refusal judge_end(const ApiWorld& world, const Call& call) {
  if (call.tenant.empty() || world.erasures->ended(call.tenant) == nullptr) return {};
  return conflict("the contract has ended: its settings are kept for reading alone");
}

void get_config(const CallPtr& call, ApiWorld& world) {
  const std::uint32_t asked = call->request<api::GetConfigRequest>().revision();
  const InForce now = world.in_force();
  const bool current = asked == 0 || asked == now.revision;
  const auto old = current ? std::nullopt : part_of_revision(world, asked, call->tenant);
  if (!current && !old) return call->refuse(not_found());
  const May may = may_of(world, *call);
  api::Config out;
  out.set_revision(current ? now.revision : asked);
  *out.mutable_document() = to_struct(visible_part(current ? readable_part(world, call->tenant) : *old, may));
  for (auto& part : editable_parts(may)) out.add_editable(std::move(part));
  add_waiting(world, *call, out);
  call->reply(out, out.revision());
}

void get_platform_config(const CallPtr& call, ApiWorld& world) {
  const InForce now = world.in_force();
  api::Config out;
  out.set_revision(now.revision);
  if (now.model != nullptr) *out.mutable_document() = to_struct(platform_part(*now.model, may_of_platform(*call)));
  if (grant_of(call->who.role, api::PLATFORM_EDIT) == Grant::kYes) {
    for (const char* part : {"node", "nics", "uplinks", "guards", "sign_in", "notify", "responders", "log_exports", "tenants"})
      out.add_editable(part);
  }
  add_waiting(world, *call, out);
  call->reply(out, out.revision());
}

void check(const CallPtr& call, ApiWorld& world, const google::protobuf::Struct& document) {
  Draft draft;
  if (Refusal refusal = make_draft(world, *call, document, draft)) {
    if (draft.findings.empty()) return call->refuse(refusal);
    return refuse_draft(call, refusal, draft);
  }
  const std::vector<Finding> findings = judge(world, draft.whole);
  api::CheckReply out;
  out.set_ok(!has_errors(findings));
  add_findings(*out.mutable_findings(), draft.scope, findings);
  const InForce now = world.in_force();
  if (out.ok())
    add_changes(*out.mutable_changes(), draft.scope,
                diff_models(now.model == nullptr ? model::Configuration() : *now.model, draft.whole));
  call->reply(out);
}

std::string text_of(const model::Tenant& tenant) {
  model::Configuration holder;
  *holder.add_tenants() = tenant;
  return encode_document(holder);
}

/// Whether a document made from `revision` may still be put in force: nobody changed what it speaks of since.
Refusal check_base(ApiWorld& world, const Call& call) {
  const std::uint32_t base = call.asked().if_match();
  const InForce now = world.in_force();
  if (base == now.revision && base != 0) return {};
  const Refusal stale{
      412, "precondition",
      base == 0 ? "say with If-Match which revision the document was made from" : "somebody changed it in between"};
  if (base == 0) return now.revision == 0 ? Refusal() : stale;
  if (call.tenant.empty()) return stale;
  const auto then = part_of_revision(world, base, call.tenant);
  const auto* current = now.tenant(call.tenant);
  return then && current != nullptr && text_of(*then) == text_of(*current) ? Refusal() : stale;
}

/// What two people let happen is what one of them saw.
Refusal check_approved(ApiWorld& world, const Call& call) {
  return call.approved_by.empty() ? Refusal() : check_base(world, call);
}

CommitRequest commit_request(ApiWorld& world, const Call& call, const std::string& comment,
                             std::uint32_t confirm_seconds) {
  return {.text = {},
          .comment = comment,
          .author = call.who.account,
          .confirm_seconds = confirm_seconds,
          .base_revision = world.in_force().revision};
}

Committer::Done commit_done(const CallPtr& call, ApiWorld& world, const Scope& scope) {
  return [call, &world, scope](const CommitAnswer& answer) {
    call->may_have_changed = !answer.ok && answer.revision != 0;
    if (!answer.ok && has_errors(answer.findings)) return refuse_findings(call, scope, answer.findings, answer.error);
    if (!answer.ok) {
      const bool absent = answer.error.find("data plane is not there") != std::string::npos;
      return call->refuse(absent ? unavailable(answer.error) : conflict(answer.error));
    }
    access::StoredRevisionScope stored;
    stored.set_tenant(scope.service_code);
    stored.set_author(call->who.account);
    (void)world.store.put(RecordKind::kRevisionScope, std::to_string(answer.revision), stored.SerializeAsString());
    constexpr std::uint32_t kKept = 2 * limits::kRevisionsKeptMax;
    if (answer.revision > kKept) (void)world.store.remove(RecordKind::kRevisionScope, std::to_string(answer.revision - kKept));
    call->about = "revision " + std::to_string(answer.revision);
    api::CommitReply out;
    out.set_revision(answer.revision);
    out.set_confirm_seconds(answer.confirm_seconds);
    add_findings(*out.mutable_findings(), scope, answer.findings);
    constexpr double kMicrosecondsInMillisecond = 1000;
    out.set_milliseconds(
        static_cast<double>(answer.compile_microseconds + answer.build_microseconds + answer.swap_microseconds) /
        kMicrosecondsInMillisecond);
    call->reply(out, answer.revision);
  };
}

void put_in_force(const CallPtr& call, ApiWorld& world, Draft draft, const std::string& comment,
                  std::uint32_t confirm_seconds) {
  CommitRequest request = commit_request(world, *call, comment, confirm_seconds);
  request.text = encode_document(draft.whole);
  world.committer.commit(std::move(request), commit_done(call, world, draft.scope));
}

template <typename Request>
void commit(const CallPtr& call, ApiWorld& world) {
  const auto& request = call->request<Request>();
  if (Refusal refusal = judge_end(world, *call)) return call->refuse(refusal);
  if (Refusal refusal = check_base(world, *call)) return call->refuse(refusal);
  Draft draft;
  if (Refusal refusal = make_draft(world, *call, request.document(), draft)) return refuse_draft(call, refusal, draft);
  put_in_force(call, world, std::move(draft), request.comment(), request.confirm_seconds());
}

void confirm(const CallPtr& call, ApiWorld& world, std::uint32_t revision) {
  api::Config waiting;
  add_waiting(world, *call, waiting);
  if (waiting.waiting_confirmation() == 0) return call->refuse(conflict("nothing of yours waits for its confirmation"));
  if (revision != waiting.waiting_confirmation())
    return call->refuse(conflict("another revision waits for its confirmation"));
  const CommitAnswer answer = world.committer.confirm(revision);
  if (!answer.ok) return call->refuse(conflict(answer.error));
  call->about = "revision " + std::to_string(revision);
  api::CommitReply out;
  out.set_revision(answer.revision);
  call->reply(out, answer.revision);
}

void roll_back(const CallPtr& call, ApiWorld& world) {
  const auto& request = call->request<api::RollBackRequest>();
  if (Refusal refusal = judge_end(world, *call)) return call->refuse(refusal);
  if (Refusal refusal = check_approved(world, *call)) return call->refuse(refusal);
  api::Config waiting;
  add_waiting(world, *call, waiting);
  if (waiting.waiting_confirmation() != 0) {  // nobody else can have changed anything meanwhile: back to what was there
    const auto before = world.store.last_confirmed();
    if (!before || !*before) return call->refuse(not_found());
    CommitRequest back = commit_request(world, *call, request.comment(), 0);
    back.base_revision = 0;
    const auto index = index_of(*world.in_force().model, call->tenant);
    return world.committer.rollback((*before)->number, std::move(back),
                                    commit_done(call, world, {false, *index, call->tenant}));
  }
  const auto old = part_of_revision(world, request.revision(), call->tenant);
  if (!old) return call->refuse(not_found());
  Draft draft;
  const May may = may_of(world, *call);
  // What the role may not change stays as it is now.
  const InForce now = world.in_force();
  model::Tenant wanted = *now.tenant(call->tenant);
  model::Tenant source = *old;
  for (const std::string& part : editable_parts(may)) {
    wanted.GetReflection()->SwapFields(&wanted, &source, {model::Tenant::descriptor()->FindFieldByName(part)});
  }
  draft.whole = *now.model;
  draft.scope = {false, *index_of(draft.whole, call->tenant), call->tenant};
  if (Refusal refusal = guard_own_source(*call, *now.tenant(call->tenant), wanted)) return call->refuse(refusal);
  *draft.whole.mutable_tenants(draft.scope.index) = std::move(wanted);
  put_in_force(call, world, std::move(draft), request.comment(), request.confirm_seconds());
}

constexpr std::size_t kPassphraseCharactersMin = 12;

Refusal too_many_documents() {
  return {429, "too_many", "too many exports and imports at once: wait a little", {}, 10};
}

void export_config(const CallPtr& call, ApiWorld& world) {
  const std::string& passphrase = call->request<api::ExportRequest>().passphrase();
  if (!passphrase.empty() && count_characters(passphrase) < kPassphraseCharactersMin) {
    return call->refuse(invalid("passphrase", "a passphrase has at least 12 characters"));
  }
  const InForce now = world.in_force();
  const auto holder = std::make_shared<model::Configuration>();
  *holder->add_tenants() = readable_part(world, call->tenant);
  call->about = "revision " + std::to_string(now.revision);
  const auto answer = [call, holder, revision = now.revision] {
    api::File out;
    out.set_file_name(call->tenant + ".yaml");
    out.set_media_type("application/yaml");
    out.set_text(encode_document(*holder));
    call->reply(out, revision);
  };
  if (passphrase.empty()) {
    mask_secrets(*holder);
    return answer();
  }
  const auto sealed = std::make_shared<bool>(false);
  const bool taken = world.elsewhere(
      [holder, sealed, passphrase, whose = call->tenant] { *sealed = seal_secrets(*holder, passphrase, whose); },
      [call, sealed, answer] {
        if (!*sealed) return call->refuse(unavailable("there is not enough memory"));
        answer();
      });
  if (!taken) call->refuse(too_many_documents());
}

void put_import_in_force(const CallPtr& call, ApiWorld& world, model::Tenant sent) {
  const auto& request = call->request<api::ImportRequest>();
  const InForce running = world.in_force();
  if (running.tenant(call->tenant) == nullptr) return call->refuse(not_found());  // gone meanwhile
  if (Refusal refusal = check_approved(world, *call)) return call->refuse(refusal);
  const std::vector<std::string> editable = editable_parts(may_of(world, *call));
  model::Tenant now = *running.tenant(call->tenant);
  for (int i = 0; i < model::Tenant::descriptor()->field_count(); ++i) {
    const auto* field = model::Tenant::descriptor()->field(i);
    if (field->name() != "service_code" &&
        std::find(editable.begin(), editable.end(), field->name()) == editable.end()) {
      sent.GetReflection()->SwapFields(&sent, &now, {field});
    }
  }
  Draft draft;
  if (Refusal refusal = make_tenant_draft(world, *call, std::move(sent), draft)) return call->refuse(refusal);
  put_in_force(call, world, std::move(draft), request.comment(), request.confirm_seconds());
}

void import_config(const CallPtr& call, ApiWorld& world) {
  const auto& request = call->request<api::ImportRequest>();
  if (Refusal refusal = judge_end(world, *call)) return call->refuse(refusal);
  Decoded read = decode_document(request.text());
  if (has_errors(read.findings) || read.model.tenants_size() != 1) {
    return call->refuse(
        invalid("text", read.findings.empty() ? "this is no exported document" : read.findings[0].sentence));
  }
  const auto sent = std::make_shared<model::Tenant>(std::move(*read.model.mutable_tenants(0)));
  const auto opened = std::make_shared<bool>(false);
  const bool taken = world.elsewhere(
      [sent, opened, passphrase = request.passphrase(), whose = call->tenant] {
        *opened = unseal_secrets(*sent, passphrase, whose);
      },
      [call, &world, sent, opened] {
        if (*opened) return put_import_in_force(call, world, std::move(*sent));
        call->refuse(invalid("passphrase",
                             "the secrets cannot be opened: another passphrase, another tenant's export, or it was "
                             "changed"));
      });
  if (!taken) call->refuse(too_many_documents());
}

/// What a tenant's part of a revision is, in a few bytes: two that mean the same have the same. Reading a document costs time, so one call
/// reads few of them; what was read is remembered.
class Digests {
 public:
  explicit Digests(ApiWorld& world) : world_(world) {}
  std::optional<std::string> of(std::uint32_t revision, const std::string& tenant) {
    const auto key = std::pair(revision, tenant);
    if (const auto at = known().find(key); at != known().end()) return at->second;
    constexpr std::size_t kBytesOfCallMax = 4U << 20;
    const auto text = world_.store.text(revision);
    if (!text || read_ + text->size() > kBytesOfCallMax) return std::nullopt;
    read_ += text->size();
    const Decoded decoded = decode_document(*text);
    constexpr std::size_t kKnownMax = 20'000;
    if (known().size() > kKnownMax) known().clear();
    for (const auto& one : decoded.model.tenants()) {
      const std::string part = text_of(one);
      const Sha256Digest digest = sha256({reinterpret_cast<const std::uint8_t*>(part.data()), part.size()});
      known()[{revision, one.service_code()}] = std::string(digest.begin(), digest.end());
    }
    return known().try_emplace(key, "").first->second;
  }

 private:
  std::map<std::pair<std::uint32_t, std::string>, std::string>& known() { return world_.digests; }
  ApiWorld& world_;
  std::size_t read_ = 0;
};

/// The tenant's own revisions, and those of others that made its part another one: of these neither who nor why.
void list_revisions(const CallPtr& call, ApiWorld& world) {
  const auto revisions = world.store.list(0xffffU);
  const auto scopes = world.store.records(RecordKind::kRevisionScope);
  if (!revisions || !scopes) return call->refuse(unavailable("the store cannot be read"));
  std::map<std::string, std::string> tenants;
  for (const auto& record : *scopes) {
    access::StoredRevisionScope one;
    if (one.ParseFromString(record.value)) tenants[record.key] = one.tenant();
  }
  const std::uint32_t limit = call->request<api::RevisionsRequest>().limit();
  Digests digests(world);
  api::RevisionList out;
  out.set_running(world.in_force().revision);
  for (std::size_t i = 0; i < revisions->size(); ++i) {
    const RevisionInfo& info = (*revisions)[i];
    if (limit != 0 && out.revisions_size() >= static_cast<int>(limit)) break;
    const auto at = tenants.find(std::to_string(info.number));
    const bool own = at != tenants.end() && at->second == call->tenant;
    if (!own) {
      const auto part = digests.of(info.number, call->tenant);
      const auto before = i + 1 < revisions->size() ? digests.of((*revisions)[i + 1].number, call->tenant) : std::optional<std::string>("");
      if (!part || !before || part->empty() || *part == *before) continue;
    }
    auto& one = *out.add_revisions();
    one.set_number(info.number);
    one.set_state(to_text(info.state));
    one.mutable_created()->set_seconds(static_cast<std::int64_t>(info.created_ns / kSecondNs));
    if (!own) continue;
    one.set_comment(info.comment);
    one.set_author(info.author);
    one.set_copied_from(info.copied_from);
  }
  add_waiting(world, *call, out);
  call->reply(out);
}

void diff_revisions(const CallPtr& call, ApiWorld& world) {
  const auto& request = call->request<api::DiffRequest>();
  const InForce now = world.in_force();
  const auto from = part_of_revision(world, request.from(), call->tenant);
  const auto to = request.to() == 0 ? std::optional(*now.tenant(call->tenant))
                                    : part_of_revision(world, request.to(), call->tenant);
  if (!from || !to) return call->refuse(not_found());
  const May may = may_of(world, *call);
  model::Configuration before;
  model::Configuration after;
  *before.add_tenants() = visible_part(*from, may);
  *after.add_tenants() = visible_part(*to, may);
  api::DiffReply out;
  add_changes(*out.mutable_changes(), {false, 0, call->tenant, {from->name(), to->name()}}, diff_models(before, after));
  call->reply(out);
}

/// Lines for a second person, and which parts they speak of.
void add_preview(ApiWorld& world, const Draft& draft, Preview& out) {
  const InForce now = world.in_force();
  google::protobuf::RepeatedPtrField<api::Change> changes;
  add_changes(changes, draft.scope, diff_models(now.model == nullptr ? model::Configuration() : *now.model, draft.whole));
  constexpr int kLinesMax = 200;
  constexpr std::size_t kSideCharactersMax = 120;
  for (int i = 0; i < changes.size(); ++i) {
    const api::Change& one = changes[i];
    if (!draft.scope.platform) {
      const auto action = action_to_change(std::string_view(one.path()).substr(0, one.path().find_first_of(".[")));
      if (action && std::find(out.actions.begin(), out.actions.end(), *action) == out.actions.end())
        out.actions.push_back(*action);
    }
    if (i == kLinesMax) out.changes.push_back("and " + std::to_string(changes.size() - i) + " more");
    if (i >= kLinesMax) continue;
    std::string line = one.kind() + ' ' + one.path();
    if (!one.before().empty()) line += ": " + std::string(cut_characters(one.before(), kSideCharactersMax));
    if (!one.after().empty())
      line += (one.before().empty() ? ": " : " -> ") + std::string(cut_characters(one.after(), kSideCharactersMax));
    out.changes.push_back(std::move(line));
  }
}

Refusal preview_document(const Call& call, ApiWorld& world, const google::protobuf::Struct& document, Preview& out) {
  if (Refusal refusal = check_base(world, call)) return refusal;
  Draft draft;
  if (Refusal refusal = make_draft(world, call, document, draft)) return refusal;
  for (const Finding& finding : judge(world, draft.whole)) {
    if (finding.severity != Severity::kError) continue;
    const auto path = own_path(draft.scope, finding.path);
    return invalid(path.value_or("document"), path ? finding.sentence : "this does not fit what else is configured on the unit");
  }
  add_preview(world, draft, out);
  return {};
}

/// `wanted` in the tenant's place, as far as the role may change it.
Refusal preview_tenant(const Call& call, ApiWorld& world, model::Tenant wanted, Preview& out) {
  const InForce now = world.in_force();
  const auto* running = now.tenant(call.tenant);
  const auto index = now.model == nullptr ? std::nullopt : index_of(*now.model, call.tenant);
  if (running == nullptr || !index) return not_found();
  Draft draft;
  draft.whole = *now.model;
  draft.scope = {false, *index, call.tenant, {running->name()}};
  model::Tenant& part = *draft.whole.mutable_tenants(*index);
  for (const std::string& name : editable_parts(may_of(world, call)))
    part.GetReflection()->SwapFields(&part, &wanted, {model::Tenant::descriptor()->FindFieldByName(name)});
  draft.scope.names.push_back(part.name());
  add_preview(world, draft, out);
  return {};
}

}  // namespace

Refusal preview(const Call& call, ApiWorld& world, Preview& out) {
  const std::string& method = call.method().name();
  if (method == "CommitConfig") return preview_document(call, world, call.request<api::CommitRequest>().document(), out);
  if (method == "CommitPlatformConfig")
    return preview_document(call, world, call.request<api::PlatformCommitRequest>().document(), out);
  if (method == "RollBack") {
    api::Config waiting;
    add_waiting(world, call, waiting);
    out.undoes = waiting.waiting_confirmation() != 0;
    if (out.undoes) return {};
    auto old = part_of_revision(world, call.request<api::RollBackRequest>().revision(), call.tenant);
    return old ? preview_tenant(call, world, std::move(*old), out) : not_found();
  }
  if (method == "ImportConfig") {
    Decoded read = decode_document(call.request<api::ImportRequest>().text());
    if (has_errors(read.findings) || read.model.tenants_size() != 1)
      return invalid("text", read.findings.empty() ? "this is no exported document" : read.findings[0].sentence);
    return preview_tenant(call, world, std::move(*read.model.mutable_tenants(0)), out);  // secrets: sealed ones, another text
  }
  return {};
}

void change_tenant(const CallPtr& call, ApiWorld& world, const std::string& comment, const std::function<Refusal(model::Tenant&)>& change) {
  if (Refusal refusal = judge_end(world, *call)) return call->refuse(refusal);
  const InForce now = world.in_force();
  const auto index = now.model == nullptr ? std::nullopt : index_of(*now.model, call->tenant);
  if (!index) return call->refuse(not_found());
  Draft draft;
  draft.whole = *now.model;
  model::Tenant& part = *draft.whole.mutable_tenants(*index);
  draft.scope = {false, *index, call->tenant, {part.name()}};
  if (Refusal refusal = change(part)) return call->refuse(refusal);
  put_in_force(call, world, std::move(draft), comment, 0);
}

void add_config_methods(Handlers& out, ApiWorld& world) {
  out["GetConfig"] = [&world](const CallPtr& call) { get_config(call, world); };
  out["CheckConfig"] = [&world](const CallPtr& call) {
    check(call, world, call->request<api::CheckRequest>().document());
  };
  out["CommitConfig"] = [&world](const CallPtr& call) { commit<api::CommitRequest>(call, world); };
  out["ConfirmCommit"] = [&world](const CallPtr& call) {
    confirm(call, world, call->request<api::ConfirmRequest>().revision());
  };
  out["RollBack"] = [&world](const CallPtr& call) { roll_back(call, world); };
  out["ListRevisions"] = [&world](const CallPtr& call) { list_revisions(call, world); };
  out["DiffRevisions"] = [&world](const CallPtr& call) { diff_revisions(call, world); };
  out["ExportConfig"] = [&world](const CallPtr& call) { export_config(call, world); };
  out["ImportConfig"] = [&world](const CallPtr& call) { import_config(call, world); };
  out["GetPlatformConfig"] = [&world](const CallPtr& call) { get_platform_config(call, world); };
  out["CheckPlatformConfig"] = [&world](const CallPtr& call) {
    check(call, world, call->request<api::PlatformCheckRequest>().document());
  };
  out["CommitPlatformConfig"] = [&world](const CallPtr& call) { commit<api::PlatformCommitRequest>(call, world); };
  out["ConfirmPlatformCommit"] = [&world](const CallPtr& call) {
    confirm(call, world, call->request<api::ConfirmPlatformRequest>().revision());
  };
}

}  // namespace sekisho::control
