// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <openssl/evp.h>

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/hex.h"
#include "vpn/ppp/frame.h"
#include "vpn/ppp/session.h"
#include "vpn/ppp/verify.h"
#include "vpn/weak/mschapv2.h"

/// A client's end of PPP, as simple as one can be, against which sessions are tested: it answers what it is asked, and each test
/// bends what it wants to. Its bytes are made here, not by the engine.
namespace sekisho::test {

using vpn::ppp::AuthAnswer;
using vpn::ppp::AuthRequest;
using vpn::ppp::Bytes;
using vpn::ppp::Event;
using vpn::ppp::Protocol;
using vpn::ppp::Received;
using vpn::ppp::Session;
using vpn::ppp::Time;

inline ByteSpan bytes_of(std::string_view text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }

/// Takes a session's frames and events, and answers for the directory when `answers` says so.
class PppOwner : public vpn::ppp::Sink {
 public:
  std::deque<std::vector<std::uint8_t>> frames;
  std::vector<Event> events;
  Session* session = nullptr;
  Time now{};
  std::string password = "secret";
  bool answers = true;
  vpn::ppp::Network network;
  bool opens = true;
  std::uint32_t asked = 0;             ///< number of the last request
  AuthRequest::Kind kind{};
  std::vector<std::string> users;
  AuthAnswer::Verdict method = AuthAnswer::Verdict::kMschapV2;  ///< of EAP
  bool other_may_do = false;
  vpn::Cause refusal = vpn::Cause::kNone;  ///< of whoever is right
  std::vector<std::vector<std::uint8_t>> chain;

  PppOwner() {
    network.ipv4 = parse_address("10.20.0.5").value();
    network.own_ipv4 = parse_address("10.20.0.1").value();
    network.dns = {parse_address("10.20.0.53").value(), parse_address("10.20.0.54").value(), parse_address("fd00:20::53").value()};
    network.ipv6 = parse_address("fd00:20:0:5::5").value();
  }
  void frame(ByteSpan frame) override { frames.emplace_back(frame.begin(), frame.end()); }
  void authenticate(const AuthRequest& request) override {
    asked = request.number;
    kind = request.kind;
    users.emplace_back(request.user);
    if (request.kind == AuthRequest::Kind::kCertificate) chain.assign(request.chain.begin(), request.chain.end());
    if (answers) session->answer(request.number, judge(request), now);
  }
  AuthAnswer judge(const AuthRequest& request) {
    AuthAnswer out;
    switch (request.kind) {
      case AuthRequest::Kind::kPassword: out = verify_password(request, vpn::weak::nt_hash_of(password)); break;
      case AuthRequest::Kind::kChapMd5: out = verify_chap_md5(request, bytes_of(password)); break;
      case AuthRequest::Kind::kMschapV2: out = verify_mschapv2(request, vpn::weak::nt_hash_of(password)); break;
      case AuthRequest::Kind::kIdentity:
        out.verdict = method;
        out.other_may_do = other_may_do;
        break;
      case AuthRequest::Kind::kRelay: break;
      case AuthRequest::Kind::kCertificate: out.verdict = AuthAnswer::Verdict::kAccept; break;
    }
    if (refusal != vpn::Cause::kNone && out.verdict == AuthAnswer::Verdict::kAccept) {
      out.verdict = AuthAnswer::Verdict::kReject;
      out.cause = refusal;
    }
    return out;
  }
  void event(const Event& event) override {
    events.push_back(event);
    if (event.kind == Event::Kind::kAuthenticated && opens) session->open_network(network, now);
  }
  [[nodiscard]] const Event* find(Event::Kind wanted) const {
    for (const Event& event : events) {
      if (event.kind == wanted) return &event;
    }
    return nullptr;
  }
  [[nodiscard]] bool down() const { return find(Event::Kind::kDown) != nullptr; }
};

/// The client.
class PppPeer {
 public:
  std::string user = "hana", password = "secret";
  std::vector<std::vector<std::uint8_t>> methods;  ///< Authentication-Protocol values it takes, the first is asked for in a Nak; none: any
  std::vector<std::uint8_t> lcp_options;           ///< of its Configure-Request, beside what it always asks
  std::uint32_t mppe = 0;                          ///< bits of its CCP request; 0: it has none
  bool wants_stateful = false;                     ///< of what the session receives by MPPE
  bool mute_ncp = false;
  std::optional<std::uint32_t> address, dns;       ///< as agreed
  std::uint64_t interface_id = 0;
  bool lcp_open = false, ipcp_open = false, ipv6cp_open = false, ccp_open = false, proven = false;
  std::string last_text;                           ///< of a success or failure
  std::vector<std::vector<std::uint8_t>> sent;     ///< for the session
  std::vector<std::vector<std::uint8_t>> packets;  ///< IP packets it got, clear
  std::vector<std::string> seen;                   ///< "PROTOCOL CODE" of each control packet

