// SPDX-License-Identifier: Apache-2.0
// Overview. Bytes of TLS are collected in a buffer all connections of a thread share and taken packet by packet; what is no whole packet
// yet, or finds no room in the ring to the data plane, waits in in_, and while that ring is full nothing more is read. Whatever leaves is
// collected in out_ and encrypted in records as large as they get. Limits: in_ holds what one turn brought; out_ takes no IP packet
// beyond kOutMax, and beyond kChokeAt nothing is read whose answer it would have to take. Every step consumes bytes, waits or ends
// the connection.
#include "vpn/sstp/connection.h"

#include <algorithm>
#include <array>

#include "vpn/random.h"
#include "vpn/sstp/http.h"

namespace sekisho::vpn::sstp {
namespace {

using namespace std::chrono_literals;

constexpr auto kGreetingPatience = 20s;     // from TCP to the whole HTTP request: who is slower is no client
constexpr auto kNegotiation = 60s;          // [MS-SSTP] 3.3.2: for CONNECT_REQUEST, and again for CONNECTED
constexpr auto kHello = 60s;                // without a packet; then an Echo-Request, and as long again
constexpr auto kAbortPatience = 1s, kDisconnectPatience = 5s, kAnswerPatience = 3s;
constexpr auto kCountInterval = 1s;
constexpr unsigned kNaksMax = 3;
constexpr std::size_t kReadBytes = 128U << 10;  // a turn: some ninety records of clients that put a packet into each
constexpr std::size_t kHeldMax = 16U << 10;    // more than any packet or greeting that is not whole
constexpr std::size_t kWriteAt = 4 * kRecordPlainMax;  // so much is not kept until the turn's end: the turn may bring more than kOutMax
constexpr std::size_t kOutMax = 256U << 10;  // bytes that wait for the client; IP packets beyond are dropped, as by any full link
constexpr std::size_t kChokeAt = 2 * kOutMax;
constexpr std::uint16_t kPpp = 1;

/// Hex digits of a correlation id, which is a GUID or whatever a client takes for one.
std::string hex_of(std::string_view text) {
  constexpr std::size_t kDigitsMax = 32;
  std::string out;
  for (const char c : text) {
    const char lower = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
    const bool digit = (lower >= '0' && lower <= '9') || (lower >= 'a' && lower <= 'f');
    if (digit && out.size() < kDigitsMax) out += lower;
  }
  return out;
}

/// Where a connection's bytes are while it is its turn: ten thousand that wait need none.
std::span<std::uint8_t> desk() {
  thread_local std::array<std::uint8_t, kHeldMax + kReadBytes> bytes;
  return bytes;
}

}  // namespace

Connection::Connection(Fd socket, Settings settings, const PppLogin::Ports& ports, Session session, Time now)
    : socket_(std::move(socket)),
      settings_(std::move(settings)),
      ports_(ports),
      tls_(settings_.tls, socket_.get()),
      login_(ports, std::move(session), settings_.gateway),
      ppp_(settings_.ppp, *this, [](std::span<std::uint8_t> out) { fill_random(out); }, settings_.eap_tls),
      now_(now),
      deadline_(now + kGreetingPatience),
      heard_(now),
      last_in_(now),
      counted_(now) {}

Connection::~Connection() = default;

std::uint8_t Connection::offered_hashes() const {
  const unsigned weak = settings_.sha1 ? static_cast<unsigned>(Hash::kSha1) : 0U;
  return static_cast<std::uint8_t>(static_cast<unsigned>(Hash::kSha256) | weak);
}

Stage Connection::stage() const {
  if (state_ < State::kPending) return Stage::kNegotiation;
  return authenticated_ ? Stage::kAdmission : Stage::kAuthentication;
}

// --- in ------------------------------------------------------------------------------------------------------------------

bool Connection::read(Time now) {
  now_ = now;
  if (state_ == State::kHandshake) shake_hands(now);
  if (state_ == State::kHandshake || state_ == State::kFinished) return false;
  if (stalled_ && !take_stream(std::exchange(in_, {}), now)) return state_ != State::kFinished;
  choked_ = waiting() > kChokeAt;  // who asks and does not read the answers is not listened to
  if (choked_) return false;
  const std::span<std::uint8_t> bytes = desk();
  std::size_t have = in_.size();
  std::copy(in_.begin(), in_.end(), bytes.begin());
  const std::size_t enough = have + kReadBytes;
  auto outcome = TlsStream::Outcome::kDone;
  while (enough - have >= kRecordBytesMax) {
    std::size_t count = 0;
    outcome = tls_.read(bytes.subspan(have, enough - have), count);
    if (outcome != TlsStream::Outcome::kDone) break;
    have += count;
  }
  if (!take_stream(ByteSpan(bytes).first(have), now) || state_ == State::kFinished) return state_ != State::kFinished;
  switch (outcome) {
    case TlsStream::Outcome::kDone: return true;
    case TlsStream::Outcome::kWait: break;
    case TlsStream::Outcome::kClosed: lost(Cause::kUser, "ended by the client", now); break;
    case TlsStream::Outcome::kFailed: lost(Cause::kPeerLost, "the connection broke", now); break;
  }
  return false;
}

void Connection::shake_hands(Time now) {
  switch (tls_.handshake()) {
    case TlsStream::Outcome::kWait: return;
    case TlsStream::Outcome::kDone:
      login_.set_suite(tls_.suite());
      state_ = State::kGreeting;
      return;
    case TlsStream::Outcome::kClosed:
    case TlsStream::Outcome::kFailed: lost(Cause::kPeerLost, {}, now); return;
  }
}

/// Takes all whole packets and keeps the rest. False: one waits for room in the ring. `stream` is not in_'s own.
bool Connection::take_stream(ByteSpan stream, Time now) {
  stalled_ = false;
  std::size_t at = 0;
  while (state_ != State::kFinished) {
    if (state_ == State::kGreeting) {
      const std::size_t took = greet(stream.subspan(at), now);
      if (took == 0) break;
      at += took;
      continue;
    }
    const Framed framed = next_packet(stream.subspan(at));
    if (framed.state == Framed::State::kMore) break;
    if (framed.state == Framed::State::kBad) {  // [MS-SSTP] 3.1.5.1: without a message
      lost(Cause::kPeerLost, "the client sent what is not SSTP", now);
      break;
    }
    heard_ = now;
    asked_ = false;
    stalled_ = !framed.packet.control && !take_data(framed.packet.body, now);
    if (stalled_) break;
    if (framed.packet.control) take_control(framed.packet.body, stream.subspan(at, framed.bytes), now);
    at += framed.bytes;
  }
  const ByteSpan rest = stream.subspan(std::min(at, stream.size()));
  if (!in_.empty() || !rest.empty()) in_.assign(rest.begin(), rest.end());
  return !stalled_;
}

/// How many bytes it took.
std::size_t Connection::greet(ByteSpan stream, Time now) {
  const Greeting greeting = read_greeting(stream);
  std::string answer;
  switch (greeting.state) {
    case Greeting::State::kMore: return 0;
    case Greeting::State::kSstp:
      answer = accept_answer();
      state_ = State::kRequest;
      deadline_ = now + kNegotiation;
      login_.set_correlation(hex_of(greeting.correlation));
      break;
    case Greeting::State::kOther: answer = polite_answer(greeting.method); break;
    case Greeting::State::kBad: answer = bad_answer(); break;
  }
  put({reinterpret_cast<const std::uint8_t*>(answer.data()), answer.size()});
  if (greeting.state == Greeting::State::kSstp) {
    write(now);  // alone in its record: clients read until its last line end
    return greeting.bytes;
  }
  polite_ = true;
  linger(kAnswerPatience, now);
  return stream.size();
}

void Connection::take_control(ByteSpan body, ByteSpan whole, Time now) {
  if (state_ == State::kRequest) return take_connect_request(read_control(body), now);
  const ReadControl read = read_control(body);
  if (state_ == State::kClosing) {
    const bool over = read.message && (read.message->type == MessageType::kDisconnectAck || read.message->type == MessageType::kAbort);
    if (over) finish();
    return;
  }
  if (!read.message) return abort(read.fault, stage() == Stage::kAuthentication ? Cause::kPeerLost : Cause::kInternal,
                                  "the client sent a malformed message", now);
  switch (read.message->type) {
    case MessageType::kConnected: return take_connected(*read.message->binding, whole, now);
    case MessageType::kEchoRequest: put(plain_message(MessageType::kEchoResponse)); return;
    case MessageType::kEchoResponse: return;
    case MessageType::kDisconnect:
      over(Cause::kUser, "ended by the client", now);
      put(plain_message(MessageType::kDisconnectAck));
      return linger(kAbortPatience, now);
    case MessageType::kAbort:
      over(login_.up() ? Cause::kUser : Cause::kPeerLost, "the client gave up", now);
      put(status_message(MessageType::kAbort, {}));
      return linger(kAbortPatience, now);
    case MessageType::kConnectRequest:
    case MessageType::kConnectAck:
    case MessageType::kConnectNak:
    case MessageType::kDisconnectAck: break;
  }
  abort({Attribute::kNone, Status::kUnacceptedFrame}, Cause::kPeerLost, "the client sent a message out of order", now);
}

void Connection::take_connect_request(const ReadControl& read, Time now) {
  const bool request = read.message && read.message->type == MessageType::kConnectRequest;
  if (request && read.message->protocol == kPpp) {
    fill_random(nonce_);
    put(connect_ack(nonce_, offered_hashes()));
    state_ = State::kPending;
    deadline_ = now + kNegotiation;
    login_.begin();
    ppp_.lower_up(now);
    return;
  }
  if (read.message && !request) {
    return abort({Attribute::kNone, Status::kUnacceptedFrame}, Cause::kPeerLost, "the client sent a message out of order", now);
  }
  if (++naks_ > kNaksMax) return abort({Attribute::kNone, Status::kRetriesExceeded}, Cause::kConfig, "the client does not carry PPP", now);
  put(status_message(MessageType::kConnectNak, request ? Fault{Attribute::kProtocol, Status::kValueNotSupported} : read.fault));
}

void Connection::take_connected(const Binding& binding, ByteSpan whole, Time now) {
  if (state_ != State::kPending || !held_.empty()) {
    return abort({Attribute::kNone, Status::kUnacceptedFrame}, Cause::kPeerLost, "the client sent a message out of order", now);
  }
  if (!authenticated_) {  // it may overtake the login's last frame
    held_.assign(whole.begin(), whole.end());
    return;
  }
  const auto& hashes = tls_.certificate_hashes();
  BindingFacts facts{nonce_, offered_hashes(), hashes.sha1, hashes.sha256, ppp_.keys().hlak()};
  const BindingFault fault = check_binding(whole, binding, facts);
  ::explicit_bzero(facts.key.data(), facts.key.size());
  if (fault != BindingFault::kNone) {
    return abort({Attribute::kBinding, Status::kValueNotSupported}, Cause::kCrypto, sentence_of(fault), now);
  }
  bound_ = true;
  state_ = State::kConnected;
  deadline_ = Time::max();
  open_when_complete();
}

void Connection::check_held(Time now) {
  const std::vector<std::uint8_t> packet = std::exchange(held_, {});
  if (packet.empty()) return;
  const ReadControl read = read_control(ByteSpan(packet).subspan(kHeaderBytes));
  take_connected(*read.message->binding, packet, now);
}

/// False: there is no room for its packet yet.
bool Connection::take_data(ByteSpan data, Time now) {
  if (state_ != State::kPending && state_ != State::kConnected) return true;
  const ppp::Received received = ppp_.receive(data, now);
  if (received.what != ppp::Received::What::kPacket || !tunnel_) return true;
  if (!ports_.tunnels.put(*tunnel_, received.packet)) return false;
  totals_.packets_in += 1;
  totals_.bytes_in += received.packet.size();
  last_in_ = now;
  return true;
}

// --- PPP -----------------------------------------------------------------------------------------------------------------

void Connection::frame(ByteSpan bytes) {
  if (ending_ || bytes.size() > kFrameBytesMax) return;
  put(data_header(bytes.size()));
  put(bytes);
}

void Connection::authenticate(const ppp::AuthRequest& request) {
  if (const auto answer = login_.authenticate(request)) ppp_.answer(request.number, *answer, now_);
}

void Connection::judged(const radius::Verdict& verdict, Time now) {
  now_ = now;
  if (ending_) return;
  if (const auto judged = login_.judged(verdict)) ppp_.answer(judged->number, judged->answer, now);
}

void Connection::event(const ppp::Event& event) {
  using Kind = ppp::Event::Kind;
  switch (event.kind) {
    case Kind::kLinkUp: return;
    case Kind::kIdentified: return login_.describe(event.text);
    case Kind::kAuthenticated: {
      authenticated_ = true;
      const std::string_view way = way_in(session().gateway);
      if (ppp_.keys().size == 0 && way != "pap" && way != "chap") {
        return ppp_.close(Cause::kCrypto, "the RADIUS server gave no keys for the binding to TLS", now_);
      }
      const auto network = login_.network();
      if (!network) return ppp_.close(Cause::kPoolEmpty, "no inner address is left", now_);
      ppp_.open_network(*network, now_);
      return check_held(now_);
    }
    case Kind::kNetworkUp:
      network_up_ = true;
      return open_when_complete();
    case Kind::kNetworkDown: return;
    case Kind::kDown:
      if (std::exchange(ending_, true)) return;
      count_use(now_);
      login_.end(event.stage, event.cause, event.text);
      return disconnect(now_);
  }
}

void Connection::open_when_complete() {
  if (tunnel_ || !bound_ || !network_up_ || state_ != State::kConnected) return;
  tunnel_ = login_.open(ppp_.agreed().peer_mru);
  if (!tunnel_) abort({}, Cause::kInternal, "the data plane did not take the tunnel", now_);
}

// --- out -----------------------------------------------------------------------------------------------------------------

void Connection::send(ByteSpan packet, Time now) {
  if (waiting() >= kWriteAt && !full_) write(now);
  const Family family = !packet.empty() && packet[0] >> 4 == 6 ? Family::kIpv6 : Family::kIpv4;
  const bool room = waiting() < kOutMax;
  if (!tunnel_ || state_ != State::kConnected || !room || !ppp_.up(family)) {
    dropped_ += 1;
    return;
  }
  const ByteSpan header = ppp_.header(family);
  if (header.size() + packet.size() > kFrameBytesMax) return;
  put(data_header(header.size() + packet.size()));
  put(header);
  put(packet);
  totals_.packets_out += 1;
  totals_.bytes_out += packet.size();
}

void Connection::write(Time now) {
  if (state_ == State::kHandshake || state_ == State::kFinished) return;
  full_ = false;
  while (waiting() > 0) {
    std::size_t count = 0;
    const auto outcome = tls_.write(ByteSpan(out_).subspan(out_at_), count);
    full_ = outcome == TlsStream::Outcome::kWait;
    if (full_) break;
    if (outcome != TlsStream::Outcome::kDone) return lost(Cause::kPeerLost, "the connection broke", now);
    out_at_ += count;
  }
  if (polite_ && state_ == State::kClosing && waiting() == 0) finish();
  if (out_at_ == out_.size()) {
    out_.clear();
    out_at_ = 0;
  } else if (out_at_ > kOutMax) {
    out_.erase(out_.begin(), out_.begin() + static_cast<std::ptrdiff_t>(out_at_));
    out_at_ = 0;
  }
}

// --- time ----------------------------------------------------------------------------------------------------------------

bool Connection::unchoke() {
  if (!choked_ || waiting() > kChokeAt) return false;
  choked_ = false;
  return true;
}

Time Connection::due() const {
  Time out = std::min(deadline_, counted_ + (login_.up() ? kCountInterval : std::chrono::seconds(3600)));
  if (state_ == State::kPending || state_ == State::kConnected) out = std::min({out, ppp_.next(), heard_ + (asked_ ? 2 * kHello : kHello)});
  return out;
}

void Connection::tick(Time now) {
  now_ = now;
  if (now >= deadline_) {
    switch (state_) {
      case State::kHandshake:
      case State::kGreeting: return lost(Cause::kPeerLost, {}, now);
      case State::kRequest:
      case State::kPending:
        return abort({Attribute::kNone, Status::kNegotiationTimeout}, Cause::kPeerLost, "the client fell silent", now);
      case State::kClosing: return finish();
      case State::kConnected:
      case State::kFinished: break;
    }
  }
  if (login_.up() && now >= counted_ + kCountInterval) count_use(now);
  if (state_ != State::kPending && state_ != State::kConnected) return;
  if (now >= heard_ + 2 * kHello && asked_) return lost(Cause::kPeerLost, "the client fell silent", now);
  if (now >= heard_ + kHello && !std::exchange(asked_, true)) put(plain_message(MessageType::kEchoRequest));
  if (now >= ppp_.next()) ppp_.tick(now);
}

void Connection::count_use(Time now) {
  // Who was silent for a while keeps no buffers.
  if (totals_.packets_in + totals_.packets_out == counted_packets_ && waiting() == 0) out_.shrink_to_fit();
  counted_packets_ = totals_.packets_in + totals_.packets_out;
  counted_ = now;
  if (login_.up() && !login_.over()) ports_.tunnels.count(session().id, totals_, last_in_);
}

// --- the end -------------------------------------------------------------------------------------------------------------

void Connection::abort(Fault fault, Cause cause, std::string_view text, Time now) {
  over(cause, text, now);
  put(status_message(MessageType::kAbort, fault));
  linger(kAbortPatience, now);
}

void Connection::disconnect(Time now) {
  if (state_ == State::kClosing || state_ == State::kFinished) return;
  tunnel_.reset();
  put(status_message(MessageType::kDisconnect, {}));
  linger(kDisconnectPatience, now);
}

void Connection::linger(std::chrono::milliseconds patience, Time now) {
  state_ = State::kClosing;
  deadline_ = now + patience;
}

/// What was between us ends here, for the log and for the data plane; the client may still be told something.
void Connection::over(Cause cause, std::string_view text, Time now) {
  if (std::exchange(ending_, true)) return;
  const Stage at = stage();
  count_use(now);
  tunnel_.reset();
  login_.end(at, cause, text);  // PPP is not asked any more: nothing it says leaves
}

void Connection::lost(Cause cause, std::string_view text, Time now) {
  over(cause, text, now);
  finish();
}

void Connection::finish() {
  tunnel_.reset();
  if (state_ != State::kHandshake) tls_.shutdown();
  state_ = State::kFinished;
}

bool Connection::end(Cause cause, std::string_view text, Time now) {
  now_ = now;
  if (state_ >= State::kClosing || ending_) return false;
  over(cause, text, now);
  if (state_ == State::kPending || state_ == State::kConnected) {
    disconnect(now);
  } else {
    finish();
  }
  return true;
}

}  // namespace sekisho::vpn::sstp
