// SPDX-License-Identifier: Apache-2.0
// Records are those of RFC 8448 3, whose keys anybody can look up.
#include "vpn/sstp/record.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <numeric>

#include "base/os/fd.h"
#include "tests/unit/sstp/bytes.h"

namespace sekisho::vpn::sstp {
namespace {

using Outcome = RecordStream::Outcome;

const Bytes kClientSecret = from_hex("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5");
const Bytes kServerSecret = from_hex("a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643");
const Bytes kClientData = from_hex(
    "1703030043 a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4");
const Bytes kClientGoodbye = from_hex("1703030013 c9872760655666b74d7ff1153efd6db6d0b0e3");
const Bytes kServerData = from_hex(
    "1703030043 2e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d");

Bytes counted(std::size_t bytes) {
  Bytes out(bytes);
  std::iota(out.begin(), out.end(), std::uint8_t{0});
  return out;
}

Bytes sealed(RecordKeys& keys, const Bytes& plain, ContentType type = ContentType::kData) {
  Bytes out(plain.size() + kRecordOverhead);
  EXPECT_EQ(keys.seal(plain, type, out.data()), out.size());
  return out;
}

/// A stream, and the client's end of its socket.
struct Pair {
  RecordSuite suite = RecordSuite::kAes256GcmSha384;
  Bytes in_secret = Bytes(48, 7), out_secret = Bytes(48, 9);
  Fd ours, theirs;
  RecordKeys client{suite, in_secret}, server{suite, out_secret};
  std::unique_ptr<RecordStream> stream;
  Bytes room = Bytes(kRecordBytesMax);

  Pair() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
    ours = Fd(ends[0]), theirs = Fd(ends[1]);
    stream = std::make_unique<RecordStream>(suite, in_secret, out_secret, ours.get());
  }
  void say(const Bytes& bytes) const { EXPECT_EQ(::send(theirs.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size())); }
  Outcome read(Bytes& out) {
    std::size_t count = 0;
    const Outcome outcome = stream->read(room, count);
    out.assign(room.begin(), room.begin() + static_cast<std::ptrdiff_t>(count));
    return outcome;
  }
  Bytes heard() const {
    Bytes out(1U << 20);
    const ssize_t got = ::recv(theirs.get(), out.data(), out.size(), 0);
    out.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return out;
  }
};

TEST(RecordKeys, OpensWhatRfc8448Sealed) {
  RecordKeys keys(RecordSuite::kAes128GcmSha256, kClientSecret);
  Bytes out(kClientData.size());
  const auto data = keys.open(kClientData, out.data());
  ASSERT_TRUE(data);
  EXPECT_EQ(data->type, ContentType::kData);
  EXPECT_EQ(Bytes(out.begin(), out.begin() + 50), counted(50));
  EXPECT_EQ(data->bytes, 50U);
  const auto goodbye = keys.open(kClientGoodbye, out.data());
  ASSERT_TRUE(goodbye);
  EXPECT_EQ(goodbye->type, ContentType::kAlert);
  EXPECT_EQ(goodbye->bytes, 2U);
}

TEST(RecordKeys, SealsAsRfc8448Does) {
  RecordKeys client(RecordSuite::kAes128GcmSha256, kClientSecret), server(RecordSuite::kAes128GcmSha256, kServerSecret);
  EXPECT_EQ(sealed(client, counted(50)), kClientData);
  EXPECT_EQ(sealed(client, {1, 0}, ContentType::kAlert), kClientGoodbye);
  (void)sealed(server, {});  // its first record was a ticket
  EXPECT_EQ(sealed(server, counted(50)), kServerData);
}

TEST(RecordKeys, OpensNothingThatWasChangedInAnyByteOrCut) {
  for (std::size_t at = 0; at < kClientData.size(); ++at) {
    RecordKeys keys(RecordSuite::kAes128GcmSha256, kClientSecret);
    Bytes changed = kClientData, out(kClientData.size());
    changed[at] ^= 1;
    EXPECT_FALSE(keys.open(changed, out.data())) << at;
    EXPECT_FALSE(keys.open(ByteSpan(kClientData).first(at), out.data())) << at;
    EXPECT_TRUE(keys.open(kClientData, out.data())) << at;  // and the number is still that of the genuine one
  }
}

TEST(RecordKeys, OpensEachRecordOnceAndInTurn) {
  RecordKeys keys(RecordSuite::kAes128GcmSha256, kClientSecret);
  Bytes out(kClientData.size());
  EXPECT_FALSE(keys.open(kClientGoodbye, out.data()));
  EXPECT_TRUE(keys.open(kClientData, out.data()));
  EXPECT_FALSE(keys.open(kClientData, out.data()));
}

TEST(RecordKeys, ARecordOfPaddingAloneIsNone) {
  RecordKeys sender(RecordSuite::kAes128GcmSha256, kClientSecret), keys(RecordSuite::kAes128GcmSha256, kClientSecret);
  const Bytes padding = sealed(sender, Bytes(8), ContentType{0});
  const Bytes padded = sealed(sender, {'a', 23, 0, 0}, ContentType{0});
  Bytes out(padding.size());
  EXPECT_FALSE(keys.open(padding, out.data()));
  const auto opened = keys.open(padded, out.data());
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->type, ContentType::kData);
  EXPECT_EQ(opened->bytes, 1U);
}

