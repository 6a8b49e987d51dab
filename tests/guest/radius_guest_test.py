# SPDX-License-Identifier: Apache-2.0
"""Users of L2TP/IPsec and PPTP whom a tenant's FreeRADIUS judges, or their certificates: strongSwan, xl2tpd, pptp-linux and pppd in a guest
kernel, through the whole appliance. What the guest's programs saw decides, then the vpn log and FreeRADIUS' own files must agree."""

import datetime
import os
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
from l2tp_guest_test import ADDRESSES, PLUGINS, Client  # noqa: E402
from l2tp_ike_test import L2tpSite  # noqa: E402
from pptp_guest_test import JST, Call  # noqa: E402
from radius_world import FREERADIUS, SECRET, FreeRadius  # noqa: E402
from remote_access_test import GATEWAYS  # noqa: E402

USERS = """
rosa Cleartext-Password := "rosa-radius"
  Filter-Id := "people",
  Class := 0x636c617373
"""
DAEMONS = ("iked", "iked1", "tunneld", "pptpd")

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or bool(missing()) or not all((default_binaries() / name).exists() for name in ("tunneld", "iked", "pptpd"))
                                or not Path(FREERADIUS).exists(), reason=f"needs root, tunneld, iked, pptpd, freeradius, and {missing() or 'nothing else'}")


class Site(L2tpSite):
    """Acme's gateway has both doors, and asks a backend of whom its directory has no password."""

    accept = "mschapv2, chap, pap, eap-tls"

    def _remote(self, tenant):
        text = super()._remote(tenant)
        if tenant != "acme":
            return text
        end = (datetime.datetime.now(JST) + datetime.timedelta(days=30)).strftime("%Y-%m-%d %H:%M")
        legacy = f'legacy: {{ owner: "the yard", valid_until: "{end[:10]}" }}'
        radius = f"""    radius:
      - {{ name: campus, port: web1, source: 10.0.0.1, servers: [{{ address: 10.0.0.2, secret: "{SECRET}" }}], timeout_seconds: 1, accounting: true,
          interim_seconds: 60, disconnect: true, groups: [{{ value: people, groups: [staff] }}], default_groups: [staff] }}
"""
        return radius + text.replace("l2tp: { accept: [mschapv2]", f"l2tp: {{ accept: [{self.accept}]").replace(
            "profile: windows-default", f'profile: legacy, {legacy}, radius: [campus], pptp: {{ owner: "the old scales in the yard", valid_until: "{end}" }}')

    def commit(self):
        super().commit()
        for daemon in DAEMONS:
            wait_until(lambda daemon=daemon: f"follows revision {self.lab.appliance.generation()}\n" in self.lab.appliance.output(daemon), 20, f"{daemon} following")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guest")
    pki = Pki(folder)
    for tenant in GATEWAYS:
        pki.ca(tenant, "ecdsa")
        pki.certificate(f"gw-{tenant}", "ecdsa", tenant, f"DNS:gw.{tenant}.test")
    pki.certificate("radius", "ecdsa", "acme", "DNS:radius.acme.test")
    pki.certificate("alice", "ecdsa", "acme", "email:alice")
    pki.certificate("rosa", "ecdsa", "acme", "email:rosa")
    pki.certificate("foreign", "ecdsa", "globex", "email:alice")
    with Lab(keying=DAEMONS) as lab:
        made = Site(lab, pki, folder)
        made.commit()
        yield made
        assert lab.appliance.status()["conservation violations"] == "0"


@pytest.fixture(scope="module")
def server(site, tmp_path_factory):
    made = FreeRadius(site.lab["acme-web1"], tmp_path_factory.mktemp("server") / "main", USERS, pki=site.pki, ca="acme", certificate="radius", method="tls")
    yield made
    print(made.output()[-3000:])
    made.stop()


