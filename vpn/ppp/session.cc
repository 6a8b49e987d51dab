// SPDX-License-Identifier: Apache-2.0
#include "vpn/ppp/session.h"

#include <algorithm>
#include <optional>

#include "base/assert.h"
#include "vpn/ppp/auth.h"
#include "vpn/ppp/lcp.h"
#include "vpn/ppp/mppe.h"
#include "vpn/ppp/network_protocols.h"
#include "vpn/ppp/router_advertisement.h"

namespace sekisho::vpn::ppp {
namespace {

/// Of a frame that waits for open_network().
constexpr std::size_t kHeldBytesMax = 256;
/// Links a peer may begin before it proves itself.
constexpr std::uint8_t kLinksMax = 3;
/// Between echoes nobody has answered.
constexpr std::chrono::seconds kEchoAgain{5};
/// Between requests for a packet that MPPE can begin anew with, while none comes: requests are lost, too.
constexpr std::chrono::milliseconds kResetPatience{500};
constexpr std::size_t kTextMax = 120;
/// Bytes MPPE adds to a packet: its own two, and the protocol's number.
constexpr std::size_t kMppeBytes = 4;

std::uint64_t lower_half(const Address& address) {
  std::uint64_t out = 0;
  for (std::size_t i = 8; i < 16; ++i) out = out << 8 | address.bytes[i];
  return out;
}

std::string printable(ByteSpan text) {
  std::string out;
  for (const std::uint8_t c : text.first(std::min(text.size(), kTextMax))) out += c >= 0x20 && c < 0x7f ? static_cast<char>(c) : '.';
  return out;
}

weak::Key128 first_half(const std::array<std::uint8_t, 32>& key) {
  weak::Key128 out;
  std::copy_n(key.begin(), out.size(), out.begin());
  return out;
}

}  // namespace

class Session::Body : ControlProtocol::Layer, Lcp::Link, Ccp::Owner, Authenticator::Owner {
 public:
  Body(Options options, Sink& sink, Random random, std::shared_ptr<const EapTlsContext> tls)
      : options_(std::move(options)),
        sink_(sink),
        random_(std::move(random)),
        lcp_(options_, *this, *this, random_),
        auth_(options_, *this, random_, std::move(tls)),
        ccp_(limits(), *this, *this),
        ipcp_(limits(), *this),
        ipv6cp_(limits(), *this) {}

  void lower_up(Time now);
  void lower_down(Time now);
  Received receive(ByteSpan frame, Time now);
  void tick(Time now);
  [[nodiscard]] Time next() const;
  void answer(std::uint32_t number, const AuthAnswer& answer, Time now);
  void open_network(const Network& network, Time now);
  void close(Cause cause, std::string_view text, Time now);
  bool send(Family family, ByteSpan packet);
  [[nodiscard]] ByteSpan header(Protocol protocol) const;
  [[nodiscard]] bool up(Family family) const;
  [[nodiscard]] const Agreed& agreed() const { return lcp_.agreed(); }
  [[nodiscard]] std::string_view user() const { return auth_.done() ? std::string_view(auth_.user()) : std::string_view(); }
  [[nodiscard]] const SessionKeys& keys() const { return auth_.keys(); }

 private:
  enum class Phase : std::uint8_t { kDead, kLink, kAuthentication, kProven, kNetwork, kClosing, kOver };
  struct End {
    Stage stage;
    Cause cause;
    std::string text;
  };

