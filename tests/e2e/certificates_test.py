# SPDX-License-Identifier: Apache-2.0
"""Certificates against stock strongSwan, by IKE's own signature and by EAP-TLS: each that must not open anything beside the nearest
that must; the gateway names what is wrong. Then what else two ends may ask of one another: a device's certificate before the user's
password, and a preshared key against quantum computers (RFC 8784)."""

import os

import subprocess

import pytest

import ike_world
from certificate_world import DAY, SERVER, Mint, hashes
from ike_test import agree, come_in, connection, document
from ike_world import GATEWAY4, PROGRAM, World, nt_hash, run

LISTED, STALE, OPEN, ONLY_TLS, DEVICES, PPK, PPK_REQUIRED, GLOBEX = (f"192.0.2.{number}" for number in (3, 4, 5, 6, 7, 8, 9, 12))
INSIDE4 = "10.20.0.5"
KEY, OTHER_KEY = "11" * 32, "22" * 32

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces")


def mint(folder):
    made = Mint(folder)
    made.ca("root")
    made.ca("impostor", subject="root")
    made.ca("issuing", "root")
    made.ca("upper", "root", path=0)
    made.ca("lower", "upper")
    made.ca("bounded", "root", permitted=("example.test",))
    made.ca("withdrawn", "root")
    made.ca("devices")
    made.user("alice", "root")
    made.user("bob", "root", kind="rsa2048")
    made.user("below", "issuing")
    made.user("named", "bounded")
    made.user("any-purpose", "root", purposes=())
    made.user("expired", "root", begin=-9 * DAY, end=-DAY)
    made.user("early", "root", begin=DAY)
    made.user("for-servers", "root", purposes=(SERVER,))
    made.user("encipherment", "root", usages=("key_encipherment",))
    made.user("impostors", "impostor")
    made.user("self-signed", None)
    made.user("too-deep", "lower")
    made.user("misnamed", "bounded", mail="misnamed@other.test")
    made.user("rsa1024", "root", kind="rsa1024")
    made.user("sha1", "root", digest=hashes.SHA1)
    made.user("critical", "root", critical=True)
    made.user("unaltered", "root")
    made.altered("altered", made.names.pop())
    made.user("revoked", "root")
    made.user("under-withdrawn", "withdrawn")
    made.user("points", "root", points=True)
    made.user("device", "devices")
    made.crl("root", "root", ["revoked", "withdrawn"])
    made.crl("issuing", "issuing")
    made.crl("withdrawn", "withdrawn")
    made.crl("stale", "root", ["revoked"], begin=-9 * DAY, end=-1.1 * DAY)
    made.crl("graced", "root", begin=-9 * DAY, end=-0.9 * DAY)
    return made


