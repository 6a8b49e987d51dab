# SPDX-License-Identifier: Apache-2.0
"""A flood of SYNs from random sources, and Linux at both ends of every honest connection: nobody who exists is turned away."""

import json
import shutil
import subprocess

import pytest
from lab.lab import DEMO_CONFIG, Lab
from lab.system import wait_until
from unsteady_wire import UnsteadyWire
from variants import with_change

HALF_OPEN_MAX = 50
PAGES = (("acme-pc", "http://10.0.0.2/"), ("acme-pc", "http://[fd00:10:0:1::2]/"), ("outside", "http://203.0.113.17/"),
         ("globex-pc", "http://10.0.0.2/"))
ROUNDS = 75


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    small = f"name: acme\n    sessions_max: 20000\n    quotas: {{ half_open_max: {HALF_OPEN_MAX} }}"
    config = with_change(DEMO_CONFIG, "name: acme\n    sessions_max: 20000", small, tmp_path_factory.mktemp("flood"))
    with Lab(config=config) as built:
        yield built
        assert built.appliance.status()["conservation violations"] == "0"


def _flooded(lab):
    return any("DOS_SYN_FLOOD" in json.dumps(record) for record in lab.appliance.records("acm00000001"))


def _sessions(lab):
    return int(lab.appliance.status()["sessions"].split()[0])


@pytest.mark.skipif(shutil.which("hping3") is None, reason="needs hping3")
def test_every_page_arrives_while_ten_times_the_limit_knocks(lab):
    flood = subprocess.Popen(lab["outside"].argv("hping3", "-q", "-n", "-S", "-p", "80", "-i", "u500", "--rand-source", "203.0.113.17"),
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _flooded(lab), 20, "the flood to reach its limit")
        arrived = sum(lab[host].curl(url, 5)[0] == 0 for _ in range(ROUNDS) for host, url in PAGES)
        assert arrived >= 0.99 * ROUNDS * len(PAGES), f"{arrived} of {ROUNDS * len(PAGES)}"
        assert _sessions(lab) < HALF_OPEN_MAX + ROUNDS * len(PAGES) + 50
        # What is no page is refused as ever: the port beside, and one on which nobody listens.
        assert lab["acme-pc"].curl("http://10.0.0.2:22/", 2)[0] == 7
    finally:
        flood.kill()
        flood.wait()


def test_large_pages_cross_a_joined_connection_whole(lab):
    """Window scaling and SACK of both ends, over wires that lose and reorder: a megabyte a connection."""
    body = bytes(range(256)) * 4096
    page = lab.root / "pages" / "acme-web1-80" / "large"
    page.write_bytes(body)
    flood = subprocess.Popen(lab["outside"].argv("hping3", "-q", "-n", "-S", "-p", "80", "-i", "u500", "--rand-source", "203.0.113.17"),
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _flooded(lab), 20, "the flood to reach its limit")
        with UnsteadyWire(lab["acme-pc"]) as client, UnsteadyWire(lab["acme-web1"]) as server:
            for url in ("http://10.0.0.2/large", "http://[fd00:10:0:1::2]/large"):
                fetch = lab["acme-pc"].argv("curl", "--silent", "--max-time", "30", "--noproxy", "*", url)
                got = subprocess.run(fetch, capture_output=True, check=True)
                assert got.stdout == body
            assert client.overtaken and server.overtaken and client.lost and server.lost
    finally:
        flood.kill()
        flood.wait()
