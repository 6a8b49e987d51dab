// SPDX-License-Identifier: Apache-2.0
// Overview. Each stream walks its blocks backwards and stops at the newest record that matches; the newest of all
// streams goes on the page. A block whose times or filter say no is never unpacked. Time up: what is newer than every
// block not looked at yet is still given. Cold files: where reading a segment's heads was slow, others read ahead of it.
#include "mgmt/log/vault/search.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <limits>

#include "mgmt/log/vault/filter.h"
#include "mgmt/log/vault/read_ahead.h"

namespace sekisho::mgmt {
namespace {

using Clock = std::chrono::steady_clock;
/// A head takes one or two microseconds from the page cache, and fifty and more from a disk.
constexpr std::chrono::microseconds kSlowHead{15};
constexpr std::size_t kFiltersAhead = 64, kBodiesAhead = 8;
constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();

std::uint64_t hash_of(const ipc::SearchLog& question) {
  ipc::SearchLog plain = question;
  plain.clear_cursor(), plain.clear_limit(), plain.clear_seconds_max();
  return mgmt::hash_of(plain.SerializeAsString(), 4);
}

}  // namespace

std::string cursor_text(const Place& before, std::uint64_t question) {
  char out[96];
  std::snprintf(out, sizeof(out), "1.%llx.%x.%llx.%016llx", static_cast<unsigned long long>(before.time),
                static_cast<unsigned>(before.type), static_cast<unsigned long long>(before.sequence),
                static_cast<unsigned long long>(question));
  return out;
}

std::optional<Place> parse_cursor(std::string_view text, std::uint64_t question) {
  std::uint64_t parts[5] = {};
  for (std::size_t i = 0; i < 5; ++i) {
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), parts[i], 16);
    if (status != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (i < 4 && !text.starts_with('.')) return std::nullopt;
    if (i < 4) text.remove_prefix(1);
  }
  if (!text.empty() || parts[0] != 1 || parts[2] > kAllTypes.size() || parts[4] != question) return std::nullopt;
  return Place{parts[1], static_cast<LogKind>(parts[2]), parts[3]};
}

/// One stream from `before` backwards to `from`.
class Search::Stream {
 public:
  Stream(StreamView view, Query query, std::uint64_t from, Place before, ReadAhead& ahead)
      : view_(std::move(view)),
        ahead_(ahead),
        query_(std::move(query)),
        from_(from),
        before_(before),
        segment_(view_.segments.size()) {
    done_ = query_.never();
  }

  /// The place of the newest match; empty: none left, or none found until `until`.
  std::optional<Place> head(Clock::time_point until, ipc::LogPage& cost) {
    while (matches_.empty() && !done_) {
      step(cost);
      if (Clock::now() >= until) break;
    }
    if (matches_.empty()) return std::nullopt;
    return place(matches_.back());
  }
  Result<LogEntry> take() {
    const std::size_t row = matches_.back();
    matches_.pop_back();
    return block_->entry(row);
  }
  [[nodiscard]] bool done() const { return done_ && matches_.empty(); }
  /// No record that is still to be looked at is later.
  [[nodiscard]] std::uint64_t rest() const {
    return !started_ ? before_.time : heads_.empty() ? rest_ : std::min(rest_, heads_.back().second.last.ns);
  }

 private:
  Place place(std::size_t row) {
    const auto times = block_->numbers(kTimeColumn);
    const auto sequences = block_->numbers(kSequenceColumn);
    return {times ? (**times)[row] : 0, view_.stream.type, sequences ? (**sequences)[row] : 0};
  }

  /// Looks at one more block, or opens one more segment.
  void step(ipc::LogPage& cost) {
    if (!started_) {
      started_ = true;
      rest_ = before_.time;
      auto pending = view_.pending();
      if (pending && *pending) return look_at(std::move(**pending));
      return;
    }
    if (heads_.empty()) return next_segment();
    const auto [offset, head] = heads_.back();
    heads_.pop_back();
    expect_next();
    rest_ = head.last.ns;
    if (head.first.ns > before_.time) return;
    if (head.last.ns < from_) {
      done_ = true;
      return;
    }
    if (query_.uses_filter()) {
      const auto filter = reader_->filter(offset, head, *key_);
      if (filter && !query_.may_match({reinterpret_cast<const std::uint8_t*>(filter->data()), filter->size()})) {
        return cost.set_blocks_passed(cost.blocks_passed() + 1);
      }
    }
    cost.set_blocks_read(cost.blocks_read() + 1);
    auto block = reader_->body(offset, head, *key_);
    if (block) look_at(std::move(*block));  // damaged: the hole in the numbers shows it, and verification says it
  }

  void next_segment() {
    if (segment_ == 0) {
      done_ = true;
      return;
    }
    const StreamView::Segment& segment = view_.segments[--segment_];
    auto reader = SegmentReader::open(segment.path, view_.stream, segment.limit);
    if (!reader) return;  // its days are over since
    const auto began = Clock::now();
    for (std::uint64_t offset = kSegmentHeadBytes;;) {
      const auto head = reader->at(offset);
      if (!head || !*head) break;
      heads_.emplace_back(offset, **head);
      offset += (**head).bytes();
    }
    reader_ = std::move(*reader);
    key_ = std::make_unique<Aead>(segment.key);
    cold_ = Clock::now() - began > kSlowHead * static_cast<int>(heads_.size());
    if (cold_) wish_ahead();
    if (!query_.uses_filter()) return;
    for (std::size_t i = 0; cold_ && i < std::min(kFiltersAhead, heads_.size()); ++i) expect_filter(i);
  }

