// SPDX-License-Identifier: Apache-2.0
// Overview. Listener -> Peer (one connection, many requests) -> Stream (one pipe). Streams outlive their Peer.
// Life-cycle. A Stream ends when its selection is written, when its reader goes, or when it stalls.
// Synchronisation. One thread. Handlers hold raw pointers only to objects that cancel them when they die: a cancelled
// handler arrives with an error and touches nothing.
#include "mgmt/log/export_server.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>

#include "base/describe.h"
#include "base/proto/control_log.pb.h"
#include "mgmt/log/export_stream.h"

namespace sekisho::mgmt {
namespace {

using boost::asio::posix::stream_descriptor;
using boost::system::error_code;

constexpr std::chrono::milliseconds kNow{0};
constexpr int kPipeBytes = 256 << 10;

Error os_error() {
  return {ErrorCode::kUnavailable, ErrorSite::kOs, static_cast<std::uint32_t>(errno)};
}

struct Pipe {
  Fd read_end, write_end;
};

Result<Pipe> make_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return os_error();
  Pipe pipe{Fd(fds[0]), Fd(fds[1])};
  // Our end only: the reader's descriptor blocks as readers expect.
  if (::fcntl(pipe.write_end.get(), F_SETFL, O_NONBLOCK) != 0) return os_error();
  (void)::fcntl(pipe.write_end.get(), F_SETPIPE_SZ, kPipeBytes);  // a refusal leaves the default size
  return pipe;
}

Result<Selection> selection_of(const ipc::OpenLogStream& request) {
  Selection out;
  out.service_code = request.service_code();
  for (const std::string& name : request.types()) {
    const auto type = enum_from<LogKind>(name);
    if (!type) return Error{ErrorCode::kUnsupported, ErrorSite::kIpc, 0};
    out.types.push_back(*type);
  }
  out.format = request.format() == ipc::OpenLogStream::CSV ? Selection::Format::kCsv : Selection::Format::kJsonLines;
  out.follow = request.follow();
  out.last = request.last();
  out.audience = request.provider_fields() ? Audience::kProvider : Audience::kTenant;
  out.byte_order_mark = request.csv_bom();
  return out;
}

std::string sentence_for(Error error) {
  if (error.code == ErrorCode::kUnsupported) return "unknown record type: use comm, sec, vpn, acl, devauth, audit or loss";
  if (error.code == ErrorCode::kLimit) return "last is at most " + std::to_string(kLastMax);
  if (error.code == ErrorCode::kMalformed) return "a stream needs one service code, and one type to follow as CSV";
  return describe(error);
}

}  // namespace

struct ExportServer::Watch {
  stream_descriptor descriptor;
};

struct ExportServer::Peer {
  IpcConnection connection;
  stream_descriptor watch;
  bool exporter = false;  ///< and nothing more
};

class ExportServer::Stream {
 public:
  Stream(ExportServer& server, boost::asio::io_context& loop, Fd pipe, ExportStream source)
      : server_(server), pipe_(loop, pipe.release()), stall_(loop), source_(std::move(source)) {}

  void start() {
    // An idle follower's reader is missed by this, not by a failing write.
    pipe_.async_wait(stream_descriptor::wait_error, [this](const error_code& failed) {
      if (!failed) server_.drop(this, "the reader closed its end");
    });
    pump();
  }

