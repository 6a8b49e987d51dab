// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/proto/control_log.pb.h"
#include "base/shm/log_record.h"
#include "filters/drop_reason.h"
#include "mgmt/log/journal.h"
#include "mgmt/log/names.h"
#include "mgmt/log/vault/vault.h"

/// What the tests of mgmt share: a folder that goes away, ring records, a generation of names.
namespace sekisho::mgmt::test {

class TempDir {
 public:
  TempDir() {
    std::string name = std::filesystem::temp_directory_path() / "sekisho-mgmt-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// The system's disk, but for how it writes; `wals_only`: to wals, keys and the rest are written as ever.
class WriteDisk final : public Disk {
 public:
  using Write = std::function<ssize_t(int fd, const void* data, std::size_t bytes)>;
  explicit WriteDisk(Write write, bool wals_only = false) : write_(std::move(write)), wals_only_(wals_only) {}
  int open(const std::string& path) override {
    const int fd = Disk::open(path);
    if (path.find("/wal-") != std::string::npos) wals_.insert(fd);
    else wals_.erase(fd);
    return fd;
  }
  ssize_t write(int fd, const void* data, std::size_t bytes) override {
    return wals_only_ && !wals_.contains(fd) ? Disk::write(fd, data, bytes) : write_(fd, data, bytes);
  }

 private:
  Write write_;
  bool wals_only_;
  std::set<int> wals_;
};

/// The value of something that must succeed for the test to mean anything.
template <typename T>
T must(Result<T> result) {
  return std::move(result).value();
}

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kNoon = 1'732'762'800 * kSecond;  // 2024-11-28T12:00:00+09:00
constexpr std::uint32_t kAcme = 1, kGlobex = 2, kInside = 11, kOutside = 12, kForeign = 21, kRule = 5, kDefaultRule = 6,
                        kBinding = 9;

inline ipc::NameTable name_table(std::uint32_t generation, const std::string& rule_name = "web allowed") {
  ipc::NameTable table;
  table.set_generation(generation);
  table.set_node("u0");
  const auto tenant = [&table](std::uint32_t id, const char* code, const char* name) {
    auto& one = *table.add_tenants();
    one.set_id(id), one.set_service_code(code), one.set_name(name);
  };
  const auto port = [&table](std::uint32_t id, std::uint32_t owner, const char* name, const char* zone, bool inside) {
    auto& one = *table.add_ports();
    one.set_id(id), one.set_tenant(owner), one.set_name(name), one.set_zone(zone), one.set_protected_side(inside);
  };
  tenant(kAcme, "acm00000001", "acme");
  tenant(kGlobex, "glb00000002", "globex");
  table.mutable_tenants(0)->add_services("http"), table.mutable_tenants(0)->add_services("dns");
  table.mutable_tenants(1)->add_services("secret-service");
  port(kInside, kAcme, "web1", "servers", true);
  port(kOutside, kAcme, "net", "internet", false);
  port(kForeign, kGlobex, "secret-port", "secret-zone", true);
  auto& rule = *table.add_rules();
  rule.set_id(kRule), rule.set_tenant(kAcme), rule.set_uuid(std::string(16, '\x42')), rule.set_name(rule_name);
  rule.set_number(3), rule.set_policy("inside");
  auto& deny = *table.add_rules();
  deny.set_id(kDefaultRule), deny.set_tenant(kAcme), deny.set_uuid(std::string(16, '\x43')), deny.set_name("既定拒否");
  deny.set_number(0), deny.set_policy("inside");
  auto& binding = *table.add_bindings();
  binding.set_id(kBinding), binding.set_port(kInside), binding.set_name("web1-eth0");
  binding.set_mac(std::string("\x52\x54\x00\x00\x01\x11", 6)),
      binding.add_addresses(std::string("\x0a\x00\x00\x02", 4));
  return table;
}

inline std::shared_ptr<const Names> names(std::uint32_t generation, const std::string& rule_name = "web allowed") {
  return std::make_shared<Names>(name_table(generation, rule_name));
}

template <typename Body>
LogRecord pack(const LogEnvelope& envelope, const Body& body) {
  LogRecord out{};
  std::memcpy(out.bytes.data(), &envelope, sizeof(envelope));
  std::memcpy(out.bytes.data() + sizeof(envelope), &body, sizeof(body));
  return out;
}

inline LogEnvelope envelope(LogKind kind, std::uint32_t tenant = kAcme, std::uint32_t generation = 7,
                            std::uint64_t timestamp = kNoon) {
  return {timestamp, tenant, generation, kind, 0, 0, 0, 1};
}

inline CommBody comm_body() {
  CommBody body{};
  body.source = {203, 0, 113, 77};
  body.destination = {10, 0, 0, 2};
  body.flow_id = 0xabc;
  body.rule = kRule;
  body.in_port = kOutside;
  body.out_port = kInside;
  body.source_port = 50000;
  body.destination_port = 80;
  body.packet_length = 60;
  body.protocol = 6;
  body.ip_version = 4;
  body.phase = CommPhase::kStart;
  body.action = CommAction::kAllow;
  body.tcp_flags = 2;
  return body;
}

inline LogRecord comm_record(std::uint32_t tenant = kAcme, std::uint32_t generation = 7,
                             std::uint64_t timestamp = kNoon) {
  return pack(envelope(LogKind::kComm, tenant, generation, timestamp), comm_body());
}

inline LogRecord loss_record(std::uint64_t count, LogKind of = LogKind::kComm, std::uint32_t tenant = kAcme) {
  return pack(envelope(LogKind::kLoss, tenant), LossBody{kNoon - kSecond, kNoon, count, of, LossCause::kQueueFull, {}});
}

inline Journal::Random fixed_random() {
  return [] { return std::array<std::uint8_t, 10>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}; };
}

/// An entry as enrich() leaves it: without number and id.
inline LogEntry comm_entry(const std::string& svc = "acm00000001", std::uint64_t timestamp = kNoon) {
  LogEntry entry = make_entry(LogKind::kComm);
  entry.ts = Timestamp{timestamp};
  entry.svc = svc;
  entry.node = "u0";
  entry.rev = 7;
  auto& comm = std::get<CommFields>(entry.body);
  comm.phase = CommPhase::kStart, comm.action = CommAction::kAllow, comm.reason = filters::LogReason::kRule;
  comm.dir = Direction::kIn, comm.in_if = "net", comm.in_zone = "internet", comm.ip_ver = 4, comm.proto = 6;
  comm.src_ip = *parse_address("203.0.113.77"), comm.dst_ip = *parse_address("10.0.0.2");
  return entry;
}

inline LogEntry loss_entry(std::uint64_t count, const std::string& svc = "acm00000001") {
  LogEntry entry = make_entry(LogKind::kLoss);
  entry.ts = Timestamp{kNoon};
  entry.svc = svc;
  entry.node = "u0";
  entry.rev = 7;
  entry.sev = 3;
  entry.body =
      LossFields{LogKind::kComm, 0, 0, count, LossCause::kQueueFull, Timestamp{kNoon - kSecond}, Timestamp{kNoon}};
  return entry;
}

/// Everything a stream holds, oldest first.
inline std::vector<LogEntry> all_of(LogStore& store, const StreamName& stream) {
  std::vector<LogEntry> out;
  auto cursor = store.open(stream, {});
  if (!cursor) return out;
  for (;;) {
    auto entry = (*cursor)->next();
    if (!entry || !*entry) return out;
    out.push_back(std::move(**entry));
  }
}

inline std::vector<std::uint64_t> numbers_of(const std::vector<LogEntry>& entries) {
  std::vector<std::uint64_t> out;
  for (const LogEntry& entry : entries) out.push_back(entry.seq);
  return out;
}

inline const StreamName kAcmeComm{"acm00000001", LogKind::kComm};
inline const StreamName kAcmeSec{"acm00000001", LogKind::kSec};
inline const StreamName kAcmeLoss{"acm00000001", LogKind::kLoss};

}  // namespace sekisho::mgmt::test
