// SPDX-License-Identifier: Apache-2.0
#include "control/erasure/backup.h"

#include <algorithm>
#include <array>
#include <set>

#include "base/proto/access.pb.h"
#include "base/proto/api.pb.h"
#include "control/compile/vpn_config.h"
#include "control/config/codec.h"

namespace sekisho::control {
namespace {

struct Kind {
  RecordKind kind;
  const char* name;
};
constexpr std::array<Kind, 3> kKinds{
    {{RecordKind::kAccount, "account"}, {RecordKind::kConsent, "consent"}, {RecordKind::kNotice, "notice"}}};

/// Whose it is; empty: nobody's alone.
std::string tenant_of(const erasure::Record& record) {
  if (record.kind() == "account") {
    const std::size_t at = record.key().rfind('@');
    return at == std::string::npos ? "" : record.key().substr(at + 1);
  }
  access::StoredConsent consent;
  if (record.kind() == "consent" && consent.ParseFromString(record.value())) return consent.tenant();
  return {};
}

bool names(const std::string& key, const std::string& tenant) {
  const std::string wrapped = '\x1f' + key + '\x1f';
  return wrapped.find('\x1f' + tenant + '\x1f') != std::string::npos;
}

}  // namespace

Result<erasure::Backup> collect_backup(Store& store, const erasure::StoredErasures& endings, std::int64_t now) {
  erasure::Backup out;
  out.set_format(kBackupFormat);
  out.set_made(now);
  SEKISHO_TRY(const auto running, store.running());
  if (running) {
    SEKISHO_TRY(*out.mutable_document(), store.text(running->number));
    out.set_revision(running->number);
    out.set_node(decode_document(out.document()).model.node());
  }
  for (const Kind& kind : kKinds) {
    SEKISHO_TRY(const auto records, store.records(kind.kind));
    for (const auto& record : records) {
      auto& one = *out.add_records();
      one.set_kind(kind.name), one.set_key(record.key), one.set_value(record.value);
    }
  }
  SEKISHO_TRY(const auto numbers, store.numbers());
  for (const auto& number : numbers) {
    auto& one = *out.add_numbers();
    one.set_kind(static_cast<std::uint32_t>(number.kind)), one.set_key(number.key), one.set_number(number.number);
  }
  SEKISHO_TRY(const auto uuids, store.uuids());
  for (const auto& uuid : uuids) {
    auto& one = *out.add_uuids();
    one.set_key(uuid.key), one.set_uuid(std::string(uuid.uuid.begin(), uuid.uuid.end()));
  }
  *out.mutable_erasures() = endings;
  return out;
}

std::string read_backup(ByteSpan bytes, erasure::Backup& backup) {
  const bool fits = bytes.size() <= kBackupBytesMax && backup.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  return fits ? why_no_backup(backup) : "the backup cannot be read";
}

std::string why_no_backup(const erasure::Backup& backup) {
  if (backup.format() == 0) return "this is no backup";
  if (backup.format() < kBackupFormat) return "the backup's format " + std::to_string(backup.format()) + " is too old for this version";
  if (backup.format() > kBackupFormat) return "the backup's format " + std::to_string(backup.format()) + " is of a newer version";
  if (const std::string why = why_no_endings(backup.erasures()); !why.empty()) return "the backup holds " + why;
  if (has_errors(decode_document(backup.document()).findings)) return "the backup's document cannot be read by this version";
  return {};
}

RestorePlan plan_restore(erasure::Backup backup, std::span<const StoredErasure> endings) {
  RestorePlan out;
  Decoded decoded = decode_document(backup.document());
  std::set<std::string> gone;
  for (const StoredErasure& ending : endings) {
    if (ending.scope() == StoredErasure::CONTRACT && ending.state() >= StoredErasure::ERASING) gone.insert(ending.tenant());
    // An option that was erased after the backup was made is in it; one that was ordered anew since comes by itself.
    const bool since = ending.state() == StoredErasure::ERASED && ending.erased() >= backup.made();
    const bool option = ending.scope() == StoredErasure::REMOTE_ACCESS && since;
    if (option && take_out(ending, decoded.model)) out.left_out.push_back("remote access of " + ending.tenant() + ", which was erased");
  }
  for (const StoredErasure& ending : endings) {
    if (const std::string why = apply_endings(std::span(&ending, 1), decoded.model); !why.empty()) out.left_out.push_back(why);
  }
  out.document = out.left_out.empty() ? std::move(*backup.mutable_document()) : encode_document(decoded.model);
  for (const auto& record : backup.records()) {
    const auto* kind = std::find_if(kKinds.begin(), kKinds.end(), [&](const Kind& one) { return one.name == record.kind(); });
    if (kind == kKinds.end() || gone.contains(tenant_of(record))) continue;
    out.accounts += kind->kind == RecordKind::kAccount ? 1U : 0U;
    out.accounts_and_more[kind - kKinds.begin()].push_back({record.key(), record.value()});
  }
  const auto of_gone = [&gone](const std::string& key) {
    return std::any_of(gone.begin(), gone.end(), [&key](const std::string& tenant) { return names(key, tenant); });
  };
  for (const auto& number : backup.numbers()) {
    if (number.kind() < kIdKinds && !of_gone(number.key()))
      out.numbers.push_back({static_cast<IdKind>(number.kind()), number.key(), number.number()});
  }
  for (const auto& one : backup.uuids()) {
    Ids::NewUuid next{one.key(), {}};
    if (one.uuid().size() != next.uuid.size() || of_gone(one.key())) continue;
    std::copy(one.uuid().begin(), one.uuid().end(), next.uuid.begin());
    out.uuids.push_back(std::move(next));
  }
  wipe(*backup.mutable_document());
  return out;
}

void adopt_numbers(const RestorePlan& plan, Ids& ids) {
  ids.adopt(plan.numbers, plan.uuids);
}

Result<void> put_records(const RestorePlan& plan, Store& store) {
  for (std::size_t i = 0; i < kKinds.size(); ++i) {
    SEKISHO_TRY(const auto held, store.records(kKinds.at(i).kind));
    for (const auto& record : held) SEKISHO_CHECK_OK(store.remove(kKinds.at(i).kind, record.key));
    for (const auto& record : plan.accounts_and_more[i]) SEKISHO_CHECK_OK(store.put(kKinds.at(i).kind, record.key, record.value));
  }
  return {};
}

}  // namespace sekisho::control
