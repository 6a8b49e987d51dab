// SPDX-License-Identifier: Apache-2.0
// Layout of a body: varint rows; for each column its form, and unless the column is kNone the varints raw and packed
// bytes; then the columns' bytes. packed == raw: not compressed.
#include "mgmt/log/vault/block.h"

#include <zstd.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "mgmt/log/vault/filter.h"

namespace sekisho::mgmt {
namespace {

enum Form : std::uint8_t { kNone = 0, kConstant, kVarints, kDifferences, kFixed, kDictionary, kPlain, kEids, kForms };

constexpr int kLevel = 1;
constexpr std::size_t kCompressMin = 64, kEidTail = 10, kKeyTextMax = 255;
constexpr std::uint64_t kMillisecond = 1'000'000;
constexpr Error kBad{ErrorCode::kMalformed, ErrorSite::kStore, 0};

std::uint64_t zigzag(std::uint64_t difference) {
  return (difference << 1) ^ (0 - (difference >> 63));
}
std::uint64_t unzigzag(std::uint64_t number) {
  return (number >> 1) ^ (0 - (number & 1));
}
std::size_t varint_bytes(std::uint64_t number) {
  return (static_cast<std::size_t>(std::bit_width(number | 1)) + 6) / 7;
}

struct Compressor {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ~Compressor() { ZSTD_freeCCtx(context); }
};

/// The smaller of `raw` and its compressed form, at the end of `out`; how many bytes that are.
std::size_t append_packed(std::string& out, std::string_view raw) {
  static thread_local Compressor compressor;
  const std::size_t at = out.size();
  if (raw.size() >= kCompressMin) {
    out.resize(at + ZSTD_compressBound(raw.size()));
    const std::size_t packed =
        ZSTD_compressCCtx(compressor.context, out.data() + at, out.size() - at, raw.data(), raw.size(), kLevel);
    if (ZSTD_isError(packed) == 0 && packed < raw.size()) return out.resize(at + packed), packed;
    out.resize(at);
  }
  out += raw;
  return raw.size();
}

/// Appends numbers in the smallest of their forms and says which.
Form append_numbers(std::string& out, const std::vector<std::uint64_t>& values) {
  std::uint64_t before = 0, most = 0;
  std::size_t plain = 0, differences = 0;
  bool same = true;
  for (const std::uint64_t value : values) {
    plain += varint_bytes(value);
    differences += varint_bytes(zigzag(value - before));
    same = same && value == values.front();
    most = std::max(most, value);
    before = value;
  }
  if (same && most == 0) return kNone;
  if (same) return append_varint(out, most), kConstant;
  const std::size_t width = (static_cast<std::size_t>(std::bit_width(most)) + 7) / 8;
  if (width * values.size() <= std::min(plain, differences)) {
    out += static_cast<char>(width);
    for (const std::uint64_t value : values) {
      char little[8];
      std::memcpy(little, &value, sizeof(value));
      out.append(little, width);
    }
    return kFixed;
  }
  before = 0;
  for (const std::uint64_t value : values) {
    append_varint(out, differences < plain ? zigzag(value - before) : value);
    before = value;
  }
  return differences < plain ? kDifferences : kVarints;
}

bool read_numbers(std::uint8_t form, std::string_view bytes, std::size_t rows, std::vector<std::uint64_t>& out) {
  out.assign(rows, 0);
  if (form == kNone) return bytes.empty();
  if (form == kConstant) {
    std::uint64_t value = 0;
    if (!take_varint(bytes, value)) return false;
    std::fill(out.begin(), out.end(), value);
    return bytes.empty();
  }
  if (form == kFixed) {
    if (bytes.empty()) return false;
    const auto width = static_cast<std::size_t>(static_cast<std::uint8_t>(bytes.front()));
    bytes.remove_prefix(1);
    if (width == 0 || width > 8 || bytes.size() != width * rows) return false;
    for (std::size_t i = 0; i < rows; ++i) std::memcpy(&out[i], bytes.data() + i * width, width);
    return true;
  }
  if (form != kVarints && form != kDifferences) return false;
  std::uint64_t before = 0;
  for (std::uint64_t& value : out) {
    if (!take_varint(bytes, value)) return false;
    if (form == kDifferences) value = before + unzigzag(value);
    before = value;
  }
  return bytes.empty();
}

/// What the time of a session's start lets expect of its length.
std::uint64_t expected_duration(std::uint64_t time, std::uint64_t start) {
  return start == 0 ? 0 : (time - start) / kMillisecond;
}

}  // namespace

struct BlockWriter::Numbers {
  std::vector<std::uint64_t> values;
};

/// Values of one column, each kept once.
struct BlockWriter::Texts {
  struct Value {
    std::uint64_t hash;
    std::size_t offset, bytes;
  };
  std::vector<std::uint32_t> slots = std::vector<std::uint32_t>(64);
  std::vector<Value> values{};
  std::vector<std::uint32_t> rows{};
  std::string bytes{};

