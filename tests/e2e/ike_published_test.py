# SPDX-License-Identifier: Apache-2.0
"""What was published against IKE daemons of others, rebuilt from what is said about it: each input brings nobody in and ends no session that
stands, and the next one is served by the same process. Beside each false proof stands the nearest that is right."""

import hmac
import os
import struct
import time

import ike_initiator as v2
import ikev1_initiator as v1
import pytest
from certificate_world import Mint
from client_families_test import echo
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from ike_initiator import (AUTH, CERT, CREATE_CHILD, DELETE, DH, EAP, IDI, IKE_AUTH, INFORMATIONAL, INIT, KE, NONCE, NOTIFY, PRF, REKEY_SA, SA, SKF, TSI, TSR,
                           Initiator, chain, families, identity, notify, proposals, sa_body, selectors)
from ike_world import GATEWAY4, PROGRAM, World, nt_hash, run

OLD = "192.0.2.2"  # by IKEv1, a process of its own
PSK = "the-key-of-acme"
SHAPE = {**families()["windows-hardened"], "piece": 0, "authorities": 0, "hashes": [2, 3, 4]}
REFUSED = (AssertionError, KeyError, IndexError, ValueError, struct.error, OSError)  # IkeError and Ike1Error among them
FRAGMENT = 132  # IKEv1's and Cisco's pieces, before RFC 7383
CUSTOM_GROUP = 1025  # strongSwan's own number for a group whose prime the peer tells
ANYWHERE = selectors([("0.0.0.0", "255.255.255.255")])

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces")


def mint(folder):
    made = Mint(folder)
    made.ca("root")
    made.user("alice", "root")
    made.user("bob", "root", kind="rsa2048")
    made.user("carol", "root", kind="rsa2048e3")
    made.user("endless", "root", odd={"2.5.29.30": bytes.fromhex("3006a0043002bf00")})
    return made


def gateway_texts(world):
    folder = world.folder
    new = [f"listen 1 7 {world.name('ga')} {GATEWAY4}", "retransmit 2 0.4", "half_open 4", f"user 1 alice {nt_hash('acme-pw')}"]
    new += [f"pool 1 10.99.0.{number}" for number in range(10, 90)] + [f"pool 1 fd00:99::{number}" for number in range(10, 90)]
    new += ["gateway 1 acme", "identity gw.acme.test", "profile modern", f"address {GATEWAY4}", "accept_eap", "accept_certificate", f"client_ca {folder}/root.pem",
            "network 10.20.0.0/16", "network fd00:20::/32", f"certificate {folder}/gw-acme-ecdsa.pem", f"key {folder}/gw-acme-ecdsa.key",
            f"gateway_ca {folder}/acme-ecdsa.pem"]
    old = ["ike_version 1", f"listen 1 7 {world.name('ga')} {OLD}", "retransmit 2 0.4", "half_open 4", f"peer_psk 1 {PSK.encode().hex()}", "gateway 1 acme",
           "identity gw.acme.test", "profile windows-default", f"address {OLD}", "accept_psk", "l2tp"]
    return "\n".join(new) + "\n", "\n".join(old) + "\n"


@pytest.fixture(scope="module")
def world():
    if not PROGRAM.exists():
        pytest.skip(f"{PROGRAM} is not built (SEKISHO_IKE=OFF)")
    with World() as made:
        made.mint = mint(made.folder)
        run("ip", "-n", made.name("ga"), "addr", "add", f"{OLD}/24", "dev", "ga-ca")
        yield made


@pytest.fixture(scope="module")
def gateways(world):
    return [world.gateway(text) for text in gateway_texts(world)]


@pytest.fixture
def peer(world):
    made = []

    def make(seconds=1):
        made.append(Initiator(world.name("ca"), GATEWAY4, SHAPE, trust=[world.pki.path("acme-ecdsa.pem")]))
        return hasty(made[-1], seconds)
    yield make
    for one in made:
        one.close()


@pytest.fixture
def old_peer(world):
    made = []

    def make(**more):
        made.append(v1.Initiator(world.name("ca"), OLD, PSK, seconds=1, **more))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.fixture(autouse=True)
def balance(gateways):
    """Nobody is left in; attempts that were begun end later."""
    yield
    for gateway in gateways:
        for line in gateway.ask("sessions"):
            gateway.ask("terminate", line.split()[0])
            gateway.event("down", session=int(line.split()[0]))
        gateway.events.clear()