  void send(Protocol protocol, unsigned code, std::uint8_t id, ByteSpan data) {
    sent.push_back(vpn::ppp::control_frame(protocol, static_cast<std::uint8_t>(code), id, data));
  }
  void begin() {
    Bytes options;
    options.append(lcp_options);
    send(Protocol::kLcp, 1, ++id_, options.option32(5, 0x11223344).span());
  }
  void take(ByteSpan bytes) {
    const auto frame = vpn::ppp::parse_frame(bytes);
    if (!frame) return;
    const auto protocol = static_cast<Protocol>(frame->protocol);
    if (protocol == Protocol::kIp4 || protocol == Protocol::kIp6 || protocol == Protocol::kCompressed) {
      packets.emplace_back(frame->payload.begin(), frame->payload.end());
      return;
    }
    const auto packet = vpn::ppp::parse_packet(frame->payload);
    if (!packet) return;
    seen.push_back(hex(Bytes().u16(frame->protocol).span()) + " " + std::to_string(packet->code));
    if (protocol == Protocol::kLcp) return take_lcp(*packet);
    if (protocol == Protocol::kPap || protocol == Protocol::kChap) return take_auth(protocol, *packet);
    if (protocol == Protocol::kEap) return take_eap(*packet);
    take_network(protocol, *packet);
  }

  void start_networks() {
    if (mute_ncp) return;
    if (mppe != 0) send(Protocol::kCcp, 1, ++id_, Bytes().option32(18, mppe).span());
    request_address();
    request_interface();
  }
  void request_address() { send(Protocol::kIpcp, 1, ++id_, Bytes().option32(3, address.value_or(0)).option32(129, dns.value_or(0)).span()); }
  void request_interface() {
    send(Protocol::kIpv6cp, 1, ++id_, Bytes().u8(1).u8(10).u32(interface_id >> 32).u32(interface_id & 0xffffffff).span());
  }

 private:
  void take_lcp(const vpn::ppp::Packet& packet) {
    if (packet.code == 1) {
      const auto method = vpn::ppp::find_option(packet.data, 3, 2) ? vpn::ppp::find_option(packet.data, 3, 2) : vpn::ppp::find_option(packet.data, 3, 3);
      wanted_ = method ? std::vector<std::uint8_t>(method->value.begin(), method->value.end()) : std::vector<std::uint8_t>();
      bool takes = methods.empty();
      for (const auto& one : methods) takes = takes || one == wanted_;
      if (!takes) return send(Protocol::kLcp, 3, packet.id, Bytes().option(3, methods.front()).span());
      send(Protocol::kLcp, 2, packet.id, packet.data);
      acked_ = true;
    }
    if (packet.code == 2) lcp_open = true;
    if (packet.code == 4 || packet.code == 3) send(Protocol::kLcp, 1, ++id_, Bytes().option32(5, 0x55667788).span());
    if (packet.code == 5) {
      send(Protocol::kLcp, 6, packet.id, {});
      lcp_open = false;
    }
    if (packet.code == 9) send(Protocol::kLcp, 10, packet.id, Bytes().u32(0x11223344).span());
    if (lcp_open && acked_ && wanted_ == std::vector<std::uint8_t>{0xc0, 0x23} && !asked_) {
      asked_ = true;
      send(Protocol::kPap, 1, ++id_, Bytes().u8(user.size()).append(user).u8(password.size()).append(password).span());
    }
  }
  void take_auth(Protocol protocol, const vpn::ppp::Packet& packet) {
    const std::string_view text{reinterpret_cast<const char*>(packet.data.data()), packet.data.size()};
    const bool pap = protocol == Protocol::kPap;
    if (!pap && packet.code == 1) return send(Protocol::kChap, 2, packet.id, response_to(packet));
    if (packet.code == 3 || packet.code == 4 || (pap && packet.code == 2)) last_text = text;
    if (!proven && packet.code == (pap ? 2 : 3)) {
      proven = true;
      start_networks();
    }
  }
  std::vector<std::uint8_t> response_to(const vpn::ppp::Packet& packet) {
    const ByteSpan challenge = packet.data.subspan(1, packet.data[0]);
    if (wanted_.size() == 3 && wanted_[2] == 5) return Bytes().u8(16).append(md5(packet.id, challenge)).append(user).take();
    return Bytes().u8(49).append(mschap_value(challenge)).append(user).take();
  }
  std::vector<std::uint8_t> mschap_value(ByteSpan challenge) {
    const auto peer = unhex("00112233445566778899aabbccddeeff");
    const auto response = vpn::weak::nt_response(vpn::weak::nt_hash_of(password), challenge, peer, user);
    return Bytes().append(peer).u32(0).u32(0).append(response).u8(0).take();
  }
  std::vector<std::uint8_t> md5(std::uint8_t id, ByteSpan challenge) {
    const auto input = Bytes().u8(id).append(password).append(challenge).take();
    std::vector<std::uint8_t> out(16);
    EVP_Digest(input.data(), input.size(), out.data(), nullptr, EVP_md5(), nullptr);
    return out;
  }
  void take_eap(const vpn::ppp::Packet& packet) {
    if (packet.code == 3 && !proven) {
      proven = true;
      start_networks();
    }
    if (packet.code != 1 || packet.data.empty()) return;
    const std::uint8_t type = packet.data[0];
    if (type == 1) send(Protocol::kEap, 2, packet.id, Bytes().u8(1).append(user).span());
    if (type != 26 || packet.data.size() < 2) return;
    if (packet.data[1] == 1) {
      const ByteSpan challenge = packet.data.subspan(6, 16);
      send(Protocol::kEap, 2, packet.id,
           Bytes().u8(26).u8(2).u8(packet.data[2]).u16(5 + 49 + user.size()).u8(49).append(mschap_value(challenge)).append(user).span());
    } else {
      send(Protocol::kEap, 2, packet.id, Bytes().u8(26).u8(packet.data[1]).span());
    }
  }
  void take_network(Protocol protocol, const vpn::ppp::Packet& packet) {
    if (packet.code == 1 && protocol == Protocol::kCcp && wants_stateful) {
      const auto stateful = Bytes().option32(18, 0x00000040).take();
      const bool agreed = std::ranges::equal(packet.data, stateful);
      return send(protocol, agreed ? 2 : 3, packet.id, stateful);
    }
    if (packet.code == 1) return send(protocol, 2, packet.id, packet.data);
    if (packet.code == 5) return send(protocol, 6, packet.id, {});
    if (protocol == Protocol::kIpcp) {
      if (packet.code == 2) ipcp_open = true;
      if (packet.code != 3) return;
      if (const auto option = vpn::ppp::find_option(packet.data, 3, 4)) address = number(option->value);
      if (const auto option = vpn::ppp::find_option(packet.data, 129, 4)) dns = number(option->value);
      request_address();
    } else if (protocol == Protocol::kIpv6cp) {
      if (packet.code == 2) ipv6cp_open = true;
      if (const auto option = vpn::ppp::find_option(packet.data, 1, 8); packet.code == 3 && option) {
        interface_id = std::uint64_t{number(option->value.first(4))} << 32 | number(option->value.subspan(4));
        request_interface();
      }
    } else if (protocol == Protocol::kCcp) {
      if (packet.code == 2) ccp_open = true;
      if (const auto option = vpn::ppp::find_option(packet.data, 18, 4); packet.code == 3 && option) {
        mppe = number(option->value);
        send(Protocol::kCcp, 1, ++id_, Bytes().option32(18, mppe).span());
      }
    }
  }
  static std::uint32_t number(ByteSpan value) {
    std::uint32_t out = 0;
    for (const std::uint8_t byte : value) out = out << 8 | byte;
    return out;
  }

