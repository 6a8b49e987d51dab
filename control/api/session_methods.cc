// SPDX-License-Identifier: Apache-2.0
// One's own account: signing in, secrets, sessions.
#include "control/api/call.h"

namespace sekisho::control {
namespace {

constexpr const char* kProduct = "Sekisho";

void answer_sign_in(const CallPtr& call, ApiWorld& world, const std::variant<People::SignedIn, Refusal>& outcome) {
  if (const auto* refusal = std::get_if<Refusal>(&outcome)) return call->refuse(*refusal);
  const auto& signed_in = std::get<People::SignedIn>(outcome);
  api::LoginReply reply;
  *reply.mutable_me() = world.people.describe(signed_in.who, signed_in.token);
  reply.set_csrf(signed_in.who.csrf);
  ControlAnswer out;
  auto& body = *out.message.mutable_api_answer();
  body.set_status(200);
  body.set_reply(reply.SerializeAsString());
  body.set_set_token(signed_in.token);
  call->send(std::move(out));
}

void reply_me(const CallPtr& call, ApiWorld& world) {
  const auto who = world.people.find(call->asked().token(), call->who.source, true, call->who.certificate);
  if (!who) return call->refuse(not_signed_in());
  call->reply(world.people.describe(*who, call->asked().token()));
}

void banner(const CallPtr& call, ApiWorld& world) {
  const InForce now = world.in_force();
  const model::SignIn rules = now.model == nullptr ? model::SignIn() : now.model->sign_in();
  api::Banner out;
  out.set_text(rules.banner());
  out.set_product(kProduct);
  out.set_password_rule(std::to_string(rules.password_characters_min()) + ' ' +
                        std::to_string(rules.password_classes_min()));
  call->reply(out);
}

void logout(const CallPtr& call, ApiWorld& world) {
  world.people.sign_out(call->asked().token());
  ControlAnswer out;
  out.message.mutable_api_answer()->set_status(200);
  out.message.mutable_api_answer()->set_clear_token(true);
  call->send(std::move(out));
}

}  // namespace

void add_session_methods(Handlers& out, ApiWorld& world) {
  out["GetBanner"] = [&world](const CallPtr& call) { banner(call, world); };
  out["Login"] = [&world](const CallPtr& call) {
    world.people.sign_in(call->request<api::LoginRequest>(), call->who.source,
                         [call, &world](const std::variant<People::SignedIn, Refusal>& outcome) {
                           answer_sign_in(call, world, outcome);
                         },
                         call->who.certificate);
  };
  out["LoginByLink"] = [&world](const CallPtr& call) {
    answer_sign_in(call, world,
                   world.people.sign_in_by_link(call->request<api::LinkRequest>().link(), call->who.source,
                                                call->who.certificate));
  };
  out["Logout"] = [&world](const CallPtr& call) { logout(call, world); };
  out["WhoAmI"] = [&world](const CallPtr& call) { reply_me(call, world); };
  out["SetPassword"] = [&world](const CallPtr& call) {
    world.people.set_password(
        call->who, call->asked().token(), call->request<api::SetPasswordRequest>(),
        [call, &world](const Refusal& refusal) { refusal ? call->refuse(refusal) : reply_me(call, world); });
  };
  out["BeginTotp"] = [&world](const CallPtr& call) {
    const auto made = world.people.begin_totp(call->asked().token());
    const auto* refusal = std::get_if<Refusal>(&made);
    refusal != nullptr ? call->refuse(*refusal) : call->reply(std::get<api::TotpSecret>(made));
  };
  out["ConfirmTotp"] = [&world](const CallPtr& call) {
    const Refusal refusal =
        world.people.confirm_totp(call->asked().token(), call->request<api::ConfirmTotpRequest>().code());
    refusal ? call->refuse(refusal) : reply_me(call, world);
  };
  out["ListMySessions"] = [&world](const CallPtr& call) {
    call->reply(world.people.sessions_of(call->who.account, call->asked().token()));
  };
  out["EndMySessions"] = [&world](const CallPtr& call) {
    world.people.end_sessions(call->who.account, call->asked().token());
    call->reply(api::Nothing());
  };
}

}  // namespace sekisho::control
