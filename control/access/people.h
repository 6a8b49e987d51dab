// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/net/address.h"
#include "base/proto/access.pb.h"
#include "base/proto/api.pb.h"
#include "base/proto/model.pb.h"
#include "control/access/refusal.h"
#include "control/access/roles.h"
#include "control/config/store.h"

namespace sekisho::control {

/// Who asks.
struct Principal {
  std::string account;
  Role role = Role::kRead;
  std::string tenant;  ///< whose account it is; empty: the provider's
  std::string must;    ///< what this session has to do before anything else: "password", "totp"; empty: nothing
  std::string csrf;
  Address source;
  std::string certificate = {};  ///< SHA-256 of the one its connection has shown; empty: none
  std::string vpn_user = {};     ///< of role self: the remote user it is
  bool program = false;          ///< by a key or a certificate: nobody is there to read or to decide
};

/// Whether somebody may do something for a tenant, and by whose leave.
struct Permit {
  bool allowed = false;
  std::string consent;  ///< the one it rests on; empty: none is needed
};

/// Accounts, sign-ins, sessions and consents. Accounts and consents are in the store before a call returns; so are
/// sessions, by the SHA-256 of their tokens: they outlive the daemon, not the machine's boot (their ends are told by a clock
/// that only rises), and what was asked last is noted once a minute. An attempt that was refused is counted before it is answered, so that
/// no crash gives another one. Unknown, locked and disabled accounts, wrong passwords and wrong codes are refused in
/// the same words and the same time. Thread: one.
class People {
 public:
  /// Why a login failed that came from where the account, or its tenant, allows none.
  static constexpr const char* kSourceDenied = "not from this source";

  struct Environment {
    std::function<std::int64_t()> now;     ///< Unix seconds
    std::function<std::int64_t()> steady;  ///< seconds that only rise: what sessions live by
    std::string boot;                      ///< while which `steady` rises: another one, and old sessions are none
    /// Does `work` somewhere else, then `then` here. False: too much waits already, and neither is called.
    std::function<bool(std::function<void()> work, std::function<void()> then)> elsewhere;
    /// The rules of the configuration in force; tenant: nothing when there is no such tenant.
    std::function<model::SignIn()> rules;
    std::function<std::optional<model::TenantSignIn>(const std::string& tenant)> tenant_rules;
    /// Somebody came in or was refused: account, source, "login", "login_fail", "lock", "logout", "new_source"
    /// beside a login from a network it never came from, and why.
    std::function<void(const std::string& account, const Address& source, std::string_view operation,
                       const std::string& detail)>
        tell;
  };
  static constexpr std::size_t kSessionsOfAccountMax = 16;
  static constexpr std::size_t kAccountsMax = 20'000;
  static constexpr std::int64_t kLinkSeconds = 72 * 3600;
  static constexpr std::int64_t kFailureWindowSeconds = 15 * 60;
  static constexpr std::int64_t kLinkMakerSeconds = 30 * 86'400;  ///< so long who gave out an account's link is no second person
  static constexpr std::size_t kKnownSourcesMax = 32;
  static constexpr std::int64_t kConsentSecondsMax = 4 * 3600;
  static constexpr int kAttemptsPerMinute = 20;  ///< of one source (an IPv6 /64 is one)

  People(Store& store, Environment environment);
  /// Reads what is kept, also again: all sessions end then.
  Result<void> load();

  /// A session that has begun.
  struct SignedIn {
    std::string token;
    Principal who;
  };
  using SignInDone = std::function<void(std::variant<SignedIn, Refusal>)>;
  /// certificate: SHA-256 of what the client's connection has shown; an account may ask for it.
  void sign_in(const api::LoginRequest& request, const Address& source, SignInDone done,
               const std::string& certificate = {});
  std::variant<SignedIn, Refusal> sign_in_by_link(const std::string& link, const Address& source,
                                                  const std::string& certificate = {});
  /// Whose token it is. live: keeps no session from its idle end.
  std::optional<Principal> find(const std::string& token, const Address& source, bool live,
                                const std::string& certificate = {});
  void sign_out(const std::string& token);
  [[nodiscard]] api::Me describe(const Principal& who, const std::string& token);
  [[nodiscard]] api::LoginSessionList sessions_of(const std::string& account, const std::string& token);
  /// All but `token`'s; 5 s are allowed for that, it is at once.
  void end_sessions(const std::string& account, const std::string& but_token = {});
  /// Of everybody: who has accounts is about to be another matter.
  void end_all_sessions();

  void set_password(const Principal& who, const std::string& token, const api::SetPasswordRequest& request,
                    std::function<void(Refusal)> done);
  std::variant<api::TotpSecret, Refusal> begin_totp(const std::string& token);
  Refusal confirm_totp(const std::string& token, const std::string& code);

  /// The permission matrix, the tenant's own accounts and consents together.
  [[nodiscard]] Permit may(const Principal& who, api::Action action, const std::string& tenant);
  /// Notes that a consent was used.
  void use_consent(const std::string& id);

