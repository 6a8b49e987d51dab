// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "dataplane/explain/explain.h"
#include "dataplane/path/lookup.h"
#include "dataplane/path/record.h"
#include "filters/packet/arp.h"
#include "filters/packet/fields.h"
#include "filters/packet/nd.h"
#include "filters/packet/protocol.h"
#include "filters/state/datagram_tracker.h"

namespace sekisho::dataplane::explain {
namespace {

using filters::DropReason;

constexpr std::string_view kTcpFlagNames[] = {"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"};

std::string text(std::uint64_t number) { return std::to_string(number); }
std::string name_of(DropReason reason) { return std::string(filters::info(reason).name); }

bool is_icmp(std::uint8_t protocol) {
  return protocol == filters::kProtocolIcmp || protocol == filters::kProtocolIcmpv6;
}

std::string protocol_name(std::uint8_t protocol) {
  switch (protocol) {
    case filters::kProtocolTcp: return "tcp";
    case filters::kProtocolUdp: return "udp";
    case filters::kProtocolIcmp: return "icmp";
    case filters::kProtocolIcmpv6: return "icmpv6";
    default: return "protocol " + text(protocol);
  }
}

std::string endpoint(const Address& address, std::uint16_t port, bool has_port) {
  std::string host = to_string(address);
  if (!has_port) return host;
  return (address.family == Family::kIpv6 ? "[" + host + "]" : host) + ":" + text(port);
}

std::string arp_summary(ByteSpan frame, const PacketMeta& meta) {
  const filters::ArpMessage arp = filters::read_arp(frame, meta);
  if (!arp.is_plain()) return "arp, malformed";
  return arp.operation == filters::kArpRequest ? "arp: who has " + to_string(arp.target) + "? tell " + to_string(arp.sender)
                                               : "arp: " + to_string(arp.sender) + " is at " + to_string(arp.sender_mac);
}

std::string bytes_text(const PacketMeta& meta) { return ", " + text(meta.l3_length) + " bytes"; }

std::string tags_text(const PacketMeta& meta) {
  if (meta.outer_vlan == 0) return {};
  return ", vlan " + text(meta.outer_vlan) + (meta.inner_vlan == 0 ? "" : "." + text(meta.inner_vlan));
}

std::string uuid_text(const std::array<std::uint8_t, 16>& uuid) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (std::size_t i = 0; i < uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    out += kDigits[uuid[i] >> 4];
    out += kDigits[uuid[i] & 15U];
  }
  return out;
}

/// Builds the steps of one outcome.
class Narrator {
 public:
  Narrator(const Runtime& runtime, const Outcome& outcome) : runtime_(runtime), out_(outcome), trace_(outcome.trace) {}

  std::vector<Step> take() {
    decode();
    if (ended_in(Stage::kDecode)) return std::move(steps_);
    bind();
    if (!ended() && trace_.stage < Stage::kFindSession) {
      add("fragments", "held", "", "", "until the rest of its datagram is there");
    } else if (!ended_in(Stage::kBind)) {
      session();
      rule();
      way();
      track();
      forward();
    }
    answers();
    return std::move(steps_);
  }

 private:
  [[nodiscard]] bool ended() const { return trace_.end != Trace::End::kNone; }
  [[nodiscard]] bool ended_in(Stage stage) const { return ended() && trace_.ended_in == stage; }
  [[nodiscard]] bool refused() const { return trace_.end == Trace::End::kDropped; }
  [[nodiscard]] bool placed() const { return out_.meta.generation == runtime_.generation; }
  [[nodiscard]] std::string string(const snapshot::StringRef& ref) const { return std::string(runtime_.view.string(ref)); }

  [[nodiscard]] std::string port_name(std::uint32_t port) const {
    const snapshot::Port& source = runtime_.view.ports()[port];
    const std::string own = "port " + string(source.name);
    return source.tenant == snapshot::kNone ? own : own + " of " + string(runtime_.view.tenants()[source.tenant].name);
  }
  [[nodiscard]] std::string port_id(std::uint32_t port) const { return text(runtime_.ports[port].id); }

