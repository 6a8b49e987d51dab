// SPDX-License-Identifier: Apache-2.0
#include "control/erasure/purge.h"

#include <algorithm>

#include "base/proto/access.pb.h"
#include "control/config/codec.h"

namespace sekisho::control {
namespace {

bool is_of(const std::string& account, const std::string& tenant) {
  return account.ends_with('@' + tenant);
}

/// Documents of all revisions that may hold it: of a contract all, for its service code is not given again; of an option
/// those of its time.
Result<Purged> purge_revisions(Store& store, const StoredErasure& ending) {
  const bool whole = ending.scope() == StoredErasure::CONTRACT;
  const auto without = [&](std::uint32_t number, const std::string& text) -> std::optional<std::string> {
    if (!whole && number > ending.erased_revision()) return std::nullopt;
    if (text.find(ending.tenant()) == std::string::npos) return std::nullopt;
    Decoded decoded = decode_document(text);
    if (has_errors(decoded.findings)) return std::string("{}\n");  // nobody can read it: it goes back to nothing
    if (!take_out(ending, decoded.model)) return std::nullopt;
    return encode_document(decoded.model);
  };
  Purged out{"configuration", 0, 0};
  SEKISHO_TRY(out.erased, store.rewrite(without));
  SEKISHO_CHECK_OK(store.rewrite([&](std::uint32_t number, const std::string& text) -> std::optional<std::string> {
    if (without(number, text)) ++out.left;
    return std::nullopt;
  }));
  return out;
}

/// Who made a tenant's revisions, and why.
Result<Purged> purge_authors(Store& store, const std::string& tenant) {
  Purged out{"revision_comments", 0, 0};
  SEKISHO_TRY(const auto scopes, store.records(RecordKind::kRevisionScope));
  for (const auto& record : scopes) {
    access::StoredRevisionScope scope;
    if (!scope.ParseFromString(record.value) || scope.tenant() != tenant) continue;
    SEKISHO_CHECK_OK(store.forget_author(static_cast<std::uint32_t>(std::strtoul(record.key.c_str(), nullptr, 10))));
    SEKISHO_CHECK_OK(store.remove(RecordKind::kRevisionScope, record.key));
    ++out.erased;
  }
  return out;
}

Result<Purged> purge_people(const PurgeWorld& world, const std::string& tenant) {
  Purged out{"accounts_and_consents", 0, 0};
  const auto count = [&]() -> Result<std::uint64_t> {
    std::uint64_t found = 0;
    SEKISHO_TRY(const auto accounts, world.store.records(RecordKind::kAccount));
    for (const auto& record : accounts) found += is_of(record.key, tenant) ? 1U : 0U;
    SEKISHO_TRY(const auto consents, world.store.records(RecordKind::kConsent));
    for (const auto& record : consents) {
      access::StoredConsent consent;
      found += consent.ParseFromString(record.value) && consent.tenant() == tenant ? 1U : 0U;
    }
    return found;
  };
  SEKISHO_TRY(out.erased, count());
  SEKISHO_CHECK_OK(world.people.erase_tenant(tenant));
  SEKISHO_TRY(out.left, count());
  return out;
}

/// Notices to it alone go; of others it is taken off.
Result<Purged> purge_notices(Store& store, const std::string& tenant) {
  Purged out{"notices", 0, 0};
  SEKISHO_TRY(const auto notices, store.records(RecordKind::kNotice));
  for (const auto& record : notices) {
    api::Notice notice;
    if (!notice.ParseFromString(record.value)) continue;
    auto& tenants = *notice.mutable_tenants();
    const auto end = std::remove(tenants.begin(), tenants.end(), tenant);
    if (end == tenants.end()) continue;
    tenants.erase(end, tenants.end());
    SEKISHO_CHECK_OK(tenants.empty() ? store.remove(RecordKind::kNotice, record.key)
                                     : store.put(RecordKind::kNotice, record.key, notice.SerializeAsString()));
    ++out.erased;
  }
  return out;
}

}  // namespace

Result<std::vector<Purged>> purge(const PurgeWorld& world, const StoredErasure& ending) {
  const std::string& tenant = ending.tenant();
  const bool whole = ending.scope() == StoredErasure::CONTRACT;
  std::vector<Purged> out;
  const auto take = [&out](Result<Purged> purged) -> Result<void> {
    if (!purged) return purged.error();
    out.push_back(std::move(*purged));
    return {};
  };
  const std::uint32_t number = world.ids.find(IdKind::kTenant, tenant_key(tenant));
  if (number != 0) out.push_back(world.vpn_memory(number));
  SEKISHO_CHECK_OK(take(purge_revisions(world.store, ending)));
  if (whole) {
    SEKISHO_CHECK_OK(take(purge_authors(world.store, tenant)));
    SEKISHO_CHECK_OK(take(purge_people(world, tenant)));
    SEKISHO_CHECK_OK(take(purge_notices(world.store, tenant)));
    SEKISHO_CHECK_OK(world.store.remove(RecordKind::kEndedDocument, tenant));
    out.push_back(world.undelivered(tenant));
  }
  SEKISHO_CHECK_OK(world.caches(tenant, whole));
  Purged names{"names", 0, 0};
  SEKISHO_TRY(names.erased, world.store.forget_names(tenant, !whole));
  world.ids.forget(tenant, !whole);
  SEKISHO_TRY(names.left, world.store.forget_names(tenant, !whole));
  out.push_back(names);
  SEKISHO_CHECK_OK(world.store.put(RecordKind::kPurged, ending.id(), ""));
  SEKISHO_CHECK_OK(world.store.compact());
  return out;
}

Result<std::optional<model::Tenant>> ended_document(Store& store, const std::string& tenant) {
  SEKISHO_TRY(const auto records, store.records(RecordKind::kEndedDocument));
  for (const auto& record : records) {
    if (record.key != tenant) continue;
    Decoded decoded = decode_document(record.value);
    if (decoded.model.tenants_size() == 1) return std::optional(std::move(*decoded.model.mutable_tenants(0)));
  }
  return std::optional<model::Tenant>();
}

Result<void> keep_ended_document(Store& store, const model::Tenant& part) {
  model::Configuration holder;
  *holder.add_tenants() = part;
  return store.put(RecordKind::kEndedDocument, part.service_code(), encode_document(holder));
}

}  // namespace sekisho::control
