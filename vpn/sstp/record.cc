// SPDX-License-Identifier: Apache-2.0
#include "vpn/sstp/record.h"

#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "base/assert.h"
#include "base/net/endian.h"

namespace sekisho::vpn::sstp {
namespace {

constexpr std::uint16_t kLegacyVersion = 0x0303;
constexpr std::uint8_t kCloseNotify = 0;
constexpr unsigned kKeyUpdate = 24;
constexpr std::size_t kStageBytes = 64U << 10;      // read of a socket at once
constexpr std::size_t kRecordsAWrite = 4;
constexpr std::uint64_t kRecordsAKey = 1U << 24;    // RFC 8446 5.5: some 24 million full ones
constexpr std::uint32_t kRenewalsMax = 16;          // of a peer that sends nothing else: each costs two keys

/// The library's functions for this processor.
IMB_MGR* manager() {
  static IMB_MGR* const made = [] {
    IMB_MGR* out = alloc_mb_mgr(0);
    SEKISHO_ASSERT(out != nullptr);
    init_mb_mgr_auto(out, nullptr);
    return out;
  }();
  return made;
}

std::span<std::uint8_t> read_stage() {
  thread_local std::array<std::uint8_t, kStageBytes> bytes;
  return bytes;
}
std::span<std::uint8_t> write_stage() {
  thread_local std::array<std::uint8_t, kRecordsAWrite * (kRecordPlainMax + kRecordOverhead)> bytes;
  return bytes;
}

/// HKDF-Expand-Label (RFC 8446 7.1) without a context, of at most one block of the hash.
void expand_label(RecordSuite suite, ByteSpan secret, std::string_view label, std::span<std::uint8_t> out) {
  constexpr std::string_view kPrefix = "tls13 ";
  std::vector<std::uint8_t> info{0, static_cast<std::uint8_t>(out.size()), static_cast<std::uint8_t>(kPrefix.size() + label.size())};
  info.insert(info.end(), kPrefix.begin(), kPrefix.end());
  info.insert(info.end(), label.begin(), label.end());
  info.insert(info.end(), {0, 1});  // no context; the first block
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> block{};
  const EVP_MD* hash = suite == RecordSuite::kAes128GcmSha256 ? EVP_sha256() : EVP_sha384();
  const auto* made = HMAC(hash, secret.data(), static_cast<int>(secret.size()), info.data(), info.size(), block.data(), nullptr);
  SEKISHO_ASSERT(made != nullptr && out.size() <= secret.size());
  std::copy_n(block.begin(), out.size(), out.begin());
  ::explicit_bzero(block.data(), block.size());
}

}  // namespace

std::size_t secret_bytes(RecordSuite suite) { return suite == RecordSuite::kAes128GcmSha256 ? 32 : 48; }

// --- keys ----------------------------------------------------------------------------------------------------------------

struct RecordKeys::Expanded {
  gcm_key_data gcm;
};

RecordKeys::RecordKeys(RecordSuite suite, ByteSpan secret) : suite_(suite), keys_(std::make_unique<Expanded>()) {
  SEKISHO_ASSERT(secret.size() == secret_bytes(suite));
  std::copy(secret.begin(), secret.end(), secret_.begin());
  expand();
}

RecordKeys::~RecordKeys() {
  ::explicit_bzero(secret_.data(), secret_.size());
  ::explicit_bzero(iv_.data(), iv_.size());
  ::explicit_bzero(keys_.get(), sizeof(Expanded));
}

void RecordKeys::expand() {
  const ByteSpan secret = ByteSpan(secret_).first(secret_bytes(suite_));
  std::array<std::uint8_t, 32> key{};
  const bool short_key = suite_ == RecordSuite::kAes128GcmSha256;
  expand_label(suite_, secret, "key", std::span(key).first(short_key ? 16 : 32));
  expand_label(suite_, secret, "iv", iv_);
  if (short_key) {
    IMB_AES128_GCM_PRE(manager(), key.data(), &keys_->gcm);
  } else {
    IMB_AES256_GCM_PRE(manager(), key.data(), &keys_->gcm);
  }
  ::explicit_bzero(key.data(), key.size());
  count_ = 0;
}

void RecordKeys::update() {
  std::array<std::uint8_t, 48> next{};
  const std::size_t length = secret_bytes(suite_);
  expand_label(suite_, ByteSpan(secret_).first(length), "traffic upd", std::span(next).first(length));
  secret_ = next;
  ::explicit_bzero(next.data(), next.size());
  expand();
}

void RecordKeys::nonce(std::uint8_t* out) const {
  std::memcpy(out, iv_.data(), iv_.size());
  const std::span<std::uint8_t> low(out + 4, 8);
  store_be<std::uint64_t>(low, 0, load_be<std::uint64_t>(ByteSpan(low), 0) ^ count_);
}

std::size_t RecordKeys::seal(ByteSpan plain, ContentType type, std::uint8_t* out) {
  SEKISHO_DCHECK(plain.size() <= kRecordPlainMax);
  const std::size_t sealed = plain.size() + 1 + kRecordTagBytes;
  const std::span<std::uint8_t> head(out, kRecordHeadBytes);
  head[0] = static_cast<std::uint8_t>(ContentType::kData);
  store_be<std::uint16_t>(head, 1, kLegacyVersion);
  store_be<std::uint16_t>(head, 3, static_cast<std::uint16_t>(sealed));
  std::array<std::uint8_t, 16> iv;
  nonce(iv.data());
  ++count_;
  gcm_context_data state;
  const auto last = static_cast<std::uint8_t>(type);
  std::uint8_t* const body = out + kRecordHeadBytes;
  std::uint8_t* const tag = body + plain.size() + 1;
  const IMB_MGR& gcm = *manager();
  const bool short_key = suite_ == RecordSuite::kAes128GcmSha256;
  const auto update = short_key ? gcm.gcm128_enc_update : gcm.gcm256_enc_update;
  (short_key ? gcm.gcm128_init : gcm.gcm256_init)(&keys_->gcm, &state, iv.data(), out, kRecordHeadBytes);
  if (!plain.empty()) update(&keys_->gcm, &state, body, plain.data(), plain.size());
  update(&keys_->gcm, &state, body + plain.size(), &last, 1);
  (short_key ? gcm.gcm128_enc_finalize : gcm.gcm256_enc_finalize)(&keys_->gcm, &state, tag, kRecordTagBytes);
  return kRecordHeadBytes + sealed;
}

std::optional<RecordKeys::Opened> RecordKeys::open(ByteSpan record, std::uint8_t* out) {
  if (record.size() < kRecordOverhead || record.size() > kRecordBytesMax) return std::nullopt;
  const bool outside = record[0] == static_cast<std::uint8_t>(ContentType::kData) && load_be<std::uint16_t>(record, 1) == kLegacyVersion &&
                       load_be<std::uint16_t>(record, 3) == record.size() - kRecordHeadBytes;
  if (!outside) return std::nullopt;
  std::size_t length = record.size() - kRecordHeadBytes - kRecordTagBytes;
  const std::uint8_t* const body = record.data() + kRecordHeadBytes;
  std::array<std::uint8_t, 16> iv;
  std::array<std::uint8_t, kRecordTagBytes> tag;
  nonce(iv.data());
  gcm_context_data state;
  const auto open = suite_ == RecordSuite::kAes128GcmSha256 ? manager()->gcm128_dec : manager()->gcm256_dec;
  open(&keys_->gcm, &state, out, body, length, iv.data(), record.data(), kRecordHeadBytes, tag.data(), tag.size());
  if (CRYPTO_memcmp(tag.data(), body + length, tag.size()) != 0) return std::nullopt;
  ++count_;
  while (length > 0 && out[length - 1] == 0) --length;  // padding
  if (length == 0 || length - 1 > kRecordPlainMax) return std::nullopt;
  --length;
  return Opened{static_cast<ContentType>(out[length]), length};
}

// --- the stream ----------------------------------------------------------------------------------------------------------

RecordStream::Outcome RecordStream::read(std::span<std::uint8_t> out, std::size_t& count) {
  SEKISHO_DCHECK(out.size() >= kRecordBytesMax && partial_.size() < kRecordBytesMax);
  count = 0;
  if (closed_) return Outcome::kClosed;
  const std::span<std::uint8_t> stage = read_stage();
  std::copy(partial_.begin(), partial_.end(), stage.begin());
  std::size_t have = partial_.size();
  const std::size_t room = std::min(stage.size(), out.size()) - have;  // what is opened is shorter than what was sealed
  const ssize_t got = ::recv(socket_, stage.data() + have, room, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Outcome::kWait;
  if (got <= 0) return Outcome::kFailed;  // without a goodbye
  have += static_cast<std::size_t>(got);
  std::size_t at = 0;
  while (have - at >= kRecordHeadBytes && !closed_) {
    const std::size_t length = kRecordHeadBytes + load_be<std::uint16_t>(ByteSpan(stage), at + 3);
    if (length > kRecordBytesMax) return Outcome::kFailed;
    if (have - at < length) break;
    std::size_t bytes = 0;
    if (take(ByteSpan(stage).subspan(at, length), out.data() + count, bytes) != Outcome::kDone) return Outcome::kFailed;
    count += bytes;
    at += length;
  }
  const ByteSpan rest = ByteSpan(stage).subspan(at, have - at);
  if (!rest.empty()) partial_.assign(rest.begin(), rest.end());
  if (rest.empty()) partial_ = {};  // ten thousand that are idle have none
  if (renew_) renew();
  return closed_ && count == 0 ? Outcome::kClosed : Outcome::kDone;
}

RecordStream::Outcome RecordStream::take(ByteSpan record, std::uint8_t* out, std::size_t& bytes) {
  const auto opened = in_.open(record, out);
  if (!opened) return Outcome::kFailed;
  switch (opened->type) {
    case ContentType::kData:
      bytes = opened->bytes;
      if (bytes > 0) renewals_ = 0;
      return Outcome::kDone;
    case ContentType::kAlert:
      closed_ = opened->bytes == 2 && out[1] == kCloseNotify;
      return closed_ ? Outcome::kDone : Outcome::kFailed;
    case ContentType::kHandshake: return take_handshake({out, opened->bytes});
  }
  return Outcome::kFailed;
}

/// KeyUpdate (RFC 8446 4.6.3) is all a client may say now.
RecordStream::Outcome RecordStream::take_handshake(ByteSpan message) {
  const bool update = message.size() == 5 && load_be<std::uint32_t>(message, 0) == (kKeyUpdate << 24U | 1U) && message[4] <= 1;
  if (!update || ++renewals_ > kRenewalsMax) return Outcome::kFailed;
  in_.update();
  renew_ = renew_ || message[4] == 1;
  return Outcome::kDone;
}

/// Tells the peer that new keys follow, and takes them.
void RecordStream::renew() {
  constexpr std::array<std::uint8_t, 5> kMessage{kKeyUpdate, 0, 0, 1, 0};
  renew_ = false;
  std::array<std::uint8_t, kMessage.size() + kRecordOverhead> record;
  (void)give(ByteSpan(record).first(out_.seal(kMessage, ContentType::kHandshake, record.data())));
  out_.update();
}

RecordStream::Outcome RecordStream::flush() {
  while (unsent() > 0) {
    const ssize_t sent = ::send(socket_, unsent_.data() + unsent_at_, unsent(), MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR ? Outcome::kWait : Outcome::kFailed;
    unsent_at_ += static_cast<std::size_t>(sent);
  }
  unsent_ = {};
  unsent_at_ = 0;
  return Outcome::kDone;
}

RecordStream::Outcome RecordStream::give(ByteSpan sealed) {
  ssize_t sent = 0;
  if (unsent() == 0) sent = ::send(socket_, sealed.data(), sealed.size(), MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN && errno != EINTR) return Outcome::kFailed;
  const std::size_t gone = sent < 0 ? 0 : static_cast<std::size_t>(sent);
  unsent_.insert(unsent_.end(), sealed.begin() + static_cast<std::ptrdiff_t>(gone), sealed.end());
  return Outcome::kDone;
}

RecordStream::Outcome RecordStream::write(ByteSpan bytes, std::size_t& count) {
  count = 0;
  if (const Outcome before = flush(); before != Outcome::kDone) return before;
  if (bytes.empty()) return Outcome::kDone;
  if (out_.count() >= kRecordsAKey) renew();
  const std::span<std::uint8_t> stage = write_stage();
  std::size_t length = 0;
  for (std::size_t i = 0; i < kRecordsAWrite && count < bytes.size(); ++i) {
    const ByteSpan part = bytes.subspan(count, std::min(kRecordPlainMax, bytes.size() - count));
    length += out_.seal(part, ContentType::kData, stage.data() + length);
    count += part.size();
  }
  return give(ByteSpan(stage).first(length));
}

void RecordStream::shutdown() {
  constexpr std::array<std::uint8_t, 2> kGoodbye{1, kCloseNotify};
  if (unsent() > 0) return;
  std::array<std::uint8_t, kGoodbye.size() + kRecordOverhead> record;
  (void)give(ByteSpan(record).first(out_.seal(kGoodbye, ContentType::kAlert, record.data())));
}

}  // namespace sekisho::vpn::sstp
