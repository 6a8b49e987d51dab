// SPDX-License-Identifier: Apache-2.0
// Address and service objects and their groups (specification 3.2).
#include <vector>

#include "base/limits.h"
#include "control/config/text.h"
#include "control/config/validate_parts.h"
#include "filters/policy/snapshot.h"

namespace sekisho::control {
namespace {

/// Groups by index, as a graph: depth counts the groups on the longest way down; a cycle is named once.
class GroupGraph {
 public:
  explicit GroupGraph(std::size_t groups) : edges_(groups), state_(groups, State::kNew), depth_(groups, 0) {}
  void add(std::size_t from, std::size_t to) { edges_[from].push_back(to); }

  enum class Fault : std::uint8_t { kNone, kCycle, kDepth };
  /// Call for each group in turn. Recursion ends by the marks: no deeper than the groups are many.
  Fault check(std::size_t group) {
    const bool cycle = !walk(group);
    if (cycle) return Fault::kCycle;
    return depth_[group] > limits::kGroupDepthMax ? Fault::kDepth : Fault::kNone;
  }

 private:
  enum class State : std::uint8_t { kNew, kOpen, kDone, kCyclic };
  struct Visit {
    std::size_t group;
    std::size_t next_edge;
  };

  /// Depth-first with a stack of its own: a hostile chain of groups must not exhaust the thread's.
  bool walk(std::size_t start) {
    if (state_[start] != State::kNew) return state_[start] == State::kDone;
    std::vector<Visit> open{{start, 0}};
    state_[start] = State::kOpen;
    while (!open.empty()) {
      Visit& top = open.back();
      if (top.next_edge == edges_[top.group].size()) {
        close(top.group);
        open.pop_back();
        continue;
      }
      const std::size_t child = edges_[top.group][top.next_edge++];
      if (state_[child] == State::kNew) {
        state_[child] = State::kOpen;
        open.push_back({child, 0});
      } else if (state_[child] != State::kDone) {
        for (const Visit& visit : open) state_[visit.group] = State::kCyclic;
        return false;
      }
    }
    return true;
  }
  void close(std::size_t group) {
    std::size_t deepest = 0;
    for (const std::size_t child : edges_[group]) deepest = std::max(deepest, depth_[child]);
    depth_[group] = deepest + 1;
    state_[group] = State::kDone;
  }

