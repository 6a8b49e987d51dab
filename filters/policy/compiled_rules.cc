// SPDX-License-Identifier: Apache-2.0
#include "filters/policy/compiled_rules.h"

#include <map>
#include <unordered_map>
#include <utility>

#include "base/net/endian.h"

namespace sekisho::filters {
namespace {

using snapshot::AddressRange;
using snapshot::Range;
using snapshot::Rule;
using snapshot::Service;

template <typename Value>
struct Interval {
  Value low, high;
};
template <typename Value>
using Intervals = std::vector<Interval<Value>>;

/// Sorted, without overlaps.
template <typename Value>
Intervals<Value> merged(Intervals<Value> in) {
  std::sort(in.begin(), in.end(), [](const auto& a, const auto& b) { return a.low < b.low; });
  Intervals<Value> out;
  for (const auto& next : in) {
    if (!out.empty() && next.low <= out.back().high) {
      out.back().high = std::max(out.back().high, next.high);
    } else {
      out.push_back(next);
    }
  }
  return out;
}

/// Those services of a rule that ask for the same source ports.
struct ServiceSet {
  Interval<std::uint32_t> source_ports;
  Intervals<std::uint32_t> numbers;
};

constexpr std::uint32_t kPortMax = 0xffff;
constexpr Interval<std::uint32_t> kAnyPort{0, kPortMax};

/// Appends the stretches of service numbers one kServices entry takes.
void append_numbers(const Service& service, Intervals<std::uint32_t>& out) {
  const auto at = [&](std::uint32_t port) { return CompiledRules::service_number(service.protocol, port); };
  if (!is_icmp(service.protocol)) {
    if (service.destination_low <= service.destination_high) out.push_back({at(service.destination_low), at(service.destination_high)});
    return;
  }
  for (std::uint32_t type = service.icmp_type_low; type <= service.icmp_type_high; ++type) {
    if (service.icmp_code_low <= service.icmp_code_high)
      out.push_back({at(type << 8 | service.icmp_code_low), at(type << 8 | service.icmp_code_high)});
  }
}

std::vector<ServiceSet> service_sets(std::span<const Service> services, bool any) {
  const ServiceSet everything{kAnyPort, {{0, CompiledRules::service_number(255, kPortMax)}}};
  if (any) return {everything};
  std::map<std::pair<std::uint32_t, std::uint32_t>, Intervals<std::uint32_t>> by_ports;
  for (const Service& service : services) {
    if (service.any_protocol == 1) return {everything};
    const bool icmp = is_icmp(service.protocol);
    if (!icmp && service.source_low > service.source_high) continue;
    append_numbers(service, icmp ? by_ports[{0, kPortMax}] : by_ports[{service.source_low, service.source_high}]);
  }
  std::vector<ServiceSet> out;
  for (auto& [ports, numbers] : by_ports) {
    if (!numbers.empty()) out.push_back({{ports.first, ports.second}, merged(std::move(numbers))});
  }
  return out;
}

void number_of(const Address& address, std::uint32_t& out) { out = address.v4(); }
void number_of(const Address& address, CompiledRules::Number& out) {
  out = static_cast<CompiledRules::Number>(load_be<std::uint64_t>(address.bytes, 0)) << 64 | load_be<std::uint64_t>(address.bytes, 8);
}

template <typename Value>
Intervals<Value> address_intervals(std::span<const AddressRange> ranges, bool any) {
  if (any) return {{Value{0}, static_cast<Value>(~Value{0})}};
  constexpr Family kFamily = sizeof(Value) == 4 ? Family::kIpv4 : Family::kIpv6;
  Intervals<Value> out;
  for (const AddressRange& range : ranges) {
    if (range.low.family != kFamily) continue;
    Interval<Value> interval;
    number_of(range.low, interval.low);
    number_of(range.high, interval.high);
    out.push_back(interval);
  }
  return merged(std::move(out));
}

/// The lines that take the same stretches of an axis.
template <typename Value>
struct Group {
  Intervals<Value> intervals;
  std::vector<std::uint32_t> lines;  ///< rising
};

/// One bit of the rows.
struct Line {
  std::uint32_t ordinal;
  const Rule* rule;
  const ServiceSet* set;
};

}  // namespace

class CompiledRules::Builder {
 public:
  Builder(const SnapshotView& view, std::uint32_t tenant_index, CompiledRules& out)
      : view_(view), rules_(view.tenants()[tenant_index].rules), out_(out) {
    numbers_.emplace(Block{}, 0U);
    out_.blocks_.emplace_back();
  }

