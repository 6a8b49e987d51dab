// SPDX-License-Identifier: Apache-2.0
#include "vpn/directory.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "base/crypto/sha256.h"
#include "base/net/endian.h"

#include "base/proto/control_vpn.pb.h"
#include "vpn/legacy.h"

namespace sekisho::vpn {
namespace {

/// How long one that a daemon before left may stay without proving himself anew, where the gateway does not say less.
constexpr std::int64_t kLeftSecondsMax = std::int64_t{8} * 3600;

constexpr std::int64_t kJapanSeconds = 9 * 3600, kDaySeconds = 86400;

/// True when one of the windows is open; without any it always is.
bool open_now(const std::vector<LoginWindow>& windows, std::int64_t now) {
  if (windows.empty()) return true;
  const std::int64_t local = now + kJapanSeconds;
  const auto weekday = static_cast<std::uint32_t>((local / kDaySeconds + 3) % 7);  // 1970-01-01 was a Thursday; 0 is Monday
  const auto minute = static_cast<std::uint32_t>(local % kDaySeconds / 60);
  return std::any_of(windows.begin(), windows.end(), [weekday, minute](const LoginWindow& one) {
    return (one.weekdays >> weekday & 1U) != 0 && one.from_minute <= minute && minute < one.to_minute;
  });
}

bool may_come_from(const TenantPlan& tenant, const GroupPlan& group, const Address& source) {
  if ((group.source_prefixes.empty() && group.source_countries.empty()) || source.family == Family::kNone) return true;
  const auto within = [&source](const Prefix& one) { return one.contains(source); };
  if (std::any_of(group.source_prefixes.begin(), group.source_prefixes.end(), within)) return true;
  const std::string country = group.source_countries.empty() ? std::string() : tenant.country_of(source);
  return !country.empty() &&
         std::find(group.source_countries.begin(), group.source_countries.end(), country) != group.source_countries.end();
}

constexpr std::string_view kLogFull = "the log's disk is full: nobody new is let in until there is room";
constexpr std::string_view kNothingToReach = "no rule would let the user reach anything, and the gateway refuses such users";

bool may_not_come_in(const DeviceVerdict& device) {
  return device.result == DeviceVerdict::Result::kFail || device.result == DeviceVerdict::Result::kPending;
}

std::size_t copy(ByteSpan from, std::span<std::uint8_t> to) {
  if (from.size() > to.size()) return 0;
  std::copy(from.begin(), from.end(), to.begin());
  return from.size();
}

}  // namespace

std::string_view gateway_name(std::string_view connection) { return connection.substr(0, connection.rfind(' ')); }

std::string_view way_in(std::string_view connection) {
  const std::size_t blank = connection.rfind(' ');
  return blank == std::string_view::npos ? std::string_view{} : connection.substr(blank + 1);
}

namespace {

/// A number for a folded name, the same in every process. Never 0.
std::uint64_t person_of(const std::string& name) {
  Sha256 hash;
  hash.update({reinterpret_cast<const std::uint8_t*>(name.data()), name.size()});
  return load_be<std::uint64_t>(hash.finish(), 0) | 1U;
}

}  // namespace

namespace {

/// Of what the session's user proved himself by: his key, his password, or nothing that is kept here.
std::uint64_t secret_mark(const UserPlan& user, const Session& session) {
  const std::string_view way = way_in(session.gateway);
  if (way == "psk") return mark_of(user.psk.bytes());
  const bool by_password = way.find("mschapv2") != std::string_view::npos || way == "pap" || way == "eap-radius";
  return by_password && !session.certificate(false) ? mark_of(user.nt_hash.bytes()) : 0;
}

bool has_secret(const UserPlan& user, std::uint64_t mark, bool noted) {
  return std::ranges::any_of(std::array{mark_of(user.nt_hash.bytes()), mark_of(user.psk.bytes())},
                             [mark, noted](std::uint64_t one) { return mark == (noted ? noted_mark(one) : one); });
}

}  // namespace

/// What the Plan says of a user at a gateway; nothing where it says nothing.
struct UserDirectory::Found {
  const TenantPlan* tenant = nullptr;
  const GatewayPlan* gateway = nullptr;
  const UserPlan* user = nullptr;             ///< the tenant's own; of a backend's users he tells suspension alone
  const RadiusGroupPlan* granted = nullptr;   ///< by a backend's word
  const GroupPlan* group = nullptr;