  std::vector<std::vector<std::size_t>> edges_;
  std::vector<State> state_;
  std::vector<std::size_t> depth_;
};

/// Members of one group: each names an object or a group; groups become edges.
void check_members(Reporter& reporter, const Path& here, std::string_view field, const Strings& members,
                   const NameIndex& objects, const NameIndex& groups, std::size_t self, GroupGraph& graph) {
  for (int i = 0; i < members.size(); ++i) {
    if (objects.contains(members[i])) continue;
    const auto group = groups.find(members[i]);
    if (group == groups.end()) {
      reporter.no_such_name(Path(here, field, i), {".addresses", ".address_groups", ".services", ".service_groups"},
                            "there is no object or group named \"" + members[i] + '"');
    } else {
      graph.add(self, static_cast<std::size_t>(group->second));
    }
  }
}

void report_graph(Reporter& reporter, const Path& path, std::string_view field, int groups, GroupGraph& graph) {
  for (int i = 0; i < groups; ++i) {
    const auto fault = graph.check(static_cast<std::size_t>(i));
    if (fault == GroupGraph::Fault::kCycle)
      reporter.error(Path(path, field, i), "the group contains itself, or a group that does");
    if (fault == GroupGraph::Fault::kDepth) {
      reporter.error(Path(path, field, i),
                     "groups are nested more than " + std::to_string(limits::kGroupDepthMax) + " deep");
    }
  }
}

/// Names of the groups, after those of the objects: both share one name space, since rules refer to either.
template <typename Groups>
NameIndex index_groups(Reporter& reporter, const Path& path, std::string_view field, const Groups& groups,
                       const NameIndex& objects) {
  NameIndex names;
  index_names(reporter, path, field, groups, names);
  for (int i = 0; i < groups.size(); ++i) {
    if (!objects.contains(groups[i].name())) continue;
    const Path here(path, field, i);
    reporter.error(Path(here, "name"), "an object is already named \"" + groups[i].name() + '"');
  }
  return names;
}

void check_addresses(Reporter& reporter, const model::Tenant& tenant, const Path& path) {
  NameIndex objects;
  index_names(reporter, path, "addresses", tenant.addresses(), objects);
  for (int i = 0; i < tenant.addresses_size(); ++i) {
    const Path here(path, "addresses", i);
    const auto& entries = tenant.addresses(i).entries();
    const Path list(here, "entries");
    if (entries.empty()) reporter.error(list, "an address object has at least one entry");
    check_count(reporter, list, static_cast<std::size_t>(entries.size()), limits::kAddressEntriesPerObjectMax,
                "entries");
    for (int e = 0; e < entries.size(); ++e) {
      if (parse_address_entry(entries[e])) continue;
      reporter.error(Path(here, "entries", e),
                     '"' + entries[e] +
                         "\" is not an address, a prefix with its host bits clear, or a range like "
                         "10.0.0.1-10.0.0.9");
    }
  }
  const NameIndex groups = index_groups(reporter, path, "address_groups", tenant.address_groups(), objects);
  GroupGraph graph(static_cast<std::size_t>(tenant.address_groups_size()));
  for (int i = 0; i < tenant.address_groups_size(); ++i) {
    const Path here(path, "address_groups", i);
    const auto& group = tenant.address_groups(i);
    if (group.members().empty()) reporter.error(Path(here, "members"), "a group has at least one member");
    check_count(reporter, Path(here, "members"), static_cast<std::size_t>(group.members_size()),
                limits::kAddressEntriesPerObjectMax, "members");
    check_count(reporter, Path(here, "exclude"), static_cast<std::size_t>(group.exclude_size()),
                limits::kAddressEntriesPerObjectMax, "members");
    check_members(reporter, here, "members", group.members(), objects, groups, static_cast<std::size_t>(i), graph);
    check_members(reporter, here, "exclude", group.exclude(), objects, groups, static_cast<std::size_t>(i), graph);
  }
  report_graph(reporter, path, "address_groups", tenant.address_groups_size(), graph);
}

void check_ports(Reporter& reporter, const Path& here, std::string_view field, const Strings& ports, std::size_t most,
                 bool allowed) {
  check_count(reporter, Path(here, field), static_cast<std::size_t>(ports.size()), most, "ports and ranges");
  if (!allowed && !ports.empty()) reporter.error(Path(here, field), "only tcp, udp and sctp have ports");
  for (int i = 0; i < ports.size(); ++i) {
    if (!parse_port_range(ports[i])) {
      reporter.error(Path(here, field, i),
                     '"' + ports[i] + "\" is not a port from 1 to 65535 or a range like 8000-8080");
    }
  }
}

void check_icmp(Reporter& reporter, const Path& here, const model::ServiceObject& service, bool allowed) {
  const Path list(here, "icmp");
  if (!allowed && service.icmp_size() != 0) reporter.error(list, "only icmp and icmpv6 have types and codes");
  check_count(reporter, list, static_cast<std::size_t>(service.icmp_size()), limits::kServiceDestinationsMax, "types");
  for (int i = 0; i < service.icmp_size(); ++i) {
    const Path at(here, "icmp", i);
    if (service.icmp(i).type() > 255) reporter.error(Path(at, "type"), "an ICMP type lies between 0 and 255");
    if (service.icmp(i).code() > 255) reporter.error(Path(at, "code"), "an ICMP code lies between 0 and 255");
  }
}

/// What a service of this protocol may say about silence.
void check_timeouts(Reporter& reporter, const Path& here, const model::ServiceObject& service, const Protocol& protocol) {
  const auto check = [&](std::string_view field, std::uint32_t seconds, bool applies, const char* why) {
    if (seconds == 0) return;
    if (!applies) reporter.error(Path(here, field), why);
    if (seconds > filters::snapshot::kTimeoutMax) {
      reporter.error(Path(here, field), "a timeout is at most " + std::to_string(filters::snapshot::kTimeoutMax) + " seconds, a week");
    }
  };
  check("timeout_seconds", service.timeout_seconds(), !protocol.any, "a service of any protocol has no timeout of its own");
  const bool first = !protocol.any && !protocol.is_icmp() && protocol.number != 6 && protocol.number != 132;
  check("first_timeout_seconds", service.first_timeout_seconds(), first,
        "only where no handshake opens a session, and not for icmp");
}

void check_services(Reporter& reporter, const model::Tenant& tenant, const Path& path) {
  NameIndex objects;
  index_names(reporter, path, "services", tenant.services(), objects);
  for (int i = 0; i < tenant.services_size(); ++i) {
    const Path here(path, "services", i);
    const auto& service = tenant.services(i);
    const auto protocol = parse_protocol(service.protocol());
    if (!protocol) {
      reporter.error(Path(here, "protocol"),
                     '"' + service.protocol() + "\" is not tcp, udp, sctp, icmp, icmpv6, gre, esp, any or a number from 0 to 255");
    }
    const Protocol known = protocol.value_or(Protocol{});
    check_ports(reporter, here, "source_ports", service.source_ports(), limits::kServiceSourcesMax,
                !protocol || known.has_ports());
    check_ports(reporter, here, "destination_ports", service.destination_ports(), limits::kServiceDestinationsMax,
                !protocol || known.has_ports());
    check_icmp(reporter, here, service, !protocol || known.is_icmp());
    check_timeouts(reporter, here, service, known);
  }
  const NameIndex groups = index_groups(reporter, path, "service_groups", tenant.service_groups(), objects);
  GroupGraph graph(static_cast<std::size_t>(tenant.service_groups_size()));
  for (int i = 0; i < tenant.service_groups_size(); ++i) {
    const Path here(path, "service_groups", i);
    const auto& group = tenant.service_groups(i);
    if (group.members().empty()) reporter.error(Path(here, "members"), "a group has at least one member");
    check_count(reporter, Path(here, "members"), static_cast<std::size_t>(group.members_size()),
                limits::kAddressEntriesPerObjectMax, "members");
    check_members(reporter, here, "members", group.members(), objects, groups, static_cast<std::size_t>(i), graph);
  }
  report_graph(reporter, path, "service_groups", tenant.service_groups_size(), graph);
}

}  // namespace

void validate_objects(Reporter& reporter, const model::Tenant& tenant, const Path& path) {
  check_addresses(reporter, tenant, path);
  check_services(reporter, tenant, path);
}

}  // namespace sekisho::control
