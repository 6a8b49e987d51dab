// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>

#include "mgmt/log/vault/query.h"
#include "mgmt/log/vault/vault.h"

namespace sekisho::mgmt {

/// Where a record stands among all of a tenant's: times never fall within a stream, numbers rise.
struct Place {
  std::uint64_t time = 0;
  LogKind type{};
  std::uint64_t sequence = 0;
  auto operator<=>(const Place&) const = default;
};

/// "1.TIME.TYPE.SEQUENCE.QUESTION" in hex digits: records before that place, for the question with that hash.
std::string cursor_text(const Place& before, std::uint64_t question);
/// Empty: not a cursor, or another question's.
std::optional<Place> parse_cursor(std::string_view text, std::uint64_t question);

/// A search, made ready on the loop's thread, run on any.
class Search {
 public:
  static constexpr std::size_t kPage = 100, kPageMax = 1000;
  static constexpr std::chrono::seconds kTimeMax{30};

  /// The text is why it is refused; empty: `out` holds.
  static std::string prepare(Vault& vault, const ipc::SearchLog& question, std::unique_ptr<Search>& out);
  ~Search();
  /// Reads what it must, newest first, until the page is full or time is up.
  ipc::LogPage run();

 private:
  class Stream;
  Search();

  std::unique_ptr<class ReadAhead> ahead_;
  std::vector<std::unique_ptr<Stream>> streams_;
  std::size_t limit_ = kPage;
  std::chrono::seconds time_ = kTimeMax;
  std::uint64_t question_ = 0;
  Place before_;
  Audience audience_ = Audience::kTenant;
};

}  // namespace sekisho::mgmt
