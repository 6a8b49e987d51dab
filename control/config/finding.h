// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sekisho::control {

/// How many findings one document is answered with; what is beyond is said in one last sentence.
inline constexpr std::size_t kFindingsMax = 1000;

enum class Severity : std::uint8_t { kError, kWarning };

/// A place in a document and a sentence about it. Lines and columns count from 1; columns count characters.
struct Finding {
  Severity severity = Severity::kError;
  std::string path;  ///< "tenants[0].policies[1].rules[3].destination"
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  std::string sentence;
};

[[nodiscard]] inline bool has_errors(const std::vector<Finding>& findings) {
  return std::any_of(findings.begin(), findings.end(), [](const Finding& f) { return f.severity == Severity::kError; });
}

/// Where in the text each value of a document stands, by path. 16 bytes a value: paths are kept as 64-bit hashes.
class Positions {
 public:
  struct Place {
    std::uint32_t line = 0;
    std::uint32_t column = 0;
  };

  void add(std::string_view path, Place place) { entries_.push_back({hash(path), place}); }
  /// Call once after the last add().
  void finish() {
    std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.key < b.key; });
  }
  /// The place of `path`, or of its nearest parent that has one; 0:0 when there is none.
  [[nodiscard]] Place find(std::string_view path) const;

 private:
  struct Entry {
    std::uint64_t key;
    Place place;
  };
  static std::uint64_t hash(std::string_view text);
  std::vector<Entry> entries_;
};

/// A path under construction, on the stack: made into text only when there is something to say. Borrows its parent and the
/// field's name.
class Path {
 public:
  Path() = default;
  Path(const Path& parent, std::string_view field) : parent_(&parent), field_(field) {}
  Path(Path&& parent, std::string_view field, int index = -1) = delete;  // it would not outlive the line
  Path(const Path& parent, std::string_view field, int index) : parent_(&parent), field_(field), index_(index) {}
  [[nodiscard]] std::string text() const;

 private:
  const Path* parent_ = nullptr;
  std::string_view field_;
  int index_ = -1;
};

/// Collects findings and puts each at its place in the text.
class Reporter {
 public:
  explicit Reporter(const Positions& positions) : positions_(positions) {}
  void error(const Path& path, std::string sentence) { add(Severity::kError, path, std::move(sentence)); }
  void warning(const Path& path, std::string sentence) { add(Severity::kWarning, path, std::move(sentence)); }
  /// In document order.
  [[nodiscard]] std::vector<Finding> take();

 private:
  void add(Severity severity, const Path& path, std::string sentence);
  const Positions& positions_;
  std::vector<Finding> findings_;
  std::size_t left_out_ = 0;
  bool errors_left_out_ = false;
};

/// "FILE:LINE:COLUMN: severity: path: sentence"
std::string to_line(std::string_view file, const Finding& finding);

}  // namespace sekisho::control
