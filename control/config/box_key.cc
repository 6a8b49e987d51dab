// SPDX-License-Identifier: Apache-2.0
#include "control/config/box_key.h"

#include <fcntl.h>
#include <string.h>  // explicit_bzero
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "base/os/fd.h"

namespace sekisho::control {
namespace {

constexpr std::string_view kFileMagic = "skbox01\n", kSealedMagic = "skseal1\n";

ByteSpan span_of(std::string_view text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }

Error os_error() { return {ErrorCode::kUnavailable, ErrorSite::kOs, static_cast<std::uint32_t>(errno)}; }

/// Written beside its place and moved there: whole or not at all, also when the power goes.
Result<void> write_key(const std::string& directory, const std::string& path, const AeadKey& key) {
  const std::string fresh = path + ".new";
  const Fd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.valid() || ::fchmod(file.get(), 0600) != 0) return os_error();
  std::string text(kFileMagic);
  text.append(reinterpret_cast<const char*>(key.data()), key.size());
  const bool wrote = ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(file.get()) == 0;
  ::explicit_bzero(text.data(), text.size());
  const Fd folder(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!wrote || std::rename(fresh.c_str(), path.c_str()) != 0 || !folder.valid() || ::fsync(folder.get()) != 0) return os_error();
  return {};
}

}  // namespace

Result<BoxKey> BoxKey::open(const std::string& directory, bool fresh) {
  const std::string path = directory + "/config.key";
  AeadKey key{};
  const Fd file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file.valid()) {
    if (errno != ENOENT) return os_error();
    if (!fresh) return Error{ErrorCode::kNotFound, ErrorSite::kStore, 0};
    key = random_bytes<sizeof(AeadKey)>();
    SEKISHO_CHECK_OK(write_key(directory, path, key));
  } else {
    std::array<char, kFileMagic.size() + sizeof(AeadKey) + 1> text{};
    const ssize_t size = ::read(file.get(), text.data(), text.size());
    const bool sound = size == static_cast<ssize_t>(text.size()) - 1 && std::string_view(text.data(), kFileMagic.size()) == kFileMagic;
    if (sound) std::copy_n(text.begin() + kFileMagic.size(), key.size(), key.begin());
    ::explicit_bzero(text.data(), text.size());
    if (!sound) return Error{ErrorCode::kMalformed, ErrorSite::kStore, 0};
  }
  BoxKey out(key);
  ::explicit_bzero(key.data(), key.size());
  return out;
}

std::string BoxKey::seal(std::string_view place, std::string_view text) {
  const AeadNonce nonce = random_bytes<sizeof(AeadNonce)>();
  std::string out(kSealedMagic);
  out.append(reinterpret_cast<const char*>(nonce.data()), nonce.size());
  aead_->seal(nonce, span_of(place), span_of(text), out);
  return out;
}

Result<std::string> BoxKey::open(std::string_view place, std::string_view sealed) {
  constexpr Error kBad{ErrorCode::kMalformed, ErrorSite::kStore, 0};
  AeadNonce nonce{};
  if (!sealed.starts_with(kSealedMagic) || sealed.size() < kSealedMagic.size() + nonce.size()) return kBad;
  std::copy_n(sealed.begin() + kSealedMagic.size(), nonce.size(), nonce.begin());
  std::string out;
  SEKISHO_CHECK_OK(aead_->open(nonce, span_of(place), span_of(sealed.substr(kSealedMagic.size() + nonce.size())), out));
  return out;
}

}  // namespace sekisho::control
