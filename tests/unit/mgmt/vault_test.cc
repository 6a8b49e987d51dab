// SPDX-License-Identifier: Apache-2.0
// Goal: what the vault took comes back as it was, whatever happened to the machine; what somebody changed is found, and
// where. Method: a real folder; records with fields chosen by chance; a disk that loses power between any two of its
// calls.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <random>

#include "mgmt/log/keeping.h"
#include "mgmt/log/time_text.h"
#include "mgmt/log/journal.h"
#include "mgmt/log/vault/download.h"
#include "mgmt/log/vault/search.h"
#include "mgmt/log/vault/verify.h"
#include "tests/unit/mgmt/support.h"

namespace sekisho::mgmt {
namespace {

using namespace test;
using testing::HasSubstr;
namespace fs = std::filesystem;

constexpr std::uint64_t kDay = 86'400 * kSecond;
const std::string kAcmeCode = "acm00000001";

/// Fills a field with something that chance picks, often nothing.
struct Filler {
  std::mt19937_64& random;
  std::uint64_t some() { return random() >> (random() % 64); }
  bool none() { return random() % 3 == 0; }

  template <typename T>
  void operator()(const Field& field, T& value) {
    for (const std::string_view kept : {"v", "type", "ts", "svc", "node", "seq"}) {
      if (field.name == kept) return;
    }
    if (!none()) fill(field, value);
  }
  template <Number T>
  void fill(const Field&, T& value) {
    value = static_cast<T>(some());
  }
  template <Number T>
  void fill(const Field&, std::optional<T>& value) {
    value = static_cast<T>(some() >> 1);
  }
  void fill(const Field&, std::optional<bool>& value) { value = random() % 2 == 0; }
  template <Enumeration T>
  void fill(const Field&, T& value) {
    value = static_cast<T>(random() % EnumText<T>::kNames.size());
  }
  void fill(const Field&, HexId& value) { value.value = some(); }
  void fill(const Field&, Timestamp& value) { value.ns = kNoon - some() % (100 * kSecond); }
  void fill(const Field&, Uuid& value) {
    for (auto& byte : value.bytes) byte = static_cast<std::uint8_t>(random());
  }
  void fill(const Field&, Mac& value) {
    for (auto& byte : value.bytes) byte = static_cast<std::uint8_t>(random());
  }
  void fill(const Field&, Address& value) {
    value.family = random() % 2 == 0 ? Family::kIpv4 : Family::kIpv6;
    for (std::size_t i = 0; i < (value.family == Family::kIpv4 ? 4U : 16U); ++i)
      value.bytes[i] = static_cast<std::uint8_t>(random());
  }
  void fill(const Field& field, std::string& value) {
    value = random() % 4 == 0 && field.characters_max > 4
                ? "same"
                : std::string(1 + random() % std::max<std::size_t>(field.characters_max, 1),
                              static_cast<char>('a' + random() % 26));
  }
  void fill(const Field& field, std::vector<std::string>& value) {
    fill(field, value.emplace_back());
    fill(field, value.emplace_back());
  }
  void fill(const Field& field, std::vector<Address>& value) {
    fill(field, value.emplace_back());
    fill(field, value.emplace_back());
  }
};

LogEntry any_entry(LogKind type, std::uint64_t seq, std::mt19937_64& random) {
  LogEntry entry = make_entry(type);
  entry.svc = kAcmeCode, entry.node = "u0", entry.seq = seq, entry.ts = Timestamp{kNoon + seq * 1'000'003};
  Filler filler{random};
  for_each_field(entry, filler);
  return entry;
}

TEST(VaultBlock, HoldsRecordsOfBeforeAFieldWasThere) {
  std::mt19937_64 random(3);
  LogEntry entry = any_entry(LogKind::kLoss, 1, random);
  std::get<LossFields>(entry.body).export_name.clear();
  entry.time_synced.reset();
  // A loss as it was stored before it had `time_synced`, and before it had `export`: the last two fields, a byte each without a value.
  for (const std::size_t missing : {1U, 2U}) {
    std::string row;
    append_row(row, entry);
    row.resize(row.size() - missing);
    EXPECT_EQ(must(read_row(LogKind::kLoss, row)), entry);
    BlockWriter writer(LogKind::kLoss);
    writer.add(entry);
    std::string body = writer.finish().body;
    // The forms of the columns stand in front; that of one without any value is one byte, 0.
    std::string_view left(body);
    std::uint64_t number = 0;
    ASSERT_TRUE(take_varint(left, number));
    for (std::size_t i = 0; i + missing < columns_of(LogKind::kLoss).size(); ++i) {
      const bool none = left.front() == 0;
      left.remove_prefix(1);
      ASSERT_TRUE(none || (take_varint(left, number) && take_varint(left, number)));
    }
    ASSERT_TRUE(left.starts_with(std::string(missing, '\0')));
    body.erase(body.size() - left.size(), missing);
    EXPECT_EQ(must(must(Block::parse(LogKind::kLoss, body)).entry(0)), entry);
  }
}

TEST(VaultBlock, GivesBackEveryFieldOfEveryType) {
  std::mt19937_64 random(1);
  for (const LogKind type : kAllTypes) {
    for (const std::size_t rows : {1U, 2U, 300U}) {
      BlockWriter writer(type);
      std::vector<LogEntry> entries;
      for (std::size_t i = 0; i < rows; ++i) writer.add(entries.emplace_back(any_entry(type, i + 1, random)));
      Block block = must(Block::parse(type, writer.finish().body));
      ASSERT_EQ(block.rows(), rows);
      for (std::size_t i = 0; i < rows; ++i) ASSERT_EQ(must(block.entry(i)), entries[i]) << text_of(type) << ' ' << i;
      std::string row;
      append_row(row, entries[0]);
      EXPECT_EQ(must(read_row(type, row)), entries[0]);
      std::set<std::size_t> older{row.size() - 1};  // before `time_synced`, which is one byte
      if (type == LogKind::kLoss) {
        std::get<LossFields>(entries[0].body).export_name.clear();
        std::string without;
        append_row(without, entries[0]);
        older.insert(without.size() - 2);
      }
      for (std::size_t cut = 0; cut < row.size(); ++cut) {
        ASSERT_TRUE(older.contains(cut) || !read_row(type, std::string_view(row).substr(0, cut)));
      }
    }
  }
}

TEST(VaultBlock, CutAtAnyByteIsRefusedOrHarmless) {
  std::mt19937_64 random(2);
  BlockWriter writer(LogKind::kComm);
  for (std::size_t i = 0; i < 40; ++i) writer.add(any_entry(LogKind::kComm, i + 1, random));
  const std::string body = writer.finish().body;
  // One cut looks like a block of before the last column was there: by that column's form and bytes. A block is sealed, so nobody makes it.
  std::size_t like_older = 0;
  for (std::size_t cut = 0; cut < body.size(); ++cut) {
    auto block = Block::parse(LogKind::kComm, body.substr(0, cut));
    if (!block) continue;
    ++like_older;
    for (std::size_t row = 0; row < block->rows(); ++row) (void)block->entry(row);
  }
  EXPECT_EQ(like_older, 1U);
  for (std::size_t i = 0; i < body.size(); ++i) {
    std::string changed = body;
    changed[i] = static_cast<char>(changed[i] ^ 0x41);
    auto block = Block::parse(LogKind::kComm, changed);
    if (!block) continue;
    for (std::size_t row = 0; row < block->rows(); ++row) (void)block->entry(row);
  }
}

/// A vault with small blocks: acme's comm records 1..count, a second apart.
struct Filled {
  TempDir dir;
  std::unique_ptr<Vault> vault;

