// SPDX-License-Identifier: Apache-2.0
#include "tests/support/toy_esp.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>

namespace sekisho::test {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::uint16_t kAesCbc = 12, kAesGcm16 = 20;  // IKEv2 transform numbers
constexpr std::size_t kHeader = 8, kGcmIv = 8, kGcmTag = 16, kSalt = 4, kCbcIv = 16;

struct Mac {
  const EVP_MD* digest;
  std::size_t length;
};

Mac mac_of(std::uint16_t integrity) {
  switch (integrity) {
    case 2: return {EVP_sha1(), 12};
    case 12: return {EVP_sha256(), 16};
    case 13: return {EVP_sha384(), 24};
    case 14: return {EVP_sha512(), 32};
    default: return {nullptr, 0};
  }
}

const EVP_CIPHER* cipher_of(const ToyEsp::Sa& sa) {
  const std::size_t bits = 8 * (sa.encryption_key.size() - (sa.encryption == kAesGcm16 ? kSalt : 0));
  if (sa.encryption == kAesGcm16) return bits == 128 ? EVP_aes_128_gcm() : bits == 192 ? EVP_aes_192_gcm() : EVP_aes_256_gcm();
  if (sa.encryption == kAesCbc) return bits == 128 ? EVP_aes_128_cbc() : bits == 192 ? EVP_aes_192_cbc() : EVP_aes_256_cbc();
  return nullptr;
}

Bytes mac(const ToyEsp::Sa& sa, ByteSpan over) {
  Bytes out(EVP_MAX_MD_SIZE);
  unsigned length = 0;
  HMAC(mac_of(sa.integrity).digest, sa.integrity_key.data(), static_cast<int>(sa.integrity_key.size()), over.data(), over.size(), out.data(),
       &length);
  out.resize(mac_of(sa.integrity).length);
  return out;
}

struct Cipher {
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  Cipher() = default;
  Cipher(const Cipher&) = delete;
  Cipher& operator=(const Cipher&) = delete;
  ~Cipher() { EVP_CIPHER_CTX_free(context); }
};

Bytes gcm_nonce(const ToyEsp::Sa& sa, ByteSpan iv) {
  Bytes nonce(kSalt + kGcmIv);
  std::copy(sa.encryption_key.end() - kSalt, sa.encryption_key.end(), nonce.begin());
  std::copy_n(iv.begin(), kGcmIv, nonce.begin() + kSalt);
  return nonce;
}

std::optional<Bytes> decrypt(const ToyEsp::Sa& sa, ByteSpan esp) {
  const bool gcm = sa.encryption == kAesGcm16;
  const std::size_t iv = gcm ? kGcmIv : kCbcIv, tag = gcm ? kGcmTag : mac_of(sa.integrity).length;
  if (cipher_of(sa) == nullptr || sa.esn || esp.size() < kHeader + iv + tag) return std::nullopt;
  const ByteSpan body = esp.subspan(kHeader + iv, esp.size() - kHeader - iv - tag), end = esp.last(tag);
  Bytes out(body.size() + 16);
  Cipher cipher;
  int length = 0, more = 0;
  if (gcm) {
    const Bytes nonce = gcm_nonce(sa, esp.subspan(kHeader, iv));
    Bytes expected(end.begin(), end.end());
    EVP_DecryptInit_ex(cipher.context, cipher_of(sa), nullptr, sa.encryption_key.data(), nonce.data());
    EVP_DecryptUpdate(cipher.context, nullptr, &length, esp.data(), kHeader);
    EVP_DecryptUpdate(cipher.context, out.data(), &length, body.data(), static_cast<int>(body.size()));
    EVP_CIPHER_CTX_ctrl(cipher.context, EVP_CTRL_GCM_SET_TAG, kGcmTag, expected.data());
  } else {
    const Bytes expected = mac(sa, esp.first(esp.size() - tag));
    if (!std::equal(expected.begin(), expected.end(), end.begin(), end.end())) return std::nullopt;
    EVP_DecryptInit_ex(cipher.context, cipher_of(sa), nullptr, sa.encryption_key.data(), esp.data() + kHeader);
    EVP_CIPHER_CTX_set_padding(cipher.context, 0);
    EVP_DecryptUpdate(cipher.context, out.data(), &length, body.data(), static_cast<int>(body.size()));
  }
  if (EVP_DecryptFinal_ex(cipher.context, out.data() + length, &more) != 1) return std::nullopt;
  out.resize(static_cast<std::size_t>(length + more));
  if (out.size() < 2 || out[out.size() - 2] + 2U > out.size()) return std::nullopt;
  out.resize(out.size() - 2U - out[out.size() - 2]);
  return out;
}

Bytes encrypt(const ToyEsp::Sa& sa, std::uint32_t spi, std::uint32_t sequence, ByteSpan inner, std::uint8_t next) {
  const bool gcm = sa.encryption == kAesGcm16;
  const std::size_t iv = gcm ? kGcmIv : kCbcIv, block = gcm ? 4 : 16;
  Bytes out(kHeader + iv), plain(inner.begin(), inner.end());
  for (unsigned i = 0; i < 4; ++i) {
    out[i] = static_cast<std::uint8_t>(spi >> (24 - 8 * i));
    out[4 + i] = static_cast<std::uint8_t>(sequence >> (24 - 8 * i));
  }
  RAND_bytes(out.data() + kHeader, static_cast<int>(iv));
  for (std::uint8_t i = 1; (plain.size() + 2) % block != 0; ++i) plain.push_back(i);
  plain.push_back(static_cast<std::uint8_t>(plain.size() - inner.size()));
  plain.push_back(next);
  Bytes sealed(plain.size() + 16);
  Cipher cipher;
  int length = 0, more = 0;
  const Bytes nonce = gcm ? gcm_nonce(sa, ByteSpan(out).subspan(kHeader)) : Bytes(out.begin() + kHeader, out.end());
  EVP_EncryptInit_ex(cipher.context, cipher_of(sa), nullptr, sa.encryption_key.data(), nonce.data());
  if (gcm) EVP_EncryptUpdate(cipher.context, nullptr, &length, out.data(), kHeader);
  if (!gcm) EVP_CIPHER_CTX_set_padding(cipher.context, 0);
  EVP_EncryptUpdate(cipher.context, sealed.data(), &length, plain.data(), static_cast<int>(plain.size()));
  EVP_EncryptFinal_ex(cipher.context, sealed.data() + length, &more);
  out.insert(out.end(), sealed.begin(), sealed.begin() + length + more);
  Bytes tag(kGcmTag);
  if (gcm) {
    EVP_CIPHER_CTX_ctrl(cipher.context, EVP_CTRL_GCM_GET_TAG, kGcmTag, tag.data());
  } else {
    tag = mac(sa, out);
  }
  out.insert(out.end(), tag.begin(), tag.end());
  return out;
}

/// Source or destination of an IP packet.
std::optional<Address> end_of(ByteSpan inner, bool source) {
  if (inner.size() >= 20 && inner[0] >> 4 == 4) return Address::from_wire(inner.subspan(source ? 12 : 16, 4)).value();
  if (inner.size() >= 40 && inner[0] >> 4 == 6) return Address::from_wire(inner.subspan(source ? 8 : 24, 16)).value();
  return std::nullopt;
}

bool holds(const std::vector<vpn::Selector>& selectors, const std::optional<Address>& address) {
  return address && std::any_of(selectors.begin(), selectors.end(), [&](const vpn::Selector& one) {
           return one.first.family == address->family && one.first <= *address && *address <= one.last;
         });
}

}  // namespace

