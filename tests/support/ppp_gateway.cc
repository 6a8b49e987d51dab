// SPDX-License-Identifier: Apache-2.0
// PPP and PPTP on the sockets of a namespace, for peers that nobody here wrote: control connections on TCP port 1723, GRE on a raw
// socket, the peer's packets on a TUN device named "inner". One directory entry; each call gets the next address.
//   ppp_gateway ADDRESS USER PASSWORD METHODS [mppe] [tls=CHAIN,KEY,CA]
// METHODS: of pap,chap,mschapv2,eap,eap-tls. Events are lines on standard output.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>

#include "base/assert.h"
#include "vpn/ppp/eap_tls.h"
#include "vpn/ppp/session.h"
#include "vpn/ppp/verify.h"
#include "vpn/pptp/control.h"
#include "vpn/pptp/gre.h"
#include "vpn/random.h"

namespace sekisho {
namespace {

using namespace vpn::ppp;
using vpn::pptp::Control;
using vpn::pptp::GreLink;

struct Settings {
  std::string user, password;
  Options options;
  AuthAnswer::Verdict eap = AuthAnswer::Verdict::kMschapV2;
  std::shared_ptr<const EapTlsContext> tls;
};

Time now() { return std::chrono::steady_clock::now(); }

std::string read_file(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// One control connection and its call.
class Client : public Control::Owner, public GreLink::Owner, public Sink {
 public:
  Client(int socket, in_addr peer, std::uint16_t call, const Settings& settings, int gre, int tun)
      : socket_(socket), peer_(peer), call_(call), settings_(settings), gre_(gre), tun_(tun), control_(*this, call, now()) {}
  ~Client() override { close(socket_); }

  [[nodiscard]] int socket() const { return socket_; }
  [[nodiscard]] in_addr peer() const { return peer_; }
  [[nodiscard]] bool over() const { return over_; }
  [[nodiscard]] std::uint32_t address() const { return 0x0a4d0000U + 1 + call_; }
  [[nodiscard]] Time next() const {
    return std::min({control_.next(), session_ ? session_->next() : Time::max(), link_ ? link_->next() : Time::max()});
  }

  void readable() {
    std::array<std::uint8_t, 2048> buffer;
    const ssize_t size = read(socket_, buffer.data(), buffer.size());
    if (size <= 0 || !control_.receive(ByteSpan(buffer).first(static_cast<std::size_t>(size)), now())) {
      control_.closed(now());
      over_ = true;
    }
  }
  void gre(ByteSpan packet) {
    if (link_) link_->receive(packet, now());
  }
  void inner(ByteSpan packet) {
    if (session_) session_->send(packet[0] >> 4 == 4 ? Family::kIpv4 : Family::kIpv6, packet);
  }
  void tick() {
    if (!control_.tick(now())) over_ = true;
    if (session_) session_->tick(now());
    if (link_) link_->tick(now());
    if (down_) {
      control_.clear_call(now());
      session_.reset();
      link_.reset();
      down_ = false;
    }
  }

 private:
  void write(ByteSpan bytes) override { over_ = ::write(socket_, bytes.data(), bytes.size()) < 0 || over_; }
  void call_up(std::uint16_t peer_call, std::uint16_t /*window*/, Time at) override {
    std::printf("CALL %u %s\n", call_, control_.vendor().c_str());
    link_ = std::make_unique<GreLink>(*this, call_, peer_call);
    session_ = std::make_unique<Session>(settings_.options, *this, vpn::fill_random, settings_.tls);
    session_->lower_up(at);
  }
  void call_down(std::string_view why, Time at) override {
    std::printf("CLEAR %u %.*s\n", call_, static_cast<int>(why.size()), why.data());
    if (session_) session_->lower_down(at);
  }
  void send_packet(ByteSpan packet) override {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr = peer_;
    sendto(gre_, packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof(to));
  }
  void frame_in(ByteSpan frame, Time at) override {
    const Received received = session_->receive(frame, at);
    if (received.what == Received::What::kPacket) {
      SEKISHO_ASSERT(::write(tun_, received.packet.data(), received.packet.size()) > 0);
    }
  }
  void frame(ByteSpan frame) override { link_->send(frame); }
  void authenticate(const AuthRequest& request) override {
    AuthAnswer answer;
    const bool known = request.user == settings_.user;
    const auto hash = vpn::weak::nt_hash_of(settings_.password);
    switch (request.kind) {
      case AuthRequest::Kind::kPassword: answer = verify_password(request, hash); break;
      case AuthRequest::Kind::kChapMd5:
        answer = verify_chap_md5(request, {reinterpret_cast<const std::uint8_t*>(settings_.password.data()), settings_.password.size()});
        break;
      case AuthRequest::Kind::kMschapV2: answer = verify_mschapv2(request, hash); break;
      case AuthRequest::Kind::kIdentity: answer.verdict = settings_.eap; break;
      case AuthRequest::Kind::kRelay: break;
      case AuthRequest::Kind::kCertificate:
        std::printf("CHAIN %zu\n", request.chain.size());
        answer.verdict = AuthAnswer::Verdict::kAccept;
        break;
    }
    if (!known) answer.verdict = AuthAnswer::Verdict::kReject;
    session_->answer(request.number, answer, now());
  }
  void event(const Event& event) override {
    std::printf("%s %s %s\n", std::string(name_of(event.kind)).c_str(), event.user.c_str(), event.text.c_str());
    if (event.kind == Event::Kind::kDown) down_ = true;
    if (event.kind != Event::Kind::kAuthenticated) return;
    Network network;
    network.ipv4 = Address::from_v4(address());
    network.own_ipv4 = Address::from_v4(0x0a4d0001);
    network.dns = {Address::from_v4(0x0a4d0035)};
    Address six = parse_address("fd00:77::").value();
    six.bytes[7] = static_cast<std::uint8_t>(1 + call_);
    six.bytes[15] = 5;
    network.ipv6 = six;
    session_->open_network(network, now());
  }

  int socket_;
  in_addr peer_;
  std::uint16_t call_;
  const Settings& settings_;
  int gre_, tun_;
  Control control_;
  std::unique_ptr<GreLink> link_;
  std::unique_ptr<Session> session_;
  bool over_ = false, down_ = false;
};

int open_tun() {
  const int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  std::strcpy(request.ifr_name, "inner");
  SEKISHO_ASSERT(tun >= 0 && ioctl(tun, TUNSETIFF, &request) == 0);
  return tun;
}

class Gateway {
 public:
  Gateway(const char* address, Settings settings) : settings_(std::move(settings)), tun_(open_tun()) {
    sockaddr_in local{};
    local.sin_family = AF_INET;
    local.sin_port = htons(1723);
    SEKISHO_ASSERT(inet_pton(AF_INET, address, &local.sin_addr) == 1);
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int yes = 1;
    setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    SEKISHO_ASSERT(bind(listener_, reinterpret_cast<sockaddr*>(&local), sizeof(local)) == 0 && listen(listener_, 16) == 0);
    gre_ = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_GRE);
    local.sin_port = 0;
    SEKISHO_ASSERT(gre_ >= 0 && bind(gre_, reinterpret_cast<sockaddr*>(&local), sizeof(local)) == 0);
    std::printf("READY\n");
  }
  [[noreturn]] void run() {
    while (true) turn();
  }

 private:
  void turn() {
    std::vector<pollfd> polls{{listener_, POLLIN, 0}, {gre_, POLLIN, 0}, {tun_, POLLIN, 0}};
    Time next = now() + std::chrono::seconds(1);
    for (const auto& [call, client] : clients_) {
      polls.push_back({client->socket(), POLLIN, 0});
      next = std::min(next, client->next());
    }
    const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(next - now()).count() + 1;
    poll(polls.data(), polls.size(), static_cast<int>(std::max<std::int64_t>(wait, 0)));
    if ((polls[1].revents & POLLIN) != 0) take_gre();
    if ((polls[2].revents & POLLIN) != 0) take_inner();
    std::size_t i = 3;
    for (const auto& [call, client] : clients_) {
      if (polls[i++].revents != 0) client->readable();
      client->tick();
    }
    std::erase_if(clients_, [](const auto& entry) { return entry.second->over(); });
    if ((polls[0].revents & POLLIN) != 0) take_connection();
  }
  void take_connection() {
    sockaddr_in peer{};
    socklen_t size = sizeof(peer);
    const int socket = accept4(listener_, reinterpret_cast<sockaddr*>(&peer), &size, SOCK_CLOEXEC);
    if (socket < 0) return;
    ++last_call_;
    clients_[last_call_] = std::make_unique<Client>(socket, peer.sin_addr, last_call_, settings_, gre_, tun_);
  }
  void take_gre() {
    std::array<std::uint8_t, 65536> buffer;
    sockaddr_in from{};
    socklen_t length = sizeof(from);
    const ssize_t size = recvfrom(gre_, buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&from), &length);
    if (size < 20) return;
    const ByteSpan packet = ByteSpan(buffer).first(static_cast<std::size_t>(size)).subspan(static_cast<std::size_t>(buffer[0] & 15) * 4);
    const auto parsed = vpn::pptp::parse_gre(packet);
    if (!parsed) return;
    const auto found = clients_.find(parsed->call);
    if (found != clients_.end() && found->second->peer().s_addr == from.sin_addr.s_addr) found->second->gre(packet);
  }
  void take_inner() {
    std::array<std::uint8_t, 65536> buffer;
    const ssize_t size = read(tun_, buffer.data(), buffer.size());
    if (size < 20) return;
    const ByteSpan packet = ByteSpan(buffer).first(static_cast<std::size_t>(size));
    for (const auto& [call, client] : clients_) {
      const bool four = packet[0] >> 4 == 4 && load_be32(packet.data() + 16) == client->address();
      const bool six = packet[0] >> 4 == 6 && size >= 40 && packet[31] == 1 + call;
      if (four || six) client->inner(packet);
    }
  }
  static std::uint32_t load_be32(const std::uint8_t* at) {
    return std::uint32_t{at[0]} << 24 | std::uint32_t{at[1]} << 16 | std::uint32_t{at[2]} << 8 | at[3];
  }

