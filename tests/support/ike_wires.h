// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/os/fd.h"
#include "vpn/ports.h"

/// What programs share that play a gateway on plain UDP sockets for real IKE peers: sockets in namespaces, answers as JSON lines.
namespace sekisho::test {

using vpn::Endpoint;
using vpn::Path;

inline std::mutex output;

inline void say(const std::string& object) {
  const std::lock_guard lock(output);
  std::cout << object << std::endl;
}

inline std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
  }
  return out + '"';
}

[[noreturn]] inline void fail(const std::string& why) {
  say("{\"fatal\":" + quoted(why) + "}");
  std::exit(1);
}

inline std::string contents(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct Listener {
  std::uint32_t tenant = 0;
  std::uint32_t port = 0;
  Endpoint local;
  Fd fd;
};

class Wires : public vpn::DatagramSender {
 public:
  std::vector<Listener> listeners;
  /// What a listener's datagrams pretend to have come by: for a peer that found its way to another tenant.
  std::map<std::uint32_t, std::uint32_t> pretend;

  void send(const Path& path, ByteSpan payload) override {
    for (const Listener& one : listeners) {
      if (one.tenant != path.tenant || one.local != path.local) continue;
      sockaddr_storage to{};
      const socklen_t size = fill(path.remote, to);
      (void)::sendto(one.fd.get(), payload.data(), payload.size(), MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&to), size);
      return;
    }
  }
  static socklen_t fill(const Endpoint& from, sockaddr_storage& to) {
    if (from.address.family == Family::kIpv4) {
      auto* v4 = reinterpret_cast<sockaddr_in*>(&to);
      v4->sin_family = AF_INET;
      v4->sin_port = htons(from.port);
      std::memcpy(&v4->sin_addr, from.address.bytes.data(), 4);
      return sizeof(*v4);
    }
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&to);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(from.port);
    std::memcpy(&v6->sin6_addr, from.address.bytes.data(), 16);
    return sizeof(*v6);
  }
  static Endpoint read(const sockaddr_storage& from) {
    Endpoint out;
    if (from.ss_family == AF_INET) {
      const auto* v4 = reinterpret_cast<const sockaddr_in*>(&from);
      out.address = Address::from_v4(ntohl(v4->sin_addr.s_addr));
      out.port = ntohs(v4->sin_port);
    } else {
      const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&from);
      out.address.family = Family::kIpv6;
      std::memcpy(out.address.bytes.data(), &v6->sin6_addr, 16);
      out.port = ntohs(v6->sin6_port);
    }
    return out;
  }
};

inline void open_sockets(Wires& wires, std::uint32_t tenant, std::uint32_t port, const std::string& where, const Address& address) {
  const Fd ns(::open(("/run/netns/" + where).c_str(), O_RDONLY | O_CLOEXEC));
  if (!ns.valid() || ::setns(ns.get(), CLONE_NEWNET) != 0) fail("namespace " + where);
  for (const std::uint16_t number : {std::uint16_t{500}, std::uint16_t{4500}}) {
    Listener listener{tenant, port, {address, number}, Fd(::socket(address.family == Family::kIpv4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0))};
    sockaddr_storage to{};
    const socklen_t size = Wires::fill(listener.local, to);
    if (::bind(listener.fd.get(), reinterpret_cast<const sockaddr*>(&to), size) != 0) fail("bind " + to_string(address));
    wires.listeners.push_back(std::move(listener));
  }
}

/// Answers an echo request of an inner packet as the host it was sent to.
inline bool turn_echo(std::vector<std::uint8_t>& inner) {
  const bool v4 = inner[0] >> 4 == 4;
  const std::size_t header = v4 ? (inner[0] & 0x0fU) * 4U : 40U;
  if (inner.size() < header + 8 || inner[v4 ? 9 : 6] != (v4 ? 1 : 58) || inner[header] != (v4 ? 8 : 128)) return false;
  const std::size_t source = v4 ? 12 : 8, size = v4 ? 4 : 16;
  std::swap_ranges(inner.begin() + static_cast<std::ptrdiff_t>(source), inner.begin() + static_cast<std::ptrdiff_t>(source + size),
                   inner.begin() + static_cast<std::ptrdiff_t>(source + size));
  // Request to answer changes one byte of the sum: RFC 1624.
  inner[header] = v4 ? 0 : 129;
  std::uint32_t sum = std::uint32_t{inner[header + 2]} << 8 | inner[header + 3];
  sum = v4 ? sum + 0x0800U : sum + 0xffffU - 0x0100U;
  sum = (sum & 0xffffU) + (sum >> 16);
  inner[header + 2] = static_cast<std::uint8_t>(sum >> 8);
  inner[header + 3] = static_cast<std::uint8_t>(sum);
  return true;
}

}  // namespace sekisho::test
