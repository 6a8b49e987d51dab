// SPDX-License-Identifier: Apache-2.0
// The tree of commands. CLI11 stays in this file; its exceptions end in run_sekishoctl.
#include "mgmt/cli/app.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <ostream>

#include "mgmt/cli/accounts.h"
#include "mgmt/cli/commands.h"
#include "mgmt/cli/erasure.h"
#include "mgmt/cli/explain.h"
#include "mgmt/cli/log_commands.h"

namespace sekisho::mgmt {
namespace {

constexpr const char* kExamples = R"(Examples:
  sekishoctl config check site.yaml                 would it be accepted? (nothing changes)
  sekishoctl config diff site.yaml                  what would change against what runs
  sekishoctl config commit site.yaml -m "open https" --confirm 120
  sekishoctl config confirm                         keep it (else it is taken back after 120 s)
  sekishoctl config rollback 41                     what revision 41 said, as a new revision
  sekishoctl show rules --tenant acme               rules in order with their hit counters
  sekishoctl show drops                             why packets ended
  sekishoctl show nat --blocks                      whose outside ports are in use
  sekishoctl binding release web1-eth0 --tenant acme  end its quarantine
  sekishoctl show sessions --vpn --tenant acme      remote users and what they came in with
  sekishoctl vpn disconnect t.suzuki --tenant acme  end his sessions
  sekishoctl log follow --tenant acme --last 20     watch verdicts as they happen
  sekishoctl log export --tenant acm00000001 --type comm --format csv --bom -o comm.csv
  sekishoctl explain --port office --from 10.0.0.34 --to 10.0.0.2 --dport 443
  sekishoctl explain --port office --replay monday.pcap --candidate site.yaml   what would this change break?
  source <(sekishoctl completion bash)              tab completion for this shell

Exit status: 0 done, 1 refused or findings, 2 wrong usage, 3 daemon unreachable, 4 a replay found flows that flip.)";

constexpr std::uint32_t kConfirmSecondsMax = 86'400;

struct ShowCommand {
  const char* name;
  ipc::Show::What what;
  const char* description;
};
constexpr ShowCommand kShowCommands[] = {
    {"tenants", ipc::Show::TENANTS, "tenants with their ports, rules and sessions"},
    {"ports", ipc::Show::PORTS, "ports with their traffic"},
    {"bindings", ipc::Show::BINDINGS, "which MAC and IP may speak where, and violations"},
    {"rules", ipc::Show::RULES, "rules in order with their hit counters"},
    {"sessions", ipc::Show::SESSIONS, "connections being tracked; with --vpn remote users' sessions"},
    {"users", ipc::Show::USERS, "remote users: who is in, who is shut out"},
    {"nat", ipc::Show::NAT, "NAT rules in order with hits, open sessions and ports in use"},
    {"neighbours", ipc::Show::NEIGHBOURS, "ARP and ND entries: bound or resolved"},
    {"drops", ipc::Show::DROPS, "why packets ended, per tenant"},
    {"status", ipc::Show::STATUS, "revision in force, workers, sessions"},
};

/// What was parsed; `action` is set by the command that was chosen.
struct Choice {
  std::string run_dir;
  bool json = false;
  bool blocks = false, secrets = false, vpn = false;
  std::string file, tenant, binding, shell;
  std::uint32_t against = 0, limit = 0, revision = 0, unused = 0;
  CommitRequest commit;
  ProfileRequest profile;
  VpnChange vpn_change;
  AccountRequest account;
  RollbackRequest rollback;
  LogRequest log;
  LogSearchRequest log_search;
  LogDownloadRequest log_download;
  LogVerifyRequest log_verify;
  LogEraseRequest log_erase;
  ErasureRequest erasure;
  ReportRequest report;
  BackupRequest backup;
  WipeRequest wipe;
  ExplainRequest explain;
  std::function<ExitStatus(Session&)> action;
};

/// The values an option is checked against, as its help says them, {a,b,c}; nothing: any.
std::string values_of(const CLI::Option& option) {
  const std::string text = option.get_type_name();
  const std::size_t begin = text.find('{'), end = text.find('}');
  if (begin == std::string::npos || end == std::string::npos || end < begin) return {};
  std::string out = text.substr(begin + 1, end - begin - 1);
  std::replace(out.begin(), out.end(), ',', ' ');
  return out;
}

/// Values of all options with known ones, by path and option, so that the same name may mean something else elsewhere.
void write_value_cases(std::ostream& out, const CLI::App& command, const std::string& path) {
  for (const CLI::Option* option : command.get_options()) {
    const std::string values = values_of(*option);
    if (values.empty()) continue;
    for (const std::string& name : option->get_lnames()) {
      out << "    '" << path << " --" << name << "') COMPREPLY=($(compgen -W '" << values << "' -- \"$current\")); return ;;\n";
    }
  }
  for (const CLI::App* child : command.get_subcommands({})) write_value_cases(out, *child, path + "/" + child->get_name());
}

/// Every word the shell may offer after one path of commands.
void write_completion_case(std::ostream& out, const CLI::App& command, const std::string& path) {
  std::string words, options;
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_positional()) words += (words.empty() ? "" : " ") + values_of(*option);
  }
  for (const CLI::App* child : command.get_subcommands({})) words += (words.empty() ? "" : " ") + child->get_name();
  for (const CLI::App* level = &command; level != nullptr; level = level->get_parent()) {
    for (const CLI::Option* option : level->get_options()) {
      for (const std::string& name : option->get_lnames()) options += (options.empty() ? "--" : " --") + name;
      for (const std::string& name : option->get_snames()) options += (options.empty() ? "-" : " -") + name;
    }
  }
  out << "    '" << path << "') words='" << words << "' options='" << options << "' ;;\n";
  for (const CLI::App* child : command.get_subcommands({}))
    write_completion_case(out, *child, path + "/" + child->get_name());
}

