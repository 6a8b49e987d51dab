// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/journal.h"

#include <sys/random.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "base/assert.h"
#include "mgmt/log/time_text.h"

namespace sekisho::mgmt {
namespace {

constexpr std::size_t kOwedMax = 64;
constexpr std::uint8_t kSeverityLoss = 3;

}  // namespace

Journal::Random kernel_random() {
  struct Pool {
    std::array<std::uint8_t, 250> bytes{};
    std::size_t used = 250;
  };
  return [pool = std::make_shared<Pool>()] {
    std::array<std::uint8_t, 10> out{};
    if (pool->used + out.size() > pool->bytes.size()) {
      // At most 256 bytes are never interrupted and never short once the kernel's pool is ready.
      SEKISHO_ASSERT(::getrandom(pool->bytes.data(), pool->bytes.size(), 0) ==
                     static_cast<ssize_t>(pool->bytes.size()));
      pool->used = 0;
    }
    std::copy_n(pool->bytes.begin() + static_cast<std::ptrdiff_t>(pool->used), out.size(), out.begin());
    pool->used += out.size();
    return out;
  };
}

Journal::Journal(LogStore& store, Random random) : store_(store), random_(std::move(random)) {}

void Journal::write(std::vector<LogEntry> entries, Timestamp now) {
  std::map<Key, std::vector<LogEntry>> runs;
  for (LogEntry& entry : entries) {
    if (over_ && over_(entry.svc)) continue;
    if (entry.type == LogKind::kLoss) {
      cover_loss(entry, now);
      continue;
    }
    const Key key{{entry.svc, entry.type}, entry.node};
    State& state = state_of(key);
    stamp(entry, state, now);
    // What the gate keeps out gets its numbers in one range, at the next retry(): a loss record for each would be worse than the records.
    if (!state.recovered || (gate_ && !gate_(entry))) {
      ++refused_;
      LossFields& missed = state.unnumbered;
      if (missed.count++ == 0) missed.from_ts = entry.ts;
      missed.to_ts = entry.ts;
      continue;
    }
    entry.seq = state.next++;
    runs[key].push_back(std::move(entry));
  }
  for (auto& [key, run] : runs) append(key, run, now);
}

void Journal::retry(Timestamp now) {
  if (over_) std::erase_if(states_, [this](const auto& entry) { return over_(entry.first.stream.service_code); });
  for (auto& [key, state] : states_) {
    if (!state_of(key).recovered) continue;
    number_missed(key, state);
    pay(key, state, now);
  }
}

bool Journal::settled() const {
  return std::all_of(states_.begin(), states_.end(),
                     [](const auto& entry) { return entry.second.owed.empty() && entry.second.unnumbered.count == 0; });
}

/// The counter of a stream; asks the store for its end until the store can tell.
Journal::State& Journal::state_of(const Key& key) {
  State& state = states_[key];
  if (state.recovered) return state;
  if (const auto done = recover(key, state); !done) {
    trouble_ = done.error();
    return state;
  }
  state.recovered = true;
  number_missed(key, state);
  return state;
}

void Journal::number_missed(const Key& key, State& state) {
  if (state.unnumbered.count == 0) return;
  LossFields loss = std::exchange(state.unnumbered, {});
  loss.of = key.stream.type;
  loss.why = LossCause::kDiskFull;
  take_range(state, loss);
}

Result<void> Journal::recover(const Key& key, State& state) {
  SEKISHO_TRY(const auto newest, store_.newest(key.stream));
  Timestamp since;
  if (newest && newest->node == key.node) {
    state.next = newest->seq + 1;
    state.last = std::max(state.last, newest->ts);
    since = newest->ts;
  }
  if (key.stream.type == LogKind::kLoss) return {};
  // A loss may reach beyond the last stored record; it was made no earlier.
  const StreamName losses{key.stream.service_code, LogKind::kLoss};
  SEKISHO_TRY(const auto cursor,
              store_.open(losses, {since.ns > 0 ? StartAt::Kind::kDay : StartAt::Kind::kOldest, 0, since}));
  for (;;) {
    SEKISHO_TRY(const auto entry, cursor->next());
    if (!entry) return {};
    const auto& loss = std::get<LossFields>(entry->body);
    const bool ours = loss.export_name.empty() && loss.of == key.stream.type && entry->node == key.node;
    if (ours) state.next = std::max(state.next, loss.seq_to + 1);
  }
}

void Journal::stamp(LogEntry& entry, State& state, Timestamp now) {
  if (entry.eid == Uuid{}) entry.eid = make_uuid_v7(std::min(entry.ts, now), random_());
  entry.ts = std::max(std::min(entry.ts, now), state.last);
  entry.time_synced = time_synced_;
  state.last = entry.ts;
  state.rev = entry.rev;
}

/// Records that never came: their numbers are taken out of the stream they belong to.
void Journal::cover_loss(const LogEntry& entry, Timestamp now) {
  const auto& loss = std::get<LossFields>(entry.body);
  const Key key{{entry.svc, loss.of}, entry.node};
  State& state = state_of(key);
  state.rev = entry.rev;
  if (!state.recovered) {
    state.unnumbered.count += loss.count;
    if (state.unnumbered.from_ts.ns == 0) state.unnumbered.from_ts = loss.from_ts;
    state.unnumbered.to_ts = loss.to_ts;
    return;
  }
  take_range(state, loss);
  pay(key, state, now);
}

void Journal::take_range(State& state, LossFields loss) {
  loss.seq_from = state.next;
  loss.seq_to = state.next + loss.count - 1;
  state.next += loss.count;
  owe(state, loss);
}

/// Stores the losses that are owed; false when the store still refuses.
bool Journal::pay(const Key& key, State& state, Timestamp now) {
  while (!state.owed.empty()) {
    if (!store_loss(key, state.rev, state.owed.front(), now)) return false;
    state.owed.erase(state.owed.begin());
  }
  return true;
}

/// A record of the tenant's and node's losses; `key`: of the stream that lost.
bool Journal::store_loss(const Key& key, std::uint32_t rev, const LossFields& loss, Timestamp now) {
  const Key losses{{key.stream.service_code, LogKind::kLoss}, key.node};
  State& of_losses = state_of(losses);
  if (!of_losses.recovered) return false;
  LogEntry entry = make_entry(LogKind::kLoss);
  entry.svc = key.stream.service_code;
  entry.node = key.node;
  entry.rev = rev;
  entry.sev = kSeverityLoss;
  entry.ts = now;
  entry.body = loss;
  stamp(entry, of_losses, now);
  entry.seq = of_losses.next;
  const auto appended = store_.append(losses.stream, std::span(&entry, 1));
  trouble_ = appended.error;
  if (appended.stored == 0) return false;
  ++of_losses.next;
  ++stored_;
  return true;
}

bool Journal::tell_export_loss(const std::string& service_code, const std::string& node, std::uint32_t rev, const LossFields& loss,
                               Timestamp now) {
  return store_loss({{service_code, loss.of}, node}, rev, loss, now);
}

/// Notes a loss that adjoins the one before when nothing was stored between them.
void Journal::owe(State& state, const LossFields& loss) {
  if (!state.owed.empty()) {
    LossFields& open = state.owed.back();
    if ((open.why == loss.why && open.seq_to + 1 == loss.seq_from) || state.owed.size() >= kOwedMax) {
      open.seq_to = loss.seq_to;
      open.count = open.seq_to - open.seq_from + 1;
      open.to_ts = loss.to_ts;
      return;
    }
  }
  state.owed.push_back(loss);
}

void Journal::append(const Key& key, std::vector<LogEntry>& run, Timestamp now) {
  State& state = states_.at(key);
  LogStore::Appended appended;
  if (pay(key, state, now)) {
    appended = store_.append(key.stream, run);
    trouble_ = appended.error;
  }
  stored_ += appended.stored;
  for (std::size_t i = appended.stored; i < run.size(); ++i) {
    ++refused_;
    owe(state, LossFields{key.stream.type, run[i].seq, run[i].seq, 1, LossCause::kDiskFull, run[i].ts, run[i].ts});
  }
}

}  // namespace sekisho::mgmt
