# SPDX-License-Identifier: Apache-2.0
"""IKEv1 for L2TP: what Windows and macOS send comes in by main mode and a pre-shared key, up to packets through SAs in transport mode;
aggressive mode, other people's keys and everything out of order get nothing."""

import os
import random
import struct

import pytest

from ike_abuse_test import scan  # noqa: F401
from ike_world import GATEWAY4, PROGRAM, World, run
from ikev1_initiator import (AGGRESSIVE, DPD, INFORMATIONAL, MACOS, MAIN, NOTIFY, QUICK, RFC3947, SA, WINDOWS, WINDOWS_VENDORS, HASH, ID, Ike1Error, Initiator)
from lab.system import wait_until

STRICT, OLD = "192.0.2.2", "192.0.2.3"
PSK, OTHER_PSK = "the-key-of-acme", "another-branch"
LINUX = [(7, 256, 4, 14)]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces")


def gateway_text(world):
    acme, globex = world.name("ga"), world.name("gb")
    lines = ["ike_version 1", f"listen 1 7 {acme} {GATEWAY4}", f"listen 2 8 {globex} {GATEWAY4}", f"listen 3 7 {acme} {STRICT}", f"listen 4 7 {acme} {OLD}",
             "retransmit 2 0.4", "half_open 3"]
    lines += [f"peer_psk {tenant} {key.encode().hex()}" for tenant in (1, 3, 4) for key in (OTHER_PSK, *[f"branch-{n}" for n in range(8)], PSK)]
    lines.append(f"peer_psk 2 {b'the-key-of-globex'.hex()}")
    for tenant, name, profile, address in ((1, "acme", "windows-default", GATEWAY4), (2, "globex", "windows-default", GATEWAY4), (3, "strict", "modern", STRICT),
                                           (4, "old", "legacy", OLD)):
        lines += [f"gateway {tenant} {name}", "identity gw.acme.test", f"profile {profile}", f"address {address}", "accept_psk", "l2tp", "dpd 1"]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def world():
    if not PROGRAM.exists():
        pytest.skip(f"{PROGRAM} is not built (SEKISHO_IKE=OFF)")
    with World() as made:
        for address in (STRICT, OLD):
            run("ip", "-n", made.name("ga"), "addr", "add", f"{address}/24", "dev", "ga-ca")
        yield made


@pytest.fixture(scope="module")
def gateway(world):
    return world.gateway(gateway_text(world))


@pytest.fixture
def peer(world):
    made = []

    def make(psk=PSK, gateway=GATEWAY4, namespace="ca", **more):
        made.append(Initiator(world.name(namespace), gateway, psk, **more))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.fixture(autouse=True)
def balance(gateway):
    """Each attempt ends once and each session ends once."""
    yield
    for line in gateway.ask("sessions"):
        gateway.ask("terminate", line.split()[0])
        gateway.event("down", session=int(line.split()[0]))
    assert gateway.untaken() == []


