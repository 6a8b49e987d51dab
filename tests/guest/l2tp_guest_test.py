# SPDX-License-Identifier: Apache-2.0
"""L2TP/IPsec with clients nobody here wrote: strongSwan (IKEv1), xl2tpd and pppd in a guest kernel, whose ESP, L2TP and PPP are Linux's own,
through the whole appliance. What the guest's programs saw decides. Several clients are network namespaces of the guest behind one
address: the host before them translates."""

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

from guest import Guest, both_ways, make_root, missing, refusals  # noqa: E402
from ike_world import Pki, nt_hash  # noqa: E402
from l2tp_ike_test import KEYS, L2tpSite  # noqa: E402
from remote_access_test import GATEWAYS  # noqa: E402

ADDRESSES = ("192.0.2.62", "2001:db8:0:1:9::9")
PLUGINS = "random nonce openssl pem pkcs1 kdf kernel-netlink socket-default vici updown"
STREAM = 5201

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or bool(missing()) or not (default_binaries() / "tunneld").exists() or not (default_binaries() / "iked").exists(),
                                reason=f"needs root, tunneld, iked, and {missing() or 'nothing else'}")


class Site(L2tpSite):
    hashes = {}  # of users who have another password than the usual one

    def _remote(self, tenant):
        text = super()._remote(tenant)
        for name, value in self.hashes.items():
            text = text.replace(nt_hash(f"{name}-{tenant}"), value)
        return text

    def commit(self):
        self.users.update({"carol": ["staff"], "dave": ["staff"]})
        super().commit()
        self.follows()

    def follows(self):
        for daemon in ("iked1", "tunneld"):
            wait_until(lambda daemon=daemon: f"follows revision {self.lab.appliance.generation()}\n" in self.lab.appliance.output(daemon), 20, f"{daemon} following")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guest")
    pki = Pki(folder)
    for tenant in GATEWAYS:
        pki.ca(tenant, "ecdsa")
        pki.certificate(f"gw-{tenant}", "ecdsa", tenant, f"DNS:gw.{tenant}.test")
    with Lab(keying=("iked", "iked1", "tunneld")) as lab:
        made = Site(lab, pki, folder)
        made.policy += "          - { name: streams, action: allow, users: [admins] }\n          - { name: staff ping, action: allow, users: [staff], service: [ping] }\n"
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
    ip_batch(["link add guests type bridge", "addr add 192.0.2.61/30 dev guests", "addr add 10.66.0.1/24 dev guests", "addr add 2001:db8:0:1:9::1/80 dev guests nodad",
              "link set guests up", f"neigh add proxy {ADDRESSES[1]} dev eth0"], outside)
    run(["ip", "netns", "exec", outside, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.conf.all.send_redirects=0",
         "net.ipv4.conf.eth0.proxy_arp=1", "net.ipv6.conf.eth0.proxy_ndp=1"])
    folder = tmp_path_factory.mktemp("job")
    with Guest(folder, outside, "guests", (f"{ADDRESSES[0]}/30", f"{ADDRESSES[1]}/80"), ("192.0.2.61", "2001:db8:0:1:9::1")) as made:
        (folder / "strongswan.conf").write_text(f"charon {{\n  load = {PLUGINS}\n  retransmit_tries = 3\n  retransmit_timeout = 1\n}}\n")
        status, said = made.run("modprobe -a l2tp_ppp ppp_generic ppp_async esp4 macvlan; mknod -m 600 /dev/ppp c 108 0 2>/dev/null; mkdir -p /etc/ppp /etc/swanctl/conf.d /run/xl2tpd\n"
                                "cp /job/strongswan.conf /etc/strongswan.conf; touch /etc/ppp/options\n"
                                "printf '#!/bin/sh\\necho $4 > $LINKROOT/ppp-up\\n' > /etc/ppp/ip-up; chmod +x /etc/ppp/ip-up")
        assert status == 0, said
        yield made


@pytest.fixture(autouse=True)
def only_new_records(site):
    site.taken |= {one["eid"] for tenant in GATEWAYS for one in site.records(tenant)}