  void add(std::string stage, std::string result, std::string object, std::string id, std::string detail) {
    steps_.push_back({std::move(stage), std::move(result), std::move(object), std::move(id), std::move(detail)});
  }
  void add_refused(std::string stage) { add(std::move(stage), "refused", "", "", name_of(trace_.reason)); }

  void decode() {
    if (ended_in(Stage::kDecode)) {
      const bool known = placed();
      const std::string object = known ? port_name(out_.meta.ingress) : "";
      return add("decode", "refused", object, known ? port_id(out_.meta.ingress) : "", name_of(trace_.reason));
    }
    add("decode", "ok", "", "", summary(out_.frame, decoded()));
  }

  /// The record as decode wrote it: later stages may have changed the packet.
  [[nodiscard]] PacketMeta decoded() const {
    PacketMeta meta{};
    static_cast<void>(filters::decode(out_.frame, static_cast<std::uint32_t>(out_.frame.size()), {false, false}, meta));
    return meta;
  }

  void bind() {
    if (!placed()) return add("bind", "refused", "", "", name_of(trace_.reason) + ": nobody's attachment on this NIC");
    const std::uint32_t port = out_.meta.ingress;
    add("bind", "ok", port_name(port), port_id(port), "");
    binding(runtime_.ports[port]);
    if (!ended_in(Stage::kBind)) return;
    const std::string result = refused() ? "refused" : out_.sent.empty() ? "taken in" : "answered";
    add("link", result, "", "", refused() ? name_of(trace_.reason) : "the gateway's own business");
  }

  void binding(const PortEntry& port) {
    if (port.kind != snapshot::PortKind::kSegment) return;
    const std::uint32_t bound = runtime_.binding_of(out_.meta);
    if (bound == kNoIndex) return add("binding", "refused", "", "", name_of(trace_.reason) + ": nobody is bound there, or not this MAC");
    const bool guard = ended_in(Stage::kBind) && filters::info(trace_.reason).name.substr(0, 3) == "ae-";
    const std::string object = "binding " + string(runtime_.view.bindings()[bound].name);
    add("binding", guard ? "refused" : "ok", object, text(runtime_.bindings[bound].id),
        guard ? name_of(trace_.reason) : "the source may speak here");
  }

  void session() {
    if (trace_.local) return add("session", "none", "", "", "to an address of the gateway itself");
    if (!out_.before) return add("session", "none", "", "", "a first packet: policy decides");
    const Session& session = *out_.before;
    const std::string state = session_state(session) + ", packets " + text(session.packets(0)) + " forward, " +
                              text(session.packets(1)) + " back";
    const std::string way = trace_.related ? ", this error belongs to it"
                            : is_error()   ? ""
                            : out_.meta.reverse != 0 ? ", travels back" : ", travels forward";
    add("session", "found", "rule #" + text(session.rule), "", state + way);
    if (trace_.judged_again) {
      add("policy", "again", "", "", "the session was judged under revision " + text(revision_of(session.generation)));
    }
  }

  [[nodiscard]] bool is_error() const { return filters::is_icmp_error(out_.meta); }

  static std::string session_state(const Session& session) {
    if (session.protocol == filters::kProtocolTcp) return std::string(filters::name(session.tcp.state));
    const bool replied = (session.flags & kSessionReplied) != 0;
    return std::string(filters::name(replied ? filters::DatagramState::kReplied : filters::DatagramState::kNew));
  }

  void rule() {
    if (trace_.rule == kNoIndex) {
      if (ended_in(Stage::kAdmit) && refused()) add_refused(refusing_step());
      return;
    }
    const snapshot::Action action = runtime_.rules[trace_.rule].action;
    const std::string result = action == snapshot::Action::kAllow ? "allow" : action == snapshot::Action::kReject ? "reject" : "drop";
    const snapshot::Rule& source = runtime_.view.rules()[trace_.rule];
    const std::string number = source.is_default != 0 ? "the default" : "number " + text(source.number);
    std::string detail = number;
    if (trace_.out_port != kNoIndex) {
      detail += ", zone " + zone_name(out_.meta.ingress) + " to " + zone_name(trace_.out_port);
    }
    add("rule", result, "rule " + rule_name(runtime_, trace_.rule), uuid_text(source.uuid), detail);
    if (ended_in(Stage::kAdmit) && refused() && action == snapshot::Action::kAllow) add_refused("session");
  }

