// SPDX-License-Identifier: Apache-2.0
#include "vpn/pptp/call.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "vpn/random.h"

namespace sekisho::vpn::pptp {
namespace {

constexpr std::size_t kReadBytes = 2048;
constexpr unsigned kReadsATurn = 4;
constexpr auto kCountInterval = std::chrono::seconds(1);
constexpr auto kCallMax = std::chrono::seconds(30);  // from the connection to its call

ppp::Options options_of_ppp() {
  ppp::Options out;
  out.methods = {ppp::AuthMethod::kMschapV2};  // the only one that leaves keys to clients of PPTP
  out.mppe = true;
  out.mru_max = out.mru;  // with GRE, MPPE and IP around it a packet still fits 1500 bytes
  out.header_compression = true;
  return out;
}

/// Of a packet, beside what PPP's MRU counts: MPPE's number, and the protocol's.
constexpr std::uint16_t kMppeBytes = 4;

}  // namespace

Call::Call(Fd socket, const Settings& settings, const PppLogin::Ports& ports, Session session, Time now)
    : socket_(std::move(socket)),
      settings_(settings),
      ports_(ports),
      client_(session.path.remote),
      login_(ports, std::move(session), settings.gateway),
      control_(*this, settings.number, now),
      begun_(now),
      now_(now),
      last_in_(now),
      counted_(now) {
  login_.set_suite("MPPE_128");
}

Call::~Call() = default;

void Call::read(Time now) {
  now_ = now;
  std::array<std::uint8_t, kReadBytes> buffer;
  for (unsigned reads = 0; reads < kReadsATurn && !finished_ && !over_; ++reads) {  // what is left wakes epoll again
    const ssize_t size = ::read(socket_.get(), buffer.data(), buffer.size());
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (size <= 0 || !control_.receive(ByteSpan(buffer).first(static_cast<std::size_t>(size)), now)) {
      control_.closed(now);
      lost(Cause::kPeerLost, size < 0 ? "the connection broke" : "the control connection ended", now);
    }
  }
  tick(now);
}

void Call::write(ByteSpan bytes) {
  // Every answer fits what the kernel keeps for a connection: one that does not take it belongs to no client.
  if (::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) != static_cast<ssize_t>(bytes.size())) over_ = true;
}

void Call::call_up(std::uint16_t peer_call, std::uint16_t /*window*/, Time now) {
  if (ppp_ || over_) return;
  if (!control_.vendor().empty()) login_.describe(control_.vendor());
  if (!control_.host().empty()) login_.describe(control_.host());
  login_.begin();
  if (settings_.ended()) {
    login_.end(Stage::kNegotiation, Cause::kConfig, kEnded);
    over_ = true;  // the client is told outside of its message
    return;
  }
  GreLink::Owner& link = *this;
  ppp::Sink& sink = *this;
  link_.emplace(link, settings_.number, peer_call);
  ppp_ = std::make_unique<ppp::Session>(options_of_ppp(), sink, [](std::span<std::uint8_t> out) { fill_random(out); });
  ppp_->lower_up(now);
}

void Call::call_down(std::string_view /*why*/, Time now) {
  if (ppp_) ppp_->lower_down(now);
}

void Call::gre(ByteSpan packet, Time now) {
  now_ = now;
  if (link_ && !over_) link_->receive(packet, now);
  tick(now);
}

void Call::send_packet(ByteSpan packet) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(client_.address.v4());
  iovec part{const_cast<std::uint8_t*>(packet.data()), packet.size()};
  alignas(cmsghdr) std::array<std::uint8_t, CMSG_SPACE(sizeof(in_pktinfo))> control{};
  msghdr message{};
  message.msg_name = &to;
  message.msg_namelen = sizeof(to);
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = IPPROTO_IP;
  head->cmsg_type = IP_PKTINFO;
  head->cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
  in_pktinfo from{};
  from.ipi_spec_dst.s_addr = htonl(settings_.local.v4());
  std::memcpy(CMSG_DATA(head), &from, sizeof(from));
  (void)::sendmsg(settings_.gre, &message, MSG_DONTWAIT);  // a full queue loses it, as any link does
}

