// SPDX-License-Identifier: Apache-2.0
// A reader on the loop's thread: it knows its block and row, whether that block is sealed by now or not.
#include <sys/stat.h>

#include "mgmt/log/vault/vault_state.h"

namespace sekisho::mgmt {

class VaultCursor final : public LogCursor {
 public:
  VaultCursor(Vault& vault, StreamName stream) : vault_(vault), stream_(std::move(stream)) {}

  Result<void> start(StartAt start) {
    SEKISHO_TRY(const Vault::State* state, vault_.state_of(stream_));
    const auto names = list_segments(vault_.folder(stream_));
    block_ = state->next_block;
    row_ = 0;
    if (start.kind == StartAt::Kind::kEnd) {
      row_ = state->row_ends.size();
    } else if (start.kind == StartAt::Kind::kLast) {
      return start_back(*state, names, start.last);
    } else if (start.kind == StartAt::Kind::kAfter) {
      start_after(*state, names, start);
    } else {
      const Day day = start.kind == StartAt::Kind::kDay ? day_of(start.day) : 0;
      if (state->day < day) row_ = state->row_ends.size();
      for (const SegmentName& name : names) {
        if (name.day < day) continue;
        const auto reader = open(*state, name);
        if (!reader) continue;
        block_ = reader->head().first_block;
        row_ = 0;
        break;
      }
    }
    return {};
  }

  Result<std::optional<LogEntry>> next() override {
    for (;;) {
      SEKISHO_TRY(const Vault::State* state, vault_.state_of(stream_));
      if (block_ > state->next_block) block_ = state->next_block, row_ = 0;  // erased meanwhile
      if (block_ == state->next_block) {
        if (row_ >= state->row_ends.size()) return std::optional<LogEntry>{};
        return row_of(*state, row_++);
      }
      if (!loaded_ || loaded_number_ != block_) {
        loaded_.reset();
        SEKISHO_CHECK_OK(load(*state));
        if (!loaded_) continue;
      }
      if (row_ < loaded_->rows()) {
        auto entry = loaded_->entry(row_++);
        if (!entry) continue;
        return std::optional(std::move(*entry));
      }
      ++block_, row_ = 0;
    }
  }

 private:
  static Result<std::optional<LogEntry>> row_of(const Vault::State& state, std::size_t row) {
    const std::size_t begin = row == 0 ? 0 : state.row_ends[row - 1];
    std::string_view bytes = std::string_view(state.rows).substr(begin, state.row_ends[row] - begin);
    std::uint64_t length = 0;
    (void)take_varint(bytes, length);
    SEKISHO_TRY(LogEntry entry, read_row(state.newest->type, bytes));
    return std::optional(std::move(entry));
  }

  Result<SegmentReader> open(const Vault::State& state, const SegmentName& name) const {
    const std::string path = vault_.folder(stream_) + "/" + name.text();
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) return disk_error();
    return SegmentReader::open(
        path, stream_, name == state.segment ? state.segment_bytes : static_cast<std::uint64_t>(status.st_size));
  }

  /// So many records before the end.
  Result<void> start_back(const Vault::State& state, const std::vector<SegmentName>& names, std::size_t left) {
    if (left <= state.row_ends.size()) return row_ = state.row_ends.size() - left, Result<void>();
    left -= state.row_ends.size();
    for (std::size_t i = names.size(); i-- > 0;) {
      auto reader = open(state, names[i]);
      if (!reader) continue;
      std::vector<BlockHead> heads;
      for (std::uint64_t offset = kSegmentHeadBytes;;) {
        const auto head = reader->at(offset);
        if (!head || !*head) break;
        heads.push_back(**head);
        offset += (**head).bytes();
      }
      for (std::size_t k = heads.size(); k-- > 0;) {
        block_ = heads[k].number;
        row_ = heads[k].rows > left ? heads[k].rows - left : 0;
        if (heads[k].rows >= left) return {};
        left -= heads[k].rows;
      }
    }
    return {};
  }