  /// What refuses before any rule is asked.
  [[nodiscard]] const char* refusing_step() const {
    const filters::LogReason kind = filters::info(trace_.reason).log_reason;
    if (kind == filters::LogReason::kQuota) return "quota";
    if (kind == filters::LogReason::kState) return "session";
    const bool route = trace_.reason == DropReason::kNoRoute || trace_.reason == DropReason::kAeDestinationForeign;
    return route ? "route" : "default drops";
  }

  [[nodiscard]] std::string zone_name(std::uint32_t port) const {
    const snapshot::Port& source = runtime_.view.ports()[port];
    if (source.tenant == snapshot::kNone) return "-";
    const auto zones = filters::slice(runtime_.view.zones(), runtime_.view.tenants()[source.tenant].zones);
    return source.zone < zones.size() ? string(zones[source.zone].name) : "-";
  }

  /// Where it would go: policy's answer for first packets, the session's for all others.
  void way() {
    const std::uint32_t out_port = passed_policy() ? out_.meta.egress : trace_.out_port;
    if (trace_.local || out_port == kNoIndex || out_port >= runtime_.ports.size()) return;
    add("route", "ok", port_name(out_port), port_id(out_port), "");
  }

  [[nodiscard]] bool passed_policy() const { return trace_.stage == Stage::kForward; }

  void track() {
    if (ended_in(Stage::kTrack)) return add_refused("state");
    if (!out_.after || !passed_policy() || is_error()) return;
    const Session& now = *out_.after;
    const std::string rest = ", ends after " + text(now.timeout / kTicksPerSecond) + " s of silence";
    const bool anew = trace_.rule != kNoIndex && !trace_.judged_again;  // on the ends of a finished connection, perhaps
    if (!out_.before || anew) return add("state", "opens", "", "", session_state(now) + rest);
    const std::string was = session_state(*out_.before);
    const std::string is = session_state(now);
    add("state", "ok", "", "", was == is ? is + rest : was + " becomes " + is + rest);
  }

  void forward() {
    if (trace_.local) {
      return add("local", ended() ? (refused() ? "refused" : "taken in") : "answered", "", "",
                 refused() ? name_of(trace_.reason) : "the gateway answers itself");
    }
    if (!passed_policy()) return;
    if (out_.meta.egress >= runtime_.ports.size()) return;
    const PortEntry& wire = runtime_.ports[runtime_.ports[out_.meta.egress].wire];
    if (refused()) return add("forward", "refused", "", "", name_of(trace_.reason));
    translation();
    const std::string object = port_name(runtime_.ports[out_.meta.egress].wire);
    if (out_.fate == Fate::kHeld) return add("forward", "held", object, text(wire.id), "until its neighbour tells its MAC");
    const auto sent = std::find_if(out_.sent.begin(), out_.sent.end(), [](const SentFrame& frame) { return frame.original; });
    if (sent == out_.sent.end()) return;
    PacketMeta meta{};
    static_cast<void>(filters::decode(sent->bytes, static_cast<std::uint32_t>(sent->bytes.size()), {false, false}, meta));
    add("forward", "sent", object, text(wire.id),
        "to " + to_string(filters::ethernet_destination(sent->bytes)) + ", ttl " + text(meta.ttl) + ", mtu " + text(wire.mtu));
  }

  [[nodiscard]] const snapshot::NatRule* nat_rule(std::uint32_t id) const {
    const auto rules = runtime_.view.nat_rules();
    const auto at = std::find_if(rules.begin(), rules.end(), [id](const snapshot::NatRule& rule) { return rule.id == id; });
    return at == rules.end() ? nullptr : &*at;
  }

