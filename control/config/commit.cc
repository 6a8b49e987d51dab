// SPDX-License-Identifier: Apache-2.0
#include "control/config/commit.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/describe.h"
#include "base/os/durable_file.h"
#include "base/os/fd.h"
#include "control/compile/compiler.h"
#include "control/config/exceptions.h"
#include "control/config/validate.h"
#include "filters/policy/snapshot.h"

namespace sekisho::control {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kRollbackRetry = 5 * kSecond;
constexpr std::uint32_t kConfirmSecondsMax = 7 * 24 * 3600;
constexpr std::size_t kCommentCharactersMax = 256;
constexpr std::string_view kNothing = "{}\n";  // passes nothing: what there was before the first revision

using Outcome = SnapshotSink::Outcome;

/// 0 when there is no sound header.
std::uint32_t generation_of_file(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  filters::snapshot::Header header{};
  if (!file.valid() || ::read(file.get(), &header, sizeof(header)) != static_cast<ssize_t>(sizeof(header))) return 0;
  return header.magic == filters::snapshot::kMagic && header.version == filters::snapshot::kVersion ? header.generation : 0;
}

std::string number_text(std::uint32_t number) { return "revision " + std::to_string(number); }

std::uint64_t microseconds_since(std::chrono::steady_clock::time_point start) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - start).count());
}

void add(std::vector<Finding>& findings, const std::vector<Finding>& more) { findings.insert(findings.end(), more.begin(), more.end()); }

}  // namespace

std::vector<Finding> check_document(const Decoded& decoded, std::int64_t now, const std::function<model::Configuration()>& running) {
  std::vector<Finding> findings = validate(decoded);
  add(findings, check_exceptions(decoded, running, now));
  if (has_errors(findings)) return findings;
  Ids scratch;
  const Compiled compiled = compile(decoded.model, decoded.positions, scratch, 1, now);
  add(findings, compiled.findings);
  if (!compiled.snapshot.empty()) add(findings, remark_on_rules(decoded.model, decoded.positions, compiled));
  return findings;
}

Committer::Committer(Store& store, Ids& ids, SnapshotSink& sink, Environment environment)
    : store_(store), ids_(ids), sink_(sink), environment_(std::move(environment)) {}

void Committer::step(Step step) const {
  if (environment_.at_step) environment_.at_step(step);
}

void Committer::start() {
  const auto confirmed = store_.last_confirmed();
  if (!confirmed) return complain("the store cannot be read: " + describe(confirmed.error()));
  if (!*confirmed || generation_of_file(environment_.snapshot_path) == (*confirmed)->number) return;
  if (const auto fresh = recompile((*confirmed)->number)) write_snapshot(fresh->snapshot);
}

void Committer::commit(CommitRequest request, Done done) { begin(std::move(request), Origin::kDocument, 0, std::move(done)); }

void Committer::rollback(std::uint32_t revision, CommitRequest request, Done done) {
  auto info = store_.find(revision);
  auto text = store_.text(revision);
  if (!info || !*info || !text) {
    CommitAnswer answer;
    answer.error = number_text(revision) + " is not kept";
    return done(std::move(answer));
  }
  if ((*info)->state == RevisionState::kFailed || (*info)->state == RevisionState::kPending) {
    CommitAnswer answer;
    answer.error = number_text(revision) + " was never in force";
    return done(std::move(answer));
  }
  request.text = std::move(*text);
  begin(std::move(request), Origin::kRollback, revision, std::move(done));
}

std::string Committer::why_not(const CommitRequest& request, Origin origin) {
  if (busy_) return "another commit is under way";
  const auto pending = store_.pending();
  const auto running = store_.running();
  if (!pending || !running) return "the store cannot be read: " + describe(pending ? running.error() : pending.error());
  if (*pending) return number_text((*pending)->number) + " waits for the data plane to say whether it is in force";
  if (request.base_revision != 0 && (!*running || (*running)->number != request.base_revision)) {
    return "the running revision is " + std::to_string(*running ? (*running)->number : 0) + ", not " +
           std::to_string(request.base_revision) + ": somebody committed in between";
  }
  // A rollback is also the answer to a revision that waits; anything else would hide what is to be confirmed.
  if (origin == Origin::kDocument && *running && !(*running)->confirmed) {
    return number_text((*running)->number) + " waits for confirmation: confirm it or roll back first";
  }
  if (origin == Origin::kDocument && environment_.refuse) {
    if (std::string why = environment_.refuse(request); !why.empty()) return why;
  }
  if (request.confirm_seconds > kConfirmSecondsMax) return "a commit waits at most seven days for its confirmation";
  if (find_bad_text(request.comment) != std::string::npos || count_characters(request.comment) > kCommentCharactersMax) {
    return "a comment is at most 256 characters of text";
  }
  return {};
}

