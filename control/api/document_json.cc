// SPDX-License-Identifier: Apache-2.0
#include "control/api/document_json.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <unordered_map>

namespace sekisho::control {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Struct;
using google::protobuf::Value;

struct Part {
  std::string_view field;
  api::Action see;
  api::Action change;
};

/// Every field of Tenant; tests/unit/control/api looks that none is missing. A missing one can neither be seen nor
/// changed.
constexpr std::array kParts{
    Part{"service_code", api::CONTRACT_VIEW, api::BINDINGS_ASSIGN},
    Part{"name", api::CONTRACT_VIEW, api::BINDINGS_ASSIGN},
    Part{"sign_in", api::CONTRACT_VIEW, api::ACCOUNTS_MANAGE},
    Part{"sessions_max", api::BINDINGS_VIEW, api::BINDINGS_ASSIGN},
    Part{"quotas", api::BINDINGS_VIEW, api::BINDINGS_ASSIGN},
    Part{"metrics", api::BINDINGS_VIEW, api::BINDINGS_ASSIGN},
    Part{"zones", api::BINDINGS_VIEW, api::BINDINGS_ASSIGN},
    Part{"ports", api::BINDINGS_VIEW, api::BINDINGS_ASSIGN},
    Part{"bindings", api::BINDINGS_VIEW, api::BINDINGS_ASSIGN},
    Part{"routes", api::BINDINGS_VIEW, api::BINDINGS_ASSIGN},
    Part{"default_log", api::RULES_VIEW, api::RULES_EDIT},
    Part{"addresses", api::RULES_VIEW, api::RULES_EDIT},
    Part{"address_groups", api::RULES_VIEW, api::RULES_EDIT},
    Part{"services", api::RULES_VIEW, api::RULES_EDIT},
    Part{"service_groups", api::RULES_VIEW, api::RULES_EDIT},
    Part{"schedules", api::RULES_VIEW, api::RULES_EDIT},
    Part{"policies", api::RULES_VIEW, api::RULES_EDIT},
    Part{"nat", api::RULES_VIEW, api::RULES_EDIT},
    Part{"user_groups", api::USERS_VIEW, api::USERS_EDIT},
    Part{"users", api::USERS_VIEW, api::USERS_EDIT},
    Part{"countries", api::USERS_VIEW, api::USERS_EDIT},
    Part{"devices", api::USERS_VIEW, api::USERS_EDIT},
    Part{"device_policies", api::USERS_VIEW, api::USERS_EDIT},
    Part{"gateways", api::USERS_VIEW, api::ACCESS_EDIT},
    Part{"pools", api::USERS_VIEW, api::ACCESS_EDIT},
    Part{"radius", api::USERS_VIEW, api::ACCESS_EDIT},
    Part{"log_exports", api::LOG_EXPORTS, api::LOG_EXPORTS},
    Part{"remote_sessions_max", api::USERS_VIEW, api::ACCESS_EDIT},
    Part{"notifications", api::ACCESS_EDIT, api::ACCESS_EDIT},
};

const Part* part_of(const FieldDescriptor& field) {
  const auto* at =
      std::find_if(kParts.begin(), kParts.end(), [&](const Part& part) { return part.field == field.name(); });
  return at == kParts.end() ? nullptr : &*at;
}

Value to_value(const Message& message, const FieldDescriptor& field, int index) {
  const auto* reflection = message.GetReflection();
  const bool list = index >= 0;
  Value out;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT32:
      out.set_number_value(list ? reflection->GetRepeatedUInt32(message, &field, index)
                                : reflection->GetUInt32(message, &field));
      return out;
    case FieldDescriptor::CPPTYPE_BOOL:
      out.set_bool_value(list ? reflection->GetRepeatedBool(message, &field, index)
                              : reflection->GetBool(message, &field));
      return out;
    case FieldDescriptor::CPPTYPE_ENUM:
      out.set_string_value(enum_text(list ? *reflection->GetRepeatedEnum(message, &field, index)
                                          : *reflection->GetEnum(message, &field)));
      return out;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      *out.mutable_struct_value() = to_struct(list ? reflection->GetRepeatedMessage(message, &field, index)
                                                   : reflection->GetMessage(message, &field));
      return out;
    case FieldDescriptor::CPPTYPE_STRING:
      out.set_string_value(list ? reflection->GetRepeatedString(message, &field, index)
                                : reflection->GetString(message, &field));
      if (field.options().GetExtension(model::secret)) out.set_string_value(std::string(kMasked));
      return out;
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT64:
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT:
      break;  // the model has none
  }
  return out;
}

