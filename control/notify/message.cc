// SPDX-License-Identifier: Apache-2.0
#include "control/notify/message.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <chrono>

#include "base/assert.h"
#include "control/access/rfc3339.h"
#include "control/notify/events.h"

namespace sekisho::control {
namespace {

constexpr std::int64_t kJstSeconds = 9 * 3600;

/// RFC 4648 in lines of 76 that end with CR LF, as a body of RFC 2045 has them.
std::string base64_lines(std::string_view bytes) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  constexpr std::size_t kBytesOfLine = 57;
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t three = 0;
    const std::size_t there = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t k = 0; k < 3; ++k)
      three = three << 8U | (k < there ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k) out += k <= there ? kLetters[three >> (18U - 6U * k) & 63U] : '=';
    if ((i + 3) % kBytesOfLine == 0 || i + 3 >= bytes.size()) out += "\r\n";
  }
  return out;
}

/// As RFC 5322 writes a date.
std::string mail_date(std::int64_t unix_seconds) {
  using namespace std::chrono;
  constexpr std::array<const char*, 7> kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array<const char*, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const sys_days day = floor<days>(sys_seconds{seconds(unix_seconds + kJstSeconds)});
  const year_month_day date(day);
  const std::string text = rfc3339(unix_seconds + kJstSeconds);
  return std::string(kDays.at(weekday(day).c_encoding())) + ", " + std::to_string(static_cast<unsigned>(date.day())) +
         ' ' + kMonths.at(static_cast<unsigned>(date.month()) - 1) + ' ' + text.substr(0, 4) + ' ' +
         text.substr(11, 8) + " +0900";
}

std::string japan_time(std::int64_t unix_seconds) {
  return rfc3339(unix_seconds + kJstSeconds).substr(0, 19) + "+09:00";
}

/// One line: what a name holds cannot begin another.
void add_line(std::string& out, std::string_view key, std::string_view value) {
  if (value.empty()) return;
  out += key;
  out += ": ";
  for (const char c : value) out += c == '\r' || c == '\n' ? ' ' : c;
  out += '\n';
}

void add_block(std::string& out, const access::StoredDelivery& delivery, const Sender& sender, bool japanese) {
  const EventKind* kind = event_kind(delivery.event());
  if (kind != nullptr) add_line(out, japanese ? "イベント" : "Event", japanese ? kind->ja : kind->en);
  add_line(out, japanese ? "サービスコード" : "ServiceCode", delivery.tenant());
  add_line(out, japanese ? "名称" : "Label", sender.tenant_name);
  add_line(out, japanese ? "装置" : "Unit", delivery.tenant().empty() ? sender.node : "");
  add_line(out, japanese ? "件名" : "Title", delivery.title());
  add_line(out, japanese ? "対象" : "Object", delivery.object_shown());
  add_line(out, japanese ? "状態" : "State", delivery.state());
  add_line(out, japanese ? "日時" : "Timestamp", japan_time(delivery.at()));
  if (delivery.count() > 1) add_line(out, japanese ? "回数" : "Count", std::to_string(delivery.count()));
  add_line(out, japanese ? "備考" : "Memo", delivery.memo());
}

}  // namespace

std::string mail_text(const access::StoredDelivery& delivery, const Sender& sender) {
  std::string body;
  add_block(body, delivery, sender, true);
  body += '\n';
  add_block(body, delivery, sender, false);
  const std::string domain = sender.mail.substr(sender.mail.rfind('@') + 1);
  std::string out;
  out += "Date: " + mail_date(delivery.at()) + "\r\n";
  out += "From: Sekisho <" + sender.mail + ">\r\n";
  out += "To: undisclosed-recipients:;\r\n";
  out += "Message-ID: <" + delivery.id() + '@' + domain + ">\r\n";
  out += "Subject: [FWGW] " + (delivery.tenant().empty() ? sender.node : delivery.tenant()) + ' ' + delivery.event() +
         (delivery.state().empty() ? "" : ' ' + delivery.state()) + "\r\n";
  out += "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n";
  out += "Content-Transfer-Encoding: base64\r\n\r\n" + base64_lines(body);
  return out;
}

std::string webhook_body(const access::StoredDelivery& delivery, const Sender& sender) {
  google::protobuf::Struct object;
  auto& fields = *object.mutable_fields();
  fields["id"].set_string_value(delivery.id());
  fields["event"].set_string_value(delivery.event());
  fields["service_code"].set_string_value(delivery.tenant());
  fields["label"].set_string_value(sender.tenant_name);
  fields["node"].set_string_value(delivery.tenant().empty() ? sender.node : "");
  fields["title"].set_string_value(delivery.title());
  fields["object"].set_string_value(delivery.object_shown());
  fields["state"].set_string_value(delivery.state());
  fields["memo"].set_string_value(delivery.memo());
  fields["at"].set_string_value(japan_time(delivery.at()));
  fields["count"].set_number_value(delivery.count());
  std::string out;
  SEKISHO_ASSERT(google::protobuf::util::MessageToJsonString(object, &out).ok());
  return out;
}

std::string webhook_signature(std::string_view body, std::string_view key, std::int64_t now) {
  const std::string signed_text = std::to_string(now) + '.' + std::string(body);
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
  unsigned size = 0;
  SEKISHO_ASSERT(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                      reinterpret_cast<const unsigned char*>(signed_text.data()), signed_text.size(), mac.data(),
                      &size) != nullptr);
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "t=" + std::to_string(now) + ",v1=";
  for (unsigned i = 0; i < size; ++i) {
    out += kHex[mac[i] >> 4U];
    out += kHex[mac[i] & 15U];
  }
  return out;
}

}  // namespace sekisho::control
