// SPDX-License-Identifier: Apache-2.0
// SSTP through a real tunneld, beside the same bytes through plain TLS 1.3 with AES-256-GCM (the limit).
//   sstp_bench TUNNELD FOLDER [--rounds N] [--seconds N] [--sessions N]
// FOLDER holds gateway.pem and gateway.key. Runs in a network namespace of its own whose loopback has the service network's addresses
// (tests/bench/sstp.py makes one). A figure is user data carried by one second of processor time of whoever is measured, all its
// threads; packets are 1400 bytes inside. Who is measured has core 0, everything else has core 1. One line of JSON.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <dirent.h>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>

#include "base/net/service_address.h"
#include "tests/bench/door_edge.h"
#include "tests/bench/sstp_client.h"

namespace sekisho::bench {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::uint16_t kOurPort = 8443, kRawPort = 8444;
constexpr std::size_t kPacket = 1400, kWhole = kPacket + SstpClient::kHead, kRecordMax = 16384, kTogether = kRecordMax / kWhole;
constexpr uid_t kNobody = 65534;
constexpr const char* kUser = "user0";
constexpr const char* kPassword = "a measurer's";

struct Options {
  std::string tunneld, folder;
  int rounds = 3;
  double seconds = 2;
  std::size_t sessions = 0;
};

std::string contents(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

void stay_on(unsigned core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  (void)::sched_setaffinity(0, sizeof(set), &set);
}

/// Processor seconds of all threads of a process so far.
double processor_of(pid_t pid) {
  const std::string folder = "/proc/" + std::to_string(pid) + "/task";
  double out = 0;
  DIR* const tasks = ::opendir(folder.c_str());
  if (tasks == nullptr) fail("who is measured has ended");
  while (const dirent* one = ::readdir(tasks)) {
    std::ifstream file(folder + "/" + one->d_name + "/schedstat");
    double nanoseconds = 0;
    if (file >> nanoseconds) out += nanoseconds / 1e9;
  }
  ::closedir(tasks);
  return out;
}
std::size_t resident_kb(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::strtoul(line.c_str() + 6, nullptr, 10);
  }
  return 0;
}

// --- the limit: TLS and nothing else ---------------------------------------------------------------------------------------

enum class Way { kIn, kOut, kThrough };

/// Takes two connections (one for kIn and kOut) at a time, for ever: reads what comes, writes records of `record` bytes.
[[noreturn]] void serve_raw(const Options& options, Way way, std::size_t record) {
  stay_on(0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  SSL_CTX* context = SSL_CTX_new(TLS_server_method());
  SSL_CTX_use_certificate_file(context, (options.folder + "/gateway.pem").c_str(), SSL_FILETYPE_PEM);
  SSL_CTX_use_PrivateKey_file(context, (options.folder + "/gateway.key").c_str(), SSL_FILETYPE_PEM);
  SSL_CTX_set_ciphersuites(context, "TLS_AES_256_GCM_SHA384");
  SSL_CTX_set_read_ahead(context, 1);
  const Fd listener(::socket(AF_INET, SOCK_STREAM, 0));
  const int on = 1;
  sockaddr_in here{};
  here.sin_family = AF_INET, here.sin_port = htons(kRawPort);
  (void)::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  (void)::setsockopt(listener.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&here), sizeof(here)) != 0 || ::listen(listener.get(), 8) != 0) ::_exit(1);
  std::array<SSL*, 2> ends{};
  for (std::size_t i = 0; i < (way == Way::kThrough ? 2U : 1U); ++i) {
    ends[i] = SSL_new(context);
    SSL_set_fd(ends[i], ::accept(listener.get(), nullptr, nullptr));
    if (SSL_accept(ends[i]) != 1) ::_exit(1);
  }
  std::vector<unsigned char> bytes(2 * kRecordMax, 0x5a);
  std::size_t held = 0;
  while (true) {
    if (way == Way::kOut) {
      if (SSL_write(ends[0], bytes.data(), static_cast<int>(record)) <= 0) ::_exit(0);
      continue;
    }
    const int got = SSL_read(ends[0], bytes.data() + held, static_cast<int>(kRecordMax));
    if (got <= 0) ::_exit(0);
    if (way == Way::kIn) continue;
    held += static_cast<std::size_t>(got);
    std::size_t sent = 0;
    for (; held - sent >= record; sent += record) {
      if (SSL_write(ends[1], bytes.data() + sent, static_cast<int>(record)) <= 0) ::_exit(0);
    }
    held -= sent;
    std::memmove(bytes.data(), bytes.data() + sent, held);
  }
}

