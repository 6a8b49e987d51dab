# SPDX-License-Identifier: Apache-2.0
"""ESP as the Linux kernel makes it, plain (protocol 50) and in UDP, with stock strongSwan in a guest kernel: the machine's own need not
know ESP. What the guest's programs saw decides; a capture says that what passed was really protocol 50."""

import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "board"))

from lab.appliance import default_binaries  # noqa: E402  (the paths above come first)
from lab.lab import Lab  # noqa: E402
from lab.system import ip_batch, packet_socket, run  # noqa: E402

from guest import Guest, both_ways, make_root, missing  # noqa: E402
from ike_test import connection, document  # noqa: E402
from ike_world import Pki  # noqa: E402
from remote_access_test import GATEWAYS, Site  # noqa: E402
from roaming_test import POLICY, STREAM  # noqa: E402

PLUGINS = ("random nonce openssl pem x509 pubkey pkcs1 pkcs8 revocation constraints kdf eap-identity eap-mschapv2 md4 "
           "kernel-netlink socket-default vici updown")
ADDRESSES = ("192.0.2.62", "2001:db8:0:1:9::9")

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or bool(missing()), reason=f"needs root, and {missing() or 'nothing else'}")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if not (default_binaries() / "iked").exists():
        pytest.skip("iked is not built (SEKISHO_IKE=OFF)")
    folder = tmp_path_factory.mktemp("guest")
    pki = Pki(folder)
    for tenant in GATEWAYS:
        pki.ca(tenant, "ecdsa")
        pki.certificate(f"gw-{tenant}", "ecdsa", tenant, f"DNS:gw.{tenant}.test")
    pki.certificate("alice", "ecdsa", "acme", "email:alice@example.test")
    with Lab(remote_access=True) as lab:
        made = Site(lab, pki, folder)
        made.policy = POLICY
        made.commit()
        web = lab["acme-web1"]
        server = subprocess.Popen(web.argv("iperf3", "-s", "-p", str(STREAM)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield made
        finally:
            server.kill()
            server.wait()
        assert lab.appliance.status()["conservation violations"] == "0"


@pytest.fixture(scope="module")
def guest(site, tmp_path_factory):
    """Behind the outside host, which forwards, answers for its addresses on the uplink, and translates nothing."""
    make_root()
    outside = site.lab["outside"].namespace
    ip_batch(["link add guests type bridge", "addr add 192.0.2.61/30 dev guests", "addr add 2001:db8:0:1:9::1/80 dev guests nodad", "link set guests up",
              f"neigh add proxy {ADDRESSES[1]} dev eth0"], outside)
    run(["ip", "netns", "exec", outside, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.conf.all.send_redirects=0",
         "net.ipv4.conf.eth0.proxy_arp=1", "net.ipv6.conf.eth0.proxy_ndp=1"])
    folder = tmp_path_factory.mktemp("job")
    with Guest(folder, outside, "guests", (f"{ADDRESSES[0]}/30", f"{ADDRESSES[1]}/80"), ("192.0.2.61", "2001:db8:0:1:9::1")) as made:
        (folder / "acme.pem").write_text(site.pki.path("acme.pem").read_text())
        (folder / "strongswan.conf").write_text(f"charon {{\n  load = {PLUGINS}\n  retransmit_tries = 3\n  retransmit_timeout = 1\n}}\n")
        status, said = made.run("cp /job/strongswan.conf /etc/strongswan.conf; mkdir -p /etc/swanctl/x509ca; cp /job/acme.pem /etc/swanctl/x509ca/\n"
                                "/usr/lib/ipsec/charon > /job/charon.log 2>&1 &\n"
                                "for i in $(seq 200); do swanctl --stats > /dev/null 2>&1 && exit 0; sleep 0.05; done; cat /job/charon.log; exit 1")
        assert status == 0, said
        yield made


class Wire:
    """Counts the IP protocols that pass the outside host's wire: {(family, protocol): packets}."""

    def __init__(self, namespace):
        self.socket = packet_socket(namespace, "eth0")
        self.socket.settimeout(0.2)
        self.seen, self.over = {}, False
        self.thread = threading.Thread(target=self._read, daemon=True)

    def _read(self):
        while not self.over:
            try:
                frame = self.socket.recv(2048)
            except socket.timeout:
                continue
            kind = int.from_bytes(frame[12:14], "big")
            what = (4, frame[23]) if kind == 0x0800 else (6, frame[20]) if kind == 0x86DD else None
            self.seen[what] = self.seen.get(what, 0) + 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.thread.join(2)
        self.socket.close()


def come_in(site, guest, six, encap, esp="default"):
    way = connection("vpn", auth="eap-mschapv2", user="alice", gateway=GATEWAYS["acme"][six], server="gw.acme.test", remote="10.0.0.0/24", esp=esp)
    (guest.folder / "swanctl.conf").write_text(document([way.replace("encap = yes", f"encap = {'yes' if encap else 'no'}")], [("alice", "alice-acme")]))
    status, said = guest.run("cp /job/swanctl.conf /etc/swanctl/; swanctl --load-all --noprompt > /dev/null 2>&1; swanctl --initiate --child vpn --timeout 15", 40)
    assert status == 0, said + (guest.folder / "charon.log").read_text(errors="replace")[-3000:]
    return site.expect("up", user="alice")


@pytest.fixture(autouse=True)
def goodbye(guest):
    yield
    guest.run("swanctl --terminate --ike vpn --timeout 5")


@pytest.mark.parametrize(("six", "encap", "esp"), [(0, False, "aes128gcm16"), (0, False, "aes256-sha256"), (0, True, "aes256gcm16"), (1, False, "aes256gcm16"),
                                                  (1, False, "aes256-sha384")])
def test_the_kernels_esp_passes_the_rules(site, guest, six, encap, esp):
    with Wire(site.lab["outside"].namespace) as wire:
        come_in(site, guest, six, encap, esp)
        status, page = guest.run("curl -s --max-time 5 http://10.0.0.2/", 10)
        assert (status, page.strip()) == (0, "acme web1")
        status, said = guest.run(both_ways("10.0.0.2", STREAM, "-t 2 -b 2M"), 30)
        assert status == 0, said
    family, other = (6, 4) if six else (4, 6)
    assert (wire.seen.get((family, 50), 0) > 100) != encap, wire.seen
    assert (wire.seen.get((family, 17), 0) > 100) == encap, wire.seen
    assert wire.seen.get((other, 50), 0) == 0


def test_rekeys_of_the_kernels_esp_lose_no_stream(site, guest):
    up = come_in(site, guest, 0, False)
    stream = guest.spawn(f"iperf3 -c 10.0.0.2 -p {STREAM} -t 8 -b 2M -J")
    for _ in range(3):
        status, said = guest.run("swanctl --rekey --child vpn", 10)
        assert status == 0, said
        site.expect("rekey", vpn_sid=up["vpn_sid"])
    status, said = guest.result(stream, 40)
    assert status == 0 and '"error"' not in said, said[-1500:]
    amounts = [int(count) for count in re.findall(r'"sum":\s*{[^}]*?"bytes":\s*(\d+)', said)]
    assert len(amounts) >= 8 and all(a + b > 0 for a, b in zip(amounts, amounts[1:])), amounts