/// JSON is YAML, so the document's own reader takes it, with all it refuses.
Decoded read(const std::string& before, const Struct& document, const std::string& after) {
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(document, &json).ok()) json = "{}";
  return decode_document(before + json + after);
}

/// Which element of a list an element of another is: by the key of its type (the first that has it), or by its place.
/// Lists have a hundred thousand elements: they are indexed once.
class Counterparts {
 public:
  Counterparts(const Message* old_owner, const FieldDescriptor& field) : owner_(old_owner), field_(field) {
    const std::string& key = field.message_type()->options().GetExtension(model::key);
    if (owner_ == nullptr || key.empty()) return;
    name_ = field.message_type()->FindFieldByName(key);
    for (int i = 0; i < owner_->GetReflection()->FieldSize(*owner_, &field_); ++i) {
      const Message& other = owner_->GetReflection()->GetRepeatedMessage(*owner_, &field_, i);
      by_key_.try_emplace(other.GetReflection()->GetString(other, name_), &other);
    }
  }
  [[nodiscard]] const Message* of(const Message& element, int index) const {
    if (owner_ == nullptr) return nullptr;
    const auto* reflection = owner_->GetReflection();
    if (name_ == nullptr)
      return index < reflection->FieldSize(*owner_, &field_) ? &reflection->GetRepeatedMessage(*owner_, &field_, index)
                                                             : nullptr;
    const auto at = by_key_.find(element.GetReflection()->GetString(element, name_));
    return at == by_key_.end() ? nullptr : at->second;
  }

 private:
  const Message* owner_;
  const FieldDescriptor& field_;
  const FieldDescriptor* name_ = nullptr;
  std::unordered_map<std::string, const Message*> by_key_;
};

/// Puts the secrets of `old` (which may be null) where `sent` holds kMasked. Returns the path of one that stands for
/// nothing, or nothing.
std::string restore_secrets(Message& sent, const Message* old, const std::string& path) {
  const auto* reflection = sent.GetReflection();
  for (int f = 0; f < sent.GetDescriptor()->field_count(); ++f) {
    const FieldDescriptor& field = *sent.GetDescriptor()->field(f);
    const bool secret = field.options().GetExtension(model::secret);
    if (!secret && field.message_type() == nullptr) continue;
    const int count = field.is_repeated()                  ? reflection->FieldSize(sent, &field)
                      : reflection->HasField(sent, &field) ? 1
                                                           : 0;
    std::optional<Counterparts> counterparts;
    if (!secret && field.is_repeated() && count > 0) counterparts.emplace(old, field);
    for (int i = 0; i < count; ++i) {
      const std::string here =
          (path.empty() ? "" : path + '.') + field.name() + (field.is_repeated() ? '[' + std::to_string(i) + ']' : "");
      if (secret) {
        const std::string& value =
            field.is_repeated() ? reflection->GetRepeatedString(sent, &field, i) : reflection->GetString(sent, &field);
        if (value != kMasked) continue;
        const auto* from = old == nullptr ? nullptr : old->GetReflection();
        const int held = old == nullptr                 ? 0
                         : field.is_repeated()          ? from->FieldSize(*old, &field)
                         : from->HasField(*old, &field) ? 1
                                                        : 0;
        if (i >= held) return here;
        if (field.is_repeated()) {
          reflection->SetRepeatedString(&sent, &field, i, from->GetRepeatedString(*old, &field, i));
        } else {
          reflection->SetString(&sent, &field, from->GetString(*old, &field));
        }
        continue;
      }
      Message& child = field.is_repeated() ? *reflection->MutableRepeatedMessage(&sent, &field, i)
                                           : *reflection->MutableMessage(&sent, &field);
      const Message* before = nullptr;
      if (counterparts) before = counterparts->of(child, i);
      if (old != nullptr && !field.is_repeated() && old->GetReflection()->HasField(*old, &field))
        before = &old->GetReflection()->GetMessage(*old, &field);
      if (std::string bad = restore_secrets(child, before, here); !bad.empty()) return bad;
    }
  }
  return {};
}

/// One field of a tenant as canonical text: two that mean the same are the same.
std::string text_of(const model::Tenant& tenant, const FieldDescriptor& field) {
  model::Configuration holder;
  model::Tenant copy = tenant;
  copy.GetReflection()->SwapFields(&copy, holder.add_tenants(), {&field});
  return encode_document(holder);
}

bool is_there(const Message& message, const FieldDescriptor& field) {
  return field.is_repeated() ? message.GetReflection()->FieldSize(message, &field) > 0
                             : message.GetReflection()->HasField(message, &field);
}

}  // namespace