  Result<void> run() {
    SEKISHO_CHECK_OK(make_lines());
    row_blocks_ = (lines_.size() + kBlockBits - 1) / kBlockBits;
    out_.summary_ = (row_blocks_ + kSummaryBits - 1) / kSummaryBits;
    out_.width_ = out_.summary_ + row_blocks_;
    for (const Line& line : lines_) out_.rule_of_line_.push_back(line.ordinal);
    SEKISHO_CHECK_OK(addresses(&Rule::sources, &Rule::any_source, out_.source4_, out_.source6_));
    SEKISHO_CHECK_OK(addresses(&Rule::destinations, &Rule::any_destination, out_.destination4_, out_.destination6_));
    SEKISHO_CHECK_OK(services());
    zones(&Rule::source_zones, out_.source_zone_);
    zones(&Rule::destination_zones, out_.destination_zone_);
    groups();
    out_.blocks_.shrink_to_fit();
    return {};
  }

 private:
  struct HashBlock {
    std::size_t operator()(const Block& block) const {
      std::uint64_t hash = 0;
      for (const std::uint64_t word : block.word) hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL, hash ^= hash >> 29;
      return hash;
    }
  };
  /// A change of the row: a group begins or ends.
  template <typename Value>
  struct Edge {
    Value at;
    std::uint32_t group;
  };
  struct Touch {
    std::uint32_t block;
    Block bits;
  };

  /// Rules share runs of ranges and services: each is looked at once.
  using RunName = std::pair<std::uint32_t, std::uint32_t>;
  static RunName name_of(Range run, bool any) { return {run.first, any ? 0xffffffffU : run.count}; }

  [[nodiscard]] Error too_much(std::uint32_t ordinal) const { return {ErrorCode::kLimit, ErrorSite::kSnapshot, rules_.first + ordinal}; }

  Result<void> make_lines() {
    for (std::uint32_t ordinal = 0; ordinal + 1 < rules_.count; ++ordinal) {
      const Rule& rule = view_.rules()[rules_.first + ordinal];
      if (rule.standing != snapshot::Standing::kStands) continue;
      const bool any = rule.any_service == 1;
      const Range run = any ? Range{} : rule.services;
      const auto [place, is_new] = sets_.try_emplace(name_of(run, any));
      if (is_new) place->second = service_sets(any ? std::span<const Service>{} : slice(view_.services(), run), any);
      for (const ServiceSet& set : place->second) lines_.push_back({ordinal, &rule, &set});
      if (lines_.size() > kLinesMax) return too_much(ordinal);
    }
    return {};
  }

  /// Both families of one end.
  Result<void> addresses(Range Rule::*run_of, std::uint8_t Rule::*any_of, Axis<std::uint32_t>& axis4, Axis<Number>& axis6) {
    std::map<RunName, std::uint32_t> known;
    std::vector<Group<std::uint32_t>> groups4;
    std::vector<Group<Number>> groups6;
    for (std::uint32_t line = 0; line < lines_.size(); ++line) {
      const Rule& rule = *lines_[line].rule;
      const bool any = rule.*any_of == 1;
      const Range run = any ? Range{} : rule.*run_of;
      const auto [place, is_new] = known.try_emplace(name_of(run, any), static_cast<std::uint32_t>(groups4.size()));
      if (is_new) {
        const auto ranges = any ? std::span<const AddressRange>{} : slice(view_.address_ranges(), run);
        groups4.push_back({address_intervals<std::uint32_t>(ranges, any), {}});
        groups6.push_back({address_intervals<Number>(ranges, any), {}});
      }
      groups4[place->second].lines.push_back(line);
      groups6[place->second].lines.push_back(line);
    }
    SEKISHO_CHECK_OK(cut(groups4, axis4));
    return cut(groups6, axis6);
  }

