// SPDX-License-Identifier: Apache-2.0
#include "vpn/sstp/crypto_binding.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/sstp/bytes.h"

namespace sekisho::vpn::sstp {
namespace {

template <std::size_t N>
std::array<std::uint8_t, N> fixed(std::string_view hex) {
  const Bytes bytes = from_hex(hex);
  std::array<std::uint8_t, N> out{};
  std::copy_n(bytes.begin(), std::min(N, bytes.size()), out.begin());
  return out;
}

/// A login somebody recorded: what the server knew, and what its client sent.
struct Recorded {
  BindingFacts facts;
  Bytes packet;
};

Recorded recorded(Hash hash) {
  Recorded out;
  Bytes& packet = out.packet;
  packet = from_hex("10010070 00040001 00030068 000000");
  packet.push_back(static_cast<std::uint8_t>(hash));
  const bool strong = hash == Hash::kSha256;
  const char* nonce = strong ? "412B489AEBD7ECC7D08966F26BE7CD72B231A0E9210D7C91B308862B0344C435"
                             : "0F1A2D58D4A3E3000FAD3CE4906E07B707AA9E441CCEAC5CBD7B2CC1C9D86CDF";
  const char* certificate = strong ? "7993EF314C493DACE9F02D60E7E61C84B6690AAFE9D7AEEA92CBBE8AD599422D"
                                   : "5826B629BDA59B8E6FD8DCD2622FD34C534805A5";
  const char* mac = strong ? "52A68EFD8CFFBF52770B8F0FE8EC73716583AF6D611EB6D179B3B20840985449"
                           : "69915DD583D8062FEF16F61DB2F03290EC27CB6C";
  for (const char* field : {nonce, certificate, mac}) {
    Bytes bytes = from_hex(field);
    bytes.resize(32);
    packet.insert(packet.end(), bytes.begin(), bytes.end());
  }
  out.facts.hashes = static_cast<std::uint8_t>(hash);
  out.facts.nonce = fixed<32>(nonce);
  if (strong) out.facts.certificate_sha256 = fixed<32>(certificate);
  if (!strong) out.facts.certificate_sha1 = fixed<20>(certificate);
  out.facts.key = fixed<32>(strong ? "2A1BB40D55AB0F5EF32F06F2B3CC73C48FD3FAC41D7A1315A19228D9024CA164"
                                   : "4B3128F43925D9006EEFB1C4E86515A1D88E56BAB3CA2BDF0373B7F5A8A13B19");
  return out;
}

BindingFault judge(const Recorded& one) {
  const auto read = read_control(ByteSpan(one.packet).subspan(kHeaderBytes));
  return read.message && read.message->binding ? check_binding(one.packet, *read.message->binding, one.facts) : BindingFault::kMac;
}

TEST(SstpCryptoBinding, AcceptsWhatClientsSent) {
  EXPECT_EQ(judge(recorded(Hash::kSha256)), BindingFault::kNone);
  EXPECT_EQ(judge(recorded(Hash::kSha1)), BindingFault::kNone);
}

TEST(SstpCryptoBinding, RefusesEachByteThatDiffers) {
  for (const Hash hash : {Hash::kSha256, Hash::kSha1}) {
    const Recorded whole = recorded(hash);
    for (std::size_t at = 0; at < whole.packet.size(); ++at) {
      const bool padding = hash == Hash::kSha1 && at >= 80 + 20;  // behind the MAC; nobody signs it
      Recorded changed = whole;
      changed.packet[at] ^= 1;
      EXPECT_EQ(judge(changed) == BindingFault::kNone, padding) << at;
    }
  }
}

TEST(SstpCryptoBinding, SaysWhatIsWrong) {
  Recorded other_nonce = recorded(Hash::kSha256), other_certificate = other_nonce, other_keys = other_nonce;
  other_nonce.facts.nonce[31] ^= 1;
  EXPECT_EQ(judge(other_nonce), BindingFault::kNonce);
  other_certificate.facts.certificate_sha256[0] ^= 1;
  EXPECT_EQ(judge(other_certificate), BindingFault::kCertificate);
  other_keys.facts.key[31] ^= 1;
  EXPECT_EQ(judge(other_keys), BindingFault::kMac);
}

TEST(SstpCryptoBinding, TakesSha1OnlyWhereItAloneWasOffered) {
  Recorded one = recorded(Hash::kSha1);
  one.facts.hashes = static_cast<std::uint8_t>(Hash::kSha256);
  EXPECT_EQ(judge(one), BindingFault::kHash);
  one.facts.hashes = 3;
  EXPECT_EQ(judge(one), BindingFault::kHash) << "a client that could do better";
  Recorded strong = recorded(Hash::kSha256);
  strong.facts.hashes = 3;
  EXPECT_EQ(judge(strong), BindingFault::kNone);
}

TEST(SstpCryptoBinding, LoginsWithoutKeysAreNotEachOthers) {
  Recorded one = recorded(Hash::kSha256);
  one.facts.key = {};
  EXPECT_EQ(judge(one), BindingFault::kMac);
}

}  // namespace
}  // namespace sekisho::vpn::sstp
