// SPDX-License-Identifier: Apache-2.0
#include "mgmt/cli/accounts.h"

#include "mgmt/cli/answer.h"
#include "mgmt/cli/control_client.h"
#include "mgmt/cli/text_table.h"

namespace sekisho::mgmt {

ExitStatus manage_accounts(Session& session, const AccountRequest& request) {
  ipc::ToControl question;
  auto& ask = *question.mutable_local_account();
  ask.set_what(request.what);
  ask.set_id(request.id);
  ask.set_role(request.role);
  const auto asked = ask_control(session.run_dir, std::move(question));
  if (const auto* error = std::get_if<ControlError>(&asked)) return fail(session, *error);
  const auto& answer = std::get<ControlAnswer>(asked).message;
  if (!answer.has_local_account_done()) return unexpected(session);
  const auto& done = answer.local_account_done();
  if (!done.error().empty()) return fail(session, {false, done.error()});
  if (request.what == ipc::LocalAccount::LIST) {
    session.out << (session.json ? render_table_json(done.accounts()) : render_table(done.accounts(), session.colour));
  } else if (session.json) {
    session.out << "{\"ok\":true,\"link\":\"" << done.link() << "\"}\n";
  } else if (!done.link().empty()) {
    session.out << "One-time link, good for 72 hours: behind the portal's address put /#/welcome/" << done.link() << "\n";
  } else {
    session.out << "Done.\n";
  }
  return ExitStatus::kOk;
}

}  // namespace sekisho::mgmt
