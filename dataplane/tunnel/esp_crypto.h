// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/wire/reader.h"
#include "dataplane/burst.h"
#include "dataplane/tunnel/key_vault.h"
#include "filters/esp/esp_suite.h"

namespace sekisho::dataplane {

/// One packet to seal or open in place. At `esp` lie, without a gap: SPI, sequence number (low half), IV, `encrypted`
/// bytes, and room for the ICV.
struct EspJob {
  std::uint8_t* esp;
  const ExpandedKeys* keys;
  std::uint64_t sequence;   ///< whole; the high half counts with extended numbers
  std::uint32_t encrypted;  ///< bytes, a multiple of the suite's alignment, not zero
  bool done;                ///< out: sealed, or proved genuine and opened; false means the bytes are rubbish: drop
};

/// The one place where packets meet cryptography: libipsec-mb called directly, a burst at a time (docs/adr/0018).
/// One object a worker: the library's manager is not shared between threads.
class EspCrypto {
 public:
  static Result<EspCrypto> create();

  /// Expands key material into a slot of `vault`. `cipher_key` is followed by the salt for GCM (RFC 4106 8.1), as IKE
  /// derives it. Wrong lengths and combinations are kUnsupported. Borrows the keys; wiping them is the caller's.
  Result<KeyVault::Keys> expand(KeyVault& vault, filters::EspSuite suite, bool extended, ByteSpan cipher_key,
                                ByteSpan integrity_key);

  /// Encrypts and writes IV and ICV. IVs: GCM the sequence number, unique under one key (RFC 4106 3.1); CBC the
  /// sequence number enciphered under the key, which nobody can foresee (NIST SP 800-38A appendix C). At most kBurstMax
  /// jobs.
  void seal(std::span<EspJob> jobs);
  /// Verifies, in constant time, and decrypts: CBC after the proof, GCM while it is made. At most kBurstMax jobs.
  void open(std::span<EspJob> jobs);

 private:
  struct Scratch;
  struct Free {
    void operator()(Scratch* scratch) const;
  };
  explicit EspCrypto(std::unique_ptr<Scratch, Free> scratch) : scratch_(std::move(scratch)) {}

  std::unique_ptr<Scratch, Free> scratch_;
};

}  // namespace sekisho::dataplane
