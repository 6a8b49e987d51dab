// SPDX-License-Identifier: Apache-2.0
#include "control/links/vpn_link.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "base/ipc/sealed_blob.h"

namespace sekisho::control {
namespace {

using namespace std::chrono_literals;
constexpr auto kPatience = 3s, kTick = 1s;
constexpr std::size_t kAnswerBytesMax = 64U << 20, kWaitingMax = 64;
constexpr int kSeals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

bool write_all(int fd, const std::string& bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t wrote = ::write(fd, bytes.data() + done, bytes.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    done += static_cast<std::size_t>(wrote);
  }
  return true;
}

}  // namespace

VpnLink::VpnLink(boost::asio::io_context& io, std::string memory_path) : memory_path_(std::move(memory_path)), timer_(io) {
  tick_later();
}

void VpnLink::tick_later() {
  timer_.expires_after(kTick);
  timer_.async_wait([this](const boost::system::error_code& failed) {
    if (failed) return;
    tick();
    tick_later();
  });
}

void VpnLink::tick() {
  const auto now = std::chrono::steady_clock::now();
  if (asked_ && now >= asked_->until) {
    const Answer answer = std::move(asked_->answer);
    asked_.reset();  // an answer that comes later is nobody's
    answer({}, "remote access does not answer");
  }
  while (!waiting_.empty() && now >= waiting_.front().until) {
    const Answer answer = std::move(waiting_.front().answer);
    waiting_.pop_front();
    answer({}, "remote access does not run, or has more questions than it can answer");
  }
  if (!idle_ || asked_ || !waiting_.empty()) return;
  ipc::VpnQuestion save_all;
  save_all.mutable_save();
  ask(std::move(save_all), [this](const ipc::VpnAnswer& answer, const std::string& error) {
    if (!error.empty() || !answer.has_memory() || save(answer.memory())) return;
    std::fprintf(stderr, "controld: cannot write %s\n", memory_path_.c_str());
  });
}

void VpnLink::ready(const ControlRequest& request, ControlServer::Reply reply) {
  if (asked_ && request.message.vpn_ready().answers() == asked_->question.number()) take_answer();
  // One that was asked of a connection before this one is asked again.
  if (asked_) {
    waiting_.push_front(std::move(*asked_));
    asked_.reset();
  }
  idle_ = std::move(reply);
  send_next();
}

void VpnLink::ask(ipc::VpnQuestion question, Answer answer) {
  if (waiting_.size() >= kWaitingMax) return answer({}, "remote access has more questions than it can answer");
  question.set_number(++last_number_);
  waiting_.push_back({std::move(question), std::move(answer), std::chrono::steady_clock::now() + kPatience});
  send_next();
}

void VpnLink::send_next() {
  if (!idle_ || asked_ || waiting_.empty()) return;
  blob_ = Fd(memfd_create("sekisho-vpn-answer", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ControlAnswer out;
  out.fd = Fd(fcntl(blob_.get(), F_DUPFD_CLOEXEC, 0));
  if (!out.fd.valid()) return;
  asked_ = std::move(waiting_.front());
  waiting_.pop_front();
  *out.message.mutable_vpn_question() = asked_->question;
  std::exchange(idle_, nullptr)(std::move(out));
}

void VpnLink::take_answer() {
  const Answer answer = std::move(asked_->answer);
  asked_.reset();
  // Sealed by us: its writer is not believed to have stopped.
  const bool sealed = fcntl(blob_.get(), F_ADD_SEALS, kSeals) == 0;
  auto blob = SealedBlob::open(sealed ? std::move(blob_) : Fd(), kAnswerBytesMax);
  ipc::VpnAnswer message;
  const bool read = blob && message.ParseFromArray(blob->bytes().data(), static_cast<int>(blob->bytes().size()));
  answer(message, read ? "" : "remote access gave an answer that cannot be read");
}

bool VpnLink::save(const ipc::VpnMemory& memory) const {
  const std::string temporary = memory_path_ + ".new";
  const Fd file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  return file.valid() && write_all(file.get(), memory.SerializeAsString()) && ::fdatasync(file.get()) == 0 &&
         std::rename(temporary.c_str(), memory_path_.c_str()) == 0;
}

ipc::VpnMemory VpnLink::memory() const {
  std::ifstream file(memory_path_, std::ios::binary);
  std::ostringstream text;
  ipc::VpnMemory out;
  if (!file || !(text << file.rdbuf()) || text.str().size() > kAnswerBytesMax || !out.ParseFromString(text.str())) out.Clear();
  return out;
}

}  // namespace sekisho::control