def gateway_text(world):
    folder, namespace = world.folder, world.name("ga")
    lines = ["retransmit 2 0.4", "half_open 4", f"listen 2 8 {world.name('gb')} {GLOBEX}"]
    lines += [f"listen {tenant} 7 {namespace} {address}" for tenant, address in
              ((1, GATEWAY4), (4, LISTED), (5, STALE), (6, OPEN), (7, ONLY_TLS), (8, DEVICES), (10, PPK), (11, PPK_REQUIRED))]
    for tenant in (1, 2, 4, 5, 6, 7, 8, 10, 11):
        lines += [f"user {tenant} alice {nt_hash('acme-pw')}", f"ppk_of {tenant} quantum {KEY}"]
        lines += [f"pool {tenant} 10.99.0.{number}" for number in range(10, 20)]

    def gateway(tenant, name, address, *more, tenant_name="acme", ca="root"):
        lines.extend([f"gateway {tenant} {name}", f"identity gw.{tenant_name}.test", "profile modern", f"address {address}",
                      f"certificate {folder}/gw-{tenant_name}-ecdsa.pem", f"key {folder}/gw-{tenant_name}-ecdsa.key",
                      f"gateway_ca {folder}/{tenant_name}-ecdsa.pem", f"client_ca {folder}/{ca}.pem", "network 10.20.0.0/16", *more])

    both = ("accept_certificate", "accept_eap_tls")
    gateway(1, "acme", GATEWAY4, *both, "accept_eap")
    gateway(2, "globex", GLOBEX, *both, tenant_name="globex", ca="globex-ecdsa")
    gateway(4, "listed", LISTED, *both, *(f"crl {folder}/{name}.crl" for name in ("root", "issuing", "withdrawn")))
    gateway(5, "stale", STALE, *both, f"crl {folder}/stale.crl")
    gateway(6, "open", OPEN, *both, f"crl {folder}/stale.crl", "admit_without_list")
    gateway(7, "tls", ONLY_TLS, "accept_eap_tls", f"crl {folder}/graced.crl")
    gateway(8, "devices", DEVICES, "accept_eap", "accept_eap_tls", "accept_certificate", f"device_ca {folder}/devices.pem")
    gateway(10, "ppk", PPK, "accept_certificate", "accept_eap", "ppk optional")
    gateway(11, "ppk-required", PPK_REQUIRED, "accept_certificate", "accept_eap", "ppk required")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def world():
    if not PROGRAM.exists():
        pytest.skip(f"{PROGRAM} is not built (SEKISHO_IKE=OFF)")
    with World() as made:
        made.mint = mint(made.folder)
        for address in (LISTED, STALE, OPEN, ONLY_TLS, DEVICES, PPK, PPK_REQUIRED):
            run("ip", "-n", made.name("ga"), "addr", "add", f"{address}/24", "dev", "ga-ca")
        run("ip", "-n", made.name("gb"), "addr", "add", f"{GLOBEX}/24", "dev", "gb-cb")
        yield made


@pytest.fixture(scope="module")
def gateway(world):
    return world.gateway(gateway_text(world))


def make_client(world, namespace, authority, names, monkey):
    monkey.setattr(ike_world, "PLUGINS", ike_world.PLUGINS + " eap-tls")
    client = world.client(namespace, authorities=[authority, "root", "issuing", "upper", "lower", "bounded", "withdrawn"], keys=names,
                          extra="x509 {\n enforce_critical = no\n }")
    monkey.undo()
    return client


@pytest.fixture(scope="module")
def client(world):
    return make_client(world, "ca", "acme-ecdsa", world.mint.names, pytest.MonkeyPatch())


@pytest.fixture(autouse=True)
def balance(gateway):
    yield
    for line in gateway.ask("sessions"):
        gateway.ask("terminate", line.split()[0])
        gateway.event("down", session=int(line.split()[0]))
    assert gateway.untaken() == []


def by_certificate(name, where=GATEWAY4, **more):
    return connection(name, gateway=where, certificate=name, identity=f"{name}@example.test", **more)


def by_eap_tls(name, where=GATEWAY4, user="", **more):
    text = connection(name, gateway=where, certificate=name, identity=user or f"{name}@example.test", **more)
    return text.replace("auth = pubkey", f"auth = eap-tls\n    eap_id = {user or f'{name}@example.test'}", 1)


WAYS = {"certificate": by_certificate, "eap-tls": by_eap_tls}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["alice", "bob", "below", "named", "any-purpose"])
def test_good_certificate_opens_a_tunnel(gateway, client, way, name):
    client.load(document([WAYS[way](name)]))
    event = come_in(gateway, client, name, user=f"{name}@example.test", gateway=f"acme {way}")
    agree(client, event)
    client.ping(INSIDE4)