class Client:
    """A machine of its own in the guest: `name` is its network namespace, "" the guest itself. `with Client(...)`: IPsec stands, ppp0 is up."""

    six = False  # outside

    def __init__(self, site, guest, tenant="acme", user="alice", password="", psk="", name="", address="", encap=False, rekey="", esp="aes256-sha1",
                 method="mschap-v2", words=""):
        self.site, self.guest, self.user, self.name, self.address = site, guest, user, name, address
        self.peer = GATEWAYS[tenant][self.six]
        self.mine = name or "main"
        self.root = f"/tmp/client-{self.mine}"
        self.inner, self.psk, self.encap = "", psk or KEYS[tenant], encap
        self.enter = f"ip netns exec {name} unshare -m" if name else ""
        (guest.folder / f"{name or 'main'}.conf").write_text(
            f"connections {{ l2tp {{ version = 1\n remote_addrs = {self.peer}\n encap = {'yes' if encap else 'no'}\n proposals = aes256-sha1-modp2048\n keyingtries = 1\n"
            f" local {{ auth = psk }}\n remote {{ auth = psk\n id = %any }}\n"
            f" children {{ l2tp {{ mode = transport\n local_ts = dynamic[udp/1701]\n remote_ts = dynamic[udp/1701]\n esp_proposals = {esp}\n"
            f" {f'rekey_time = {rekey}' if rekey else ''}\n {'rand_time = 0' if rekey else ''}\n {'life_time = 10m' if rekey else ''} }} }} }} }}\n"
            f"secrets {{ ike-1 {{ secret = \"{self.psk}\" }} }}\n")
        (guest.folder / f"{name or 'main'}.xl").write_text(
            f"[global]\nport = 1701\ndebug tunnel = yes\ndebug state = yes\n[lac vpn]\nlns = {self.peer}\npppoptfile = {self.root}/ppp\nlength bit = yes\nredial = no\nautodial = no\n")
        (guest.folder / f"{name or 'main'}.ppp").write_text(
            f"name \"{user}\"\npassword \"{password or f'{user}-{tenant}'}\"\nnoauth\nnoipdefault\nusepeerdns\n{refusals(method)}\n{words}\n"
            f"nodefaultroute\nmtu 1400\nmru 1400\n+ipv6\ndebug\ndebug\nlogfile /job/{self.mine}-pppd.log\nlcp-echo-interval 10\nlcp-echo-failure 4\nset LINKROOT={self.root}\n")

    def keying(self):
        """Shell: its keying daemon runs, its number is in charon.pid, and SAs stand; or it fails."""
        return (f"/usr/lib/ipsec/charon > /job/{self.mine}-charon.log 2>&1 &\necho $! > {self.root}/charon.pid\n"
                "for i in $(seq 200); do swanctl --stats > /dev/null 2>&1 && break; sleep 0.05; done\nswanctl --load-all\n"
                "swanctl --initiate --child l2tp --timeout 20 ")

    def dialing(self):
        """Shell: L2TP and PPP begin."""
        return (f"mkdir -p /var/run/xl2tpd; xl2tpd -D -c /job/{self.mine}.xl -p {self.root}/xl2tpd.pid -C {self.root}/control > /job/{self.mine}-xl2tpd.log 2>&1 &\n"
                f"for i in $(seq 100); do [ -p {self.root}/control ] && break; sleep 0.05; done\necho 'c vpn' > {self.root}/control\n")

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
            + self.keying() + "|| exit 3\n" + self.dialing() +
            f"for i in $(seq {seconds * 10}); do [ -s {self.root}/ppp-up ] && exit 0; sleep 0.1; done; exit 4\n")
        status, said = self.guest.run(f"rm -rf {self.root}; mkdir -p {self.root}; {self.enter} sh /job/{mine}.sh; s=$?; cat {self.root}/ppp-up; exit $s", seconds + 60)
        self.said = said
        self.inner = said.strip().splitlines()[-1] if status == 0 else ""
        return self.inner

    def __enter__(self):
        assert self.start(), self.said[-2000:] + self.log()[-6000:]
        self.route()
        return self

    def route(self):
        self.sh("ip route replace 10.0.0.0/24 dev ppp0; ip -6 route replace fd00:10::/32 dev ppp0")

    def gone(self, seconds=20):
        """Waits until its ppp0 has ended by itself."""
        status, said = self.sh(f"for i in $(seq {seconds * 10}); do ip link show ppp0 > /dev/null 2>&1 || exit 0; sleep 0.1; done; exit 1", seconds + 20)
        assert status == 0, self.log() + said

    def hang_up(self):
        self.guest.run(f"timeout 3 sh -c \"echo 'd vpn' > {self.root}/control\"; for i in $(seq 50); do ip {f'-n {self.name}' if self.name else ''} link show ppp0 > /dev/null 2>&1 || exit 0; sleep 0.1; done", 20)

    def __exit__(self, *_):
        self.hang_up()
        self.vanish("TERM")
        if self.name:
            self.guest.run(f"ip netns del {self.name}")

    def vanish(self, signal="KILL"):
        """Its programs end, with KILL without a word, and its kernel forgets the SAs."""
        where = f"-n {self.name}" if self.name else ""
        self.guest.run(f"kill -{signal} $(cat {self.root}/xl2tpd.pid {self.root}/charon.pid) 2>/dev/null; pkill -{signal} -f 'pppd.*{self.root}/ppp'\n"
                       f"for i in $(seq 100); do ip {where} link show ppp0 > /dev/null 2>&1 || kill -0 $(cat {self.root}/charon.pid) 2>/dev/null || break; sleep 0.1; done\n"
                       f"ip {where} xfrm state flush; ip {where} xfrm policy flush", 20)

    def spis(self):
        """Of the SAs its kernel has."""
        return set(re.findall(r"spi (0x[0-9a-f]+)", self.guest.run(f"ip {f'-n {self.name}' if self.name else ''} xfrm state")[1]))

    def echoes(self):
        """Answers of ours to pppd's echoes."""
        return (self.guest.folder / f"{self.mine}-pppd.log").read_text(errors="replace").count("rcvd [LCP EchoRep")

    def curl(self, url, seconds=5):
        status, page = self.sh(f"curl -s --max-time {seconds} {url}", seconds + 10)
        return status, page.strip()


