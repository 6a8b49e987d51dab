# SPDX-License-Identifier: Apache-2.0
"""IKEv1 with stock strongSwan and the kernel's ESP in transport mode, in a guest kernel, through the whole appliance: its SAs, its refusals, and
kill -9 of our daemon under a user's traffic. What comes through the SAs is l2tp_guest_test.py's."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "board"))

from lab.appliance import default_binaries  # noqa: E402  (the paths above come first)
from lab.lab import Lab  # noqa: E402
from lab.system import ip_batch, run  # noqa: E402

from guest import Guest, make_root, missing  # noqa: E402
from ike_world import Pki  # noqa: E402
from l2tp_ike_test import BRANCH, KEYS, L2tpSite, follows  # noqa: E402
from remote_access_test import GATEWAYS  # noqa: E402

ADDRESSES = ("192.0.2.62", "2001:db8:0:1:9::9")
PLUGINS = "random nonce openssl pem x509 pubkey pkcs1 pkcs8 constraints kdf kernel-netlink socket-default vici updown"
PPPD = "noauth\nnoipdefault\nusepeerdns\nnobsdcomp\nnodeflate\nnoccp\nnovj\nrefuse-eap\nrefuse-pap\nrefuse-chap\nrefuse-mschap\ndebug\nlogfile /job/pppd.log\nmtu 1280\nmru 1280\n"

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or bool(missing()) or not (default_binaries() / "tunneld").exists() or not (default_binaries() / "iked").exists(),
                                reason=f"needs root, iked, tunneld, and {missing() or 'nothing else'}")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guest")
    pki = Pki(folder)
    for tenant in GATEWAYS:
        pki.ca(tenant, "ecdsa")
        pki.certificate(f"gw-{tenant}", "ecdsa", tenant, f"DNS:gw.{tenant}.test")
    with Lab(keying=("iked", "iked1", "tunneld")) as lab:
        made = L2tpSite(lab, pki, folder)
        made.commit()
        follows(made)
        yield made
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
        (folder / "strongswan.conf").write_text(f"charon {{\n  load = {PLUGINS}\n  retransmit_tries = 2\n  retransmit_timeout = 1\n}}\n")
        (folder / "options").write_text(PPPD)
        (folder / "xl2tpd.conf").write_text(f"[global]\nport = 1701\n[lac vpn]\nlns = {GATEWAYS['acme'][0]}\nname = alice\nppp debug = yes\npppoptfile = /job/options.alice\n"
                                            "length bit = yes\nredial = no\nautodial = no\n")
        (folder / "options.alice").write_text(PPPD + "name alice\npassword alice-acme\n")
        status, said = made.run(
            "modprobe -a ppp_async ppp_generic l2tp_ppp esp4 xfrm_user 2>/dev/null; mknod -m 600 /dev/ppp c 108 0 2>/dev/null\n"
            "mkdir -p /etc/ppp /run/xl2tpd /var/run/xl2tpd /etc/xl2tpd; printf '#!/bin/sh\\necho $4 > /run/ppp-up\\n' > /etc/ppp/ip-up; chmod +x /etc/ppp/ip-up\n"
            "printf '#!/bin/sh\\nrm -f /run/ppp-up\\n' > /etc/ppp/ip-down; chmod +x /etc/ppp/ip-down; touch /etc/ppp/options /etc/xl2tpd/l2tp-secrets\n"
            "cp /job/strongswan.conf /etc/strongswan.conf; /usr/lib/ipsec/charon > /job/charon.log 2>&1 &\n"
            "xl2tpd -D -c /job/xl2tpd.conf -p /run/xl2tpd.pid -C /run/xl2tpd/l2tp-control > /job/xl2tpd.log 2>&1 &\n"
            "for i in $(seq 200); do swanctl --stats > /dev/null 2>&1 && exit 0; sleep 0.05; done; cat /job/charon.log; exit 1", 40)
        assert status == 0, said
        yield made


def logs(guest, *names):
    return "".join(f"\n--- {name}\n" + (guest.folder / name).read_text(errors="replace")[-2500:] for name in names if (guest.folder / name).exists())


def key(guest, psk=KEYS["acme"], *, encap="no", esp="aes256-sha256", more="", gateway=GATEWAYS["acme"][0]):
    """IKEv1 up to the SAs; (exit status, what was said)."""
    (guest.folder / "swanctl.conf").write_text(f"""connections {{ l2tp {{
  version = 1
  remote_addrs = {gateway}
  encap = {encap}
  proposals = aes256-sha256-modp2048
  local {{ auth = psk
  }}
  remote {{ auth = psk
  }}
  children {{ l2tp {{
    mode = transport
    local_ts = dynamic[udp/1701]
    remote_ts = dynamic[udp/1701]
    esp_proposals = {esp}
    {more}
  }} }}
}} }}
secrets {{ ike-1 {{ secret = "{psk}" }} }}
""")
    return guest.run("cp /job/swanctl.conf /etc/swanctl/; swanctl --load-all --clear --noprompt > /dev/null 2>&1; swanctl --initiate --child l2tp --timeout 15", 40)


def dial(guest):
    """L2TP and PPP through the SAs; the address of ppp0."""
    guest.run("rm -f /run/ppp-up; echo 'c vpn' > /run/xl2tpd/l2tp-control")
    status, said = guest.run("for i in $(seq 300); do [ -s /run/ppp-up ] && cat /run/ppp-up && exit 0; sleep 0.1; done; exit 1", 60)
    assert status == 0, logs(guest, "xl2tpd.log", "pppd.log", "charon.log")
    guest.run("ip route replace 10.0.0.0/24 dev ppp0")
    return said.strip()


@pytest.fixture(autouse=True)
def goodbye(guest):
    yield
    guest.run("echo 'd vpn' > /run/xl2tpd/l2tp-control; for i in $(seq 50); do [ -s /run/ppp-up ] || break; sleep 0.1; done; swanctl --terminate --ike l2tp --timeout 5", 40)


def test_strongswan_keys_transport_mode_and_the_kernel_has_its_sas(site, guest):
    status, said = key(guest)
    assert status == 0, said + logs(guest, "charon.log") + site.lab.appliance.output("iked1")[-2000:]
    status, said = guest.run("swanctl --list-sas; ip xfrm state | grep -c 'mode transport'")
    assert status == 0 and "TRANSPORT" in said and said.strip().endswith("2"), said


def test_sas_that_carry_nothing_are_ended(site, guest):
    assert key(guest)[0] == 0
    status, said = guest.run("for i in $(seq 1200); do [ -z \"$(ip xfrm state)\" ] && exit 0; sleep 0.1; done; ip xfrm state; exit 1", 150)
    assert status == 0, said
    assert "ESTABLISHED" not in guest.run("swanctl --list-sas")[1]


def test_a_wrong_key_is_refused_and_has_a_record(site, guest):
    assert key(guest, BRANCH)[0] != 0
    assert "pre-shared key" in site.expect("auth_fail", proto="l2tp", seconds=40)["msg"]


def test_kill_of_iked_of_version_one_leaves_the_session(site, guest):
    assert key(guest, encap="yes")[0] == 0
    dial(guest)
    site.expect("up", user="alice", proto="l2tp")
    site.lab.appliance.kill("iked1")
    assert guest.run("for i in 1 2 3; do curl -s --max-time 3 http://10.0.0.2/ || exit 1; done", 20)[0] == 0
    site.lab.appliance.start_daemon("iked1")
    follows(site)
    assert guest.run("for i in 1 2 3; do curl -s --max-time 3 http://10.0.0.2/ || exit 1; done", 20)[0] == 0
