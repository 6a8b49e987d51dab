# SPDX-License-Identifier: Apache-2.0
"""L2TP/IPsec with clients nobody here wrote: strongSwan (IKEv1), xl2tpd and pppd in a guest kernel, whose ESP, L2TP and PPP are Linux's own,
through the whole appliance. What the guest's programs saw decides. Several clients are network namespaces of the guest behind one
address: the host before them translates."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "board"))

from lab.appliance import default_binaries  # noqa: E402  (the paths above come first)
from lab.lab import Lab  # noqa: E402
from lab.system import ip_batch, run, wait_until  # noqa: E402

from guest import Guest, make_root, missing  # noqa: E402
from ike_world import Pki  # noqa: E402
from l2tp_ike_test import KEYS, L2tpSite  # noqa: E402
from remote_access_test import GATEWAYS  # noqa: E402

ADDRESSES = ("192.0.2.62", "2001:db8:0:1:9::9")
PLUGINS = "random nonce openssl pem pkcs1 kdf kernel-netlink socket-default vici updown"
STREAM = 5201

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or bool(missing()) or not (default_binaries() / "tunneld").exists() or not (default_binaries() / "iked").exists(),
                                reason=f"needs root, tunneld, iked, and {missing() or 'nothing else'}")


class Site(L2tpSite):
    def commit(self):
        super().commit()
        for daemon in ("iked1", "tunneld"):
            wait_until(lambda daemon=daemon: f"follows revision {self.lab.appliance.generation()}\n" in self.lab.appliance.output(daemon), 10, f"{daemon} following")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guest")
    pki = Pki(folder)
    for tenant in GATEWAYS:
        pki.ca(tenant, "ecdsa")
        pki.certificate(f"gw-{tenant}", "ecdsa", tenant, f"DNS:gw.{tenant}.test")
    with Lab(keying=("iked", "iked1", "tunneld")) as lab:
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
    """Behind the outside host, which forwards."""
    make_root()
    outside = site.lab["outside"].namespace
    ip_batch(["link add guests type bridge", "addr add 192.0.2.61/30 dev guests", "addr add 10.66.0.1/24 dev guests", "link set guests up"], outside)
    run(["ip", "netns", "exec", outside, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.eth0.proxy_arp=1"])
    folder = tmp_path_factory.mktemp("job")
    with Guest(folder, outside, "guests", (f"{ADDRESSES[0]}/30", f"{ADDRESSES[1]}/80"), ("192.0.2.61", "2001:db8:0:1:9::1")) as made:
        (folder / "strongswan.conf").write_text(f"charon {{\n  load = {PLUGINS}\n  retransmit_tries = 3\n  retransmit_timeout = 1\n}}\n")
        status, said = made.run("modprobe -a l2tp_ppp ppp_generic ppp_async esp4 macvlan; mknod -m 600 /dev/ppp c 108 0 2>/dev/null; mkdir -p /etc/ppp /etc/swanctl/conf.d /run/xl2tpd\n"
                                "cp /job/strongswan.conf /etc/strongswan.conf; touch /etc/ppp/options\n"
                                "printf '#!/bin/sh\\necho $4 > $LINKROOT/ppp-up\\n' > /etc/ppp/ip-up; chmod +x /etc/ppp/ip-up")
        assert status == 0, said
        yield made


class Client:
    """A machine of its own in the guest: `name` is its network namespace, "" the guest itself. `with Client(...)`: IPsec stands, ppp0 is up."""

    def __init__(self, site, guest, tenant="acme", user="alice", password="", psk="", name="", address="", encap=False, rekey="", esp="aes256-sha1"):
        self.site, self.guest, self.user, self.name, self.address = site, guest, user, name, address
        self.peer = GATEWAYS[tenant][0]
        self.mine = name or "main"
        self.root = f"/tmp/client-{name or 'main'}"
        self.inner, self.mine = "", name or "main"
        self.enter = f"ip netns exec {name} unshare -m" if name else ""
        (guest.folder / f"{name or 'main'}.conf").write_text(
            f"connections {{ l2tp {{ version = 1\n remote_addrs = {self.peer}\n encap = {'yes' if encap else 'no'}\n proposals = aes256-sha1-modp2048\n keyingtries = 1\n"
            f" local {{ auth = psk }}\n remote {{ auth = psk\n id = %any }}\n"
            f" children {{ l2tp {{ mode = transport\n local_ts = dynamic[udp/1701]\n remote_ts = dynamic[udp/1701]\n esp_proposals = {esp}\n"
            f" {f'rekey_time = {rekey}' if rekey else ''}\n {'rand_time = 0' if rekey else ''}\n {'life_time = 10m' if rekey else ''} }} }} }} }}\n"
            f"secrets {{ ike-1 {{ secret = \"{psk or KEYS[tenant]}\" }} }}\n")
        (guest.folder / f"{name or 'main'}.xl").write_text(
            f"[global]\nport = 1701\ndebug tunnel = yes\ndebug state = yes\n[lac vpn]\nlns = {self.peer}\npppoptfile = {self.root}/ppp\nlength bit = yes\nredial = no\nautodial = no\n")
        (guest.folder / f"{name or 'main'}.ppp").write_text(
            f"name \"{user}\"\npassword \"{password or f'{user}-{tenant}'}\"\nnoauth\nnoipdefault\nusepeerdns\nrefuse-eap\nrefuse-pap\nrefuse-chap\nrefuse-mschap\n"
            f"nodefaultroute\nmtu 1400\nmru 1400\ndebug\nlogfile /job/{self.mine}-pppd.log\nlcp-echo-interval 10\nlcp-echo-failure 4\nset LINKROOT={self.root}\n")

    def sh(self, command, seconds=30):
        inside = f"ip netns exec {self.name} " if self.name else ""
        return self.guest.run(f"{inside}sh -c {quote(command)}", seconds)

    def log(self):
        mine = self.name or "main"
        files = [self.guest.folder / f"{mine}-{one}.log" for one in ("step", "charon", "xl2tpd", "pppd")]
        return "".join(f"\n--- {one.name}\n{one.read_text(errors='replace')[-2500:]}" for one in files if one.exists())

    def start(self, seconds=40):
        """The inner address, or nothing."""
        mine = self.name or "main"
        if self.name:
            status, said = self.guest.run(
                f"ip netns add {self.name}; ip link add m-{self.name} link eth0 type macvlan mode bridge; ip link set m-{self.name} netns {self.name}\n"
                f"ip -n {self.name} addr add {self.address}/24 dev m-{self.name}; ip -n {self.name} link set m-{self.name} up; ip -n {self.name} link set lo up\n"
                f"ip -n {self.name} route add default via 10.66.0.1")
            assert status == 0, said
        (self.guest.folder / f"{mine}.sh").write_text(
            f"exec > /job/{mine}-step.log 2>&1 < /dev/null\nset -x\nmkdir -p {self.root}/vr {self.root}/conf\n"
            + (f"mount --bind {self.root}/conf /etc/swanctl/conf.d\nmount --bind {self.root}/vr /run\n" if self.name else "") + f"cp /job/{mine}.conf /etc/swanctl/conf.d/\ncp /job/{mine}.ppp {self.root}/ppp\n"
            f"/usr/lib/ipsec/charon > /job/{self.mine}-charon.log 2>&1 &\necho $! > {self.root}/charon.pid\n"
            "for i in $(seq 200); do swanctl --stats > /dev/null 2>&1 && break; sleep 0.05; done\nswanctl --load-all\n"
            f"swanctl --initiate --child l2tp --timeout 20 || exit 3\n"
            f"mkdir -p /var/run/xl2tpd; xl2tpd -D -c /job/{mine}.xl -p {self.root}/xl2tpd.pid -C {self.root}/control > /job/{self.mine}-xl2tpd.log 2>&1 &\n"
            f"for i in $(seq 100); do [ -p {self.root}/control ] && break; sleep 0.05; done\necho 'c vpn' > {self.root}/control\n"
            f"for i in $(seq {seconds * 10}); do [ -s {self.root}/ppp-up ] && exit 0; sleep 0.1; done; exit 4\n")
        status, said = self.guest.run(f"rm -rf {self.root}; mkdir -p {self.root}; {self.enter} sh /job/{mine}.sh; s=$?; cat {self.root}/ppp-up; exit $s", seconds + 60)
        self.said = said
        self.inner = said.strip().splitlines()[-1] if status == 0 else ""
        return self.inner

    def __enter__(self):
        assert self.start(), self.said[-2000:] + self.log()[-6000:]
        self.sh("ip route replace 10.0.0.0/24 dev ppp0")
        return self

    def hang_up(self):
        self.guest.run(f"timeout 3 sh -c \"echo 'd vpn' > {self.root}/control\"; for i in $(seq 50); do ip {f'-n {self.name}' if self.name else ''} link show ppp0 > /dev/null 2>&1 || exit 0; sleep 0.1; done", 20)

    def __exit__(self, *_):
        self.hang_up()
        self.vanish("TERM")
        if self.name:
            self.guest.run(f"ip netns del {self.name}")

    def vanish(self, signal="KILL"):
        self.guest.run(f"kill -{signal} $(cat {self.root}/xl2tpd.pid {self.root}/charon.pid) 2>/dev/null; sleep 0.5; ip {f'-n {self.name}' if self.name else ''} xfrm state flush", 20)

    def curl(self, url, seconds=5):
        status, page = self.sh(f"curl -s --max-time {seconds} {url}", seconds + 10)
        return status, page.strip()


def quote(text):
    return "'" + text.replace("'", "'\\''") + "'"


def test_strongswan_and_xl2tpd_come_in_and_pass_by_their_groups(site, guest):
    with Client(site, guest) as client:
        up = site.expect("up", user="alice")
        assert up["proto"] == "l2tp" and up["auth"] == "mschapv2" and up["ip4"] == client.inner and up["peer_ip"] == ADDRESSES[0], up
        assert client.curl("http://10.0.0.2/") == (0, "acme web1")
        assert client.curl("http://10.0.0.2:22/", 3)[0] != 0, "another group's"
        assert client.curl("http://10.0.0.18:5432/", 3)[0] != 0, "nobody's"
    down = site.expect("down", user="alice")
    assert down["cause"] == "user" and down["bytes_in"] > 0, down


def test_a_stream_passes_both_ways_in_udp(site, guest):
    with Client(site, guest, user="bob", encap=True) as client:
        status, said = client.sh(f"iperf3 -c 10.0.0.2 -p {STREAM} -t 3 -b 8M && iperf3 -R -c 10.0.0.2 -p {STREAM} -t 3 -b 8M", 60)
        assert status == 0 and "error" not in said, said


def test_rekeying_loses_no_packet(site, guest):
    with Client(site, guest, user="bob", encap=True, rekey="4s") as client:
        status, said = client.sh("ping -i 0.2 -c 60 -W 3 10.0.0.2", 60)
        received = re.search(r"(\d+) packets transmitted, (\d+) received", said)
        assert status == 0 and received and received[1] == received[2] == "60", said + client.log()[-3000:]
    assert not [one for one in site.records("acme") if one["event"] == "down" and one.get("user") == "bob" and one["cause"] != "user"]


def test_a_wrong_password_is_refused(site, guest):
    client = Client(site, guest, password="wrong")
    assert not client.start(15), client.log()[-3000:]
    assert site.expect("auth_fail", user="alice", proto="l2tp")["cause"] == "auth"
    client.__exit__()


def test_the_tenant_is_the_address_reached(site, guest):
    with Client(site, guest, tenant="globex") as client:
        assert client.curl("http://10.0.0.2/") == (0, "globex web1")
        assert site.expect("up", tenant="globex", user="alice")["ip4"] == client.inner


def test_an_operator_ends_it(site, guest):
    with Client(site, guest) as client:
        assert site.lab.appliance.ctl("vpn", "disconnect", "alice", "--tenant", "acme", check=False).returncode == 0
        status, said = guest.run("for i in $(seq 100); do ip link show ppp0 > /dev/null 2>&1 || exit 0; sleep 0.1; done; exit 1", 20)
        assert status == 0, client.log()[-3000:] + said
    assert site.expect("down", user="alice", cause="admin")


def test_a_client_that_vanishes_comes_in_again(site, guest):
    client = Client(site, guest)
    client.__enter__()
    site.expect("up", user="alice")
    client.vanish()
    with Client(site, guest) as again:
        assert again.curl("http://10.0.0.2/") == (0, "acme web1")


def test_tunneld_that_is_killed_is_followed_by_one_that_lets_in_again(site, guest):
    client = Client(site, guest)
    client.__enter__()
    appliance = site.lab.appliance
    appliance.kill("tunneld")
    assert client.curl("http://10.0.0.2/") == (0, "acme web1"), "the data plane has what it needs"
    appliance.start_daemon("tunneld")
    time.sleep(0.5)
    client.vanish("TERM")
    with Client(site, guest) as again:
        assert again.curl("http://10.0.0.2/") == (0, "acme web1")


def test_clients_behind_one_nat_have_their_own_sessions(site, guest):
    outside = site.lab["outside"].namespace
    run(["ip", "netns", "exec", outside, "nft", "add table ip nat; add chain ip nat post { type nat hook postrouting priority 100; }; "
         "add rule ip nat post ip saddr 10.66.0.0/24 oif eth0 masquerade"])
    clients = [Client(site, guest, user=user, name=f"c{number}", address=f"10.66.0.{10 + number}") for number, user in enumerate(("alice", "bob", "alice", "bob"))]
    try:
        for client in clients:
            assert client.start(), client.said[-2000:] + client.log()[-6000:]
            client.sh("ip route replace 10.0.0.0/24 dev ppp0")
        assert len({client.inner for client in clients}) == len(clients)
        for client in clients:
            assert client.curl("http://10.0.0.2/") == (0, "acme web1"), client.name
        clients[0].hang_up()
        for client in clients[1:]:
            assert client.curl("http://10.0.0.2/") == (0, "acme web1"), client.name
    finally:
        for client in clients:
            client.__exit__()
        run(["ip", "netns", "exec", outside, "nft", "delete table ip nat"])
