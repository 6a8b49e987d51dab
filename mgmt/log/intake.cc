// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/intake.h"

#include <algorithm>

#include "mgmt/log/access_record.h"
#include "mgmt/log/enrich.h"

namespace sekisho::mgmt {

Intake::Intake(NameCache& names, Journal& journal, Spill& spill, RemoteUsers& users, RequestNames request)
    : names_(names), journal_(journal), spill_(spill), users_(users), request_(std::move(request)) {}

void Intake::offer(std::span<const LogRecord> records, Clock::time_point now) {
  std::vector<Waiting> turn;
  turn.reserve(records.size());
  for (const LogRecord& raw : records) {
    auto record = decode_record(raw);
    if (!record) {
      ++counters_.malformed;
      continue;
    }
    ++counters_.accepted;
    turn.push_back({raw, std::move(*record), now});
  }
  // Each shard's ring is in order; several are merged here.
  std::stable_sort(turn.begin(), turn.end(), [](const Waiting& a, const Waiting& b) {
    return a.record.envelope.timestamp < b.record.envelope.timestamp;
  });
  std::move(turn.begin(), turn.end(), std::back_inserter(waiting_));
}

void Intake::process(Clock::time_point now, Timestamp wall) {
  std::vector<LogEntry> entries;
  std::vector<LogRecord> unnamed;
  while (!waiting_.empty()) {
    const Waiting& front = waiting_.front();
    const bool patient = now - front.since < kNamesWait && waiting_.size() <= kWaitingMax;
    const Fate fate = decide(front.record, patient, entries);
    if (fate == Fate::kWait) break;
    if (fate == Fate::kSpill) unnamed.push_back(front.raw);
    if (fate == Fate::kRefuse) ++counters_.malformed;
    waiting_.pop_front();
  }
  if (!entries.empty()) journal_.write(std::move(entries), wall);
  keep(unnamed);
}

std::vector<LogRecord> Intake::waiting_records() const {
  std::vector<LogRecord> out;
  out.reserve(waiting_.size());
  for (const Waiting& one : waiting_) out.push_back(one.raw);
  return out;
}

void Intake::flush(Timestamp wall) {
  process(Clock::time_point::max(), wall);
}

Intake::Fate Intake::decide(const RingRecord& record, bool patient, std::vector<LogEntry>& entries) {
  const std::uint32_t generation = record.envelope.generation;
  const bool known = names_.find(generation) != nullptr;
  if (!known && !names_.is_unknown(generation)) {
    request_(generation);
    if (patient) return Fate::kWait;
  }
  auto entry = enrich(record, names_);
  if (!entry) return known ? Fate::kRefuse : Fate::kSpill;
  auto access = access_record(record, *entry, names_, users_);
  entries.push_back(std::move(*entry));
  if (access) entries.push_back(std::move(*access));
  return Fate::kEntry;
}

void Intake::keep(std::vector<LogRecord>& unnamed) {
  if (unnamed.empty()) return;
  const auto kept = spill_.add(unnamed);
  (kept ? counters_.spilled : counters_.lost) += unnamed.size();
}

void Intake::replay_spill(Timestamp wall) {
  const auto spilled = spill_.read();
  if (!spilled || spilled->empty()) return;
  std::vector<LogEntry> entries;
  std::vector<LogRecord> unnamed;
  for (const LogRecord& raw : *spilled) {
    const auto record = decode_record(raw);
    const Fate fate = record ? decide(*record, false, entries) : Fate::kRefuse;
    if (fate == Fate::kSpill) unnamed.push_back(raw);
    if (fate == Fate::kRefuse) ++counters_.malformed;
  }
  if (unnamed.size() == spilled->size()) return;
  // Stored and safe first; the spool makes both steps one.
  journal_.write(std::move(entries), wall);
  if (journal_.sync()) (void)spill_.replace(unnamed);
}

}  // namespace sekisho::mgmt
