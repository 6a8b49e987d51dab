// SPDX-License-Identifier: Apache-2.0
// Goal: what we seal, others open; what others sealed, we open; nothing forged passes, not even with one bit changed.
// Method: published vectors (draft-mcgrew-gcm-test-01 case 1, RFC 3602 case 5), OpenSSL as the other side for every
// suite, packets captured between implementations nobody here wrote (tests/vectors/esp_captures.py).
#include "dataplane/tunnel/esp_crypto.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <numeric>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "base/net/endian.h"
#include "filters/esp/esp.h"

namespace sekisho::dataplane {
namespace {

using filters::EspCipher;
using filters::EspIntegrity;
using filters::EspSizes;
using filters::EspSuite;
using Bytes = std::vector<std::uint8_t>;

const std::map<std::string, EspCipher> kCiphers{
    {"aes128-gcm", EspCipher::kAes128Gcm}, {"aes192-gcm", EspCipher::kAes192Gcm}, {"aes256-gcm", EspCipher::kAes256Gcm},
    {"aes128-cbc", EspCipher::kAes128Cbc}, {"aes192-cbc", EspCipher::kAes192Cbc}, {"aes256-cbc", EspCipher::kAes256Cbc},
    {"3des-cbc", EspCipher::kTripleDesCbc}};
const std::map<std::string, EspIntegrity> kIntegrities{{"aead", EspIntegrity::kAead},
                                                       {"sha1-96", EspIntegrity::kHmacSha1_96},
                                                       {"sha256-128", EspIntegrity::kHmacSha256_128},
                                                       {"sha384-192", EspIntegrity::kHmacSha384_192},
                                                       {"sha512-256", EspIntegrity::kHmacSha512_256}};

Bytes from_hex(const std::string& text) {
  Bytes out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    out.push_back(static_cast<std::uint8_t>(std::stoul(text.substr(i, 2), nullptr, 16)));
  return out;
}

std::vector<EspSuite> all_suites() {
  std::vector<EspSuite> suites;
  for (const auto& [cipher_name, cipher] : kCiphers) {
    for (const auto& [integrity_name, integrity] : kIntegrities) {
      if (filters::sizes_of({cipher, integrity})) suites.push_back({cipher, integrity});
    }
  }
  return suites;
}

const EVP_CIPHER* openssl_cipher(EspCipher cipher) {
  switch (cipher) {
    case EspCipher::kAes128Gcm:
      return EVP_aes_128_gcm();
    case EspCipher::kAes192Gcm:
      return EVP_aes_192_gcm();
    case EspCipher::kAes256Gcm:
      return EVP_aes_256_gcm();
    case EspCipher::kAes128Cbc:
      return EVP_aes_128_cbc();
    case EspCipher::kAes192Cbc:
      return EVP_aes_192_cbc();
    case EspCipher::kAes256Cbc:
      return EVP_aes_256_cbc();
    case EspCipher::kTripleDesCbc:
      return EVP_des_ede3_cbc();
  }
  return nullptr;
}
const EVP_MD* openssl_hash(EspIntegrity integrity) {
  switch (integrity) {
    case EspIntegrity::kHmacSha1_96:
      return EVP_sha1();
    case EspIntegrity::kHmacSha256_128:
      return EVP_sha256();
    case EspIntegrity::kHmacSha384_192:
      return EVP_sha384();
    case EspIntegrity::kHmacSha512_256:
      return EVP_sha512();
    case EspIntegrity::kAead:
      break;
  }
  return nullptr;
}

/// The other side: ESP by OpenSSL, from RFC 4303, 4106 and 2104, sharing no code with ours.
struct OtherSide {
  EspSuite suite;
  EspSizes sizes;
  bool extended;
  Bytes cipher_key, integrity_key;

