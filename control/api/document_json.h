// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/struct.pb.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/proto/api.pb.h"
#include "base/proto/model.pb.h"
#include "control/access/refusal.h"
#include "control/config/codec.h"

/// The document as the API carries it, and which of its parts who may see and change.
namespace sekisho::control {

/// As encode_document() writes it, but JSON; secrets read kMasked.
google::protobuf::Struct to_struct(const google::protobuf::Message& message);

/// Reads `document` as one element of the document's list `tenants`. Findings' paths begin with "document".
Decoded read_tenant(const google::protobuf::Struct& document);
/// Reads it as the whole document.
Decoded read_document(const google::protobuf::Struct& document);

/// Whether somebody may do an action for the tenant in question.
using May = std::function<bool(api::Action)>;

/// What `may` may see of a tenant.
model::Tenant visible_part(const model::Tenant& tenant, const May& may);
/// Names of the parts `may` may change.
std::vector<std::string> editable_parts(const May& may);
/// What one has to be allowed to change a part (a field of a tenant); nothing for what is none.
std::optional<api::Action> action_to_change(std::string_view part);
/// `running` with what `sent` says in its place. Refused: a part that may be seen and differs, but may not be changed;
/// one that may not even be seen and is sent; a kMasked that stands for nothing.
Refusal merge_tenant(const model::Tenant& running, model::Tenant sent, const May& may, model::Tenant& out);

/// What the provider sees of the unit: no tenant's own part (`may` decides for each).
model::Configuration platform_part(const model::Configuration& whole, const May& may);
/// `running` with what `sent` says of the unit in its place. A tenant that is missing is refused: it goes by erasure.
Refusal merge_platform(const model::Configuration& running, model::Configuration sent, const May& may,
                       model::Configuration& out);

}  // namespace sekisho::control