def hasty(client, patience):
    """Waits no longer than that for an answer within an IKE_SA."""
    take = client.receive
    client.receive = lambda wanted, seconds=patience: take(wanted, seconds)
    return client


def attempt(act, *argv):
    """What `act` gives, or None when the gateway refuses or falls silent."""
    try:
        return act(*argv)
    except REFUSED:
        return None


def say(client, exchange, payloads, message=None):
    """What comes back to a protected request, or None."""
    return attempt(lambda: client.ask(exchange, payloads) if message is None else client.send(exchange, payloads, message))


def in_clear(client, exchange, payloads, *, spi_r=bytes(8), flags=0x08, first=None):
    """Sends it, and takes the datagram that comes back if one does."""
    data, kind = chain(payloads)
    request = client._header(client.spi_i, spi_r, kind if first is None else first, exchange, flags, 0, 28 + len(data)) + data
    return attempt(client._answer_to, request, time.monotonic() + 1)


# --- IKEv2, before anything is proven --------------------------------------------------------------------------------------------------------


def opening(client, *, group=None, public=None, more=(), transforms=()):
    """SA, KE and nonce of an IKE_SA_INIT like any other, with what a case says instead."""
    offer = [*proposals(client.shape["ike"])[0], *transforms]
    client.exchange = v2.Exchange(next(number for kind, number, _ in offer if kind == DH))
    return [(SA, sa_body([offer], 1)), (KE, struct.pack(">HH", group or client.exchange.group, 0) + (client.exchange.public if public is None else public)),
            (NONCE, os.urandom(32)), *more]


def custom_group(peer):
    client = peer()
    in_clear(client, INIT, opening(client, group=CUSTOM_GROUP, public=bytes(64), transforms=[(DH, CUSTOM_GROUP, 0)]))
    client.spi_i = os.urandom(8)
    in_clear(client, INIT, [(SA, sa_body([[(v2.ENCR, 20, 256), (PRF, 6, 0), (DH, CUSTOM_GROUP, 0)]], 1)), (KE, struct.pack(">HH", CUSTOM_GROUP, 0)), (NONCE, bytes(32))])


def incomplete_state(peer):
    client = peer()
    in_clear(client, INIT, opening(client)[:1])
    in_clear(client, INIT, opening(client)[:2])
    for spi in (bytes(8), os.urandom(8)):
        in_clear(client, CREATE_CHILD, [(SA, sa_body(proposals(client.shape["esp"]), 3, bytes(4))), (NONCE, bytes(32)), (TSI, ANYWHERE), (TSR, ANYWHERE)], spi_r=spi)


def md5_alone(peer):
    client = peer()
    in_clear(client, INIT, [(SA, sa_body([[(v2.ENCR, 12, 256), (PRF, 1, 0), (v2.INTEG, 1, 0), (DH, 20, 0)]], 1)), *opening(client)[1:]])


def pieces_of_ciscos(peer):
    client = peer()
    for body in (b"", b"\0\1", b"\0\1\1", b"\0\1\1\0", b"\xff\xff\xff\1" + bytes(64)):
        client.spi_i = os.urandom(8)
        in_clear(client, INIT, [(FRAGMENT, body)])
    client.spi_i = os.urandom(8)
    data = struct.pack(">BBH", 0, 0, 1) + bytes(32)  # a piece shorter than its own head
    attempt(client._answer_to, client._header(client.spi_i, bytes(8), FRAGMENT, INIT, 0x08, 0, 28 + len(data)) + data, time.monotonic() + 1)


def a_command_in_a_notify(client, mark):
    for text in (f"\";touch {mark};echo \"", f"$(touch {mark})", f"`touch {mark}`", f"|touch {mark}"):
        client.spi_i = os.urandom(8)
        in_clear(client, INIT, opening(client, more=[notify(14, text.encode())]))
    assert not os.path.exists(mark)


def pieces_of_ours(peer):
    client = peer()
    client.negotiate()
    body = chain([(IDI, identity("alice"))])[0]
    for number, total in ((0, 0), (0, 1), (2, 1), (1, 0), (65535, 65535), (1, 65535), (65535, 1)):
        client._put(client._seal(SKF, IDI if number == 1 else 0, IKE_AUTH, 1, body, struct.pack(">HH", number, total)))
    client._put(client._seal(SKF, 0, IKE_AUTH, 1, b"", struct.pack(">HH", 1, 1)))


