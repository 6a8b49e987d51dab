# SPDX-License-Identifier: Apache-2.0
"""PPTP with a client nobody here wrote: pptp-linux and pppd in a guest kernel, whose MPPE is the kernel's, through the whole appliance.
What the guest's programs saw decides; then the vpn log must agree."""

import datetime
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "board"))

from lab.appliance import default_binaries  # noqa: E402  (the paths above come first)
from lab.lab import Lab  # noqa: E402
from lab.system import ip_batch, run, wait_until  # noqa: E402

from guest import Guest, make_root, missing  # noqa: E402
from ike_world import Pki  # noqa: E402
from sstp_test import GATEWAYS, Site, only_new_records  # noqa: E402, F401

ADDRESS = "192.0.2.62"
CLIENT = "pptp"
WORDS = "nodetach noauth noipdefault usepeerdns nobsdcomp nodeflate novj refuse-eap refuse-pap refuse-chap refuse-mschap +ipv6 debug"
JST = datetime.timezone(datetime.timedelta(hours=9))

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or bool(missing()) or not (default_binaries() / "pptpd").exists(),
                                reason=f"needs root, pptpd, and {missing() or 'nothing else'}")


class PptpSite(Site):
    """The document of both tenants, with PPTP instead of SSTP."""

    def __init__(self, lab, pki, folder):
        super().__init__(lab, pki, folder)
        self.daemon = "pptpd"
        self.left = {tenant: datetime.timedelta(days=30) for tenant in GATEWAYS}

    def _remote(self, tenant):
        end = (datetime.datetime.now(JST) + self.left[tenant]).strftime("%Y-%m-%d %H:%M")
        last = (datetime.datetime.now(JST) + datetime.timedelta(days=300)).strftime("%Y-%m-%d")
        pptp = f'profile: legacy, legacy: {{ owner: "the yard", valid_until: "{last}" }}, pptp: {{ owner: "the old scales in the yard", valid_until: "{end}" }} }}\n'
        return re.sub(r"sstp: \{.*\} \}\n$", lambda _: pptp, super()._remote(tenant), flags=re.S)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guest")
    pki = Pki(folder)
    for tenant in GATEWAYS:
        pki.ca(tenant, "ecdsa")
        pki.certificate(f"gw-{tenant}", "ecdsa", tenant, f"DNS:gw.{tenant}.test")
    with Lab(keying=("pptpd",)) as lab:
        made = PptpSite(lab, pki, folder)
        made.commit()
        yield made
        for name in ("pptpd", "dataplaned"):
            print(f"--- {name}\n{lab.appliance.output(name)[-3000:]}")
        assert lab.appliance.status()["conservation violations"] == "0"


