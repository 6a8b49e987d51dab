// SPDX-License-Identifier: Apache-2.0
// Collectors of records. Where they may be is the provider's to say: they are reached from the management network, and a tenant must
// not be able to knock on what else is there. Sentences never repeat a secret.
#include <algorithm>
#include <cctype>
#include <set>

#include "base/limits.h"
#include "base/net/address.h"
#include "control/config/text.h"
#include "control/config/validate_parts.h"

namespace sekisho::control {
namespace {

constexpr std::size_t kExportsMax = 4;  // of a tenant, and of the provider
constexpr std::size_t kCasMax = 16, kPemBytesMax = 64U << 10, kDestinationsMax = 256, kServerNameBytesMax = 253;
constexpr std::size_t kPathBytesMax = 1024, kTokenBytesMin = 16, kTokenBytesMax = 4096;

/// PEM blocks of these kinds, one behind the other, with nothing else but white space; how many, 0 when it is not that.
std::size_t count_pem(std::string_view text, std::initializer_list<std::string_view> kinds) {
  std::size_t count = 0;
  const auto trim = [&text] {
    while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0) text.remove_prefix(1);
  };
  for (trim(); !text.empty(); trim(), ++count) {
    bool found = false;
    for (const std::string_view kind : kinds) {
      const std::string begin = "-----BEGIN " + std::string(kind) + "-----";
      const std::string end = "-----END " + std::string(kind) + "-----";
      const std::size_t stop = text.find(end);
      if (found || !text.starts_with(begin) || stop == std::string_view::npos || text.find("-----BEGIN ", 1) < stop) continue;
      text.remove_prefix(stop + end.size());
      found = true;
    }
    if (!found) return 0;
  }
  return count;
}

bool is_visible(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 127; });
}

bool is_host_name(const std::string& text) {
  const auto fits = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.'; };
  return !text.empty() && text.size() <= kServerNameBytesMax && std::all_of(text.begin(), text.end(), fits) && text.front() != '.' &&
         text.front() != '-' && text.find("..") == std::string::npos;
}

class ExportCheck {
 public:
  ExportCheck(Reporter& reporter, const model::Configuration& model, const model::Tenant* tenant)
      : reporter_(reporter), model_(model), tenant_(tenant) {}

  void check(const Path& path, std::string_view field, const google::protobuf::RepeatedPtrField<model::LogExport>& list) {
    check_count(reporter_, Path(path, field), static_cast<std::size_t>(list.size()), kExportsMax, "collectors");
    NameIndex names;
    index_names(reporter_, path, field, list, names);
    for (int i = 0; i < list.size(); ++i) check_one(Path(path, field, i), list[i]);
  }

