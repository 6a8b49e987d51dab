// SPDX-License-Identifier: Apache-2.0
#include "control/api/record_watch.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <array>
#include <utility>

namespace sekisho::control {
namespace {

struct Watched {
  const char* type;
  const char* field;
  ipc::LogCondition::Test test;
  const char* value;
};
constexpr std::array<Watched, 2> kWatched{{{"sec", "event", ipc::LogCondition::PREFIX, "DOS_"},
                                           {"devauth", "result", ipc::LogCondition::EQUAL, "pending"}}};

/// Records of these numbers, from Unix second `from` on.
ipc::SearchLog question_of(const std::string& tenant, const Watched& watched, std::uint64_t after, std::uint64_t newest,
                           std::int64_t from) {
  constexpr std::uint64_t kSecondNs = 1'000'000'000;
  constexpr std::uint32_t kRecordsMax = 200, kSecondsMax = 3;
  ipc::SearchLog out;
  out.set_service_code(tenant);
  out.add_types(watched.type);
  out.set_from_ns(static_cast<std::uint64_t>(from) * kSecondNs);
  auto& what = *out.add_conditions();
  what.set_field(watched.field);
  what.set_test(watched.test);
  what.add_values(watched.value);
  auto& which = *out.add_conditions();
  which.set_field("seq");
  which.set_test(ipc::LogCondition::RANGE);
  which.add_values(std::to_string(after + 1));
  which.add_values(std::to_string(newest));
  out.set_limit(kRecordsMax);
  out.set_seconds_max(kSecondsMax);
  return out;
}

std::string text_in(const google::protobuf::Struct& record, const std::string& field) {
  const auto at = record.fields().find(field);
  return at == record.fields().end() ? std::string() : at->second.string_value();
}

/// As whoever approves has to know it: its id, or the certificate that nobody registered and who came with it.
std::string device_in(const google::protobuf::Struct& record) {
  std::string id = text_in(record, "device_id");
  return !id.empty() ? id : "certificate " + text_in(record, "cert_serial") + " of " + text_in(record, "user");
}

}  // namespace

std::vector<ipc::SearchLog> RecordWatch::look(const ipc::LogStatus& status, const std::vector<std::string>& tenants, std::int64_t now) {
  std::vector<ipc::SearchLog> out;
  for (const auto& stream : status.streams()) {
    const auto* watched = std::find_if(kWatched.begin(), kWatched.end(), [&](const Watched& one) { return one.type == stream.type(); });
    if (watched == kWatched.end() || std::find(tenants.begin(), tenants.end(), stream.service_code()) == tenants.end()) continue;
    const Of key{stream.service_code(), stream.type()};
    const std::uint64_t after = std::exchange(newest_[key], stream.newest_seq());
    if (looked_ && stream.newest_seq() > after)
      out.push_back(question_of(key.first, *watched, after, stream.newest_seq(), std::max<std::int64_t>(now - kNewsSeconds, 0)));
  }
  looked_ = true;
  const auto gone = [&tenants](const auto& one) { return std::find(tenants.begin(), tenants.end(), one.first.first) == tenants.end(); };
  std::erase_if(newest_, gone);
  return out;
}

std::vector<Happening> RecordWatch::take(const ipc::SearchLog& question, const std::vector<std::string>& records, std::int64_t steady) {
  std::vector<Happening> out;
  const std::string& tenant = question.service_code();
  for (const std::string& line : records) {
    google::protobuf::Struct record;
    if (!google::protobuf::util::JsonStringToMessage(line, &record).ok()) continue;
    if (question.types(0) == "sec") {
      const std::string code = text_in(record, "event");
      if (floods_.insert_or_assign({tenant, code}, steady).second)
        out.push_back({.tenant = tenant, .event = "dos", .object = code, .state = "begin",
                       .title = "DoS とみられる通信を検知しました / a flood is held off", .memo = code});
      continue;
    }
    const std::string device = device_in(record);
    const auto told = devices_.find({tenant, device});
    if (told != devices_.end() && steady - told->second < kSameDeviceSeconds) continue;
    if (devices_.size() >= kDevicesMax)
      std::erase_if(devices_, [steady](const auto& one) { return steady - one.second >= kSameDeviceSeconds; });
    if (devices_.size() < kDevicesMax) devices_[{tenant, device}] = steady;
    out.push_back({.tenant = tenant, .event = "device_request", .object = device, .state = "wanted",
                   .title = "承認待ちの端末があります / a device waits for approval"});
  }
  return out;
}

std::vector<Happening> RecordWatch::calm(std::int64_t steady) {
  std::vector<Happening> out;
  for (auto at = floods_.begin(); at != floods_.end();) {
    if (steady - at->second < kCalmSeconds) {
      ++at;
      continue;
    }
    const auto& [tenant, code] = at->first;
    out.push_back({.tenant = tenant, .event = "dos", .object = code, .state = "end",
                   .title = "DoS とみられる通信は収まりました / a flood is over", .memo = code});
    at = floods_.erase(at);
  }
  return out;
}

void RecordWatch::forget(const std::string& tenant) {
  const auto of_it = [&tenant](const auto& one) { return one.first.first == tenant; };
  std::erase_if(newest_, of_it);
  std::erase_if(floods_, of_it);
  std::erase_if(devices_, of_it);
}

}  // namespace sekisho::control
