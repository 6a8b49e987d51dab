// SPDX-License-Identifier: Apache-2.0
// What iked lives among, for tests with real peers: ike_dataplane RUN_DIR CONFIG
// A data plane on plain UDP sockets behind tunnel.sock, with real ESP that answers pings, and a controld that knows one thing. CONFIG:
// `listen TENANT PORT NAMESPACE ADDRESS` a line. Commands on its input, answers as JSON lines; ends with its input.
#include <google/protobuf/util/json_util.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <sstream>

#include "base/ipc/sealed_blob.h"
#include "base/ipc/seqpacket.h"
#include "base/net/checksum.h"
#include "base/proto/control_mgmt.pb.h"
#include "base/proto/control_vpn.pb.h"
#include "base/proto/tunnel.pb.h"
#include "base/shm/datagram_ring.h"
#include "tests/support/ike_wires.h"
#include "tests/support/toy_esp.h"

namespace sekisho::test {
namespace {

using namespace std::chrono_literals;
using namespace vpn;

constexpr std::uint32_t kRingBytes = 1U << 20;

ByteSpan bytes_of(const std::string& text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }
Address address_of(const std::string& bytes) { return Address::from_wire(bytes_of(bytes)).value(); }
std::string wire_of(const Address& address) { return {address.wire().begin(), address.wire().end()}; }

Path path_of(const ipc::TunnelPath& from) {
  return {from.tenant(), from.port(), {address_of(from.local()), static_cast<std::uint16_t>(from.local_port())},
          {address_of(from.remote()), static_cast<std::uint16_t>(from.remote_port())}};
}

template <typename Repeated>
std::vector<Selector> selectors_of(const Repeated& from) {
  std::vector<Selector> out;
  for (const auto& one : from) {
    const Prefix prefix{address_of(one.address()), static_cast<std::uint8_t>(one.length())};
    out.push_back({prefix.first(), prefix.last(), 0, 0, 65535});
  }
  return out;
}

/// Answers like a data plane; knows nothing of packets but what ToyEsp does.
class Dataplane {
 public:
  explicit Dataplane(ToyEsp& esp) : esp_(esp) {}

  bool listens(const std::string& path) {
    auto made = IpcListener::listen(path, 0666);
    if (made) listener_.emplace(std::move(*made));
    return made.has_value();
  }
  [[nodiscard]] int listener_fd() const { return listener_->fd(); }
  [[nodiscard]] int fd() const { return connection_ ? connection_->fd() : -1; }

