# SPDX-License-Identifier: Apache-2.0
"""What happens in the demonstration, told by the hosts.

Each row's verdict is what hosts saw: exit statuses, page contents, frames on their wires. What the appliance's own log says
is read afterwards and must agree; a row whose two accounts differ has failed.
"""

import subprocess
import time
from dataclasses import dataclass, field

from . import home
from .frames import gratuitous_arp, unsolicited_advertisement
from .sstp import SstpError
from .system import LabError, wait_until

_LOG_PATIENCE_S = 25  # a folded record is written when its ten seconds are over
_TENANTS = {"acme": "acm00000001", "globex": "glx00000001"}
_PUBLIC = {"acme": ("203.0.113.17", "2001:db8:a::17"), "globex": ("203.0.113.33", "2001:db8:b::33")}
_WEB1, _DB1 = ("10.0.0.2", "fd00:10:0:1::2"), ("10.0.0.18", "fd00:10:0:2::2")
_SHARED_SOURCE_PORTS = (43000, 43001)  # IPv4, IPv6: a closed connection's port is not free at once


@dataclass
class Row:
    """One line of the story. `wants`: fields a log record must have for the log to agree; empty: nothing is to be logged."""

    who: str
    whom: str
    what: str
    expected: str
    seen: str = ""
    tenant: str = ""
    wants: dict = field(default_factory=dict)
    begun: float = field(default_factory=time.time)
    says: str = ""
    log_agrees: bool = True

    @property
    def true(self):
        return self.seen == self.expected and self.log_agrees


def tell(lab):
    """Plays the whole story on a built lab and returns its rows, log accounts joined."""
    rows = []
    wires = {name: host.capture() for name, host in lab.topology.hosts.items()}
    try:
        for chapter in (_inside, _outside, _isolation, _forged_mac, _forged_address, _forged_neighbour, _shared_port,
                        *((_from_home,) if "tunneld" in lab.appliance.keying else ())):
            for tenant in _TENANTS if chapter in (_inside, _outside) else ("acme",):
                rows += chapter(lab, tenant)
        rows.append(_nothing_crossed(wires))
    finally:
        for wire in wires.values():
            wire.stop()
    _join_log(lab, rows)
    return rows


# --- one attempt, one row ----------------------------------------------------------------------------------------------


class _Ports:
    """Source ports of the story, a range a tenant: a frame tells whose it is."""

    next = {"acme": 41000, "globex": 42000}

    @classmethod
    def take(cls, tenant):
        cls.next[tenant] += 1
        return cls.next[tenant]


def _url(address, port):
    return f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"


def _fetch(tenant, who, whom, address, port, expected, page="", rule="", source=None):
    """`who` fetches a page from `whom`; the target's own wire says whether anything arrived."""
    source_port = _Ports.take(tenant)
    row = Row(who.name, f"{whom.name} {address}", f"curl, TCP {port}", expected, tenant=_TENANTS[tenant])
    options = ["--local-port", str(source_port)] + (["--interface", source] if source else [])
    with whom.capture() as wire:
        status, text = who.curl(_url(address, port), 2, *options)
        arrived = any(seen.source_port == source_port for seen in wire.packets())
    row.seen = _verdict(status, text, page, arrived)
    row.wants = {"type": "comm", "dst_ip": address, "dst_port": port, "rule_name": rule,
                 "action": {"passed": "allow", "refused": "reject"}.get(expected, "drop")}
    if expected == "passed":
        row.wants["src_port"] = source_port
    return row


def _verdict(status, text, page, arrived):
    if status == 0 and text == page and arrived:
        return "passed"
    if arrived:
        return f"ARRIVED (curl {status}, page '{text}')"
    return {7: "refused", 28: "no answer"}.get(status, f"curl {status}")


def _ping(tenant, who, whom, address, expected, rule):
    row = Row(who.name, f"{whom.name} {address}", "ping", expected, tenant=_TENANTS[tenant])
    with whom.capture() as wire:
        answered = who.ping(address)
        arrived = any(seen.destination == address for seen in wire.packets())
    row.seen = "passed" if answered and arrived else "ARRIVED" if arrived else "no answer"
    row.wants = {"type": "comm", "dst_ip": address, "proto": 58 if ":" in address else 1, "rule_name": rule,
                 "action": "allow" if expected == "passed" else "drop"}
    return row


# --- chapters ----------------------------------------------------------------------------------------------------------


def _inside(lab, tenant):
    """The office and its servers: named rules, both families, and the pinned default deny."""
    pc, web1, db1 = (lab[f"{tenant}-{name}"] for name in ("pc", "web1", "db1"))
    for address in _WEB1:
        yield _fetch(tenant, pc, web1, address, 80, "passed", f"{tenant} web1", "web for the office")
    for address in _DB1:
        yield _ping(tenant, pc, db1, address, "passed", "office may ping")
    yield _knock(tenant, pc, web1, _WEB1[0])
    for address in _WEB1:
        yield _fetch(tenant, pc, web1, address, 22, "refused", rule="no logins from the office")
    for address in _DB1:
        yield _fetch(tenant, pc, db1, address, 5432, "no answer", rule="既定拒否")


