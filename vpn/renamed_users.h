// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "vpn/directory.h"
#include "vpn/tunnel_client.h"

namespace sekisho::vpn {

/// Tells the data plane whose groups have changed: sessions whose rules know their user by another UserId now. One whose tunnel is being
/// opened waits until it is open.
class RenamedUsers {
 public:
  void tell(UserDirectory& directory, TunnelClient& tunnels) {
    for (const UserDirectory::Renamed& one : directory.take_renamed()) {
      std::erase_if(waiting_, [&one](const UserDirectory::Renamed& old) { return old.session == one.session; });
      waiting_.push_back(one);
    }
    std::erase_if(waiting_, [&](const UserDirectory::Renamed& one) {
      return tunnels.change_user(one.session, one.user_id) || !directory.admitted(one.session);
    });
  }

 private:
  std::vector<UserDirectory::Renamed> waiting_;
};

}  // namespace sekisho::vpn
