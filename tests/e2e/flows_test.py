# SPDX-License-Identifier: Apache-2.0
"""A flow that a rule logs has exactly one end record, which says what its host counted on the wire, or is named as lost: also when the log's
daemon dies while flows end."""

import json
import struct
import subprocess
from collections import Counter

import pytest
from lab.lab import DEMO_CONFIG, Lab
from lab.system import wait_until

ACME = "acm00000001"
TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
PC, WEB = ("10.0.0.34", "fd00:10:0:3::2"), ("10.0.0.2", "fd00:10:0:1::2")
CLOCK = 5300

# Answers twice what it hears.
_ANSWER = f"""
import socket
server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
server.bind(("::", {CLOCK}))
print("ready", flush=True)
while True:
    words, who = server.recvfrom(2048)
    server.sendto(words * 2, who)
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
    clock = f"      - {{ name: clock, protocol: udp, destination_ports: [{CLOCK}], timeout_seconds: 6, first_timeout_seconds: 6 }}\n"
    text = DEMO_CONFIG.read_text()
    for old, new in (("      - { name: ping4, protocol: icmp, ", clock + "      - { name: ping4, protocol: icmp, timeout_seconds: 2, "),
                     ("{ name: ping6, protocol: icmpv6, ", "{ name: ping6, protocol: icmpv6, timeout_seconds: 2, "),
                     ("          - { name: no logins", "          - { name: clock, action: allow, service: [clock], log: both }\n          - { name: no logins")):
        assert old in text
        text = text.replace(old, new)
    path = folder / "flows.yaml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(config=_document(tmp_path_factory.mktemp("flows"))) as built:
        argv = built["acme-web1"].argv("/usr/bin/python3", "-c", _ANSWER)
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as server:
            assert server.stdout.readline() == b"ready\n"
            yield built
            server.kill()
        assert built.appliance.status()["conservation violations"] == "0"


def _ask(lab, address, ports, port=CLOCK, wait=20):
    lab["acme-pc"].run("/usr/bin/python3", "-c", _ASK, address, str(port), str(wait), *map(str, ports), timeout=120, check=True)


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


def _exported(lab):
    """The records, or nothing while the log's daemon does not answer."""
    done = lab.appliance.ctl("log", "export", "--tenant", ACME, "--json", check=False)
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
