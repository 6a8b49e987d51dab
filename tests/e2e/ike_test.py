# SPDX-License-Identifier: Apache-2.0
"""IKEv2 with a peer that nobody here wrote: stock strongSwan in namespaces. What the peer says decides; then our events must
agree, one end for each attempt. Packets that pass prove that keys, SPIs and selectors of both ends are the same."""

import os
import subprocess
import threading
import time

import pytest
from lab.system import wait_until

from ike_world import GATEWAY4, GATEWAY6, PROGRAM, World, nt_hash, run

INSIDE4, INSIDE6 = "10.20.0.5", "fd00:20::5"
LEGACY, CERTIFIED, WINDOWS, NOBODY = "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.9"
PSK = "psk-of-twenty-letters"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces")


def gateway_text(world):
    folder = world.folder
    acme, globex = world.name("ga"), world.name("gb")
    lines = [f"listen 1 7 {acme} {GATEWAY4}", f"listen 1 7 {acme} {GATEWAY6}", f"listen 2 8 {globex} {GATEWAY4}", f"listen 3 7 {acme} {LEGACY}",
             f"listen 4 7 {acme} {CERTIFIED}", f"listen 5 7 {acme} {WINDOWS}", f"listen 9 7 {acme} {NOBODY}", "retransmit 2 0.4", "half_open 4",
             f"user 1 alice {nt_hash('acme-pw')}", f"user 2 alice {nt_hash('globex-pw')}", f"user 1 mallory {nt_hash('mallory-pw')}",
             f"user 5 alice {nt_hash('acme-pw')}", f"psk 3 carol@example.test {PSK.encode().hex()}", "banned mallory"]
    for tenant in (1, 3, 4, 5):
        lines += [f"pool {tenant} 10.99.0.{number}" for number in range(10, 40)] + [f"pool {tenant} fd00:99::{number}" for number in range(10, 20)]
    lines.append("pool 2 10.99.0.10")

    def gateway(tenant, name, profile, addresses, *more, authority="acme-ecdsa", identity="gw.acme.test"):
        lines.append(f"gateway {tenant} {name}")
        lines.extend([f"identity {identity}", f"profile {profile}", *[f"address {address}" for address in addresses],
                      f"client_ca {folder}/{authority}.pem", "network 10.20.0.0/16", "network fd00:20::/32", "dns 10.20.0.53", *more])

    def own(*names):
        return [line for name, ca in names for line in (f"certificate {folder}/{name}.pem", f"key {folder}/{name}.key", f"gateway_ca {folder}/{ca}.pem")]

    both = own(("gw-acme-ecdsa", "acme-ecdsa"), ("gw-acme-rsa", "acme-rsa"))
    gateway(1, "acme", "modern", [GATEWAY4, GATEWAY6], "accept_eap", "accept_certificate", f"crl {folder}/acme-ecdsa.crl", *both)
    gateway(2, "globex", "modern", [GATEWAY4], "accept_eap", "accept_certificate", *own(("gw-globex-ecdsa", "globex-ecdsa")),
            authority="globex-ecdsa", identity="gw.globex.test")
    gateway(3, "old", "legacy", [LEGACY], "accept_psk", "ike_rekey 3", "child_rekey 2", *both)
    gateway(4, "strict", "certified", [CERTIFIED], "accept_certificate", *both)
    gateway(5, "windows", "windows-default", [WINDOWS], "accept_eap", "accept_certificate", "dpd 1", *both)
    return "\n".join(lines) + "\n"


def connection(name, *, gateway=GATEWAY4, auth="pubkey", user="", certificate="", server="gw.acme.test", server_auth="pubkey", more="", vips="0.0.0.0",
               remote="10.20.0.0/16", esp="default", ike="default", identity=""):
    own = {"eap-mschapv2": f"eap_id = {user}", "pubkey": f"certs = {certificate}.pem", "psk": ""}[auth]
    identity = identity or (user if auth != "pubkey" else "")
    return f"""
{name} {{
  version = 2
  remote_addrs = {gateway}
  vips = {vips}
  encap = yes
  unique = never
  proposals = {ike}
  {more}
  local {{
    auth = {auth}
    {own}
    {f"id = {identity}" if identity else ""}
  }}
  remote {{
    auth = {server_auth}
    id = {server}
  }}
  children {{
    {name} {{
      remote_ts = {remote}
      esp_proposals = {esp}
    }}
  }}
}}
"""


