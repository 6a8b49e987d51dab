// SPDX-License-Identifier: Apache-2.0
// Remote users: gateways, pools, groups and the users themselves (specification 3.4, 3.6). Sentences never repeat a secret.
#include <algorithm>
#include <array>
#include <cctype>
#include <set>

#include "base/limits.h"
#include "control/config/exceptions.h"
#include "control/config/text.h"
#include "control/config/timetable.h"
#include "control/config/validate_parts.h"

namespace sekisho::control {
namespace {

constexpr std::size_t kCertificatesMax = 16;
constexpr std::size_t kPemBytesMax = 256U << 10;  // a CRL may be long
constexpr std::size_t kNetworksMax = 64;
constexpr std::size_t kL2tpKeysMax = 16;       // each costs a peer's first message some hashes
constexpr std::size_t kL2tpKeyBytesMin = 16, kL2tpKeyBytesMax = 128;
constexpr std::uint32_t kRemoteSessionsMax = 100'000;
constexpr std::size_t kCountryPrefixesMax = 20'000;  // of all countries: who comes in is looked up among them
constexpr std::size_t kDnsMax = 8;
constexpr std::size_t kIdentityBytesMax = 255;
constexpr std::size_t kStaticAddressesMax = 4;  // what one tunnel holds
constexpr std::size_t kPskCharactersMin = 20;
constexpr std::size_t kPskCharactersMax = 256;

std::size_t size_of(int size) { return static_cast<std::size_t>(size); }

/// Whether the text is one block of PEM of one of the kinds, with nothing around it but white space.
bool is_pem(std::string_view text, std::initializer_list<std::string_view> kinds) {
  const auto space = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
  while (!text.empty() && space(text.front())) text.remove_prefix(1);
  while (!text.empty() && space(text.back())) text.remove_suffix(1);
  return std::any_of(kinds.begin(), kinds.end(), [text](std::string_view kind) {
    const std::string begin = "-----BEGIN " + std::string(kind) + "-----";
    const std::string end = "-----END " + std::string(kind) + "-----";
    return text.size() > begin.size() + end.size() && text.starts_with(begin) && text.ends_with(end) &&
           text.find("-----BEGIN ", 1) == std::string_view::npos;
  });
}

/// Letters of base64 (RFC 4648 4), whole quartets, white space left out; empty too.
bool is_base64(std::string_view text) {
  std::size_t letters = 0, padding = 0;
  for (const char c : text) {
    if (std::isspace(static_cast<unsigned char>(c)) != 0) continue;
    const bool letter = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '+' || c == '/';
    if (c == '=') ++padding;
    if ((!letter && c != '=') || (letter && padding > 0)) return false;
    ++letters;
  }
  return letters % 4 == 0 && padding <= 2;
}

std::string folded(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

bool overlap(const AddressSpan& a, const AddressSpan& b) {
  return a.low.family == b.low.family && a.low <= b.high && b.low <= a.high;
}
AddressSpan span_of(const Prefix& prefix) { return {prefix.first(), prefix.last()}; }

class UserCheck {
 public:
  UserCheck(Reporter& reporter, const model::Tenant& tenant, const Path& path, const NameIndex& ports)
      : reporter_(reporter), tenant_(tenant), path_(path), ports_(ports) {}

  void check() {
    check_count(reporter_, Path(path_, "pools"), size_of(tenant_.pools_size()), limits::kPoolsPerTenantMax, "pools");
    check_count(reporter_, Path(path_, "user_groups"), size_of(tenant_.user_groups_size()), limits::kUserGroupsPerTenantMax, "user groups");
    check_count(reporter_, Path(path_, "users"), size_of(tenant_.users_size()), limits::kUsersPerTenantMax, "users");
    check_count(reporter_, Path(path_, "gateways"), size_of(tenant_.gateways_size()), limits::kGatewaysPerTenantMax, "gateways");
    index_names(reporter_, path_, "pools", tenant_.pools(), pools_);
    index_names(reporter_, path_, "user_groups", tenant_.user_groups(), groups_);
    check_within(reporter_, path_, "remote_sessions_max", tenant_.remote_sessions_max(), 0, kRemoteSessionsMax);
    check_countries();
    for (int i = 0; i < tenant_.pools_size(); ++i) check_pool(Path(path_, "pools", i), tenant_.pools(i));
    for (int i = 0; i < tenant_.user_groups_size(); ++i) check_group(Path(path_, "user_groups", i), tenant_.user_groups(i));
    for (int i = 0; i < tenant_.users_size(); ++i) check_user(Path(path_, "users", i), tenant_.users(i));
    NameIndex names;
    index_names(reporter_, path_, "gateways", tenant_.gateways(), names);
    for (int i = 0; i < tenant_.gateways_size(); ++i) check_gateway(Path(path_, "gateways", i), tenant_.gateways(i));
    check_count(reporter_, Path(path_, "gateways"), gateway_addresses_.size(), limits::kGatewayAddressesPerTenantMax,
        "gateways' addresses");
  }

 private:
  // ---- Pools

  void check_tunnel(const Path& here, const std::string& name) {
    const auto port = ports_.find(name);
    if (port == ports_.end()) {
      reporter_.no_such_name(Path(here, "tunnel"), {".ports"}, "there is no port named \"" + name + "\" in this tenant");
    } else if (tenant_.ports(port->second).kind() != model::Port::TUNNEL) {
      reporter_.error(Path(here, "tunnel"), "the port \"" + name + "\" is not of kind tunnel");
    }
  }

  void check_pool(const Path& here, const model::Pool& pool) {
    check_tunnel(here, pool.tunnel());
    check_count(reporter_, Path(here, "ranges"), size_of(pool.ranges_size()), limits::kRangesPerPoolMax, "ranges");
    if (pool.ranges_size() == 0) reporter_.warning(Path(here, "ranges"), "a pool without ranges has no address for anybody");
    for (int i = 0; i < pool.ranges_size(); ++i) {
      const Path at(here, "ranges", i);
      const auto span = parse_address_entry(pool.ranges(i));
      if (!span) {
        reporter_.error(at, '"' + pool.ranges(i) + "\" is not a prefix or a range of addresses");
        continue;
      }
      for (const Address& end : {span->low, span->high}) {
        if (end.is_multicast() || end.is_loopback() || end.is_unspecified() || end.is_link_local()) {
          reporter_.error(at, "a pool has unicast addresses that are not link-local");
          break;
        }
      }
      check_overlaps(at, *span);
      pooled_.push_back({*span, &pool});
    }
  }

  /// What is somewhere else cannot be at the end of a tunnel too.
  void check_overlaps(const Path& at, const AddressSpan& span) {
    for (const Pooled& other : pooled_) {
      if (overlap(other.span, span)) return reporter_.error(at, "overlaps the pool \"" + other.pool->name() + '"');
    }
    for (const auto& port : tenant_.ports()) {
      for (const auto& text : port.addresses()) {
        const auto own = parse_prefix(text);
        if (own && overlap(span_of(*own), span)) return reporter_.error(at, "overlaps " + text + " of port \"" + port.name() + '"');
      }
    }
    for (const auto& binding : tenant_.bindings()) {
      if (binding.state() != model::Binding::ACTIVE) continue;
      for (const auto& pair : binding.pairs()) {
        const auto bound = parse_prefix(pair.prefix());
        if (bound && overlap(span_of(*bound), span)) {
          return reporter_.error(at, "overlaps " + pair.prefix() + ", bound by \"" + binding.name() + '"');
        }
      }
      for (const auto& text : binding.routed()) {
        const auto routed = parse_prefix(text);
        if (routed && overlap(span_of(*routed), span)) {
          return reporter_.error(at, "overlaps " + text + ", behind \"" + binding.name() + '"');
        }
      }
    }
    for (const auto& route : tenant_.routes()) {
      const auto prefix = parse_prefix(route.prefix());
      if (!prefix || !overlap(span_of(*prefix), span)) continue;
      const bool wider = prefix->contains(span.low) && prefix->contains(span.high) && span_of(*prefix) != span;
      if (!wider) return reporter_.error(at, "overlaps the route to " + route.prefix());
    }
  }

  // ---- Groups and users

  void check_countries() {
    std::size_t prefixes = 0;
    for (int i = 0; i < tenant_.countries_size(); ++i) {
      const model::Country& country = tenant_.countries(i);
      const Path here(path_, "countries", i);
      const auto capital = [](char c) { return c >= 'A' && c <= 'Z'; };
      if (country.code().size() != 2 || !std::all_of(country.code().begin(), country.code().end(), capital)) {
        reporter_.error(Path(here, "code"), '"' + country.code() + "\" is not two capitals, as ISO 3166 has them");
      } else if (!countries_.insert(country.code()).second) {
        reporter_.error(Path(here, "code"), "the country \"" + country.code() + "\" is here twice");
      }
      prefixes += size_of(country.prefixes_size());
      for (int j = 0; j < country.prefixes_size(); ++j) check_network(reporter_, Path(here, "prefixes", j), country.prefixes(j));
    }
    check_count(reporter_, Path(path_, "countries"), prefixes, kCountryPrefixesMax, "prefixes");
  }

  void check_group(const Path& here, const model::UserGroup& group) {
    if (group.has_pool() && !pools_.contains(group.pool())) {
      reporter_.no_such_name(Path(here, "pool"), {".pools"}, "there is no pool named \"" + group.pool() + "\" in this tenant");
    }
    check_within(reporter_, here, "priority", group.priority(), 1, 10'000);
    check_within(reporter_, here, "sessions_per_user", group.sessions_per_user(), 0, 16);
    check_within(reporter_, here, "sessions_max", group.sessions_max(), 0, kRemoteSessionsMax);
    for (int i = 0; i < group.source_countries_size(); ++i) {
      if (countries_.contains(group.source_countries(i))) continue;
      reporter_.no_such_name(Path(here, "source_countries", i), {".countries"},
          "there is no country \"" + group.source_countries(i) + "\" in this tenant");
    }
    check_count(reporter_, Path(here, "source_prefixes"), size_of(group.source_prefixes_size()),
        limits::kAddressEntriesPerObjectMax, "prefixes");
    for (int i = 0; i < group.source_prefixes_size(); ++i) {
      check_network(reporter_, Path(here, "source_prefixes", i), group.source_prefixes(i));
    }
    check_count(reporter_, Path(here, "login"), size_of(group.login_size()), limits::kSlotsPerScheduleMax, "slots");
    for (int i = 0; i < group.login_size(); ++i) {
      if (parse_weekly(group.login(i))) continue;
      reporter_.error(Path(here, "login", i), '"' + group.login(i) + "\" is not days and times, like mon-fri 09:00-17:30");
    }
    check_memo(reporter_, Path(here, "memo"), group.memo());
  }

  void check_user(const Path& here, const model::User& user) {
    check_name(reporter_, Path(here, "name"), user.name());
    if (!users_.insert(folded(user.name())).second) {
      reporter_.error(Path(here, "name"), "the name \"" + user.name() + "\" is used twice; it is compared without case");
    }
    if (user.has_nt_hash() && !is_hash(user.nt_hash())) reporter_.error(Path(here, "nt_hash"), "an NT hash is 32 hexadecimal digits");
    const std::size_t psk = count_characters(user.psk());
    if (user.has_psk() && (psk < kPskCharactersMin || psk > kPskCharactersMax)) {
      reporter_.error(Path(here, "psk"), "a pre-shared key has " + std::to_string(kPskCharactersMin) + " to " +
                                             std::to_string(kPskCharactersMax) + " characters");
    }
    for (int i = 0; i < user.groups_size(); ++i) {
      if (groups_.contains(user.groups(i))) continue;
      reporter_.no_such_name(Path(here, "groups", i), {".user_groups"}, "there is no user group named \"" + user.groups(i) + '"');
    }
    check_count(reporter_, Path(here, "static_addresses"), size_of(user.static_addresses_size()), kStaticAddressesMax, "addresses");
    for (int i = 0; i < user.static_addresses_size(); ++i) check_static(Path(here, "static_addresses", i), user.static_addresses(i));
    check_memo(reporter_, Path(here, "memo"), user.memo());
  }

  static bool is_hash(const std::string& text) {
    const auto digit = [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; };
    return text.size() == 32 && std::all_of(text.begin(), text.end(), digit);
  }

  void check_static(const Path& at, const std::string& text) {
    const auto address = parse_address(text);
    if (!address) return reporter_.error(at, '"' + text + "\" is not an address");
    const auto holds = [&](const Pooled& pooled) { return overlap(pooled.span, {*address, *address}); };
    if (std::none_of(pooled_.begin(), pooled_.end(), holds)) {
      reporter_.no_such_name(at, {".pools"}, text + " is in no pool of this tenant: nothing would lead to it");
    }
    if (!static_.insert(*address).second) reporter_.error(at, text + " is another user's");
  }

  // ---- Gateways

  void check_gateway(const Path& here, const model::Gateway& gateway) {
    check_tunnel(here, gateway.tunnel());
    const auto port = ports_.find(gateway.port());
    if (port == ports_.end()) {
      reporter_.no_such_name(Path(here, "port"), {".ports"}, "there is no port named \"" + gateway.port() + "\" in this tenant");
    } else if (tenant_.ports(port->second).kind() == model::Port::TUNNEL) {
      reporter_.error(Path(here, "port"), "a gateway's clients come in by a port with a wire");
    } else {
      check_addresses(here, gateway, tenant_.ports(port->second));
    }
    if (gateway.addresses_size() == 0) reporter_.error(Path(here, "addresses"), "a gateway has an address");
    if (gateway.identity().empty() || gateway.identity().size() > kIdentityBytesMax ||
        find_bad_text(gateway.identity()) != std::string::npos) {
      reporter_.error(Path(here, "identity"), "an identity is a host name or an address");
    }
    if (gateway.has_code() && !is_service_code(gateway.code())) {
      reporter_.error(Path(here, "code"), "a code is three letters a-z and eight digits, like tky00000001");
    } else if (gateway.has_code() && !codes_.insert(gateway.code()).second) {
      reporter_.error(Path(here, "code"), "the code " + gateway.code() + " is another gateway's");
    }
    check_credentials(here, gateway);
    check_offers(here, gateway);
    check_lifetimes(here, gateway);
    if (!gateway.has_default_group()) return;
    const auto group = groups_.find(gateway.default_group());
    if (group == groups_.end()) {
      reporter_.no_such_name(Path(here, "default_group"), {".user_groups"},
          "there is no user group named \"" + gateway.default_group() + '"');
    } else if (!tenant_.user_groups(group->second).has_pool()) {
      reporter_.error(Path(here, "default_group"), "the group \"" + gateway.default_group() + "\" has no pool");
    }
  }

  void check_addresses(const Path& here, const model::Gateway& gateway, const model::Port& port) {
    const bool share = port.kind() == model::Port::SHARE;
    for (int i = 0; i < gateway.addresses_size(); ++i) {
      const Path at(here, "addresses", i);
      const auto address = parse_address(gateway.addresses(i));
      if (!address) {
        reporter_.error(at, '"' + gateway.addresses(i) + "\" is not an address");
        continue;
      }
      const Strings& texts = share ? port.prefixes() : port.addresses();
      const bool known = std::any_of(texts.begin(), texts.end(), [&](const std::string& text) {
        const auto prefix = parse_prefix(text);
        return prefix && (share ? prefix->contains(*address) : prefix->address == *address);
      });
      if (!known && !reporter_.refused(Path(here, "port"))) {
        reporter_.error(at,
            gateway.addresses(i) + (share ? " is in no prefix of port \"" : " is no address of port \"") + port.name() + '"');
      }
      if (!gateway_addresses_.insert(*address).second) reporter_.error(at, gateway.addresses(i) + " is already a gateway's");
    }
  }

  void check_pems(const Path& here, std::string_view field, const Strings& texts, std::initializer_list<std::string_view> kinds,
                  const char* what) {
    check_count(reporter_, Path(here, field), size_of(texts.size()), kCertificatesMax, field);
    for (int i = 0; i < texts.size(); ++i) {
      if (texts[i].size() > kPemBytesMax || !is_pem(texts[i], kinds)) reporter_.error(Path(here, field, i), what);
    }
  }

  /// What a door of PPP accepts: somebody has to be there who can judge it.
  template <typename Door>
  void check_methods(const Path& here, const model::Gateway& gateway, const google::protobuf::RepeatedField<int>& accept,
                     const char* door) {
    const Path at(here, "accept");
    const auto accepts = [&accept](int what) { return std::find(accept.begin(), accept.end(), what) != accept.end(); };
    if (accept.empty()) reporter_.error(at, std::string(door) + " accepts mschapv2, eap-mschapv2, pap, chap, eap-tls or eap-radius");
    const bool asks = gateway.radius_size() > 0;
    const auto& users = tenant_.users();
    const bool passwords = std::any_of(users.begin(), users.end(), [](const model::User& user) { return user.has_nt_hash(); });
    if (accepts(Door::PAP) && !asks && !passwords) {
      reporter_.error(at, "pap has nobody to verify it: no backend in radius, no user with a password");
    }
    if (accepts(Door::CHAP) && !asks) reporter_.error(at, "chap needs a backend in radius: nothing kept here can verify it");
    if (accepts(Door::EAP_RADIUS) && !asks) reporter_.error(Path(here, "accept"), "who accepts eap-radius names a backend in radius");
    if (accepts(Door::EAP_TLS) && gateway.client_cas_size() == 0) reporter_.error(at, "eap-tls needs client_cas that vouch for users");
    if (accepts(Door::EAP_TLS) && accepts(Door::EAP_RADIUS)) {
      reporter_.error(at, "eap-tls and eap-radius are not for one door: its servers judge certificates, too");
    }
  }

  void check_sstp(const Path& here, const model::Gateway& gateway) {
    const model::Sstp& sstp = gateway.sstp();
    check_pems(here, "certificates", sstp.certificates(), {"CERTIFICATE"}, "not one certificate as PEM text");
    check_pems(here, "keys", sstp.keys(), {"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"},
        "not one private key, without a password, as PEM text");
    const int shown = sstp.certificates_size() > 0 ? sstp.certificates_size() : gateway.certificates_size();
    if (sstp.ocsp_size() != 0 && sstp.ocsp_size() != shown) {
      reporter_.error(Path(here, "ocsp"), "each certificate has its answer, in the same order; \"\" where there is none");
    }
    for (int i = 0; i < sstp.ocsp_size(); ++i) {
      if (sstp.ocsp(i).size() > kPemBytesMax || !is_base64(sstp.ocsp(i))) reporter_.error(Path(here, "ocsp", i), "not base64");
    }
    check_methods<model::Sstp>(here, gateway, sstp.accept(), "SSTP");
    if (sstp.certificates_size() != sstp.keys_size()) {
      reporter_.error(Path(here, "keys"), "each certificate has its key, in the same order");
    }
    if (sstp.certificates_size() == 0 && gateway.certificates_size() == 0) {
      reporter_.error(Path(here, "certificates"), "the gateway proves itself by a certificate");
    }
  }

  void check_l2tp(const Path& here, const model::Gateway& gateway) {
    const model::L2tp& l2tp = gateway.l2tp();
    check_methods<model::L2tp>(here, gateway, l2tp.accept(), "L2TP");
    const bool tls = std::find(l2tp.accept().begin(), l2tp.accept().end(), model::L2tp::EAP_TLS) != l2tp.accept().end();
    if (tls && gateway.certificates_size() == 0) {
      reporter_.error(Path(here, "accept"), "eap-tls shows the gateway's certificate, and it has none");
    }
    if (gateway.profile() == model::Gateway::CERTIFIED) reporter_.error(here, "profile certified allows no IKEv1, and so no L2TP");
    if (l2tp.keys_size() == 0 && !l2tp.certificates()) reporter_.error(Path(here, "keys"), "L2TP needs a pre-shared key or certificates");
    if (l2tp.certificates() && (gateway.certificates_size() == 0 || gateway.client_cas_size() == 0)) {
      reporter_.error(Path(here, "certificates"), "the gateway has no certificate of its own, or no client_cas that vouch for machines");
    }
    check_count(reporter_, Path(here, "keys"), size_of(l2tp.keys_size()), kL2tpKeysMax, "keys");
    NameIndex names;
    index_names(reporter_, here, "keys", l2tp.keys(), names);
    for (int i = 0; i < l2tp.keys_size(); ++i) {
      const Path at(here, "keys", i);
      const model::L2tpKey& key = l2tp.keys(i);
      if (key.psk().size() < kL2tpKeyBytesMin || key.psk().size() > kL2tpKeyBytesMax) {
        reporter_.error(Path(at, "psk"), "a pre-shared key has 16 to 128 characters");
      }
      for (int j = 0; j < key.from_size(); ++j) check_network(reporter_, Path(at, "from", j), key.from(j));
    }
  }

  void check_pptp(const Path& here, const model::Gateway& gateway) {
    const model::Pptp& pptp = gateway.pptp();
    if (gateway.profile() != model::Gateway::LEGACY)
      reporter_.error(here, "PPTP needs the profile legacy: whoever records a login can find its keys");
    if (pptp.owner().empty()) reporter_.error(Path(here, "owner"), "somebody answers for PPTP");
    if (!parse_civil(pptp.valid_until())) reporter_.error(Path(here, "valid_until"), "PPTP ends some day: \"2026-12-31 22:00\" (JST)");
    const auto& addresses = gateway.addresses();
    const bool four = std::any_of(addresses.begin(), addresses.end(), [](const std::string& text) {
      const auto address = parse_address(text);
      return address && address->family == Family::kIpv4;
    });
    if (!four) reporter_.error(here, "PPTP is of IPv4 addresses, and the gateway has none");
  }

  /// Its form; whether its day may stand in a document of today is check_exceptions()'.
  void check_legacy(const Path& here, const model::Gateway& gateway) {
    const model::Legacy& legacy = gateway.legacy();
    if (gateway.profile() != model::Gateway::LEGACY) {
      if (gateway.has_legacy()) reporter_.error(here, "only the profile legacy is an exception that somebody answers for");
      return;
    }
    if (!gateway.has_legacy()) return reporter_.error(here, "the profile legacy has an owner, who answers for it, and a last day");
    if (legacy.owner().empty()) reporter_.error(Path(here, "owner"), "somebody answers for the profile legacy");
    check_memo(reporter_, Path(here, "owner"), legacy.owner());
    if (!legacy_end(gateway)) reporter_.error(Path(here, "valid_until"), "the profile legacy has a last day: \"2026-12-31\" (JST)");
  }

  void check_credentials(const Path& here, const model::Gateway& gateway) {
    check_pems(here, "certificates", gateway.certificates(), {"CERTIFICATE"}, "not one certificate as PEM text");
    check_pems(here, "keys", gateway.keys(), {"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"},
        "not one private key, without a password, as PEM text");
    check_pems(here, "gateway_cas", gateway.gateway_cas(), {"CERTIFICATE"}, "not one certificate as PEM text");
    check_pems(here, "client_cas", gateway.client_cas(), {"CERTIFICATE"}, "not one certificate as PEM text");
    check_pems(here, "device_cas", gateway.device_cas(), {"CERTIFICATE"}, "not one certificate as PEM text");
    check_pems(here, "crls", gateway.crls(), {"X509 CRL"}, "not one revocation list as PEM text");
    if (gateway.certificates_size() != gateway.keys_size()) {
      reporter_.error(Path(here, "keys"), "each certificate has its key, in the same order");
    }
    const auto& accept = gateway.accept();
    const auto accepts = [&](model::Gateway::Accept what) { return std::find(accept.begin(), accept.end(), what) != accept.end(); };
    check_legacy(Path(here, "legacy"), gateway);
    if (gateway.has_sstp()) check_sstp(Path(here, "sstp"), gateway);
    if (gateway.has_l2tp()) check_l2tp(Path(here, "l2tp"), gateway);
    if (gateway.has_pptp()) check_pptp(Path(here, "pptp"), gateway);
    if (accept.empty() && !gateway.has_sstp() && !gateway.has_l2tp() && !gateway.has_pptp()) {
      reporter_.error(Path(here, "accept"), "a gateway accepts certificate, eap-tls, eap-mschapv2, eap-radius or psk");
    }
    const bool certificates = accepts(model::Gateway::CERTIFICATE) || accepts(model::Gateway::EAP_TLS);
    const bool proves = certificates || accepts(model::Gateway::EAP_MSCHAPV2);
    if (proves && gateway.certificates_size() == 0) {
      reporter_.error(Path(here, "certificates"), "the gateway proves itself by a certificate");
    }
    if (certificates && gateway.client_cas_size() == 0) {
      reporter_.error(Path(here, "client_cas"), "who accepts certificates says whose");
    }
    if (accepts(model::Gateway::PSK) && gateway.profile() != model::Gateway::LEGACY) {
      reporter_.error(Path(here, "accept"), "psk needs the profile legacy");
    }
    if (accepts(model::Gateway::EAP_TLS) && accepts(model::Gateway::EAP_RADIUS)) {
      reporter_.error(Path(here, "accept"), "eap-tls and eap-radius are not for one gateway: its servers judge certificates, too");
    }
  }

  void check_offers(const Path& here, const model::Gateway& gateway) {
    check_count(reporter_, Path(here, "networks"), size_of(gateway.networks_size()), kNetworksMax, "networks");
    for (int i = 0; i < gateway.networks_size(); ++i) check_network(reporter_, Path(here, "networks", i), gateway.networks(i));
    check_count(reporter_, Path(here, "dns"), size_of(gateway.dns_size()), kDnsMax, "servers");
    for (int i = 0; i < gateway.dns_size(); ++i) {
      if (!parse_address(gateway.dns(i))) reporter_.error(Path(here, "dns", i), '"' + gateway.dns(i) + "\" is not an address");
    }
    check_count(reporter_, Path(here, "dns_domains"), size_of(gateway.dns_domains_size()), kNetworksMax, "domains");
    if (gateway.dns_domains_size() > 0 && gateway.dns_size() == 0) {
      reporter_.error(Path(here, "dns_domains"), "domains that clients resolve inside need a server in dns (RFC 8598)");
    }
    for (int i = 0; i < gateway.dns_domains_size(); ++i) {
      const std::string& domain = gateway.dns_domains(i);
      const bool sound = !domain.empty() && domain.size() <= 253 && std::all_of(domain.begin(), domain.end(), [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.' || c == '_';
      });
      if (!sound) reporter_.error(Path(here, "dns_domains", i), '"' + domain + "\" is not a domain");
    }
  }

  void check_lifetimes(const Path& here, const model::Gateway& gateway) {
    check_within(reporter_, here, "ike_rekey_seconds", gateway.ike_rekey_seconds(), 300, 86'400);
    check_within(reporter_, here, "child_rekey_seconds", gateway.child_rekey_seconds(), 120, 86'400);
    check_within(reporter_, here, "child_life_seconds", gateway.child_life_seconds(), 120, 2 * 86'400);
    check_within(reporter_, here, "dpd_seconds", gateway.dpd_seconds(), 5, 3600);
    check_within(reporter_, here, "replay_window", gateway.replay_window(), 64, 4096);
    check_within(reporter_, here, "idle_seconds", gateway.idle_seconds(), 0, 86'400);
    check_within(reporter_, here, "session_seconds_max", gateway.session_seconds_max(), 0, 604'800);
    if (gateway.child_life_seconds() <= gateway.child_rekey_seconds()) {
      reporter_.error(Path(here, "child_life_seconds"), "keys live longer than until they are replaced");
    }
    const bool rekeys = gateway.child_rekey_mbytes() != 0;
    if (gateway.child_life_mbytes() != 0 && (!rekeys || gateway.child_life_mbytes() <= gateway.child_rekey_mbytes())) {
      reporter_.error(Path(here, "child_life_mbytes"), "keys live longer than until they are replaced");
    }
  }

  struct Pooled {
    AddressSpan span;
    const model::Pool* pool;
  };

  Reporter& reporter_;
  const model::Tenant& tenant_;
  const Path& path_;
  const NameIndex& ports_;
  NameIndex pools_;
  NameIndex groups_;
  std::vector<Pooled> pooled_;
  std::set<std::string> countries_;
  std::set<std::string> users_;  ///< folded
  std::set<Address> static_;
  std::set<Address> gateway_addresses_;
  std::set<std::string> codes_;  ///< gateways'
};

}  // namespace

void validate_users(Reporter& reporter, const model::Tenant& tenant, const Path& path, const NameIndex& ports) {
  UserCheck(reporter, tenant, path, ports).check();
}

}  // namespace sekisho::control
