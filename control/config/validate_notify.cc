// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "control/config/text.h"
#include "control/config/validate_parts.h"
#include "control/notify/events.h"

namespace sekisho::control {
namespace {

constexpr std::size_t kTargetsMax = 20;
constexpr std::size_t kMailsMax = 20;
constexpr std::size_t kNetworksMax = 64;
constexpr std::size_t kPemBytesMax = std::size_t{64} << 10;
constexpr std::size_t kSigningKeyCharactersMin = 16;
constexpr std::size_t kSigningKeyCharactersMax = 256;

bool is_host(std::string_view text) {
  constexpr std::size_t kBytesMax = 253;
  return !text.empty() && text.size() <= kBytesMax && text.front() != '.' && text.front() != '-' &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
         });
}

bool is_port(std::string_view text) {
  std::uint32_t port = 0;
  for (const char c : text) {
    if (c < '0' || c > '9' || port > 65535) return false;
    port = port * 10 + static_cast<std::uint32_t>(c - '0');
  }
  return !text.empty() && port >= 1 && port <= 65535;
}

}  // namespace

bool is_url(std::string_view text, std::string_view scheme) {
  constexpr std::size_t kBytesMax = 1024;
  if (!text.starts_with(scheme) || text.size() > kBytesMax) return false;
  if (!std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '#'; }))
    return false;
  std::string_view host = text.substr(scheme.size());
  host = host.substr(0, host.find_first_of("/?"));
  if (host.starts_with('[')) {
    const std::size_t end = host.find(']');
    if (end == std::string_view::npos) return false;
    const auto address = parse_address(host.substr(1, end - 1));
    const std::string_view rest = host.substr(end + 1);
    return address && address->family == Family::kIpv6 && (rest.empty() || (rest[0] == ':' && is_port(rest.substr(1))));
  }
  const std::size_t colon = host.find(':');
  return is_host(host.substr(0, colon)) && (colon == std::string_view::npos || is_port(host.substr(colon + 1)));
}

namespace {

void check_ca(Reporter& reporter, const Path& path, const std::string& pem) {
  if (pem.empty()) return;
  if (pem.size() > kPemBytesMax || pem.find("-----BEGIN CERTIFICATE-----") == std::string::npos ||
      pem.find("PRIVATE KEY") != std::string::npos)
    reporter.error(path, "certificates of authorities are PEM text, at most 64 KiB");
}

void check_target(Reporter& reporter, const Path& here, const model::NotificationTarget& target) {
  check_count(reporter, Path(here, "mail"), static_cast<std::size_t>(target.mail_size()), kMailsMax, "mail addresses");
  for (int i = 0; i < target.mail_size(); ++i) {
    if (!is_mail_address(target.mail(i))) reporter.error(Path(here, "mail", i), "this is no mail address");
  }
  if (target.mail().empty() && !target.has_webhook()) reporter.error(here, "a target has mail addresses, a webhook, or both");
  if (target.has_webhook()) {
    if (!is_url(target.webhook(), "https://"))
      reporter.error(Path(here, "webhook"), "a webhook is https://host, with a port and a path or not");
    const std::size_t characters = count_characters(target.signing_key());
    if (characters < kSigningKeyCharactersMin || characters > kSigningKeyCharactersMax)
      reporter.error(Path(here, "signing_key"), "a webhook's calls are signed: its key has 16 to 256 characters");
  }
  check_ca(reporter, Path(here, "ca"), target.ca());
  for (int i = 0; i < target.events_size(); ++i) {
    if (event_kind(target.events(i)) == nullptr)
      reporter.error(Path(here, "events", i), "there is no kind of event \"" + target.events(i) + '"');
  }
}

}  // namespace

void validate_targets(Reporter& reporter, const google::protobuf::RepeatedPtrField<model::NotificationTarget>& targets,
                      const Path& path, std::string_view field) {
  check_count(reporter, Path(path, field), static_cast<std::size_t>(targets.size()), kTargetsMax, "targets");
  NameIndex names;
  index_names(reporter, path, field, targets, names);
  for (int i = 0; i < targets.size(); ++i) check_target(reporter, Path(path, field, i), targets[i]);
}

void validate_responders(Reporter& reporter, const model::Responders& responders, const Path& path) {
  check_count(reporter, Path(path, "networks"), static_cast<std::size_t>(responders.networks_size()), kNetworksMax, "networks");
  for (int i = 0; i < responders.networks_size(); ++i) (void)check_network(reporter, Path(path, "networks", i), responders.networks(i));
}

void validate_notify(Reporter& reporter, const model::Notify& notify, const Path& path) {
  check_count(reporter, Path(path, "webhook_networks"), static_cast<std::size_t>(notify.webhook_networks_size()), kNetworksMax,
              "networks");
  for (int i = 0; i < notify.webhook_networks_size(); ++i)
    (void)check_network(reporter, Path(path, "webhook_networks", i), notify.webhook_networks(i));
  check_within(reporter, path, "mails_per_hour_max", notify.mails_per_hour_max(), 1, 10'000);
  validate_targets(reporter, notify.targets(), path, "targets");
  if (!notify.has_relay()) return;
  const Path here(path, "relay");
  const model::MailRelay& relay = notify.relay();
  if (!is_host(relay.host()) && !parse_address(relay.host())) reporter.error(Path(here, "host"), "this is no host");
  check_within(reporter, here, "port", relay.port(), 1, 65535);
  if (!is_mail_address(relay.sender())) reporter.error(Path(here, "sender"), "this is no mail address");
  if (relay.has_password() != relay.has_user())
    reporter.error(Path(here, "user"), "user and password come together");
  constexpr std::size_t kLoginCharactersMax = 256;
  for (const auto& [field, text] : {std::pair("user", &relay.user()), std::pair("password", &relay.password())}) {
    if (find_bad_text(*text) != std::string::npos || count_characters(*text) > kLoginCharactersMax)
      reporter.error(Path(here, field), "at most 256 characters, none of them control characters");
  }
  check_ca(reporter, Path(here, "ca"), relay.ca());
}

}  // namespace sekisho::control