/// A child process that is killed with its owner.
class Child {
 public:
  explicit Child(const std::function<void()>& body) : pid_(::fork()) {
    if (pid_ == 0) {
      body();
      ::_exit(1);
    }
  }
  ~Child() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

// --- carrying --------------------------------------------------------------------------------------------------------------

struct Figure {
  double gbit_per_core = 0, gbit = 0;
  std::size_t record = 0;  ///< mean size of what came out
};

/// What goes on while it is measured: a thread that writes `chunk` again and again, one that reads; then both are cut.
class Traffic {
 public:
  void write(TlsClient& to, std::vector<std::uint8_t> chunk) {
    ends_.push_back(&to);
    threads_.emplace_back([this, &to, chunk = std::move(chunk)] {
      while (to.write(chunk)) written_.fetch_add(chunk.size(), std::memory_order_relaxed);
    });
  }
  void read(TlsClient& from) {
    ends_.push_back(&from);
    threads_.emplace_back([this, &from] {
      std::vector<std::uint8_t> piece(kRecordMax);
      for (std::size_t got; (got = from.read(piece)) > 0;) {
        read_.fetch_add(got, std::memory_order_relaxed);
        records_.fetch_add(1, std::memory_order_relaxed);
      }
    });
  }
  ~Traffic() {
    for (TlsClient* one : ends_) one->cut();
    for (std::thread& one : threads_) one.join();
  }
  [[nodiscard]] std::uint64_t written() const { return written_; }
  [[nodiscard]] std::uint64_t read() const { return read_; }
  [[nodiscard]] std::uint64_t records() const { return records_; }