TEST(RecordStream, ReadsRecordsWhereverTheyAreCut) {
  Pair pair;
  Bytes wire, expected, got, piece;
  for (const std::size_t bytes : {1U, 0U, 1400U, 16384U}) {
    const Bytes plain = counted(bytes), record = sealed(pair.client, plain);
    wire.insert(wire.end(), record.begin(), record.end());
    expected.insert(expected.end(), plain.begin(), plain.end());
  }
  for (std::size_t at = 0; at < wire.size();) {
    const std::size_t length = at < 1500 ? 1 : std::min<std::size_t>(7000, wire.size() - at);  // byte by byte, then in lumps
    pair.say({wire.begin() + static_cast<std::ptrdiff_t>(at), wire.begin() + static_cast<std::ptrdiff_t>(at + length)});
    ASSERT_EQ(pair.read(piece), Outcome::kDone);
    got.insert(got.end(), piece.begin(), piece.end());
    at += length;
  }
  EXPECT_EQ(pair.read(piece), Outcome::kWait);
  EXPECT_EQ(got, expected);
}

TEST(RecordStream, GoodbyeComesBehindTheDataThatStoodBeforeIt) {
  Pair pair;
  Bytes wire = sealed(pair.client, {1, 2, 3}), goodbye = sealed(pair.client, {1, 0}, ContentType::kAlert), got;
  wire.insert(wire.end(), goodbye.begin(), goodbye.end());
  pair.say(wire);
  EXPECT_EQ(pair.read(got), Outcome::kDone);
  EXPECT_EQ(got, (Bytes{1, 2, 3}));
  EXPECT_EQ(pair.read(got), Outcome::kClosed);
}

TEST(RecordStream, AnEndWithoutGoodbyeIsABreak) {
  Pair pair;
  Bytes got;
  pair.theirs = Fd();
  EXPECT_EQ(pair.read(got), Outcome::kFailed);
}