  [[nodiscard]] Bytes additional(const Bytes& esp, std::uint64_t sequence) const {
    if (!extended) return {esp.begin(), esp.begin() + 8};
    Bytes out(12);
    std::copy(esp.begin(), esp.begin() + 4, out.begin());
    store_be<std::uint64_t>(out, 4, sequence);
    return out;
  }
  [[nodiscard]] Bytes hmac(const Bytes& esp, std::size_t bytes, std::uint64_t sequence) const {
    Bytes input(esp.begin(), esp.begin() + static_cast<long>(bytes));
    if (extended) {
      input.resize(bytes + 4);
      store_be<std::uint32_t>(input, bytes, static_cast<std::uint32_t>(sequence >> 32));
    }
    Bytes out(64);
    HMAC(openssl_hash(suite.integrity), integrity_key.data(), static_cast<int>(integrity_key.size()), input.data(),
         input.size(), out.data(), nullptr);
    out.resize(sizes.icv);
    return out;
  }
  /// De- or encrypts in place; `esp` has header, IV, text, ICV. False when the ICV is wrong.
  bool run(Bytes& esp, std::uint64_t sequence, bool seal) const {
    const std::size_t text = 8U + sizes.iv, icv = esp.size() - sizes.icv;
    const bool gcm = suite.integrity == EspIntegrity::kAead;
    if (!gcm && !seal && hmac(esp, icv, sequence) != Bytes(esp.begin() + static_cast<long>(icv), esp.end()))
      return false;
    Bytes iv(cipher_key.end() - sizes.salt, cipher_key.end());
    iv.insert(iv.end(), esp.begin() + 8, esp.begin() + static_cast<long>(text));
    EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
    EVP_CipherInit_ex(context, openssl_cipher(suite.cipher), nullptr, cipher_key.data(), iv.data(), seal ? 1 : 0);
    EVP_CIPHER_CTX_set_padding(context, 0);
    int length = 0;
    if (gcm) {
      const Bytes aad = additional(esp, sequence);
      EVP_CipherUpdate(context, nullptr, &length, aad.data(), static_cast<int>(aad.size()));
      if (!seal) EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, sizes.icv, esp.data() + icv);
    }
    Bytes out(icv - text + 32);
    EVP_CipherUpdate(context, out.data(), &length, esp.data() + text, static_cast<int>(icv - text));
    int tail = 0;
    const bool good = EVP_CipherFinal_ex(context, out.data() + length, &tail) == 1;
    std::copy(out.begin(), out.begin() + static_cast<long>(icv - text), esp.begin() + static_cast<long>(text));
    if (gcm && seal) EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, sizes.icv, esp.data() + icv);
    EVP_CIPHER_CTX_free(context);
    if (!gcm && seal) {
      const Bytes tag = hmac(esp, icv, sequence);
      std::copy(tag.begin(), tag.end(), esp.begin() + static_cast<long>(icv));
    }
    return good;
  }
};

class EspCryptoTest : public testing::Test {
 protected:
  EspCryptoTest() : vault_(std::move(KeyVault::create(64)).value()), crypto_(std::move(EspCrypto::create()).value()) {}

  Bytes random_bytes(std::size_t count) {
    Bytes out(count);
    std::generate(out.begin(), out.end(), [this] { return static_cast<std::uint8_t>(random_()); });
    return out;
  }
  OtherSide other_side(EspSuite suite, bool extended) {
    const EspSizes sizes = std::move(filters::sizes_of(suite)).value();
    return {suite, sizes, extended, random_bytes(std::size_t{sizes.cipher_key} + sizes.salt),
            random_bytes(sizes.integrity_key)};
  }
  KeyVault::Keys keys_of(const OtherSide& other) {
    return std::move(crypto_.expand(*vault_, other.suite, other.extended, other.cipher_key, other.integrity_key))
        .value();
  }
  /// Header, room for the IV, `encrypted` random bytes, room for the ICV.
  Bytes fresh_packet(const EspSizes& sizes, std::size_t encrypted, std::uint64_t sequence) {
    Bytes esp = random_bytes(8U + sizes.iv + encrypted + sizes.icv);
    store_be<std::uint32_t>(esp, 4, static_cast<std::uint32_t>(sequence));
    return esp;
  }
  static EspJob job(Bytes& esp, const KeyVault::Keys& keys, const EspSizes& sizes, std::uint64_t sequence) {
    return {esp.data(), keys.get(), sequence, static_cast<std::uint32_t>(esp.size() - 8U - sizes.iv - sizes.icv),
            false};
  }
  static Bytes text_of(const Bytes& esp, const EspSizes& sizes) {
    return {esp.begin() + 8 + sizes.iv, esp.end() - sizes.icv};
  }