 private:
  std::vector<TlsClient*> ends_;
  std::vector<std::thread> threads_;
  std::atomic<std::uint64_t> written_{0}, read_{0}, records_{0};
};

/// `carried`: bytes of users' packets so far.
Figure measure(const Options& options, pid_t who, const Traffic& traffic, const std::function<double()>& carried) {
  std::this_thread::sleep_for(500ms);  // windows open; nothing is awaited
  const auto begun = Clock::now();
  const double used = processor_of(who), bytes = carried();
  const std::uint64_t read = traffic.read(), records = traffic.records();
  std::this_thread::sleep_for(std::chrono::duration<double>(options.seconds));
  const double bits = 8e-9 * (carried() - bytes), processor = processor_of(who) - used;
  Figure out;
  out.gbit = bits / std::chrono::duration<double>(Clock::now() - begun).count();
  out.gbit_per_core = processor > 0 ? bits / processor : 0;
  if (traffic.records() > records) out.record = (traffic.read() - read) / (traffic.records() - records);
  return out;
}

double packets_in(std::uint64_t bytes) { return static_cast<double>(bytes) * kPacket / kWhole; }

std::vector<std::uint8_t> repeated(const std::vector<std::uint8_t>& one, std::size_t count) {
  std::vector<std::uint8_t> out;
  for (std::size_t i = 0; i < count; ++i) out.insert(out.end(), one.begin(), one.end());
  return out;
}

std::uint32_t wish(Wish what) { return 0x0a000000U | static_cast<std::uint32_t>(what); }

Figure raw(const Options& options, Way way, std::size_t in_record, std::size_t out_record) {
  const Child server([&] { serve_raw(options, way, out_record); });
  std::vector<TlsClient> ends;
  for (int tries = 0; ends.size() < (way == Way::kThrough ? 2U : 1U) && tries < 1000; ++tries) {
    auto made = TlsClient::connect("127.0.0.1", kRawPort);
    if (made) ends.push_back(std::move(*made));
    if (!made) std::this_thread::sleep_for(10ms);  // until it listens
  }
  if (ends.empty()) fail("plain TLS cannot be reached");
  Traffic traffic;
  if (way != Way::kOut) traffic.write(ends.front(), std::vector<std::uint8_t>(in_record, 0x5a));
  if (way != Way::kIn) traffic.read(ends.back());
  return measure(options, server.pid(), traffic, [&] { return packets_in(way == Way::kIn ? traffic.written() : traffic.read()); });
}

std::unique_ptr<SstpClient> enter(const std::string& address, std::uint16_t port, const char* user = kUser) {
  auto out = SstpClient::login(address, port, user, kPassword);
  if (!out) fail("the login failed");
  return out;
}

Figure ours(const Options& options, Way way, const Edge& edge, pid_t tunneld, std::size_t together) {
  const std::string gateway = to_string(service_address(1, Family::kIpv4));
  const std::size_t before = edge.opened();
  const auto first = enter(gateway, kOurPort);
  std::unique_ptr<SstpClient> second = way == Way::kThrough ? enter(gateway, kOurPort, "user1") : nullptr;
  for (int tries = 0; edge.opened() < before + (second ? 2 : 1) && tries < 1000; ++tries) std::this_thread::sleep_for(10ms);
  Traffic traffic;
  if (way == Way::kOut) first->tls().write(first->packet(kPacket, wish(Wish::kPour)));
  if (way == Way::kOut) traffic.read(first->tls());
  if (second) traffic.read(second->tls());
  const Wish what = way == Way::kIn ? Wish::kSink : Wish::kAcross;
  if (way != Way::kOut) traffic.write(first->tls(), repeated(first->packet(kPacket, wish(what)), together));
  return measure(options, tunneld, traffic,
                 [&] { return way == Way::kIn ? static_cast<double>(edge.bytes_in()) : packets_in(traffic.read()); });
}

// --- sessions --------------------------------------------------------------------------------------------------------------

/// Logs in as many users as asked and holds them.
std::string hold(const Options& options, const Edge& edge, pid_t tunneld) {
  const std::string gateway = to_string(service_address(1, Family::kIpv4));
  { const auto warm = enter(gateway, kOurPort); }
  const std::size_t before = resident_kb(tunneld), opened = edge.opened();
  const double used = processor_of(tunneld);
  const auto begun = Clock::now();
  std::vector<Fd> held;
  for (std::size_t i = 0; i < options.sessions; ++i) {
    const std::string user = "user" + std::to_string(i);
    held.push_back(enter(gateway, kOurPort, user.c_str())->tls().hold());
  }
  for (int tries = 0; edge.opened() < opened + options.sessions && tries < 2000; ++tries) std::this_thread::sleep_for(10ms);
  const double wall = std::chrono::duration<double>(Clock::now() - begun).count(), processor = processor_of(tunneld) - used;
  std::ostringstream out;
  out << "{\"sessions\": " << edge.opened() - opened << ", \"rss_mb\": " << static_cast<double>(resident_kb(tunneld)) / 1024
      << ", \"kb_per_session\": " << static_cast<double>(resident_kb(tunneld) - before) / static_cast<double>(options.sessions)
      << ", \"ms_per_login\": " << 1000 * processor / static_cast<double>(options.sessions)
      << ", \"logins_per_second\": " << static_cast<double>(options.sessions) / wall << "}";
  return out.str();
}

// --- the whole -------------------------------------------------------------------------------------------------------------

std::string packed(const Address& address) { return {address.wire().begin(), address.wire().end()}; }

ipc::VpnConfig plan_of(const Options& options) {
  ipc::VpnConfig out;
  out.set_generation(1);
  out.set_node("bench");
  auto& tenant = *out.add_tenants();
  tenant.set_id(1);
  tenant.set_service_code("acm00000001");
  const auto hash = vpn::weak::nt_hash_of(kPassword);
  for (std::size_t i = 0; i < std::max<std::size_t>(options.sessions, 2); ++i) {
    auto& user = *tenant.add_users();
    user.set_id(static_cast<std::uint32_t>(i + 1));
    user.set_name("user" + std::to_string(i));
    user.set_nt_hash(std::string(hash.begin(), hash.end()));
    user.add_groups("staff");
  }
  auto& group = *tenant.add_groups();
  group.set_name("staff"), group.set_pool("people");
  auto& pool = *tenant.add_pools();
  pool.set_name("people");
  auto& range = *pool.add_ranges();
  range.set_first(packed(Address::from_v4(0x0a630001))), range.set_last(packed(Address::from_v4(0x0a63fffe)));
  auto& gateway = *tenant.add_gateways();
  gateway.set_name("vpn"), gateway.set_identity("gw.bench.test"), gateway.set_profile("modern");
  gateway.add_addresses(packed(Address::from_v4(0xcb007115)));
  gateway.add_dns(packed(Address::from_v4(0x0a000035)));
  gateway.set_tunnel_port(2);
  gateway.set_default_group("staff");
  auto& sstp = *gateway.mutable_sstp();
  sstp.add_accept(ipc::DOOR_MSCHAPV2);
  sstp.add_certificates(contents(options.folder + "/gateway.pem"));
  sstp.add_keys(contents(options.folder + "/gateway.key"));
  sstp.set_port(1);
  auto& service = *sstp.add_services();
  service.set_address(packed(Address::from_v4(0xcb007115))), service.set_number(1);
  return out;
}

[[noreturn]] void become_tunneld(const Options& options) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  stay_on(0);
  if (::setgid(kNobody) != 0 || ::setuid(kNobody) != 0) ::_exit(1);
  const std::string port = std::to_string(kOurPort);
  ::execl(options.tunneld.c_str(), "tunneld", "--run-dir", options.folder.c_str(), "--port", port.c_str(), nullptr);
  ::_exit(1);
}

