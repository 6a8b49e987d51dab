# SPDX-License-Identifier: Apache-2.0
"""Users of SSTP whom a tenant's RADIUS servers judge, or certificates: FreeRADIUS in the tenant's network, a client of our own outside.
What its programs saw decides, then the vpn log and FreeRADIUS' own files must agree."""

import json
import time
from pathlib import Path

import pytest
from lab.lab import Lab
from lab.system import wait_until

from ike_world import Pki, nt_hash
from radius_world import FREERADIUS, SECRET, FreeRadius
from sstp_client import SstpClient, SstpError
from sstp_test import GATEWAYS, LOGIN, SERVICE_CODES, WEB, Site

USERS = """
rosa Cleartext-Password := "rosa-radius"
  Filter-Id := "people",
  Class := 0x636c617373

boss Cleartext-Password := "boss-radius"
  Filter-Id := "chiefs",
  Framed-IP-Address := 10.99.0.33

short Cleartext-Password := "short-radius"
  Filter-Id := "people",
  Session-Timeout := 6
"""
METHODS = ["pap", "chap", "mschapv2", "eap"]


class DoorSite(Site):
    """Acme's gateway asks a backend of whom its directory has no password."""

    def __init__(self, lab, pki, folder):
        super().__init__(lab, pki, folder)
        self.sstp = "accept: [mschapv2, eap-radius, pap, chap]"
        self.more = ""
        self.crl = False
        self.hashes = {name: nt_hash(f"{name}-acme") for name in self.users}

    def _remote(self, tenant):
        text = super()._remote(tenant)
        for name, value in self.hashes.items():
            text = text.replace(nt_hash(f"{name}-{tenant}"), value)
        if tenant != "acme":
            return text.replace(self.sstp, "accept: [mschapv2]")
        radius = f"""    radius:
      - {{ name: campus, port: web1, source: 10.0.0.1, servers: [{{ address: 10.0.0.2, secret: "{SECRET}" }}], timeout_seconds: 1, accounting: true,
          interim_seconds: 60, disconnect: true, groups: [{{ value: chiefs, groups: [staff, admins] }}, {{ value: people, groups: [staff] }}] }}
"""
        cas = json.dumps([self.pki.path("acme.pem").read_text()])
        crls = f", crls: [{json.dumps(self.pki.path('acme.crl').read_text())}]" if self.crl else ""
        return radius + text.replace("idle_seconds:", f"radius: [campus], client_cas: {cas}{crls}, idle_seconds:")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if not Path(FREERADIUS).exists():
        pytest.skip("there is no freeradius here")
    folder = tmp_path_factory.mktemp("doors")
    pki = Pki(folder)
    for tenant in GATEWAYS:
        pki.ca(tenant, "ecdsa")
        pki.certificate(f"gw-{tenant}", "ecdsa", tenant, f"DNS:gw.{tenant}.test")
    pki.certificate("radius", "ecdsa", "acme", "DNS:radius.acme.test")
    pki.certificate("alice", "ecdsa", "acme", "email:alice")
    pki.certificate("bob", "ecdsa", "acme", "email:bob")
    pki.certificate("foreign", "ecdsa", "globex", "email:alice")
    with Lab(keying=("tunneld",)) as lab:
        made = DoorSite(lab, pki, folder)
        made.commit()
        yield made
        for name in ("tunneld", "dataplaned", "controld", "logd"):
            print(f"--- {name}\n{lab.appliance.output(name)[-3000:]}")
        assert lab.appliance.status()["conservation violations"] == "0"


@pytest.fixture(scope="module")
def server(site, tmp_path_factory):
    made = FreeRadius(site.lab["acme-web1"], tmp_path_factory.mktemp("server") / "main", USERS, pki=site.pki, ca="acme", certificate="radius")
    yield made
    print(made.output()[-3000:])
    made.stop()


@pytest.fixture(autouse=True)
def only_new_records(site):
    site.taken |= {one["eid"] for tenant in SERVICE_CODES.values() for one in site.lab.appliance.records(tenant)}


def curl(site, url, seconds=3):
    return site.lab["outside"].curl(url, seconds)


def accounted(server, up, status):
    return wait_until(lambda: next((one for one in server.accounting() if one.get("Acct-Session-Id") == up["vpn_sid"] and
                                    one.get("Acct-Status-Type") == status), None), 20, f"a record {status}", every=0.2)


@pytest.mark.parametrize("method", METHODS)
def test_a_server_lets_in_by(site, server, method):
    before = server.logins()
    with site.client("rosa", password="rosa-radius", method=method) as client:
        assert curl(site, WEB) == (0, "acme web1")
        assert curl(site, LOGIN, 2)[0] != 0, "another group's"
        up = site.expect("up", user="rosa")
        assert (up["auth"], up["backend"], up["ip4"]) == ("eap-mschapv2" if method == "eap" else method, "campus", client.address)
        assert server.logins() == before + 1
        start = accounted(server, up, "Start")
        assert (start["User-Name"], start["Framed-IP-Address"], start["Class"]) == ("rosa", up["ip4"], "0x636c617373")
    down = site.expect("down", vpn_sid=up["vpn_sid"], cause="user")
    stop = accounted(server, up, "Stop")
    assert int(stop["Acct-Input-Octets"]) == down["bytes_in"] > 0 and stop["Acct-Terminate-Cause"] == "User-Request"