  std::mt19937_64 random_{20261127};
  std::unique_ptr<KeyVault> vault_;
  EspCrypto crypto_;
};

constexpr std::uint64_t kSequences[] = {1, 0x7fff'ffff, 0x1'0000'0005};

TEST_F(EspCryptoTest, OpenSslOpensWhatWeSealInEverySuite) {
  for (const EspSuite suite : all_suites()) {
    for (const bool extended : {false, true}) {
      const OtherSide other = other_side(suite, extended);
      const KeyVault::Keys keys = keys_of(other);
      for (std::size_t blocks = 1; blocks < 90; blocks += 11) {
        const std::uint64_t sequence = kSequences[blocks % (extended ? 3 : 2)];
        Bytes esp = fresh_packet(other.sizes, blocks * other.sizes.alignment, sequence);
        const Bytes text = text_of(esp, other.sizes);
        EspJob one = job(esp, keys, other.sizes, sequence);

        crypto_.seal({&one, 1});

        ASSERT_TRUE(one.done);
        EXPECT_NE(text_of(esp, other.sizes), text);
        ASSERT_TRUE(other.run(esp, sequence, false))
            << int(suite.cipher) << '/' << int(suite.integrity) << ' ' << extended;
        EXPECT_EQ(text_of(esp, other.sizes), text);
      }
    }
  }
}

TEST_F(EspCryptoTest, OpensWhatOpenSslSealsInEverySuite) {
  for (const EspSuite suite : all_suites()) {
    for (const bool extended : {false, true}) {
      const OtherSide other = other_side(suite, extended);
      const KeyVault::Keys keys = keys_of(other);
      for (std::size_t blocks = 1; blocks < 90; blocks += 11) {
        const std::uint64_t sequence = kSequences[blocks % (extended ? 3 : 2)];
        Bytes esp = fresh_packet(other.sizes, blocks * other.sizes.alignment, sequence);
        const Bytes text = text_of(esp, other.sizes);
        other.run(esp, sequence, true);
        EspJob one = job(esp, keys, other.sizes, sequence);

        crypto_.open({&one, 1});

        ASSERT_TRUE(one.done) << int(suite.cipher) << '/' << int(suite.integrity) << ' ' << extended;
        EXPECT_EQ(text_of(esp, other.sizes), text);
      }
    }
  }
}

TEST_F(EspCryptoTest, RefusesAPacketWithAnyByteChanged) {
  for (const EspSuite suite : all_suites()) {
    const OtherSide other = other_side(suite, true);
    const KeyVault::Keys keys = keys_of(other);
    const std::uint64_t sequence = 0x1'0000'0005;
    Bytes sealed = fresh_packet(other.sizes, 48, sequence);
    other.run(sealed, sequence, true);
    for (std::size_t i = 0; i < sealed.size(); ++i) {
      Bytes esp = sealed;
      esp[i] ^= 0x01;
      EspJob one = job(esp, keys, other.sizes, sequence);
      crypto_.open({&one, 1});
      EXPECT_FALSE(one.done) << int(suite.cipher) << " byte " << i;
    }
    EspJob wrong_half = job(sealed, keys, other.sizes, 5);
    crypto_.open({&wrong_half, 1});
    EXPECT_FALSE(wrong_half.done) << "the high half of the sequence number is authenticated";
  }
}

TEST_F(EspCryptoTest, KeepsPacketsOfAMixedBurstApart) {
  const std::vector<EspSuite> suites = all_suites();
  std::vector<OtherSide> sides;
  std::vector<KeyVault::Keys> keys;
  for (const EspSuite suite : suites)
    sides.push_back(other_side(suite, keys.size() % 2 == 1)), keys.push_back(keys_of(sides.back()));
  std::vector<Bytes> packets, texts;
  std::vector<EspJob> jobs;
  std::vector<EspSizes> sizes_of_packet;
  packets.reserve(kBurstMax);
  for (std::size_t i = 0; i < kBurstMax; ++i) {
    const std::size_t which = random_() % suites.size();
    const EspSizes& sizes = sides[which].sizes;
    packets.push_back(fresh_packet(sizes, sizes.alignment * (1 + random_() % 90), i + 1));
    texts.push_back(text_of(packets.back(), sizes));
    sizes_of_packet.push_back(sizes);
    jobs.push_back(job(packets.back(), keys[which], sizes, i + 1));
  }

  crypto_.seal(jobs);
  for (std::size_t i = 0; i < kBurstMax; i += 5) packets[i].back() ^= 0x80;
  crypto_.open(jobs);

  for (std::size_t i = 0; i < kBurstMax; ++i) {
    EXPECT_EQ(jobs[i].done, i % 5 != 0) << i;
    if (i % 5 != 0) {
      EXPECT_EQ(text_of(packets[i], sizes_of_packet[i]), texts[i]) << i;
    }
  }
}

TEST_F(EspCryptoTest, WhatTheLibraryRefusesIsNotDone) {
  const OtherSide cbc = other_side({EspCipher::kAes128Cbc, EspIntegrity::kHmacSha1_96}, false);
  const OtherSide gcm = other_side({EspCipher::kAes128Gcm, EspIntegrity::kAead}, false);
  const KeyVault::Keys cbc_keys = keys_of(cbc), gcm_keys = keys_of(gcm);
  Bytes half_a_block = fresh_packet(cbc.sizes, 24, 1), whole = fresh_packet(gcm.sizes, 24, 1);
  EspJob jobs[] = {job(half_a_block, cbc_keys, cbc.sizes, 1), job(whole, gcm_keys, gcm.sizes, 1)};

  crypto_.seal(jobs);

  EXPECT_FALSE(jobs[0].done);
  EXPECT_TRUE(jobs[1].done);
}

TEST_F(EspCryptoTest, NeverUsesAnIvTwice) {
  for (const EspSuite suite : {EspSuite{EspCipher::kAes256Gcm, EspIntegrity::kAead},
                               EspSuite{EspCipher::kAes128Cbc, EspIntegrity::kHmacSha1_96},
                               EspSuite{EspCipher::kTripleDesCbc, EspIntegrity::kHmacSha1_96}}) {
    const OtherSide other = other_side(suite, false);
    const KeyVault::Keys keys = keys_of(other);
    std::map<Bytes, int> ivs;
    for (std::uint64_t sequence = 1; sequence <= 1000; ++sequence) {
      Bytes esp = fresh_packet(other.sizes, 16, sequence);
      EspJob one = job(esp, keys, other.sizes, sequence);
      crypto_.seal({&one, 1});
      EXPECT_EQ(++ivs[Bytes(esp.begin() + 8, esp.begin() + 8 + other.sizes.iv)], 1);
      if (suite.integrity != EspIntegrity::kAead) {
        EXPECT_NE(load_be<std::uint64_t>(esp, 8), sequence);  // foreseeable
      }
    }
  }
}

// draft-mcgrew-gcm-test-01, case 1: RFC 4106 with extended sequence numbers.
TEST_F(EspCryptoTest, OpensThePublishedGcmPacket) {
  const Bytes text = from_hex(
      "45000048699a000080114db7c0a80102c0a801010a9bf15638d301000001000000000000045f736970045f756470037369700963"
      "796265726369747902646b000021000101020201");
  Bytes esp = from_hex(
      "0000432100000000"
      "4956ed7e3b244cfe"
      "fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34cfa2436f14a3f3cf65925bf1f4a13c5d15b21e18"
      "84f5ff6247aeabb786b93bce61bc17d768fd9732"
      "459018148f6cbe722fd04796562dfdb4");
  const EspSuite suite{EspCipher::kAes128Gcm, EspIntegrity::kAead};
  const KeyVault::Keys keys =
      std::move(crypto_.expand(*vault_, suite, true, from_hex("4c80cdefbb5d10da906ac73c3613a6342e443b68"), {})).value();
  const EspSizes sizes = std::move(filters::sizes_of(suite)).value();
  EspJob one = job(esp, keys, sizes, 0x8765'4321'0000'0000);

  crypto_.open({&one, 1});

  ASSERT_TRUE(one.done);
  EXPECT_EQ(text_of(esp, sizes), text);
}

// RFC 3602 section 4, case 5. The RFC's packets carry no ICV: OpenSSL's is put behind.
TEST_F(EspCryptoTest, OpensThePublishedCbcPacket) {
  const EspSuite suite{EspCipher::kAes128Cbc, EspIntegrity::kHmacSha256_128};
  OtherSide other{suite, std::move(filters::sizes_of(suite)).value(), false,
                  from_hex("90d382b410eeba7ad938c46cec1a82bf"), random_bytes(32)};
  Bytes esp = from_hex(
      "0000432100000001"
      "e96e8c08ab465763fd098d45dd3ff893"
      "f663c25d325c18c6a9453e194e120849a4870b66cc6b9965330013b4898dc856a4699e523a55db080b59ec3a8e4b7e52775b07d1db34ed9c"
      "538ab50c551b874aa269add047ad2d5913ac19b7cfbad4a6");
  const Bytes icv = other.hmac(esp, esp.size(), 1);
  esp.insert(esp.end(), icv.begin(), icv.end());
  const KeyVault::Keys keys = keys_of(other);
  EspJob one = job(esp, keys, other.sizes, 1);

  crypto_.open({&one, 1});

  ASSERT_TRUE(one.done);
  EXPECT_EQ(text_of(esp, other.sizes), from_hex("08000ebda70a00008e9c083db95b070008090a0b0c0d0e0f101112131415161718191a"
                                                "1b1c1d1e1f202122232425262728292a2b2c2d2e2f"
                                                "30313233343536370102030405060708090a0b0c0d0e0e01"));
}

TEST_F(EspCryptoTest, OpensEveryCapturedPacketOfOtherImplementations) {
  std::ifstream file(SEKISHO_SOURCE_DIR "/tests/vectors/esp_captures.txt");
  std::string line;
  int packets = 0;
  std::map<std::pair<EspCipher, EspIntegrity>, int> suites;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string capture, cipher, integrity, cipher_key, integrity_key, packet, plain;
    words >> capture >> cipher >> integrity >> cipher_key >> integrity_key >> packet >> plain;
    const EspSuite suite{kCiphers.at(cipher), kIntegrities.at(integrity)};
    const EspSizes sizes = std::move(filters::sizes_of(suite)).value();
    const KeyVault::Keys keys =
        std::move(crypto_.expand(*vault_, suite, false, from_hex(cipher_key), from_hex(integrity_key))).value();
    Bytes esp = from_hex(packet);
    ASSERT_NE(filters::esp_encrypted_bytes(esp.size(), sizes), 0U) << capture;
    EspJob one = job(esp, keys, sizes, load_be<std::uint32_t>(esp, 4));
    crypto_.open({&one, 1});
    ASSERT_TRUE(one.done) << capture;
    EXPECT_EQ(text_of(esp, sizes), from_hex(plain)) << capture;
    filters::EspInner inner;
    const filters::EspFault fault = filters::read_esp_inner(text_of(esp, sizes), inner);
    // IKEv2's tunnels hold IP; L2TP's transport mode holds UDP, which tunnel mode refuses.
    EXPECT_EQ(fault, capture.starts_with("l2tp") ? filters::EspFault::kNextHeader : filters::EspFault::kNone)
        << capture;
    ++packets;
    ++suites[{suite.cipher, suite.integrity}];
  }
  EXPECT_GE(packets, 50);
  EXPECT_GE(suites.size(), 5U);
}

TEST_F(EspCryptoTest, RefusesKeysOfTheWrongLengthAndSuitesThatDoNotExist) {
  const Bytes bytes(64, 1);
  const auto accepted = [&](EspSuite suite, std::size_t cipher_key, std::size_t integrity_key) {
    return crypto_
        .expand(*vault_, suite, false, ByteSpan(bytes).first(cipher_key), ByteSpan(bytes).first(integrity_key))
        .has_value();
  };
  const EspSuite gcm{EspCipher::kAes256Gcm, EspIntegrity::kAead},
      cbc{EspCipher::kAes128Cbc, EspIntegrity::kHmacSha1_96};
  EXPECT_TRUE(accepted(gcm, 36, 0));
  EXPECT_FALSE(accepted(gcm, 32, 0));  // without its salt
  EXPECT_FALSE(accepted(gcm, 36, 20));
  EXPECT_TRUE(accepted(cbc, 16, 20));
  EXPECT_FALSE(accepted(cbc, 16, 0));  // without proof
  EXPECT_FALSE(accepted(cbc, 24, 20));
  EXPECT_FALSE(accepted({EspCipher::kAes128Cbc, EspIntegrity::kAead}, 16, 0));
}

TEST(KeyVault, HoldsKeysInLockedMemoryOutsideCoresAndChildren) {
  const auto vault = std::move(KeyVault::create(4)).value();
  std::ifstream maps("/proc/self/smaps");
  std::string line, flags;
  std::ostringstream start;
  start << std::hex << reinterpret_cast<std::uintptr_t>(vault->memory().data()) << '-';
  bool here = false;
  while (std::getline(maps, line) && flags.empty()) {
    if (line.starts_with(start.str())) here = true;
    if (here && line.starts_with("VmFlags:")) flags = line;
  }
  EXPECT_NE(flags.find(" lo"), std::string::npos) << flags;
  EXPECT_NE(flags.find(" dd"), std::string::npos) << flags;
  EXPECT_NE(flags.find(" dc"), std::string::npos) << flags;
}

TEST(KeyVault, IsAllZerosWhenItsKeysAreGivenBack) {
  const auto vault = std::move(KeyVault::create(4)).value();
  EspCrypto crypto = std::move(EspCrypto::create()).value();
  const auto zeros = [&vault] {
    return std::ranges::all_of(vault->memory(), [](std::uint8_t byte) { return byte == 0; });
  };
  const Bytes key(36, 0x5a), cbc_key(24, 0x5a), secret(20, 0x5a);
  {
    const auto gcm =
        std::move(crypto.expand(*vault, {EspCipher::kAes256Gcm, EspIntegrity::kAead}, false, key, {})).value();
    const auto des =
        std::move(crypto.expand(*vault, {EspCipher::kTripleDesCbc, EspIntegrity::kHmacSha1_96}, false, cbc_key, secret))
            .value();
    EXPECT_FALSE(zeros());
    EXPECT_EQ(vault->free_slots(), 2U);
  }
  EXPECT_TRUE(zeros());
  EXPECT_EQ(vault->free_slots(), 4U);
}

TEST(KeyVault, SaysWhenItIsFull) {
  const auto vault = std::move(KeyVault::create(1)).value();
  const auto first = std::move(vault->acquire()).value();
  EXPECT_EQ(vault->acquire().error().code, ErrorCode::kLimit);
  EXPECT_FALSE(KeyVault::create(0));
}

}  // namespace
}  // namespace sekisho::dataplane
