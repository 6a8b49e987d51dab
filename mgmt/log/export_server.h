// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/ipc/seqpacket.h"
#include "mgmt/log/questions.h"

namespace sekisho::mgmt {

/// export.sock: answers questions about the history, and gives a reader the read end of a pipe and fills it with the records it selected.
///
/// A reader pulls from the store at its own speed, so a slow one costs a bounded buffer and never a record; one that
/// takes nothing for a minute while text waits, or that has gone, is dropped and the reason said on stderr. Peers:
/// root, our own uid, and the uids allowed. Thread: the loop's; never waits.
class ExportServer {
 public:
  static constexpr std::size_t kConnectionsMax = 16;
  static constexpr std::size_t kStreamsMax = 64;
  static constexpr std::size_t kBufferBytes = 128U << 10;
  static constexpr std::chrono::seconds kStallMax{60};

  using Note = std::function<void(const std::string&)>;

  static Result<std::unique_ptr<ExportServer>> listen(boost::asio::io_context& loop, const std::string& path,
                                                      std::set<uid_t> allowed, LogStore& store, Questions& questions,
                                                      Note note);
  ~ExportServer();
  ExportServer(const ExportServer&) = delete;
  ExportServer& operator=(const ExportServer&) = delete;

  /// Besides those allowed: may read for collectors that others have named (ReadLogExport), and ask nothing else.
  void admit_exporters(std::set<uid_t> uids) { exporters_ = std::move(uids); }
  /// Records were appended: followers go on.
  void wake();
  /// Closes everything; the loop can end.
  void stop();
  [[nodiscard]] std::size_t streams() const;

 private:
  class Stream;
  struct Peer;

  ExportServer(boost::asio::io_context& loop, IpcListener listener, std::set<uid_t> allowed, LogStore& store,
               Questions& questions, Note note);
  void wait_for_peer();
  void accept();
  void wait_for_request(const std::shared_ptr<Peer>& peer);
  bool serve(const std::shared_ptr<Peer>& peer);
  static bool answer(Peer& peer, const ipc::FromLog& message, const Fd& fd);
  Result<std::string> open_stream(const ipc::OpenLogStream& request, Fd& read_end);
  void drop(Stream* stream, const std::string& reason);

  struct Watch;
  boost::asio::io_context& loop_;
  IpcListener listener_;
  std::unique_ptr<Watch> watch_;
  std::set<uid_t> allowed_, exporters_;
  LogStore& store_;
  Questions& questions_;
  Note note_;
  std::list<std::shared_ptr<Peer>> peers_;
  std::list<std::unique_ptr<Stream>> streams_;
};

}  // namespace sekisho::mgmt
