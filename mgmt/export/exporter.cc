// SPDX-License-Identifier: Apache-2.0
// Overview: follow_plan() keeps workers_ as the plan says; serve() -> session() until something breaks -> back off -> session().
// A session asks logd for a batch, delivers it, and tells logd with the next question what has come.
#include "mgmt/export/exporter.h"

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <ctime>
#include <utility>

#include "base/proto/control_mgmt.pb.h"
#include "mgmt/export/connection.h"
#include "mgmt/export/https.h"
#include "mgmt/export/ipfix.h"
#include "mgmt/export/syslog.h"
#include "mgmt/log/vault/row.h"

namespace sekisho::mgmt {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using model::LogExport;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::milliseconds kPlanEvery = 1s, kIdle = 500ms, kTemplatesEvery = 60s, kGood = 30s;
constexpr std::uint32_t kRecordsMax = 2048;
constexpr std::size_t kPostBytesMax = 1U << 20, kDatagramBytesMax = 1400, kStreamMessageBytesMax = 16U << 10;
constexpr unsigned kSecondsOfDoubtMax = 6;

std::uint16_t port_of(const LogExport& what) {
  if (what.port() != 0) return static_cast<std::uint16_t>(what.port());
  if (what.kind() == LogExport::SYSLOG) return 6514;
  if (what.kind() == LogExport::HTTPS) return 443;
  return what.transport() == LogExport::TLS ? 4740 : 4739;
}

Connection::Options connection_of(const LogExport& what) {
  Connection::Options out;
  if (const auto address = parse_address(what.address())) out.address = *address;
  out.port = port_of(what);
  out.transport = what.transport() == LogExport::TLS   ? Connection::Transport::kTls
                  : what.transport() == LogExport::TCP ? Connection::Transport::kTcp
                                                       : Connection::Transport::kUdp;
  out.server_name = what.server_name();
  out.cas.assign(what.cas().begin(), what.cas().end());
  out.certificate = what.certificate(), out.key = what.key();
  return out;
}

/// Calls use(entry) for each record of a batch; false: one cannot be read.
template <typename Use>
bool for_each_record(const ipc::LogExportBatch& batch, Use use) {
  for (const auto& group : batch.records()) {
    const auto type = enum_from<LogKind>(group.type());
    if (!type) return false;
    for (const std::string& row : group.rows()) {
      const auto entry = read_row(*type, row);
      if (!entry) return false;
      use(*entry);
    }
  }
  return true;
}

std::uint64_t count_records(const ipc::LogExportBatch& batch) {
  std::uint64_t out = 0;
  for (const auto& group : batch.records()) out += static_cast<std::uint64_t>(group.rows_size());
  return out;
}

std::string_view word_of_kind(LogExport::Kind kind) {
  return kind == LogExport::SYSLOG ? "syslog" : kind == LogExport::HTTPS ? "https" : "ipfix";
}

}  // namespace

struct Exporter::Worker {
  Worker(asio::io_context& io, ipc::ExportTarget given)
      : target(std::move(given)), connection(io, connection_of(target.what())), timer(io) {
    status.set_kind(std::string(word_of_kind(target.what().kind())));
    status.set_error("not connected yet");
    audience = target.owner().empty() ? Audience::kProvider : Audience::kTenant;
  }
  void set_status(bool up, std::string error) {
    status.set_up(up);
    status.set_error(std::move(error));
  }
  [[nodiscard]] const LogExport& what() const { return target.what(); }
  [[nodiscard]] bool is_stream() const { return what().kind() != LogExport::HTTPS && what().transport() != LogExport::UDP; }

  ipc::ExportTarget target;
  Connection connection;
  asio::steady_timer timer;
  Audience audience;
  ipc::LogTargetStatus status;
  IpfixWriter ipfix{kDatagramBytesMax};
  Clock::time_point templates_sent{};
  bool stopped = false;
  unsigned failures = 0;
  std::chrono::milliseconds at_least{0};  ///< as the collector wished
  bool restart = true;
  std::uint64_t acknowledged = 0;  ///< to be told to logd
  // Sent by this connection, and not known to have come.
  std::uint64_t unproven = 0;      ///< the last batch
  std::uint64_t unproven_records = 0;
  std::size_t unproven_bytes = 0;
  Clock::time_point unproven_since{};
};

