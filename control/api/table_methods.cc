// SPDX-License-Identifier: Apache-2.0
// What moves: tables that sekishoctl shows as well, the dashboard, acts on sessions and Bindings, explanations.
#include <algorithm>
#include <array>
#include <charconv>

#include "base/ipc/sealed_blob.h"
#include "control/api/call.h"
#include "control/api/document_json.h"
#include "control/api/reach.h"
#include "control/api/sampler.h"
#include "control/config/text.h"
#include "control/links/answer.h"

namespace sekisho::control {
namespace {

constexpr std::uint32_t kRowsDefault = 1000;
constexpr std::uint32_t kRowsMax = 10'000;

/// Answers with the table that sekishoctl would show.
void show(const CallPtr& call, ApiWorld& world, ipc::Show question) {
  ControlRequest asked;
  *asked.message.mutable_show() = std::move(question);
  world.ask(std::move(asked), [call](ControlAnswer answer) {
    const auto found = table_of(std::move(answer));
    if (const auto* refusal = std::get_if<Refusal>(&found)) return call->refuse(*refusal);
    const auto& table = std::get<ipc::Table>(found);
    const bool without_tenant = !call->tenant.empty();
    api::Table out;
    out.set_note(table.note());
    for (const auto& column : table.columns()) {
      if (without_tenant && column.key() == "tenant") continue;
      auto& one = *out.add_columns();
      one.set_key(column.key());
      one.set_title(column.title());
      one.set_number(column.number());
    }
    add_rows(table, without_tenant, *out.mutable_rows());
    call->reply(out);
  });
}

void show_table(const CallPtr& call, ApiWorld& world, ipc::Show::What what) {
  const auto& request = call->request<api::TableRequest>();
  ipc::Show question;
  question.set_what(what);
  question.set_tenant(call->tenant);
  question.set_limit(std::min(request.limit() == 0 ? kRowsDefault : request.limit(), kRowsMax));
  question.set_unused_days(request.unused_days());
  show(call, world, std::move(question));
}

void show_platform(const CallPtr& call, ApiWorld& world, ipc::Show::What what) {
  ipc::Show question;
  question.set_what(what);
  show(call, world, std::move(question));
}

void list_tenants(const CallPtr& call, ApiWorld& world) {
  const InForce now = world.in_force();
  api::TenantList out;
  const auto add = [&](const std::string& service_code, bool by_consent) {
    const auto* tenant = now.tenant(service_code);
    if (tenant == nullptr) return;
    auto& one = *out.add_tenants();
    one.set_service_code(tenant->service_code());
    one.set_name(tenant->name());
    one.set_by_consent(by_consent);
  };
  if (!call->who.tenant.empty()) {
    add(call->who.tenant, false);
  } else if (call->who.role == Role::kSupport) {
    std::vector<std::string> open = world.people.consenting();
    std::sort(open.begin(), open.end());
    open.erase(std::unique(open.begin(), open.end()), open.end());
    for (const auto& service_code : open) add(service_code, true);
  } else {
    for (int i = 0; now.model != nullptr && i < now.model->tenants_size(); ++i)
      add(now.model->tenants(i).service_code(), false);
  }
  call->reply(out);
}

void dashboard(const CallPtr& call, ApiWorld& world) {
  api::Dashboard out = world.sampler.dashboard(call->tenant, call->request<api::DashboardRequest>().seconds());
  const auto running = world.store.running();
  const auto scopes = world.store.records(RecordKind::kRevisionScope);
  if (running && *running && !(*running)->confirmed && scopes) {
    for (const auto& record : *scopes) {
      access::StoredRevisionScope scope;
      if (record.key != std::to_string((*running)->number) || !scope.ParseFromString(record.value) ||
          scope.tenant() != call->tenant)
        continue;
      out.set_waiting_confirmation((*running)->number);
      constexpr std::uint64_t kSecondNs = 1'000'000'000;
      out.mutable_roll_back_at()->set_seconds(static_cast<std::int64_t>((*running)->rollback_at_ns / kSecondNs));
    }
  }
  call->reply(out);
}

void end_quarantine(const CallPtr& call, ApiWorld& world) {
  const auto& request = call->request<api::EndQuarantineRequest>();
  call->about = request.binding();
  ControlRequest asked;
  asked.message.mutable_end_quarantine()->set_tenant(call->tenant);
  asked.message.mutable_end_quarantine()->set_binding(request.binding());
  world.ask(std::move(asked), [call](const ControlAnswer& answer) {
    const auto& ended = answer.message.quarantine_ended();
    if (!ended.error().empty()) return call->refuse(conflict(ended.error()));
    call->reply(api::Nothing());
  });
}

void try_login(const CallPtr& call, ApiWorld& world) {
  constexpr std::size_t kTextBytesMax = 256;
  const auto& request = call->request<api::TryLoginRequest>();
  call->about = request.user();
  if (request.gateway().empty()) return call->refuse(invalid("gateway", "say at which gateway"));
  if (request.user().empty() || request.user().size() > kTextBytesMax) return call->refuse(invalid("user", "a name has 1 to 256 bytes"));
  if (request.password().size() > kTextBytesMax) return call->refuse(invalid("password", "a password has at most 256 bytes"));
  ControlRequest asked;
  ipc::TryLogin& trial = *asked.message.mutable_try_login();
  if (!request.source().empty()) {
    const auto source = parse_address(request.source());
    if (!source) return call->refuse(invalid("source", "this is no address"));
    trial.set_source(std::string(source->wire().begin(), source->wire().end()));
  }
  trial.set_tenant(call->tenant);
  trial.set_gateway(request.gateway());
  trial.set_user(request.user());
  trial.set_password(request.password());
  world.ask(std::move(asked), [call](const ControlAnswer& answer) {
    if (answer.message.has_failure()) return call->refuse(unavailable(answer.message.failure().reason()));
    const ipc::TryLoginResult& result = answer.message.try_login_result();
    if (!result.error().empty()) return call->refuse(result.no_access() ? conflict(result.error()) : unavailable(result.error()));
    api::TryLoginReply out;
    out.set_admitted(result.trial().admitted());
    for (const ipc::VpnTrialStep& step : result.trial().steps()) {
      api::TriedStep& one = *out.add_steps();
      one.set_stage(step.stage());
      one.set_result(step.result());
      one.set_object(step.object());
    }
    call->reply(out);
  });
}

void vpn_profile(const CallPtr& call, ApiWorld& world) {
  const auto& request = call->request<api::VpnProfileRequest>();
  ControlRequest asked;
  auto& profile = *asked.message.mutable_write_vpn_profile();
  profile.set_tenant(call->tenant);
  profile.set_gateway(request.gateway());
  profile.set_user(request.user());
  profile.set_client(request.client());
  world.ask(std::move(asked), [call](const ControlAnswer& answer) { reply_profile(call, answer); });
}

void reach(const CallPtr& call, ApiWorld& world) {
  const InForce now = world.in_force();
  const auto* tenant = now.tenant(call->tenant);
  const auto found = tenant == nullptr ? std::nullopt : reach_of(*tenant, call->request<api::ReachRequest>().user(), world.now());
  if (!found) return call->refuse(not_found());
  call->reply(*found);
}

Refusal describe(const api::ExplainRequest& request, ipc::DescribedPacket& out) {
  const auto source = parse_address(request.source());
  const auto destination = parse_address(request.destination());
  if (!source) return invalid("source", "this is no address");
  if (!destination) return invalid("destination", "this is no address");
  if (source->family != destination->family)
    return invalid("destination", "source and destination are of different families");
  const auto protocol = parse_protocol(request.protocol());
  if (!protocol || protocol->any) return invalid("protocol", "a protocol is tcp, udp, icmp, icmpv6 or 0 to 255");
  const bool v6 = source->family == Family::kIpv6;
  constexpr std::uint32_t kIcmp = 1;
  constexpr std::uint32_t kTcp = 6;
  constexpr std::uint32_t kIcmpv6 = 58;
  constexpr std::uint32_t kPortMax = 65535;
  if (request.source_port() > kPortMax) return invalid("source_port", "a port is at most 65535");
  if (request.destination_port() > kPortMax) return invalid("destination_port", "a port is at most 65535");
  out.set_source(std::string(source->wire().begin(), source->wire().end()));
  out.set_destination(std::string(destination->wire().begin(), destination->wire().end()));
  out.set_protocol(protocol->number == kIcmp && v6 ? kIcmpv6 : protocol->number);
  constexpr std::uint32_t kSomePort = 50000;
  out.set_source_port(protocol->has_ports() && request.source_port() == 0 ? kSomePort : request.source_port());
  out.set_destination_port(request.destination_port());
  constexpr std::string_view kLetters = "FSRPAUEC";
  std::uint32_t flags = 0;
  for (const char letter : request.tcp_flags().empty() ? std::string("S") : request.tcp_flags()) {
    const std::size_t at = kLetters.find(letter);
    if (at == std::string_view::npos) return invalid("tcp_flags", "flags are of the letters FSRPAUEC");
    flags |= 1U << at;
  }
  if (out.protocol() == kTcp) out.set_tcp_flags(flags);
  constexpr std::uint32_t kEcho = 8;
  constexpr std::uint32_t kEcho6 = 128;
  out.set_icmp_type(request.icmp_type() != 0 ? request.icmp_type() : v6 ? kEcho6 : kEcho);
  out.set_icmp_code(request.icmp_code());
  constexpr std::uint32_t kTtl = 64;
  out.set_ttl(kTtl);
  return {};
}

void explain(const CallPtr& call, ApiWorld& world) {
  const auto& request = call->request<api::ExplainRequest>();
  const InForce now = world.in_force();
  const auto* tenant = now.tenant(call->tenant);
  const auto is_own = [&](const auto& port) { return port.name() == request.port(); };
  if (std::none_of(tenant->ports().begin(), tenant->ports().end(), is_own))
    return call->refuse(invalid("port", "there is no such port"));
  ControlRequest asked;
  auto& question = *asked.message.mutable_explain_packet();
  question.set_tenant(call->tenant);
  question.set_port(request.port());
  question.set_user(request.user());
  if (Refusal refusal = describe(request, *question.mutable_packet())) return call->refuse(refusal);
  if (request.has_document()) {
    Decoded read = read_tenant(request.document());
    const May may = [&](api::Action action) { return world.people.may(call->who, action, call->tenant).allowed; };
    if (has_errors(read.findings) || read.model.tenants_size() != 1)
      return call->refuse(invalid("document", "the draft cannot be read: check it first"));
    model::Configuration whole = *now.model;
    auto* place = std::find_if(whole.mutable_tenants()->begin(), whole.mutable_tenants()->end(),
                               [&](const auto& one) { return one.service_code() == call->tenant; })
                      .
                      operator->();
    model::Tenant merged;
    if (Refusal refusal = merge_tenant(*tenant, std::move(*read.model.mutable_tenants(0)), may, merged))
      return call->refuse(refusal);
    *place = std::move(merged);
    auto blob = make_sealed_blob("sekisho-draft", as_bytes(encode_document(whole)));
    if (!blob) return call->refuse(unavailable("the draft cannot be handed over"));
    question.set_candidate_file("draft");
    asked.fds.push_back(std::move(*blob));
  }
  world.ask(std::move(asked), [call](const ControlAnswer& answer) {
    if (answer.message.has_failure()) return call->refuse(unavailable(answer.message.failure().reason()));
    const auto& result = answer.message.explain_result();
    if (!result.ok())
      return call->refuse(result.error().empty() ? invalid("document", "the draft has errors: check it first")
                                                 : unavailable(result.error()));
    const auto& said = result.explanation();
    api::ExplainReply out;
    out.set_revision(said.generation());
    out.set_draft(result.candidate());
    out.set_verdict(said.verdict());
    out.set_reason(said.reason());
    out.set_rule(said.rule());
    for (const auto& step : said.steps()) {
      auto& one = *out.add_steps();
      one.set_stage(step.stage());
      one.set_result(step.result());
      one.set_object(step.object());
      one.set_detail(step.detail());
    }
    call->reply(out);
  });
}

}  // namespace

void change_vpn(const CallPtr& call, ApiWorld& world, ipc::ChangeVpn::What what, const std::string& user) {
  call->about = user;
  ControlRequest asked;
  auto& change = *asked.message.mutable_change_vpn();
  change.set_what(what);
  change.set_tenant(call->tenant);
  change.set_user(user);
  world.ask(std::move(asked), [call](const ControlAnswer& answer) {
    const auto& done = answer.message.vpn_changed();
    if (!done.error().empty()) return call->refuse(conflict(done.error()));
    api::Counted out;
    out.set_count(done.count());
    call->reply(out);
  });
}

void reply_profile(const CallPtr& call, const ControlAnswer& answer) {
  const auto& made = answer.message.vpn_profile();
  if (!made.error().empty()) return call->refuse(invalid("", made.error()));
  api::File out;
  out.set_file_name(made.file_name());
  out.set_text(made.text());
  out.set_media_type("text/plain; charset=utf-8");
  call->reply(out);
}

std::variant<ipc::Table, Refusal> table_of(ControlAnswer answer) {
  if (answer.message.has_failure()) return unavailable(answer.message.failure().reason());
  auto& result = *answer.message.mutable_show_result();
  if (!result.error().empty()) return unavailable(result.error());
  if (result.in_fd()) {
    const auto blob = take_blob(std::move(answer.fd));
    if (!blob || !result.mutable_table()->ParseFromString(*blob)) return unavailable("the table cannot be read");
  }
  return std::move(*result.mutable_table());
}

void add_rows(const ipc::Table& table, bool without_tenant, google::protobuf::RepeatedPtrField<api::TableRow>& out) {
  for (const auto& row : table.rows()) {
    auto& cells = *out.Add()->mutable_cells();
    for (int i = 0; i < std::min(row.cells_size(), table.columns_size()); ++i) {
      if (!without_tenant || table.columns(i).key() != "tenant") cells[table.columns(i).key()] = row.cells(i);
    }
  }
}

void add_table_methods(Handlers& out, ApiWorld& world) {
  const std::array<std::pair<const char*, ipc::Show::What>, 8> tables{{{"ListRules", ipc::Show::RULES},
                                                                       {"ListNat", ipc::Show::NAT},
                                                                       {"ListDrops", ipc::Show::DROPS},
                                                                       {"ListPorts", ipc::Show::PORTS},
                                                                       {"ListBindings", ipc::Show::BINDINGS},
                                                                       {"ListSessions", ipc::Show::SESSIONS},
                                                                       {"ListVpnUsers", ipc::Show::USERS},
                                                                       {"ListVpnSessions", ipc::Show::VPN_SESSIONS}}};
  for (const auto& [name, what] : tables) {
    out[name] = [&world, shown = what](const CallPtr& call) { show_table(call, world, shown); };
  }
  out["GetStatus"] = [&world](const CallPtr& call) { show_platform(call, world, ipc::Show::STATUS); };
  out["ListTenantUse"] = [&world](const CallPtr& call) { show_platform(call, world, ipc::Show::TENANTS); };
  out["ListTenants"] = [&world](const CallPtr& call) { list_tenants(call, world); };
  out["GetDashboard"] = [&world](const CallPtr& call) { dashboard(call, world); };
  out["Watch"] = [&world](const CallPtr& call) { dashboard(call, world); };
  out["EndQuarantine"] = [&world](const CallPtr& call) { end_quarantine(call, world); };
  out["Disconnect"] = [&world](const CallPtr& call) {
    change_vpn(call, world, ipc::ChangeVpn::DISCONNECT, call->request<api::VpnUserRequest>().user());
  };
  out["UnlockVpnUser"] = [&world](const CallPtr& call) {
    change_vpn(call, world, ipc::ChangeVpn::UNLOCK, call->request<api::VpnUserRequest>().user());
  };
  out["TryLogin"] = [&world](const CallPtr& call) { try_login(call, world); };
  out["GetVpnProfile"] = [&world](const CallPtr& call) { vpn_profile(call, world); };
  out["GetReach"] = [&world](const CallPtr& call) { reach(call, world); };
  out["Explain"] = [&world](const CallPtr& call) { explain(call, world); };
}

}  // namespace sekisho::control
