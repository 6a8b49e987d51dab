// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <intel-ipsec-mb.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/net/checksum.h"
#include "base/net/endian.h"
#include "dataplane/burst.h"
#include "dataplane/tunnel/expanded_keys.h"

/// What both ESP programs measure with: the suites, and the least that can be done.
namespace sekisho::bench {

using dataplane::kBurstMax;
using filters::EspCipher;
using filters::EspIntegrity;
using filters::EspSuite;

struct Named {
  const char* name;
  EspSuite suite;
};
constexpr Named kSuites[] = {
    {"AES-128-GCM", {EspCipher::kAes128Gcm, EspIntegrity::kAead}},
    {"AES-256-GCM", {EspCipher::kAes256Gcm, EspIntegrity::kAead}},
    {"AES-256-CBC + SHA1", {EspCipher::kAes256Cbc, EspIntegrity::kHmacSha1_96}},
    {"AES-256-CBC + SHA256", {EspCipher::kAes256Cbc, EspIntegrity::kHmacSha256_128}},
};

/// Cycles a packet of the middle one of some bursts.
inline double middle(std::vector<std::uint64_t>& bursts) {
  std::nth_element(bursts.begin(), bursts.begin() + static_cast<long>(bursts.size() / 2), bursts.end());
  return static_cast<double>(bursts[bursts.size() / 2]) / kBurstMax;
}

/// The floor: what must be done to these packets, and nothing that decides.
class Floor {
 public:
  explicit Floor(const dataplane::ExpandedKeys& keys)
      : keys_(keys), gcm_(keys.sizes.salt != 0), manager_(alloc_mb_mgr(0)) {
    IMB_ARCH chosen;
    init_mb_mgr_auto(manager_, &chosen);
    const std::uint8_t header[34] = {2, 0, 0, 0,    0, 0x11, 2,  0, 0, 0,   0,  1,   8, 0,   0x45, 0,   0,
                                     0, 0, 0, 0x40, 0, 64,   50, 0, 0, 198, 51, 100, 9, 203, 0,    113, 1};
    std::memcpy(header_, header, sizeof(header));
  }
  ~Floor() { free_mb_mgr(manager_); }
  Floor(const Floor&) = delete;
  Floor& operator=(const Floor&) = delete;

  void seal(std::span<rte_mbuf*> burst) {
    const std::size_t front = 8U + keys_.sizes.iv;
    for (std::size_t i = 0; i < burst.size(); ++i) {
      std::uint8_t* const inner = rte_pktmbuf_mtod(burst[i], std::uint8_t*) + 14;
      const std::size_t length = burst[i]->data_len - 14U;
      const std::size_t pad = (0U - length - 2U) & (keys_.sizes.alignment - 1U);
      for (std::size_t p = 0; p < pad; ++p) inner[length + p] = static_cast<std::uint8_t>(p + 1);
      inner[length + pad] = static_cast<std::uint8_t>(pad);
      inner[length + pad + 1] = 4;
      std::uint8_t* const esp = inner - front;
      std::uint8_t* const start = esp - sizeof(header_);
      std::memcpy(start, header_, sizeof(header_));
      const std::size_t total = 20 + front + length + pad + 2 + keys_.sizes.icv;
      store_be<std::uint16_t>({start, 34}, 16, static_cast<std::uint16_t>(total));
      store_be<std::uint16_t>({start, 34}, 24, checksum_fold(checksum_add(0, {start + 14, 20})));
      store_be<std::uint32_t>({esp, 8}, 0, 5U);
      store_be<std::uint32_t>({esp, 8}, 4, static_cast<std::uint32_t>(++sent_));
      store_be<std::uint64_t>({esp, 16}, 8, sent_);
      if (!gcm_) std::memset(esp + 16, 0, 8);
      esp_[i] = esp;
      encrypted_[i] = length + pad + 2;
      burst[i]->data_off = static_cast<std::uint16_t>(burst[i]->data_off - 20 - front);
      burst[i]->data_len = static_cast<std::uint16_t>(14 + total);
      burst[i]->pkt_len = burst[i]->data_len;
    }
    if (gcm_) return run_gcm<true>(burst.size());
    run_cipher<true>(burst.size());
    run_hash(burst.size());
    for (std::size_t i = 0; i < burst.size(); ++i)
      std::memcpy(esp_[i] + front + encrypted_[i], tags_[i].data(), keys_.sizes.icv);
  }

