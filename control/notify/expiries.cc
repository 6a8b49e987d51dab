// SPDX-License-Identifier: Apache-2.0
#include "control/notify/expiries.h"

#include <google/protobuf/message.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <tuple>

#include "control/config/exceptions.h"
#include "control/config/timetable.h"

namespace sekisho::control {
namespace {

constexpr std::int64_t kDaySeconds = 86'400;

struct Words {
  const char* ja;
  const char* en;
};
// clang-format off
constexpr std::array<Words, 10> kWords{{
    {"証明書", "certificates"}, {"証明書失効リスト", "revocation lists"}, {"ルール", "rules"}, {"端末", "devices"}, {"PPTP", "PPTP"},
    {"プロファイル legacy の例外", "exceptions of the profile legacy"},
    {"アカウント", "accounts"}, {"API キー", "keys of programs"}, {"契約", "the contract"}, {"契約終了後の閲覧期間", "the time for reading after a contract"},
}};
// clang-format on

struct Step {
  int days;
  const char* state;
  const char* ja;
  const char* en;
};
constexpr std::array<Step, 4> kSteps{{{30, "30_days", "は 30 日以内に期限を迎えます", "end within 30 days"},
                                      {7, "7_days", "は 7 日以内に期限を迎えます", "end within 7 days"},
                                      {1, "1_day", "は 1 日以内に期限を迎えます", "end within a day"},
                                      {0, "ended", "は期限を迎えました", "have ended"}}};

std::optional<std::int64_t> unix_seconds(const ASN1_TIME* time) {
  std::tm broken{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &broken) != 1) return std::nullopt;
  return ::timegm(&broken);
}

/// The end of the first certificate or list of the text that ends.
template <typename Read, typename End, typename Free>
std::optional<std::int64_t> first_end(const std::string& pem, Read read, End end, Free free) {
  constexpr int kOfOneTextMax = 500;
  const std::unique_ptr<BIO, decltype(&BIO_free_all)> text(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free_all);
  std::optional<std::int64_t> out;
  for (int i = 0; text != nullptr && i < kOfOneTextMax; ++i) {
    auto* one = read(text.get(), nullptr, nullptr, nullptr);
    if (one == nullptr) break;
    const auto at = unix_seconds(end(one));
    free(one);
    if (at && (!out || *at < *out)) out = at;
  }
  ERR_clear_error();
  return out;
}

class Gathering {
 public:
  explicit Gathering(std::vector<Expiry>& out) : out_(out) {}

  /// PEM texts in whatever `message` holds.
  void take_pems(const std::string& tenant, const google::protobuf::Message& message, const std::string& name) {
    const auto& reflection = *message.GetReflection();
    std::vector<const google::protobuf::FieldDescriptor*> fields;
    reflection.ListFields(message, &fields);
    for (const auto* field : fields) {
      for (int i = 0; i < (field->is_repeated() ? reflection.FieldSize(message, field) : 1); ++i) {
        if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) {
          take_pems(tenant, field->is_repeated() ? reflection.GetRepeatedMessage(message, field, i) : reflection.GetMessage(message, field),
                    name + ' ' + field->name());
        } else if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_STRING) {
          take_pem(tenant, field->is_repeated() ? reflection.GetRepeatedString(message, field, i) : reflection.GetString(message, field),
                   name + ' ' + field->name());
        }
      }
    }
  }

  void take_civil(const std::string& tenant, Ending what, const std::string& name, const std::string& until) {
    if (const auto at = parse_civil(until)) take(tenant, what, name, *at);
  }
  void take(const std::string& tenant, Ending what, const std::string& name, std::int64_t at) { out_.push_back({tenant, what, name, at}); }

 private:
  void take_pem(const std::string& tenant, const std::string& text, const std::string& name) {
    if (text.find("-----BEGIN CERTIFICATE-----") != std::string::npos) {
      if (const auto at = first_end(text, PEM_read_bio_X509, X509_get0_notAfter, X509_free))
        out_.push_back({tenant, Ending::kCertificate, name, *at});
    } else if (text.find("-----BEGIN X509 CRL-----") != std::string::npos) {
      if (const auto at = first_end(text, PEM_read_bio_X509_CRL, X509_CRL_get0_nextUpdate, X509_CRL_free))
        out_.push_back({tenant, Ending::kRevocationList, name, *at});
    }
  }

  std::vector<Expiry>& out_;
};

