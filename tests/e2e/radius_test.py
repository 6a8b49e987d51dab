# SPDX-License-Identifier: Apache-2.0
"""Users whom a tenant's own RADIUS servers judge, through the whole appliance: FreeRADIUS in a tenant's network, stock strongSwan on the
Internet side. What programs saw decides, then the vpn log and FreeRADIUS' own files must agree."""

import json
import time
from pathlib import Path

import pytest
from lab.appliance import default_binaries
from lab.lab import Lab
from lab.system import wait_until

import eapol_peer
from eapol_peer import EAPOL_TEST
from ike_initiator import Initiator, families
from ike_test import connection, document
from ike_world import PLUGINS, Client, Pki, nt_hash
from radius_world import FREERADIUS, NAMES_INSIDE, NAMES_NOBODY, SECRET, Forger, FreeRadius
from remote_access_test import DATABASE, GATEWAYS, LOGIN, SERVICE_CODES, WEB, Site

USERS = """
alice Cleartext-Password := "alice-radius"
  Filter-Id := "people"

boss Cleartext-Password := "boss-radius"
  Filter-Id := "unheard of",
  Filter-Id += "chiefs",
  Framed-IP-Address := 10.99.0.33,
  Class := 0x636c617373

short Cleartext-Password := "short-radius"
  Filter-Id := "people",
  Session-Timeout := 6

alias Cleartext-Password := "alias-radius"
  User-Name := "hana",
  Filter-Id := "people"

nobody Cleartext-Password := "nobody-radius"

alice@example.test Cleartext-Password := "alice-radius"
  Filter-Id := "people"
"""


