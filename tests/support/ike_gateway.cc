// SPDX-License-Identifier: Apache-2.0
// The IKE engine on plain UDP sockets, for tests with real peers: ike_gateway CONFIG
// Opens its sockets in the network namespaces CONFIG names, gives up every privilege, and only then starts the engine. Prints a
// JSON object a line (events, answers); reads commands from its input and ends with it.
#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <set>
#include <sstream>

#include "base/net/checksum.h"
#include "base/os/fd.h"
#include "tests/support/ike_wires.h"
#include "tests/support/toy_esp.h"
#include "vpn/ike/engine.h"

namespace sekisho::test {
namespace {

using namespace vpn;

/// The test's directory: users, secrets, and one address after another.
class Users : public Directory {
 public:
  std::map<std::pair<std::uint32_t, std::string>, std::vector<std::uint8_t>> hashes, psks, ppks;
  std::map<std::uint32_t, std::vector<Address>> pools;
  std::map<std::uint32_t, std::vector<std::vector<std::uint8_t>>> peer_psks;
  std::set<std::string> banned;

  std::size_t nt_hash(const Path& path, std::string_view user, std::span<std::uint8_t> out) override { return find(hashes, path.tenant, user, out); }
  std::size_t psk(const Path& path, std::string_view peer, std::span<std::uint8_t> out) override { return find(psks, path.tenant, peer, out); }
  std::size_t peer_psk(const Path& path, std::size_t index, std::span<std::uint8_t> out) override {
    const auto found = peer_psks.find(path.tenant);
    if (found == peer_psks.end() || index >= found->second.size()) return 0;
    std::copy(found->second[index].begin(), found->second[index].end(), out.begin());
    return found->second[index].size();
  }
  void wrong_secret(const Path&, std::string_view) override {}
  Admission authorize(const Session& session) override { return {banned.contains(session.user) ? Cause::kSchedule : Cause::kNone, {}}; }
  std::size_t ppk(const Path& path, std::string_view ppk_id, std::span<std::uint8_t> out) override { return find(ppks, path.tenant, ppk_id, out); }
  std::optional<Address> lease(const Session& session, Family family) override {
    const std::lock_guard lock(mutex_);
    for (const Address& address : pools[session.path.tenant]) {
      if (address.family == family && taken_.insert({session.path.tenant, address}).second) return address;
    }
    return std::nullopt;
  }
  void release(const Session& session, const Address& address) override {
    const std::lock_guard lock(mutex_);
    taken_.erase({session.path.tenant, address});
  }