  void pump() {
    if (writing_) return;
    for (;;) {
      if (buffer_.empty()) {
        const auto filled = source_.fill(buffer_, kBufferBytes);
        if (!filled) return server_.drop(this, "reading the store failed: " + describe(filled.error()));
        if (buffer_.empty()) break;
      }
      const ssize_t n = ::write(pipe_.native_handle(), buffer_.data(), buffer_.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return wait_for_room();
      if (n < 0) return server_.drop(this, "the reader closed its end");
      buffer_.erase(0, static_cast<std::size_t>(n));
      // One buffer a turn: other readers and the rings come first.
      if (buffer_.empty()) return wait_for_room();
    }
    if (source_.finished()) server_.drop(this, "");
  }

 private:
  void wait_for_room() {
    writing_ = true;
    stall_.expires_after(kStallMax);
    stall_.async_wait([this](const error_code& failed) {
      if (!failed) server_.drop(this, "the reader took nothing for a minute");
    });
    pipe_.async_wait(stream_descriptor::wait_write, [this](const error_code& failed) {
      if (failed) return;
      writing_ = false;
      stall_.cancel();
      pump();
    });
  }

  ExportServer& server_;
  stream_descriptor pipe_;
  boost::asio::steady_timer stall_;
  ExportStream source_;
  std::string buffer_;
  bool writing_ = false;
};

Result<std::unique_ptr<ExportServer>> ExportServer::listen(boost::asio::io_context& loop, const std::string& path,
                                                           std::set<uid_t> allowed, LogStore& store, Questions& questions,
                                                           Note note) {
  SEKISHO_TRY(IpcListener listener, IpcListener::listen(path, 0660));
  allowed.insert({0, ::geteuid()});
  std::unique_ptr<ExportServer> server(
      new ExportServer(loop, std::move(listener), std::move(allowed), store, questions, std::move(note)));
  server->wait_for_peer();
  return server;
}

ExportServer::ExportServer(boost::asio::io_context& loop, IpcListener listener, std::set<uid_t> allowed,
                           LogStore& store, Questions& questions, Note note)
    : loop_(loop),
      listener_(std::move(listener)),
      watch_(new Watch{stream_descriptor(loop, ::dup(listener_.fd()))}),
      allowed_(std::move(allowed)),
      store_(store),
      questions_(questions),
      note_(std::move(note)) {}

ExportServer::~ExportServer() = default;

std::size_t ExportServer::streams() const {
  return streams_.size();
}

void ExportServer::stop() {
  watch_.reset();
  peers_.clear();
  streams_.clear();
}

void ExportServer::wake() {
  // pump() may drop its stream.
  for (auto it = streams_.begin(); it != streams_.end();) {
    Stream& stream = **it++;
    stream.pump();
  }
}

void ExportServer::wait_for_peer() {
  watch_->descriptor.async_wait(stream_descriptor::wait_read, [this](const error_code& failed) {
    if (failed) return;
    accept();
    wait_for_peer();
  });
}

void ExportServer::accept() {
  auto connection = listener_.accept();
  if (!connection) return;
  const auto uid = connection->peer_uid();
  if (!uid || (!allowed_.contains(*uid) && !exporters_.contains(*uid)))
    return note_("export: a peer of uid " + (uid ? std::to_string(*uid) : "?") + " was refused");
  if (peers_.size() >= kConnectionsMax) return note_("export: too many connections, one was refused");
  const int watched = ::dup(connection->fd());
  peers_.push_back(
      std::make_shared<Peer>(Peer{std::move(*connection), stream_descriptor(loop_, watched), !allowed_.contains(*uid)}));
  wait_for_request(peers_.back());
}

void ExportServer::wait_for_request(const std::shared_ptr<Peer>& peer) {
  peer->watch.async_wait(stream_descriptor::wait_read, [this, &peer = *peer](const error_code& failed) {
    if (failed) return;
    const auto found = std::find_if(peers_.begin(), peers_.end(), [&](const auto& one) { return one.get() == &peer; });
    if (found == peers_.end()) return;
    if (serve(*found)) return wait_for_request(*found);
    peers_.remove_if([&peer](const auto& one) { return one.get() == &peer; });
  });
}

/// Takes one request; false when the connection is to be closed.
bool ExportServer::serve(const std::shared_ptr<Peer>& peer) {
  const auto message = peer->connection.receive(kNow);
  if (!message) return nothing_waits(message.error());
  ipc::ToLog request;
  const bool whole = request.ParseFromArray(message->bytes.data(), static_cast<int>(message->bytes.size()));
  if (peer->exporter && !(whole && request.has_read_export())) return false;
  if (whole && !request.has_open_stream()) {
    questions_.ask(request, [waiting = std::weak_ptr<Peer>(peer)](const ipc::FromLog& out, const Fd& fd) {
      const auto there = waiting.lock();
      if (there) (void)answer(*there, out, fd);  // one that is gone is noticed where it is watched
    });
    return true;
  }
  Fd read_end;
  const auto refused = whole ? open_stream(request.open_stream(), read_end) : Result<std::string>(std::string("malformed request"));
  ipc::FromLog out;
  out.mutable_stream()->set_ok(read_end.valid());
  out.mutable_stream()->set_error(refused ? *refused : describe(refused.error()));
  return answer(*peer, out, read_end);
}

bool ExportServer::answer(Peer& peer, const ipc::FromLog& message, const Fd& fd) {
  const std::string bytes = message.SerializeAsString();
  const int number = fd.get();
  const std::span<const int> fds(&number, fd.valid() ? 1 : 0);
  return peer.connection.send({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, fds, kNow).has_value();
}

/// Starts a stream; the text is why it was refused, empty when it was not.
Result<std::string> ExportServer::open_stream(const ipc::OpenLogStream& request, Fd& read_end) {
  if (streams_.size() >= kStreamsMax) return std::string("too many readers");
  auto selection = selection_of(request);
  if (!selection) return sentence_for(selection.error());
  auto source = ExportStream::open(store_, std::move(*selection));
  if (!source) return sentence_for(source.error());
  SEKISHO_TRY(Pipe pipe, make_pipe());
  read_end = std::move(pipe.read_end);
  streams_.push_back(std::make_unique<Stream>(*this, loop_, std::move(pipe.write_end), std::move(*source)));
  // After the answer: the first pump may end and drop the stream.
  boost::asio::post(loop_, [this, stream = streams_.back().get()] {
    const auto found =
        std::find_if(streams_.begin(), streams_.end(), [&](const auto& one) { return one.get() == stream; });
    if (found != streams_.end()) stream->start();
  });
  return std::string();
}

void ExportServer::drop(Stream* stream, const std::string& reason) {
  if (!reason.empty()) note_("export: reader dropped: " + reason);
  // Not before its handler has returned.
  const auto found =
      std::find_if(streams_.begin(), streams_.end(), [&](const auto& one) { return one.get() == stream; });
  if (found == streams_.end()) return;
  std::shared_ptr<Stream> last(std::move(*found));
  streams_.erase(found);
  boost::asio::post(loop_, [last] {});
}

}  // namespace sekisho::mgmt
