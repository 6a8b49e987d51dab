// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// The client's half of SMTP (RFC 5321) with STARTTLS (RFC 3207) and AUTH PLAIN (RFC 4954). Pure: lines in, lines out.
namespace sekisho::mgmt {

struct SmtpMail {
  std::string sender;                   ///< addresses as between < and >; controld has judged them
  std::vector<std::string> recipients;
  std::string user;                     ///< empty: no AUTH
  std::string password;
  std::string message;                  ///< RFC 5322, lines end with CR LF
};

/// One mail to one server, from its greeting on. Says nothing secret and hands over nothing before TLS.
class SmtpDialogue {
 public:
  static constexpr std::size_t kLineBytesMax = 1000;
  static constexpr int kLinesOfReplyMax = 100;

  enum class Next : std::uint8_t {
    kRead,      ///< another line is needed
    kSend,      ///< what to_send() says, then read
    kStartTls,  ///< TLS begins now: whatever was received beyond the last line is an attack
    kEnd,       ///< see result()
  };
  struct Outcome {
    bool ok = false;
    bool permanent = false;  ///< trying again is of no use
    std::string detail;
  };

  /// starttls: the connection is in clear until kStartTls.
  SmtpDialogue(SmtpMail mail, std::string own_name, bool starttls);
  /// One line as it came, without its CR LF.
  Next take(std::string_view line);
  /// Lines with their CR LF.
  [[nodiscard]] const std::string& to_send() const { return to_send_; }
  /// What TLS's beginning makes of it: the greeting is over, EHLO comes again.
  Next tls_began();
  [[nodiscard]] const Outcome& outcome() const { return outcome_; }

 private:
  enum class State : std::uint8_t { kGreeting, kHello, kStartTls, kAuth, kSender, kRecipient, kData, kMessage, kOver };
  Next reply(int code);
  Next said_hello();
  Next said_recipient(int code);
  Next send(State next, std::string line);
  Next next_recipient();
  Next end(bool ok, bool permanent, std::string detail);
  Next refused(int code, const char* what);

  SmtpMail mail_;
  std::string own_name_;
  bool clear_;
  State state_ = State::kGreeting;
  std::string to_send_;
  std::string last_line_;
  int code_ = 0;  ///< of the reply that is being read
  int lines_ = 0;
  bool offers_tls_ = false;
  bool offers_plain_ = false;
  std::size_t recipient_ = 0;
  std::size_t accepted_ = 0;
  bool transient_ = false;  ///< one recipient was refused for now
  Outcome outcome_;
};

/// The message as DATA sends it: a dot more before each line that begins with one, and the end.
std::string dot_stuffed(std::string_view message);

}  // namespace sekisho::mgmt