  // Accounts of one tenant, or of the provider (tenant empty). What would leave a tenant without an owner who can sign
  // in, or the provider without p-sec, is refused. by: the account that gets the link to read; empty: the unit's own user.
  [[nodiscard]] api::AccountList accounts(const std::string& tenant) const;
  std::variant<api::Invitation, Refusal> add(const std::string& tenant, const std::string& id,
                                             const api::Account& account, const std::string& by = {});
  std::variant<api::Account, Refusal> change(const std::string& tenant, const std::string& id,
                                             const api::Account& account, const Principal& who);
  Refusal remove(const std::string& tenant, const std::string& id);
  std::variant<api::Invitation, Refusal> reissue(const std::string& tenant, const std::string& id,
                                                 bool rescue = false, const std::string& by = {});
  std::variant<api::Account, Refusal> unlock(const std::string& tenant, const std::string& id);

  /// Mail addresses of whose role lets them do that for their tenant; of the provider's people those who run the unit.
  [[nodiscard]] std::vector<std::string> managers(const std::string& tenant, api::Action action) const;
  /// Who may stand behind an account: the first of those who gave out its link, the link of who gave that one out, and so
  /// on, within kLinkMakerSeconds each; itself, when nobody did. Two accounts behind which the same one stands may be one person.
  [[nodiscard]] std::string behind(const std::string& id) const;
  /// Whether an account that another than `but` stands behind may do an action for `tenant` (empty: for the provider) and
  /// could sign in.
  [[nodiscard]] bool another_may(api::Action action, const std::string& tenant, const std::string& but) const;
  /// The role an account has now; nothing when it may not sign in any more.
  [[nodiscard]] std::optional<Role> role_now(const std::string& id) const;

  /// Accounts that end some day, and when: those that may still sign in.
  [[nodiscard]] std::vector<std::pair<std::string, std::int64_t>> ends() const;

  [[nodiscard]] api::ConsentList consents(const std::string& tenant) const;
  std::variant<api::Consent, Refusal> grant(const Principal& who, const api::ConsentRequest& request);
  Refusal end_consent(const std::string& tenant, const std::string& id);
  /// Tenants that let support in now.
  [[nodiscard]] std::vector<std::string> consenting() const;

  /// Takes away all accounts, sessions and consents of a tenant.
  Result<void> erase_tenant(const std::string& tenant);

 private:
  struct Session {
    std::string account;
    Address source;
    std::int64_t begun = 0;  ///< steady seconds, here and below
    std::int64_t last = 0;
    std::int64_t begun_unix = 0;
    std::int64_t last_unix = 0;
    std::string csrf;
    bool by_link = false;  ///< may set a password without the old one
    std::int64_t before_login =
        0;  ///< of the account when the session began: who reads it can tell that somebody else was here
    std::string before_source;
    std::uint32_t before_failures = 0;
    std::string totp_offered;  ///< secret, until its first code; in memory alone
    int totp_tries = 0;
    std::int64_t noted = 0;  ///< `last` as the store has it
  };
  using Sessions = std::map<std::string, Session>;
  access::StoredAccount* account(const std::string& id);
  [[nodiscard]] const access::StoredAccount* account(const std::string& id) const;
  access::StoredAccount* account_of(const std::string& tenant, const std::string& id);
  Result<void> save(const access::StoredAccount& account);
  Session* session(const std::string& token);
  Result<void> load_sessions();
  Result<void> note(const std::string& key, Session& session);
  Sessions::iterator forget(Sessions::iterator at);
  void forget_if(const std::function<bool(const std::string& key, const Session& session)>& which);
  [[nodiscard]] bool is_usable(const access::StoredAccount& account) const;
  [[nodiscard]] bool may_enter(const access::StoredAccount& account, const Address& source) const;
  [[nodiscard]] bool is_locked(const access::StoredAccount& account, const Address& source) const;
  [[nodiscard]] bool is_last_administrator(const access::StoredAccount& account) const;
  [[nodiscard]] bool needs_totp(const access::StoredAccount& account) const;
  [[nodiscard]] std::string must(const access::StoredAccount& account) const;
  bool throttle(const Address& source);
  Refusal note_failure(access::StoredAccount& account, const Address& source);
  std::variant<SignedIn, Refusal> judge(const api::LoginRequest& request, const Address& source, bool password_right,
                                        const std::string& hash, const std::string& certificate);
  std::variant<SignedIn, Refusal> begin_session(access::StoredAccount& account, const Address& source, bool by_link);
  Principal principal(const access::StoredAccount& account, const Session& session) const;
  std::variant<api::Invitation, Refusal> invite(access::StoredAccount& account, const std::string& by);
  Refusal set_fields(access::StoredAccount& out, const std::string& tenant, const api::Account& account) const;
  [[nodiscard]] api::Account shown(const access::StoredAccount& account) const;

  Store& store_;
  Environment environment_;
  std::map<std::string, access::StoredAccount> accounts_;
  std::map<std::string, access::StoredConsent> consents_;
  Sessions sessions_;                                         ///< by SHA-256 of the token
  std::map<std::string, std::deque<std::int64_t>> attempts_;  ///< by source
};

}  // namespace sekisho::control
