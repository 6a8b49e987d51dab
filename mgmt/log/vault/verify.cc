// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/vault/verify.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>

#include "mgmt/log/files.h"
#include "mgmt/log/time_text.h"

namespace sekisho::mgmt {
namespace {

constexpr int kFaultsMax = 100;
constexpr std::size_t kManifestBytesMax = 64U << 20;

std::string span_text(std::uint64_t first, std::uint64_t last) {
  return first == last ? "block " + std::to_string(first)
                       : "blocks " + std::to_string(first) + " to " + std::to_string(last);
}

class StreamVerifier {
 public:
  StreamVerifier(std::string folder, StreamName stream, const VerifyWith& with, ipc::LogVerified& out)
      : folder_(std::move(folder)), stream_(std::move(stream)), with_(with), out_(out) {}

  void run() {
    read_manifests();
    const auto names = list_segments(folder_);
    for (const SegmentName& name : names) {
      if (expired_.contains(name)) fault(name.text(), next_, 0, "its days are over, and yet it is there");
      segment(name);
    }
    compare(names);
    find_torn();
  }

 private:
  void fault(const std::string& file, std::uint64_t block, std::uint64_t time, std::string sentence) {
    out_.set_ok(false);
    if (out_.faults_size() >= kFaultsMax) return;
    ipc::LogFault& one = *out_.add_faults();
    one.set_type(std::string(text_of(stream_.type)));
    one.set_file(stream_.service_code + "/" + std::string(text_of(stream_.type)) + "/" + file);
    one.set_block(block);
    one.set_time_ns(time);
    one.set_sentence(std::move(sentence));
  }

  void read_manifests() {
    const auto text = read_file(folder_ + "/manifest", kManifestBytesMax);
    if (!text) return;
    std::string_view left = *text;
    Sha256Digest previous{};
    std::uint64_t number = 0;
    for (std::size_t end; (end = left.find('\n')) != std::string_view::npos; left.remove_prefix(end + 1), ++number) {
      const std::string_view line = left.substr(0, end);
      const auto manifest = parse_manifest(line);
      if (!manifest) return fault("manifest", 0, 0, "line " + std::to_string(number + 1) + " is no manifest");
      const std::string signed_part = signed_text(*manifest);
      const ByteSpan bytes{reinterpret_cast<const std::uint8_t*>(signed_part.data()), signed_part.size()};
      const auto wrong = [&](const char* what) {
        fault("manifest", manifest->first_block, 0,
              "line " + std::to_string(number + 1) + " (" + manifest->from + "): " + what);
      };
      if (!verify_signature(with_.signer, bytes, manifest->signature)) wrong("the signature is not the box's");
      if (manifest->stream != stream_) wrong("it is another stream's");
      if (manifest->number != number || manifest->previous != previous)
        wrong("it does not follow the line before: lines were changed, moved or taken out");
      previous = digest_of_line(line);
      number = manifest->number;
      if (manifest->kind == Manifest::Kind::kExpired)
        expired_.insert(manifest->segment);
      else
        hours_.push_back(*manifest);
    }
    if (!left.empty()) fault("manifest", 0, 0, "the last line is not whole");
  }

  void segment(const SegmentName& name) {
    const std::string path = folder_ + "/" + name.text();
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) return;
    const auto limit = with_.limits.find(name.text());
    const auto bytes = limit == with_.limits.end() ? static_cast<std::uint64_t>(status.st_size) : limit->second;
    const auto reader = SegmentReader::open(path, stream_, bytes);
    if (!reader) return fault(name.text(), next_, 0, "its head is damaged or another stream's");
    const SegmentHead& head = reader->head();
    if (head.name != name) fault(name.text(), head.first_block, 0, "it was called " + head.name.text());
    if (first_) next_ = first_block_kept(head.first_block);
    if (head.first_block != next_) {
      fault(name.text(), next_, 0,
            "it begins with block " + std::to_string(head.first_block) + " instead of " + std::to_string(next_) +
                (head.first_block > next_ ? ": a segment before it is gone" : ""));
    } else if (!first_ && head.chain != chain_) {
      fault(name.text(), head.first_block, 0, "it does not follow the segment before it");
    }
    first_ = false;
    next_ = head.first_block;
    chain_ = chain_of(head);
    std::unique_ptr<Aead> key;
    if (with_.keys != nullptr) {
      const auto found = with_.keys->find({stream_.type, name.day});
      if (found == with_.keys->end())
        fault(name.text(), next_, 0, "its key is gone");
      else
        key = std::make_unique<Aead>(found->second);
    }
    for (std::uint64_t offset = kSegmentHeadBytes; offset < bytes;) {
      const auto block = reader->at(offset);
      if (!block || !*block) {
        fault(name.text(), next_, last_time_,
              "no whole block stands at byte " + std::to_string(offset) + ": what follows " +
                  to_text(Timestamp{last_time_}) + " cannot be followed");
        break;
      }
      this->block(name, *reader, offset, **block, key.get());
      offset += (**block).bytes();
    }
  }

