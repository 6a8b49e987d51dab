// SPDX-License-Identifier: Apache-2.0
#include "control/config/store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <cstring>
#include <map>

#include "base/limits.h"
#include "base/os/fd.h"

namespace sekisho::control {
namespace {

constexpr int kSchemaVersion = 3;
constexpr const char* kSchema = R"(
CREATE TABLE revisions(number INTEGER PRIMARY KEY, state INTEGER NOT NULL, confirmed INTEGER NOT NULL, created_ns INTEGER NOT NULL,
  rollback_at_ns INTEGER NOT NULL, copied_from INTEGER NOT NULL, comment TEXT NOT NULL, author TEXT NOT NULL, text TEXT NOT NULL) STRICT;
CREATE UNIQUE INDEX one_pending ON revisions(state) WHERE state = 0;
CREATE UNIQUE INDEX one_running ON revisions(state) WHERE state = 1;
CREATE TABLE numbers(kind INTEGER NOT NULL, key TEXT NOT NULL, number INTEGER NOT NULL,
                     PRIMARY KEY(kind, key), UNIQUE(kind, number)) STRICT;
CREATE TABLE uuids(key TEXT PRIMARY KEY, uuid BLOB NOT NULL UNIQUE) STRICT;
)";
/// What is new since version 1.
constexpr const char* kSchema2 = R"(
CREATE TABLE records(kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY(kind, key)) STRICT;
)";
/// What is new since version 2: `text` is empty, and the document sealed; the operation log, which was here, is the log vault's.
constexpr const char* kSchema3 = R"(
ALTER TABLE revisions ADD COLUMN sealed BLOB NOT NULL DEFAULT x'';
DROP TABLE IF EXISTS acts;
PRAGMA user_version = 3;
)";
constexpr const char* kColumns = "number, state, confirmed, created_ns, rollback_at_ns, copied_from, comment, author";

Error store_error(int code) {
  return {ErrorCode::kUnavailable, ErrorSite::kStore, static_cast<std::uint32_t>(code)};
}

/// One prepared statement: bound in order, stepped, finalised.
class Statement {
 public:
  Statement(sqlite3* db, const std::string& sql) {
    status_ = sqlite3_prepare_v2(db, sql.c_str(), static_cast<int>(sql.size()), &statement_, nullptr);
  }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement() { sqlite3_finalize(statement_); }

  Statement& bind(std::uint64_t value) {
    return note(sqlite3_bind_int64(statement_, ++bound_, static_cast<sqlite3_int64>(value)));
  }
  Statement& bind(std::string_view value) {
    return note(
        sqlite3_bind_text(statement_, ++bound_, value.data(), static_cast<int>(value.size()), SQLITE_TRANSIENT));
  }
  /// As BLOB: any bytes.
  Statement& bind_bytes(std::string_view value) {
    return note(sqlite3_bind_blob(statement_, ++bound_, value.data(), static_cast<int>(value.size()), SQLITE_TRANSIENT));
  }
  Statement& bind(const Uuid& value) {
    return note(
        sqlite3_bind_blob(statement_, ++bound_, value.data(), static_cast<int>(value.size()), SQLITE_TRANSIENT));
  }
  /// True while there is a row.
  Result<bool> step() {
    if (status_ != SQLITE_OK) return store_error(status_);
    const int code = sqlite3_step(statement_);
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    return store_error(code);
  }
  Result<void> run() {
    auto row = step();
    if (!row) return row.error();
    return {};
  }
  void again() {
    sqlite3_reset(statement_);
    bound_ = 0;
  }
  [[nodiscard]] std::uint64_t number(int column) const {
    return static_cast<std::uint64_t>(sqlite3_column_int64(statement_, column));
  }
  [[nodiscard]] std::string text(int column) const {
    const void* bytes = sqlite3_column_blob(statement_, column);
    const int size = sqlite3_column_bytes(statement_, column);
    return size > 0 ? std::string(static_cast<const char*>(bytes), static_cast<std::size_t>(size)) : std::string();
  }

 private:
  Statement& note(int status) {
    if (status_ == SQLITE_OK) status_ = status;
    return *this;
  }
  sqlite3_stmt* statement_ = nullptr;
  int status_ = SQLITE_OK;
  int bound_ = 0;
};