 private:
  static std::size_t find(const std::map<std::pair<std::uint32_t, std::string>, std::vector<std::uint8_t>>& in, std::uint32_t tenant,
                          std::string_view name, std::span<std::uint8_t> out) {
    const auto found = in.find({tenant, std::string(name)});
    if (found == in.end() || found->second.size() > out.size()) return 0;
    std::copy(found->second.begin(), found->second.end(), out.begin());
    return found->second.size();
  }
  std::mutex mutex_;
  std::set<std::pair<std::uint32_t, Address>> taken_;
};

class Printer : public SessionObserver {
 public:
  void on(const SessionEvent& event) override {
    std::ostringstream out;
    const Session& session = event.session;
    out << "{\"event\":" << quoted(name_of(event.kind)) << ",\"session\":" << session.id << ",\"tenant\":" << session.path.tenant
        << ",\"stage\":" << quoted(name_of(event.stage)) << ",\"cause\":" << quoted(name_of(event.cause)) << ",\"text\":" << quoted(event.text)
        << ",\"user\":" << quoted(session.user) << ",\"ike_id\":" << quoted(session.ike_id) << ",\"gateway\":" << quoted(session.gateway)
        << ",\"remote\":" << quoted(to_string(session.path.remote.address)) << ",\"remote_port\":" << session.path.remote.port
        << ",\"nat\":" << (session.nat ? "true" : "false") << ",\"ike_suite\":" << quoted(session.ike_suite)
        << ",\"esp_suite\":" << quoted(session.esp_suite) << ",\"weak\":" << quoted(weak_parts(session.ike_suite + "/" + session.esp_suite))
        << ",\"offered\":" << quoted(session.offered) << ",\"client\":" << quoted(name_of(session.family))
        << ",\"spi_in\":\"" << std::hex << session.spi_in << "\",\"spi_out\":\"" << session.spi_out << std::dec << "\",\"leases\":[";
    for (std::size_t i = 0; i < session.leases.size(); ++i) out << (i ? "," : "") << quoted(to_string(session.leases[i]));
    out << "]}";
    say(out.str());
  }
  void line(int, std::string_view group, std::string_view text) override {
    say("{\"log\":" + quoted(std::string(group) + " " + std::string(text)) + "}");
  }
};

void give_up_privileges() {
  constexpr uid_t kNobody = 65534;
  if (::setgroups(0, nullptr) != 0 || ::setresgid(kNobody, kNobody, kNobody) != 0 || ::setresuid(kNobody, kNobody, kNobody) != 0) fail("uid");
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[2]{};
  if (::syscall(SYS_capset, &header, sets) != 0 || ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("capabilities");
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

std::vector<std::uint8_t> from_hex(const std::string& text) {
  std::vector<std::uint8_t> out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) out.push_back(static_cast<std::uint8_t>(std::stoul(text.substr(i, 2), nullptr, 16)));
  return out;
}

/// CONFIG: a word and its values a line; what follows `gateway TENANT NAME` belongs to it.
class Config {
 public:
  std::vector<Gateway> gateways;
  EngineSettings settings;

  void read(const std::string& path, Users& users, Wires& wires) {
    std::istringstream file(contents(path));
    for (std::string line; std::getline(file, line);) {
      std::istringstream words(line);
      std::string word, value;
      words >> word;
      std::getline(words >> std::ws, value);
      if (word == "gateway") {
        std::istringstream values(value);
        values >> gateways.emplace_back().tenant >> gateways.back().name;
      } else if (!word.empty() && !other(word, value, users, wires) && !setting(gateways.back(), word, value)) {
        fail("unknown word " + word);
      }
    }
  }

 private:
  bool other(const std::string& word, const std::string& value, Users& users, Wires& wires) {
    std::istringstream values(value);
    std::uint32_t tenant = 0, port = 0;
    std::string first, second;
    if (word == "listen") {
      values >> tenant >> port >> first >> second;
      open_sockets(wires, tenant, port, first, parse_address(second).value());
    } else if (word == "user" || word == "psk" || word == "ppk_of") {
      values >> tenant >> first >> second;
      (word == "user" ? users.hashes : word == "psk" ? users.psks : users.ppks)[{tenant, first}] = from_hex(second);
    } else if (word == "peer_psk") {
      values >> tenant >> first;
      users.peer_psks[tenant].push_back(from_hex(first));
    } else if (word == "ike_version") {
      values >> settings.ike_version;
    } else if (word == "pool") {
      values >> tenant >> first;
      users.pools[tenant].push_back(parse_address(first).value());
    } else if (word == "banned") {
      users.banned.insert(value);
    } else if (word == "retransmit") {
      values >> settings.retransmit_tries >> settings.retransmit_timeout;
    } else if (word == "half_open") {
      values >> settings.half_open_seconds;
    } else {
      return false;
    }
    return true;
  }
  static bool setting(Gateway& gateway, const std::string& word, const std::string& value) {
    const auto number = [&value] { return static_cast<std::uint32_t>(std::stoul(value)); };
    if (word == "address") gateway.addresses.push_back(parse_address(value).value());
    else if (word == "identity") gateway.identity = value;
    else if (word == "profile") gateway.profile = crypto_profile_named(value).value();
    else if (word == "accept_certificate") gateway.accept_certificate = true;
    else if (word == "accept_eap") gateway.accept_eap_mschapv2 = true;
    else if (word == "accept_psk") gateway.accept_psk = true;
    else if (word == "l2tp") gateway.l2tp = true;
    else if (word == "accept_eap_tls") gateway.accept_eap_tls = true;
    else if (word == "device_ca") gateway.device_cas.push_back(contents(value));
    else if (word == "admit_without_list") gateway.admit_without_list = true;
    else if (word == "ppk") gateway.ppk = value == "required" ? Gateway::Ppk::kRequired : Gateway::Ppk::kOptional;
    else if (word == "certificate") gateway.certificates.push_back(contents(value));
    else if (word == "key") gateway.keys.push_back(contents(value));
    else if (word == "gateway_ca") gateway.gateway_cas.push_back(contents(value));
    else if (word == "client_ca") gateway.client_cas.push_back(contents(value));
    else if (word == "crl") gateway.crls.push_back(contents(value));
    else if (word == "network") gateway.networks.push_back(parse_prefix(value).value());
    else if (word == "dns") gateway.dns.push_back(parse_address(value).value());
    else if (word == "dns_domain") gateway.dns_domains.push_back(value);
    else if (word == "ike_rekey") gateway.ike_rekey_seconds = number();
    else if (word == "child_rekey") gateway.child_rekey_seconds = number();
    else if (word == "dpd") gateway.dpd_seconds = number();
    else return false;
    return true;
  }
};

class Loop {
 public:
  Loop(Engine& engine, ToyEsp& esp, Wires& wires) : engine_(engine), esp_(esp), wires_(wires) {}

  void run() {
    std::vector<pollfd> polled{{STDIN_FILENO, POLLIN, 0}};
    for (const Listener& one : wires_.listeners) polled.push_back({one.fd.get(), POLLIN, 0});
    while (true) {
      if (::poll(polled.data(), polled.size(), -1) < 0) continue;
      if (polled[0].revents != 0 && !commands()) return;
      for (std::size_t i = 1; i < polled.size(); ++i) {
        if (polled[i].revents != 0) datagram(wires_.listeners[i - 1]);
      }
    }
  }

 private:
  void datagram(const Listener& listener) {
    std::uint8_t bytes[65536];
    sockaddr_storage from{};
    socklen_t size = sizeof(from);
    const ssize_t got = ::recvfrom(listener.fd.get(), bytes, sizeof(bytes), MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &size);
    if (got <= 0) return;
    const ByteSpan payload(bytes, static_cast<std::size_t>(got));
    const auto pretended = wires_.pretend.find(listener.tenant);
    const Path path{pretended == wires_.pretend.end() ? listener.tenant : pretended->second, listener.port, listener.local, Wires::read(from)};
    if (payload.size() == 1) return;  // keepalive
    if (listener.local.port == 4500 && (payload.size() < 4 || (payload[0] | payload[1] | payload[2] | payload[3]) != 0)) {
      esp(path, payload);
    } else {
      engine_.receive(path, payload);
    }
  }
  void esp(const Path& path, ByteSpan payload) {
    auto opened = esp_.open(path.tenant, payload);
    if (opened && opened->path.remote != path.remote) engine_.mapping_changed(opened->spi, path.local, path.remote);
    if (!opened) return;
    if (opened->transport) {  // what came comes back
      std::swap_ranges(opened->inner.begin(), opened->inner.begin() + 2, opened->inner.begin() + 2);
      const auto back = esp_.seal_transport(path.tenant, path.remote, opened->inner);
      if (back) wires_.send(back->path, back->esp);
      return;
    }
    if (!turn_echo(opened->inner)) return;
    const auto answer = esp_.seal(path.tenant, opened->inner);
    if (answer) wires_.send(answer->path, answer->esp);
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
    std::uint64_t number = 0;
    std::uint32_t tenant = 0;
    words >> word;
    std::ostringstream out;
    out << "{\"answer\":" << quoted(word) << ",\"lines\":[";
    const char* comma = "";
    if (word == "sessions") {
      for (const Session& one : engine_.sessions()) {
        out << comma << quoted(std::to_string(one.id) + " " + std::to_string(one.path.tenant) + " " + one.user);
        comma = ",";
      }
    } else if (word == "sas") {
      for (const std::string& one : esp_.lines()) {
        out << comma << quoted(one);
        comma = ",";
      }
    } else if (word == "terminate") {
      words >> number;
      out << (engine_.terminate(number) ? "\"yes\"" : "\"no\"");
    } else if (word == "pretend") {
      words >> tenant >> number;
      wires_.pretend.clear();
      if (number != 0) wires_.pretend[tenant] = static_cast<std::uint32_t>(number);
    } else if (word == "refuse") {
      words >> number;
      esp_.refuse(number != 0);
    } else if (word == "expire") {
      words >> text >> std::hex >> number;
      for (const Session& one : engine_.sessions()) {
        if (one.spi_in == number) engine_.expire(one.spi_in, one.path.local, text == "hard");
      }
    } else if (word == "refused") {
      const Engine::Refused refused = engine_.refused();
      out << "\"" << refused.malformed << " " << refused.foreign_tenant << " " << refused.overload << " " << refused.budget << " " << refused.exchange << "\"";
    }
    say(out.str() + "]}");
  }

  Engine& engine_;
  ToyEsp& esp_;
  Wires& wires_;
  std::string pending_;
};

int run(const std::string& path) {
  Users users;
  Wires wires;
  Printer printer;
  ToyEsp esp;
  Config config;
  config.read(path, users, wires);
  give_up_privileges();
  config.settings.verbose = true;
  Engine::Made made = Engine::make(config.settings, {wires, esp, users, printer});
  if (!made.engine) fail(made.refusal);
  for (const Gateway& gateway : config.gateways) {
    if (const auto why = made.engine->set_gateway(gateway)) fail(gateway.name + ": " + *why);
  }
  say("{\"answer\":\"ready\",\"lines\":[]}");
  Loop(*made.engine, esp, wires).run();
  made.engine.reset();
  say("{\"answer\":\"stopped\",\"lines\":[]}");
  return 0;
}

}  // namespace
}  // namespace sekisho::test

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  return sekisho::test::run(argv[1]);
}
