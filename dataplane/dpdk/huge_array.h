// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_malloc.h>

#include <cstddef>
#include <type_traits>
#include <utility>

namespace sekisho::dataplane {

/// A fixed array in DPDK's memory (2 MiB pages when the machine grants them), zeroed, cache-line aligned.
/// Empty when allocation failed: the creator checks valid() and reports kNoMemory.
template <typename T>
class HugeArray {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  HugeArray() = default;
  HugeArray(const char* name, std::size_t count)
      : data_(static_cast<T*>(rte_zmalloc(name, count * sizeof(T), 64))), size_(data_ == nullptr ? 0 : count) {}
  HugeArray(HugeArray&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  HugeArray& operator=(HugeArray&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~HugeArray() { rte_free(data_); }

  [[nodiscard]] bool valid() const { return data_ != nullptr; }
  [[nodiscard]] std::size_t size() const { return size_; }
  T& operator[](std::size_t index) { return data_[index]; }
  const T& operator[](std::size_t index) const { return data_[index]; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace sekisho::dataplane