void Call::frame_in(ByteSpan frame, Time now) {
  const ppp::Received received = ppp_->receive(frame, now);
  if (received.what != ppp::Received::What::kPacket || !tunnel_ || over_) return;
  if (!ports_.tunnels.put(*tunnel_, received.packet)) return;  // the ring is full: lost, as on any link
  totals_.packets_in += 1;
  totals_.bytes_in += received.packet.size();
  last_in_ = now;
}

void Call::frame(ByteSpan frame) {
  if (link_) link_->send(frame);
}

void Call::authenticate(const ppp::AuthRequest& request) {
  if (const auto answer = login_.authenticate(request)) ppp_->answer(request.number, *answer, now_);
}

void Call::judged(const radius::Verdict& verdict, Time now) {
  now_ = now;
  if (over_ || !ppp_) return;
  if (const auto judged = login_.judged(verdict)) ppp_->answer(judged->number, judged->answer, now);
}

void Call::event(const ppp::Event& event) {
  using Kind = ppp::Event::Kind;
  switch (event.kind) {
    case Kind::kLinkUp:
    case Kind::kNetworkDown: return;
    case Kind::kIdentified: return login_.describe(event.text);
    case Kind::kAuthenticated: {
      const auto network = login_.network();
      return network ? ppp_->open_network(*network, now_) : ppp_->close(Cause::kPoolEmpty, "no inner address is left", now_);
    }
    case Kind::kNetworkUp:
      if (tunnel_ || login_.up()) return;
      tunnel_ = login_.open(static_cast<std::uint16_t>(ppp_->agreed().peer_mru - kMppeBytes));
      if (!tunnel_) ppp_->close(Cause::kInternal, "the data plane did not take the tunnel", now_);
      return;
    case Kind::kDown:
      count_use(now_);
      tunnel_.reset();
      login_.end(event.stage, event.cause, event.text);
      over_ = true;
      return;
  }
}

void Call::send(ByteSpan packet) {
  if (!tunnel_ || over_ || packet.empty()) return;
  if (!ppp_->send(packet[0] >> 4 == 6 ? Family::kIpv6 : Family::kIpv4, packet)) return;
  totals_.packets_out += 1;
  totals_.bytes_out += packet.size();
}

Call::Time Call::due() const {
  if (over_ && !finished_) return Time::min();  // PPP has ended: the client is told, and goes
  Time out = control_.next();
  if (!ppp_) out = std::min(out, begun_ + kCallMax);
  if (ppp_ && !over_) out = std::min({out, ppp_->next(), link_->next()});
  return login_.up() ? std::min(out, counted_ + kCountInterval) : out;
}

void Call::tick(Time now) {
  now_ = now;
  if (finished_) return;
  if (!control_.tick(now)) {
    control_.closed(now);
    return lost(Cause::kPeerLost, "the client fell silent", now);
  }
  if (!ppp_ && now >= begun_ + kCallMax) return lost(Cause::kPeerLost, "no call came", now);
  if (ppp_ && !over_) {
    if (now >= ppp_->next()) ppp_->tick(now);
    if (now >= link_->next()) link_->tick(now);
    if (login_.up() && now >= counted_ + kCountInterval) count_use(now);
  }
  if (over_) {
    control_.clear_call(now);
    lost(Cause::kPeerLost, "the connection broke", now);
  }
}

void Call::count_use(Time now) {
  counted_ = now;
  if (is_up()) ports_.tunnels.count(session().id, totals_, last_in_);
}

/// The end of it, whatever had been said before.
void Call::lost(Cause cause, std::string_view text, Time now) {
  over_ = finished_ = true;
  count_use(now);
  tunnel_.reset();
  login_.end(Stage::kNegotiation, cause, text);
}

bool Call::end(Cause cause, std::string_view text, Time now) {
  now_ = now;
  if (over_ || finished_) return false;
  if (!ppp_) {
    lost(cause, text, now);
  } else {
    count_use(now);
    tunnel_.reset();
    login_.end(Stage::kAdmission, cause, text);
    ppp_->close(cause, text, now);
  }
  return true;
}

}  // namespace sekisho::vpn::pptp
