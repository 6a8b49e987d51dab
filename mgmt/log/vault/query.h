// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/net/address.h"
#include "base/proto/control_log.pb.h"
#include "base/wire/reader.h"
#include "mgmt/log/format.h"
#include "mgmt/log/vault/block.h"

namespace sekisho::mgmt {

/// Conditions on records of one type, made ready: what a block's filter can be asked, and what its columns are.
class Query {
 public:
  /// The text is what is wrong with the conditions; empty: none. A field that this type does not have matches nothing;
  /// one that no type has, or that is not for this audience, is wrong.
  static std::string compile(LogKind type, const std::vector<ipc::LogCondition>& conditions, Audience audience,
                             Query& out);

  /// False: no record of a block with this filter matches. Whether it is worth asking: uses_filter().
  [[nodiscard]] bool may_match(ByteSpan filter) const;
  [[nodiscard]] bool uses_filter() const;
  /// One byte a row: 1 where all conditions hold.
  Result<std::vector<std::uint8_t>> match(Block& block) const;
  /// No record of this type can ever match.
  [[nodiscard]] bool never() const;

 private:
  struct Condition {
    std::vector<std::size_t> columns;  ///< any of them
    ipc::LogCondition::Test test{};
    bool negate = false;
    std::vector<std::uint64_t> low, high;  ///< numbers as stored, both included
    std::vector<std::string> texts;        ///< as stored; PREFIX, CONTAINS: a part
    std::vector<Prefix> prefixes;
    std::vector<std::uint64_t> keys;  ///< one of them is in the filter, or nothing matches
  };
  static std::string add_values(const Column& column, const ipc::LogCondition& from, Condition& out);
  static std::string add_value(const Column& column, const std::string& text, Condition& out);
  static std::string add_range(const Column& column, const ipc::LogCondition& from, Condition& out);
  static bool holds(const Condition& condition, const Column& column, std::string_view value);
  static bool item_holds(const Condition& condition, ColumnKind kind, std::string_view value);
  static bool holds(const Condition& condition, std::uint64_t value);
  Result<void> mark(const Condition& condition, Block& block, std::vector<std::uint8_t>& rows) const;

  LogKind type_{};
  std::vector<Condition> conditions_;
};

}  // namespace sekisho::mgmt