  void block(const SegmentName& name, const SegmentReader& reader, std::uint64_t offset, const BlockHead& head,
             Aead* key) {
    const auto wrong = [&](const std::string& what) {
      fault(name.text(), next_, head.first.ns,
            what + "; it speaks of " + to_text(head.first) + " to " + to_text(head.last));
    };
    const auto digest = reader.digest(offset, head);
    const std::string number = std::to_string(head.number);
    if (!digest)
      wrong("block " + std::to_string(next_) + " was changed: its bytes are not those that were written");
    else if (head.number > next_)
      wrong(span_text(next_, head.number - 1) + " gone or moved from before block " + number);
    else if (head.number < next_)
      wrong("block " + number + " stands where block " + std::to_string(next_) + " was");
    else if (head.chain != chain_)
      wrong("block " + number + " does not follow the one before it");
    if (digest && key != nullptr && (!reader.filter(offset, head, *key) || !reader.body(offset, head, *key))) {
      wrong("block " + number + " is not what its key sealed");
    }
    const auto stored = reader.stored_digest(offset, head);
    chain_ = digest ? *digest : stored ? *stored : Sha256Digest{};
    const std::uint64_t here = digest ? head.number : next_;
    chains_[here] = chain_;
    next_ = here + 1;
    last_time_ = head.last.ns;
    out_.set_blocks(out_.blocks() + 1);
    out_.set_records(out_.records() + head.rows);
  }

  /// Where the stream begins now that its oldest segments are gone.
  std::uint64_t first_block_kept(std::uint64_t found) const {
    if (hours_.empty()) return expired_.empty() ? 0 : found;
    for (const Manifest& hour : hours_) {
      if (!expired_.contains(hour.segment)) return hour.first_block;
    }
    return hours_.back().last_block + 1;
  }

  /// What was signed must be there.
  void compare(const std::vector<SegmentName>& names) {
    std::uint64_t signed_end = 0;
    for (const Manifest& hour : hours_) {
      signed_end = hour.last_block + 1;
      if (expired_.contains(hour.segment)) continue;
      const auto said = [&](const std::string& what) {
        const auto time = parse_timestamp(hour.from);
        fault(hour.segment.text(), hour.first_block, time ? time->ns : 0,
              what + " (records " + std::to_string(hour.first_sequence) + " to " + std::to_string(hour.last_sequence) +
                  ", " + hour.from + " to " + hour.to + ")");
      };
      if (std::find(names.begin(), names.end(), hour.segment) == names.end()) {
        said("the segment is gone, and with it " + span_text(hour.first_block, hour.last_block));
        continue;
      }
      const auto last = chains_.find(hour.last_block);
      if (last == chains_.end())
        said(span_text(hour.first_block, hour.last_block) + " were signed, and the last of them is gone");
      else if (last->second != hour.chain)
        said(span_text(hour.first_block, hour.last_block) + " are not those that were signed");
    }
    if (next_ > signed_end) out_.set_unsigned_blocks(out_.unsigned_blocks() + (next_ - signed_end));
  }

  void find_torn() {
    DIR* handle = ::opendir(folder_.c_str());
    if (handle == nullptr) return;
    while (const dirent* entry = ::readdir(handle)) {
      const std::string_view name = entry->d_name;
      if (name.starts_with("torn-"))
        fault(std::string(name), 0, 0,
              "bytes that were no whole block were found when the vault was opened, and put aside");
    }
    ::closedir(handle);
  }

  std::string folder_;
  StreamName stream_;
  const VerifyWith& with_;
  ipc::LogVerified& out_;
  std::set<SegmentName> expired_;
  std::vector<Manifest> hours_;
  std::map<std::uint64_t, Sha256Digest> chains_;
  std::uint64_t next_ = 0, last_time_ = 0;
  Sha256Digest chain_{};
  bool first_ = true;
};

}  // namespace

void verify_stream(const std::string& folder, const StreamName& stream, const VerifyWith& with, ipc::LogVerified& out) {
  StreamVerifier(folder, stream, with, out).run();
}

ipc::LogVerified verify_folder(const std::string& root, const std::string& public_key) {
  ipc::LogVerified out;
  out.set_ok(true);
  const auto key = read_file(public_key.empty() ? root + "/keys/sign.pub" : public_key, 4096);
  VerifyWith with;
  if (!key || key->size() != with.signer.size()) {
    out.set_ok(false);
    out.set_error("there is no public key of 32 bytes at " +
                  (public_key.empty() ? root + "/keys/sign.pub" : public_key));
    return out;
  }
  std::copy(key->begin(), key->end(), with.signer.begin());
  std::vector<std::string> codes;
  DIR* handle = ::opendir(root.c_str());
  if (handle == nullptr) {
    out.set_ok(false);
    out.set_error(root + " cannot be read");
    return out;
  }
  while (const dirent* entry = ::readdir(handle)) {
    if (is_service_code(entry->d_name)) codes.emplace_back(entry->d_name);
  }
  ::closedir(handle);
  std::sort(codes.begin(), codes.end());
  for (const std::string& code : codes) {
    for (const LogKind type : kAllTypes) {
      struct stat status {};
      const std::string folder = root + "/" + code + "/" + std::string(text_of(type));
      if (::stat(folder.c_str(), &status) == 0) verify_stream(folder, {code, type}, with, out);
    }
  }
  return out;
}

}  // namespace sekisho::mgmt