void Committer::begin(CommitRequest request, Origin origin, std::uint32_t copied_from, Done done) {
  Draft draft;
  draft.origin = origin;
  draft.was_in_force = request.was_in_force;
  draft.done = std::move(done);
  draft.answer.error = why_not(request, origin);
  if (!draft.answer.error.empty()) return draft.done(std::move(draft.answer));
  const auto next = store_.next_number();
  if (!next) {
    draft.answer.error = "the store cannot be read: " + describe(next.error());
    return draft.done(std::move(draft.answer));
  }
  draft.info.number = std::max(*next, generation_floor_ + 1);
  draft.info.created_ns = environment_.now_ns();
  draft.info.copied_from = copied_from;
  draft.info.comment = std::move(request.comment);
  draft.info.author = std::move(request.author);
  draft.answer.confirm_seconds = request.confirm_seconds;
  if (request.confirm_seconds != 0) draft.info.rollback_at_ns = draft.info.created_ns + request.confirm_seconds * kSecond;
  draft.text = std::move(request.text);
  if (!compile_into(draft)) return draft.done(std::move(draft.answer));
  if (!sink_.connected()) {
    draft.answer.error = "the data plane is not there: nothing was changed";
    return draft.done(std::move(draft.answer));
  }
  store_and_send(std::move(draft));
}

/// Empty when nothing runs, or nothing can be read.
model::Configuration Committer::running_model() {
  const auto running = store_.running();
  if (!running || !*running) return {};
  const auto text = store_.text((*running)->number);
  return text ? decode_document(*text).model : model::Configuration();
}

bool Committer::compile_into(Draft& draft) {
  const auto start = std::chrono::steady_clock::now();
  Decoded decoded = decode_document(draft.text);
  if (!has_errors(decoded.findings) && environment_.amend) {
    draft.answer.error = environment_.amend(decoded.model);
    // Going back is no wish to have it again; a document is.
    if (!draft.answer.error.empty() && draft.origin == Origin::kDocument) return false;
    if (!draft.answer.error.empty()) draft.text = encode_document(decoded.model);
    draft.answer.error.clear();
  }
  draft.answer.findings = validate(decoded);
  // Going back must always do: what an old document still calls an exception lets in nobody when it has ended.
  const auto before = [this, &draft, &decoded] { return draft.was_in_force ? decoded.model : running_model(); };
  if (draft.origin == Origin::kDocument) add(draft.answer.findings, check_exceptions(decoded, before, now()));
  if (!has_errors(draft.answer.findings)) {
    Compiled compiled = compile(decoded.model, decoded.positions, ids_, draft.info.number, now());
    add(draft.answer.findings, compiled.findings);
    if (!compiled.snapshot.empty()) add(draft.answer.findings, remark_on_rules(decoded.model, decoded.positions, compiled));
    draft.snapshot = std::move(compiled.snapshot);
    draft.moment = compiled.moment;
    draft.moments = Moments(decoded.model);
  }
  draft.answer.compile_microseconds = microseconds_since(start);
  if (!draft.snapshot.empty()) return true;
  draft.answer.error = "the document has errors";
  return false;
}

void Committer::store_and_send(Draft draft) {
  // From here on a crash is a question, and this row its answer: the number to compare, and when to go back.
  if (const auto stored = store_.add_pending(draft.info, draft.text, ids_); !stored) {
    draft.answer.error = "the revision cannot be stored: " + describe(stored.error());
    return draft.done(std::move(draft.answer));
  }
  step(Step::kStored);
  busy_ = true;
  const std::uint32_t number = draft.info.number;
  const std::vector<std::uint8_t> snapshot = draft.snapshot;
  sink_.apply(number, snapshot, [this, held = std::move(draft)](const Outcome& outcome) mutable {
    busy_ = false;
    finish(std::move(held), outcome);
  });
}

