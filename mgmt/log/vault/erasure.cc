// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/vault/erasure.h"

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "mgmt/log/files.h"
#include "mgmt/log/format.h"
#include "mgmt/log/time_text.h"

namespace sekisho::mgmt {

template <>
struct EnumText<Erasures::State> {
  static constexpr auto kNames = std::to_array<std::string_view>({"none", "scheduled", "erasing", "erased"});
};

namespace {

constexpr Error kBad{ErrorCode::kMalformed, ErrorSite::kStore, 6};
constexpr std::size_t kFileBytesMax = 64U << 20, kReasonMax = 1024;
constexpr std::size_t kFields = 9, kFieldsBefore = 8;  // lines of before have no last word
constexpr std::string_view kLast = "last";

std::string hex_text(std::string_view text) {
  return text.empty() ? "-" : hex({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}
bool take_hex(std::string_view text, std::string& out) {
  out.clear();
  if (text == "-") return true;
  out.resize(text.size() / 2);
  return parse_hex(text, {reinterpret_cast<std::uint8_t*>(out.data()), out.size()});
}
template <typename T>
bool take_number(std::string_view text, T& out) {
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), out);
  return status == std::errc{} && end == text.data() + text.size();
}

std::string report_of(const Erasures::Order& order, const std::vector<Vault::Erased>& erased, Keyring& keyring) {
  std::string out = "{\"svc\":\"" + order.service_code + "\",\"contract\":\"" +
                    ipc::EraseLog::Contract_Name(order.contract) + "\",\"end\":\"" + to_text(order.end) +
                    "\",\"erased\":\"" + to_text(order.erased) + "\",\"limit\":\"" +
                    day_text(add_days(day_of(order.end), Erasures::limit_days(order.contract))) + "\",\"reason\":\"";
  append_escaped(out, order.reason, Quote::kJson);
  out += "\",\"streams\":[";
  for (const Vault::Erased& one : erased) {
    if (&one != &erased.front()) out += ',';
    out += "{\"type\":\"" + std::string(text_of(one.stream.type)) + "\",\"records\":" + std::to_string(one.records) +
           ",\"seq_from\":" + std::to_string(one.first_sequence) + ",\"seq_to\":" + std::to_string(one.last_sequence) +
           ",\"bytes\":" + std::to_string(one.bytes) + ",\"keys\":" + std::to_string(one.keys) + "}";
  }
  out += "],\"box_key\":\"replaced\"";
  const Signature signature =
      sign(keyring.signing_seed(), {reinterpret_cast<const std::uint8_t*>(out.data()), out.size()});
  return out + ",\"signature\":\"" + hex(signature) + "\"}";
}

}  // namespace

std::int64_t Erasures::planned_days(ipc::EraseLog::Contract contract) {
  return contract == ipc::EraseLog::FIREWALL ? 60 : contract == ipc::EraseLog::REMOTE_ACCESS ? 37 : 30;
}
std::int64_t Erasures::limit_days(ipc::EraseLog::Contract contract) {
  return contract == ipc::EraseLog::FIREWALL ? 90 : contract == ipc::EraseLog::REMOTE_ACCESS ? 45 : 30;
}

std::string to_line(const Erasures::Order& order) {
  std::string types;
  for (const LogKind type : order.types) types += (types.empty() ? "" : ",") + std::string(text_of(type));
  return order.service_code + ' ' + (types.empty() ? "all" : types) + ' ' +
         std::to_string(static_cast<int>(order.contract)) + ' ' + std::to_string(order.end.ns) + ' ' +
         std::string(text_of(order.state)) + ' ' + std::to_string(order.erased.ns) + ' ' + hex_text(order.reason) +
         ' ' + hex_text(order.report) + (order.last ? " " + std::string(kLast) : "");
}

Result<Erasures::Order> parse_order(std::string_view line) {
  std::vector<std::string_view> fields;
  for (std::size_t end; (end = line.find(' ')) != std::string_view::npos && fields.size() < kFields;
       line.remove_prefix(end + 1)) {
    fields.push_back(line.substr(0, end));
  }
  fields.push_back(line);
  if (fields.size() < kFieldsBefore || fields.size() > kFields || !is_service_code(fields[0])) return kBad;
  Erasures::Order out;
  out.service_code = fields[0];
  for (std::string_view left = fields[1] == "all" ? std::string_view() : fields[1]; !left.empty();) {
    const std::size_t comma = std::min(left.find(','), left.size());
    const auto type = enum_from<LogKind>(left.substr(0, comma));
    if (!type) return kBad;
    out.types.push_back(*type);
    left.remove_prefix(std::min(comma + 1, left.size()));
  }
  int contract = 0;
  const auto state = enum_from<Erasures::State>(fields[4]);
  if (!take_number(fields[2], contract) || !ipc::EraseLog::Contract_IsValid(contract) ||
      !take_number(fields[3], out.end.ns) || !state || !take_number(fields[5], out.erased.ns) ||
      !take_hex(fields[6], out.reason) || !take_hex(fields[7], out.report)) {
    return kBad;
  }
  out.contract = static_cast<ipc::EraseLog::Contract>(contract);
  out.state = *state;
  out.last = fields.size() == kFields;
  if (out.last && fields[kFieldsBefore] != kLast) return kBad;
  return out;
}

Result<void> Erasures::open(Timestamp now) {
  SEKISHO_CHECK_OK(vault_.keyring().open());
  const auto text = read_file(vault_.keyring().folder() + "/erasures", kFileBytesMax);
  if (!text && text.error().code != ErrorCode::kNotFound) return text.error();
  for (std::string_view left = text ? std::string_view(*text) : std::string_view(); !left.empty();) {
    const std::size_t end = std::min(left.find('\n'), left.size());
    SEKISHO_TRY(Order order, parse_order(left.substr(0, end)));
    orders_.push_back(std::move(order));
    left.remove_prefix(std::min(end + 1, left.size()));
  }
  for (Order& order : orders_) {
    if (order.state == State::kErasing) SEKISHO_CHECK_OK(erase(order, now));
  }
  return enforce();
}

/// Files that were put back have no key: nobody can read them, and they are removed all the same.
Result<void> Erasures::enforce() {
  for (const Order& order : orders_) {
    if (order.state != State::kErased) continue;
    for (const LogKind type :
         order.types.empty() ? std::vector<LogKind>(kAllTypes.begin(), kAllTypes.end()) : order.types) {
      const StreamName stream{order.service_code, type};
      const auto names = list_segments(vault_.folder(stream));
      const bool foreign = std::any_of(names.begin(), names.end(), [&](const SegmentName& name) {
        const auto key = vault_.keyring().find(stream, name.day);
        return key && !*key;
      });
      if (foreign) SEKISHO_CHECK_OK(vault_.erase(order.service_code, {type}));
    }
  }
  return {};
}

Result<void> Erasures::save() {
  std::string text;
  for (const Order& order : orders_) text += to_line(order) + "\n";
  return replace_for_good(vault_.disk(), vault_.keyring().folder() + "/erasures", text);
}

bool Erasures::is_over(const std::string& service_code) const {
  return std::any_of(orders_.begin(), orders_.end(), [&](const Order& one) {
    return one.last && one.state != State::kScheduled && one.service_code == service_code;
  });
}

Erasures::Order* Erasures::find(const std::string& service_code, const std::vector<LogKind>& types) {
  const auto found = std::find_if(orders_.rbegin(), orders_.rend(), [&](const Order& one) {
    return one.service_code == service_code && one.types == types;
  });
  return found == orders_.rend() ? nullptr : &*found;
}

ipc::LogErasure Erasures::answer(const Order* order) const {
  ipc::LogErasure out;
  out.set_ok(true);
  if (order == nullptr) return out.set_state(std::string(text_of(State::kNone))), out;
  out.set_state(std::string(text_of(order->state)));
  out.set_planned_ns(start_of(add_days(day_of(order->end), planned_days(order->contract))).ns);
  out.set_limit_ns(start_of(add_days(day_of(order->end), limit_days(order->contract))).ns);
  out.set_report(order->report);
  return out;
}

ipc::LogErasure Erasures::act(const ipc::EraseLog& request, Timestamp now) {
  const auto refuse = [](std::string sentence) {
    ipc::LogErasure out;
    out.set_error(std::move(sentence));
    return out;
  };
  std::vector<LogKind> types;
  for (const std::string& name : request.types()) {
    const auto type = enum_from<LogKind>(name);
    if (!type) return refuse("unknown record type: use comm, sec, vpn, acl, devauth, audit or loss");
    types.push_back(*type);
  }
  std::sort(types.begin(), types.end());
  types.erase(std::unique(types.begin(), types.end()), types.end());
  if (!is_service_code(request.service_code())) return refuse("an erasure needs one service code");
  if (request.reason().size() > kReasonMax) return refuse("the reason is too long");
  if (!ipc::EraseLog::Contract_IsValid(request.contract())) return refuse("unknown contract");
  Order* order = find(request.service_code(), types);
  const bool open = order != nullptr && order->state == State::kScheduled;
  // Asked again by one that did not hear the answer.
  if (request.what() == ipc::EraseLog::NOW && request.last() && order != nullptr && order->last &&
      order->state == State::kErased)
    return answer(order);
  if (request.what() == ipc::EraseLog::REPORT) return answer(order);
  if (request.what() == ipc::EraseLog::WITHDRAW) {
    if (!open) return refuse("no erasure is scheduled");
    if (now >= order->end) return refuse("the contract has ended: its erasure is not withdrawn any more");
    orders_.erase(orders_.begin() + (order - orders_.data()));
    if (!save()) return refuse("the order cannot be written");
    return answer(nullptr);
  }
  if (request.what() != ipc::EraseLog::SCHEDULE && request.what() != ipc::EraseLog::NOW)
    return refuse("unknown request");
  if (request.what() == ipc::EraseLog::SCHEDULE && open) return refuse("it is scheduled already");
  if (!open) {
    orders_.push_back({request.service_code(),
                       types,
                       request.contract(),
                       {request.end_ns() == 0 ? now.ns : request.end_ns()},
                       State::kScheduled,
                       {},
                       request.reason(),
                       {},
                       false});
    order = &orders_.back();
  }
  order->last = request.what() == ipc::EraseLog::NOW && request.last() && types.empty();
  if (!save()) return refuse("the order cannot be written");
  if (request.what() == ipc::EraseLog::NOW && !erase(*order, now))
    return refuse("it was begun and could not be finished: it is tried again at the next start");
  return answer(order);
}

Result<void> Erasures::erase(Order& order, Timestamp now) {
  order.state = State::kErasing;
  SEKISHO_CHECK_OK(save());
  SEKISHO_TRY(const auto erased, vault_.erase(order.service_code, order.types));
  order.state = State::kErased;
  order.erased = now;
  order.report = report_of(order, erased, vault_.keyring());
  return save();
}

Result<std::size_t> Erasures::run(Day today, Timestamp now) {
  std::size_t done = 0;
  for (Order& order : orders_) {
    if (order.state != State::kScheduled && order.state != State::kErasing) continue;
    if (today < add_days(day_of(order.end), planned_days(order.contract))) continue;
    SEKISHO_CHECK_OK(erase(order, now));
    ++done;
  }
  return done;
}

}  // namespace sekisho::mgmt