std::optional<std::uint32_t> ToyEsp::allocate_spi(const vpn::Path&) {
  std::uint32_t spi = 0;
  do {
    RAND_bytes(reinterpret_cast<unsigned char*>(&spi), sizeof(spi));
  } while (spi < 256);
  return spi;
}

bool ToyEsp::install(const vpn::SaParameters& sa) {
  const std::lock_guard lock(mutex_);
  if (refuse_) return false;
  Sa copy{sa.path,
          sa.encryption,
          sa.integrity,
          sa.udp_encapsulation,
          sa.esn,
          !sa.tunnel,
          {sa.encryption_key.begin(), sa.encryption_key.end()},
          {sa.integrity_key.begin(), sa.integrity_key.end()},
          {sa.local.begin(), sa.local.end()},
          {sa.remote.begin(), sa.remote.end()}};
  live_.insert_or_assign({sa.spi, sa.inbound}, std::move(copy));
  if (!sa.inbound) outbound_.push_back(sa.spi);
  return true;
}

bool ToyEsp::move(const vpn::SaName& sa, const vpn::Path& path, bool udp_encapsulation) {
  const std::lock_guard lock(mutex_);
  const auto found = live_.find({sa.spi, sa.inbound});
  if (found == live_.end()) return false;
  found->second.path = path;
  found->second.udp_encapsulation = udp_encapsulation;
  return true;
}