void collect_paths(const CLI::App& command, const std::string& path, std::string& out) {
  for (const CLI::App* child : command.get_subcommands({})) {
    const std::string mine = path + "/" + child->get_name();
    out += (out.empty() ? "" : "|") + ("'" + mine + "'");
    collect_paths(*child, mine, out);
  }
}

void write_bash_completion(std::ostream& out, const CLI::App& app) {
  std::string paths;
  collect_paths(app, "", paths);
  out << "# bash completion of sekishoctl: source <(sekishoctl completion bash)\n"
         "_sekishoctl() {\n"
         "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} path= words= options= i\n"
         "  COMPREPLY=()\n"
         "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
         "    case \"$path/${COMP_WORDS[i]}\" in\n"
         "      "
      << paths
      << ") path+=/${COMP_WORDS[i]} ;;\n"
         "    esac\n"
         "  done\n"
         "  case $previous in\n"
         "    --run-dir|-o|--output|--pcap|--replay|--candidate|--key|--log-key|--passphrase-file|--report) return ;;\n"
         "    --tenant) COMPREPLY=($(compgen -W \"$(sekishoctl show tenants --json 2>/dev/null |\n"
         "      grep -o '\"service_code\": *\"[^\"]*\"' | cut -d'\"' -f4)\" -- \"$current\")); return ;;\n"
         "    --protocol) COMPREPLY=($(compgen -W 'tcp udp icmp icmpv6' -- \"$current\")); return ;;\n"
         "    --flags) COMPREPLY=($(compgen -W 'syn ack syn,ack fin,ack rst' -- \"$current\")); return ;;\n"
         "  esac\n"
         "  case \"$path $previous\" in\n";
  write_value_cases(out, app, "");
  out << "  esac\n"
         "  case $path in\n";
  write_completion_case(out, app, "");
  out << "  esac\n"
         "  [[ $current == -* ]] && words=$options\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\" || true))\n"
         "}\n"
         "complete -o bashdefault -o default -F _sekishoctl sekishoctl\n";
}