  /// The one this very certificate is registered of, else one of whose identifiers it says.
  [[nodiscard]] const DevicePlan* device(const std::optional<CertificateFacts>& shown) const {
    if (!shown) return nullptr;
    if (const auto registered = tenant->devices.find(shown->serial); registered != tenant->devices.end()) return registered->second.get();
    for (const std::string& name : shown->names) {
      if (const auto named = tenant->device_names.find(name); named != tenant->device_names.end()) return named->second.get();
    }
    return nullptr;
  }
  [[nodiscard]] UnknownDevice unknown_device() const {
    const auto rule = tenant->device_policies.find(group->device_policy);
    return rule == tenant->device_policies.end() ? UnknownDevice::kDeny : rule->second;
  }
  /// True: rules may know him by this number, with one of his devices or without.
  [[nodiscard]] bool goes_by(std::uint32_t user_id) const {
    const RightsPlan* rights = granted != nullptr ? &granted->rights : user != nullptr ? &user->rights : nullptr;
    return user_id == id() || (rights != nullptr && std::ranges::any_of(rights->with_device, [user_id](const auto& one) {
                                 return one.second.id == user_id;
                               }));
  }
  [[nodiscard]] std::uint32_t id() const { return granted != nullptr ? granted->id : user != nullptr ? user->id : 0; }
  [[nodiscard]] std::span<const std::string> groups() const {
    if (granted != nullptr) return granted->groups;
    return user != nullptr ? std::span<const std::string>(user->groups) : std::span<const std::string>();
  }
};

UserDirectory::Found UserDirectory::find(std::uint32_t tenant, std::string_view gateway, std::string_view user,
                                         std::uint32_t user_id) const {
  Found out;
  out.tenant = plan_->tenant(tenant);
  if (out.tenant == nullptr) return out;
  out.gateway = out.tenant->gateway(gateway);
  out.user = out.tenant->user(user);
  out.granted = out.tenant->radius_group(user_id);
  if (out.gateway != nullptr) out.group = out.tenant->group_of(out.groups(), *out.gateway);
  return out;
}

Cause UserDirectory::judge(const Found& found, const Address& source) const {
  if (found.gateway == nullptr) return Cause::kConfig;
  if (found.user != nullptr && found.user->suspended) return Cause::kAdmin;
  if (found.group == nullptr) return Cause::kConfig;
  return may_come_from(*found.tenant, *found.group, source) ? Cause::kNone : Cause::kSourceAddress;
}

/// Why a device that somebody registered will not do for this user now.
DeviceVerdict::Why UserDirectory::fault_of(const Found& found, const DevicePlan& device) const {
  using Why = DeviceVerdict::Why;
  if (device.state == DevicePlan::State::kRequested) return Why::kNotApproved;
  if (device.state == DevicePlan::State::kDisabled) return Why::kDisabled;
  if (device.valid_until != 0 && device.valid_until <= clock_()) return Why::kExpired;
  if (!device.owner.empty() && (found.user == nullptr || folded(found.user->name) != device.owner)) return Why::kUserMismatch;
  return device.owner_group.empty() || std::ranges::count(found.groups(), device.owner_group) != 0 ? Why::kNone : Why::kGroup;
}

DeviceVerdict UserDirectory::judge_device(const Found& found, const std::optional<CertificateFacts>& shown) const {
  using Result = DeviceVerdict::Result;
  using Why = DeviceVerdict::Why;
  DeviceVerdict out;
  const std::string& policy = found.group->device_policy;
  out.policy = policy.empty() ? "none" : policy;
  const DevicePlan* device = found.device(shown);
  if (device != nullptr) out.id = device->id, out.name = device->label, out.group = device->group, out.os = device->os;
  const auto say = [&out](Result result, Why why) { return out.result = result, out.why = why, out; };
  if (policy.empty()) return say(Result::kSkipped, Why::kNone);
  if (device == nullptr) {
    // Without a certificate there is nothing that could be approved.
    const UnknownDevice unknown = shown ? found.unknown_device() : UnknownDevice::kDeny;
    if (unknown == UnknownDevice::kRequest) return say(Result::kPending, Why::kNotApproved);
    return unknown == UnknownDevice::kAllow ? say(Result::kOk, Why::kNone) : say(Result::kFail, Why::kUnregistered);
  }
  const Why fault = fault_of(found, *device);
  return say(fault == Why::kNone ? Result::kOk : fault == Why::kNotApproved ? Result::kPending : Result::kFail, fault);
}

/// How rules know him. A device counts that somebody registered and that will do, or that his group's policy lets in unregistered.
DeviceIdPlan UserDirectory::rights(const Found& found, const std::optional<CertificateFacts>& shown) const {
  const RightsPlan* all = found.granted != nullptr ? &found.granted->rights : found.user != nullptr ? &found.user->rights : nullptr;
  if (all == nullptr) return {found.id(), found.tenant != nullptr && found.tenant->stranger_permitted};
  const DevicePlan* device = found.device(shown);
  const bool proven = shown && (device != nullptr ? fault_of(found, *device) == DeviceVerdict::Why::kNone
                                                   : found.unknown_device() == UnknownDevice::kAllow);
  if (!proven) return {found.id(), all->permitted};
  auto known = all->with_device.find(device != nullptr ? device->group : std::string());
  if (known == all->with_device.end()) known = all->with_device.find(std::string());
  return known == all->with_device.end() ? DeviceIdPlan{found.id(), all->permitted} : known->second;
}

UserDirectory::Found UserDirectory::find(const Entry& entry) const {
  return find(entry.tenant, entry.gateway, entry.user, entry.grant.backend.empty() ? entry.user_id : entry.grant.user_id);
}

Cause UserDirectory::judge_again(const Entry& entry) const {
  const Found found = find(entry);
  const bool removed = found.user == nullptr && found.granted == nullptr && entry.user_id != 0 && entry.grant.backend.empty();
  if (found.gateway != nullptr && removed) return Cause::kAdmin;
  const Cause cause = judge(found, entry.source);
  if (cause != Cause::kNone) return cause;
  // Who has another password now may be somebody else than who came in by the old one.
  if (entry.secret != 0 && (found.user == nullptr || !has_secret(*found.user, entry.secret, entry.left))) return Cause::kAdmin;
  const bool ungranted = !entry.grant.backend.empty() && found.granted == nullptr;  // its backend has no such group any more
  // The data plane was told another Port: he has to come in again.
  const bool same_port = entry.tunnel_port == 0 || entry.tunnel_port == found.gateway->tunnel_port;
  if (ungranted || !same_port) return Cause::kConfig;
  // One that a daemon before left has no certificate any more: its client comes again and shows it.
  if (entry.left) {
    if (legacy_ended(*found.gateway, clock_())) return Cause::kCrypto;  // and its algorithms are not known either
    const std::int64_t now = clock_(), said = found.gateway->session_seconds_max;
    if (now - entry.adopted >= kLeftSecondsMax || (said != 0 && now - entry.since >= said)) return Cause::kMaxTime;
    if (entry.grant.session_seconds != 0 && now - entry.since >= entry.grant.session_seconds) return Cause::kMaxTime;
    return found.goes_by(entry.user_id) ? Cause::kNone : Cause::kConfig;
  }
  if (may_not_come_in(judge_device(found, entry.device))) return Cause::kDevice;
  return found.gateway->refuse_if_no_permit && !rights(found, entry.device).permitted ? Cause::kConfig : Cause::kNone;
}

/// Ends a session that may not stay; one that stays may have become another user for rules.
void UserDirectory::review(std::uint64_t session, Entry& entry) {
  if (const Cause cause = judge_again(entry); cause != Cause::kNone) return end(session, entry, cause);
  if (entry.left || entry.ending) return;
  const std::uint32_t now = rights(find(entry), entry.device).id;
  if (now == entry.user_id) return;
  entry.user_id = now;
  renamed_.push_back({session, now});
}

void UserDirectory::end(std::uint64_t session, Entry& entry, Cause cause) {
  if (entry.ending) return;
  entry.ending = true;
  leases_.ending(session);
  endings_.push_back({session, cause});
}

void UserDirectory::set_plan(std::shared_ptr<const Plan> plan) {
  const std::lock_guard lock(mutex_);
  plan_ = std::move(plan);
  end_unwelcome();
}

void UserDirectory::judge_live() {
  const std::lock_guard lock(mutex_);
  end_unwelcome();
}

void UserDirectory::end_unwelcome() {
  if (plan_->generation == 0) return;  // nobody has said yet who may be in: what a daemon before left stays
  for (auto& [session, entry] : entries_) review(session, entry);
}

std::shared_ptr<const Plan> UserDirectory::plan() const {
  const std::lock_guard lock(mutex_);
  return plan_;
}

std::size_t UserDirectory::nt_hash(const Path& path, std::string_view user, std::span<std::uint8_t> out) {
  const std::lock_guard lock(mutex_);
  const std::int64_t now = clock_();
  // Who is shut out has no password: the right one is answered like a wrong one, or guessing could go on.
  if (lockout_.user_locked(path.tenant, folded(user), now) || lockout_.source_locked(path.tenant, path.remote.address, now)) return 0;
  const TenantPlan* tenant = plan_->tenant(path.tenant);
  const UserPlan* found = tenant == nullptr ? nullptr : tenant->user(user);
  return found == nullptr ? 0 : copy(found->nt_hash.bytes(), out);
}

std::size_t UserDirectory::psk(const Path& path, std::string_view peer, std::span<std::uint8_t> out) {
  const std::lock_guard lock(mutex_);
  const TenantPlan* tenant = plan_->tenant(path.tenant);
  const UserPlan* found = tenant == nullptr ? nullptr : tenant->user(peer);
  return found == nullptr ? 0 : copy(found->psk.bytes(), out);
}

std::size_t UserDirectory::ppk(const Path& path, std::string_view ppk_id, std::span<std::uint8_t> out) {
  const std::lock_guard lock(mutex_);
  const TenantPlan* tenant = plan_->tenant(path.tenant);
  if (tenant == nullptr) return 0;
  const auto owner = tenant->ppk_owners.find(std::string(ppk_id));
  return owner == tenant->ppk_owners.end() ? 0 : copy(tenant->users.at(owner->second).ppk.bytes(), out);
}

void UserDirectory::wrong_secret(const Path& path, std::string_view user) {
  const std::lock_guard lock(mutex_);
  const std::int64_t now = clock_();
  if (lockout_.source_locked(path.tenant, path.remote.address, now)) return;
  note(lockout_.failed(path.tenant, folded(user), path.remote.address, now), path, user, now);
  ++failures_;
}

void UserDirectory::note(const Lockout::Shut& shut, const Path& path, std::string_view user, std::int64_t now) {
  const auto add = [&](std::string_view code, std::size_t count, std::int64_t since, bool of_source, bool of_user) {
    if (count == 0 || incidents_.size() >= kIncidentsMax) return;
    const auto ns = [](std::int64_t seconds) { return static_cast<std::uint64_t>(seconds) * 1'000'000'000; };
    incidents_.push_back({path.tenant, std::string(code), {}, of_source ? path.remote.address : Address{},
                          of_user ? std::string(user) : std::string(), count, ns(since), ns(now)});
  };
  add("AUTH_LOCK_USER", shut.failures, shut.user_since, true, true);
  add("AUTH_LOCK_SRC", shut.names, shut.source_since, true, false);
  add("AUTH_SPRAY", shut.sprayed, shut.spray_since, false, false);
}

std::vector<Incident> UserDirectory::take_incidents() {
  const std::lock_guard lock(mutex_);
  return std::exchange(incidents_, {});
}

std::optional<std::string> UserDirectory::gateway_at(std::uint32_t tenant, const Address& lease) const {
  const std::lock_guard lock(mutex_);
  const Leases::Holder* holder = leases_.holder(tenant, lease);
  const auto found = holder == nullptr ? entries_.end() : entries_.find(holder->session);
  if (found == entries_.end()) return std::nullopt;
  return found->second.gateway;
}

bool UserDirectory::locked(const Path& path, std::string_view user) const {
  const std::lock_guard lock(mutex_);
  const std::int64_t now = clock_();
  return lockout_.user_locked(path.tenant, folded(user), now) || lockout_.source_locked(path.tenant, path.remote.address, now);
}

std::vector<std::uint64_t> UserDirectory::counted(std::uint32_t tenant, const std::string& user) const {
  std::vector<std::uint64_t> out;
  const auto found = by_user_.find({tenant, user});
  if (found == by_user_.end()) return out;
  for (const std::uint64_t session : found->second) {
    const Entry& entry = entries_.at(session);
    if (!entry.ending && !entry.left) out.push_back(session);
  }
  return out;
}

bool UserDirectory::full(const Found& found, std::size_t leaving) const {
  const std::uint32_t of_tenant = found.tenant->sessions_max, of_group = found.group->sessions_max;
  if (of_tenant == 0 && of_group == 0) return false;
  std::size_t tenants = 0, groups = 0;
  const std::uint64_t group = person_of(found.group->name);
  for (const auto& [tunnel, one] : foreign_) {
    if (one.tenant != found.tenant->id || one.account == 0) continue;
    ++tenants;
    if (one.group == group) ++groups;
  }
  for (const auto& [session, entry] : entries_) {
    if (entry.tenant != found.tenant->id || entry.ending || entry.left) continue;
    ++tenants;
    if (entry.group == found.group->name) ++groups;
  }
  return (of_tenant != 0 && tenants >= of_tenant + leaving) || (of_group != 0 && groups >= of_group + leaving);
}

std::vector<std::uint32_t> UserDirectory::foreign_of(std::uint32_t tenant, std::uint64_t account) const {
  std::vector<std::uint32_t> out;
  for (const auto& [tunnel, one] : foreign_) {
    if (one.tenant == tenant && one.account == account) out.push_back(tunnel);
  }
  return out;
}

struct UserDirectory::Room {
  struct Held {
    std::int64_t since;
    std::uint64_t session;  ///< 0: `tunnel` of another daemon's
    std::uint32_t tunnel;
  };
  Cause cause = Cause::kNone;
  std::vector<Held> leaving;     ///< the oldest first
  std::optional<std::uint32_t> others;  ///< sessions other daemons may hold then; nothing: any number
};

UserDirectory::Room UserDirectory::room_for(const Found& found, const std::string& user) const {
  const std::uint32_t limit = found.group->sessions_per_user;
  if (limit == 0) return {full(found, 0) ? Cause::kLimitTenant : Cause::kNone, {}, {}};
  std::vector<Room::Held> held;
  const std::vector<std::uint64_t> own = counted(found.tenant->id, user);
  const std::vector<std::uint32_t> others = foreign_of(found.tenant->id, person_of(user));
  for (const std::uint64_t session : own) held.push_back({entries_.at(session).since, session, 0});
  for (const std::uint32_t tunnel : others) held.push_back({foreign_.at(tunnel).since, 0, tunnel});
  std::stable_sort(held.begin(), held.end(), [](const auto& a, const auto& b) { return a.since < b.since; });
  // More than one when the limit was lowered meanwhile.
  const std::size_t leaving = held.size() < limit ? 0 : held.size() - limit + 1;
  if (leaving != 0 && !found.group->replace_oldest) return {Cause::kLimitUser, {}, {}};
  if (full(found, leaving)) return {Cause::kLimitTenant, {}, {}};
  held.resize(leaving);
  const auto own_leaving = static_cast<std::size_t>(std::ranges::count_if(held, [](const auto& one) { return one.session != 0; }));
  const std::size_t staying = own.size() - own_leaving + 1;
  return {Cause::kNone, std::move(held), static_cast<std::uint32_t>(limit - std::min<std::size_t>(staying, limit))};
}

Cause UserDirectory::make_room(const Found& found, const std::string& user, Entry& entry) {
  const Room room = room_for(found, user);
  for (const Room::Held& one : room.leaving) {
    if (one.session == 0) {
      entry.displaced.push_back(one.tunnel);
    } else {
      end(one.session, entries_.at(one.session), Cause::kReplaced);
    }
  }
  entry.others = room.others;
  return room.cause;
}

void UserDirectory::add(std::uint64_t session, Entry entry) {
  const std::pair<std::uint32_t, std::string> key{entry.tenant, entry.user};
  if (entries_.emplace(session, std::move(entry)).second) by_user_[key].push_back(session);
}

void UserDirectory::grant(std::uint64_t session, Grant grant) {
  const std::lock_guard lock(mutex_);
  grants_.insert_or_assign(session, std::move(grant));
}

void UserDirectory::set_session_seconds(std::uint64_t session, std::uint32_t seconds) {
  const std::lock_guard lock(mutex_);
  if (const auto found = entries_.find(session); found != entries_.end()) found->second.grant.session_seconds = seconds;
}

struct UserDirectory::Considered {
  Found found;
  Admission admission;
  std::optional<CertificateFacts> shown;  ///< of the device
  DeviceIdPlan known;
};

UserDirectory::Considered UserDirectory::consider(const Session& session, const std::string& user, const Grant& grant) const {
  Considered out;
  const Found& found = out.found = find(session.path.tenant, gateway_name(session.gateway), user, grant.user_id);
  const auto refuse = [&out](Cause cause, std::string_view text = {}) {
    out.admission.cause = cause, out.admission.text = text;
    return out;
  };
  if (!grant.backend.empty() && found.granted == nullptr) return refuse(Cause::kConfig);  // the backend was taken out meanwhile
  if (const Cause cause = judge(found, session.path.remote.address); cause != Cause::kNone) return refuse(cause);
  if (legacy_ended(*found.gateway, clock_()) && !legacy_use(session).empty()) return refuse(Cause::kCrypto, kLegacyEnded);
  // Another user's key would hide from him that his own is not in use.
  if (!session.ppk_id.empty() && (found.user == nullptr || found.user->ppk_id != session.ppk_id)) return refuse(Cause::kAuth);
  if (const ProvenCertificate* one = session.certificate(true)) out.shown = one->facts;
  out.admission.device = judge_device(found, out.shown);
  out.admission.device.mac = grant.mac;
  if (may_not_come_in(out.admission.device)) return refuse(Cause::kDevice);
  out.known = rights(found, out.shown);
  if (found.gateway->refuse_if_no_permit && !out.known.permitted) return refuse(Cause::kConfig, kNothingToReach);
  if (!open_now(found.group->login, clock_())) return refuse(Cause::kSchedule);
  if (log_full_) return refuse(Cause::kInternal, kLogFull);
  return out;
}

UserDirectory::Outlook UserDirectory::outlook(const Session& session) const {
  const std::lock_guard lock(mutex_);
  const std::string user = folded(session.user);
  const auto told = grants_.find(session.id);
  const Considered at = consider(session, user, told == grants_.end() ? Grant{} : told->second);
  Outlook out{at.admission, {}, {}, {}, at.known.permitted};
  if (at.found.group == nullptr) return out;
  out.groups = at.found.tenant->groups_of(at.found.groups());
  out.group = at.found.group->name, out.pool = at.found.group->pool;
  if (out.admission.cause == Cause::kNone) out.admission.cause = room_for(at.found, user).cause;
  return out;
}

Directory::Admission UserDirectory::authorize(const Session& session) {
  const std::lock_guard lock(mutex_);
  const std::string user = folded(session.user);
  const auto told = grants_.find(session.id);
  Grant grant = told == grants_.end() ? Grant{} : std::move(told->second);
  if (told != grants_.end()) grants_.erase(told);
  Considered at = consider(session, user, grant);
  if (at.admission.cause != Cause::kNone) return at.admission;
  const Found& found = at.found;
  if (lockout_.succeeded(session.path.tenant, user)) ++failures_;
  Entry entry{session.path.tenant, std::string(gateway_name(session.gateway)), user, at.known.id, found.group->name, found.group->pool,
              found.gateway->tunnel_port, session.path.remote.address, clock_(), false,
              std::move(at.shown), false, std::move(grant), {}, {}, 0, 0};
  if (const Cause cause = make_room(found, user, entry); cause != Cause::kNone) return {cause, at.admission.device};
  if (entry.grant.backend.empty() && found.user != nullptr) entry.secret = secret_mark(*found.user, session);
  add(session.id, std::move(entry));
  return {Cause::kNone, at.admission.device};
}

std::optional<Address> UserDirectory::lease(const Session& session, Family family) {
  const std::lock_guard lock(mutex_);
  const auto entry = entries_.find(session.id);
  const TenantPlan* tenant = plan_->tenant(session.path.tenant);
  if (entry == entries_.end() || tenant == nullptr) return std::nullopt;
  const UserPlan* user = tenant->user(entry->second.user);
  const auto pool = tenant->pools.find(entry->second.pool);
  LeaseRequest request{tenant->id, session.id, entry->second.user, family, {}, {}, &tenant->reserved};
  if (pool != tenant->pools.end()) request.pool = pool->second;
  std::vector<Address> framed;
  if (!entry->second.grant.backend.empty()) {
    std::ranges::copy_if(entry->second.grant.addresses, std::back_inserter(framed), [&](const Address& one) {
      const auto holds = [&one](const AddressRange& range) {
        return range.first.family == one.family && range.first <= one && one <= range.last;
      };
      return !tenant->reserved.contains(one) && std::ranges::any_of(request.pool, holds);
    });
    request.own = framed;
  } else if (user != nullptr) {
    request.own = user->static_addresses;
  }
  std::uint64_t replaced = 0;
  const auto address = leases_.acquire(request, replaced);
  if (const auto loser = entries_.find(replaced); loser != entries_.end()) end(replaced, loser->second, Cause::kReplaced);
  return address;
}

void UserDirectory::release(const Session& session, const Address& address) {
  const std::lock_guard lock(mutex_);
  leases_.release(session.id, session.path.tenant, address);
}

void UserDirectory::foreign_lease(const ForeignLease& lease) {
  const std::lock_guard lock(mutex_);
  leases_.foreign(lease.tenant, lease.address, lease.held);
  if (lease.tunnel == 0) return;
  Foreign& one = foreign_[lease.tunnel];
  if (lease.held) {
    one = {lease.tenant, lease.account, lease.account_group, lease.since, one.leases + 1};
  } else if (one.leases <= 1) {
    foreign_.erase(lease.tunnel);
  } else {
    --one.leases;
  }
}

void UserDirectory::forget_foreign_leases() {
  const std::lock_guard lock(mutex_);
  leases_.forget_foreign();
  foreign_.clear();
}

std::optional<UserDirectory::Admitted> UserDirectory::admitted(std::uint64_t session) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(session);
  if (found == entries_.end()) return std::nullopt;
  const Entry& entry = found->second;
  Admitted out{entry.user_id, entry.tunnel_port, entry.group, entry.pool, {}, 0, entry.since, entry.grant.backend,
               entry.grant.session_seconds, 0, entry.grant.method, person_of(entry.user), person_of(entry.group), entry.others,
               entry.displaced, entry.secret};
  const Found who = find(entry);
  if (who.tenant != nullptr) out.groups = who.tenant->groups_of(who.groups());
  if (!entry.grant.backend.empty()) out.person = person_of(entry.user);
  out.sessions = static_cast<std::uint32_t>(counted(entry.tenant, entry.user).size() + foreign_of(entry.tenant, out.account).size());
  return out;
}

void UserDirectory::ended(std::uint64_t session) {
  const std::lock_guard lock(mutex_);
  leases_.release(session);
  grants_.erase(session);
  const auto found = entries_.find(session);
  if (found == entries_.end()) return;
  const auto sessions = by_user_.find({found->second.tenant, found->second.user});
  std::erase(sessions->second, session);
  if (sessions->second.empty()) by_user_.erase(sessions);
  entries_.erase(found);
}

void UserDirectory::moved(const Session& session) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(session.id);
  if (found == entries_.end()) return;
  found->second.source = session.path.remote.address;
  review(session.id, found->second);
}