  Result<void> services() {
    std::map<const ServiceSet*, std::uint32_t> known_sets;
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> known_ports;
    std::vector<Group<std::uint32_t>> numbers;
    std::vector<Group<std::uint32_t>> ports;
    for (std::uint32_t line = 0; line < lines_.size(); ++line) {
      const ServiceSet& set = *lines_[line].set;
      const auto [by_set, new_set] = known_sets.try_emplace(&set, static_cast<std::uint32_t>(numbers.size()));
      if (new_set) numbers.push_back({set.numbers, {}});
      numbers[by_set->second].lines.push_back(line);
      const auto [by_ports, new_ports] =
          known_ports.try_emplace({set.source_ports.low, set.source_ports.high}, static_cast<std::uint32_t>(ports.size()));
      if (new_ports) ports.push_back({{set.source_ports}, {}});
      ports[by_ports->second].lines.push_back(line);
    }
    SEKISHO_CHECK_OK(cut(numbers, out_.service_));
    return cut(ports, out_.source_port_);
  }

  void zones(std::uint64_t Rule::*zones_of, std::vector<std::uint32_t>& rows) {
    for (std::size_t zone = 0; zone < kBits; ++zone) {
      append_row(rows, [=](const Rule& rule) { return ((rule.*zones_of >> zone) & 1U) != 0; });
    }
  }

  void groups() {
    const auto of_users = [](const Line& line) { return line.rule->user_groups != 0; };
    if (std::none_of(lines_.begin(), lines_.end(), of_users)) return;
    for (std::size_t group = 0; group < kBits; ++group) {
      append_row(out_.group_, [=](const Rule& rule) { return ((rule.user_groups >> group) & 1U) != 0; });
    }
    append_row(out_.group_, [](const Rule& rule) { return rule.user_groups == 0; });
  }

  /// The row of all lines whose rule `takes`.
  template <typename Takes>
  void append_row(std::vector<std::uint32_t>& rows, Takes takes) {
    std::vector<Block> row(row_blocks_);
    for (std::size_t line = 0; line < lines_.size(); ++line) {
      const std::uint64_t bit = takes(*lines_[line].rule) ? 1 : 0;
      row[line / kBlockBits].word[line % kBlockBits / 64] |= bit << (line % 64);
    }
    std::vector<std::uint32_t> words(out_.width_, 0U);
    for (std::uint32_t block = 0; block < row_blocks_; ++block) set(words, block, number(row[block]));
    rows.insert(rows.end(), words.begin(), words.end());
  }

  static std::vector<Touch> touches(const std::vector<std::uint32_t>& lines) {
    std::vector<Touch> out;
    for (const std::uint32_t line : lines) {
      const auto block = static_cast<std::uint32_t>(line / kBlockBits);
      if (out.empty() || out.back().block != block) out.push_back({block, {}});
      out.back().bits.word[line % kBlockBits / 64] |= std::uint64_t{1} << (line % 64);
    }
    return out;
  }

