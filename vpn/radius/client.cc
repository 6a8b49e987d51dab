// SPDX-License-Identifier: Apache-2.0
#include "vpn/radius/client.h"

#include <algorithm>

#include "base/assert.h"

namespace sekisho::vpn::radius {
namespace {

bool same_servers(const RadiusPlan& a, const RadiusPlan& b) {
  return a.source == b.source && a.port == b.port &&
         std::equal(a.servers.begin(), a.servers.end(), b.servers.begin(), b.servers.end(),
                    [](const RadiusServerPlan& one, const RadiusServerPlan& other) {
                      return one.address == other.address && one.port == other.port && one.accounting_port == other.accounting_port &&
                             std::ranges::equal(one.secret.bytes(), other.secret.bytes());
                    });
}

/// "00-10-A4-23-19-C0", or with colons; zero: it is something else.
Mac mac_of(std::string text) {
  std::ranges::replace(text, '-', ':');
  const auto mac = parse_mac(text);
  return mac && !mac->is_multicast() ? *mac : Mac{};
}

Grant grant_of(const Message& message, bool group_by_class) {
  Grant out;
  out.user = message.text(Type::kUserName);
  out.mac = mac_of(message.text(Type::kCallingStationId));
  out.session_seconds = message.number(Type::kSessionTimeout).value_or(0);
  out.interim_seconds = message.number(Type::kAcctInterimInterval).value_or(0);
  for (const Type type : {Type::kFramedIpAddress, Type::kFramedIpv6Address}) {
    const auto address = message.address(type);
    const Family family = type == Type::kFramedIpAddress ? Family::kIpv4 : Family::kIpv6;
    if (address && address->family == family) out.addresses.push_back(*address);
  }
  for (const Attribute& one : message.attributes) {
    if (one.type == (group_by_class ? Type::kClass : Type::kFilterId)) out.values.emplace_back(one.value.begin(), one.value.end());
    if (one.type == Type::kClass) out.classes.emplace_back(one.value.begin(), one.value.end());
  }
  return out;
}

}  // namespace

Client::Client(std::shared_ptr<const RadiusPlan> plan, std::uint16_t first_port, Random random)
    : plan_(std::move(plan)), first_port_(first_port), random_(std::move(random)), health_(plan_->servers.size()) {}

void Client::set_plan(std::shared_ptr<const RadiusPlan> plan) {
  const bool same = same_servers(*plan_, *plan);
  if (!same) {
    for (const Open& open : open_) {
      if (open.service == Service::kAccess) answers_.emplace_back(open.number);
    }
    open_.clear();
    for (Record& record : records_) record.under_way = false;
    health_.assign(plan->servers.size(), {});
  }
  plan_ = std::move(plan);
}

Endpoint Client::local_of(const Open& open) const {
  return {plan_->source, static_cast<std::uint16_t>(first_port_ + 2 * open.server + static_cast<std::size_t>(open.service))};
}

Endpoint Client::remote_of(const Open& open) const {
  const RadiusServerPlan& server = plan_->servers[open.server];
  return {server.address, open.service == Service::kAccess ? server.port : server.accounting_port};
}

/// A living server, else one whose time to be tried has come; nobody else tries it meanwhile.
std::optional<std::size_t> Client::choose(Service service, unsigned tried, Time now) {
  for (std::size_t i = 0; i < health_.size(); ++i) {
    if ((tried >> i & 1U) == 0 && !health(service, i).dead) return i;
  }
  for (std::size_t i = 0; i < health_.size(); ++i) {
    Health& one = health(service, i);
    if ((tried >> i & 1U) != 0 || now < one.again) continue;
    one.again = now + kDeadTime;
    return i;
  }
  return std::nullopt;
}

/// False: the message is too long, or as many are under way to this server as there are numbers.
bool Client::send_to(Open& open, std::size_t server, Time now) {
  open.server = server;
  open.tried |= 1U << server;
  std::uint8_t& last = last_ids_[2 * server + static_cast<std::size_t>(open.service)];
  const auto taken = [&](std::uint8_t id) {
    return std::any_of(open_.begin(), open_.end(), [&](const Open& other) {
      return other.number != open.number && other.service == open.service && other.server == server && other.id == id;
    });
  };
  unsigned steps = 0;
  do {
    if (++steps > 256) return false;
    ++last;
  } while (taken(last));
  open.id = last;
  const ByteSpan secret = plan_->servers[server].secret.bytes();
  Writer writer(open.service == Service::kAccess ? Code::kAccessRequest : Code::kAccountingRequest, open.id);
  writer.add_raw(open.attributes);
  if (open.service == Service::kAccess) {
    random_(open.authenticator);
    if (open.password) writer.add_password(open.password->bytes(), open.authenticator, secret);
    open.bytes = writer.finish_access(open.authenticator, secret);
  } else {
    open.bytes = writer.finish_request(secret);
    if (open.bytes.empty()) return false;
    std::copy_n(open.bytes.begin() + 4, kAuthenticatorBytes, open.authenticator.begin());
  }
  if (open.bytes.empty()) return false;
  open.copies = 0;
  open.begun = now;
  open.end = now + (open.pinned ? std::chrono::nanoseconds(kPatience) : std::chrono::nanoseconds::zero());
  send_again(open, now);
  return true;
}

void Client::send_again(Open& open, Time now) {
  sends_.push_back({local_of(open), remote_of(open), open.bytes});
  ++counters_.sent;
  ++open.copies;
  open.next = now + std::chrono::seconds(plan_->timeout_seconds);
}

std::uint64_t Client::ask(ByteSpan attributes, std::optional<std::size_t> server, Time now, std::shared_ptr<const Secret> password) {
  Open open;
  open.number = ++last_number_;
  open.attributes.assign(attributes.begin(), attributes.end());
  open.pinned = server.has_value();
  open.password = std::move(password);
  const auto chosen = server ? server : choose(Service::kAccess, 0, now);
  if (chosen && *chosen < health_.size() && send_to(open, *chosen, now)) {
    open_.push_back(std::move(open));
  } else {
    answers_.emplace_back(open.number);
  }
  return last_number_;
}

void Client::forget(std::uint64_t number) {
  std::erase_if(open_, [number](const Open& one) { return one.service == Service::kAccess && one.number == number; });
  std::erase_if(answers_, [number](const Answer& one) { return one.number == number; });
}

void Client::account(ByteSpan attributes, bool replaceable, Time now) {
  if (records_.size() >= kRecordsMax || (replaceable && records_.size() >= kRecordsMax / 2)) {
    ++counters_.records_lost;
    return;
  }
  records_.push_back({++last_number_, {attributes.begin(), attributes.end()}, replaceable, false, now, now});
  send_records(now);
}

/// As many at once as may be, in order.
void Client::send_records(Time now) {
  auto under_way = static_cast<std::size_t>(std::ranges::count(records_, true, &Record::under_way));
  for (Record& record : records_) {
    if (under_way >= kRecordsUnderWayMax) return;
    if (record.under_way || now < record.next) continue;
    const auto server = choose(Service::kAccounting, 0, now);
    if (!server) return;
    Open open;
    open.number = record.number;
    open.service = Service::kAccounting;
    Writer writer(Code::kAccountingRequest, 0);
    writer.add_raw(record.attributes);
    writer.add(Type::kAcctDelayTime, seconds_between(record.made, now));
    open.attributes.assign(writer.attributes().begin(), writer.attributes().end());
    if (!send_to(open, *server, now)) {
      record.next = now + kDeadTime;
      continue;
    }
    record.under_way = true;
    ++under_way;
    open_.push_back(std::move(open));
  }
}

/// True: the request has ended. A server that said anything since it was asked lives, whatever became of this request.
bool Client::give_up(Open& open, Time now) {
  ++counters_.unanswered;
  Health& one = health(open.service, open.server);
  if (one.heard < open.begun) {
    one.dead = true;
    one.again = now + kDeadTime;
  }
  if (open.service == Service::kAccounting) {
    const auto record = std::find_if(records_.begin(), records_.end(), [&](const Record& each) { return each.number == open.number; });
    if (record != records_.end()) record->under_way = false;
    return true;
  }
  if (!open.pinned) {
    const auto next = choose(Service::kAccess, open.tried, now);
    if (next && send_to(open, *next, now)) return false;
  }
  answers_.emplace_back(open.number);
  return true;
}

void Client::tick(Time now) {
  for (std::size_t i = 0; i < open_.size();) {
    Open& open = open_[i];
    bool over = false;
    if (now >= open.next) {
      if (open.copies < plan_->tries) {
        send_again(open, now);
      } else if (now < open.end) {
        open.next = open.end;
      } else {
        over = give_up(open, now);
      }
    }
    if (over) {
      open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
  send_records(now);
}

void Client::receive(std::uint16_t local_port, const Endpoint& remote, ByteSpan datagram, Time now) {
  const auto message = parse(datagram);
  if (!message) {
    ++counters_.malformed;
    return;
  }
  const auto at = std::find_if(open_.begin(), open_.end(), [&](const Open& one) {
    return one.id == message->id && local_of(one).port == local_port && remote_of(one) == remote;
  });
  if (at == open_.end()) {
    ++counters_.unknown;
    return;
  }
  const bool access = at->service == Service::kAccess;
  constexpr std::array kAccessAnswers{Code::kAccessAccept, Code::kAccessReject, Code::kAccessChallenge};
  const bool fits = access ? std::ranges::find(kAccessAnswers, message->code) != kAccessAnswers.end()
                           : message->code == Code::kAccountingResponse;
  if (!fits || !answers(*message, at->authenticator, plan_->servers[at->server].secret.bytes(), access)) {
    ++counters_.forged;  // the request stays open: the genuine answer may still come
    return;
  }
  ++counters_.answered;
  Health& one = health(at->service, at->server);
  one.dead = false;
  one.heard = now;
  const Open open = std::move(*at);
  open_.erase(at);
  if (access) {
    answer_access(open, *message);
  } else {
    std::erase_if(records_, [&](const Record& record) { return record.number == open.number; });
    send_records(now);
  }
}

void Client::answer_access(const Open& open, const Message& message) {
  Answer answer(open.number);
  answer.server = open.server;
  answer.eap = message.eap();
  const auto state = message.find(Type::kState);
  if (state) answer.state.assign(state->begin(), state->end());
  answer.outcome = message.code == Code::kAccessAccept      ? Answer::Outcome::kAccept
                   : message.code == Code::kAccessChallenge ? Answer::Outcome::kChallenge
                                                            : Answer::Outcome::kReject;
  if (answer.outcome == Answer::Outcome::kAccept) {
    answer.key = master_key(message, open.authenticator, plan_->servers[open.server].secret.bytes());
    if (const auto keys = mppe_keys(message, open.authenticator, plan_->servers[open.server].secret.bytes())) answer.mppe = *keys;
    answer.authenticator = mschap2_success(message);
    answer.grant = grant_of(message, plan_->group_by_class);
  }
  answers_.push_back(std::move(answer));
}

std::vector<Datagram> Client::take_sends() { return std::exchange(sends_, {}); }
std::vector<Answer> Client::take_answers() { return std::exchange(answers_, {}); }

}  // namespace sekisho::vpn::radius
