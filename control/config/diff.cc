// SPDX-License-Identifier: Apache-2.0
// Overview: both models are walked together by their descriptors. Messages with a (key) are matched by it; those without
// (pairs, ICMP types) by their whole text; scalars by their text.
#include "control/config/diff.h"

#include <algorithm>
#include <map>
#include <set>

#include "control/config/codec.h"

namespace sekisho::control {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

std::string key_of(const Message& message) {
  const auto& name = message.GetDescriptor()->options().GetExtension(model::key);
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(name);
  return message.GetReflection()->GetString(message, field);
}

/// What people call it: the name where there is one besides the key.
std::string label_of(const Message& message) {
  const FieldDescriptor* name = message.GetDescriptor()->FindFieldByName("name");
  return name != nullptr ? message.GetReflection()->GetString(message, name) : key_of(message);
}

std::vector<const Message*> elements(const Message& message, const FieldDescriptor& field) {
  std::vector<const Message*> out;
  for (int i = 0; i < message.GetReflection()->FieldSize(message, &field); ++i) {
    out.push_back(&message.GetReflection()->GetRepeatedMessage(message, &field, i));
  }
  return out;
}

std::multiset<std::string> texts(const Message& message, const FieldDescriptor& field) {
  std::multiset<std::string> out;
  for (int i = 0; i < message.GetReflection()->FieldSize(message, &field); ++i) out.insert(scalar_text(message, field, i));
  return out;
}

std::string list_text(const Message& message, const FieldDescriptor& field) {
  std::string out = "[";
  for (int i = 0; i < message.GetReflection()->FieldSize(message, &field); ++i) {
    if (i != 0) out += ", ";
    out += shown_text(message, field, i);
  }
  return out + ']';
}

/// Which of `places` (a permutation of positions) need not move: a longest rising run, O(n log n).
std::vector<bool> staying(const std::vector<std::size_t>& places) {
  std::vector<std::size_t> tails;  // index of the smallest tail of a run of each length
  std::vector<std::size_t> previous(places.size(), 0);
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto at = std::lower_bound(tails.begin(), tails.end(), places[i], [&](std::size_t t, std::size_t p) { return places[t] < p; });
    previous[i] = at == tails.begin() ? i : *(at - 1);
    if (at == tails.end()) {
      tails.push_back(i);
    } else {
      *at = i;
    }
  }
  std::vector<bool> out(places.size(), false);
  if (tails.empty()) return out;
  for (std::size_t i = tails.back();; i = previous[i]) {
    out[i] = true;
    if (previous[i] == i) return out;
  }
}

class Differ {
 public:
  std::vector<Change> take() { return std::move(changes_); }

  void compare(const std::string& path, const Message& before, const Message& after) {
    const auto* type = before.GetDescriptor();
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor& field = *type->field(i);
      const std::string here = path.empty() ? field.name() : path + '.' + field.name();
      if (!field.is_repeated()) {
        compare_one(here, before, after, field);
      } else if (field.message_type() != nullptr && field.message_type()->options().HasExtension(model::key)) {
        compare_named(here, elements(before, field), elements(after, field), field.options().GetExtension(model::ordered));
      } else if (texts(before, field) != texts(after, field)) {
        changes_.push_back({ChangeKind::kChanged, here, list_text(before, field), list_text(after, field)});
      }
    }
  }

 private:
  void compare_one(const std::string& path, const Message& before, const Message& after, const FieldDescriptor& field) {
    if (field.message_type() != nullptr) {
      // An absent message says what an empty one says: its defaults.
      return compare(path, before.GetReflection()->GetMessage(before, &field), after.GetReflection()->GetMessage(after, &field));
    }
    const std::string old_text = shown(before, field);
    const std::string new_text = shown(after, field);
    if (old_text == new_text) return;
    const ChangeKind kind = old_text.empty() ? ChangeKind::kAdded : new_text.empty() ? ChangeKind::kRemoved : ChangeKind::kChanged;
    const bool secret = field.options().GetExtension(model::secret);
    const auto shown_as = [secret](const std::string& text) { return secret && !text.empty() ? std::string(kMasked) : text; };
    changes_.push_back({kind, path, shown_as(old_text), shown_as(new_text)});
  }

  /// The effective value; nothing where absence means something of its own.
  static std::string shown(const Message& message, const FieldDescriptor& field) {
    const bool absent = !message.GetReflection()->HasField(message, &field);
    return absent && !field.has_default_value() ? std::string() : scalar_text(message, field, -1);
  }

  void compare_named(const std::string& path, const std::vector<const Message*>& before, const std::vector<const Message*>& after,
                     bool ordered) {
    std::map<std::string, std::size_t> old_places;
    std::set<std::string> new_keys;
    for (std::size_t i = 0; i < before.size(); ++i) old_places.emplace(key_of(*before[i]), i);
    for (const Message* message : after) new_keys.insert(key_of(*message));
    for (const Message* message : before) {
      if (!new_keys.contains(key_of(*message))) {
        changes_.push_back({ChangeKind::kRemoved, path + '[' + label_of(*message) + ']', encode_line(*message), ""});
      }
    }
    std::vector<std::size_t> kept_old;
    std::vector<std::size_t> kept_new;
    for (std::size_t i = 0; i < after.size(); ++i) {
      const std::string here = path + '[' + label_of(*after[i]) + ']';
      const auto old = old_places.find(key_of(*after[i]));
      if (old == old_places.end()) {
        changes_.push_back({ChangeKind::kAdded, here, "", encode_line(*after[i])});
        continue;
      }
      kept_old.push_back(old->second);
      kept_new.push_back(i);
      compare(here, *before[old->second], *after[i]);
    }
    if (!ordered) return;
    const std::vector<bool> stays = staying(kept_old);
    for (std::size_t i = 0; i < kept_old.size(); ++i) {
      if (stays[i]) continue;
      changes_.push_back({ChangeKind::kMoved, path + '[' + label_of(*after[kept_new[i]]) + ']', std::to_string(kept_old[i] + 1),
                          std::to_string(kept_new[i] + 1)});
    }
  }

  std::vector<Change> changes_;
};

}  // namespace

std::vector<Change> diff_models(const model::Configuration& before, const model::Configuration& after) {
  Differ differ;
  differ.compare("", before, after);
  return differ.take();
}

}  // namespace sekisho::control