def _knock(tenant, pc, web1, address):
    row = Row(pc.name, f"{web1.name} {address}", "nc, TCP 80", "passed", tenant=_TENANTS[tenant])
    row.seen = "passed" if pc.knock(address, 80) else "no answer"
    row.wants = {"type": "comm", "dst_ip": address, "dst_port": 80, "action": "allow", "rule_name": "web for the office"}
    return row


def _outside(lab, tenant):
    """The shared uplink: the owner of the destination address decides whose policy judges."""
    outside, web1 = lab["outside"], lab[f"{tenant}-web1"]
    for address in _PUBLIC[tenant]:
        yield _fetch(tenant, outside, web1, address, 80, "passed", f"{tenant} web1", "public web")
    for address in _PUBLIC[tenant]:
        yield _fetch(tenant, outside, web1, address, 22, "no answer", rule="既定拒否")
    for own, address in zip(_PUBLIC[tenant], ("192.0.2.2", "2001:db8:0:1::2")):
        yield _fetch(tenant, web1, outside, address, 80, "passed", "outside", "servers fetch", source=own)


def _isolation(lab, _):
    """The same five-tuple in both tenants at the same moment: each gets its own page."""
    clients = {tenant: lab[f"{tenant}-pc"] for tenant in _TENANTS}
    for address, port in zip(_WEB1, _SHARED_SOURCE_PORTS):
        options = ["--local-port", str(port), "--limit-rate", "20"]
        running = {tenant: _start_curl(pc, _url(address, 80), options) for tenant, pc in clients.items()}
        for tenant, process in running.items():
            text, _ = process.communicate(timeout=15)
            row = Row(clients[tenant].name, f"{tenant}-web1 {address}", "both tenants at once, same five-tuple", "passed",
                      tenant=_TENANTS[tenant])
            row.seen = "passed" if text.strip() == f"{tenant} web1" else f"page '{text.strip()}'"
            row.wants = {"type": "comm", "dst_ip": address, "src_port": port, "action": "allow",
                         "rule_name": "web for the office"}
            yield row


def _from_home(lab, tenant):
    """Somebody outside comes in by SSTP with her password, and no further than her group may."""
    outside, web1 = lab["outside"], lab[f"{tenant}-web1"]
    home.open_door(lab)
    with home.client(lab):
        yield Row("outside", "gateway", f"SSTP, {home.USER}'s password", "in", "in", _TENANTS[tenant], {"type": "vpn", "event": "up", "user": home.USER})
        yield _fetch(tenant, outside, web1, _WEB1[0], 80, "passed", f"{tenant} web1", "staff web")
        yield _fetch(tenant, outside, web1, _WEB1[0], 22, "no answer", rule="既定拒否")
    row = Row("outside", "gateway", "SSTP, a wrong password", "refused", tenant=_TENANTS[tenant], wants={"type": "vpn", "event": "auth_fail", "user": home.USER})
    try:
        with home.client(lab, "not hers"):
            row.seen = "in"
    except SstpError:
        row.seen = "refused"
    yield row


