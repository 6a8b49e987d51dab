// SPDX-License-Identifier: Apache-2.0
#include "control/profile/client_profile.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <vector>

#include "base/crypto/sha256.h"
#include "base/net/address.h"

namespace sekisho::control {
namespace {

/// The strongest suite that every profile of the gateway accepts and every client here knows.
constexpr std::string_view kIkeProposal = "aes256gcm16-prfsha384-ecp384", kEspProposal = "aes256gcm16-ecp384";

struct Input {
  std::string_view service_code;
  const ipc::VpnGateway& gateway;
  std::string_view user;
  std::string name;    ///< what the person sees
  std::string server;  ///< where to connect
  std::vector<std::string> networks;
};

std::optional<Address> address_of(const std::string& bytes) {
  Address out;
  if (bytes.size() != 4 && bytes.size() != 16) return std::nullopt;
  out.family = bytes.size() == 4 ? Family::kIpv4 : Family::kIpv6;
  std::copy(bytes.begin(), bytes.end(), out.bytes.begin());
  return out;
}

/// A name for ever the same of `what` of this profile (RFC 9562, version 8).
std::string uuid_of(const Input& in, std::string_view what) {
  std::string text;
  for (const std::string_view part : {in.service_code, std::string_view(in.gateway.name()), in.user, what}) {
    text += std::to_string(part.size()) + ":" + std::string(part);
  }
  auto digest = sha256({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  digest[6] = static_cast<std::uint8_t>((digest[6] & 0x0f) | 0x80);
  digest[8] = static_cast<std::uint8_t>((digest[8] & 0x3f) | 0x80);
  std::string out;
  for (std::size_t i = 0; i < 16; ++i) {
    char hex[3];
    std::snprintf(hex, sizeof(hex), "%02x", digest.at(i));
    out += hex;
    if (i == 3 || i == 5 || i == 7 || i == 9) out += '-';
  }
  return out;
}

/// The base64 body of a PEM certificate, without armour and line ends.
std::string base64_of(std::string_view pem) {
  const std::size_t begin = pem.find("-----BEGIN CERTIFICATE-----"), end = pem.find("-----END CERTIFICATE-----");
  if (begin == std::string_view::npos || end == std::string_view::npos || end < begin) return {};
  std::string out;
  for (const char c : pem.substr(begin + 27, end - begin - 27)) {
    if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '+' || c == '/' || c == '=') out += c;
  }
  return out;
}

/// One line of text: what would break a line or hide is left out.
std::string one_line(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) out += c;
  }
  return out;
}

// PowerShell takes typographic quotes for quotes (U+2018 to U+201B): those are doubled as well.
std::string powershell(std::string_view text) {
  const std::string line = one_line(text);
  std::string out = "'";
  for (std::size_t i = 0; i < line.size(); ++i) {
    const std::string_view typographic = std::string_view(line).substr(i, 3);
    const bool wide = typographic >= "\xe2\x80\x98" && typographic <= "\xe2\x80\x9b";
    if (wide) out += typographic;
    if (line[i] == '\'') out += '\'';
    out += line[i];
    if (wide) out += line.substr(i + 1, 2), i += 2;
  }
  return out + "'";
}

std::string xml(std::string_view text) {
  std::string out;
  for (const char c : one_line(text)) {
    if (c == '&') out += "&amp;";
    else if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else out += c;
  }
  return out;
}

std::string json(std::string_view text) {
  std::string out = "\"";
  for (const char c : one_line(text)) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

/// A value of a keyfile (GLib): a backslash begins an escape, a space at either end would be lost.
std::string keyfile(std::string_view text) {
  std::string out;
  for (const char c : one_line(text)) {
    if (c == '\\') out += '\\';
    if (c == ' ' && out.empty()) out += "\\s";
    else out += c;
  }
  return out;
}

/// A quoted value of swanctl.conf.
std::string swanctl(std::string_view text) {
  std::string out = "\"";
  for (const char c : one_line(text)) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

template <typename List>
std::string joined(const List& list, std::string_view separator) {
  std::string out;
  for (const auto& item : list) out += (out.empty() ? "" : std::string(separator)) + std::string(item);
  return out;
}

std::string windows(const Input& in) {
  std::string out = "\xef\xbb\xbf# " + one_line(in.name) +
                    ": run as the user who connects; the CA and the names need an administrator's PowerShell.\r\n";
  const auto line = [&out](const std::string& text) { out += text + "\r\n"; };
  line("$ErrorActionPreference = 'Stop'");
  line("$name = " + powershell(in.name));
  for (const std::string& ca : in.gateway.gateway_cas()) {
    line("$ca = [Convert]::FromBase64String('" + base64_of(ca) + "')");
    line("$store = New-Object System.Security.Cryptography.X509Certificates.X509Store('Root', 'LocalMachine')");
    line("$store.Open('ReadWrite')");
    line("$store.Add((New-Object System.Security.Cryptography.X509Certificates.X509Certificate2(,$ca)))");
    line("$store.Close()");
  }
  line("Get-VpnConnection -Name $name -ErrorAction SilentlyContinue | Remove-VpnConnection -Force");
  const bool split = !in.networks.empty();
  line("Add-VpnConnection -Name $name -ServerAddress " + powershell(in.server) + " -TunnelType Ikev2 -AuthenticationMethod Eap" +
       " -EncryptionLevel Maximum -RememberCredential" + (split ? " -SplitTunneling" : ""));
  line("Set-VpnConnectionIPsecConfiguration -ConnectionName $name -EncryptionMethod GCMAES256 -IntegrityCheckMethod SHA384"
       " -DHGroup ECP384 -CipherTransformConstants GCMAES256 -AuthenticationTransformConstants GCMAES256 -PfsGroup ECP384 -Force");
  for (const std::string& network : in.networks) {
    line("Add-VpnConnectionRoute -ConnectionName $name -DestinationPrefix " + powershell(network));
  }
  std::vector<std::string> servers;
  for (const std::string& dns : in.gateway.dns()) {
    if (const auto address = address_of(dns)) servers.push_back(powershell(to_string(*address)));
  }
  for (const std::string& domain : in.gateway.dns_domains()) {
    if (servers.empty()) break;
    line("Add-DnsClientNrptRule -Namespace " + powershell("." + domain) + " -NameServers " + joined(servers, ","));
  }
  return out;
}

class Plist {
 public:
  void open(std::string_view tag) { line("<" + std::string(tag) + ">"), ++depth_; }
  void close(std::string_view tag) { --depth_, line("</" + std::string(tag) + ">"); }
  void key(std::string_view name) { line("<key>" + std::string(name) + "</key>"); }
  void text(std::string_view name, std::string_view value) { key(name), line("<string>" + xml(value) + "</string>"); }
  void number(std::string_view name, unsigned value) { key(name), line("<integer>" + std::to_string(value) + "</integer>"); }
  void data(std::string_view name, std::string_view base64) { key(name), line("<data>" + std::string(base64) + "</data>"); }
  void line(const std::string& text) { out_ += std::string(depth_, '\t') + text + "\n"; }
  [[nodiscard]] const std::string& out() const { return out_; }

 private:
  std::string out_ =
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" "
      "\"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\">\n";
  std::size_t depth_ = 0;
};

void apple_head(Plist& plist, const Input& in, std::string_view type, std::string_view what, std::string_view shown) {
  const std::string uuid = uuid_of(in, what);
  plist.text("PayloadType", type);
  plist.text("PayloadIdentifier", "sekisho." + uuid);
  plist.text("PayloadUUID", uuid);
  plist.number("PayloadVersion", 1);
  plist.text("PayloadDisplayName", shown);
}

void apple_suite(Plist& plist, std::string_view name, unsigned minutes) {
  plist.key(name);
  plist.open("dict");
  plist.text("EncryptionAlgorithm", "AES-256-GCM");
  plist.text("IntegrityAlgorithm", "SHA2-384");
  plist.number("DiffieHellmanGroup", 20);
  plist.number("LifeTimeInMinutes", std::clamp(minutes, 10U, 1440U));
  plist.close("dict");
}

void apple_vpn(Plist& plist, const Input& in) {
  plist.open("dict");
  apple_head(plist, in, "com.apple.vpn.managed", "apple-vpn", in.name);
  plist.text("UserDefinedName", in.name);
  plist.text("VPNType", "IKEv2");
  plist.key("IKEv2");
  plist.open("dict");
  plist.text("RemoteAddress", in.server);
  plist.text("RemoteIdentifier", in.gateway.identity());
  plist.text("LocalIdentifier", in.user);
  plist.text("AuthenticationMethod", "None");
  plist.number("ExtendedAuthEnabled", 1);
  plist.text("AuthName", in.user);
  plist.text("DeadPeerDetectionRate", "Medium");
  plist.number("EnablePFS", 1);
  plist.number("EnableCertificateRevocationCheck", 0);
  apple_suite(plist, "IKESecurityAssociationParameters", in.gateway.ike_rekey_seconds() / 60);
  apple_suite(plist, "ChildSecurityAssociationParameters", in.gateway.child_rekey_seconds() / 60);
  plist.close("dict");
  plist.key("IPv4");
  plist.open("dict");
  plist.number("OverridePrimary", in.networks.empty() ? 1 : 0);
  plist.close("dict");
  plist.close("dict");
}

std::string apple(const Input& in) {
  Plist plist;
  plist.open("dict");
  apple_head(plist, in, "Configuration", "apple", in.name);
  plist.key("PayloadContent");
  plist.open("array");
  int number = 0;
  for (const std::string& ca : in.gateway.gateway_cas()) {
    const std::string what = "apple-ca" + std::to_string(number++);
    plist.open("dict");
    apple_head(plist, in, "com.apple.security.root", what, in.name + " CA");
    plist.data("PayloadContent", base64_of(ca));
    plist.close("dict");
  }
  apple_vpn(plist, in);
  plist.close("array");
  plist.close("dict");
  return plist.out() + "</plist>\n";
}

std::string android(const Input& in) {
  std::string out = "{\n  \"uuid\": " + json(uuid_of(in, "android")) +
                    ",\n  \"name\": " + json(in.name) + ",\n  \"type\": \"ikev2-eap\",\n";
  out += "  \"remote\": {\n    \"addr\": " + json(in.server) + ",\n    \"id\": " + json(in.gateway.identity());
  if (in.gateway.gateway_cas_size() > 0) out += ",\n    \"cert\": " + json(base64_of(in.gateway.gateway_cas(0)));
  out += "\n  },\n  \"local\": {\n    \"eap_id\": " + json(in.user) + "\n  },\n";
  if (!in.networks.empty()) {
    std::vector<std::string> quoted;
    for (const std::string& network : in.networks) quoted.push_back(json(network));
    out += "  \"split-tunneling\": {\n    \"subnets\": [" + joined(quoted, ", ") + "]\n  },\n";
  }
  out += "  \"ike-proposal\": " + json(kIkeProposal) + ",\n  \"esp-proposal\": " + json(kEspProposal) + "\n}\n";
  return out;
}

std::string strongswan(const Input& in) {
  std::string out = "# swanctl: the CA belongs into x509ca/, the password into a secrets section of your own\nconnections {\n  sekisho-" +
                    uuid_of(in, "strongswan") + " {\n";
  const auto line = [&out](std::size_t depth, const std::string& text) { out += std::string(depth * 2, ' ') + text + "\n"; };
  line(2, "version = 2");
  line(2, "remote_addrs = " + swanctl(in.server));
  line(2, "proposals = " + std::string(kIkeProposal));
  line(2, "vips = 0.0.0.0, ::");
  line(2, "local {\n      auth = eap-mschapv2\n      eap_id = " + swanctl(in.user) + "\n    }");
  line(2, "remote {\n      auth = pubkey\n      id = " + swanctl(in.gateway.identity()) + "\n    }");
  line(2, "children {\n      net {");
  line(4, "remote_ts = " + (in.networks.empty() ? "0.0.0.0/0, ::/0" : joined(in.networks, ", ")));
  line(4, "esp_proposals = " + std::string(kEspProposal));
  line(4, "start_action = trap");
  out += "      }\n    }\n  }\n}\n";
  return out;
}

std::string network_manager(const Input& in) {
  std::string out = "[connection]\nid=" + keyfile(in.name) +
                    "\nuuid=" + uuid_of(in, "networkmanager") + "\ntype=vpn\nautoconnect=false\n\n[vpn]\n";
  out += "service-type=org.freedesktop.NetworkManager.strongswan\naddress=" + keyfile(in.server) + "\nremote-identity=" +
         keyfile(in.gateway.identity()) + "\nmethod=eap\nuser=" + keyfile(in.user) +
         "\npassword-flags=1\nvirtual=yes\nencap=no\nipcomp=no\nproposal=yes\nike=" + std::string(kIkeProposal) + "\nesp=" +
         std::string(kEspProposal) + "\n\n";
  std::string routes4, routes6;
  int number4 = 0, number6 = 0;
  for (const std::string& network : in.networks) {
    const bool six = network.find(':') != std::string::npos;
    (six ? routes6 : routes4) += "route" + std::to_string(six ? ++number6 : ++number4) + "=" + network + "\n";
  }
  const std::string only = in.networks.empty() ? "" : "never-default=true\n";
  const std::string domains = keyfile(joined(in.gateway.dns_domains(), ";"));
  const std::string search = domains.empty() ? "" : "dns-search=" + domains + ";\n";
  return out + "[ipv4]\nmethod=auto\n" + only + routes4 + search + "\n[ipv6]\nmethod=auto\n" + only + routes6;
}

std::string file_name_of(const Input& in, std::string_view suffix) {
  std::string out;
  for (const char c : std::string(in.service_code) + "-" + in.gateway.name() + "-" + std::string(in.user)) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-';
    out += plain ? c : '_';
  }
  return out.substr(0, 100) + std::string(suffix);
}

}  // namespace

std::optional<ClientFamily> client_family_named(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, ClientFamily>, 5> kNames{{{"windows", ClientFamily::kWindows},
                                                                            {"apple", ClientFamily::kApple},
                                                                            {"android", ClientFamily::kAndroid},
                                                                            {"strongswan", ClientFamily::kStrongswan},
                                                                            {"networkmanager", ClientFamily::kNetworkManager}}};
  const auto* found = std::find_if(kNames.begin(), kNames.end(), [name](const auto& one) { return one.first == name; });
  return found == kNames.end() ? std::nullopt : std::optional(found->second);
}

ClientProfile write_client_profile(std::string_view service_code, const ipc::VpnGateway& gateway, std::string_view user,
                                   ClientFamily family) {
  Input in{service_code, gateway, user, gateway.name() + " (" + gateway.identity() + ")", gateway.identity(), {}};
  if (!gateway.accept_eap_mschapv2()) {
    return {{}, {}, "the gateway takes no password: a profile for certificates needs the user's own, which is not kept here"};
  }
  if (gateway.addresses_size() == 0 || gateway.identity().empty()) return {{}, {}, "the gateway has no address or no identity"};
  for (const ipc::VpnPrefix& network : gateway.networks()) {
    const auto address = address_of(network.address());
    if (!address) return {{}, {}, "a network of the gateway is no prefix"};
    if (network.length() == 0) {  // everything: no split
      in.networks.clear();
      break;
    }
    in.networks.push_back(to_string(*address) + "/" + std::to_string(network.length()));
  }
  switch (family) {
    case ClientFamily::kWindows: return {file_name_of(in, ".ps1"), windows(in), {}};
    case ClientFamily::kApple: return {file_name_of(in, ".mobileconfig"), apple(in), {}};
    case ClientFamily::kAndroid: return {file_name_of(in, ".sswan"), android(in), {}};
    case ClientFamily::kStrongswan: return {file_name_of(in, ".conf"), strongswan(in), {}};
    case ClientFamily::kNetworkManager: return {file_name_of(in, ".nmconnection"), network_manager(in), {}};
  }
  return {{}, {}, "no such client"};
}

}  // namespace sekisho::control