Exporter::Exporter(asio::io_context& io, Options options, Note note)
    : io_(io),
      options_(std::move(options)),
      note_(std::move(note)),
      control_(io, options_.run_dir + "/control.sock"),
      log_(io, options_.run_dir + "/export.sock"),
      timer_(io),
      random_(std::random_device{}()) {}

Exporter::~Exporter() = default;

void Exporter::start() { asio::co_spawn(io_, follow_plan(), asio::detached); }

void Exporter::stop() {
  stopped_ = true;
  timer_.cancel();
  for (auto& [key, worker] : workers_) {
    worker->stopped = true;
    worker->timer.cancel();
    worker->connection.close();
  }
  workers_.clear();
}

asio::awaitable<void> Exporter::follow_plan() {
  while (!stopped_) {
    const bool fresh = co_await fetch_plan();
    if (stopped_) co_return;
    if (fresh) take_plan();
    timer_.expires_after(kPlanEvery);
    (void)co_await timer_.async_wait(kTuple);
  }
}

/// True when there is another one than before.
asio::awaitable<bool> Exporter::fetch_plan() {
  ipc::ToControl question;
  question.mutable_get_export_plan()->set_known(plan_.generation());
  const auto answer = co_await control_.ask(question.SerializeAsString());
  ipc::FromControl said;
  if (!answer || !said.ParseFromString(answer->bytes) || answer->blob.empty()) co_return false;
  ipc::ExportPlan plan;
  if (!plan.ParseFromString(answer->blob)) co_return false;
  plan_ = std::move(plan);
  co_return true;
}

/// Workers whose target is the same go on.
void Exporter::take_plan() {
  std::map<Key, WorkerPtr> next;
  for (const auto& target : plan_.targets()) {
    const Key key{target.owner(), target.what().name()};
    const auto old = workers_.find(key);
    if (old != workers_.end() && old->second->target.SerializeAsString() == target.SerializeAsString()) {
      next[key] = old->second;
      continue;
    }
    next[key] = std::make_shared<Worker>(io_, target);
  }
  for (auto& [key, worker] : workers_) {
    const auto kept = next.find(key);
    if (kept != next.end() && kept->second == worker) continue;
    worker->stopped = true;
    worker->timer.cancel();
    worker->connection.close();
  }
  std::swap(workers_, next);
  for (auto& [key, worker] : workers_) {
    const auto before = next.find(key);
    if (before == next.end() || before->second != worker) asio::co_spawn(io_, serve(worker), asio::detached);
  }
}

asio::awaitable<void> Exporter::pause(WorkerPtr worker, std::chrono::milliseconds time) {
  if (worker->stopped) co_return;
  worker->timer.expires_after(time);
  (void)co_await worker->timer.async_wait(kTuple);
}

/// Doubles with every failure, and differs from one collector to the next.
std::chrono::milliseconds Exporter::back_off(const Worker& worker) {
  const auto most = std::min<std::chrono::milliseconds>(options_.back_off_max, 1s * (1U << std::min(worker.failures, kSecondsOfDoubtMax)));
  const auto half = most / 2;
  return std::max(worker.at_least, half + std::chrono::milliseconds(random_() % static_cast<unsigned>(half.count() + 1)));
}

