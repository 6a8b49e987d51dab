# SPDX-License-Identifier: Apache-2.0
"""A peer that keeps every rule but one, in the manner of strongSwan's conftest hooks: what RFC 7296 says to ignore is ignored, what it says to
refuse is refused, nothing brings in who should stay out, and the engine serves the next one."""

import os
import struct

import pytest

from client_families_test import FAMILIES, PLACES, echo, gateway, world  # noqa: F401  (fixtures)
from ike_initiator import (AUTH, IDI, IKE_AUTH, INFORMATIONAL, INIT, SA, SK, VENDOR, IkeError, Initiator, chain, identity, notify)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces")
UNKNOWN, CRITICAL, INVALID_MAJOR_VERSION = 200, 0x80, 5


class Hostile(Initiator):
    """`init` changes the bytes of IKE_SA_INIT; `payloads`, `plain` and `whole` those of the first IKE_AUTH before they are chained, sealed and sent."""

    init = payloads = plain = whole = None
    changed = begun = False

    def _answer_to(self, request, deadline):
        if self.init and not self.begun:  # once: a gateway that asks to begin again gets what is right
            self.begun = True
            request = self.init_request = self.init(request)
        return super()._answer_to(request, deadline)

    def send(self, exchange, payloads, message=None, flags=0x08, order=None):
        first_auth = exchange == IKE_AUTH and not self.changed
        self.changed = self.changed or first_auth
        if first_auth and self.payloads:
            payloads = self.payloads(payloads)
        data, first = chain(payloads)
        if first_auth and self.plain:
            data, first = self.plain(data, first)
        if message is None:
            message, self.next_id = self.next_id, self.next_id + 1
        sealed = self._seal(SK, first, exchange, message, data, flags=flags)
        self.last = self.whole(sealed) if first_auth and self.whole else sealed
        self._put(self.last)
        return 1

    def receive(self, wanted, seconds=8):
        """Says it again after a second, as RFC 7296 2.1 wants."""
        try:
            return super().receive(wanted, min(seconds, 1))
        except IkeError:
            if seconds <= 1:
                raise
        self._put(self.last)
        return self.receive(wanted, seconds - 1)


def put(at, new):
    return lambda message: message[:at] + new + message[at + len(new):]


def reserved(data, first):
    """The reserved bits of every payload's head."""
    out, at = bytearray(data), 0
    while at < len(out):
        out[at + 1] |= 0x7F
        at += struct.unpack_from(">H", out, at + 2)[0]
    return bytes(out), first


def length(change):
    """The second payload says that it is longer or shorter than it is."""
    def changer(data, first):
        at = struct.unpack_from(">H", data, 2)[0]
        return data[:at + 2] + struct.pack(">H", change(struct.unpack_from(">H", data, at + 2)[0]) & 0xFFFF) + data[at + 4:], first
    return changer


def unknown(critical):
    def changer(data, first):
        return struct.pack(">BBH", first, critical, 12) + os.urandom(8) + data, UNKNOWN
    return changer


def init_payload(kind, change):
    """Changes the body of one payload of IKE_SA_INIT, whose length stays."""
    def changer(message):
        first, at = message[16], 28
        while first:
            following, _, size = struct.unpack_from(">BBH", message, at)
            if first == kind:
                return message[:at + 4] + change(message[at + 4:at + size]) + message[at + size:]
            first, at = following, at + size
        return message
    return changer


def without_proposal_numbers(body):
    out, at = bytearray(body), 0
    while at < len(out):
        out[at + 4] = 7
        at += struct.unpack_from(">H", out, at + 2)[0]
    return bytes(out)


def wrong_proposal_length(body):
    return body[:2] + struct.pack(">H", len(body) + 100) + body[4:]