def keys_before_proof(peer):
    client = peer()
    client.negotiate()
    exchange = v2.Exchange(20)
    answers = [say(client, CREATE_CHILD, [(SA, sa_body(proposals(client.shape["ike"]), 1, os.urandom(8))), (NONCE, os.urandom(32)),
                                          (KE, struct.pack(">HH", 20, 0) + exchange.public)]),
               say(client, CREATE_CHILD, [(SA, sa_body(proposals(client.shape["esp"]), 3, os.urandom(4))), (NONCE, os.urandom(32)), (TSI, ANYWHERE), (TSR, ANYWHERE)])]
    assert not any(kind == SA for answer in answers for kind, _ in answer or [])


def without(*kinds):
    def act(peer):
        client = peer()
        wishes = client._wishes
        client._wishes = lambda: [one for one in wishes() if one[0] not in kinds]
        attempt(client.log_in, "alice", "acme-pw")
        assert not client.children
    return act


def names_that_lie(peer):
    for kind, text in ((9, "3082ffff"), (9, "30"), (9, ""), (9, "3080"), (9, "300b3109300706035504030c00"), (9, "30053103300106"), (2, ""), (3, ""), (1, "0a"), (5, "00"),
                       (11, ""), (12, ""), (0, ""), (200, "3000"), (2, "30"), (9, "30020500"), (9, "3184ffffffff")):
        client = peer(0.4).negotiate()
        say(client, IKE_AUTH, [(IDI, struct.pack(">BBH", kind, 0, 0) + bytes.fromhex(text)), *client._wishes()])


def selectors_that_lie(peer):
    one = struct.pack(">BBHHH", 7, 0, 16, 0, 65535) + bytes(4) + b"\xff" * 4
    for body in (struct.pack(">BBH", 1, 0, 0) + one[:2] + struct.pack(">H", 4) + one[4:], struct.pack(">BBH", 1, 0, 0) + one[:2] + struct.pack(">H", 65535) + one[4:],
                 struct.pack(">BBH", 255, 0, 0) + one, struct.pack(">BBH", 1, 0, 0) + one[:9], struct.pack(">BBH", 0, 0, 0), struct.pack(">BBH", 1, 0, 0),
                 struct.pack(">BBH", 1, 0, 0) + b"\x08" + one[1:], struct.pack(">BBH", 1, 0, 0) + one[:2] + struct.pack(">H", 0) + one[4:]):
        client = peer(0.4)
        wishes = Initiator._wishes
        client._wishes = lambda body=body, client=client: [(kind, body) if kind == TSI else (kind, old) for kind, old in wishes(client)]
        attempt(client.log_in, "alice", "acme-pw")
        assert not client.children


def begun(client):
    """The challenge of EAP-MSCHAPv2."""
    return client.challenge(client.negotiate().begin("alice"), "alice")


def success_before_proof(peer):
    client = peer()
    request = begun(client)
    answer = attempt(client._eap, request, b"\x1a\x03")
    assert answer is None or answer[0] != 3


def responses_that_lie(peer):
    client = peer(0.4)
    honest = client.response(begun(client), "alice", "acme-pw")
    for change in (lambda r: r[:3] + b"\0\0" + r[5:], lambda r: r[:3] + b"\xff\xff" + r[5:], lambda r: r[:5] + b"\xff" + r[6:], lambda r: r[:5] + b"\0" + r[6:],
                   lambda r: r[:1], lambda r: r[:2], lambda r: r[:5], lambda r: r[:6], lambda r: r[:30], lambda r: r + b"a" * 3000, lambda r: b"\x1a\x04" + r[2:5],
                   lambda r: b"\x1a\x07" + r[2:]):
        client = peer(0.4)
        answer = attempt(client._eap, begun(client), change(honest))
        assert answer is None or answer[0] != 3


