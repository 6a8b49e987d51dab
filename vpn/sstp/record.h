// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/wire/reader.h"

/// Records of TLS 1.3 (RFC 8446 5) with AES-GCM, behind a handshake that OpenSSL has made. What carries thousands of packets a second
/// for each of ten thousand clients needs of TLS but two keys and two numbers: a sixth of OpenSSL's memory. Thread: one.
namespace sekisho::vpn::sstp {

enum class RecordSuite : std::uint8_t { kAes128GcmSha256, kAes256GcmSha384 };
enum class ContentType : std::uint8_t { kAlert = 21, kHandshake = 22, kData = 23 };

inline constexpr std::size_t kRecordHeadBytes = 5, kRecordTagBytes = 16, kRecordPlainMax = 16384;
/// What a record is longer than what is in it.
inline constexpr std::size_t kRecordOverhead = kRecordHeadBytes + 1 + kRecordTagBytes;
inline constexpr std::size_t kRecordBytesMax = kRecordHeadBytes + kRecordPlainMax + 256;

/// Length of a suite's traffic secrets.
[[nodiscard]] std::size_t secret_bytes(RecordSuite suite);

/// One direction's keys. Wiped when they go.
class RecordKeys {
 public:
  /// `secret` has secret_bytes(suite).
  RecordKeys(RecordSuite suite, ByteSpan secret);
  ~RecordKeys();
  RecordKeys(const RecordKeys&) = delete;
  RecordKeys& operator=(const RecordKeys&) = delete;

  /// Seals at most kRecordPlainMax bytes as the next record; `out` has room for kRecordOverhead more. How many bytes it has.
  std::size_t seal(ByteSpan plain, ContentType type, std::uint8_t* out);
  /// What a record has inside.
  struct Opened {
    ContentType type;
    std::size_t bytes;
  };
  /// Opens the next record, all of it, header included. `out` has room for as many bytes as the record has; what is written there of
  /// a forged one is nobody's. Nothing: it is not genuine, or no record.
  std::optional<Opened> open(ByteSpan record, std::uint8_t* out);
  /// Keys that follow these (RFC 8446 7.2). Numbers begin again.
  void update();
  /// Records of these keys so far.
  [[nodiscard]] std::uint64_t count() const { return count_; }

 private:
  struct Expanded;
  void expand();
  void nonce(std::uint8_t* out) const;
  RecordSuite suite_;
  std::uint64_t count_ = 0;
  std::array<std::uint8_t, 48> secret_{};
  std::array<std::uint8_t, 12> iv_{};
  std::unique_ptr<Expanded> keys_;
};

/// Both directions on a nonblocking socket, which stays its owner's. Buffers are a thread's; a stream keeps what is no whole record yet,
/// and what TCP did not take.
class RecordStream {
 public:
  enum class Outcome : std::uint8_t { kDone, kWait, kClosed, kFailed };

  /// `in`, `out`: the client's and the server's first traffic secret.
  RecordStream(RecordSuite suite, ByteSpan in, ByteSpan out, int socket)
      : suite_(suite), in_(suite, in), out_(suite, out), socket_(socket) {}

  /// Reads into `out`, which has room for kRecordBytesMax at least; `count` of kDone, which may be none.
  Outcome read(std::span<std::uint8_t> out, std::size_t& count);
  /// Takes of `bytes` what fits into some records, and gives TCP what it takes. kWait: it took nothing more; `count` is 0 then.
  Outcome write(ByteSpan bytes, std::size_t& count);
  /// Bytes taken that TCP has not.
  [[nodiscard]] std::size_t unsent() const { return unsent_.size() - unsent_at_; }
  /// Says goodbye, if it can be said now.
  void shutdown();
  [[nodiscard]] RecordSuite suite() const { return suite_; }

 private:
  Outcome take(ByteSpan record, std::uint8_t* out, std::size_t& bytes);
  Outcome take_handshake(ByteSpan message);
  Outcome flush();
  /// What is sealed goes, or waits.
  Outcome give(ByteSpan sealed);
  void renew();

  RecordSuite suite_;
  RecordKeys in_, out_;
  int socket_;
  bool closed_ = false;                ///< the peer has said goodbye
  bool renew_ = false;                 ///< the peer asks for new keys
  std::uint32_t renewals_ = 0;         ///< of the peer's, since data came
  std::vector<std::uint8_t> partial_;  ///< of a record
  std::vector<std::uint8_t> unsent_;   ///< from unsent_at_ on
  std::size_t unsent_at_ = 0;
};

}  // namespace sekisho::vpn::sstp
