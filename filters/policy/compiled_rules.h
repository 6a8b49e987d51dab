// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/result.h"
#include "filters/policy/linear_matcher.h"
#include "filters/policy/snapshot_view.h"

namespace sekisho::filters {

/// One tenant's rules, compiled for first match: answers exactly as match_linear().
///
/// Overview. A rule is one bit, or several when its services ask for different source ports. A packet is a point on six
/// axes: source, destination, service (protocol with destination port, or with type and code), source port and the two
/// zones. Where rules ask for groups of remote users there is a seventh: a row for each group and one of the rules that
/// take anyone, and a user is in the union of its groups'. An axis is cut where some rule begins or ends; each stretch has
/// a row that says which rules take it. The lowest bit that stands in all rows is the first match. Rows are cut in blocks of
/// 512 bits and equal blocks are kept once,
/// so that long rows cost what is different in them. In front of a row stands its summary, a bit for each block that is not
/// empty: what the summaries have in common is all a lookup reads.
/// Life-cycle. Immutable once built. Thread: any number at once.
/// Limits. kLinesMax bits, kTogglesMax changes of blocks along an axis, kBytesMax of memory.
class CompiledRules {
 public:
  __extension__ using Number = unsigned __int128;  ///< an IPv6 address as a number

  /// What is asked about a packet besides its addresses.
  struct Facts {
    std::uint32_t service;  ///< service_number()
    std::uint16_t source_port;
    std::uint8_t source_zone;  ///< 0..63
    std::uint8_t destination_zone;
    std::uint64_t user_groups = 0;
  };
  /// Where a protocol's destination port, or ICMP's type << 8 | code, lies on the axis of services.
  static constexpr std::uint32_t service_number(std::uint8_t protocol, std::uint32_t port) {
    return std::uint32_t{protocol} << 16 | port;
  }

  /// Compiles the rules of one tenant but for its final default deny. Rules that do not stand are left out. Errors, where
  /// kSnapshot: kLimit (detail: index in kRules of a rule that was too much).
  static Result<CompiledRules> build(const SnapshotView& view, std::uint32_t tenant_index);

  static constexpr std::uint32_t kNoRule = 0xffffffffU;
  /// The place, inside the tenant, of the first rule that takes the packet; kNoRule when none does.
  [[nodiscard]] std::uint32_t match4(std::uint32_t source, std::uint32_t destination, const Facts& facts) const {
    return find(source4_.row(source), destination4_.row(destination), facts);
  }
  [[nodiscard]] std::uint32_t match6(Number source, Number destination, const Facts& facts) const {
    return find(source6_.row(source), destination6_.row(destination), facts);
  }

  /// Bytes it holds.
  [[nodiscard]] std::size_t bytes() const;

  static constexpr std::size_t kBlockBits = 512;
  static constexpr std::size_t kLinesMax = std::size_t{1} << 16;
  static constexpr std::size_t kTogglesMax = std::size_t{1} << 24;
  static constexpr std::size_t kBytesMax = std::size_t{512} << 20;

 private:
  struct alignas(64) Block {
    std::array<std::uint64_t, kBlockBits / 64> word{};
    bool operator==(const Block&) const = default;
  };

  /// Sorted starts of stretches, the first at 0, and a row for each: its summary, then its block numbers.
  template <typename Value>
  struct Axis {
    std::vector<Value> starts;
    std::vector<std::uint32_t> rows;
    std::size_t width = 0;  ///< words of a row

    /// No branch depends on the data: a wrong guess costs more than all steps.
    [[nodiscard]] const std::uint32_t* row(Value value) const {
      const Value* base = starts.data();
      for (std::size_t left = starts.size(); left > 1;) {
        const std::size_t half = left / 2;
        base += base[half] <= value ? half : 0;
        left -= half;
      }
      return rows.data() + static_cast<std::size_t>(base - starts.data()) * width;
    }
  };

  class Builder;
  CompiledRules() = default;

  [[nodiscard]] std::uint32_t find(const std::uint32_t* source, const std::uint32_t* destination, const Facts& facts) const {
    return group_.empty() ? first_of<false>(source, destination, facts) : first_of<true>(source, destination, facts);
  }
  template <bool kOfUsers>
  [[nodiscard]] std::uint32_t first_of(const std::uint32_t* source, const std::uint32_t* destination, const Facts& facts) const {
    const std::uint32_t* const service = service_.row(facts.service);
    const std::uint32_t* const port = source_port_.row(facts.source_port);
    const std::uint32_t* const from = source_zone_.data() + (facts.source_zone & 63U) * width_;
    const std::uint32_t* const to = destination_zone_.data() + (facts.destination_zone & 63U) * width_;
    for (std::size_t word = 0; word < summary_; ++word) {
      std::uint32_t common = source[word] & destination[word] & service[word] & port[word] & from[word] & to[word];
      if constexpr (kOfUsers) common &= summary_of(facts.user_groups, word);
      for (; common != 0; common &= common - 1) {
        const std::size_t block = word * kSummaryBits + static_cast<std::size_t>(std::countr_zero(common));
        const std::size_t i = summary_ + block;
        const Block &a = blocks_[source[i]], &b = blocks_[destination[i]], &c = blocks_[service[i]];
        const Block &d = blocks_[port[i]], &e = blocks_[from[i]], &f = blocks_[to[i]];
        Block all;
        std::uint64_t any = 0;
        Block who;
        if constexpr (kOfUsers) who = block_of(facts.user_groups, i);
        for (std::size_t w = 0; w < all.word.size(); ++w) {
          all.word[w] = a.word[w] & b.word[w] & c.word[w] & d.word[w] & e.word[w] & f.word[w];
          if constexpr (kOfUsers) all.word[w] &= who.word[w];
          any |= all.word[w];
        }
        if (any != 0) return rule_of_line_[block * kBlockBits + lowest(all)];
      }
    }
    return kNoRule;
  }
  static std::size_t lowest(const Block& block);
  /// A word of the summary, and a block, of the row of a user's groups.
  [[nodiscard]] std::uint32_t summary_of(std::uint64_t groups, std::size_t word) const;
  [[nodiscard]] Block block_of(std::uint64_t groups, std::size_t i) const;

  static constexpr std::size_t kSummaryBits = 32;
  static constexpr std::size_t kBits = 64;  ///< zones, and groups, of a tenant

  std::size_t summary_ = 0;  ///< words of a row's summary
  std::size_t width_ = 0;    ///< words of a row
  std::vector<Block> blocks_;
  Axis<std::uint32_t> source4_, destination4_, service_, source_port_;
  Axis<Number> source6_, destination6_;
  std::vector<std::uint32_t> source_zone_, destination_zone_;  ///< 64 rows each
  std::vector<std::uint32_t> group_;  ///< 64 rows, and that of the rules for anyone; empty when all are
  std::vector<std::uint32_t> rule_of_line_;                    ///< place inside the tenant
};

}  // namespace sekisho::filters