void add_config(CLI::App& app, Choice& choice) {
  CLI::App* config = app.add_subcommand("config", "check, compare, commit and roll back the configuration");
  config->require_subcommand(1);

  CLI::App* check = config->add_subcommand("check", "would this document be accepted? nothing changes");
  check->add_option("FILE", choice.file, "YAML or JSON document; - reads standard input")->required();
  check->callback([&] { choice.action = [&](Session& s) { return check_config(s, choice.file); }; });

  CLI::App* diff = config->add_subcommand("diff", "what would change");
  diff->add_option("FILE|REV", choice.file, "document or revision number")->required();
  diff->add_option("--against", choice.against, "revision to compare with (default: the running one)");
  diff->callback([&] { choice.action = [&](Session& s) { return diff_config(s, choice.file, choice.against); }; });

  CLI::App* commit = config->add_subcommand("commit", "put a document into force as a new revision");
  commit->add_option("FILE", choice.commit.file, "YAML or JSON document; - reads standard input")->required();
  commit->add_option("-m,--message", choice.commit.comment, "why, for the list of revisions");
  commit->add_option("--confirm", choice.commit.confirm_seconds, "take it back after SECONDS unless confirmed")
      ->check(CLI::Range(1U, kConfirmSecondsMax));
  commit->add_option("--base", choice.commit.base_revision, "refuse if another revision than REV runs")
      ->check(CLI::PositiveNumber);
  commit->callback([&] { choice.action = [&](Session& s) { return commit_config(s, choice.commit); }; });

  CLI::App* confirm = config->add_subcommand("confirm", "keep the revision that waits for confirmation");
  confirm->callback([&] { choice.action = [](Session& s) { return confirm_config(s); }; });

  CLI::App* rollback = config->add_subcommand("rollback", "commit the content of an earlier revision again");
  rollback->add_option("REV", choice.rollback.revision, "revision number")->required()->check(CLI::PositiveNumber);
  rollback->add_option("-m,--message", choice.rollback.comment, "why, for the list of revisions");
  rollback->add_option("--confirm", choice.rollback.confirm_seconds, "take it back after SECONDS unless confirmed")
      ->check(CLI::Range(1U, kConfirmSecondsMax));
  rollback->callback([&] { choice.action = [&](Session& s) { return rollback_config(s, choice.rollback); }; });

  CLI::App* revisions = config->add_subcommand("revisions", "list the revisions that are kept");
  revisions->add_option("--limit", choice.limit, "at most so many, newest first (0: all)");
  revisions->callback([&] { choice.action = [&](Session& s) { return list_revisions(s, choice.limit); }; });

  CLI::App* show = config->add_subcommand("show", "print the document of a revision");
  show->add_option("REV", choice.revision, "revision number (default: the running one)");
  show->add_flag("--secrets", choice.secrets, "with private keys and hashes, which are shown as (set) else");
  show->callback([&] { choice.action = [&](Session& s) { return show_config(s, choice.revision, choice.secrets); }; });
}

void add_show(CLI::App& app, Choice& choice) {
  CLI::App* show = app.add_subcommand("show", "tables of what runs");
  show->require_subcommand(1);
  for (const ShowCommand& command : kShowCommands) {
    CLI::App* one = show->add_subcommand(command.name, command.description);
    one->add_option("--tenant", choice.tenant, "service code or name (default: all)");
    one->add_option("--limit", choice.limit, "at most so many rows (0: controld's default)");
    if (command.what == ipc::Show::RULES) one->add_option("--unused", choice.unused, "only rules not hit for so many days");
    if (command.what == ipc::Show::NAT) one->add_flag("--blocks", choice.blocks, "port blocks of inside addresses that are in use");
    if (command.what == ipc::Show::SESSIONS) one->add_flag("--vpn", choice.vpn, "sessions of remote users");
    one->callback([&choice, asked = command.what] {
      choice.action = [&choice, asked](Session& s) {
        const ipc::Show::What what = choice.blocks ? ipc::Show::NAT_BLOCKS : choice.vpn ? ipc::Show::VPN_SESSIONS : asked;
        return show_table(s, what, choice.tenant, choice.limit, choice.unused);
      };
    });
  }
}

