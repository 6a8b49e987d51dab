// SPDX-License-Identifier: Apache-2.0
// The disk of the log fills up, or has room again: said in every operation log, and to who wants to know.
#include "control/api/api_service.h"
#include "control/links/log_watch.h"

namespace sekisho::control {
namespace {

struct Level {
  std::string_view title, records;
};

/// By weight_of_pressure().
constexpr std::array<Level, 7> kLevels{{
    {"ログの保存領域に余裕が戻りました / the log's disk has room again", "all records are kept"},
    {"ログの保存領域が残り少なくなっています / the log's disk is filling up", "all records are kept for now"},
    {"ログの保存領域が不足しています / the log's disk is nearly full", "starts of connections are not kept"},
    {"ログの保存領域が不足しています / the log's disk is nearly full", "starts and ends of connections are not kept"},
    {"ログの保存領域が不足しています / the log's disk is nearly full", "no comm records are kept"},
    {"ログの保存領域が不足しています / the log's disk is nearly full", "no comm records, and of acl records denials alone, are kept"},
    {"ログの保存領域がなくなりました / the log's disk is full",
     "no comm and acl records are kept, no configuration is taken, and nobody new comes in by remote access"},
}};

}  // namespace

void ApiService::tell_of_log_disk(const ipc::LogWatched& now, const std::string& before) {
  const std::size_t weight = weight_of_pressure(now.pressure());
  const Level& level = kLevels.at(weight);
  const std::string detail = "level " + now.pressure() + " after " + before + ": " + std::string(level.records);
  constexpr unsigned kMebibyteBits = 20;
  // How large the disk is and how full is the provider's own affair.
  const std::string space = std::to_string(now.disk_free_bytes() >> kMebibyteBits) + " of " +
                            std::to_string(now.disk_bytes() >> kMebibyteBits) + " MiB are free; ";
  const auto tell = [&](const std::string& tenant, const std::string& text) {
    tell_of_the_unit(tenant, "log", "CAP_LOGDISK", weight == 0 ? "ok" : "fail", text);
    notifier_.tell({.tenant = tenant, .event = "log_loss", .object = "CAP_LOGDISK", .state = now.pressure(),
                    .title = std::string(level.title), .memo = text});
  };
  tell("", space + detail);
  const InForce force = environment_.in_force();
  for (int i = 0; force.model != nullptr && i < force.model->tenants_size(); ++i) tell(force.model->tenants(i).service_code(), detail);
}

}  // namespace sekisho::control
