# SPDX-License-Identifier: Apache-2.0
"""SSTP with a client nobody here wrote: sstp-client and pppd in a guest kernel, through the whole appliance. What the guest's programs
saw decides."""

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

from guest import Guest, both_ways, make_root, missing  # noqa: E402
from ike_world import Pki  # noqa: E402
from sstp_test import GATEWAYS, Site, only_new_records  # noqa: E402, F401

ADDRESSES = ("192.0.2.62", "2001:db8:0:1:9::9")
STREAM = 5201
CLIENT = "sstpc"
WORDS = "nodetach noauth noipdefault usepeerdns nobsdcomp nodeflate novj refuse-eap refuse-pap refuse-chap refuse-mschap +ipv6 debug logfile"

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or bool(missing()) or not (default_binaries() / "tunneld").exists(),
                                reason=f"needs root, tunneld, and {missing() or 'nothing else'}")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guest")
    pki = Pki(folder)
    for tenant in GATEWAYS:
        pki.ca(tenant, "ecdsa")
        pki.certificate(f"gw-{tenant}", "ecdsa", tenant, f"DNS:gw.{tenant}.test")
    with Lab(keying=("tunneld",)) as lab:
        made = Site(lab, pki, folder)
        made.policy += "          - { name: streams, action: allow, users: [admins] }\n"
        made.commit()
        server = subprocess.Popen(lab["acme-web1"].argv("iperf3", "-s", "-p", str(STREAM)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        try:
            yield made
        finally:
            server.kill()
            server.wait()
        assert lab.appliance.status()["conservation violations"] == "0"


@pytest.fixture(scope="module")
def guest(site, tmp_path_factory):
    """Behind the outside host, which forwards and translates nothing."""
    make_root()
    outside = site.lab["outside"].namespace
    ip_batch(["link add guests type bridge", "addr add 192.0.2.61/30 dev guests", "addr add 2001:db8:0:1:9::1/80 dev guests nodad", "link set guests up",
              f"neigh add proxy {ADDRESSES[1]} dev eth0"], outside)
    run(["ip", "netns", "exec", outside, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.conf.all.send_redirects=0",
         "net.ipv4.conf.eth0.proxy_arp=1", "net.ipv6.conf.eth0.proxy_ndp=1"])
    folder = tmp_path_factory.mktemp("job")
    with Guest(folder, outside, "guests", (f"{ADDRESSES[0]}/30", f"{ADDRESSES[1]}/80"), ("192.0.2.61", "2001:db8:0:1:9::1")) as made:
        for tenant in GATEWAYS:
            (folder / f"{tenant}.pem").write_text(site.pki.path(f"{tenant}.pem").read_text())
        # sstp-client gives up when its TLS and HTTP never have to wait, as on a wire without latency.
        status, said = made.run("modprobe -a ppp_async ppp_generic sch_netem; mknod -m 600 /dev/ppp c 108 0 2>/dev/null\n"
                                "tc qdisc replace dev eth0 root netem delay 20ms; mkdir -p /etc/ppp /run/sstpc /var/run/sstpc\n"
                                "printf '#!/bin/sh\\necho $4 > /run/ppp-up\\n' > /etc/ppp/ip-up; chmod +x /etc/ppp/ip-up; touch /etc/ppp/options; id sstpc || true")
        assert status == 0, said
        yield made


class Call:
    """`with Call(...)`: sstp-client runs, and ppp0 is up; its log is in `log` afterwards."""

    def __init__(self, site, guest, tenant="acme", user="alice", password="", ca="", words="", six=False):
        self.site, self.guest = site, guest
        self.command = (f"rm -f /run/ppp-up; echo '{GATEWAYS[tenant][six]} gw.{tenant}.test' > /etc/hosts; exec sstpc --log-level 4 --log-stderr --tls-ext --ca-cert /job/{ca or tenant}.pem --user {user} "
                        f"--password {password or f'{user}-{tenant}'} gw.{tenant}.test {WORDS} /job/pppd.log {words}")
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
        self.guest.run("pkill -TERM sstpc; for i in $(seq 50); do pgrep -x pppd > /dev/null || exit 0; sleep 0.1; done", 20)


def test_sstp_client_comes_in_and_passes_by_its_groups(site, guest):
    with Call(site, guest) as call:
        up = site.expect("up", user="alice")
        assert up["proto"] == "sstp" and up["auth"] == "mschapv2" and up["ip4"] == call.address and up["peer_ip"] == ADDRESSES[0]
        status, page = guest.run("curl -s --max-time 5 http://10.0.0.2/", 10)
        assert (status, page.strip()) == (0, "acme web1"), page
        status, said = guest.run("ping -c 3 -W 3 -i 0.3 10.0.0.2", 20)
        assert status == 0, said
        assert guest.run("curl -s --max-time 3 http://10.0.0.2:22/", 10)[0] != 0, "another group's"
        assert guest.run("curl -s --max-time 3 http://10.0.0.18:5432/", 10)[0] != 0, "nobody's"
    down = site.expect("down", user="alice")
    assert down["cause"] == "user" and down["bytes_in"] > 0


def test_sstp_client_comes_in_over_ipv6(site, guest):
    with Call(site, guest, six=True) as call:
        up = site.expect("up", user="alice", peer_ip=ADDRESSES[1])
        assert up["proto"] == "sstp" and up["ip4"] == call.address, up
        status, page = guest.run("curl -s --max-time 5 http://10.0.0.2/", 10)
        assert (status, page.strip()) == (0, "acme web1"), page
        status, page = guest.run("for i in $(seq 50); do ip -6 addr show dev ppp0 scope global | grep -q inet6 && break; sleep 0.1; done; "
                                 "curl -s --max-time 5 'http://[fd00:10:0:1::2]/'", 20)
        assert (status, page.strip()) == (0, "acme web1"), page + guest.run("ip -6 addr show dev ppp0; ip -6 route")[1]
        assert guest.run("curl -s --max-time 3 'http://[fd00:10:0:1::2]:22/'", 10)[0] != 0, "another group's"
    assert site.expect("down", user="alice", vpn_sid=up["vpn_sid"])["cause"] == "user"


@pytest.mark.parametrize("six", [False, True])
def test_a_stream_passes_both_ways(site, guest, six):
    with Call(site, guest, user="bob", six=six):
        status, said = guest.run("curl -s -o /dev/null -w '%{size_download} %{speed_download}' --max-time 20 http://10.0.0.2/big", 40)
        size = re.match(r"(\d+) ", said)
        assert status == 0 and size and int(size[1]) == BIG, said
        status, said = guest.run(both_ways("10.0.0.2", STREAM, "-t 3 -b 4M"), 40)
        assert status == 0, said


BIG = 2_000_000


@pytest.fixture(scope="module", autouse=True)
def big_page(site):
    pages = site.lab.root / "pages" / "acme-web1-80"
    (pages / "big").write_bytes(os.urandom(BIG))


def test_a_wrong_password_is_refused(site, guest):
    call = Call(site, guest, password="wrong")
    assert not call.start(), call.log()[-3000:]
    assert site.expect("auth_fail", user="alice")["cause"] == "auth"
    call.__exit__()


def test_who_trusts_another_ca_does_not_come_in(site, guest):
    call = Call(site, guest, ca="globex")
    assert not call.start(), call.log()[-3000:]
    call.__exit__()


def test_the_tenant_is_the_address_reached(site, guest):
    with Call(site, guest, tenant="globex") as call:
        status, page = guest.run("curl -s --max-time 5 http://10.0.0.2/", 10)
        assert (status, page.strip()) == (0, "globex web1"), page
        assert site.expect("up", tenant="globex", user="alice")["ip4"] == call.address


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