def document(connections, passwords=(), psk=""):
    secrets = "".join(f"eap-{number} {{\n id = {user}\n secret = \"{password}\"\n}}\n" for number, (user, password) in enumerate(passwords))
    if psk:
        secrets += f"ike-1 {{\n secret = \"{psk}\"\n}}\n"
    return f"connections {{\n{''.join(connections)}\n}}\nsecrets {{\n{secrets}\n}}\n"


@pytest.fixture(scope="module")
def world():
    if not PROGRAM.exists():
        pytest.skip(f"{PROGRAM} is not built (SEKISHO_IKE=OFF)")
    with World() as made:
        for address in (LEGACY, CERTIFIED, WINDOWS, NOBODY):
            run("ip", "-n", made.name("ga"), "addr", "add", f"{address}/24", "dev", "ga-ca")
        yield made


@pytest.fixture(scope="module")
def gateway(world):
    return world.gateway(gateway_text(world))


@pytest.fixture(scope="module")
def client(world):
    return world.client("ca", authorities=["acme-ecdsa", "acme-rsa"], keys=["alice-acme", "bob-rsa", "expired", "revoked", "alice-globex"])


@pytest.fixture(scope="module")
def other(world):
    return world.client("cb", authorities=["globex-ecdsa"], keys=["alice-acme", "alice-globex"])


@pytest.fixture(autouse=True)
def balance(gateway):
    """Each attempt ends once and each session ends once: after a test nothing is left that it did not expect."""
    yield
    for line in gateway.ask("sessions"):
        gateway.ask("terminate", line.split()[0])
        gateway.event("down", session=int(line.split()[0]))
    assert gateway.untaken() == []


def come_in(engine, client, name, tenant=1, **wanted):
    assert client.connect(name), client.last + client.log()
    return engine.event("up", tenant=tenant, **wanted)


def agree(client, event):
    assert (event["spi_out"], event["spi_in"]) in client.spis()


def no_sas(gateway):
    """The event of the end comes before the last SA is taken away."""
    wait_until(lambda: gateway.ask("sas") == [], 5, "the last SA going")


EAP = connection("eap", auth="eap-mschapv2", user="alice")
ALICE = [("alice", "acme-pw")]


def test_a_password_opens_a_tunnel_that_carries_packets(gateway, client):
    client.load(document([EAP], ALICE))
    event = come_in(gateway, client, "eap", user="alice", gateway="acme eap-mschapv2")
    agree(client, event)
    assert event["leases"] == ["10.99.0.10"] and event["weak"] == ""
    client.ping(INSIDE4, 3)
    sas = gateway.ask("sas")
    assert len(sas) == 2 and any(f"in {event['spi_in']:0>8} tenant 1" in line and "packets 3" in line for line in sas)
    assert all("10.20.0.0-10.20.255.255 10.99.0.10-10.99.0.10" in line for line in sas)
    client.disconnect("eap")
    assert gateway.event("down", session=event["session"])["cause"] == "user"
    no_sas(gateway)


@pytest.mark.parametrize("certificate, user", [("alice-acme", "alice@example.test"), ("bob-rsa", "bob@example.test")])
def test_a_certificate_opens_a_tunnel_over_both_families(gateway, client, certificate, user):
    client.load(document([connection("cert", certificate=certificate, gateway=GATEWAY6, vips="0.0.0.0,::", remote="10.20.0.0/16,fd00:20::/32")]))
    event = come_in(gateway, client, "cert", gateway="acme certificate")
    assert event["user"] == user and event["remote"] == "2001:db8:2::10" and sorted(event["leases"]) == ["10.99.0.10", "fd00:99::10"]
    agree(client, event)
    client.ping(INSIDE4)
    client.ping(INSIDE6)