class Libreswan(Client):
    """The same with libreswan's pluto, an IKE that shares nothing with ours."""

    def keying(self):
        folder, programs = f"{self.root}/pluto", "/usr/libexec/ipsec"
        (self.guest.folder / "pluto.conf").write_text(
            f"config setup\n\tikev1-policy=accept\nconn l2tp\n\tikev2=no\n\tauthby=secret\n\ttype=transport\n\tleft={ADDRESSES[0]}\n\tleftprotoport=17/1701\n"
            f"\tright={self.peer}\n\trightprotoport=17/1701\n\tike=aes256-sha2_256;modp2048\n\tesp=aes256-sha2_256\n\tpfs=no\n\trekey=no\n"
            f"\tencapsulation={'yes' if self.encap else 'auto'}\n")
        (self.guest.folder / "pluto.secrets").write_text(f"{ADDRESSES[0]} {self.peer} : PSK \"{self.psk}\"\n")
        return (f"mkdir -p {folder}/run {folder}/nss {folder}/d; certutil -N -d sql:{folder}/nss --empty-password\n"
                f"{programs}/pluto --config /job/pluto.conf --nofork --stderrlog --rundir {folder}/run --nssdir {folder}/nss --ipsecdir {folder}/d "
                f"--secretsfile /job/pluto.secrets --no-dnssec > /job/{self.mine}-charon.log 2>&1 &\necho $! > {self.root}/charon.pid\n"
                f"for i in $(seq 200); do {programs}/whack --rundir {folder}/run --status > /dev/null 2>&1 && break; sleep 0.05; done\n"
                f"{programs}/addconn --ctlsocket {folder}/run/pluto.ctl --config /job/pluto.conf l2tp\n"
                f"timeout 25 {programs}/whack --rundir {folder}/run --initiate --name l2tp\nip xfrm state | grep -q 'mode transport' ")