void UserDirectory::adopt(std::uint64_t session, std::uint32_t tenant, std::string_view gateway, std::string_view user,
                          std::uint32_t user_id, std::span<const Address> leases, const Login& login) {
  const std::lock_guard lock(mutex_);
  const std::string name = folded(user);
  for (const Address& address : leases) leases_.adopt(tenant, address, session, name);
  const std::int64_t now = clock_();
  Entry entry{tenant, std::string(gateway), name, user_id, {}, {}, 0, {}, login.since != 0 ? login.since : now, false, {}, true, {}, {}, {},
              login.secret, now};
  entry.grant.session_seconds = login.session_seconds;
  add(session, std::move(entry));
  if (plan_->generation == 0) return;
  review(session, entries_.at(session));
}

bool UserDirectory::unlock(std::uint32_t tenant, std::string_view user) {
  const std::lock_guard lock(mutex_);
  ++failures_;
  return lockout_.unlock(tenant, folded(user), clock_());
}

void UserDirectory::list_locked(ipc::VpnAnswer& out) const {
  const std::lock_guard lock(mutex_);
  lockout_.list(out, clock_());
}

bool UserDirectory::save(ipc::VpnMemory& out) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t changes = failures_ + leases_.changes();
  if (changes == saved_) return false;
  saved_ = changes;
  lockout_.save(out, clock_());
  leases_.save(out);
  return true;
}

void UserDirectory::save_again() {
  const std::lock_guard lock(mutex_);
  if (plan_->generation != 0) ++failures_;
}

void UserDirectory::restore(const ipc::VpnMemory& memory) {
  const std::lock_guard lock(mutex_);
  lockout_.restore(memory, clock_());
  leases_.restore(memory);
}

void UserDirectory::learn(const ipc::LearnVpnFailures& told) {
  const std::lock_guard lock(mutex_);
  if (lockout_.learn(told, clock_())) ++failures_;
}

void UserDirectory::set_group(std::uint64_t session, std::uint32_t user_id) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(session);
  if (found == entries_.end()) return;
  if (found->second.left) return end(session, found->second, Cause::kConfig);  // who comes again is in the new groups
  if (found->second.grant.backend.empty()) return;
  found->second.grant.user_id = user_id;
  review(session, found->second);
}

std::vector<UserDirectory::Renamed> UserDirectory::take_renamed() {
  const std::lock_guard lock(mutex_);
  return std::exchange(renamed_, {});
}

std::vector<UserDirectory::Ending> UserDirectory::take_endings() {
  const std::lock_guard lock(mutex_);
  return std::exchange(endings_, {});
}

}  // namespace sekisho::vpn