asio::awaitable<void> Exporter::serve(WorkerPtr worker) {
  while (!worker->stopped) {
    const auto began = Clock::now();
    std::string error = co_await session(worker);
    worker->connection.close();
    if (worker->stopped) co_return;
    if (worker->status.error() != error) note_(worker->target.owner() + " \"" + worker->what().name() + "\": " + error);
    if (Clock::now() - began > kGood) worker->failures = 0;
    worker->set_status(false, std::move(error));
    worker->status.set_duplicated(worker->status.duplicated() + std::exchange(worker->unproven_records, 0));
    worker->unproven = 0, worker->unproven_bytes = 0;
    worker->restart = true;
    ipc::LogExportBatch ignored;
    (void)co_await ask(worker, ignored);
    const auto time = back_off(*worker);
    ++worker->failures;
    co_await pause(worker, time);
  }
}

/// One question to logd: what has come, how the collector is, and, when it is up, for more. False: logd does not answer.
asio::awaitable<bool> Exporter::ask(WorkerPtr worker, ipc::LogExportBatch& out) {
  ipc::ToLog question;
  auto& read = *question.mutable_read_export();
  const LogExport& what = worker->what();
  read.set_owner(worker->target.owner()), read.set_name(what.name());
  read.set_restart(worker->restart);
  read.set_acknowledged(worker->acknowledged);
  read.set_records_max(worker->status.up() ? kRecordsMax : 0);
  *read.mutable_status() = worker->status;
  const auto answer = co_await log_.ask(question.SerializeAsString());
  ipc::FromLog said;
  const bool whole = answer && said.ParseFromString(answer->bytes) && said.has_export_batch();
  if (whole) out = said.export_batch();
  if (!whole || (out.in_fd() && !out.ParseFromString(answer->blob))) {
    worker->restart = true;  // another logd may answer next, or nobody knows what this one gave
    co_return false;
  }
  worker->acknowledged = 0;
  worker->restart = out.restart();
  co_return true;
}

/// Until something breaks; why.
asio::awaitable<std::string> Exporter::session(WorkerPtr worker) {
  std::string wrong = co_await worker->connection.open();
  if (!wrong.empty() || worker->stopped) co_return wrong;
  worker->set_status(true, "");
  worker->ipfix = IpfixWriter(worker->what().transport() == LogExport::UDP ? kDatagramBytesMax : kStreamMessageBytesMax);
  worker->templates_sent = Clock::now();
  while (!worker->stopped) {
    if (worker->is_stream() && worker->connection.ended()) co_return "the collector ended the connection";
    ipc::LogExportBatch batch;
    const bool answered = co_await ask(worker, batch);
    if (worker->stopped) break;
    if (worker->restart) {  // what this connection has sent is given again
      worker->status.set_duplicated(worker->status.duplicated() + std::exchange(worker->unproven_records, 0));
      worker->unproven = 0, worker->unproven_bytes = 0;
    }
    if (batch.records_size() > 0) {
      wrong = co_await deliver(worker, batch);
      if (!wrong.empty()) co_return wrong;
    }
    const bool due = worker->unproven_bytes >= options_.prove_bytes || Clock::now() - worker->unproven_since >= options_.prove_after;
    if (worker->unproven != 0 && due) {
      wrong = co_await prove(worker);
      if (!wrong.empty()) co_return wrong;
      continue;
    }
    if (answered && batch.more()) continue;
    if (worker->acknowledged != 0) continue;  // logd hears of it at once
    co_await pause(worker, worker->what().kind() == LogExport::HTTPS ? options_.batch_wait : kIdle);
  }
  co_return std::string();
}

/// Ends the connection in order: then all of it has come. And makes another.
asio::awaitable<std::string> Exporter::prove(WorkerPtr worker) {
  const bool all = co_await worker->connection.finish();
  if (!all) co_return "the collector broke the connection: what it had not confirmed is sent again";
  worker->acknowledged = std::exchange(worker->unproven, 0);
  worker->unproven_records = 0, worker->unproven_bytes = 0;
  worker->failures = 0;
  std::string wrong = co_await worker->connection.open();
  worker->ipfix = IpfixWriter(kStreamMessageBytesMax);
  co_return wrong;
}