class OverIpv6(Client):
    """The same over IPv6. xl2tpd knows IPv4 alone: what it says, l2tp6.py says; PPP is pppd's all the same."""

    six = True

    def dialing(self):
        (self.guest.folder / "l2tp6.py").write_text((Path(__file__).parent / "l2tp6.py").read_text())
        return f"pppd pty 'python3 /job/l2tp6.py {self.peer} 2> /job/{self.mine}-xl2tpd.log' nodetach file {self.root}/ppp &\necho $! > {self.root}/pppd.pid\n"

    def hang_up(self):
        self.guest.run(f"kill $(cat {self.root}/pppd.pid); for i in $(seq 50); do ip link show ppp0 > /dev/null 2>&1 || exit 0; sleep 0.1; done", 20)


def drops(site):
    return site.lab.appliance.ctl("show", "drops", check=False).stdout


def dropped(site, name):
    return sum(int(row["packets"]) for row in site.lab.appliance.show("drops") if row["reason"] == name)


def quote(text):
    return "'" + text.replace("'", "'\\''") + "'"


def test_strongswan_and_xl2tpd_come_in_and_pass_by_their_groups(site, guest):
    with Client(site, guest) as client:
        up = site.expect("up", user="alice")
        assert up["proto"] == "l2tp" and up["auth"] == "mschapv2" and up["ip4"] == client.inner and up["peer_ip"] == ADDRESSES[0], up
        assert client.curl("http://10.0.0.2/") == (0, "acme web1")
        client.sh("for i in $(seq 100); do ip -6 addr show dev ppp0 scope global | grep -q inet6 && break; sleep 0.1; done", 20)
        assert client.curl("http://[fd00:10:0:1::2]/") == (0, "acme web1"), client.sh("ip -6 addr show dev ppp0; ip -6 route")[1]
        assert client.curl("http://[fd00:10:0:1::2]:22/", 3)[0] != 0, "another group's"
        assert client.curl("http://10.0.0.2:22/", 3)[0] != 0, "another group's"
        assert client.curl("http://10.0.0.18:5432/", 3)[0] != 0, "nobody's"
    down = site.expect("down", user="alice")
    assert down["cause"] == "user" and down["bytes_in"] > 0, down


def test_a_stream_passes_both_ways_in_udp(site, guest):
    with Client(site, guest, user="bob", encap=True) as client:
        status, said = client.sh("ping -c 3 -W 3 -i 0.3 10.0.0.2", 20)
        assert status == 0, said
        status, said = client.sh(both_ways("10.0.0.2", STREAM, "-t 3 -b 8M"), 60)
        assert status == 0, said


@pytest.mark.parametrize("encap", [False, True], ids=["esp", "in udp"])
def test_libreswan_and_xl2tpd_come_in_and_pass_by_their_groups(site, guest, encap):
    with Libreswan(site, guest, encap=encap) as client:
        up = site.expect("up", user="alice")
        assert up["proto"] == "l2tp" and up["ip4"] == client.inner and up["peer_ip"] == ADDRESSES[0], up
        status, said = guest.run("ip xfrm state")
        assert ("encap type espinudp" in said) == encap, said
        assert client.curl("http://10.0.0.2/") == (0, "acme web1")
        assert client.curl("http://10.0.0.2:22/", 3)[0] != 0, "another group's"
        assert client.curl("http://10.0.0.18:5432/", 3)[0] != 0, "nobody's"
    assert site.expect("down", user="alice", vpn_sid=up["vpn_sid"])["cause"] == "user"
    with Libreswan(site, guest, user="bob", encap=encap) as client:
        status, said = client.sh("ping -c 3 -W 3 -i 0.3 10.0.0.2", 20)
        assert status == 0, said
        status, said = client.sh(both_ways("10.0.0.2", STREAM, "-t 3 -b 8M"), 60)
        assert status == 0, said


def test_a_client_comes_in_over_ipv6(site, guest):
    with OverIpv6(site, guest) as client:
        up = site.expect("up", user="alice", proto="l2tp")
        assert up["ip4"] == client.inner and up["peer_ip"] == ADDRESSES[1], up
        assert client.curl("http://10.0.0.2/") == (0, "acme web1")
        client.sh("for i in $(seq 100); do ip -6 addr show dev ppp0 scope global | grep -q inet6 && break; sleep 0.1; done", 20)
        assert client.curl("http://[fd00:10:0:1::2]/") == (0, "acme web1"), client.sh("ip -6 addr show dev ppp0; ip -6 route")[1]
        assert client.curl("http://10.0.0.2:22/", 3)[0] != 0, "another group's"
        assert "proto esp" in guest.run("ip -6 xfrm state")[1]
    assert site.expect("down", user="alice", vpn_sid=up["vpn_sid"])["cause"] == "user"


