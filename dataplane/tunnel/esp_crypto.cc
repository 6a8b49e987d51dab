// SPDX-License-Identifier: Apache-2.0
#include "dataplane/tunnel/esp_crypto.h"

#include <intel-ipsec-mb.h>

#include <array>
#include <cstring>
#include <new>

#include "base/assert.h"
#include "base/net/endian.h"
#include "dataplane/tunnel/expanded_keys.h"
#include "filters/esp/esp.h"

namespace sekisho::dataplane {

using filters::EspCipher;
using filters::EspIntegrity;
using filters::EspSizes;
using filters::EspSuite;
using filters::kEspFixedBytes;
using filters::kEspIcvBytesMax;
using filters::kEspIvBytesMax;

namespace {

/// Nonce and additional data of one GCM packet (RFC 4106 4 and 5).
struct GcmInput {
  alignas(16) std::array<std::uint8_t, 16> nonce;
  std::array<std::uint8_t, 16> additional;  // with extended numbers: SPI, high half, low half

  void prepare(const EspJob& job) {
    std::memcpy(nonce.data(), job.keys->salt.data(), 4);
    std::memcpy(nonce.data() + 4, job.esp + kEspFixedBytes, 8);
    if (!job.keys->extended) return;
    std::memcpy(additional.data(), job.esp, 4);
    store_be<std::uint32_t>(additional, 4, static_cast<std::uint32_t>(job.sequence >> 32));
    std::memcpy(additional.data() + 8, job.esp + 4, 4);
  }
};

}  // namespace

/// The library's manager and what a burst needs beside the packets.
struct EspCrypto::Scratch {
  IMB_MGR* manager = nullptr;
  std::array<IMB_JOB, kBurstMax> jobs;
  std::array<std::uint16_t, kBurstMax> owner;  // jobs[i] works for this packet
  std::array<GcmInput, kBurstMax> inputs;
  std::array<std::array<std::uint8_t, kEspIcvBytesMax>, kBurstMax> received, computed;
};

void EspCrypto::Free::operator()(Scratch* scratch) const {
  if (scratch == nullptr) return;  // never happens; said for GCC under sanitizers
  if (scratch->manager != nullptr) free_mb_mgr(scratch->manager);
  explicit_bzero(scratch, sizeof(Scratch));
  delete scratch;
}

namespace {

constexpr std::array<std::uint8_t, kEspIvBytesMax> kZeroIv{};

bool is_gcm(EspCipher cipher) {
  return cipher <= EspCipher::kAes256Gcm;
}

/// Whether two ICVs are equal, in a time that does not depend on where they differ.
bool same(const std::uint8_t* left, const std::uint8_t* right, std::size_t bytes) {
  unsigned differs = 0;
  for (std::size_t i = 0; i < bytes; ++i) differs |= static_cast<unsigned>(left[i] ^ right[i]);
  asm volatile("" : "+r"(differs));  // the compiler may not end the loop early
  return differs == 0;
}

/// The same for 16 bytes, in two words.
bool same16(const std::uint8_t* left, const std::uint8_t* right) {
  std::array<std::uint64_t, 2> a, b;
  std::memcpy(a.data(), left, 16);
  std::memcpy(b.data(), right, 16);
  return ((a[0] ^ b[0]) | (a[1] ^ b[1])) == 0;
}

IMB_HASH_ALG hash_of(EspIntegrity integrity) {
  switch (integrity) {
    case EspIntegrity::kHmacSha1_96:
      return IMB_AUTH_HMAC_SHA_1;
    case EspIntegrity::kHmacSha256_128:
      return IMB_AUTH_HMAC_SHA_256;
    case EspIntegrity::kHmacSha384_192:
      return IMB_AUTH_HMAC_SHA_384;
    case EspIntegrity::kHmacSha512_256:
      return IMB_AUTH_HMAC_SHA_512;
    case EspIntegrity::kAead:
      break;
  }
  return IMB_AUTH_NULL;
}

/// The state of an HMAC after the block of key and `pad` (RFC 2104 2).
void start_hmac(IMB_MGR* manager, EspIntegrity integrity, ByteSpan key, std::uint8_t pad, std::uint8_t* state) {
  std::array<std::uint8_t, 128> block;
  block.fill(pad);
  for (std::size_t i = 0; i < key.size(); ++i) block[i] ^= key[i];
  switch (integrity) {
    case EspIntegrity::kHmacSha1_96:
      IMB_SHA1_ONE_BLOCK(manager, block.data(), state);
      break;
    case EspIntegrity::kHmacSha256_128:
      IMB_SHA256_ONE_BLOCK(manager, block.data(), state);
      break;
    case EspIntegrity::kHmacSha384_192:
      IMB_SHA384_ONE_BLOCK(manager, block.data(), state);
      break;
    case EspIntegrity::kHmacSha512_256:
      IMB_SHA512_ONE_BLOCK(manager, block.data(), state);
      break;
    case EspIntegrity::kAead:
      break;
  }
  explicit_bzero(block.data(), block.size());
}

void expand_cipher(IMB_MGR* manager, ExpandedKeys& keys, const std::uint8_t* key) {
  switch (keys.suite.cipher) {
    case EspCipher::kAes128Gcm:
      IMB_AES128_GCM_PRE(manager, key, &keys.gcm);
      break;
    case EspCipher::kAes192Gcm:
      IMB_AES192_GCM_PRE(manager, key, &keys.gcm);
      break;
    case EspCipher::kAes256Gcm:
      IMB_AES256_GCM_PRE(manager, key, &keys.gcm);
      break;
    case EspCipher::kAes128Cbc:
      IMB_AES_KEYEXP_128(manager, key, keys.cbc.encrypt.data(), keys.cbc.decrypt.data());
      break;
    case EspCipher::kAes192Cbc:
      IMB_AES_KEYEXP_192(manager, key, keys.cbc.encrypt.data(), keys.cbc.decrypt.data());
      break;
    case EspCipher::kAes256Cbc:
      IMB_AES_KEYEXP_256(manager, key, keys.cbc.encrypt.data(), keys.cbc.decrypt.data());
      break;
    case EspCipher::kTripleDesCbc:
      for (std::size_t i = 0; i < 3; ++i) IMB_DES_KEYSCHED(manager, keys.cbc.des[i].data(), key + 8 * i);
      break;
  }
}

/// The library's function for a GCM cipher, out of its three.
aes_gcm_enc_dec_t pick(EspCipher cipher, aes_gcm_enc_dec_t with128, aes_gcm_enc_dec_t with192,
                       aes_gcm_enc_dec_t with256) {
  if (cipher == EspCipher::kAes128Gcm) return with128;
  return cipher == EspCipher::kAes192Gcm ? with192 : with256;
}

void run_gcm(aes_gcm_enc_dec_t run, const EspJob& job, const GcmInput& input, std::uint8_t* icv) {
  const bool extended = job.keys->extended;
  gcm_context_data context;
  std::uint8_t* const text = job.esp + kEspFixedBytes + 8;
  run(&job.keys->gcm, &context, text, text, job.encrypted, input.nonce.data(), extended ? input.additional.data() : job.esp,
      extended ? 12 : kEspFixedBytes, icv, 16);
}

void seal_gcm(IMB_MGR* manager, EspJob& job, const GcmInput& input) {
  const auto encrypt = pick(job.keys->suite.cipher, manager->gcm128_enc, manager->gcm192_enc, manager->gcm256_enc);
  run_gcm(encrypt, job, input, job.esp + kEspFixedBytes + 8 + job.encrypted);
  job.done = true;
}

void open_gcm(IMB_MGR* manager, EspJob& job, const GcmInput& input) {
  alignas(16) std::array<std::uint8_t, 16> icv;
  const auto decrypt = pick(job.keys->suite.cipher, manager->gcm128_dec, manager->gcm192_dec, manager->gcm256_dec);
  run_gcm(decrypt, job, input, icv.data());
  job.done = same16(icv.data(), job.esp + kEspFixedBytes + 8 + job.encrypted);
}

/// CBC over a burst. Sealing enciphers IV field and text as one chain that starts at zero: the field holds the sequence
/// number, so its first block becomes an IV no one can foresee, and what follows is CBC under it.
/// `want` picks packets of one cipher; packets whose `done` is false are left alone when opening.
template <bool kSeal>
void run_cipher(IMB_MGR* manager, EspCipher want, std::span<EspJob> jobs, std::span<IMB_JOB> work,
                std::span<std::uint16_t> owner) {
  std::uint32_t count = 0;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const EspJob& job = jobs[i];
    if (job.keys->suite.cipher != want || !job.done) continue;
    const ExpandedKeys::Cbc& cbc = job.keys->cbc;
    const std::size_t iv = job.keys->sizes.iv;
    IMB_JOB& one = work[count];
    one.enc_keys = cbc.encrypt.data();
    one.dec_keys = cbc.decrypt.data();
    one.src = one.dst = job.esp + kEspFixedBytes + (kSeal ? 0 : iv);
    one.iv = kSeal ? kZeroIv.data() : job.esp + kEspFixedBytes;
    one.iv_len_in_bytes = iv;
    one.key_len_in_bytes = job.keys->sizes.cipher_key;
    one.cipher_start_src_offset_in_bytes = 0;
    one.msg_len_to_cipher_in_bytes = job.encrypted + (kSeal ? iv : 0);
    owner[count++] = static_cast<std::uint16_t>(i);
  }
  if (count == 0) return;
  const auto direction = kSeal ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
  const auto key_bytes = static_cast<IMB_KEY_SIZE_BYTES>(work[0].key_len_in_bytes);
  // What is opened was proved genuine: one the library did not decrypt would be rubbish. What is sealed is checked: nothing in clear.
  const std::uint32_t finished =
      kSeal ? IMB_SUBMIT_CIPHER_BURST(manager, work.data(), count, IMB_CIPHER_CBC, direction, key_bytes)
            : IMB_SUBMIT_CIPHER_BURST_NOCHECK(manager, work.data(), count, IMB_CIPHER_CBC, direction, key_bytes);
  if (finished == count) return;
  for (std::uint32_t i = 0; i < count; ++i) jobs[owner[i]].done = false;
}

/// 3DES has no burst of its own: jobs go in one by one and come out when the library has filled its lanes, or is
/// flushed.
template <bool kSeal>
void run_triple_des(IMB_MGR* manager, std::span<EspJob> jobs) {
  const auto finish = [](const IMB_JOB* job) {
    *static_cast<bool*>(job->user_data) = job->status == IMB_STATUS_COMPLETED;
  };
  bool any = false;
  for (EspJob& job : jobs) {
    if (job.keys->suite.cipher != EspCipher::kTripleDesCbc || !job.done) continue;
    IMB_JOB* const one = IMB_GET_NEXT_JOB(manager);
    *one = {};
    one->enc_keys = one->dec_keys = job.keys->cbc.schedules.data();
    one->key_len_in_bytes = 24;
    one->src = one->dst = job.esp + kEspFixedBytes + (kSeal ? 0 : 8);
    one->iv = kSeal ? kZeroIv.data() : job.esp + kEspFixedBytes;
    one->iv_len_in_bytes = 8;
    one->msg_len_to_cipher_in_bytes = job.encrypted + (kSeal ? 8U : 0U);
    one->cipher_mode = IMB_CIPHER_DES3;
    one->cipher_direction = kSeal ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
    one->hash_alg = IMB_AUTH_NULL;
    one->chain_order = kSeal ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
    one->user_data = &job.done;
    job.done = false;  // until it comes out
    any = true;
    if (const IMB_JOB* finished = IMB_SUBMIT_JOB(manager)) finish(finished);
  }
  if (!any) return;
  while (const IMB_JOB* finished = IMB_FLUSH_JOB(manager)) finish(finished);
}

/// The kinds among a burst's packets: most bursts have one, and need not be looked through for the others.
class Kinds {
 public:
  void add(EspSuite suite) {
    ciphers_ |= 1U << static_cast<unsigned>(suite.cipher);
    integrities_ |= 1U << static_cast<unsigned>(suite.integrity);
  }
  [[nodiscard]] bool has(EspCipher cipher) const { return (ciphers_ >> static_cast<unsigned>(cipher) & 1U) != 0; }
  [[nodiscard]] bool has(EspIntegrity integrity) const { return (integrities_ >> static_cast<unsigned>(integrity) & 1U) != 0; }
  [[nodiscard]] bool cbc() const { return (integrities_ & ~(1U << static_cast<unsigned>(EspIntegrity::kAead))) != 0; }