  /// The first block that ends later than that record: heads tell, and nothing is unsealed.
  void start_after(const Vault::State& state, const std::vector<SegmentName>& names, const StartAt& start) {
    for (const SegmentName& name : names) {
      if (name.day < day_of(start.day)) continue;
      const auto reader = open(state, name);
      if (!reader) continue;
      for (std::uint64_t offset = kSegmentHeadBytes;;) {
        const auto head = reader->at(offset);
        if (!head || !*head) break;
        if (std::pair((**head).last, (**head).last_sequence) > std::pair(start.day, start.sequence)) {
          block_ = (**head).number;
          return;
        }
        offset += (**head).bytes();
      }
    }
    // Among those that are in no block yet.
    std::size_t low = 0;
    for (std::size_t high = state.row_ends.size(); low < high;) {
      const std::size_t middle = low + (high - low) / 2;
      const auto entry = row_of(state, middle);
      if (!entry || !*entry) return;
      if (std::pair((**entry).ts, (**entry).seq) > std::pair(start.day, start.sequence))
        high = middle;
      else
        low = middle + 1;
    }
    row_ = low;
  }

  /// The block we want, or, when it cannot be read, `block_` moved to the next that may be.
  Result<void> load(const Vault::State& state) {
    if (!reader_ || reader_next_ != block_ || !at_reader(state)) {
      SEKISHO_CHECK_OK(find(state));
      if (!reader_) return {};
    }
    const auto head = reader_->at(offset_);
    if (!head || !*head) {
      // The end of this segment, or a place where nothing can be read: on with the one after it.
      const SegmentName here = reader_->head().name;
      reader_.reset();
      for (const SegmentName& name : list_segments(vault_.folder(stream_))) {
        if (name <= here) continue;
        const auto later = open(state, name);
        if (later)
          return block_ = std::max(block_ + (head ? 0 : 1), later->head().first_block), row_ = 0, Result<void>();
      }
      return block_ = state.next_block, row_ = 0, Result<void>();
    }
    const std::uint64_t offset = offset_;
    offset_ += (**head).bytes();
    reader_next_ = block_ + 1;
    auto block =
        key_ ? reader_->body(offset, **head, *key_) : Result<Block>(Error{ErrorCode::kDenied, ErrorSite::kStore, 4});
    if (!block) return ++block_, row_ = 0, Result<void>();  // damaged: the hole in seq shows it
    loaded_ = std::move(*block);
    loaded_number_ = block_;
    return {};
  }

  [[nodiscard]] bool at_reader(const Vault::State& state) {
    if (reader_->head().name == state.segment) reader_->set_limit(state.segment_bytes);
    return true;
  }

  Result<void> find(const Vault::State& state) {
    reader_.reset();
    const auto names = list_segments(vault_.folder(stream_));
    for (std::size_t i = names.size(); i-- > 0;) {
      auto reader = open(state, names[i]);
      if (!reader || (reader->head().first_block > block_ && i > 0)) continue;
      if (reader->head().first_block > block_) block_ = reader->head().first_block, row_ = 0;
      offset_ = kSegmentHeadBytes;
      for (std::uint64_t number = reader->head().first_block; number < block_; ++number) {
        const auto head = reader->at(offset_);
        if (!head || !*head) break;
        offset_ += (**head).bytes();
      }
      SEKISHO_TRY(const auto key, vault_.keyring().find(stream_, names[i].day));
      key_ = key ? std::make_unique<Aead>(*key) : nullptr;
      reader_ = std::move(*reader);
      reader_next_ = block_;
      return {};
    }
    return block_ = state.next_block, row_ = 0, Result<void>();
  }

  Vault& vault_;
  StreamName stream_;
  std::uint64_t block_ = 0;
  std::size_t row_ = 0;
  std::optional<Block> loaded_;
  std::uint64_t loaded_number_ = 0;
  std::optional<SegmentReader> reader_;
  std::uint64_t reader_next_ = 0, offset_ = 0;
  std::unique_ptr<Aead> key_;
};

Result<std::unique_ptr<LogCursor>> Vault::open(const StreamName& stream, StartAt start) {
  auto cursor = std::make_unique<VaultCursor>(*this, stream);
  SEKISHO_CHECK_OK(cursor->start(start));
  return std::unique_ptr<LogCursor>(std::move(cursor));
}

}  // namespace sekisho::mgmt
