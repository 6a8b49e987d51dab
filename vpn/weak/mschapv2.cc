// SPDX-License-Identifier: Apache-2.0
#include "vpn/weak/mschapv2.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <vector>

#include "vpn/weak/primitives.h"

namespace sekisho::vpn::weak {
namespace {

ByteSpan bytes_of(std::string_view text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }

/// RFC 2759 8.2.
Block challenge_hash(ByteSpan peer_challenge, ByteSpan challenge, std::string_view user) {
  const Sha1 digest = sha1({peer_challenge, challenge, bytes_of(bare_name(user))});
  Block out;
  std::copy_n(digest.begin(), out.size(), out.begin());
  return out;
}

/// RFC 2759 8.5: three keys out of the hash, each over the same block.
std::array<std::uint8_t, 24> challenge_response(const Block& challenge, const NtHash& hash) {
  std::array<std::uint8_t, 21> padded{};
  std::copy(hash.begin(), hash.end(), padded.begin());
  std::array<std::uint8_t, 24> out;
  for (std::size_t i = 0; i < 3; ++i) {
    const Block block = des(std::span<const std::uint8_t, 7>(padded.data() + 7 * i, 7), challenge);
    std::copy(block.begin(), block.end(), out.begin() + static_cast<std::ptrdiff_t>(8 * i));
  }
  wipe(padded);
  return out;
}

/// RFC 2759 8.7.
std::string authenticator_response(const Md4& hash_hash, ByteSpan nt_response, const Block& challenge) {
  const Sha1 first = sha1({hash_hash, nt_response, bytes_of("Magic server to client signing constant")});
  const Sha1 second = sha1({first, challenge, bytes_of("Pad to make it do more than one iteration")});
  std::string out = "S=";
  for (const std::uint8_t byte : second) {
    out += "0123456789ABCDEF"[byte >> 4];
    out += "0123456789ABCDEF"[byte & 15];
  }
  return out;
}

constexpr std::array<std::uint8_t, 40> kZeros{};
constexpr std::array<std::uint8_t, 40> kPad = [] {
  std::array<std::uint8_t, 40> out{};
  out.fill(0xf2);
  return out;
}();

Key128 first_half(Sha1 digest) {
  Key128 out;
  std::copy_n(digest.begin(), out.size(), out.begin());
  wipe(digest);
  return out;
}

/// RFC 3079 3.4, GetAsymmetricStartKey.
Key128 start_key(const Key128& master, std::string_view magic) { return first_half(sha1({master, kZeros, bytes_of(magic), kPad})); }

void append_utf16(std::vector<std::uint8_t>& out, std::uint32_t point) {
  const auto unit = [&out](std::uint32_t value) {
    out.push_back(static_cast<std::uint8_t>(value));
    out.push_back(static_cast<std::uint8_t>(value >> 8));
  };
  if (point < 0x10000) return unit(point);
  unit(0xd800 + ((point - 0x10000) >> 10));
  unit(0xdc00 + ((point - 0x10000) & 0x3ff));
}

/// Takes one character off `text`.
std::uint32_t take_point(std::string_view& text) {
  const auto lead = static_cast<std::uint8_t>(text.front());
  const std::size_t size = lead < 0x80                    ? 1
                           : lead >= 0xc2 && lead < 0xe0  ? 2
                           : (lead & 0xf0) == 0xe0        ? 3
                           : lead >= 0xf0 && lead < 0xf5  ? 4
                                                          : 0;
  std::uint32_t point = size <= 1 ? lead : lead & (0x7fU >> size);
  std::size_t good = 1;
  while (good < size && good < text.size() && (static_cast<std::uint8_t>(text[good]) & 0xc0) == 0x80) {
    point = point << 6 | (static_cast<std::uint8_t>(text[good]) & 0x3f);
    ++good;
  }
  text.remove_prefix(good);
  constexpr std::array<std::uint32_t, 5> kLeast{0, 0, 0x80, 0x800, 0x10000};
  const bool sound = size != 0 && good == size && point >= kLeast[size] && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
  return sound ? point : 0xfffd;
}

}  // namespace

NtHash nt_hash_of(std::string_view password) {
  std::vector<std::uint8_t> wide;
  wide.reserve(2 * password.size());
  while (!password.empty()) append_utf16(wide, take_point(password));
  const NtHash out = md4(wide);
  wipe(wide);
  return out;
}

std::string_view bare_name(std::string_view user) {
  const std::size_t backslash = user.find('\\');
  return backslash == std::string_view::npos ? user : user.substr(backslash + 1);
}

std::array<std::uint8_t, 24> nt_response(const NtHash& hash, ByteSpan challenge, ByteSpan peer_challenge, std::string_view user) {
  return challenge_response(challenge_hash(peer_challenge, challenge, user), hash);
}

std::optional<Proof> verify(const NtHash& hash, ByteSpan challenge, ByteSpan peer_challenge, ByteSpan given, std::string_view user) {
  const Block block = challenge_hash(peer_challenge, challenge, user);
  std::array<std::uint8_t, 24> expected = challenge_response(block, hash);
  const bool right = given.size() == expected.size() && CRYPTO_memcmp(expected.data(), given.data(), expected.size()) == 0;
  wipe(expected);
  if (!right) return std::nullopt;
  Md4 hash_hash = md4(hash);
  Key128 master = first_half(sha1({hash_hash, given, bytes_of("This is the MPPE Master Key")}));
  Proof proof{authenticator_response(hash_hash, given, block),
              start_key(master, "On the client side, this is the send key; on the server side, it is the receive key."),
              start_key(master, "On the client side, this is the receive key; on the server side, it is the send key.")};
  wipe(hash_hash);
  wipe(master);
  return proof;
}

Key128 first_session_key(const Key128& start) { return first_half(sha1({start, kZeros, start, kPad})); }

Key128 next_session_key(const Key128& start, const Key128& session) {
  Key128 interim = first_half(sha1({start, kZeros, session, kPad}));
  Key128 out;
  Rc4(interim).apply(interim, out);
  wipe(interim);
  return out;
}

}  // namespace sekisho::vpn::weak