 private:
  unsigned ciphers_ = 0, integrities_ = 0;
};

template <bool kSeal>
void run_ciphers(IMB_MGR* manager, Kinds kinds, std::span<EspJob> jobs, std::span<IMB_JOB> work, std::span<std::uint16_t> owner) {
  for (const EspCipher cipher : {EspCipher::kAes128Cbc, EspCipher::kAes192Cbc, EspCipher::kAes256Cbc}) {
    if (kinds.has(cipher)) run_cipher<kSeal>(manager, cipher, jobs, work, owner);
  }
  if (kinds.has(EspCipher::kTripleDesCbc)) run_triple_des<kSeal>(manager, jobs);
}

/// HMAC of every CBC packet into `computed`, by kind of hash. With extended numbers the high half stands behind the
/// text while it is hashed (RFC 4303 2.2.1): where the ICV is or will be, four bytes of which every ICV has.
void run_hashes(IMB_MGR* manager, Kinds kinds, std::span<EspJob> jobs, std::span<IMB_JOB> work, std::span<std::uint16_t> owner,
                std::span<std::array<std::uint8_t, kEspIcvBytesMax>> computed) {
  for (const EspIntegrity integrity : {EspIntegrity::kHmacSha1_96, EspIntegrity::kHmacSha256_128,
                                       EspIntegrity::kHmacSha384_192, EspIntegrity::kHmacSha512_256}) {
    if (!kinds.has(integrity)) continue;
    std::uint32_t count = 0;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      const EspJob& job = jobs[i];
      if (job.keys->suite.integrity != integrity || !job.done) continue;
      const EspSizes sizes = job.keys->sizes;
      const std::size_t bytes = kEspFixedBytes + sizes.iv + job.encrypted;
      if (job.keys->extended)
        store_be<std::uint32_t>({job.esp + bytes, 4}, 0, static_cast<std::uint32_t>(job.sequence >> 32));
      IMB_JOB& one = work[count];
      one.src = job.esp;
      one.hash_start_src_offset_in_bytes = 0;
      one.msg_len_to_hash_in_bytes = bytes + (job.keys->extended ? 4 : 0);
      one.auth_tag_output = computed[i].data();
      one.auth_tag_output_len_in_bytes = sizes.icv;
      one.u.HMAC._hashed_auth_key_xor_ipad = job.keys->cbc.inner.data();
      one.u.HMAC._hashed_auth_key_xor_opad = job.keys->cbc.outer.data();
      owner[count++] = static_cast<std::uint16_t>(i);
    }
    if (count == 0 || IMB_SUBMIT_HASH_BURST(manager, work.data(), count, hash_of(integrity)) == count) continue;
    for (std::uint32_t i = 0; i < count; ++i) jobs[owner[i]].done = false;
  }
}

}  // namespace