  Settings settings_;
  int tun_, listener_ = -1, gre_ = -1;
  std::uint16_t last_call_ = 0;
  std::map<std::uint16_t, std::unique_ptr<Client>> clients_;
};

void add_method(Settings& settings, std::string_view method) {
  if (method == "pap") settings.options.methods.push_back(AuthMethod::kPap);
  if (method == "chap") settings.options.methods.push_back(AuthMethod::kChapMd5);
  if (method == "mschapv2") settings.options.methods.push_back(AuthMethod::kMschapV2);
  if (method.starts_with("eap")) settings.options.methods.push_back(AuthMethod::kEap);
  if (method == "eap-tls") settings.eap = AuthAnswer::Verdict::kTls;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> out(1);
  for (const char c : text) {
    if (c == ',') {
      out.emplace_back();
    } else {
      out.back().push_back(c);
    }
  }
  return out;
}

}  // namespace
}  // namespace sekisho

int main(int argc, char** argv) {
  using namespace sekisho;
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  SEKISHO_ASSERT(argc >= 5);
  Settings settings;
  settings.user = argv[2];
  settings.password = argv[3];
  settings.options.header_compression = true;
  for (const std::string& method : split(argv[4])) add_method(settings, method);
  for (int i = 5; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "mppe") settings.options.mppe = true;
    if (word.starts_with("tls=")) {
      const auto files = split(word.substr(4));
      settings.tls = vpn::ppp::EapTlsContext::make(read_file(files.at(0)), read_file(files.at(1)), {read_file(files.at(2))});
      SEKISHO_ASSERT(settings.tls != nullptr);
    }
  }
  Gateway(argv[1], std::move(settings)).run();
}
