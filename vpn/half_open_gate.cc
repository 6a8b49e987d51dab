// SPDX-License-Identifier: Apache-2.0
#include "vpn/half_open_gate.h"

namespace sekisho::vpn {

void HalfOpenGate::begin(std::uint64_t own_spi, std::uint64_t peer_spi) {
  const std::lock_guard lock(mutex_);
  if (open_.try_emplace(own_spi, Entry{peer_spi, 0, false, {}}).second) by_peer_.insert_or_assign(peer_spi, own_spi);
}

void HalfOpenGate::end(std::uint64_t own_spi) {
  const std::lock_guard lock(mutex_);
  const auto found = open_.find(own_spi);
  if (found == open_.end()) return;
  const auto peer = by_peer_.find(found->second.peer_spi);
  if (peer != by_peer_.end() && peer->second == own_spi) by_peer_.erase(peer);
  open_.erase(found);
}

bool HalfOpenGate::admits(const IkeHeader& message, Time now) {
  const std::lock_guard lock(mutex_);
  const bool first = message.receiver_spi == 0;
  const auto peer = first ? by_peer_.find(message.sender_spi) : by_peer_.end();
  const auto found = first ? (peer == by_peer_.end() ? open_.end() : open_.find(peer->second)) : open_.find(message.receiver_spi);
  if (found == open_.end()) return true;
  Entry& entry = found->second;
  if (message.is_response) return false;
  if (!first && message.number == entry.next) {
    entry.passed = true;  // pieces of it, and copies: libcharon ends those at once
    return true;
  }
  const bool answered = entry.next > 0 && message.number == entry.next - 1;
  if (!answered || entry.passed || now < entry.again) return false;
  entry.again = now + kAgain;
  return true;
}

void HalfOpenGate::leaves(const IkeHeader& message) {
  if (!message.is_response) return;
  const std::lock_guard lock(mutex_);
  const auto found = open_.find(message.sender_spi);
  if (found == open_.end() || message.number != found->second.next) return;
  ++found->second.next;
  found->second.passed = false;
  found->second.again = {};
}

std::size_t HalfOpenGate::size() const {
  const std::lock_guard lock(mutex_);
  return open_.size();
}

}  // namespace sekisho::vpn