  explicit Filled(std::size_t count, std::size_t block_rows = 10, std::uint64_t step = kSecond) {
    vault = std::make_unique<Vault>(dir.path(), Vault::Options{.block_rows = block_rows}, real_disk());
    add(count, step);
  }
  void add(std::size_t count, std::uint64_t step = kSecond) {
    std::vector<LogEntry> entries;
    for (std::size_t i = 0; i < count; ++i) {
      LogEntry entry = comm_entry(kAcmeCode, kNoon + next * step);
      entry.seq = ++next;
      auto& comm = std::get<CommFields>(entry.body);
      comm.src_port = static_cast<std::uint16_t>(next);
      comm.dst_ip.bytes[3] = static_cast<std::uint8_t>(next % 7);
      comm.user = next % 5 == 0 ? "suzuki" : "";
      comm.rule_name = next % 2 == 0 ? "web allowed" : "default";
      entries.push_back(entry);
    }
    EXPECT_EQ(vault->append(kAcmeComm, entries).stored, count);
  }
  void seal() {
    vault->seal_hours({}, true);
    EXPECT_TRUE(vault->sync());
    EXPECT_TRUE(vault->sign({}, true));
  }
  [[nodiscard]] std::string segment(const std::string& name = "2024-11-28-0001.seg") const {
    return dir.path() + "/acm00000001/comm/" + name;
  }
  [[nodiscard]] ipc::LogVerified verified() const { return verify_folder(dir.path(), ""); }
  std::uint64_t next = 0;
};

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void put(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

/// Where each block of a segment begins, and where the last ends.
std::vector<std::size_t> offsets_of(const std::string& bytes) {
  std::vector<std::size_t> out;
  std::size_t at = kSegmentHeadBytes;
  for (; at < bytes.size(); at += must(parse_block_head(std::string_view(bytes).substr(at))).bytes()) out.push_back(at);
  out.push_back(at);
  return out;
}

TEST(Vault, RecordsAreNowhereInTheClear) {
  Filled f(25);
  f.seal();
  for (const auto& file : fs::recursive_directory_iterator(f.dir.path())) {
    if (!file.is_regular_file()) continue;
    const std::string bytes = bytes_of(file.path());
    for (const char* word : {"suzuki", "web allowed", "internet"})
      EXPECT_EQ(bytes.find(word), std::string::npos) << file.path();
  }
  Vault again(f.dir.path());
  EXPECT_EQ(numbers_of(all_of(again, kAcmeComm)).size(), 25U);
}

TEST(Vault, TenantsSecretsOpenNothingOfAnother) {
  Filled f(10);
  LogEntry foreign = comm_entry("glb00000002");
  foreign.seq = 1;
  ASSERT_EQ(f.vault->append({"glb00000002", LogKind::kComm}, std::span(&foreign, 1)).stored, 1U);
  f.seal();
  fs::copy_file(f.segment(), f.dir.path() + "/glb00000002/comm/2024-11-28-0002.seg");
  EXPECT_FALSE(f.verified().ok());
  fs::remove(f.dir.path() + "/glb00000002/comm/2024-11-28-0002.seg");
  const Aead other(must(f.vault->keyring().key({"glb00000002", LogKind::kComm}, 20241128)));
  const auto reader = must(SegmentReader::open(f.segment(), kAcmeComm, fs::file_size(f.segment())));
  const auto head = must(reader.at(kSegmentHeadBytes));
  EXPECT_FALSE(reader.body(kSegmentHeadBytes, *head, const_cast<Aead&>(other)));
  Aead own(must(f.vault->keyring().key(kAcmeComm, 20241128)));
  EXPECT_TRUE(reader.body(kSegmentHeadBytes, *head, own));
}

TEST(VaultVerify, NamesTheBlockOfEveryFlippedBit) {
  Filled f(40);
  f.seal();
  ASSERT_TRUE(f.verified().ok()) << f.verified().ShortDebugString();
  EXPECT_EQ(f.verified().records(), 40U);
  const std::string whole = bytes_of(f.segment());
  const auto offsets = offsets_of(whole);
  for (std::size_t at = 0; at < whole.size(); at += 13) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ (1 << (at % 8)));
    put(f.segment(), changed);
    const auto found = f.verified();
    ASSERT_FALSE(found.ok()) << at;
    const auto block = std::upper_bound(offsets.begin(), offsets.end(), at) - offsets.begin();
    // A head that was changed is told by the block it should have been.
    if (block > 0) {
      EXPECT_NEAR(static_cast<double>(found.faults(0).block()), static_cast<double>(block - 1), 1) << at;
    }
  }
}

TEST(VaultVerify, FindsWhatWasTakenOutMovedOrCutOff) {
  Filled f(40);
  f.seal();
  const std::string whole = bytes_of(f.segment());
  const auto at = offsets_of(whole);
  const auto faults = [&](const std::string& bytes) {
    put(f.segment(), bytes);
    const auto found = f.verified();
    EXPECT_FALSE(found.ok());
    std::string text;
    for (const auto& fault : found.faults()) text += fault.sentence() + "\n";
    return text;
  };
  const auto block = [&](std::size_t i) { return whole.substr(at[i], at[i + 1] - at[i]); };
  const std::string head = whole.substr(0, at[0]);
  EXPECT_THAT(faults(head + block(0) + block(2) + block(3)), HasSubstr("block 1 gone or moved from before block 2"));
  EXPECT_THAT(faults(head + block(0) + block(2) + block(1) + block(3)), HasSubstr("block 1 stands where block 3 was"));
  EXPECT_THAT(faults(head + block(0) + block(1) + block(2)), HasSubstr("the last of them is gone"));
  EXPECT_THAT(faults(whole.substr(0, whole.size() - 5)), HasSubstr("no whole block stands at byte"));
  fs::remove(f.segment());
  EXPECT_THAT(f.verified().faults(0).sentence(),
              HasSubstr("the segment is gone, and with it blocks 0 to 3 (records 1 to 40"));
  put(f.segment(), whole);
  EXPECT_TRUE(f.verified().ok()) << "the same bytes again are right again";
}

TEST(VaultVerify, TheSignatureIsTheBoxsAndTheManifestsFollowOneAnother) {
  Filled f(20);
  f.seal();
  f.add(20);
  f.seal();
  const std::string path = f.dir.path() + "/acm00000001/comm/manifest";
  const std::string lines = bytes_of(path);
  const std::size_t middle = lines.find('\n') + 1;
  ASSERT_LT(middle, lines.size());
  put(path, lines.substr(middle));
  EXPECT_THAT(f.verified().faults(0).sentence(), HasSubstr("does not follow the line before"));
  std::string changed = lines;
  changed[changed.find("\"records\":20") + 11] = '9';
  put(path, changed);
  EXPECT_THAT(f.verified().faults(0).sentence(), HasSubstr("signature is not the box's"));
  put(path, lines);
  EXPECT_TRUE(f.verified().ok());
}

ipc::LogPage search(Vault& vault, ipc::SearchLog question) {
  question.set_service_code(kAcmeCode);
  std::unique_ptr<Search> made;
  const std::string refused = Search::prepare(vault, question, made);
  if (refused.empty()) return made->run();
  ipc::LogPage out;
  out.set_error(refused);
  return out;
}

ipc::SearchLog where(const std::string& field, std::vector<std::string> values,
                     ipc::LogCondition::Test test = ipc::LogCondition::EQUAL) {
  ipc::SearchLog out;
  auto& one = *out.add_conditions();
  one.set_field(field), one.set_test(test);
  for (const auto& value : values) one.add_values(value);
  return out;
}

TEST(VaultSearch, FindsByAnyFieldInBlocksAndOutside) {
  Filled f(45);  // four blocks, five records outside
  const auto count = [&](const ipc::SearchLog& question) { return search(*f.vault, question).records_size(); };
  EXPECT_EQ(count(where("src_port", {"44"})), 1);
  EXPECT_EQ(count(where("src_port", {"46"})), 0);
  EXPECT_EQ(count(where("user", {"suzuki"})), 9);
  EXPECT_EQ(count(where("user", {"suzuk"})), 0);
  EXPECT_EQ(count(where("user", {"suzuk"}, ipc::LogCondition::PREFIX)), 9);
  EXPECT_EQ(count(where("text", {"allow"}, ipc::LogCondition::CONTAINS)), 22);
  EXPECT_EQ(count(where("dst_ip", {"10.0.0.3"})), 7);
  EXPECT_EQ(count(where("address", {"10.0.0.3"})), 7);
  EXPECT_EQ(count(where("address", {"10.0.0.0/24"}, ipc::LogCondition::WITHIN)), 45);
  EXPECT_EQ(count(where("dst_ip", {"10.0.0.4/30"}, ipc::LogCondition::WITHIN)), 18);
  EXPECT_EQ(count(where("dst_ip", {"10.0.1.0/24"}, ipc::LogCondition::WITHIN)), 0);
  EXPECT_EQ(count(where("src_port", {"10", "12"}, ipc::LogCondition::RANGE)), 3);
  EXPECT_EQ(count(where("src_port", {"44", ""}, ipc::LogCondition::RANGE)), 2);
  EXPECT_EQ(count(where("user", {}, ipc::LogCondition::PRESENT)), 9);
  EXPECT_EQ(count(where("phase", {"start", "end"})), 45);
  EXPECT_EQ(count(where("phase", {"end"})), 0);
  ipc::SearchLog both = where("user", {"suzuki"});
  *both.add_conditions() = where("src_port", {"10"}).conditions(0);
  EXPECT_EQ(count(both), 1);
  both.mutable_conditions(1)->set_negate(true);
  EXPECT_EQ(count(both), 8);
  ipc::SearchLog hour;
  hour.set_from_ns(kNoon + 10 * kSecond), hour.set_to_ns(kNoon + 20 * kSecond);
  EXPECT_EQ(count(hour), 10);
  EXPECT_THAT(search(*f.vault, where("src_prt", {"1"})).error(), HasSubstr("there is no field"));
  EXPECT_THAT(search(*f.vault, where("src_port", {"x"})).error(), HasSubstr("cannot be"));
  EXPECT_THAT(search(*f.vault, where("core", {"1"})).error(), HasSubstr("there is no field")) << "a provider's field";
}

TEST(VaultSearch, PassesBlocksWhoseIndexSaysNo) {
  Filled f(1000, 100);
  LogEntry rare = comm_entry(kAcmeCode, kNoon + 2000 * kSecond);
  rare.seq = ++f.next;
  std::get<CommFields>(rare.body).src_ip = *parse_address("192.0.2.77");
  ASSERT_EQ(f.vault->append(kAcmeComm, std::span(&rare, 1)).stored, 1U);
  f.seal();
  const auto page = search(*f.vault, where("address", {"192.0.2.77"}));
  EXPECT_EQ(page.records_size(), 1);
  EXPECT_LE(page.blocks_read(), 2U);
  EXPECT_GE(page.blocks_passed(), 9U);
}

TEST(VaultSearch, PagesAreStableWhileRecordsArriveAndBlocksAreSealed) {
  Filled f(57);
  std::vector<std::uint64_t> seen;
  ipc::SearchLog question;
  question.set_limit(10);
  for (int turn = 0; turn < 10; ++turn) {
    const auto page = search(*f.vault, question);
    ASSERT_TRUE(page.ok());
    for (const auto& line : page.records()) seen.push_back(must(parse_json(line)).seq);
    f.add(7);
    if (turn == 2) f.seal();
    if (page.cursor().empty()) break;
    question.set_cursor(page.cursor());
  }
  ASSERT_EQ(seen.size(), 57U);
  for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], 57 - i);
  question.set_from_ns(1);
  EXPECT_THAT(search(*f.vault, question).error(), HasSubstr("another question"));
}

