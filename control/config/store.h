// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "control/compile/ids.h"
#include "control/config/box_key.h"

namespace sekisho::control {

enum class RevisionState : std::uint8_t {
  kPending = 0,     ///< stored, and maybe sent; the data plane has not said so
  kRunning = 1,     ///< in force; at most one
  kSuperseded = 2,  ///< was in force
  kFailed = 3,      ///< never was
};
const char* to_text(RevisionState state);

struct RevisionInfo {
  std::uint32_t number = 0;  ///< the generation it is compiled with
  RevisionState state = RevisionState::kPending;
  bool confirmed = false;               ///< running or superseded, and meant to stay
  std::uint64_t created_ns = 0;         ///< Unix time
  std::uint64_t rollback_at_ns = 0;     ///< Unix time; 0 = needs no confirmation
  std::uint32_t copied_from = 0;        ///< 0 = none
  std::string comment;
  std::string author;
};

/// What else is kept: one protobuf message each (base/proto/access.proto, api.Notice), by its key.
enum class RecordKind : std::uint8_t {
  kAccount,
  kConsent,
  kNotice,
  kRevisionScope,
  kSession,
  kApiKey,
  kApproval,
  kDelivery,
  kEndedDocument,  ///< what the owner of an ended contract may still read, by service code
  kLogPressure,    ///< the level of the log's disk that people were told of last
  kPurged,         ///< empty; by the id of an erasure that was carried out in this store
  kLooked,         ///< Unix seconds in decimal: up to when expiries were told
  kRefused,        ///< when somebody who is nobody was refused last: written so that it takes as long as with somebody
};

/// Revisions, and the numbers and UUIDs ever given, in one SQLite file (WAL, synchronous=FULL): what a call has returned
/// from survives kill -9 and power loss. Documents and accounts, with the secrets in them, are sealed under the unit's
/// key (box_key.h). Keeps limits::kRevisionsKeptMax revisions. One thread; one process (the file is locked). Errors: kStore
/// with SQLite's result code.
class Store {
 public:
  /// Opens or makes DIRECTORY/config.db. One of an earlier version is sealed, and what was in clear overwritten.
  static Result<Store> open(const std::string& directory);
  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;
  ~Store();

  Result<void> load_ids(Ids& ids);
  /// Above every number ever given.
  Result<std::uint32_t> next_number();
  /// Stores `revision` as pending with the ids that are new with it, in one transaction.
  Result<void> add_pending(const RevisionInfo& revision, const std::string& text, Ids& ids);
  /// Pending to running, the former running one to superseded; confirmed if it needs no confirmation.
  Result<void> mark_running(std::uint32_t number);
  Result<void> mark_failed(std::uint32_t number);
  Result<void> mark_confirmed(std::uint32_t number);

  Result<std::optional<RevisionInfo>> pending();
  Result<std::optional<RevisionInfo>> running();
  /// The newest revision that was in force and meant to stay.
  Result<std::optional<RevisionInfo>> last_confirmed();
  Result<std::optional<RevisionInfo>> find(std::uint32_t number);
  /// Newest first.
  Result<std::vector<RevisionInfo>> list(std::uint32_t limit);
  /// kNotFound: no such revision is kept.
  Result<std::string> text(std::uint32_t number);

  struct Record {
    std::string key;
    std::string value;
  };
  /// Adds or replaces.
  Result<void> put(RecordKind kind, std::string_view key, std::string_view value);
  Result<void> remove(RecordKind kind, std::string_view key);
  /// By key.
  Result<std::vector<Record>> records(RecordKind kind);
  /// kNotFound: there is no such record.
  Result<std::string> get(RecordKind kind, std::string_view key);

  /// Puts another text in the place of a revision's, where `change` gives one. Returns how many.
  Result<std::uint64_t> rewrite(
      const std::function<std::optional<std::string>(std::uint32_t number, const std::string& text)>& change);
  /// Takes comment and author off a revision.
  Result<void> forget_author(std::uint32_t number);
  /// Takes a tenant's names out of numbers and UUIDs (of its remote users alone with `users_alone`); the numbers stay given.
  Result<std::uint64_t> forget_names(const std::string& service_code, bool users_alone);
  /// Leaves nothing of what was taken out in the file.
  Result<void> compact();
  /// All numbers and UUIDs ever given.
  Result<std::vector<Ids::NewNumber>> numbers();
  Result<std::vector<Ids::NewUuid>> uuids();

 private:
  struct Handle;
  explicit Store(std::unique_ptr<Handle> handle);
  Result<std::optional<RevisionInfo>> first(const char* where, std::uint32_t number);
  Result<void> insert_ids(const Ids& ids);
  Result<void> seal_all();
  std::unique_ptr<Handle> handle_;
};

}  // namespace sekisho::control
