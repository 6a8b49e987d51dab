// SPDX-License-Identifier: Apache-2.0
#include "control/config/text.h"
#include "control/config/validate_parts.h"

namespace sekisho::control {
namespace {

constexpr std::size_t kSourcesMax = 64;
constexpr std::size_t kBannerCharactersMax = 2000;

void check_sources(Reporter& reporter, const Path& path, const Strings& sources) {
  check_count(reporter, Path(path, "sources"), static_cast<std::size_t>(sources.size()), kSourcesMax, "sources");
  for (int i = 0; i < sources.size(); ++i) check_network(reporter, Path(path, "sources", i), sources[i]);
}

}  // namespace

void validate_sign_in(Reporter& reporter, const model::SignIn& sign_in, const Path& path) {
  check_within(reporter, path, "password_characters_min", sign_in.password_characters_min(), 8, 64);
  check_within(reporter, path, "password_classes_min", sign_in.password_classes_min(), 1, 4);
  check_within(reporter, path, "failures_max", sign_in.failures_max(), 1, 10);
  check_within(reporter, path, "lock_minutes", sign_in.lock_minutes(), 1, 1440);
  check_within(reporter, path, "idle_minutes", sign_in.idle_minutes(), 1, 60);
  check_within(reporter, path, "session_minutes_max", sign_in.session_minutes_max(), 5, 1440);
  if (find_bad_text(sign_in.banner()) != std::string::npos ||
      count_characters(sign_in.banner()) > kBannerCharactersMax) {
    reporter.error(Path(path, "banner"), "a banner has at most 2000 characters, none of them control characters");
  }
  check_sources(reporter, path, sign_in.sources());
}

void validate_sign_in(Reporter& reporter, const model::TenantSignIn& sign_in, const Path& path) {
  check_sources(reporter, path, sign_in.sources());
}

}  // namespace sekisho::control