std::optional<vpn::SaUse> ToyEsp::query(const vpn::SaName& sa) {
  const std::lock_guard lock(mutex_);
  const auto found = live_.find({sa.spi, sa.inbound});
  if (found == live_.end()) return std::nullopt;
  return vpn::SaUse{found->second.bytes, found->second.packets, std::nullopt};
}

void ToyEsp::remove(const vpn::SaName& sa) {
  const std::lock_guard lock(mutex_);
  live_.erase({sa.spi, sa.inbound});
  if (!sa.inbound) std::erase(outbound_, sa.spi);
}

std::optional<ToyEsp::Opened> ToyEsp::open(std::uint32_t tenant, ByteSpan esp) {
  const std::lock_guard lock(mutex_);
  if (esp.size() < kHeader) return std::nullopt;
  const std::uint32_t spi = std::uint32_t{esp[0]} << 24 | std::uint32_t{esp[1]} << 16 | std::uint32_t{esp[2]} << 8 | esp[3];
  const auto found = live_.find({spi, true});
  if (found == live_.end() || found->second.path.tenant != tenant) return std::nullopt;
  auto inner = decrypt(found->second, esp);
  constexpr std::size_t kUdpHeader = 8;
  const bool transport = found->second.transport;
  if (!inner || (transport && inner->size() < kUdpHeader)) return std::nullopt;
  if (!transport && (!holds(found->second.remote, end_of(*inner, true)) || !holds(found->second.local, end_of(*inner, false)))) return std::nullopt;
  found->second.packets += 1;
  found->second.bytes += inner->size();
  return Opened{found->second.path, spi, std::move(*inner), transport};
}

std::optional<ToyEsp::Sealed> ToyEsp::seal_transport(std::uint32_t tenant, const vpn::Endpoint& remote, ByteSpan datagram) {
  constexpr std::uint8_t kUdp = 17;
  const std::lock_guard lock(mutex_);
  for (auto spi = outbound_.rbegin(); spi != outbound_.rend(); ++spi) {
    Sa& sa = live_.at({*spi, false});
    if (!sa.transport || sa.path.tenant != tenant || sa.path.remote != remote || cipher_of(sa) == nullptr) continue;
    return Sealed{sa.path, encrypt(sa, *spi, ++sa.sequence, datagram, kUdp)};
  }
  return std::nullopt;
}

std::optional<ToyEsp::Sealed> ToyEsp::seal(std::uint32_t tenant, ByteSpan inner) {
  const std::lock_guard lock(mutex_);
  for (auto spi = outbound_.rbegin(); spi != outbound_.rend(); ++spi) {
    Sa& sa = live_.at({*spi, false});
    if (sa.path.tenant != tenant || !holds(sa.remote, end_of(inner, false)) || cipher_of(sa) == nullptr) continue;
    return Sealed{sa.path, encrypt(sa, *spi, ++sa.sequence, inner, inner[0] >> 4 == 4 ? 4 : 41)};
  }
  return std::nullopt;
}

std::vector<std::string> ToyEsp::lines() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> out;
  for (const auto& [key, sa] : live_) {
    char text[160];
    std::snprintf(text, sizeof(text), "%s %08x tenant %u enc %u/%zu int %u packets %llu remote ", key.second ? "in" : "out", key.first,
                  sa.path.tenant, sa.encryption, sa.encryption_key.size(), sa.integrity, static_cast<unsigned long long>(sa.packets));
    std::string line = text;
    if (sa.transport) line = "transport " + line;
    line += to_string(sa.path.remote.address) + " " + std::to_string(sa.path.remote.port) + " selectors";
    for (const auto* list : {&sa.local, &sa.remote}) {
      for (const vpn::Selector& one : *list) line += " " + to_string(one.first) + "-" + to_string(one.last) + (one.protocol != 0 ? "/" + std::to_string(one.port_first) : "");
    }
    out.push_back(std::move(line));
  }
  return out;
}

}  // namespace sekisho::test
