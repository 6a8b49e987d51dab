// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "control/compile/ids.h"
#include "control/links/control_server.h"
#include "control/links/dataplane_link.h"

namespace sekisho::control {

/// Asks the data plane what would happen to packets: under the running revision, or under a candidate document, which is
/// checked and compiled like a commit's but against a copy of the ids, and stored nowhere. One question at a time: the
/// control thread of the data plane has commits to serve. Thread: that of the link.
class ExplainService {
 public:
  /// `now`: Unix seconds; a candidate is compiled as of then.
  ExplainService(Ids& ids, DataplaneLink& dataplane, std::function<std::int64_t()> now)
      : ids_(ids), dataplane_(dataplane), now_(std::move(now)) {}
  /// `running`: names of the revision in force, null when none is.
  void explain(ControlRequest request, const ipc::NameTable* running, ControlServer::Reply reply);
  void replay(ControlRequest request, const ipc::NameTable* running, ControlServer::Reply reply);

 private:
  void ask(ipc::ToDataplane question, std::vector<Fd> fds, DataplaneLink::OnReply on_reply);

  Ids& ids_;
  DataplaneLink& dataplane_;
  std::function<std::int64_t()> now_;
  bool busy_ = false;
};

}  // namespace sekisho::control