  std::uint8_t id_ = 0;
  std::vector<std::uint8_t> wanted_;
  bool acked_ = false, asked_ = false;
};

/// Both ends, and the time between them.
class PppWorld {
 public:
  PppOwner owner;
  PppPeer peer;
  vpn::ppp::Options options;
  std::shared_ptr<const vpn::ppp::EapTlsContext> tls;
  std::unique_ptr<Session> session;
  Time now{std::chrono::hours(1)};
  std::vector<Received> received;  ///< packets without their bytes

  PppWorld() { options.methods = {vpn::ppp::AuthMethod::kMschapV2}; }
  void start() {
    std::uint8_t next = 1;
    session = std::make_unique<Session>(options, owner, [next](std::span<std::uint8_t> out) mutable {
      for (std::uint8_t& byte : out) byte = next = static_cast<std::uint8_t>(next * 5 + 3);
    }, tls);
    owner.session = session.get();
    owner.now = now;
    session->lower_up(now);
  }
  /// Until neither has anything to say.
  void talk(int turns = 1000) {
    while (turns-- > 0 && (!owner.frames.empty() || !peer.sent.empty())) {
      if (!owner.frames.empty()) {
        const auto frame = owner.frames.front();
        owner.frames.pop_front();
        peer.take(frame);
      }
      if (!peer.sent.empty()) {
        const auto frame = peer.sent.front();
        peer.sent.erase(peer.sent.begin());
        received.push_back(session->receive(frame, now));
      }
    }
  }
  /// Time passes; timers fire when they are due.
  void wait(std::chrono::milliseconds span, bool talking = true) {
    const Time end = now + span;
    while (session->next() <= end) {
      now = owner.now = std::max(now, session->next());
      session->tick(now);
      if (talking) talk();
    }
    now = owner.now = end;
  }
  /// Up to open networks.
  void connect() {
    start();
    peer.begin();
    talk();
  }
  [[nodiscard]] std::string down_text() const { return owner.down() ? owner.find(Event::Kind::kDown)->text : std::string(); }
};

}  // namespace sekisho::test