IN, OUT, EITHER = "in", "out", "either"
# What is changed, and what must come of it; of those refused in words, the notify.
HOSTILITIES = {
    "unknown payload": ({"plain": unknown(0)}, IN, None),
    "unknown critical payload": ({"plain": unknown(CRITICAL)}, OUT, None),  # told (1), but from port 500, where nobody behind a NAT listens
    "reserved bits": ({"plain": reserved}, IN, None),
    "a payload too long": ({"plain": length(lambda size: size + 3)}, OUT, None),
    "a payload too short": ({"plain": length(lambda size: size - 1)}, OUT, None),
    "a payload of no length": ({"plain": length(lambda size: 0)}, OUT, None),
    "a payload over everything": ({"plain": length(lambda size: 65535)}, OUT, None),
    "an unknown status": ({"payloads": lambda payloads: [*payloads, notify(40960, os.urandom(64))]}, IN, None),
    "an order of its own": ({"payloads": lambda payloads: payloads[:1] + payloads[:0:-1]}, IN, None),
    "a hundred vendor ids": ({"payloads": lambda payloads: payloads + [(VENDOR, os.urandom(16))] * 100}, EITHER, None),
    "sixty kilobytes": ({"payloads": lambda payloads: payloads + [(VENDOR, bytes(12000))] * 5}, EITHER, None),
    "two names": ({"payloads": lambda payloads: [(IDI, identity("bob")), *payloads]}, EITHER, None),
    "no name": ({"payloads": lambda payloads: [one for one in payloads if one[0] != IDI]}, OUT, None),
    "an empty message": ({"payloads": lambda payloads: []}, OUT, None),
    "a proof before it is asked for": ({"payloads": lambda payloads: [*payloads, (AUTH, b"\x02\0\0\0" + bytes(32))]}, OUT, None),
    "another minor version": ({"whole": None, "init": put(17, b"\x25")}, EITHER, None),
    "another major version": ({"init": put(17, b"\x30")}, OUT, INVALID_MAJOR_VERSION),
    "no SPI of its own": ({"init": put(0, bytes(8))}, OUT, None),
    "a response that begins": ({"init": put(19, b"\x28")}, OUT, None),
    "not the initiator": ({"init": put(19, b"\x00")}, OUT, None),
    "a length that is not the message's": ({"init": put(24, struct.pack(">I", 28))}, OUT, None),
    "another SPI of ours": ({"whole": put(8, b"\x55" * 8)}, OUT, None),
    "a flipped bit": ({"whole": lambda message: message[:-1] + bytes([message[-1] ^ 1])}, OUT, None),
    "half of it": ({"whole": lambda message: message[:len(message) // 2]}, OUT, None),
    "proposals of one number": ({"init": init_payload(SA, without_proposal_numbers)}, EITHER, None),
    "a proposal that is too long": ({"init": init_payload(SA, wrong_proposal_length)}, OUT, None),
    "no key exchange": ({"init": init_payload(34, lambda body: body[:4] + bytes(len(body) - 4))}, OUT, None),
    "a key exchange of another group": ({"init": init_payload(34, lambda body: struct.pack(">H", 31) + body[2:])}, IN, None),
}


@pytest.fixture
def hostile(world):  # noqa: F811
    made = []

    def make(**changes):
        client = Hostile(world.name("ca"), PLACES["modern"], {**FAMILIES["windows-hardened"], "piece": 0},
                         trust=[world.pki.path(f"acme-{kind}.pem") for kind in ("rsa", "ecdsa")])
        for name, change in changes.items():
            setattr(client, name, change)
        made.append(client)
        return client
    yield make
    for one in made:
        one.close()


@pytest.fixture(autouse=True)
def balance(gateway):  # noqa: F811
    """Nobody is left in; attempts that were begun end later."""
    yield
    for line in gateway.ask("sessions"):
        gateway.ask("terminate", line.split()[0])
        gateway.event("down", session=int(line.split()[0]))
    gateway.events.clear()


def quick(client):
    """Waits no longer than a second for anything."""
    take, answer = client.receive, client._answer_to
    client.receive = lambda wanted, seconds=1: take(wanted, 1)
    client._answer_to = lambda request, deadline: answer(request, min(deadline, __import__("time").monotonic() + 1.2))
    return client


@pytest.mark.parametrize("name", HOSTILITIES)
def test_one_rule_broken(gateway, hostile, name):  # noqa: F811
    changes, expected, told = HOSTILITIES[name]
    client, outcome, refusal = quick(hostile(**{key: value for key, value in changes.items() if value})), IN, 0
    try:
        client.log_in("alice", "acme-pw")
    except (IkeError, AssertionError, KeyError, struct.error, IndexError, ValueError) as error:
        outcome, refusal = OUT, getattr(error, "notify", 0)
    sessions = gateway.ask("sessions")
    assert (outcome == IN) == (len(sessions) == 1), (outcome, sessions)
    assert expected in (outcome, EITHER), (outcome, refusal, gateway.log[-5:])
    if told is not None:
        assert refusal == told
    if outcome == IN:
        echo(client)
        client.leave()
        gateway.event("down")
    friend = hostile().log_in("alice", "acme-pw")
    echo(friend)


def test_what_is_said_in_clear_is_not_heard(gateway, hostile):  # noqa: F811
    """An attacker beside the wire says for either side that it is over."""
    client = hostile().negotiate()
    for exchange, flags in ((IKE_AUTH, 0x08), (INFORMATIONAL, 0x08), (INFORMATIONAL, 0x20), (INIT, 0x08)):
        for kind in (24, 7, 14, 11):
            data, first = chain([notify(kind)])
            client._put(client._header(client.spi_i, client.spi_r, first, exchange, flags, 1, 28 + len(data)) + data)
    assert client.password(client.begin("alice"), "alice", "acme-pw")
    client.finish()
    echo(client)
    gateway.event("up", user="alice")
