// SPDX-License-Identifier: Apache-2.0
// Overview. A timer drives the turns: gather from the rings, hand over, release, write. Rings have no doorbell, so the
// timer is 1 ms while records come and doubles up to 20 ms when none do.
// Life-cycle. create -> run -> SIGTERM: the rings are drained, nothing waits for names any longer, all is synced.
// Limits. A turn takes at most 4096 records of a ring; fdatasync runs once a second on this thread.
#include "mgmt/log/daemon.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <optional>

#include "base/describe.h"
#include "mgmt/log/event_server.h"
#include "mgmt/log/export_server.h"
#include "mgmt/log/files.h"
#include "mgmt/log/intake.h"
#include "mgmt/log/keeping.h"
#include "mgmt/log/log_exports.h"
#include "mgmt/log/vault/vault.h"
#include "mgmt/log/names_client.h"
#include "mgmt/log/ring_source.h"
#include "mgmt/log/spool.h"

namespace sekisho::mgmt {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kTurnMin{1}, kTurnMax{20};
constexpr std::chrono::milliseconds kSyncSoon{50};  ///< for daemons that wait; all that is dirty goes to the disk each time
constexpr std::string_view kSpillFile = "/spill.bin";
constexpr std::chrono::seconds kSyncInterval{1}, kReportInterval{10}, kDrainMax{2};

void note(const std::string& sentence) {
  std::fprintf(stderr, "logd: %s\n", sentence.c_str());
}

Timestamp wall_clock() {
  return {static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count())};
}

class Daemon final : public LogDaemon {
 public:
  explicit Daemon(const LogdOptions& options)
      : log_dir_(options.state_dir + "/log"),
        names_file_(log_dir_ + "/names.bin"),
        store_(log_dir_),
        journal_(store_, kernel_random()),
        spill_(log_dir_ + std::string(kSpillFile)),
        spool_(log_dir_ + "/spool.bin", log_dir_, spill_),
        names_client_(loop_, options.run_dir + "/control.sock",
                      [this](std::uint32_t generation, std::shared_ptr<const Names> names, ByteSpan bytes) {
                        take_names(generation, std::move(names), bytes);
                      }),
        users_(store_),
        intake_(names_, journal_, spill_, users_, [this](std::uint32_t generation) { names_client_.request(generation); }),
        source_(options.run_dir + "/rings.sock"),
        erasures_(store_),
        collectors_(store_, journal_, wall_clock, note),
        questions_(loop_, store_, erasures_, wall_clock),
        timer_(loop_),
        signals_(loop_, SIGTERM, SIGINT) {}

  Result<void> start(const LogdOptions& options) {
    if (::mkdir(log_dir_.c_str(), 0750) != 0 && errno != EEXIST) {
      return Error{ErrorCode::kUnavailable, ErrorSite::kOs, static_cast<std::uint32_t>(errno)};
    }
    journal_.set_time_synced(clock_in_step());
    SEKISHO_CHECK_OK(take_over());
    SEKISHO_CHECK_OK(erasures_.open(wall_clock()));
    const auto days = [kept = options.days_kept](const StreamName&) { return kept; };
    keeping_.emplace(store_, erasures_, days, note);
    questions_.set_kept(days);
    journal_.set_over([this](const std::string& service_code) { return erasures_.is_over(service_code); });
    SEKISHO_CHECK_OK(collectors_.open());
    questions_.set_exports(&collectors_);
    journal_.set_gate([this](const LogEntry& entry) { return takes(pressure_, entry); });
    load_names();
    look_at_disk();
    SEKISHO_TRY(exports_, ExportServer::listen(loop_, options.run_dir + "/export.sock", options.allowed_uids, store_, questions_, note));
    exports_->admit_exporters(options.exporter_uids);
    SEKISHO_TRY(events_, EventServer::listen(loop_, options.run_dir + "/event.sock", {options.event_uids, options.control_uids},
                                              store_, journal_, users_, wall_clock, note));
    return {};
  }