 private:
  void check_one(const Path& here, const model::LogExport& one) {
    check_address(here, one);
    if (one.port() > 65'535) reporter_.error(Path(here, "port"), "a port is at most 65535");
    check_memo(reporter_, Path(here, "memo"), one.memo());
    const bool https = one.kind() == model::LogExport::HTTPS;
    if (!https && one.has_path()) reporter_.error(Path(here, "path"), "only https has a path");
    if (!https && one.has_token()) reporter_.error(Path(here, "token"), "only https has a token");
    if (https && (!one.path().starts_with('/') || one.path().size() > kPathBytesMax || !is_visible(one.path())))
      reporter_.error(Path(here, "path"), "a path begins with /, and has at most 1024 visible ASCII characters");
    if (one.has_token() && (one.token().size() < kTokenBytesMin || one.token().size() > kTokenBytesMax || !is_visible(one.token())))
      reporter_.error(Path(here, "token"), "a token has 16 to 4096 visible ASCII characters");
    if (one.kind() == model::LogExport::IPFIX &&
        std::any_of(one.types().begin(), one.types().end(), [](int type) { return type != model::LogExport::COMM; }))
      reporter_.error(Path(here, "types"), "ipfix tells of flows: it takes comm only");
    check_tenants(here, one);
    if (one.transport() == model::LogExport::TLS) return check_tls(here, one);
    if (one.kind() != model::LogExport::IPFIX) return reporter_.error(Path(here, "transport"), "syslog and https go by tls only");
    if (one.cas_size() > 0 || one.has_certificate() || one.has_key() || one.has_server_name())
      reporter_.error(Path(here, "transport"), "certificates are for tls");
    reporter_.warning(Path(here, "transport"), one.transport() == model::LogExport::UDP
                                                   ? "flows go in the clear, and what is lost on the way is lost unseen"
                                                   : "flows go in the clear");
  }

  void check_address(const Path& here, const model::LogExport& one) {
    const Path at(here, "address");
    const auto address = parse_address(one.address());
    if (!address || address->is_multicast() || address->is_loopback() || address->is_unspecified() || address->is_link_local())
      return reporter_.error(at, '"' + one.address() + "\" is not the address of a collector (names are not looked up)");
    if (tenant_ == nullptr) return;
    const auto& allowed = model_.log_exports().destinations();
    const bool inside = std::any_of(allowed.begin(), allowed.end(), [&](const std::string& text) {
      const auto prefix = parse_prefix(text);
      return prefix && prefix->contains(*address);
    });
    const Path root;
    const Path exports(root, "log_exports");
    if (!inside && !reporter_.refused(Path(exports, "destinations")))
      reporter_.error(at, one.address() + " is in none of the provider's log_exports.destinations");
  }

  void check_tls(const Path& here, const model::LogExport& one) {
    if (one.has_server_name() && !is_host_name(one.server_name()) && !parse_address(one.server_name()))
      reporter_.error(Path(here, "server_name"), "a server is named by a host name or an address");
    check_count(reporter_, Path(here, "cas"), static_cast<std::size_t>(one.cas_size()), kCasMax, "CAs");
    if (one.cas_size() == 0) reporter_.error(Path(here, "cas"), "somebody has to vouch for the collector");
    for (int i = 0; i < one.cas_size(); ++i) {
      if (one.cas(i).size() > kPemBytesMax || count_pem(one.cas(i), {"CERTIFICATE"}) != 1)
        reporter_.error(Path(here, "cas", i), "not one certificate as PEM text");
    }
    if (one.has_certificate() != one.has_key()) reporter_.error(Path(here, "key"), "a certificate has its key, and the other way round");
    if (one.has_certificate() && (one.certificate().size() > kPemBytesMax || count_pem(one.certificate(), {"CERTIFICATE"}) == 0))
      reporter_.error(Path(here, "certificate"), "not a certificate, with its chain, as PEM text");
    const auto kinds = {std::string_view("PRIVATE KEY"), std::string_view("RSA PRIVATE KEY"), std::string_view("EC PRIVATE KEY")};
    if (one.has_key() && (one.key().size() > kPemBytesMax || count_pem(one.key(), kinds) != 1))
      reporter_.error(Path(here, "key"), "not one private key, without a password, as PEM text");
  }

  void check_tenants(const Path& here, const model::LogExport& one) {
    if (tenant_ != nullptr && one.tenants_size() > 0)
      return reporter_.error(Path(here, "tenants"), "a tenant's collector gets that tenant's records");
    for (int i = 0; i < one.tenants_size(); ++i) {
      const auto named = [&](const model::Tenant& other) { return other.service_code() == one.tenants(i); };
      if (std::any_of(model_.tenants().begin(), model_.tenants().end(), named)) continue;
      reporter_.no_such_name(Path(here, "tenants", i), {"tenants"}, "there is no tenant with the service code \"" + one.tenants(i) + '"');
    }
  }

  Reporter& reporter_;
  const model::Configuration& model_;
  const model::Tenant* tenant_;
};

}  // namespace

void validate_exports(Reporter& reporter, const model::Configuration& model, const model::Tenant* tenant, const Path& path) {
  ExportCheck check(reporter, model, tenant);
  if (tenant != nullptr) return check.check(path, "log_exports", tenant->log_exports());
  const auto& destinations = model.log_exports().destinations();
  check_count(reporter, Path(path, "destinations"), static_cast<std::size_t>(destinations.size()), kDestinationsMax, "destinations");
  for (int i = 0; i < destinations.size(); ++i) check_network(reporter, Path(path, "destinations", i), destinations[i]);
  check.check(path, "targets", model.log_exports().targets());
}

}  // namespace sekisho::control
