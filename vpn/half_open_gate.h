// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <unordered_map>

#include "vpn/ike_header.h"

namespace sekisho::vpn {

/// Lets one request at a time through to an IKE_SA whose peer has not proven who it is. Libcharon gives each datagram of an IKE_SA a
/// thread of its own, which sleeps while another works on it; and that one may itself wait for a server. Without this, a stranger
/// with sixty datagrams has all threads sleep. RFC 7296 2.3 gives a peer that has just begun a window of one: nobody honest is refused.
/// Any thread.
class HalfOpenGate {
 public:
  using Time = std::chrono::steady_clock::time_point;
  /// How often a request that was answered may come again.
  static constexpr std::chrono::milliseconds kAgain{500};

  /// A peer began an IKE_SA; SPIs as on the wire. Again for one that is known: nothing.
  void begin(std::uint64_t own_spi, std::uint64_t peer_spi);
  /// It has proven who it is, or is gone.
  void end(std::uint64_t own_spi);
  /// Whether a received message may go on. What belongs to no such IKE_SA may.
  bool admits(const IkeHeader& message, Time now);
  /// A message of ours leaves.
  void leaves(const IkeHeader& message);
  [[nodiscard]] std::size_t size() const;

 private:
  struct Entry {
    std::uint64_t peer_spi = 0;
    std::uint32_t next = 0;  ///< number of the request that is due
    bool passed = false;     ///< it has gone through, and has no answer yet
    Time again{};
  };
  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, Entry> open_;            ///< by our SPI
  std::unordered_map<std::uint64_t, std::uint64_t> by_peer_;  ///< first requests do not know our SPI
};

}  // namespace sekisho::vpn
