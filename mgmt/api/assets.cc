// SPDX-License-Identifier: Apache-2.0
#include "mgmt/api/assets.h"

#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>

#include "base/crypto/sha256.h"

namespace sekisho::mgmt {
namespace {

/// What the portal lives with: its own files and nothing else.
constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src "
    "'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

std::string type_of(const std::string& name) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kTypes{
      {{".html", "text/html; charset=utf-8"},
       {".js", "text/javascript; charset=utf-8"},
       {".css", "text/css; charset=utf-8"},
       {".svg", "image/svg+xml"},
       {".png", "image/png"},
       {".ico", "image/x-icon"},
       {".json", "application/json"},
       {".woff2", "font/woff2"}}};
  for (const auto& [ending, type] : kTypes) {
    if (name.ends_with(ending)) return std::string(type);
  }
  return "application/octet-stream";
}

std::string etag_of(const std::string& bytes) {
  const Sha256Digest digest = sha256({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
  std::string out = "\"";
  constexpr std::string_view kHex = "0123456789abcdef";
  for (std::size_t i = 0; i < 12; ++i) {
    out += kHex[digest[i] >> 4U];
    out += kHex[digest[i] & 15U];
  }
  return out + '"';
}

}  // namespace

std::string Assets::load(const std::string& folder) {
  namespace fs = std::filesystem;
  std::error_code failed;
  std::size_t bytes = 0;
  std::map<std::string, std::shared_ptr<const std::string>> read;
  for (fs::recursive_directory_iterator at(folder, failed), end; !failed && at != end; at.increment(failed)) {
    if (!at->is_regular_file(failed) || at->is_symlink(failed)) continue;
    std::ifstream file(at->path(), std::ios::binary);
    std::ostringstream text;
    if (!file || (at->file_size(failed) > 0 && !(text << file.rdbuf()))) return "cannot read " + at->path().string();
    auto content = std::make_shared<const std::string>(text.str());
    bytes += content->size();
    if (bytes > kBytesMax) return folder + " holds more than 32 MiB";
    read['/' + fs::relative(at->path(), folder, failed).generic_string()] = std::move(content);
  }
  if (failed) return "cannot read " + folder + ": " + failed.message();
  for (const auto& [name, content] : read) {
    if (name.ends_with(".gz") && read.contains(name.substr(0, name.size() - 3))) continue;
    const auto packed = read.find(name + ".gz");
    files_[name] = {content, packed == read.end() ? nullptr : packed->second, type_of(name), etag_of(*content)};
  }
  if (!files_.contains("/index.html")) return folder + " has no index.html";
  return "";
}

HttpResponse Assets::answer(const HttpRequest& request) const {
  HttpResponse out;
  out.headers.emplace_back("Content-Security-Policy", kPolicy);
  out.headers.emplace_back("Permissions-Policy", "camera=(), geolocation=(), microphone=()");
  const auto at = files_.find(request.path == "/" ? "/index.html" : request.path);
  if (at == files_.end()) {
    out.status = 404;
    out.headers.emplace_back("Content-Type", "text/plain; charset=utf-8");
    out.body = "not found\n";
    return out;
  }
  const File& file = at->second;
  out.headers.emplace_back("Content-Type", file.type);
  out.headers.emplace_back("ETag", file.etag);
  out.headers.emplace_back("Cache-Control", "no-cache");
  out.headers.emplace_back("Vary", "Accept-Encoding");
  if (request.header("if-none-match") == file.etag) {
    out.status = 304;
    return out;
  }
  const bool gzip = file.gzip && request.header("accept-encoding").find("gzip") != std::string_view::npos;
  if (gzip) out.headers.emplace_back("Content-Encoding", "gzip");
  out.asset = gzip ? file.gzip : file.plain;
  return out;
}

}  // namespace sekisho::mgmt