  void accept() {
    auto made = listener_->accept();
    if (made) connection_.emplace(std::move(*made));  // a new daemon takes over
  }
  void serve() {
    auto message = connection_->receive(0ms);
    if (!message) return connection_.reset();
    ipc::ToTunnels request;
    if (!request.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size()))) return connection_.reset();
    ipc::FromTunnels answer;
    std::vector<Fd> fds;
    if (request.has_hello()) {
      hello(answer, fds);
    } else if (request.has_allocate_spi()) {
      answer.mutable_spi_allocated()->set_spi(esp_.allocate_spi(path_of(request.allocate_spi().path())).value());
    } else if (request.has_query_sa()) {
      const auto use = esp_.query({{}, request.query_sa().spi(), request.query_sa().inbound()});
      answer.mutable_sa_use()->set_bytes(use ? use->bytes : 0);
      answer.mutable_sa_use()->set_packets(use ? use->packets : 0);
      answer.mutable_sa_use()->set_used(use && use->packets > 0);
    } else if (request.has_query_tunnel()) {
      *answer.mutable_tunnel_use() = use_of(request.query_tunnel().tunnel());
    } else if (request.has_close_tunnel()) {
      close(request.close_tunnel(), answer);
    } else if (change(request)) {
      answer.mutable_done();
    } else {
      answer.mutable_refused()->set_reason("no");
    }
    answer.set_correlation(request.correlation());
    send(answer, fds);
    if (!request.has_hello()) return;
    tell_left();
    for (const auto& [number, gone] : kept_) {
      ipc::FromTunnels event;
      *event.mutable_event()->mutable_gone() = gone;
      send(event, {});
    }
  }
  [[nodiscard]] std::size_t kept() const { return kept_.size(); }
  void moved(std::uint32_t spi, const Endpoint& remote) {
    ipc::FromTunnels out;
    auto& event = *out.mutable_event()->mutable_moved();
    event.set_spi(spi);
    event.set_remote(wire_of(remote.address));
    event.set_remote_port(remote.port);
    send(out, {});
  }
  void expire(std::uint32_t spi, bool hard) {
    ipc::FromTunnels out;
    auto& event = *out.mutable_event()->mutable_limit();
    event.set_spi(spi);
    event.set_inbound(true);
    event.set_hard(hard);
    send(out, {});
  }
  void punt(const Path& path, ByteSpan payload) {
    if (punt_) (void)punt_->push({path.tenant, path.port, path.local.address, path.remote.address, path.local.port, path.remote.port}, std::array{payload});
  }
  template <typename Take>
  void injected(Take take) {
    std::array<std::uint8_t, kDatagramBytesMax> payload;
    DatagramHead head;
    for (bool found = inject_.has_value(); found;) {
      const auto length = inject_->pop(head, payload, found);
      if (!length || !found) return;
      take(Path{head.tenant, head.port, {head.local, head.local_port}, {head.remote, head.remote_port}}, ByteSpan(payload).first(*length));
    }
  }
  /// All tunnels and SAs die with the connection: as a data plane that was killed.
  void die() {
    connection_.reset();
    kept_.clear();
    while (!tunnels_.empty()) erase(tunnels_.begin()->first);
  }
  [[nodiscard]] std::vector<std::string> lines() const {
    std::vector<std::string> out;
    for (const auto& [number, tunnel] : tunnels_) {
      std::string line = std::to_string(tunnel.tenant) + " user " + std::to_string(tunnel.user) + " port " + std::to_string(tunnel.port);
      for (const Address& lease : tunnel.leases) line += " " + to_string(lease);
      out.push_back(line);
    }
    return out;
  }

 private:
  ipc::TunnelUse use_of(std::uint32_t number) {
    ipc::TunnelUse out;
    const auto tunnel = tunnels_.find(number);
    if (tunnel == tunnels_.end()) return out;
    out = tunnel->second.use;
    for (const auto& [spi, inbound] : tunnel->second.sas) {
      const auto use = esp_.query({{}, spi, inbound});
      if (!use) continue;
      if (inbound) out.set_bytes_in(out.bytes_in() + use->bytes), out.set_packets_in(out.packets_in() + use->packets);
      if (!inbound) out.set_bytes_out(out.bytes_out() + use->bytes), out.set_packets_out(out.packets_out() + use->packets);
    }
    return out;
  }
  void close(const ipc::CloseTunnel& request, ipc::FromTunnels& answer) {
    const std::uint32_t number = request.tunnel();
    if (!request.keep()) {
      kept_.erase(number);
      erase(number);
      answer.mutable_done();
      return;
    }
    *answer.mutable_tunnel_use() = use_of(number);
    keep(number, ipc::TunnelGone::CLOSED);
    erase(number);
  }
  ipc::TunnelGone keep(std::uint32_t number, ipc::TunnelGone::Why why) {
    ipc::TunnelGone& gone = kept_[number];
    const Tunnel& tunnel = tunnels_.at(number);
    const ipc::TunnelUse use = use_of(number);
    gone.set_tunnel(number), gone.set_tenant(tunnel.tenant), gone.set_note(tunnel.note), gone.set_why(why);
    gone.set_bytes_in(use.bytes_in()), gone.set_bytes_out(use.bytes_out());
    gone.set_packets_in(use.packets_in()), gone.set_packets_out(use.packets_out());
    return gone;
  }

  struct Tunnel {
    std::uint32_t tenant = 0, port = 0, user = 0;
    std::vector<Address> leases;
    std::string note;
    std::vector<std::pair<std::uint32_t, bool>> sas;
    ipc::TunnelUse use = {};  ///< of SAs that are gone
  };

