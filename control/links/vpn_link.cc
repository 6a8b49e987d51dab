// SPDX-License-Identifier: Apache-2.0
#include "control/links/vpn_link.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <utility>

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
    for (std::size_t number = 0; number < daemons_.size(); ++number) tick(number);
    tick_later();
  });
}

void VpnLink::tick(std::size_t number) {
  Daemon& daemon = daemons_[number];
  const auto now = std::chrono::steady_clock::now();
  if (daemon.asked && now >= daemon.asked->until) {
    const Answer answer = std::move(daemon.asked->answer);
    daemon.asked.reset();  // an answer that comes later is nobody's
    daemon.known = false;
    answer({}, "remote access does not answer");
  }
  while (!daemon.waiting.empty() && now >= daemon.waiting.front().until) {
    const Answer answer = std::move(daemon.waiting.front().answer);
    daemon.waiting.pop_front();
    daemon.known = false;
    answer({}, "remote access does not run, or has more questions than it can answer");
  }
  if (!daemon.idle || daemon.asked || !daemon.waiting.empty()) return;
  ipc::VpnQuestion save_all;
  save_all.mutable_save();
  ask(daemon, std::move(save_all), [this, number](const ipc::VpnAnswer& answer, const std::string& error) {
    if (!error.empty() || !answer.has_memory()) return;
    share(number, answer.memory());
    if (save(number, answer.memory())) return;
    std::fprintf(stderr, "controld: cannot write %s\n", path_of(number).c_str());
  });
}

void VpnLink::ready(const ControlRequest& request, ControlServer::Reply reply) {
  const std::uint32_t number = request.message.vpn_ready().daemon();
  if (number >= daemons_.size()) return;
  Daemon& daemon = daemons_[number];
  if (daemon.asked && request.message.vpn_ready().answers() == daemon.asked->question.number()) take_answer(daemon);
  // One that was asked of a connection before this one is asked again.
  if (daemon.asked) {
    daemon.waiting.push_front(std::move(*daemon.asked));
    daemon.asked.reset();
  }
  daemon.idle = std::move(reply);
  if (!std::exchange(daemon.known, true)) {
    for (std::size_t i = 0; i < daemons_.size(); ++i) {
      const ipc::VpnMemory kept = memory(static_cast<std::uint32_t>(i));
      if (i != number && kept.failures_size() > 0) learn(daemon, i, kept);
    }
  }
  send_next(daemon);
}

void VpnLink::share(std::size_t from, const ipc::VpnMemory& memory) {
  const bool failing = memory.failures_size() > 0;
  if (!std::exchange(daemons_[from].failing, failing) && !failing) return;
  for (std::size_t i = 0; i < daemons_.size(); ++i) {
    if (i != from && daemons_[i].known) learn(daemons_[i], from, memory);
  }
}

void VpnLink::learn(Daemon& daemon, std::size_t from, const ipc::VpnMemory& memory) {
  constexpr std::size_t kBytesMax = 48U << 10;  // of a message of 64
  std::vector<const ipc::VpnFailures*> all;
  for (const auto& one : memory.failures()) all.push_back(&one);
  const auto last = [](const ipc::VpnFailures& one) {
    std::int64_t out = one.until();  // who is shut out comes first: that ends later than any failure was
    for (const auto& each : one.each()) out = std::max(out, each.at());
    return out;
  };
  std::sort(all.begin(), all.end(), [&last](const auto* a, const auto* b) { return last(*a) > last(*b); });
  ipc::VpnQuestion question;
  ipc::LearnVpnFailures& told = *question.mutable_learn();
  told.set_from(static_cast<std::uint32_t>(from));
  std::map<std::uint32_t, std::size_t> bytes;  // of each tenant: nobody takes the room of others
  for (const auto* one : all) bytes[one->tenant()] = 0;
  for (const auto* one : all) {
    const std::size_t size = one->ByteSizeLong() + 4;
    if (bytes[one->tenant()] + size > kBytesMax / bytes.size()) continue;
    bytes[one->tenant()] += size;
    *told.add_failures() = *one;
  }
  ask(daemon, std::move(question), [](const ipc::VpnAnswer&, const std::string&) {});
}