Result<EspCrypto> EspCrypto::create() {
  std::unique_ptr<Scratch, Free> scratch(new (std::nothrow) Scratch{});
  if (scratch == nullptr || (scratch->manager = alloc_mb_mgr(0)) == nullptr) {
    return Error{ErrorCode::kUnavailable, ErrorSite::kDataplane, 0};
  }
  IMB_ARCH chosen;
  init_mb_mgr_auto(scratch->manager, &chosen);
  return EspCrypto(std::move(scratch));
}

Result<KeyVault::Keys> EspCrypto::expand(KeyVault& vault, EspSuite suite, bool extended, ByteSpan cipher_key,
                                         ByteSpan integrity_key) {
  SEKISHO_TRY(const EspSizes sizes, filters::sizes_of(suite));
  if (cipher_key.size() != std::size_t{sizes.cipher_key} + sizes.salt || integrity_key.size() != sizes.integrity_key) {
    return Error{ErrorCode::kUnsupported, ErrorSite::kDataplane, static_cast<std::uint32_t>(cipher_key.size())};
  }
  SEKISHO_TRY(KeyVault::Keys keys, vault.acquire());
  IMB_MGR* const manager = scratch_->manager;
  keys->suite = suite;
  keys->sizes = sizes;
  keys->extended = extended;
  expand_cipher(manager, *keys, cipher_key.data());
  if (is_gcm(suite.cipher)) {
    std::memcpy(keys->salt.data(), cipher_key.data() + sizes.cipher_key, sizes.salt);
    return keys;
  }
  for (std::size_t i = 0; i < 3; ++i) keys->cbc.schedules[i] = keys->cbc.des[i].data();
  start_hmac(manager, suite.integrity, integrity_key, 0x36, keys->cbc.inner.data());
  start_hmac(manager, suite.integrity, integrity_key, 0x5c, keys->cbc.outer.data());
  return keys;
}

