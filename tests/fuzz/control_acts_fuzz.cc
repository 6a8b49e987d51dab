// SPDX-License-Identifier: Apache-2.0
// Any bytes as audit.bin: each act comes out once and with a result, and what came out reads the same when it is written again.
#include <google/protobuf/util/delimited_message_util.h>

#include <set>
#include <sstream>

#include "base/assert.h"
#include "control/links/audit_link.h"

namespace {
std::size_t accepted = 0;
}

extern "C" std::size_t sekisho_fuzz_accepted() { return accepted; }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sekisho;
  std::istringstream file(std::string(reinterpret_cast<const char*>(data), size));
  const std::deque<ipc::ToEventLog> acts = control::read_acts(file);
  std::set<std::string> eids;
  std::stringstream again;
  for (const ipc::ToEventLog& act : acts) {
    SEKISHO_ASSERT(eids.insert(act.eid()).second);
    SEKISHO_ASSERT(!act.has_audit() || !act.audit().result().empty());
    google::protobuf::util::SerializeDelimitedToOstream(act, &again);
  }
  const std::deque<ipc::ToEventLog> same = control::read_acts(again);
  SEKISHO_ASSERT(same.size() == acts.size());
  for (std::size_t i = 0; i < acts.size(); ++i) SEKISHO_ASSERT(same[i].eid() == acts[i].eid());
  accepted += acts.empty() ? 0U : 1U;
  return 0;
}
