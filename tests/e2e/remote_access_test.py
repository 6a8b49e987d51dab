# SPDX-License-Identifier: Apache-2.0
"""Remote access through the whole appliance: stock strongSwan on the Internet side logs in, gets an address of the tenant's, and its
packets pass the tenant's rules by the groups of its user. What programs saw decides; then the vpn log must agree."""

import configparser
import json
import plistlib
import re
import ssl
from pathlib import Path

import pytest
from lab.appliance import default_binaries
from lab.lab import Lab
from lab.system import wait_until

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, UDP

from ike_initiator import IkeError, Initiator, families
from ike_test import connection, document
from ike_world import Client, Pki, nt_hash, run

SERVICE_CODES = {"acme": "acm00000001", "globex": "glx00000001"}
GATEWAYS = {"acme": ("203.0.113.21", "2001:db8:a::21"), "globex": ("203.0.113.37", "2001:db8:b::37")}
WEB, LOGIN, DATABASE = "http://10.0.0.2/", "http://10.0.0.2:22/", "http://10.0.0.18:5432/"
WEB6 = "http://[fd00:10:0:1::2]/"

PORT = "      - { name: users, kind: tunnel, zone: remote }\n"
POLICY = """      - name: remote users
        from: [remote]
        to: [servers]
        rules:
          - { name: leaving, action: reject, users: [leaving], log: each }
          - { name: staff web, action: allow, users: [staff], service: [http], log: both }
          - { name: admins login, action: allow, users: [admins], service: [ssh], log: both }
          - { name: everybody web, action: allow, users: [everybody], service: [http], log: both }
"""


