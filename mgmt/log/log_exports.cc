// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/log_exports.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <sstream>
#include <utility>

#include "base/crypto/sha256.h"
#include "base/describe.h"
#include "mgmt/log/files.h"
#include "mgmt/log/vault/row.h"

namespace sekisho::mgmt {
namespace {

constexpr std::size_t kFileBytesMax = 8U << 20;
constexpr std::uint64_t kHourNs = 3'600'000'000'000, kLookEveryNs = 600'000'000'000;
constexpr std::size_t kLookedAtOnce = 4;  // a block of each stream is unpacked
constexpr std::string_view kMagic = "sekisho-export 2", kMagicBefore = "sekisho-export 1";  // which has no share

StreamPlace place_of(const LogEntry& entry) { return {entry.ts, entry.seq}; }

bool take_line(std::istream& in, std::string_view word, std::string& value) {
  std::string line;
  if (!std::getline(in, line) || !line.starts_with(word) || line.size() <= word.size() || line[word.size()] != ' ') return false;
  value = line.substr(word.size() + 1);
  return true;
}

bool take_number(const std::string& text, std::uint64_t& out) {
  const auto [stop, status] = std::from_chars(text.data(), text.data() + text.size(), out);
  return status == std::errc{} && stop == text.data() + text.size();
}

}  // namespace

struct LogExports::Source {
  StreamPlace acknowledged, given;
  std::unique_ptr<LogCursor> cursor;
  std::optional<LogEntry> head;  ///< the next one
};

struct LogExports::Target {
  struct Batch {
    std::uint64_t number = 0;
    std::map<StreamName, StreamPlace> ends{};
  };
  Share share;
  Timestamp since;  ///< streams that are not among the sources begin there
  std::map<StreamName, Source> sources;
  std::deque<Batch> outstanding;
  StreamName last;  ///< the next batch begins with the stream behind this one
  std::uint64_t lost = 0;
  ipc::LogTargetStatus status;
  Timestamp asked, looked;
  bool dirty = false;
};

LogExports::LogExports(Vault& vault, Journal& journal, Clock wall, Note note)
    : vault_(vault), journal_(journal), wall_(std::move(wall)), note_(std::move(note)), folder_(vault.root() + "/exports") {
  number_ = wall_().ns;  // no number of ours is one that a process before this one gave
}

LogExports::~LogExports() = default;

std::string LogExports::path_of(const Name& name) const {
  const std::string text = name.first + '\n' + name.second;
  const auto digest = sha256({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  std::string out = folder_ + '/';
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (std::size_t i = 0; i < 16; ++i) {
    out += kDigits[digest[i] >> 4U];
    out += kDigits[digest[i] & 15U];
  }
  return out;
}

Result<void> LogExports::open() {
  if (::mkdir(folder_.c_str(), 0750) != 0 && errno != EEXIST) return disk_error();
  DIR* folder = ::opendir(folder_.c_str());
  if (folder == nullptr) return disk_error();
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(folder)) {
    const std::string name = static_cast<const char*>(entry->d_name);
    if (name.size() == 32) names.push_back(name);
  }
  ::closedir(folder);
  for (const std::string& name : names) {
    if (load(folder_ + '/' + name)) continue;
    note_("exports/" + name + " cannot be read: its collector gets the last day again");
    damaged_.insert(folder_ + '/' + name);
  }
  return {};
}

bool LogExports::load(const std::string& path) {
  const auto bytes = read_file(path, kFileBytesMax);
  if (!bytes || !bytes->ends_with("end\n")) return false;
  std::istringstream in(*bytes);
  std::string line, owner, name, since, lost;
  auto target = std::make_unique<Target>();
  if (!std::getline(in, line) || (line != kMagic && line != kMagicBefore) || !take_line(in, "name", name) ||
      !take_line(in, "since", since) || !take_line(in, "lost", lost) || !take_line(in, "owner", owner) ||
      (line == kMagic && !load_share(in, target->share)))
    return false;
  if (!take_number(since, target->since.ns) || !take_number(lost, target->lost)) return false;
  while (std::getline(in, line) && line != "end") {
    std::istringstream words(line);
    std::string code, type;
    StreamPlace place;
    if (!(words >> code >> type >> place.time.ns >> place.sequence) || !is_service_code(code)) return false;
    const auto kind = enum_from<LogKind>(type);
    if (!kind) return false;
    Source& source = target->sources[{code, *kind}];
    source.acknowledged = source.given = place;
  }
  const Name key{owner == "-" ? "" : owner, name};
  if (path_of(key) != path) return false;
  targets_[key] = std::move(target);
  return true;
}

Result<void> LogExports::save(const Name& name, Target& target) {
  std::ostringstream out;
  out << kMagic << "\nname " << name.second << "\nsince " << target.since.ns << "\nlost " << target.lost << "\nowner "
      << (name.first.empty() ? "-" : name.first) << "\ntypes -";
  for (const LogKind type : target.share.types) out << ' ' << text_of(type);
  out << "\ntenants -";
  for (const std::string& code : target.share.service_codes) out << ' ' << code;
  out << '\n';
  for (const auto& [stream, source] : target.sources)
    out << stream.service_code << ' ' << text_of(stream.type) << ' ' << source.acknowledged.time.ns << ' '
        << source.acknowledged.sequence << '\n';
  out << "end\n";
  const std::string text = out.str();
  SEKISHO_CHECK_OK(replace_file(path_of(name), {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}));
  target.dirty = false;
  return {};
}

void LogExports::save() {
  auto at = targets_.upper_bound(last_saved_);
  for (std::size_t looked = 0, saved = 0; looked < targets_.size() && saved < kSavedAtOnceMax; ++looked) {
    if (at == targets_.end()) at = targets_.begin();
    last_saved_ = at->first;
    if (at->second->dirty) {
      ++saved;
      if (const auto done = save(at->first, *at->second); !done) return note_("exports: " + describe(done.error()));
    }
    ++at;
  }
}

/// False: a type that is none, or tenants that are none of its owner's business.
bool LogExports::read_share(const ipc::LogExportName& from, Share& out) {
  for (const std::string& name : from.types()) {
    const auto type = enum_from<LogKind>(name);
    if (!type) return false;
    out.types.push_back(*type);
  }
  out.service_codes.assign(from.service_codes().begin(), from.service_codes().end());
  std::sort(out.types.begin(), out.types.end());
  std::sort(out.service_codes.begin(), out.service_codes.end());
  return (from.owner().empty() || out.service_codes.empty()) &&
         std::all_of(out.service_codes.begin(), out.service_codes.end(), [](const std::string& code) { return is_service_code(code); });
}

bool LogExports::is_shared(const Share& share, const StreamName& stream) {
  const auto has = [](const auto& list, const auto& one) { return list.empty() || std::binary_search(list.begin(), list.end(), one); };
  return has(share.service_codes, stream.service_code) && has(share.types, stream.type);
}

bool LogExports::load_share(std::istream& in, Share& out) {
  ipc::LogExportName share;
  std::string types, codes, word;
  if (!take_line(in, "types", types) || !take_line(in, "tenants", codes)) return false;
  std::istringstream of_types(types), of_codes(codes);
  of_types >> word, of_codes >> word;  // "-"
  while (of_types >> word) share.add_types(word);
  while (of_codes >> word) share.add_service_codes(word);
  return read_share(share, out);
}

ipc::LogExportsSet LogExports::set(const ipc::SetLogExports& request) {
  ipc::LogExportsSet out;
  std::map<Name, Share> wanted = std::exchange(announced_, {});
  if (std::exchange(announced_generation_, request.generation()) != request.generation()) wanted.clear();
  for (const auto& one : request.targets()) {
    const bool fits = one.owner().empty() || is_service_code(one.owner());
    Share share;
    const bool named = !one.name().empty() && one.name().find('\n') == std::string::npos;
    if (!fits || !named || wanted.size() >= kTargetsMax || !read_share(one, share))
      return out.set_error("a target that is none, or too many"), out;
    wanted.emplace(Name(one.owner(), one.name()), std::move(share));
  }
  if (request.more()) return announced_ = std::move(wanted), out.set_ok(true), out;
  std::erase_if(targets_, [&](const auto& one) {
    if (wanted.contains(one.first)) return false;
    (void)::unlink(path_of(one.first).c_str());
    return true;
  });
  for (auto& [name, share] : wanted) {
    if (const auto known = targets_.find(name); known != targets_.end()) {
      Target& target = *known->second;
      if (target.share.types == share.types && target.share.service_codes == share.service_codes) continue;
      target.share = std::move(share);
      restart(target);  // no batch of another share is waited for
      std::erase_if(target.sources, [&](const auto& source) { return !is_shared(target.share, source.first); });
      target.dirty = true;
      continue;
    }
    auto made = std::make_unique<Target>();
    made->share = std::move(share);
    made->since = wall_();
    if (damaged_.erase(path_of(name)) > 0) {
      made->since.ns -= std::min(made->since.ns, kBacklogNs);
      targets_[name] = std::move(made);
      continue;
    }
    for (const StreamName& stream : vault_.streams()) {
      if (!name.first.empty() && stream.service_code != name.first) continue;
      const auto newest = vault_.newest(stream);
      if (!newest || !*newest) continue;
      Source& source = made->sources[stream];
      source.acknowledged = source.given = place_of(**newest);
    }
    Target& target = *(targets_[name] = std::move(made));
    if (const auto saved = save(name, target); !saved) {
      targets_.erase(name);
      return out.set_error("exports: " + describe(saved.error())), out;
    }
  }
  generation_ = request.generation();
  out.set_ok(true);
  return out;
}

LogExports::Source& LogExports::source_of(Target& target, const StreamName& stream) {
  const auto [at, fresh] = target.sources.try_emplace(stream);
  if (fresh) at->second.acknowledged = at->second.given = {target.since, 0};
  used_.insert(stream);
  return at->second;
}

/// Those that have records; a tenant's target never gets another tenant's.
std::vector<StreamName> LogExports::streams_of(const std::string& owner, const Share& share) const {
  std::vector<StreamName> out;
  if (!owner.empty()) {
    const std::vector<LogKind> all(kAllTypes.begin(), kAllTypes.end());
    for (const LogKind type : share.types.empty() ? all : share.types) out.push_back({owner, type});
    std::sort(out.begin(), out.end());
    return out;
  }
  for (const StreamName& stream : vault_.streams()) {
    if (is_shared(share, stream)) out.push_back(stream);
  }
  std::sort(out.begin(), out.end());
  return out;
}

void LogExports::take_status(Target& target, const ipc::LogTargetStatus& status) {
  const std::uint64_t since =
      target.status.up() == status.up() && target.status.since_ns() != 0 ? target.status.since_ns() : wall_().ns;
  target.status = status;
  target.status.set_since_ns(since);
  target.asked = wall_();
}

/// False when no batch of that number was given.
bool LogExports::acknowledge(Target& target, std::uint64_t number) {
  const auto last = std::find_if(target.outstanding.begin(), target.outstanding.end(),
                                 [&](const Target::Batch& batch) { return batch.number == number; });
  if (last == target.outstanding.end()) return false;
  for (auto batch = target.outstanding.begin(); batch != last + 1; ++batch) {
    for (const auto& [stream, end] : batch->ends) target.sources[stream].acknowledged = end;
  }
  target.outstanding.erase(target.outstanding.begin(), last + 1);
  target.dirty = true;
  return true;
}

void LogExports::restart(Target& target) {
  target.outstanding.clear();
  for (auto& [stream, source] : target.sources) {
    source.given = source.acknowledged;
    source.cursor.reset();
    source.head.reset();
  }
}

/// Makes `head` the next record that is safe; false when there is none.
bool LogExports::advance(Source& source, const StreamName& stream) {
  const auto safe = safe_.find(stream);
  if (safe == safe_.end() || safe->second <= source.given) return false;
  if (!source.cursor) {
    auto cursor = vault_.open(stream, {StartAt::Kind::kAfter, 0, source.given.time, source.given.sequence});
    if (!cursor) return false;
    source.cursor = std::move(*cursor);
  }
  while (!source.head || place_of(*source.head) <= source.given) {
    auto next = source.cursor->next();
    if (!next || !*next) {  // what was unpacked for a reader that has all is not kept
      source.head.reset();
      source.cursor.reset();
      return false;
    }
    source.head = std::move(*next);
  }
  return place_of(*source.head) <= safe->second;
}

/// Gives up what is older than `age`, and says so; false: that cannot be said now, so nothing was given up.
bool LogExports::skip_old(const Name& name, Target& target, Source& source, const StreamName& stream, std::uint64_t age) {
  const std::uint64_t now = wall_().ns;
  if (now < kBacklogNs || !advance(source, stream) || source.head->ts.ns >= now - age) return true;
  const LogEntry first = *source.head;
  LossFields loss;
  loss.of = stream.type, loss.why = LossCause::kQueueFull, loss.export_name = name.second;
  loss.seq_from = first.seq, loss.from_ts = first.ts;
  StreamPlace end = safe_[stream];
  Source later{.acknowledged = {}, .given = {Timestamp{now - kBacklogNs}, 0}, .cursor = {}, .head = {}};
  if (advance(later, stream)) end = {Timestamp{now - kBacklogNs}, later.head->seq - 1};
  loss.seq_to = std::max(end.sequence, first.seq);
  loss.count = loss.seq_to - loss.seq_from + 1;
  loss.to_ts = end.time;
  // Another owner's matter: a tenant is not told of the provider's collectors.
  if (!name.first.empty() && !journal_.tell_export_loss(stream.service_code, first.node, first.rev, loss, wall_())) return false;
  target.lost += loss.count;
  source.acknowledged = source.given = end;
  source.cursor.reset();
  source.head.reset();
  note_("export: " + std::to_string(loss.count) + " records of " + stream.service_code + ' ' + std::string(text_of(stream.type)) +
        " are more than a day old and do not go to \"" + name.second + '"');
  if (const auto saved = save(name, target); !saved) target.dirty = true;
  return true;
}

void LogExports::fill(Target& target, Source& source, const StreamName& stream, std::size_t records_max, ipc::LogExportBatch& out,
                      std::size_t& records, std::size_t& bytes) {
  ipc::LogExportRecords* into = nullptr;
  while (advance(source, stream)) {
    if (records >= records_max || bytes >= kBatchBytesMax) {
      out.set_more(true);
      break;
    }
    if (into == nullptr) {
      into = out.add_records();
      into->set_service_code(stream.service_code);
      into->set_type(std::string(text_of(stream.type)));
    }
    std::string& row = *into->add_rows();
    append_row(row, *source.head);
    bytes += row.size();
    ++records;
    source.given = place_of(*source.head);
    source.head.reset();
  }
  if (into != nullptr) target.last = stream;
}

ipc::LogExportBatch LogExports::read(const ipc::ReadLogExport& request) {
  ipc::LogExportBatch out;
  const Name name{request.owner(), request.name()};
  const auto found = targets_.find(name);
  if (found == targets_.end()) return out.set_restart(true), out.set_error("there is no such target"), out;
  Target& target = *found->second;
  take_status(target, request.status());
  if (request.acknowledged() != 0 && !acknowledge(target, request.acknowledged()))
    return out.set_restart(true), out.set_error("no such batch is known"), out;
  if (request.restart()) restart(target);
  out.set_ok(true);
  if (request.records_max() == 0) return out;
  if (target.outstanding.size() >= kOutstandingMax) return out.set_ok(false), out.set_error("too much is under way"), out;
  std::vector<StreamName> streams = streams_of(name.first, target.share);
  // Each in its turn.
  const auto next = std::upper_bound(streams.begin(), streams.end(), target.last);
  std::rotate(streams.begin(), next, streams.end());
  Target::Batch batch;
  batch.number = number_ + 1;
  std::size_t records = 0, bytes = 0;
  const std::size_t most = std::min<std::size_t>(request.records_max(), kBatchRecordsMax);
  for (const StreamName& stream : streams) {
    Source& source = source_of(target, stream);
    if (target.outstanding.empty() && !skip_old(name, target, source, stream, kBacklogNs)) continue;
    const StreamPlace before = source.given;
    fill(target, source, stream, most, out, records, bytes);
    if (source.given != before) batch.ends[stream] = source.given;
    if (out.more()) break;
  }
  if (records == 0) return out;
  number_ = batch.number;
  out.set_number(number_);
  target.outstanding.push_back(std::move(batch));
  return out;
}

void LogExports::take_safe() {
  for (const StreamName& stream : used_) {
    const auto newest = vault_.newest(stream);
    if (newest && *newest)
      safe_[stream] = place_of(**newest);
    else
      safe_.erase(stream);
  }
}

void LogExports::give_up_old() {
  const std::uint64_t now = wall_().ns;
  auto at = targets_.upper_bound(last_looked_);
  for (std::size_t i = 0, looked = 0; i < targets_.size() && looked < kLookedAtOnce; ++i, ++at) {
    if (at == targets_.end()) at = targets_.begin();
    last_looked_ = at->first;
    Target& target = *at->second;
    // One that is read for gives up by itself.
    const bool read = target.status.up() && target.asked.ns + kHourNs > now;
    if (read || target.looked.ns + kLookEveryNs > now) continue;
    target.looked.ns = now;
    ++looked;
    restart(target);
    for (auto& [stream, source] : target.sources) {
      used_.insert(stream);
      (void)skip_old(at->first, target, source, stream, kBacklogNs + kHourNs);
    }
    restart(target);
  }
}

void LogExports::tell(const std::string& service_code, ipc::LogStatus& out) const {
  for (const auto& [name, target] : targets_) {
    if (!service_code.empty() && name.first != service_code) continue;
    ipc::LogTargetStatus& one = *out.add_targets();
    one = target->status;
    one.set_service_code(name.first), one.set_name(name.second);
    one.set_lost(target->lost);
    std::uint64_t waiting = 0;
    Timestamp newest;
    for (const auto& [stream, source] : target->sources) {
      newest = std::max(newest, source.acknowledged.sequence == 0 ? Timestamp{} : source.acknowledged.time);
      const auto safe = safe_.find(stream);
      if (safe != safe_.end() && safe->second.sequence > source.acknowledged.sequence)
        waiting += safe->second.sequence - source.acknowledged.sequence;
    }
    one.set_waiting(waiting);
    one.set_acknowledged_ns(newest.ns);
    // exportd says something of each at least every minute.
    if (one.up() && target->asked.ns + 2 * 60'000'000'000 < wall_().ns) {
      one.set_up(false);
      one.set_error("exportd has not asked for its records for two minutes");
    }
  }
}

}  // namespace sekisho::mgmt
