// SPDX-License-Identifier: BSD-2-Clause
// Goal: messages and descriptors cross whole or not at all, and sealed bytes cannot change after the check.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <thread>

#include "base/ipc/sealed_blob.h"
#include "base/ipc/seqpacket.h"
#include "base/limits.h"

namespace sekisho {
namespace {

using namespace std::chrono_literals;
constexpr auto kAtOnce = 0ms;
constexpr auto kPatience = 5s;

std::vector<std::uint8_t> counting(std::size_t size) {
  std::vector<std::uint8_t> out(size);
  std::iota(out.begin(), out.end(), std::uint8_t{1});
  return out;
}

TEST(SealedBlob, CarriesItsBytesAndCannotChange) {
  const auto bytes = counting(5000);
  Fd fd = make_sealed_blob("test", bytes).value();
  const Fd writer(dup(fd.get()));

  const SealedBlob blob = std::move(SealedBlob::open(std::move(fd), 5000)).value();

  EXPECT_TRUE(std::ranges::equal(blob.bytes(), bytes));
  EXPECT_LT(pwrite(writer.get(), "x", 1, 0), 0);
  EXPECT_NE(ftruncate(writer.get(), 1), 0);
  EXPECT_NE(ftruncate(writer.get(), 10'000), 0);
  EXPECT_EQ(mmap(nullptr, 1, PROT_READ | PROT_WRITE, MAP_SHARED, writer.get(), 0), MAP_FAILED);
}

TEST(SealedBlob, EmptyIsAllowedAndTheLimitIsKept) {
  EXPECT_TRUE(SealedBlob::open(make_sealed_blob("test", {}).value(), 0)->bytes().empty());
  EXPECT_TRUE(SealedBlob::open(make_sealed_blob("test", counting(10)).value(), 10));
  const auto over = SealedBlob::open(make_sealed_blob("test", counting(11)).value(), 10);
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().code, ErrorCode::kLimit);
}

TEST(SealedBlob, RefusesWhatCouldStillChange) {
  const int all = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
  for (const int missing : {F_SEAL_WRITE, F_SEAL_SHRINK, F_SEAL_GROW, all}) {
    Fd fd(memfd_create("test", MFD_ALLOW_SEALING));
    ASSERT_EQ(ftruncate(fd.get(), 100), 0);
    ASSERT_EQ(fcntl(fd.get(), F_ADD_SEALS, all & ~missing), 0);
    const auto out = SealedBlob::open(std::move(fd), 100);
    ASSERT_FALSE(out) << missing;
    EXPECT_EQ(out.error().code, ErrorCode::kDenied);
  }
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  const Fd write_end(pipe_fds[1]);
  EXPECT_FALSE(SealedBlob::open(Fd(pipe_fds[0]), 100));
  EXPECT_FALSE(SealedBlob::open(Fd(), 100));
}

TEST(SealedBlob, MovesKeepTheMapping) {
  SealedBlob first = std::move(SealedBlob::open(make_sealed_blob("a", counting(3)).value(), 9)).value();
  SealedBlob second = std::move(SealedBlob::open(make_sealed_blob("b", counting(5)).value(), 9)).value();
  second = std::move(first);
  EXPECT_EQ(second.bytes().size(), 3U);
}

class Seqpacket : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/sekisho-ipc-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    path_ = folder_ + "/socket";
    listener_.emplace(std::move(IpcListener::listen(path_, 0660)).value());
    client_.emplace(std::move(IpcConnection::connect(path_)).value());
    server_.emplace(std::move(listener_->accept()).value());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string folder_, path_;
  std::optional<IpcListener> listener_;
  std::optional<IpcConnection> client_, server_;
};

TEST_F(Seqpacket, KeepsMessageBoundaries) {
  ASSERT_TRUE(client_->send(counting(3)));
  ASSERT_TRUE(client_->send(counting(limits::kIpcMessageBytesMax)));
  EXPECT_EQ(server_->receive(kPatience)->bytes, counting(3));
  EXPECT_EQ(server_->receive(kPatience)->bytes, counting(limits::kIpcMessageBytesMax));
}

TEST_F(Seqpacket, RefusesOversizeOnBothSides) {
  const auto sent = client_->send(counting(limits::kIpcMessageBytesMax + 1));
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, ErrorCode::kLimit);

