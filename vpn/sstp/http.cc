// SPDX-License-Identifier: Apache-2.0
#include "vpn/sstp/http.h"

#include <algorithm>
#include <cctype>

namespace sekisho::vpn::sstp {
namespace {

constexpr std::string_view kMethod = "SSTP_DUPLEX_POST";
constexpr std::string_view kPath = "/sra_{BA195980-CD49-458b-9E23-C84EE0ADCD75}/";
constexpr std::string_view kEnd = "\r\n\r\n", kLineEnd = "\r\n";
constexpr std::size_t kValueBytesMax = 128, kMethodBytesMax = 32;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool same(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}
bool printable(char c) { return c > ' ' && c < 0x7f; }

/// At most kValueBytesMax printable characters of a value, without the blanks around it.
std::string plain(std::string_view value) {
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
  std::string out;
  for (const char c : value.substr(0, kValueBytesMax)) {
    if (printable(c)) out += c;
  }
  return out;
}

std::string_view cut_line(std::string_view& text) {
  const std::size_t end = text.find(kLineEnd);
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + kLineEnd.size());
  return line;
}

/// The value of `tenantid` in a query; servers that know no such thing ignore what stands there.
std::string tenant_of(std::string_view query) {
  constexpr std::string_view kName = "tenantid=";
  while (!query.empty()) {
    const std::size_t end = query.find('&');
    const std::string_view one = query.substr(0, end);
    if (one.size() > kName.size() && same(one.substr(0, kName.size()), kName)) return plain(one.substr(kName.size()));
    if (end == std::string_view::npos) break;
    query.remove_prefix(end + 1);
  }
  return {};
}

/// A token in front of a blank; nothing when the line is no request's.
bool read_request_line(std::string_view line, Greeting& out, bool& sstp) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == 0 || first > kMethodBytesMax || last == first) return false;
  if (!line.substr(last + 1).starts_with("HTTP/1.")) return false;
  const std::string_view method = line.substr(0, first);
  if (!std::all_of(method.begin(), method.end(), printable)) return false;
  out.method = std::string(method);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  const std::size_t question = target.find('?');
  sstp = method == kMethod && same(target.substr(0, question), kPath);
  if (question != std::string_view::npos) out.tenant_id = tenant_of(target.substr(question + 1));
  return true;
}

std::string answer(std::string_view status, std::string_view page, bool with_page) {
  std::string out = "HTTP/1.1 ";
  out += status;
  out += "\r\nContent-Type: text/html; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store";
  out += "\r\nConnection: close\r\nContent-Length: ";
  out += std::to_string(page.size());
  out += kEnd;
  if (with_page) out += page;
  return out;
}

}  // namespace

Greeting read_greeting(ByteSpan stream) {
  Greeting out;
  const std::string_view text(reinterpret_cast<const char*>(stream.data()), stream.size());
  const std::size_t end = text.substr(0, kRequestBytesMax).find(kEnd);
  if (end == std::string_view::npos) {
    // A request begins with a letter: TLS inside TLS, or SSTP without its greeting, need not be waited for.
    const bool hopeless = !text.empty() && std::isalpha(static_cast<unsigned char>(text.front())) == 0;
    if (hopeless || text.size() >= kRequestBytesMax) out.state = Greeting::State::kBad;
    return out;
  }
  out.bytes = end + kEnd.size();
  std::string_view head = text.substr(0, end);
  bool sstp = false;
  if (!read_request_line(cut_line(head), out, sstp)) return out.state = Greeting::State::kBad, out;
  while (!head.empty()) {
    const std::string_view line = cut_line(head);
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0) return out.state = Greeting::State::kBad, out;
    const std::string_view name = line.substr(0, colon);
    if (same(name, "host")) out.host = plain(line.substr(colon + 1));
    if (same(name, "sstpcorrelationid")) {
      out.correlation = plain(line.substr(colon + 1));
      std::erase_if(out.correlation, [](char c) { return c == '{' || c == '}'; });
    }
  }
  out.state = sstp ? Greeting::State::kSstp : Greeting::State::kOther;
  return out;
}

std::string accept_answer() {
  // The length is what clients expect to the digit: an answer without end.
  return "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\nServer: Microsoft-HTTPAPI/2.0\r\n\r\n";
}

std::string polite_answer(std::string_view method) {
  constexpr std::string_view kPage =
      "<!doctype html><title>Remote access</title><p>This address is for remote access. There is no page here.\n";
  if (method == "GET" || method == "HEAD") return answer("404 Not Found", kPage, method == "GET");
  return answer("405 Method Not Allowed\r\nAllow: GET, HEAD", kPage, true);
}

std::string bad_answer() { return answer("400 Bad Request", "", true); }

}  // namespace sekisho::vpn::sstp