class Site:
    """The document of both tenants, and how to change it."""

    def __init__(self, lab, pki, folder):
        self.lab, self.pki, self.path = lab, pki, folder / "remote.yaml"
        self.users = {"alice": ["staff"], "bob": ["staff", "admins"], "mallory": ["staff", "leaving"], "alice@example.test": ["staff"]}
        self.suspended = []
        self.policy, self.devices, self.gateway, self.unit = POLICY, "", "", ""

    def _remote(self, tenant):
        def pem(name):
            return json.dumps([self.pki.path(name).read_text()])

        users = "".join(f"      - {{ name: {json.dumps(name)}, groups: [{', '.join(groups)}], "
                        f"nt_hash: \"{nt_hash(name.split('@', maxsplit=1)[0] + '-' + tenant)}\", suspended: {str(name in self.suspended).lower()} }}\n"
                        for name, groups in self.users.items())
        four, six = GATEWAYS[tenant]
        return f"""    pools:
      - {{ name: people, tunnel: users, ranges: [10.99.0.10-10.99.0.40, "fd00:99::10-fd00:99::40"] }}
    user_groups:
      - {{ name: staff, pool: people, sessions_per_user: 2 }}
      - {{ name: admins }}
      - {{ name: leaving }}
      - {{ name: everybody, everyone: true, pool: people, priority: 200 }}
    users:
{users}{self.devices}    gateways:
      - {{ name: vpn,{self.gateway} device_cas: {pem(f'{tenant}.pem')}, addresses: [{four}, "{six}"], port: net, tunnel: users, identity: gw.{tenant}.test, accept: [certificate, eap-mschapv2],
          certificates: {pem(f'gw-{tenant}.pem')}, keys: {pem(f'gw-{tenant}.key')}, gateway_cas: {pem(f'{tenant}.pem')},
          client_cas: {pem(f'{tenant}.pem')}, networks: [10.0.0.0/24, "fd00:10::/32"] }}
"""

    def commit(self):
        head, *tenants = Path(self.lab.config).read_text().split("  - service_code: ")
        out = [self.unit + head]
        for tenant, text in zip(("acme", "globex"), tenants):
            text = text.replace("zones: [servers, office, internet]", "zones: [servers, office, internet, remote]", 1)
            text = text.replace("    ports:\n", "    ports:\n" + PORT, 1)
            text = text.replace("    policies:\n", self._remote(tenant) + "    policies:\n" + self.policy, 1)
            out.append(text)
        self.path.write_text("  - service_code: ".join(out))
        done = self.lab.appliance.commit(self.path, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        wait_until(lambda: f"follows revision {self.lab.appliance.generation()}\n" in self.lab.appliance.output("iked"), 10, "iked following")

    def records(self, tenant):
        return [one for one in self.lab.appliance.records(SERVICE_CODES[tenant]) if one["type"] == "vpn"]

    def expect(self, event, tenant="acme", seconds=12, **wanted):
        def find():
            for one in self.records(tenant):
                if one["eid"] not in self.taken and one["event"] == event and all(one.get(name) == value for name, value in wanted.items()):
                    self.taken.add(one["eid"])
                    return one
            return None
        return wait_until(find, seconds, f"a record {event} {wanted}", every=0.2)

    def acl(self, up, **wanted):
        """The access record of the session `up` that has what is wanted."""
        def find():
            for one in self.lab.appliance.records(SERVICE_CODES["acme"]):
                if one["type"] == "acl" and one.get("vpn_sid") == up["vpn_sid"] and all(one.get(name) == value for name, value in wanted.items()):
                    return one
            return None
        return wait_until(find, 15, f"an acl record {wanted}", every=0.2)

    def profile(self, client, user="alice"):
        done = self.lab.appliance.ctl("vpn", "profile", user, "--for", client, "--tenant", "acme", check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    taken = set()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if not (default_binaries() / "iked").exists():
        pytest.skip("iked is not built (SEKISHO_IKE=OFF)")
    folder = tmp_path_factory.mktemp("remote")
    pki = Pki(folder)
    for tenant in GATEWAYS:
        pki.ca(tenant, "ecdsa")
        pki.certificate(f"gw-{tenant}", "ecdsa", tenant, f"DNS:gw.{tenant}.test")
    pki.certificate("alice", "ecdsa", "acme", "email:alice@example.test")
    pki.certificate("stranger", "ecdsa", "acme", "email:stranger@example.test")
    with Lab(remote_access=True) as lab:
        made = Site(lab, pki, folder)
        made.commit()
        yield made
        assert lab.appliance.status()["conservation violations"] == "0"


def new_client(site, folder, host="outside", space=""):
    for authority in GATEWAYS:
        (folder / "x509ca").mkdir(parents=True, exist_ok=True)
    made = Client(space or site.lab[host].namespace, folder / "charon")
    for authority in GATEWAYS:
        (folder / "charon" / "x509ca" / f"{authority}.pem").write_text(site.pki.path(f"{authority}.pem").read_text())
    for name in ("alice", "stranger"):
        (folder / "charon" / "x509" / f"{name}.pem").write_text(site.pki.path(f"{name}.pem").read_text())
        (folder / "charon" / "private" / f"{name}.key").write_text(site.pki.path(f"{name}.key").read_text())
    return made


@pytest.fixture(scope="module")
def client(site, tmp_path_factory):
    made = new_client(site, tmp_path_factory.mktemp("client"))
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def goodbye(site, client):
    yield
    client.forget("vpn")


def eap(user, tenant="acme", gateway=0, **more):
    return connection("vpn", auth="eap-mschapv2", user=user, gateway=GATEWAYS[tenant][gateway], server=f"gw.{tenant}.test",
                      **{"remote": "10.0.0.0/24", **more})


def come_in(site, client, way, tenant="acme", **wanted):
    passwords = [(name, f"{name}-{tenant}") for name in ("alice", "bob", "mallory")]
    client.load(document([way], passwords))
    assert client.connect("vpn"), client.last + client.log() + site.lab.appliance.output("iked")
    return site.expect("up", tenant, **wanted)


def outside(site):
    return site.lab["outside"]


def test_password_brings_in_and_the_groups_rules_decide(site, client):
    up = come_in(site, client, eap("alice"), user="alice", user_group="staff")
    assert up["ip4"].startswith("10.99.0.")
    assert outside(site).curl(WEB) == (0, "acme web1")
    assert outside(site).curl(LOGIN, 1)[0] == 28  # the port beside it is for others
    assert outside(site).curl(DATABASE, 1)[0] == 28
    allowed = site.acl(up, phase="start", action="permit", rule_name="staff web", dst_port=80)
    assert (allowed["user"], allowed["user_group"], allowed["service_group"], allowed["src_ip"]) == ("alice", "staff", "http", up["ip4"])
    assert allowed["peer_ip"] == up["peer_ip"]
    assert "user_group" not in site.acl(up, phase="deny", action="deny", reason="default", dst_port=22)
    assert site.acl(up, phase="deny", dst_ip="10.0.0.18")["user"] == "alice"


def test_another_group_opens_another_door(site, client):
    come_in(site, client, eap("bob"), user="bob")
    assert outside(site).curl(LOGIN) == (0, "acme login")
    assert outside(site).curl(WEB) == (0, "acme web1")


def test_who_is_leaving_is_in_and_reaches_nothing(site, client):
    come_in(site, client, eap("mallory"), user="mallory")
    assert outside(site).curl(WEB, 1)[0] != 0


def test_a_rule_that_asks_for_a_proven_device_takes_who_came_with_one(site, client):
    serial = run("openssl", "x509", "-in", site.pki.path("alice.pem"), "-noout", "-serial").stdout.strip().split("=")[1]
    by_certificate = connection("vpn", certificate="alice", gateway=GATEWAYS["acme"][0], server="gw.acme.test", remote="10.0.0.0/24")
    before = site.policy

    def registered(state):
        site.devices = f"    devices:\n      - {{ name: nb-1, owner: \"alice@example.test\", certificates: [\"{serial}\"], group: laptops, state: {state} }}\n"
        site.commit()

    try:
        site.policy = POLICY.replace("users: [admins], service: [ssh]", "users: [staff], device_groups: [laptops], service: [ssh]")
        registered("approved")
        come_in(site, client, eap("alice"), user="alice")
        assert outside(site).curl(WEB) == (0, "acme web1")
        assert outside(site).curl(LOGIN, 1)[0] == 28, "of the same group, without a device"
        client.forget("vpn")
        up = come_in(site, client, by_certificate, user="alice@example.test")
        assert outside(site).curl(LOGIN) == (0, "acme login")
        assert site.acl(up, phase="start", action="permit", rule_name="admins login", dst_port=22)["user"] == "alice@example.test"
        registered("disabled")
        wait_until(lambda: outside(site).curl(LOGIN, 1)[0] != 0, 10, "the rules without the device")
        assert outside(site).curl(WEB) == (0, "acme web1"), "its group asks for none: the session stays"
        registered("approved")
        wait_until(lambda: outside(site).curl(LOGIN, 1) == (0, "acme login"), 10, "the rules with the device")
    finally:
        client.forget("vpn")
        site.policy, site.devices = before, ""
        site.commit()


def test_whom_no_rule_lets_reach_anything_is_refused_where_the_gateway_says_so(site, client):
    before, site.policy = site.policy, POLICY.replace("users: [everybody]", "users: [admins]")
    try:
        site.users["lonely"], site.gateway = [], " refuse_if_no_permit: true, default_group: staff,"
        site.commit()
        come_in(site, client, eap("alice"), user="alice")
        client.forget("vpn")
        client.load(document([eap("lonely")], [("lonely", "lonely-acme")]))
        assert not client.connect("vpn", seconds=8)
        denied = site.expect("denied", user="lonely", cause="config")
        assert "no rule would let the user reach anything" in denied["msg"]
        site.gateway = " default_group: staff,"
        site.commit()
        assert client.connect("vpn"), client.last
        site.expect("up", user="lonely")
    finally:
        client.forget("vpn")
        del site.users["lonely"]
        site.policy, site.gateway = before, ""
        site.commit()


def test_certificate_brings_in_with_ipv6_inside(site, client):
    up = come_in(site, client, connection("vpn", certificate="alice", gateway=GATEWAYS["acme"][0], server="gw.acme.test", vips="0.0.0.0, ::",
                                          remote="10.0.0.0/24, fd00:10::/32"), auth="pubkey", user="alice@example.test")
    assert up["ip6"].startswith("fd00:99::")
    assert outside(site).curl(WEB) == (0, "acme web1")
    assert outside(site).curl(WEB6) == (0, "acme web1")


def test_who_is_named_nowhere_is_everybody_and_nobody_else(site, client):
    up = come_in(site, client, connection("vpn", certificate="stranger", gateway=GATEWAYS["acme"][0], server="gw.acme.test", remote="10.0.0.0/24"),
                 auth="pubkey", user="stranger@example.test", user_group="everybody")
    assert outside(site).curl(WEB) == (0, "acme web1")
    assert site.acl(up, phase="start", action="permit", rule_name="everybody web")["user_group"] == "everybody"
    assert outside(site).curl(LOGIN, 1)[0] == 28


def rows(site, *argv):
    return json.loads(site.lab.appliance.ctl("--json", "show", *argv).stdout)["rows"]


def test_operators_see_users_and_sessions_and_end_them(site, client):
    up = come_in(site, client, eap("bob"))
    line = next(one for one in rows(site, "users", "--tenant", "acme") if one["user"] == "bob")
    assert (line["state"], line["sessions"], line["address"], line["groups"]) == ("in", 1, up["ip4"], "staff admins")
    assert {one["state"] for one in rows(site, "users", "--tenant", "globex")} == {"out"}
    session, = rows(site, "sessions", "--vpn", "--tenant", "acme")
    assert (session["vpn_sid"], session["user"], session["ip4"], session["auth"]) == (up["vpn_sid"], "bob", up["ip4"], "eap-mschapv2")
    assert session["ike_suite"] == up["ike_suite"] and session["peer"].startswith(up["peer_ip"])
    assert rows(site, "sessions", "--vpn", "--tenant", "globex") == []
    ctl = site.lab.appliance.ctl
    assert "say which" in ctl("vpn", "disconnect", "bob", check=False).stderr
    assert "no session" in ctl("vpn", "disconnect", "bob", "--tenant", "globex", check=False).stderr
    assert outside(site).curl(WEB) == (0, "acme web1")
    assert ctl("vpn", "disconnect", "bob", "--tenant", "acme").stdout == "1 session is being ended.\n"
    site.expect("down", vpn_sid=up["vpn_sid"], cause="admin", seconds=5)
    assert outside(site).curl(WEB, 1)[0] != 0
    up = come_in(site, client, eap("bob"))
    assert ctl("vpn", "disconnect", up["vpn_sid"]).returncode == 0
    site.expect("down", vpn_sid=up["vpn_sid"], cause="admin", seconds=5)


def test_ipv6_outside(site, client):
    up = come_in(site, client, eap("alice", gateway=1))
    assert up["peer_ip"] == "2001:db8:0:1::2"
    assert outside(site).curl(WEB) == (0, "acme web1")


def test_profiles_are_read_by_the_readers_of_their_formats(site):
    apple = plistlib.loads(site.profile("apple").encode())
    vpn = next(one for one in apple["PayloadContent"] if one["PayloadType"] == "com.apple.vpn.managed")
    assert (vpn["IKEv2"]["RemoteIdentifier"], vpn["IKEv2"]["AuthName"]) == ("gw.acme.test", "alice")
    authority = next(one for one in apple["PayloadContent"] if one["PayloadType"] == "com.apple.security.root")
    pem = ssl.DER_cert_to_PEM_cert(authority["PayloadContent"])
    assert pem == site.pki.path("acme.pem").read_text()
    app = json.loads(site.profile("android"))
    assert (app["remote"]["id"], app["local"]["eap_id"], app["type"]) == ("gw.acme.test", "alice", "ikev2-eap")
    keyfile = configparser.RawConfigParser(strict=True)
    keyfile.read_string(site.profile("networkmanager"))
    assert (keyfile["vpn"]["user"], keyfile["vpn"]["remote-identity"], keyfile["ipv4"]["route1"]) == ("alice", "gw.acme.test", "10.0.0.0/24")
    assert "-EncryptionMethod GCMAES256" in site.profile("windows")
    done = site.lab.appliance.ctl("vpn", "profile", "nobody", "--for", "apple", "--tenant", "acme", check=False)
    assert done.returncode == 1 and 'no user "nobody"' in done.stderr


def test_the_profile_for_strongswan_brings_in(site, client):
    text = site.profile("strongswan")
    name = re.search(r"sekisho-[0-9a-f-]+", text).group()
    # No name server here, and the client's ESP needs UDP.
    text = text.replace('remote_addrs = "gw.acme.test"', f"remote_addrs = {GATEWAYS['acme'][0]}\n    encap = yes")
    client.load(text + 'secrets {\n  eap-0 {\n    id = alice\n    secret = "alice-acme"\n  }\n}\n')
    try:
        assert client.connect("net"), client.last + client.log()
        up = site.expect("up", user="alice")
        assert up["ike_suite"].startswith("AES256-GCM16") and up["esp_suite"].startswith("AES256-GCM16"), up
        assert outside(site).curl(WEB) == (0, "acme web1")
        assert outside(site).curl(LOGIN, 1)[0] == 28
    finally:
        client.forget(name)


MICROSOFT = {"GCMAES256": "aes256gcm16", "SHA384": "prfsha384", "ECP384": "ecp384"}  # what the script may say, as an IKE client reads it
APPLE = {"AES-256-GCM": "aes256gcm16", "SHA2-384": "prfsha384", 20: "ecp384"}


def proposals_of(client, text):
    """(IKE, ESP) proposals of what the profile makes its client offer; ESP without the group, which counts at rekeying alone."""
    if client == "windows":
        word = {key: MICROSOFT[value] for key, value in re.findall(r"-(\w+) (\w+)", re.search(r"Set-VpnConnectionIPsecConfiguration.*", text)[0])
                if value in MICROSOFT}
        assert word["AuthenticationTransformConstants"] == word["CipherTransformConstants"] and word["PfsGroup"] == word["DHGroup"]
        return "-".join(word[key] for key in ("EncryptionMethod", "IntegrityCheckMethod", "DHGroup")), word["CipherTransformConstants"]
    if client == "apple":
        vpn = next(one for one in plistlib.loads(text.encode())["PayloadContent"] if one["PayloadType"] == "com.apple.vpn.managed")["IKEv2"]
        ike, child = vpn["IKESecurityAssociationParameters"], vpn["ChildSecurityAssociationParameters"]
        keys = ("EncryptionAlgorithm", "IntegrityAlgorithm", "DiffieHellmanGroup")
        return "-".join(APPLE[ike[key]] for key in keys), APPLE[child["EncryptionAlgorithm"]]
    if client == "android":
        app = json.loads(text)
        return app["ike-proposal"], app["esp-proposal"].rsplit("-", 1)[0]
    keyfile = configparser.RawConfigParser(strict=True)
    keyfile.read_string(text)
    return keyfile["vpn"]["ike"], keyfile["vpn"]["esp"].rsplit("-", 1)[0]


def log_in(site, shape):
    made = Initiator(site.lab["outside"].namespace, GATEWAYS["acme"][0], shape, trust=[site.pki.path("acme.pem")])
    return made.log_in("alice", "alice-acme")


@pytest.mark.parametrize("client_name, family", [("windows", "windows-hardened"), ("apple", "apple-profile"), ("android", "strongswan-app"),
                                                 ("networkmanager", "networkmanager")])
def test_what_a_profile_makes_its_client_offer_is_accepted(site, client_name, family):
    ike, esp = proposals_of(client_name, site.profile(client_name))
    initiator = log_in(site, {**families()[family], "ike": [ike], "esp": [esp + "-noesn"]})
    up = site.expect("up", user="alice")
    assert (initiator.suite.words(), initiator.children[-1].suite.words()) == (ike, esp) and initiator.retries == [] and "msg" not in up
    initiator.leave()
    site.expect("down", vpn_sid=up["vpn_sid"], cause="user")


def inform(address, client_mac=bytes(6)):
    """As Windows asks: DHCPINFORM, class MSFT 5.0, routes by option 249."""
    options = [("message-type", "inform"), ("vendor_class_id", b"MSFT 5.0"), ("param_req_list", [6, 15, 43, 44, 249]), "end"]
    return IP(src=address, dst="255.255.255.255") / UDP(sport=68, dport=67) / BOOTP(op=1, ciaddr=address, chaddr=client_mac, xid=0x12345678) / DHCP(options=options)


def test_windows_asks_by_dhcp_and_learns_its_routes(site):
    initiator = log_in(site, families()["windows-hardened"])
    up = site.expect("up", client="Windows 10 or 11")
    answer = IP(initiator.carry(bytes(inform(up["ip4"]))))
    assert (answer.src, answer.dst, answer[UDP].sport, answer[UDP].dport) == ("192.0.0.8", up["ip4"], 67, 68)
    told = dict(one[:2] for one in answer[DHCP].options if isinstance(one, tuple))
    assert told["message-type"] == 5 and told["server_id"] == "192.0.0.8" and answer[BOOTP].yiaddr == "0.0.0.0"
    assert bytes([249, 8, 24, 10, 0, 0, 0, 0, 0, 0]) in bytes(answer[DHCP])  # 10.0.0.0/24
    # The nearest that must not be answered: another's address, and a request for an address.
    with pytest.raises(IkeError, match="no packet came back"):
        question = inform(up["ip4"])
        question[BOOTP].ciaddr = "10.99.0.40"
        initiator.carry(bytes(question), seconds=1)
    with pytest.raises(IkeError, match="no packet came back"):
        question = inform(up["ip4"])
        question[DHCP].options[0] = ("message-type", "discover")
        initiator.carry(bytes(question), seconds=1)
    assert initiator.carry(bytes(inform(up["ip4"])))
    initiator.leave()
    site.expect("down", vpn_sid=up["vpn_sid"], cause="user")


def test_the_other_tenant_has_the_same_addresses_and_another_world(site, client):
    come_in(site, client, eap("alice", "globex"), "globex", user="alice")
    assert outside(site).curl(WEB) == (0, "globex web1")
    client.forget("vpn")
    client.load(document([eap("alice", "globex")], [("alice", "alice-acme")]))
    assert not client.connect("vpn", seconds=8)
    site.expect("auth_fail", "globex", seconds=20, cause="auth")


def test_traffic_goes_on_through_rekeys(site, client):
    up = come_in(site, client, eap("alice"))
    for _ in range(3):
        before = client.spis()
        client.swanctl("--rekey", "--child", "vpn")
        site.expect("rekey", vpn_sid=up["vpn_sid"])
        wait_until(lambda before=before: len(client.spis()) == 1 and client.spis() != before, 5, "the new SA alone")
        assert outside(site).curl(WEB) == (0, "acme web1")


def test_killed_keying_daemon_leaves_traffic_alone(site, client):
    up = come_in(site, client, eap("alice"))
    site.lab.appliance.kill("iked")
    assert outside(site).curl(WEB) == (0, "acme web1")
    site.lab.appliance.start_daemon("iked")
    wait_until(lambda: site.lab.appliance.output("iked").rstrip().endswith(f"follows revision {site.lab.appliance.generation()}"), 10, "iked following")
    assert outside(site).curl(WEB) == (0, "acme web1")
    client.forget("vpn")
    again = come_in(site, client, eap("alice"))
    assert again["ip4"] == up["ip4"]
    site.expect("down", vpn_sid=up["vpn_sid"], cause="replaced")
    assert outside(site).curl(WEB) == (0, "acme web1")


def test_suspension_shuts_the_door_within_ten_seconds(site, client):
    up = come_in(site, client, eap("alice"))
    assert outside(site).curl(WEB) == (0, "acme web1")
    site.suspended = ["alice"]
    site.commit()
    site.expect("down", seconds=10, vpn_sid=up["vpn_sid"], cause="admin")
    assert outside(site).curl(WEB, 1)[0] != 0
    site.suspended = []
    site.commit()


def test_killed_data_plane_ends_sessions_and_clients_come_back(site, client):
    up = come_in(site, client, eap("alice"))
    site.lab.appliance.kill("dataplaned")
    site.lab.appliance.start_daemon("dataplaned")
    site.expect("down", seconds=20, vpn_sid=up["vpn_sid"], cause="internal")
    client.forget("vpn")
    come_in(site, client, eap("alice"))
    assert outside(site).curl(WEB) == (0, "acme web1")
