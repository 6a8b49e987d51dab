# SPDX-License-Identifier: Apache-2.0
"""A flow that a rule logs has exactly one end record, which says what its host counted on the wire, or is named as lost: also when the log's
daemon dies while flows end. UDP, TCP by each of its ends and echoes, over both families, of two tenants with the same addresses."""

import json
import struct
import subprocess
from collections import Counter
from contextlib import ExitStack

import pytest
from lab.lab import DEMO_CONFIG, Lab
from lab.system import wait_until

ACME, GLOBEX = "acm00000001", "glx00000001"
TENANTS = {"acme": ACME, "globex": GLOBEX}
TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
PC, WEB = ("10.0.0.34", "fd00:10:0:3::2"), ("10.0.0.2", "fd00:10:0:1::2")
SILENT = (("10.0.0.18", 28), ("fd00:10:0:2::2", 64))  # the gateway sends there, and nobody takes it
CLOCK, LOGIN = 5300, 22  # allowed over UDP and TCP; rejected

# Answers twice what it hears, by datagrams and by connections, until the other side has ended its own.
_ANSWER = f"""
import socket, threading
def twice(peer):
    with peer:
        try:
            while words := peer.recv(4096): peer.sendall(words * 2)
        except ConnectionResetError: pass
def accept():
    while True: threading.Thread(target=twice, args=(calls.accept()[0],), daemon=True).start()
calls = socket.create_server(("::", {CLOCK}), family=socket.AF_INET6, dualstack_ipv6=True)
server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
server.bind(("::", {CLOCK}))
threading.Thread(target=accept, daemon=True).start()
print("ready", flush=True)
while True:
    words, who = server.recvfrom(2048)
    server.sendto(words * 2, who)
"""

# From each port named a connection with as many questions as its number's last digit says and `more`, ended as told: by FIN or by RST, when all
# answers are there, or given up at once (`half`). Nobody has to be there who answers it.
_CONNECT = """
import socket, struct, sys
how, address, port, more = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
for own in map(int, sys.argv[5:]):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as client:
        client.bind(("", own))
        client.settimeout(20)
        if how == "half":
            client.setblocking(False)
            client.connect_ex((address, port))
            continue
        client.connect((address, port))
        for size in range(1, own % 10 + more + 1):
            client.sendall(b"x" * 70 * size)
            left = 140 * size
            while left: left -= len(client.recv(left))
        if how == "rst": client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
"""

# From each port named, as many questions as its number's last digit says, each after the answer to the one before; none is cut into fragments.
_ASK = """
import socket, sys
address, port, wait = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
for own in map(int, sys.argv[4:]):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("", own))
        client.settimeout(wait)
        for size in range(1, own % 10 + 1):
            client.sendto(b"x" * 70 * size, (address, port))
            try: client.recv(4096)
            except OSError: pass
"""


def _document(folder):
    """The demonstration's, with UDP, and silences short enough that flows end within a test."""
    clock = (f"      - {{ name: clock, protocol: udp, destination_ports: [{CLOCK}], timeout_seconds: 6, first_timeout_seconds: 6 }}\n"
             f"      - {{ name: calls, protocol: tcp, destination_ports: [{CLOCK}] }}\n")
    text = DEMO_CONFIG.read_text()
    for old, new in (("      - { name: ping4, protocol: icmp, ", clock + "      - { name: ping4, protocol: icmp, timeout_seconds: 2, "),
                     ("{ name: ping6, protocol: icmpv6, ", "{ name: ping6, protocol: icmpv6, timeout_seconds: 2, "),
                     ("          - { name: no logins", "          - { name: clock, action: allow, service: [clock, calls], log: both }\n          - { name: no logins")):
        assert old in text
        text = text.replace(old, new)
    path = folder / "flows.yaml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(config=_document(tmp_path_factory.mktemp("flows"))) as built, ExitStack() as servers:
        for tenant in TENANTS:
            argv = built[f"{tenant}-web1"].argv("/usr/bin/python3", "-c", _ANSWER)
            server = servers.enter_context(subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE))
            servers.callback(server.kill)
            assert server.stdout.readline() == b"ready\n"
            for address, length in SILENT:
                built[f"{tenant}-db1"].remove_address(f"{address}/{length}")
        yield built
        assert built.appliance.status()["conservation violations"] == "0"


def _ask(lab, address, ports, port=CLOCK, wait=20, tenant="acme"):
    lab[f"{tenant}-pc"].run("/usr/bin/python3", "-c", _ASK, address, str(port), str(wait), *map(str, ports), timeout=120, check=True)