  int run() override {
    signals_.async_wait([this](const boost::system::error_code& failed, int) {
      if (!failed) stop();
    });
    turn();
    loop_.run();
    return exit_status_;
  }

 private:
  /// Finishes what a predecessor that was killed had begun: before anything is read or stored.
  Result<void> take_over() {
    SEKISHO_TRY(Spool::Left left, spool_.recover());
    if (!left.records.empty()) note(std::to_string(left.records.size()) + " records of the last run are stored anew");
    source_.skip(std::move(left.marks));
    intake_.offer(left.records, Clock::now());
    store_.on_first_append([this](const std::string& path, std::uint64_t bytes) { return spool_.note(path, bytes); });
    spill_.on_change([this](std::uint64_t bytes) { return spool_.note(std::string(kSpillFile.substr(1)), bytes); },
                     [this](const std::vector<LogRecord>& records) {
                       store_.forget_noted();
                       return spool_.settle_and_spill(source_.skips(), intake_.waiting_records(), records);
                     });
    return {};
  }

  /// What the spool holds is stored, but for what waits.
  void settle() {
    if (!spool_.dirty() || (intake_.waiting() > 0 && spool_.bytes() < Spool::kBytesMax)) return;
    if (const auto settled = spool_.settle(source_.skips(), intake_.waiting_records()); !settled) {
      return note("spool.bin: " + describe(settled.error()));
    }
    store_.forget_noted();
  }

  /// Names of the last run: a record can be attributed while controld is away.
  void load_names() {
    const auto bytes = read_file(names_file_, kNameTableBytesMax);
    if (!bytes) return;
    const ByteSpan span{reinterpret_cast<const std::uint8_t*>(bytes->data()), bytes->size()};
    if (auto names = parse_names(span, std::nullopt)) names_.add(std::move(*names));
    intake_.replay_spill(wall_clock());
  }

  void take_names(std::uint32_t generation, std::shared_ptr<const Names> names, ByteSpan bytes) {
    if (names == nullptr) {
      note("controld does not know revision " + std::to_string(generation) + "; its records get the nearest names");
      names_.add_unknown(generation);
      return;
    }
    names_.add(std::move(names));
    if (const auto saved = replace_file(names_file_, bytes); !saved) note("names.bin: " + describe(saved.error()));
    intake_.replay_spill(wall_clock());
  }

  /// One round; true when records came.
  bool work() {
    const auto now = Clock::now();
    source_.poll(now);
    batch_.clear();
    source_.gather(batch_);
    if (!batch_.empty()) events_->take_waiting();
    const bool spooled = !batch_.empty() && spool_.add(source_.marks(), batch_);
    if (spooled) source_.release();
    intake_.offer(batch_, now);
    intake_.process(now, wall_clock());
    if (!spooled) source_.release();  // no room on the disk: at least nothing is lost
    settle();
    return !batch_.empty();
  }

  void turn() {
    const bool busy = work();
    const auto now = Clock::now();
    if (now >= next_sync_) {
      next_sync_ = now + kSyncInterval;
      journal_.set_time_synced(clock_in_step());
      journal_.retry(wall_clock());
      store_.seal_hours(wall_clock());
      settle();
      if (make_safe() && !spool_.dirty()) {
        sign(false);
        collectors_.take_safe();
      }
      collectors_.save();
    } else if (now >= next_soon_ && events_->keeps_waiting() && !spool_.dirty() && journal_.settled()) {
      make_safe();
      next_soon_ = Clock::now() + kSyncSoon;
    }
    if (now >= next_report_) {
      next_report_ = now + kReportInterval;
      look_at_disk();
      collectors_.give_up_old();
      // Files go only when no spool would cut one back.
      if (!spool_.dirty()) keeping_->see(wall_clock(), now.time_since_epoch(), clock_in_step());
      report();
    }
    if (journal_.stored() != shown_) {
      shown_ = journal_.stored();
      exports_->wake();
    }
    pause_ = busy ? kTurnMin : std::min(pause_ * 2, kTurnMax);
    timer_.expires_after(pause_);
    timer_.async_wait([this](const boost::system::error_code& failed) {
      if (!failed) turn();
    });
  }

