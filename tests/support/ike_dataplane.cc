// SPDX-License-Identifier: Apache-2.0
// What iked lives among, for tests with real peers: ike_dataplane RUN_DIR CONFIG
// A data plane on plain UDP sockets behind tunnel.sock, with real ESP that answers pings, and a controld that knows one thing. CONFIG:
// `listen TENANT PORT NAMESPACE ADDRESS` a line. Commands on its input, answers as JSON lines; ends with its input.
#include <google/protobuf/util/json_util.h>
#include <poll.h>

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
    } else if (change(request)) {
      answer.mutable_done();
    } else {
      answer.mutable_refused()->set_reason("no");
    }
    answer.set_correlation(request.correlation());
    send(answer, fds);
  }
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
  struct Tunnel {
    std::uint32_t tenant = 0, port = 0, user = 0;
    std::vector<Address> leases;
    std::string note;
    std::vector<std::pair<std::uint32_t, bool>> sas;
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
    for (const auto& [number, tunnel] : tunnels_) {
      auto& left = *answer.mutable_welcome()->add_left();
      left.set_tunnel(number);
      left.set_tenant(tunnel.tenant);
      left.set_note(tunnel.note);
    }
  }
  bool change(const ipc::ToTunnels& request) {
    if (request.has_open_tunnel()) return open(request.open_tunnel());
    if (request.has_close_tunnel()) return erase(request.close_tunnel().tunnel());
    if (request.has_install_sa()) return install(request.install_sa());
    if (request.has_move_sa()) {
      const auto& move = request.move_sa();
      return esp_.move({{}, move.spi(), move.inbound()}, path_of(move.path()), move.udp_encapsulation());
    }
    if (request.has_remove_sa()) {
      esp_.remove({{}, request.remove_sa().spi(), request.remove_sa().inbound()});
      return true;
    }
    return false;
  }
  bool open(const ipc::OpenTunnel& from) {
    Tunnel made{from.tenant(), from.tunnel_port(), from.user(), {}, from.note(), {}};
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
      auto& gone = *out.mutable_event()->mutable_gone();
      gone.set_tunnel(number);
      gone.set_tenant(tunnels_.at(number).tenant);
      gone.set_note(tunnels_.at(number).note);
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
};

/// Answers GetVpnConfig with what a file says, in protobuf's JSON.
class Control {
 public:
  bool listens(const std::string& path) {
    auto made = IpcListener::listen(path, 0666);
    if (made) listener_.emplace(std::move(*made));
    return made.has_value();
  }
  [[nodiscard]] int listener_fd() const { return listener_->fd(); }
  [[nodiscard]] int fd() const { return connection_ ? connection_->fd() : -1; }
  bool set(const std::string& json) {
    plan_.Clear();
    return google::protobuf::util::JsonStringToMessage(json, &plan_).ok();
  }
  void accept() {
    auto made = listener_->accept();
    if (made) connection_.emplace(std::move(*made));
  }
  void serve() {
    auto message = connection_->receive(0ms);
    ipc::ToControl request;
    if (!message || !request.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size()))) return connection_.reset();
    ipc::FromControl answer;
    answer.set_correlation(request.correlation());
    auto& reply = *answer.mutable_vpn_config();
    reply.set_generation(plan_.generation());
    Fd blob;
    std::vector<int> fds;
    if (request.get_vpn_config().known() < plan_.generation()) {
      const std::string bytes = plan_.SerializeAsString();
      blob = std::move(make_sealed_blob("vpn", bytes_of(bytes))).value();
      fds.push_back(blob.get());
      reply.set_size(bytes.size());
    }
    if (!connection_->send(bytes_of(answer.SerializeAsString()), fds)) connection_.reset();
  }

 private:
  std::optional<IpcListener> listener_;
  std::optional<IpcConnection> connection_;
  ipc::VpnConfig plan_;
};

class World {
 public:
  World(Wires& wires, ToyEsp& esp) : wires_(wires), esp_(esp), dataplane_(esp) {}

  bool start(const std::string& run_dir) { return dataplane_.listens(run_dir + "/tunnel.sock") && control_.listens(run_dir + "/control.sock"); }

  void run() {
    while (true) {
      std::vector<pollfd> polled;
      for (const int fd : {STDIN_FILENO, dataplane_.listener_fd(), dataplane_.fd(), control_.listener_fd(), control_.fd()}) polled.push_back({fd, POLLIN, 0});
      const std::size_t first = polled.size();
      for (const Listener& one : wires_.listeners) polled.push_back({one.fd.get(), POLLIN, 0});
      (void)::poll(polled.data(), polled.size(), 1);  // the ring has no doorbell
      dataplane_.injected([this](const Path& path, ByteSpan payload) { wires_.send(path, payload); });
      if (polled[0].revents != 0 && !commands()) return;
      if (polled[2].revents != 0 && dataplane_.fd() >= 0) dataplane_.serve();
      if (polled[1].revents != 0) dataplane_.accept();
      if (polled[4].revents != 0 && control_.fd() >= 0) control_.serve();
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
  void command(const std::string& line) {
    std::istringstream words(line);
    std::string word, text;
    std::uint32_t spi = 0;
    words >> word >> text;
    std::vector<std::string> lines;
    if (word == "tunnels") lines = dataplane_.lines();
    if (word == "sas") lines = esp_.lines();
    if (word == "plan") lines = {control_.set(contents(text)) ? "yes" : "no"};
    if (word == "die") dataplane_.die();
    if (word == "refuse") esp_.refuse(text == "1");
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