Result<void> execute(sqlite3* db, const char* sql) {
  const int code = sqlite3_exec(db, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return store_error(code);
  return {};
}

/// Rolls back unless commit() was reached.
class Transaction {
 public:
  explicit Transaction(sqlite3* db) : db_(db), begun_(execute(db, "BEGIN IMMEDIATE")) {}
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction() {
    if (begun_.has_value() && !done_) sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
  }
  [[nodiscard]] Result<void> begun() const { return begun_; }
  Result<void> commit() {
    SEKISHO_CHECK_OK(execute(db_, "COMMIT"));
    done_ = true;
    return {};
  }

 private:
  sqlite3* db_;
  Result<void> begun_;
  bool done_ = false;
};

RevisionInfo read_revision(const Statement& row) {
  RevisionInfo out;
  out.number = static_cast<std::uint32_t>(row.number(0));
  out.state = static_cast<RevisionState>(row.number(1));
  out.confirmed = row.number(2) != 0;
  out.created_ns = row.number(3);
  out.rollback_at_ns = row.number(4);
  out.copied_from = static_cast<std::uint32_t>(row.number(5));
  out.comment = row.text(6);
  out.author = row.text(7);
  return out;
}

}  // namespace

struct Store::Handle {
  sqlite3* db = nullptr;
  std::optional<BoxKey> key;
  Handle() = default;
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { sqlite3_close(db); }
};

const char* to_text(RevisionState state) {
  switch (state) {
    case RevisionState::kPending:
      return "pending";
    case RevisionState::kRunning:
      return "running";
    case RevisionState::kSuperseded:
      return "superseded";
    case RevisionState::kFailed:
      return "failed";
  }
  return "unknown";
}

namespace {

std::string_view to_text(RecordKind kind) {
  switch (kind) {
    case RecordKind::kAccount:
      return "account";
    case RecordKind::kConsent:
      return "consent";
    case RecordKind::kNotice:
      return "notice";
    case RecordKind::kRevisionScope:
      return "revision";
    case RecordKind::kEndedDocument:
      return "ended";
    case RecordKind::kLogPressure:
      return "log pressure";
    case RecordKind::kPurged:
      return "purged";
    case RecordKind::kSession:
      return "session";
    case RecordKind::kApiKey:
      return "key";
    case RecordKind::kApproval:
      return "approval";
    case RecordKind::kDelivery:
      return "delivery";
    case RecordKind::kLooked:
      return "looked";
    case RecordKind::kRefused:
      return "refused";
  }
  return "unknown";
}

/// Where a revision's document or a record is kept, as its seal names it.
std::string place_of(std::uint64_t number) { return "revision " + std::to_string(number); }
std::string place_of(RecordKind kind, std::string_view key) { return std::string(to_text(kind)) + ' ' + std::string(key); }

/// Records that hold secrets: the others are read by whoever mends a store.
bool is_sealed(RecordKind kind) {
  return kind != RecordKind::kConsent && kind != RecordKind::kNotice && kind != RecordKind::kRevisionScope && kind != RecordKind::kPurged &&
         kind != RecordKind::kLogPressure && kind != RecordKind::kLooked;
}

}  // namespace

Store::Store(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

Result<Store> Store::open(const std::string& directory) {
  auto handle = std::make_unique<Handle>();
  const std::string path = directory + "/config.db";
  // Passwords' hashes and private keys are in it: ours alone, whatever it was before. SQLite gives its other files the same mode.
  {  // closed before SQLite locks it: a close ends every lock of the process on the file
    const Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file.valid() || ::fchmod(file.get(), 0600) != 0) return store_error(SQLITE_CANTOPEN);
  }
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
  if (const int code = sqlite3_open_v2(path.c_str(), &handle->db, flags, nullptr); code != SQLITE_OK)
    return store_error(code);
  sqlite3_extended_result_codes(handle->db, 1);
  // EXCLUSIVE: a second controld on one state directory is refused at its first write.
  SEKISHO_CHECK_OK(
      execute(handle->db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
                          "PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;"));
  int version = 0;
  {
    Statement query(handle->db, "PRAGMA user_version");
    SEKISHO_TRY(const bool row, query.step());
    if (row) version = static_cast<int>(query.number(0));
  }
  if (version > kSchemaVersion) return Error{ErrorCode::kUnsupported, ErrorSite::kStore, static_cast<std::uint32_t>(version)};
  SEKISHO_TRY(BoxKey key, BoxKey::open(directory, version < kSchemaVersion));
  handle->key.emplace(std::move(key));
  Store out(std::move(handle));
  sqlite3* const db = out.handle_->db;
  if (version == kSchemaVersion) return out;
  {
    Transaction transaction(db);
    SEKISHO_CHECK_OK(transaction.begun());
    if (version == 0) SEKISHO_CHECK_OK(execute(db, kSchema));
    if (version < 2) SEKISHO_CHECK_OK(execute(db, kSchema2));
    SEKISHO_CHECK_OK(execute(db, kSchema3));
    SEKISHO_CHECK_OK(out.seal_all());
    SEKISHO_CHECK_OK(transaction.commit());
  }
  // Nothing of what was in clear stays in pages that are free, or in the log of writes.
  SEKISHO_CHECK_OK(execute(db, "VACUUM; PRAGMA wal_checkpoint(TRUNCATE);"));
  return out;
}

