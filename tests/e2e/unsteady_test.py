# SPDX-License-Identifier: Apache-2.0
"""Linux at both ends of a wire that loses, repeats and reorders: its TCP gets through, and no segment of it is refused.

Our own counters are only asked what they refused; that the wire was bad is shown by the receiving kernel's counters.
"""

import hashlib
import json
import subprocess

import pytest
from lab.lab import DEMO_CONFIG, Lab
from lab.system import wait_until
from unsteady_wire import UnsteadyWire
from variants import with_change

ADDRESSES = {"IPv4": "10.0.0.2", "IPv6": "fd00:10:0:1::2"}
CONTENT = hashlib.shake_256(b"over a bad wire").digest(3 << 20)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    config = with_change(DEMO_CONFIG, "destination_ports: [80]", "destination_ports: [80, 8050]", tmp_path_factory.mktemp("unsteady"))
    with Lab(config=config) as built:
        (built.root / "pages" / "acme-web1-80" / "large").write_bytes(CONTENT)
        yield built
        assert built.appliance.status()["conservation violations"] == "0"


@pytest.fixture(scope="module")
def wires(lab):
    """Both ends of every connection stand on bad wires."""
    with UnsteadyWire(lab["acme-pc"], seed=1) as client, UnsteadyWire(lab["acme-web1"], seed=2) as server:
        yield client, server
        for wire in (client, server):
            assert wire.lost > 20 and wire.repeated > 20 and wire.overtaken > 50, vars(wire)


@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES.keys())
def test_curl_gets_every_byte_over_a_bad_wire(lab, wires, address):
    before = _late(lab["acme-pc"])
    url = f"http://[{address}]/large" if ":" in address else f"http://{address}/large"
    done = subprocess.run(lab["acme-pc"].argv("curl", "--silent", "--max-time", "60", url), capture_output=True, timeout=70)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(CONTENT).digest()
    assert _late(lab["acme-pc"]) > before + 10  # segments came out of order


@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES.keys())
@pytest.mark.parametrize("way", ["there", "back"])
def test_iperf3_over_a_bad_wire_and_no_segment_of_the_kernel_is_refused(lab, wires, address, way):
    refused = _refused(lab)
    server = subprocess.Popen(lab["acme-web1"].argv("iperf3", "-s", "-1", "-p", "8050"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    # Not any socket of that port: those of the test before are in TIME-WAIT, and who comes too early is refused and gone.
    wait_until(lambda: lab["acme-web1"].run("ss", "-Hltn", "sport = :8050").stdout, 10, "iperf3 listening")
    try:
        done = lab["acme-pc"].run("iperf3", "-J", "-c", address, "-p", "8050", "-t", "2", *(["-R"] if way == "back" else []), timeout=60)
        server.wait(20)
    finally:
        server.kill()
        server.wait()
    assert json.loads(done.stdout)["end"]["sum_received"]["bytes"] > 1 << 19
    assert _refused(lab) == refused


def _late(host):
    """Segments the host's kernel received before others that came first."""
    names, values = [line.split() for line in host.run("cat", "/proc/net/netstat").stdout.splitlines() if line.startswith("TcpExt:")]
    return int(dict(zip(names[1:], values[1:]))["TCPOFOQueue"])


def _refused(lab):
    return {row["reason"]: row["packets"] for row in lab.appliance.show("drops") if row["reason"].startswith(("tcp-", "not-first"))}
