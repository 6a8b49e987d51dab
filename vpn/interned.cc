// SPDX-License-Identifier: Apache-2.0
#include "vpn/interned.h"

#include <functional>
#include <mutex>
#include <unordered_map>

namespace sekisho::vpn {

/// A text comes and goes, that is its count leaves 0 or returns to it, under the mutex alone.
struct Interned::Pool {
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
  };
  std::mutex mutex;
  std::unordered_map<std::string, std::atomic<std::size_t>, Hash, std::equal_to<>> texts;
};

Interned::Pool& Interned::pool() {
  static Pool* const pool = new Pool;  // never destroyed: what else is static may have texts
  return *pool;
}

Interned::Interned(std::string_view text) {
  if (text.empty()) return;
  Pool& pool = Interned::pool();
  const std::lock_guard lock(pool.mutex);
  auto found = pool.texts.find(text);
  if (found == pool.texts.end()) found = pool.texts.try_emplace(std::string(text), 0U).first;
  found->second.fetch_add(1, std::memory_order_relaxed);
  kept_ = &*found;
}

Interned::Interned(const Interned& other) noexcept : kept_(other.kept_) {
  if (kept_ != nullptr) kept_->second.fetch_add(1, std::memory_order_relaxed);
}

void Interned::forget() noexcept {
  std::atomic<std::size_t>& uses = kept_->second;
  for (std::size_t now = uses.load(std::memory_order_relaxed); now > 1;) {
    if (uses.compare_exchange_weak(now, now - 1, std::memory_order_release, std::memory_order_relaxed)) return;
  }
  Pool& pool = Interned::pool();
  const std::lock_guard lock(pool.mutex);
  if (uses.fetch_sub(1, std::memory_order_acq_rel) == 1) pool.texts.erase(pool.texts.find(kept_->first));
}

const std::string& Interned::text() const {
  static const std::string none;
  return kept_ == nullptr ? none : kept_->first;
}

std::size_t Interned::kept() {
  Pool& pool = Interned::pool();
  const std::lock_guard lock(pool.mutex);
  return pool.texts.size();
}

}  // namespace sekisho::vpn