asio::awaitable<std::string> Exporter::deliver(WorkerPtr worker, const ipc::LogExportBatch& batch) {
  const LogExport& what = worker->what();
  const std::uint64_t records = count_records(batch);
  std::string wrong;
  if (what.kind() == LogExport::HTTPS) {
    wrong = co_await post(worker, batch);
    if (!wrong.empty()) co_return wrong;
    worker->acknowledged = batch.number();
    worker->failures = 0, worker->at_least = 0ms;
    worker->status.set_sent(worker->status.sent() + records);
    co_return wrong;
  }
  std::vector<std::string> pieces;
  bool whole = true;
  if (what.kind() == LogExport::SYSLOG) {
    std::string& lines = pieces.emplace_back();
    whole = for_each_record(batch, [&](const LogEntry& entry) { append_syslog(lines, entry, worker->audience); });
  } else {
    if (what.transport() == LogExport::UDP && Clock::now() - worker->templates_sent > kTemplatesEvery) {
      worker->ipfix.send_templates_again();
      worker->templates_sent = Clock::now();
    }
    whole = for_each_record(batch, [&](const LogEntry& entry) { (void)worker->ipfix.add(entry); });
    pieces = worker->ipfix.take(static_cast<std::uint32_t>(std::time(nullptr)));
  }
  if (!whole) co_return "logd gave records that cannot be read";
  if (worker->unproven == 0) worker->unproven_since = Clock::now();
  worker->unproven = batch.number();
  worker->unproven_records += records;
  for (const std::string& piece : pieces) {
    worker->unproven_bytes += piece.size();
    const bool written = co_await worker->connection.write(piece);
    if (!written) co_return "the connection broke while records were sent";
  }
  worker->status.set_sent(worker->status.sent() + records);
  if (!worker->is_stream()) {  // nobody will ever say whether a datagram came
    worker->acknowledged = std::exchange(worker->unproven, 0);
    worker->unproven_records = 0, worker->unproven_bytes = 0;
  }
  co_return std::string();
}

asio::awaitable<std::string> Exporter::post(WorkerPtr worker, const ipc::LogExportBatch& batch) {
  std::vector<std::string> bodies(1);
  const bool whole = for_each_record(batch, [&](const LogEntry& entry) {
    std::string line;
    append_json(line, entry, worker->audience);
    line += '\n';
    if (!bodies.back().empty() && bodies.back().size() + line.size() > kPostBytesMax) bodies.emplace_back();
    bodies.back() += line;
  });
  if (!whole) co_return "logd gave records that cannot be read";
  for (const std::string& lines : bodies) {
    std::string wrong = co_await post_one(worker, lines);
    if (!wrong.empty()) co_return wrong;
  }
  co_return std::string();
}

asio::awaitable<std::string> Exporter::post_one(WorkerPtr worker, const std::string& lines) {
  const LogExport& what = worker->what();
  Connection& connection = worker->connection;
  const std::string body = gzip(lines);
  std::string host = what.server_name().empty() ? what.address() : what.server_name();
  if (host.find(':') != std::string::npos) host = '[' + host + ']';
  if (port_of(what) != 443) host += ':' + std::to_string(port_of(what));
  const std::string request = post_head(host, what.path(), what.token(), body.size()) + body;
  if (connection.ended()) {  // a server may end one that is idle
    std::string wrong = co_await connection.open();
    if (!wrong.empty()) co_return wrong;
  }
  const bool written = co_await connection.write(request);
  if (!written) co_return "the connection broke while records were sent";
  HttpReply reply;
  while (!reply.whole()) {
    const std::string bytes = co_await connection.read();
    const auto taken = bytes.empty() ? reply.put_end() : reply.put(bytes);
    if (bytes.empty() && !taken) co_return "the collector did not answer";
    if (!taken) co_return "the collector's answer is none";
  }
  worker->at_least = std::chrono::seconds(reply.retry_after());
  if (!reply.keeps_open()) connection.close();
  if (reply.status() < 200 || reply.status() > 299) co_return "the collector answered " + std::to_string(reply.status());
  co_return std::string();
}

}  // namespace sekisho::mgmt