  [[nodiscard]] std::string_view text(std::size_t value) const {
    return std::string_view(bytes).substr(values[value].offset, values[value].bytes);
  }
  void add(std::string_view text) {
    if (!rows.empty() && this->text(rows.back()) == text) return rows.push_back(rows.back());
    const std::uint64_t hash = hash_of(text, 0);
    std::size_t at = hash & (slots.size() - 1);
    for (; slots[at] != 0; at = (at + 1) & (slots.size() - 1)) {
      const std::uint32_t known = slots[at] - 1;
      if (values[known].hash == hash && this->text(known) == text) return rows.push_back(known);
    }
    rows.push_back(static_cast<std::uint32_t>(values.size()));
    values.push_back({hash, bytes.size(), text.size()});
    bytes += text;
    slots[at] = static_cast<std::uint32_t>(values.size());
    if (values.size() * 2 > slots.size()) grow();
  }
  void grow() {
    std::vector<std::uint32_t> wider(slots.size() * 4);
    for (std::size_t i = 0; i < values.size(); ++i) {
      std::size_t at = values[i].hash & (wider.size() - 1);
      while (wider[at] != 0) at = (at + 1) & (wider.size() - 1);
      wider[at] = static_cast<std::uint32_t>(i + 1);
    }
    slots.swap(wider);
  }
  void clear() {
    std::fill(slots.begin(), slots.end(), 0);
    values.clear(), rows.clear(), bytes.clear();
  }
  [[nodiscard]] Form append(std::string& out) const {
    if (values.size() == 1 && values[0].bytes == 0) return kNone;
    if (values.size() * 2 > rows.size() && rows.size() > 1) {
      for (const std::uint32_t row : rows) append_varint(out, values[row].bytes);
      for (const std::uint32_t row : rows) out += text(row);
      return kPlain;
    }
    append_varint(out, values.size());
    for (const Value& value : values) append_varint(out, value.bytes);
    out += bytes;
    const std::size_t width = values.size() == 1 ? 0 : values.size() <= 256 ? 1 : 2;
    for (std::size_t byte = 0; byte < width; ++byte) {  // low bytes together, then high ones: they compress better
      for (const std::uint32_t row : rows) out += static_cast<char>(row >> (8 * byte));
    }
    return kDictionary;
  }
};

struct BlockWriter::Adder {
  BlockWriter& to;
  std::size_t column = 0;
  std::uint64_t time = 0, start = 0;