void Committer::finish(Draft draft, const Outcome& outcome) {
  draft.answer.revision = draft.info.number;
  draft.answer.build_microseconds = outcome.build_microseconds;
  draft.answer.swap_microseconds = outcome.swap_microseconds;
  switch (outcome.kind) {
    case Outcome::Kind::kApplied:
      step(Step::kApplied);
      in_force_ = {draft.info.number, draft.moment};
      moments_ = draft.moments;
      moments_of_ = draft.info.number;
      draft.answer.ok = make_running(draft);
      if (!draft.answer.ok) draft.answer.error = "in force, but the store cannot be written";
      break;
    case Outcome::Kind::kRejected:
      if (const auto failed = store_.mark_failed(draft.info.number); !failed) complain("store: " + describe(failed.error()));
      draft.answer.error = "the data plane rejected it, the former revision is in force: " + outcome.reason;
      break;
    case Outcome::Kind::kLost:
      draft.answer.error = "the data plane did not answer (" + outcome.reason + "): " + number_text(draft.info.number) +
                           " stays pending until it says what is in force";
      break;
  }
  draft.done(std::move(draft.answer));
}

bool Committer::make_running(const Draft& draft) {
  if (const auto marked = store_.mark_running(draft.info.number); !marked) {
    complain("store: " + describe(marked.error()));
    return false;
  }
  step(Step::kMarked);
  if (draft.info.rollback_at_ns == 0) write_snapshot(draft.snapshot);
  step(Step::kWritten);
  return true;
}

bool Committer::write_snapshot(std::span<const std::uint8_t> snapshot) {
  if (replace_durably(environment_.snapshot_path, snapshot, 0640)) return true;
  complain("cannot write " + environment_.snapshot_path + ": " + std::strerror(errno));
  return false;
}

std::optional<Committer::Recompiled> Committer::recompile(std::uint32_t number) {
  const auto text = store_.text(number);
  if (!text) {
    complain(number_text(number) + " cannot be read: " + describe(text.error()));
    return std::nullopt;
  }
  Decoded decoded = decode_document(*text);
  if (environment_.amend) (void)environment_.amend(decoded.model);
  std::vector<Finding> findings = validate(decoded);
  if (!has_errors(findings)) {
    Compiled compiled = compile(decoded.model, decoded.positions, ids_, number, now());
    if (!compiled.snapshot.empty()) return Recompiled{std::move(compiled.snapshot), compiled.moment, Moments(decoded.model)};
    findings = std::move(compiled.findings);
  }
  for (const auto& finding : findings) complain(to_line(number_text(number), finding));
  return std::nullopt;
}

CommitAnswer Committer::confirm(std::uint32_t revision) {
  CommitAnswer answer;
  const auto running = store_.running();
  if (!running || !*running || (*running)->confirmed) {
    answer.error = "no revision waits for confirmation";
    return answer;
  }
  const RevisionInfo& info = **running;
  answer.revision = info.number;
  if (busy_) answer.error = "another commit is under way";
  if (revision != 0 && revision != info.number) answer.error = number_text(info.number) + " waits, not " + std::to_string(revision);
  if (environment_.now_ns() >= info.rollback_at_ns) answer.error = "the time to confirm is over: it is being rolled back";
  if (!answer.error.empty()) return answer;
  const auto fresh = recompile(info.number);
  const auto confirmed = store_.mark_confirmed(info.number);
  answer.ok = confirmed.has_value();
  if (!answer.ok) answer.error = "the store cannot be written: " + describe(confirmed.error());
  if (answer.ok && fresh) write_snapshot(fresh->snapshot);
  return answer;
}

void Committer::connected(std::uint32_t generation, std::int64_t moment) {
  in_force_ = {generation, moment};
  generation_floor_ = std::max(generation_floor_, generation);
  settle_pending(generation);
  tick();
  if (!busy_) reapply(generation);
}

/// A revision nobody saw applied: what is in force decides.
void Committer::settle_pending(std::uint32_t generation) {
  const auto pending = store_.pending();
  if (!pending || !*pending || busy_) return;
  Draft draft;
  draft.info = **pending;
  if (draft.info.number != generation) {
    complain(number_text(draft.info.number) + " never came into force");
    if (const auto failed = store_.mark_failed(draft.info.number); !failed) complain("store: " + describe(failed.error()));
    return;
  }
  if (auto fresh = recompile(draft.info.number)) draft.snapshot = std::move(fresh->snapshot);
  complain(number_text(draft.info.number) + " is in force");
  make_running(draft);
}

