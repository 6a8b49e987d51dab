// SPDX-License-Identifier: Apache-2.0
#include "control/api/sealed_secrets.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "base/crypto/sha256.h"
#include "base/proto/model.pb.h"

namespace sekisho::control {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr std::string_view kMark = "sealed:";
constexpr std::size_t kNonceBytes = 12;
constexpr std::size_t kTagBytes = 16;
constexpr std::size_t kKeyBytes = 32;
using Key = std::array<unsigned char, 2 * kKeyBytes>;  // one to seal with, one to make nonces
using Context = std::unique_ptr<EVP_CIPHER_CTX, void (*)(EVP_CIPHER_CTX*)>;

const unsigned char* bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

bool derive(std::string_view passphrase, std::string_view whose, Key& key) {
  const std::string text = "sekisho export\n" + std::string(whose);
  const Sha256Digest salt = sha256({bytes(text), text.size()});
  constexpr std::uint64_t kCost = 1U << 15;
  constexpr std::uint64_t kMemoryMax = 512U << 20;
  return EVP_PBE_scrypt(passphrase.data(), passphrase.size(), salt.data(), salt.size(), kCost, 8, 1, kMemoryMax,
                        key.data(), key.size()) == 1;
}

std::string to_base64(const std::string& raw) {
  std::string out(4 * ((raw.size() + 2) / 3) + 1, '\0');
  out.resize(static_cast<std::size_t>(
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), bytes(raw), static_cast<int>(raw.size()))));
  return out;
}

bool from_base64(std::string_view text, std::string& out) {
  if (text.size() % 4 != 0 || text.empty()) return false;
  out.assign(text.size(), '\0');
  const int size =
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()), bytes(text), static_cast<int>(text.size()));
  if (size < 0) return false;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  out.resize(static_cast<std::size_t>(size) - padding);
  return true;
}

bool seal(const Key& key, std::string& text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> nonce{};
  unsigned nonce_size = 0;
  if (HMAC(EVP_sha256(), key.data() + kKeyBytes, kKeyBytes, bytes(text), text.size(), nonce.data(), &nonce_size) ==
      nullptr)
    return false;
  std::string sealed(text.size(), '\0');
  std::array<unsigned char, kTagBytes> tag{};
  const Context context(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  int size = 0;
  const bool done = context &&
                    EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), nonce.data()) == 1 &&
                    EVP_EncryptUpdate(context.get(), reinterpret_cast<unsigned char*>(sealed.data()), &size,
                                      bytes(text), static_cast<int>(text.size())) == 1 &&
                    EVP_EncryptFinal_ex(context.get(), tag.data(), &size) == 1 &&
                    EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, tag.data()) == 1;
  if (!done) return false;
  text = std::string(kMark) + to_base64(std::string(nonce.begin(), nonce.begin() + kNonceBytes) + sealed +
                                        std::string(tag.begin(), tag.end()));
  return true;
}

bool unseal(const Key& key, std::string& text) {
  std::string raw;
  if (!text.starts_with(kMark) || !from_base64(std::string_view(text).substr(kMark.size()), raw) ||
      raw.size() < kNonceBytes + kTagBytes)
    return false;
  std::string tag = raw.substr(raw.size() - kTagBytes);
  const std::string body = raw.substr(kNonceBytes, raw.size() - kNonceBytes - kTagBytes);
  std::string plain(body.size() + 1, '\0');
  const Context context(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  int size = 0;
  int rest = 0;
  const bool done =
      context && EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), bytes(raw)) == 1 &&
      EVP_DecryptUpdate(context.get(), reinterpret_cast<unsigned char*>(plain.data()), &size, bytes(body),
                        static_cast<int>(body.size())) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) == 1 &&
      EVP_DecryptFinal_ex(context.get(), reinterpret_cast<unsigned char*>(plain.data()) + size, &rest) == 1;
  plain.resize(body.size());
  text = std::move(plain);
  return done;
}

/// Changes each secret of a message and of all in it; stops at the first that cannot be.
bool each_secret(Message& message, const std::function<bool(std::string&)>& change) {
  const auto* reflection = message.GetReflection();
  for (int f = 0; f < message.GetDescriptor()->field_count(); ++f) {
    const FieldDescriptor& field = *message.GetDescriptor()->field(f);
    const bool secret = field.options().GetExtension(model::secret);
    if (!secret && field.message_type() == nullptr) continue;
    const int count = field.is_repeated()                     ? reflection->FieldSize(message, &field)
                      : reflection->HasField(message, &field) ? 1
                                                              : 0;
    for (int i = 0; i < count; ++i) {
      if (!secret) {
        Message& child = field.is_repeated() ? *reflection->MutableRepeatedMessage(&message, &field, i)
                                             : *reflection->MutableMessage(&message, &field);
        if (!each_secret(child, change)) return false;
        continue;
      }
      std::string text = field.is_repeated() ? reflection->GetRepeatedString(message, &field, i)
                                             : reflection->GetString(message, &field);
      if (!change(text)) return false;
      field.is_repeated() ? reflection->SetRepeatedString(&message, &field, i, text)
                          : reflection->SetString(&message, &field, text);
    }
  }
  return true;
}

}  // namespace

bool seal_secrets(Message& message, std::string_view passphrase, std::string_view whose) {
  Key key{};
  return derive(passphrase, whose, key) && each_secret(message, [&key](std::string& text) { return seal(key, text); });
}

bool unseal_secrets(Message& message, std::string_view passphrase, std::string_view whose) {
  Key key{};
  return derive(passphrase, whose, key) &&
         each_secret(message, [&key](std::string& text) { return !text.starts_with(kMark) || unseal(key, text); });
}

}  // namespace sekisho::control