def _packet(seen):
    """(length of the IP packet, what follows its header)"""
    ip = seen.frame[14:]
    if ip[0] >> 4 == 4:
        return struct.unpack_from("!H", ip, 2)[0], ip[(ip[0] & 15) * 4:]
    return 40 + struct.unpack_from("!H", ip, 4)[0], ip[40:]


def _counted(wire, client=PC):
    """{(protocol, client, port or echo's identifier, server, port): (packets there, packets back, bytes there, bytes back)}"""
    flows = {}
    for seen in wire.packets(outgoing=True) + wire.packets(outgoing=False):
        length, rest = _packet(seen)
        back = seen.destination in client
        near, far = (seen.destination, seen.source) if back else (seen.source, seen.destination)
        if seen.protocol in (TCP, UDP):
            ports = (seen.destination_port, seen.source_port) if back else (seen.source_port, seen.destination_port)
        elif seen.protocol in (ICMP, ICMP6) and rest[0] in (0, 8, 128, 129):
            ports = (struct.unpack_from("!H", rest, 4)[0], None)
        else:
            continue
        count = flows.setdefault((seen.protocol, near, ports[0], far, ports[1]), [0, 0, 0, 0])
        count[back] += 1
        count[2 + back] += length
    return flows


def _said(record):
    return tuple(record[name] for name in ("pkts_fwd", "pkts_rev", "bytes_fwd", "bytes_rev"))


def _of(record):
    return (record["proto"], record["src_ip"], record.get("src_port"), record["dst_ip"], record.get("dst_port"))


def _flows(records, phase):
    return [one for one in records if one["type"] == "comm" and one["phase"] == phase and one["src_ip"] in PC]


def _holes(records):
    """Numbers of comm that are missing and that no loss record covers."""
    numbers = [one["seq"] for one in records if one["type"] == "comm"]
    assert len(numbers) == len(set(numbers)), "no number twice"
    lost = {number for one in records if one["type"] == "loss" and one["of"] == "comm" for number in range(one["seq_from"], one["seq_to"] + 1)}
    return set(range(min(numbers), max(numbers) + 1)) - set(numbers) - lost


def _exported(lab, code=ACME):
    """The records, or nothing while the log's daemon does not answer."""
    done = lab.appliance.ctl("log", "export", "--tenant", code, "--json", check=False)
    return [json.loads(line) for line in done.stdout.splitlines()] if done.returncode == 0 else []


def _ended(lab, ports):
    return set(ports) <= {one.get("src_port") for one in _flows(_exported(lab), "end")}


def _alive(lab, ports):
    text = json.dumps(lab.appliance.show("sessions"))
    return any(str(port) in text for port in ports)


def test_flows_that_end_while_the_log_is_dead_have_one_end_each_or_are_named_as_lost(lab):
    before, during, after = list(range(41401, 41407)), list(range(41411, 41417)), list(range(41421, 41427))
    with lab["acme-pc"].capture() as wire:
        _ask(lab, WEB[0], before)
        wait_until(lambda: _ended(lab, before), 30, "the first ends", every=0.5)
        _ask(lab, WEB[0], during)
        lab.appliance.kill("logd")
        assert _alive(lab, during), "their ends come while nobody reads"
        wait_until(lambda: not _alive(lab, during), 30, "the flows gone from the data plane", every=0.5)
        lab.appliance.start_daemon("logd")
        _ask(lab, WEB[0], after)
        wait_until(lambda: _ended(lab, after), 60, "the last ends", every=0.5)
        counted = _counted(wire)

    records = lab.appliance.records(ACME)
    ends = Counter(one["src_port"] for one in _flows(records, "end") if one.get("src_port") in before + during + after)
    assert set(ends.values()) == {1}, ends
    missing = set(before + during + after) - set(ends)
    assert missing <= set(during), "what ended before and afterwards is there"
    lost = [one for one in records if one["type"] == "loss" and one["of"] == "comm"]
    assert not missing or sum(one["count"] for one in lost) >= len(missing), (missing, lost)
    for one in _flows(records, "end"):
        if one.get("src_port") in ends:
            assert _said(one) == tuple(counted[_of(one)]), one
    assert _holes(records) == set()


# --- each kind of flow, of two tenants at the same addresses --------------------------------------------------------------------------------------

MORE = {"acme": 0, "globex": 4}  # questions beside the port's: the same ports of both, and yet no two flows alike


def _connect(lab, tenant, how, address, ports, port=CLOCK):
    argv = ("/usr/bin/python3", "-c", _CONNECT, how, address, str(port), str(MORE[tenant]), *map(str, ports))
    lab[f"{tenant}-pc"].run(*argv, timeout=120, check=True)