  [[nodiscard]] Limits limits() const { return {options_.restart, options_.configure_max, options_.terminate_max, options_.failure_max}; }
  [[nodiscard]] Stage stage() const {
    return phase_ <= Phase::kLink ? Stage::kNegotiation : phase_ == Phase::kAuthentication ? Stage::kAuthentication : Stage::kAdmission;
  }
  /// Of the network control protocols; nothing: another.
  ControlProtocol* network_protocol(std::uint16_t protocol);
  std::array<ControlProtocol*, 3> network_protocols() { return {&ccp_, &ipcp_, &ipv6cp_}; }
  [[nodiscard]] bool is_given(const ControlProtocol& protocol) const;
  Received take(const Frame& frame, ByteSpan bytes);
  Received take_packet(Family family, ByteSpan packet);
  Received take_encrypted(ByteSpan payload);
  Received take_network_control(const Frame& frame, ByteSpan bytes);
  void start_networks();
  void start(ControlProtocol& protocol);
  void take_held(ControlProtocol& protocol);
  std::vector<std::uint8_t>& held(const ControlProtocol& protocol);
  void advertise();
  void tick_echo();
  void tick_advertisement();
  /// What was decided inside a protocol is done outside it.
  void settle();
  void finish();
  void end_later(Cause cause, std::string_view text);
  void tell(Event::Kind kind, Family family = Family::kNone, std::string text = {});
  void network_down(Family family);
  void link_up();
  void link_down();

  void transmit(std::vector<std::uint8_t> frame) override { sink_.frame(frame); }
  void layer_up(Protocol protocol) override;
  void layer_down(Protocol protocol) override;
  void layer_finished(Protocol protocol) override;
  void protocol_rejected(std::uint16_t protocol, Time now) override;
  void identified(ByteSpan text) override { tell(Event::Kind::kIdentified, Family::kNone, printable(text)); }
  void reset_requested() override {
    if (mppe_out_) mppe_out_->flush();
  }
  void ask(AuthRequest request) override { sink_.authenticate(request); }
  void authenticated(Time now) override;
  void refused(Cause cause, std::string_view text, Time now) override;