  /// Walks an axis from its lowest value to its highest and writes down each new row.
  template <typename Value>
  Result<void> cut(const std::vector<Group<Value>>& groups, Axis<Value>& axis) {
    std::vector<Edge<Value>> edges;
    std::vector<std::vector<Touch>> touched;
    std::size_t toggles = 0;
    for (std::uint32_t group = 0; group < groups.size(); ++group) {
      touched.push_back(touches(groups[group].lines));
      toggles += touched.back().size() * groups[group].intervals.size() * 2;
      if (toggles > kTogglesMax) return too_much(lines_[groups[group].lines.back()].ordinal);
      for (const auto& interval : groups[group].intervals) {
        edges.push_back({interval.low, group});
        if (interval.high != static_cast<Value>(~Value{0})) edges.push_back({static_cast<Value>(interval.high + 1), group});
      }
    }
    std::sort(edges.begin(), edges.end(), [](const auto& a, const auto& b) { return a.at < b.at; });
    axis.width = out_.width_;
    std::vector<Block> now(row_blocks_);
    std::vector<std::uint32_t> row(out_.width_, 0U);
    std::vector<std::uint32_t> changed;
    if (edges.empty() || edges.front().at != 0) append(axis, Value{0}, row);
    for (std::size_t i = 0; i < edges.size();) {
      const Value at = edges[i].at;
      changed.clear();
      for (; i < edges.size() && edges[i].at == at; ++i) {
        for (const Touch& touch : touched[edges[i].group]) {
          for (std::size_t w = 0; w < touch.bits.word.size(); ++w) now[touch.block].word[w] ^= touch.bits.word[w];
          changed.push_back(touch.block);
        }
      }
      for (const std::uint32_t block : changed) set(row, block, number(now[block]));
      append(axis, at, row);
      if (out_.bytes() > kBytesMax) return too_much(lines_[groups[edges[i - 1].group].lines.back()].ordinal);
    }
    axis.starts.shrink_to_fit();
    axis.rows.shrink_to_fit();
    return {};
  }

  template <typename Value>
  static void append(Axis<Value>& axis, Value at, const std::vector<std::uint32_t>& row) {
    axis.starts.push_back(at);
    axis.rows.insert(axis.rows.end(), row.begin(), row.end());
  }

  /// Writes a block's number into a row, and into its summary whether it is empty.
  void set(std::vector<std::uint32_t>& row, std::uint32_t block, std::uint32_t number) const {
    row[out_.summary_ + block] = number;
    const std::uint32_t bit = std::uint32_t{1} << (block % kSummaryBits);
    std::uint32_t& summary = row[block / kSummaryBits];
    summary = number != 0 ? summary | bit : summary & ~bit;
  }

  std::uint32_t number(const Block& block) {
    const auto [place, is_new] = numbers_.try_emplace(block, static_cast<std::uint32_t>(out_.blocks_.size()));
    if (is_new) out_.blocks_.push_back(block);
    return place->second;
  }

  const SnapshotView& view_;
  Range rules_;
  CompiledRules& out_;
  std::size_t row_blocks_ = 0;
  std::map<RunName, std::vector<ServiceSet>> sets_;
  std::vector<Line> lines_;
  std::unordered_map<Block, std::uint32_t, HashBlock> numbers_;
};

Result<CompiledRules> CompiledRules::build(const SnapshotView& view, std::uint32_t tenant_index) {
  CompiledRules out;
  SEKISHO_CHECK_OK(Builder(view, tenant_index, out).run());
  return out;
}

std::size_t CompiledRules::lowest(const Block& block) {
  std::size_t word = 0;
  while (block.word[word] == 0) ++word;
  return word * 64 + static_cast<std::size_t>(std::countr_zero(block.word[word]));
}

std::uint32_t CompiledRules::summary_of(std::uint64_t groups, std::size_t word) const {
  std::uint32_t out = group_[kBits * width_ + word];
  for (; groups != 0; groups &= groups - 1) out |= group_[static_cast<std::size_t>(std::countr_zero(groups)) * width_ + word];
  return out;
}

CompiledRules::Block CompiledRules::block_of(std::uint64_t groups, std::size_t i) const {
  Block out = blocks_[group_[kBits * width_ + i]];
  for (; groups != 0; groups &= groups - 1) {
    const Block& more = blocks_[group_[static_cast<std::size_t>(std::countr_zero(groups)) * width_ + i]];
    for (std::size_t w = 0; w < out.word.size(); ++w) out.word[w] |= more.word[w];
  }
  return out;
}

std::size_t CompiledRules::bytes() const {
  const auto of = [](const auto& axis) { return axis.starts.size() * sizeof(axis.starts[0]) + axis.rows.size() * sizeof(axis.rows[0]); };
  return blocks_.size() * sizeof(Block) + of(source4_) + of(destination4_) + of(service_) + of(source_port_) + of(source6_) +
         of(destination6_) + (source_zone_.size() + destination_zone_.size() + group_.size() +
          rule_of_line_.size()) * sizeof(std::uint32_t);
}

}  // namespace sekisho::filters
