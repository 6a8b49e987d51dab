// SPDX-License-Identifier: Apache-2.0
#include "control/config/finding.h"

#include <utility>

namespace sekisho::control {

std::uint64_t Positions::hash(std::string_view text) {
  std::uint64_t value = 0xcbf29ce484222325ULL;  // FNV-1a, 64 bits
  for (const char c : text) value = (value ^ static_cast<std::uint8_t>(c)) * 0x100000001b3ULL;
  return value;
}

Positions::Place Positions::find(std::string_view path) const {
  for (;;) {
    const std::uint64_t key = hash(path);
    const auto it = std::lower_bound(entries_.begin(), entries_.end(), key,
                                     [](const Entry& entry, std::uint64_t k) { return entry.key < k; });
    if (it != entries_.end() && it->key == key) return it->place;
    if (path.empty()) return {};
    const std::size_t cut = path.find_last_of(".[");
    path = path.substr(0, cut == std::string_view::npos ? 0 : cut);
  }
}

std::string Path::text() const {
  if (parent_ == nullptr) return {};
  std::string out = parent_->text();
  if (!out.empty()) out += '.';
  out += field_;
  if (index_ >= 0) out += '[' + std::to_string(index_) + ']';
  return out;
}

void Reporter::add(Severity severity, const Path& path, std::string sentence) {
  if (findings_.size() >= kFindingsMax) {
    ++left_out_;
    errors_left_out_ |= severity == Severity::kError;
    return;
  }
  std::string text = path.text();
  const Positions::Place place = positions_.find(text);
  findings_.push_back({severity, std::move(text), place.line, place.column, std::move(sentence)});
}

std::vector<Finding> Reporter::take() {
  std::stable_sort(findings_.begin(), findings_.end(), [](const Finding& a, const Finding& b) {
    return std::pair(a.line, a.column) < std::pair(b.line, b.column);
  });
  if (left_out_ != 0) {
    findings_.push_back({errors_left_out_ ? Severity::kError : Severity::kWarning, "", 0, 0,
                         std::to_string(left_out_) + " further findings are left out"});
  }
  return std::exchange(findings_, {});
}

std::string to_line(std::string_view file, const Finding& finding) {
  std::string out(file);
  out += ':' + std::to_string(finding.line) + ':' + std::to_string(finding.column);
  out += finding.severity == Severity::kError ? ": error: " : ": warning: ";
  if (!finding.path.empty()) out += finding.path + ": ";
  return out + finding.sentence;
}

}  // namespace sekisho::control
