// SPDX-License-Identifier: Apache-2.0
// What the log's history costs: records a second into the vault, bytes a record on the disk, the first page of a
// search, CSV out of it. Beside it in the same run, on the same records: SQLite (a row a record, indexes on addresses
// and user) and JSON lines under zstd -3.
//
//   vault_bench FOLDER RECORDS [keep|search]     the records are those of ten days; the folder is made anew and removed afterwards,
//   unless it is to be kept, or only searched. One thread, but for search and download.
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <string_view>

#include "mgmt/log/format.h"
#include "mgmt/log/time_text.h"
#include "mgmt/log/vault/download.h"
#include "mgmt/log/vault/search.h"

namespace {

using namespace sekisho;
using namespace sekisho::mgmt;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kBegin = 1'732'762'800'000'000'000;  // 2024-11-28T12:00:00+09:00
constexpr std::uint64_t kDays = 10;
constexpr std::size_t kBatch = 4096;
constexpr std::size_t kPeerRecordsMax =
    2'000'000;  // what SQLite and zstd get: their figures are rates and bytes a record

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Ends of sessions as a gateway of a few thousand hosts logs them, in ten days. One host and one user are met seven times in them.
class Records {
 public:
  explicit Records(std::size_t count) : count_(count), step_(kDays * 86'400'000'000'000ULL / std::max<std::size_t>(count, 1)) {}
  LogEntry next() {
    LogEntry entry = make_entry(LogKind::kComm);
    time_ += 1 + random_() % (2 * step_);
    entry.ts = Timestamp{kBegin + time_};
    entry.svc = "acm00000001", entry.node = "u0", entry.rev = 7, entry.seq = ++sequence_;
    std::array<std::uint8_t, 10> bits;
    for (auto& byte : bits) byte = static_cast<std::uint8_t>(random_());
    entry.eid = make_uuid_v7(entry.ts, bits);
    auto& comm = std::get<CommFields>(entry.body);
    const std::size_t rule = skewed(40);
    comm.phase = CommPhase::kEnd, comm.action = CommAction::kAllow, comm.reason = filters::LogReason::kRule,
    comm.dir = Direction::kOut;
    comm.flow_id.value = random_();
    comm.in_if = "office" + std::to_string(rule % 4), comm.out_if = "inet0", comm.in_zone = "office",
    comm.out_zone = "internet";
    comm.ip_ver = 4, comm.proto = random_() % 5 == 0 ? 17 : 6;
    comm.src_ip = address(10, 0, skewed(4000));
    comm.dst_ip = address(203, 113, skewed(60'000));
    comm.src_port = static_cast<std::uint16_t>(32768 + random_() % 28000);
    comm.dst_port = static_cast<std::uint16_t>(rule % 3 == 0 ? 443 : rule % 3 == 1 ? 53 : 80 + rule);
    comm.nat_src_ip = address(198, 51, 10), comm.nat_src_port = static_cast<std::uint16_t>(1024 + random_() % 60000);
    comm.rule_id.bytes[0] = static_cast<std::uint8_t>(rule + 1), comm.rule_name = "rule number " + std::to_string(rule);
    comm.rule_no = static_cast<std::uint16_t>(rule), comm.policy = "inside",
    comm.svc_obj = rule % 3 == 0 ? "https" : "other";
    if (random_() % 4 == 0) comm.user = "user" + std::to_string(skewed(2000)) + "@example.co.jp";
    comm.bytes_fwd = 400 + random_() % 4000, comm.bytes_rev = 1000 + skewed(400'000),
    comm.pkts_fwd = 5 + random_() % 30, comm.pkts_rev = 5 + skewed(300);
    comm.pkt_len = 60, comm.tcp_flags = 27;
    comm.start_ts = Timestamp{entry.ts.ns - 1'000'000 - random_() % 20'000'000'000},
    comm.dur_ms = (entry.ts.ns - comm.start_ts.ns) / 1'000'000;
    comm.end_reason = EndReason::kTcpFin;
    if (sequence_ % (count_ / 7 + 1) == count_ / 14) comm.src_ip = address(10, 77, 1), comm.user = "auditor@example.co.jp";
    return entry;
  }

 private:
  static Address address(unsigned a, unsigned b, std::size_t host) {
    Address out;
    out.family = Family::kIpv4;
    out.bytes[0] = static_cast<std::uint8_t>(a), out.bytes[1] = static_cast<std::uint8_t>(b);
    out.bytes[2] = static_cast<std::uint8_t>(host >> 8), out.bytes[3] = static_cast<std::uint8_t>(host);
    return out;
  }
  /// Few are met often, many seldom.
  std::size_t skewed(std::size_t most) {
    const double chance = static_cast<double>(random_() >> 11) / 9007199254740992.0;
    return static_cast<std::size_t>(chance * chance * chance * static_cast<double>(most));
  }
  std::size_t count_;
  std::uint64_t step_;
  std::mt19937_64 random_{42};
  std::uint64_t time_ = 0, sequence_ = 0;
};

std::uint64_t bytes_below(const std::string& folder) {
  std::uint64_t out = 0;
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder))
    out += file.is_regular_file() ? file.file_size() : 0;
  return out;
}

double processor_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

void ingest(Vault& vault, Records& records, std::size_t count) {
  const StreamName stream{"acm00000001", LogKind::kComm};
  double wall = 0, processor = 0;
  std::vector<LogEntry> batch;
  for (std::size_t done = 0; done < count;) {
    batch.clear();
    while (batch.size() < kBatch && done + batch.size() < count) batch.push_back(records.next());
    const auto begin = Clock::now();
    const double used = processor_seconds();
    if (vault.append(stream, batch).stored != batch.size()) std::exit(1);
    done += batch.size();
    if (done % (kBatch * 64) == 0 && !vault.sync()) std::exit(1);
    wall += seconds_since(begin);
    processor += processor_seconds() - used;
  }
  vault.seal_hours({}, true);
  if (!vault.sync() || !vault.sign({}, true)) std::exit(1);
  const double bytes = static_cast<double>(bytes_below(vault.root()));
  std::printf("vault ingest     %12.0f records/s a core (%.0f with waiting for the disk), %.1f bytes a record\n",
              static_cast<double>(count) / processor, static_cast<double>(count) / wall,
              bytes / static_cast<double>(count));
}

/// The vault's files out of the page cache, and nothing else's. What a hypervisor keeps of them is not in our hands.
void forget_files(const std::string& folder) {
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder)) {
    const Fd fd(file.is_regular_file() ? ::open(file.path().c_str(), O_RDONLY | O_CLOEXEC) : -1);
    if (fd.valid() && ::fdatasync(fd.get()) == 0) (void)::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  }
}

void search(Vault& vault, const char* what, const char* field, const char* value, bool cold = false) {
  if (cold) forget_files(vault.root());
  ipc::SearchLog question;
  question.set_service_code("acm00000001");
  question.add_types("comm");
  auto& condition = *question.add_conditions();
  condition.set_field(field), condition.add_values(value);
  std::unique_ptr<Search> made;
  if (!Search::prepare(vault, question, made).empty()) std::exit(1);
  const ipc::LogPage page = made->run();
  std::printf("vault search     %9.3f s  first page by %s%s: %d records, %llu blocks read, %llu passed\n",
              static_cast<double>(page.microseconds()) / 1e6, what, cold ? ", cold files" : "", page.records_size(),
              static_cast<unsigned long long>(page.blocks_read()),
              static_cast<unsigned long long>(page.blocks_passed()));
}

/// One whole day.
void download(Vault& vault) {
  ipc::DownloadLog request;
  request.set_service_code("acm00000001");
  request.add_types("comm");
  request.set_format(ipc::OpenLogStream::CSV);
  request.set_window(ipc::DownloadLog::DAYS);
  request.set_first_day("2024-11-30"), request.set_last_day("2024-11-30");
  std::shared_ptr<Download> made;
  const auto newest = vault.newest({"acm00000001", LogKind::kComm});
  const std::string refused = Download::prepare(
      vault, request, (*newest)->ts, [](LogKind) { return 36'500U; }, made);
  int fds[2];
  if (!refused.empty() || ::pipe(fds) != 0) std::exit(1);
  const Fd read_end(fds[0]);
  const auto begin = Clock::now();
  made->start(Fd(fds[1]));
  std::vector<char> piece(1U << 20);
  std::uint64_t bytes = 0, lines = 0;
  for (ssize_t n; (n = ::read(read_end.get(), piece.data(), piece.size())) > 0;) {
    bytes += static_cast<std::uint64_t>(n);
    lines += static_cast<std::uint64_t>(std::count(piece.begin(), piece.begin() + n, '\n'));
  }
  const double took = seconds_since(begin);
  std::printf("vault CSV        %12.0f records/s, %.0f MB/s: one day, %llu lines in %.1f s\n", static_cast<double>(lines) / took,
              static_cast<double>(bytes) / took / 1e6, static_cast<unsigned long long>(lines), took);
}

void lines_under_zstd(std::size_t count) {
  Records records(count);
  ZSTD_CCtx* context = ZSTD_createCCtx();
  std::string text, packed;
  double processor = 0;
  std::uint64_t bytes = 0;
  for (std::size_t done = 0; done < count;) {
    text.clear();
    std::vector<LogEntry> batch;
    for (std::size_t i = 0; i < kBatch; ++i) batch.push_back(records.next());
    const double used = processor_seconds();
    for (const LogEntry& entry : batch) append_json(text, entry, Audience::kProvider), text += '\n';
    packed.resize(ZSTD_compressBound(text.size()));
    bytes += ZSTD_compressCCtx(context, packed.data(), packed.size(), text.data(), text.size(), 3);
    processor += processor_seconds() - used;
    done += kBatch;
    if (done >= count) count = done;
  }
  ZSTD_freeCCtx(context);
  std::printf("zstd JSON lines  %12.0f records/s a core, %.1f bytes a record; a search reads all of it\n",
              static_cast<double>(count) / processor, static_cast<double>(bytes) / static_cast<double>(count));
}

void sqlite(const std::string& path, std::size_t count) {
  Records records(count);
  sqlite3* database = nullptr;
  if (sqlite3_open(path.c_str(), &database) != SQLITE_OK) std::exit(1);
  const auto run = [&](const char* sql) { sqlite3_exec(database, sql, nullptr, nullptr, nullptr); };
  run("pragma journal_mode=wal; pragma synchronous=normal;"
      "create table comm(seq integer primary key, ts integer, eid blob, flow integer, src blob, sport integer, dst "
      "blob, dport integer, nat blob, nport integer,"
      "rule blob, rule_name text, user text, in_if text, bf integer, br integer, pf integer, pr integer, start "
      "integer, dur integer);"
      "create index by_src on comm(src); create index by_dst on comm(dst); create index by_user on comm(user);");
  sqlite3_stmt* insert = nullptr;
  sqlite3_prepare_v2(database, "insert into comm values(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", -1, &insert,
                     nullptr);
  double processor = 0;
  for (std::size_t done = 0; done < count; done += kBatch) {
    std::vector<LogEntry> batch;
    for (std::size_t i = 0; i < kBatch; ++i) batch.push_back(records.next());
    const double used = processor_seconds();
    run("begin");
    for (const LogEntry& entry : batch) {
      const auto& comm = std::get<CommFields>(entry.body);
      int at = 0;
      const auto number = [&](std::uint64_t value) {
        sqlite3_bind_int64(insert, ++at, static_cast<sqlite3_int64>(value));
      };
      const auto blob = [&](const auto& bytes, int length) {
        sqlite3_bind_blob(insert, ++at, bytes.data(), length, SQLITE_STATIC);
      };
      const auto text = [&](const std::string& value) {
        sqlite3_bind_text(insert, ++at, value.data(), static_cast<int>(value.size()), SQLITE_STATIC);
      };
      number(entry.seq), number(entry.ts.ns), blob(entry.eid.bytes, 16), number(comm.flow_id.value),
          blob(comm.src_ip.bytes, 4), number(*comm.src_port);
      blob(comm.dst_ip.bytes, 4), number(*comm.dst_port), blob(comm.nat_src_ip.bytes, 4), number(*comm.nat_src_port),
          blob(comm.rule_id.bytes, 16);
      text(comm.rule_name), text(comm.user), text(comm.in_if), number(*comm.bytes_fwd), number(*comm.bytes_rev),
          number(*comm.pkts_fwd), number(*comm.pkts_rev);
      number(comm.start_ts.ns), number(*comm.dur_ms);
      sqlite3_step(insert);
      sqlite3_reset(insert);
    }
    run("commit");
    processor += processor_seconds() - used;
  }
  sqlite3_finalize(insert);
  const auto begin = Clock::now();
  sqlite3_exec(database, "select * from comm where src=x'0a000f9f' or dst=x'0a000f9f' order by seq desc limit 100",
               nullptr, nullptr, nullptr);
  const double page = seconds_since(begin);
  run("pragma wal_checkpoint(truncate)");
  sqlite3_close(database);
  std::printf(
      "SQLite           %12.0f records/s a core, %.1f bytes a record (20 of 58 fields, not sealed); first page by "
      "address %.3f s\n",
      static_cast<double>(count) / processor,
      static_cast<double>(std::filesystem::file_size(path)) / static_cast<double>(count), page);
}

/// Resident memory of this process: what it is now, and the most since the last call.
struct Memory {
  std::size_t now_mib = 0, most_mib = 0;
};
Memory memory() {
  Memory out;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) out.now_mib = std::strtoul(line.c_str() + 6, nullptr, 10) >> 10;
    if (line.starts_with("VmHWM:")) out.most_mib = std::strtoul(line.c_str() + 6, nullptr, 10) >> 10;
  }
  std::ofstream("/proc/self/clear_refs") << "5";
  return out;
}

void ask(Vault& vault) {
  for (const bool cold : {true, false}) {
    search(vault, "an address met often", "address", "10.0.0.1", cold);
    search(vault, "an address met seldom", "address", "10.0.15.159", cold);
    search(vault, "an address met seven times", "address", "10.77.0.1", cold);
    search(vault, "an address never met", "address", "192.0.2.1", cold);
    search(vault, "a user met seldom", "user", "user1999@example.co.jp", cold);
    search(vault, "a user met seven times", "user", "auditor@example.co.jp", cold);
    search(vault, "a user never met", "user", "nobody@example.co.jp", cold);
    search(vault, "a port (no index)", "nat_src_port", "1", cold);
  }
  std::printf("memory of searching    %6zu MiB at most\n", memory().most_mib);
  download(vault);
  std::printf("memory of downloading  %6zu MiB at most\n", memory().most_mib);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view how = argc == 4 ? argv[3] : "";
  if (argc < 3 || argc > 4 || (argc == 4 && how != "keep" && how != "search")) {
    return std::fputs("usage: vault_bench FOLDER RECORDS [keep|search]\n", stderr), 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  const std::string folder = argv[1];
  const auto count = static_cast<std::size_t>(std::strtoull(argv[2], nullptr, 10));
  if (how != "search") std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder + "/vault");
  {
    Vault vault(folder + "/vault");
    Records records(count);
    if (how != "search") {
      ingest(vault, records, count);
      std::printf("memory of ingesting    %6zu MiB at most\n", memory().most_mib);
    }
    ask(vault);
  }
  if (how == "search") return 0;
  lines_under_zstd(std::min(count, kPeerRecordsMax));
  sqlite(folder + "/peer.sqlite", std::min(count, kPeerRecordsMax));
  if (how != "keep") std::filesystem::remove_all(folder);
  return 0;
}