  const auto bytes = counting(limits::kIpcMessageBytesMax + 1);
  ASSERT_EQ(::send(client_->fd(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  const auto received = server_->receive(kPatience);
  ASSERT_FALSE(received);
  EXPECT_EQ(received.error().code, ErrorCode::kLimit);
}

TEST_F(Seqpacket, PassesDescriptorsUpToTheLimitAndClosesThem) {
  const Fd blob = make_sealed_blob("test", counting(7)).value();
  const std::vector<int> most(limits::kIpcFdsMax, blob.get());
  ASSERT_TRUE(client_->send(counting(1), most));
  auto message = server_->receive(kPatience);
  ASSERT_TRUE(message);
  ASSERT_EQ(message->fds.size(), most.size());
  EXPECT_NE(fcntl(message->fds[0].get(), F_GETFD) & FD_CLOEXEC, 0);
  const int number = message->fds[1].get();
  EXPECT_EQ(SealedBlob::open(std::move(message->fds[0]), 100)->bytes().size(), 7U);
  message->fds.clear();
  EXPECT_EQ(fcntl(number, F_GETFD), -1);

  const std::vector<int> over(limits::kIpcFdsMax + 1, blob.get());
  EXPECT_FALSE(client_->send(counting(1), over));
}

TEST_F(Seqpacket, MoreDescriptorsThanAllowedAreRefusedAndClosed) {
  const int before = dup(0);
  close(before);
  std::vector<std::uint8_t> control(CMSG_SPACE((limits::kIpcFdsMax + 8) * sizeof(int)));
  std::uint8_t byte = 1;
  iovec part{.iov_base = &byte, .iov_len = 1};
  msghdr message{};
  message.msg_iov = &part, message.msg_iovlen = 1;
  message.msg_control = control.data(), message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN((limits::kIpcFdsMax + 8) * sizeof(int));
  std::memset(CMSG_DATA(header), 0, (limits::kIpcFdsMax + 8) * sizeof(int));
  ASSERT_EQ(sendmsg(client_->fd(), &message, 0), 1);

  const auto received = server_->receive(kPatience);

  ASSERT_FALSE(received);
  EXPECT_EQ(received.error().code, ErrorCode::kLimit);
  const int after = dup(0);
  close(after);
  EXPECT_EQ(after, before) << "descriptors leak";
}

TEST_F(Seqpacket, TellsSilenceFromAClosedPeer) {
  const auto silent = server_->receive(kAtOnce);
  ASSERT_FALSE(silent);
  EXPECT_EQ(silent.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(silent.error().detail, static_cast<std::uint32_t>(ETIMEDOUT));

  ASSERT_TRUE(client_->send(counting(2)));
  client_.reset();
  EXPECT_EQ(server_->receive(kPatience)->bytes.size(), 2U) << "what was sent before is still delivered";
  const auto closed = server_->receive(kPatience);
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(server_->send(counting(1))) << "and no signal ends us";
}

TEST_F(Seqpacket, AFullBufferEndsAtTheDeadline) {
  const auto bytes = counting(limits::kIpcMessageBytesMax);
  Result<void> sent;
  for (unsigned i = 0; i < 10'000 && sent; ++i) sent = client_->send(bytes, {}, 1ms);
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().detail, static_cast<std::uint32_t>(ETIMEDOUT));
}

TEST_F(Seqpacket, KnowsItsPeer) {
  EXPECT_EQ(server_->peer_uid().value(), getuid());
  EXPECT_EQ(server_->peer_pid().value(), getpid());
}

TEST_F(Seqpacket, ListensWithTheGivenModeAndNeverBlocks) {
  struct stat status {};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0660U);
  const auto nobody = listener_->accept();
  ASSERT_FALSE(nobody);
  EXPECT_EQ(nobody.error().detail, static_cast<std::uint32_t>(EAGAIN));
  EXPECT_TRUE(IpcListener::listen(path_, 0600)) << "a stale socket is replaced";
}

TEST(SeqpacketPath, TooLongOrAbsentIsAnError) {
  const std::string longest(200, 'x');
  EXPECT_FALSE(IpcListener::listen("/tmp/" + longest, 0600));
  EXPECT_FALSE(IpcConnection::connect("/tmp/" + longest));
  EXPECT_FALSE(IpcConnection::connect("/nonexistent/socket"));
}

}  // namespace
}  // namespace sekisho