void EspCrypto::seal(std::span<EspJob> jobs) {
  SEKISHO_DCHECK(jobs.size() <= kBurstMax);
  IMB_MGR* const manager = scratch_->manager;
  Kinds kinds;
  for (EspJob& job : jobs) {  // writes in a loop of their own: bytes just written are slow to load as vectors
    std::uint8_t* const iv = job.esp + kEspFixedBytes;
    store_be<std::uint64_t>({iv, 8}, 0, job.sequence);
    if (job.keys->sizes.iv == 16) std::memset(iv + 8, 0, 8);
    job.done = true;
    kinds.add(job.keys->suite);
    if (is_gcm(job.keys->suite.cipher)) scratch_->inputs[static_cast<std::size_t>(&job - jobs.data())].prepare(job);
  }
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (is_gcm(jobs[i].keys->suite.cipher)) seal_gcm(manager, jobs[i], scratch_->inputs[i]);
  }
  if (!kinds.cbc()) return;
  run_ciphers<true>(manager, kinds, jobs, scratch_->jobs, scratch_->owner);
  run_hashes(manager, kinds, jobs, scratch_->jobs, scratch_->owner, scratch_->computed);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const EspSizes sizes = jobs[i].keys->sizes;
    if (is_gcm(jobs[i].keys->suite.cipher) || !jobs[i].done) continue;
    std::memcpy(jobs[i].esp + kEspFixedBytes + sizes.iv + jobs[i].encrypted, scratch_->computed[i].data(), sizes.icv);
  }
}