def _every_kind(lab, tenant, first):
    """Flows of every kind in both families, from ports of the thirty after `first`."""
    for number, (server, (silent, _)) in enumerate(zip(WEB, SILENT)):
        ports = range(first + 15 * number, first + 15 * number + 15)
        _ask(lab, server, [*ports[1:4]] * (1 + MORE[tenant]), tenant=tenant)
        _connect(lab, tenant, "fin", server, ports[4:7])
        _connect(lab, tenant, "rst", server, ports[7:10])
        _connect(lab, tenant, "half", silent, ports[10:12])
        _connect(lab, tenant, "half", server, ports[12:14], port=LOGIN)  # rejected: no flow at all
        for count in (1, 2 + MORE[tenant]):
            assert lab[f"{tenant}-pc"].ping(server, count)


def _kind(flow):
    """What tells flows of a host apart in a record: an echo's identifier stands in none."""
    protocol, near, port, far, there = flow
    return (protocol, near, None if protocol in (ICMP, ICMP6) else port, far, there)


def _on_the_wire(wire, denied=False):
    """{(kind, counts): how many flows}; those to the rejected port, or all others."""
    return Counter((_kind(flow), tuple(counts)) for flow, counts in _counted(wire).items() if (flow[4] == LOGIN) == denied)


def _of_phase(lab, tenant, mark, phase):
    return [one for one in _flows(_exported(lab, TENANTS[tenant]), phase) if one["seq"] > mark]


def _in_the_log(lab, tenant, mark):
    return Counter((_of(one), _said(one)) for one in _of_phase(lab, tenant, mark, "end"))


def _open(lab):
    return any(row["source"].rsplit(":", 1)[0].strip("[]") in PC for row in lab.appliance.show("sessions"))


def _why(flow):
    """How a flow ended, by the place of its port among its kind's."""
    protocol, _, port, far, _ = flow
    if protocol != TCP:
        return "aged"
    return "aged" if far in dict(SILENT) else "tcp_fin" if port % 100 % 15 < 7 else "tcp_rst"


def test_each_flow_of_two_tenants_at_the_same_addresses_has_one_end_across_a_death_of_the_log(lab):
    marks = {tenant: max((one["seq"] for one in _exported(lab, code) if one["type"] == "comm"), default=0) for tenant, code in TENANTS.items()}
    with ExitStack() as stack:
        wires = {tenant: stack.enter_context(lab[f"{tenant}-pc"].capture()) for tenant in TENANTS}
        for tenant in TENANTS:
            _every_kind(lab, tenant, 43000)
        wait_until(lambda: all(_in_the_log(lab, tenant, marks[tenant]) for tenant in TENANTS), 60, "the first ends", every=0.5)
        for tenant in TENANTS:
            _every_kind(lab, tenant, 43100)
        lab.appliance.kill("logd")
        assert _open(lab), "ends come while nobody reads"
        wait_until(lambda: not _open(lab), 90, "the flows gone from the data plane", every=0.5)
        lab.appliance.start_daemon("logd")
        for tenant in TENANTS:
            _every_kind(lab, tenant, 43200)
        wait_until(lambda: not _open(lab), 90, "the last flows gone", every=0.5)
        seen = {tenant: _on_the_wire(wire) for tenant, wire in wires.items()}
        refused = {tenant: _on_the_wire(wire, denied=True) for tenant, wire in wires.items()}

    for tenant, code in TENANTS.items():
        assert seen[tenant].total() == 3 * 2 * (3 + 3 + 3 + 2 + 2)
        wait_until(lambda tenant=tenant: _in_the_log(lab, tenant, marks[tenant]).total() >= seen[tenant].total(), 60, "the last ends", every=0.5)
        assert _in_the_log(lab, tenant, marks[tenant]) == seen[tenant], "each once, with what its host counted, and none of the other tenant's"
        records = lab.appliance.records(code)
        ends, starts = _of_phase(lab, tenant, marks[tenant], "end"), _of_phase(lab, tenant, marks[tenant], "start")
        assert Counter(one["flow_id"] for one in ends) == Counter(one["flow_id"] for one in starts), "what began has ended"
        assert {(_of(one), one["end_reason"]) for one in ends} == {(flow, _why(flow)) for flow, _ in seen[tenant]}
        assert {one["svc"] for one in records} == {code}
        assert not [one for one in records if one["type"] == "loss" and one["of"] == "comm" and one["seq_to"] > marks[tenant]]
        assert Counter(_of(one) for one in _of_phase(lab, tenant, marks[tenant], "drop")) == Counter(flow for flow, _ in refused[tenant])
        assert _holes(records) == set()
