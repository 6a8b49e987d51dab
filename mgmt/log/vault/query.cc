// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/vault/query.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "mgmt/log/time_text.h"
#include "mgmt/log/vault/filter.h"

namespace sekisho::mgmt {
namespace {

using Test = ipc::LogCondition;
constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t kMillisecond = 1'000'000;
constexpr std::size_t kKeyTextMax = 255, kValuesMax = 256;
constexpr unsigned kNetwork4 = 24, kNetwork6 = 64;

std::optional<std::uint64_t> parse_number(std::string_view text, int base = 10) {
  std::uint64_t out = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  return status == std::errc{} && end == text.data() + text.size() ? std::optional(out) : std::nullopt;
}

std::string stored_text(const auto& value) {
  std::string out;
  append_stored(out, Field{}, value);
  return out;
}

bool is_text(ColumnKind kind) {
  return kind == ColumnKind::kText || kind == ColumnKind::kTexts;
}
bool is_address(ColumnKind kind) {
  return kind == ColumnKind::kAddress || kind == ColumnKind::kAddresses;
}

/// Columns of this type that a condition's field means.
std::vector<std::size_t> columns_for(LogKind type, std::string_view field, Audience audience) {
  std::vector<std::size_t> out;
  const auto& columns = columns_of(type);
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].provider && audience == Audience::kTenant) continue;
    const bool any =
        (field == "address" && is_address(columns[i].kind)) || (field == "text" && is_text(columns[i].kind));
    if (any || columns[i].name == field) out.push_back(i);
  }
  return out;
}

bool known_anywhere(std::string_view field, Audience audience) {
  return std::any_of(kAllTypes.begin(), kAllTypes.end(),
                     [&](LogKind type) { return !columns_for(type, field, audience).empty(); });
}

}  // namespace

std::string Query::add_value(const Column& column, const std::string& text, Condition& out) {
  const auto wrong = [&] { return "field " + std::string(column.name) + " cannot be \"" + text + "\""; };
  const auto number = [&](std::uint64_t low, std::uint64_t high) {
    out.low.push_back(low), out.high.push_back(high);
    return std::string();
  };
  switch (column.kind) {
    case ColumnKind::kNumber:
    case ColumnKind::kOptional: {
      const auto value = parse_number(text);
      const std::uint64_t shift = column.kind == ColumnKind::kOptional ? 1 : 0;
      return value && *value < kMost ? number(*value + shift, *value + shift) : wrong();
    }
    case ColumnKind::kBool:
      return text == "true" ? number(2, 2) : text == "false" ? number(1, 1) : wrong();
    case ColumnKind::kWord: {
      const auto found = std::find(column.words.begin() + 1, column.words.end(), text);
      const auto value = static_cast<std::uint64_t>(found - column.words.begin());
      return found != column.words.end() ? number(value, value) : wrong();
    }
    case ColumnKind::kHex: {
      const auto value = parse_number(text, 16);
      if (!value || text.size() != 16) return wrong();
      if (column.name == "vpn_sid") out.keys.push_back(key_of(column.name, text));
      return number(*value, *value);
    }
    case ColumnKind::kTime: {
      const auto value = parse_timestamp(text);
      return value ? number(value->ns, value->ns + kMillisecond - 1) : wrong();
    }
    case ColumnKind::kUuid: {
      const auto value = parse_uuid(text);
      if (!value) return wrong();
      out.texts.push_back(stored_text(*value));
      if (column.name != "eid") out.keys.push_back(key_of(column.name, out.texts.back()));
      return {};
    }
    case ColumnKind::kMac: {
      const auto value = parse_mac(text);
      if (!value) return wrong();
      out.texts.push_back(stored_text(*value));
      out.keys.push_back(key_of(column.name, out.texts.back()));
      return {};
    }
    case ColumnKind::kAddress:
    case ColumnKind::kAddresses: {
      const auto value = parse_address(text);
      if (!value) return wrong();
      out.texts.push_back(stored_text(*value));
      out.keys.push_back(key_of(*value));
      return {};
    }
    case ColumnKind::kText:
      if (column.characters_max <= kKeyTextMax) out.keys.push_back(key_of(column.name, text));
      [[fallthrough]];
    case ColumnKind::kTexts:
      out.texts.push_back(text);
      return {};
  }
  return wrong();
}

