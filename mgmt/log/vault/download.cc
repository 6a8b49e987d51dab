// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/vault/download.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "mgmt/log/format.h"
#include "mgmt/log/time_text.h"

namespace sekisho::mgmt {
namespace {

constexpr std::size_t kPieceBytes = 256U << 10;
constexpr int kStallMilliseconds = 1000, kStallsMax = 60;
constexpr std::int64_t kDaysMax = 31;

ByteSpan span_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// The token holds the question and the bounds, and our signature: nobody widens it.
std::string token_of(const ipc::DownloadLog& what, const SigningSeed& seed) {
  const std::string text = what.SerializeAsString();
  return hex(span_of(text)) + "." + hex(sign(seed, span_of(text)));
}

bool parse_token(std::string_view token, const SigningPublic& key, ipc::DownloadLog& out) {
  const std::size_t dot = token.find('.');
  Signature signature;
  if (dot == std::string_view::npos || !parse_hex(token.substr(dot + 1), signature)) return false;
  std::string text(dot / 2, '\0');
  if (!parse_hex(token.substr(0, dot), {reinterpret_cast<std::uint8_t*>(text.data()), text.size()})) return false;
  return verify_signature(key, span_of(text), signature) && out.ParseFromString(text);
}

std::vector<LogKind> types_in(const ipc::DownloadLog& what) {
  std::vector<LogKind> out;
  for (const std::string& name : what.types()) {
    if (const auto type = enum_from<LogKind>(name)) out.push_back(*type);
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

std::string name_of(const ipc::DownloadLog& what, const std::vector<LogKind>& types) {
  std::string out;
  for (const LogKind type : types) out += std::string(text_of(type)) + "-";
  if (types == std::vector{LogKind::kVpn, LogKind::kAcl, LogKind::kDevauth}) out = "ra-";
  out +=
      what.service_code() + "-" + what.first_day() + (what.first_day() == what.last_day() ? "" : "-" + what.last_day());
  out += what.format() == ipc::OpenLogStream::CSV ? ".csv" : ".jsonl";
  return out + (what.gzip() ? ".gz" : "");
}

}  // namespace

/// One stream's records that are asked for, oldest first.
class Download::Stream {
 public:
  Stream(const Part& part, std::atomic<std::uint64_t>& read) : part_(part), read_(read) { step(); }
  [[nodiscard]] bool done() const { return !block_; }
  [[nodiscard]] std::pair<std::uint64_t, std::uint64_t> place() const { return place_; }
  [[nodiscard]] LogKind type() const { return part_.view.stream.type; }
  Result<LogEntry> take() {
    auto entry = block_->entry(row_);
    ++row_;
    settle();
    return entry;
  }

 private:
  void step() {
    for (;;) {
      block_.reset();
      if (!next_block()) return;
      row_ = 0;
      if (find_row()) return;
    }
  }
  void settle() {
    if (!find_row()) step();
  }
  /// The next row from row_ on that is asked for.
  bool find_row() {
    const auto times = block_->numbers(kTimeColumn), sequences = block_->numbers(kSequenceColumn);
    if (!times || !sequences) return false;
    for (; row_ < block_->rows(); ++row_) {
      if (matches_[row_] == 0 || (**sequences)[row_] > part_.bound) continue;
      place_ = {(**times)[row_], (**sequences)[row_]};
      return true;
    }
    return false;
  }
  bool use(Result<Block> block) {
    if (!block) return false;
    read_ += block->rows();
    block_ = std::move(*block);
    auto rows = part_.query.match(*block_);
    if (rows)
      matches_ = std::move(*rows);
    else
      block_.reset();
    return block_.has_value();
  }
  bool next_block() {
    for (;;) {
      if (reader_) {
        const auto head = reader_->at(offset_);
        if (head && *head) {
          const std::uint64_t offset = offset_;
          offset_ += (**head).bytes();
          if ((**head).first_sequence > part_.bound) continue;
          if (use(reader_->body(offset, **head, *key_))) return true;
          continue;
        }
        reader_.reset();
      }
      if (segment_ == part_.view.segments.size()) {
        if (tail_) return false;
        tail_ = true;
        auto pending = part_.view.pending();
        return pending && *pending && use(std::move(**pending));
      }
      const StreamView::Segment& segment = part_.view.segments[segment_++];
      auto reader = SegmentReader::open(segment.path, part_.view.stream, segment.limit);
      if (!reader) continue;
      reader_ = std::move(*reader);
      key_ = std::make_unique<Aead>(segment.key);
      offset_ = kSegmentHeadBytes;
    }
  }

  const Part& part_;
  std::atomic<std::uint64_t>& read_;
  std::size_t segment_ = 0;
  bool tail_ = false;
  std::optional<SegmentReader> reader_;
  std::unique_ptr<Aead> key_;
  std::uint64_t offset_ = 0;
  std::optional<Block> block_;
  std::vector<std::uint8_t> matches_;
  std::size_t row_ = 0;
  std::pair<std::uint64_t, std::uint64_t> place_;
};

/// Text to the file's bytes, their digest, and from `skip` on to the pipe.
class Download::Writer {
 public:
  Writer(Fd pipe, bool gzip, std::uint64_t skip, std::atomic<std::uint64_t>& bytes, const std::atomic<bool>& stop,
         int stop_seen)
      : pipe_(std::move(pipe)), gzip_(gzip), skip_(skip), bytes_(bytes), stop_(stop), stop_seen_(stop_seen) {
    if (gzip_) good_ = deflateInit2(&stream_, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK;
  }
  ~Writer() {
    if (gzip_) deflateEnd(&stream_);
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  std::string text;
  /// Sends what is collected when it is worth it, or all with `last`; false: the reader is gone.
  bool flush(bool last) {
    if (!last && text.size() < kPieceBytes) return true;
    const bool sent = gzip_ ? deflate_text(last) : send(text);
    text.clear();
    return sent;
  }
  [[nodiscard]] Sha256Digest digest() { return hash_.finish(); }

 private:
  bool deflate_text(bool last) {
    std::array<char, 65536> piece;
    stream_.next_in = reinterpret_cast<Bytef*>(text.data());
    stream_.avail_in = static_cast<uInt>(text.size());
    int status = Z_OK;
    do {
      stream_.next_out = reinterpret_cast<Bytef*>(piece.data());
      stream_.avail_out = piece.size();
      status = ::deflate(&stream_, last ? Z_FINISH : Z_NO_FLUSH);
      if (!good_ || status == Z_STREAM_ERROR || !send({piece.data(), piece.size() - stream_.avail_out})) return false;
    } while (last ? status != Z_STREAM_END : stream_.avail_in > 0);
    return true;
  }
  bool send(std::string_view bytes) {
    hash_.update(span_of(bytes));
    const std::uint64_t before = bytes_;
    bytes_ += bytes.size();
    if (before < skip_) bytes.remove_prefix(std::min<std::uint64_t>(bytes.size(), skip_ - before));
    for (int stalls = 0; !bytes.empty();) {
      const ssize_t n = ::write(pipe_.get(), bytes.data(), bytes.size());
      if (n >= 0) {
        bytes.remove_prefix(static_cast<std::size_t>(n));
        stalls = 0;
        continue;
      }
      if (errno == EINTR) continue;
      if (errno != EAGAIN || stop_ || ++stalls > kStallsMax) return false;
      pollfd ready[2] = {{pipe_.get(), POLLOUT, 0}, {stop_seen_, POLLIN, 0}};
      (void)::poll(ready, 2, kStallMilliseconds);
    }
    return !stop_;
  }

  Fd pipe_;
  bool gzip_, good_ = true;
  std::uint64_t skip_;
  std::atomic<std::uint64_t>& bytes_;
  const std::atomic<bool>& stop_;
  int stop_seen_;
  z_stream stream_{};
  Sha256 hash_;
};

std::string Download::prepare(Vault& vault, const ipc::DownloadLog& request, Timestamp now,
                              const std::function<unsigned(LogKind)>& days_kept, std::shared_ptr<Download>& out) {
  if (!is_service_code(request.service_code())) return "a download needs one service code";
  if (!vault.keyring().open()) return "the keys cannot be read";
  std::shared_ptr<Download> made(new Download());
  made->seed_ = vault.keyring().signing_seed();
  const bool again = !request.token().empty();
  if (again && (!parse_token(request.token(), vault.keyring().signing_public(), made->what_) ||
                made->what_.service_code() != request.service_code())) {
    return "the token is not one of this tenant's downloads";
  }
  if (!again) made->what_ = request;
  ipc::DownloadLog& what = made->what_;
  const std::vector<LogKind> types = types_in(what);
  if (types.empty() || types.size() > static_cast<std::size_t>(what.types_size()))
    return "a download needs one type of records or more";
  const bool csv = what.format() == ipc::OpenLogStream::CSV;
  if (csv && what.provider_fields()) return "provider fields stand in JSON lines only";
  const Day today = day_of(now);
  if (!again) {
    if (what.window() == ipc::DownloadLog::MONTH || what.window() == ipc::DownloadLog::THIRTY_DAYS) {
      const Days days = what.window() == ipc::DownloadLog::MONTH ? month_with(today) : thirty_before(today);
      what.set_first_day(day_text(days.first)), what.set_last_day(day_text(days.last));
    }
    what.clear_offset(), what.clear_bounds();
  }
  const auto first = parse_day(what.first_day()), last = parse_day(what.last_day());
  if (!first || !last || *first > *last)
    return "first_day and last_day are days like 2024-11-28, the first not after the last";
  if (number_of(*last) - number_of(*first) >= kDaysMax) return "a download has at most 31 days";
  if (*last > today) return "the last day is not over the horizon: today is " + day_text(today);
  for (const LogKind type : types) {
    if (*first < first_kept(today, days_kept(type)))
      return "records are kept from " + day_text(first_kept(today, days_kept(type))) + " on";
  }
  if (again && what.bounds_size() != static_cast<int>(types.size()))
    return "the token is not one of this tenant's downloads";
  for (std::size_t i = 0; i < types.size(); ++i) {
    const auto newest = vault.newest({what.service_code(), types[i]});
    if (!newest) return "the records of type " + std::string(text_of(types[i])) + " cannot be read";
    if (!again) what.add_bounds(*newest ? (*newest)->seq : 0);
    if (std::string wrong = made->add_part(vault, types[i], {*first, *last}, what.bounds(static_cast<int>(i)));
        !wrong.empty())
      return wrong;
  }
  made->offset_ = again ? request.offset() : 0;
  made->token_ = again ? request.token() : token_of(what, made->seed_);
  made->file_name_ = name_of(what, types);
  out = std::move(made);
  return {};
}

std::string Download::add_part(Vault& vault, LogKind type, Days days, std::uint64_t bound) {
  const std::vector<ipc::LogCondition> conditions(what_.conditions().begin(), what_.conditions().end());
  Part part;
  const Audience audience = what_.provider_fields() ? Audience::kProvider : Audience::kTenant;
  if (std::string wrong = Query::compile(type, conditions, audience, part.query); !wrong.empty()) return wrong;
  auto view = vault.view({what_.service_code(), type}, days.first, days.last);
  if (!view) return "the records of type " + std::string(text_of(type)) + " cannot be read";
  part.view = std::move(*view);
  part.bound = bound;
  for (const StreamView::Segment& segment : part.view.segments) {
    const auto reader = SegmentReader::open(segment.path, part.view.stream, segment.limit);
    for (std::uint64_t offset = kSegmentHeadBytes; reader;) {
      const auto head = reader->at(offset);
      if (!head || !*head) break;
      total_ += (**head).rows;
      offset += (**head).bytes();
    }
  }
  total_ += part.view.row_count;
  parts_.push_back(std::move(part));
  return {};
}

Download::~Download() {
  stop_ = true;
  stop_said_.reset();  // the loop waits here, and the rings with it: for no reader
  if (thread_.joinable()) thread_.join();
}

ipc::LogDownload Download::announcement() const {
  ipc::LogDownload out;
  out.set_ok(true);
  out.set_token(token_), out.set_file_name(file_name_);
  out.set_first_day(what_.first_day()), out.set_last_day(what_.last_day());
  out.set_records(total_);
  return out;
}

ipc::LogDownloadState Download::state() const {
  ipc::LogDownloadState out;
  const std::lock_guard lock(mutex_);
  out.set_ok(error_.empty()), out.set_error(error_);
  out.set_records_read(read_), out.set_records_written(written_), out.set_bytes(bytes_);
  out.set_finished(!manifest_.empty()), out.set_manifest(manifest_);
  return out;
}

void Download::start(Fd pipe) {
  (void)::fcntl(pipe.get(), F_SETFL, O_NONBLOCK);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) == 0) stop_seen_ = Fd(ends[0]), stop_said_ = Fd(ends[1]);
  running_ = true;
  thread_ = std::thread([this, fd = std::make_shared<Fd>(std::move(pipe))] { run(std::move(*fd)); });
}

void Download::run(Fd pipe) {
  Writer writer(std::move(pipe), what_.gzip(), offset_, bytes_, stop_, stop_seen_.get());
  std::map<LogKind, Written> written;
  if (what_.format() == ipc::OpenLogStream::CSV) {
    if (what_.csv_bom()) writer.text += kByteOrderMark;
    writer.text += csv_header(types_in(what_)) + "\n";
  }
  const bool whole = write_records(writer, written) && writer.flush(true);
  const std::lock_guard lock(mutex_);
  if (whole)
    manifest_ = manifest(written, written_, bytes_, writer.digest());
  else
    error_ = "the reader is gone, or took nothing for a minute";
  running_ = false;
}

bool Download::write_records(Writer& writer, std::map<LogKind, Written>& written) {
  const bool csv = what_.format() == ipc::OpenLogStream::CSV;
  const Audience audience = what_.provider_fields() ? Audience::kProvider : Audience::kTenant;
  const CsvUnion columns(types_in(what_));
  std::vector<std::unique_ptr<Stream>> streams;
  for (const Part& part : parts_) streams.push_back(std::make_unique<Stream>(part, read_));
  for (;;) {
    if (stop_) return false;
    Stream* first = nullptr;
    for (const auto& stream : streams) {
      if (!stream->done() && (first == nullptr || stream->place().first < first->place().first)) first = stream.get();
    }
    if (first == nullptr) return true;
    const auto entry = first->take();
    if (!entry) continue;
    if (!csv)
      append_json(writer.text, *entry, audience);
    else if (streams.size() == 1)
      append_csv(writer.text, *entry);
    else
      columns.append(writer.text, *entry);
    writer.text += '\n';
    ++written_;
    Written& one = written[entry->type];
    if (one.records++ == 0) one.first = entry->seq;
    one.last = entry->seq;
    if (!writer.flush(false)) return false;
  }
}

std::string Download::manifest(const std::map<LogKind, Written>& written, std::uint64_t records, std::uint64_t bytes,
                               const Sha256Digest& digest) const {
  std::string out = "{\"file\":\"" + file_name_ + "\",\"svc\":\"" + what_.service_code() + "\",\"first_day\":\"" +
                    what_.first_day() + "\",\"last_day\":\"" + what_.last_day() +
                    "\",\"conditions\":" + std::to_string(what_.conditions_size()) +
                    ",\"records\":" + std::to_string(records) + ",\"bytes\":" + std::to_string(bytes) +
                    ",\"sha256\":\"" + hex(digest) + "\",\"types\":[";
  for (const auto& [type, one] : written) {
    if (out.back() != '[') out += ',';
    out += "{\"type\":\"" + std::string(text_of(type)) + "\",\"records\":" + std::to_string(one.records) +
           ",\"seq_from\":" + std::to_string(one.first) + ",\"seq_to\":" + std::to_string(one.last) + "}";
  }
  out += "]";
  return out + ",\"signature\":\"" + hex(sign(seed_, span_of(out))) + "\"}";
}

}  // namespace sekisho::mgmt