  /// Everything stored survives a power cut; those who wait for that are told, unless a successor would still cut it back.
  bool make_safe() {
    const auto synced = journal_.sync();
    if (!synced) note("sync: " + describe(synced.error()));
    if (synced && !spool_.dirty() && journal_.settled()) events_->acknowledge();
    return synced.has_value();
  }

  /// Less and less is taken as the disk fills; said when it changes.
  void look_at_disk() {
    struct statvfs disk {};
    if (::statvfs(log_dir_.c_str(), &disk) != 0) return;
    const Pressure found = pressure_for(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize, pressure_);
    if (found == pressure_) return;
    pressure_ = found;
    questions_.set_pressure(std::string(text_of_pressure(found)));
    note("the disk of the log has " + std::to_string(disk.f_bavail * disk.f_frsize >> 20) + " MiB left; pressure: " +
         std::string(text_of_pressure(found)));
  }

  /// Nobody cuts back what was signed.
  void sign(bool all) {
    if (const auto signed_now = store_.sign(wall_clock(), all); !signed_now) note("manifest: " + describe(signed_now.error()));
  }

  /// Says what went wrong since the last time, and nothing when nothing did.
  void report() {
    const Intake::Counters& now = intake_.counters();
    const auto say = [](std::uint64_t count, const char* what) {
      if (count > 0) note(std::to_string(count) + " " + what);
    };
    say(now.malformed - reported_.malformed, "malformed records refused");
    say(now.spilled - reported_.spilled, "records of unknown tenants put aside until their names are known");
    say(now.lost - reported_.lost, "records of unknown tenants lost: spill.bin is full");
    say(source_.broken() - reported_broken_, "rings given up: impossible counters");
    say(store_.torn() - reported_torn_, "torn ends mended after an unclean stop");
    if (journal_.trouble()) note("the store refuses records: " + describe(*journal_.trouble()));
    reported_ = now;
    reported_broken_ = source_.broken();
    reported_torn_ = store_.torn();
  }

  void stop() {
    timer_.cancel();
    const auto deadline = Clock::now() + kDrainMax;
    while (work() && Clock::now() < deadline) {
    }
    intake_.flush(wall_clock());
    journal_.retry(wall_clock());
    settle();
    const bool synced = make_safe();
    if (synced && !spool_.dirty()) sign(true);
    collectors_.save();
    report();
    if (!synced || !journal_.settled()) {
      note("stopped with records that could not be stored");
      exit_status_ = 1;
    }
    exports_->wake();
    exports_->stop();
    questions_.stop();
    events_->stop();
    names_client_.stop();
    loop_.stop();
  }

  boost::asio::io_context loop_{1};
  std::string log_dir_, names_file_;
  Vault store_;
  Journal journal_;
  Spill spill_;
  Spool spool_;
  NameCache names_;
  NamesClient names_client_;
  RemoteUsers users_;
  Intake intake_;
  RingSource source_;
  Erasures erasures_;
  LogExports collectors_;
  Questions questions_;
  std::optional<Keeping> keeping_;
  Pressure pressure_{};
  std::unique_ptr<ExportServer> exports_;
  std::unique_ptr<EventServer> events_;
  boost::asio::steady_timer timer_;
  boost::asio::signal_set signals_;
  std::vector<LogRecord> batch_;
  std::chrono::milliseconds pause_ = kTurnMin;
  Clock::time_point next_sync_{}, next_soon_{}, next_report_{};
  std::uint64_t shown_ = 0, reported_broken_ = 0, reported_torn_ = 0;
  Intake::Counters reported_;
  int exit_status_ = 0;
};

}  // namespace

Result<std::unique_ptr<LogDaemon>> LogDaemon::create(const LogdOptions& options) {
  std::signal(SIGPIPE, SIG_IGN);
  auto daemon = std::make_unique<Daemon>(options);
  SEKISHO_CHECK_OK(daemon->start(options));
  return std::unique_ptr<LogDaemon>(std::move(daemon));
}

}  // namespace sekisho::mgmt