void add_binding(CLI::App& app, Choice& choice) {
  CLI::App* binding = app.add_subcommand("binding", "act on a binding");
  binding->require_subcommand(1);
  CLI::App* release = binding->add_subcommand("release",
      "end a binding's quarantine before its time, and forget the link-local addresses pinned for it");
  release->add_option("NAME", choice.binding, "the binding")->required();
  release->add_option("--tenant", choice.tenant, "service code or name (needed when several tenants have the name)");
  release->callback([&] { choice.action = [&](Session& s) { return release_binding(s, choice.tenant, choice.binding); }; });
}

void add_vpn_changes(CLI::App& vpn, Choice& choice) {
  const auto add = [&](const char* name, const char* what, const char* argument, ipc::ChangeVpn::What change) {
    CLI::App* command = vpn.add_subcommand(name, what);
    command->add_option(argument, choice.vpn_change.user)->required();
    command->add_option("--tenant", choice.vpn_change.tenant, "service code or name (needed when several have remote access)");
    command->callback([&choice, change] {
      choice.vpn_change.what = change;
      choice.action = [&choice](Session& s) { return change_vpn(s, choice.vpn_change); };
    });
  };
  add("disconnect", "end a user's sessions, or one session by its number", "USER|SESSION", ipc::ChangeVpn::DISCONNECT);
  add("unlock", "let a user in again who was shut out after wrong passwords", "USER", ipc::ChangeVpn::UNLOCK);
}

void add_vpn(CLI::App& app, Choice& choice) {
  CLI::App* vpn = app.add_subcommand("vpn", "remote access");
  vpn->require_subcommand(1);
  CLI::App* profile = vpn->add_subcommand("profile", "write what a user imports into a VPN client; it holds no password");
  profile->add_option("USER", choice.profile.user, "the user")->required();
  profile->add_option("--for", choice.profile.client, "windows, apple, android, strongswan or networkmanager")
      ->required()
      ->check(CLI::IsMember({"windows", "apple", "android", "strongswan", "networkmanager"}));
  profile->add_option("--tenant", choice.profile.tenant, "service code or name")->required();
  profile->add_option("--gateway", choice.profile.gateway, "gateway (needed when the tenant has several)");
  profile->add_option("-o,--output", choice.profile.file, "write to FILE (default: standard output)");
  profile->callback([&] { choice.action = [&](Session& s) { return write_vpn_profile(s, choice.profile); }; });
  CLI::App* legacy = vpn->add_subcommand("legacy", "who still needs the profile legacy, by the records kept");
  legacy->add_option("--tenant", choice.tenant, "service code or name")->required();
  legacy->callback([&] { choice.action = [&](Session& s) { return report_legacy(s, choice.tenant); }; });
  add_vpn_changes(*vpn, choice);
}

void add_account(CLI::App& app, Choice& choice) {
  CLI::App* account = app.add_subcommand("account", "accounts of the management API: the first one, and the way back in");
  account->require_subcommand(1);
  const auto add = [&](const char* name, const char* what, ipc::LocalAccount::What asked) {
    CLI::App* command = account->add_subcommand(name, what);
    if (asked != ipc::LocalAccount::LIST) {
      command->add_option("NAME", choice.account.id, "name@servicecode; the provider's have no @")->required();
    }
    if (asked == ipc::LocalAccount::ADD) {
      command->add_option("--role", choice.account.role, "a tenant's, or p-... of the provider")->required()
          ->check(CLI::IsMember({"owner", "admin", "rule", "user", "log", "read", "self", "p-ops", "p-support", "p-audit", "p-sec"}));
    }
    command->callback([&choice, asked] {
      choice.account.what = asked;
      choice.action = [&choice](Session& s) { return manage_accounts(s, choice.account); };
    });
  };
  add("list", "all accounts", ipc::LocalAccount::LIST);
  add("add", "a new account; prints its one-time link", ipc::LocalAccount::ADD);
  add("reissue", "a new one-time link; the old password and second factor are void", ipc::LocalAccount::REISSUE);
  add("unlock", "end a lock", ipc::LocalAccount::UNLOCK);
  add("remove", "remove an account and end its sessions", ipc::LocalAccount::REMOVE);
}