SHAPES = {
    "windows": ({}, (7, 256, 2, 20), "AES_CBC_256/HMAC_SHA1_96"),
    "windows-one": ({"offer": WINDOWS[1:2]}, (7, 128, 2, 19), "AES_CBC_256/HMAC_SHA1_96"),
    "macos-draft": ({"offer": MACOS, "draft": True, "vendors": (RFC3947, *WINDOWS_VENDORS[3:4], DPD)}, (7, 256, 4, 14), "AES_CBC_256/HMAC_SHA1_96"),
    "linux": ({"offer": LINUX, "vendors": (RFC3947, DPD), "esp": ((12, 256, 5),)}, (7, 256, 4, 14), "AES_CBC_256/HMAC_SHA2_256_128"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_client_shape_comes_in_and_its_packets_come_back(gateway, peer, shape):
    more, chosen, esp = SHAPES[shape]
    client = peer(**more).main_mode()
    assert client.chosen == chosen
    assert client.gateway_id[:1] == b"\x01" and client.gateway_id[4:] == bytes([192, 0, 2, 1]), "it is its address: no name is told"
    gateway.event("start")
    gateway.event("auth_ok")
    client.quick_mode(port=1701 if shape != "macos-draft" else 51234)
    up = gateway.event("up")
    assert up["nat"] and up["esp_suite"].startswith(esp) and up["gateway"] == "acme psk" and up["ike_id"] == "192.168.7.9"
    assert client.exchange_udp(b"hello through transport mode") == b"hello through transport mode"
    sas = gateway.ask("sas")
    assert len(sas) == 2 and all(line.startswith("transport ") for line in sas) and any("/1701" in line for line in sas), sas


def test_its_rekeying_keeps_the_session_and_its_goodbye_ends_it(gateway, peer):
    client = peer().main_mode()
    client.quick_mode()
    session = gateway.event("up")["session"]
    assert client.exchange_udp(b"one") == b"one"
    for round_ in range(3):
        client.quick_mode()
        gateway.event("rekey", session=session)
        assert client.exchange_udp(bytes([round_])) == bytes([round_])
    client.notify(0, delete_ike=True)
    assert gateway.event("down", session=session)["cause"] == "user"
    wait_until(lambda: gateway.ask("sas") == [], 10, "its SAs gone")


def test_two_clients_behind_one_nat_have_a_session_each(gateway, peer):
    clients = [peer().main_mode() for _ in range(3)]
    for client in clients:
        client.quick_mode()
    sessions = {gateway.event("up")["session"] for _ in clients}
    assert len(sessions) == 3
    for number, client in enumerate(clients):
        assert client.exchange_udp(bytes([number])) == bytes([number])


def test_each_key_of_a_gateway_opens_it_and_anothers_does_not(gateway, peer):
    for key in (OTHER_PSK, "branch-0", "branch-7"):
        peer(key).main_mode().notify(0, delete_ike=True)
        gateway.event("denied", cause="user")
    for key in ("the-key-of-globex", "branch-8"):
        with pytest.raises(Ike1Error):
            peer(key, seconds=1).main_mode()
        failed = gateway.event("auth_fail")
        assert failed["cause"] == "auth" and "pre-shared key" in failed["text"] and failed["stage"] == "authentication"
    # The other tenant's gateway at the same address has its own.
    peer("the-key-of-globex", namespace="cb").main_mode().notify(0, delete_ike=True)
    gateway.event("denied", tenant=2)
    with pytest.raises(Ike1Error):
        peer(namespace="cb", seconds=1).main_mode()
    gateway.event("auth_fail", tenant=2)


def test_weak_algorithms_are_a_profile_s_own(gateway, peer):
    weak = [(5, 0, 2, 2)]
    peer(gateway=OLD, offer=weak).main_mode().notify(0, delete_ike=True)
    gateway.event("denied", tenant=4)
    for address, offer, tenant in ((GATEWAY4, weak, 1), (GATEWAY4, [(7, 256, 2, 2)], 1), (STRICT, WINDOWS, 3)):
        with pytest.raises(Ike1Error) as refused:
            peer(gateway=address, offer=offer, seconds=1).main_mode()
        assert refused.value.notify in (0, 14)
        assert gateway.event("denied", tenant=tenant)["cause"] == "crypto"


def test_aggressive_mode_is_not_answered_and_nothing_is_told(world, gateway, peer):
    client = peer(seconds=1)
    client.sa = client.offer_sa()
    client.send(AGGRESSIVE, [(SA, client.sa), (4, os.urandom(128)), (10, os.urandom(20)), (ID, struct.pack(">BBH", 2, 17, 500) + b"vpn")])
    with pytest.raises(Ike1Error, match="silent"):
        client.receive()
    done = run("ip", "netns", "exec", world.name("ca"), "ike-scan", "--retry=1", "--timeout=1500", "--aggressive", "--id=vpn", "--trans=7/256,2,1,14", GATEWAY4, check=False)
    assert "0 returned handshake; 0 returned notify" in done.stdout, done.stdout
    # The nearest that is answered; it says nothing of whose it is.
    done = run("ip", "netns", "exec", world.name("ca"), "ike-scan", "--retry=1", "--timeout=1500", "--trans=7/256,2,1,14", GATEWAY4, check=False)
    assert "1 returned handshake" in done.stdout and "strongSwan" not in done.stdout, done.stdout
    gateway.event("denied", cause="peer_lost")


def test_what_stands_inside_the_tunnel_is_l2tp_alone(gateway, peer):
    for wrong in ({"mode": 3}, ):
        client = peer(seconds=1).main_mode()
        with pytest.raises(Ike1Error):
            client.quick_mode(**wrong)
        client.notify(0, delete_ike=True)
        assert gateway.event("denied")["cause"] in ("crypto", "config", "user")


@pytest.mark.parametrize("seed", range(12))
def test_no_order_of_messages_brings_anybody_in_without_the_key(gateway, peer, seed):
    """Random steps of somebody who knows all but the key, repeated, left out, changed: nobody is up, and a friend still is let in."""
    dice = random.Random(seed)
    client = peer("no-key-of-anybody", seconds=0.2)
    client.first()
    client.second()
    client.third()
    client.fourth()
    steps = [lambda: client.send(MAIN, [(ID, struct.pack(">BBH", 1, 17, 500) + client.identity.packed), (HASH, os.urandom(20))], encrypted=True),
             lambda: client.send(MAIN, [(ID, struct.pack(">BBH", 1, 17, 500) + client.identity.packed), (HASH, os.urandom(20))]),
             client.fifth, client.third, client.first, lambda: client.send_raw(client.sent_last),
             lambda: client.quick_mode(), lambda: client.notify(24578), lambda: client.notify(0, delete_ike=True),
             lambda: client.send(QUICK, [(HASH, bytes(20)), (SA, client._esp_offer(os.urandom(4), 4)), (10, os.urandom(20))], 77),
             lambda: client.send(INFORMATIONAL, [(NOTIFY, struct.pack(">IBBH", 1, 1, 16, 16384) + client.cookies[0] + client.cookies[1])], 5),
             lambda: client.send_raw(bytes(byte ^ (dice.random() < 0.02) * dice.randrange(1, 256) if at >= 18 else byte for at, byte in enumerate(client.sent_last)))]
    for _ in range(25):
        client.port = dice.choice((500, 4500))
        try:
            dice.choice(steps)()
        except (Ike1Error, AssertionError, struct.error, IndexError, ValueError):
            pass
    friend = peer().main_mode()
    friend.quick_mode()
    session = gateway.event("up")["session"]
    assert friend.exchange_udp(b"in") == b"in"
    assert [line.split()[0] for line in gateway.ask("sessions")] == [str(session)] and len(gateway.ask("sas")) == 2
    friend.notify(0, delete_ike=True)
    gateway.event("down", session=session)
    # What the stranger began ends by itself, and was never more than an attempt.
    ended = {"auth_fail": 0, "denied": 0}
    deadline = 12
    while sum(ended.values()) < 1 and deadline:
        deadline -= 1
        try:
            gateway.event("auth_fail", seconds=1)
            ended["auth_fail"] += 1
        except AssertionError:
            pass
    gateway.events.clear()