def methods_nobody_offers(peer):
    """EAP-TTLS with a short AVP, EAP-SIM and AKA with attributes of no length: published against the methods themselves."""
    for method, body in ((21, "80000000ff0000000000000005"), (21, "200000000100000000"), (18, "0b0000"), (18, "0a000001000000"), (23, "01000001"), (50, "0100000500"),
                         (25, "8000000000"), (13, "80ffffffff16"), (43, "0000")):
        client = peer(0.4)
        request = client.negotiate().begin("alice")
        for answer in (b"\x03" + bytes([method]), bytes([method]) + bytes.fromhex(body)):
            said = attempt(client._eap, request, answer)
            assert said is None or said[0] != 3
            request = said if said and said[0] == 1 else request


def lengths_of_eap(peer):
    client = peer()
    request = client.negotiate().begin("alice")
    for code, size, body in ((2, 0, b"\1alice"), (2, 65535, b"\1alice"), (2, 4, b""), (3, 4, b""), (4, 4, b""), (2, 40004, b"\1" + b"a" * 39999)):
        say(client, IKE_AUTH, [(EAP, struct.pack(">BBH", code, request[1], size) + body)])


# --- IKEv2, false proofs ---------------------------------------------------------------------------------------------------------------------

SHA256_OF_RSA, SHA256_OF_ECDSA = (bytes.fromhex(one) for one in ("300d06092a864886f70d01010b0500", "300a06082a8648ce3d040302"))
DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


def der_of(certificate):
    return certificate.public_bytes(serialization.Encoding.DER)


def prove(client, name, certificate, method, signature_of):
    """IKE_AUTH by certificate; whether the gateway lets it in."""
    client.negotiate()
    client.id_i = identity(f"{name}@example.test")
    octets = client.init_request + client.nonce_r + hmac.digest(client.sk_pi, client.id_i, client.suite.prf)
    answer = say(client, IKE_AUTH, [(IDI, client.id_i), (CERT, b"\4" + certificate), (AUTH, struct.pack(">I", method << 24) + signature_of(octets)), *client._wishes()])
    return answer is not None and any(kind == SA for kind, _ in answer)


def by_algorithm(name, signature):
    return bytes([len(name)]) + name + signature