  void hello(ipc::FromTunnels& answer, std::vector<Fd>& fds) {
    punt_.emplace(DatagramRingWriter::create(kRingBytes).value());
    inject_.emplace(DatagramRingReader::create(kRingBytes).value());
    fds.push_back(punt_->duplicate_bytes_fd().value());
    fds.push_back(punt_->duplicate_cursor_fd().value());
    fds.push_back(inject_->duplicate_bytes_fd().value());
    fds.push_back(inject_->duplicate_cursor_fd().value());
    answer.mutable_welcome()->set_shards(1);
    answer.mutable_welcome()->set_punt_rings(1);
  }
  /// Behind the welcome, one at a time: thousands would be more than a message holds.
  void tell_left() {
    for (const auto& [number, tunnel] : tunnels_) {
      ipc::FromTunnels out;
      auto& left = *out.mutable_event()->mutable_left();
      left.set_tunnel(number);
      left.set_tenant(tunnel.tenant);
      left.set_note(tunnel.note);
      send(out, {});
    }
  }
  bool change(const ipc::ToTunnels& request) {
    if (request.has_open_tunnel()) return open(request.open_tunnel());
    if (request.has_install_sa()) return install(request.install_sa());
    if (request.has_move_sa()) {
      const auto& move = request.move_sa();
      return esp_.move({{}, move.spi(), move.inbound()}, path_of(move.path()), move.udp_encapsulation());
    }
    if (request.has_remove_sa()) {
      const auto tunnel = tunnels_.find(request.remove_sa().tunnel());
      if (tunnel != tunnels_.end()) {
        const ipc::TunnelUse before = use_of(tunnel->first);
        std::erase(tunnel->second.sas, std::pair{request.remove_sa().spi(), request.remove_sa().inbound()});
        tunnel->second.use.Clear();
        const ipc::TunnelUse rest = use_of(tunnel->first);
        tunnel->second.use.set_bytes_in(before.bytes_in() - rest.bytes_in()), tunnel->second.use.set_bytes_out(before.bytes_out() - rest.bytes_out());
        tunnel->second.use.set_packets_in(before.packets_in() - rest.packets_in());
        tunnel->second.use.set_packets_out(before.packets_out() - rest.packets_out());
      }
      esp_.remove({{}, request.remove_sa().spi(), request.remove_sa().inbound()});
      return true;
    }
    return false;
  }
  bool open(const ipc::OpenTunnel& from) {
    Tunnel made{from.tenant(), from.tunnel_port(), from.user(), {}, from.note(), {}};
    if (kept_.contains(from.tunnel())) return false;
    for (const std::string& lease : from.leases()) made.leases.push_back(address_of(lease));
    std::vector<std::uint32_t> losers;
    for (const auto& [number, other] : tunnels_) {
      for (const Address& lease : other.leases) {
        if (other.tenant != made.tenant || std::find(made.leases.begin(), made.leases.end(), lease) == made.leases.end()) continue;
        if (other.user != made.user) return false;
        losers.push_back(number);
        break;
      }
    }
    for (const std::uint32_t number : losers) {
      ipc::FromTunnels out;
      *out.mutable_event()->mutable_gone() = keep(number, ipc::TunnelGone::REPLACED);
      erase(number);
      send(out, {});
    }
    return !made.leases.empty() && tunnels_.emplace(from.tunnel(), std::move(made)).second;
  }
  bool erase(std::uint32_t number) {
    const auto found = tunnels_.find(number);
    if (found == tunnels_.end()) return false;
    for (const auto& [spi, inbound] : found->second.sas) esp_.remove({{}, spi, inbound});
    tunnels_.erase(found);
    return true;
  }
  bool install(const ipc::InstallSa& from) {
    const auto tunnel = tunnels_.find(from.tunnel());
    const auto local = selectors_of(from.inner_local()), remote = selectors_of(from.inner_remote());
    if (tunnel == tunnels_.end() || local.empty() || remote.empty()) return false;
    if (!from.inbound() && std::find(tunnel->second.sas.begin(), tunnel->second.sas.end(), std::pair{from.beside_spi(), true}) == tunnel->second.sas.end()) {
      return false;  // every CHILD_SA comes in by the worker it goes out by
    }
    SaParameters sa;
    sa.path = path_of(from.path());
    sa.spi = from.spi();
    sa.inbound = from.inbound();
    sa.udp_encapsulation = from.udp_encapsulation();
    sa.esn = from.esn();
    sa.encryption = static_cast<std::uint16_t>(from.encryption());
    sa.integrity = static_cast<std::uint16_t>(from.integrity());
    sa.encryption_key = bytes_of(from.encryption_key());
    sa.integrity_key = bytes_of(from.integrity_key());
    sa.local = local;
    sa.remote = remote;
    tunnel->second.sas.emplace_back(from.spi(), from.inbound());
    return esp_.install(sa);
  }
  void send(const ipc::FromTunnels& message, const std::vector<Fd>& fds) {
    if (!connection_) return;
    std::vector<int> numbers;
    for (const Fd& one : fds) numbers.push_back(one.get());
    if (!connection_->send(bytes_of(message.SerializeAsString()), numbers)) connection_.reset();
  }