class RadiusSite(Site):
    """Both tenants with a RADIUS backend; `servers` says where acme's live."""

    def __init__(self, lab, pki, folder):
        super().__init__(lab, pki, folder)
        self.servers, self.source = ["10.0.0.2", "10.0.0.18"], "10.0.0.1"

    def _remote(self, tenant):
        def pem(name):
            return json.dumps([self.pki.path(name).read_text()])

        servers, source = (self.servers, self.source) if tenant == "acme" else (["10.0.0.2"], "10.0.0.1")
        four, six = GATEWAYS[tenant]
        listed = ", ".join(f'{{ address: "{one}", secret: "{SECRET}" }}' for one in servers)
        return f"""    pools:
      - {{ name: people, tunnel: users, ranges: [10.99.0.10-10.99.0.90, "fd00:99::10-fd00:99::40"] }}
    user_groups:
      - {{ name: staff, pool: people, sessions_per_user: 2 }}
      - {{ name: admins }}
      - {{ name: leaving }}
      - {{ name: everybody }}
    users:
      - {{ name: local, groups: [staff], nt_hash: "{nt_hash('local-' + tenant)}" }}
    radius:
      - {{ name: campus, port: web1, source: "{source}", servers: [{listed}], timeout_seconds: {1 if tenant == "acme" else 3}, accounting: true, interim_seconds: 60, disconnect: true,
          groups: [{{ value: chiefs, groups: [staff, admins] }}, {{ value: people, groups: [staff] }}] }}
    gateways:
      - {{ name: vpn, addresses: [{four}, "{six}"], port: net, tunnel: users, identity: gw.{tenant}.test, accept: [eap-mschapv2, eap-radius],
          radius: [campus], certificates: {pem(f'gw-{tenant}.pem')}, keys: {pem(f'gw-{tenant}.key')}, gateway_cas: {pem(f'{tenant}.pem')},
          networks: [10.0.0.0/24, "fd00:10::/32"] }}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if not (default_binaries() / "iked").exists():
        pytest.skip("iked is not built (SEKISHO_IKE=OFF)")
    if not Path(FREERADIUS).exists():
        pytest.skip("there is no freeradius here")
    folder = tmp_path_factory.mktemp("radius")
    pki = Pki(folder)
    for tenant in GATEWAYS:
        pki.ca(tenant, "ecdsa")
        pki.certificate(f"gw-{tenant}", "ecdsa", tenant, f"DNS:gw.{tenant}.test")
    pki.certificate("radius", "ecdsa", "acme", "DNS:radius.acme.test")
    pki.certificate("alice", "ecdsa", "acme", "email:alice@example.test")
    pki.certificate("stranger", "ecdsa", "globex", "email:alice@example.test")
    with Lab(remote_access=True) as lab:
        made = RadiusSite(lab, pki, folder)
        made.commit()
        yield made
        print(lab.appliance.output("iked")[-3000:])
        assert lab.appliance.status()["conservation violations"] == "0"


@pytest.fixture(scope="module")
def server(site, tmp_path_factory):
    made = FreeRadius(site.lab["acme-web1"], tmp_path_factory.mktemp("server") / "main", USERS, pki=site.pki, ca="acme", certificate="radius")
    yield made
    print(made.output()[-3000:])
    made.stop()


@pytest.fixture(scope="module")
def client(site, tmp_path_factory):
    folder = tmp_path_factory.mktemp("client")
    made = Client(site.lab["outside"].namespace, folder / "charon", extra=f"load = {PLUGINS} eap-tls eap-ttls")
    for authority in GATEWAYS:
        (folder / "charon" / "x509ca" / f"{authority}.pem").write_text(site.pki.path(f"{authority}.pem").read_text())
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def goodbye(site, client):
    yield
    client.forget("vpn")


def eap(user, tenant="acme", name="vpn", more=""):
    return connection(name, auth="eap-mschapv2", user=user, gateway=GATEWAYS[tenant][0], server=f"gw.{tenant}.test", remote="10.0.0.0/24", more=more)


def come_in(site, client, user, password=None, tenant="acme", **wanted):
    client.load(document([eap(user, tenant)], [(user, password or f"{user}-radius")]))
    assert client.connect("vpn"), client.last + client.log() + site.lab.appliance.output("iked")
    return site.expect("up", tenant, user=user, **wanted)


def outside(site):
    return site.lab["outside"]


def accounted(server, up, status):
    return wait_until(lambda: next((one for one in server.accounting() if one.get("Acct-Session-Id") == up["vpn_sid"] and
                                    one.get("Acct-Status-Type") == status), None), 30, f"a record {status}", every=0.2)


def test_password_the_server_knows_brings_in_and_its_attribute_opens_the_groups_doors(site, server, client):
    up = come_in(site, client, "alice", auth="eap-mschapv2", backend="campus", user_group="staff")
    assert server.logins() >= 1
    assert outside(site).curl(WEB) == (0, "acme web1")
    assert outside(site).curl(LOGIN, 1)[0] == 28  # of admins
    assert outside(site).curl(DATABASE, 1)[0] == 28
    assert site.acl(up, phase="start", action="permit", rule_name="staff web", dst_port=80)["user"] == "alice"
    client.forget("vpn")
    chief = come_in(site, client, "boss", user_groups=["staff", "admins"])
    assert chief["ip4"] == "10.99.0.33", "the address the server said"
    assert outside(site).curl(LOGIN) == (0, "acme login")


def test_wrong_password_is_the_servers_no(site, server, client):
    client.load(document([eap("alice")], [("alice", "alice-wrong")]))
    assert not client.connect("vpn", seconds=8)
    site.expect("auth_fail", user="alice", cause="auth")


def test_whom_no_value_puts_in_a_group_is_refused(site, server, client):
    client.load(document([eap("nobody")], [("nobody", "nobody-radius")]))
    assert not client.connect("vpn", seconds=8)
    site.expect("denied", user="nobody", cause="config")


def test_who_is_in_the_directory_is_judged_there(site, server, client):
    before = server.logins()
    come_in(site, client, "local", "local-acme", auth="eap-mschapv2", backend="local")
    assert outside(site).curl(WEB) == (0, "acme web1")
    assert server.logins() == before


def test_server_counts_the_session_under_the_number_of_its_records(site, server, client):
    up = come_in(site, client, "boss")
    start = accounted(server, up, "Start")
    assert (start["User-Name"], start["Framed-IP-Address"], start["Class"]) == ("boss", up["ip4"], "0x636c617373")
    assert (start["NAS-IP-Address"], start["Calling-Station-Id"]) == ("10.0.0.1", up["peer_ip"])
    assert outside(site).curl(WEB) == (0, "acme web1")
    client.disconnect("vpn")
    down = site.expect("down", vpn_sid=up["vpn_sid"], cause="user")
    stop = accounted(server, up, "Stop")
    assert int(stop["Acct-Input-Octets"]) == down["bytes_in"] > 0
    assert int(stop["Acct-Output-Octets"]) == down["bytes_out"] > 0
    assert (stop["Acct-Terminate-Cause"], stop["Class"]) == ("User-Request", "0x636c617373")


def test_server_may_know_the_user_by_another_name(site, server, client):
    client.load(document([eap("alias")], [("alias", "alias-radius")]))
    assert client.connect("vpn"), client.last
    up = site.expect("up", user="hana", backend="campus")
    assert accounted(server, up, "Start")["User-Name"] == "hana"
    assert outside(site).curl(WEB) == (0, "acme web1")


def test_server_by_ipv6(site, server, client, tmp_path_factory):
    other = FreeRadius(site.lab["acme-web1"], tmp_path_factory.mktemp("server") / "six", USERS, address="fd00:10:0:1::2", source="fd00:10:0:1::1", pki=site.pki,
                       ca="acme", certificate="radius")
    before = site.servers, site.source
    site.servers, site.source = ["fd00:10:0:1::2"], "fd00:10:0:1::1"
    site.commit()
    try:
        up = come_in(site, client, "alice")
        assert other.logins() == 1
        assert accounted(other, up, "Start")["NAS-IPv6-Address"] == "fd00:10:0:1::1"
        assert "Disconnect-ACK" in other.ask("disconnect", f"Acct-Session-Id = {up['vpn_sid']}", to="[fd00:10:0:1::1]")
        site.expect("down", seconds=10, vpn_sid=up["vpn_sid"], cause="admin")
    finally:
        other.stop()
        site.servers, site.source = before
        site.commit()


def test_session_ends_when_the_server_said(site, server, client):
    up = come_in(site, client, "short")
    down = site.expect("down", seconds=20, vpn_sid=up["vpn_sid"], cause="max_time")
    assert 5 <= down["dur_s"] <= 14  # clocks of whole seconds


def test_server_ends_a_session_and_a_stranger_does_not(site, server, client):
    up = come_in(site, client, "alice")
    name = f"Acct-Session-Id = {up['vpn_sid']}"
    assert "No reply" in server.ask("disconnect", name, secret="another secret entirely")
    assert "Disconnect-NAK" in server.ask("disconnect", "Acct-Session-Id = 0000000000000000")
    assert "Disconnect-NAK" in server.ask("disconnect", "User-Name = alice"), "without a time a name does not do"
    assert "CoA-NAK" in server.ask("coa", name)
    assert "CoA-NAK" in server.ask("coa", name, "Session-Timeout = 100", "Service-Type = Login-User"), "what is not known changes nothing"
    assert "CoA-ACK" in server.ask("coa", name, "Session-Timeout = 100")
    old = f"Event-Timestamp = {int(time.time()) - 3600}"
    assert "No reply" in server.ask("disconnect", name, old)
    assert outside(site).curl(WEB) == (0, "acme web1")
    assert "Disconnect-ACK" in server.ask("disconnect", name)
    site.expect("down", seconds=10, vpn_sid=up["vpn_sid"], cause="admin")
    assert outside(site).curl(WEB, 1)[0] != 0
    assert accounted(server, up, "Stop")["Acct-Terminate-Cause"] == "Admin-Reset"


def test_a_change_of_groups_acts_on_the_live_session_within_ten_seconds(site, server, client):
    up = come_in(site, client, "alice")
    name = f"Acct-Session-Id = {up['vpn_sid']}"
    assert outside(site).curl(WEB) == (0, "acme web1") and outside(site).curl(LOGIN, 1)[0] != 0
    assert "CoA-ACK" in server.ask("coa", name, "Filter-Id = chiefs")
    wait_until(lambda: outside(site).curl(LOGIN, 1) == (0, "acme login"), 10, "the rules of chiefs")
    assert "CoA-ACK" in server.ask("coa", name, "Filter-Id = people")
    wait_until(lambda: outside(site).curl(LOGIN, 1)[0] != 0, 10, "the rules of people")
    assert outside(site).curl(WEB) == (0, "acme web1"), "the session itself went on"
    assert "Disconnect-ACK" in server.ask("disconnect", name)
    site.expect("down", seconds=10, vpn_sid=up["vpn_sid"], cause="admin")


def believed(site, client):
    """Servers that were silent are tried again within seconds, by one login at a time."""
    client.load(document([eap("alice")], [("alice", "alice-radius")]))
    wait_until(lambda: client.connect("vpn", 8), 90, "a login by a server that is back", every=0.5)
    site.expect("up", user="alice")
    client.forget("vpn")


def test_killed_keying_daemon_leaves_accounts_that_the_next_one_closes(site, server, client):
    up = come_in(site, client, "alice")
    accounted(server, up, "Start")
    site.lab.appliance.kill("iked")
    site.lab.appliance.start_daemon("iked")
    wait_until(lambda: site.lab.appliance.output("iked").rstrip().endswith(f"follows revision {site.lab.appliance.generation()}"), 10, "iked following")
    assert outside(site).curl(WEB) == (0, "acme web1")
    client.forget("vpn")
    again = come_in(site, client, "alice")
    assert again["ip4"] == up["ip4"]
    down = site.expect("down", vpn_sid=up["vpn_sid"], cause="replaced", backend="campus")
    stop = accounted(server, up, "Stop")
    assert (stop["User-Name"], int(stop["Acct-Input-Octets"])) == ("alice", down["bytes_in"])
    accounted(server, again, "Start")


def forged(site):
    """How many messages that no server signed the tenant was told of."""
    return sum(one["count"] for one in site.lab.appliance.records(SERVICE_CODES["acme"]) if one["type"] == "sec" and one["event"] == "AUTH_BACKEND_FORGED"
               and one["cat"] == "auth" and one["msg"].endswith(": campus") and one["first_ts"] <= one["last_ts"])


@pytest.mark.parametrize("how", ["missing", "wrong"])
def test_accept_without_its_signature_lets_nobody_in(site, server, client, how):
    server.stop()
    forger = Forger(site.lab["acme-web1"], how)
    told = forged(site)
    try:
        client.load(document([eap("alice")], [("alice", "alice-radius")]))
        assert not client.connect("vpn", seconds=8)
        client.forget("vpn")
        site.expect("denied", seconds=20, user="alice", cause="backend_down")
        wait_until(lambda: forged(site) > told, 90, "the security event: those of a minute are told together", every=0.5)
    finally:
        forger.stop()
        server.start()
    believed(site, client)


def test_second_server_takes_over_and_records_wait_for_it(site, server, client, tmp_path_factory):
    server.stop()
    second = FreeRadius(site.lab["acme-db1"], tmp_path_factory.mktemp("server") / "second", USERS, address="10.0.0.18", pki=site.pki, ca="acme",
                        certificate="radius")
    try:
        up = come_in(site, client, "alice")
        assert second.logins() == 1
        assert accounted(second, up, "Start")["Framed-IP-Address"] == up["ip4"]
        client.forget("vpn")
        begun = time.monotonic()
        come_in(site, client, "boss")
        assert time.monotonic() - begun < 2, "the dead one is not asked again at once"
    finally:
        second.stop()
        server.start()
    client.forget("vpn")
    believed(site, client)


def test_a_tunnelled_method_passes_between_the_client_and_its_server(site, server, client, tmp_path_factory):
    """EAP-TTLS: what the gateway carries it need not know, and cannot read."""
    server.stop()
    ttls = FreeRadius(site.lab["acme-web1"], tmp_path_factory.mktemp("server") / "ttls", USERS, method="ttls", pki=site.pki, ca="acme", certificate="radius")
    try:
        (client.folder / "x509ca" / "acme.pem").write_text(site.pki.path("acme.pem").read_text())
        way = eap("alice").replace("auth = eap-mschapv2", "auth = eap-ttls\n    aaa_id = radius.acme.test")
        for password, may in (("alice-wrong", False), ("alice-radius", True)):
            client.load(document([way], [("alice", password)]))
            assert client.connect("vpn", seconds=12) == may, client.last + client.log() + ttls.output()
            if may:
                site.expect("up", user="alice", auth="eap-ttls", backend="campus")
                assert outside(site).curl(WEB) == (0, "acme web1")
            else:
                site.expect("auth_fail", user="alice", cause="auth")
            client.forget("vpn")
    finally:
        ttls.stop()
        server.start()
    believed(site, client)


def test_peap_of_wpa_supplicant_is_relayed_and_its_user_is_whom_the_server_names(site, server, client, tmp_path_factory):
    """Outside of TLS he calls himself somebody; the server says who he proved to be, or nobody does."""
    if not Path(EAPOL_TEST).exists():
        pytest.skip("there is no eapol_test here")
    server.stop()
    folder = tmp_path_factory.mktemp("peap")
    network = ["eap=PEAP", 'identity="alice"', 'anonymous_identity="boss"', 'phase1="peapver=0"', 'phase2="auth=MSCHAPV2"',
               f'ca_cert="{site.pki.path("acme.pem")}"']
    try:
        for name, after, user in (("named", NAMES_INSIDE, "alice"), ("unnamed", NAMES_NOBODY, "unproven/boss")):
            peap = FreeRadius(site.lab["acme-web1"], folder / name, USERS, method="peap", pki=site.pki, ca="acme", certificate="radius", after=after)
            try:
                for password, may in (("alice-wrong", False), ("alice-radius", True)):
                    shape = {**families()["strongswan-app"], "idi": "peer@example.test"}
                    peer = Initiator(site.lab["outside"].namespace, GATEWAYS["acme"][0], shape, trust=[site.pki.path("acme.pem")])
                    stood = eapol_peer.log_in(peer, folder, [*network, f'password="{password}"'])
                    assert stood == may, (folder / "eapol.txt").read_text(errors="replace")[-3000:] + peap.output()[-2000:]
                    if may:
                        peer.finish()
                        site.expect("up", user=user, auth="eap-peap", backend="campus", user_group="staff")
                        peer.leave()
                        site.expect("down", user=user)
                    else:
                        peer.close()
                        site.expect("auth_fail", user="boss", cause="auth")
            finally:
                peap.stop()
    finally:
        server.start()
    believed(site, client)


def test_certificate_by_the_servers_own_tls(site, server, client, tmp_path_factory):
    server.stop()
    tls = FreeRadius(site.lab["acme-web1"], tmp_path_factory.mktemp("server") / "tls", USERS, method="tls", pki=site.pki, ca="acme", certificate="radius")
    try:
        for name, may in (("alice", True), ("stranger", False)):
            for part, folder in (("pem", "x509"), ("key", "private")):  # both certificates have her name: one at a time
                (client.folder / folder / f"user.{part}").write_text(site.pki.path(f"{name}.{part}").read_text())
            own = eap("alice@example.test").replace("auth = eap-mschapv2", "auth = eap-tls\n    aaa_id = radius.acme.test\n    certs = user.pem")
            client.load(document([own]))
            assert client.connect("vpn", seconds=8) == may, client.last + client.log() + tls.output()
            if may:
                site.expect("up", user="alice@example.test", auth="eap-tls")
                assert outside(site).curl(WEB) == (0, "acme web1")
                client.forget("vpn")
        site.expect("auth_fail", user="alice@example.test", cause="auth")
    finally:
        tls.stop()
        server.start()


def test_silent_servers_of_one_tenant_delay_nobody_of_another(site, server, client):
    """Globex' server is nowhere. 64 logins wait for it, or are told that too many do; acme's own user comes in meanwhile."""
    own = [f"192.0.2.{number}" for number in (50, 51, 52, 53)]
    for address in own:
        outside(site).add_address(f"{address}/24")
    names = [f"lost{number}" for number in range(64)]
    lost = [eap(name, "globex", name, more=f"local_addrs = {own[number % 4]}") for number, name in enumerate(names)]
    client.load(document([*lost, eap("local")], [(name, "any") for name in names] + [("local", "local-acme")]))
    def denied():
        return [one["msg"] for one in site.records("globex") if one["event"] == "denied" and one["cause"] == "backend_down"]

    before = len(denied())
    try:
        for name in names:
            client.swanctl("--initiate", "--child", name, "--timeout", "-1", check=False)  # returns at once
        wait_until(lambda: len(denied()) - before >= 40, 15, "many told that too many wait", every=0.1)
        begun = time.monotonic()
        assert client.connect("vpn", seconds=5), client.last
        took = time.monotonic() - begun
        assert len(denied()) - before < 64, "some still wait"
        site.expect("up", user="local")
        print(f"the other tenant came in after {took * 1000:.0f} ms")
        assert took < 0.5, took
        wait_until(lambda: len(denied()) - before == 64, 30, "everybody's end", every=0.2)
        assert sum("as many logins as may wait for the tenant's servers already" in told for told in denied()[before:]) == 48
    finally:
        for address in own:
            outside(site).remove_address(f"{address}/24")
