# SPDX-License-Identifier: Apache-2.0
"""PPP and PPTP with clients nobody here wrote: pppd and pptp-linux in a guest kernel, MPPE by that kernel, against the engine on plain
sockets (tests/support/ppp_gateway.cc). What the guest's ping and interface say decides."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "board"))

from lab.appliance import default_binaries  # noqa: E402  (the paths above come first)
from lab.system import ip_batch, run, wait_until  # noqa: E402

from guest import Guest, make_root, missing  # noqa: E402
from ike_world import Pki  # noqa: E402

PROGRAM = default_binaries().parent / "tests" / "ppp_gateway"
GATEWAY, INNER, INNER6 = "10.9.0.1", "10.77.0.1", "fd00:77::1"
DIAL = ('pppd pty "pptp {gateway} --nolaunchpppd" name alice password "{password}" nodetach noauth noipdefault usepeerdns nobsdcomp nodeflate '
        'novj +ipv6 debug logfile {log} {words} ; exit 0')

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or bool(missing()) or not PROGRAM.exists(),
                                reason=f"needs root, tests/ppp_gateway, and {missing() or 'nothing else'}")


class Site:
    """A namespace with the gateway in it; each test starts the gateway as it wants it."""

    def __init__(self, folder):
        self.namespace = f"ppp{os.getpid()}"
        self.folder = folder
        self.process = None
        self.dials = 0
        run(["ip", "netns", "add", self.namespace])
        ip_batch(["link set lo up", "link add br0 type bridge", f"addr add {GATEWAY}/24 dev br0", "link set br0 up"], self.namespace)

    def start(self, methods, *words):
        self.stop()
        self.log = open(self.folder / "gateway.txt", "w+", encoding="ascii", errors="replace")
        self.process = subprocess.Popen(["ip", "netns", "exec", self.namespace, PROGRAM, GATEWAY, "alice", "alicepw", methods, *words],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        wait_until(lambda: "READY" in self.said(), 10, "the gateway")
        ip_batch([f"addr add {INNER}/16 dev inner", f"addr add {INNER6}/48 dev inner nodad", "link set inner up mtu 1400"], self.namespace)

    def said(self):
        return Path(self.log.name).read_text(encoding="ascii", errors="replace")

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def close(self):
        self.stop()
        run(["ip", "netns", "del", self.namespace])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    made = Site(tmp_path_factory.mktemp("ppp"))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def guest(site, tmp_path_factory):
    make_root()
    with Guest(tmp_path_factory.mktemp("job") / "job", site.namespace, "br0", ("10.9.0.2/24",), ()) as made:
        status, said = made.run("modprobe -a ppp_async ppp_mppe tun; mkdir -p /etc/ppp; printf '#!/bin/sh\\necho $4 $5 $DNS1 > /run/ppp-up\\n' > /etc/ppp/ip-up\n"
                                "chmod +x /etc/ppp/ip-up; mknod -m 600 /dev/ppp c 108 0 2>/dev/null; true")
        assert status == 0, said
        yield made


def dial(site, guest, words, password="alicepw"):
    """Runs pppd until it is up or has ended: what the interface got, or nothing."""
    site.dials += 1
    log = f"/job/pppd{site.dials}.log"
    guest.run("rm -f /run/ppp-up")
    running = guest.spawn(DIAL.format(gateway=GATEWAY, password=password, log=log, words=words))
    status, said = guest.run(f"for i in $(seq 300); do [ -e /run/ppp-up ] && cat /run/ppp-up && exit 0; [ -e {running.with_suffix('.rc').name} ] ; "
                             f"[ -e /job/cmd/{running.with_suffix('.rc').name} ] && exit 1; sleep 0.1; done; exit 2", 60)
    return said.split() if status == 0 else [], log


def hang_up(guest):
    guest.run("busybox killall pppd; for i in $(seq 100); do busybox pidof pppd > /dev/null || exit 0; sleep 0.1; done; exit 1", 30)


@pytest.mark.parametrize("methods, words", [
    ("mschapv2", "require-mppe-128"),
    ("mschapv2", "require-mppe-128 mppe-stateful"),
    ("mschapv2", "nomppe"),
    ("chap", "nomppe"),
    ("pap", "nomppe"),
    ("eap,mschapv2", "require-mppe-128"),
], ids=["mppe stateless", "mppe stateful", "mschapv2", "chap", "pap", "nak of eap"])
def test_pppd_comes_in_by(site, guest, methods, words):
    site.start(methods, *(["mppe"] if "require-mppe" in words else []))
    up, log = dial(site, guest, words)
    assert up, site.said() + guest.run(f"cat {log}")[1]
    assert up[0].startswith("10.77.0.") and up[1:] == [INNER, "10.77.0.53"]
    status, said = guest.run(f"ping -c 3 -i 0.2 -W 3 {INNER}; ping -c 2 -s 1300 -W 3 {INNER} && "
                             f"for i in $(seq 50); do ip -6 addr show dev ppp0 | grep -q fd00:77: && exec ping -c 3 -i 0.2 -W 3 {INNER6}; sleep 0.1; done; exit 1", 60)
    assert status == 0, said + site.said()
    status, said = guest.run("ip addr show dev ppp0")
    assert "10.77.0." in said and "mtu 1" in said
    hang_up(guest)
    wait_until(lambda: "down" in site.said(), 10, "the gateway noticing the end")
    assert "down  the peer ended it" in site.said()


@pytest.mark.parametrize(("version", "mppe"), [("1.2", ["mppe"]), ("1.3", [])])
def test_eap_tls(site, guest, version, mppe):
    """With MPPE by the keys of TLS 1.2. Of TLS 1.3 pppd 2.4.9 knows a draft: it waits for a ticket, and its keys are others than RFC 9190's."""
    pki = Pki(site.folder)
    pki.ca("acme", "ecdsa")
    pki.certificate("gw-acme", "ecdsa", "acme", "DNS:gw.acme.test")
    pki.certificate("alice", "ecdsa", "acme", "email:alice@example.test")
    for name in ("acme.pem", "alice.pem", "alice.key"):
        (guest.folder / name).write_text(pki.path(name).read_text())
    site.start("eap-tls", f"tls={pki.path('gw-acme.pem')},{pki.path('gw-acme.key')},{pki.path('acme.pem')}", *mppe)
    up, log = dial(site, guest, "ca /job/acme.pem cert /job/alice.pem key /job/alice.key max-tls-version {version} {mppe}".format(
        version=version, mppe="require-mppe-128" if mppe else "nomppe"))
    assert up, site.said() + guest.run(f"cat {log}")[1]
    assert "CHAIN " in site.said()
    status, said = guest.run(f"ping -c 3 -i 0.2 -W 3 {INNER}", 20)
    assert status == 0, said
    hang_up(guest)


def test_a_wrong_password_is_refused(site, guest):
    site.start("mschapv2", "mppe")
    up, log = dial(site, guest, "require-mppe-128", password="wrong")
    assert not up
    assert "E=691 R=0" in guest.run(f"cat {log}")[1]
    assert "authenticated" not in site.said()


def test_a_client_without_mppe_never_gets_an_address_in_the_clear(site, guest):
    site.start("mschapv2", "mppe")
    up, _ = dial(site, guest, "nomppe")
    assert not up
    assert "authenticated" in site.said() and "network-up" not in site.said()
    assert "down  MPPE is demanded" in site.said() or "down  the peer refuses MPPE" in site.said(), site.said()