@pytest.mark.parametrize("authority, method", [("acme-rsa", "RSA"), ("acme-ecdsa", "ECDSA")])
def test_the_client_chooses_the_gateways_key_by_the_ca_it_trusts(world, gateway, authority, method):
    peer = world.client("na", authorities=[authority], keys=["alice-acme"])
    peer.load(document([EAP], ALICE))
    come_in(gateway, peer, "eap", nat=True)
    assert f"authentication of 'gw.acme.test' with {method}" in peer.log()
    peer.disconnect("eap")
    gateway.event("down", cause="user")
    peer.stop()


@pytest.mark.parametrize("suite", ["aes256-sha256", "aes128-sha512", "aes192gcm16", "aes128gcm16"])
def test_every_cipher_of_the_modern_profile_carries_packets(gateway, client, suite):
    client.load(document([connection("eap", auth="eap-mschapv2", user="alice", esp=suite)], ALICE))
    event = come_in(gateway, client, "eap")
    client.ping(INSIDE4)
    agree(client, event)


def test_rekeying_by_either_side_loses_no_packet(gateway, client):
    client.load(document([EAP], ALICE))
    event = come_in(gateway, client, "eap")
    session, user = event["session"], event["user"]
    spis = set()
    for rekey in (lambda: client.swanctl("--rekey", "--child", "eap"), lambda: client.swanctl("--rekey", "--ike", "eap"),
                  lambda: gateway.ask("expire", "soft", event["spi_in"]), lambda: client.swanctl("--rekey", "--child", "eap")):
        pinging = subprocess.Popen(["ip", "netns", "exec", client.namespace, "ping", "-q", "-c", "10", "-i", "0.05", "-W", "2", INSIDE4],
                                   stdout=subprocess.PIPE, text=True)
        rekey()
        event = gateway.event("rekey", session=session)
        assert event["user"] == user
        said = pinging.communicate()[0]
        assert " 0% packet loss" in said, said
        agree(client, event)
        spis.add(event["spi_in"])
    assert len(spis) == 4 - 1  # the IKE_SA's rekeying keeps the CHILD_SA
    assert len(gateway.ask("sessions")) == 1


def test_a_shared_secret_and_the_gateways_own_timers(gateway, client):
    client.load(document([connection("psk", gateway=LEGACY, auth="psk", server_auth="psk", user="carol@example.test")], psk=PSK))
    event = come_in(gateway, client, "psk", tenant=3, user="carol@example.test", gateway="old psk")
    first = gateway.event("rekey", session=event["session"], seconds=10)
    second = gateway.event("rekey", session=event["session"], seconds=10)
    assert event["spi_in"] != second["spi_in"] or first["spi_in"] != event["spi_in"]
    client.ping(INSIDE4)


def test_a_client_moves_and_a_nat_forgets(world, gateway, client):
    peer = world.client("na", authorities=["acme-ecdsa"])
    peer.load(document([EAP], ALICE))
    behind = come_in(gateway, peer, "eap", nat=True)
    assert behind["remote_port"] != 4500
    client.load(document([connection("cert", certificate="alice-acme")]))
    mobile = come_in(gateway, client, "cert", remote="192.0.2.10")
    client.ping(INSIDE4)
    peer.ping(INSIDE4)
    run("ip", "-n", client.namespace, "addr", "del", "192.0.2.10/24", "dev", "ca-ga")
    run("ip", "-n", client.namespace, "addr", "add", "192.0.2.11/24", "dev", "ca-ga", check=False)
    try:
        assert gateway.event("moved", session=mobile["session"])["remote"] == "192.0.2.11"  # MOBIKE
        gateway.event("rekey", session=mobile["session"])  # libipsec cannot move an SA: the client makes a new one, and between the two it loses packets
        client.ping(INSIDE4)
        peer.ping(INSIDE4, check=False)  # the first packet by the new mapping
        moved = gateway.event("moved", session=behind["session"])
        assert moved["remote"] == "192.0.2.11" and moved["remote_port"] != behind["remote_port"]
        peer.ping(INSIDE4)
        remotes = {line.split(" remote ")[1].split()[0] for line in gateway.ask("sas")}
        assert remotes == {"192.0.2.11"}
    finally:
        run("ip", "-n", client.namespace, "addr", "flush", "dev", "ca-ga", "scope", "global")
        for address in ("192.0.2.10/24", "192.0.2.11/24", "2001:db8:2::10/64"):
            run("ip", "-n", client.namespace, "addr", "add", address, "dev", "ca-ga", *(["nodad"] if ":" in address else []))
    peer.disconnect("eap")
    gateway.event("down", session=behind["session"])
    peer.stop()