def forged_by_cube_root(octets):
    """PKCS #1 v1.5 by a key whose exponent is 3, for a verifier that does not look behind the digest."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(octets)
    wanted = b"\0\1" + b"\xff" * 8 + b"\0" + DIGEST_INFO + digest.finalize()
    low, high = 0, 1 << 690
    target = int.from_bytes(wanted + bytes(256 - len(wanted)), "big")
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if middle ** 3 < target else (low, middle)
    assert (low ** 3).to_bytes(256, "big").startswith(wanted)
    return by_algorithm(SHA256_OF_RSA, low.to_bytes(256, "big"))


NOTHING_SIGNED = bytes.fromhex("3006020100020100")  # ECDSA with r and s zero
FALSE_PROOFS = {
    "CVE-2013-2944 no ECDSA signature": ("alice", 9, lambda octets: b""),
    "CVE-2013-2944 zeros": ("alice", 9, lambda octets: bytes(64)),
    "CVE-2013-2944 r and s zero": ("alice", 14, lambda octets: by_algorithm(SHA256_OF_ECDSA, NOTHING_SIGNED)),
    "CVE-2012-2388 no RSA signature": ("bob", 1, lambda octets: b""),
    "CVE-2012-2388 zeros": ("bob", 1, lambda octets: bytes(256)),
    "CVE-2012-2388 one": ("bob", 14, lambda octets: by_algorithm(SHA256_OF_RSA, bytes(255) + b"\1")),
    "CVE-2018-16151, 16152 what stands behind the digest": ("carol", 14, forged_by_cube_root),
    "an algorithm that runs over its end": ("bob", 14, lambda octets: b"\xff" + SHA256_OF_RSA),
    "an algorithm that is not the key's": ("alice", 14, lambda octets: by_algorithm(SHA256_OF_RSA, bytes(256))),
    "nothing at all": ("alice", 14, lambda octets: b""),
    "no method": ("alice", 0, lambda octets: bytes(32)),
}


def patched(old, new):
    return lambda der: der.replace(old, new, 1)


def time_of(text, size=13):
    """The time a certificate begins is `text`, of so many bytes as it says."""
    def change(der):
        at = der.index(b"\x17\x0d")
        return der[:at + 1] + bytes([size]) + text + der[at + 2 + len(text):]
    return change


BAD_CERTIFICATES = {
    "CVE-2009-2661 a time of no length": ("alice", time_of(b"", 0)),
    "CVE-2009-2185 a time of words": ("alice", time_of(b"nonsense, thi")),
    "CVE-2009-2185 a name that runs over": ("alice", patched(b"\x0c\x05alice", b"\x0c\xffalice")),
    "CVE-2017-9022 an exponent of zero": ("bob", patched(b"\x02\x03\x01\x00\x01", b"\x02\x03\x00\x00\x00")),
    "CVE-2017-9023 choices without end": ("endless", lambda der: der),
    "CVE-2018-6459, 2021-41990 PSS without parameters": ("bob", patched(bytes.fromhex("2a864886f70d0101010500"), bytes.fromhex("2a864886f70d01010a3000"))),
    "a certificate cut short": ("alice", lambda der: der[:100]),
    "lengths of four gigabytes": ("alice", lambda der: b"\x30\x84\xff\xff\xff\xff" + der[4:]),
}


# --- IKEv2, by somebody who is in ------------------------------------------------------------------------------------------------------------


def rekeying(protocol, size, spi):
    def act(client):
        body, ours, nonce = struct.pack(">BBH", protocol, size, REKEY_SA) + spi, os.urandom(4), os.urandom(32)
        answer = dict(say(client, CREATE_CHILD, [(NOTIFY, body), (SA, sa_body(proposals(client.shape["esp"]), 3, ours)), (NONCE, nonce),
                                                 (TSI, selectors(client.mine)), (TSR, selectors(client.networks))]) or [])
        if SA in answer:  # what rekeys nothing is one more CHILD_SA, and the newest carries what comes back
            theirs, transforms = v2.chosen(answer[SA])
            client._add_child(transforms, ours, theirs, nonce + answer[NONCE])
    return act


def custom_group_later(client):
    for protocol, spi in ((3, os.urandom(4)), (1, os.urandom(8))):
        say(client, CREATE_CHILD, [(SA, sa_body([[*proposals(client.shape["esp"])[0], (DH, CUSTOM_GROUP, 0)]], protocol, spi)), (NONCE, os.urandom(32)),
                                   (KE, struct.pack(">HH", CUSTOM_GROUP, 0) + bytes(64)), (TSI, selectors(client.mine)), (TSR, selectors(client.networks))])


def farewell(protocol, size, count, spis):
    return lambda client: say(client, INFORMATIONAL, [(DELETE, struct.pack(">BBH", protocol, size, count) + spis)])


BEFORE_PROOF = {
    "CVE-2014-9221 a group of the peer's own": custom_group,
    "CVE-2009-1957 the second step before the first": incomplete_state,
    "CVE-2018-10811 MD5 alone": md5_alone,
    "CVE-2016-1287 pieces shorter than their head": pieces_of_ciscos,
    "CVE-2014-2338 keys before proof": keys_before_proof,
    "CVE-2013-6076 pieces that count wrong": pieces_of_ours,
    "CVE-2009-1958 no TSi": without(TSI),
    "CVE-2009-1958 no TSr": without(TSR),
    "CVE-2009-1958 no SA": without(SA),
    "CVE-2013-6075, 2013-5018 names that lie about their size": names_that_lie,
    "CVE-2023-23009 selectors that lie about their size": selectors_that_lie,
    "CVE-2015-8023 success before proof": success_before_proof,
    "CVE-2025-62291 lengths of MSCHAPv2": responses_that_lie,
    "CVE-2026-25075, 2026-35330 methods nobody offers": methods_nobody_offers,
    "CVE-2020-8597 lengths of EAP": lengths_of_eap,
}
# What somebody does who is in, and whether his own session stands it: who breaks the form of a message proves that he cannot be talked to.
WHEN_IN = {
    "CVE-2023-38710 rekeys what no protocol has": (rekeying(0, 0, b""), True),
    "CVE-2023-38710 rekeys AH": (rekeying(1, 4, bytes(4)), True),
    "CVE-2023-38710 rekeys protocol 99": (rekeying(99, 4, bytes(4)), False),
    "CVE-2023-38710 rekeys without an SPI": (rekeying(3, 0, b""), True),
    "CVE-2023-38710 rekeys an SPI that is not there": (rekeying(3, 255, bytes(8)), False),
    "CVE-2014-9221 a group of the peer's own": (custom_group_later, True),
    "CVE-2023-38712 ends what nobody has": (farewell(3, 4, 1, b"\x01\x02\x03\x04"), True),
    "CVE-2023-38712 ends AH": (farewell(2, 4, 1, bytes(4)), True),
    "CVE-2023-38712 ends SPIs of 255 bytes": (farewell(3, 255, 1, b""), False),
    "CVE-2023-38712 ends more than it names": (farewell(3, 4, 65535, bytes(8)), False),
    "CVE-2023-38712 ends protocol 77": (farewell(77, 4, 1, bytes(4)), False),
}


def the_next_is_served(gateway, peer):
    assert gateway.process.poll() is None, gateway.log[-20:]
    friend = peer().log_in("alice", "acme-pw")
    echo(friend)
    return friend


@pytest.mark.parametrize("name", BEFORE_PROOF)
def test_it_brings_nobody_in(gateways, peer, name):
    BEFORE_PROOF[name](peer)
    assert gateways[0].ask("sessions") == [] and gateways[0].ask("sas") == []
    the_next_is_served(gateways[0], peer)


def test_a_notify_is_no_command(gateways, peer, tmp_path):
    """CVE-2023-28771"""
    a_command_in_a_notify(peer(), tmp_path / "done")
    the_next_is_served(gateways[0], peer)


@pytest.mark.parametrize("name", FALSE_PROOFS)
def test_a_false_proof_opens_nothing(world, gateways, peer, name):
    user, method, signature_of = FALSE_PROOFS[name]
    certificate, key = world.mint.made[user]
    assert not prove(peer(), user, der_of(certificate), method, signature_of)
    assert gateways[0].ask("sessions") == []

    def right(octets):
        if user == "alice":
            return by_algorithm(SHA256_OF_ECDSA, key.sign(octets, ec.ECDSA(hashes.SHA256())))
        return by_algorithm(SHA256_OF_RSA, key.sign(octets, padding.PKCS1v15(), hashes.SHA256()))
    assert prove(peer(), user, der_of(certificate), 14, right), gateways[0].log[-10:]


@pytest.mark.parametrize("name", BAD_CERTIFICATES)
def test_a_certificate_that_lies_opens_nothing(world, gateways, peer, name):
    user, change = BAD_CERTIFICATES[name]
    original = der_of(world.mint.made[user][0])
    certificate = change(original)
    assert user == "endless" or certificate != original
    assert not prove(peer(), user, certificate, 14, lambda octets: by_algorithm(SHA256_OF_ECDSA, os.urandom(70)))
    assert gateways[0].ask("sessions") == []
    the_next_is_served(gateways[0], peer)


def test_two_hundred_certificates_are_no_reason_to_fall(world, gateways, peer):
    """CVE-2021-41991: a cache of certificates that is filled from outside"""
    mine = der_of(world.mint.made["alice"][0])
    serial = mine.index(b"\x02\x14") + 2
    for round_ in range(2):
        client = peer().negotiate()
        client.id_i = identity("alice@example.test")
        others = [mine[:serial] + os.urandom(20) + mine[serial + 20:] for _ in range(100)]
        say(client, IKE_AUTH, [(IDI, client.id_i), *[(CERT, b"\4" + one) for one in others], (AUTH, b"\x0e\0\0\0" + by_algorithm(SHA256_OF_ECDSA, bytes(70))),
                               *client._wishes()])
        assert gateways[0].ask("sessions") == []
    the_next_is_served(gateways[0], peer)


@pytest.mark.parametrize("name", WHEN_IN)
def test_nobody_elses_session_minds(gateways, peer, name):
    act, stands = WHEN_IN[name]
    friend, client = peer().log_in("alice", "acme-pw"), peer().log_in("alice", "acme-pw")
    both = gateways[0].ask("sessions")
    act(client)
    left = gateways[0].ask("sessions")
    assert len(both) == 2 and both[0] in left and (left == both or not stands), (both, left)
    echo(friend)
    if stands:
        echo(client)
    the_next_is_served(gateways[0], peer)


# --- IKEv1 -----------------------------------------------------------------------------------------------------------------------------------


def old_in_clear(client, exchange, payloads, *, first=None, flags=0, number=0):
    kind, body = v1.chain(payloads)
    client.send_raw(client.cookies[0] + client.cookies[1] + struct.pack(">BBBBII", kind if first is None else first, 0x10, exchange, flags, number, 28 + len(body)) + body)


def answers(client, most=8):
    """Sizes of the datagrams that come within a second of silence."""
    sizes = []
    while len(sizes) < most:
        try:
            sizes.append(len(client.sockets[client.port].recv(65535)))
        except OSError:
            break
    return sizes


def old_pieces(client):
    for body in (b"", b"\0\1", b"\0\1\0\1", b"\0\1\0\0" + bytes(40), b"\xff\xff\xff\1" + bytes(40), *[b"\0\7" + bytes([number, 0]) + bytes(400) for number in range(1, 255)]):
        old_in_clear(client, v1.MAIN, [(FRAGMENT, body)])


def old_keepalives(client):
    for kind in (36136, 36137, 16384, 24578, 1, 14, 0xFFFF):
        for cookies in (client.cookies, (os.urandom(8), os.urandom(8)), (bytes(8), bytes(8))):
            client.cookies = cookies
            for body in (struct.pack(">IBBH", 1, 1, 16, kind) + cookies[0] + cookies[1] + bytes(4), struct.pack(">IBBH", 1, 1, 255, kind), struct.pack(">IBBH", 1, 1, 16, kind),
                         struct.pack(">IBBH", 0xFFFF, 200, 0, kind)):
                old_in_clear(client, v1.INFORMATIONAL, [(v1.NOTIFY, body)], number=7)


def old_aggressive(client):
    client.sa = client.offer_sa()
    head = [(v1.SA, client.sa), (v1.KE, os.urandom(128)), (v1.NONCE, os.urandom(20)), (v1.ID, struct.pack(">BBH", 2, 17, 500) + b"vpn")]
    for payloads in (head, head[:1], head[1:], [(v1.HASH, bytes(20))], [], head + [(v1.VENDOR, v1.RFC3947)]):
        for cookie in (bytes(8), os.urandom(8)):
            client.cookies = (os.urandom(8), cookie)
            old_in_clear(client, v1.AGGRESSIVE, payloads)


def old_key_lengths(client):
    for bits in (1, 7, 129, 0xFFFF):
        client.cookies = (os.urandom(8), bytes(8))
        client.offer = [(7, bits, 2, 14), (5, bits, 2, 14)]
        client.first()
    client.cookies, client.offer = (os.urandom(8), bytes(8)), [(7, 0, 2, 14)]
    client.first()


OLD_BEFORE_PROOF = {
    "CVE-2013-6076, 2016-10396 pieces without end": old_pieces,
    "CVE-2009-0790, 2020-1763 words of nobody": old_keepalives,
    "CVE-2023-30570 aggressive mode out of order": old_aggressive,
    "CVE-2011-3380 lengths of keys": old_key_lengths,
}


def the_next_old_one_is_served(gateway, old_peer):
    assert gateway.process.poll() is None, gateway.log[-20:]
    friend = old_peer().main_mode()
    friend.quick_mode()
    gateway.event("up")
    assert friend.exchange_udp(b"in") == b"in"
    return friend


@pytest.mark.parametrize("name", OLD_BEFORE_PROOF)
def test_by_ikev1_it_brings_nobody_in(gateways, old_peer, name):
    OLD_BEFORE_PROOF[name](old_peer())
    assert gateways[1].ask("sessions") == [] and gateways[1].ask("sas") == []
    the_next_old_one_is_served(gateways[1], old_peer)


def test_an_attribute_that_lies_is_not_answered_with_memory(gateways, old_peer):
    """CVE-2016-6415: attributes whose length runs far over the message"""
    client = old_peer()
    for size in (0x40, 0x4000, 0xFFFF):
        client.cookies = (os.urandom(8), bytes(8))
        attributes = v1.attribute(1, 7) + v1.attribute(2, 2) + v1.attribute(3, 1) + struct.pack(">HH", 4, size) + b"\0\2"
        transform = struct.pack(">BBHBBH", 0, 0, 8 + len(attributes), 1, 1, 0) + attributes
        old_in_clear(client, v1.MAIN, [(v1.SA, struct.pack(">IIBBHBBBB", 1, 1, 0, 0, 8 + len(transform), 1, 1, 0, 1) + transform)])
    assert all(length < 100 for length in answers(client))
    the_next_old_one_is_served(gateways[1], old_peer)


def test_one_message_has_one_answer(gateways, old_peer):
    """CVE-2016-5361: who begins and falls silent is not spoken to again, whoever's address he gave"""
    client = old_peer()
    client.first()
    assert len(answers(client)) == 1
    client.send_raw(client.sent_last)
    assert len(answers(client)) == 1, "said again, it is answered again"