/// Within a transaction: what an earlier version left in clear.
Result<void> Store::seal_all() {
  std::vector<std::pair<std::uint64_t, std::string>> texts;
  Statement query(handle_->db, "SELECT number, text FROM revisions");
  for (;;) {
    SEKISHO_TRY(const bool row, query.step());
    if (!row) break;
    texts.emplace_back(query.number(0), query.text(1));
  }
  for (const auto& [number, text] : texts) {
    Statement update(handle_->db, "UPDATE revisions SET text = '', sealed = ? WHERE number = ?");
    SEKISHO_CHECK_OK(update.bind_bytes(handle_->key->seal(place_of(number), text)).bind(number).run());
  }
  std::vector<Record> accounts;
  Statement clear(handle_->db, "SELECT key, value FROM records WHERE kind = 'account'");
  for (;;) {
    SEKISHO_TRY(const bool row, clear.step());
    if (!row) break;
    accounts.push_back({clear.text(0), clear.text(1)});
  }
  for (const Record& one : accounts) SEKISHO_CHECK_OK(put(RecordKind::kAccount, one.key, one.value));
  return {};
}

Result<void> Store::load_ids(Ids& ids) {
  Statement numbers(handle_->db, "SELECT kind, key, number FROM numbers");
  for (;;) {
    SEKISHO_TRY(const bool row, numbers.step());
    if (!row) break;
    if (numbers.number(0) >= kIdKinds) return Error{ErrorCode::kMalformed, ErrorSite::kStore, 0};
    ids.load_number(static_cast<IdKind>(numbers.number(0)), numbers.text(1),
                    static_cast<std::uint32_t>(numbers.number(2)));
  }
  Statement uuids(handle_->db, "SELECT key, uuid FROM uuids");
  for (;;) {
    SEKISHO_TRY(const bool row, uuids.step());
    if (!row) return {};
    const std::string bytes = uuids.text(1);
    Uuid uuid{};
    if (bytes.size() != uuid.size()) return Error{ErrorCode::kMalformed, ErrorSite::kStore, 0};
    std::memcpy(uuid.data(), bytes.data(), uuid.size());
    ids.load_uuid(uuids.text(0), uuid);
  }
}

Result<std::uint32_t> Store::next_number() {
  Statement query(handle_->db, "SELECT coalesce(max(number), 0) FROM revisions");
  SEKISHO_TRY(const bool row, query.step());
  return row ? static_cast<std::uint32_t>(query.number(0)) + 1 : 1U;
}

Result<void> Store::insert_ids(const Ids& ids) {
  Statement number(handle_->db, "INSERT INTO numbers(kind, key, number) VALUES(?, ?, ?)");
  for (const auto& fresh : ids.new_numbers()) {
    number.again();
    SEKISHO_CHECK_OK(number.bind(static_cast<std::uint64_t>(fresh.kind)).bind(fresh.key).bind(fresh.number).run());
  }
  Statement uuid(handle_->db, "INSERT INTO uuids(key, uuid) VALUES(?, ?)");
  for (const auto& fresh : ids.new_uuids()) {
    uuid.again();
    SEKISHO_CHECK_OK(uuid.bind(fresh.key).bind(fresh.uuid).run());
  }
  return {};
}

Result<void> Store::add_pending(const RevisionInfo& revision, const std::string& text, Ids& ids) {
  Transaction transaction(handle_->db);
  SEKISHO_CHECK_OK(transaction.begun());
  Statement insert(
      handle_->db,
      "INSERT INTO revisions(number, state, confirmed, created_ns, rollback_at_ns, copied_from, comment, author, text, sealed) "
      "VALUES(?, 0, 0, ?, ?, ?, ?, ?, '', ?)");
  SEKISHO_CHECK_OK(insert.bind(revision.number)
                       .bind(revision.created_ns)
                       .bind(revision.rollback_at_ns)
                       .bind(revision.copied_from)
                       .bind(revision.comment)
                       .bind(revision.author)
                       .bind_bytes(handle_->key->seal(place_of(revision.number), text))
                       .run());
  SEKISHO_CHECK_OK(insert_ids(ids));
  Statement prune(handle_->db,
                  "DELETE FROM revisions WHERE state > 1 "
                  "AND number NOT IN (SELECT number FROM revisions ORDER BY number DESC LIMIT ?) "
                  "AND number IS NOT (SELECT max(number) FROM revisions WHERE confirmed = 1)");
  SEKISHO_CHECK_OK(prune.bind(limits::kRevisionsKeptMax).run());
  SEKISHO_CHECK_OK(transaction.commit());
  ids.settle();
  return {};
}

