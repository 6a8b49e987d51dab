// SPDX-License-Identifier: Apache-2.0
#include "vpn/radius/message.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include <algorithm>

#include "base/assert.h"
#include "base/net/endian.h"

namespace sekisho::vpn::radius {
namespace {

constexpr Error kBad{ErrorCode::kMalformed, ErrorSite::kWire, 0};
constexpr std::size_t kAuthenticatorAt = 4;
constexpr std::uint32_t kMicrosoft = 311;
constexpr std::uint8_t kMschapChallenge = 11, kSendKey = 16, kReceiveKey = 17, kMschap2Response = 25, kMschap2Success = 26;
constexpr std::size_t kVendorHead = 4, kTypeHead = 2;
constexpr Authenticator kZeros{};

using Digest = std::array<std::uint8_t, 16>;

/// MD5 over parts. A libcrypto that has none is a broken installation.
Digest md5(std::initializer_list<ByteSpan> parts) {
  Digest out{};
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  SEKISHO_ASSERT(context != nullptr && EVP_DigestInit_ex(context, EVP_md5(), nullptr) == 1);
  for (const ByteSpan part : parts) SEKISHO_ASSERT(EVP_DigestUpdate(context, part.data(), part.size()) == 1);
  SEKISHO_ASSERT(EVP_DigestFinal_ex(context, out.data(), nullptr) == 1);
  EVP_MD_CTX_free(context);
  return out;
}

Digest hmac_md5(ByteSpan key, ByteSpan data) {
  Digest out{};
  unsigned size = 0;
  SEKISHO_ASSERT(HMAC(EVP_md5(), key.data(), static_cast<int>(key.size()), data.data(), data.size(), out.data(), &size) != nullptr);
  SEKISHO_ASSERT(size == out.size());
  return out;
}

bool same(ByteSpan a, ByteSpan b) { return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0; }

std::vector<std::uint8_t> with_authenticator(ByteSpan message, const Authenticator& authenticator) {
  std::vector<std::uint8_t> out(message.begin(), message.end());
  std::copy(authenticator.begin(), authenticator.end(), out.begin() + kAuthenticatorAt);
  return out;
}

/// The Message-Authenticator of a message whose authenticator field counts as `authenticator`: nothing there (nullopt), or right or not.
std::optional<bool> is_signed(const Message& message, const Authenticator& authenticator, ByteSpan secret) {
  std::optional<bool> out;
  for (const Attribute& one : message.attributes) {
    if (one.type != Type::kMessageAuthenticator) continue;
    if (out || one.value.size() != kAuthenticatorBytes) return false;
    auto copy = with_authenticator(message.bytes, authenticator);
    const auto at = static_cast<std::size_t>(one.value.data() - message.bytes.data());
    std::fill_n(copy.begin() + static_cast<std::ptrdiff_t>(at), kAuthenticatorBytes, std::uint8_t{0});
    out = same(hmac_md5(secret, copy), one.value);
  }
  return out;
}

/// RFC 2548 2.4.2: salt, then blocks of an MD5 key stream over length, key and padding. Empty: it is none.
std::vector<std::uint8_t> decrypt_key(ByteSpan value, const Authenticator& request, ByteSpan secret) {
  constexpr std::size_t kSalt = 2, kBlock = 16;
  if (value.size() < kSalt + kBlock || (value.size() - kSalt) % kBlock != 0) return {};
  std::vector<std::uint8_t> plain;
  const ByteSpan salt = value.first(kSalt), cipher = value.subspan(kSalt);
  Digest stream = md5({secret, request, salt});
  for (std::size_t at = 0; at < cipher.size(); at += kBlock) {
    for (std::size_t i = 0; i < kBlock; ++i) plain.push_back(cipher[at + i] ^ stream[i]);
    stream = md5({secret, cipher.subspan(at, kBlock)});
  }
  const std::size_t length = plain.front();
  std::vector<std::uint8_t> out;
  if (length > 0 && length < plain.size()) out.assign(plain.begin() + 1, plain.begin() + 1 + static_cast<std::ptrdiff_t>(length));
  ::explicit_bzero(plain.data(), plain.size());
  ::explicit_bzero(stream.data(), stream.size());
  return out;
}

}  // namespace

std::optional<ByteSpan> Message::find(Type type) const {
  const auto found = std::find_if(attributes.begin(), attributes.end(), [type](const Attribute& one) { return one.type == type; });
  if (found == attributes.end()) return std::nullopt;
  return found->value;
}

std::optional<std::uint32_t> Message::number(Type type) const {
  const auto value = find(type);
  if (!value || value->size() != sizeof(std::uint32_t)) return std::nullopt;
  return load_be<std::uint32_t>(*value, 0);
}

std::optional<Address> Message::address(Type type) const {
  const auto value = find(type);
  if (!value) return std::nullopt;
  const auto out = Address::from_wire(*value);
  return out ? std::optional<Address>(*out) : std::nullopt;
}

std::string Message::text(Type type) const {
  const auto value = find(type);
  return value ? std::string(value->begin(), value->end()) : std::string();
}

std::vector<std::uint8_t> Message::eap() const {
  std::vector<std::uint8_t> out;
  for (const Attribute& one : attributes) {
    if (one.type == Type::kEapMessage) out.insert(out.end(), one.value.begin(), one.value.end());
  }
  return out;
}

Result<Message> parse(ByteSpan datagram) {
  WireReader reader(datagram);
  Message out;
  SEKISHO_TRY(const std::uint8_t code, reader.u8());
  SEKISHO_TRY(out.id, reader.u8());
  SEKISHO_TRY(const std::uint16_t length, reader.u16());
  if (length < kHeaderBytes || length > kMessageBytesMax || length > datagram.size()) return kBad;
  SEKISHO_TRY(out.authenticator, reader.copy<Authenticator>());
  out.code = Code{code};
  out.bytes = datagram.first(length);
  SEKISHO_TRY(WireReader attributes, reader.sub(length - kHeaderBytes));
  while (!attributes.finished()) {
    SEKISHO_TRY(const std::uint8_t type, attributes.u8());
    SEKISHO_TRY(const std::uint8_t size, attributes.u8());
    if (size < 2) return kBad;
    SEKISHO_TRY(const ByteSpan value, attributes.take(size - 2U));
    out.attributes.push_back({Type{type}, value});
  }
  return out;
}

bool answers(const Message& answer, const Authenticator& request, ByteSpan secret, bool required) {
  const Digest expected = md5({answer.bytes.first(kAuthenticatorAt), request, answer.bytes.subspan(kHeaderBytes), secret});
  const auto signature = is_signed(answer, request, secret);
  return same(expected, answer.authenticator) && signature.value_or(!required);
}

bool is_genuine_request(const Message& request, ByteSpan secret) {
  const Digest expected = md5({request.bytes.first(kAuthenticatorAt), kZeros, request.bytes.subspan(kHeaderBytes), secret});
  return same(expected, request.authenticator) && is_signed(request, kZeros, secret).value_or(true);
}

namespace {

/// The value of Microsoft's attribute of this type, alone in its Vendor-Specific one; nothing: there is none.
std::optional<ByteSpan> microsoft(const Message& message, std::uint8_t type) {
  std::optional<ByteSpan> out;
  for (const Attribute& one : message.attributes) {
    if (one.type != Type::kVendorSpecific || one.value.size() < kVendorHead + kTypeHead) continue;
    if (load_be<std::uint32_t>(one.value, 0) != kMicrosoft || one.value[kVendorHead] != type) continue;
    if (one.value[kVendorHead + 1] == one.value.size() - kVendorHead) out = one.value.subspan(kVendorHead + kTypeHead);
  }
  return out;
}

/// MS-MPPE-Recv-Key and MS-MPPE-Send-Key, whatever their lengths.
struct KeyPair {
  std::vector<std::uint8_t> receive, send;
  KeyPair(const Message& accept, const Authenticator& request, ByteSpan secret) {
    if (const auto value = microsoft(accept, kReceiveKey)) receive = decrypt_key(*value, request, secret);
    if (const auto value = microsoft(accept, kSendKey)) send = decrypt_key(*value, request, secret);
  }
  KeyPair(const KeyPair&) = delete;
  KeyPair& operator=(const KeyPair&) = delete;
  ~KeyPair() {
    for (auto* key : {&send, &receive}) {
      if (!key->empty()) ::explicit_bzero(key->data(), key->size());
    }
  }
};

}  // namespace

MppeKeys::~MppeKeys() {
  ::explicit_bzero(receive.data(), receive.size());
  ::explicit_bzero(send.data(), send.size());
}

std::optional<MasterKey> master_key(const Message& accept, const Authenticator& request, ByteSpan secret) {
  const KeyPair keys(accept, request, secret);
  MasterKey out{};
  if (keys.send.empty() || keys.receive.empty() || keys.send.size() + keys.receive.size() > out.size()) return std::nullopt;
  std::copy(keys.send.begin(), keys.send.end(), std::copy(keys.receive.begin(), keys.receive.end(), out.begin()));
  return out;
}

std::optional<MppeKeys> mppe_keys(const Message& accept, const Authenticator& request, ByteSpan secret) {
  const KeyPair keys(accept, request, secret);
  MppeKeys out;
  const std::size_t size = keys.receive.size();
  if (size != keys.send.size() || (size != 16 && size != 32)) return std::nullopt;
  std::copy(keys.receive.begin(), keys.receive.end(), out.receive.begin());
  std::copy(keys.send.begin(), keys.send.end(), out.send.begin());
  out.size = static_cast<std::uint8_t>(size);
  return out;
}

std::string mschap2_success(const Message& accept) {
  constexpr std::size_t kBytes = 1 + 42;  // the identifier; S= and forty digits, behind which a message may stand
  const auto value = microsoft(accept, kMschap2Success);
  if (!value || value->size() < kBytes) return {};
  std::string out(value->begin() + 1, value->begin() + kBytes);
  const auto digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f'); };
  const bool sound = out.starts_with("S=") && std::all_of(out.begin() + 2, out.end(), digit);
  return sound ? out : std::string();
}

Writer::Writer(Code code, std::uint8_t id) : bytes_(kHeaderBytes) {
  bytes_[0] = static_cast<std::uint8_t>(code);
  bytes_[1] = id;
  first_ = kHeaderBytes;
}

void Writer::add(Type type, ByteSpan value) {
  if (value.size() > kValueBytesMax) {
    sound_ = false;
    return;
  }
  bytes_.push_back(static_cast<std::uint8_t>(type));
  bytes_.push_back(static_cast<std::uint8_t>(value.size() + 2));
  bytes_.insert(bytes_.end(), value.begin(), value.end());
}

void Writer::add(Type type, std::string_view text) {
  add(type, ByteSpan(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
}

void Writer::add(Type type, std::uint32_t number) {
  std::array<std::uint8_t, sizeof(number)> value{};
  store_be<std::uint32_t>(value, 0, number);
  add(type, ByteSpan(value));
}

void Writer::add_password(ByteSpan password, const Authenticator& request, ByteSpan secret) {
  constexpr std::size_t kBlock = 16;
  if (password.size() > kPasswordBytesMax) {
    sound_ = false;
    return;
  }
  std::vector<std::uint8_t> hidden(std::max<std::size_t>((password.size() + kBlock - 1) / kBlock, 1) * kBlock);
  std::copy(password.begin(), password.end(), hidden.begin());
  Digest stream = md5({secret, request});
  for (std::size_t at = 0; at < hidden.size(); at += kBlock) {
    for (std::size_t i = 0; i < kBlock; ++i) hidden[at + i] ^= stream[i];
    stream = md5({secret, ByteSpan(hidden).subspan(at, kBlock)});
  }
  ::explicit_bzero(stream.data(), stream.size());
  add(Type::kUserPassword, ByteSpan(hidden));
}

void Writer::add_mschap2(std::uint8_t identifier, ByteSpan challenge, ByteSpan peer_challenge, ByteSpan response) {
  const auto add_microsoft = [this](std::uint8_t type, std::initializer_list<ByteSpan> parts) {
    std::vector<std::uint8_t> value(kVendorHead + kTypeHead);
    store_be<std::uint32_t>(value, 0, kMicrosoft);
    for (const ByteSpan part : parts) value.insert(value.end(), part.begin(), part.end());
    value[kVendorHead] = type;
    value[kVendorHead + 1] = static_cast<std::uint8_t>(value.size() - kVendorHead);
    add(Type::kVendorSpecific, ByteSpan(value));
  };
  if (challenge.size() != 16 || peer_challenge.size() != 16 || response.size() != 24) {
    sound_ = false;
    return;
  }
  const std::array<std::uint8_t, 2> head{identifier, 0};
  constexpr std::array<std::uint8_t, 8> kReserved{};
  add_microsoft(kMschapChallenge, {challenge});
  add_microsoft(kMschap2Response, {head, peer_challenge, kReserved, response});
}

void Writer::add_eap(ByteSpan packet) {
  for (std::size_t at = 0; at < packet.size(); at += kValueBytesMax) {
    add(Type::kEapMessage, packet.subspan(at, std::min(kValueBytesMax, packet.size() - at)));
  }
}

void Writer::add_raw(ByteSpan attributes) { bytes_.insert(bytes_.end(), attributes.begin(), attributes.end()); }

ByteSpan Writer::attributes() const { return ByteSpan(bytes_).subspan(first_); }

bool Writer::close() {
  sound_ = sound_ && bytes_.size() <= kMessageBytesMax;
  if (sound_) store_be<std::uint16_t>(bytes_, 2, static_cast<std::uint16_t>(bytes_.size()));
  return sound_;
}

/// Puts a Message-Authenticator first, where no prefix an attacker chose stands before it, over the authenticator field as it is.
void Writer::sign(ByteSpan secret) {
  std::array<std::uint8_t, kAuthenticatorBytes + 2> room{};
  room[0] = static_cast<std::uint8_t>(Type::kMessageAuthenticator);
  room[1] = room.size();
  bytes_.insert(bytes_.begin() + kHeaderBytes, room.begin(), room.end());
  first_ += room.size();
  if (!close()) return;
  const Digest signature = hmac_md5(secret, bytes_);
  std::copy(signature.begin(), signature.end(), bytes_.begin() + kHeaderBytes + 2);
}

std::vector<std::uint8_t> Writer::finish_access(const Authenticator& random, ByteSpan secret) {
  std::copy(random.begin(), random.end(), bytes_.begin() + kAuthenticatorAt);
  sign(secret);
  return sound_ ? bytes_ : std::vector<std::uint8_t>{};
}

std::vector<std::uint8_t> Writer::finish_request(ByteSpan secret) {
  if (!close()) return {};
  const Digest authenticator = md5({bytes_, secret});  // its own field is zero until here
  std::copy(authenticator.begin(), authenticator.end(), bytes_.begin() + kAuthenticatorAt);
  return bytes_;
}

std::vector<std::uint8_t> Writer::finish_answer(const Authenticator& request, ByteSpan secret) {
  std::copy(request.begin(), request.end(), bytes_.begin() + kAuthenticatorAt);
  sign(secret);
  if (!sound_) return {};
  const Digest authenticator = md5({bytes_, secret});
  std::copy(authenticator.begin(), authenticator.end(), bytes_.begin() + kAuthenticatorAt);
  return bytes_;
}

}  // namespace sekisho::vpn::radius
