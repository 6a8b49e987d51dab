// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/wire/reader.h"
#include "mgmt/log/vault/row.h"

/// Records of one type as columns: numbers as differences, texts as a dictionary, each column compressed by itself, so
/// that a search unpacks the fields it asks about and no others.
namespace sekisho::mgmt {

inline constexpr std::size_t kBlockRowsMax = 8192;
inline constexpr std::size_t kBlockBytesMax = 64U << 20;  ///< unpacked, of one column

/// Collects records of one type and packs them.
class BlockWriter {
 public:
  explicit BlockWriter(LogKind type);
  ~BlockWriter();
  BlockWriter(const BlockWriter&) = delete;
  BlockWriter& operator=(const BlockWriter&) = delete;

  /// In order of time; at most kBlockRowsMax.
  void add(const LogEntry& entry);
  [[nodiscard]] std::size_t rows() const { return rows_; }

  struct Packed {
    std::string body;
    std::string filter;  ///< filter.h: addresses, their networks, users, rules and the other names in it
  };
  /// Everything added; starts again.
  Packed finish();

 private:
  struct Numbers;
  struct Texts;
  struct Adder;
  void add_keys(class FilterBuilder& filter, std::size_t column) const;

  LogKind type_;
  std::size_t rows_ = 0;
  std::vector<Numbers> numbers_;
  std::vector<Texts> texts_;
  std::size_t start_column_, duration_column_;
  std::string scratch_;
};

/// What a BlockWriter packed. Columns are unpacked when first asked for. Not for several threads.
class Block {
 public:
  /// kMalformed: not what finish() made.
  static Result<Block> parse(LogKind type, std::string body);

  [[nodiscard]] std::size_t rows() const { return rows_; }
  [[nodiscard]] LogKind type() const { return type_; }

  /// One number a row, as row.h keeps it.
  Result<const std::vector<std::uint64_t>*> numbers(std::size_t column);
  struct TextColumn {
    std::vector<std::string_view> values;
    std::vector<std::uint32_t> rows;  ///< which of the values each row has
    std::string bytes;
  };
  Result<const TextColumn*> texts(std::size_t column);
  Result<LogEntry> entry(std::size_t row);

 private:
  struct Place {
    std::uint8_t form = 0;
    std::size_t raw = 0, offset = 0, packed = 0;
  };
  struct EntryReader;
  explicit Block(LogKind type, std::string body) : type_(type), body_(std::move(body)) {}
  Result<void> read_places();
  Result<std::string> unpack(const Place& place) const;
  Result<void> load_eid(std::string_view bytes, TextColumn& out);
  Result<void> undo_prediction(std::size_t column, std::vector<std::uint64_t>& values);

  LogKind type_;
  std::string body_;
  std::size_t rows_ = 0;
  std::vector<Place> places_;
  std::vector<std::optional<std::vector<std::uint64_t>>> numbers_;
  std::vector<std::optional<TextColumn>> texts_;
};

}  // namespace sekisho::mgmt