void add_erasure(CLI::App& app, Choice& choice) {
  CLI::App* erasure = app.add_subcommand("erasure", "ends of contracts: what they leave is erased at its day");
  erasure->require_subcommand(1);
  const auto add = [&](const char* name, const char* what, ipc::LocalErasure::What asked) {
    CLI::App* command = erasure->add_subcommand(name, what);
    CLI::Option* tenant = command->add_option("--tenant", choice.erasure.tenant, "service code or name");
    if (asked != ipc::LocalErasure::LIST) {
      tenant->required();
      command->add_option("--what", choice.erasure.scope, "contract (default) or remote-access, which is an option of it")
          ->check(CLI::IsMember({"contract", "remote-access"}));
    }
    if (asked == ipc::LocalErasure::END) {
      command->add_option("--contract", choice.erasure.contract, "firewall, remote-access or other: gone in 90, 45 or 30 days")
          ->check(CLI::IsMember({"firewall", "remote-access", "other"}));
      command->add_option("--end", choice.erasure.end, "the last day, like 2026-11-30 (default: it ends now)");
      command->add_option("--reason", choice.erasure.reason, "stands in the report");
    }
    command->callback([&choice, asked] {
      choice.erasure.what = asked;
      choice.action = [&choice](Session& s) { return manage_erasures(s, choice.erasure); };
    });
  };
  add("list", "what ends, has ended and was erased", ipc::LocalErasure::LIST);
  add("end", "end a contract or an option", ipc::LocalErasure::END);
  add("withdraw", "take that back before its day", ipc::LocalErasure::WITHDRAW);
  add("early", "erase now what has ended", ipc::LocalErasure::EARLY);
  CLI::App* key = erasure->add_subcommand("key", "the unit's public key, to keep elsewhere: reports are verified with it");
  key->add_option("-o,--output", choice.file, "write to FILE")->required();
  key->callback([&] { choice.action = [&](Session& s) { return write_unit_key(s, choice.file); }; });
  CLI::App* verify = erasure->add_subcommand("verify", "is this report as the unit signed it? asks no daemon");
  verify->add_option("REPORT", choice.report.file, "of an erasure or a factory wipe")->required();
  verify->add_option("--key", choice.report.key, "the unit's public key")->required();
  verify->add_option("--log-key", choice.report.log_key, "the log's public key: its part is verified too");
  verify->callback([&] { choice.action = [&](Session& s) { return verify_report(s, choice.report); }; });
}

void add_backup(CLI::App& app, Choice& choice) {
  CLI::App* backup = app.add_subcommand("backup", "settings, accounts and numbers of the unit, sealed");
  backup->require_subcommand(1);
  const auto add = [&](const char* name, const char* what, ExitStatus (*act)(Session&, const BackupRequest&)) {
    CLI::App* command = backup->add_subcommand(name, what);
    command->add_option("FILE", choice.backup.file, "the backup")->required();
    command->add_option("--passphrase-file", choice.backup.passphrase_file, "its first line is the passphrase");
    command->callback([&choice, act] { choice.action = [&choice, act](Session& s) { return act(s, choice.backup); }; });
    return command;
  };
  CLI::App* create = add("create", "into FILE; records and keys of the unit are not in it", make_backup);
  create->add_option("--recipients", choice.backup.recipients_file, "certificates (PEM): whose keys open it, in place of a passphrase")
      ->excludes("--passphrase-file");
  CLI::App* reseal = add("reseal", "FILE, which was sealed for recipients, by a passphrase into another; asks no daemon", reseal_backup);
  reseal->add_option("--key", choice.backup.key_file, "a recipient's private key (PEM)")->required();
  reseal->add_option("--into", choice.backup.into, "the file that is made")->required();
  CLI::App* restore = add("restore", "put FILE in force; what was erased since stays away", restore_backup);
  restore->add_option("-m,--comment", choice.backup.comment, "stands in the list of revisions");
}

