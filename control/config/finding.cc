// SPDX-License-Identifier: Apache-2.0
#include "control/config/finding.h"

#include <utility>

namespace sekisho::control {

namespace {

std::uint64_t path_hash(std::string_view text) {
  std::uint64_t value = 0xcbf29ce484222325ULL;  // FNV-1a, 64 bits
  for (const char c : text) value = (value ^ static_cast<std::uint8_t>(c)) * 0x100000001b3ULL;
  return value;
}

/// "a.b[1]" is held by "a.b", that by "a", that by "".
std::string_view parent_of(std::string_view path) {
  const std::size_t cut = path.find_last_of(".[");
  return path.substr(0, cut == std::string_view::npos ? 0 : cut);
}

}  // namespace

void Positions::add(std::string_view path, Place place) { entries_.push_back({path_hash(path), place}); }

Positions::Place Positions::find(std::string_view path) const {
  for (;;) {
    const std::uint64_t key = path_hash(path);
    const auto it = std::lower_bound(entries_.begin(), entries_.end(), key,
                                     [](const Entry& entry, std::uint64_t k) { return entry.key < k; });
    if (it != entries_.end() && it->key == key) return it->place;
    if (path.empty()) return {};
    path = parent_of(path);
  }
}

void Refusals::add(std::string_view path) {
  refused_.insert(path_hash(path));
  while (!path.empty()) {
    path = parent_of(path);
    above_.insert(path_hash(path));
  }
}

bool Refusals::covers(std::string_view path) const {
  while (!refused_.contains(path_hash(path))) {
    if (path.empty()) return false;
    path = parent_of(path);
  }
  return true;
}

bool Refusals::touches(std::string_view path) const { return above_.contains(path_hash(path)) || covers(path); }

std::string Path::text() const {
  if (parent_ == nullptr) return {};
  std::string out = parent_->text();
  if (!out.empty()) out += '.';
  out += field_;
  if (index_ >= 0) out += '[' + std::to_string(index_) + ']';
  return out;
}

void Reporter::add(Severity severity, const Path& path, std::string sentence) {
  if (refused(path)) return;
  if (findings_.size() >= kFindingsMax) {
    ++left_out_;
    errors_left_out_ |= severity == Severity::kError;
    return;
  }
  std::string text = path.text();
  const Positions::Place place = positions_.find(text);
  findings_.push_back({severity, std::move(text), place.line, place.column, std::move(sentence)});
}

void Reporter::no_such_name(const Path& path, std::initializer_list<std::string_view> lists, std::string sentence) {
  if (refusals_ != nullptr && !refusals_->empty()) {
    const std::string text = path.text();
    const std::string tenant = text.substr(0, text.find(']') + 1);
    for (const std::string_view list : lists) {
      const std::string where = list.starts_with('.') ? tenant + std::string(list) : std::string(list);
      if (refusals_->touches(where)) return;
    }
  }
  error(path, std::move(sentence));
}

std::vector<Finding> Reporter::take() {
  sort_findings(findings_);
  if (left_out_ != 0) {
    findings_.push_back({errors_left_out_ ? Severity::kError : Severity::kWarning, "", 0, 0,
                         std::to_string(left_out_) + " further findings are left out"});
  }
  return std::exchange(findings_, {});
}

void sort_findings(std::vector<Finding>& findings) {
  std::stable_sort(findings.begin(), findings.end(), [](const Finding& a, const Finding& b) {
    return std::pair(a.line, a.column) < std::pair(b.line, b.column);
  });
}

std::string to_line(std::string_view file, const Finding& finding) {
  std::string out(file);
  out += ':' + std::to_string(finding.line) + ':' + std::to_string(finding.column);
  out += finding.severity == Severity::kError ? ": error: " : ": warning: ";
  if (!finding.path.empty()) out += finding.path + ": ";
  return out + finding.sentence;
}

}  // namespace sekisho::control