void Committer::reapply(std::uint32_t generation) {
  const auto running = store_.running();
  if (!running || !*running || (*running)->number == generation) return;
  const std::uint32_t number = (*running)->number;
  complain("the data plane is at generation " + std::to_string(generation) + ", the running revision is " + std::to_string(number));
  const auto report = [this](const std::string& reason) {
    if (!reason.empty()) complain("re-applying failed: " + reason);
  };
  if (generation > number) {  // generations only rise: the same content gets a new number
    const auto confirmed = store_.last_confirmed();
    if (!confirmed || !*confirmed) return;
    CommitRequest request;
    request.comment = "re-applied: the data plane was at generation " + std::to_string(generation);
    request.author = "controld";
    return rollback((*confirmed)->number, std::move(request), [report](const CommitAnswer& answer) { report(answer.error); });
  }
  const auto fresh = recompile(number);
  if (!fresh) return;
  busy_ = true;
  sink_.apply(number, fresh->snapshot, [this, report, number, moment = fresh->moment](const Outcome& outcome) {
    busy_ = false;
    if (outcome.kind == Outcome::Kind::kApplied) in_force_ = {number, moment};
    report(outcome.kind == Outcome::Kind::kApplied ? "" : outcome.reason);
  });
}

void Committer::tick() {
  roll_back_in_time();
  keep_time();
}

/// Schedules and expiries: when the clock has passed one, forward or backward, the same revision is compiled as of now and
/// sent under its own number.
void Committer::keep_time() {
  if (busy_ || !sink_.connected() || environment_.now_ns() < retry_moment_at_ns_) return;
  const auto running = store_.running();
  if (!running || !*running || (*running)->number != in_force_.generation) return;
  const std::uint32_t number = in_force_.generation;
  if (moments_of_ != number) {  // after a restart
    const auto fresh = recompile(number);
    moments_ = fresh ? fresh->moments : Moments();
    moments_of_ = number;
  }
  if (moments_.at(now()) == in_force_.moment) return;
  auto fresh = recompile(number);
  if (!fresh) return;
  retry_moment_at_ns_ = environment_.now_ns() + kRollbackRetry;
  complain(number_text(number) + " as of " + civil_text(fresh->moment) + " JST: rules begin or end");
  busy_ = true;
  const std::vector<std::uint8_t> snapshot = fresh->snapshot;
  sink_.apply(number, snapshot, [this, number, confirmed = (*running)->confirmed, held = std::move(*fresh)](const Outcome& outcome) {
    busy_ = false;
    if (outcome.kind != Outcome::Kind::kApplied) return complain("not in force, to be tried again: " + outcome.reason);
    in_force_ = {number, held.moment};
    retry_moment_at_ns_ = 0;
    if (confirmed) write_snapshot(held.snapshot);
  });
}

void Committer::roll_back_in_time() {
  const auto deadline = next_deadline();
  if (!deadline || environment_.now_ns() < *deadline || busy_ || !sink_.connected()) return;
  const auto running = store_.running();
  const auto confirmed = store_.last_confirmed();
  if (!running || !*running || !confirmed) return;
  retry_rollback_at_ns_ = environment_.now_ns() + kRollbackRetry;
  CommitRequest request;
  request.comment = "automatic rollback: " + number_text((*running)->number) + " was not confirmed";
  request.author = "controld";
  complain(request.comment);
  const auto report = [this](const CommitAnswer& answer) {
    if (!answer.ok) complain("automatic rollback failed: " + answer.error);
  };
  if (*confirmed) return rollback((*confirmed)->number, std::move(request), report);
  request.text = kNothing;
  begin(std::move(request), Origin::kRollback, 0, report);
}

std::optional<std::uint64_t> Committer::next_deadline() {
  const auto running = store_.running();
  if (!running || !*running || (*running)->confirmed) return std::nullopt;
  return std::max((*running)->rollback_at_ns, retry_rollback_at_ns_);
}

}  // namespace sekisho::control