Result<void> Store::mark_running(std::uint32_t number) {
  Transaction transaction(handle_->db);
  SEKISHO_CHECK_OK(transaction.begun());
  SEKISHO_CHECK_OK(execute(handle_->db, "UPDATE revisions SET state = 2 WHERE state = 1"));
  Statement update(handle_->db,
                   "UPDATE revisions SET state = 1, confirmed = (rollback_at_ns = 0) WHERE number = ? AND state = 0");
  SEKISHO_CHECK_OK(update.bind(number).run());
  if (sqlite3_changes(handle_->db) != 1) return Error{ErrorCode::kNotFound, ErrorSite::kStore, number};
  return transaction.commit();
}

Result<void> Store::mark_failed(std::uint32_t number) {
  Statement update(handle_->db, "UPDATE revisions SET state = 3 WHERE number = ? AND state = 0");
  return update.bind(number).run();
}

Result<void> Store::mark_confirmed(std::uint32_t number) {
  Statement update(handle_->db,
                   "UPDATE revisions SET confirmed = 1, rollback_at_ns = 0 WHERE number = ? AND state = 1");
  return update.bind(number).run();
}

Result<std::optional<RevisionInfo>> Store::first(const char* where, std::uint32_t number) {
  Statement query(handle_->db, std::string("SELECT ") + kColumns + " FROM revisions WHERE " + where +
                                   " ORDER BY number DESC LIMIT 1");
  if (number != 0) query.bind(number);
  SEKISHO_TRY(const bool row, query.step());
  if (!row) return std::optional<RevisionInfo>();
  return std::optional<RevisionInfo>(read_revision(query));
}

Result<std::optional<RevisionInfo>> Store::pending() {
  return first("state = 0", 0);
}
Result<std::optional<RevisionInfo>> Store::running() {
  return first("state = 1", 0);
}
Result<std::optional<RevisionInfo>> Store::last_confirmed() {
  return first("confirmed = 1", 0);
}
Result<std::optional<RevisionInfo>> Store::find(std::uint32_t number) {
  if (number == 0) return std::optional<RevisionInfo>();
  return first("number = ?", number);
}

Result<std::vector<RevisionInfo>> Store::list(std::uint32_t limit) {
  Statement query(handle_->db, std::string("SELECT ") + kColumns + " FROM revisions ORDER BY number DESC LIMIT ?");
  query.bind(limit);
  std::vector<RevisionInfo> out;
  for (;;) {
    SEKISHO_TRY(const bool row, query.step());
    if (!row) return out;
    out.push_back(read_revision(query));
  }
}

Result<std::string> Store::text(std::uint32_t number) {
  Statement query(handle_->db, "SELECT sealed FROM revisions WHERE number = ?");
  query.bind(number);
  SEKISHO_TRY(const bool row, query.step());
  if (!row) return Error{ErrorCode::kNotFound, ErrorSite::kStore, number};
  return handle_->key->open(place_of(number), query.text(0));
}

Result<void> Store::put(RecordKind kind, std::string_view key, std::string_view value) {
  Statement put(handle_->db, "INSERT INTO records(kind, key, value) VALUES(?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value");
  const std::string sealed = is_sealed(kind) ? handle_->key->seal(place_of(kind, key), value) : std::string();
  return put.bind(to_text(kind)).bind(key).bind_bytes(is_sealed(kind) ? std::string_view(sealed) : value).run();
}

Result<void> Store::remove(RecordKind kind, std::string_view key) {
  Statement remove(handle_->db, "DELETE FROM records WHERE kind = ? AND key = ?");
  return remove.bind(to_text(kind)).bind(key).run();
}

Result<std::vector<Store::Record>> Store::records(RecordKind kind) {
  Statement query(handle_->db, "SELECT key, value FROM records WHERE kind = ? ORDER BY key");
  query.bind(to_text(kind));
  std::vector<Record> out;
  for (;;) {
    SEKISHO_TRY(const bool row, query.step());
    if (!row) return out;
    Record& one = out.emplace_back(Record{query.text(0), query.text(1)});
    if (!is_sealed(kind)) continue;
    SEKISHO_TRY(one.value, handle_->key->open(place_of(kind, one.key), one.value));
  }
}