Struct to_struct(const Message& message) {
  Struct out;
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *message.GetDescriptor()->field(i);
    if (is_default(message, field)) continue;
    Value& value = (*out.mutable_fields())[field.name()];
    if (!field.is_repeated()) {
      value = to_value(message, field, -1);
      continue;
    }
    auto& list = *value.mutable_list_value();
    for (int k = 0; k < message.GetReflection()->FieldSize(message, &field); ++k)
      *list.add_values() = to_value(message, field, k);
  }
  return out;
}

Decoded read_tenant(const Struct& document) {
  Decoded out = read(R"({"tenants": [)", document, "]}");
  constexpr std::string_view kThere = "tenants[0]";
  for (Finding& finding : out.findings) {
    if (finding.path.starts_with(kThere)) finding.path = "document" + finding.path.substr(kThere.size());
  }
  return out;
}

Decoded read_document(const Struct& document) {
  Decoded out = read("", document, "");
  for (Finding& finding : out.findings) finding.path = finding.path.empty() ? "document" : "document." + finding.path;
  return out;
}

model::Tenant visible_part(const model::Tenant& tenant, const May& may) {
  model::Tenant out = tenant;
  for (int i = 0; i < out.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *out.GetDescriptor()->field(i);
    const Part* part = part_of(field);
    if (part == nullptr || !may(part->see)) out.GetReflection()->ClearField(&out, &field);
  }
  return out;
}

std::vector<std::string> editable_parts(const May& may) {
  std::vector<std::string> out;
  for (const Part& part : kParts) {
    if (may(part.see) && may(part.change)) out.emplace_back(part.field);
  }
  return out;
}

std::optional<api::Action> action_to_change(std::string_view part) {
  const auto* at = std::find_if(kParts.begin(), kParts.end(), [&](const Part& one) { return one.field == part; });
  return at == kParts.end() ? std::nullopt : std::optional(at->change);
}

Refusal merge_tenant(const model::Tenant& running, model::Tenant sent, const May& may, model::Tenant& out) {
  if (const std::string bad = restore_secrets(sent, &running, "document"); !bad.empty()) {
    return invalid(bad, "\"(set)\" stands for a secret that is not there: an element with another name is a new one");
  }
  out = running;
  for (int i = 0; i < out.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *out.GetDescriptor()->field(i);
    const Part* part = part_of(field);
    const bool seen = part != nullptr && may(part->see);
    if (!seen && !is_there(sent, field)) continue;
    if (text_of(running, field) == text_of(sent, field)) continue;
    if (!seen || !may(part->change)) {
      Refusal refusal = denied("your role may not change this part");
      refusal.path = "document." + field.name();
      return refusal;
    }
    out.GetReflection()->SwapFields(&out, &sent, {&field});
  }
  return {};
}

model::Configuration platform_part(const model::Configuration& whole, const May& may) {
  model::Configuration out = whole;
  for (auto& tenant : *out.mutable_tenants()) tenant = visible_part(tenant, may);
  return out;
}

Refusal merge_platform(const model::Configuration& running, model::Configuration sent, const May& may,
                       model::Configuration& out) {
  std::map<std::string, const model::Tenant*> before;
  for (const auto& tenant : running.tenants()) before[tenant.service_code()] = &tenant;
  const model::Tenant nobody;
  for (int i = 0; i < sent.tenants_size(); ++i) {
    const auto at = before.find(sent.tenants(i).service_code());
    const model::Tenant& old = at == before.end() ? nobody : *at->second;
    model::Tenant merged;
    Refusal refusal = merge_tenant(old, sent.tenants(i), may, merged);
    if (refusal) {
      refusal.path =
          "document.tenants[" + std::to_string(i) + ']' + refusal.path.substr(std::string_view("document").size());
      return refusal;
    }
    *sent.mutable_tenants(i) = std::move(merged);
    if (at != before.end()) before.erase(at);
  }
  if (sent.has_notify()) {
    const std::string bad =
        restore_secrets(*sent.mutable_notify(), running.has_notify() ? &running.notify() : nullptr, "document.notify");
    if (!bad.empty()) return invalid(bad, "\"(set)\" stands for a secret that is not there");
  }
  if (sent.has_log_exports()) {
    const std::string bad = restore_secrets(*sent.mutable_log_exports(), running.has_log_exports() ? &running.log_exports() : nullptr,
                                            "document.log_exports");
    if (!bad.empty()) return invalid(bad, "\"(set)\" stands for a secret that is not there");
  }
  if (!before.empty())
    return invalid("document.tenants",
                   "the tenant " + before.begin()->first + " is missing: tenants go by their erasure");
  out = std::move(sent);
  return {};
}

}  // namespace sekisho::control