std::string Query::add_range(const Column& column, const ipc::LogCondition& from, Condition& out) {
  const bool time = column.kind == ColumnKind::kTime;
  if (!time && column.kind != ColumnKind::kNumber && column.kind != ColumnKind::kOptional)
    return "field " + from.field() + " has no range";
  if (from.values_size() != 2) return "a range has two values";
  const std::uint64_t shift = column.kind == ColumnKind::kOptional ? 1 : 0;
  std::uint64_t ends[2] = {time ? 1 : shift, kMost};
  for (int i = 0; i < 2; ++i) {
    const std::string& text = from.values(i);
    if (text.empty()) continue;
    const auto stamp = time ? parse_timestamp(text) : std::nullopt;
    const auto value =
        time ? (stamp ? std::optional(stamp->ns + (i == 1 ? kMillisecond - 1 : 0)) : std::nullopt) : parse_number(text);
    if (!value || *value == kMost) return "field " + from.field() + " cannot be \"" + text + "\"";
    ends[i] = *value + shift;
  }
  out.low.push_back(ends[0]), out.high.push_back(ends[1]);
  return {};
}

std::string Query::add_values(const Column& column, const ipc::LogCondition& from, Condition& out) {
  if (from.test() == Test::PRESENT) return {};
  if (from.values_size() == 0) return "field " + from.field() + " needs a value";
  if (from.values_size() > static_cast<int>(kValuesMax)) return "field " + from.field() + " has too many values";
  if (from.test() == Test::RANGE) return add_range(column, from, out);
  for (const std::string& text : from.values()) {
    if (from.test() == Test::EQUAL) {
      if (std::string wrong = add_value(column, text, out); !wrong.empty()) return wrong;
    } else if (from.test() == Test::WITHIN) {
      const auto prefix = parse_prefix(text);
      if (!is_address(column.kind) || !prefix) return "field " + from.field() + " cannot be within \"" + text + "\"";
      out.prefixes.push_back(*prefix);
      const bool four = prefix->address.family == Family::kIpv4;
      if (prefix->length >= (four ? kNetwork4 : kNetwork6)) out.keys.push_back(key_of_network(prefix->address));
    } else {
      if (!is_text(column.kind) || text.empty()) return "field " + from.field() + " is no text to look into";
      out.texts.push_back(text);
    }
  }
  return {};
}

std::string Query::compile(LogKind type, const std::vector<ipc::LogCondition>& conditions, Audience audience,
                           Query& out) {
  out = Query();
  out.type_ = type;
  for (const ipc::LogCondition& from : conditions) {
    if (!known_anywhere(from.field(), audience)) return "there is no field \"" + from.field() + "\"";
    if (!ipc::LogCondition::Test_IsValid(from.test())) return "field " + from.field() + ": unknown test";
    Condition condition;
    condition.columns = columns_for(type, from.field(), audience);
    condition.test = from.test();
    condition.negate = from.negate();
    if (!condition.columns.empty()) {
      const Column& column = columns_of(type)[condition.columns.front()];
      if (std::string wrong = add_values(column, from, condition); !wrong.empty()) return wrong;
      // A field's name in the key of a text is one field's: any text of a record can be asked of no filter.
      const bool by_name = condition.columns.size() > 1 && !is_address(column.kind);
      const bool each = condition.keys.size() == static_cast<std::size_t>(from.values_size());
      if (by_name || !each || condition.negate || column.kind == ColumnKind::kTexts) condition.keys.clear();
    }
    out.conditions_.push_back(std::move(condition));
  }
  return {};
}