def test_a_client_that_died_is_missed(world, gateway):
    peer = world.client("na", authorities=["acme-ecdsa"])
    peer.load(document([connection("eap", auth="eap-mschapv2", user="alice", gateway=WINDOWS)], ALICE))
    event = come_in(gateway, peer, "eap", tenant=5)
    peer.stop()
    assert gateway.event("down", session=event["session"], seconds=15)["cause"] == "peer_lost"
    no_sas(gateway)


def test_two_tenants_share_every_name_and_address(gateway, client, other):
    client.load(document([EAP], ALICE))
    other.load(document([connection("eap", auth="eap-mschapv2", user="alice", server="gw.globex.test")], [("alice", "globex-pw")]))
    acme, globex = come_in(gateway, client, "eap", tenant=1), come_in(gateway, other, "eap", tenant=2)
    for name in ("user", "remote", "leases"):
        assert acme[name] == globex[name]
    client.ping(INSIDE4)
    other.ping(INSIDE4)
    agree(client, acme)
    agree(other, globex)
    packets = {line.split(" tenant ")[1][0]: line for line in gateway.ask("sas") if line.startswith("in")}
    assert "packets 1 " in packets["1"] and "packets 1 " in packets["2"]
    client.disconnect("eap")
    gateway.event("down", session=acme["session"])
    other.ping(INSIDE4)
    assert [line.split()[1] for line in gateway.ask("sessions")] == ["2"]


def test_an_ike_sa_is_deaf_to_other_tenants(gateway, other):
    other.load(document([connection("eap", auth="eap-mschapv2", user="alice", server="gw.globex.test")], [("alice", "globex-pw")]))
    event = come_in(gateway, other, "eap", tenant=2)
    before = int(gateway.ask("refused")[0].split()[1])
    gateway.ask("pretend", 2, 1)
    try:
        other.swanctl("--rekey", "--child", "eap")
        deadline = time.monotonic() + 5
        while int(gateway.ask("refused")[0].split()[1]) == before:
            assert time.monotonic() < deadline
    finally:
        gateway.ask("pretend", 2, 0)
    again = gateway.event("rekey", session=event["session"])  # the client's retransmission, from where it belongs
    assert again["tenant"] == 2
    other.ping(INSIDE4)


def test_secrets_and_certificates_of_one_tenant_open_no_other(gateway, other):
    other.load(document([connection("eap", auth="eap-mschapv2", user="alice", server="gw.globex.test"),
                         connection("cert", certificate="alice-acme", server="gw.globex.test"),
                         connection("right", certificate="alice-globex", server="gw.globex.test")], ALICE))
    assert not other.connect("eap")
    assert "wrong password or unknown user" in gateway.event("auth_fail", tenant=2)["text"]
    assert not other.connect("cert")
    assert "no CA of this tenant" in gateway.event("auth_fail", tenant=2)["text"]
    come_in(gateway, other, "right", tenant=2)


