// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>

#include "base/proto/control_export.pb.h"
#include "base/proto/control_log.pb.h"
#include "mgmt/export/caller.h"

namespace sekisho::mgmt {

/// exportd: which collectors there are, from controld; their records, from logd; one coroutine a collector, so that none waits for another.
///
/// A record has come when its collector answered (https), or had read everything up to the end of a connection (syslog, ipfix): such a
/// connection is ended and made anew after Options::prove_after or Options::prove_bytes. What is not known to have come is sent again.
/// Nothing is kept here: logd remembers. Thread: that of `io`.
class Exporter {
 public:
  struct Options {
    std::string run_dir = "/run/sekisho";
    std::chrono::milliseconds prove_after = std::chrono::seconds(15);
    std::size_t prove_bytes = 8U << 20;
    std::chrono::milliseconds batch_wait = std::chrono::seconds(5);  ///< https: how long records are gathered
    std::chrono::milliseconds back_off_max = std::chrono::seconds(60);
  };
  using Note = std::function<void(const std::string&)>;

  Exporter(boost::asio::io_context& io, Options options, Note note);
  ~Exporter();
  void start();
  void stop();

 private:
  struct Worker;
  using WorkerPtr = std::shared_ptr<Worker>;
  using Key = std::pair<std::string, std::string>;

  boost::asio::awaitable<void> follow_plan();
  boost::asio::awaitable<bool> fetch_plan();
  void take_plan();
  boost::asio::awaitable<void> serve(WorkerPtr worker);
  boost::asio::awaitable<std::string> session(WorkerPtr worker);
  boost::asio::awaitable<bool> ask(WorkerPtr worker, ipc::LogExportBatch& out);
  boost::asio::awaitable<std::string> deliver(WorkerPtr worker, const ipc::LogExportBatch& batch);
  boost::asio::awaitable<std::string> post(WorkerPtr worker, const ipc::LogExportBatch& batch);
  boost::asio::awaitable<std::string> post_one(WorkerPtr worker, const std::string& lines);
  boost::asio::awaitable<std::string> prove(WorkerPtr worker);
  boost::asio::awaitable<void> pause(WorkerPtr worker, std::chrono::milliseconds time);
  std::chrono::milliseconds back_off(const Worker& worker);

  boost::asio::io_context& io_;
  Options options_;
  Note note_;
  Caller control_, log_;
  boost::asio::steady_timer timer_;
  ipc::ExportPlan plan_;
  bool stopped_ = false;
  std::map<Key, WorkerPtr> workers_;
  std::minstd_rand random_;
};

}  // namespace sekisho::mgmt