void VpnLink::ask(const ipc::VpnQuestion& question, Answer answer) {
  struct Gathered {
    ipc::VpnAnswer all;
    std::string error;
    std::size_t missing = 0, answered = 0;
    Answer answer;
  };
  const auto gathered = std::make_shared<Gathered>();
  std::vector<Daemon*> asked;
  for (Daemon& daemon : daemons_) {
    if (daemon.known) asked.push_back(&daemon);
  }
  if (asked.empty()) asked.push_back(&daemons_.front());  // it may come yet
  gathered->missing = asked.size();
  gathered->answer = std::move(answer);
  for (Daemon* daemon : asked) {
    ask(*daemon, question, [gathered](const ipc::VpnAnswer& one, const std::string& error) {
      gathered->all.mutable_sessions()->MergeFrom(one.sessions());
      gathered->all.mutable_locked()->MergeFrom(one.locked());
      gathered->all.set_done(gathered->all.done() + one.done());
      if (error.empty()) ++gathered->answered;
      if (!error.empty()) gathered->error = error;
      if (--gathered->missing > 0) return;
      gathered->answer(gathered->all, gathered->answered > 0 ? std::string() : gathered->error);
    });
  }
}

void VpnLink::ask(KeyingDaemon daemon, ipc::VpnQuestion question, Answer answer) {
  ask(daemons_[static_cast<std::size_t>(daemon)], std::move(question), std::move(answer));
}

void VpnLink::ask(Daemon& daemon, ipc::VpnQuestion question, Answer answer) {
  if (daemon.waiting.size() >= kWaitingMax) return answer({}, "remote access has more questions than it can answer");
  question.set_number(++last_number_);
  daemon.waiting.push_back({std::move(question), std::move(answer), std::chrono::steady_clock::now() + kPatience});
  send_next(daemon);
}

void VpnLink::send_next(Daemon& daemon) {
  if (!daemon.idle || daemon.asked || daemon.waiting.empty()) return;
  daemon.blob = Fd(memfd_create("sekisho-vpn-answer", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ControlAnswer out;
  out.fd = Fd(fcntl(daemon.blob.get(), F_DUPFD_CLOEXEC, 0));
  if (!out.fd.valid()) return;
  daemon.asked = std::move(daemon.waiting.front());
  daemon.waiting.pop_front();
  *out.message.mutable_vpn_question() = daemon.asked->question;
  std::exchange(daemon.idle, nullptr)(std::move(out));
}

void VpnLink::take_answer(Daemon& daemon) {
  const Answer answer = std::move(daemon.asked->answer);
  daemon.asked.reset();
  // Sealed by us: its writer is not believed to have stopped.
  const bool sealed = fcntl(daemon.blob.get(), F_ADD_SEALS, kSeals) == 0;
  auto blob = SealedBlob::open(sealed ? std::move(daemon.blob) : Fd(), kAnswerBytesMax);
  ipc::VpnAnswer message;
  const bool read = blob && message.ParseFromArray(blob->bytes().data(), static_cast<int>(blob->bytes().size()));
  answer(message, read ? "" : "remote access gave an answer that cannot be read");
}

std::string VpnLink::path_of(std::size_t number) const { return number == 0 ? memory_path_ : memory_path_ + '.' + std::to_string(number); }

bool VpnLink::save(std::size_t number, const ipc::VpnMemory& memory) const {
  const std::string path = path_of(number), temporary = path + ".new";
  const Fd file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  return file.valid() && write_all(file.get(), memory.SerializeAsString()) && ::fdatasync(file.get()) == 0 &&
         std::rename(temporary.c_str(), path.c_str()) == 0;
}

std::uint64_t VpnLink::forget(std::uint32_t tenant) {
  std::uint64_t gone = 0;
  for (std::uint32_t number = 0; number < daemons_.size(); ++number) {
    ipc::VpnMemory held = memory(number);
    const auto take = [&gone, tenant](auto& list) {
      const auto end = std::remove_if(list.begin(), list.end(), [tenant](const auto& one) { return one.tenant() == tenant; });
      gone += static_cast<std::uint64_t>(list.end() - end);
      const bool any = end != list.end();
      list.erase(end, list.end());
      return any;
    };
    const bool failures = take(*held.mutable_failures()), addresses = take(*held.mutable_addresses());
    if ((failures || addresses) && !save(number, held)) std::fprintf(stderr, "controld: cannot write %s\n", path_of(number).c_str());
  }
  return gone;
}

ipc::VpnMemory VpnLink::memory(std::uint32_t daemon) const {
  std::ifstream file(path_of(daemon), std::ios::binary);
  std::ostringstream text;
  ipc::VpnMemory out;
  if (!file || !(text << file.rdbuf()) || text.str().size() > kAnswerBytesMax || !out.ParseFromString(text.str())) out.Clear();
  return out;
}

}  // namespace sekisho::control