  ToyEsp& esp_;
  std::optional<IpcListener> listener_;
  std::optional<IpcConnection> connection_;
  std::optional<DatagramRingWriter> punt_;
  std::optional<DatagramRingReader> inject_;
  std::map<std::uint32_t, Tunnel> tunnels_;
  std::map<std::uint32_t, ipc::TunnelGone> kept_;  ///< ended, and not closed for good
};

/// Answers GetVpnConfig with what a file says, in protobuf's JSON, keeps iked's memory for the next one, and asks it what it is told to.
class Control {
 public:
  bool listens(const std::string& path) {
    auto made = IpcListener::listen(path, 0666);
    if (made) listener_.emplace(std::move(*made));
    return made.has_value();
  }
  [[nodiscard]] int listener_fd() const { return listener_->fd(); }
  [[nodiscard]] const std::vector<IpcConnection>& peers() const { return peers_; }
  bool set(const std::string& json) {
    plan_.Clear();
    return google::protobuf::util::JsonStringToMessage(json, &plan_).ok();
  }
  void accept() {
    auto made = listener_->accept();
    if (made) peers_.push_back(std::move(*made));
  }
  /// Serves who has something to say.
  void serve(int fd) {
    const auto peer = std::find_if(peers_.begin(), peers_.end(), [fd](const IpcConnection& one) { return one.fd() == fd; });
    if (peer == peers_.end()) return;
    auto message = peer->receive(0ms);
    ipc::ToControl request;
    if (!message || !request.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size())) || !serve(*peer, request)) {
      if (ready_ == fd) ready_ = -1;
      peers_.erase(peer);
    }
  }
  /// Wrong passwords of users, as they were saved.
  [[nodiscard]] std::vector<std::string> memory() const {
    std::vector<std::string> out;
    for (const auto& one : memory_.failures()) {
      if (!one.user().empty()) out.push_back(one.user() + " " + std::to_string(one.each_size()));
    }
    return out;
  }
  /// Asks as soon as iked waits for it; the answer is said.
  void ask(const std::string& word, ipc::VpnQuestion question) {
    questions_.emplace_back(word, std::move(question));
  }
  void turn() {
    const auto now = std::chrono::steady_clock::now();
    if (questions_.empty() && now >= next_save_) {
      next_save_ = now + 1s;
      ipc::VpnQuestion question;
      question.mutable_save();
      if (ready_ >= 0) ask("", std::move(question));
    }
    const auto peer = std::find_if(peers_.begin(), peers_.end(), [this](const IpcConnection& one) { return one.fd() == ready_; });
    if (peer == peers_.end() || questions_.empty()) return;
    blob_ = Fd(::memfd_create("answer", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    ipc::FromControl out;
    out.set_correlation(correlation_);
    *out.mutable_vpn_question() = questions_.front().second;
    out.mutable_vpn_question()->set_number(1);
    asked_ = questions_.front().first;
    questions_.erase(questions_.begin());
    ready_ = -1;
    const int fds[] = {blob_.get()};
    (void)peer->send(bytes_of(out.SerializeAsString()), fds);
  }

 private:
  bool serve(IpcConnection& peer, const ipc::ToControl& request) {
    if (request.has_vpn_ready()) {
      if (request.vpn_ready().answers() != 0) take();
      ready_ = peer.fd();
      correlation_ = request.correlation();
      return true;
    }
    ipc::FromControl answer;
    answer.set_correlation(request.correlation());
    auto& reply = *answer.mutable_vpn_config();
    reply.set_generation(plan_.generation());
    Fd blob;
    std::vector<int> fds;
    if (request.get_vpn_config().known() < plan_.generation()) {
      if (request.get_vpn_config().known() == 0) *plan_.mutable_memory() = memory_;
      const std::string bytes = plan_.SerializeAsString();
      blob = std::move(make_sealed_blob("vpn", bytes_of(bytes))).value();
      fds.push_back(blob.get());
      reply.set_size(bytes.size());
    }
    return peer.send(bytes_of(answer.SerializeAsString()), fds).has_value();
  }
  void take() {
    (void)::fcntl(blob_.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
    const auto blob = SealedBlob::open(std::move(blob_), 64U << 20);
    ipc::VpnAnswer answer;
    if (!blob || !answer.ParseFromArray(blob->bytes().data(), static_cast<int>(blob->bytes().size()))) fail("an answer of iked");
    if (answer.has_memory()) memory_ = answer.memory();
    if (asked_.empty()) return;
    std::string lines = quoted("done " + std::to_string(answer.done()));
    for (const auto& one : answer.sessions()) {
      std::array<char, 17> sid{};
      std::snprintf(sid.data(), sid.size(), "%016llx", static_cast<unsigned long long>(one.vpn_sid()));
      lines += ',' + quoted(std::to_string(one.tenant()) + ' ' + sid.data() + ' ' + one.user() + ' ' + (one.client().empty() ? "-" : one.client()) + (one.left() ? " left" : " up"));
    }
    for (const auto& one : answer.locked()) lines += ',' + quoted("locked " + (one.user().empty() ? "a source" : one.user()));
    say("{\"answer\":" + quoted(asked_) + ",\"lines\":[" + lines + "]}");
  }

  std::optional<IpcListener> listener_;
  std::vector<IpcConnection> peers_;
  ipc::VpnConfig plan_;
  ipc::VpnMemory memory_;
  int ready_ = -1;
  std::uint64_t correlation_ = 0;
  std::string asked_;
  Fd blob_;
  std::vector<std::pair<std::string, ipc::VpnQuestion>> questions_;
  std::chrono::steady_clock::time_point next_save_{};
};

class World {
 public:
  World(Wires& wires, ToyEsp& esp) : wires_(wires), esp_(esp), dataplane_(esp) {}

  bool start(const std::string& run_dir) { return dataplane_.listens(run_dir + "/tunnel.sock") && control_.listens(run_dir + "/control.sock"); }

  void run() {
    while (true) {
      std::vector<pollfd> polled;
      for (const int fd : {STDIN_FILENO, dataplane_.listener_fd(), dataplane_.fd(), control_.listener_fd()}) polled.push_back({fd, POLLIN, 0});
      const std::size_t control = polled.size();
      for (const IpcConnection& one : control_.peers()) polled.push_back({one.fd(), POLLIN, 0});
      const std::size_t first = polled.size();
      for (const Listener& one : wires_.listeners) polled.push_back({one.fd.get(), POLLIN, 0});
      (void)::poll(polled.data(), polled.size(), 1);  // the ring has no doorbell
      dataplane_.injected([this](const Path& path, ByteSpan payload) { wires_.send(path, payload); });
      if (polled[0].revents != 0 && !commands()) return;
      if (polled[2].revents != 0 && dataplane_.fd() >= 0) dataplane_.serve();
      if (polled[1].revents != 0) dataplane_.accept();
      for (std::size_t i = control; i < first; ++i) {
        if (polled[i].revents != 0) control_.serve(polled[i].fd);
      }
      control_.turn();
      if (polled[3].revents != 0) control_.accept();
      for (std::size_t i = first; i < polled.size(); ++i) {
        if (polled[i].revents != 0) datagram(wires_.listeners[i - first]);
      }
    }
  }

 private:
  void datagram(const Listener& listener) {
    std::uint8_t bytes[65536];
    sockaddr_storage from{};
    socklen_t size = sizeof(from);
    const ssize_t got = ::recvfrom(listener.fd.get(), bytes, sizeof(bytes), MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &size);
    if (got <= 1) return;
    const ByteSpan payload(bytes, static_cast<std::size_t>(got));
    const Path path{listener.tenant, listener.port, listener.local, Wires::read(from)};
    if (listener.local.port != 4500 || (payload.size() >= 4 && (payload[0] | payload[1] | payload[2] | payload[3]) == 0)) {
      return dataplane_.punt(path, payload);
    }
    auto opened = esp_.open(path.tenant, payload);
    if (opened && opened->path.remote != path.remote) dataplane_.moved(opened->spi, path.remote);
    if (!opened || !turn_echo(opened->inner)) return;
    if (const auto answer = esp_.seal(path.tenant, opened->inner)) wires_.send(answer->path, answer->esp);
  }
  bool commands() {
    char bytes[4096];
    const ssize_t got = ::read(STDIN_FILENO, bytes, sizeof(bytes));
    if (got <= 0) return false;
    pending_.append(bytes, static_cast<std::size_t>(got));
    for (std::size_t end = pending_.find('\n'); end != std::string::npos; end = pending_.find('\n')) {
      command(pending_.substr(0, end));
      pending_.erase(0, end + 1);
    }
    return true;
  }
  /// `disconnect` and `unlock` a user of the first tenant; `disconnect` a session's 16 digits too.
  void ask(const std::string& word, const std::string& text) {
    ipc::VpnQuestion question;
    if (word == "sessions") question.mutable_list();
    if (word == "unlock") question.mutable_unlock()->set_tenant(1), question.mutable_unlock()->set_user(text);
    if (word == "disconnect" && text.size() == 16) question.mutable_end()->set_vpn_sid(std::stoull(text, nullptr, 16));
    if (word == "disconnect" && text.size() != 16) question.mutable_end()->set_tenant(1), question.mutable_end()->set_user(text);
    control_.ask(word, std::move(question));
  }
  void command(const std::string& line) {
    std::istringstream words(line);
    std::string word, text;
    std::uint32_t spi = 0;
    words >> word >> text;
    std::vector<std::string> lines;
    if (word == "tunnels") lines = dataplane_.lines();
    if (word == "sas") lines = esp_.lines();
    if (word == "plan") lines = {control_.set(contents(text)) ? "yes" : "no"};
    if (word == "memory") lines = control_.memory();
    if (word == "kept") lines = {std::to_string(dataplane_.kept())};
    if (word == "die") dataplane_.die();
    if (word == "refuse") esp_.refuse(text == "1");
    if (word == "sessions" || word == "disconnect" || word == "unlock") return ask(word, text);
    if (word == "expire") {
      words >> std::hex >> spi;
      dataplane_.expire(spi, text == "hard");
    }
    std::string out = "{\"answer\":" + quoted(word) + ",\"lines\":[";
    for (const std::string& one : lines) {
      if (&one != &lines.front()) out += ',';
      out += quoted(one);
    }
    say(out + "]}");
  }

  Wires& wires_;
  ToyEsp& esp_;
  Dataplane dataplane_;
  Control control_;
  std::string pending_;
};

int run(const std::string& run_dir, const std::string& config) {
  Wires wires;
  ToyEsp esp;
  std::istringstream lines(contents(config));
  std::string word, where, address;
  std::uint32_t tenant = 0, port = 0;
  while (lines >> word >> tenant >> port >> where >> address) open_sockets(wires, tenant, port, where, parse_address(address).value());
  World world(wires, esp);
  if (!world.start(run_dir)) fail("sockets in " + run_dir);
  say("{\"answer\":\"ready\",\"lines\":[]}");
  world.run();
  return 0;
}

}  // namespace
}  // namespace sekisho::test

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  return sekisho::test::run(argv[1], argv[2]);
}
