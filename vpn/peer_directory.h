// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <mutex>
#include <vector>

#include "vpn/plan.h"
#include "vpn/ports.h"

namespace sekisho::vpn {

/// What IKEv1 may know: the pre-shared keys of L2TP's gateways. Who comes in through its SAs is PPP's question, so nothing of users is
/// kept in that process. Any thread.
class PeerDirectory : public Directory {
 public:
  /// Keys a peer at one address may mean, at most; as many are tried.
  static constexpr std::size_t kKeysMax = 16;

  /// Keeps what `plan` says of L2TP's gateways, and nothing else of it.
  void set_plan(const Plan& plan);
  /// The tenant's code in records; empty: nobody's.
  struct Owner {
    std::string service_code, node, gateway, gateway_code;
    std::uint32_t revision = 0;
  };
  [[nodiscard]] Owner owner_of(const Path& path) const;

  /// Keys for the peer's address first, in their order, then those for anybody.
  std::size_t peer_psk(const Path& path, std::size_t index, std::span<std::uint8_t> out) override;
  /// Whether a peer at this path may still mean the key with this mark.
  [[nodiscard]] bool has_psk(const Path& path, std::uint64_t mark) const;
  /// By address and key, or by a certificate that was judged before: whoever proved either is a gateway's peer while there is one.
  Admission authorize(const Session& session) override;

  std::size_t nt_hash(const Path&, std::string_view, std::span<std::uint8_t>) override { return 0; }
  std::size_t psk(const Path&, std::string_view, std::span<std::uint8_t>) override { return 0; }
  std::size_t ppk(const Path&, std::string_view, std::span<std::uint8_t>) override { return 0; }
  void wrong_secret(const Path&, std::string_view) override {}
  std::optional<Address> lease(const Session&, Family) override { return std::nullopt; }
  void release(const Session&, const Address&) override {}

 private:
  struct Key {
    std::vector<Prefix> from;  ///< none: anybody
    Secret psk;
  };
  struct At {
    std::string gateway, code;
    std::vector<std::shared_ptr<const Key>> keys;
  };
  struct Tenant {
    std::string service_code;
    std::map<Address, At> at;
  };
  [[nodiscard]] const At* find(const Path& path) const;

  mutable std::mutex mutex_;
  std::map<std::uint32_t, Tenant> tenants_;
  std::string node_;
  std::uint32_t revision_ = 0;
};

}  // namespace sekisho::vpn