@pytest.fixture(scope="module")
def guest(site, tmp_path_factory):
    """Behind the outside host, which forwards and translates nothing."""
    make_root()
    outside = site.lab["outside"].namespace
    ip_batch(["link add guests type bridge", "addr add 192.0.2.61/30 dev guests", "link set guests up"], outside)
    run(["ip", "netns", "exec", outside, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.eth0.proxy_arp=1"])
    folder = tmp_path_factory.mktemp("job")
    with Guest(folder, outside, "guests", (f"{ADDRESS}/30",), ("192.0.2.61",)) as made:
        status, said = made.run("modprobe -a ppp_async ppp_generic ppp_mppe; mknod -m 600 /dev/ppp c 108 0 2>/dev/null; mkdir -p /etc/ppp\n"
                                "printf '#!/bin/sh\\necho $4 > /run/ppp-up\\n' > /etc/ppp/ip-up; chmod +x /etc/ppp/ip-up; touch /etc/ppp/options")
        assert status == 0, said
        yield made


class Call:
    """`with Call(...)`: pppd runs, and ppp0 is up; its log is in `log` afterwards."""

    def __init__(self, site, guest, tenant="acme", user="alice", password="", words="require-mppe-128"):
        self.site, self.guest = site, guest
        self.command = (f"rm -f /run/ppp-up /job/pppd.log; exec pppd pty 'pptp {GATEWAYS[tenant][0]} --nolaunchpppd' name {user} "
                        f"password {password or f'{user}-{tenant}'} {WORDS} logfile /job/pppd.log {words}")
        self.running, self.address = None, ""

    def log(self):
        pppd = self.guest.folder / "pppd.log"
        return self.running.with_suffix(".out").read_text(errors="replace") + (pppd.read_text(errors="replace") if pppd.exists() else "")

    def start(self, seconds=40):
        """The address of ppp0, or nothing when the client ended."""
        self.running = self.guest.spawn(self.command)
        ended = f"/job/cmd/{self.running.with_suffix('.rc').name}"
        status, said = self.guest.run(f"for i in $(seq {10 * seconds}); do [ -s /run/ppp-up ] && cat /run/ppp-up && exit 0; [ -e {ended} ] && exit 1; sleep 0.1; done; exit 2",
                                      seconds + 20)
        self.address = said.strip() if status == 0 else ""
        return self.address

    def __enter__(self):
        assert self.start(), self.log()[-6000:]
        self.guest.run("ip route replace 10.0.0.0/24 dev ppp0; ip -6 route replace fd00:10::/32 dev ppp0")
        return self

    def __exit__(self, *_):
        self.guest.run("pkill -TERM -x pppd; for i in $(seq 50); do pgrep -x pppd > /dev/null || exit 0; sleep 0.1; done", 20)


@pytest.mark.parametrize("words", ["require-mppe-128", "require-mppe-128 mppe-stateful"], ids=["stateless", "stateful"])
def test_pptp_linux_comes_in_and_passes_by_its_groups(site, guest, words):
    with Call(site, guest, words=words) as call:
        up = site.expect("up", user="alice")
        assert up["proto"] == "pptp" and up["auth"] == "mschapv2" and up["ip4"] == call.address and up["peer_ip"] == ADDRESS
        assert up["esp_suite"] == "MPPE_128" and "weak algorithms in use: MPPE_128; let in by the profile legacy alone: PPTP" in json_of(up), up
        status, page = guest.run("curl -s --max-time 5 http://10.0.0.2/", 10)
        assert (status, page.strip()) == (0, "acme web1"), page
        status, said = guest.run("ping -c 3 -W 3 -i 0.3 10.0.0.2", 20)
        assert status == 0, said
        assert guest.run("curl -s --max-time 3 http://10.0.0.2:22/", 10)[0] != 0, "another group's"
        assert guest.run("curl -s --max-time 3 http://10.0.0.18:5432/", 10)[0] != 0, "nobody's"
        status, page = guest.run("for i in $(seq 50); do ip -6 addr show dev ppp0 scope global | grep -q inet6 && break; sleep 0.1; done; "
                                 "curl -s --max-time 5 'http://[fd00:10:0:1::2]/'", 20)
        assert (status, page.strip()) == (0, "acme web1"), page + guest.run("ip -6 addr show dev ppp0; ip -6 route")[1]
    down = site.expect("down", user="alice")
    assert down["cause"] == "user" and down["bytes_in"] > 0


def json_of(record):
    return " ".join(str(value) for value in record.values())


def test_a_wrong_password_is_refused(site, guest):
    call = Call(site, guest, password="wrong")
    assert not call.start(), call.log()[-3000:]
    assert "E=691 R=0" in call.log()
    assert site.expect("auth_fail", user="alice")["cause"] == "auth"
    call.__exit__()


def test_nobody_comes_in_without_mppe(site, guest):
    call = Call(site, guest, words="nomppe")
    assert not call.start(), call.log()[-3000:]
    assert site.expect("denied", user="alice")["cause"] == "crypto"
    call.__exit__()


def test_the_tenant_is_the_address_reached(site, guest):
    with Call(site, guest, tenant="globex") as call:
        status, page = guest.run("curl -s --max-time 5 http://10.0.0.2/", 10)
        assert (status, page.strip()) == (0, "globex web1"), page
        assert site.expect("up", tenant="globex", user="alice")["ip4"] == call.address
    site.expect("down", tenant="globex", user="alice")


def test_an_operator_ends_it(site, guest):
    with Call(site, guest) as call:
        assert site.lab.appliance.ctl("vpn", "disconnect", "alice", "--tenant", "acme", check=False).returncode == 0
        status, said = guest.run("for i in $(seq 100); do pgrep -x pppd > /dev/null || exit 0; sleep 0.1; done; exit 1", 20)
        assert status == 0, call.log()[-3000:] + said
    assert site.expect("down", user="alice", cause="admin")


def test_a_client_that_vanishes_is_missed_and_comes_in_again(site, guest):
    """Its programs end, and their kernel's last words do not arrive."""
    call = Call(site, guest, user="carol")
    call.__enter__()
    up, gateway = site.expect("up", user="carol"), GATEWAYS["acme"][0]
    guest.run(f"ip route add blackhole {gateway}; pkill -KILL -x pppd; pkill -KILL {CLIENT}; true")
    try:
        assert site.expect("down", user="carol", vpn_sid=up["vpn_sid"], seconds=240)["cause"] == "peer_lost"
    finally:
        guest.run(f"ip route del blackhole {gateway}")
    with Call(site, guest, user="carol"):
        status, page = guest.run("curl -s --max-time 5 http://10.0.0.2/", 10)
        assert (status, page.strip()) == (0, "acme web1"), page
        assert site.expect("up", user="carol")["vpn_sid"] != up["vpn_sid"]


def test_a_daemon_that_is_killed_ends_its_sessions_and_the_next_one_serves(site, guest):
    appliance = site.lab.appliance
    with Call(site, guest, user="bob") as call:
        up, followed = site.expect("up", user="bob"), appliance.output(site.daemon).count("follows revision")
        appliance.kill(site.daemon)
        status, said = guest.run("for i in $(seq 300); do pgrep -x pppd > /dev/null || exit 0; sleep 0.1; done; exit 1", 40)
        assert status == 0, call.log()[-3000:] + said
    appliance.start_daemon(site.daemon)
    wait_until(lambda: appliance.output(site.daemon).count("follows revision") > followed, 20, "the next one following")
    assert site.expect("down", user="bob", vpn_sid=up["vpn_sid"], seconds=30)["cause"] == "internal"
    with Call(site, guest, user="bob"):
        status, page = guest.run("curl -s --max-time 5 http://10.0.0.2/", 10)
        assert (status, page.strip()) == (0, "acme web1"), page


def test_the_exception_ends_and_whoever_is_in_with_it(site, guest):
    with Call(site, guest):
        site.expect("up", user="alice")
        site.left["acme"] = datetime.timedelta(minutes=-1)
        site.commit()
        assert site.expect("down", user="alice")["cause"] == "config"
        assert guest.run("for i in $(seq 100); do pgrep -x pppd > /dev/null || exit 0; sleep 0.1; done; exit 1", 20)[0] == 0
    call = Call(site, guest)
    assert not call.start(20), call.log()[-3000:]
    call.__exit__()
    denied = site.expect("denied", cause="config")
    assert "the exception for PPTP has ended" in denied["msg"] and denied["peer_ip"] == ADDRESS, denied
    with Call(site, guest, tenant="globex"):
        pass


def test_a_connection_without_a_call_is_ended(site, guest):
    status, said = guest.run(f"python3 -c \"import socket; s = socket.create_connection(('{GATEWAYS['globex'][0]}', 1723), 5); s.settimeout(60); print(s.recv(10))\"", 80)
    assert status == 0 and said.strip() == "b''", said


def test_where_nobody_asked_for_pptp_nothing_answers(site, guest):
    site.left["acme"] = datetime.timedelta(days=30)
    site._remote_of, site._remote = site._remote, lambda tenant: re.sub(r"profile: legacy, legacy: \{.*?\}, pptp: \{.*?\} \}", "accept: [eap-mschapv2], certificates: %s, keys: %s }" % pems(site, tenant), site._remote_of(tenant)) if tenant == "acme" else site._remote_of(tenant)
    try:
        site.commit()
        status, _ = guest.run(f"python3 -c \"import socket; socket.create_connection(('{GATEWAYS['acme'][0]}', 1723), 2)\"", 20)
        assert status != 0
        status, said = guest.run(f"python3 -c \"import socket; socket.create_connection(('{GATEWAYS['globex'][0]}', 1723), 2)\"", 20)
        assert status == 0, said
    finally:
        site._remote = site._remote_of
        site.commit()


def pems(site, tenant):
    import json
    return tuple(json.dumps([site.pki.path(f"gw-{tenant}.{ending}").read_text()]) for ending in ("pem", "key"))
