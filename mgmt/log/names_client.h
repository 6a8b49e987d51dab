// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/ipc/seqpacket.h"
#include "mgmt/log/names.h"

namespace sekisho::mgmt {

/// Asks controld (control.sock) for the names of generations, one question at a time, for as long as it takes.
/// Thread: the loop's; never waits.
class NamesClient {
 public:
  /// `table` is empty when controld does not know the generation; `serialized` is the NameTable as it came.
  using Answer = std::function<void(std::uint32_t generation, std::shared_ptr<const Names> table, ByteSpan serialized)>;

  NamesClient(boost::asio::io_context& loop, std::string path, Answer answer);
  /// Idempotent while the answer is out.
  void request(std::uint32_t generation);
  /// Forgets every question; the loop can end.
  void stop();

 private:
  void ask();
  void wait_for_answer();
  void receive();
  void try_later();
  Result<void> take(const IpcMessage& message, std::vector<Fd> fds);

  boost::asio::io_context& loop_;
  boost::asio::steady_timer timer_;
  std::string path_;
  Answer answer_;
  std::optional<IpcConnection> connection_;
  std::optional<boost::asio::posix::stream_descriptor> watch_;
  std::set<std::uint32_t> wanted_;
  std::optional<std::uint32_t> asked_;
  std::uint64_t correlation_ = 0;
  bool sleeping_ = false;
};

/// Parses a serialized NameTable; kMalformed when it is none or is of another generation.
Result<std::shared_ptr<const Names>> parse_names(ByteSpan bytes, std::optional<std::uint32_t> generation);

/// Largest NameTable taken: 200,000 rules with long names.
inline constexpr std::size_t kNameTableBytesMax = 128U << 20;

}  // namespace sekisho::mgmt