void add_wipe(CLI::App& app, Choice& choice) {
  CLI::App* wipe = app.add_subcommand("factory-wipe", "destroy all keys, then all data; every daemon has to be stopped");
  wipe->add_option("--state-dir", choice.wipe.state_dir, "folder of all state (default: /var/lib/sekisho)");
  wipe->add_option("-o,--report", choice.wipe.file, "write the signed report to FILE")->required();
  wipe->add_flag("--yes-destroy-everything", choice.wipe.confirmed, "without this nothing happens");
  wipe->callback([&] { choice.action = [&](Session& s) { return factory_wipe(s, choice.wipe); }; });
}

void add_log_options(CLI::App& command, Choice& choice) {
  command.add_option("--tenant", choice.log.tenant, "service code or name")->required();
  command.add_option("--type", choice.log.types, "comm, sec, vpn, acl, devauth, audit, loss, separated by commas (default: all)")
      ->delimiter(',')
      ->check(CLI::IsMember({"comm", "sec", "vpn", "acl", "devauth", "audit", "loss"}));
  command.add_option("--last", choice.log.last, "begin with the last N stored records")->check(CLI::Range(1U, 10'000U));
}

void add_types(CLI::App& command, std::vector<std::string>& types) {
  command.add_option("--type", types, "comm, sec, vpn, acl, devauth, audit, loss, separated by commas (default: all)")
      ->delimiter(',')
      ->allow_extra_args(false)  // what follows is a condition
      ->check(CLI::IsMember({"comm", "sec", "vpn", "acl", "devauth", "audit", "loss"}));
}

void add_log_questions(CLI::App& log, Choice& choice) {
  CLI::App* search = log.add_subcommand("search", "records that match, newest first");
  search->add_option("--tenant", choice.log_search.tenant, "service code or name")->required();
  add_types(*search, choice.log_search.types);
  search->add_option("where", choice.log_search.where,
                     "FIELD=VALUE[,VALUE], FIELD=FROM..TO, FIELD=NETWORK/LENGTH, FIELD!=VALUE, FIELD^=BEGINNING, FIELD~PART, "
                     "FIELD; address and text are any");
  search->add_option("--from", choice.log_search.from, "from this time or day on");
  search->add_option("--to", choice.log_search.to, "before this time or day");
  search->add_option("--limit", choice.log_search.limit, "records a page")->check(CLI::Range(1U, 1000U));
  search->add_option("--cursor", choice.log_search.cursor, "the page after that one");
  search->add_flag("--all", choice.log_search.all, "all pages");
  search->callback([&] { choice.action = [&](Session& s) { return search_log(s, choice.log_search); }; });

  CLI::App* download = log.add_subcommand("download", "whole days into a file; run again, it goes on where it broke off");
  download->add_option("--tenant", choice.log_download.tenant, "service code or name")->required();
  add_types(*download, choice.log_download.types);
  download->add_option("where", choice.log_download.where, "conditions, as for search");
  download->add_option("--window", choice.log_download.window, "month (with today), thirty-days (before today) or days")
      ->check(CLI::IsMember({"month", "thirty-days", "days"}));
  download->add_option("--first", choice.log_download.first_day, "--window days: the first day");
  download->add_option("--last", choice.log_download.last_day, "--window days: the last day");
  download->add_option("--format", choice.log_download.format, "csv or json (lines)")->check(CLI::IsMember({"json", "csv"}));
  download->add_flag("--gzip", choice.log_download.gzip, "compressed");
  download->add_flag("--bom", choice.log_download.byte_order_mark, "CSV: begin with a byte order mark");
  download->add_option("-o,--output", choice.log_download.file, "write to FILE, and FILE.manifest beside it")->required();
  download->callback([&] { choice.action = [&](Session& s) { return download_log(s, choice.log_download); }; });
}

void add_log_care(CLI::App& log, Choice& choice) {
  CLI::App* verify = log.add_subcommand("verify", "look for records that were changed, moved or taken out");
  verify->add_option("folder", choice.log_verify.folder, "a log folder or a copy: without any daemon");
  verify->add_option("--key", choice.log_verify.public_key, "the box's public key (default: the folder's own keys/sign.pub)");
  verify->add_option("--tenant", choice.log_verify.tenant, "or ask logd about this tenant");
  add_types(*verify, choice.log_verify.types);
  verify->callback([&] { choice.action = [&](Session& s) { return verify_log(s, choice.log_verify); }; });

  CLI::App* status = log.add_subcommand("status", "what is kept, and how the disk is");
  status->add_option("--tenant", choice.tenant, "service code or name (default: all)");
  status->callback([&] { choice.action = [&](Session& s) { return show_log_status(s, choice.tenant); }; });

  CLI::App* exports = log.add_subcommand("exports", "who gets records as they are stored, and how far behind each is");
  exports->add_option("--tenant", choice.tenant, "service code or name; without: everybody's");
  exports->callback([&] { choice.action = [&](Session& s) { return show_log_exports(s, choice.tenant); }; });

  CLI::App* erase = log.add_subcommand("erase", "make records unreadable for ever when a contract ends");
  erase->add_option("what", choice.log_erase.what, "schedule, withdraw, now or report")
      ->required()
      ->check(CLI::IsMember({"schedule", "withdraw", "now", "report"}));
  erase->add_option("--tenant", choice.log_erase.tenant, "service code or name")->required();
  add_types(*erase, choice.log_erase.types);
  erase->add_option("--contract", choice.log_erase.contract, "firewall, remote-access or other")
      ->check(CLI::IsMember({"firewall", "remote-access", "other"}));
  erase->add_option("--end", choice.log_erase.end, "the contract's last day (default: now)");
  erase->add_option("--reason", choice.log_erase.reason, "stands in the report");
  erase->callback([&] { choice.action = [&](Session& s) { return erase_log(s, choice.log_erase); }; });
}

void add_log(CLI::App& app, Choice& choice) {
  CLI::App* log = app.add_subcommand("log", "read a tenant's records");
  log->require_subcommand(1);

  CLI::App* follow = log->add_subcommand("follow", "print records as they are stored, until interrupted");
  add_log_options(*follow, choice);
  follow->callback([&] {
    choice.log.follow = true;
    choice.action = [&](Session& s) { return read_log(s, choice.log); };
  });

  CLI::App* exported = log->add_subcommand("export", "write stored records as JSON lines or CSV");
  add_log_options(*exported, choice);
  exported->add_option("--format", choice.log.format, "json (lines) or csv")->check(CLI::IsMember({"json", "csv"}));
  exported->add_flag("--bom", choice.log.byte_order_mark, "CSV: begin with a byte order mark, for spreadsheets");
  exported->add_option("-o,--output", choice.log.file, "write to FILE (default: standard output)");
  exported->callback([&] { choice.action = [&](Session& s) { return read_log(s, choice.log); }; });
  add_log_questions(*log, choice);
  add_log_care(*log, choice);
}

void add_described_packet(CLI::App& explain, ExplainRequest& packet) {
  const auto port = CLI::Range(0U, 65'535U);
  const auto byte = CLI::Range(0U, 255U);
  CLI::Option* from = explain.add_option("--from", packet.from, "source address");
  CLI::Option* to = explain.add_option("--to", packet.to, "destination address");
  from->needs(to);
  to->needs(from);
  explain.add_option("--protocol", packet.protocol, "tcp, udp, icmp, icmpv6 or a number (default: tcp)")->needs(from);
  explain.add_option("--sport", packet.source_port, "source port (default: 49152)")->needs(from)->check(port);
  explain.add_option("--dport", packet.destination_port, "destination port")->needs(from)->check(port);
  explain.add_option("--flags", packet.flags, "TCP flags, such as syn,ack (default: syn)")->needs(from);
  explain.add_option("--seq", packet.sequence, "TCP sequence number (default: what a live connection expects)")->needs(from);
  explain.add_option("--ack", packet.acknowledgement, "TCP acknowledgement number")->needs(from);
  explain.add_option("--icmp-type", packet.icmp_type, "ICMP type (default: echo request)")->needs(from)->check(byte)
      ->each([&packet](const std::string&) { packet.icmp_said = true; });
  explain.add_option("--icmp-code", packet.icmp_code, "ICMP code")->needs(from)->check(byte);
  explain.add_option("--icmp-id", packet.icmp_id, "identifier of an echo")->needs(from)->check(port);
  explain.add_option("--ttl", packet.ttl, "TTL or hop limit (default: 64)")->needs(from)->check(byte);
  explain.add_option("--payload", packet.payload, "bytes of payload")->needs(from)->check(CLI::Range(0U, 1'500U));
  explain.add_option("--user", packet.user, "remote user whose tunnel it comes by (default: who has the source address now)")->needs(from);
  explain.add_option("--source-mac", packet.source_mac, "source MAC (default: the binding's)")->needs(from);
  explain.add_option("--destination-mac", packet.destination_mac, "destination MAC (default: the gateway's)")->needs(from);
}

void add_explain(CLI::App& app, Choice& choice) {
  CLI::App* explain = app.add_subcommand("explain", "what would happen to a packet, and why; nothing is sent");
  ExplainRequest& packet = choice.explain;
  explain->add_option("--port", packet.port, "name of the port or uplink it comes in at")->required();
  explain->add_option("--tenant", packet.tenant, "service code or name, when several tenants have such a port");
  add_described_packet(*explain, packet);
  CLI::Option* frame = explain->add_option("--frame", packet.frame, "a captured frame in hexadecimal digits");
  CLI::Option* pcap = explain->add_option("--pcap", packet.pcap, "a frame of a pcap FILE; see --number");
  explain->add_option("--number", packet.number, "which frame of --pcap (default: the first)")->needs(pcap)->check(CLI::PositiveNumber);
  CLI::Option* candidate = explain->add_option("--candidate", packet.candidate, "judge under this document, as if it were committed");
  CLI::Option* replay = explain->add_option("--replay", packet.replay,
                                            "all of a pcap FILE through the running revision and the candidate: which flows flip?");
  replay->needs(candidate);
  CLI::Option* from = explain->get_option("--from");
  for (CLI::Option* one : {frame, pcap, replay}) {
    for (CLI::Option* other : {from, frame, pcap, replay}) {
      if (one != other) one->excludes(other);
    }
  }
  explain->callback([&choice] {
    const ExplainRequest& said = choice.explain;
    if (said.from.empty() && said.frame.empty() && said.pcap.empty() && said.replay.empty()) {
      throw CLI::RequiredError("--from and --to, --frame, --pcap or --replay");
    }
    choice.action = [&choice](Session& s) { return explain_packet(s, choice.explain); };
  });
}

void add_completion(CLI::App& app, Choice& choice) {
  CLI::App* completion = app.add_subcommand("completion", "print a script for the shell's tab completion");
  completion->add_option("SHELL", choice.shell, "bash")->required()->check(CLI::IsMember({"bash"}));
  completion->callback([&app, &choice] {
    choice.action = [&app](Session& s) { return write_bash_completion(s.out, app), ExitStatus::kOk; };
  });
}

}  // namespace

int run_sekishoctl(const std::vector<std::string>& arguments, const CliEnvironment& environment, std::ostream& out,
                   std::ostream& err) {
  Choice choice;
  choice.run_dir = environment.run_dir;
  CLI::App app("sekishoctl - configures and observes a Sekisho gateway", "sekishoctl");
  app.fallthrough();  // --json and --run-dir stand anywhere
  app.require_subcommand(1);
  app.add_option("--run-dir", choice.run_dir, "folder of the daemons' sockets (SEKISHO_RUN_DIR)");
  app.add_flag("--json", choice.json, "answers as JSON");
  add_config(app, choice);
  add_show(app, choice);
  add_binding(app, choice);
  add_vpn(app, choice);
  add_account(app, choice);
  add_erasure(app, choice);
  add_backup(app, choice);
  add_wipe(app, choice);
  add_log(app, choice);
  add_explain(app, choice);
  add_completion(app, choice);
  app.footer(kExamples);  // last: commands made later would inherit it
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    const bool help = app.exit(error, out, err) == 0;
    return static_cast<int>(help ? ExitStatus::kOk : ExitStatus::kUsage);
  }
  Session session{choice.run_dir, choice.json, environment.colour ? Colour::kYes : Colour::kNo, out, err};
  return static_cast<int>(choice.action(session));
}

}  // namespace sekisho::mgmt