  /// What left bears other ends than what came in, and which rules made it so; or which one exempts it.
  void translation() {
    std::string object;
    std::string id;
    for (const std::uint32_t number : {out_.extra.nat_in, out_.extra.nat_out}) {
      const snapshot::NatRule* rule = out_.after && number != 0 ? nat_rule(number) : nullptr;
      if (rule == nullptr || id.find(uuid_text(rule->uuid)) != std::string::npos) continue;
      object += (object.empty() ? "nat rule " : ", nat rule ") + string(rule->name);
      id += (id.empty() ? "" : ", ") + uuid_text(rule->uuid);
    }
    const auto sent = std::find_if(out_.sent.begin(), out_.sent.end(), [](const SentFrame& frame) { return frame.original; });
    if (sent == out_.sent.end()) return;
    PacketMeta meta{};
    const auto length = static_cast<std::uint32_t>(sent->bytes.size());
    if (filters::decode(sent->bytes, length, {false, false}, meta) != DropReason::kNone) return;
    const PacketMeta came = decoded();
    const bool same_ends = filters::ip_source(sent->bytes, meta) == filters::ip_source(out_.frame, came) &&
                           filters::ip_destination(sent->bytes, meta) == filters::ip_destination(out_.frame, came) &&
                           meta.source_port == came.source_port && meta.destination_port == came.destination_port;
    if (!same_ends) {
      add("nat", "translated", object, id, summary(sent->bytes, meta));
    } else if (!object.empty()) {
      add("nat", "exempt", object, id, "");
    }
  }

  void answers() {
    for (const SentFrame& frame : out_.sent) {
      if (frame.original) continue;
      PacketMeta meta{};
      const DropReason reason =
          filters::decode(frame.bytes, static_cast<std::uint32_t>(frame.bytes.size()), {false, false}, meta);
      add("answer", "sent", "", "", reason == DropReason::kNone ? summary(frame.bytes, meta) : name_of(reason));
    }
  }

  const Runtime& runtime_;
  const Outcome& out_;
  const Trace& trace_;
  std::vector<Step> steps_;
};

}  // namespace

std::string summary(ByteSpan frame, const PacketMeta& meta) {
  if ((meta.proof & filters::kProofArp) != 0) return arp_summary(frame, meta) + tags_text(meta);
  if ((meta.proof & (filters::kProofIpv4 | filters::kProofIpv6)) == 0) {
    return "ethertype " + text(filters::ether_type(frame, meta)) + tags_text(meta);
  }
  const bool ports = (meta.proof & filters::kProofL4) != 0 &&
                     (meta.protocol == filters::kProtocolTcp || meta.protocol == filters::kProtocolUdp);
  std::string out = protocol_name(meta.protocol) + " " + endpoint(filters::ip_source(frame, meta), meta.source_port, ports) + " > " +
                    endpoint(filters::ip_destination(frame, meta), meta.destination_port, ports);
  if ((meta.proof & filters::kProofL4) == 0) {
    out += ", a fragment";
  } else if (meta.protocol == filters::kProtocolTcp) {
    for (std::size_t bit = 0; bit < std::size(kTcpFlagNames); ++bit) {
      if ((meta.tcp_flags >> bit & 1U) != 0) out += " " + std::string(kTcpFlagNames[bit]);
    }
  } else if (is_icmp(meta.protocol)) {
    out += " type " + text(meta.icmp_type) + " code " + text(meta.icmp_code);
  }
  return out + bytes_text(meta) + tags_text(meta);
}

std::string rule_name(const Runtime& runtime, std::uint32_t rule) {
  if (rule == kNoIndex) return {};
  const snapshot::Rule& source = runtime.view.rules()[rule];
  std::string name(runtime.view.string(source.name));
  if (source.policy == snapshot::kNone) return name;
  return std::string(runtime.view.string(runtime.view.policies()[source.policy].name)) + "/" + name;
}

std::vector<Step> narrate(const Runtime& runtime, const Outcome& outcome) { return Narrator(runtime, outcome).take(); }

}  // namespace sekisho::dataplane::explain