  template <typename T>
  void operator()(const Field& field, const T& value) {
    const std::size_t here = column++;
    if constexpr (NumberField<T>) {
      std::uint64_t number = stored(value);
      if (here == kTimeColumn) time = number;
      if (here == to.start_column_) start = number;
      if constexpr (std::same_as<T, Timestamp>) {
        if (here != kTimeColumn && number != 0) number = zigzag(time - number) + 1;
      }
      if (here == to.duration_column_ && number != 0) number = zigzag(number - 1 - expected_duration(time, start)) + 1;
      to.numbers_[here].values.push_back(number);
    } else if constexpr (std::same_as<T, std::string>) {
      const bool fits = field.characters_max == 0 || value.size() <= field.characters_max;
      to.texts_[here].add(fits ? std::string_view(value) : cut_characters(value, field.characters_max));
    } else if constexpr (std::same_as<T, Uuid>) {
      if (here == kEidColumn) return add_eid(value);
      add_bytes(here, field, value);
    } else {
      add_bytes(here, field, value);
    }
  }
  template <typename T>
  void add_bytes(std::size_t here, const Field& field, const T& value) {
    to.scratch_.clear();
    append_stored(to.scratch_, field, value);
    to.texts_[here].add(to.scratch_);
  }
  /// Its time is nearly the record's; the rest is chance.
  void add_eid(const Uuid& eid) {
    std::uint64_t milliseconds = 0;
    for (std::size_t i = 0; i < 6; ++i) milliseconds = milliseconds << 8 | eid.bytes[i];
    to.numbers_[kEidColumn].values.push_back(zigzag(milliseconds - time / kMillisecond));
    to.texts_[kEidColumn].bytes.append(reinterpret_cast<const char*>(eid.bytes.data()) + 6, kEidTail);
  }
};

BlockWriter::BlockWriter(LogKind type)
    : type_(type),
      numbers_(columns_of(type).size()),
      texts_(columns_of(type).size()),
      start_column_(column_named(type, "start_ts")),
      duration_column_(column_named(type, "dur_ms")) {}

BlockWriter::~BlockWriter() = default;

void BlockWriter::add(const LogEntry& entry) {
  Adder adder{*this};
  for_each_field(entry, adder);
  ++rows_;
}

void BlockWriter::add_keys(FilterBuilder& filter, std::size_t at) const {
  const Column& column = columns_of(type_)[at];
  const auto add_address = [&filter](std::string_view bytes) {
    Address address;
    if (!restore(bytes, address) || address.family == Family::kNone) return;
    filter.add(key_of(address));
    filter.add(key_of_network(address));
  };
  const bool skip = column.characters_max > kKeyTextMax || at == kEidColumn || column.kind == ColumnKind::kTexts;
  for (std::size_t i = 0; i < texts_[at].values.size() && !skip; ++i) {
    std::string_view text = texts_[at].text(i);
    if (column.kind == ColumnKind::kAddress) {
      add_address(text);
    } else if (column.kind == ColumnKind::kAddresses) {
      std::vector<Address> list;
      if (restore(text, list)) {
        for (const Address& one : list) filter.add(key_of(one)), filter.add(key_of_network(one));
      }
    } else if (!text.empty()) {
      filter.add(key_of(column.name, text));
    }
  }
  if (column.name != "vpn_sid") return;
  for (const std::uint64_t sid : numbers_[at].values) {
    if (sid != 0) filter.add(key_of(column.name, to_text(HexId{sid})));
  }
}

BlockWriter::Packed BlockWriter::finish() {
  Packed out;
  FilterBuilder filter;
  std::string columns, raw;
  append_varint(out.body, rows_);
  for (std::size_t i = 0; i < numbers_.size(); ++i) {
    raw.clear();
    Form form;
    if (i == kEidColumn) {
      std::string times;
      raw += static_cast<char>(append_numbers(times, numbers_[i].values));
      append_varint(raw, times.size());
      raw += times + texts_[i].bytes;
      form = kEids;
    } else {
      form = columns_of(type_)[i].is_number() ? append_numbers(raw, numbers_[i].values) : texts_[i].append(raw);
    }
    add_keys(filter, i);
    out.body += static_cast<char>(form);
    if (form != kNone) {
      append_varint(out.body, raw.size());
      append_varint(out.body, append_packed(columns, raw));
    }
    numbers_[i].values.clear();
    texts_[i].clear();
  }
  out.body += columns;
  out.filter = filter.finish();
  rows_ = 0;
  return out;
}

Result<Block> Block::parse(LogKind type, std::string body) {
  Block block(type, std::move(body));
  SEKISHO_CHECK_OK(block.read_places());
  return block;
}

Result<void> Block::read_places() {
  std::string_view left = body_;
  std::uint64_t rows = 0;
  if (!take_varint(left, rows) || rows > kBlockRowsMax) return kBad;
  rows_ = rows;
  std::size_t offset = 0;
  for (std::size_t i = 0; i < columns_of(type_).size(); ++i) {
    // Of a block that was written before the column was there, the columns' bytes are all that is left.
    if (columns_of(type_)[i].later && left.size() == offset) {
      places_.push_back({kNone, 0, 0, 0});
      continue;
    }
    if (left.empty()) return kBad;
    const auto form = static_cast<std::uint8_t>(left.front());
    left.remove_prefix(1);
    std::uint64_t raw = 0, packed = 0;
    if (form >= kForms || (form != kNone && (!take_varint(left, raw) || !take_varint(left, packed)))) return kBad;
    if (raw > kBlockBytesMax || packed > raw) return kBad;
    places_.push_back({form, raw, offset, packed});
    offset += packed;
  }
  if (left.size() != offset) return kBad;
  for (Place& place : places_) place.offset += body_.size() - offset;
  numbers_.resize(places_.size());
  texts_.resize(places_.size());
  return {};
}

Result<std::string> Block::unpack(const Place& place) const {
  const char* from = body_.data() + place.offset;
  if (place.packed == place.raw) return std::string(from, place.raw);
  std::string out(place.raw, '\0');
  const std::size_t got = ZSTD_decompress(out.data(), out.size(), from, place.packed);
  if (ZSTD_isError(got) != 0 || got != place.raw) return kBad;
  return out;
}

Result<const std::vector<std::uint64_t>*> Block::numbers(std::size_t column) {
  if (!columns_of(type_).at(column).is_number()) return kBad;
  auto& values = numbers_[column];
  if (!values) {
    SEKISHO_TRY(const std::string raw, unpack(places_[column]));
    std::vector<std::uint64_t> read;
    if (!read_numbers(places_[column].form, raw, rows_, read)) return kBad;
    SEKISHO_CHECK_OK(undo_prediction(column, read));
    values = std::move(read);
  }
  return const_cast<const std::vector<std::uint64_t>*>(&*values);
}

Result<void> Block::undo_prediction(std::size_t column, std::vector<std::uint64_t>& values) {
  const Column& what = columns_of(type_)[column];
  const bool time = what.kind == ColumnKind::kTime && column != kTimeColumn;
  const bool duration = what.name == "dur_ms";
  if (!time && !duration) return {};
  SEKISHO_TRY(const auto* times, numbers(kTimeColumn));
  const std::vector<std::uint64_t>* starts = nullptr;
  const std::size_t start_column = column_named(type_, "start_ts");
  if (duration && start_column != std::string_view::npos) {
    SEKISHO_TRY(starts, numbers(start_column));
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] == 0) continue;
    const std::uint64_t difference = unzigzag(values[i] - 1);
    values[i] = time ? (*times)[i] - difference
                     : difference + expected_duration((*times)[i], starts != nullptr ? (*starts)[i] : 0) + 1;
  }
  return {};
}