bool Query::never() const {
  return std::any_of(conditions_.begin(), conditions_.end(),
                     [](const Condition& one) { return one.columns.empty() && !one.negate; });
}

bool Query::uses_filter() const {
  return std::any_of(conditions_.begin(), conditions_.end(), [](const Condition& one) { return !one.keys.empty(); });
}

bool Query::may_match(ByteSpan filter) const {
  return std::all_of(conditions_.begin(), conditions_.end(), [&](const Condition& one) {
    return one.keys.empty() ||
           std::any_of(one.keys.begin(), one.keys.end(), [&](std::uint64_t key) { return may_hold(filter, key); });
  });
}

bool Query::holds(const Condition& condition, std::uint64_t value) {
  if (condition.test == Test::PRESENT) return value != 0;
  for (std::size_t i = 0; i < condition.low.size(); ++i) {
    if (value >= condition.low[i] && value <= condition.high[i]) return true;
  }
  return false;
}

bool Query::item_holds(const Condition& condition, ColumnKind kind, std::string_view value) {
  if (is_address(kind) && condition.test == Test::WITHIN) {
    Address address;
    if (!restore(value, address) || address.family == Family::kNone) return false;
    return std::any_of(condition.prefixes.begin(), condition.prefixes.end(),
                       [&](const Prefix& one) { return one.contains(address); });
  }
  return std::any_of(condition.texts.begin(), condition.texts.end(), [&](const std::string& text) {
    if (condition.test == Test::PREFIX) return value.starts_with(text);
    if (condition.test == Test::CONTAINS) return value.find(text) != std::string_view::npos;
    return value == text && !text.empty();
  });
}

bool Query::holds(const Condition& condition, const Column& column, std::string_view value) {
  if (condition.test == Test::PRESENT) return !value.empty();
  if (column.kind != ColumnKind::kTexts && column.kind != ColumnKind::kAddresses)
    return item_holds(condition, column.kind, value);
  while (!value.empty()) {
    std::uint64_t length = 0;
    if (!take_varint(value, length) || length > value.size()) return false;
    if (item_holds(condition, column.kind, value.substr(0, length))) return true;
    value.remove_prefix(length);
  }
  return false;
}

/// Sets the rows in which any of the condition's columns has it.
Result<void> Query::mark(const Condition& condition, Block& block, std::vector<std::uint8_t>& rows) const {
  for (const std::size_t at : condition.columns) {
    const Column& column = columns_of(type_)[at];
    if (column.is_number()) {
      SEKISHO_TRY(const auto* values, block.numbers(at));
      for (std::size_t i = 0; i < rows.size(); ++i)
        rows[i] |= static_cast<std::uint8_t>(holds(condition, (*values)[i]));
      continue;
    }
    SEKISHO_TRY(const auto* values, block.texts(at));
    std::vector<std::uint8_t> good(values->values.size());
    bool any = false;
    for (std::size_t i = 0; i < good.size(); ++i) {
      good[i] = static_cast<std::uint8_t>(holds(condition, column, values->values[i]));
      any = any || good[i] != 0;
    }
    for (std::size_t i = 0; any && i < rows.size(); ++i) rows[i] |= good[values->rows[i]];
  }
  return {};
}

Result<std::vector<std::uint8_t>> Query::match(Block& block) const {
  std::vector<std::uint8_t> out(block.rows(), 1);
  std::vector<std::uint8_t> rows;
  for (const Condition& condition : conditions_) {
    rows.assign(block.rows(), 0);
    SEKISHO_CHECK_OK(mark(condition, block, rows));
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] &= static_cast<std::uint8_t>(rows[i] ^ static_cast<std::uint8_t>(condition.negate));
    if (std::find(out.begin(), out.end(), 1) == out.end()) break;
  }
  return out;
}

}  // namespace sekisho::mgmt