@pytest.fixture(scope="module")
def guest(site, tmp_path_factory):
    """Behind the outside host, which forwards and translates nothing."""
    make_root()
    outside = site.lab["outside"].namespace
    ip_batch(["link add guests type bridge", "addr add 192.0.2.61/30 dev guests", "link set guests up"], outside)
    run(["ip", "netns", "exec", outside, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.eth0.proxy_arp=1"])
    folder = tmp_path_factory.mktemp("job")
    with Guest(folder, outside, "guests", (f"{ADDRESSES[0]}/30",), ("192.0.2.61",)) as made:
        (folder / "strongswan.conf").write_text(f"charon {{\n  load = {PLUGINS}\n  retransmit_tries = 3\n  retransmit_timeout = 1\n}}\n")
        for name in ("acme.pem", *(f"{name}.{ending}" for name in ("alice", "rosa", "foreign") for ending in ("pem", "key"))):
            (folder / name).write_text(site.pki.path(name).read_text())
        status, said = made.run("modprobe -a l2tp_ppp ppp_generic ppp_async ppp_mppe esp4; mknod -m 600 /dev/ppp c 108 0 2>/dev/null\n"
                                "mkdir -p /etc/ppp /etc/swanctl/conf.d /run/xl2tpd; cp /job/strongswan.conf /etc/strongswan.conf; touch /etc/ppp/options\n"
                                "printf '#!/bin/sh\\necho $4 > ${LINKROOT:-/run}/ppp-up\\n' > /etc/ppp/ip-up; chmod +x /etc/ppp/ip-up")
        assert status == 0, said
        yield made


def certificate(name):
    return f"ca /job/acme.pem\ncert /job/{name}.pem\nkey /job/{name}.key"


def accounted(server, up, status):
    return wait_until(lambda: next((one for one in server.accounting() if one.get("Acct-Session-Id") == up["vpn_sid"] and
                                    one.get("Acct-Status-Type") == status), None), 20, f"a record {status}", every=0.2)


def passes(guest):
    """To what the group may, and not to what another's may."""
    status, page = guest.run("curl -s --max-time 5 http://10.0.0.2/", 15)
    assert (status, page.strip()) == (0, "acme web1"), page
    assert guest.run("curl -s --max-time 3 http://10.0.0.2:22/", 10)[0] != 0, "another group's"


@pytest.mark.parametrize("method", ["pap", "chap", "mschap-v2"])
def test_by_l2tp_a_server_lets_in_by(site, guest, server, method):
    before = server.logins()
    with Client(site, guest, user="rosa", password="rosa-radius", method=method) as client:
        up = site.expect("up", user="rosa", proto="l2tp")
        assert (up["auth"], up["backend"], up["ip4"]) == (method.replace("-", ""), "campus", client.inner), up
        assert server.logins() == before + 1
        passes(guest)
        start = accounted(server, up, "Start")
        assert (start["User-Name"], start["Framed-IP-Address"], start["Class"]) == ("rosa", up["ip4"], "0x636c617373")
    down = site.expect("down", vpn_sid=up["vpn_sid"], cause="user")
    stop = accounted(server, up, "Stop")
    assert int(stop["Acct-Input-Octets"]) == down["bytes_in"] > 0 and stop["Acct-Terminate-Cause"] == "User-Request"


def test_by_l2tp_a_wrong_password_is_refused_by_the_server(site, guest, server):
    client = Client(site, guest, user="rosa", password="wrong", method="pap")
    assert not client.start(15), client.log()
    fail = site.expect("auth_fail", user="rosa", proto="l2tp")
    assert (fail["cause"], fail["auth"], fail["backend"]) == ("auth", "pap", "campus"), fail
    client.__exit__()


def test_by_l2tp_a_certificate_of_the_tenants_ca_comes_in_by_eap_tls(site, guest):
    with Client(site, guest, method="eap", words=certificate("alice")) as client:
        up = site.expect("up", user="alice", proto="l2tp")
        assert (up["auth"], up["ip4"], up["cert_subject"]) == ("eap-tls", client.inner, "CN=alice,O=Test"), up
        passes(guest)
    client = Client(site, guest, method="eap", words=certificate("foreign"))
    assert not client.start(15), client.log()
    assert site.expect("auth_fail", user="alice", proto="l2tp")["auth"] == "eap-tls"
    client.__exit__()


def test_by_l2tp_eap_tls_is_relayed_to_the_server(site, guest, server):
    site.accept = "mschapv2, eap-radius"
    site.commit()
    try:
        with Client(site, guest, user="rosa", method="eap", words=certificate("rosa")) as client:
            up = site.expect("up", user="rosa", proto="l2tp")
            assert (up["auth"], up["backend"], up["ip4"]) == ("eap-tls", "campus", client.inner), up
            passes(guest)
    finally:
        site.accept = Site.accept
        site.commit()


def test_by_pptp_a_server_lets_in_with_the_keys_of_mppe_and_ends_it(site, guest, server):
    with Call(site, guest, user="rosa", password="rosa-radius") as call:
        up = site.expect("up", user="rosa", proto="pptp")
        assert (up["auth"], up["backend"], up["ip4"], up["esp_suite"]) == ("mschapv2", "campus", call.address, "MPPE_128"), up
        passes(guest)
        assert accounted(server, up, "Start")["Framed-IP-Address"] == up["ip4"]
        assert "Disconnect-ACK" in server.ask("disconnect", f"Acct-Session-Id = {up['vpn_sid']}")
        status, said = guest.run("for i in $(seq 200); do pgrep -x pppd > /dev/null || exit 0; sleep 0.1; done; exit 1", 30)
        assert status == 0, call.log()[-3000:] + said
    site.expect("down", vpn_sid=up["vpn_sid"], cause="admin")
    assert accounted(server, up, "Stop")["Acct-Terminate-Cause"] == "Admin-Reset"


def test_by_pptp_a_wrong_password_is_refused_by_the_server(site, guest, server):
    call = Call(site, guest, user="rosa", password="wrong")
    assert not call.start(), call.log()[-3000:]
    assert "E=691 R=0" in call.log()
    fail = site.expect("auth_fail", user="rosa", proto="pptp")
    assert (fail["cause"], fail["backend"]) == ("auth", "campus"), fail
    call.__exit__()