  /// Of packets seal() just made.
  void open(std::span<rte_mbuf*> burst) {
    const std::size_t front = 8U + keys_.sizes.iv;
    for (std::size_t i = 0; i < burst.size(); ++i) {
      std::uint8_t* const start = rte_pktmbuf_mtod(burst[i], std::uint8_t*);
      esp_[i] = start + 34;
      encrypted_[i] = load_be<std::uint16_t>({start, 34}, 16) - 20U - front - keys_.sizes.icv;
    }
    if (gcm_) {
      run_gcm<false>(burst.size());
    } else {
      run_hash(burst.size());
      run_cipher<false>(burst.size());
    }
    for (std::size_t i = 0; i < burst.size(); ++i) {
      std::uint8_t* const inner = esp_[i] + front;
      bad_ += std::memcmp(tags_[i].data(), inner + encrypted_[i], keys_.sizes.icv) != 0 ? 1U : 0U;
      const std::uint64_t sequence = load_be<std::uint32_t>({esp_[i], 8}, 4);
      if (sequence > top_) {
        const std::uint64_t ahead = sequence - top_;
        window_ = ahead < 64 ? window_ << ahead | 1 : 1;
        top_ = sequence;
      } else {
        window_ |= std::uint64_t{1} << ((top_ - sequence) & 63);
      }
      const std::size_t length = encrypted_[i] - 2 - inner[encrypted_[i] - 2];
      std::memcpy(inner - 14, header_, 14);
      burst[i]->data_off = static_cast<std::uint16_t>(burst[i]->data_off + 20 + front);
      burst[i]->data_len = static_cast<std::uint16_t>(14 + length);
      burst[i]->pkt_len = burst[i]->data_len;
    }
  }
  [[nodiscard]] std::uint64_t bad() const { return bad_; }

 private:
  template <bool kSeal>
  void run_gcm(std::size_t count) {
    const bool small = keys_.suite.cipher == EspCipher::kAes128Gcm;
    const auto run = kSeal ? (small ? manager_->gcm128_enc : manager_->gcm256_enc)
                           : (small ? manager_->gcm128_dec : manager_->gcm256_dec);
    for (std::size_t i = 0; i < count; ++i) {
      std::uint8_t nonce[12];
      std::memcpy(nonce, keys_.salt.data(), 4);
      std::memcpy(nonce + 4, esp_[i] + 8, 8);
      gcm_context_data context;
      std::uint8_t* const text = esp_[i] + 16;
      run(&keys_.gcm, &context, text, text, encrypted_[i], nonce, esp_[i], 8,
          kSeal ? text + encrypted_[i] : tags_[i].data(), 16);
    }
  }
  template <bool kSeal>
  void run_cipher(std::size_t count) {
    static const std::uint8_t zero[16] = {};
    for (std::size_t i = 0; i < count; ++i) {
      IMB_JOB& job = jobs_[i];
      job.enc_keys = keys_.cbc.encrypt.data();
      job.dec_keys = keys_.cbc.decrypt.data();
      job.src = job.dst = esp_[i] + (kSeal ? 8 : 24);
      job.iv = kSeal ? zero : esp_[i] + 8;
      job.iv_len_in_bytes = 16;
      job.key_len_in_bytes = 32;
      job.cipher_start_src_offset_in_bytes = 0;
      job.msg_len_to_cipher_in_bytes = encrypted_[i] + (kSeal ? 16U : 0U);
    }
    IMB_SUBMIT_CIPHER_BURST_NOCHECK(manager_, jobs_.data(), static_cast<std::uint32_t>(count), IMB_CIPHER_CBC,
                                    kSeal ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT, IMB_KEY_256_BYTES);
  }
  void run_hash(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      IMB_JOB& job = jobs_[i];
      job.src = esp_[i];
      job.hash_start_src_offset_in_bytes = 0;
      job.msg_len_to_hash_in_bytes = 24 + encrypted_[i];
      job.auth_tag_output = tags_[i].data();
      job.auth_tag_output_len_in_bytes = keys_.sizes.icv;
      job.u.HMAC._hashed_auth_key_xor_ipad = keys_.cbc.inner.data();
      job.u.HMAC._hashed_auth_key_xor_opad = keys_.cbc.outer.data();
    }
    const auto hash = keys_.suite.integrity == EspIntegrity::kHmacSha1_96 ? IMB_AUTH_HMAC_SHA_1 : IMB_AUTH_HMAC_SHA_256;
    IMB_SUBMIT_HASH_BURST_NOCHECK(manager_, jobs_.data(), static_cast<std::uint32_t>(count), hash);
  }

  const dataplane::ExpandedKeys& keys_;
  bool gcm_;
  IMB_MGR* manager_;
  std::uint8_t header_[34];
  std::uint64_t sent_ = 0, top_ = 0, window_ = 0, bad_ = 0;
  std::array<IMB_JOB, kBurstMax> jobs_{};
  std::array<std::uint8_t*, kBurstMax> esp_{};
  std::array<std::size_t, kBurstMax> encrypted_{};
  std::array<std::array<std::uint8_t, 32>, kBurstMax> tags_{};
};

}  // namespace sekisho::bench