def test_a_farewell_without_proof_is_not_heard(gateways, old_peer):
    """CVE-2019-10155: the digest of an informational message"""
    client = the_next_old_one_is_served(gateways[1], old_peer)
    sessions = gateways[1].ask("sessions")
    body = [(v1.DELETE, struct.pack(">IBBH", 1, 1, 16, 1) + client.cookies[0] + client.cookies[1])]
    for digest in (bytes(20), b"", os.urandom(20)):
        client.send(v1.INFORMATIONAL, [(v1.HASH, digest), *body], int.from_bytes(os.urandom(4), "big"), True)
    client.send(v1.INFORMATIONAL, body, int.from_bytes(os.urandom(4), "big"), True)
    old_in_clear(client, v1.INFORMATIONAL, body, number=9)
    assert client.exchange_udp(b"still in") == b"still in"
    assert gateways[1].ask("sessions") == sessions
    client.notify(0, delete_ike=True)  # the nearest that is heard
    gateways[1].event("down", session=int(sessions[0].split()[0]))


def test_words_after_a_farewell_are_no_reason_to_fall(gateways, old_peer):
    """CVE-2023-38712: a farewell twice in a message, and words about what it ended"""
    client = the_next_old_one_is_served(gateways[1], old_peer)
    session = int(gateways[1].ask("sessions")[0].split()[0])
    farewell = (v1.DELETE, struct.pack(">IBBH", 1, 1, 16, 1) + client.cookies[0] + client.cookies[1])
    word = (v1.NOTIFY, struct.pack(">IBBH", 1, 1, 16, 24578) + client.cookies[0] + client.cookies[1])
    number = int.from_bytes(os.urandom(4), "big")
    body = [farewell, word, farewell, (v1.DELETE, struct.pack(">IBBH", 1, 3, 4, 65535) + bytes(4)), word]
    client.send(v1.INFORMATIONAL, [(v1.HASH, client._prf(client.a, struct.pack(">I", number) + v1.chain(body)[1])), *body], number, True)
    for _ in range(3):
        client.send_raw(client.sent_last)
    client.notify(0, delete_ike=True)
    gateways[1].event("down", session=session)
    the_next_old_one_is_served(gateways[1], old_peer)