@pytest.mark.parametrize("user, password", [("alice", "wrong"), ("nobody", "acme-pw")])
def test_a_wrong_password_and_an_unknown_user_fail_alike(gateway, client, user, password):
    client.load(document([connection("eap", auth="eap-mschapv2", user=user)], [(user, password)]))
    assert not client.connect("eap")
    event = gateway.event("auth_fail")
    assert (event["stage"], event["cause"], event["user"]) == ("authentication", "auth", user)
    assert event["text"] == "authentication: wrong password or unknown user. Remedy: type name and password anew (Windows shows 691)"


@pytest.mark.parametrize("certificate, cause, text", [("expired", "cert_expired", "not valid today"), ("revoked", "cert_revoked", "revoked"),
                                                      ("alice-globex", "auth", "no CA of this tenant")])
def test_a_bad_certificate_fails_for_its_reason(gateway, client, certificate, cause, text):
    client.load(document([connection("cert", certificate=certificate)]))
    assert not client.connect("cert")
    event = gateway.event("auth_fail")
    assert event["stage"] == "authentication" and event["cause"] == cause and text in event["text"]


def test_an_identity_without_a_secret_fails(gateway, client):
    client.load(document([connection("psk", gateway=LEGACY, auth="psk", server_auth="psk", user="eve@example.test")], psk=PSK))
    assert not client.connect("psk")
    assert gateway.event("auth_fail", tenant=3)["cause"] == "auth"


def test_a_profile_without_shared_secrets_knows_none(gateway, client):
    client.load(document([connection("psk", auth="psk", server_auth="psk", user="carol@example.test")], psk=PSK))
    assert not client.connect("psk")
    assert gateway.event("auth_fail", tenant=1)["cause"] == "auth"


@pytest.mark.parametrize("where, ike, esp, stage", [(GATEWAY4, "aes256-sha1-modp1024", "default", "negotiation"),
                                                    (GATEWAY4, "3des-sha256-modp2048", "default", "negotiation"),
                                                    (GATEWAY4, "default", "aes256-sha1", "admission"),
                                                    (CERTIFIED, "aes128gcm16-prfsha256-ecp256", "default", "negotiation"),
                                                    (CERTIFIED, "aes256gcm16-prfsha384-ecp384", "aes128gcm16", "admission")])
def test_algorithms_outside_the_profile_are_denied(gateway, client, where, ike, esp, stage):
    client.load(document([connection("cert", gateway=where, certificate="alice-acme", ike=ike, esp=esp)]))
    assert not client.connect("cert")
    event = gateway.event("denied")
    assert (event["stage"], event["cause"]) == (stage, "crypto")


def test_weak_algorithms_of_native_clients_are_taken_and_named(gateway, client):
    weak, strong = (connection(name, gateway=WINDOWS, auth="eap-mschapv2", user="alice", ike=ike, esp=esp) for name, ike, esp in
                    (("weak", "aes256-sha1-modp1024", "aes256-sha1"), ("strong", "aes256-sha1-modp1024,aes256-sha256-ecp256", "aes256-sha1,aes256-sha256")))
    client.load(document([weak, strong], ALICE))
    event = come_in(gateway, client, "weak", tenant=5)
    assert event["weak"] == "HMAC_SHA1_96,PRF_HMAC_SHA1,MODP_1024,HMAC_SHA1_96"
    client.ping(INSIDE4)
    client.disconnect("weak")
    gateway.event("down")
    assert come_in(gateway, client, "strong", tenant=5)["weak"] == ""


def test_a_client_that_refuses_the_gateway_is_reported(world, gateway, client):
    client.load(document([connection("eap", auth="eap-mschapv2", user="alice", server="*.other.test")], ALICE))
    assert not client.connect("eap")
    assert "does not trust the gateway" in gateway.event("auth_fail")["text"]
    stranger = world.client("na", authorities=["globex-ecdsa"], keys=["alice-acme"])
    stranger.load(document([EAP, connection("cert", certificate="alice-acme")], ALICE))
    assert not stranger.connect("eap")
    assert "does not trust the gateway" in gateway.event("auth_fail")["text"]
    # With a certificate the gateway has finished when the client looks: a session that ends at once.
    assert not stranger.connect("cert")
    assert gateway.event("down", session=gateway.event("up")["session"])["cause"] in ("user", "auth")
    stranger.stop()


