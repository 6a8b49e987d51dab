// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <unordered_map>

#include "vpn/incidents.h"
#include "vpn/leases.h"
#include "vpn/lockout.h"
#include "vpn/ports.h"
#include "vpn/tunnel_client.h"

namespace sekisho::ipc {
class LearnVpnFailures;
class VpnAnswer;
class VpnMemory;
}  // namespace sekisho::ipc

namespace sekisho::vpn {

/// Who may come in, with which secret and address, by the Plan in force; who is in, and who has to go. Any thread.
///
/// A session is known from authorize() to ended(). One that a daemon before left in the data plane is adopted under a number of the
/// owner's choice: it holds its addresses and obeys the Plan like the others.
class UserDirectory : public Directory {
 public:
  static constexpr std::size_t kIncidentsMax = 1024;
  /// Seconds since 1970 UTC.
  using Clock = std::function<std::int64_t()>;

  explicit UserDirectory(Clock clock) : clock_(std::move(clock)) {}

  /// From now on this Plan decides. Whoever it no longer lets in is among the next endings.
  void set_plan(std::shared_ptr<const Plan> plan);
  [[nodiscard]] std::shared_ptr<const Plan> plan() const;
  /// While the log's disk is full nobody new comes in by any door (F-64); who is in stays.
  void set_log_full(bool full) { log_full_ = full; }

  std::size_t nt_hash(const Path& path, std::string_view user, std::span<std::uint8_t> out) override;
  std::size_t psk(const Path& path, std::string_view peer, std::span<std::uint8_t> out) override;
  void wrong_secret(const Path& path, std::string_view user) override;
  std::size_t ppk(const Path& path, std::string_view ppk_id, std::span<std::uint8_t> out) override;
  Admission authorize(const Session& session) override;
  /// What authorize() would say now, and to whom, without letting him in. Whether his pool has an address left is not looked at.
  struct Outlook {
    Admission admission;
    std::vector<std::string> groups;  ///< all of his; none: he is not known
    std::string group, pool;          ///< the group that decides pool and limits
    bool permitted = false;           ///< some rule lets him reach something
  };
  [[nodiscard]] Outlook outlook(const Session& session) const;
  std::optional<Address> lease(const Session& session, Family family) override;
  void release(const Session& session, const Address& address) override;
  /// A session of another daemon has the address, or has it no longer. It counts as its user's, its group's and its tenant's.
  void foreign_lease(const ForeignLease& lease);
  /// The data plane is gone, and with it what others held.
  void forget_foreign_leases();

  /// What a backend says of somebody it let in.
  struct Grant {
    Interned backend;
    std::uint32_t user_id = 0;        ///< of the RadiusGroupPlan he is in
    std::vector<Address> addresses;   ///< he shall have, where his pool holds them
    std::uint32_t session_seconds = 0;  ///< 0: as long as others
    Interned method;                  ///< of EAP, in the words of the log
    Mac mac{};                        ///< of the device; zero: it does not say
  };
  /// Comes before authorize(), which then asks this instead of the directory; forgotten with the session.
  void grant(std::uint64_t session, Grant grant);
  /// The backend changes its mind about how long, counted from the beginning.
  void set_session_seconds(std::uint64_t session, std::uint32_t seconds);
  /// The backend changes its mind about his groups: `user_id` of another of its RadiusGroupPlans.
  void set_group(std::uint64_t session, std::uint32_t user_id);

  /// A session that was authorized, as its records show it.
  struct Admitted {
    std::uint32_t user = 0;         ///< of the snapshot; 0: nobody the configuration names
    std::uint32_t tunnel_port = 0;
    std::string group;
    std::string pool;
    std::vector<std::string> groups;  ///< all of the user's
    std::uint32_t sessions = 0;       ///< of the user now, this one included
    std::int64_t since = 0;
    std::string backend;              ///< that let him in; empty: the tenant's own directory
    std::uint32_t session_seconds = 0;  ///< by the backend's word; 0: it has none
    std::uint64_t person = 0;         ///< who he is among those that share `user`
    std::string method;               ///< by which he convinced the backend
    std::uint64_t account = 0;        ///< who he is to the other daemons, by his name alone
    std::uint64_t account_group = 0;
    std::optional<std::uint32_t> others;   ///< sessions of his that other daemons may hold; nothing: any number
    std::vector<std::uint32_t> displaced;  ///< tunnels of theirs that end for this session
    std::uint64_t secret = 0;              ///< mark of what he proved himself by; 0: nothing that is kept here
  };
  [[nodiscard]] std::optional<Admitted> admitted(std::uint64_t session) const;
  /// The gateway of the session that holds an inner address; nothing: nobody does.
  [[nodiscard]] std::optional<std::string> gateway_at(std::uint32_t tenant, const Address& lease) const;
  /// Why this user's wrong password was wrong: shut out for now?
  [[nodiscard]] bool locked(const Path& path, std::string_view user) const;
  /// The session is over, its tunnel closed: addresses are free again.
  void ended(std::uint64_t session);
  /// The session came to another outer address: may it?
  void moved(const Session& session);
  /// How somebody came in whose daemon is gone.
  struct Login {
    std::int64_t since = 0;             ///< 0: not known
    std::uint32_t secret = 0;           ///< noted_mark()
    std::uint32_t session_seconds = 0;  ///< by a backend's word
  };
  /// A session left by a daemon before.
  void adopt(std::uint64_t session, std::uint32_t tenant, std::string_view gateway, std::string_view user, std::uint32_t user_id,
             std::span<const Address> leases, const Login& login);