@pytest.mark.parametrize("method", METHODS)
def test_a_wrong_password_is_refused_by(site, server, method):
    with pytest.raises(SstpError):
        site.client("boss", password="wrong", method=method).connect().login()
    fail = site.expect("auth_fail", user="boss")
    assert fail["cause"] == "auth" and "wrong password" in fail["msg"] and fail["backend"] == "campus"
    assert site.lab.appliance.ctl("vpn", "unlock", "boss", "--tenant", "acme", check=False) is not None


def test_groups_and_addresses_are_the_servers_word(site, server):
    with site.client("boss", password="boss-radius") as client:
        assert client.address == "10.99.0.33"
        assert curl(site, LOGIN) == (0, "acme login")


def test_who_has_a_password_in_the_directory_is_judged_there(site, server):
    before = server.logins()
    for method in ("mschapv2", "pap"):
        with site.client("alice", method=method):
            up = site.expect("up", user="alice")
            assert (up["backend"], up["auth"]) == ("local", method)
            assert curl(site, WEB) == (0, "acme web1")
    with pytest.raises(SstpError):
        site.client("alice", password="wrong", method="pap").connect().login()
    site.expect("auth_fail", user="alice", auth="pap", backend="local")
    with pytest.raises(SstpError):
        site.client("alice", method="chap").connect().login()  # its hash cannot judge CHAP
    site.expect("auth_fail", user="alice")
    assert server.logins() == before


def test_the_server_says_how_long(site, server):
    with site.client("short", password="short-radius"):
        up = site.expect("up", user="short")
        assert 5 <= site.expect("down", seconds=30, vpn_sid=up["vpn_sid"], cause="max_time")["dur_s"] <= 20


def test_the_server_ends_a_session_and_a_stranger_does_not(site, server):
    with site.client("rosa", password="rosa-radius"):
        up = site.expect("up", user="rosa")
        name = f"Acct-Session-Id = {up['vpn_sid']}"
        assert "No reply" in server.ask("disconnect", name, secret="another secret entirely")
        assert "Disconnect-NAK" in server.ask("disconnect", "Acct-Session-Id = 0000000000000000")
        assert "CoA-ACK" in server.ask("coa", name, "Session-Timeout = 100")
        assert curl(site, WEB) == (0, "acme web1")
        assert "Disconnect-ACK" in server.ask("disconnect", name)
        site.expect("down", seconds=20, vpn_sid=up["vpn_sid"], cause="admin")
    assert accounted(server, up, "Stop")["Acct-Terminate-Cause"] == "Admin-Reset"


def test_without_a_server_nobody_of_its_comes_in_and_others_do(site, server):
    server.stop()
    try:
        begun = time.monotonic()
        waiting = site.client("rosa", password="rosa-radius").connect()
        waiting.handshake()
        with site.client("alice"):
            assert curl(site, WEB) == (0, "acme web1")
        with pytest.raises(SstpError):
            waiting.stream.settimeout(30)
            while time.monotonic() < begun + 40:
                is_control, body = waiting.packet(40)
                waiting.take_control(body) if is_control else waiting.take(body)
        assert site.expect("denied", seconds=30, user="rosa")["cause"] == "backend_down"
    finally:
        server.start()

    def comes_in():
        try:
            with site.client("rosa", password="rosa-radius"):
                return True
        except (SstpError, TimeoutError, OSError):
            return False
    wait_until(comes_in, 40, "a login by the server that is back", every=1)


def certificate(site, name):
    return site.pki.path(f"{name}.pem"), site.pki.path(f"{name}.key")


def test_a_certificate_of_the_tenants_ca_comes_in_by_eap_tls_and_goes_with_its_revocation(site, server):
    site.sstp = "accept: [eap-mschapv2, eap-tls]"
    site.commit()
    try:
        for who, shown in (("bob", "alice"), ("alice", "foreign")):  # another's; another CA's
            with pytest.raises(SstpError):
                site.client(who, method="eap", certificate=certificate(site, shown)).connect().login()
            assert site.expect("auth_fail", user=who)["auth"] == "eap-tls"
        with site.client("alice", method="eap"):
            assert site.expect("up", user="alice")["auth"] == "eap-mschapv2"
        with site.client("alice", method="eap", certificate=certificate(site, "alice")) as client:
            up = site.expect("up", user="alice")
            assert up["auth"] == "eap-tls" and up["ip4"] == client.address and up["cert_subject"] == "CN=alice,O=Test"
            assert curl(site, WEB) == (0, "acme web1")
            site.pki.revoke("alice", "acme")
            site.crl = True
            site.commit()
            assert site.expect("down", seconds=20, vpn_sid=up["vpn_sid"])["cause"] == "cert_revoked"
        with pytest.raises(SstpError):
            site.client("alice", method="eap", certificate=certificate(site, "alice")).connect().login()
        assert site.expect("denied", user="alice")["cause"] == "cert_revoked"
        with site.client("bob", method="eap", certificate=certificate(site, "bob")):
            assert curl(site, LOGIN) == (0, "acme login")
    finally:
        site.crl, site.sstp = False, "accept: [mschapv2, eap-radius, pap, chap]"
        site.commit()