  Options options_;
  Sink& sink_;
  Random random_;
  Time now_{};
  Time reset_asked_{};  ///< of CCP, last
  Phase phase_ = Phase::kDead;
  Lcp lcp_;
  Authenticator auth_;
  Ccp ccp_;
  Ipcp ipcp_;
  Ipv6cp ipv6cp_;
  std::optional<MppeSender> mppe_out_;
  std::optional<MppeReceiver> mppe_in_;
  std::optional<Network> network_;
  std::array<std::vector<std::uint8_t>, 3> held_;
  std::optional<End> end_;  ///< how it will be over
  bool up4_ = false, up6_ = false, gone4_ = false, gone6_ = false;
  bool linked_ = false;
  std::uint8_t links_ = 0, echoes_ = 0, advertised_ = 0;
  Time heard_{}, deadline_ = Time::max(), echo_at_ = Time::max(), advertise_at_ = Time::max();
  std::vector<std::uint8_t> out_;
};

void Session::Body::lower_up(Time now) {
  if (phase_ != Phase::kDead) return;
  now_ = heard_ = now;
  phase_ = Phase::kLink;
  deadline_ = now + options_.restart * options_.configure_max;
  lcp_.open(now);
  lcp_.begin_link(now);
}

void Session::Body::lower_down(Time now) {
  if (phase_ == Phase::kOver) return;
  now_ = now;
  if (!end_) end_ = End{stage(), Cause::kPeerLost, "the peer's connection ended"};
  finish();
}

Received Session::Body::receive(ByteSpan bytes, Time now) {
  now_ = now;
  if (phase_ == Phase::kDead || phase_ == Phase::kOver) return {};
  const auto frame = parse_frame(bytes);
  if (!frame) return {};
  heard_ = now;
  echoes_ = 0;
  const Received out = take(*frame, bytes);
  settle();
  return out;
}

Received Session::Body::take(const Frame& frame, ByteSpan bytes) {
  const auto protocol = static_cast<Protocol>(frame.protocol);
  constexpr Received kControl{Received::What::kControl, Family::kNone, {}};
  if (protocol == Protocol::kLcp) {
    const bool ours = lcp_.receive(frame.payload, now_);
    if (lcp_.terminated_by_peer()) {
      if (!end_) end_ = End{stage(), Cause::kUser, "the peer ended it"};
      finish();
    }
    return ours ? kControl : Received{};
  }
  if (protocol == Protocol::kPap || protocol == Protocol::kChap || protocol == Protocol::kEap) {
    return lcp_.opened() && auth_.receive(protocol, frame.payload, now_) ? kControl : Received{};
  }
  if (network_protocol(frame.protocol) != nullptr) return take_network_control(frame, bytes);
  if (protocol == Protocol::kCompressed) return take_encrypted(frame.payload);
  if (protocol == Protocol::kIp4 || protocol == Protocol::kIp6) {
    return options_.mppe ? Received{} : take_packet(protocol == Protocol::kIp4 ? Family::kIpv4 : Family::kIpv6, frame.payload);
  }
  if (phase_ == Phase::kNetwork) lcp_.reject_protocol(frame.protocol, frame.payload);
  return {};
}

Received Session::Body::take_packet(Family family, ByteSpan packet) {
  if (!up(family) || packet.empty() || packet[0] >> 4 != (family == Family::kIpv4 ? 4 : 6)) return {};
  if (family == Family::kIpv6 && is_router_solicitation(packet)) {
    advertise();
    return {Received::What::kControl, family, {}};
  }
  return {Received::What::kPacket, family, packet};
}

Received Session::Body::take_encrypted(ByteSpan payload) {
  if (!mppe_in_) return {};
  const auto opened = mppe_in_->decrypt(payload);
  if (opened.lost || (opened.waiting && now_ >= reset_asked_ + kResetPatience)) {
    reset_asked_ = now_;
    ccp_.request_reset();
  }
  if (!opened.clear) return {};
  const auto inner = parse_frame(*opened.clear);
  if (!inner) return {};
  if (inner->protocol == static_cast<std::uint16_t>(Protocol::kIp4)) return take_packet(Family::kIpv4, inner->payload);
  if (inner->protocol == static_cast<std::uint16_t>(Protocol::kIp6)) return take_packet(Family::kIpv6, inner->payload);
  return {};
}

ControlProtocol* Session::Body::network_protocol(std::uint16_t protocol) {
  for (ControlProtocol* one : network_protocols()) {
    if (static_cast<std::uint16_t>(one->protocol()) == protocol) return one;
  }
  return nullptr;
}

bool Session::Body::is_given(const ControlProtocol& protocol) const {
  if (&protocol == &ccp_) return options_.mppe;
  return &protocol == &ipcp_ ? network_->ipv4.has_value() : network_->ipv6.has_value();
}

std::vector<std::uint8_t>& Session::Body::held(const ControlProtocol& protocol) {
  return held_[&protocol == &ccp_ ? 0 : &protocol == &ipcp_ ? 1 : 2];
}

Received Session::Body::take_network_control(const Frame& frame, ByteSpan bytes) {
  if (phase_ != Phase::kProven && phase_ != Phase::kNetwork) return {};
  ControlProtocol& protocol = *network_protocol(frame.protocol);
  const bool waits = phase_ == Phase::kProven || (options_.mppe && &protocol != &ccp_ && !ccp_.opened());
  if (phase_ == Phase::kNetwork && !is_given(protocol)) {
    lcp_.reject_protocol(frame.protocol, frame.payload);
  } else if (waits) {
    if (bytes.size() <= kHeldBytesMax) held(protocol).assign(frame.payload.begin(), frame.payload.end());
  } else if (!protocol.receive(frame.payload, now_)) {
    return {};
  }
  return {Received::What::kControl, Family::kNone, {}};
}

void Session::Body::answer(std::uint32_t number, const AuthAnswer& answer, Time now) {
  now_ = now;
  if (phase_ != Phase::kAuthentication) return;
  auth_.answer(number, answer, now);
  settle();
}

void Session::Body::authenticated(Time now) {
  phase_ = Phase::kProven;
  deadline_ = now + options_.network_max;
  tell(Event::Kind::kAuthenticated);
}

void Session::Body::refused(Cause cause, std::string_view text, Time /*now*/) { end_later(cause, text); }

void Session::Body::open_network(const Network& network, Time now) {
  now_ = now;
  if (phase_ != Phase::kProven || end_) return;
  phase_ = Phase::kNetwork;
  network_ = network;
  gone4_ = !network.ipv4;
  gone6_ = !network.ipv6;
  if (network.ipv4) ipcp_.give(*network.ipv4, network.own_ipv4, network.dns);
  if (network.ipv6) {
    const std::uint64_t peer = lower_half(*network.ipv6);
    ipv6cp_.give(peer, network.own_interface != peer ? network.own_interface : peer ^ 1);
    network_->own_interface = network.own_interface != peer ? network.own_interface : peer ^ 1;
  }
  if (gone4_ && gone6_) {
    end_later(Cause::kConfig, "no address for the peer");
  } else if (options_.mppe && keys().size < 16) {
    end_later(Cause::kCrypto, "MPPE is demanded, and the method of authentication leaves no keys for it");
  } else if (options_.mppe) {
    start(ccp_);
  } else {
    take_held(ccp_);
    start_networks();
  }
  settle();
}

void Session::Body::start(ControlProtocol& protocol) {
  protocol.open(now_);
  protocol.lower_up(now_);
  take_held(protocol);
}

void Session::Body::take_held(ControlProtocol& protocol) {
  const std::vector<std::uint8_t> payload = std::move(held(protocol));
  held(protocol).clear();
  if (payload.empty()) return;
  if (is_given(protocol)) {
    protocol.receive(payload, now_);
  } else {
    lcp_.reject_protocol(static_cast<std::uint16_t>(protocol.protocol()), payload);
  }
}

void Session::Body::start_networks() {
  network_->ipv4 ? start(ipcp_) : take_held(ipcp_);
  network_->ipv6 ? start(ipv6cp_) : take_held(ipv6cp_);
}

void Session::Body::layer_up(Protocol protocol) {
  if (protocol == Protocol::kLcp) return link_up();
  if (protocol == Protocol::kCcp) {
    mppe_out_.emplace(first_half(keys().send), ccp_.sends_stateless());
    mppe_in_.emplace(first_half(keys().receive), ccp_.receives_stateless());
    return start_networks();
  }
  const Family family = protocol == Protocol::kIpcp ? Family::kIpv4 : Family::kIpv6;
  (family == Family::kIpv4 ? up4_ : up6_) = true;
  deadline_ = Time::max();
  tell(Event::Kind::kNetworkUp, family);
  if (family == Family::kIpv6) {
    advertised_ = 0;
    advertise_at_ = now_;
  }
}

void Session::Body::link_up() {
  phase_ = Phase::kAuthentication;
  deadline_ = now_ + options_.authentication_max;
  if (options_.echo_interval.count() != 0) echo_at_ = now_ + options_.echo_interval;
  if (!linked_) tell(Event::Kind::kLinkUp);
  linked_ = true;
  auth_.begin(agreed().method, now_);
}

void Session::Body::network_down(Family family) {
  bool& up = family == Family::kIpv4 ? up4_ : up6_;
  if (!up) return;
  up = false;
  if (family == Family::kIpv6) advertise_at_ = Time::max();
  tell(Event::Kind::kNetworkDown, family);
}

void Session::Body::layer_down(Protocol protocol) {
  if (protocol == Protocol::kLcp) return link_down();
  if (protocol != Protocol::kCcp) return network_down(protocol == Protocol::kIpcp ? Family::kIpv4 : Family::kIpv6);
  // Keys are those of the login: a second beginning would use its key stream twice.
  mppe_out_.reset();
  mppe_in_.reset();
  end_later(Cause::kCrypto, "the peer gave up encryption");
}

void Session::Body::link_down() {
  auth_.stop();
  network_down(Family::kIpv4);
  network_down(Family::kIpv6);
  mppe_out_.reset();
  mppe_in_.reset();
  echo_at_ = Time::max();
  if (end_) return;
  if (lcp_.terminated_by_peer()) return end_later(Cause::kUser, "the peer ended it");
  if (phase_ != Phase::kAuthentication || ++links_ >= kLinksMax) return end_later(Cause::kUser, "the peer began the link anew");
  phase_ = Phase::kLink;
  deadline_ = now_ + options_.restart * options_.configure_max;
}

void Session::Body::layer_finished(Protocol protocol) {
  if (protocol == Protocol::kLcp) {
    const std::string_view why = lcp_.failure().empty() ? std::string_view("the peer answers no request of the link") : lcp_.failure();
    if (!end_) end_ = End{stage(), lcp_.failure().empty() ? Cause::kPeerLost : Cause::kAuth, std::string(why)};
    return finish();
  }
  if (protocol == Protocol::kCcp) {
    const std::string_view silent = "MPPE is demanded, and the peer does not speak it";
    return end_later(Cause::kCrypto, ccp_.failure().empty() ? silent : ccp_.failure());
  }
  (protocol == Protocol::kIpcp ? gone4_ : gone6_) = true;
  if (gone4_ && gone6_) end_later(Cause::kUser, "no network protocol the peer would speak");
}

void Session::Body::protocol_rejected(std::uint16_t protocol, Time now) {
  if (ControlProtocol* network = network_protocol(protocol)) {
    network->rejected(now);
  } else if (phase_ == Phase::kAuthentication && (protocol == 0xc023 || protocol == 0xc223 || protocol == 0xc227)) {
    end_later(Cause::kAuth, "the peer refuses to authenticate");
  }
}

void Session::Body::end_later(Cause cause, std::string_view text) {
  if (!end_) end_ = End{stage(), cause, std::string(text)};
}

void Session::Body::settle() {
  if (!end_ || phase_ == Phase::kClosing || phase_ == Phase::kOver) return;
  phase_ = Phase::kClosing;
  deadline_ = Time::max();
  if (lcp_.state() <= State::kStopped) return finish();
  lcp_.close(now_);
}

void Session::Body::close(Cause cause, std::string_view text, Time now) {
  now_ = now;
  if (phase_ == Phase::kOver) return;
  end_later(cause, text);
  settle();
}

void Session::Body::finish() {
  if (phase_ == Phase::kOver) return;
  network_down(Family::kIpv4);
  network_down(Family::kIpv6);
  phase_ = Phase::kOver;
  auth_.stop();
  mppe_out_.reset();
  mppe_in_.reset();
  deadline_ = echo_at_ = advertise_at_ = Time::max();
  Event event;
  event.kind = Event::Kind::kDown;
  event.stage = end_->stage;
  event.cause = end_->cause;
  event.text = end_->text;
  sink_.event(event);
}

void Session::Body::tell(Event::Kind kind, Family family, std::string text) {
  Event event;
  event.kind = kind;
  event.family = family;
  event.stage = stage();
  event.user = user();
  event.text = std::move(text);
  sink_.event(event);
}

Time Session::Body::next() const {
  if (phase_ == Phase::kOver || phase_ == Phase::kDead) return Time::max();
  return std::min({lcp_.next(), auth_.next(), ccp_.next(), ipcp_.next(), ipv6cp_.next(), deadline_, echo_at_, advertise_at_});
}

void Session::Body::tick(Time now) {
  now_ = now;
  if (phase_ == Phase::kOver || phase_ == Phase::kDead) return;
  if (now >= deadline_) {
    deadline_ = Time::max();
    end_later(phase_ == Phase::kAuthentication ? Cause::kAuth : Cause::kPeerLost,
              phase_ == Phase::kAuthentication ? "nobody proved who he is in time" : "the peer did not agree on a link in time");
    return settle();
  }
  lcp_.tick(now);
  if (phase_ == Phase::kOver) return;
  auth_.tick(now);
  for (ControlProtocol* protocol : network_protocols()) {
    protocol->tick(now);
  }
  tick_echo();
  tick_advertisement();
  settle();
}

void Session::Body::tick_echo() {
  if (now_ < echo_at_) return;
  if (now_ - heard_ < options_.echo_interval && echoes_ == 0) {
    echo_at_ = heard_ + options_.echo_interval;
    return;
  }
  if (echoes_ >= options_.echo_max) {
    if (!end_) end_ = End{stage(), Cause::kPeerLost, "the peer answers no echo"};
    return finish();
  }
  ++echoes_;
  lcp_.send_echo();
  echo_at_ = now_ + std::min<std::chrono::milliseconds>(options_.echo_interval, kEchoAgain);
}

void Session::Body::tick_advertisement() {
  if (now_ < advertise_at_) return;
  // The first ones come while the peer's interface is being made; then as often as RFC 4861 6.2.1 has it by default.
  using std::chrono::seconds;
  constexpr std::array<seconds, 4> kAfter{seconds(1), seconds(2), seconds(12), seconds(600)};
  advertise_at_ = now_ + kAfter[std::min<std::size_t>(advertised_, kAfter.size() - 1)];
  if (advertised_ < kAfter.size()) ++advertised_;
  advertise();
}

void Session::Body::advertise() {
  if (!up6_) return;
  const Advertised facts{*network_->ipv6, network_->own_interface, std::min(agreed().peer_mru, options_.mru), network_->dns};
  send(Family::kIpv6, router_advertisement(facts));
}

bool Session::Body::up(Family family) const {
  if (phase_ != Phase::kNetwork || end_) return false;
  return family == Family::kIpv4 ? up4_ : family == Family::kIpv6 && up6_;
}

ByteSpan Session::Body::header(Protocol protocol) const {
  static constexpr std::array<std::uint8_t, 4> kIp4{0xff, 0x03, 0x00, 0x21}, kIp6{0xff, 0x03, 0x00, 0x57}, kMppe{0xff, 0x03, 0x00, 0xfd};
  const ByteSpan whole = protocol == Protocol::kIp4 ? ByteSpan(kIp4) : protocol == Protocol::kIp6 ? ByteSpan(kIp6) : ByteSpan(kMppe);
  const Agreed& link = agreed();
  if (link.protocol_compressed && link.address_control_compressed) return whole.subspan(3);
  return whole.subspan(link.address_control_compressed ? 2 : 0);
}

bool Session::Body::send(Family family, ByteSpan packet) {
  const std::size_t room = agreed().peer_mru - (options_.mppe ? kMppeBytes : 0);
  if (!up(family) || packet.size() > room) return false;
  const Protocol protocol = family == Family::kIpv4 ? Protocol::kIp4 : Protocol::kIp6;
  if (options_.mppe && !mppe_out_) return false;
  const ByteSpan head = header(options_.mppe ? Protocol::kCompressed : protocol);
  out_.assign(head.begin(), head.end());
  if (options_.mppe) {
    Bytes clear;
    const ByteSpan sealed = mppe_out_->encrypt(clear.u16(static_cast<std::uint16_t>(protocol)).append(packet).span());
    out_.insert(out_.end(), sealed.begin(), sealed.end());
  } else {
    out_.insert(out_.end(), packet.begin(), packet.end());
  }
  sink_.frame(out_);
  return true;
}

Session::Session(Options options, Sink& sink, Random random, std::shared_ptr<const EapTlsContext> tls) {
  SEKISHO_ASSERT(!options.methods.empty() && options.methods.size() < 32);
  body_ = std::make_unique<Body>(std::move(options), sink, std::move(random), std::move(tls));
}
Session::~Session() = default;
void Session::lower_up(Time now) { body_->lower_up(now); }
void Session::lower_down(Time now) { body_->lower_down(now); }
Received Session::receive(ByteSpan frame, Time now) { return body_->receive(frame, now); }
void Session::tick(Time now) { body_->tick(now); }
Time Session::next() const { return body_->next(); }
void Session::answer(std::uint32_t number, const AuthAnswer& answer, Time now) { body_->answer(number, answer, now); }
void Session::open_network(const Network& network, Time now) { body_->open_network(network, now); }
void Session::close(Cause cause, std::string_view text, Time now) { body_->close(cause, text, now); }
bool Session::send(Family family, ByteSpan packet) { return body_->send(family, packet); }
ByteSpan Session::header(Family family) const { return body_->header(family == Family::kIpv4 ? Protocol::kIp4 : Protocol::kIp6); }
bool Session::up(Family family) const { return body_->up(family); }
const Agreed& Session::agreed() const { return body_->agreed(); }
std::string_view Session::user() const { return body_->user(); }
const SessionKeys& Session::keys() const { return body_->keys(); }

}  // namespace sekisho::vpn::ppp
