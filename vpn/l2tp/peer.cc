// SPDX-License-Identifier: Apache-2.0
#include "vpn/l2tp/peer.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/net/endian.h"
#include "vpn/random.h"

namespace sekisho::vpn::l2tp {
namespace {

constexpr std::uint16_t kCdnAdministrative = 3, kStopShutDown = 6;
constexpr std::chrono::seconds kAdvertiseEvery{600};
constexpr std::uint16_t kSessionMtuMax = 1400;  // what every underlay of 1428 bytes and more carries in AES-CBC

std::string hex(std::uint32_t number) {
  char text[9];
  std::snprintf(text, sizeof(text), "%08x", number);
  return text;
}

}  // namespace

Peer::Peer(const PppLogin::Ports& ports, SessionIds& ids, Settings settings, const Path& path)
    : ports_(ports), ids_(ids), settings_(std::move(settings)), path_(path) {}

Peer::~Peer() = default;

void Peer::receive(const Path& path, ByteSpan datagram, Time now) {
  now_ = now;
  path_ = path;
  constexpr std::size_t kTunnelAt = 4;
  if (is_control(datagram) && datagram.size() >= kControlBytes && load_be<std::uint16_t>(datagram, kTunnelAt) == 0) {
    begin(datagram, now);
  } else {
    // One that ends still acknowledges.
    if (connection_ != nullptr) connection_->receive(datagram, now);
    for (const auto& one : ending_) one->receive(datagram, now);
  }
  settle(now);
}

/// An SCCRQ: of a connection that is being made, or of one that takes its place. A client that was restarted does not tell.
void Peer::begin(ByteSpan datagram, Time now) {
  const auto message = parse_control(datagram, {});
  if (!message || message->type != MessageType::kSccrq) return;
  const bool again = connection_ != nullptr && !connection_->established() && !connection_->ending() &&
                     connection_->peer_tunnel() == message->assigned_tunnel.value_or(0);
  if (again) return connection_->receive(datagram, now);
  if (connection_ != nullptr) {
    connection_->lost("the client began anew", Ended::kByPeer);
    connection_.reset();
  }
  make_connection(free_id());
  connection_->receive(datagram, now);
  if (connection_->peer_tunnel() == 0) connection_.reset();  // nothing that could be answered
}

void Peer::make_connection(std::uint16_t local_tunnel) {
  Options options;
  options.host_name = settings_.gateway;
  connection_ = std::make_unique<Connection>(std::move(options), local_tunnel, static_cast<Sink&>(*this), [this] { return free_id(); });
}

void Peer::adopt(Left left, Time now) {
  now_ = now;
  const L2tpRide ride = left.ride;
  const std::uint32_t tunnel = left.tunnel;
  if (connection_ == nullptr) {
    make_connection(ride.local_tunnel);
    connection_->adopt(ride.peer_tunnel, now);
  }
  const bool theirs = connection_->local_tunnel() == ride.local_tunnel && connection_->peer_tunnel() == ride.peer_tunnel;
  if (!theirs || !left_.emplace(ride.local_session, std::move(left)).second) {  // he has begun anew already
    left_over_.push_back({tunnel, Cause::kUser});
    return;
  }
  connection_->adopt_call({ride.local_session, ride.peer_session, ride.sequenced}, now);
  advertise_at_ = now;
}

bool Peer::end_left(std::uint32_t tunnel, std::string_view text, Time now) {
  now_ = now;
  const auto left = std::find_if(left_.begin(), left_.end(), [tunnel](const auto& one) { return one.second.tunnel == tunnel; });
  if (left == left_.end()) return false;
  const std::uint16_t session = left->first;
  left_.erase(left);
  if (connection_ != nullptr) {
    connection_->send(session, ppp::OrphanLink::terminate(text));
    connection_->end_call(session, {kCdnAdministrative, 0, std::string(text)}, now);
  }
  settle(now);
  return true;
}

/// A peer that came by IPv6 keeps its router.
void Peer::advertise(Time now) {
  advertise_at_ = left_.empty() ? Time::max() : now + kAdvertiseEvery;
  for (const auto& [session, left] : left_) {
    const std::vector<std::uint8_t> frame = left.link.advertise();
    if (!frame.empty() && connection_ != nullptr) connection_->send(session, frame);
  }
}

/// Not in use by this peer, as tunnel or session.
std::uint16_t Peer::free_id() {
  for (;;) {
    std::uint16_t id = 0;
    make_random(id);
    const bool tunnel = connection_ != nullptr && connection_->local_tunnel() == id;
    const bool old = std::any_of(ending_.begin(), ending_.end(), [id](const auto& one) { return one->local_tunnel() == id; });
    if (id != 0 && !tunnel && !old && !links_.contains(id) && !left_.contains(id)) return id;
  }
}

void Peer::datagram(ByteSpan datagram) { ports_.tunnels.send(path_, datagram); }

void Peer::call_up(const Call& call) {
  Session session;
  session.id = ids_.next();
  session.protocol = Protocol::kL2tp;
  session.path = path_;
  session.path.tunnel = 0;
  session.correlation = hex(path_.tunnel);
  links_.emplace(call.local_session, std::make_unique<Link>(*this, call, std::move(session), now_));
  fresh_.push_back(call.local_session);
}

void Peer::frame(std::uint16_t local_session, ByteSpan frame) {
  const auto link = links_.find(local_session);
  if (link != links_.end()) return link->second->receive(frame, now_);
  const auto left = left_.find(local_session);
  if (left == left_.end()) return;
  const ppp::OrphanLink::Answer answer = left->second.link.receive(frame);
  if (!answer.frame.empty()) connection_->send(local_session, answer.frame);
  if (answer.over.empty()) return;
  left_over_.push_back({left->second.tunnel, Cause::kUser});
  left_.erase(left);
  connection_->end_call(local_session, {kCdnAdministrative, 0, std::string(answer.over)}, now_);
}

void Peer::call_down(std::uint16_t local_session, Ended how, std::string_view text) {
  const Cause cause = how == Ended::kSilent ? Cause::kPeerLost : Cause::kUser;
  if (const auto left = left_.find(local_session); left != left_.end()) {
    left_over_.push_back({left->second.tunnel, cause});
    left_.erase(left);
    return;
  }
  const auto link = links_.find(local_session);
  if (link == links_.end()) return;
  link->second->lost(cause, text, now_);
  done_.push_back(std::move(link->second));
  links_.erase(link);
}

void Peer::settle(Time now) {
  for (const std::uint16_t id : std::exchange(fresh_, {})) {
    if (const auto link = links_.find(id); link != links_.end()) link->second->start(now);
  }
  for (auto link = links_.begin(); link != links_.end();) {
    if (!link->second->over()) {
      ++link;
      continue;
    }
    if (connection_ != nullptr) connection_->end_call(link->first, {kCdnAdministrative, 0, link->second->last().text}, now);
    done_.push_back(std::move(link->second));
    link = links_.erase(link);
  }
  done_.clear();
  if (connection_ != nullptr && connection_->ending()) ending_.push_back(std::move(connection_));
  std::erase_if(ending_, [](const auto& one) { return one->over(); });
  while (ending_.size() > kEndingMax) ending_.erase(ending_.begin());
}

void Peer::tick(Time now) {
  now_ = now;
  if (connection_ != nullptr && connection_->next() <= now) connection_->tick(now);
  for (const auto& one : ending_) {
    if (one->next() <= now) one->tick(now);
  }
  for (const auto& [id, link] : links_) {
    if (link->due() <= now) link->tick(now);
  }
  if (advertise_at_ <= now) advertise(now);
  settle(now);
}

Time Peer::due() const {
  Time out = connection_ == nullptr ? Time::max() : connection_->next();
  for (const auto& one : ending_) out = std::min(out, one->next());
  for (const auto& [id, link] : links_) out = std::min(out, link->due());
  return left_.empty() ? out : std::min(out, advertise_at_);
}

bool Peer::judged(const radius::Verdict& verdict, Time now) {
  now_ = now;
  const auto link = std::find_if(links_.begin(), links_.end(),
                                 [&](const auto& one) { return one.second->login().session().id == verdict.session; });
  if (link == links_.end()) return false;
  link->second->judged(verdict, now);
  settle(now);
  return true;
}

bool Peer::end(std::uint64_t session, Cause cause, std::string_view text, Time now) {
  now_ = now;
  const auto link = std::find_if(links_.begin(), links_.end(),
                                 [session](const auto& one) { return one.second->login().session().id == session; });
  if (link == links_.end()) return false;
  link->second->end(cause, text, now);
  settle(now);
  return true;
}

void Peer::close(Cause cause, Time now) {
  now_ = now;
  for (const auto& [id, link] : links_) link->end(cause, sentence_of(cause, true), now);
  for (const auto& [id, left] : left_) {
    if (connection_ != nullptr) connection_->send(id, ppp::OrphanLink::terminate(sentence_of(cause, true)));
    left_over_.push_back({left.tunnel, cause});
  }
  left_.clear();
  if (connection_ != nullptr) connection_->stop({kStopShutDown, 0, std::string(sentence_of(cause, true))}, now);
  settle(now);
}

void Peer::lost(std::string_view text, Time now) {
  now_ = now;
  if (connection_ != nullptr) connection_->lost(text, Ended::kSilent);
  ending_.clear();
  settle(now);
}

void Peer::list(std::vector<Session>& out) const {
  for (const auto& [id, link] : links_) {
    if (link->login().up() && !link->login().over()) out.push_back(link->login().session());
  }
}

// ------------------------------------------------------------------------------------------------------------------ a call

Peer::Link::Link(Peer& peer, Call call, Session session, Time now)
    : peer_(peer),
      call_(call),
      login_(peer.ports_, std::move(session), peer.settings_.gateway),
      ppp_(peer.settings_.ppp, *this, fill_random, peer.settings_.eap_tls),
      now_(now) {}

void Peer::Link::start(Time now) {
  now_ = now;
  login_.begin();
  ppp_.lower_up(now);
}

void Peer::Link::receive(ByteSpan frame, Time now) {
  now_ = now;
  if (!over_) static_cast<void>(ppp_.receive(frame, now));  // an IP packet that came here, before its tunnel was open, ends here
}

void Peer::Link::tick(Time now) {
  now_ = now;
  if (!over_) ppp_.tick(now);
}

void Peer::Link::end(Cause cause, std::string_view text, Time now) {
  now_ = now;
  if (over_) return;
  last_.text = text;
  over_ = true;  // what PPP says of it is known
  login_.end(stage(), cause, text);
  ppp_.close(cause, text, now);
}

void Peer::Link::lost(Cause cause, std::string_view text, Time now) {
  now_ = now;
  if (std::exchange(over_, true)) return;
  last_.text = text;
  login_.end(stage(), cause, text);
}

void Peer::Link::frame(ByteSpan frame) {
  if (peer_.connection_ != nullptr) peer_.connection_->send(call_.local_session, frame);
}

void Peer::Link::authenticate(const ppp::AuthRequest& request) {
  if (const auto answer = login_.authenticate(request)) ppp_.answer(request.number, *answer, now_);
}

void Peer::Link::judged(const radius::Verdict& verdict, Time now) {
  now_ = now;
  if (over_) return;
  if (const auto judged = login_.judged(verdict)) ppp_.answer(judged->number, judged->answer, now);
}

void Peer::Link::event(const ppp::Event& event) {
  using Kind = ppp::Event::Kind;
  switch (event.kind) {
    case Kind::kLinkUp:
    case Kind::kNetworkDown: return;
    case Kind::kIdentified: return login_.describe(event.text);
    case Kind::kAuthenticated: {
      authenticated_ = true;
      const auto network = login_.network();
      if (!network) return ppp_.close(Cause::kPoolEmpty, "no inner address is left", now_);
      return ppp_.open_network(*network, now_);
    }
    case Kind::kNetworkUp: return open();
    case Kind::kDown:
      if (std::exchange(over_, true)) return;
      last_ = event;
      return login_.end(event.stage, event.cause, event.text);
  }
}

/// From here on the data plane takes his packets out of L2TP and puts them in.
void Peer::Link::open() {
  if (login_.up() || over_) return;
  const Connection& connection = *peer_.connection_;
  const L2tpRide ride{peer_.path_.tunnel,        peer_.path_.remote.port,
                      connection.local_tunnel(), call_.local_session,
                      connection.peer_tunnel(),  call_.peer_session,
                      call_.sequenced,           std::min(ppp_.agreed().peer_mru, kSessionMtuMax)};
  if (!login_.open(ride)) ppp_.close(Cause::kInternal, "the data plane did not take the tunnel", now_);
}

}  // namespace sekisho::vpn::l2tp
