// SPDX-License-Identifier: Apache-2.0
// Goal: whoever has a copy of the store alone finds no document, no hash and no second factor in it.
#include "control/config/store.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace sekisho::control {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view kHash = "44EBBA8D5312B8D611474411F56989AE", kTotp = "a second factor's secret";

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream out;
  out << file.rdbuf();
  return out.str();
}

class StoreAtRest : public testing::Test {
 protected:
  StoreAtRest() {
    std::string folder = (fs::temp_directory_path() / "store-XXXXXX").string();
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
  }
  ~StoreAtRest() override { fs::remove_all(folder_); }
  /// Whether any file but the key holds these bytes.
  [[nodiscard]] bool found(std::string_view text) const {
    return std::ranges::any_of(fs::directory_iterator(folder_), [&](const fs::directory_entry& one) {
      return one.path().filename() != "config.key" && bytes_of(one.path()).find(text) != std::string::npos;
    });
  }
  void fill(Store& store) {
    Ids ids;
    RevisionInfo revision;
    revision.number = 1;
    ASSERT_TRUE(store.add_pending(revision, "nt_hash: " + std::string(kHash), ids).has_value());
    ASSERT_TRUE(store.put(RecordKind::kAccount, "ito", kTotp).has_value());
    ASSERT_TRUE(store.put(RecordKind::kNotice, "n", "hello").has_value());
  }
  static void expect_all(Store& store) {
    EXPECT_EQ(store.text(1).value(), "nt_hash: " + std::string(kHash));
    const auto accounts = store.records(RecordKind::kAccount).value();
    ASSERT_EQ(accounts.size(), 1U);
    EXPECT_EQ(accounts[0].value, kTotp);
    EXPECT_EQ(store.records(RecordKind::kNotice).value().at(0).value, "hello");
  }
  fs::path folder_;
};

TEST_F(StoreAtRest, HoldsNoSecretInClearAndOpensAgain) {
  {
    Store store = Store::open(folder_).value();
    fill(store);
    EXPECT_FALSE(found(kHash));
    EXPECT_FALSE(found(kTotp));
    EXPECT_TRUE(found("hello")) << "or the search finds nothing at all";
    expect_all(store);
  }
  struct stat key{};
  ASSERT_EQ(::stat((folder_ / "config.key").c_str(), &key), 0);
  EXPECT_EQ(key.st_mode & 0777U, 0600U);
  Store again = Store::open(folder_).value();
  expect_all(again);
}

TEST_F(StoreAtRest, OpensWithItsOwnKeyAlone) {
  {
    Store store = Store::open(folder_).value();
    fill(store);
  }
  const std::string key = bytes_of(folder_ / "config.key");
  fs::remove(folder_ / "config.key");
  const auto without = Store::open(folder_);
  ASSERT_FALSE(without.has_value());
  EXPECT_EQ(without.error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(fs::exists(folder_ / "config.key")) << "a new one would hide that the old is gone";
  std::ofstream(folder_ / "config.key", std::ios::binary) << key.substr(0, key.size() - 1) << static_cast<char>(key.back() ^ 1);
  Store other = Store::open(folder_).value();
  EXPECT_FALSE(other.text(1).has_value());
  EXPECT_FALSE(other.records(RecordKind::kAccount).has_value());
}

TEST_F(StoreAtRest, OfAnEarlierVersionIsSealedWhenItIsOpened) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open((folder_ / "config.db").c_str(), &db), SQLITE_OK);
  const std::string sql = R"(
CREATE TABLE revisions(number INTEGER PRIMARY KEY, state INTEGER NOT NULL, confirmed INTEGER NOT NULL, created_ns INTEGER NOT NULL,
  rollback_at_ns INTEGER NOT NULL, copied_from INTEGER NOT NULL, comment TEXT NOT NULL, author TEXT NOT NULL, text TEXT NOT NULL) STRICT;
CREATE TABLE numbers(kind INTEGER NOT NULL, key TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY(kind, key), UNIQUE(kind, number)) STRICT;
CREATE TABLE uuids(key TEXT PRIMARY KEY, uuid BLOB NOT NULL UNIQUE) STRICT;
CREATE TABLE records(kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY(kind, key)) STRICT;
CREATE TABLE acts(number INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, value BLOB NOT NULL) STRICT;
INSERT INTO revisions VALUES(1, 1, 1, 0, 0, 0, '', '', 'nt_hash: )" + std::string(kHash) + R"(');
INSERT INTO records VALUES('account', 'ito', CAST(')" + "a second factor''s secret" + R"(' AS BLOB));
INSERT INTO records VALUES('notice', 'n', CAST('hello' AS BLOB));
PRAGMA user_version = 2;)";
  ASSERT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
  sqlite3_close(db);
  ASSERT_TRUE(found(kHash));
  ASSERT_TRUE(found(kTotp));
  Store store = Store::open(folder_).value();
  expect_all(store);
  EXPECT_FALSE(found(kHash));
  EXPECT_FALSE(found(kTotp));
}

}  // namespace
}  // namespace sekisho::control
