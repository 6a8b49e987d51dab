// SPDX-License-Identifier: Apache-2.0
// Factory wipe. Keys go first: what they sealed is gone with them, whatever happens to the rest.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/crypto/aead.h"
#include "base/crypto/signature.h"
#include "base/ipc/seqpacket.h"
#include "base/os/durable_file.h"
#include "base/os/fd.h"
#include "mgmt/cli/answer.h"
#include "mgmt/cli/erasure.h"
#include "mgmt/log/entry.h"
#include "mgmt/log/time_text.h"
#include "mgmt/log/vault/manifest.h"

namespace sekisho::mgmt {
namespace {

namespace files = std::filesystem;

struct Count {
  std::uint64_t files = 0, bytes = 0, failed = 0;
};

bool is_key(const files::path& path) {
  const std::string name = path.filename().string();
  return name.ends_with(".key") || name.find(".keys") != std::string::npos || path.parent_path().filename() == "keys";
}

/// Regular files below a folder; a link is no way out of it.
std::vector<files::path> list(const std::string& folder) {
  std::vector<files::path> out;
  std::error_code failed;
  for (files::recursive_directory_iterator at(folder, failed), end; !failed && at != end; at.increment(failed)) {
    if (!at->is_directory(failed) || at->is_symlink(failed)) out.push_back(at->path());
  }
  return out;
}

/// Random bytes over it, made safe, then away with it.
void destroy(const files::path& path, Count& count) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return;
  bool done = true;
  if (S_ISREG(status.st_mode)) {
    const Fd file(::open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
    done = file.valid();
    for (off_t at = 0; done && at < status.st_size;) {
      const auto piece = random_bytes<65536>();
      const auto size = static_cast<std::size_t>(std::min<off_t>(status.st_size - at, static_cast<off_t>(piece.size())));
      const ssize_t wrote = ::write(file.get(), piece.data(), size);
      done = wrote > 0;
      at += wrote;
    }
    done = done && ::fsync(file.get()) == 0;
    count.bytes += static_cast<std::uint64_t>(status.st_size);
  }
  if (!done || ::unlink(path.c_str()) != 0) ++count.failed;
  ++count.files;
}

/// One that answers is in the way: it would write anew what was just destroyed.
std::string who_runs(const std::string& run_dir) {
  for (const char* name : {"control.sock", "export.sock", "dataplane.sock"}) {
    if (IpcConnection::connect(run_dir + '/' + name)) return name;
  }
  return {};
}

std::string now_text() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return to_text(Timestamp{static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count())});
}

std::string line(const char* name, const Count& count) {
  return std::string("\"") + name + "\":{\"files\":" + std::to_string(count.files) + ",\"bytes\":" + std::to_string(count.bytes) +
         ",\"failed\":" + std::to_string(count.failed) + '}';
}

}  // namespace

ExitStatus factory_wipe(Session& session, const WipeRequest& request) {
  if (!request.confirmed)
    return fail(session, {false, "this destroys every key, record, account and setting of the unit: say --yes-destroy-everything"});
  if (const std::string who = who_runs(session.run_dir); !who.empty())
    return fail(session, {false, "a daemon still answers at " + who + ": stop them all first"});
  const std::vector<files::path> all = list(request.state_dir);
  if (all.empty()) return fail(session, {false, "there is nothing in " + request.state_dir});
  if (files::absolute(request.file).string().starts_with(files::absolute(request.state_dir).string() + "/"))
    return fail(session, {false, "the report would be destroyed with the rest: write it somewhere else"});
  // The report is signed by a key that is gone when it is written; who kept its public half can judge it.
  SigningSeed seed = random_bytes<32>();
  const auto unit = std::find_if(all.begin(), all.end(), [](const auto& path) { return path.filename() == "unit.key"; });
  if (unit != all.end()) {
    std::ifstream in(*unit, std::ios::binary);
    const std::string held{std::istreambuf_iterator<char>(in), {}};
    if (held.size() == seed.size()) std::copy(held.begin(), held.end(), seed.begin());
  }
  Count keys, data, left;
  for (const auto& path : all) {
    if (is_key(path)) destroy(path, keys);
  }
  ::sync();
  for (const auto& path : all) {
    if (!is_key(path)) destroy(path, data);
  }
  ::sync();
  left.files = list(request.state_dir).size();
  std::string report = "{\"report\":\"factory_wipe\",\"folder\":\"" + files::absolute(request.state_dir).string() + "\",\"done\":\"" +
                       now_text() + "\"," + line("keys", keys) + ',' + line("data", data) + ",\"left\":" + std::to_string(left.files) +
                       ",\"signer\":\"" + hex(public_of(seed)) + '"';
  const Signature signature = sign(seed, {reinterpret_cast<const std::uint8_t*>(report.data()), report.size()});
  report += ",\"signature\":\"" + hex(signature) + "\"}";
  seed.fill(0);
  const bool written = replace_durably(request.file, {reinterpret_cast<const std::uint8_t*>(report.data()), report.size()}, 0644);
  if (!written) session.out << report << '\n';
  if (keys.failed + data.failed + left.files > 0)
    return fail(session, {false, std::to_string(left.files) + " files could not be destroyed: see " + request.file});
  const std::string count = std::to_string(keys.files) + " keys and " + std::to_string(data.files) + " files";
  return done(session, JsonObject().number("keys", keys.files).number("files", data.files).text("report", request.file),
              count + " are destroyed; the report is " + request.file);
}

}  // namespace sekisho::mgmt
