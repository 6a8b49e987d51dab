// SPDX-License-Identifier: Apache-2.0
#include "mgmt/outbound/smtp.h"

#include <algorithm>
#include <cctype>

namespace sekisho::mgmt {
namespace {

constexpr std::size_t kShownBytesMax = 120;

std::string base64(std::string_view bytes) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t three = 0;
    const std::size_t there = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t k = 0; k < 3; ++k)
      three = three << 8U | (k < there ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k) out += k <= there ? kLetters[three >> (18U - 6U * k) & 63U] : '=';
  }
  return out;
}

/// What a server said, as a log may hold it.
std::string plain(std::string_view text) {
  std::string out(text.substr(0, kShownBytesMax));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
  }
  return out;
}

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

}  // namespace

std::string dot_stuffed(std::string_view message) {
  std::string out;
  out.reserve(message.size() + 8);
  bool begins = true;
  for (const char c : message) {
    if (begins && c == '.') out += '.';
    out += c;
    begins = c == '\n';
  }
  if (!begins) out += "\r\n";
  out += ".\r\n";
  return out;
}

SmtpDialogue::SmtpDialogue(SmtpMail mail, std::string own_name, bool starttls)
    : mail_(std::move(mail)), own_name_(std::move(own_name)), clear_(starttls) {}

SmtpDialogue::Next SmtpDialogue::end(bool ok, bool permanent, std::string detail) {
  outcome_ = {ok, permanent, std::move(detail)};
  state_ = State::kOver;
  return Next::kEnd;
}

SmtpDialogue::Next SmtpDialogue::refused(int code, const char* what) {
  return end(false, code >= 500, std::string(what) + ": " + plain(last_line_));
}

SmtpDialogue::Next SmtpDialogue::send(State next, std::string line) {
  state_ = next;
  to_send_ = std::move(line);
  to_send_ += "\r\n";
  return Next::kSend;
}

SmtpDialogue::Next SmtpDialogue::take(std::string_view line) {
  if (state_ == State::kOver) return Next::kEnd;
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (line.size() < 3 || line.size() > kLineBytesMax || !digit(line[0]) || !digit(line[1]) || !digit(line[2]) ||
      (line.size() > 3 && line[3] != ' ' && line[3] != '-'))
    return end(false, false, "this is no mail server");
  const int code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
  if ((lines_ > 0 && code != code_) || ++lines_ > kLinesOfReplyMax)
    return end(false, false, "the mail server's answer cannot be read");
  code_ = code;
  last_line_ = line;
  if (state_ == State::kHello && code == 250 && line.size() > 4) {
    const std::string offer = upper(line.substr(4));
    if (offer == "STARTTLS") offers_tls_ = true;
    if (offer.starts_with("AUTH ") && (offer + ' ').find(" PLAIN ") != std::string::npos) offers_plain_ = true;
  }
  if (line.size() > 3 && line[3] == '-') return Next::kRead;
  lines_ = 0;
  return reply(code);
}

SmtpDialogue::Next SmtpDialogue::reply(int code) {
  switch (state_) {
    case State::kGreeting:
      return code == 220 ? send(State::kHello, "EHLO " + own_name_) : end(false, false, "refused at once: " + plain(last_line_));
    case State::kHello:
      return code == 250 ? said_hello() : end(false, false, "EHLO: " + plain(last_line_));
    case State::kStartTls:
      return code == 220 ? Next::kStartTls : end(false, false, "STARTTLS: " + plain(last_line_));
    case State::kAuth:  // who is in charge may set it right: it is tried again
      return code == 235 ? send(State::kSender, "MAIL FROM:<" + mail_.sender + '>')
                         : end(false, false, "the mail server does not know us: " + plain(last_line_));
    case State::kSender:
      return code == 250 ? next_recipient() : refused(code, "the sender");
    case State::kRecipient:
      return said_recipient(code);
    case State::kData:
      if (code != 354) return refused(code, "DATA");
      state_ = State::kMessage;
      to_send_ = dot_stuffed(mail_.message);
      return Next::kSend;
    case State::kMessage:
      if (code != 250) return refused(code, "the message");
      return end(true, false,
                 std::to_string(accepted_) + " of " + std::to_string(mail_.recipients.size()) + " receivers: " + plain(last_line_));
    case State::kOver:
      break;
  }
  return Next::kEnd;
}

SmtpDialogue::Next SmtpDialogue::said_hello() {
  if (clear_) {
    if (!offers_tls_) return end(false, false, "the mail server offers no TLS");
    return send(State::kStartTls, "STARTTLS");
  }
  if (mail_.user.empty()) return send(State::kSender, "MAIL FROM:<" + mail_.sender + '>');
  if (!offers_plain_) return end(false, false, "the mail server offers no AUTH PLAIN");
  const std::string secret = '\0' + mail_.user + '\0' + mail_.password;
  return send(State::kAuth, "AUTH PLAIN " + base64(secret));
}

SmtpDialogue::Next SmtpDialogue::tls_began() {
  clear_ = false;
  offers_tls_ = offers_plain_ = false;  // what was said in clear is nobody's word
  return send(State::kHello, "EHLO " + own_name_);
}

SmtpDialogue::Next SmtpDialogue::next_recipient() {
  if (recipient_ < mail_.recipients.size()) return send(State::kRecipient, "RCPT TO:<" + mail_.recipients[recipient_] + '>');
  if (accepted_ == 0) return end(false, !transient_, "no receiver was accepted: " + plain(last_line_));
  return send(State::kData, "DATA");
}

SmtpDialogue::Next SmtpDialogue::said_recipient(int code) {
  if (code == 421) return refused(code, "the server leaves");
  if (code == 250 || code == 251) ++accepted_;
  if (code >= 400 && code < 500) transient_ = true;
  ++recipient_;
  return next_recipient();
}

}  // namespace sekisho::mgmt
