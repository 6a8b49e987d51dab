// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/questions.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <boost/asio/post.hpp>

#include "base/describe.h"
#include "base/ipc/sealed_blob.h"
#include "mgmt/log/log_exports.h"
#include "mgmt/log/vault/search.h"
#include "mgmt/log/vault/verify.h"

namespace sekisho::mgmt {
namespace {

constexpr const char* kTooMany = "too many questions are being answered: ask again";

/// A message that may be larger than a datagram, beside its answer.
template <typename Message>
Fd blob_of(Message& message) {
  message.set_in_fd(true);
  const std::string bytes = message.SerializeAsString();
  auto blob = make_sealed_blob("log", {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
  return blob ? std::move(*blob) : Fd();
}

void answer_page(ipc::LogPage page, const Questions::Done& done) {
  ipc::FromLog out;
  Fd fd = page.ok() ? blob_of(page) : Fd();
  if (page.ok() && !fd.valid()) page.set_ok(false), page.set_error("the page cannot be handed over");
  page.clear_records();
  page.set_in_fd(fd.valid());
  *out.mutable_page() = std::move(page);
  done(std::move(out), std::move(fd));
}

}  // namespace

Questions::Questions(boost::asio::io_context& loop, Vault& vault, Erasures& erasures, Clock wall)
    : loop_(loop), vault_(vault), erasures_(erasures), wall_(std::move(wall)) {}

Questions::~Questions() {
  stop();
}

void Questions::stop() {
  downloads_.clear();
  pool_.join();
}

bool Questions::run(const std::string& service_code, std::function<void()> work, std::function<void()> then) {
  if (running_all_ >= kRunningMax || running_[service_code] >= kRunningOfOne) return false;
  ++running_all_, ++running_[service_code];
  boost::asio::post(pool_, [this, service_code, work = std::move(work), then = std::move(then)] {
    work();
    boost::asio::post(loop_, [this, service_code, then] {
      --running_all_;
      if (--running_[service_code] == 0) running_.erase(service_code);
      then();
    });
  });
  return true;
}

void Questions::ask(const ipc::ToLog& question, Done done) {
  ipc::FromLog out;
  switch (question.body_case()) {
    case ipc::ToLog::kSearch:
      return search(question.search(), done);
    case ipc::ToLog::kVerify:
      return verify(question.verify(), done);
    case ipc::ToLog::kDownload:
      return download(question.download(), done);
    case ipc::ToLog::kGetDownload:
      return download_state(question.get_download(), done);
    case ipc::ToLog::kErase:
      *out.mutable_erasure() = erasures_.act(question.erase(), wall_());
      return done(std::move(out), {});
    case ipc::ToLog::kGetStatus:
      return status(question.get_status(), done);
    case ipc::ToLog::kReadExport:
      return read_export(question.read_export(), done);
    case ipc::ToLog::kSetExports:
      *out.mutable_exports_set() = exports_ == nullptr ? ipc::LogExportsSet() : exports_->set(question.set_exports());
      return done(std::move(out), {});
    case ipc::ToLog::kWatch:
      *out.mutable_watched() = watched();
      return done(std::move(out), {});
    case ipc::ToLog::kOpenStream:
    case ipc::ToLog::BODY_NOT_SET:
      break;
  }
  out.mutable_stream()->set_error("a request without a question");
  done(std::move(out), {});
}

void Questions::search(const ipc::SearchLog& question, const Done& done) {
  std::unique_ptr<Search> prepared;
  ipc::LogPage refused;
  refused.set_error(Search::prepare(vault_, question, prepared));
  if (!refused.error().empty()) return answer_page(std::move(refused), done);
  const std::shared_ptr<Search> search(std::move(prepared));
  const auto page = std::make_shared<ipc::LogPage>();
  if (run(
          question.service_code(), [search, page] { *page = search->run(); },
          [page, done] { answer_page(std::move(*page), done); }))
    return;
  refused.set_error(kTooMany);
  answer_page(std::move(refused), done);
}

void Questions::verify(const ipc::VerifyLog& question, const Done& done) {
  const auto result = std::make_shared<ipc::LogVerified>();
  const auto say = [done](const ipc::LogVerified& verified) {
    ipc::FromLog out;
    *out.mutable_verified() = verified;
    done(std::move(out), {});
  };
  std::vector<LogKind> types;
  for (const std::string& name : question.types()) {
    const auto type = enum_from<LogKind>(name);
    if (type)
      types.push_back(*type);
    else
      result->set_error("unknown record type: use comm, sec, vpn, acl, devauth, audit or loss");
  }
  if (!is_service_code(question.service_code())) result->set_error("verification needs one service code");
  if (!result->error().empty()) return say(*result);
  if (types.empty()) types.assign(kAllTypes.begin(), kAllTypes.end());
  const auto keys = std::make_shared<TenantKeys>();
  const auto with = std::make_shared<std::map<LogKind, VerifyWith>>();
  const auto held = vault_.keyring().keys_of(question.service_code());
  if (held) *keys = *held;
  for (const LogKind type : types) {
    const auto view = vault_.view({question.service_code(), type}, 0, kDayMost);
    VerifyWith& one = (*with)[type];
    one.signer = vault_.keyring().signing_public();
    one.keys = keys.get();
    if (view && !view->segments.empty()) one.limits[view->segments.back().name.text()] = view->segments.back().limit;
  }
  result->set_ok(true);
  const auto work = [this, code = question.service_code(), with, keys, result] {
    for (const auto& [type, how] : *with) verify_stream(vault_.folder({code, type}), {code, type}, how, *result);
  };
  if (run(question.service_code(), work, [result, say] { say(*result); })) return;
  result->set_ok(false), result->set_error(kTooMany);
  say(*result);
}

void Questions::download(const ipc::DownloadLog& question, const Done& done) {
  std::erase_if(downloads_,
                [&](const auto& one) { return !one.second->running() && downloads_.size() >= 4 * kDownloadsMax; });
  ipc::FromLog out;
  std::shared_ptr<Download> made;
  const auto days = [&](LogKind type) { return days_ ? days_({question.service_code(), type}) : kDaysKept; };
  auto& answer = *out.mutable_download();
  std::size_t running = 0, own = 0;
  for (const auto& [token, one] : downloads_) {
    if (!one->running()) continue;
    ++running;
    own += one->service_code() == question.service_code() && token != question.token() ? 1U : 0U;
  }
  // First: preparing one reads the heads of a month's blocks.
  if (running >= kDownloadsMax || own >= kDownloadsOfOne) answer.set_error(kTooMany);
  if (answer.error().empty()) answer.set_error(Download::prepare(vault_, question, wall_(), days, made));
  int fds[2];
  if (answer.error().empty() && ::pipe2(fds, O_CLOEXEC) != 0) answer.set_error("there is no pipe to be had");
  if (!answer.error().empty()) return done(std::move(out), {});
  Fd read_end(fds[0]), write_end(fds[1]);
  answer = made->announcement();
  made->start(std::move(write_end));
  downloads_[answer.token()] = std::move(made);  // a broken one of the same token ends here
  done(std::move(out), std::move(read_end));
}

void Questions::download_state(const ipc::GetLogDownload& question, const Done& done) {
  ipc::FromLog out;
  const auto found = downloads_.find(question.token());
  if (found != downloads_.end() && found->second->service_code() == question.service_code())
    *out.mutable_download_state() = found->second->state();
  else
    out.mutable_download_state()->set_error("no such download is known any more: ask for it again with its token");
  done(std::move(out), {});
}

void Questions::read_export(const ipc::ReadLogExport& question, const Done& done) {
  ipc::FromLog out;
  if (exports_ == nullptr) return done(std::move(out), {});
  ipc::LogExportBatch batch = exports_->read(question);
  Fd fd;
  if (batch.records_size() > 0) {
    fd = blob_of(batch);
    if (!fd.valid()) batch.set_ok(false), batch.set_error("the records cannot be handed over");
    batch.clear_records();
    batch.set_in_fd(fd.valid());
  }
  *out.mutable_export_batch() = std::move(batch);
  done(std::move(out), std::move(fd));
}

ipc::LogWatched Questions::watched() const {
  ipc::LogWatched out;
  struct statvfs disk {};
  if (::statvfs(vault_.root().c_str(), &disk) == 0) {
    out.set_disk_bytes(disk.f_blocks * disk.f_frsize);
    out.set_disk_free_bytes(disk.f_bavail * disk.f_frsize);
  }
  out.set_pressure(pressure_);
  if (exports_ != nullptr) out.set_exports_generation(exports_->generation());
  return out;
}

void Questions::status(const ipc::GetLogStatus& question, const Done& done) {
  ipc::FromLog out;
  ipc::LogStatus full;
  for (const StreamName& stream : vault_.streams()) {
    if (!question.service_code().empty() && stream.service_code != question.service_code()) continue;
    const auto count = vault_.count(stream);
    if (!count) continue;
    ipc::LogStreamStatus& one = *full.add_streams();
    one.set_service_code(stream.service_code), one.set_type(std::string(text_of(stream.type)));
    one.set_records(count->records), one.set_bytes(count->bytes);
    if (count->first_day != 0)
      one.set_first_day(day_text(count->first_day)), one.set_last_day(day_text(count->last_day));
    one.set_newest_seq(count->last_sequence), one.set_newest_ns(count->newest.ns);
    one.set_days_kept(days_ ? days_(stream) : kDaysKept);
  }
  const ipc::LogWatched now = watched();
  full.set_disk_bytes(now.disk_bytes()), full.set_disk_free_bytes(now.disk_free_bytes());
  full.set_pressure(now.pressure());
  if (exports_ != nullptr) exports_->tell(question.service_code(), full);
  Fd fd = blob_of(full);
  if (!fd.valid())
    full.clear_streams(), full.set_in_fd(false);
  else
    full.clear_streams();
  *out.mutable_status() = std::move(full);
  done(std::move(out), std::move(fd));
}

}  // namespace sekisho::mgmt
