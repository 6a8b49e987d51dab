// SPDX-License-Identifier: Apache-2.0
//
// What ESP costs: bursts of 64 sealed and opened by the data plane's functions, and beside them, in turns, by the least
// that can be done with the same library: no table, no selectors, no limits, no MTU, no tenant; a window of 64 numbers;
// the layout known. Frames of 64, 512 and 1400 bytes (14 of them Ethernet), IPv4 in IPv4, one SA. Packets are written
// anew, and so lie in the cache, before each burst; only seal and open are timed. Prints one JSON object a line: TSC
// cycles a packet.
//
// Usage: esp_bench [CHUNKS]
#include <intel-ipsec-mb.h>
#include <rte_cycles.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/net/checksum.h"
#include "base/net/endian.h"
#include "dataplane/tunnel/esp_path.h"
#include "dataplane/tunnel/expanded_keys.h"
#include "filters/packet/decode.h"
#include "tests/support/eal.h"
#include "tests/support/frames.h"

namespace {

using namespace sekisho;
using dataplane::kBurstMax;
using filters::EspCipher;
using filters::EspFault;
using filters::EspIntegrity;
using filters::EspSuite;

constexpr unsigned kBurstsPerChunk = 300;

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

struct Figures {
  std::vector<double> seal, open;
};

double middle(std::vector<std::uint64_t>& bursts) {
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

class Bench {
 public:
  Bench(EspSuite suite, std::size_t frame_bytes, rte_mempool* pool)
      : frame_(
            tests::FrameBuilder().ipv4("10.9.0.5", "192.168.1.2").udp(4000, 53).payload(frame_bytes - 14 - 28).build()),
        table_(std::move(dataplane::SaTable::create(0, 4, 1)).value()) {
    static_cast<void>(filters::decode(frame_, static_cast<std::uint32_t>(frame_.size()), {}, meta_));
    meta_.tenant = 1;
    const std::vector<std::uint8_t> key(64, 0x3c);
    const auto sizes = std::move(filters::sizes_of(suite)).value();
    const std::vector<Prefix> user{parse_prefix("10.9.0.5/32").value()}, ours{parse_prefix("192.168.0.0/16").value()};
    dataplane::SaConfig in;
    in.tenant = 1;
    in.suite = suite;
    in.cipher_key = ByteSpan(key).first(std::size_t{sizes.cipher_key} + sizes.salt);
    in.integrity_key = ByteSpan(key).first(sizes.integrity_key);
    in.local.address = tests::address("203.0.113.1");
    in.peer.address = tests::address("198.51.100.9");
    in.inner_local = ours;
    in.inner_remote = user;
    in.spi = std::move(table_->allocate_spi()).value();
    if (!table_->install(in, 0)) std::abort();
    dataplane::SaConfig out = in;
    out.direction = dataplane::SaDirection::kOutbound;
    std::swap(out.local, out.peer);
    std::swap(out.inner_local, out.inner_remote);
    handles_.fill(std::move(table_->install(out, 0)).value());
    floor_ = std::make_unique<Floor>(*table_->find(handles_[0])->keys);
    for (rte_mbuf*& packet : burst_) packet = rte_pktmbuf_alloc(pool);
  }
  ~Bench() {
    for (rte_mbuf* packet : burst_) rte_pktmbuf_free(packet);
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  void chunk(Figures& ours, Figures& floor) {
    measure(
        ours, [this] { dataplane::seal_burst(*table_, burst_, handles_, 1, outcomes_); },
        [this] {
          check();
          dataplane::open_burst(*table_, burst_, 1, outcomes_);
          check();
        });
    measure(
        floor, [this] { floor_->seal(burst_); }, [this] { floor_->open(burst_); });
    if (floor_->bad() != 0) std::abort();
  }

 private:
  void check() const {
    for (const auto& outcome : outcomes_) {
      if (outcome.fault != EspFault::kNone) std::abort();
    }
  }
  void refill() {
    for (rte_mbuf* packet : burst_) {
      packet->data_off = RTE_PKTMBUF_HEADROOM;
      packet->data_len = static_cast<std::uint16_t>(frame_.size());
      packet->pkt_len = packet->data_len;
      std::memcpy(rte_pktmbuf_mtod(packet, void*), frame_.data(), frame_.size());
      dataplane::meta_of(packet) = meta_;
    }
  }
  template <typename Seal, typename Open>
  void measure(Figures& figures, const Seal& seal, const Open& open) {
    std::vector<std::uint64_t> sealing, opening;
    for (unsigned i = 0; i < kBurstsPerChunk; ++i) {
      refill();
      const std::uint64_t start = rte_rdtsc_precise();
      seal();
      const std::uint64_t sealed = rte_rdtsc_precise();
      open();
      const std::uint64_t opened = rte_rdtsc_precise();
      sealing.push_back(sealed - start);
      opening.push_back(opened - sealed);
    }
    figures.seal.push_back(middle(sealing));
    figures.open.push_back(middle(opening));
  }

  std::vector<std::uint8_t> frame_;
  filters::PacketMeta meta_{};
  std::unique_ptr<dataplane::SaTable> table_;
  std::unique_ptr<Floor> floor_;
  std::array<rte_mbuf*, kBurstMax> burst_;
  std::array<std::uint32_t, kBurstMax> handles_;
  std::array<dataplane::EspOutcome, kBurstMax> outcomes_;
};

void print(const char* suite, std::size_t bytes, const char* what, std::vector<double> ours,
           std::vector<double> floor) {
  std::sort(ours.begin(), ours.end());
  std::sort(floor.begin(), floor.end());
  std::printf(
      "{\"suite\": \"%s\", \"bytes\": %zu, \"direction\": \"%s\", \"ours\": [%.1f, %.1f], \"floor\": [%.1f, %.1f]}\n",
      suite, bytes, what, ours.front(), ours[ours.size() / 2], floor.front(), floor[floor.size() / 2]);
}

}  // namespace

int main(int argc, char** argv) {
  const int chunks = argc > 1 ? std::atoi(argv[1]) : 21;
  if (chunks < 1) return 2;
  tests::ensure_eal();
  rte_mempool* const pool =
      rte_pktmbuf_pool_create("esp_bench", 255, 0, sizeof(filters::PacketMeta), RTE_MBUF_DEFAULT_BUF_SIZE, 0);
  for (const auto& [name, suite] : kSuites) {
    for (const std::size_t bytes : {64U, 512U, 1400U}) {
      Bench bench(suite, bytes, pool);
      Figures ours, floor;
      for (int i = 0; i < chunks; ++i) bench.chunk(ours, floor);
      print(name, bytes, "encrypt", ours.seal, floor.seal);
      print(name, bytes, "decrypt", ours.open, floor.open);
    }
  }
  return 0;
}