def test_rekeying_under_traffic_loses_no_packet_and_no_session(site, guest):
    with Client(site, guest, user="bob", encap=True, rekey="4s") as client:
        up = site.expect("up", user="bob")
        stream = guest.spawn(f"iperf3 -c 10.0.0.2 -p {STREAM} -t 12 -b 2M -J")
        status, said = client.sh("ping -i 0.2 -c 60 -W 3 10.0.0.2", 60)
        received = re.search(r"(\d+) packets transmitted, (\d+) received", said)
        assert status == 0 and received and received[1] == received[2] == "60", said + client.log()[-3000:]
        status, said = guest.result(stream, 60)
        assert status == 0 and '"error"' not in said, said[-1500:]
        amounts = [int(count) for count in re.findall(r'"sum":\s*{[^}]*?"bytes":\s*(\d+)', said)]
        assert len(amounts) >= 12 and all(a + b > 0 for a, b in zip(amounts, amounts[1:])), amounts
        numbers = [int(number) for number in re.findall(r"l2tp: #(\d+), reqid", guest.run("swanctl --list-sas")[1])]
        assert numbers and max(numbers) >= 4, guest.run("swanctl --list-sas")[1]
    down = site.expect("down", user="bob", vpn_sid=up["vpn_sid"])
    assert down["cause"] == "user", down


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
        client.gone()
    assert site.expect("down", user="alice", cause="admin")


AVPS = "8008000000000001" "8008000000020100" "800a0000000300000003" "8008000000077063" "8008000000097777"
ASK = f"""import socket
message = bytes.fromhex("c802{12 + len(AVPS) // 2:04x}" + "0000" * 4 + "{AVPS}")
wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
wire.bind(("", 1701))
wire.settimeout(2)
wire.sendto(message, ("{GATEWAYS["acme"][0]}", 1701))
try:
    print(wire.recv(2000))
except socket.timeout:
    raise SystemExit(9)
"""


def test_l2tp_outside_ipsec_is_answered_by_nobody(site, guest):
    """The words that begin a session inside."""
    before = dropped(site, "l2tp-clear")
    (guest.folder / "ask.py").write_text(ASK)
    status, said = guest.run("python3 /job/ask.py", 20)
    assert status == 9, said
    wait_until(lambda: dropped(site, "l2tp-clear") == before + 1, 20, "the drop by its name")


def test_a_client_that_vanishes_comes_in_again(site, guest):
    client = Client(site, guest)
    client.__enter__()
    first = site.expect("up", user="alice")
    client.vanish()
    with Client(site, guest) as again:
        assert again.curl("http://10.0.0.2/") == (0, "acme web1")
        assert site.expect("up", user="alice")["vpn_sid"] != first["vpn_sid"]


def test_a_client_that_vanishes_is_missed_and_its_address_is_free_again(site, guest):
    client = Client(site, guest, user="carol")
    client.__enter__()
    up = site.expect("up", user="carol")
    client.vanish()
    down = site.expect("down", user="carol", vpn_sid=up["vpn_sid"], seconds=180)
    assert down["cause"] == "peer_lost", down
    assert "carol" not in site.lab.appliance.ctl("show", "sessions", "--vpn", "--tenant", "acme").stdout
    assert up["ip4"] not in site.lab.appliance.ctl("show", "sessions", "--vpn", "--tenant", "acme").stdout


def killed_and_followed(site, guest, client):
    """kill -9 of tunneld while packets pass; what the next one finds is the client's still."""
    appliance = site.lab.appliance
    pings = guest.spawn("ping -i 0.2 -c 50 -W 3 10.0.0.2")
    echoes, followed = client.echoes(), appliance.output("tunneld").count("follows revision")
    appliance.kill("tunneld")
    assert client.curl("http://10.0.0.2/") == (0, "acme web1"), "the data plane has what it needs"
    appliance.start_daemon("tunneld")
    wait_until(lambda: appliance.output("tunneld").count("follows revision") > followed, 20, "the next tunneld following")
    status, said = guest.result(pings, 40)
    assert status == 0 and "50 packets transmitted, 50 received" in said, said
    wait_until(lambda: client.echoes() > echoes + 1, 60, "echoes that the new tunneld answers")
    assert "bob" in appliance.ctl("show", "sessions", "--vpn", "--tenant", "acme").stdout


