// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>

#include "mgmt/http/message.h"

namespace sekisho::mgmt {

/// The portal's files, read once: afterwards no file is opened any more.
class Assets {
 public:
  static constexpr std::size_t kBytesMax = std::size_t{32} << 20;
  /// Every file of `folder` and below; FILE.gz beside FILE is sent to who takes gzip. Empty, or why not.
  std::string load(const std::string& folder);
  /// "/" is index.html. Answers GET and HEAD; 404 for what is not there.
  [[nodiscard]] HttpResponse answer(const HttpRequest& request) const;

 private:
  struct File {
    std::shared_ptr<const std::string> plain;
    std::shared_ptr<const std::string> gzip;  ///< may be null
    std::string type;
    std::string etag;
  };
  std::map<std::string, File> files_;
};

}  // namespace sekisho::mgmt
