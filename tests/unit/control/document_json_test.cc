// SPDX-License-Identifier: Apache-2.0
#include "control/api/document_json.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "control/access/roles.h"
#include "control/api/sealed_secrets.h"

namespace sekisho::control {
namespace {

const May kEverything = [](api::Action) { return true; };
May role(Role who) {
  return [who](api::Action action) { return grant_of(who, action) == Grant::kYes; };
}

model::Tenant tenant() {
  const Decoded read = decode_document(R"(
tenants:
  - service_code: acm00000001
    name: acme
    zones: [inside, outside]
    addresses: [{name: web, entries: [10.0.0.2]}]
    users: [{name: mika, nt_hash: 0123456789abcdef0123456789abcdef}, {name: ken, psk: a secret of ken}]
    policies: [{name: in, rules: [{name: web, action: allow, destination: [web]}]}]
)");
  EXPECT_EQ(read.model.tenants_size(), 1);
  return read.model.tenants(0);
}

TEST(DocumentJson, EveryPartOfATenantIsSeenAndChangedBySomebody) {
  const std::vector<std::string> parts = editable_parts(kEverything);
  for (int i = 0; i < model::Tenant::descriptor()->field_count(); ++i) {
    const std::string& name = model::Tenant::descriptor()->field(i)->name();
    EXPECT_NE(std::find(parts.begin(), parts.end(), name), parts.end())
        << name << " is missing in kParts of control/api/document_json.cc";
  }
}

TEST(DocumentJson, AJsonDocumentReadsBackAsItWasAndShowsNoSecret) {
  const model::Tenant before = tenant();
  const auto json = to_struct(before);
  EXPECT_EQ(json.DebugString().find("0123456789abcdef"), std::string::npos);
  const Decoded read = read_tenant(json);
  ASSERT_EQ(read.model.tenants_size(), 1);
  model::Tenant merged;
  EXPECT_FALSE(merge_tenant(before, read.model.tenants(0), kEverything, merged));
  EXPECT_EQ(merged.SerializeAsString(), before.SerializeAsString());
}

TEST(DocumentJson, ASecretStaysWithItsElementWhereverThatStands) {
  const model::Tenant before = tenant();
  model::Tenant sent = before;
  mask_secrets(sent);
  sent.mutable_users()->SwapElements(0, 1);
  model::Tenant merged;
  ASSERT_FALSE(merge_tenant(before, sent, kEverything, merged));
  EXPECT_EQ(merged.users(0).psk(), "a secret of ken");
  EXPECT_EQ(merged.users(1).nt_hash(), before.users(0).nt_hash());
  sent.mutable_users(0)->set_name("somebody new");
  const Refusal refusal = merge_tenant(before, sent, kEverything, merged);
  EXPECT_EQ(refusal.path, "document.users[0].psk") << "the secret of another is not given to a new name";
}

TEST(DocumentJson, ARoleSeesAndChangesItsPartsAndNoOther) {
  model::Tenant before = tenant();
  before.add_log_exports()->set_name("siem");
  EXPECT_EQ(visible_part(before, role(Role::kAdmin)).log_exports_size(), 1);
  const model::Tenant seen = visible_part(before, role(Role::kLog));
  EXPECT_EQ(seen.log_exports_size(), 0) << "who searches records is not told who else gets them";
  EXPECT_EQ(seen.policies_size() + seen.users_size() + seen.zones_size(), 0);
  EXPECT_EQ(seen.name(), "acme");
  model::Tenant sent = visible_part(before, role(Role::kRule));
  sent.mutable_policies(0)->mutable_rules(0)->set_action(model::Rule::DROP);
  model::Tenant merged;
  ASSERT_FALSE(merge_tenant(before, sent, role(Role::kRule), merged));
  EXPECT_EQ(merged.policies(0).rules(0).action(), model::Rule::DROP);
  EXPECT_EQ(merged.users_size(), 2);
  sent.add_zones("dmz");
  const Refusal zones = merge_tenant(before, sent, role(Role::kRule), merged);
  EXPECT_EQ(zones.status, 403U);
  EXPECT_EQ(zones.path, "document.zones");
  EXPECT_EQ(merge_tenant(before, sent, role(Role::kRead), merged).status, 403U);
}

TEST(DocumentJson, TheProviderSeesNothingOfATenantsOwnAndTakesNothingAway) {
  model::Configuration whole;
  *whole.add_tenants() = tenant();
  const May may = [](api::Action action) {
    return grant_of(Role::kPlatform, action) == Grant::kYes || action == api::CONTRACT_VIEW;
  };
  model::Configuration seen = platform_part(whole, may);
  EXPECT_EQ(seen.tenants(0).policies_size() + seen.tenants(0).users_size() + seen.tenants(0).addresses_size(), 0);
  EXPECT_EQ(seen.tenants(0).zones_size(), 2);
  seen.mutable_tenants(0)->add_zones("dmz");
  seen.add_tenants()->set_service_code("new00000001");
  model::Configuration merged;
  ASSERT_FALSE(merge_platform(whole, seen, may, merged));
  EXPECT_EQ(merged.tenants_size(), 2);
  EXPECT_EQ(merged.tenants(0).zones_size(), 3);
  EXPECT_EQ(merged.tenants(0).policies_size(), 1);
  seen.mutable_tenants()->DeleteSubrange(0, 1);
  EXPECT_EQ(merge_platform(whole, seen, may, merged).status, 422U);
}

TEST(SealedSecrets, OpenAgainByTheirPassphraseForTheirTenantAlone) {
  const model::Tenant before = tenant();
  model::Tenant sealed = before;
  ASSERT_TRUE(seal_secrets(sealed, "a long passphrase", "acm00000001"));
  EXPECT_EQ(sealed.DebugString().find("a secret of ken"), std::string::npos);
  model::Tenant again = before;
  ASSERT_TRUE(seal_secrets(again, "a long passphrase", "acm00000001"));
  EXPECT_EQ(sealed.SerializeAsString(), again.SerializeAsString()) << "two exports of one document are the same bytes";
  EXPECT_TRUE(unseal_secrets(again, "a long passphrase", "acm00000001"));
  EXPECT_EQ(again.SerializeAsString(), before.SerializeAsString());
  model::Tenant wrong = sealed;
  EXPECT_FALSE(unseal_secrets(wrong, "another passphrase", "acm00000001"));
  wrong = sealed;
  EXPECT_FALSE(unseal_secrets(wrong, "a long passphrase", "glx00000001"));
  wrong = sealed;
  std::string& text = *wrong.mutable_users(1)->mutable_psk();
  text[12] = text[12] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(unseal_secrets(wrong, "a long passphrase", "acm00000001"));
}

}  // namespace
}  // namespace sekisho::control
