# SPDX-License-Identifier: Apache-2.0
"""enforcement: isolate, with a switch that keeps its hosts apart (a private VLAN): they reach one another as the rules say, or not at all.

globex pc and pc2 stand behind one Port; the bridge between them and the gateway carries no frame from the one to the other.
"""

import subprocess

import pytest
from lab.lab import DEMO_CONFIG, Lab
from lab.system import run, wait_until

ONE, OTHER = "globex-pc", "globex-pc2"
ADDRESSES = {ONE: ("10.0.0.34", "fd00:10:0:3::2"), OTHER: ("10.0.0.36", "fd00:10:0:3::4")}
WAYS = [(ONE, OTHER), (OTHER, ONE)]

_RULES = """      - name: among the office
        from: [office]
        to: [office]
        default_log: each
        rules:
          - { name: web, action: allow, service: [http], log: both }
          - { name: no logins, action: reject, service: [ssh], log: each }
"""


def _document(folder, enforcement, rules):
    text = DEMO_CONFIG.read_text().replace("nic: globex-pc, kind: segment, enforcement: segment", f"nic: globex-pc, kind: segment, enforcement: {enforcement}")
    head, acme, globex = text.split("  - service_code: ")
    if rules:
        globex = globex.replace("    policies:\n", "    policies:\n" + rules, 1)
    path = folder / f"{enforcement}{'-rules' if rules else ''}.yaml"
    path.write_text("  - service_code: ".join([head, acme, globex]))
    return path


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    folder = tmp_path_factory.mktemp("isolate")
    return {"segment": _document(folder, "segment", _RULES), "isolate": _document(folder, "isolate", ""), "rules": _document(folder, "isolate", _RULES)}


@pytest.fixture(scope="module")
def lab(documents):
    with Lab(config=documents["isolate"]) as built:
        for name in (ONE, OTHER):
            run(["ip", "-n", built.topology.switch, "link", "set", "dev", f"to-{name}", "type", "bridge_slave", "isolated", "on"])
        servers = [subprocess.Popen(built[name].argv("/usr/bin/python3", "-m", "http.server", "--bind", "::", str(port)), cwd=built.root / "pages",
                                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                   for name in (ONE, OTHER) for port in (80, 22)]
        try:
            for name in (ONE, OTHER):
                wait_until(lambda n=name: all(built[n].knock("127.0.0.1", port) for port in (80, 22)), 10, f"servers of {name}")
            yield built
        finally:
            for server in servers:
                server.kill()
                server.wait()
        assert built.appliance.status()["conservation violations"] == "0"


@pytest.fixture
def under(lab, documents):
    """Puts one of the documents in force; the hosts then know nothing of one another."""
    def commit(name):
        assert lab.appliance.commit(documents[name]).returncode == 0
        for host in (ONE, OTHER):
            lab[host].run("ip", "neigh", "flush", "all", check=True)
    return commit


def _neighbour(host, address):
    words = host.run("ip", "neigh", "show", "to", address).stdout.split()
    return words[words.index("lladdr") + 1] if "lladdr" in words else None


def _url(address, port=80):
    return f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"


@pytest.mark.parametrize("here, there", WAYS)
@pytest.mark.parametrize("family", [0, 1], ids=["IPv4", "IPv6"])
def test_without_a_rule_the_gateway_answers_for_the_other_host_and_passes_nothing(lab, under, here, there, family):
    under("isolate")
    address = ADDRESSES[there][family]
    with lab[there].capture() as wire:
        assert not lab[here].ping(address, seconds=1)
        assert lab[here].curl(_url(address), 1)[0] == 28
        assert not [seen for seen in wire.packets() if seen.source in ADDRESSES[here]]
    assert _neighbour(lab[here], address) == lab.topology.gateway_mac(ONE)


@pytest.mark.parametrize("here, there", WAYS)
@pytest.mark.parametrize("family", [0, 1], ids=["IPv4", "IPv6"])
def test_hosts_reach_one_another_as_the_rules_say(lab, under, here, there, family):
    under("rules")
    address = ADDRESSES[there][family]
    assert lab[here].curl(_url(address))[0] == 0
    assert lab[here].curl(_url(address, 22))[0] == 7
    assert not lab[here].ping(address, seconds=1)
    assert _neighbour(lab[here], address) == lab.topology.gateway_mac(ONE)
    for rule in ("web", "no logins"):
        wait_until(lambda r=rule: any(record.get("rule_name") == r and record.get("dst_ip") == address for record in lab.appliance.records("globex")), 15, f"{rule} in the log")


@pytest.mark.parametrize("family", [0, 1], ids=["IPv4", "IPv6"])
def test_without_isolation_nobody_answers_for_a_host_its_switch_hides(lab, under, family):
    under("segment")
    address = ADDRESSES[OTHER][family]
    assert lab[ONE].curl(_url(address), 2)[0] in (7, 28)
    assert _neighbour(lab[ONE], address) is None


@pytest.mark.parametrize("family", [0, 1], ids=["IPv4", "IPv6"])
def test_a_host_of_an_isolated_segment_cannot_speak_as_its_neighbour(lab, under, family):
    under("rules")
    forged, target = ADDRESSES[OTHER][family], ("10.0.0.2", "fd00:10:0:1::2")[family]
    assert lab[ONE].curl(_url(target), 2) == (0, "globex web1")
    lab[ONE].add_address(forged + ("/64" if family else "/28"))
    try:
        assert lab[ONE].curl(_url(target), 1, "--interface", forged)[0] != 0
        wait_until(lambda: any(record.get("event") == ("AE_IP6" if family else "AE_IP4") for record in lab.appliance.records("globex")), 15, "AE_IP in the log")
    finally:
        lab[ONE].remove_address(forged + ("/64" if family else "/28"))