void EspCrypto::open(std::span<EspJob> jobs) {
  SEKISHO_DCHECK(jobs.size() <= kBurstMax);
  IMB_MGR* const manager = scratch_->manager;
  Kinds kinds;
  const ExpandedKeys* last = nullptr;
  for (std::size_t i = 0; i < jobs.size(); ++i) {  // as in seal(): written here, loaded by the library below
    const ExpandedKeys* const keys = jobs[i].keys;
    if (keys != last) kinds.add(keys->suite), last = keys;
    if (is_gcm(keys->suite.cipher)) scratch_->inputs[i].prepare(jobs[i]);
  }
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    EspJob& job = jobs[i];
    if (is_gcm(job.keys->suite.cipher)) {
      open_gcm(manager, job, scratch_->inputs[i]);
      continue;
    }
    job.done = true;
    const EspSizes sizes = job.keys->sizes;
    std::memcpy(scratch_->received[i].data(), job.esp + kEspFixedBytes + sizes.iv + job.encrypted, sizes.icv);
  }
  if (!kinds.cbc()) return;
  run_hashes(manager, kinds, jobs, scratch_->jobs, scratch_->owner, scratch_->computed);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    EspJob& job = jobs[i];
    if (is_gcm(job.keys->suite.cipher)) continue;
    job.done = job.done && same(scratch_->received[i].data(), scratch_->computed[i].data(), job.keys->sizes.icv);
  }
  run_ciphers<false>(manager, kinds, jobs, scratch_->jobs, scratch_->owner);
}

}  // namespace sekisho::dataplane
