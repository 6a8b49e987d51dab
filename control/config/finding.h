// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
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

  void add(std::string_view path, Place place);
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
  std::vector<Entry> entries_;
};

/// Which values of a document were refused when it was read. What they would have said is unknown, so nothing may be
/// concluded from their absence: a mistake is reported once, where it was made.
class Refusals {
 public:
  void add(std::string_view path);
  /// Whether the value at `path`, or one that holds it, was refused.
  [[nodiscard]] bool covers(std::string_view path) const;
  /// Whether anything of the value at `path` is unknown: covers(), or a refused value beneath it.
  [[nodiscard]] bool touches(std::string_view path) const;
  [[nodiscard]] bool empty() const { return refused_.empty(); }

 private:
  std::unordered_set<std::uint64_t> refused_;
  std::unordered_set<std::uint64_t> above_;  // every parent of a refused value
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

/// Collects findings and puts each at its place in the text. Drops those about refused values: they were reported when
/// the document was read.
class Reporter {
 public:
  explicit Reporter(const Positions& positions, const Refusals* refusals = nullptr, std::vector<Finding> before = {})
      : positions_(positions), refusals_(refusals), findings_(std::move(before)) {}
  void error(const Path& path, std::string sentence) { add(Severity::kError, path, std::move(sentence)); }
  void warning(const Path& path, std::string sentence) { add(Severity::kWarning, path, std::move(sentence)); }
  /// The name at `path` is nobody's among `lists`: fields of the document ("nics"), or of the tenant the path lies in
  /// (".zones"). Not reported while part of such a list is unknown: the name may be given there.
  void no_such_name(const Path& path, std::initializer_list<std::string_view> lists, std::string sentence);
  /// Whether the value at `path` is unknown: the model holds its default or nothing in its place.
  [[nodiscard]] bool refused(const Path& path) const {
    return refusals_ != nullptr && !refusals_->empty() && refusals_->covers(path.text());
  }
  /// In document order.
  [[nodiscard]] std::vector<Finding> take();

 private:
  void add(Severity severity, const Path& path, std::string sentence);
  const Positions& positions_;
  const Refusals* refusals_;  // null: none
  std::vector<Finding> findings_;
  std::size_t left_out_ = 0;
  bool errors_left_out_ = false;
};

/// By line and column; of one place, in the order given.
void sort_findings(std::vector<Finding>& findings);

/// "FILE:LINE:COLUMN: severity: path: sentence"
std::string to_line(std::string_view file, const Finding& finding);

}  // namespace sekisho::control