  /// The segments that come next, each once.
  void wish_ahead() {
    wished_ = std::min(wished_, segment_);
    while (wished_ > 0 && segment_ - wished_ < ReadAhead::kSegments) ahead_.wish(view_.stream, view_.segments[--wished_]);
  }

  void expect_filter(std::size_t from_newest) {
    const auto& [offset, head] = heads_[heads_.size() - 1 - from_newest];
    reader_->expect_filter(offset, head);
  }

  /// One head was taken: what is wanted of one further on is asked for.
  void expect_next() {
    if (query_.uses_filter()) {
      if (cold_ && heads_.size() >= kFiltersAhead) expect_filter(kFiltersAhead - 1);
    } else if (heads_.size() >= kBodiesAhead) {  // every block is read
      const auto& [offset, head] = heads_[heads_.size() - kBodiesAhead];
      reader_->expect_body(offset, head);
    }
  }

  void look_at(Block block) {
    block_ = std::move(block);
    const auto rows = query_.match(*block_);
    if (!rows) return;
    for (std::size_t i = 0; i < rows->size(); ++i) {
      if ((*rows)[i] == 0) continue;
      const Place here = place(i);
      if (here.time >= from_ && here < before_) matches_.push_back(i);
    }
  }

  StreamView view_;
  ReadAhead& ahead_;
  Query query_;
  std::uint64_t from_;
  Place before_;
  std::size_t segment_;
  bool started_ = false, done_ = false;
  bool cold_ = false;  ///< this segment's heads came from the disk
  std::size_t wished_ = std::numeric_limits<std::size_t>::max();  ///< segments from this one on were read, or are wished
  std::uint64_t rest_ = kMost;
  std::optional<SegmentReader> reader_;
  std::unique_ptr<Aead> key_;
  std::vector<std::pair<std::uint64_t, BlockHead>> heads_;
  std::optional<Block> block_;
  std::vector<std::size_t> matches_;
};

Search::Search() : ahead_(std::make_unique<ReadAhead>()) {}
Search::~Search() = default;

std::string Search::prepare(Vault& vault, const ipc::SearchLog& question, std::unique_ptr<Search>& out) {
  if (!is_service_code(question.service_code())) return "a search needs one service code";
  if (question.limit() > kPageMax) return "a page has at most " + std::to_string(kPageMax) + " records";
  if (question.conditions_size() > 32) return "too many conditions";
  int values = 0;  // each is looked for in each text of a block, and the clock is looked at between blocks
  for (const auto& condition : question.conditions()) values += condition.values_size();
  if (values > 256) return "too many values";
  std::unique_ptr<Search> search(new Search());
  search->limit_ = question.limit() == 0 ? kPage : question.limit();
  if (question.seconds_max() > 0) search->time_ = std::min(kTimeMax, std::chrono::seconds(question.seconds_max()));
  search->question_ = hash_of(question);
  search->audience_ = question.provider_fields() ? Audience::kProvider : Audience::kTenant;
  Place before{question.to_ns() == 0 ? kMost : question.to_ns(), LogKind{}, 0};
  if (!question.cursor().empty()) {
    const auto place = parse_cursor(question.cursor(), search->question_);
    if (!place) return "the cursor belongs to another question";
    before = std::min(before, *place);
  }
  search->before_ = before;
  std::set<LogKind> types;
  for (const std::string& name : question.types()) {
    const auto type = enum_from<LogKind>(name);
    if (!type) return "unknown record type: use comm, sec, vpn, acl, devauth, audit or loss";
    types.insert(*type);
  }
  if (types.empty()) types.insert(kAllTypes.begin(), kAllTypes.end());
  const std::vector<ipc::LogCondition> conditions(question.conditions().begin(), question.conditions().end());
  const Day first = question.from_ns() == 0 ? 0 : day_of({question.from_ns()});
  for (const LogKind type : types) {
    Query query;
    if (std::string wrong = Query::compile(type, conditions, search->audience_, query); !wrong.empty()) return wrong;
    auto view = vault.view({question.service_code(), type}, first, kDayMost);
    if (!view) return "the records of type " + std::string(text_of(type)) + " cannot be read";
    search->streams_.push_back(
        std::make_unique<Stream>(std::move(*view), std::move(query), question.from_ns(), before, *search->ahead_));
  }
  out = std::move(search);
  return {};
}

ipc::LogPage Search::run() {
  const auto began = Clock::now(), until = began + time_;
  ipc::LogPage page;
  page.set_ok(true);
  std::optional<Place> last;
  while (static_cast<std::size_t>(page.records_size()) < limit_) {
    Stream* newest = nullptr;
    Place best;
    std::uint64_t rest = 0;  // of streams that have not said their newest yet
    bool unknown = false;
    for (const auto& stream : streams_) {
      const auto head = stream->head(until, page);
      if (head && (newest == nullptr || *head > best)) newest = stream.get(), best = *head;
      if (!head && !stream->done()) unknown = true, rest = std::max(rest, stream->rest());
    }
    if (unknown && (newest == nullptr || best.time <= rest)) {
      page.set_partial(true);
      last = std::min(before_, Place{rest == kMost ? kMost : rest + 1, LogKind{}, 0});
      break;
    }
    if (newest == nullptr) {
      last.reset();
      break;
    }
    last = best;
    if (const auto entry = newest->take()) append_json(*page.add_records(), *entry, audience_);
  }
  if (last) page.set_cursor(cursor_text(*last, question_));
  page.set_microseconds(
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - began).count()));
  return page;
}

}  // namespace sekisho::mgmt
