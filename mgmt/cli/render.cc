// SPDX-License-Identifier: Apache-2.0
#include "mgmt/cli/render.h"

#include "mgmt/cli/json_object.h"
#include "mgmt/log/format.h"
#include "mgmt/log/time_text.h"
#include "mgmt/log/utf8.h"

namespace sekisho::mgmt {

std::string clean(std::string_view text) {
  std::string out;
  append_escaped(out, text, Quote::kNone);
  return out;
}

namespace {

using Findings = google::protobuf::RepeatedPtrField<ipc::Finding>;

std::string_view severity_text(const ipc::Finding& finding) {
  return finding.severity() == ipc::Finding::WARNING ? "warning" : "error";
}

std::string_view kind_text(ipc::Change::Kind kind) {
  if (kind == ipc::Change::ADDED) return "added";
  if (kind == ipc::Change::REMOVED) return "removed";
  if (kind == ipc::Change::MOVED) return "moved";
  return "changed";
}

template <typename List, typename One>
std::string json_array(const List& list, One one) {
  std::string out = "[";
  for (int i = 0; i < list.size(); ++i) out += (i > 0 ? "," : "") + one(list[i]);
  return out + "]";
}

std::string findings_json(const Findings& findings) {
  return json_array(findings, [](const ipc::Finding& finding) {
    return JsonObject()
        .text("severity", severity_text(finding))
        .text("file", finding.file_name())
        .number("line", finding.line())
        .number("column", finding.column())
        .text("path", finding.path())
        .text("sentence", finding.sentence())
        .take();
  });
}

std::string counted(std::size_t count, const std::string& what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

std::string milliseconds(std::uint64_t microseconds) {
  return std::to_string(microseconds / 1000) + "." + std::to_string(microseconds / 100 % 10) + " ms";
}

std::string change_line(const ipc::Change& change, Colour colour) {
  const std::string path = clean(change.path());
  if (change.kind() == ipc::Change::ADDED) {
    return painted("+ " + path + (change.after().empty() ? "" : ": " + clean(change.after())), Paint::kGreen, colour);
  }
  if (change.kind() == ipc::Change::REMOVED) {
    return painted("- " + path + (change.before().empty() ? "" : ": " + clean(change.before())), Paint::kRed, colour);
  }
  const std::string mark = change.kind() == ipc::Change::MOVED ? "> " : "~ ";
  return painted(mark + path + ": " + clean(change.before()) + " -> " + clean(change.after()), Paint::kYellow, colour);
}

ipc::Table text_columns(std::initializer_list<std::pair<const char*, const char*>> columns) {
  ipc::Table out;
  for (const auto& [key, title] : columns) {
    ipc::Column& column = *out.add_columns();
    column.set_key(key);
    column.set_title(title);
  }
  return out;
}

void add_cells(ipc::Table& table, std::initializer_list<std::string> cells) {
  ipc::Row& row = *table.add_rows();
  for (const std::string& cell : cells) row.add_cells(cell);
}

/// "drop (default-deny), rule inside/default"
std::string verdict_text(const ipc::FlowVerdict& verdict) {
  const std::string why = verdict.reason().empty() ? "" : " (" + verdict.reason() + ")";
  return verdict.verdict() + why + (verdict.rule().empty() ? "" : ", rule " + verdict.rule());
}

std::string end_text(const Address& address, std::optional<std::uint16_t> port) {
  const std::string text = to_string(address);
  if (!port) return text;
  return (address.family == Family::kIpv6 ? "[" + text + "]" : text) + ":" + std::to_string(*port);
}

std::string flow_text(const Address& source, std::optional<std::uint16_t> source_port, const Address& destination,
                      std::optional<std::uint16_t> destination_port) {
  return end_text(source, source_port) + " > " + end_text(destination, destination_port);
}

std::string protocol_text(std::uint8_t protocol) {
  if (protocol == 6) return "tcp";
  if (protocol == 17) return "udp";
  if (protocol == 1 || protocol == 58) return "icmp";
  if (protocol == 132) return "sctp";
  if (protocol == 47) return "gre";
  if (protocol == 50) return "esp";
  return "ip/" + std::to_string(protocol);
}

constexpr std::size_t kPhaseColumns = 6, kVerdictColumns = 14, kRuleColumns = 24;

std::string log_columns(const LogEntry& entry, std::string_view phase, std::string_view verdict, Paint paint,
                        std::string_view rule, Colour colour) {
  // Date and zone are in the JSON form; people following want the time of day.
  return to_text(entry.ts).substr(11, 12) + "  " + padded(phase, kPhaseColumns, Align::kLeft) + "  " +
         painted(padded(verdict, kVerdictColumns, Align::kLeft), paint, colour) + "  " +
         padded(rule, kRuleColumns, Align::kLeft) + "  ";
}

std::string log_text(const LogEntry& entry, const CommFields& body, Colour colour) {
  const bool allowed = body.action == CommAction::kAllow;
  std::string verdict(text_of(body.action));
  if (!allowed) verdict += " " + std::string(text_of(body.reason));
  std::string out = log_columns(entry, text_of(body.phase), verdict, allowed ? Paint::kGreen : Paint::kRed,
                                body.rule_name.empty() ? "-" : body.rule_name, colour);
  out += clean(body.in_if) + (body.out_if.empty() ? "" : ">" + clean(body.out_if)) + "  " + protocol_text(body.proto) +
         " " + flow_text(body.src_ip, body.src_port, body.dst_ip, body.dst_port);
  if (body.icmp_type) out += " type " + std::to_string(*body.icmp_type);
  if (body.bytes_fwd && body.bytes_rev) {
    out += "  " + std::to_string(*body.bytes_fwd) + "/" + std::to_string(*body.bytes_rev) + " bytes";
  }
  if (body.count > 1) out += "  x" + std::to_string(body.count);
  return out;
}

std::string log_text(const LogEntry& entry, const SecFields& body, Colour colour) {
  const std::string_view who = body.binding.empty() ? body.in_if : body.binding;
  std::string out = log_columns(entry, "sec", body.event, Paint::kYellow, who.empty() ? "-" : who, colour);
  out += clean(body.msg);
  if (body.eth_src != Mac{}) out += "  from " + to_string(body.eth_src);
  if (body.arp_spa.family != Family::kNone) out += " claims " + to_string(body.arp_spa);
  if (body.nd_target.family != Family::kNone) out += " target " + to_string(body.nd_target);
  if (body.src_ip.family != Family::kNone)
    out += "  " + flow_text(body.src_ip, body.src_port, body.dst_ip, body.dst_port);
  if (body.count > 1) out += "  x" + std::to_string(body.count);
  return out;
}

std::string log_text(const LogEntry& entry, const AclFields& body, Colour colour) {
  const bool good = body.action == AclAction::kPermit;
  const std::string verdict = std::string(text_of(body.action)) + (good ? "" : " " + std::string(text_of(body.reason)));
  std::string out = log_columns(entry, "acl", verdict, good ? Paint::kGreen : Paint::kRed,
                                body.rule_name.empty() ? "-" : body.rule_name, colour);
  out += clean(body.user.empty() ? "-" : body.user) + "  " + protocol_text(body.proto) + " " +
         flow_text(body.src_ip, body.src_port, body.dst_ip, body.dst_port);
  if (body.bytes_in && body.bytes_out) out += "  " + std::to_string(*body.bytes_in) + "/" + std::to_string(*body.bytes_out) + " bytes";
  if (body.count > 1) out += "  x" + std::to_string(body.count);
  return out;
}

std::string log_text(const LogEntry& entry, const VpnFields& body, Colour colour) {
  const bool good = body.result != VpnResult::kFail;
  std::string verdict(text_of(body.event));
  if (body.cause != VpnCause::kNone) verdict += " " + std::string(text_of(body.cause));
  std::string out = log_columns(entry, "vpn", verdict, good ? Paint::kGreen : Paint::kRed, body.user.empty() ? "-" : body.user, colour);
  out += std::string(text_of(body.proto)) + " from " + end_text(body.peer_ip, body.peer_port) + " at " + clean(body.gw_name);
  for (const Address& inner : {body.ip4, body.ip6}) {
    if (inner.family != Family::kNone) out += " as " + to_string(inner);
  }
  if (!body.msg.empty()) out += "  " + clean(body.msg);
  if (body.bytes_in && body.bytes_out) out += "  " + std::to_string(*body.bytes_in) + "/" + std::to_string(*body.bytes_out) + " bytes";
  return out;
}

std::string log_text(const LogEntry& entry, const DevauthFields& body, Colour colour) {
  const bool good = body.result == DeviceResult::kOk || body.result == DeviceResult::kSkipped;
  std::string verdict(text_of(body.result));
  if (body.cause != DeviceCause::kNone) verdict += " " + std::string(text_of(body.cause));
  std::string out = log_columns(entry, "device", verdict, good ? Paint::kGreen : Paint::kRed,
                                body.device_id.empty() ? "-" : body.device_id, colour);
  out += clean(body.user.empty() ? "-" : body.user) + " from " + to_string(body.peer_ip) + "  policy " + clean(body.policy);
  if (!body.cert_serial.empty()) out += "  certificate " + clean(body.cert_serial) + " " + clean(body.cert_subject);
  return out;
}

std::string log_text(const LogEntry& entry, const AuditFields& body, Colour colour) {
  const bool good = body.result == AuditResult::kOk;
  std::string verdict = std::string(text_of(body.op)) + (good ? "" : " " + std::string(text_of(body.result)));
  std::string out = log_columns(entry, "audit", verdict, good ? Paint::kGreen : Paint::kRed, body.actor.empty() ? "-" : body.actor, colour);
  out += std::string(text_of(body.channel));
  if (body.src_ip.family != Family::kNone) out += " from " + to_string(body.src_ip);
  if (!body.obj_type.empty()) out += "  " + clean(body.obj_type) + " " + clean(body.obj_name);
  if (body.rev_to) out += "  revision " + (body.rev_from ? std::to_string(*body.rev_from) + " to " : "") + std::to_string(*body.rev_to);
  if (!body.cause.empty()) out += "  " + clean(body.cause);
  if (!body.comment.empty()) out += "  " + clean(body.comment);
  return out;
}

std::string log_text(const LogEntry& entry, const LossFields& body, Colour colour) {
  return log_columns(entry, "loss", text_of(body.why), Paint::kRed, "-", colour) + std::to_string(body.count) + " " +
         std::string(text_of(body.of)) + " records lost, seq " + std::to_string(body.seq_from) + " to " +
         std::to_string(body.seq_to) + (body.export_name.empty() ? std::string() : ", to " + clean(body.export_name) + " alone");
}

}  // namespace

std::string render_findings(const Findings& findings, Colour colour) {
  std::string out;
  for (const ipc::Finding& finding : findings) {
    const bool warning = finding.severity() == ipc::Finding::WARNING;
    if (!finding.file_name().empty()) out += clean(finding.file_name()) + ":";
    if (finding.line() > 0) out += std::to_string(finding.line()) + ":" + std::to_string(finding.column()) + ":";
    if (!out.empty() && out.back() == ':') out += ' ';
    out += painted(severity_text(finding), warning ? Paint::kYellow : Paint::kRed, colour) + ": ";
    if (!finding.path().empty()) out += clean(finding.path()) + ": ";
    out += clean(finding.sentence()) + '\n';
  }
  return out;
}

std::string render(const ipc::CheckResult& result, Colour colour) {
  std::string out = render_findings(result.findings(), colour);
  if (result.ok()) return out + painted("ok", Paint::kGreen, colour) + ": the document can be committed\n";
  return out + painted("refused", Paint::kRed, colour) + ": " +
         counted(static_cast<std::size_t>(result.findings_size()), "finding") + "\n";
}

std::string render(const ipc::DiffResult& result, Colour colour) {
  std::string out = render_findings(result.findings(), colour);
  if (!result.ok()) return out + painted("refused", Paint::kRed, colour) + ": the documents cannot be compared\n";
  for (const ipc::Change& change : result.changes()) out += change_line(change, colour) + '\n';
  return out + counted(static_cast<std::size_t>(result.changes_size()), "change") + '\n';
}

std::string render(const ipc::CommitResult& result, Colour colour) {
  std::string out = render_findings(result.findings(), colour);
  if (!result.ok()) {
    return out + painted("refused", Paint::kRed, colour) + ": " +
           (result.error().empty() ? "nothing was changed" : clean(result.error())) + '\n';
  }
  out += painted("revision " + std::to_string(result.revision()), Paint::kGreen, colour) +
         " is in force (compiled in " + milliseconds(result.compile_microseconds()) + ", built in " +
         milliseconds(result.build_microseconds()) + ", swapped in " + milliseconds(result.swap_microseconds()) + ")\n";
  if (result.confirm_seconds() > 0) {
    out += "it will be taken back in " + std::to_string(result.confirm_seconds()) +
           " s unless you confirm: sekishoctl config confirm\n";
  }
  return out;
}

std::string render(const ipc::ConfirmResult& result, Colour colour) {
  if (!result.ok()) return painted("refused", Paint::kRed, colour) + ": " + clean(result.error()) + '\n';
  return painted("revision " + std::to_string(result.revision()), Paint::kGreen, colour) + " is confirmed\n";
}

std::string render_json(const ipc::CheckResult& result) {
  return JsonObject().flag("ok", result.ok()).raw("findings", findings_json(result.findings())).take() + "\n";
}

std::string render_json(const ipc::DiffResult& result) {
  const std::string changes = json_array(result.changes(), [](const ipc::Change& change) {
    return JsonObject()
        .text("kind", kind_text(change.kind()))
        .text("path", change.path())
        .text("before", change.before())
        .text("after", change.after())
        .take();
  });
  return JsonObject()
             .flag("ok", result.ok())
             .raw("changes", changes)
             .raw("findings", findings_json(result.findings()))
             .take() +
         "\n";
}

std::string render_json(const ipc::CommitResult& result) {
  return JsonObject()
             .flag("ok", result.ok())
             .number("revision", result.revision())
             .number("confirm_seconds", result.confirm_seconds())
             .number("compile_us", result.compile_microseconds())
             .number("build_us", result.build_microseconds())
             .number("swap_us", result.swap_microseconds())
             .text("error", result.error())
             .raw("findings", findings_json(result.findings()))
             .take() +
         "\n";
}

std::string render_json(const ipc::ConfirmResult& result) {
  return JsonObject()
             .flag("ok", result.ok())
             .number("revision", result.revision())
             .text("error", result.error())
             .take() +
         "\n";
}

std::string render(const ipc::ExplainResult& result, Colour colour) {
  std::string out = render_findings(result.findings(), colour);
  if (!result.ok()) {
    return out + painted("refused", Paint::kRed, colour) + ": " +
           (result.error().empty() ? "the candidate cannot be committed" : clean(result.error())) + '\n';
  }
  const ipc::Explanation& said = result.explanation();
  ipc::Table table = text_columns({{"stage", "STAGE"}, {"result", "RESULT"}, {"object", "OBJECT"}, {"detail", "DETAIL"}, {"id", "ID"}});
  for (const ipc::ExplainStep& step : said.steps()) {
    add_cells(table, {step.stage(), step.result(), step.object(), step.detail(), step.id()});
  }
  out += render_table(table, colour);
  const bool passes = said.reason().empty();
  std::string verdict = clean(said.verdict());
  if (!passes) verdict += " (" + clean(said.reason()) + ")";
  out += painted(verdict, passes ? Paint::kGreen : Paint::kRed, colour);
  if (!said.rule().empty()) out += " by rule " + clean(said.rule());
  return out + (result.candidate() ? ", under the candidate\n" : ", under revision " + std::to_string(said.generation()) + '\n');
}

std::string render_json(const ipc::ExplainResult& result) {
  const ipc::Explanation& said = result.explanation();
  const std::string steps = json_array(said.steps(), [](const ipc::ExplainStep& step) {
    return JsonObject()
        .text("stage", step.stage())
        .text("result", step.result())
        .text("object", step.object())
        .text("id", step.id())
        .text("detail", step.detail())
        .take();
  });
  return JsonObject()
             .flag("ok", result.ok())
             .flag("candidate", result.candidate())
             .number("revision", said.generation())
             .text("verdict", said.verdict())
             .text("reason", said.reason())
             .text("rule", said.rule())
             .raw("steps", steps)
             .text("error", result.error())
             .raw("findings", findings_json(result.findings()))
             .take() +
         "\n";
}

std::string render(const ipc::ReplayResult& result, const ipc::ReplayReport& report, std::uint64_t cut, Colour colour) {
  std::string out = render_findings(result.findings(), colour);
  if (!result.ok()) {
    return out + painted("refused", Paint::kRed, colour) + ": " +
           (result.error().empty() ? "the candidate cannot be committed" : clean(result.error())) + '\n';
  }
  if (report.flips_size() > 0) {
    ipc::Table table = text_columns({{"flow", "FLOW"}, {"packets", "PACKETS"}, {"running", "RUNNING"}, {"candidate", "CANDIDATE"}});
    for (const ipc::FlippedFlow& flow : report.flips()) {
      add_cells(table, {flow.flow(), std::to_string(flow.packets()), verdict_text(flow.running()), verdict_text(flow.candidate())});
    }
    out += render_table(table, colour);
  }
  const std::string left_out = (report.own() > 0 ? ", " + std::to_string(report.own()) + " the gateway's own" : "") +
                               (report.too_long() > 0 ? ", " + std::to_string(report.too_long()) + " too long" : "") +
                               (cut > 0 ? ", " + std::to_string(cut) + " cut by the capture" : "");
  out += painted(counted(report.flipped(), "flow") + " of " + std::to_string(report.flows()) + " would flip",
                 report.flipped() > 0 ? Paint::kRed : Paint::kGreen, colour) +
         " against revision " + std::to_string(result.running()) + " (" + counted(report.judged(), "frame") + left_out + ")\n";
  if (report.mid_stream() > 0) {
    out += counted(report.mid_stream(), "flow") + " began before the capture: judged by the rule alone\n";
  }
  return out;
}

std::string render_json(const ipc::ReplayResult& result, const ipc::ReplayReport& report, std::uint64_t cut) {
  const auto side = [](const ipc::FlowVerdict& verdict) {
    return JsonObject().text("verdict", verdict.verdict()).text("reason", verdict.reason()).text("rule", verdict.rule()).take();
  };
  const std::string flips = json_array(report.flips(), [&](const ipc::FlippedFlow& flow) {
    return JsonObject()
        .text("flow", flow.flow())
        .number("packets", flow.packets())
        .raw("running", side(flow.running()))
        .raw("candidate", side(flow.candidate()))
        .take();
  });
  return JsonObject()
             .flag("ok", result.ok())
             .number("revision", result.running())
             .number("flipped", report.flipped())
             .number("flows", report.flows())
             .number("mid_stream", report.mid_stream())
             .number("judged", report.judged())
             .number("own", report.own())
             .number("too_long", report.too_long())
             .number("cut", cut)
             .raw("flips", flips)
             .text("error", result.error())
             .raw("findings", findings_json(result.findings()))
             .take() +
         "\n";
}

ipc::Table revisions_table(const ipc::RevisionList& list) {
  ipc::Table table;
  const auto column = [&table](const char* key, const char* title, bool number) {
    ipc::Column& added = *table.add_columns();
    added.set_key(key);
    added.set_title(title);
    added.set_number(number);
    added.set_right(number);
  };
  column("revision", "REVISION", true);
  column("state", "STATE", false);
  column("created", "CREATED", false);
  column("author", "AUTHOR", false);
  column("copied_from", "COPIED FROM", true);
  column("comment", "COMMENT", false);
  for (const ipc::Revision& revision : list.revisions()) {
    ipc::Row& row = *table.add_rows();
    row.add_cells(std::to_string(revision.number()));
    row.add_cells(revision.number() == list.running() ? "running" : revision.state());
    row.add_cells(revision.created_ns() > 0 ? to_text(Timestamp{revision.created_ns()}) : "");
    row.add_cells(revision.author());
    row.add_cells(revision.copied_from() > 0 ? std::to_string(revision.copied_from()) : "");
    row.add_cells(revision.comment());
  }
  if (list.waiting_confirmation() > 0) {
    table.set_note("revision " + std::to_string(list.waiting_confirmation()) + " waits for confirmation until " +
                   to_text(Timestamp{list.rollback_at_ns()}));
  }
  return table;
}

std::string render_log_line(std::string_view line, Colour colour) {
  const auto entry = parse_json(line);
  if (!entry) return clean(line);
  return std::visit([&](const auto& body) { return log_text(*entry, body, colour); }, entry->body);
}

}  // namespace sekisho::mgmt