BAD = {
    "expired": ("cert_expired", "not valid today"), "early": ("cert_expired", "not valid"), "for-servers": ("auth", "may not be used to log in"),
    "encipherment": ("auth", ""), "impostors": ("auth", "no CA of this tenant"), "self-signed": ("auth", "no CA of this tenant"),
    "too-deep": ("auth", ""), "misnamed": ("auth", "may not vouch for this name"), "rsa1024": ("auth", ""), "sha1": ("auth", ""), "critical": ("auth", "critical extension"), "altered": ("auth", ""),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", BAD)
def test_bad_certificate_opens_nothing_and_is_named(gateway, client, way, name):
    cause, text = BAD[name]
    user = "misnamed@other.test" if name == "misnamed" else "unaltered@example.test" if name == "altered" else f"{name}@example.test"
    made = by_eap_tls(name, user=user) if way == "eap-tls" else connection(name, certificate=name, identity=user)
    client.load(document([made]))
    assert not client.connect(name)
    event = gateway.event("auth_fail")
    assert event["stage"] == "authentication"
    if way == "certificate":  # by EAP-TLS a client asks first whether one of its CAs is wanted
        assert event["cause"] == cause and text in event["text"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name, where, cause, text", [
    ("alice", LISTED, "", ""), ("below", LISTED, "", ""), ("revoked", LISTED, "cert_revoked", "revoked"),
    ("under-withdrawn", LISTED, "cert_revoked", "revoked"), ("named", LISTED, "auth", "no revocation list"),
    ("alice", STALE, "auth", "out of date"), ("revoked", STALE, "cert_revoked", "revoked"),
    ("alice", OPEN, "", ""), ("revoked", OPEN, "cert_revoked", "revoked"), ("named", OPEN, "", "")])
def test_lists_decide_for_every_link_fresh_stale_or_missing(gateway, client, way, name, where, cause, text):
    client.load(document([WAYS[way](name, where)]))
    if not cause:
        come_in(gateway, client, name, tenant={LISTED: 4, OPEN: 6}[where])
        return
    assert not client.connect(name)
    event = gateway.event("auth_fail")
    assert event["cause"] == cause and text in event["text"]


def test_list_counts_for_a_day_beyond_its_end(gateway, client):
    client.load(document([by_eap_tls("alice", ONLY_TLS)]))
    come_in(gateway, client, "alice", tenant=7, gateway="tls eap-tls")


def test_name_the_certificate_does_not_say_opens_nothing(gateway, client):
    client.load(document([by_eap_tls("alice", user="bob@example.test"), by_eap_tls("bob")]))
    # The client has bob's key too, and shows it when asked for bob: only alice's is left to it here.
    (client.folder / "private" / "bob.key").unlink()
    try:
        client.load(document([by_eap_tls("alice", user="bob@example.test")]))
        assert not client.connect("alice")
        assert gateway.event("auth_fail")["cause"] == "auth"
    finally:
        (client.folder / "private" / "bob.key").write_bytes((client.folder.parent / "bob.key").read_bytes())
    client.load(document([by_eap_tls("bob")]))
    come_in(gateway, client, "bob", user="bob@example.test")


def test_client_chooses_among_the_methods_of_a_gateway(gateway, client):
    password = connection("password", auth="eap-mschapv2", user="alice")
    client.load(document([password, by_eap_tls("bob")], [("alice", "acme-pw")]))
    come_in(gateway, client, "password", user="alice", gateway="acme eap-mschapv2")
    come_in(gateway, client, "bob", user="bob@example.test", gateway="acme eap-tls")
    client.load(document([password.replace(f"remote_addrs = {GATEWAY4}", f"remote_addrs = {ONLY_TLS}")], [("alice", "acme-pw")]))
    assert not client.connect("password")  # not among those of this gateway
    assert gateway.event("auth_fail", tenant=7)["cause"] == "auth"


@pytest.mark.parametrize("way", WAYS)
def test_certificates_of_one_tenant_open_no_other(world, gateway, way):
    for name, opens in (("alice", False), ("alice-globex", True)):
        other = make_client(world, "cb", "globex-ecdsa", [name], pytest.MonkeyPatch())
        other.load(document([WAYS[way](name, GLOBEX, server="gw.globex.test").replace("alice-globex@", "alice@")]))
        assert other.connect(name) == opens
        event = gateway.event("up" if opens else "auth_fail", tenant=2, gateway=f"globex {way}")
        assert event["cause"] == ("none" if opens else "auth")
        other.stop()