Result<void> Block::load_eid(std::string_view bytes, TextColumn& out) {
  if (bytes.empty()) return kBad;
  const auto form = static_cast<std::uint8_t>(bytes.front());
  bytes.remove_prefix(1);
  std::uint64_t length = 0;
  if (!take_varint(bytes, length) || length > bytes.size() || bytes.size() - length != rows_ * kEidTail) return kBad;
  std::vector<std::uint64_t> milliseconds;
  if (!read_numbers(form, bytes.substr(0, length), rows_, milliseconds)) return kBad;
  bytes.remove_prefix(length);
  SEKISHO_TRY(const auto* times, numbers(kTimeColumn));
  for (std::size_t i = 0; i < rows_; ++i) {
    const std::uint64_t time = (*times)[i] / kMillisecond + unzigzag(milliseconds[i]);
    for (unsigned shift = 48; shift > 0; shift -= 8) out.bytes += static_cast<char>(time >> (shift - 8));
    out.bytes += bytes.substr(i * kEidTail, kEidTail);
  }
  for (std::size_t i = 0; i < rows_; ++i) {
    const auto value = std::string_view(out.bytes).substr(i * 16, 16);
    out.values.push_back(value == std::string_view("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16) ? std::string_view()
                                                                                           : value);
    out.rows.push_back(static_cast<std::uint32_t>(i));
  }
  return {};
}

Result<const Block::TextColumn*> Block::texts(std::size_t column) {
  if (columns_of(type_).at(column).is_number()) return kBad;
  auto& loaded = texts_[column];
  if (loaded) return const_cast<const TextColumn*>(&*loaded);
  const Place& place = places_[column];
  SEKISHO_TRY(std::string raw, unpack(place));
  TextColumn& out = loaded.emplace();
  const auto fail = [&loaded] { return loaded.reset(), kBad; };
  if (column == kEidColumn) {
    if (place.form != kEids || !load_eid(raw, out)) return fail();
    return const_cast<const TextColumn*>(&out);
  }
  if (place.form == kNone) {
    out.values.emplace_back();
    out.rows.assign(rows_, 0);
    return const_cast<const TextColumn*>(&out);
  }
  if (place.form != kDictionary && place.form != kPlain) return fail();
  out.bytes = std::move(raw);
  std::string_view left = out.bytes;
  std::uint64_t count = rows_;
  if (place.form == kDictionary && (!take_varint(left, count) || count == 0 || count > std::max<std::size_t>(rows_, 1)))
    return fail();
  std::vector<std::uint64_t> lengths(count);
  for (std::uint64_t& length : lengths) {
    if (!take_varint(left, length)) return fail();
  }
  for (const std::uint64_t length : lengths) {
    if (length > left.size()) return fail();
    out.values.push_back(left.substr(0, length));
    left.remove_prefix(length);
  }
  const std::size_t width = place.form == kPlain || count == 1 ? 0 : count <= 256 ? 1 : 2;
  if (left.size() != width * rows_) return fail();
  for (std::size_t i = 0; i < rows_; ++i) {
    std::uint32_t value = place.form == kPlain ? static_cast<std::uint32_t>(i) : 0;
    for (std::size_t byte = 0; byte < width; ++byte)
      value |= std::uint32_t{static_cast<std::uint8_t>(left[byte * rows_ + i])} << (8 * byte);
    if (value >= count) return fail();
    out.rows.push_back(value);
  }
  return const_cast<const TextColumn*>(&out);
}

struct Block::EntryReader {
  Block& from;
  std::size_t row;
  std::size_t column = 0;
  bool ok = true;
  template <typename T>
  void operator()(const Field&, T& value) {
    const std::size_t here = column++;
    if (!ok) return;
    if constexpr (NumberField<T>) {
      const auto values = from.numbers(here);
      ok = values && restore((**values)[row], value);
    } else {
      const auto values = from.texts(here);
      ok = values && restore((*values)->values[(*values)->rows[row]], value);
    }
  }
};

Result<LogEntry> Block::entry(std::size_t row) {
  if (row >= rows_) return kBad;
  LogEntry out = make_entry(type_);
  EntryReader reader{*this, row};
  for_each_field(out, reader);
  if (!reader.ok || out.type != type_) return kBad;
  return out;
}

}  // namespace sekisho::mgmt