  /// What ends by itself, a device's registration: whom the Plan no longer lets in is among the next endings.
  void judge_live();

  struct Ending {
    std::uint64_t session = 0;
    Cause cause = Cause::kNone;
  };
  /// Lets a user in again who was shut out; false when he was not.
  bool unlock(std::uint32_t tenant, std::string_view user);
  void list_locked(ipc::VpnAnswer& out) const;
  /// Whom wrong passwords shut out since the last call, kIncidentsMax at most.
  std::vector<Incident> take_incidents();
  /// Failures and addresses of users, which outlive the process. Nothing: they are as they were at the last call.
  bool save(ipc::VpnMemory& out);
  /// The next save() says all again.
  void save_again();
  void restore(const ipc::VpnMemory& memory);
  /// What another daemon has counted of wrong passwords.
  void learn(const ipc::LearnVpnFailures& told);
  /// Sessions that have to go since the last call.
  std::vector<Ending> take_endings();
  /// A session stays and rules know its user by another UserId: the data plane has to be told.
  struct Renamed {
    std::uint64_t session = 0;
    std::uint32_t user_id = 0;
  };
  std::vector<Renamed> take_renamed();

 private:
  struct Entry {
    std::uint32_t tenant = 0;
    Interned gateway;
    Interned user;  ///< folded
    std::uint32_t user_id = 0;
    Interned group, pool;
    std::uint32_t tunnel_port = 0;
    Address source;  ///< none: not known
    std::int64_t since = 0;
    bool ending = false;
    std::optional<CertificateFacts> device;  ///< of the device's certificate; none: he showed none
    bool left = false;  ///< of a daemon before: not counted, its client will come again
    Grant grant;
    std::optional<std::uint32_t> others;
    std::vector<std::uint32_t> displaced;
    std::uint64_t secret = 0;  ///< mark of the one he proved himself by, noted_mark() of one that was left; 0: none that is kept here
    std::int64_t adopted = 0;  ///< of one that was left
  };
  /// A session of another daemon's.
  struct Foreign {
    std::uint32_t tenant = 0;
    std::uint64_t account = 0, group = 0;
    std::int64_t since = 0;
    std::size_t leases = 0;
  };
  struct Found;
  /// Somebody at the door, as far as the Plan alone decides.
  struct Considered;
  [[nodiscard]] Considered consider(const Session& session, const std::string& user, const Grant& grant) const;
  [[nodiscard]] Found find(std::uint32_t tenant, std::string_view gateway, std::string_view user, std::uint32_t user_id) const;
  [[nodiscard]] Cause judge(const Found& found, const Address& source) const;
  [[nodiscard]] Cause judge_again(const Entry& entry) const;
  [[nodiscard]] DeviceVerdict judge_device(const Found& found, const std::optional<CertificateFacts>& shown) const;
  [[nodiscard]] DeviceVerdict::Why fault_of(const Found& found, const DevicePlan& device) const;
  [[nodiscard]] DeviceIdPlan rights(const Found& found, const std::optional<CertificateFacts>& shown) const;
  [[nodiscard]] Found find(const Entry& entry) const;
  void review(std::uint64_t session, Entry& entry);
  /// Whether there is room for one more session of the user's, and whom it costs his.
  struct Room;
  [[nodiscard]] Room room_for(const Found& found, const std::string& user) const;
  /// Takes it: whom it costs his is noted in `entry`, or ended.
  Cause make_room(const Found& found, const std::string& user, Entry& entry);
  [[nodiscard]] std::vector<std::uint32_t> foreign_of(std::uint32_t tenant, std::uint64_t account) const;
  /// Whether tenant or group have no room for one more when `leaving` of theirs have gone.
  [[nodiscard]] bool full(const Found& found, std::size_t leaving) const;
  [[nodiscard]] std::vector<std::uint64_t> counted(std::uint32_t tenant, const std::string& user) const;
  void end_unwelcome();
  void note(const Lockout::Shut& shut, const Path& path, std::string_view user, std::int64_t now);
  void add(std::uint64_t session, Entry entry);
  void end(std::uint64_t session, Entry& entry, Cause cause);

  mutable std::mutex mutex_;
  Clock clock_;
  std::atomic<bool> log_full_ = false;
  std::shared_ptr<const Plan> plan_ = std::make_shared<Plan>();
  std::unordered_map<std::uint64_t, Entry> entries_;
  /// Sessions of a user, oldest first.
  std::map<std::pair<std::uint32_t, Interned>, std::vector<std::uint64_t>> by_user_;
  std::unordered_map<std::uint64_t, Grant> grants_;  ///< of sessions that authorize() was not asked about yet
  Leases leases_;
  std::map<std::uint32_t, Foreign> foreign_;  ///< by tunnel
  Lockout lockout_;
  std::vector<Ending> endings_;
  std::vector<Incident> incidents_;
  std::vector<Renamed> renamed_;
  std::uint64_t failures_ = 0;  ///< changes of lockout_
  std::uint64_t saved_ = 0;     ///< changes of both when they were saved
};

/// The gateway's name out of Session::gateway ("tokyo eap-mschapv2"), and the way in.
std::string_view gateway_name(std::string_view connection);
std::string_view way_in(std::string_view connection);

}  // namespace sekisho::vpn