void take_tenant(Gathering& gathering, const model::Tenant& tenant) {
  const std::string& code = tenant.service_code();
  for (const auto& gateway : tenant.gateways()) {
    gathering.take_pems(code, gateway, gateway.name());
    if (gateway.has_pptp()) gathering.take_civil(code, Ending::kPptp, gateway.name(), gateway.pptp().valid_until());
    if (const auto end = legacy_end(gateway)) gathering.take(code, Ending::kLegacy, gateway.name(), *end);
  }
  for (const auto& target : tenant.notifications()) gathering.take_pems(code, target, target.name());
  for (const auto& collector : tenant.log_exports()) gathering.take_pems(code, collector, collector.name());
  for (const auto& policy : tenant.policies()) {
    for (const auto& rule : policy.rules()) {
      if (rule.enabled() && rule.has_valid_until())
        gathering.take_civil(code, Ending::kRule, policy.name() + '/' + rule.name(), rule.valid_until());
    }
  }
  for (const auto& device : tenant.devices()) {
    if (device.state() == model::Device::APPROVED && device.has_valid_until())
      gathering.take_civil(code, Ending::kDevice, device.name(), device.valid_until());
  }
}

/// "a, b, c and 4 more".
std::string some_of(std::vector<std::string> names) {
  constexpr std::size_t kNamedMax = 5;
  std::sort(names.begin(), names.end());
  std::string out;
  for (std::size_t i = 0; i < std::min(names.size(), kNamedMax); ++i) out += (i == 0 ? "" : ", ") + names[i];
  return names.size() > kNamedMax ? out + " and " + std::to_string(names.size() - kNamedMax) + " more" : out;
}

}  // namespace

std::vector<Expiry> expiries_of(const model::Configuration& model) {
  std::vector<Expiry> out;
  Gathering gathering(out);
  gathering.take_pems("", model.notify(), "notify");
  gathering.take_pems("", model.log_exports(), "log_exports");
  for (const auto& tenant : model.tenants()) take_tenant(gathering, tenant);
  return out;
}

std::vector<Happening> due(const std::vector<Expiry>& expiries, std::int64_t after, std::int64_t until) {
  struct Group {
    std::vector<std::string> names;
    std::int64_t first = 0;
  };
  std::map<std::tuple<std::string, Ending, std::size_t>, Group> groups;
  for (const Expiry& one : expiries) {
    // The nearest step that came: after a long sleep nobody is told of all of them.
    for (std::size_t step = kSteps.size(); step-- > (one.what == Ending::kRevocationList ? 2U : 0U);) {
      const std::int64_t at = one.at - kSteps.at(step).days * kDaySeconds;
      if (at > until) continue;
      if (at <= after) break;
      Group& group = groups[{one.tenant, one.what, step}];
      group.first = group.names.empty() ? one.at : std::min(group.first, one.at);
      group.names.push_back(one.name);
      break;
    }
  }
  std::vector<Happening> out;
  for (const auto& [key, group] : groups) {
    const auto& [tenant, what, number] = key;
    const Words& words = kWords.at(static_cast<std::size_t>(what));
    const Step& step = kSteps.at(number);
    const std::string count = group.names.size() > 1 ? " (" + std::to_string(group.names.size()) + ')' : "";
    out.push_back({.tenant = tenant,
                   .event = "expiry",
                   .object = some_of(group.names),
                   .state = step.state,
                   .title = std::string(words.ja) + step.ja + " / " + words.en + ' ' + step.en + count,
                   .memo = civil_text(group.first) + " JST"});
  }
  return out;
}

}  // namespace sekisho::control