Result<std::string> Store::get(RecordKind kind, std::string_view key) {
  Statement query(handle_->db, "SELECT value FROM records WHERE kind = ? AND key = ?");
  query.bind(to_text(kind)).bind(key);
  SEKISHO_TRY(const bool row, query.step());
  if (!row) return Error{ErrorCode::kNotFound, ErrorSite::kStore, 0};
  std::string value = query.text(0);
  if (is_sealed(kind)) return handle_->key->open(place_of(kind, key), value);
  return value;
}

Result<std::uint64_t> Store::rewrite(
    const std::function<std::optional<std::string>(std::uint32_t number, const std::string& text)>& change) {
  std::map<std::uint32_t, std::string> fresh;
  Statement query(handle_->db, "SELECT number, sealed FROM revisions");
  for (;;) {
    SEKISHO_TRY(const bool row, query.step());
    if (!row) break;
    const auto number = static_cast<std::uint32_t>(query.number(0));
    SEKISHO_TRY(const std::string text, handle_->key->open(place_of(number), query.text(1)));
    if (auto other = change(number, text)) fresh[number] = std::move(*other);
  }
  Transaction transaction(handle_->db);
  SEKISHO_CHECK_OK(transaction.begun());
  Statement update(handle_->db, "UPDATE revisions SET sealed = ? WHERE number = ?");
  for (const auto& [number, text] : fresh) {
    update.again();
    SEKISHO_CHECK_OK(update.bind_bytes(handle_->key->seal(place_of(number), text)).bind(number).run());
  }
  SEKISHO_CHECK_OK(transaction.commit());
  return fresh.size();
}

Result<void> Store::forget_author(std::uint32_t number) {
  Statement update(handle_->db, "UPDATE revisions SET comment = '', author = '' WHERE number = ?");
  return update.bind(number).run();
}

Result<std::uint64_t> Store::forget_names(const std::string& service_code, bool users_alone) {
  constexpr const char* kOf = " WHERE (key = ?1 OR key LIKE ?1 || char(31) || '%' "
                              "OR key LIKE 'tenant' || char(31) || ?1 || char(31) || '%')";
  std::uint64_t gone = 0;
  Statement names(handle_->db, std::string("UPDATE numbers SET key = 'erased' || char(31) || kind || char(31) || number") + kOf +
                                   (users_alone ? " AND kind = ?2" : ""));
  names.bind(service_code);
  if (users_alone) names.bind(static_cast<std::uint64_t>(IdKind::kUser));
  SEKISHO_CHECK_OK(names.run());
  gone += static_cast<std::uint64_t>(sqlite3_changes(handle_->db));
  if (users_alone) return gone;
  Statement uuids(handle_->db, std::string("DELETE FROM uuids") + kOf);
  SEKISHO_CHECK_OK(uuids.bind(service_code).run());
  return gone + static_cast<std::uint64_t>(sqlite3_changes(handle_->db));
}

Result<void> Store::compact() {
  SEKISHO_CHECK_OK(execute(handle_->db, "VACUUM"));
  return execute(handle_->db, "PRAGMA wal_checkpoint(TRUNCATE)");
}

Result<std::vector<Ids::NewNumber>> Store::numbers() {
  Statement query(handle_->db, "SELECT kind, key, number FROM numbers");
  std::vector<Ids::NewNumber> out;
  for (;;) {
    SEKISHO_TRY(const bool row, query.step());
    if (!row) return out;
    out.push_back({static_cast<IdKind>(query.number(0)), query.text(1), static_cast<std::uint32_t>(query.number(2))});
  }
}

Result<std::vector<Ids::NewUuid>> Store::uuids() {
  Statement query(handle_->db, "SELECT key, uuid FROM uuids");
  std::vector<Ids::NewUuid> out;
  for (;;) {
    SEKISHO_TRY(const bool row, query.step());
    if (!row) return out;
    Ids::NewUuid next{query.text(0), {}};
    const std::string bytes = query.text(1);
    if (bytes.size() != next.uuid.size()) return Error{ErrorCode::kMalformed, ErrorSite::kStore, 0};
    std::memcpy(next.uuid.data(), bytes.data(), next.uuid.size());
    out.push_back(std::move(next));
  }
}

}  // namespace sekisho::control