def quick_with(client, sa, ids):
    """Quick mode as far as its first message, rightly signed."""
    number = int.from_bytes(os.urandom(4), "big")
    body = [(v1.SA, sa), (v1.NONCE, os.urandom(20)), *[(v1.ID, one) for one in ids]]
    client.send(v1.QUICK, [(v1.HASH, client._prf(client.a, struct.pack(">I", number) + v1.chain(body)[1])), *body], number, True)
    attempt(client.receive, v1.QUICK)


def test_quick_mode_that_lies_makes_no_sa(gateways, old_peer):
    """CVE-2023-38711: names where addresses belong; CVE-2024-3652: AH, and ESP without its parts"""
    client = old_peer().main_mode()
    mine, theirs = (struct.pack(">BBH", 1, 17, 1701) + one for one in (client.identity.packed, bytes([192, 0, 2, 2])))
    offer = client._esp_offer(os.urandom(4), 4)
    for ids in ((struct.pack(">BBH", 2, 17, 1701) + b"name", theirs), (mine, struct.pack(">BBH", 2, 17, 1701) + b"name"), (mine, struct.pack(">BBH", 5, 17, 1701) + bytes(4)),
                (mine, struct.pack(">BBH", 4, 17, 1701) + bytes(3)), (b"\1", theirs), (mine, b""), (mine,), (struct.pack(">BBH", 7, 17, 1701) + bytes(8), theirs)):
        quick_with(client, offer, ids)
    protocols = [offer[:8 + 5] + bytes([protocol]) + offer[8 + 6:] for protocol in (2, 1, 4, 0, 255)]
    for sa in (*protocols, offer[:20], offer[:8], b"", offer[:8 + 7] + b"\xff" + offer[8 + 8:]):
        quick_with(client, sa, (mine, theirs))
    assert gateways[1].ask("sas") == []
    the_next_old_one_is_served(gateways[1], old_peer)