@pytest.mark.parametrize("way", WAYS)
def test_nothing_a_certificate_names_is_fetched(world, gateway, client, way):
    """The gateway's namespace could reach the address: a connection would be seen there."""
    script = ("import socket,sys\ns=socket.socket();s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1);s.bind(('192.0.2.10',8099));s.listen()\n"
              "print('listens',flush=True)\ns.accept();print('fetched',flush=True)")
    ear = subprocess.Popen(["ip", "netns", "exec", client.namespace, "/usr/bin/python3", "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert ear.stdout.readline() == "listens\n"
        for where, opens in ((GATEWAY4, True), (STALE, False), (LISTED, True)):
            client.load(document([WAYS[way]("points", where)]))
            assert client.connect("points") == opens
            gateway.event("up" if opens else "auth_fail")
        # The ear hears: one knock from the gateway's side is the first and only.
        knock = "import socket;socket.create_connection(('192.0.2.10',8099),5)"
        assert ear.poll() is None
        run("ip", "netns", "exec", world.name("ga"), "/usr/bin/python3", "-c", knock)
        assert ear.stdout.readline() == "fetched\n"
    finally:
        ear.kill()
        ear.wait()


def test_device_proves_itself_before_its_user_does(gateway, client):
    """RFC 4739: two rounds; neither opens anything alone, and a certificate of users is no device's."""
    def rounds(name, certificate):
        text = connection(name, gateway=DEVICES, certificate=certificate)
        second = "  local-2 {\n    auth = eap-mschapv2\n    eap_id = alice\n    round = 2\n  }\n  remote {"
        return text.replace("  local {", "  local-1 {\n    round = 1", 1).replace("  remote {", second, 1)
    client.load(document([rounds("both", "device"), rounds("users", "bob"), connection("device", gateway=DEVICES, certificate="device"),
                          connection("password", gateway=DEVICES, auth="eap-mschapv2", user="alice")], [("alice", "acme-pw")]))
    event = come_in(gateway, client, "both", tenant=8, user="alice", gateway="devices eap-mschapv2")
    agree(client, event)
    client.ping(INSIDE4)
    assert not client.connect("users") and gateway.event("auth_fail", tenant=8)["stage"] == "authentication"
    assert not client.connect("device") and gateway.event("auth_fail", tenant=8)["stage"] == "authentication"
    come_in(gateway, client, "password", tenant=8, user="alice")  # groups decide whether this will do
    client.disconnect("both")
    gateway.event("down", session=event["session"])
    client.load(document([rounds("both", "device")], [("alice", "wrong")]))
    assert not client.connect("both") and gateway.event("auth_fail", tenant=8)["cause"] == "auth"


def with_ppk(text, ppk_id="quantum", required="yes"):
    return text.replace("  version = 2\n", f"  version = 2\n  ppk_id = {ppk_id}\n  ppk_required = {required}\n", 1)


def ppks(text, key):
    return text.replace("secrets {\n", f"secrets {{\nppk-1 {{\n id = quantum\n secret = 0x{key}\n}}\n", 1)


def ppk_connections(where):
    return {"certificate": connection("one", gateway=where, certificate="alice"),
            "password": connection("one", gateway=where, auth="eap-mschapv2", user="alice")}


@pytest.mark.parametrize("way", ["certificate", "password"])
@pytest.mark.parametrize("where, tenant", [(PPK, 10), (PPK_REQUIRED, 11)])
def test_key_against_quantum_computers_is_mixed_in(gateway, client, way, where, tenant):
    passwords = [("alice", "acme-pw")]
    made = ppk_connections(where)[way]
    client.load(ppks(document([with_ppk(made)], passwords), KEY))
    come_in(gateway, client, "one", tenant=tenant)
    assert "using PPK for PPK_ID 'quantum'" in client.log()
    client.ping(INSIDE4)
    client.disconnect("one")
    gateway.event("down", tenant=tenant)
    client.load(ppks(document([with_ppk(made)], passwords), OTHER_KEY))
    assert not client.connect("one") and gateway.event("auth_fail", tenant=tenant)["cause"] == "auth"
    client.load(document([made], passwords))
    if where == PPK:
        come_in(gateway, client, "one", tenant=tenant)
    else:
        assert not client.connect("one")
        assert "RFC 8784" in gateway.event("auth_fail", tenant=tenant)["text"]
