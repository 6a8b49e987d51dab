// SPDX-License-Identifier: Apache-2.0
// Accounts of tenants and of the provider, consents, and what people did.
#include <google/protobuf/text_format.h>

#include <algorithm>

#include "control/api/acts.h"
#include "control/config/text.h"

namespace sekisho::control {
namespace {

template <typename Message>
void answer(const CallPtr& call, const std::variant<Message, Refusal>& outcome) {
  const auto* refusal = std::get_if<Refusal>(&outcome);
  refusal != nullptr ? call->refuse(*refusal) : call->reply(std::get<Message>(outcome));
}

void answer(const CallPtr& call, const Refusal& refusal) {
  refusal ? call->refuse(refusal) : call->reply(api::Nothing());
}

void add_staff(const CallPtr& call, ApiWorld& world) {
  const auto& request = call->request<api::StaffRequest>();
  call->about = request.id();
  if (request.tenant_owner().empty()) return answer(call, world.people.add("", request.id(), request.account(), call->who.account));
  if (world.in_force().tenant(request.tenant_owner()) == nullptr)
    return call->refuse(invalid("tenant_owner", "there is no such tenant"));
  if (world.people.accounts(request.tenant_owner()).accounts_size() > 0)
    return call->refuse(conflict("the tenant has accounts: its owner makes further ones"));
  api::Account owner = request.account();
  owner.set_role("owner");
  answer(call, world.people.add(request.tenant_owner(), request.id(), owner, call->who.account));
}

/// "role: admin" for each field that is set, in whatever it holds.
void add_lines(const google::protobuf::Message& message, const std::string& path, std::vector<std::string>& out) {
  constexpr std::size_t kSideCharactersMax = 120;
  const auto& reflection = *message.GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const auto* field : fields) {
    if (path.empty() && field->name() == "tenant") continue;
    const std::string here = path.empty() ? field->name() : path + '.' + field->name();
    for (int i = 0; i < (field->is_repeated() ? reflection.FieldSize(message, field) : 1); ++i) {
      if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE && !field->is_repeated()) {
        add_lines(reflection.GetMessage(message, field), here, out);
        continue;
      }
      std::string text;
      google::protobuf::TextFormat::PrintFieldValueToString(message, field, field->is_repeated() ? i : -1, &text);
      out.push_back(here + ": " + std::string(cut_characters(text, kSideCharactersMax)));
    }
  }
}

/// An account as a request would have to give it for nothing to change.
api::Account given(const People& people, const std::string& tenant, const std::string& id) {
  const api::AccountList all = people.accounts(tenant);
  const auto at = std::find_if(all.accounts().begin(), all.accounts().end(), [&](const auto& one) { return one.id() == id; });
  api::Account out;
  if (at == all.accounts().end()) return out;
  out.set_role(at->role());
  out.set_display_name(at->display_name());
  out.set_mail(at->mail());
  *out.mutable_sources() = at->sources();
  *out.mutable_certificates() = at->certificates();
  out.set_valid_until(at->valid_until());
  out.set_disabled(at->disabled());
  return out;
}

}  // namespace

void preview_act(const Call& call, ApiWorld& world, Preview& out) {
  if (call.method().name() == "ChangeAccount") {
    const auto& request = call.request<api::AccountRequest>();
    std::vector<std::string> before;
    std::vector<std::string> after;
    add_lines(given(world.people, call.tenant, request.id()), request.id(), before);
    add_lines(request.account(), request.id(), after);
    const auto add_others = [&out](const std::vector<std::string>& of, const std::vector<std::string>& than, const char* word) {
      for (const std::string& line : of) {
        if (std::find(than.begin(), than.end(), line) == than.end()) out.changes.push_back(word + line);
      }
    };
    add_others(before, after, "removed ");
    add_others(after, before, "added ");
    return;
  }
  add_lines(call.message(), "", out.changes);
}

void add_account_methods(Handlers& out, ApiWorld& world) {
  out["ListAccounts"] = [&world](const CallPtr& call) { call->reply(world.people.accounts(call->tenant)); };
  out["AddAccount"] = [&world](const CallPtr& call) {
    const auto& request = call->request<api::AccountRequest>();
    call->about = request.id();
    answer(call, world.people.add(call->tenant, request.id(), request.account(), call->who.account));
  };
  out["ChangeAccount"] = [&world](const CallPtr& call) {
    const auto& request = call->request<api::AccountRequest>();
    call->about = request.id();
    answer(call, world.people.change(call->tenant, request.id(), request.account(), call->who));
  };
  const auto each = [&out, &world](const char* name, auto act) {
    out[name] = [&world, act](const CallPtr& call) {
      call->about = call->request<api::AccountId>().id();
      answer(call, act(world.people, call->tenant, call->request<api::AccountId>().id(), call->who.account));
    };
  };
  const auto each_of_staff = [&out, &world](const char* name, auto act) {
    out[name] = [&world, act](const CallPtr& call) {
      call->about = call->request<api::StaffId>().id();
      answer(call, act(world.people, std::string(), call->request<api::StaffId>().id(), call->who.account));
    };
  };
  const auto remove = [](People& people, const std::string& tenant, const std::string& id, const std::string&) {
    return people.remove(tenant, id);
  };
  const auto reissue = [](People& people, const std::string& tenant, const std::string& id, const std::string& by) {
    return people.reissue(tenant, id, false, by);
  };
  const auto unlock = [](People& people, const std::string& tenant, const std::string& id, const std::string&) {
    return people.unlock(tenant, id);
  };
  each("RemoveAccount", remove);
  each("ReissueAccount", reissue);
  each("UnlockAccount", unlock);
  out["ListStaff"] = [&world](const CallPtr& call) { call->reply(world.people.accounts("")); };
  out["AddStaff"] = [&world](const CallPtr& call) { add_staff(call, world); };
  each_of_staff("RemoveStaff", remove);
  each_of_staff("ReissueStaff", reissue);
  each_of_staff("UnlockStaff", unlock);
  out["ListConsents"] = [&world](const CallPtr& call) { call->reply(world.people.consents(call->tenant)); };
  out["GrantConsent"] = [&world](const CallPtr& call) {
    const auto& request = call->request<api::ConsentRequest>();
    call->about = request.ticket();
    answer(call, world.people.grant(call->who, request));
  };
  out["EndConsent"] = [&world](const CallPtr& call) {
    call->about = call->request<api::ConsentId>().id();
    answer(call, world.people.end_consent(call->tenant, call->request<api::ConsentId>().id()));
  };
  out["ListAudit"] = [&world](const CallPtr& call) {
    const auto& request = call->request<api::AuditRequest>();
    list_acts(call, world, call->tenant, request.limit(), request.before());
  };
  out["ListPlatformAudit"] = [&world](const CallPtr& call) {
    const auto& request = call->request<api::PlatformAuditRequest>();
    list_acts(call, world, std::string(kProviderStream), request.limit(), request.before());
  };
}

}  // namespace sekisho::control
