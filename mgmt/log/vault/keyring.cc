// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/vault/keyring.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "mgmt/log/files.h"
#include "mgmt/log/time_text.h"

namespace sekisho::mgmt {
namespace {

constexpr std::string_view kMagic = "SKKEYS01", kBoxMagic = "SKBOXK01";
constexpr std::size_t kFileBytesMax = 4U << 20, kKeyBytes = 32, kEntryBytes = 1 + 4 + kKeyBytes,
                      kSealedMin = 8 + 12 + kAeadTagBytes;
constexpr Error kBadFile{ErrorCode::kMalformed, ErrorSite::kStore, 1};

ByteSpan span_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
void wipe(std::string& text) {
  OPENSSL_cleanse(text.data(), text.size());
}

std::string open_text(const TenantKeys& keys) {
  std::string out;
  for (const auto& [what, key] : keys) {
    out += static_cast<char>(what.first);
    for (unsigned shift = 0; shift < 32; shift += 8) out += static_cast<char>(what.second >> shift);
    out.append(reinterpret_cast<const char*>(key.data()), key.size());
  }
  return out;
}

}  // namespace

Day day_of(Timestamp time) {
  return day_at(static_cast<std::int64_t>(time.ns / 1'000'000'000));
}

Timestamp start_of(Day day) {
  return {static_cast<std::uint64_t>(begin_of(day)) * 1'000'000'000};
}

Result<TenantKeys> parse_keys(std::string_view text) {
  TenantKeys out;
  if (text.size() % kEntryBytes != 0) return kBadFile;
  for (; !text.empty(); text.remove_prefix(kEntryBytes)) {
    const auto type = static_cast<LogKind>(text[0]);
    if (text_of(type).empty()) return kBadFile;
    Day day = 0;
    for (std::size_t i = 0; i < 4; ++i) day |= Day{static_cast<std::uint8_t>(text[1 + i])} << (8 * i);
    AeadKey key;
    std::copy_n(text.begin() + 5, key.size(), key.begin());
    out[{type, day}] = key;
  }
  return out;
}

Keyring::Keyring(std::string root, Disk& disk) : root_(std::move(root)), disk_(disk) {}

Keyring::~Keyring() {
  OPENSSL_cleanse(&box_, sizeof(box_));
  OPENSSL_cleanse(seed_.data(), seed_.size());
  for (auto& [code, keys] : loaded_) {
    for (auto& [what, key] : keys) OPENSSL_cleanse(key.data(), key.size());
  }
}

Result<void> Keyring::open() {
  if (open_) return {};
  if (disk_.make_folder(folder()) != 0 && errno != EEXIST) return disk_error();
  if (::chmod(folder().c_str(), 0700) != 0) return disk_error();
  auto box = read_file(path("box.key"), kFileBytesMax);
  if (!box && box.error().code != ErrorCode::kNotFound) return box.error();
  if (!box) {
    box_ = {random_bytes<kKeyBytes>(), std::nullopt};
    SEKISHO_CHECK_OK(save_box());
  } else {
    if (!box->starts_with(kBoxMagic) || (box->size() != 8 + kKeyBytes && box->size() != 8 + 2 * kKeyBytes))
      return kBadFile;
    std::copy_n(box->begin() + 8, kKeyBytes, box_.now.begin());
    if (box->size() > 8 + kKeyBytes)
      std::copy_n(box->begin() + 8 + kKeyBytes, kKeyBytes, box_.before.emplace().begin());
    wipe(*box);
  }
  auto seed = read_file(path("sign.key"), kFileBytesMax);
  if (!seed && seed.error().code != ErrorCode::kNotFound) return seed.error();
  if (!seed) {
    seed_ = random_bytes<kKeyBytes>();
    SEKISHO_CHECK_OK(
        replace_for_good(disk_, path("sign.key"), {reinterpret_cast<const char*>(seed_.data()), seed_.size()}));
  } else {
    if (seed->size() != seed_.size()) return kBadFile;
    std::copy(seed->begin(), seed->end(), seed_.begin());
    wipe(*seed);
  }
  const SigningPublic open_half = signing_public();
  SEKISHO_CHECK_OK(
      replace_for_good(disk_, path("sign.pub"), {reinterpret_cast<const char*>(open_half.data()), open_half.size()}));
  if (box_.before) SEKISHO_CHECK_OK(finish_rotation());
  open_ = true;
  return {};
}

Result<void> Keyring::save_box() {
  std::string text(kBoxMagic);
  text.append(reinterpret_cast<const char*>(box_.now.data()), kKeyBytes);
  if (box_.before) text.append(reinterpret_cast<const char*>(box_.before->data()), kKeyBytes);
  const auto saved = replace_for_good(disk_, path("box.key"), text);
  wipe(text);
  return saved;
}

Result<TenantKeys> Keyring::read(const std::string& service_code) {
  const auto file = read_file(path(service_code + ".keys"), kFileBytesMax);
  if (!file) {
    if (file.error().code == ErrorCode::kNotFound) return TenantKeys{};
    return file.error();
  }
  if (!file->starts_with(kMagic) || file->size() < kSealedMin) return kBadFile;
  AeadNonce nonce;
  std::copy_n(file->begin() + 8, nonce.size(), nonce.begin());
  const ByteSpan sealed = span_of(*file).subspan(8 + nonce.size());
  for (const auto* key : {&box_.now, box_.before ? &*box_.before : nullptr}) {
    std::string text;
    if (key == nullptr || !Aead(*key).open(nonce, span_of(service_code), sealed, text)) continue;
    auto keys = parse_keys(text);
    wipe(text);
    return keys;
  }
  return Error{ErrorCode::kDenied, ErrorSite::kStore, 1};  // another box's, or from before its keys were destroyed
}

Result<void> Keyring::save(const std::string& service_code, const TenantKeys& keys) {
  const std::string file = path(service_code + ".keys");
  if (keys.empty()) {
    if (disk_.remove(file) != 0 && errno != ENOENT) return disk_error();
    return disk_.sync_folder(folder()) == 0 ? Result<void>() : disk_error();
  }
  const auto nonce = random_bytes<12>();
  std::string out(kMagic), text = open_text(keys);
  out.append(reinterpret_cast<const char*>(nonce.data()), nonce.size());
  Aead(box_.now).seal(nonce, span_of(service_code), span_of(text), out);
  wipe(text);
  return replace_for_good(disk_, file, out);
}

Result<TenantKeys*> Keyring::load(const std::string& service_code) {
  SEKISHO_CHECK_OK(open());
  const auto found = loaded_.find(service_code);
  if (found != loaded_.end()) return &found->second;
  auto keys = read(service_code);
  if (!keys && keys.error().code == ErrorCode::kDenied) {
    // A copy from another time: what it opened was erased. It must not stand in the way of new records.
    if (disk_.rename(path(service_code + ".keys"), path(service_code + ".keys.foreign")) != 0) return disk_error();
    keys = TenantKeys{};
  }
  if (!keys) return keys.error();
  return &loaded_.emplace(service_code, std::move(*keys)).first->second;
}

Result<AeadKey> Keyring::key(const StreamName& stream, Day day) {
  SEKISHO_TRY(TenantKeys * keys, load(stream.service_code));
  const auto found = keys->find({stream.type, day});
  if (found != keys->end()) return found->second;
  // Of all types at once: a day begins for all of them, and each file that is made safe costs time.
  TenantKeys wider = *keys;
  for (const LogKind type : kAllTypes) wider.try_emplace({type, day}, random_bytes<kKeyBytes>());
  const AeadKey fresh = wider.at({stream.type, day});
  SEKISHO_CHECK_OK(save(stream.service_code, wider));
  *keys = std::move(wider);
  return fresh;
}

Result<std::optional<AeadKey>> Keyring::find(const StreamName& stream, Day day) {
  SEKISHO_TRY(const TenantKeys* keys, load(stream.service_code));
  const auto found = keys->find({stream.type, day});
  return found == keys->end() ? std::optional<AeadKey>{} : std::optional(found->second);
}

Result<TenantKeys> Keyring::keys_of(const std::string& service_code) {
  SEKISHO_TRY(const TenantKeys* keys, load(service_code));
  return *keys;
}

Result<std::map<std::string, Keyring::What>> Keyring::destroy(const std::map<std::string, What>& what) {
  SEKISHO_CHECK_OK(open());
  // One that broke off: files that its old key opens are still there, and that key must not be forgotten for a third.
  if (box_.before) SEKISHO_CHECK_OK(finish_rotation());
  std::map<std::string, What> gone;
  std::map<std::string, TenantKeys> kept;
  for (const auto& [code, days] : what) {
    SEKISHO_TRY(const TenantKeys* keys, load(code));
    TenantKeys left = days.empty() ? TenantKeys{} : *keys;
    for (const auto& one : days) left.erase(one);
    for (const auto& [one, key] : *keys) {
      if (!left.contains(one)) gone[code].push_back(one);
    }
    if (left.size() != keys->size()) kept[code] = std::move(left);
  }
  // The new box key first: whatever happens next, open() goes on to seal all under it and to forget the old one.
  BoxKeys old = box_;
  box_.before = box_.now;
  box_.now = random_bytes<kKeyBytes>();
  const auto saved = save_box();
  if (!saved) box_ = old;  // nothing was sealed under the new one; if the disk has it, it has the old one beside it
  OPENSSL_cleanse(&old, sizeof(old));
  if (!saved) return saved.error();
  for (auto& [code, keys] : kept) {
    SEKISHO_CHECK_OK(save(code, keys));
    loaded_[code] = std::move(keys);
  }
  SEKISHO_CHECK_OK(finish_rotation());
  return gone;
}

/// Seals every key file under the newest box key, then forgets the one before.
Result<void> Keyring::finish_rotation() {
  std::vector<std::string> codes;
  DIR* handle = ::opendir(folder().c_str());
  if (handle == nullptr) return disk_error();
  while (const dirent* entry = ::readdir(handle)) {
    const std::string_view name = entry->d_name;
    if (name.size() == 16 && name.ends_with(".keys") && is_service_code(name.substr(0, 11)))
      codes.emplace_back(name.substr(0, 11));
  }
  ::closedir(handle);
  for (const std::string& code : codes) {
    const auto keys = read(code);
    if (!keys && keys.error().code == ErrorCode::kDenied) continue;
    if (!keys) return keys.error();
    SEKISHO_CHECK_OK(save(code, *keys));
  }
  OPENSSL_cleanse(box_.before->data(), kKeyBytes);
  box_.before.reset();
  return save_box();
}

}  // namespace sekisho::mgmt