def _start_curl(host, url, options):
    return subprocess.Popen(host.argv("curl", "--silent", "--max-time", "5", "--noproxy", "*", *options, url), text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def _nothing_crossed(wires):
    """No frame of one tenant on any wire of the other, in the whole story so far."""
    row = Row("acme, globex", "each other", "all frames of all hosts", "nothing crossed", "nothing crossed")
    ranges = {"acme": range(41000, 42000), "globex": range(42000, 43000)}
    for name, wire in wires.items():
        mine = name.split("-")[0]
        for other in set(_TENANTS) - {mine} if mine in _TENANTS else ():
            for seen in wire.packets():
                if {seen.source_port, seen.destination_port} & set(ranges[other]) or other.encode() + b" " in seen.frame:
                    row.seen = f"{name} saw {seen.source} -> {seen.destination} of {other}"
    return row


def _forged_mac(lab, tenant):
    """A server takes another card's address: it is cut off. It takes its own again: it is back."""
    web1, outside = lab[f"{tenant}-web1"], lab["outside"]
    address, own = "192.0.2.2", _PUBLIC[tenant][0]
    web1.set_mac("02:00:00:00:0a:66")
    row = _fetch(tenant, web1, outside, address, 80, "no answer", source=own)
    row.what = "forged MAC, " + row.what
    row.seen = "no answer" if row.seen == "curl 7" else row.seen  # no neighbour at all is no answer either
    row.wants = {"type": "sec", "event": "AE_MAC", "eth_src": "02:00:00:00:0a:66"}
    web1.set_mac(web1.plan.mac)
    yield row
    again = _fetch(tenant, web1, outside, address, 80, "passed", "outside", "servers fetch", source=own)
    again.what = "own MAC again, " + again.what
    yield again


def _forged_address(lab, tenant):
    """The office machine speaks from an address that is not its own: nothing arrives. From its own, all is well."""
    pc, web1 = lab[f"{tenant}-pc"], lab[f"{tenant}-web1"]
    for address, forged in zip(_WEB1, ("10.0.0.35", "fd00:10:0:3::35")):
        yield _speak_as(tenant, pc, web1, address, forged)
        right = _fetch(tenant, pc, web1, address, 80, "passed", f"{tenant} web1", "web for the office")
        right.what = "own source, " + right.what
        yield right


def _speak_as(tenant, who, whom, address, forged):
    """`who` fetches a page from a source that is not its own; its own Binding must say so."""
    length = "/128" if ":" in forged else "/32"
    who.add_address(forged + length)
    row = _fetch(tenant, who, whom, address, 80, "no answer", source=forged)
    who.remove_address(forged + length)
    row.what = f"forged source {forged}"
    row.wants = {"type": "sec", "event": "AE_IP6" if ":" in forged else "AE_IP4", "src_ip": forged,
                 "binding": who.name.removeprefix(f"{tenant}-") + "-eth0"}
    return row


def _shared_port(lab, _):
    """Two office machines behind one Port: the gateway knows the second by its MAC, and refuses it the address of the first."""
    pc2, web1 = lab["globex-pc2"], lab["globex-web1"]
    for address, neighbours in zip(_WEB1, ("10.0.0.34", "fd00:10:0:3::2")):
        row = _fetch("globex", pc2, web1, address, 80, "passed", "globex web1", "web for the office")
        row.what = "behind pc's Port, " + row.what
        yield row
        yield _speak_as("globex", pc2, web1, address, neighbours)


def _forged_neighbour(lab, tenant):
    """A server claims its neighbour's address (ARP, ND): the gateway goes on sending to the rightful owner."""
    web1, db1, pc = (lab[f"{tenant}-{name}"] for name in ("web1", "db1", "pc"))
    forgeries = ((gratuitous_arp(web1.plan.mac, _DB1[0]), _DB1[0], "forged ARP", {"event": "AE_ARP_SPA", "arp_spa": _DB1[0]}),
                 (unsolicited_advertisement(web1.plan.mac, _WEB1[1], _DB1[1]), _DB1[1], "forged ND",
                  {"event": "AE_NA", "nd_target": _DB1[1]}))
    for frame, address, what, wants in forgeries:
        row = Row(web1.name, f"gateway: I am {address}", what, "not believed", tenant=_TENANTS[tenant], wants={"type": "sec", **wants})
        web1.send_frame(frame)
        with web1.capture() as thief, db1.capture() as owner:
            answered = pc.ping(address)
            stolen = any(seen.destination == address for seen in thief.packets())
            kept = any(seen.destination == address for seen in owner.packets())
        row.seen = "not believed" if answered and kept and not stolen else f"answered={answered} stolen={stolen}"
        yield row


# --- what the log says -------------------------------------------------------------------------------------------------


def _join_log(lab, rows):
    """Waits until the log has a record for every row that wants one, each record used once."""
    def all_joined():
        records = {tenant: lab.appliance.records(tenant) for tenant in _TENANTS.values()}
        used = set()
        for row in rows:
            record = _record_for(row, records.get(row.tenant, ()), used)
            row.log_agrees = record is not None or not row.wants
            row.says = _words(record) if record else "" if not row.wants else "(no such record)"
        return all(row.log_agrees for row in rows)

    try:
        wait_until(all_joined, _LOG_PATIENCE_S, "log", every=0.5)
    except LabError:
        pass  # the rows say which


def _record_for(row, records, used):
    for record in records:
        fits = all(record.get(key) == value for key, value in row.wants.items())
        if row.wants and fits and record["eid"] not in used and record.get("phase") != "end":
            used.add(record["eid"])
            return record
    return None


def _words(record):
    if record["type"] == "sec":
        return f"{record['event']} {record.get('binding', '')}".strip()
    if record["type"] == "vpn":
        return f"{record['event']} {record['user']}, {record['auth']}"
    return f"{record['action']}: {record['rule_name']}"


# --- print -------------------------------------------------------------------------------------------------------------


def _width(text):
    """Columns on a terminal: CJK characters take two."""
    return sum(2 if ord(character) > 0x2E7F else 1 for character in text)


def table(rows):
    """The story as lines of text."""
    titles = ("who", "to whom", "what", "the hosts saw", "the log says", "")
    cells = [titles] + [(row.who, row.whom, row.what, row.seen, row.says, "ok" if row.true else "FAILED") for row in rows]
    widths = [max(_width(line[column]) for line in cells) for column in range(len(titles))]
    lines = ["  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(line, widths)).rstrip() for line in cells]
    return [lines[0], "-" * sum(widths, 2 * (len(widths) - 1))] + lines[1:]