std::string json(const Figure& one) {
  std::ostringstream out;
  out << "{\"gbit_per_core\": " << one.gbit_per_core << ", \"gbit\": " << one.gbit << ", \"record\": " << one.record << "}";
  return out.str();
}

void keep_best(Figure& best, const Figure& one) {
  if (one.gbit_per_core > best.gbit_per_core) best = one;
}

/// All rows, in turns.
std::string rows(const Options& options, const Edge& edge, pid_t tunneld) {
  struct Row {
    const char* name;
    Way way;
    std::size_t together;
  };
  constexpr Row kRows[] = {{"in", Way::kIn, 1}, {"in_together", Way::kIn, kTogether}, {"out", Way::kOut, 0}, {"through", Way::kThrough, 1}};
  std::map<std::string, Figure> best;
  for (int round = 0; round < options.rounds; ++round) {
    for (const Row& row : kRows) {
      const std::string name = row.name;
      const Figure one = ours(options, row.way, edge, tunneld, row.together);
      keep_best(best[name + "_ours"], one);
      keep_best(best[name + "_limit"], raw(options, row.way, row.together * kWhole, one.record));
    }
  }
  std::string out;
  for (const auto& [name, figure] : best) out += (out.empty() ? "\"" : ", \"") + name + "\": " + json(figure);
  return out;
}

int run(const Options& options) {
  stay_on(1);
  ::signal(SIGPIPE, SIG_IGN);
  const rlimit files{65536, 65536};
  (void)::setrlimit(RLIMIT_NOFILE, &files);
  const Edge edge(options.folder, plan_of(options), kPacket);
  const Child tunneld([&] { become_tunneld(options); });
  bool ready = false;
  for (int tries = 0; !ready && tries < 2000; ++tries) {
    ready = SstpClient::login(to_string(service_address(1, Family::kIpv4)), kOurPort, kUser, kPassword) != nullptr;
    if (!ready) std::this_thread::sleep_for(20ms);  // until it has its plan
  }
  if (!ready) fail("tunneld lets nobody in");
  std::string out = rows(options, edge, tunneld.pid());
  if (options.sessions > 0) out += (out.empty() ? "" : ", ") + std::string("\"held\": ") + hold(options, edge, tunneld.pid());
  std::printf("{%s}\n", out.c_str());
  return 0;
}

}  // namespace
}  // namespace sekisho::bench

int main(int argc, char** argv) {
  using namespace sekisho::bench;
  Options options;
  if (argc < 3) {
    std::fputs("usage: sstp_bench TUNNELD FOLDER [--rounds N] [--seconds N] [--sessions N]\n", stderr);
    return 2;
  }
  options.tunneld = argv[1], options.folder = argv[2];
  for (int i = 3; i + 1 < argc; i += 2) {
    const std::string_view word = argv[i];
    const long value = std::strtol(argv[i + 1], nullptr, 10);
    if (word == "--rounds") options.rounds = static_cast<int>(value);
    if (word == "--seconds") options.seconds = static_cast<double>(value);
    if (word == "--sessions") options.sessions = static_cast<std::size_t>(value);
  }
  return run(options);
}
