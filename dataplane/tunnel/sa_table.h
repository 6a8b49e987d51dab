// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "dataplane/tunnel/esp_crypto.h"
#include "dataplane/tunnel/key_vault.h"
#include "dataplane/tunnel/sa.h"
#include "dataplane/tunnel/spi.h"

namespace sekisho::dataplane {

/// The SAs of one worker: found by number, not searched. The packet's way neither allocates nor locks; install() and
/// erase() allocate. Everything is called by the worker's thread, also what a message asks for. Expanded keys lie in
/// the vault.
class SaTable {
 public:
  /// `slots` SAs of both directions together, at most Spi::kSlotsMax. `seed` sets where generations begin: random, so
  /// that SPIs of before a restart are not found again.
  static Result<std::unique_ptr<SaTable>> create(std::uint32_t worker, std::uint32_t slots, std::uint32_t seed);

  /// Reserves an SPI for an inbound SA to be installed; release it with erase() if that never comes. kLimit when full.
  Result<std::uint32_t> allocate_spi();
  /// Makes an SA. Inbound: under config.spi, reserved before. Returns its handle (inbound: the SPI). `now` in seconds.
  Result<std::uint32_t> install(const SaConfig& config, std::uint64_t now);
  /// Other outer ends, UDP or not, MTU: MOBIKE, or a NAT that forgot. Keys, counters and window stay.
  Result<void> update(std::uint32_t handle, const EspEnd& local, const EspEnd& peer, bool in_udp,
                      std::uint16_t outer_mtu);
  /// What a router on the way carries, until update(); 0 forgets it. Counts when it is less than our own way does.
  Result<void> set_path_mtu(std::uint32_t handle, std::uint16_t mtu);
  [[nodiscard]] Result<SaUse> query(std::uint32_t handle) const;
  /// Puts a session on a transport SA. kNotFound; kLimit: it has its number of them.
  Result<void> add_session(std::uint32_t handle, std::shared_ptr<L2tpSession> session);
  /// What the SA carried of the session whose tunnel this is: packets and bytes. kNotFound when it does not ride on it.
  [[nodiscard]] Result<SaUse> query_session(std::uint32_t handle, std::uint32_t tunnel) const;
  /// Takes it off; what it carried, as above.
  Result<SaUse> remove_session(std::uint32_t handle, std::uint32_t tunnel);
  /// The SA's keys are wiped before this returns. kNotFound if there is none.
  Result<void> erase(std::uint32_t handle);
  /// Tells and ends SAs that reached a limit by time alone: looks at the next `slots` places of the table, in a circle.
  void expire(std::uint64_t now, std::uint32_t slots = Spi::kSlotsMax);

  /// The SA with this handle, null when there is none, or another, or only a reserved SPI.
  [[nodiscard]] Sa* find(std::uint32_t handle) {
    const std::uint32_t slot = Spi::slot(handle);
    if (slot >= slots_.size() || slots_[slot].sa == nullptr || slots_[slot].sa->handle != handle) return nullptr;
    return slots_[slot].sa.get();
  }
  /// Whether `sa` may carry one packet more; tells limits as they are passed.
  bool usable(Sa& sa, std::uint64_t now) {
    if (sa.use.bytes < sa.watch_bytes && sa.use.packets < sa.watch_packets && now < sa.watch_seconds) [[likely]]
      return true;
    return judge_limits(sa, now);
  }
  /// A genuine, newest packet came from `from`: tells once when that is not the peer.
  void heard_from(Sa& sa, const EspEnd& from, bool in_udp);

  /// What happened since the last call; the keying daemon's to hear. At most three for each SA wait here.
  std::span<const SaEvent> events() const { return events_; }
  void clear_events() { events_.clear(); }

  EspCrypto& crypto() { return crypto_; }
  [[nodiscard]] std::uint32_t size() const { return used_; }

 private:
  struct Slot {
    std::unique_ptr<Sa> sa;
    std::uint16_t generation = 1;
    bool reserved = false;
  };
  SaTable(std::uint32_t worker, std::uint32_t slots, std::uint32_t seed, EspCrypto crypto,
          std::unique_ptr<KeyVault> vault);
  [[nodiscard]] bool owns(std::uint32_t handle) const;
  bool judge_limits(Sa& sa, std::uint64_t now);
  void tell(Sa& sa, SaEventKind kind, const EspEnd& peer = {}, bool in_udp = false);

  std::uint32_t worker_;
  std::uint32_t used_ = 0;
  std::uint32_t expire_cursor_ = 0;
  EspCrypto crypto_;
  std::unique_ptr<KeyVault> vault_;  // before the slots: keys go back to it
  std::vector<Slot> slots_;
  std::deque<std::uint32_t> free_;  // a queue: a slot rests as long as it can before it is used again
  std::vector<SaEvent> events_;
};

}  // namespace sekisho::dataplane
