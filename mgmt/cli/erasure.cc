// SPDX-License-Identifier: Apache-2.0
#include "mgmt/cli/erasure.h"

#include <cctype>
#include <fstream>
#include <iterator>

#include "base/crypto/passphrase_box.h"
#include "base/crypto/recipient_box.h"
#include "base/crypto/sha256.h"
#include "base/crypto/signature.h"
#include "base/describe.h"
#include "base/os/durable_file.h"
#include "base/proto/erasure.pb.h"
#include "base/time/civil_day.h"
#include "mgmt/cli/answer.h"
#include "mgmt/cli/control_client.h"
#include "mgmt/cli/text_table.h"
#include "mgmt/log/vault/manifest.h"

namespace sekisho::mgmt {
namespace {

using erasure::StoredErasure;

constexpr BoxKind kBackupKind = "SKBACK01";
constexpr std::size_t kPassphraseBytesMin = 12;
constexpr std::string_view kSignature = ",\"signature\":\"";

std::optional<std::string> read_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  return std::string{std::istreambuf_iterator<char>(in), {}};
}

ByteSpan span_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// The first line of a file.
std::variant<std::string, ControlError> passphrase_of(const std::string& file) {
  if (file.empty()) return ControlError{false, "say whose it is: --passphrase-file, or --recipients of create"};
  auto text = read_bytes(file);
  if (!text) return ControlError{false, file + ": cannot be read"};
  text->resize(std::min(text->size(), text->find('\n')));
  if (text->size() < kPassphraseBytesMin) return ControlError{false, "a passphrase has at least 12 characters"};
  return *text;
}

/// Whether the text up to the last signature was signed by this key. Nothing: there is no signature.
std::optional<bool> is_signed(std::string_view text, const std::string& key_bytes) {
  const std::size_t at = text.rfind(kSignature);
  if (at == std::string_view::npos || key_bytes.size() != std::tuple_size_v<SigningPublic>) return std::nullopt;
  const std::size_t begin = at + kSignature.size(), end = text.find('"', begin);
  Signature signature;
  if (end == std::string_view::npos || !parse_hex(text.substr(begin, end - begin), signature)) return std::nullopt;
  SigningPublic key;
  std::copy(key_bytes.begin(), key_bytes.end(), key.begin());
  return verify_signature(key, span_of(text.substr(0, at)), signature);
}

/// The log's own report inside a report; empty: there is none.
std::string_view log_part(std::string_view text) {
  constexpr std::string_view kLog = ",\"log\":{";
  const std::size_t begin = text.find(kLog), end = text.rfind(kSignature);
  if (begin == std::string_view::npos || end == std::string_view::npos || end < begin) return {};
  return text.substr(begin + kLog.size() - 1, end - begin - kLog.size() + 1);
}

std::string state_text(StoredErasure::State state) {
  std::string out = StoredErasure::State_Name(state);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

std::string day_before(std::int64_t end) {
  return day_text(day_at(end - 1));
}

ipc::Table table_of(const ipc::LocalErasureDone& done) {
  ipc::Table out;
  for (const char* title : {"TENANT", "WHAT", "STATE", "LAST DAY", "ERASED", "REASON"}) {
    auto& column = *out.add_columns();
    column.set_title(title);
    column.set_key(title);
    for (char& c : *column.mutable_key()) c = c == ' ' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  for (const StoredErasure& one : done.erasures()) {
    auto& row = *out.add_rows();
    row.add_cells(one.tenant());
    row.add_cells(one.scope() == StoredErasure::CONTRACT ? "contract" : "remote access");
    row.add_cells(state_text(one.state()));
    row.add_cells(day_before(one.end()));
    row.add_cells(one.erased() == 0 ? "" : day_text(day_at(one.erased())));
    row.add_cells(one.reason());
  }
  return out;
}

std::variant<ipc::LocalErasureDone, ControlError> ask(Session& session, const ErasureRequest& request) {
  ipc::ToControl question;
  auto& asked = *question.mutable_local_erasure();
  asked.set_what(request.what);
  if (!request.tenant.empty()) {
    const auto code = service_code_of(session, request.tenant);
    if (const auto* error = std::get_if<ControlError>(&code)) return *error;
    asked.set_tenant(std::get<std::string>(code));
  }
  asked.set_scope(request.scope == "remote-access" ? StoredErasure::REMOTE_ACCESS : StoredErasure::CONTRACT);
  asked.set_contract(request.contract == "remote-access" ? ipc::EraseLog::REMOTE_ACCESS
                     : request.contract == "other"       ? ipc::EraseLog::OTHER
                                                         : ipc::EraseLog::FIREWALL);
  asked.set_end(request.end);
  asked.set_reason(request.reason);
  const auto answer = ask_control(session.run_dir, std::move(question));
  if (const auto* error = std::get_if<ControlError>(&answer)) return *error;
  const auto& message = std::get<ControlAnswer>(answer).message;
  if (!message.has_local_erasure_done()) return ControlError{false, "controld answered something else"};
  if (!message.local_erasure_done().error().empty()) return ControlError{false, message.local_erasure_done().error()};
  return message.local_erasure_done();
}

}  // namespace

ExitStatus manage_erasures(Session& session, const ErasureRequest& request) {
  const auto asked = ask(session, request);
  if (const auto* error = std::get_if<ControlError>(&asked)) return fail(session, *error);
  const auto& done = std::get<ipc::LocalErasureDone>(asked);
  const ipc::Table table = table_of(done);
  session.out << (session.json ? render_table_json(table) : render_table(table, session.colour));
  return ExitStatus::kOk;
}

ExitStatus write_unit_key(Session& session, const std::string& file) {
  const auto asked = ask(session, {});
  if (const auto* error = std::get_if<ControlError>(&asked)) return fail(session, *error);
  if (!replace_durably(file, span_of(std::get<ipc::LocalErasureDone>(asked).public_key()), 0644))
    return fail(session, {false, file + ": could not be written"});
  return done(session, JsonObject().text("file", file), file + ": the unit's public key");
}

ExitStatus verify_report(Session& session, const ReportRequest& request) {
  const auto text = read_bytes(request.file), key = read_bytes(request.key);
  if (!text || !key) return fail(session, {false, (text ? request.key : request.file) + ": cannot be read"});
  const auto unit = is_signed(*text, *key);
  if (!unit) return fail(session, {false, request.file + " is no report, or " + request.key + " is no key"});
  if (!*unit) return fail(session, {false, "the report was changed, or is another unit's"});
  if (!request.log_key.empty()) {
    const auto log_key = read_bytes(request.log_key);
    const auto log = log_key ? is_signed(log_part(*text), *log_key) : std::nullopt;
    if (!log) return fail(session, {false, "the report has no part of the log's, or " + request.log_key + " is no key"});
    if (!*log) return fail(session, {false, "the log's part of the report was changed, or is another log's"});
  }
  return done(session, JsonObject().text("file", request.file), "The report is as this unit signed it.");
}

namespace {

/// By what a backup is sealed.
struct Seal {
  std::string passphrase, certificates;  ///< one of them
};

std::variant<Seal, ControlError> seal_of(const BackupRequest& request) {
  if (request.recipients_file.empty()) {
    auto passphrase = passphrase_of(request.passphrase_file);
    if (const auto* error = std::get_if<ControlError>(&passphrase)) return *error;
    return Seal{std::get<std::string>(std::move(passphrase)), {}};
  }
  auto certificates = read_bytes(request.recipients_file);
  if (!certificates) return ControlError{false, request.recipients_file + ": cannot be read"};
  return Seal{{}, *std::move(certificates)};
}

ExitStatus write_sealed(Session& session, const std::string& file, const Seal& seal, std::string_view text) {
  const auto sealed = seal.certificates.empty() ? seal_with_passphrase(kBackupKind, seal.passphrase, text)
                                                : seal_for_recipients(seal.certificates, text);
  if (!sealed && sealed.error().code == ErrorCode::kUnsupported)
    return fail(session, {false, "a recipient's key is of another kind, or short: EC of 256 bits or RSA of 3072 at least"});
  if (!sealed && sealed.error().code == ErrorCode::kMalformed) return fail(session, {false, "there is no certificate of a recipient"});
  if (!sealed) return fail(session, {false, "the backup cannot be sealed: " + describe(sealed.error())});
  if (!replace_durably(file, span_of(*sealed), 0600)) return fail(session, {false, file + ": could not be written"});
  const std::string digest = hex(sha256(span_of(*sealed)));
  return done(session, JsonObject().text("file", file).number("bytes", sealed->size()).text("sha256", digest),
              file + ": " + std::to_string(sealed->size()) + " bytes, sealed; SHA-256 " + digest);
}

}  // namespace

ExitStatus make_backup(Session& session, const BackupRequest& request) {
  const auto seal = seal_of(request);
  if (const auto* error = std::get_if<ControlError>(&seal)) return fail(session, *error);
  ipc::ToControl question;
  question.mutable_make_backup();
  auto asked = ask_control(session.run_dir, std::move(question));
  if (const auto* error = std::get_if<ControlError>(&asked)) return fail(session, *error);
  auto& answer = std::get<ControlAnswer>(asked);
  if (!answer.message.has_backup_made()) return unexpected(session);
  if (!answer.message.backup_made().error().empty()) return fail(session, {false, answer.message.backup_made().error()});
  const auto blob = take_blob(answer);
  if (const auto* error = std::get_if<ControlError>(&blob)) return fail(session, *error);
  return write_sealed(session, request.file, std::get<Seal>(seal), std::get<std::string>(blob));
}

ExitStatus reseal_backup(Session& session, const BackupRequest& request) {
  const auto seal = seal_of(request);
  if (const auto* error = std::get_if<ControlError>(&seal)) return fail(session, *error);
  const auto key = read_bytes(request.key_file), sealed = read_bytes(request.file);
  if (!key || !sealed) return fail(session, {false, (key ? request.file : request.key_file) + ": cannot be read"});
  const auto text = open_as_recipient(*key, *sealed);
  if (!text && text.error().code == ErrorCode::kDenied) return fail(session, {false, "it was sealed for others, or was changed"});
  if (!text) return fail(session, {false, request.file + " is no backup for recipients, or " + request.key_file + " no private key"});
  return write_sealed(session, request.into, std::get<Seal>(seal), *text);
}

ExitStatus restore_backup(Session& session, const BackupRequest& request) {
  const auto passphrase = passphrase_of(request.passphrase_file);
  if (const auto* error = std::get_if<ControlError>(&passphrase)) return fail(session, *error);
  const auto sealed = read_bytes(request.file);
  if (!sealed) return fail(session, {false, request.file + ": cannot be read"});
  const auto text = open_with_passphrase(kBackupKind, std::get<std::string>(passphrase), *sealed);
  if (!text && text.error().code == ErrorCode::kUnsupported)
    return fail(session, {false, "the backup's format " + std::to_string(text.error().detail) + " is not this version's"});
  if (!text && text.error().code == ErrorCode::kDenied) return fail(session, {false, "another passphrase, or the backup was changed"});
  if (!text) return fail(session, {false, request.file + " is no backup, or torn"});
  ipc::ToControl question;
  question.mutable_restore_backup()->set_comment(request.comment.empty() ? "restored from a backup" : request.comment);
  const auto asked = ask_control(session.run_dir, std::move(question), &*text);
  if (const auto* error = std::get_if<ControlError>(&asked)) return fail(session, *error);
  const auto& message = std::get<ControlAnswer>(asked).message;
  if (!message.has_backup_restored()) return unexpected(session);
  const auto& restored = message.backup_restored();
  for (const auto& finding : restored.findings()) session.err << finding.path() << ": " << finding.sentence() << '\n';
  if (!restored.error().empty()) return fail(session, {false, restored.error()});
  std::string left_out, told;
  for (const std::string& one : restored.left_out()) {
    left_out += (left_out.empty() ? "" : ",") + json_text(one);
    told += "left out: " + one + '\n';
  }
  JsonObject fields;
  fields.number("revision", restored.revision()).number("accounts", restored.accounts()).raw("left_out", '[' + left_out + ']');
  told += "Revision " + std::to_string(restored.revision()) + " is in force; " + std::to_string(restored.accounts()) + " accounts.";
  return done(session, std::move(fields), told);
}

}  // namespace sekisho::mgmt