def test_who_may_not_come_in_is_denied_after_proving_who_it_is(gateway, client):
    client.load(document([connection("eap", auth="eap-mschapv2", user="mallory")], [("mallory", "mallory-pw")]))
    assert not client.connect("eap")
    event = gateway.event("denied")
    assert (event["user"], event["cause"]) == ("mallory", "schedule")


def test_no_address_no_session(gateway, other):
    text = [connection(name, auth="eap-mschapv2", user="alice", server="gw.globex.test", more=f"dpd_delay = {delay}") for name, delay in (("one", 100), ("two", 200))]
    other.load(document(text, [("alice", "globex-pw")]))
    event = come_in(gateway, other, "one", tenant=2)
    assert not other.connect("two")
    assert gateway.event("denied", tenant=2)["cause"] == "pool_empty"
    other.disconnect("one")
    gateway.event("down", session=event["session"])
    come_in(gateway, other, "two", tenant=2)


def test_an_sa_that_is_not_installed_makes_no_session(gateway, client):
    client.load(document([EAP], ALICE))
    gateway.ask("refuse", 1)
    try:
        assert not client.connect("eap")
        assert gateway.event("denied")["cause"] == "internal"
    finally:
        gateway.ask("refuse", 0)
    no_sas(gateway)
    come_in(gateway, client, "eap")


def test_a_tenant_without_a_gateway_answers_nobody(gateway, client):
    client.load(document([connection("eap", auth="eap-mschapv2", user="alice", gateway=NOBODY)], ALICE))
    assert not client.connect("eap", seconds=8)
    event = gateway.event("denied", tenant=9)
    assert (event["stage"], event["cause"]) == ("negotiation", "config")


def test_networks_are_narrowed_to_what_is_behind_the_gateway(gateway, client):
    client.load(document([connection("all", auth="eap-mschapv2", user="alice", remote="10.0.0.0/8"),
                          connection("none", auth="eap-mschapv2", user="alice", remote="172.16.0.0/12")], ALICE))
    event = come_in(gateway, client, "all")
    assert all(" 10.20.0.0-10.20.255.255 " in line for line in gateway.ask("sas"))
    client.disconnect("all")
    gateway.event("down", session=event["session"])
    assert not client.connect("none")
    event = gateway.event("denied")
    assert (event["stage"], event["cause"]) == ("admission", "config")


def test_an_operator_ends_a_session(gateway, client):
    client.load(document([EAP], ALICE))
    event = come_in(gateway, client, "eap")
    assert gateway.ask("terminate", event["session"]) == ["yes"]
    assert gateway.event("down", session=event["session"])["cause"] == "admin"
    assert gateway.ask("terminate", event["session"]) == ["no"]
    assert client.spis() == []


def test_wrong_passwords_in_flight_do_not_delay_a_right_one(gateway, client):
    wrong = [connection(f"bad{number}", auth="eap-mschapv2", user=f"u{number}") for number in range(24)]
    client.load(document([EAP, *wrong], ALICE + [(f"u{number}", "wrong") for number in range(24)]))
    trying = [threading.Thread(target=client.swanctl, args=("--initiate", "--child", f"bad{number}", "--timeout", "10"), kwargs={"check": False})
              for number in range(24)]
    for one in trying:
        one.start()
    begun = time.monotonic()
    come_in(gateway, client, "eap", user="alice")
    assert time.monotonic() - begun < 4  # stock: two seconds of sleep for each of them, in 13 workers
    for one in trying:
        one.join()
    for number in range(24):
        gateway.event("auth_fail", user=f"u{number}")


def test_the_engine_holds_no_privilege(gateway):
    status = open(f"/proc/{gateway.process.pid}/status", encoding="ascii").read()
    for line in ("Uid:\t65534\t65534\t65534\t65534", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1"):
        assert line in status
