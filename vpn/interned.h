// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <compare>
#include <cstddef>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>

namespace sekisho::vpn {

/// A text that many sessions share, or one session in many places: names of users, groups and gateways, suites. It cannot be changed,
/// takes eight bytes and is kept once in the process, as long as somebody has it. Any thread may copy, compare and forget one; an object of
/// its own needs what any object needs. Not for secrets: its bytes are not wiped.
class Interned {
 public:
  Interned() = default;  ///< the empty text; it takes no memory
  Interned(std::string_view text);  // NOLINT(google-explicit-constructor): stands wherever a text does
  Interned(const std::string& text) : Interned(std::string_view(text)) {}  // NOLINT(google-explicit-constructor)
  Interned(const char* text) : Interned(std::string_view(text)) {}         // NOLINT(google-explicit-constructor)
  Interned(const Interned& other) noexcept;
  Interned(Interned&& other) noexcept : kept_(std::exchange(other.kept_, nullptr)) {}
  Interned& operator=(Interned other) noexcept {
    std::swap(kept_, other.kept_);
    return *this;
  }
  ~Interned() {
    if (kept_ != nullptr) forget();
  }

  /// Valid as long as anybody has this text.
  [[nodiscard]] const std::string& text() const;
  operator const std::string&() const { return text(); }  // NOLINT(google-explicit-constructor)
  operator std::string_view() const { return text(); }    // NOLINT(google-explicit-constructor)
  [[nodiscard]] bool empty() const { return kept_ == nullptr; }
  [[nodiscard]] std::size_t size() const { return text().size(); }

  friend bool operator==(const Interned& a, const Interned& b) { return a.kept_ == b.kept_; }
  friend std::strong_ordering operator<=>(const Interned& a, const Interned& b) { return a.text() <=> b.text(); }
  friend bool operator==(const Interned& a, std::string_view b) { return a.text() == b; }
  friend bool operator==(const Interned& a, const std::string& b) { return a.text() == b; }
  friend bool operator==(const Interned& a, const char* b) { return a.text() == b; }
  friend std::string operator+(const Interned& a, std::string_view b) { return std::string(a.text()).append(b); }
  friend std::string operator+(std::string_view a, const Interned& b) { return std::string(a).append(b.text()); }
  friend std::ostream& operator<<(std::ostream& out, const Interned& text) { return out << text.text(); }

  /// Texts that somebody has now.
  static std::size_t kept();

 private:
  /// The text, and how many have it.
  using Kept = std::pair<const std::string, std::atomic<std::size_t>>;
  struct Pool;
  static Pool& pool();
  void forget() noexcept;

  Kept* kept_ = nullptr;
};

}  // namespace sekisho::vpn