def test_tunneld_that_is_killed_is_followed_by_one_that_goes_on(site, guest):
    with Client(site, guest, user="bob") as client:
        up = site.expect("up", user="bob")
        killed_and_followed(site, guest, client)
        assert client.curl("http://[fd00:10:0:1::2]/") == (0, "acme web1")
    down = site.expect("down", user="bob", vpn_sid=up["vpn_sid"])
    assert down["cause"] == "user" and down["bytes_in"] > 0, "its goodbye was understood"


def test_an_operator_ends_what_a_killed_tunneld_left(site, guest):
    with Client(site, guest, user="bob") as client:
        up = site.expect("up", user="bob")
        killed_and_followed(site, guest, client)
        assert site.lab.appliance.ctl("vpn", "disconnect", "bob", "--tenant", "acme", check=False).returncode == 0
        client.gone()
        down = site.expect("down", user="bob", vpn_sid=up["vpn_sid"])
        assert down["cause"] == "admin", down


def test_another_password_ends_what_a_killed_tunneld_left(site, guest):
    with Client(site, guest, user="bob") as client:
        up = site.expect("up", user="bob")
        killed_and_followed(site, guest, client)
        site.commit()
        assert client.curl("http://10.0.0.2/") == (0, "acme web1"), "his password is the one it was"
        site.hashes = {"bob": nt_hash("another-password")}
        try:
            site.commit()
            client.gone()
            assert site.expect("down", user="bob", vpn_sid=up["vpn_sid"])["cause"] == "admin"
        finally:
            site.hashes = {}
            site.commit()


def test_what_a_killed_tunneld_left_ends_when_nobody_uses_it(site, guest):
    with Client(site, guest, user="bob") as client:
        up = site.expect("up", user="bob")
        killed_and_followed(site, guest, client)
        site.gateway = " idle_seconds: 20,"
        try:
            site.commit()
            assert client.curl("http://10.0.0.2/") == (0, "acme web1")
            assert site.expect("down", user="bob", vpn_sid=up["vpn_sid"], seconds=90)["cause"] == "idle"
            client.gone()
        finally:
            site.gateway = ""
            site.commit()


def test_eight_clients_behind_one_nat_have_their_own_sessions(site, guest):
    outside = site.lab["outside"].namespace
    run(["ip", "netns", "exec", outside, "nft", "add table ip nat; add chain ip nat post { type nat hook postrouting priority 100; }; "
         "add rule ip nat post ip saddr 10.66.0.0/24 oif eth0 masquerade"])
    clients = [Client(site, guest, user=user, name=f"c{number}", address=f"10.66.0.{10 + number}", rekey="4s" if number > 5 else "")
               for number, user in enumerate(2 * ("alice", "bob", "carol", "dave"))]
    try:
        for client in clients:
            assert client.start(), client.said[-2000:] + client.log()[-6000:] + drops(site)
            client.route()
        assert len({client.inner for client in clients}) == len(clients)
        for client in clients:
            assert client.curl("http://10.0.0.2/") == (0, "acme web1"), client.name
        before = [client.spis() for client in clients]
        pings = [guest.spawn(f"ip netns exec {client.name} ping -i 0.4 -c 40 -W 5 10.0.0.2") for client in clients]
        for client, ping in zip(clients, pings):
            said = guest.result(ping, 90)[1]
            assert "40 packets transmitted, 40 received" in said, client.name + said + client.log()[-3000:] + drops(site)
        for client, old in zip(clients, before):
            assert bool(client.spis() - old) == (client in clients[6:]), f"{client.name}: who renews its SAs does, and nobody else"
        clients[0].hang_up()
        clients[1].vanish()
        for client in clients[2:]:
            assert client.curl("http://10.0.0.2/") == (0, "acme web1"), client.name
    finally:
        for client in clients:
            client.__exit__()
        run(["ip", "netns", "exec", outside, "nft", "delete table ip nat"])