/// All a download writes, with its state at the end.
std::string downloaded(Vault& vault, ipc::DownloadLog request, Timestamp now, std::string& token,
                       ipc::LogDownloadState* state = nullptr) {
  std::signal(SIGPIPE, SIG_IGN);
  request.set_service_code(kAcmeCode);
  std::shared_ptr<Download> made;
  const std::string refused = Download::prepare(
      vault, request, now, [](LogKind) { return kDaysKept; }, made);
  if (!refused.empty()) return "refused: " + refused;
  int fds[2];
  EXPECT_EQ(::pipe(fds), 0);
  const Fd read_end(fds[0]);
  made->start(Fd(fds[1]));
  std::string out;
  char piece[4096];
  for (ssize_t n; (n = ::read(read_end.get(), piece, sizeof(piece))) > 0;)
    out.append(piece, static_cast<std::size_t>(n));
  token = made->announcement().token();
  while (made->running()) ::usleep(1000);
  if (state != nullptr) *state = made->state();
  return out;
}

TEST(VaultDownload, WindowsAreCivilDaysInJapan) {
  // Noon of 28 November and every six hours: 150 days.
  Filled f(600, 50, kDay / 4);
  const Timestamp now{kNoon + 149 * kDay + kDay / 2 - 1};  // 26 April 2025, a nanosecond before midnight
  const auto days = [&](ipc::DownloadLog::Window window, Timestamp at) {
    ipc::DownloadLog request;
    request.add_types("comm"), request.set_window(window);
    std::string token;
    const std::string text = downloaded(*f.vault, request, at, token);
    std::set<std::string> out;
    for (std::size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
      out.insert(text.substr(text.find("\"ts\":\"", begin) + 6, 10));
    return out;
  };
  const auto month = days(ipc::DownloadLog::MONTH, now);
  EXPECT_EQ(*month.begin(), "2025-03-27");
  EXPECT_EQ(*month.rbegin(), "2025-04-26");
  EXPECT_EQ(month.size(), 31U);
  const auto thirty = days(ipc::DownloadLog::THIRTY_DAYS, now);
  EXPECT_EQ(*thirty.begin(), "2025-03-27");
  EXPECT_EQ(*thirty.rbegin(), "2025-04-25") << "not today";
  EXPECT_EQ(*days(ipc::DownloadLog::THIRTY_DAYS, {now.ns + 1}).rbegin(), "2025-04-26")
      << "a nanosecond later it is over";
}

TEST(VaultDownload, GoesOnWhereItBrokeOffWithTheSameBytes) {
  for (const bool gzip : {false, true}) {
    Filled f(500, 50);
    ipc::DownloadLog request;
    request.add_types("comm"), request.set_window(ipc::DownloadLog::MONTH), request.set_gzip(gzip),
        request.set_format(ipc::OpenLogStream::CSV);
    std::string token;
    ipc::LogDownloadState state;
    const std::string whole = downloaded(*f.vault, request, {kNoon}, token, &state);
    EXPECT_TRUE(state.finished());
    EXPECT_EQ(state.records_written(), 500U);
    EXPECT_THAT(state.manifest(),
                HasSubstr("\"sha256\":\"" +
                          hex(sha256({reinterpret_cast<const std::uint8_t*>(whole.data()), whole.size()})) + "\""));
    f.add(30);  // later records are not in it
    f.seal();
    for (const std::size_t offset : {std::size_t{0}, std::size_t{1}, whole.size() / 2, whole.size()}) {
      ipc::DownloadLog rest;
      rest.set_token(token), rest.set_offset(offset);
      std::string same;
      EXPECT_EQ(downloaded(*f.vault, rest, {kNoon}, same), whole.substr(offset));
    }
    ipc::DownloadLog forged;
    token[4] = token[4] == 'a' ? 'b' : 'a';
    forged.set_token(token);
    EXPECT_THAT(downloaded(*f.vault, forged, {kNoon}, token), HasSubstr("refused: the token"));
  }
}

TEST(VaultDownload, ThreeStreamsAreOneFileInOrderOfTime) {
  Filled f(3);
  for (const LogKind type : {LogKind::kVpn, LogKind::kAcl, LogKind::kDevauth}) {
    for (std::uint64_t i = 0; i < 4; ++i) {
      LogEntry entry = make_entry(type);
      entry.svc = kAcmeCode, entry.node = "u0", entry.seq = i + 1,
      entry.ts = Timestamp{kNoon + i * kSecond + static_cast<std::uint64_t>(type)};
      ASSERT_EQ(f.vault->append({kAcmeCode, type}, std::span(&entry, 1)).stored, 1U);
    }
  }
  ipc::DownloadLog request;
  for (const char* type : {"vpn", "acl", "devauth"}) request.add_types(type);
  request.set_window(ipc::DownloadLog::MONTH), request.set_format(ipc::OpenLogStream::CSV);
  std::string token;
  const std::string text = downloaded(*f.vault, request, {kNoon}, token);
  std::vector<std::string> types;
  const auto columns = std::count(text.begin(), text.begin() + static_cast<long>(text.find('\n')), ',');
  EXPECT_TRUE(text.starts_with("v,type,ts,"));
  for (std::size_t begin = text.find('\n') + 1, end; (end = text.find('\n', begin)) != std::string::npos;
       begin = end + 1) {
    const std::string line = text.substr(begin, end - begin);
    EXPECT_EQ(std::count(line.begin(), line.end(), ','), columns);
    types.push_back(line.substr(2, line.find(',', 2) - 2));
  }
  ASSERT_EQ(types.size(), 12U);
  EXPECT_EQ(std::vector(types.begin(), types.begin() + 4), (std::vector<std::string>{"vpn", "acl", "devauth", "vpn"}));
}

TEST(VaultCalendar, MonthsEndAndLeap) {
  EXPECT_EQ(month_with(20240515), (Days{20240416, 20240515}));
  EXPECT_EQ(month_with(20240331), (Days{20240301, 20240331}));
  EXPECT_EQ(month_with(20230330), (Days{20230301, 20230330}));
  EXPECT_EQ(month_with(20240330), (Days{20240301, 20240330})) << "29 February and one";
  EXPECT_EQ(month_with(20240101), (Days{20231202, 20240101}));
  EXPECT_EQ(month_with(20240229), (Days{20240130, 20240229}));
  EXPECT_EQ(month_with(20240301), (Days{20240202, 20240301}));
  EXPECT_EQ(thirty_before(20240301), (Days{20240131, 20240229}));
  EXPECT_EQ(thirty_before(20230301), (Days{20230130, 20230228}));
  EXPECT_EQ(first_kept(20240330, 91), 20231231U);
  EXPECT_EQ(day_of({start_of(20240229).ns}), 20240229U);
  EXPECT_EQ(day_of({start_of(20240229).ns - 1}), 20240228U);
  EXPECT_FALSE(parse_day("2023-02-29"));
  EXPECT_TRUE(parse_day("2024-02-29"));
}

TEST(VaultKeeping, RemovesADayWhenItIsOverAndNotBefore) {
  Filled f(4, 1, 30 * kDay);  // 28 November, 28 December, 27 January, 26 February
  f.seal();
  Erasures erasures(*f.vault);
  ASSERT_TRUE(erasures.open({kNoon}));
  std::string notes;
  Keeping keeping(
      *f.vault, erasures, [](const StreamName&) { return kDaysKept; }, [&](const std::string& note) { notes += note; });
  const Day last = add_days(20241128, 90);
  const auto at = [&](Day day, std::uint64_t after) { return Timestamp{start_of(day).ns + after}; };
  std::chrono::nanoseconds clock{0};
  const auto pass = [&](Timestamp wall, Timestamp before) {
    keeping.see(wall, clock += std::chrono::nanoseconds(wall.ns - before.ns), false);
  };
  keeping.see(at(last, kDay - 1), clock, false);
  EXPECT_TRUE(fs::exists(f.segment())) << "ninety days and today";
  pass(at(add_days(last, 1), 600 * kSecond - 1), at(last, kDay - 1));
  EXPECT_TRUE(fs::exists(f.segment())) << "not before ten past midnight";
  pass(at(add_days(last, 1), 600 * kSecond), at(add_days(last, 1), 600 * kSecond - 1));
  EXPECT_FALSE(fs::exists(f.segment())) << notes;
  EXPECT_TRUE(fs::exists(f.segment("2024-12-28-0001.seg")));
  EXPECT_FALSE(must(f.vault->keyring().find(kAcmeComm, 20241128)));
  EXPECT_TRUE(f.verified().ok()) << f.verified().ShortDebugString();
  f.add(1, 30 * kDay);
  EXPECT_EQ(numbers_of(all_of(*f.vault, kAcmeComm)), (std::vector<std::uint64_t>{2, 3, 4, 5}));
  Vault again(f.dir.path());
  EXPECT_EQ(numbers_of(all_of(again, kAcmeComm)), (std::vector<std::uint64_t>{2, 3, 4, 5}));
}

TEST(VaultKeeping, AStreamWhoseDaysAreAllOverGoesOnWithItsNumbers) {
  Filled f(12, 5);
  f.seal();
  ASSERT_TRUE(f.vault->expire({{kAcmeComm, 20241129}}, {kNoon + 91 * kDay}));
  f.vault.reset();
  Vault again(f.dir.path());
  EXPECT_TRUE(all_of(again, kAcmeComm).empty());
  Journal journal(again, fixed_random());
  journal.write({comm_entry(kAcmeCode, kNoon + 92 * kDay)}, {kNoon + 93 * kDay});
  EXPECT_EQ(numbers_of(all_of(again, kAcmeComm)), (std::vector<std::uint64_t>{13}));
  again.seal_hours({}, true);
  ASSERT_TRUE(again.sync());
  ASSERT_TRUE(again.sign({}, true));
  EXPECT_TRUE(f.verified().ok()) << f.verified().ShortDebugString();
}

TEST(VaultKeeping, AClockThatJumpsRemovesNothingUntilItIsInStep) {
  Filled f(1);
  f.seal();
  Erasures erasures(*f.vault);
  ASSERT_TRUE(erasures.open({kNoon}));
  Keeping keeping(
      *f.vault, erasures, [](const StreamName&) { return kDaysKept; }, [](const std::string&) {});
  keeping.see({kNoon}, std::chrono::seconds(0), false);
  const Timestamp leapt{kNoon + 400 * kDay};
  for (int minute = 1; minute < 60; ++minute)
    keeping.see({leapt.ns + static_cast<std::uint64_t>(minute) * 60 * kSecond}, std::chrono::seconds(minute * 60),
                false);
  EXPECT_TRUE(fs::exists(f.segment())) << "nobody vouches for it";
  for (int minute = 60; minute < 70; ++minute)
    keeping.see({leapt.ns + static_cast<std::uint64_t>(minute) * 60 * kSecond}, std::chrono::seconds(minute * 60),
                true);
  EXPECT_TRUE(fs::exists(f.segment())) << "not for ten minutes yet";
  keeping.see({leapt.ns + std::uint64_t{70} * 60 * kSecond}, std::chrono::seconds(70 * 60), true);
  EXPECT_FALSE(fs::exists(f.segment()));
  ClockGuard away(20241128);
  away.see(kNoon + 8 * kDay, {}, false);
  EXPECT_FALSE(away.day()) << "a machine that was off for eight days asks somebody first";
  ClockGuard back(20241128);
  back.see(kNoon + 7 * kDay, {}, false);
  EXPECT_TRUE(back.day());
  ClockGuard early(20241128);
  early.see(kNoon - kDay, {}, false);
  EXPECT_FALSE(early.day());
}

TEST(VaultPressure, GivesUpTheLeastFirst) {
  EXPECT_EQ(pressure_for(50, 100, Pressure::kNone), Pressure::kNone);
  EXPECT_EQ(pressure_for(14, 100, Pressure::kNone), Pressure::kWarning);
  EXPECT_EQ(pressure_for(9, 100, Pressure::kNone), Pressure::kCommStarts);
  EXPECT_EQ(pressure_for(11, 100, Pressure::kCommStarts), Pressure::kCommStarts) << "not at once back";
  EXPECT_EQ(pressure_for(12, 100, Pressure::kCommStarts), Pressure::kWarning);
  EXPECT_EQ(pressure_for(3, 100, Pressure::kNone), Pressure::kAcl);
  EXPECT_EQ(pressure_for(1, 100, Pressure::kNone), Pressure::kFull);
  LogEntry start = comm_entry(), drop = comm_entry(), vpn = make_entry(LogKind::kVpn), deny = make_entry(LogKind::kAcl);
  std::get<CommFields>(drop.body).phase = CommPhase::kDrop;
  std::get<AclFields>(deny.body).phase = AclPhase::kDeny;
  EXPECT_TRUE(takes(Pressure::kWarning, start));
  EXPECT_FALSE(takes(Pressure::kCommStarts, start));
  EXPECT_TRUE(takes(Pressure::kCommEnds, drop));
  EXPECT_FALSE(takes(Pressure::kCommDrops, drop));
  EXPECT_TRUE(takes(Pressure::kAcl, deny));
  EXPECT_FALSE(takes(Pressure::kFull, deny));
  EXPECT_TRUE(takes(Pressure::kFull, make_entry(LogKind::kAudit)));
  EXPECT_TRUE(takes(Pressure::kAcl, vpn));
}

TEST(VaultErasure, WhatWasErasedStaysSoThoughItIsPutBack) {
  Filled f(30);
  LogEntry sec = make_entry(LogKind::kSec);
  sec.svc = kAcmeCode, sec.node = "u0", sec.seq = 1, sec.ts = Timestamp{kNoon};
  ASSERT_EQ(f.vault->append({kAcmeCode, LogKind::kSec}, std::span(&sec, 1)).stored, 1U);
  f.seal();
  const TempDir backup;
  fs::copy(f.dir.path(), backup.path(), fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  {
    Erasures erasures(*f.vault);
    ASSERT_TRUE(erasures.open({kNoon}));
    ipc::EraseLog request;
    request.set_service_code(kAcmeCode), request.add_types("comm"), request.set_what(ipc::EraseLog::NOW),
        request.set_reason("option ended");
    const auto said = erasures.act(request, {kNoon});
    ASSERT_TRUE(said.ok()) << said.error();
    EXPECT_THAT(said.report(), HasSubstr("\"type\":\"comm\",\"records\":30,\"seq_from\":1,\"seq_to\":30"));
    EXPECT_THAT(said.report(), HasSubstr("option ended"));
  }
  f.vault.reset();
  EXPECT_FALSE(fs::exists(f.segment()));
  // Everything but the box's own keys comes back, the tenant's old key file too.
  fs::copy(backup.path() + "/acm00000001", f.dir.path() + "/acm00000001",
           fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  fs::copy_file(backup.path() + "/keys/acm00000001.keys", f.dir.path() + "/keys/acm00000001.keys",
                fs::copy_options::overwrite_existing);
  Vault again(f.dir.path());
  Erasures erasures(again);
  ASSERT_TRUE(erasures.open({kNoon}));
  EXPECT_FALSE(fs::exists(f.segment())) << "removed again";
  EXPECT_TRUE(all_of(again, kAcmeComm).empty());
}

TEST(VaultErasure, ASingleStreamGoesAndTheOthersStay) {
  Filled f(30);
  LogEntry sec = make_entry(LogKind::kSec);
  sec.svc = kAcmeCode, sec.node = "u0", sec.seq = 1, sec.ts = Timestamp{kNoon};
  ASSERT_EQ(f.vault->append(kAcmeSec, std::span(&sec, 1)).stored, 1U);
  f.seal();
  ASSERT_TRUE(f.vault->erase(kAcmeCode, {LogKind::kComm}));
  EXPECT_EQ(all_of(*f.vault, kAcmeSec).size(), 1U);
  EXPECT_TRUE(all_of(*f.vault, kAcmeComm).empty());
  Vault again(f.dir.path());
  EXPECT_EQ(all_of(again, kAcmeSec).size(), 1U) << "its key was sealed anew";
}

TEST(VaultErasure, DeadlinesAreCivilDaysAfterTheEnd) {
  for (const auto& [contract, planned, limit] :
       {std::tuple{ipc::EraseLog::FIREWALL, 60, 90}, std::tuple{ipc::EraseLog::REMOTE_ACCESS, 37, 45},
        std::tuple{ipc::EraseLog::OTHER, 30, 30}}) {
    Filled f(3);
    f.seal();
    Erasures erasures(*f.vault);
    ASSERT_TRUE(erasures.open({kNoon}));
    ipc::EraseLog request;
    request.set_service_code(kAcmeCode), request.set_contract(contract), request.set_end_ns(kNoon + 5 * kDay);
    const auto said = erasures.act(request, {kNoon});
    ASSERT_EQ(said.state(), "scheduled");
    const Day end = add_days(20241128, 5);
    EXPECT_EQ(said.planned_ns(), start_of(add_days(end, planned)).ns);
    EXPECT_EQ(said.limit_ns(), start_of(add_days(end, limit)).ns);
    EXPECT_EQ(must(erasures.run(add_days(end, planned - 1), {kNoon})), 0U);
    EXPECT_EQ(all_of(*f.vault, kAcmeComm).size(), 3U);
    Erasures next(*f.vault);  // a restart in between
    ASSERT_TRUE(next.open({kNoon}));
    EXPECT_EQ(must(next.run(add_days(end, planned), {kNoon})), 1U);
    EXPECT_TRUE(all_of(*f.vault, kAcmeComm).empty());
    request.set_what(ipc::EraseLog::WITHDRAW);
    EXPECT_FALSE(next.act(request, {kNoon}).ok());
  }
}

TEST(VaultErasure, AfterALastOneNothingOfTheTenantIsStoredAndAskedAgainItSaysTheSame) {
  Filled f(3);
  f.seal();
  Erasures erasures(*f.vault);
  ASSERT_TRUE(erasures.open({kNoon}));
  Journal journal(*f.vault, kernel_random());
  journal.set_over([&erasures](const std::string& code) { return erasures.is_over(code); });
  const auto late = [](const std::string& code) {
    LogEntry entry = make_entry(LogKind::kSec);
    entry.svc = code, entry.node = "u0", entry.ts = Timestamp{kNoon};
    return entry;
  };
  journal.write({late(kAcmeCode)}, {kNoon});
  EXPECT_EQ(all_of(*f.vault, kAcmeSec).size(), 1U);
  ipc::EraseLog request;
  request.set_service_code(kAcmeCode), request.set_what(ipc::EraseLog::NOW), request.set_last(true);
  const auto said = erasures.act(request, {kNoon});
  ASSERT_TRUE(said.ok()) << said.error();
  EXPECT_TRUE(erasures.is_over(kAcmeCode));
  EXPECT_FALSE(erasures.is_over("glx00000001"));
  EXPECT_EQ(erasures.act(request, {kNoon + kDay}).report(), said.report());
  journal.write({late(kAcmeCode), late("glx00000001")}, {kNoon});
  journal.retry({kNoon});
  EXPECT_TRUE(all_of(*f.vault, kAcmeSec).empty());
  EXPECT_EQ(all_of(*f.vault, {"glx00000001", LogKind::kSec}).size(), 1U);
  EXPECT_TRUE(journal.settled());
  Erasures next(*f.vault);
  ASSERT_TRUE(next.open({kNoon}));
  EXPECT_TRUE(next.is_over(kAcmeCode)) << "after a restart too";
}

TEST(VaultErasure, IsWithdrawnBeforeTheEndOnly) {
  Filled f(1);
  Erasures erasures(*f.vault);
  ASSERT_TRUE(erasures.open({kNoon}));
  ipc::EraseLog request;
  request.set_service_code(kAcmeCode), request.set_end_ns(kNoon + kDay);
  ASSERT_TRUE(erasures.act(request, {kNoon}).ok());
  request.set_what(ipc::EraseLog::WITHDRAW);
  EXPECT_FALSE(erasures.act(request, {kNoon + kDay}).ok());
  EXPECT_TRUE(erasures.act(request, {kNoon + kDay - 1}).ok());
}

/// A disk that loses power after so many calls: what was not synced is cut off or half there, names that were not
/// synced are gone.
class FailingDisk final : public Disk {
 public:
  FailingDisk(std::size_t calls, unsigned chance) : left_(calls), random_(chance) {}
  int open(const std::string& path) override {
    if (dead()) return -1;
    const bool fresh = !fs::exists(path);
    const int fd = Disk::open(path);
    paths_[fd] = path;
    if (fresh)
      unsynced_names_.insert(path), synced_[path] = 0;
    else
      synced_.try_emplace(path, fs::file_size(path));
    return fd;
  }
  ssize_t write(int fd, const void* data, std::size_t bytes) override {
    return dead() ? -1 : Disk::write(fd, data, bytes);
  }
  int sync(int fd) override {
    if (dead()) return -1;
    synced_[paths_[fd]] = fs::file_size(paths_[fd]);
    return 0;
  }
  int sync_all(const std::string&) override {
    if (dead()) return -1;
    for (auto& [path, bytes] : synced_) bytes = fs::exists(path) ? fs::file_size(path) : 0;
    unsynced_names_.clear(), replaced_.clear();
    return 0;
  }
  int sync_folder(const std::string& path) override {
    if (dead()) return -1;
    std::erase_if(unsynced_names_, [&](const std::string& name) { return name.starts_with(path + "/"); });
    std::erase_if(replaced_, [&](const auto& name) { return name.first.starts_with(path + "/"); });
    return 0;
  }
  int truncate(int fd, std::uint64_t bytes) override {
    if (dead()) return -1;
    synced_[paths_[fd]] = std::min<std::uint64_t>(synced_[paths_[fd]], bytes);
    return Disk::truncate(fd, bytes);
  }
  int rename(const std::string& from, const std::string& to) override {
    if (dead()) return -1;
    if (fs::exists(to))
      replaced_.try_emplace(to, bytes_of(to));
    else
      unsynced_names_.insert(to);
    synced_[to] = synced_[from];
    synced_.erase(from), unsynced_names_.erase(from);
    return Disk::rename(from, to);
  }
  int remove(const std::string& path) override {
    if (dead()) return -1;
    synced_.erase(path);
    return Disk::remove(path);
  }
  int make_folder(const std::string& path) override { return dead() ? -1 : Disk::make_folder(path); }

  /// What a machine finds that starts again.
  void lose_power() {
    for (const auto& [path, bytes] : synced_) {
      if (!fs::exists(path) || fs::file_size(path) <= bytes) continue;
      const std::uint64_t kept = bytes + random_() % (fs::file_size(path) - bytes + 1);
      const bool zeros = random_() % 3 == 0;
      const auto size = fs::file_size(path);
      fs::resize_file(path, kept);
      if (zeros) fs::resize_file(path, size);
    }
    for (const auto& [path, old] : replaced_) {
      if (random_() % 2 == 0) put(path, old);
    }
    for (const std::string& path : unsynced_names_) {
      if (random_() % 2 == 0) fs::remove(path);
    }
  }
  [[nodiscard]] bool is_dead() const { return left_ == 0; }

 private:
  bool dead() {
    errno = EIO;
    if (left_ > 0) --left_;
    return left_ == 0;
  }
  std::size_t left_;
  std::mt19937_64 random_;
  std::map<int, std::string> paths_;
  std::map<std::string, std::uint64_t> synced_;
  std::set<std::string> unsynced_names_;
  std::map<std::string, std::string> replaced_;
};

TEST(VaultPower, NoAcknowledgedRecordIsLostWhereverThePowerFails) {
  bool survived = false;
  for (std::size_t calls = 2; !survived && calls < 2000; ++calls) {
    const TempDir dir;
    std::uint64_t acknowledged = 0;
    FailingDisk disk(calls, static_cast<unsigned>(calls));
    {
      Vault vault(dir.path(), {.segment_bytes_max = 4000, .block_rows = 7}, disk);
      for (std::uint64_t seq = 1; seq <= 60; ++seq) {
        LogEntry entry = comm_entry(kAcmeCode, kNoon + seq * kSecond);
        entry.seq = seq;
        if (vault.append(kAcmeComm, std::span(&entry, 1)).stored != 1) break;
        if (seq % 5 == 0 && !vault.sync()) break;
        if (seq % 5 == 0) acknowledged = seq;
        if (seq % 20 == 0 && !vault.sign({kNoon + 7200 * kSecond})) break;
      }
    }
    survived = !disk.is_dead();
    if (!survived) disk.lose_power();
    Vault again(dir.path(), {.segment_bytes_max = 4000, .block_rows = 7}, real_disk());
    auto numbers = numbers_of(all_of(again, kAcmeComm));
    ASSERT_GE(numbers.size(), acknowledged) << "after " << calls << " calls";
    for (std::size_t i = 0; i < numbers.size(); ++i) ASSERT_EQ(numbers[i], i + 1) << calls;
    LogEntry next = comm_entry(kAcmeCode, kNoon + 100 * kSecond);
    next.seq = numbers.size() + 1;
    ASSERT_EQ(again.append(kAcmeComm, std::span(&next, 1)).stored, 1U) << calls;
    again.seal_hours({}, true);
    ASSERT_TRUE(again.sync());
    ASSERT_TRUE(again.sign({}, true));
    const auto verified = verify_folder(dir.path(), "");
    for (const auto& fault : verified.faults()) EXPECT_THAT(fault.sentence(), HasSubstr("put aside")) << calls;
    ASSERT_EQ(numbers_of(all_of(again, kAcmeComm)).size(), numbers.size() + 1) << calls;
  }
  EXPECT_TRUE(survived);
}

}  // namespace
}  // namespace sekisho::mgmt