TEST(RecordStream, EndsAtWhatIsForgedOrOutOfPlace) {
  const auto ends = [](const Bytes& bytes) {
    Pair pair;
    Bytes got;
    pair.say(bytes);
    return pair.read(got) == Outcome::kFailed && got.empty();
  };
  const auto said = [](const Bytes& plain, ContentType type) {
    RecordKeys client(RecordSuite::kAes256GcmSha384, Bytes(48, 7));
    return sealed(client, plain, type);
  };
  Bytes forged = said(counted(100), ContentType::kData);
  forged.back() ^= 1;
  EXPECT_TRUE(ends(forged));
  EXPECT_TRUE(ends(from_hex("140303000101")));    // change_cipher_spec: its time is over
  EXPECT_TRUE(ends(from_hex("1703034101")));      // longer than records are
  EXPECT_FALSE(ends(from_hex("1703034100")));     // as long as they may be: more is waited for
  EXPECT_TRUE(ends(said({2, 20}, ContentType::kAlert)));
  EXPECT_TRUE(ends(said({11, 0, 0, 0}, ContentType::kHandshake)));
  EXPECT_TRUE(ends(said({24, 0, 0, 1, 2}, ContentType::kHandshake)));
  EXPECT_TRUE(ends(said({1}, ContentType{77})));
  EXPECT_FALSE(ends(said({24, 0, 0, 1, 0}, ContentType::kHandshake)));
}

TEST(RecordStream, TakesNewKeysAndAnswersWithItsOwn) {
  Pair pair;
  Bytes got, room(kRecordBytesMax);
  pair.say(sealed(pair.client, {24, 0, 0, 1, 1}, ContentType::kHandshake));
  EXPECT_EQ(pair.read(got), Outcome::kDone);
  const auto answer = pair.server.open(pair.heard(), room.data());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->type, ContentType::kHandshake);
  EXPECT_EQ(Bytes(room.begin(), room.begin() + 5), (Bytes{24, 0, 0, 1, 0}));
  pair.client.update(), pair.server.update();
  pair.say(sealed(pair.client, {5}));
  EXPECT_EQ(pair.read(got), Outcome::kDone);
  EXPECT_EQ(got, Bytes{5});
  std::size_t count = 0;
  EXPECT_EQ(pair.stream->write(Bytes{6}, count), Outcome::kDone);
  EXPECT_TRUE(pair.server.open(pair.heard(), room.data()));
}

TEST(RecordStream, APeerThatSendsNothingButNewKeysIsEnded) {
  Pair pair;
  Bytes got;
  Outcome outcome = Outcome::kDone;
  int renewals = 0;
  for (; outcome == Outcome::kDone && renewals < 100; ++renewals) {
    pair.say(sealed(pair.client, {24, 0, 0, 1, 0}, ContentType::kHandshake));
    pair.client.update();
    outcome = pair.read(got);
  }
  EXPECT_EQ(outcome, Outcome::kFailed);
  EXPECT_EQ(renewals, 17);
}

TEST(RecordStream, KeepsWhatTcpDoesNotTakeAndLosesNothing) {
  Pair pair;
  const Bytes plain = counted(3'000'000);
  Bytes wire, got, room(kRecordBytesMax);
  bool waited = false;
  for (std::size_t at = 0; at < plain.size() || pair.stream->unsent() > 0;) {
    std::size_t count = 0;
    const Outcome outcome = pair.stream->write(ByteSpan(plain).subspan(at), count);
    ASSERT_NE(outcome, Outcome::kFailed);
    at += count;
    if (outcome != Outcome::kWait) continue;
    waited = true;
    EXPECT_GT(pair.stream->unsent(), 0U);
    const Bytes heard = pair.heard();
    wire.insert(wire.end(), heard.begin(), heard.end());
  }
  for (Bytes heard = pair.heard(); !heard.empty(); heard = pair.heard()) wire.insert(wire.end(), heard.begin(), heard.end());
  EXPECT_TRUE(waited);
  for (std::size_t at = 0; at < wire.size();) {
    const std::size_t length = kRecordHeadBytes + (std::size_t{wire[at + 3]} << 8) + wire[at + 4];
    const auto opened = pair.server.open(ByteSpan(wire).subspan(at, length), room.data());
    ASSERT_TRUE(opened);
    got.insert(got.end(), room.begin(), room.begin() + static_cast<std::ptrdiff_t>(opened->bytes));
    at += length;
  }
  EXPECT_EQ(got, plain);
}

}  // namespace
}  // namespace sekisho::vpn::sstp
